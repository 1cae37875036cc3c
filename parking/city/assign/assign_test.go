package assign_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"freeflow/parking/city/assign"
)

func TestSolveKnownProblems(t *testing.T) {
	edges := func(costs ...int64) []assign.Edge {
		var out []assign.Edge
		for c, cost := range costs {
			if cost >= 0 {
				out = append(out, assign.Edge{Column: c, Cost: cost})
			}
		}
		return out
	}
	tests := []struct {
		name    string
		problem assign.Problem
		column  []int
		total   int64
		err     error
	}{
		{name: "nothing", problem: assign.Problem{}},
		{name: "greedy is wrong", problem: assign.Problem{
			Rows: []assign.Row{{Edges: edges(1, 2), Outside: 100}, {Edges: edges(1, 50), Outside: 100}}, Capacity: []int{1, 1},
		}, column: []int{1, 0}, total: 3},
		{name: "two places in one column", problem: assign.Problem{
			Rows: []assign.Row{{Edges: edges(1, 2), Outside: 100}, {Edges: edges(1, 50), Outside: 100}}, Capacity: []int{2, 1},
		}, column: []int{0, 0}, total: 2},
		{name: "the dearer one stays outside", problem: assign.Problem{
			Rows: []assign.Row{{Edges: edges(5), Outside: 10}, {Edges: edges(3), Outside: 10}}, Capacity: []int{1},
		}, column: []int{assign.Nowhere, 0}, total: 13},
		{name: "a bound row drives a chain of moves", problem: assign.Problem{
			Rows: []assign.Row{
				{Edges: edges(1, 9), Outside: 100}, {Edges: edges(-1, 1, 9), Outside: 100}, {Edges: edges(7), Bound: true},
			}, Capacity: []int{1, 1, 1},
		}, column: []int{1, 2, 0}, total: 25},
		{name: "a full house", problem: assign.Problem{
			Rows: []assign.Row{{Edges: edges(1), Bound: true}, {Edges: edges(1), Bound: true}}, Capacity: []int{1},
		}, err: assign.ErrInfeasible},
		{name: "no place at all", problem: assign.Problem{
			Rows: []assign.Row{{Edges: edges(1), Outside: 4}}, Capacity: []int{0},
		}, column: []int{assign.Nowhere}, total: 4},
		{name: "a column that is not there", problem: assign.Problem{
			Rows: []assign.Row{{Edges: []assign.Edge{{Column: 1}}}}, Capacity: []int{1},
		}, err: assign.ErrProblem},
		{name: "a column named twice", problem: assign.Problem{
			Rows: []assign.Row{{Edges: []assign.Edge{{Column: 0}, {Column: 0}}}}, Capacity: []int{1},
		}, err: assign.ErrProblem},
		{name: "a negative capacity", problem: assign.Problem{Capacity: []int{-1}}, err: assign.ErrProblem},
		{name: "sums that could overflow", problem: assign.Problem{
			Rows: []assign.Row{{Edges: edges(math.MaxInt64 / 2)}}, Capacity: []int{1},
		}, err: assign.ErrProblem},
		{name: "too many rows", problem: assign.Problem{Rows: make([]assign.Row, assign.MaxRows+1)}, err: assign.ErrProblem},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := assign.Solve(test.problem)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err != nil {
				return
			}
			if !slices.Equal(got.Column, test.column) || got.Total != test.total {
				t.Errorf("columns %v total %d, want %v %d", got.Column, got.Total, test.column, test.total)
			}
			if err := got.Verify(test.problem); err != nil {
				t.Error(err)
			}
		})
	}
}

// draw makes a problem; bound rows and negative costs included.
func draw(t *rapid.T, rows, columns int, most int64) assign.Problem {
	n := rapid.IntRange(0, rows).Draw(t, "rows")
	m := rapid.IntRange(1, columns).Draw(t, "columns")
	seed := rapid.Uint64().Draw(t, "seed")
	density := rapid.IntRange(1, 10).Draw(t, "density")
	bound := rapid.IntRange(0, 3).Draw(t, "bound of ten")
	places := rapid.IntRange(0, 6).Draw(t, "places")
	return random(rand.New(rand.NewPCG(seed, 1)), n, m, density, bound, places, most)
}

func random(r *rand.Rand, n, m, density, bound, places int, most int64) assign.Problem {
	p := assign.Problem{Rows: make([]assign.Row, n), Capacity: make([]int, m)}
	for c := range p.Capacity {
		p.Capacity[c] = r.IntN(places + 1)
	}
	for i := range p.Rows {
		p.Rows[i].Outside = r.Int64N(most + 1)
		p.Rows[i].Bound = r.IntN(10) < bound
		for c := range m {
			if r.IntN(10) < density {
				p.Rows[i].Edges = append(p.Rows[i].Edges, assign.Edge{Column: c, Cost: r.Int64N(most+1) - most/8})
			}
		}
		r.Shuffle(len(p.Rows[i].Edges), func(a, b int) {
			p.Rows[i].Edges[a], p.Rows[i].Edges[b] = p.Rows[i].Edges[b], p.Rows[i].Edges[a]
		})
	}
	return p
}

// bruteForce tries every placing.
func bruteForce(p assign.Problem) (best int64, ok bool) {
	left := slices.Clone(p.Capacity)
	var try func(row int, sum int64)
	try = func(row int, sum int64) {
		if row == len(p.Rows) {
			if !ok || sum < best {
				best, ok = sum, true
			}
			return
		}
		if !p.Rows[row].Bound {
			try(row+1, sum+p.Rows[row].Outside)
		}
		for _, e := range p.Rows[row].Edges {
			if left[e.Column] > 0 {
				left[e.Column]--
				try(row+1, sum+e.Cost)
				left[e.Column]++
			}
		}
	}
	try(0, 0)
	return best, ok
}

func TestSolveEqualsTryingEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := draw(t, 6, 5, rapid.SampledFrom([]int64{3, 30, 1_000_000}).Draw(t, "most"))
		want, feasible := bruteForce(p)
		got, err := assign.Solve(p)
		if !feasible {
			if !errors.Is(err, assign.ErrInfeasible) {
				t.Fatalf("there is no placing, Solve says %v, error %v", got.Column, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got.Total != want {
			t.Fatalf("total %d, the best of all is %d", got.Total, want)
		}
		if err := got.Verify(p); err != nil {
			t.Fatal(err)
		}
	})
}

// certify is the check of optimality written apart from Verify: from the
// prices it computes a lower bound of all placings (weak duality) and wants the
// placing to reach it.
func certify(t interface{ Fatalf(string, ...any) }, p assign.Problem, s assign.Solution) {
	held := map[int]int{}
	var primal, dual int64
	for i, row := range p.Rows {
		// The most that row i may be charged without any option of its
		// being undercut, given the columns' prices.
		bound, cost, allowed := int64(math.MaxInt64), row.Outside, s.Column[i] == assign.Nowhere && !row.Bound
		if !row.Bound {
			bound = row.Outside
		}
		for _, e := range row.Edges {
			bound = min(bound, e.Cost-s.ColumnPrice[e.Column])
			if e.Column == s.Column[i] {
				cost, allowed = e.Cost, true
				held[e.Column]++
			}
		}
		if !allowed {
			t.Fatalf("row %d is in %d, which it does not allow", i, s.Column[i])
		}
		primal += cost
		dual += bound
	}
	for c, places := range p.Capacity {
		if held[c] > places || s.ColumnPrice[c] > 0 {
			t.Fatalf("column %d: %d rows in %d places, price %d", c, held[c], places, s.ColumnPrice[c])
		}
		dual += int64(places) * s.ColumnPrice[c]
	}
	if primal != dual || primal != s.Total {
		t.Fatalf("the placing costs %d (said to be %d), the lower bound is %d", primal, s.Total, dual)
	}
}

func TestSolveCarriesItsProof(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := draw(t, 200, 40, rapid.SampledFrom([]int64{5, 1000, 1_000_000}).Draw(t, "most"))
		got, err := assign.Solve(p)
		if errors.Is(err, assign.ErrInfeasible) {
			return // judged by trying everything, on small problems
		}
		if err != nil {
			t.Fatal(err)
		}
		certify(t, p, got)
		if err := got.Verify(p); err != nil {
			t.Fatal(err)
		}
	})
}

// auction is another method altogether (Bertsekas): rows bid for single places,
// prices rise, and with increments below 1/rows the end is optimal for whole
// costs. All costs are multiplied by rows+1 so that an increment of 1 is that.
func auction(p assign.Problem) int64 {
	type place struct{ column int }
	var places []place
	of := make([][]int, len(p.Capacity))
	for c, n := range p.Capacity {
		for range n {
			of[c] = append(of[c], len(places))
			places = append(places, place{c})
		}
	}
	scale := int64(len(p.Rows) + 1)
	price := make([]int64, len(places))
	owner := slices.Repeat([]int{-1}, len(places))
	paid := make([]int64, len(p.Rows))
	queue := make([]int, len(p.Rows))
	for i := range queue {
		queue[i] = i
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		first, second, at := -p.Rows[i].Outside*scale, int64(math.MinInt64/4), -1
		paid[i] = p.Rows[i].Outside
		for _, e := range p.Rows[i].Edges {
			for _, k := range of[e.Column] {
				if value := -e.Cost*scale - price[k]; value > first {
					first, second, at = value, first, k
					paid[i] = e.Cost
				} else if value > second {
					second = value
				}
			}
		}
		if at < 0 {
			continue // outside is nobody else's and costs no bid
		}
		price[at] += first - second + 1
		if owner[at] >= 0 {
			queue = append(queue, owner[at])
		}
		owner[at] = i
	}
	var total int64
	for _, cost := range paid {
		total += cost
	}
	return total
}

func TestSolveEqualsAnAuction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := draw(t, 40, 12, 60)
		for i := range p.Rows {
			p.Rows[i].Bound = false
		}
		got, err := assign.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		if want := auction(p); got.Total != want {
			t.Fatalf("total %d, the auction ends at %d", got.Total, want)
		}
	})
}

// TestVerifyFindsFaults spoils right solutions, since a check that never fails
// proves nothing.
func TestVerifyFindsFaults(t *testing.T) {
	p := random(rand.New(rand.NewPCG(7, 7)), 30, 6, 7, 0, 3, 1000)
	spoil := map[string]func(*assign.Solution){
		"total":        func(s *assign.Solution) { s.Total-- },
		"row price":    func(s *assign.Solution) { s.RowPrice[3]++ },
		"column price": func(s *assign.Solution) { s.ColumnPrice[0]++ },
		"length":       func(s *assign.Solution) { s.Column = s.Column[1:] },
		"everybody outside": func(s *assign.Solution) {
			s.Total = 0
			for i := range s.Column {
				s.Column[i] = assign.Nowhere
				s.Total += p.Rows[i].Outside
			}
		},
		"too many in a column": func(s *assign.Solution) {
			for i := range s.Column {
				for _, e := range p.Rows[i].Edges {
					if e.Column == 1 {
						s.Column[i] = 1
					}
				}
			}
		},
	}
	for name, do := range spoil {
		s, err := assign.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		do(&s)
		if s.Verify(p) == nil {
			t.Errorf("%s: the spoilt solution passes", name)
		}
	}
}

func BenchmarkSolve500x60(b *testing.B) {
	for _, load := range []struct {
		name   string
		places int
	}{{"half full", 32}, {"just full", 16}, {"twice too many", 8}} {
		b.Run(load.name, func(b *testing.B) {
			p := random(rand.New(rand.NewPCG(1, 2)), 500, 60, 10, 0, load.places, 1_000_000)
			for b.Loop() {
				if _, err := assign.Solve(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
