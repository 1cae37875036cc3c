package cashier

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/tariff"
)

// today is the beginning of monday in Hong Kong.
var today = monday.Add(-8 * time.Hour)

// sell sells a pass of park P from so many hours after the day's beginning.
func (w *world) sell(id, vehicle string, fromHours, toHours int) error {
	_, err := w.cashier.PutPass(w.Context(), parking.Pass{
		ID: id, CarPark: "P", Vehicle: vehicle, Permit: "month", Class: "private_car",
		From: today.Add(time.Duration(fromHours) * time.Hour), To: today.Add(time.Duration(toHours) * time.Hour), By: "desk",
	}, Keep[PassOutcome]{})
	return err
}

func (w *world) mustSell(id, vehicle string, fromHours, toHours int) {
	w.Helper()
	if err := w.sell(id, vehicle, fromHours, toHours); err != nil {
		w.Fatal(err)
	}
}

// The tariff is 20.00 an hour; 02:00 UTC is ten o'clock, the day's tenth hour.
func TestPassesPayWithinTheirTime(t *testing.T) {
	for name, c := range map[string]struct {
		before func(w *world)
		marks  string
		// during happens at 03:00, after at 05:30; the stay is from 02:00 to 05:00.
		during, after func(w *world)
		want          string
	}{
		"none":                {marks: "ZZ9", want: "ZZ9 closed ticket - 60.00"},
		"around the stay":     {before: func(w *world) { w.mustSell("p", "ZZ9", 0, 720) }, marks: "ZZ9", want: "ZZ9 closed pass - 0.00"},
		"of an account":       {before: func(w *world) { w.mustSell("p", "AB1", 0, 720) }, marks: "AB1", want: "AB1 closed pass - 0.00"},
		"seen by its tag":     {before: func(w *world) { w.mustSell("p", "AB1", 0, 720) }, marks: "- T1", want: "AB1 closed pass - 0.00"},
		"sold to a tag":       {before: func(w *world) { w.mustSell("p", "tag:C9", 0, 720) }, marks: "- C9", want: "tag:C9 closed pass - 0.00"},
		"another's":           {before: func(w *world) { w.mustSell("p", "ZZ8", 0, 720) }, marks: "ZZ9", want: "ZZ9 closed ticket - 60.00"},
		"begins at 11":        {before: func(w *world) { w.mustSell("p", "AB1", 11, 720) }, marks: "AB1", want: "AB1 closed account one 20.00"},
		"ends at 12":          {before: func(w *world) { w.mustSell("p", "AB1", 0, 12) }, marks: "AB1", want: "AB1 closed account one 20.00"},
		"two in a row":        {before: func(w *world) { w.mustSell("p", "AB1", 0, 12); w.mustSell("q", "AB1", 12, 720) }, marks: "AB1", want: "AB1 closed pass - 0.00"},
		"sold while inside":   {during: func(w *world) { w.mustSell("p", "AB1", 0, 720) }, marks: "AB1", want: "AB1 closed pass - 0.00"},
		"sold the same day":   {after: func(w *world) { w.mustSell("p", "AB1", 0, 720) }, marks: "AB1", want: "AB1 closed pass - 0.00"},
		"sold from then on":   {after: func(w *world) { w.mustSell("p", "AB1", 13, 720) }, marks: "AB1", want: "AB1 closed account one 60.00"},
		"taken back while in": {before: func(w *world) { w.mustSell("p", "AB1", 0, 720) }, during: func(w *world) { w.takeBack("p") }, marks: "AB1", want: "AB1 closed account one 40.00"},
		"taken back after":    {before: func(w *world) { w.mustSell("p", "AB1", 0, 720) }, after: func(w *world) { w.takeBack("p") }, marks: "AB1", want: "AB1 closed pass - 0.00"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			do := func(hms string, fn func(*world)) {
				w.at(hms)
				if fn != nil {
					fn(w)
				}
			}
			do("01:00:00", c.before)
			w.pass("02:00:00", "IN-1", c.marks)
			do("03:00:00", c.during)
			r := w.pass("05:00:00", "OUT-1", c.marks)
			if strings.HasSuffix(c.want, "pass - 0.00") && c.after == nil && (!r.Open || r.Why != WhyPaid || r.DueCents != 0) {
				t.Errorf("at the exit: %+v", r)
			}
			w.fake() // what was charged by then stands in the ledger
			do("05:30:00", c.after)
			w.wantStays("P", c.want)
			s := w.stays("P")[0]
			if covered := strings.Contains(string(s.Receipt), tariff.LinePermit); covered != strings.Contains(c.want, " pass ") && name != "begins at 11" && name != "ends at 12" && name != "taken back while in" {
				t.Errorf("the receipt: %s", s.Receipt)
			}
			l := w.fake()
			w.wantConserved(l)
			if owed := l.owed("one"); strings.Contains(c.want, "account one") && owed != s.AmountCents || !strings.Contains(c.want, "account one") && owed != 0 {
				t.Errorf("account one owes %d", owed)
			}
		})
	}
}

func (w *world) takeBack(id string) {
	w.Helper()
	if _, err := w.cashier.EndPass(w.Context(), "P", id, "desk", "moved away", Keep[parking.Pass]{}); err != nil {
		w.Fatal(err)
	}
}

func TestPassesAreSoldOnce(t *testing.T) {
	w := newWorld(t)
	w.at("02:00:00")
	w.mustSell("p", "ZZ9", 0, 720)
	w.mustSell("p", "ZZ9", 0, 720) // the same again
	for name, err := range map[string]error{
		"other content": w.sell("p", "ZZ9", 0, 721),
		"overlapping":   w.sell("q", "ZZ9", 719, 800),
	} {
		if !errors.Is(err, parking.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := parking.Pass{ID: "r", CarPark: "P", Vehicle: "YY8", Permit: "month", Class: "private_car", From: today, To: today.AddDate(0, 1, 0), By: "desk"}
	for name, edit := range map[string]func(*parking.Pass){
		"no such permit": func(p *parking.Pass) { p.Permit = "year" },
		"no such class":  func(p *parking.Pass) { p.Class = "tank" },
		"yesterday":      func(p *parking.Pass) { p.From = today.Add(-time.Microsecond) },
		"in two years":   func(p *parking.Pass) { p.From, p.To = today.AddDate(2, 0, 0), today.AddDate(2, 1, 0) },
		"for ever":       func(p *parking.Pass) { p.To = today.AddDate(6, 0, 0) },
		"backwards":      func(p *parking.Pass) { p.To = p.From },
		"nobody's":       func(p *parking.Pass) { p.Vehicle = "" },
		"an empty tag's": func(p *parking.Pass) { p.Vehicle = "tag:" },
		"a ticket's":     func(p *parking.Pass) { p.Vehicle = "ticket:7" },
		"by nobody":      func(p *parking.Pass) { p.By = "" },
		"without an id":  func(p *parking.Pass) { p.ID = "" },
	} {
		p := good
		edit(&p)
		if _, err := w.cashier.PutPass(t.Context(), p, Keep[PassOutcome]{}); !errors.Is(err, parking.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	elsewhere := good
	elsewhere.CarPark = "nowhere"
	if _, err := w.cashier.PutPass(t.Context(), elsewhere, Keep[PassOutcome]{}); !errors.Is(err, parking.ErrNotFound) {
		t.Errorf("no such car park: %v", err)
	}
	list, err := w.cashier.Passes(t.Context(), "P", "", today, today.AddDate(9, 0, 0), "", 10)
	if err != nil || len(list) != 1 || list[0].ID != "p" {
		t.Errorf("what was refused is there: %+v, %v", list, err)
	}
	if _, err := w.cashier.EndPass(t.Context(), "M", "p", "desk", "moved", Keep[parking.Pass]{}); !errors.Is(err, parking.ErrNotFound) {
		t.Errorf("another car park's: %v", err)
	}
	if _, err := w.cashier.EndPass(t.Context(), "P", "p", "desk", "", Keep[parking.Pass]{}); !errors.Is(err, parking.ErrInvalid) {
		t.Errorf("without a reason: %v", err)
	}
	w.takeBack("p")
	ended := w.clock.Now()
	w.at("09:00:00")
	w.takeBack("p")
	if p, err := w.cashier.Pass(t.Context(), "P", "p"); err != nil || !p.EndedAt.Equal(ended) || !p.To.Equal(today.Add(720*time.Hour)) {
		t.Errorf("%+v, %v", p, err)
	}
}

// Where the tariff says how many there are, no more hold at one instant.
func TestPassesAreLimited(t *testing.T) {
	w := newWorld(t)
	w.sites.books["test"] = book(t, `"type": "monthly-park",`, `"type": "monthly-park", "most": 2,`)
	w.at("02:00:00")
	w.mustSell("a", "AA1", 0, 100)
	w.mustSell("b", "AA2", 50, 150)
	for i, refused := range []struct{ from, to int }{{99, 300}, {0, 51}, {60, 70}, {0, 400}} {
		if err := w.sell(fmt.Sprint("x", i), "AA3", refused.from, refused.to); !errors.Is(err, parking.ErrConflict) {
			t.Errorf("%v: %v", refused, err)
		}
	}
	w.mustSell("c", "AA3", 100, 200)
	w.mustSell("d", "AA4", 0, 50)
	w.takeBack("a") // at 10 o'clock: from then on there is room beside b and d
	w.mustSell("e", "AA5", 10, 100)
}

// A plate that was read without confidence may be another's.
func TestAWeakPlateHoldsNoPass(t *testing.T) {
	w := newWorld(t)
	w.at("01:00:00")
	w.mustSell("p", "ZZ9", 0, 720)
	w.at("02:00:00")
	for _, lane := range []string{"IN-1", "OUT-1"} {
		e := w.event(lane, "ZZ9")
		e.ConfidencePermille = 500
		w.lane(e)
		w.at("03:00:00")
	}
	if s := w.stays("P"); len(s) != 1 || s[0].Means == parking.PaysPass || s[0].AmountCents != 20_00 {
		t.Errorf("%+v", s)
	}
}

// Whoever holds a pass has no ticket to lose; a pass that has ended is none.
func TestAPassWithoutAnEntry(t *testing.T) {
	w := newWorld(t)
	w.at("01:00:00")
	w.mustSell("p", "ZZ9", 0, 720)
	w.mustSell("q", "YY8", 0, 10)
	w.pass("05:00:00", "OUT-1", "ZZ9")
	w.pass("05:00:00", "OUT-2", "YY8")
	w.wantStays("P", "ZZ9 closed pass - 0.00 missing-entry", "YY8 closed ticket - 150.00 missing-entry")
}
