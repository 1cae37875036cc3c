package city

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// column is the bays of one kind in one car park.
type column struct {
	park int
	kind Kind
}

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
	columns  []column
	capacity []int
}

func newTable(b Batch) (*table, error) {
	if len(b.Drivers) > MaxDrivers || len(b.CarParks) > MaxCarParks {
		return nil, fmt.Errorf("%w: %d drivers and %d car parks, at most %d and %d are decided together: split the city or shorten the window",
			ErrTooLarge, len(b.Drivers), len(b.CarParks), MaxDrivers, MaxCarParks)
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
	t := &table{requests: make([]request, len(drivers))}
	index := map[column]int{}
	for i, d := range drivers {
		t.request(i, d, parks, index, walk, b.At)
	}
	return t, nil
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

// request fills in what driver i may be given.
func (t *table) request(i int, d Driver, parks []CarPark, index map[column]int, walk Walker, at time.Time) {
	r := &t.requests[i]
	*r = request{driver: d, present: -1}
	limit := OutsideCost
	if d.Current != nil {
		r.apart = true // until its car park is found in the batch
		for _, p := range parks {
			if p.ID == d.Current.CarPark {
				metres := walk.Metres(p.Position, d.Destination)
				r.kept = Place{CarPark: p.ID, PriceCents: d.Current.PriceCents, WalkMetres: metres,
					Cost: Cost(d, d.Current.PriceCents, metres)}
				limit, r.apart = r.kept.Cost, d.Fixed
			}
		}
		if r.apart {
			if r.kept.CarPark == "" {
				r.kept = Place{CarPark: d.Current.CarPark, PriceCents: d.Current.PriceCents, Cost: OutsideCost, Unknown: true}
			}
			return
		}
	}
	from := d.Arrives
	if from.IsZero() {
		from = at
	}
	stay := Stay{Kind: d.Kind, From: from, Length: time.Duration(d.StayMinutes) * time.Minute}
	for k := range parks {
		p := &parks[k]
		free := p.Free[d.Kind]
		if d.Current != nil && d.Current.CarPark == p.ID {
			c := t.column(column{k, d.Kind}, index, free)
			t.capacity[c]++
			r.options = append(r.options, option{c, r.kept})
			continue
		}
		place, ok := r.turned.judge(d, p, stay, walk)
		if !ok {
			continue
		}
		// The filter on edges: of what is worse than the present place,
		// nothing is offered.
		if place.Cost > limit {
			r.turned.Worse++
			continue
		}
		r.options = append(r.options, option{t.column(column{k, d.Kind}, index, free), place})
	}
	slices.SortFunc(r.options, func(a, b option) int {
		return cmp.Or(cmp.Compare(a.place.Cost, b.place.Cost), cmp.Compare(a.place.CarPark, b.place.CarPark))
	})
	if d.Current != nil {
		r.present = slices.IndexFunc(r.options, func(o option) bool { return o.place.CarPark == d.Current.CarPark })
	}
}

func (t *table) column(c column, index map[column]int, free int) int {
	n, ok := index[c]
	if !ok {
		n = len(t.columns)
		index[c] = n
		t.columns = append(t.columns, c)
		t.capacity = append(t.capacity, free)
	}
	return n
}

// judge applies the hard limits, cheapest question first, and counts which one
// turned the car park down.
func (n *Turned) judge(d Driver, p *CarPark, stay Stay, walk Walker) (Place, bool) {
	if _, has := p.Free[d.Kind]; !has {
		n.NoSuchBay++
		return Place{}, false
	}
	if p.MaxHeightMM > 0 && d.HeightMM > p.MaxHeightMM {
		n.TooLow++
		return Place{}, false
	}
	metres := walk.Metres(p.Position, d.Destination)
	if metres < 0 || metres > d.MaxWalkMetres {
		n.TooFar++
		return Place{}, false
	}
	cents, err := p.Tariff.PriceFor(stay)
	switch {
	case err != nil || cents < 0 || cents > MaxCents:
		n.NoPrice++
		return Place{}, false
	case cents > d.MaxPriceCents:
		n.TooDear++
		return Place{}, false
	}
	return Place{CarPark: p.ID, PriceCents: cents, WalkMetres: metres, Cost: Cost(d, cents, metres)}, true
}
