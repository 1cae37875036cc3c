package books

import (
	"context"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/billing/payment"
	"freeflow/internal/database"
)

// PutPaymentDebit keeps a debit. See payment.Tx.
func (t *Tx) PutPaymentDebit(ctx context.Context, d *payment.Debit) (known bool, err error) {
	if d.Version == 0 {
		known, err = t.insertDebit(ctx, d)
	} else {
		var changed int64
		changed, err = t.db.Exec(ctx, `UPDATE payment_debit SET state = $3, means_revision = $4, tries = $5, next_at = $6, version = version + 1
			WHERE id = $1 AND version = $2`, d.ID, d.Version, d.State, d.MeansRevision, d.Tries, microsOrZero(d.NextAt))
		if err == nil && changed == 0 {
			err = fmt.Errorf("%w: somebody else has changed it since it was read", billing.ErrStale)
		}
	}
	if err != nil {
		return false, fmt.Errorf("keeping debit %s: %w", d.ID, err)
	}
	if !known {
		d.Version++
	}
	return known, nil
}

func (t *Tx) insertDebit(ctx context.Context, d *payment.Debit) (known bool, err error) {
	// Of two who make the same, or two top-ups of one account, one waits here
	// for the other and then does nothing.
	added, err := t.db.Exec(ctx, `INSERT INTO payment_debit (id, purpose, account, day, currency, amount_cents, state, means_revision, tries, next_at, created_at, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1) ON CONFLICT DO NOTHING`,
		d.ID, d.Purpose, d.Account, d.Day, d.Currency, d.AmountCents, d.State, d.MeansRevision, d.Tries, microsOrZero(d.NextAt), d.CreatedAt.UnixMicro())
	if err != nil || added == 0 {
		return err == nil, err
	}
	kept := d.Items[:0:0]
	for i, one := range d.Items {
		added, err := t.db.Exec(ctx, `INSERT INTO payment_debit_item (debit, position, receivable, posting, amount_cents) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT DO NOTHING`, d.ID, int64(i+1), one.Receivable, one.Posting, one.AmountCents)
		if err != nil {
			return false, err
		}
		if added > 0 {
			kept = append(kept, one)
		}
	}
	d.Items = kept
	return false, nil
}

// PaymentDebit returns a debit, locked. See payment.Tx.
func (t *Tx) PaymentDebit(ctx context.Context, id string) (d payment.Debit, err error) {
	found := false
	err = database.Each(ctx, t.db, `SELECT id, purpose, account, day, currency, amount_cents, state, means_revision, tries, next_at, created_at, version
		FROM payment_debit WHERE id = $1`+t.locking(), []any{id}, func(r database.Rows) error {
		var next, created int64
		found = true
		err := r.Scan(&d.ID, &d.Purpose, &d.Account, &d.Day, &d.Currency, &d.AmountCents, &d.State, &d.MeansRevision, &d.Tries, &next, &created, &d.Version)
		d.NextAt, d.CreatedAt = instantOrZero(next), instantOrZero(created)
		return err
	})
	if err == nil && !found {
		err = billing.ErrNotFound
	}
	if err == nil {
		d.Items, err = t.paymentItems(ctx, `payment_debit_item WHERE debit = $1`, id)
	}
	if err != nil {
		return d, fmt.Errorf("reading debit %s: %w", id, err)
	}
	return d, nil
}

// DropDebitItem takes an item out of its debit. See payment.Tx.
func (t *Tx) DropDebitItem(ctx context.Context, i payment.Item) error {
	if _, err := t.db.Exec(ctx, `DELETE FROM payment_debit_item WHERE receivable = $1 AND posting = $2`, i.Receivable, i.Posting); err != nil {
		return fmt.Errorf("taking %s out of its debit: %w", i.Receivable, err)
	}
	return nil
}

// TopUpsOf counts top-ups. See payment.Tx.
func (t *Tx) TopUpsOf(ctx context.Context, account string) (n int64, err error) {
	if _, err = database.One(ctx, t.db, `SELECT count(*) FROM payment_debit WHERE account = $1 AND purpose = 'topup'`, []any{account}, &n); err != nil {
		return 0, fmt.Errorf("counting the top-ups of account %s: %w", account, err)
	}
	return n, nil
}

// DueDebits lists debits whose next try is due. See payment.Tx.
func (t *Tx) DueDebits(ctx context.Context, at time.Time, limit int) ([]string, error) {
	ids, err := t.texts(ctx, `SELECT id FROM payment_debit WHERE next_at <> 0 AND next_at <= $1 ORDER BY next_at, id LIMIT $2`, at.UnixMicro(), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("listing debits that are due: %w", err)
	}
	return ids, nil
}

// texts returns the first column of a query.
func (t *Tx) texts(ctx context.Context, query string, args ...any) (list []string, err error) {
	err = database.Each(ctx, t.db, query, args, func(r database.Rows) error {
		var one string
		err := r.Scan(&one)
		list = append(list, one)
		return err
	})
	return list, err
}

// ForgiveTopUps lets automatic top-ups begin again. See payment.Tx.
func (t *Tx) ForgiveTopUps(ctx context.Context, account string) error {
	_, err := t.db.Exec(ctx, `UPDATE payment_debit SET state = 'over', version = version + 1 WHERE account = $1 AND purpose = 'topup' AND state = 'failed'`, account)
	if err != nil {
		return fmt.Errorf("letting top-ups of account %s begin again: %w", account, err)
	}
	return nil
}

// undebited selects receivables r with something to be paid that no debit took
// up as they were posted last.
const undebited = ` r.paid_cents < r.amount_cents AND r.hold = ''
	AND NOT EXISTS (SELECT 1 FROM payment_debit_item i WHERE i.receivable = r.id AND i.posting = r.posting)`

// NotDebited lists an account's receivables for a debit. See payment.Tx.
func (t *Tx) NotDebited(ctx context.Context, account, currency string, before time.Time, limit int) ([]billing.Receivable, error) {
	list, err := t.receivablesBy(ctx, `FROM receivable r WHERE r.account <> '' AND r.account = $1 AND r.currency = $2 AND r.posted_at < $3 AND`+undebited+
		` ORDER BY r.posting, r.id LIMIT $4`, account, currency, before.UnixMicro(), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("listing what is to be debited from account %s: %w", account, err)
	}
	return list, nil
}

// TripsToDebit lists what is to be debited per trip. See payment.Tx.
func (t *Tx) TripsToDebit(ctx context.Context, at time.Time, limit int) ([]billing.Receivable, error) {
	list, err := t.receivablesBy(ctx, `FROM payment_means m JOIN receivable r ON r.account <> '' AND r.account = m.account AND r.currency = m.currency
		WHERE m.mode = 'per-trip' AND`+inForce("$1")+` AND`+undebited+` ORDER BY r.posting, r.id LIMIT $2`, at.UnixMicro(), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("listing trips to debit: %w", err)
	}
	return list, nil
}

func (t *Tx) receivablesBy(ctx context.Context, rest string, args ...any) ([]billing.Receivable, error) {
	var list []billing.Receivable
	err := database.Each(ctx, t.db, `SELECT `+receivableColumns+` `+rest, args, func(r database.Rows) error {
		v, err := scanReceivable(r)
		list = append(list, v.Receivable)
		return err
	})
	return list, err
}

// ClosingDay returns how far a day is closed. See payment.Tx.
func (t *Tx) ClosingDay(ctx context.Context, day string) (payment.DayClosing, error) {
	d := payment.DayClosing{Day: day}
	// The row is the lock of those who close the day.
	_, err := t.db.Exec(ctx, `INSERT INTO payment_day AS d (day, after_account, done) VALUES ($1, '', false) ON CONFLICT (day) DO UPDATE SET done = d.done`, day)
	if err == nil {
		_, err = database.One(ctx, t.db, `SELECT after_account, done FROM payment_day WHERE day = $1`, []any{day}, &d.After, &d.Done)
	}
	if err != nil {
		return d, fmt.Errorf("reading how far day %s is closed: %w", day, err)
	}
	return d, nil
}

// PutClosingDay keeps how far a day is closed. See payment.Tx.
func (t *Tx) PutClosingDay(ctx context.Context, d payment.DayClosing) error {
	if _, err := t.db.Exec(ctx, `UPDATE payment_day SET after_account = $2, done = $3 WHERE day = $1`, d.Day, d.After, d.Done); err != nil {
		return fmt.Errorf("closing day %s: %w", d.Day, err)
	}
	return nil
}

// LastClosedDay returns the latest day that is closed. See payment.Tx.
func (t *Tx) LastClosedDay(ctx context.Context) (day string, err error) {
	if _, err = database.One(ctx, t.db, `SELECT day FROM payment_day WHERE done ORDER BY day DESC LIMIT 1`, nil, &day); err != nil {
		return "", fmt.Errorf("reading the last closed day: %w", err)
	}
	return day, nil
}
