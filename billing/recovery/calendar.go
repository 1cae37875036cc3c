package recovery

import (
	"errors"
	"fmt"
	"time"
)

// Day is a calendar day in the network's zone, counted from 1 January 1970.
type Day int64

// DayOf returns the day of an instant in a zone.
func DayOf(at time.Time, zone *time.Location) Day {
	y, m, d := at.In(zone).Date()
	return Day(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// Date returns the day's beginning in a zone.
func (d Day) Date(zone *time.Location) time.Time {
	y, m, day := time.Unix(int64(d)*86400, 0).UTC().Date()
	return time.Date(y, m, day, 0, 0, 0, 0, zone)
}

// String is the day as 2026-11-25.
func (d Day) String() string { return d.Date(time.UTC).Format(time.DateOnly) }

// ErrCalendar marks what cannot be decided since the calendar does not reach so
// far.
var ErrCalendar = errors.New("the calendar of general holidays ends before the deadline")

// Holidays tells the general holidays.
type Holidays interface {
	// Holiday reports whether the date (its year, month and day count) is a
	// general holiday. An error means that the calendar does not reach so far.
	Holiday(date time.Time) (bool, error)
}

// Calendar counts days. A business day is Monday to Friday and no general
// holiday: of the definitions tried, the only one that gives the last days that
// the Hong Kong government published (a pass on 21 May 2023 is to be paid by
// 9 June 2023; one on 7 May 2023 by 25 May).
type Calendar struct{ Holidays Holidays }

// maxDays bounds a count, against calendars without business days.
const maxDays = 3660

// business reports whether a day is a business day.
func (c Calendar) business(d Day) (bool, error) {
	date := d.Date(time.UTC)
	if wd := date.Weekday(); wd == time.Saturday || wd == time.Sunday {
		return false, nil
	}
	holiday, err := c.Holidays.Holiday(date)
	if err != nil {
		return false, errors.Join(fmt.Errorf("business days: %w", err), ErrCalendar)
	}
	return !holiday, nil
}

// BusinessDays returns the nth business day after a day, days that are paused
// left out.
func (c Calendar) BusinessDays(after Day, n int, paused Pauses) (Day, error) {
	return count(after, n, func(d Day) (bool, error) {
		if paused.cover(d) {
			return false, nil
		}
		return c.business(d)
	})
}

// CalendarDays returns the nth day after a day, days that are paused left out.
func (c Calendar) CalendarDays(after Day, n int, paused Pauses) (Day, error) {
	return count(after, n, func(d Day) (bool, error) { return !paused.cover(d), nil })
}

func count(after Day, n int, counts func(Day) (bool, error)) (Day, error) {
	d := after
	for range maxDays {
		if n <= 0 {
			return d, nil
		}
		d++
		ok, err := counts(d)
		if err != nil {
			return 0, err
		}
		if ok {
			n--
		}
	}
	return 0, fmt.Errorf("counting days from %s: the deadline is paused for more than ten years", after)
}

// Pause is a time whose days do not count: an outage of ours, or a dispute.
type Pause struct {
	ID string
	// Scope is the receivable; empty for everybody.
	Scope string
	// From is the first day that does not count; To the first that does again, 0
	// while it goes on.
	From, To   Day
	By, Reason string
	RecordedAt time.Time
}

// Pauses are pauses in no order.
type Pauses []Pause

func (p Pauses) cover(d Day) bool {
	for _, one := range p {
		if d >= one.From && (one.To == 0 || d < one.To) {
			return true
		}
	}
	return false
}

// going reports whether one of the pauses covers the day.
func (p Pauses) going(d Day) bool { return p.cover(d) }
