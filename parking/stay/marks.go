package stay

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"freeflow/parking"
)

// TagName and TicketName are what a vehicle known by that alone is called.
func TagName(tag string) string { return "tag:" + tag }

// TicketName is the name of whoever holds the ticket.
func TicketName(ticket string) string { return "ticket:" + ticket }

// marks are the names that something goes by.
type marks struct {
	strong, weak []string
	// tagged: a tag is among them, so that a weak plate does not count.
	tagged bool
}

func (m *marks) add(o marks) {
	for _, n := range o.strong {
		m.strong = insert(m.strong, n)
	}
	for _, n := range o.weak {
		m.weak = insert(m.weak, n)
	}
	m.tagged = m.tagged || o.tagged
}

// insert adds to a sorted set.
func insert(set []string, s string) []string {
	i, found := slices.BinarySearch(set, s)
	if found {
		return set
	}
	return slices.Insert(set, i, s)
}

// all returns every name once, sorted.
func (m *marks) all() []string {
	names := slices.Clone(m.strong)
	for _, n := range m.weak {
		names = insert(names, n)
	}
	return names
}

// The strengths of a link.
const (
	apart = iota
	weakly
	strongly
)

// link says how surely two sets of marks are one vehicle's (rule 2).
func link(a, b *marks) int {
	if share(a.strong, b.strong) {
		return strongly
	}
	if !a.tagged && share(a.weak, b.strong) || !b.tagged && share(a.strong, b.weak) ||
		!a.tagged && !b.tagged && share(a.weak, b.weak) {
		return weakly
	}
	return apart
}

func share(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { _, found := slices.BinarySearch(b, s); return found })
}

// marksOf are the names of a read.
func marksOf(tag, plate, ticket string, permille int, id Identity) marks {
	var m marks
	if tag != "" {
		m.strong, m.tagged = insert(m.strong, TagName(tag)), true
		if id.ByTag && id.Vehicle != "" {
			m.strong = insert(m.strong, id.Vehicle)
		}
	}
	if ticket != "" {
		m.strong = insert(m.strong, TicketName(ticket))
	}
	if plate != "" {
		if permille >= StrongPermille || id.ByTag && id.Vehicle == plate {
			m.strong = insert(m.strong, plate)
		} else {
			m.weak = insert(m.weak, plate)
		}
	}
	return m
}

// Names are all names that a read with these marks goes by, sorted.
func Names(tag, plate, ticket string, id Identity) []string {
	m := marksOf(tag, plate, ticket, 0, id)
	return m.all()
}

// witness is one sighting of a vehicle, by a lane or by whoever gave the bay.
type witness struct {
	at                        time.Time
	id                        string
	tag, plate, ticket, class string
	// strong: the plate was read surely, or the tag names the vehicle.
	strong   bool
	identity Identity
}

func compareWitness(a, b witness) int {
	return cmp.Or(a.at.Compare(b.at), strings.Compare(a.id, b.id))
}

// passage is what the walk goes over: all reads of one vehicle at one lane that
// are one event, or the beginning or end of an allocation.
type passage struct {
	kind      int
	first     time.Time
	last      time.Time
	lane      string
	id        string
	events    []string
	witnesses []witness
	marks     marks
	berth     *parking.Allocation
}

// Kinds of passages; their order is that of what happens at one instant.
const (
	bayOut = iota
	laneOut
	bayIn
	laneIn
	// inner is a machine's own gate behind other lanes.
	inner
)

func comparePassages(a, b *passage) int {
	return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.kind, b.kind), strings.Compare(a.id, b.id))
}

// passages makes the passages of the input, in order.
func passages(in *Input) []*passage {
	all := lanePassages(in)
	seen := map[string]bool{}
	for i := range in.Berths {
		b := &in.Berths[i]
		a := &b.Allocation
		if seen[a.ID] || a.State == parking.Cancelled || a.State == parking.Blocked || a.AssignedAt.IsZero() {
			continue
		}
		seen[a.ID] = true
		v := a.Vehicle
		m := marksOf(v.Tag, v.Plate, "", 1000, b.Identity)
		for _, n := range b.Names {
			m.strong = insert(m.strong, n)
		}
		in := &passage{kind: bayIn, first: a.AssignedAt, last: a.AssignedAt, id: BayAnchor(a.ID), marks: m, berth: a}
		in.witnesses = []witness{{
			at: a.AssignedAt, id: in.id, tag: v.Tag, plate: v.Plate, class: v.Class, strong: true, identity: b.Identity,
		}}
		all = append(all, in)
		if a.State == parking.Gone && !a.EndedAt.IsZero() {
			all = append(all, &passage{kind: bayOut, first: a.EndedAt, last: a.EndedAt, id: in.id, marks: m, berth: a})
		}
	}
	slices.SortFunc(all, comparePassages)
	return all
}

// BayAnchor is the anchor of a stay that only an allocation knows of.
func BayAnchor(allocation string) string { return "bay:" + allocation }

// lanePassages joins the reads of one vehicle at one lane (rule 3).
func lanePassages(in *Input) []*passage {
	singles := make([]*passage, 0, len(in.Sightings))
	seen := map[string]bool{}
	for i := range in.Sightings {
		s := &in.Sightings[i]
		e := &s.Event
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		p := &passage{
			kind: laneIn, first: e.At, last: e.At, lane: e.Lane, id: e.ID, events: []string{e.ID},
			marks: marksOf(e.Tag, e.Plate, e.Ticket, e.ConfidencePermille, s.Identity),
		}
		if e.Direction == parking.Out {
			p.kind = laneOut
		}
		if in.Rules.Inner[e.Lane] {
			p.kind = inner
		}
		p.witnesses = []witness{{
			at: e.At, id: e.ID, tag: e.Tag, plate: e.Plate, ticket: e.Ticket, class: e.Class,
			strong:   s.Identity.ByTag || e.Plate != "" && e.ConfidencePermille >= StrongPermille,
			identity: s.Identity,
		}}
		singles = append(singles, p)
	}
	slices.SortFunc(singles, comparePassages)
	// Each read is joined with every passage at its lane that it follows by at
	// most Duplicate and shares a name with; a read that knows two names joins
	// two passages.
	var done []*passage
	for _, p := range singles {
		at, whole := p.first, p
		kept := make([]*passage, 0, len(done)+1)
		for _, q := range done {
			if q.lane == p.lane && q.kind == p.kind && at.Sub(q.last) <= Duplicate && link(&q.marks, &whole.marks) != apart {
				whole.take(q)
				continue
			}
			kept = append(kept, q)
		}
		done = append(kept, whole)
	}
	return done
}

// take joins q into p.
func (p *passage) take(q *passage) {
	if comparePassages(q, p) < 0 {
		p.first, p.id = q.first, q.id
	}
	if q.last.After(p.last) {
		p.last = q.last
	}
	p.events = append(p.events, q.events...)
	p.witnesses = append(p.witnesses, q.witnesses...)
	p.marks.add(q.marks)
}
