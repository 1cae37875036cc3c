package parking

import (
	"slices"
	"time"
)

// State is where an allocation stands.
type State string

// The states of an allocation.
const (
	// Assigned: the bay is the vehicle's; it is on its way, or at the gate.
	Assigned State = "assigned"
	// Moving: the machine is storing it.
	Moving State = "moving"
	// Stored: it stands in its bay.
	Stored State = "stored"
	// Retrieving: its driver wants it; it is queued or under way to the gate.
	Retrieving State = "retrieving"
	// Staged: it stands at the gate, open for its driver.
	Staged State = "staged"
	// Unknown: what the machine says and what was believed do not agree, or
	// nobody knows how a movement ended. A person decides; the bay stays taken.
	Unknown State = "unknown"
	// Gone: it has left; the bay is free. Final.
	Gone State = "gone"
	// Cancelled: it never came. Final.
	Cancelled State = "cancelled"
	// Blocked: nobody may use the bay; there is no vehicle. The end of a block
	// is Gone.
	Blocked State = "blocked"
)

// transitions are what may follow a state. Staff may end anything, and from
// Unknown to wherever the truth is, with a reason.
var transitions = map[State][]State{
	Assigned:   {Moving, Stored, Retrieving, Gone, Cancelled, Unknown},
	Moving:     {Stored, Unknown, Assigned, Retrieving},
	Stored:     {Retrieving, Gone, Unknown},
	Retrieving: {Staged, Stored, Gone, Unknown},
	Staged:     {Gone, Stored, Moving, Unknown},
	Unknown:    {Assigned, Stored, Retrieving, Staged, Gone, Cancelled},
	Blocked:    {Gone},
}

// May reports whether an allocation in this state may go to the next.
func (s State) May(next State) bool { return slices.Contains(transitions[s], next) }

// Final reports whether the state is an end: the bay is free again.
func (s State) Final() bool { return s == Gone || s == Cancelled }

// Allocation is a bay given to a vehicle, or taken from all (a block), from
// AssignedAt to EndedAt. Over that time no other allocation holds the bay.
type Allocation struct {
	// ID is 32 lower-case hex digits from crypto/rand: who knows it may ask for
	// the car.
	ID      string
	CarPark string
	Bay     string
	// Machine is the bay's machine; empty for a bay that drivers drive into.
	Machine string
	Vehicle Vehicle
	State   State
	// Revision counts the changes, from 1.
	Revision int64
	// Instants, zero where it has not come to that. PromisedAt is when the
	// driver was told that the car would be at the gate.
	AssignedAt, StoredAt, RequestedAt, PromisedAt, StagedAt, EndedAt time.Time
	// ComeBy is until when the vehicle is waited for, while it is only Assigned;
	// zero: it is known to have come, or nobody waits for it.
	ComeBy time.Time
	// NotBefore is a pre-request's wish; zero for a request for now.
	NotBefore time.Time
	// ExpectedStayMinutes is what the driver or the forecast says; 0 unknown.
	ExpectedStayMinutes int
	// Reservation is the id of the reservation that it answers.
	Reservation string
	// Stay is the id of the stay that it belongs to.
	Stay string
	// Why says why this bay, Next which bay would have been next.
	Why, Next string
	// Beside says that staff gave the bay to a vehicle that has another one: it
	// does not count for the one that a vehicle may have. Once put, it stays.
	Beside bool
	// ReadySeconds is how long the driver was told to wait at the gate.
	ReadySeconds int
	// By and Reason are set where a person, and not the allocator, decided
	// last; and on blocks.
	By, Reason string
}

// Mark is the name under which a vehicle has at most one allocation that has
// not ended, whatever the car park: its plate, or "tag:" and its tag where the
// plate is not known. Empty for blocks, for vehicles without marks, and for
// what staff gave beside another.
func (a *Allocation) Mark() string {
	switch {
	case a.Beside || a.State == Blocked:
		return ""
	case a.Vehicle.Plate != "":
		return a.Vehicle.Plate
	case a.Vehicle.Tag != "":
		return "tag:" + a.Vehicle.Tag
	default:
		return ""
	}
}
