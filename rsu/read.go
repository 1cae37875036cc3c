// Package rsu owns the read: what one roadside unit reports about one tag or
// plate at one instant, its normal form, what makes it acceptable, and its
// wire forms (JSON from units, protobuf on the log).
//
// Invariants: a Read that left Decode and Check is normalised (upper-case tag,
// compared form of the plate, time in whole microseconds, UTC); two reads are
// the same read if and only if the two Read values are equal.
//
// The package does not say which vehicle a read belongs to (tolling does) and
// does not keep reads.
package rsu

import "time"

// Read is one observation of a tag, a plate or both by a roadside unit.
// The zero value of an optional field means that it was absent.
// Read is comparable: equality is the identity of section 3 of the contract.
type Read struct {
	// Unit is the roadside unit's name, for instance "CHT-N-1".
	Unit string
	// Boot tells the unit's runs apart; empty if absent.
	Boot string
	// Seq counts up per unit and boot.
	Seq uint64
	// TimeMicros is the instant of the read: microseconds since the Unix
	// epoch, UTC.
	TimeMicros int64
	// Tag is the EPC in upper-case hex, whole bytes; empty if absent.
	Tag string
	// Plate is the plate in its compared form (NFKC, no white space or
	// hyphens, upper case); empty if absent.
	Plate string
	// Confidence is the plate reader's confidence, 0 to 1.
	Confidence Optional[float64]
	// Class is the vehicle class as measured; empty if absent.
	Class string
	// Antenna is the antenna's number.
	Antenna Optional[int64]
	// RSSI is the signal strength in dBm.
	RSSI Optional[float64]
	// Image is a reference to evidence kept elsewhere; empty if absent.
	Image string
}

// Optional is a value that may be absent. It is comparable if T is.
type Optional[T comparable] struct {
	Value   T
	Present bool
}

// Some returns a present value.
func Some[T comparable](v T) Optional[T] { return Optional[T]{Value: v, Present: true} }

// Time returns the instant of the read, in UTC.
func (r Read) Time() time.Time { return time.UnixMicro(r.TimeMicros).UTC() }

// Roadside is what the checks need to know of the network: which units stand
// at the road and which classes can be measured. Implementations are safe for
// concurrent use.
type Roadside interface {
	// TollPoint returns the toll point at which the unit stands, and its
	// facility; ok is false for an unknown unit.
	TollPoint(unit string) (tollPoint, facility string, ok bool)
	// KnowsClass reports whether the network has the vehicle class.
	KnowsClass(class string) bool
	// EarliestMicros is the first read time that the network takes,
	// microseconds since the Unix epoch: a unit whose clock is not set says
	// 1970 or 2000.
	EarliestMicros() int64
}

// UsualEarliest is 2020-01-01T00:00:00Z, the EarliestMicros of a network that
// does not name another.
const UsualEarliest = 1_577_836_800_000_000
