package simulate_test

import (
	"fmt"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// usual is a car that all test bays admit.
var usual = parking.Vehicle{Class: "private_car", LengthMM: 4500, WidthMM: 1800, HeightMM: 1500, WeightKG: 1500}

// build makes a car park of machines and of bays that drivers drive into.
func build(id string, plain int, machines ...parking.Machine) *parking.CarPark {
	c := &parking.CarPark{ID: id, Zone: "Asia/Hong_Kong", PromiseSeconds: 120, Machines: machines}
	for _, m := range machines {
		for _, s := range mechanism.Slots(m) {
			c.Bays = append(c.Bays, parking.Bay{ID: mechanism.BayID(m, s), Machine: m.ID, Slot: s, Classes: []string{"private_car"},
				Limits: parking.Limits{LengthMM: 5200, WidthMM: 2200, HeightMM: 2000, WeightKG: 2500}})
		}
	}
	for i := range plain {
		c.Bays = append(c.Bays, parking.Bay{ID: fmt.Sprintf("P%03d", i+1), Classes: []string{"private_car"}, WalkMetres: i, DriveSeconds: 30})
	}
	return c
}

func machine(id string, kind parking.Mechanism, tiers, columns, depth, lifts int) parking.Machine {
	return parking.Machine{ID: id, Mechanism: kind, Tiers: tiers, Columns: columns, Depth: depth, Lifts: lifts,
		Timing: parking.Timing{GateSeconds: 10, UserSeconds: 45, PitchMM: 2500, TierMM: 2100, SlideMMPerMinute: 7000,
			LiftMMPerMinute: 4500, TurnSeconds: 40, TransferSeconds: 8}}
}

// racks are n racks of one size.
func racks(id string, n, tiers, columns int) *parking.CarPark {
	var all []parking.Machine
	for i := range n {
		all = append(all, machine(fmt.Sprintf("R%d", i+1), parking.Puzzle, tiers, columns, 1, 1))
	}
	return build(id, 0, all...)
}

// hoiShing and tungChau are the two real layouts: 6 racks of 3 tiers and 5
// columns (78 cars), 4 racks of 4 and 4 (52 cars).
func hoiShing() *parking.CarPark { return racks("tdstt46", 6, 3, 5) }
func tungChau() *parking.CarPark { return racks("tdstt90", 4, 4, 4) }
