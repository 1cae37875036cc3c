package stay

import (
	"time"

	"freeflow/parking"
)

// Flags of a stay, as they stand in parking.Stay.Flags: what is odd about it.
const (
	// MissingEntry: it left, and nobody saw it come.
	MissingEntry = "missing-entry"
	// MissingExit: it came a second time, and nobody saw it leave.
	MissingExit = "missing-exit"
	// ExitBeforeEntry: by the lanes' clocks it left before it came; it is
	// taken to have left at once.
	ExitBeforeEntry = "exit-before-entry"
	// TagAndPlateDiffer: a read carried a tag and a plate that are assigned to
	// different vehicles.
	TagAndPlateDiffer = "tag-and-plate-differ"
	// WeakPlate: nothing names the vehicle but plates read without confidence.
	WeakPlate = "weak-plate"
	// Reentry: it was away for less than the tariff's minutes.
	Reentry = "reentry"
	// HeldAtExit: it stood at the exit more than once.
	HeldAtExit = "held-at-exit"
	// SameCarTwice: it was seen as two vehicles, by tag and by plate.
	SameCarTwice = "same-car-twice"
	// EntryByBay, ExitByBay: no lane saw it; the bay's times are taken.
	EntryByBay = "entry-by-bay"
	ExitByBay  = "exit-by-bay"
	// AcceptanceUnknown: the machine never said that it had taken the car in, so
	// that the clock began at the entry.
	AcceptanceUnknown = "acceptance-unknown"
	// Decided: a person decided. Reopened: what the person saw has changed.
	Decided  = "decided"
	Reopened = "reopened"
)

// Identity is whom a tag and a plate name as of an instant, and who answers for
// it: contract section 4, rule 1.
type Identity struct {
	// Vehicle is the plate of a registered vehicle, "tag:" + tag of a class tag
	// or an unassigned one, else the plate as read; empty without tag and plate.
	Vehicle string `json:"vehicle,omitempty"`
	// Registered says that tag or plate is assigned.
	Registered bool `json:"registered,omitzero"`
	// Account answers for the vehicle; empty if nobody's does. Business says
	// that it is not an individual's.
	Account  string `json:"account,omitempty"`
	Business bool   `json:"business,omitzero"`
	// Class is the registered class, empty if it is to be taken as measured.
	Class string `json:"class,omitempty"`
	// Exempt vehicles owe nothing.
	Exempt bool `json:"exempt,omitzero"`
	// ClassTag: the tag is one that is assigned without a plate.
	ClassTag bool `json:"class_tag,omitzero"`
	// ByTag: the tag names the vehicle, alone or together with the plate.
	ByTag bool `json:"by_tag,omitzero"`
	// Conflict: tag and plate are assigned to vehicles with different plates;
	// Vehicle is then the plate's.
	Conflict bool `json:"conflict,omitzero"`
}

// Sighting is a lane event and whom it names as of its time.
type Sighting struct {
	Event    parking.LaneEvent
	Identity Identity
}

// Berth is an allocation and whom its vehicle names as of AssignedAt.
type Berth struct {
	Allocation parking.Allocation
	Identity   Identity
	// Names are further names that its vehicle surely goes by, such as that of
	// its driver's ticket.
	Names []string
}

// Kinds of decisions.
const (
	// ByAccount: the account pays what the stay costs.
	ByAccount = "account"
	// Waived: nobody pays.
	Waived = "waive"
	// Amount: AmountCents is what the stay costs; Account pays, or a ticket
	// where it is empty.
	Amount = "amount"
	// Correct: only the times are put right; who pays is decided as ever.
	Correct = "correct"
)

// Decision is a person's word on a stay.
type Decision struct {
	// Anchor is the stay's Anchor when it was decided.
	Anchor string `json:"anchor"`
	Kind   string `json:"kind"`
	// Account and AmountCents as the kind says.
	Account     string `json:"account,omitempty"`
	AmountCents int64  `json:"amount_cents,omitzero"`
	// Entry and Exit put the times right; zero leaves them. UTC.
	Entry  time.Time `json:"entry,omitzero"`
	Exit   time.Time `json:"exit,omitzero"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	// Basis is the stay's Basis when it was decided: what the person saw.
	Basis string `json:"basis"`
}

// Rules are what of the rules a site decides, and the bounds.
type Rules struct {
	// ClockStart and ClockStop as in parking.CarPark.
	ClockStart, ClockStop string
	// ExitLanes says that the site has exit lanes; where it has none the bay's
	// end is the exit.
	ExitLanes bool
	// Inner are the lanes at machines' own gates behind other lanes of the same
	// direction.
	Inner map[string]bool
	// Reentry is how soon after an exit at that instant, by the tariff in force
	// at that entry, an entry continues the stay; nil is never.
	Reentry func(entry, exit time.Time) time.Duration
}

// Bounds of the rules.
const (
	// Duplicate is the longest gap between reads of one vehicle at one lane
	// that are one event (contract section 4, rule 2).
	Duplicate = 60 * time.Second
	// Skew is how far the clocks of two lanes may be apart; contract section 3
	// takes reads up to 5 minutes ahead.
	Skew = 5 * time.Minute
	// Held is how long after an exit the vehicle may show itself again at an
	// exit, without an entry between, and still be on the way out.
	Held = 30 * time.Minute
	// StrongPermille is the least confidence of a plate that names a vehicle
	// without a tag's support (contract section 4, rule 5).
	StrongPermille = 900
)

// Input is everything known of one vehicle, by all its names, at one car park,
// in any order, with any repetitions.
type Input struct {
	Rules     Rules
	Sightings []Sighting
	Berths    []Berth
	Decisions []Decision
}

// Visit is one time inside, of a stay that re-entries continue.
type Visit struct {
	EntryEvent, ExitEvent string
	// Entry and Exit are zero where not known, or not yet.
	Entry, Exit time.Time
	// Berth is the allocation whose times count for the visit: the last one in
	// a machine, else the last one; nil if there is none.
	Berth *parking.Allocation
}

// Stay is what follows of one stay, before its price.
type Stay struct {
	// Anchor is what the stay is known by: the id of its first entry event, else
	// of its exit event, else "bay:" + the allocation's id.
	Anchor string
	// Events and Allocations are the ids of all that belongs to it, sorted.
	Events, Allocations []string
	// Vehicle, Tag, Plate, Ticket and Class as in parking.Stay; Names are all
	// names that it went by, sorted.
	Vehicle, Tag, Plate, Ticket, Class string
	Names                              []string
	// Holder is who answered for it at the earliest sighting that names an
	// account, else at the earliest.
	Holder Identity
	// Visits in order; at least one.
	Visits []Visit
	// Open: it is inside.
	Open bool
	// Entry is the first visit's, Exit the last one's; ClockFrom and ClockTo
	// are what is charged for, by the site's rule. Zero where not known yet.
	Entry, Exit, ClockFrom, ClockTo time.Time
	// Berth is that of the last visit that has one.
	Berth *parking.Allocation
	// Flags are sorted.
	Flags []string
	// Review: a person has to decide, for what these flags say.
	Review bool
	// Decision is the last one, nil if there is none; Basis is a digest of what
	// a person sees who decides now.
	Decision *Decision
	Basis    string
}
