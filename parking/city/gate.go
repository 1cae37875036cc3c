package city

import (
	"fmt"
	"slices"
)

// AtGate decides at once for a driver who stands at the gate of a car park,
// without waiting for a round and without moving anybody. He is let in,
// whatever his limits of money and walking, as he has come, if the car park has
// a bay of his kind that is held for nobody else, or any free one and his own
// reservation. He then leaves the window, and Source counts the bay as occupied
// from now on.
//
// Otherwise he is sent to the place of least cost with a bay left, never to a
// worse one than he holds elsewhere, and is under way there, in the window, as
// if a round had decided so; a reservation here, where no bay is left, is void.
// If there is no place, the outcome is Waiting, the driver stays in the window
// if he was there, and is not added if he was not.
//
// Errors: ErrBatch if the driver or the car park makes no sense; ErrFull if he
// would have to be added to a full window.
func (w *Window) AtGate(d Driver, carPark string) (Assignment, error) {
	if err := d.Check(); err != nil {
		return Assignment{}, fmt.Errorf("deciding at the gate: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	// What the window remembers of a reservation counts, not what d says.
	known := w.drivers[d.ID]
	d.Current, d.Fixed = nil, false
	if known != nil {
		d.Current, d.Requested = known.driver.Current, known.driver.Requested
	}
	parks, err := w.source.CarParks(now)
	if err != nil {
		return Assignment{}, fmt.Errorf("deciding at the gate of %s: asking for the car parks: %w", carPark, err)
	}
	here := slices.IndexFunc(parks, func(p CarPark) bool { return p.ID == carPark })
	if here < 0 {
		return Assignment{}, fmt.Errorf("deciding at the gate: %w: there is no car park %q", ErrBatch, carPark)
	}
	unoccupied := parks[here].Free[d.Kind]
	parks, _ = w.unheld(parks, map[string]bool{d.ID: true})
	batch := Batch{At: now, Drivers: []Driver{d}, CarParks: parks, Walk: w.config.Walk}
	own := d.Current != nil && d.Current.CarPark == carPark
	if parks[here].Free[d.Kind] > 0 || own && unoccupied > 0 {
		a, ok, err := batch.admit(parks[here])
		if ok {
			delete(w.drivers, d.ID)
		}
		if ok || err != nil {
			return a, err
		}
	}
	if own {
		batch.Drivers[0].Current = nil
		known.driver.Current, known.driver.Fixed = nil, false
	}
	return w.redirect(batch, known)
}

// admit lets the only driver of the batch into p if he fits and has a price
// there. Limits of money and walking are set aside.
func (b Batch) admit(p CarPark) (Assignment, bool, error) {
	d := b.Drivers[0]
	wide := d
	wide.MaxPriceCents, wide.MaxWalkMetres = MaxCents, MaxMetres
	own := d.Current != nil && d.Current.CarPark == p.ID
	if !own {
		wide.Current = nil
	}
	b.Drivers, b.CarParks = []Driver{wide}, []CarPark{p}
	t, err := newTable(b)
	if err != nil {
		return Assignment{}, false, fmt.Errorf("deciding at the gate of %s: %w", p.ID, err)
	}
	r := t.requests[0]
	if len(r.options) == 0 {
		return Assignment{}, false, nil
	}
	place := r.options[0].place
	place.Cost = Cost(d, place.PriceCents, place.WalkMetres)
	a := Assignment{Driver: d.ID, Outcome: Assigned, Place: place, Choices: 1}
	if own {
		a.Outcome, a.Before = Kept, &place
	}
	return a, true, nil
}

func (w *Window) redirect(batch Batch, known *held) (Assignment, error) {
	plan, err := Assign(batch)
	if err != nil {
		return Assignment{}, fmt.Errorf("deciding at the gate: %w", err)
	}
	a := plan.Assignments[0]
	if a.Outcome != Assigned && a.Outcome != Moved {
		return a, nil
	}
	if known == nil {
		if len(w.drivers) >= w.config.MaxDrivers {
			return Assignment{}, fmt.Errorf("sending %q on from the gate: %w", a.Driver, ErrFull)
		}
		known = &held{driver: batch.Drivers[0], submitted: batch.At}
		w.add(known)
	}
	if known.driver.Current == nil {
		known.reserved = batch.At
	}
	known.driver.Fixed = false
	known.driver.Current = &Reservation{CarPark: a.Place.CarPark, PriceCents: a.Place.PriceCents}
	return a, nil
}
