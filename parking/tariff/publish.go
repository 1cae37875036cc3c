package tariff

import (
	"fmt"
	"slices"
	"strings"
)

// exporter collects what the department's vocabulary has no words for.
type exporter struct {
	language string
	lost     []string
}

func (e *exporter) lose(pointer, why string) { e.lost = append(e.lost, pointer+": "+why) }

// Published gives what a class pays in the Transport Department's vocabulary,
// with remarks in a language (en_US, zh_TW, zh_CN), and what that vocabulary
// cannot say: one line each, a JSON pointer into the class's rules and why.
// Such rules are left out; whoever publishes should put them into a remark.
// The error is a *UnknownNameError for a class that the tariff does not have.
func (t *Tariff) Published(class, language string) (p Published, lost []string, err error) {
	r := t.Classes[class]
	if r == nil {
		known := []string{}
		for name := range t.Classes {
			known = append(known, name)
		}
		slices.Sort(known)
		return Published{}, nil, &UnknownNameError{Kind: "class", Name: class, Tariff: t.ID, Known: known}
	}
	e := &exporter{language: language}
	for i := range r.Bands {
		e.band(&p, fmt.Sprintf("/bands/%d", i), &r.Bands[i])
	}
	for i := range r.Passes {
		e.pass(&p, fmt.Sprintf("/passes/%d", i), &r.Passes[i])
	}
	for i, m := range r.Monthly {
		out := MonthlyCharge{Type: m.Type, Price: Dollars(m.Price), Covered: m.Covered, Reserved: m.Reserved, Remark: m.Remark.In(language)}
		for j, w := range m.Ranges {
			days := e.days(fmt.Sprintf("/monthly/%d/ranges/%d/days", i, j), w.Days)
			out.Ranges = append(out.Ranges, MonthlyRange{days, w.ExcludePublicHoliday, w.From.String(), w.To.String()})
		}
		p.MonthlyCharges = append(p.MonthlyCharges, out)
	}
	for i, u := range r.Unloadings {
		at := fmt.Sprintf("/unloadings/%d", i)
		kind, ok := unitName(u.UnitMinutes)
		list, whole := e.thresholds(at, u.Thresholds)
		if !ok || !whole {
			e.lose(at, fmt.Sprintf("a unit of %d minutes, or a threshold, that is not in hours or half-hours", u.UnitMinutes))
			continue
		}
		p.Unloadings = append(p.Unloadings, UnloadingCharge{kind, Dollars(u.Price), list, u.Remark.In(language)})
	}
	for i, v := range r.Privileges {
		days := e.days(fmt.Sprintf("/privileges/%d/days", i), v.Days)
		p.Privileges = append(p.Privileges, PrivilegePeriod{days, v.ExcludePublicHoliday, v.From.String(), v.To.String(), v.Description.In(language)})
	}
	for i, g := range r.GracePeriods {
		if g.If != "" {
			e.lose(fmt.Sprintf("/grace_periods/%d/if", i), "a grace period for stays with a flag")
		}
		p.GracePeriods = append(p.GracePeriods, FreePeriod{g.Minutes, g.Remark.In(language)})
	}
	e.rest(r)
	return p, e.lost, nil
}

func unitName(minutes int) (kind string, ok bool) {
	switch minutes {
	case 60:
		return "hourly", true
	case 30:
		return "half-hourly", true
	}
	return "", false
}

func (e *exporter) band(p *Published, at string, b *Band) {
	kind, ok := unitName(b.UnitMinutes)
	list, whole := e.thresholds(at, b.Thresholds)
	switch {
	case b.PerEntry:
		e.lose(at, "a price per entry")
		return
	case b.StepMinutes > 0:
		e.lose(at, "a price pro rata")
		return
	case b.Event != "":
		e.lose(at, "a price for event "+b.Event)
		return
	case !ok:
		e.lose(at, fmt.Sprintf("a unit of %d minutes; there are only hourly and half-hourly", b.UnitMinutes))
		return
	case !whole:
		return
	}
	if b.Priority != 0 {
		e.lose(at+"/priority", "which of two bands goes before")
	}
	p.HourlyCharges = append(p.HourlyCharges, HourlyCharge{Type: kind, Weekdays: e.days(at+"/days", b.Days), ExcludePublicHoliday: b.ExcludePublicHoliday,
		PeriodStart: b.From.String(), PeriodEnd: b.To.String(), Price: Dollars(b.Price), UsageThresholds: list, Covered: b.Covered, Remark: b.Remark.In(e.language)})
}

func (e *exporter) pass(p *Published, at string, s *Pass) {
	if s.LeaveFrom != nil {
		e.lose(at+"/leave_from", "an earliest time of leaving")
	}
	out := DayNightPark{Type: s.Type, Weekdays: e.days(at+"/days", s.Days), ExcludePublicHoliday: s.ExcludePublicHoliday, PeriodStart: s.From.String(), PeriodEnd: s.To.String(),
		ValidUntil: s.ValidUntil, Price: Dollars(s.Price), Covered: s.Covered, Remark: s.Remark.In(e.language)}
	if s.ValidUntilEnd != nil {
		out.ValidUntilEnd = s.ValidUntilEnd.String()
	}
	p.DayNightParks = append(p.DayNightParks, out)
}

// days gives the days that the vocabulary has.
func (e *exporter) days(at string, days []Day) []string {
	out := []string{}
	for _, d := range days {
		if d == PHEve {
			e.lose(at, "the day before a public holiday (PH_EVE)")
			continue
		}
		out = append(out, string(d))
	}
	return out
}

// thresholds gives thresholds in hours; whole is false if one is not a finite
// decimal number of hours.
func (e *exporter) thresholds(at string, list []Threshold) (out []UsageThreshold, whole bool) {
	for i, th := range list {
		if th.UntilMinutes%3 != 0 {
			e.lose(fmt.Sprintf("%s/thresholds/%d", at, i), fmt.Sprintf("%d minutes, no finite decimal number of hours", th.UntilMinutes))
			return nil, false
		}
		out = append(out, UsageThreshold{Hours(th.UntilMinutes), Dollars(th.Price)})
	}
	return out, true
}

// rest names the rules of which the vocabulary has nothing.
func (e *exporter) rest(r *Rules) {
	if r.PassMode != "" {
		e.lose("/pass_mode", "when a pass counts")
	}
	if r.FreeMinutes > 0 {
		e.lose("/free_minutes", fmt.Sprintf("%d free minutes", r.FreeMinutes))
	}
	for i, c := range r.Caps {
		e.lose(fmt.Sprintf("/caps/%d", i), strings.ToLower(capText(&c)[:1])+capText(&c)[1:])
	}
	for i, n := range r.Overnight {
		e.lose(fmt.Sprintf("/overnight/%d", i), "a fee of "+n.Price.String()+" for being there at "+n.At.String())
	}
	for i, d := range r.Discounts {
		e.lose(fmt.Sprintf("/discounts/%d", i), "a discount for "+d.Code)
	}
	if r.EV != nil {
		e.lose("/ev", "fees for EV charging")
	}
	for _, f := range []struct {
		fee  *Fee
		name string
	}{{r.LostTicket, "lost_ticket"}, {r.Reservation, "reservation"}, {r.NoShow, "no_show"}} {
		if f.fee != nil {
			e.lose("/"+f.name, "a fee of "+f.fee.Price.String())
		}
	}
}
