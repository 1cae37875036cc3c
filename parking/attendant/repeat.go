package attendant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freeflow/parking"
	"freeflow/parking/reserve"
)

// A vehicle that asks again has one bay all the same: the store refuses a second
// allocation of its mark. What then happens is decided here, in the transaction
// that does it.

// verdict is what becomes of the bay that a vehicle has when it asks for one.
type verdict int

const (
	// sameBay: it is given back to it.
	sameBay verdict = iota
	// instead: the vehicle has not come to it; it is released for the new one.
	instead
	// inside: the vehicle is in it, or may be.
	inside
)

// lookBefore is how long before it was given a bay a vehicle may have passed the
// entry lane: the lane reads first and asks then.
const lookBefore = 30 * time.Minute

// came reports whether the vehicle is known to have come: an entry lane saw it,
// or its machine was told to take it in.
func (w *work) came(x parking.Allocation) (bool, error) {
	if x.Stay != "" {
		return true, nil // a lane began it
	}
	begun, err := w.begun(x)
	if err != nil || begun {
		return begun, err
	}
	st, err := w.tx.StayOf(w.ctx, x.ID)
	if err != nil && !errors.Is(err, parking.ErrNotFound) {
		return false, fmt.Errorf("reading the stay of allocation %s: %w", x.ID, err)
	}
	if err == nil && st.EntryEvent != "" {
		return true, nil
	}
	names := make([]string, 0, 2)
	if x.Vehicle.Plate != "" {
		names = append(names, x.Vehicle.Plate)
	}
	if x.Vehicle.Tag != "" {
		names = append(names, "tag:"+x.Vehicle.Tag)
	}
	for _, name := range names {
		events, err := w.tx.LaneEvents(w.ctx, x.CarPark, name, x.AssignedAt.Add(-lookBefore), w.now.Add(time.Hour))
		if err != nil {
			return false, fmt.Errorf("reading the lane events of allocation %s: %w", x.ID, err)
		}
		for i := range events {
			if events[i].Direction == parking.In {
				return true, nil
			}
		}
	}
	return false, nil
}

// begun reports whether a machine was ever told to take the vehicle in.
func (w *work) begun(x parking.Allocation) (bool, error) {
	if x.Machine == "" {
		return false, nil
	}
	queue, err := w.tx.Queue(w.ctx, x.CarPark, x.Machine)
	if err != nil {
		return false, fmt.Errorf("reading the queue of machine %s of %s: %w", x.Machine, x.CarPark, err)
	}
	for _, c := range queue {
		if c.Allocation == x.ID && (c.State != parking.Queued || c.Attempt > 1) {
			return true, nil
		}
	}
	return false, nil
}

// judge says what becomes of the bay that the vehicle has, now that it asks for
// one as g.
func (w *work) judge(x parking.Allocation, g Given) (verdict, error) {
	here := x.CarPark == g.CarPark
	coming := x.State == parking.Assigned || x.State == parking.Moving && x.StoredAt.IsZero()
	if !coming || !here && x.State != parking.Assigned {
		return inside, nil
	}
	came, err := w.came(x)
	switch {
	case err != nil:
		return inside, err
	case here && came && !w.now.Before(later(x.ComeBy, w.s.comeBy(parking.Allocation{ReadySeconds: x.ReadySeconds}, x.AssignedAt))):
		return inside, nil // it has been there for long
	case here && w.serves(x, g):
		return sameBay, nil
	case here && x.State == parking.Moving, !here && came:
		return inside, nil
	default:
		return instead, nil
	}
}

// serves reports whether the bay that the vehicle has does for what is asked for
// now: its measures may have been taken meanwhile, or a reservation be answered.
func (w *work) serves(x parking.Allocation, g Given) bool {
	bay, _, err := w.s.bay(x.Bay)
	return err == nil && len(bay.Obstacles(g.Vehicle, bay.Pool)) == 0 && (g.Reservation == "" || g.Reservation == x.Reservation)
}

// yield releases the bay that the vehicle has and has not come to.
func (a *Attendant) yield(w *work, x parking.Allocation, reason string) error {
	if x.Machine != "" {
		if err := w.tx.Lock(w.ctx, "machine/"+x.CarPark+"/"+x.Machine); err != nil {
			return fmt.Errorf("locking machine %s of %s: %w", x.Machine, x.CarPark, err)
		}
	}
	sent, err := w.withdraw(x.ID, x.CarPark)
	if err != nil {
		return err
	}
	if sent {
		return &InsideError{Allocation: x.ID, CarPark: x.CarPark}
	}
	if err := w.clearAt(x.CarPark, notCome, x.ID, byDeadline, reason); err != nil {
		return err
	}
	x, err = w.change(x, parking.Cancelled, func(x *parking.Allocation) { x.By, x.Reason = "", reason })
	if err != nil {
		return err
	}
	if other, err := a.site(x.CarPark); err == nil && other != w.s {
		w.after = append(w.after, func() { other.note(change{allocation: &x}) })
	}
	return nil
}

// together is claim for a driver with a reservation, or whose vehicle has a bay
// already: everything changes in one transaction. Errors as of claim, and
// *InsideError.
func (a *Attendant) together(ctx context.Context, s *site, g Given, order *parking.Command, keep Keep[Given]) (Result[Given], error) {
	result, err := run(ctx, a, s, keep, func(w *work) (Given, error) {
		x, err := w.tx.Holding(w.ctx, g.Vehicle)
		switch {
		case errors.Is(err, parking.ErrNotFound):
		case err != nil:
			return g, fmt.Errorf("reading which bay the vehicle has: %w", err)
		default:
			v, err := w.judge(x, g)
			switch {
			case err != nil:
				return g, err
			case v == inside:
				return g, &InsideError{Allocation: x.ID, CarPark: x.CarPark}
			case v == sameBay:
				return s.given(x), nil
			}
			if err := a.yield(w, x, "the vehicle asked for a bay at "+g.CarPark+" and was given another"); err != nil {
				return g, err
			}
		}
		if g.Reservation != "" {
			if err := w.answer(g); err != nil {
				return g, err
			}
		}
		err = w.add(g.Allocation)
		if errors.Is(err, parking.ErrHasBay) {
			// Another request of the vehicle was quicker: look again.
			return g, fmt.Errorf("%w: %w", parking.ErrStale, err)
		}
		if err != nil {
			return g, err
		}
		if order != nil {
			return g, w.order(*order)
		}
		return g, nil
	})
	if err == nil && !result.Answer.Replayed {
		a.warn(ctx, s, result.Value)
	}
	return result, err
}

// override prepares a bay that staff give to a vehicle: one that it has and has
// not come to is released, and beside any other it does not count.
func (a *Attendant) override(w *work, g *Given) error {
	x, err := w.tx.Holding(w.ctx, g.Vehicle)
	switch {
	case errors.Is(err, parking.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("reading which bay the vehicle has: %w", err)
	}
	g.AlreadyInside = true
	if x.State == parking.Assigned {
		came, err := w.came(x)
		if err != nil {
			return err
		}
		if !came {
			g.AlreadyInside = false
			return a.yield(w, x, "staff gave the vehicle bay "+g.Bay+" of "+g.CarPark)
		}
	}
	g.Beside = true
	return nil
}

// given is an allocation that the vehicle has already.
func (s *site) given(x parking.Allocation) Given {
	g := Given{Allocation: x, Same: true}
	if bay, _, err := s.bay(x.Bay); err == nil {
		g.Level = bay.Level
	}
	return g
}

// answer has the reservation answered by the allocation.
func (w *work) answer(g Given) error {
	held, err := w.tx.Reservation(w.ctx, g.Reservation)
	if err != nil {
		return unread("reservation", g.Reservation, err)
	}
	next, err := reserve.Step(held, parking.CheckedIn, w.now)
	if err != nil {
		return err
	}
	next.Allocation = g.ID
	if err := w.tx.PutReservation(w.ctx, next); err != nil {
		return fmt.Errorf("answering reservation %s: %w", next.ID, err)
	}
	return nil
}

// stillThere answers a driver whose vehicle has a bay already and for whom no
// other is free: the one that it has, if that is here.
func (a *Attendant) stillThere(ctx context.Context, s *site, r AllocateRequest, keep Keep[Given]) (Result[Given], bool) {
	g := Given{Allocation: parking.Allocation{CarPark: r.CarPark, Vehicle: r.Vehicle, Reservation: r.Reservation}}
	result, err := run(ctx, a, s, keep, func(w *work) (Given, error) {
		x, err := w.tx.Holding(w.ctx, r.Vehicle)
		if err != nil {
			return g, err
		}
		v, err := w.judge(x, g)
		if err == nil && v != sameBay {
			err = parking.ErrNotFound
		}
		return s.given(x), err
	})
	return result, err == nil
}

// refuseInside answers a driver whose vehicle is inside already, by what the
// books say: the plate may be read wrongly, or used twice, so that a person has
// to look.
func (a *Attendant) refuseInside(ctx context.Context, s *site, r AllocateRequest, keep Keep[Given], in *InsideError) (Result[Given], error) {
	wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.settings.CommitTimeout)
	defer cancel()
	_, err := a.do(wctx, s, nil, func(w *work) (parking.Answer, error) {
		return parking.Answer{}, w.alarm("already-inside", in.Allocation,
			"a vehicle with the plate or tag of this allocation asked for a bay at "+s.def.ID+" and was refused; staff can give it one")
	})
	if err != nil {
		a.log.ErrorContext(ctx, "an alarm was not raised", "car_park", s.def.ID, "error", err)
	}
	return a.known(ctx, s, keep, in, r.Refuse)
}
