// Package reckon is the oracle of the scripted month: from what happened on
// the road, what people did and what their bank moved, it says to the cent what
// everybody must owe and have paid.
//
// It is written apart from what it judges: plain maps and whole cents, its own
// calendar, its own ladder of unpaid tolls, nothing of freeflow but
// loadtest/oracle, which is written apart too. Tolls come from that oracle.
//
// Invariant: the answer is a function of the input alone. Not promised: any
// opinion on things that the script does not do.
package reckon

import (
	"slices"
	"time"
)

// Toll is one pass that owes, or another charge.
type Toll struct {
	// Account owes; empty if nobody's account.
	Account, Vehicle string
	Cents            int64
	// Occurred is the pass's own time, Posted when the books first had it.
	Occurred, Posted time.Time
	// Fee is true for what is no toll, which the ladder leaves alone.
	Fee bool
}

// Habit is how somebody pays.
type Habit struct {
	// Pays: by itself, everything, sooner than the ladder's first surcharge.
	Pays bool
	// OnRung is the notice that makes somebody pay: 0 the payment notice, 1 and
	// 2 the surcharge notices, 3 the licence hold; below 0 none does.
	OnRung int
	// ProofAfter is how many days after its issue a notice is proven to have
	// arrived, at noon; 0 is never.
	ProofAfter int
	// PayAfter is how many days after that it is paid, at 18:00.
	PayAfter int
	// Waived: staff waive the first surcharge, two days after it, at noon.
	Waived bool
}

// Pause is days that do not count, from From up to and without To, known from
// Recorded on.
type Pause struct {
	From, To time.Time
	Recorded time.Time
}

// World is what the ladder needs to know beside tolls and habits.
type World struct {
	Zone *time.Location
	// Runs are the instants at which the ladder's job ran, in order.
	Runs   []time.Time
	Pauses []Pause
	// End is the last instant of the script.
	End                     time.Time
	FirstCents, SecondCents int64
}

// HongKong are the surcharges since 2 June 2023 (news.gov.hk 2023-05-29).
func HongKong() World {
	return World{Zone: time.FixedZone("HKT", 8*3600), FirstCents: 17500, SecondCents: 35000}
}

// Climbed is what became of one toll on the ladder.
type Climbed struct {
	// Rung is the highest that was climbed: -1 none, 0 the payment notice, 1 and
	// 2 the surcharges, 3 the licence hold.
	Rung int
	// SurchargeCents are the surcharges that stand.
	SurchargeCents int64
	Waived, Paid   bool
}

// generalHolidays are those of Monday to Friday in the script's time
// (gov.hk, general holidays for 2026).
var generalHolidays = []string{"2026-10-01", "2026-10-19", "2026-12-25"}

// Climb takes one toll up the ladder, a day at a time. own are pauses of this
// toll alone.
func (w *World) Climb(t Toll, h Habit, own []Pause) Climbed {
	c := Climbed{Rung: -1}
	if h.Pays {
		c.Paid = true
		return c
	}
	if t.Fee || t.Cents == 0 {
		return c
	}
	wait := 12 * time.Hour
	if t.Account != "" {
		wait = 72 * time.Hour
	}
	pauses := slices.Concat(w.Pauses, own)
	issued := 0
	for _, run := range w.Runs {
		today := w.day(run)
		if c.Rung >= 0 && w.settle(&c, h, issued, run) {
			return c
		}
		if c.Rung < 0 {
			if t.Posted.Before(run.Add(-wait)) {
				c.Rung, issued = 0, today
			}
			continue
		}
		served := issued + h.ProofAfter
		if h.ProofAfter == 0 || served >= today || c.Rung == 3 || w.paused(pauses, today, run) {
			continue
		}
		if today <= w.due(c.Rung, w.day(t.Occurred), served, pauses, run) {
			continue
		}
		c.Rung++
		issued = today
		switch c.Rung {
		case 1:
			c.SurchargeCents += w.FirstCents
		case 2:
			c.SurchargeCents += w.SecondCents
		}
	}
	w.settle(&c, h, issued, w.End)
	return c
}

// settle ends a case that was paid, or whose surcharge was waived, before the
// instant.
func (w *World) settle(c *Climbed, h Habit, issued int, before time.Time) bool {
	if c.Rung == h.OnRung && h.ProofAfter > 0 && w.at(issued+h.ProofAfter+h.PayAfter, 18).Before(before) {
		c.Paid = true
		return true
	}
	if c.Rung == 1 && h.Waived && w.at(issued+2, 12).Before(before) {
		c.Waived, c.SurchargeCents = true, 0
		return true
	}
	return false
}

// due is the last day before the next rung.
func (w *World) due(rung, passed, served int, pauses []Pause, known time.Time) int {
	if rung > 0 {
		return w.count(served, 21, pauses, known, func(int) bool { return true })
	}
	last := w.count(passed, 14, pauses, known, w.business)
	if served > last {
		last = w.count(served, 14, pauses, known, w.business)
	}
	return last
}

// count is the nth day after a day of those that count.
func (w *World) count(day, n int, pauses []Pause, known time.Time, counts func(int) bool) int {
	for n > 0 {
		day++
		if counts(day) && !w.paused(pauses, day, known) {
			n--
		}
	}
	return day
}

func (w *World) paused(pauses []Pause, day int, known time.Time) bool {
	for _, p := range pauses {
		if p.Recorded.Before(known) && day >= w.day(p.From) && (p.To.IsZero() || day < w.day(p.To)) {
			return true
		}
	}
	return false
}

func (w *World) business(day int) bool {
	date := time.Unix(int64(day)*86400, 0).UTC()
	weekend := date.Weekday() == time.Saturday || date.Weekday() == time.Sunday
	return !weekend && !slices.Contains(generalHolidays, date.Format(time.DateOnly))
}

// day numbers the days of the zone.
func (w *World) day(at time.Time) int {
	_, offset := at.In(w.Zone).Zone()
	return int((at.Unix() + int64(offset)) / 86400)
}

// at is an hour of a day.
func (w *World) at(day, hour int) time.Time {
	date := time.Unix(int64(day)*86400, 0).UTC()
	return time.Date(date.Year(), date.Month(), date.Day(), hour, 0, 0, 0, w.Zone)
}
