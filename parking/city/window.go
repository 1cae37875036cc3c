package city

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"freeflow/internal/clock"
)

// Errors of a Window. ErrFull: as many drivers are waiting or under way as the
// window takes. ErrKnown: the driver is there already. ErrUnknown: he is not.
// ErrNotDue: the window is still collecting.
var (
	ErrFull    = errors.New("the window takes no more drivers")
	ErrKnown   = errors.New("the driver is in the window already")
	ErrUnknown = errors.New("the driver is not in the window")
	ErrNotDue  = errors.New("the round is not due yet")
)

// Source tells the state of the car parks. Free holds the bays that are not
// occupied and not held for anybody but the drivers of the window, whose holds
// the window subtracts itself. Its maps are not changed.
type Source interface {
	CarParks(at time.Time) ([]CarPark, error)
}

// WindowConfig holds the bounds of a Window. All durations are above zero.
type WindowConfig struct {
	// Length is how long requests are collected before they are decided on
	// together; 2 to 5 s is usual, 1 minute the most.
	Length time.Duration
	// WaitLimit is how long a request waits for a place before it expires.
	WaitLimit time.Duration
	// HoldLimit is how long a reservation is held from the round that first
	// gave a place, moves included.
	HoldLimit time.Duration
	// MaxDrivers bounds those waiting and under way together, up to MaxDrivers
	// of the package.
	MaxDrivers int
	// Method decides a batch; nil means Assign. It must keep what Assign keeps.
	Method func(Batch) (Plan, error)
	// The others are as in Batch.
	Walk                                   Walker
	WaitingCost, WaitingGrowth, MovingCost int64
}

// Window collects requests for a bounded time and decides on them together, and
// anew on all who are under way. It is safe for concurrent use; a round holds
// its lock, so a request waits while one is computed (milliseconds).
type Window struct {
	config WindowConfig
	clock  clock.Clock
	source Source

	mu      sync.Mutex
	due     time.Time // of the next round; zero while nobody is there
	drivers map[string]*held
}

// held is a driver in the window.
type held struct {
	driver    Driver
	submitted time.Time
	reserved  time.Time
}

// NewWindow returns an empty window. It fails if the config breaks its bounds.
func NewWindow(config WindowConfig, c clock.Clock, source Source) (*Window, error) {
	switch {
	case config.Length <= 0 || config.Length > time.Minute:
		return nil, fmt.Errorf("opening a window: a length of %v is not within 0 and 1 minute", config.Length)
	case config.WaitLimit <= 0 || config.HoldLimit <= 0:
		return nil, fmt.Errorf("opening a window: a wait limit of %v and a hold limit of %v: both must be above 0", config.WaitLimit, config.HoldLimit)
	case config.MaxDrivers < 1 || config.MaxDrivers > MaxDrivers:
		return nil, fmt.Errorf("opening a window: a bound of %d drivers is not within 1 and %d", config.MaxDrivers, MaxDrivers)
	}
	if config.Method == nil {
		config.Method = Assign
	}
	return &Window{config: config, clock: c, source: source, drivers: map[string]*held{}}, nil
}

// Submit takes a request into the next round. Requested is set to now if it is
// zero; a reservation is not accepted from outside. Errors: ErrBatch if the
// driver makes no sense, ErrKnown, ErrFull.
func (w *Window) Submit(d Driver) error {
	if err := d.Check(); err != nil {
		return fmt.Errorf("taking a request: %w", err)
	}
	if d.Current != nil || d.Fixed {
		return fmt.Errorf("taking a request: %w: driver %q brings a reservation: only rounds give them", ErrBatch, d.ID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.drivers[d.ID]; ok {
		return fmt.Errorf("taking a request of %q: %w: withdraw it first to change it", d.ID, ErrKnown)
	}
	if len(w.drivers) >= w.config.MaxDrivers {
		return fmt.Errorf("taking a request of %q: %w: %d are there, try again after the next round", d.ID, ErrFull, len(w.drivers))
	}
	w.add(&held{driver: d, submitted: w.clock.Now()})
	return nil
}

func (w *Window) add(h *held) {
	if h.driver.Requested.IsZero() {
		h.driver.Requested = h.submitted
	}
	w.drivers[h.driver.ID] = h
	if w.due.IsZero() {
		w.due = h.submitted.Add(w.config.Length)
	}
}

// Withdraw takes a driver out, with his reservation if he has one: he has
// arrived at his bay, which Source counts as occupied from now on, or has given
// up. It tells whether he was there.
func (w *Window) Withdraw(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.drivers[id]
	delete(w.drivers, id)
	return ok
}

// Fix keeps a driver who is about to arrive from being moved in later rounds.
// It fails with ErrUnknown if he is not there or has no reservation.
func (w *Window) Fix(id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.drivers[id]
	if !ok || h.driver.Current == nil {
		return fmt.Errorf("fixing the reservation of %q: %w or has none", id, ErrUnknown)
	}
	h.driver.Fixed = true
	return nil
}

// Due returns when the next round is to be held, and whether anybody is there
// to hold it for.
func (w *Window) Due() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.due, !w.due.IsZero()
}

// Overdrawn says that a car park reports fewer free bays of a kind than are
// held there. The holds stand, as nobody is moved to worse; somebody has to
// look why.
type Overdrawn struct {
	CarPark string
	Kind    Kind
	Missing int
}

// Round is what one round decided.
type Round struct {
	At   time.Time
	Plan Plan
	// Expired are the drivers whose request or hold ran out before this round,
	// by id; they are no longer in the window.
	Expired   []string
	Overdrawn []Overdrawn
}

// Round decides on all who wait and are under way, and remembers what it gave.
// It fails with ErrNotDue before the time that Due names. If the source or the
// method fails, all holds stay as they are, nobody expires, and the next round
// is due one length later.
func (w *Window) Round() (Round, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	if w.due.IsZero() || now.Before(w.due) {
		return Round{}, ErrNotDue
	}
	w.due = now.Add(w.config.Length)
	round := Round{At: now, Expired: w.expired(now)}
	gone := make(map[string]bool, len(round.Expired))
	for _, id := range round.Expired {
		gone[id] = true
	}
	parks, err := w.source.CarParks(now)
	if err != nil {
		return Round{}, fmt.Errorf("holding a round: asking for the car parks: %w", err)
	}
	parks, round.Overdrawn = w.unheld(parks, gone)
	batch := Batch{At: now, CarParks: parks, Walk: w.config.Walk, WaitingCost: w.config.WaitingCost,
		WaitingGrowth: w.config.WaitingGrowth, MovingCost: w.config.MovingCost}
	// A map has no order; sorted, so that a method which looks at the order
	// cannot make a round depend on it.
	for _, id := range slices.Sorted(maps.Keys(w.drivers)) {
		if !gone[id] {
			batch.Drivers = append(batch.Drivers, w.drivers[id].driver)
		}
	}
	if round.Plan, err = w.config.Method(batch); err != nil {
		return Round{}, fmt.Errorf("holding a round: %w", err)
	}
	for id := range gone {
		delete(w.drivers, id)
	}
	w.remember(round)
	if len(w.drivers) == 0 {
		w.due = time.Time{}
	}
	return round, nil
}

func (w *Window) expired(now time.Time) []string {
	var ids []string
	for id, h := range w.drivers {
		since, limit := h.submitted, w.config.WaitLimit
		if h.driver.Current != nil {
			since, limit = h.reserved, w.config.HoldLimit
		}
		if !now.Before(since.Add(limit)) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (w *Window) remember(round Round) {
	for _, a := range round.Plan.Assignments {
		h := w.drivers[a.Driver]
		if h == nil || a.Outcome != Assigned && a.Outcome != Moved {
			continue
		}
		if h.driver.Current == nil {
			h.reserved = round.At
		}
		h.driver.Current = &Reservation{CarPark: a.Place.CarPark, PriceCents: a.Place.PriceCents}
	}
}

// unheld is the source's list less the bays held for drivers of the window,
// those gone excepted, and what is overdrawn, by car park and kind.
func (w *Window) unheld(parks []CarPark, gone map[string]bool) ([]CarPark, []Overdrawn) {
	holds := map[string]map[Kind]int{}
	for id, h := range w.drivers {
		if h.driver.Current == nil || gone[id] {
			continue
		}
		at := h.driver.Current.CarPark
		if holds[at] == nil {
			holds[at] = map[Kind]int{}
		}
		holds[at][h.driver.Kind]++
	}
	var overdrawn []Overdrawn
	parks = slices.Clone(parks)
	for i, p := range parks {
		free := make(map[Kind]int, len(p.Free))
		for kind, n := range p.Free {
			free[kind] = n
		}
		for kind, n := range holds[p.ID] {
			if free[kind] -= n; free[kind] < 0 {
				overdrawn = append(overdrawn, Overdrawn{CarPark: p.ID, Kind: kind, Missing: -free[kind]})
				free[kind] = 0
			}
		}
		parks[i].Free = free
	}
	slices.SortFunc(overdrawn, func(a, b Overdrawn) int {
		return cmp.Or(cmp.Compare(a.CarPark, b.CarPark), cmp.Compare(a.Kind.Class, b.Kind.Class),
			cmp.Compare(fmt.Sprint(a.Kind), fmt.Sprint(b.Kind)))
	})
	return parks, overdrawn
}
