package tariff

import (
	"fmt"
	"slices"
	"sort"
)

// compiler turns groups of rows into days of slots.
type compiler struct {
	l      *loader
	file   string
	groups map[groupKey]*tollGroup
	// split holds, by version, facility and class, the first group of one of
	// the facility's toll points.
	split map[groupKey]*tollGroup
	// shared holds each layout of a day once: most are one flat slot.
	shared map[[minutesPerDay]uint16]*[minutesPerDay]uint16
	slots  int
}

// findSplits notes which classes of a facility are given by toll point, and
// complains where the same version gives them for the whole facility too.
func (c *compiler) findSplits(order []*tollGroup) {
	for _, g := range order {
		if g.pair.place == g.facility {
			continue
		}
		key := groupKey{g.version, pair{g.facility, g.pair.class}}
		if c.split[key] != nil {
			continue
		}
		c.split[key] = g
		if whole := c.groups[key]; whole != nil {
			c.l.bad.add(c.file, g.line, "%s is of one toll point, and line %d gives %s for the whole of %s; within a version give a class either by facility or by toll point",
				c.name(g), whole.line, g.pair.class, g.facility)
		}
	}
}

// compile fills the group's days, or marks the group broken.
func (c *compiler) compile(g *tollGroup) {
	if g.broken {
		return
	}
	before := c.l.bad.count()
	layout := c.layOut(g)
	bases := map[string]*tollGroup{}
	if c.l.bad.count() == before {
		c.checkRamps(g, layout)
		c.findBases(g, bases)
	}
	for _, base := range bases {
		// Its own mistakes are in the problems; none are added here.
		g.broken = g.broken || base.broken
	}
	if c.l.bad.count() > before {
		g.broken = true
	}
	if g.broken {
		return
	}
	inexact := map[int]bool{}
	for kind := range g.days {
		for other := range kind {
			if slices.Equal(layout[other], layout[kind]) && sameBases(bases, other, kind) {
				g.days[kind] = g.days[other]
			}
		}
		if g.days[kind] == nil {
			g.days[kind] = c.day(g, kind, layout[kind], bases, inexact)
		}
	}
	if c.l.bad.count() > before {
		g.broken = true
	}
}

func sameBases(bases map[string]*tollGroup, one, other int) bool {
	for _, b := range bases {
		if b.days[one] != b.days[other] {
			return false
		}
	}
	return true
}

// layOut returns for each kind of day the group's rows that hold on it, by
// time, and complains about minutes with two rows or none.
func (c *compiler) layOut(g *tollGroup) (layout [dayKinds][]int) {
	type clash struct{ one, other int }
	type hole struct{ from, until int }
	clashes := map[clash]bool{}
	var holes []hole
	holeKinds := map[hole]*[dayKinds]bool{}
	for kind := range layout {
		for i, r := range g.rows {
			if dayTypes[r.days].has[kind] {
				layout[kind] = append(layout[kind], i)
			}
		}
		rows := layout[kind]
		sort.SliceStable(rows, func(i, j int) bool { return g.rows[rows[i]].from < g.rows[rows[j]].from })
		covered, by := 0, -1
		miss := func(from, until int) {
			h := hole{from, until}
			if holeKinds[h] == nil {
				holeKinds[h] = &[dayKinds]bool{}
				holes = append(holes, h)
			}
			holeKinds[h][kind] = true
		}
		for _, i := range rows {
			r := &g.rows[i]
			switch {
			case r.from > covered:
				miss(covered, r.from)
			case r.from < covered && !clashes[clash{by, i}]:
				clashes[clash{by, i}] = true
				c.clash(g, &g.rows[by], r)
			}
			if r.until > covered {
				covered, by = r.until, i
			}
		}
		if covered < minutesPerDay {
			miss(covered, minutesPerDay)
		}
	}
	for _, h := range holes {
		c.l.bad.add(c.file, g.rows[0].line, "%s has no toll on %s from %s to %s; add a row, as every day must be covered from 00:00 to 24:00",
			c.name(g), daysName(*holeKinds[h]), formatMinute(h.from), formatMinute(h.until))
	}
	return layout
}

func (c *compiler) clash(g *tollGroup, one, other *tollRow) {
	if one.line > other.line {
		one, other = other, one
	}
	if one.days == other.days && one.from == other.from && one.until == other.until {
		c.l.bad.add(c.file, other.line, "%s %s %s is already on line %d; remove one", c.name(g), dayTypes[other.days].name, other.times(), one.line)
		return
	}
	c.l.bad.add(c.file, other.line, "%s %s %s overlaps %s %s on line %d; a minute has one toll",
		c.name(g), dayTypes[other.days].name, other.times(), dayTypes[one.days].name, one.times(), one.line)
}

// checkRamps complains about a ramp that does not leave the toll before it or
// does not land on the toll after it by one step of at most its own size.
// (The first or last step may be shorter: 18, 19, 21 ... 43, 45.) Where the
// published table is a chain of plateaus and ramps, a slip in a time or an
// amount breaks the chain.
func (c *compiler) checkRamps(g *tollGroup, layout [dayKinds][]int) {
	told := map[[2]int]bool{}
	for _, rows := range layout {
		for at, i := range rows {
			r := &g.rows[i]
			if r.every == 0 {
				continue
			}
			if at == len(rows)-1 {
				if !told[[2]int{i, i}] {
					told[[2]int{i, i}] = true
					c.l.bad.add(c.file, r.line, "the ramp %s lasts until the day's end; end it earlier, on the toll on which it lands", r.times())
				}
				continue
			}
			next := &g.rows[rows[at+1]]
			if next.of == "" && !oneStep(r.last(), next.toll, r.step) && !told[[2]int{i, rows[at+1]}] {
				told[[2]int{i, rows[at+1]}] = true
				c.l.bad.add(c.file, r.line, "the ramp %s does not land: it ends at %s, and %s begins with %s (line %d); the step between must be in its direction and at most %s",
					r.times(), FormatAmount(r.last()), formatMinute(next.from), FormatAmount(next.toll), next.line, signed(r.step))
			}
			if at == 0 {
				continue
			}
			prev := &g.rows[rows[at-1]]
			if prev.of == "" && prev.every == 0 && !oneStep(prev.toll, r.toll, r.step) && !told[[2]int{rows[at-1], i}] {
				told[[2]int{rows[at-1], i}] = true
				c.l.bad.add(c.file, r.line, "the ramp %s begins with %s after %s (line %d); its first step must be in its direction and at most %s",
					r.times(), FormatAmount(r.toll), FormatAmount(prev.toll), prev.line, signed(r.step))
			}
		}
	}
}

func oneStep(before, after, step int64) bool {
	if step > 0 {
		return after > before && after-before <= step
	}
	return after < before && before-after <= -step
}

// findBases finds the groups of which the group's rows are percentages.
func (c *compiler) findBases(g *tollGroup, bases map[string]*tollGroup) {
	for i := range g.rows {
		r := &g.rows[i]
		if r.of == "" {
			continue
		}
		whole := groupKey{g.version, pair{g.facility, r.of}}
		base := c.groups[groupKey{g.version, pair{g.pair.place, r.of}}]
		if base == nil {
			base = c.groups[whole]
		}
		switch {
		case base == nil && g.pair.place == g.facility && c.split[whole] != nil:
			c.l.bad.add(c.file, r.line, "%d%% of %s: version %s gives %s by toll point at %s (line %d); write this row for each toll point too",
				r.percent, r.of, c.l.n.versions[g.version].Name, r.of, g.facility, c.split[whole].line)
		case base == nil:
			c.l.bad.add(c.file, r.line, "%d%% of %s: version %s has no toll for %s at %s; add its rows to this version", r.percent, r.of, c.l.n.versions[g.version].Name, r.of, g.pair.place)
		case base.percentages():
			c.l.bad.add(c.file, r.line, "%d%% of %s: that is itself a percentage; name the class whose amounts are given", r.percent, r.of)
		default:
			bases[r.of] = base
		}
	}
}

// day compiles the rows that hold on a kind of day.
func (c *compiler) day(g *tollGroup, kind int, rows []int, bases map[string]*tollGroup, inexact map[int]bool) *day {
	d := &day{}
	for _, i := range rows {
		r := &g.rows[i]
		if r.of == "" {
			c.amounts(d, g, r)
			continue
		}
		c.percent(d, g, r, bases[r.of].days[kind], inexact)
	}
	if c.slots += len(d.slots); c.slots > maxSlots && c.slots-len(d.slots) <= maxSlots {
		c.l.bad.add(c.file, 0, "the rows spread to more than %d stretches of one toll; split the network", maxSlots)
	}
	if c.slots > maxSlots {
		d.slots = d.slots[:1] // the network is refused; do not hold what it asks for
		return d
	}
	var ofMinute [minutesPerDay]uint16
	for i, s := range d.slots {
		for m := s.from; m < s.until; m++ {
			ofMinute[m] = uint16(i)
		}
	}
	if c.shared[ofMinute] == nil {
		c.shared[ofMinute] = &ofMinute
	}
	d.ofMinute = c.shared[ofMinute]
	return d
}

// amounts adds the slots of a row that gives amounts.
func (c *compiler) amounts(d *day, g *tollGroup, r *tollRow) {
	length := r.until - r.from
	rule := fmt.Sprintf("%s %s, %s %s: %s", g.pair.place, g.pair.class, dayTypes[r.days].name, r.times(), FormatAmount(r.toll))
	if r.every > 0 {
		length = r.every
		rule += fmt.Sprintf(" and %s every %d minutes", signed(r.step), r.every)
	}
	for i := range r.levels() {
		s := slot{from: r.from + i*length, until: r.from + (i+1)*length, typed: dayTypes[r.days].name != "all"}
		s.toll = Toll{
			Cents:   r.toll + int64(i)*r.step,
			Version: c.l.n.versions[g.version].Name,
			DayType: dayTypes[r.days].name,
			Rule:    rule,
		}
		if r.every > 0 {
			s.toll.Rule += fmt.Sprintf(", so %s from %s to %s", FormatAmount(s.toll.Cents), formatMinute(s.from), formatMinute(s.until))
		}
		d.slots = append(d.slots, s)
	}
}

// percent adds the slots of a row that is a percentage of base's.
func (c *compiler) percent(d *day, g *tollGroup, r *tollRow, base *day, inexact map[int]bool) {
	for _, b := range base.slots {
		from, until := max(b.from, r.from), min(b.until, r.until)
		if from >= until {
			continue
		}
		hundredfold := b.toll.Cents * r.percent
		if hundredfold%100 != 0 && !inexact[r.line] {
			inexact[r.line] = true
			c.l.bad.add(c.file, r.line, "%d%% of %s, the toll of %s from %s, is not a whole number of hundredths; write the amounts out", r.percent, FormatAmount(b.toll.Cents), r.of, formatMinute(b.from))
		}
		s := slot{from: from, until: until, typed: b.typed || dayTypes[r.days].name != "all", toll: b.toll}
		s.toll.Cents = hundredfold / 100
		if dayTypes[r.days].name != "all" {
			s.toll.DayType = dayTypes[r.days].name
		}
		s.toll.Rule = fmt.Sprintf("%s %s, %s %s: %d%% of %s; %s", g.pair.place, g.pair.class, dayTypes[r.days].name, r.times(), r.percent, r.of, b.toll.Rule)
		d.slots = append(d.slots, s)
	}
}

func (c *compiler) name(g *tollGroup) string {
	return c.l.n.versions[g.version].Name + " " + g.pair.place + " " + g.pair.class
}

func signed(cents int64) string {
	if cents < 0 {
		return FormatAmount(cents)
	}
	return "+" + FormatAmount(cents)
}

// daysName names a set of day kinds.
func daysName(kinds [dayKinds]bool) string {
	names := [dayKinds]string{"Monday to Friday", "Saturday", "Sundays and general holidays"}
	for _, t := range dayTypes {
		if t.has == kinds {
			return t.name
		}
	}
	text := ""
	for kind, in := range kinds {
		if in {
			if text != "" {
				text += " and "
			}
			text += names[kind]
		}
	}
	return text
}
