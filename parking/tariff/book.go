package tariff

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Book holds all versions of one car park's tariff, ready to rate. It never
// changes and is safe for concurrent use if its Calendar is.
type Book struct {
	versions []*version
	calendar Calendar
}

// version is one Tariff, compiled.
type version struct {
	tariff  *Tariff
	hash    string
	begins  int64 // seconds since the Unix epoch
	zone    *time.Location
	classes map[string]*class
}

// New makes a Book of the versions of one tariff, in any order. They must have
// the same ID, zone and currency, and differ in Version and EffectiveFrom.
// The tariffs must not be changed afterwards. A nil calendar knows no
// holidays. The error is a *BadTariffError where a version cannot be rated.
func New(versions []*Tariff, calendar Calendar) (*Book, error) {
	if len(versions) == 0 {
		return nil, errors.New("making a book of tariffs: there is no version")
	}
	b := &Book{calendar: calendar}
	if calendar == nil {
		b.calendar = &Holidays{}
	}
	for _, t := range versions {
		v, err := compile(t)
		if err != nil {
			return nil, fmt.Errorf("making a book of tariffs: %w", err)
		}
		b.versions = append(b.versions, v)
	}
	slices.SortFunc(b.versions, func(x, y *version) int { return cmp.Compare(x.begins, y.begins) })
	names := map[string]bool{}
	for i, v := range b.versions {
		first := b.versions[0].tariff
		switch t := v.tariff; {
		case t.ID != first.ID || t.Zone != first.Zone || t.Currency != first.Currency:
			return nil, fmt.Errorf("making a book of tariffs: version %s is of %s in %s, %s, and version %s of %s in %s, %s: all versions of a book need the same id, zone and currency",
				t.Version, t.ID, t.Zone, t.Currency, first.Version, first.ID, first.Zone, first.Currency)
		case names[t.Version]:
			return nil, fmt.Errorf("making a book of tariffs: version %s is there twice; give each edition a name of its own", t.Version)
		case i > 0 && v.begins == b.versions[i-1].begins:
			return nil, fmt.Errorf("making a book of tariffs: versions %s and %s are both effective from %s; move one", b.versions[i-1].tariff.Version, t.Version, t.EffectiveFrom.Format(time.RFC3339))
		}
		names[v.tariff.Version] = true
	}
	return b, nil
}

// NotInForceError says that no version of a tariff was in force at an instant,
// or that the version asked for is not in the book.
type NotInForceError struct {
	Tariff string
	At     time.Time
	// Version is set if it was asked for by name.
	Version string
}

func (e *NotInForceError) Error() string {
	if e.Version != "" {
		return fmt.Sprintf("tariff %s has no version %.64q here; load it, or rate without a version", e.Tariff, e.Version)
	}
	return fmt.Sprintf("tariff %s has no version in force at %s; load the earlier ones too", e.Tariff, e.At.Format(time.RFC3339))
}

// UnknownNameError says that a stay names what the tariff does not have.
type UnknownNameError struct {
	// Kind is "class", "validation code", "pass", "permit" or "single unloading".
	Kind, Name string
	Tariff     string
	Known      []string
}

func (e *UnknownNameError) Error() string {
	known := "none"
	if len(e.Known) > 0 {
		known = strings.Join(e.Known[:min(len(e.Known), 20)], ", ")
	}
	return fmt.Sprintf("tariff %s has no %s %.64q; it has %s", e.Tariff, e.Kind, e.Name, known)
}

// UndefinedFeeError says that a fee is due which the tariff does not declare.
type UndefinedFeeError struct {
	// Fee is "lost_ticket" or "ev".
	Fee, Tariff, Class string
}

func (e *UndefinedFeeError) Error() string {
	return fmt.Sprintf("tariff %s declares no %s fee for %s; add it to the class's rules, or decide by hand", e.Tariff, e.Fee, e.Class)
}

// NoHolidaysError says that the price depends on holidays that nobody has
// published.
type NoHolidaysError struct{ Year int }

func (e *NoHolidaysError) Error() string {
	return fmt.Sprintf("no holidays published for %d; add them to the calendar", e.Year)
}

// NoPriceError says that the tariff has no price for a minute of the stay.
type NoPriceError struct {
	Tariff, Class string
	At            time.Time
}

func (e *NoPriceError) Error() string {
	return fmt.Sprintf("tariff %s has no price for %s at %s; add a band, or check the opening hours", e.Tariff, e.Class, e.At.Format(time.RFC3339))
}

// at gives the version in force at an instant and the one after it; nil where
// there is none.
func (b *Book) at(seconds int64) (v *version, next *version) {
	i := sort.Search(len(b.versions), func(i int) bool { return b.versions[i].begins > seconds })
	if i < len(b.versions) {
		next = b.versions[i]
	}
	if i == 0 {
		return nil, next
	}
	return b.versions[i-1], next
}

// find gives the version for a stay: the one it names, or the one in force.
func (b *Book) find(name string, at time.Time) (*version, error) {
	id := b.versions[0].tariff.ID
	if name != "" {
		for _, v := range b.versions {
			if v.tariff.Version == name {
				return v, nil
			}
		}
		return nil, &NotInForceError{Tariff: id, Version: name}
	}
	v, _ := b.at(at.Unix())
	if v == nil {
		return nil, &NotInForceError{Tariff: id, At: at.In(b.versions[0].zone)}
	}
	return v, nil
}

func (v *version) class(name string) (*class, error) {
	c, ok := v.classes[name]
	if !ok {
		known := make([]string, 0, len(v.classes))
		for name := range v.classes {
			known = append(known, name)
		}
		slices.Sort(known)
		return nil, &UnknownNameError{Kind: "class", Name: name, Tariff: v.tariff.ID, Known: known}
	}
	return c, nil
}

// Versions gives the book's tariffs, oldest first. They must not be changed.
func (b *Book) Versions() []*Tariff {
	all := make([]*Tariff, len(b.versions))
	for i, v := range b.versions {
		all[i] = v.tariff
	}
	return all
}
