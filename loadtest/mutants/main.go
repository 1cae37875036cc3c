package mutants

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"freeflow/internal/clock"
)

const usage = `Usage: loadtest mutants [flags] FOLDER...

Changes one operator at a time in the packages of these folders, and looks
whether their tests notice. Run it in the module's own folder.

  loadtest mutants billing/collect billing/payment
  loadtest mutants --sample 60 --seed 7 billing/payment

Exit status 1 if a package has less than --least of a hundred noticed.

`

// Main runs "loadtest mutants" and gives its exit status: 0 good, 1 missed too
// much or failed, 2 bad usage.
func Main(ctx context.Context, clk clock.Clock, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("loadtest mutants", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	sample := flags.Int("sample", 0, "how many mutants of each package, drawn at random; 0 is all")
	seed := flags.Uint64("seed", 1, "of the sample")
	workers := flags.Int("workers", 2, "how many run side by side")
	least := flags.Int("least", 80, "how many of a hundred must be noticed")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() == 0 || *sample < 0 || *workers < 1 || *least < 0 || *least > 100:
		flags.Usage()
		return 2
	}
	status := 0
	for _, folder := range flags.Args() {
		folder = filepath.Clean(folder)
		began := clk.Now()
		tally, err := Package(ctx, folder, Config{Sample: *sample, Seed: *seed, Workers: *workers, Clock: clk, Out: stdout})
		if err != nil {
			fmt.Fprintf(stderr, "loadtest mutants: %s: %v\n", folder, err)
			return 1
		}
		fmt.Fprintf(stdout, "%s: %d of 100 noticed: %d killed, %d lived, %d not covered (%d do not compile), %.0f s\n",
			folder, tally.Score(), tally.Killed, tally.Lived, tally.Uncovered, tally.NoProgram, clk.Now().Sub(began).Seconds())
		if tally.Score() < *least {
			status = 1
		}
	}
	return status
}
