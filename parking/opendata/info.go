package opendata

import (
	"time"

	"freeflow/parking"
	"freeflow/parking/tariff"
)

// infoResult is one car park of data=info, in the specification's order.
type infoResult struct {
	ParkID         string              `json:"park_Id"`
	Name           string              `json:"name"`
	Nature         string              `json:"nature,omitempty"`
	Type           string              `json:"carpark_Type,omitempty"`
	Address        *address            `json:"address,omitempty"`
	DisplayAddress string              `json:"displayAddress"`
	District       string              `json:"district,omitempty"`
	Latitude       float64             `json:"latitude"`
	Longitude      float64             `json:"longitude"`
	ContactNo      string              `json:"contactNo,omitempty"`
	RenditionURLs  *renditions         `json:"renditionUrls,omitempty"`
	Website        string              `json:"website,omitempty"`
	OpeningStatus  string              `json:"opening_status,omitempty"`
	OpeningHours   []period            `json:"openingHours,omitempty"`
	GracePeriods   []tariff.FreePeriod `json:"gracePeriods,omitempty"`
	HeightLimits   []heightOfEntry     `json:"heightLimits,omitempty"`
	Facilities     []string            `json:"facilities,omitempty"`
	PaymentMethods []string            `json:"paymentMethods,omitempty"`
	PrivateCar     *vehicleInfo        `json:"privateCar,omitempty"`
	LGV            *vehicleInfo        `json:"LGV,omitempty"`
	HGV            *vehicleInfo        `json:"HGV,omitempty"`
	CV             *vehicleInfo        `json:"CV,omitempty"`
	Coach          *vehicleInfo        `json:"coach,omitempty"`
	MotorCycle     *vehicleInfo        `json:"motorCycle,omitempty"`
	CreationDate   string              `json:"creationDate,omitempty"`
	ModifiedDate   string              `json:"modifiedDate,omitempty"`
	PublishedDate  string              `json:"publishedDate,omitempty"`
	Lang           string              `json:"lang"`
}

// address is an address in its parts. "dcDestrict" is the specification's own
// spelling.
type address struct {
	BuildingName string `json:"buildingName,omitempty"`
	StreetName   string `json:"streetName,omitempty"`
	BuildingNo   string `json:"buildingNo,omitempty"`
	SubDistrict  string `json:"subDistrict"`
	District     string `json:"dcDestrict"`
	Region       string `json:"region"`
}

type renditions struct {
	Photo string `json:"carpark_photo"`
}

type heightOfEntry struct {
	Height thousandths `json:"height"`
	Remark string      `json:"remark,omitempty"`
}

// The words of opening_status.
const (
	statusOpen   = "OPEN"
	statusClosed = "CLOSED"
)

// week are the specification's days.
var week = []string{"MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN", "PH"}

func (r *infoResult) of(k kind) **vehicleInfo {
	return [kinds]**vehicleInfo{&r.PrivateCar, &r.LGV, &r.HGV, &r.CV, &r.Coach, &r.MotorCycle}[k]
}

func (f *Feed) infoOf(s *siteView, wanted kindSet, asked string, now time.Time) infoResult {
	c, language := s.CarPark, languageOf(s.CarPark, asked)
	p := &c.Published
	out := infoResult{
		ParkID: c.ID, Name: say(c.Name, language), Nature: oneOf(p.Nature, "government", "commercial"),
		Type: oneOf(p.Kind, "multi-storey", "off-street", "metered"), Address: addressOf(p, language),
		DisplayAddress: say(p.Address, language), District: say(p.District, language),
		Latitude: p.Latitude, Longitude: p.Longitude, ContactNo: p.Contact, Website: say(p.Website, language),
		OpeningStatus: f.openingStatus(s, now), OpeningHours: openingHours(p.Opening),
		Facilities: facilities(c, s.built), PaymentMethods: payments(c),
		CreationDate: dateTime(p.Created), ModifiedDate: dateTime(p.Changed), Lang: language,
	}
	if p.Photo != "" {
		out.RenditionURLs = &renditions{p.Photo}
	}
	if !s.Changed.IsZero() {
		out.PublishedDate = f.local(s.Changed)
	}
	for _, h := range s.built.heights {
		out.HeightLimits = append(out.HeightLimits, heightOfEntry{thousandths(h.limits.HeightMM), h.remark(language)})
	}
	for k := range kinds {
		if s.built.present.has(k) && wanted.has(k) {
			*out.of(k) = vehicleInfoOf(s, k, language)
		}
	}
	out.GracePeriods = gracePeriodsOf(s, wanted, language)
	return out
}

// oneOf returns the word if the specification has it.
func oneOf(word string, known ...string) string {
	if found := inOrder([]string{word}, known...); len(found) > 0 {
		return word
	}
	return ""
}

// addressOf returns the address in its parts, nil where a required one is not
// known.
func addressOf(p *parking.Published, language string) *address {
	a := &address{
		BuildingName: say(p.Parts.Building, language), StreetName: say(p.Parts.Street, language),
		BuildingNo: say(p.Parts.BuildingNo, language), SubDistrict: say(p.Parts.SubDistrict, language),
		District: say(p.District, language), Region: say(p.Parts.Region, language),
	}
	if a.SubDistrict == "" || a.District == "" || a.Region == "" {
		return nil
	}
	return a
}

// openingStatus tells what the latest figure says; nothing where it is too old.
func (f *Feed) openingStatus(s *siteView, now time.Time) string {
	switch figure := f.fresh(s, now); {
	case figure == nil:
		return ""
	case figure.Closed:
		return statusClosed
	default:
		return statusOpen
	}
}

// openingHours writes the hours; none means always open.
func openingHours(hours []parking.OpeningHours) []period {
	if len(hours) == 0 {
		return []period{{Start: "00:00", End: "24:00", Weekdays: week}}
	}
	var out []period
	for _, h := range hours {
		if days := inOrder(h.Weekdays, week...); len(days) > 0 {
			out = append(out, period{Start: h.From, End: h.To, ExcludePublicHoliday: h.ExcludePublicHoliday, Weekdays: days})
		}
	}
	return out
}

// dateTime passes on a date in the specification's form, a day as its
// midnight, and nothing else.
func dateTime(text string) string {
	if _, err := time.Parse(time.DateTime, text); err == nil {
		return text
	}
	if _, err := time.Parse(time.DateOnly, text); err == nil {
		return text + " 00:00:00"
	}
	return ""
}
