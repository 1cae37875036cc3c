package tariff

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Permits held for a time, at Rumsey Street, by hand: what lies outside is
// charged by the hour, its units beginning anew where the permit ends.
func TestPermitsHeldForATime(t *testing.T) {
	b := benchBook(t, "rumsey-street")
	held := func(from, to string) HeldPermit { return HeldPermit{"monthly", hk(from), hk(to)} }
	for _, c := range []struct {
		name, entry, exit string
		permits           []HeldPermit
		want              int64
	}{
		{"around the stay", "2026-03-02 10:00", "2026-03-02 14:00", []HeldPermit{held("2026-03-01 00:00", "2026-04-01 00:00")}, 0},
		{"exactly the stay", "2026-03-02 10:00", "2026-03-02 14:00", []HeldPermit{held("2026-03-02 10:00", "2026-03-02 14:00")}, 0},
		{"from noon", "2026-03-02 10:00", "2026-03-02 14:00", []HeldPermit{held("2026-03-02 12:00", "2026-04-02 00:00")}, 2 * 2000},
		{"until noon", "2026-03-02 10:00", "2026-03-02 14:00", []HeldPermit{held("2026-02-02 00:00", "2026-03-02 12:00")}, 2 * 2000},
		{"until a second before the exit", "2026-03-02 10:00", "2026-03-02 14:00", []HeldPermit{held("2026-02-02 00:00", "2026-03-02 13:59:59")}, 2000},
		{"over before", "2026-03-02 10:00", "2026-03-02 14:00", []HeldPermit{held("2026-02-02 00:00", "2026-03-02 10:00")}, 4 * 2000},
		{"not begun", "2026-03-02 10:00", "2026-03-02 14:00", []HeldPermit{held("2026-03-02 14:00", "2026-04-02 00:00")}, 4 * 2000},
		{"one after the other", "2026-03-31 22:00", "2026-04-01 08:00", []HeldPermit{held("2026-03-01 00:00", "2026-04-01 00:00"), held("2026-04-01 00:00", "2026-05-01 00:00")}, 0},
		// 31 March ends at midnight: from 00:00 eight hours, 7 by night, 1 by day.
		{"the month ends", "2026-03-31 22:00", "2026-04-01 08:00", []HeldPermit{held("2026-03-01 00:00", "2026-04-01 00:00")}, 7*1400 + 2000},
		{"a day between", "2026-03-02 08:00", "2026-03-02 20:00", []HeldPermit{held("2026-03-01 00:00", "2026-03-02 10:00"), held("2026-03-02 19:00", "2026-03-09 00:00")}, 9 * 2000},
	} {
		t.Run(c.name, func(t *testing.T) {
			costs(t, b, Stay{Class: "private_car", Entry: hk(c.entry), Exit: hk(c.exit), Permits: c.permits}, c.want)
		})
	}
	_ = fails[*UnknownNameError](t, b, Stay{Class: "private_car", Entry: hk("2026-03-02 10:00"), Exit: hk("2026-03-02 14:00"), Permits: []HeldPermit{{"none", hk("2026-03-01 00:00"), hk("2026-04-01 00:00")}}})
	if _, err := b.Rate(Stay{Class: "private_car", Entry: hk("2026-03-02 10:00"), Exit: hk("2026-03-02 14:00"), Permits: []HeldPermit{{ID: "monthly"}}}); err == nil {
		t.Error("a permit without a time was taken")
	}
}

// How a time is cut into permits does not matter; one that holds throughout is
// a Permit, and one that lies outside is none.
func TestPermitsAreAFunctionOfTheirUnion(t *testing.T) {
	b := benchBook(t, "rumsey-street")
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string) time.Time {
			return hk("2026-03-02 00:00").Add(time.Duration(rapid.IntRange(0, 4*24*3600).Draw(t, name)) * time.Second)
		}
		order := func(x, y time.Time) (time.Time, time.Time) {
			if y.Before(x) {
				x, y = y, x
			}
			return x, y.Add(time.Second)
		}
		entry, exit := order(at("entry"), at("exit"))
		from, to := order(at("from"), at("to"))
		price := func(edit func(*Stay)) int64 {
			s := Stay{Class: "private_car", Entry: entry, Exit: exit}
			edit(&s)
			r, err := b.Rate(s)
			if err != nil {
				t.Fatal(err)
			}
			return r.TotalCents
		}
		held := func(list ...HeldPermit) int64 { return price(func(s *Stay) { s.Permits = list }) }
		one := held(HeldPermit{"monthly", from, to})
		cut := from.Add(time.Duration(rapid.Int64Range(0, int64(to.Sub(from)/time.Second)).Draw(t, "cut")) * time.Second)
		if two := held(HeldPermit{"monthly", cut, to}, HeldPermit{"monthly", from, cut}, HeldPermit{"monthly", from, to}); two != one {
			t.Errorf("in pieces %d, in one %d", two, one)
		}
		plain := price(func(*Stay) {})
		if whole := held(HeldPermit{"monthly", entry.Add(-time.Hour), exit.Add(time.Hour)}); whole != 0 || price(func(s *Stay) { s.Permit = "monthly" }) != 0 {
			t.Errorf("throughout: %d", whole)
		}
		if none := held(HeldPermit{"monthly", exit, exit.Add(time.Hour)}, HeldPermit{"monthly", entry.Add(-time.Hour), entry}); none != plain {
			t.Errorf("outside: %d, without %d", none, plain)
		}
		// It is by what lies outside alone: the parts before and after, each
		// priced as a stay of its own.
		if !from.Before(entry) && !to.After(exit) {
			apart := int64(0)
			for _, part := range [][2]time.Time{{entry, from}, {to, exit}} {
				if part[0].Before(part[1]) {
					apart += price(func(s *Stay) { s.Entry, s.Exit = part[0], part[1] })
				}
			}
			if apart != one {
				t.Errorf("the parts outside cost %d, the stay %d", apart, one)
			}
		}
	})
}
