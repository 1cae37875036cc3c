package attendant

import (
	"slices"
	"strings"
	"time"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// job is an order seen by the plan of one machine.
type job struct {
	command parking.Command
	op      mechanism.Operation
	// notBefore is when the car is wanted at the gate; zero: as soon as may be.
	notBefore time.Time
}

// plan is what is expected of a machine's queue.
type plan struct {
	// ready is when each order's driver can act, by the command's id. What the
	// model cannot do is missing.
	ready map[string]time.Time
	// idle is when the machine is through.
	idle time.Time
	// after is the model then.
	after mechanism.Model
	// position is the place of each waiting order, from 1.
	position map[string]int
}

// least is what an order that is overdue is expected to take still.
const least = 5 * time.Second

// foresee carries the queue out on a copy of the model, in the order in which
// it would be sent. running are orders that were sent, gate is until when cars
// that were fetched keep the gate busy. gap passes between two orders until the
// controller asks again.
func foresee(model mechanism.Model, running, waiting []job, gate, now time.Time, lifts int, gap time.Duration) plan {
	p := plan{ready: make(map[string]time.Time, len(running)+len(waiting)), after: model.Clone(), idle: now,
		position: make(map[string]int, len(waiting))}
	free := make([]time.Time, max(lifts, 1))
	for i := range free {
		free[i] = now
	}
	if gate.After(now) {
		free[0] = gate
	}
	for _, j := range waiting {
		if j.op.Kind == parking.Store {
			_ = p.after.SetPromised(j.op.Bay, true)
		}
	}
	for i, j := range running {
		if j.op.Kind == parking.Relocate {
			_ = p.after.SetPromised(j.op.Bay, false) // kept for this very car
		}
		lift := i % len(free)
		j.op.Lift = min(lift, p.after.Machine().Lifts-1)
		e, err := p.after.Apply(j.op)
		if err != nil {
			continue
		}
		end := later(j.command.SentAt.Add(e.Cycle.Duration()), now.Add(least))
		free[lift] = later(free[lift], end)
		p.ready[j.command.ID] = later(j.command.SentAt.Add(e.Ready.Duration()), now)
	}
	waiting = slices.Clone(waiting)
	for len(waiting) > 0 {
		lift := 0
		for i := range free {
			if free[i].Before(free[lift]) {
				lift = i
			}
		}
		at := free[lift].Add(gap)
		placed := place(p.after, waiting)
		i, wakes := pick(p.after, placed, at, lift)
		if i < 0 {
			if wakes.IsZero() {
				break // nothing of what waits can be done
			}
			free[lift] = wakes.Add(-gap)
			continue
		}
		j := placed[i]
		_ = p.after.SetPromised(waiting[i].op.Bay, false)
		waiting = slices.Delete(waiting, i, i+1)
		j.op.Lift = min(lift, p.after.Machine().Lifts-1)
		e, err := p.after.Apply(j.op)
		if err != nil {
			continue
		}
		p.position[j.command.ID] = len(p.position) + 1
		// Cars that make way are moved by orders of their own.
		way := gap * time.Duration(len(e.Relocations))
		p.ready[j.command.ID] = at.Add(e.Ready.Duration() + way)
		free[lift] = at.Add(e.Cycle.Duration() + way)
	}
	for _, f := range free {
		p.idle = later(p.idle, f)
	}
	return p
}

// place has the cars that are to be stored go to the places of their lanes where
// they belong by now: what stood behind theirs may have left.
func place(model mechanism.Model, jobs []job) []job {
	if model.Machine().Depth <= 1 {
		return jobs
	}
	out := slices.Clone(jobs)
	for i := range out {
		if out[i].op.Kind == parking.Store {
			out[i].op.Bay = model.Instead(out[i].op.Bay)
		}
	}
	return out
}

// mostPairs bounds the partners that are looked at for the order that is due.
const mostPairs = 6

// pick returns the order to send now, or -1 and when the next one may be sent
// (zero: none). The order that is due first goes first, but one of the other
// kind may come before it where the machine then saves time over both and the
// due one is still in time: so nobody waits for ever, and no promise is broken
// for a saving.
func pick(model mechanism.Model, jobs []job, now time.Time, lift int) (int, time.Time) {
	order := make([]int, len(jobs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := &jobs[a].command, &jobs[b].command
		if c := x.DueAt.Compare(y.DueAt); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	var wakes time.Time
	head := -1
	var first mechanism.Estimate
	// earlier are those that could go now, in the order in which they are due.
	var earlier []job
	for _, i := range order {
		j := jobs[i]
		j.op.Lift = min(lift, model.Machine().Lifts-1)
		e, err := model.Estimate(j.op)
		if err != nil {
			continue
		}
		if !j.notBefore.IsZero() {
			if start := j.notBefore.Add(-e.Ready.Duration()); start.After(now) {
				if wakes.IsZero() || start.Before(wakes) {
					wakes = start
				}
				continue
			}
		}
		driver := j.op.Kind == parking.Store || j.op.Kind == parking.Fetch
		switch {
		case head < 0:
			head, first = i, e
			if !driver {
				return head, wakes
			}
		case driver && j.op.Kind != earlier[0].op.Kind && pays(model, earlier, j, first, e, now):
			return i, time.Time{}
		}
		if earlier = append(earlier, j); len(earlier) > mostPairs {
			break
		}
	}
	return head, wakes
}

// pays reports whether doing other before those that are due earlier takes less
// time for it and the first of them, and leaves all of them in time for what
// their drivers were told.
func pays(model mechanism.Model, earlier []job, other job, first, e mechanism.Estimate, now time.Time) bool {
	swapped := model.Clone()
	if _, err := swapped.Apply(other.op); err != nil {
		return false
	}
	at := now.Add(e.Cycle.Duration())
	var second mechanism.Millis
	for i, j := range earlier {
		then, err := swapped.Apply(j.op)
		if err != nil || at.Add(then.Ready.Duration()).After(j.command.DueAt) {
			return false
		}
		if i == 0 {
			second = then.Cycle
		}
		at = at.Add(then.Cycle.Duration())
	}
	straight := model.Clone()
	if _, err := straight.Apply(earlier[0].op); err != nil {
		return false
	}
	after, err := straight.Estimate(other.op)
	return err == nil && e.Cycle+second < first.Cycle+after.Cycle
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// jobs splits the queue of one machine into what was sent and what waits.
// allocation gives the allocation of a command; a waiting order whose allocation
// is not in the state for it is left out.
func (s *site) jobs(queue []parking.Command, machine string, allocation func(id string) (parking.Allocation, bool)) (running, waiting []job) {
	for _, c := range queue {
		if c.Machine != machine || c.State.Final() {
			continue
		}
		j := job{command: c}
		if j.op.Kind = c.Kind; !s.own(c.Bay, machine, &j.op.Bay) {
			continue
		}
		if c.Kind == parking.Relocate && !s.own(c.From, machine, &j.op.From) {
			continue
		}
		x, known := allocation(c.Allocation)
		if c.State != parking.Queued {
			running = append(running, j)
			continue
		}
		switch {
		case c.Kind == parking.Store && (!known || x.State != parking.Assigned || x.Bay != c.Bay),
			c.Kind == parking.Fetch && (!known || x.State != parking.Retrieving || x.Bay != c.Bay):
			continue
		case c.Kind == parking.Fetch:
			j.notBefore = x.NotBefore
		}
		waiting = append(waiting, j)
	}
	return running, waiting
}

// own sets to to the number of the bay in the machine.
func (s *site) own(bay, machine string, to *int) bool {
	i, ok := s.layout.BayIndex(bay)
	if !ok {
		return false
	}
	m, own := s.layout.Place(i)
	if m < 0 || s.def.Machines[m].ID != machine {
		return false
	}
	*to = own
	return true
}

// bayOf is the id of the bay of that number in the machine; empty if there is
// none.
func (s *site) bayOf(machine string, own int) string {
	index := s.machines[machine]
	for i := range s.def.Bays {
		if m, o := s.layout.Place(i); m == index && o == own {
			return s.def.Bays[i].ID
		}
	}
	return ""
}

// gateUntil is until when the cars that stand at the machine's gate keep it
// busy.
func gateUntil(m *parking.Machine, active func(yield func(parking.Allocation) bool), now time.Time) (until time.Time) {
	for x := range active {
		if x.Machine != m.ID || x.State != parking.Staged {
			continue
		}
		leaves := x.StagedAt.Add(time.Duration(m.Timing.UserSeconds) * time.Second)
		until = later(until, later(leaves, now.Add(least)))
	}
	return until
}
