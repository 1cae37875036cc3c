package attendant

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
	"freeflow/parking/mechanism"
	"freeflow/parking/store"
)

var morning = time.Date(2026, 2, 26, 0, 0, 0, 0, time.UTC)

// plain is a car park of n bays that drivers drive into; every tenth has a
// charger, the last is accessible.
func plain(n int) *parking.CarPark {
	cp := &parking.CarPark{ID: "plain", Code: "PLN", Name: parking.Text{En: "Plain"}, Zone: "Asia/Hong_Kong", ClockStart: parking.AtEntry, ClockStop: parking.AtExit}
	for i := range n {
		cp.Bays = append(cp.Bays, parking.Bay{ID: fmt.Sprintf("1-%03d", i+1), Level: "1", Classes: []string{"private_car"},
			Limits: parking.Limits{HeightMM: 2000}, EV: i%10 == 0, Accessible: n > 5 && i == n-1, WalkMetres: 10 + i, DriveSeconds: 20})
	}
	return cp
}

// racks is a car park of so many lift-slide racks of 3 tiers by 5 columns, as at
// Hoi Shing Road.
func racks(n int) *parking.CarPark {
	cp := &parking.CarPark{ID: "racks", Code: "RCK", Name: parking.Text{En: "Racks"}, Zone: "Asia/Hong_Kong", PromiseSeconds: 120,
		ClockStart: parking.AtAcceptance, ClockStop: parking.AtRequest}
	for i := range n {
		m := parking.Machine{ID: fmt.Sprintf("R%d", i+1), Level: "G", Mechanism: parking.Puzzle, Tiers: 3, Columns: 5, Depth: 1, Lifts: 1,
			Timing: parking.Timing{GateSeconds: 10, UserSeconds: 30, PitchMM: 2500, TierMM: 2100, SlideMMPerMinute: 7000, LiftMMPerMinute: 4500}}
		addMachine(cp, m)
	}
	return cp
}

func addMachine(cp *parking.CarPark, m parking.Machine) {
	cp.Machines = append(cp.Machines, m)
	for _, s := range mechanism.Slots(m) {
		cp.Bays = append(cp.Bays, parking.Bay{ID: mechanism.BayID(m, s), Level: "G", Machine: m.ID, Slot: s, Classes: []string{"private_car"},
			Limits: parking.Limits{LengthMM: 5200, WidthMM: 2200, HeightMM: 2000, WeightKG: 2500}})
	}
}

func car(n int) parking.Vehicle {
	return parking.Vehicle{Plate: fmt.Sprintf("AB%04d", n), Class: "private_car", LengthMM: 4800, WidthMM: 1850, HeightMM: 1500, WeightKG: 1700}
}

// world is a store with a clock, and attendants over it.
type world struct {
	t     testing.TB
	clock *clock.Fixed
	store *store.Store
	*Attendant
}

// newStore is a real one; a machine has as many lifts as its id has characters
// after the first.
func newStore(t testing.TB, c clock.Clock) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "parking.db"),
		store.Options{Migrate: true, Clock: c, Logger: slog.New(slog.DiscardHandler),
			Lifts: func(_, machine string) int { return len(machine) - 1 }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// start runs an attendant until the returned function is called, or the test
// ends.
func start(t testing.TB, st *store.Store, c clock.Clock, settings Settings, parks ...*parking.CarPark) (*Attendant, func()) {
	t.Helper()
	a, err := New(Parts{Bays: st, Keeping: st, CarParks: parks, Clock: c, Log: slog.New(slog.DiscardHandler), Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return a, stop
}

func newWorld(t testing.TB, parks ...*parking.CarPark) *world {
	t.Helper()
	w := &world{t: t, clock: clock.At(morning)}
	w.store = newStore(t, w.clock)
	w.Attendant, _ = start(t, w.store, w.clock, Settings{SweepEvery: time.Hour, PollEvery: 5 * time.Second}, parks...)
	t.Cleanup(w.verify)
	return w
}

// verify has the store prove its own invariants.
func (w *world) verify() {
	checks, err := w.store.Verify(context.Background())
	if err != nil {
		w.t.Error(err)
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			w.t.Errorf("%s: %s", c.Invariant, v)
		}
	}
}

func (w *world) give(park string, n int) Given {
	w.t.Helper()
	r, err := w.Allocate(context.Background(), AllocateRequest{CarPark: park, Vehicle: car(n)}, Keep[Given]{})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Value
}

func (w *world) now(id string) parking.Allocation {
	w.t.Helper()
	r, err := w.Standing(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Allocation
}

func (w *world) alarms(park string) map[string]int {
	w.t.Helper()
	kinds := map[string]int{}
	err := w.store.View(context.Background(), func(tx parking.Tx) error {
		all, err := tx.Alarms(context.Background(), park, 1000)
		for _, a := range all {
			kinds[a.Kind]++
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return kinds
}
