package books

import (
	"context"
	"fmt"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/payment"
	"freeflow/internal/database"
)

// AccountFilter selects accounts.
type AccountFilter struct {
	// Query is an id, a part of a name (whatever the case of its Latin letters),
	// or with Plate its compared form; empty for all.
	Query, Plate string
	// State is one of account.Open, Closing, Closed; empty for all.
	State string
	// After is the last id seen; empty at the start.
	After string
	Limit int
}

// standing selects the last revision of each account.
const standing = ` FROM account a WHERE a.revision = (SELECT max(m.revision) FROM account m WHERE m.id = a.id)`

// Accounts lists accounts as they stand, in the order of their ids.
func (t *Tx) Accounts(ctx context.Context, f AccountFilter) ([]account.Account, error) {
	if f.Limit <= 0 {
		return nil, fmt.Errorf("listing accounts: %w", invalid("limit %d", f.Limit))
	}
	// What is asked for is text, no pattern.
	name := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(f.Query)) + "%"
	where := ` AND a.id > $1 AND ($2 = '' OR a.state = $2)`
	args := []any{f.After, f.State, int64(f.Limit)}
	if f.Query != "" {
		where += ` AND (a.id = $4 OR lower(a.name) LIKE $5 ESCAPE '\' OR a.id IN
			(SELECT h.account FROM holding h WHERE h.plate = $6 AND h.plate <> '' AND h.account <> '' AND h.replaced_at = 0))`
		args = append(args, f.Query, name, f.Plate)
	}
	var list []account.Account
	err := database.Each(ctx, t.db, `SELECT `+accountColumns+standing+where+` ORDER BY a.id LIMIT $3`, args, func(r database.Rows) error {
		one, err := scanAccount(r)
		list = append(list, one.Account)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing accounts: %w", err)
	}
	return list, nil
}

// ClosingAccounts lists closing accounts that may be closed for good. See
// payment.Tx.
func (t *Tx) ClosingAccounts(ctx context.Context, now time.Time, after string, limit int) ([]string, error) {
	return t.texts(ctx, `SELECT a.id`+standing+` AND a.state = 'closing' AND a.closes_at <= $1 AND a.id > $2
		AND NOT EXISTS (SELECT 1 FROM wallet w WHERE w.holder = a.id AND w.balance_cents <> 0)
		AND NOT EXISTS (SELECT 1 FROM receivable r WHERE r.account = a.id AND r.account <> '' AND r.paid_cents < r.amount_cents)`+
		notPutOff(payment.JobSettle, "a.id", 1)+` ORDER BY a.id LIMIT $3`, microsOf(now), after, int64(limit))
}

// AccountBalance is what an account owes and holds.
type AccountBalance struct {
	OwedCents, HeldCents int64
	// Open are what it has not paid, in the order of when they came about and
	// their ids; a page of them.
	Open []billing.Receivable
}

// AccountBalance returns what an account owes and holds in a currency, with at
// most limit of what it has not paid after a place. It is one statement, and so
// of one instant, whatever else is read or written in the transaction.
func (t *Tx) AccountBalance(ctx context.Context, id, currency string, afterMicros int64, afterID string, limit int) (b AccountBalance, err error) {
	const of = ` FROM receivable r WHERE r.account <> '' AND r.account = $1 AND r.currency = $2 AND r.paid_cents < r.amount_cents`
	err = database.Each(ctx, t.db, `SELECT 'owed' AS part, '' AS id, '' AS kind, '' AS vehicle, '' AS hold, 0 AS occurred, CAST(coalesce(sum(r.amount_cents - r.paid_cents), 0) AS bigint) AS cents, 0 AS paid`+of+`
		UNION ALL SELECT 'held', '', '', '', '', 0, w.balance_cents, 0 FROM wallet w WHERE w.holder = $1 AND w.currency = $2
		UNION ALL SELECT * FROM (SELECT 'open', r.id, r.kind, r.vehicle, r.hold, r.occurred_micros, r.amount_cents, r.paid_cents`+of+`
			AND (r.occurred_micros > $3 OR (r.occurred_micros = $3 AND r.id > $4)) ORDER BY r.occurred_micros, r.id LIMIT $5) AS page
		ORDER BY 1, 6, 2`, []any{id, currency, afterMicros, afterID, int64(limit)}, func(rows database.Rows) error {
		var (
			part string
			r    billing.Receivable
		)
		if err := rows.Scan(&part, &r.ID, &r.Kind, &r.Vehicle, &r.Hold, &r.OccurredMicros, &r.AmountCents, &r.PaidCents); err != nil {
			return err
		}
		switch part {
		case "owed":
			b.OwedCents = r.AmountCents
		case "held":
			b.HeldCents = r.AmountCents
		default:
			r.Account, r.Currency = id, currency
			b.Open = append(b.Open, r)
		}
		return nil
	})
	if err != nil {
		return AccountBalance{}, fmt.Errorf("reading the balance of account %s: %w", id, err)
	}
	return b, nil
}
