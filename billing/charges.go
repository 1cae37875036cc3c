package billing

import (
	"context"
	"time"
)

// Charge is something other than a pass that somebody owes: a stay in a car
// park, a fee. Whoever charges makes it; the books know nothing of what it is
// for beyond what is said here.
type Charge struct {
	// ID is made by who charges and never changes: 1 to 256 bytes. The same id,
	// revision and content again changes nothing.
	ID string
	// Kind is a word for what it is, such as "parking".
	Kind string
	// Revision counts the changes, from 1; it may skip. A higher one replaces
	// the lower: where another amount is owed, or by or to another, by a
	// reversal and a new transaction.
	Revision int64
	// Account is the id of the account that owes; empty if nobody's: it then
	// stands at "unpaid:" + Creditor until it is paid.
	Account string
	// Creditor is who is owed, such as a car park: "operator:" + Creditor.
	Creditor string
	// AmountCents is what is owed in all; 0 takes back what was owed.
	AmountCents int64
	Currency    string
	// OccurredMicros is when it came about: microseconds since the Unix epoch,
	// UTC. The posting date is another thing.
	OccurredMicros int64
	// Description is one line for the motorist, at most 1,000 bytes.
	Description string
	// Vehicle is the vehicle's name as passes have it; empty if unknown.
	Vehicle string
	// Detail is JSON for the motorist, at most 64 KiB, or nothing: the itemised
	// receipt, {"lines":[{"text","amount"}]} with amounts as decimals; other
	// members are kept and not shown.
	Detail []byte
	// PaidCents is what payments have paid of it. The books keep it; PostCharge
	// takes no notice of it.
	PaidCents int64
}

// Payment is money received for a charge that stands at nobody's account: at a
// machine, or by plate.
type Payment struct {
	// ID is made by who takes the money and never changes: 1 to 256 bytes.
	ID       string
	ChargeID string
	// AmountCents is positive, and no more than is still to be paid.
	AmountCents int64
	Currency    string
	// Means is how it was paid, such as "machine" or "card"; the money stands at
	// "cash:" + Means.
	Means  string
	PaidAt time.Time
}

// ChargeRevision is how a charge stood before a later revision replaced it.
type ChargeRevision struct {
	Charge
	ReplacedAt time.Time
}

// ChargeFilter selects charges. Zero fields do not restrict.
type ChargeFilter struct {
	// FromMicros and ToMicros bound OccurredMicros, half-open: [from, to).
	// ToMicros 0 means no upper bound.
	FromMicros, ToMicros             int64
	Account, Vehicle, Creditor, Kind string
	// After is what Charges gave as next; empty at the start.
	After string
	// Limit bounds the answer; it must be positive.
	Limit int
}

// Charging keeps charges other than tolls, in the same ledger. All methods are
// safe for concurrent use and by several processes; those that post do it in
// one database transaction or not at all, and can be called again with the
// same content after any fault.
type Charging interface {
	// PostCharge posts the charge and returns it as the books have it.
	// ErrStale: the books have a higher revision. ErrConflict: they have the
	// same with another content, or payments stand that the new revision would
	// leave without a debt: refund them first. ErrInvalid.
	PostCharge(ctx context.Context, c Charge, postedAt time.Time) (Charge, error)
	// PostPayment posts the payment and returns its charge. ErrNotFound: no
	// such charge. ErrConflict: the id is another payment's, or the charge
	// stands at an account. ErrInvalid: more than is still to be paid, or in
	// another currency, or what can never be.
	PostPayment(ctx context.Context, p Payment, postedAt time.Time) (Charge, error)
	// RefundPayment reverses a payment entirely, and returns its charge; doing
	// it again changes nothing. ErrNotFound.
	RefundPayment(ctx context.Context, paymentID string, postedAt time.Time) (Charge, error)
	// Charge returns a charge and its transactions, those of its payments too,
	// in the order of posting. ErrNotFound.
	Charge(ctx context.Context, id string) (Charge, []Transaction, error)
	// ChargeRevisions returns what a charge was before, oldest first; nothing
	// if it never changed or is not there.
	ChargeRevisions(ctx context.Context, id string) ([]ChargeRevision, error)
	// Charges returns charges in the order of OccurredMicros and id; next is
	// empty if there are no more. ErrInvalid.
	Charges(ctx context.Context, f ChargeFilter) (list []Charge, next string, err error)
}
