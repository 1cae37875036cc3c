package cashier

import (
	"fmt"
	"testing"
	"time"

	"freeflow/parking"
)

// BenchmarkLane is one event of a vehicle that comes and goes: entry, exit,
// price and order, on SQLite.
func BenchmarkLane(b *testing.B) {
	w := newWorld(b)
	n := 0
	for b.Loop() {
		e := w.event("IN-1", fmt.Sprintf("ZZ%d", n/2%50))
		if n%2 == 1 {
			e.Lane, e.Direction = "P-OUT-1", parking.Out
		}
		n++
		w.clock.Advance(10 * time.Minute)
		if r := w.lane(e)[0]; r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}
