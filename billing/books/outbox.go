package books

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Unpublished returns the oldest events not yet marked. It asks for what lacks
// the mark, never for ids above the last one seen: a row whose transaction
// commits late has a low id. See billing.Outbox.
func (s *Store) Unpublished(ctx context.Context, limit int) ([]billing.Event, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("reading the outbox: %w", invalid("limit %d", limit))
	}
	var events []billing.Event
	err := s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, `SELECT id, payload FROM outbox WHERE published_at = 0 ORDER BY id LIMIT $1`, []any{int64(limit)}, func(r database.Rows) error {
			var e billing.Event
			err := r.Scan(&e.ID, &e.Payload)
			events = append(events, e)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the outbox: %w", err)
	}
	return events, nil
}

// MarkPublished marks events. See billing.Outbox.
func (s *Store) MarkPublished(ctx context.Context, ids []int64) error {
	const chunk = 100
	now := s.clock.Now().UnixMicro()
	err := s.db.Write(ctx, func(db database.Session) error {
		for rest := ids; len(rest) > 0; {
			n := min(len(rest), chunk)
			args := make([]any, 0, chunk+1)
			args = append(args, now)
			for i := range chunk {
				args = append(args, rest[min(i, n-1)])
			}
			rest = rest[n:]
			if _, err := db.Exec(ctx, `UPDATE outbox SET published_at = $1 WHERE published_at = 0 AND id IN (`+database.Placeholders(2, chunk)+`)`, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("marking events as published: %w", err)
	}
	return nil
}

// prunedName is the row of meta that counts the transactions announced by
// pruned events, so that Verify can still account for every one.
const prunedName = "outbox_pruned_transactions"

// PrunePublished deletes events marked before t; not those whose receivables
// are still to be derived. See billing.Outbox.
func (s *Store) PrunePublished(ctx context.Context, before time.Time) error {
	err := s.db.Write(ctx, func(db database.Session) error {
		// The counter's row is locked first, so that two who prune at once
		// count what each of them deletes.
		var text string
		if _, err := db.Exec(ctx, `INSERT INTO meta AS m (name, value) VALUES ('`+prunedName+`', '0') ON CONFLICT (name) DO UPDATE SET value = m.value`); err != nil {
			return err
		}
		if _, err := database.One(ctx, db, `SELECT value FROM meta WHERE name = '`+prunedName+`'`, nil, &text); err != nil {
			return err
		}
		pruned, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("reading how many transactions were pruned: %w", err)
		}
		err = database.Each(ctx, db, `DELETE FROM outbox WHERE published_at <> 0 AND published_at < $1 AND collected_at <> 0 RETURNING transactions`, []any{before.UnixMicro()}, func(r database.Rows) error {
			var n int64
			err := r.Scan(&n)
			pruned += n
			return err
		})
		if err != nil {
			return err
		}
		_, err = db.Exec(ctx, `UPDATE meta SET value = $1 WHERE name = '`+prunedName+`'`, strconv.FormatInt(pruned, 10))
		return err
	})
	if err != nil {
		return fmt.Errorf("pruning published events: %w", err)
	}
	return nil
}
