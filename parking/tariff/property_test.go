package tariff

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// holidaysOfTests is what hongKong2026 says, for the oracle.
func holidaysOfTests(y int, m time.Month, d int) bool {
	return slices.Contains([]string{"2026-01-01", "2026-02-17", "2026-02-18", "2026-02-19", "2026-04-03", "2026-04-04", "2026-04-06", "2026-05-01"},
		fmt.Sprintf("%04d-%02d-%02d", y, int(m), d))
}

func drawTime(t *rapid.T, name string) TimeOfDay {
	return TimeOfDay(rapid.IntRange(0, 47).Draw(t, name) * 30)
}

func drawDays(t *rapid.T, name string) []Day {
	days := slices.Clone(rapid.SampledFrom([][]Day{everyDay, everyDay, {Monday, Tuesday, Wednesday, Thursday, Friday}, {Saturday, Sunday, PH}, {PH}, {PHEve, Saturday}, {Tuesday, Thursday}}).Draw(t, name))
	return days
}

func drawWhen(t *rapid.T, name string) When {
	w := When{Days: drawDays(t, name+" days"), ExcludePublicHoliday: rapid.Bool().Draw(t, name+" excludes"), From: drawTime(t, name+" from"), To: drawTime(t, name+" to")}
	if w.To == 0 && rapid.Bool().Draw(t, name+" 24:00") {
		w.To = minutesPerDay
	}
	return w
}

func drawPrice(t *rapid.T, name string) Cents { return Cents(rapid.Int64Range(0, 5000).Draw(t, name)) }

func drawBand(t *rapid.T, i int) Band {
	name := fmt.Sprintf("band %d", i)
	b := Band{ID: fmt.Sprintf("b%d", i), When: drawWhen(t, name), Price: drawPrice(t, name+" price"), Priority: i}
	if i == 0 {
		// The lowest holds at all times, as a rule, so that gaps are rare.
		if rapid.IntRange(0, 9).Draw(t, "gaps") > 0 {
			b.When = When{Days: everyDay, To: minutesPerDay}
		}
	} else if rapid.IntRange(0, 7).Draw(t, name+" per entry") == 0 {
		b.PerEntry = true
		return b
	}
	b.UnitMinutes = rapid.SampledFrom([]int{10, 15, 20, 30, 45, 60, 60, 90, 480}).Draw(t, name+" unit")
	if rapid.IntRange(0, 3).Draw(t, name+" pro rata") == 0 {
		b.StepMinutes = rapid.SampledFrom([]int{1, 5, 7, 10}).Draw(t, name+" step")
	}
	until := 0
	for range rapid.IntRange(0, 2).Draw(t, name+" thresholds") {
		until += rapid.SampledFrom([]int{30, 45, 60, 120}).Draw(t, name+" until")
		b.Thresholds = append(b.Thresholds, Threshold{until, drawPrice(t, name+" threshold")})
	}
	return b
}

func drawPass(t *rapid.T, i int) Pass {
	name := fmt.Sprintf("pass %d", i)
	s := Pass{ID: fmt.Sprintf("p%d", i), Type: rapid.SampledFrom([]string{"day-park", "night-park", "6-hours-park", "12-hours-park", "24-hours-park"}).Draw(t, name),
		When: drawWhen(t, name), ValidUntil: rapid.SampledFrom([]string{"no-restrictions", "same-day", "following-day"}).Draw(t, name+" valid"), Price: 3 * drawPrice(t, name+" price")}
	if rapid.Bool().Draw(t, name+" end") {
		end := drawTime(t, name+" end at")
		if s.ValidUntil == "same-day" && end <= s.From {
			end = minutesPerDay
		}
		s.ValidUntilEnd = &end
	}
	return s
}

func drawCap(t *rapid.T, i int, bands []Band) Cap {
	name := fmt.Sprintf("cap %d", i)
	c := Cap{ID: fmt.Sprintf("c%d", i), Amount: 4 * drawPrice(t, name), Per: rapid.SampledFrom([]string{"occurrence", "calendar_day", "24h_from_entry", "reset_time", "stay"}).Draw(t, name+" per")}
	if c.Per == "reset_time" {
		c.ResetTime = ptr(drawTime(t, name+" reset"))
	}
	if rapid.Bool().Draw(t, name+" of bands") {
		c.Bands = []string{rapid.SampledFrom(bands).Draw(t, name+" band").ID}
	}
	return c
}

func drawOptions(t *rapid.T) Options {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	o := plainOptions()
	o.UnitStart = pick("unit start", "entry", "clock")
	o.Straddle = pick("straddle", "start", "split", "dearer", "cut")
	o.Midnight = pick("midnight", "start_day", "split")
	o.ThresholdCounts = pick("counts", "stay", "band")
	o.ThresholdReset = pick("reset", "never", "band", "day", "band_or_day")
	o.Rounding = pick("rounding", "half_up", "up", "down")
	return o
}

// drawTariff draws the rules of class "car".
func drawTariff(t *rapid.T) *Tariff {
	r := Rules{}
	for i := range rapid.IntRange(1, 4).Draw(t, "bands") {
		r.Bands = append(r.Bands, drawBand(t, i))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "caps") {
		r.Caps = append(r.Caps, drawCap(t, i, r.Bands))
	}
	if rapid.IntRange(0, 3).Draw(t, "free") == 0 {
		r.FreeMinutes = rapid.IntRange(1, 40).Draw(t, "free minutes")
		r.FreeFromStart = ptr(rapid.Bool().Draw(t, "from start"))
	}
	if rapid.IntRange(0, 3).Draw(t, "grace") == 0 {
		r.GracePeriods = []GracePeriod{{Minutes: rapid.IntRange(1, 40).Draw(t, "grace minutes")}}
	}
	x := tariffOf(r)
	x.Options = drawOptions(t)
	x.Zone = rapid.SampledFrom([]string{"Asia/Hong_Kong", "Asia/Hong_Kong", "Europe/London"}).Draw(t, "zone")
	return x
}

func drawEntry(t *rapid.T) time.Time {
	// A week with holidays, an ordinary one, and the clock change of London.
	from := rapid.SampledFrom([]string{"2026-02-14 00:00", "2026-03-02 00:00", "2026-03-28 12:00", "2026-10-24 12:00"}).Draw(t, "week")
	minutes := rapid.IntRange(0, 5*24*60).Draw(t, "entry minute")
	return hk(from).Add(time.Duration(minutes)*time.Minute + time.Duration(rapid.SampledFrom([]int{0, 0, 1, 59}).Draw(t, "entry second"))*time.Second)
}

func drawStay(t *rapid.T, mostMinutes int) Stay {
	s := Stay{ID: "drawn", Class: "car", Entry: drawEntry(t)}
	length := rapid.IntRange(0, mostMinutes).Draw(t, "minutes")
	s.Exit = s.Entry.Add(time.Duration(length)*time.Minute + time.Duration(rapid.SampledFrom([]int{0, 0, 1, 30}).Draw(t, "seconds"))*time.Second)
	for range rapid.IntRange(0, 2).Draw(t, "pauses") {
		from := s.Entry.Add(time.Duration(rapid.IntRange(-10, length+10).Draw(t, "pause")) * time.Minute)
		s.Paused = append(s.Paused, Interval{from, from.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "pause seconds")) * 13 * time.Second)})
	}
	return s
}

func compareWithOracle(t *rapid.T, x *Tariff, calendar Calendar, s Stay) {
	b, err := New([]*Tariff{x}, calendar)
	if err != nil {
		t.Fatalf("%v", err)
	}
	want, wantErr := oraclePrice(x, "car", holidaysOfTests, s)
	got, err := b.Rate(s)
	var none *NoPriceError
	switch {
	case wantErr != nil && errors.As(err, &none):
	case wantErr != nil || err != nil:
		t.Fatalf("oracle: %d (%v), engine: %d (%v)", want, wantErr, got.TotalCents, err)
	case want != got.TotalCents:
		t.Fatalf("%s to %s: oracle %d, engine %d\n%s\n%s", s.Entry, s.Exit, want, got.TotalCents, encoded(t, got), encoded(t, x))
	default:
		checkReceipt(t, got)
	}
}

// TestRateAgreesWithOracle compares the engine with the naive pricer.
func TestRateAgreesWithOracle(t *testing.T) {
	calendar := hongKong2026(t)
	rapid.Check(t, func(t *rapid.T) {
		x := drawTariff(t)
		compareWithOracle(t, x, calendar, drawStay(t, 30*60))
	})
}

// TestBestPriceAgreesWithOracle compares the search with trying every plan.
func TestBestPriceAgreesWithOracle(t *testing.T) {
	calendar := hongKong2026(t)
	rapid.Check(t, func(t *rapid.T) {
		x := drawTariff(t)
		x.Options.Passes = "best_price"
		r := x.Classes["car"]
		r.Bands = r.Bands[:min(2, len(r.Bands))]
		r.Caps = slices.DeleteFunc(r.Caps, func(c Cap) bool { return len(c.Bands) > 0 && c.Bands[0] > "b1" })
		for i := range rapid.IntRange(1, 2).Draw(t, "passes") {
			r.Passes = append(r.Passes, drawPass(t, i))
		}
		compareWithOracle(t, x, calendar, drawStay(t, 26*60))
	})
}
