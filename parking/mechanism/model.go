package mechanism

import (
	"errors"
	"fmt"
	"time"

	"freeflow/parking"
)

// Millis is a duration in whole milliseconds. Every single motion is rounded up
// to one, so that a sum of motions is exact.
type Millis int64

// Duration returns the same span as a time.Duration.
func (m Millis) Duration() time.Duration { return time.Duration(m) * time.Millisecond }

// Errors that callers must tell apart.
var (
	// ErrBay: the machine has no bay or lift of that number.
	ErrBay = errors.New("the machine has no such bay")
	// ErrOccupied: a car stands where one would be put.
	ErrOccupied = errors.New("a car stands there")
	// ErrEmpty: no car stands where one would be taken.
	ErrEmpty = errors.New("no car stands there")
	// ErrBlocked: cars would have to make way that nothing orders to, or a
	// deeper place of the lane is still free.
	ErrBlocked = errors.New("the place cannot be reached now")
	// ErrReserve: the last free places are kept, without which a car at the back
	// of a lane could not be fetched any more.
	ErrReserve = errors.New("the last free places are needed for making way")
	// ErrOut: the part of the machine that serves the bay is out of service.
	ErrOut = errors.New("out of service")
	// ErrUnable: a machine of this kind does not do that.
	ErrUnable = errors.New("this kind of machine does not do that")
	// ErrMemory: bytes that are not the encoded state of this machine.
	ErrMemory = errors.New("not the state of this machine")
)

// Operation is one order to a machine. Bays are numbered as in Slots.
type Operation struct {
	Kind parking.CommandKind
	// Bay is where the car goes (Store, Relocate) or comes from (Fetch), or what
	// is made ready (Prepare).
	Bay int
	// From is the bay that a Relocate empties.
	From int
	// Lift is the lift that does it, from 0; 0 where there is one.
	Lift int
}

// Estimate is what an operation takes and needs, from a given state.
type Estimate struct {
	// Ready passes from the order until the driver can act: the pallet or lift
	// open at the gate for a Store, the car at the gate for a Fetch. For a
	// Relocate or Prepare, which have no driver, it is Cycle.
	Ready Millis
	// Cycle passes from the order until the machine (or lift) can begin the next
	// one, with the driver's UserSeconds in it for a Store or Fetch.
	Cycle Millis
	// Slides is the number of tiers that shift.
	Slides int
	// Relocations are the cars that make way first, in order; their time is in
	// Ready and Cycle. Apply does them too. Nil if there are none.
	Relocations []Operation
}

// Dual is a store and a fetch in one cycle.
type Dual struct {
	// StoreReady and FetchReady pass from the order until each driver can act.
	StoreReady, FetchReady Millis
	// Cycle passes until the machine can begin the next order.
	Cycle Millis
	// Saving is the cycle time of the same two operations one after the other,
	// in the better order, less Cycle. Not above 0 means: do not pair them.
	Saving Millis
	// Relocations are as in Estimate.
	Relocations []Operation
}

// Weight tells how much a bay will be asked for soon: the number of operations
// of the bay expected within the time looked ahead, in thousandths. For a bay
// with a car they are fetches, for a free one stores.
type Weight func(bay int) int

// Model is one machine with its present state. A new one is empty, its empty
// places in the last column, its lifts at the gate.
type Model interface {
	// Machine returns what the model was made of.
	Machine() parking.Machine
	// Bays is how many bays there are; Slot says where a bay was built in.
	Bays() int
	Slot(bay int) parking.Slot
	// Occupied reports whether a car stands on the bay. Cars counts them.
	Occupied(bay int) bool
	Cars() int
	// SetOccupied puts the bay's state as an inventory says it, whatever the
	// machine could have done itself.
	SetOccupied(bay int, occupied bool) error
	// SetPromised says that a car is under way to the free bay: no other car is
	// moved there to make way. Storing a car there ends it. It is no part of the
	// encoded state.
	SetPromised(bay int, promised bool) error
	// SetWanted says how soon the car on the bay is expected to be asked for: the
	// larger, the sooner; 0 for nobody knows. A car that makes way is then not put
	// before one that is wanted sooner, if another place is not much further. It
	// moves with the car and is no part of the encoded state.
	SetWanted(bay, wanted int) error
	// Instead is where a car that was promised the free bay is to be stored: the
	// bay itself, or a deeper one of its lane where what stood behind it has left
	// since; the bay could not be stored into any more.
	Instead(bay int) int
	// SetLiftsOut says how many lifts are out of service: the last ones. A rack
	// without its lifts still serves the gate's level.
	SetLiftsOut(lifts int)
	// Estimate says what the operation would take now. It changes nothing.
	Estimate(op Operation) (Estimate, error)
	// Apply carries the operation out; after an error nothing has changed. The
	// estimate is the one that Estimate would have given.
	Apply(op Operation) (Estimate, error)
	// Dual says what storing and fetching in one cycle would take, on the lift
	// of the store. For a rack the two bays may be the same: the arriving car
	// takes the pallet that the other one leaves.
	Dual(store, fetch int, lift int) (Dual, error)
	// ApplyDual carries it out.
	ApplyDual(store, fetch int, lift int) (Dual, error)
	// Idle proposes what the machine can do while nobody waits, so that what is
	// expected is faster by more than it costs: gain is the expected saving, in
	// thousandths of a millisecond for weights in thousandths. ok is false if
	// nothing is worth moving.
	Idle(weight Weight) (op Operation, gain int64, ok bool)
	// Clone returns a copy that shares nothing that changes.
	Clone() Model
	// Encode returns the state as bytes, and Restore takes it over, for
	// parking.MachineStatus.Memory. Bytes of another machine or with two
	// pallets in one place are ErrMemory, and change nothing.
	Encode() []byte
	Restore(memory []byte) error
}

// New returns the model of the machine, empty. The error is Validate's.
func New(m parking.Machine) (Model, error) {
	if err := Validate(m); err != nil {
		return nil, err
	}
	switch m.Mechanism {
	case parking.Puzzle:
		return newRack(m), nil
	case parking.Tower:
		return newTower(m), nil
	default:
		return newLanes(m), nil
	}
}

// StoreTime and FetchTime are the estimates of the two operations drivers wait
// for, on the first lift.
func StoreTime(m Model, bay int) (Estimate, error) {
	return m.Estimate(Operation{Kind: parking.Store, Bay: bay})
}

// FetchTime is StoreTime's counterpart for a car that stands on the bay.
func FetchTime(m Model, bay int) (Estimate, error) {
	return m.Estimate(Operation{Kind: parking.Fetch, Bay: bay})
}

// floor is what all models have: the cars and the machine's times.
type floor struct {
	machine  parking.Machine
	slots    []parking.Slot
	occupied []bool
	promised []bool
	wanted   []int
	cars     int
	liftsOut int

	gate, user, pitch, transfer Millis
}

func newFloor(m parking.Machine) floor {
	f := floor{machine: m, slots: Slots(m)}
	f.occupied, f.promised, f.wanted = make([]bool, len(f.slots)), make([]bool, len(f.slots)), make([]int, len(f.slots))
	f.gate, f.user = Millis(m.Timing.GateSeconds)*1000, Millis(m.Timing.UserSeconds)*1000
	f.transfer = Millis(m.Timing.TransferSeconds) * 1000
	f.pitch = f.along(1)
	return f
}

// travel is how long a distance takes, rounded up.
func travel(mm, mmPerMinute int) Millis {
	return (Millis(mm)*60_000 + Millis(mmPerMinute) - 1) / Millis(mmPerMinute)
}

// along is one motion over that many columns or places; lift one over tiers.
func (f *floor) along(places int) Millis {
	return travel(places*f.machine.Timing.PitchMM, f.machine.Timing.SlideMMPerMinute)
}

func (f *floor) lift(tiers int) Millis {
	return travel(tiers*f.machine.Timing.TierMM, f.machine.Timing.LiftMMPerMinute)
}

func (f *floor) Machine() parking.Machine  { return f.machine }
func (f *floor) Bays() int                 { return len(f.slots) }
func (f *floor) Slot(bay int) parking.Slot { return f.slots[bay] }
func (f *floor) Cars() int                 { return f.cars }
func (f *floor) SetLiftsOut(lifts int)     { f.liftsOut = min(max(lifts, 0), f.machine.Lifts) }

func (f *floor) Occupied(bay int) bool {
	return bay >= 0 && bay < len(f.occupied) && f.occupied[bay]
}

func (f *floor) SetOccupied(bay int, occupied bool) error {
	if bay < 0 || bay >= len(f.occupied) {
		return fmt.Errorf("machine %q, bay %d: %w", f.machine.ID, bay, ErrBay)
	}
	f.put(bay, occupied)
	return nil
}

func (f *floor) SetPromised(bay int, promised bool) error {
	if bay < 0 || bay >= len(f.promised) {
		return fmt.Errorf("machine %q, bay %d: %w", f.machine.ID, bay, ErrBay)
	}
	f.promised[bay] = promised
	return nil
}

func (f *floor) SetWanted(bay, wanted int) error {
	if bay < 0 || bay >= len(f.wanted) {
		return fmt.Errorf("machine %q, bay %d: %w", f.machine.ID, bay, ErrBay)
	}
	f.wanted[bay] = max(wanted, 0)
	return nil
}

func (f *floor) Instead(bay int) int { return bay }

func (f *floor) put(bay int, occupied bool) {
	if f.occupied[bay] == occupied {
		return
	}
	f.occupied[bay] = occupied
	if occupied {
		f.cars++
	} else {
		f.cars--
		f.wanted[bay] = 0
	}
}

// check refuses what no state could allow, and a store onto a car or a fetch of
// none. The errors carry no text of their own: an estimate of a whole machine
// asks for each bay, and most answers are thrown away.
func (f *floor) check(op Operation) error {
	if op.Bay < 0 || op.Bay >= len(f.slots) || op.Lift < 0 || op.Lift >= f.machine.Lifts {
		return ErrBay
	}
	switch op.Kind {
	case parking.Store:
		if f.occupied[op.Bay] {
			return ErrOccupied
		}
	case parking.Fetch:
		if !f.occupied[op.Bay] {
			return ErrEmpty
		}
	case parking.Relocate:
		if op.From < 0 || op.From >= len(f.slots) {
			return ErrBay
		}
		if f.occupied[op.Bay] || f.promised[op.Bay] {
			return ErrOccupied
		}
		if !f.occupied[op.From] {
			return ErrEmpty
		}
	case parking.Prepare:
	default:
		return ErrUnable
	}
	return nil
}

// copied returns the floor with cars of its own.
func (f *floor) copied() floor {
	c := *f
	c.occupied = append([]bool(nil), f.occupied...)
	c.promised = append([]bool(nil), f.promised...)
	c.wanted = append([]int(nil), f.wanted...)
	return c
}

// The encoded state: a version, the kind, the sizes, the cars as bits, and what
// each kind adds.
const memoryVersion = 1

func (f *floor) encode() []byte {
	b := []byte{memoryVersion, f.machine.Mechanism[0], byte(f.machine.Tiers), byte(f.machine.Columns >> 8),
		byte(f.machine.Columns), byte(f.machine.Depth)}
	bits := make([]byte, (len(f.occupied)+7)/8)
	for i, o := range f.occupied {
		if o {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return append(b, bits...)
}

// restore reads what encode wrote and returns the cars and the rest.
func (f *floor) restore(memory []byte) (occupied []bool, rest []byte, err error) {
	empty := floor{machine: f.machine, occupied: make([]bool, len(f.slots))}
	head := empty.encode()
	const header = 6
	if len(memory) < len(head) || string(memory[:header]) != string(head[:header]) {
		return nil, nil, fmt.Errorf("machine %q: %w", f.machine.ID, ErrMemory)
	}
	for i := range empty.occupied {
		empty.occupied[i] = memory[header+i/8]&(1<<(i%8)) != 0
	}
	return empty.occupied, memory[len(head):], nil
}

// take replaces the cars.
func (f *floor) take(occupied []bool) {
	for i, o := range occupied {
		f.put(i, o)
	}
}
