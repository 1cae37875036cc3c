package tariff

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// DayType names the kind of the local day of an instant: mon_fri, sat or
// sun_gh; "all" in a network whose tolls do not depend on the day, "unknown"
// for a day whose holidays the network does not know.
func (n *Network) DayType(at time.Time) string {
	if !n.calendar.needed {
		return "all"
	}
	day, _ := localMinute(at, n.settings.zone)
	if day < n.calendar.first || day > n.calendar.last {
		return "unknown"
	}
	return [dayKinds]string{weekday: "mon_fri", saturday: "sat", sundayOrHoliday: "sun_gh"}[n.calendar.kinds[day-n.calendar.first]]
}

// FirstChange returns the first instant from the given one on at which the
// tolls in force of two networks differ, by Diff; false if they never do. What
// the calendars do to tolls is not seen.
func FirstChange(before, after *Network, from time.Time) (at time.Time, changes bool) {
	for _, c := range diffTolls(before, after) {
		begins, err := time.Parse(time.RFC3339, c.From)
		if err != nil {
			continue // written by Diff itself
		}
		if c.Until != "" {
			if until, err := time.Parse(time.RFC3339, c.Until); err == nil && !until.After(from) {
				continue
			}
		}
		if begins.Before(from) {
			begins = from
		}
		if !changes || begins.Before(at) {
			at, changes = begins, true
		}
	}
	return at, changes
}

// Succession returns what forbids a network to take the place of another while
// the system runs, as problems of its files; none if it may. What decides which
// reads make a pass stays as it is, and so does what passes in the books refer
// to: name, zone, currency, gap_seconds, turn_round_seconds and earliest_read;
// lanes are not taken away, nor are classes, facilities and toll points, which
// do not move to another facility or direction either. A version of the same
// name has the same beginning and the same tolls: a version is never edited,
// a correction has a name of its own. The files of after tell the lines; nil
// leaves them out.
func Succession(before, after *Network, files Files) []Problem {
	var bad problems
	b, a := before.settings, after.settings
	same := func(key string, was, is any) {
		if was != is {
			bad.add(networkFile, files.line(networkFile, key), "%s is %v and was %v: a running system keeps it; put it back", key, is, was)
		}
	}
	same("name", b.name, a.name)
	same("zone", b.zone.String(), a.zone.String())
	same("currency", b.currency, a.currency)
	same("gap_seconds", b.gapSeconds, a.gapSeconds)
	same("turn_round_seconds", b.turnRoundSeconds, a.turnRoundSeconds)
	same("earliest_read", time.UnixMicro(b.earliestMicros).UTC(), time.UnixMicro(a.earliestMicros).UTC())
	if a.lanes < b.lanes {
		bad.add(networkFile, files.line(networkFile, "lanes"), "lanes is %d and was %d: units would be taken away; leave it or raise it", a.lanes, b.lanes)
	}
	for _, c := range before.classes {
		if !after.KnowsClass(c.name) {
			bad.add(classesFile, 0, "class %s is gone, and passes in the books have it; put it back (it need not have tolls in a new version)", c.name)
		}
	}
	for _, f := range before.facilities {
		if !slices.ContainsFunc(after.facilities, func(g Facility) bool { return g.Code == f.Code }) {
			bad.add(facilitiesFile, 0, "facility %s is gone, and passes in the books are at it; put it back", f.Code)
		}
	}
	for _, p := range before.points {
		switch q, ok := after.Point(p.Name); {
		case !ok:
			bad.add(pointsFile, 0, "toll point %s is gone, and passes in the books are at it; put it back", p.Name)
		case q != p.TollPoint:
			bad.add(pointsFile, files.line(pointsFile, p.Name), "toll point %s is at %s %s and was at %s %s; give the other place a toll point of its own",
				p.Name, q.Facility, q.Direction, p.Facility, p.Direction)
		}
	}
	sameVersions(before, after, files, &bad)
	return bad.list
}

// line returns the number of the first line that begins with the cells, 0 where
// there is none: the columns of a file may be in another order.
func (f Files) line(file string, cells ...string) int {
	prefix, n := strings.Join(cells, ",")+",", 0
	for line := range strings.Lines(string(f[file])) {
		if n++; strings.HasPrefix(line, prefix) {
			return n
		}
	}
	return 0
}

// sameVersions complains about versions that kept their name and not their
// tolls, once a version.
func sameVersions(before, after *Network, files Files, bad *problems) {
	for _, v := range before.versions {
		i := slices.IndexFunc(after.versions, func(w Version) bool { return w.Name == v.Name })
		if i < 0 {
			continue
		}
		if w := after.versions[i]; !w.Begins.Equal(v.Begins) {
			bad.add(versionsFile, files.line(versionsFile, v.Name), "version %s begins %s and was published with %s: a published version is never edited; give the change a version of its own name",
				v.Name, w.Begins.Format(time.RFC3339), v.Begins.Format(time.RFC3339))
			continue
		}
		if key, where := editedToll(before, after, v.Begins.Unix()); where != "" {
			line := files.line(tollsFile, v.Name, key.place, key.class)
			if point, ok := after.Point(key.place); ok && line == 0 {
				line = files.line(tollsFile, v.Name, point.Facility, key.class)
			}
			bad.add(tollsFile, line, "version %s was published with other tolls (%s): a published version is never edited; give the change a version of its own name", v.Name, where)
		}
	}
}

// editedToll finds one toll of the version that begins at the instant which the
// networks have differently, and says how; empty if there is none. A place or
// class that the older network does not have at all is no edit.
func editedToll(before, after *Network, begins int64) (where pair, how string) {
	own := func(plans []plan) *plan {
		i := slices.IndexFunc(plans, func(p plan) bool { return p.begins == begins })
		if i < 0 {
			return nil
		}
		return &plans[i]
	}
	places := make([]string, 0, len(before.facilities)+len(before.points))
	for _, f := range before.facilities {
		places = append(places, f.Code)
	}
	for _, p := range before.points {
		places = append(places, p.Name)
	}
	for _, place := range places {
		for _, c := range before.classes {
			key := pair{place, c.name}
			was, is := own(before.plans[key]), own(after.plans[key])
			if was == nil && is == nil {
				continue
			}
			if days := diffDays(was, is); len(days) > 0 {
				m := days[0].Minutes[0]
				return key, fmt.Sprintf("%s %s, %s %s-%s: %s was %s", place, c.name, days[0].Days, m.From, m.Until, m.New, m.Old)
			}
		}
	}
	return pair{}, ""
}
