package opendata

import (
	"time"

	"github.com/labstack/echo/v4"
)

// results is the envelope of both answers of carpark-info-vacancy.
type results[T any] struct {
	Results []T `json:"results"`
}

// vacancyResult is one car park of data=vacancy.
type vacancyResult struct {
	ParkID     string    `json:"park_Id"`
	PrivateCar []vacancy `json:"privateCar,omitempty"`
	LGV        []vacancy `json:"LGV,omitempty"`
	HGV        []vacancy `json:"HGV,omitempty"`
	CV         []vacancy `json:"CV,omitempty"`
	Coach      []vacancy `json:"coach,omitempty"`
	MotorCycle []vacancy `json:"motorCycle,omitempty"`
}

// vacancy is the figure of one vehicle type. Type A with -1 is "no data".
type vacancy struct {
	Type       string `json:"vacancy_type"`
	EV         *int   `json:"vacancyEV,omitempty"`
	DIS        *int   `json:"vacancyDIS,omitempty"`
	Vacancy    int    `json:"vacancy"`
	LastUpdate string `json:"lastupdate"`
	Category   string `json:"category"`
}

// The specification's words. Bays are counted here, so that the flag B (there
// are spaces, but nobody knows how many) is never used.
const (
	realCount  = "A"
	closedPark = "C"
	hourly     = "HOURLY"
	noData     = -1
)

func (r *vacancyResult) of(k kind) *[]vacancy {
	return [kinds]*[]vacancy{&r.PrivateCar, &r.LGV, &r.HGV, &r.CV, &r.Coach, &r.MotorCycle}[k]
}

// getInfoVacancy answers both kinds of request.
func (f *Feed) getInfoVacancy(c echo.Context) error {
	r, err := parseRequest(c)
	if err != nil {
		return err
	}
	s, err := f.snapshot(c.Request().Context())
	if err != nil {
		return err
	}
	now := f.clock.Now()
	if r.vacancy {
		out := results[vacancyResult]{Results: []vacancyResult{}}
		for _, site := range s.sites {
			if r.wants(site) {
				out.Results = append(out.Results, f.vacancyOf(site, r.kinds, now))
			}
		}
		return f.answer(c, s, now, typeJSON, out)
	}
	out := results[infoResult]{Results: []infoResult{}}
	for _, site := range s.sites {
		if r.wants(site) {
			out.Results = append(out.Results, f.infoOf(site, r.kinds, r.language, now))
		}
	}
	return f.answer(c, s, now, typeJSON, out)
}

func (f *Feed) vacancyOf(s *siteView, wanted kindSet, now time.Time) vacancyResult {
	out := vacancyResult{ParkID: s.CarPark.ID}
	for k := range kinds {
		if v, ok := f.vacancyOfKind(s, k, now); ok && wanted.has(k) {
			*out.of(k) = []vacancy{v}
		}
	}
	return out
}

// vacancyOfKind returns the figure of one type; false where the site has no
// bays for it, or where it has never been told anything and there is no time
// that could be given as the last update.
func (f *Feed) vacancyOfKind(s *siteView, k kind, now time.Time) (vacancy, bool) {
	if !s.built.present.has(k) {
		return vacancy{}, false
	}
	v := vacancy{Type: realCount, Vacancy: noData, Category: hourly}
	switch {
	case s.figure != nil && !s.figure.At.IsZero():
		v.LastUpdate = f.local(s.figure.At)
	case !s.Changed.IsZero():
		v.LastUpdate = f.local(s.Changed)
	default:
		return vacancy{}, false
	}
	figure := f.fresh(s, now)
	if figure == nil {
		return v, true
	}
	if figure.Closed {
		v.Type, v.Vacancy = closedPark, 0
		return v, true
	}
	free, ok := s.free(k, figure)
	if !ok {
		return v, true
	}
	v.Vacancy = free.General
	p := &s.built.places[k]
	if p.ev > 0 {
		v.EV = &free.EV
	}
	if p.accessible > 0 {
		v.DIS = &free.Accessible
	}
	return v, true
}

// local writes an instant as the specification does, in Hong Kong's time.
func (f *Feed) local(t time.Time) string { return t.In(f.zone).Format(time.DateTime) }

// instant writes an instant with its offset.
func (f *Feed) instant(t time.Time) string { return t.In(f.zone).Format(time.RFC3339) }
