package finder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freeflow/parking"
	"freeflow/parking/city"
)

// commit writes the round down: all of it, or nothing. A request that its
// driver changed meanwhile is left as it is.
func (r *round) commit(ctx context.Context, steps []step, plan city.Plan) (parking.SpaceRound, error) {
	_, short := r.seated()
	var done parking.SpaceRound
	_, err := r.f.Keeping.Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
		if err := tx.Lock(ctx, "city/round"); err != nil {
			return parking.Answer{}, err
		}
		last, err := lastRound(ctx, tx)
		if err != nil {
			return parking.Answer{}, err
		}
		if last.Number != r.last.Number {
			return parking.Answer{}, errHeld
		}
		done = parking.SpaceRound{Number: last.Number + 1, At: r.now, Drivers: len(r.live), Plans: r.plans, CarParks: map[string]parking.SpaceCount{}}
		w := &writer{round: r, ctx: ctx, tx: tx, done: &done, moved: map[string]bool{}}
		if err := w.all(steps, plan, short); err != nil {
			return parking.Answer{}, err
		}
		if err := tx.PutSpaceRound(ctx, done, keepRounds); err != nil {
			return parking.Answer{}, err
		}
		return parking.Answer{}, nil
	})
	return done, err
}

// writer is one run of a round's transaction.
type writer struct {
	*round
	ctx  context.Context
	tx   parking.Tx
	done *parking.SpaceRound
	// moved are the drivers for whom a step was written.
	moved map[string]bool
}

func (w *writer) all(steps []step, plan city.Plan, short map[string]bool) error {
	for _, x := range w.ended {
		same, err := w.same(x.ID, x.Revision-1)
		if err != nil {
			return err
		}
		if !same {
			continue
		}
		if err := w.f.finish(w.ctx, w.tx, *x); err != nil {
			return err
		}
		w.done.Ended++
	}
	for _, s := range steps {
		if err := w.step(s); err != nil {
			return err
		}
	}
	said := make(map[string]city.Assignment, len(plan.Assignments))
	for _, a := range plan.Assignments {
		said[a.Driver] = a
	}
	for _, x := range w.live {
		if w.moved[x.ID] {
			continue
		}
		a, known := said[x.ID]
		if err := w.stays(x, a, known, short[x.ID]); err != nil {
			return err
		}
	}
	return nil
}

// same reports whether the request stands as the round has read it.
func (w *writer) same(id string, revision int64) (bool, error) {
	now, err := w.tx.SpaceRequest(w.ctx, id)
	if errors.Is(err, parking.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading a space request: %w", err)
	}
	return now.Revision == revision && !now.State.Final(), nil
}

// step writes down that a driver is sent somewhere.
func (w *writer) step(s step) error {
	w.moved[s.driver.ID] = true
	same, err := w.same(s.driver.ID, s.driver.Revision)
	if err != nil || !same {
		return err
	}
	x := *s.driver
	moves := x.State == parking.SpaceAssigned && !s.stays
	if moves {
		x.Moves++
	} else if !s.stays {
		x.State, x.AssignedAt = parking.SpaceAssigned, w.now
		x.HeldUntil = earlier(later(x.Arrives, w.now).Add(w.f.settings.Late), x.RequestedAt.Add(w.f.settings.Live))
	}
	old, from := x.Reservation, x.Place
	x.Pool, x.Reservation = "", ""
	if s.pool >= 0 {
		held, err := w.hold(w.ctx, w.tx, s, x.HeldUntil)
		if err != nil {
			return err
		}
		x.Pool, x.Reservation = held.Pool, held.ID
	}
	if old != "" {
		if _, err := w.f.Attendant.ReleaseIn(w.ctx, w.tx, old); err != nil && !errors.Is(err, parking.ErrNotFound) {
			return err
		}
	}
	x.Short = false
	if !s.stays {
		x.Place, x.Next, x.Why = w.place(&s.to.Place), w.place(s.to.Next), w.whyThere(&x, s.to)
	}
	x.Revision++
	if err := w.tx.PutSpaceRequest(w.ctx, x); err != nil {
		return fmt.Errorf("assigning a driver: %w", err)
	}
	w.count(x.Place.CarPark, parking.SpaceCount{UnderWay: 1, Held: one(x.Reservation != ""), Sent: one(!s.stays)})
	switch {
	case s.stays:
		w.done.Kept++
	case moves:
		w.done.Moved++
		w.count(from.CarPark, parking.SpaceCount{Left: 1})
	default:
		w.done.Assigned++
	}
	return nil
}

// stays writes down what has changed for a driver who is sent nowhere else.
func (w *writer) stays(x *parking.SpaceRequest, a city.Assignment, known, short bool) error {
	y := *x
	if x.State == parking.SpaceAssigned {
		w.done.Kept++
		w.done.Short += one(short)
		w.count(x.Place.CarPark, parking.SpaceCount{UnderWay: 1, Held: one(x.Reservation != "")})
		y.Short = short
	} else {
		w.done.Waiting++
		y.Why = w.whyWaiting(x, a, known)
	}
	if y.Short == x.Short && y.Why == x.Why {
		return nil
	}
	same, err := w.same(x.ID, x.Revision)
	if err != nil || !same {
		return err
	}
	y.Revision++
	if err := w.tx.PutSpaceRequest(w.ctx, y); err != nil {
		return fmt.Errorf("writing down why a driver waits: %w", err)
	}
	return nil
}

func (w *writer) count(carPark string, c parking.SpaceCount) {
	sum := w.done.CarParks[carPark]
	sum.UnderWay, sum.Held, sum.Sent, sum.Left = sum.UnderWay+c.UnderWay, sum.Held+c.Held, sum.Sent+c.Sent, sum.Left+c.Left
	w.done.CarParks[carPark] = sum
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// place is a car park of the plan as it is kept.
func (r *round) place(p *city.Place) *parking.SpacePlace {
	if p == nil {
		return nil
	}
	kept := &parking.SpacePlace{CarPark: p.CarPark, PriceCents: p.PriceCents, WalkMetres: p.WalkMetres, Cost: p.Cost}
	if l := r.lots[p.CarPark]; l != nil {
		kept.Currency = l.currency
	}
	return kept
}

// Run holds the rounds and deletes what is to be forgotten, until ctx ends.
func (f *Finder) Run(ctx context.Context) error {
	look := min(f.settings.Round/4, time.Second)
	tick := time.NewTicker(max(look, 10*time.Millisecond))
	defer tick.Stop()
	var forgot time.Time
	for {
		if _, _, err := f.Round(ctx); err != nil && ctx.Err() == nil {
			f.Log.ErrorContext(ctx, "a round of the city was not held", "err", err)
		}
		if now := f.now(); now.Sub(forgot) >= time.Minute || now.Before(forgot) {
			if err := f.Forget(ctx); err != nil && ctx.Err() == nil {
				f.Log.ErrorContext(ctx, "old space requests are not deleted", "err", err)
			}
			forgot = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// forgetChunk bounds one transaction of Forget.
const forgetChunk = 500

// Forget deletes requests that ended longer ago than they are kept. It works in
// short transactions.
func (f *Finder) Forget(ctx context.Context) error {
	before := f.now().Add(-f.settings.Keep)
	for {
		var n int64
		_, err := f.Keeping.Do(ctx, nil, func(tx parking.Tx) (_ parking.Answer, err error) {
			n, err = tx.ForgetSpaceRequests(ctx, before, forgetChunk)
			return parking.Answer{}, err
		})
		if err != nil || n < forgetChunk {
			return err
		}
	}
}
