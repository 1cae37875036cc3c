package city

import "fmt"

// Place is a car park as it looks to one driver.
type Place struct {
	CarPark    string
	PriceCents int64
	WalkMetres int64
	// Cost in millionths, 0 to OutsideCost.
	Cost int64
	// Unknown says that the batch does not list the car park, so that walk and
	// cost could not be computed.
	Unknown bool
}

// Outcome is what a plan decides for a driver.
type Outcome string

// The outcomes. A driver who waited is Assigned or still Waiting; one who held
// a reservation has Kept it or is Moved to a place of no higher cost.
const (
	Assigned Outcome = "assigned"
	Waiting  Outcome = "waiting"
	Kept     Outcome = "kept"
	Moved    Outcome = "moved"
)

// Turned counts the car parks that could not be offered to a driver, by the
// first limit that forbade it, in the order of the fields.
type Turned struct {
	TooFar    int // beyond the driver's walking limit
	Barred    int // not for him, as he said
	NoSuchBay int // no bay of that kind, free or not
	TooLow    int // the vehicle is higher than the limit
	NoPrice   int // the tariff does not offer that stay
	TooDear   int // beyond the driver's price limit
	Worse     int // costs more than the place he holds
}

// Assignment is what a plan decides for one driver, and why.
type Assignment struct {
	Driver  string
	Outcome Outcome
	// Place is where he is sent; the zero Place with a Cost of OutsideCost if
	// he is Waiting.
	Place Place
	// Before is the place he held when the round began.
	Before *Place
	// Wanted is the place of least cost that his limits allow, if he did not
	// get it: its bays went to others, to whom they were worth more.
	Wanted *Place
	// Next is where he would be sent next: the cheapest other place that has a
	// bay left when the plan is carried out.
	Next *Place
	// Turned counts the car parks that were no choice.
	Turned Turned
	// Choices is the number of car parks within his limits, full or not.
	Choices int
}

// Why says in a sentence how the assignment came about; for logs and staff.
func (a Assignment) Why() string {
	limits := fmt.Sprintf("%d too dear, %d too far, %d not for the vehicle, %d without such a bay, %d too low, %d without a price",
		a.Turned.TooDear, a.Turned.TooFar, a.Turned.Barred, a.Turned.NoSuchBay, a.Turned.TooLow, a.Turned.NoPrice)
	switch {
	case a.Outcome == Waiting && a.Choices == 0:
		return "waiting: no car park is within the limits: " + limits
	case a.Outcome == Waiting:
		return fmt.Sprintf("waiting: all bays of the %d car parks within the limits went to others (%s)", a.Choices, limits)
	case a.Place.Unknown:
		return fmt.Sprintf("%s %s: the car park is not in this round, so the reservation stands", a.Outcome, a.Place.CarPark)
	}
	why := fmt.Sprintf("%s %s: cost %s of 1, %d cents, %d m to walk", a.Outcome, a.Place.CarPark,
		FormatCost(a.Place.Cost), a.Place.PriceCents, a.Place.WalkMetres)
	if a.Before != nil && a.Outcome == Moved {
		why += fmt.Sprintf("; before at %s for %s", a.Before.CarPark, FormatCost(a.Before.Cost))
	}
	if a.Wanted != nil {
		why += fmt.Sprintf("; %s at %s went to others", a.Wanted.CarPark, FormatCost(a.Wanted.Cost))
	}
	if a.Next != nil {
		why += fmt.Sprintf("; next would be %s at %s", a.Next.CarPark, FormatCost(a.Next.Cost))
	}
	return why
}

// FormatCost writes a cost in millionths as a decimal with six places.
func FormatCost(micros int64) string {
	sign := ""
	if micros < 0 {
		sign, micros = "-", -micros
	}
	return fmt.Sprintf("%s%d.%06d", sign, micros/OutsideCost, micros%OutsideCost)
}

// Plan is a decision for a whole batch.
type Plan struct {
	// Assignments, one a driver, by the time of the request and then the id.
	Assignments []Assignment
	// Total is the sum of the costs, in millionths, of the drivers who were
	// decided on: those who wait count what the batch says
	// of waiting, those who are moved its MovingCost on top, those held apart (Fixed,
	// or at a car park that is not in the batch) nothing.
	Total int64
}

// decided is where each request goes: an index into its options, -1 to wait.
func (t *table) plan(decided []int) Plan {
	left := append([]int(nil), t.capacity...)
	for i, o := range decided {
		if o >= 0 {
			left[t.requests[i].options[o].column]--
		}
	}
	plan := Plan{Assignments: make([]Assignment, len(t.requests))}
	for i := range t.requests {
		plan.Assignments[i] = t.requests[i].explain(decided[i], left)
		switch {
		case t.requests[i].apart:
		case decided[i] < 0:
			plan.Total += t.requests[i].waiting
		default:
			plan.Total += plan.Assignments[i].Place.Cost
			if plan.Assignments[i].Outcome == Moved {
				plan.Total += t.moving
			}
		}
	}
	return plan
}

func (r *request) explain(decided int, left []int) Assignment {
	a := Assignment{Driver: r.driver.ID, Turned: r.turned, Choices: len(r.options)}
	if r.driver.Current != nil {
		before := r.kept
		a.Before = &before
	}
	switch {
	case r.apart:
		a.Outcome, a.Place = Kept, r.kept
		return a
	case decided < 0:
		a.Outcome, a.Place.Cost = Waiting, OutsideCost
	default:
		a.Place = r.options[decided].place
		switch {
		case r.present < 0:
			a.Outcome = Assigned
		case r.present == decided:
			a.Outcome = Kept
		default:
			a.Outcome = Moved
		}
	}
	if decided != 0 && len(r.options) > 0 && r.options[0].place.Cost < a.Place.Cost {
		wanted := r.options[0].place
		a.Wanted = &wanted
	}
	for o, option := range r.options {
		if o != decided && left[option.column] > 0 {
			next := option.place
			a.Next = &next
			break
		}
	}
	return a
}
