package city

import (
	"fmt"
	"slices"

	"freeflow/parking/city/assign"
)

// Assign returns the plan of least total cost for the batch: the sum over all
// drivers of their place's cost, the cost of waiting for those who are left without and
// MovingCost for those who are moved, where drivers with a reservation keep it
// or get one of no higher cost.
//
// Fairness: among all plans of that total, it takes the one of least Σ w·cost,
// where a driver without a place counts OutsideCost and w counts down from the earliest request (equal times: by id) to the
// latest, so that of two drivers whose exchange would leave the total as it is
// the earlier one has the cheaper place, and the later one waits. Among those
// still equal it takes one with the fewest drivers moved or left waiting.
//
// Errors: ErrTooLarge, ErrBatch. It does not change the batch, takes its time
// and memory once, and is safe to call from several goroutines if the tariffs
// and the Walker are.
func Assign(b Batch) (Plan, error) {
	t, err := newTable(b)
	if err != nil {
		return Plan{}, fmt.Errorf("assigning drivers to car parks: %w", err)
	}
	decided, err := t.solve()
	if err != nil {
		return Plan{}, fmt.Errorf("assigning drivers to car parks: %w", err)
	}
	return t.plan(decided), nil
}

// solve finds the least total, proves it, and then the fairest plan of that
// total. It returns an index into the options of each request, -1 for none.
func (t *table) solve() ([]int, error) {
	cheapest := t.problem()
	first, err := solveProved(cheapest)
	if err != nil {
		return nil, err
	}
	fair := t.fairness(cheapest, first)
	second, err := solveProved(fair)
	if err != nil {
		return nil, err
	}
	decided := make([]int, len(t.requests))
	var total int64
	for i, r := range t.requests {
		decided[i] = -1
		if c := second.Column[i]; c != assign.Nowhere {
			decided[i] = slices.IndexFunc(r.options, func(o option) bool { return o.column == c })
			total += cheapest.Rows[i].Edges[decided[i]].Cost
		} else {
			total += cheapest.Rows[i].Outside
		}
	}
	if total != first.Total {
		return nil, fmt.Errorf("the fair plan costs %d and the cheapest %d: the solver is at fault, keep the plan of the last round", total, first.Total)
	}
	return decided, nil
}

// solveProved does not return a placing whose optimality the prices fail to
// prove: a plan that is not the best must not look like one.
func solveProved(p assign.Problem) (assign.Solution, error) {
	s, err := assign.Solve(p)
	if err != nil {
		return assign.Solution{}, err
	}
	return s, s.Verify(p)
}

// problem is the batch as a transportation problem. Those who hold a
// reservation must be placed, which is always possible: their own bays are
// counted in. Those held apart have no edges and cost nothing.
func (t *table) problem() assign.Problem {
	p := assign.Problem{Rows: make([]assign.Row, len(t.requests)), Capacity: t.capacity}
	for i, r := range t.requests {
		row := assign.Row{Outside: r.waiting, Bound: r.present >= 0}
		if r.apart {
			row.Outside = 0
		}
		row.Edges = make([]assign.Edge, len(r.options))
		for k, o := range r.options {
			row.Edges[k] = assign.Edge{Column: o.column, Cost: o.place.Cost}
			if r.present >= 0 && r.present != k {
				row.Edges[k].Cost += t.moving
			}
		}
		p.Rows[i] = row
	}
	return p
}

// fairness is the problem whose solutions are those of the first problem and
// whose cost is the secondary one. By complementary slackness a placing is
// cheapest if and only if it uses only edges that are tight under the prices
// and fills every column that has a price. So the other edges are left out,
// and each place in a priced column is rewarded by more than all secondary
// costs together.
func (t *table) fairness(p assign.Problem, s assign.Solution) assign.Problem {
	n := int64(len(t.requests))
	reward := 1 + n + OutsideCost*(n+1)*n*(n+1)/2
	fair := assign.Problem{Rows: make([]assign.Row, n), Capacity: p.Capacity}
	for i, r := range t.requests {
		weight := (n - int64(i)) * (n + 1)
		row := assign.Row{Outside: weight*min(p.Rows[i].Outside, OutsideCost) + 1, Bound: p.Rows[i].Bound || p.Rows[i].Outside > s.RowPrice[i]}
		for o, e := range p.Rows[i].Edges {
			price := s.ColumnPrice[e.Column]
			if e.Cost-price > s.RowPrice[i] {
				continue
			}
			cost := weight * r.options[o].place.Cost
			if r.present >= 0 && r.present != o {
				cost++
			}
			if price < 0 {
				cost -= reward
			}
			row.Edges = append(row.Edges, assign.Edge{Column: e.Column, Cost: cost})
		}
		fair.Rows[i] = row
	}
	return fair
}
