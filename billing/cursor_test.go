package billing

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCursorComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Cursor{
			FirstMicros: rapid.Int64().Draw(t, "micros"),
			TollPoint:   rapid.String().Draw(t, "point"),
			Vehicle:     rapid.String().Draw(t, "vehicle"),
			ID:          rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "id"),
		}
		text := c.String()
		if strings.ContainsAny(text, "+/=&?# ") {
			t.Fatalf("%q is not safe in a URL", text)
		}
		if got, err := ParseCursor(text); err != nil || got != c {
			t.Fatalf("%v came back as %v, %v", c, got, err)
		}
	})
	if got, err := ParseCursor(Cursor{}.String()); err != nil || got != (Cursor{}) {
		t.Errorf("the zero cursor came back as %v, %v", got, err)
	}
}

func FuzzParseCursor(f *testing.F) {
	good := Cursor{1, "CHT-N", "AB1234", "0123"}.String()
	for _, s := range []string{"", good, good[:len(good)-1], good + "A", "bnVsbA", "W10", "WzEsMl0", "!", strings.Repeat("A", 5000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err != nil {
			return
		}
		if again, err := ParseCursor(c.String()); err != nil || again != c {
			t.Errorf("%q gave %v, which comes back as %v, %v", s, c, again, err)
		}
	})
}

func TestChargeCursorComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Charge{OccurredMicros: rapid.Int64().Draw(t, "micros"), ID: rapid.StringN(1, 256, 256).Draw(t, "id")}
		text := ChargeCursor(c)
		if strings.ContainsAny(text, "+/=&?# ") {
			t.Fatalf("%q is not safe in a URL", text)
		}
		at, id, err := ParseChargeCursor(text)
		if err != nil || at != c.OccurredMicros || id != c.ID {
			t.Fatalf("%v came back as %d, %q, %v", c, at, id, err)
		}
		if got, err := ParseCursor(text); err == nil {
			t.Fatalf("the cursor of a charge is taken for that of pass %v", got)
		}
	})
	for _, wrong := range []string{"", "!", Cursor{FirstMicros: 1, ID: "x"}.String(), ChargeCursor(Charge{OccurredMicros: 1})} {
		if _, id, err := ParseChargeCursor(wrong); err == nil {
			t.Errorf("%q gave %q", wrong, id)
		}
	}
}
