package billing

import (
	"context"
	"time"
)

// States of a bulk re-rate.
const (
	// RerateDry: worked out, nothing is posted.
	RerateDry = "dry-run"
	// RerateRunning: ordered, and under way.
	RerateRunning = "running"
	// RerateDone: every pass of it is dealt with.
	RerateDone = "done"
)

// States of a pass in a bulk re-rate.
const (
	ReratePending = "pending"
	// RerateDoneRow: it owes the new amount.
	RerateDoneRow = "done"
	// RerateChanged: it changed after the re-rate was ordered, and was left to
	// the rules, which rated it by the network in force.
	RerateChanged = "changed"
	// RerateFailed: it could not be posted in several attempts, and owes what it
	// owed; the log says why.
	RerateFailed = "failed"
	// RerateDecided: a person decided on it; it is left alone.
	RerateDecided = "decided"
	// RerateUnrated: the network has no toll for it; it is left alone.
	RerateUnrated = "unrated"
	// RerateReview: a person is to decide on it; it is left alone.
	RerateReview = "review"
)

// Rerate is a bulk re-rate of a facility's passes over a period after a tariff
// mistake: a dry run first, and what came of it.
type Rerate struct {
	ID       int64
	Facility string
	// FromMicros and ToMicros bound the pass times, half-open.
	FromMicros, ToMicros int64
	// Reason says why, By who worked it out, At when.
	Reason, By string
	At         time.Time
	State      string
	// Digest is a hash over all its passes as they stood, and what they would
	// owe: who orders it says what they saw.
	Digest string
	// Looked is how many passes of the facility stand in the period. Of those,
	// Passes owe another amount, of Vehicles and Accounts so many; Left are
	// left to a person, or cannot be rated.
	Looked, Passes, Vehicles, Accounts, Left int64
	// WasCents and NowCents are what the Passes owe, and would owe; PaidPasses
	// is how many of them were paid when it was worked out.
	WasCents, NowCents, PaidPasses int64
	Currency                       string
	// OrderedBy and OrderedAt are who had it executed, and when; FinishedAt is
	// when it was done. Zero before.
	OrderedBy             string
	OrderedAt, FinishedAt time.Time
	// Done and Changed count the passes dealt with.
	Done, Changed int64
}

// RerateRow is one pass of a bulk re-rate.
type RerateRow struct {
	PassID string
	// Revision is the one at which the pass stood, Stood a digest of all that
	// its toll and its payer follow from; empty in rows of before there was one.
	Revision int64
	Stood    string
	// Customer is "account:" and the account's id, or "vehicle:" and the
	// vehicle's name where nobody's account owes.
	Customer    string
	Vehicle     string
	FirstMicros int64
	WasCents    int64
	// NowCents, Version and Rule are the toll by the network that rated it.
	NowCents      int64
	Version, Rule string
	Paid          bool
	State         string
}

// RerateCustomer is what a bulk re-rate came to for one customer: what one
// notice has to say.
type RerateCustomer struct {
	Rerate int64
	// Customer is as in RerateRow.
	Customer string
	Passes   int64
	// WasCents and NowCents are what the passes owed and owe; DifferenceCents
	// is the latter less the former.
	WasCents, NowCents, DifferenceCents int64
	Currency                            string
	PaidPasses                          int64
}

// Rerating keeps bulk re-rates. Safe for concurrent use.
type Rerating interface {
	// AddRerate stores a dry run with its rows, and returns it with its id.
	AddRerate(ctx context.Context, r Rerate, rows []RerateRow) (Rerate, error)
	// OrderRerate has a dry run executed: by another person than worked it out
	// (ErrConflict), with its digest (ErrStale), once (by the same person again
	// it changes nothing). ErrNotFound.
	OrderRerate(ctx context.Context, id int64, digest, by string, at time.Time) (Rerate, error)
	// Rerate returns one. ErrNotFound.
	Rerate(ctx context.Context, id int64) (Rerate, error)
	// Rerates returns them, the latest first, below the id before (0: all);
	// with a state only those.
	Rerates(ctx context.Context, state string, before int64, limit int) ([]Rerate, error)
	// RerateRows returns its rows in the order of their pass ids, after one.
	RerateRows(ctx context.Context, id int64, after string, limit int) ([]RerateRow, error)
	// RerateCustomers returns what was done, by customer, in the order of their
	// names, after one; each customer once.
	RerateCustomers(ctx context.Context, id int64, after string, limit int) ([]RerateCustomer, error)
	// FinishRerate marks a running one done if no row is pending.
	FinishRerate(ctx context.Context, id int64, at time.Time) (Rerate, error)
	// Restate is Rejudging's.
	Restate(ctx context.Context, r Restatement) error
	// List is Reading's.
	List(ctx context.Context, f Filter) ([]Pass, error)
}
