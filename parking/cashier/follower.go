package cashier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"freeflow/internal/clock"
	"freeflow/parking"
)

// FollowerParts are what a Follower is made of.
type FollowerParts struct {
	Changes parking.Changes
	Cashier *Cashier
	Clock   clock.Clock
	Log     *slog.Logger
}

// Follower keeps stays in step with allocations: it derives the stays of every
// vehicle whose allocation changed. A vehicle that cannot be followed is set
// aside with an alarm and keeps no other waiting. Run settles reservations that
// lapsed too (Cashier.SettleNoShows).
type Follower struct {
	p     FollowerParts
	tried map[string]int
}

// NewFollower returns a follower.
func NewFollower(p FollowerParts) (*Follower, error) {
	if p.Changes == nil || p.Cashier == nil || p.Clock == nil || p.Log == nil {
		return nil, errors.New("making the follower: Changes, Cashier, Clock and Log are needed")
	}
	return &Follower{p: p, tried: map[string]int{}}, nil
}

// Run follows until the context ends, and returns the context's error.
func (f *Follower) Run(ctx context.Context) error {
	return repeat(ctx, f.p.Log, "following allocations", func(ctx context.Context) (int, error) {
		n, err := f.Once(ctx)
		settled, feeErr := f.p.Cashier.SettleNoShows(ctx, batch)
		return max(n, settled), errors.Join(err, feeErr)
	})
}

// Once follows one batch of the oldest changes and says how many are done with.
// Not safe for concurrent use of one Follower. The error is a fault of the
// store.
func (f *Follower) Once(ctx context.Context) (int, error) {
	changes, err := f.p.Changes.Unseen(ctx, batch)
	if err != nil {
		return 0, fmt.Errorf("reading changes of allocations: %w", err)
	}
	var done []int64
	results := map[string]error{}
	worked := false
	for i := range changes {
		if ctx.Err() != nil {
			break
		}
		c := &changes[i]
		err, known := results[c.Allocation]
		if !known {
			err = f.p.Cashier.Follow(ctx, c.Allocation)
			results[c.Allocation] = err
		}
		if err == nil {
			worked = true
			done = append(done, c.ID)
		}
	}
	for i := range changes {
		c := &changes[i]
		err := results[c.Allocation]
		if err == nil || ctx.Err() != nil || !worked && !hopeless(err) {
			continue
		}
		if !hopeless(err) && again(f.tried, strconv.FormatInt(c.ID, 10)) {
			continue
		}
		if err := f.setAside(ctx, c, err); err != nil {
			return 0, err
		}
		done = append(done, c.ID)
	}
	if len(done) > 0 {
		if err := f.p.Changes.MarkSeen(ctx, done); err != nil {
			return 0, fmt.Errorf("marking changes of allocations: %w", err)
		}
	}
	if len(done) == 0 && len(changes) > 0 {
		return 0, fmt.Errorf("none of %d changes of allocations could be followed, the first because of: %w", len(changes), firstError(results))
	}
	return len(done), nil
}

// hopeless: trying again changes nothing.
func hopeless(err error) bool {
	return errors.Is(err, parking.ErrNotFound) || errors.Is(err, parking.ErrInvalid) || errors.Is(err, parking.ErrConflict) ||
		errors.Is(err, errTooManyNames)
}

func firstError(results map[string]error) error {
	for _, err := range results {
		if err != nil {
			return err
		}
	}
	return context.Canceled
}

// setAside raises the alarm for an allocation that cannot be followed.
func (f *Follower) setAside(ctx context.Context, c *parking.Change, why error) error {
	f.p.Log.Error("an allocation's stay cannot be derived", "allocation", c.Allocation, "error", why)
	_, err := f.p.Cashier.p.Keeping.Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
		return parking.Answer{}, tx.Raise(ctx, parking.Alarm{
			ID: "stay-not-derived/" + c.Allocation, CarPark: c.CarPark, Kind: "stay-not-derived", Subject: c.Allocation,
			Raised: f.p.Clock.Now(), Detail: cut("The stay of this allocation could not be derived: "+why.Error(), 500),
		})
	})
	if err != nil {
		return fmt.Errorf("raising an alarm: %w", err)
	}
	return nil
}
