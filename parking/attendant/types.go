package attendant

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"freeflow/parking"
)

// Errors beside those of package parking.
var (
	// ErrBusy: too much waits already, or the service is stopping. Nothing was
	// done; the same request may be sent again after a moment.
	ErrBusy = errors.New("too much is waiting; nothing was done")
	// ErrInventoryFirst: the controller's inventory of this run is wanted
	// before anything else.
	ErrInventoryFirst = errors.New("the machine's inventory is wanted first")
)

// LimitError says that the vehicle may never stand in any bay of the car park:
// the obstacles are those of the bay that comes nearest, the fewest first.
type LimitError struct {
	CarPark   string
	Obstacles []parking.Obstacle
}

// Error says which limits are broken, without marks of the vehicle.
func (e *LimitError) Error() string {
	texts := make([]string, len(e.Obstacles))
	for i, o := range e.Obstacles {
		texts[i] = o.Text()
	}
	return fmt.Sprintf("no bay of %s is for this vehicle: %s", e.CarPark, strings.Join(texts, "; "))
}

// NoBayError says that bays for the vehicle exist, and that none is free by a
// reading of the store at At.
type NoBayError struct {
	CarPark string
	At      time.Time
}

// Error says so.
func (e *NoBayError) Error() string {
	return fmt.Sprintf("no bay of %s that fits this vehicle is free", e.CarPark)
}

// InsideError says that the vehicle, by its plate or tag, has a bay already and
// is in it, or may be. The plate may be read wrongly, or used twice: an alarm is
// raised, and staff can give the driver a bay all the same (Assign).
type InsideError struct {
	// Allocation is the one that it has, at CarPark.
	Allocation, CarPark string
}

// Error says so, without marks of the vehicle.
func (e *InsideError) Error() string {
	return fmt.Sprintf("the vehicle has a bay at %s already, by allocation %s", e.CarPark, e.Allocation)
}

// Unwrap is parking.ErrHasBay.
func (e *InsideError) Unwrap() error { return parking.ErrHasBay }

// Keep and Result are how every request that changes something is made and
// answered.
type (
	Keep[T any]   = parking.Keep[T]
	Result[T any] = parking.Result[T]
)

// AllocateRequest asks for a bay for a vehicle at the gate.
type AllocateRequest struct {
	CarPark string
	Vehicle parking.Vehicle
	// ExpectedStayMinutes is 0 where nobody knows.
	ExpectedStayMinutes int
	// Reservation is the id of the confirmed reservation that the driver
	// answers; empty for none. Its pool is the driver's then.
	Reservation string
	// Pool is the pool that the driver has a right to, by a pass; empty: none.
	Pool string
	// Stay is the stay that the allocation belongs to; may be empty.
	Stay string
	// By is the person or lane that asks, for the record.
	By string
	// Refuse makes the answer to be kept under Keep.Once for a *LimitError,
	// *NoBayError or *InsideError; false: it is not kept, and a repetition tries anew. May be
	// nil: nothing is kept.
	Refuse func(error) (parking.Answer, bool)
}

// Given is a bay given to a vehicle.
type Given struct {
	parking.Allocation
	// Level is the bay's level.
	Level string
	// Hint says why the bay is not ready for long after what the site promises:
	// the queue before it, when it is its turn, and an entrance that is sooner.
	// Empty where the wait is within the promise.
	Hint string
	// AlreadyInside says that the plate or tag had a bay already, as far as this
	// process knew, and that the driver has this one all the same: staff gave it,
	// or the two share only a tag. An alarm is raised if the store says so too.
	AlreadyInside bool
	// Same says that this is the bay that the vehicle was given before, by
	// another request: it has not come to it yet.
	Same bool
}

// EndRequest ends an allocation.
type EndRequest struct {
	Allocation string
	// By and Reason are the person's and their reason, where one decided.
	By, Reason string
}

// MoveRequest moves an allocation to another bay, by staff.
type MoveRequest struct {
	Allocation, Bay string
	// By and Reason are needed.
	By, Reason string
}

// AssignRequest gives a particular bay to a vehicle, by staff.
type AssignRequest struct {
	CarPark, Bay        string
	Vehicle             parking.Vehicle
	ExpectedStayMinutes int
	Stay                string
	// By and Reason are needed.
	By, Reason string
}

// BlockRequest closes a bay, or opens it again.
type BlockRequest struct {
	CarPark, Bay string
	// By and Reason are needed.
	By, Reason string
}

// RetrieveRequest asks for a car.
type RetrieveRequest struct {
	Allocation string
	// NotBefore is when it is wanted; zero or past: now.
	NotBefore time.Time
	By        string
}

// Retrieval is where a wanted car stands in the queue.
type Retrieval struct {
	Allocation parking.Allocation
	// Position counts from 1, the next to come; 0: there is no queue (no
	// machine, or it stands at the gate).
	Position int
	// PromisedAt is when it will be at the gate; zero: nobody can say, for the
	// reason in Note.
	PromisedAt time.Time
	// Note says why there is no promise.
	Note string
}

// ResolveRequest says what is true of an allocation that is Unknown.
type ResolveRequest struct {
	Allocation string
	// To is one of the states that may follow Unknown. Assigned: the car is at
	// the gate, to be stored. Retrieving: it stands in its bay and is wanted.
	To parking.State
	// Bay is where the car stands, if that is another bay than the
	// allocation's: a movement between the two was interrupted. Empty: its own.
	Bay string
	// By and Reason are needed.
	By, Reason string
}

// ReserveRequest asks for a right to a bay of a pool over [Start, End).
type ReserveRequest struct {
	CarPark, Pool string
	Vehicle       parking.Vehicle
	Account       string
	Start, End    time.Time
	Quote         string
}

// FullError says that the pool has no place left over the time asked for.
type FullError struct {
	CarPark, Pool string
	// Limit is how many may be promised at once, Peak how many are.
	Limit, Peak int
}

// Error says so.
func (e *FullError) Error() string {
	return fmt.Sprintf("pool %s of %s has no place over this time: %d of %d are promised", e.Pool, e.CarPark, e.Peak, e.Limit)
}

// InventoryReport is what a controller sees in all bays of its machine. A bay
// that is missing counts as unknown, and one whose car or pallet is away on the
// lift has to be unknown. The item named GateItem is the gate: occupied by a car
// that was let in or brought there, not by those that wait before it.
type InventoryReport struct {
	CarPark, Machine, Boot string
	Items                  []parking.InventoryItem
}

// GateItem names the machine's gate among the items of an inventory.
const GateItem = "gate"

// Poll is a controller asking what to do.
type Poll struct {
	CarPark, Machine, Boot string
}

// Turn is the answer to a Poll.
type Turn struct {
	// Command is the order; nil: nothing to do now. The same order may come
	// again until the controller reports about it; its id says so.
	Command *parking.Command
	// InventoryWanted says that the controller has to send its inventory first.
	InventoryWanted bool
	// RetryAfter is how soon to ask again.
	RetryAfter time.Duration
}

// What a controller reports of a command.
const (
	ReportRunning = "running"
	ReportDone    = "done"
	// ReportFailed: nothing was moved.
	ReportFailed = "failed"
	// ReportGone: the driver left from the gate, with the car that was fetched
	// or instead of storing it.
	ReportGone = "gone"
)

// Report is what a controller says about a command.
type Report struct {
	CarPark, Machine, Boot string
	// Command is the command's id; empty only for ReportGone from a controller
	// that does not remember which car stood at its gate.
	Command string
	// State is one of the Report words.
	State string
	// Presence is what the sensor of the command's bay says now (for
	// ReportGone: the gate's); empty: not said.
	Presence parking.Presence
	// Detail is for people; cut at 500 bytes.
	Detail string
}

// ServiceRequest takes a machine, or some of its lifts, out of service or back.
type ServiceRequest struct {
	CarPark, Machine string
	// LiftsOut is how many lifts are out while the rest of the machine serves
	// (a rack without its lift still serves the gate's level). 0: the whole
	// machine is out. SetIn ignores it.
	LiftsOut int
	// By and Reason are needed.
	By, Reason string
}

// Counts are the free bays of a car park.
type Counts struct {
	CarPark string
	// At is when the store was read.
	At time.Time
	// Age is how old that is now.
	Age time.Duration
	// Total and Free are over all bays; Blocked are closed ones, OutOfService
	// free ones in machines that are out.
	Total, Free, Blocked, OutOfService int
	// Classes are by vehicle class; a bay that admits several counts in each.
	Classes map[string]ClassCount
	// Pools are by pool id; their bays count in Classes too.
	Pools map[string]ClassCount
}

// ClassCount counts bays. A bay is free if no allocation holds it and its
// machine serves. General are those neither accessible nor in a pool.
type ClassCount struct {
	Total, Free          int
	General, GeneralFree int
	EV, EVFree           int
	// GeneralEV are general bays with a charger.
	GeneralEV, GeneralEVFree   int
	Accessible, AccessibleFree int
	InPool, InPoolFree         int
}

// PromiseFigures are how promises were kept, over the latest retrievals whose
// end this process was told (at most 4096).
type PromiseFigures struct {
	CarPark string
	Samples int
	// WaitP50 and WaitP95 are from request (or the time asked for) to the car
	// at the gate; WithUserP50 and WithUserP95 to the driver gone.
	WaitP50, WaitP95, WithUserP50, WithUserP95 time.Duration
	// LateP50 and LateP95 are the arrival less the promise; negative: early.
	LateP50, LateP95 time.Duration
	// KeptPermille were not later than promised, WithinPermille not later than
	// the site's own figure after the request.
	KeptPermille, WithinPermille int
	// Site is the site's own figure; 0: none.
	Site time.Duration
}
