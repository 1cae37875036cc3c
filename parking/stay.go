package parking

import "time"

// LaneEvent is a vehicle at an entry or exit lane, as the lane saw it. Lanes go
// on while the centre is away: events may come late, in any order and more than
// once; the stays are those that follow from the set of them.
type LaneEvent struct {
	// ID is made by the lane before it is first sent; the same id and content
	// again changes nothing.
	ID        string
	CarPark   string
	Lane      string
	Direction Direction
	// At is when it happened, by the lane's clock, cut to the microsecond.
	At time.Time
	// Tag and Plate in normal form; both empty for a driver with a ticket.
	Tag, Plate string
	// ConfidencePermille is how sure the plate is, in thousandths; 1000 where
	// the lane does not say.
	ConfidencePermille int
	Class              string
	// Ticket is the ticket that was issued or shown.
	Ticket string
	// Source is "reads" for the roadside's own way, else the caller's name.
	Source string
}

// Permille cuts a plate reader's confidence, from 0 to 1, to thousandths: never
// upwards, so that what is below a threshold stays there, and exactly where it
// has no more than three decimals.
func Permille(confidence float64) int {
	n := int(confidence*1000 + 0.5)
	if float64(n)/1000 > confidence {
		n--
	}
	return n
}

// StayState is where a stay stands.
type StayState string

// The states of a stay.
const (
	// Open: the vehicle is inside.
	Open StayState = "open"
	// Closed: it left, and what it owes is settled or has a debtor.
	Closed StayState = "closed"
	// Review: a person decides who pays, or when it came; no amount is posted
	// meanwhile.
	Review StayState = "review"
)

// How a stay is paid for.
const (
	// PaysAccount: the toll account of the tag or plate.
	PaysAccount = "account"
	// PaysCard: the account, but above its limit: by the means of payment that
	// fills the account up, not from its balance.
	PaysCard = "card"
	// PaysTicket: at a machine, or by plate or ticket afterwards.
	PaysTicket = "ticket"
	// PaysPass: a monthly pass or other right; the stay costs nothing more.
	PaysPass = "pass"
)

// Stay is one vehicle in one car park, from entry to exit.
type Stay struct {
	ID       string
	CarPark  string
	State    StayState
	Revision int64
	// Vehicle names it: the plate, "tag:" + tag, or "ticket:" + ticket.
	Vehicle    string
	Tag, Plate string
	Ticket     string
	Class      string
	// Account is who pays; empty if nobody is known. Means is one of the Pays
	// words.
	Account, Means string
	// EntryEvent and ExitEvent are lane events' ids; empty where the beginning
	// or end is the allocation's, or unknown.
	EntryEvent, ExitEvent string
	// Entry and Exit are the lanes' times; ClockFrom and ClockTo what is
	// charged for, by the site's rule. Zero where not known yet.
	Entry, Exit, ClockFrom, ClockTo time.Time
	Allocation                      string
	// TariffVersion is the version in force at entry, which is honoured.
	TariffVersion string
	Quote         string
	// AmountCents is what the stay costs in all, PaidCents what was paid at
	// machines or by plate. Both 0 while open (but PaidCents may come first).
	AmountCents, PaidCents int64
	Currency               string
	// Receipt is the itemised receipt, JSON.
	Receipt []byte
	// Flags are sorted short names of what is odd about it, for instance
	// "missing-entry", "exit-before-entry", "tag-and-plate-differ".
	Flags []string
	// ChargeRevision is the revision last ordered of the ledger; 0 none.
	ChargeRevision int64
	// By and Reason are set where a person decided.
	By, Reason string
	// Details are the cashier's own further facts of the stay (validations,
	// charging, payments), JSON.
	Details []byte
}
