package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeflow/billing"
	"freeflow/parking"
	"freeflow/parking/city/trial"
	"freeflow/parking/sites"
	parktariff "freeflow/parking/tariff"
	"freeflow/tolling/tariff"
)

func newParkingCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parking",
		Short: "Simulate car parks, check sites and tariffs, price stays",
		Long: `Simulate car parks, check site files and tariffs, and price stays.

A site is the name of a sample (` + strings.Join(sites.Samples(), ", ") + `)
or the path of a site file. A tariff is the name of a sample
(` + strings.Join(parktariff.Samples(), ", ") + `)
or the path of a tariff file.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q under parking; there are simulate, city, site, tariff, quote and dry-run", args[0])
			}
			return usagef("name what to do: simulate, city, site, tariff, quote or dry-run")
		},
	}
	cmd.AddCommand(newSimulateCommand(env), newCityCommand(env), newSiteCommand(env), newParkingTariffCommand(env),
		newQuoteCommand(env), newDryRunCommand(env))
	return cmd
}

// openSite returns a sample site or reads a site file.
func openSite(name string) (*parking.CarPark, error) {
	if !strings.ContainsAny(name, `./\`) {
		site, _, err := sites.Sample(name)
		return site, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening the site file: %w", err)
	}
	defer f.Close()
	site, err := sites.Read(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return site, nil
}

// openParkingTariff returns a sample tariff or reads a tariff file.
func openParkingTariff(name string) (*parktariff.Tariff, error) {
	if !strings.ContainsAny(name, `./\`) {
		return parktariff.Sample(name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening the tariff: %w", err)
	}
	defer f.Close()
	t, err := parktariff.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return t, nil
}

func newSiteCommand(env Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "site SITE...",
		Short: "Check site files and say what they hold",
		Example: `  freeflow parking site hoi-shing-road
  freeflow parking site ./my-car-park.json --json`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("name a site: %s, or a site file", strings.Join(sites.Samples(), ", "))
			}
			for _, name := range args {
				site, err := openSite(name)
				if err != nil {
					return err
				}
				if asJSON {
					if err := json.NewEncoder(env.Stdout).Encode(site); err != nil {
						return fmt.Errorf("writing the site: %w", err)
					}
					continue
				}
				describeSite(env, site)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the site with all its bays as JSON")
	return cmd
}

func describeSite(env Env, site *parking.CarPark) {
	ordinary := 0
	for _, bay := range site.Bays {
		if bay.Machine == "" {
			ordinary++
		}
	}
	fmt.Fprintf(env.Stdout, "%s  %s\n  bays      %d, of them %d in %d machines\n", site.ID, site.Name.En, len(site.Bays), len(site.Bays)-ordinary, len(site.Machines))
	for _, m := range site.Machines {
		n := 0
		for _, bay := range site.Bays {
			if bay.Machine == m.ID {
				n++
			}
		}
		fmt.Fprintf(env.Stdout, "  %-8s  %s of %d tiers and %d columns, %d bays\n", m.ID, m.Mechanism, m.Tiers, m.Columns, n)
	}
	fmt.Fprintf(env.Stdout, "  lanes     %d\n  tariff    %s\n  source    %s\n", len(site.Lanes), site.Tariff, site.Source)
}

func newParkingTariffCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tariff check TARIFF...",
		Short: "Say what is wrong or odd with parking tariffs",
		Long: `Say what is wrong or odd with parking tariffs: hours without a price, overlaps,
staying longer for less, caps that never bind. Exit status 1 if a tariff cannot
be rated; warnings alone leave it 0.`,
		Example: "  freeflow parking tariff check rumsey-street\n  freeflow parking tariff check ./new.json",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || args[0] != "check" {
				return usagef("write: freeflow parking tariff check TARIFF...")
			}
			good := true
			for _, name := range args[1:] {
				t, err := openParkingTariff(name)
				if err != nil {
					return err
				}
				found := parktariff.Check(t)
				for _, f := range found {
					word := "warning"
					if f.Error {
						word, good = "error", false
					}
					fmt.Fprintf(env.Stdout, "%s: %s: %s: %s\n", name, word, f.Pointer, f.Text)
				}
				if len(found) == 0 {
					fmt.Fprintf(env.Stdout, "%s: nothing found\n", name)
				}
			}
			if !good {
				return errQuiet
			}
			return nil
		},
	}
	return cmd
}

func newQuoteCommand(env Env) *cobra.Command {
	var f struct {
		tariff, class, from, to, network string
		ev                               bool
		json                             bool
	}
	cmd := &cobra.Command{
		Use:     "quote --tariff TARIFF --class CLASS --from TIME --to TIME",
		Short:   "Price a stay, line by line",
		Example: "  freeflow parking quote --tariff hoi-shing-road --class private_car --from 2026-03-06T09:00:00+08:00 --to 2026-03-06T11:30:00+08:00",
		Args:    noArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if f.tariff == "" || f.class == "" {
				return usagef("--tariff, --class, --from and --to are all needed")
			}
			from, err := time.Parse(time.RFC3339Nano, f.from)
			if err != nil {
				return usagef("--from is %q; write a time with offset, such as 2026-03-06T09:00:00+08:00", f.from)
			}
			to, err := time.Parse(time.RFC3339Nano, f.to)
			if err != nil || !to.After(from) {
				return usagef("--to is %q; write a time with offset after --from", f.to)
			}
			t, err := openParkingTariff(f.tariff)
			if err != nil {
				return err
			}
			n, err := tariff.Open(f.network)
			if err != nil {
				return err
			}
			book, err := parktariff.New([]*parktariff.Tariff{t}, calendar{n})
			if err != nil {
				return err
			}
			request := parktariff.QuoteRequest{Class: f.class, From: from, To: to, At: env.Clock.Now()}
			if f.ev {
				request.EVMinutes = int((to.Sub(from) + time.Minute - 1) / time.Minute)
			}
			quote, err := book.Quote(request)
			if err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(env.Stdout).Encode(quote.Receipt)
			}
			for _, line := range quote.Receipt.Lines {
				fmt.Fprintf(env.Stdout, "%10s  %s  (%s)\n", line.AmountCents, line.Text, line.Rule)
			}
			fmt.Fprintf(env.Stdout, "%10s  %s in all, by %s version %s\n", billing.FormatCents(quote.TotalCents), quote.Receipt.Currency,
				quote.Receipt.TariffID, quote.Receipt.TariffVersion)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.tariff, "tariff", "", "tariff: the name of a sample or a file")
	flags.StringVar(&f.class, "class", "", "vehicle class, for instance private_car")
	flags.StringVar(&f.from, "from", "", "arrival, RFC 3339 with offset")
	flags.StringVar(&f.to, "to", "", "departure, RFC 3339 with offset")
	flags.StringVar(&f.network, "network", "hongkong", "road network whose general holidays count")
	flags.BoolVar(&f.ev, "ev", false, "the car charges all the time")
	flags.BoolVar(&f.json, "json", false, "print the receipt as JSON")
	return cmd
}

func newCityCommand(env Env) *cobra.Command {
	var loads []int
	var seeds string
	var hours int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "city",
		Short: "Compare ways of sending drivers to car parks, over simulated days",
		Long: `Compare ways of sending drivers under way to car parks: assigned together at
least cost, or each to the best or nearest one. The car parks' places are real,
the demand is synthetic; docs/parking-city.md says what is assumed.`,
		Example: "  freeflow parking city --seeds 1-3 --loads 90\n  freeflow parking city --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := parseSeeds(seeds)
			if err != nil {
				return err
			}
			for _, load := range loads {
				if load < 1 || load > 300 {
					return usagef("--loads has %d; a load is 1 to 300 per cent", load)
				}
			}
			if hours < 1 || hours > 16 {
				return usagef("--hours is %d; it must be 1 to 16", hours)
			}
			config := trial.Default()
			config.Seeds, config.LoadsPercent, config.Hours, config.Workers = list, loads, hours, runtime.GOMAXPROCS(0)
			report, err := trial.Run(cmd.Context(), config)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(env.Stdout).Encode(report)
			}
			return report.Table(env.Stdout)
		},
	}
	flags := cmd.Flags()
	flags.IntSliceVar(&loads, "loads", trial.Default().LoadsPercent, "offered loads of the busy hours, per cent")
	flags.StringVar(&seeds, "seeds", "1-20", "seeds: one, a list, or a range")
	flags.IntVar(&hours, "hours", 16, "hours of the day, from 07:00")
	flags.BoolVar(&asJSON, "json", false, "print every day's figures as JSON")
	return cmd
}

// maxSeeds bounds the runs of one command.
const maxSeeds = 1000

// parseSeeds reads "7", "1,2,9" or "1-20".
func parseSeeds(text string) ([]uint64, error) {
	wrong := usagef("seeds are %q; write one, a list such as 1,2,9, or a range such as 1-20, at most %d", text, maxSeeds)
	var seeds []uint64
	for _, part := range strings.Split(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		from, err := strconv.ParseUint(first, 10, 32)
		if err != nil {
			return nil, wrong
		}
		to := from
		if ranged {
			if to, err = strconv.ParseUint(last, 10, 32); err != nil || to < from {
				return nil, wrong
			}
		}
		if to-from >= maxSeeds || len(seeds)+int(to-from) >= maxSeeds {
			return nil, wrong
		}
		for seed := from; seed <= to; seed++ {
			seeds = append(seeds, seed)
		}
	}
	return seeds, nil
}

// dryRunFlags are those of dry-run.
type dryRunFlags struct {
	parts                    partsFlags
	carPark, tariff, tariffs string
	from, to                 string
	json                     bool
}

func newDryRunCommand(env Env) *cobra.Command {
	var f dryRunFlags
	cmd := &cobra.Command{
		Use:   "dry-run --carpark ID --tariff TARIFF [--from TIME --to TIME]",
		Short: "Say what past stays would have cost by another tariff",
		Long: `Say what the stays that ended in a time, by default the last 30 days, would have
cost by another tariff than the one in force. Nothing is changed.`,
		Example: "  freeflow parking dry-run --carpark tdstt46 --tariff ./new.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.carPark == "" || f.tariff == "" {
				return usagef("--carpark and --tariff are needed")
			}
			to := env.Clock.Now()
			var err error
			if f.to != "" {
				if to, err = time.Parse(time.RFC3339Nano, f.to); err != nil {
					return usagef("--to is %q; write a time with offset", f.to)
				}
			}
			from := to.AddDate(0, 0, -30)
			if f.from != "" {
				if from, err = time.Parse(time.RFC3339Nano, f.from); err != nil || !from.Before(to) {
					return usagef("--from is %q; write a time with offset before --to", f.from)
				}
			}
			return dryRun(cmd.Context(), env, f, from, to)
		},
	}
	flags := cmd.Flags()
	f.parts.addBooks(flags)
	flags.StringVar(&f.parts.network, "network", "hongkong", "road network whose general holidays count")
	flags.StringVar(&f.carPark, "carpark", "", "the car park's id")
	flags.StringVar(&f.tariff, "tariff", "", "the other tariff: the name of a sample or a file")
	flags.StringVar(&f.tariffs, "parking-tariffs", "", "folder of parking tariffs (*.json) beside the sample ones, as given to run")
	flags.StringVar(&f.from, "from", "", "stays that ended from then on, RFC 3339 with offset")
	flags.StringVar(&f.to, "to", "", "stays that ended before then, RFC 3339 with offset")
	flags.BoolVar(&f.json, "json", false, "print the result as JSON")
	return cmd
}

func dryRun(ctx context.Context, env Env, f dryRunFlags, from, to time.Time) error {
	other, err := openParkingTariff(f.tariff)
	if err != nil {
		return err
	}
	till, closeTill, err := openTill(ctx, env, f.parts, f.tariffs)
	if err != nil {
		return err
	}
	defer closeTill()
	book, err := parktariff.New([]*parktariff.Tariff{other}, till.calendar)
	if err != nil {
		return err
	}
	result, err := till.cashier.DryRun(ctx, f.carPark, book, from, to)
	if err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(env.Stdout).Encode(result)
	}
	for _, class := range slices.Sorted(maps.Keys(result.Classes)) {
		c := result.Classes[class]
		fmt.Fprintf(env.Stdout, "%s\n  stays     %d\n  now       %s\n  then      %s\n  dearer    %d\n  cheaper   %d\n  the same  %d\n", class, c.Stays,
			billing.FormatCents(c.OldCents), billing.FormatCents(c.NewCents), c.Dearer, c.Cheaper, c.Same)
	}
	fmt.Fprintf(env.Stdout, "not rated %d\n", result.FailureCount)
	for _, failure := range result.Failures {
		fmt.Fprintf(env.Stderr, "stay %s, by the %s tariff: %v\n", failure.StayID, failure.Side, failure.Err)
	}
	return nil
}
