package tariff

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// zoned gives an instant in the class's zone.
func (w *walker) zoned(wall int64) time.Time { return time.Unix(wall, 0).In(w.class.zone) }

// segment is the charged seconds that one version prices.
type segment struct {
	pricer
	from, to int64
}

// covered is charged seconds that a pass or permit has paid for.
type covered struct{ from, to int64 }

// job is one stay under way.
type job struct {
	book     *Book
	stay     *Stay
	class    *class
	clock    *chargeClock
	pauses   []span
	segments []segment
	covered  []covered
	// entry and end bound what is charged: the first visit's entry, and the
	// exit or the payment within whose grace the car left.
	entry, end int64
	// fixed are the lines of passes and permits.
	fixed   []Line
	receipt *Receipt
}

// parking prices the charged seconds [from, to) that nothing covers.
func (j *job) parking(from, to int64) ([]Line, error) {
	var lines []Line
	var s state
	carry := from
	for i := range j.segments {
		g := &j.segments[i]
		if i == 0 {
			s = g.class.newState()
		} else {
			s = carryState(&s, j.segments[i-1].class, g.class)
		}
		end := min(g.to, to)
		for at := max(g.from, carry); at < end; {
			until := end
			next := at
			for _, c := range j.covered {
				if c.from <= at && at < c.to {
					next = c.to
				} else if at < c.from {
					until = min(until, c.from)
				}
			}
			if next > at {
				at = next
				continue
			}
			more, reached, err := j.stretch(g, at, until, &s)
			if err != nil {
				return nil, err
			}
			lines = append(lines, more...)
			if until == end {
				carry = reached
			}
			at = until
		}
	}
	return lines, nil
}

// carryState takes over, into a version that begins during the stay, what its
// predecessor charged within caps of the same name, the threshold counter of
// the stay, and which per-entry bands were charged.
func carryState(old *state, from, to *class) state {
	s := to.newState()
	for i := range to.caps {
		for k := range from.caps {
			a, b := &from.caps[k], &to.caps[i]
			if a.id == b.id && a.per == b.per && a.reset == b.reset && a.per != "occurrence" {
				s.caps[i] = old.caps[k]
			}
		}
	}
	if from.counters == 1 && to.counters == 1 && to.options.ThresholdCounts == "stay" {
		s.counters[0] = old.counters[0]
	}
	for i := range to.bands {
		for k := range from.bands {
			if to.bands[i].perEntry && from.bands[k].perEntry && to.bands[i].id == from.bands[k].id && old.entries&(1<<from.bands[k].entryBit) != 0 {
				s.entries |= 1 << to.bands[i].entryBit
			}
		}
	}
	return s
}

// stretch prices charged seconds without a break, by the tariff's mode for
// passes, and gives where the last unit ends.
func (j *job) stretch(g *segment, from, to int64, s *state) (lines []Line, reached int64, err error) {
	switch g.class.options.Passes {
	case "automatic":
		if len(j.covered) > 0 || len(j.segments) > 1 || len(g.class.rules.Passes) == 0 {
			break
		}
		pass, err := g.automatic(from, to)
		if err != nil {
			return nil, 0, err
		}
		if pass != nil {
			return []Line{j.passLine(g, pass, g.clock.wall(from), g.clock.wallEnd(to))}, to, nil
		}
	case "best_price":
		if len(g.class.rules.Passes) == 0 {
			break
		}
		return j.bestStretch(g, from, to, s)
	}
	var out sink
	_, reached, err = g.run(from, to, s, &out)
	if err != nil {
		return nil, 0, err
	}
	return g.lines(&out, nil), reached, nil
}

func (j *job) bestStretch(g *segment, from, to int64, s *state) (lines []Line, reached int64, err error) {
	path, bounded, err := g.bestPrice(from, to, s)
	if err != nil {
		return nil, 0, err
	}
	if bounded {
		j.receipt.flag(FlagBestPriceBounded)
	}
	at := from
	for i := range path {
		l := &path[i]
		if l.pass != nil {
			lines = append(lines, j.passLine(g, l.pass, g.clock.wall(at), g.clock.wallEnd(l.at)))
			at, reached = l.at, l.at
			continue
		}
		var out sink
		again := l.before.clone()
		if _, reached, err = g.run(at, l.at, &again, &out); err != nil {
			return nil, 0, err
		}
		lines = g.lines(&out, lines)
		at = l.at
	}
	if len(path) > 0 {
		*s = path[len(path)-1].state
	}
	return lines, reached, nil
}

func (j *job) passLine(g *segment, s *Pass, from, to int64) Line {
	return Line{Kind: LinePass, Text: passText(s), From: g.zoned(from), To: g.zoned(to), Units: 1, UnitCents: s.Price, AmountCents: s.Price, Rule: "passes/" + s.ID}
}

// lines turns charges into lines, one for a run of equal units, and appends
// what caps took off.
func (p *pricer) lines(out *sink, lines []Line) []Line {
	charges := out.charges
	for i := 0; i < len(charges); {
		x := charges[i]
		for i++; i < len(charges); i++ {
			y := &charges[i]
			if y.band != x.band || y.tier != x.tier || y.from != x.to || y.exact != x.exact || y.proRata != x.proRata {
				break
			}
			x.to, x.units, x.amount = y.to, x.units+y.units, x.amount+y.amount
		}
		t := &p.class.bands[x.band].tiers[x.tier]
		text := t.text
		if x.proRata {
			text = fmt.Sprintf("%s: %d min %02d s pro rata", text, (x.to-x.from)/60, (x.to-x.from)%60)
		}
		lines = append(lines, Line{Kind: LineParking, Text: text, From: p.zoned(p.clock.wall(x.from)), To: p.zoned(p.clock.wallEnd(x.to)),
			Units: x.units, UnitCents: Cents(x.unitPrice), AmountCents: Cents(x.amount), Rule: t.rule})
	}
	slices.SortFunc(out.cuts, func(a, b cut) int {
		return cmp.Or(cmp.Compare(p.class.caps[a.cap].order, p.class.caps[b.cap].order), cmp.Compare(a.from, b.from))
	})
	for _, x := range out.cuts {
		w := &p.class.caps[x.cap]
		lines = append(lines, Line{Kind: LineCap, Text: w.text, From: p.zoned(p.clock.wall(x.from)), To: p.zoned(p.clock.wallEnd(x.to)),
			Units: 1, UnitCents: Cents(-x.reduction), AmountCents: Cents(-x.reduction), Rule: "caps/" + w.id})
	}
	return lines
}
