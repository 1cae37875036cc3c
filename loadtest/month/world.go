package month

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/clock"
	"freeflow/loadtest/month/reckon"
	"freeflow/loadtest/oracle"
	"freeflow/rsu"
	"freeflow/tolling"
	"freeflow/tolling/governance"
	"freeflow/tolling/passage"
	"freeflow/tolling/tariff"
)

// network is the road network as all that is assembled here uses it.
type network interface {
	rsu.Roadside
	Point(name string) (tolling.TollPoint, bool)
	Rate(point, class string, at time.Time) (tariff.Toll, error)
	GapMicros() int64
	TurnRoundMicros() int64
	Currency() string
	Holiday(date string) (holiday, known bool)
}

// holidays are the network's, as deadlines need them.
type holidays struct{ network network }

// Holiday is recovery.Holidays.
func (h holidays) Holiday(date time.Time) (bool, error) {
	holiday, known := h.network.Holiday(date.Format(time.DateOnly))
	if !known {
		return false, fmt.Errorf("the general holidays of %d are not known", date.Year())
	}
	return holiday, nil
}

// counter counts, by several at once.
type counter struct{ n atomic.Int64 }

func (c *counter) add(n int64) { c.n.Add(n) }

// world is the script under way.
type world struct {
	Config
	*schedule
	clock    *clock.Fixed
	watch    clock.Clock // the machine's
	dir      string
	progress io.Writer
	rng      *rand.Rand // of the script
	fate     *rand.Rand // of processes
	network  network
	open     passage.Store
	bank     *theBank
	post     letters
	cast     *cast
	logs     [partitions]log
	sets     []*services
	builds   int

	office  *office
	rerate  billing.Rerate
	rerated time.Time
	rulings map[string]ruling // by pass key
	// endOwed and endHeld are what the ledger has of each account in the end.
	endOwed, endHeld map[string]int64
	// paidOf is what was paid in all to each creditor.
	paidOf map[string]int64

	fenced, died, flagged counter
	report                *Report
	counts                map[string]int64
	took                  map[string]time.Duration
	parts                 []string

	// What the oracle is told: the reads with when the books had them first,
	// other charges, when the ladder ran, pauses.
	reads  []oracle.Read
	posted map[string]time.Time // of the first read of a pass, by its mark and instant
	bills  []bill
	ladder reckon.World
	// tills is money that came over counters and machines, by means.
	tills map[string]int64
	// lines are what the oracle has of somebody, to explain a difference.
	lines         map[string][]string
	explainedOnes int
	// waiting are reads that come one step late.
	waiting []string
	// acts are what is due, in order, by instant.
	acts map[int64][]func(context.Context) error
}

func newWorld(ctx context.Context, watch clock.Clock, c Config, dir string, progress io.Writer) (_ *world, err error) {
	w := &world{
		Config: c, schedule: newSchedule(c.Days), watch: watch, dir: dir, progress: progress, rng: rand.New(rand.NewPCG(c.Seed, 0x3017)), fate: rand.New(rand.NewPCG(c.Seed, 0xdead)),
		open: newOpen(), report: &Report{}, counts: map[string]int64{}, took: map[string]time.Duration{},
		posted: map[string]time.Time{}, ladder: reckon.HongKong(), tills: map[string]int64{}, lines: map[string][]string{}, rulings: map[string]ruling{},
		endOwed: map[string]int64{}, endHeld: map[string]int64{}, paidOf: map[string]int64{}, acts: map[int64][]func(context.Context) error{},
	}
	w.report.Config = c
	w.clock = clock.At(w.day(-w.before).Add(-time.Hour))
	if err := books.Migrate(ctx, c.Database); err != nil {
		return nil, err
	}
	if w.office, err = openOffice(ctx, c.Database, w.clock, func() *books.Store { return w.sets[0].books }); err != nil {
		return nil, err
	}
	w.network = governance.Matching{Live: w.office.live}
	if w.bank, err = openBank(ctx, w.clock); err != nil {
		return nil, err
	}
	w.cast = newCast(&c, w.schedule, w.rng)
	for _, p := range w.cast.people {
		w.bank.opens(p)
	}
	for _, p := range w.cast.strangers {
		w.bank.opens(p)
	}
	for range c.Processes {
		s, err := w.build(ctx)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.sets = append(w.sets, s)
	}
	w.bank.receiver.Store(w.sets[0].pay)
	return w, nil
}

func (w *world) close() error {
	errs := []error{w.bank.close()}
	if w.office != nil {
		errs = append(errs, w.office.store.Close())
	}
	for _, s := range w.sets {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// timed counts what a part of the run takes of the machine's time.
func (w *world) timed(part string, run func() error) error {
	if _, known := w.took[part]; !known {
		w.parts = append(w.parts, part)
		w.took[part] = 0
	}
	began := w.watch.Now()
	err := run()
	w.took[part] += w.watch.Now().Sub(began)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", w.clock.Now().In(w.zone).Format(time.RFC3339), part, err)
	}
	return nil
}

// job runs a job of the product in every process at once. A process that dies
// at it is built anew, and does it again.
func (w *world) job(ctx context.Context, name string, run func(context.Context, *services) error) error {
	return w.timed(name, func() error {
		if w.fate.IntN(w.mortality()) == 0 {
			life := w.sets[w.fate.IntN(len(w.sets))].life
			life.left, life.after = 1+w.fate.IntN(12), w.fate.IntN(2) == 0
		}
		if len(w.sets) == 1 {
			return w.survive(ctx, 0, run)
		}
		var g errgroup.Group
		for i := range w.sets {
			g.Go(func() error { return w.survive(ctx, i, run) })
		}
		return g.Wait()
	})
}

// mortality is in how many jobs one process dies.
func (w *world) mortality() int {
	if w.Crashes == 0 {
		return 1 << 40
	}
	return max(1, 1500/w.Crashes)
}

// leases is longer than any process may fall silent before others take over.
const leases = 70 * time.Second

// survive runs a job in one process, and again in a new one if it dies.
func (w *world) survive(ctx context.Context, i int, run func(context.Context, *services) error) error {
	err := run(ctx, w.sets[i])
	if !w.sets[i].life.dead {
		w.sets[i].life.left = 0
		return err
	}
	w.died.add(1)
	dead := w.sets[i]
	s, err := w.build(ctx)
	if err != nil {
		return err
	}
	w.sets[i] = s
	if i == 0 {
		w.bank.receiver.Store(s.pay)
	}
	if err := dead.close(); err != nil {
		return err
	}
	if len(w.sets) == 1 {
		// What the dead one had claimed is let go of.
		w.clock.Advance(leases)
	}
	return run(ctx, s)
}

// play plays the script.
func (w *world) play(ctx context.Context) error {
	if err := w.timed("opening accounts", func() error { return w.openAccounts(ctx) }); err != nil {
		return err
	}
	w.plan()
	for d := -w.before; d < w.days+w.settles; d++ {
		if err := w.playDay(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
