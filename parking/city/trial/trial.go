// Package trial owns a simulated day of drivers who look for a space around
// Kwun Tong in Hong Kong, and the comparison of ways to send them: the exact
// plan of package city for all who are under way, the cheapest free car park
// for one driver after the other, and the nearest free one without any
// reservation, which is what signs and apps do today.
//
// The car parks' positions, names and height limits, and some prices, are real
// (see sites/SOURCE.md); capacities and the other prices are assumed, and the
// demand is synthetic.
//
// Invariants: the same configuration gives the same report; all policies see
// the same drivers of a seed; a day in which a car park held more cars than it
// has bays, or a reserved driver was moved to a worse place, is an error and
// not a figure.
//
// Not promised: that a real day looks like this one. Only the differences
// between policies on equal demand mean anything.
package trial

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Policy is a way of sending drivers to car parks.
type Policy string

// The policies that are compared.
const (
	// Exact lets a waiting driver cost 1, as the source of the method does.
	Exact Policy = "exact batch"
	// Ageing is the same, but the cost of a waiting driver grows by 1 with each
	// minute, so that who has waited long comes first.
	Ageing  Policy = "exact, ageing"
	Greedy  Policy = "greedy by J"
	Nearest Policy = "nearest free"
)

// Policies returns all policies in the order of the report.
func Policies() []Policy { return []Policy{Exact, Ageing, Greedy, Nearest} }

// Config says what is run. Zero fields take the values of Default.
type Config struct {
	// Seeds of the days; each load is run with each of them.
	Seeds []uint64
	// LoadsPercent are the offered loads of the busy hours: arrivals × mean
	// stay ÷ bays. 1 to 300.
	LoadsPercent []int
	// Hours is the length of the day, which begins at 07:00; 1 to 16.
	Hours int
	// Window is how long requests are collected, whole seconds, 1 to 60. It is
	// also the step of the simulation.
	Window time.Duration
	// Workers is the number of days run at once; the result does not depend on
	// it.
	Workers int
}

// Default is what docs/parking-city.md reports on: seeds 1 to 20 at 70, 90 and
// 105 %, 16 hours, windows of 5 s.
func Default() Config {
	c := Config{LoadsPercent: []int{70, 90, 105}, Hours: 16, Window: 5 * time.Second, Workers: runtime.GOMAXPROCS(0)}
	for seed := uint64(1); seed <= 20; seed++ {
		c.Seeds = append(c.Seeds, seed)
	}
	return c
}

func (c Config) complete() (Config, error) {
	d := Default()
	if len(c.Seeds) == 0 {
		c.Seeds = d.Seeds
	}
	if len(c.LoadsPercent) == 0 {
		c.LoadsPercent = d.LoadsPercent
	}
	c.Hours = cmp.Or(c.Hours, d.Hours)
	c.Window = cmp.Or(c.Window, d.Window)
	c.Workers = cmp.Or(c.Workers, d.Workers)
	switch {
	case len(c.Seeds) > 1000 || len(c.LoadsPercent) > 20:
		return c, fmt.Errorf("%d seeds and %d loads: at most 1000 and 20", len(c.Seeds), len(c.LoadsPercent))
	case c.Hours < 1 || c.Hours > len(profile):
		return c, fmt.Errorf("a day of %d hours: want 1 to %d", c.Hours, len(profile))
	case c.Window < time.Second || c.Window > time.Minute || c.Window%time.Second != 0:
		return c, fmt.Errorf("a window of %v: want whole seconds, 1 to 60", c.Window)
	case c.Workers < 1 || c.Workers > 256:
		return c, fmt.Errorf("%d workers: want 1 to 256", c.Workers)
	}
	for _, load := range c.LoadsPercent {
		if load < 1 || load > 300 {
			return c, fmt.Errorf("a load of %d %%: want 1 to 300", load)
		}
	}
	return c, nil
}

// Day is what one policy did on one day.
type Day struct {
	LoadPercent int
	Seed        uint64
	Policy      Policy
	Measures
}

// Report holds a Day for each load, seed and policy, in that order.
type Report struct {
	Config Config
	// Sites and Bays of the city.
	Sites, Bays int
	Days        []Day
}

// Run simulates all days of the configuration. It ends early with ctx, or with
// the first day that breaks an invariant.
func Run(ctx context.Context, config Config) (Report, error) {
	config, err := config.complete()
	if err != nil {
		return Report{}, fmt.Errorf("trial of the city: %w", err)
	}
	city, err := kwunTong()
	if err != nil {
		return Report{}, fmt.Errorf("trial of the city: %w", err)
	}
	report := Report{Config: config, Sites: len(city.sites), Bays: city.bays()}
	for _, load := range config.LoadsPercent {
		for _, seed := range config.Seeds {
			for _, policy := range Policies() {
				report.Days = append(report.Days, Day{LoadPercent: load, Seed: seed, Policy: policy})
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(config.Workers)
	for i := range report.Days {
		group.Go(func() error {
			day := &report.Days[i]
			var err error
			if day.Measures, err = city.day(ctx, config, day.LoadPercent, day.Seed, day.Policy); err != nil {
				return fmt.Errorf("load %d %%, seed %d, %s: %w", day.LoadPercent, day.Seed, day.Policy, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Report{}, fmt.Errorf("trial of the city: %w", err)
	}
	return report, nil
}

// Measures are what is counted over the drivers of a day. Costs are millionths,
// money cents, walks metres, times seconds; means are rounded half up.
type Measures struct {
	// Drivers who asked, and of them those who found no space.
	Drivers, Unserved int
	// Cost over all drivers; whoever found no space counts 1.
	MeanCost, P50Cost, P95Cost int64
	// Over those who parked.
	MeanServedCost, MeanCents, MeanWalk int64
	MeanSeconds, P50Seconds, P95Seconds int64
	// Found is the number of drivers who came to a full car park and drove on.
	FoundFull int
	// Moves is how often a reservation was exchanged for another, Worse how
	// often for one of higher cost: 0, or the run fails.
	Moves, Worse int
}

func measure(drivers []*driver) Measures {
	m := Measures{Drivers: len(drivers)}
	var costs, served, cents, walks, seconds []int64
	for _, d := range drivers {
		m.FoundFull += d.foundFull
		m.Moves += d.moves
		m.Worse += d.worse
		if d.state != parked {
			m.Unserved++
			costs = append(costs, outside)
			continue
		}
		costs = append(costs, d.place.Cost)
		served = append(served, d.place.Cost)
		cents = append(cents, d.place.PriceCents)
		walks = append(walks, d.place.WalkMetres)
		seconds = append(seconds, d.parkedAt-d.asked)
	}
	m.MeanCost, m.P50Cost, m.P95Cost = mean(costs), percentile(costs, 50), percentile(costs, 95)
	m.MeanServedCost, m.MeanCents, m.MeanWalk = mean(served), mean(cents), mean(walks)
	m.MeanSeconds, m.P50Seconds, m.P95Seconds = mean(seconds), percentile(seconds, 50), percentile(seconds, 95)
	return m
}

// mean of values that are not negative, rounded half up; 0 of none.
func mean(values []int64) int64 {
	if len(values) == 0 {
		return 0
	}
	var sum int64
	for _, v := range values {
		sum += v
	}
	n := int64(len(values))
	return (2*sum + n) / (2 * n)
}

// percentile is the smallest value that p percent of the values do not exceed
// (nearest rank); 0 of none.
func percentile(values []int64, p int) int64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}
