package mechanism_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/mechanism"

	"pgregory.net/rapid"
)

func model(t interface{ Fatal(...any) }, m parking.Machine) mechanism.Model {
	made, err := mechanism.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestRackTimes are the facts' examples: 10 s at the ground, 28 s of lift and 21
// s of slide for the second storey, 87 s to the third and 115 s to the fourth as
// drivers see it, and a worst cycle of about 3.3 min without the driver.
func TestRackTimes(t *testing.T) {
	m := model(t, puzzle(4, 4))
	for _, c := range []struct {
		slot         parking.Slot
		ready, cycle time.Duration
		slides       int
	}{
		{parking.Slot{Tier: 0, Column: 1}, 10 * time.Second, 55 * time.Second, 0},
		{parking.Slot{Tier: 1, Column: 1}, 59429 * time.Millisecond, 132429 * time.Millisecond, 1},
		{parking.Slot{Tier: 2, Column: 1}, 87429 * time.Millisecond, 188429 * time.Millisecond, 2},
		{parking.Slot{Tier: 3, Column: 1}, 115429 * time.Millisecond, 244429 * time.Millisecond, 3},
		// In the column of the empty places nothing has to slide.
		{parking.Slot{Tier: 3, Column: 3}, 94 * time.Second, 223 * time.Second, 0},
	} {
		bay := slices.Index(mechanism.Slots(m.Machine()), c.slot)
		e, err := mechanism.StoreTime(m, bay)
		if err != nil || e.Ready.Duration() != c.ready || e.Cycle.Duration() != c.cycle || e.Slides != c.slides {
			t.Errorf("%+v: %+v %v, want ready %v, cycle %v, %d slides", c.slot, e, err, c.ready, c.cycle, c.slides)
		}
	}
	// The worst cycle without the driver is "about 3.3 min".
	if worst := 244429*time.Millisecond - 45*time.Second; worst < 198*time.Second || worst > 200*time.Second {
		t.Errorf("worst cycle %v", worst)
	}
}

// TestTrip checks a cycle of each kind of machine against sums done by hand.
func TestTrip(t *testing.T) {
	// Tower, 40 s a turn of 10 columns, tiers 28 s apart, 8 s to hand over: to
	// tier 2, column 3 the lift (56 s) is slower than the turn (12 s).
	tw := model(t, tower(6, 10))
	bay := slices.Index(mechanism.Slots(tw.Machine()), parking.Slot{Tier: 2, Column: 3})
	if e, err := tw.Apply(mechanism.Operation{Kind: parking.Store, Bay: bay}); err != nil || e.Ready != 10_000 || e.Cycle != 10_000+45_000+56_000+8_000 {
		t.Errorf("storing in a tower: %+v %v", e, err)
	}
	// The lift is still there.
	if e, err := mechanism.FetchTime(tw, bay); err != nil || e.Ready != 10_000+8_000+56_000 || e.Cycle != e.Ready+45_000 {
		t.Errorf("fetching from a tower: %+v %v", e, err)
	}
	// Shuttle: lane 1, two deep; the car at the back is blocked by the front one.
	sh := model(t, shuttle(2, 3, 2, 1))
	slots := mechanism.Slots(sh.Machine())
	back, front := slices.Index(slots, parking.Slot{Tier: 0, Column: 1, Depth: 1}), slices.Index(slots, parking.Slot{Tier: 0, Column: 1})
	if _, err := mechanism.StoreTime(sh, front); !errors.Is(err, mechanism.ErrBlocked) {
		t.Errorf("storing before a free place: %v", err)
	}
	for _, b := range []int{back, front} {
		if _, err := sh.Apply(mechanism.Operation{Kind: parking.Store, Bay: b}); err != nil {
			t.Fatal(err)
		}
	}
	e, err := mechanism.FetchTime(sh, back)
	if err != nil || len(e.Relocations) != 1 || e.Relocations[0].From != front {
		t.Fatalf("fetching from behind: %+v %v", e, err)
	}
	alone := sh.Clone()
	if err := alone.SetOccupied(front, false); err != nil {
		t.Fatal(err)
	}
	if f, err := mechanism.FetchTime(alone, back); err != nil || f.Ready >= e.Ready {
		t.Errorf("making way costs nothing: %v and %v", f.Ready, e.Ready)
	}
}

// TestDual: one cycle for two drivers saves the second gate, and on the same
// pallet nearly a whole cycle.
func TestDual(t *testing.T) {
	m := model(t, puzzle(3, 5))
	slots := mechanism.Slots(m.Machine())
	a, b := slices.Index(slots, parking.Slot{Tier: 1, Column: 0}), slices.Index(slots, parking.Slot{Tier: 2, Column: 2})
	if _, err := m.Apply(mechanism.Operation{Kind: parking.Store, Bay: b}); err != nil {
		t.Fatal(err)
	}
	d, err := m.Dual(a, b, 0)
	if err != nil || d.Saving != 10_000 {
		t.Errorf("two pallets: %+v %v, want 10 s saved", d, err)
	}
	// b is ready (66 s), the one driver goes (45 s), the other comes.
	d, err = m.Dual(b, b, 0)
	if err != nil || d.FetchReady != 66_000 || d.StoreReady != 66_000+45_000 || d.Saving != 10_000+2*56_000 {
		t.Errorf("one pallet: %+v %v", d, err)
	}
	if _, err := m.ApplyDual(b, b, 0); err != nil || !m.Occupied(b) || m.Cars() != 1 {
		t.Errorf("one pallet: %v, %d cars", err, m.Cars())
	}
	// A tower's lift goes on from the one bay to the other next to it.
	tw := model(t, tower(6, 10))
	slots = mechanism.Slots(tw.Machine())
	a, b = slices.Index(slots, parking.Slot{Tier: 5, Column: 3}), slices.Index(slots, parking.Slot{Tier: 5, Column: 4})
	if _, err := tw.Apply(mechanism.Operation{Kind: parking.Store, Bay: b}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Apply(mechanism.Operation{Kind: parking.Prepare, Bay: 0}); err != nil {
		t.Fatal(err)
	}
	if d, err := tw.Dual(a, b, 0); err != nil || d.Saving != 10_000 || d.Cycle != 10_000+45_000+140_000+8_000+4_000+8_000+140_000+45_000 {
		t.Errorf("tower: %+v %v", d, err)
	}
}

// TestOut: a rack without lifts serves the ground, a tower nothing, and a
// shuttle system what lifts it has left.
func TestOut(t *testing.T) {
	m := model(t, puzzle(3, 5))
	m.SetLiftsOut(1)
	if _, err := mechanism.StoreTime(m, 0); err != nil {
		t.Errorf("the ground of a rack without lifts: %v", err)
	}
	if _, err := mechanism.StoreTime(m, 12); !errors.Is(err, mechanism.ErrOut) {
		t.Errorf("the top of a rack without lifts: %v", err)
	}
	tw := model(t, tower(3, 4))
	tw.SetLiftsOut(1)
	if _, err := mechanism.StoreTime(tw, 0); !errors.Is(err, mechanism.ErrOut) {
		t.Errorf("a tower without its lift: %v", err)
	}
	sh := model(t, shuttle(2, 3, 1, 2))
	sh.SetLiftsOut(1)
	if _, err := sh.Estimate(mechanism.Operation{Kind: parking.Store, Bay: 0, Lift: 1}); !errors.Is(err, mechanism.ErrOut) {
		t.Errorf("the lift that is out: %v", err)
	}
	if _, err := mechanism.StoreTime(sh, 0); err != nil {
		t.Errorf("the other lift: %v", err)
	}
}

// TestIdle: the expected pallet is made ready, and a car that leaves late goes
// from before one that leaves soon.
func TestIdle(t *testing.T) {
	m := model(t, puzzle(3, 5))
	want := slices.Index(mechanism.Slots(m.Machine()), parking.Slot{Tier: 2, Column: 1})
	weight := func(bay int) int {
		if bay == want {
			return 500
		}
		return 0
	}
	op, gain, ok := m.Idle(weight)
	if !ok || op.Kind != parking.Prepare || op.Bay != want || gain != 500*21_429 {
		t.Fatalf("%+v, gain %d, %v", op, gain, ok)
	}
	if _, err := m.Apply(op); err != nil {
		t.Fatal(err)
	}
	if e, err := mechanism.StoreTime(m, want); err != nil || e.Ready != 66_000 {
		t.Errorf("after that: %+v %v", e, err)
	}
	if op, _, ok := m.Idle(weight); ok {
		t.Errorf("and again %+v", op)
	}

	sh := model(t, shuttle(1, 3, 2, 1))
	slots := mechanism.Slots(sh.Machine())
	back, front := slices.Index(slots, parking.Slot{Depth: 1}), slices.Index(slots, parking.Slot{})
	for _, b := range []int{back, front} {
		if _, err := sh.Apply(mechanism.Operation{Kind: parking.Store, Bay: b}); err != nil {
			t.Fatal(err)
		}
	}
	soon := func(bay int) int {
		if bay == back {
			return 900
		}
		return 10
	}
	op, _, ok = sh.Idle(soon)
	if !ok || op.Kind != parking.Relocate || op.From != front {
		t.Fatalf("%+v %v", op, ok)
	}
	if _, err := sh.Apply(op); err != nil {
		t.Fatal(err)
	}
	if e, err := mechanism.FetchTime(sh, back); err != nil || len(e.Relocations) != 0 {
		t.Errorf("still blocked: %+v %v", e, err)
	}
}

// TestPromised: the place that a car is under way to is not given to one that
// makes way.
func TestPromised(t *testing.T) {
	m := model(t, shuttle(1, 3, 2, 1))
	slots := mechanism.Slots(m.Machine())
	at := func(column, depth int) int { return slices.Index(slots, parking.Slot{Column: column, Depth: depth}) }
	for _, b := range []int{at(0, 1), at(0, 0)} {
		if _, err := m.Apply(mechanism.Operation{Kind: parking.Store, Bay: b}); err != nil {
			t.Fatal(err)
		}
	}
	e, err := mechanism.FetchTime(m, at(0, 1))
	if err != nil || e.Relocations[0].Bay != at(1, 1) {
		t.Fatalf("%+v %v", e, err)
	}
	if err := m.SetPromised(at(1, 1), true); err != nil {
		t.Fatal(err)
	}
	if e, err = mechanism.FetchTime(m, at(0, 1)); err != nil || e.Relocations[0].Bay != at(2, 1) {
		t.Errorf("%+v %v: want the next lane", e, err)
	}
	if _, err := m.Estimate(mechanism.Operation{Kind: parking.Relocate, Bay: at(1, 1), From: at(0, 0)}); !errors.Is(err, mechanism.ErrOccupied) {
		t.Errorf("relocating there: %v", err)
	}
	if _, err := m.Apply(mechanism.Operation{Kind: parking.Store, Bay: at(1, 1)}); err != nil {
		t.Errorf("storing there: %v", err)
	}
}

// drawTiming draws fast machines, so that stepping through milliseconds is
// quick, with speeds that divide nothing evenly.
func drawTiming(t *rapid.T) parking.Timing {
	n := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(t, name) }
	return parking.Timing{GateSeconds: n("gate", 0, 2), UserSeconds: n("user", 0, 3), PitchMM: n("pitch", 100, 3000),
		TierMM: n("tier", 100, 3000), SlideMMPerMinute: n("slide", 100_000, 900_000),
		LiftMMPerMinute: n("lift", 100_000, 900_000), TurnSeconds: n("turn", 0, 1), TransferSeconds: n("transfer", 0, 1)}
}

// draws are the operations tried on a machine: a kind and a bay (and a source).
func drawOperation(t *rapid.T, m parking.Machine, bays int) mechanism.Operation {
	kinds := []parking.CommandKind{parking.Store, parking.Store, parking.Fetch, parking.Prepare, parking.Relocate}
	return mechanism.Operation{Kind: kinds[rapid.IntRange(0, len(kinds)-1).Draw(t, "kind")],
		Bay: rapid.IntRange(0, bays-1).Draw(t, "bay"), From: rapid.IntRange(0, bays-1).Draw(t, "from"),
		Lift: rapid.IntRange(0, m.Lifts-1).Draw(t, "lift")}
}

// agree applies the operation after having estimated it, checks that both say
// the same and that the state can be written down and read back, and returns
// the estimate; ok is false where the machine refuses, which must change
// nothing.
func agree(t *rapid.T, m mechanism.Model, op mechanism.Operation) (mechanism.Estimate, bool) {
	before := m.Encode()
	e, err := m.Estimate(op)
	if string(m.Encode()) != string(before) {
		t.Fatalf("estimating %+v changed the state", op)
	}
	a, applied := m.Apply(op)
	if (err == nil) != (applied == nil) {
		t.Fatalf("%+v: the estimate says %v and doing it %v", op, err, applied)
	}
	if err != nil {
		if string(m.Encode()) != string(before) {
			t.Fatalf("%+v failed (%v) and changed the state", op, err)
		}
		return e, false
	}
	if a.Ready != e.Ready || a.Cycle != e.Cycle || a.Slides != e.Slides || !slices.Equal(a.Relocations, e.Relocations) {
		t.Fatalf("%+v: estimated %+v, took %+v", op, e, a)
	}
	fresh := model(t, m.Machine())
	if err := fresh.Restore(m.Encode()); err != nil || string(fresh.Encode()) != string(m.Encode()) {
		t.Fatalf("the state cannot be read back: %v", err)
	}
	for bay := range m.Bays() {
		fetch := mechanism.Operation{Kind: parking.Fetch, Bay: bay}
		x, errX := m.Estimate(fetch)
		y, errY := fresh.Estimate(fetch)
		if (errX == nil) != (errY == nil) || x.Ready != y.Ready {
			t.Fatalf("read back, bay %d takes %v and not %v", bay, y.Ready, x.Ready)
		}
		if (errX == nil) != m.Occupied(bay) {
			t.Fatalf("bay %d: occupied %v and fetching says %v", bay, m.Occupied(bay), errX)
		}
	}
	return e, true
}

// TestRackAgainstSteel compares the rack with pallets moved step by step.
func TestRackAgainstSteel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		machine := puzzle(rapid.IntRange(2, 5).Draw(t, "tiers"), rapid.IntRange(2, 6).Draw(t, "columns"))
		machine.Timing = drawTiming(t)
		m, s := model(t, machine), newSteel(machine)
		if m.Bays() != machine.Tiers*machine.Columns-(machine.Tiers-1) {
			t.Fatalf("%d bays of %d tiers and %d columns", m.Bays(), machine.Tiers, machine.Columns)
		}
		step := func(op mechanism.Operation) {
			e, ok := agree(t, m, op)
			if !ok {
				return
			}
			ready, cycle, slides := s.operate(op.Kind, pallet(m.Slot(op.Bay)))
			if int(e.Ready) != ready || int(e.Cycle) != cycle || e.Slides != slides {
				t.Fatalf("%+v: the model says %+v, the steel %d ms, %d ms, %d slides", op, e, ready, cycle, slides)
			}
			for bay := range m.Bays() {
				s.find(pallet(m.Slot(bay)))
				if m.Occupied(bay) != s.cars[pallet(m.Slot(bay))] {
					t.Fatalf("bay %d: a car has appeared or vanished", bay)
				}
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "operations") {
			op := drawOperation(t, machine, m.Bays())
			if op.Kind == parking.Relocate {
				// A rack relocates nothing; here it stands for a dual cycle.
				if !m.Occupied(op.From) || m.Occupied(op.Bay) && op.Bay != op.From {
					continue
				}
				d, err := m.ApplyDual(op.Bay, op.From, 0)
				if err != nil {
					t.Fatalf("a dual cycle %+v: %v", op, err)
				}
				ready, cycle, _ := s.operate(parking.Fetch, pallet(m.Slot(op.From)))
				again, second, _ := s.operate(parking.Store, pallet(m.Slot(op.Bay)))
				if int(d.FetchReady) != ready || int(d.Cycle) > cycle+second || int(d.StoreReady) > cycle+again {
					t.Fatalf("a dual cycle %+v: %+v is worse than one after the other: %d, %d", op, d, cycle, second)
				}
				continue
			}
			step(op)
		}
		for bay := range m.Bays() {
			if m.Occupied(bay) {
				step(mechanism.Operation{Kind: parking.Fetch, Bay: bay})
			}
		}
		if m.Cars() != 0 {
			t.Fatalf("%d cars were never fetched", m.Cars())
		}
	})
}

// TestTowerAgainstShaft compares the tower with a lift moved step by step.
func TestTowerAgainstShaft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		machine := tower(rapid.IntRange(1, 7).Draw(t, "tiers"), rapid.IntRange(2, 12).Draw(t, "columns"))
		machine.Timing = drawTiming(t)
		m, s := model(t, machine), &shaft{m: machine}
		slots := mechanism.Slots(machine)
		step := func(op mechanism.Operation) {
			occupied := m.Occupied(op.Bay)
			e, ok := agree(t, m, op)
			if !ok {
				return
			}
			ready, cycle := s.operate(op, slots, occupied)
			if int(e.Ready) != ready || int(e.Cycle) != cycle {
				t.Fatalf("%+v: the model says %+v, the shaft %d ms and %d ms", op, e, ready, cycle)
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "operations") {
			step(drawOperation(t, machine, m.Bays()))
		}
		for bay := range m.Bays() {
			if m.Occupied(bay) {
				step(mechanism.Operation{Kind: parking.Fetch, Bay: bay})
			}
		}
		if m.Cars() != 0 {
			t.Fatalf("%d cars were never fetched", m.Cars())
		}
	})
}

// TestLanesAgainstStore compares the shuttle system with cars carried step by
// step; no car is ever trapped behind others, however full it is.
func TestLanesAgainstStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		machine := shuttle(rapid.IntRange(1, 3).Draw(t, "tiers"), rapid.IntRange(1, 4).Draw(t, "columns"),
			rapid.IntRange(1, 4).Draw(t, "depth"), rapid.IntRange(1, 3).Draw(t, "lifts"))
		machine.Timing = drawTiming(t)
		m, s := model(t, machine), newStore(machine)
		step := func(op mechanism.Operation) {
			if op.Kind == parking.Relocate || op.Kind == parking.Prepare {
				// Not in the naive store; its lifts would be elsewhere. These two
				// are checked for the cars alone, below.
				return
			}
			e, ok := agree(t, m, op)
			if !ok {
				return
			}
			var ready, cycle, moved int
			if op.Kind == parking.Store {
				ready, cycle = s.store(m.Slot(op.Bay), op.Lift)
			} else {
				ready, cycle, moved = s.fetch(m.Slot(op.Bay), op.Lift)
			}
			if int(e.Ready) != ready || int(e.Cycle) != cycle || len(e.Relocations) != moved {
				t.Fatalf("%+v: the model says %+v, the store %d ms, %d ms, %d moved", op, e, ready, cycle, moved)
			}
			for bay := range m.Bays() {
				at := m.Slot(bay)
				if m.Occupied(bay) != s.cars[at.Tier][at.Column][at.Depth] {
					t.Fatalf("bay %d: a car has appeared or vanished", bay)
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "operations") {
			step(drawOperation(t, machine, m.Bays()))
		}
		for m.Cars() > 0 {
			step(mechanism.Operation{Kind: parking.Fetch, Bay: rapid.IntRange(0, m.Bays()-1).Draw(t, "last")})
		}
	})
}

// TestPromisesNeverTrap: cars that were promised a place may come after what
// stood behind it has left; even so, once no promise is open, each car can be
// fetched, and each promise can be kept in the end.
func TestPromisesNeverTrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := model(t, shuttle(rapid.IntRange(1, 2).Draw(t, "tiers"), rapid.IntRange(2, 4).Draw(t, "columns"), rapid.IntRange(2, 4).Draw(t, "depth"), 1))
		var promised []int
		promise := func(bay int, is bool) {
			if err := m.SetPromised(bay, is); err != nil {
				t.Fatal(err)
			}
		}
		keep := func(bay int) error {
			to := m.Instead(bay)
			if _, err := m.Apply(mechanism.Operation{Kind: parking.Store, Bay: to}); err != nil {
				return err
			}
			promise(bay, false)
			return nil
		}
		for range rapid.IntRange(1, 80).Draw(t, "operations") {
			bay := rapid.IntRange(0, m.Bays()-1).Draw(t, "bay")
			switch {
			case m.Occupied(bay):
				if _, err := m.Apply(mechanism.Operation{Kind: parking.Fetch, Bay: bay}); err != nil && !errors.Is(err, mechanism.ErrBlocked) {
					t.Fatal(err)
				}
			case slices.Contains(promised, bay):
				if keep(bay) == nil {
					promised = slices.DeleteFunc(promised, func(b int) bool { return b == bay })
				}
			default:
				// As a service does: only what could be stored if all earlier
				// promises had been kept.
				after := m.Clone()
				kept := true
				for _, b := range promised {
					_, err := after.Apply(mechanism.Operation{Kind: parking.Store, Bay: after.Instead(b)})
					kept = kept && err == nil
				}
				if _, err := after.Estimate(mechanism.Operation{Kind: parking.Store, Bay: bay}); err == nil && kept {
					promise(bay, true)
					promised = append(promised, bay)
				}
			}
			if len(promised) > 0 {
				continue
			}
			for b := range m.Bays() {
				if _, err := m.Estimate(mechanism.Operation{Kind: parking.Fetch, Bay: b}); m.Occupied(b) && err != nil {
					t.Fatalf("bay %d is trapped: %v", b, err)
				}
			}
		}
		// One may have to wait for another, as in a queue; never for ever.
		for len(promised) > 0 {
			before := len(promised)
			promised = slices.DeleteFunc(promised, func(b int) bool { return keep(b) == nil })
			if len(promised) == before {
				t.Fatalf("the promises of bays %v are not kept", promised)
			}
		}
	})
}

// TestIdleNeverTraps: whatever a machine does in idle time, cars are neither
// lost nor trapped, and what it proposed can be done.
func TestIdleNeverTraps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		machines := []parking.Machine{puzzle(3, 5), puzzle(4, 4), tower(4, 6), shuttle(2, 4, 3, 1), shuttle(1, 5, 2, 2)}
		m := model(t, machines[rapid.IntRange(0, len(machines)-1).Draw(t, "machine")])
		weights := rapid.SliceOfN(rapid.IntRange(0, 1000), m.Bays(), m.Bays()).Draw(t, "weights")
		for range rapid.IntRange(1, 60).Draw(t, "operations") {
			op := drawOperation(t, m.Machine(), m.Bays())
			promised := int64(0)
			if rapid.Bool().Draw(t, "idle") {
				proposed, gain, ok := m.Idle(func(bay int) int { return weights[bay] })
				if !ok {
					continue
				}
				if gain <= 0 {
					t.Fatalf("%+v for a gain of %d", proposed, gain)
				}
				if proposed.Kind == parking.Relocate {
					weights[proposed.Bay], weights[proposed.From] = weights[proposed.From], weights[proposed.Bay]
				}
				op = proposed
				if m.Machine().Mechanism != parking.Shuttle {
					promised = gain
				}
				if _, err := m.Estimate(op); err != nil {
					t.Fatalf("proposed %+v, which cannot be done: %v", op, err)
				}
			}
			cars := m.Cars()
			before := expected(m, weights)
			_, ok := agree(t, m, op)
			if promised > 0 && before-expected(m, weights) != promised {
				t.Fatalf("%+v promised %d and gained %d", op, promised, before-expected(m, weights))
			}
			switch {
			case ok && op.Kind == parking.Store:
				cars++
			case ok && op.Kind == parking.Fetch:
				cars--
			}
			if m.Cars() != cars {
				t.Fatalf("%+v: %d cars, want %d", op, m.Cars(), cars)
			}
		}
	})
}

// expected is what drivers are expected to wait, by the weights.
func expected(m mechanism.Model, weights []int) int64 {
	var sum int64
	for bay, w := range weights {
		kind := parking.Store
		if m.Occupied(bay) {
			kind = parking.Fetch
		}
		if e, err := m.Estimate(mechanism.Operation{Kind: kind, Bay: bay}); err == nil {
			sum += int64(w) * int64(e.Ready)
		}
	}
	return sum
}

// TestRestoreRefuses: a state in which two pallets stand in one place, or of
// another machine, is not taken over.
func TestRestoreRefuses(t *testing.T) {
	m := model(t, puzzle(3, 5))
	good := m.Encode()
	two := slices.Clone(good)
	two[len(two)-1] = two[len(two)-3] // the last pallet stands where the one before it does
	for name, memory := range map[string][]byte{
		"two pallets": two, "cut short": good[:len(good)-1], "too long": append(slices.Clone(good), 0), "nothing": nil,
		"another rack": model(t, puzzle(4, 4)).Encode(), "a tower": model(t, tower(3, 5)).Encode(),
	} {
		if err := m.Restore(memory); !errors.Is(err, mechanism.ErrMemory) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := m.Restore(good); err != nil {
		t.Error(err)
	}
}

// FuzzRestore: bytes from anywhere are refused or give a machine that works.
func FuzzRestore(f *testing.F) {
	m := model(f, puzzle(3, 5))
	f.Add(m.Encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, memory []byte) {
		for _, machine := range []parking.Machine{puzzle(3, 5), tower(2, 3), shuttle(2, 2, 2, 1)} {
			m := model(t, machine)
			before := string(m.Encode())
			if err := m.Restore(memory); err != nil {
				if !errors.Is(err, mechanism.ErrMemory) || string(m.Encode()) != before {
					t.Fatalf("%v, and the state has changed", err)
				}
				continue
			}
			for bay := range m.Bays() {
				if _, err := m.Apply(mechanism.Operation{Kind: parking.Prepare, Bay: bay}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
