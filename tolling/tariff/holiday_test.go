package tariff

import "testing"

func TestHoliday(t *testing.T) {
	n, err := Open("hongkong")
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		date           string
		holiday, known bool
	}{
		{"2026-02-17", true, true},   // Lunar New Year's Day
		{"2026-02-16", false, true},  // its eve
		{"2026-11-22", false, true},  // a Sunday
		{"2030-01-01", false, false}, // not published yet
		{"2026-02-30", false, false},
		{"", false, false},
	} {
		holiday, known := n.Holiday(one.date)
		if holiday != one.holiday || known != one.known {
			t.Errorf("%q is %v (known: %v)", one.date, holiday, known)
		}
	}
}
