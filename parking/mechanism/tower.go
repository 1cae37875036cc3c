package mechanism

import (
	"fmt"

	"freeflow/parking"
)

// tower is a circular shaft: one lift with a turntable in the middle, which
// goes up and turns at the same time. It rests where it was last used. Column 0
// faces the gate.
type tower struct {
	floor
	tier, column int
}

func newTower(m parking.Machine) *tower { return &tower{floor: newFloor(m)} }

// place is a position of the lift.
type place struct{ tier, column int }

// move is the time between two positions: the longer of lifting and turning,
// which goes the shorter way round.
func (t *tower) move(a, b place) Millis {
	turns := a.column - b.column
	if turns < 0 {
		turns = -turns
	}
	turns = min(turns, t.machine.Columns-turns)
	columns := Millis(t.machine.Columns)
	turn := (Millis(t.machine.Timing.TurnSeconds)*1000*Millis(turns) + columns - 1) / columns
	return max(t.lift(abs(a.tier-b.tier)), turn)
}

func (t *tower) of(bay int) place { return place{t.slots[bay].Tier, t.slots[bay].Column} }

func (t *tower) Estimate(op Operation) (Estimate, error) {
	e, _, err := t.estimate(op)
	return e, err
}

// estimate adds where the lift rests afterwards.
func (t *tower) estimate(op Operation) (Estimate, place, error) {
	here, gate := place{t.tier, t.column}, place{}
	if err := t.check(op); err != nil {
		return Estimate{}, here, err
	}
	if t.liftsOut > 0 {
		return Estimate{}, here, ErrOut
	}
	bay := t.of(op.Bay)
	var e Estimate
	rest := gate
	switch op.Kind {
	case parking.Store:
		e.Ready = t.gate + t.move(here, gate)
		e.Cycle = e.Ready + t.user + t.move(gate, bay) + t.transfer
		rest = bay
	case parking.Fetch:
		e.Ready = t.gate + t.move(here, bay) + t.transfer + t.move(bay, gate)
		e.Cycle = e.Ready + t.user
	case parking.Relocate:
		from := t.of(op.From)
		e.Cycle = t.gate + t.move(here, from) + t.transfer + t.move(from, bay) + t.transfer
		e.Ready, rest = e.Cycle, bay
	default:
		// A free bay is made ready by waiting at the gate.
		if t.occupied[op.Bay] {
			rest = bay
		}
		if rest != here {
			e.Cycle = t.gate + t.move(here, rest)
		}
		e.Ready = e.Cycle
	}
	return e, rest, nil
}

func (t *tower) Apply(op Operation) (Estimate, error) {
	e, rest, err := t.estimate(op)
	if err != nil {
		return e, fmt.Errorf("machine %q, %s of bay %d: %w", t.machine.ID, op.Kind, op.Bay, err)
	}
	switch op.Kind {
	case parking.Store:
		t.put(op.Bay, true)
		t.promised[op.Bay] = false
	case parking.Fetch:
		t.put(op.Bay, false)
	case parking.Relocate:
		t.put(op.From, false)
		t.put(op.Bay, true)
	}
	t.tier, t.column = rest.tier, rest.column
	return e, nil
}

// Dual stores first and goes from that bay straight to the other one.
func (t *tower) Dual(store, fetch, lift int) (Dual, error) {
	d, _, err := t.dual(store, fetch, lift)
	return d, err
}

func (t *tower) dual(store, fetch, lift int) (Dual, *tower, error) {
	first := Operation{Kind: parking.Store, Bay: store, Lift: lift}
	second := Operation{Kind: parking.Fetch, Bay: fetch, Lift: lift}
	after, other := t.clone(), t.clone()
	s, err := after.Apply(first)
	if err != nil {
		return Dual{}, nil, err
	}
	f, err := after.Apply(second)
	if err != nil {
		return Dual{}, nil, err
	}
	d := Dual{StoreReady: s.Ready, FetchReady: s.Cycle + f.Ready - t.gate, Cycle: s.Cycle + f.Cycle - t.gate}
	separate := s.Cycle + f.Cycle
	if f, err := other.Apply(second); err == nil {
		if s, err := other.Apply(first); err == nil {
			separate = min(separate, f.Cycle+s.Cycle)
		}
	}
	d.Saving = separate - d.Cycle
	return d, after, nil
}

func (t *tower) ApplyDual(store, fetch, lift int) (Dual, error) {
	d, after, err := t.dual(store, fetch, lift)
	if err == nil {
		*t = *after
	}
	return d, err
}

// Idle looks for the bay where the lift would best wait, or the gate.
func (t *tower) Idle(weight Weight) (Operation, int64, bool) {
	if t.liftsOut > 0 {
		return Operation{}, 0, false
	}
	cost := func(at place) int64 {
		var sum int64
		for bay := range t.slots {
			to := place{}
			if t.occupied[bay] {
				to = t.of(bay)
			}
			sum += int64(weight(bay)) * int64(t.move(at, to))
		}
		return sum
	}
	here := place{t.tier, t.column}
	now, best, gain, free := cost(here), Operation{}, int64(0), false
	for bay := range t.slots {
		at := place{}
		if t.occupied[bay] {
			at = t.of(bay)
		} else if free {
			continue // one free bay stands for the gate
		} else {
			free = true
		}
		if g := now - cost(at); at != here && g > gain {
			best, gain = Operation{Kind: parking.Prepare, Bay: bay}, g
		}
	}
	return best, gain, gain > 0
}

func (t *tower) Clone() Model { return t.clone() }

func (t *tower) clone() *tower {
	return &tower{floor: t.copied(), tier: t.tier, column: t.column}
}

func (t *tower) Encode() []byte {
	return append(t.encode(), byte(t.tier), byte(t.column>>8), byte(t.column))
}

func (t *tower) Restore(memory []byte) error {
	occupied, rest, err := t.restore(memory)
	if err != nil {
		return err
	}
	if len(rest) != 3 || int(rest[0]) >= t.machine.Tiers || int(rest[1])<<8|int(rest[2]) >= t.machine.Columns {
		return fmt.Errorf("machine %q: %w", t.machine.ID, ErrMemory)
	}
	t.tier, t.column = int(rest[0]), int(rest[1])<<8|int(rest[2])
	t.take(occupied)
	return nil
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
