// Package tolling owns the pass and the rules that make passes of sightings:
// sections 4.1 to 4.8 of the contract. It is pure: no clock, no store, no
// driver.
//
// The central property: a pass is the join of its sightings, and the join is
// commutative, associative and idempotent. Order, repetition, splitting and
// delay of reads therefore cannot change what a set of reads means. Anything
// added to Pass must keep that property; the property test in this package
// checks it.
//
// Not owned here: which vehicle a mark names (tolling/registry), prices
// (tolling/tariff), money (billing).
package tolling

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
