package attendant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freeflow/parking"
	"freeflow/parking/reserve"
)

// mostTries bounds how often one request tries for a bay: each try that fails is
// another's success, so that far fewer are ever needed.
const mostTries = 1000

// Allocate gives the vehicle the best bay that is free: at once, and if another
// wins that bay, the next best. A vehicle that has a bay here which it has not
// come to is given that one again; one at another car park is released for the
// new one. Errors: *LimitError, *NoBayError, *InsideError, ErrBusy (all four:
// nothing was done), parking.ErrNotFound (car park or reservation),
// parking.ErrConflict (the reservation cannot be answered now),
// parking.ErrInvalid, parking.ErrKeyReused, parking.ErrKeyBusy. With the first
// three, Result.Answer is what was kept if r.Refuse had it kept. After any other
// error the outcome is unknown, and the same request with its Once finds out.
func (a *Attendant) Allocate(ctx context.Context, r AllocateRequest, keep Keep[Given]) (Result[Given], error) {
	began := a.clock.Now()
	result, err := a.allocate(ctx, r, keep)
	a.metrics.Allocations.WithLabelValues(label(result, err)).Inc()
	a.metrics.AllocateSeconds.Observe(a.clock.Now().Sub(began).Seconds())
	return result, err
}

func label(r Result[Given], err error) string {
	var limit *LimitError
	var full *NoBayError
	var in *InsideError
	switch {
	case errors.As(err, &limit):
		return "limit"
	case errors.As(err, &full):
		return "no-bay"
	case errors.As(err, &in):
		return "inside"
	case errors.Is(err, ErrBusy):
		return "busy"
	case err != nil:
		return "error"
	case r.Answer.Replayed:
		return "replayed"
	default:
		return "given"
	}
}

func (a *Attendant) allocate(ctx context.Context, r AllocateRequest, keep Keep[Given]) (Result[Given], error) {
	s, err := a.site(r.CarPark)
	if err != nil {
		return Result[Given]{}, err
	}
	if r.Vehicle.Class == "" || r.ExpectedStayMinutes < 0 {
		return Result[Given]{}, fmt.Errorf("a vehicle class is needed, and an expected stay not below 0: %w", parking.ErrInvalid)
	}
	w := wish{vehicle: r.Vehicle, pool: r.Pool, stay: time.Duration(r.ExpectedStayMinutes) * time.Minute}
	if r.Reservation != "" {
		held, err := a.reservation(ctx, r, &w)
		if err != nil {
			if result, has := a.stillThere(ctx, s, r, keep); held.State == parking.CheckedIn && has {
				return result, nil
			}
			return a.known(ctx, s, keep, err, nil)
		}
		if now := a.clock.Now(); held.End.After(now) && w.stay == 0 {
			w.stay = held.End.Sub(now)
		}
	}
	if o := s.limits(r.Vehicle, w.pool); o != nil {
		return a.known(ctx, s, keep, &LimitError{CarPark: r.CarPark, Obstacles: o}, r.Refuse)
	}
	if err := a.fresh(ctx, s); err != nil {
		return Result[Given]{}, err
	}
	lost := map[int]bool{}
	for range mostTries {
		c, ok := s.choose(w, lost, false, a.clock.Now())
		if !ok {
			// What the picture says is not enough to turn a driver away.
			if err := s.refresh(ctx, a); err != nil {
				return Result[Given]{}, err
			}
			clear(lost)
			if c, ok = s.choose(w, lost, true, a.clock.Now()); !ok {
				if result, has := a.stillThere(ctx, s, r, keep); has {
					return result, nil
				}
				if freed, err := a.expect(ctx, s); err == nil && freed > 0 {
					continue // one that nobody came to
				}
				return a.known(ctx, s, keep, &NoBayError{CarPark: r.CarPark, At: a.clock.Now()}, r.Refuse)
			}
		}
		result, err := a.claim(ctx, s, r, c, keep)
		s.release(c.index)
		if in := (*InsideError)(nil); errors.As(err, &in) {
			return a.refuseInside(ctx, s, r, keep, in)
		}
		if errors.Is(err, parking.ErrBayTaken) {
			a.metrics.Conflicts.Inc()
			lost[c.index] = true
			continue
		}
		return result, err
	}
	return Result[Given]{}, fmt.Errorf("%d bays were lost to others: %w", mostTries, ErrBusy)
}

// fresh sees to it that there is a picture, and that it is not too old: one that
// is a little old is read anew beside the request, one that is much too old
// before it.
func (a *Attendant) fresh(ctx context.Context, s *site) error {
	age, known := s.age(a.clock.Now())
	switch {
	case !known || age > 10*a.settings.ViewAge:
		return s.refresh(ctx, a)
	case age > a.settings.ViewAge:
		a.nudge(s)
	}
	return nil
}

// known answers a request that is refused, unless its key says that it has been
// answered before.
func (a *Attendant) known(ctx context.Context, s *site, keep Keep[Given], refusal error, refuse func(error) (parking.Answer, bool)) (Result[Given], error) {
	if keep.Once == nil {
		return Result[Given]{}, refusal
	}
	answer, err := a.do(ctx, s, keep.Once, func(*work) (parking.Answer, error) {
		if refuse != nil {
			if answer, ok := refuse(refusal); ok {
				return answer, nil
			}
		}
		return parking.Answer{}, refusal
	})
	switch {
	case err != nil:
		return Result[Given]{}, err
	case answer.Replayed:
		return Result[Given]{Answer: answer}, nil
	default:
		return Result[Given]{Answer: answer}, refusal
	}
}

// claim tries for one bay. parking.ErrBayTaken: another has it. *InsideError: the
// vehicle is inside.
func (a *Attendant) claim(ctx context.Context, s *site, r AllocateRequest, c choice, keep Keep[Given]) (Result[Given], error) {
	now := a.now()
	g := Given{Allocation: parking.Allocation{ID: newID(), CarPark: s.def.ID, Bay: c.bay.ID, Machine: c.bay.Machine, Vehicle: r.Vehicle,
		State: parking.Assigned, Revision: 1, AssignedAt: now, ExpectedStayMinutes: r.ExpectedStayMinutes,
		Reservation: r.Reservation, Stay: r.Stay, Why: c.why, Next: c.next,
		ReadySeconds: int((c.ready + time.Second - 1) / time.Second), By: r.By},
		Level: c.bay.Level, Hint: c.hint, AlreadyInside: s.inside(r.Vehicle)}
	g.ComeBy = s.comeBy(g.Allocation, now)
	order := storeOrder(g.Allocation)
	if r.Reservation != "" {
		return a.together(ctx, s, g, order, keep)
	}
	out, err := submit(ctx, a, a.claims, parking.Claim{Allocation: g.Allocation, Command: order, Once: keep.Once, Answer: keep.Answer(g)}, keep.Once)
	switch {
	case err != nil:
		return Result[Given]{}, err
	case out.Answer.Replayed:
		return Result[Given]{Answer: out.Answer}, nil
	case errors.Is(out.Err, parking.ErrHasBay):
		return a.together(ctx, s, g, order, keep)
	case out.Err != nil:
		return Result[Given]{}, out.Err
	}
	changes := []change{{allocation: &g.Allocation}}
	if order != nil {
		changes = append(changes, change{command: order})
	}
	s.note(changes...)
	a.warn(ctx, s, g)
	return Result[Given]{Value: g, Answer: keep.Answer(g)}, nil
}

// storeOrder is the order to the machine for a new allocation; nil where there
// is no machine. It is due when the driver was told that the bay is ready.
func storeOrder(x parking.Allocation) *parking.Command {
	if x.Machine == "" {
		return nil
	}
	return &parking.Command{ID: newID(), CarPark: x.CarPark, Machine: x.Machine, Kind: parking.Store, Allocation: x.ID, Bay: x.Bay,
		State: parking.Queued, Revision: 1, Attempt: 1, CreatedAt: x.AssignedAt,
		DueAt: x.AssignedAt.Add(time.Duration(x.ReadySeconds) * time.Second)}
}

// reservation reads the reservation that the driver answers, for its pool.
func (a *Attendant) reservation(ctx context.Context, r AllocateRequest, w *wish) (parking.Reservation, error) {
	var held parking.Reservation
	err := a.keeping.View(ctx, func(tx parking.Tx) error {
		var err error
		held, err = tx.Reservation(ctx, r.Reservation)
		return err
	})
	if err != nil {
		return held, unread("reservation", r.Reservation, err)
	}
	if held.CarPark != r.CarPark {
		return held, fmt.Errorf("reservation %s is for another car park: %w", r.Reservation, parking.ErrConflict)
	}
	now := a.now()
	if _, err := reserve.Step(held, parking.CheckedIn, now); err != nil {
		return held, err
	}
	if early := held.Start.Add(-checkInEarly); now.Before(early) {
		return held, fmt.Errorf("reservation %s begins at %s and can be answered from %s on: %w", r.Reservation,
			held.Start.UTC().Format(time.RFC3339), early.UTC().Format(time.RFC3339), parking.ErrConflict)
	}
	w.pool, w.reserved = held.Pool, true
	return held, nil
}

// checkInEarly is how long before its start a reservation may be answered.
const checkInEarly = 30 * time.Minute

// warn raises the alarm of a vehicle that is inside already: its plate may be
// read wrongly, or used twice. The driver is not kept waiting for it, nor failed
// by it.
func (a *Attendant) warn(ctx context.Context, s *site, g Given) {
	if !g.AlreadyInside || g.Same {
		return
	}
	wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.settings.CommitTimeout)
	defer cancel()
	_, err := a.do(wctx, s, nil, func(w *work) (parking.Answer, error) {
		// The picture may be behind: the vehicle may have left meanwhile.
		active, err := w.tx.Active(w.ctx, s.def.ID)
		if err != nil {
			return parking.Answer{}, err
		}
		for _, x := range active {
			if x.ID != g.ID && sameVehicle(x.Vehicle, g.Vehicle) {
				return parking.Answer{}, w.alarm("already-inside", g.ID, "the vehicle of this allocation, bay "+g.Bay+", has bay "+x.Bay+" already")
			}
		}
		return parking.Answer{}, nil
	})
	if err != nil {
		a.log.ErrorContext(ctx, "an alarm was not raised", "car_park", s.def.ID, "error", err)
	}
}

// sameVehicle reports whether the two share a mark.
func sameVehicle(a, b parking.Vehicle) bool {
	return a.Plate != "" && a.Plate == b.Plate || a.Tag != "" && a.Tag == b.Tag
}
