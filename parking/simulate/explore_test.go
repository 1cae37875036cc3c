package simulate_test

import (
	"fmt"
	"os"
	"testing"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"freeflow/parking/mechanism"
	"freeflow/parking/simulate"
)

func racks(id string, n, tiers, columns int) *parking.CarPark {
	c := &parking.CarPark{ID: id, Zone: "Asia/Hong_Kong", PromiseSeconds: 120}
	for i := range n {
		m := parking.Machine{ID: fmt.Sprintf("R%d", i+1), Mechanism: parking.Puzzle, Tiers: tiers, Columns: columns, Depth: 1, Lifts: 1,
			Timing: parking.Timing{GateSeconds: 10, UserSeconds: 45, PitchMM: 2500, TierMM: 2100, SlideMMPerMinute: 7000, LiftMMPerMinute: 4500}}
		c.Machines = append(c.Machines, m)
		for _, s := range mechanism.Slots(m) {
			c.Bays = append(c.Bays, parking.Bay{ID: mechanism.BayID(m, s), Machine: m.ID, Slot: s, Classes: []string{"private"},
				Limits: parking.Limits{LengthMM: 5200, WidthMM: 2200, HeightMM: 2000, WeightKG: 2500}})
		}
	}
	return c
}

var usual = parking.Vehicle{Class: "private", LengthMM: 4500, WidthMM: 1800, HeightMM: 1500, WeightKG: 1500}

func TestExplore(t *testing.T) {
	if os.Getenv("EXPLORE") == "" {
		return
	}
	for _, idle := range []bool{false, true} {
		for _, park := range []*parking.CarPark{racks("hoishing", 6, 3, 5), racks("tungchau", 4, 4, 4)} {
			for _, load := range []int{60, 80, 100} {
				for _, name := range allocator.Names() {
					reports, err := simulate.Compare(t.Context(), simulate.Config{CarPark: park, Warmup: 7, Days: 10, Idle: idle, Pair: true,
						Demand: simulate.Synthetic{Bays: len(park.Bays), LoadPercent: load, ErrorPercent: 30, Vehicle: usual}}, []string{name}, []uint64{1, 2, 3})
					if err != nil {
						t.Fatal(err)
					}
					r := &reports[0]
					fmt.Printf("%v %s %3d %-15s entry %3.0f/%3.0f/%3.0f retr %3.0f/%3.0f/%3.0f ref %d moves %d peak %d promise %d/%d\n", idle, park.ID, load, name,
						r.Entry.Mean().Seconds(), r.Entry.Quantile(500).Seconds(), r.Entry.Quantile(950).Seconds(),
						r.Retrieval.Mean().Seconds(), r.Retrieval.Quantile(500).Seconds(), r.Retrieval.Quantile(950).Seconds(), r.Refused, r.Moves(), r.PeakPermille, r.InPromise, r.Retrieval.Count())
				}
			}
		}
	}
}
