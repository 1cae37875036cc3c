package month

import "time"

// schedule is the script's calendar: some weeks in which only those drive who
// will climb the ladder of unpaid tolls, the month, and some days in which
// nobody drives and what is under way comes to its end.
type schedule struct {
	zone *time.Location
	// first is midnight of the month's first day; days are its length.
	first                 time.Time
	days, before, settles int
}

// The ladder takes 65 days from a pass to the licence hold: two weeks of
// business days, and twice 21 days after a notice that takes some days to
// arrive.
const (
	weeksBefore = 45
	daysAfter   = 8
)

func newSchedule(days int) *schedule {
	zone := time.FixedZone("HKT", 8*3600)
	return &schedule{zone: zone, first: time.Date(2026, time.October, 1, 0, 0, 0, 0, zone), days: days, before: weeksBefore, settles: daysAfter}
}

// day is midnight of a day of the month, counted from 0; before it below that.
func (s *schedule) day(n int) time.Time { return s.first.AddDate(0, 0, n) }

// openedAt is from when everybody has an account.
func (p *person) openedAt() time.Time {
	zone := time.FixedZone("HKT", 8*3600)
	return time.Date(2026, time.August, 1, 0, 0, 0, 0, zone)
}

var (
	// hours of a day of the month. At 00:40 the day before is closed, at 06:30
	// the ladder runs and registrations change, at 12:00 proofs arrive and staff
	// decide, at 18:00 people pay.
	hours = []time.Duration{40 * time.Minute, 6*time.Hour + 30*time.Minute, 12 * time.Hour, 18 * time.Hour, 23*time.Hour + 30*time.Minute}
	// quietHours are those of other days.
	quietHours = []time.Duration{40 * time.Minute, 6*time.Hour + 30*time.Minute, 12 * time.Hour, 18 * time.Hour}
)

const (
	dayClosing = 40 * time.Minute
	morning    = 6*time.Hour + 30*time.Minute
	noon       = 12 * time.Hour
	evening    = 18 * time.Hour
)
