package opendata

import (
	"cmp"
	"slices"

	"freeflow/parking/tariff"
)

// Prices gives what is published of a car park's tariff; *tariff.Tariff, the
// version in force, does. Implementations are safe for concurrent use and
// cheap: they are asked at every request.
type Prices interface {
	// Published returns what a class of the toll table pays in the
	// specification's vocabulary, with texts in the language (en_US, zh_TW,
	// zh_CN), and what that vocabulary cannot say, which is not published.
	// An error means that the class has no prices.
	Published(class, language string) (tariff.Published, []string, error)
}

// vehicleInfo are the spaces and prices of one vehicle type.
type vehicleInfo struct {
	Space            int `json:"space"`
	SpaceDIS         int `json:"spaceDIS"`
	SpaceEV          int `json:"spaceEV"`
	SpaceUNL         int `json:"spaceUNL"`
	tariff.Published `json:",inline"`
}

// period is a part of the day on some kinds of day: MON to SUN, PH.
type period struct {
	Start                string   `json:"periodStart"`
	End                  string   `json:"periodEnd"`
	ExcludePublicHoliday bool     `json:"excludePublicHoliday"`
	Weekdays             []string `json:"weekdays"`
}

// vehicleInfoOf tells a type's spaces and prices. The free periods are not in
// it: the specification has them at the car park.
func vehicleInfoOf(s *siteView, k kind, language string) *vehicleInfo {
	p := &s.built.places[k]
	out := &vehicleInfo{Space: p.space, SpaceDIS: p.accessible, SpaceEV: p.ev, Published: s.charges(k, language)}
	out.GracePeriods = nil
	return out
}

// gracePeriodsOf collects the free periods of the wanted types, each once.
func gracePeriodsOf(s *siteView, wanted kindSet, language string) []tariff.FreePeriod {
	var out []tariff.FreePeriod
	for k := range kinds {
		if !s.built.present.has(k) || !wanted.has(k) {
			continue
		}
		for _, g := range s.charges(k, language).GracePeriods {
			if !slices.Contains(out, g) {
				out = append(out, g)
			}
		}
	}
	return out
}

// charges are a type's prices in the form of the specification, with the
// words that it requires and that a tariff may leave open. An entry that holds
// on no day that the specification knows is left out.
func (s *siteView) charges(k kind, language string) tariff.Published {
	if s.Prices == nil {
		return tariff.Published{}
	}
	p, _, err := s.Prices.Published(s.built.places[k].class, language)
	if err != nil {
		return tariff.Published{} // no prices for the class
	}
	covered := coveredUsually(s.CarPark.Published.Kind)
	var out tariff.Published
	for _, h := range p.HourlyCharges {
		if len(h.Weekdays) > 0 {
			h.Covered = cmp.Or(h.Covered, covered)
			out.HourlyCharges = append(out.HourlyCharges, h)
		}
	}
	for _, d := range p.DayNightParks {
		if len(d.Weekdays) > 0 {
			d.Covered = cmp.Or(d.Covered, covered)
			out.DayNightParks = append(out.DayNightParks, d)
		}
	}
	for _, m := range p.MonthlyCharges {
		if slices.ContainsFunc(m.Ranges, func(r tariff.MonthlyRange) bool { return len(r.Weekdays) == 0 }) {
			continue // without that range it would say more than it gives
		}
		m.Covered, m.Reserved = cmp.Or(m.Covered, covered), cmp.Or(m.Reserved, "non-reserved")
		out.MonthlyCharges = append(out.MonthlyCharges, m)
	}
	for _, v := range p.Privileges {
		if len(v.Weekdays) > 0 && v.Description != "" {
			out.Privileges = append(out.Privileges, v)
		}
	}
	out.Unloadings, out.GracePeriods = p.Unloadings, p.GracePeriods
	if k == motorCycle {
		out.Unloadings = nil // the specification has none for motorcycles
	}
	return out
}

// coveredUsually is what is said where a tariff does not say whether the
// spaces have a roof: a building has one; elsewhere it is not known, and
// "mixed" says the least.
func coveredUsually(kind string) string {
	if kind == "multi-storey" {
		return "covered"
	}
	return "mixed"
}
