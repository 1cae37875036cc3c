package attendant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/parking"
)

// notice is what the alarm of a vehicle that has not come says about the
// allocation; empty if it does not stand.
func (w *world) notice(park, subject string) string {
	w.t.Helper()
	detail := ""
	err := w.store.View(context.Background(), func(tx parking.Tx) error {
		all, err := tx.Alarms(context.Background(), park, 1000)
		for _, a := range all {
			if a.Kind == notCome && a.Subject == subject {
				detail = a.Detail
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return detail
}

func TestACarThatNeverComes(t *testing.T) {
	w := newWorld(t, guarded(3))
	ctx := context.Background()
	w.sees("plain", "PLN-IN-1", car(99)) // the lane works
	late, there := w.give("plain", 1), w.give("plain", 2)
	w.sees("plain", "PLN-IN-1", car(2))
	w.clock.Advance(5 * time.Minute)
	w.sweepOnce(ctx)
	if n := len(w.alarms("plain")); n != 0 {
		t.Fatalf("%d alarms after five minutes", n)
	}
	w.clock.Advance(6 * time.Minute)
	w.sweepOnce(ctx)
	if d := w.notice("plain", late.ID); !strings.Contains(d, late.Bay) || !strings.Contains(d, "freed at") {
		t.Fatalf("the alarm says %q", d)
	}
	if x := w.now(there.ID); !x.ComeBy.IsZero() || w.notice("plain", there.ID) != "" {
		t.Fatalf("one that came is waited for: %+v", x)
	}
	w.clock.Advance(6 * time.Minute)
	w.sweepOnce(ctx)
	// The lane has said nothing since: it may send later what it saw.
	if x := w.now(late.ID); x.State != parking.Assigned {
		t.Fatalf("freed though no lane vouches for it: %+v", x)
	}
	w.sees("plain", "PLN-IN-1", car(98))
	w.sweepOnce(ctx)
	if x := w.now(late.ID); x.State != parking.Cancelled || !strings.Contains(x.Reason, "did not come") {
		t.Fatalf("%+v", x)
	}
	if d := w.notice("plain", late.ID); d != "" {
		t.Fatalf("the alarm stands: %s", d)
	}
	w.clock.Advance(time.Hour)
	w.sees("plain", "PLN-IN-1", car(97))
	w.sweepOnce(ctx)
	if x := w.now(there.ID); x.State != parking.Assigned {
		t.Fatalf("a bay with a car was freed: %+v", x)
	}
	// A car that comes late after all is given a bay anew.
	if again := w.give("plain", 1); again.ID == late.ID || again.Same || again.State != parking.Assigned {
		t.Fatalf("%+v", again)
	}
}

func TestNobodyWouldHaveTold(t *testing.T) {
	w := newWorld(t, guarded(3), named("said", plain(3)))
	park := named("said", plain(3))
	park.ComeWithinMinutes = 10
	if err := w.SetCarPark(park); err != nil {
		t.Fatal(err)
	}
	// No lane was ever heard of: without the operator's word nothing is freed.
	quiet, said := w.give("plain", 1), w.give("said", 2)
	w.clock.Advance(10*time.Minute + 19*time.Second)
	w.sweepOnce(context.Background())
	if x := w.now(said.ID); x.State != parking.Assigned || w.notice("said", said.ID) == "" {
		t.Fatalf("a second early: %+v", x)
	}
	w.clock.Advance(time.Second)
	w.sweepOnce(context.Background())
	if x := w.now(said.ID); x.State != parking.Cancelled {
		t.Fatalf("%+v", x)
	}
	w.clock.Advance(24 * time.Hour)
	w.sweepOnce(context.Background())
	if x := w.now(quiet.ID); x.State != parking.Assigned || len(w.alarms("plain")) != 0 {
		t.Fatalf("%+v, %v", x, w.alarms("plain"))
	}
	park = named("said", plain(3))
	park.ComeWithinMinutes = 1441
	if err := w.SetCarPark(park); !errors.Is(err, parking.ErrInvalid) {
		t.Fatalf("two days: %v", err)
	}
}

// TestManyProcessesFreeABayOnce has processes sweep while drivers come and ask
// again: each bay is freed once, and none whose vehicle has come.
func TestManyProcessesFreeABayOnce(t *testing.T) {
	park := guarded(40)
	park.ComeWithinMinutes = 5
	w := newWorld(t, park)
	others := []*Attendant{w.Attendant}
	for range 3 {
		a, _ := start(t, w.store, w.clock, Settings{SweepEvery: time.Hour}, park)
		others = append(others, a)
	}
	var ids []string
	for n := range 30 {
		ids = append(ids, w.give("plain", n).ID)
	}
	w.clock.Advance(6 * time.Minute)
	w.sees("plain", "PLN-IN-1", car(99))
	var wg sync.WaitGroup
	for i, a := range others {
		wg.Go(func() {
			for n := range 10 {
				if i == 0 { // a third come while they are swept
					w.sees("plain", "PLN-IN-1", car(3*n))
				}
				a.refreshAll(context.Background())
				if _, err := a.expect(context.Background(), a.all()[0]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for n, id := range ids {
		history, err := w.store.History(context.Background(), id)
		if err != nil || len(history) != 2 {
			t.Fatalf("car %d: %+v, %v", n, history, err)
		}
		if x := w.now(id); x.State != parking.Cancelled && (n%3 != 0 || !x.ComeBy.IsZero()) {
			t.Errorf("car %d: %+v", n, x)
		}
	}
}

func TestTheFullCarParkLooksForBaysNobodyCameTo(t *testing.T) {
	park := guarded(2)
	park.ComeWithinMinutes = 5
	w := newWorld(t, park)
	w.give("plain", 1)
	w.give("plain", 2)
	w.sees("plain", "PLN-IN-1", car(2))
	w.clock.Advance(6 * time.Minute)
	w.sees("plain", "PLN-IN-1", car(3))
	// No sweep has run; the driver at the lane is not refused for that.
	if g, err := w.ask("plain", car(3)); err != nil || g.Bay == "" {
		t.Fatalf("%+v, %v", g, err)
	}
	var full *NoBayError
	if _, err := w.ask("plain", car(4)); !errors.As(err, &full) {
		t.Fatalf("the other has come: %v", err)
	}
}

func TestAtAMachineTheMachineIsRight(t *testing.T) {
	park := func() *parking.CarPark {
		cp := racks(1)
		cp.ComeWithinMinutes = 10
		cp.Lanes = []parking.Lane{{Unit: "RCK-IN-1", Direction: parking.In}}
		return cp
	}
	world := func(t *testing.T) *controller {
		c := &controller{newWorld(t, park()), "b1"}
		c.inventory(nil)
		return c
	}
	pass := func(c *controller) {
		for range 20 {
			c.clock.Advance(time.Minute)
			c.inventory(nil)
		}
		c.sees("racks", "RCK-IN-1", car(99))
	}
	t.Run("never told", func(t *testing.T) {
		c := world(t)
		g := c.give("racks", 1)
		pass(c)
		c.sweepOnce(context.Background())
		c.is(g.ID, parking.Cancelled)
		if order := c.next(); order != nil {
			t.Fatalf("it is told %+v", order)
		}
	})
	t.Run("told", func(t *testing.T) {
		c := world(t)
		g := c.give("racks", 1)
		c.next()
		c.clock.Advance(20 * time.Minute)
		c.sees("racks", "RCK-IN-1", car(99))
		c.sweepOnce(context.Background())
		c.is(g.ID, parking.Moving)
		if d := c.notice("racks", g.ID); !strings.Contains(d, "staff") {
			t.Fatalf("the alarm says %q", d)
		}
	})
	t.Run("told before", func(t *testing.T) {
		c := world(t)
		g := c.give("racks", 1)
		c.say(c.next().ID, ReportFailed, "")
		pass(c)
		c.sweepOnce(context.Background())
		c.is(g.ID, parking.Assigned)
		if c.notice("racks", g.ID) == "" {
			t.Fatal("nobody is told")
		}
	})
	t.Run("silent", func(t *testing.T) {
		c := world(t)
		g := c.give("racks", 1)
		c.clock.Advance(20 * time.Minute)
		c.sees("racks", "RCK-IN-1", car(99))
		c.sweepOnce(context.Background())
		c.is(g.ID, parking.Assigned)
		if d := c.notice("racks", g.ID); !strings.Contains(d, "has not said") {
			t.Fatalf("the alarm says %q", d)
		}
	})
	t.Run("never heard of", func(t *testing.T) {
		w := newWorld(t, racks(1))
		g := w.give("racks", 1)
		w.clock.Advance(24 * time.Hour)
		w.sweepOnce(context.Background())
		if x := w.now(g.ID); x.State != parking.Assigned || len(w.alarms("racks")) != 0 {
			t.Fatalf("%+v, %v", x, w.alarms("racks"))
		}
	})
	t.Run("waits behind others", func(t *testing.T) {
		c := world(t)
		g := c.give("racks", 1)
		c.sees("racks", "RCK-IN-1", car(1))
		pass(c)
		c.sweepOnce(context.Background())
		if x := c.is(g.ID, parking.Assigned); !x.ComeBy.IsZero() {
			t.Fatalf("%+v", x)
		}
	})
}

func TestWaitingLeavesNoTrace(t *testing.T) {
	w := newWorld(t, guarded(5))
	w.sees("plain", "PLN-IN-1", car(99))
	for n := range 3 {
		g := w.give("plain", n)
		w.sees("plain", "PLN-IN-1", car(n))
		w.clock.Advance(12 * time.Minute)
		w.sweepOnce(context.Background())
		w.sweepOnce(context.Background())
		history, err := w.store.History(context.Background(), g.ID)
		if err != nil || len(history) != 2 {
			t.Fatalf("%s, %v", fmt.Sprint(history), err)
		}
	}
}
