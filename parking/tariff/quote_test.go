package tariff

import (
	"testing"
	"time"
)

// TestQuoteSupposes: a quote that rests on a permit of the disabled, a
// validation or some charging does not bind a stay without them.
func TestQuoteSupposes(t *testing.T) {
	x := tariffOf(Rules{
		Bands: []Band{hourly(60, 2000)}, EV: &EV{Price: 1000, UnitMinutes: 60}, Reservation: &Fee{Price: 500},
		Discounts: []Discount{{Code: "disabled_permit", By: "flag", Kind: "percent", Percent: 50, Order: 2}, {Code: "shop", By: "validation", Kind: "full", Order: 1}},
	}, func(x *Tariff) { x.Options.ReentryMinutes, x.Options.ReentryGap = 30, "not_charged" })
	b := bookOf(t, x)
	ask := QuoteRequest{Class: "car", From: hk("2026-03-02 10:00"), To: hk("2026-03-02 12:00"), At: hk("2026-03-02 09:50")}
	quote := func(edit func(*QuoteRequest)) *Quote {
		q := ask
		edit(&q)
		out, err := b.Quote(q)
		if err != nil {
			t.Fatal(err)
		}
		again := roundTripQuote(t, out)
		return &again
	}
	stay := car("2026-03-02 10:00", "2026-03-02 12:00")

	half := quote(func(q *QuoteRequest) { q.Flags = []string{"disabled_permit"} })
	if half.TotalCents != 2000 {
		t.Fatalf("quoted %d", half.TotalCents)
	}
	stay.Quote = half
	if r := costs(t, b, stay, 4000); !r.Has(FlagQuoteOther) {
		t.Errorf("flags %v", r.Flags)
	}
	stay.Flags = []string{"disabled_permit"}
	if r := costs(t, b, stay, 2000); !r.Has(FlagQuoteBinds) {
		t.Errorf("flags %v", r.Flags)
	}
	stay.Flags = nil
	stay.Quote = quote(func(q *QuoteRequest) { q.Validations = []Validation{{"shop", "A1"}} })
	if r := costs(t, b, stay, 4000); !r.Has(FlagQuoteOther) {
		t.Errorf("flags %v", r.Flags)
	}

	// Charging that was not quoted is charged; what was quoted is bound.
	stay.Quote = quote(func(*QuoteRequest) {})
	stay.EV = &EVSession{PlugIn: hk("2026-03-02 10:00"), ChargeEnd: hk("2026-03-02 11:30")}
	costs(t, b, stay, 4000+2000)
	stay.Quote = quote(func(q *QuoteRequest) { q.EVMinutes = 90 })
	costs(t, b, stay, 4000+2000)
	lower := *stay.Quote
	lower.TotalCents = 5000 // told 30.00 for parking and 20.00 for charging
	stay.Quote = &lower
	costs(t, b, stay, 5000)
	stay.EV.ChargeEnd = hk("2026-03-02 11:30:01")
	costs(t, b, stay, 5000) // still two begun hours, at 10.00 each
	stay.EV = nil

	// The booking's fee is no part of the quoted parking.
	stay.Quote, stay.Reserved = quote(func(*QuoteRequest) {}), true
	costs(t, b, stay, 4000+500)
	stay.Reserved = false

	// An earlier visit before the quoted interval is not given away, one within it is bound.
	stay.Quote = quote(func(*QuoteRequest) {})
	stay.Earlier = []Interval{{hk("2026-03-02 08:00"), hk("2026-03-02 09:45")}}
	stay.QuoteAccepted = hk("2026-03-02 09:51")
	costs(t, b, stay, 8000) // 105 + 120 min: four hours; two of them quoted
	stay.Earlier = []Interval{{hk("2026-03-02 10:00"), hk("2026-03-02 10:50")}}
	stay.Entry = hk("2026-03-02 11:00")
	costs(t, b, stay, 4000) // 50 + 60 min
}

// TestAutomaticPasses: a stay wholly within a pass pays it, early leavers do not qualify.
func TestAutomaticPasses(t *testing.T) {
	b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}, Passes: []Pass{
		{ID: "early", Type: "day-park", When: when(everyDay, "07:00", "10:00"), ValidUntil: "same-day", ValidUntilEnd: ptr(at("20:00")), LeaveFrom: ptr(at("16:00")), Price: 9000},
		{ID: "night", Type: "night-park", When: when(everyDay, "20:00", "06:00"), ValidUntil: "following-day", ValidUntilEnd: ptr(at("08:00")), LeaveFrom: ptr(at("05:00")), Price: 4000},
	}}, func(x *Tariff) { x.Options.Passes = "automatic" }))
	costs(t, b, car("2026-03-02 08:00", "2026-03-02 15:59"), 8*2000)
	costs(t, b, car("2026-03-02 08:00", "2026-03-02 16:00"), 9000)
	costs(t, b, car("2026-03-02 08:00", "2026-03-02 20:00"), 9000)
	costs(t, b, car("2026-03-02 08:00", "2026-03-02 20:01"), 13*2000)
	costs(t, b, car("2026-03-02 10:00", "2026-03-02 16:00"), 6*2000) // came too late for it
	costs(t, b, car("2026-03-02 21:00", "2026-03-03 07:00"), 4000)
	costs(t, b, car("2026-03-02 21:00", "2026-03-03 04:00"), 7*2000)
	costs(t, b, car("2026-03-03 01:00", "2026-03-03 05:00"), 4000) // in the night begun the day before
}

// TestBestPriceLooksPastTheCap: the cheaper way to noon is not the better one,
// since what it saves has not been counted towards the cap.
func TestBestPriceLooksPastTheCap(t *testing.T) {
	b := bookOf(t, tariffOf(Rules{
		Bands: []Band{hourly(60, 1000), {ID: "noon", When: when(everyDay, "06:00", "12:00"), UnitMinutes: 60, Price: 5000, Priority: 1}},
		Caps:  []Cap{{ID: "24h", Amount: 10000, Per: "24h_from_entry", Bands: []string{"all"}}},
		Passes: []Pass{
			{ID: "early", Type: "day-park", When: when(everyDay, "00:00", "06:00"), ValidUntil: "no-restrictions", Price: 3000},
			{ID: "noon", Type: "day-park", When: when(everyDay, "06:00", "12:00"), ValidUntil: "no-restrictions", Price: 100}},
	}, func(x *Tariff) { x.Options.Passes = "best_price" }))
	costs(t, b, car("2026-03-02 00:00", "2026-03-02 12:00"), 3000+100)
	// 6 x 10 + 1 + 4 x 10 (the rest is over the cap), against 30 + 1 + 100.
	r := costs(t, b, car("2026-03-02 00:00", "2026-03-03 00:00"), 6000+100+4000)
	if r.Has(FlagBestPriceBounded) {
		t.Errorf("flags %v", r.Flags)
	}
	// With an hour before: 7 x 10 + 1 + 3 x 10, against 10 + 30 + 1 + 9 x 10.
	costs(t, b, car("2026-03-01 23:00", "2026-03-02 23:00"), 7000+100+3000)
}

// TestHourParksEnd: an N-hours park ends after its hours, or earlier where its
// day ends.
func TestHourParksEnd(t *testing.T) {
	six := func(until string, end *TimeOfDay) *Book {
		return bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 1000)}, Passes: []Pass{
			{ID: "six", Type: "6-hours-park", When: when(everyDay, "00:00", "24:00"), ValidUntil: until, ValidUntilEnd: end, Price: 100}}}))
	}
	s := car("2026-03-02 08:00", "2026-03-02 16:00")
	s.Passes = []BoughtPass{{ID: "six"}}
	costs(t, six("no-restrictions", nil), s, 100+2*1000)
	costs(t, six("same-day", nil), s, 100+2*1000)
	costs(t, six("same-day", ptr(at("13:00"))), s, 100+3*1000)
	s = car("2026-03-02 20:00", "2026-03-03 04:00")
	s.Passes = []BoughtPass{{ID: "six"}}
	costs(t, six("no-restrictions", nil), s, 100+2*1000)
	costs(t, six("same-day", nil), s, 100+4*1000)
	costs(t, six("following-day", ptr(at("01:00"))), s, 100+3*1000)
}

// TestEventOnAHoliday: on the dates of an event the other bands still follow
// the calendar.
func TestEventOnAHoliday(t *testing.T) {
	b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 1000),
		{ID: "ph", When: when([]Day{PH}, "00:00", "24:00"), UnitMinutes: 60, Price: 2000},
		{ID: "show", Event: "show", When: When{From: at("20:00"), To: at("02:00")}, UnitMinutes: 60, Price: 7000}}},
		func(x *Tariff) { x.Events = []Event{{ID: "show", Dates: []Date{{2026, 2, 19}}}} }))
	costs(t, b, car("2026-02-19 18:00", "2026-02-20 03:00"), 2*2000+6*7000+1000)
	costs(t, b, car("2026-02-18 18:00", "2026-02-18 21:00"), 3*2000)
	_ = fails[*NoHolidaysError](t, b, car("2027-02-19 18:00", "2027-02-19 19:00"))
}

// TestSplitCarriesOn: where a later version takes over, the thresholds, the
// caps and what was charged per entry go on.
func TestSplitCarriesOn(t *testing.T) {
	rules := func(price Cents) Rules {
		return Rules{Bands: []Band{
			{ID: "day", When: when(everyDay, "06:00", "22:00"), UnitMinutes: 60, Price: price, Thresholds: []Threshold{{120, 100}}},
			{ID: "night", When: when(everyDay, "22:00", "06:00"), PerEntry: true, Price: 5000}}}
	}
	split := func(x *Tariff) { x.Options.OnChange = "split" }
	b := bookOf(t, tariffOf(rules(1000), split), tariffOf(rules(2000), split, func(x *Tariff) { x.Version, x.EffectiveFrom = "v2", hk("2026-03-02 11:00") }),
		tariffOf(rules(2000), split, func(x *Tariff) { x.Version, x.EffectiveFrom = "v3", hk("2026-03-03 02:00") }))
	costs(t, b, car("2026-03-02 10:00", "2026-03-02 14:00"), 2*100+2*2000) // the first two hours are over at 12:00
	costs(t, b, car("2026-03-02 23:00", "2026-03-03 05:00"), 5000)         // one entry
	r := costs(t, b, car("2026-03-02 10:00", "2026-03-02 10:30"), 100)
	if r.Has(FlagTariffChanged) {
		t.Errorf("flags %v", r.Flags)
	}
	if got := b.Versions(); len(got) != 3 || got[2].Version != "v3" {
		t.Errorf("versions %v", got)
	}
}

// TestReceiptJSON: amounts have two places, instants their offset, and a
// receipt comes back as it went.
func TestReceiptJSON(t *testing.T) {
	b := benchBook(t, "rumsey-street")
	s := Stay{Class: "private_car", Entry: hk("2026-03-02 22:30"), Exit: hk("2026-03-02 23:31"), Payments: []Payment{{At: hk("2026-03-02 22:40"), Cents: 150}}}
	r := rated(t, b, s)
	text := encoded(t, r)
	for _, part := range []string{`"total":"34.00"`, `"paid":"1.50"`, `"due":"32.50"`, `"from":"2026-03-02T22:30:00+08:00"`, `"unit_price":"20.00"`, `"tariff_version":"published-annex"`} {
		if !containsAny(text, part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
	var again Receipt
	if err := again.UnmarshalJSON([]byte(text)); err != nil || encoded(t, again) != text || again.DueCents != r.DueCents {
		t.Errorf("came back as %s (%v)", encoded(t, again), err)
	}
}

// TestBookIsSafeForManyAtOnce is for the race detector.
func TestBookIsSafeForManyAtOnce(t *testing.T) {
	b := benchBook(t, "multi-storey-ev")
	done := make(chan int64)
	for i := range 8 {
		go func() {
			var sum int64
			for k := range 50 {
				s := Stay{Class: "private_car", Entry: hk("2026-03-02 08:00").Add(time.Duration(k) * time.Hour)}
				s.Exit = s.Entry.Add(7 * time.Hour)
				r, err := b.Rate(s)
				if err != nil {
					t.Errorf("stay %d of %d: %v", k, i, err)
				}
				sum += r.TotalCents
			}
			done <- sum
		}()
	}
	first := <-done
	for range 7 {
		if sum := <-done; sum != first {
			t.Errorf("sums differ: %d, %d", first, sum)
		}
	}
}
