package tariff

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Difference is what an operator wants to see before a new network takes the
// place of an old one. Amounts are decimal strings of two places; "none" is
// where no toll is known.
type Difference struct {
	Old string `json:"old"`
	New string `json:"new"`
	// Settings, facilities, classes, toll points, versions and holidays that
	// were added, removed or changed.
	Items []ItemChange `json:"items"`
	// Tolls that differ, by the time at which they are in force. Versions
	// that were merely renamed or regrouped give none.
	Tolls []TollChange `json:"tolls"`
}

// ItemChange is one thing that differs. Old is empty if it was added, New if
// it was removed.
type ItemChange struct {
	// Kind is setting, facility, class, toll_point, version or holiday.
	Kind string `json:"kind"`
	Name string `json:"name"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// TollChange says how the tolls of a facility and class differ during a time.
type TollChange struct {
	Facility string `json:"facility"`
	// TollPoint is empty where all toll points of the facility differ alike.
	TollPoint string `json:"toll_point,omitempty"`
	Class     string `json:"class"`
	// From is the instant from which the networks differ so; Until is the
	// instant at which that ends, empty if it does not end.
	From  string `json:"from"`
	Until string `json:"until,omitempty"`
	// Days is the day type.
	Days    string        `json:"days"`
	Minutes []MinuteRange `json:"minutes"`
}

// MinuteRange is a stretch of the day with one old and one new toll.
type MinuteRange struct {
	From  string `json:"from"`
	Until string `json:"until"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

// Empty reports whether the networks agree.
func (d Difference) Empty() bool { return len(d.Items) == 0 && len(d.Tolls) == 0 }

// Diff compares two networks. Tolls are compared by what is in force at each
// instant, whatever the versions are called. What the calendars do to tolls
// shows as changes of holidays and known days, not as tolls.
func Diff(before, after *Network) Difference {
	d := Difference{Old: before.Name(), New: after.Name(), Items: []ItemChange{}, Tolls: []TollChange{}}
	for _, list := range []func(*Network) []item{settingItems, facilityItems, classItems, pointItems, versionItems, holidayItems} {
		d.Items = append(d.Items, diffItems(list(before), list(after))...)
	}
	d.Tolls = append(d.Tolls, diffTolls(before, after)...)
	return d
}

type item struct{ kind, name, text string }

func settingItems(n *Network) []item {
	s := n.settings
	known := "not needed"
	if n.calendar.needed {
		known = s.holidaysFrom + " to " + s.holidaysUntil
	}
	zone := s.zone.String()
	return []item{
		{"setting", "name", s.name}, {"setting", "title", s.title}, {"setting", "zone", zone}, {"setting", "currency", s.currency},
		{"setting", "gap_seconds", strconv.FormatInt(s.gapSeconds, 10)},
		{"setting", "turn_round_seconds", strconv.FormatInt(s.turnRoundSeconds, 10)},
		{"setting", "earliest_read", time.UnixMicro(s.earliestMicros).UTC().Format(time.RFC3339)},
		{"setting", "lanes", strconv.Itoa(s.lanes)}, {"setting", "holidays known", known},
		{"setting", "attribution", orNone(s.attribution)}, {"setting", "notes", orNone(s.notes)},
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func facilityItems(n *Network) []item {
	var items []item
	for _, f := range n.facilities {
		place := ""
		if f.Located {
			place = fmt.Sprintf(" at %v,%v", f.Lat, f.Lon)
		}
		items = append(items, item{"facility", f.Code, label(f.Names) + place})
	}
	return items
}

func classItems(n *Network) []item {
	var items []item
	for _, c := range n.classes {
		items = append(items, item{"class", c.name, label(c.label)})
	}
	return items
}

func pointItems(n *Network) []item {
	var items []item
	for _, p := range n.points {
		items = append(items, item{"toll_point", p.Name, fmt.Sprintf("%s %s, %s", p.Facility, p.Direction, label(p.label))})
	}
	return items
}

func versionItems(n *Network) []item {
	var items []item
	for _, v := range n.versions {
		items = append(items, item{"version", v.Name, "begins " + v.Begins.Format(time.RFC3339) + "; " + v.Source})
	}
	return items
}

func holidayItems(n *Network) []item {
	var items []item
	for _, h := range n.holidays {
		items = append(items, item{"holiday", h.Date, h.Name + "; " + h.Source})
	}
	return items
}

func label(l Label) string {
	if l.Zh == "" {
		return orNone(l.En)
	}
	return l.En + " / " + l.Zh
}

func diffItems(before, after []item) []ItemChange {
	var changes []ItemChange
	left := map[string]string{}
	for _, i := range after {
		left[i.name] = i.text
	}
	for _, i := range before {
		text, still := left[i.name]
		if !still || text != i.text {
			changes = append(changes, ItemChange{Kind: i.kind, Name: i.name, Old: i.text, New: text})
		}
		delete(left, i.name)
	}
	for _, i := range after {
		if _, added := left[i.name]; added {
			changes = append(changes, ItemChange{Kind: i.kind, Name: i.name, New: i.text})
		}
	}
	return changes
}

// diffTolls compares the plans in force, over the stretches of time between
// the instants at which either network changes one.
func diffTolls(before, after *Network) []TollChange {
	var pairs []pair
	seen := map[pair]bool{}
	for _, n := range []*Network{before, after} {
		for _, f := range n.facilities {
			for _, c := range n.classes {
				if p := (pair{f.Code, c.name}); !seen[p] {
					seen[p] = true
					pairs = append(pairs, p)
				}
			}
		}
	}
	points := map[string][]string{}
	for _, p := range after.points {
		points[p.Facility] = append(points[p.Facility], p.Name)
	}
	for _, p := range before.points {
		if _, still := after.pointIndex[p.Name]; !still {
			points[p.Facility] = append(points[p.Facility], p.Name)
		}
	}
	var changes []TollChange
	for _, p := range pairs {
		changes = append(changes, diffFacility(p, points[p.place], before, after)...)
	}
	return changes
}

// diffFacility compares the tolls at the toll points of a facility, and gives
// those of the facility where they differ alike. A toll point that only one
// network has is compared with its facility in the other: that it was added
// or removed is told by itself and changes no toll.
func diffFacility(p pair, points []string, before, after *Network) []TollChange {
	if len(points) == 0 {
		return diffPair(p.place, p.class, before.plans[p], after.plans[p], after.settings.zone)
	}
	atPoint := func(n *Network, point string) []plan {
		if plans, ok := n.plans[pair{point, p.class}]; ok {
			return plans
		}
		return n.plans[p]
	}
	type followed struct{ before, after *plan } // the first of the plans, nil if there are none
	first := func(plans []plan) *plan {
		if len(plans) == 0 {
			return nil
		}
		return &plans[0]
	}
	known := map[followed][]TollChange{} // toll points that follow the same rows need one look
	var alike, apart []TollChange
	differ := false
	for i, point := range points {
		was, is := atPoint(before, point), atPoint(after, point)
		key := followed{first(was), first(is)}
		if _, ok := known[key]; !ok {
			known[key] = diffPair(p.place, p.class, was, is, after.settings.zone)
		}
		if i == 0 {
			alike = known[key]
		}
		differ = differ || !reflect.DeepEqual(known[key], alike)
		for _, change := range known[key] {
			change.TollPoint = point
			apart = append(apart, change)
		}
	}
	if differ {
		return apart
	}
	return alike
}

func diffPair(facility, class string, before, after []plan, zone *time.Location) []TollChange {
	var instants []int64
	for _, plans := range [][]plan{before, after} {
		for _, plan := range plans {
			instants = append(instants, plan.begins)
		}
	}
	slices.Sort(instants)
	instants = slices.Compact(instants)
	var changes, running []TollChange // running: those of the stretch before, not yet ended
	var runningText string
	end := func(until string) {
		for i := range running {
			running[i].Until = until
		}
		changes = append(changes, running...)
		running, runningText = nil, ""
	}
	for _, instant := range instants {
		stretch := diffDays(inForce(before, instant), inForce(after, instant))
		if text := fmt.Sprint(stretch); text != runningText {
			from := time.Unix(instant, 0).In(zone).Format(time.RFC3339)
			end(from)
			for _, c := range stretch {
				c.Facility, c.Class, c.From = facility, class, from
				running = append(running, c)
			}
			runningText = text
		}
	}
	end("")
	return changes
}

func inForce(plans []plan, instant int64) *plan {
	i := sort.Search(len(plans), func(i int) bool { return plans[i].begins > instant })
	if i == 0 {
		return nil
	}
	return &plans[i-1]
}

// diffDays compares two plans, one of which may be missing, and names
// together the kinds of days that differ alike.
func diffDays(before, after *plan) []TollChange {
	var ranges [dayKinds][]MinuteRange
	for kind := range ranges {
		ranges[kind] = diffMinutes(before, after, kind)
	}
	var changes []TollChange
	var done [dayKinds]bool
	for kind := range ranges {
		if done[kind] || len(ranges[kind]) == 0 {
			continue
		}
		var alike [dayKinds]bool
		for other := kind; other < dayKinds; other++ {
			if slices.Equal(ranges[kind], ranges[other]) {
				alike[other], done[other] = true, true
			}
		}
		changes = append(changes, TollChange{Days: daysName(alike), Minutes: ranges[kind]})
	}
	return changes
}

// sameDay reports whether two kinds of day have the same amount in every
// minute: a walk over their slots, of which there are few.
func sameDay(a, b *day) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	for i, j := 0, 0; i < len(a.slots) && j < len(b.slots); {
		s, t := &a.slots[i], &b.slots[j]
		if s.toll.Cents != t.toll.Cents {
			return false
		}
		if s.until <= t.until {
			i++
		}
		if t.until <= s.until {
			j++
		}
	}
	return true
}

func diffMinutes(before, after *plan, kind int) []MinuteRange {
	if before != nil && after != nil && sameDay(before.days[kind], after.days[kind]) {
		return nil
	}
	var ranges []MinuteRange
	open := false
	for m := range minutesPerDay {
		was, is := amountAt(before, kind, m), amountAt(after, kind, m)
		if was == is {
			open = false
			continue
		}
		was2, is2 := amountText(was), amountText(is)
		if last := len(ranges) - 1; open && ranges[last].Old == was2 && ranges[last].New == is2 {
			ranges[last].Until = formatMinute(m + 1)
			continue
		}
		ranges = append(ranges, MinuteRange{From: formatMinute(m), Until: formatMinute(m + 1), Old: was2, New: is2})
		open = true
	}
	return ranges
}

const noAmount = -1

func amountAt(p *plan, kind, minute int) int64 {
	if p == nil || p.days[kind] == nil {
		return noAmount
	}
	d := p.days[kind]
	return d.slots[d.ofMinute[minute]].toll.Cents
}

func amountText(cents int64) string {
	if cents == noAmount {
		return "none"
	}
	return FormatAmount(cents)
}

// WriteText writes the difference for people.
func (d Difference) WriteText(w io.Writer) error {
	var b strings.Builder
	if d.Empty() {
		fmt.Fprintf(&b, "%s and %s do not differ\n", d.Old, d.New)
	}
	kind := ""
	for _, c := range d.Items {
		if c.Kind != kind {
			kind = c.Kind
			b.WriteString(map[string]string{"setting": "Settings", "facility": "Facilities", "class": "Classes", "toll_point": "Toll points", "version": "Versions", "holiday": "Holidays"}[kind] + "\n")
		}
		switch {
		case c.Old == "":
			fmt.Fprintf(&b, "  + %s: %s\n", c.Name, c.New)
		case c.New == "":
			fmt.Fprintf(&b, "  - %s: %s\n", c.Name, c.Old)
		default:
			fmt.Fprintf(&b, "  ~ %s: %s\n    %s  now %s\n", c.Name, c.Old, strings.Repeat(" ", len(c.Name)), c.New)
		}
	}
	if len(d.Tolls) > 0 {
		b.WriteString("Tolls in force\n")
	}
	for _, c := range d.Tolls {
		until := ""
		if c.Until != "" {
			until = " until " + c.Until
		}
		fmt.Fprintf(&b, "  %s %s, %s, from %s%s\n", cmp.Or(c.TollPoint, c.Facility), c.Class, c.Days, c.From, until)
		for _, m := range c.Minutes {
			fmt.Fprintf(&b, "    %s-%s  %s -> %s\n", m.From, m.Until, m.Old, m.New)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
