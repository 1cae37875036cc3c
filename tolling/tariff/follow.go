package tariff

import (
	"cmp"
	"slices"
)

// maxPlans bounds what toll points with rows of their own may spread to: each
// holds the plans of its facility beside its own.
const maxPlans = 1_000_000

// follow gives every place and class the plans that it follows, in order of
// time, from the compiled groups.
func (l *loader) follow(groups []*tollGroup) {
	n := l.n
	groups = slices.Clone(groups)
	slices.SortStableFunc(groups, func(a, b *tollGroup) int { return cmp.Compare(a.version, b.version) })
	given := map[pair][]plan{}
	for _, g := range groups {
		given[g.pair] = append(given[g.pair], plan{n.versions[g.version].Begins.Unix(), g.days})
	}
	points := map[string][]string{}
	for _, p := range n.points {
		points[p.Facility] = append(points[p.Facility], p.Name)
	}
	spread := 0
	for _, f := range n.facilities {
		for _, c := range n.classes {
			whole := given[pair{f.Code, c.name}]
			var own []plan // those of all toll points
			for _, p := range points[f.Code] {
				plans := given[pair{p, c.name}]
				if len(plans) == 0 {
					n.plans[pair{p, c.name}] = whole
					continue
				}
				if spread += len(whole) + len(plans); spread > maxPlans {
					l.bad.add(tollsFile, 0, "the rows spread to more than %d pairs of a toll point and a version; split the network", maxPlans)
					return
				}
				own = append(own, plans...)
				n.plans[pair{p, c.name}] = byTime(whole, plans)
			}
			if len(points[f.Code]) > 1 {
				// From the first row of one toll point on until the next of the
				// facility, its toll points follow different rows.
				for i := range own {
					own[i].days = [dayKinds]*day{}
				}
			}
			n.plans[pair{f.Code, c.name}] = byTime(whole, own)
		}
	}
}

// byTime joins plans in order of time. Two that begin at once are those of two
// toll points, of which one tells their facility enough: a version has rows of
// the facility or of its toll points, not both, and no two begin at once.
func byTime(some, others []plan) []plan {
	if len(others) == 0 {
		return some
	}
	plans := slices.Concat(some, others)
	slices.SortFunc(plans, func(a, b plan) int { return cmp.Compare(a.begins, b.begins) })
	return slices.CompactFunc(plans, func(a, b plan) bool { return a.begins == b.begins })
}
