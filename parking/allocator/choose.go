package allocator

import (
	"slices"
	"time"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// Request asks for a bay for one vehicle that has arrived.
type Request struct {
	Vehicle parking.Vehicle
	// Pool is the pool that the driver has a right to; empty for none. Reserved
	// says that it is by one of the View's reservations that are due.
	Pool     string
	Reserved bool
	// Stay is how long the vehicle is expected to stay; 0 leaves it to the
	// outlook.
	Stay time.Duration
}

// Weights are the exchange rates of the policy, in thousandths of a second of
// the arriving driver's own wait.
type Weights struct {
	// Fetch weighs the wait for the car at the end of the stay.
	Fetch int
	// Shadow weighs what later drivers lose.
	Shadow int
	// Load weighs the work that a machine is expected to get in the next half
	// hour.
	Load int
	// Long weighs what an arriving driver waits above LongMillis once more: the
	// last twentieth counts, not only the mean.
	Long       int
	LongMillis mechanism.Millis
}

// Standard are the weights used where nothing else is said; docs/parking-
// allocation.md says what they were tried on.
func Standard() Weights {
	return Weights{Fetch: 1000, Shadow: 1000, Load: 100, Long: 1000, LongMillis: 60_000}
}

// Terms are what makes up a bay's cost, in milliseconds; the sum is the cost.
type Terms struct {
	// Own is the drive to the bay or gate and back out, the wait there for the
	// machine's own time, and the wait for the car at the end. Queue is what the
	// machine's other work adds.
	Own, Queue mechanism.Millis
	// Walk is the way on foot, out and back.
	Walk mechanism.Millis
	// Reserve is for chargers, accessible bays, pools and large bays that others
	// need, or that the vehicle needs and the bay has not.
	Reserve mechanism.Millis
	// Shadow is what later drivers are expected to lose by the bay being held.
	Shadow mechanism.Millis
	// Load is what the machine is expected to be asked for soon.
	Load mechanism.Millis
}

// Sum is the cost.
func (t Terms) Sum() mechanism.Millis {
	return t.Own + t.Queue + t.Walk + t.Reserve + t.Shadow + t.Load
}

// Verdict says what came out.
type Verdict int

// The verdicts.
const (
	// Found: there is at least one candidate.
	Found Verdict = iota
	// NoBay: bays fit, but all are taken or out of service.
	NoBay
	// Limit: the vehicle fits no bay of the car park, whatever is free.
	Limit
)

// Decision is the answer to a request.
type Decision struct {
	Verdict Verdict
	// Ranked are all bays that are free and fit, best first.
	Ranked []int
	// Obstacle is the limit broken, for Limit: of the bay that comes nearest to
	// admitting the vehicle, with the most that any bay allows.
	Obstacle parking.Obstacle
	// Fitting, Taken and Out count the bays that the vehicle fits, and why they
	// are no candidates, for NoBay.
	Fitting, Taken, Out int

	chooser chooser
}

// Choose ranks the bays by the standard policy.
func Choose(r Request, v *View) Decision { return Standard().Choose(r, v) }

// The reserves, in milliseconds. They are above any wait in a machine that is
// not broken, in the order of what is worst, and only order the candidates.
const (
	// blockedCharger: an electric car is expected and would find no charger.
	blockedCharger = 900_000
	// missedAccess: a permit holder away from the accessible bays.
	missedAccess = 600_000
	// duePlace: the place of a reservation that is due.
	duePlace = 600_000
	// missedCharger: an electric car without a charger while one is free.
	missedCharger = 300_000
	// spareCharger: a charger that nobody is expected to need.
	spareCharger = 60_000
	// outsidePool: who has a right to a pool leaves the other bays to others.
	outsidePool = 240_000
	// spareSize: a bay that admits larger vehicles than most, for each measure.
	spareSize = 45_000
	// freeBelow is the expected occupancy, in thousandths, up to which large
	// bays are not kept; and up to which nothing has a shadow price, which ramps
	// up over the next rampPermille.
	freeBelow, rampPermille = 550, 100
)

// chooser is a request against a view.
type chooser struct {
	weights Weights
	view    *View
	// fits and reserve are by group.
	fits    []bool
	reserve []mechanism.Millis
	// shadow is by grade.
	shadow []mechanism.Millis
}

// Choose ranks the bays by these weights; equal ones in the order of the file.
func (w Weights) Choose(r Request, v *View) Decision {
	c := w.chooser(r, v)
	keys := make([]key, 0, len(v.layout.bays)-v.occupied)
	v.each(func(i int) {
		if c.fits[v.layout.bays[i].group] {
			keys = append(keys, keyOf(c.terms(i).Sum(), i))
		}
	})
	slices.Sort(keys)
	return c.decide(r, keys)
}

// key is a cost above a bay's number, so that a plain sort of numbers orders
// both: thousands of bays are ranked for each arrival.
type key int64

const bayBits = 20

func keyOf(cost mechanism.Millis, bay int) key {
	// 2^43 ms are centuries; what costs more is as bad.
	return key(min(max(cost, 0), 1<<42))<<bayBits | key(bay)
}

func (k key) bay() int               { return int(k & (1<<bayBits - 1)) }
func (k key) cost() mechanism.Millis { return mechanism.Millis(k >> bayBits) }

func (w Weights) chooser(r Request, v *View) chooser {
	l := v.layout
	c := chooser{weights: w, view: v, fits: make([]bool, len(l.groups)), reserve: make([]mechanism.Millis, len(l.groups)),
		shadow: make([]mechanism.Millis, len(l.grades))}
	// What is free of chargers and of the pool, over all groups that fit.
	chargers, pooled := 0, 0
	for i := range l.groups {
		g := &l.groups[i]
		c.fits[i] = g.sample.Fits(r.Vehicle, r.Pool)
		if g.ev {
			chargers += v.freeOf[i]
		}
		if g.pool != "" && g.pool == r.Pool {
			pooled += v.freeOf[i]
		}
	}
	peak, electric := 0, 0
	stay := r.Stay
	if v.Outlook != nil {
		peak, electric = v.Outlook.peakPermille, v.Outlook.electric
		if stay == 0 {
			stay = v.Outlook.stay
		}
	}
	ramp := mechanism.Millis(min(max(peak-freeBelow, 0), rampPermille))
	for i := range l.groups {
		if !c.fits[i] {
			continue
		}
		g := &l.groups[i]
		switch {
		case r.Vehicle.EV && !g.ev:
			c.reserve[i] += missedCharger
		case !r.Vehicle.EV && g.ev && chargers <= electric:
			c.reserve[i] += blockedCharger
		case !r.Vehicle.EV && g.ev:
			c.reserve[i] += spareCharger
		}
		if r.Vehicle.Accessible && !g.accessible {
			c.reserve[i] += missedAccess
		}
		switch {
		case r.Pool != "" && g.pool == "":
			c.reserve[i] += outsidePool
		case g.pool != "" && !r.Reserved && pooled <= v.Due[g.pool]:
			c.reserve[i] += duePlace
		}
		c.reserve[i] += spareSize * mechanism.Millis(g.spare) * ramp / rampPermille
	}
	for g := range c.shadow {
		c.shadow[g] = v.Outlook.hold(g, stay) * mechanism.Millis(w.Shadow) / 1000 * ramp / rampPermille
	}
	return c
}

// terms is what the bay costs.
func (c *chooser) terms(i int) Terms {
	v := c.view
	b := &v.layout.bays[i]
	t := Terms{Walk: 2 * b.walk, Reserve: c.reserve[b.group], Shadow: c.shadow[b.grade]}
	if b.machine == none {
		t.Own = 2 * b.drive
		return t
	}
	alone, in := v.in(i, 0), v.in(i, v.wait[b.machine])
	t.Own = alone + b.drive + b.fetch*mechanism.Millis(c.weights.Fetch)/1000
	t.Queue = in - alone
	if over := in - b.drive - c.weights.LongMillis; over > 0 {
		t.Queue += over * mechanism.Millis(c.weights.Long) / 1000
	}
	t.Load = mechanism.Millis(v.soon[b.machine]) * mechanism.Millis(c.weights.Load) / 10
	return t
}

// decide makes the decision of ranked bays.
func (c chooser) decide(r Request, keys []key) Decision {
	d := Decision{chooser: c, Ranked: make([]int, len(keys))}
	for i, k := range keys {
		d.Ranked[i] = k.bay()
	}
	if len(keys) > 0 {
		return d
	}
	v := c.view
	d.Verdict = Limit
	for i := range v.layout.bays {
		if !c.fits[v.layout.bays[i].group] {
			continue
		}
		d.Verdict = NoBay
		d.Fitting++
		if bit(v.free, i) {
			d.Out++
		} else {
			d.Taken++
		}
	}
	if d.Verdict == Limit {
		d.Obstacle = nearestObstacle(v.layout, r)
	}
	return d
}

// nearestObstacle is the first obstacle of the group with the fewest, with the
// most generous limit among the groups that have that obstacle alone or first.
func nearestObstacle(l *Layout, r Request) parking.Obstacle {
	var found parking.Obstacle
	fewest := -1
	for i := range l.groups {
		o := l.groups[i].sample.Obstacles(r.Vehicle, r.Pool)
		if len(o) == 0 {
			continue
		}
		switch {
		case fewest < 0 || len(o) < fewest:
			found, fewest = o[0], len(o)
		case len(o) == fewest && (o[0].Limit == found.Limit && o[0].Allowed > found.Allowed ||
			found.Allowed == 0 && o[0].Allowed > 0):
			found = o[0]
		}
	}
	return found
}
