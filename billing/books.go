// Package billing owns money: accounts, charges, the double-entry ledger and
// the contract of the books, the one database that decides what was passed,
// charged and posted.
//
// Invariants, each provable with Verify on any database:
//   - the entries of every transaction sum to zero, per currency, and so does
//     the whole ledger;
//   - an account's balance is the sum of its entries;
//   - entries and transactions are only ever added;
//   - a pass owes what its live transaction says, and so does a charge that is
//     no pass: never two live ones;
//   - payments never exceed what the charge owes;
//   - two passes of one vehicle at one toll point never overlap;
//   - one outbox row for every committed posting that changed money.
//
// Amounts are whole hundredths of the currency (cents) inside, decimals with
// two places at every edge, never floats.
//
// Not owned here: which reads make a pass and what it costs (tolling), what
// other charges are for (whoever makes them).
package billing

import (
	"context"
	"errors"
	"time"
)

// Account codes. A motorist's account is "account:" + its id; an operator's
// claim is "operator:" + facility (or other creditor); what nobody's account
// owes stands at "unpaid:" + facility until it is collected; money taken in at
// "cash:" + means of payment.
const (
	MotoristPrefix = "account:"
	OperatorPrefix = "operator:"
	UnpaidPrefix   = "unpaid:"
	CashPrefix     = "cash:"
)

// Pass statuses as the books keep them; the same words as the contract's.
const (
	StatusReview  = "review"
	StatusExempt  = "exempt"
	StatusCharged = "charged"
	StatusUnpaid  = "unpaid"
)

// Errors that a poster must tell apart. Anything else is a fault of the
// database or of the way to it: the outcome is unknown, and the poster starts
// again from Progress.
var (
	// ErrFenced: the partition has moved on; another poster owns it.
	ErrFenced = errors.New("partition was posted by another process")
	// ErrStale: a pass has another revision than the poster believed, or the
	// batch would make two passes overlap; read the passes again and retry.
	ErrStale = errors.New("passes changed since they were read")
	// ErrNotFound: no such pass, review or account.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the thing is not in a state in which this can be done.
	ErrConflict = errors.New("conflict")
	// ErrInvalid: what was given can never be done, in any state.
	ErrInvalid = errors.New("invalid")
)

// Pass is one pass as the books keep it.
type Pass struct {
	// ID is minted by the matcher when the pass is first seen and never
	// changes: 32 lower-case hex digits.
	ID         string
	Facility   string
	TollPoint  string
	Vehicle    string
	Registered bool
	// FirstMicros and LastMicros bound the pass: microseconds since the Unix
	// epoch, UTC.
	FirstMicros, LastMicros int64
	// Revision counts the changes, from 1. It guards against stale writers.
	Revision int64
	Status   string
	Class    string
	// Account is the id of the account in force at the earliest read; empty
	// if nobody's.
	Account string
	// AmountCents is what is owed; 0 under review and when exempt.
	AmountCents int64
	Currency    string
	// Rule and TariffVersion say what gave the amount.
	Rule, TariffVersion string
	// Reasons says why the pass is under review; sorted, comma-separated codes.
	Reasons string
	// Evidence is the matcher's own encoding of what the rules need to know
	// about the pass; opaque here.
	Evidence []byte
	// Marks are the names of other marks' own vehicles that reads of this
	// pass also carried (contract 4.7), sorted.
	Marks []string
	// MergedInto is the id of the pass that swallowed this one; empty while
	// it stands. A swallowed pass owes nothing and is not listed.
	MergedInto string
	// Decision is what a person decided last; nil if nobody has. The books
	// keep it through later revisions; Post takes no notice of it.
	Decision *Decision
}

// Decision is a person's word on a pass under review.
type Decision struct {
	// Status is exempt, charged or unpaid.
	Status  string
	Class   string
	Account string
	// AmountCents is what is owed by the decision; 0 when exempt.
	AmountCents int64
	Rule        string
	By          string
	Note        string
	At          time.Time
	// Basis is a digest, made by the matcher, of what the person saw. When
	// later reads change it, the pass is reopened for review.
	Basis string
}

// Batch is what one run of reads of one partition did, posted in one database
// transaction or not at all.
type Batch struct {
	// Partition is the partition of the log.
	Partition int
	// From is the offset at which Progress must stand, To the one at which
	// it stands afterwards. A batch whose From is not the books' is refused
	// with ErrFenced.
	From, To int64
	// MaxMicros is the latest read time so far in the partition.
	MaxMicros int64
	// PostedAt is the posting date of every transaction of the batch.
	PostedAt time.Time
	// Passes are the passes that are new or changed, each with the revision
	// that it shall have: 1 if new, else the books' revision plus one.
	Passes []Pass
	// Gap is the network's gap in microseconds, for the overlap guard: two
	// standing passes of one vehicle at one toll point must be further apart.
	Gap int64
	// Reads is the archive of the batch's reads; nil if there is none.
	Reads *ReadArchive
	// Fence says what the batch was made under; nil is not checked.
	Fence *Fence
}

// ReadArchive keeps the reads of one batch as evidence.
type ReadArchive struct {
	Count                int
	MinMicros, MaxMicros int64
	// Blob is the matcher's compressed encoding; opaque here.
	Blob []byte
}

// Progress is how far the books have followed a partition.
type Progress struct {
	NextOffset int64
	MaxMicros  int64
}

// Window asks for the standing passes of one vehicle at one facility that
// touch [FromMicros, ToMicros], and for the standing passes of other vehicles
// at the facility that touch it and carried the vehicle's name as a mark.
type Window struct {
	Facility             string
	Vehicle              string
	Registered           bool
	FromMicros, ToMicros int64
}

// Posting is what the matcher needs of the books. All methods are safe for
// concurrent use by posters of different partitions.
type Posting interface {
	// ID is the identity of these books, made when they were created; state
	// kept elsewhere is good only together with it.
	ID() string
	// Progress returns how far the partition has been posted; the zero value
	// if never.
	Progress(ctx context.Context, partition int) (Progress, error)
	// MaxMicros returns the latest read time of any partition; 0 if none.
	MaxMicros(ctx context.Context) (int64, error)
	// Passes answers all windows at once; the answer has no order and no
	// pass twice.
	Passes(ctx context.Context, windows []Window) ([]Pass, error)
	// Post posts the batch: passes, the money that they now owe (a change of
	// amount or payer is a reversal and a new transaction), balances, outbox,
	// archive and progress. Where the partition was never posted, any From is
	// taken. Errors: ErrFenced, ErrStale, ErrOutdated, ErrInvalid, or a fault.
	Post(ctx context.Context, b Batch) error
	// Facilities returns all facilities in the order of their names.
	Facilities(ctx context.Context) ([]Facility, error)
	// KnownPasses returns those of the ids that passes have, swallowed ones too.
	KnownPasses(ctx context.Context, ids []string) ([]string, error)
}
