package opendata

import (
	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
	"freeflow/parking"
)

// rawFile is the envelope of the raw files. They begin with a byte order mark
// where the Transport Department serves them; here they do not, since RFC 8259
// forbids it and every reader of theirs that copes with the mark does without.
type rawFile[T any] struct {
	CarPark []T `json:"car_park"`
}

// rawInfo is one car park of basic_info_all.json; null is "not known".
type rawInfo struct {
	ParkID        string      `json:"park_id"`
	NameEn        string      `json:"name_en"`
	NameTc        string      `json:"name_tc"`
	NameSc        string      `json:"name_sc"`
	AddressEn     string      `json:"displayAddress_en"`
	AddressTc     string      `json:"displayAddress_tc"`
	AddressSc     string      `json:"displayAddress_sc"`
	Latitude      float64     `json:"latitude"`
	Longitude     float64     `json:"longitude"`
	DistrictEn    string      `json:"district_en"`
	DistrictTc    string      `json:"district_tc"`
	DistrictSc    string      `json:"district_sc"`
	ContactNo     *string     `json:"contactNo"`
	OpeningStatus *string     `json:"opening_status"`
	Height        thousandths `json:"height"`
	RemarkEn      string      `json:"remark_en"`
	RemarkTc      string      `json:"remark_tc"`
	RemarkSc      string      `json:"remark_sc"`
	WebsiteEn     *string     `json:"website_en"`
	WebsiteTc     *string     `json:"website_tc"`
	WebsiteSc     *string     `json:"website_sc"`
	Photo         *string     `json:"carpark_photo"`
}

func (f *Feed) getRawInfo(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	s, err := f.snapshot(c.Request().Context())
	if err != nil {
		return err
	}
	now := f.clock.Now()
	out := rawFile[rawInfo]{CarPark: []rawInfo{}}
	for _, site := range s.sites {
		p := &site.CarPark.Published
		name := func(t parking.Text) [3]string {
			return [3]string{say(t, english), say(t, traditional), say(t, simplified)}
		}
		title, where, district, remark, website := name(site.CarPark.Name), name(p.Address), name(p.District), name(p.Remark), name(p.Website)
		out.CarPark = append(out.CarPark, rawInfo{
			ParkID: site.CarPark.ID, NameEn: title[0], NameTc: title[1], NameSc: title[2],
			AddressEn: where[0], AddressTc: where[1], AddressSc: where[2],
			Latitude: p.Latitude, Longitude: p.Longitude,
			DistrictEn: district[0], DistrictTc: district[1], DistrictSc: district[2],
			ContactNo: known(p.Contact), OpeningStatus: known(f.openingStatus(site, now)),
			Height:   thousandths(carLimits(site.CarPark).HeightMM),
			RemarkEn: remark[0], RemarkTc: remark[1], RemarkSc: remark[2],
			WebsiteEn: known(website[0]), WebsiteTc: known(website[1]), WebsiteSc: known(website[2]),
			Photo: known(p.Photo),
		})
	}
	return f.answer(c, s, now, typeJSON, out)
}

func known(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// rawVacancy is one car park of vacancy_all.json.
type rawVacancy struct {
	ParkID   string       `json:"park_id"`
	Vehicles []rawVehicle `json:"vehicle_type"`
}

type rawVehicle struct {
	Type     string       `json:"type"`
	Services []rawService `json:"service_category"`
}

type rawService struct {
	Category   string `json:"category"`
	Type       string `json:"vacancy_type"`
	Vacancy    int    `json:"vacancy"`
	LastUpdate string `json:"lastupdate"`
}

func (f *Feed) getRawVacancy(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	s, err := f.snapshot(c.Request().Context())
	if err != nil {
		return err
	}
	now := f.clock.Now()
	out := rawFile[rawVacancy]{CarPark: []rawVacancy{}}
	for _, site := range s.sites {
		park := rawVacancy{ParkID: site.CarPark.ID, Vehicles: []rawVehicle{}}
		for k := range kinds {
			v, ok := f.vacancyOfKind(site, k, now)
			if !ok {
				continue
			}
			add := func(code string, vacancy int) {
				park.Vehicles = append(park.Vehicles, rawVehicle{code, []rawService{{v.Category, v.Type, vacancy, v.LastUpdate}}})
			}
			add(kindFacts[k].code, v.Vacancy)
			if code := kindFacts[k].accessible; code != "" && site.built.places[k].accessible > 0 {
				accessible := v.Vacancy // closed or no data
				if v.DIS != nil {
					accessible = *v.DIS
				}
				add(code, accessible)
			}
		}
		out.CarPark = append(out.CarPark, park)
	}
	return f.answer(c, s, now, typeJSON, out)
}
