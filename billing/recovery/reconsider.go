package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"freeflow/billing"
	"freeflow/billing/notice"
)

// What the steps of rungs are called; Event.What.
const (
	stepFirst  = "surcharge 1"
	stepSecond = "surcharge 2"
	stepHold   = "licence hold"
)

// tooEarly is why a rung is taken back that was climbed before its deadline,
// counted again, had passed.
const tooEarly = "the deadline had not passed: days that do not count became known afterwards"

// reconsider takes back the rungs that were climbed too early by the pauses as
// they are known now, and puts the case back on the rung below; an ended one
// stays ended. It returns what it did (nothing where all rungs stand) and what
// of the rest is still to be paid then. What was paid of a surcharge that is
// taken back is the payer's again.
func (l *Ladder) reconsider(ctx context.Context, tx Tx, c *Case, rest int64, now time.Time) (what string, left int64, err error) {
	paused, err := l.pauses(ctx, tx, c.Receivable)
	if err != nil || len(paused) == 0 {
		return "", rest, err
	}
	list, err := tx.CaseEvents(ctx, c.Receivable)
	if err != nil {
		return "", 0, err
	}
	var back *Event // the lowest rung that was climbed too early
	struck := int64(0)
	for i, step := range []string{stepFirst, stepSecond, stepHold} {
		rung := i + 1
		at := slices.IndexFunc(list, func(e Event) bool { return e.What == step })
		if at < 0 {
			continue
		}
		// The latest: the toll may have been on the ladder before.
		for j := at + 1; j < len(list); j++ {
			if list[j].What == step {
				at = j
			}
		}
		cents, open, err := surcharge(ctx, tx, rung, c.Receivable)
		if err != nil {
			return "", 0, err
		}
		if cents == 0 && (step != stepHold || c.Stage != Held) {
			continue // it does not stand
		}
		// What follows on a rung that is taken back goes with it.
		early := back != nil
		if !early {
			if early, err = l.early(ctx, tx, c, list[at], paused); err != nil {
				return "", 0, fmt.Errorf("counting the deadline of %s again: %w", step, err)
			}
		}
		if !early {
			continue
		}
		if back == nil {
			back = &list[at]
		}
		if cents != 0 {
			if _, err := l.strike(ctx, tx, c, rung, now); err != nil {
				return "", 0, err
			}
			struck, rest = struck+cents, rest-open
		}
	}
	if back == nil {
		return "", rest, nil
	}
	if err := l.stepBack(ctx, tx, c, *back); err != nil {
		return "", 0, err
	}
	return "taken back: " + back.What, rest, l.tellStruck(ctx, tx, c, struck, now)
}

// surcharge returns a surcharge as it stands, and what of it is to be paid; 0
// where it is not imposed, or there is no such rung.
func surcharge(ctx context.Context, tx Tx, rung int, receivable string) (cents, open int64, err error) {
	charge, err := tx.ChargeStands(ctx, SurchargeID(rung, receivable))
	if errors.Is(err, billing.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	r, err := tx.Receivable(ctx, "charge:"+charge.ID)
	if errors.Is(err, billing.ErrNotFound) {
		return charge.AmountCents, charge.AmountCents - charge.PaidCents, nil // not followed yet
	}
	return charge.AmountCents, r.RestCents(), err
}

// early reports whether a rung was climbed on a day by whose beginning its
// deadline, without the paused days, had not passed.
func (l *Ladder) early(ctx context.Context, tx Tx, c *Case, climbed Event, paused Pauses) (bool, error) {
	if climbed.Notice == "" {
		return false, nil
	}
	n, err := tx.Notice(ctx, climbed.Notice)
	if err != nil {
		return false, err
	}
	told, day := DayOf(n.ServedAt, l.Zone), DayOf(climbed.At, l.Zone)
	// What is paused for the future does not matter, and need not end.
	known := slices.Clone(paused)
	for i := range known {
		if known[i].To == 0 || known[i].To > day+1 {
			known[i].To = day + 1
		}
	}
	var due Day
	if climbed.What == stepFirst {
		due, err = l.grace(c, told, known)
	} else {
		due, err = l.Calendar.CalendarDays(told, l.Rules.AfterServiceDays, known)
	}
	return day <= due, err
}

// stepBack puts a case on the rung below the one that is taken back, with the
// notice that had arrived there. A case that has ended, or begun again, stays.
func (l *Ladder) stepBack(ctx context.Context, tx Tx, c *Case, climbed Event) error {
	below := map[string]string{stepFirst: Opened, stepSecond: First, stepHold: Second}[climbed.What]
	order := []string{Ended, Opened, First, Second, Held}
	if slices.Index(order, c.Stage) <= slices.Index(order, below) {
		return nil
	}
	n, err := tx.Notice(ctx, climbed.Notice)
	if err != nil {
		return err
	}
	c.Stage, c.Notice, c.Number, c.DueDay, c.StuckAt = below, n.ID, n.Number, 0, time.Time{}
	return nil
}

// tellStruck tells who was asked for it of what is taken back.
func (l *Ladder) tellStruck(ctx context.Context, tx Tx, c *Case, cents int64, now time.Time) error {
	if cents == 0 {
		return nil // the hold alone
	}
	return notice.Issue(ctx, tx, notice.Notice{
		ID: fmt.Sprintf("struck:%s@%d", c.Receivable, c.Revision+1), Kind: notice.SurchargeStruck, Account: c.Account, Vehicle: c.Vehicle,
		AmountCents: cents, Currency: l.Rules.Currency, IssuedAt: now,
	})
}

// pauses are those of a receivable and of everybody. An outage that nobody ended
// pauses no longer than one may last.
func (l *Ladder) pauses(ctx context.Context, tx Tx, receivable string) (Pauses, error) {
	list, err := tx.Pauses(ctx, receivable)
	for i, p := range list {
		if p.Scope == "" && p.To == 0 {
			list[i].To = p.From + longestOutageDays
		}
	}
	return list, err
}
