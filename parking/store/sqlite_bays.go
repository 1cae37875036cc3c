package store

import (
	"context"
	"fmt"

	"freeflow/internal/database"
	"freeflow/parking"
)

// lite runs the claims one after the other in the writer's one transaction.
// Nobody else writes meanwhile; the statements stay compiled.
func (r *claimRun) lite(ctx context.Context, db database.Session) error {
	for _, i := range r.through {
		if err := r.liteOne(ctx, db, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *claimRun) liteOne(ctx context.Context, db database.Session, i int) error {
	c := &r.claims[i]
	if c.Once != nil {
		k, err := findOnce(ctx, db, c.Once)
		if err != nil {
			return err
		}
		if k != nil {
			r.replay(i, k)
			return nil
		}
	}
	refused, err := addAllocation(ctx, db, &c.Allocation)
	if err != nil {
		return err
	}
	if refused != nil {
		r.lost(i, refused)
		return nil
	}
	if c.Command != nil {
		if err := commandTable.put(ctx, db, c.Command.ID, 1, commandArgs(c.Command)); err != nil {
			return err
		}
	}
	if c.Once != nil {
		if err := keep(ctx, db, onceArgs(c.Once, &c.Answer, c.Allocation.ID, r.at)); err != nil {
			return err
		}
	}
	r.won(i)
	return nil
}

// addAllocation adds an allocation with its history; the interval begins when
// the bay was last given back, if that is later. It was not added where refused
// says why.
func addAllocation(ctx context.Context, db database.Session, a *parking.Allocation) (refused *refusal, err error) {
	args := allocationArgs(a)
	n, err := db.Exec(ctx, allocationTable.insert, args...)
	if err != nil {
		return nil, fmt.Errorf("adding allocation %s: %w", a.ID, err)
	}
	if n == 0 {
		return whyNot(ctx, db, a)
	}
	// Asked only now that the bay is ours: whoever had it has committed.
	since := micros(a.AssignedAt)
	last, err := lastEnd(ctx, db, a.CarPark, a.Bay)
	if err != nil {
		return nil, err
	}
	ended := micros(a.EndedAt)
	if last > since || ended != 0 && ended < since {
		since = max(last, since)
		if ended != 0 {
			ended = max(ended, since)
		}
		if _, err := db.Exec(ctx, `UPDATE parking_allocation SET assigned_micros = $2, since_micros = $2, ended_micros = $3 WHERE id = $1`, a.ID, since, ended); err != nil {
			return nil, err
		}
	}
	return nil, record(ctx, db, a, "", since)
}

// holdingSQL finds the allocation that counts as a vehicle's.
const holdingSQL = `WHERE mark = $1 AND mark <> '' AND ended_micros = 0`

// whyNot finds out why the allocation could not be added.
func whyNot(ctx context.Context, db database.Session, a *parking.Allocation) (*refusal, error) {
	var (
		r   refusal
		one int64
		err error
	)
	if r.known, err = database.One(ctx, db, `SELECT revision FROM parking_allocation WHERE id = $1`, []any{a.ID}, &one); err != nil || r.known {
		return &r, err
	}
	_, err = database.One(ctx, db, `SELECT id FROM parking_allocation `+holdingSQL, []any{a.Mark()}, &r.holding)
	return &r, err
}

func lastEnd(ctx context.Context, db database.Session, carPark, bay string) (last int64, err error) {
	_, err = database.One(ctx, db, lastEndSQL, []any{carPark, bay}, &last)
	return last, err
}

// lite runs the departures one after the other.
func (r *departRun) lite(ctx context.Context, db database.Session) error {
	for _, i := range r.through {
		if err := r.liteOne(ctx, db, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *departRun) liteOne(ctx context.Context, db database.Session, i int) error {
	d := &r.departures[i]
	found, err := all(ctx, db, &allocationTable, scanAllocation, `WHERE id = $1`, d.Allocation)
	if err != nil {
		return err
	}
	var now *allocationRow
	if len(found) > 0 {
		now = &found[0]
	}
	if d.Once != nil {
		k, err := findOnce(ctx, db, d.Once)
		if err != nil {
			return err
		}
		if k != nil {
			r.replay(i, k, now)
			return nil
		}
	}
	from, ended := r.judge(i, now)
	if !ended {
		return nil
	}
	a := &now.Allocation
	if err := allocationTable.put(ctx, db, a.ID, a.Revision, allocationArgs(a)); err != nil {
		return err
	}
	if err := record(ctx, db, a, from, micros(a.EndedAt)); err != nil {
		return err
	}
	if d.Once != nil {
		return keep(ctx, db, onceArgs(d.Once, &d.Answer, a.ID, r.at))
	}
	return nil
}
