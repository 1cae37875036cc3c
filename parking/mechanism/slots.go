// Package mechanism owns the models of the machines that park cars: how long a
// lift-slide rack, a circular shaft tower or a lift-and-shuttle system takes to
// store or fetch a car from the state it is in, what it changes by that, which
// cars have to make way first, and what it can do in idle hours to be faster
// later.
//
// Invariants: no two pallets or cars are ever in one place; none vanishes;
// every car that could be stored can be fetched; an estimate is exactly what
// carrying the same operation out takes.
//
// Not promised: that a real machine keeps to the model. The times are those of
// parking.Timing; acceleration, and drivers slower than UserSeconds, are not in
// it. Nothing here waits or reads a clock; a Model is not safe for concurrent
// use.
package mechanism

import (
	"fmt"
	"strconv"

	"freeflow/parking"
)

// The largest machine that is believed: a slip in a site file must not make a
// million bays.
const (
	maxTiers   = 64
	maxColumns = 512
	maxDepth   = 16
	maxLifts   = 32
	maxSlots   = 20000
)

// Validate says whether the machine can be modelled: sizes, speeds and times in
// range for its kind. The error names the member and what it must be.
func Validate(m parking.Machine) error {
	wrong := func(member string, is, low, high int) error {
		return fmt.Errorf("machine %q: %s is %d and must be %d to %d", m.ID, member, is, low, high)
	}
	lowTiers, lowColumns, topDepth, topLifts := 1, 1, 1, 1
	switch m.Mechanism {
	case parking.Puzzle:
		// One tier would need no empty place and one column no slides; both are
		// no lift-slide racks.
		lowTiers, lowColumns = 2, 2
	case parking.Tower:
		lowColumns = 2
	case parking.Shuttle:
		topDepth, topLifts = maxDepth, maxLifts
	default:
		return fmt.Errorf("machine %q: mechanism is %q and must be %q, %q or %q",
			m.ID, m.Mechanism, parking.Puzzle, parking.Tower, parking.Shuttle)
	}
	t := m.Timing
	for _, r := range [...]struct {
		member        string
		is, low, high int
	}{
		{"tiers", m.Tiers, lowTiers, maxTiers}, {"columns", m.Columns, lowColumns, maxColumns},
		{"depth", m.Depth, 1, topDepth}, {"lifts", m.Lifts, 1, topLifts},
		{"timing.gate_seconds", t.GateSeconds, 0, 3600}, {"timing.user_seconds", t.UserSeconds, 0, 3600},
		{"timing.pitch_mm", t.PitchMM, 1, 100_000}, {"timing.tier_mm", t.TierMM, 1, 100_000},
		{"timing.slide_mm_per_minute", t.SlideMMPerMinute, 1, 1_000_000},
		{"timing.lift_mm_per_minute", t.LiftMMPerMinute, 1, 1_000_000},
		{"timing.turn_seconds", t.TurnSeconds, 0, 3600}, {"timing.transfer_seconds", t.TransferSeconds, 0, 3600},
	} {
		if r.is < r.low || r.is > r.high {
			return wrong(r.member, r.is, r.low, r.high)
		}
	}
	if n := m.Tiers * m.Columns * m.Depth; n > maxSlots {
		return fmt.Errorf("machine %q: %d places and at most %d are modelled", m.ID, n, maxSlots)
	}
	return nil
}

// Slots enumerates the bays of a machine, tier by tier from the gate's level
// up, by column, then from the front of a lane to its back. A rack's tiers
// below the top have Columns-1 pallets and its top tier Columns, which is
// L*C-(L-1) in all. The order is that of a Model's bays. The machine must be
// valid.
func Slots(m parking.Machine) []parking.Slot {
	depth := max(m.Depth, 1)
	slots := make([]parking.Slot, 0, m.Tiers*m.Columns*depth)
	for tier := range m.Tiers {
		columns := m.Columns
		if m.Mechanism == parking.Puzzle && tier < m.Tiers-1 {
			columns--
		}
		for column := range columns {
			for d := range depth {
				slots = append(slots, parking.Slot{Tier: tier, Column: column, Depth: d})
			}
		}
	}
	return slots
}

// BayID is the id of the bay in that slot: machine, tier and column counted from
// 1, and the depth from 1 where the machine's lanes are deeper than one:
// "R2-3-1", "S1-2-7-2".
func BayID(m parking.Machine, s parking.Slot) string {
	id := m.ID + "-" + strconv.Itoa(s.Tier+1) + "-" + strconv.Itoa(s.Column+1)
	if m.Mechanism == parking.Shuttle && m.Depth > 1 {
		id += "-" + strconv.Itoa(s.Depth+1)
	}
	return id
}
