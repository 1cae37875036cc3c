package simulate

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"

	"freeflow/parking"
	"freeflow/parking/allocator"
	"freeflow/parking/mechanism"
)

// millis is an instant or span of the simulated time, from Config.Start.
type millis = int64

const (
	minute millis = 60_000
	hourMs millis = 60 * minute
	dayMs  millis = 24 * hourMs
	// lookahead is how far the idle rule and the load of a machine look.
	lookahead = 30 * minute
	// idleEvery is how often an idle machine looks again for something to do;
	// idleAfter how long after its last order.
	idleEvery, idleAfter = 5 * minute, 10_000
	// idleGain is the least expected saving worth a motion, in milliseconds.
	idleGain = 2000
	// outlookFor is how long an outlook is used.
	outlookFor = 10 * minute
	// quiet is how many arrivals within the lookahead, in thousandths, are too
	// few to prepare for.
	quiet = 50
)

type kind uint8

const (
	arrive  kind = iota // a vehicle at the entrance
	request             // a driver wants the car
	gone                // a car has left the gate: its bay is free
	ready               // a lift has ended its cycle
	wake                // a driver comes near the gate
	idle                // look for idle work
	fail                // a machine breaks down
	repair
	sample // occupancy, for the chart
)

type event struct {
	at   millis
	seq  int
	kind kind
	// machine, lift and car are what it is about.
	machine, lift int
	car           *car
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

type car struct {
	Arrival
	bay                       int
	arrived, leaves, expected millis
	// gate is when its driver reaches the machine's gate.
	gate                millis
	requested, promised millis
	measured            bool
	// stored says that storing it has begun, inside when its driver is out of the
	// gate: nobody asks for a car before that. wants says that the driver would
	// have.
	stored, wants bool
	inside        millis
}

type order struct {
	kind parking.CommandKind
	car  *car
	own  int
}

type machine struct {
	model mechanism.Model
	queue []order
	// busy is until when each lift is; idling says that it does idle work.
	busy   []millis
	out    bool
	report MachineReport
	ahead  mechanism.Model
	// soon is what View.SetWait is told, of the instant soonAt.
	soon   int
	soonAt millis
}

type engine struct {
	c       Config
	policy  allocator.Policy
	layout  *allocator.Layout
	view    *allocator.View
	learns  *allocator.Forecast
	zone    *time.Location
	queue   events
	seq     int
	now     millis
	demand  *rand.Rand
	faults  *rand.Rand
	inBay   []*car
	byOwn   [][]int // machine, own number: bay
	machine []machine
	looked  millis
	r       Report
	inside  int
	failed  error
	// ranked are the bays that the policy would give next, of rankedAt.
	ranked   []int
	rankedAt millis
}

func newEngine(c Config, policy allocator.Policy, zone *time.Location) (*engine, error) {
	layout, err := allocator.NewLayout(c.CarPark)
	if err != nil {
		return nil, err
	}
	e := &engine{c: c, policy: policy, layout: layout, view: allocator.NewView(layout), zone: zone,
		learns: allocator.NewForecast(zone), demand: rand.New(rand.NewPCG(c.Seed, 1)),
		faults: rand.New(rand.NewPCG(c.Seed, 3)), inBay: make([]*car, layout.Bays()), looked: -outlookFor}
	e.view.Early = c.Early
	for _, m := range c.CarPark.Machines {
		model, err := mechanism.New(m)
		if err != nil {
			return nil, err
		}
		e.machine = append(e.machine, machine{model: model, busy: make([]millis, m.Lifts), report: MachineReport{ID: m.ID}})
		e.byOwn = append(e.byOwn, make([]int, model.Bays()))
		for i := range e.byOwn[len(e.byOwn)-1] {
			e.byOwn[len(e.byOwn)-1][i] = -1
		}
	}
	for i := range layout.Bays() {
		if m, own := layout.Place(i); m >= 0 {
			e.byOwn[m][own] = i
		}
	}
	e.r = Report{CarPark: c.CarPark.ID, Policy: policy.Name(), Demand: c.Demand.Name(), Note: c.Demand.Note(),
		Days: c.Days, Promise: c.CarPark.Promise()}
	return e, nil
}

func (e *engine) instant(at millis) time.Time {
	return e.c.Start.Add(time.Duration(at) * time.Millisecond)
}

func (e *engine) push(v event) {
	v.seq = e.seq
	e.seq++
	heap.Push(&e.queue, v)
}

func (e *engine) run(ctx context.Context) error {
	days := e.c.Warmup + e.c.Days
	for m := range e.machine {
		e.refresh(m)
		if e.c.Idle {
			e.push(event{at: idleEvery, kind: idle, machine: m})
		}
		if e.c.Faults.MeanHoursBetween > 0 {
			e.push(event{at: e.exponential(millis(e.c.Faults.MeanHoursBetween) * hourMs), kind: fail, machine: m})
		}
	}
	e.push(event{at: hourMs / 2, kind: sample})
	for day := range days {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Midnights are the zone's: a day may have 23 or 25 hours.
		midnight := e.c.Start.AddDate(0, 0, day)
		for _, a := range e.c.Demand.Day(midnight, e.demand) {
			at := a.At.Sub(e.c.Start).Milliseconds()
			e.push(event{at: at, kind: arrive, car: &car{Arrival: a, measured: day >= e.c.Warmup}})
		}
		end := e.c.Start.AddDate(0, 0, day+1).Sub(e.c.Start).Milliseconds()
		if day == e.c.Warmup {
			for m := range e.machine {
				e.machine[m].report = MachineReport{ID: e.machine[m].report.ID}
			}
		}
		if err := e.until(end, end); err != nil {
			return err
		}
	}
	// Those who stand at the end of the last day are seen out, so that each car
	// that was stored is fetched once; nobody new comes.
	end := e.now
	if err := e.until(end+14*dayMs, end); err != nil {
		return err
	}
	e.r.Inside = e.inside
	for m := range e.machine {
		e.r.Machines = append(e.r.Machines, e.machine[m].report)
	}
	return nil
}

// until handles what happens before the instant. After the last measured day,
// end, what would repeat itself for ever is let go.
func (e *engine) until(stop, end millis) error {
	for len(e.queue) > 0 && e.queue[0].at < stop {
		v := heap.Pop(&e.queue).(event)
		e.now = v.at
		switch v.kind {
		case arrive:
			e.arrive(v.car)
		case request:
			e.request(v.car)
		case gone:
			e.leave(v.car)
		case ready:
			e.start(v.machine)
			if e.c.Idle {
				e.push(event{at: e.now + idleAfter, kind: idle, machine: v.machine, lift: 1})
			}
		case wake:
			e.start(v.machine)
		case idle:
			e.rest(v.machine)
			// lift 0 marks the event that repeats itself.
			if v.lift == 0 && (e.now < end || e.inside > 0) {
				e.push(event{at: e.now + idleEvery, kind: idle, machine: v.machine})
			}
		case fail:
			e.machine[v.machine].out = true
			e.machine[v.machine].report.Faults++
			e.refresh(v.machine)
			e.push(event{at: e.now + e.exponential(millis(max(e.c.Faults.MeanMinutes, 1))*minute), kind: repair, machine: v.machine})
		case repair:
			e.machine[v.machine].out = false
			e.start(v.machine)
			e.refresh(v.machine)
			if e.now < end {
				e.push(event{at: e.now + e.exponential(millis(e.c.Faults.MeanHoursBetween)*hourMs), kind: fail, machine: v.machine})
			}
		case sample:
			if e.now < end {
				h := &e.r.hours[e.instant(e.now).In(e.zone).Hour()]
				if e.now >= e.measuredFrom() {
					h.occupied, h.occupiedOf = h.occupied+e.view.Occupied(), h.occupiedOf+e.layout.Bays()
				}
				e.push(event{at: e.now + hourMs/2, kind: sample})
			}
		}
	}
	e.now = max(e.now, min(stop, end))
	return e.failed
}

func (e *engine) measuredFrom() millis {
	return e.c.Start.AddDate(0, 0, e.c.Warmup).Sub(e.c.Start).Milliseconds()
}

func (e *engine) exponential(mean millis) millis {
	return millis(e.faults.ExpFloat64()*float64(mean)) + 1
}

// look renews the outlook and the time of the view.
func (e *engine) look() {
	e.view.At = e.instant(e.now)
	e.learns.Advance(e.view.At)
	if !e.policy.Foresees() || e.now-e.looked < outlookFor && e.view.Outlook != nil {
		return
	}
	e.looked = e.now
	var standing []allocator.Standing
	for i, c := range e.inBay {
		if c == nil {
			continue
		}
		s := allocator.Standing{Bay: i, Arrived: e.instant(c.arrived)}
		if c.expected > 0 {
			s.Leaves = e.instant(c.expected)
		}
		standing = append(standing, s)
	}
	e.view.Outlook = allocator.Look(e.view, e.learns, standing)
}

func (e *engine) arrive(c *car) {
	c.arrived = e.now
	c.leaves = e.now + c.Stay.Milliseconds()
	if c.Expected > 0 {
		c.expected = e.now + c.Expected.Milliseconds()
	}
	e.learns.Arrived(e.instant(e.now), c.Vehicle.EV)
	for m := range e.machine {
		e.wait(m)
	}
	e.look()
	d := e.policy.Choose(allocator.Request{Vehicle: c.Vehicle, Pool: c.Pool, Stay: c.Expected}, e.view)
	if c.measured {
		e.r.Arrived++
		e.hour(e.now).arrivals++
		switch d.Verdict {
		case allocator.NoBay:
			e.r.Refused++
		case allocator.Limit:
			e.r.Unfit++
		}
	}
	if d.Verdict != allocator.Found {
		return
	}
	c.bay = d.Ranked[0]
	if c.measured {
		b := &e.c.CarPark.Bays[c.bay]
		// On foot at 1.2 m/s.
		e.r.ways += 2 * (int64(b.DriveSeconds)*1000 + int64(b.WalkMetres)*1000*10/12)
	}
	e.inBay[c.bay] = c
	e.view.SetFree(c.bay, false)
	e.inside++
	e.r.PeakPermille = max(e.r.PeakPermille, e.view.Occupied()*1000/e.layout.Bays())
	m, own := e.layout.Place(c.bay)
	if m < 0 {
		c.stored = true
		e.push(event{at: max(c.leaves, e.now), kind: request, car: c})
		return
	}
	mc := &e.machine[m]
	c.gate = e.now + int64(e.c.CarPark.Bays[c.bay].DriveSeconds)*1000
	mc.queue = append(mc.queue, order{parking.Store, c, own})
	e.promise(m, own, true)
	e.push(event{at: max(c.leaves, e.now), kind: request, car: c})
	e.start(m)
}

func (e *engine) request(c *car) {
	m, own := e.layout.Place(c.bay)
	if m < 0 {
		e.push(event{at: e.now, kind: gone, car: c})
		return
	}
	if !c.stored {
		c.wants = true
		return
	}
	if e.now < c.inside {
		e.push(event{at: c.inside, kind: request, car: c})
		return
	}
	c.requested = e.now
	e.wait(m)
	told := e.waiting(m)
	if estimate, err := e.machine[m].ahead.Estimate(mechanism.Operation{Kind: parking.Fetch, Bay: own}); err == nil {
		told += millis(estimate.Ready)
	}
	c.promised = e.now + told
	if c.measured {
		e.hour(e.now).requests++
	}
	e.machine[m].queue = append(e.machine[m].queue, order{parking.Fetch, c, own})
	e.start(m)
}

func (e *engine) leave(c *car) {
	e.inBay[c.bay] = nil
	e.view.SetFree(c.bay, true)
	e.inside--
	e.learns.Left(e.instant(c.arrived), e.instant(e.now))
	if m, own := e.layout.Place(c.bay); m >= 0 {
		e.promise(m, own, false)
		e.start(m)
		e.refresh(m)
	}
}

func (e *engine) hour(at millis) *hour { return &e.r.hours[e.instant(at).In(e.zone).Hour()] }

// probability is the chance that the car is asked for within the lookahead; 0
// once it has been.
func (e *engine) probability(c *car) float64 {
	if c.requested > 0 {
		return 0
	}
	s := allocator.Standing{Arrived: e.instant(c.arrived)}
	if c.expected > 0 {
		s.Leaves = e.instant(c.expected)
	}
	return e.learns.Asked(s, e.instant(e.now), time.Duration(lookahead)*time.Millisecond)
}
