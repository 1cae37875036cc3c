package statement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"freeflow/billing"
	"freeflow/billing/notice"
	"freeflow/internal/clock"
)

// Grace is how long after its end a day is closed: a transaction of that day
// that is under way at midnight is there by then.
const Grace = time.Hour

// issueChunk is how many statements are issued in one transaction.
const issueChunk = 25

// Issuer closes the ledger's days and issues the statements of months that are
// closed. Both may be run again and by several processes: what is there already
// stays.
type Issuer struct {
	Ledger  Ledger
	Keeping Keeping
	Zone    *time.Location
	Clock   clock.Clock
	Log     *slog.Logger
}

// Done is what one run did.
type Done struct {
	// Days were closed, Months issued wholly, Statements issued.
	Days, Months, Statements int
}

// Run closes every day that is over by Grace, then issues every month whose
// days are closed, oldest first.
func (i *Issuer) Run(ctx context.Context) (Done, error) {
	var done Done
	err := i.closeDays(ctx, &done)
	for err == nil {
		var more bool
		more, err = i.month(ctx, &done)
		if !more {
			break
		}
	}
	if errors.Is(err, ErrElsewhere) {
		err = nil
	}
	return done, err
}

func (i *Issuer) closeDays(ctx context.Context, done *Done) error {
	last, found, err := i.Ledger.LastClosed(ctx)
	if err != nil {
		return err
	}
	next := DayAt(last+1, i.Zone)
	if !found {
		first, any, err := i.Ledger.FirstPosted(ctx)
		if err != nil || !any {
			return err
		}
		next = DayOf(first, i.Zone)
	}
	for !i.Clock.Now().Before(next.To.Add(Grace)) {
		if err := i.Ledger.CloseDay(ctx, next); err != nil {
			return fmt.Errorf("closing %s: %w", next, err)
		}
		done.Days++
		next = DayAt(next.Number+1, i.Zone)
	}
	return nil
}

// month issues the next month; false if there is none yet.
func (i *Issuer) month(ctx context.Context, done *Done) (more bool, err error) {
	var (
		m        Month
		from, to time.Time
		holders  []Holder
		ready    bool
	)
	first, found, err := i.Ledger.FirstPosted(ctx)
	if err != nil || !found {
		return false, err
	}
	err = i.Keeping.View(ctx, func(tx Tx) error {
		last, found, err := tx.LastMonth(ctx)
		if err != nil {
			return err
		}
		m = last + 1
		if !found {
			m = MonthOf(first, i.Zone)
		}
		from, to = m.Bounds(i.Zone)
		closed, err := tx.Closed(ctx)
		if err != nil || closed.Before(to) {
			return err
		}
		ready = true
		holders, err = tx.ToIssue(ctx, m, from, to)
		return err
	})
	if err != nil || !ready {
		return false, err
	}
	for len(holders) > 0 {
		n := min(len(holders), issueChunk)
		issued := 0
		err := i.Keeping.Do(ctx, func(tx Tx) error {
			issued = 0
			for _, h := range holders[:n] {
				known, err := i.issue(ctx, tx, h, m, from, to)
				if err != nil {
					return fmt.Errorf("issuing the statement of %s for %s: %w", m, h.Account, err)
				}
				if !known {
					issued++
				}
			}
			return nil
		})
		if err != nil {
			return false, err
		}
		done.Statements += issued
		holders = holders[n:]
	}
	if err := i.Keeping.Do(ctx, func(tx Tx) error { return tx.PutMonth(ctx, m, i.Clock.Now()) }); err != nil {
		return false, err
	}
	done.Months++
	if i.Log != nil {
		i.Log.InfoContext(ctx, "statements issued", "month", m.String(), "statements", done.Statements)
	}
	return true, nil
}

// issue makes one statement, and tells the account's owner where the books know
// how.
func (i *Issuer) issue(ctx context.Context, tx Tx, h Holder, m Month, from, to time.Time) (known bool, err error) {
	s := Statement{
		Number: Numbered(m, h.Account, h.Currency), Account: h.Account, Currency: h.Currency, Month: m, From: from, To: to,
		IssuedAt: i.Clock.Now().UTC().Truncate(time.Microsecond),
	}
	before, err := tx.Statements(ctx, h.Account, m, 100)
	if err != nil {
		return false, err
	}
	for _, one := range before {
		if one.Currency == h.Currency {
			s.Previous, s.Opening = one.Number, one.Closing
			break
		}
	}
	holder, err := tx.Account(ctx, h.Account)
	if err != nil && !errors.Is(err, billing.ErrNotFound) {
		return false, err
	}
	s.AccountRevision = holder.Revision
	d := NewDigest(s)
	s.Closing = s.Opening
	err = tx.EachLine(ctx, h, from, to, func(l Line) error {
		d.Line(l)
		s.Closing, s.Lines = s.Closing.Plus(l), s.Lines+1
		return nil
	})
	if err != nil {
		return false, err
	}
	s.Digest = d.Sum()
	if known, err = tx.PutStatement(ctx, s); err != nil || known || s.AccountRevision == 0 {
		return known, err
	}
	return false, notice.Issue(ctx, tx, notice.Notice{
		ID: "statement:" + s.Number, Kind: notice.Statement, Account: h.Account, Facts: map[string]string{"month": m.String()}, IssuedAt: s.IssuedAt,
	})
}
