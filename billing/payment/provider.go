package payment

import (
	"context"
	"errors"
	"time"
)

// ErrAbsent is a provider's answer to Query that it knows no such reference.
var ErrAbsent = errors.New("the provider does not know the reference")

// ErrForged marks a notice that is not the provider's, or is too old or too
// new: it is answered 401 and has no effect.
var ErrForged = errors.New("the notice is not signed by the provider")

// Results that a provider can give.
const (
	ResultSucceeded = "succeeded"
	ResultDeclined  = "declined"
	// ResultPending: the provider has it and has not decided.
	ResultPending = "pending"
	// ResultReversed: it succeeded and was taken back.
	ResultReversed = "reversed"
)

// Order asks a provider to move money.
type Order struct {
	// Reference is ours, and the idempotency key: whatever is asked under it has
	// one effect at most, however often it is asked.
	Reference string
	// Token is whose money (Charge) or where to (Payout); empty for a Refund.
	Token string
	// Original is the reference of the charge whose money a Refund gives back.
	Original    string
	AmountCents int64
	Currency    string
	// ValidUntil is the instant after which the provider must not begin.
	ValidUntil time.Time
	// Text is a line for the payer's statement: no plate, no place.
	Text string
}

// Outcome is what a provider says of a reference.
type Outcome struct {
	// Result is one of Result....
	Result string
	// ProviderRef is the provider's name for what it did.
	ProviderRef string
	// AmountCents and Currency are what moved; of a decline they may be empty.
	AmountCents int64
	Currency    string
	// Reason is the provider's word for a decline; Final says that trying the
	// same means again is of no use.
	Reason string
	Final  bool
	// At is when it happened.
	At time.Time
	// Means is how money sent by the payer came, such as FPS, Payer the token by
	// which it can be sent back; both empty for what we ordered.
	Means, Payer string
}

// Notice is a provider's signed word that something happened.
type Notice struct {
	// ID is the provider's and the same when it is sent again.
	ID string
	// Reference is the attempt's, or empty for money sent by the payer, whose
	// Bill says what for.
	Reference string
	Bill      string
	Outcome   Outcome
}

// Provider is a payment provider. Its methods are safe for concurrent use. An
// error other than those named says nothing of whether money moved.
type Provider interface {
	// Name is a word for it, as attempts keep it.
	Name() string
	// Charge takes money by a token, Refund gives a charge's money back, Payout
	// sends money to a token.
	Charge(ctx context.Context, o Order) (Outcome, error)
	Refund(ctx context.Context, o Order) (Outcome, error)
	Payout(ctx context.Context, o Order) (Outcome, error)
	// Query says what became of a reference, or whether money came by a bill
	// number. ErrAbsent where the provider knows
	// none such at present: it may still be on its way, unless the order is no
	// longer valid.
	Query(ctx context.Context, reference string) (Outcome, error)
	// Verify checks the signature over the body as it stands in the header
	// HeaderSignature and reads the notice. ErrForged.
	Verify(signature string, body []byte, now time.Time) (Notice, error)
}
