package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freeflow/billing"
)

// strike takes a surcharge back: a revision to nothing. What was paid of it is
// the payer's again. It reports whether there was anything to take back.
func (l *Ladder) strike(ctx context.Context, tx Tx, c *Case, rung int, now time.Time) (bool, error) {
	charge, err := tx.ChargeStands(ctx, SurchargeID(rung, c.Receivable))
	if errors.Is(err, billing.ErrNotFound) || err == nil && charge.AmountCents == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	charge.AmountCents = 0
	charge.Revision++
	_, err = tx.PostCharge(ctx, charge, now)
	return err == nil, err
}

// strikeAll takes all surcharges of a case back.
func (l *Ladder) strikeAll(ctx context.Context, tx Tx, c *Case, now time.Time) error {
	for _, rung := range []int{1, 2} {
		if _, err := l.strike(ctx, tx, c, rung, now); err != nil {
			return err
		}
	}
	return nil
}

// Waive takes a surcharge back and stops the ladder for that toll, which is
// still owed. Doing it again changes nothing. billing.ErrNotFound: no such
// surcharge.
func (l *Ladder) Waive(ctx context.Context, tx Tx, receivable string, rung int, d Deed) (Case, error) {
	c, err := l.waive(ctx, tx, receivable, rung, d)
	if err != nil {
		return Case{}, fmt.Errorf("waiving surcharge %d of %s: %w", rung, receivable, err)
	}
	return c, nil
}

func (l *Ladder) waive(ctx context.Context, tx Tx, receivable string, rung int, d Deed) (Case, error) {
	if rung != 1 && rung != 2 {
		return Case{}, invalid("there are surcharges 1 and 2")
	}
	if err := d.check(); err != nil {
		return Case{}, err
	}
	c, err := tx.LockCase(ctx, receivable)
	if err != nil {
		return Case{}, err
	}
	if _, err := tx.ChargeStands(ctx, SurchargeID(rung, receivable)); err != nil {
		return Case{}, err
	}
	struck, err := l.strike(ctx, tx, &c, rung, d.Now)
	if err != nil || !struck {
		return c, err
	}
	c.Waived = fmt.Sprintf("surcharge-%d", rung)
	c.Revision++
	if c.Stage != Ended {
		c.NextAt = d.Now
	}
	if err := tx.PutCase(ctx, c, l.event(&c, "surcharge waived", d)); err != nil {
		return Case{}, err
	}
	return c, tx.RecordRecovery(ctx, "surcharge.waived", receivable, c.Account, d)
}

// Stop begins a pause from today on: for one receivable (a dispute), or for
// everybody (scope empty: people cannot pay since our service is down). The same
// id again changes nothing.
func (l *Ladder) Stop(ctx context.Context, tx Tx, id, scope string, d Deed) error {
	return l.pause(ctx, tx, "deadlines.paused", Pause{
		ID: id, Scope: scope, From: DayOf(d.Now, l.Zone), By: d.By, Reason: d.Reason, RecordedAt: d.Now,
	}, d)
}

// Resume ends a pause: tomorrow counts again. Doing it again changes nothing.
// billing.ErrNotFound.
func (l *Ladder) Resume(ctx context.Context, tx Tx, id, scope string, d Deed) error {
	paused, err := tx.Pauses(ctx, scope)
	if err != nil {
		return fmt.Errorf("ending pause %s: %w", id, err)
	}
	for _, p := range paused {
		if p.ID != id || p.Scope != scope {
			continue
		}
		if p.To != 0 {
			return nil
		}
		p.To = DayOf(d.Now, l.Zone) + 1
		if p.Scope == "" {
			p.To = min(p.To, p.From+longestOutageDays)
		}
		return l.pause(ctx, tx, "deadlines.resumed", p, d)
	}
	return fmt.Errorf("ending pause %s: %w", id, billing.ErrNotFound)
}

// longestOutage bounds an outage, against a slip of the pen, or an outage that
// nobody ended, which would stop all deadlines for years.
const (
	longestOutageDays = 31
	longestOutage     = longestOutageDays * 24 * time.Hour
)

// Outage records a time that is over, in which people could not pay: its days
// do not count for anybody. Surcharges that were imposed meanwhile, though their
// deadline without those days had not passed, are taken back by the next run.
func (l *Ladder) Outage(ctx context.Context, tx Tx, id string, from, to time.Time, d Deed) error {
	if !from.Before(to) || to.After(d.Now) || to.Sub(from) > longestOutage {
		return fmt.Errorf("recording an outage: %w", invalid("it must end after it began, have ended, and last 31 days at most"))
	}
	return l.pause(ctx, tx, "deadlines.paused", Pause{
		ID: id, From: DayOf(from, l.Zone), To: DayOf(to, l.Zone) + 1, By: d.By, Reason: d.Reason, RecordedAt: d.Now,
	}, d)
}

// Down records an outage that goes on, from an instant within the last day:
// until Resume, or 31 days, no deadline passes. The same id again changes
// nothing.
func (l *Ladder) Down(ctx context.Context, tx Tx, id string, from time.Time, d Deed) error {
	if from.After(d.Now) || from.Before(d.Now.AddDate(0, 0, -1)) {
		return fmt.Errorf("recording an outage: %w", invalid("one that goes on began within the last day; of one that is over, say until when"))
	}
	return l.pause(ctx, tx, "deadlines.paused", Pause{ID: id, From: DayOf(from, l.Zone), By: d.By, Reason: d.Reason, RecordedAt: d.Now}, d)
}

// Withdraw takes an outage back that was wrong: its days count again. A
// surcharge that was taken back for its sake is imposed again by the next run
// that finds the deadline passed, with a notice. Doing it again changes
// nothing. billing.ErrNotFound.
func (l *Ladder) Withdraw(ctx context.Context, tx Tx, id string, d Deed) error {
	err := d.check()
	if err == nil {
		var done bool
		if done, err = tx.WithdrawPause(ctx, id, "", d); err == nil && !done {
			return nil
		}
	}
	if err == nil {
		err = tx.Wake(ctx, "", d.Now)
	}
	if err == nil {
		err = tx.RecordRecovery(ctx, "deadlines.pause-withdrawn", "", "", d)
	}
	if err != nil {
		return fmt.Errorf("taking outage %s back: %w", id, err)
	}
	return nil
}

func (l *Ladder) pause(ctx context.Context, tx Tx, action string, p Pause, d Deed) error {
	err := d.check()
	if err == nil && (p.ID == "" || len(p.ID) > 256) {
		err = invalid("the pause's id must be 1 to 256 bytes")
	}
	if err == nil && p.Scope != "" {
		// A rung of it that is being climbed is waited for: who climbs after this
		// sees the pause.
		if _, err = tx.LockCase(ctx, p.Scope); errors.Is(err, billing.ErrNotFound) {
			err = nil
		}
	}
	if err == nil {
		err = tx.PutPause(ctx, p)
	}
	if err == nil {
		// Deadlines change: the cases are looked at again, also those that ended
		// with a surcharge that was too early.
		err = tx.Wake(ctx, p.Scope, d.Now)
	}
	if err == nil {
		err = tx.WakeClimbed(ctx, p.Scope, p.From.Date(l.Zone), d.Now)
	}
	if err == nil {
		err = tx.RecordRecovery(ctx, action, p.Scope, "", d)
	}
	if err != nil {
		return fmt.Errorf("pausing deadlines: %w", err)
	}
	return nil
}

// Standing is a case as people see it.
type Standing struct {
	Case
	// RestCents is what is still to be paid, surcharges included.
	RestCents int64
	Events    []Event
}

// Show returns a case with what is still to be paid. billing.ErrNotFound.
func (l *Ladder) Show(ctx context.Context, tx Tx, receivable string) (Standing, error) {
	list, err := tx.CaseEvents(ctx, receivable)
	if err != nil {
		return Standing{}, err
	}
	c, err := tx.Case(ctx, receivable)
	if err != nil {
		return Standing{}, err
	}
	_, rest, err := owed(ctx, tx, &c)
	return Standing{Case: c, RestCents: rest, Events: list}, err
}
