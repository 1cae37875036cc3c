package books

import (
	"context"
	"fmt"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/payment"
	"freeflow/internal/database"
)

var _ payment.Tx = (*Tx)(nil)

const attemptColumns = `a.id, a.kind, a.purpose, a.provider, a.debit, a.account, a.holder, a.means, a.token, a.bill, a.original, a.source,
	a.amount_cents, a.moved_cents, a.refunded_cents, a.currency, a.state, a.how, a.provider_ref, a.reason, a.movement,
	a.calls, a.queries, a.next_at, a.valid_until, a.created_at, a.settled_at, a.version`

func scanAttempt(r database.Rows) (a payment.Attempt, err error) {
	var next, valid, created, settled int64
	err = r.Scan(&a.ID, &a.Kind, &a.Purpose, &a.Provider, &a.Debit, &a.Account, &a.Holder, &a.Means, &a.Token, &a.Bill, &a.Original, &a.Source,
		&a.AmountCents, &a.MovedCents, &a.RefundedCents, &a.Currency, &a.State, &a.How, &a.ProviderRef, &a.Reason, &a.Movement,
		&a.Calls, &a.Queries, &next, &valid, &created, &settled, &a.Version)
	a.NextAt, a.ValidUntil, a.CreatedAt, a.SettledAt = instantOrZero(next), instantOrZero(valid), instantOrZero(created), instantOrZero(settled)
	return a, err
}

// microsOrZero is the column's form of an instant in which 0 means none.
func microsOrZero(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMicro()
}

// PutPaymentAttempt keeps an attempt. See payment.Tx.
func (t *Tx) PutPaymentAttempt(ctx context.Context, a *payment.Attempt) error {
	var err error
	if a.Version == 0 {
		err = t.insertAttempt(ctx, a)
	} else {
		err = t.updateAttempt(ctx, a)
	}
	if err != nil {
		return fmt.Errorf("keeping payment attempt %s: %w", a.ID, err)
	}
	a.Version++
	return nil
}

func (t *Tx) insertAttempt(ctx context.Context, a *payment.Attempt) error {
	names := strings.ReplaceAll(attemptColumns, "a.", "")
	_, err := t.db.Exec(ctx, `INSERT INTO payment_attempt (`+names+`) VALUES (`+database.Placeholders(1, 28)+`)`,
		a.ID, a.Kind, a.Purpose, a.Provider, a.Debit, a.Account, a.Holder, a.Means, a.Token, a.Bill, a.Original, a.Source,
		a.AmountCents, a.MovedCents, a.RefundedCents, a.Currency, a.State, a.How, a.ProviderRef, a.Reason, a.Movement,
		a.Calls, a.Queries, microsOrZero(a.NextAt), microsOrZero(a.ValidUntil), a.CreatedAt.UnixMicro(), microsOrZero(a.SettledAt), int64(1))
	if database.IsDuplicate(err) {
		return fmt.Errorf("%w: there is one already, or one of the same debit is under way", billing.ErrConflict)
	}
	if err != nil || len(a.Items) == 0 {
		return err
	}
	next := 0
	return t.db.Bulk(ctx, "payment_attempt_item", []string{"position", "posting", "amount_cents", "attempt", "receivable"}, func() ([]any, bool) {
		if next == len(a.Items) {
			return nil, false
		}
		one := &a.Items[next]
		next++
		return []any{int64(next), one.Posting, one.AmountCents, a.ID, one.Receivable}, true
	})
}

func (t *Tx) updateAttempt(ctx context.Context, a *payment.Attempt) error {
	changed, err := t.db.Exec(ctx, `UPDATE payment_attempt SET moved_cents = $3, refunded_cents = $4, state = $5, how = $6, provider_ref = $7, reason = $8,
		movement = $9, calls = $10, queries = $11, next_at = $12, settled_at = $13, valid_until = $14, token = $15, means = $16, version = version + 1
		WHERE id = $1 AND version = $2`,
		a.ID, a.Version, a.MovedCents, a.RefundedCents, a.State, a.How, a.ProviderRef, a.Reason,
		a.Movement, a.Calls, a.Queries, microsOrZero(a.NextAt), microsOrZero(a.SettledAt), microsOrZero(a.ValidUntil), a.Token, a.Means)
	if database.IsDuplicate(err) {
		return fmt.Errorf("%w: what the provider did stands for another attempt already", billing.ErrConflict)
	}
	if err == nil && changed == 0 {
		err = fmt.Errorf("%w: somebody else has changed it since it was read", billing.ErrStale)
	}
	return err
}

// PaymentAttempt returns an attempt. See payment.Tx.
func (t *Tx) PaymentAttempt(ctx context.Context, id string, lock bool) (payment.Attempt, error) {
	return t.attemptBy(ctx, `a.id = $1`, id, lock)
}

// PaymentAttemptOfBill returns the attempt of a bill. See payment.Tx.
func (t *Tx) PaymentAttemptOfBill(ctx context.Context, bill string) (payment.Attempt, error) {
	return t.attemptBy(ctx, `a.bill <> '' AND a.bill = $1`, bill, true)
}

// PaymentAttemptDone returns the attempt that stands for what a provider did. See
// payment.Tx.
func (t *Tx) PaymentAttemptDone(ctx context.Context, provider, ref string) (payment.Attempt, error) {
	var id string
	found, err := database.One(ctx, t.db, `SELECT id FROM payment_attempt WHERE provider = $1 AND provider_ref <> '' AND provider_ref = $2
		AND state IN ('succeeded', 'reversed')`, []any{provider, ref}, &id)
	if err == nil && !found {
		err = billing.ErrNotFound
	}
	if err != nil {
		return payment.Attempt{}, fmt.Errorf("reading the payment attempt for %s of %s: %w", ref, provider, err)
	}
	return t.PaymentAttempt(ctx, id, true)
}

func (t *Tx) attemptBy(ctx context.Context, where, key string, lock bool) (a payment.Attempt, err error) {
	query := `SELECT ` + attemptColumns + ` FROM payment_attempt a WHERE ` + where
	if lock {
		query += t.locking()
	}
	found := false
	err = database.Each(ctx, t.db, query, []any{key}, func(r database.Rows) error {
		found = true
		a, err = scanAttempt(r)
		return err
	})
	if err == nil && !found {
		err = billing.ErrNotFound
	}
	if err == nil {
		a.Items, err = t.paymentItems(ctx, `payment_attempt_item WHERE attempt = $1`, a.ID)
	}
	if err != nil {
		return a, fmt.Errorf("reading payment attempt %s: %w", key, err)
	}
	return a, nil
}

// paymentItems reads the items of an attempt or debit.
func (t *Tx) paymentItems(ctx context.Context, from, id string) (items []payment.Item, err error) {
	err = database.Each(ctx, t.db, `SELECT receivable, posting, amount_cents FROM `+from+` ORDER BY position`, []any{id}, func(r database.Rows) error {
		var one payment.Item
		err := r.Scan(&one.Receivable, &one.Posting, &one.AmountCents)
		items = append(items, one)
		return err
	})
	return items, err
}

// PaymentAttempts lists attempts. See payment.Tx.
func (t *Tx) PaymentAttempts(ctx context.Context, f payment.Filter) ([]payment.Attempt, error) {
	if f.Limit <= 0 {
		return nil, fmt.Errorf("listing payment attempts: %w", invalid("limit %d", f.Limit))
	}
	where, args := []string{"true"}, []any{}
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, condition)
	}
	if f.State != "" {
		add("a.state = ?", f.State)
	}
	if f.Account != "" {
		add("a.account <> '' AND a.account = ?", f.Account)
	}
	if f.Purpose != "" {
		add("a.purpose = ?", f.Purpose)
	}
	order := `a.created_at DESC, a.id DESC`
	if !f.Due.IsZero() {
		add("a.next_at <> 0 AND a.next_at <= ?", f.Due.UnixMicro())
		order = `a.next_at, a.id`
	} else if f.AfterID != "" {
		add("(a.created_at, a.id) < (?, ?)", f.AfterAt.UnixMicro(), f.AfterID)
	}
	args = append(args, int64(f.Limit))
	var list []payment.Attempt
	err := database.Each(ctx, t.db, fmt.Sprintf(`SELECT %s FROM payment_attempt a WHERE %s ORDER BY %s LIMIT $%d`,
		attemptColumns, strings.Join(where, " AND "), order, len(args)), args, func(r database.Rows) error {
		a, err := scanAttempt(r)
		list = append(list, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing payment attempts: %w", err)
	}
	return list, nil
}

// ClaimDebts claims debts for an attempt. See payment.Tx.
func (t *Tx) ClaimDebts(ctx context.Context, attempt string, debts []string) error {
	for _, debt := range debts {
		added, err := t.db.Exec(ctx, `INSERT INTO payment_claim (debt, attempt) VALUES ($1, $2) ON CONFLICT DO NOTHING`, debt, attempt)
		if err != nil {
			return fmt.Errorf("claiming debts for payment attempt %s: %w", attempt, err)
		}
		if added == 0 {
			return fmt.Errorf("claiming debts for payment attempt %s: %w: a payment for %s is under way or its outcome is unknown", attempt, billing.ErrConflict, debt)
		}
	}
	return nil
}

// ReleaseDebts gives claims up. See payment.Tx.
func (t *Tx) ReleaseDebts(ctx context.Context, attempt string) error {
	if _, err := t.db.Exec(ctx, `DELETE FROM payment_claim WHERE attempt = $1`, attempt); err != nil {
		return fmt.Errorf("releasing the debts of payment attempt %s: %w", attempt, err)
	}
	return nil
}

// RefundableOf lists what can be given back. See payment.Tx.
func (t *Tx) RefundableOf(ctx context.Context, account, currency string, limit int) ([]payment.ClosedSource, error) {
	var list []payment.ClosedSource
	err := database.Each(ctx, t.db, `SELECT a.id, a.moved_cents - a.refunded_cents FROM payment_attempt a
		WHERE a.account <> '' AND a.account = $1 AND a.currency = $2 AND (a.kind = 'charge' OR a.kind = 'await' AND a.token <> '') AND a.state = 'succeeded' AND a.holder = a.account
			AND a.moved_cents > a.refunded_cents
		ORDER BY a.created_at DESC, a.id DESC LIMIT $3`, []any{account, currency, int64(limit)}, func(r database.Rows) error {
		var one payment.ClosedSource
		err := r.Scan(&one.Attempt, &one.RefundableCents)
		list = append(list, one)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing what can be given back to account %s: %w", account, err)
	}
	return list, nil
}

// IdleMoney lists payers without an account who are owed something. See
// payment.Tx.
func (t *Tx) IdleMoney(ctx context.Context, limit int) ([]string, error) {
	ids, err := t.texts(ctx, `SELECT a.id FROM wallet w JOIN payment_attempt a ON a.id = substr(w.holder, 6)
		WHERE w.holder >= 'once:' AND w.holder < 'once;' AND w.balance_cents > 0 AND a.state = 'succeeded' AND a.purpose = 'notice' AND a.token <> ''
			AND NOT EXISTS (SELECT 1 FROM payment_attempt f WHERE f.original = a.id AND f.state = 'failed')
		ORDER BY a.id LIMIT $1`, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("listing payers who are owed something: %w", err)
	}
	return ids, nil
}

// LivePayments counts attempts under way. See payment.Tx.
func (t *Tx) LivePayments(ctx context.Context, account string) (n int64, err error) {
	_, err = database.One(ctx, t.db, `SELECT count(*) FROM payment_attempt WHERE account <> '' AND account = $1
		AND (state IN ('submitted', 'unknown') OR state = 'created' AND kind <> 'await')`, []any{account}, &n)
	if err != nil {
		return 0, fmt.Errorf("counting the payments under way of account %s: %w", account, err)
	}
	return n, nil
}
