package tariff

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawAny draws a tariff with passes of any mode and with discounts.
func drawAny(t *rapid.T) *Tariff {
	x := drawTariff(t)
	r := x.Classes["car"]
	// At all times a price, so that two stays can be compared.
	r.Bands[0].When = When{Days: everyDay, To: minutesPerDay}
	if r.Bands[0].PerEntry {
		r.Bands[0].PerEntry, r.Bands[0].UnitMinutes = false, 60
	}
	x.Options.Passes = rapid.SampledFrom([]string{"bought", "best_price"}).Draw(t, "mode")
	for i := range rapid.IntRange(0, 2).Draw(t, "passes") {
		r.Passes = append(r.Passes, drawPass(t, i))
	}
	if rapid.Bool().Draw(t, "disabled") {
		r.Discounts = append(r.Discounts, Discount{Code: "disabled_permit", By: "flag", Kind: "percent", Percent: 50, RoundTo: 100, Order: 9, Stackable: true})
	}
	if rapid.Bool().Draw(t, "shop") {
		r.Discounts = append(r.Discounts, Discount{Code: "shop", By: "validation", Kind: "amount", Amount: drawPrice(t, "shop off") + 1, Order: 2, Stackable: rapid.Bool().Draw(t, "stack")})
	}
	return x
}

func drawAsk(x *Tariff, s *Stay) {
	for _, d := range x.Classes["car"].Discounts {
		if d.By == "flag" {
			s.Flags = append(s.Flags, d.Code)
		} else {
			s.Validations = append(s.Validations, Validation{d.Code, "ref"})
		}
	}
}

// TestLongerNeverCostsLess holds of all tariffs without automatic passes,
// whatever their options, caps and discounts.
func TestLongerNeverCostsLess(t *testing.T) {
	calendar := hongKong2026(t)
	rapid.Check(t, func(t *rapid.T) {
		x := drawAny(t)
		b, err := New([]*Tariff{x}, calendar)
		if err != nil {
			t.Fatal(err)
		}
		s := drawStay(t, 40*60)
		drawAsk(x, &s)
		s.Paused = nil
		before := int64(0)
		for range 6 {
			r, err := b.Rate(s)
			if err != nil {
				t.Fatal(err)
			}
			checkReceipt(t, r)
			if r.TotalCents < before {
				t.Fatalf("until %s costs %d, and less time %d: %s", s.Exit, r.TotalCents, before, encoded(t, x))
			}
			before = r.TotalCents
			s.Exit = s.Exit.Add(time.Duration(rapid.IntRange(1, 9000).Draw(t, "more")) * time.Second)
		}
	})
}

// TestCapsNeverRaise: without one of its caps a tariff is not cheaper.
func TestCapsNeverRaise(t *testing.T) {
	calendar := hongKong2026(t)
	rapid.Check(t, func(t *rapid.T) {
		x := drawAny(t)
		r := x.Classes["car"]
		r.Discounts = nil
		s := drawStay(t, 40*60)
		with, err := New([]*Tariff{x}, calendar)
		if err != nil {
			t.Fatal(err)
		}
		a, err := with.Rate(s)
		if err != nil {
			t.Fatal(err)
		}
		bare := *r
		bare.Caps = nil
		y := *x
		y.Classes = map[string]*Rules{"car": &bare}
		without, err := New([]*Tariff{&y}, calendar)
		if err != nil {
			t.Fatal(err)
		}
		b, err := without.Rate(s)
		if err != nil || a.TotalCents > b.TotalCents {
			t.Fatalf("with caps %d, without %d (%v)", a.TotalCents, b.TotalCents, err)
		}
	})
}

// TestOrderOfRulesDoesNotMatter: lists that are sets can stand in any order.
func TestOrderOfRulesDoesNotMatter(t *testing.T) {
	calendar := hongKong2026(t)
	rapid.Check(t, func(t *rapid.T) {
		x := drawAny(t)
		s := drawStay(t, 40*60)
		drawAsk(x, &s)
		a, err := New([]*Tariff{x}, calendar)
		if err != nil {
			t.Fatal(err)
		}
		want, err := a.Rate(s)
		if err != nil {
			t.Fatal(err)
		}
		r := *x.Classes["car"]
		seed := rapid.Uint64().Draw(t, "seed")
		random := rand.New(rand.NewPCG(seed, 1))
		r.Bands, r.Caps, r.Passes, r.Discounts = shuffled(random, r.Bands), shuffled(random, r.Caps), shuffled(random, r.Passes), shuffled(random, r.Discounts)
		y := *x
		y.Classes = map[string]*Rules{"car": &r}
		b, err := New([]*Tariff{&y}, calendar)
		if err != nil {
			t.Fatal(err)
		}
		s.Flags, s.Validations = shuffled(random, s.Flags), shuffled(random, s.Validations)
		got, err := b.Rate(s)
		if err != nil {
			t.Fatal(err)
		}
		want.Hash, got.Hash = "", ""
		if encoded(t, got) != encoded(t, want) {
			t.Fatalf("in another order:\n%s\n%s", encoded(t, want), encoded(t, got))
		}
	})
}

func shuffled[T any](random *rand.Rand, list []T) []T {
	out := append([]T(nil), list...)
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// TestReentryAddsUp: leaving and coming back at once changes nothing, however
// often, and a gap that is charged neither.
func TestReentryAddsUp(t *testing.T) {
	calendar := hongKong2026(t)
	rapid.Check(t, func(t *rapid.T) {
		x := drawAny(t)
		x.Options.ReentryMinutes = 10
		gap := 0
		if rapid.Bool().Draw(t, "charged") {
			gap = rapid.IntRange(0, 600).Draw(t, "gap")
		} else {
			x.Options.ReentryGap = "not_charged"
		}
		b, err := New([]*Tariff{x}, calendar)
		if err != nil {
			t.Fatal(err)
		}
		s := drawStay(t, 40*60)
		drawAsk(x, &s)
		want, err := b.Rate(s)
		if err != nil {
			t.Fatal(err)
		}
		split := s
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			length := int(split.Exit.Sub(split.Entry) / time.Second)
			if length < gap+2 {
				break
			}
			left := split.Entry.Add(time.Duration(rapid.IntRange(1, length-gap-1).Draw(t, "left")) * time.Second)
			split.Earlier = append(split.Earlier, Interval{split.Entry, left})
			split.Entry = left.Add(time.Duration(gap) * time.Second)
		}
		got, err := b.Rate(split)
		if err != nil || got.TotalCents != want.TotalCents || got.ChargedSeconds != want.ChargedSeconds {
			t.Fatalf("in one %d, in %d visits %d (%v)", want.TotalCents, len(split.Earlier)+1, got.TotalCents, err)
		}
	})
}

// TestRateIsDeterministic: the same stay gives the same receipt, byte for
// byte, from books made anew.
func TestRateIsDeterministic(t *testing.T) {
	calendar := hongKong2026(t)
	rapid.Check(t, func(t *rapid.T) {
		x := drawAny(t)
		s := drawStay(t, 40*60)
		drawAsk(x, &s)
		var first string
		for range 3 {
			b, err := New([]*Tariff{x}, calendar)
			if err != nil {
				t.Fatal(err)
			}
			r, err := b.Rate(s)
			if err != nil {
				t.Fatal(err)
			}
			if text := encoded(t, r); first == "" {
				first = text
			} else if text != first {
				t.Fatalf("two receipts:\n%s\n%s", first, text)
			}
		}
	})
}

// TestQuotesBind: a stay within its quote's interval never costs more than was
// quoted, whatever tariff has come since, and one of the whole interval costs
// it exactly.
func TestQuotesBind(t *testing.T) {
	calendar := hongKong2026(t)
	rapid.Check(t, func(t *rapid.T) {
		x := drawAny(t)
		old, err := New([]*Tariff{x}, calendar)
		if err != nil {
			t.Fatal(err)
		}
		s := drawStay(t, 40*60)
		s.Paused = nil
		s.Exit = s.Exit.Add(time.Second)
		made := s.Entry.Add(-time.Hour)
		q, err := old.Quote(QuoteRequest{Class: "car", From: s.Entry, To: s.Exit, At: made})
		if err != nil {
			t.Fatal(err)
		}
		dear := tariffOf(Rules{Bands: []Band{hourly(1, 100000)}}, func(y *Tariff) { y.Version, y.EffectiveFrom, y.Zone = "v2", s.Entry.Truncate(time.Second), x.Zone })
		b, err := New([]*Tariff{x, dear}, calendar)
		if err != nil {
			t.Fatal(err)
		}
		s.Quote, s.QuoteAccepted = &q, made
		whole, err := b.Rate(s)
		if err != nil || whole.TotalCents != q.TotalCents {
			t.Fatalf("quoted %d, charged %d (%v)", q.TotalCents, whole.TotalCents, err)
		}
		length := int64(s.Exit.Sub(s.Entry) / time.Second)
		s.Exit = s.Entry.Add(time.Duration(rapid.Int64Range(1, length).Draw(t, "stayed")) * time.Second)
		part, err := b.Rate(s)
		if err != nil || part.TotalCents > q.TotalCents {
			t.Fatalf("quoted %d, charged %d for less (%v)", q.TotalCents, part.TotalCents, err)
		}
	})
}
