// Package tariff owns networks as data: facilities, toll points, units,
// classes, day types, holidays, tariff versions and their tolls, and the
// rating of one pass. See network.go for the file format.
//
// Invariants: money is whole smallest units (cents); a compiled network never
// changes; rating is pure and safe for concurrent use.
//
// It does not know accounts or passes, and does not fetch anything.
package tariff

import "time"

// Toll is the answer to a rating question: what a vehicle of a class owes at
// a facility at an instant, and why.
type Toll struct {
	// Cents is the toll in the currency's hundredths.
	Cents int64
	// Version names the tariff version that gave the amount.
	Version string
	// DayType names the day type of the local date, for instance "sun_gh".
	DayType string
	// Rule says in one line which row gave the amount.
	Rule string
}

// NoTariffError says that the network has no toll for a question, and why:
// before its first version, past its last known holiday year, or no row.
type NoTariffError struct {
	Facility, Class string
	At              time.Time
	Reason          string
}

func (e *NoTariffError) Error() string {
	return "no tariff for " + e.Class + " at " + e.Facility + " at " + e.At.Format(time.RFC3339) + ": " + e.Reason
}
