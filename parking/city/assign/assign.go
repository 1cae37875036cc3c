// Package assign owns the exact solution of transportation problems: rows,
// each of which wants one place, columns with a number of places each, and a
// price for every pair that may meet. It finds the placing of least total cost
// by successive shortest paths with potentials, and returns the potentials,
// with which anybody can check that nothing cheaper exists.
//
// Invariants: costs are int64 and no sum overflows (a problem whose sums could
// is refused); no column holds more rows than its capacity; a row that must be
// placed is placed or the problem is refused as infeasible; the same problem
// gives the same solution, always.
//
// Not promised: which of several placings of the same total is returned. A
// caller who cares solves a second problem over the edges that are tight under
// the potentials, as package city does.
package assign

import (
	"errors"
	"fmt"
	"math"
)

// Bounds of a problem. One beyond them is refused before any work is done, so
// that a burst of requests cannot take the memory or the time of a round.
const (
	MaxRows    = 1 << 12
	MaxColumns = 1 << 14
	MaxEdges   = 1 << 21
	// maxSpan bounds 2 × rows × greatest cost. Distances and potentials are
	// sums along paths that visit a row at most once, so three of them fit
	// into an int64.
	maxSpan = int64(1) << 61
)

// Nowhere is the column of a row that is not placed.
const Nowhere = -1

// Errors of Solve. ErrInfeasible: rows that must be placed do not fit together.
// ErrProblem: the problem itself is malformed or too large.
var (
	ErrInfeasible = errors.New("rows that must be placed do not fit into the columns they allow")
	ErrProblem    = errors.New("malformed assignment problem")
)

// Edge says that a row may be placed in a column, at a cost of any sign.
type Edge struct {
	Column int
	Cost   int64
}

// Row wants one place. Outside is what leaving it without one costs; it does
// not count when Bound is set, which means that the row must be placed.
type Row struct {
	Edges   []Edge
	Outside int64
	Bound   bool
}

// Problem is a transportation problem. Capacity holds the places of each
// column, zero or more. No row names a column twice.
type Problem struct {
	Rows     []Row
	Capacity []int
}

// Solution is a placing of least total cost with its proof of optimality: the
// prices of rows and columns of the dual problem. For every edge, cost ≥ row
// price + column price, with equality where the row is placed; a column's price
// is at most 0, and 0 if the column has a place left. Verify checks this.
type Solution struct {
	// Column of each row, or Nowhere.
	Column []int
	// Total of the costs of the edges used and of Outside of the rows that
	// are Nowhere.
	Total       int64
	RowPrice    []int64
	ColumnPrice []int64
}

// Solve returns a placing of least total cost. It takes time proportional to
// rows × (edges + columns²) at the worst and does not keep or change p. Ties
// are broken by the order of columns and rows, so equal problems have equal
// solutions. Errors: ErrProblem, or ErrInfeasible naming the row at which the
// rows so far ceased to fit.
func Solve(p Problem) (Solution, error) {
	if err := p.check(); err != nil {
		return Solution{}, err
	}
	s := newSolver(p)
	for row := range p.Rows {
		if err := s.place(row); err != nil {
			return Solution{}, err
		}
	}
	return s.solution(), nil
}

func (p Problem) check() error {
	if len(p.Rows) > MaxRows || len(p.Capacity) > MaxColumns {
		return fmt.Errorf("%w: %d rows and %d columns, at most %d and %d are taken: solve in parts",
			ErrProblem, len(p.Rows), len(p.Capacity), MaxRows, MaxColumns)
	}
	for column, places := range p.Capacity {
		if places < 0 {
			return fmt.Errorf("%w: column %d has a capacity of %d", ErrProblem, column, places)
		}
	}
	limit := maxSpan / 2 / int64(max(len(p.Rows), 1))
	edges := 0
	lastRow := make([]int, len(p.Capacity))
	for i, row := range p.Rows {
		edges += len(row.Edges)
		if edges > MaxEdges {
			return fmt.Errorf("%w: more than %d edges: solve in parts", ErrProblem, MaxEdges)
		}
		if !row.Bound && (row.Outside > limit || row.Outside < -limit) {
			return fmt.Errorf("%w: row %d outside costs %d, beyond ±%d, where sums could overflow", ErrProblem, i, row.Outside, limit)
		}
		for _, e := range row.Edges {
			if e.Column < 0 || e.Column >= len(p.Capacity) {
				return fmt.Errorf("%w: row %d names column %d of %d", ErrProblem, i, e.Column, len(p.Capacity))
			}
			if lastRow[e.Column] == i+1 {
				return fmt.Errorf("%w: row %d names column %d twice", ErrProblem, i, e.Column)
			}
			lastRow[e.Column] = i + 1
			if e.Cost > limit || e.Cost < -limit {
				return fmt.Errorf("%w: row %d in column %d costs %d, beyond ±%d, where sums could overflow", ErrProblem, i, e.Column, e.Cost, limit)
			}
		}
	}
	return nil
}

// solver is the state of one Solve. After each row the placing of the rows so
// far is of least cost, and price proves it.
type solver struct {
	p         Problem
	column    []int
	paid      []int64 // cost of the edge in use, by row
	seat      []int   // index of a row among its column's occupants
	occupants [][]int
	price     []int64 // by column, never above 0

	// The search of one row, by column: the distance found, the row over
	// which it was found and what that row would pay there.
	distance []int64
	via      []int
	viaCost  []int64
	seen     []bool
	scanned  []bool
	touched  []int
	// The cheapest way of ending the search by leaving a row outside.
	outside    int64
	outsideRow int
}

func newSolver(p Problem) *solver {
	rows, columns := len(p.Rows), len(p.Capacity)
	s := &solver{
		p: p, column: make([]int, rows), paid: make([]int64, rows), seat: make([]int, rows),
		occupants: make([][]int, columns), price: make([]int64, columns),
		distance: make([]int64, columns), via: make([]int, columns), viaCost: make([]int64, columns),
		seen: make([]bool, columns), scanned: make([]bool, columns), touched: make([]int, 0, columns),
	}
	for i := range s.column {
		s.column[i] = Nowhere
	}
	return s
}

// place adds a row by the shortest path of displacements that starts with it
// and ends at a free place or with a row left outside (Dijkstra; the prices
// keep all steps after the first from being negative).
func (s *solver) place(row int) error {
	for _, c := range s.touched {
		s.seen[c], s.scanned[c] = false, false
	}
	s.touched = s.touched[:0]
	s.outside, s.outsideRow = math.MaxInt64, Nowhere

	s.relax(row, 0)
	for {
		c := s.nearest()
		if c == Nowhere || s.outside < s.distance[c] {
			if s.outsideRow == Nowhere {
				return fmt.Errorf("%w: row %d", ErrInfeasible, row)
			}
			s.reprice(s.outside)
			s.shift(row, s.outsideRow, Nowhere, s.p.Rows[s.outsideRow].Outside)
			return nil
		}
		if len(s.occupants[c]) < s.p.Capacity[c] {
			s.reprice(s.distance[c])
			s.shift(row, s.via[c], c, s.viaCost[c])
			return nil
		}
		s.scanned[c] = true
		for _, r := range s.occupants[c] {
			s.relax(r, s.paid[r]-s.price[c]-s.distance[c])
		}
	}
}

// relax looks at all that row could do instead, given up: what giving up its
// present place yields, less the distance to that place.
func (s *solver) relax(row int, given int64) {
	r := &s.p.Rows[row]
	for _, e := range r.Edges {
		c := e.Column
		if s.scanned[c] {
			continue
		}
		d := e.Cost - s.price[c] - given
		if s.seen[c] && d >= s.distance[c] {
			continue
		}
		if !s.seen[c] {
			s.seen[c] = true
			s.touched = append(s.touched, c)
		}
		s.distance[c], s.via[c], s.viaCost[c] = d, row, e.Cost
	}
	if !r.Bound && r.Outside-given < s.outside {
		s.outside, s.outsideRow = r.Outside-given, row
	}
}

// nearest returns the nearest column that was not looked at, the lowest number
// among equals, or Nowhere. Columns without any place are looked at too: they
// need a price like all full ones.
func (s *solver) nearest() int {
	best := Nowhere
	for _, c := range s.touched {
		if s.scanned[c] {
			continue
		}
		if best == Nowhere || s.distance[c] < s.distance[best] || s.distance[c] == s.distance[best] && c < best {
			best = c
		}
	}
	return best
}

// reprice makes the columns on the way dearer by how much sooner they were
// reached than the end, which keeps every edge's reduced cost at 0 or more.
func (s *solver) reprice(end int64) {
	for _, c := range s.touched {
		if s.scanned[c] {
			s.price[c] += s.distance[c] - end
		}
	}
}

// shift moves row last to column to, and each row before it on the path into
// the place that came free, back to the row that is being placed.
func (s *solver) shift(first, last, to int, cost int64) {
	for row := last; ; {
		from := s.column[row]
		if from != Nowhere {
			s.leave(row, from)
		}
		s.column[row], s.paid[row] = to, cost
		if to != Nowhere {
			s.seat[row] = len(s.occupants[to])
			s.occupants[to] = append(s.occupants[to], row)
		}
		if row == first {
			return
		}
		to, cost, row = from, s.viaCost[from], s.via[from]
	}
}

func (s *solver) leave(row, column int) {
	o := s.occupants[column]
	last := len(o) - 1
	o[s.seat[row]] = o[last]
	s.seat[o[last]] = s.seat[row]
	s.occupants[column] = o[:last]
}

func (s *solver) solution() Solution {
	out := Solution{Column: s.column, RowPrice: make([]int64, len(s.column)), ColumnPrice: s.price}
	for i, c := range s.column {
		out.Total += s.paid[i]
		out.RowPrice[i] = s.paid[i]
		if c != Nowhere {
			out.RowPrice[i] -= s.price[c]
		}
	}
	return out
}
