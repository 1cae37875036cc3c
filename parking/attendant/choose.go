package attendant

import (
	"fmt"
	"time"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"freeflow/parking/mechanism"
)

// How old the expectations may be that bays are chosen by.
const (
	planAge    = time.Second
	outlookAge = time.Minute
)

// board is the allocator's view of the picture, with what was worked out of the
// machines' queues.
type board struct {
	view *allocator.View
	// stale are machines of which something has changed since planned.
	stale   []bool
	planned []time.Time
	plans   []plan
}

// choice is a bay chosen for a vehicle.
type choice struct {
	index int
	bay   *parking.Bay
	// why and next are the words for the driver and the operator.
	why, next string
	// ready is how long until the bay can be driven into: the drive to it, or
	// to the machine's gate and its queue.
	ready time.Duration
	// hint says what to do about a wait far beyond the site's promise; empty if
	// there is none.
	hint string
}

// wish is what is chosen for.
type wish struct {
	vehicle  parking.Vehicle
	pool     string
	reserved bool
	stay     time.Duration
	// without is a machine that is not wanted; empty for none.
	without string
}

// rebuild makes the board anew from the picture. s.mu is held.
func (s *site) rebuild() {
	n := len(s.def.Machines)
	b := board{view: allocator.NewView(s.layout), stale: make([]bool, n), planned: make([]time.Time, n), plans: make([]plan, n)}
	b.view.Outlook = s.outlook()
	// The order goes out with the controller's next poll, not when the car has
	// come to the gate.
	b.view.Early = true
	for i := range s.def.Bays {
		b.view.SetFree(i, s.byBay[i] == "" && s.pending[i] == 0)
	}
	for i := range b.stale {
		b.stale[i] = true
	}
	s.board = b
}

func (s *site) outlook() *allocator.Outlook {
	if s.board.view == nil {
		return nil
	}
	return s.board.view.Outlook
}

// touch tells the board that something of the bay has changed. s.mu is held.
func (s *site) touch(bay int) {
	if s.board.view == nil {
		return
	}
	s.board.view.SetFree(bay, s.byBay[bay] == "" && s.pending[bay] == 0)
	if m, _ := s.layout.Place(bay); m >= 0 {
		s.board.stale[m] = true
	}
}

// settle brings the board up to the instant. s.mu is held.
func (s *site) settle(now time.Time) {
	v := s.board.view
	v.At = now
	for i := range s.board.stale {
		if s.board.stale[i] || now.Sub(s.board.planned[i]) > planAge || now.Before(s.board.planned[i]) {
			s.replan(i, now)
		}
	}
	clear(v.Due)
	for i := range s.due {
		if r := &s.due[i]; r.Counts(now) {
			v.Due[r.Pool]++
		}
	}
	if s.outlookAt.IsZero() || now.Sub(s.outlookAt) > outlookAge || now.Before(s.outlookAt) {
		s.outlookAt = now
		standing := make([]allocator.Standing, 0, len(s.active))
		for _, x := range s.active {
			bay, known := s.layout.BayIndex(x.Bay)
			if !known || x.State == parking.Blocked {
				continue
			}
			standing = append(standing, standingOf(x, bay))
		}
		v.Outlook = allocator.Look(v, s.forecast, standing)
	}
}

// replan works out a machine's queue. s.mu is held.
func (s *site) replan(index int, now time.Time) {
	m := &s.def.Machines[index]
	status := s.status[m.ID]
	model := s.model(*m, status, func(bay int) (parking.Allocation, bool) {
		x, ok := s.active[s.byBay[bay]]
		return x, ok
	})
	queue := make([]parking.Command, 0, len(s.queue))
	for _, c := range s.queue {
		queue = append(queue, c)
	}
	running, waiting := s.jobs(queue, m.ID, func(id string) (parking.Allocation, bool) {
		x, ok := s.active[id]
		return x, ok
	})
	gate := gateUntil(m, s.each, now)
	p := foresee(model, running, waiting, gate, now, m.Lifts-status.LiftsOut, s.gap)
	s.board.plans[index], s.board.planned[index], s.board.stale[index] = p, now, false
	v := s.board.view
	v.SetWait(index, mechanism.Millis(p.idle.Sub(now).Milliseconds()), s.asked(m.ID, now))
	v.SetMachine(index, model, p.after)
	if status.Out {
		for bay := range s.def.Bays {
			if at, _ := s.layout.Place(bay); at == index {
				v.SetOut(bay, true)
			}
		}
	}
}

// standingOf is an allocation as the forecast sees it.
func standingOf(x parking.Allocation, bay int) allocator.Standing {
	one := allocator.Standing{Bay: bay, Arrived: x.AssignedAt}
	if x.ExpectedStayMinutes > 0 {
		one.Leaves = x.AssignedAt.Add(time.Duration(x.ExpectedStayMinutes) * time.Minute)
	}
	return one
}

// asked is how many cars of the machine are expected to be asked for soon, in
// thousandths. s.mu is held.
func (s *site) asked(machine string, now time.Time) int {
	sum := 0.0
	for _, x := range s.active {
		if bay, known := s.layout.BayIndex(x.Bay); known && x.Machine == machine && x.State == parking.Stored {
			sum += s.forecast.Asked(standingOf(x, bay), now, soon)
		}
	}
	return int(sum*1000 + 0.5)
}

// each yields the allocations of the picture. s.mu is held.
func (s *site) each(yield func(parking.Allocation) bool) {
	for _, x := range s.active {
		if !yield(x) {
			return
		}
	}
}

// choose picks the best bay that is not among lost. Where all is true, only what
// the reading itself showed as taken counts as taken: not what other requests of
// this process are claiming, nor what it committed since the reading began,
// which may have ended through another process before the reading was made. The
// store decides. The bay is counted as pending until release is called.
func (s *site) choose(w wish, lost map[int]bool, all bool, now time.Time) (choice, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.board.view == nil {
		s.rebuild()
	}
	s.settle(now)
	v := s.board.view
	if all {
		var doubtful []int
		for bay := range s.byBay {
			if !s.read[bay] {
				doubtful = append(doubtful, bay)
			}
		}
		for bay := range s.pending {
			if !s.read[bay] || s.byBay[bay] == "" {
				doubtful = append(doubtful, bay)
			}
		}
		for _, bay := range doubtful {
			v.SetFree(bay, true)
			// A machine's plan has the car in the bay already.
			if m := s.def.Bays[bay].Machine; m != "" && !s.status[m].Out {
				v.SetOut(bay, false)
			}
		}
		defer func() {
			for _, bay := range doubtful {
				s.touch(bay)
			}
		}()
	}
	d := allocator.Choose(allocator.Request{Vehicle: w.vehicle, Pool: w.pool, Reserved: w.reserved, Stay: w.stay}, v)
	for rank, i := range d.Ranked {
		bay := &s.def.Bays[i]
		if lost[i] || w.without != "" && bay.Machine == w.without {
			continue
		}
		c := choice{index: i, bay: bay, ready: d.Ready(rank)}
		c.why, c.next = d.Explain(rank)
		c.hint = s.hint(&d, rank, lost, now)
		s.pending[i]++
		v.SetFree(i, false)
		return c, true
	}
	return choice{}, false
}

// worthSaying is how much sooner another machine has to be for it to be named.
const worthSaying = time.Minute

// hint says why the bay of that rank is not ready for long after what the site
// promises, and which other machine would be sooner. s.mu is held.
func (s *site) hint(d *allocator.Decision, rank int, lost map[int]bool, now time.Time) string {
	promise, ready := s.def.Promise(), d.Ready(rank)
	m, _ := s.layout.Place(d.Ranked[rank])
	if promise <= 0 || ready <= promise || m < 0 {
		return ""
	}
	p := &s.board.plans[m]
	text := fmt.Sprintf("the wait is longer than the %d s that the site promises: machine %s has %d orders before this car and is ready for it at %s",
		int(promise/time.Second), s.def.Machines[m].ID, len(p.ready), now.Add(ready).In(s.zone).Format("15:04"))
	best, soonest := "", ready-worthSaying
	for other, i := range d.Ranked {
		bay := &s.def.Bays[i]
		if at, _ := s.layout.Place(i); at == m || lost[i] {
			continue
		}
		if r := d.Ready(other); r <= soonest {
			soonest, best = r, bay.Machine
			if best == "" {
				best = "bay " + bay.ID
			} else {
				best = "the entrance of machine " + best
			}
		}
	}
	if best == "" {
		return text + "; no other entrance is much sooner"
	}
	return fmt.Sprintf("%s; %s is ready in %d s: staff can give a bay there", text, best, int((soonest+time.Second-1)/time.Second))
}

// readyIn is how long until the vehicle can be driven into the bay. s.mu is
// held.
func (s *site) readyIn(i int, now time.Time) time.Duration {
	drive := time.Duration(s.def.Bays[i].DriveSeconds) * time.Second
	m, own := s.layout.Place(i)
	if m < 0 {
		return drive
	}
	p := s.board.plans[m]
	start := p.idle.Sub(now)
	e, err := p.after.Estimate(mechanism.Operation{Kind: parking.Store, Bay: own})
	if err != nil {
		return max(drive, start)
	}
	// The machine gets ready, once its queue is through, while the car comes.
	return max(drive, start+e.Ready.Duration())
}

// release ends the claim of a bay that choose has counted.
func (s *site) release(bay int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[bay]--; s.pending[bay] <= 0 {
		delete(s.pending, bay)
	}
	s.touch(bay)
}

// limits returns the obstacles of the bay that comes nearest, where no bay at
// all is for the vehicle; nil where one is.
func (s *site) limits(v parking.Vehicle, pool string) []parking.Obstacle {
	var found []parking.Obstacle
	for i := range s.def.Bays {
		o := s.def.Bays[i].Obstacles(v, pool)
		if len(o) == 0 {
			return nil
		}
		if found == nil || len(o) < len(found) || len(o) == len(found) && o[0].Allowed > found[0].Allowed {
			found = o
		}
	}
	return found
}
