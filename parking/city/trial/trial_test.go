package trial

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"freeflow/parking/city"
)

// short is the middle of what a test can afford: three morning hours.
func short() Config {
	return Config{Seeds: []uint64{1, 2}, LoadsPercent: []int{105}, Hours: 3, Window: 20 * time.Second, Workers: 2}
}

func run(t *testing.T, c Config) Report {
	t.Helper()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTheTable prints the report. With FREEFLOW_SEEDS=n it is that of whole
// days and all loads for seeds 1 to n, which takes about a minute of a core for each seed.
func TestTheTable(t *testing.T) {
	c := short()
	if n, err := strconv.ParseUint(os.Getenv("FREEFLOW_SEEDS"), 10, 16); err == nil && n > 0 {
		c = Default()
		c.Seeds = nil
		for seed := uint64(1); seed <= n; seed++ {
			c.Seeds = append(c.Seeds, seed)
		}
	}
	r := run(t, c)
	var b strings.Builder
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
	for _, policy := range Policies() {
		if n := strings.Count(b.String(), "% | "+string(policy)+" | "); n < len(r.Config.LoadsPercent) {
			t.Errorf("%s has %d lines", policy, n)
		}
	}
	for _, d := range r.Days {
		if d.Worse != 0 {
			t.Errorf("%+v: %d moved to worse", d, d.Worse)
		}
		if d.Policy == Nearest != (d.FoundFull > 0) {
			t.Errorf("%s found %d car parks full: only those without a reservation may", d.Policy, d.FoundFull)
		}
		if d.Drivers < 100 || d.MeanCost <= 0 || d.P95Cost > outside || d.MeanSeconds < 60 {
			t.Errorf("not a day: %+v", d)
		}
	}
}

func TestTheSameConfigGivesTheSameReport(t *testing.T) {
	c := short()
	c.Seeds = c.Seeds[:1]
	first := run(t, c)
	c.Workers = 1
	second := run(t, c)
	if !reflect.DeepEqual(first.Days, second.Days) {
		t.Errorf("two runs differ:\n%+v\n%+v", first.Days, second.Days)
	}
	c.Seeds = []uint64{99}
	if other := run(t, c); reflect.DeepEqual(first.Days[0].Measures, other.Days[0].Measures) {
		t.Error("another seed gives the same day")
	}
}

// TestTheExactPlanCostsLess is the claim of docs/parking-city.md in small, on
// both of its seeds.
func TestTheExactPlanCostsLess(t *testing.T) {
	c := short()
	c.Hours = 5
	r := run(t, c)
	for i := range c.Seeds {
		exact := r.days(105, Exact)[i]
		for _, policy := range []Policy{Greedy, Nearest} {
			if other := r.days(105, policy)[i]; exact.MeanCost >= other.MeanCost {
				t.Errorf("seed %d: mean cost %d, %s %d", c.Seeds[i], exact.MeanCost, policy, other.MeanCost)
			}
		}
	}
}

func TestAllPoliciesSeeTheSameDrivers(t *testing.T) {
	town, err := kwunTong()
	if err != nil {
		t.Fatal(err)
	}
	first, err := town.demand(90, 5, 4)
	if err != nil {
		t.Fatal(err)
	}
	second, err := town.demand(90, 5, 4)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("the demand of a seed differs: %v", err)
	}
	for _, d := range first {
		if len(d.places) == 0 {
			t.Errorf("%s could never park", d.ask.ID)
		}
	}
}

// TestTheLoadIsWhatItSays adds up the stays asked for in the busy hours.
func TestTheLoadIsWhatItSays(t *testing.T) {
	town, err := kwunTong()
	if err != nil {
		t.Fatal(err)
	}
	minutes := 0
	for seed := range uint64(3) {
		drivers, err := town.demand(90, seed, 13)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range drivers {
			if d.asked >= 4*3600 {
				minutes += d.ask.StayMinutes
			}
		}
	}
	percent := 100 * minutes / (3 * 9 * 60 * town.bays())
	// Drivers who could never park are drawn again with another stay, and
	// which stays those are is chance; hence a margin.
	if percent < 85 || percent > 95 {
		t.Errorf("the busy hours ask for %d %% of the bays, said to be 90", percent)
	}
}

func TestTheSites(t *testing.T) {
	town, err := kwunTong()
	if err != nil {
		t.Fatal(err)
	}
	if len(town.sites) != 50 || town.bays() != 1326 {
		t.Errorf("%d sites, %d bays", len(town.sites), town.bays())
	}
	published := 0
	for _, s := range town.sites {
		if s.published {
			published++
		}
		if city.Distance(city.Point{}, s.position) > 1900 {
			t.Errorf("%s is %d m from the middle", s.id, city.Distance(city.Point{}, s.position))
		}
	}
	if published != 8 {
		t.Errorf("%d published prices, SOURCE.md and the docs say 8", published)
	}
	// Shun Lee Tsuen Park: HK$5 a half-hour for two hours, then 7.50.
	park := town.sites[town.index["tdc43p1"]].tariff
	for length, want := range map[time.Duration]int64{time.Minute: 500, 2 * time.Hour: 2000, 121 * time.Minute: 2750, 3 * time.Hour: 3500} {
		if got, err := park.PriceFor(city.Stay{Length: length}); err != nil || got != want {
			t.Errorf("%v costs %d, want %d (%v)", length, got, want, err)
		}
	}
}

func TestSpoiltSitesAreRefused(t *testing.T) {
	const head = "park_id,name_en,name_tc,lat_e7,lon_e7,height_mm,bays,ev_bays,accessible_bays,unit_minutes,first_units,first_cents,then_cents,price\n"
	const good = "a,A,A,223088951,1142323837,2200,33,3,1,60,0,2400,2400,assumed\n"
	if _, err := readTown(head + good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"twice":       head + good + good,
		"no number":   head + strings.Replace(good, "2200", "high", 1),
		"negative":    head + strings.Replace(good, "2200", "-1", 1),
		"no unit":     head + strings.Replace(good, ",60,", ",0,", 1),
		"in Paris":    head + strings.Replace(good, "223088951", "488566000", 1),
		"few columns": head + "a,b\n",
	} {
		if _, err := readTown(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestConfigsOutOfBoundsAreRefused(t *testing.T) {
	for name, c := range map[string]Config{
		"load":    {LoadsPercent: []int{0}},
		"hours":   {Hours: 17},
		"window":  {Window: 1500 * time.Millisecond},
		"workers": {Workers: -1},
		"seeds":   {Seeds: make([]uint64, 1001)},
	} {
		if _, err := Run(t.Context(), c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Run(stopped, short()); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped run gives %v", err)
	}
}

func TestMeansAndPercentiles(t *testing.T) {
	values := []int64{4, 1, 3, 2}
	if mean(values) != 3 || mean(nil) != 0 { // 2.5, halves up
		t.Errorf("mean %d", mean(values))
	}
	for p, want := range map[int]int64{50: 2, 75: 3, 95: 4, 100: 4} {
		if got := percentile(values, p); got != want {
			t.Errorf("p%d is %d, want %d", p, got, want)
		}
	}
	if got := gains([]int64{200, 300}, []int64{150, 400}); !reflect.DeepEqual(got, []int64{2500, -3333}) {
		t.Errorf("gains %v", got)
	}
	if got := spread([]int64{2500, -3333}); got != "-4.17 % (-33.33 % to 25.00 %; 1 of 2)" {
		t.Errorf("spread %q", got)
	}
}
