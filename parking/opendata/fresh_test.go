package opendata

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
)

// TestAFigureIsWithdrawnAtItsLimit, to the nanosecond, in every form; the time
// of the figure stays what it was.
func TestAFigureIsWithdrawnAtItsLimit(t *testing.T) {
	at := noon
	fresh := map[string]string{
		"/v1/carpark-info-vacancy?data=vacancy": `"vacancy_type":"A","vacancyEV":1,"vacancyDIS":1,"vacancy":5,"lastupdate":"2026-11-23 12:00:30"`,
		"/v1/open/vacancy_all.json":             `"type":"P","service_category":[{"category":"HOURLY","vacancy_type":"A","vacancy":5,"lastupdate":"2026-11-23 12:00:30"}]`,
		"/v1/carparks.geojson":                  `"status":"open","last_update":"2026-11-23T12:00:30+08:00","age_minutes":9,"vacancies":[{"vehicle_type":"privateCar","spaces":10,"free":5,"free_ev":1,"free_accessible":1}`,
		"/v1/open/parking-sites.json":           `"has_realtime_data":true,"realtime_data_updated_at":"2026-11-23T12:00:30+08:00","realtime_opening_status":"OPEN","realtime_free_capacity":5,`,
		"/v1/carpark-info-vacancy":              `"opening_status":"OPEN"`,
		"/v1/open/basic_info_all.json":          `"opening_status":"OPEN"`,
	}
	withdrawn := map[string]string{
		"/v1/carpark-info-vacancy?data=vacancy": `"privateCar":[{"vacancy_type":"A","vacancy":-1,"lastupdate":"2026-11-23 12:00:30"`,
		"/v1/open/vacancy_all.json":             `"type":"P_D","service_category":[{"category":"HOURLY","vacancy_type":"A","vacancy":-1,"lastupdate":"2026-11-23 12:00:30"}]`,
		"/v1/carparks.geojson":                  `"status":"unknown","last_update":"2026-11-23T12:00:30+08:00","age_minutes":10,"vacancies":[{"vehicle_type":"privateCar","spaces":10,"free":null,"free_ev":null,"free_accessible":null}`,
		"/v1/open/parking-sites.json":           `"has_realtime_data":false}`,
		"/v1/carpark-info-vacancy":              `"website":"http://example.org/en","openingHours"`,
		"/v1/open/basic_info_all.json":          `"opening_status":null`,
	}
	src := standard()
	f := src.figures["tdx1"]
	f.At = at
	src.set("tdx1", f)
	s := newServer(t, src)
	s.clock.Set(at.Add(10*time.Minute - time.Nanosecond))
	for path, part := range fresh {
		if body := s.get(path).Body.String(); !strings.Contains(body, part) {
			t.Errorf("%s just before the limit: no %s in %s", path, part, body)
		}
	}
	s.clock.Set(at.Add(10 * time.Minute))
	for path, part := range withdrawn {
		body := s.get(path).Body.String()
		if !strings.Contains(body, part) || strings.Contains(body, `"realtime_`) {
			t.Errorf("%s at the limit: no %s in %s", path, part, body)
		}
	}
}

func TestClosed(t *testing.T) {
	src := standard()
	f := src.figures["tdx1"]
	f.Closed = true
	src.set("tdx1", f)
	s := newServer(t, src)
	for path, part := range map[string]string{
		"/v1/carpark-info-vacancy?data=vacancy": `"privateCar":[{"vacancy_type":"C","vacancy":0,"lastupdate":"2026-11-23 11:59:30","category":"HOURLY"}]`,
		"/v1/open/vacancy_all.json":             `"type":"P_D","service_category":[{"category":"HOURLY","vacancy_type":"C","vacancy":0,`,
		"/v1/carparks.geojson":                  `"status":"closed","last_update":"2026-11-23T11:59:30+08:00","age_minutes":1,"vacancies":[{"vehicle_type":"privateCar","spaces":10,"free":0,"free_ev":0,"free_accessible":0}`,
		"/v1/open/parking-sites.json":           `"realtime_opening_status":"CLOSED","realtime_free_capacity":0,"realtime_free_capacity_disabled":0,`,
		"/v1/carpark-info-vacancy":              `"opening_status":"CLOSED"`,
	} {
		if body := s.get(path).Body.String(); !strings.Contains(body, part) {
			t.Errorf("%s: no %s in %s", path, part, body)
		}
	}
	// A closure that nobody has confirmed for long is not known any more.
	s.clock.Advance(time.Hour)
	if body := s.get("/v1/carpark-info-vacancy?data=vacancy").Body.String(); strings.Contains(body, `"C"`) {
		t.Error(body)
	}
}

// TestFiguresThatCannotBeTrue are faults of the source, and no data.
func TestFiguresThatCannotBeTrue(t *testing.T) {
	for name, free := range map[string]map[string]Free{
		"more than are built": {"private_car": {General: 8}}, "negative": {"private_car": {General: -1}},
		"more chargers than free": {"private_car": {General: 1, EV: 2}}, "more accessible than built": {"private_car": {General: 1, Accessible: 2}},
		"negative chargers": {"private_car": {General: 1, EV: -1}}, "of another class": {"taxi": {General: 1}}, "of none": nil,
	} {
		src := standard()
		src.set("tdx1", Figure{At: noon, Free: free})
		body := newServer(t, src).get("/v1/carpark-info-vacancy?data=vacancy&vehicleTypes=privateCar").Body.String()
		if !strings.Contains(body, `"privateCar":[{"vacancy_type":"A","vacancy":-1,`) {
			t.Errorf("%s: %s", name, body)
		}
	}
	src := standard()
	src.set("tdx1", Figure{At: noon.Add(time.Minute + time.Second), Free: map[string]Free{"private_car": {General: 1}}})
	if body := newServer(t, src).get("/v1/carpark-info-vacancy?data=vacancy").Body.String(); !strings.Contains(body, `"vacancy":-1`) {
		t.Errorf("a figure of the future: %s", body)
	}
}

// TestNeverTold: a car park without a figure has no data as of its definition;
// without that either there is no time to give, and no entry.
func TestNeverTold(t *testing.T) {
	src := standard()
	src.figures = nil
	s := newServer(t, src)
	body := s.get("/v1/carpark-info-vacancy?data=vacancy").Body.String()
	if !strings.Contains(body, `"vacancy":-1,"lastupdate":"2026-11-13 12:00:30"`) || !strings.Contains(body, `{"park_Id":"tdx2"}`) {
		t.Error(body)
	}
	var c collection
	if err := json.Unmarshal(s.get("/v1/carparks.geojson").Body.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	if p := c.Features[0].Properties; p.Status != "unknown" || p.LastUpdate != nil || p.AgeMinutes != nil {
		t.Errorf("%+v", p)
	}
}

func TestHours(t *testing.T) {
	weekdays, all := week[:5], week
	for _, tc := range []struct {
		want  string
		hours []parking.OpeningHours
	}{
		{"24/7", nil},
		{"24/7", []parking.OpeningHours{{Weekdays: all, From: "00:00", To: "24:00"}}},
		{"Mo,Tu,We,Th,Fr 07:00-23:00; PH off", []parking.OpeningHours{{Weekdays: weekdays, ExcludePublicHoliday: true, From: "07:00", To: "23:00"}}},
		{"Mo,Tu,We,Th,Fr 07:00-31:00", []parking.OpeningHours{{Weekdays: weekdays, From: "07:00", To: "07:00"}}},
		{"Sa 00:00-24:00; PH 10:00-12:00,14:00-16:00", []parking.OpeningHours{{Weekdays: []string{"SAT"}, From: "00:00", To: "00:00"},
			{Weekdays: []string{"PH"}, From: "10:00", To: "12:00"}, {Weekdays: []string{"PH"}, From: "14:00", To: "16:00"}}},
		{"", []parking.OpeningHours{{Weekdays: weekdays, ExcludePublicHoliday: true, From: "07:00", To: "23:00"}, {Weekdays: []string{"SAT"}, From: "07:00", To: "12:00"}}},
	} {
		if got := osmHours(tc.hours); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestThousandths(t *testing.T) {
	for n, want := range map[thousandths]string{0: "0", 2000: "2", 2450: "2.45", 1999: "1.999", 10: "0.01", -500: "-0.5", 100000: "100"} {
		if got := n.String(); got != want {
			t.Errorf("%d: %s, want %s", int(n), got, want)
		}
	}
}
