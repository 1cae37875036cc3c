package allocator

import (
	"math"
	"time"
)

// Forecast learns when vehicles come to one site and how long they stay: by the
// hour of the week in the site's zone, older weeks counting less. Sites differ:
// among four automated car parks of Hong Kong two fill in the morning and one at
// night (data.gov.hk, February 2026), so that no fixed peak may be assumed.
type Forecast struct {
	zone *time.Location
	// arrivals[h] is the decayed number of arrivals in hour h of the week, seen
	// over weeks[h], the decayed number of such hours.
	arrivals [hoursOfWeek]float64
	weeks    [hoursOfWeek]float64
	// Stays by the hour of the day of arrival: decayed count, sum of hours, and
	// the count that stayed at least n quarter hours.
	stays [24]stays
	// hour is the hour since 1970 that is being counted in current.
	hour    int64
	current float64
	started bool
	// seen and electric are the decayed numbers of arrivals and of electric ones.
	seen, electric float64
}

type stays struct {
	count, hours float64
	// atLeast[n] is how many stayed n quarters of an hour or longer.
	atLeast [quarters]float64
}

const (
	hoursOfWeek = 168
	// quarters is how far stays are told apart, and how far Outlook sees: 14 h.
	quarters = 56
	// fade is what a week's observation counts after another week.
	fade = 0.8
)

// NewForecast returns a forecast that has seen nothing, for a site in that zone.
func NewForecast(zone *time.Location) *Forecast { return &Forecast{zone: zone} }

func (f *Forecast) slot(at time.Time) (week, day int) {
	local := at.In(f.zone)
	return int(local.Weekday())*24 + local.Hour(), local.Hour()
}

// Advance tells that time has gone by: hours without arrivals are observations
// too. Time going backwards within the hour is nothing; after more than that,
// or a gap of over five weeks, the hour begins anew.
func (f *Forecast) Advance(to time.Time) {
	hour := to.Unix() / 3600
	if !f.started || hour < f.hour || hour-f.hour > 5*hoursOfWeek {
		f.hour, f.started, f.current = hour, true, 0
		return
	}
	for ; f.hour < hour; f.hour++ {
		h, _ := f.slot(time.Unix(f.hour*3600, 0))
		f.weeks[h] = f.weeks[h]*fade + 1
		f.arrivals[h] = f.arrivals[h]*fade + f.current
		f.current = 0
	}
}

// Arrived learns an arrival, refused ones included: they are demand.
func (f *Forecast) Arrived(at time.Time, ev bool) {
	f.Advance(at)
	f.current++
	const keep = 0.998
	f.seen, f.electric = f.seen*keep+1, f.electric*keep
	if ev {
		f.electric++
	}
}

// Electric is the share of arrivals that can charge, 0 to 1.
func (f *Forecast) Electric() float64 {
	if f.seen == 0 {
		return 0
	}
	return f.electric / f.seen
}

// Left learns how long a vehicle stayed.
func (f *Forecast) Left(arrived, left time.Time) {
	_, h := f.slot(arrived)
	s, stay := &f.stays[h], left.Sub(arrived)
	if stay < 0 {
		return
	}
	// A day's worth of stays of one hour of the day is enough to move it.
	const keep = 0.99
	s.count, s.hours = s.count*keep+1, s.hours*keep+min(stay.Hours(), 7*24)
	for n := range s.atLeast {
		s.atLeast[n] *= keep
		if stay >= time.Duration(n)*15*time.Minute {
			s.atLeast[n]++
		}
	}
}

// Rate is the expected number of arrivals an hour at that time: of that hour of
// the week, drawn towards the same hour of all days while few weeks were seen;
// 0 where nothing is known.
func (f *Forecast) Rate(at time.Time) float64 {
	h, day := f.slot(at)
	var sum, weeks float64
	for d := range 7 {
		sum += f.arrivals[d*24+day]
		weeks += f.weeks[d*24+day]
	}
	if weeks == 0 {
		return 0
	}
	const pull = 1
	return (f.arrivals[h] + pull*sum/weeks) / (f.weeks[h] + pull)
}

// Stay is the mean stay of those who arrive at that hour of the day; 0 if none
// is known. Stays over a week count as one.
func (f *Forecast) Stay(at time.Time) time.Duration {
	_, h := f.slot(at)
	s := &f.stays[h]
	if s.count < 1 {
		return 0
	}
	return time.Duration(s.hours / s.count * float64(time.Hour))
}

// survive is the share of those arriving at that hour of the day who stay at
// least n quarters.
func (f *Forecast) survive(day, n int) float64 {
	s := &f.stays[day]
	if s.count < 1 {
		return math.Exp(-float64(n) / 8) // nothing known: two hours
	}
	if n >= quarters {
		n = quarters - 1
	}
	return s.atLeast[n] / s.count
}
