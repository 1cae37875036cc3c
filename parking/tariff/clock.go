package tariff

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// span is a stretch of wall-clock seconds that is charged; before counts the
// charged seconds ahead of it.
type span struct{ from, to, before int64 }

// chargeClock maps charged seconds to instants and back. After its last span
// it runs on, for units that reach beyond the exit.
type chargeClock struct {
	spans []span
	total int64
	// entry is when the stay began, whether or not that was charged.
	entry int64
}

// newClock makes the clock of the visits (ordered, apart) without the pauses
// (in any order, overlaps allowed).
func newClock(visits, pauses []span) *chargeClock {
	k := &chargeClock{entry: visits[0].from, spans: make([]span, 0, len(visits)+len(pauses))}
	slices.SortFunc(pauses, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for _, v := range visits {
		at := v.from
		for _, p := range pauses {
			if p.to <= at || p.from >= v.to || p.from >= p.to {
				continue
			}
			k.add(at, p.from)
			at = p.to
		}
		k.add(at, v.to)
	}
	if len(k.spans) == 0 {
		k.spans = append(k.spans, span{k.entry, k.entry, 0})
	}
	return k
}

func (k *chargeClock) add(from, to int64) {
	if from < to {
		k.spans = append(k.spans, span{from, to, k.total})
		k.total += to - from
	}
}

// wall gives the instant at which charged second c begins.
func (k *chargeClock) wall(c int64) int64 {
	i := len(k.spans) - 1
	for i > 0 && k.spans[i].before > c {
		i--
	}
	return k.spans[i].from + c - k.spans[i].before
}

// wallEnd gives the instant at which charged second c-1 has ended.
func (k *chargeClock) wallEnd(c int64) int64 {
	if c <= 0 {
		return k.spans[0].from
	}
	return k.wall(c-1) + 1
}

// charged gives how many seconds are charged before an instant.
func (k *chargeClock) charged(wall int64) int64 {
	last := len(k.spans) - 1
	for i := range k.spans {
		s := &k.spans[i]
		if wall < s.from {
			return s.before
		}
		if wall < s.to || i == last {
			return s.before + wall - s.from
		}
	}
	return k.total
}

// place is where an instant lies in a class's week.
type place struct {
	wall  int64
	local int64 // seconds since 1970-01-01 by the wall clock
	day   int64 // local days since 1970-01-01
	band  int16 // -1 where no band holds
	// end is the instant at which the slot ends.
	end int64
	// began is the day on which the band's stretch began.
	began int64
}

// walker finds places; it keeps the last day's table and the zone's offset.
type walker struct {
	class    *class
	calendar Calendar
	// offset holds from zoneFrom to zoneTo.
	offset, zoneFrom, zoneTo int64
	day                      int64
	table                    dayTable
}

// local gives the wall-clock reading at an instant.
func (w *walker) local(wall int64) int64 {
	if wall < w.zoneFrom || wall >= w.zoneTo || w.zoneFrom == w.zoneTo {
		at := time.Unix(wall, 0).In(w.class.zone)
		_, offset := at.Zone()
		from, to := at.ZoneBounds()
		w.offset, w.zoneFrom, w.zoneTo = int64(offset), math.MinInt64, math.MaxInt64
		if !from.IsZero() {
			w.zoneFrom = from.Unix()
		}
		if !to.IsZero() {
			w.zoneTo = to.Unix()
		}
	}
	return wall + w.offset
}

// at finds the place of an instant. The error is a *NoHolidaysError.
func (w *walker) at(wall int64) (place, error) {
	local := w.local(wall)
	day := dayOf(local)
	if w.table == nil || w.day != day {
		table, err := w.tableOf(day)
		if err != nil {
			return place{}, err
		}
		w.day, w.table = day, table
	}
	second := local - day*secondsPerDay
	i := 0
	for w.table[i].to <= second {
		i++
	}
	s := &w.table[i]
	p := place{wall: wall, local: local, day: day, band: s.band, end: min(wall+s.to-second, w.zoneTo), began: day}
	if s.tail {
		p.began--
	}
	return p, nil
}

// tableOf gives the table of a day, asking the calendar only for what can
// change it.
func (w *walker) tableOf(day int64) (dayTable, error) {
	weekday := weekdayOf(day)
	asks := w.class.depends[weekday]
	event := w.class.events[day]
	if event != nil {
		asks = dayKinds - 1
	}
	kind := 0
	for i, neighbour := range [3]int64{day - 1, day, day + 1} {
		if asks&(1<<i) == 0 {
			continue
		}
		holiday, err := w.holiday(neighbour)
		if err != nil {
			return nil, err
		}
		if holiday {
			kind |= 1 << i
		}
	}
	if event != nil {
		return event[kind], nil
	}
	return w.class.days[weekday][kind], nil
}

func (w *walker) holiday(day int64) (bool, error) {
	date := dateOf(day)
	holiday, known := w.calendar.Holiday(date)
	if !known {
		return false, &NoHolidaysError{Year: date.Year}
	}
	return holiday, nil
}

// matches tells whether a rule's days hold on a day. It asks the calendar only
// if the answer depends on it.
func (w *walker) matches(days []Day, exclude bool, day int64) (bool, error) {
	weekday := weekdayOf(day)
	holds := func(holiday, eve bool) bool { return rank(days, exclude, weekday, holiday, eve) > 0 }
	var holiday, eve bool
	var err error
	if holds(false, false) != holds(true, false) || holds(false, true) != holds(true, true) {
		if holiday, err = w.holiday(day); err != nil {
			return false, err
		}
	}
	if holds(holiday, false) != holds(holiday, true) {
		if eve, err = w.holiday(day + 1); err != nil {
			return false, err
		}
	}
	return holds(holiday, eve), nil
}

// instant gives the moment at which the wall clock shows a minute of a local
// day; minutes beyond the day belong to the days after. Where a clock change
// skips or repeats it, it is what time.Date makes of it.
func (w *walker) instant(day int64, minute int) int64 {
	d := dateOf(day)
	return time.Date(d.Year, d.Month, d.Day, 0, minute, 0, 0, w.class.zone).Unix()
}
