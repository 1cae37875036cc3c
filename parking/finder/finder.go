// Package finder owns the service that finds drivers under way a space in the
// city: it takes their requests, holds the rounds of parking/city over all car
// parks of the system, and tells each driver where to go and what is promised.
// It runs in any number of processes at once over one store.
//
// Invariants:
//   - the store decides: requests, assignments and rounds are rows. A round is
//     one transaction, fenced by its number, so that one process holds it and
//     all of it happens or nothing; any process answers any driver;
//   - nobody is moved to a place of higher cost, nor from a held place to one
//     that is only counted, and who is about to arrive is not moved;
//   - a held place is a confirmed reservation in a bookable pool of the car
//     park, with its deadline stored: who comes without a right cannot have it;
//   - a counted place is a free bay less the drivers sent there before, matched
//     bay by bay to what their vehicles need. A round never sends more drivers
//     than there are free bays by its reading;
//   - deadlines count by the clock whether they were written down or not;
//   - what ended is deleted after Settings.Keep. Destinations and plates are in
//     no log and in no kept answer.
//
// Not promised: a counted place against cars that come without asking (the
// driver is told that it is counted, and when the bays ran short); that a plan
// stays best when others ask later; road distances.
package finder

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
	"freeflow/parking/attendant"
	"freeflow/parking/cashier"
	"freeflow/parking/city"
)

// ErrFull: as many drivers are waiting or under way as a round decides on.
var ErrFull = errors.New("as many drivers are looking for a space as are decided on together")

// Attendant is what the finder needs of the car parks' live service.
type Attendant interface {
	// Live returns the picture of a car park, and of when it is.
	Live(ctx context.Context, carPark string) (parking.Occupancy, time.Time, error)
	// Availability says how many places of a pool are left over [start, end).
	Availability(ctx context.Context, carPark, pool string, start, end time.Time) (left, limit int, err error)
	// HoldIn and ReleaseIn take a place of a pool and give it back within a
	// transaction.
	HoldIn(ctx context.Context, tx parking.Tx, r attendant.ReserveRequest, until time.Time) (parking.Reservation, error)
	ReleaseIn(ctx context.Context, tx parking.Tx, id string) (parking.Reservation, error)
}

// Prices tells what a stay would cost.
type Prices interface {
	Price(ctx context.Context, r cashier.QuoteRequest) (cashier.Quote, error)
}

// Sites are the car parks in force.
type Sites interface {
	All() []*parking.CarPark
}

// Parts are what a Finder is made of.
type Parts struct {
	Keeping   parking.Keeping
	Attendant Attendant
	Prices    Prices
	Sites     Sites
	Clock     clock.Clock
	Log       *slog.Logger
	// Settings has defaults for what is zero.
	Settings Settings
}

// Settings are bounds and weights. Zero means the default in brackets, but for
// WaitingGrowth.
type Settings struct {
	// Round is how long requests are collected [5 s].
	Round time.Duration
	// Live is how long a request may live in all [2 h].
	Live time.Duration
	// Late is how long after the expected arrival a place is held, or looked
	// for [20 min].
	Late time.Duration
	// Ahead is how far away the expected arrival may be [90 min].
	Ahead time.Duration
	// Fix is how long before the expected arrival nobody is moved any more
	// [3 min].
	Fix time.Duration
	// Keep is how long a request is kept after its end [2 h].
	Keep time.Duration
	// Drivers bounds those waiting and under way, up to city.MaxDrivers [that].
	Drivers int
	// WaitingGrowth is what each minute adds to the cost of leaving a driver
	// waiting, in millionths, as in city.Batch [1,000,000]; -1: nothing.
	WaitingGrowth int64
}

// mostStay bounds the stay that may be asked for.
const mostStay = 7 * 24 * time.Hour

func (s Settings) withDefaults() Settings {
	set := func(d *time.Duration, usual time.Duration) {
		if *d <= 0 {
			*d = usual
		}
	}
	set(&s.Round, 5*time.Second)
	set(&s.Live, 2*time.Hour)
	set(&s.Late, 20*time.Minute)
	set(&s.Ahead, 90*time.Minute)
	set(&s.Fix, 3*time.Minute)
	set(&s.Keep, 2*time.Hour)
	if s.Drivers <= 0 || s.Drivers > city.MaxDrivers {
		s.Drivers = city.MaxDrivers
	}
	switch {
	case s.WaitingGrowth == 0:
		s.WaitingGrowth = city.OutsideCost
	case s.WaitingGrowth < 0:
		s.WaitingGrowth = 0
	}
	return s
}

// Finder is the service. Safe for concurrent use.
type Finder struct {
	Parts
	settings Settings
}

// New returns a finder made of the parts; all but Settings are needed.
func New(p Parts) (*Finder, error) {
	if p.Keeping == nil || p.Attendant == nil || p.Prices == nil || p.Sites == nil || p.Clock == nil || p.Log == nil {
		return nil, errors.New("making the finder: every part is needed")
	}
	return &Finder{Parts: p, settings: p.Settings.withDefaults()}, nil
}

// Seen is a request as it stands at an instant.
type Seen struct {
	parking.SpaceRequest
	// NextRound is when it is decided on again; zero once it has ended.
	NextRound time.Time
	// ForgottenAt is when it is deleted; zero before its end.
	ForgottenAt time.Time
}

// now is the instant as the store keeps it.
func (f *Finder) now() time.Time { return f.Clock.Now().UTC().Truncate(time.Microsecond) }

// Ask takes a request of which the caller fills in the vehicle, what bay it
// needs, destination, stay, arrival (zero: now), limits and weight; it waits for
// the next round. Errors: parking.ErrInvalid, ErrFull, parking.ErrKeyReused,
// parking.ErrKeyBusy.
func (f *Finder) Ask(ctx context.Context, r parking.SpaceRequest, keep parking.Keep[Seen]) (parking.Result[Seen], error) {
	now := f.now()
	id, err := newID()
	if err != nil {
		return parking.Result[Seen]{}, err
	}
	if r.Arrives.IsZero() || r.Arrives.Before(now) {
		r.Arrives = now
	}
	r.ID, r.State, r.Revision, r.RequestedAt = id, parking.SpaceWaiting, 1, now
	r.Arrives = r.Arrives.UTC().Truncate(time.Microsecond)
	r.ExpiresAt = earlier(r.Arrives.Add(f.settings.Late), now.Add(f.settings.Live))
	r.Why = "the next round decides"
	if err := f.check(r, now); err != nil {
		return parking.Result[Seen]{}, err
	}
	return do(ctx, f, keep, func(tx parking.Tx) (Seen, error) {
		live, earliest, err := tx.SpaceLoad(ctx)
		if err != nil {
			return Seen{}, err
		}
		if live >= f.settings.Drivers {
			return Seen{}, ErrFull
		}
		if err := tx.PutSpaceRequest(ctx, r); err != nil {
			return Seen{}, fmt.Errorf("keeping a space request: %w", err)
		}
		if live == 0 {
			earliest = now
		}
		last, err := lastRound(ctx, tx)
		return Seen{SpaceRequest: r, NextRound: later(f.due(last, earliest), now)}, err
	})
}

// check refuses what no round could decide on.
func (f *Finder) check(r parking.SpaceRequest, now time.Time) error {
	switch {
	case r.Arrives.Sub(now) > f.settings.Ahead:
		return fmt.Errorf("%w: arrives_at is more than %d minutes ahead; ask when under way", parking.ErrInvalid, int(f.settings.Ahead.Minutes()))
	case time.Duration(r.StayMinutes)*time.Minute > mostStay:
		return fmt.Errorf("%w: a stay of more than %d days is not found this way", parking.ErrInvalid, int(mostStay.Hours()/24))
	}
	if err := driverOf(&r, city.Point{}, false).Check(); err != nil {
		return fmt.Errorf("%w: %w", parking.ErrInvalid, err)
	}
	return nil
}

// Find returns a request as it stands now: a deadline that has passed counts.
// Errors: parking.ErrNotFound, also for one that was forgotten.
func (f *Finder) Find(ctx context.Context, id string) (seen Seen, err error) {
	err = f.Keeping.View(ctx, func(tx parking.Tx) error {
		r, err := tx.SpaceRequest(ctx, id)
		if err != nil {
			return err
		}
		seen, err = f.seen(ctx, tx, r)
		return err
	})
	if err != nil {
		return Seen{}, fmt.Errorf("finding a space request: %w", err)
	}
	return seen, nil
}

func (f *Finder) seen(ctx context.Context, tx parking.Tx, r parking.SpaceRequest) (Seen, error) {
	now := f.now()
	if ended, ok := f.lapsed(r, now); ok {
		r = ended
	}
	if r.State.Final() {
		return Seen{SpaceRequest: r, ForgottenAt: r.EndedAt.Add(f.settings.Keep)}, nil
	}
	_, earliest, err := tx.SpaceLoad(ctx)
	if err != nil {
		return Seen{}, err
	}
	last, err := lastRound(ctx, tx)
	if err != nil {
		return Seen{}, err
	}
	return Seen{SpaceRequest: r, NextRound: later(f.due(last, earliest), now)}, nil
}

// lapsed is the request at the end that its own deadline makes; false where the
// deadline has not passed.
func (f *Finder) lapsed(r parking.SpaceRequest, now time.Time) (parking.SpaceRequest, bool) {
	switch {
	case r.State == parking.SpaceAssigned && !now.Before(r.HeldUntil):
		r.State, r.EndedAt, r.Why = parking.SpaceExpired, r.HeldUntil, "the car did not come in time"
	case r.State == parking.SpaceWaiting && !now.Before(r.ExpiresAt):
		r.State, r.EndedAt, r.Why = parking.SpaceUnserved, r.ExpiresAt, "no place was found in time: "+r.Why
	default:
		return r, false
	}
	return r, true
}

// Withdraw ends a request at the driver's wish and gives back what was held.
// One that was withdrawn is no error. Errors: parking.ErrNotFound,
// parking.ErrConflict where it has ended otherwise, parking.ErrKeyReused,
// parking.ErrKeyBusy.
func (f *Finder) Withdraw(ctx context.Context, id string, keep parking.Keep[Seen]) (parking.Result[Seen], error) {
	return do(ctx, f, keep, func(tx parking.Tx) (Seen, error) {
		r, err := tx.SpaceRequest(ctx, id)
		if err != nil {
			return Seen{}, err
		}
		now := f.now()
		if ended, ok := f.lapsed(r, now); ok {
			r = ended
		}
		switch {
		case r.State == parking.SpaceWithdrawn:
			return f.seen(ctx, tx, r)
		case r.State.Final():
			return Seen{}, fmt.Errorf("%w: the request has ended: it is %s", parking.ErrConflict, r.State)
		}
		r.State, r.EndedAt, r.Why, r.Revision = parking.SpaceWithdrawn, now, "the driver withdrew", r.Revision+1
		if err := f.finish(ctx, tx, r); err != nil {
			return Seen{}, err
		}
		return f.seen(ctx, tx, r)
	})
}

// finish stores a request that has ended and gives back what was held for it.
func (f *Finder) finish(ctx context.Context, tx parking.Tx, r parking.SpaceRequest) error {
	if r.Reservation != "" {
		if _, err := f.Attendant.ReleaseIn(ctx, tx, r.Reservation); err != nil && !errors.Is(err, parking.ErrNotFound) {
			return err
		}
	}
	if err := tx.PutSpaceRequest(ctx, r); err != nil {
		return fmt.Errorf("ending a space request: %w", err)
	}
	return nil
}

// At lists the requests assigned to a car park that have not ended, the
// earliest first, at most limit.
func (f *Finder) At(ctx context.Context, carPark string, limit int) (found []parking.SpaceRequest, err error) {
	err = f.Keeping.View(ctx, func(tx parking.Tx) error {
		list, err := tx.LiveSpaceRequests(ctx, carPark, limit)
		found = nil
		for _, r := range list {
			if _, over := f.lapsed(r, f.now()); !over {
				found = append(found, r)
			}
		}
		return err
	})
	return found, err
}

// Rounds returns the latest rounds, the last first, at most limit.
func (f *Finder) Rounds(ctx context.Context, limit int) (rounds []parking.SpaceRound, err error) {
	err = f.Keeping.View(ctx, func(tx parking.Tx) error {
		rounds, err = tx.LastSpaceRounds(ctx, limit)
		return err
	})
	return rounds, err
}

// ReservationOf returns the id of the reservation held at the car park for the
// request of this plate; empty where there is none.
func (f *Finder) ReservationOf(ctx context.Context, carPark, plate string) (id string, err error) {
	if plate == "" {
		return "", nil
	}
	err = f.Keeping.View(ctx, func(tx parking.Tx) error {
		id = ""
		r, err := tx.SpaceRequestOf(ctx, carPark, plate)
		if errors.Is(err, parking.ErrNotFound) || err != nil {
			return err
		}
		if r.Reservation == "" || !f.now().Before(r.HeldUntil) {
			return nil
		}
		held, err := tx.Reservation(ctx, r.Reservation)
		if err == nil && held.Counts(f.now()) {
			id = held.ID
		}
		return err
	})
	if errors.Is(err, parking.ErrNotFound) {
		return "", nil
	}
	return id, err
}

// due is when the round after last is to be held, while anybody is there.
func (f *Finder) due(last parking.SpaceRound, earliest time.Time) time.Time {
	return later(last.At, earliest).Add(f.settings.Round)
}

func lastRound(ctx context.Context, tx parking.Tx) (parking.SpaceRound, error) {
	rounds, err := tx.LastSpaceRounds(ctx, 1)
	if err != nil || len(rounds) == 0 {
		return parking.SpaceRound{}, err
	}
	return rounds[0], nil
}

// do runs fn in one transaction and keeps its answer.
func do(ctx context.Context, f *Finder, keep parking.Keep[Seen], fn func(parking.Tx) (Seen, error)) (parking.Result[Seen], error) {
	var value Seen
	answer, err := f.Keeping.Do(ctx, keep.Once, func(tx parking.Tx) (parking.Answer, error) {
		v, err := fn(tx)
		if err != nil {
			return parking.Answer{}, err
		}
		value = v
		return keep.Answer(v), nil
	})
	switch {
	case err != nil:
		return parking.Result[Seen]{}, err
	case answer.Replayed:
		return parking.Result[Seen]{Answer: answer}, nil
	}
	return parking.Result[Seen]{Value: value, Answer: answer}, nil
}

// newID returns 32 lower-case hex digits that cannot be guessed.
func newID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("making an id: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
