package billing

import (
	"context"
	"time"
)

// Filter selects standing passes. Zero fields do not restrict.
type Filter struct {
	// FromMicros and ToMicros bound the pass time, half-open: [from, to).
	// ToMicros 0 means no upper bound.
	FromMicros, ToMicros int64
	Vehicle              string
	Account              string
	Status               string
	// After is the cursor of the last item already seen; empty at the start.
	After Cursor
	// Limit bounds the answer; it must be positive.
	Limit int
}

// Cursor is a place in the order of pass time, toll point, vehicle, id. The
// zero value stands before everything.
type Cursor struct {
	FirstMicros int64
	TollPoint   string
	Vehicle     string
	ID          string
}

// Transaction is one balanced group of entries in the ledger.
type Transaction struct {
	ID string
	// Kind is "toll", "charge", "payment", "receipt", "payout", "collection" or
	// "reversal".
	Kind string
	// PassID is the pass that it belongs to; empty if it belongs to a charge or
	// to money held for somebody.
	PassID string
	// ChargeID is the charge that it belongs to, or that the payment is for.
	ChargeID string
	// MoneyID is what a receipt, payout or collection belongs to: "move:" and
	// the movement's id, or the receivable's.
	MoneyID string
	// Revision is the pass's or the charge's. A payment or movement has 1, its
	// reversal 2; the n-th collection of a receivable has 2n-1, its reversal 2n.
	Revision int64
	Currency string
	// Reverses is the id of the transaction that a reversal undoes.
	Reverses string
	PostedAt time.Time
	Entries  []Entry
}

// Entry is one leg: a positive amount is owed by the account, a negative one
// is owed to it.
type Entry struct {
	Account     string
	AmountCents int64
}

// Balance is what an account owes (positive) or is owed (negative).
type Balance struct {
	Account     string
	Currency    string
	AmountCents int64
}

// Revision is how a pass stood before a later revision replaced it. Revisions
// that only lengthened a pass or added evidence are not kept.
type Revision struct {
	Revision    int64
	ReplacedAt  time.Time
	TollPoint   string
	Vehicle     string
	FirstMicros int64
	LastMicros  int64
	Status      string
	Class       string
	Account     string
	AmountCents int64
	Rule        string
	Reasons     string
}

// History is all that the books know of one pass.
type History struct {
	Pass         Pass
	Revisions    []Revision
	Transactions []Transaction
}

// Totals sums up the standing passes.
type Totals struct {
	Passes, Charged, Exempt, Unpaid, Review int64
	ChargedCents, UnpaidCents               int64
	// Currency is empty if there are no passes.
	Currency string
}

// Event is one committed posting, for those who follow the books.
type Event struct {
	// ID names the outbox row; events of one row share it.
	ID int64
	// Payload is JSON: {"posted_at" (RFC 3339), "passes":[{id, vehicle,
	// account, facility, toll_point, pass_time (micros), status, class, amount_cents,
	// currency, revision, owed_changed, merged_into}]}. owed_changed tells the
	// postings that deserve a notice from those that only amend; merged_into
	// is absent while the pass stands. Or it has, in place of "passes",
	// "charges":[{id, kind, account, previous_account, amount_cents, paid_cents,
	// currency, description, creditor, vehicle, occurred_micros, revision}], also
	// when one was paid; previous_account is absent unless another owed it
	// before. Or "money":[{id, kind, holder, receivable, movement, amount_cents,
	// currency}], what moved in or out of wallets: id is the transaction's, the
	// amount is negative where a receipt or collection was undone or money paid
	// out.
	Payload []byte
}

// Violation is one broken invariant.
type Violation struct {
	// Invariant is its short name, for instance "transaction-sums-to-zero".
	Invariant string
	// Detail says which rows break it.
	Detail string
}

// Check is the result of one invariant over the whole database.
type Check struct {
	Invariant  string
	Rows       int64 // how many rows were looked at
	Violations []Violation
}

// Assignment is one row of the registry: over [From, To) the plate, the tag
// or both name a vehicle of the account.
type Assignment struct {
	Account, Plate, Class, Tag string
	// FromMicros is inclusive; ToMicros exclusive, 0 meaning without end.
	FromMicros, ToMicros int64
	Exempt               bool
	// Source says who keeps the row: empty for the file that operators put.
	Source string
}

// Reading is what those need who look at the books. Safe for concurrent use.
type Reading interface {
	// List returns standing passes in the order of Cursor.
	List(ctx context.Context, f Filter) ([]Pass, error)
	// History returns one pass, also a swallowed one. ErrNotFound.
	History(ctx context.Context, passID string) (History, error)
	// Totals sums up all standing passes.
	Totals(ctx context.Context) (Totals, error)
	// Archives calls each with the archived read batches whose reads may lie
	// in [fromMicros, toMicros], in no order, until each returns false.
	Archives(ctx context.Context, fromMicros, toMicros int64, each func(blob []byte) bool) error
	// Balances returns the balances of the accounts, those without entries
	// left out.
	Balances(ctx context.Context, accounts []string) ([]Balance, error)
	// Verify proves the invariants by recomputing everything from the rows.
	Verify(ctx context.Context) ([]Check, error)
}

// Deciding takes what people decide.
type Deciding interface {
	// Decide records the decision on a pass under review and posts what it
	// owes by it. The pass must stand at the given revision and be under
	// review: ErrConflict otherwise; ErrNotFound; ErrInvalid for a decision
	// that cannot be.
	Decide(ctx context.Context, passID string, revision int64, d Decision) (Pass, error)
}

// Registering keeps the registry.
type Registering interface {
	// PutRegistry replaces the rows of the file, those of the empty Source, and
	// raises the version; rows of other sources stay, and ErrConflict refuses a
	// file that contradicts them. Rows no longer in force stay in the books for
	// audit.
	PutRegistry(ctx context.Context, rows []Assignment, at time.Time) (version int64, err error)
	// RegistryVersion returns the present version; 0 if never put.
	RegistryVersion(ctx context.Context) (int64, error)
	// Registry returns the present rows and version.
	Registry(ctx context.Context) ([]Assignment, int64, error)
}

// Outbox gives committed postings to those who follow.
type Outbox interface {
	// Unpublished returns the oldest events not yet marked, at most limit.
	// No event is ever skipped, whatever the order of commits.
	Unpublished(ctx context.Context, limit int) ([]Event, error)
	// MarkPublished marks events; doing it again changes nothing.
	MarkPublished(ctx context.Context, ids []int64) error
	// PrunePublished deletes events marked before t.
	PrunePublished(ctx context.Context, before time.Time) error
}

// Retention forgets what need not be kept for ever.
type Retention interface {
	// PruneArchives deletes the archived read batches that were posted before
	// the instant, and returns how many: by posting date, so that a read that
	// came late is kept as long as any other. Passes and the ledger are never
	// pruned.
	PruneArchives(ctx context.Context, before time.Time) (int64, error)
}

// Credentials keeps the portal's sign-ins.
type Credentials interface {
	// PutLogin stores the login of an account, replacing an earlier one of
	// the same e-mail. The hash is a PHC string.
	PutLogin(ctx context.Context, l Login) error
	// Login finds a login by e-mail, lower case. ErrNotFound.
	Login(ctx context.Context, email string) (Login, error)
}

// Login is a motorist's sign-in.
type Login struct {
	Email        string
	Account      string
	PasswordHash string
}
