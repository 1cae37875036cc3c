package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/attendant"
	"freeflow/parking/cashier"
	"freeflow/parking/finder"
	"freeflow/parking/sites"
	"freeflow/parking/store"
	"freeflow/parking/tariff"
)

const secret = "operator-key-0123456789"

// now is ten o'clock on a Tuesday in Hong Kong.
var now = time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)

// testSites keeps site files in memory, with the rules of Sites.
type testSites struct {
	mu    sync.Mutex
	files map[string]parking.Definition
	parks map[string]*parking.CarPark
	books map[string]*tariff.Book
	clock clock.Clock
	// changed hears of every definition that comes into force.
	changed func(*parking.CarPark) error
	fail    error
}

func (s *testSites) All() []*parking.CarPark {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*parking.CarPark
	for _, p := range s.parks {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *parking.CarPark) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

func (s *testSites) CarPark(id string) (*parking.CarPark, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.parks[id]
	return p, ok
}

func (s *testSites) Tariff(id string) (*tariff.Book, bool) { b, ok := s.books[id]; return b, ok }

func (s *testSites) Definition(_ context.Context, id string) (parking.Definition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.files[id]
	if !ok {
		return d, fmt.Errorf("car park %q: %w", id, parking.ErrNotFound)
	}
	return d, s.fail
}

func (s *testSites) Put(_ context.Context, id string, document []byte, version int64, by string) (parking.Definition, error) {
	park, err := sites.Parse(document)
	if err != nil {
		return parking.Definition{}, err
	}
	if park.ID != id {
		return parking.Definition{}, fmt.Errorf("%w: /id: is not the car park of the address", parking.ErrInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.files[id].Version
	if version >= 0 && version != have {
		return parking.Definition{}, fmt.Errorf("version %d: %w", have, parking.ErrStale)
	}
	d := parking.Definition{CarPark: id, Version: have + 1, Document: document, PutAt: s.clock.Now(), By: by}
	s.files[id], s.parks[id] = d, park
	if s.changed != nil {
		if err := s.changed(park); err != nil {
			return d, err
		}
	}
	return d, nil
}

// payers: AB1 is account one's; everybody else pays by ticket.
type payers struct{}

func (payers) Payer(_ context.Context, tag, plate string, _ time.Time) (cashier.Identity, error) {
	if plate == "AB1" {
		return cashier.Identity{Vehicle: "AB1", Account: "one", Class: "private_car", Registered: true}, nil
	}
	if plate == "" && tag != "" {
		return cashier.Identity{Vehicle: "tag:" + tag, ByTag: true}, nil
	}
	return cashier.Identity{Vehicle: plate}, nil
}

// tester is the API of real parts, for staff and for strangers.
type tester struct {
	testing.TB
	api           *API
	staff, public *echo.Echo
	docs          map[*echo.Echo]document
	clock         *clock.Fixed
	store         *store.Store
	sites         *testSites
	finder        *finder.Finder
	keys          atomic.Int64
	logs          *logs
	// url is where the store is.
	url string
}

// logs are what the parts logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const (
	hoiShing = "tdstt46"
	rumsey   = "tdcp2"
)

func newTester(t testing.TB) *tester {
	t.Helper()
	s := &tester{TB: t, clock: clock.At(now), logs: &logs{}, docs: map[*echo.Echo]document{}}
	log := slog.New(slog.NewTextHandler(s.logs, nil))
	var err error
	s.url = "sqlite:" + filepath.Join(t.TempDir(), "parking.db")
	s.store, err = store.Open(t.Context(), s.url, store.Options{Migrate: true, Clock: s.clock, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s.sites = &testSites{files: map[string]parking.Definition{}, parks: map[string]*parking.CarPark{}, books: map[string]*tariff.Book{}, clock: s.clock}
	holidays, err := tariff.NewHolidays("2026-12-25", "2026-12-26")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tariff.Samples() {
		one, err := tariff.Sample(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.sites.books[one.ID], err = tariff.New([]*tariff.Tariff{one}, holidays); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range sites.Samples() {
		park, text, err := sites.Sample(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.sites.Put(t.Context(), park.ID, text, 0, "sample"); err != nil {
			t.Fatal(err)
		}
	}
	at, err := attendant.New(attendant.Parts{
		Bays: s.store, Keeping: s.store, CarParks: s.sites.All(), Clock: s.clock, Log: log, Settings: attendant.Settings{SweepEvery: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.sites.changed = at.SetCarPark
	till, err := cashier.New(cashier.Parts{Keeping: s.store, Sites: s.sites, Payers: payers{}, Clock: s.clock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s.finder, err = finder.New(finder.Parts{Keeping: s.store, Attendant: at, Prices: till, Sites: s.sites, Clock: s.clock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s.api, err = New(Parts{Attendant: at, Cashier: till, Keeping: s.store, Sites: s.sites, Finder: s.finder, Clock: s.clock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := at.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		s.verify()
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := web.Bearer(web.Key{Name: "operator", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	s.staff, s.public = s.server(OpenAPI()), s.server(OpenAPIPublic())
	s.api.Routes(s.staff, key)
	s.api.Public(s.public)
	return s
}

// server is an echo that notes each request's route in its answer.
func (s *tester) server(doc []byte) *echo.Echo {
	e := web.NewEcho(slog.New(slog.NewTextHandler(s.logs, nil)), s.clock)
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Response().Header().Set("Test-Route", c.Path())
			return next(c)
		}
	})
	s.docs[e] = readDocument(s, doc)
	return e
}

// verify has the store prove its own invariants.
func (s *tester) verify() {
	checks, err := s.store.Verify(context.Background())
	if err != nil {
		s.Error(err)
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			s.Errorf("%s: %s", c.Invariant, v)
		}
	}
}

// ask sends a request and holds the answer against the document. A POST has a
// key of its own unless the header gives one; an empty header is not sent.
func (s *tester) ask(e *echo.Echo, method, target, body string, header ...string) *httptest.ResponseRecorder {
	s.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if e == s.staff {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	if method == http.MethodPost || method == http.MethodPut {
		r.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost {
		r.Header.Set("Idempotency-Key", strconv.Quote("key-"+strconv.FormatInt(s.keys.Add(1), 10)))
	}
	for i := 0; i+1 < len(header); i += 2 {
		switch {
		case header[i] == "From-Address":
			r.RemoteAddr = header[i+1]
		case header[i+1] == "":
			r.Header.Del(header[i])
		default:
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if route := w.Header().Get("Test-Route"); route != "" {
		for _, fault := range s.docs[e].check(method, route, w) {
			s.Errorf("%s %s (%d): %s", method, target, w.Code, fault)
		}
	}
	return w
}

func (s *tester) get(target string, header ...string) *httptest.ResponseRecorder {
	s.Helper()
	return s.ask(s.staff, http.MethodGet, target, "", header...)
}

func (s *tester) post(target, body string, header ...string) *httptest.ResponseRecorder {
	s.Helper()
	return s.ask(s.staff, http.MethodPost, target, body, header...)
}

// decode reads an answer of the status wanted.
func decode[T any](s *tester, w *httptest.ResponseRecorder, status int) T {
	s.Helper()
	var v T
	if w.Code != status {
		s.Fatalf("%d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		s.Fatalf("%v: %s", err, w.Body)
	}
	return v
}

// refused wants a problem of the slug, at the pointer or parameter unless that
// is empty.
func (s *tester) refused(w *httptest.ResponseRecorder, status int, slug, at string) {
	s.Helper()
	p := decode[web.Problem](s, w, status)
	if p.Type != "/problems/"+slug {
		s.Errorf("%s, want %s: %s", p.Type, slug, w.Body)
	}
	if at != "" && !slices.ContainsFunc(p.Errors, func(f web.Fault) bool { return f.Pointer == at || f.Parameter == at }) {
		s.Errorf("not at %s: %s", at, w.Body)
	}
}

// car is the body of an allocation for the n-th car.
func car(n int) string {
	return fmt.Sprintf(`{"vehicle":{"plate":"HK %d","class":"private_car","length_mm":4800,"width_mm":1850,"height_mm":1500,"weight_kg":1700}}`, n)
}

// given gives the n-th car a bay.
func (s *tester) given(park string, n int) allocationForm {
	s.Helper()
	return decode[allocationForm](s, s.post("/v1/carparks/"+park+"/allocations", car(n)), 201)
}
