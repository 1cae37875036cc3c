package matcher

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"freeflow/billing"
)

var errFault = errors.New("injected fault")

// modelBooks is the posting contract in plain maps, with faults: what the
// property test runs the matcher against. fault is asked at each call.
type modelBooks struct {
	mu       sync.Mutex
	id       string
	passes   map[string]billing.Pass
	progress map[int]billing.Progress
	// fault returns what goes wrong in a call: nothing, before, or after.
	fault    func(call string) fault
	archives []*billing.ReadArchive
}

// Archives implements Archive.
func (b *modelBooks) Archives(_ context.Context, from, to int64, each func([]byte) bool) error {
	for _, a := range b.archives {
		if a.MinMicros <= to && a.MaxMicros >= from && !each(a.Blob) {
			break
		}
	}
	return nil
}

type fault int

const (
	noFault fault = iota
	faultBefore
	faultAfter
)

func newModelBooks() *modelBooks {
	return &modelBooks{id: "model", passes: map[string]billing.Pass{}, progress: map[int]billing.Progress{},
		fault: func(string) fault { return noFault }}
}

func (b *modelBooks) ID() string { return b.id }

func (b *modelBooks) Progress(_ context.Context, partition int) (billing.Progress, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.progress[partition], nil
}

func (b *modelBooks) MaxMicros(context.Context) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var latest int64
	for _, p := range b.progress {
		latest = max(latest, p.MaxMicros)
	}
	return latest, nil
}

func (b *modelBooks) Passes(_ context.Context, windows []billing.Window) ([]billing.Pass, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault("passes") != noFault {
		return nil, errFault
	}
	found := map[string]billing.Pass{}
	for _, w := range windows {
		for _, p := range b.passes {
			if p.MergedInto != "" || p.Facility != w.Facility || p.LastMicros < w.FromMicros || p.FirstMicros > w.ToMicros {
				continue
			}
			own := p.Vehicle == w.Vehicle && p.Registered == w.Registered
			carried := !w.Registered && slices.Contains(p.Marks, w.Vehicle)
			if own || carried {
				found[p.ID] = p
			}
		}
	}
	return slices.Collect(maps.Values(found)), nil
}

func (b *modelBooks) Facilities(context.Context) ([]billing.Facility, error) { return nil, nil }

func (b *modelBooks) KnownPasses(_ context.Context, ids []string) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return b.passes[id].ID == "" }), nil
}

func (b *modelBooks) Post(_ context.Context, batch billing.Batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.fault("post")
	if f == faultBefore {
		return errFault
	}
	if b.progress[batch.Partition].NextOffset != batch.From {
		return billing.ErrFenced
	}
	next := maps.Clone(b.passes)
	for _, p := range batch.Passes {
		if next[p.ID].Revision != p.Revision-1 {
			return billing.ErrStale
		}
		p.Marks = slices.Clone(p.Marks)
		p.Evidence = slices.Clone(p.Evidence)
		next[p.ID] = p
	}
	for _, p := range batch.Passes {
		for _, q := range next {
			if p.ID != q.ID && p.MergedInto == "" && q.MergedInto == "" && p.Vehicle == q.Vehicle &&
				p.Registered == q.Registered && p.TollPoint == q.TollPoint &&
				p.FirstMicros-q.LastMicros <= batch.Gap && q.FirstMicros-p.LastMicros <= batch.Gap {
				return billing.ErrStale
			}
		}
	}
	b.passes = next
	b.progress[batch.Partition] = billing.Progress{NextOffset: batch.To, MaxMicros: batch.MaxMicros}
	if batch.Reads != nil {
		b.archives = append(b.archives, batch.Reads)
	}
	if f == faultAfter {
		return errFault
	}
	return nil
}
