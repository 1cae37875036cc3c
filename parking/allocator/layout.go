// Package allocator owns the choice of a bay for an arriving vehicle: which bays
// it may stand in, what each would cost the drivers and those who come later,
// and why one is chosen.
//
// Invariants: hard limits come first, and a bay that the vehicle does not fit is
// never in a decision, whatever it costs; every fitting free bay is, so that a
// caller who loses one to another process can try the next, down to the last;
// reserves and prices only order the bays and never refuse a car.
//
// Not promised: that the bay is still free when the caller claims it (the
// store's constraint decides), and that the forecast is right. Nothing here
// waits, reads a clock or draws a number that was not passed in. Views and
// forecasts are not safe for concurrent use.
package allocator

import (
	"cmp"
	"fmt"
	"slices"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// Layout is what choosing needs of a car park, worked out once. It is never
// changed; safe for concurrent use.
type Layout struct {
	park *parking.CarPark
	// groups are the bays' distinct admissions: what fits one bay of a group
	// fits all.
	groups []group
	bays   []bay
	// machines are in the order of the car park's; bays point into them.
	machines []parking.Machine
	// grades are the distinct static costs of a bay's round trip, cheapest
	// first.
	grades []grade
	index  map[string]int
	// of are the bays of each machine.
	of [][]int32
}

type group struct {
	sample *parking.Bay
	// ev, accessible and pool are what the group is set aside for.
	ev, accessible bool
	pool           string
	// spare is in how many measures the group admits more than most bays do.
	spare int
	bays  int
}

type bay struct {
	group   int32
	machine int32
	grade   int32
	// own is the number of the bay in its machine.
	own int32
	// store and fetch are what a driver waits for the bay on average, without a
	// queue; around is the driving and walking of a bay.
	store, fetch, walk, drive mechanism.Millis
}

type grade struct {
	// cost is store and fetch together.
	cost mechanism.Millis
	bays int
}

// none is the machine of a bay that drivers drive into.
const none = -1

// walkMillisPerMetre is 1.2 m/s on foot, a usual design figure.
const walkMillisPerMetre = 833

// NewLayout works out the layout. The error says which bay or machine is wrong:
// a bay whose machine or slot does not exist.
func NewLayout(c *parking.CarPark) (*Layout, error) {
	if len(c.Bays) >= 1<<bayBits {
		return nil, fmt.Errorf("car park %q: %d bays and fewer than %d can be ranked", c.ID, len(c.Bays), 1<<bayBits)
	}
	l := &Layout{park: c, bays: make([]bay, len(c.Bays)), machines: c.Machines, index: make(map[string]int, len(c.Bays)),
		of: make([][]int32, len(c.Machines))}
	machines := make(map[string]int, len(c.Machines))
	slots := make([]map[parking.Slot]int, len(c.Machines))
	for i, m := range c.Machines {
		if err := mechanism.Validate(m); err != nil {
			return nil, fmt.Errorf("car park %q: %w", c.ID, err)
		}
		machines[m.ID], slots[i] = i, map[parking.Slot]int{}
		for own, s := range mechanism.Slots(m) {
			slots[i][s] = own
		}
	}
	for i := range c.Bays {
		b := &c.Bays[i]
		at := bay{machine: none, group: int32(l.groupOf(b)), walk: mechanism.Millis(b.WalkMetres) * walkMillisPerMetre,
			drive: mechanism.Millis(b.DriveSeconds) * 1000}
		if b.Machine != "" {
			m, known := machines[b.Machine]
			if !known {
				return nil, fmt.Errorf("car park %q, bay %q: there is no machine %q", c.ID, b.ID, b.Machine)
			}
			own, known := slots[m][b.Slot]
			if !known {
				return nil, fmt.Errorf("car park %q, bay %q: machine %q has no slot %+v", c.ID, b.ID, b.Machine, b.Slot)
			}
			at.machine, at.own = int32(m), int32(own)
			l.of[m] = append(l.of[m], int32(i))
			at.store, at.fetch = typical(c.Machines[m], b.Slot)
		}
		l.bays[i], l.index[b.ID] = at, i
	}
	if len(l.index) != len(l.bays) {
		return nil, fmt.Errorf("car park %q: two bays have the same id", c.ID)
	}
	l.gradeBays()
	l.measureSpare()
	return l, nil
}

// typical is what a driver waits for a bay on average: half of the slides that
// may be needed, the lift from the middle where it could be anywhere, and for a
// bay at the back of a lane half of the cars that may stand before it.
func typical(m parking.Machine, s parking.Slot) (store, fetch mechanism.Millis) {
	t := m.Timing
	gate := mechanism.Millis(t.GateSeconds) * 1000
	lift := mechanism.Millis(s.Tier*t.TierMM) * 60_000 / mechanism.Millis(t.LiftMMPerMinute)
	slide := func(places int) mechanism.Millis {
		return mechanism.Millis(places*t.PitchMM) * 60_000 / mechanism.Millis(t.SlideMMPerMinute)
	}
	transfer := mechanism.Millis(t.TransferSeconds) * 1000
	switch m.Mechanism {
	case parking.Puzzle:
		if s.Tier > 0 {
			lift += slide(1) / 2
		}
		return gate + lift, gate + lift
	case parking.Tower:
		turn := min(s.Column, m.Columns-s.Column)
		around := mechanism.Millis(t.TurnSeconds*1000*turn) / mechanism.Millis(m.Columns)
		return gate + max(lift, around), gate + 2*max(lift, around) + transfer
	default:
		way := slide(s.Column + s.Depth)
		return gate + lift/2, gate + max(lift, 2*way+transfer) + transfer + lift +
			mechanism.Millis(s.Depth)*(2*way+2*transfer)/2
	}
}

func (l *Layout) groupOf(b *parking.Bay) int {
	for i, g := range l.groups {
		if g.sample.Limits == b.Limits && g.ev == b.EV && g.accessible == b.Accessible && g.pool == b.Pool &&
			slices.Equal(g.sample.Classes, b.Classes) {
			l.groups[i].bays++
			return i
		}
	}
	l.groups = append(l.groups, group{sample: b, ev: b.EV, accessible: b.Accessible, pool: b.Pool, bays: 1})
	return len(l.groups) - 1
}

func (l *Layout) gradeBays() {
	count := map[mechanism.Millis]int{}
	for i := range l.bays {
		count[l.static(i)]++
	}
	for cost, bays := range count {
		l.grades = append(l.grades, grade{cost, bays})
	}
	slices.SortFunc(l.grades, func(a, b grade) int { return cmp.Compare(a.cost, b.cost) })
	// A multi-storey has as many walking distances as bays; a few dozen grades
	// order them well enough.
	const most = 32
	if len(l.grades) > most {
		var merged []grade
		for i, g := range l.grades {
			if at := i * most / len(l.grades); at < len(merged) {
				merged[at].cost, merged[at].bays = g.cost, merged[at].bays+g.bays
			} else {
				merged = append(merged, g)
			}
		}
		l.grades = merged
	}
	for i := range l.bays {
		cost := l.static(i)
		l.bays[i].grade = int32(slices.IndexFunc(l.grades, func(g grade) bool { return cost <= g.cost }))
	}
}

// static is what a bay costs its driver by where it is alone.
func (l *Layout) static(i int) mechanism.Millis {
	b := &l.bays[i]
	return b.store + b.fetch + 2*(b.walk+b.drive)
}

// measureSpare finds which groups admit what most bays do not.
func (l *Layout) measureSpare() {
	most := 0
	for i, g := range l.groups {
		if g.bays > l.groups[most].bays {
			most = i
		}
	}
	if len(l.groups) == 0 {
		return
	}
	more := func(a, b int) int {
		if b != 0 && (a == 0 || a > b) {
			return 1
		}
		return 0
	}
	usual := l.groups[most].sample.Limits
	for i := range l.groups {
		own := l.groups[i].sample.Limits
		l.groups[i].spare = more(own.LengthMM, usual.LengthMM) + more(own.WidthMM, usual.WidthMM) +
			more(own.HeightMM, usual.HeightMM) + more(own.WeightKG, usual.WeightKG)
	}
}

// Bays is the number of bays; BayIndex the number of the bay of that id, in the
// order of the car park's Bays.
func (l *Layout) Bays() int { return len(l.bays) }

// BayIndex returns the number by which the other methods know a bay.
func (l *Layout) BayIndex(id string) (int, bool) {
	i, ok := l.index[id]
	return i, ok
}

// CarPark returns what the layout was made of.
func (l *Layout) CarPark() *parking.CarPark { return l.park }

// Place returns the machine's number in the car park's Machines and the bay's
// number in it (mechanism.Slots); machine is -1 for a bay drivers drive into.
func (l *Layout) Place(bay int) (machine, own int) {
	return int(l.bays[bay].machine), int(l.bays[bay].own)
}
