package simulate_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"freeflow/parking/simulate"
	"freeflow/parking/sites"
)

// less is by how many per cent a is below b.
func less(a, b time.Duration) float64 { return 100 * (1 - a.Seconds()/b.Seconds()) }

func seeds(n int) []uint64 {
	s := make([]uint64, n)
	for i := range s {
		s[i] = uint64(i + 1)
	}
	return s
}

// sample is a shipped site, and a car that its machines admit.
func sample(t testing.TB, name string) (*parking.CarPark, parking.Vehicle) {
	t.Helper()
	park, _, err := sites.Sample(name)
	if err != nil {
		t.Fatal(err)
	}
	v := usual
	v.Class = park.Bays[0].Classes[0]
	return park, v
}

// target compares the policy with random and nearest on one car park.
func target(t *testing.T, park *parking.CarPark, v parking.Vehicle, idle, early bool, wantEntry float64) {
	t.Helper()
	const wantRetrieval = 30.0
	reports, err := simulate.Compare(t.Context(), simulate.Config{CarPark: park, Warmup: 2, Days: 2, Pair: true, Idle: idle, Early: early,
		Demand: simulate.Synthetic{Bays: len(park.Bays), LoadPercent: 80, ErrorPercent: 30, Vehicle: v}},
		[]string{allocator.Freeflow, allocator.Nearest, allocator.Random}, seeds(20))
	if err != nil {
		t.Fatal(err)
	}
	ours, nearest, random := &reports[0], &reports[1], &reports[2]
	if ours.Arrived != nearest.Arrived || ours.Arrived != random.Arrived {
		t.Fatalf("%s: %d, %d and %d arrivals", park.ID, ours.Arrived, nearest.Arrived, random.Arrived)
	}
	retrieval := less(ours.Retrieval.Mean(), random.Retrieval.Mean())
	entry := less(ours.Entry.Quantile(950), nearest.Entry.Quantile(950))
	t.Logf("%s, idle slides %v, early %v: retrieval %.0f %% below random, entry p95 %.0f %% below nearest\n%s",
		park.ID, idle, early, retrieval, entry, simulate.Table(reports))
	if retrieval < wantRetrieval {
		t.Errorf("%s, idle slides %v: mean retrieval is %.1f %% below random, want %.0f", park.ID, idle, retrieval, wantRetrieval)
	}
	if entry < wantEntry {
		t.Errorf("%s, idle slides %v: entry p95 is %.1f %% below nearest, want %.0f", park.ID, idle, entry, wantEntry)
	}
	if ours.Refused > min(nearest.Refused, random.Refused) {
		t.Errorf("%s: %d refusals, %d and %d by the others", park.ID, ours.Refused, nearest.Refused, random.Refused)
	}
	for i := range ours.Seeds {
		if a, b := ours.Seeds[i].Retrieval.Mean(), random.Seeds[i].Retrieval.Mean(); a >= b {
			t.Errorf("%s, seed %d: mean retrieval %v, random %v", park.ID, i+1, a, b)
		}
	}
}

// TestTargets is the proof that issue 3 asks for: on the two real layouts at 80
// % load, seeds 1 to 20, the policy beats random by 30 % in mean retrieval and
// plain nearest by 15 % in the 95th percentile of entry, on the same demand and
// with the same relocation rule.
//
// It holds with slides on demand alone and the driver at the gate at once, as in
// the figures by which the targets were set, and on the shipped sites, with their
// ways, where the machine uses idle time and gets ready while the driver drives.
// Where it uses idle time and begins only when the car is there, nearest reaches
// at Hoi Shing Road what no policy can better (TestTopTierBound): there the
// target is missed, and the policy must not be worse.
func TestTargets(t *testing.T) {
	for _, park := range []*parking.CarPark{hoiShing(), tungChau()} {
		target(t, park, usual, false, false, 15)
	}
	for _, name := range []string{"hoi-shing-road", "tung-chau-street"} {
		park, v := sample(t, name)
		target(t, park, v, true, true, 15)
		want := 15.0
		if name == "hoi-shing-road" {
			want = 0
		}
		target(t, park, v, true, false, want)
	}
}

// TestTopTierBound shows why no policy has an entry p95 below 66 s at Hoi Shing
// Road at 80 % load where racks begin when the car is at the gate: with every stay known beforehand, so many cars are
// inside at the peak that more than a twentieth of all arrivals must be stored
// in the top tier, where a driver waits 66 s (gate and lift) even if nothing has
// to slide.
func TestTopTierBound(t *testing.T) {
	const low = 6 * (4 + 4) // bays below the top tier
	demand := simulate.Synthetic{Bays: 78, LoadPercent: 80, ErrorPercent: 30, Vehicle: usual}
	tops, all := 0, 0
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed+1, 1))
		for day := range 10 {
			type change struct {
				at time.Time
				by int
			}
			var changes []change
			arrivals := demand.Day(time.Date(2026, 3, 2+day, 0, 0, 0, 0, time.UTC), r)
			for _, a := range arrivals {
				changes = append(changes, change{a.At, 1}, change{a.At.Add(a.Stay), -1})
			}
			slices.SortFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })
			inside, peak := 0, 0
			for _, c := range changes {
				inside += c.by
				peak = max(peak, inside)
			}
			tops, all = tops+max(0, peak-low), all+len(arrivals)
		}
	}
	share := float64(tops) * 100 / float64(all)
	t.Logf("at least %.1f %% of the arrivals are stored in the top tier", share)
	if share <= 5 {
		t.Errorf("at least %.1f %% of the arrivals are stored in the top tier: the bound does not hold any more", share)
	}
}
