package allocator_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"freeflow/parking/mechanism"

	"pgregory.net/rapid"
)

var (
	timing = parking.Timing{GateSeconds: 10, UserSeconds: 45, PitchMM: 2500, TierMM: 2100, SlideMMPerMinute: 7000, LiftMMPerMinute: 4500}
	car    = parking.Vehicle{Class: "private_car", LengthMM: 4500, WidthMM: 1800, HeightMM: 1500, WeightKG: 1500}
	limits = parking.Limits{LengthMM: 5200, WidthMM: 2200, HeightMM: 2000, WeightKG: 2500}
	monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
)

// racks is a car park of racks of 3 tiers and 5 columns, 13 cars each; plain adds
// bays that drivers drive into.
func racks(n, plain int) *parking.CarPark {
	c := &parking.CarPark{ID: "test", Zone: "Asia/Hong_Kong", PromiseSeconds: 120}
	for i := range n {
		m := parking.Machine{ID: fmt.Sprintf("R%d", i+1), Mechanism: parking.Puzzle, Tiers: 3, Columns: 5, Depth: 1, Lifts: 1, Timing: timing}
		c.Machines = append(c.Machines, m)
		for _, s := range mechanism.Slots(m) {
			c.Bays = append(c.Bays, parking.Bay{ID: mechanism.BayID(m, s), Machine: m.ID, Slot: s,
				Classes: []string{"private_car"}, Limits: limits})
		}
	}
	for i := range plain {
		c.Bays = append(c.Bays, parking.Bay{ID: fmt.Sprintf("P-%04d", i+1), Classes: []string{"private_car"},
			WalkMetres: 10 + i%200, DriveSeconds: 20 + i%90})
	}
	return c
}

func view(t testing.TB, c *parking.CarPark) *allocator.View {
	t.Helper()
	l, err := allocator.NewLayout(c)
	if err != nil {
		t.Fatal(err)
	}
	v := allocator.NewView(l)
	v.At = monday
	for i, m := range c.Machines {
		model, err := mechanism.New(m)
		if err != nil {
			t.Fatal(err)
		}
		v.SetMachine(i, model, model)
	}
	return v
}

// TestChoose is the order of the reasons, one case each.
func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name  string
		park  func(*parking.CarPark)
		given func(*allocator.View)
		ask   allocator.Request
		want  string
		says  string
	}{
		{name: "ground first", want: "R1-1-1", says: "R1 is idle"},
		{name: "the queue counts", want: "R2-1-1", says: "R2 is idle",
			given: func(v *allocator.View) { v.SetWait(0, 60_000, 0) }},
		{name: "a short queue at the ground beats an idle rack's top", want: "R1-1-1", says: "busy for 20 s",
			given: func(v *allocator.View) {
				v.SetWait(0, 20_000, 0)
				for i := range v.Layout().Bays() {
					if m, _ := v.Layout().Place(i); m == 1 && v.Layout().CarPark().Bays[i].Slot.Tier == 0 {
						v.SetFree(i, false)
					}
				}
			}},
		{name: "the rack that expects less", want: "R2-1-1",
			given: func(v *allocator.View) { v.SetWait(0, 0, 2000); v.SetWait(1, 0, 500) }},
		{name: "out of service", want: "R2-1-1", given: func(v *allocator.View) {
			for i := range 13 {
				v.SetOut(i, true)
			}
		}},
		{name: "a charger for an electric car", want: "R1-2-2", says: "it has a charger",
			park: func(c *parking.CarPark) { c.Bays[5].EV = true },
			ask:  allocator.Request{Vehicle: parking.Vehicle{Class: "private_car", LengthMM: 4500, WidthMM: 1800, HeightMM: 1500, WeightKG: 1500, EV: true}}},
		{name: "no charger for another", want: "R1-1-2",
			park: func(c *parking.CarPark) { c.Bays[0].EV = true }},
		{name: "accessible for permit holders", want: "R1-2-1", says: "it is accessible",
			park: func(c *parking.CarPark) { c.Bays[4].Accessible = true },
			ask:  allocator.Request{Vehicle: parking.Vehicle{Class: "private_car", LengthMM: 4500, WidthMM: 1800, HeightMM: 1500, WeightKG: 1500, Accessible: true}}},
		{name: "the pool for its holders", want: "R1-3-1", says: "it is of pool season",
			park: func(c *parking.CarPark) { c.Bays[8].Pool = "season" }, ask: allocator.Request{Vehicle: car, Pool: "season"}},
		{name: "a pool that is due for others", want: "R1-1-1",
			park:  func(c *parking.CarPark) { c.Bays[8].Pool = "season" },
			given: func(v *allocator.View) { v.Due["season"] = 1 }, ask: allocator.Request{Vehicle: car, Pool: "season"}},
		{name: "but not for the reservation itself", want: "R1-3-1",
			park:  func(c *parking.CarPark) { c.Bays[8].Pool = "season" },
			given: func(v *allocator.View) { v.Due["season"] = 1 }, ask: allocator.Request{Vehicle: car, Pool: "season", Reserved: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			park := racks(2, 0)
			if c.park != nil {
				c.park(park)
			}
			v := view(t, park)
			if c.given != nil {
				c.given(v)
			}
			if c.ask.Vehicle.Class == "" {
				c.ask.Vehicle = car
			}
			d := allocator.Choose(c.ask, v)
			if d.Verdict != allocator.Found {
				t.Fatalf("nothing found: %s", d.Refusal())
			}
			why, next := d.Explain(0)
			if d.Bay(0) != c.want || !strings.Contains(why, c.says) {
				t.Errorf("chose %s, want %s with %q\nwhy:  %s\nnext: %s\n%+v", d.Bay(0), c.want, c.says, why, next, d.Terms(0))
			}
			if next == "" || !strings.HasPrefix(next, d.Bay(1)) {
				t.Errorf("next is %q and the second is %s", next, d.Bay(1))
			}
		})
	}
}

// TestReservesNeverRefuse: with everything but the most reserved bay taken, the
// car gets that one.
func TestReservesNeverRefuse(t *testing.T) {
	park := racks(1, 0)
	park.Bays[12].EV, park.Bays[12].Limits.HeightMM = true, 2500
	v := view(t, park)
	v.Outlook = allocator.Look(v, allocator.NewForecast(time.UTC), nil)
	for i := range 12 {
		v.SetFree(i, false)
	}
	d := allocator.Choose(allocator.Request{Vehicle: car}, v)
	if d.Verdict != allocator.Found || d.Bay(0) != "R1-3-5" || len(d.Ranked) != 1 {
		t.Fatalf("%+v: the last fitting bay was refused", d.Ranked)
	}
	if _, next := d.Explain(0); next != "" {
		t.Errorf("after the last bay %q is next", next)
	}
}

// TestRefusals tells "full" from "never".
func TestRefusals(t *testing.T) {
	park := racks(1, 0)
	park.Bays[12].Limits.HeightMM = 2100
	v := view(t, park)
	tall := car
	tall.HeightMM = 2050
	d := allocator.Choose(allocator.Request{Vehicle: tall}, v)
	if d.Verdict != allocator.Found || d.Bay(0) != "R1-3-5" {
		t.Fatalf("%d candidates, %s", len(d.Ranked), d.Refusal())
	}
	v.SetFree(12, false)
	if d = allocator.Choose(allocator.Request{Vehicle: tall}, v); d.Verdict != allocator.NoBay || d.Fitting != 1 || d.Taken != 1 || d.Out != 0 {
		t.Errorf("verdict %d: %s", d.Verdict, d.Refusal())
	}
	v.SetFree(12, true)
	v.SetOut(12, true)
	if d = allocator.Choose(allocator.Request{Vehicle: tall}, v); d.Verdict != allocator.NoBay || d.Out != 1 {
		t.Errorf("verdict %d: %s", d.Verdict, d.Refusal())
	}
	for name, c := range map[string]struct {
		change func(*parking.Vehicle)
		want   parking.Obstacle
	}{
		"too tall for the most generous": {func(v *parking.Vehicle) { v.HeightMM = 2200 }, parking.Obstacle{Limit: "height_mm", Allowed: 2100, Given: 2200}},
		"too heavy":                      {func(v *parking.Vehicle) { v.WeightKG = 2600 }, parking.Obstacle{Limit: "weight_kg", Allowed: 2500, Given: 2600}},
		"not measured":                   {func(v *parking.Vehicle) { v.WidthMM = 0 }, parking.Obstacle{Limit: "width_mm", Allowed: 2200}},
		"another class":                  {func(v *parking.Vehicle) { v.Class = "motorcycle" }, parking.Obstacle{Limit: "class"}},
	} {
		vehicle := car
		c.change(&vehicle)
		d := allocator.Choose(allocator.Request{Vehicle: vehicle}, v)
		if d.Verdict != allocator.Limit || d.Obstacle != c.want || d.Refusal() == "" {
			t.Errorf("%s: verdict %d, %+v, want %+v", name, d.Verdict, d.Obstacle, c.want)
		}
	}
}

// TestEveryPolicyRanksWhatFits: for any car park, state and vehicle, every
// policy's candidates are exactly the free bays in service that fit, each once,
// by a count that knows nothing of groups and bit sets.
func TestEveryPolicyRanksWhatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		park := racks(rapid.IntRange(0, 3).Draw(t, "racks"), rapid.IntRange(1, 70).Draw(t, "plain"))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for i := range park.Bays {
			b := &park.Bays[i]
			b.EV, b.Accessible = r.IntN(4) == 0, r.IntN(6) == 0
			b.Pool = []string{"", "", "", "a", "b"}[r.IntN(5)]
			if r.IntN(3) == 0 {
				b.Limits.HeightMM = 1400 + 100*r.IntN(4)
			}
		}
		l, err := allocator.NewLayout(park)
		if err != nil {
			t.Fatal(err)
		}
		v := allocator.NewView(l)
		free := make([]bool, len(park.Bays))
		out := make([]bool, len(park.Bays))
		taken := 0
		for i := range free {
			free[i] = true
		}
		for range 3 * len(park.Bays) {
			i := r.IntN(len(park.Bays))
			if r.IntN(3) == 0 {
				out[i] = !out[i]
				v.SetOut(i, out[i])
			} else {
				free[i] = !free[i]
				v.SetFree(i, free[i])
			}
		}
		request := allocator.Request{Vehicle: car, Pool: []string{"", "a", "b", "c"}[r.IntN(4)]}
		request.Vehicle.Accessible, request.Vehicle.EV = r.IntN(2) == 0, r.IntN(2) == 0
		var want []int
		for i := range park.Bays {
			if !free[i] {
				taken++
			}
			if free[i] && !out[i] && len(park.Bays[i].Obstacles(request.Vehicle, request.Pool)) == 0 {
				want = append(want, i)
			}
		}
		if v.Occupied() != taken {
			t.Fatalf("%d bays are taken and the view counts %d", taken, v.Occupied())
		}
		for _, name := range allocator.Names() {
			p, err := allocator.NewPolicy(name, r)
			if err != nil {
				t.Fatal(err)
			}
			d := p.Choose(request, v)
			got := slices.Clone(d.Ranked)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("%s ranks %v, want %v", name, got, want)
			}
			if (d.Verdict == allocator.Found) != (len(want) > 0) {
				t.Fatalf("%s: verdict %d for %d candidates", name, d.Verdict, len(want))
			}
			if name == allocator.Freeflow {
				for i := 1; i < len(d.Ranked); i++ {
					if d.Terms(i-1).Sum() > d.Terms(i).Sum() {
						t.Fatalf("rank %d costs more than rank %d", i-1, i)
					}
				}
			}
		}
	})
}

// TestRandomIsUniform: over many draws each fitting bay comes first as often.
func TestRandomIsUniform(t *testing.T) {
	v := view(t, racks(1, 0))
	p, err := allocator.NewPolicy(allocator.Random, rand.New(rand.NewPCG(7, 7)))
	if err != nil {
		t.Fatal(err)
	}
	counts := make([]int, v.Layout().Bays())
	const draws = 13_000
	for range draws {
		d := p.Choose(allocator.Request{Vehicle: car}, v)
		counts[d.Ranked[0]]++
	}
	for bay, n := range counts {
		if n < 850 || n > 1150 {
			t.Errorf("bay %d came first %d times of %d (seed 7)", bay, n, draws)
		}
	}
}

// TestShadowPrice: where the low bays are expected to be short, who stays long
// is sent up and who stays briefly is not; where half of the bays stay free
// nobody is.
func TestShadowPrice(t *testing.T) {
	park := racks(6, 0)
	for name, c := range map[string]struct {
		perHour int
		long    bool
	}{"busy": {30, true}, "quiet": {3, false}} {
		t.Run(name, func(t *testing.T) {
			v := view(t, park)
			f := allocator.NewForecast(time.UTC)
			start := monday.AddDate(0, 0, -14)
			for at := start; at.Before(monday); at = at.Add(time.Hour) {
				f.Advance(at)
				if at.Hour() < 8 || at.Hour() > 18 {
					continue
				}
				for range c.perHour {
					f.Arrived(at, false)
					f.Left(at, at.Add(2*time.Hour))
				}
			}
			f.Advance(monday)
			v.Outlook = allocator.Look(v, f, nil)
			tier := func(stay time.Duration) int {
				d := allocator.Choose(allocator.Request{Vehicle: car, Stay: stay}, v)
				why, _ := d.Explain(0)
				t.Logf("%v: %s %+v", stay, why, d.Terms(0))
				return park.Bays[d.Ranked[0]].Slot.Tier
			}
			if short := tier(30 * time.Minute); short != 0 {
				t.Errorf("a short stay goes to tier %d", short)
			}
			if long := tier(10 * time.Hour); (long > 0) != c.long {
				t.Errorf("a long stay goes to tier %d", long)
			}
			d := allocator.Choose(allocator.Request{Vehicle: car, Stay: 10 * time.Hour}, v)
			if why, _ := d.Explain(0); strings.Contains(why, "is left for the short stays") != c.long {
				t.Errorf("why: %s", why)
			}
		})
	}
}

// TestForecast learns two sites of opposite shape.
func TestForecast(t *testing.T) {
	zone := time.FixedZone("HKT", 8*3600)
	for _, peak := range []int{8, 21} {
		f := allocator.NewForecast(zone)
		start := time.Date(2026, 3, 2, 0, 0, 0, 0, zone)
		for day := range 21 {
			for h := range 24 {
				at := start.AddDate(0, 0, day).Add(time.Duration(h) * time.Hour)
				n := 1
				if h == peak && at.Weekday() != time.Sunday {
					n = 12
				}
				for range n {
					f.Arrived(at.Add(10*time.Minute), h == peak)
				}
				f.Left(at, at.Add(time.Duration(1+h/12)*time.Hour))
			}
		}
		f.Advance(start.AddDate(0, 0, 21))
		at := func(day, hour int) time.Time { return start.AddDate(0, 0, 21+day).Add(time.Duration(hour) * time.Hour) }
		if r := f.Rate(at(1, peak)); r < 10 || r > 12.1 {
			t.Errorf("peak at %d: %.1f an hour on Tuesday, want about 12", peak, r)
		}
		if r := f.Rate(at(6, peak)); r > 6 {
			t.Errorf("peak at %d: %.1f an hour on Sunday, want few", peak, r)
		}
		if r := f.Rate(at(1, 3)); r < 0.9 || r > 1.1 {
			t.Errorf("peak at %d: %.2f an hour at night, want 1", peak, r)
		}
		if s := f.Stay(at(0, 15)); s != 2*time.Hour {
			t.Errorf("afternoon stays are %v, want 2 h", s)
		}
		if s := f.Stay(at(0, 5)); s != time.Hour {
			t.Errorf("morning stays are %v, want 1 h", s)
		}
	}
}

// TestAsked: nobody is asked for long before the stay is expected to end, most
// are around that time, and who is overdue may be any moment.
func TestAsked(t *testing.T) {
	f := allocator.NewForecast(time.UTC)
	s := allocator.Standing{Arrived: monday, Leaves: monday.Add(4 * time.Hour)}
	for _, c := range []struct {
		after     time.Duration
		low, high float64
	}{
		{0, 0, 0.01}, {3 * time.Hour, 0.1, 0.3}, {4 * time.Hour, 0.2, 0.5}, {24 * time.Hour, 0.5, 0.5},
	} {
		if p := f.Asked(s, monday.Add(c.after), 30*time.Minute); p < c.low || p > c.high {
			t.Errorf("after %v: %.2f, want %.2f to %.2f", c.after, p, c.low, c.high)
		}
	}
	if p := f.Asked(allocator.Standing{Arrived: monday}, monday.Add(2*time.Hour), time.Hour); p < 0.3 || p > 1 {
		t.Errorf("a stay of which nothing is known: %.2f after two hours", p)
	}
}

// TestWays: a machine that begins early hides its own time behind the drive to
// its gate, one that does not adds it; bays that drivers drive into are weighed
// by drive and walk.
func TestWays(t *testing.T) {
	park := racks(1, 1)
	for i := range 13 {
		park.Bays[i].DriveSeconds = 30
	}
	park.Bays[13].DriveSeconds, park.Bays[13].WalkMetres = 60, 12
	v := view(t, park)
	ready := func(id string) time.Duration {
		d := allocator.Choose(allocator.Request{Vehicle: car}, v)
		for rank := range d.Ranked {
			if d.Bay(rank) == id {
				return d.Ready(rank)
			}
		}
		t.Fatalf("no %s", id)
		return 0
	}
	for _, c := range []struct {
		early bool
		wait  mechanism.Millis
		bay   string
		want  time.Duration
	}{
		{false, 0, "R1-1-1", 40 * time.Second}, {true, 0, "R1-1-1", 30 * time.Second},
		{false, 20_000, "R1-1-1", 40 * time.Second}, {false, 50_000, "R1-1-1", 60 * time.Second},
		{true, 50_000, "R1-1-1", 60 * time.Second}, {true, 0, "R1-3-5", 66 * time.Second},
		{false, 0, "R1-3-5", 96 * time.Second}, {true, 50_000, "P-0001", time.Minute},
	} {
		v.Early = c.early
		v.SetWait(0, c.wait, 0)
		if got := ready(c.bay); got != c.want {
			t.Errorf("early %v, busy for %d ms: %s is ready after %v, want %v", c.early, c.wait, c.bay, got, c.want)
		}
	}
	for i := range 13 {
		v.SetFree(i, false)
	}
	d := allocator.Choose(allocator.Request{Vehicle: car}, v)
	if why, _ := d.Explain(0); why != "P-0001 is 60 s to drive and 10 s on foot." {
		t.Error(why)
	}
}

// TestLayoutErrors says what is wrong with a car park.
func TestLayoutErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*parking.CarPark)
		says   string
	}{
		"unknown machine": {func(c *parking.CarPark) { c.Bays[3].Machine = "R9" }, `no machine "R9"`},
		"unknown slot":    {func(c *parking.CarPark) { c.Bays[3].Slot.Column = 9 }, "no slot"},
		"twice the id":    {func(c *parking.CarPark) { c.Bays[3].ID = c.Bays[2].ID }, "same id"},
		"bad machine":     {func(c *parking.CarPark) { c.Machines[0].Tiers = 0 }, "tiers"},
	} {
		park := racks(1, 0)
		c.change(park)
		if _, err := allocator.NewLayout(park); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.says)
		}
	}
	if _, err := allocator.NewPolicy("best", nil); err == nil {
		t.Error("a policy of any name is accepted")
	}
}

func benchmark(b *testing.B, machines, plain int) {
	park := racks(machines, plain)
	v := view(b, park)
	v.Outlook = allocator.Look(v, allocator.NewForecast(time.UTC), nil)
	for i := range v.Layout().Bays() {
		if i%10 == 0 {
			v.SetFree(i, false)
		}
	}
	b.ReportMetric(float64(len(park.Bays)), "bays")
	b.ReportAllocs()
	for b.Loop() {
		if d := allocator.Choose(allocator.Request{Vehicle: car, Stay: time.Hour}, v); d.Verdict != allocator.Found {
			b.Fatal("nothing found")
		}
	}
}

func BenchmarkChoose250(b *testing.B)  { benchmark(b, 19, 3) }
func BenchmarkChoose5000(b *testing.B) { benchmark(b, 100, 3700) }

func BenchmarkExplain(b *testing.B) {
	v := view(b, racks(19, 3))
	d := allocator.Choose(allocator.Request{Vehicle: car, Stay: time.Hour}, v)
	for b.Loop() {
		d.Explain(0)
	}
}
