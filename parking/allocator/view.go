package allocator

import (
	"math/bits"
	"time"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// View is the picture of one car park from which bays are chosen. Whoever makes
// it keeps it up to date by the changes: a bay in one step, a machine in as many
// as it has bays. A new one has all bays free and all machines idle.
type View struct {
	layout *Layout
	// At is the present instant.
	At time.Time
	// Outlook is what is expected; nil for nothing known. It is good for some
	// minutes (see Look).
	Outlook *Outlook
	// Early says that a machine gets ready while its driver drives to the gate;
	// otherwise it begins when the car is there.
	Early bool
	// Due is, by pool, how many reservations will claim a bay soon.
	Due map[string]int

	free []uint64
	// out marks free bays that no vehicle may be sent to: blocked, or of a
	// machine that is out of service, or not reachable now.
	out      []uint64
	occupied int
	// freeOf counts the free bays of each group that are not out.
	freeOf []int
	// now is what a driver would wait at the gate for the bay if its machine
	// began at once from its present state; ahead the same from the state in
	// which it will be after its queue. Both without the queue itself.
	now, ahead []mechanism.Millis
	// wait is how long a machine is busy with what it has.
	wait []mechanism.Millis
	// soon is how many operations a machine is asked for in the next time, in
	// thousandths.
	soon []int
}

// NewView returns a view of an empty car park.
func NewView(l *Layout) *View {
	words := (len(l.bays) + 63) / 64
	v := &View{layout: l, Due: map[string]int{}, free: make([]uint64, words), out: make([]uint64, words),
		freeOf: make([]int, len(l.groups)), now: make([]mechanism.Millis, len(l.bays)),
		ahead: make([]mechanism.Millis, len(l.bays)), wait: make([]mechanism.Millis, len(l.machines)),
		soon: make([]int, len(l.machines))}
	for i := range l.bays {
		v.free[i/64] |= 1 << (i % 64)
		v.now[i], v.ahead[i] = l.bays[i].store, l.bays[i].store
		v.freeOf[l.bays[i].group]++
	}
	return v
}

// Layout returns the car park's layout.
func (v *View) Layout() *Layout { return v.layout }

func bit(set []uint64, i int) bool { return set[i/64]&(1<<(i%64)) != 0 }

func put(set []uint64, i int, on bool) bool {
	was := bit(set, i)
	if on {
		set[i/64] |= 1 << (i % 64)
	} else {
		set[i/64] &^= 1 << (i % 64)
	}
	return was != on
}

// SetFree tells that the bay has no allocation, or has one.
func (v *View) SetFree(bay int, free bool) {
	if !put(v.free, bay, free) {
		return
	}
	step := 1
	if !free {
		step = -1
	}
	v.occupied -= step
	if !bit(v.out, bay) {
		v.freeOf[v.layout.bays[bay].group] += step
	}
}

// SetOut tells that nobody may be sent to the bay though it is free (its machine
// or lift is out of service, cars stand before it), or that one may again.
func (v *View) SetOut(bay int, out bool) {
	if !put(v.out, bay, out) || !bit(v.free, bay) {
		return
	}
	if out {
		v.freeOf[v.layout.bays[bay].group]--
	} else {
		v.freeOf[v.layout.bays[bay].group]++
	}
}

// SetWait tells how long the machine is busy with what it has, in milliseconds
// from At, and how many operations it is asked for in the next half hour, in
// thousandths (0 if that is not known).
func (v *View) SetWait(machine int, wait mechanism.Millis, soonPermille int) {
	v.wait[machine], v.soon[machine] = wait, soonPermille
}

// SetReady tells how long after the machine's turn to the bay a driver waits at
// the gate to store a car: from the machine's present state, and from the one
// it will be in after its queue.
func (v *View) SetReady(bay int, now, ahead mechanism.Millis) { v.now[bay], v.ahead[bay] = now, ahead }

// SetMachine sets readiness and reachability of all bays of a machine: now is
// its present state, ahead the state after its queue (the same model if there is
// none).
func (v *View) SetMachine(machine int, now, ahead mechanism.Model) {
	for _, bay := range v.layout.of[machine] {
		i := int(bay)
		op := mechanism.Operation{Kind: parking.Store, Bay: int(v.layout.bays[i].own)}
		after, err := ahead.Estimate(op)
		if err != nil {
			// The state after the queue may have a car there that is booked but
			// not stored yet; what counts is that it cannot be used.
			v.SetOut(i, true)
			continue
		}
		v.SetOut(i, false)
		present := after
		if now != ahead {
			if e, err := now.Estimate(op); err == nil {
				present = e
			}
		}
		v.SetReady(i, present.Ready, after.Ready)
	}
}

// Free reports whether the bay is free and may be used.
func (v *View) Free(bay int) bool { return bit(v.free, bay) && !bit(v.out, bay) }

// Occupied is the number of bays with an allocation.
func (v *View) Occupied() int { return v.occupied }

// in is when the driver can drive into the machine's bay, from now, if the
// machine is busy for so long.
func (v *View) in(bay int, wait mechanism.Millis) mechanism.Millis {
	drive := v.layout.bays[bay].drive
	if v.Early {
		return max(wait+v.ahead[bay], drive)
	}
	return max(wait, drive) + v.ahead[bay]
}

// each calls yield for every free bay that may be used, in order.
func (v *View) each(yield func(bay int)) {
	for w := range v.free {
		for set := v.free[w] &^ v.out[w]; set != 0; set &= set - 1 {
			yield(w*64 + bits.TrailingZeros64(set))
		}
	}
}
