package parking

import "time"

// ReservationState is where a reservation stands.
type ReservationState string

// The states of a reservation.
const (
	// Held: the place is kept until ExpiresAt, for the driver to confirm.
	Held ReservationState = "held"
	// Confirmed: the place is the driver's from Start on.
	Confirmed ReservationState = "confirmed"
	// CheckedIn: the driver arrived and has a bay. Final.
	CheckedIn ReservationState = "checked_in"
	// Expired: it was not confirmed in time. Final.
	Expired ReservationState = "expired"
	// CancelledByDriver or by staff. Final.
	ReservationCancelled ReservationState = "cancelled"
	// NoShow: the driver did not come until NoShowAfter. Final.
	NoShow ReservationState = "no_show"
)

// Reservation is a right to one bay of a pool over [Start, End), bound to a bay
// on arrival.
type Reservation struct {
	ID       string
	CarPark  string
	Pool     string
	State    ReservationState
	Revision int64
	Vehicle  Vehicle
	// Account is the motorist's; may be empty.
	Account    string
	Start, End time.Time
	// ExpiresAt is when a hold ends, NoShowAfter when a confirmed reservation
	// lapses. Both are stored; no timer has to survive for them to hold.
	ExpiresAt, NoShowAfter time.Time
	CreatedAt, EndedAt     time.Time
	// Allocation is the bay on arrival.
	Allocation string
	// Quote is the price that binds, by its id; may be empty.
	Quote string
}

// Counts reports whether the reservation takes a place of its pool at the
// instant: a hold until it expires, a confirmed one until it lapses. One that
// was checked in counts by its allocation.
func (r *Reservation) Counts(at time.Time) bool {
	switch r.State {
	case Held:
		return at.Before(r.ExpiresAt)
	case Confirmed:
		return at.Before(r.NoShowAfter)
	default:
		return false
	}
}
