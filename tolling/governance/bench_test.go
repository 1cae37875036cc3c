package governance_test

import (
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/tolling/governance"
)

// BenchmarkRate is what it costs that tolls are published: rating through the
// chain, beside rating by the network alone.
func BenchmarkRate(b *testing.B) {
	files := someFiles(b)
	chain, err := governance.Unsigned(files, "bench")
	if err != nil {
		b.Fatal(err)
	}
	live, err := governance.NewLive(chain, clock.System{})
	if err != nil {
		b.Fatal(err)
	}
	for name, r := range map[string]governance.Rater{"network": live.Network(), "live": live} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, err := r.Rate("WHC-N", "private_car", start.Add(time.Duration(i)*time.Second)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
