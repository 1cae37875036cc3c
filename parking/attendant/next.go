package attendant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

const (
	// touchEvery is how often a machine's sign of life is written down.
	touchEvery = 15 * time.Second
	// worthMoving is what an idle movement has to save, in thousandths of a
	// millisecond: two seconds of one driver who is sure to come.
	worthMoving = 2000 * 1000
	// soon is how far ahead idle movements look.
	soon = 30 * time.Minute
)

// Next says what the machine is to do now. An order that its controller has not
// reported about yet is given again, under the same id. Errors:
// parking.ErrNotFound, parking.ErrInvalid (no boot).
func (a *Attendant) Next(ctx context.Context, p Poll) (Turn, error) {
	s, err := a.site(p.CarPark)
	if err != nil {
		return Turn{}, err
	}
	if p.Boot == "" {
		return Turn{}, fmt.Errorf("a poll of machine %s without its boot: %w", p.Machine, parking.ErrInvalid)
	}
	if _, err := s.machine(p.Machine); err != nil {
		return Turn{}, err
	}
	var turn *Turn
	var act func() error
	// Most polls change nothing: they cost one snapshot and no lock.
	err = a.keeping.View(ctx, func(tx parking.Tx) error {
		t, err := a.load(&work{ctx: ctx, tx: tx, s: s, now: a.now()}, p.Machine)
		if err != nil {
			return err
		}
		turn, act = a.decide(t, p)
		return nil
	})
	if err != nil {
		return Turn{}, fmt.Errorf("reading machine %s of %s: %w", p.Machine, p.CarPark, err)
	}
	if act == nil {
		return *turn, nil
	}
	_, err = a.do(ctx, s, nil, func(w *work) (parking.Answer, error) {
		t, err := a.open(w, p.Machine)
		if err != nil {
			return parking.Answer{}, err
		}
		if turn, act = a.decide(t, p); act != nil {
			return parking.Answer{}, act()
		}
		return parking.Answer{}, nil
	})
	if errors.Is(err, parking.ErrBayTaken) {
		// A vehicle was given the bay that a car was to be moved to.
		return Turn{RetryAfter: a.settings.PollEvery}, nil
	}
	if err != nil {
		return Turn{}, fmt.Errorf("deciding what machine %s of %s does: %w", p.Machine, p.CarPark, err)
	}
	return *turn, nil
}

// decide says what the controller is told, and what has to be written for it;
// act is nil where nothing has, and else may add to the turn.
func (a *Attendant) decide(t *turn, p Poll) (turn *Turn, act func() error) {
	turn = &Turn{RetryAfter: a.settings.PollEvery}
	if t.status.Boot != p.Boot || !t.status.Reconciled {
		turn.InventoryWanted = true
		return turn, nil
	}
	if orphans := t.orphans(); len(orphans) > 0 {
		return turn, func() error {
			for _, c := range orphans {
				if _, err := t.settled(c, parking.Withdrawn, ""); err != nil {
					return err
				}
			}
			return t.save()
		}
	}
	if t.now.Sub(t.status.ReportedAt) > touchEvery {
		act = t.save
	}
	if t.status.Out {
		return turn, act
	}
	running, waiting := t.s.jobs(t.queue, t.machine.ID, t.allocation)
	for i := range running {
		if running[i].command.State == parking.Sent {
			turn.Command = &running[i].command
			return turn, act
		}
	}
	capacity := max(t.machine.Lifts-t.status.LiftsOut, 1)
	busy := len(running)
	for x := range t.each {
		if x.State == parking.Staged {
			busy++ // the gate is a car's until its driver has left
		}
	}
	if busy >= capacity {
		return turn, act
	}
	free := waiting[:0:0]
	for _, j := range waiting {
		if j.command.Allocation == "" || !t.sentFor(j.command.Allocation) {
			free = append(free, j)
		}
	}
	lift := min(busy, t.machine.Lifts-1)
	free, stuck := t.feasible(place(t.model, free))
	i, wakes := pick(t.model, free, t.now, lift)
	if i >= 0 {
		return turn, t.send(turn, free[i])
	}
	if len(stuck) > 0 && len(running) == 0 {
		return turn, func() error { return t.unstick(a, stuck) }
	}
	if wait := wakes.Sub(t.now); !wakes.IsZero() && wait < turn.RetryAfter {
		turn.RetryAfter = max(wait, 0)
	}
	// What waits is wanted later: time to make way for it.
	if len(running) == 0 && (wakes.IsZero() && len(free) == 0 || wakes.Sub(t.now) > 2*time.Minute) {
		if idle := t.idle(turn); idle != nil {
			return turn, idle
		}
	}
	return turn, act
}

// orphans are waiting orders that have lost their sense.
func (t *turn) orphans() []parking.Command {
	var out []parking.Command
	for _, c := range t.queue {
		if c.State != parking.Queued {
			continue
		}
		x, known := t.active[c.Allocation]
		switch c.Kind {
		case parking.Store:
			if !known || x.State != parking.Assigned || x.Bay != c.Bay {
				out = append(out, c)
			}
		case parking.Fetch:
			if !known || x.State != parking.Retrieving || x.Bay != c.Bay {
				out = append(out, c)
			}
		}
	}
	return out
}

// send gives the order to the machine, or first the movement that makes way for
// it.
func (t *turn) send(turn *Turn, j job) func() error {
	if j.command.Kind == parking.Fetch {
		// Feasible has asked the same.
		if e, err := t.model.Estimate(j.op); err == nil && len(e.Relocations) > 0 {
			return t.relocate(turn, e.Relocations[0], j.command.DueAt)
		}
	}
	return func() error {
		if j.command.Kind == parking.Store {
			x := t.active[j.command.Allocation]
			// From here on nobody may give the bay back: the car may be on its
			// way into it.
			to := t.s.bayOf(t.machine.ID, j.op.Bay)
			if _, err := t.becomes(x, parking.Moving, func(x *parking.Allocation) { x.Bay = to }); err != nil {
				return err
			}
			j.command.Bay = to
		}
		c, err := t.settled(j.command, parking.Sent, "")
		if err != nil {
			return err
		}
		turn.Command = &c
		return nil
	}
}

// feasible are the orders that the machine could carry out now, and stuck those
// whose way is blocked by cars for which nothing makes way.
func (t *turn) feasible(jobs []job) (free, stuck []job) {
	for _, j := range jobs {
		if _, err := t.model.Estimate(j.op); errors.Is(err, mechanism.ErrBlocked) || errors.Is(err, mechanism.ErrReserve) {
			stuck = append(stuck, j)
			continue
		}
		free = append(free, j)
	}
	return free, stuck
}

// unstick finds other bays for cars at the gate that cannot be brought into
// theirs, and tells people of cars that cannot be reached.
func (t *turn) unstick(a *Attendant, stuck []job) error {
	for _, j := range stuck {
		x, known := t.active[j.command.Allocation]
		switch {
		case j.command.Kind == parking.Store && known:
			ctx, s := t.ctx, t.s
			t.after = append(t.after, func() { a.later(ctx, s, x, "", "cars stand before it") })
		case j.command.Kind == parking.Fetch && !t.s.told("cannot-reach/"+x.ID, t.now):
			if err := t.alarm("cannot-reach", j.command.Allocation, "bay "+j.command.Bay+": cars stand before it and there is no place for them"); err != nil {
				return err
			}
		}
	}
	return nil
}

// reserved is the model for idle movements: all bays of a rack or tower that any
// allocation holds count as occupied. In lanes the model itself knows which
// places are promised.
func (t *turn) reserved() mechanism.Model {
	if t.machine.Depth > 1 {
		return t.model
	}
	m := t.model.Clone()
	for own := range m.Bays() {
		if _, held := t.active[t.byBay[t.s.bayOf(t.machine.ID, own)]]; held {
			_ = m.SetOccupied(own, true) // own is in range
		}
	}
	return m
}

// relocationReason begins the reason of a block that keeps the place where a car
// is being moved to; the order's id follows.
const relocationReason = "kept for movement "

// relocation reports whether the allocation is such a block, and of which order.
func relocation(x parking.Allocation) (bool, string) {
	id, ok := strings.CutPrefix(x.Reason, relocationReason)
	return ok && x.State == parking.Blocked && x.By == byRelocation, id
}

// byRelocation is who blocks the place where a car is being moved to.
const byRelocation = "relocation"

// relocate orders a car to be moved within the machine. Its new place is blocked
// until it stands there, so that the car has both meanwhile.
func (t *turn) relocate(turn *Turn, op mechanism.Operation, due time.Time) func() error {
	from, to := t.s.bayOf(t.machine.ID, op.From), t.s.bayOf(t.machine.ID, op.Bay)
	x, known := t.active[t.byBay[from]]
	if !known || x.State != parking.Stored && x.State != parking.Retrieving || t.byBay[to] != "" || t.sentFor(x.ID) {
		return nil
	}
	return func() error {
		c := parking.Command{ID: newID(), CarPark: t.s.def.ID, Machine: t.machine.ID, Kind: parking.Relocate, Allocation: x.ID,
			Bay: to, From: from, State: parking.Sent, Revision: 1, Attempt: 1, DueAt: due, CreatedAt: t.now, SentAt: t.now}
		bay, _, err := t.s.bay(to)
		if err != nil {
			return err
		}
		b := block(t.s, bay, byRelocation, relocationReason+c.ID, t.now)
		if err := t.add(b); err != nil {
			return err
		}
		t.set(b)
		if err := t.order(c); err != nil {
			return err
		}
		turn.Command = &c
		return nil
	}
}

// idle orders what makes the next requests faster while nobody waits: nil if
// nothing is worth it.
func (t *turn) idle(turn *Turn) func() error {
	op, gain, ok := t.reserved().Idle(t.weights())
	if !ok || gain < worthMoving {
		return nil
	}
	switch op.Kind {
	case parking.Relocate:
		return t.relocate(turn, op, t.now)
	case parking.Prepare:
	default:
		return nil
	}
	bay := t.s.bayOf(t.machine.ID, op.Bay)
	if bay == "" {
		return nil
	}
	return func() error {
		c := parking.Command{ID: newID(), CarPark: t.s.def.ID, Machine: t.machine.ID, Kind: parking.Prepare, Bay: bay,
			State: parking.Sent, Revision: 1, Attempt: 1, DueAt: t.now, CreatedAt: t.now, SentAt: t.now}
		if err := t.order(c); err != nil {
			return err
		}
		turn.Command = &c
		return nil
	}
}

// weights are how much each bay of the machine is expected to be asked for soon,
// in thousandths of an operation.
func (t *turn) weights() mechanism.Weight {
	t.s.mu.Lock()
	rate := int(t.s.forecast.Rate(t.now) * 500) // arrivals in half an hour, thousandths
	free := max(len(t.s.def.Bays)-len(t.s.byBay), 1)
	t.s.mu.Unlock()
	of := make([]int, t.model.Bays())
	for own := range of {
		x, held := t.active[t.byBay[t.s.bayOf(t.machine.ID, own)]]
		switch {
		case !held:
			of[own] = rate / free
		case x.State == parking.Retrieving:
			// Who comes sooner has to stand before who comes later.
			away := max(x.NotBefore.Sub(t.now), 0)
			of[own] = 1000 + max(1000-int(away/time.Minute), 0)
		case x.State != parking.Stored:
		case x.ExpectedStayMinutes > 0:
			leaves := x.AssignedAt.Add(time.Duration(x.ExpectedStayMinutes) * time.Minute)
			if away := leaves.Sub(t.now); away > -soon && away < soon {
				of[own] = 500
			}
		default:
			of[own] = 20
		}
	}
	return func(bay int) int { return of[bay] }
}
