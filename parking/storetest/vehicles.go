package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"freeflow/parking"
)

// again is a claim of the same vehicle as another one's, under a new number.
func again(n int, bay string, other int) parking.Claim {
	c := claim(n, bay)
	c.Allocation.Vehicle = claim(other, bay).Allocation.Vehicle
	return c
}

// wantHolder checks that an error names the allocation that the vehicle has.
func wantHolder(t *testing.T, err error, n int) {
	t.Helper()
	var has *parking.HasBayError
	if !errors.Is(err, parking.ErrHasBay) || !errors.As(err, &has) || has.Allocation != id(n) {
		t.Errorf("got %v, want that the vehicle has allocation %s", err, id(n))
	}
}

var vehicleTests = []test{
	{"a vehicle has one bay, at whatever car park", func(t *testing.T, s Store, _ func() Store) {
		take(t, s, 1, "B1")
		elsewhere := again(3, "B3", 1)
		elsewhere.Allocation.CarPark = "Q"
		byTag := claim(5, "B5")
		byTag.Allocation.Vehicle = parking.Vehicle{Tag: "AB1", Class: "taxi"} // a tag is no plate
		same := again(6, "B6", 5)
		same.Allocation.Vehicle = byTag.Allocation.Vehicle
		nobody := claim(7, "B7")
		nobody.Allocation.Vehicle.Plate = ""
		nobodyElse := claim(8, "B8")
		nobodyElse.Allocation.Vehicle.Plate = ""
		o := mustClaim(t, s, Now, again(2, "B2", 1), elsewhere, claim(4, "B4"), again(9, "B9", 4), byTag, same, nobody, nobodyElse)
		wantHolder(t, o[0].Err, 1)
		wantHolder(t, o[1].Err, 1)
		wantHolder(t, o[3].Err, 4)
		wantHolder(t, o[5].Err, 5)
		for _, i := range []int{2, 4, 6, 7} {
			if o[i].Err != nil {
				t.Errorf("claim %d: %v", i, o[i].Err)
			}
		}
		wantHolder(t, try(s, func(tx parking.Tx) error {
			return tx.PutAllocation(context.Background(), again(10, "B10", 1).Allocation)
		}), 1)
		if held := active(t, s); len(held) != 5 || held["B2"] != "" {
			t.Errorf("held: %v", held)
		}
		// A bay that is taken by the vehicle's own allocation.
		wantHolder(t, mustClaim(t, s, Now, again(11, "B1", 1))[0].Err, 1)
		mustDepart(t, s, later(60), departure(1))
		if o := mustClaim(t, s, later(61), again(2, "B2", 1))[0]; o.Err != nil {
			t.Errorf("after the end: %v", o.Err)
		}
	}},
	{"what staff gave beside another does not count", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		take(t, s, 1, "B1")
		beside := again(2, "B2", 1).Allocation
		beside.Beside = true
		do(t, s, func(tx parking.Tx) error { return tx.PutAllocation(ctx, beside) })
		if got := get(t, s, 2); got != beside {
			t.Errorf("stands as %+v, want %+v", got, beside)
		}
		stored := beside
		stored.State, stored.Revision = parking.Stored, 2
		do(t, s, func(tx parking.Tx) error { return tx.PutAllocation(ctx, stored) })
		if got := get(t, s, 2); !got.Beside {
			t.Error("a change has made it count")
		}
		view(t, s, func(tx parking.Tx) error {
			x, err := tx.Holding(ctx, beside.Vehicle)
			if x.ID != id(1) {
				t.Errorf("the vehicle has %+v", x)
			}
			return err
		})
		mustDepart(t, s, later(60), departure(1))
		err := s.View(ctx, func(tx parking.Tx) error {
			_, err := tx.Holding(ctx, beside.Vehicle)
			return err
		})
		wantError(t, err, parking.ErrNotFound)
		if o := mustClaim(t, s, later(61), again(3, "B3", 1))[0]; o.Err != nil {
			t.Errorf("a bay of its own: %v", o.Err)
		}
		block := claim(4, "B4").Allocation
		block.State, block.Vehicle = parking.Blocked, parking.Vehicle{}
		do(t, s, func(tx parking.Tx) error { return tx.PutAllocation(ctx, block) })
		if get(t, s, 4).Beside {
			t.Error("a block stands beside something")
		}
	}},
	{"one vehicle, many requests, two stores: one bay", func(t *testing.T, s Store, open func() Store) {
		stores := []Store{s, open()}
		const rounds, callers = 10, 8
		for round := range rounds {
			var wg sync.WaitGroup
			var mu sync.Mutex
			won := 0
			for c := range callers {
				wg.Go(func() {
					n := 1000*(round+1) + c
					o, err := stores[c%2].Claim(context.Background(), Now, []parking.Claim{again(n, fmt.Sprint("B", n), round)})
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err != nil:
						t.Error(err)
					case o[0].Err == nil:
						won++
					default:
						if !errors.Is(o[0].Err, parking.ErrHasBay) {
							t.Error(o[0].Err)
						}
					}
				})
			}
			wg.Wait()
			if won != 1 {
				t.Fatalf("round %d: %d bays for one vehicle", round, won)
			}
		}
	}},
	{"until when a vehicle is waited for", func(t *testing.T, s Store, _ func() Store) {
		c := claim(1, "B1")
		c.Allocation.ComeBy = later(900)
		mustClaim(t, s, Now, c)
		x := get(t, s, 1)
		if !x.ComeBy.Equal(later(900)) {
			t.Fatalf("waited for until %s", x.ComeBy)
		}
		x.ComeBy, x.Revision = time.Time{}, 2
		do(t, s, func(tx parking.Tx) error { return tx.PutAllocation(context.Background(), x) })
		if x = get(t, s, 1); !x.ComeBy.IsZero() || x.State != parking.Assigned {
			t.Errorf("%+v", x)
		}
	}},
	{"when a lane was last heard of", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		do(t, s, func(tx parking.Tx) error {
			for n, at := range []time.Time{later(5), later(9), later(7)} {
				e := laneEvent(n+1, "AB1", at)
				if _, err := tx.PutLaneEvent(ctx, e); err != nil {
					return err
				}
			}
			return nil
		})
		view(t, s, func(tx parking.Tx) error {
			heard, err := tx.LastLaneEvent(ctx, "P", "P-IN-1")
			never, err2 := tx.LastLaneEvent(ctx, "P", "P-IN-2")
			if !heard.Equal(later(9)) || !never.IsZero() {
				t.Errorf("%s, %s", heard, never)
			}
			return errors.Join(err, err2)
		})
	}},
}
