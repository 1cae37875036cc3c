package tariff

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bounds on a tariff. They are far above what a car park has, and keep sums
// within int64: the dearest unit times the longest stay.
const (
	maxPrice      = Cents(1_000_000_00)
	maxRules      = 200
	maxPermits    = 1_000_000
	maxUnit       = 31 * minutesPerDay
	maxThresholds = 20
	maxClasses    = 50
	maxEventDates = 400
)

// validate lists what makes a tariff unfit for rating, by JSON pointer.
func validate(t *Tariff) []Problem {
	var p problems
	name(&p, "/id", t.ID)
	name(&p, "/version", t.Version)
	if t.EffectiveFrom.IsZero() || t.EffectiveFrom.Nanosecond() != 0 {
		p.add("/effective_from", "is missing or not a whole second; write it like 2026-01-01T00:00:00+08:00")
	}
	if _, err := loadZone(t.Zone); err != nil {
		p.add("/zone", "%.64q is %v", t.Zone, err)
	}
	if len(t.Currency) != 3 || strings.Trim(t.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		p.add("/currency", "%.16q is not a currency code; write three capitals like HKD", t.Currency)
	}
	validateOptions(&p, &t.Options)
	events := map[string]bool{}
	bound(&p, "/events", len(t.Events), maxRules)
	for i, e := range t.Events {
		at := fmt.Sprintf("/events/%d", i)
		unique(&p, at+"/id", e.ID, events)
		bound(&p, at+"/dates", len(e.Dates), maxEventDates)
	}
	if len(t.Classes) == 0 || len(t.Classes) > maxClasses {
		p.add("/classes", "has %d vehicle classes; give 1 to %d", len(t.Classes), maxClasses)
	}
	for _, class := range slices.Sorted(maps.Keys(t.Classes)) {
		at := "/classes/" + class
		name(&p, at, class)
		if r := t.Classes[class]; r == nil {
			p.add(at, "is null; give an object of rules")
		} else {
			validateRules(&p, at, r, t.Options, events)
		}
	}
	return p.list
}

// oneOf wants one of the listed values.
func oneOf(p *problems, pointer, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		p.add(pointer, "%.32q is not one of %s; state which", value, strings.Join(allowed, ", "))
	}
}

func name(p *problems, pointer, value string) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if value == "" || len(value) > 64 || strings.Trim(value, letters) != "" {
		p.add(pointer, "%.80q is not a name; use 1 to 64 letters, digits, points, dashes and underscores", value)
	}
}

func unique(p *problems, pointer, value string, seen map[string]bool) {
	name(p, pointer, value)
	if seen[value] {
		p.add(pointer, "%q is there twice; give each a name of its own", value)
	}
	seen[value] = true
}

func between(p *problems, pointer string, value, least, most int) {
	if value < least || value > most {
		p.add(pointer, "%d is not between %d and %d", value, least, most)
	}
}

func bound(p *problems, pointer string, n, most int) {
	if n > most {
		p.add(pointer, "has %d entries, more than %d", n, most)
	}
}

func price(p *problems, pointer string, c Cents) {
	if c < 0 || c > maxPrice {
		p.add(pointer, "%s is not between 0.00 and %s", c, maxPrice)
	}
}

func validateOptions(p *problems, o *Options) {
	at := "/options/"
	oneOf(p, at+"unit_start", o.UnitStart, "entry", "clock")
	oneOf(p, at+"straddle", o.Straddle, "start", "split", "dearer", "cut")
	oneOf(p, at+"midnight", o.Midnight, "start_day", "split")
	oneOf(p, at+"threshold_counts", o.ThresholdCounts, "stay", "band")
	oneOf(p, at+"threshold_reset", o.ThresholdReset, "never", "band", "day", "band_or_day")
	oneOf(p, at+"on_change", o.OnChange, "entry", "split")
	oneOf(p, at+"passes", o.Passes, "bought", "best_price", "automatic")
	oneOf(p, at+"rounding", o.Rounding, "half_up", "up", "down")
	oneOf(p, at+"machine_starts", o.MachineStarts, "entry", "acceptance")
	oneOf(p, at+"machine_stops", o.MachineStops, "exit", "request", "promise")
	oneOf(p, at+"reentry_gap", o.ReentryGap, "charged", "not_charged")
	between(p, at+"collect_minutes", o.CollectMinutes, 0, minutesPerDay)
	between(p, at+"reentry_minutes", o.ReentryMinutes, 0, minutesPerDay)
	between(p, at+"payment_grace_minutes", o.PaymentGraceMinutes, 0, minutesPerDay)
	between(p, at+"quote_minutes", o.QuoteMinutes, 0, 366*minutesPerDay)
}

func validateDays(p *problems, at string, days []Day, needed bool) {
	var seen uint16
	for i, d := range days {
		bit := d.bit()
		if bit == 0 {
			p.add(fmt.Sprintf("%s/days/%d", at, i), "%.16q is not a day; there are MON, TUE, WED, THU, FRI, SAT, SUN, PH, PH_EVE", d)
		} else if seen&bit != 0 {
			p.add(fmt.Sprintf("%s/days/%d", at, i), "%s is there twice; remove one", d)
		}
		seen |= bit
	}
	if needed && len(days) == 0 {
		p.add(at+"/days", "names no day; give some of MON to SUN, PH, PH_EVE")
	}
}

func validateWhen(p *problems, at string, w When, needed bool) {
	validateDays(p, at, w.Days, needed)
	between(p, at+"/from", int(w.From), 0, minutesPerDay-1)
	between(p, at+"/to", int(w.To), 0, minutesPerDay)
}

func validateThresholds(p *problems, at string, list []Threshold) {
	bound(p, at+"/thresholds", len(list), maxThresholds)
	before := 0
	for i, th := range list {
		here := fmt.Sprintf("%s/thresholds/%d", at, i)
		price(p, here+"/price", th.Price)
		if th.UntilMinutes <= before || th.UntilMinutes > 366*minutesPerDay {
			p.add(here+"/until_minutes", "%d is not above that of the threshold before it, %d; order them ascending", th.UntilMinutes, before)
		}
		before = th.UntilMinutes
	}
}

func validateRules(p *problems, at string, r *Rules, o Options, events map[string]bool) {
	between(p, at+"/free_minutes", r.FreeMinutes, 0, 7*minutesPerDay)
	if (r.FreeMinutes > 0) != (r.FreeFromStart != nil) {
		p.add(at+"/free_from_start", "must be stated if free_minutes is above 0, and only then: true charges a longer stay from the end of the free minutes, false from its entry")
	}
	for i, g := range r.GracePeriods {
		between(p, fmt.Sprintf("%s/grace_periods/%d/minutes", at, i), g.Minutes, 0, 7*minutesPerDay)
	}
	bands := map[string]bool{}
	ids := map[string]map[string]bool{"passes": {}, "monthly": {}, "unloadings": {}, "overnight": {}}
	perEntry := 0
	for i := range r.Bands {
		b := &r.Bands[i]
		if b.PerEntry {
			perEntry++
		}
		here := fmt.Sprintf("%s/bands/%d", at, i)
		unique(p, here+"/id", b.ID, bands)
		validateWhen(p, here, b.When, b.Event == "")
		price(p, here+"/price", b.Price)
		validateThresholds(p, here, b.Thresholds)
		switch {
		case b.PerEntry && (b.UnitMinutes != 0 || b.StepMinutes != 0 || len(b.Thresholds) > 0):
			p.add(here, "is charged per entry and has units, steps or thresholds; remove them, or per_entry")
		case !b.PerEntry:
			between(p, here+"/unit_minutes", b.UnitMinutes, 1, maxUnit)
			between(p, here+"/step_minutes", b.StepMinutes, 0, max(b.UnitMinutes, 0))
		}
		if b.Event != "" && !events[b.Event] {
			p.add(here+"/event", "%.64q is not an event of this tariff; add it to /events", b.Event)
		}
	}
	bound(p, at+"/bands", perEntry, maxPerEntry)
	validateCaps(p, at, r.Caps, bands)
	if r.PassMode != "" {
		oneOf(p, at+"/pass_mode", r.PassMode, "bought", "best_price", "automatic")
		o.Passes = r.PassMode
	}
	for i := range r.Passes {
		here := fmt.Sprintf("%s/passes/%d", at, i)
		unique(p, here+"/id", r.Passes[i].ID, ids["passes"])
		validatePass(p, here, &r.Passes[i], o)
	}
	for i, m := range r.Monthly {
		here := fmt.Sprintf("%s/monthly/%d", at, i)
		unique(p, here+"/id", m.ID, ids["monthly"])
		oneOf(p, here+"/type", m.Type, monthlyTypes...)
		price(p, here+"/price", m.Price)
		between(p, here+"/most", m.Most, 0, maxPermits)
		bound(p, here+"/ranges", len(m.Ranges), maxRules)
		for j, w := range m.Ranges {
			validateWhen(p, fmt.Sprintf("%s/ranges/%d", here, j), w, true)
		}
	}
	for i, u := range r.Unloadings {
		here := fmt.Sprintf("%s/unloadings/%d", at, i)
		unique(p, here+"/id", u.ID, ids["unloadings"])
		between(p, here+"/unit_minutes", u.UnitMinutes, 1, maxUnit)
		price(p, here+"/price", u.Price)
		validateThresholds(p, here, u.Thresholds)
	}
	for i, v := range r.Privileges {
		validateWhen(p, fmt.Sprintf("%s/privileges/%d", at, i), v.When, true)
	}
	for i, n := range r.Overnight {
		here := fmt.Sprintf("%s/overnight/%d", at, i)
		unique(p, here+"/id", n.ID, ids["overnight"])
		validateDays(p, here, n.Days, true)
		between(p, here+"/at", int(n.At), 0, minutesPerDay-1)
		price(p, here+"/price", n.Price)
	}
	validateDiscounts(p, at, r.Discounts)
	validateFees(p, at, r)
	for list, n := range map[string]int{
		"bands": len(r.Bands), "caps": len(r.Caps), "passes": len(r.Passes), "monthly": len(r.Monthly), "unloadings": len(r.Unloadings),
		"privileges": len(r.Privileges), "overnight": len(r.Overnight), "discounts": len(r.Discounts), "grace_periods": len(r.GracePeriods),
	} {
		bound(p, at+"/"+list, n, maxRules)
	}
}

// What a rating has to carry along from unit to unit is bounded.
const (
	maxCaps     = 16
	maxPerEntry = 64
)

func validateCaps(p *problems, at string, caps []Cap, bands map[string]bool) {
	bound(p, at+"/caps", len(caps), maxCaps)
	named := map[string]bool{}
	for i, c := range caps {
		here := fmt.Sprintf("%s/caps/%d", at, i)
		unique(p, here+"/id", c.ID, named)
		price(p, here+"/amount", c.Amount)
		oneOf(p, here+"/per", c.Per, "occurrence", "calendar_day", "24h_from_entry", "reset_time", "stay")
		if (c.Per == "reset_time") != (c.ResetTime != nil) {
			p.add(here+"/reset_time", "must be stated if per is reset_time, and only then; write it like 07:00")
		} else if c.ResetTime != nil {
			between(p, here+"/reset_time", int(*c.ResetTime), 0, minutesPerDay-1)
		}
		seen := map[string]bool{}
		for j, band := range c.Bands {
			if !bands[band] || seen[band] {
				p.add(fmt.Sprintf("%s/bands/%d", here, j), "%.64q is not the id of a band of this class, or is there twice", band)
			}
			seen[band] = true
		}
	}
}

var passHours = map[string]int64{"day-park": 0, "night-park": 0, "6-hours-park": 6, "12-hours-park": 12, "24-hours-park": 24}

func validatePass(p *problems, at string, s *Pass, o Options) {
	if _, ok := passHours[s.Type]; !ok {
		p.add(at+"/type", "%.32q is not one of day-park, night-park, 6-hours-park, 12-hours-park, 24-hours-park", s.Type)
	}
	validateWhen(p, at, s.When, true)
	price(p, at+"/price", s.Price)
	oneOf(p, at+"/valid_until", s.ValidUntil, "no-restrictions", "same-day", "following-day")
	if s.ValidUntilEnd != nil {
		between(p, at+"/valid_until_end", int(*s.ValidUntilEnd), 0, minutesPerDay)
		if s.ValidUntil == "same-day" && *s.ValidUntilEnd <= s.From {
			p.add(at+"/valid_until_end", "%s on the same day is not after the pass begins, %s; is it the following-day?", *s.ValidUntilEnd, s.From)
		}
	}
	if s.LeaveFrom != nil {
		between(p, at+"/leave_from", int(*s.LeaveFrom), 0, minutesPerDay)
		if o.Passes != "automatic" {
			p.add(at+"/leave_from", "is for tariffs whose option passes is automatic; remove it")
		}
	}
}

var monthlyTypes = func() (types []string) {
	for _, term := range []string{"monthly", "bimonthly", "quarterly", "yearly"} {
		types = append(types, term+"-park", term+"-day-park", term+"-night-park")
	}
	return types
}()

func validateDiscounts(p *problems, at string, discounts []Discount) {
	codes, orders := map[string]bool{}, map[int]bool{}
	lastMinutes, firstOther := -1<<31, 1<<31
	for _, d := range discounts {
		if d.Kind == "minutes" {
			lastMinutes = max(lastMinutes, d.Order)
		} else {
			firstOther = min(firstOther, d.Order)
		}
	}
	if lastMinutes > firstOther {
		p.add(at+"/discounts", "minutes are taken off the time before anything is taken off the price: give discounts of minutes a lower order than all others")
	}
	for i, d := range discounts {
		here := fmt.Sprintf("%s/discounts/%d", at, i)
		name(p, here+"/code", d.Code)
		if codes[d.By+" "+d.Code] {
			p.add(here+"/code", "%q is there twice; remove one", d.Code)
		}
		codes[d.By+" "+d.Code] = true
		if orders[d.Order] {
			p.add(here+"/order", "%d is there twice; the order of two discounts must be stated, since it changes the price", d.Order)
		}
		orders[d.Order] = true
		oneOf(p, here+"/by", d.By, "validation", "flag")
		oneOf(p, here+"/kind", d.Kind, "minutes", "amount", "percent", "full")
		price(p, here+"/most", d.Most)
		price(p, here+"/round_to", d.RoundTo)
		price(p, here+"/amount", d.Amount)
		if (d.Kind == "minutes") != (d.Minutes > 0) || d.Minutes > 366*minutesPerDay {
			p.add(here+"/minutes", "must be 1 to 527040 if kind is minutes, and absent otherwise")
		}
		if d.Kind == "minutes" {
			oneOf(p, here+"/minutes_from", d.MinutesFrom, "start", "end")
		}
		if (d.Kind == "amount") != (d.Amount > 0) {
			p.add(here+"/amount", "must be above 0.00 if kind is amount, and absent otherwise")
		}
		if (d.Kind == "percent") != (d.Percent > 0) || d.Percent > 100 {
			p.add(here+"/percent", "must be 1 to 100 if kind is percent, and absent otherwise")
		}
	}
}

func validateFees(p *problems, at string, r *Rules) {
	if e := r.EV; e != nil {
		for pointer, c := range map[string]Cents{"price": e.Price, "per_kwh": e.PerKWh, "idle_price": e.IdlePrice, "idle_most": e.IdleMost} {
			price(p, at+"/ev/"+pointer, c)
		}
		if e.Price > 0 {
			between(p, at+"/ev/unit_minutes", e.UnitMinutes, 1, maxUnit)
		}
		if e.IdlePrice > 0 {
			between(p, at+"/ev/idle_unit_minutes", e.IdleUnitMinutes, 1, maxUnit)
		}
		between(p, at+"/ev/idle_grace_minutes", e.IdleGraceMinutes, 0, 7*minutesPerDay)
	}
	for pointer, f := range map[string]*Fee{"lost_ticket": r.LostTicket, "reservation": r.Reservation, "no_show": r.NoShow} {
		if f != nil {
			price(p, at+"/"+pointer+"/price", f.Price)
		}
	}
}

// earliest and latest instants that a stay may name: what lies beyond is a
// mistake of units or of a clock.
var (
	earliest = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
)
