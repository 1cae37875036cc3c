package tariff

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"
)

func header() Tariff {
	return *tariffOf(Rules{}, func(x *Tariff) { x.Classes = nil })
}

func drawWeekdays(t *rapid.T) []string {
	days := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN", "PH"}), 1, 8, rapid.ID[string]).Draw(t, "weekdays")
	return days
}

func drawPublished(t *rapid.T) Published {
	clock := func(most int) string { return TimeOfDay(rapid.IntRange(0, most).Draw(t, "minute")).String() }
	price := func() Dollars { return Dollars(rapid.Int64Range(0, 1_000_000).Draw(t, "price")) }
	covered := func() string {
		return rapid.SampledFrom([]string{"covered", "semi-covered", "open-air", "mixed"}).Draw(t, "covered")
	}
	remark := func() string {
		return rapid.SampledFrom([]string{"", "Non-resident", "首兩小時", `"quoted" <br>`}).Draw(t, "remark")
	}
	thresholds := func() (list []UsageThreshold) {
		hours := Hours(0)
		for range rapid.IntRange(0, 3).Draw(t, "thresholds") {
			hours += Hours(3 * rapid.IntRange(1, 60).Draw(t, "hours"))
			list = append(list, UsageThreshold{hours, price()})
		}
		return list
	}
	many := func() int { return rapid.IntRange(0, 3).Draw(t, "many") }
	exclude := func() bool { return rapid.Bool().Draw(t, "exclude") }
	unit := func() string { return rapid.SampledFrom([]string{"hourly", "half-hourly"}).Draw(t, "unit") }
	var p Published
	for range many() {
		p.HourlyCharges = append(p.HourlyCharges, HourlyCharge{unit(), drawWeekdays(t), exclude(), clock(1439), clock(1440), price(), thresholds(), covered(), remark()})
	}
	for range many() {
		d := DayNightPark{rapid.SampledFrom([]string{"day-park", "night-park", "6-hours-park", "12-hours-park", "24-hours-park"}).Draw(t, "type"),
			drawWeekdays(t), exclude(), clock(1439), clock(1440), rapid.SampledFrom([]string{"no-restrictions", "same-day", "following-day"}).Draw(t, "until"), "", price(), covered(), remark()}
		if rapid.Bool().Draw(t, "has end") {
			d.ValidUntilEnd = clock(1440)
			if d.ValidUntil == "same-day" && d.ValidUntilEnd <= d.PeriodStart {
				d.ValidUntilEnd = "24:00"
			}
		}
		p.DayNightParks = append(p.DayNightParks, d)
	}
	for range many() {
		m := MonthlyCharge{Type: rapid.SampledFrom(monthlyTypes).Draw(t, "monthly"), Price: price(), Covered: covered(), Reserved: rapid.SampledFrom([]string{"reserved", "non-reserved"}).Draw(t, "reserved"), Remark: remark()}
		for range many() {
			m.Ranges = append(m.Ranges, MonthlyRange{drawWeekdays(t), exclude(), clock(1439), clock(1440)})
		}
		p.MonthlyCharges = append(p.MonthlyCharges, m)
	}
	for range many() {
		p.Unloadings = append(p.Unloadings, UnloadingCharge{unit(), price(), thresholds(), remark()})
	}
	for range many() {
		p.Privileges = append(p.Privileges, PrivilegePeriod{drawWeekdays(t), exclude(), clock(1439), clock(1440), "Free for " + remark()})
	}
	for range many() {
		p.GracePeriods = append(p.GracePeriods, FreePeriod{rapid.IntRange(0, 60).Draw(t, "grace"), remark()})
	}
	return p
}

// TestPublishedRoundTrip: whatever the department's vocabulary says comes back
// field for field, through our tariff, our JSON and theirs, in each language.
func TestPublishedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPublished(t)
		language := rapid.SampledFrom([]string{English, Traditional, Simplified}).Draw(t, "language")
		text := encoded(t, p)
		var read Published
		if err := json.Unmarshal([]byte(text), &read, json.RejectUnknownMembers(true)); err != nil {
			t.Fatal(err)
		}
		x, err := FromPublished(header(), "private_car", read, language)
		if err != nil {
			t.Fatal(err)
		}
		data, err := x.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(strings.NewReader(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		back, lost, err := again.Published("private_car", language)
		if err != nil || len(lost) > 0 {
			t.Fatalf("lost %v (%v)", lost, err)
		}
		if got := encoded(t, back); got != text {
			t.Fatalf("published\n%s\ncame back as\n%s", text, got)
		}
	})
}

// TestPublishedNamesWhatIsLost: each rule without words in the vocabulary is
// named, and what has words is not.
func TestPublishedNamesWhatIsLost(t *testing.T) {
	x, err := Sample("multi-storey-ev")
	if err != nil {
		t.Fatal(err)
	}
	r := x.Classes["private_car"]
	r.FreeMinutes, r.FreeFromStart = 5, ptr(true)
	r.Bands = append(r.Bands,
		Band{ID: "quarter", When: when([]Day{PHEve}, "10:00", "11:00"), UnitMinutes: 15, Price: 1},
		Band{ID: "minutes", When: when([]Day{PH}, "10:00", "11:00"), UnitMinutes: 60, StepMinutes: 1, Price: 1},
		Band{ID: "entry", When: when([]Day{PH}, "11:00", "12:00"), PerEntry: true, Price: 1},
		Band{ID: "eve", When: when([]Day{PHEve, Saturday}, "10:00", "11:00"), UnitMinutes: 60, Price: 1, Thresholds: []Threshold{{60, 2}}},
		Band{ID: "odd", When: when([]Day{PH}, "10:00", "11:00"), UnitMinutes: 60, Price: 1, Thresholds: []Threshold{{20, 2}}})
	r.Overnight = []Overnight{{ID: "n", Days: everyDay, At: at("03:00"), Price: 100}}
	p, lost, err := x.Published("private_car", English)
	if err != nil {
		t.Fatal(err)
	}
	var pointers []string
	for _, l := range lost {
		pointer, _, _ := strings.Cut(l, ": ")
		pointers = append(pointers, pointer)
	}
	want := []string{"/bands/3", "/bands/4", "/bands/5", "/bands/6/days", "/bands/7/thresholds/0", "/free_minutes", "/caps/0", "/caps/1", "/overnight/0",
		"/discounts/0", "/discounts/1", "/discounts/2", "/discounts/3", "/discounts/4", "/ev", "/lost_ticket", "/reservation", "/no_show"}
	if !slices.Equal(pointers, want) {
		t.Errorf("lost\n%s\nwant %v", strings.Join(lost, "\n"), want)
	}
	if len(p.HourlyCharges) != 4 || p.HourlyCharges[3].Weekdays[0] != "SAT" || len(p.DayNightParks) != 2 || len(p.MonthlyCharges) != 2 || len(p.Unloadings) != 1 || len(p.GracePeriods) != 1 {
		t.Errorf("published %s", encoded(t, p))
	}
	var unknown *UnknownNameError
	if _, _, err := x.Published("tank", English); !errors.As(err, &unknown) {
		t.Error(err)
	}
}

// TestPublishedJSON compares with the published form of the specification's
// own examples of values (sections 7.2 to 7.4).
func TestPublishedJSON(t *testing.T) {
	x, err := Sample("sha-tin-town-hall")
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := x.Published("private_car", English)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type":"half-hourly","weekdays":["MON","TUE","WED","THU","FRI"],"excludePublicHoliday":true,"periodStart":"08:00","periodEnd":"24:00","price":10.5,"usageThresholds":[{"hours":2,"price":7}],"covered":"covered"}`
	if got := encoded(t, p.HourlyCharges[0]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for text, ok := range map[string]bool{`{"hours":2.5,"price":30}`: true, `{"hours":0.05,"price":0.1}`: true, `{"hours":0.01,"price":30}`: false, `{"hours":1e1,"price":30}`: false, `{"hours":-1,"price":30}`: false, `{"hours":2,"price":1.005}`: false, `{"hours":"2","price":1}`: false} {
		var u UsageThreshold
		if err := json.Unmarshal([]byte(text), &u); (err == nil) != ok {
			t.Errorf("%s: %+v, %v", text, u, err)
		}
	}
	bad := Published{HourlyCharges: []HourlyCharge{{Type: "daily", Weekdays: []string{"MON"}, PeriodStart: "7:00", PeriodEnd: "24:00", Covered: "covered"}}}
	var e *BadTariffError
	if _, err := FromPublished(header(), "private_car", bad, English); !errors.As(err, &e) || len(e.Problems) < 2 || e.Problems[0].Pointer != "/hourlyCharges/0/periodStart" {
		t.Errorf("%v", err)
	}
}
