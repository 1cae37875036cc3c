package city_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/internal/clock"
	"freeflow/parking/city"
)

// street is a source whose free bays the test sets.
type street struct {
	parks []city.CarPark
	err   error
}

func (s *street) CarParks(time.Time) ([]city.CarPark, error) { return s.parks, s.err }

func window(t interface{ Fatal(...any) }, s *street, most int) (*city.Window, *clock.Fixed) {
	c := clock.At(noon)
	w, err := city.NewWindow(city.WindowConfig{Length: 3 * time.Second, WaitLimit: time.Minute, HoldLimit: 20 * time.Minute,
		MaxDrivers: most, Walk: city.Straight{DetourPerMille: 1000}}, c, s)
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

func submit(t *testing.T, w *city.Window, drivers ...city.Driver) {
	t.Helper()
	for _, d := range drivers {
		if err := w.Submit(d); err != nil {
			t.Fatal(err)
		}
	}
}

func round(t *testing.T, w *city.Window, c *clock.Fixed) city.Round {
	t.Helper()
	due, ok := w.Due()
	if !ok {
		t.Fatal("no round is due")
	}
	c.Set(due)
	r, err := w.Round()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func outcomes(r city.Round) string {
	var out []string
	for _, a := range r.Plan.Assignments {
		out = append(out, fmt.Sprintf("%s %s %s", a.Driver, a.Outcome, a.Place.CarPark))
	}
	return strings.TrimSpace(strings.Join(out, ", "))
}

func TestAWindowCollectsAndDecidesAnew(t *testing.T) {
	s := &street{parks: []city.CarPark{park("a", 0, 0, 1000, 0), park("b", 0, 400, 1000, 1)}}
	w, c := window(t, s, 10)
	if _, due := w.Due(); due {
		t.Error("a round is due in an empty window")
	}
	submit(t, w, driver("first", 0, 0, 0))
	c.Advance(2 * time.Second)
	submit(t, w, driver("second", 2, 0, 0))
	if _, err := w.Round(); !errors.Is(err, city.ErrNotDue) {
		t.Errorf("a round after 2 of 3 s: %v", err)
	}
	if due, _ := w.Due(); !due.Equal(noon.Add(3 * time.Second)) {
		t.Errorf("due at %v, want 3 s after the first request, not the last", due)
	}
	if got := outcomes(round(t, w, c)); got != "first assigned b, second waiting" {
		t.Error(got)
	}
	// b's bay is still unoccupied, but held; a comes free.
	s.parks[0].Free[car] = 1
	if got := outcomes(round(t, w, c)); got != "first moved a, second assigned b" {
		t.Error(got)
	}
	if got := outcomes(round(t, w, c)); got != "first kept a, second kept b" {
		t.Error(got)
	}
	if !w.Withdraw("first") || w.Withdraw("first") {
		t.Error("first is withdrawn once")
	}
	s.parks[0].Free[car] = 0
	if got := outcomes(round(t, w, c)); got != "second kept b" {
		t.Error(got)
	}
	w.Withdraw("second")
	round(t, w, c)
	if _, due := w.Due(); due {
		t.Error("a round is due in a window that is empty again")
	}
}

func TestAFixedDriverIsNotMoved(t *testing.T) {
	s := &street{parks: []city.CarPark{park("a", 0, 0, 1000, 0), park("b", 0, 400, 1000, 1)}}
	w, c := window(t, s, 10)
	submit(t, w, driver("d", 0, 0, 0))
	if err := w.Fix("d"); !errors.Is(err, city.ErrUnknown) {
		t.Errorf("a driver without a place is fixed: %v", err)
	}
	round(t, w, c)
	if err := w.Fix("d"); err != nil {
		t.Fatal(err)
	}
	s.parks[0].Free[car] = 1
	if got := outcomes(round(t, w, c)); got != "d kept b" {
		t.Error(got)
	}
}

func TestAWindowIsBounded(t *testing.T) {
	w, _ := window(t, &street{}, 2)
	submit(t, w, driver("a", 0, 0, 0), driver("b", 0, 0, 0))
	if err := w.Submit(driver("c", 0, 0, 0)); !errors.Is(err, city.ErrFull) {
		t.Errorf("a third of two: %v", err)
	}
	if err := w.Submit(driver("a", 0, 0, 0)); !errors.Is(err, city.ErrKnown) {
		t.Errorf("the same again: %v", err)
	}
	w.Withdraw("b")
	bad, holder := driver("x", 0, 0, 0), driver("y", 0, 0, 0)
	bad.StayMinutes = 0
	holder.Current = &city.Reservation{CarPark: "a"}
	for _, d := range []city.Driver{bad, holder} {
		if err := w.Submit(d); !errors.Is(err, city.ErrBatch) {
			t.Errorf("%+v: %v", d, err)
		}
	}
	submit(t, w, driver("c", 0, 0, 0))
	for name, config := range map[string]city.WindowConfig{
		"no length":   {WaitLimit: 1, HoldLimit: 1, MaxDrivers: 1},
		"no limits":   {Length: time.Second, MaxDrivers: 1},
		"no bound":    {Length: time.Second, WaitLimit: 1, HoldLimit: 1},
		"beyond all":  {Length: time.Second, WaitLimit: 1, HoldLimit: 1, MaxDrivers: city.MaxDrivers + 1},
		"two minutes": {Length: 2 * time.Minute, WaitLimit: 1, HoldLimit: 1, MaxDrivers: 1},
	} {
		if _, err := city.NewWindow(config, clock.At(noon), &street{}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestRequestsAndHoldsExpire(t *testing.T) {
	s := &street{parks: []city.CarPark{park("a", 0, 0, 1000, 1)}}
	w, c := window(t, s, 10)
	submit(t, w, driver("holds", 0, 0, 0), driver("waits", 1, 0, 0))
	if got := outcomes(round(t, w, c)); got != "holds assigned a, waits waiting" {
		t.Fatal(got)
	}
	c.Set(noon.Add(59 * time.Second))
	if r, err := w.Round(); err != nil || len(r.Expired) != 0 {
		t.Errorf("%+v %v", r, err)
	}
	c.Set(noon.Add(time.Minute + 2*time.Second))
	if r, err := w.Round(); err != nil || !slices.Equal(r.Expired, []string{"waits"}) || outcomes(r) != "holds kept a" {
		t.Errorf("%+v %v", r, err)
	}
	submit(t, w, driver("later", 70, 0, 0))
	// The hold began with the first round, 3 s after noon, not with the
	// request; its bay goes to another in the round in which it expires.
	c.Set(noon.Add(20*time.Minute + 2*time.Second))
	submit(t, w, driver("last", 1200, 0, 0))
	if r, err := w.Round(); err != nil || !slices.Equal(r.Expired, []string{"later"}) || outcomes(r) != "holds kept a, last waiting" {
		t.Errorf("%+v %v", r, err)
	}
	if r := round(t, w, c); !slices.Equal(r.Expired, []string{"holds"}) || outcomes(r) != "last assigned a" {
		t.Errorf("%+v", r)
	}
}

func TestAFailingSourceHarmsNobody(t *testing.T) {
	s := &street{parks: []city.CarPark{park("a", 0, 0, 1000, 1)}}
	w, c := window(t, s, 10)
	submit(t, w, driver("d", 0, 0, 0))
	round(t, w, c)
	s.err = errors.New("the feed is down")
	c.Advance(30 * time.Minute)
	if _, err := w.Round(); !errors.Is(err, s.err) {
		t.Errorf("%v", err)
	}
	if _, err := w.AtGate(driver("g", 0, 0, 0), "a"); !errors.Is(err, s.err) {
		t.Errorf("%v", err)
	}
	if _, err := w.Round(); !errors.Is(err, city.ErrNotDue) {
		t.Errorf("a failed round is tried again at once: %v", err)
	}
	s.err = nil
	if r := round(t, w, c); !slices.Equal(r.Expired, []string{"d"}) {
		t.Errorf("%+v", r)
	}
}

func TestOverdrawnCarParksAreReported(t *testing.T) {
	s := &street{parks: []city.CarPark{park("a", 0, 0, 1000, 2)}}
	w, c := window(t, s, 10)
	submit(t, w, driver("d", 0, 0, 0), driver("e", 0, 0, 0))
	round(t, w, c)
	s.parks[0].Free[car] = 1 // somebody without a reservation took a bay
	r := round(t, w, c)
	if want := (city.Overdrawn{CarPark: "a", Kind: car, Missing: 1}); len(r.Overdrawn) != 1 || r.Overdrawn[0] != want {
		t.Errorf("%+v", r.Overdrawn)
	}
	if got := outcomes(r); got != "d kept a, e kept a" {
		t.Error(got)
	}
	if s.parks[0].Free[car] != 1 {
		t.Error("the source's map was changed")
	}
}

func TestTheGateDecidesAtOnce(t *testing.T) {
	s := &street{parks: []city.CarPark{park("a", 0, 0, 1000, 1), park("b", 0, 400, 1000, 1), park("far", 9000, 9000, 1000, 5)}}
	w, c := window(t, s, 10)
	submit(t, w, driver("holder", 0, 0, 0))
	round(t, w, c)

	// a's only bay is held: the next car is sent on to b, and is under way.
	a, err := w.AtGate(driver("walk-in", 5, 0, 0), "a")
	if err != nil || a.Outcome != city.Assigned || a.Place.CarPark != "b" {
		t.Errorf("%+v %v", a, err)
	}
	// The third finds nothing, and is not kept.
	if a, err = w.AtGate(driver("third", 6, 0, 0), "b"); err != nil || a.Outcome != city.Waiting {
		t.Errorf("%+v %v", a, err)
	}
	// It may park where it stands, though the walk is beyond its limit.
	if a, err = w.AtGate(driver("third", 6, 0, 0), "far"); err != nil || a.Outcome != city.Assigned || a.Place.Cost != city.OutsideCost {
		t.Errorf("%+v %v", a, err)
	}
	// The holder comes to his bay, at his price.
	s.parks[0].Tariff = hourly{cents: 3000}
	if a, err = w.AtGate(driver("holder", 0, 0, 0), "a"); err != nil || a.Outcome != city.Kept || a.Place.PriceCents != 1000 {
		t.Errorf("%+v %v", a, err)
	}
	s.parks[0].Free[car] = 0
	if got := outcomes(round(t, w, c)); got != "walk-in kept b" {
		t.Error(got)
	}
	// His bay was taken by somebody else: he is sent on, not let in.
	s.parks[1].Free[car] = 0
	s.parks[0].Free[car] = 1
	if a, err = w.AtGate(driver("walk-in", 5, 0, 0), "b"); err != nil || a.Outcome != city.Assigned || a.Place.CarPark != "a" {
		t.Errorf("%+v %v", a, err)
	}
	// Too high for the gate, and at an unknown one.
	s.parks[2].MaxHeightMM = 1800
	high := driver("high", 7, 9000, 9000)
	high.HeightMM = 2000
	if a, err = w.AtGate(high, "far"); err != nil || a.Outcome != city.Waiting || a.Turned.TooLow != 1 {
		t.Errorf("%+v %v", a, err)
	}
	if _, err = w.AtGate(high, "nowhere"); !errors.Is(err, city.ErrBatch) {
		t.Errorf("%v", err)
	}
}

// TestAWindowNeverHoldsMoreThanThereIs plays random days: requests, rounds,
// arrivals, gates and departures, with every bay counted by the test.
func TestAWindowNeverHoldsMoreThanThereIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &street{}
		size := map[string]int{}
		for _, id := range []string{"a", "b", "c"} {
			n := rapid.IntRange(0, 3).Draw(t, id)
			size[id] = n
			s.parks = append(s.parks, park(id, 0, int64(200*len(s.parks)), 1000, n))
		}
		w, c := window(t, s, 6)
		goal := map[string]string{}
		cost := map[string]int64{}
		at := map[string]int{"a": 0, "b": 1, "c": 2}
		occupy := func(id string, n int) { s.parks[at[id]].Free[car] -= n }
		names := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"ask", "ask", "round", "round", "arrive", "gate", "depart"}).Draw(t, "step") {
			case "ask":
				names++
				if err := w.Submit(driver(fmt.Sprint("d", names), names, 0, 0)); err != nil && !errors.Is(err, city.ErrFull) {
					t.Fatal(err)
				}
			case "round":
				if due, ok := w.Due(); ok {
					c.Set(due)
					r, err := w.Round()
					if err != nil || len(r.Overdrawn) > 0 {
						t.Fatalf("%+v %v", r, err)
					}
					for _, id := range r.Expired {
						delete(goal, id)
					}
					for _, a := range r.Plan.Assignments {
						if held, ok := goal[a.Driver]; ok && (a.Outcome == city.Waiting || a.Outcome == city.Kept && a.Place.CarPark != held || a.Place.Cost > cost[a.Driver]) {
							t.Fatalf("%s held %s at %d: %+v", a.Driver, held, cost[a.Driver], a)
						}
						if a.Outcome != city.Waiting {
							goal[a.Driver], cost[a.Driver] = a.Place.CarPark, a.Place.Cost
						}
					}
				}
			case "arrive":
				for _, id := range slices.Sorted(maps.Keys(goal)) {
					a, err := w.AtGate(driver(id, 0, 0, 0), goal[id])
					if err != nil || a.Outcome != city.Kept {
						t.Fatalf("%s at its own gate: %+v %v", id, a, err)
					}
					occupy(goal[id], 1)
					delete(goal, id)
					break
				}
			case "gate":
				names++
				id, gate := fmt.Sprint("g", names), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "gate")
				a, err := w.AtGate(driver(id, 0, 0, 0), gate)
				switch {
				case errors.Is(err, city.ErrFull):
				case err != nil:
					t.Fatal(err)
				case a.Outcome == city.Assigned && a.Place.CarPark == gate:
					occupy(gate, 1)
				case a.Outcome == city.Assigned:
					goal[id], cost[id] = a.Place.CarPark, a.Place.Cost
				}
			case "depart":
				id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "from")
				if s.parks[at[id]].Free[car] < size[id] {
					occupy(id, -1)
				}
			}
			held := map[string]int{}
			for _, id := range goal {
				held[id]++
			}
			for id, n := range held {
				if n > s.parks[at[id]].Free[car] {
					t.Fatalf("%s: %d bays are held, %d are unoccupied", id, n, s.parks[at[id]].Free[car])
				}
			}
		}
	})
}

func TestAWindowIsSafeForConcurrentUse(t *testing.T) {
	s := &street{parks: []city.CarPark{park("a", 0, 0, 1000, 3)}}
	w, c := window(t, s, 50)
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for n := range 20 {
				id := fmt.Sprint(g, "-", n)
				if err := w.Submit(driver(id, n, 0, 0)); err != nil && !errors.Is(err, city.ErrFull) {
					t.Error(err)
				}
				c.Advance(time.Second)
				if r, err := w.Round(); err == nil && len(r.Plan.Assignments) > 50 {
					t.Errorf("%d drivers in a round", len(r.Plan.Assignments))
				}
				w.Withdraw(id)
			}
		})
	}
	group.Wait()
}
