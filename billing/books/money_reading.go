package books

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Receivable returns one receivable. See billing.MoneyReading.
func (t *Tx) Receivable(ctx context.Context, id string) (billing.Receivable, error) {
	list, err := t.receivables(ctx, `WHERE r.id = $1`, id)
	if err == nil && len(list) == 0 {
		err = billing.ErrNotFound
	}
	if err != nil {
		return billing.Receivable{}, fmt.Errorf("reading receivable %s: %w", id, err)
	}
	return list[0], nil
}

// Receivables lists receivables. See billing.MoneyReading.
func (t *Tx) Receivables(ctx context.Context, f billing.ReceivableFilter) ([]billing.Receivable, error) {
	if f.Limit <= 0 {
		return nil, fmt.Errorf("listing receivables: %w", invalid("limit %d", f.Limit))
	}
	where, args := receivablesWhere(&f)
	list, err := t.receivables(ctx, where, args...)
	if err != nil {
		return nil, fmt.Errorf("listing receivables: %w", err)
	}
	return list, nil
}

func (t *Tx) receivables(ctx context.Context, where string, args ...any) (list []billing.Receivable, err error) {
	err = database.Each(ctx, t.db, `SELECT `+receivableColumns+` FROM receivable r `+where, args, func(r database.Rows) error {
		v, err := scanReceivable(r)
		list = append(list, v.Receivable)
		return err
	})
	return list, err
}

// receivablesWhere writes the end of the statement for a filter.
func receivablesWhere(f *billing.ReceivableFilter) (string, []any) {
	var (
		where strings.Builder
		args  []any
	)
	bind := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	from := f.FromMicros
	if f.AfterID != "" || f.AfterMicros != 0 {
		// The first column again, alone: that is what the index begins with.
		from = max(from, f.AfterMicros)
		where.WriteString(" AND (r.occurred_micros, r.id) > (" + bind(f.AfterMicros) + ", " + bind(f.AfterID) + ")")
	}
	if from != 0 {
		where.WriteString(" AND r.occurred_micros >= " + bind(from))
	}
	if f.ToMicros != 0 {
		where.WriteString(" AND r.occurred_micros < " + bind(f.ToMicros))
	}
	for _, equal := range []struct{ column, value string }{
		{"account", f.Account}, {"vehicle", f.Vehicle}, {"creditor", f.Creditor}, {"kind", f.Kind},
	} {
		if equal.value != "" {
			// Said twice for the partial indexes.
			where.WriteString(" AND r." + equal.column + " <> '' AND r." + equal.column + " = " + bind(equal.value))
		}
	}
	if f.Nobodys {
		where.WriteString(" AND r.account = ''")
	}
	if f.Open {
		where.WriteString(" AND r.paid_cents < r.amount_cents")
	}
	if !f.PostedFrom.IsZero() {
		where.WriteString(" AND r.posted_at >= " + bind(f.PostedFrom.UnixMicro()))
	}
	if !f.PostedTo.IsZero() {
		where.WriteString(" AND r.posted_at < " + bind(f.PostedTo.UnixMicro()))
	}
	return `WHERE r.id <> ''` + where.String() + ` ORDER BY r.occurred_micros, r.id LIMIT ` + bind(int64(f.Limit)), args
}

// Collections returns what was collected for a receivable. See
// billing.MoneyReading.
func (t *Tx) Collections(ctx context.Context, receivable string) ([]billing.Collection, error) {
	var list []billing.Collection
	err := database.Each(ctx, t.db, `SELECT `+collectionColumns+` FROM collection WHERE receivable = $1 ORDER BY number`, []any{receivable}, func(r database.Rows) error {
		v, err := scanCollection(r)
		list = append(list, v.Collection)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what was collected for %s: %w", receivable, err)
	}
	return list, nil
}

// Wallet returns a wallet. See billing.MoneyReading.
func (t *Tx) Wallet(ctx context.Context, holder, currency string) (billing.Wallet, error) {
	w := walletRow{Wallet: billing.Wallet{Holder: holder, Currency: currency}}
	err := database.Each(ctx, t.db, `SELECT `+walletColumns+` FROM wallet WHERE holder = $1 AND currency = $2`, []any{holder, currency}, func(r database.Rows) error {
		var err error
		w, err = scanWallet(r)
		return err
	})
	if err != nil {
		return billing.Wallet{}, fmt.Errorf("reading the wallet of %s: %w", holder, err)
	}
	return w.Wallet, nil
}

// Movement returns one movement. See billing.MoneyReading.
func (t *Tx) Movement(ctx context.Context, id string) (billing.Movement, error) {
	m, err := t.movement(ctx, id, "")
	if err != nil {
		return billing.Movement{}, fmt.Errorf("reading movement %s: %w", id, err)
	}
	return m, nil
}

func (t *Tx) movement(ctx context.Context, id, locking string) (m billing.Movement, err error) {
	found := false
	err = database.Each(ctx, t.db, `SELECT `+movementColumns+` FROM movement WHERE id = $1`+locking, []any{id}, func(r database.Rows) error {
		var err error
		found = true
		m, err = scanMovement(r)
		return err
	})
	if err == nil && !found {
		err = billing.ErrNotFound
	}
	return m, err
}

// Movements lists a holder's movements. See billing.MoneyReading.
func (t *Tx) Movements(ctx context.Context, holder string, from, to time.Time, after string, limit int) ([]billing.Movement, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("listing the movements of %s: %w", holder, invalid("limit %d", limit))
	}
	query := `SELECT ` + movementColumns + ` FROM movement WHERE holder = $1 AND moved_at >= $2 AND moved_at < $3`
	args := []any{holder, from.UnixMicro(), to.UnixMicro(), int64(limit)}
	if after != "" {
		query += ` AND (moved_at, id) > (SELECT m.moved_at, m.id FROM movement m WHERE m.id = $5)`
		args = append(args, after)
	}
	var list []billing.Movement
	err := database.Each(ctx, t.db, query+` ORDER BY moved_at, id LIMIT $4`, args, func(r database.Rows) error {
		m, err := scanMovement(r)
		list = append(list, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the movements of %s: %w", holder, err)
	}
	return list, nil
}
