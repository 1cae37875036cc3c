package assign

import "fmt"

// Verify checks that s is a placing of least total cost of p, by nothing but
// the problem, the placing and the prices (linear programming duality): the
// placing fits, every edge costs at least its two prices, exactly those where
// it is used, and only full columns have a price. It returns what is wrong, or
// nil. It takes one pass over the edges.
func (s Solution) Verify(p Problem) error {
	if len(s.Column) != len(p.Rows) || len(s.RowPrice) != len(p.Rows) || len(s.ColumnPrice) != len(p.Capacity) {
		return fmt.Errorf("verifying a placing: %d rows and %d columns are solved of %d and %d",
			len(s.Column), len(s.ColumnPrice), len(p.Rows), len(p.Capacity))
	}
	used := make([]int, len(p.Capacity))
	var total int64
	for i, row := range p.Rows {
		cost, err := s.verifyRow(i, row)
		if err != nil {
			return fmt.Errorf("verifying a placing: row %d: %w", i, err)
		}
		total += cost
		if c := s.Column[i]; c != Nowhere {
			used[c]++
		}
	}
	for c, places := range p.Capacity {
		switch price := s.ColumnPrice[c]; {
		case used[c] > places:
			return fmt.Errorf("verifying a placing: column %d holds %d rows in %d places", c, used[c], places)
		case price > 0:
			return fmt.Errorf("verifying a placing: column %d has a price of %d above 0", c, price)
		case price < 0 && used[c] < places:
			return fmt.Errorf("verifying a placing: column %d has a price of %d and %d places left", c, price, places-used[c])
		}
	}
	if total != s.Total {
		return fmt.Errorf("verifying a placing: the costs add up to %d, not to %d", total, s.Total)
	}
	return nil
}

func (s Solution) verifyRow(i int, row Row) (cost int64, err error) {
	placed := s.Column[i] == Nowhere
	cost = row.Outside
	if placed && row.Bound {
		return 0, fmt.Errorf("it must be placed and is not")
	}
	least := s.RowPrice[i]
	if !row.Bound && (row.Outside < least || placed && row.Outside != least) {
		return 0, fmt.Errorf("outside costs %d, its price is %d", row.Outside, least)
	}
	for _, e := range row.Edges {
		slack := e.Cost - s.ColumnPrice[e.Column] - least
		if slack < 0 {
			return 0, fmt.Errorf("column %d would be cheaper by %d", e.Column, -slack)
		}
		if e.Column == s.Column[i] {
			if slack != 0 {
				return 0, fmt.Errorf("its column %d costs %d more than the prices say", e.Column, slack)
			}
			placed, cost = true, e.Cost
		}
	}
	if !placed {
		return 0, fmt.Errorf("it is in column %d, which it does not allow", s.Column[i])
	}
	return cost, nil
}
