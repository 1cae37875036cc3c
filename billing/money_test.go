package billing_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"freeflow/billing"
)

func TestCentsAsText(t *testing.T) {
	for cents, want := range map[int64]string{
		0: "0.00", 5: "0.05", -5: "-0.05", 99: "0.99", 100: "1.00", 2050: "20.50", -123456: "-1234.56",
		math.MaxInt64: "92233720368547758.07", math.MinInt64: "-92233720368547758.08",
	} {
		if got := billing.FormatCents(cents); got != want {
			t.Errorf("FormatCents(%d) = %q, want %q", cents, got, want)
		}
	}
}

func TestParseCents(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-0.00": 0, "20": 2000, "20.5": 2050, "20.50": 2050, "0.05": 5, "-1.01": -101,
		"92233720368547758.07": math.MaxInt64, "-92233720368547758.08": math.MinInt64,
	} {
		if got, err := billing.ParseCents(text); err != nil || got != want {
			t.Errorf("ParseCents(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestParseCentsRefuses(t *testing.T) {
	for _, text := range []string{
		"", "-", ".", "1.", ".5", "+1", " 1", "1 ", "1,000.00", "1.001", "1e3", "1E-2", "0x10", "NaN", "Inf",
		"--1", "1.2.3", "\u22121", "\uff11", "1_000", "1\x00", "92233720368547758.08", "-92233720368547758.09",
		"99999999999999999", strings.Repeat("9", 1_000_000),
	} {
		if got, err := billing.ParseCents(text); err == nil {
			t.Errorf("ParseCents(%.40q) = %d, want an error", text, got)
		}
	}
}

func TestCentsSurviveTheirText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cents := rapid.Int64().Draw(t, "cents")
		text := billing.FormatCents(cents)
		if got, err := billing.ParseCents(text); err != nil || got != cents {
			t.Fatalf("%d became %q and then %d, %v", cents, text, got, err)
		}
	})
}

// FuzzParseCents holds that whatever is accepted is written back as the same
// amount, so that no spelling means two amounts.
func FuzzParseCents(f *testing.F) {
	for _, seed := range []string{"0", "20.50", "-0.01", "1e9", "92233720368547758.07", "٣"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cents, err := billing.ParseCents(text)
		if err != nil {
			return
		}
		again, err := billing.ParseCents(billing.FormatCents(cents))
		if err != nil || again != cents {
			t.Fatalf("%q is %d, but its own text is %d, %v", text, cents, again, err)
		}
	})
}
