package collect

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"freeflow/billing"
	"freeflow/internal/clock"
)

// books are books in which postings wait; each call takes at most two.
type books struct {
	mu      sync.Mutex
	waiting []time.Time
	failing error
	calls   int
	// moved counts the calls of MoveOn.
	moved int
}

func (b *books) MoveOn(context.Context, int, time.Time) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.moved++
	return 0, nil
}

func (b *books) FollowPostings(_ context.Context, _ int, _ time.Time) (billing.Followed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.failing != nil {
		return billing.Followed{}, b.failing
	}
	n := min(2, len(b.waiting))
	done := billing.Followed{Postings: n, Collected: 3 * n, GivenBack: n}
	if n > 0 {
		done.Oldest = b.waiting[0]
	}
	b.waiting = b.waiting[n:]
	return done, nil
}

func (b *books) Unfollowed(context.Context) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return time.Time{}, nil
	}
	return b.waiting[0], nil
}

func (b *books) set(failing error, waiting ...time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing, b.waiting = failing, append(b.waiting, waiting...)
}

func (b *books) state() (calls, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls, len(b.waiting)
}

func newCollector(t *testing.T, b *books, yield bool) (*Collector, *prometheus.Registry) {
	t.Helper()
	metrics := prometheus.NewRegistry()
	c, err := New(Parts{Books: b, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Metrics: metrics, Yield: yield})
	if err != nil {
		t.Fatal(err)
	}
	return c, metrics
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := New(Parts{}); err == nil || !strings.Contains(err.Error(), "are needed") {
		t.Errorf("made of nothing: %v", err)
	}
	b := &books{}
	c, metrics := newCollector(t, b, false)
	for name, without := range map[string]func(*Parts){
		"books": func(p *Parts) { p.Books = nil }, "clock": func(p *Parts) { p.Clock = nil },
		"log": func(p *Parts) { p.Log = nil }, "metrics": func(p *Parts) { p.Metrics = nil },
	} {
		p := Parts{Books: b, Clock: c.p.Clock, Log: c.p.Log, Metrics: prometheus.NewRegistry()}
		without(&p)
		if _, err := New(p); err == nil {
			t.Errorf("made without its %s", name)
		}
	}
	if _, err := New(Parts{Books: b, Clock: c.p.Clock, Log: c.p.Log, Metrics: metrics}); err == nil {
		t.Error("two sets of the same figures were registered")
	}
}

func TestCatchUp(t *testing.T) {
	at := clock.System{}.Now()
	b := &books{waiting: []time.Time{at, at, at, at, at}}
	c, metrics := newCollector(t, b, false)
	if err := c.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if calls, waiting := b.state(); calls != 4 || waiting != 0 {
		t.Errorf("%d calls left %d waiting", calls, waiting)
	}
	want := `
# HELP freeflow_collect_collections_total Receivables paid out of wallets by themselves.
# TYPE freeflow_collect_collections_total counter
freeflow_collect_collections_total 15
# HELP freeflow_collect_failures_total Batches of postings that could not be followed and were tried again.
# TYPE freeflow_collect_failures_total counter
freeflow_collect_failures_total 0
# HELP freeflow_collect_given_back_total Collections undone since less was owed, or by another.
# TYPE freeflow_collect_given_back_total counter
freeflow_collect_given_back_total 5
# HELP freeflow_collect_lag_seconds Age of the oldest posting that is known to wait; 0 if none is.
# TYPE freeflow_collect_lag_seconds gauge
freeflow_collect_lag_seconds 0
# HELP freeflow_collect_postings_total Postings that receivables were brought in line with.
# TYPE freeflow_collect_postings_total counter
freeflow_collect_postings_total 5
`
	want = strings.Replace(want, "known to wait; 0", "known to wait for its receivables; 0", 1)
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	b.set(errors.New("no disk"), at)
	if err := c.CatchUp(t.Context()); err == nil || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("caught up with %v", err)
	}
}

// TestRun: the collector follows within its idle time, waits longer after each
// failure, says how far it is behind meanwhile, and goes on by itself.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &books{}
		c, _ := newCollector(t, b, true)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		synctest.Wait()
		began := clock.System{}.Now()
		b.set(nil, began, began, began)
		time.Sleep(idle)
		synctest.Wait()
		if _, waiting := b.state(); waiting != 0 {
			t.Errorf("%d wait after %v", waiting, idle)
		}
		b.set(errors.New("no disk"), clock.System{}.Now())
		failedAt, _ := b.state()
		time.Sleep(time.Minute)
		synctest.Wait()
		calls, _ := b.state()
		// 0.2 + 0.4 + ... + 6.4 s, then every 10 s.
		if tries := calls - failedAt; tries < 8 || tries > 13 {
			t.Errorf("tried %d times in a minute", tries)
		}
		if lag := c.Lag(); lag < 59*time.Second || lag > 61*time.Second {
			t.Errorf("behind by %v", lag)
		}
		b.set(nil)
		time.Sleep(backoffTo + idle)
		synctest.Wait()
		if _, waiting := b.state(); waiting != 0 || c.Lag() != 0 {
			t.Errorf("%d wait, behind by %v", waiting, c.Lag())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}
