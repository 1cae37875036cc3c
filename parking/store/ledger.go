package store

import (
	"context"
	"fmt"
	"time"

	"freeflow/internal/database"
	"freeflow/parking"
)

// Unposted returns the oldest orders not yet marked. It asks for what lacks the
// mark, never for numbers above the last one seen: a row whose transaction
// commits late has a low number. See parking.Ledger.
func (s *Store) Unposted(ctx context.Context, limit int) ([]parking.LedgerOrder, error) {
	if limit < 1 || limit > maxPage {
		return nil, fmt.Errorf("reading the ledger's orders: %w: a limit of %d; from 1 to %d are read at a time", parking.ErrInvalid, limit, maxPage)
	}
	var orders []parking.LedgerOrder
	err := s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, `SELECT id, kind, document, at_micros FROM parking_ledger_order WHERE posted_micros = 0 ORDER BY seq LIMIT $1`, []any{int64(limit)}, func(r database.Rows) error {
			var (
				o  parking.LedgerOrder
				at int64
			)
			err := r.Scan(&o.ID, &o.Kind, &o.Document, &at)
			o.At, o.Document = instant(at), orNil(o.Document)
			orders = append(orders, o)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's orders: %w", err)
	}
	return orders, nil
}

// Unseen returns the oldest changes of allocations that are still in the feed.
// See parking.Changes.
func (s *Store) Unseen(ctx context.Context, limit int) ([]parking.Change, error) {
	if limit < 1 || limit > maxPage {
		return nil, fmt.Errorf("reading changes: %w: a limit of %d; from 1 to %d are read at a time", parking.ErrInvalid, limit, maxPage)
	}
	var changes []parking.Change
	err := s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, `SELECT c.seq, a.id, a.car_park, a.plate, a.tag, a.class, a.length_mm, a.width_mm, a.height_mm, a.weight_kg, a.ev, a.accessible
			FROM (SELECT seq, allocation FROM parking_change ORDER BY seq LIMIT $1) AS c JOIN parking_allocation a ON a.id = c.allocation ORDER BY c.seq`,
			[]any{int64(limit)}, func(r database.Rows) error {
				var c parking.Change
				v := &c.Vehicle
				err := r.Scan(&c.ID, &c.Allocation, &c.CarPark, &v.Plate, &v.Tag, &v.Class, &v.LengthMM, &v.WidthMM, &v.HeightMM, &v.WeightKG, &v.EV, &v.Accessible)
				changes = append(changes, c)
				return err
			})
	})
	if err != nil {
		return nil, fmt.Errorf("reading changes: %w", err)
	}
	return changes, nil
}

// MarkSeen takes changes out of the feed. See parking.Changes.
func (s *Store) MarkSeen(ctx context.Context, ids []int64) error {
	err := s.inChunks(ctx, len(ids), func(db database.Session, position func(int) int) error {
		args := make([]any, chunk)
		for i := range args {
			args[i] = ids[position(i)]
		}
		_, err := db.Exec(ctx, `DELETE FROM parking_change WHERE seq IN (`+database.Placeholders(1, chunk)+`)`, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("marking changes as seen: %w", err)
	}
	return nil
}

// chunk is how many parameters a statement over a list takes: always as many,
// so that it stays compiled.
const chunk = 100

// inChunks runs fn in one transaction for every so many of n items; position
// gives the item of a parameter, the last ones again where they run out.
func (s *Store) inChunks(ctx context.Context, n int, fn func(db database.Session, position func(int) int) error) error {
	if n == 0 {
		return nil
	}
	return s.db.Write(ctx, func(db database.Session) error {
		for from := 0; from < n; from += chunk {
			if err := fn(db, func(i int) int { return min(from+i, n-1) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// MarkPosted marks orders; those marked before, or not there, are left as they
// are. See parking.Ledger.
func (s *Store) MarkPosted(ctx context.Context, ids []string, at time.Time) error {
	err := s.inChunks(ctx, len(ids), func(db database.Session, position func(int) int) error {
		args := make([]any, chunk+1)
		args[0] = max(1, at.UnixMicro())
		for i := range chunk {
			args[i+1] = ids[position(i)]
		}
		_, err := db.Exec(ctx, `UPDATE parking_ledger_order SET posted_micros = $1 WHERE posted_micros = 0 AND id IN (`+database.Placeholders(2, chunk)+`)`, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("marking orders as posted: %w", err)
	}
	return nil
}
