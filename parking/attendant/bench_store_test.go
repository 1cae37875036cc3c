package attendant

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
	"freeflow/parking/store"
)

// The car parks of the benchmark over a real store; half of their bays are
// taken all the time.
const (
	benchParks = 4
	benchBays  = 500
)

// callers give bays and take them back over a real store.
type callers struct {
	*Attendant
	// run tells the keys of this run from those of others.
	run  string
	next atomic.Int64
}

// benchAnswer is about what the operators' API answers.
type benchAnswer struct {
	ID             string    `json:"id"`
	Bay            string    `json:"bay"`
	Level          string    `json:"level"`
	ReadyInSeconds int       `json:"ready_in_seconds"`
	Why            string    `json:"why"`
	Next           string    `json:"next"`
	CarPark        string    `json:"carpark"`
	State          string    `json:"state"`
	Revision       int64     `json:"revision"`
	AssignedAt     time.Time `json:"assigned_at"`
	EndedAt        time.Time `json:"ended_at"`
	Plate          string    `json:"plate"`
}

// benchKeep keeps an answer under a key, as the operators' API does.
func benchKeep[T any](scope, key string, form func(T) any) Keep[T] {
	return Keep[T]{
		Once: &parking.Once{Scope: scope, Key: key, Fingerprint: sha256.Sum256([]byte(key))},
		Encode: func(v T) parking.Answer {
			body, err := json.Marshal(form(v))
			if err != nil {
				body = nil // a map of texts and numbers is always encoded
			}
			return parking.Answer{Status: 201, Body: body, Location: "/v1/allocations/" + key}
		},
	}
}

func (c *callers) take(ctx context.Context, n int64) (Given, error) {
	v := car(0)
	v.Plate = fmt.Sprint("B", n)
	r, err := c.Allocate(ctx, AllocateRequest{CarPark: fmt.Sprint("P", n%benchParks), Vehicle: v, ExpectedStayMinutes: 60, By: "operator"},
		benchKeep("operator POST /v1/carparks/P/allocations", fmt.Sprint(c.run, "-take-", n), func(g Given) any {
			return benchAnswer{ID: g.ID, Bay: g.Bay, Level: g.Level, ReadyInSeconds: g.ReadySeconds, Why: g.Why, Next: g.Next, CarPark: g.CarPark,
				State: string(g.State), Revision: g.Revision, AssignedAt: g.AssignedAt, Plate: g.Vehicle.Plate}
		}))
	return r.Value, err
}

func (c *callers) leave(ctx context.Context, n int64, id string) error {
	_, err := c.Release(ctx, EndRequest{Allocation: id, By: "operator"},
		benchKeep("operator POST /v1/allocations/A/release", fmt.Sprint(c.run, "-leave-", n), func(x parking.Allocation) any {
			return benchAnswer{ID: x.ID, Bay: x.Bay, ReadyInSeconds: x.ReadySeconds, Why: x.Why, Next: x.Next, CarPark: x.CarPark,
				State: string(x.State), Revision: x.Revision, AssignedAt: x.AssignedAt, EndedAt: x.EndedAt, Plate: x.Vehicle.Plate}
		}))
	return err
}

// each has so many callers do something with every number up to the last.
func (c *callers) each(callers int, last int64, do func(n int64) error) error {
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for range callers {
		wg.Go(func() {
			for failed.Load() == nil {
				n := c.next.Add(1)
				if n > last {
					return
				}
				if err := do(n); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// benchAllocations measures so many concurrent callers. Each of b.N is an
// Allocate and its Release, both with an Idempotency-Key; the latencies are of
// single calls, as their callers see them.
func benchAllocations(b *testing.B, st *store.Store, concurrent int) {
	ctx := context.Background()
	var clk clock.System
	var parks []*parking.CarPark
	for i := range benchParks {
		cp := plain(benchBays)
		cp.ID, cp.Code = fmt.Sprint("P", i), fmt.Sprint("P", i)
		parks = append(parks, cp)
	}
	a, _ := start(b, st, clk, Settings{}, parks...)
	c := &callers{Attendant: a, run: fmt.Sprintf("%x", clk.Now().UnixNano())}
	const standing = benchParks * benchBays / 2
	err := c.each(concurrent, standing, func(n int64) error {
		_, err := c.take(ctx, n)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	c.next.Store(standing)

	takes, leaves := make([]time.Duration, b.N), make([]time.Duration, b.N)
	b.ResetTimer()
	began := clk.Now()
	err = c.each(concurrent, standing+int64(b.N), func(n int64) error {
		asked := clk.Now()
		g, err := c.take(ctx, n)
		if err != nil {
			return err
		}
		given := clk.Now()
		err = c.leave(ctx, n, g.ID)
		takes[n-standing-1], leaves[n-standing-1] = given.Sub(asked), clk.Now().Sub(given)
		return err
	})
	elapsed := clk.Now().Sub(began)
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "allocations/s")
	reportLatencies(b, "", takes)
	reportLatencies(b, "release-", leaves)
}

func reportLatencies(b *testing.B, what string, latencies []time.Duration) {
	slices.Sort(latencies)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(latencies[(len(latencies)-1)*p/100].Microseconds())/1000, fmt.Sprint(what, "p", p, "-ms"))
	}
}

// BenchmarkAllocations is on SQLite; on PostgreSQL it has another name and the
// tag services.
func BenchmarkAllocations(b *testing.B) {
	benchAllocations(b, newStore(b, clock.System{}), 64)
}
