package attendant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freeflow/parking"
)

// Release ends an allocation: the vehicle is gone and its bay free. While the
// car is in a machine, or moved by it, that is parking.ErrConflict: it has to be
// fetched first, or staff have to say what became of it (Resolve); where no
// controller of the machine was ever heard of it is taken at its word. Errors:
// parking.ErrNotFound, ErrBusy, parking.ErrKeyReused, parking.ErrKeyBusy.
func (a *Attendant) Release(ctx context.Context, r EndRequest, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	return a.finish(ctx, r, parking.Gone, keep)
}

// Cancel ends an allocation whose vehicle never came into its bay. Errors as of
// Release.
func (a *Attendant) Cancel(ctx context.Context, r EndRequest, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	return a.finish(ctx, r, parking.Cancelled, keep)
}

func (a *Attendant) finish(ctx context.Context, r EndRequest, to parking.State, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	x, s, err := a.find(ctx, r.Allocation)
	if err != nil {
		return Result[parking.Allocation]{}, err
	}
	if x.Machine == "" && x.State != parking.Blocked {
		return a.depart(ctx, s, x, r, to, keep)
	}
	return run(ctx, a, s, keep, func(w *work) (parking.Allocation, error) {
		x, err := w.tx.Allocation(w.ctx, r.Allocation)
		if err != nil {
			return x, unread("allocation", r.Allocation, err)
		}
		manned := false
		if x.Machine != "" {
			if err := w.lock(x.Machine); err != nil {
				return x, err
			}
			if x, err = w.tx.Allocation(w.ctx, r.Allocation); err != nil {
				return x, unread("allocation", r.Allocation, err)
			}
			if manned, err = w.manned(x.Machine); err != nil {
				return x, err
			}
		}
		if err := mayEnd(x, to, manned); err != nil {
			return x, err
		}
		sent, err := w.withdraw(x.ID, x.CarPark)
		if err != nil {
			return x, err
		}
		if sent {
			return x, fmt.Errorf("allocation %s: its machine is moving the car: %w", x.ID, parking.ErrConflict)
		}
		staged := x.State == parking.Staged
		if x, err = w.change(x, to, func(x *parking.Allocation) { x.By, x.Reason = r.By, r.Reason }); staged {
			w.after = append(w.after, func() { s.drove(x) })
		}
		return x, err
	})
}

// manned reports whether a controller of the machine has ever been heard of.
func (w *work) manned(machine string) (bool, error) {
	all, err := w.tx.Machines(w.ctx, w.s.def.ID)
	if err != nil {
		return false, fmt.Errorf("reading the machines of %s: %w", w.s.def.ID, err)
	}
	for _, m := range all {
		if m.ID == machine {
			return m.Boot != "", nil
		}
	}
	return false, nil
}

// mayEnd says why an allocation may not end now: a car in a machine does not
// vanish, and its bay is not free because somebody says so. Where no controller
// of the machine was ever heard of, manned is false, and the operator's word is
// all there is.
func mayEnd(x parking.Allocation, to parking.State, manned bool) error {
	refuse := func(why string) error {
		return fmt.Errorf("allocation %s is %s: %s: %w", x.ID, x.State, why, parking.ErrConflict)
	}
	switch {
	case x.State.Final():
		return refuse("it has ended")
	case x.State == parking.Blocked:
		return refuse("a block is lifted by unblocking its bay")
	case x.State == parking.Unknown:
		return refuse("staff have to say what became of it")
	case x.Machine == "":
		return nil
	case x.State == parking.Assigned, x.State == parking.Staged && to == parking.Gone, !manned && x.State.May(to):
		return nil
	default:
		return refuse("the car is in its machine and has to be fetched first")
	}
}

// depart ends an allocation of a bay without a machine, in a batch.
func (a *Attendant) depart(ctx context.Context, s *site, x parking.Allocation, r EndRequest, to parking.State, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	after := x
	after.State, after.Revision, after.EndedAt, after.By, after.Reason = to, x.Revision+1, a.now(), r.By, r.Reason
	out, err := submit(ctx, a, a.departures, parking.Departure{Allocation: x.ID, To: to, By: r.By, Reason: r.Reason,
		Once: keep.Once, Answer: keep.Answer(after)}, keep.Once)
	switch {
	case err != nil:
		return Result[parking.Allocation]{}, err
	case out.Answer.Replayed:
		return Result[parking.Allocation]{Answer: out.Answer}, nil
	case out.Err != nil:
		return Result[parking.Allocation]{}, out.Err
	}
	s.note(change{allocation: &out.After})
	return Result[parking.Allocation]{Value: out.After, Answer: keep.Answer(after)}, nil
}

// find returns an allocation from the picture, or else from the store, and its
// site. It may be a little old: what is done with it is judged by the store.
func (a *Attendant) find(ctx context.Context, id string) (parking.Allocation, *site, error) {
	for _, s := range a.all() {
		s.mu.Lock()
		x, ok := s.active[id]
		s.mu.Unlock()
		if ok {
			return x, s, nil
		}
	}
	return a.at(ctx, id)
}

// Block closes a bay that no allocation holds. parking.ErrBayTaken where one
// does; parking.ErrNotFound, parking.ErrInvalid.
func (a *Attendant) Block(ctx context.Context, r BlockRequest, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	none := Result[parking.Allocation]{}
	if err := signed(r.By, r.Reason); err != nil {
		return none, err
	}
	s, err := a.site(r.CarPark)
	if err != nil {
		return none, err
	}
	bay, _, err := s.bay(r.Bay)
	if err != nil {
		return none, err
	}
	return run(ctx, a, s, keep, func(w *work) (parking.Allocation, error) {
		x := block(s, bay, r.By, r.Reason, w.now)
		return x, w.add(x)
	})
}

func block(s *site, bay *parking.Bay, by, reason string, now time.Time) parking.Allocation {
	return parking.Allocation{ID: newID(), CarPark: s.def.ID, Bay: bay.ID, Machine: bay.Machine, State: parking.Blocked,
		Revision: 1, AssignedAt: now, By: by, Reason: cut(reason)}
}

// Unblock opens a blocked bay again. parking.ErrConflict where it is not
// blocked.
func (a *Attendant) Unblock(ctx context.Context, r BlockRequest, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	none := Result[parking.Allocation]{}
	if err := signed(r.By, r.Reason); err != nil {
		return none, err
	}
	s, err := a.site(r.CarPark)
	if err != nil {
		return none, err
	}
	if _, _, err := s.bay(r.Bay); err != nil {
		return none, err
	}
	return run(ctx, a, s, keep, func(w *work) (parking.Allocation, error) {
		x, held, err := w.holder(r.Bay)
		if err != nil {
			return x, err
		}
		if !held || x.State != parking.Blocked {
			return x, fmt.Errorf("bay %s of %s is not blocked: %w", r.Bay, r.CarPark, parking.ErrConflict)
		}
		if by, command := relocation(x); by {
			return x, fmt.Errorf("bay %s is kept for the movement %s: %w", r.Bay, command, parking.ErrConflict)
		}
		if err := w.clear("bay-blocked", r.Bay, r.By, r.Reason); err != nil {
			return x, err
		}
		return w.change(x, parking.Gone, func(x *parking.Allocation) { x.By, x.Reason = r.By, r.Reason })
	})
}

// holder returns the allocation that holds the bay.
func (w *work) holder(bay string) (parking.Allocation, bool, error) {
	active, err := w.tx.Active(w.ctx, w.s.def.ID)
	if err != nil {
		return parking.Allocation{}, false, fmt.Errorf("reading the bays of %s: %w", w.s.def.ID, err)
	}
	for _, x := range active {
		if x.Bay == bay {
			return x, true, nil
		}
	}
	return parking.Allocation{}, false, nil
}

// hard returns the obstacles that hold even for staff: measures and class. The
// rest (permit, pool) are rights, which staff may grant.
func hard(b *parking.Bay, v parking.Vehicle) []parking.Obstacle {
	var out []parking.Obstacle
	for _, o := range b.Obstacles(v, b.Pool) {
		if o.Limit != "accessible" {
			out = append(out, o)
		}
	}
	return out
}

// Assign gives a particular bay to a vehicle, by staff. Measures and class bind
// them too (*LimitError); permit and pool do not. parking.ErrBayTaken where the
// bay is held or blocked; parking.ErrConflict where its machine is out of
// service.
func (a *Attendant) Assign(ctx context.Context, r AssignRequest, keep Keep[Given]) (Result[Given], error) {
	if err := signed(r.By, r.Reason); err != nil {
		return Result[Given]{}, err
	}
	s, err := a.site(r.CarPark)
	if err != nil {
		return Result[Given]{}, err
	}
	bay, index, err := s.bay(r.Bay)
	if err != nil {
		return Result[Given]{}, err
	}
	if o := hard(bay, r.Vehicle); len(o) > 0 {
		return Result[Given]{}, &LimitError{CarPark: r.CarPark, Obstacles: o}
	}
	if err := a.fresh(ctx, s); err != nil {
		return Result[Given]{}, err
	}
	if err := s.serves(bay); err != nil {
		return Result[Given]{}, err
	}
	result, err := run(ctx, a, s, keep, func(w *work) (Given, error) {
		g := Given{Allocation: parking.Allocation{ID: newID(), CarPark: s.def.ID, Bay: bay.ID, Machine: bay.Machine, Vehicle: r.Vehicle,
			State: parking.Assigned, Revision: 1, AssignedAt: w.now, ExpectedStayMinutes: r.ExpectedStayMinutes, Stay: r.Stay,
			Why: "chosen by staff: " + r.Reason, ReadySeconds: s.seconds(index, w.now), By: r.By, Reason: r.Reason},
			Level: bay.Level, AlreadyInside: s.inside(r.Vehicle)}
		g.ComeBy = s.comeBy(g.Allocation, w.now)
		if err := a.override(w, &g); err != nil {
			return g, err
		}
		if err := w.add(g.Allocation); err != nil {
			return g, err
		}
		if order := storeOrder(g.Allocation); order != nil {
			return g, w.order(*order)
		}
		return g, nil
	})
	if err == nil && !result.Answer.Replayed {
		a.warn(ctx, s, result.Value)
	}
	return result, err
}

// serves refuses a bay whose machine is out of service.
func (s *site) serves(bay *parking.Bay) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := s.status[bay.Machine]; ok && bay.Machine != "" && m.Out {
		return fmt.Errorf("machine %s is out of service: %w", bay.Machine, parking.ErrConflict)
	}
	return nil
}

// seconds is readyIn for a bay chosen by hand.
func (s *site) seconds(index int, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
	return int((s.readyIn(index, now) + time.Second - 1) / time.Second)
}

// Move gives an allocation another bay, by staff: before the car is in a
// machine, or between bays that drivers drive into. Errors as of Assign;
// parking.ErrConflict too while the car is in a machine.
func (a *Attendant) Move(ctx context.Context, r MoveRequest, keep Keep[Given]) (Result[Given], error) {
	if err := signed(r.By, r.Reason); err != nil {
		return Result[Given]{}, err
	}
	x, s, err := a.at(ctx, r.Allocation)
	if err != nil {
		return Result[Given]{}, err
	}
	bay, index, err := s.bay(r.Bay)
	if err != nil {
		return Result[Given]{}, err
	}
	if o := hard(bay, x.Vehicle); len(o) > 0 {
		return Result[Given]{}, &LimitError{CarPark: x.CarPark, Obstacles: o}
	}
	if err := a.fresh(ctx, s); err != nil {
		return Result[Given]{}, err
	}
	if err := s.serves(bay); err != nil {
		return Result[Given]{}, err
	}
	return a.move(ctx, s, r.Allocation, choice{index: index, bay: bay, why: "chosen by staff: " + r.Reason,
		ready: time.Duration(s.seconds(index, a.clock.Now())) * time.Second}, r.By, r.Reason, keep)
}

// move changes the bay of an allocation whose car no machine has yet.
func (a *Attendant) move(ctx context.Context, s *site, id string, c choice, by, reason string, keep Keep[Given]) (Result[Given], error) {
	return run(ctx, a, s, keep, func(w *work) (Given, error) {
		x, err := w.tx.Allocation(w.ctx, id)
		if err != nil {
			return Given{}, unread("allocation", id, err)
		}
		if x.Machine != "" {
			if err := w.lock(x.Machine); err != nil {
				return Given{}, err
			}
			if x, err = w.tx.Allocation(w.ctx, id); err != nil {
				return Given{}, unread("allocation", id, err)
			}
		}
		switch {
		case x.State == parking.Assigned, x.Machine == "" && c.bay.Machine == "" && x.State == parking.Stored:
		default:
			return Given{}, fmt.Errorf("allocation %s is %s and cannot be moved now: %w", x.ID, x.State, parking.ErrConflict)
		}
		if x.Bay == c.bay.ID {
			return Given{}, fmt.Errorf("allocation %s has bay %s already: %w", x.ID, x.Bay, parking.ErrConflict)
		}
		sent, err := w.withdraw(x.ID, x.CarPark)
		if err != nil {
			return Given{}, err
		}
		if sent {
			return Given{}, fmt.Errorf("allocation %s: its machine has been told to take the car: %w", x.ID, parking.ErrConflict)
		}
		x, err = w.change(x, x.State, func(x *parking.Allocation) {
			x.Bay, x.Machine, x.Why, x.Next = c.bay.ID, c.bay.Machine, c.why, c.next
			x.ReadySeconds, x.By, x.Reason = int((c.ready+time.Second-1)/time.Second), by, reason
			if !x.ComeBy.IsZero() {
				x.ComeBy = s.comeBy(*x, w.now)
			}
		})
		if err != nil {
			return Given{}, err
		}
		g := Given{Allocation: x, Level: c.bay.Level}
		if order := storeOrder(x); order != nil {
			order.CreatedAt = w.now
			order.DueAt = w.now.Add(c.ready)
			return g, w.order(*order)
		}
		return g, nil
	})
}

// rehome finds another bay for a car that is still at the gate of a machine
// that will not take it, in another machine than without. It gives up, with an
// alarm, where there is none.
func (a *Attendant) rehome(ctx context.Context, s *site, x parking.Allocation, without, reason string) error {
	lost := map[int]bool{}
	pool := ""
	if b, _, err := s.bay(x.Bay); err == nil {
		pool = b.Pool
	}
	for range mostTries {
		if err := s.refresh(ctx, a); err != nil {
			return err
		}
		c, ok := s.choose(wish{vehicle: x.Vehicle, pool: pool, without: without,
			stay: time.Duration(x.ExpectedStayMinutes) * time.Minute}, lost, true, a.clock.Now())
		if !ok {
			_, err := a.do(ctx, s, nil, func(w *work) (parking.Answer, error) {
				return parking.Answer{}, w.alarm("no-other-bay", x.ID, "bay "+x.Bay+" cannot be used ("+reason+") and no other is free")
			})
			return err
		}
		_, err := a.move(ctx, s, x.ID, c, byMachine, reason, Keep[Given]{})
		s.release(c.index)
		switch {
		case errors.Is(err, parking.ErrBayTaken):
			lost[c.index] = true
		case errors.Is(err, parking.ErrConflict), errors.Is(err, parking.ErrNotFound):
			return nil // it has moved on by itself
		default:
			return err
		}
	}
	return fmt.Errorf("finding another bay for allocation %s: %w", x.ID, ErrBusy)
}
