package finder

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"freeflow/parking"
	"freeflow/parking/attendant"
	"freeflow/parking/city"
)

const (
	// mostPlans bounds how often a round is planned anew where a place turned
	// out not to be there.
	mostPlans = 8
	// keepRounds is how many rounds are kept.
	keepRounds = 1000
	// poolHorizon is how far ahead pools are looked at when a round is planned;
	// what a hold itself needs is looked at when it is made.
	poolHorizon = 3 * time.Hour
)

// errHeld: another process held the round meanwhile.
var errHeld = errors.New("another process held the round")

// lostError says that a pool had no place for a driver after all.
type lostError struct {
	driver, carPark, pool string
}

func (e *lostError) Error() string {
	return fmt.Sprintf("pool %s of %s has no place for a driver", e.pool, e.carPark)
}

// round is a round in the making.
type round struct {
	f    *Finder
	now  time.Time
	last parking.SpaceRound
	// live are the requests that are decided on, ended those that are over, as
	// they will stand.
	live, ended []*parking.SpaceRequest
	lots        map[string]*lot
	grid        city.Grid
	// barred are car parks, and full the pools, that proved to have nothing for
	// a driver in this round; by driver, then by car park or car park and pool.
	barred, full map[string]map[string]bool
	plans        int
}

// step is one driver's assignment.
type step struct {
	driver *parking.SpaceRequest
	to     city.Assignment
	// pool is the index of the pool that has a place; -1: a bay is counted.
	pool int
	// stays says that the driver is sent nowhere else: a place is held for him
	// where one was only counted.
	stays bool
}

// Round holds the round that is due. It reports false where none is, or where
// another process was quicker. An error leaves everything as it was.
func (f *Finder) Round(ctx context.Context) (parking.SpaceRound, bool, error) {
	r := &round{f: f, now: f.now(), barred: map[string]map[string]bool{}, full: map[string]map[string]bool{}}
	due, err := r.open(ctx)
	if err != nil || !due {
		return parking.SpaceRound{}, false, err
	}
	for {
		steps, plan, err := r.plan(ctx)
		if err != nil {
			return parking.SpaceRound{}, false, fmt.Errorf("planning a round: %w", err)
		}
		held, err := r.commit(ctx, steps, plan)
		var lost *lostError
		switch {
		case err == nil:
			return held, true, nil
		case errors.Is(err, errHeld), errors.Is(err, parking.ErrConflict):
			return parking.SpaceRound{}, false, nil
		case errors.As(err, &lost) && r.plans < 4*mostPlans:
			note(r.full, lost.driver, lost.carPark+"/"+lost.pool)
		default:
			return parking.SpaceRound{}, false, fmt.Errorf("committing a round: %w", err)
		}
	}
}

func note(in map[string]map[string]bool, driver, what string) {
	if in[driver] == nil {
		in[driver] = map[string]bool{}
	}
	in[driver][what] = true
}

// open reads what is decided on; false if no round is due.
func (r *round) open(ctx context.Context) (due bool, err error) {
	reservations := map[string]parking.Reservation{}
	var all []parking.SpaceRequest
	err = r.f.Keeping.View(ctx, func(tx parking.Tx) error {
		live, earliest, err := tx.SpaceLoad(ctx)
		if err != nil {
			return err
		}
		if r.last, err = lastRound(ctx, tx); err != nil {
			return err
		}
		if due = live > 0 && !r.now.Before(r.f.due(r.last, earliest)); !due {
			return nil
		}
		if all, err = tx.LiveSpaceRequests(ctx, "", r.f.settings.Drivers); err != nil {
			return err
		}
		for _, x := range all {
			if x.Reservation == "" {
				continue
			}
			held, err := tx.Reservation(ctx, x.Reservation)
			if err != nil && !errors.Is(err, parking.ErrNotFound) {
				return err
			}
			reservations[x.ID] = held
		}
		return nil
	})
	if err != nil || !due {
		return false, err
	}
	until := r.now.Add(poolHorizon)
	if r.lots, r.grid, err = r.f.lots(ctx, r.now, until); err != nil {
		return false, fmt.Errorf("reading the car parks for a round: %w", err)
	}
	for i := range all {
		x := &all[i]
		held, ok := reservations[x.ID]
		if over, ends := r.over(*x, held, ok); ends {
			over.Revision++
			r.ended = append(r.ended, &over)
			continue
		}
		r.live = append(r.live, x)
	}
	return true, nil
}

// over is the request at its end, where it has come to one.
func (r *round) over(x parking.SpaceRequest, held parking.Reservation, hasHeld bool) (parking.SpaceRequest, bool) {
	end := func(state parking.SpaceState, at time.Time, why string) (parking.SpaceRequest, bool) {
		x.State, x.EndedAt, x.Why = state, at, why
		return x, true
	}
	if hasHeld && held.State == parking.CheckedIn {
		return end(parking.SpaceArrived, later(held.EndedAt, x.RequestedAt), "the car has its bay")
	}
	if x.Vehicle.Plate != "" {
		for _, id := range slices.Sorted(maps.Keys(r.lots)) {
			at, inside := r.lots[id].plates[x.Vehicle.Plate]
			switch {
			case !inside || at.Before(x.RequestedAt):
			case x.Place != nil && x.Place.CarPark == id:
				return end(parking.SpaceArrived, at, "the car has its bay")
			default:
				return end(parking.SpaceWithdrawn, at, "the car has a bay of another car park")
			}
		}
	}
	if hasHeld && held.State == parking.ReservationCancelled {
		return end(parking.SpaceWithdrawn, later(held.EndedAt, x.RequestedAt), "the reservation was cancelled")
	}
	return r.f.lapsed(x, r.now)
}

// driverOf is a request as the city's plan sees it.
func driverOf(x *parking.SpaceRequest, at city.Point, fixed bool) city.Driver {
	d := city.Driver{
		ID: x.ID, Requested: x.RequestedAt, Destination: at, MaxPriceCents: x.MaxPriceCents, MaxWalkMetres: x.MaxWalkMetres,
		LambdaPerMille: x.LambdaPerMille, Kind: city.Kind{Class: x.Vehicle.Class, EV: x.Charger, Accessible: x.Accessible},
		HeightMM: x.Vehicle.HeightMM, StayMinutes: x.StayMinutes, Arrives: x.Arrives, Fixed: fixed,
	}
	if x.State == parking.SpaceAssigned && x.Place != nil {
		d.Current = &city.Reservation{CarPark: x.Place.CarPark, PriceCents: x.Place.PriceCents}
	}
	return d
}

// seated are the lots with all who are sent there already; short those for whom
// no bay is free any more, by id.
func (r *round) seated() (benches map[string]*bench, short map[string]bool) {
	benches, short = make(map[string]*bench, len(r.lots)), map[string]bool{}
	for id, l := range r.lots {
		benches[id] = newBench(l)
	}
	for _, x := range r.live {
		if x.State != parking.SpaceAssigned || x.Reservation != "" {
			continue
		}
		if b := benches[x.Place.CarPark]; b != nil && !b.seat(x) {
			short[x.ID] = true
		}
	}
	return benches, short
}

// plan finds the steps of the cheapest plan that can be carried out, in an order
// in which each finds its place, and what the plan says of everybody.
func (r *round) plan(ctx context.Context) ([]step, city.Plan, error) {
	for try := 1; ; try++ {
		r.plans++
		benches, _ := r.seated()
		plan, err := city.Assign(r.batch(ctx, benches))
		if err != nil {
			return nil, city.Plan{}, err
		}
		steps, failed := r.carry(plan, benches)
		if len(failed) == 0 || try >= mostPlans {
			return append(steps, r.firmer(steps, benches)...), plan, nil
		}
		for _, a := range failed {
			note(r.barred, a.Driver, a.Place.CarPark)
		}
	}
}

// batch is the round as the city's plan takes it.
func (r *round) batch(ctx context.Context, benches map[string]*bench) city.Batch {
	b := city.Batch{At: r.now, WaitingGrowth: r.f.settings.WaitingGrowth}
	probes := map[city.Kind]*parking.SpaceRequest{}
	for _, x := range r.live {
		at, err := r.grid.Point(x.LatE7, x.LonE7)
		if err != nil {
			continue // nothing is near; it waits until it expires
		}
		fixed := x.State == parking.SpaceAssigned && !r.now.Before(x.Arrives.Add(-r.f.settings.Fix))
		d := driverOf(x, at, fixed)
		if !d.Arrives.After(r.now) {
			d.Arrives = r.now
		}
		d.Barred = maps.Clone(r.barred[x.ID])
		for id, l := range r.lots {
			if !l.has(x) {
				if d.Barred == nil {
					d.Barred = map[string]bool{}
				}
				d.Barred[id] = true
			}
		}
		probes[d.Kind] = &parking.SpaceRequest{Vehicle: parking.Vehicle{Class: x.Vehicle.Class}, Charger: x.Charger, Accessible: x.Accessible}
		b.Drivers = append(b.Drivers, d)
	}
	for id, bench := range benches {
		p := city.CarPark{ID: id, Position: bench.lot.at, Free: map[city.Kind]int{}, Tariff: pricer{ctx, r.f.Prices, bench.lot}}
		for kind, probe := range probes {
			if n, has := bench.free(probe); has {
				p.Free[kind] = n
			}
		}
		b.CarParks = append(b.CarParks, p)
	}
	return b
}

// carry tries the plan on the benches: whoever leaves a place makes room for the
// next. Those who find none come back as failed.
func (r *round) carry(plan city.Plan, benches map[string]*bench) (steps []step, failed []city.Assignment) {
	byID := make(map[string]*parking.SpaceRequest, len(r.live))
	for _, x := range r.live {
		byID[x.ID] = x
	}
	for _, a := range plan.Assignments {
		if a.Outcome == city.Assigned || a.Outcome == city.Moved {
			failed = append(failed, a)
		}
	}
	for progress := true; progress && len(failed) > 0; {
		progress = false
		rest := failed[:0:0]
		for _, a := range failed {
			x := byID[a.Driver]
			pool, ok := r.take(benches[a.Place.CarPark], x)
			if !ok {
				rest = append(rest, a)
				continue
			}
			progress = true
			if x.State == parking.SpaceAssigned {
				leave(benches[x.Place.CarPark], x)
			}
			steps = append(steps, step{driver: x, to: a, pool: pool})
		}
		failed = rest
	}
	return steps, failed
}

// take finds the driver a place: of a pool, where one is left; otherwise a free
// bay, but not for whoever has a place held elsewhere.
func (r *round) take(b *bench, x *parking.SpaceRequest) (pool int, ok bool) {
	if b == nil {
		return -1, false
	}
	if i := r.pooled(b, x); i >= 0 {
		return i, true
	}
	return -1, x.Reservation == "" && b.seat(x)
}

// pooled takes a place of a pool of the lot; -1 where none is left.
func (r *round) pooled(b *bench, x *parking.SpaceRequest) int {
	for i := range b.lot.pools {
		p := &b.lot.pools[i]
		if b.left[i] > 0 && !r.full[x.ID][b.lot.site.ID+"/"+p.id] && b.lot.suitsPool(x, p) {
			b.left[i]--
			return i
		}
	}
	return -1
}

// firmer are the steps of those who stay where a place was only counted for
// them and one can be held now, the earliest first.
func (r *round) firmer(steps []step, benches map[string]*bench) (more []step) {
	moved := make(map[string]bool, len(steps))
	for _, s := range steps {
		moved[s.driver.ID] = true
	}
	for _, x := range r.live {
		if x.State != parking.SpaceAssigned || x.Reservation != "" || moved[x.ID] {
			continue
		}
		b := benches[x.Place.CarPark]
		if b == nil {
			continue
		}
		if pool := r.pooled(b, x); pool >= 0 {
			more = append(more, step{driver: x, to: city.Assignment{Driver: x.ID, Outcome: city.Kept, Place: city.Place{CarPark: x.Place.CarPark}}, pool: pool, stays: true})
		}
	}
	return more
}

func leave(b *bench, x *parking.SpaceRequest) {
	if b == nil {
		return
	}
	if x.Reservation == "" {
		b.stand(x)
		return
	}
	for i := range b.lot.pools {
		if b.lot.pools[i].id == x.Pool {
			b.left[i]++ // it is given back before the next step takes its place
		}
	}
}

// hold takes the place of a pool for a step.
func (r *round) hold(ctx context.Context, tx parking.Tx, s step, until time.Time) (parking.Reservation, error) {
	l := r.lots[s.to.Place.CarPark]
	x := s.driver
	v := x.Vehicle
	// The reservation outlives the request: what it is for stays, who it is for
	// does not.
	v.Plate, v.Tag, v.Accessible = "", "", x.Accessible
	held, err := r.f.Attendant.HoldIn(ctx, tx, attendant.ReserveRequest{
		CarPark: l.site.ID, Pool: l.pools[s.pool].id, Vehicle: v, Start: r.now,
		End: later(later(x.Arrives, r.now).Add(time.Duration(x.StayMinutes)*time.Minute), until),
	}, until)
	var full *attendant.FullError
	var limit *attendant.LimitError
	if errors.As(err, &full) || errors.As(err, &limit) || errors.Is(err, parking.ErrInvalid) || errors.Is(err, parking.ErrNotFound) {
		return held, &lostError{x.ID, l.site.ID, l.pools[s.pool].id}
	}
	return held, err
}
