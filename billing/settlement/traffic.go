package settlement

import (
	"fmt"
	"slices"
	"strings"

	"freeflow/billing"
)

// Count is how many passes of one class there were in one direction on a day.
type Count struct {
	Day                        int64
	Facility, TollPoint, Class string
	// Direction is the toll point's; whoever knows the network sets it.
	Direction string
	Passes    int64
}

// Cordon is a set of facilities that are together the only ways across: who has
// gone across one way has to come back before going again. Where a set leaves a
// way out, an imbalance only hints.
type Cordon struct {
	Name       string
	Facilities []string
	// Fleet is how many vehicles of a class there are at most: as many may be on
	// the other side in the end. A class that is not named cannot be judged.
	Fleet map[string]int64
}

// AllClasses stands for all classes of a cordon together; its fleet is theirs,
// and it is judged where each class is.
const AllClasses = "*"

// Imbalance is what went across a cordon one way and the other.
type Imbalance struct {
	Cordon, Class string
	// One and Other are the two directions, in the order of their names.
	One, Other             string
	OnePasses, OtherPasses int64
	Fleet                  int64
	// Judged: a fleet is known. Flagged: the difference, at the end or on the way,
	// was more than the fleet could explain; Since is the first day of it.
	Judged, Flagged bool
	Since           int64
	// Most is the greatest difference on the way, either way.
	Most int64
}

// Net is how many more went one way than the other.
func (i Imbalance) Net() int64 { return i.OnePasses - i.OtherPasses }

// Balance audits cordons: vehicles are conserved, so that whatever a class's
// passes one way exceed those the other way by, since the beginning, cannot be
// more than there are vehicles. It says nothing of single days, and takes days in
// order. What set it off: from 2013 to 2022 more vehicles were counted across
// Hong Kong's harbour northbound than southbound, by 1.2 million in 2022 alone,
// and some 0.5 million double-deck buses in ten years; an outsider noticed
// (transitjam 2024-08-29). billing.ErrInvalid: a cordon has more than two
// directions.
func Balance(counts []Count, cordons []Cordon) ([]Imbalance, error) {
	counts = slices.Clone(counts)
	slices.SortStableFunc(counts, func(a, b Count) int { return int(a.Day - b.Day) })
	var list []Imbalance
	for _, c := range cordons {
		one, other, err := directions(counts, c)
		if err != nil {
			return nil, err
		}
		classes := map[string]*Imbalance{}
		get := func(class string) *Imbalance {
			if classes[class] == nil {
				fleet, known := c.Fleet[class]
				classes[class] = &Imbalance{Cordon: c.Name, Class: class, One: one, Other: other, Fleet: fleet, Judged: known && other != ""}
			}
			return classes[class]
		}
		total := get(AllClasses)
		total.Judged = other != ""
		for _, n := range counts {
			if slices.Contains(c.Facilities, n.Facility) && classes[n.Class] == nil {
				one := get(n.Class)
				total.Fleet, total.Judged = total.Fleet+one.Fleet, total.Judged && one.Judged
			}
		}
		for i, n := range counts {
			if slices.Contains(c.Facilities, n.Facility) {
				for _, sum := range []*Imbalance{get(n.Class), total} {
					if n.Direction == one {
						sum.OnePasses += n.Passes
					} else {
						sum.OtherPasses += n.Passes
					}
				}
			}
			if i+1 == len(counts) || counts[i+1].Day != n.Day {
				for _, sum := range classes {
					sum.close(n.Day)
				}
			}
		}
		for _, sum := range classes {
			list = append(list, *sum)
		}
	}
	for i := range list {
		if !list[i].Judged {
			list[i].Flagged, list[i].Since = false, 0
		}
	}
	slices.SortFunc(list, func(a, b Imbalance) int {
		return strings.Compare(a.Cordon+"\x00"+a.Class, b.Cordon+"\x00"+b.Class)
	})
	return list, nil
}

// close looks at the difference at a day's end.
func (i *Imbalance) close(day int64) {
	net := max(i.Net(), -i.Net())
	i.Most = max(i.Most, net)
	if net > i.Fleet && !i.Flagged {
		i.Flagged, i.Since = true, day
	}
}

func directions(counts []Count, c Cordon) (one, other string, err error) {
	var names []string
	for _, n := range counts {
		if slices.Contains(c.Facilities, n.Facility) && !slices.Contains(names, n.Direction) {
			names = append(names, n.Direction)
		}
	}
	slices.Sort(names)
	switch len(names) {
	case 0:
		return "", "", nil
	case 1:
		return names[0], "", nil
	case 2:
		return names[0], names[1], nil
	}
	return "", "", fmt.Errorf("%w: cordon %s has the directions %s, more than two; choose facilities that run the same way", billing.ErrInvalid, c.Name, strings.Join(names, ", "))
}
