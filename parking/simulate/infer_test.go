package simulate_test

import (
	"testing"
	"time"

	"freeflow/parking/simulate"
)

// hongKong is the zone of the series.
func hongKong(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Hong_Kong")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// usualDay leaves out Lunar New Year 2026, 17 to 19 February, and the days on
// which most are away.
func usualDay(day time.Time) bool {
	return day.Month() != time.February || day.Day() < 14 || day.Day() > 22
}

// TestInferHeldOut infers from every other day and is tested on the others: the
// occupancy by hour must be far nearer than a flat line.
func TestInferHeldOut(t *testing.T) {
	zone := hongKong(t)
	odd := func(day time.Time) bool { return usualDay(day) && day.YearDay()%2 == 1 }
	even := func(day time.Time) bool { return usualDay(day) && day.YearDay()%2 == 0 }
	for _, site := range []string{"tdstt46", "tdstt90", "tdstt117", "tdc335p1"} {
		samples, err := simulate.HongKong(site)
		if err != nil {
			t.Fatal(err)
		}
		for _, days := range []struct {
			name        string
			learn, test func(time.Time) bool
		}{{"odd", odd, even}, {"even", even, odd}} {
			d, err := simulate.Infer(site, samples, zone, days.learn)
			if err != nil {
				t.Fatal(err)
			}
			inferred, flat, err := d.MeanError(samples, days.test)
			if err != nil {
				t.Fatal(err)
			}
			own, _, err := d.MeanError(samples, days.learn)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s from %s days: off by %.1f bays on the others (%.1f on its own, %.1f for a flat line), swing %.0f, %d %% stay %d h",
				site, days.name, inferred, own, flat, d.Swing, d.LongPercent, d.LongHours)
			// Tung Chau Street moves by five bays a day and reports late: there is
			// little to learn.
			most := flat * 2 / 5
			if site == "tdstt90" {
				most = flat
			}
			if inferred > most {
				t.Errorf("%s from %s days: off by %.1f bays, %.1f for a flat line", site, days.name, inferred, flat)
			}
		}
	}
}

// TestTwoShapes: Chong San Road fills in the morning and Tseung Kwan O at night,
// as the facts of the project say of the same series.
func TestTwoShapes(t *testing.T) {
	zone := hongKong(t)
	fill := func(site string) (morning, evening float64) {
		samples, err := simulate.HongKong(site)
		if err != nil {
			t.Fatal(err)
		}
		d, err := simulate.Infer(site, samples, zone, usualDay)
		if err != nil {
			t.Fatal(err)
		}
		free := d.Free(0)
		return free[5] - free[9], free[17] - free[23]
	}
	if morning, evening := fill("tdstt117"); morning < 15 || evening > 5 {
		t.Errorf("Chong San Road: %.0f more cars by 9 h, %.0f by 23 h", morning, evening)
	}
	if morning, evening := fill("tdc335p1"); morning > 0 || evening < 15 {
		t.Errorf("Tseung Kwan O: %.0f more cars by 9 h, %.0f by 23 h", morning, evening)
	}
}
