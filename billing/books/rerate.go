package books

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/database"
)

var _ billing.Rerating = (*Store)(nil)

const rerateColumns = `id, from_micros, to_micros, made_at, ordered_at, finished_at, looked, passes, vehicles, accounts, left_alone,
	was_cents, now_cents, paid_passes, done, changed, facility, currency, state, digest, made_by, ordered_by, reason`

func scanRerate(r database.Rows) (v billing.Rerate, err error) {
	var made, ordered, finished int64
	err = r.Scan(&v.ID, &v.FromMicros, &v.ToMicros, &made, &ordered, &finished, &v.Looked, &v.Passes, &v.Vehicles, &v.Accounts, &v.Left,
		&v.WasCents, &v.NowCents, &v.PaidPasses, &v.Done, &v.Changed, &v.Facility, &v.Currency, &v.State, &v.Digest, &v.By, &v.OrderedBy, &v.Reason)
	at := func(micros int64) time.Time {
		if micros == 0 {
			return time.Time{}
		}
		return time.UnixMicro(micros).UTC()
	}
	v.At, v.OrderedAt, v.FinishedAt = at(made), at(ordered), at(finished)
	return v, err
}

const rerateRowColumns = `pass_id, revision, customer, vehicle, first_micros, was_cents, now_cents, tariff_version, rule, paid, state, stood`

func scanRerateRow(r database.Rows) (v billing.RerateRow, err error) {
	err = r.Scan(&v.PassID, &v.Revision, &v.Customer, &v.Vehicle, &v.FirstMicros, &v.WasCents, &v.NowCents, &v.Version, &v.Rule, &v.Paid, &v.State, &v.Stood)
	return v, err
}

// rerateEvent tells the audit trail of a bulk re-rate.
func rerateEvent(ctx context.Context, db database.Session, action, by string, at time.Time, r *billing.Rerate) error {
	return audit.Append(ctx, db, audit.Event{
		At: at, Actor: audit.Actor{Name: by, Role: "operator"}, Action: action, Account: audit.Everybody,
		Subject: audit.Subject{Kind: "rerate", ID: strconv.FormatInt(r.ID, 10)}, Reason: r.Reason,
		Detail: map[string]any{
			"facility": r.Facility, "from_micros": strconv.FormatInt(r.FromMicros, 10), "to_micros": strconv.FormatInt(r.ToMicros, 10),
			"passes": r.Passes, "was": billing.FormatCents(r.WasCents), "now": billing.FormatCents(r.NowCents), "digest": r.Digest,
		},
	})
}

// AddRerate implements billing.Rerating.
func (s *Store) AddRerate(ctx context.Context, v billing.Rerate, rows []billing.RerateRow) (billing.Rerate, error) {
	v.State = billing.RerateDry
	err := s.db.Write(ctx, func(db database.Session) error {
		// The lock makes those who add at once wait for each other.
		if _, err := db.Exec(ctx, `INSERT INTO meta AS m (name, value) VALUES ('rerate_lock', '') ON CONFLICT (name) DO UPDATE SET value = m.value`); err != nil {
			return err
		}
		if _, err := database.One(ctx, db, `SELECT coalesce(max(id), 0) + 1 FROM rerate`, nil, &v.ID); err != nil {
			return err
		}
		_, err := db.Exec(ctx, `INSERT INTO rerate (`+rerateColumns+`) VALUES ($1, $2, $3, $4, 0, 0, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, $13, $14, $15, $16, $17, '', $18)`,
			v.ID, v.FromMicros, v.ToMicros, v.At.UnixMicro(), v.Looked, v.Passes, v.Vehicles, v.Accounts, v.Left,
			v.WasCents, v.NowCents, v.PaidPasses, v.Facility, v.Currency, v.State, v.Digest, v.By, v.Reason)
		if err != nil {
			return err
		}
		i := 0
		err = db.Bulk(ctx, "rerate_pass", []string{"rerate_id", "revision", "first_micros", "was_cents", "now_cents", "paid",
			"pass_id", "customer", "vehicle", "tariff_version", "rule", "state", "stood"}, func() ([]any, bool) {
			if i == len(rows) {
				return nil, false
			}
			r := &rows[i]
			i++
			return []any{v.ID, r.Revision, r.FirstMicros, r.WasCents, r.NowCents, r.Paid, r.PassID, r.Customer, r.Vehicle, r.Version, r.Rule, r.State, r.Stood}, true
		})
		if err != nil {
			return err
		}
		return rerateEvent(ctx, db, "rerate.tried", v.By, v.At, &v)
	})
	if err != nil {
		return billing.Rerate{}, fmt.Errorf("storing a dry run: %w", err)
	}
	return v, nil
}

// oneRerate reads one; ErrNotFound.
func oneRerate(ctx context.Context, db database.Session, id int64) (v billing.Rerate, err error) {
	found := false
	err = database.Each(ctx, db, `SELECT `+rerateColumns+` FROM rerate WHERE id = $1`, []any{id}, func(r database.Rows) error {
		found = true
		v, err = scanRerate(r)
		return err
	})
	if err == nil && !found {
		err = billing.ErrNotFound
	}
	return v, err
}

// lockRerate locks one until the end of the transaction and reads it.
func lockRerate(ctx context.Context, db database.Session, id int64) (billing.Rerate, error) {
	if _, err := db.Exec(ctx, `UPDATE rerate SET state = state WHERE id = $1`, id); err != nil {
		return billing.Rerate{}, err
	}
	return oneRerate(ctx, db, id)
}

// OrderRerate implements billing.Rerating.
func (s *Store) OrderRerate(ctx context.Context, id int64, digest, by string, at time.Time) (v billing.Rerate, err error) {
	err = s.db.Write(ctx, func(db database.Session) error {
		if v, err = lockRerate(ctx, db, id); err != nil {
			return err
		}
		switch {
		case v.Digest != digest:
			return fmt.Errorf("%w: the digest is not that of the dry run", billing.ErrStale)
		case v.State != billing.RerateDry && v.OrderedBy == by:
			return nil
		case v.State != billing.RerateDry:
			return fmt.Errorf("%w: it was ordered already by another", billing.ErrConflict)
		case by == "" || v.By == by:
			return fmt.Errorf("%w: another person than the one who worked it out has to order it", billing.ErrConflict)
		}
		v.State, v.OrderedBy, v.OrderedAt = billing.RerateRunning, by, at.UTC().Truncate(microsecond)
		if _, err := db.Exec(ctx, `UPDATE rerate SET state = $2, ordered_by = $3, ordered_at = $4 WHERE id = $1`, id, v.State, by, at.UnixMicro()); err != nil {
			return err
		}
		return rerateEvent(ctx, db, "rerate.ordered", by, at, &v)
	})
	if err != nil {
		return billing.Rerate{}, fmt.Errorf("ordering re-rate %d: %w", id, err)
	}
	return v, nil
}

// Rerate implements billing.Rerating.
func (s *Store) Rerate(ctx context.Context, id int64) (v billing.Rerate, err error) {
	err = s.db.Direct(ctx, func(db database.Session) error {
		v, err = oneRerate(ctx, db, id)
		return err
	})
	if err != nil {
		return billing.Rerate{}, fmt.Errorf("reading re-rate %d: %w", id, err)
	}
	return v, nil
}

// Rerates implements billing.Rerating.
func (s *Store) Rerates(ctx context.Context, state string, before int64, limit int) (list []billing.Rerate, err error) {
	err = s.db.Direct(ctx, func(db database.Session) error {
		list = nil
		return database.Each(ctx, db, `SELECT `+rerateColumns+` FROM rerate WHERE (CAST($1 AS text) = '' OR state = CAST($1 AS text))
			AND (CAST($2 AS bigint) = 0 OR id < CAST($2 AS bigint)) ORDER BY id DESC LIMIT $3`, []any{state, before, int64(limit)}, func(r database.Rows) error {
			v, err := scanRerate(r)
			list = append(list, v)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing re-rates: %w", err)
	}
	return list, nil
}

// RerateRows implements billing.Rerating.
func (s *Store) RerateRows(ctx context.Context, id int64, after string, limit int) (list []billing.RerateRow, err error) {
	err = s.db.Direct(ctx, func(db database.Session) error {
		list, err = rerateRows(ctx, db, id, after, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the passes of re-rate %d: %w", id, err)
	}
	return list, nil
}

// ViewRerateRows is RerateRows for a member of staff: the rows of the audit
// trail that note makes stand in the same transaction, or nothing is shown.
func (s *Store) ViewRerateRows(ctx context.Context, id int64, after string, limit int, note func([]billing.RerateRow) []audit.Access) (list []billing.RerateRow, err error) {
	err = s.db.Write(ctx, func(db database.Session) error {
		if list, err = rerateRows(ctx, db, id, after, limit); err != nil {
			return err
		}
		return noteAll(ctx, db, note(list))
	})
	if err != nil {
		return nil, fmt.Errorf("showing the passes of re-rate %d: %w", id, err)
	}
	return list, nil
}

func rerateRows(ctx context.Context, db database.Session, id int64, after string, limit int) (list []billing.RerateRow, err error) {
	err = database.Each(ctx, db, `SELECT `+rerateRowColumns+` FROM rerate_pass WHERE rerate_id = $1 AND pass_id > $2 ORDER BY pass_id LIMIT $3`,
		[]any{id, after, int64(limit)}, func(r database.Rows) error {
			v, err := scanRerateRow(r)
			list = append(list, v)
			return err
		})
	return list, err
}

// PendingRerate implements billing.View.
func (v *view) PendingRerate(ctx context.Context, limit int) ([]billing.RerateRow, error) {
	one, err := lockRerate(ctx, v.db, v.rerate)
	if err != nil || one.State != billing.RerateRunning {
		return nil, err
	}
	var list []billing.RerateRow
	err = database.Each(ctx, v.db, `SELECT `+rerateRowColumns+` FROM rerate_pass WHERE rerate_id = $1 AND state = 'pending' ORDER BY pass_id LIMIT $2`,
		[]any{v.rerate, int64(limit)}, func(r database.Rows) error {
			row, err := scanRerateRow(r)
			list = append(list, row)
			return err
		})
	return list, err
}

// markRerated says of the rows of a step what became of them.
func markRerated(ctx context.Context, db database.Session, id int64, r *billing.Restated) error {
	mark := func(pass, state string) error {
		moved, err := db.Exec(ctx, `UPDATE rerate_pass SET state = $3 WHERE rerate_id = $1 AND pass_id = $2 AND state = 'pending'`, id, pass, state)
		if err == nil && moved == 0 {
			err = fmt.Errorf("%w: pass %s of re-rate %d is dealt with already", billing.ErrStale, pass, id)
		}
		return err
	}
	for i := range r.Passes {
		if err := mark(r.Passes[i].ID, billing.RerateDoneRow); err != nil {
			return err
		}
	}
	for state, passes := range map[string][]string{billing.RerateChanged: r.Changed, billing.RerateFailed: r.Failed} {
		for _, pass := range passes {
			if err := mark(pass, state); err != nil {
				return err
			}
		}
	}
	_, err := db.Exec(ctx, `UPDATE rerate SET done = done + $2, changed = changed + $3 WHERE id = $1`, id, int64(len(r.Passes)), int64(len(r.Changed)))
	return err
}

// FinishRerate implements billing.Rerating.
func (s *Store) FinishRerate(ctx context.Context, id int64, at time.Time) (v billing.Rerate, err error) {
	err = s.db.Write(ctx, func(db database.Session) error {
		if v, err = lockRerate(ctx, db, id); err != nil || v.State != billing.RerateRunning {
			return err
		}
		var pending int64
		if _, err := database.One(ctx, db, `SELECT count(*) FROM rerate_pass WHERE rerate_id = $1 AND state = 'pending'`, []any{id}, &pending); err != nil || pending > 0 {
			return err
		}
		v.State, v.FinishedAt = billing.RerateDone, at.UTC().Truncate(microsecond)
		if _, err := db.Exec(ctx, `UPDATE rerate SET state = $2, finished_at = $3 WHERE id = $1`, id, v.State, at.UnixMicro()); err != nil {
			return err
		}
		return rerateEvent(ctx, db, "rerate.done", v.OrderedBy, at, &v)
	})
	if err != nil {
		return billing.Rerate{}, fmt.Errorf("finishing re-rate %d: %w", id, err)
	}
	return v, nil
}

// RerateCustomers implements billing.Rerating.
func (s *Store) RerateCustomers(ctx context.Context, id int64, after string, limit int) (list []billing.RerateCustomer, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		list, err = tx.RerateCustomers(ctx, id, after, limit)
		return err
	})
	return list, err
}

// RerateCustomers is Store.RerateCustomers in this transaction.
func (t *Tx) RerateCustomers(ctx context.Context, id int64, after string, limit int) (list []billing.RerateCustomer, err error) {
	err = database.Each(ctx, t.db, `SELECT p.customer, count(*), CAST(sum(p.was_cents) AS bigint), CAST(sum(p.now_cents) AS bigint),
			CAST(sum(CASE WHEN p.paid THEN 1 ELSE 0 END) AS bigint), r.currency
		FROM rerate r JOIN rerate_pass p ON p.rerate_id = r.id
		WHERE r.id = $1 AND p.state = 'done' AND p.customer > $2 GROUP BY p.customer, r.currency ORDER BY p.customer LIMIT $3`,
		[]any{id, after, int64(limit)}, func(r database.Rows) error {
			c := billing.RerateCustomer{Rerate: id}
			err := r.Scan(&c.Customer, &c.Passes, &c.WasCents, &c.NowCents, &c.PaidPasses, &c.Currency)
			c.DifferenceCents = c.NowCents - c.WasCents
			list = append(list, c)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("listing the customers of re-rate %d: %w", id, err)
	}
	return list, nil
}

// UntoldRerate returns the oldest bulk re-rate that is done and whose customers
// are not all told, and the last one told; ErrNotFound if there is none. Others
// who ask wait until the end of the transaction.
func (t *Tx) UntoldRerate(ctx context.Context) (v billing.Rerate, after string, err error) {
	if _, err := t.db.Exec(ctx, `INSERT INTO meta AS m (name, value) VALUES ('rerate_lock', '') ON CONFLICT (name) DO UPDATE SET value = m.value`); err != nil {
		return v, "", fmt.Errorf("looking for customers to be told: %w", err)
	}
	var id int64
	found, err := database.One(ctx, t.db, `SELECT id, told_after FROM rerate WHERE state = 'done' AND told_at = 0 ORDER BY id LIMIT 1`, nil, &id, &after)
	if err == nil && !found {
		err = billing.ErrNotFound
	}
	if err == nil {
		v, err = oneRerate(ctx, t.db, id)
	}
	if err != nil {
		return billing.Rerate{}, "", fmt.Errorf("looking for customers to be told: %w", err)
	}
	return v, after, nil
}

// RerateTold notes up to which customer a bulk re-rate has been told; an instant
// that is not zero says that all have.
func (t *Tx) RerateTold(ctx context.Context, id int64, after string, all time.Time) error {
	at := int64(0)
	if !all.IsZero() {
		at = all.UnixMicro()
	}
	if _, err := t.db.Exec(ctx, `UPDATE rerate SET told_after = $2, told_at = $3 WHERE id = $1`, id, after, at); err != nil {
		return fmt.Errorf("noting which customers of re-rate %d are told: %w", id, err)
	}
	return nil
}
