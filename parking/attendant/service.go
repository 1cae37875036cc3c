package attendant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"freeflow/parking"
)

// SetOut takes a machine, or some of its lifts, out of service. Cars that are
// asked for keep their places without a promise; cars still at the gate are
// given bays elsewhere. What it was told already it may finish. Errors:
// parking.ErrNotFound, parking.ErrInvalid.
func (a *Attendant) SetOut(ctx context.Context, r ServiceRequest, keep Keep[parking.MachineStatus]) (Result[parking.MachineStatus], error) {
	return a.service(ctx, r, keep, func(t *turn) error {
		if r.LiftsOut > t.machine.Lifts || r.LiftsOut < 0 {
			return fmt.Errorf("machine %s has %d lifts: %w", r.Machine, t.machine.Lifts, parking.ErrInvalid)
		}
		if r.LiftsOut > 0 {
			t.status.LiftsOut, t.status.By, t.status.Reason = r.LiftsOut, r.By, cut(r.Reason)
			t.model.SetLiftsOut(r.LiftsOut)
			if err := t.displace(a, "its lift is out of service: "+r.Reason); err != nil {
				return err
			}
			return t.alarm("lifts-out", t.machine.ID, fmt.Sprintf("%d of %d lifts: %s", r.LiftsOut, t.machine.Lifts, r.Reason))
		}
		return t.takeOut(a, r.By, r.Reason)
	})
}

// SetIn puts a machine with all its lifts back into service; cars that wait are
// promised a time again. parking.ErrConflict while an allocation of it is
// Unknown because a car may stand on the lift: that is said by Resolve.
func (a *Attendant) SetIn(ctx context.Context, r ServiceRequest, keep Keep[parking.MachineStatus]) (Result[parking.MachineStatus], error) {
	return a.service(ctx, r, keep, func(t *turn) error {
		if t.held() {
			if x := t.unresolved(); x != "" {
				return fmt.Errorf("allocation %s of machine %s has to be resolved first: %w", x, r.Machine, parking.ErrConflict)
			}
		}
		return t.putIn(r.By, r.Reason)
	})
}

func (a *Attendant) service(ctx context.Context, r ServiceRequest, keep Keep[parking.MachineStatus], fn func(*turn) error) (Result[parking.MachineStatus], error) {
	none := Result[parking.MachineStatus]{}
	if err := signed(r.By, r.Reason); err != nil {
		return none, err
	}
	s, err := a.site(r.CarPark)
	if err != nil {
		return none, err
	}
	return run(ctx, a, s, keep, func(w *work) (parking.MachineStatus, error) {
		t, err := a.open(w, r.Machine)
		if err != nil {
			return parking.MachineStatus{}, err
		}
		if err := fn(t); err != nil {
			return parking.MachineStatus{}, err
		}
		return w.putMachine(t.status)
	})
}

// held reports whether the machine stands still for a car that may be on its
// lift.
func (t *turn) held() bool {
	return t.status.Out && t.status.By == byMachine && strings.HasPrefix(t.status.Reason, heldReason)
}

// unresolved is an allocation of the machine that is Unknown; empty if none is.
func (t *turn) unresolved() string {
	for _, x := range t.sorted() {
		if x.State == parking.Unknown {
			return x.ID
		}
	}
	return ""
}

// putIn puts the machine back into service and gives promises again.
func (t *turn) putIn(by, reason string) error {
	t.status.Out, t.status.LiftsOut, t.status.By, t.status.Reason = false, 0, by, cut(reason)
	for _, kind := range []string{"machine-out", "lifts-out"} {
		if err := t.clear(kind, t.machine.ID, by, reason); err != nil {
			return err
		}
	}
	t.model.SetLiftsOut(0)
	for i := range t.queue {
		c := t.queue[i]
		x, known := t.active[c.Allocation]
		if c.Kind != parking.Fetch || !known || x.State != parking.Retrieving || !x.PromisedAt.IsZero() {
			continue
		}
		ready, ok := t.foresee(t.queue).ready[c.ID]
		if !ok {
			continue
		}
		ready = later(ready, x.NotBefore)
		ready = ready.Add(max(ready.Sub(t.now)/marginShare, marginLeast)).Truncate(time.Second)
		if _, err := t.becomes(x, x.State, func(x *parking.Allocation) { x.PromisedAt = ready }); err != nil {
			return err
		}
	}
	return nil
}

// Resolve says what is true of an allocation that is Unknown, by a person who
// has looked. Where the machine stood still for it, and nothing else of it is
// unknown, it goes on. Errors: parking.ErrConflict (it is not Unknown, or may
// not go there), parking.ErrBayTaken (the bay where it stands is another's),
// parking.ErrNotFound, parking.ErrInvalid.
func (a *Attendant) Resolve(ctx context.Context, r ResolveRequest, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	none := Result[parking.Allocation]{}
	if err := signed(r.By, r.Reason); err != nil {
		return none, err
	}
	x, s, err := a.at(ctx, r.Allocation)
	if err != nil {
		return none, err
	}
	if x.Machine == "" {
		return run(ctx, a, s, keep, func(w *work) (parking.Allocation, error) {
			x, err := w.tx.Allocation(w.ctx, r.Allocation)
			if err != nil {
				return x, unread("allocation", r.Allocation, err)
			}
			if x.State != parking.Unknown || !x.State.May(r.To) {
				return x, fmt.Errorf("allocation %s is %s and cannot be said to be %s: %w", x.ID, x.State, r.To, parking.ErrConflict)
			}
			if err := w.clear("bay-disagrees", x.ID, r.By, r.Reason); err != nil {
				return x, err
			}
			return w.change(x, r.To, func(x *parking.Allocation) { x.By, x.Reason = r.By, r.Reason })
		})
	}
	return run(ctx, a, s, keep, func(w *work) (parking.Allocation, error) {
		t, err := a.open(w, x.Machine)
		if err != nil {
			return x, err
		}
		return t.resolve(r)
	})
}

func (t *turn) resolve(r ResolveRequest) (parking.Allocation, error) {
	x, known := t.active[r.Allocation]
	if !known || x.State != parking.Unknown || !x.State.May(r.To) {
		return x, fmt.Errorf("allocation %s is %s and cannot be said to be %s: %w", r.Allocation, x.State, r.To, parking.ErrConflict)
	}
	if r.Bay != "" && r.Bay != x.Bay {
		if bay, _, err := t.s.bay(r.Bay); err != nil || bay.Machine != x.Machine {
			return x, fmt.Errorf("bay %s is none of machine %s: %w", r.Bay, x.Machine, errors.Join(parking.ErrInvalid, err))
		}
		if b, held := t.active[t.byBay[r.Bay]]; held && b.State == parking.Blocked && b.By == byMachine {
			if _, err := t.becomes(b, parking.Gone, func(x *parking.Allocation) { x.By, x.Reason = r.By, r.Reason }); err != nil {
				return x, err
			}
			if err := t.clear("bay-blocked", r.Bay, r.By, r.Reason); err != nil {
				return x, err
			}
		} else if held {
			return x, fmt.Errorf("bay %s is held by %s: %w", r.Bay, b.ID, parking.ErrBayTaken)
		}
	}
	x, err := t.becomes(x, r.To, func(x *parking.Allocation) {
		x.By, x.Reason = r.By, r.Reason
		if r.Bay != "" {
			x.Bay = r.Bay
		}
		switch r.To {
		case parking.Stored:
			x.RequestedAt, x.PromisedAt, x.NotBefore = time.Time{}, time.Time{}, time.Time{}
			if x.StoredAt.IsZero() {
				x.StoredAt = t.now
			}
		case parking.Staged:
			x.StagedAt = t.now
		}
	})
	if err != nil {
		return x, err
	}
	if err := t.clear("bay-disagrees", x.ID, r.By, r.Reason); err != nil {
		return x, err
	}
	if err := t.drop(x.ID); err != nil {
		return x, err
	}
	if t.held() && t.unresolved() == "" {
		if err := t.putIn(r.By, r.Reason); err != nil {
			return x, err
		}
		if t.status, err = t.putMachine(t.status); err != nil {
			return x, err
		}
	}
	switch r.To {
	case parking.Assigned:
		order := storeOrder(x)
		order.CreatedAt, order.DueAt = t.now, t.now
		return x, t.order(*order)
	case parking.Retrieving:
		order := parking.Command{ID: newID(), CarPark: x.CarPark, Machine: x.Machine, Kind: parking.Fetch, Allocation: x.ID, Bay: x.Bay,
			State: parking.Queued, Revision: 1, Attempt: 1, CreatedAt: t.now, DueAt: t.now}
		if err := t.promise(&x, &order); err != nil {
			return x, err
		}
		return x, t.order(order)
	}
	return x, nil
}

// replace gives an allocation whose bay turned out to be occupied by something
// else, and whose car is still at the gate, another bay; the old one is blocked
// in the same transaction.
func (a *Attendant) replace(ctx context.Context, s *site, x parking.Allocation) error {
	ctx, cancel := context.WithTimeout(ctx, 2*a.settings.CommitTimeout)
	defer cancel()
	old, _, err := s.bay(x.Bay)
	if err != nil {
		return err
	}
	pool := old.Pool
	lost := map[int]bool{}
	for range mostTries {
		if err := s.refresh(ctx, a); err != nil {
			return err
		}
		c, ok := s.choose(wish{vehicle: x.Vehicle, pool: pool, stay: time.Duration(x.ExpectedStayMinutes) * time.Minute}, lost, true, a.clock.Now())
		if !ok {
			return nil // the alarm stands; staff find the driver a place
		}
		_, err := a.do(ctx, s, nil, func(w *work) (parking.Answer, error) {
			t, err := a.open(w, x.Machine)
			if err != nil {
				return parking.Answer{}, err
			}
			return parking.Answer{}, t.swap(x.ID, c)
		})
		s.release(c.index)
		if !errors.Is(err, parking.ErrBayTaken) {
			return err
		}
		lost[c.index] = true
	}
	return ErrBusy
}

// swap moves an Unknown allocation that never came into its bay to another, and
// blocks the bay.
func (t *turn) swap(id string, c choice) error {
	x, known := t.active[id]
	if !known || x.State != parking.Unknown || x.By != byMachine {
		return nil // a person was quicker
	}
	old := x.Bay
	if err := t.drop(x.ID); err != nil {
		return err
	}
	x, err := t.change(x, parking.Assigned, func(x *parking.Allocation) {
		x.Bay, x.Machine, x.Why, x.Next = c.bay.ID, c.bay.Machine, c.why, c.next
		x.ReadySeconds = int((c.ready + time.Second - 1) / time.Second)
		x.By, x.Reason = byMachine, "bay "+old+" was found occupied"
	})
	if err != nil {
		return err
	}
	delete(t.byBay, old)
	t.active[x.ID] = x
	if err := t.quarantine(old, "the bay was to be free and the machine said otherwise"); err != nil {
		return err
	}
	if err := t.clear("bay-disagrees", x.ID, byMachine, "another bay was given"); err != nil {
		return err
	}
	if order := storeOrder(x); order != nil {
		order.CreatedAt, order.DueAt = t.now, t.now.Add(c.ready)
		return t.order(*order)
	}
	return nil
}
