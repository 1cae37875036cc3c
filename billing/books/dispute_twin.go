package books

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"freeflow/internal/database"
)

// LockPasses keeps passes from changing. See dispute.Tx.
func (t *Tx) LockPasses(ctx context.Context, ids []string) error {
	var facilities []string
	for _, id := range ids {
		r, err := passByID(ctx, t.db, id)
		if err != nil {
			return fmt.Errorf("locking pass %s: %w", id, err)
		}
		facilities = append(facilities, r.Facility)
	}
	// In the order of all who post: the facilities' rows, then the passes'.
	lock := func(statement string, keys []string) error {
		for _, key := range slices.Compact(slices.Sorted(slices.Values(keys))) {
			if _, err := t.db.Exec(ctx, statement, key); err != nil {
				return fmt.Errorf("locking passes: %w", err)
			}
		}
		return nil
	}
	if err := lock(`UPDATE facility SET epoch = epoch WHERE facility = $1`, facilities); err != nil {
		return err
	}
	return lock(`UPDATE pass SET revision = revision WHERE id = $1`, ids)
}

// Roles of passes that are one trip.
const (
	twinGiven = "given"
	twinKept  = "kept"
)

// PutTwins notes which pass of a trip is given back. See dispute.Tx.
func (t *Tx) PutTwins(ctx context.Context, given string, kept []string, reference string, now time.Time) (bool, error) {
	roles := map[string]string{given: twinGiven}
	for _, id := range kept {
		if id != given {
			roles[id] = twinKept
		}
	}
	ids := make([]string, 0, len(roles))
	for id := range roles {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	// Whoever decides of the same passes waits here, and then sees what we wrote.
	if err := t.LockPasses(ctx, ids); err != nil {
		return false, err
	}
	var lack []string
	for _, id := range ids {
		role := ""
		found, err := database.One(ctx, t.db, `SELECT role FROM dispute_twin WHERE pass_id = $1`, []any{id}, &role)
		switch {
		case err != nil:
			return false, fmt.Errorf("looking what was given back of a trip: %w", err)
		case !found:
			lack = append(lack, id)
		case role != roles[id]:
			return false, nil
		}
	}
	for _, id := range lack {
		if _, err := t.db.Exec(ctx, `INSERT INTO dispute_twin (pass_id, role, reference, at_micros) VALUES ($1, $2, $3, $4)`, id, roles[id], reference, microsOf(now)); err != nil {
			return false, fmt.Errorf("noting what is given back of a trip: %w", err)
		}
	}
	return true, nil
}

// FlagPasses returns the passes of a flag. See dispute.Tx.
func (t *Tx) FlagPasses(ctx context.Context, key string) ([]string, error) {
	text, ids := "", []string(nil)
	found, err := database.One(ctx, t.db, `SELECT passes FROM dispute_flag WHERE flag_key = $1`, []any{key}, &text)
	if err == nil && found {
		err = json.Unmarshal([]byte(text), &ids)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the passes of flag %s: %w", key, err)
	}
	return ids, nil
}
