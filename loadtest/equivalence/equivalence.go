// Package equivalence compares the product with the oracle: random streams of
// reads go through the built binary's replay, whole, shuffled, repeated, split
// over files and runs, and with kill -9 on the way, and must end in the
// oracle's charges, row by row.
//
// It owns nothing but the comparison; streams are loadtest/traffic's, the
// expectation is loadtest/oracle's. A failure prints the seed that makes it
// again.
package equivalence

import (
	"fmt"
	"strings"

	"freeflow/loadtest/oracle"
)

// shown bounds how many rows of a difference are printed.
const shown = 12

// compare says how the product's rows differ from the oracle's, in both
// directions and in order; empty if they do not.
func compare(want, got []string) string {
	missing, extra := oracle.Difference(want, got)
	if len(missing)+len(extra) == 0 {
		for i := range want {
			if want[i] != got[i] {
				return fmt.Sprintf("the rows are right but in another order: row %d is\n  %s\nand must be\n  %s", i+1, got[i], want[i])
			}
		}
		return ""
	}
	var b strings.Builder
	list := func(title string, rows []string) {
		fmt.Fprintf(&b, "%s: %d\n", title, len(rows))
		for i, row := range rows {
			if i == shown {
				fmt.Fprintf(&b, "  ... and %d more\n", len(rows)-shown)
				break
			}
			fmt.Fprintf(&b, "  %s\n", row)
		}
	}
	list("only the oracle has", missing)
	list("only the product has", extra)
	return b.String()
}
