package dispute

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
)

// Rules of flags.
const (
	// Twice: one vehicle twice at a toll point sooner than anybody could come
	// round again, or at two of one facility and direction a moment apart (two
	// charging modules: Taiwan, January 2014; two cameras: Maryland, 2023).
	Twice = "twice"
	// TwoMarks: one car under two marks, of which one was read with the other
	// (North Carolina, 2013; Maryland, 2023).
	TwoMarks = "two-marks"
	// Together: two marks that always pass together, so that they are likely on
	// one car (North Carolina, 2013).
	Together = "travels-together"
	// ReturnTrip: there and back sooner than anybody could turn (TSCA, 2023:
	// 12:56 out, 12:57 back).
	ReturnTrip = "return-trip"
	// Impossible: from one facility to another faster than the way can be driven
	// (Taiwan, 2014: 178 km in 16 minutes).
	Impossible = "impossible-journey"
	// Parked: again and again at one point with nothing between: a car that
	// stands there, or a plate that is misread.
	Parked = "parked"
)

// FlagRules returns the rules, in order.
func FlagRules() []string {
	return []string{Twice, TwoMarks, Together, ReturnTrip, Impossible, Parked}
}

// exact reports whether a rule finds exact duplicates, of which nobody need ask
// which is right.
func exact(rule string) bool { return rule == Twice || rule == TwoMarks }

// Flag is something that cannot be right, found by us.
type Flag struct {
	// Key is the rule and a digest of the passes.
	Key, Rule string
	// Passes are the ids that it rests on, sorted; Suspects those whose charge is
	// doubted.
	Passes, Suspects []string
	Vehicle          string
	// Metres and Least are the way and the least time for it, Took the time that
	// it took; zero where the rule has none. Count is how many passes stand in a
	// row, or together.
	Metres      int64
	Least, Took time.Duration
	Count       int64
	// Reference is the case that it opened; empty where there was one before.
	Reference string
	At        time.Time
}

func newFlag(rule, vehicle string, passes ...Seen) Flag {
	f := Flag{Rule: rule, Vehicle: vehicle}
	for _, p := range passes {
		f.Passes = append(f.Passes, p.ID)
	}
	slices.Sort(f.Passes)
	sum := sha256.Sum256([]byte(strings.Join(f.Passes, "\n")))
	f.Key = rule + ":" + hex.EncodeToString(sum[:16])
	return f
}

// Places tells where toll points are.
type Places interface {
	// Place returns a toll point's facility and direction.
	Place(point string) (facility, direction string, ok bool)
}

// Limits are what the flags go by.
type Limits struct {
	// Again is the least time in which a vehicle can come round to a toll point a
	// second time, and in which two marks of one car count as one trip.
	Again time.Duration
	// Moment is how far apart two toll points of one facility and direction read
	// one vehicle that passes once.
	Moment time.Duration
	// Return is the least time for there and back at one facility.
	Return time.Duration
	// Row is how many passes in a row at one point are a parked car.
	Row int
	// Meetings is how often, and Beside how close, two marks must pass together.
	Meetings int
	Beside   time.Duration
	Journeys Journeys
	Places   Places
}

// AssumedLimits are times for the network hongkong, assumed: no source gives
// them. Nobody turns at a tunnel's mouth in four minutes and comes through it
// again; the least tunnel with a way to turn takes three.
func AssumedLimits(places Places, journeys Journeys) Limits {
	return Limits{
		Again: 4 * time.Minute, Moment: 5 * time.Second, Return: 3 * time.Minute, Row: 4,
		Meetings: 3, Beside: 2 * time.Second, Journeys: journeys, Places: places,
	}
}

func (p *Seen) owes() bool {
	return p.AmountCents > 0 && (p.Status == billing.StatusCharged || p.Status == billing.StatusUnpaid)
}

func between(p, q *Seen) time.Duration {
	d := p.FirstMicros - q.FirstMicros
	if d < 0 {
		d = -d
	}
	return time.Duration(d) * time.Microsecond
}

// ofVehicle judges a pass by the others of its vehicle, which are in order of
// time and may have the pass too.
func (l *Limits) ofVehicle(p Seen, near []Seen) []Flag {
	at := slices.IndexFunc(near, func(q Seen) bool { return q.ID == p.ID })
	if at < 0 {
		return nil
	}
	// The neighbours that owe: what owes nothing is right, or looked at already.
	var flags []Flag
	before, after := at-1, at+1
	for before >= 0 && !near[before].owes() {
		before--
	}
	for after < len(near) && !near[after].owes() {
		after++
	}
	if before >= 0 {
		flags = append(flags, l.pair(near[before], near[at])...)
	}
	if after < len(near) {
		flags = append(flags, l.pair(near[at], near[after])...)
	}
	// One trip may have been counted more than twice.
	for i := range near {
		first, second := min(i, at), max(i, at)
		if i == at || i == before || i == after || between(&near[i], &near[at]) >= l.Again {
			continue
		}
		for _, f := range l.pair(near[first], near[second]) {
			if f.Rule == Twice {
				flags = append(flags, f)
			}
		}
	}
	return append(flags, l.row(near, at)...)
}

// pair judges two passes of one vehicle that follow each other.
func (l *Limits) pair(p, q Seen) []Flag {
	if !p.owes() || !q.owes() {
		return nil // what owes nothing hurts nobody, or is looked at already
	}
	took := between(&p, &q)
	from, out, known := l.Places.Place(p.Point)
	to, in, known2 := l.Places.Place(q.Point)
	flag := func(rule string, least time.Duration, metres int64) []Flag {
		f := newFlag(rule, q.Vehicle, p, q)
		f.Took, f.Least, f.Metres = took, least, metres
		f.Suspects = []string{doubted(p, q)}
		return []Flag{f}
	}
	switch {
	case p.Point == q.Point:
		if took < l.Again {
			return flag(Twice, l.Again, 0)
		}
	case !known || !known2:
	case from == to && out == in:
		if took <= l.Moment {
			return flag(Twice, l.Moment, 0)
		}
	case from == to:
		if took < l.Return {
			return flag(ReturnTrip, l.Return, 0)
		}
	default:
		if j, ok := l.Journeys.Between(from, to); ok && took < j.Least {
			return flag(Impossible, j.Least, j.Metres)
		}
	}
	return nil
}

// doubted is the pass of two whose charge is doubted: not one that a person
// decided, rather one that nobody's account owes, else the later.
func doubted(p, q Seen) string {
	worse := func(s *Seen) int {
		switch {
		case s.Decided:
			return 0
		case s.Account == "":
			return 2
		}
		return 1
	}
	if cmp.Or(cmp.Compare(worse(&p), worse(&q)), cmp.Compare(p.FirstMicros, q.FirstMicros), cmp.Compare(p.ID, q.ID)) > 0 {
		return p.ID
	}
	return q.ID
}

// row finds passes in a row at one point within a day, nothing between them, the
// last of which is the one at the place.
func (l *Limits) row(near []Seen, at int) []Flag {
	last := &near[at]
	first := at
	for first > 0 && near[first-1].Point == last.Point && near[first-1].owes() && between(&near[first-1], last) < 24*time.Hour {
		first--
	}
	n := at - first + 1
	if l.Row < 2 || n < l.Row || !last.owes() {
		return nil
	}
	f := newFlag(Parked, last.Vehicle, near[at-l.Row+1:at+1]...)
	f.Count, f.Took = int64(n), between(&near[first], last)
	for _, p := range near[at-l.Row+2 : at+1] {
		f.Suspects = append(f.Suspects, p.ID)
	}
	return []Flag{f}
}

// twoMarks judges a pass by one that carried its mark, or whose mark it carried.
func (l *Limits) twoMarks(p, q Seen) []Flag {
	from, out, known := l.Places.Place(p.Point)
	to, in, known2 := l.Places.Place(q.Point)
	if p.Vehicle == q.Vehicle || !known || !known2 || from != to || out != in || !p.owes() || !q.owes() || between(&p, &q) >= l.Again {
		return nil
	}
	f := newFlag(TwoMarks, p.Vehicle, p, q)
	f.Took, f.Least = between(&p, &q), l.Again
	f.Suspects = []string{doubted(p, q)}
	return []Flag{f}
}

// together judges whether two marks always pass together: mine are the passes
// of the lesser mark, theirs those of the other, in order of time.
func (l *Limits) together(p Seen, mine, theirs []Seen) []Flag {
	met := int64(0)
	var beside *Seen
	for i := range mine {
		for j := range theirs {
			if theirs[j].Point == mine[i].Point && between(&mine[i], &theirs[j]) <= l.Beside {
				met++
				if mine[i].ID == p.ID {
					beside = &theirs[j]
				}
				break
			}
		}
	}
	if beside == nil || l.Meetings < 2 || met < int64(l.Meetings) || met*10 < int64(len(mine))*9 || !p.owes() || !beside.owes() {
		return nil
	}
	f := newFlag(Together, p.Vehicle, p, *beside)
	f.Count, f.Took = met, between(&p, beside)
	f.Suspects = []string{doubted(p, *beside)}
	return []Flag{f}
}
