package attendant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
)

// Two processes over one store, 200 clients, 50 bays; one process is ended in
// the middle of it and its clients go to the other with the same keys: exactly
// 50 have a bay, each its own, and the others are told that none is left.
func TestTwoProcessesOneStore(t *testing.T) {
	const clients, bays = 200, 50
	st := newStore(t, clock.System{})
	park := plain(bays)
	park.Bays[bays-1].Accessible = false // all bays are for these cars
	one, stop := start(t, st, clock.System{}, Settings{}, park)
	two, _ := start(t, st, clock.System{}, Settings{}, park)

	type outcome struct {
		bay  string
		full bool
	}
	outcomes := make([]outcome, clients)
	var given sync.WaitGroup
	given.Add(10)
	var once sync.Mutex
	count := 0
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			a := one
			if i%2 == 1 {
				a = two
			}
			k := keep(fmt.Sprintf("client-%d", i))
			for {
				r, err := a.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(i)}, k)
				var full *NoBayError
				switch {
				case err == nil:
					outcomes[i].bay = string(r.Answer.Body)
					once.Lock()
					if count++; count <= 10 {
						given.Done()
					}
					once.Unlock()
					return
				case errors.As(err, &full):
					outcomes[i].full = true
					return
				case errors.Is(err, ErrBusy), errors.Is(err, parking.ErrKeyBusy), errors.Is(err, context.Canceled):
					a = two // its process has ended
				default:
					t.Errorf("client %d: %v", i, err)
					return
				}
			}
		})
	}
	given.Wait()
	stop()
	all.Wait()

	winners := map[string]int{}
	for i, o := range outcomes {
		if o.bay == "" {
			continue
		}
		if other, twice := winners[o.bay]; twice {
			t.Errorf("bay %s for clients %d and %d", o.bay, other, i)
		}
		winners[o.bay] = i
	}
	if len(winners) != bays {
		t.Errorf("%d winners, want %d", len(winners), bays)
	}
	occupancy, err := st.Occupancy(context.Background(), "plain", clock.System{}.Now())
	if err != nil || len(occupancy.Active) != bays {
		t.Errorf("%d bays are held in the store, %v", len(occupancy.Active), err)
	}
	checks, err := st.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if len(c.Violations) > 0 {
			t.Errorf("%s: %v", c.Invariant, c.Violations)
		}
	}
}

// A bay given back is given again: clients that come and go on few bays are
// never turned away while fewer are inside than there are bays.
func TestNobodyIsTurnedAwayWhileThereIsRoom(t *testing.T) {
	const bays, rounds = 8, 15
	st := newStore(t, clock.System{})
	park := plain(bays)
	park.Bays[bays-1].Accessible = false
	one, _ := start(t, st, clock.System{}, Settings{}, park)
	two, _ := start(t, st, clock.System{}, Settings{}, park)
	var all sync.WaitGroup
	for i := range bays {
		all.Go(func() {
			a, b := one, two
			for n := range rounds {
				r, err := a.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(i*100 + n)}, Keep[Given]{})
				if err != nil {
					t.Errorf("client %d, round %d: %v", i, n, err)
					return
				}
				a, b = b, a // the one that ends it knows of it from the store alone
				if _, err := a.Release(context.Background(), EndRequest{Allocation: r.Value.ID}, Keep[parking.Allocation]{}); err != nil {
					t.Errorf("client %d, round %d: leaving: %v", i, n, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// slow is a store whose claims wait until they are let go.
type slow struct {
	parking.Bays
	let chan struct{}
	in  chan struct{}
}

func (s slow) Claim(ctx context.Context, at time.Time, claims []parking.Claim) ([]parking.ClaimOutcome, error) {
	s.in <- struct{}{}
	<-s.let
	return s.Bays.Claim(ctx, at, claims)
}

func TestFullQueuesRefuseAndBatchesForm(t *testing.T) {
	c := clock.At(morning)
	st := newStore(t, c)
	held := slow{Bays: st, let: make(chan struct{}), in: make(chan struct{}, 100)}
	a, err := New(Parts{Bays: held, Keeping: st, CarParks: []*parking.CarPark{plain(40)}, Clock: c, Log: slog.New(slog.DiscardHandler), Settings: Settings{Queue: 8, SweepEvery: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	answers := make(chan error, 40)
	ask := func(i int) {
		_, err := a.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(i)}, Keep[Given]{})
		answers <- err
	}
	go ask(0)
	<-held.in // the first is in its transaction
	for i := range 12 {
		go ask(i + 1)
	}
	// Eight wait; the others are refused at once, while nothing moves.
	for range 4 {
		if err := <-answers; !errors.Is(err, ErrBusy) {
			t.Fatalf("refused with %v", err)
		}
	}
	close(held.let)
	for range 9 {
		if err := <-answers; err != nil {
			t.Errorf("one that waited: %v", err)
		}
	}
	if n := len(held.in); n != 1 {
		t.Errorf("those who waited went in %d transactions, want 1", n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := a.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(30)}, Keep[Given]{}); !errors.Is(err, ErrBusy) {
		t.Errorf("after the end: %v", err)
	}
	if err := a.Run(context.Background()); err == nil {
		t.Error("it ran twice")
	}
}

func TestAbandonedRequestsTakeNoBay(t *testing.T) {
	c := clock.At(morning)
	st := newStore(t, c)
	held := slow{Bays: st, let: make(chan struct{}), in: make(chan struct{}, 100)}
	a, err := New(Parts{Bays: held, Keeping: st, CarParks: []*parking.CarPark{plain(5)}, Clock: c, Log: slog.New(slog.DiscardHandler), Settings: Settings{SweepEvery: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	first := make(chan error, 1)
	go func() {
		_, err := a.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(0)}, Keep[Given]{})
		first <- err
	}()
	<-held.in
	impatient, leave := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() {
		_, err := a.Allocate(impatient, AllocateRequest{CarPark: "plain", Vehicle: car(1)}, Keep[Given]{})
		left <- err
	}()
	for len(a.claims) == 0 {
		runtime.Gosched() // until it waits behind the first
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(held.let)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	o, err := st.Occupancy(context.Background(), "plain", morning)
	if err != nil || len(o.Active) != 1 {
		t.Fatalf("%d bays are held, %v", len(o.Active), err)
	}
}

// thief wins the bay of every first claim for a moment.
type thief struct {
	parking.Bays
	stolen map[string]bool
}

func (s thief) Claim(ctx context.Context, at time.Time, claims []parking.Claim) ([]parking.ClaimOutcome, error) {
	bay := claims[0].Allocation.Bay
	if !s.stolen[bay] {
		s.stolen[bay] = true
		return []parking.ClaimOutcome{{Err: fmt.Errorf("bay %s: %w", bay, parking.ErrBayTaken)}}, nil
	}
	return s.Bays.Claim(ctx, at, claims)
}

// Bays that were lost and given back again are tried again before anybody is
// turned away.
func TestABayLostAndGivenBackIsTriedAgain(t *testing.T) {
	c := clock.At(morning)
	st := newStore(t, c)
	a, err := New(Parts{Bays: thief{st, map[string]bool{}}, Keeping: st, CarParks: []*parking.CarPark{plain(3)}, Clock: c, Log: slog.New(slog.DiscardHandler), Settings: Settings{SweepEvery: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	if r, err := a.Allocate(ctx, AllocateRequest{CarPark: "plain", Vehicle: car(1)}, Keep[Given]{}); err != nil || r.Value.Bay == "" {
		t.Errorf("%+v, %v", r, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// old is a store whose readings are old by the time they arrive.
type old struct {
	parking.Bays
	taken, let chan struct{}
}

func (s old) Occupancy(ctx context.Context, carPark string, horizon time.Time) (parking.Occupancy, error) {
	o, err := s.Bays.Occupancy(ctx, carPark, horizon)
	s.taken <- struct{}{}
	<-s.let
	return o, err
}

// What was committed while the store was being read is not forgotten by the
// picture that the reading makes.
func TestAReadingDoesNotUndoWhatWasCommittedMeanwhile(t *testing.T) {
	c := clock.At(morning)
	st := newStore(t, c)
	slow := old{st, make(chan struct{}), make(chan struct{})}
	a, err := New(Parts{Bays: slow, Keeping: st, CarParks: []*parking.CarPark{plain(4)}, Clock: c, Log: slog.New(slog.DiscardHandler),
		Settings: Settings{SweepEvery: time.Hour, RefreshEvery: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-slow.taken // the reading with which it begins
	slow.let <- struct{}{}
	s, err := a.site("plain")
	if err != nil {
		t.Fatal(err)
	}
	give := func(n int) Given {
		t.Helper()
		r, err := a.Allocate(ctx, AllocateRequest{CarPark: "plain", Vehicle: car(n)}, Keep[Given]{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Value
	}
	for known := false; !known; _, known = s.age(c.Now()) {
		runtime.Gosched()
	}
	early := give(1)
	read := make(chan error, 1)
	go func() { read <- s.refresh(ctx, a) }()
	<-slow.taken
	give(2)
	if _, err := a.Release(ctx, EndRequest{Allocation: early.ID}, Keep[parking.Allocation]{}); err != nil {
		t.Fatal(err)
	}
	slow.let <- struct{}{}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	_, back := s.active[early.ID]
	if len(s.active) != 1 || back || s.board.view.Occupied() != 1 {
		t.Errorf("the picture has %d allocations, %d bays taken", len(s.active), s.board.view.Occupied())
	}
	s.mu.Unlock()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
