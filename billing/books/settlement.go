package books

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/billing/settlement"
	"freeflow/internal/audit"
	"freeflow/internal/database"
)

var _ settlement.Tx = (*Tx)(nil)

// kindRemittance is the kind of transactions that pay operators what was
// collected for them.
const kindRemittance = "remittance"

// remittanceMoney names the transactions of a batch.
func remittanceMoney(number string) string { return "remit:" + number }

// ToSettle returns whose batch of a day is missing. See settlement.Tx.
func (t *Tx) ToSettle(ctx context.Context, day int64) (list []settlement.Key, err error) {
	err = database.Each(ctx, t.db, `SELECT n.creditor, n.currency FROM (
			SELECT creditor, currency FROM creditor_day WHERE day = $1
			UNION SELECT s.creditor, s.currency FROM settlement s WHERE s.carry_cents < 0
				AND s.day = (SELECT max(l.day) FROM settlement l WHERE l.creditor = s.creditor AND l.currency = s.currency AND l.day < $1)) AS n
		LEFT JOIN settlement b ON b.creditor = n.creditor AND b.currency = n.currency AND b.day = $1
		WHERE b.number IS NULL ORDER BY n.creditor, n.currency`, []any{day}, func(r database.Rows) error {
		var k settlement.Key
		err := r.Scan(&k.Creditor, &k.Currency)
		list = append(list, k)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("finding whom to settle with: %w", err)
	}
	return list, nil
}

// Sums returns what the ledger did for a creditor. See settlement.Tx.
func (t *Tx) Sums(ctx context.Context, k settlement.Key, day int64) (list []settlement.Sum, err error) {
	err = database.Each(ctx, t.db, `SELECT what, kind, earlier, movements, amount_cents FROM creditor_day WHERE creditor = $1 AND currency = $2 AND day = $3
		ORDER BY what, kind, earlier`, []any{k.Creditor, k.Currency, day}, func(r database.Rows) error {
		var s settlement.Sum
		err := r.Scan(&s.What, &s.Kind, &s.Earlier, &s.Movements, &s.AmountCents)
		list = append(list, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading a creditor's day: %w", err)
	}
	return list, nil
}

// PassesOf counts passes. See settlement.Tx.
func (t *Tx) PassesOf(ctx context.Context, facility string, from, to time.Time) (p settlement.Passes, err error) {
	err = database.Each(ctx, t.db, `SELECT status, count(*) FROM pass WHERE merged_into = '' AND facility <> '' AND facility = $1 AND first_micros >= $2 AND first_micros < $3
		GROUP BY status`, []any{facility, from.UnixMicro(), to.UnixMicro()}, func(r database.Rows) error {
		var (
			status string
			n      int64
		)
		err := r.Scan(&status, &n)
		p.Passes += n
		switch status {
		case billing.StatusCharged:
			p.Charged = n
		case billing.StatusExempt:
			p.Exempt = n
		case billing.StatusUnpaid:
			p.Unpaid = n
		case billing.StatusReview:
			p.Review = n
		}
		return err
	})
	if err != nil {
		return p, fmt.Errorf("counting passes of %s: %w", facility, err)
	}
	return p, nil
}

const batchColumns = `number, creditor, currency, day, collected_cents, refunded_cents, carried_cents, remit_cents, carry_cents, figures, state, made_at, revision`

func (t *Tx) batches(ctx context.Context, where string, args ...any) (list []settlement.Batch, err error) {
	err = database.Each(ctx, t.db, `SELECT `+batchColumns+` FROM settlement WHERE `+where, args, func(r database.Rows) error {
		var (
			b       settlement.Batch
			figures string
			made    int64
		)
		err := r.Scan(&b.Number, &b.Creditor, &b.Currency, &b.Day, &b.CollectedCents, &b.RefundedCents, &b.CarriedCents, &b.RemitCents, &b.CarryCents, &figures,
			&b.State, &made, &b.Revision)
		if err == nil {
			err = json.Unmarshal([]byte(figures), &b.Figures)
		}
		b.MadeAt = instantOf(made)
		list = append(list, b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading settlement batches: %w", err)
	}
	return list, nil
}

// BatchBefore returns a creditor's last batch. See settlement.Tx.
func (t *Tx) BatchBefore(ctx context.Context, k settlement.Key, day int64) (settlement.Batch, bool, error) {
	list, err := t.batches(ctx, `creditor = $1 AND currency = $2 AND day < $3 ORDER BY day DESC LIMIT 1`, k.Creditor, k.Currency, day)
	if err != nil || len(list) == 0 {
		return settlement.Batch{}, false, err
	}
	return list[0], true, nil
}

// PutBatch adds a batch. See settlement.Tx.
func (t *Tx) PutBatch(ctx context.Context, b settlement.Batch) (known bool, err error) {
	figures, err := json.Marshal(b.Figures)
	if err != nil {
		return false, err
	}
	n, err := t.db.Exec(ctx, `INSERT INTO settlement (`+batchColumns+`) VALUES (`+database.Placeholders(1, 13)+`) ON CONFLICT DO NOTHING`,
		b.Number, b.Creditor, b.Currency, b.Day, b.CollectedCents, b.RefundedCents, b.CarriedCents, b.RemitCents, b.CarryCents, string(figures), b.State,
		microsOf(b.MadeAt), b.Revision)
	if err == nil && n == 1 {
		_, err = t.db.Exec(ctx, settlementStep, b.Number, b.Revision, microsOf(b.MadeAt), b.State, "", "", "job:settlement", "")
	}
	if err != nil {
		return false, fmt.Errorf("storing batch %s: %w", b.Number, err)
	}
	return n == 0, nil
}

const settlementStep = `INSERT INTO settlement_step (number, revision, at_micros, state, means, reference, done_by, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// Batch returns one, locked. See settlement.Tx.
func (t *Tx) Batch(ctx context.Context, number string) (settlement.Batch, error) {
	list, err := t.batches(ctx, `number = $1`+t.locking(), number)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("batch %s: %w", number, billing.ErrNotFound)
	}
	if err != nil {
		return settlement.Batch{}, err
	}
	return list[0], nil
}

// Batches lists batches. See settlement.Tx.
func (t *Tx) Batches(ctx context.Context, f settlement.Filter) ([]settlement.Batch, error) {
	return t.batches(ctx, `($1 = '' OR creditor = $1) AND ($2 = '' OR state = $2) AND day >= $3 AND ($4 = 0 OR day < $4)
		AND (day > $5 OR (day = $5 AND number > $6)) ORDER BY day, number LIMIT $7`, f.Creditor, f.State, f.FromDay, f.ToDay, f.AfterDay, f.After, int64(f.Limit))
}

// Steps returns a batch's steps. See settlement.Tx.
func (t *Tx) Steps(ctx context.Context, number string) (list []settlement.Step, err error) {
	err = database.Each(ctx, t.db, `SELECT number, revision, at_micros, state, means, reference, done_by, reason FROM settlement_step WHERE number = $1 ORDER BY revision`,
		[]any{number}, func(r database.Rows) error {
			var (
				s  settlement.Step
				at int64
			)
			err := r.Scan(&s.Number, &s.Revision, &at, &s.State, &s.Means, &s.Reference, &s.By, &s.Reason)
			s.At = instantOf(at)
			list = append(list, s)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading the steps of batch %s: %w", number, err)
	}
	return list, nil
}

// Advance takes a step of a batch. See settlement.Tx.
func (t *Tx) Advance(ctx context.Context, b settlement.Batch, s settlement.Step) error {
	n, err := t.db.Exec(ctx, `UPDATE settlement SET state = $2, revision = $3 WHERE number = $1 AND revision = $3 - 1`, b.Number, b.State, b.Revision)
	if err == nil && n != 1 {
		return fmt.Errorf("%w: batch %s stands at another revision than %d", billing.ErrStale, b.Number, b.Revision-1)
	}
	if err == nil {
		_, err = t.db.Exec(ctx, settlementStep, s.Number, s.Revision, microsOf(s.At), s.State, s.Means, s.Reference, s.By, s.Reason)
	}
	if err != nil {
		return fmt.Errorf("storing a step of batch %s: %w", b.Number, err)
	}
	return nil
}

// Remit posts that a batch's money went out: the operator's claim is smaller by
// it, and so is the money by that means. See settlement.Tx.
func (t *Tx) Remit(_ context.Context, b settlement.Batch, nth int64, means string, at time.Time) error {
	t.transact(at, eventMoney{Kind: kindRemittance, Holder: billing.OperatorPrefix + b.Creditor}, remittanceMoney(b.Number), 2*nth-1, "",
		debt{billing.OperatorPrefix + b.Creditor, billing.CashPrefix + means, b.RemitCents, b.Currency})
	return nil
}

// CallOff posts that it came back. See settlement.Tx.
func (t *Tx) CallOff(_ context.Context, b settlement.Batch, nth int64, means string, at time.Time) error {
	t.transact(at, eventMoney{Kind: kindReversal, Holder: billing.OperatorPrefix + b.Creditor}, remittanceMoney(b.Number), 2*nth,
		moneyTransactionID(remittanceMoney(b.Number), 2*nth-1, kindRemittance),
		debt{billing.OperatorPrefix + b.Creditor, billing.CashPrefix + means, -b.RemitCents, b.Currency})
	return nil
}

// LastSettled returns the last day that is settled. See settlement.Tx.
func (t *Tx) LastSettled(ctx context.Context) (int64, bool, error) {
	return t.oneDay(ctx, `SELECT day FROM settlement_day_done ORDER BY day DESC LIMIT 1`)
}

// FirstClosed returns the first closed day. See settlement.Tx.
func (t *Tx) FirstClosed(ctx context.Context) (int64, bool, error) {
	return t.oneDay(ctx, `SELECT day FROM ledger_day WHERE done ORDER BY day LIMIT 1`)
}

func (t *Tx) oneDay(ctx context.Context, query string) (day int64, found bool, err error) {
	if found, err = database.One(ctx, t.db, query, nil, &day); err != nil {
		return 0, false, fmt.Errorf("finding a day: %w", err)
	}
	return day, found, nil
}

// PutSettled marks a day as settled. See settlement.Tx.
func (t *Tx) PutSettled(ctx context.Context, day int64, at time.Time) error {
	if _, err := t.db.Exec(ctx, `INSERT INTO settlement_day_done (day, made_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, day, microsOf(at)); err != nil {
		return fmt.Errorf("marking a day as settled: %w", err)
	}
	return nil
}

// RecordSettlement adds to the audit trail. See settlement.Tx.
func (t *Tx) RecordSettlement(ctx context.Context, action, kind, id string, d settlement.Deed) error {
	return audit.Append(ctx, t.db, audit.Event{
		At: d.Now, Actor: audit.Actor{Name: d.By, Role: d.Role}, Action: action, Subject: audit.Subject{Kind: kind, ID: id}, Reason: d.Reason,
	})
}
