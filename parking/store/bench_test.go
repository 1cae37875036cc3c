package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
)

// batcher gathers what clients ask for while the batches before are under way.
type batcher[In, Out any] struct {
	requests chan request[In, Out]
	wg       sync.WaitGroup
}

type request[In, Out any] struct {
	in  In
	out chan Out
}

// newBatcher starts what sends batches of at most size, one at a time.
func newBatcher[In, Out any](b *testing.B, size int, send func([]In) ([]Out, error)) *batcher[In, Out] {
	t := &batcher[In, Out]{requests: make(chan request[In, Out], 4*size)}
	t.wg.Go(func() {
		for r := range t.requests {
			batch := []request[In, Out]{r}
			in := []In{r.in}
		gather:
			for len(batch) < size {
				select {
				case r, open := <-t.requests:
					if !open {
						break gather
					}
					batch, in = append(batch, r), append(in, r.in)
				default:
					break gather
				}
			}
			out, err := send(in)
			if err != nil {
				b.Error(err)
				out = make([]Out, len(in))
			}
			for i, r := range batch {
				r.out <- out[i]
			}
		}
	})
	return t
}

func (t *batcher[In, Out]) ask(in In, out chan Out) Out {
	t.requests <- request[In, Out]{in, out}
	return <-out
}

func (t *batcher[In, Out]) close() {
	close(t.requests)
	t.wg.Wait()
}

// benchAllocate lets clients claim bays and leave them, each with an
// Idempotency-Key and its answer, all through batchers. Each client has 16 bays,
// which it takes by turns. Each of b.N is a claim and its departure.
func benchAllocate(b *testing.B, s *Store, clients int, command bool) {
	ctx := context.Background()
	var clk clock.System
	claims := newBatcher(b, 250, func(in []parking.Claim) ([]parking.ClaimOutcome, error) { return s.Claim(ctx, clk.Now(), in) })
	departures := newBatcher(b, 250, func(in []parking.Departure) ([]parking.DepartureOutcome, error) { return s.Depart(ctx, clk.Now(), in) })
	var (
		next  atomic.Int64
		mu    sync.Mutex
		taken []time.Duration
		wg    sync.WaitGroup
	)
	run := sha256.Sum256(fmt.Appendf(nil, "%d", clk.Now().UnixNano()))
	b.ResetTimer()
	began := clk.Now()
	for client := range clients {
		wg.Go(func() {
			claimed, left := make(chan parking.ClaimOutcome, 1), make(chan parking.DepartureOutcome, 1)
			var own []time.Duration
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					break
				}
				digest := sha256.Sum256(fmt.Appendf(run[:], "%d", n))
				id := fmt.Sprintf("%x", digest[:16])
				now := clk.Now()
				c := parking.Claim{
					Allocation: parking.Allocation{
						ID: id, CarPark: fmt.Sprint("P", client%4), Bay: fmt.Sprintf("R%d-%d", client, n%16), Machine: "R1", State: parking.Assigned, Revision: 1, AssignedAt: now,
						Vehicle: parking.Vehicle{Plate: fmt.Sprintf("AB%d", n%50_000), Class: "private_car", LengthMM: 4600, WidthMM: 1800, HeightMM: 1500, WeightKG: 1600},
						Why:     "rack R1 free, 41 s, walk 30 m", Next: "R1-2", ReadySeconds: 41, ExpectedStayMinutes: 90,
					},
					Once:   &parking.Once{Scope: "operator POST /v1/carparks/{id}/allocations", Key: id + "-claim"},
					Answer: parking.Answer{Status: 201, Body: fmt.Appendf(nil, `{"id":%q,"bay":"R1-1","level":"G","ready_in_seconds":41,"why":"rack R1 free, 41 s, walk 30 m"}`, id), Location: "/v1/allocations/" + id},
				}
				if command {
					c.Command = &parking.Command{ID: id, CarPark: c.Allocation.CarPark, Machine: "R1", Kind: parking.Store, Allocation: id, Bay: c.Allocation.Bay,
						State: parking.Queued, Revision: 1, DueAt: now, CreatedAt: now, Attempt: 1}
				}
				if o := claims.ask(c, claimed); o.Err != nil || o.Answer.Replayed {
					b.Errorf("claim: %+v", o)
					return
				}
				between := clk.Now()
				d := parking.Departure{Allocation: id, To: parking.Gone, Once: &parking.Once{Scope: "operator POST /v1/allocations/{id}/release", Key: id + "-release"},
					Answer: parking.Answer{Status: 200, Body: fmt.Appendf(nil, `{"id":%q,"state":"gone"}`, id)}}
				if o := departures.ask(d, left); o.Err != nil || o.Answer.Replayed {
					b.Errorf("departure: %+v", o)
					return
				}
				own = append(own, between.Sub(now), clk.Now().Sub(between))
			}
			mu.Lock()
			taken = append(taken, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	elapsed := clk.Now().Sub(began)
	b.StopTimer()
	claims.close()
	departures.close()
	slices.Sort(taken)
	if len(taken) == 0 {
		return
	}
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "claims/s")
	b.ReportMetric(float64(taken[len(taken)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(taken[len(taken)*99/100].Microseconds())/1000, "p99-ms")
}

func BenchmarkAllocate(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) {
		benchAllocate(b, openTest(b, sqliteURL(b), testOptions()), 64, false)
	})
}
