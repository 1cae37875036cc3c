package stay

import (
	"slices"
	"time"

	"freeflow/parking"
)

// building is a stay while the walk goes over the passages.
type building struct {
	visits    []Visit
	events    []string
	berths    []*parking.Allocation
	witnesses []witness
	marks     marks
	flags     []string

	inside bool
	// byLane: the present visit was begun by a lane, at entryLane; its reads
	// went on until entryLast.
	byLane    bool
	entryLane string
	entryLast time.Time
	// bayLeft is when the present visit's bay was given back.
	bayLeft time.Time
	// provisional: only an allocation speaks for it so far.
	provisional bool
	// orphan: it has no entry.
	orphan bool
	dead   bool
}

func (b *building) visit() *Visit { return &b.visits[len(b.visits)-1] }

func (b *building) flag(f string) { b.flags = insert(b.flags, f) }
func (b *building) unflag(f string) {
	b.flags = slices.DeleteFunc(b.flags, func(x string) bool { return x == f })
}
func (b *building) has(f string) bool {
	_, found := slices.BinarySearch(b.flags, f)
	return found
}

// take adds what a passage knows.
func (b *building) take(p *passage) {
	b.events = append(b.events, p.events...)
	b.witnesses = append(b.witnesses, p.witnesses...)
	b.marks.add(p.marks)
	if p.berth != nil && !slices.Contains(b.berths, p.berth) {
		b.berths = append(b.berths, p.berth)
		v := b.visit()
		if v.Berth == nil || v.Berth.Machine == "" || p.berth.Machine != "" {
			v.Berth = p.berth
		}
	}
}

// walk goes over the passages in order of time.
type walk struct {
	rules *Rules
	stays []*building
}

// run returns the stays of the passages, in the order in which they began to
// be known.
func (w *walk) run(all []*passage) []*building {
	for _, p := range all {
		switch p.kind {
		case laneIn:
			w.enter(p)
		case laneOut:
			w.leave(p)
		case bayIn:
			w.bayGiven(p)
		case bayOut:
			w.bayLeft(p)
		case inner:
			if b := w.insideOf(p, weakly); b != nil {
				b.take(p)
			}
		}
	}
	w.mendSkew()
	return slices.DeleteFunc(w.stays, func(b *building) bool { return b.dead || b.provisional && !b.wasInBay() })
}

// wasInBay reports whether an allocation shows that the car was there.
func (b *building) wasInBay() bool {
	return slices.ContainsFunc(b.berths, func(a *parking.Allocation) bool {
		return !a.StoredAt.IsZero() || a.State != parking.Assigned
	})
}

// insideOf returns the stay that is inside and most surely the passage's
// vehicle's, the latest of several; nil if none is linked as surely as least.
func (w *walk) insideOf(p *passage, least int) *building {
	var best *building
	rank := least
	for _, b := range w.stays {
		if !b.inside || b.dead {
			continue
		}
		if l := link(&b.marks, &p.marks); l >= rank {
			best, rank = b, l
		}
	}
	return best
}

// leftBefore returns the linked stay of which was heard last, if it left by a
// known exit.
func (w *walk) leftBefore(p *passage, least int) *building {
	var best *building
	heard := func(b *building) time.Time {
		if v := b.visit(); v.Exit.Before(v.Entry) {
			return v.Entry
		}
		return b.visit().Exit
	}
	for _, b := range w.stays {
		if b.inside || b.dead || link(&b.marks, &p.marks) < least {
			continue
		}
		if best == nil || !heard(b).Before(heard(best)) {
			best = b
		}
	}
	if best == nil || best.visit().Exit.IsZero() {
		return nil
	}
	return best
}

// least is how surely an entry must be linked to concern a stay: a doubtful
// plate must not end the stay of a vehicle that is known for sure.
func least(p *passage) int {
	if len(p.marks.strong) == 0 {
		return weakly
	}
	return strongly
}

// known narrows a weak link to stays of which nothing sure is known either.
func known(b *building, p *passage) bool {
	return link(&b.marks, &p.marks) == strongly || len(b.marks.strong) == 0
}

func (w *walk) open(p *passage) *building {
	b := &building{visits: []Visit{{}}, inside: true}
	w.stays = append(w.stays, b)
	b.begin(p)
	return b
}

// begin starts a visit by a lane.
func (b *building) begin(p *passage) {
	v := b.visit()
	v.Entry, v.EntryEvent = p.first, p.id
	b.inside, b.byLane, b.provisional = true, true, false
	b.entryLane, b.entryLast, b.bayLeft = p.lane, p.last, time.Time{}
	b.take(p)
}

func (w *walk) enter(p *passage) {
	if b := w.insideOf(p, least(p)); b != nil && known(b, p) {
		switch {
		case !b.byLane:
			// The bay was given before the lane was passed.
			b.unflag(EntryByBay)
			b.begin(p)
			return
		case b.entryLane == p.lane && p.first.Sub(b.entryLast) <= Duplicate:
			b.flag(SameCarTwice)
			b.entryLast = p.last
			b.take(p)
			return
		case !b.bayLeft.IsZero():
			b.close(b.bayLeft, "", ExitByBay)
		default:
			b.inside = false
			b.flag(MissingExit)
		}
	}
	if b := w.leftBefore(p, least(p)); b != nil && known(b, p) && w.continues(b, p.first) {
		b.flag(Reentry)
		b.visits = append(b.visits, Visit{})
		b.begin(p)
		return
	}
	w.open(p)
}

// continues is rule 9.
func (w *walk) continues(b *building, at time.Time) bool {
	entry, exit := b.visits[0].Entry, b.visit().Exit
	if w.rules.Reentry == nil || entry.IsZero() || b.has(MissingExit) {
		return false
	}
	within := w.rules.Reentry(entry, exit)
	return within > 0 && at.Sub(exit) <= within
}

// close ends the present visit.
func (b *building) close(at time.Time, event, flag string) {
	v := b.visit()
	v.Exit, v.ExitEvent = at, event
	b.inside = false
	if flag != "" {
		b.flag(flag)
	}
}

func (w *walk) leave(p *passage) {
	b := w.insideOf(p, weakly)
	if b == nil {
		w.leaveAgain(p)
		return
	}
	sure := link(&b.marks, &p.marks)
	for _, o := range w.stays {
		if o == b || !o.inside || o.dead || sure != strongly || link(&o.marks, &p.marks) != strongly {
			continue
		}
		if o.byLane && b.byLane && o.entryLane == b.entryLane && b.visit().Entry.Sub(o.entryLast) <= Duplicate {
			b.merge(o)
			continue
		}
		if !o.byLane {
			// A bay given under one name to a car that a lane saw under another.
			b.merge(o)
			continue
		}
		o.inside = false
		o.flag(MissingExit)
	}
	b.take(p)
	b.close(p.first, p.id, "")
}

// merge takes in a stay that turned out to be the same vehicle's.
func (b *building) merge(o *building) {
	o.dead = true
	b.flag(SameCarTwice)
	v, ov := b.visit(), o.visit()
	if o.byLane && ov.Entry.Before(v.Entry) {
		v.Entry, v.EntryEvent = ov.Entry, ov.EntryEvent
	}
	if len(o.visits) > len(b.visits) {
		b.visits = append(slices.Clone(o.visits[:len(o.visits)-1]), b.visits...)
	}
	b.events = append(b.events, o.events...)
	b.witnesses = append(b.witnesses, o.witnesses...)
	b.berths = append(b.berths, o.berths...)
	b.marks.add(o.marks)
	if v := b.visit(); v.Berth == nil {
		v.Berth = ov.Berth
	}
}

// leaveAgain is an exit of a vehicle that is not inside.
func (w *walk) leaveAgain(p *passage) {
	if b := w.leftBefore(p, weakly); b != nil && p.first.Sub(b.visit().Exit) <= Held {
		if b.visit().ExitEvent != "" {
			b.flag(HeldAtExit)
		}
		b.unflag(ExitByBay)
		b.take(p)
		b.close(p.first, p.id, "")
		return
	}
	b := &building{visits: []Visit{{}}, orphan: true}
	w.stays = append(w.stays, b)
	b.take(p)
	b.close(p.first, p.id, MissingEntry)
}

func (w *walk) bayGiven(p *passage) {
	if b := w.insideOf(p, weakly); b != nil {
		b.take(p)
		return
	}
	b := &building{visits: []Visit{{}}, inside: true, provisional: true}
	w.stays = append(w.stays, b)
	b.visit().Entry = p.first
	b.take(p)
	b.flag(EntryByBay)
}

func (w *walk) bayLeft(p *passage) {
	for _, b := range w.stays {
		if b.dead || !b.inside || !slices.Contains(b.berths, p.berth) {
			continue
		}
		b.bayLeft = p.first
		if !b.byLane || !w.rules.ExitLanes {
			b.close(p.first, "", ExitByBay)
		}
		return
	}
}

// mendSkew is rule 7: an exit without an entry, just before an entry without an
// exit.
func (w *walk) mendSkew() {
	for _, o := range w.stays {
		if !o.orphan || o.dead {
			continue
		}
		exit := o.visit().Exit
		b := w.nextEntry(o, exit)
		if b == nil {
			continue
		}
		v := b.visit()
		if !b.byLane || len(b.visits) != 1 || !v.Exit.IsZero() || v.Entry.Sub(exit) > Skew {
			continue
		}
		v.Exit, v.ExitEvent = exit, o.visit().ExitEvent
		b.inside = false
		b.unflag(MissingExit)
		b.flag(ExitBeforeEntry)
		b.events = append(b.events, o.events...)
		b.witnesses = append(b.witnesses, o.witnesses...)
		b.marks.add(o.marks)
		o.dead = true
	}
}

// nextEntry returns the linked stay with the first entry at or after the
// instant.
func (w *walk) nextEntry(o *building, at time.Time) *building {
	var next *building
	var first time.Time
	for _, b := range w.stays {
		if b.dead || b.orphan || link(&b.marks, &o.marks) == apart {
			continue
		}
		for i := range b.visits {
			if e := b.visits[i].Entry; !e.Before(at) && (next == nil || e.Before(first)) {
				next, first = b, e
			}
		}
	}
	return next
}
