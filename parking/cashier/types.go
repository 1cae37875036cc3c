package cashier

import (
	"context"
	"time"

	"freeflow/parking"
	"freeflow/parking/stay"
	"freeflow/parking/tariff"
)

// Identity is whom a tag and a plate name, and who answers for it.
type Identity = stay.Identity

// Payers knows the accounts' tags and plates.
type Payers interface {
	// Payer says whom the marks name as of the instant (contract section 4,
	// rule 1). Tag and plate are in normal form, either may be empty. That
	// nobody's account answers is no error. Safe for concurrent use.
	Payer(ctx context.Context, tag, plate string, at time.Time) (Identity, error)
}

// Sites knows car parks and their tariffs as they stand. Safe for concurrent
// use.
type Sites interface {
	CarPark(id string) (*parking.CarPark, bool)
	// Tariff returns the book of that id, the Tariff of a CarPark.
	Tariff(id string) (*tariff.Book, bool)
}

// Right is what a vehicle may do at a car park without paying anew.
type Right struct {
	// Permit is the id of a monthly permit of the tariff; empty for none.
	Permit string
	// Flags are lasting ones of the tariff's discounts, for instance
	// "disabled_permit" or "employee".
	Flags []string
}

// Rights knows who holds passes. Safe for concurrent use.
type Rights interface {
	// Right says what the vehicle of that name (a parking.Stay's Vehicle) may
	// do as of the instant of its entry.
	Right(ctx context.Context, carPark, vehicle string, at time.Time) (Right, error)
}

// Keep and Result are how every request that changes something is made and
// answered.
type (
	Keep[T any]   = parking.Keep[T]
	Result[T any] = parking.Result[T]
)

// Why a barrier opens or stays down.
const (
	WhyEnter      = "enter"
	WhyTakeTicket = "take-ticket"
	// WhyPaid: an account, pass or payment covers the stay.
	WhyPaid = "paid"
	// WhyDue: an amount is due first.
	WhyDue = "due"
	// WhyStaff: a person has to come; WhyReview: open, a person decides later.
	WhyStaff  = "staff"
	WhyReview = "review"
	// WhyLate: the event is so old that the vehicle is long gone; nothing to
	// be done at the lane.
	WhyLate = "late"
	// WhyRefused: the event itself is not acceptable; Err says why.
	WhyRefused = "refused"
)

// LaneResult tells a lane what became of one event and what to do.
type LaneResult struct {
	// Event is the event's id. Known: it was there already.
	Event string
	Known bool
	// Err is nil, or parking.ErrInvalid, ErrNotFound (no such car park or lane)
	// or ErrConflict (the id stands for other content), wrapped.
	Err error
	// Open says whether to open the barrier, Why one of the words above, and
	// Display what the driver reads; zero where no driver is there to read it
	// (WhyLate).
	Open    bool
	Why     string
	Display parking.Text
	// Stay is the id of the stay that the event belongs to.
	Stay  string
	State parking.StayState
	Flags []string
	// AmountCents is what the stay costs so far, DueCents what is to be paid
	// at the lane or a machine now.
	AmountCents, PaidCents, DueCents int64
	Currency                         string
	// PaysBy are the means that can pay, best first: "account", "card",
	// "pass", "machine", "plate", "ticket".
	PaysBy []string
}

// Bill is a stay and what is to be paid for it as of an instant.
type Bill struct {
	Stay parking.Stay
	// AsOf is the instant for which an open stay was priced.
	AsOf time.Time
	// Receipt is nil where there is no price: Problem then says why.
	Receipt *tariff.Receipt
	Problem string
	// TotalCents is the price, PaidCents what was paid at machines, by plate or
	// ticket; DueCents what is left to pay that way, and CreditCents what is to
	// be given back.
	TotalCents, PaidCents, DueCents, CreditCents int64
	Currency                                     string
	PaysBy                                       []string
	// LeaveBy is when the grace after the last payment ends; zero without one.
	LeaveBy time.Time
	// Payments, as they stand.
	Payments []Payment
}

// Due is what somebody who knows a plate or a ticket may know: that something
// is to be paid, and how much; no times, no bay, and nothing of a car whose
// account pays.
type Due struct {
	CarPark     string
	AmountCents int64
	Currency    string
	// GraceMinutes is how long after paying one may take to leave.
	GraceMinutes int
}

// PayRequest is money received.
type PayRequest struct {
	// Stay is the stay's id; or CarPark and Mark, a plate or ticket, name the
	// one that is due, as for Due.
	Stay, CarPark, Mark string
	// AmountCents is positive and at most what is due.
	AmountCents int64
	// Means is how, such as "machine", "octopus" or "card": lower-case letters,
	// digits and hyphens, at most 32.
	Means string
	// PaymentID is made by who takes the money: 1 to 128 bytes. The same again
	// with the same content changes nothing.
	PaymentID string
}

// Payment is one payment of a stay as it stands.
type Payment struct {
	ID          string    `json:"id"`
	At          time.Time `json:"at"`
	AmountCents int64     `json:"amount_cents"`
	Means       string    `json:"means"`
	// RefundedCents of it were given back.
	RefundedCents int64 `json:"refunded_cents,omitzero"`
}

// RefundRequest gives back what was paid too much.
type RefundRequest struct {
	Stay       string
	By, Reason string
}

// QuoteRequest asks for a price that binds.
type QuoteRequest struct {
	CarPark, Class string
	From, To       time.Time
	// EV: the car will charge all the time.
	EV bool
	// Flags of discounts, such as "disabled_permit".
	Flags []string
}

// Quote is a price that binds: whoever arrives with it before it expires and
// stays as asked pays no more.
type Quote struct {
	ID      string
	CarPark string
	tariff.Quote
}

// ValidationRequest is a merchant's word for a driver.
type ValidationRequest struct {
	// Stay, or CarPark and Mark, as in PayRequest.
	Stay, CarPark, Mark string
	// Code is one of the tariff's, Reference the merchant's own, given once a
	// stay.
	Code, Reference string
	By              string
}

// ChargingRequest says how far an EV's charging has come; zero instants are
// not yet. Each later word of the same Session replaces the earlier.
type ChargingRequest struct {
	Stay, CarPark, Mark       string
	Session                   string
	PlugIn, ChargeEnd, Unplug time.Time
	WattHours                 int64
}

// LostTicketRequest: a driver stands at the exit without a ticket.
type LostTicketRequest struct {
	CarPark string
	// Stay, if there is one already; else Plate or Ticket names the vehicle
	// for the new stay.
	Stay, Plate, Ticket string
	Class               string
	By, Reason          string
}

// ClaimRequest puts a right or flag on a stay, or takes it off.
type ClaimRequest struct {
	Stay string
	// Flags to set, such as "disabled_permit" or "unloading", and to take off.
	Set, Clear []string
	// Permit is the monthly permit that the vehicle holds; Pass is a pass of
	// the tariff bought now; Quote the quote that the driver accepted.
	Permit, Pass, Quote string
	By, Reason          string
}

// DecideRequest is a person's word on a stay.
type DecideRequest struct {
	Stay string
	// Kind is stay.ByAccount, Waived, Amount or Correct.
	Kind        string
	Account     string
	AmountCents int64
	Entry, Exit time.Time
	By, Reason  string
}

// Outage is a time during which a machine could not bring cars, so that the
// clock stood still for the cars in it.
type Outage struct {
	CarPark, Machine string
	From, To         time.Time
	By, Reason       string
}

// Evidence is everything a person needs who decides about a stay.
type Evidence struct {
	Bill        Bill
	Events      []parking.LaneEvent
	Allocations []parking.Allocation
	// Decisions are those that were made, oldest first.
	Decisions []stay.Decision
}

// Day is what a car park's till has to show for one day, in the site's zone. Of
// the stays that closed that day AmountCents = AccountCents + PaidCents +
// DueCents - CreditCents, to the cent.
type Day struct {
	CarPark  string
	From, To time.Time
	Currency string
	// Closed are the stays that left that day, by how they are paid.
	Closed []DayMeans
	// AmountCents is what they cost; AccountCents what accounts were charged,
	// PaidCents what payments have paid, DueCents what nobody has paid yet,
	// CreditCents what was paid too much and is to be given back.
	AmountCents, AccountCents, PaidCents, DueCents, CreditCents int64
	// Taken is what was taken that day, for whichever stays, by means.
	Taken []Taken
	// Open stays are still there, Review are those that a person decides.
	Open, Review int
	// Unposted orders of the ledger, of the oldest 10,000; -1 where it is not
	// known.
	Unposted int
}

// DayMeans is a line of Day; Means is one of the parking.Pays words.
type DayMeans struct {
	Means                                string
	Stays                                int
	AmountCents, AccountCents, PaidCents int64
}

// Taken is money taken by one means.
type Taken struct {
	Means    string
	Payments int
	// Cents were taken, RefundedCents of them given back since.
	Cents, RefundedCents int64
}
