package tariff

import (
	"io/fs"
	"regexp"
	"sort"
	"strconv"
	"time"

	"freeflow/tolling"
)

// The files of a network.
const (
	networkFile    = "network.csv"
	classesFile    = "classes.csv"
	facilitiesFile = "facilities.csv"
	pointsFile     = "toll_points.csv"
	holidaysFile   = "holidays.csv"
	versionsFile   = "versions.csv"
	tollsFile      = "tolls.csv"
)

const maxUnits = 500_000

// loader reads a network. A map is nil if its file could not be used: what
// refers to it is then not checked, so that one broken file does not drown
// the operator in complaints about the others.
type loader struct {
	files      fs.FS
	bad        problems
	n          *Network
	versions   map[string]int
	used       map[string]bool // versions that the toll table names
	facilities map[string]int
	// daysUnknown says that the network's settings do not tell which days'
	// holidays are known, by a mistake that is in the problems.
	daysUnknown bool
}

// Load reads the network in files. label names it in errors. The error is a
// *BadNetworkError that holds every mistake found.
func Load(label string, files fs.FS) (*Network, error) {
	l := &loader{files: files, n: &Network{plans: map[pair][]plan{}}}
	l.readSettings()
	l.readHolidays()
	l.readClasses()
	l.readFacilities()
	l.readPoints()
	l.readVersions()
	l.readTolls()
	if l.bad.count() > 0 {
		return nil, &BadNetworkError{Network: label, Problems: l.bad.list, More: l.bad.more}
	}
	return l.n, nil
}

var currencyShape = regexp.MustCompile(`^[A-Z]{3}$`)

func (l *loader) readSettings() {
	s := readSheet(l.files, networkFile, []string{"key", "value"}, &l.bad)
	if s == nil {
		l.daysUnknown = true
		return
	}
	type entry struct {
		value string
		line  int
	}
	given := map[string]entry{}
	for _, row := range s.rows {
		key := row.cells[0]
		if before, twice := given[key]; twice {
			l.bad.add(s.file, row.line, "key %q is already on line %d; remove one", key, before.line)
			continue
		}
		given[key] = entry{row.cells[1], row.line}
	}
	take := func(key string, needed bool) (string, int) {
		e, ok := given[key]
		if needed && e.value == "" {
			l.bad.add(s.file, e.line, "key %q needs a value; add it", key)
		}
		if ok {
			delete(given, key)
		}
		return e.value, e.line
	}
	whole := func(key string, least, most int64) int64 {
		value, line := take(key, true)
		if value == "" {
			return 0
		}
		v, err := parseWhole(value, least, most)
		if err != nil {
			l.bad.add(s.file, line, "%s: %v", key, err)
		}
		return v
	}
	set := &l.n.settings
	set.name, _ = take("name", true)
	set.title, _ = take("title", true)
	set.attribution, _ = take("attribution", false)
	set.notes, _ = take("notes", false)
	var line int
	if set.currency, line = take("currency", true); set.currency != "" && !currencyShape.MatchString(set.currency) {
		l.bad.add(s.file, line, "currency: %q is not a currency code; write three capitals like HKD", set.currency)
	}
	set.gapSeconds = whole("gap_seconds", 1, 3600)
	set.turnRoundSeconds = whole("turn_round_seconds", 0, 3600)
	set.lanes = int(whole("lanes", 1, 64))
	if zone, line := take("zone", true); zone != "" {
		location, err := time.LoadLocation(zone)
		if err != nil || zone == "Local" {
			l.bad.add(s.file, line, "zone: %q is not an IANA time zone; write it like Asia/Hong_Kong", zone)
		}
		set.zone = location
	}
	l.n.settings.earliestMicros = usualEarliest
	if value, line := take("earliest_read", false); value != "" {
		at, err := ParseInstant(value)
		if err != nil {
			l.bad.add(s.file, line, "earliest_read: %v", err)
		}
		set.earliestMicros = at.UnixMicro()
	}
	l.readKnownDays(take)
	left := make([]string, 0, len(given))
	for key := range given {
		left = append(left, key)
	}
	sort.Slice(left, func(i, j int) bool { return given[left[i]].line < given[left[j]].line })
	for _, key := range left {
		l.bad.add(s.file, given[key].line, "key %q is not known; the keys are name, title, zone, currency, gap_seconds, turn_round_seconds, lanes, earliest_read, holidays_from, holidays_until, attribution, notes", key)
	}
}

// readKnownDays reads between which days the general holidays are known.
func (l *loader) readKnownDays(take func(key string, needed bool) (string, int)) {
	set := &l.n.settings
	var fromLine, untilLine int
	set.holidaysFrom, fromLine = take("holidays_from", false)
	set.holidaysUntil, untilLine = take("holidays_until", false)
	if set.holidaysFrom == "" && set.holidaysUntil == "" {
		return
	}
	l.daysUnknown = true
	first, err := parseDate(set.holidaysFrom)
	if err != nil {
		l.bad.add(networkFile, fromLine, "holidays_from: %v", err)
		return
	}
	last, err := parseDate(set.holidaysUntil)
	if err != nil {
		l.bad.add(networkFile, untilLine, "holidays_until: %v", err)
		return
	}
	const most = 200 * 366
	if last < first || last-first > most {
		l.bad.add(networkFile, untilLine, "holidays_until: %s is not between holidays_from, %s, and 200 years later", set.holidaysUntil, set.holidaysFrom)
		return
	}
	l.daysUnknown = false
	l.n.calendar = newCalendar(first, last, nil)
}

func (l *loader) readHolidays() {
	s := readSheet(l.files, holidaysFile, []string{"date", "name", "source"}, &l.bad)
	if s == nil {
		return
	}
	lines := map[int64]int{}
	holidays := map[int64]bool{}
	c := l.n.calendar
	for _, row := range s.rows {
		date, name, source := row.cells[0], row.cells[1], row.cells[2]
		day, err := parseDate(date)
		switch {
		case err != nil:
			l.bad.add(s.file, row.line, "%v", err)
		case lines[day] != 0:
			l.bad.add(s.file, row.line, "%s is already on line %d; remove one", date, lines[day])
		case c.needed && (day < c.first || day > c.last):
			l.bad.add(s.file, row.line, "%s is outside the known days, %s to %s; remove it, or move holidays_from or holidays_until in %s once the whole year is here", date, l.n.settings.holidaysFrom, l.n.settings.holidaysUntil, networkFile)
		case name == "" || source == "":
			l.bad.add(s.file, row.line, "%s needs a name and a source", date)
		}
		if err == nil {
			lines[day] = row.line
			holidays[day] = true
			l.n.holidays = append(l.n.holidays, Holiday{Date: date, Name: name, Source: source})
		}
	}
	sort.Slice(l.n.holidays, func(i, j int) bool { return l.n.holidays[i].Date < l.n.holidays[j].Date })
	if !c.needed {
		if !l.daysUnknown && len(holidays) > 0 {
			l.bad.add(s.file, s.rows[0].line, "there are holidays, but holidays_from and holidays_until in %s do not say which days are known; set them", networkFile)
		}
		return
	}
	l.n.calendar = newCalendar(c.first, c.last, holidays)
	// A year that is said to be known but has no holiday was forgotten.
	for year := yearOf(c.first); year <= yearOf(c.last); year++ {
		any := false
		for day := range holidays {
			any = any || yearOf(day) == year
		}
		if !any {
			l.bad.add(s.file, 0, "has no holiday in %d, a year that %s says is known; add them, or move holidays_from or holidays_until", year, networkFile)
		}
	}
}

func yearOf(day int64) int { return time.Unix(day*86400, 0).UTC().Year() }

func (l *loader) readClasses() {
	s := readSheet(l.files, classesFile, []string{"class", "name_en", "name_zh"}, &l.bad)
	if s == nil {
		return
	}
	l.n.classIndex = map[string]int{}
	for _, row := range s.rows {
		name := row.cells[0]
		if !l.newName(s, row, name, has(l.n.classIndex, name)) {
			continue
		}
		l.n.classIndex[name] = len(l.n.classes)
		l.n.classes = append(l.n.classes, class{name, Label{row.cells[1], row.cells[2]}})
	}
	if len(s.rows) == 0 {
		l.bad.add(s.file, 0, "has no class; add one row a vehicle class")
	}
}

func (l *loader) readFacilities() {
	s := readSheet(l.files, facilitiesFile, []string{"facility", "name_en", "name_zh", "lat", "lon"}, &l.bad)
	if s == nil {
		return
	}
	l.facilities = map[string]int{}
	for _, row := range s.rows {
		code := row.cells[0]
		if !l.newName(s, row, code, has(l.facilities, code)) {
			continue
		}
		f := Facility{Code: code, Names: Label{row.cells[1], row.cells[2]}}
		if row.cells[3] != "" || row.cells[4] != "" {
			lat, ok := degrees(row.cells[3], 90)
			lon, ok2 := degrees(row.cells[4], 180)
			if !ok || !ok2 {
				l.bad.add(s.file, row.line, "lat %q, lon %q are not degrees; write both like 22.29191,114.18198, or leave both empty", row.cells[3], row.cells[4])
			}
			f.Located, f.Lat, f.Lon = true, lat, lon
		}
		l.facilities[code] = len(l.n.facilities)
		l.n.facilities = append(l.n.facilities, f)
	}
	if len(s.rows) == 0 {
		l.bad.add(s.file, 0, "has no facility; add one row a tunnel, road or gantry")
	}
}

var degreesShape = regexp.MustCompile(`^-?[0-9]{1,3}(\.[0-9]{1,12})?$`)

func degrees(s string, most float64) (float64, bool) {
	if !degreesShape.MatchString(s) {
		return 0, false
	}
	d, err := strconv.ParseFloat(s, 64)
	return d, err == nil && d >= -most && d <= most
}

func (l *loader) readPoints() {
	s := readSheet(l.files, pointsFile, []string{"toll_point", "facility", "direction", "name_en", "name_zh"}, &l.bad)
	if s == nil {
		return
	}
	n := l.n
	n.pointIndex = map[string]int{}
	for _, row := range s.rows {
		name, facility, direction := row.cells[0], row.cells[1], row.cells[2]
		if !l.newName(s, row, name, has(n.pointIndex, name)) {
			continue
		}
		if has(l.facilities, name) {
			l.bad.add(s.file, row.line, "%s is a facility too, and a toll row could mean either; give the toll point another name, like %s-%s", name, name, direction)
		}
		if l.facilities != nil && !has(l.facilities, facility) {
			l.bad.add(s.file, row.line, "toll point %s is at facility %q, which %s does not have; add it there or mend the code", name, facility, facilitiesFile)
		}
		if err := checkToken(direction); err != nil {
			l.bad.add(s.file, row.line, "direction: %v", err)
		}
		n.pointIndex[name] = len(n.points)
		n.points = append(n.points, point{tolling.TollPoint{Name: name, Facility: facility, Direction: direction}, Label{row.cells[3], row.cells[4]}})
	}
	if len(s.rows) == 0 {
		l.bad.add(s.file, 0, "has no toll point; add one row a direction of a facility")
	}
	sort.Slice(n.points, func(i, j int) bool { return n.points[i].Name < n.points[j].Name })
	if len(n.points)*n.settings.lanes > maxUnits {
		l.bad.add(s.file, 0, "toll points times lanes are more than %d units; split the network", maxUnits)
		return
	}
	n.units = make(map[string]int, len(n.points)*n.settings.lanes)
	for i, p := range n.points {
		n.pointIndex[p.Name] = i
		for lane := 1; lane <= n.settings.lanes; lane++ {
			n.units[unitName(p.Name, lane)] = i
		}
	}
}

func (l *loader) readVersions() {
	s := readSheet(l.files, versionsFile, []string{"version", "begins", "source"}, &l.bad)
	if s == nil {
		return
	}
	l.versions = map[string]int{}
	for _, row := range s.rows {
		name, source := row.cells[0], row.cells[2]
		if !l.newName(s, row, name, has(l.versions, name)) {
			continue
		}
		l.versions[name] = len(l.n.versions)
		begins, err := ParseInstant(row.cells[1])
		switch {
		case err != nil:
			l.bad.add(s.file, row.line, "version %s begins: %v", name, err)
		case begins.Second() != 0 || begins.Nanosecond() != 0:
			l.bad.add(s.file, row.line, "version %s begins within a minute, and a toll is that of a whole minute; begin it at :00", name)
		case len(l.n.versions) > 0 && !begins.After(l.n.versions[len(l.n.versions)-1].Begins):
			l.bad.add(s.file, row.line, "version %s does not begin after the version above it; order the rows by begins, and give no two the same instant", name)
		}
		if source == "" {
			l.bad.add(s.file, row.line, "version %s needs a source: who published its tolls, and when", name)
		}
		if l.n.settings.zone != nil {
			begins = begins.In(l.n.settings.zone)
		}
		l.n.versions = append(l.n.versions, Version{Name: name, Begins: begins, Source: source})
	}
	if len(s.rows) == 0 {
		l.bad.add(s.file, 0, "has no version; add one row an edition of the tolls")
	}
}

// newName checks a row's first cell: well formed and not yet taken.
func (l *loader) newName(s *sheet, row sheetRow, name string, taken bool) bool {
	if err := checkToken(name); err != nil {
		l.bad.add(s.file, row.line, "%v", err)
		return false
	}
	if taken {
		l.bad.add(s.file, row.line, "%s is already on a line above; remove one", name)
		return false
	}
	return true
}

func has(index map[string]int, name string) bool {
	_, ok := index[name]
	return ok
}
