package simulate

import (
	"slices"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"freeflow/parking/mechanism"
)

// start gives idle lifts of the machine what waits, first come, first served;
// what cannot be done now is passed over.
func (e *engine) start(m int) {
	mc := &e.machine[m]
	for lift := range mc.busy {
		for mc.busy[lift] <= e.now && !mc.out && len(mc.queue) > 0 {
			if !e.next(m, lift) {
				break
			}
		}
	}
	e.refresh(m)
}

// next begins the first order that can be carried out, with a second one of the
// other kind in the same cycle where that saves time.
func (e *engine) next(m, lift int) bool {
	mc := &e.machine[m]
	for i, o := range mc.queue {
		if e.c.Pair && e.pair(m, lift, i) {
			return true
		}
		if o.kind == parking.Store {
			o.own = e.instead(m, o)
		}
		op := mechanism.Operation{Kind: o.kind, Bay: o.own, Lift: lift}
		if o.kind == parking.Store && o.car.gate > e.now {
			from := o.car.gate
			if e.c.Early {
				// Just in time for the driver, who is still driving.
				if estimate, err := mc.model.Estimate(op); err == nil {
					from -= millis(estimate.Ready)
				}
			}
			if from > e.now {
				e.push(event{at: from, kind: wake, machine: m})
				continue
			}
		}
		estimate, err := mc.model.Apply(op)
		if err != nil {
			continue
		}
		mc.queue = slices.Delete(mc.queue, i, i+1)
		mc.report.Slides += estimate.Slides
		e.moved(m, estimate.Relocations)
		late := e.began(m, o, millis(estimate.Ready))
		e.occupy(m, lift, millis(estimate.Cycle)+late)
		return true
	}
	return false
}

func (e *engine) pair(m, lift, i int) bool {
	mc := &e.machine[m]
	first := mc.queue[i]
	for j := i + 1; j < len(mc.queue); j++ {
		second := mc.queue[j]
		if second.kind == first.kind {
			continue
		}
		store, fetch := first, second
		if first.kind == parking.Fetch {
			store, fetch = second, first
		}
		d, err := mc.model.Dual(store.own, fetch.own, lift)
		if err != nil || d.Saving <= 0 || store.car.gate > e.now {
			continue
		}
		if _, err := mc.model.ApplyDual(store.own, fetch.own, lift); err != nil {
			continue
		}
		mc.queue = slices.Delete(mc.queue, j, j+1)
		mc.queue = slices.Delete(mc.queue, i, i+1)
		mc.report.Pairs++
		e.moved(m, d.Relocations)
		e.began(m, store, millis(d.StoreReady))
		e.began(m, fetch, millis(d.FetchReady))
		e.occupy(m, lift, millis(d.Cycle))
		return true
	}
	return false
}

func (e *engine) occupy(m, lift int, cycle millis) {
	mc := &e.machine[m]
	mc.busy[lift] = e.now + cycle
	mc.report.Busy += mechanism.Millis(cycle).Duration()
	e.push(event{at: mc.busy[lift], kind: ready, machine: m, lift: lift})
}

// began notes an order that has begun and will be ready then; it returns how
// much later its driver is there.
func (e *engine) began(m int, o order, after millis) (late millis) {
	mc, c := &e.machine[m], o.car
	user := millis(mc.model.Machine().Timing.UserSeconds) * 1000
	at := e.now + after
	if o.kind == parking.Store {
		mc.report.Stored++
		late = max(c.gate-at, 0)
		c.stored, c.inside = true, at+late+user
		if c.measured {
			wait := at + late - c.gate
			e.r.Entry.record(wait)
			h := e.hour(c.arrived)
			h.entries++
			h.entrySum += wait
		}
		if c.wants {
			c.wants = false
			e.push(event{at: c.inside, kind: request, car: c})
		}
		return late
	}
	mc.report.Fetched++
	// Until it has left, the books hold its bay: nothing is moved there.
	e.promise(m, o.own, true)
	if c.measured {
		wait := at - c.requested
		e.r.Retrieval.record(wait)
		e.r.Total.record(wait + user)
		if e.r.Promise > 0 && wait <= e.r.Promise.Milliseconds() {
			e.r.InPromise++
		}
		if at <= c.promised+5000 {
			e.r.Told++
		}
		h := e.hour(c.requested)
		h.fetches++
		h.fetchSum += wait
	}
	e.push(event{at: at + user, kind: gone, car: c})
	return 0
}

// instead gives the car another bay of its lane where its own cannot be stored
// into any more, and returns the bay.
func (e *engine) instead(m int, o order) int {
	to := e.machine[m].model.Instead(o.own)
	if to == o.own {
		return to
	}
	e.promise(m, o.own, false)
	e.promise(m, to, true)
	e.moved(m, []mechanism.Operation{{From: o.own, Bay: to}})
	e.machine[m].report.MadeWay--
	return to
}

// promise keeps the bay from being used to make way. The bay is the machine's
// own, so that it cannot fail.
func (e *engine) promise(m, own int, promised bool) {
	if err := e.machine[m].model.SetPromised(own, promised); err != nil {
		e.failed = err
	}
}

// moved follows cars that the machine moved to other bays.
func (e *engine) moved(m int, moves []mechanism.Operation) {
	for _, move := range moves {
		from, to := e.byOwn[m][move.From], e.byOwn[m][move.Bay]
		c := e.inBay[from]
		e.inBay[from], e.inBay[to] = nil, c
		e.view.SetFree(from, true)
		e.view.SetFree(to, false)
		e.machine[m].report.MadeWay++
		if c == nil {
			continue
		}
		c.bay = to
		for i := range e.machine[m].queue {
			if e.machine[m].queue[i].car == c {
				e.machine[m].queue[i].own = move.Bay
			}
		}
	}
}

// waiting is how long the machine is busy with what it has.
func (e *engine) waiting(m int) millis {
	mc := &e.machine[m]
	first := mc.busy[0]
	for _, b := range mc.busy {
		first = min(first, b)
	}
	return max(first-e.now, 0) + e.queued(m)
}

// queued is the work of the orders that wait, shared by the lifts; ahead is left
// in the state after them.
func (e *engine) queued(m int) millis {
	mc := &e.machine[m]
	if len(mc.queue) == 0 {
		mc.ahead = mc.model
		return 0
	}
	mc.ahead = mc.model.Clone()
	var sum millis
	for _, o := range mc.queue {
		if o.kind == parking.Store {
			o.own = mc.ahead.Instead(o.own)
		}
		if estimate, err := mc.ahead.Apply(mechanism.Operation{Kind: o.kind, Bay: o.own}); err == nil {
			sum += millis(estimate.Cycle)
		}
	}
	return sum / millis(len(mc.busy))
}

// wait tells the view how long the machine is busy and what is expected of it.
func (e *engine) wait(m int) {
	mc := &e.machine[m]
	if e.policy.Foresees() && (mc.soonAt == 0 || e.now-mc.soonAt >= minute) {
		soon := 0.0
		for _, bay := range e.byOwn[m] {
			if bay >= 0 && e.inBay[bay] != nil {
				soon += e.probability(e.inBay[bay])
			}
		}
		mc.soon, mc.soonAt = int(soon*1000), e.now
	}
	e.view.SetWait(m, mechanism.Millis(e.waiting(m)), mc.soon)
}

// refresh tells the view all about the machine.
func (e *engine) refresh(m int) {
	e.rankedAt = -1
	mc := &e.machine[m]
	e.wait(m)
	if mc.out {
		for _, bay := range e.byOwn[m] {
			if bay >= 0 {
				e.view.SetOut(bay, true)
			}
		}
		return
	}
	e.view.SetMachine(m, mc.model, mc.ahead)
}

// rest lets an idle machine do what helps later. The bays expected next are, for
// every policy alike, those cars whose leaving is expected and the bays that the
// policy itself would give the next vehicles.
func (e *engine) rest(m int) {
	mc := &e.machine[m]
	if mc.out || len(mc.queue) > 0 {
		return
	}
	for _, b := range mc.busy {
		if b > e.now {
			return
		}
	}
	e.learns.Advance(e.instant(e.now))
	if mc.model.Cars() == 0 && e.expected() < quiet {
		return
	}
	weights := make([]int, mc.model.Bays())
	for own, bay := range e.byOwn[m] {
		if bay >= 0 && e.inBay[bay] != nil {
			weights[own] = int(1000 * e.probability(e.inBay[bay]))
		}
	}
	e.look()
	e.expect(m, weights)
	op, gain, ok := mc.model.Idle(func(own int) int { return weights[own] })
	if !ok || gain < idleGain*1000 {
		return
	}
	estimate, err := mc.model.Apply(op)
	if err != nil {
		return
	}
	if op.Kind == parking.Relocate {
		mc.report.Relocated++
		e.moved(m, []mechanism.Operation{op})
		mc.report.MadeWay--
	} else {
		mc.report.Prepared++
		mc.report.Slides += estimate.Slides
	}
	e.occupy(m, op.Lift, millis(estimate.Cycle))
	e.refresh(m)
}

// expected is how many arrivals are expected within the lookahead, in
// thousandths.
func (e *engine) expected() float64 {
	return e.learns.Rate(e.instant(e.now)) * float64(lookahead) / float64(hourMs) * 1000
}

// expect spreads the arrivals expected within the lookahead over the bays that
// the policy prefers now: half to the first, a quarter to the second, and so on.
// Random, which prefers none, spreads them evenly.
func (e *engine) expect(m int, weights []int) {
	rate := e.expected()
	if rate < quiet {
		return
	}
	if e.policy.Name() == allocator.Random {
		free := 0
		for bay := range e.layout.Bays() {
			if e.view.Free(bay) {
				free++
			}
		}
		for own, bay := range e.byOwn[m] {
			if bay >= 0 && e.view.Free(bay) {
				weights[own] += int(rate) / free
			}
		}
		return
	}
	// All machines look at the same instants; most of the time nothing has
	// changed between one and the next.
	if e.rankedAt != e.now {
		d := e.policy.Choose(allocator.Request{Vehicle: e.usual(), Stay: e.learns.Stay(e.view.At)}, e.view)
		e.ranked, e.rankedAt = d.Ranked, e.now
	}
	for i, bay := range e.ranked {
		share := rate / float64(int64(2)<<min(i, 40))
		if share < 1 {
			break
		}
		if at, own := e.layout.Place(bay); at == m {
			weights[own] += int(share)
		}
	}
}

// usual is a vehicle that most bays admit.
func (e *engine) usual() parking.Vehicle {
	return parking.Vehicle{Class: e.c.CarPark.Bays[0].Classes[0], LengthMM: 4500, WidthMM: 1800, HeightMM: 1500, WeightKG: 1500}
}
