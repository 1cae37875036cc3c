// Package registry owns the assignments of tags and plates to vehicles and
// accounts over time, the file they come in (registry.csv, contract section
// 5), and rule 1: which vehicle a read names.
//
// Invariants of a Registry: it never changes once made; one tag is never
// assigned twice at an instant; all rows of one plate at an instant agree in
// account, class and exemption. Looking up is safe for concurrent use.
//
// It does not keep itself up to date; Current does, from wherever the rows are
// stored.
package registry

import (
	"cmp"
	"slices"
	"sort"

	"freeflow/rsu"
	"freeflow/tolling"
)

// StrongConfidence is the least confidence of a plate that names a vehicle
// without a tag's support (rule 5).
const StrongConfidence = 0.90

// Assignment is one row: over [FromMicros, ToMicros) the plate, the tag or
// both name a vehicle of the account. Plate and Tag are in their compared
// forms, at least one is set.
type Assignment struct {
	Account, Plate, Class, Tag string
	// FromMicros is inclusive; ToMicros exclusive, 0 meaning without end:
	// microseconds since the Unix epoch, UTC.
	FromMicros, ToMicros int64
	Exempt               bool
	// Source says who keeps the row; empty for a file's.
	Source string
	// Line is the line of the file that the row came from, 0 if none.
	Line int
}

func (a *Assignment) holder() tolling.Holder {
	return tolling.Holder{Account: a.Account, Class: a.Class, Exempt: a.Exempt}
}

// ends reports whether the assignment is over at the instant t.
func (a *Assignment) ends(t int64) bool { return a.ToMicros != 0 && a.ToMicros <= t }

// Registry answers who a mark named at an instant.
type Registry struct {
	version int64
	count   int
	tags    marks // disjoint, by FromMicros
	plates  marks // by FromMicros; overlapping ones agree
}

// marks are the rows of each mark. Registries that were amended from one
// another share base, which is large, and have an over of their own, which
// takes the place of base for the marks in it.
type marks struct{ base, over map[string][]*Assignment }

func (m marks) of(mark string) []*Assignment {
	if len(m.over) > 0 {
		if list, ok := m.over[mark]; ok {
			return list
		}
	}
	return m.base[mark]
}

// New makes a registry of rows that have been checked (see Parse). Its version
// is 0; see WithVersion.
func New(rows []Assignment) *Registry {
	r := &Registry{
		count:  len(rows),
		tags:   marks{base: make(map[string][]*Assignment, len(rows))},
		plates: marks{base: make(map[string][]*Assignment, len(rows))},
	}
	for i := range rows {
		a := &rows[i]
		if a.Tag != "" {
			r.tags.base[a.Tag] = append(r.tags.base[a.Tag], a)
		}
		if a.Plate != "" {
			r.plates.base[a.Plate] = append(r.plates.base[a.Plate], a)
		}
	}
	for _, m := range []marks{r.tags, r.plates} {
		for _, list := range m.base {
			if len(list) > 1 {
				slices.SortStableFunc(list, byFrom)
			}
		}
	}
	return r
}

func byFrom(a, b *Assignment) int { return cmp.Compare(a.FromMicros, b.FromMicros) }

// Len returns the number of rows.
func (r *Registry) Len() int { return r.count }

// Version returns the version that the registry has in the books; 0 if it has
// none.
func (r *Registry) Version() int64 { return r.version }

// WithVersion returns the same registry under a version.
func (r *Registry) WithVersion(version int64) *Registry {
	other := *r
	other.version = version
	return &other
}

// tagAt returns the tag's assignment at t, nil if it is unassigned then.
func (r *Registry) tagAt(tag string, t int64) *Assignment {
	list := r.tags.of(tag)
	i := sort.Search(len(list), func(i int) bool { return list[i].FromMicros > t })
	if i == 0 || list[i-1].ends(t) {
		return nil
	}
	return list[i-1]
}

// plateAt returns one of the plate's assignments at t, nil if there is none.
// Which one does not matter: they agree in all that is asked of them.
func (r *Registry) plateAt(plate string, t int64) *Assignment {
	list := r.plates.of(plate)
	i := sort.Search(len(list), func(i int) bool { return list[i].FromMicros > t })
	for i--; i >= 0; i-- {
		if !list[i].ends(t) {
			return list[i]
		}
	}
	return nil
}

// Resolve applies rule 1 to a read at a toll point: which vehicle it names, who
// answers for it at the read's time, and what the read says for rules 5 and 7.
func (r *Registry) Resolve(read rsu.Read, point string) tolling.Sighting {
	s := tolling.Sighting{
		Point: point,
		Order: tolling.Order{
			Micros: read.TimeMicros, Unit: read.Unit, Boot: read.Boot, Seq: read.Seq, Class: read.Class,
		},
	}
	strongPlate := read.Plate != "" && (!read.Confidence.Present || read.Confidence.Value >= StrongConfidence)
	var tag, plate *Assignment
	if read.Tag != "" {
		tag = r.tagAt(read.Tag, read.TimeMicros)
	}
	if read.Plate != "" {
		plate = r.plateAt(read.Plate, read.TimeMicros)
	}
	switch {
	case tag != nil && tag.Plate == "": // a class tag wins without conflict
		s.Vehicle = tolling.Vehicle{Name: tolling.TagVehicle(read.Tag), Registered: true}
		s.Holder = tag.holder()
		s.Strong = true
		if read.Plate != "" && plate == nil {
			s.Mark = tolling.PlateVehicle(read.Plate)
		}
	case tag != nil && (plate == nil || plate.Plate == tag.Plate):
		s.Vehicle = tolling.Vehicle{Name: tag.Plate, Registered: true}
		s.Holder = tag.holder()
		s.Strong = true
		if read.Plate != "" && plate == nil {
			s.Mark = tolling.PlateVehicle(read.Plate)
		}
	case plate != nil: // alone, beside an unassigned tag, or against the tag
		s.Vehicle = tolling.Vehicle{Name: plate.Plate, Registered: true}
		s.Holder = plate.holder()
		s.Strong = strongPlate
		s.Conflict = tag != nil
		if read.Tag != "" && tag == nil {
			s.Mark = tolling.TagVehicle(read.Tag)
		}
	case read.Tag != "":
		s.Vehicle = tolling.Vehicle{Name: tolling.TagVehicle(read.Tag)}
		s.Strong = true
		if read.Plate != "" {
			s.Mark = tolling.PlateVehicle(read.Plate)
		}
	default:
		s.Vehicle = tolling.Vehicle{Name: tolling.PlateVehicle(read.Plate)}
		s.Strong = strongPlate
	}
	return s
}
