package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/parking"
)

// seed prints what a test draws from, and returns the source of its nth
// goroutine.
func seed(t *testing.T) func(n int) *rand.Rand {
	s := rand.Uint64()
	t.Logf("seed %d", s)
	return func(n int) *rand.Rand { return rand.New(rand.NewPCG(s, uint64(n))) }
}

// race lets many drivers claim bays at once, from two stores on one database,
// and wants exactly as many winners as bays.
func race(t *testing.T, s, other Store, drivers, bays int) {
	t.Helper()
	var (
		wg            sync.WaitGroup
		won, lost     atomic.Int64
		start         = make(chan struct{})
		stores        = []Store{s, other}
		holders       sync.Map
		unexpectedErr atomic.Int64
	)
	for n := range drivers {
		wg.Go(func() {
			<-start
			// Each tries every bay, from another one on, as an allocator would.
			for i := range bays {
				bay := fmt.Sprint("B", (n+i)%bays)
				o, err := stores[n%2].Claim(context.Background(), Now, []parking.Claim{claim(1000*n+i+1, bay)})
				switch {
				case err != nil:
					t.Error(err)
					unexpectedErr.Add(1)
					return
				case o[0].Err == nil:
					won.Add(1)
					holders.Store(bay, id(1000*n+i+1))
					return
				case !errors.Is(o[0].Err, parking.ErrBayTaken):
					t.Error(o[0].Err)
					return
				}
			}
			lost.Add(1)
		})
	}
	close(start)
	wg.Wait()
	if won.Load() != int64(bays) || lost.Load() != int64(drivers-bays) {
		t.Errorf("%d winners and %d losers of %d drivers on %d bays, %d errors", won.Load(), lost.Load(), drivers, bays, unexpectedErr.Load())
	}
	for bay, holder := range active(t, s) {
		if told, ok := holders.Load(bay); !ok || told != holder {
			t.Errorf("bay %s is held by %s, told was %v", bay, holder, told)
		}
	}
}

var concurrencyTests = []test{
	{"64 drivers, one bay, two processes", func(t *testing.T, s Store, open func() Store) { race(t, s, open(), 64, 1) }},
	{"64 drivers, ten bays, two processes", func(t *testing.T, s Store, open func() Store) { race(t, s, open(), 64, 10) }},
	{"batches of two processes cross each other", func(t *testing.T, s Store, open func() Store) {
		stores := []Store{s, open()}
		random := seed(t)
		const bays = 12
		var (
			wg          sync.WaitGroup
			number      atomic.Int64
			won, parted atomic.Int64
		)
		for worker := range 6 {
			r := random(worker)
			at := stores[worker%2]
			wg.Go(func() {
				ctx := context.Background()
				var mine []int
				for range 12 {
					// Clocks differ by seconds.
					when := later(r.IntN(10))
					var claims []parking.Claim
					var numbers []int
					for range 1 + r.IntN(8) {
						n := int(number.Add(1))
						c := claim(n, fmt.Sprint("B", r.IntN(bays)))
						c.Allocation.AssignedAt = when
						c.Once = once(fmt.Sprint("c", n), "x")
						claims, numbers = append(claims, c), append(numbers, n)
					}
					outcomes, err := at.Claim(ctx, when, claims)
					if err != nil {
						t.Error(err)
						return
					}
					for i, o := range outcomes {
						if o.Err == nil {
							won.Add(1)
							mine = append(mine, numbers[i])
						}
					}
					var leaving []parking.Departure
					for len(mine) > 0 && r.IntN(3) > 0 {
						d := departure(mine[0])
						d.Once = once(fmt.Sprint("d", mine[0]), "x")
						leaving, mine = append(leaving, d), mine[1:]
					}
					left, err := at.Depart(ctx, later(r.IntN(10)), leaving)
					if err != nil {
						t.Error(err)
						return
					}
					for _, o := range left {
						if o.Err != nil {
							t.Error(o.Err)
						}
						parted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if held := int64(len(active(t, s))); held != won.Load()-parted.Load() || parted.Load() == 0 {
			t.Errorf("%d won, %d left, %d held", won.Load(), parted.Load(), held)
		}
	}},
	{"one key, many at once, one effect", func(t *testing.T, s Store, open func() Store) {
		stores := []Store{s, open()}
		for round := range 4 {
			var (
				wg      sync.WaitGroup
				fresh   atomic.Int64
				mu      sync.Mutex
				answers = map[string]int{}
			)
			for n := range 16 {
				wg.Go(func() {
					// Every attempt has another id and wants another bay.
					for attempt := range 200 {
						number := 100_000*(round+1) + 1000*n + attempt
						c := claim(number, fmt.Sprint("R", round, "B", n, "-", attempt))
						c.Once = once(fmt.Sprint("k", round), "x")
						o, err := stores[n%2].Claim(context.Background(), Now, []parking.Claim{c, claim(number+50_000_000, fmt.Sprint("N", number))})
						if err != nil {
							t.Error(err)
							return
						}
						if o[1].Err != nil {
							t.Errorf("a neighbour: %v", o[1].Err)
						}
						if errors.Is(o[0].Err, parking.ErrKeyBusy) {
							continue
						}
						if o[0].Err != nil {
							t.Error(o[0].Err)
							return
						}
						if !o[0].Answer.Replayed {
							fresh.Add(1)
						}
						mu.Lock()
						answers[string(o[0].Answer.Body)]++
						mu.Unlock()
						return
					}
					t.Error("busy for ever")
				})
			}
			wg.Wait()
			if fresh.Load() != 1 || len(answers) != 1 {
				t.Errorf("round %d: %d effects, answers %v", round, fresh.Load(), answers)
			}
		}
	}},
	{"one key in Do, many at once, one effect", func(t *testing.T, s Store, open func() Store) {
		stores := []Store{s, open()}
		var (
			wg                    sync.WaitGroup
			fresh, replayed, busy atomic.Int64
		)
		for n := range 24 {
			wg.Go(func() {
				for range 200 {
					got, err := stores[n%2].Do(context.Background(), once("k", "x"), func(tx parking.Tx) (parking.Answer, error) {
						return answer, block(context.Background(), tx, n+1, fmt.Sprint("B", n))
					})
					switch {
					case errors.Is(err, parking.ErrKeyBusy):
						busy.Add(1)
						continue
					case err != nil:
						t.Error(err)
					case got.Replayed:
						replayed.Add(1)
					default:
						fresh.Add(1)
					}
					return
				}
			})
		}
		wg.Wait()
		if fresh.Load() != 1 || len(active(t, s)) != 1 {
			t.Errorf("%d effects, %d replayed, %d busy, held %v", fresh.Load(), replayed.Load(), busy.Load(), active(t, s))
		}
	}},
	{"lost replies are found out by asking again", func(t *testing.T, s Store, open func() Store) {
		stores := []Store{s, open()}
		random := seed(t)
		const drivers = 24
		var (
			wg   sync.WaitGroup
			lost atomic.Int64
		)
		for n := range drivers {
			r := random(n)
			wg.Go(func() {
				for attempt := range 500 {
					ctx, cancel := context.WithCancel(context.Background())
					if attempt < 6 {
						// Cut somewhere on the way.
						stop := time.AfterFunc(time.Duration(r.IntN(4000))*time.Microsecond, cancel)
						defer stop.Stop()
					}
					c := claim(1000*n+attempt+1, fmt.Sprint("B", n, "-", attempt))
					c.Once = once(fmt.Sprint("k", n), "x")
					o, err := stores[r.IntN(2)].Claim(ctx, Now, []parking.Claim{c})
					cancel()
					if err != nil {
						lost.Add(1)
						continue
					}
					if errors.Is(o[0].Err, parking.ErrKeyBusy) {
						continue
					}
					if o[0].Err != nil {
						t.Error(o[0].Err)
					}
					return
				}
				t.Error("no answer for ever")
			})
		}
		wg.Wait()
		if held := len(active(t, s)); held != drivers {
			t.Errorf("%d drivers hold %d bays, %d replies were lost", drivers, held, lost.Load())
		}
	}},
	{"a lock makes counting safe", func(t *testing.T, s Store, open func() Store) {
		stores := []Store{s, open()}
		ctx := context.Background()
		const places = 5
		var (
			wg   sync.WaitGroup
			kept atomic.Int64
		)
		for n := range 16 {
			wg.Go(func() {
				_, err := stores[n%2].Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
					if err := tx.Lock(ctx, "P pool std"); err != nil {
						return answer, err
					}
					list, err := tx.Reservations(ctx, "P", "std", Now, later(100))
					if err != nil {
						return answer, err
					}
					if len(list) >= places {
						return answer, parking.ErrConflict
					}
					return answer, tx.PutReservation(ctx, reservation(n+1, Now, later(100)))
				})
				if err == nil {
					kept.Add(1)
				} else if !errors.Is(err, parking.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		view(t, s, func(tx parking.Tx) error {
			list, err := tx.Reservations(ctx, "P", "std", Now, later(100))
			if len(list) != places || kept.Load() != places {
				t.Errorf("%d reservations of %d places, %d were told so", len(list), places, kept.Load())
			}
			return err
		})
	}},
	{"revisions lose no change", func(t *testing.T, s Store, open func() Store) {
		stores := []Store{s, open()}
		ctx := context.Background()
		do(t, s, func(tx parking.Tx) error {
			return tx.PutMachine(ctx, parking.MachineStatus{CarPark: "P", ID: "R1", Revision: 1})
		})
		var (
			wg      sync.WaitGroup
			changed atomic.Int64
		)
		for n := range 8 {
			wg.Go(func() {
				for range 5 {
					_, err := stores[n%2].Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
						list, err := tx.Machines(ctx, "P")
						if err != nil {
							return answer, err
						}
						m := list[0]
						m.Revision++
						m.LiftsOut++
						return answer, tx.PutMachine(ctx, m)
					})
					if err == nil {
						changed.Add(1)
					} else if !errors.Is(err, parking.ErrStale) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		view(t, s, func(tx parking.Tx) error {
			list, err := tx.Machines(ctx, "P")
			if list[0].Revision != changed.Load()+1 || int64(list[0].LiftsOut) != changed.Load() {
				t.Errorf("%+v after %d changes", list[0], changed.Load())
			}
			return err
		})
	}},
}
