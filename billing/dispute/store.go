package dispute

import (
	"context"
	"time"

	"freeflow/billing"
	"freeflow/billing/recovery"
)

// Filter selects disputes in the order of the queue: by deadline, then by what
// is at stake, the most first. Zero fields do not restrict.
type Filter struct {
	State, Assignee, Reason, Origin, Account, Receivable string
	// Open selects open ones.
	Open bool
	// OverdueOn selects open ones that were due before the day.
	OverdueOn recovery.Day
	// After is the place of the last one seen.
	After Place
	// Limit bounds the answer; it must be positive.
	Limit int
}

// Place is a place in the queue.
type Place struct {
	DueDay      recovery.Day
	AmountCents int64
	Reference   string
}

// Hold is a receivable that a dispute keeps from being collected.
type Hold struct {
	Reference, Receivable string
	// Held says that the books hold it; until then it is tried again.
	Held bool
}

// Seen is a posted pass, as the flags see it.
type Seen struct {
	ID, Facility, Point, Vehicle, Account, Status string
	FirstMicros, LastMicros                       int64
	AmountCents                                   int64
	Currency                                      string
	Marks                                         []string
	// Decided says that a person has decided it.
	Decided bool
}

// Posted is one posting's passes, for the flags.
type Posted struct {
	ID       int64
	PostedAt time.Time
	// Passes are those that owe something by it.
	Passes []Seen
	// Damaged says why it cannot be read; it has no passes then.
	Damaged error
}

// Jobs whose items are put off when they fail, and which item it is. Those of
// JobFlags are the key of a pass or of a posting.
const (
	JobGather = "dispute-evidence" // the reference
	JobHold   = "dispute-hold"     // the reference, a blank and the receivable
	JobDue    = "dispute-due"      // the reference
	JobGone   = "dispute-gone"     // the reference
	JobAlarm  = "dispute-alarm"    // the reference
	JobRefund = "dispute-refund"   // the reference
	JobFlags  = "dispute-flags"
)

// Jobs returns the jobs of this package.
func Jobs() []string {
	return []string{JobGather, JobHold, JobDue, JobGone, JobAlarm, JobRefund, JobFlags}
}

// Tx is what this package needs of one transaction.
type Tx interface {
	recovery.Tx
	billing.Money

	// PassStands returns a pass as it stands, also a swallowed one;
	// billing.ErrNotFound.
	PassStands(ctx context.Context, id string) (billing.Pass, error)
	// DecidePass posts a person's decision on a standing pass, whatever its
	// status. billing.ErrConflict if it stands at another revision.
	DecidePass(ctx context.Context, id string, revision int64, d billing.Decision) (billing.Pass, error)
	// KnowsAccount reports whether there is such an account, or the registry names
	// it.
	KnowsAccount(ctx context.Context, id string) (bool, error)
	// NoticeNames returns the receivables that a notice names, by its number and
	// the plate on it; none if they do not go together.
	NoticeNames(ctx context.Context, plate, number string) ([]string, error)

	// PutDispute adds a dispute (revision 1) or changes it, with its event.
	// billing.ErrConflict if the charge has an open one already.
	PutDispute(ctx context.Context, d Dispute, e Event) error
	// LockDispute returns one that nobody else changes until the transaction
	// ends; Dispute does not keep it. billing.ErrNotFound.
	LockDispute(ctx context.Context, reference string) (Dispute, error)
	Dispute(ctx context.Context, reference string) (Dispute, error)
	// Disputes lists them in the order of the queue.
	Disputes(ctx context.Context, f Filter) ([]Dispute, error)
	// DisputesOf returns all of a receivable, oldest first.
	DisputesOf(ctx context.Context, receivable string) ([]Dispute, error)
	// DisputeEvents returns all steps.
	DisputeEvents(ctx context.Context, reference string) ([]Event, error)
	// PutDisputeHold adds or changes a hold, DropDisputeHold takes it away.
	PutDisputeHold(ctx context.Context, h Hold) error
	DropDisputeHold(ctx context.Context, h Hold) error
	DisputeHolds(ctx context.Context, reference string) ([]Hold, error)
	// UnheldDisputes returns holds of open disputes that the books lack. It and
	// the other lists of work leave out what is put off beyond the instant now.
	UnheldDisputes(ctx context.Context, now time.Time, limit int) ([]Hold, error)
	// AddEvidence adds evidence under the next number.
	AddEvidence(ctx context.Context, e Evidence) error
	// EvidenceOf returns all of a dispute, oldest first.
	EvidenceOf(ctx context.Context, reference string) ([]Evidence, error)
	// LackEvidence returns open disputes without evidence, or of whose pass the
	// latest is of an earlier revision.
	LackEvidence(ctx context.Context, now time.Time, limit int) ([]Dispute, error)
	// RefundsWanted returns closed disputes whose refund is wanted.
	RefundsWanted(ctx context.Context, now time.Time, limit int) ([]Dispute, error)
	// LackDueDay returns open disputes without a last day to answer.
	LackDueDay(ctx context.Context, now time.Time, limit int) ([]Dispute, error)
	// NotAlarmed returns open disputes due before the day of which nobody was
	// told.
	NotAlarmed(ctx context.Context, day recovery.Day, now time.Time, limit int) ([]Dispute, error)
	// FlaggedGone returns open disputes that a flag opened and nobody joined whose
	// pass owes nothing any more.
	FlaggedGone(ctx context.Context, now time.Time, limit int) ([]Dispute, error)
	// CountDisputes counts the open ones, and those due before the day.
	CountDisputes(ctx context.Context, day recovery.Day) (open, overdue int64, err error)
	// PutOff notes that an item of a job failed, and why, and leaves it for
	// billing.PutOffPause; it returns how often it failed in a row.
	PutOff(ctx context.Context, job, item, why string, now time.Time) (failures int64, err error)
	// PutOffDue returns items of a job that are to be tried again; DropPutOff
	// forgets one, DropPutOffBefore those that were due before an instant;
	// CountPutOff counts them.
	PutOffDue(ctx context.Context, job string, now time.Time, limit int) ([]string, error)
	DropPutOff(ctx context.Context, job, item string) error
	DropPutOffBefore(ctx context.Context, job string, before time.Time) error
	CountPutOff(ctx context.Context, job string) (int64, error)
	// LockPasses keeps passes from changing until the transaction ends.
	LockPasses(ctx context.Context, ids []string) error
	// PutTwins notes that of passes that are one trip one is given back and the
	// others are kept; ok is false, and nothing is noted, where one of them was
	// the other before. The passes are locked.
	PutTwins(ctx context.Context, given string, kept []string, reference string, now time.Time) (ok bool, err error)
	// FlagPasses returns the passes that a flag rests on; none if there is no
	// such flag.
	FlagPasses(ctx context.Context, key string) ([]string, error)
	// RecordDispute leaves an event in the audit trail.
	RecordDispute(ctx context.Context, action string, d Dispute, deed Deed, detail any) error

	// PostedAfter returns postings with a number above the one given, in order,
	// until one that is as young as the instant.
	PostedAfter(ctx context.Context, after int64, before time.Time, limit int) ([]Posted, error)
	// PassesNear returns the standing passes of a vehicle, or with Marks those
	// that carried its name, that begin in [from, to], in order of time. They owe
	// something, or not.
	PassesNear(ctx context.Context, vehicle string, fromMicros, toMicros int64, limit int) ([]Seen, error)
	CarriersNear(ctx context.Context, mark, facility string, fromMicros, toMicros int64, limit int) ([]Seen, error)
	// PassesAt returns standing passes of any vehicle at a toll point that begin
	// in [from, to].
	PassesAt(ctx context.Context, point string, fromMicros, toMicros int64, limit int) ([]Seen, error)
	// FlagsFrom is the number of the last posting that was looked at;
	// PutFlagsFrom moves it, and reports false if somebody else did.
	FlagsFrom(ctx context.Context) (int64, error)
	PutFlagsFrom(ctx context.Context, was, now int64) (bool, error)
	// PutFlag adds a flag; known reports that it is there.
	PutFlag(ctx context.Context, f Flag) (known bool, err error)
	// PutFlagCase says which case a flag opened.
	PutFlagCase(ctx context.Context, key, reference string) error
	// Flags lists flags, newest first, of a rule (or all) before the place.
	Flags(ctx context.Context, rule string, before time.Time, beforeKey string, limit int) ([]Flag, error)
	// GivenBackSince sums what the system itself decided to give back since an
	// instant, in a currency.
	GivenBackSince(ctx context.Context, since time.Time, currency string) (int64, error)
}

// Keeping is the store as this package needs it.
type Keeping interface {
	Do(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}
