package tariff

import (
	"strings"
	"testing"
	"time"
)

func TestTrap13DiscountOrder(t *testing.T) {
	percent := func(order int) Discount {
		return Discount{Code: "half", By: "validation", Kind: "percent", Percent: 50, Order: order, Stackable: true}
	}
	fixed := func(order int) Discount {
		return Discount{Code: "ten", By: "validation", Kind: "amount", Amount: 1000, Order: order, Stackable: true}
	}
	book := func(d ...Discount) *Book {
		return bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}, Discounts: d}))
	}
	s := car("2026-03-02 10:00", "2026-03-02 13:00") // 60.00
	s.Validations = []Validation{{Code: "ten", Reference: "A"}, {Code: "half", Reference: "B"}}
	costs(t, book(percent(1), fixed(2)), s, 2000) // 60/2 - 10
	costs(t, book(percent(2), fixed(1)), s, 2500) // (60 - 10)/2
	// The order in which the driver showed them, and that of the file, do not matter.
	s.Validations = []Validation{{Code: "half"}, {Code: "ten"}, {Code: "ten"}}
	costs(t, book(fixed(2), percent(1)), s, 2000)
	// Not stackable: the better one alone.
	single := fixed(1)
	single.Stackable = false
	r := costs(t, book(percent(2), single), s, 3000)
	if !r.Has(FlagValidationUnused) {
		t.Errorf("flags %v", r.Flags)
	}
	// Never below nothing, and what is over is not paid out.
	big := Discount{Code: "ten", By: "validation", Kind: "amount", Amount: 100000, Order: 1, Stackable: true}
	if r := costs(t, book(big, percent(2)), s, 0); r.CreditCents != 0 {
		t.Errorf("credit %d", r.CreditCents)
	}
	// Capped percent: half of 60 is 30, at most 12.
	most := percent(1)
	most.Most = 1200
	s.Validations = []Validation{{Code: "half"}}
	costs(t, book(most), s, 4800)
	// Minutes come off the time: 3:00 less 61 min is 1:59, two hours.
	for _, from := range []string{"start", "end"} {
		costs(t, book(Discount{Code: "half", By: "validation", Kind: "minutes", Minutes: 61, MinutesFrom: from, Order: 1}), s, 4000)
	}
	costs(t, book(Discount{Code: "half", By: "validation", Kind: "full", Order: 1}), s, 0)
	s.Validations = []Validation{{Code: "unknown"}}
	if e := fails[*UnknownNameError](t, book(most), s); !strings.Contains(e.Error(), "half") {
		t.Errorf("the error does not say what there is: %v", e)
	}
	// Two of one order are refused: nobody said which goes first.
	if _, err := New([]*Tariff{tariffOf(Rules{Bands: []Band{hourly(60, 2000)}, Discounts: []Discount{percent(1), fixed(1)}})}, nil); err == nil {
		t.Error("two discounts of one order were taken")
	}
}

func TestTrap14GraceAfterPayment(t *testing.T) {
	b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}}, func(x *Tariff) { x.Options.PaymentGraceMinutes = 15 }))
	s := car("2026-03-02 10:00", "2026-03-02 12:05")
	s.Payments = []Payment{{At: hk("2026-03-02 11:50"), Cents: 4000}}
	r := costs(t, b, s, 4000) // 12:05 is within 15:00 of 11:50
	if r.DueCents != 0 || !r.Has(FlagGraceAfterPayment) {
		t.Errorf("due %d, flags %v", r.DueCents, r.Flags)
	}
	s.Exit = hk("2026-03-02 12:05:01")
	if r := costs(t, b, s, 6000); r.DueCents != 2000 || r.Has(FlagGraceAfterPayment) { // only the balance
		t.Errorf("due %d, flags %v", r.DueCents, r.Flags)
	}
	// Paid again: a new grace.
	s.Payments = append(s.Payments, Payment{At: hk("2026-03-02 12:10"), Cents: 2000})
	s.Exit = hk("2026-03-02 13:30")
	if r := costs(t, b, s, 8000); r.DueCents != 2000 {
		t.Errorf("due %d", r.DueCents)
	}
	// Paid too little at the machine: the rest is due within the grace too.
	s = car("2026-03-02 10:00", "2026-03-02 12:00")
	s.Payments = []Payment{{At: hk("2026-03-02 11:55"), Cents: 1500}}
	if r := costs(t, b, s, 4000); r.DueCents != 2500 {
		t.Errorf("due %d", r.DueCents)
	}
}

func TestTrap15EVClock(t *testing.T) {
	b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)},
		EV:        &EV{Price: 2100, UnitMinutes: 60, IdlePrice: 1000, IdleUnitMinutes: 30, IdleGraceMinutes: 15, IdleMost: 2500},
		Discounts: []Discount{{Code: "shop", By: "validation", Kind: "full", Order: 1}}}))
	s := car("2026-03-02 10:00", "2026-03-02 14:00") // parking 4 x 20
	s.EV = &EVSession{PlugIn: hk("2026-03-02 10:10"), ChargeEnd: hk("2026-03-02 12:10:00"), Unplug: hk("2026-03-02 12:25:00")}
	costs(t, b, s, 8000+2*2100) // 2:00:00 of charging; pulled within the grace
	s.EV.ChargeEnd = hk("2026-03-02 12:10:01")
	s.EV.Unplug = hk("2026-03-02 12:25:01")
	costs(t, b, s, 8000+3*2100)
	s.EV.Unplug = hk("2026-03-02 12:25:02")
	costs(t, b, s, 8000+3*2100+1000) // one second past the grace
	s.EV.Unplug = time.Time{}        // never pulled: until the exit, 94:59 past the grace: 4 x 10, at most 25
	r := costs(t, b, s, 8000+3*2100+2500)
	kinds := map[string]int64{}
	for _, l := range r.Lines {
		kinds[l.Kind] += int64(l.AmountCents)
	}
	if kinds[LineParking] != 8000 || kinds[LineEVCharge] != 6300 || kinds[LineEVIdle] != 4000 {
		t.Errorf("lines by kind: %v", kinds)
	}
	// The shop pays for parking, not for the electricity.
	s.Validations = []Validation{{Code: "shop"}}
	costs(t, b, s, 3*2100+2500)
	// Times outside the stay are moved and flagged.
	s = car("2026-03-02 10:00", "2026-03-02 11:00")
	s.EV = &EVSession{PlugIn: hk("2026-03-02 09:00"), ChargeEnd: hk("2026-03-02 12:00")}
	if r := costs(t, b, s, 2000+2100); !r.Has(FlagEVTimesClamped) {
		t.Errorf("flags %v", r.Flags)
	}
	// By energy: 7,345 Wh at 3.00 a kWh are 22.035, half up 22.04.
	kwh := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}, EV: &EV{PerKWh: 300}}))
	s.EV.WattHours = 7345
	costs(t, kwh, s, 2000+2204)
	_ = fails[*UndefinedFeeError](t, bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}})), s)
}

func TestTrap16MachineWait(t *testing.T) {
	book := func(starts, stops string) *Book {
		return bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}}, func(x *Tariff) {
			x.Options.MachineStarts, x.Options.MachineStops, x.Options.CollectMinutes = starts, stops, 5
		}))
	}
	s := car("2026-03-02 10:00", "2026-03-02 11:06")
	s.Machine = &Machine{Accepted: hk("2026-03-02 10:04"), Requested: hk("2026-03-02 11:00"), Promised: hk("2026-03-02 11:02"), Ready: hk("2026-03-02 11:05")}
	costs(t, book("entry", "exit"), s, 4000)      // 66 min
	costs(t, book("entry", "request"), s, 2000)   // 10:00-11:00
	costs(t, book("acceptance", "exit"), s, 4000) // 10:04-11:06
	costs(t, book("entry", "promise"), s, 4000)   // 10:00-11:02: late by the machine's 2 min and the driver's none
	r := costs(t, book("acceptance", "request"), s, 2000)
	if !r.Has(FlagClockStopped) || r.ChargedSeconds != 56*60 {
		t.Errorf("charged %d s, flags %v", r.ChargedSeconds, r.Flags)
	}
	// Whoever leaves the car at the gate for an hour pays from 5 min after it was ready: 60 + 50 min.
	s.Exit = hk("2026-03-02 12:00")
	costs(t, book("entry", "request"), s, 4000)
	// A kept promise stops nothing.
	s.Exit, s.Machine.Ready = hk("2026-03-02 11:06"), hk("2026-03-02 11:01")
	costs(t, book("entry", "promise"), s, 4000)
	// A broken lift: 10:30 to 12:45 is not charged, the hour goes on at 12:45.
	s = car("2026-03-02 10:00", "2026-03-02 13:15")
	s.Paused = []Interval{{hk("2026-03-02 12:00"), hk("2026-03-02 12:45")}, {hk("2026-03-02 10:30"), hk("2026-03-02 12:30")}}
	r = costs(t, book("entry", "exit"), s, 2000)
	if r.ChargedSeconds != 3600 {
		t.Errorf("charged %d s", r.ChargedSeconds)
	}
	s.Exit = hk("2026-03-02 13:15:01")
	costs(t, book("entry", "exit"), s, 4000)
}

func TestTrap17ClockChanges(t *testing.T) {
	london := mustZone("Europe/London")
	x := dayAndNight("start", func(x *Tariff) { x.Zone, x.Currency = "Europe/London", "GBP" })
	b := bookOf(t, x)
	stay := func(from, to string) Stay {
		return Stay{Class: "car", Entry: inZone(london, from), Exit: inZone(london, to)}
	}
	// 29 March 2026: 01:00 becomes 02:00. 23:00 to 07:00 are 7 hours.
	costs(t, b, stay("2026-03-28 23:00", "2026-03-29 07:00"), 7*1400)
	costs(t, b, stay("2026-03-28 22:00", "2026-03-29 08:00"), 2000+7*1400+2000)
	// 25 October 2026: 02:00 becomes 01:00. 23:00 to 07:00 are 9 hours.
	costs(t, b, stay("2026-10-24 23:00", "2026-10-25 07:00"), 9*1400)
	// A band within the repeated hour holds in both of its passes.
	y := tariffOf(Rules{Bands: []Band{
		{ID: "half", When: when(everyDay, "01:30", "02:00"), UnitMinutes: 30, Price: 100},
		{ID: "rest", When: when(everyDay, "02:00", "01:30"), UnitMinutes: 30, Price: 1},
	}}, func(x *Tariff) { x.Zone = "Europe/London" })
	costs(t, bookOf(t, y), stay("2026-10-25 00:30", "2026-10-25 03:00"), 1+1+100+1+100+2) // 3.5 h
	// Hong Kong has none; the offset stands on the receipt.
	r := costs(t, bookOf(t, dayAndNight("start")), car("2026-03-28 23:00", "2026-03-29 07:00"), 8*1400)
	if got := r.Lines[0].From.Format(time.RFC3339); got != "2026-03-28T23:00:00+08:00" {
		t.Errorf("from %s", got)
	}
}

func TestTrap18MonthsAndLeapDays(t *testing.T) {
	b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}, Monthly: []Monthly{
		{ID: "month", Type: "monthly-park", Price: 310000, Reserved: "reserved"},
		{ID: "quarter", Type: "quarterly-park", Price: 900000},
		{ID: "nights", Type: "monthly-night-park", Price: 100000, Ranges: []When{when(everyDay, "19:00", "09:00")}},
	}}))
	date := func(text string) (d Date) {
		if text != "" {
			if err := d.UnmarshalText([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	for _, c := range []struct {
		id, from, until string
		want            int64
	}{
		{"month", "2026-03-01", "", 310000},
		{"month", "2026-01-31", "", 310000},           // until 28 February
		{"month", "2026-03-01", "2026-03-11", 100000}, // 10 of 31 days
		{"month", "2026-04-01", "2026-04-11", 103333}, // 10 of 30: 1033.33
		{"month", "2028-02-01", "2028-02-11", 106897}, // 10 of 29: 1068.9655
		{"month", "2026-02-01", "2026-02-11", 110714}, // 10 of 28: 1107.142
		{"month", "2026-12-27", "2027-01-06", 100000}, // 5 + 5 of 31, over the year's end
		// 22 March to 21 April is a month, 3100; 22 to 30 April are 9 of 30 days,
		// 930; 1 May is 1 of 31, 100.
		{"month", "2026-03-22", "2026-05-02", 310000 + 93000 + 10000},
		{"quarter", "2026-01-15", "", 900000},
		{"quarter", "2026-01-01", "2026-02-01", 300000}, // a third
	} {
		r, err := b.Permit(PermitRequest{Class: "car", ID: c.id, From: date(c.from), Until: date(c.until)})
		if err != nil || r.TotalCents != c.want {
			t.Errorf("%s from %s until %q: %d, want %d (%v)", c.id, c.from, c.until, r.TotalCents, c.want, err)
			continue
		}
		checkReceipt(t, r)
	}
	for from, want := range map[string]string{"2026-01-31": "2026-02-28", "2028-01-31": "2028-02-29", "2026-03-31": "2026-04-30", "2026-12-15": "2027-01-15"} {
		if got := PermitEnd(date(from), 1); got.String() != want {
			t.Errorf("a month from %s ends before %s, want %s", from, got, want)
		}
	}
	// A stay over the leap day, and one over the year's end.
	costs(t, b, car("2028-02-28 10:00", "2028-03-01 10:00"), 48*2000)
	costs(t, b, car("2026-12-31 23:00", "2027-01-01 01:00"), 2*2000)
	// The permit's hours cost nothing, the others do: 09:00 to 11:00.
	s := car("2026-03-02 20:00", "2026-03-03 11:00")
	s.Permit = "nights"
	costs(t, b, s, 2*2000)
	s.Permit = "month"
	costs(t, b, s, 0)
}

func TestTrap19ClockSkew(t *testing.T) {
	b := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}}))
	r := costs(t, b, car("2026-03-02 10:00:00", "2026-03-02 09:59:30"), 0)
	if !r.Has(FlagExitBeforeEntry) || r.ChargedSeconds != 0 {
		t.Errorf("charged %d s, flags %v", r.ChargedSeconds, r.Flags)
	}
	if r := costs(t, b, car("2026-03-02 10:00:00", "2026-03-02 10:00:00"), 0); r.Has(FlagExitBeforeEntry) {
		t.Error("an exit at the entry's second was flagged")
	}
}

func TestTrap20UnknownEntry(t *testing.T) {
	s := Stay{Class: "car", Exit: hk("2026-03-02 12:00"), EntryUnknown: true}
	with := bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}, LostTicket: &Fee{Price: 30000}}))
	costs(t, with, s, 30000)
	e := fails[*UndefinedFeeError](t, bookOf(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}})), s)
	if e.Fee != "lost_ticket" {
		t.Error(e)
	}
	// The entry is found later: 2 h are 40, and 260 are to be given back.
	s.Entry, s.EntryUnknown = hk("2026-03-02 10:00"), false
	s.Payments = []Payment{{At: hk("2026-03-02 12:00"), Cents: 30000}}
	if r := costs(t, with, s, 4000); r.CreditCents != 26000 || !r.Has(FlagOverpaid) {
		t.Errorf("credit %d, flags %v", r.CreditCents, r.Flags)
	}
	// A stay without entry that does not say so is a mistake.
	if _, err := with.Rate(Stay{Class: "car", Exit: hk("2026-03-02 12:00")}); err == nil || !strings.Contains(err.Error(), "entry is missing") {
		t.Errorf("no entry: %v", err)
	}
}

// Trap 21, that a tag and a plate name different accounts, is decided where
// the session is charged. What the tariff owes to it is that the price does
// not depend on who pays: a stay carries no account, and two stays that differ
// in nothing else than their name cost the same and explain it alike.
func TestTrap21PayerDoesNotChangeThePrice(t *testing.T) {
	b := benchBook(t, "sha-tin-town-hall")
	s := Stay{ID: "by-tag", Class: "private_car", Entry: hk("2026-03-06 22:10"), Exit: hk("2026-03-07 09:20")}
	x := rated(t, b, s)
	s.ID = "by-plate"
	y := rated(t, b, s)
	if a, c := encoded(t, x), encoded(t, y); a != c || x.TotalCents == 0 {
		t.Errorf("receipts differ:\n%s\n%s", a, c)
	}
}

func TestTrap22QuoteIsNotCharge(t *testing.T) {
	old := tariffOf(Rules{Bands: []Band{hourly(60, 1000)}}, func(x *Tariff) { x.Options.QuoteMinutes = 30 })
	later := tariffOf(Rules{Bands: []Band{hourly(60, 3000)}}, func(x *Tariff) { x.Version, x.EffectiveFrom = "v2", hk("2026-03-02 09:00") })
	b := bookOf(t, old, later)
	before := bookOf(t, old)
	q, err := before.Quote(QuoteRequest{Class: "car", From: hk("2026-03-02 10:00"), To: hk("2026-03-02 12:00"), At: hk("2026-03-01 20:00")})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := old.Hash()
	if err != nil || q.Receipt.Hash != hash || q.TotalCents != 2000 || !q.Expires.Equal(hk("2026-03-01 20:30")) || q.ID == "" {
		t.Fatalf("quote %+v (%v)", q, err)
	}
	s := car("2026-03-02 10:00", "2026-03-02 12:00")
	s.Quote, s.QuoteAccepted = &q, hk("2026-03-01 20:29:59")
	r := costs(t, b, s, 2000) // the price as quoted, though v2 is in force
	if r.QuoteID != q.ID || !r.Has(FlagQuoteBinds) || r.TariffVersion != "v1" {
		t.Errorf("quote %s, flags %v, version %s", r.QuoteID, r.Flags, r.TariffVersion)
	}
	s.Exit = hk("2026-03-02 12:30")
	costs(t, b, s, 3000) // the excess is rated on
	s.Exit = hk("2026-03-02 11:00")
	costs(t, b, s, 1000) // no more than was used
	// Accepted too late: the quote's id stands there, the price is today's.
	s.Exit, s.QuoteAccepted = hk("2026-03-02 12:00"), hk("2026-03-01 20:30")
	if r := costs(t, b, s, 6000); !r.Has(FlagQuoteExpired) || r.QuoteID != q.ID {
		t.Errorf("flags %v", r.Flags)
	}
	// A lower quote than the rules would give binds all the same: a driver who
	// was told 15.00 pays 15.00, and a line says why.
	s.QuoteAccepted = hk("2026-03-01 20:10")
	low := q
	low.TotalCents = 1500
	s.Quote = &low
	if r := costs(t, b, s, 1500); r.Lines[len(r.Lines)-1].Kind != LineQuote {
		t.Errorf("lines %+v", r.Lines)
	}
	// A quote of a tariff that is not here cannot be honoured by guessing.
	strange := q
	strange.Receipt.Hash = "0123"
	s.Quote = &strange
	if _, err := b.Rate(s); err == nil || !strings.Contains(err.Error(), "not in this book") {
		t.Errorf("strange quote: %v", err)
	}
	// Through JSON and back a quote is the same.
	again := roundTripQuote(t, q)
	s.Quote = &again
	costs(t, b, s, 2000)
}
