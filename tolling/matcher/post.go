package matcher

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"freeflow/billing"
	"freeflow/tolling"
	"freeflow/tolling/passage"
)

// batch makes what is to be posted of the table: the passes that are new or
// changed, each one revision further, and the reads as evidence.
func (t *table) batch(next int64) (billing.Batch, error) {
	b := billing.Batch{
		Partition: t.partition,
		From:      t.progress.NextOffset, To: next,
		MaxMicros: t.progress.MaxMicros,
		PostedAt:  t.Clock.Now(),
		Gap:       t.Network.GapMicros(),
		Fence:     &billing.Fence{Registry: t.registry.Version(), Epochs: map[string]int64{}},
	}
	for i := range t.reads {
		b.MaxMicros = max(b.MaxMicros, t.reads[i].read.TimeMicros)
		facility := t.reads[i].facility
		b.Fence.Epochs[facility] = t.fences[facility].Epoch
	}
	// Passes that were swallowed are no longer in their record; they come
	// first, so that no two standing ones overlap at any moment.
	var swallowed, standing []billing.Pass
	for _, h := range t.byID {
		switch {
		case h.mergedInto != nil && h.revision > 0:
			h.revision++
			swallowed = append(swallowed, toBooks(h, t.facility(h), t.Network.Currency()))
		case h.mergedInto == nil && (h.revision == 0 || h.changed || h.Last != h.postedLast):
			h.revision++
			standing = append(standing, toBooks(h, t.facility(h), t.Network.Currency()))
		}
	}
	byID := func(a, b billing.Pass) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortFunc(swallowed, byID)
	slices.SortFunc(standing, byID)
	b.Passes = append(swallowed, standing...)
	var err error
	if b.Reads, err = t.session.archive.pack(t.reads, t.registry.Version()); err != nil {
		return b, fmt.Errorf("packing the reads of offsets %d to %d: %w", b.From, b.To, err)
	}
	return b, nil
}

func (t *table) facility(h *held) string {
	point, _ := t.Network.Point(h.Point)
	return point.Facility
}

// puts returns the records to hold after the batch: those touched, cut down to
// what lies at or after the horizon. It is called after the batch was posted.
func (t *table) puts(horizon int64) ([]passage.Item, error) {
	var items []passage.Item
	for _, k := range t.order {
		r := t.records[k]
		if !r.touched || !r.asked {
			continue
		}
		item := passage.Item{Key: k}
		var passes []*held
		for _, p := range r.passes {
			if p.Last >= horizon {
				passes = append(passes, t.byID[p.ID])
				item.LastMicros = max(item.LastMicros, p.Last)
			}
		}
		carriers := slices.DeleteFunc(slices.Clone(r.carriers), func(c carrier) bool { return c.last < horizon })
		for _, c := range carriers {
			item.LastMicros = max(item.LastMicros, c.last)
		}
		if len(passes) == 0 && len(carriers) == 0 {
			continue
		}
		var err error
		if item.Value, err = encodeRecord(passes, carriers); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// rate is the tolling.Rater of the network.
func (t *table) rate(point, class string, micros int64) (tolling.Price, bool) {
	toll, err := t.Network.Rate(point, class, time.UnixMicro(micros))
	if err != nil {
		return tolling.Price{}, false
	}
	return tolling.Price{Cents: toll.Cents, Version: toll.Version, Rule: toll.Rule}, true
}

func sameVerdict(a, b tolling.Verdict) bool {
	return a.Status == b.Status && a.Class == b.Class && a.Account == b.Account && a.Cents == b.Cents &&
		a.Version == b.Version && a.Rule == b.Rule && slices.Equal(a.Reasons, b.Reasons)
}
