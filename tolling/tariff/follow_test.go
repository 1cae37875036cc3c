package tariff_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/tolling/tariff"
)

// A road whose directions part in v3 and come together again in v4.
func parted() map[string]string {
	files := small()
	files["versions.csv"] += "v3,2026-07-01T00:00:00+08:00,gazette\nv4,2026-09-01T00:00:00+08:00,gazette\n"
	files["tolls.csv"] += "v3,R1-N,car,all,00:00,12:00,20,,\nv3,R1-N,car,all,12:00,24:00,30,,\nv3,R1-N,cycle,all,00:00,24:00,10% of car,,\n" +
		"v4,R1,car,all,00:00,24:00,25,,\n"
	return files
}

func TestTollPointsMayPart(t *testing.T) {
	n, err := load(parted())
	if err != nil {
		t.Fatal(err)
	}
	const (
		before = "2026-06-30T23:59:59+08:00" // a Tuesday
		apart  = "2026-07-01T00:00:00+08:00" // a Wednesday
		noon   = "2026-07-01T12:00:00+08:00"
		after  = "2026-09-01T00:00:00+08:00"
	)
	for _, c := range []struct {
		place, class, at string
		cents            int64
		rule             string
	}{
		{"R1", "car", before, 1700, "R1 car, mon_sat 07:06-24:00: 17.00"},
		{"R1-N", "car", before, 1700, "R1 car, mon_sat 07:06-24:00: 17.00"},
		{"R1-S", "car", before, 1700, "R1 car, mon_sat 07:06-24:00: 17.00"},
		{"R1-N", "car", apart, 2000, "R1-N car, all 00:00-12:00: 20.00"},
		{"R1-N", "car", noon, 3000, "R1-N car, all 12:00-24:00: 30.00"},
		{"R1-N", "cycle", noon, 300, "R1-N cycle, all 00:00-24:00: 10% of car; R1-N car, all 12:00-24:00: 30.00"},
		{"R1-S", "car", noon, 1700, "R1 car, mon_sat 07:06-24:00: 17.00"}, // v3 does not change it
		{"R1-S", "cycle", noon, 680, "R1 cycle, all 00:00-24:00: 40% of car; R1 car, mon_sat 07:06-24:00: 17.00"},
		{"R1-N", "car", after, 2500, "R1 car, all 00:00-24:00: 25.00"},
		{"R1-S", "car", after, 2500, "R1 car, all 00:00-24:00: 25.00"},
		{"R1", "car", after, 2500, "R1 car, all 00:00-24:00: 25.00"},
		{"R1-N", "cycle", after, 200, "R1-N cycle, all 00:00-24:00: 10% of car; R1-N car, all 00:00-12:00: 20.00"}, // as v3 has it
	} {
		toll, err := n.Rate(c.place, c.class, at(t, c.at))
		if err != nil || toll.Cents != c.cents || toll.Rule != c.rule {
			t.Errorf("%s %s at %s: %+v, %v; want %d, %s", c.place, c.class, c.at, toll, err, c.cents, c.rule)
		}
	}
	for _, c := range []struct{ class, at string }{{"car", apart}, {"car", noon}, {"cycle", apart}, {"cycle", after}} {
		var no *tariff.NoTariffError
		if _, err := n.Rate("R1", c.class, at(t, c.at)); !errors.As(err, &no) || no.Place != "R1" || no.Reason != "its toll points differ; ask for one of R1-N, R1-S" {
			t.Errorf("R1 %s at %s: %v", c.class, c.at, err)
		}
	}
	var unknown *tariff.UnknownError
	if _, err := n.Rate("R1-W", "car", at(t, noon)); !errors.As(err, &unknown) || unknown.Kind != "facility" || unknown.Name != "R1-W" {
		t.Errorf("an unknown toll point: %v", err)
	}
	if _, err := n.Rate("R1-N", "tram", at(t, noon)); !errors.As(err, &unknown) || unknown.Kind != "class" {
		t.Errorf("an unknown class at a toll point: %v", err)
	}
}

// The only toll point of a facility is the facility, whichever of the two the
// rows name.
func TestTheOnlyTollPointIsItsFacility(t *testing.T) {
	files := small()
	files["toll_points.csv"] = strings.Replace(files["toll_points.csv"], "R1-S,R1,S,Road south,\n", "", 1)
	files["tolls.csv"] = strings.ReplaceAll(files["tolls.csv"], "v2,R1,", "v2,R1-N,")
	n, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	for when, cents := range map[string]int64{"2026-01-31T12:00:00+08:00": 1000, "2026-02-08T12:00:00+08:00": 550} {
		for _, place := range []string{"R1", "R1-N"} {
			if toll, err := n.Rate(place, "car", at(t, when)); err != nil || toll.Cents != cents {
				t.Errorf("%s at %s: %+v, %v", place, when, toll, err)
			}
		}
	}
}

func TestWithoutTollsNamesTollPoints(t *testing.T) {
	files := small()
	files["facilities.csv"] += "R2,Bypass,,,\n"
	files["toll_points.csv"] += "R2-N,R2,N,,\n"
	files["tolls.csv"] = strings.ReplaceAll(files["tolls.csv"], ",R1,", ",R1-S,")
	n, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(n.WithoutTolls(), " "); got != "R1-N R2" {
		t.Errorf("without tolls: %s", got)
	}
}

func TestDiffNamesTollPointsThatPart(t *testing.T) {
	before, err := load(small())
	if err != nil {
		t.Fatal(err)
	}
	after, err := load(parted())
	if err != nil {
		t.Fatal(err)
	}
	d := tariff.Diff(before, after)
	var got []string
	for _, c := range d.Tolls {
		got = append(got, fmt.Sprint(c.Facility, "/", c.TollPoint, " ", c.Class, " ", c.Days, " ", c.From[:10], " ", c.Minutes[len(c.Minutes)-1].New))
	}
	want := []string{
		"R1/R1-N car mon_sat 2026-07-01 30.00", "R1/R1-N car sun_gh 2026-07-01 30.00",
		"R1/R1-N car mon_sat 2026-09-01 25.00", "R1/R1-N car sun_gh 2026-09-01 25.00",
		"R1/R1-S car mon_sat 2026-09-01 25.00", "R1/R1-S car sun_gh 2026-09-01 25.00",
		"R1/R1-N cycle mon_sat 2026-07-01 3.00", "R1/R1-N cycle sun_gh 2026-07-01 3.00",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var text strings.Builder
	if err := d.WriteText(&text); err != nil || !strings.Contains(text.String(), "  R1-N car, mon_sat, from 2026-07-01T00:00:00+08:00 until 2026-09-01T00:00:00+08:00\n") {
		t.Errorf("%v\n%s", err, text.String())
	}
	// Rows written out for each toll point change nothing by themselves.
	files := small()
	rows := strings.SplitAfterN(files["tolls.csv"], "\n", 2)
	files["tolls.csv"] = rows[0] + strings.ReplaceAll(rows[1], ",R1,", ",R1-N,") + strings.ReplaceAll(rows[1], ",R1,", ",R1-S,")
	written, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	if d := tariff.Diff(before, written); !d.Empty() {
		t.Errorf("the same tolls differ: %+v", d)
	}
	// And if both directions change alike, the facility does.
	files["tolls.csv"] = strings.ReplaceAll(files["tolls.csv"], "24:00,10,,", "24:00,9,,")
	if written, err = load(files); err != nil {
		t.Fatal(err)
	}
	if d := tariff.Diff(before, written); len(d.Tolls) != 1 || d.Tolls[0].Facility != "R1" || d.Tolls[0].TollPoint != "" {
		t.Errorf("%+v", d.Tolls)
	}
}

// Whatever versions give a class by facility or by toll point, each toll point
// follows the latest one begun that has a row for it or for its facility, and
// the facility answers while all its toll points follow the same row.
func TestTollPointsFollowTheLatestVersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := []string{"R1-A", "R1-B", "R1-C"}[:rapid.IntRange(1, 3).Draw(t, "points")]
		files := small()
		files["toll_points.csv"] = "toll_point,facility,direction,name_en,name_zh\n"
		for _, p := range points {
			files["toll_points.csv"] += p + ",R1," + p[3:] + ",,\n"
		}
		files["versions.csv"] = "version,begins,source\n"
		files["tolls.csv"] = "version,facility,class,days,from,until,toll,step,every_minutes\n"
		start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		versions := rapid.IntRange(1, 6).Draw(t, "versions")
		follows := make([]map[string]int64, versions) // by version and toll point the row followed, each with a toll of its own
		last := map[string]int64{}
		toll := int64(0)
		for v := range versions {
			files["versions.csv"] += fmt.Sprintf("v%d,%s,x\n", v, start.AddDate(0, 0, v).Format(time.RFC3339))
			row := func(place string) int64 {
				toll += 100
				files["tolls.csv"] += fmt.Sprintf("v%d,%s,car,all,00:00,24:00,%s,,\n", v, place, tariff.FormatAmount(toll))
				return toll
			}
			if whole := rapid.Bool().Draw(t, "whole"); whole {
				cents := row("R1")
				for _, p := range points {
					last[p] = cents
				}
			} else {
				some := rapid.SliceOfNDistinct(rapid.SampledFrom(points), 1, len(points), rapid.ID[string]).Draw(t, "some")
				for _, p := range some {
					last[p] = row(p)
				}
			}
			follows[v] = map[string]int64{}
			for p, cents := range last {
				follows[v][p] = cents
			}
		}
		n, err := load(files)
		if err != nil {
			t.Fatalf("%v\n%s", err, files["tolls.csv"])
		}
		for v := range versions {
			for _, when := range []time.Time{start.AddDate(0, 0, v), start.AddDate(0, 0, v+1).Add(-time.Microsecond)} {
				same := true
				for _, p := range points {
					want, given := follows[v][p]
					same = same && want == follows[v][points[0]]
					if got, err := n.Rate(p, "car", when); given != (err == nil) || got.Cents != want {
						t.Fatalf("%s at %s: %+v, %v; want %d\n%s", p, when, got, err, want, files["tolls.csv"])
					}
				}
				got, err := n.Rate("R1", "car", when)
				if same != (err == nil) || same && got.Cents != follows[v][points[0]] {
					t.Fatalf("R1 at %s: %+v, %v; want %v\n%s", when, got, err, follows[v], files["tolls.csv"])
				}
			}
		}
		if d := tariff.Diff(n, n); !d.Empty() {
			t.Fatalf("a network differs from itself: %+v", d)
		}
	})
}

// Short files cannot spread to plans without bound: each toll point with a row
// of its own holds all versions of its facility too.
func TestPlansAreBounded(t *testing.T) {
	files := small()
	var points, versions, tolls strings.Builder
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 1001 {
		fmt.Fprintf(&points, "P%d,R1,D%d,,\n", i, i)
		fmt.Fprintf(&versions, "w%d,%s,x\n", i, start.Add(time.Duration(i)*time.Minute).Format(time.RFC3339))
		fmt.Fprintf(&tolls, "w%d,R1,car,all,00:00,24:00,1,,\nlast,P%d,car,all,00:00,24:00,1,,\n", i, i)
	}
	fmt.Fprintf(&versions, "last,%s,x\n", start.AddDate(1, 0, 0).Format(time.RFC3339))
	files["toll_points.csv"] += points.String()
	files["versions.csv"] += versions.String()
	files["tolls.csv"] += tolls.String()
	_, err := load(files)
	var bad *tariff.BadNetworkError
	if !errors.As(err, &bad) || len(bad.Problems) != 1 || !strings.HasPrefix(bad.Problems[0].String(), "tolls.csv: the rows spread to more than 1000000 pairs") {
		t.Fatalf("%v", err)
	}
}
