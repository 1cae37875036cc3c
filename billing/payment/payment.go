// Package payment owns how money comes in and goes back: attempts at a payment
// provider and what became of them, how an account pays (prepaid with automatic
// top-up, a debit per trip, one debit a day), payment without an account by a
// number printed on a notice, Hong Kong's FPS, refunds and pay-outs.
//
// Invariants:
//   - an attempt is kept, with the reference by which the provider knows it,
//     before the provider is first asked, and is repeated under that reference
//     only;
//   - what became of it is said by the provider (answer, signed notice, query)
//     or by a person with evidence; silence is the state unknown, which ends by
//     being resolved and never by being guessed;
//   - while one attempt for a debt is under way or unknown there is no other:
//     the database refuses it;
//   - money enters the ledger once for each success, in the transaction that
//     records the success, and then pays what it was for; what comes after a
//     recorded failure is money all the same;
//   - money that goes back leaves the wallet when the refund is made, and
//     returns to it if the refund fails.
//
// Nothing here holds a card's number: means of payment are the provider's
// tokens, and what looks like a number of a card is refused.
//
// Not promised: that a provider keeps its contract (one effect a reference,
// nothing taken after the instant until which an order is good); a provider's
// word that contradicts its earlier word goes to a person.
package payment

import (
	"time"
)

// Kinds of attempts.
const (
	// Charge takes money by a token.
	Charge = "charge"
	// Await waits for money that the payer sends, such as by an FPS QR code.
	Await = "await"
	// Refund gives money of an earlier attempt back to where it came from.
	Refund = "refund"
	// Payout sends money to a token.
	Payout = "payout"
)

// States of an attempt. Succeeded, Failed and Reversed are final, but that a
// provider's late success turns Failed into Succeeded, and a charge that was
// taken back turns Succeeded into Reversed.
const (
	// Created: kept, and the provider has not been asked. An Await stays so.
	Created = "created"
	// Submitted: the provider is being asked.
	Submitted = "submitted"
	// Unknown: the provider was asked, and nobody knows what it did.
	Unknown = "unknown"
	// Succeeded: the money moved.
	Succeeded = "succeeded"
	// Failed: by the provider's word it did not move and will not.
	Failed = "failed"
	// Reversed: it moved and was taken back (a chargeback).
	Reversed = "reversed"
)

// States lists all of them.
var States = []string{Created, Submitted, Unknown, Succeeded, Failed, Reversed}

// What attempts are for.
const (
	ForTopUp   = "topup"
	ForDaily   = "daily"
	ForTrip    = "trip"
	ForPicked  = "picked"  // an account's receivables, chosen by its owner
	ForNotice  = "notice"  // without an account, by a number on a notice
	ForCredit  = "credit"  // money that came unasked for
	ForRefund  = "refund"  // of what was paid too much, or by decision
	ForClosing = "closing" // what a closed account held
)

// How the outcome came to be known.
const (
	ByAnswer = "answer"
	ByNotice = "notice"
	ByQuery  = "query"
	ByHand   = "hand"
	ByExpiry = "expiry" // of an Await, before which nobody paid
)

// Attempt is one try to move money. Amounts are hundredths of Currency.
type Attempt struct {
	// ID is the reference by which the provider knows it, and the idempotency
	// key: "pay_" and 26 characters that nobody can guess.
	ID string
	// Kind is Charge, Await, Refund or Payout; Purpose one of For....
	Kind, Purpose string
	// Provider is whom it is made at.
	Provider string
	// Debit is the debit that it is a try of; may be empty.
	Debit string
	// Account is whose; empty without one. Holder is whose wallet the money goes
	// into or leaves.
	Account, Holder string
	// Means is how, as the ledger's account "cash:" + Means names it.
	Means string
	// Token is the provider's name for the payer's or payee's means.
	Token string
	// Bill is the number on an FPS QR code; empty otherwise.
	Bill string
	// Original is the attempt whose money a Refund gives back.
	Original string
	// Source is the reference under which the provider took the money of the
	// original, or of this one where it took money a second time.
	Source string
	// AmountCents is what was asked for, MovedCents what moved by the provider's
	// word, RefundedCents what refunds of it have given back or are giving.
	AmountCents, MovedCents, RefundedCents int64
	Currency                               string
	// Items are what it pays, in that order.
	Items []Item
	State string
	// How says by what the outcome is known; empty before.
	How string
	// ProviderRef is the provider's own name for what it did.
	ProviderRef string
	// Reason says why it failed, in the provider's word; or who resolved it.
	Reason string
	// Movement is the movement of the ledger that stands for it; empty if none
	// does.
	Movement string
	// Calls and Queries count how often the provider was asked to do it, and
	// what became of it.
	Calls, Queries int64
	// NextAt is when it is looked at next; the zero value if nobody looks by
	// itself.
	NextAt time.Time
	// ValidUntil is the instant after which the provider begins nothing under
	// this reference.
	ValidUntil           time.Time
	CreatedAt, SettledAt time.Time
	// Version guards against writers that saw another state; 0 before it is
	// kept.
	Version int64
}

// Live reports whether the outcome is still to come: no other attempt is made
// for the same debts meanwhile.
func (a *Attempt) Live() bool {
	return a.State == Submitted || a.State == Unknown || a.State == Created && a.Kind != Await
}

// Final reports whether the outcome is known.
func (a *Attempt) Final() bool {
	return a.State == Succeeded || a.State == Failed || a.State == Reversed
}

// Item is one receivable of an attempt or a debit.
type Item struct {
	// Receivable is its id, Posting its place in the order of postings when it
	// was taken up: what was posted anew is another debt.
	Receivable  string
	Posting     int64
	AmountCents int64
}

// Debit is the wish to take an amount from an account by itself, and the tries
// at it.
type Debit struct {
	// ID says what for: there is one a day and account, one a receivable and
	// posting, one top-up at a time.
	ID string
	// Purpose is ForDaily, ForTrip or ForTopUp.
	Purpose string
	Account string
	// Day is the network's day of a daily debit, as 2026-11-24.
	Day      string
	Currency string
	// AmountCents is that of a top-up; of others the items say it.
	AmountCents int64
	Items       []Item
	// State is DebitOpen, DebitPaid, DebitFailed or DebitOver.
	State string
	// MeansRevision is that of the account's means when the last try was made.
	MeansRevision int64
	Tries         int64
	// NextAt is when the next try is due; the zero value while one is under way,
	// and at the end.
	NextAt    time.Time
	CreatedAt time.Time
	Version   int64
}

// States of a debit.
const (
	DebitOpen   = "open"
	DebitPaid   = "paid"
	DebitFailed = "failed" // given up: no try is left
	DebitOver   = "over"   // of no account any more
)

// Modes of paying.
const (
	// Prepaid: tolls are paid out of the wallet, which is topped up by itself if
	// a threshold is set.
	Prepaid = "prepaid"
	// PerTrip: one debit a trip.
	PerTrip = "per-trip"
	// Daily: one debit on the next day for all trips of the day; Hong Kong's
	// default for cards since 22 July 2024.
	Daily = "daily"
)

// Means is how an account pays from an instant on.
type Means struct {
	Account string
	// Revision counts the account's changes, from 1. The store gives it.
	Revision int64
	// From is when it comes into force. Of two in force the later From counts,
	// of two at one instant the higher revision.
	From time.Time
	// Mode is Prepaid, PerTrip or Daily.
	Mode string
	// Kind is Card, Bank or StoredValue; empty with an empty Token.
	Kind string
	// Provider and Token name the means; empty for an account that brings its
	// money itself, which only Prepaid allows.
	Provider, Token string
	// ThresholdCents is the balance below which the wallet is topped up by
	// TopUpCents, and below which its owner is told if TopUpCents is 0. 0 for
	// neither.
	ThresholdCents, TopUpCents int64
	Currency                   string
	// By and At are who set it and when.
	By string
	At time.Time
}

// ShownToken is the token by its last four characters: whoever reads it cannot
// pay by it. Of one no longer than that nothing is shown.
func (m Means) ShownToken() string {
	switch {
	case m.Token == "":
		return ""
	case len(m.Token) <= 4:
		return "…"
	}
	return "…" + m.Token[len(m.Token)-4:]
}

// Kinds of means.
const (
	Card        = "card"
	Bank        = "bank"
	StoredValue = "stored-value"
	// FPS is how money of an Await came.
	FPS = "fps"
)

// Event is something that an account's owner, or a person of the operator, is
// to be told. It is kept once under its ID.
type Event struct {
	// ID is the kind and what it is about.
	ID   string
	Kind string
	// Account is whose; empty for what concerns a person of the operator.
	Account string
	// About is the attempt, debit or notice of the provider.
	About string
	// Day is the day of the zone that it is about, as 2026-11-24; may be empty.
	Day string
	// AmountCents and Currency say how much, Count how many trips, Text a word
	// more such as the provider's reason.
	AmountCents int64
	Currency    string
	Count       int64
	Text        string
	At          time.Time
}

// Kinds of events.
const (
	EventLowBalance = "low-balance"
	// EventProcessing and EventResult are the two notices of a daily debit: that
	// it is on its way, and what became of it.
	EventProcessing = "debit-processing"
	EventPaid       = "debit-paid"
	EventFailed     = "debit-failed"
	EventGivenUp    = "debit-given-up"
	EventTopUp      = "top-up"
	EventReceived   = "payment-received"
	EventLate       = "payment-late"
	EventRefunded   = "refunded"
	EventReversed   = "payment-reversed"
	// Those below are for a person of the operator.
	EventUnmatched     = "unmatched-money"
	EventUnresolved    = "unresolved"
	EventContradiction = "contradiction"
	EventUncovered     = "refund-uncovered"
	EventRefundFailed  = "refund-failed"
)

// Reference is a number printed on a notice, by which somebody without an
// account pays what the notice names.
type Reference struct {
	// Number is 8 to 64 letters, digits and hyphens, not to be guessed.
	Number string
	// Vehicle is the vehicle's name as passes have it: its plate.
	Vehicle string
	// Receivables are what it names.
	Receivables []string
}

// Filter selects attempts. Zero fields do not restrict.
type Filter struct {
	State, Account, Purpose string
	// Due selects those to be looked at by that instant.
	Due time.Time
	// AfterAt and AfterID are the place of the last one seen in the order of
	// CreatedAt, newest first, and ID.
	AfterAt time.Time
	AfterID string
	// Limit bounds the answer; it must be positive.
	Limit int
}

// Low is an account whose wallet holds less than its means' threshold.
type Low struct {
	Means        Means
	BalanceCents int64
}

// DayClosing is how far the daily debits of a day have been made.
type DayClosing struct {
	// Day is as 2026-11-24.
	Day string
	// After is the last account that was looked at, Done that all were.
	After string
	Done  bool
}

// ClosedSource is what one attempt of a closed account can still give back.
type ClosedSource struct {
	Attempt         string
	RefundableCents int64
}
