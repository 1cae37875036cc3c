package parking

import (
	"context"
	"time"
)

// SpaceState is where a driver's request for a space in the city stands.
type SpaceState string

// The states of a request for a space.
const (
	// SpaceWaiting: no car park yet; the next round decides again.
	SpaceWaiting SpaceState = "waiting"
	// SpaceAssigned: the driver is sent to a car park until HeldUntil.
	SpaceAssigned SpaceState = "assigned"
	// SpaceArrived: the car has its bay there. Final.
	SpaceArrived SpaceState = "arrived"
	// SpaceWithdrawn: the driver gave up, or parked elsewhere. Final.
	SpaceWithdrawn SpaceState = "withdrawn"
	// SpaceExpired: the driver was assigned and did not come in time. Final.
	SpaceExpired SpaceState = "expired"
	// SpaceUnserved: no round found a place in time. Final.
	SpaceUnserved SpaceState = "unserved"
)

// Final reports whether nothing follows the state.
func (s SpaceState) Final() bool {
	return s != SpaceWaiting && s != SpaceAssigned
}

// SpacePlace is a car park as it looks to one driver.
type SpacePlace struct {
	CarPark    string `json:"car_park"`
	PriceCents int64  `json:"price_cents"`
	Currency   string `json:"currency,omitempty"`
	WalkMetres int64  `json:"walk_metres"`
	// Cost in millionths of the driver's own limits, 0 to 1,000,000.
	Cost int64 `json:"cost"`
}

// SpaceRequest is a driver under way who wants a space near a destination.
// Destination and plate are personal: the record is deleted some time after its
// end.
type SpaceRequest struct {
	ID       string
	State    SpaceState
	Revision int64

	// Vehicle as far as it is known; the plate may be empty.
	Vehicle Vehicle
	// Charger and Accessible ask for a bay with a charger, or for one for
	// holders of a disabled person's permit, and for no other.
	Charger, Accessible bool
	// LatE7 and LonE7 are the destination in degrees × 10⁷, WGS 84.
	LatE7, LonE7 int64
	StayMinutes  int
	// Arrives is when the driver expects to reach the car park.
	Arrives time.Time
	// MaxPriceCents and MaxWalkMetres are the driver's limits, LambdaPerMille
	// the weight of money against walking in thousandths.
	MaxPriceCents, MaxWalkMetres int64
	LambdaPerMille               int

	RequestedAt time.Time
	// ExpiresAt is until when a request that waits is decided on again.
	ExpiresAt time.Time
	EndedAt   time.Time

	// Place is where the driver is sent, nil before; it stays after the end.
	Place *SpacePlace
	// Next is where it would have been next, at the time of the assignment.
	Next *SpacePlace
	// Pool and Reservation are the right to a bay that is held for the driver;
	// empty where the place is only counted.
	Pool, Reservation string
	AssignedAt        time.Time
	// HeldUntil is when the assignment ends if the driver has not come.
	HeldUntil time.Time
	// Moves counts how often the driver was sent to a place of no higher cost.
	Moves int
	// Short says that the last round found fewer free bays at the place than
	// drivers who are sent there: others came without asking.
	Short bool
	// Why says how the present state came about, without marks of the vehicle.
	Why string
}

// SpaceRound is what one round decided, for operators.
type SpaceRound struct {
	// Number counts from 1 without gaps; one process holds each.
	Number int64
	At     time.Time
	// Drivers were decided on: Waiting are left waiting, Assigned new, Kept and
	// Moved had a place. Ended are those that arrived or ran out at this round.
	Drivers, Waiting, Assigned, Kept, Moved, Ended int
	// Short are drivers at car parks that report fewer free bays than are
	// assigned.
	Short int
	// Plans is how often it was planned anew since a place turned out not to be
	// there, at least 1.
	Plans int
	// CarParks are the drivers under way to each after the round, and how many
	// of them were sent there by it.
	CarParks map[string]SpaceCount
}

// SpaceCount counts drivers of one car park.
type SpaceCount struct {
	UnderWay int `json:"under_way"`
	Held     int `json:"held"`
	Sent     int `json:"sent"`
	Left     int `json:"left"`
}

// Spaces is the part of a transaction about requests for a space in the city.
type Spaces interface {
	// SpaceRequest returns one. ErrNotFound.
	SpaceRequest(ctx context.Context, id string) (SpaceRequest, error)
	// PutSpaceRequest adds or changes, as every Put. ErrStale.
	PutSpaceRequest(ctx context.Context, r SpaceRequest) error
	// LiveSpaceRequests returns those that have not ended, of a car park
	// (empty: of all, the waiting too), in order of RequestedAt, id.
	LiveSpaceRequests(ctx context.Context, carPark string, limit int) ([]SpaceRequest, error)
	// SpaceRequestOf returns the assigned request of the plate at the car park,
	// the earliest if there are several. ErrNotFound.
	SpaceRequestOf(ctx context.Context, carPark, plate string) (SpaceRequest, error)
	// ForgetSpaceRequests deletes at most limit requests that ended before the
	// instant, and says how many.
	ForgetSpaceRequests(ctx context.Context, before time.Time, limit int) (int64, error)
	// SpaceLoad says how many have not ended, and when the earliest of them was
	// made; the zero time where there is none.
	SpaceLoad(ctx context.Context) (live int, earliest time.Time, err error)
	// LastSpaceRounds returns the latest rounds, the last first.
	LastSpaceRounds(ctx context.Context, limit int) ([]SpaceRound, error)
	// PutSpaceRound adds the round after the last. ErrConflict where it is not:
	// another process held that one. All but the latest keep are deleted.
	PutSpaceRound(ctx context.Context, r SpaceRound, keep int) error
}
