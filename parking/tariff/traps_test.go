package tariff

import (
	"strings"
	"testing"
	"time"
)

// The traps are those that the project's facts on parking number 1 to 22
// (section 6): where parking tariffs are usually got wrong.

func TestTrap01FreeMinutes(t *testing.T) {
	for _, c := range []struct {
		fromStart bool
		exit      string
		want      int64
	}{
		{false, "2026-03-02 10:15:00", 0},    // 15:00 exactly: inside
		{false, "2026-03-02 10:15:01", 2000}, // one second past: the first hour from entry
		{false, "2026-03-02 11:00:00", 2000},
		{false, "2026-03-02 11:00:01", 4000},
		{true, "2026-03-02 10:15:00", 0},
		{true, "2026-03-02 10:15:01", 2000}, // the first hour runs 10:15 to 11:15
		{true, "2026-03-02 11:15:00", 2000},
		{true, "2026-03-02 11:15:01", 4000},
	} {
		b := bookOf(t, tariffOf(Rules{FreeMinutes: 15, FreeFromStart: &c.fromStart, Bands: []Band{hourly(60, 2000)}}))
		costs(t, b, car("2026-03-02 10:00:00", c.exit), c.want)
	}
	// Which of the two must be stated.
	if _, err := New([]*Tariff{tariffOf(Rules{FreeMinutes: 15, Bands: []Band{hourly(60, 2000)}})}, nil); err == nil || !strings.Contains(err.Error(), "/classes/car/free_from_start") {
		t.Errorf("free minutes without free_from_start: %v", err)
	}
}

func TestTrap02UnitStart(t *testing.T) {
	for _, c := range []struct {
		start, entry, exit string
		want               int64
	}{
		{"entry", "2026-03-02 14:10", "2026-03-02 14:40", 700},  // 14:10-14:40
		{"entry", "2026-03-02 14:10", "2026-03-02 14:41", 1400}, // and 14:40-15:10
		{"clock", "2026-03-02 14:10", "2026-03-02 14:30", 700},  // 14:00-14:30
		{"clock", "2026-03-02 14:10", "2026-03-02 14:40", 1400}, // and 14:30-15:00
		{"clock", "2026-03-02 14:29", "2026-03-02 14:31", 1400}, // two minutes, two half-hours
		{"clock", "2026-03-02 23:50", "2026-03-03 00:10", 1400}, // midnight is a whole multiple
	} {
		b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(30, 700)}}, func(x *Tariff) { x.Options.UnitStart = c.start }))
		costs(t, b, car(c.entry, c.exit), c.want)
	}
}

func TestTrap03PartThereof(t *testing.T) {
	b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}}))
	for _, c := range []struct {
		exit string
		want int64
	}{
		{"2026-03-02 10:00:00", 0}, {"2026-03-02 10:00:01", 2000}, {"2026-03-02 11:00:00", 2000}, {"2026-03-02 11:00:01", 4000}, {"2026-03-03 10:00:00", 24 * 2000}, {"2026-03-03 10:00:01", 25 * 2000},
	} {
		costs(t, b, car("2026-03-02 10:00:00", c.exit), c.want)
	}
	// Parts of a second are cut, so that 60:00.9 is 60:00.
	s := car("2026-03-02 10:00:00", "2026-03-02 11:00:00")
	s.Exit = s.Exit.Add(900 * time.Millisecond)
	costs(t, b, s, 2000)
}

func dayAndNight(straddle string, edits ...func(*Tariff)) *Tariff {
	return tariffOf(Rules{Bands: []Band{
		{ID: "day", When: when(everyDay, "07:00", "23:00"), UnitMinutes: 60, Price: 2000},
		{ID: "night", When: when(everyDay, "23:00", "07:00"), UnitMinutes: 60, Price: 1400},
	}}, append(edits, func(x *Tariff) { x.Options.Straddle = straddle })...)
}

func TestTrap04Straddle(t *testing.T) {
	for _, c := range []struct {
		straddle, entry, exit string
		want                  int64
	}{
		{"start", "2026-03-02 22:40", "2026-03-02 23:40", 2000},
		{"start", "2026-03-02 22:40", "2026-03-02 23:41", 3400}, // 20 + 14
		// 22:40-23:00 is a third of 20.00, 6.67; 23:00-23:40 two thirds of 14.00, 9.33.
		{"split", "2026-03-02 22:40", "2026-03-02 22:50", 1600},
		{"split", "2026-03-02 22:40", "2026-03-02 23:40", 1600},
		{"split", "2026-03-02 22:40", "2026-03-02 23:41", 3000},
		{"dearer", "2026-03-02 22:40", "2026-03-02 23:40", 2000},
		{"dearer", "2026-03-03 06:40", "2026-03-03 07:00", 1400}, // the day was not reached
		{"dearer", "2026-03-03 06:40", "2026-03-03 07:01", 2000},
		{"start", "2026-03-03 06:40", "2026-03-03 07:01", 1400},
		{"cut", "2026-03-02 22:40", "2026-03-02 23:00", 2000},
		{"cut", "2026-03-02 22:40", "2026-03-02 23:01", 3400}, // a new unit at 23:00
	} {
		costs(t, bookOf(t, dayAndNight(c.straddle)), car(c.entry, c.exit), c.want)
	}
	if _, err := New([]*Tariff{dayAndNight("")}, nil); err == nil || !strings.Contains(err.Error(), "/options/straddle") {
		t.Errorf("a tariff that does not state its straddle: %v", err)
	}
}

func TestTrap05Thresholds(t *testing.T) {
	rules := func() Rules {
		return Rules{Bands: []Band{
			{ID: "day", When: when(everyDay, "08:00", "24:00"), UnitMinutes: 30, Price: 1050, Thresholds: []Threshold{{UntilMinutes: 120, Price: 700}}},
			{ID: "night", When: when(everyDay, "00:00", "08:00"), UnitMinutes: 30, Price: 200},
		}}
	}
	for _, c := range []struct {
		name, counts, reset string
		want                int64
	}{
		// 23:00 to 09:00: 2 at 7.00, 16 at 2.00, then 2 half-hours of the morning.
		{"the stay's time goes on: 10 h 30 min are past 2 h", "stay", "never", 2*700 + 16*200 + 2*1050},
		{"a new band begins anew", "stay", "band", 2*700 + 16*200 + 2*700},
		{"a new day begins anew at 00:00: 8 h of night use the 2 h up", "stay", "day", 2*700 + 16*200 + 2*1050},
		{"band or day", "stay", "band_or_day", 2*700 + 16*200 + 2*700},
		{"only the band's own time: 1 h + 1 h", "band", "never", 2*700 + 16*200 + 2*700},
		{"the band's time, anew each day", "band", "day", 2*700 + 16*200 + 2*700},
	} {
		b := bookOf(t, tariffOf(rules(), func(x *Tariff) { x.Options.ThresholdCounts, x.Options.ThresholdReset = c.counts, c.reset }))
		t.Run(c.name, func(t *testing.T) { costs(t, b, car("2026-03-02 23:00", "2026-03-03 09:00"), c.want) })
	}
	// 22:00 to 11:00 uses the band's 2 h up on the first evening unless the day resets it.
	for reset, want := range map[string]int64{"never": 4*700 + 16*200 + 6*1050, "day": 4*700 + 16*200 + 4*700 + 2*1050} {
		b := bookOf(t, tariffOf(rules(), func(x *Tariff) { x.Options.ThresholdCounts, x.Options.ThresholdReset = "band", reset }))
		costs(t, b, car("2026-03-02 22:00", "2026-03-03 11:00"), want)
	}
}

func TestTrap06MidnightAndDayTypes(t *testing.T) {
	// 16 February 2026 is a Monday, 17 to 19 February are public holidays.
	rules := func() Rules {
		work := []Day{Monday, Tuesday, Wednesday, Thursday, Friday}
		return Rules{Bands: []Band{
			{ID: "work-day", When: When{Days: work, ExcludePublicHoliday: true, From: at("07:00"), To: at("23:00")}, UnitMinutes: 60, Price: 1000},
			{ID: "work-night", When: When{Days: work, ExcludePublicHoliday: true, From: at("23:00"), To: at("07:00")}, UnitMinutes: 60, Price: 100, Priority: 1},
			{ID: "feast", When: when([]Day{Saturday, Sunday, PH}, "00:00", "24:00"), UnitMinutes: 60, Price: 3000},
		}}
	}
	stays := []struct {
		name, entry, exit string
		startDay, split   int64
	}{
		{"Monday night into a holiday: the band is Monday's, or is cut at 00:00", "2026-02-16 23:00", "2026-02-17 01:00", 200, 3100},
		{"Friday night into Saturday", "2026-03-06 22:00", "2026-03-07 02:00", 1000 + 3*100, 1000 + 100 + 2*3000},
		{"holiday into holiday", "2026-02-17 23:00", "2026-02-18 01:00", 6000, 6000},
		{"a holiday's evening into the work day after it", "2026-02-19 23:00", "2026-02-20 08:00", 0, 3000 + 7*100 + 1000},
	}
	for _, c := range stays {
		t.Run(c.name, func(t *testing.T) {
			split := bookOf(t, tariffOf(rules(), func(x *Tariff) { x.Options.Midnight = "split" }))
			costs(t, split, car(c.entry, c.exit), c.split)
			startDay := bookOf(t, tariffOf(rules()))
			if c.startDay == 0 {
				// Friday 00:00 to 07:00 belongs to Thursday's night, which a
				// holiday does not have: nobody has given it a price.
				_ = fails[*NoPriceError](t, startDay, car(c.entry, c.exit))
				return
			}
			costs(t, startDay, car(c.entry, c.exit), c.startDay)
		})
	}
	// The day before a holiday.
	b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 1000), {ID: "eve", When: when([]Day{PHEve}, "18:00", "24:00"), UnitMinutes: 60, Price: 5000}}}))
	costs(t, b, car("2026-02-16 17:00", "2026-02-16 19:00"), 6000)
	costs(t, b, car("2026-03-02 17:00", "2026-03-02 19:00"), 2000)
}

func TestTrap07Caps(t *testing.T) {
	capped := func(caps ...Cap) *Book {
		x := dayAndNight("start")
		x.Classes["car"].Caps = caps
		return bookOf(t, x)
	}
	day := Cap{ID: "day", Amount: 10000, Per: "calendar_day"}
	// 10:00 to 20:00 is 10 x 20 = 200, at most 100.
	costs(t, capped(day), car("2026-03-02 10:00", "2026-03-02 20:00"), 10000)
	// Two calendar days: 100 each. 10:00-24:00 and 00:00-10:00 = 7x14 + 3x20 = 158.
	costs(t, capped(day), car("2026-03-02 10:00", "2026-03-03 10:00"), 20000)
	// The same in one window of 24 h from entry.
	costs(t, capped(Cap{ID: "24h", Amount: 10000, Per: "24h_from_entry"}), car("2026-03-02 10:00", "2026-03-03 10:00"), 10000)
	// A second past it begins the next window: 20 more.
	costs(t, capped(Cap{ID: "24h", Amount: 10000, Per: "24h_from_entry"}), car("2026-03-02 10:00:00", "2026-03-03 10:00:01"), 12000)
	// Days that run from 07:00: 05:00-07:00 is 2 x 14 = 28 in the first, 07:00-17:00 at most 100 in the second.
	costs(t, capped(Cap{ID: "reset", Amount: 10000, Per: "reset_time", ResetTime: ptr(at("07:00"))}), car("2026-03-02 05:00", "2026-03-02 17:00"), 12800)
	// The window ends within a run of equal units: 7 x 10 and 7 x 10, at most 50 each.
	plain := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 1000)}, Caps: []Cap{{ID: "reset", Amount: 5000, Per: "reset_time", ResetTime: ptr(at("07:00"))}}}))
	costs(t, plain, car("2026-03-02 00:00", "2026-03-02 14:00"), 10000)
	// Inner first: the night of 8 x 14 = 112 is at most 50; day cap 60 from 23:00
	// on: 23-24 14, all of it within 60; 00-07 36 left of the night's 50; 07-10
	// 3 x 20 = 60, of which 24 are left within the day's 60. 14 + 36 + 24 = 74.
	night := Cap{ID: "night", Amount: 5000, Per: "occurrence", Bands: []string{"night"}}
	r := costs(t, capped(Cap{ID: "day", Amount: 6000, Per: "calendar_day"}, night), car("2026-03-02 23:00", "2026-03-03 10:00"), 7400)
	if n := len(r.Lines); r.Lines[n-2].Rule != "caps/night" || r.Lines[n-1].Rule != "caps/day" {
		t.Errorf("the caps stand in the order %s, %s", r.Lines[n-2].Rule, r.Lines[n-1].Rule)
	}
	// A cap above the price changes nothing.
	costs(t, capped(Cap{ID: "day", Amount: 999999, Per: "calendar_day"}), car("2026-03-02 10:00", "2026-03-02 11:00"), 2000)
	// HDB, Singapore: 1.20 per half-hour pro rata by the minute, at most 20.00 from
	// 07:00 to 07:00, the night 22:30-07:00 at most 5.00 (sso.agc.gov.sg).
	hdb := tariffOf(Rules{
		Bands: []Band{{ID: "day", When: when(everyDay, "07:00", "22:30"), UnitMinutes: 30, StepMinutes: 1, Price: 120},
			{ID: "night", When: when(everyDay, "22:30", "07:00"), UnitMinutes: 30, StepMinutes: 1, Price: 120}},
		Caps: []Cap{{ID: "session", Amount: 2000, Per: "reset_time", ResetTime: ptr(at("07:00"))}, night5()},
	}, func(x *Tariff) { x.Zone, x.Currency = "Asia/Singapore", "SGD" })
	b := bookOf(t, hdb)
	costs(t, b, car("2026-03-02 10:00", "2026-03-02 10:37"), 148)  // 37 x 0.04
	costs(t, b, car("2026-03-02 22:30", "2026-03-03 06:30"), 500)  // 480 x 0.04 = 19.20, at most 5
	costs(t, b, car("2026-03-02 20:30", "2026-03-03 07:10"), 1020) // 120 x 0.04 + 5 + 10 x 0.04
	costs(t, b, car("2026-03-02 07:00", "2026-03-03 07:00"), 2000) // 37.20 + 5, at most 20
}

func night5() Cap { return Cap{ID: "night", Amount: 500, Per: "occurrence", Bands: []string{"night"}} }

func TestTrap08TariffChangeDuringTheStay(t *testing.T) {
	versions := func(onChange string) []*Tariff {
		cap := []Cap{{ID: "day", Amount: 6000, Per: "calendar_day"}}
		old := tariffOf(Rules{Bands: []Band{hourly(60, 1000)}, Caps: cap}, func(x *Tariff) { x.Options.OnChange = onChange })
		later := tariffOf(Rules{Bands: []Band{hourly(60, 3000)}, Caps: cap}, func(x *Tariff) {
			x.Options.OnChange, x.Version, x.EffectiveFrom = onChange, "v2", hk("2026-03-02 12:30")
		})
		return []*Tariff{later, old}
	}
	entry := bookOf(t, versions("entry")...)
	r := costs(t, entry, car("2026-03-02 10:00", "2026-03-02 14:00"), 4000)
	if r.TariffVersion != "v1" || !r.Has(FlagTariffChanged) {
		t.Errorf("version %s, flags %v", r.TariffVersion, r.Flags)
	}
	costs(t, entry, car("2026-03-02 12:30", "2026-03-02 13:30"), 3000)
	// The version stored with the stay is honoured.
	pinned := car("2026-03-02 12:30", "2026-03-02 13:30")
	pinned.Version = "v1"
	costs(t, entry, pinned, 1000)
	// Split: the hour begun at 12:00 is finished at 10.00, then 30.00.
	split := bookOf(t, versions("split")...)
	costs(t, split, car("2026-03-02 10:00", "2026-03-02 13:00"), 3000)
	costs(t, split, car("2026-03-02 10:00", "2026-03-02 13:30"), 6000)
	// The day's cap of 60.00 goes on over the change: it is not granted twice,
	// and does not begin anew: 8 x 10 are 60 already at 12:00.
	costs(t, split, car("2026-03-02 04:00", "2026-03-02 15:00"), 6000)
	var none *NotInForceError = fails[*NotInForceError](t, split, Stay{Class: "car", Entry: hk("2019-01-01 10:00"), Exit: hk("2019-01-01 11:00")})
	if !strings.Contains(none.Error(), "2019-01-01T10:00:00+08:00") {
		t.Error(none)
	}
}

func TestTrap09DayParkLeftLate(t *testing.T) {
	x := tariffOf(Rules{Bands: []Band{hourly(60, 2000)}, Passes: []Pass{
		{ID: "day", Type: "day-park", When: when(everyDay, "07:00", "19:00"), ValidUntil: "same-day", ValidUntilEnd: ptr(at("19:00")), Price: 8000},
	}})
	b := bookOf(t, x)
	s := car("2026-03-02 08:00", "2026-03-02 19:00")
	s.Passes = []BoughtPass{{ID: "day"}}
	costs(t, b, s, 8000)
	s.Exit = hk("2026-03-02 19:00:01")
	r := costs(t, b, s, 10000) // one hour from 19:00, not twelve from 08:00
	if last := r.Lines[len(r.Lines)-1]; !last.From.Equal(hk("2026-03-02 19:00")) {
		t.Errorf("the excess is charged from %s", last.From)
	}
	s.Exit = hk("2026-03-02 21:30")
	costs(t, b, s, 8000+3*2000)
	// Come before the period: the hours until it are charged.
	s.Entry, s.Exit = hk("2026-03-02 05:30"), hk("2026-03-02 18:00")
	costs(t, b, s, 2*2000+8000)
	s.Passes = []BoughtPass{{ID: "nope"}}
	_ = fails[*UnknownNameError](t, b, s)
}

func TestTrap10Monotonic(t *testing.T) {
	// An early-bird rule: whoever stays in the day park's time pays it, whoever
	// leaves later pays hourly again; 1 h costs 80, 12:30 costs less than 11:30.
	x := tariffOf(Rules{Bands: []Band{hourly(60, 1000)}, Passes: []Pass{
		{ID: "day", Type: "day-park", When: when(everyDay, "07:00", "12:00"), ValidUntil: "no-restrictions", Price: 8000},
	}}, func(x *Tariff) { x.Options.Passes = "automatic" })
	b := bookOf(t, x)
	costs(t, b, car("2026-03-02 11:00", "2026-03-02 12:00"), 8000)
	costs(t, b, car("2026-03-02 11:00", "2026-03-02 12:30"), 2000)
	var warned *Finding
	for _, f := range Check(x) {
		if strings.Contains(f.Text, "staying longer costs less") {
			warned = &f
		}
	}
	if warned == nil || len(warned.Example) != 2 {
		t.Fatalf("no warning with an example: %+v", Check(x))
	}
	shorter, longer := rated(t, b, warned.Example[0]), rated(t, b, warned.Example[1])
	if shorter.TotalCents <= longer.TotalCents || !warned.Example[0].Exit.Before(warned.Example[1].Exit) {
		t.Errorf("the example does not show it: %d, then %d", shorter.TotalCents, longer.TotalCents)
	}
	// The same pass by best price is monotone.
	x.Options.Passes = "best_price"
	b = bookOf(t, x)
	costs(t, b, car("2026-03-02 11:00", "2026-03-02 12:00"), 1000)
	costs(t, b, car("2026-03-02 07:00", "2026-03-02 18:00"), 11000)
	for _, f := range Check(x) {
		if strings.Contains(f.Text, "staying longer") {
			t.Errorf("warned of best price: %s", f.Text)
		}
	}
}

func TestTrap11Reentry(t *testing.T) {
	rules := Rules{FreeMinutes: 30, FreeFromStart: ptr(true), Bands: []Band{hourly(60, 1000)}, Caps: []Cap{{ID: "24h", Amount: 3000, Per: "24h_from_entry"}}}
	for _, gap := range []string{"not_charged", "charged"} {
		b := bookOf(t, tariffOf(rules, func(x *Tariff) { x.Options.ReentryMinutes, x.Options.ReentryGap = 10, gap }))
		s := car("2026-03-02 10:34", "2026-03-02 11:40")
		s.Earlier = []Interval{{hk("2026-03-02 10:00"), hk("2026-03-02 10:29")}}
		// Not charged: 29 + 66 = 95 min, 65 past the free ones: 2 h. Charged: 100
		// min, 70 past the free ones: 2 h.
		r := costs(t, b, s, 2000)
		if !r.Has(FlagReentry) {
			t.Errorf("flags %v", r.Flags)
		}
		// 11 minutes away is too long: both visits stand alone, and this one of 30 min is free.
		s = car("2026-03-02 10:40", "2026-03-02 11:10")
		s.Earlier = []Interval{{hk("2026-03-02 10:00"), hk("2026-03-02 10:29")}}
		if r := costs(t, b, s, 0); r.Has(FlagReentry) {
			t.Error("an entry after 11 minutes continued the stay")
		}
		// The cap is not dodged: 6 h and again 6 h cost 30 together, of which 30 is paid.
		s = car("2026-03-02 16:05", "2026-03-02 22:00")
		s.Earlier = []Interval{{hk("2026-03-02 10:00"), hk("2026-03-02 16:00")}}
		s.Payments = []Payment{{At: hk("2026-03-02 15:58"), Cents: 3000}}
		if r := costs(t, b, s, 3000); r.DueCents != 0 {
			t.Errorf("due %d", r.DueCents)
		}
	}
}

func TestTrap12Rounding(t *testing.T) {
	disabled := Discount{Code: "disabled_permit", By: "flag", Kind: "percent", Percent: 50, RoundTo: 100, Order: 1}
	for price, want := range map[Cents]int64{
		700:  400,  // 3.50 rounds up
		1050: 500,  // 5.25
		2100: 1100, // 10.50
		1049: 500,  // 5.245: half a cent is not rounded first, or it would be 5.25 all the same
		299:  100,  // 1.495: to the cent first it would be 1.50 and then 2.00
		99:   0,    // 0.495
		100:  100,  // 0.50 rounds up, and is not dearer than without
	} {
		b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, price)}, Discounts: []Discount{disabled}}))
		s := car("2026-03-02 10:00", "2026-03-02 11:00")
		costs(t, b, s, int64(price))
		s.Flags = []string{"disabled_permit"}
		costs(t, b, s, want)
	}
	// Once, at the end: three units of 0.50 halved are 0.75, rounded 1.00; each for itself would be 3 x 0.
	b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 50)}, Discounts: []Discount{disabled}}))
	s := car("2026-03-02 10:00", "2026-03-02 13:00")
	s.Flags = []string{"disabled_permit"}
	costs(t, b, s, 100)
	// Rounding never makes it dearer: 1 % off 5.90 is 5.84, and not 6.00.
	b = bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 590)}, Discounts: []Discount{{Code: "one", By: "flag", Kind: "percent", Percent: 1, RoundTo: 100, Order: 1}}}))
	s = car("2026-03-02 10:00", "2026-03-02 11:00")
	s.Flags = []string{"one"}
	costs(t, b, s, 590)
	// A run of pro rata steps is rounded once: 3 x 20 min of 1.00 an hour are 1.00, not 3 x 0.33.
	for rounding, want := range map[string]int64{"half_up": 67, "up": 67, "down": 66} {
		x := tariffOf(Rules{Bands: []Band{{ID: "all", When: when(everyDay, "00:00", "24:00"), UnitMinutes: 60, StepMinutes: 20, Price: 100}}}, func(x *Tariff) { x.Options.Rounding = rounding })
		costs(t, bookOf(t, x), car("2026-03-02 10:00", "2026-03-02 11:00"), 100)
		costs(t, bookOf(t, x), car("2026-03-02 23:40", "2026-03-03 00:20"), want) // over midnight too
	}
}
