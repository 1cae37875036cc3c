// Package city owns the assignment of drivers under way to car parks of a
// city: what a driver asks for, what a place costs him in money and walking
// over his own limits, and which plan for all of them together costs least
// (after Geng and Cassandras, IEEE ITSC 2011 and T-ITS 2013).
//
// Invariants: no plan puts more drivers into a car park than it has free bays
// of their kind; nobody is sent where his limits on price, walking or height,
// or his kind of bay, forbid; nobody who holds a reservation loses it or gets a
// place of higher cost; a plan's total is the least there is, proved by the
// prices of the dual problem before the plan is returned; the same batch gives
// the same plan, in whatever order its drivers and car parks are listed.
// Prices are whole cents, costs whole millionths, and neither is ever a float.
//
// Not promised: that a plan stays best when later drivers come (a round knows
// only those who have asked), that the bays reported free are free, or any road
// distance: walking is the straight line times a factor unless a Walker is
// given. Driving time is no part of the cost.
package city

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of a batch. Greater ones are refused, not cut: whoever cuts must know
// whom. MaxDrivers also keeps the solver's sums within an int64.
const (
	MaxDrivers  = 1000
	MaxCarParks = 500
	// MaxCents and MaxMetres bound every price and every walk, so that the
	// products in a cost stay within an int64.
	MaxCents  = int64(10_000_000)
	MaxMetres = int64(100_000)
	// MaxStayMinutes is 31 days.
	MaxStayMinutes = 31 * 24 * 60
	maxID          = 128
)

// OutsideCost is the cost of a driver without a place: 1, in millionths. No
// feasible place costs more, as price and walk are within the driver's limits.
const OutsideCost = int64(1_000_000)

// MaxWaitingCost is the most that a batch may let waiting cost: 1000.
const MaxWaitingCost = 1000 * OutsideCost

// Errors of Assign and of the greedy methods. ErrTooLarge: more drivers or car
// parks than the bounds. ErrBatch: a driver or car park that makes no sense,
// named in the message.
var (
	ErrTooLarge = errors.New("the batch is too large")
	ErrBatch    = errors.New("malformed batch")
)

// Kind is what kind of bay is needed or offered. Bays are counted by kind and a
// driver gets a bay of exactly his kind, so that a car which needs no charger
// never blocks one, nor a bay for people with disabilities.
type Kind struct {
	// Class is the vehicle class in the words of the caller, such as "car".
	Class string
	// EV asks for, or offers, a charger.
	EV bool
	// Accessible asks for, or offers, a bay for people with disabilities.
	Accessible bool
}

// Reservation is a bay of a driver's kind that is held for him.
type Reservation struct {
	// CarPark is the car park's id.
	CarPark string
	// PriceCents is what he was told the stay costs; the quote binds, so his
	// present cost is computed with it whatever the tariff says today.
	PriceCents int64
}

// Driver is somebody under way who wants a bay near his destination.
type Driver struct {
	// ID is unique within a batch; the last tie is broken by it.
	ID string
	// Requested orders drivers among whom the costs do not decide.
	Requested time.Time
	// Position is where the driver is now. No plan depends on it: driving is no
	// part of the cost.
	Position    Point
	Destination Point
	// MaxPriceCents and MaxWalkMetres are the driver's own limits M and D;
	// zero allows only what is free, or at the door.
	MaxPriceCents int64
	MaxWalkMetres int64
	// LambdaPerMille is the weight of money against walking, 0 to 1000.
	LambdaPerMille int
	Kind           Kind
	// HeightMM is the vehicle's height; zero means not stated, and then no
	// height limit is applied.
	HeightMM    int
	StayMinutes int
	// Arrives is when the stay is expected to begin, for tariffs that depend
	// on it; zero means at the instant of the batch.
	Arrives time.Time
	// Current is the reservation held, or nil for a driver who waits.
	Current *Reservation
	// Barred are the ids of car parks that are not for him for reasons that the
	// batch does not know, such as the length or weight of his vehicle. The one
	// where he holds a reservation stays his.
	Barred map[string]bool
	// Fixed says that a reserved driver is not to be moved, even to a better
	// place: he is about to arrive.
	Fixed bool
}

// Stay is what a price depends on.
type Stay struct {
	Kind   Kind
	From   time.Time
	Length time.Duration
}

// Pricer tells what a stay costs, in cents, every tax included, 0 to MaxCents.
// An error means that this stay is not offered; the car park then does not
// count for that driver and nobody else is harmed. It is called from one
// goroutine at a time within a batch and must give the same answer for the
// same stay.
type Pricer interface {
	PriceFor(Stay) (cents int64, err error)
}

// CarPark is a car park as a batch sees it.
type CarPark struct {
	ID       string
	Position Point
	// Free is the number of bays by kind that are neither occupied nor held
	// for anybody; those held for the drivers of the batch itself are not in
	// it, as Assign counts them from the drivers' reservations.
	Free map[Kind]int
	// MaxHeightMM is the height limit; zero means none.
	MaxHeightMM int
	Tariff      Pricer
}

// Walker measures a walk in metres, 0 or more. It is symmetric or not as the
// caller likes.
type Walker interface {
	Metres(from, to Point) int64
}

// Batch is all that is decided on together.
type Batch struct {
	// At is the instant of the round.
	At       time.Time
	Drivers  []Driver
	CarParks []CarPark
	// Walk measures walks; nil means Straight{DetourPerMille: 1300}.
	Walk Walker
	// WaitingCost is what leaving a driver waiting costs the plan, in
	// millionths, OutsideCost to MaxWaitingCost; zero means OutsideCost, as in
	// the source of the method. From 2 × OutsideCost on, a bay goes rather to
	// somebody who has none than to somebody who has a worse one.
	WaitingCost int64
	// WaitingGrowth is what each minute since a driver's request adds to the
	// cost of leaving him waiting, in millionths, 0 to MaxWaitingCost; the
	// whole stays at MaxWaitingCost at most. Above 0, whoever has waited long
	// comes before newcomers whom the same bay would suit a little better, and
	// does not starve; 0 as in the source.
	WaitingGrowth int64
	// MovingCost is what moving a reserved driver costs the plan on top of his
	// new place, in millionths, 0 to MaxWaitingCost; 0 as in the source. With
	// OutsideCost or more nobody is moved for his own good alone, only to make
	// room for somebody who would wait.
	MovingCost int64
}

// Check says what is wrong with d alone, or nil.
func (d Driver) Check() error {
	switch {
	case d.ID == "" || len(d.ID) > maxID:
		return fmt.Errorf("%w: a driver's id has %d bytes, want 1 to %d", ErrBatch, len(d.ID), maxID)
	case d.MaxPriceCents < 0 || d.MaxPriceCents > MaxCents:
		return fmt.Errorf("%w: driver %q: a price limit of %d cents is not within 0 and %d", ErrBatch, d.ID, d.MaxPriceCents, MaxCents)
	case d.MaxWalkMetres < 0 || d.MaxWalkMetres > MaxMetres:
		return fmt.Errorf("%w: driver %q: a walking limit of %d m is not within 0 and %d", ErrBatch, d.ID, d.MaxWalkMetres, MaxMetres)
	case d.LambdaPerMille < 0 || d.LambdaPerMille > 1000:
		return fmt.Errorf("%w: driver %q: a weight of money of %d per mille is not within 0 and 1000", ErrBatch, d.ID, d.LambdaPerMille)
	case d.StayMinutes < 1 || d.StayMinutes > MaxStayMinutes:
		return fmt.Errorf("%w: driver %q: a stay of %d minutes is not within 1 and %d", ErrBatch, d.ID, d.StayMinutes, MaxStayMinutes)
	case d.HeightMM < 0:
		return fmt.Errorf("%w: driver %q: a height of %d mm", ErrBatch, d.ID, d.HeightMM)
	case d.Kind.Class == "" || len(d.Kind.Class) > maxID:
		return fmt.Errorf("%w: driver %q: a class of %d bytes, want 1 to %d", ErrBatch, d.ID, len(d.Kind.Class), maxID)
	case !d.Destination.ok() || !d.Position.ok():
		return fmt.Errorf("%w: driver %q: a position is more than %d km from the grid's origin", ErrBatch, d.ID, maxCoordinate/1000)
	case d.Current != nil && (d.Current.PriceCents < 0 || d.Current.PriceCents > MaxCents):
		return fmt.Errorf("%w: driver %q: a reservation at %d cents is not within 0 and %d", ErrBatch, d.ID, d.Current.PriceCents, MaxCents)
	}
	return nil
}

// Check says what is wrong with p alone, or nil.
func (p CarPark) Check() error {
	switch {
	case p.ID == "" || len(p.ID) > maxID:
		return fmt.Errorf("%w: a car park's id has %d bytes, want 1 to %d", ErrBatch, len(p.ID), maxID)
	case p.Tariff == nil:
		return fmt.Errorf("%w: car park %q has no tariff", ErrBatch, p.ID)
	case p.MaxHeightMM < 0:
		return fmt.Errorf("%w: car park %q: a height limit of %d mm", ErrBatch, p.ID, p.MaxHeightMM)
	case !p.Position.ok():
		return fmt.Errorf("%w: car park %q: its position is more than %d km from the grid's origin", ErrBatch, p.ID, maxCoordinate/1000)
	}
	for kind, free := range p.Free {
		if free < 0 || free > 1_000_000 {
			return fmt.Errorf("%w: car park %q: %d free bays of %+v: give 0 if the number is not known", ErrBatch, p.ID, free, kind)
		}
	}
	return nil
}
