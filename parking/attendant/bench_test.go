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

// benchPark is a car park of n bays that drivers drive into.
func benchPark(id string, n int) *parking.CarPark {
	cp := plain(n)
	cp.ID, cp.Code = id, id
	return cp
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

// benchAllocations has so many callers at once give bays and take them back,
// over four car parks of 500 bays each, half of which are taken all the time.
// Each of b.N is an Allocate and the Release of it, both with an
// Idempotency-Key; the latencies are of single calls, as their callers see
// them.
func benchAllocations(b *testing.B, st *store.Store, callers int) {
	const parks, bays = 4, 500
	ctx := context.Background()
	var clk clock.System
	var definitions []*parking.CarPark
	for i := range parks {
		definitions = append(definitions, benchPark(fmt.Sprint("P", i), bays))
	}
	a, _ := start(b, st, clk, Settings{}, definitions...)
	run := fmt.Sprintf("%x", clk.Now().UnixNano())
	allocate := func(n int64) (Given, error) {
		keep := benchKeep("operator POST /v1/carparks/P/allocations", fmt.Sprint(run, "-take-", n), func(g Given) any {
			return map[string]any{"id": g.ID, "bay": g.Bay, "level": g.Level, "ready_in_seconds": g.ReadySeconds, "why": g.Why, "next": g.Next,
				"carpark": g.CarPark, "state": g.State, "revision": g.Revision, "assigned_at": g.AssignedAt}
		})
		v := car(0)
		v.Plate = fmt.Sprint("B", n)
		r, err := a.Allocate(ctx, AllocateRequest{CarPark: definitions[n%parks].ID, Vehicle: v, ExpectedStayMinutes: 60, By: "operator"}, keep)
		return r.Value, err
	}
	release := func(n int64, id string) error {
		_, err := a.Release(ctx, EndRequest{Allocation: id, By: "operator"}, benchKeep("operator POST /v1/allocations/A/release", fmt.Sprint(run, "-leave-", n),
			func(x parking.Allocation) any {
				return map[string]any{"id": x.ID, "bay": x.Bay, "state": x.State, "ended_at": x.EndedAt}
			}))
		return err
	}
	var next atomic.Int64
	each := func(until int64, do func(n int64) bool) {
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for {
					n := next.Add(1)
					if n > until || !do(n) {
						return
					}
				}
			})
		}
		wg.Wait()
	}
	each(parks*bays/2, func(n int64) bool {
		_, err := allocate(n)
		if err != nil {
			b.Error(err)
		}
		return err == nil
	})
	next.Store(parks * bays / 2)

	var (
		mu            sync.Mutex
		takes, leaves []time.Duration
	)
	b.ResetTimer()
	began := clk.Now()
	each(parks*bays/2+int64(b.N), func(n int64) bool {
		t0 := clk.Now()
		g, err := allocate(n)
		t1 := clk.Now()
		if err == nil {
			err = release(n, g.ID)
		}
		t2 := clk.Now()
		if err != nil {
			b.Error(err)
			return false
		}
		mu.Lock()
		takes, leaves = append(takes, t1.Sub(t0)), append(leaves, t2.Sub(t1))
		mu.Unlock()
		return true
	})
	elapsed := clk.Now().Sub(began)
	b.StopTimer()
	if len(takes) == 0 {
		return
	}
	slices.Sort(takes)
	slices.Sort(leaves)
	ms := func(sorted []time.Duration, permille int) float64 {
		return float64(sorted[(len(sorted)-1)*permille/1000].Microseconds()) / 1000
	}
	b.ReportMetric(float64(len(takes))/elapsed.Seconds(), "allocations/s")
	b.ReportMetric(ms(takes, 500), "p50-ms")
	b.ReportMetric(ms(takes, 990), "p99-ms")
	b.ReportMetric(ms(leaves, 500), "release-p50-ms")
	b.ReportMetric(ms(leaves, 990), "release-p99-ms")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkAllocations(b *testing.B) {
	benchAllocations(b, newStore(b, clock.System{}), 64)
}
