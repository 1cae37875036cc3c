package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freeflow/internal/database"
	"freeflow/parking"
)

// passTable is read together with the end that a pass may have.
var passTable = table{
	what: "pass", name: "parking_pass LEFT JOIN parking_pass_end e ON e.pass = id",
	list: "id, car_park, vehicle, permit, class, from_micros, to_micros, put_micros, parking_pass.said_by, parking_pass.reason, " +
		"coalesce(at_micros, 0), coalesce(e.said_by, ''), coalesce(e.reason, '')",
}

func scanPass(row database.Rows) (p parking.Pass, err error) {
	var from, to, put, ended int64
	err = row.Scan(&p.ID, &p.CarPark, &p.Vehicle, &p.Permit, &p.Class, &from, &to, &put, &p.By, &p.Reason, &ended, &p.EndedBy, &p.EndReason)
	p.From, p.To, p.PutAt, p.EndedAt = instant(from), instant(to), instant(put), instant(ended)
	return p, err
}

// Pass returns one pass; ErrNotFound.
func (t *tx) Pass(ctx context.Context, id string) (parking.Pass, error) {
	return one(ctx, t.db, &passTable, scanPass, id, `WHERE id = $1`, id)
}

// inTime is the condition that a pass holds at some instant of a time.
const inTime = "from_micros < $? AND to_micros > $? AND (at_micros IS NULL OR at_micros > $? AND at_micros > from_micros)"

// Passes lists those that hold within a time. See parking.Passes.
func (t *tx) Passes(ctx context.Context, carPark, vehicle string, from, to time.Time, after string, limit int) ([]parking.Pass, error) {
	if limit < 1 || limit > maxPage {
		return nil, fmt.Errorf("listing passes: %w: a limit of %d; from 1 to %d are listed at a time", parking.ErrInvalid, limit, maxPage)
	}
	var f filter
	f.add("car_park = $?", carPark)
	f.equal("vehicle", vehicle)
	f.add(inTime, micros(to), micros(from), micros(from))
	if after != "" {
		last, err := t.Pass(ctx, after)
		if err != nil {
			return nil, fmt.Errorf("listing passes after %s: %w", after, err)
		}
		f.add("(from_micros, id) > ($?, $?)", micros(last.From), after)
	}
	return all(ctx, t.db, &passTable, scanPass, f.rest("from_micros, id")+fmt.Sprintf(" LIMIT %d", limit), f.args...)
}

// AddPass adds a pass. See parking.Passes. The vehicle's lock is taken here, so
// that two passes of it never find each other absent.
func (t *tx) AddPass(ctx context.Context, p parking.Pass) (known bool, err error) {
	for _, one := range []struct {
		name, text string
		limit      int
	}{
		{"the pass's id", p.ID, maxName}, {"the car park", p.CarPark, maxName}, {"the vehicle", p.Vehicle, maxName}, {"the permit", p.Permit, maxName},
		{"the class", p.Class, maxName}, {"by", p.By, maxText}, {"the reason", p.Reason, maxText},
	} {
		if err := checkText(one.name, one.text, one.limit); err != nil {
			return false, fmt.Errorf("pass %.64q: %w", p.ID, err)
		}
	}
	if p.ID == "" || p.CarPark == "" || p.Vehicle == "" || p.Permit == "" || !p.From.Before(p.To) || !p.EndedAt.IsZero() {
		return false, fmt.Errorf("pass %.64q: %w: it names no car park, vehicle or permit, or ends before it begins", p.ID, parking.ErrInvalid)
	}
	if err := t.Lock(ctx, "pass/"+p.CarPark+"/"+p.Vehicle); err != nil {
		return false, err
	}
	old, err := t.Pass(ctx, p.ID)
	switch {
	case err == nil && old.Same(&p):
		return true, nil
	case err == nil:
		return false, fmt.Errorf("pass %s: %w: it was put with other content; a pass is ended and another one put", p.ID, parking.ErrConflict)
	case !errors.Is(err, parking.ErrNotFound):
		return false, err
	}
	others, err := t.Passes(ctx, p.CarPark, p.Vehicle, p.From, p.To, "", 1)
	if err != nil {
		return false, err
	}
	if len(others) > 0 {
		return false, fmt.Errorf("pass %s: %w: the vehicle holds pass %s from %s until %s", p.ID, parking.ErrConflict, others[0].ID,
			others[0].From.Format(time.RFC3339), others[0].Until().Format(time.RFC3339))
	}
	n, err := t.db.Exec(ctx, `INSERT INTO parking_pass (id, car_park, vehicle, permit, class, from_micros, to_micros, put_micros, said_by, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		p.ID, p.CarPark, p.Vehicle, p.Permit, p.Class, micros(p.From), micros(p.To), micros(p.PutAt), p.By, p.Reason)
	if err != nil {
		return false, fmt.Errorf("storing pass %s: %w", p.ID, err)
	}
	if n == 0 {
		return false, fmt.Errorf("pass %s: %w: its id was given to another one at the same time", p.ID, parking.ErrStale)
	}
	return false, nil
}

// EndPass takes a pass back. See parking.Passes.
func (t *tx) EndPass(ctx context.Context, id string, at time.Time, by, reason string) error {
	if err := errors.Join(checkText("by", by, maxText), checkText("the reason", reason, maxText)); err != nil {
		return fmt.Errorf("ending pass %.64q: %w", id, err)
	}
	if at.IsZero() {
		return fmt.Errorf("ending pass %.64q: %w: from when is missing", id, parking.ErrInvalid)
	}
	if _, err := t.Pass(ctx, id); err != nil {
		return fmt.Errorf("ending a pass: %w", err)
	}
	_, err := t.db.Exec(ctx, `INSERT INTO parking_pass_end (pass, at_micros, said_by, reason) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		id, micros(at), by, reason)
	if err != nil {
		return fmt.Errorf("ending pass %s: %w", id, err)
	}
	return nil
}
