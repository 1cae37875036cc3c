package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
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

// fakeBooks keeps passes in memory, with the books' own rules of order,
// filters and decisions.
type fakeBooks struct {
	billing.Reading // what is not overridden must not be called
	mu              sync.Mutex
	passes          []billing.Pass
	decided         int
	rows            []billing.Assignment
	version         int64
	fail            error
	// loseReply makes the next Decide succeed but answer ErrConflict, as if
	// the first reply had been lost and the caller had asked again.
	loseReply bool
	failAfter int // List fails after so many calls; 0: never
	lists     int
}

func (b *fakeBooks) List(_ context.Context, f billing.Filter) ([]billing.Pass, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lists++
	if b.fail != nil || b.failAfter > 0 && b.lists > b.failAfter {
		return nil, errors.Join(b.fail, errors.New("disk on fire"))
	}
	sorted := slices.Clone(b.passes)
	slices.SortFunc(sorted, func(x, y billing.Pass) int { return compare(billing.CursorOf(x), billing.CursorOf(y)) })
	var out []billing.Pass
	for _, p := range sorted {
		if p.MergedInto != "" || f.Vehicle != "" && p.Vehicle != f.Vehicle || f.Account != "" && p.Account != f.Account ||
			f.Status != "" && p.Status != f.Status || p.FirstMicros < f.FromMicros ||
			f.ToMicros != 0 && p.FirstMicros >= f.ToMicros || compare(billing.CursorOf(p), f.After) <= 0 {
			continue
		}
		if out = append(out, p); len(out) == f.Limit {
			break
		}
	}
	return out, nil
}

func compare(a, b billing.Cursor) int {
	if a.FirstMicros != b.FirstMicros {
		return int(max(-1, min(1, a.FirstMicros-b.FirstMicros)))
	}
	return strings.Compare(a.TollPoint+"\x00"+a.Vehicle+"\x00"+a.ID, b.TollPoint+"\x00"+b.Vehicle+"\x00"+b.ID)
}

func (b *fakeBooks) History(_ context.Context, id string) (billing.History, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.passes {
		if p.ID == id {
			h := billing.History{Pass: p}
			if p.AmountCents > 0 {
				h.Transactions = []billing.Transaction{{ID: "t1", Kind: "toll", PassID: id, Revision: p.Revision,
					Currency: "HKD", PostedAt: now, Entries: []billing.Entry{
						{Account: "account:" + p.Account, AmountCents: p.AmountCents},
						{Account: "operator:" + p.Facility, AmountCents: -p.AmountCents}}}}
			}
			if p.Revision > 1 {
				h.Revisions = []billing.Revision{{Revision: p.Revision - 1, ReplacedAt: now, FirstMicros: p.FirstMicros,
					LastMicros: p.FirstMicros, Status: billing.StatusReview, Reasons: "weak-plate"}}
			}
			return h, b.fail
		}
	}
	return billing.History{}, fmt.Errorf("pass %s: %w", id, billing.ErrNotFound)
}

func (b *fakeBooks) Decide(_ context.Context, id string, revision int64, d billing.Decision) (billing.Pass, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.passes {
		p := &b.passes[i]
		if p.ID != id {
			continue
		}
		if p.Revision != revision || p.Status != billing.StatusReview {
			return billing.Pass{}, billing.ErrConflict
		}
		p.Revision++
		p.Status, p.Class, p.Account, p.AmountCents, p.Rule = d.Status, d.Class, d.Account, d.AmountCents, d.Rule
		p.Reasons, p.Decision = "", &d
		b.decided++
		if b.loseReply {
			return billing.Pass{}, billing.ErrConflict
		}
		return *p, nil
	}
	return billing.Pass{}, billing.ErrNotFound
}

func (b *fakeBooks) PutRegistry(context.Context, []billing.Assignment, time.Time) (int64, error) {
	return 0, errors.New("the API writes by Registry.Put")
}
func (b *fakeBooks) RegistryVersion(context.Context) (int64, error) { return b.version, b.fail }
func (b *fakeBooks) Registry(context.Context) ([]billing.Assignment, int64, error) {
	return b.rows, b.version, b.fail
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

func (fakeNetwork) Rate(facility, class string, at time.Time) (tariff.Toll, error) {
	if facility == "XXX" {
		return tariff.Toll{}, &tariff.NoTariffError{Facility: facility, Class: class, At: at, Reason: "none yet"}
	}
	return tariff.Toll{Cents: 2500, Version: "v1", Rule: facility + " " + class}, nil
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
	books *fakeBooks
	parts Parts
}

func newServer(t *testing.T, change ...func(*Parts)) server {
	t.Helper()
	books := &fakeBooks{version: 7}
	parts := Parts{Books: books, Registry: &fakeRegistry{}, Explainer: fakeExplainer{}, Basis: fakeBasis{},
		Network: fakeNetwork{}, Alarms: fakeAlarms{}, Clock: clock.At(now)}
	for _, f := range change {
		f(&parts)
	}
	api, err := New(parts)
	if err != nil {
		t.Fatal(err)
	}
	e := web.NewEcho(slog.New(slog.DiscardHandler), parts.Clock)
	check, err := web.Bearer(web.Key{Name: "operator", Secret: key})
	if err != nil {
		t.Fatal(err)
	}
	api.Routes(e, check)
	return server{e, books, parts}
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
