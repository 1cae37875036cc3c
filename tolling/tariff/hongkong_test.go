package tariff_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"freeflow/tolling/tariff"
)

func open(t testing.TB, name string) *tariff.Network {
	t.Helper()
	n, err := tariff.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := tariff.ParseInstant(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The published table, every minute of every row, on days of each kind.
func TestHongKongMatchesThePublishedTable(t *testing.T) {
	n := open(t, "hongkong")
	f, err := os.Open("testdata/hk/hk_tariff_current.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows = rows[1:]
	if len(rows) != 564 {
		t.Fatalf("the table has %d rows, want 564", len(rows))
	}
	dates := map[string][]string{
		"mon_sat": {"2026-03-06" /* Fri */, "2026-03-07" /* Sat */, "2027-12-31" /* Fri, the last known day */},
		"sun_gh":  {"2026-03-08" /* Sun */, "2026-02-17" /* Tue, Lunar New Year */, "2026-09-26" /* Sat, holiday */},
	}
	checked := 0
	for _, row := range rows {
		want := decimal.RequireFromString(row[5]).Shift(2).IntPart()
		for _, date := range dates[row[2]] {
			for m := minute(t, row[3]); m < minute(t, row[4]); m++ {
				// Somewhere within the minute; the seconds must not matter.
				instant := at(t, date+"T00:00:00+08:00").Add(time.Duration(m)*time.Minute + time.Duration(m%60)*time.Second)
				toll, err := n.Rate(row[0], row[1], instant.UTC())
				if err != nil {
					t.Fatalf("%v at %s: %v", row, instant, err)
				}
				if toll.Cents != want {
					t.Fatalf("%v at %s: %d cents (%s), want %d", row, instant, toll.Cents, toll.Rule, want)
				}
				checked++
			}
		}
	}
	// 9 facilities, 10 classes, 6 dates, 1440 minutes: no minute left out.
	if checked != 9*10*6*1440 {
		t.Fatalf("checked %d minutes, want %d: the table does not cover every day", checked, 9*10*6*1440)
	}
}

func minute(t *testing.T, s string) int {
	t.Helper()
	h, m, _ := strings.Cut(s, ":")
	hours, err1 := strconv.Atoi(h)
	minutes, err2 := strconv.Atoi(m)
	if err1 != nil || err2 != nil {
		t.Fatalf("bad time %q", s)
	}
	return hours*60 + minutes
}

func TestHongKongPublishedPointsAndVersionBoundaries(t *testing.T) {
	n := open(t, "hongkong")
	const none = int64(-1)
	for _, c := range []struct {
		facility, class, at string
		cents               int64
		version, dayType    string
	}{
		// Published check points.
		{"WHC", "private_car", "2023-12-18T10:21:00+08:00", 5200, "2023-12-tv", "mon_sat"},
		{"CHT", "private_car", "2026-03-06T20:03:00+08:00", 2000, "2023-12-tv", "mon_sat"},
		{"CHT", "private_car", "2026-03-06T12:03:00Z", 2000, "2023-12-tv", "mon_sat"},
		{"TLT", "private_car", "2025-05-31T08:30:00+08:00", 1800, "2025-05-tlt", "sun_gh"},
		{"CHT", "private_car", "2023-12-18T07:30:59.999999+08:00", 2200, "2023-12-tv", "mon_sat"},
		{"CHT", "private_car", "2023-12-18T07:32:00+08:00", 2400, "2023-12-tv", "mon_sat"},
		{"CHT", "private_car", "2023-12-18T07:45:00+08:00", 3600, "2023-12-tv", "mon_sat"},
		{"WHC", "private_car", "2026-03-08T10:10:59+08:00", 2000, "2023-12-tv", "sun_gh"},
		{"WHC", "private_car", "2026-03-08T10:11:00+08:00", 2100, "2023-12-tv", "sun_gh"},
		{"WHC", "private_car", "2026-03-08T10:15:00+08:00", 2500, "2023-12-tv", "sun_gh"},
		// Ten-cent motor cycles, and the ramps of odd parity.
		{"TLT", "private_car", "2026-03-06T07:14:59+08:00", 1800, "2025-05-tlt", "mon_sat"},
		{"TLT", "private_car", "2026-03-06T07:15:00+08:00", 1900, "2025-05-tlt", "mon_sat"},
		{"TLT", "private_car", "2026-03-06T07:40:00+08:00", 4300, "2025-05-tlt", "mon_sat"},
		{"TLT", "private_car", "2026-03-06T09:58:00+08:00", 3100, "2025-05-tlt", "mon_sat"},
		{"TLT", "private_car", "2026-03-06T09:59:00+08:00", 3000, "2025-05-tlt", "mon_sat"},
		{"TLT", "motorcycle", "2026-03-06T07:15:00+08:00", 760, "2025-05-tlt", "mon_sat"},
		{"TLT", "motorcycle", "2026-03-06T07:40:00+08:00", 1720, "2025-05-tlt", "mon_sat"},
		{"CHT", "motorcycle", "2026-03-06T07:30:00+08:00", 880, "2023-12-tv", "mon_sat"},
		{"CHT", "motorcycle", "2026-03-08T10:13:00+08:00", 920, "2023-12-tv", "sun_gh"},
		// The first version, and nothing before it or without a row.
		{"TCT", "mgv", "2023-05-06T23:59:59.999999+08:00", none, "", ""},
		{"TCT", "mgv", "2023-05-07T00:00:00+08:00", 2800, "2023-05", "all"},
		{"LRT", "hgv", "2023-05-28T12:00:00+08:00", 800, "2023-05", "all"},
		{"CHT", "motorcycle", "2023-07-23T05:00:00+08:00", 800, "2023-05", "all"},
		{"CHT", "taxi", "2023-08-01T23:59:59.999999+08:00", 1000, "2023-05", "all"},
		{"CHT", "lgv", "2023-08-01T12:00:00+08:00", none, "", ""},
		{"WHC", "taxi", "2023-08-01T23:59:59.999999+08:00", none, "", ""},
		// 633: what it names changes, the rest follows the version before.
		{"WHC", "private_car", "2023-08-01T23:59:59.999999+08:00", 7500, "2023-05", "all"},
		{"WHC", "private_car", "2023-08-02T00:00:00+08:00", 6000, "2023-08-633", "all"},
		{"CHT", "private_car", "2023-08-02T00:00:00+08:00", 3000, "2023-08-633", "all"},
		{"EHC", "private_car", "2023-08-02T00:00:00+08:00", 3000, "2023-08-633", "all"},
		{"EHC", "private_car", "2023-08-01T12:00:00+08:00", 2500, "2023-05", "all"},
		{"WHC", "taxi", "2023-08-02T00:00:00+08:00", 2500, "2023-08-633", "all"},
		{"EHC", "hgv", "2023-11-30T23:00:00+08:00", 7500, "2023-05", "all"},
		{"CHT", "motorcycle", "2023-12-17T04:59:59.999999+08:00", 800, "2023-05", "all"},
		// The time-varying plan begins at an instant, within a Sunday.
		{"WHC", "private_car", "2023-12-17T04:59:59.999999+08:00", 6000, "2023-08-633", "all"},
		{"WHC", "private_car", "2023-12-17T05:00:00+08:00", 2000, "2023-12-tv", "sun_gh"},
		{"CHT", "lgv", "2023-12-17T04:59:59.999999+08:00", none, "", ""},
		{"CHT", "lgv", "2023-12-17T05:00:00+08:00", 5000, "2023-12-tv", "all"},
		{"CHT", "private_car", "2023-12-25T09:00:00+08:00", 2000, "2023-12-tv", "sun_gh"},
		{"CHT", "private_car", "2023-12-26T09:00:00+08:00", 2000, "2023-12-tv", "sun_gh"},
		{"CHT", "private_car", "2023-12-27T09:00:00+08:00", 4000, "2023-12-tv", "mon_sat"},
		// Tai Lam.
		{"TLT", "private_car", "2025-05-30T23:59:59.999999+08:00", 5800, "2023-05", "all"},
		{"TLT", "private_car", "2025-05-31T00:00:00+08:00", 1800, "2025-05-tlt", "sun_gh"},
		{"TLT", "bus_double", "2025-05-30T23:59:59.999999+08:00", 21300, "2023-05", "all"},
		{"TLT", "private_light_bus", "2025-05-30T12:00:00+08:00", 12600, "2023-05", "all"},
		{"TLT", "taxi", "2025-05-30T12:00:00+08:00", none, "", ""},
		{"TLT", "taxi", "2025-05-31T00:00:00+08:00", 2800, "2025-05-tlt", "all"},
		{"TLT", "hgv", "2025-05-31T00:00:00+08:00", 4300, "2025-05-tlt", "all"},
		// Aberdeen and Shing Mun; the Lion Rock does not move.
		{"ABT", "taxi", "2025-09-20T23:59:59.999999+08:00", 500, "2023-05", "all"},
		{"ABT", "taxi", "2025-09-21T00:00:00+08:00", 800, "2025-09-abt-smt", "all"},
		{"SMT", "hgv", "2025-09-20T15:59:59.999999Z", 500, "2023-05", "all"},
		{"SMT", "hgv", "2025-09-20T16:00:00Z", 800, "2025-09-abt-smt", "all"},
		{"LRT", "hgv", "2025-09-21T00:00:00+08:00", 800, "2023-05", "all"},
		// After the last known holiday year there is nothing, flat tolls included.
		{"ABT", "taxi", "2027-12-31T23:59:59.999999+08:00", 800, "2025-09-abt-smt", "all"},
		{"ABT", "taxi", "2028-01-01T00:00:00+08:00", none, "", ""},
		{"CHT", "private_car", "2027-12-31T16:00:00Z", none, "", ""},
		{"CHT", "private_car", "0001-01-01T00:00:00Z", none, "", ""},
		{"CHT", "private_car", "9999-12-31T23:59:59Z", none, "", ""},
	} {
		toll, err := n.Rate(c.facility, c.class, at(t, c.at))
		var no *tariff.NoTariffError
		if c.cents == none {
			if !errors.As(err, &no) || no.Reason == "" || no.Place != c.facility || no.Class != c.class {
				t.Errorf("%s %s at %s: %+v, %v; want a *NoTariffError with its reason", c.facility, c.class, c.at, toll, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s at %s: %v", c.facility, c.class, c.at, err)
			continue
		}
		if toll.Cents != c.cents || toll.Version != c.version || toll.DayType != c.dayType || toll.Rule == "" {
			t.Errorf("%s %s at %s: %+v, want %d %s %s", c.facility, c.class, c.at, toll, c.cents, c.version, c.dayType)
		}
	}
}

func TestMotorCyclesPayFortyPercentExactly(t *testing.T) {
	n := open(t, "hongkong")
	start := at(t, "2026-02-14T00:00:00+08:00") // Saturday to Thursday, over Lunar New Year
	seen := map[int64]bool{}
	for _, facility := range []string{"CHT", "EHC", "WHC", "TLT"} {
		for m := range 6 * 1440 {
			when := start.Add(time.Duration(m) * time.Minute)
			car, err := n.Rate(facility, "private_car", when)
			if err != nil {
				t.Fatal(err)
			}
			cycle, err := n.Rate(facility, "motorcycle", when)
			if err != nil {
				t.Fatal(err)
			}
			if cycle.Cents*10 != car.Cents*4 {
				t.Fatalf("%s at %s: %d is not 40%% of %d", facility, when, cycle.Cents, car.Cents)
			}
			seen[cycle.Cents] = true
		}
	}
	for _, cents := range []int64{760, 880, 920, 1720} {
		if !seen[cents] {
			t.Errorf("no motor cycle paid %d cents; ten-cent tolls are lost", cents)
		}
	}
}

func TestHongKongHolidaysAreThoseOfTheGovernment(t *testing.T) {
	n := open(t, "hongkong")
	data, err := os.ReadFile("testdata/hk/public_holidays_2024_2026_gov.json")
	if err != nil {
		t.Fatal(err)
	}
	var published struct {
		Calendars []struct {
			Events []struct {
				Start   []any  `json:"dtstart"`
				Summary string `json:"summary"`
			} `json:"vevent"`
		} `json:"vcalendar"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(string(data), "\ufeff")), &published); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, e := range published.Calendars[0].Events {
		d := e.Start[0].(string)
		want[d[:4]+"-"+d[4:6]+"-"+d[6:]] = e.Summary
	}
	perYear := map[string]int{}
	for _, h := range n.Holidays() {
		perYear[h.Date[:4]]++
		if name, ok := want[h.Date]; ok && name != h.Name {
			t.Errorf("%s is %q, published %q", h.Date, h.Name, name)
		}
		if year := h.Date[:4]; year >= "2024" && year <= "2026" {
			if _, ok := want[h.Date]; !ok {
				t.Errorf("%s is not a published holiday", h.Date)
			}
			delete(want, h.Date)
		} else if !strings.HasPrefix(h.Source, "derived") {
			t.Errorf("%s is not published, so its source must say derived, not %q", h.Date, h.Source)
		}
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
	if perYear["2023"] != 2 || perYear["2027"] != 17 {
		t.Errorf("holidays per year: %v, want 2 in 2023 and 17 in 2027", perYear)
	}
}

func TestHongKongRoadside(t *testing.T) {
	n := open(t, "hongkong")
	if n.Name() != "hongkong" || n.Currency() != "HKD" || n.Zone().String() != "Asia/Hong_Kong" || n.GapMicros() != 60_000_000 || n.TurnRoundMicros() != 120_000_000 {
		t.Errorf("settings: %s %s %s %d %d", n.Name(), n.Currency(), n.Zone(), n.GapMicros(), n.TurnRoundMicros())
	}
	if got := strings.Join(n.Classes(), " "); got != "motorcycle private_car taxi public_light_bus private_light_bus lgv mgv hgv bus_single bus_double" {
		t.Errorf("classes: %s", got)
	}
	var codes []string
	for _, f := range n.Facilities() {
		codes = append(codes, f.Code)
		if f.Names.En == "" || f.Names.Zh == "" {
			t.Errorf("%s has no name", f.Code)
		}
	}
	if got := strings.Join(codes, " "); got != "CHT EHC WHC TLT TCT ABT SMT LRT TSCA" {
		t.Errorf("facilities: %s", got)
	}
	if len(n.Points()) != 18 || len(n.Units()) != 72 {
		t.Errorf("%d points, %d units; want 18, 72", len(n.Points()), len(n.Units()))
	}
	for _, u := range n.Units() {
		point, facility, ok := n.TollPoint(u)
		p, known := n.Point(point)
		if !ok || !known || p.Facility != facility || p.Direction == "" || !strings.HasPrefix(u, point+"-") || !strings.HasPrefix(point, facility+"-") {
			t.Errorf("unit %s: point %q facility %q %v", u, point, facility, ok)
		}
	}
	if point, facility, ok := n.TollPoint("CHT-N-4"); point != "CHT-N" || facility != "CHT" || !ok {
		t.Errorf("CHT-N-4 stands at %q %q %v", point, facility, ok)
	}
	for _, unit := range []string{"", "CHT-N", "CHT-N-0", "CHT-N-5", "CHT-N-01", "cht-n-1", "CHT-E-1"} {
		if _, _, ok := n.TollPoint(unit); ok {
			t.Errorf("%q is no unit", unit)
		}
	}
	if !n.KnowsClass("taxi") || n.KnowsClass("Taxi") || n.KnowsClass("") {
		t.Error("KnowsClass is wrong")
	}
	if label, ok := n.PointLabel("CHT-N"); !ok || label.Zh != "紅磡海底隧道（往九龍）" {
		t.Errorf("CHT-N is called %+v", label)
	}
	if len(n.WithoutTolls()) != 0 {
		t.Errorf("without tolls: %v", n.WithoutTolls())
	}
	var unknown *tariff.UnknownError
	if _, err := n.Rate("XYZ", "taxi", at(t, "2026-01-01T00:00:00Z")); !errors.As(err, &unknown) || unknown.Kind != "facility" {
		t.Errorf("unknown facility: %v", err)
	}
	if _, err := n.Rate("CHT", "tram", at(t, "2026-01-01T00:00:00Z")); !errors.As(err, &unknown) || unknown.Kind != "class" {
		t.Errorf("unknown class: %v", err)
	}
	if n.Classes()[0] = "changed"; n.Classes()[0] != "motorcycle" {
		t.Error("a caller can change the network")
	}
}

func BenchmarkRate(b *testing.B) {
	n := open(b, "hongkong")
	when := at(b, "2026-03-06T08:03:30.5Z")
	classes := n.Classes()
	for _, place := range []string{"WHC", "WHC-N"} {
		b.Run(place, func(b *testing.B) {
			b.ReportAllocs()
			var sum int64
			i := 0
			for b.Loop() {
				toll, err := n.Rate(place, classes[i%len(classes)], when.Add(time.Duration(i%100_000)*time.Second))
				if err != nil {
					b.Fatal(err)
				}
				sum += toll.Cents
				i++
			}
			if sum == 0 {
				b.Fatal("nothing was rated")
			}
		})
	}
}

func TestRatingDoesNotAllocate(t *testing.T) {
	n := open(t, "hongkong")
	when := at(t, "2026-03-06T08:03:30.5Z")
	for _, place := range []string{"WHC", "WHC-N"} {
		if a := testing.AllocsPerRun(100, func() {
			if _, err := n.Rate(place, "taxi", when); err != nil {
				t.Error(err)
			}
		}); a != 0 {
			t.Errorf("rating at %s allocates %v times", place, a)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, name := range tariff.Names() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				open(b, name)
			}
		})
	}
}
