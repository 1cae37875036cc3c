// Package settlement owns what operators are settled with: one batch a creditor,
// day and currency, of what the ledger did for the creditor on that day; the
// steps by which its money is remitted; what banks and providers report of it;
// and the audit of traffic in and out.
//
// Invariants: a batch is made once, of a day that is closed, and what it comes
// to never changes; what is corrected later is in the batch of the day on which
// that is posted, told apart by its own time; no batch remits less than nothing,
// what is short is carried into the next; who approves is not who prepared; the
// ledger is moved exactly when a batch is remitted, and back if the money comes
// back. What does not agree is named, and never set off against something else.
//
// Not promised: that a bank pays.
package settlement

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/statement"
	"freeflow/internal/clock"
)

// What sums are of. Kinds of posted and withdrawn are "toll" and the charges';
// of collected and returned whose wallet paid: "account", "tag" or "once"; of
// paid, refunded, remitted and called off the means of payment.
const (
	Posted    = "posted"
	Withdrawn = "withdrawn"
	Collected = "collected"
	Returned  = "returned"
	Paid      = "paid"
	Refunded  = "refunded"
	Remitted  = "remitted"
	CalledOff = "called-off"
)

// Sum is what the ledger did for a creditor on a day, of one sort.
type Sum struct {
	What, Kind string
	// Earlier: of passes and charges whose own time was before that day.
	Earlier                bool
	Movements, AmountCents int64
}

// Passes are the standing passes of a facility whose own time is on the day, as
// they stood when the batch was made.
type Passes struct{ Passes, Charged, Exempt, Unpaid, Review int64 }

// Figures are what a batch is made of.
type Figures struct {
	Sums   []Sum
	Passes Passes
}

// Of returns the sum of one sort over all kinds.
func (f Figures) Of(what string) (cents int64) {
	for _, s := range f.Sums {
		if s.What == what {
			cents += s.AmountCents
		}
	}
	return cents
}

// States of a batch.
const (
	// Made: the day's figures stand.
	Made = "made"
	// NothingDue: there is nothing to remit; what is short is carried.
	NothingDue = "nothing-due"
	// Prepared by one person, Approved by another.
	Prepared = "prepared"
	Approved = "approved"
	// Sent: the money is on its way, and the ledger says so. Confirmed: it
	// arrived.
	Sent      = "remitted"
	Confirmed = "confirmed"
	// BackAgain: the money came back; it can be approved again.
	BackAgain = "returned"
)

// Batch is what one creditor is remitted for one day.
type Batch struct {
	Number, Creditor, Currency string
	// Day is days since 1970-01-01 in the network's zone.
	Day int64
	// CollectedCents and RefundedCents are positive; CarriedCents, of the batch
	// before, and CarryCents, into the next, are negative or 0.
	CollectedCents, RefundedCents, CarriedCents int64
	RemitCents, CarryCents                      int64
	Figures                                     Figures
	State                                       string
	MadeAt                                      time.Time
	Revision                                    int64
}

// Step is one step of a batch. Only added to.
type Step struct {
	Number, State string
	Revision      int64
	At            time.Time
	// Means and Reference are the bank's, where money moved.
	Means, Reference string
	By, Reason       string
}

// Key is a creditor in one currency.
type Key struct{ Creditor, Currency string }

// Filter selects batches. Zero fields do not restrict.
type Filter struct {
	Creditor, State string
	FromDay, ToDay  int64
	// After is the number of the last one seen; the order is of day and number.
	AfterDay int64
	After    string
	Limit    int
}

// Tx is what settling needs of one transaction.
type Tx interface {
	// Closed returns the end of the last closed day.
	Closed(ctx context.Context) (time.Time, error)
	// ToSettle returns the creditors that have sums of the day, or something
	// carried from before, and no batch of it yet.
	ToSettle(ctx context.Context, day int64) ([]Key, error)
	// Sums returns a creditor's of a day, in order.
	Sums(ctx context.Context, k Key, day int64) ([]Sum, error)
	// PassesOf counts a facility's passes whose own time is in [from, to).
	PassesOf(ctx context.Context, facility string, from, to time.Time) (Passes, error)
	// BatchBefore returns a creditor's last batch before a day; found is false if
	// there is none.
	BatchBefore(ctx context.Context, k Key, day int64) (b Batch, found bool, err error)
	// PutBatch adds a batch; known reports that there is one of the creditor and
	// day.
	PutBatch(ctx context.Context, b Batch) (known bool, err error)
	// Batch returns one, locked until the transaction ends. billing.ErrNotFound.
	Batch(ctx context.Context, number string) (Batch, error)
	Batches(ctx context.Context, f Filter) ([]Batch, error)
	// Steps returns a batch's, oldest first.
	Steps(ctx context.Context, number string) ([]Step, error)
	// Advance sets a batch's state and revision, of the revision before, and adds
	// the step. billing.ErrStale.
	Advance(ctx context.Context, b Batch, s Step) error
	// Remit posts that a batch's money went out, for the nth time; CallOff that
	// it came back.
	Remit(ctx context.Context, b Batch, nth int64, means string, at time.Time) error
	CallOff(ctx context.Context, b Batch, nth int64, means string, at time.Time) error
	// LastSettled returns the last day of which every creditor has its batch.
	LastSettled(ctx context.Context) (day int64, found bool, err error)
	// FirstClosed returns the first closed day.
	FirstClosed(ctx context.Context) (day int64, found bool, err error)
	PutSettled(ctx context.Context, day int64, at time.Time) error
	// CountTraffic keeps how many passes of [from, to) there were at each toll
	// point, by class; what is there already stays.
	CountTraffic(ctx context.Context, day int64, from, to time.Time) error
	// RecordSettlement adds to the audit trail.
	RecordSettlement(ctx context.Context, action, kind, id string, d Deed) error
}

// Keeping runs fn in one transaction, or on one snapshot.
type Keeping interface {
	Do(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Deed is who does something, and why.
type Deed struct {
	By, Role, Reason string
	Now              time.Time
}

// Settler makes the batches of days that are closed. It may be run again and by
// several processes.
type Settler struct {
	Keeping Keeping
	Zone    *time.Location
	Clock   clock.Clock
	Log     *slog.Logger
}

// Run makes what is missing, day by day, and returns how many batches it made.
func (s *Settler) Run(ctx context.Context) (made int, err error) {
	for {
		n, more, err := s.day(ctx)
		made += n
		if err != nil || !more {
			return made, err
		}
	}
}

// day makes the batches of the next day; false if there is none.
func (s *Settler) day(ctx context.Context) (made int, more bool, err error) {
	var (
		d    statement.Day
		keys []Key
	)
	err = s.Keeping.View(ctx, func(tx Tx) error {
		last, found, err := tx.LastSettled(ctx)
		if err != nil {
			return err
		}
		next := last + 1
		if !found {
			if next, found, err = tx.FirstClosed(ctx); err != nil || !found {
				return err
			}
		}
		d = statement.DayAt(next, s.Zone)
		closed, err := tx.Closed(ctx)
		if err != nil || closed.Before(d.To) {
			return err
		}
		more = true
		keys, err = tx.ToSettle(ctx, d.Number)
		return err
	})
	if err != nil || !more {
		return 0, false, err
	}
	err = s.Keeping.Do(ctx, func(tx Tx) error {
		made = 0
		for _, k := range keys {
			known, err := s.batch(ctx, tx, k, d)
			if err != nil {
				return fmt.Errorf("settling %s with %s: %w", d, k.Creditor, err)
			}
			if !known {
				made++
			}
		}
		if err := tx.CountTraffic(ctx, d.Number, d.From, d.To); err != nil {
			return err
		}
		return tx.PutSettled(ctx, d.Number, s.Clock.Now())
	})
	return made, true, err
}

// batch makes one batch.
func (s *Settler) batch(ctx context.Context, tx Tx, k Key, d statement.Day) (known bool, err error) {
	b := Batch{
		Number: Numbered(k, d), Creditor: k.Creditor, Currency: k.Currency, Day: d.Number, State: Made,
		MadeAt: s.Clock.Now().UTC().Truncate(time.Microsecond), Revision: 1,
	}
	if b.Figures.Sums, err = tx.Sums(ctx, k, d.Number); err != nil {
		return false, err
	}
	if b.Figures.Passes, err = tx.PassesOf(ctx, k.Creditor, d.From, d.To); err != nil {
		return false, err
	}
	before, found, err := tx.BatchBefore(ctx, k, d.Number)
	if err != nil {
		return false, err
	}
	if found {
		b.CarriedCents = before.CarryCents
	}
	b.CollectedCents = b.Figures.Of(Collected) + b.Figures.Of(Paid)
	b.RefundedCents = b.Figures.Of(Returned) + b.Figures.Of(Refunded)
	due := b.CollectedCents - b.RefundedCents + b.CarriedCents
	b.RemitCents, b.CarryCents = max(due, 0), min(due, 0)
	if b.RemitCents == 0 {
		b.State = NothingDue
	}
	return tx.PutBatch(ctx, b)
}

// Numbered returns the number of a creditor's batch of a day.
func Numbered(k Key, d statement.Day) string {
	return "R" + strings.ReplaceAll(d.String(), "-", "") + "-" + k.Creditor + "-" + k.Currency
}

// Wanted is the step that somebody asks for.
type Wanted struct {
	// State is what the batch is to become.
	State string
	// Means and Reference are needed where money moved.
	Means, Reference string
}

// next are the states that may follow each.
var next = map[string][]string{
	Made: {Prepared}, Prepared: {Approved}, Approved: {Sent}, Sent: {Confirmed, BackAgain}, BackAgain: {Approved},
}

// Take takes one step of a batch, in the caller's transaction. The same step
// again, by the same person and reference, changes nothing. billing.ErrConflict
// if it cannot follow, or if who approves has prepared; billing.ErrInvalid.
func Take(ctx context.Context, tx Tx, number string, w Wanted, d Deed) (Batch, error) {
	b, err := tx.Batch(ctx, number)
	if err != nil {
		return b, err
	}
	steps, err := tx.Steps(ctx, number)
	if err != nil {
		return b, err
	}
	if err := w.check(d); err != nil {
		return b, err
	}
	if n := len(steps); n > 0 && b.State == w.State && steps[n-1].By == d.By && steps[n-1].Reference == w.Reference {
		return b, nil
	}
	allowed := false
	for _, state := range next[b.State] {
		allowed = allowed || state == w.State
	}
	if !allowed {
		return b, fmt.Errorf("%w: batch %s is %s and cannot become %s", billing.ErrConflict, number, b.State, w.State)
	}
	means, nth := w.Means, int64(0)
	for _, s := range steps {
		switch s.State {
		case Prepared:
			if w.State == Approved && s.By == d.By {
				return b, fmt.Errorf("%w: %s has prepared batch %s; somebody else approves it", billing.ErrConflict, d.By, number)
			}
		case Sent:
			nth++
			if w.State == BackAgain {
				means = s.Means
			}
		}
	}
	b.State, b.Revision = w.State, b.Revision+1
	switch w.State {
	case Sent:
		err = tx.Remit(ctx, b, nth+1, means, d.Now)
	case BackAgain:
		err = tx.CallOff(ctx, b, nth, means, d.Now)
	}
	if err == nil {
		err = tx.Advance(ctx, b, Step{Number: number, State: w.State, Revision: b.Revision, At: d.Now, Means: means, Reference: w.Reference, By: d.By, Reason: d.Reason})
	}
	if err == nil {
		err = tx.RecordSettlement(ctx, "settlement."+w.State, "settlement", number, d)
	}
	if err != nil {
		return b, fmt.Errorf("batch %s: %w", number, err)
	}
	return b, nil
}

func (w Wanted) check(d Deed) error {
	switch {
	case d.By == "" || d.Now.IsZero():
		return fmt.Errorf("%w: it is not said who does it", billing.ErrInvalid)
	case len(w.Reference) > 256 || len(w.Means) > 64 || len(d.Reason) > 1000:
		return fmt.Errorf("%w: a reference has at most 256 bytes, means 64, a reason 1,000", billing.ErrInvalid)
	case w.State == Sent && (w.Means == "" || w.Reference == ""):
		return fmt.Errorf("%w: what was remitted needs the means and the bank's reference", billing.ErrInvalid)
	case w.State == Confirmed && w.Reference == "":
		return fmt.Errorf("%w: a confirmation needs the bank's reference", billing.ErrInvalid)
	case w.State == BackAgain && strings.TrimSpace(d.Reason) == "":
		return fmt.Errorf("%w: say why the money came back", billing.ErrInvalid)
	}
	return nil
}
