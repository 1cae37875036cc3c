package tariff_test

import (
	"encoding/csv"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"freeflow/tolling/tariff"
)

func priceList(t *testing.T) []map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/taiwan/gantry_price_table_2025-12-09.csv")
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(data), "\ufeff"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, r := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = r[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// Every price of the published list is what a pass at that gantry's toll
// point costs, at any time of any day.
func TestTaiwanMatchesThePriceList(t *testing.T) {
	n := open(t, "taiwan")
	list := priceList(t)
	if len(list) != 341 {
		t.Fatalf("the list has %d gantries, want 341", len(list))
	}
	times := []string{"2019-01-01T00:00:00+08:00", "2019-08-30T08:17:14+08:00", "2026-02-17T12:00:00+08:00", "2040-01-01T00:00:00+08:00"}
	for _, row := range list {
		code := row["設定收費區代碼"]
		p, ok := n.Point(code)
		if !ok || p.Direction != row["方向"] {
			t.Fatalf("gantry %s: %+v, %v", code, p, ok)
		}
		if p.Facility != code[:len(code)-1] {
			t.Errorf("gantry %s is at facility %s", code, p.Facility)
		}
		if label, _ := n.PointLabel(code); label.Zh != row["國道別"]+" "+row["起點交流道"]+"－"+row["迄點交流道"] || label.En == "" {
			t.Errorf("gantry %s is called %+v", code, label)
		}
		if point, facility, ok := n.TollPoint(code + "-1"); point != code || facility != p.Facility || !ok {
			t.Errorf("unit %s-1 stands at %q %q %v", code, point, facility, ok)
		}
		for class, column := range map[string]string{"car": "小型車牌價", "truck": "大型車牌價", "trailer": "聯結車牌價"} {
			want := decimal.RequireFromString(row[column]).Shift(2).IntPart()
			for _, when := range times {
				toll, err := n.Rate(code, class, at(t, when))
				if err != nil || toll.Cents != want || toll.DayType != "all" {
					t.Fatalf("%s %s at %s: %+v, %v; want %d", code, class, when, toll, err, want)
				}
			}
		}
	}
	if toll, err := n.Rate("01F0005", "car", at(t, times[0])); err != nil || toll.Cents != 130 {
		t.Errorf("1.3 TWD is 130 cents, not %+v, %v", toll, err)
	}
}

func TestTaiwanUnlistedGantriesHaveNoTariff(t *testing.T) {
	n := open(t, "taiwan")
	listed := map[string]bool{}
	for _, row := range priceList(t) {
		listed[row["設定收費區代碼"]] = true
	}
	data, err := os.ReadFile("testdata/taiwan/M06A_30trips_20190830.csv")
	if err != nil {
		t.Fatal(err)
	}
	unlisted := map[string]bool{}
	passages := 0
	for line := range strings.Lines(string(data)) {
		for _, passage := range strings.Split(strings.Split(strings.TrimSpace(line), ",")[7], "; ") {
			_, gantry, _ := strings.Cut(passage, "+")
			passages++
			if _, ok := n.Point(gantry); !ok {
				t.Fatalf("recorded gantry %s is no toll point", gantry)
			}
			_, err := n.Rate(gantry, "car", at(t, "2019-08-30T08:00:00+08:00"))
			var no *tariff.NoTariffError
			if listed[gantry] != (err == nil) || err != nil && !errors.As(err, &no) {
				t.Errorf("gantry %s, listed %v: %v", gantry, listed[gantry], err)
			}
			if !listed[gantry] {
				unlisted[gantry] = true
			}
		}
	}
	if passages != 113 || len(unlisted) != 6 {
		t.Errorf("%d passages, %d unlisted gantries; want 113, 6", passages, len(unlisted))
	}
	if len(n.Points()) != 341+6 {
		t.Errorf("%d toll points, want 347", len(n.Points()))
	}
	if _, err := n.Rate("01F0005", "car", at(t, "2018-12-31T23:59:59.999999+08:00")); err == nil {
		t.Error("there is a toll before the first version")
	}
}

// The two gantries of a place are one facility also where their prices differ
// (rule 6 relates them), and then the facility by itself has no price.
func TestTaiwanDirectionsMayDiffer(t *testing.T) {
	n := open(t, "taiwan")
	when := at(t, "2026-02-17T12:00:00+08:00")
	for point, want := range map[string]struct {
		facility string
		cents    int64
		rule     string
	}{
		"03F0201N": {"03F0201", 520, "03F0201N car, all 00:00-24:00: 5.20"},
		"03F0201S": {"03F0201", 560, "03F0201S car, all 00:00-24:00: 5.60"},
		"01F0339S": {"01F0339", 160, "01F0339S car, all 00:00-24:00: 1.60"},
		"01F0005S": {"01F0005", 130, "01F0005 car, all 00:00-24:00: 1.30"}, // its facility's row
	} {
		p, _ := n.Point(point)
		toll, err := n.Rate(point, "car", when)
		if err != nil || p.Facility != want.facility || toll.Cents != want.cents || toll.Rule != want.rule {
			t.Errorf("%s at %s: %+v, %v", point, p.Facility, toll, err)
		}
	}
	for place, says := range map[string]string{
		"03F0201":  "its toll points differ; ask for one of 03F0201N, 03F0201S",
		"01F0339":  "its toll points differ; ask for one of 01F0339N, 01F0339S",
		"01F0339N": "no toll for them at any time",
	} {
		var no *tariff.NoTariffError
		if _, err := n.Rate(place, "car", when); !errors.As(err, &no) || no.Place != place || !strings.Contains(no.Reason, says) {
			t.Errorf("%s: %v", place, err)
		}
	}
	if got := strings.Join(n.WithoutTolls(), " "); got != "01F0155 01F0339N 01F0509 01F1725 01F3525" {
		t.Errorf("without tolls: %s", got)
	}
}

func TestTaiwanSettings(t *testing.T) {
	n := open(t, "taiwan")
	if n.Name() != "taiwan" || n.Currency() != "TWD" || n.Zone().String() != "Asia/Taipei" || n.GapMicros() != int64(time.Minute/time.Microsecond) {
		t.Errorf("%s %s %s %d", n.Name(), n.Currency(), n.Zone(), n.GapMicros())
	}
	if got := strings.Join(n.Classes(), " "); got != "car truck trailer" {
		t.Errorf("classes: %s", got)
	}
	if !strings.Contains(n.Attribution(), "Freeway Bureau") || !strings.Contains(n.Notes(), "December 2025") {
		t.Errorf("attribution %q, notes %q", n.Attribution(), n.Notes())
	}
	// The recorded trips of 2019 are older than what other networks take.
	if n.EarliestMicros() != at(t, "2019-01-01T00:00:00+08:00").UnixMicro() || open(t, "hongkong").EarliestMicros() != at(t, "2020-01-01T00:00:00Z").UnixMicro() {
		t.Errorf("reads are taken from %d on", n.EarliestMicros())
	}
	if from, until := n.HolidaysKnown(); from != "" || until != "" {
		t.Errorf("holidays %s %s", from, until)
	}
}
