package cashier

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/stay"
)

// What is published of tags that pay parking, a line each: the tag pays, individuals have to opt out,
// businesses to opt in, from the limit on the card pays, and a mismatch is for
// people.
func TestWhoPays(t *testing.T) {
	for _, c := range []struct {
		name, park, in, out string
		leave               string
		prefer              *parking.Preference
		want                string
		open                bool
		why                 string
	}{
		{name: "an individual's tag pays without asking", in: "AB1 T1", out: "AB1 T1", want: "AB1 closed account one 40.00", open: true, why: WhyPaid},
		{name: "so does the plate alone", in: "AB1", out: "AB1", want: "AB1 closed account one 40.00", open: true, why: WhyPaid},
		{name: "tag at the entry, plate at the exit", in: "- T1", out: "AB1", want: "AB1 closed account one 40.00", open: true, why: WhyPaid},
		{name: "an individual opted out", in: "AB1 T1", out: "AB1 T1", prefer: &parking.Preference{Account: "one", Said: true},
			want: "AB1 closed ticket - 40.00", why: WhyDue},
		{name: "a business is out unless it opts in", in: "BC2 T2", out: "BC2", want: "BC2 closed ticket - 40.00", why: WhyDue},
		{name: "a business opted in", in: "BC2 T2", out: "BC2", prefer: &parking.Preference{Account: "two", Business: true, Said: true, Pays: true},
			want: "BC2 closed account two 40.00", open: true, why: WhyPaid},
		{name: "below the limit: from the balance", in: "AB1", out: "AB1", leave: "10:59:59", want: "AB1 closed account one 180.00", open: true, why: WhyPaid},
		{name: "at the limit: by card", in: "AB1", out: "AB1", leave: "11:59:59", want: "AB1 closed card one 200.00", open: true, why: WhyPaid},
		{name: "a class tag pays, whatever the plate", in: "ZZ9 C9", out: "ZZ9", want: "tag:C9 closed account nine 40.00", open: true, why: WhyPaid},
		{name: "a tag without an account", in: "NO4 T4", out: "- T4", want: "NO4 closed ticket - 40.00", why: WhyDue},
		{name: "an unknown tag", in: "- F0", out: "- F0", want: "tag:F0 closed ticket - 40.00", why: WhyDue},
		{name: "an unknown plate", in: "ZZ9", out: "ZZ9", want: "ZZ9 closed ticket - 40.00", why: WhyDue},
		{name: "a ticket", in: "- - K1", out: "- - K1", want: "ticket:K1 closed ticket - 40.00", why: WhyDue},
		{name: "tag and plate of different vehicles", in: "AB1 T3", out: "AB1", want: "AB1 review account one 0.00 tag-and-plate-differ", open: true, why: WhyReview},
		{name: "exempt", in: "EX0 TX", out: "EX0", want: "EX0 closed pass - 0.00 exempt", open: true, why: WhyPaid},
		{name: "a car park that takes no tags", park: "N-", in: "AB1 T1", out: "AB1 T1", want: "AB1 closed ticket - 40.00", why: WhyDue},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.prefer != nil {
				if _, err := w.cashier.SetPreference(t.Context(), *c.prefer, Keep[parking.Preference]{}); err != nil {
					t.Fatal(err)
				}
			}
			leave := c.leave
			if leave == "" {
				leave = "04:00:00"
			}
			in := w.pass("02:00:00", c.park+"IN-1", c.in)
			if !in.Open || in.Stay == "" || in.Display.En == "" || in.Display.ZhHant == "" || in.Display.ZhHans == "" {
				t.Errorf("at the entry: %+v", in)
			}
			out := w.pass(leave, c.park+"OUT-1", c.out)
			park := "P"
			if c.park != "" {
				park = c.park[:1]
			}
			w.wantStays(park, c.want)
			if out.Open != c.open || out.Why != c.why || out.Stay != in.Stay {
				t.Errorf("at the exit: %+v, want open %v because %q", out, c.open, c.why)
			}
			if c.why == WhyDue && (out.DueCents != 40_00 || !strings.Contains(out.Display.ZhHant, "HKD 40.00")) {
				t.Errorf("due: %+v", out)
			}
			w.wantConserved(w.fake())
		})
	}
}

func TestLaneEventsAreKnownAgain(t *testing.T) {
	w := newWorld(t)
	w.at("02:00:00")
	in := w.event("IN-1", "AB1 T1")
	first := w.lane(in)[0]
	w.at("04:00:00")
	out := w.event("OUT-1", "AB1 T1")
	w.lane(out)
	before := w.stay(first.Stay)
	for _, r := range w.lane(in, out, in) {
		if !r.Known || r.Err != nil || r.Stay != first.Stay {
			t.Errorf("again: %+v", r)
		}
	}
	if after := w.stay(first.Stay); after.Revision != before.Revision {
		t.Errorf("a repetition changed the stay: %+v, was %+v", after, before)
	}
	other := in
	other.Plate = "BC2"
	good := w.event("IN-1", "ZZ9")
	r := w.lane(other, good)
	if !errors.Is(r[0].Err, parking.ErrConflict) || r[0].Open || r[1].Err != nil || !r[1].Open {
		t.Errorf("another content under a known id: %+v", r)
	}
	if l := w.fake(); l.owed("one") != 40_00 || len(l.charges) != 1 {
		t.Errorf("the ledger has %+v", l.charges)
	}
}

func TestBadLaneEventsCostTheirNeighboursNothing(t *testing.T) {
	w := newWorld(t)
	w.at("02:00:00")
	bad := map[string]func(e *parking.LaneEvent){
		"no mark":           func(e *parking.LaneEvent) { e.Plate = "" },
		"no id":             func(e *parking.LaneEvent) { e.ID = "" },
		"the wrong way":     func(e *parking.LaneEvent) { e.Direction = parking.Out },
		"confidence":        func(e *parking.LaneEvent) { e.ConfidencePermille = 1001 },
		"before 2020":       func(e *parking.LaneEvent) { e.At = time.Date(2019, 12, 31, 0, 0, 0, 0, time.UTC) },
		"ahead":             func(e *parking.LaneEvent) { e.At = e.At.Add(5*time.Minute + time.Microsecond) },
		"a plate in colons": func(e *parking.LaneEvent) { e.Plate = "tag:T1" },
		"no UTF-8":          func(e *parking.LaneEvent) { e.Plate = "\xff" },
		"an unknown lane":   func(e *parking.LaneEvent) { e.Lane = "P-IN-9" },
		"an unknown site":   func(e *parking.LaneEvent) { e.CarPark = "Q" },
	}
	var events []parking.LaneEvent
	var names []string
	for name, spoil := range bad {
		e := w.event("IN-1", "ZZ9")
		spoil(&e)
		events, names = append(events, e), append(names, name)
	}
	events = append(events, w.event("IN-1", "AB1"))
	results := w.lane(events...)
	for i, name := range names {
		if err := results[i].Err; !errors.Is(err, parking.ErrInvalid) && !errors.Is(err, parking.ErrNotFound) || results[i].Open {
			t.Errorf("%s: %+v", name, results[i])
		}
	}
	if last := results[len(names)]; last.Err != nil || !last.Open {
		t.Errorf("the good one: %+v", last)
	}
	if _, err := w.cashier.Lane(t.Context(), make([]parking.LaneEvent, MaxEvents+1)); !errors.Is(err, parking.ErrInvalid) {
		t.Errorf("too many: %v", err)
	}
}

func TestMissingExitIsNeverBilledToNow(t *testing.T) {
	w := newWorld(t)
	w.pass("02:00:00", "IN-1", "AB1")
	w.pass("08:00:00", "IN-1", "AB1")
	w.wantStays("P", "AB1 open account one 0.00", "AB1 review account one 0.00 missing-exit,no-price")
	w.pass("09:00:00", "OUT-1", "AB1")
	w.wantStays("P", "AB1 closed account one 20.00", "AB1 review account one 0.00 missing-exit,no-price")
	if l := w.fake(); l.owed("one") != 20_00 {
		t.Errorf("owed %d", l.owed("one"))
	}
	// The lost exit comes from the lane's journal.
	late := w.event("OUT-1", "AB1")
	late.At = monday.Add(3 * time.Hour)
	if r := w.lane(late)[0]; r.Why != WhyLate || r.Open {
		t.Errorf("late: %+v", r)
	}
	w.wantStays("P", "AB1 closed account one 20.00", "AB1 closed account one 20.00")
	w.wantConserved(w.fake())
}

func TestMissingEntry(t *testing.T) {
	t.Run("by the tariff's fee, credited when the entry comes", func(t *testing.T) {
		w := newWorld(t)
		r := w.pass("04:00:00", "OUT-1", "AB1")
		if !r.Open || r.AmountCents != 150_00 {
			t.Errorf("%+v", r)
		}
		w.wantStays("P", "AB1 closed account one 150.00 missing-entry")
		l := w.fake()
		if l.owed("one") != 150_00 {
			t.Errorf("owed %d", l.owed("one"))
		}
		late := w.event("IN-1", "AB1 T1")
		late.At = monday.Add(2 * time.Hour)
		if r2 := w.lane(late)[0]; r2.Stay != r.Stay {
			t.Errorf("the entry made another stay: %+v", r2)
		}
		w.wantStays("P", "AB1 closed account one 40.00")
	})
	t.Run("for a person where the tariff has no fee", func(t *testing.T) {
		w := newWorld(t)
		if r := w.pass("04:00:00", "L-OUT-1", "AB1"); !r.Open || r.Why != WhyReview {
			t.Errorf("with an account: %+v", r)
		}
		if r := w.pass("04:00:00", "L-OUT-1", "ZZ9"); r.Open || r.Why != WhyStaff {
			t.Errorf("without: %+v", r)
		}
		w.wantStays("L", "AB1 review account one 0.00 missing-entry,no-price", "ZZ9 review ticket - 0.00 missing-entry,no-price")
		var alarms []parking.Alarm
		if err := w.store.View(t.Context(), func(tx parking.Tx) (err error) { alarms, err = tx.Alarms(t.Context(), "L", 10); return err }); err != nil {
			t.Fatal(err)
		}
		if len(alarms) != 2 || alarms[0].Kind != stay.MissingEntry {
			t.Errorf("alarms %+v", alarms)
		}
		late := w.event("L-IN-1", "ZZ9")
		late.At = monday.Add(3 * time.Hour)
		w.lane(late)
		w.wantStays("L", "AB1 review account one 0.00 missing-entry,no-price", "ZZ9 closed ticket - 20.00")
		if len(w.fake().charges) != 1 {
			t.Error("something was charged while a person decides")
		}
	})
}

func TestReentryContinuesTheStay(t *testing.T) {
	w := newWorld(t)
	first := w.pass("02:00:00", "IN-1", "AB1")
	w.pass("02:50:00", "OUT-1", "AB1")
	w.wantStays("P", "AB1 closed account one 20.00")
	if again := w.pass("03:04:00", "IN-2", "AB1"); again.Stay != first.Stay {
		t.Errorf("another stay: %+v", again)
	}
	w.wantStays("P", "AB1 open account one 20.00 reentry")
	w.pass("03:50:00", "OUT-1", "AB1")
	w.wantStays("P", "AB1 closed account one 40.00 reentry")
	w.wantConserved(w.fake())
}

func TestOfflineLanesMergeLater(t *testing.T) {
	online, offline := newWorld(t), newWorld(t)
	var journal []parking.LaneEvent
	for _, step := range [][3]string{
		{"02:00:00", "IN-1", "AB1 T1"}, {"02:00:30", "IN-1", "AB1"}, {"02:10:00", "IN-2", "ZZ9"}, {"03:00:00", "OUT-1", "- T1"},
		{"03:10:00", "IN-1", "- T1"}, {"05:30:00", "OUT-2", "AB1"}, {"06:00:00", "OUT-1", "ZZ9"}, {"06:30:00", "IN-1", "AB1 T3"},
		{"07:00:00", "OUT-1", "AB1"},
	} {
		online.pass(step[0], step[1], step[2])
		offline.at(step[0])
		journal = append(journal, offline.event(step[1], step[2]))
	}
	offline.at("12:00:00")
	// The exit lanes' journals come first, then the entries, then all again.
	slices.SortStableFunc(journal, func(a, b parking.LaneEvent) int { return -strings.Compare(a.Lane[2:], b.Lane[2:]) })
	for _, e := range journal {
		if r := offline.lane(e)[0]; r.Open || r.Why != WhyLate {
			t.Errorf("a barrier opened for %+v", e)
		}
	}
	offline.fake()
	offline.lane(journal...)
	want := make([]string, 0, 3)
	for _, s := range online.stays("P") {
		want = append(want, show(s))
	}
	offline.wantStays("P", want...)
	online.wantConserved(online.fake())
}
