package tariff

import (
	"slices"
	"strconv"
	"strings"
)

// tollRow is one row of tolls.csv: either an amount, with a ramp if every is
// not 0, or a percentage of another class's toll.
type tollRow struct {
	line        int
	days        int // place in dayTypes
	from, until int
	toll, step  int64
	every       int
	percent     int64
	of          string // class; empty if the row gives an amount
}

func (r *tollRow) last() int64 { return r.toll + r.step*int64(r.levels()-1) }

func (r *tollRow) levels() int {
	if r.every == 0 {
		return 1
	}
	return (r.until - r.from) / r.every
}

func (r *tollRow) times() string { return formatMinute(r.from) + "-" + formatMinute(r.until) }

// tollGroup is the rows of one place and class in one version.
type tollGroup struct {
	version  int
	pair     pair
	facility string // the pair's place itself, or the one of which it is a toll point
	line     int    // of its first row
	rows     []tollRow
	broken   bool // a row of it is in the problems; what depends on it is not judged
	days     [dayKinds]*day
}

type groupKey struct {
	version int
	pair    pair
}

var tollColumns = []string{"version", "facility", "class", "days", "from", "until", "toll", "step", "every_minutes"}

// Bounds on what the files may spread to: a row is short, and what it means
// may be long.
const (
	maxPairs = 500_000
	maxSlots = 300_000
)

func (l *loader) readTolls() {
	s := readSheet(l.files, tollsFile, tollColumns, &l.bad)
	if s == nil {
		return
	}
	n := l.n
	n.rows = len(s.rows)
	if (len(n.facilities)+len(n.points))*len(n.classes) > maxPairs {
		l.bad.add(facilitiesFile, 0, "there are more than %d pairs of a facility or toll point and a class; split the network", maxPairs)
		return
	}
	l.used = map[string]bool{}
	groups := map[groupKey]*tollGroup{}
	var order []*tollGroup
	for i := range s.rows {
		row := &s.rows[i]
		key, facility, ok := l.tollKey(s, row)
		if !ok {
			continue
		}
		g := groups[key]
		if g == nil {
			g = &tollGroup{version: key.version, pair: key.pair, facility: facility, line: row.line}
			groups[key] = g
			order = append(order, g)
		}
		toll, ok := l.tollRow(s, row)
		if !ok {
			g.broken = true
			continue
		}
		g.rows = append(g.rows, toll)
	}
	for _, v := range n.versions {
		if !l.used[v.Name] {
			l.bad.add(versionsFile, 0, "version %s has no row in %s; add its tolls or remove it", v.Name, tollsFile)
		}
	}
	c := compiler{l: l, file: s.file, groups: groups, split: map[groupKey]*tollGroup{}, shared: map[[minutesPerDay]uint16]*[minutesPerDay]uint16{}}
	c.findSplits(order)
	// Percentages need the compiled tolls that they are of.
	for _, g := range order {
		if !g.percentages() {
			c.compile(g)
		}
	}
	for _, g := range order {
		if g.percentages() {
			c.compile(g)
		}
	}
	if l.bad.count() == 0 {
		l.follow(order)
	}
}

// tollKey reads the first three cells of a row: version, place and class. It
// gives the place's facility too.
func (l *loader) tollKey(s *sheet, row *sheetRow) (key groupKey, facility string, usable bool) {
	version, place, class := row.cells[0], row.cells[1], row.cells[2]
	l.used[version] = true
	before := l.bad.count()
	if l.versions != nil && !has(l.versions, version) {
		l.bad.add(s.file, row.line, "unknown version %q; add it to %s or mend the name", version, versionsFile)
	}
	known := has(l.facilities, place)
	facility = place
	if i, isPoint := l.n.pointIndex[place]; isPoint {
		known, facility = true, l.n.points[i].Facility
	}
	if !known && l.facilities != nil && l.n.pointIndex != nil {
		l.bad.add(s.file, row.line, "unknown facility or toll point %q; add it to %s or %s, or mend the name", place, facilitiesFile, pointsFile)
	}
	if l.n.classIndex != nil && !has(l.n.classIndex, class) {
		l.bad.add(s.file, row.line, "unknown class %q; add it to %s or mend the name", class, classesFile)
	}
	usable = l.versions != nil && l.facilities != nil && l.n.classIndex != nil && known && l.bad.count() == before
	return groupKey{l.versions[version], pair{place, class}}, facility, usable
}

// tollRow reads the other cells.
func (l *loader) tollRow(s *sheet, row *sheetRow) (tollRow, bool) {
	days, from, until, toll, step, every := row.cells[3], row.cells[4], row.cells[5], row.cells[6], row.cells[7], row.cells[8]
	before := l.bad.count()
	r := tollRow{line: row.line, days: -1}
	complain := func(format string, args ...any) { l.bad.add(s.file, row.line, format, args...) }
	var names []string
	for i, t := range dayTypes {
		names = append(names, t.name)
		if t.name == days {
			r.days = i
		}
	}
	switch {
	case r.days < 0:
		complain("unknown day type %q; it may be %s", days, strings.Join(names, ", "))
	case days != "all" && !l.n.calendar.needed && !l.daysUnknown:
		complain("day type %s needs to know the general holidays; set holidays_from and holidays_until in %s, or write all", days, networkFile)
	}
	var err error
	if r.from, err = parseMinute(from); err != nil {
		complain("from: %v", err)
	}
	if r.until, err = parseMinute(until); err != nil {
		complain("until: %v", err)
	}
	if l.bad.count() == before && r.until <= r.from {
		complain("until, %s, is not after from, %s; split a row that spans midnight in two", until, from)
	}
	if strings.Contains(toll, "%") {
		l.percentCells(&r, toll, step, every, complain)
	} else {
		amountCells(&r, toll, step, every, complain)
	}
	if l.bad.count() > before {
		return r, false
	}
	if r.every > 0 && (r.until-r.from)%r.every != 0 {
		complain("the ramp's %d minutes are not a multiple of every_minutes, %d; its last toll would be cut short", r.until-r.from, r.every)
	} else if r.last() < 0 {
		complain("the ramp falls below 0, to %s", FormatAmount(r.last()))
	} else if r.last() > mostCents {
		complain("the ramp rises above %s, to %s", FormatAmount(mostCents), FormatAmount(r.last()))
	}
	return r, l.bad.count() == before
}

const mostCents = 99_999_999_999

func (l *loader) percentCells(r *tollRow, toll, step, every string, complain func(string, ...any)) {
	m := percentShape.FindStringSubmatch(toll)
	if m == nil {
		complain("%q is not a percentage; write it like 40%% of private_car, with a whole number", toll)
		return
	}
	r.percent, _ = strconv.ParseInt(m[1], 10, 64)
	r.of = m[2]
	if l.n.classIndex != nil && !has(l.n.classIndex, r.of) {
		complain("unknown class %q in %q; add it to %s or mend the name", r.of, toll, classesFile)
	}
	if step != "" || every != "" {
		complain("a percentage follows the ramps of %s by itself; leave step and every_minutes empty", r.of)
	}
}

func amountCells(r *tollRow, toll, step, every string, complain func(string, ...any)) {
	var err error
	if r.toll, err = parseMoney(toll); err != nil {
		complain("toll: %v", err)
	} else if r.toll < 0 {
		complain("toll: %s is negative; a toll is 0 or more", toll)
	}
	if step == "" && every == "" {
		return
	}
	if step == "" || every == "" {
		complain("step and every_minutes go together; give both or neither")
		return
	}
	if r.step, err = parseMoney(step); err != nil {
		complain("step: %v", err)
	} else if r.step == 0 {
		complain("step: a ramp that moves by 0 is none; leave step and every_minutes empty")
	}
	minutes, err := parseWhole(every, 1, minutesPerDay)
	if err != nil {
		complain("every_minutes: %v", err)
	}
	r.every = int(minutes)
}

func (g *tollGroup) percentages() bool {
	return slices.ContainsFunc(g.rows, func(r tollRow) bool { return r.of != "" })
}
