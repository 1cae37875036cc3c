package mechanism_test

import (
	"testing"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// timing is that of the racks in Hong Kong (Tung Chau Street's speeds as
// published in dimsumdaily 2024-04-20; pitch and tier assumed).
var timing = parking.Timing{GateSeconds: 10, UserSeconds: 45, PitchMM: 2500, TierMM: 2100,
	SlideMMPerMinute: 7000, LiftMMPerMinute: 4500, TurnSeconds: 40, TransferSeconds: 8}

func puzzle(tiers, columns int) parking.Machine {
	return parking.Machine{ID: "R1", Mechanism: parking.Puzzle, Tiers: tiers, Columns: columns, Depth: 1, Lifts: 1, Timing: timing}
}

func tower(tiers, columns int) parking.Machine {
	return parking.Machine{ID: "T1", Mechanism: parking.Tower, Tiers: tiers, Columns: columns, Depth: 1, Lifts: 1, Timing: timing}
}

func shuttle(tiers, columns, depth, lifts int) parking.Machine {
	return parking.Machine{ID: "S1", Mechanism: parking.Shuttle, Tiers: tiers, Columns: columns, Depth: depth, Lifts: lifts, Timing: timing}
}

// TestSlots counts the bays of the real machines: a rack of L tiers and C
// columns holds L*C-(L-1) cars, which is 13 at Hoi Shing Road and at Tung Chau
// Street; a cylinder of Sham Shui Po's plan 60.
func TestSlots(t *testing.T) {
	for _, c := range []struct {
		machine     parking.Machine
		bays        int
		first, last string
	}{
		{puzzle(3, 5), 13, "R1-1-1", "R1-3-5"},
		{puzzle(4, 4), 13, "R1-1-1", "R1-4-4"},
		{tower(6, 10), 60, "T1-1-1", "T1-6-10"},
		{shuttle(3, 8, 2, 2), 48, "S1-1-1-1", "S1-3-8-2"},
		{shuttle(3, 8, 1, 2), 24, "S1-1-1", "S1-3-8"},
	} {
		if err := mechanism.Validate(c.machine); err != nil {
			t.Error(err)
		}
		slots := mechanism.Slots(c.machine)
		if len(slots) != c.bays {
			t.Errorf("%v: %d bays, want %d", c.machine, len(slots), c.bays)
			continue
		}
		seen := map[string]bool{}
		for _, s := range slots {
			seen[mechanism.BayID(c.machine, s)] = true
		}
		if len(seen) != c.bays {
			t.Errorf("%v: %d different ids of %d bays", c.machine, len(seen), c.bays)
		}
		first, last := mechanism.BayID(c.machine, slots[0]), mechanism.BayID(c.machine, slots[len(slots)-1])
		if first != c.first || last != c.last {
			t.Errorf("%v: bays %s to %s, want %s to %s", c.machine, first, last, c.first, c.last)
		}
	}
}

// TestValidate refuses machines that cannot be, and says which member is wrong.
func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*parking.Machine){
		"no kind":       func(m *parking.Machine) { m.Mechanism = "crane" },
		"no tiers":      func(m *parking.Machine) { m.Tiers = 0 },
		"one column":    func(m *parking.Machine) { m.Columns = 1 },
		"too many":      func(m *parking.Machine) { m.Columns = 100_000 },
		"deep rack":     func(m *parking.Machine) { m.Depth = 2 },
		"two lifts":     func(m *parking.Machine) { m.Lifts = 2 },
		"no lift speed": func(m *parking.Machine) { m.Timing.LiftMMPerMinute = 0 },
		"no pitch":      func(m *parking.Machine) { m.Timing.PitchMM = 0 },
		"negative gate": func(m *parking.Machine) { m.Timing.GateSeconds = -1 },
	} {
		m := puzzle(3, 5)
		change(&m)
		if err := mechanism.Validate(m); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
