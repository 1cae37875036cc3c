package cashier

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/parking"
	"freeflow/parking/tariff"
)

// machineIs puts the state of park M's machine R1 as of now.
func (w *world) machineIs(out bool, liftsOut int) {
	w.Helper()
	_, err := w.store.Do(w.Context(), nil, func(tx parking.Tx) (parking.Answer, error) {
		m := parking.MachineStatus{CarPark: "M", ID: "R1"}
		list, err := tx.Machines(w.Context(), "M")
		for _, have := range list {
			if have.ID == m.ID {
				m = have
			}
		}
		if err != nil {
			return parking.Answer{}, err
		}
		m.Revision++
		m.Out, m.LiftsOut, m.Reason = out, liftsOut, "chain"
		return parking.Answer{}, tx.PutMachine(w.Context(), m)
	})
	if err != nil {
		w.Fatal(err)
	}
}

func staged(w *world) func(*parking.Allocation) {
	return func(a *parking.Allocation) { a.State, a.StagedAt = parking.Staged, w.clock.Now() }
}

func out(w *world) { w.machineIs(true, 0) }
func in(w *world)  { w.machineIs(false, 0) }

// The site charges from lane to lane, 20.00 an hour begun: what is not charged is
// what the outages took. In at 02:00, asked for at 03:00, out at 06:00, so that
// without an outage it is 4 hours, 80.00.
func TestOutagesStopTheClockOfThoseWhoWait(t *testing.T) {
	type step struct {
		at string
		do func(*world)
	}
	asked := func(w *world) { w.allocate("a", "B1", "AB1", requested(w)) }
	ready := func(w *world) { w.allocate("a", "B1", "AB1", staged(w)) }
	for name, c := range map[string]struct {
		lifts int
		steps []step
		want  int64
		// waited are the minutes that the receipt says are not charged.
		waited []int
	}{
		"none":                         {1, []step{{"03:00:00", asked}, {"05:50:00", ready}}, 80_00, nil},
		"within the waiting":           {1, []step{{"03:00:00", asked}, {"03:10:00", out}, {"04:20:00", in}, {"05:50:00", ready}}, 60_00, []int{70}},
		"a minute too short":           {1, []step{{"03:00:00", asked}, {"03:10:00", out}, {"04:09:59", in}, {"05:50:00", ready}}, 80_00, []int{59}},
		"since before":                 {1, []step{{"02:10:00", out}, {"03:00:00", asked}, {"04:00:00", in}, {"05:50:00", ready}}, 60_00, []int{60}},
		"over before it was asked":     {1, []step{{"02:10:00", out}, {"02:50:00", in}, {"03:00:00", asked}, {"05:50:00", ready}}, 80_00, nil},
		"after the car was there":      {1, []step{{"03:00:00", asked}, {"03:05:00", ready}, {"03:10:00", out}, {"05:30:00", in}}, 80_00, nil},
		"until the car was there":      {1, []step{{"03:00:00", asked}, {"03:10:00", out}, {"05:10:00", ready}, {"05:30:00", in}}, 40_00, []int{120}},
		"it lasts when the car leaves": {1, []step{{"03:00:00", asked}, {"03:00:00", out}}, 20_00, []int{180}},
		"two of them":                  {1, []step{{"03:00:00", asked}, {"03:10:00", out}, {"03:40:00", in}, {"04:10:00", out}, {"04:40:00", in}, {"05:50:00", ready}}, 60_00, []int{30, 30}},
		"its only lift":                {1, []step{{"03:00:00", asked}, {"03:10:00", func(w *world) { w.machineIs(false, 1) }}, {"04:20:00", in}, {"05:50:00", ready}}, 60_00, []int{70}},
		"one of two lifts":             {2, []step{{"03:00:00", asked}, {"03:10:00", func(w *world) { w.machineIs(false, 1) }}, {"04:20:00", in}, {"05:50:00", ready}}, 80_00, nil},
		"one lift, then both":          {2, []step{{"03:00:00", asked}, {"03:10:00", func(w *world) { w.machineIs(false, 1) }}, {"03:30:00", func(w *world) { w.machineIs(false, 2) }}, {"04:40:00", in}, {"05:50:00", ready}}, 60_00, []int{70}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			m := w.sites.parks["M"]
			m.ClockStart, m.ClockStop = parking.AtEntry, parking.AtExit
			m.Machines[0].Lifts = c.lifts
			f := w.follower(w.cashier)
			w.pass("02:00:00", "M-IN-1", "AB1")
			w.allocate("a", "B1", "AB1")
			w.allocate("a", "B1", "AB1", stored(w))
			w.follow(f)
			for _, s := range c.steps {
				w.at(s.at)
				s.do(w)
				w.follow(f)
			}
			w.at("06:00:00")
			w.allocate("a", "B1", "AB1", gone(w))
			w.pass("06:00:00", "M-OUT-1", "AB1")
			w.follow(f)
			s := w.stays("M")[0]
			if s.AmountCents != c.want || s.State != parking.Closed {
				t.Errorf("%s: want %d", show(s), c.want)
			}
			var r tariff.Receipt
			if err := json.Unmarshal(s.Receipt, &r); err != nil {
				t.Fatal(err)
			}
			var waited []int
			for _, l := range r.Lines {
				if l.Kind != LineOutage {
					continue
				}
				waited = append(waited, int(l.To.Sub(l.From)/time.Minute))
				if l.AmountCents != 0 || !strings.Contains(l.Text, "Machine R1 out of service") || l.Rule != "outage/R1" {
					t.Errorf("%+v", l)
				}
			}
			if len(waited) != len(c.waited) || r.Has(tariff.FlagClockStopped) != (len(c.waited) > 0) {
				t.Errorf("not charged %v, want %v; flags %v", waited, c.waited, r.Flags)
			}
			for i := range min(len(waited), len(c.waited)) {
				if waited[i] != c.waited[i] {
					t.Errorf("not charged %v, want %v", waited, c.waited)
				}
			}
			w.wantConserved(w.fake())
			// Nothing that the machine does later changes it.
			w.at("07:00:00")
			w.machineIs(len(c.waited) == 0, 0)
			if _, err := w.cashier.Refresh(t.Context(), "M", parking.Vehicle{Plate: "AB1"}); err != nil {
				t.Fatal(err)
			}
			if again := w.stays("M")[0]; again.AmountCents != c.want || again.Revision != s.Revision {
				t.Errorf("afterwards: %s", show(again))
			}
		})
	}
}

// While the outage lasts, the bill of a driver who waits stands still; a driver
// whose car is in another machine, or who does not wait, pays on.
func TestABillStandsStillDuringAnOutage(t *testing.T) {
	w := newWorld(t)
	m := w.sites.parks["M"]
	m.ClockStart, m.ClockStop = parking.AtEntry, parking.AtExit
	f := w.follower(w.cashier)
	waits := w.pass("02:00:00", "M-IN-1", "ZZ9").Stay
	stays := w.pass("02:00:00", "M-IN-2", "YY8").Stay
	w.allocate("a", "B1", "ZZ9")
	w.allocate("a", "B1", "ZZ9", stored(w))
	w.allocate("b", "B2", "YY8")
	w.allocate("b", "B2", "YY8", stored(w))
	w.at("02:50:00")
	w.allocate("a", "B1", "ZZ9", requested(w))
	w.machineIs(true, 0)
	w.follow(f)
	for at, want := range map[string][2]int64{"02:55:00": {20_00, 20_00}, "04:30:00": {20_00, 60_00}, "05:55:00": {20_00, 80_00}} {
		w.at(at)
		for i, id := range []string{waits, stays} {
			b, err := w.cashier.Bill(t.Context(), id)
			if err != nil || b.TotalCents != want[i] {
				t.Errorf("%s, driver %d: %d, want %d, %v", at, i, b.TotalCents, want[i], err)
			}
		}
	}
}
