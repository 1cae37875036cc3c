// Package rackemu owns an emulated controller of a parking machine: a client of
// the operators' API that asks for orders, carries them out in a physical world
// of its own, where each car really is, and reports. It fails now and then, by
// seed, as real controllers do: it refuses, stalls, starts anew in the middle of
// a movement and remembers nothing, loses an answer, reports twice, and has
// sensors that do not know.
//
// Invariants: the world never holds two cars on one pallet, on the lift or at
// the gate, whatever is ordered; what is said of the world is true, or
// "unknown", never false; the same seed, clock and answers give the same course.
//
// Not promised: the motions of a particular maker's machine. One car moves at a
// time, also in machines with several lifts.
package rackemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// ErrRefused marks an error of an API that the same call would meet again: the
// controller drops what it wanted to say.
var ErrRefused = errors.New("refused")

// Order is what a machine is told to do.
type Order struct {
	ID         string              `json:"id"`
	Kind       parking.CommandKind `json:"kind"`
	Allocation string              `json:"allocation,omitempty"`
	Bay        string              `json:"bay"`
	From       string              `json:"from,omitempty"`
}

// Turn is the answer to a poll.
type Turn struct {
	Order           *Order
	InventoryWanted bool
	RetryAfter      time.Duration
}

// Seen is a bay, or the gate (GateItem), as the sensors see it.
type Seen struct {
	Bay      string           `json:"bay"`
	Presence parking.Presence `json:"presence"`
}

// GateItem names the gate in an inventory.
const GateItem = "gate"

// Report is what the controller says of an order.
type Report struct {
	Boot     string           `json:"boot"`
	Command  string           `json:"command,omitempty"`
	State    string           `json:"state"`
	Presence parking.Presence `json:"presence,omitempty"`
	Detail   string           `json:"detail,omitempty"`
}

// API is the way to the centre for one machine. Client is the one over HTTP.
type API interface {
	Inventory(ctx context.Context, boot string, seen []Seen) error
	Next(ctx context.Context, boot string) (Turn, error)
	Report(ctx context.Context, r Report) error
}

// Faults are how often something goes wrong, each in thousandths: of orders
// (Refuse, Stall), of the steps of a movement (Restart), of calls (LoseReply: it
// was heard and the answer is lost), of reports (Repeat) and of readings
// (Unsure).
type Faults struct {
	Refuse, Stall, Restart, LoseReply, Repeat, Unsure int
}

// Settings make a Rack.
type Settings struct {
	CarPark *parking.CarPark
	Machine string
	API     API
	Clock   clock.Clock
	Log     *slog.Logger
	// Seed decides which faults happen when.
	Seed   uint64
	Faults Faults
	// Forecourt is where cars wait for the machine; shared by the machines of a
	// site.
	Forecourt *Forecourt
	// Patience is how long the machine waits for the car of an order, and a
	// driver is assumed to have left then; 0: 5 minutes.
	Patience time.Duration
	// Crash is asked at each point of each movement, in addition to
	// Faults.Restart; nil: never.
	Crash func(kind parking.CommandKind, point string) bool
}

// Rack is one machine with its controller. Safe for concurrent use.
type Rack struct {
	s     Settings
	api   API
	clock clock.Clock

	mu  sync.Mutex
	rng *rand.Rand
	truth
	memory
	boots  int
	counts Counts
}

// truth is where things really are; it survives every restart.
type truth struct {
	model mechanism.Model
	own   map[string]int
	// in are the cars by bay, gate and lift the cars there (allocation ids).
	in         map[string]string
	gate, lift string
	// fetched says that the car at the gate was brought there, and leaves when
	// its driver drives off.
	fetched bool
	leaves  time.Time
	// aim is where the movement was to end whose car is on the lift; empty: at
	// the gate.
	aim string
	// source is the bay that the car on the lift was taken from, or whose pallet
	// it is on.
	source string
	gone   map[string]bool
}

// memory is what the controller knows; a restart empties it.
type memory struct {
	boot       string
	reconciled bool
	order      *Order
	point      string
	// until is when the present point ends.
	until time.Time
	// patience is until when the car of a store order is waited for.
	patience time.Time
	// told are the last reports of ended orders, by id; order of ids for the
	// bound.
	told    map[string]Report
	ids     []string
	staged  string
	outbox  []Report
	nextAsk time.Time
}

// Counts are what a rack did.
type Counts struct {
	Stored, Fetched, Moved, Refused, Restarts, Repeats, Lost, Dropped, Rescued int
}

// New returns a rack with no car in it, at rest, that has just been switched on.
func New(s Settings) (*Rack, error) {
	m, ok := s.CarPark.Machine(s.Machine)
	if !ok {
		return nil, fmt.Errorf("emulating machine %q of %s: %w", s.Machine, s.CarPark.ID, parking.ErrNotFound)
	}
	model, err := mechanism.New(*m)
	if err != nil {
		return nil, fmt.Errorf("emulating a machine: %w", err)
	}
	if s.API == nil || s.Clock == nil || s.Log == nil || s.Forecourt == nil {
		return nil, errors.New("emulating a machine: API, Clock, Log and Forecourt are needed")
	}
	if s.Patience <= 0 {
		s.Patience = 5 * time.Minute
	}
	r := &Rack{s: s, api: s.API, clock: s.Clock, rng: rand.New(rand.NewPCG(s.Seed, uint64(len(s.Machine)))), truth: truth{model: model,
		own: map[string]int{}, in: map[string]string{}, gone: map[string]bool{}}}
	slots := map[parking.Slot]int{}
	for i := range model.Bays() {
		slots[model.Slot(i)] = i
	}
	for i := range s.CarPark.Bays {
		if b := &s.CarPark.Bays[i]; b.Machine == s.Machine {
			r.own[b.ID] = slots[b.Slot]
		}
	}
	r.switchOn()
	return r, nil
}

// switchOn begins another run of the controller, which knows nothing.
func (r *Rack) switchOn() {
	r.boots++
	r.memory = memory{boot: fmt.Sprintf("%s-boot-%d-%d", r.s.Machine, r.s.Seed, r.boots), told: map[string]Report{}}
}

// Restart is a power cut: what moves stops where it is.
func (r *Rack) Restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.Restarts++
	r.switchOn()
}

// Counts returns what was done so far.
func (r *Rack) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// chance draws a fault.
func (r *Rack) chance(permille int) bool { return permille > 0 && r.rng.IntN(1000) < permille }

// Where a car is.
const (
	Nowhere = "nowhere"
	AtGate  = "gate"
	OnLift  = "lift"
	Left    = "left"
	// InBay is followed by the bay's id.
	InBay = "bay:"
)

// Where says where the car of an allocation really is, in this machine: one of
// the words above.
func (r *Rack) Where(allocation string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.gate == allocation:
		return AtGate
	case r.lift == allocation:
		return OnLift
	case r.gone[allocation]:
		return Left
	}
	for bay, car := range r.in {
		if car == allocation {
			return InBay + bay
		}
	}
	return Nowhere
}

// Cars are how many cars are in the machine, at its gate and on its lift.
func (r *Rack) Cars() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.in)
	if r.gate != "" {
		n++
	}
	if r.lift != "" {
		n++
	}
	return n
}

// Rescue is people cranking the lift to where it was going, by hand, or to the
// gate where that place is not free. It returns where the car of the lift is
// now, and its allocation; empty if there was none, no place for it, or the
// machine is at work with it.
func (r *Rack) Rescue() (allocation, where string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lift == "" || r.order != nil {
		return "", ""
	}
	car := r.lift
	switch {
	case r.aim != "" && r.in[r.aim] == "":
		r.in[r.aim] = car
		where = InBay + r.aim
	case r.gate == "":
		r.gate, r.fetched, r.leaves = car, true, r.clock.Now().Add(r.user())
		where = AtGate
	default:
		return "", ""
	}
	r.lift, r.aim, r.source = "", "", ""
	r.counts.Rescued++
	return car, where
}

func (r *Rack) user() time.Duration {
	return time.Duration(r.model.Machine().Timing.UserSeconds) * time.Second
}

// Forecourt is where cars wait to be stored. Safe for concurrent use.
type Forecourt struct {
	mu      sync.Mutex
	waiting map[string]bool
}

// NewForecourt returns an empty one.
func NewForecourt() *Forecourt { return &Forecourt{waiting: map[string]bool{}} }

// Arrive puts the car of an allocation before the machines.
func (f *Forecourt) Arrive(allocation string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting[allocation] = true
}

// Leave is a driver who turns round; false if the car does not wait there.
func (f *Forecourt) Leave(allocation string) bool { return f.take(allocation) }

// Waits reports whether the car is there.
func (f *Forecourt) Waits(allocation string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting[allocation]
}

func (f *Forecourt) take(allocation string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	waits := f.waiting[allocation]
	delete(f.waiting, allocation)
	return waits
}
