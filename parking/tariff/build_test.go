package tariff

import (
	"errors"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// plainOptions are the options of the tests' tariffs unless they say otherwise.
func plainOptions() Options {
	return Options{UnitStart: "entry", Straddle: "start", Midnight: "start_day", ThresholdCounts: "stay", ThresholdReset: "never", OnChange: "entry",
		Passes: "bought", Rounding: "half_up", MachineStarts: "entry", MachineStops: "exit", ReentryGap: "charged"}
}

var everyDay = []Day{Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday}

func at(text string) TimeOfDay {
	var t TimeOfDay
	if err := t.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return t
}

func when(days []Day, from, to string) When { return When{Days: days, From: at(from), To: at(to)} }

// hourly is a band at all times.
func hourly(minutes int, price Cents) Band {
	return Band{ID: "all", When: when(everyDay, "00:00", "24:00"), UnitMinutes: minutes, Price: price}
}

// tariffOf makes a tariff of the rules for class "car", changed by the edits.
func tariffOf(r Rules, edits ...func(*Tariff)) *Tariff {
	t := &Tariff{ID: "test", Version: "v1", EffectiveFrom: hk("2020-01-01 00:00"), Zone: "Asia/Hong_Kong", Currency: "HKD", Options: plainOptions(), Classes: map[string]*Rules{"car": &r}}
	for _, edit := range edits {
		edit(t)
	}
	return t
}

func bookOf(tb testing.TB, versions ...*Tariff) *Book {
	tb.Helper()
	b, err := New(versions, hongKong2026(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

var hongKong = mustZone("Asia/Hong_Kong")

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}

func inZone(zone *time.Location, text string) time.Time {
	layout := "2006-01-02 15:04"
	if len(text) > len(layout) {
		layout += ":05"
	}
	t, err := time.ParseInLocation(layout, text, zone)
	if err != nil {
		panic(err)
	}
	return t
}

// hk reads a Hong Kong time, "2026-03-02 14:10" or with seconds. 2 March 2026
// is a Monday.
func hk(text string) time.Time { return inZone(hongKong, text) }

func car(from, to string) Stay { return Stay{ID: "t", Class: "car", Entry: hk(from), Exit: hk(to)} }

// rated rates a stay and checks what holds of every receipt.
func rated(tb testing.TB, b *Book, s Stay) Receipt {
	tb.Helper()
	r, err := b.Rate(s)
	if err != nil {
		tb.Fatalf("%s to %s: %v", s.Entry, s.Exit, err)
	}
	checkReceipt(tb, r)
	return r
}

type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkReceipt: lines sum to the total, which is not negative, and a line's
// amount is its units times its price where it does not say pro rata.
func checkReceipt(tb failer, r Receipt) {
	tb.Helper()
	var sum int64
	for _, l := range r.Lines {
		sum += int64(l.AmountCents)
		if l.Text == "" || l.Rule == "" || l.Kind == "" || l.To.Before(l.From) {
			tb.Errorf("line %+v does not explain itself", l)
		}
		if !containsAny(l.Text, "pro rata") && int64(l.AmountCents) != l.Units*int64(l.UnitCents) {
			tb.Errorf("line %+v: %d units of %s are not %s", l, l.Units, l.UnitCents, l.AmountCents)
		}
	}
	if sum != r.TotalCents || sum < 0 {
		tb.Errorf("lines sum to %d, total %d", sum, r.TotalCents)
	}
	if r.DueCents-r.CreditCents != r.TotalCents-r.PaidCents || r.DueCents < 0 || r.CreditCents < 0 {
		tb.Errorf("due %d, credit %d, total %d, paid %d", r.DueCents, r.CreditCents, r.TotalCents, r.PaidCents)
	}
}

func containsAny(s, part string) bool {
	for i := 0; i+len(part) <= len(s); i++ {
		if s[i:i+len(part)] == part {
			return true
		}
	}
	return false
}

// costs wants a stay's price in cents.
func costs(tb testing.TB, b *Book, s Stay, want int64) Receipt {
	tb.Helper()
	r := rated(tb, b, s)
	if r.TotalCents != want {
		tb.Errorf("%s to %s costs %s, want %s", s.Entry.In(hongKong).Format("2006-01-02 15:04:05"), s.Exit.In(hongKong).Format("2006-01-02 15:04:05"), Cents(r.TotalCents), Cents(want))
		for _, l := range r.Lines {
			tb.Logf("  %s %s..%s %d x %s = %s (%s)", l.Text, l.From.Format("02 15:04:05"), l.To.Format("02 15:04:05"), l.Units, l.UnitCents, l.AmountCents, l.Rule)
		}
	}
	return r
}

// fails wants an error of a type.
func fails[E error](tb testing.TB, b *Book, s Stay) E {
	tb.Helper()
	r, err := b.Rate(s)
	var want E
	if !errors.As(err, &want) {
		tb.Fatalf("want a %T, got %v (total %d)", want, err, r.TotalCents)
	}
	return want
}

func ptr[T any](v T) *T { return &v }

// fataler is what a test and a drawn test have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func encoded(tb fataler, v any) string {
	tb.Helper()
	data, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

func roundTripQuote(tb testing.TB, q Quote) Quote {
	tb.Helper()
	var again Quote
	if err := json.Unmarshal([]byte(encoded(tb, q)), &again); err != nil {
		tb.Fatal(err)
	}
	if encoded(tb, again) != encoded(tb, q) || again.TotalCents != q.TotalCents {
		tb.Errorf("a quote changed on the way:\n%s\n%s", encoded(tb, q), encoded(tb, again))
	}
	return again
}
