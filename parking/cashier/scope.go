package cashier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"freeflow/parking"
	"freeflow/parking/stay"
	"freeflow/parking/tariff"
)

// How much of a vehicle's past and future is looked at together. What lies
// outside cannot change: the window is moved until no stay reaches over its
// edge.
const (
	window = 14 * 24 * time.Hour
	// slack is the longest time between two things that one rule relates.
	slack = 26 * time.Hour
	// maxReentry is less than slack.
	maxReentry = 24 * time.Hour
	// lookBack is how long before the window stays are looked for that reach
	// into it; lookFar the same for an exit whose entry is not found.
	lookBack = 45 * 24 * time.Hour
	lookFar  = 400 * 24 * time.Hour
	pageSize = 500
	maxPages = 20
	// maxNames bounds the names of one vehicle: a plate that a reader makes up
	// must not draw a whole car park together.
	maxNames = 64
)

// farFuture is later than every lane's clock.
var farFuture = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// errTooManyNames: the vehicle goes by too many names.
var errTooManyNames = errors.New("a vehicle goes by more names than one vehicle can have")

// scope is all that is known of one vehicle at one car park over a window, in
// one transaction, and what follows from it.
type scope struct {
	c    *Cashier
	tx   parking.Tx
	site *parking.CarPark
	book *tariff.Book
	now  time.Time

	names    []string
	locked   map[string]bool
	from, to time.Time

	sightings map[string]stay.Sighting
	berths    map[string]stay.Berth
	// stored are the stays of the window.
	stored []record
	// derived are what follows, and settled the same with prices, in the same
	// order; gone are stored ones of which nothing is left.
	derived []stay.Stay
	settled []record
	gone    []record
	// notes are all notes of the stored stays, each with the id of its stay.
	notes []heldNote
	// lock is false for readers.
	lock bool
	// reorder is the stay of which everything is to be ordered once more.
	reorder string
}

type heldNote struct {
	note
	stay string
}

// site returns the car park and its tariffs.
func (c *Cashier) site(id string) (*parking.CarPark, *tariff.Book, error) {
	site, ok := c.p.Sites.CarPark(id)
	if !ok {
		return nil, nil, fmt.Errorf("car park %.64q: %w", id, parking.ErrNotFound)
	}
	book, ok := c.p.Sites.Tariff(site.Tariff)
	if !ok {
		return site, nil, nil
	}
	return site, book, nil
}

// newScope begins to look at a vehicle. write: what is found will be changed.
func (c *Cashier) newScope(tx parking.Tx, carPark string, write bool) (*scope, error) {
	site, book, err := c.site(carPark)
	if err != nil {
		return nil, err
	}
	return &scope{c: c, tx: tx, site: site, book: book, now: c.p.Clock.Now().UTC().Truncate(time.Microsecond), locked: map[string]bool{}, lock: write}, nil
}

// gather reads what is known of the vehicle of the names around [from, to] and
// derives its stays.
func (s *scope) gather(ctx context.Context, names []string, from, to time.Time) error {
	for _, back := range [...]time.Duration{lookBack, lookFar} {
		s.names = nil
		s.from, s.to = from.Add(-window), to.Add(window)
		if err := s.readAll(ctx, names, back); err != nil {
			return err
		}
		s.takeNotes()
		s.derive()
		if !s.newlyWithoutEntry() {
			break
		}
	}
	return nil
}

// newlyWithoutEntry reports whether a stay has no entry that had one, or that
// did not exist: its entry may lie further back.
func (s *scope) newlyWithoutEntry() bool {
	for i := range s.derived {
		d := &s.derived[i]
		if !d.Has(stay.MissingEntry) {
			continue
		}
		known := slices.ContainsFunc(s.stored, func(r record) bool {
			return slices.Contains(r.Flags, stay.MissingEntry) && d.Belongs(r.ExitEvent)
		})
		if !known {
			return true
		}
	}
	return false
}

// readAll reads until no name and no stay at the window's edge is left out.
func (s *scope) readAll(ctx context.Context, names []string, back time.Duration) error {
	fresh := slices.Clone(names)
	for {
		slices.Sort(fresh)
		for _, n := range fresh {
			if n == "" || slices.Contains(s.names, n) {
				continue
			}
			if len(s.names) >= maxNames {
				return fmt.Errorf("%w (%d); is a reader making up plates?", errTooManyNames, maxNames)
			}
			s.names = append(s.names, n)
		}
		if err := s.lockNames(ctx, fresh); err != nil {
			return err
		}
		more, moved, err := s.readOnce(ctx, back)
		if err != nil {
			return err
		}
		if len(more) == 0 && !moved {
			return nil
		}
		fresh = more
	}
}

// takeNotes collects the notes of the stored stays.
func (s *scope) takeNotes() {
	s.notes = nil
	for i := range s.stored {
		for _, n := range s.stored[i].details.Notes {
			if n.Payment != nil {
				p := *n.Payment
				n.Payment = &p
			}
			s.notes = append(s.notes, heldNote{n, s.stored[i].ID})
		}
	}
}

// derive applies the rules to what was read.
func (s *scope) derive() {
	in := stay.Input{Rules: s.rules()}
	for _, g := range s.sightings {
		in.Sightings = append(in.Sightings, g)
	}
	for _, b := range s.berths {
		in.Berths = append(in.Berths, b)
	}
	for i := range s.notes {
		if d := s.notes[i].Decision; d != nil {
			in.Decisions = append(in.Decisions, *d)
		}
	}
	s.derived = stay.Derive(in)
}

// rules are the site's part of the rules.
func (s *scope) rules() stay.Rules {
	r := stay.Rules{ClockStart: s.site.ClockStart, ClockStop: s.site.ClockStop, Inner: map[string]bool{}}
	outer := map[parking.Direction]bool{}
	for _, l := range s.site.Lanes {
		r.ExitLanes = r.ExitLanes || l.Direction == parking.Out
		outer[l.Direction] = outer[l.Direction] || l.Machine == ""
	}
	for _, l := range s.site.Lanes {
		if l.Machine != "" && outer[l.Direction] {
			r.Inner[l.Unit] = true
		}
	}
	r.Reentry = func(entry, _ time.Time) time.Duration {
		t := versionAt(s.book, "", entry)
		if t == nil {
			return 0
		}
		return min(time.Duration(t.Options.ReentryMinutes)*time.Minute, maxReentry)
	}
	return r
}

// versionAt returns the version of that name, or the one in force; nil if there
// is none.
func versionAt(b *tariff.Book, name string, at time.Time) *tariff.Tariff {
	if b == nil {
		return nil
	}
	var in *tariff.Tariff
	for _, t := range b.Versions() {
		if name != "" && t.Version == name {
			return t
		}
		if name == "" && !t.EffectiveFrom.After(at) {
			in = t
		}
	}
	return in
}
