package governance

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"freeflow/tolling/tariff"
)

// Pass is what a dry run, and the comparison with displayed tolls, need to know
// of a pass in the books.
type Pass struct {
	ID string
	// Vehicle tells vehicles apart; it stands in no result.
	Vehicle                    string
	TollPoint, Facility, Class string
	// Owing is false for passes that owe nothing: exempt, or under review.
	Owing bool
	// FirstMicros is the pass time.
	FirstMicros int64
	// AmountCents is what it owes in the books.
	AmountCents int64
}

// Rater rates passes; *tariff.Network and *Live are such.
type Rater interface {
	Rate(place, class string, at time.Time) (tariff.Toll, error)
}

var (
	_ Rater = (*tariff.Network)(nil)
	_ Rater = (*Live)(nil)
)

// Bounds of a dry run's result and of what it holds in memory.
const (
	// largestChanges is how many single changes are named.
	largestChanges = 20
	// mostVehicles is how many vehicles are told apart.
	mostVehicles = 2_000_000
	mostGroups   = 20_000
)

// DryRun is what a revision would have done to the tolls of passes made.
type DryRun struct {
	ID       string
	Draft    string
	Revision int64
	// Digest is the proposal's.
	Digest string
	By     string
	At     time.Time
	// From and To bound the passes, half-open.
	From, To time.Time
	// Weeks is by how many weeks the passes were moved, local date by local
	// date, so that tolls to come could be tried on passes made.
	Weeks int
	// Result is what came of it.
	Result Result
}

// Result is the outcome of a dry run. Amounts are whole cents; before is what
// the networks in force give, after what the draft would.
type Result struct {
	// Passes were rated by both; Differ of them differently, and their
	// vehicles, each once. VehiclesMore says that there were too many vehicles
	// to count.
	Passes       int64 `json:"passes"`
	Differ       int64 `json:"differ"`
	Vehicles     int64 `json:"vehicles"`
	VehiclesMore bool  `json:"vehicles_more,omitempty"`
	Higher       int64 `json:"higher"`
	Lower        int64 `json:"lower"`
	BeforeCents  int64 `json:"before_cents"`
	AfterCents   int64 `json:"after_cents"`
	// Lost have a toll now and would have none: they would go to review.
	// Gained the other way round; Unrated have none either way.
	Lost    int64 `json:"lost"`
	Gained  int64 `json:"gained"`
	Unrated int64 `json:"unrated"`
	// NotOwing are exempt or under review, and were not rated.
	NotOwing int64 `json:"not_owing"`
	// BookedOtherwise owe another amount in the books than the network in
	// force gives: decided by a person, or due to be rated again. Counted only
	// where passes are not moved.
	BookedOtherwise int64 `json:"booked_otherwise"`
	// Groups are by facility, class and day type, in that order.
	Groups []Group `json:"groups"`
	// Largest are the largest single changes, the largest first.
	Largest []Change `json:"largest"`
}

// Group is the passes of a facility, class and day type.
type Group struct {
	Facility    string `json:"facility"`
	Class       string `json:"class"`
	DayType     string `json:"day_type"`
	Passes      int64  `json:"passes"`
	Differ      int64  `json:"differ"`
	BeforeCents int64  `json:"before_cents"`
	AfterCents  int64  `json:"after_cents"`
}

// Change is one pass that would be rated differently.
type Change struct {
	Pass      string `json:"pass"`
	TollPoint string `json:"toll_point"`
	Class     string `json:"class"`
	// Micros is the time at which it was rated, moved by the weeks.
	Micros      int64  `json:"micros"`
	BeforeCents int64  `json:"before_cents"`
	AfterCents  int64  `json:"after_cents"`
	BeforeRule  string `json:"before_rule"`
	AfterRule   string `json:"after_rule"`
}

func (c *Change) size() int64 { return abs(c.AfterCents - c.BeforeCents) }

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// Trial adds up a dry run, pass by pass. Not for concurrent use.
type Trial struct {
	before   Rater
	after    *tariff.Network
	weeks    int
	result   Result
	groups   map[[3]string]*Group
	vehicles map[string]struct{}
	largest  changes
}

// NewTrial returns a trial of the network after in the place of before, over
// passes moved by so many weeks.
func NewTrial(before Rater, after *tariff.Network, weeks int) *Trial {
	return &Trial{before: before, after: after, weeks: weeks, groups: map[[3]string]*Group{}, vehicles: map[string]struct{}{}}
}

// errTooMuch refuses sums beyond what a result can hold.
var errTooMuch = errors.New("the amounts are too large to be added up; take a shorter period")

// Add tries one pass.
func (t *Trial) Add(p *Pass) error {
	if !p.Owing {
		t.result.NotOwing++
		return nil
	}
	at := time.UnixMicro(p.FirstMicros).In(t.after.Zone()).AddDate(0, 0, 7*t.weeks)
	was, errWas := rate(t.before, p, at)
	is, errIs := rate(t.after, p, at)
	switch {
	case errWas != nil && !known(errWas):
		return fmt.Errorf("rating pass %s: %w", p.ID, errWas)
	case errIs != nil && !known(errIs):
		return fmt.Errorf("rating pass %s by the draft: %w", p.ID, errIs)
	case errWas != nil && errIs != nil:
		t.result.Unrated++
		return nil
	case errIs != nil:
		t.result.Lost++
		return nil
	case errWas != nil:
		t.result.Gained++
		return nil
	}
	if t.weeks == 0 && was.Cents != p.AmountCents {
		t.result.BookedOtherwise++
	}
	return t.count(p, at, was, is)
}

func rate(r Rater, p *Pass, at time.Time) (tariff.Toll, error) {
	return r.Rate(p.TollPoint, p.Class, at)
}

// known tells that a network has no toll from a fault.
func known(err error) bool {
	var none *tariff.NoTariffError
	var unknown *tariff.UnknownError
	return errors.As(err, &none) || errors.As(err, &unknown)
}

func (t *Trial) count(p *Pass, at time.Time, was, is tariff.Toll) error {
	key := [3]string{p.Facility, p.Class, t.after.DayType(at)}
	g := t.groups[key]
	if g == nil {
		if len(t.groups) == mostGroups {
			return fmt.Errorf("there are more than %d pairs of a facility and class; take a shorter period", mostGroups)
		}
		g = &Group{Facility: key[0], Class: key[1], DayType: key[2]}
		t.groups[key] = g
	}
	r := &t.result
	if r.BeforeCents > math.MaxInt64-was.Cents || r.AfterCents > math.MaxInt64-is.Cents {
		return errTooMuch
	}
	r.Passes++
	g.Passes++
	r.BeforeCents += was.Cents
	r.AfterCents += is.Cents
	g.BeforeCents += was.Cents
	g.AfterCents += is.Cents
	if was.Cents == is.Cents {
		return nil
	}
	r.Differ++
	g.Differ++
	if is.Cents > was.Cents {
		r.Higher++
	} else {
		r.Lower++
	}
	if _, seen := t.vehicles[p.Vehicle]; !seen {
		if len(t.vehicles) < mostVehicles {
			t.vehicles[p.Vehicle] = struct{}{}
		} else {
			r.VehiclesMore = true
		}
	}
	t.largest.offer(Change{Pass: p.ID, TollPoint: p.TollPoint, Class: p.Class, Micros: at.UnixMicro(),
		BeforeCents: was.Cents, AfterCents: is.Cents, BeforeRule: was.Rule, AfterRule: is.Rule})
	return nil
}

// Result returns what came of it.
func (t *Trial) Result() Result {
	r := t.result
	r.Vehicles = int64(len(t.vehicles))
	r.Groups = make([]Group, 0, len(t.groups))
	for _, g := range t.groups {
		r.Groups = append(r.Groups, *g)
	}
	slices.SortFunc(r.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Facility, b.Facility), cmp.Compare(a.Class, b.Class), cmp.Compare(a.DayType, b.DayType))
	})
	r.Largest = append([]Change{}, t.largest...)
	return r
}

// compareChanges orders changes by size; of equal ones the earlier is larger,
// so that the result does not depend on the order of the passes.
func compareChanges(a, b Change) int {
	return cmp.Or(cmp.Compare(a.size(), b.size()), cmp.Compare(b.Micros, a.Micros), cmp.Compare(b.Pass, a.Pass))
}

// changes are the largest changes, the largest first.
type changes []Change

// offer takes a change up if it is among the largest.
func (c *changes) offer(change Change) {
	at, _ := slices.BinarySearchFunc(*c, change, func(a, b Change) int { return -compareChanges(a, b) })
	if at == largestChanges {
		return
	}
	*c = slices.Insert(*c, at, change)
	*c = (*c)[:min(len(*c), largestChanges)]
}

// weeksAhead returns by how many weeks a period that begins at from, local
// date by local date, has to move so that it begins at or after an instant; 0
// if it does already.
func weeksAhead(from, at time.Time) int {
	if !at.After(from) {
		return 0
	}
	weeks := int(at.Sub(from)/(7*24*time.Hour)) - 1 // days have 23 to 25 hours
	for weeks = max(weeks, 0); from.AddDate(0, 0, 7*weeks).Before(at); weeks++ {
	}
	return weeks
}
