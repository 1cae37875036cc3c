package opendata

import (
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
)

// collection is a GeoJSON FeatureCollection (RFC 7946).
type collection struct {
	Type     string    `json:"type"`
	Features []feature `json:"features"`
}

type feature struct {
	Type       string     `json:"type"`
	ID         string     `json:"id"`
	Geometry   point      `json:"geometry"`
	Properties properties `json:"properties"`
}

// point has its longitude first.
type point struct {
	Type        string     `json:"type"`
	Coordinates [2]float64 `json:"coordinates"`
}

// properties are flat where maps want to label by them. Status is open, closed
// or unknown; LastUpdate and AgeMinutes are null where there never was a
// figure.
type properties struct {
	ParkID     string       `json:"park_id"`
	NameEn     string       `json:"name_en"`
	NameTc     string       `json:"name_tc"`
	NameSc     string       `json:"name_sc"`
	AddressEn  string       `json:"address_en"`
	AddressTc  string       `json:"address_tc"`
	AddressSc  string       `json:"address_sc"`
	DistrictEn string       `json:"district_en"`
	DistrictTc string       `json:"district_tc"`
	DistrictSc string       `json:"district_sc"`
	Kind       string       `json:"carpark_type,omitempty"`
	Automated  bool         `json:"automated"`
	Status     string       `json:"status"`
	LastUpdate *string      `json:"last_update"`
	AgeMinutes *int         `json:"age_minutes"`
	Vacancies  []mapVacancy `json:"vacancies"`
}

// mapVacancy are the places of one vehicle type; a null is not known.
type mapVacancy struct {
	VehicleType string `json:"vehicle_type"`
	Spaces      int    `json:"spaces"`
	Free        *int   `json:"free"`
	FreeEV      *int   `json:"free_ev"`
	FreeDIS     *int   `json:"free_accessible"`
}

func (f *Feed) getGeoJSON(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	s, err := f.snapshot(c.Request().Context())
	if err != nil {
		return err
	}
	now := f.clock.Now()
	out := collection{Type: "FeatureCollection", Features: []feature{}}
	for _, site := range s.sites {
		out.Features = append(out.Features, f.featureOf(site, now))
	}
	return f.answer(c, s, now, typeGeoJSON, out)
}

func (f *Feed) featureOf(s *siteView, now time.Time) feature {
	c, p := s.CarPark, &s.CarPark.Published
	out := properties{
		ParkID: c.ID, NameEn: say(c.Name, english), NameTc: say(c.Name, traditional), NameSc: say(c.Name, simplified),
		AddressEn: say(p.Address, english), AddressTc: say(p.Address, traditional), AddressSc: say(p.Address, simplified),
		DistrictEn: say(p.District, english), DistrictTc: say(p.District, traditional), DistrictSc: say(p.District, simplified),
		Kind: p.Kind, Automated: len(c.Machines) > 0, Status: "unknown", Vacancies: []mapVacancy{},
	}
	if s.figure != nil && !s.figure.At.IsZero() {
		at := f.instant(s.figure.At)
		// Whole minutes, so that the document and its tag stay the same for a
		// while; the instant is beside it.
		age := int(max(now.Sub(s.figure.At), 0) / time.Minute)
		out.LastUpdate, out.AgeMinutes = &at, &age
	}
	figure := f.fresh(s, now)
	switch {
	case figure == nil:
	case figure.Closed:
		out.Status = "closed"
	default:
		out.Status = "open"
	}
	for k := range kinds {
		if !s.built.present.has(k) {
			continue
		}
		v := mapVacancy{VehicleType: k.String(), Spaces: s.built.places[k].space}
		if figure != nil {
			free, ok := s.free(k, figure)
			if figure.Closed {
				free, ok = Free{}, true
			}
			if ok {
				v.Free, v.FreeEV, v.FreeDIS = &free.General, &free.EV, &free.Accessible
			}
		}
		out.Vacancies = append(out.Vacancies, v)
	}
	return feature{Type: "Feature", ID: c.ID, Geometry: point{"Point", [2]float64{p.Longitude, p.Latitude}}, Properties: out}
}
