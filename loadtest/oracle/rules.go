package oracle

import (
	"cmp"
	"slices"
	"time"
)

// sighting is a read with what it says about whose it is.
type sighting struct {
	read Read
	identity
}

// pass is a pass with everything that the rules look at.
type pass struct {
	point   TollPoint
	vehicle vehicle
	// sightings are in the contract's order and contain no read twice.
	sightings []sighting
	row       Row
	turnRound bool
	seenTwice bool
}

func (p *pass) first() int64 { return p.sightings[0].read.TimeMicros }
func (p *pass) last() int64  { return p.sightings[len(p.sightings)-1].read.TimeMicros }

// compareReads is the order of the contract: by time, and at one instant by
// unit, boot (absent first), seq, then class as text (absent last). An absent
// boot is the empty string, which sorts first by itself.
func compareReads(a, b Read) int {
	return cmp.Or(
		cmp.Compare(a.TimeMicros, b.TimeMicros),
		cmp.Compare(a.Unit, b.Unit),
		cmp.Compare(a.Boot, b.Boot),
		cmp.Compare(a.Seq, b.Seq),
		compareClasses(a.Class, b.Class),
	)
}

func compareClasses(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	default:
		return cmp.Compare(a, b)
	}
}

// passes is rules 1 and 2: each read to its vehicle, the reads of one vehicle
// at one toll point in order of time, cut wherever a read follows the one
// before by more than the gap.
func (j *Judge) passes(reads []Read) ([]*pass, error) {
	// Rules 9 and 10: a repetition of a read is the read itself.
	seen := make(map[Read]bool, len(reads))
	type place struct {
		point   TollPoint
		vehicle vehicle
	}
	places := map[place][]sighting{}
	for _, read := range reads {
		if seen[read] {
			continue
		}
		seen[read] = true
		point, err := j.tollPoint(read.Unit)
		if err != nil {
			return nil, err
		}
		id := j.registry.identify(read)
		at := place{point, id.vehicle}
		places[at] = append(places[at], sighting{read, id})
	}
	var passes []*pass
	for at, sightings := range places {
		slices.SortStableFunc(sightings, func(a, b sighting) int { return compareReads(a.read, b.read) })
		begin := 0
		for i := 1; i <= len(sightings); i++ {
			if i == len(sightings) || sightings[i].read.TimeMicros-sightings[i-1].read.TimeMicros > j.net.GapMicros {
				passes = append(passes, &pass{point: at.point, vehicle: at.vehicle, sightings: sightings[begin:i:i]})
				begin = i
			}
		}
	}
	// Map order must not reach the outside: rows, cases and errors alike.
	slices.SortFunc(passes, func(a, b *pass) int {
		return cmp.Or(cmp.Compare(a.first(), b.first()), cmp.Compare(a.point.Name, b.point.Name),
			cmp.Compare(a.vehicle.name, b.vehicle.name))
	})
	return passes, nil
}

// judge is rules 3 to 8. Rules 6 and 7 look at what reads say, never at
// another pass's status, so one turn over the passes is enough.
func (j *Judge) judge(passes []*pass) {
	j.turnRounds(passes)
	j.seenTwice(passes)
	for _, p := range passes {
		j.row(p)
	}
}

// turnRounds is rule 6: "of two passes of one vehicle at one facility in
// opposite directions whose first reads are less than 120 s apart the later
// goes to review, whatever the earlier one's status; at the same instant, the
// one whose toll point sorts last". Every pair is looked at, so of a chain
// N, S, N both later ones go to review.
func (j *Judge) turnRounds(passes []*pass) {
	type place struct {
		facility string
		vehicle  vehicle
	}
	groups := map[place][]*pass{}
	for _, p := range passes {
		at := place{p.point.Facility, p.vehicle}
		groups[at] = append(groups[at], p)
	}
	for _, group := range groups {
		for _, a := range group {
			for _, b := range group {
				if a.point.Direction == b.point.Direction {
					continue
				}
				apart := b.first() - a.first()
				later := apart > 0 || apart == 0 && b.point.Name > a.point.Name
				if later && apart < j.net.TurnRoundMicros {
					b.turnRound = true
				}
			}
		}
	}
}

// seenTwice is rule 7: a pass of vehicle V whose read also carried an
// unassigned mark that does not name V sends every pass of that mark's own
// (unregistered) vehicle at the same toll point to review if the two overlap
// or lie at most the gap apart, last read of one to first read of the other.
// V's own pass is not touched.
func (j *Judge) seenTwice(passes []*pass) {
	type place struct {
		point   string
		vehicle vehicle
	}
	byVehicle := map[place][]*pass{}
	for _, p := range passes {
		at := place{p.point.Name, p.vehicle}
		byVehicle[at] = append(byVehicle[at], p)
	}
	for _, p := range passes {
		for _, s := range p.sightings {
			if s.beside == (vehicle{}) {
				continue
			}
			for _, other := range byVehicle[place{p.point.Name, s.beside}] {
				if apart(p, other) <= j.net.GapMicros {
					other.seenTwice = true
				}
			}
		}
	}
}

// apart returns the time from the last read of the one to the first of the
// other, whichever comes later; not positive if they touch or overlap.
func apart(a, b *pass) int64 {
	return max(b.first()-a.last(), a.first()-b.last())
}

// row is rules 3, 4, 5 and 8.
func (j *Judge) row(p *pass) {
	p.row = Row{
		FirstMicros: p.first(),
		LastMicros:  p.last(),
		TollPoint:   p.point.Name,
		Vehicle:     p.vehicle.name,
		Registered:  p.vehicle.registered,
		Currency:    j.net.Currency,
		Reads:       len(p.sightings),
	}
	// Rule 1: "account, registered class and exemption are those in force at
	// the pass's earliest read". The row is found by vehicle and instant, so
	// several reads at that instant make no difference.
	standing := j.registry.standing(p.vehicle, p.first())
	p.row.Account = standing.Account
	p.row.Class = class(p, standing)

	// Rule 3: "the toll is the one in force at the earliest read, cut to the
	// minute, in the network's zone".
	minute := time.UnixMicro(p.first()).In(j.net.Zone).Truncate(time.Minute)
	var cents int64
	var rated bool
	if p.row.Class != "" {
		cents, rated = j.net.Toll(p.point.Facility, p.row.Class, minute)
	}

	conflict := false
	for _, s := range p.sightings {
		conflict = conflict || s.conflict
	}
	add := func(is bool, reason string) {
		if is {
			p.row.Reasons = append(p.row.Reasons, reason)
		}
	}
	add(conflict, ReasonConflict)
	add(p.row.Class == "", ReasonNoClass)
	add(p.row.Class != "" && !rated, ReasonNoTariff)
	add(weak(p), ReasonWeakPlate)
	add(p.turnRound, ReasonTurnRound)
	add(p.seenTwice, ReasonSeenBefore)

	// Rule 8, in its order.
	switch {
	case len(p.row.Reasons) > 0:
		p.row.Status = Review
	case standing.Exempt:
		p.row.Status = Exempt
	case p.row.Account != "":
		p.row.Status, p.row.Cents = Charged, cents
	default:
		p.row.Status, p.row.Cents = Unpaid, cents
	}
}

// class is rule 4: "the registered class; else the class measured at the
// earliest read that has one".
func class(p *pass, standing Assignment) string {
	if standing.Class != "" {
		return standing.Class
	}
	for _, s := range p.sightings {
		if s.read.Class != "" {
			return s.read.Class
		}
	}
	return ""
}

// confident is rule 5's bound.
const confident = 0.90

// weak is rule 5: no read carried a tag that names its vehicle, and no plate
// naming it had a confidence of 0.90 or more, a missing one counting as 1.
func weak(p *pass) bool {
	for _, s := range p.sightings {
		if s.tagNames {
			return false
		}
		if s.plateNames && (!s.read.Confidence.Present || s.read.Confidence.Value >= confident) {
			return false
		}
	}
	return true
}
