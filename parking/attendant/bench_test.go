package attendant

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
)

// instant is a store that wins every claim at once: what is measured is the
// attendant alone.
type instant struct {
	parking.Keeping
	mu   sync.Mutex
	held map[string]parking.Allocation
}

func (s *instant) Claim(_ context.Context, _ time.Time, claims []parking.Claim) ([]parking.ClaimOutcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range claims {
		s.held[claims[i].Allocation.ID] = claims[i].Allocation
	}
	return make([]parking.ClaimOutcome, len(claims)), nil
}

func (s *instant) Depart(_ context.Context, at time.Time, departures []parking.Departure) ([]parking.DepartureOutcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]parking.DepartureOutcome, len(departures))
	for i, d := range departures {
		x := s.held[d.Allocation]
		x.State, x.Revision, x.EndedAt = d.To, x.Revision+1, at
		delete(s.held, d.Allocation)
		out[i].After = x
	}
	return out, nil
}

func (s *instant) Occupancy(context.Context, string, time.Time) (parking.Occupancy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var o parking.Occupancy
	for _, x := range s.held {
		o.Active = append(o.Active, x)
	}
	return o, nil
}

func BenchmarkAllocateAndRelease(b *testing.B) {
	for _, bays := range []int{225, 2000} {
		b.Run(fmt.Sprintf("%d bays half full", bays), func(b *testing.B) {
			st := &instant{Keeping: newStore(b, clock.System{}), held: map[string]parking.Allocation{}}
			a, err := New(Parts{Bays: st, Keeping: st, CarParks: []*parking.CarPark{plain(bays)}, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- a.Run(ctx) }()
			for i := range bays / 2 {
				if _, err := a.Allocate(ctx, AllocateRequest{CarPark: "plain", Vehicle: car(i)}, Keep[Given]{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for n := 100_000; pb.Next(); n++ {
					r, err := a.Allocate(ctx, AllocateRequest{CarPark: "plain", Vehicle: car(n)}, Keep[Given]{})
					if err == nil {
						_, err = a.Release(ctx, EndRequest{Allocation: r.Value.ID}, Keep[parking.Allocation]{})
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			cancel()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
		})
	}
}
