package reckon

import (
	"testing"
	"time"
)

// TestClimb: the ladder by hand, on the days of the script's calendar.
func TestClimb(t *testing.T) {
	w := HongKong()
	at := func(text string) time.Time {
		instant, err := time.ParseInLocation("2006-01-02 15:04", text, w.Zone)
		if err != nil {
			t.Fatal(err)
		}
		return instant
	}
	for day := range 120 {
		w.Runs = append(w.Runs, at("2026-08-10 06:30").AddDate(0, 0, day))
	}
	w.End = at("2026-12-07 00:00")
	toll := Toll{Cents: 6000, Occurred: at("2026-08-12 09:00"), Posted: at("2026-08-12 12:00")}
	for name, c := range map[string]struct {
		toll   Toll
		habit  Habit
		pauses []Pause
		want   Climbed
	}{
		"pays":        {toll, Habit{Pays: true}, nil, Climbed{Rung: -1, Paid: true}},
		"fee":         {Toll{Cents: 100, Fee: true}, Habit{OnRung: -1}, nil, Climbed{Rung: -1}},
		"no proof":    {toll, Habit{OnRung: -1}, nil, Climbed{Rung: 0}},
		"never":       {toll, Habit{OnRung: -1, ProofAfter: 2}, nil, Climbed{Rung: 3, SurchargeCents: 52500}},
		"on notice":   {toll, Habit{OnRung: 0, ProofAfter: 2, PayAfter: 1}, nil, Climbed{Rung: 0, Paid: true}},
		"on first":    {toll, Habit{OnRung: 1, ProofAfter: 2, PayAfter: 1}, nil, Climbed{Rung: 1, SurchargeCents: 17500, Paid: true}},
		"on second":   {toll, Habit{OnRung: 2, ProofAfter: 2, PayAfter: 1}, nil, Climbed{Rung: 2, SurchargeCents: 52500, Paid: true}},
		"waived":      {toll, Habit{OnRung: -1, ProofAfter: 2, Waived: true}, nil, Climbed{Rung: 1, Waived: true}},
		"paused":      {toll, Habit{OnRung: -1, ProofAfter: 2}, []Pause{{From: at("2026-08-14 00:00"), Recorded: at("2026-08-14 00:00")}}, Climbed{Rung: 0}},
		"late pauses": {toll, Habit{OnRung: -1, ProofAfter: 2}, []Pause{{From: at("2026-08-14 00:00"), Recorded: at("2026-10-14 00:00")}}, Climbed{Rung: 2, SurchargeCents: 52500}},
	} {
		w := w
		if got := w.Climb(c.toll, c.habit, c.pauses); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestDue: the last days that the government's rule gives, counted by hand.
func TestDue(t *testing.T) {
	w := HongKong()
	day := func(text string) int {
		date, err := time.ParseInLocation(time.DateOnly, text, w.Zone)
		if err != nil {
			t.Fatal(err)
		}
		return w.day(date)
	}
	for _, c := range []struct {
		rung              int
		pass, served, due string
	}{
		{0, "2026-09-30", "2026-10-02", "2026-10-22"}, // without 1 and 19 October
		{0, "2026-11-02", "2026-11-03", "2026-11-20"},
		{0, "2026-11-02", "2026-11-25", "2026-12-15"}, // it came after its 14 days
		{1, "2026-09-30", "2026-10-02", "2026-10-23"},
	} {
		if got := w.due(c.rung, day(c.pass), day(c.served), nil, w.End); got != day(c.due) {
			t.Errorf("%+v: %s", c, w.at(got, 0).Format(time.DateOnly))
		}
	}
}
