package tariff

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Finding is what an operator should know before a tariff is saved.
type Finding struct {
	// Error says that the tariff, or some stay, cannot be rated; otherwise it
	// is a warning.
	Error bool
	// Pointer is a JSON pointer into the tariff.
	Pointer string
	Text    string
	// Example are stays that show it, if there are any: for a price that falls
	// with time the shorter stay and then the longer one.
	Example []Stay
}

// Check tells what is wrong or odd with a tariff, errors first. A tariff with
// errors is refused by New. Warnings come from the tables, and from rating a
// fixed set of stays over two weeks with two holidays in a row that are
// supposed for the purpose; that nothing is found does not prove that there is
// nothing.
func Check(t *Tariff) []Finding {
	v, err := compile(t)
	var bad *BadTariffError
	if errors.As(err, &bad) {
		found := make([]Finding, len(bad.Problems))
		for i, p := range bad.Problems {
			found[i] = Finding{Error: true, Pointer: p.Pointer, Text: p.Text}
		}
		return found
	}
	if err != nil {
		return []Finding{{Error: true, Text: err.Error()}}
	}
	var found []Finding
	for _, name := range slices.Sorted(maps.Keys(v.classes)) {
		c := v.classes[name]
		at := "/classes/" + name
		found = append(found, c.checkTables(at)...)
		found = append(found, c.checkWords(at)...)
		found = append(found, c.probe(at)...)
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		switch {
		case a.Error == b.Error:
			return 0
		case a.Error:
			return -1
		}
		return 1
	})
	return found
}

// checkTables looks for minutes without a price and bands that never hold.
func (c *class) checkTables(at string) []Finding {
	var found []Finding
	if len(c.bands) == 0 {
		if len(c.rules.Passes)+len(c.rules.Monthly)+len(c.rules.Unloadings) == 0 {
			return []Finding{{Error: true, Pointer: at, Text: "has no bands, passes, permits or unloadings: nothing can be rated"}}
		}
		if c.passesAlone() {
			return nil // probe says whether they cover every minute
		}
		return []Finding{{Pointer: at + "/bands", Text: "there are none: only what a pass or a permit covers can be rated"}}
	}
	used := make([]bool, len(c.bands))
	var gaps []string
	note := func(weekday, kind int, table dayTable) {
		for _, s := range table {
			if s.band >= 0 {
				used[s.band] = true
				continue
			}
			text := fmt.Sprintf("%s %s-%s", dayText(weekday, kind&holidayToday != 0, kind&holidayAfter != 0), TimeOfDay(s.from/60), TimeOfDay(s.to/60))
			if !slices.Contains(gaps, text) {
				gaps = append(gaps, text)
			}
		}
	}
	for i := range 7 {
		weekday := (i + 1) % 7 // Monday first
		for kind := range dayKinds {
			// Holidays that change nothing are not worth a line.
			if kind&^int(c.depends[weekday]) == 0 {
				note(weekday, kind, c.days[weekday][kind])
			}
		}
	}
	for _, day := range slices.Sorted(maps.Keys(c.events)) {
		for kind := range dayKinds {
			for _, s := range c.events[day][kind] {
				if s.band >= 0 {
					used[s.band] = true
				}
			}
		}
	}
	if len(gaps) > 0 {
		shown := gaps[:min(len(gaps), 8)]
		text := "no band gives a price for " + strings.Join(shown, ", ")
		if len(gaps) > len(shown) {
			text += fmt.Sprintf(" and %d more", len(gaps)-len(shown))
		}
		found = append(found, Finding{Pointer: at + "/bands", Text: text + "; a stay that touches it cannot be rated, unless a pass or permit covers it"})
	}
	for i, b := range c.bands {
		if !used[i] {
			found = append(found, Finding{Pointer: fmt.Sprintf("%s/bands/%d", at, i), Text: "band " + b.id + " never holds: others go before it at all times, or its days never come"})
		}
	}
	return found
}

// checkWords looks at rules that may not do what they seem to say.
func (c *class) checkWords(at string) []Finding {
	var found []Finding
	warn := func(pointer, format string, args ...any) {
		found = append(found, Finding{Pointer: at + pointer, Text: fmt.Sprintf(format, args...)})
	}
	for i, g := range c.rules.GracePeriods {
		if g.If == "" && g.Remark != (Words{}) {
			warn(fmt.Sprintf("/grace_periods/%d", i), "has a condition in words and no flag (if): it is published and never rated")
		}
	}
	last := -1 << 31
	for _, d := range c.rules.Discounts {
		last = max(last, d.Order)
	}
	for i, d := range c.rules.Discounts {
		if d.RoundTo > 0 && d.Order < last {
			warn(fmt.Sprintf("/discounts/%d/round_to", i), "discount %s rounds and is not the last: what comes after it can leave cents again", d.Code)
		}
	}
	if len(c.rules.Unloadings) > 1 {
		warn("/unloadings", "there are %d: a stay for unloading cannot be rated, since nothing says by which", len(c.rules.Unloadings))
	}
	if c.options.Passes == "automatic" && len(c.rules.Passes) > 0 && c.version.tariff.Options.OnChange == "split" {
		warn("/passes", "automatic passes do not hold for stays that a later version splits")
	}
	return found
}

// supposed is a calendar in which the third day and the one after it are the
// only holidays.
type supposed struct{ first Date }

func (s supposed) Holiday(d Date) (holiday, known bool) {
	day := d.number() - s.first.number()
	return day == 2 || day == 3, true
}

// probe rates stays of growing length from many entries. It looks for prices
// that fall, for caps that never bind, and for stays that cannot be rated.
func (c *class) probe(at string) []Finding {
	if len(c.bands) == 0 && !c.passesAlone() {
		return nil
	}
	w := walker{class: c}
	monday := dayOf(w.local(c.version.begins)) + 1
	for weekdayOf(monday) != 1 {
		monday++
	}
	b := &Book{versions: []*version{c.version}, calendar: supposed{dateOf(monday)}}
	lengths := probeLengths()
	if c.options.Passes == "best_price" {
		// Longer never costs less there; caps and failures show by the hour.
		lengths = slices.DeleteFunc(lengths, func(seconds int64) bool { return seconds%3600 != 0 })
	}
	var falls []Stay
	bound := map[string]bool{}
	var failed error
	var gap *NoPriceError
	for _, day := range []int64{0, 1, 4, 5, 6} {
		for _, minute := range c.probeMinutes() {
			entry := w.instant(monday+day, minute)
			var before Receipt
			for i, length := range lengths {
				s := Stay{Class: c.name, Entry: time.Unix(entry, 0).In(c.zone), Exit: time.Unix(entry+length, 0).In(c.zone)}
				r, err := b.rate(&s)
				if err != nil {
					var none *NoPriceError
					switch {
					case !errors.As(err, &none):
						if failed == nil {
							failed = err
						}
					case gap == nil:
						gap = none
					}
					break
				}
				for _, l := range r.Lines {
					if l.Kind == LineCap {
						bound[l.Rule] = true
					}
				}
				if i > 0 && r.TotalCents < before.TotalCents && falls == nil {
					shorter := s
					shorter.Exit = time.Unix(entry+lengths[i-1], 0).In(c.zone)
					shorter.ID, s.ID = Cents(before.TotalCents).String(), Cents(r.TotalCents).String()
					falls = []Stay{shorter, s}
				}
				before = r
			}
		}
	}
	var found []Finding
	if failed != nil {
		found = append(found, Finding{Error: true, Pointer: at, Text: "a stay tried cannot be rated: " + failed.Error()})
	}
	if gap != nil && len(c.bands) == 0 {
		found = append(found, Finding{Pointer: at + "/passes", Text: "they leave time without a price, for instance " + gap.At.Format(time.RFC3339)})
	}
	if falls != nil && c.options.Passes != "best_price" {
		found = append(found, Finding{Pointer: at, Example: falls, Text: fmt.Sprintf("staying longer costs less: from %s until %s costs %s, until %s %s",
			falls[0].Entry.Format(time.RFC3339), falls[0].Exit.Format(time.RFC3339), falls[0].ID, falls[1].Exit.Format(time.RFC3339), falls[1].ID)})
	}
	for i, x := range c.rules.Caps {
		if !bound["caps/"+x.ID] {
			found = append(found, Finding{Pointer: fmt.Sprintf("%s/caps/%d", at, i), Text: fmt.Sprintf("cap %s of %s took nothing off any stay tried, up to 8 days: it may never bind", x.ID, x.Amount)})
		}
	}
	return found
}

// passesAlone tells whether passes that count by themselves are all that a
// class pays by.
func (c *class) passesAlone() bool {
	return len(c.bands) == 0 && len(c.rules.Passes) > 0 && c.options.Passes == "best_price"
}

// probeLengths are seconds: by quarters to 30 h, then by 6 h to 8 days.
func probeLengths() []int64 {
	var out []int64
	for q := int64(1); q <= 120; q++ {
		out = append(out, q*15*60)
	}
	for h := int64(36); h <= 192; h += 6 {
		out = append(out, h*3600)
	}
	return out
}

// probeMinutes are minutes of the day around which prices change, at most 24.
func (c *class) probeMinutes() []int {
	out := []int{0, 9*60 + 10, 17*60 + 50}
	add := func(t TimeOfDay) { out = append(out, int(t)%minutesPerDay, (int(t)+minutesPerDay-20)%minutesPerDay) }
	for _, b := range c.rules.Bands {
		add(b.From)
	}
	for _, s := range c.rules.Passes {
		add(s.From)
		add(s.To)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), 24)]
}
