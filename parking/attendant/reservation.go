package attendant

import (
	"context"
	"fmt"
	"time"

	"freeflow/parking"
	"freeflow/parking/reserve"
)

const (
	// usualHold and usualNoShow are for pools that do not say.
	usualHold   = 5 * time.Minute
	usualNoShow = 60 * time.Minute
	// mostAhead and longest bound what can be asked for.
	mostAhead = 366 * 24 * time.Hour
	longest   = 62 * 24 * time.Hour
	// overstay is how long a car that has stayed beyond its reservation is
	// expected to stay yet.
	overstay = time.Hour
	// lookBack is how long before a time asked for a reservation can begin that
	// still touches it.
	lookBack = longest
)

// Reserve holds a right to one bay of a pool over [Start, End) until its stored
// deadline. Errors: *FullError, parking.ErrNotFound, parking.ErrInvalid,
// *LimitError (the vehicle fits no bay of the pool), parking.ErrKeyReused,
// parking.ErrKeyBusy.
func (a *Attendant) Reserve(ctx context.Context, r ReserveRequest, keep Keep[parking.Reservation]) (Result[parking.Reservation], error) {
	none := Result[parking.Reservation]{}
	s, pool, err := a.pool(r.CarPark, r.Pool)
	if err != nil {
		return none, err
	}
	if !pool.Bookable {
		return none, fmt.Errorf("pool %s of %s cannot be reserved: %w", r.Pool, r.CarPark, parking.ErrInvalid)
	}
	start, end := r.Start.UTC().Truncate(time.Microsecond), r.End.UTC().Truncate(time.Microsecond)
	if err := span(start, end, a.now()); err != nil {
		return none, err
	}
	if o := s.poolLimits(r.Vehicle, r.Pool); o != nil {
		return none, &LimitError{CarPark: r.CarPark, Obstacles: o}
	}
	return run(ctx, a, s, keep, func(w *work) (parking.Reservation, error) {
		// Two that count the same places at once would both find the last one.
		if err := w.tx.Lock(w.ctx, "pool/"+r.CarPark+"/"+r.Pool); err != nil {
			return parking.Reservation{}, fmt.Errorf("locking pool %s of %s: %w", r.Pool, r.CarPark, err)
		}
		peak, limit, err := w.promised(pool, start, end)
		if err != nil {
			return parking.Reservation{}, err
		}
		if peak >= limit {
			return parking.Reservation{}, &FullError{CarPark: r.CarPark, Pool: r.Pool, Limit: limit, Peak: peak}
		}
		x := parking.Reservation{ID: newID(), CarPark: r.CarPark, Pool: r.Pool, State: parking.Held, Revision: 1, Vehicle: r.Vehicle,
			Account: r.Account, Start: start, End: end, CreatedAt: w.now, Quote: r.Quote,
			ExpiresAt:   w.now.Add(or(time.Duration(pool.HoldSeconds)*time.Second, usualHold)),
			NoShowAfter: lapse(start, end, or(time.Duration(pool.NoShowAfterMinutes)*time.Minute, usualNoShow))}
		if err := w.tx.PutReservation(w.ctx, x); err != nil {
			return x, fmt.Errorf("holding a place of pool %s of %s: %w", r.Pool, r.CarPark, err)
		}
		return x, nil
	})
}

func or(d, usual time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return usual
}

// lapse is when a driver who has not come has lost the place: never after the
// end of what was reserved.
func lapse(start, end time.Time, after time.Duration) time.Time {
	if at := start.Add(after); at.Before(end) {
		return at
	}
	return end
}

func span(start, end, now time.Time) error {
	switch {
	case !start.Before(end):
		return fmt.Errorf("a reservation ends after it begins: %w", parking.ErrInvalid)
	case !end.After(now):
		return fmt.Errorf("the time asked for is past: %w", parking.ErrInvalid)
	case start.Sub(now) > mostAhead:
		return fmt.Errorf("a reservation is made at most %d days ahead: %w", int(mostAhead.Hours()/24), parking.ErrInvalid)
	case end.Sub(start) > longest:
		return fmt.Errorf("a reservation is for at most %d days: %w", int(longest.Hours()/24), parking.ErrInvalid)
	default:
		return nil
	}
}

func (a *Attendant) pool(carPark, pool string) (*site, *parking.Pool, error) {
	s, err := a.site(carPark)
	if err != nil {
		return nil, nil, err
	}
	p, ok := s.def.Pool(pool)
	if !ok {
		return nil, nil, &parking.NotFoundError{Kind: "pool", ID: pool, At: carPark}
	}
	return s, p, nil
}

// poolLimits is limits over the bays of a pool alone. Measures that are not
// known yet are no obstacle: they are taken on arrival.
func (s *site) poolLimits(v parking.Vehicle, pool string) []parking.Obstacle {
	var found []parking.Obstacle
	for i := range s.def.Bays {
		b := &s.def.Bays[i]
		if b.Pool != pool {
			continue
		}
		known := make([]parking.Obstacle, 0, 4)
		for _, o := range b.Obstacles(v, pool) {
			if o.Allowed == 0 || o.Given > 0 {
				known = append(known, o)
			}
		}
		if len(known) == 0 {
			return nil
		}
		if found == nil || len(known) < len(found) {
			found = known
		}
	}
	return found
}

// promised returns how many places of the pool are promised at the busiest
// instant of [start, end), and how many may be.
func (w *work) promised(pool *parking.Pool, start, end time.Time) (peak, limit int, err error) {
	rows, err := w.tx.Reservations(w.ctx, w.s.def.ID, pool.ID, start.Add(-lookBack), end)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the reservations of pool %s of %s: %w", pool.ID, w.s.def.ID, err)
	}
	active, err := w.tx.Active(w.ctx, w.s.def.ID)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the bays of %s: %w", w.s.def.ID, err)
	}
	ends := make(map[string]time.Time, len(rows))
	var spans []reserve.Span
	for i := range rows {
		ends[rows[i].ID] = rows[i].End
		if rows[i].Counts(w.now) {
			spans = append(spans, reserve.Span{Start: rows[i].Start, End: rows[i].End})
		}
	}
	capacity := 0
	for i := range w.s.def.Bays {
		if w.s.def.Bays[i].Pool == pool.ID {
			capacity++
		}
	}
	for _, x := range active {
		bay, _, err := w.s.bay(x.Bay)
		if err != nil || bay.Pool != pool.ID {
			continue
		}
		if x.State == parking.Blocked {
			capacity-- // nobody knows for how long
			continue
		}
		spans = append(spans, reserve.Span{Start: x.AssignedAt, End: leaves(x, ends[x.Reservation], w.now)})
	}
	return reserve.Peak(spans, start, end), reserve.Limit(capacity, pool.NoShowPermille, pool.OverbookPermille), nil
}

// leaves is until when a car in the pool is taken to stay: to the end of its
// reservation or of the stay that was named, an hour yet if that is past, and
// for ever if nothing is known.
func leaves(x parking.Allocation, reserved, now time.Time) time.Time {
	end := reserved
	if end.IsZero() && x.ExpectedStayMinutes > 0 {
		end = x.AssignedAt.Add(time.Duration(x.ExpectedStayMinutes) * time.Minute)
	}
	if end.IsZero() {
		return time.Time{}
	}
	if !end.After(now) {
		return now.Add(overstay)
	}
	return end
}

// Availability says how many places of the pool are left over [start, end), and
// how many may be promised in all. Errors: parking.ErrNotFound,
// parking.ErrInvalid.
func (a *Attendant) Availability(ctx context.Context, carPark, pool string, start, end time.Time) (left, limit int, err error) {
	s, p, err := a.pool(carPark, pool)
	if err != nil {
		return 0, 0, err
	}
	if err := span(start, end, a.now()); err != nil {
		return 0, 0, err
	}
	peak := 0
	err = a.keeping.View(ctx, func(tx parking.Tx) error {
		var err error
		peak, limit, err = (&work{ctx: ctx, tx: tx, s: s, now: a.now()}).promised(p, start, end)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("counting the places of pool %s of %s: %w", pool, carPark, err)
	}
	return max(limit-peak, 0), limit, nil
}

// Confirm turns a hold that has not ended into a reservation. Confirmed already
// is no error. Errors: parking.ErrConflict (ended, or its deadline has passed),
// parking.ErrNotFound.
func (a *Attendant) Confirm(ctx context.Context, id string, keep Keep[parking.Reservation]) (Result[parking.Reservation], error) {
	return a.step(ctx, id, parking.Confirmed, keep)
}

// CancelReservation gives the place back. Cancelled already is no error. Errors
// as of Confirm.
func (a *Attendant) CancelReservation(ctx context.Context, id string, keep Keep[parking.Reservation]) (Result[parking.Reservation], error) {
	return a.step(ctx, id, parking.ReservationCancelled, keep)
}

func (a *Attendant) step(ctx context.Context, id string, to parking.ReservationState, keep Keep[parking.Reservation]) (Result[parking.Reservation], error) {
	return run(ctx, a, nil, keep, func(w *work) (parking.Reservation, error) {
		x, err := w.tx.Reservation(w.ctx, id)
		if err != nil {
			return x, unread("reservation", id, err)
		}
		if x.State == to {
			return x, nil
		}
		next, err := reserve.Step(x, to, w.now)
		if err != nil {
			return x, err
		}
		if err := w.tx.PutReservation(w.ctx, next); err != nil {
			return x, fmt.Errorf("changing reservation %s to %s: %w", id, to, err)
		}
		return next, nil
	})
}
