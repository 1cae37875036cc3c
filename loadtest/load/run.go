package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"

	"freeflow/internal/clock"
	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
)

// Exit statuses, as freeflow's.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main runs the command line: the report as a table to stdout, progress to
// stderr. It fails if a read was lost or a charge is not as it must be.
func Main(ctx context.Context, clk clock.Clock, args []string, stdout, stderr io.Writer) int {
	c, err := parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(stdout, "Usage: loadtest [flags]\n\nSends a city's reads to a running freeflow and checks its charges.\n\n%s", flags(&Config{}).FlagUsages())
		return exitGood
	}
	if err != nil {
		fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return exitUsage
	}
	r, err := Run(ctx, clk, c, stderr)
	if err == nil {
		err = deliver(r, c.Report, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return exitFailed
	}
	if !r.good() {
		return exitFailed
	}
	return exitGood
}

func deliver(r *report, path string, stdout io.Writer) error {
	if err := r.writeTable(stdout); err != nil {
		return err
	}
	if path == "" {
		return nil
	}
	var b bytes.Buffer
	if err := r.writeJSON(&b); err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// recent is how long the passes of a run can relate to those of the next.
const recent = 150 * time.Second

// lead is how far ahead of its due time a request is made.
const lead = 300 * time.Millisecond

// runner is one run under way.
type runner struct {
	Config
	clock    clock.Clock
	progress io.Writer
	api      *api
	judge    *oracle.Judge
	start    time.Time
	city     traffic.City
	planner  *planner
	sender   *sender
	follower *follower
	usages   []*usage
}

// seedEvery is how long the clock gives the same seed. The vehicles of the
// next seeds are others, so that runs may follow each other closely.
const seedEvery = 8 * time.Second

// Run makes one run: registry, traffic, settling, checking.
func Run(ctx context.Context, clk clock.Clock, c Config, progress io.Writer) (*report, error) {
	if c.Seed == 0 {
		c.Seed = uint64(clk.Now().Unix() / int64(seedEvery/time.Second))
	}
	r := &runner{Config: c, clock: clk, progress: progress, api: newAPI(c)}
	usages, err := newUsages(append([]int{os.Getpid()}, c.PIDs...))
	if err != nil {
		return nil, err
	}
	r.usages = usages
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	stopped := r.drive(ctx)
	rep := r.report(stopped)
	if c.Operator != "" {
		if rep.Charges, err = r.settle(ctx, rep); err != nil {
			return nil, fmt.Errorf("checking the charges: %w", err)
		}
		rep.ChargesPerSec = float64(rep.Charges.Expected) / rep.Seconds
	}
	return rep, nil
}

// prepare puts the registry in force and builds everything up to the first
// request.
func (r *runner) prepare(ctx context.Context) error {
	r.city = r.Config.city(r.clock.Now())
	if r.Operator != "" && !r.KeepRegistry {
		fmt.Fprintf(r.progress, "putting a registry of %d vehicles in force\n", r.Vehicles)
		if err := r.api.putRegistry(ctx, r.city.WriteRegistry); err != nil {
			return fmt.Errorf("putting the registry in force: %w", err)
		}
	}
	var registry bytes.Buffer
	if err := r.city.WriteRegistry(&registry); err != nil {
		return err
	}
	rows, err := oracle.ParseRegistry(&registry)
	if err != nil {
		return fmt.Errorf("reading the registry back: %w", err)
	}
	net, err := oracle.HongKong()
	if err != nil {
		return err
	}
	r.judge = oracle.New(net, rows)

	// "In force within a second", and a little to make requests ahead.
	r.start = r.clock.Now().Add(1500 * time.Millisecond)
	r.city = r.Config.city(r.start)
	if end := r.start.Add(r.Duration); end.After(oracle.HongKongUntil) {
		return fmt.Errorf("the run would end at %s; the oracle knows the tolls until %s", end, oracle.HongKongUntil)
	}
	t, err := r.city.New()
	if err != nil {
		return err
	}
	e, err := newEncoder(r.Encoding, r.Compress)
	if err != nil {
		return err
	}
	free := make(chan *request, 4096)
	r.planner = newPlanner(t, e, r.Config, r.start, free, chooser(r.Config, r.judge))
	r.follower = newFollower(r.clock, r.api)
	r.sender = newSender(r.Config, r.clock, e, len(t.Units()), free, r.follower.acknowledged)
	return nil
}

// drive sends every request at its due time and waits for the answers. It
// returns why it stopped early, if it did.
func (r *runner) drive(ctx context.Context) string {
	if r.Operator != "" {
		// Only a warning: the charges may be another seed's.
		if busy, err := r.api.has(ctx, "", span{r.start.Add(-recent).UnixMicro(), r.start.UnixMicro()}); err == nil && busy {
			fmt.Fprintf(r.progress, "there are charges of the last %s; unless they are of another seed, passes will join and the check will fail\n", recent)
		}
	}
	fmt.Fprintf(r.progress, "sending %.0f reads a second for %s, seed %d\n", r.Rate, r.Duration, r.Seed)
	r.sender.start(ctx)
	r.follower.start(ctx)
	watched := make(chan struct{})
	watching, stop := context.WithCancel(ctx)
	go func() {
		defer close(watched)
		for watching.Err() == nil {
			for _, u := range r.usages {
				u.sample()
			}
			pause(watching, 500*time.Millisecond)
		}
	}()
	stopped := r.send(ctx)
	r.sender.finish()
	r.follower.finish()
	stop()
	<-watched
	for _, u := range r.usages {
		u.sample()
	}
	return stopped
}

// send is the open loop. Requests are made by another goroutine a little ahead
// of their time, so that making them delays none.
func (r *runner) send(ctx context.Context) (stopped string) {
	ready := make(chan *request, 1024)
	planned := make(chan error, 1)
	planning, stop := context.WithCancel(ctx)
	go func() {
		planned <- r.plan(planning, ready)
		close(ready)
	}()
	defer func() {
		stop()
		if err := <-planned; err != nil && stopped == "" {
			stopped = err.Error()
		}
	}()
	for q := range ready {
		pause(ctx, r.until(q.due))
		if err := r.sender.dispatch(ctx, q); err != nil {
			return err.Error()
		}
		if why := r.sender.hopeless(); why != "" {
			return why
		}
	}
	return ""
}

func (r *runner) plan(ctx context.Context, ready chan<- *request) error {
	for {
		q, err := r.planner.following()
		if q == nil || err != nil {
			return err
		}
		pause(ctx, r.until(q.due)-lead)
		select {
		case ready <- q:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// until is the time that is left until an instant.
func (r *runner) until(micros int64) time.Duration {
	return time.Duration(micros-r.clock.Now().UnixMicro()) * time.Microsecond
}

func (r *runner) report(stopped string) *report {
	rep := &report{
		Started: r.start.UTC().Format(time.RFC3339), Seed: r.Seed, Rate: r.Rate, Seconds: r.Duration.Seconds(),
		Vehicles: r.Vehicles, Encoding: r.Encoding, Compress: r.Compress,
		Reads: r.planner.reads, Sent: r.sender.counts, Stopped: stopped,
		FromDue: quantilesOf(r.sender.fromDue), FromSend: quantilesOf(r.sender.fromSend),
		Posted: quantilesOf(r.follower.latest), PostedLeast: quantilesOf(r.follower.earliest),
		Following: r.follower.counts, Processes: r.usages,
	}
	rep.ReadsPerSec = float64(rep.Reads) / rep.Seconds
	return rep
}

// settle waits until the last charges stand and compares all.
func (r *runner) settle(ctx context.Context, rep *report) (*verdict, error) {
	fmt.Fprintf(r.progress, "checking the charges of %d reads\n", rep.Reads)
	// A run that stopped early ends with the last read that was planned.
	end := time.UnixMicro(min(r.planner.end, r.planner.next.TimeMicros))
	deadline := r.clock.Now().Add(r.Settle)
	for {
		asked := r.clock.Now()
		t, err := r.city.New()
		if err != nil {
			return nil, err
		}
		x := newExpectation(t, r.judge, end.UnixMicro(), r.sender.acknowledged)
		v, err := checkOnce(ctx, r.api, span{r.start.UnixMicro(), end.UnixMicro()}, x)
		if err != nil {
			return nil, err
		}
		if v.good() || asked.After(deadline) || rep.Stopped != "" {
			rep.SettledSeconds = max(0, asked.Sub(end).Seconds())
			return &v, nil
		}
		fmt.Fprintf(r.progress, "%d charges missing, %d different, %d extra; looking again\n", v.Missing, v.Different, v.Extra)
		pause(ctx, time.Second)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}
