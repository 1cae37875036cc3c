package rackemu

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"freeflow/internal/clock"
	"freeflow/parking"
	"freeflow/parking/mechanism"
)

var noon = time.Date(2026, 2, 26, 4, 0, 0, 0, time.UTC)

func park() *parking.CarPark {
	m := parking.Machine{ID: "R1", Level: "G", Mechanism: parking.Puzzle, Tiers: 2, Columns: 3, Depth: 1, Lifts: 1,
		Timing: parking.Timing{GateSeconds: 5, UserSeconds: 10, PitchMM: 2500, TierMM: 2100, SlideMMPerMinute: 7000, LiftMMPerMinute: 4500}}
	cp := &parking.CarPark{ID: "p", Machines: []parking.Machine{m}}
	for _, s := range mechanism.Slots(m) {
		cp.Bays = append(cp.Bays, parking.Bay{ID: mechanism.BayID(m, s), Machine: "R1", Slot: s})
	}
	return cp
}

// centre gives orders without knowing anything, and keeps what it is told.
type centre struct {
	orders  []Order
	at      int
	reports []Report
	seen    [][]Seen
}

func (c *centre) Inventory(_ context.Context, _ string, seen []Seen) error {
	c.seen = append(c.seen, seen)
	return nil
}

func (c *centre) Next(context.Context, string) (Turn, error) {
	if c.at >= len(c.orders) {
		return Turn{RetryAfter: time.Second}, nil
	}
	o := c.orders[c.at]
	return Turn{Order: &o, RetryAfter: time.Second}, nil
}

func (c *centre) Report(_ context.Context, r Report) error {
	c.reports = append(c.reports, r)
	if r.State != "running" && c.at < len(c.orders) && (r.Command == c.orders[c.at].ID) {
		c.at++
	}
	return nil
}

func rack(t testing.TB, api API, c clock.Clock, f *Forecourt, seed uint64, faults Faults) *Rack {
	t.Helper()
	r, err := New(Settings{CarPark: park(), Machine: "R1", API: api, Clock: c, Log: slog.New(slog.DiscardHandler), Seed: seed, Faults: faults, Forecourt: f})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whatever is ordered, and whatever fails: no car is lost or made, no pallet has
// two, and what the sensors say is true or "unknown".
func TestTheWorldHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c, court, api := clock.At(noon), NewForecourt(), &centre{}
		cp := park()
		cars := []string{"a", "b", "c", "d", "e"}
		for _, car := range cars {
			court.Arrive(car)
		}
		kinds := []parking.CommandKind{parking.Store, parking.Fetch, parking.Relocate, parking.Prepare}
		for i := range rapid.IntRange(5, 40).Draw(rt, "orders") {
			bay := func(name string) string {
				return cp.Bays[rapid.IntRange(0, len(cp.Bays)-1).Draw(rt, name)].ID
			}
			api.orders = append(api.orders, Order{ID: string(rune('A' + i)), Kind: rapid.SampledFrom(kinds).Draw(rt, "kind"),
				Allocation: rapid.SampledFrom(cars).Draw(rt, "car"), Bay: bay("bay"), From: bay("from")})
		}
		r := rack(t, api, c, court, rapid.Uint64().Draw(rt, "seed"), Faults{Refuse: 50, Stall: 50, Restart: 30, LoseReply: 50, Repeat: 50, Unsure: 50})
		for range 300 {
			next, _ := r.Step(context.Background())
			if !next.After(c.Now()) {
				next = c.Now().Add(50 * time.Millisecond)
			}
			c.Set(next)
			if rapid.IntRange(0, 20).Draw(rt, "rescue") == 0 {
				r.Rescue()
			}
			total := r.Cars()
			for _, car := range cars {
				if court.Waits(car) {
					total++
				}
				switch at := r.Where(car); {
				case at == Left:
					total++
				case at == Nowhere && !court.Waits(car):
					rt.Fatalf("car %s has vanished", car)
				}
			}
			if total != len(cars) {
				rt.Fatalf("%d cars, want %d", total, len(cars))
			}
		}
		for _, seen := range api.seen {
			if len(seen) != len(cp.Bays)+1 {
				rt.Fatalf("an inventory of %d", len(seen))
			}
		}
	})
}

func TestAnOrderFromBeginningToEnd(t *testing.T) {
	c, court := clock.At(noon), NewForecourt()
	api := &centre{orders: []Order{{ID: "1", Kind: parking.Store, Allocation: "x", Bay: "R1-2-1"}}}
	r := rack(t, api, c, court, 1, Faults{})
	step := func(until func() bool) {
		t.Helper()
		for n := 0; !until(); n++ {
			if n > 1000 {
				t.Fatalf("%+v", api.reports)
			}
			next, err := r.Step(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			c.Set(next.Add(time.Millisecond))
		}
	}
	step(func() bool { return c.Now().After(noon.Add(10 * time.Second)) })
	if len(api.reports) != 0 {
		t.Fatalf("it began without a car: %+v", api.reports)
	}
	court.Arrive("x")
	step(func() bool { return len(api.reports) == 2 })
	if r.Where("x") != InBay+"R1-2-1" || api.reports[0].State != "running" || api.reports[1].State != "done" || api.reports[1].Presence != parking.Occupied {
		t.Fatalf("%s, %+v", r.Where("x"), api.reports)
	}
	api.orders = append(api.orders, Order{ID: "2", Kind: parking.Store, Allocation: "y", Bay: "R1-2-1"}, Order{ID: "3", Kind: parking.Fetch, Allocation: "x", Bay: "R1-2-1"})
	court.Arrive("y")
	step(func() bool { return r.Where("x") == Left })
	if api.reports[2].State != "failed" || api.reports[2].Presence != parking.Occupied || !court.Waits("y") {
		t.Fatalf("a second car on a pallet: %+v", api.reports[2])
	}
	step(func() bool { return len(api.reports) == 6 })
	if last := api.reports[5]; last.State != "gone" || last.Command != "3" {
		t.Fatalf("%+v", last)
	}
	// No car comes: the machine gives up.
	api.orders = append(api.orders, Order{ID: "4", Kind: parking.Store, Allocation: "z", Bay: "R1-1-1"})
	step(func() bool { return len(api.reports) == 7 })
	if api.reports[6].State != "gone" || c.Now().Before(noon.Add(5*time.Minute)) {
		t.Fatalf("at %s: %+v", c.Now(), api.reports)
	}
}

func TestClientSpeaksTheProtocol(t *testing.T) {
	var paths, bodies, keys []string
	answer := `{"command":{"id":"c1","kind":"fetch","bay":"R1-1-1","allocation":"x","attempt":2},"retry_after_ms":1500}`
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		paths, bodies, keys = append(paths, req.Method+" "+req.URL.EscapedPath()), append(bodies, string(body)), append(keys, req.Header.Get("Idempotency-Key"))
		if req.Header.Get("Authorization") != "Bearer secret" || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers: %v", req.Header)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	c := NewClient(server.URL+"/", "secret", "tdc335p1", "R 1", "run", nil)
	ctx := context.Background()
	turn, err := c.Next(ctx, "b1")
	if err != nil || turn.Order == nil || *turn.Order != (Order{ID: "c1", Kind: parking.Fetch, Bay: "R1-1-1", Allocation: "x"}) || turn.RetryAfter != 1500*time.Millisecond {
		t.Fatalf("%+v, %v", turn, err)
	}
	answer = `{"command":null,"inventory":true,"retry_after_ms":10}`
	if turn, err = c.Next(ctx, "b1"); err != nil || turn.Order != nil || !turn.InventoryWanted {
		t.Fatalf("%+v, %v", turn, err)
	}
	if err := c.Inventory(ctx, "b1", []Seen{{"R1-1-1", parking.Occupied}, {GateItem, parking.Empty}}); err != nil {
		t.Fatal(err)
	}
	status, answer = http.StatusNoContent, ""
	if err := c.Report(ctx, Report{Boot: "b1", Command: "c1", State: "done", Presence: parking.Empty}); err != nil {
		t.Fatal(err)
	}
	want := []string{"POST /v1/carparks/tdc335p1/machines/R%201/next", "POST /v1/carparks/tdc335p1/machines/R%201/next",
		"POST /v1/carparks/tdc335p1/machines/R%201/inventory", "POST /v1/carparks/tdc335p1/machines/R%201/reports"}
	if strings.Join(paths, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", paths)
	}
	if bodies[2] != `{"boot":"b1","bays":[{"bay":"R1-1-1","presence":"occupied"},{"bay":"gate","presence":"empty"}]}` ||
		bodies[3] != `{"boot":"b1","command":"c1","state":"done","presence":"empty"}` {
		t.Errorf("%q", bodies)
	}
	for i, k := range keys {
		var unquoted string
		if err := json.Unmarshal([]byte(k), &unquoted); err != nil || i > 0 && k == keys[i-1] {
			t.Errorf("Idempotency-Key %s", k)
		}
	}
	status = http.StatusConflict
	if err := c.Report(ctx, Report{}); !errors.Is(err, ErrRefused) {
		t.Errorf("409: %v", err)
	}
	for _, again := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests} {
		status = again
		if err := c.Report(ctx, Report{}); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%d: %v", again, err)
		}
	}
}

func TestAccelerated(t *testing.T) {
	base := clock.At(noon)
	a := Accelerate(base, noon.Add(-time.Hour), 60)
	base.Advance(time.Minute)
	if got := a.Now(); !got.Equal(noon) || a.Factor() != 60 {
		t.Errorf("%s", got)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	r := rack(t, &centre{}, clock.System{}, NewForecourt(), 1, Faults{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx, 1); close(done) }()
	cancel()
	<-done
}
