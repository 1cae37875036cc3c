package opendata

import (
	"context"
	"fmt"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/tariff"
)

// pictures are live pictures by car park.
type pictures map[string]parking.Occupancy

func (p pictures) Live(_ context.Context, id string) (parking.Occupancy, time.Time, error) {
	o, ok := p[id]
	if !ok {
		return o, time.Time{}, errDown
	}
	return o, noon, nil
}

func held(state parking.State, bays ...string) []parking.Allocation {
	var out []parking.Allocation
	for _, b := range bays {
		out = append(out, parking.Allocation{Bay: b, State: state})
	}
	return out
}

func TestLiveFigures(t *testing.T) {
	src := &sources{sites: []Site{{CarPark: building()}, {CarPark: yard()}}}
	everything := func(state parking.State) (out []parking.Allocation) {
		for _, b := range building().Bays {
			out = append(out, held(state, b.ID)...)
		}
		return out
	}
	rack := []parking.MachineStatus{{ID: "R1", Out: true}}
	for name, tc := range map[string]struct {
		picture parking.Occupancy
		car     Free
		closed  bool
	}{
		"empty":                  {parking.Occupancy{}, Free{General: 7, EV: 2, Accessible: 1}, false},
		"some taken":             {parking.Occupancy{Active: held(parking.Stored, "A-a", "E-a", "D-a", "P-a")}, Free{General: 5, EV: 1}, false},
		"one unknown, one block": {parking.Occupancy{Active: append(held(parking.Unknown, "R1-a"), held(parking.Blocked, "A-a")...)}, Free{General: 5, EV: 2, Accessible: 1}, false},
		"rack out":               {parking.Occupancy{Machines: rack}, Free{General: 4, EV: 2, Accessible: 1}, false},
		"full":                   {parking.Occupancy{Active: everything(parking.Stored)}, Free{}, false},
		"all blocked":            {parking.Occupancy{Active: everything(parking.Blocked)}, Free{}, true},
		"the rest blocked":       {parking.Occupancy{Active: everything(parking.Blocked)[:10], Machines: rack}, Free{}, false},
	} {
		live, err := NewLiveFigures(src, pictures{"tdx1": tc.picture}, nil)
		if err != nil {
			t.Fatal(err)
		}
		figures, err := live.Figures(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := figures["tdx2"]; ok {
			t.Errorf("%s: a figure of the yard, whose picture cannot be had", name)
		}
		f := figures["tdx1"]
		if f.Free["private_car"] != tc.car || f.Closed != tc.closed || !f.At.Equal(noon) {
			t.Errorf("%s: %+v", name, f)
		}
		built := capacityOf(building())
		for class, free := range f.Free {
			for k := range kinds {
				if p := built.places[k]; p.class == class && !p.believable(free) {
					t.Errorf("%s: %s is not believable: %+v", name, class, free)
				}
			}
		}
	}
	// Racks alone, all out: nobody is let in.
	racks := building()
	racks.Bays = racks.Bays[7:10]
	live, err := NewLiveFigures(&sources{sites: []Site{{CarPark: racks}}}, pictures{"tdx1": {Machines: rack}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if figures, err := live.Figures(t.Context()); err != nil || !figures["tdx1"].Closed {
		t.Errorf("all racks out: %v, %v", figures, err)
	}
	live, err = NewLiveFigures(src, pictures{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := live.Figures(t.Context()); err == nil {
		t.Error("figures without any picture")
	}
	if _, err := NewLiveFigures(nil, nil, nil); err == nil {
		t.Error("live figures of nothing")
	}
}

func TestOpeningHoursCloseACarPark(t *testing.T) {
	holidays, err := tariff.NewHolidays("2026-12-25", "2026-12-26") // Friday, Saturday
	if err != nil {
		t.Fatal(err)
	}
	site := building()
	site.Published.Opening = []parking.OpeningHours{
		{Weekdays: []string{"MON", "TUE", "WED", "THU", "FRI"}, ExcludePublicHoliday: true, From: "07:00", To: "23:00"},
		{Weekdays: []string{"SAT"}, From: "19:00", To: "02:00"},
		{Weekdays: []string{"PH"}, From: "10:00", To: "24:00"},
	}
	for _, tc := range []struct {
		at               string
		known, otherwise bool
	}{
		{"2026-11-23 06:59", false, false}, // Monday; without a calendar it might be a holiday, which opens at 10
		{"2026-11-23 07:00", true, true},
		{"2026-11-23 22:59", true, true},
		{"2026-11-23 23:00", false, true},
		{"2026-12-25 07:00", false, true},
		{"2026-12-25 10:00", true, true},
		{"2026-12-26 12:00", true, true},
		{"2026-12-26 19:00", true, true},
		{"2026-12-27 01:59", true, true}, // Saturday's period, on a holiday too
		{"2026-12-27 02:00", false, false},
		{"2026-11-29 01:59", true, true},
		{"2026-11-29 19:00", false, true}, // Sunday
	} {
		at, err := time.ParseInLocation("2006-01-02 15:04", tc.at, time.FixedZone("HKT", 8*3600))
		if err != nil {
			t.Fatal(err)
		}
		if got := openAt(site, at, holidays); got != tc.known {
			t.Errorf("%s: open is %v", tc.at, got)
		}
		if got := openAt(site, at, nil); got != tc.otherwise {
			t.Errorf("%s without a calendar: open is %v", tc.at, got)
		}
		// A year that nobody has published is like no calendar.
		if got, want := openAt(site, at.AddDate(28, 0, 0), holidays), openAt(site, at.AddDate(28, 0, 0), nil); got != want {
			t.Errorf("%s, 28 years on: open is %v", tc.at, got)
		}
	}
	always := building()
	always.Published.Opening = nil
	if !openAt(always, noon, nil) {
		t.Error("a site without hours is closed")
	}
	whole := building()
	whole.Published.Opening = []parking.OpeningHours{{Weekdays: week, From: "07:00", To: "07:00"}}
	for hour := range 24 {
		if !openAt(whole, noon.Add(time.Duration(hour)*time.Hour), holidays) {
			t.Errorf("closed %s", fmt.Sprint(hour))
		}
	}
}
