package oracle

// vehicle tells vehicles apart: by plate or mark, and by whether the registry
// named it, for "a mark unassigned before an instant and assigned after it is
// two vehicles" (rule 1), also where both are called tag:X.
type vehicle struct {
	name       string
	registered bool
}

// registry answers what a plate or a tag is assigned to at an instant.
type registry struct {
	byPlate, byTag map[string][]Assignment
}

func newRegistry(rows []Assignment) registry {
	r := registry{byPlate: map[string][]Assignment{}, byTag: map[string][]Assignment{}}
	for _, a := range rows {
		if a.Plate != "" {
			r.byPlate[a.Plate] = append(r.byPlate[a.Plate], a)
		}
		if a.Tag != "" {
			r.byTag[a.Tag] = append(r.byTag[a.Tag], a)
		}
	}
	return r
}

// plate returns a row in force for the plate. Several rows may be in force at
// once (one per tag); they agree in account, class and exemption, so any does.
func (r registry) plate(plate string, at int64) (Assignment, bool) {
	return inForce(r.byPlate[plate], at)
}

// tag returns the row in force for the tag; at most one is.
func (r registry) tag(tag string, at int64) (Assignment, bool) {
	return inForce(r.byTag[tag], at)
}

func inForce(rows []Assignment, at int64) (Assignment, bool) {
	for _, a := range rows {
		if a.inForce(at) {
			return a, true
		}
	}
	return Assignment{}, false
}

// standing returns what the registry says of a registered vehicle at an
// instant: account, class and exemption.
func (r registry) standing(v vehicle, at int64) (a Assignment) {
	if !v.registered {
		return a
	}
	if tag, ok := cutPrefix(v.name, tagPrefix); ok {
		a, _ = r.tag(tag, at)
	} else {
		a, _ = r.plate(v.name, at)
	}
	return a
}

const (
	tagPrefix   = "tag:"
	platePrefix = "plate:"
)

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return s, false
}

// identity is what one read says about whose it is.
type identity struct {
	vehicle vehicle
	// conflict: tag and plate are both assigned, to vehicles with different
	// plates.
	conflict bool
	// tagNames: the read carried a tag, and that tag names the vehicle.
	tagNames bool
	// plateNames: the read carried a plate, and that plate names the vehicle.
	plateNames bool
	// beside is the vehicle of an unassigned mark that the read carried and
	// that does not name the read's vehicle; the zero value if there is none.
	beside vehicle
}

// identify is rule 1, with what rules 5 and 7 need to know of the same read.
func (r registry) identify(read Read) identity {
	var byTag, byPlate Assignment
	var tagAssigned, plateAssigned bool
	if read.Tag != "" {
		byTag, tagAssigned = r.tag(read.Tag, read.TimeMicros)
	}
	if read.Plate != "" {
		byPlate, plateAssigned = r.plate(read.Plate, read.TimeMicros)
	}
	classTag := tagAssigned && byTag.Plate == ""

	switch {
	case classTag:
		// "A tag assigned without a plate (a class tag) is the vehicle
		// tag:<HEX> [...], and beside a plate in one read it wins without
		// conflict", whether or not the plate is assigned. An assigned plate
		// is no unassigned mark, so rule 7 does not look at it.
		id := identity{vehicle: vehicle{tagPrefix + read.Tag, true}, tagNames: true}
		if read.Plate != "" && !plateAssigned {
			id.beside = vehicle{platePrefix + read.Plate, false}
		}
		return id

	case tagAssigned && plateAssigned:
		// "If both are assigned, to vehicles with different plates, the
		// vehicle is the plate's and the pass goes to review." In a conflict
		// the tag names another vehicle and the plate names this one.
		same := byTag.Plate == byPlate.Plate
		return identity{
			vehicle:    vehicle{byPlate.Plate, true},
			conflict:   !same,
			tagNames:   same,
			plateNames: true,
		}

	case tagAssigned:
		// "If one is assigned, it names the vehicle." An unassigned plate
		// beside it does not name the vehicle. (The plate cannot be the
		// vehicle's own: the row that assigns the tag assigns its plate too.)
		id := identity{vehicle: vehicle{byTag.Plate, true}, tagNames: true}
		if read.Plate != "" {
			id.beside = vehicle{platePrefix + read.Plate, false}
		}
		return id

	case plateAssigned:
		id := identity{vehicle: vehicle{byPlate.Plate, true}, plateNames: true}
		if read.Tag != "" {
			id.beside = vehicle{tagPrefix + read.Tag, false}
		}
		return id

	case read.Tag != "":
		// "If none is assigned, the vehicle is tag:<HEX>": the tag names it,
		// the plate beside it is an unassigned mark that does not.
		id := identity{vehicle: vehicle{tagPrefix + read.Tag, false}, tagNames: true}
		if read.Plate != "" {
			id.beside = vehicle{platePrefix + read.Plate, false}
		}
		return id

	default:
		// "[...] or without a tag plate:<PLATE>."
		return identity{vehicle: vehicle{platePrefix + read.Plate, false}, plateNames: true}
	}
}
