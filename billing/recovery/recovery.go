// Package recovery owns the ladder of unpaid tolls: the payment notice, the
// first surcharge when 14 business days have passed, the further one 21 days
// after the first was served, and the hold on the vehicle's licence.
//
// Invariants:
//   - a toll is on the ladder once, and each rung is climbed once, whoever runs
//     the job how often: a surcharge is a charge with an id of its own;
//   - nobody pays a surcharge who was not told: each needs proof that the
//     notice before it arrived;
//   - no rung is climbed while a payment is under way or its outcome unknown;
//   - days on which a dispute was open, or on which people could not pay since
//     our own service was down, do not count;
//   - a rung that was climbed too early by days that became known afterwards is
//     taken back, and told;
//   - what is no longer owed takes its surcharges with it; a waived surcharge
//     is a revision to nothing, with who and why.
//
// The rules are Hong Kong's (Transport Department, toll page of 2025-09-19;
// news.gov.hk 2023-05-29). Not owned here: collecting (billing/collect,
// billing/payment), what notices say (billing/notice). Not promised: the fine
// for evasion, which is a court's.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/notice"
	"freeflow/billing/payment"
)

// Stages of a case.
const (
	// Opened: on the ladder; the payment notice is out.
	Opened = "opened"
	// First and Second: that surcharge is imposed, its notice out.
	First  = "surcharge-1"
	Second = "surcharge-2"
	// Held: the vehicle's licence is not to be renewed.
	Held = "hold"
	// Ended: nothing is owed any more.
	Ended = "ended"
)

// Rules are the numbers of the ladder.
type Rules struct {
	// NoticeAfter is how long an unpaid toll waits for its payment notice: an
	// account's for its ordinary collection, and nobody's.
	NoticeAfter, NoticeAfterNobodys time.Duration
	// GraceBusinessDays after the pass are free of surcharge.
	GraceBusinessDays int
	// FirstCents and SecondCents are the surcharges a trip.
	FirstCents, SecondCents int64
	// LostAfter is how long a notice may be on its way before a person has to see
	// to it.
	LostAfter time.Duration
	// AfterServiceDays are the calendar days after a surcharge notice was served.
	AfterServiceDays int
	// Creditor is who is owed the surcharges; empty for the toll's own.
	Creditor string
	Currency string
}

// HongKong are the rules since 2 June 2023.
func HongKong() Rules {
	return Rules{
		NoticeAfter: 72 * time.Hour, NoticeAfterNobodys: 12 * time.Hour, GraceBusinessDays: 14,
		FirstCents: 17500, SecondCents: 35000, AfterServiceDays: 21, LostAfter: 60 * 24 * time.Hour, Currency: "HKD",
	}
}

// Jobs whose items are put off when they fail; both by the receivable.
const (
	JobOpen  = "ladder-open"
	JobClimb = "ladder-climb"
)

// Case is one unpaid toll on the ladder.
type Case struct {
	Receivable       string
	Account, Vehicle string
	Stage            string
	// PassDay is the day of the pass, DueDay the last day before the next rung;
	// 0 while it is not known, since nothing proves that the notice arrived.
	PassDay, DueDay Day
	// Number is printed on the notices.
	Number string
	// Notice is the id of the latest.
	Notice string
	// Waived names the surcharge whose waiver stopped the ladder; empty while
	// it goes on.
	Waived   string
	OpenedAt time.Time
	// NextAt is when it is to be looked at again; the zero value when it ended.
	NextAt time.Time
	// StuckAt is since when a person has to see to it, since its notice did not
	// arrive; the zero value where nobody has.
	StuckAt time.Time
	// Revision counts the steps, from 1.
	Revision int64
}

// Event is one step of a case.
type Event struct {
	Receivable  string
	Revision    int64
	At          time.Time
	Stage, What string
	By, Reason  string
	// Notice is the one whose proven arrival began the deadline that the step
	// ended; empty where it ended none.
	Notice string
}

// Tx is what this package needs of one transaction.
type Tx interface {
	notice.Tx
	billing.MoneyReading
	PostCharge(ctx context.Context, c billing.Charge, postedAt time.Time) (billing.Charge, error)
	// ChargeStands returns a charge as it stands; billing.ErrNotFound.
	ChargeStands(ctx context.Context, id string) (billing.Charge, error)
	PutPayReference(ctx context.Context, r payment.Reference) error
	// PutOff notes that an item of JobOpen or JobClimb failed, and leaves it for a
	// while, billing.PutOffPause; it returns how often it failed in a row.
	PutOff(ctx context.Context, job, item, why string, now time.Time) (failures int64, err error)
	// DropPutOff forgets that an item failed.
	DropPutOff(ctx context.Context, job, item string) error
	// Overdue returns at most limit open tolls that are on no ladder yet, not put
	// off and not held, with something to pay, posted before the instant; nobodys selects
	// those that nobody's account owes, else those of accounts.
	// Those after the last one seen (zero at the start), in the order of PostedAt
	// and ID.
	Overdue(ctx context.Context, now, postedBefore time.Time, nobodys bool, last billing.Receivable, limit int) ([]billing.Receivable, error)
	// DueCases returns at most limit cases to be looked at and not put off, those of one debtor
	// together.
	DueCases(ctx context.Context, at time.Time, limit int) ([]Case, error)
	// BeingPaid reports whether a payment for the receivable is under way, or its
	// outcome not known yet.
	BeingPaid(ctx context.Context, receivable string) (bool, error)
	// LockCase returns a case that nobody else changes until the transaction
	// ends; billing.ErrNotFound.
	LockCase(ctx context.Context, receivable string) (Case, error)
	// Case returns one; billing.ErrNotFound.
	Case(ctx context.Context, receivable string) (Case, error)
	// PutCase adds a case (revision 1) or changes it, with the event;
	// billing.ErrStale, billing.ErrConflict if it is there.
	PutCase(ctx context.Context, c Case, e Event) error
	// Reschedule sets when a case is looked at again, its due day and since when
	// it is stuck; its revision must stand.
	Reschedule(ctx context.Context, c Case) error
	// Cases lists cases by vehicle or stage (either may be empty), in the order
	// of vehicle and receivable, at most limit after the place given.
	Cases(ctx context.Context, vehicle, stage, afterVehicle, afterReceivable string, limit int) ([]Case, error)
	// StuckCases lists those that wait for a person, in the same way.
	StuckCases(ctx context.Context, afterVehicle, afterReceivable string, limit int) ([]Case, error)
	// CaseEvents returns all steps of a case.
	CaseEvents(ctx context.Context, receivable string) ([]Event, error)
	// Pauses returns those of everybody and of the receivable.
	Pauses(ctx context.Context, receivable string) (Pauses, error)
	// PutPause adds a pause, or sets the end of one; the rest never changes.
	PutPause(ctx context.Context, p Pause) error
	// WithdrawPause takes a pause of the scope back, with the deed; it reports
	// whether that was done now. billing.ErrNotFound.
	WithdrawPause(ctx context.Context, id, scope string, d Deed) (bool, error)
	// Wake makes all cases of the scope due at the instant.
	Wake(ctx context.Context, scope string, at time.Time) error
	// WakeClimbed makes those of the scope that have ended due, of which a rung
	// was climbed since an instant.
	WakeClimbed(ctx context.Context, scope string, since, at time.Time) error
	// RecordRecovery leaves an event in the audit trail: what was done to a
	// receivable, or to everybody.
	RecordRecovery(ctx context.Context, action, receivable, account string, d Deed) error
}

// Deed is who does something, when and why.
type Deed struct {
	// By names the person or job, Role what they act as.
	By, Role, Reason string
	Now              time.Time
}

// byJob is the ladder's own deed.
func byJob(now time.Time) Deed { return Deed{By: "job:unpaid-tolls", Role: "system", Now: now} }

func (d Deed) check() error {
	if d.By == "" || d.Role == "" || d.Now.IsZero() || strings.TrimSpace(d.Reason) == "" || len(d.Reason) > 1000 {
		return invalid("it must be said who does it, as what, when, and why in at most 1,000 bytes")
	}
	return nil
}

// SurchargeID names the charge of a rung, 1 or 2, of a receivable.
func SurchargeID(rung int, receivable string) string {
	return fmt.Sprintf("surcharge:%d:%s", rung, receivable)
}

// KindSurcharge is the kind of these charges.
const KindSurcharge = "surcharge"

func invalid(text string) error { return fmt.Errorf("%w: %s", billing.ErrInvalid, text) }

// owed is what is still to be paid of a case: the toll and its surcharges.
func owed(ctx context.Context, tx Tx, c *Case) (toll, all int64, err error) {
	for i, id := range []string{c.Receivable, "charge:" + SurchargeID(1, c.Receivable), "charge:" + SurchargeID(2, c.Receivable)} {
		r, err := tx.Receivable(ctx, id)
		if errors.Is(err, billing.ErrNotFound) {
			// Not imposed, or its posting is not followed yet: then it counts in
			// full.
			if i == 0 {
				continue
			}
			charge, err := tx.ChargeStands(ctx, SurchargeID(i, c.Receivable))
			if err == nil {
				all += charge.AmountCents - charge.PaidCents
			} else if !errors.Is(err, billing.ErrNotFound) {
				return 0, 0, err
			}
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		all += r.RestCents()
		if i == 0 {
			toll = r.AmountCents
		}
	}
	return toll, all, nil
}
