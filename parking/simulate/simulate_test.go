package simulate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"freeflow/parking/simulate"

	"pgregory.net/rapid"
)

// script is a demand of known vehicles, on the first day alone.
type script []simulate.Arrival

func (s script) Name() string { return "script" }
func (s script) Note() string { return "made up for a test" }
func (s script) Day(start time.Time, _ *rand.Rand) []simulate.Arrival {
	if start.Day() != 2 {
		return nil
	}
	return s
}

// at is an instant of the first simulated day.
func at(t testing.TB, clock string) time.Time {
	t.Helper()
	v, err := time.ParseInLocation(time.DateTime, "2026-03-02 "+clock, hongKong(t))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func run(t testing.TB, c simulate.Config) simulate.Report {
	t.Helper()
	r, err := simulate.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestByHand follows a few cars through one rack with a pencil. Its ground
// pallets are ready after 10 s and in use for 55; the first of the second tier
// after 10 + 21.429 + 28 s.
func TestByHand(t *testing.T) {
	type waits struct{ mean, longest time.Duration }
	park := build("one", 0, machine("R1", parking.Puzzle, 2, 2, 1, 1)) // bays R1-1-1, R1-2-1, R1-2-2
	car := func(clock string, stay time.Duration) simulate.Arrival {
		return simulate.Arrival{At: at(t, clock), Vehicle: usual, Stay: stay}
	}
	for _, c := range []struct {
		name            string
		cars            script
		pair            bool
		entry, retrieve waits
		refused         int
	}{
		{"one car", script{car("09:00:00", time.Hour)}, true,
			waits{10 * time.Second, 10 * time.Second}, waits{10 * time.Second, 10 * time.Second}, 0},
		// The second one waits for the first one's 55 s, then for gate and lift:
		// its column (the second) has the empty place already.
		{"two at once", script{car("09:00:00", time.Hour), car("09:00:00", 2*time.Hour)}, true,
			waits{(10 + 55 + 38) * time.Second / 2, 93 * time.Second}, waits{(10 + 38) * time.Second / 2, 38 * time.Second}, 0},
		// Both want their cars at once: ready 10 s, driver 45 s, then 38 s.
		{"two back at once", script{car("09:00:00", 2*time.Hour), car("10:00:00", time.Hour)}, true,
			waits{(10 + 38) * time.Second / 2, 38 * time.Second}, waits{(10 + 55 + 38) * time.Second / 2, 93 * time.Second}, 0},
		// The request comes while the car has not been stored: it counts from
		// when the driver is out of the gate.
		{"at once away again", script{car("09:00:00", time.Second)}, true,
			waits{10 * time.Second, 10 * time.Second}, waits{10 * time.Second, 10 * time.Second}, 0},
		{"one too many", script{car("09:00:00", time.Hour), car("09:10:00", time.Hour), car("09:20:00", time.Hour), car("09:30:00", time.Hour)}, true,
			waits{}, waits{}, 1},
	} {
		r := run(t, simulate.Config{CarPark: park, Policy: allocator.Nearest, Days: 1, Demand: c.cars, Pair: c.pair})
		if r.Refused != c.refused || r.Inside != 0 || r.Entry.Count() != len(c.cars)-c.refused || r.Retrieval.Count() != r.Entry.Count() {
			t.Errorf("%s: %d refused, %d inside, %d stored, %d fetched", c.name, r.Refused, r.Inside, r.Entry.Count(), r.Retrieval.Count())
		}
		if c.refused > 0 {
			continue
		}
		for _, w := range []struct {
			name string
			is   *simulate.Waits
			want waits
		}{{"entry", &r.Entry, c.entry}, {"retrieval", &r.Retrieval, c.retrieve}} {
			if w.is.Mean() != w.want.mean || w.is.Quantile(1000) != w.want.longest {
				t.Errorf("%s: %s mean %v, longest %v, want %v", c.name, w.name, w.is.Mean(), w.is.Quantile(1000), w.want)
			}
		}
		if r.Told != r.Retrieval.Count() {
			t.Errorf("%s: %d of %d were there when the driver had been told", c.name, r.Told, r.Retrieval.Count())
		}
	}
}

// TestPairing: a store and a fetch that wait together are done in one cycle,
// which saves the second gate.
func TestPairing(t *testing.T) {
	park := build("one", 0, machine("R1", parking.Puzzle, 2, 2, 1, 1))
	car := func(clock string, stay time.Duration) simulate.Arrival {
		return simulate.Arrival{At: at(t, clock), Vehicle: usual, Stay: stay}
	}
	// At 10:00:20, while the second car is stored, one comes and one goes.
	cars := script{car("09:00:00", time.Hour+20*time.Second), car("10:00:00", 2*time.Hour), car("10:00:21", 2*time.Hour)}
	var means [2]time.Duration
	for i, pair := range []bool{false, true} {
		r := run(t, simulate.Config{CarPark: park, Policy: allocator.Nearest, Days: 1, Demand: cars, Pair: pair})
		means[i] = r.Entry.Mean()
		if got := r.Machines[0].Pairs; got != i {
			t.Errorf("pairing %v: %d pairs", pair, got)
		}
	}
	// One driver of three waits 10 s less.
	if means[0]-means[1] < 3*time.Second {
		t.Errorf("mean entry %v without and %v with pairing", means[0], means[1])
	}
}

// parks are car parks of every kind of machine, small so that they fill up.
func parks() []*parking.CarPark {
	return []*parking.CarPark{
		racks("racks", 2, 3, 3),
		build("tower", 0, machine("T1", parking.Tower, 3, 6, 1, 1)),
		build("shuttle", 0, machine("S1", parking.Shuttle, 2, 4, 2, 2)),
		build("deep", 0, machine("S1", parking.Shuttle, 1, 4, 3, 1)),
		build("mixed", 5, machine("R1", parking.Puzzle, 3, 4, 1, 1), machine("S1", parking.Shuttle, 2, 3, 2, 1), machine("T1", parking.Tower, 2, 4, 1, 1)),
		build("plain", 20),
	}
}

// TestNoCarVanishes: whatever the car park, the policy, the demand and the
// faults, each vehicle is refused or stored, and each that was stored is fetched.
func TestNoCarVanishes(t *testing.T) {
	all := parks()
	rapid.Check(t, func(rt *rapid.T) {
		park := all[rapid.IntRange(0, len(all)-1).Draw(rt, "park")]
		c := simulate.Config{CarPark: park, Policy: rapid.SampledFrom(allocator.Names()).Draw(rt, "policy"), Days: 2,
			Seed: rapid.Uint64Range(1, 1<<40).Draw(rt, "seed"), Idle: rapid.Bool().Draw(rt, "idle"), Pair: rapid.Bool().Draw(rt, "pair"),
			Demand: simulate.Synthetic{Bays: len(park.Bays), LoadPercent: rapid.IntRange(20, 250).Draw(rt, "load"), ErrorPercent: 30,
				Vehicle: usual, ElectricPercent: 20}}
		if rapid.Bool().Draw(rt, "faults") {
			c.Faults = simulate.Faults{MeanHoursBetween: 6, MeanMinutes: 40}
		}
		r, err := simulate.Run(t.Context(), c)
		if err != nil {
			rt.Fatal(err)
		}
		stored, fetched, pairs := 0, 0, 0
		for _, m := range r.Machines {
			stored, fetched, pairs = stored+m.Stored, fetched+m.Fetched, pairs+m.Pairs
		}
		if stored != fetched || r.Inside != 0 || !c.Pair && pairs > 0 {
			rt.Fatalf("%d stored, %d fetched, %d inside at the end, %d pairs", stored, fetched, r.Inside, pairs)
		}
		if r.Entry.Count() != stored || r.Retrieval.Count() != fetched || r.Unfit != 0 {
			rt.Fatalf("%d entries of %d, %d retrievals of %d, %d unfit", r.Entry.Count(), stored, r.Retrieval.Count(), fetched, r.Unfit)
		}
		if len(park.Machines) > 0 && len(park.Bays) == bays(park) && r.Arrived != stored+r.Refused {
			rt.Fatalf("%d arrived, %d stored, %d refused", r.Arrived, stored, r.Refused)
		}
		if r.PeakPermille > 1000 {
			rt.Fatalf("%d thousandths of the bays were taken", r.PeakPermille)
		}
		if r.Total.Count() > 0 && r.Total.Mean()-r.Retrieval.Mean() != 45*time.Second {
			rt.Fatalf("the driver takes %v", r.Total.Mean()-r.Retrieval.Mean())
		}
	})
}

// bays counts the bays of machines.
func bays(c *parking.CarPark) int {
	n := 0
	for i := range c.Bays {
		if c.Bays[i].Machine != "" {
			n++
		}
	}
	return n
}

// TestSameAgain: a run is a function of its configuration, and the seeds differ.
func TestSameAgain(t *testing.T) {
	c := simulate.Config{CarPark: hoiShing(), Policy: allocator.Random, Days: 3, Seed: 5, Idle: true, Pair: true,
		Faults: simulate.Faults{MeanHoursBetween: 20, MeanMinutes: 30},
		Demand: simulate.Synthetic{Bays: 78, LoadPercent: 80, ErrorPercent: 30, Vehicle: usual}}
	a, b := run(t, c), run(t, c)
	if a.Chart() != b.Chart() {
		t.Errorf("the same again is another:\n%s\n%s", a.Chart(), b.Chart())
	}
	c.Seed = 6
	if other := run(t, c); other.Chart() == a.Chart() {
		t.Error("seeds 5 and 6 give the same")
	}
}

// TestFaults: breakdowns make drivers wait and are counted; nobody is sent to a
// machine that is out.
func TestFaults(t *testing.T) {
	c := simulate.Config{CarPark: tungChau(), Policy: allocator.Freeflow, Days: 10, Seed: 1, Idle: true, Pair: true,
		Demand: simulate.Synthetic{Bays: 52, LoadPercent: 80, ErrorPercent: 30, Vehicle: usual}}
	sound := run(t, c)
	c.Faults = simulate.Faults{MeanHoursBetween: 24, MeanMinutes: 60}
	broken := run(t, c)
	faults := 0
	for _, m := range broken.Machines {
		faults += m.Faults
	}
	if faults < 10 || broken.Arrived != sound.Arrived {
		t.Errorf("%d faults; %d arrivals and %d without", faults, broken.Arrived, sound.Arrived)
	}
	if broken.Retrieval.Quantile(990) <= sound.Retrieval.Quantile(990) || broken.InPromise >= sound.InPromise {
		t.Errorf("p99 %v with faults, %v without", broken.Retrieval.Quantile(990), sound.Retrieval.Quantile(990))
	}
}

// TestUnfit: vehicles that no bay admits are not counted as refused.
func TestUnfit(t *testing.T) {
	tall := usual
	tall.HeightMM = 2400
	r := run(t, simulate.Config{CarPark: hoiShing(), Policy: allocator.Freeflow, Days: 1,
		Demand: simulate.Synthetic{Bays: 78, LoadPercent: 50, Vehicle: tall}})
	if r.Arrived == 0 || r.Unfit != r.Arrived || r.Refused != 0 || r.Entry.Count() != 0 {
		t.Errorf("%d arrived, %d unfit, %d refused", r.Arrived, r.Unfit, r.Refused)
	}
}

// TestConfig: what cannot be run is said.
func TestConfig(t *testing.T) {
	good := simulate.Config{CarPark: hoiShing(), Policy: allocator.Freeflow, Days: 1, Demand: script{}}
	for name, change := range map[string]func(*simulate.Config){
		"no car park": func(c *simulate.Config) { c.CarPark = nil },
		"no demand":   func(c *simulate.Config) { c.Demand = nil },
		"no days":     func(c *simulate.Config) { c.Days = 0 },
		"too many":    func(c *simulate.Config) { c.Days = 100_000 },
		"no policy":   func(c *simulate.Config) { c.Policy = "best" },
		"no zone":     func(c *simulate.Config) { p := *c.CarPark; p.Zone = "Nowhere/At_All"; c.CarPark = &p },
	} {
		c := good
		change(&c)
		if _, err := simulate.Run(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if r := run(t, good); r.Arrived != 0 || r.Chart() == "" {
		t.Errorf("an empty day: %+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := simulate.Run(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestChart: the chart has a line for each hour and machine, fits a terminal,
// and says what the demand is.
func TestChart(t *testing.T) {
	samples, err := simulate.HongKong("tdstt46")
	if err != nil {
		t.Fatal(err)
	}
	d, err := simulate.Infer("tdstt46", samples, hongKong(t), usualDay)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, simulate.Config{CarPark: hoiShing(), Policy: allocator.Freeflow, Warmup: 3, Days: 7, Seed: 1, Idle: true, Pair: true,
		Demand: d.At(78, 80, 30, usual)})
	chart := r.Chart()
	for _, want := range []string{"inferred, not observed", "lower bound", "23 |", "R6", "p95", "promise"} {
		if !strings.Contains(strings.Join(strings.Fields(chart), " "), want) {
			t.Errorf("the chart has no %q", want)
		}
	}
	for line := range strings.Lines(chart) {
		if len(strings.TrimRight(line, "\n")) > 100 {
			t.Errorf("longer than 100: %q", line)
		}
	}
	t.Log("\n" + chart)
}

// TestReadVacancies: rows of others, without numbers and repeated ones are left
// out; a row that cannot be read is named.
func TestReadVacancies(t *testing.T) {
	const head = "scraped_at,park_id,name,private_car_vacancy,last_update\n"
	samples, err := simulate.ReadVacancies(strings.NewReader(head+
		"2026-01-29T14:26:06.5+08:00,a,A,27,2026-01-29 14:23:10\n"+
		"2026-01-29T14:26:06.5+08:00,b,B,1,2026-01-29 14:23:10\n"+
		"2026-01-29T15:00:00+08:00,a,A,27,2026-01-29 14:23:10\n"+ // the same number again
		"2026-01-29T15:30:00+08:00,a,A,-1,2026-01-29 15:29:00\n"+ // no data
		"2026-01-29T15:40:00+08:00,a,A,,\n"+
		"2026-01-29T16:00:00+08:00,a,A,20,2026-01-29 17:00:00\n"), "a") // updated in the future
	if err != nil || len(samples) != 2 || samples[0].Free != 27 || samples[1].Free != 20 ||
		!samples[0].At.Equal(time.Date(2026, 1, 29, 6, 23, 10, 0, time.UTC)) ||
		!samples[1].At.Equal(time.Date(2026, 1, 29, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("%v %v", samples, err)
	}
	for name, c := range map[string][2]string{
		"no number":  {head + "2026-01-29T14:26:06+08:00,a,A,many,\n", "line 2"},
		"no time":    {head + "yesterday,a,A,3,\n", "scraped_at"},
		"no column":  {"park_id\n", "scraped_at"},
		"no rows":    {head, `car park "a"`},
		"nothing":    {"", "first line"},
		"short line": {head + "2026-01-29T14:26:06+08:00,a\n", "line 2"},
	} {
		if _, err := simulate.ReadVacancies(strings.NewReader(c[0]), "a"); err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: %v, want %q in it", name, err, c[1])
		}
	}
}

func FuzzReadVacancies(f *testing.F) {
	f.Add("scraped_at,park_id,private_car_vacancy,last_update\n2026-01-29T14:26:06+08:00,a,3,2026-01-29 14:23:10\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		samples, err := simulate.ReadVacancies(strings.NewReader(text), "a")
		if err == nil && len(samples) == 0 {
			t.Fatal("neither samples nor an error")
		}
		for i := 1; i < len(samples); i++ {
			if !samples[i-1].At.Before(samples[i].At) || samples[i].Free < 0 {
				t.Fatalf("%v after %v", samples[i], samples[i-1])
			}
		}
	})
}

// TestInferKnown gives the inference a series that was made from known arrivals
// and a known law, and asks for the occupancy back.
func TestInferKnown(t *testing.T) {
	zone := hongKong(t)
	const bays = 200
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, zone)
	r := rand.New(rand.NewPCG(11, 11))
	changes := map[int64]int{}
	demand := simulate.Synthetic{Bays: bays, LoadPercent: 80, Vehicle: usual}
	for day := range 56 {
		for _, a := range demand.Day(start.AddDate(0, 0, day), r) {
			changes[a.At.Unix()/60]++
			changes[a.At.Add(a.Stay).Unix()/60]--
		}
	}
	var samples []simulate.Sample
	inside := 0
	for minute := start.Unix() / 60; minute < start.AddDate(0, 0, 56).Unix()/60; minute++ {
		inside += changes[minute]
		if minute%40 == 0 {
			samples = append(samples, simulate.Sample{At: time.Unix(minute*60, 0), Free: bays - inside})
		}
	}
	early := func(day time.Time) bool { return day.Before(start.AddDate(0, 0, 28)) }
	d, err := simulate.Infer("known", samples, zone, early)
	if err != nil {
		t.Fatal(err)
	}
	inferred, flat, err := d.MeanError(samples, func(day time.Time) bool { return !early(day) })
	if err != nil {
		t.Fatal(err)
	}
	arrivals := 0.0
	for _, rate := range d.Rates[0] {
		arrivals += rate
	}
	const truth = bays * 80 / 100 * 160 / 100
	t.Logf("off by %.1f bays (flat %.1f), %.0f arrivals a day where there were %d, %d %% stay %d h", inferred, flat, arrivals, truth, d.LongPercent, d.LongHours)
	if inferred > flat/8 {
		t.Errorf("the occupancy is off by %.1f bays, by %.1f for a flat line", inferred, flat)
	}
	if arrivals < truth/3 || arrivals > 2*truth {
		t.Errorf("%.0f arrivals a day, there were %d", arrivals, truth)
	}
}

func ExampleReport_Chart() {
	// An empty day still has a chart.
	var r simulate.Report
	fmt.Println(strings.Count(r.Chart(), "|") > 24)
	// Output: true
}
