package mechanism

import (
	"fmt"

	"freeflow/parking"
)

// rack is a lift-slide puzzle: every tier below the top has one empty place. A
// pallet of tier l comes down in its own column, for which each tier below it
// must have its empty place there. Where that is not so, the pallets between
// shift by one place at once; all tiers shift at the same time.
//
// Times (shared facts of the project, section 3.1; the model agrees with the
// published 2 minutes and 3 minutes at the top of Hoi Shing Road, oncc
// 2021-11-24, and with the speeds of Tung Chau Street, dimsumdaily 2024-04-20):
//
//	ready = gate + max over k<l of [empty(k) != column]*pitch/slide + l*tier/lift
//	cycle = ready + user + l*tier/lift
//
// The pallet goes back up with or without its car, so that between orders all
// pallets are in their tiers.
type rack struct {
	floor
	// at[tier][column] is the bay (pallet) that stands there, or nobody.
	at [][]int
	// column[bay] is where the pallet stands now; empty[tier] the empty place.
	column, empty []int
}

// nobody is the empty place.
const nobody = -1

func newRack(m parking.Machine) *rack {
	r := &rack{floor: newFloor(m), at: make([][]int, m.Tiers), empty: make([]int, m.Tiers-1)}
	r.column = make([]int, len(r.slots))
	for tier := range r.at {
		r.at[tier] = make([]int, m.Columns)
		for c := range r.at[tier] {
			r.at[tier][c] = nobody
		}
	}
	for bay, s := range r.slots {
		r.at[s.Tier][s.Column], r.column[bay] = bay, s.Column
	}
	for tier := range r.empty {
		r.empty[tier] = m.Columns - 1
	}
	return r
}

// slides returns how many tiers below the bay have to shift.
func (r *rack) slides(bay int) int {
	n := 0
	for k := range r.slots[bay].Tier {
		if r.empty[k] != r.column[bay] {
			n++
		}
	}
	return n
}

// shift makes the column of the bay empty on all tiers below it.
func (r *rack) shift(bay int) {
	c := r.column[bay]
	for k := range r.slots[bay].Tier {
		step := 1
		if c < r.empty[k] {
			step = -1
		}
		for r.empty[k] != c {
			moved := r.at[k][r.empty[k]+step]
			r.at[k][r.empty[k]], r.column[moved] = moved, r.empty[k]
			r.empty[k] += step
			r.at[k][r.empty[k]] = nobody
		}
	}
}

func (r *rack) usable(bay int) error {
	if r.liftsOut > 0 && r.slots[bay].Tier > 0 {
		return ErrOut
	}
	return nil
}

func (r *rack) Estimate(op Operation) (Estimate, error) {
	if err := r.check(op); err != nil {
		return Estimate{}, err
	}
	if err := r.usable(op.Bay); err != nil {
		return Estimate{}, err
	}
	if op.Kind == parking.Relocate {
		return Estimate{}, ErrUnable
	}
	e := Estimate{Slides: r.slides(op.Bay)}
	if e.Slides > 0 {
		e.Ready = r.pitch
	}
	if op.Kind == parking.Prepare {
		if e.Slides > 0 {
			e.Ready += r.gate
		}
		e.Cycle = e.Ready
		return e, nil
	}
	up := r.lift(r.slots[op.Bay].Tier)
	e.Ready += r.gate + up
	e.Cycle = e.Ready + r.user + up
	return e, nil
}

func (r *rack) Apply(op Operation) (Estimate, error) {
	e, err := r.Estimate(op)
	if err != nil {
		return e, fmt.Errorf("machine %q, %s of bay %d: %w", r.machine.ID, op.Kind, op.Bay, err)
	}
	r.shift(op.Bay)
	switch op.Kind {
	case parking.Store:
		r.put(op.Bay, true)
		r.promised[op.Bay] = false
	case parking.Fetch:
		r.put(op.Bay, false)
	}
	return e, nil
}

// Dual fetches first, so that the gate is free for the arriving car. Its gate
// checks run while the first pallet goes up; on the same pallet nothing has to
// move between the two drivers at all.
func (r *rack) Dual(store, fetch, lift int) (Dual, error) {
	d, _, err := r.dual(store, fetch, lift)
	return d, err
}

func (r *rack) dual(store, fetch, lift int) (Dual, *rack, error) {
	first := Operation{Kind: parking.Fetch, Bay: fetch, Lift: lift}
	second := Operation{Kind: parking.Store, Bay: store, Lift: lift}
	after := r.clone()
	f, err := after.Apply(first)
	if err != nil {
		return Dual{}, nil, err
	}
	s, err := after.Apply(second)
	if err != nil {
		return Dual{}, nil, err
	}
	d := Dual{FetchReady: f.Ready}
	if store == fetch {
		d.StoreReady = f.Ready + r.user
		d.Cycle = d.StoreReady + r.user + r.lift(r.slots[store].Tier)
	} else {
		d.StoreReady = f.Cycle + s.Ready - r.gate
		d.Cycle = f.Cycle + s.Cycle - r.gate
	}
	separate := f.Cycle + s.Cycle
	if store != fetch {
		separate = min(separate, r.oneByOne(second, first))
	}
	d.Saving = separate - d.Cycle
	return d, after, nil
}

// oneByOne is the time of two operations that are possible in that order.
func (r *rack) oneByOne(a, b Operation) Millis {
	c := r.clone()
	first, err := c.Apply(a)
	if err != nil {
		return 1 << 40
	}
	second, err := c.Apply(b)
	if err != nil {
		return 1 << 40
	}
	return first.Cycle + second.Cycle
}

func (r *rack) ApplyDual(store, fetch, lift int) (Dual, error) {
	d, after, err := r.dual(store, fetch, lift)
	if err == nil {
		*r = *after
	}
	return d, err
}

// Idle looks for the bay whose making ready helps most: all bays above the gate
// in that column gain a slide if they are wanted, and those that were ready
// lose theirs.
func (r *rack) Idle(weight Weight) (Operation, int64, bool) {
	if r.liftsOut > 0 {
		return Operation{}, 0, false
	}
	weights := make([]int64, len(r.slots))
	for bay := range r.slots {
		if r.slots[bay].Tier > 0 {
			weights[bay] = int64(weight(bay))
		}
	}
	var best Operation
	var bestGain int64
	for bay := range r.slots {
		if r.slots[bay].Tier == 0 || r.slides(bay) == 0 {
			continue
		}
		var gain int64
		for other := range r.slots {
			if weights[other] == 0 {
				continue
			}
			before, after := r.slides(other) == 0, r.readyAfter(other, bay)
			switch {
			case after && !before:
				gain += weights[other] * int64(r.pitch)
			case before && !after:
				gain -= weights[other] * int64(r.pitch)
			}
		}
		if gain > bestGain {
			best, bestGain = Operation{Kind: parking.Prepare, Bay: bay}, gain
		}
	}
	return best, bestGain, bestGain > 0
}

// readyAfter reports whether other would be ready if prepared were made so. A
// pallet of a tier that shifts is not: the empty places below it are then in the
// column of its own tier's empty place, where it is not.
func (r *rack) readyAfter(other, prepared int) bool {
	target, top := r.column[prepared], r.slots[prepared].Tier
	if r.slots[other].Tier < top {
		return false
	}
	for k := range r.slots[other].Tier {
		e := r.empty[k]
		if k < top {
			e = target
		}
		if e != r.column[other] {
			return false
		}
	}
	return true
}

func (r *rack) Clone() Model { return r.clone() }

func (r *rack) clone() *rack {
	c := &rack{floor: r.copied(), at: make([][]int, len(r.at))}
	for tier := range r.at {
		c.at[tier] = append([]int(nil), r.at[tier]...)
	}
	c.column = append([]int(nil), r.column...)
	c.empty = append([]int(nil), r.empty...)
	return c
}

// Encode adds the column of each pallet, in two bytes.
func (r *rack) Encode() []byte {
	b := r.encode()
	for _, c := range r.column {
		b = append(b, byte(c>>8), byte(c))
	}
	return b
}

func (r *rack) Restore(memory []byte) error {
	occupied, rest, err := r.restore(memory)
	if err != nil {
		return err
	}
	wrong := fmt.Errorf("machine %q: %w", r.machine.ID, ErrMemory)
	if len(rest) != 2*len(r.slots) {
		return wrong
	}
	fresh := newRack(r.machine)
	for tier := range fresh.at {
		for c := range fresh.at[tier] {
			fresh.at[tier][c] = nobody
		}
	}
	for bay := range r.slots {
		c, tier := int(rest[2*bay])<<8|int(rest[2*bay+1]), r.slots[bay].Tier
		if c >= r.machine.Columns || fresh.at[tier][c] != nobody {
			return wrong
		}
		fresh.at[tier][c], fresh.column[bay] = bay, c
	}
	for tier := range fresh.empty {
		for c, bay := range fresh.at[tier] {
			if bay == nobody {
				fresh.empty[tier] = c
			}
		}
	}
	r.at, r.column, r.empty = fresh.at, fresh.column, fresh.empty
	r.take(occupied)
	return nil
}
