// Package attendant owns the live service of car parks: which bay a vehicle
// gets, the queue at the machines, what machines are told and what their
// reports change, reservations from hold to arrival, and blocks and overrides
// by staff. It runs in any number of processes at once over one store.
//
// Invariants:
//   - the store decides: what a process holds in memory only makes a good
//     first guess, and a guess that turns out wrong costs another try, never a
//     second car in a bay and never a refused driver;
//   - "no bay" is answered only from a reading of the store that began after
//     the request did and that shows no bay which fits;
//   - a machine is told nothing before the inventory of its controller's
//     present run was compared with the books, and nothing more while a car may
//     stand on its lift;
//   - a report changes a command at most once and never undoes a later one;
//   - what nobody knows becomes Unknown, with an alarm, and stays so until a
//     person says what is true;
//   - every queue is bounded: what does not fit is refused with ErrBusy at
//     once, and nothing was done.
//
// Not promised: fairness between processes, and figures of promises beyond
// those retrievals whose end this process was told.
package attendant

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"freeflow/internal/clock"
	"freeflow/parking"
)

// Parts are what an Attendant is made of.
type Parts struct {
	Bays    parking.Bays
	Keeping parking.Keeping
	// CarParks are the definitions known at the start; SetCarPark adds more.
	CarParks []*parking.CarPark
	Clock    clock.Clock
	Log      *slog.Logger
	// Metrics may be nil: then nothing is counted.
	Metrics *Metrics
	// Settings has defaults for what is zero.
	Settings Settings
}

// Settings are the bounds. Zero means the default in brackets.
type Settings struct {
	// ViewAge is how old the picture of a car park may be when a bay is chosen
	// from it [500 ms].
	ViewAge time.Duration
	// RefreshEvery is how often pictures are read anew in the background [2 s].
	RefreshEvery time.Duration
	// Queue is how many claims, and how many departures, may wait for the next
	// transaction [4096]; Batch how many go into one [256].
	Queue, Batch int
	// CommitTimeout bounds one transaction [10 s].
	CommitTimeout time.Duration
	// SweepEvery is how often lapsed reservations are written down [10 s].
	SweepEvery time.Duration
	// Attempts is how often the machine is told the same again after it said
	// that it did not move anything [3].
	Attempts int
	// PollEvery is how soon a controller without work should ask again [1 s].
	PollEvery time.Duration
	// Horizon is how far ahead reservations are looked at [2 h].
	Horizon time.Duration
}

func (s Settings) withDefaults() Settings {
	set := func(d *time.Duration, usual time.Duration) {
		if *d <= 0 {
			*d = usual
		}
	}
	set(&s.ViewAge, 500*time.Millisecond)
	set(&s.RefreshEvery, 2*time.Second)
	set(&s.CommitTimeout, 10*time.Second)
	set(&s.SweepEvery, 10*time.Second)
	set(&s.PollEvery, time.Second)
	set(&s.Horizon, 2*time.Hour)
	if s.Queue <= 0 {
		s.Queue = 4096
	}
	if s.Batch <= 0 {
		s.Batch = 256
	}
	if s.Attempts <= 0 {
		s.Attempts = 3
	}
	return s
}

// Attendant is the live service. Safe for concurrent use. Allocate and Release
// need Run to be running.
type Attendant struct {
	bays     parking.Bays
	keeping  parking.Keeping
	clock    clock.Clock
	log      *slog.Logger
	metrics  *Metrics
	settings Settings

	claims     chan *claim
	departures chan *departure
	nudges     chan *site
	// stopped is closed when Run has ended: nobody commits any more.
	stopped chan struct{}
	started sync.Once

	mu    sync.RWMutex
	sites map[string]*site
}

// New returns an attendant of the car parks given. It fails on a car park that
// is not sound.
func New(p Parts) (*Attendant, error) {
	if p.Bays == nil || p.Keeping == nil || p.Clock == nil || p.Log == nil {
		return nil, errors.New("making the attendant: Bays, Keeping, Clock and Log are needed")
	}
	s := p.Settings.withDefaults()
	if p.Metrics == nil {
		p.Metrics = NewMetrics(nil)
	}
	a := &Attendant{
		bays: p.Bays, keeping: p.Keeping, clock: p.Clock, log: p.Log, metrics: p.Metrics, settings: s,
		claims: make(chan *claim, s.Queue), departures: make(chan *departure, s.Queue),
		nudges:  make(chan *site, 64),
		stopped: make(chan struct{}), sites: map[string]*site{},
	}
	for _, cp := range p.CarParks {
		if err := a.SetCarPark(cp); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// mostComeWithin bounds how long a bay is kept, in minutes.
const mostComeWithin = 24 * 60

// SetCarPark makes a definition, new or changed, the one in force in this
// process. It fails on one that is not sound and then changes nothing.
func (a *Attendant) SetCarPark(cp *parking.CarPark) error {
	s, err := newSite(cp)
	if err == nil && (cp.ComeWithinMinutes < 0 || cp.ComeWithinMinutes > mostComeWithin) {
		err = fmt.Errorf("%w: come_within_minutes is %d and must be 0 (the usual) to %d", parking.ErrInvalid, cp.ComeWithinMinutes, mostComeWithin)
	}
	if err != nil {
		return fmt.Errorf("taking up car park %q: %w", cp.ID, err)
	}
	s.gap = a.settings.PollEvery
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sites[cp.ID] = s
	return nil
}

// CarPark returns the definition in force. parking.ErrNotFound.
func (a *Attendant) CarPark(id string) (*parking.CarPark, error) {
	s, err := a.site(id)
	if err != nil {
		return nil, err
	}
	return s.def, nil
}

func (a *Attendant) site(id string) (*site, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, ok := a.sites[id]
	if !ok {
		return nil, &parking.NotFoundError{Kind: "car park", ID: id}
	}
	return s, nil
}

func (a *Attendant) all() []*site {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := make([]*site, 0, len(a.sites))
	for _, s := range a.sites {
		out = append(out, s)
	}
	return out
}

// Run does the background work until the context ends: it commits what
// Allocate and Release hand over, keeps the pictures of the car parks fresh and
// writes down what has lapsed. What still waits when it ends is refused with
// ErrBusy. It may run once.
func (a *Attendant) Run(ctx context.Context) error {
	err := errors.New("running the attendant: it may run only once")
	a.started.Do(func() { err = a.run(ctx) })
	return err
}

func (a *Attendant) run(ctx context.Context) error {
	defer close(a.stopped)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { a.commitClaims(ctx); return nil })
	g.Go(func() error { a.commitDepartures(ctx); return nil })
	g.Go(func() error { a.refreshNudged(ctx); return nil })
	g.Go(func() error { a.every(ctx, a.settings.RefreshEvery, a.refreshAll); return nil })
	g.Go(func() error { a.every(ctx, a.settings.SweepEvery, a.sweepOnce); return nil })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("running the attendant: %w", err)
	}
	return nil
}

// every calls fn at once and then in the interval, until the context ends.
func (a *Attendant) every(ctx context.Context, interval time.Duration, fn func(context.Context)) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		fn(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// newID returns 32 lower-case hex digits that cannot be guessed.
func newID() string {
	var b [16]byte
	// crypto/rand.Read never fails; it ends the process where the system has
	// no randomness.
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
