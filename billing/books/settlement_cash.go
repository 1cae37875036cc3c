package books

import (
	"context"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/billing/settlement"
	"freeflow/internal/database"
)

var _ settlement.CashTx = (*Tx)(nil)

// movedCash are movements as money in or out; what was undone is nothing.
const movedCash = `SELECT m.id, m.means, m.currency, CASE WHEN m.reversed_at <> 0 THEN 0 WHEN m.kind = 'receipt' THEN m.amount_cents ELSE -m.amount_cents END FROM movement m`

// CashByReference finds what a reference names. See settlement.CashTx.
func (t *Tx) CashByReference(ctx context.Context, reference string) (c settlement.Cash, found bool, err error) {
	for _, query := range []string{
		movedCash + ` WHERE m.id = $1`,
		movedCash + ` JOIN payment_attempt a ON a.movement = m.id WHERE a.id = $1`,
		`SELECT p.id, p.means, p.currency, CASE WHEN p.refunded_at <> 0 THEN 0 ELSE p.amount_cents END FROM payment p WHERE p.id = $1`,
		`SELECT s.number, p.means, s.currency, CASE WHEN s.state = 'returned' THEN 0 ELSE -s.remit_cents END FROM settlement s
			JOIN settlement_step p ON p.number = s.number AND p.state = 'remitted' WHERE s.number = $1 ORDER BY p.revision DESC LIMIT 1`,
	} {
		found, err = database.One(ctx, t.db, query, []any{reference}, &c.ID, &c.Means, &c.Currency, &c.AmountCents)
		if err != nil {
			return c, false, fmt.Errorf("finding the cash of a reference: %w", err)
		}
		if found {
			return c, true, nil
		}
	}
	return c, false, nil
}

// OurCash returns what moved by a means. See settlement.CashTx.
func (t *Tx) OurCash(ctx context.Context, means string, from, to time.Time) (list []settlement.Cash, err error) {
	err = database.Each(ctx, t.db, movedCash+` WHERE m.means = $1 AND m.moved_at >= $2 AND m.moved_at < $3 AND m.reversed_at = 0
		UNION ALL SELECT p.id, p.means, p.currency, p.amount_cents FROM payment p WHERE p.means = $1 AND p.paid_at >= $2 AND p.paid_at < $3 AND p.refunded_at = 0
		UNION ALL SELECT s.number, p.means, s.currency, -s.remit_cents FROM settlement s JOIN settlement_step p ON p.number = s.number AND p.state = 'remitted'
			WHERE p.means = $1 AND p.at_micros >= $2 AND p.at_micros < $3 AND s.state IN ('remitted', 'confirmed')
		ORDER BY 1`, []any{means, from.UnixMicro(), to.UnixMicro()}, func(r database.Rows) error {
		var c settlement.Cash
		err := r.Scan(&c.ID, &c.Means, &c.Currency, &c.AmountCents)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading cash by %s: %w", means, err)
	}
	return list, nil
}

// PutReport keeps a report. See settlement.CashTx.
func (t *Tx) PutReport(ctx context.Context, r settlement.Report, by string, at time.Time) (known bool, err error) {
	n, err := t.db.Exec(ctx, `INSERT INTO cash_report (id, means, from_micros, to_micros, taken_at, taken_by, row_count) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		r.ID, r.Means, r.From.UnixMicro(), r.To.UnixMicro(), microsOf(at), by, int64(len(r.Rows)))
	if err != nil {
		return false, fmt.Errorf("storing report %s: %w", r.ID, err)
	}
	return n == 0, nil
}

// PutRows keeps a report's rows. See settlement.CashTx.
func (t *Tx) PutRows(ctx context.Context, report string, rows []settlement.Row) error {
	var values [][]any
	for _, r := range rows {
		values = append(values, []any{report, r.Line, r.Reference, r.AmountCents, r.Currency, microsOf(r.At)})
	}
	if err := insertRows(ctx, t.db, `INSERT INTO cash_row (report, line, reference, amount_cents, currency, at_micros) VALUES `, values, ""); err != nil {
		return fmt.Errorf("storing the rows of report %s: %w", report, err)
	}
	return nil
}

// Reported counts rows about cash. See settlement.CashTx.
func (t *Tx) Reported(ctx context.Context, means, cash string) (n int64, err error) {
	_, err = database.One(ctx, t.db, `SELECT count(*) FROM cash_row w JOIN cash_report r ON r.id = w.report WHERE r.means = $1
		AND w.reference IN (SELECT $2 UNION SELECT a.id FROM payment_attempt a WHERE a.movement = $2 AND a.movement <> '')`, []any{means, cash}, &n)
	if err != nil {
		return 0, fmt.Errorf("counting reported rows: %w", err)
	}
	return n, nil
}

// owingOn are the passes of a time that owe something, with what their live
// transaction and their receivable say.
const owingOn = ` FROM pass p
	LEFT JOIN transactions t ON t.id = p.id || '-' || CAST(p.toll_revision AS text) || '-toll'
	LEFT JOIN entries e ON e.transaction_id = t.id AND e.amount_cents > 0
	LEFT JOIN receivable r ON r.id = 'pass:' || p.id
	WHERE p.merged_into = '' AND p.facility <> '' AND p.first_micros >= $1 AND p.first_micros < $2 AND p.status IN ('charged', 'unpaid') AND p.amount_cents > 0`

// UnitsOf sums up by facility. See settlement.CashTx.
func (t *Tx) UnitsOf(ctx context.Context, from, to time.Time) (list []settlement.Unit, err error) {
	args := []any{from.UnixMicro(), to.UnixMicro()}
	place := map[string]int{}
	err = database.Each(ctx, t.db, `SELECT p.facility, count(*), sum(p.amount_cents), count(t.id), coalesce(sum(e.amount_cents), 0), count(r.id), coalesce(sum(r.amount_cents), 0),
		coalesce(sum(r.paid_cents), 0)`+owingOn+` GROUP BY p.facility ORDER BY p.facility`, args, func(r database.Rows) error {
		var u settlement.Unit
		err := r.Scan(&u.Facility, &u.Passes, &u.PassCents, &u.Charges, &u.ChargeCents, &u.Receivables, &u.ReceivableCents, &u.PaidCents)
		place[u.Facility] = len(list)
		list = append(list, u)
		return err
	})
	if err == nil {
		err = database.Each(ctx, t.db, `SELECT facility, status, count(*) FROM pass WHERE merged_into = '' AND facility <> '' AND first_micros >= $1 AND first_micros < $2
			AND status IN ('exempt', 'review') GROUP BY facility, status ORDER BY facility, status`, args, func(r database.Rows) error {
			var (
				facility, status string
				n                int64
			)
			if err := r.Scan(&facility, &status, &n); err != nil {
				return err
			}
			i, ok := place[facility]
			if !ok {
				i = len(list)
				place[facility] = i
				list = append(list, settlement.Unit{Facility: facility})
			}
			if status == billing.StatusReview {
				list[i].Review = n
			} else {
				list[i].Exempt = n
			}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("summing up passes, charges and receivables: %w", err)
	}
	return list, nil
}

// ReadsOf counts archived reads. See settlement.CashTx.
func (t *Tx) ReadsOf(ctx context.Context, from, to time.Time) (n int64, err error) {
	if _, err = database.One(ctx, t.db, `SELECT coalesce(sum(read_count), 0) FROM read_archive WHERE posted_at >= $1 AND posted_at < $2`,
		[]any{from.UnixMicro(), to.UnixMicro()}, &n); err != nil {
		return 0, fmt.Errorf("counting archived reads: %w", err)
	}
	return n, nil
}

// ChainBreaks finds what does not agree. See settlement.CashTx.
func (t *Tx) ChainBreaks(ctx context.Context, from, to time.Time, limit int) (list []settlement.Break, err error) {
	for _, one := range []struct{ kind, query string }{
		{settlement.PassNotCharged, `SELECT p.id, p.facility, p.currency, p.amount_cents, 0` + owingOn + ` AND t.id IS NULL ORDER BY p.id LIMIT $3`},
		{settlement.ChargeDiffers, `SELECT p.id, p.facility, p.currency, p.amount_cents, e.amount_cents` + owingOn + ` AND e.amount_cents <> p.amount_cents ORDER BY p.id LIMIT $3`},
		// Of postings that were followed: the receivable is there, of the amount.
		{settlement.ReceivableMissing, `SELECT p.id, p.facility, p.currency, e.amount_cents, coalesce(r.amount_cents, 0)` + owingOn + ` AND t.id IS NOT NULL
			AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.id = t.posting AND o.collected_at = 0) AND coalesce(r.amount_cents, 0) <> e.amount_cents ORDER BY p.id LIMIT $3`},
	} {
		err = database.Each(ctx, t.db, one.query, []any{from.UnixMicro(), to.UnixMicro(), int64(limit)}, func(r database.Rows) error {
			b := settlement.Break{Kind: one.kind}
			err := r.Scan(&b.Subject, &b.Unit, &b.Currency, &b.OursCents, &b.TheirCents)
			list = append(list, b)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", one.kind, err)
		}
	}
	return list, nil
}

const breakColumns = `id, kind, subject, unit, currency, day, ours_cents, their_cents, found_at, ended_at, ended_by, reason`

func (t *Tx) breaks(ctx context.Context, where string, args ...any) (list []settlement.Break, err error) {
	err = database.Each(ctx, t.db, `SELECT `+breakColumns+` FROM settlement_break WHERE `+where, args, func(r database.Rows) error {
		var (
			b            settlement.Break
			found, ended int64
		)
		err := r.Scan(&b.ID, &b.Kind, &b.Subject, &b.Unit, &b.Currency, &b.Day, &b.OursCents, &b.TheirCents, &found, &ended, &b.EndedBy, &b.Reason)
		b.FoundAt, b.EndedAt = instantOf(found), instantOf(ended)
		list = append(list, b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading breaks: %w", err)
	}
	return list, nil
}

// PutBreak adds a break. See settlement.CashTx.
func (t *Tx) PutBreak(ctx context.Context, b settlement.Break) (known bool, err error) {
	n, err := t.db.Exec(ctx, `INSERT INTO settlement_break (`+breakColumns+`) VALUES (`+database.Placeholders(1, 12)+`) ON CONFLICT DO NOTHING`,
		b.ID, b.Kind, b.Subject, b.Unit, b.Currency, b.Day, b.OursCents, b.TheirCents, microsOf(b.FoundAt), microsOf(b.EndedAt), b.EndedBy, b.Reason)
	if err != nil {
		return false, fmt.Errorf("storing a break: %w", err)
	}
	return n == 0, nil
}

// Break returns one. See settlement.CashTx.
func (t *Tx) Break(ctx context.Context, id string) (settlement.Break, error) {
	list, err := t.breaks(ctx, `id = $1`+t.locking(), id)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("break %s: %w", id, billing.ErrNotFound)
	}
	if err != nil {
		return settlement.Break{}, err
	}
	return list[0], nil
}

// EndBreak ends an open one. See settlement.CashTx.
func (t *Tx) EndBreak(ctx context.Context, id, by, reason string, at time.Time) (bool, error) {
	n, err := t.db.Exec(ctx, `UPDATE settlement_break SET ended_at = $2, ended_by = $3, reason = $4 WHERE id = $1 AND ended_at = 0`, id, microsOf(at), by, reason)
	if err != nil {
		return false, fmt.Errorf("ending a break: %w", err)
	}
	return n == 1, nil
}

// Breaks lists breaks. See settlement.CashTx.
func (t *Tx) Breaks(ctx context.Context, unit string, all bool, afterDay int64, after string, limit int) ([]settlement.Break, error) {
	return t.breaks(ctx, `($1 = '' OR unit = $1) AND ($2 OR ended_at = 0) AND (day > $3 OR (day = $3 AND id > $4)) ORDER BY day, id LIMIT $5`, unit, all, afterDay, after, int64(limit))
}

// CountTraffic counts a day's passes. See settlement.Tx.
func (t *Tx) CountTraffic(ctx context.Context, day int64, from, to time.Time) error {
	_, err := t.db.Exec(ctx, `INSERT INTO traffic_day (day, passes, facility, toll_point, class)
		SELECT CAST($1 AS bigint), count(*), facility, toll_point, class FROM pass WHERE merged_into = '' AND facility <> '' AND first_micros >= $2 AND first_micros < $3
		GROUP BY facility, toll_point, class ON CONFLICT DO NOTHING`, day, from.UnixMicro(), to.UnixMicro())
	if err != nil {
		return fmt.Errorf("counting a day's traffic: %w", err)
	}
	return nil
}

// Traffic returns what was counted on the days of [from, to), in order; without
// directions, which the network knows.
func (t *Tx) Traffic(ctx context.Context, from, to int64) (list []settlement.Count, err error) {
	err = database.Each(ctx, t.db, `SELECT day, facility, toll_point, class, passes FROM traffic_day WHERE day >= $1 AND day < $2 ORDER BY day, toll_point, class`,
		[]any{from, to}, func(r database.Rows) error {
			var c settlement.Count
			err := r.Scan(&c.Day, &c.Facility, &c.TollPoint, &c.Class, &c.Passes)
			list = append(list, c)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading counted traffic: %w", err)
	}
	return list, nil
}
