package matcher

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"freeflow/billing"
	"freeflow/rsu"
	"freeflow/tolling"
)

// Archive gives the archived reads; billing.Reading does.
type Archive interface {
	Archives(ctx context.Context, fromMicros, toMicros int64, each func(blob []byte) bool) error
}

// ReadsOf returns the reads that make up a pass, in order, each once however
// often it was sent. Reads older than the archive's retention are gone.
func ReadsOf(ctx context.Context, books Archive, n rsu.Roadside, p billing.Pass) ([]rsu.Read, error) {
	vehicle := tolling.Vehicle{Name: p.Vehicle, Registered: p.Registered}
	seen := make(map[rsu.Read]bool)
	var broken error
	err := books.Archives(ctx, p.FirstMicros, p.LastMicros, func(blob []byte) bool {
		broken = unpack(blob, func(v tolling.Vehicle, r rsu.Read) {
			if v != vehicle || r.TimeMicros < p.FirstMicros || r.TimeMicros > p.LastMicros {
				return
			}
			if point, _, ok := n.TollPoint(r.Unit); ok && point == p.TollPoint {
				seen[r] = true
			}
		})
		return broken == nil
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the reads of pass %s: %w", p.ID, err)
	}
	reads := make([]rsu.Read, 0, len(seen))
	for r := range seen {
		reads = append(reads, r)
	}
	slices.SortFunc(reads, func(a, b rsu.Read) int {
		order := func(r rsu.Read) tolling.Order {
			return tolling.Order{Micros: r.TimeMicros, Unit: r.Unit, Boot: r.Boot, Seq: r.Seq, Class: r.Class}
		}
		return cmp.Or(order(a).Compare(order(b)), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Plate, b.Plate))
	})
	return reads, nil
}
