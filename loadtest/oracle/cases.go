package oracle

import (
	"slices"
	"time"
)

// AllCases are the situations that Compute counts. A test that compares the
// product with the oracle demands that its traffic met each of them; without
// that demand the comparison could agree about nothing.
var AllCases = []string{
	// Rule 1
	"conflict", "class tag beside assigned plate", "class tag beside unassigned plate", "class tag alone",
	"assigned tag beside unassigned plate", "assigned plate beside unassigned tag", "both marks unassigned",
	"plate alone unassigned", "mark changes hands between near reads", "one name registered and not",
	"account changes inside a pass",
	// Rule 2
	"gap exact", "gap less 1us", "gap plus 1us", "pass longer than the gap",
	// Rule 3
	"toll step within 1s after the read", "toll step within 1s before the read", "sunday", "general holiday",
	"untruncated minute would cost more",
	// Rule 4
	"class registered against measured", "class measured", "class measured later in the pass", "no class",
	"class tie by unit", "class tie by boot", "class tie by seq", "class tie by class", "no tariff",
	// Rule 5
	"weak pass", "weak plate with strong plate", "weak plate with tag", "confidence exactly 0.90",
	// Rule 6
	"turn-round just under 120s", "turn-round exactly 120s", "turn-round at one instant", "turn-round after a review",
	"turn-round chain",
	// Rule 7
	"same car twice overlapping", "same car twice at the gap", "same car gap plus 1us",
	// Rule 8
	"charged", "exempt", "unpaid", "review", "exempt vehicle under review",
	// Section 3
	"sequence number with other content",
}

// cases counts what happened, from the outside: it looks at passes and reads,
// not at how the rules came to their result.
func (j *Judge) cases(reads []Read, passes []*pass) map[string]int {
	n := map[string]int{}
	count := func(name string, is bool) {
		if is {
			n[name]++
		}
	}
	for _, p := range passes {
		j.casesOfPass(p, count)
	}
	j.casesOfNeighbours(passes, count)
	casesOfSequences(reads, count)
	return n
}

func (j *Judge) casesOfPass(p *pass, count func(string, bool)) {
	gap := j.net.GapMicros
	var strongPlate, weakPlate, tagNames bool
	account := p.row.Account
	for i, s := range p.sightings {
		r := s.read
		_, plateAssigned := j.registry.plate(r.Plate, r.TimeMicros)
		tag, tagAssigned := j.registry.tag(r.Tag, r.TimeMicros)
		classTag := tagAssigned && tag.Plate == ""
		count("conflict", s.conflict)
		count("class tag beside assigned plate", classTag && plateAssigned)
		count("class tag beside unassigned plate", classTag && r.Plate != "" && !plateAssigned)
		count("class tag alone", classTag && r.Plate == "")
		count("assigned tag beside unassigned plate", tagAssigned && !classTag && r.Plate != "" && !plateAssigned)
		count("assigned plate beside unassigned tag", plateAssigned && r.Tag != "" && !tagAssigned)
		count("both marks unassigned", r.Tag != "" && r.Plate != "" && !tagAssigned && !plateAssigned)
		count("plate alone unassigned", r.Tag == "" && !plateAssigned)
		if now := j.registry.standing(p.vehicle, r.TimeMicros); now.Account != account {
			count("account changes inside a pass", true)
			account = now.Account
		}
		tagNames = tagNames || s.tagNames
		if s.plateNames {
			sure := !r.Confidence.Present || r.Confidence.Value >= confident
			strongPlate, weakPlate = strongPlate || sure, weakPlate || !sure
			count("confidence exactly 0.90", r.Confidence == Number{confident, true})
		}
		if i > 0 {
			step := r.TimeMicros - p.sightings[i-1].read.TimeMicros
			count("gap exact", step == gap)
			count("gap less 1us", step == gap-1)
		}
	}
	count("pass longer than the gap", p.last()-p.first() > gap)
	count("weak pass", weak(p))
	count("weak plate with strong plate", weakPlate && strongPlate)
	count("weak plate with tag", weakPlate && tagNames)
	count(p.row.Status, true)
	standing := j.registry.standing(p.vehicle, p.first())
	count("exempt vehicle under review", standing.Exempt && p.row.Status == Review)
	count("no tariff", slices.Contains(p.row.Reasons, ReasonNoTariff))
	j.casesOfClass(p, standing, count)
	if p.row.Class != "" {
		j.casesOfToll(p, count)
	}
}

func (j *Judge) casesOfClass(p *pass, standing Assignment, count func(string, bool)) {
	at := slices.IndexFunc(p.sightings, func(s sighting) bool { return s.read.Class != "" })
	count("no class", p.row.Class == "")
	count("class registered against measured",
		standing.Class != "" && at >= 0 && p.sightings[at].read.Class != standing.Class)
	if standing.Class != "" || at < 0 {
		return
	}
	count("class measured", true)
	count("class measured later in the pass", at > 0)
	deciding := p.sightings[at].read
	for _, s := range p.sightings[at+1:] {
		r := s.read
		if r.TimeMicros != deciding.TimeMicros {
			break
		}
		if r.Class == "" || r.Class == deciding.Class {
			continue
		}
		switch {
		case r.Unit != deciding.Unit:
			count("class tie by unit", true)
		case r.Boot != deciding.Boot:
			count("class tie by boot", true)
		case r.Seq != deciding.Seq:
			count("class tie by seq", true)
		default:
			count("class tie by class", true)
		}
		break
	}
}

func (j *Judge) casesOfToll(p *pass, count func(string, bool)) {
	at := time.UnixMicro(p.first()).In(j.net.Zone)
	minute := at.Truncate(time.Minute)
	toll := func(minute time.Time) int64 {
		cents, _ := j.net.Toll(p.point.Facility, p.row.Class, minute)
		return cents
	}
	now, before, after := toll(minute), toll(minute.Add(-time.Minute)), toll(minute.Add(time.Minute))
	count("toll step within 1s after the read", after != now && minute.Add(time.Minute).Sub(at) <= time.Second)
	count("toll step within 1s before the read", before != now && at.Sub(minute) < time.Second)
	count("untruncated minute would cost more", after > now && at.Sub(minute) >= 30*time.Second)
	count("sunday", at.Weekday() == time.Sunday)
	weekday := time.Date(2026, time.November, 23, at.Hour(), at.Minute(), 0, 0, j.net.Zone)
	count("general holiday", at.Weekday() != time.Sunday && now != 0 && toll(weekday) != now)
}

// casesOfNeighbours looks at pairs of passes.
func (j *Judge) casesOfNeighbours(passes []*pass, count func(string, bool)) {
	gap, bound := j.net.GapMicros, j.net.TurnRoundMicros
	for i, a := range passes {
		turnedBefore := a.turnRound
		for k, b := range passes {
			if i == k {
				continue
			}
			samePoint := a.point == b.point
			if a.vehicle == b.vehicle && samePoint {
				count("gap plus 1us", b.first()-a.last() == gap+1)
			}
			if a.vehicle == b.vehicle && a.point.Facility == b.point.Facility && a.point.Direction != b.point.Direction {
				step := b.first() - a.first()
				count("turn-round just under 120s", step == bound-1)
				count("turn-round exactly 120s", step == bound && !b.turnRound)
				count("turn-round at one instant", step == 0 && b.point.Name > a.point.Name)
				within := step > 0 && step < bound
				count("turn-round after a review", within && a.row.Status == Review)
				count("turn-round chain", within && turnedBefore)
			}
			if samePoint && a.vehicle.name == b.vehicle.name && a.vehicle.registered && !b.vehicle.registered {
				count("one name registered and not", true)
			}
			if samePoint && i < k && a.vehicle != b.vehicle {
				count("mark changes hands between near reads", apart(a, b) <= gap && shareMark(a, b))
			}
			if samePoint && slices.ContainsFunc(a.sightings, func(s sighting) bool { return s.beside == b.vehicle }) {
				d := apart(a, b)
				count("same car twice overlapping", d <= 0)
				count("same car twice at the gap", d == gap)
				count("same car gap plus 1us", d == gap+1 && !b.seenTwice)
			}
		}
	}
}

// shareMark reports whether a mark that decided in the one pass also decided
// in the other.
func shareMark(a, b *pass) bool {
	for _, s := range a.sightings {
		for _, t := range b.sightings {
			if s.tagNames && t.tagNames && s.read.Tag == t.read.Tag ||
				s.plateNames && t.plateNames && s.read.Plate == t.read.Plate {
				return true
			}
		}
	}
	return false
}

func casesOfSequences(reads []Read, count func(string, bool)) {
	type number struct {
		unit, boot string
		seq        uint64
	}
	seen := map[number]Read{}
	for _, r := range reads {
		at := number{r.Unit, r.Boot, r.Seq}
		first, again := seen[at]
		if !again {
			seen[at] = r
			continue
		}
		count("sequence number with other content", first != r)
	}
}
