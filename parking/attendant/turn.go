package attendant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// turn is one transaction about one machine, with all that the store says of it.
type turn struct {
	*work
	machine *parking.Machine
	status  parking.MachineStatus
	// queue are the machine's orders that have not ended.
	queue []parking.Command
	// active are the allocations of the machine's bays, by id and by bay.
	active map[string]parking.Allocation
	byBay  map[string]string
	model  mechanism.Model
}

// open locks the machine and reads it.
func (a *Attendant) open(w *work, machine string) (*turn, error) {
	if err := w.lock(machine); err != nil {
		return nil, err
	}
	return a.load(w, machine)
}

// load reads the machine without locking it.
func (a *Attendant) load(w *work, machine string) (*turn, error) {
	m, err := w.s.machine(machine)
	if err != nil {
		return nil, err
	}
	t := &turn{work: w, machine: m, status: parking.MachineStatus{CarPark: w.s.def.ID, ID: machine},
		active: map[string]parking.Allocation{}, byBay: map[string]string{}}
	all, err := w.tx.Machines(w.ctx, w.s.def.ID)
	if err != nil {
		return nil, fmt.Errorf("reading the machines of %s: %w", w.s.def.ID, err)
	}
	for _, status := range all {
		if status.ID == machine {
			t.status = status
		}
	}
	if t.queue, err = w.tx.Queue(w.ctx, w.s.def.ID, machine); err != nil {
		return nil, fmt.Errorf("reading the queue of machine %s of %s: %w", machine, w.s.def.ID, err)
	}
	active, err := w.tx.Active(w.ctx, w.s.def.ID)
	if err != nil {
		return nil, fmt.Errorf("reading the bays of %s: %w", w.s.def.ID, err)
	}
	for _, x := range active {
		if bay, _, err := w.s.bay(x.Bay); err == nil && bay.Machine == machine {
			t.set(x)
		}
	}
	t.model = w.s.model(*m, t.status, func(bay int) (parking.Allocation, bool) {
		x, ok := t.active[t.byBay[w.s.def.Bays[bay].ID]]
		return x, ok
	})
	if t.machine.Depth > 1 {
		weight := t.weights()
		for own := range t.model.Bays() {
			if t.model.Occupied(own) {
				_ = t.model.SetWanted(own, weight(own)) // own is in range
			}
		}
	}
	return t, nil
}

// set takes over what has become of an allocation.
func (t *turn) set(x parking.Allocation) {
	if old, ok := t.active[x.ID]; ok && t.byBay[old.Bay] == x.ID {
		delete(t.byBay, old.Bay)
	}
	if x.State.Final() {
		delete(t.active, x.ID)
		return
	}
	t.active[x.ID] = x
	t.byBay[x.Bay] = x.ID
}

func (t *turn) allocation(id string) (parking.Allocation, bool) {
	x, ok := t.active[id]
	return x, ok
}

func (t *turn) each(yield func(parking.Allocation) bool) {
	for _, x := range t.active {
		if !yield(x) {
			return
		}
	}
}

// becomes is change for an allocation of this machine.
func (t *turn) becomes(x parking.Allocation, to parking.State, edit func(*parking.Allocation)) (parking.Allocation, error) {
	x, err := t.change(x, to, edit)
	if err == nil {
		t.set(x)
	}
	return x, err
}

// doubt makes an allocation Unknown.
func (t *turn) doubt(x parking.Allocation, detail string) (parking.Allocation, error) {
	x, err := t.unknown(x, detail)
	if err == nil {
		t.set(x)
	}
	return x, err
}

// settled takes over what has become of an order.
func (t *turn) settled(c parking.Command, state parking.CommandState, detail string) (parking.Command, error) {
	c, err := t.to(c, state, detail)
	if err != nil {
		return c, err
	}
	for i := range t.queue {
		if t.queue[i].ID == c.ID {
			if state.Final() {
				t.queue = append(t.queue[:i:i], t.queue[i+1:]...)
			} else {
				t.queue[i] = c
			}
			break
		}
	}
	return c, nil
}

// carried puts what an order has moved into the model's memory, and stores it.
func (t *turn) carried(c parking.Command) error {
	var op mechanism.Operation
	op.Kind = c.Kind
	if !t.s.own(c.Bay, t.machine.ID, &op.Bay) || c.Kind == parking.Relocate && !t.s.own(c.From, t.machine.ID, &op.From) {
		return nil
	}
	// The model is made of the books, which a store or fetch has not changed
	// yet when this is called; where a car was to be moved, its place was kept.
	if c.Kind == parking.Relocate {
		_ = t.model.SetPromised(op.Bay, false) // own has given a bay of the machine
	}
	if _, err := t.model.Apply(op); err != nil && !surprised(err) {
		return fmt.Errorf("machine %s: carrying out %s of %s: %w", t.machine.ID, c.Kind, c.Bay, err)
	}
	t.status.Memory = t.model.Encode()
	return nil
}

// surprised reports whether the model's refusal only says that the model was wrong
// about the machine; what the machine did wins.
func surprised(err error) bool {
	for _, e := range []error{mechanism.ErrOccupied, mechanism.ErrEmpty, mechanism.ErrBlocked, mechanism.ErrReserve, mechanism.ErrOut, mechanism.ErrUnable} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// save stores the machine's status.
func (t *turn) save() error {
	t.status.ReportedAt = t.now
	status, err := t.putMachine(t.status)
	t.status = status
	return err
}

// takeOut takes the machine out of service: cars that were promised keep their
// place without a promise, and those still at the gate are given other bays
// after this transaction.
func (t *turn) takeOut(a *Attendant, by, reason string) error {
	t.status.Out, t.status.By, t.status.Reason = true, by, cut(reason)
	if err := t.alarm("machine-out", t.machine.ID, reason); err != nil {
		return err
	}
	return t.displace(a, reason)
}

// displace takes promises back and finds other bays for what waits at the gate:
// of all bays where the whole machine is out, else of those without a lift.
func (t *turn) displace(a *Attendant, reason string) error {
	without := ""
	if t.status.Out {
		without = t.machine.ID
	}
	for _, x := range t.sorted() {
		if !t.status.Out && !t.cutOff(x) {
			continue
		}
		switch x.State {
		case parking.Retrieving:
			if x.PromisedAt.IsZero() {
				continue
			}
			if _, err := t.becomes(x, x.State, func(x *parking.Allocation) { x.PromisedAt = time.Time{} }); err != nil {
				return err
			}
		case parking.Assigned:
			if t.sentFor(x.ID) {
				continue
			}
			x, ctx, s := x, t.ctx, t.s
			t.after = append(t.after, func() { a.later(ctx, s, x, without, reason) })
		}
	}
	return nil
}

// cutOff reports whether no lift that works serves the allocation's bay.
func (t *turn) cutOff(x parking.Allocation) bool {
	op := mechanism.Operation{Kind: parking.Fetch}
	if x.State == parking.Assigned {
		op.Kind = parking.Store
	}
	if !t.s.own(x.Bay, t.machine.ID, &op.Bay) {
		return false
	}
	_, err := t.model.Estimate(op)
	return errors.Is(err, mechanism.ErrOut)
}

// sorted are the machine's allocations in the order of their ids, so that a
// transaction that is run again does the same.
func (t *turn) sorted() []parking.Allocation {
	out := make([]parking.Allocation, 0, len(t.active))
	for _, x := range t.active {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b parking.Allocation) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// later finds another bay for a car after the transaction that closed its own.
func (a *Attendant) later(ctx context.Context, s *site, x parking.Allocation, without, reason string) {
	tctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*a.settings.CommitTimeout)
	defer cancel()
	if err := a.rehome(tctx, s, x, without, reason); err != nil {
		a.log.ErrorContext(ctx, "a car at the gate has no other bay yet", "car_park", s.def.ID, "allocation", x.ID, "error", err)
	}
}
