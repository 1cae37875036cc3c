package tariff

import (
	"testing"
)

// Days of the tables: 2 March 2026 is a Monday, 6 a Friday, 7 a Saturday, 8 a
// Sunday; 17 February (a Tuesday) to 19 February are public holidays, 20
// February is a Friday.

type sampleStay struct {
	entry, exit string
	want        int64
	pass        string
	flag        string
}

func priceSample(t *testing.T, name string, stays []sampleStay) {
	t.Helper()
	b := benchBook(t, name)
	for _, c := range stays {
		s := Stay{ID: name, Class: "private_car", Entry: hk(c.entry), Exit: hk(c.exit)}
		if c.pass != "" {
			s.Passes = []BoughtPass{{ID: c.pass}}
		}
		if c.flag != "" {
			s.Flags = []string{c.flag}
		}
		costs(t, b, s, c.want)
	}
}

func TestRumseyStreet(t *testing.T) {
	priceSample(t, "rumsey-street", []sampleStay{
		{"2026-03-02 10:00:00", "2026-03-02 11:00:00", 2000, "", ""},                          // 60:00 is one hour at 20
		{"2026-03-02 10:00:00", "2026-03-02 11:00:01", 4000, "", ""},                          // 60:01 is two
		{"2026-03-02 10:00:00", "2026-03-02 10:00:01", 2000, "", ""},                          // a second is an hour begun
		{"2026-03-02 22:30:00", "2026-03-02 23:30:00", 2000, "", ""},                          // begun at 22:30, by day
		{"2026-03-02 22:30:00", "2026-03-02 23:30:01", 3400, "", ""},                          // 20 + 14
		{"2026-03-02 22:00:00", "2026-03-03 08:00:00", 15200, "", ""},                         // 22: 20; 23 to 07: 8 x 14 = 112; 07: 20
		{"2026-03-02 23:00:00", "2026-03-03 07:00:00", 11200, "", ""},                         // 8 x 14
		{"2026-03-03 06:59:59", "2026-03-03 07:59:59", 1400, "", ""},                          // begun a second before 07:00
		{"2026-03-02 09:00:00", "2026-03-03 09:00:00", 43200, "", ""},                         // 16 x 20 + 8 x 14 = 320 + 112
		{"2026-03-07 07:00", "2026-03-07 19:00", 15000, "day-pass-mon-sat", ""},               // Saturday, the pass alone
		{"2026-03-07 07:00", "2026-03-07 19:00:01", 17000, "day-pass-mon-sat", ""},            // + an hour from 19:00
		{"2026-03-07 07:00", "2026-03-07 23:30", 15000 + 8000 + 1400, "day-pass-mon-sat", ""}, // 19, 20, 21, 22: 4 x 20; 23: 14
		{"2026-03-07 06:30", "2026-03-07 19:00", 1400 + 15000, "day-pass-mon-sat", ""},        // 06:30 by night
		{"2026-03-08 08:00", "2026-03-09 00:00", 9000, "day-pass-sun-ph", ""},                 // Sunday 08 to 24
		{"2026-03-08 08:00", "2026-03-09 00:30", 9000 + 1400, "day-pass-sun-ph", ""},          // + 00:00 by night
		{"2026-02-17 08:00", "2026-02-17 20:00", 9000, "day-pass-sun-ph", ""},                 // a Tuesday that is a holiday
		{"2026-02-17 06:00", "2026-02-17 20:00", 1400 + 2000 + 9000, "day-pass-sun-ph", ""},   // 06: 14, 07: 20
		{"2026-03-02 19:00", "2026-03-03 07:00", 5000, "night-pass", ""},
		{"2026-03-02 20:15", "2026-03-03 06:00", 5000, "night-pass", ""},
		{"2026-03-03 01:00", "2026-03-03 07:00", 5000, "night-pass", ""},               // bought after midnight
		{"2026-03-02 18:00", "2026-03-03 07:30", 2000 + 5000 + 2000, "night-pass", ""}, // 18: 20; night; 07: 20
		{"2026-03-02 18:00", "2026-03-02 21:00", 6000, "", ""},                         // passes do not apply by themselves
	})
	b := benchBook(t, "rumsey-street")
	// On a holiday the Monday to Saturday pass begins on the next day it holds.
	r := costs(t, b, Stay{Class: "private_car", Entry: hk("2026-02-17 10:00"), Exit: hk("2026-02-17 11:00"), Passes: []BoughtPass{{ID: "day-pass-mon-sat"}}}, 2000+15000)
	if from := r.Lines[0].From; !from.Equal(hk("2026-02-20 07:00")) {
		t.Errorf("the pass begins %s", from)
	}
	// A year without published holidays: the hours can be priced, the pass cannot.
	costs(t, b, Stay{Class: "private_car", Entry: hk("2027-03-01 10:00"), Exit: hk("2027-03-01 11:00")}, 2000)
	e := fails[*NoHolidaysError](t, b, Stay{Class: "private_car", Entry: hk("2027-03-01 10:00"), Exit: hk("2027-03-01 11:00"), Passes: []BoughtPass{{ID: "day-pass-mon-sat"}}})
	if e.Year != 2027 || e.Error()[:35] != "no holidays published for 2027; add" {
		t.Error(e)
	}
	m, err := b.Permit(PermitRequest{Class: "private_car", ID: "monthly", From: Date{2026, 3, 1}})
	if err != nil || m.TotalCents != 375000 {
		t.Errorf("a month costs %d (%v)", m.TotalCents, err)
	}
}

// Motorcycles at Rumsey Street: $20 for the day, 08 to 23, $8 for the night, 23
// to 08, $280 a month (annex). Worked by hand: one price for each day and night
// that the stay meets.
func TestRumseyStreetMotorcycles(t *testing.T) {
	b := benchBook(t, "rumsey-street")
	for _, c := range []struct {
		entry, exit string
		want        int64
	}{
		{"2026-03-02 10:00:00", "2026-03-02 10:00:01", 2000}, // a second by day
		{"2026-03-02 08:00:00", "2026-03-02 23:00:00", 2000}, // the whole day
		{"2026-03-02 08:00:00", "2026-03-02 23:00:01", 2800}, // and a second of the night
		{"2026-03-02 07:59:59", "2026-03-02 08:00:00", 800},  // a second of the night before
		{"2026-03-02 07:59:59", "2026-03-02 12:00:00", 2800}, // 8 + 20
		{"2026-03-02 23:00:00", "2026-03-03 08:00:00", 800},  // the whole night
		{"2026-03-03 02:00:00", "2026-03-03 05:00:00", 800},  // begun after midnight
		{"2026-03-02 18:00:00", "2026-03-03 09:00:00", 2000 + 800 + 2000},
		{"2026-03-08 10:00:00", "2026-03-08 22:00:00", 2000},              // a Sunday as any day
		{"2026-02-17 10:00:00", "2026-02-18 10:00:00", 2000 + 800 + 2000}, // holidays too
		{"2026-03-02 10:00:00", "2026-03-05 10:00:00", 4*2000 + 3*800},    // four days, three nights
		{"2026-03-02 10:00:00", "2026-03-02 10:00:00", 0},
	} {
		costs(t, b, Stay{Class: "motorcycle", Entry: hk(c.entry), Exit: hk(c.exit)}, c.want)
	}
	// One that was bought already counts once.
	costs(t, b, Stay{Class: "motorcycle", Entry: hk("2026-03-02 10:00"), Exit: hk("2026-03-02 12:00"), Passes: []BoughtPass{{ID: "motorcycle-day"}}}, 2000)
	costs(t, b, Stay{Class: "motorcycle", Entry: hk("2026-03-02 10:00"), Exit: hk("2026-03-09 12:00"), Permit: "motorcycle-monthly"}, 0)
	m, err := b.Permit(PermitRequest{Class: "motorcycle", ID: "motorcycle-monthly", From: Date{2026, 3, 1}})
	if err != nil || m.TotalCents != 28000 {
		t.Errorf("a month costs %d (%v)", m.TotalCents, err)
	}
	// A car's passes are bought, whatever the motorcycles' do, and its night
	// pass holds from Monday to Saturday: one bought on a Sunday begins on Monday.
	costs(t, b, Stay{Class: "private_car", Entry: hk("2026-03-02 08:00"), Exit: hk("2026-03-02 19:00")}, 11*2000)
	costs(t, b, Stay{Class: "private_car", Entry: hk("2026-03-08 20:00"), Exit: hk("2026-03-08 21:00"), Passes: []BoughtPass{{ID: "night-pass"}}}, 2000+5000)
	x, err := Sample("rumsey-street")
	if err != nil {
		t.Fatal(err)
	}
	p, lost, err := x.Published("motorcycle", "en_US")
	if err != nil || len(p.HourlyCharges) != 0 || len(p.DayNightParks) != 2 || len(p.MonthlyCharges) != 1 || len(lost) != 1 {
		t.Errorf("published %+v, lost %v, %v", p, lost, err)
	}
}

func TestShaTinTownHall(t *testing.T) {
	priceSample(t, "sha-tin-town-hall", []sampleStay{
		{"2026-03-02 09:00:00", "2026-03-02 09:30:00", 700, "", ""},
		{"2026-03-02 09:00:00", "2026-03-02 09:30:01", 1400, "", ""},
		{"2026-03-02 09:00:00", "2026-03-02 11:00:00", 2800, "", ""},               // 4 x 7
		{"2026-03-02 09:00:00", "2026-03-02 11:00:01", 3850, "", ""},               // + 10.50
		{"2026-03-02 09:00:00", "2026-03-02 14:00:00", 9100, "", ""},               // 28 + 6 x 10.50 = 28 + 63
		{"2026-03-07 09:00:00", "2026-03-07 12:00:00", 9800, "", ""},               // Saturday: 4 x 14 + 2 x 21 = 56 + 42
		{"2026-02-17 09:00:00", "2026-02-17 12:00:00", 9800, "", ""},               // a holiday on a Tuesday
		{"2026-02-20 09:00:00", "2026-02-20 12:00:00", 4900, "", ""},               // the Friday after: 28 + 2 x 10.50
		{"2026-03-03 02:00:00", "2026-03-03 08:00:00", 2400, "", ""},               // 12 x 2
		{"2026-03-03 07:50:00", "2026-03-03 08:20:00", 200, "", ""},                // begun at 07:50
		{"2026-03-03 07:50:00", "2026-03-03 08:20:01", 900, "", ""},                // 2 + 7
		{"2026-03-06 22:00:00", "2026-03-07 00:00:00", 2800, "", ""},               // Friday, 4 x 7
		{"2026-03-06 22:00:00", "2026-03-07 02:00:00", 3600, "", ""},               // + 4 x 2
		{"2026-03-06 22:00:00", "2026-03-07 09:00:00", 2800 + 3200 + 4200, "", ""}, // 16 x 2; then the 2 h are over: 2 x 21
		{"2026-03-06 23:00:00", "2026-03-07 09:00:00", 1400 + 3200 + 4200, "", ""}, // 2 x 7, 16 x 2, 2 x 21
		{"2026-03-06 23:45:00", "2026-03-07 00:15:00", 700, "", ""},                // begun on Friday
		{"2026-03-07 23:45:00", "2026-03-08 00:15:01", 1600, "", ""},               // 14 + 2
		{"2026-03-07 07:00:00", "2026-03-07 09:00:00", 400 + 2800, "", ""},         // 2 x 2, then 2 x 14 of the first 2 h
		{"2026-03-07 06:00:00", "2026-03-07 09:00:00", 800 + 4200, "", ""},         // 4 x 2 use the 2 h up, 2 x 21
		// Half of it for the disabled, to the nearest dollar, half up, once.
		{"2026-03-02 09:00:00", "2026-03-02 09:30:00", 400, "", "disabled_permit"},  // 3.50
		{"2026-03-02 09:00:00", "2026-03-02 10:00:00", 700, "", "disabled_permit"},  // 7.00
		{"2026-03-02 09:00:00", "2026-03-02 11:00:01", 1900, "", "disabled_permit"}, // 38.50/2 = 19.25
		{"2026-03-02 09:00:00", "2026-03-02 11:30:01", 2500, "", "disabled_permit"}, // 49/2 = 24.50
		{"2026-03-03 02:00:00", "2026-03-03 02:30:00", 100, "", "disabled_permit"},
	})
}

func TestTseungKwanO(t *testing.T) {
	priceSample(t, "tseung-kwan-o", []sampleStay{
		{"2026-03-02 10:00:00", "2026-03-02 13:00:00", 4500, "", ""}, // 3 x 15
		{"2026-03-02 10:00:00", "2026-03-02 13:00:01", 6000, "", ""},
		{"2026-03-07 10:00:00", "2026-03-07 13:00:00", 4800, "", ""}, // 3 x 16
		{"2026-02-17 10:00:00", "2026-02-17 13:00:00", 4800, "", ""},
		{"2026-03-06 22:30:00", "2026-03-07 01:30:00", 4600, "", ""}, // 22:30, 23:30 at 15; 00:30 at 16
		{"2026-03-02 07:00:00", "2026-03-02 19:00:00", 8000, "day-park", ""},
		{"2026-03-02 07:00:00", "2026-03-02 20:30:00", 8000 + 3000, "day-park", ""}, // 19:00, 20:00
		{"2026-03-02 06:00:00", "2026-03-02 19:00:00", 1500 + 8000, "day-park", ""},
		{"2026-03-02 19:00:00", "2026-03-03 07:00:00", 8000, "night-park", ""},
		{"2026-03-06 18:00:00", "2026-03-07 08:30:00", 1500 + 8000 + 3200, "night-park", ""}, // Friday 18: 15; Saturday 07, 08: 2 x 16
	})
	b := benchBook(t, "tseung-kwan-o")
	// The machine's time: in the queue from 09:55, taken at 10:00; asked back at
	// 12:00, ready at 12:03, away at 12:06. Two hours.
	s := Stay{Class: "private_car", Entry: hk("2026-03-02 09:55"), Exit: hk("2026-03-02 12:06"),
		Machine: &Machine{Accepted: hk("2026-03-02 10:00"), Requested: hk("2026-03-02 12:00"), Ready: hk("2026-03-02 12:03")}}
	costs(t, b, s, 3000)
	s.EV = &EVSession{PlugIn: hk("2026-03-02 10:02"), ChargeEnd: hk("2026-03-02 11:32"), Unplug: hk("2026-03-02 12:00")}
	costs(t, b, s, 3000+2*1900) // 90 min of charging at 19 an hour
}

func TestHoiShingRoadAndTungChauStreet(t *testing.T) {
	priceSample(t, "hoi-shing-road", []sampleStay{
		{"2026-03-02 10:00:00", "2026-03-02 11:00:00", 2400, "", ""},
		{"2026-03-02 10:00:00", "2026-03-02 12:00:01", 7200, "", ""},
		{"2026-03-07 18:00:00", "2026-03-09 18:00:00", 48 * 2400, "", ""},
	})
	priceSample(t, "tung-chau-street", []sampleStay{
		{"2026-03-02 10:00:00", "2026-03-02 13:30:00", 4 * 1900, "", ""},
		{"2026-02-17 10:00:00", "2026-02-17 11:00:00", 1900, "", ""},
	})
}

func TestMultiStoreyWithEV(t *testing.T) {
	priceSample(t, "multi-storey-ev", []sampleStay{
		{"2026-03-02 10:00:00", "2026-03-02 10:10:00", 0, "", ""},    // grace
		{"2026-03-02 10:00:00", "2026-03-02 10:10:01", 1200, "", ""}, // from entry
		{"2026-03-02 10:00:00", "2026-03-02 12:00:00", 4800, "", ""},
		{"2026-03-02 08:00:00", "2026-03-02 14:30:00", 15000, "", ""},        // 13 x 12 = 156: the day park
		{"2026-03-02 08:00:00", "2026-03-02 20:00:00", 15000 + 2400, "", ""}, // 19:00-20:00 2 x 12; 12-hours would be 190
		{"2026-03-02 12:00:00", "2026-03-03 00:00:00", 19000, "", ""},        // 12-hours 190, against 150 + 8 x 12 + 2 x 6 = 258
		{"2026-03-03 00:00:00", "2026-03-03 07:00:00", 5000, "", ""},         // 14 x 6 = 84, at most 50 a night
	})
	b := benchBook(t, "multi-storey-ev")
	s := Stay{Class: "private_car", Entry: hk("2026-03-02 10:00"), Exit: hk("2026-03-02 13:00")}
	s.Validations = []Validation{{"cinema-2h", ""}, {"shops-1h", ""}}
	costs(t, b, s, 2400) // 6 x 12 less 2 h; the two do not stack
	s.Flags = []string{"unloading"}
	costs(t, b, s, 2*1000) // by the unloading rule: 6 x 10 less 2 h
	s.Flags = []string{"employee"}
	costs(t, b, s, 0)
	s = Stay{Class: "private_car", Entry: hk("2026-03-02 10:00"), NoShow: true, Reserved: true}
	costs(t, b, s, 4000+1000)
	s = Stay{Class: "private_car", Entry: hk("2026-03-02 10:00"), Exit: hk("2026-03-02 11:00"), Reserved: true}
	costs(t, b, s, 2400+1000)
	s = Stay{Class: "motorcycle", Entry: hk("2026-03-02 10:00"), Exit: hk("2026-03-02 22:00")}
	costs(t, b, s, 3000) // 24 x 3, at most 30 a day
}

// TestSamplesAreSound: every sample parses, has no error, says its sources and
// its open points, and is written as it was read.
func TestSamplesAreSound(t *testing.T) {
	names := Samples()
	if len(names) < 6 {
		t.Fatalf("samples: %v", names)
	}
	for _, name := range names {
		x, err := Sample(name)
		if err != nil {
			t.Fatal(err)
		}
		if x.Source == "" || x.Remark.English == "" || x.ID != name {
			t.Errorf("%s: id %s, source %q, remark %q", name, x.ID, x.Source, x.Remark.English)
		}
		for _, f := range Check(x) {
			t.Errorf("%s: %+v", name, f)
		}
		again := parsed(t, written(t, x))
		if encoded(t, again) != encoded(t, x) {
			t.Errorf("%s changed when it was written and read", name)
		}
	}
	if _, err := Sample("nowhere"); err == nil {
		t.Error("there is a sample nowhere")
	}
}
