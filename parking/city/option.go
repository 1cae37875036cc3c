package city

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// option is one column in which a driver may be placed.
type option struct {
	column int
	place  Place
}

// request is a driver with all that he may be given.
type request struct {
	driver  Driver
	options []option // by cost, then car park id
	turned  Turned
	// waiting is the cost of leaving him waiting.
	waiting int64
	// present is the option that is his reservation, -1 if he waits or if
	// his car park is not in the batch.
	present int
	// apart says that he holds a reservation which the batch cannot judge or
	// must not touch; he keeps it and is no part of the problem.
	apart bool
	kept  Place
}

// table is a batch made ready: drivers in the order of their requests, car
// parks by id, capacities with the bays held for the drivers themselves.
type table struct {
	requests []request
	// capacity by column: the bays of one kind in one car park that the
	// drivers of the batch can have.
	capacity []int
	scratch  []option
	// moving is the cost of moving a driver.
	moving int64
}

func newTable(b Batch) (*table, error) {
	if len(b.Drivers) > MaxDrivers || len(b.CarParks) > MaxCarParks {
		return nil, fmt.Errorf("%w: %d drivers and %d car parks, at most %d and %d are decided together: split the city or shorten the window",
			ErrTooLarge, len(b.Drivers), len(b.CarParks), MaxDrivers, MaxCarParks)
	}
	if err := b.checkCosts(); err != nil {
		return nil, err
	}
	parks, err := sortParks(b.CarParks)
	if err != nil {
		return nil, err
	}
	drivers, err := sortDrivers(b.Drivers)
	if err != nil {
		return nil, err
	}
	walk := b.Walk
	if walk == nil {
		walk = Straight{DetourPerMille: 1300}
	}
	t := &table{requests: make([]request, len(drivers)), moving: b.MovingCost}
	of := map[Kind][]int{}
	for i := range drivers {
		numbers, ok := of[drivers[i].Kind]
		if !ok {
			numbers = make([]int, len(parks))
			of[drivers[i].Kind] = numbers
		}
		t.request(i, drivers[i], parks, numbers, walk, b.At)
		t.requests[i].waiting = b.waiting(drivers[i])
	}
	return t, nil
}

func (b Batch) checkCosts() error {
	switch {
	case b.WaitingCost != 0 && (b.WaitingCost < OutsideCost || b.WaitingCost > MaxWaitingCost):
		return fmt.Errorf("%w: a cost of waiting of %d is not within %d and %d", ErrBatch, b.WaitingCost, OutsideCost, MaxWaitingCost)
	case b.WaitingGrowth < 0 || b.WaitingGrowth > MaxWaitingCost:
		return fmt.Errorf("%w: a growth of the cost of waiting of %d is not within 0 and %d", ErrBatch, b.WaitingGrowth, MaxWaitingCost)
	case b.MovingCost < 0 || b.MovingCost > MaxWaitingCost:
		return fmt.Errorf("%w: a cost of moving of %d is not within 0 and %d", ErrBatch, b.MovingCost, MaxWaitingCost)
	}
	return nil
}

// waiting is what leaving d waiting costs the plan; a part of a minute counts
// in whole seconds, rounded down.
func (b Batch) waiting(d Driver) int64 {
	cost := cmp.Or(b.WaitingCost, OutsideCost)
	seconds := int64(min(max(b.At.Sub(d.Requested), 0), 24*time.Hour) / time.Second)
	return min(cost+b.WaitingGrowth*seconds/60, MaxWaitingCost)
}

func sortParks(parks []CarPark) ([]CarPark, error) {
	parks = slices.Clone(parks)
	slices.SortFunc(parks, func(a, b CarPark) int { return cmp.Compare(a.ID, b.ID) })
	for i, p := range parks {
		if err := p.Check(); err != nil {
			return nil, err
		}
		if i > 0 && parks[i-1].ID == p.ID {
			return nil, fmt.Errorf("%w: car park %q is listed twice", ErrBatch, p.ID)
		}
	}
	return parks, nil
}

// inOrder is the order of fairness: the earlier request first, then the id.
func inOrder(a, b Driver) int {
	return cmp.Or(a.Requested.Compare(b.Requested), cmp.Compare(a.ID, b.ID))
}

func sortDrivers(drivers []Driver) ([]Driver, error) {
	drivers = slices.Clone(drivers)
	slices.SortFunc(drivers, inOrder)
	seen := make(map[string]bool, len(drivers))
	for _, d := range drivers {
		if err := d.Check(); err != nil {
			return nil, err
		}
		if seen[d.ID] {
			return nil, fmt.Errorf("%w: driver %q is listed twice", ErrBatch, d.ID)
		}
		seen[d.ID] = true
	}
	return drivers, nil
}

// request fills in what driver i may be given. Numbers are the columns of his
// kind by car park, plus 1; 0 where there is none yet.
func (t *table) request(i int, d Driver, parks []CarPark, numbers []int, walk Walker, at time.Time) {
	r := &t.requests[i]
	*r = request{driver: d, present: -1}
	limit, present := OutsideCost, -1
	if d.Current != nil {
		at, found := slices.BinarySearchFunc(parks, d.Current.CarPark, func(p CarPark, id string) int { return cmp.Compare(p.ID, id) })
		if !found {
			r.apart = true
			r.kept = Place{CarPark: d.Current.CarPark, PriceCents: d.Current.PriceCents, Cost: OutsideCost, Unknown: true}
			return
		}
		metres := walk.Metres(parks[at].Position, d.Destination)
		r.kept = Place{CarPark: d.Current.CarPark, PriceCents: d.Current.PriceCents, WalkMetres: metres,
			Cost: Cost(d, d.Current.PriceCents, metres)}
		if r.apart = d.Fixed; r.apart {
			return
		}
		limit, present = r.kept.Cost, at
	}
	from := d.Arrives
	if from.IsZero() {
		from = at
	}
	stay := Stay{Kind: d.Kind, From: from, Length: time.Duration(d.StayMinutes) * time.Minute}
	options := t.scratch[:0]
	for k := range parks {
		p := &parks[k]
		if k == present {
			c := t.column(&numbers[k], p.Free[d.Kind])
			t.capacity[c]++
			options = append(options, option{c, r.kept})
			continue
		}
		place, free, ok := r.turned.judge(&r.driver, p, stay, walk)
		if !ok {
			continue
		}
		// The filter on edges: of what is worse than the present place,
		// nothing is offered.
		if place.Cost > limit {
			r.turned.Worse++
			continue
		}
		options = append(options, option{t.column(&numbers[k], free), place})
	}
	t.scratch, r.options = options, slices.Clone(options)
	slices.SortFunc(r.options, func(a, b option) int {
		return cmp.Or(cmp.Compare(a.place.Cost, b.place.Cost), cmp.Compare(a.place.CarPark, b.place.CarPark))
	})
	if present >= 0 {
		r.present = slices.IndexFunc(r.options, func(o option) bool { return o.place.CarPark == d.Current.CarPark })
	}
}

// column returns the column behind a number, made with the free bays if there
// is none.
func (t *table) column(number *int, free int) int {
	if *number == 0 {
		t.capacity = append(t.capacity, free)
		*number = len(t.capacity)
	}
	return *number - 1
}

// judge applies the hard limits, those that turn most car parks down first, and
// counts which one it was. It also returns the free bays of the driver's kind.
func (n *Turned) judge(d *Driver, p *CarPark, stay Stay, walk Walker) (place Place, free int, ok bool) {
	metres := walk.Metres(p.Position, d.Destination)
	if metres < 0 || metres > d.MaxWalkMetres {
		n.TooFar++
		return Place{}, 0, false
	}
	if d.Barred[p.ID] {
		n.Barred++
		return Place{}, 0, false
	}
	free, has := p.Free[d.Kind]
	if !has {
		n.NoSuchBay++
		return Place{}, 0, false
	}
	if p.MaxHeightMM > 0 && d.HeightMM > p.MaxHeightMM {
		n.TooLow++
		return Place{}, 0, false
	}
	cents, err := p.Tariff.PriceFor(stay)
	switch {
	case err != nil || cents < 0 || cents > MaxCents:
		n.NoPrice++
		return Place{}, 0, false
	case cents > d.MaxPriceCents:
		n.TooDear++
		return Place{}, 0, false
	}
	return Place{CarPark: p.ID, PriceCents: cents, WalkMetres: metres, Cost: Cost(*d, cents, metres)}, free, true
}
