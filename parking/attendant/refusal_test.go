package attendant

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
)

// slowReader is a store whose next reading waits to be let go, once armed.
type slowReader struct {
	parking.Bays
	armed      atomic.Bool
	begun, let chan struct{}
}

func (s *slowReader) Occupancy(ctx context.Context, carPark string, horizon time.Time) (parking.Occupancy, error) {
	if s.armed.CompareAndSwap(true, false) {
		s.begun <- struct{}{}
		<-s.let
	}
	return s.Bays.Occupancy(ctx, carPark, horizon)
}

// A driver is not refused because of what this process committed while the
// reading went on: by the time of the reading itself that may be over, ended
// through another process.
func TestOnlyAReadingRefuses(t *testing.T) {
	small := &parking.CarPark{ID: "plain", Code: "SML", Name: parking.Text{En: "Small rack"}, Zone: "Asia/Hong_Kong"}
	rack := racks(1).Machines[0]
	rack.Tiers, rack.Columns = 2, 2
	addMachine(small, rack)
	for name, park := range map[string]*parking.CarPark{"plain": plain(2), "rack": small} {
		t.Run(name, func(t *testing.T) { onlyAReadingRefuses(t, park) })
	}
}

func onlyAReadingRefuses(t *testing.T, park *parking.CarPark) {
	ctx := context.Background()
	c := clock.At(morning)
	st := newStore(t, c)
	slow := &slowReader{Bays: st, begun: make(chan struct{}), let: make(chan struct{})}
	here, err := New(Parts{Bays: slow, Keeping: st, CarParks: []*parking.CarPark{park}, Clock: c,
		Log: slog.New(slog.DiscardHandler), Settings: Settings{RefreshEvery: time.Hour, SweepEvery: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	rctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- here.Run(rctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	there, _ := start(t, st, c, Settings{SweepEvery: time.Hour}, park)
	allocate := func(a *Attendant, n int) (Given, error) {
		r, err := a.Allocate(ctx, AllocateRequest{CarPark: "plain", Vehicle: car(n)}, Keep[Given]{})
		return r.Value, err
	}
	must := func(g Given, err error) Given {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	release := func(a *Attendant, g Given) {
		t.Helper()
		if _, err := a.Release(ctx, EndRequest{Allocation: g.ID}, Keep[parking.Allocation]{}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range len(park.Bays) - 2 {
		must(allocate(here, 100+n))
	}
	// By this process's picture both other bays are taken; in truth neither is.
	first, second := must(allocate(here, 1)), must(allocate(here, 2))
	release(there, first)
	release(there, second)

	// A driver comes, and the store is read for them.
	type outcome struct {
		given Given
		err   error
	}
	done := make(chan outcome, 1)
	slow.armed.Store(true)
	go func() {
		g, err := allocate(here, 3)
		done <- outcome{g, err}
	}()
	<-slow.begun
	// Meanwhile this process gives a bay by staff's hand, the car leaves
	// through the other, and then another car takes the other bay there: at no
	// time were both taken.
	r, err := here.Assign(ctx, AssignRequest{CarPark: "plain", Bay: second.Bay, Vehicle: car(4), By: "staff", Reason: "a test"}, Keep[Given]{})
	passing := must(r.Value, err)
	release(there, passing)
	if g := must(allocate(there, 5)); g.Bay != first.Bay {
		t.Fatalf("the other process chose bay %s; the test wants the other one taken", g.Bay)
	}
	slow.let <- struct{}{}
	got := <-done
	var refused *NoBayError
	if errors.As(got.err, &refused) {
		t.Fatal("refused, although no reading shows both bays taken")
	}
	must(got.given, got.err)
}
