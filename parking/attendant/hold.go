package attendant

import (
	"context"
	"fmt"
	"time"

	"freeflow/parking"
	"freeflow/parking/reserve"
)

// HoldIn reserves a place of a pool within the caller's transaction, confirmed
// at once, until the instant given; r.End bounds how long the stay is taken to
// be. It is for who decides on many drivers in one transaction: what that
// transaction undoes was never held. Errors as of Reserve; the kept answer and
// the vehicle's marks are the caller's affair.
func (a *Attendant) HoldIn(ctx context.Context, tx parking.Tx, r ReserveRequest, until time.Time) (parking.Reservation, error) {
	s, pool, err := a.pool(r.CarPark, r.Pool)
	if err != nil {
		return parking.Reservation{}, err
	}
	if !pool.Bookable {
		return parking.Reservation{}, fmt.Errorf("pool %s of %s cannot be reserved: %w", r.Pool, r.CarPark, parking.ErrInvalid)
	}
	w := &work{ctx: ctx, tx: tx, s: s, now: a.now()}
	start, end := r.Start.UTC().Truncate(time.Microsecond), r.End.UTC().Truncate(time.Microsecond)
	if err := span(start, end, w.now); err != nil {
		return parking.Reservation{}, err
	}
	if o := s.poolLimits(r.Vehicle, r.Pool); o != nil {
		return parking.Reservation{}, &LimitError{CarPark: r.CarPark, Obstacles: o}
	}
	if err := tx.Lock(ctx, "pool/"+r.CarPark+"/"+r.Pool); err != nil {
		return parking.Reservation{}, fmt.Errorf("locking pool %s of %s: %w", r.Pool, r.CarPark, err)
	}
	peak, limit, err := w.promised(pool, start, end)
	if err != nil {
		return parking.Reservation{}, err
	}
	if peak >= limit {
		return parking.Reservation{}, &FullError{CarPark: r.CarPark, Pool: r.Pool, Limit: limit, Peak: peak}
	}
	x := parking.Reservation{ID: newID(), CarPark: r.CarPark, Pool: r.Pool, State: parking.Confirmed, Revision: 1, Vehicle: r.Vehicle,
		Account: r.Account, Start: start, End: end, CreatedAt: w.now, Quote: r.Quote, ExpiresAt: until, NoShowAfter: lapse(start, end, until.Sub(start))}
	if err := tx.PutReservation(ctx, x); err != nil {
		return parking.Reservation{}, fmt.Errorf("holding a place of pool %s of %s: %w", r.Pool, r.CarPark, err)
	}
	return x, nil
}

// ReleaseIn gives a place back within the caller's transaction. One that has
// ended already is no error; the reservation as it stands comes back.
func (a *Attendant) ReleaseIn(ctx context.Context, tx parking.Tx, id string) (parking.Reservation, error) {
	x, err := tx.Reservation(ctx, id)
	if err != nil {
		return x, unread("reservation", id, err)
	}
	next, err := reserve.Step(x, parking.ReservationCancelled, a.now())
	if err != nil {
		return x, nil //nolint:nilerr // it has ended, which is what was asked for
	}
	if err := tx.PutReservation(ctx, next); err != nil {
		return x, fmt.Errorf("giving back reservation %s: %w", id, err)
	}
	return next, nil
}
