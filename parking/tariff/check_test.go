package tariff

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestCheckFinds wants each kind of finding, and nothing else, of a tariff
// that has it.
func TestCheckFinds(t *testing.T) {
	for _, c := range []struct {
		name, text string
		rules      Rules
		edit       func(*Tariff)
		isError    bool
	}{
		{"gap", "no band gives a price for MON 22:00-24:00", Rules{Bands: []Band{{ID: "a", When: when(everyDay, "00:00", "22:00"), UnitMinutes: 60, Price: 1}}}, nil, false},
		{"gap on holidays", "MON that is a public holiday", Rules{Bands: []Band{{ID: "a", When: When{Days: everyDay, ExcludePublicHoliday: true, To: minutesPerDay}, UnitMinutes: 60, Price: 1}}}, nil, false},
		{"overlap", "both price", Rules{Bands: []Band{hourly(60, 1), {ID: "b", When: when(everyDay, "10:00", "11:00"), UnitMinutes: 60, Price: 1}}}, nil, true},
		{"hidden band", "band b never holds", Rules{Bands: []Band{{ID: "a", When: hourly(60, 1).When, UnitMinutes: 60, Price: 1, Priority: 1}, {ID: "b", When: when(everyDay, "10:00", "11:00"), UnitMinutes: 60, Price: 1}}}, nil, false},
		{"idle cap", "cap c of 1000.00 took nothing off", Rules{Bands: []Band{hourly(60, 100)}, Caps: []Cap{{ID: "c", Amount: 100000, Per: "calendar_day"}}}, nil, false},
		{"grace in words", "published and never rated", Rules{Bands: []Band{hourly(60, 1)}, GracePeriods: []GracePeriod{{Minutes: 15, Remark: Say(English, "Residents")}}}, nil, false},
		{"early rounding", "is not the last", Rules{Bands: []Band{hourly(60, 1)}, Discounts: []Discount{
			{Code: "a", By: "flag", Kind: "percent", Percent: 50, RoundTo: 100, Order: 1}, {Code: "b", By: "flag", Kind: "percent", Percent: 10, Order: 2}}}, nil, false},
		{"minutes last", "lower order", Rules{Bands: []Band{hourly(60, 1)}, Discounts: []Discount{
			{Code: "a", By: "flag", Kind: "percent", Percent: 50, Order: 1}, {Code: "b", By: "flag", Kind: "minutes", Minutes: 5, MinutesFrom: "end", Order: 2}}}, nil, true},
		{"unloadings", "nothing says by which", Rules{Bands: []Band{hourly(60, 1)}, Unloadings: []Unloading{{ID: "a", UnitMinutes: 30}, {ID: "b", UnitMinutes: 60}}}, nil, false},
		{"passes with a gap", "they leave time without a price, for instance", Rules{PassMode: "best_price", Passes: []Pass{{
			ID: "a", Type: "day-park", When: when(everyDay, "08:00", "23:00"), ValidUntil: "same-day", Price: 1}}}, nil, false},
		{"pass mode", "/classes/car/pass_mode", Rules{Bands: []Band{hourly(60, 1)}, PassMode: "cheapest"}, nil, true},
		{"nothing", "nothing can be rated", Rules{}, nil, true},
		{"options", "/options/passes", Rules{Bands: []Band{hourly(60, 1)}}, func(x *Tariff) { x.Options.Passes = "" }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := tariffOf(c.rules)
			if c.edit != nil {
				c.edit(x)
			}
			found := Check(x)
			if len(found) == 0 {
				t.Fatal("nothing was found")
			}
			for _, f := range found {
				if f.Error != c.isError || !strings.Contains(f.Pointer+" "+f.Text, c.text) && c.name != "overlap" {
					t.Errorf("%+v", f)
				}
			}
			if _, err := New([]*Tariff{x}, nil); (err != nil) != c.isError && c.name != "nothing" {
				t.Errorf("New: %v", err)
			}
		})
	}
	sound := tariffOf(Rules{Bands: []Band{hourly(60, 2000)}, Caps: []Cap{{ID: "c", Amount: 10000, Per: "calendar_day"}}})
	if found := Check(sound); len(found) != 0 {
		t.Errorf("a sound tariff: %+v", found)
	}
}

func TestNewRefuses(t *testing.T) {
	a := tariffOf(Rules{Bands: []Band{hourly(60, 1)}})
	edit := func(f func(*Tariff)) *Tariff { return tariffOf(Rules{Bands: []Band{hourly(60, 1)}}, f) }
	for name, list := range map[string][]*Tariff{
		"no version":                 nil,
		"twice":                      {a, edit(func(x *Tariff) { x.EffectiveFrom = hk("2026-01-01 00:00") })},
		"both effective":             {a, edit(func(x *Tariff) { x.Version = "v2" })},
		"same id":                    {a, edit(func(x *Tariff) { x.Version, x.ID, x.EffectiveFrom = "v2", "other", hk("2026-01-01 00:00") })},
		"same id, zone and currency": {a, edit(func(x *Tariff) { x.Version, x.Currency, x.EffectiveFrom = "v2", "MOP", hk("2026-01-01 00:00") })},
	} {
		if _, err := New(list, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMoreRules prices what the published tariffs do not have.
func TestMoreRules(t *testing.T) {
	b := bookOf(t, tariffOf(Rules{
		Bands: []Band{
			{ID: "day", When: when(everyDay, "07:00", "19:00"), UnitMinutes: 15, Price: 300},
			{ID: "night", When: when(everyDay, "19:00", "07:00"), PerEntry: true, Price: 5000},
			{ID: "match", Event: "match", When: When{From: at("17:00"), To: at("22:00")}, PerEntry: true, Price: 9900},
		},
		Overnight:    []Overnight{{ID: "n", Days: []Day{Saturday, PH}, At: at("03:00"), Price: 1000}},
		GracePeriods: []GracePeriod{{Minutes: 10}, {Minutes: 60, If: "resident", Remark: Say(English, "Residents")}},
	}, func(x *Tariff) { x.Events = []Event{{ID: "match", Dates: []Date{{2026, 3, 4}}}} }))
	costs(t, b, car("2026-03-02 18:00", "2026-03-02 18:46"), 4*300)
	costs(t, b, car("2026-03-02 18:50", "2026-03-02 19:01"), 300)              // the quarter runs to 19:05
	costs(t, b, car("2026-03-02 18:50", "2026-03-02 19:06"), 300+5000)         // once for the entry
	costs(t, b, car("2026-03-02 18:00", "2026-03-03 08:00"), 4*300+5000+4*300) //
	costs(t, b, car("2026-03-02 20:00", "2026-03-04 06:00"), 5000+12*4*300)    // two nights, one entry
	costs(t, b, car("2026-03-04 16:00", "2026-03-04 20:00"), 4*300+9900)       // the event goes before all
	costs(t, b, car("2026-03-04 16:00", "2026-03-04 23:00"), 4*300+9900+5000)  //
	costs(t, b, car("2026-03-06 20:00", "2026-03-07 06:00"), 5000+1000)        // there at 03:00 on a Saturday
	costs(t, b, car("2026-03-07 03:00", "2026-03-07 03:11"), 5000+1000)        // from 03:00
	costs(t, b, car("2026-03-07 02:00", "2026-03-07 03:00"), 5000)             // until 03:00
	s := car("2026-03-02 10:00", "2026-03-02 11:00")
	costs(t, b, s, 4*300)
	s.Flags = []string{"resident"}
	costs(t, b, s, 0)
	s.Exit = s.Exit.Add(time.Second)
	costs(t, b, s, 5*300)
}

func TestRateRefuses(t *testing.T) {
	b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 1)}}))
	ok := car("2026-03-02 10:00", "2026-03-02 11:00")
	for text, edit := range map[string]func(*Stay){
		"has no class":     func(s *Stay) { s.Class = "tank" },
		"exit is missing":  func(s *Stay) { s.Exit = time.Time{} },
		"longer than":      func(s *Stay) { s.Exit = s.Exit.AddDate(4, 0, 0) },
		"between 1980":     func(s *Stay) { s.Exit = s.Exit.AddDate(400, 0, 0) },
		"no version":       func(s *Stay) { s.Version = "v9" },
		"no pass":          func(s *Stay) { s.Passes = []BoughtPass{{ID: "x"}} },
		"no permit":        func(s *Stay) { s.Permit = "x" },
		"not negative":     func(s *Stay) { s.Payments = []Payment{{At: s.Entry, Cents: -1}} },
		"no start":         func(s *Stay) { s.Paused = []Interval{{Start: s.Entry}} },
		"plug-in":          func(s *Stay) { s.EV = &EVSession{} },
		"single unloading": func(s *Stay) { s.Flags = []string{"unloading"} },
		"longer than 200":  func(s *Stay) { s.Flags = make([]string, 201) },
	} {
		s := ok
		edit(&s)
		if r, err := b.Rate(s); err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), `"t"`) {
			t.Errorf("%s: %v (%d)", text, err, r.TotalCents)
		}
	}
	if _, err := b.Quote(QuoteRequest{Class: "car", From: ok.Entry, To: ok.Exit}); err == nil {
		t.Error("a quote without an instant was made")
	}
	if _, err := b.Quote(QuoteRequest{Class: "car", From: ok.Exit, To: ok.Entry, At: ok.Entry}); err == nil {
		t.Error("a quote from the end to the beginning was made")
	}
}

// staysOf makes n stays of an hour, each an hour later; every fifth of an
// unknown class, every seventh an error of the source.
func staysOf(n int) iter.Seq2[Stay, error] {
	return func(yield func(Stay, error) bool) {
		start := hk("2026-03-02 00:00")
		for i := range n {
			from := start.Add(time.Duration(i%168) * time.Hour)
			s := Stay{ID: "s", Class: "car", Entry: from, Exit: from.Add(time.Hour)}
			var err error
			if i%5 == 4 {
				s.Class = "tank"
			}
			if i%7 == 6 {
				err = errors.New("unreadable")
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

func TestDryRun(t *testing.T) {
	old := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 1000)}}))
	next := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 1000),
		{ID: "dear", When: when([]Day{Monday}, "08:00", "10:00"), UnitMinutes: 60, Price: 1500, Priority: 1},
		{ID: "cheap", When: when([]Day{Tuesday}, "08:00", "09:00"), UnitMinutes: 60, Price: 100, Priority: 1}}}))
	c, err := DryRun(t.Context(), old, next, staysOf(168))
	if err != nil {
		t.Fatal(err)
	}
	// 24 of 168 are unreadable (every seventh), 33 of another class (every fifth),
	// of which 4 are both (place 34 of every 35, of which there are 4 whole).
	x := c.Classes["car"]
	if c.FailureCount != 24+33-4 || len(c.Failures) != 53 || x.Stays != 168-53 {
		t.Fatalf("%d failures, %d listed, %d stays", c.FailureCount, len(c.Failures), x.Stays)
	}
	// Monday 08 is place 8, 09 is place 9 (every fifth), Tuesday 08 place 32.
	if x.Dearer != 1 || x.Cheaper != 1 || x.Same != x.Stays-2 || x.OldCents != x.Stays*1000 || x.NewCents != x.OldCents+500-900 ||
		x.MostDearer.NewCents-x.MostDearer.OldCents != 500 || x.MostCheaper.NewCents-x.MostCheaper.OldCents != -900 {
		t.Errorf("%+v", x)
	}
	// Memory does not grow with the stays.
	measure := func(n int) uint64 {
		if _, err := DryRun(t.Context(), old, next, staysOf(n)); err != nil {
			t.Fatal(err)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	small, large := measure(100), measure(20000)
	if large > small+1<<20 {
		t.Errorf("%d bytes live after 100 stays, %d after 20000", small, large)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := DryRun(ctx, old, next, staysOf(100)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
