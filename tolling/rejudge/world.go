package rejudge

import (
	"context"
	"slices"

	"freeflow/tolling"
	"freeflow/tolling/matcher"
)

// world is all passes that the step knows, as they stand after it.
type world struct {
	*anew
	// of are the standing passes by vehicle: new ones of dirty vehicles, and
	// those of the books that nothing was made of.
	of map[tolling.Vehicle][]*standing
	// known are those of the books, by id.
	known map[string]bool
	// order has them all, the new ones first.
	order []*standing
}

// world relates the new passes to others by rule 7: it finds every pass of an
// unassigned mark's own vehicle of which a carrier came, went or moved.
func (a *anew) world(ctx context.Context) (*world, error) {
	w := &world{anew: a, of: map[tolling.Vehicle][]*standing{}, known: map[string]bool{}}
	for _, o := range a.olds {
		w.known[o.ID] = true
	}
	for _, n := range a.all {
		w.of[n.pass.Vehicle] = append(w.of[n.pass.Vehicle], n)
		w.order = append(w.order, n)
		if n.row != nil {
			n.decision = n.row.Decision
		}
	}
	for o, n := range a.into {
		if o.Decision == nil {
			continue
		}
		// What was decided of one is not what was decided of both.
		overtaken := *o.Decision
		if n.decision != nil {
			overtaken = *n.decision
		}
		overtaken.Basis = ""
		n.decision, n.changed = &overtaken, true
	}
	w.take()
	affected, err := w.carried(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range a.all {
		frozen := n.row != nil && n.row.frozen
		n.pass.SameCar = frozen && n.pass.SameCar
		if !n.pass.Vehicle.Registered && w.sameCar(n.pass) {
			n.pass.SameCar = true
		}
		n.changed = n.changed || n.row == nil || !samePass(n.pass, n.row.pass)
	}
	for _, q := range affected {
		if is := w.sameCar(q.pass); is != q.pass.SameCar {
			q.pass.SameCar, q.changed = is, true
		}
	}
	return w, nil
}

// take adds passes of the books that were read since.
func (w *world) take() {
	var fresh []*row
	for id, r := range w.rows {
		if !w.known[id] {
			w.known[id] = true
			fresh = append(fresh, r)
		}
	}
	slices.SortFunc(fresh, func(a, b *row) int { return comparePasses(a.pass, b.pass) })
	for _, r := range fresh {
		q := &standing{pass: clone(r.pass), row: r, verdict: r.verdict, decision: r.Decision}
		w.of[q.pass.Vehicle] = append(w.of[q.pass.Vehicle], q)
		w.order = append(w.order, q)
	}
}

// carried reads the passes of the vehicles whose marks old or new passes carry,
// and returns those, not made anew, that come within the gap of one.
func (w *world) carried(ctx context.Context) ([]*standing, error) {
	gap := w.Network.GapMicros()
	var carriers []*tolling.Pass
	for _, o := range w.olds {
		if len(o.Marks) > 0 {
			carriers = append(carriers, o.pass)
		}
	}
	for _, n := range w.anew.all {
		if len(n.pass.Marks) > 0 {
			carriers = append(carriers, n.pass)
		}
	}
	var affected []*standing
	for _, p := range carriers {
		for _, mark := range p.Marks {
			own := tolling.Vehicle{Name: mark}
			if err := w.know(ctx, own, span{p.First - w.reach(), p.Last + w.reach()}); err != nil {
				return nil, err
			}
			w.take()
			for _, q := range w.of[own] {
				if slices.Contains(w.anew.all, q) || q.pass.Point != p.Point || !q.pass.Near(p, gap) || slices.Contains(affected, q) {
					continue
				}
				// Others that carried its mark, and what it may turn round after.
				if err := w.know(ctx, own, span{q.pass.First - w.reach(), q.pass.Last + w.reach()}); err != nil {
					return nil, err
				}
				affected = append(affected, q)
			}
			w.take()
		}
	}
	return affected, nil
}

// sameCar is rule 7 for a pass of an unassigned mark's own vehicle.
func (w *world) sameCar(q *tolling.Pass) bool {
	return slices.ContainsFunc(w.order, func(p *standing) bool {
		return p.pass.Point == q.Point && slices.Contains(p.pass.Marks, q.Vehicle.Name) && p.pass.Near(q, w.Network.GapMicros())
	})
}

// samePass compares what the rules know of two passes, but for their ends and
// ids.
func samePass(p, q *tolling.Pass) bool {
	return p.Vehicle == q.Vehicle && p.Point == q.Point && p.First == q.First && p.Holder == q.Holder &&
		p.Measured == q.Measured && p.Strong == q.Strong && p.Conflict == q.Conflict && p.SameCar == q.SameCar &&
		slices.Equal(p.Marks, q.Marks)
}

// judge gives a verdict on every pass that changed, and on those whose verdict
// hangs on one that did (rule 6).
func (w *world) judge() {
	turn := w.Network.TurnRoundMicros()
	moved := w.movedFirsts()
	for _, n := range w.order {
		hangs := slices.ContainsFunc(moved[n.pass.Vehicle], func(at int64) bool { return at <= n.pass.First && n.pass.First-at < turn })
		if !n.changed && !hangs {
			if n.row != nil {
				n.verdict = n.row.verdict
			}
			continue
		}
		rules := tolling.Judge(n.pass, w.opposite(n.pass), turn, w.rate)
		n.verdict = matcher.Ruled(n.pass, n.decision, rules)
	}
}

// movedFirsts are the instants at which passes of a vehicle began, or begin, but
// not both.
func (w *world) movedFirsts() map[tolling.Vehicle][]int64 {
	type begin struct {
		vehicle tolling.Vehicle
		point   string
		at      int64
	}
	before, after := map[begin]bool{}, map[begin]bool{}
	for _, o := range w.olds {
		before[begin{o.pass.Vehicle, o.TollPoint, o.FirstMicros}] = true
	}
	for _, n := range w.anew.all {
		after[begin{n.pass.Vehicle, n.pass.Point, n.pass.First}] = true
	}
	moved := map[tolling.Vehicle][]int64{}
	for b := range before {
		if !after[b] {
			moved[b.vehicle] = append(moved[b.vehicle], b.at)
		}
	}
	for b := range after {
		if !before[b] {
			moved[b.vehicle] = append(moved[b.vehicle], b.at)
		}
	}
	return moved
}

// opposite returns the vehicle's passes in other directions.
func (w *world) opposite(p *tolling.Pass) []*tolling.Pass {
	point, _ := w.Network.Point(p.Point)
	var found []*tolling.Pass
	for _, q := range w.of[p.Vehicle] {
		if other, ok := w.Network.Point(q.pass.Point); ok && other.Direction != point.Direction {
			found = append(found, q.pass)
		}
	}
	return found
}
