package opendata

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
	"freeflow/parking"
)

// siteList is a list in the form of ParkAPI version 3. The ids that a ParkAPI
// service makes itself (id, source_id, created_at, modified_at) are its own
// business; uid is ours.
type siteList struct {
	Items []parkingSite `json:"items"`
}

// parkingSite is one parking_site of purpose CAR. The realtime members are
// there only while has_realtime_data is true.
type parkingSite struct {
	UID              string  `json:"uid"`
	Name             string  `json:"name"`
	Purpose          string  `json:"purpose"`
	Type             string  `json:"type"`
	Address          string  `json:"address,omitempty"`
	PublicURL        string  `json:"public_url,omitempty"`
	PhotoURL         string  `json:"photo_url,omitempty"`
	Description      string  `json:"description,omitempty"`
	Lat              float64 `json:"lat"`
	Lon              float64 `json:"lon"`
	MaxHeight        int     `json:"max_height,omitzero"`
	MaxWidth         int     `json:"max_width,omitzero"`
	HasFee           bool    `json:"has_fee"`
	OpeningHours     string  `json:"opening_hours,omitempty"`
	StaticUpdated    string  `json:"static_data_updated_at,omitempty"`
	Capacity         int     `json:"capacity"`
	CapacityDisabled *int    `json:"capacity_disabled,omitempty"`
	CapacityCharging *int    `json:"capacity_charging,omitempty"`
	CapacityTruck    *int    `json:"capacity_truck,omitempty"`
	CapacityBus      *int    `json:"capacity_bus,omitempty"`
	HasRealtime      bool    `json:"has_realtime_data"`
	RealtimeUpdated  string  `json:"realtime_data_updated_at,omitempty"`
	RealtimeStatus   string  `json:"realtime_opening_status,omitempty"`
	RealtimeFree     *int    `json:"realtime_free_capacity,omitempty"`
	RealtimeDisabled *int    `json:"realtime_free_capacity_disabled,omitempty"`
	RealtimeCharging *int    `json:"realtime_free_capacity_charging,omitempty"`
	RealtimeTruck    *int    `json:"realtime_free_capacity_truck,omitempty"`
	RealtimeBus      *int    `json:"realtime_free_capacity_bus,omitempty"`
}

func (f *Feed) getParkingSites(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	s, err := f.snapshot(c.Request().Context())
	if err != nil {
		return err
	}
	now := f.clock.Now()
	out := siteList{Items: []parkingSite{}}
	for _, site := range s.sites {
		if !site.built.present.has(privateCar) {
			continue // not of purpose CAR
		}
		out.Items = append(out.Items, f.parkingSiteOf(site, now))
	}
	return f.answer(c, s, now, typeJSON, out)
}

func (f *Feed) parkingSiteOf(s *siteView, now time.Time) parkingSite {
	c, p, places := s.CarPark, &s.CarPark.Published, &s.built.places
	cars := &places[privateCar]
	limits := carLimits(c)
	out := parkingSite{
		UID: c.ID, Name: say(c.Name, english), Purpose: "CAR", Type: siteType(p.Kind),
		Address: say(p.Address, english), PublicURL: say(p.Website, english), PhotoURL: p.Photo,
		Description: say(p.Remark, english), Lat: p.Latitude, Lon: p.Longitude,
		// In whole centimetres, downwards: what is promised to fit has to.
		MaxHeight: limits.HeightMM / 10, MaxWidth: limits.WidthMM / 10,
		HasFee: s.Prices != nil, OpeningHours: osmHours(p.Opening), Capacity: cars.space,
	}
	if !s.Changed.IsZero() {
		out.StaticUpdated = f.instant(s.Changed)
	}
	for _, m := range []struct {
		into  **int
		count int
	}{
		{&out.CapacityDisabled, cars.accessible}, {&out.CapacityCharging, cars.ev},
		{&out.CapacityTruck, places[heavyGoods].space}, {&out.CapacityBus, places[coach].space},
	} {
		if m.count > 0 {
			*m.into = &m.count
		}
	}
	figure := f.fresh(s, now)
	if figure == nil {
		return out
	}
	out.HasRealtime, out.RealtimeUpdated, out.RealtimeStatus = true, f.instant(figure.At), f.openingStatus(s, now)
	for _, m := range []struct {
		into  **int
		of    kind
		count func(Free) int
		there bool
	}{
		{&out.RealtimeFree, privateCar, func(f Free) int { return f.General }, true},
		{&out.RealtimeDisabled, privateCar, func(f Free) int { return f.Accessible }, cars.accessible > 0},
		{&out.RealtimeCharging, privateCar, func(f Free) int { return f.EV }, cars.ev > 0},
		{&out.RealtimeTruck, heavyGoods, func(f Free) int { return f.General }, true},
		{&out.RealtimeBus, coach, func(f Free) int { return f.General }, true},
	} {
		if !m.there || !s.built.present.has(m.of) {
			continue
		}
		free, ok := s.free(m.of, figure)
		if figure.Closed {
			free, ok = Free{}, true
		}
		if ok {
			n := m.count(free)
			*m.into = &n
		}
	}
	return out
}

func siteType(kind string) string {
	switch kind {
	case "multi-storey":
		return "CAR_PARK"
	case "off-street":
		return "OFF_STREET_PARKING_GROUND"
	case "metered":
		return "ON_STREET"
	default:
		return "OTHER"
	}
}

// carLimits are the limits that hold for every car bay: those of the bays that
// take most, none where one bay has none.
func carLimits(c *parking.CarPark) parking.Limits {
	var out parking.Limits
	first := true
	for i := range c.Bays {
		b := &c.Bays[i]
		if !slices.Contains(b.Classes, "private_car") {
			continue
		}
		if first {
			out, first = b.Limits, false
			continue
		}
		out.HeightMM, out.WidthMM = wider(out.HeightMM, b.Limits.HeightMM), wider(out.WidthMM, b.Limits.WidthMM)
	}
	return out
}

// osmHours writes the hours in OpenStreetMap's syntax; empty where it cannot
// say exactly what holds on public holidays.
func osmHours(hours []parking.OpeningHours) string {
	if len(hours) == 0 || len(hours) == 1 && alwaysOpen(hours[0]) {
		return "24/7"
	}
	names := map[string]string{"MON": "Mo", "TUE": "Tu", "WED": "We", "THU": "Th", "FRI": "Fr", "SAT": "Sa", "SUN": "Su"}
	var weekdays, holidays []string
	excluding := 0
	for _, h := range hours {
		span := osmSpan(h.From, h.To)
		var days []string
		for _, day := range h.Weekdays {
			if day == "PH" {
				holidays = append(holidays, span)
			} else if name := names[day]; name != "" {
				days = append(days, name)
			}
		}
		if h.ExcludePublicHoliday {
			excluding++
		}
		if len(days) > 0 {
			weekdays = append(weekdays, strings.Join(days, ",")+" "+span)
		}
	}
	out := strings.Join(weekdays, ", ")
	switch {
	case len(holidays) > 0 && out != "":
		out += "; PH " + strings.Join(holidays, ",")
	case len(holidays) > 0:
		out = "PH " + strings.Join(holidays, ",")
	case excluding == len(hours):
		out += "; PH off"
	case excluding > 0:
		return ""
	}
	return out
}

func alwaysOpen(h parking.OpeningHours) bool {
	return h.From == "00:00" && (h.To == "24:00" || h.To == "00:00") && len(inOrder(h.Weekdays, week...)) == len(week)
}

// osmSpan is a period of a day. One that ends as it begins is a whole day.
func osmSpan(from, to string) string {
	if from == to {
		if from == "00:00" {
			return "00:00-24:00"
		}
		hour, minute, _ := strings.Cut(from, ":")
		if h, err := strconv.Atoi(hour); err == nil {
			return fmt.Sprintf("%s-%02d:%s", from, h+24, minute)
		}
	}
	return from + "-" + to
}
