package attendant

import (
	"context"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// Two lifts carry out two orders at once, and never three; with one out it is
// one.
func TestSeveralLifts(t *testing.T) {
	cp := &parking.CarPark{ID: "racks", Code: "TWO", Name: parking.Text{En: "Two lifts"}, Zone: "Asia/Hong_Kong", PromiseSeconds: 180}
	addMachine(cp, parking.Machine{ID: "R1x", Level: "G", Mechanism: parking.Shuttle, Tiers: 2, Columns: 4, Depth: 1, Lifts: 2,
		Timing: parking.Timing{GateSeconds: 5, UserSeconds: 20, PitchMM: 2500, TierMM: 2100, SlideMMPerMinute: 30000, LiftMMPerMinute: 15000, TransferSeconds: 10}})
	w := newWorld(t, cp)
	ctx := context.Background()
	var items []parking.InventoryItem
	for _, b := range cp.Bays {
		items = append(items, parking.InventoryItem{Bay: b.ID, Presence: parking.Empty})
	}
	if _, err := w.Inventory(ctx, InventoryReport{CarPark: "racks", Machine: "R1x", Boot: "b", Items: items}); err != nil {
		t.Fatal(err)
	}
	next := func() *parking.Command {
		t.Helper()
		turn, err := w.Next(ctx, Poll{CarPark: "racks", Machine: "R1x", Boot: "b"})
		if err != nil {
			t.Fatal(err)
		}
		return turn.Command
	}
	say := func(id, state string) {
		t.Helper()
		if err := w.Report(ctx, Report{CarPark: "racks", Machine: "R1x", Boot: "b", Command: id, State: state}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 5 {
		w.give("racks", n)
	}
	first := next()
	say(first.ID, ReportRunning)
	second := next()
	if second == nil || second.ID == first.ID {
		t.Fatalf("%+v", second)
	}
	say(second.ID, ReportRunning)
	if third := next(); third != nil {
		t.Fatalf("a third order for two lifts: %+v", third)
	}
	if _, err := w.SetOut(ctx, ServiceRequest{CarPark: "racks", Machine: "R1x", LiftsOut: 1, By: "wong", Reason: "rope"}, Keep[parking.MachineStatus]{}); err != nil {
		t.Fatal(err)
	}
	say(first.ID, ReportDone)
	if order := next(); order != nil {
		t.Fatalf("one lift works, and is busy: %+v", order)
	}
	say(second.ID, ReportDone)
	if order := next(); order == nil {
		t.Fatal("the other lift stands still")
	}
	w.verify()
}

// A rack without its lift serves the gate's level: who waits for an upper bay is
// given a lower one, and a car above has no promise.
func TestARackWithoutItsLift(t *testing.T) {
	c := byHand(t)
	ctx := context.Background()
	var above, below Given
	for n := 0; above.ID == ""; n++ {
		g := c.stored(n)
		if bay, _, _ := mustSite(t, c.Attendant).bay(g.Bay); bay.Slot.Tier > 0 {
			above = g
		} else {
			below = g
		}
	}
	c.want(below.ID)
	fetch := c.next()
	c.say(fetch.ID, ReportDone, parking.Empty)
	c.say(fetch.ID, ReportGone, parking.Empty)
	if _, err := c.SetOut(ctx, ServiceRequest{CarPark: "racks", Machine: "R1", LiftsOut: 1, By: "wong", Reason: "rope"}, Keep[parking.MachineStatus]{}); err != nil {
		t.Fatal(err)
	}
	r := c.want(above.ID)
	if !r.PromisedAt.IsZero() || r.Note == "" || r.Position != 1 {
		t.Fatalf("%+v", r)
	}
	if g := c.give("racks", 50); g.Bay != below.Bay {
		t.Fatalf("the only bay that can be reached is %s: %+v", below.Bay, g)
	}
	if next := c.next(); next == nil || next.Kind != parking.Store {
		t.Fatalf("%+v", next)
	}
}

func mustSite(t *testing.T, a *Attendant) *site {
	t.Helper()
	s, err := a.site("racks")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func order(kind parking.CommandKind, id string, bay int, due time.Time) job {
	return job{command: parking.Command{ID: id, Kind: kind, DueAt: due}, op: mechanism.Operation{Kind: kind, Bay: bay}}
}

// A tower with its lift at the top: fetching there before going down for the
// car at the gate saves time, and is done only while nobody is late for it.
func TestPairingSavesTimeAndBreaksNoPromise(t *testing.T) {
	model, err := mechanism.New(towers().Machines[0])
	if err != nil {
		t.Fatal(err)
	}
	top := model.Bays() - 1
	if _, err := model.Apply(mechanism.Operation{Kind: parking.Store, Bay: top}); err != nil {
		t.Fatal(err)
	}
	store := order(parking.Store, "a", 0, morning.Add(time.Hour))
	fetch := order(parking.Fetch, "b", top, morning.Add(2*time.Hour))
	if i, _ := pick(model, []job{store, fetch}, morning, 0); i != 1 {
		t.Error("the car beside the lift does not come first though nobody is late")
	}
	store.command.DueAt = morning.Add(20 * time.Second)
	if i, _ := pick(model, []job{store, fetch}, morning, 0); i != 0 {
		t.Error("a promise is broken for a saving")
	}
	// Not before it is wanted; and then it is said when to look again.
	fetch.notBefore = morning.Add(time.Hour)
	if i, wakes := pick(model, []job{fetch}, morning, 0); i != -1 || !wakes.After(morning) || !wakes.Before(fetch.notBefore) {
		t.Errorf("%d, %s", i, wakes)
	}
}

// However many cars come, one that waits is served when it is due.
func TestNobodyWaitsForEver(t *testing.T) {
	model, err := mechanism.New(towers().Machines[0])
	if err != nil {
		t.Fatal(err)
	}
	top := model.Bays() - 1
	if _, err := model.Apply(mechanism.Operation{Kind: parking.Store, Bay: top}); err != nil {
		t.Fatal(err)
	}
	jobs := []job{order(parking.Fetch, "old", top, morning.Add(3*time.Minute))}
	now := morning
	for n := range 20 {
		// A new arrival at the gate before every decision.
		jobs = append(jobs, order(parking.Store, "new", n, now.Add(10*time.Second)))
		i, _ := pick(model, jobs, now, 0)
		if jobs[i].command.ID == "old" {
			if now.After(morning.Add(5 * time.Minute)) {
				t.Errorf("served at %s", now.Sub(morning))
			}
			return
		}
		e, err := model.Apply(jobs[i].op)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(e.Cycle.Duration())
		jobs = append(jobs[:i:i], jobs[i+1:]...)
	}
	t.Error("never served")
}
