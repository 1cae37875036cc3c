package recovery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/notice"
	"freeflow/billing/payment"
	"freeflow/internal/clock"
)

// Keeping is the store as this package needs it.
type Keeping interface {
	Do(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Ladder runs the ladder. Safe for concurrent use and by several processes.
type Ladder struct {
	Keeping  Keeping
	Calendar Calendar
	Rules    Rules
	// Zone is the network's: in it a day begins and ends.
	Zone  *time.Location
	Clock clock.Clock
	Log   *slog.Logger
}

// heldAgain is how soon it is looked whether the tolls of a held licence are
// paid: it is not held a day too long.
const heldAgain = time.Hour

// chunk bounds one transaction, in cases.
const chunk = 200

// Run does all that is due by the clock and returns how many cases it looked at.
// It can be run at any time, again, and by several at once: what was done is
// not done again. A case with which something is wrong holds up no other: it is
// logged, put off (JobOpen, JobClimb), and the error says how many there were.
func (l *Ladder) Run(ctx context.Context) (int, error) {
	now := l.Clock.Now()
	opened, err := l.openAll(ctx, now)
	if err != nil {
		err = fmt.Errorf("putting unpaid tolls on the ladder: %w", err)
	}
	climbed, also := l.climbAll(ctx, now)
	if also != nil {
		err = errors.Join(err, fmt.Errorf("climbing the ladder of unpaid tolls: %w", also))
	}
	return opened + climbed, err
}

// openAll puts all overdue tolls on the ladder, with one payment notice a
// debtor and batch.
func (l *Ladder) openAll(ctx context.Context, now time.Time) (int, error) {
	n := 0
	var failed failures
	for _, nobodys := range []bool{true, false} {
		wait := l.Rules.NoticeAfter
		if nobodys {
			wait = l.Rules.NoticeAfterNobodys
		}
		var last billing.Receivable
		for {
			var list []billing.Receivable
			err := l.Keeping.View(ctx, func(tx Tx) error {
				var err error
				list, err = tx.Overdue(ctx, now, now.Add(-wait), nobodys, last, chunk)
				return err
			})
			if err != nil {
				return n, err
			}
			n += len(list)
			err = together(ctx, l, JobOpen, list, func(r billing.Receivable) string { return r.ID }, &failed, func(tx Tx, r billing.Receivable, post *letters) error {
				return l.openCase(ctx, tx, r, post, now)
			}, now)
			if err != nil {
				return n, err
			}
			if len(list) < chunk {
				break
			}
			last = list[len(list)-1]
		}
	}
	return n, failed.err()
}

// climbAll looks at all cases that are due.
func (l *Ladder) climbAll(ctx context.Context, now time.Time) (int, error) {
	n := 0
	var failed failures
	for {
		var list []Case
		err := l.Keeping.View(ctx, func(tx Tx) error {
			var err error
			list, err = tx.DueCases(ctx, now, chunk)
			return err
		})
		if err != nil {
			return n, err
		}
		n += len(list)
		before := failed.all
		err = together(ctx, l, JobClimb, list, func(c Case) string { return c.Receivable }, &failed, func(tx Tx, c Case, post *letters) error {
			return l.step(ctx, tx, c.Receivable, now, post)
		}, now)
		if err != nil {
			return n, err
		}
		if len(list) < chunk || failed.all-before == len(list) {
			// Where nothing went well the next would be the same ones, if even their
			// putting off failed.
			return n, failed.err()
		}
	}
}

// failures are what went wrong with single cases of a run.
type failures struct {
	all   int
	first error
}

func (f *failures) err() error {
	if f.all == 0 {
		return nil
	}
	return fmt.Errorf("%d cases could not be looked at, the first: %w", f.all, f.first)
}

// together does something with all of a list in one transaction, with the
// letters that follow. If that fails, each is done alone, and those that fail
// are noted and put off: after a while they are tried again.
func together[T any](ctx context.Context, l *Ladder, job string, list []T, name func(T) string, failed *failures, do func(Tx, T, *letters) error, now time.Time) error {
	all := func(some []T) error {
		return l.Keeping.Do(ctx, func(tx Tx) error {
			post := letters{open: map[debtor]*letter{}}
			for _, one := range some {
				if err := do(tx, one, &post); err != nil {
					return fmt.Errorf("receivable %s: %w", name(one), err)
				}
				if err := tx.DropPutOff(ctx, job, name(one)); err != nil {
					return err
				}
			}
			return l.send(ctx, tx, &post, now)
		})
	}
	if len(list) == 0 || all(list) == nil {
		return nil
	}
	for i := range list {
		err := all(list[i : i+1])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			continue
		}
		if failed.all++; failed.first == nil {
			failed.first = err
		}
		l.putOff(ctx, job, name(list[i]), err, now)
	}
	return nil
}

// putOff leaves what failed alone for a while, so that it is not in the way. If
// not even that can be written, it is tried again by the next run.
func (l *Ladder) putOff(ctx context.Context, job, receivable string, why error, now time.Time) {
	failures := int64(0)
	err := l.Keeping.Do(ctx, func(tx Tx) error {
		var err error
		failures, err = tx.PutOff(ctx, job, receivable, why.Error(), now)
		return err
	})
	l.Log.ErrorContext(ctx, "an unpaid toll was not looked at", "receivable", receivable, "failures", failures, "err", errors.Join(why, err))
}

// debtor is who is told, and of which vehicle: notices are paid by plate.
type debtor struct{ account, vehicle, kind string }

// letters are the notices of one run.
type letters struct {
	open map[debtor]*letter
	all  []*letter
}

// to returns the letter to which something is added; a new one where there is
// none, or the last is full.
func (l *letters) to(kind, receivable, account, vehicle string) *letter {
	who := debtor{account, vehicle, kind}
	t := l.open[who]
	if t == nil || len(t.receivables) >= maxLetter {
		number := rand.Text()[:16]
		t = &letter{kind: kind, id: kind + ":" + receivable + "@" + number, account: account, vehicle: vehicle, number: number}
		l.open[who] = t
		l.all = append(l.all, t)
	}
	return t
}

// openCase puts one toll on the ladder, or back on it.
func (l *Ladder) openCase(ctx context.Context, tx Tx, r billing.Receivable, post *letters, now time.Time) error {
	c, err := tx.LockCase(ctx, r.ID)
	fresh := errors.Is(err, billing.ErrNotFound)
	if err != nil && !fresh {
		return err
	}
	if !fresh && c.Stage != Ended {
		return nil // another process was first
	}
	what := "opened"
	if fresh {
		c = Case{Receivable: r.ID, OpenedAt: now}
	} else {
		what = "reopened"
	}
	// What it owes may hold surcharges of the first time.
	_, rest, err := owed(ctx, tx, &c)
	if err != nil {
		return err
	}
	if err := l.restart(&c, r, rest, post, now); err != nil {
		return err
	}
	c.Revision++
	return tx.PutCase(ctx, c, l.event(&c, what, byJob(now)))
}

// restart begins a case at the first rung, with a payment notice of the rest to
// its debtor. There must be a rest: a notice of nothing is none.
func (l *Ladder) restart(c *Case, r billing.Receivable, rest int64, post *letters, now time.Time) error {
	to := post.to(notice.Payment, r.ID, r.Account, r.Vehicle)
	c.Account, c.Vehicle, c.PassDay = r.Account, r.Vehicle, DayOf(time.UnixMicro(r.OccurredMicros), l.Zone)
	c.Stage, c.Number, c.Notice, c.NextAt, c.DueDay, c.StuckAt = Opened, to.number, to.id, now, 0, time.Time{}
	due, err := l.grace(c, DayOf(now, l.Zone), nil)
	if err != nil {
		return err
	}
	to.add(rest, due, r.ID)
	return nil
}

// grace is the last day before the first surcharge: 14 business days after the
// pass; where the notice arrived only after that, after its arrival.
func (l *Ladder) grace(c *Case, told Day, paused Pauses) (Day, error) {
	due, err := l.Calendar.BusinessDays(c.PassDay, l.Rules.GraceBusinessDays, paused)
	if err == nil && told > due {
		due, err = l.Calendar.BusinessDays(told, l.Rules.GraceBusinessDays, paused)
	}
	return due, err
}

// step takes one case as far as it goes now: at most one rung.
func (l *Ladder) step(ctx context.Context, tx Tx, receivable string, now time.Time, post *letters) error {
	c, err := tx.LockCase(ctx, receivable)
	if err != nil || c.NextAt.IsZero() || c.NextAt.After(now) {
		return err // somebody else was first
	}
	toll, rest, err := owed(ctx, tx, &c)
	if err != nil {
		return err
	}
	today, before := DayOf(now, l.Zone), c.Stage
	var what, reason, ground string
	r, err := tx.Receivable(ctx, receivable)
	if errors.Is(err, billing.ErrNotFound) {
		r, err = billing.Receivable{Account: c.Account, Vehicle: c.Vehicle}, nil
	}
	if err != nil {
		return err
	}
	switch {
	case c.Stage == Ended:
		// Looked at once more, since days that do not count became known.
		c.NextAt, c.DueDay = time.Time{}, 0
		if what, _, err = l.reconsider(ctx, tx, &c, rest, now); err != nil {
			return err
		}
		reason = tooEarly
	case toll == 0:
		// What is not owed cannot have been late.
		if err := l.strikeAll(ctx, tx, &c, now); err != nil {
			return err
		}
		c.Stage, c.NextAt, c.DueDay = Ended, time.Time{}, 0
		what, reason = "ended", "the toll is no longer owed"
	case r.Account != c.Account || r.Vehicle != c.Vehicle:
		// Somebody else owes it, and has been told nothing yet.
		if err := l.strikeAll(ctx, tx, &c, now); err != nil {
			return err
		}
		c.Waived, c.Stage = "", Ended
		what, reason = "begun anew", "another owes it"
		if r.RestCents() == 0 {
			c.Account, c.Vehicle, c.NextAt, c.DueDay = r.Account, r.Vehicle, time.Time{}, 0
			what, reason = "ended", "another owed and paid it"
			break
		}
		// The toll alone: what was struck just now is not followed yet.
		if err := l.restart(&c, r, r.RestCents(), post, now); err != nil {
			return err
		}
	default:
		if what, rest, err = l.reconsider(ctx, tx, &c, rest, now); err != nil {
			return err
		}
		switch {
		case rest == 0 && what == "":
			c.Stage, c.NextAt, c.DueDay = Ended, time.Time{}, 0
			what, reason = "ended", "paid"
		case rest == 0:
			c.Stage, c.NextAt, c.DueDay = Ended, time.Time{}, 0
			reason = tooEarly
		case what != "":
			// By then what was taken back is followed in all places.
			c.NextAt, reason = now.Add(time.Hour), tooEarly
		default:
			ground = c.Notice
			if what, err = l.rung(ctx, tx, &c, rest, today, now, post); err != nil {
				return err
			}
		}
	}
	if what == "" {
		return tx.Reschedule(ctx, c)
	}
	d := byJob(now)
	d.Reason = reason
	c.Revision++
	if c.Stage == Ended {
		c.StuckAt = time.Time{}
	}
	e := l.event(&c, what, d)
	if c.Stage != before {
		e.Notice = ground
	}
	return tx.PutCase(ctx, c, e)
}

// rung decides what follows for a case that owes, and says what it did; nothing
// if the case stays on its rung.
func (l *Ladder) rung(ctx context.Context, tx Tx, c *Case, rest int64, today Day, now time.Time, post *letters) (string, error) {
	// Also where nothing is due: it may have been paid.
	c.NextAt = (today + 1).Date(l.Zone)
	if c.Stage == Held {
		c.NextAt = now.Add(heldAgain)
		return "", nil
	}
	if c.Waived != "" {
		return "", nil
	}
	paused, err := l.pauses(ctx, tx, c.Receivable)
	if err != nil {
		return "", err
	}
	if paused.going(today) {
		c.DueDay = 0
		return "", nil
	}
	n, err := tx.Notice(ctx, c.Notice)
	if err != nil {
		return "", err
	}
	if n.ServedAt.IsZero() {
		c.DueDay = 0
		return l.notArrived(ctx, tx, c, n, now)
	}
	c.StuckAt = time.Time{}
	told := DayOf(n.ServedAt, l.Zone)
	if c.Stage == Opened {
		c.DueDay, err = l.grace(c, told, paused)
	} else {
		c.DueDay, err = l.Calendar.CalendarDays(told, l.Rules.AfterServiceDays, paused)
	}
	if err != nil {
		return "", err
	}
	if today <= c.DueDay {
		return "", nil
	}
	paying, err := tx.BeingPaid(ctx, c.Receivable)
	if err != nil || paying {
		c.NextAt = now.Add(time.Hour)
		return "", err
	}
	switch c.Stage {
	case Opened:
		c.Stage = First
		return stepFirst, l.impose(ctx, tx, c, 1, rest, today, now, post.to(notice.FirstSurcharge, c.Receivable, c.Account, c.Vehicle))
	case First:
		c.Stage = Second
		return stepSecond, l.impose(ctx, tx, c, 2, rest, today, now, post.to(notice.SecondSurcharge, c.Receivable, c.Account, c.Vehicle))
	}
	c.Stage, c.DueDay, c.NextAt = Held, 0, now.Add(heldAgain)
	letter := post.to(notice.LicenceHold, c.Receivable, c.Account, c.Vehicle)
	letter.add(rest, 0, l.items(c)...)
	c.Notice, c.Number = letter.id, letter.number
	return stepHold, nil
}

// stuckAgain is how soon it is looked at a case again that waits for a person,
// unless a proof comes.
const stuckAgain = 7 * 24 * time.Hour

// notArrived gives a case to a person whose notice every channel has given up,
// or that is on its way for too long.
func (l *Ladder) notArrived(ctx context.Context, tx Tx, c *Case, n notice.Notice, now time.Time) (string, error) {
	lost := now.Sub(n.IssuedAt) >= l.Rules.LostAfter
	if !lost && c.StuckAt.IsZero() {
		ways, err := tx.Deliveries(ctx, n.ID)
		if err != nil {
			return "", err
		}
		lost = !slices.ContainsFunc(ways, func(d notice.Delivery) bool { return d.State != notice.Undeliverable })
	}
	if !lost && c.StuckAt.IsZero() {
		return "", nil
	}
	c.NextAt = now.Add(stuckAgain)
	if !c.StuckAt.IsZero() {
		return "", nil
	}
	c.StuckAt = now
	l.Log.WarnContext(ctx, "a notice did not arrive; the ladder of its toll waits for a person", "receivable", c.Receivable, "notice", n.ID)
	return "notice did not arrive", nil
}

// items are the receivables of a case.
func (l *Ladder) items(c *Case) []string {
	return []string{c.Receivable, "charge:" + SurchargeID(1, c.Receivable), "charge:" + SurchargeID(2, c.Receivable)}
}

// impose charges a surcharge and adds it to the letter.
func (l *Ladder) impose(ctx context.Context, tx Tx, c *Case, rung int, rest int64, today Day, now time.Time, to *letter) error {
	toll, err := tx.Receivable(ctx, c.Receivable)
	if err != nil {
		return err
	}
	cents := l.Rules.FirstCents
	if rung == 2 {
		cents = l.Rules.SecondCents
	}
	creditor := l.Rules.Creditor
	if creditor == "" {
		creditor = toll.Creditor
	}
	id := SurchargeID(rung, c.Receivable)
	stands, err := tx.ChargeStands(ctx, id)
	switch {
	case err == nil && stands.AmountCents != 0:
		// The toll was on the ladder before: a surcharge is imposed once, and
		// what is left of it is in the rest already.
		cents = 0
	case err == nil || errors.Is(err, billing.ErrNotFound):
		_, err = tx.PostCharge(ctx, billing.Charge{
			ID: id, Kind: KindSurcharge, Revision: stands.Revision + 1, Account: c.Account, Creditor: creditor, AmountCents: cents, Currency: toll.Currency,
			OccurredMicros: now.UnixMicro(), Vehicle: c.Vehicle, Description: "Surcharge " + strconv.Itoa(rung) + " on a toll not paid in time",
		}, now)
	}
	if err != nil {
		return err
	}
	due, err := l.Calendar.CalendarDays(today, l.Rules.AfterServiceDays, nil)
	if err != nil {
		return err
	}
	to.add(rest+cents, due, l.items(c)[:rung+1]...)
	to.surcharge += cents
	c.Notice, c.Number, c.DueDay = to.id, to.number, 0
	return nil
}

// maxLetter bounds what one notice names; three receivables a trip.
const maxLetter = 60

// letter is a notice while a run gathers what it says.
type letter struct {
	kind, id, account, vehicle, number string
	cents, surcharge                   int64
	due                                Day
	receivables                        []string
}

func (t *letter) add(cents int64, due Day, receivables ...string) {
	t.cents += cents
	t.receivables = append(t.receivables, receivables...)
	if due != 0 && (t.due == 0 || due < t.due) {
		t.due = due
	}
}

// send issues the letters.
func (l *Ladder) send(ctx context.Context, tx Tx, post *letters, now time.Time) error {
	for _, t := range post.all {
		n := notice.Notice{
			ID: t.id, Kind: t.kind, Account: t.account, Vehicle: t.vehicle, Number: t.number,
			AmountCents: t.cents, Currency: l.Rules.Currency, IssuedAt: now,
		}
		if t.due != 0 {
			n.DueOn = t.due.Date(l.Zone)
		}
		if t.surcharge != 0 {
			n.Facts = map[string]string{"surcharge": amount(t.surcharge)}
			if t.kind == notice.FirstSurcharge {
				n.Facts["next"] = amount(l.Rules.SecondCents)
			}
		}
		if err := notice.Issue(ctx, tx, n); err != nil {
			return err
		}
		slices.Sort(t.receivables)
		if err := tx.PutPayReference(ctx, payment.Reference{Number: t.number, Vehicle: strings.TrimPrefix(t.vehicle, "plate:"), Receivables: slices.Compact(t.receivables)}); err != nil {
			return err
		}
	}
	return nil
}

func amount(cents int64) string { return "HK$" + billing.FormatCents(cents) }

func (l *Ladder) event(c *Case, what string, d Deed) Event {
	return Event{Receivable: c.Receivable, Revision: c.Revision, At: d.Now, Stage: c.Stage, What: what, By: d.By, Reason: d.Reason}
}
