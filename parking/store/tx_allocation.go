package store

import (
	"context"
	"fmt"
	"strings"

	"freeflow/internal/database"
	"freeflow/parking"
)

func checkAllocation(a *parking.Allocation) error {
	switch a.State {
	case parking.Assigned, parking.Moving, parking.Stored, parking.Retrieving, parking.Staged, parking.Unknown, parking.Gone, parking.Cancelled, parking.Blocked:
	default:
		return fmt.Errorf("allocation %.64q: %w: %q is no state", a.ID, parking.ErrInvalid, a.State)
	}
	if a.CarPark == "" || a.Bay == "" {
		return fmt.Errorf("allocation %.64q: %w: it names no car park or no bay", a.ID, parking.ErrInvalid)
	}
	if !a.State.Final() && !a.EndedAt.IsZero() {
		return fmt.Errorf("allocation %.64q: %w: it has ended and is %s", a.ID, parking.ErrInvalid, a.State)
	}
	return allocationTable.check(a.ID, allocationArgs(a))
}

// Allocation returns one allocation; ErrNotFound.
func (t *tx) Allocation(ctx context.Context, id string) (parking.Allocation, error) {
	a, err := one(ctx, t.db, &allocationTable, scanAllocation, id, `WHERE id = $1`, id)
	return a.Allocation, err
}

// Holding returns the allocation that the vehicle's mark has; ErrNotFound. See
// parking.Tx.
func (t *tx) Holding(ctx context.Context, v parking.Vehicle) (parking.Allocation, error) {
	mark := (&parking.Allocation{Vehicle: v}).Mark()
	found, err := all(ctx, t.db, &allocationTable, scanAllocation, holdingSQL, mark)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("the vehicle has no bay: %w", parking.ErrNotFound)
	}
	if err != nil {
		return parking.Allocation{}, err
	}
	return found[0].Allocation, nil
}

// Active returns the allocations of the car park that have not ended, blocks
// too, in order of bay.
func (t *tx) Active(ctx context.Context, carPark string) ([]parking.Allocation, error) {
	rows, err := all(ctx, t.db, &allocationTable, scanAllocation, `WHERE car_park = $1 AND ended_micros = 0 ORDER BY bay`, carPark)
	return plain(rows), err
}

// Allocations lists allocations by time of assignment. vehicle is a plate, a
// tag, or "tag:" and a tag. See parking.Tx.
func (t *tx) Allocations(ctx context.Context, carPark, vehicle string, p parking.Page) ([]parking.Allocation, error) {
	var f filter
	f.equal("car_park", carPark)
	if tag, ok := strings.CutPrefix(vehicle, "tag:"); ok {
		f.add("tag = $? AND tag <> ''", tag)
	} else if vehicle != "" {
		f.add("(plate = $? AND plate <> '' OR tag = $? AND tag <> '')", vehicle, vehicle)
	}
	rest, args, err := f.page(ctx, t.db, &allocationTable, "assigned_micros", p)
	if err != nil {
		return nil, err
	}
	rows, err := all(ctx, t.db, &allocationTable, scanAllocation, rest, args...)
	return plain(rows), err
}

// PutAllocation adds or changes an allocation, with its history. See
// parking.Tx.
func (t *tx) PutAllocation(ctx context.Context, a parking.Allocation) error {
	now := t.now()
	if a.State.Final() && a.EndedAt.IsZero() {
		a.EndedAt = instant(now)
	}
	if a.Revision == 1 && a.AssignedAt.IsZero() {
		a.AssignedAt = instant(now)
	}
	if err := checkAllocation(&a); err != nil {
		return err
	}
	if a.Revision < 1 {
		return fmt.Errorf("allocation %s: %w: revision %d; the first is 1", a.ID, parking.ErrInvalid, a.Revision)
	}
	if a.Revision == 1 {
		refused, err := addAllocation(ctx, t.db, &a)
		if err == nil && refused != nil {
			err = refused.of(&a)
		}
		return err
	}
	rows, err := all(ctx, t.db, &allocationTable, scanAllocation, `WHERE id = $1`, a.ID)
	if err != nil {
		return err
	}
	if len(rows) == 0 || rows[0].Revision != a.Revision-1 {
		return allocationTable.stale(a.ID, a.Revision)
	}
	return t.changeAllocation(ctx, &rows[0], &a, now)
}

func taken(a *parking.Allocation) error {
	return fmt.Errorf("bay %s of %s: %w", a.Bay, a.CarPark, parking.ErrBayTaken)
}

// changeAllocation makes a of what it was.
func (t *tx) changeAllocation(ctx context.Context, was *allocationRow, a *parking.Allocation, now int64) error {
	moved := a.Bay != was.Bay
	err := mayGo(was.State, a.State, a.By, a.Reason)
	if was.State.Final() && a.State == was.State && !moved {
		// Further facts about what has ended; when it ended stays.
		a.EndedAt, err = was.EndedAt, nil
	}
	if err == nil && moved && a.State.Final() {
		err = fmt.Errorf("%w: it ends in the bay that it holds, and cannot end in another", parking.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("allocation %s: %w", a.ID, err)
	}
	if a.CarPark != was.CarPark {
		return fmt.Errorf("allocation %s: %w: it is in %s and cannot be in %s", a.ID, parking.ErrInvalid, was.CarPark, a.CarPark)
	}
	since := was.since
	if !a.EndedAt.IsZero() {
		a.EndedAt = instant(max(micros(a.EndedAt), since))
	}
	if moved {
		if since, err = t.move(ctx, was, a, now); err != nil {
			return err
		}
	} else if err := allocationTable.put(ctx, t.db, a.ID, a.Revision, allocationArgs(a)); err != nil {
		return err
	}
	at := max(now, since)
	if !was.State.Final() && a.State.Final() {
		at = micros(a.EndedAt)
	}
	return record(ctx, t.db, a, was.State, at)
}

// move changes the allocation and its bay, and returns since when it holds the
// new one.
func (t *tx) move(ctx context.Context, was *allocationRow, a *parking.Allocation, now int64) (int64, error) {
	// Where the new bay is found taken only as the row is written, PostgreSQL
	// would break the whole transaction; the caller may want another bay.
	if t.isPostgres() {
		if _, err := t.db.Exec(ctx, `SAVEPOINT parking_move`); err != nil {
			return 0, err
		}
	}
	err := allocationTable.put(ctx, t.db, a.ID, a.Revision, allocationArgs(a))
	if database.IsDuplicate(err) {
		if t.isPostgres() {
			if _, err := t.db.Exec(ctx, `ROLLBACK TO SAVEPOINT parking_move`); err != nil {
				return 0, err
			}
		}
		return 0, taken(a)
	}
	if err != nil {
		return 0, err
	}
	left := max(now, was.since)
	if _, err := t.db.Exec(ctx, `INSERT INTO parking_hold (allocation, revision, car_park, bay, from_micros, to_micros) VALUES ($1, $2, $3, $4, $5, $6)`,
		a.ID, a.Revision, was.CarPark, was.Bay, was.since, left); err != nil {
		return 0, err
	}
	last, err := lastEnd(ctx, t.db, a.CarPark, a.Bay)
	if err != nil {
		return 0, err
	}
	since := max(left, last)
	_, err = t.db.Exec(ctx, `UPDATE parking_allocation SET since_micros = $2 WHERE id = $1`, a.ID, since)
	return since, err
}

// History returns every change of an allocation, oldest first; ErrNotFound. See
// parking.Histories.
func (s *Store) History(ctx context.Context, allocation string) ([]parking.HistoryEntry, error) {
	var changes []parking.HistoryEntry
	err := s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, `SELECT `+eventColumns+` FROM parking_allocation_event WHERE allocation = $1 ORDER BY revision`, []any{allocation}, func(r database.Rows) error {
			var (
				c  parking.HistoryEntry
				at int64
			)
			err := r.Scan(&c.Allocation, &c.Revision, &at, &c.From, &c.To, &c.Bay, &c.By, &c.Reason)
			c.At = instant(at)
			changes = append(changes, c)
			return err
		})
	})
	if err == nil && len(changes) == 0 {
		err = &parking.NotFoundError{Kind: "allocation", ID: allocation}
	}
	if err != nil {
		return nil, fmt.Errorf("reading a history: %w", err)
	}
	return changes, nil
}
