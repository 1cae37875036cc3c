package mechanism_test

import (
	"fmt"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// The naive simulators below move things millisecond by millisecond and know
// none of the models' formulas: what they are given is the machine and what is
// to be done. They say how long it took, or that things collided.

// run counts the milliseconds until all motions are over; each is a distance
// and a speed in the same units a minute.
func run(motions ...[2]int) int {
	ms := 0
	for {
		going := false
		for _, m := range motions {
			if m[1]*ms < m[0]*60_000 {
				going = true
			}
		}
		if !going {
			return ms
		}
		ms++
	}
}

// steel is a lift-slide rack as cells with pallets.
type steel struct {
	m     parking.Machine
	cells [][]string // "" is empty
	cars  map[string]bool
}

func newSteel(m parking.Machine) *steel {
	s := &steel{m: m, cars: map[string]bool{}}
	for tier := range m.Tiers {
		row := make([]string, m.Columns)
		for c := range row {
			if tier == m.Tiers-1 || c < m.Columns-1 {
				row[c] = fmt.Sprintf("%d/%d", tier, c)
			}
		}
		s.cells = append(s.cells, row)
	}
	return s
}

func pallet(s parking.Slot) string { return fmt.Sprintf("%d/%d", s.Tier, s.Column) }

func (s *steel) find(name string) (tier, column int) {
	for tier, row := range s.cells {
		for column, p := range row {
			if p == name {
				return tier, column
			}
		}
	}
	panic("the pallet " + name + " has vanished") // a test's own check
}

// slide makes the column empty on all tiers below, all at once, watching that no
// two pallets of a tier come nearer than a pitch.
func (s *steel) slide(tier, column int) (ms, tiers int) {
	type moving struct{ tier, from, to int }
	var all []moving
	for k := range tier {
		empty := -1
		for c, p := range s.cells[k] {
			if p == "" {
				empty = c
			}
		}
		if empty != column {
			tiers++
		}
		for c := column; c < empty; c++ {
			all = append(all, moving{k, c, c + 1})
		}
		for c := column; c > empty; c-- {
			all = append(all, moving{k, c, c - 1})
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	pitch, speed := s.m.Timing.PitchMM, s.m.Timing.SlideMMPerMinute
	for done := false; !done; ms++ {
		gone := min(speed*(ms+1), pitch*60_000)
		done = gone == pitch*60_000
		// at[tier] are the places of all pallets, in units of a 60,000th mm.
		for k := range tier {
			var at []int
			for c, p := range s.cells[k] {
				if p == "" {
					continue
				}
				x := c * pitch * 60_000
				for _, m := range all {
					if m.tier == k && m.from == c {
						x += (m.to - m.from) * gone
					}
				}
				at = append(at, x)
			}
			for i := 1; i < len(at); i++ {
				if at[i]-at[i-1] < pitch*60_000 {
					panic("two pallets collide") // a test's own check
				}
			}
		}
	}
	for k := range tier {
		row := append([]string(nil), s.cells[k]...)
		for _, m := range all {
			if m.tier == k {
				row[m.to] = s.cells[k][m.from]
			}
		}
		row[column] = ""
		s.cells[k] = row
	}
	return ms, tiers
}

// operate does one order: "store", "fetch" or "prepare".
func (s *steel) operate(kind parking.CommandKind, name string) (ready, cycle, slides int) {
	tier, column := s.find(name)
	slid, slides := s.slide(tier, column)
	if kind == parking.Prepare {
		if slides > 0 {
			slid += s.m.Timing.GateSeconds * 1000
		}
		return slid, slid, slides
	}
	ready = s.m.Timing.GateSeconds*1000 + slid
	for k := range tier {
		if s.cells[k][column] != "" {
			panic("a pallet comes down on another") // a test's own check
		}
	}
	lift := run([2]int{tier * s.m.Timing.TierMM, s.m.Timing.LiftMMPerMinute})
	ready += lift
	s.cars[name] = kind == parking.Store
	return ready, ready + s.m.Timing.UserSeconds*1000 + lift, slides
}

// shaft is a circular tower.
type shaft struct {
	m            parking.Machine
	tier, column int
}

func (s *shaft) to(tier, column int) int {
	around := 0
	for (s.column+around)%s.m.Columns != column && (column+around)%s.m.Columns != s.column {
		around++
	}
	up := tier - s.tier
	if up < 0 {
		up = -up
	}
	// A turn is TurnSeconds for Columns: so many columns a minute, scaled.
	ms := run([2]int{up * s.m.Timing.TierMM, s.m.Timing.LiftMMPerMinute})
	turning := 0
	for turning*s.m.Columns < around*s.m.Timing.TurnSeconds*1000 {
		turning++
	}
	s.tier, s.column = tier, column
	return max(ms, turning)
}

func (s *shaft) operate(op mechanism.Operation, slots []parking.Slot, occupied bool) (ready, cycle int) {
	t := s.m.Timing
	gate, user, transfer := t.GateSeconds*1000, t.UserSeconds*1000, t.TransferSeconds*1000
	bay := slots[op.Bay]
	switch op.Kind {
	case parking.Store:
		ready = gate + s.to(0, 0)
		return ready, ready + user + s.to(bay.Tier, bay.Column) + transfer
	case parking.Fetch:
		ready = gate + s.to(bay.Tier, bay.Column) + transfer
		ready += s.to(0, 0)
		return ready, ready + user
	case parking.Relocate:
		from := slots[op.From]
		cycle = gate + s.to(from.Tier, from.Column) + transfer
		cycle += s.to(bay.Tier, bay.Column) + transfer
		return cycle, cycle
	default:
		tier, column := 0, 0
		if occupied {
			tier, column = bay.Tier, bay.Column
		}
		if tier == s.tier && column == s.column {
			return 0, 0
		}
		cycle = gate + s.to(tier, column)
		return cycle, cycle
	}
}

// store is a lift-and-shuttle system, as stacks of cars.
type store struct {
	m parking.Machine
	// cars[tier][column][depth] says that a car stands there.
	cars  [][][]bool
	lifts []int
}

func newStore(m parking.Machine) *store {
	s := &store{m: m, lifts: make([]int, m.Lifts)}
	for range m.Tiers {
		var tier [][]bool
		for range m.Columns {
			tier = append(tier, make([]bool, m.Depth))
		}
		s.cars = append(s.cars, tier)
	}
	return s
}

func (s *store) drive(places int) int {
	return run([2]int{places * s.m.Timing.PitchMM, s.m.Timing.SlideMMPerMinute})
}

func (s *store) lift(from, to int) int {
	if from > to {
		from, to = to, from
	}
	return run([2]int{(to - from) * s.m.Timing.TierMM, s.m.Timing.LiftMMPerMinute})
}

// top is the deepest free place of a lane that can be reached, or -1.
func (s *store) top(tier, column int) int {
	free := 0
	for free < s.m.Depth && !s.cars[tier][column][free] {
		free++
	}
	return free - 1
}

// carry takes the car at a to b, leaving from the lift's tier.
func (s *store) carry(a, b parking.Slot, lift *int) int {
	transfer := s.m.Timing.TransferSeconds * 1000
	out, in := a.Column+a.Depth, b.Column+b.Depth
	var ms int
	if a.Tier == b.Tier {
		across := a.Column - b.Column
		if across < 0 {
			across = -across
		}
		between := across + a.Depth + b.Depth
		ms = s.drive(out) + transfer + s.drive(between) + transfer + s.drive(in)
	} else {
		shuttle := s.drive(out) + transfer + s.drive(out)
		ms = max(s.lift(*lift, a.Tier), shuttle) + transfer + s.lift(a.Tier, b.Tier) + transfer
		ms += s.drive(in) + transfer + s.drive(in)
		*lift = b.Tier
	}
	return ms
}

func (s *store) put(a parking.Slot, car bool) {
	if s.cars[a.Tier][a.Column][a.Depth] == car {
		panic("a car collides or has vanished") // a test's own check
	}
	s.cars[a.Tier][a.Column][a.Depth] = car
}

// fetch clears the lane, front car first, each to the soonest place elsewhere.
func (s *store) fetch(bay parking.Slot, lift int) (ready, cycle, moved int) {
	t := s.m.Timing
	ready = t.GateSeconds * 1000
	for d := range bay.Depth {
		from := parking.Slot{Tier: bay.Tier, Column: bay.Column, Depth: d}
		if !s.cars[from.Tier][from.Column][from.Depth] {
			continue
		}
		best, soonest := parking.Slot{}, -1
		for tier := range s.m.Tiers {
			for column := range s.m.Columns {
				depth := s.top(tier, column)
				if depth < 0 || tier == bay.Tier && column == bay.Column {
					continue
				}
				at := s.lifts[lift]
				if ms := s.carry(from, parking.Slot{Tier: tier, Column: column, Depth: depth}, &at); soonest < 0 || ms < soonest {
					best, soonest = parking.Slot{Tier: tier, Column: column, Depth: depth}, ms
				}
			}
		}
		if soonest < 0 {
			panic("a car is trapped") // a test's own check
		}
		ready += s.carry(from, best, &s.lifts[lift])
		s.put(from, false)
		s.put(best, true)
		moved++
	}
	way := bay.Column + bay.Depth
	shuttle := s.drive(way) + t.TransferSeconds*1000 + s.drive(way)
	ready += max(s.lift(s.lifts[lift], bay.Tier), shuttle) + t.TransferSeconds*1000 + s.lift(bay.Tier, 0)
	s.put(bay, false)
	s.lifts[lift] = 0
	return ready, ready + t.UserSeconds*1000, moved
}

func (s *store) store(bay parking.Slot, lift int) (ready, cycle int) {
	t := s.m.Timing
	ready = t.GateSeconds*1000 + s.lift(s.lifts[lift], 0)
	way := bay.Column + bay.Depth
	cycle = ready + t.UserSeconds*1000 + s.lift(0, bay.Tier) + t.TransferSeconds*1000 + s.drive(way) + t.TransferSeconds*1000 + s.drive(way)
	s.put(bay, true)
	s.lifts[lift] = bay.Tier
	return ready, cycle
}
