package attendant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"freeflow/parking"
)

// named is a car park like another, under another name.
func named(id string, cp *parking.CarPark) *parking.CarPark {
	cp.ID, cp.Code = id, "X"+id
	for i := range cp.Lanes {
		cp.Lanes[i].Unit = cp.Code + "-IN-" + fmt.Sprint(i+1)
	}
	return cp
}

// guarded is plain with an entry lane.
func guarded(n int) *parking.CarPark {
	cp := plain(n)
	cp.Lanes = []parking.Lane{{Unit: "PLN-IN-1", Direction: parking.In}, {Unit: "PLN-OUT-1", Direction: parking.Out}}
	return cp
}

// sees has a lane see a vehicle now.
func (w *world) sees(park, lane string, v parking.Vehicle) {
	w.t.Helper()
	_, err := w.store.Do(context.Background(), nil, func(tx parking.Tx) (parking.Answer, error) {
		_, err := tx.PutLaneEvent(context.Background(), parking.LaneEvent{ID: newID(), CarPark: park, Lane: lane, Direction: parking.In,
			At: w.clock.Now(), Plate: v.Plate, Tag: v.Tag, Class: v.Class, ConfidencePermille: 990})
		return parking.Answer{}, err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ask(park string, v parking.Vehicle) (Given, error) {
	r, err := w.Allocate(context.Background(), AllocateRequest{CarPark: park, Vehicle: v}, Keep[Given]{})
	return r.Value, err
}

func TestAskingAgainGivesTheSameBay(t *testing.T) {
	w := newWorld(t, plain(3))
	other, _ := start(t, w.store, w.clock, Settings{SweepEvery: time.Hour}, plain(3))
	first, err := w.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(1)}, keep("a"))
	if err != nil || first.Value.Same {
		t.Fatalf("%+v, %v", first, err)
	}
	for i, a := range []*Attendant{w.Attendant, other} {
		again, err := a.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(1)}, keep(fmt.Sprint("again", i)))
		if err != nil || !again.Value.Same || again.Value.ID != first.Value.ID || string(again.Answer.Body) != first.Value.Bay {
			t.Fatalf("%+v, %v", again, err)
		}
		kept, err := a.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(1)}, keep(fmt.Sprint("again", i)))
		if err != nil || !kept.Answer.Replayed || string(kept.Answer.Body) != first.Value.Bay {
			t.Fatalf("%+v, %v", kept, err)
		}
	}
	// The lane retries while nothing else is free.
	w.give("plain", 2)
	w.give("plain", 3)
	if again, err := w.ask("plain", car(1)); err != nil || again.ID != first.Value.ID {
		t.Fatalf("%+v, %v", again, err)
	}
	if c, err := w.Counts(context.Background(), "plain"); err != nil || c.Free != 0 || len(w.alarms("plain")) != 0 {
		t.Fatalf("%+v, %v, %v", c, err, w.alarms("plain"))
	}
}

func TestOneVehicleManyRequestsOneBay(t *testing.T) {
	w := newWorld(t, plain(20))
	other, _ := start(t, w.store, w.clock, Settings{SweepEvery: time.Hour}, plain(20))
	var wg sync.WaitGroup
	ids := make([]string, 24)
	for i := range ids {
		a := []*Attendant{w.Attendant, other}[i%2]
		wg.Go(func() {
			r, err := a.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(1)}, keep(fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
			}
			ids[i] = r.Value.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("one vehicle was given %v", ids)
		}
	}
}

func TestAskingElsewhereReleasesTheFirstBay(t *testing.T) {
	w := newWorld(t, plain(2), named("two", guarded(1)), racks(1))
	c := &controller{w, "b1"}
	c.inventory(nil)
	first := w.give("racks", 1)
	second := w.give("plain", 1)
	if x := w.now(first.ID); x.State != parking.Cancelled || x.Reason == "" {
		t.Fatalf("%+v", x)
	}
	if order := c.next(); order != nil {
		t.Fatalf("the machine is told %+v", order)
	}
	// Nothing is free there: what it has stays its own.
	w.give("two", 9)
	var full *NoBayError
	if _, err := w.ask("two", car(1)); !errors.As(err, &full) || w.now(second.ID).State != parking.Assigned {
		t.Fatalf("%v, %+v", err, w.now(second.ID))
	}
	// A bay that does not do for what is known of the vehicle now.
	long := car(1)
	long.HeightMM = 1999
	if again, err := w.ask("plain", long); err != nil || !again.Same {
		t.Fatalf("%+v, %v", again, err)
	}
	if c, err := w.Counts(context.Background(), "racks"); err != nil || c.Free != 13 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestInsideIsRefusedAndStaffMay(t *testing.T) {
	w := newWorld(t, guarded(4), named("two", guarded(4)))
	ctx := context.Background()
	first := w.give("plain", 1)
	w.sees("plain", "PLN-IN-1", car(1))
	refusals := 0
	ask := func(park string) (Result[Given], error) {
		refusals++
		return w.Allocate(ctx, AllocateRequest{CarPark: park, Vehicle: car(1), Refuse: func(err error) (parking.Answer, bool) {
			return parking.Answer{Status: 409, Body: []byte("inside")}, true
		}}, keep(fmt.Sprint("ask", refusals)))
	}
	// The lane has read it and asks again: it is still at the lane.
	if again, err := ask("plain"); err != nil || again.Value.ID != first.ID {
		t.Fatalf("%+v, %v", again, err)
	}
	var in *InsideError
	refused, err := ask("two")
	if !errors.As(err, &in) || in.Allocation != first.ID || in.CarPark != "plain" || refused.Answer.Status != 409 || !errors.Is(err, parking.ErrHasBay) {
		t.Fatalf("%+v, %v", refused, err)
	}
	w.clock.Advance(time.Hour)
	if _, err := ask("plain"); !errors.As(err, &in) {
		t.Fatalf("an hour later: %v", err)
	}
	if w.alarms("two")["already-inside"] != 1 || w.alarms("plain")["already-inside"] != 1 {
		t.Fatalf("alarms: %v, %v", w.alarms("two"), w.alarms("plain"))
	}
	given, err := w.Assign(ctx, AssignRequest{CarPark: "two", Bay: "1-002", Vehicle: car(1), By: "wong", Reason: "the plate is another's"}, Keep[Given]{})
	if err != nil || !given.Value.Beside || !given.Value.AlreadyInside {
		t.Fatalf("%+v, %v", given, err)
	}
	if w.now(first.ID).State != parking.Assigned {
		t.Fatal("staff's choice has ended the first")
	}
	if _, err := w.Release(ctx, EndRequest{Allocation: first.ID}, Keep[parking.Allocation]{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ask("plain", car(1)); err != nil {
		t.Fatalf("after it left: %v", err)
	}
	// A bay that it has not come to makes way for staff's choice.
	w.give("plain", 5)
	moved, err := w.Assign(ctx, AssignRequest{CarPark: "two", Bay: "1-003", Vehicle: car(5), By: "wong", Reason: "asked"}, Keep[Given]{})
	if err != nil || moved.Value.Beside {
		t.Fatalf("%+v, %v", moved, err)
	}
}

func TestTheMachineHasTheCar(t *testing.T) {
	c := byHand(t)
	g := c.give("racks", 1)
	order := c.next()
	// Its order is out; the lane asks again with another key.
	if again, err := c.ask("racks", car(1)); err != nil || again.ID != g.ID || again.State != parking.Moving {
		t.Fatalf("%+v, %v", again, err)
	}
	c.say(order.ID, ReportDone, parking.Occupied)
	var in *InsideError
	if _, err := c.ask("racks", car(1)); !errors.As(err, &in) {
		t.Fatalf("stored: %v", err)
	}
}
