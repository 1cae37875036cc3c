package tariff

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func written(tb testing.TB, x *Tariff) string {
	tb.Helper()
	var b bytes.Buffer
	if err := x.Write(&b); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func parsed(tb testing.TB, text string) *Tariff {
	tb.Helper()
	x, err := Parse(strings.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// TestParseRefuses wants each mistake named by its place, with a way to mend it.
func TestParseRefuses(t *testing.T) {
	good := written(t, tariffOf(Rules{Bands: []Band{hourly(60, 2000)}, Passes: []Pass{
		{ID: "day", Type: "day-park", When: when(everyDay, "07:00", "19:00"), ValidUntil: "same-day", Price: 8000}},
		Caps: []Cap{{ID: "c", Amount: 1, Per: "stay"}}, FreeMinutes: 5, FreeFromStart: ptr(true)}))
	parsed(t, good)
	for _, c := range []struct{ old, new, pointer, text string }{
		{`"unit_minutes": 60`, `"unit_minuts": 60`, "/classes/car/bands/0/unit_minuts", `did you mean "unit_minutes"?`},
		{`"unit_minutes": 60`, `"Unit_Minutes": 60`, "/classes/car/bands/0/Unit_Minutes", `did you mean "unit_minutes"?`},
		{`"straddle": "start"`, `"straddle": "start", "straddle": "split"`, "/options/straddle", "twice"},
		{`"straddle": "start"`, `"straddle": "middle"`, "/options/straddle", "start, split, dearer, cut"},
		{`"straddle": "start",`, ``, "/options/straddle", "is missing"},
		{`"unit_minutes": 60`, `"unit_minutes": 0`, "/classes/car/bands/0/unit_minutes", "between 1 and"},
		{`"unit_minutes": 60`, `"unit_minutes": 60.5`, "/classes/car/bands/0/unit_minutes", ""},
		{`"unit_minutes": 60`, `"unit_minutes": "60"`, "/classes/car/bands/0/unit_minutes", "whole number"},
		{`"price": "20.00"`, `"price": "20.001"`, "/classes/car/bands/0/price", "two decimal places"},
		{`"price": "20.00"`, `"price": 2e1`, "/classes/car/bands/0/price", "two decimal places"},
		{`"price": "20.00"`, `"price": "-1.00"`, "/classes/car/bands/0/price", "not between"},
		{`"price": "20.00"`, `"price": null`, "/classes/car/bands/0/price", "null"},
		{`"unit_minutes": 60,`, `"unit_minutes": 60, "unit_minutes": 30,`, "/classes/car/bands/0/unit_minutes", "twice"},
		{`"amount": "0.01",`, ``, "/classes/car/caps/0/amount", "is missing"},
		{`"from": "07:00"`, `"from": "7:00"`, "/classes/car/passes/0/from", "07:30"},
		{`"from": "07:00"`, `"from": "24:01"`, "/classes/car/passes/0/from", "24:00"},
		{`"MON"`, `"MO"`, "/classes/car/bands/0/days/0", "MON, TUE"},
		{`"SUN"`, `"MON"`, "/classes/car/bands/0/days/6", "twice"},
		{`"zone": "Asia/Hong_Kong"`, `"zone": "Hongkong Time"`, "/zone", "Asia/Hong_Kong"},
		{`"currency": "HKD"`, `"currency": "hkd"`, "/currency", "HKD"},
		{`"per": "stay"`, `"per": "reset_time"`, "/classes/car/caps/0/reset_time", "07:00"},
		{`"per": "stay"`, `"per": "stay", "bands": ["nope"]`, "/classes/car/caps/0/bands/0", "not the id"},
		{`"type": "day-park"`, `"type": "daypark"`, "/classes/car/passes/0/type", "day-park"},
		{`"classes"`, `"klasses"`, "/klasses", `"classes"`},
		{`"effective_from": "2020`, `"effective_from": "20`, "/effective_from", ""},
		{`"free_from_start": true,`, ``, "/classes/car/free_from_start", "must be stated"},
		{`"version": "v1"`, `"version": "v 1"`, "/version", "not a name"},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Fatalf("%s is not in the tariff:\n%s", c.old, good)
		}
		_, err := Parse(strings.NewReader(bad))
		var e *BadTariffError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", c.new, err)
			continue
		}
		found := false
		for _, p := range e.Problems {
			found = found || p.Pointer == c.pointer && strings.Contains(p.Text, c.text)
		}
		if !found {
			t.Errorf("%s: want %s: ...%s..., got %v", c.new, c.pointer, c.text, e)
		}
	}
	for _, text := range []string{"", "[]", "{}", good + "{}", good[:len(good)/2], strings.Repeat(" ", maxTariffBytes+1), "{\"id\":\"\xff\"}"} {
		if _, err := Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%.40q was taken", text)
		}
	}
	// A byte order mark, as other systems put it, does no harm.
	parsed(t, "\xef\xbb\xbf"+good)
}

// TestOverlapIsRefused: two bands of equal standing have no price between them.
func TestOverlapIsRefused(t *testing.T) {
	x := tariffOf(Rules{Bands: []Band{hourly(60, 2000), {ID: "too", When: when([]Day{Tuesday}, "10:00", "11:00"), UnitMinutes: 60, Price: 100}}})
	var e *BadTariffError
	if _, err := New([]*Tariff{x}, nil); !errors.As(err, &e) || e.Problems[0].Pointer != "/classes/car/bands/1" || !strings.Contains(e.Problems[0].Text, "TUE") {
		t.Errorf("%v", err)
	}
	if found := Check(x); len(found) == 0 || !found[0].Error {
		t.Errorf("Check: %v", found)
	}
	x.Classes["car"].Bands[1].Priority = 1
	b := bookOf(t, x)
	costs(t, b, car("2026-03-03 10:00", "2026-03-03 11:00"), 100)
}

// FuzzParse: whatever is read is written and read again as the same tariff,
// and can be checked and rated without a panic.
func FuzzParse(f *testing.F) {
	for _, name := range Samples() {
		x, err := Sample(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(written(f, x)))
	}
	f.Add([]byte(`{"id":"x","version":"1","classes":{"car":{"bands":[{"id":"a","from":"00:00","to":"24:00","price":1}]}}}`))
	calendar := hongKong2026(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := Parse(bytes.NewReader(data))
		if err != nil {
			return
		}
		text := written(t, x)
		again := parsed(t, text)
		if written(t, again) != text {
			t.Fatalf("not the same when written again:\n%s", text)
		}
		b, err := New([]*Tariff{x}, calendar)
		if err != nil {
			return
		}
		for class := range x.Classes {
			r, err := b.Rate(Stay{Class: class, Entry: hk("2026-02-16 22:10"), Exit: hk("2026-02-17 09:00:01"), Version: x.Version})
			if err == nil {
				checkReceipt(t, r)
			}
		}
	})
}
