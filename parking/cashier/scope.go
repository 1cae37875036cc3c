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

// lockNames keeps others from changing the stays of vehicles of these names.
func (s *scope) lockNames(ctx context.Context, names []string) error {
	if !s.lock {
		return nil
	}
	names = slices.Clone(names)
	slices.Sort(names)
	for _, n := range names {
		if n == "" || s.locked[n] {
			continue
		}
		s.locked[n] = true
		// The name is digested: the rows of locks are kept, plates are not to be.
		if err := s.tx.Lock(ctx, "stays/"+stayID(s.site.ID, n, 0)); err != nil {
			return fmt.Errorf("locking a vehicle's stays: %w", err)
		}
	}
	return nil
}

// readOnce reads by the present names and window, and returns names that it
// met and were not among them; moved: the window had to grow.
func (s *scope) readOnce(ctx context.Context, back time.Duration) (more []string, moved bool, err error) {
	meet := func(names ...string) {
		for _, n := range names {
			if n != "" && !slices.Contains(s.names, n) && !slices.Contains(more, n) {
				more = append(more, n)
			}
		}
	}
	all, err := s.readStays(ctx, back)
	if err != nil {
		return nil, false, err
	}
	for i := range all {
		if touches(all, i, s.from, s.to) {
			meet(all[i].details.Names...)
			meet(all[i].Vehicle)
		}
	}
	if moved = s.widen(all); moved {
		return more, true, nil
	}
	if err := s.readEvents(ctx, meet); err != nil {
		return nil, false, err
	}
	return more, false, s.readBerths(ctx, all, meet)
}

func (s *scope) readStays(ctx context.Context, back time.Duration) ([]record, error) {
	seen := map[string]bool{}
	var all []record
	for _, n := range s.names {
		p := parking.Page{Limit: pageSize, From: s.from.Add(-back)}
		for range maxPages {
			list, err := s.tx.Stays(ctx, s.site.ID, n, p)
			if err != nil {
				return nil, fmt.Errorf("listing a vehicle's stays: %w", err)
			}
			for _, st := range list {
				if seen[st.ID] {
					continue
				}
				seen[st.ID] = true
				r, err := read(st)
				if err != nil {
					return nil, err
				}
				all = append(all, r)
			}
			if len(list) < p.Limit {
				break
			}
			p.After = list[len(list)-1].ID
		}
	}
	slices.SortFunc(all, func(a, b record) int {
		if c := a.began().Compare(b.began()); c != 0 {
			return c
		}
		return compareText(a.ID, b.ID)
	})
	s.stored = nil
	for i := range all {
		if touches(all, i, s.from, s.to) {
			s.stored = append(s.stored, all[i])
		}
	}
	return all, nil
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// reach is the time over which a stay relates to other things. One that has no
// exit reaches to the next one's beginning, or without end.
func reach(all []record, i int) (from, to time.Time) {
	r := &all[i]
	from, to = r.began(), r.Exit
	if to.IsZero() || r.State == parking.Open {
		to = farFuture
		for j := i + 1; j < len(all); j++ {
			if !all[j].details.Superseded && r.State != parking.Open && all[j].began().After(from) {
				to = all[j].began()
				break
			}
		}
	}
	if r.details.Superseded {
		to = from
	}
	return from.Add(-slack), to.Add(slack)
}

func touches(all []record, i int, from, to time.Time) bool {
	a, b := reach(all, i)
	return a.Before(to) && b.After(from)
}

// widen moves the window so that no stay reaches over its edges.
func (s *scope) widen(all []record) (moved bool) {
	for i := range all {
		if !touches(all, i, s.from, s.to) {
			continue
		}
		a, b := reach(all, i)
		if a.Before(s.from) {
			s.from, moved = a, true
		}
		if b.After(s.to) {
			s.to, moved = b, true
		}
	}
	return moved
}

func (s *scope) readEvents(ctx context.Context, meet func(...string)) error {
	s.sightings = map[string]stay.Sighting{}
	for _, n := range s.names {
		list, err := s.tx.LaneEvents(ctx, s.site.ID, n, s.from, s.to)
		if err != nil {
			return fmt.Errorf("listing a vehicle's lane events: %w", err)
		}
		for _, e := range list {
			if _, seen := s.sightings[e.ID]; seen {
				continue
			}
			id, err := s.c.identify(ctx, e.Tag, e.Plate, e.At)
			if err != nil {
				return err
			}
			s.sightings[e.ID] = stay.Sighting{Event: e, Identity: id}
			meet(stay.Names(e.Tag, e.Plate, e.Ticket, id)...)
		}
	}
	return nil
}

// readBerths reads the allocations of the window, without those of stays that
// lie outside it.
func (s *scope) readBerths(ctx context.Context, all []record, meet func(...string)) error {
	s.berths = map[string]stay.Berth{}
	elsewhere := map[string]bool{}
	for i := range all {
		if !touches(all, i, s.from, s.to) {
			for _, id := range all[i].details.Allocations {
				elsewhere[id] = true
			}
		}
	}
	for _, n := range s.names {
		p := parking.Page{Limit: pageSize, From: s.from.Add(-lookBack)}
		for range maxPages {
			list, err := s.tx.Allocations(ctx, s.site.ID, n, p)
			if err != nil {
				return fmt.Errorf("listing a vehicle's allocations: %w", err)
			}
			for _, a := range list {
				if _, seen := s.berths[a.ID]; seen || elsewhere[a.ID] || !a.AssignedAt.Before(s.to) ||
					!a.EndedAt.IsZero() && a.EndedAt.Before(s.from) {
					continue
				}
				id, err := s.c.identify(ctx, a.Vehicle.Tag, a.Vehicle.Plate, a.AssignedAt)
				if err != nil {
					return err
				}
				s.berths[a.ID] = stay.Berth{Allocation: a, Identity: id}
				meet(stay.Names(a.Vehicle.Tag, a.Vehicle.Plate, "", id)...)
			}
			if len(list) < p.Limit {
				break
			}
			p.After = list[len(list)-1].ID
		}
	}
	return nil
}

// identify asks whom the marks name.
func (c *Cashier) identify(ctx context.Context, tag, plate string, at time.Time) (Identity, error) {
	if tag == "" && plate == "" {
		return Identity{}, nil
	}
	id, err := c.p.Payers.Payer(ctx, tag, plate, at)
	if err != nil {
		return id, fmt.Errorf("asking who answers for a vehicle: %w", err)
	}
	return id, nil
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
