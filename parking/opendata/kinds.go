package opendata

import (
	"slices"

	"freeflow/parking"
)

// kind is one of the specification's vehicle types.
type kind int

// The vehicle types in the specification's order.
const (
	privateCar kind = iota
	lightGoods
	heavyGoods
	container
	coach
	motorCycle
	kinds
)

// kindFacts are a type's name, its code in the raw files (with that of its
// accessible places) and the classes of the toll table that it stands for.
//
// The codes are those seen in vacancy_all.json of 2025-11-15. There is no class
// of ours for container vehicles, and no type of theirs for minibuses; the raw
// file has the code B, whose meaning is not published, so that it is not used.
var kindFacts = [kinds]struct {
	name, code, accessible string
	classes                []string
}{
	privateCar: {"privateCar", "P", "P_D", []string{"private_car"}},
	lightGoods: {"LGV", "L", "", []string{"lgv"}},
	heavyGoods: {"HGV", "H", "", []string{"hgv", "mgv"}},
	container:  {"CV", "T", "", nil},
	coach:      {"coach", "C", "", []string{"bus_single", "bus_double"}},
	motorCycle: {"motorCycle", "M", "", []string{"motorcycle"}},
}

func (k kind) String() string { return kindFacts[k].name }

// kindNamed returns the type of that name in the specification.
func kindNamed(name string) (kind, bool) {
	for k := range kinds {
		if kindFacts[k].name == name {
			return k, true
		}
	}
	return 0, false
}

// kindSet is a set of types.
type kindSet uint8

const allKinds = kindSet(1<<kinds - 1)

func (s kindSet) has(k kind) bool         { return s&(1<<k) != 0 }
func (s kindSet) with(k kind) kindSet     { return s | 1<<k }
func (s kindSet) meets(of *capacity) bool { return s&of.present != 0 }

// places are the bays of a site that one type can use.
type places struct {
	// class is the class that the type is counted by: of the type's classes the
	// one with the most bays, so that no bay is counted twice.
	class string
	// space are all of them, general those that need no permit, pool or
	// booking.
	space, general int
	ev, accessible int
}

// capacity is what is built at a site, by type. It is made once a definition.
type capacity struct {
	places  [kinds]places
	present kindSet
	heights []heightLimit
}

func capacityOf(c *parking.CarPark) *capacity {
	by := map[string]*places{}
	for i := range c.Bays {
		b := &c.Bays[i]
		for _, class := range b.Classes {
			p := by[class]
			if p == nil {
				p = &places{class: class}
				by[class] = p
			}
			p.count(b)
		}
	}
	out := &capacity{heights: heightsOf(c)}
	for k := range kinds {
		for _, class := range kindFacts[k].classes {
			if p := by[class]; p != nil && p.space > out.places[k].space {
				out.places[k] = *p
				out.present = out.present.with(k)
			}
		}
	}
	return out
}

func (p *places) count(b *parking.Bay) {
	p.space++
	if b.EV {
		p.ev++
	}
	if b.Accessible {
		p.accessible++
	}
	if !b.Accessible && b.Pool == "" {
		p.general++
	}
}

// believable reports whether the counts can be true of these places. What
// cannot is a fault of the source and is not passed on as a fact.
func (p *places) believable(f Free) bool {
	return f.General >= 0 && f.General <= p.general &&
		f.EV >= 0 && f.EV <= min(f.General, p.ev) &&
		f.Accessible >= 0 && f.Accessible <= p.accessible
}

// facilities are the specification's words for what the site has, in its
// order: those that the site states and those that follow from its bays.
func facilities(c *parking.CarPark, built *capacity) []string {
	stated := slices.Clone(c.Published.Facilities)
	for k := range kinds {
		if built.places[k].ev > 0 {
			stated = append(stated, "evCharger")
		}
		if built.places[k].accessible > 0 {
			stated = append(stated, "disabilities")
		}
	}
	return inOrder(stated, "evCharger", "disabilities", "unloading", "washing", "valet-parking")
}

// payments are the specification's words for the means of payment.
func payments(c *parking.CarPark) []string {
	return inOrder(c.Published.Payments, "cash", "octopus", "EPS", "visa", "master", "unionpay", "alipay", "autopay-station")
}

// inOrder returns the known words that are stated, each once: a word outside
// the specification would break a strict reader.
func inOrder(stated []string, known ...string) []string {
	var out []string
	for _, word := range known {
		if slices.Contains(stated, word) {
			out = append(out, word)
		}
	}
	return out
}
