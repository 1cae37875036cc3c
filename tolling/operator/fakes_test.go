package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/rsu"
	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

const key = "operator-key-0123456789"

var (
	hk  = time.FixedZone("HKT", 8*3600)
	now = time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
)

// faultyBooks are real books that fail where a test says so.
type faultyBooks struct {
	*books.Store
	mu   sync.Mutex
	fail error
	// loseReply makes Decide answer ErrConflict although it has decided, as if
	// the first reply had been lost and the books had been asked again.
	loseReply bool
	failAfter int // List fails after so many calls; 0: never
	lists     int
}

func (b *faultyBooks) List(ctx context.Context, f billing.Filter) ([]billing.Pass, error) {
	b.mu.Lock()
	b.lists++
	fail := b.fail
	if b.failAfter > 0 && b.lists > b.failAfter {
		fail = errors.New("disk on fire")
	}
	b.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	return b.Store.List(ctx, f)
}

func (b *faultyBooks) Decide(ctx context.Context, id string, revision int64, d billing.Decision) (billing.Pass, error) {
	p, err := b.Store.Decide(ctx, id, revision, d)
	if b.loseReply && err == nil {
		return billing.Pass{}, billing.ErrConflict
	}
	return p, err
}

// fakeRegistry parses for real and keeps nothing.
type fakeRegistry struct {
	enter, leave chan struct{} // set: Put says that it runs and waits
}

func (r *fakeRegistry) Put(_ context.Context, in io.Reader) (int64, int, error) {
	if r.enter != nil {
		r.enter <- struct{}{}
		<-r.leave
	}
	rows, err := registry.Parse(in, func(class string) bool { return class == "taxi" })
	if err != nil {
		return 0, 0, fmt.Errorf("parsing: %w", err)
	}
	return 7, len(rows), nil
}

type fakeExplainer struct{ err error }

func (x fakeExplainer) Explain(_ context.Context, id string) (Explanation, error) {
	return Explanation{Complete: true, Reads: []rsu.Read{{Unit: "CHT-N-1", Seq: 9, TimeMicros: now.UnixMicro(),
		Plate: "AB1234", Confidence: rsu.Some(0.5)}}}, x.err
}

type fakeBasis struct{}

func (fakeBasis) Basis(p billing.Pass) string { return fmt.Sprint("basis of ", p.ID, p.Revision) }

type fakeNetwork struct{}

func (fakeNetwork) Rate(point, class string, at time.Time) (tariff.Toll, error) {
	switch point {
	case "CHT-N":
		return tariff.Toll{Cents: 2500, Version: "v1", Rule: point + " " + class}, nil
	case "CHT-S":
		return tariff.Toll{Cents: 2600, Version: "v1", Rule: point + " " + class}, nil
	case "XXX-N":
		return tariff.Toll{}, &tariff.NoTariffError{Place: point, Class: class, At: at, Reason: "none yet"}
	default:
		return tariff.Toll{}, &tariff.UnknownError{Kind: "facility", Name: point, Network: "test", Known: []string{"CHT"}}
	}
}
func (fakeNetwork) KnowsClass(class string) bool { return class == "taxi" || class == "lgv" }
func (fakeNetwork) Classes() []string            { return []string{"taxi", "lgv"} }
func (fakeNetwork) Zone() *time.Location         { return hk }

type fakeAlarms struct{}

func (fakeAlarms) Alarms(context.Context) ([]Alarm, error) {
	return []Alarm{{Kind: "sequence-gap", Unit: "CHT-N-1", First: now, Last: now, Count: 2, Detail: "3 numbers are missing"}}, nil
}

type server struct {
	*echo.Echo
	books *faultyBooks
	// next is the offset of the next batch.
	next *int64
}

func newServer(t *testing.T, change ...func(*Parts)) server {
	t.Helper()
	clk := clock.At(now)
	log := slog.New(slog.DiscardHandler)
	store, err := books.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "books.db"),
		books.Options{Migrate: true, Clock: clk, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	faulty := &faultyBooks{Store: store}
	parts := Parts{Books: faulty, Registry: &fakeRegistry{}, Explainer: fakeExplainer{}, Basis: fakeBasis{},
		Network: fakeNetwork{}, Alarms: fakeAlarms{}, Clock: clk}
	for _, f := range change {
		f(&parts)
	}
	api, err := New(parts)
	if err != nil {
		t.Fatal(err)
	}
	e := web.NewEcho(log, clk)
	check, err := web.Bearer(web.Key{Name: "operator", Secret: key})
	if err != nil {
		t.Fatal(err)
	}
	api.Routes(e, check)
	return server{e, faulty, new(int64)}
}

func (s server) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// id makes a pass id of a number.
func id(n int) string { return fmt.Sprintf("%032x", n) }

// pass makes the n-th pass, one a second.
func pass(n int) billing.Pass {
	at := time.Date(2026, 11, 23, 0, 0, n, 123456000, time.UTC).UnixMicro()
	return billing.Pass{ID: id(n), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "AB1234", Registered: true,
		FirstMicros: at, LastMicros: at + 5, Revision: 1, Status: billing.StatusCharged, Class: "taxi", Account: "A1",
		AmountCents: 2500, Currency: "HKD", Rule: "CHT taxi", TariffVersion: "v1"}
}

func reviewPass(n int) billing.Pass {
	p := pass(n)
	p.Status, p.AmountCents, p.Rule, p.Reasons = billing.StatusReview, 0, "", "same-car-twice,weak-plate"
	return p
}

// put posts passes: one of a later revision after a first one under review, a
// swallowed one after it stood.
func (s server) put(t *testing.T, passes ...billing.Pass) {
	t.Helper()
	firsts := slices.Clone(passes)
	var seconds []billing.Pass
	for i := range firsts {
		p := &firsts[i]
		if p.Revision == 1 {
			continue
		}
		seconds = append(seconds, passes[i])
		p.Revision, p.MergedInto = 1, ""
		p.Status, p.AmountCents, p.Reasons = billing.StatusReview, 0, "weak-plate"
	}
	for _, batch := range [][]billing.Pass{firsts, seconds} {
		err := s.books.Post(t.Context(), billing.Batch{From: *s.next, To: *s.next + 1, PostedAt: now, Passes: batch})
		if err != nil {
			t.Fatal(err)
		}
		*s.next++
	}
}

// history returns what the books know of the first pass.
func (s server) history(t *testing.T) billing.History {
	t.Helper()
	h, err := s.books.History(t.Context(), id(1))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// verify proves the books' invariants.
func (s server) verify(t *testing.T) {
	t.Helper()
	checks, err := s.books.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			t.Errorf("%s: %s", v.Invariant, v.Detail)
		}
	}
}
