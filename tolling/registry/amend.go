package registry

import (
	"cmp"
	"maps"
	"slices"
)

// foldAbove is how many marks an amended registry keeps beside the rows that it
// shares with the one before; with more, it gets maps of its own.
const foldAbove = 4096

// Amend returns the registry without the rows removed, which are found by all
// their fields but Line, and with those added. It shares what did not change,
// so that a small change of a large registry is cheap. Rows must have been
// checked; those to be removed that are not there count for nothing.
func (r *Registry) Amend(removed, added []Assignment, version int64) *Registry {
	next := &Registry{
		version: version, count: r.count,
		tags:   marks{r.tags.base, maps.Clone(r.tags.over)},
		plates: marks{r.plates.base, maps.Clone(r.plates.over)},
	}
	for i := range removed {
		a := removed[i]
		a.Line = 0
		gone := next.tags.drop(a.Tag, a)
		if next.plates.drop(a.Plate, a) || gone {
			next.count--
		}
	}
	for i := range added {
		a := added[i]
		next.tags.put(a.Tag, &a)
		next.plates.put(a.Plate, &a)
		next.count++
	}
	next.tags.fold()
	next.plates.fold()
	return next
}

func (m *marks) drop(mark string, a Assignment) bool {
	if mark == "" {
		return false
	}
	list := m.of(mark)
	// A file may give a row twice; it counts once, and goes at once.
	kept := slices.DeleteFunc(slices.Clone(list), func(b *Assignment) bool {
		row := *b
		row.Line = 0
		return row == a
	})
	if len(kept) == len(list) {
		return false
	}
	m.set(mark, kept)
	return true
}

func (m *marks) put(mark string, a *Assignment) {
	if mark == "" {
		return
	}
	list := append(slices.Clone(m.of(mark)), a)
	slices.SortStableFunc(list, byFrom)
	m.set(mark, list)
}

func (m *marks) set(mark string, list []*Assignment) {
	if m.over == nil {
		m.over = make(map[string][]*Assignment)
	}
	m.over[mark] = list
}

// fold makes one map of two when the one on top has grown.
func (m *marks) fold() {
	if len(m.over) <= max(foldAbove, len(m.base)/16) {
		return
	}
	base := maps.Clone(m.base)
	for mark, list := range m.over {
		if len(list) == 0 {
			delete(base, mark)
		} else {
			base[mark] = list
		}
	}
	m.base, m.over = base, nil
}

// Change is a row with the versions between which it held.
type Change struct {
	Assignment
	// Since is the version that put it in force; Until the one that ended it,
	// 0 if it holds.
	Since, Until int64
}

// Apply returns the registry as the changes after its version make it. They
// must be all, up to the version given.
func (r *Registry) Apply(changes []Change, version int64) *Registry {
	var removed, added []Assignment
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Since <= r.version && c.Until != 0:
			removed = append(removed, c.Assignment)
		case c.Since > r.version && c.Until == 0:
			added = append(added, c.Assignment)
		}
	}
	return r.Amend(removed, added, version)
}

// Undo is the opposite of Apply: the registry as it was at an earlier version.
// The changes must be all from there, or from before, to this registry's.
func (r *Registry) Undo(changes []Change, version int64) *Registry {
	var removed, added []Assignment
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Since <= version && c.Until > version:
			added = append(added, c.Assignment)
		case c.Since > version && c.Until == 0:
			removed = append(removed, c.Assignment)
		}
	}
	return r.Amend(removed, added, version)
}

// Span is a stretch of time [From, To) in microseconds since the Unix epoch; a
// To of 0 is without end.
type Span struct{ From, To int64 }

// Touched are the stretches of time over which marks mean something else than
// before, for each mark in order and apart.
type Touched struct{ Tags, Plates map[string][]Span }

// TouchedBy says what the changes after the registry's version mean: where any
// version since says of a mark something else than the one before it. A row
// that came and went again counts, because reads may have been resolved by it.
func (r *Registry) TouchedBy(changes []Change) Touched {
	t := Touched{Tags: map[string][]Span{}, Plates: map[string][]Span{}}
	tags, plates := map[string][]Change{}, map[string][]Change{}
	for i := range changes {
		c := changes[i]
		c.Line = 0
		if c.Tag != "" {
			tags[c.Tag] = append(tags[c.Tag], c)
		}
		if c.Plate != "" {
			plates[c.Plate] = append(plates[c.Plate], c)
		}
	}
	for tag, list := range tags {
		if spans := r.spans(r.tags.of(tag), list, meaningOfTag); len(spans) > 0 {
			t.Tags[tag] = spans
		}
	}
	for plate, list := range plates {
		if spans := r.spans(r.plates.of(plate), list, meaningOfPlate); len(spans) > 0 {
			t.Plates[plate] = spans
		}
	}
	return t
}

// meaning is what an assignment says of a mark.
type meaning struct {
	assigned              bool
	plate, account, class string
	exempt                bool
}

func meaningOfTag(a *Assignment) meaning {
	return meaning{true, a.Plate, a.Account, a.Class, a.Exempt}
}

func meaningOfPlate(a *Assignment) meaning { return meaning{true, "", a.Account, a.Class, a.Exempt} }

// spans compares the versions of one mark's rows with one another.
func (r *Registry) spans(before []*Assignment, changes []Change, means func(*Assignment) meaning) []Span {
	rows := slices.Clone(changes)
	for _, a := range before {
		row := *a
		row.Line = 0
		known := slices.ContainsFunc(changes, func(c Change) bool { return c.Since <= r.version && c.Assignment == row })
		if !known {
			rows = append(rows, Change{Assignment: row, Since: r.version})
		}
	}
	versions := []int64{r.version}
	var edges []int64
	for i := range rows {
		for _, v := range []int64{rows[i].Since, rows[i].Until} {
			if v > r.version {
				versions = append(versions, v)
			}
		}
		edges = append(edges, rows[i].FromMicros)
		if rows[i].ToMicros != 0 {
			edges = append(edges, rows[i].ToMicros)
		}
	}
	slices.Sort(versions)
	slices.Sort(edges)
	versions, edges = slices.Compact(versions), slices.Compact(edges)
	at := func(version, t int64) meaning {
		for i := range rows {
			c := &rows[i]
			if c.Since <= version && (c.Until == 0 || c.Until > version) && c.FromMicros <= t && !c.ends(t) {
				return means(&c.Assignment)
			}
		}
		return meaning{}
	}
	var spans []Span
	for i, from := range edges {
		differs := false
		for k := 1; k < len(versions) && !differs; k++ {
			differs = at(versions[k-1], from) != at(versions[k], from)
		}
		if !differs {
			continue
		}
		to := int64(0)
		if i+1 < len(edges) {
			to = edges[i+1]
		}
		if n := len(spans); n > 0 && spans[n-1].To == from {
			spans[n-1].To = to
		} else {
			spans = append(spans, Span{from, to})
		}
	}
	return spans
}

// Bounds returns the earliest and the latest instant touched, both included,
// no later than latest; ok is false if there is none.
func (t Touched) Bounds(latest int64) (from, to int64, ok bool) {
	for _, m := range []map[string][]Span{t.Tags, t.Plates} {
		for _, spans := range m {
			for _, s := range spans {
				if s.From > latest {
					continue
				}
				end := latest
				if s.To != 0 {
					end = min(latest, s.To-1)
				}
				if !ok {
					from, to, ok = s.From, end, true
				}
				from, to = min(from, s.From), max(to, end)
			}
		}
	}
	return from, to, ok
}

// Touches reports whether a read with the marks, either of which may be empty,
// at the instant means something else than before.
func (t Touched) Touches(tag, plate string, micros int64) bool {
	return tag != "" && covers(t.Tags[tag], micros) || plate != "" && covers(t.Plates[plate], micros)
}

func covers(spans []Span, micros int64) bool {
	i, found := slices.BinarySearchFunc(spans, micros, func(s Span, at int64) int { return cmp.Compare(s.From, at) })
	if found {
		return true
	}
	return i > 0 && (spans[i-1].To == 0 || spans[i-1].To > micros)
}
