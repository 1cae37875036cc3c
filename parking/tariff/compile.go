package tariff

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// slot is a stretch of a local day in which one band holds.
type slot struct {
	from, to int64 // seconds of the local day, to exclusive
	band     int16 // place in class.bands; -1 where no band holds
	// tail says that the band's stretch began on the day before.
	tail bool
}

// dayTable is the slots of a kind of day, covering it without a gap.
type dayTable []slot

// dayKind tells what may make a day's bands differ from those of the same
// weekday: bits of which of the day before, the day and the day after is a
// public holiday.
const (
	holidayBefore = 1 << iota
	holidayToday
	holidayAfter
	dayKinds = 1 << iota
)

// tier is a price within a band, the last one without a threshold.
type tier struct {
	until int64 // counted seconds at which the tier ends; -1 for the last
	price int64
	rule  string
	text  string
}

// band is a Band made ready.
type band struct {
	id       string
	unit     int64 // seconds
	step     int64 // seconds, 0 where units are whole
	perEntry bool
	entryBit int // which bit of state.entries says that it was charged
	tiers    []tier
	caps     []int // places in class.caps, inner first
}

// window is a Cap made ready, for one band where it is per occurrence.
type window struct {
	id     string
	amount int64
	per    string
	reset  int64 // seconds of the day
	text   string
	// order is the cap's place among all, inner first.
	order int
}

// class is the rules of one vehicle class, ready to rate.
type class struct {
	name    string
	version *version
	rules   *Rules
	options *Options
	zone    *time.Location
	bands   []band
	caps    []window
	// days are the tables by weekday, Sunday first, and kind; depends tells
	// which holidays they differ by.
	days    [7][dayKinds]dayTable
	depends [7]uint8
	events  map[int64]*[dayKinds]dayTable
	// counters is the number of threshold counters: one, one a band, or none.
	counters int
	// unloading is the class that prices unloading, with one band at all times.
	unloading *class
}

func compile(t *Tariff) (*version, error) {
	named := strings.TrimSpace(t.ID + " " + t.Version)
	if list := validate(t); len(list) > 0 {
		return nil, &BadTariffError{named, list}
	}
	hash, err := t.Hash()
	if err != nil {
		return nil, err
	}
	zone, err := loadZone(t.Zone)
	if err != nil {
		return nil, fmt.Errorf("zone %q: %w", t.Zone, err)
	}
	v := &version{tariff: t, hash: hash, begins: t.EffectiveFrom.Unix(), zone: zone, classes: map[string]*class{}}
	var p problems
	for name, rules := range t.Classes {
		v.classes[name] = v.compileClass(name, rules, &p)
	}
	if len(p.list) > 0 {
		slices.SortFunc(p.list, func(a, b Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
		return nil, &BadTariffError{named, p.list}
	}
	return v, nil
}

func (v *version) compileClass(name string, r *Rules, p *problems) *class {
	c := &class{name: name, version: v, rules: r, options: &v.tariff.Options, zone: v.zone}
	if r.PassMode != "" {
		own := v.tariff.Options
		own.Passes = r.PassMode
		c.options = &own
	}
	for i := range r.Bands {
		c.addBand(&r.Bands[i])
	}
	c.setCaps(r)
	c.layOut(v.tariff.Events, p)
	if len(r.Unloadings) == 1 {
		u := r.Unloadings[0]
		rules := *r
		rules.Caps, rules.Passes, rules.Monthly, rules.Unloadings, rules.Overnight = nil, nil, nil, nil, nil
		rules.Bands = []Band{{ID: u.ID, When: When{Days: dayNames[:7], To: minutesPerDay}, UnitMinutes: u.UnitMinutes, Price: u.Price, Thresholds: u.Thresholds}}
		c.unloading = v.compileClass(name, &rules, p)
		for i := range c.unloading.bands[0].tiers {
			tier := &c.unloading.bands[0].tiers[i]
			tier.rule = "unloadings" + strings.TrimPrefix(tier.rule, "bands")
		}
	}
	return c
}

func (c *class) addBand(b *Band) {
	out := band{id: b.ID, unit: int64(b.UnitMinutes) * 60, step: int64(b.StepMinutes) * 60, perEntry: b.PerEntry}
	if b.PerEntry {
		for i := range c.bands {
			if c.bands[i].perEntry {
				out.entryBit++
			}
		}
	}
	hours := b.From.String() + "-" + b.To.String()
	for _, th := range b.Thresholds {
		out.tiers = append(out.tiers, tier{int64(th.UntilMinutes) * 60, int64(th.Price), fmt.Sprintf("bands/%s/first-%d-min", b.ID, th.UntilMinutes),
			fmt.Sprintf("%s, %s, first %d min", unitText(b), hours, th.UntilMinutes)})
	}
	out.tiers = append(out.tiers, tier{-1, int64(b.Price), "bands/" + b.ID, unitText(b) + ", " + hours})
	c.bands = append(c.bands, out)
	switch {
	case len(b.Thresholds) == 0:
	case c.options.ThresholdCounts == "stay":
		c.counters = 1
	default:
		c.counters = maxRules // cut to the number of bands in setCaps
	}
}

func unitText(b *Band) string {
	unit := fmt.Sprintf("%d min", b.UnitMinutes)
	switch {
	case b.PerEntry:
		return "Parking per entry"
	case b.UnitMinutes == 60:
		unit = "hour"
	case b.UnitMinutes == 30:
		unit = "half-hour"
	}
	if b.StepMinutes > 0 {
		return fmt.Sprintf("Parking pro rata, per %s in steps of %d min", unit, b.StepMinutes)
	}
	return "Parking per " + unit
}

// capRank orders windows, the shorter first.
var capRank = map[string]int{"occurrence": 0, "reset_time": 1, "calendar_day": 2, "24h_from_entry": 3, "stay": 4}

// setCaps orders the caps, inner first and then by id, so that their order in
// the file does not matter, and gives each band those that hold for it.
func (c *class) setCaps(r *Rules) {
	c.counters = min(c.counters, len(c.bands))
	caps := slices.Clone(r.Caps)
	rank := func(x *Cap) int {
		n := capRank[x.Per]
		if len(x.Bands) == 0 && x.Per != "occurrence" {
			n += 10
		}
		return n
	}
	sort.Slice(caps, func(i, j int) bool {
		a, b := &caps[i], &caps[j]
		if rank(a) != rank(b) {
			return rank(a) < rank(b)
		}
		return a.ID < b.ID
	})
	for i := range caps {
		x := &caps[i]
		w := window{id: x.ID, amount: int64(x.Amount), per: x.Per, text: capText(x), order: i}
		if x.ResetTime != nil {
			w.reset = int64(*x.ResetTime) * 60
		}
		shared := -1
		for j := range c.bands {
			if len(x.Bands) > 0 && !slices.Contains(x.Bands, c.bands[j].id) {
				continue
			}
			if shared < 0 || x.Per == "occurrence" {
				// Stretches of different bands are different windows.
				shared = len(c.caps)
				c.caps = append(c.caps, w)
			}
			c.bands[j].caps = append(c.bands[j].caps, shared)
		}
	}
}

func capText(x *Cap) string {
	what := map[string]string{"occurrence": "period of the band", "calendar_day": "calendar day", "24h_from_entry": "24 h from entry", "stay": "stay"}[x.Per]
	if x.ResetTime != nil {
		what = "day from " + x.ResetTime.String()
	}
	return fmt.Sprintf("At most %s per %s", x.Amount, what)
}

// layOut makes the tables of all kinds of days, and of the days of events.
func (c *class) layOut(events []Event, p *problems) {
	dates := map[int64][]string{}
	for _, e := range events {
		for _, d := range e.Dates {
			dates[d.number()] = append(dates[d.number()], e.ID)
		}
	}
	for weekday := range 7 {
		for kind := range dayKinds {
			c.days[weekday][kind] = c.layDay(weekday, kind, nil, nil, p)
		}
		for kind := range dayKinds {
			for bit := 1; bit < dayKinds; bit <<= 1 {
				if !slices.Equal(c.days[weekday][kind], c.days[weekday][kind^bit]) {
					c.depends[weekday] |= uint8(bit)
				}
			}
		}
	}
	c.events = map[int64]*[dayKinds]dayTable{}
	for date := range dates {
		for _, day := range []int64{date, date + 1} {
			if c.events[day] != nil {
				continue
			}
			var tables [dayKinds]dayTable
			for kind := range dayKinds {
				tables[kind] = c.layDay(weekdayOf(day), kind, dates[day], dates[day-1], p)
			}
			c.events[day] = &tables
		}
	}
}

// weekdayOf gives the weekday of a day counted from 1970-01-01, a Thursday;
// Sunday is 0.
func weekdayOf(day int64) int { return int((day%7 + 7 + 4) % 7) }

// rank tells how closely a rule names a day: 0 not at all, then weekday,
// PH_EVE, PH.
func rank(days []Day, exclude bool, weekday int, holiday, eve bool) int {
	// dayNames begins on Monday.
	today := dayNames[(weekday+6)%7]
	best := 0
	for _, d := range days {
		switch {
		case d == PH && holiday:
			return 3
		case d == PHEve && eve && !(exclude && holiday):
			best = 2
		case d == today && !(exclude && holiday):
			best = max(best, 1)
		}
	}
	return best
}

// bandRank is rank with events, which come above all.
func bandRank(b *Band, weekday int, holiday, eve bool, events []string) int {
	if b.Event == "" {
		return rank(b.Days, b.ExcludePublicHoliday, weekday, holiday, eve)
	}
	if slices.Contains(events, b.Event) && (len(b.Days) == 0 || rank(b.Days, b.ExcludePublicHoliday, weekday, holiday, eve) > 0) {
		return 4
	}
	return 0
}

// layDay makes one day's table. Bands of equal standing that meet are a
// problem.
func (c *class) layDay(weekday, kind int, today, yesterday []string, p *problems) dayTable {
	before, holiday, after := kind&holidayBefore != 0, kind&holidayToday != 0, kind&holidayAfter != 0
	type claim struct {
		from, to, band, priority, rank int
		tail                           bool
	}
	var claims []claim
	edges := []int{0, minutesPerDay}
	add := func(x claim) {
		if x.rank > 0 && x.from < x.to {
			claims = append(claims, x)
			edges = append(edges, x.from, x.to)
		}
	}
	for i := range c.rules.Bands {
		b := &c.rules.Bands[i]
		from, to := int(b.From), int(b.To)
		now := bandRank(b, weekday, holiday, after, today)
		if from < to {
			add(claim{from, to, i, b.Priority, now, false})
			continue
		}
		add(claim{from, minutesPerDay, i, b.Priority, now, false})
		tail := now
		if c.options.Midnight == "start_day" {
			tail = bandRank(b, (weekday+6)%7, before, holiday, yesterday)
		}
		add(claim{0, to, i, b.Priority, tail, true})
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	var table dayTable
	for i := range len(edges) - 1 {
		s := slot{from: int64(edges[i]) * 60, to: int64(edges[i+1]) * 60, band: -1}
		var best claim
		for _, x := range claims {
			if x.from > edges[i] || x.to < edges[i+1] {
				continue
			}
			switch {
			case s.band < 0 || x.priority > best.priority || x.priority == best.priority && x.rank > best.rank:
				best, s.band, s.tail = x, int16(x.band), x.tail
			case x.priority == best.priority && x.rank == best.rank && x.band != best.band:
				p.add(fmt.Sprintf("/classes/%s/bands/%d", c.name, max(x.band, best.band)), "bands %s and %s both price %s on %s; give one of them a higher priority, or other days",
					c.bands[min(x.band, best.band)].id, c.bands[max(x.band, best.band)].id, TimeOfDay(edges[i]), dayText(weekday, holiday, after))
			}
		}
		if n := len(table); n > 0 && table[n-1].band == s.band && table[n-1].tail == s.tail {
			table[n-1].to = s.to
			continue
		}
		table = append(table, s)
	}
	return table
}

func dayText(weekday int, holiday, eve bool) string {
	text := string(dayNames[(weekday+6)%7])
	if holiday {
		text += " that is a public holiday"
	}
	if eve {
		text += " before a public holiday"
	}
	return text
}
