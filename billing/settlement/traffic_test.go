package settlement_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"freeflow/billing"
	"freeflow/billing/settlement"
)

var harbour = []string{"CHT", "EHC", "WHC"}

func count(day int64, facility, direction, class string, n int64) settlement.Count {
	return settlement.Count{Day: day, Facility: facility, TollPoint: facility + "-" + direction, Direction: direction, Class: class, Passes: n}
}

func find(t testing.TB, list []settlement.Imbalance, class string) settlement.Imbalance {
	t.Helper()
	for _, one := range list {
		if one.Class == class {
			return one
		}
	}
	t.Fatalf("there is nothing of %s in %+v", class, list)
	return settlement.Imbalance{}
}

// TestHarbour2022 is what an outsider found: 1.2 million more vehicles
// northbound than southbound in 2022, some 50,000 double-deck buses a year.
func TestHarbour2022(t *testing.T) {
	var counts []settlement.Count
	for day := range int64(365) {
		for i, facility := range harbour {
			counts = append(counts, count(day, facility, "S", "private_car", 25_000), count(day, facility, "S", "double_deck_bus", 3_000))
			north := int64(25_000)
			bus := int64(3_000)
			if i == 0 {
				north, bus = north+3_151, bus+137
			}
			counts = append(counts, count(day, facility, "N", "private_car", north), count(day, facility, "N", "double_deck_bus", bus))
		}
	}
	cordon := settlement.Cordon{Name: "harbour", Facilities: harbour, Fleet: map[string]int64{"private_car": 575_000, "double_deck_bus": 6_000}}
	list, err := settlement.Balance(counts, []settlement.Cordon{cordon})
	if err != nil {
		t.Fatal(err)
	}
	all, bus := find(t, list, settlement.AllClasses), find(t, list, "double_deck_bus")
	if all.Net() != 1_200_120 || !all.Flagged || !all.Judged || all.Fleet != 581_000 {
		t.Errorf("all: %+v", all)
	}
	if bus.Net() != 50_005 || !bus.Flagged || bus.Since != 43 {
		t.Errorf("buses: %+v", bus)
	}
}

// TestTenYearsOfBuses: half a million in ten years, day by day too little to see.
func TestTenYearsOfBuses(t *testing.T) {
	var counts []settlement.Count
	for day := range int64(3652) {
		counts = append(counts, count(day, "CHT", "N", "double_deck_bus", 4_137), count(day, "CHT", "S", "double_deck_bus", 4_000))
	}
	list, err := settlement.Balance(counts, []settlement.Cordon{{Name: "harbour", Facilities: harbour, Fleet: map[string]int64{"double_deck_bus": 6_000}}})
	if err != nil {
		t.Fatal(err)
	}
	if bus := find(t, list, "double_deck_bus"); !bus.Flagged || bus.Net() != 500_324 {
		t.Errorf("buses: %+v", bus)
	}
}

// TestBalancedTrafficIsNotFlagged drives real vehicles to and fro: never more on
// the other side than there are.
func TestBalancedTrafficIsNotFlagged(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fleet := rapid.IntRange(1, 30).Draw(rt, "fleet")
		away := make([]bool, fleet)
		var counts []settlement.Count
		for range rapid.IntRange(0, 300).Draw(rt, "crossings") {
			v := rapid.IntRange(0, fleet-1).Draw(rt, "vehicle")
			direction := "N"
			if away[v] {
				direction = "S"
			}
			away[v] = !away[v]
			counts = append(counts, count(int64(len(counts)/10), rapid.SampledFrom(harbour).Draw(rt, "facility"), direction, "taxi", 1))
		}
		list, err := settlement.Balance(counts, []settlement.Cordon{{Name: "harbour", Facilities: harbour, Fleet: map[string]int64{"taxi": int64(fleet)}}})
		if err != nil {
			rt.Fatal(err)
		}
		for _, one := range list {
			if one.Flagged {
				rt.Fatalf("%d vehicles: %+v", fleet, one)
			}
		}
	})
}

func TestBalanceJudgesOnlyWhatItKnows(t *testing.T) {
	counts := []settlement.Count{count(1, "CHT", "N", "taxi", 100), count(1, "CHT", "S", "taxi", 1), count(1, "TLT", "E", "taxi", 1), count(2, "EHC", "N", "tram", 9)}
	if _, err := settlement.Balance(counts, []settlement.Cordon{{Name: "x", Facilities: []string{"CHT", "TLT"}}}); !errors.Is(err, billing.ErrInvalid) {
		t.Errorf("three directions: %v", err)
	}
	list, err := settlement.Balance(counts, []settlement.Cordon{{Name: "harbour", Facilities: harbour, Fleet: map[string]int64{"taxi": 50}}})
	if err != nil {
		t.Fatal(err)
	}
	if taxi := find(t, list, "taxi"); !taxi.Flagged || taxi.Since != 1 {
		t.Errorf("taxis: %+v", taxi)
	}
	if tram := find(t, list, "tram"); tram.Judged || tram.Flagged {
		t.Errorf("trams without a fleet: %+v", tram)
	}
	if all := find(t, list, settlement.AllClasses); all.Judged || all.Flagged {
		t.Errorf("all, of which trams cannot be judged: %+v", all)
	}
	one, err := settlement.Balance(counts[:1], []settlement.Cordon{{Name: "harbour", Facilities: harbour, Fleet: map[string]int64{"taxi": 1}}})
	if err != nil || find(t, one, "taxi").Judged {
		t.Errorf("one direction alone: %+v %v", one, err)
	}
}
