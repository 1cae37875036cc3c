package rejudge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"freeflow/billing"
	"freeflow/tolling"
	"freeflow/tolling/matcher"
)

// chunk is what one step works on: the touched reads of a stretch of time.
type chunk struct {
	from, to int64
	// facilities are those that have touched reads, with how many.
	facilities map[string]int64
	// done is where the run stands after it.
	done int64
}

// kept is one kept read at one facility.
type kept struct {
	// sighting is what the read means under the registry to judge by.
	sighting tolling.Sighting
	// names are the vehicles in whose pass it can be: the one of its posting,
	// the one by the registry before, the one by the registry after.
	names [3]tolling.Vehicle
	// touched: one of its marks means something else than before.
	touched bool
}

// The places in kept.names.
const (
	byPosting = iota
	byBefore
	byAfter
)

func (k *kept) micros() int64 { return k.sighting.Order.Micros }

// reach is how much further than a touched read reads are taken at first:
// seldom does a pass, or what it touches, lie beyond.
func (w *run) reach() int64 {
	return 2*max(w.Network.GapMicros(), w.Network.TurnRoundMicros()) + w.Network.GapMicros()
}

// step works on a chunk, facility by facility.
func (w *run) step(ctx context.Context, c chunk) error {
	names := slices.Sorted(maps.Keys(c.facilities))
	from, to := c.from-w.reach(), c.to+w.reach()
	// What was posted before this is read outside of the transaction; what came
	// after, within it.
	offsets, err := w.Books.Offsets(ctx)
	if err != nil {
		return err
	}
	reads, err := w.gather(ctx, c.facilities, from, to)
	if err != nil {
		return err
	}
	for i, facility := range names {
		done := int64(-1)
		if i == len(names)-1 {
			done = c.done
		}
		wider := [2]int64{from, to}
		own := reads[facility]
		since := offsets
		for round := 1; ; round++ {
			// What was pruned before the reads were gathered is known now; what is
			// pruned later does not take them away.
			if w.pruned, err = w.Books.PrunedMicros(ctx); err != nil {
				return err
			}
			s := &step{run: w, facility: facility, chunk: c, from: wider[0], to: wider[1], reads: own}
			err := w.Books.Restate(ctx, billing.Restatement{
				Facility: facility, Gap: w.Network.GapMicros(), PostedAt: w.Clock.Now(),
				Job: w.job.ID, Owner: w.Owner, LeaseUntil: w.until(), DoneMicros: done, Reads: c.facilities[facility],
				Decide: func(ctx context.Context, v billing.View) (billing.Restated, error) { return s.decide(ctx, v, since) },
			})
			if err == nil {
				break
			}
			var more *moreError
			if round == maxRounds || !errors.As(err, &more) && !errors.Is(err, billing.ErrStale) {
				return fmt.Errorf("judging anew the passes at %s: %w", facility, err)
			}
			if more == nil {
				continue
			}
			wider = [2]int64{min(wider[0], more.from-w.reach()), max(wider[1], more.to+w.reach())}
			if since, err = w.Books.Offsets(ctx); err != nil {
				return err
			}
			again, err := w.gather(ctx, map[string]int64{facility: 0}, wider[0], wider[1])
			if err != nil {
				return err
			}
			own = again[facility]
		}
		if err := w.hook("stepped"); err != nil {
			return err
		}
	}
	return nil
}

// moreError says that a step needs reads of a longer stretch of time.
type moreError struct{ from, to int64 }

func (*moreError) Error() string { return "more reads are needed" }

// gather reads the kept reads of facilities over a stretch of time.
func (w *run) gather(ctx context.Context, facilities map[string]int64, from, to int64) (map[string][]kept, error) {
	reads := make(map[string][]kept, len(facilities))
	err := w.archives(ctx, from, to, func(a matcher.Archived) error {
		if facility, k, ok := w.resolve(a, from, to); ok {
			if _, wanted := facilities[facility]; wanted {
				reads[facility] = append(reads[facility], k)
			}
		}
		return nil
	}, func() {})
	if err != nil {
		return nil, fmt.Errorf("gathering kept reads: %w", err)
	}
	return reads, nil
}

// resolve says what an archived read means; ok is false if it lies elsewhere in
// time, or its unit is no longer one.
func (w *run) resolve(a matcher.Archived, from, to int64) (facility string, k kept, ok bool) {
	if at := a.Read.TimeMicros; at < from || at > to {
		return "", k, false
	}
	point, facility, ok := w.Network.TollPoint(a.Read.Unit)
	if !ok {
		return "", k, false
	}
	k.sighting = w.after.Resolve(a.Read, point)
	k.names = [3]tolling.Vehicle{
		byPosting: a.Vehicle, byBefore: w.before.Resolve(a.Read, point).Vehicle, byAfter: k.sighting.Vehicle,
	}
	k.touched = w.touched.Touches(a.Read.Tag, a.Read.Plate, a.Read.TimeMicros)
	return facility, k, true
}

// step is one facility's part of a chunk, worked out anew for every attempt.
type step struct {
	*run
	facility string
	chunk    chunk
	// reads are all kept reads of the facility in [from, to].
	reads    []kept
	from, to int64

	view   billing.View
	byName map[tolling.Vehicle][]int
	dirty  map[tolling.Vehicle]*dirty
	rows   map[string]*row
	// own are the standing passes known, by vehicle.
	own map[tolling.Vehicle][]*row
	// asked are the stretches for which a vehicle's passes were read.
	asked map[tolling.Vehicle][]span
}

// span is a closed stretch of time in microseconds.
type span struct{ from, to int64 }

// dirty is a vehicle whose passes have to be made anew over some stretches.
type dirty struct {
	spans []span
}

// row is a pass as the books have it.
type row struct {
	billing.Pass
	pass    *tolling.Pass
	verdict tolling.Verdict
	// frozen: its reads are no longer kept, or not all of them.
	frozen bool
}

// decide works the step out on the books as they stand.
func (s *step) decide(ctx context.Context, v billing.View, since map[int]int64) (billing.Restated, error) {
	s.view = v
	s.byName, s.dirty = map[tolling.Vehicle][]int{}, map[tolling.Vehicle]*dirty{}
	s.rows, s.own, s.asked = map[string]*row{}, map[tolling.Vehicle][]*row{}, map[tolling.Vehicle][]span{}
	reads := s.reads
	err := v.ArchivedSince(ctx, since, s.from, s.to, func(blob []byte) error {
		return matcher.Unpack(blob, func(a matcher.Archived) error {
			if facility, k, ok := s.resolve(a, s.from, s.to); ok && facility == s.facility {
				reads = append(reads, k)
			}
			return nil
		})
	})
	if err != nil {
		return billing.Restated{}, err
	}
	defer func(before []kept) { s.reads = before }(s.reads)
	s.reads = reads
	for i := range s.reads {
		for n, name := range s.reads[i].names {
			if !slices.Contains(s.reads[i].names[:n], name) {
				s.byName[name] = append(s.byName[name], i)
			}
		}
	}
	if err := s.spread(ctx); err != nil {
		return billing.Restated{}, err
	}
	for _, d := range s.dirty {
		for _, one := range d.spans {
			if one.from < s.from || one.to > s.to {
				return billing.Restated{}, &moreError{one.from, one.to}
			}
		}
	}
	return s.settle(ctx)
}

// spread finds the vehicles whose passes have to be made anew, and over which
// stretches: those that a touched read can be or can have been of, with their
// whole passes, and those that any other read of these can be of.
func (s *step) spread(ctx context.Context) error {
	gap := s.Network.GapMicros()
	var fresh []tolling.Vehicle
	mark := func(k *kept) {
		for _, name := range k.names {
			if s.soil(name, span{k.micros() - gap, k.micros() + gap}) && !slices.Contains(fresh, name) {
				fresh = append(fresh, name)
			}
		}
	}
	for i := range s.reads {
		k := &s.reads[i]
		if at := k.micros(); at >= s.chunk.from && at <= s.chunk.to && k.touched {
			mark(k)
		}
	}
	for len(fresh) > 0 {
		names := fresh
		fresh = nil
		if err := s.load(ctx, names); err != nil {
			return err
		}
		for _, name := range names {
			for s.stretch(name) {
				if err := s.load(ctx, []tolling.Vehicle{name}); err != nil {
					return err
				}
			}
			for _, i := range s.byName[name] {
				if s.dirty[name].covers(s.reads[i].micros()) {
					mark(&s.reads[i])
				}
			}
		}
	}
	return nil
}

// soil adds a stretch to a vehicle's, and reports whether that is new.
func (s *step) soil(name tolling.Vehicle, add span) bool {
	d := s.dirty[name]
	if d == nil {
		d = &dirty{}
		s.dirty[name] = d
	}
	return d.add(add)
}

func (d *dirty) add(add span) bool {
	for _, one := range d.spans {
		if one.from <= add.from && add.to <= one.to {
			return false
		}
	}
	kept := d.spans[:0]
	for _, one := range d.spans {
		if one.from <= add.to && add.from <= one.to {
			add = span{min(one.from, add.from), max(one.to, add.to)}
			continue
		}
		kept = append(kept, one)
	}
	d.spans = append(kept, add)
	return true
}

func (d *dirty) covers(at int64) bool {
	return slices.ContainsFunc(d.spans, func(one span) bool { return one.from <= at && at <= one.to })
}

func (d *dirty) touches(from, to int64) bool {
	return slices.ContainsFunc(d.spans, func(one span) bool { return one.from <= to && from <= one.to })
}

// stretch makes the stretches of a vehicle hold the passes that they touch,
// and reports whether that changed any.
func (s *step) stretch(name tolling.Vehicle) (changed bool) {
	gap := s.Network.GapMicros()
	d := s.dirty[name]
	for _, r := range s.own[name] {
		if d.touches(r.FirstMicros-gap, r.LastMicros+gap) && d.add(span{r.FirstMicros - gap, r.LastMicros + gap}) {
			changed = true
		}
	}
	return changed
}

// load reads the passes of vehicles that touch their stretches, those close by
// that rules 6 and 7 relate to them, and the passes that carried their names.
func (s *step) load(ctx context.Context, names []tolling.Vehicle) error {
	reach := s.reach()
	for _, name := range names {
		for _, one := range s.dirty[name].spans {
			if err := s.know(ctx, name, span{one.from - reach, one.to + reach}); err != nil {
				return err
			}
		}
	}
	return nil
}

// know reads the passes of a vehicle over a stretch, once.
func (s *step) know(ctx context.Context, name tolling.Vehicle, over span) error {
	for _, asked := range s.asked[name] {
		if asked.from <= over.from && over.to <= asked.to {
			return nil
		}
	}
	s.asked[name] = append(s.asked[name], over)
	found, err := s.view.Passes(ctx, []billing.Window{{
		Facility: s.facility, Vehicle: name.Name, Registered: name.Registered, FromMicros: over.from, ToMicros: over.to,
	}})
	if err != nil {
		return err
	}
	for i := range found {
		if s.rows[found[i].ID] != nil {
			continue
		}
		pass, verdict, err := matcher.PassOf(&found[i])
		if err != nil {
			return err
		}
		r := &row{Pass: found[i], pass: pass, verdict: verdict}
		s.rows[r.ID] = r
		s.own[pass.Vehicle] = append(s.own[pass.Vehicle], r)
	}
	return nil
}
