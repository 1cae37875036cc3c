package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"freeflow/parking/simulate"
)

// simulateFlags are those of parking simulate.
type simulateFlags struct {
	site, demand, seeds, vacancies, series string
	policies                               []string
	load, days, warmup, faults             int
	noIdle, noPair, noEarly, json          bool
}

func newSimulateCommand(env Env) *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate --site SITE",
		Short: "Replay days on a car park under an allocation policy",
		Long: `Replay days on a car park under one or several allocation policies, on the same
demand, and report how long drivers waited on entry and retrieval, who was
refused, and what the machines moved; with a chart of the day for one policy and
a table for several.

The demand is synthetic, or inferred from the published vacancy series of Hong
Kong's automated car parks (--demand inferred), or from a series of your own
(--vacancies FILE). Inferred is not observed: the report says so.`,
		Example: `  freeflow parking simulate --site hoi-shing-road
  freeflow parking simulate --site tung-chau-street --policy freeflow,nearest,random --seeds 1-20
  freeflow parking simulate --site tseung-kwan-o --demand inferred --days 7`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return simulateSite(cmd.Context(), env, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.site, "site", "", "site: the name of a sample or a site file (required)")
	flags.StringSliceVar(&f.policies, "policy", []string{allocator.Freeflow}, "policies: "+strings.Join(allocator.Names(), ", "))
	flags.StringVar(&f.demand, "demand", "synthetic", "synthetic or inferred")
	flags.StringVar(&f.vacancies, "vacancies", "", "table of vacancies to infer the demand from (scraped_at, park_id, private_car_vacancy, last_update)")
	flags.StringVar(&f.series, "series", "", "id of the car park in that table; empty is the site's own")
	flags.IntVar(&f.load, "load", 80, "load in per cent: of the bays taken at the peak, roughly")
	flags.IntVar(&f.days, "days", 1, "days that are measured")
	flags.IntVar(&f.warmup, "warmup", 7, "days before them in which the forecast learns")
	flags.StringVar(&f.seeds, "seeds", "1", "seeds: one, a list, or a range")
	flags.IntVar(&f.faults, "faults", 0, "mean hours between breakdowns of a machine, of 20 minutes each; 0 is none")
	flags.BoolVar(&f.noIdle, "no-idle", false, "machines do not use idle time")
	flags.BoolVar(&f.noPair, "no-pair", false, "no cycle stores one car and fetches another")
	flags.BoolVar(&f.noEarly, "no-early", false, "machines begin only when the car is at the gate, not when its bay is given")
	flags.BoolVar(&f.json, "json", false, "print the figures as JSON")
	return cmd
}

func (f *simulateFlags) check() error {
	switch {
	case f.site == "":
		return usagef("--site is missing; name a sample or a site file")
	case f.demand != "synthetic" && f.demand != "inferred":
		return usagef("--demand is %q; write synthetic or inferred", f.demand)
	case f.load < 1 || f.load > 150:
		return usagef("--load is %d; it must be 1 to 150", f.load)
	case f.days < 1 || f.warmup < 0 || f.days+f.warmup > 3660:
		return usagef("--days must be at least 1, --warmup not below 0, and both together at most 3660")
	case f.faults < 0:
		return usagef("--faults is %d; it must not be below 0", f.faults)
	case len(f.policies) == 0:
		return usagef("--policy is empty; there are %s", strings.Join(allocator.Names(), ", "))
	}
	for _, p := range f.policies {
		if !slices.Contains(allocator.Names(), p) {
			return usagef("--policy: there is no %q; there are %s", p, strings.Join(allocator.Names(), ", "))
		}
	}
	return nil
}

func simulateSite(ctx context.Context, env Env, f simulateFlags) error {
	seeds, err := parseSeeds(f.seeds)
	if err != nil {
		return err
	}
	site, err := openSite(f.site)
	if err != nil {
		return err
	}
	demand, err := f.demandFor(site)
	if err != nil {
		return err
	}
	config := simulate.Config{
		CarPark: site, Demand: demand, Days: f.days, Warmup: f.warmup, Idle: !f.noIdle, Pair: !f.noPair, Early: !f.noEarly,
	}
	if f.faults > 0 {
		config.Faults = simulate.Faults{MeanHoursBetween: f.faults, MeanMinutes: 20}
	}
	reports, err := simulate.Compare(ctx, config, f.policies, seeds)
	if err != nil {
		return err
	}
	if f.json {
		return printSimulation(env, reports)
	}
	if len(reports) == 1 {
		_, err = fmt.Fprint(env.Stdout, reports[0].Chart())
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s, %s, %d seeds of %d days. Seconds.\n%s\n\n%s", site.Name.En, reports[0].Demand, len(seeds), f.days,
		reports[0].Note, simulate.Table(reports))
	return err
}

// usualCar is what comes in a simulated demand: a private car that nearly all
// car parks admit.
var usualCar = parking.Vehicle{Class: "private_car", LengthMM: 4600, WidthMM: 1800, HeightMM: 1500, WeightKG: 1600}

// stayError is how well a stay is known on arrival, in per cent of it.
const stayError = 30

func (f *simulateFlags) demandFor(site *parking.CarPark) (simulate.Demand, error) {
	bays := 0
	for i := range site.Bays {
		if site.Bays[i].Fits(usualCar, "") {
			bays++
		}
	}
	if f.demand == "synthetic" && f.vacancies == "" {
		return simulate.Synthetic{Bays: bays, LoadPercent: f.load, ErrorPercent: stayError, Vehicle: usualCar}, nil
	}
	series := site.ID
	if f.series != "" {
		series = f.series
	}
	samples, err := f.samples(series)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(site.Zone)
	if err != nil {
		return nil, fmt.Errorf("loading the site's zone: %w", err)
	}
	inferred, err := simulate.Infer(series, samples, zone, func(time.Time) bool { return true })
	if err != nil {
		return nil, fmt.Errorf("inferring the demand of %s: %w; name another series with --series or --vacancies", series, err)
	}
	return inferred.At(bays, f.load, stayError, usualCar), nil
}

func (f *simulateFlags) samples(series string) ([]simulate.Sample, error) {
	if f.vacancies == "" {
		return simulate.HongKong(series)
	}
	file, err := os.Open(f.vacancies)
	if err != nil {
		return nil, fmt.Errorf("opening the vacancies: %w", err)
	}
	defer file.Close()
	return simulate.ReadVacancies(file, series)
}

// simulated are the figures of one policy, in milliseconds.
type simulated struct {
	Policy    string         `json:"policy"`
	Demand    string         `json:"demand"`
	Note      string         `json:"note"`
	Arrived   int            `json:"arrived"`
	Refused   int            `json:"refused"`
	Unfit     int            `json:"unfit"`
	Moves     int            `json:"moves"`
	InPromise int            `json:"retrievals_within_promise"`
	Entry     simulatedWaits `json:"entry_ms"`
	Retrieval simulatedWaits `json:"retrieval_ms"`
	Total     simulatedWaits `json:"retrieval_with_user_ms"`
}

type simulatedWaits struct {
	Count int   `json:"count"`
	Mean  int64 `json:"mean"`
	P50   int64 `json:"p50"`
	P95   int64 `json:"p95"`
}

func printSimulation(env Env, reports []simulate.Report) error {
	waits := func(w *simulate.Waits) simulatedWaits {
		return simulatedWaits{w.Count(), w.Mean().Milliseconds(), w.Quantile(500).Milliseconds(), w.Quantile(950).Milliseconds()}
	}
	out := make([]simulated, len(reports))
	for i := range reports {
		r := &reports[i]
		out[i] = simulated{
			Policy: r.Policy, Demand: r.Demand, Note: r.Note, Arrived: r.Arrived, Refused: r.Refused, Unfit: r.Unfit, Moves: r.Moves(),
			InPromise: r.InPromise, Entry: waits(&r.Entry), Retrieval: waits(&r.Retrieval), Total: waits(&r.Total),
		}
	}
	enc := json.NewEncoder(env.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
