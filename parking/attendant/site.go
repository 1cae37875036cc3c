package attendant

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"freeflow/parking/mechanism"
)

// site is one car park with this process's picture of it. The picture is read
// from the store now and then, and what this process itself has committed is
// laid over it at once.
type site struct {
	def    *parking.CarPark
	layout *allocator.Layout
	// machines are by id; their indices are those of def.Machines.
	machines map[string]int
	zone     *time.Location
	// gap passes between two orders until the controller asks again.
	gap time.Duration

	mu sync.Mutex
	picture
	// pending counts the claims of this process under way, by bay.
	pending map[int]int
	// journal is what this process committed since the reading that the
	// picture stems from began; it is laid over the next reading.
	journal  []change
	sequence int64
	forecast *allocator.Forecast
	// learned is up to when arrivals have been told to the forecast.
	learned time.Time
	// arrivals and departed are the latest retrievals, to the car at the gate
	// and to the driver's leaving.
	arrivals, departed ring

	board board
	// outlookAt is when the outlook was worked out.
	outlookAt time.Time

	// tellings are the troubles that an alarm was raised for.
	tellings map[string]time.Time
	nudged   atomic.Bool

	// reading is the reading under way, nil if there is none.
	reading *reading
}

// picture is what is known of a car park at one instant.
type picture struct {
	// at is when the reading of the store began; zero: never read.
	at time.Time
	// active are the allocations that have not ended, by id; byBay their ids by
	// the bay's number; marks count them by plate and tag.
	active map[string]parking.Allocation
	byBay  map[int]string
	// read are the bays that the reading itself showed as taken, without what
	// this process committed meanwhile.
	read   map[int]bool
	marks  map[string]int
	queue  map[string]parking.Command
	status map[string]parking.MachineStatus
	due    []parking.Reservation
}

// change is one thing that this process committed.
type change struct {
	sequence   int64
	allocation *parking.Allocation
	command    *parking.Command
	machine    *parking.MachineStatus
}

// mostJournal bounds the changes kept for the next reading.
const mostJournal = 100_000

// reading is one reading of the store that several may wait for.
type reading struct {
	done chan struct{}
	err  error
}

func newSite(cp *parking.CarPark) (*site, error) {
	if cp == nil || cp.ID == "" {
		return nil, fmt.Errorf("a car park needs an id: %w", parking.ErrInvalid)
	}
	layout, err := allocator.NewLayout(cp)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", parking.ErrInvalid, err)
	}
	zone, err := time.LoadLocation(cp.Zone)
	if err != nil {
		return nil, fmt.Errorf("%w: zone: %w", parking.ErrInvalid, err)
	}
	s := &site{def: cp, layout: layout, zone: zone, machines: make(map[string]int, len(cp.Machines)), pending: map[int]int{},
		tellings: map[string]time.Time{}}
	for i, m := range cp.Machines {
		s.machines[m.ID] = i
	}
	s.forecast = allocator.NewForecast(zone)
	s.picture = s.blank()
	return s, nil
}

func (s *site) blank() picture {
	return picture{active: map[string]parking.Allocation{}, byBay: map[int]string{}, read: map[int]bool{}, marks: map[string]int{},
		queue: map[string]parking.Command{}, status: map[string]parking.MachineStatus{}}
}

// machine returns the definition of a machine. parking.ErrNotFound.
func (s *site) machine(id string) (*parking.Machine, error) {
	i, ok := s.machines[id]
	if !ok {
		return nil, &parking.NotFoundError{Kind: "machine", ID: id, At: s.def.ID}
	}
	return &s.def.Machines[i], nil
}

// bay returns the definition of a bay and its number. parking.ErrNotFound.
func (s *site) bay(id string) (*parking.Bay, int, error) {
	i, ok := s.layout.BayIndex(id)
	if !ok {
		return nil, 0, &parking.NotFoundError{Kind: "bay", ID: id, At: s.def.ID}
	}
	return &s.def.Bays[i], i, nil
}

// refresh reads the store anew. Readings under way are shared, but never one
// that began before the call.
func (s *site) refresh(ctx context.Context, a *Attendant) error {
	s.mu.Lock()
	if earlier := s.reading; earlier != nil {
		// It began before this call: wait for it, then for one that did not.
		s.mu.Unlock()
		if err := wait(ctx, earlier); err != nil && ctx.Err() != nil {
			return err
		}
		s.mu.Lock()
	}
	r := s.reading
	if r == nil {
		r = &reading{done: make(chan struct{})}
		s.reading = r
		start, now := s.sequence, a.clock.Now()
		s.mu.Unlock()
		// Others may wait for it: it does not end with this caller's patience.
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.settings.CommitTimeout)
		seen, err := a.bays.Occupancy(rctx, s.def.ID, now.Add(a.settings.Horizon))
		cancel()
		s.mu.Lock()
		if err != nil {
			r.err = fmt.Errorf("reading the bays of %s: %w", s.def.ID, err)
		} else {
			s.adopt(seen, now, start)
		}
		s.reading = nil
		close(r.done)
		s.mu.Unlock()
		return r.err
	}
	s.mu.Unlock()
	return wait(ctx, r)
}

func wait(ctx context.Context, r *reading) error {
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// adopt makes a reading the picture. s.mu is held.
func (s *site) adopt(seen parking.Occupancy, at time.Time, start int64) {
	before, outlook := s.picture, s.outlook()
	s.board = board{}
	p := s.blank()
	p.at, p.due = at, seen.Due
	s.picture = p
	for _, x := range seen.Active {
		s.put(x)
	}
	for bay := range s.byBay {
		s.read[bay] = true
	}
	for _, c := range seen.Queue {
		s.queue[c.ID] = c
	}
	for _, m := range seen.Machines {
		s.status[m.ID] = m
	}
	keep := s.journal[:0]
	for _, c := range s.journal {
		if c.sequence > start {
			s.lay(c)
			keep = append(keep, c)
		}
	}
	s.journal = keep
	s.rebuild()
	s.board.view.Outlook = outlook
	s.learn(before, at)
}

// model is a machine's model as its status and the allocations say it.
func (s *site) model(m parking.Machine, status parking.MachineStatus, at func(bay int) (parking.Allocation, bool)) mechanism.Model {
	model, err := mechanism.New(m)
	if err != nil {
		return nil // NewLayout has validated the machine
	}
	// A memory of another layout is none: the model then starts at rest, and
	// only times are estimated a little wrong.
	_ = model.Restore(status.Memory)
	model.SetLiftsOut(status.LiftsOut)
	index := s.machines[m.ID]
	for bay := range s.def.Bays {
		if machine, own := s.layout.Place(bay); machine == index {
			x, ok := at(bay)
			there := ok && stands(x)
			_ = model.SetOccupied(own, there)
			// Held for a car that is to come, or that is leaving, or kept by
			// staff: nothing makes way to it.
			_ = model.SetPromised(own, ok && !there)
		}
	}
	return model
}

// stands reports whether a car stands on the bay, or may stand there.
func stands(x parking.Allocation) bool {
	switch x.State {
	case parking.Stored, parking.Retrieving, parking.Unknown:
		return true
	case parking.Blocked:
		return x.By == byMachine
	default:
		return false
	}
}

// learn tells the forecast who came and left since the picture before. s.mu is
// held.
func (s *site) learn(before picture, at time.Time) {
	if before.at.IsZero() {
		s.learned = at
		s.forecast.Advance(at)
		return
	}
	for id, x := range s.active {
		if _, known := before.active[id]; !known && x.State != parking.Blocked && x.AssignedAt.After(s.learned.Add(-time.Hour)) {
			s.forecast.Arrived(x.AssignedAt, x.Vehicle.EV)
		}
	}
	for id, x := range before.active {
		if _, there := s.active[id]; !there && x.State != parking.Blocked {
			s.forecast.Left(x.AssignedAt, at)
		}
	}
	s.learned = at
	s.forecast.Advance(at)
}

// note lays what this process committed over the picture.
func (s *site) note(changes ...change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		s.sequence++
		c.sequence = s.sequence
		s.lay(c)
		if len(s.journal) < mostJournal {
			s.journal = append(s.journal, c)
		}
	}
}

// lay puts one change into the picture, unless the picture is further already.
func (s *site) lay(c change) {
	switch {
	case c.allocation != nil:
		s.put(*c.allocation)
	case c.command != nil:
		if old, ok := s.queue[c.command.ID]; ok && old.Revision > c.command.Revision {
			return
		}
		if c.command.State.Final() {
			delete(s.queue, c.command.ID)
		} else {
			s.queue[c.command.ID] = *c.command
		}
		s.stir(c.command.Machine)
	case c.machine != nil:
		if s.status[c.machine.ID].Revision < c.machine.Revision {
			s.status[c.machine.ID] = *c.machine
			s.stir(c.machine.ID)
		}
	}
}

// stir has the machine's queue worked out again before it is next asked for.
func (s *site) stir(machine string) {
	if i, ok := s.machines[machine]; ok && s.board.view != nil {
		s.board.stale[i] = true
	}
}

func (s *site) put(x parking.Allocation) {
	if old, ok := s.active[x.ID]; ok {
		if old.Revision > x.Revision {
			return
		}
		s.remove(old)
	}
	if x.State.Final() {
		return
	}
	bay, known := s.layout.BayIndex(x.Bay)
	s.active[x.ID] = x
	if known {
		s.byBay[bay] = x.ID
		s.touch(bay)
	}
	for _, m := range marks(x.Vehicle) {
		s.marks[m]++
	}
}

func (s *site) remove(x parking.Allocation) {
	delete(s.active, x.ID)
	if bay, known := s.layout.BayIndex(x.Bay); known && s.byBay[bay] == x.ID {
		delete(s.byBay, bay)
		s.touch(bay)
	}
	for _, m := range marks(x.Vehicle) {
		if s.marks[m]--; s.marks[m] == 0 {
			delete(s.marks, m)
		}
	}
}

// marks are the names under which a vehicle is known to be inside.
func marks(v parking.Vehicle) []string {
	var out []string
	if v.Plate != "" {
		out = append(out, "plate:"+v.Plate)
	}
	if v.Tag != "" {
		out = append(out, "tag:"+v.Tag)
	}
	return out
}

// inside reports whether the vehicle has a bay by the picture.
func (s *site) inside(v parking.Vehicle) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range marks(v) {
		if s.marks[m] > 0 {
			return true
		}
	}
	return false
}

// age is how old the picture is; known is false if there is none.
func (s *site) age(now time.Time) (age time.Duration, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.at), !s.at.IsZero()
}
