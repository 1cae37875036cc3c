package rejudge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"freeflow/billing"
	"freeflow/tolling"
	"freeflow/tolling/matcher"
)

// standing is a pass as it stands after the step.
type standing struct {
	pass *tolling.Pass
	// row is what the books have under its id; nil if it is new.
	row *row
	// changed: something other than its end is not as in the books.
	changed bool
	verdict tolling.Verdict
	// decision is what a person decided of it or of what it took in.
	decision *billing.Decision
}

// settle makes the passes of the dirty vehicles anew, and works out what follows
// for the books.
func (s *step) settle(ctx context.Context) (billing.Restated, error) {
	olds := s.olds()
	for _, o := range olds {
		o.frozen = !s.complete(o)
	}
	for {
		a, err := s.anew(olds)
		if err != nil {
			return billing.Restated{}, err
		}
		if a.match() {
			return a.finish(ctx)
		}
	}
}

// olds are the passes of dirty vehicles that their stretches touch, in a fixed
// order.
func (s *step) olds() []*row {
	var olds []*row
	for name, d := range s.dirty {
		for _, r := range s.own[name] {
			if d.touches(r.FirstMicros, r.LastMicros) {
				olds = append(olds, r)
			}
		}
	}
	slices.SortFunc(olds, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.FirstMicros, b.FirstMicros), cmp.Compare(a.ID, b.ID))
	})
	return olds
}

// complete reports whether all reads of the pass are kept: it begins after the
// last read that was pruned, and kept reads bound it and lead through it.
func (s *step) complete(r *row) bool {
	if r.FirstMicros <= s.pruned {
		return false
	}
	var times []int64
	for _, i := range s.byName[r.pass.Vehicle] {
		if k := &s.reads[i]; k.in(r) {
			times = append(times, k.micros())
		}
	}
	slices.Sort(times)
	if len(times) == 0 || times[0] != r.FirstMicros || times[len(times)-1] != r.LastMicros {
		return false
	}
	for i := 1; i < len(times); i++ {
		if times[i]-times[i-1] > s.Network.GapMicros() {
			return false
		}
	}
	return true
}

// in reports whether the read can be in the pass, by place and time.
func (k *kept) in(r *row) bool {
	return k.sighting.Point == r.TollPoint && k.micros() >= r.FirstMicros && k.micros() <= r.LastMicros
}

// anew is one attempt to make passes.
type anew struct {
	*step
	olds []*row
	// news are the passes that the reads make, by vehicle.
	news map[tolling.Vehicle][]*standing
	// all are the same in a fixed order.
	all []*standing
	// moved are the reads that were worked on, skipped the frozen passes that
	// keep touched ones.
	moved   []int
	skipped []string
	// into is where the old passes went that no longer stand.
	into map[*row]*standing
}

// anew makes passes of the reads that name dirty vehicles by the registry
// after; frozen passes stay as they are, and keep their reads.
func (s *step) anew(olds []*row) (*anew, error) {
	a := &anew{step: s, olds: olds, news: map[tolling.Vehicle][]*standing{}, into: map[*row]*standing{}}
	made := make(map[tolling.Vehicle][]*tolling.Pass, len(s.dirty))
	for _, o := range olds {
		if o.frozen {
			made[o.pass.Vehicle] = append(made[o.pass.Vehicle], clone(o.pass))
		}
	}
	for name, d := range s.dirty {
		var reads []int
		for _, i := range s.byName[name] {
			k := &s.reads[i]
			if k.names[byAfter] != name || !d.covers(k.micros()) {
				continue
			}
			if o := a.keeper(k); o != nil {
				if k.touched && !slices.Contains(a.skipped, o.ID) {
					a.skipped = append(a.skipped, o.ID)
				}
				continue
			}
			reads = append(reads, i)
		}
		slices.SortFunc(reads, func(x, y int) int { return s.reads[x].sighting.Order.Compare(s.reads[y].sighting.Order) })
		for _, i := range reads {
			made[name], _ = tolling.Add(made[name], s.reads[i].sighting, s.Network.GapMicros())
		}
		a.moved = append(a.moved, reads...)
	}
	for name, passes := range made {
		if s.dirty[name] == nil {
			return nil, fmt.Errorf("passes of vehicle %s were made that is not worked on", name.Name)
		}
		for _, p := range passes {
			one := &standing{pass: p}
			a.news[name] = append(a.news[name], one)
			a.all = append(a.all, one)
		}
	}
	slices.SortFunc(a.all, func(x, y *standing) int { return comparePasses(x.pass, y.pass) })
	slices.Sort(a.moved)
	return a, nil
}

func comparePasses(p, q *tolling.Pass) int {
	registered := func(v tolling.Vehicle) int {
		if v.Registered {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(p.First, q.First), cmp.Compare(p.Point, q.Point), cmp.Compare(p.Vehicle.Name, q.Vehicle.Name),
		cmp.Compare(registered(p.Vehicle), registered(q.Vehicle)))
}

// clone copies a pass so that joining leaves the original alone.
func clone(p *tolling.Pass) *tolling.Pass {
	c := *p
	c.Marks = slices.Clone(p.Marks)
	return &c
}

// keeper returns the frozen pass that keeps the read, nil if none does.
func (a *anew) keeper(k *kept) *row {
	for _, o := range a.olds {
		if o.frozen && k.in(o) && slices.Contains(k.names[:], o.pass.Vehicle) {
			return o
		}
	}
	return nil
}

// pair is an old and a new pass that have reads in common.
type pair struct {
	old    *row
	new    *standing
	shared int
}

// match gives the new passes the ids of old ones: what was charged is then
// amended, and what a person decided stays with it. It reports false if an old
// pass turns out to have lost its reads; that one is frozen then.
func (a *anew) match() bool {
	pairs := a.pairs()
	taken := map[*row]bool{}
	take := func(fits func(pair) int) {
		// The best first; fits is 0 where the pair does not.
		ranked := slices.DeleteFunc(slices.Clone(pairs), func(p pair) bool { return fits(p) == 0 })
		slices.SortStableFunc(ranked, func(p, q pair) int { return cmp.Or(cmp.Compare(fits(q), fits(p)), cmp.Compare(q.shared, p.shared)) })
		for _, p := range ranked {
			if !taken[p.old] && p.new.row == nil {
				taken[p.old], p.new.row = true, p.old
			}
		}
	}
	decidedFirst := func(p pair) int {
		if p.old.Decision != nil {
			return 2
		}
		return 1
	}
	same := func(p pair) bool {
		return p.old.pass.Vehicle == p.new.pass.Vehicle && p.old.TollPoint == p.new.pass.Point
	}
	// One that begins where the old one did comes first: no two rows may say
	// so of one vehicle at any moment.
	take(func(p pair) int {
		if same(p) && p.old.FirstMicros == p.new.pass.First {
			return 1
		}
		return 0
	})
	take(func(p pair) int {
		if same(p) {
			return decidedFirst(p)
		}
		return 0
	})
	take(decidedFirst)
	for _, o := range a.olds {
		if taken[o] {
			continue
		}
		best := 0
		for _, p := range pairs {
			if p.old == o && p.shared > best {
				best, a.into[o] = p.shared, p.new
			}
		}
		if best == 0 {
			o.frozen = true
			return false
		}
	}
	return true
}

// wholly is more reads than any pass has: a frozen pass is in its own.
const wholly = 1 << 30

// pairs counts the reads that old and new passes have in common, in a fixed
// order.
func (a *anew) pairs() []pair {
	byKey := map[[2]int]int{}
	oldsOf, newsOf := map[tolling.Vehicle][]int{}, map[tolling.Vehicle][]int{}
	for i, o := range a.olds {
		oldsOf[o.pass.Vehicle] = append(oldsOf[o.pass.Vehicle], i)
	}
	for i, n := range a.all {
		newsOf[n.pass.Vehicle] = append(newsOf[n.pass.Vehicle], i)
	}
	find := func(v tolling.Vehicle, point string, at int64) int {
		for _, i := range newsOf[v] {
			if n := a.all[i].pass; n.Point == point && n.First <= at && at <= n.Last {
				return i
			}
		}
		return -1
	}
	findOld := func(v tolling.Vehicle, k *kept) int {
		for _, i := range oldsOf[v] {
			if o := a.olds[i]; !o.frozen && k.in(o) {
				return i
			}
		}
		return -1
	}
	for i, o := range a.olds {
		// One that begins at the same place and instant is paired in any case.
		if n := find(o.pass.Vehicle, o.TollPoint, o.FirstMicros); n >= 0 {
			if o.frozen {
				byKey[[2]int{i, n}] += wholly
			} else if a.all[n].pass.First == o.FirstMicros {
				byKey[[2]int{i, n}]++
			}
		}
	}
	for _, i := range a.moved {
		k := &a.reads[i]
		n := find(k.names[byAfter], k.sighting.Point, k.micros())
		if n < 0 {
			continue
		}
		// A read that was sent twice can be in the passes of two vehicles, if the
		// registry changed between.
		for at, name := range k.names {
			if o := findOld(name, k); o >= 0 && !slices.Contains(k.names[:at], name) {
				byKey[[2]int{o, n}]++
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(byKey), func(x, y [2]int) int { return slices.Compare(x[:], y[:]) })
	pairs := make([]pair, len(keys))
	for i, k := range keys {
		pairs[i] = pair{a.olds[k[0]], a.all[k[1]], byKey[k]}
	}
	return pairs
}

// finish relates and judges the new passes and gives what is to be posted.
func (a *anew) finish(ctx context.Context) (billing.Restated, error) {
	w, err := a.world(ctx)
	if err != nil {
		return billing.Restated{}, err
	}
	w.judge()
	if err := a.mint(ctx); err != nil {
		return billing.Restated{}, err
	}
	restated := billing.Restated{Skipped: a.skipped}
	for _, o := range a.olds {
		n, ended := a.into[o]
		if !ended {
			continue
		}
		p := o.Pass
		p.Revision++
		p.MergedInto = n.pass.ID
		restated.Passes = append(restated.Passes, p)
	}
	for _, n := range w.order {
		revision := int64(1)
		if n.row != nil {
			if !n.changed && n.pass.Last == n.row.LastMicros && matcher.SameVerdict(n.verdict, n.row.verdict) {
				continue
			}
			revision = n.row.Revision + 1
		}
		restated.Passes = append(restated.Passes, matcher.RowOf(n.pass, n.verdict, revision, a.facility, a.Network.Currency()))
	}
	slices.SortFunc(restated.Passes, func(p, q billing.Pass) int { return cmp.Compare(p.ID, q.ID) })
	return restated, nil
}

// mint gives passes their ids: those of the books where they have a row, else
// ids that no pass has.
func (a *anew) mint(ctx context.Context) error {
	used := map[string]bool{}
	for id := range a.rows {
		used[id] = true
	}
	for _, n := range a.all {
		if n.row != nil {
			n.pass.ID = n.row.ID
		}
	}
	for round := 0; ; round++ {
		var ask []string
		for _, n := range a.all {
			if n.row != nil {
				continue
			}
			for used[n.pass.ID] {
				n.pass.ID = tolling.NextID(n.pass.ID)
			}
			ask = append(ask, n.pass.ID)
		}
		if len(ask) == 0 {
			return nil
		}
		known, err := a.view.ByID(ctx, ask)
		if err != nil {
			return err
		}
		if len(known) == 0 {
			return nil
		}
		if round == maxRounds {
			return errors.New("no free ids for new passes were found")
		}
		for i := range known {
			used[known[i].ID] = true
		}
	}
}

// rate is the tolling.Rater of the network.
func (a *anew) rate(point, class string, micros int64) (tolling.Price, bool) {
	toll, err := a.Network.Rate(point, class, time.UnixMicro(micros))
	if err != nil {
		return tolling.Price{}, false
	}
	return tolling.Price{Cents: toll.Cents, Version: toll.Version, Rule: toll.Rule}, true
}
