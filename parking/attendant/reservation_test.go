package attendant

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"freeflow/parking"
)

// pooled is a car park of n public bays and a bookable pool of m.
func pooled(n, m int) *parking.CarPark {
	cp := plain(n + m)
	cp.Pools = []parking.Pool{{ID: "web", Bookable: true, HoldSeconds: 300, NoShowAfterMinutes: 60}, {ID: "pass"}}
	for i := n; i < n+m; i++ {
		cp.Bays[i].Pool, cp.Bays[i].Accessible = "web", false
	}
	return cp
}

func (w *world) reserve(n int, start, end time.Time) (parking.Reservation, error) {
	r, err := w.Reserve(context.Background(), ReserveRequest{CarPark: "plain", Pool: "web", Vehicle: car(n), Start: start, End: end}, Keep[parking.Reservation]{})
	return r.Value, err
}

func (w *world) confirmed(n int, start, end time.Time) parking.Reservation {
	w.t.Helper()
	r, err := w.reserve(n, start, end)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := w.Confirm(context.Background(), r.ID, Keep[parking.Reservation]{})
	if err != nil || c.Value.State != parking.Confirmed {
		w.t.Fatalf("%+v, %v", c, err)
	}
	return c.Value
}

func TestReservationFromHoldToBay(t *testing.T) {
	w := newWorld(t, pooled(1, 2))
	ctx := context.Background()
	start := w.clock.Now().Add(time.Hour)
	end := start.Add(3 * time.Hour)
	r := w.confirmed(1, start, end)
	if again, err := w.Confirm(ctx, r.ID, Keep[parking.Reservation]{}); err != nil || again.Value.Revision != r.Revision {
		t.Fatalf("%+v, %v", again, err)
	}
	request := AllocateRequest{CarPark: "plain", Vehicle: car(1), Reservation: r.ID}
	if _, err := w.Allocate(ctx, request, Keep[Given]{}); !errors.Is(err, parking.ErrConflict) {
		t.Fatalf("an hour early: %v", err)
	}
	w.give("plain", 7) // the public bay
	var full *NoBayError
	if _, err := w.Allocate(ctx, AllocateRequest{CarPark: "plain", Vehicle: car(8)}, Keep[Given]{}); !errors.As(err, &full) {
		t.Fatalf("a bay of the pool for anybody: %v", err)
	}
	w.clock.Set(start)
	first, err := w.Allocate(ctx, request, keep("in"))
	if err != nil || first.Value.Bay == "1-001" {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := w.Allocate(ctx, request, keep("in")); err != nil || !again.Answer.Replayed || string(again.Answer.Body) != first.Value.Bay {
		t.Fatalf("%+v, %v", again, err)
	}
	if same, err := w.Allocate(ctx, request, Keep[Given]{}); err != nil || !same.Value.Same || same.Value.ID != first.Value.ID {
		t.Fatalf("a second bay for one reservation: %+v, %v", same, err)
	}
	if _, err := w.CancelReservation(ctx, r.ID, Keep[parking.Reservation]{}); !errors.Is(err, parking.ErrConflict) {
		t.Fatalf("cancelled after arrival: %v", err)
	}
	// It counts by its bay now: one place is left until its end.
	if left, limit, err := w.Availability(ctx, "plain", "web", start, end); err != nil || left != 1 || limit != 2 {
		t.Fatalf("%d of %d, %v", left, limit, err)
	}
	if left, _, err := w.Availability(ctx, "plain", "web", end, end.Add(time.Hour)); err != nil || left != 2 {
		t.Fatalf("%d, %v", left, err)
	}
}

func TestHoldsAndNoShowsEndByTheirStoredDeadlines(t *testing.T) {
	w := newWorld(t, pooled(0, 2))
	ctx := context.Background()
	start := w.clock.Now().Add(time.Hour)
	end := start.Add(5 * time.Hour)
	held, err := w.reserve(1, start, end)
	if err != nil {
		t.Fatal(err)
	}
	kept := w.confirmed(2, start, end)
	var full *FullError
	if _, err := w.reserve(3, start, end); !errors.As(err, &full) || full.Limit != 2 || full.Peak != 2 {
		t.Fatalf("a third: %v", err)
	}
	// Half-open: one that begins when they end has a place.
	if _, err := w.reserve(4, end, end.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(5 * time.Minute)
	// Nothing has swept; the hold has ended all the same.
	if _, err := w.Confirm(ctx, held.ID, Keep[parking.Reservation]{}); !errors.Is(err, parking.ErrConflict) {
		t.Fatalf("confirmed at its deadline: %v", err)
	}
	late := w.confirmed(5, start, end)
	w.clock.Set(start.Add(time.Hour))
	if _, err := w.Allocate(ctx, AllocateRequest{CarPark: "plain", Vehicle: car(2), Reservation: kept.ID}, Keep[Given]{}); !errors.Is(err, parking.ErrConflict) {
		t.Fatalf("answered at its deadline: %v", err)
	}
	w.sweepOnce(ctx)
	states := map[string]parking.ReservationState{}
	err = w.store.View(ctx, func(tx parking.Tx) error {
		for _, id := range []string{held.ID, kept.ID, late.ID} {
			r, err := tx.Reservation(ctx, id)
			if err != nil {
				return err
			}
			states[id] = r.State
		}
		return nil
	})
	if err != nil || states[held.ID] != parking.Expired || states[kept.ID] != parking.NoShow || states[late.ID] != parking.NoShow {
		t.Fatalf("%v, %v", states, err)
	}
	for _, bad := range []ReserveRequest{
		{CarPark: "plain", Pool: "web", Vehicle: car(1), Start: end, End: end},
		{CarPark: "plain", Pool: "web", Vehicle: car(1), Start: start.Add(-5 * time.Hour), End: start.Add(-time.Hour)},
		{CarPark: "plain", Pool: "web", Vehicle: car(1), Start: end, End: end.Add(1000 * time.Hour * 24)},
		{CarPark: "plain", Pool: "pass", Vehicle: car(1), Start: end, End: end.Add(time.Hour)},
	} {
		if _, err := w.Reserve(ctx, bad, Keep[parking.Reservation]{}); !errors.Is(err, parking.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestOverbookingByTheArithmetic(t *testing.T) {
	park := pooled(0, 50)
	park.Pools[0].NoShowPermille, park.Pools[0].OverbookPermille = 150, 10
	w := newWorld(t, park)
	start := w.clock.Now().Add(time.Hour)
	for n := range 53 {
		if _, err := w.reserve(n, start, start.Add(time.Hour)); err != nil {
			t.Fatalf("reservation %d: %v", n+1, err)
		}
	}
	var full *FullError
	if _, err := w.reserve(99, start, start.Add(time.Hour)); !errors.As(err, &full) || full.Limit != 53 {
		t.Fatalf("the 54th: %v", err)
	}
	// A blocked bay is no capacity.
	if _, err := w.Block(context.Background(), BlockRequest{CarPark: "plain", Bay: "1-001", By: "wong", Reason: "oil"}, Keep[parking.Allocation]{}); err != nil {
		t.Fatal(err)
	}
	if _, limit, err := w.Availability(context.Background(), "plain", "web", start, start.Add(time.Hour)); err != nil || limit >= 53 {
		t.Fatalf("%d, %v", limit, err)
	}
}

func TestTheLastPlaceIsReservedOnce(t *testing.T) {
	w := newWorld(t, pooled(0, 3))
	other, _ := start(t, w.store, w.clock, Settings{SweepEvery: time.Hour}, pooled(0, 3))
	from := w.clock.Now().Add(time.Hour)
	var mu sync.Mutex
	won := 0
	var all sync.WaitGroup
	for i := range 20 {
		a := w.Attendant
		if i%2 == 1 {
			a = other
		}
		all.Go(func() {
			_, err := a.Reserve(context.Background(), ReserveRequest{CarPark: "plain", Pool: "web", Vehicle: car(i), Start: from, End: from.Add(time.Hour)}, Keep[parking.Reservation]{})
			var full *FullError
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.As(err, &full) {
				t.Errorf("reservation %d: %v", i, err)
			}
		})
	}
	all.Wait()
	if won != 3 {
		t.Errorf("%d reservations of 3 places", won)
	}
}
