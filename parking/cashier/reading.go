package cashier

import (
	"context"
	"fmt"
	"slices"
	"time"

	"freeflow/parking"
	"freeflow/parking/stay"
)

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
	if err := s.readBerths(ctx, all, meet); err != nil {
		return nil, false, err
	}
	return more, false, s.readNoted(ctx)
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

// readNoted reads the allocations that were put on stays by their id: those of
// drivers whose ticket is all that is known of them.
func (s *scope) readNoted(ctx context.Context) error {
	for i := range s.stored {
		r := &s.stored[i]
		for j := range r.details.Notes {
			if n := &r.details.Notes[j]; n.Kind == noteBay {
				if err := s.readBerth(ctx, r, n.Name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readBerth reads one allocation as the stay's.
func (s *scope) readBerth(ctx context.Context, r *record, id string) error {
	a, err := s.tx.Allocation(ctx, id)
	if err != nil {
		return fmt.Errorf("reading the allocation of stay %s: %w", r.ID, err)
	}
	who, err := s.c.identify(ctx, a.Vehicle.Tag, a.Vehicle.Plate, a.AssignedAt)
	if err != nil {
		return err
	}
	b := stay.Berth{Allocation: a, Identity: who, Names: []string{r.Vehicle}}
	if r.Ticket != "" {
		b.Names = append(b.Names, stay.TicketName(r.Ticket))
	}
	s.berths[id] = b
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
