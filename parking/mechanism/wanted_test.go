package mechanism_test

import (
	"errors"
	"testing"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// A car that makes way is not put before one that is wanted sooner, where
// another place is as near.
func TestMakingWayLooksAtWhoIsWanted(t *testing.T) {
	machine := parking.Machine{ID: "S", Mechanism: parking.Shuttle, Tiers: 1, Columns: 4, Depth: 2, Lifts: 1,
		Timing: parking.Timing{GateSeconds: 5, UserSeconds: 20, PitchMM: 2500, TierMM: 2100, SlideMMPerMinute: 30000, LiftMMPerMinute: 15000, TransferSeconds: 10}}
	to := func(wanted int) int {
		m, err := mechanism.New(machine)
		if err != nil {
			t.Fatal(err)
		}
		// Column 0: two cars; column 1: one at the back; columns 2 and 3 empty.
		for _, bay := range []int{0, 1, 3} {
			if err := m.SetOccupied(bay, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.SetWanted(3, wanted); err != nil {
			t.Fatal(err)
		}
		e, err := m.Estimate(mechanism.Operation{Kind: parking.Fetch, Bay: 1})
		if err != nil || len(e.Relocations) != 1 {
			t.Fatalf("%+v, %v", e, err)
		}
		after := m.Clone()
		if applied, err := after.Apply(mechanism.Operation{Kind: parking.Fetch, Bay: 1}); err != nil || applied.Ready != e.Ready {
			t.Fatalf("%+v, %v, estimated %+v", applied, err, e)
		}
		return e.Relocations[0].Bay
	}
	if at := to(0); at != 2 {
		t.Errorf("nobody is wanted: to bay %d", at)
	}
	if at := to(1000); at != 5 {
		t.Errorf("the car behind is wanted: to bay %d", at)
	}
	m, err := mechanism.New(machine)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetWanted(8, 1); !errors.Is(err, mechanism.ErrBay) {
		t.Errorf("a bay that is not there: %v", err)
	}
}
