package simulate_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"freeflow/parking/simulate"
)

// TestTable makes the tables of docs/parking-allocation.md, with one day of one
// seed unless FREEFLOW_SEEDS says how many (20 in the docs), each then of five
// days after three of learning.
func TestTable(t *testing.T) {
	n, days, warmup := 1, 1, 1
	if s := os.Getenv("FREEFLOW_SEEDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			t.Fatalf("FREEFLOW_SEEDS is %q and must be a number from 1", s)
		}
		days, warmup = 5, 3
	}
	var b strings.Builder
	table := func(title string, park *parking.CarPark, demand simulate.Demand, idle, early bool) {
		reports, err := simulate.Compare(t.Context(), simulate.Config{CarPark: park, Warmup: warmup, Days: days, Pair: true, Idle: idle,
			Early: early, Demand: demand}, allocator.Names(), seeds(n))
		if err != nil {
			t.Fatal(err)
		}
		for i := range reports {
			r := &reports[i]
			if len(r.Seeds) != n || r.Arrived == 0 {
				t.Errorf("%s: %d seeds, %d arrivals", r.Policy, len(r.Seeds), r.Arrived)
			}
			spread := func(of func(*simulate.Report) time.Duration) string {
				low, high := of(&r.Seeds[0]), of(&r.Seeds[0])
				for j := range r.Seeds {
					low, high = min(low, of(&r.Seeds[j])), max(high, of(&r.Seeds[j]))
				}
				return fmt.Sprintf("%.0f–%.0f", low.Seconds(), high.Seconds())
			}
			entry := func(r *simulate.Report) time.Duration { return r.Entry.Quantile(950) }
			retrieval := func(r *simulate.Report) time.Duration { return r.Retrieval.Mean() }
			kept := 0
			if c := r.Retrieval.Count(); c > 0 {
				kept = r.InPromise * 1000 / c
			}
			fmt.Fprintf(&b, "| %s | %s | %.0f / %.0f / %.0f (%s) | %.0f / %.0f / %.0f (%s) | %.0f | %.0f | %d | %.1f | %.1f |\n", title, r.Policy,
				r.Entry.Mean().Seconds(), r.Entry.Quantile(500).Seconds(), entry(r).Seconds(), spread(entry),
				r.Retrieval.Mean().Seconds(), r.Retrieval.Quantile(500).Seconds(), r.Retrieval.Quantile(950).Seconds(), spread(retrieval),
				r.Total.Mean().Seconds(), r.Way().Seconds(), r.Refused, float64(kept)/10, float64(r.Moves())/float64(r.Arrived))
			title = ""
		}
	}
	synthetic := func(park *parking.CarPark, load int, v parking.Vehicle) simulate.Demand {
		return simulate.Synthetic{Bays: len(park.Bays), LoadPercent: load, ErrorPercent: 30, Vehicle: v}
	}
	zone := hongKong(t)
	for _, site := range []struct {
		name, id string
		bare     *parking.CarPark
	}{{"hoi-shing-road", "tdstt46", hoiShing()}, {"tung-chau-street", "tdstt90", tungChau()}} {
		park, v := sample(t, site.name)
		// Drivers at the gate at once and slides on demand: as the figures by which
		// the targets were set.
		for _, load := range []int{60, 80, 100} {
			table(fmt.Sprintf("%s, %d %%: A", site.name, load), site.bare, synthetic(site.bare, load, usual), false, false)
		}
		for _, load := range []int{60, 80, 100} {
			table(fmt.Sprintf("%s, %d %%: B", site.name, load), park, synthetic(park, load, v), true, false)
		}
		for _, load := range []int{60, 80, 100} {
			table(fmt.Sprintf("%s, %d %%: C", site.name, load), park, synthetic(park, load, v), true, true)
		}
		samples, err := simulate.HongKong(site.id)
		if err != nil {
			t.Fatal(err)
		}
		d, err := simulate.Infer(site.id, samples, zone, usualDay)
		if err != nil {
			t.Fatal(err)
		}
		table(fmt.Sprintf("%s, inferred, peak 80 %%: C", site.name), park, d.At(len(park.Bays), 80, 30, v), true, true)
	}
	t.Log("\n" + b.String())
}
