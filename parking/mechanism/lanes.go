package mechanism

import (
	"fmt"

	"freeflow/parking"
)

// lanes is a lift-and-shuttle system. On each tier one shuttle rests beside the
// lifts at column 0 and serves the lanes, which are open at the front only: a
// lane is a stack, filled from the back. A car behind others is fetched after
// they have been moved to the nearest open places elsewhere, for which Depth-1
// places stay free.
//
// Lifts work at the same time; two that need the same tier's shuttle at once
// are not held up by each other in this model.
type lanes struct {
	floor
	// lifts is the tier where each lift rests.
	lifts []int
}

func newLanes(m parking.Machine) *lanes {
	return &lanes{floor: newFloor(m), lifts: make([]int, m.Lifts)}
}

// front is the first bay of the bay's lane.
func (l *lanes) front(bay int) int { return bay - l.slots[bay].Depth }

// reachable reports whether no car stands before the bay.
func (l *lanes) reachable(bay int) bool {
	for b := l.front(bay); b < bay; b++ {
		if l.occupied[b] {
			return false
		}
	}
	return true
}

// open reports whether a car may be put there: reachable, and right before a car
// or at the back of the lane.
func (l *lanes) open(bay int) bool {
	last := l.slots[bay].Depth == l.machine.Depth-1
	return !l.occupied[bay] && (last || l.occupied[bay+1]) && l.reachable(bay)
}

// Instead is the place of the lane where a car that was promised the bay belongs
// if what stood behind it has left meanwhile: there must be no hole.
func (l *lanes) Instead(bay int) int {
	if bay < 0 || bay >= len(l.slots) || !l.reachable(bay) {
		return bay
	}
	best := bay
	for b := bay + 1; b < l.front(bay)+l.machine.Depth && !l.occupied[b] && !l.promised[b]; b++ {
		best = b
	}
	return best
}

// run is how many free places the lane has before its first car.
func (l *lanes) run(bay int) int {
	n, first := 0, l.front(bay)
	for n < l.machine.Depth && !l.occupied[first+n] {
		n++
	}
	return n
}

// spare reports whether more than Depth-1 free places can be reached. One behind
// a car is of no use to a car that has to make way.
func (l *lanes) spare() bool {
	n := 0
	for first := 0; first < len(l.slots); first += l.machine.Depth {
		if n += l.run(first); n >= l.machine.Depth {
			return true
		}
	}
	return false
}

// way is the distance of the bay from the lifts, in places.
func (l *lanes) way(bay int) int { return l.slots[bay].Column + l.slots[bay].Depth }

// carry is how long one car takes from bay to bay, the lift being at tier; and
// where the lift is afterwards.
func (l *lanes) carry(from, to, tier int) (Millis, int) {
	a, b := l.slots[from], l.slots[to]
	if a.Tier == b.Tier {
		between := abs(a.Column-b.Column) + a.Depth + b.Depth
		if a.Column == b.Column {
			between = abs(a.Depth - b.Depth)
		}
		return l.along(l.way(from)) + l.transfer + l.along(between) + l.transfer + l.along(l.way(to)), tier
	}
	fetched := 2*l.along(l.way(from)) + l.transfer
	return max(l.lift(abs(tier-a.Tier)), fetched) + l.transfer + l.lift(abs(a.Tier-b.Tier)) +
		l.transfer + l.along(l.way(to)) + l.transfer + l.along(l.way(to)), b.Tier
}

// shift moves a car, and how soon it is wanted.
func (l *lanes) shift(from, to int) {
	wanted := l.wanted[from]
	l.put(from, false)
	l.put(to, true)
	l.wanted[to] = wanted
}

// sooner is the most that a car behind the bay, in its lane, is wanted.
func (l *lanes) sooner(bay int) int {
	most := 0
	for b := bay + 1; b < l.front(bay)+l.machine.Depth; b++ {
		most = max(most, l.wanted[b])
	}
	return most
}

// aside finds the place that a car is moved to soonest, out of its own lane.
// Before a car that is wanted sooner the movement counts twice, since it will
// have to be made again; less where it is not so sure to be wanted.
func (l *lanes) aside(car, tier int) (int, bool) {
	best, found, bestTime := 0, false, Millis(0)
	for first := 0; first < len(l.slots); first += l.machine.Depth {
		if first == l.front(car) {
			continue
		}
		for bay := first + l.machine.Depth - 1; bay >= first; bay-- {
			if !l.open(bay) || l.promised[bay] {
				continue
			}
			t, _ := l.carry(car, bay, tier)
			if behind := l.sooner(bay); behind > l.wanted[car] {
				t += t * Millis(min(behind, 1000)) / 1000
			}
			if !found || t < bestTime {
				best, bestTime, found = bay, t, true
			}
		}
	}
	return best, found
}

// clear plans the moves that make the bay reachable and carries them out on
// occupied; undo takes them back.
func (l *lanes) clear(bay, tier, lift int) (moves []Operation, time Millis, after int, err error) {
	for b := l.front(bay); b < bay; b++ {
		if !l.occupied[b] {
			continue
		}
		to, ok := l.aside(b, tier)
		if !ok {
			l.undo(moves)
			return nil, 0, tier, ErrBlocked
		}
		var t Millis
		t, tier = l.carry(b, to, tier)
		time += t
		l.shift(b, to)
		moves = append(moves, Operation{Kind: parking.Relocate, Bay: to, From: b, Lift: lift})
	}
	return moves, time, tier, nil
}

func (l *lanes) undo(moves []Operation) {
	for i := len(moves) - 1; i >= 0; i-- {
		l.shift(moves[i].Bay, moves[i].From)
	}
}

func (l *lanes) Estimate(op Operation) (Estimate, error) {
	e, _, err := l.estimate(op, true)
	return e, err
}

// estimate adds where the lift rests. Where undo is not asked for, the moves
// that make way stay done.
func (l *lanes) estimate(op Operation, undo bool) (Estimate, int, error) {
	if err := l.check(op); err != nil {
		return Estimate{}, 0, err
	}
	if op.Lift >= l.machine.Lifts-l.liftsOut {
		return Estimate{}, 0, ErrOut
	}
	tier, to := l.lifts[op.Lift], l.slots[op.Bay].Tier
	out := l.along(l.way(op.Bay))
	var e Estimate
	switch op.Kind {
	case parking.Store:
		if !l.open(op.Bay) {
			return Estimate{}, 0, ErrBlocked
		}
		if !l.spare() {
			return Estimate{}, 0, ErrReserve
		}
		e.Ready = l.gate + l.lift(tier)
		e.Cycle = e.Ready + l.user + l.lift(to) + l.transfer + out + l.transfer + out
		return e, to, nil
	case parking.Fetch:
		moves, time, at, err := l.clear(op.Bay, tier, op.Lift)
		if err != nil {
			return Estimate{}, 0, err
		}
		if undo {
			l.undo(moves)
		}
		e.Relocations = moves
		e.Ready = l.gate + time + max(l.lift(abs(at-to)), 2*out+l.transfer) + l.transfer + l.lift(to)
		e.Cycle = e.Ready + l.user
		return e, 0, nil
	case parking.Relocate:
		if !l.reachable(op.From) {
			return Estimate{}, 0, ErrBlocked
		}
		wanted := l.wanted[op.From]
		l.put(op.From, false)
		open := l.open(op.Bay)
		l.put(op.From, true)
		l.wanted[op.From] = wanted
		// Within the lane a car may only go further back, into a hole.
		if !open || l.front(op.Bay) == l.front(op.From) && op.Bay < op.From {
			return Estimate{}, 0, ErrBlocked
		}
		time, at := l.carry(op.From, op.Bay, tier)
		e.Cycle = l.gate + time
		e.Ready = e.Cycle
		return e, at, nil
	default:
		rest := 0
		if l.occupied[op.Bay] {
			rest = to
		}
		if rest != tier {
			e.Cycle = l.gate + l.lift(abs(tier-rest))
		}
		e.Ready = e.Cycle
		return e, rest, nil
	}
}

func (l *lanes) Apply(op Operation) (Estimate, error) {
	e, rest, err := l.estimate(op, false)
	if err != nil {
		return e, fmt.Errorf("machine %q, %s of bay %d: %w", l.machine.ID, op.Kind, op.Bay, err)
	}
	switch op.Kind {
	case parking.Store:
		l.put(op.Bay, true)
		l.promised[op.Bay] = false
	case parking.Fetch:
		l.put(op.Bay, false)
	case parking.Relocate:
		l.shift(op.From, op.Bay)
	}
	l.lifts[op.Lift] = rest
	return e, nil
}

// Dual stores first; the lift then goes from that tier straight to the other.
func (l *lanes) Dual(store, fetch, lift int) (Dual, error) {
	d, _, err := l.dual(store, fetch, lift)
	return d, err
}

func (l *lanes) dual(store, fetch, lift int) (Dual, *lanes, error) {
	first := Operation{Kind: parking.Store, Bay: store, Lift: lift}
	second := Operation{Kind: parking.Fetch, Bay: fetch, Lift: lift}
	after, other := l.clone(), l.clone()
	s, err := after.Apply(first)
	if err != nil {
		return Dual{}, nil, err
	}
	f, err := after.Apply(second)
	if err != nil {
		return Dual{}, nil, err
	}
	d := Dual{StoreReady: s.Ready, FetchReady: s.Cycle + f.Ready - l.gate, Cycle: s.Cycle + f.Cycle - l.gate,
		Relocations: f.Relocations}
	separate := s.Cycle + f.Cycle
	if f, err := other.Apply(second); err == nil {
		if s, err := other.Apply(first); err == nil {
			separate = min(separate, f.Cycle+s.Cycle)
		}
	}
	d.Saving = separate - d.Cycle
	return d, after, nil
}

func (l *lanes) ApplyDual(store, fetch, lift int) (Dual, error) {
	d, after, err := l.dual(store, fetch, lift)
	if err == nil {
		*l = *after
	}
	return d, err
}

// Idle first looks for a car that stands before one that is wanted sooner, and
// for a lane where it stands before none such; then for the tier where the
// first lift would best wait.
func (l *lanes) Idle(weight Weight) (Operation, int64, bool) {
	if l.liftsOut >= l.machine.Lifts {
		return Operation{}, 0, false
	}
	best, gain := l.forward(weight)
	if gain > 0 {
		return best, gain, true
	}
	cost := func(tier int) int64 {
		var sum int64
		for bay := range l.slots {
			to := 0
			if l.occupied[bay] {
				to = l.slots[bay].Tier
			}
			sum += int64(weight(bay)) * int64(l.lift(abs(tier-to)))
		}
		return sum
	}
	now := cost(l.lifts[0])
	seen := make([]bool, l.machine.Tiers)
	for bay := range l.slots {
		tier := 0
		if l.occupied[bay] {
			tier = l.slots[bay].Tier
		}
		if seen[tier] || tier == l.lifts[0] {
			continue
		}
		seen[tier] = true
		if g := now - cost(tier); g > gain {
			best, gain = Operation{Kind: parking.Prepare, Bay: bay}, g
		}
	}
	return best, gain, gain > 0
}

// forward finds the relocation that saves most: of a lane's first car, to a lane
// of the same tier in which no car is wanted sooner than it.
func (l *lanes) forward(weight Weight) (Operation, int64) {
	var best Operation
	var bestGain int64
	depth := l.machine.Depth
	for first := 0; first < len(l.slots); first += depth {
		car, behind := nobody, 0
		for b := first; b < first+depth; b++ {
			switch {
			case !l.occupied[b]:
			case car == nobody:
				car = b
			default:
				behind = max(behind, weight(b))
			}
		}
		if car == nobody || behind <= weight(car) {
			continue
		}
		tier := l.slots[car].Tier
		for other := tier * l.machine.Columns * depth; other < (tier+1)*l.machine.Columns*depth; other += depth {
			to, sooner := nobody, false
			for b := other + depth - 1; b >= other; b-- {
				if l.occupied[b] {
					sooner = sooner || weight(b) > weight(car)
				} else if to == nobody && l.open(b) && !l.promised[b] {
					to = b
				}
			}
			if other == first || to == nobody || sooner {
				continue
			}
			moved, _ := l.carry(car, to, tier)
			gain := int64(weight(car)) * 2 * int64(l.along(l.way(car))-l.along(l.way(to)))
			for b := car + 1; b < first+depth; b++ {
				if l.occupied[b] {
					gain += int64(weight(b)) * int64(moved)
				}
			}
			for b := to + 1; b < other+depth; b++ {
				gain -= int64(weight(b)) * int64(moved)
			}
			if gain > bestGain {
				best, bestGain = Operation{Kind: parking.Relocate, Bay: to, From: car}, gain
			}
		}
	}
	return best, bestGain
}

func (l *lanes) Clone() Model { return l.clone() }

func (l *lanes) clone() *lanes {
	return &lanes{floor: l.copied(), lifts: append([]int(nil), l.lifts...)}
}

func (l *lanes) Encode() []byte {
	b := l.encode()
	for _, tier := range l.lifts {
		b = append(b, byte(tier))
	}
	return b
}

func (l *lanes) Restore(memory []byte) error {
	occupied, rest, err := l.restore(memory)
	if err != nil {
		return err
	}
	wrong := fmt.Errorf("machine %q: %w", l.machine.ID, ErrMemory)
	if len(rest) != len(l.lifts) {
		return wrong
	}
	for _, tier := range rest {
		if int(tier) >= l.machine.Tiers {
			return wrong
		}
	}
	for i, tier := range rest {
		l.lifts[i] = int(tier)
	}
	l.take(occupied)
	return nil
}
