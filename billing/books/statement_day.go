package books

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/statement"
	"freeflow/internal/database"
)

var _ statement.Ledger = (*Store)(nil)

// dayChunk is how many transactions of a day are taken in one transaction: the
// writer of SQLite is everybody's.
const dayChunk = 1000

// LastClosed returns the last day that is closed. See statement.Ledger.
func (s *Store) LastClosed(ctx context.Context) (day int64, found bool, err error) {
	err = s.db.Direct(ctx, func(db database.Session) error {
		found, err = database.One(ctx, db, `SELECT day FROM ledger_day WHERE done ORDER BY day DESC LIMIT 1`, nil, &day)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("finding the last closed day: %w", err)
	}
	return day, found, nil
}

// closing is how far a day is taken.
type closing struct {
	statement.Day
	seenMicros, afterRow, version int64
	seenID                        string
	done                          bool
}

// CloseDay takes a day of the ledger. See statement.Ledger.
func (s *Store) CloseDay(ctx context.Context, d statement.Day) error {
	c, err := s.beginDay(ctx, d)
	if err != nil || c.done {
		return err
	}
	var chunk []*posted
	take := func(last bool) error {
		if len(chunk) == 0 && !last {
			return nil
		}
		err := s.Do(ctx, func(tx *Tx) error { return tx.takePosted(ctx, c, chunk, last) })
		if err != nil {
			return err
		}
		if n := len(chunk); n > 0 {
			c.seenMicros, c.seenID = chunk[n-1].at, chunk[n-1].id
		}
		c.version++
		chunk = chunk[:0]
		return nil
	}
	err = s.db.Read(ctx, func(db database.Session) error {
		err := s.eachPosted(ctx, db, c, func(p *posted) error {
			chunk = append(chunk, p)
			if len(chunk) < dayChunk {
				return nil
			}
			return take(false)
		})
		if err != nil {
			return err
		}
		// While this snapshot stands: what is added later is dated later, by the
		// rule that closed days get nothing.
		if s.db.Kind() == database.SQLite {
			_, err = database.One(ctx, db, `SELECT coalesce((SELECT min(rowid) - 1 FROM transactions WHERE rowid > $1 AND posted_at >= $2),
				(SELECT max(rowid) FROM transactions), 0)`, []any{c.afterRow, c.To.UnixMicro()}, &c.afterRow)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("taking what was posted on %s: %w", d, err)
	}
	if err := take(true); err != nil {
		return fmt.Errorf("taking what was posted on %s: %w", d, err)
	}
	return nil
}

// beginDay adds the day's row if it is not there, and reads it.
func (s *Store) beginDay(ctx context.Context, d statement.Day) (c closing, err error) {
	c.Day = d
	err = s.db.Write(ctx, func(db database.Session) error {
		_, err := db.Exec(ctx, `INSERT INTO ledger_day (day, from_micros, to_micros, seen_micros, taken, after_row, version, done, seen_id)
			SELECT $1, $2, $3, $2, 0, coalesce((SELECT b.after_row FROM ledger_day b WHERE b.done AND b.day < $1 ORDER BY b.day DESC LIMIT 1), 0), 1, false, ''
			ON CONFLICT (day) DO NOTHING`, d.Number, d.From.UnixMicro(), d.To.UnixMicro())
		if err != nil {
			return err
		}
		var from, to, open int64
		_, err = database.One(ctx, db, `SELECT from_micros, to_micros, seen_micros, seen_id, after_row, version, done,
			(SELECT count(*) FROM ledger_day b WHERE b.day < $1 AND NOT b.done) FROM ledger_day WHERE day = $1`, []any{d.Number},
			&from, &to, &c.seenMicros, &c.seenID, &c.afterRow, &c.version, &c.done, &open)
		if err == nil && (from != d.From.UnixMicro() || to != d.To.UnixMicro()) {
			err = fmt.Errorf("%w: %s was begun in another time zone", billing.ErrConflict, d)
		}
		if err == nil && open > 0 {
			err = statement.ErrElsewhere // an earlier day is still being taken
		}
		return err
	})
	if err != nil {
		return c, fmt.Errorf("beginning to close %s: %w", d, err)
	}
	return c, nil
}

// posted is a transaction of the day.
type posted struct {
	id, kind, passID, chargeID, moneyID, currency, undoes string
	// at is when it was posted; originAt and revision are those of what it undoes,
	// else its own: what it was for is described as of then.
	at, originAt, revision int64
	entries                []billing.Entry
}

// was is the kind of what it is or undoes.
func (p *posted) was() string {
	if p.kind == kindReversal {
		return p.undoes
	}
	return p.kind
}

// item is what it was for.
func (p *posted) item() string {
	switch {
	case p.moneyID != "":
		return p.moneyID
	case p.chargeID != "":
		return billing.ReceivableCharge + p.chargeID
	}
	return billing.ReceivablePass + p.passID
}

// eachPosted calls fn with the day's transactions that are not taken yet, in
// the order of time and id.
func (s *Store) eachPosted(ctx context.Context, db database.Session, c closing, fn func(*posted) error) error {
	query := `SELECT t.id, t.kind, t.pass_id, t.charge_id, t.money_id, t.currency, t.posted_at, t.revision,
			coalesce(o.kind, ''), coalesce(o.posted_at, t.posted_at), coalesce(o.revision, t.revision), e.account, e.amount_cents
		FROM transactions t JOIN entries e ON e.transaction_id = t.id LEFT JOIN transactions o ON o.id = t.reverses AND t.reverses <> ''
		WHERE t.posted_at >= $1 AND t.posted_at < $2 AND (t.posted_at > $3 OR (t.posted_at = $3 AND t.id > $4))`
	args := []any{c.From.UnixMicro(), c.To.UnixMicro(), c.seenMicros, c.seenID}
	if s.db.Kind() == database.SQLite {
		query += ` AND t.rowid > $5`
		args = append(args, c.afterRow)
	}
	var one *posted
	err := database.Each(ctx, db, query+` ORDER BY t.posted_at, t.id, e.leg`, args, func(r database.Rows) error {
		var (
			p        posted
			e        billing.Entry
			revision int64
		)
		err := r.Scan(&p.id, &p.kind, &p.passID, &p.chargeID, &p.moneyID, &p.currency, &p.at, &revision, &p.undoes, &p.originAt, &p.revision, &e.Account, &e.AmountCents)
		if err != nil {
			return err
		}
		if one != nil && one.id != p.id {
			if err := fn(one); err != nil {
				return err
			}
			one = nil
		}
		if one == nil {
			one = &p
		}
		one.entries = append(one.entries, e)
		return nil
	})
	if err == nil && one != nil {
		err = fn(one)
	}
	return err
}

// holderLine is one row of holder_entry.
type holderLine struct {
	statement.Line
	holder, currency string
}

// creditorSum is one row of creditor_day.
type creditorSum struct {
	creditor, currency, what, kind string
	earlier                        bool
}

// takePosted writes a chunk, if nobody else has moved the day on.
func (t *Tx) takePosted(ctx context.Context, c closing, chunk []*posted, last bool) error {
	seenMicros, seenID := c.seenMicros, c.seenID
	if n := len(chunk); n > 0 {
		seenMicros, seenID = chunk[n-1].at, chunk[n-1].id
	}
	n, err := t.db.Exec(ctx, `UPDATE ledger_day SET seen_micros = $3, seen_id = $4, taken = taken + $5, done = $6, after_row = CASE WHEN $6 THEN $7 ELSE after_row END,
		version = version + 1 WHERE day = $1 AND version = $2`, c.Number, c.version, seenMicros, seenID, int64(len(chunk)), last, c.afterRow)
	if err != nil {
		return err
	}
	if n != 1 {
		return statement.ErrElsewhere
	}
	about, err := t.describe(ctx, chunk)
	if err != nil {
		return err
	}
	var lines []holderLine
	type total struct{ n, cents int64 }
	sums := map[creditorSum]total{}
	for _, p := range chunk {
		was := about(p)
		lines = append(lines, p.lines(was)...)
		creditor, what, kind, cents := p.forCreditor(was)
		if creditor == "" {
			continue
		}
		key := creditorSum{creditor, p.currency, what, kind, was.OccurredMicros != 0 && was.OccurredMicros < c.From.UnixMicro()}
		one := sums[key]
		sums[key] = total{one.n + 1, one.cents + cents}
	}
	i := 0
	err = t.db.Bulk(ctx, "holder_entry", []string{"posted_at", "owed_cents", "held_cents", "occurred_micros", "holder", "currency", "transaction_id", "kind", "undoes",
		"item", "what", "place", "vehicle", "class", "description"}, func() ([]any, bool) {
		if i == len(lines) {
			return nil, false
		}
		l := &lines[i]
		i++
		return []any{l.PostedAt.UnixMicro(), l.OwedCents, l.HeldCents, l.OccurredMicros, l.holder, l.currency, l.Transaction, l.Kind, l.Undoes,
			l.Item, l.What, l.Place, l.Vehicle, l.Class, l.Text}, true
	})
	if err != nil {
		return err
	}
	rows := make([][]any, 0, len(sums))
	for key, one := range sums {
		rows = append(rows, []any{key.creditor, c.Number, key.currency, key.what, key.kind, key.earlier, one.n, one.cents})
	}
	slices.SortFunc(rows, func(a, b []any) int { return strings.Compare(fmt.Sprint(a[:6]...), fmt.Sprint(b[:6]...)) })
	return insertRows(ctx, t.db, `INSERT INTO creditor_day AS d (creditor, day, currency, what, kind, earlier, movements, amount_cents) VALUES `, rows,
		` ON CONFLICT (creditor, day, currency, what, kind, earlier) DO UPDATE SET movements = d.movements + excluded.movements, amount_cents = d.amount_cents + excluded.amount_cents`)
}

// lines are what the transaction is to each holder.
func (p *posted) lines(was described) []holderLine {
	var list []holderLine
	of := func(holder string) *holderLine {
		for i := range list {
			if list[i].holder == holder {
				return &list[i]
			}
		}
		list = append(list, holderLine{Line: was.Line, holder: holder, currency: p.currency})
		l := &list[len(list)-1]
		l.PostedAt, l.Transaction, l.Kind, l.Undoes, l.Item = time.UnixMicro(p.at), p.id, p.kind, p.undoes, p.item()
		return l
	}
	for _, e := range p.entries {
		if holder, ok := strings.CutPrefix(e.Account, billing.MotoristPrefix); ok {
			of(holder).OwedCents += e.AmountCents
		}
		if holder, ok := strings.CutPrefix(e.Account, billing.WalletPrefix); ok && !strings.HasPrefix(holder, billing.HolderOnce) {
			of(holder).HeldCents -= e.AmountCents
		}
	}
	return list
}

// What a creditor's sums are of.
const (
	sumPosted, sumWithdrawn   = "posted", "withdrawn"
	sumCollected, sumReturned = "collected", "returned"
	sumPaid, sumRefunded      = "paid", "refunded"
	sumRemitted, sumCalledOff = "remitted", "called-off"
)

// forCreditor says whose claim the transaction concerns, and how. The amount is
// positive.
func (p *posted) forCreditor(was described) (creditor, what, kind string, cents int64) {
	what, kind = sumPosted, was.What
	var undone string
	switch p.was() {
	case kindToll, kindCharge:
		undone = sumWithdrawn
	case kindCollection:
		what, undone = sumCollected, sumReturned
		creditor = was.creditor
	case kindPayment:
		what, undone = sumPaid, sumRefunded
	case kindRemittance:
		what, undone = sumRemitted, sumCalledOff
	default:
		return "", "", "", 0
	}
	for _, e := range p.entries {
		switch prefix, name, _ := strings.Cut(e.Account, ":"); prefix + ":" {
		case billing.OperatorPrefix:
			creditor, cents = name, max(e.AmountCents, -e.AmountCents)
		case billing.UnpaidPrefix:
			// A toll's creditor stands at operator:, which comes too.
			creditor, cents = name, max(e.AmountCents, -e.AmountCents)
		case billing.WalletPrefix:
			cents = max(e.AmountCents, -e.AmountCents)
			kind = "account"
			if strings.HasPrefix(name, billing.HolderTag) {
				kind = "tag"
			}
			if strings.HasPrefix(name, billing.HolderOnce) {
				kind = "once"
			}
		case billing.CashPrefix:
			kind = name
		}
	}
	if p.kind == kindReversal {
		what = undone
	}
	return creditor, what, kind, cents
}
