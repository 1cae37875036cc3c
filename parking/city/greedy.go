package city

import "fmt"

// GreedyByCost decides for one driver after the other, in the order of their
// requests: each waiting one gets the free place of least cost to himself, and
// whoever holds a reservation keeps it. It is what Assign is compared with.
// Errors as Assign.
func GreedyByCost(b Batch) (Plan, error) {
	return greedy(b, func(a, b Place) bool { return a.Cost < b.Cost })
}

// NearestFree decides like GreedyByCost, but gives the free place with the
// shortest walk, the usual guidance to "the nearest free car park"; the limits
// of the driver hold here too. Errors as Assign.
func NearestFree(b Batch) (Plan, error) {
	return greedy(b, func(a, b Place) bool { return a.WalkMetres < b.WalkMetres })
}

func greedy(b Batch, better func(a, b Place) bool) (Plan, error) {
	t, err := newTable(b)
	if err != nil {
		return Plan{}, fmt.Errorf("assigning drivers one by one: %w", err)
	}
	decided := make([]int, len(t.requests))
	left := append([]int(nil), t.capacity...)
	for i, r := range t.requests {
		decided[i] = r.present
		if r.present >= 0 {
			left[r.options[r.present].column]--
		}
	}
	for i, r := range t.requests {
		if r.present >= 0 {
			continue
		}
		best := -1
		for o, option := range r.options {
			if left[option.column] > 0 && (best < 0 || better(option.place, r.options[best].place)) {
				best = o
			}
		}
		decided[i] = best
		if best >= 0 {
			left[r.options[best].column]--
		}
	}
	return t.plan(decided), nil
}

// Places returns the car parks of the batch that are within the limits of a
// waiting driver d, whether they have a bay left or not, by cost and then id,
// and how many were turned down by which limit. The batch's own drivers do not
// matter. Errors as Assign.
func Places(b Batch, d Driver) ([]Place, Turned, error) {
	d.Current = nil
	b.Drivers = []Driver{d}
	t, err := newTable(b)
	if err != nil {
		return nil, Turned{}, fmt.Errorf("listing the places of a driver: %w", err)
	}
	r := t.requests[0]
	places := make([]Place, len(r.options))
	for i, o := range r.options {
		places[i] = o.place
	}
	return places, r.turned, nil
}
