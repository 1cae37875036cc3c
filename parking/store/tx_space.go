package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"freeflow/internal/database"
	"freeflow/parking"
)

// How requests for a space stand in their table. The document holds all of one,
// so that a new member needs no new column.
var spaceTable = newTable("space request", "parking_space_request", 1,
	"id", "state", "car_park", "revision", "requested_micros", "ended_micros", "plate", "document")

func spaceArgs(r *parking.SpaceRequest) ([]any, error) {
	doc, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("writing space request %s: %w", r.ID, err)
	}
	at := ""
	if r.Place != nil {
		at = r.Place.CarPark
	}
	return []any{r.ID, string(r.State), at, r.Revision, micros(r.RequestedAt), micros(r.EndedAt), r.Vehicle.Plate, doc}, nil
}

func scanSpace(row database.Rows) (r parking.SpaceRequest, err error) {
	var id, state, at, plate string
	var revision, requested, ended int64
	var doc []byte
	if err = row.Scan(&id, &state, &at, &revision, &requested, &ended, &plate, &doc); err != nil {
		return r, err
	}
	err = json.Unmarshal(doc, &r)
	return r, err
}

// SpaceRequest returns one request; ErrNotFound.
func (t *tx) SpaceRequest(ctx context.Context, id string) (parking.SpaceRequest, error) {
	return one(ctx, t.db, &spaceTable, scanSpace, id, `WHERE id = $1`, id)
}

// PutSpaceRequest adds or changes one; ErrStale. One whose state is final has
// ended, and no other.
func (t *tx) PutSpaceRequest(ctx context.Context, r parking.SpaceRequest) error {
	if r.State.Final() == r.EndedAt.IsZero() {
		return fmt.Errorf("space request %s: %w: it is %s and its end says otherwise", r.ID, parking.ErrInvalid, r.State)
	}
	for _, one := range []struct{ name, text string }{{"why", r.Why}, {"class", r.Vehicle.Class}, {"tag", r.Vehicle.Tag}, {"reservation", r.Reservation}, {"pool", r.Pool}} {
		if err := checkText(one.name, one.text, maxText); err != nil {
			return fmt.Errorf("space request %s: %w", r.ID, err)
		}
	}
	args, err := spaceArgs(&r)
	if err != nil {
		return err
	}
	return spaceTable.put(ctx, t.db, r.ID, r.Revision, args)
}

// LiveSpaceRequests lists those that have not ended. See parking.Spaces.
func (t *tx) LiveSpaceRequests(ctx context.Context, carPark string, limit int) ([]parking.SpaceRequest, error) {
	if limit < 1 || limit > maxPage {
		return nil, fmt.Errorf("listing space requests: %w: a limit of %d; from 1 to %d are listed at a time", parking.ErrInvalid, limit, maxPage)
	}
	var f filter
	f.add("ended_micros = 0")
	f.equal("car_park", carPark)
	return all(ctx, t.db, &spaceTable, scanSpace, f.rest("requested_micros, id")+fmt.Sprintf(" LIMIT %d", limit), f.args...)
}

// SpaceRequestOf finds the assigned request of a plate; ErrNotFound.
func (t *tx) SpaceRequestOf(ctx context.Context, carPark, plate string) (parking.SpaceRequest, error) {
	return one(ctx, t.db, &spaceTable, scanSpace, "of a plate at "+carPark,
		`WHERE ended_micros = 0 AND car_park = $1 AND state = 'assigned' AND plate = $2 AND plate <> '' ORDER BY requested_micros, id LIMIT 1`, carPark, plate)
}

// ForgetSpaceRequests deletes what ended long ago. See parking.Spaces.
func (t *tx) ForgetSpaceRequests(ctx context.Context, before time.Time, limit int) (int64, error) {
	n, err := t.db.Exec(ctx, `DELETE FROM parking_space_request WHERE id IN
		(SELECT id FROM parking_space_request WHERE ended_micros <> 0 AND ended_micros < $1 ORDER BY ended_micros LIMIT $2)`, before.UnixMicro(), int64(limit))
	if err != nil {
		return 0, fmt.Errorf("forgetting space requests: %w", err)
	}
	return n, nil
}

// SpaceLoad counts those that have not ended. See parking.Spaces.
func (t *tx) SpaceLoad(ctx context.Context) (live int, earliest time.Time, err error) {
	var count, first int64
	_, err = database.One(ctx, t.db, `SELECT count(*), coalesce(min(requested_micros), 0) FROM parking_space_request WHERE ended_micros = 0`, nil, &count, &first)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("counting space requests: %w", err)
	}
	return int(count), instant(first), nil
}

var roundTable = table{what: "space round", name: "parking_space_round", list: "document"}

// LastSpaceRounds returns the latest rounds, the last first.
func (t *tx) LastSpaceRounds(ctx context.Context, limit int) ([]parking.SpaceRound, error) {
	return all(ctx, t.db, &roundTable, func(row database.Rows) (r parking.SpaceRound, err error) {
		var doc []byte
		return r, errors.Join(row.Scan(&doc), json.Unmarshal(doc, &r))
	}, `ORDER BY number DESC LIMIT $1`, int64(limit))
}

// PutSpaceRound adds the round after the last. See parking.Spaces.
func (t *tx) PutSpaceRound(ctx context.Context, r parking.SpaceRound, keep int) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing space round %d: %w", r.Number, err)
	}
	var last int64
	if _, err := database.One(ctx, t.db, `SELECT coalesce(max(number), 0) FROM parking_space_round`, nil, &last); err != nil {
		return fmt.Errorf("reading the last space round: %w", err)
	}
	n := int64(0)
	if r.Number == last+1 {
		n, err = t.db.Exec(ctx, `INSERT INTO parking_space_round (number, at_micros, document) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			r.Number, micros(r.At), doc)
		if err != nil {
			return fmt.Errorf("storing space round %d: %w", r.Number, err)
		}
	}
	if n == 0 {
		return fmt.Errorf("space round %d: %w: another process held it", r.Number, parking.ErrConflict)
	}
	if _, err := t.db.Exec(ctx, `DELETE FROM parking_space_round WHERE number <= $1`, r.Number-int64(max(keep, 1))); err != nil {
		return fmt.Errorf("deleting old space rounds: %w", err)
	}
	return nil
}
