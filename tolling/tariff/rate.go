package tariff

import (
	"time"
)

const minutesPerDay = 24 * 60

// The kinds of day that a toll can tell apart; a general holiday on any
// weekday is of the last kind.
const (
	weekday = iota
	saturday
	sundayOrHoliday
	dayKinds
)

// dayTypes are the names that a toll row may give to sets of day kinds.
var dayTypes = [...]struct {
	name string
	has  [dayKinds]bool
}{
	{"all", [dayKinds]bool{true, true, true}},
	{"mon_sat", [dayKinds]bool{true, true, false}},
	{"mon_fri", [dayKinds]bool{true, false, false}},
	{"sat", [dayKinds]bool{false, true, false}},
	{"sat_sun_gh", [dayKinds]bool{false, true, true}},
	{"sun_gh", [dayKinds]bool{false, false, true}},
}

// plan is the tolls of one place and class from an instant on. Its days are
// all nil where they differ between a facility's toll points.
type plan struct {
	begins int64 // seconds since the Unix epoch
	days   [dayKinds]*day
}

// day is the tolls of one kind of day: for each minute the slot's place.
type day struct {
	slots    []slot
	ofMinute *[minutesPerDay]uint16
}

// slot is a stretch of minutes with one toll.
type slot struct {
	from, until int // minutes; until is exclusive
	toll        Toll
	// typed says that the toll depends on the day's kind.
	typed bool
}

// calendar tells the kinds of days. Days are counted from 1970-01-01, local.
type calendar struct {
	needed      bool
	first, last int64
	kinds       []uint8
}

// Rate returns the toll of a vehicle class at a place at an instant; the
// place is a toll point's name, or a facility's code if its toll points do not
// differ; the instant is cut to the minute in the network's zone here. Errors:
// *UnknownError for a place or class that the network does not have,
// *NoTariffError where it has no toll for them at the instant, or one that
// differs between the facility's toll points, which it then names.
func (n *Network) Rate(place, class string, at time.Time) (Toll, error) {
	plans, ok := n.plans[pair{place, class}]
	if !ok {
		return Toll{}, n.unknown(place, class)
	}
	today, minute := localMinute(at, n.settings.zone)
	if n.calendar.needed && today > n.calendar.last {
		return Toll{}, n.noTariff(place, class, at, "general holidays are known only until "+n.settings.holidaysUntil+"; extend holidays.csv and holidays_until")
	}
	seconds := at.Unix()
	i := len(plans) - 1
	for i >= 0 && plans[i].begins > seconds {
		i--
	}
	if i < 0 {
		reason := "the network has no toll for them at any time"
		if len(plans) > 0 {
			reason = "the first toll for them begins " + time.Unix(plans[0].begins, 0).In(n.settings.zone).Format(time.RFC3339)
		}
		return Toll{}, n.noTariff(place, class, at, reason)
	}
	kind, known := weekday, true
	if n.calendar.needed {
		if known = today >= n.calendar.first; known {
			kind = int(n.calendar.kinds[today-n.calendar.first])
		}
	}
	d := plans[i].days[kind]
	if d == nil {
		return Toll{}, n.noTariff(place, class, at, "its toll points differ; ask for one of "+someOf(n.pointsOf(place)))
	}
	s := &d.slots[d.ofMinute[minute]]
	if s.typed && !known {
		return Toll{}, n.noTariff(place, class, at, "its toll depends on general holidays, which are known only from "+n.settings.holidaysFrom)
	}
	return s.toll, nil
}

func (n *Network) noTariff(place, class string, at time.Time, reason string) error {
	return &NoTariffError{Place: place, Class: class, At: at.In(n.settings.zone), Reason: reason}
}

func (n *Network) unknown(place, class string) error {
	codes := make([]string, len(n.facilities))
	_, found := n.pointIndex[place]
	for i, f := range n.facilities {
		codes[i] = f.Code
		found = found || f.Code == place
	}
	if !found {
		return &UnknownError{Kind: "facility", Name: place, Network: n.Name(), Known: codes}
	}
	return &UnknownError{Kind: "class", Name: class, Network: n.Name(), Known: n.Classes()}
}

// pointsOf returns the names of a facility's toll points, sorted.
func (n *Network) pointsOf(facility string) []string {
	var names []string
	for _, p := range n.points {
		if p.Facility == facility {
			names = append(names, p.Name)
		}
	}
	return names
}

// localMinute returns the local day, counted from 1970-01-01, and the minute
// of that day.
func localMinute(at time.Time, zone *time.Location) (day int64, minute int) {
	_, offset := at.In(zone).Zone()
	seconds := at.Unix() + int64(offset)
	day = seconds / 86400
	if seconds%86400 < 0 {
		day--
	}
	return day, int(seconds-day*86400) / 60
}

// newCalendar lays out the kinds of the days from first to last (days since
// 1970-01-01), given which of them are general holidays.
func newCalendar(first, last int64, holidays map[int64]bool) calendar {
	c := calendar{needed: true, first: first, last: last, kinds: make([]uint8, last-first+1)}
	for i := range c.kinds {
		d := first + int64(i)
		switch w := (d%7 + 7 + 4) % 7; { // 1970-01-01 was a Thursday; 0 is Sunday
		case w == 0 || holidays[d]:
			c.kinds[i] = sundayOrHoliday
		case w == 6:
			c.kinds[i] = saturday
		default:
			c.kinds[i] = weekday
		}
	}
	return c
}
