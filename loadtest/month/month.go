// Package month is the proof of accounts and billing: one scripted month in the
// life of many accounts, on a simulated clock, in the assembled services over
// SQLite or PostgreSQL, with a bank that misbehaves and processes that die.
//
// Invariants: the script is a function of the seed and the configuration, though
// not where processes meet or what ids are drawn; what must come out is said by
// loadtest/month/reckon, which is written apart; after the script every
// invariant of the books holds, every account stands to the cent where the
// oracle has it, the bank moved what the ledger says, and running every job
// again changes nothing.
//
// Not promised: HTTP in front of accounts and staff (their routes have tests of
// their own); here the services are called as the routes call them. The bank
// alone is spoken to over HTTP.
package month

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"freeflow/internal/clock"
)

// Config is one run.
type Config struct {
	// Accounts is how many there are, Days how long the month is.
	Accounts, Days int
	Seed           uint64
	// Database is sqlite:PATH or postgres://..., which must be empty; sqlite
	// alone is a file in a folder that goes away again.
	Database string
	// Processes is how many sets of services share the database: 0 is one on
	// SQLite and two on PostgreSQL.
	Processes int
	// Crashes is about how often a set of services dies.
	Crashes int
}

// Bounds of a configuration.
const (
	leastAccounts = 100
	mostAccounts  = 100_000
	leastDays     = 24 // the last day and what follows reach into the next month
	mostDays      = 31
)

func flags(c *Config) *pflag.FlagSet {
	f := pflag.NewFlagSet("loadtest month", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	f.IntVar(&c.Accounts, "accounts", 10_000, "accounts in the script")
	f.IntVar(&c.Days, "days", 31, "days of the month")
	f.Uint64Var(&c.Seed, "seed", 0, "seed of the script; 0 takes one from the clock and prints it")
	f.StringVar(&c.Database, "database", "sqlite", "an empty database: sqlite:PATH or postgres://...; sqlite alone is a file that goes away again")
	f.IntVar(&c.Processes, "processes", 0, "sets of services on the database; 0 is one on SQLite, two on PostgreSQL")
	f.IntVar(&c.Crashes, "crashes", 40, "about how often a set of services dies")
	return f
}

func (c *Config) check() error {
	var errs []error
	refuse := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(c.Accounts < leastAccounts || c.Accounts > mostAccounts, "--accounts %d: it must be %d to %d", c.Accounts, leastAccounts, mostAccounts)
	refuse(c.Days < leastDays || c.Days > mostDays, "--days %d: it must be %d to %d", c.Days, leastDays, mostDays)
	refuse(c.Database != "sqlite" && !strings.HasPrefix(c.Database, "sqlite:") && !strings.HasPrefix(c.Database, "postgres://"),
		"--database %q: it must be sqlite, sqlite:PATH or postgres://...", c.Database)
	refuse(c.Processes < 0 || c.Processes > 4, "--processes %d: it must be 0 to 4", c.Processes)
	refuse(c.Crashes < 0 || c.Crashes > 10_000, "--crashes %d: it must be 0 to 10000", c.Crashes)
	return errors.Join(errs...)
}

// Main runs the command line; args are those after "month". The report goes to
// stdout, progress to stderr. The exit status is 0 if everything is as it must
// be, 1 if not, 2 for a command line that cannot be.
func Main(ctx context.Context, clk clock.Clock, args []string, stdout, stderr io.Writer) int {
	var c Config
	f := flags(&c)
	err := f.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(stdout, "Usage: loadtest month [flags]\n\nOne scripted month in the life of many accounts, checked to the cent.\n\n%s", f.FlagUsages())
		return 0
	}
	if err == nil && f.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		fmt.Fprintf(stderr, "loadtest month: %v\n", err)
		return 2
	}
	r, err := Run(ctx, clk, c, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "loadtest month: %v\n", err)
		return 1
	}
	r.write(stdout)
	if !r.Good() {
		return 1
	}
	return 0
}

// Report is what a run did and found.
type Report struct {
	Config
	// Took is how long each part took, by the machine's clock.
	Took []Part
	// Counts say how often things happened, in words.
	Counts []Count
	// Wrong are the findings; empty if everything is as it must be. Checked says
	// what was compared.
	Wrong   []string
	Checked []Count
}

// Part is a part of the run.
type Part struct {
	Name string
	Took time.Duration
}

// Count is a number of things.
type Count struct {
	What string
	N    int64
}

// Good reports whether everything is as it must be.
func (r *Report) Good() bool { return len(r.Wrong) == 0 }

// shownWrong bounds how many findings are kept.
const shownWrong = 40

func (r *Report) wrong(format string, args ...any) {
	if len(r.Wrong) < shownWrong {
		r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
	} else if len(r.Wrong) == shownWrong {
		r.Wrong = append(r.Wrong, "and more")
	}
}

func (r *Report) count(what string, n int64) { r.Counts = append(r.Counts, Count{what, n}) }

func (r *Report) checked(what string, n int64) { r.Checked = append(r.Checked, Count{what, n}) }

func (r *Report) write(out io.Writer) {
	kind, _, _ := strings.Cut(r.Database, ":")
	fmt.Fprintf(out, "%d accounts, %d days, seed %d, %s\n", r.Accounts, r.Days, r.Seed, kind)
	for _, c := range r.Counts {
		fmt.Fprintf(out, "  %9d %s\n", c.N, c.What)
	}
	fmt.Fprintln(out, "compared")
	for _, c := range r.Checked {
		fmt.Fprintf(out, "  %9d %s\n", c.N, c.What)
	}
	fmt.Fprintln(out, "took")
	for _, p := range r.Took {
		fmt.Fprintf(out, "  %8.1fs %s\n", p.Took.Seconds(), p.Name)
	}
	for _, w := range r.Wrong {
		fmt.Fprintf(out, "WRONG: %s\n", w)
	}
	if r.Good() {
		fmt.Fprintln(out, "everything is as it must be")
	}
}

// seedEvery is how long the clock gives the same seed.
const seedEvery = 8

// Run plays the script and compares; an error means that it could not be
// played. The report's Wrong says what is not as it must be.
func Run(ctx context.Context, clk clock.Clock, c Config, progress io.Writer) (*Report, error) {
	return run(ctx, clk, c, progress, func(context.Context, *world) error { return nil })
}

// run is Run, and lets a test look at the world once everything was compared.
func run(ctx context.Context, clk clock.Clock, c Config, progress io.Writer, look func(context.Context, *world) error) (*Report, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Seed == 0 {
		c.Seed = uint64(clk.Now().Unix() / seedEvery)
	}
	if c.Processes == 0 {
		c.Processes = 1
		if strings.HasPrefix(c.Database, "postgres:") {
			c.Processes = 2
		}
	}
	dir, err := os.MkdirTemp("", "month-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system cleans up what is left
	if c.Database == "sqlite" {
		c.Database = "sqlite:" + filepath.Join(dir, "month.db")
	}
	fmt.Fprintf(progress, "%d accounts, %d days, seed %d\n", c.Accounts, c.Days, c.Seed)
	w, err := newWorld(ctx, clk, c, dir, progress)
	if err == nil {
		err = w.play(ctx)
		if err == nil {
			err = w.check(ctx)
		}
		if err == nil {
			err = look(ctx, w)
		}
		err = errors.Join(err, w.close())
	}
	if err != nil {
		return nil, fmt.Errorf("seed %d: %w", c.Seed, err)
	}
	slices.SortFunc(w.report.Counts, func(a, b Count) int { return strings.Compare(a.What, b.What) })
	return w.report, nil
}
