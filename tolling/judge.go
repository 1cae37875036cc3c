package tolling

import "slices"

// Reason says why a pass is under review.
type Reason string

// The reasons of contract section 4, and the one for a decision that later
// reads have overtaken.
const (
	// MarkConflict: tag and plate are assigned to different vehicles (rule 1).
	MarkConflict Reason = "mark-conflict"
	// NoClass: neither registered nor measured (rule 4).
	NoClass Reason = "no-class"
	// NoTariff: the network has no toll for the class, toll point and time (rule 4).
	NoTariff Reason = "no-tariff"
	// WeakPlate: only plates read with a confidence below 0.90 (rule 5).
	WeakPlate Reason = "weak-plate"
	// TurnRound: too soon after a pass in the opposite direction (rule 6).
	TurnRound Reason = "turn-round"
	// SameCarTwice: another vehicle's pass carried this mark (rule 7).
	SameCarTwice Reason = "same-car-twice"
	// Reopened: what a person had decided no longer fits the reads (rule 9).
	Reopened Reason = "reopened"
)

// Verdict is what the rules say about a pass.
type Verdict struct {
	Status Status
	// Class is the class as resolved, also under review; empty if unknown.
	Class string
	// Account is the id of the account in force at the earliest read, also
	// under review; empty if nobody's.
	Account string
	// Cents is the toll in the currency's hundredths; 0 under review and
	// when exempt.
	Cents int64
	// Version and Rule name the tariff version and row that gave the amount.
	Version, Rule string
	// Reasons are set under review only, sorted.
	Reasons []Reason
}

// Price is a toll with its reason.
type Price struct {
	Cents         int64
	Version, Rule string
}

// Rater rates a class at a toll point, by its name, at an instant (microseconds
// since the Unix epoch); ok is false where the network has no tariff.
type Rater func(point, class string, micros int64) (price Price, ok bool)

// Judge applies rules 3 to 8 to a pass. Opposite must hold every standing pass
// of the vehicle at the pass's facility, in another direction, whose First is less
// than turnRound before p's, or at the same instant; others do no harm. The
// directions are judged by the caller, who knows the toll points; the toll is
// that of p's own toll point, as directions may differ in price.
func Judge(p *Pass, opposite []*Pass, turnRound int64, rate Rater) Verdict {
	v := Verdict{Class: p.Class(), Account: p.Holder.Account}
	if p.Conflict {
		v.Reasons = append(v.Reasons, MarkConflict)
	}
	var price Price
	if v.Class == "" {
		v.Reasons = append(v.Reasons, NoClass)
	} else {
		var ok bool
		if price, ok = rate(p.Point, v.Class, p.First); !ok {
			v.Reasons = append(v.Reasons, NoTariff)
		}
	}
	if !p.Strong {
		v.Reasons = append(v.Reasons, WeakPlate)
	}
	if slices.ContainsFunc(opposite, func(q *Pass) bool { return turnsRound(q, p, turnRound) }) {
		v.Reasons = append(v.Reasons, TurnRound)
	}
	if p.SameCar {
		v.Reasons = append(v.Reasons, SameCarTwice)
	}
	switch {
	case len(v.Reasons) > 0:
		v.Status = Review
		slices.Sort(v.Reasons)
	case p.Holder.Exempt:
		v.Status = Exempt
		v.Version, v.Rule = price.Version, "exempt"
	default:
		v.Cents, v.Version, v.Rule = price.Cents, price.Version, price.Rule
		v.Status = Unpaid
		if v.Account != "" {
			v.Status = Charged
		}
	}
	return v
}

// turnsRound reports whether q, an opposite pass, sends p to review: q is the
// earlier one, by less than turnRound; at the same instant the one whose toll
// point sorts first counts as the earlier.
func turnsRound(q, p *Pass, turnRound int64) bool {
	switch d := p.First - q.First; {
	case d > 0:
		return d < turnRound
	case d == 0:
		return q.Point < p.Point
	default:
		return false
	}
}
