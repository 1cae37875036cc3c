// Package simulate owns the replay of days at a car park under an allocation
// policy, event by event: arrivals, queues at the machines, storing, retrieval,
// what machines do in idle hours, and faults; and the report of how long drivers
// waited.
//
// Invariants: a run is a function of its Config alone, seed included; policies
// that are compared meet the same arrivals, stays, errors of the stay's
// forecast, faults, queue discipline and idle rule; no car vanishes.
//
// Not promised: that drivers would have come as the demand says. Where the
// demand is synthetic or inferred, the report says so.
package simulate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"golang.org/x/sync/errgroup"
)

// Arrival is one vehicle of a demand.
type Arrival struct {
	At      time.Time
	Vehicle parking.Vehicle
	// Pool is a right that the driver has; empty for none.
	Pool string
	// Stay is from the arrival to the request for the car; Expected what is
	// known of it on arrival, 0 for nothing.
	Stay, Expected time.Duration
}

// Demand makes arrivals. Implementations are safe for concurrent use.
type Demand interface {
	// Name says what it is in a few words. Note says in a sentence what is known
	// and what is not: synthetic, inferred.
	Name() string
	Note() string
	// Day returns the arrivals of the day that begins at that instant, in order
	// of time, drawn from r alone.
	Day(start time.Time, r *rand.Rand) []Arrival
}

// Faults are breakdowns of machines; the zero value is none.
type Faults struct {
	// MeanHoursBetween is per machine, MeanMinutes how long it is out; both
	// exponential.
	MeanHoursBetween, MeanMinutes int
}

// Config is one run.
type Config struct {
	CarPark *parking.CarPark
	// Policy is one of allocator's names. Custom, if set, is used instead.
	Policy string
	Custom allocator.Policy
	Demand Demand
	// Start is the first midnight; the zero value is 2026-03-02, a Monday, in
	// the car park's zone.
	Start time.Time
	// Warmup days come before the Days that are measured: the forecast learns.
	Warmup, Days int
	Seed         uint64
	// Idle says that machines use idle time (mechanism.Model.Idle), the same
	// rule for all policies.
	Idle bool
	// Pair says that a store and a fetch that wait at one machine are done in
	// one cycle where that saves time.
	Pair bool
	// Early says that a machine gets ready for a car while its driver is still
	// driving to the gate; otherwise it begins when the car is there.
	Early  bool
	Faults Faults
}

// maxDays bounds a run; maxWaiting the cars before one machine.
const maxDays = 3660

// Run replays the days. It ends early with the context's error.
func Run(ctx context.Context, c Config) (Report, error) {
	if c.CarPark == nil || c.Demand == nil {
		return Report{}, fmt.Errorf("simulating: a car park and a demand are needed")
	}
	if c.Days < 1 || c.Warmup < 0 || c.Days+c.Warmup > maxDays {
		return Report{}, fmt.Errorf("simulating %s: %d days after %d of warm-up; at least 1, at most %d in all",
			c.CarPark.ID, c.Days, c.Warmup, maxDays)
	}
	zone, err := time.LoadLocation(c.CarPark.Zone)
	if err != nil {
		return Report{}, fmt.Errorf("simulating %s: %w", c.CarPark.ID, err)
	}
	if c.Start.IsZero() {
		c.Start = time.Date(2026, 3, 2, 0, 0, 0, 0, zone)
	}
	policy := c.Custom
	if policy == nil {
		if policy, err = allocator.NewPolicy(c.Policy, rand.New(rand.NewPCG(c.Seed, 2))); err != nil {
			return Report{}, fmt.Errorf("simulating %s: %w", c.CarPark.ID, err)
		}
	}
	e, err := newEngine(c, policy, zone)
	if err != nil {
		return Report{}, fmt.Errorf("simulating %s: %w", c.CarPark.ID, err)
	}
	if err := e.run(ctx); err != nil {
		return Report{}, fmt.Errorf("simulating %s: %w", c.CarPark.ID, err)
	}
	return e.r, nil
}

// Compare runs the policies on the same demand, for each of the seeds, as many
// runs at once as there are processors; Config.Custom is not used. The reports
// are in the order of the policies, those of all seeds in one, with the seeds
// apart in Seeds.
func Compare(ctx context.Context, c Config, policies []string, seeds []uint64) ([]Report, error) {
	if len(policies) == 0 || len(seeds) == 0 {
		return nil, fmt.Errorf("comparing: policies and seeds are needed")
	}
	runs := make([]Report, len(policies)*len(seeds))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range runs {
		one := c
		one.Policy, one.Custom, one.Seed = policies[i/len(seeds)], nil, seeds[i%len(seeds)]
		group.Go(func() (err error) {
			runs[i], err = Run(ctx, one)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	reports := make([]Report, len(policies))
	for i := range runs {
		all := &reports[i/len(seeds)]
		if i%len(seeds) == 0 {
			*all = runs[i]
			all.Seeds = []Report{runs[i]}
		} else {
			all.add(runs[i])
		}
	}
	return reports, nil
}
