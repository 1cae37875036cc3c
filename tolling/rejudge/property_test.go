package rejudge

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"freeflow/billing"
)

// seeds are the seeds to try: FREEFLOW_SEED alone, or FREEFLOW_SEEDS of them.
func seeds(t *testing.T, usual int) (first, last uint64) {
	t.Helper()
	first, last = 1, uint64(usual)
	if s := os.Getenv("FREEFLOW_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n, n
	}
	if s := os.Getenv("FREEFLOW_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		last = n
	}
	return first, last
}

func sqliteURL(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "books.db") }

// The property of the whole: whatever the first registry, the reads, the
// corrections and their order, the crashes on the way, the end is what the
// oracle makes of the reads under the last registry from the start.
func TestCorrectionsAgreeWithTheOracle(t *testing.T) {
	first, last := seeds(t, 40)
	var worked work
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { worked.add(correctOneByOne(t, sqliteURL(t), seed)) })
	}
	worked.check(t, first, last)
}

// work is what runs came to, so that a test that corrects nothing fails.
type work struct {
	mu                  sync.Mutex
	jobs, reads, passes int64
}

func (w *work) add(o *work) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs += o.jobs
	w.reads += o.reads
	w.passes += o.passes
}

func (w *work) check(t *testing.T, first, last uint64) {
	t.Helper()
	t.Logf("%d runs, %d touched reads, %d passes changed", w.jobs, w.reads, w.passes)
	if n := int64(last - first); n > 5 && (w.jobs < n || w.passes < 5*n) {
		t.Errorf("%d runs changed %d passes: little was tested", w.jobs, w.passes)
	}
}

// worked sums up the finished runs.
func (r *rig) worked() *work {
	w := &work{}
	jobs, err := r.books.RejudgeJobs(r.Context(), 0, 1000)
	if err != nil {
		r.Fatal(err)
	}
	for _, j := range jobs {
		if j.Skipped != 0 || j.FinishedAt.IsZero() {
			r.Errorf("seed %d: job %+v\n%s", r.seed, j, r.said.String())
		}
		w.jobs, w.reads, w.passes = w.jobs+1, w.reads+j.Reads, w.passes+j.Passes
	}
	return w
}

var errCrash = errors.New("crash")

func correctOneByOne(t *testing.T, url string, seed uint64) *work {
	r := newRig(t, url, seed, 60+int(seed%200))
	r.put(r.rows)
	posted := [partitions]int64{}
	ahead := func() {
		for p := range partitions {
			rest := int64(len(r.records[p])) - posted[p]
			posted[p] += r.rng.Int64N(rest + 1)
			if err := r.serve(p, posted[p], 1+r.rng.IntN(60), r.rng, func() {}); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
	ahead()
	for n := range 1 + r.rng.IntN(4) {
		r.put(r.correct())
		if r.rng.IntN(2) == 0 {
			ahead()
		}
		r.runToEnd(n)
		if r.rng.IntN(2) == 0 {
			ahead()
		}
	}
	for p := range partitions {
		posted[p] = int64(len(r.records[p]))
		if err := r.serve(p, posted[p], 50, r.rng, func() {}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	r.runToEnd(99)
	r.expect("corrected")
	// Once more changes nothing, also from the start.
	before := r.lines()
	events, err := r.books.Unpublished(t.Context(), 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	r.runToEnd(100)
	again, err := r.books.Unpublished(t.Context(), 1_000_000)
	if err != nil || len(again) != len(events) || len(r.lines()) != len(before) {
		t.Errorf("seed %d: running again posted: %d events, %d before, %v", seed, len(again), len(events), err)
	}
	return r.worked()
}

// runToEnd runs until nothing is to be done, with crashes on the way: the next
// start finds the lease of the one before over, or is the same process.
func (r *rig) runToEnd(round int) {
	r.Helper()
	for start := 0; ; start++ {
		if start > 200 {
			r.Fatalf("seed %d: no end after %d starts", r.seed, start)
		}
		run := r.runner(fmt.Sprint("r", round, "-", start))
		crash := r.rng.IntN(3) == 0 && start < 20
		run.hook = func(string) error {
			if crash && r.rng.IntN(4) == 0 {
				return errCrash
			}
			return nil
		}
		err := run.Once(r.Context())
		if err == nil {
			return
		}
		if !errors.Is(err, errCrash) {
			r.Fatalf("seed %d: %v", r.seed, err)
		}
		if err := r.runner("another").Once(r.Context()); !errors.Is(err, billing.ErrConflict) {
			r.Fatalf("seed %d: a second process took over at once: %v", r.seed, err)
		}
		r.clock.Advance(lease)
	}
}

// The same while matchers post at the same time: corrections come while reads
// do, the runner works while they are posted.
func TestCorrectionsWhileReadsArePosted(t *testing.T) {
	first, last := seeds(t, 15)
	var worked work
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { worked.add(correctMeanwhile(t, sqliteURL(t), seed)) })
	}
	worked.check(t, first, last)
}

func correctMeanwhile(t *testing.T, url string, seed uint64) *work {
	r := newRig(t, url, seed, 200+int(seed%200))
	r.put(r.rows)
	var wg sync.WaitGroup
	failed := make(chan error, partitions)
	fetched, done := make(chan struct{}, 10_000), make(chan struct{})
	for p := range partitions {
		rng := rand.New(rand.NewPCG(seed, uint64(p)))
		wg.Go(func() {
			// Begun again now and then, as after a rebalance.
			for until := int64(0); until < int64(len(r.records[p])); {
				until += 1 + rng.Int64N(int64(len(r.records[p]))-until)
				if err := r.serve(p, until, 6, rng, func() { fetched <- struct{}{} }); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	go func() {
		wg.Wait()
		close(done)
	}()
	for n := range 6 {
		for range 4 {
			select {
			case <-fetched:
			case <-done:
			}
		}
		r.put(r.correct())
		r.runToEnd(n)
	}
	<-done
	close(failed)
	for err := range failed {
		t.Fatalf("seed %d: %v", seed, err)
	}
	r.runToEnd(99)
	r.expect("corrected meanwhile")
	return r.worked()
}
