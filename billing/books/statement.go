package books

import (
	"context"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/billing/statement"
	"freeflow/internal/database"
)

var _ statement.Tx = (*Tx)(nil)

const lineColumns = `posted_at, transaction_id, kind, undoes, item, what, occurred_micros, place, vehicle, class, description, owed_cents, held_cents`

func scanLine(r database.Rows) (l statement.Line, err error) {
	var at int64
	err = r.Scan(&at, &l.Transaction, &l.Kind, &l.Undoes, &l.Item, &l.What, &l.OccurredMicros, &l.Place, &l.Vehicle, &l.Class, &l.Text, &l.OwedCents, &l.HeldCents)
	l.PostedAt = time.UnixMicro(at).UTC()
	return l, err
}

// EachLine calls fn with a holder's lines. See statement.Reading.
func (t *Tx) EachLine(ctx context.Context, h statement.Holder, from, to time.Time, fn func(statement.Line) error) error {
	return database.Each(ctx, t.db, `SELECT `+lineColumns+` FROM holder_entry WHERE holder = $1 AND currency = $2 AND posted_at >= $3 AND posted_at < $4
		ORDER BY posted_at, transaction_id`, []any{h.Account, h.Currency, from.UnixMicro(), to.UnixMicro()}, func(r database.Rows) error {
		l, err := scanLine(r)
		if err != nil {
			return err
		}
		return fn(l)
	})
}

// Lines returns a page of a holder's lines. See statement.Reading.
func (t *Tx) Lines(ctx context.Context, h statement.Holder, from, to time.Time, after statement.Place, limit int) (list []statement.Line, err error) {
	err = database.Each(ctx, t.db, `SELECT `+lineColumns+` FROM holder_entry WHERE holder = $1 AND currency = $2 AND posted_at >= $3 AND posted_at < $4
		AND (posted_at > $5 OR (posted_at = $5 AND transaction_id > $6)) ORDER BY posted_at, transaction_id LIMIT $7`,
		[]any{h.Account, h.Currency, from.UnixMicro(), to.UnixMicro(), after.PostedMicros, after.Transaction, int64(limit)}, func(r database.Rows) error {
			l, err := scanLine(r)
			list = append(list, l)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading lines of an account: %w", err)
	}
	return list, nil
}

// SidesAt sums up what a holder owed and had. See statement.Reading.
func (t *Tx) SidesAt(ctx context.Context, h statement.Holder, at time.Time) (s statement.Sides, err error) {
	_, err = database.One(ctx, t.db, `SELECT coalesce(sum(owed_cents), 0), coalesce(sum(held_cents), 0) FROM holder_entry
		WHERE holder = $1 AND currency = $2 AND posted_at < $3`, []any{h.Account, h.Currency, at.UnixMicro()}, &s.OwedCents, &s.HeldCents)
	if err != nil {
		return s, fmt.Errorf("summing up an account: %w", err)
	}
	return s, nil
}

// Closed returns the end of the last closed day. See statement.Reading.
func (t *Tx) Closed(ctx context.Context) (time.Time, error) {
	var to int64
	if _, err := database.One(ctx, t.db, `SELECT to_micros FROM ledger_day WHERE done ORDER BY day DESC LIMIT 1`, nil, &to); err != nil {
		return time.Time{}, fmt.Errorf("finding the last closed day: %w", err)
	}
	return instantOf(to), nil
}

const statementColumns = `month, from_micros, to_micros, opening_owed, opening_held, closing_owed, closing_held, line_count, issued_at, account_revision,
	number, account, currency, previous, digest`

func (t *Tx) statements(ctx context.Context, where string, args ...any) (list []statement.Statement, err error) {
	err = database.Each(ctx, t.db, `SELECT `+statementColumns+` FROM statement WHERE `+where, args, func(r database.Rows) error {
		var (
			s                       statement.Statement
			month, from, to, issued int64
		)
		err := r.Scan(&month, &from, &to, &s.Opening.OwedCents, &s.Opening.HeldCents, &s.Closing.OwedCents, &s.Closing.HeldCents, &s.Lines, &issued,
			&s.AccountRevision, &s.Number, &s.Account, &s.Currency, &s.Previous, &s.Digest)
		s.Month, s.From, s.To, s.IssuedAt = statement.Month(month), time.UnixMicro(from).UTC(), time.UnixMicro(to).UTC(), instantOf(issued)
		list = append(list, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading statements: %w", err)
	}
	return list, nil
}

// Statement returns one. See statement.Reading.
func (t *Tx) Statement(ctx context.Context, number string) (statement.Statement, error) {
	list, err := t.statements(ctx, `number = $1`, number)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("statement %s: %w", number, billing.ErrNotFound)
	}
	if err != nil {
		return statement.Statement{}, err
	}
	return list[0], nil
}

// Statements returns an account's. See statement.Reading.
func (t *Tx) Statements(ctx context.Context, account string, before statement.Month, limit int) ([]statement.Statement, error) {
	return t.statements(ctx, `account = $1 AND ($2 = 0 OR month < $2) ORDER BY month DESC, currency LIMIT $3`, account, int64(before), int64(limit))
}

// PutStatement adds a statement. See statement.Tx.
func (t *Tx) PutStatement(ctx context.Context, s statement.Statement) (known bool, err error) {
	n, err := t.db.Exec(ctx, `INSERT INTO statement (`+statementColumns+`) VALUES (`+database.Placeholders(1, 15)+`) ON CONFLICT DO NOTHING`,
		int64(s.Month), s.From.UnixMicro(), s.To.UnixMicro(), s.Opening.OwedCents, s.Opening.HeldCents, s.Closing.OwedCents, s.Closing.HeldCents, s.Lines,
		microsOf(s.IssuedAt), s.AccountRevision, s.Number, s.Account, s.Currency, s.Previous, s.Digest)
	if err != nil {
		return false, fmt.Errorf("storing statement %s: %w", s.Number, err)
	}
	return n == 0, nil
}

// ToIssue returns whose statement of a month is missing. See statement.Tx.
func (t *Tx) ToIssue(ctx context.Context, m statement.Month, from, to time.Time) (list []statement.Holder, err error) {
	err = database.Each(ctx, t.db, `SELECT n.holder, n.currency FROM (
			SELECT DISTINCT holder, currency FROM holder_entry WHERE posted_at >= $1 AND posted_at < $2 AND substr(holder, 1, 4) <> 'tag:'
			UNION SELECT account, currency FROM statement WHERE month = $4 AND (closing_owed <> 0 OR closing_held <> 0)) AS n
		LEFT JOIN statement s ON s.account = n.holder AND s.currency = n.currency AND s.month = $3
		WHERE s.number IS NULL ORDER BY n.holder, n.currency`, []any{from.UnixMicro(), to.UnixMicro(), int64(m), int64(m) - 1}, func(r database.Rows) error {
		var h statement.Holder
		err := r.Scan(&h.Account, &h.Currency)
		list = append(list, h)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("finding accounts without a statement of %s: %w", m, err)
	}
	return list, nil
}

// LastMonth returns the last month that is issued. See statement.Tx.
func (t *Tx) LastMonth(ctx context.Context) (statement.Month, bool, error) {
	var m int64
	found, err := database.One(ctx, t.db, `SELECT month FROM statement_month ORDER BY month DESC LIMIT 1`, nil, &m)
	if err != nil {
		return 0, false, fmt.Errorf("finding the last month of statements: %w", err)
	}
	return statement.Month(m), found, nil
}

// PutMonth marks a month as issued. See statement.Tx.
func (t *Tx) PutMonth(ctx context.Context, m statement.Month, at time.Time) error {
	if _, err := t.db.Exec(ctx, `INSERT INTO statement_month (month, issued_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, int64(m), microsOf(at)); err != nil {
		return fmt.Errorf("marking %s as issued: %w", m, err)
	}
	return nil
}
