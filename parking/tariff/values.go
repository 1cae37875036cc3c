package tariff

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"freeflow/billing"
)

// Cents is an amount in hundredths of the tariff's currency. In JSON it is
// written as a string with two places ("20.00") and read from a string or a
// number with at most two, exactly.
type Cents int64

// MarshalText gives the amount with two places.
func (c Cents) MarshalText() ([]byte, error) { return []byte(billing.FormatCents(int64(c))), nil }

// UnmarshalJSON reads a JSON string or number with at most two places.
func (c *Cents) UnmarshalJSON(b []byte) error {
	v, err := billing.ParseCents(strings.Trim(string(b), `"`))
	if err != nil {
		return err
	}
	*c = Cents(v)
	return nil
}

func (c Cents) String() string { return billing.FormatCents(int64(c)) }

// TimeOfDay is a wall-clock minute, 0 to 1440; in JSON "HH:MM" up to "24:00".
type TimeOfDay int

const minutesPerDay = 24 * 60

// MarshalText gives "HH:MM".
func (t TimeOfDay) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

func (t TimeOfDay) String() string { return fmt.Sprintf("%02d:%02d", int(t)/60, int(t)%60) }

// UnmarshalText reads exactly "HH:MM", "00:00" to "24:00".
func (t *TimeOfDay) UnmarshalText(b []byte) error {
	if len(b) != 5 || b[2] != ':' {
		return fmt.Errorf("%.16q is not a time of day; write it like 07:30, with 24:00 for the end of the day", b)
	}
	v := 0
	for i, weight := range [5]int{600, 60, 0, 10, 1} {
		if i == 2 {
			continue
		}
		d := int(b[i]) - '0'
		if d < 0 || d > 9 {
			return fmt.Errorf("%.16q is not a time of day; write it like 07:30", b)
		}
		v += d * weight
	}
	if b[3] > '5' || v > minutesPerDay {
		return fmt.Errorf("%q is not a time of day; there are 00:00 to 24:00", b)
	}
	*t = TimeOfDay(v)
	return nil
}

// Day is a kind of day: MON to SUN, PH for a public holiday, PH_EVE for the
// day before one.
type Day string

// The kinds of day that a rule can name.
const (
	Monday    Day = "MON"
	Tuesday   Day = "TUE"
	Wednesday Day = "WED"
	Thursday  Day = "THU"
	Friday    Day = "FRI"
	Saturday  Day = "SAT"
	Sunday    Day = "SUN"
	PH        Day = "PH"
	PHEve     Day = "PH_EVE"
)

var dayNames = []Day{Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, PH, PHEve}

// bit is the place of a day in dayNames as a bit, 0 for an unknown name.
func (d Day) bit() uint16 {
	for i, name := range dayNames {
		if d == name {
			return 1 << i
		}
	}
	return 0
}

// Date is a calendar day; in JSON "2006-01-02".
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day) }

// MarshalText gives "2006-01-02".
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "2006-01-02", a day that exists.
func (d *Date) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.DateOnly, string(b))
	if err != nil {
		return fmt.Errorf("%.16q is not a date; write it like 2026-02-17", b)
	}
	d.Year, d.Month, d.Day = t.Date()
	return nil
}

// number counts days from 1970-01-01.
func (d Date) number() int64 {
	return dayOf(time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Unix())
}

// dateOf is the date of a day counted from 1970-01-01.
func dateOf(day int64) Date {
	y, m, d := time.Unix(day*secondsPerDay, 0).UTC().Date()
	return Date{y, m, d}
}

// Words is a text in up to three languages, named as the Transport Department
// names them.
type Words struct {
	English     string `json:"en_US,omitempty"`
	Traditional string `json:"zh_TW,omitempty"`
	Simplified  string `json:"zh_CN,omitempty"`
}

// The languages of Words.
const (
	English     = "en_US"
	Traditional = "zh_TW"
	Simplified  = "zh_CN"
)

// In gives the text in a language (en_US, zh_TW, zh_CN). Simplified falls back
// to Traditional as in the published interface; then English, then whatever
// there is.
func (w Words) In(language string) string {
	order := [3]string{w.English, w.Traditional, w.Simplified}
	switch language {
	case Traditional:
		order = [3]string{w.Traditional, w.Simplified, w.English}
	case Simplified:
		order = [3]string{w.Simplified, w.Traditional, w.English}
	}
	for _, text := range order {
		if text != "" {
			return text
		}
	}
	return ""
}

// Say makes Words of a text in one language; an unknown language is English.
func Say(language, text string) Words {
	switch language {
	case Traditional:
		return Words{Traditional: text}
	case Simplified:
		return Words{Simplified: text}
	}
	return Words{English: text}
}

// Calendar tells public holidays. Implementations are safe for concurrent use.
type Calendar interface {
	// Holiday tells whether a date is a public holiday, and whether that is
	// known: for a year whose holidays nobody has published it is not.
	Holiday(d Date) (holiday, known bool)
}

// Holidays is a Calendar made of a list; it knows the years of which it holds
// at least one day.
type Holidays struct {
	days  map[int64]bool
	years map[int]bool
}

// NewHolidays makes a Calendar of dates written 2006-01-02.
func NewHolidays(dates ...string) (*Holidays, error) {
	h := &Holidays{map[int64]bool{}, map[int]bool{}}
	for _, text := range dates {
		var d Date
		if err := d.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("reading holidays: %w", err)
		}
		h.days[d.number()], h.years[d.Year] = true, true
	}
	return h, nil
}

// Holiday tells whether d is in the list, and whether its year is.
func (h *Holidays) Holiday(d Date) (holiday, known bool) {
	return h.days[d.number()], h.years[d.Year]
}

const secondsPerDay = 24 * 60 * 60

// dayOf is the number of the day that the second lies in, also before 1970.
func dayOf(second int64) int64 {
	day := second / secondsPerDay
	if second%secondsPerDay < 0 {
		day--
	}
	return day
}

// divide gives a*b/c for amounts that are not negative, rounded as stated.
func divide(a, b, c int64, rounding string) int64 {
	n := a * b
	switch rounding {
	case "up":
		return (n + c - 1) / c
	case "down":
		return n / c
	default:
		return (2*n + c) / (2 * c)
	}
}

// loadZone loads an IANA zone; "" and "Local", which the standard library
// takes too, are no names of a place.
func loadZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, errors.New("not an IANA time zone; write it like Asia/Hong_Kong")
	}
	return zone, nil
}
