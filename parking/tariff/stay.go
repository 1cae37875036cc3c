package tariff

import "time"

// Stay is what is to be rated. Instants are cut to the second; a zero instant
// is one that is not known or did not happen.
type Stay struct {
	// ID is named in errors and comparisons; the rating does not use it.
	ID    string
	Class string
	Entry time.Time
	Exit  time.Time
	// EntryUnknown says that the ticket is lost or the plate was missed at the
	// entry: the tariff's lost ticket fee is due, or there is an error. When
	// the entry is found later, rate again: Receipt.CreditCents is what is to
	// be given back.
	EntryUnknown bool
	// Flags are what discounts and grace periods ask for (disabled_permit,
	// employee, ...), and "unloading". Those that no rule asks for do nothing.
	Flags []string
	// Earlier are former visits that this one may continue, in any order; the
	// tariff's ReentryMinutes decides. Payments for them belong in Payments.
	Earlier []Interval
	// Paused is when the clock stood still: a broken lift, an evacuation.
	Paused []Interval
	// Machine are the times of a mechanical car park, nil in others.
	Machine *Machine
	EV      *EVSession
	// Validations are merchants' validations, each of a code of the tariff.
	Validations []Validation
	// Passes are the passes bought for this stay.
	Passes []BoughtPass
	// Permit is the id of the monthly permit that the vehicle holds throughout.
	Permit string
	// Permits are those that it holds for a time, of which only what lies within
	// the stay counts.
	Permits []HeldPermit `json:",omitempty"`
	// Payments are what was paid so far.
	Payments []Payment
	// Reserved says that the stay was booked; NoShow that the booked vehicle
	// never came: only the fees are due then, by the tariff at Entry, the
	// booked time.
	Reserved, NoShow bool
	// Version pins the tariff's version; empty takes the one in force at the
	// entry. Store a receipt's TariffVersion with an open stay.
	Version string
	// Quote, if the driver accepted one, and when; without QuoteAccepted the
	// entry counts.
	Quote         *Quote
	QuoteAccepted time.Time
}

// Interval is [Start, End).
type Interval struct{ Start, End time.Time }

// Machine are the instants at which a mechanical car park had the car.
type Machine struct {
	// Accepted is when the car was taken into the machine.
	Accepted time.Time
	// Requested is when it was asked back, Promised when it was promised, Ready
	// when it stood at the gate; not ready yet if zero.
	Requested, Promised, Ready time.Time
}

// EVSession is one charging session of the stay. A zero ChargeEnd or Unplug is
// the exit. WattHours count only in a tariff that charges by energy.
type EVSession struct {
	PlugIn, ChargeEnd, Unplug time.Time
	WattHours                 int64
}

// Validation is a merchant's word for the driver. Reference is the merchant's
// and stands on the receipt.
type Validation struct{ Code, Reference string }

// BoughtPass is a pass of the tariff bought at an instant; zero is the entry.
type BoughtPass struct {
	ID string
	At time.Time
}

// HeldPermit is a monthly permit of the tariff that holds within [From, To).
type HeldPermit struct {
	ID       string
	From, To time.Time
}

// Payment is an amount paid for the stay. Cents is not negative.
type Payment struct {
	At        time.Time
	Cents     int64
	Reference string
}

// Bounds on a stay: what is beyond them is a mistake of the caller, and would
// be dear to rate.
const (
	maxStaySeconds = 1100 * secondsPerDay
	maxIntervals   = 1000
	maxStayList    = 200
)
