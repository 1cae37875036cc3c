package statement

import (
	"fmt"
	"time"

	"freeflow/billing"
)

// Month is a month of the calendar: twelve times the year, plus the month
// counted from 0.
type Month int64

// MonthOf returns the month of an instant in a zone.
func MonthOf(at time.Time, zone *time.Location) Month {
	y, m, _ := at.In(zone).Date()
	return Month(int64(y)*12 + int64(m) - 1)
}

// ParseMonth reads a month such as 2026-11, of the years 2000 to 2199.
func ParseMonth(text string) (Month, error) {
	at, err := time.Parse("2006-01", text)
	if err != nil || at.Year() < 2000 || at.Year() > 2199 {
		return 0, fmt.Errorf("%w: %q is no month; write it as 2026-11", billing.ErrInvalid, text)
	}
	return MonthOf(at, time.UTC), nil
}

// String is the month as 2026-11.
func (m Month) String() string { return fmt.Sprintf("%04d-%02d", int64(m)/12, int64(m)%12+1) }

// Bounds returns the month's beginning and end in a zone: [from, to).
func (m Month) Bounds(zone *time.Location) (from, to time.Time) {
	y, n := int(int64(m)/12), time.Month(int64(m)%12+1)
	return time.Date(y, n, 1, 0, 0, 0, 0, zone), time.Date(y, n+1, 1, 0, 0, 0, 0, zone)
}

// DayAt returns the day of a number in a zone.
func DayAt(number int64, zone *time.Location) Day {
	y, m, d := time.Unix(number*86400, 0).UTC().Date()
	return Day{number, time.Date(y, m, d, 0, 0, 0, 0, zone), time.Date(y, m, d+1, 0, 0, 0, 0, zone)}
}

// DayOf returns the day of an instant in a zone.
func DayOf(at time.Time, zone *time.Location) Day {
	y, m, d := at.In(zone).Date()
	return DayAt(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()/86400, zone)
}

// ParseDay reads a date such as 2026-11-25.
func ParseDay(text string, zone *time.Location) (Day, error) {
	at, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err != nil || at.Year() < 2000 || at.Year() > 2199 {
		return Day{}, fmt.Errorf("%w: %q is no day; write it as 2026-11-25", billing.ErrInvalid, text)
	}
	return DayOf(at, zone), nil
}

// String is the day as 2026-11-25.
func (d Day) String() string { return time.Unix(d.Number*86400, 0).UTC().Format(time.DateOnly) }

// MaxMonths is how long a range for an export may be.
const MaxMonths = 24

// Range reads the two dates of an export, the second one included, and checks
// them against the end of what is closed; without a second date it ends there.
func Range(from, to string, closed time.Time, zone *time.Location) (time.Time, time.Time, error) {
	first, err := ParseDay(from, zone)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	end := closed
	if to != "" {
		last, err := ParseDay(to, zone)
		if err != nil {
			return time.Time{}, time.Time{}, err
		}
		end = last.To
	}
	switch {
	case closed.IsZero():
		return time.Time{}, time.Time{}, fmt.Errorf("%w: no day is closed yet", billing.ErrConflict)
	case end.After(closed):
		return time.Time{}, time.Time{}, fmt.Errorf("%w: days are closed an hour after their end; the last one that is closed is %s", billing.ErrConflict,
			closed.In(zone).AddDate(0, 0, -1).Format(time.DateOnly))
	case !first.From.Before(end):
		return time.Time{}, time.Time{}, fmt.Errorf("%w: the range is empty", billing.ErrInvalid)
	case first.From.AddDate(0, MaxMonths, 0).Before(end):
		return time.Time{}, time.Time{}, fmt.Errorf("%w: a range is at most %d months", billing.ErrInvalid, MaxMonths)
	}
	return first.From, end, nil
}
