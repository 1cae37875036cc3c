// Package tolling owns the pass and the rules that make passes of sightings:
// sections 4.1 to 4.8 of the contract. It is pure: no clock, no store, no
// driver.
//
// The central property: a pass is the join of its sightings, and the join is
// commutative, associative and idempotent. Order, repetition, splitting and
// delay of reads therefore cannot change what a set of reads means. Anything
// added to Pass must keep that property; the property tests of this package
// check it.
//
// Not owned here: which vehicle a mark names (tolling/registry), prices
// (tolling/tariff), money (billing).
package tolling

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// Vehicle tells vehicles apart by plate or mark, never by account.
type Vehicle struct {
	// Name is the compared plate of a registered vehicle, or "tag:<HEX>",
	// or "plate:<PLATE>".
	Name string
	// Registered is true if the registry named the vehicle. A mark that is
	// unassigned before an instant and assigned after it is two vehicles,
	// also where both have the same name (class tags).
	Registered bool
}

// TagVehicle is the name of the vehicle known only by a tag.
func TagVehicle(tag string) string { return "tag:" + tag }

// PlateVehicle is the name of the vehicle known only by an unassigned plate.
func PlateVehicle(plate string) string { return "plate:" + plate }

// TollPoint is one direction of one facility.
type TollPoint struct {
	// Name is the toll point's name, for instance "CHT-N".
	Name string
	// Facility is the tunnel, road or gantry that the toll point belongs to.
	Facility string
	// Direction tells the facility's toll points apart: two toll points of
	// one facility with different directions are opposite.
	Direction string
}

// Status is what became of a pass, contract section 4.8.
type Status string

// The four ends of a pass.
const (
	Review  Status = "review"
	Exempt  Status = "exempt"
	Charged Status = "charged"
	Unpaid  Status = "unpaid"
)

// Holder is who answers for a vehicle at an instant.
type Holder struct {
	// Account is the account's id; empty if nobody pays for the vehicle.
	Account string
	// Class is the registered class; empty if it is to be taken as measured.
	Class string
	// Exempt vehicles owe nothing.
	Exempt bool
}

// Order is a read's place among the reads of a vehicle: by time, then unit,
// boot (absent first), sequence number, then class as text (absent last).
type Order struct {
	// Micros is the read's time: microseconds since the Unix epoch, UTC.
	Micros int64
	Unit   string
	Boot   string
	Seq    uint64
	// Class is the class as measured; empty if absent.
	Class string
}

// Compare returns -1, 0 or +1.
func (o Order) Compare(p Order) int {
	return cmp.Or(
		cmp.Compare(o.Micros, p.Micros),
		strings.Compare(o.Unit, p.Unit),
		strings.Compare(o.Boot, p.Boot),
		cmp.Compare(o.Seq, p.Seq),
		compareClass(o.Class, p.Class),
	)
}

func compareClass(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	default:
		return strings.Compare(a, b)
	}
}

// Sighting is one read as the rules see it: resolved to a vehicle.
type Sighting struct {
	Vehicle Vehicle
	// Point is the toll point's name.
	Point string
	Order Order
	// Holder is who answers for the vehicle at the read's time.
	Holder Holder
	// Strong: the read carried a tag that names the vehicle, or a plate that
	// names it with a confidence of at least 0.90 (rule 5).
	Strong bool
	// Conflict: tag and plate are assigned to vehicles with different plates
	// (rule 1).
	Conflict bool
	// Mark is the name of the own vehicle of an unassigned mark that the read
	// also carried and that does not name Vehicle (rule 7); empty if none.
	Mark string
}

// Pass is one vehicle's passage of one toll point: the join of its sightings.
type Pass struct {
	// ID is minted from the sighting that first made the pass and stays, also
	// when an earlier sighting comes late.
	ID      string
	Vehicle Vehicle
	Point   string
	// First and Last are the times of the earliest and the latest read.
	First, Last int64
	// Holder is who answered for the vehicle at First.
	Holder Holder
	// Measured is the place of the earliest read that measured a class;
	// Measured.Class is empty if none did.
	Measured Order
	Strong   bool
	Conflict bool
	// Marks are the distinct marks that its reads also carried (rule 7), sorted.
	Marks []string
	// SameCar: a pass whose reads carried this vehicle's mark came within the
	// gap (rule 7). Once true it stays: passes and their marks only grow.
	SameCar bool
}

// newPass makes the pass of a single sighting.
func newPass(s Sighting) *Pass {
	p := &Pass{
		ID:       mintID(s),
		Vehicle:  s.Vehicle,
		Point:    s.Point,
		First:    s.Order.Micros,
		Last:     s.Order.Micros,
		Holder:   s.Holder,
		Strong:   s.Strong,
		Conflict: s.Conflict,
	}
	if s.Order.Class != "" {
		p.Measured = s.Order
	}
	if s.Mark != "" {
		p.Marks = []string{s.Mark}
	}
	return p
}

// mintID derives a pass's id from the sighting that makes it. A repeat of the
// same log mints the same id; two standing passes cannot share one, because
// a pass covers the instant that it was minted from for ever, unless it is
// judged anew (see NextID).
func mintID(s Sighting) string {
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], uint64(s.Order.Micros))
	h := sha256.New()
	h.Write(buf[:])
	if s.Vehicle.Registered {
		h.Write([]byte{1})
	} else {
		h.Write([]byte{0})
	}
	h.Write([]byte(s.Point))
	h.Write([]byte{0})
	h.Write([]byte(s.Vehicle.Name))
	var sum [sha256.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0])[:16])
}

// NextID derives another id from one that is taken: passes that were judged
// anew keep their ids, and then cover another instant than the one that the id
// was minted from.
func NextID(id string) string {
	sum := sha256.Sum256([]byte("after " + id))
	return hex.EncodeToString(sum[:16])
}

// join takes into p what q knows, and reports whether that changed anything
// but Last. It is the least upper bound of the two: earliest First with its
// holder, latest Last, earliest measured class, and the union of the rest.
func (p *Pass) join(q *Pass) (changed bool) {
	if q.First < p.First {
		p.First, p.Holder = q.First, q.Holder
		changed = true
	}
	p.Last = max(p.Last, q.Last)
	if q.Measured.Class != "" && (p.Measured.Class == "" || q.Measured.Compare(p.Measured) < 0) {
		p.Measured = q.Measured
		changed = true
	}
	if q.Strong && !p.Strong {
		p.Strong, changed = true, true
	}
	if q.Conflict && !p.Conflict {
		p.Conflict, changed = true, true
	}
	if q.SameCar && !p.SameCar {
		p.SameCar, changed = true, true
	}
	for _, m := range q.Marks {
		if i, found := slices.BinarySearch(p.Marks, m); !found {
			// Clip: a clone of p may share the array.
			p.Marks = slices.Insert(slices.Clip(p.Marks), i, m)
			changed = true
		}
	}
	return changed
}

// Class returns the class that the pass is rated by: the registered one, else
// the earliest measured one, else "".
func (p *Pass) Class() string {
	if p.Holder.Class != "" {
		return p.Holder.Class
	}
	return p.Measured.Class
}

// Near reports whether two passes overlap or are at most gap apart.
func (p *Pass) Near(q *Pass, gap int64) bool {
	return q.First-p.Last <= gap && p.First-q.Last <= gap
}
