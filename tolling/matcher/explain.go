package matcher

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"freeflow/billing"
	"freeflow/rsu"
	"freeflow/tolling"
	"freeflow/tolling/registry"
)

// Archive gives the archived reads; billing.Reading does.
type Archive interface {
	Archives(ctx context.Context, fromMicros, toMicros int64, each func(blob []byte) bool) error
}

// ReadsOf returns the reads that make up a pass, in order, each once however
// often it was sent: those that name its vehicle by the registry in force, or
// if that is nil or none does, those that named it when they were posted.
// Reads older than the archive's retention are gone.
func ReadsOf(ctx context.Context, books Archive, n rsu.Roadside, in *registry.Registry, p billing.Pass) ([]rsu.Read, error) {
	vehicle := tolling.Vehicle{Name: p.Vehicle, Registered: p.Registered}
	seen, posted := make(map[rsu.Read]bool), make(map[rsu.Read]bool)
	var broken error
	err := books.Archives(ctx, p.FirstMicros, p.LastMicros, func(blob []byte) bool {
		broken = Unpack(blob, func(a Archived) error {
			r := a.Read
			if r.TimeMicros < p.FirstMicros || r.TimeMicros > p.LastMicros {
				return nil
			}
			point, _, ok := n.TollPoint(r.Unit)
			if !ok || point != p.TollPoint {
				return nil
			}
			if a.Vehicle == vehicle {
				posted[r] = true
			}
			if in != nil && in.Resolve(r, point).Vehicle == vehicle {
				seen[r] = true
			}
			return nil
		})
		return broken == nil
	})
	if len(seen) == 0 {
		seen = posted
	}
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
