package parking

import (
	"context"
	"time"
)

// Once names a request that may be sent more than once: the store does its
// effect at most once and keeps the answer with it.
type Once struct {
	// Scope tells callers and operations apart: "operator POST
	// /v1/carparks/{id}/allocations".
	Scope string
	// Key is the caller's Idempotency-Key.
	Key string
	// Fingerprint is a digest of the request; another one under the same key is
	// ErrKeyReused.
	Fingerprint [32]byte
}

// Answer is what was answered to a request, kept for its repetitions.
type Answer struct {
	Status int
	Body   []byte
	// Location is the header of that name; may be empty.
	Location string
	// Replayed says that the effect is of an earlier request.
	Replayed bool
}

// Keep says how the answer to a request is kept for its repetitions. The zero
// value keeps nothing.
type Keep[T any] struct {
	// Once is nil where a repetition is another request.
	Once *Once
	// Encode makes the answer of what was done; needed where Once is set. It
	// has no effects of its own: it may be called for an outcome that then
	// does not come about.
	Encode func(T) Answer
}

// Answer is what is kept of the outcome v; the zero Answer without Encode.
func (k Keep[T]) Answer(v T) Answer {
	if k.Encode == nil {
		return Answer{}
	}
	return k.Encode(v)
}

// Result is what a request came to. Where Answer.Replayed is set the request
// was a repetition: Answer is what was answered the first time, and Value is
// zero.
type Result[T any] struct {
	Value  T
	Answer Answer
}

// Claim asks for one bay for one vehicle.
type Claim struct {
	// Allocation in state Assigned, revision 1, with its id made by the caller.
	Allocation Allocation
	// Command is the order to the machine, nil for a bay without one.
	Command *Command
	// Once may be nil: then a repetition is another claim.
	Once *Once
	// Answer is kept under Once if the claim succeeds.
	Answer Answer
}

// ClaimOutcome is what became of a claim. Exactly one of the cases holds: Err
// nil and not Replayed (the bay is the vehicle's), Answer.Replayed (an earlier
// request with the key had its effect; Answer is its answer), or Err:
// ErrBayTaken, ErrHasBay (a *HasBayError: the vehicle has another allocation that
// has not ended), ErrKeyReused, ErrKeyBusy (the key is under way in this process),
// ErrConflict (the allocation's id exists already), ErrInvalid.
type ClaimOutcome struct {
	Answer Answer
	Err    error
}

// Departure ends an allocation: the vehicle is gone, the bay free.
type Departure struct {
	Allocation string
	// To is Gone or Cancelled.
	To         State
	By, Reason string
	Once       *Once
	Answer     Answer
}

// DepartureOutcome is like ClaimOutcome; Err may be ErrNotFound, ErrConflict
// (the allocation may not go there from its state, or has ended),
// ErrKeyReused, ErrKeyBusy or ErrInvalid. A departure with By and Reason ends
// anything but a block, which ends as Gone. After is the allocation as it
// stands.
type DepartureOutcome struct {
	After  Allocation
	Answer Answer
	Err    error
}

// Occupancy is the live picture of one car park, of one instant.
type Occupancy struct {
	// Active are the allocations that have not ended, blocks too.
	Active   []Allocation
	Machines []MachineStatus
	// Queue are the commands that have not ended, in order of DueAt, id.
	Queue []Command
	// Due are reservations that count by the store's clock, with Start before
	// the horizon asked for.
	Due []Reservation
}

// Definition is a car park's definition as it was put.
type Definition struct {
	CarPark string
	Version int64
	// Document is the site file's text.
	Document []byte
	PutAt    time.Time
	By       string
}

// Bays is the fast part of the store: whole batches in one transaction. All
// methods are safe for concurrent use, by several processes too. A context
// that ends leaves the outcome unknown; the same request again, with its Once,
// finds out. Where the clocks of two processes disagree, the store puts an
// AssignedAt, or EndedAt, as late as it must be for no two allocations of a bay
// to overlap.
type Bays interface {
	// Claim tries all claims in one transaction: each gets its bay unless
	// another holds it. One claim's failure costs its neighbours nothing. Two
	// claims of one batch for one bay: the first in order wins.
	Claim(ctx context.Context, at time.Time, claims []Claim) ([]ClaimOutcome, error)
	// Depart ends allocations in one transaction, each alone judged.
	Depart(ctx context.Context, at time.Time, departures []Departure) ([]DepartureOutcome, error)
	// Occupancy reads the live picture in one snapshot.
	Occupancy(ctx context.Context, carPark string, horizon time.Time) (Occupancy, error)
}

// Keeping is the rest of the store.
type Keeping interface {
	// Do runs fn in one transaction together with the keeping of its answer
	// under once (nil: not kept). If the key is known already fn is not run and
	// the kept answer comes back, Replayed. Where the database asks to try
	// again, or fn returns ErrStale, fn is run again, a bounded number of
	// times: it must bear that. Errors: ErrKeyReused, ErrKeyBusy, fn's own,
	// which undo everything.
	Do(ctx context.Context, once *Once, fn func(Tx) (Answer, error)) (Answer, error)
	// View runs fn on one snapshot; fn must not write.
	View(ctx context.Context, fn func(Tx) error) error
}

// Page asks for one page of a list: at most Limit items after the id After, in
// order of time and id, latest last. The time of an allocation is AssignedAt;
// that of a stay is its entry, or its exit where the entry is not known.
type Page struct {
	After string
	Limit int
	// From leaves out what has an earlier time; the zero value leaves out
	// nothing.
	From time.Time
}

// Tx is one transaction. Each Put with a revision of 1 adds, and with a higher
// one changes what has the revision before: ErrStale otherwise. Not safe for
// concurrent use.
type Tx interface {
	Spaces
	Passes
	Outages
	NoShows
	Views

	// Lock keeps others with the same name waiting until this transaction ends.
	Lock(ctx context.Context, name string) error

	// Definitions returns the last version of each car park's.
	Definitions(ctx context.Context) ([]Definition, error)
	// PutDefinition stores a new version (the present plus one; 1 at first).
	PutDefinition(ctx context.Context, d Definition) error

	Allocation(ctx context.Context, id string) (Allocation, error)
	// Active returns the allocations of the car park that have not ended.
	Active(ctx context.Context, carPark string) ([]Allocation, error)
	// Allocations lists all, ended ones too, of a car park (empty: of all), by
	// plate or "tag:" + tag if vehicle is not empty.
	Allocations(ctx context.Context, carPark, vehicle string, p Page) ([]Allocation, error)
	// Holding returns the allocation that the vehicle's mark (Allocation.Mark)
	// has and that has not ended, at any car park. ErrNotFound.
	Holding(ctx context.Context, v Vehicle) (Allocation, error)
	// PutAllocation adds or changes; ErrBayTaken where the bay is another's, and
	// ErrHasBay where the vehicle of a new one has another.
	// A move to another bay is a change of Bay, and not at its end. Where State
	// may not follow on the one before: ErrConflict. AssignedAt, once put, stays.
	PutAllocation(ctx context.Context, a Allocation) error

	Machines(ctx context.Context, carPark string) ([]MachineStatus, error)
	PutMachine(ctx context.Context, m MachineStatus) error
	Command(ctx context.Context, id string) (Command, error)
	// Queue returns the commands of the machine (empty: of all) that have not
	// ended, in order of DueAt, id.
	Queue(ctx context.Context, carPark, machine string) ([]Command, error)
	PutCommand(ctx context.Context, c Command) error

	Reservation(ctx context.Context, id string) (Reservation, error)
	// Reservations lists those of the pool (empty: of all) that touch
	// [from, to), whatever their state.
	Reservations(ctx context.Context, carPark, pool string, from, to time.Time) ([]Reservation, error)
	// Lapsed returns at most limit reservations whose stored deadline has
	// passed at the instant and that still say held or confirmed.
	Lapsed(ctx context.Context, at time.Time, limit int) ([]Reservation, error)
	PutReservation(ctx context.Context, r Reservation) error

	// PutLaneEvent adds an event; known reports that the same was there
	// already. ErrConflict if the id stands for other content.
	PutLaneEvent(ctx context.Context, e LaneEvent) (known bool, err error)
	// LaneEvents returns all events of the vehicle at the car park in
	// [from, to), in order of At, id. The vehicle is a Stay's Vehicle: a plate,
	// "tag:" + tag, or "ticket:" + ticket; an event has as many of them as it
	// carries marks, and is found by each.
	LaneEvents(ctx context.Context, carPark, vehicle string, from, to time.Time) ([]LaneEvent, error)

	// LastLaneEvent returns the time of the latest event of the lane; zero if
	// it was never heard of.
	LastLaneEvent(ctx context.Context, carPark, lane string) (time.Time, error)

	Stay(ctx context.Context, id string) (Stay, error)
	// Stays lists the vehicle's stays at the car park (either may be empty): by
	// Vehicle, and by each mark of the stay, as for LaneEvents.
	Stays(ctx context.Context, carPark, vehicle string, p Page) ([]Stay, error)
	// StayOf returns the stay that the allocation belongs to. ErrNotFound.
	StayOf(ctx context.Context, allocation string) (Stay, error)
	// OpenStays counts the stays that are open at the car park, of those that
	// came in by the lane (empty: by any).
	OpenStays(ctx context.Context, carPark, lane string) (int64, error)
	PutStay(ctx context.Context, s Stay) error

	// Order asks the ledger for a charge or payment, in this transaction; a
	// clerk posts it afterwards, at least once.
	Order(ctx context.Context, o LedgerOrder) error

	// PutQuote keeps a quote; Quote returns it. ErrNotFound.
	PutQuote(ctx context.Context, id string, expires time.Time, document []byte) error
	Quote(ctx context.Context, id string) (expires time.Time, document []byte, err error)

	// Raise adds an alarm or leaves one that stands as it is.
	Raise(ctx context.Context, a Alarm) error
	// Clear ends an alarm. ErrNotFound.
	Clear(ctx context.Context, id, by, note string, at time.Time) error
	// Alarms returns those that stand, newest first.
	Alarms(ctx context.Context, carPark string, limit int) ([]Alarm, error)

	// Preference returns the account's word on paying for parking; the zero
	// value if it never said.
	Preference(ctx context.Context, account string) (Preference, error)
	PutPreference(ctx context.Context, p Preference) error
}

// Preference is an account's word on whether its tags and plates pay for
// parking. An individual's do until the account says no; a business account's
// only after it said yes.
type Preference struct {
	Account  string
	Business bool
	// Said reports that the account has spoken; Pays is what it said.
	Said, Pays bool
	At         time.Time
	By         string
}

// PaysParking reports whether the account pays for parking.
func (p Preference) PaysParking() bool {
	if p.Said {
		return p.Pays
	}
	return !p.Business
}

// LedgerOrder is a charge or a payment that the ledger has to post.
type LedgerOrder struct {
	// ID begins with the stay's id and goes on with what is ordered, so that it
	// is posted once.
	ID string
	// Stays are the ids of all stays that the order settles, where there are
	// more than the one that ID begins with. Unposted leaves it empty.
	Stays []string
	// Kind is "charge", "payment" or "refund".
	Kind string
	// Document is the order itself, JSON, in the clerk's form.
	Document []byte
	At       time.Time
}

// HistoryEntry is one change of an allocation, as its history keeps it.
type HistoryEntry struct {
	Allocation string
	// Revision is the one that the change made, from 1.
	Revision int64
	At       time.Time
	// From is empty at first; From and To are the same where something else
	// changed, for instance the bay.
	From, To   State
	Bay        string
	By, Reason string
}

// Histories reads the history of allocations, which is only ever added to.
type Histories interface {
	// History returns every change of the allocation, oldest first. ErrNotFound.
	History(ctx context.Context, allocation string) ([]HistoryEntry, error)
}

// Change tells that an allocation of a vehicle was made or changed.
type Change struct {
	// ID numbers the change, for MarkSeen.
	ID                  int64
	CarPark, Allocation string
	// Vehicle as the allocation has it now.
	Vehicle Vehicle
}

// Changes is the feed of changes of allocations, at least once each: a row is
// added in the transaction of every Claim, Depart and PutAllocation, but for
// blocks. Somebody has to mark them, or they pile up.
type Changes interface {
	// Unseen returns the oldest changes not yet marked, at most limit. It never
	// passes over one whose transaction commits late.
	Unseen(ctx context.Context, limit int) ([]Change, error)
	// MarkSeen takes changes out of the feed; those not in it are no error.
	MarkSeen(ctx context.Context, ids []int64) error
}

// Ledger is what the clerk needs of the store: orders not yet posted.
type Ledger interface {
	// Unposted returns the oldest orders not yet marked, at most limit, in the
	// order in which each stay made them.
	Unposted(ctx context.Context, limit int) ([]LedgerOrder, error)
	MarkPosted(ctx context.Context, ids []string, at time.Time) error
}

// Check is the result of one invariant over the whole store.
type Check struct {
	Invariant  string
	Rows       int64
	Violations []string
}
