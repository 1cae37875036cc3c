package rejudge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"freeflow/billing"
	"freeflow/tolling"
	"freeflow/tolling/matcher"
)

// run is one job on its way.
type run struct {
	*Runner
	*change
	job billing.RejudgeJob
	// pruned is the latest time of any read that is no longer kept.
	pruned int64
	// renewed is when the lease was prolonged last, while archives were read.
	renewed time.Time
}

// touchedRead is where a touched read was.
type touchedRead struct {
	micros   int64
	facility string
}

// searched is what a search found.
type searched struct {
	// reads are in order of time, and each place and time once.
	reads []touchedRead
	// until is up to where the search is complete, included.
	until    int64
	archives int
}

// search finds the touched reads of a stretch of time, the earliest if there
// are many.
func (w *run) search(ctx context.Context, from, to int64) (*searched, error) {
	found := &searched{until: to}
	seen := map[touchedRead]bool{}
	cut := func() {
		slices.SortFunc(found.reads, func(a, b touchedRead) int {
			return cmp.Or(cmp.Compare(a.micros, b.micros), cmp.Compare(a.facility, b.facility))
		})
		if len(found.reads) <= w.reads {
			return
		}
		// All reads of the last instant stay together.
		last := found.reads[w.reads-1].micros
		n, _ := slices.BinarySearchFunc(found.reads, last+1, func(a touchedRead, at int64) int { return cmp.Compare(a.micros, at) })
		if n < len(found.reads) {
			found.until = last
		}
		for _, gone := range found.reads[n:] {
			delete(seen, gone)
		}
		found.reads = found.reads[:n]
	}
	err := w.archives(ctx, from, to, func(a matcher.Archived) error {
		at := a.Read.TimeMicros
		if at < from || at > found.until || !w.touched.Touches(a.Read.Tag, a.Read.Plate, at) {
			return nil
		}
		_, facility, ok := w.Network.TollPoint(a.Read.Unit)
		one := touchedRead{at, facility}
		if !ok || seen[one] {
			return nil
		}
		seen[one] = true
		if found.reads = append(found.reads, one); len(found.reads) > 2*w.reads {
			cut()
		}
		return nil
	}, func() { found.archives++ })
	if err != nil {
		return nil, fmt.Errorf("searching reads that the registry's change touches: %w", err)
	}
	cut()
	return found, nil
}

// archives calls each with the kept reads of archives that may have some in
// [from, to], and began with every archive.
func (w *run) archives(ctx context.Context, from, to int64, each func(matcher.Archived) error, began func()) error {
	var broken error
	err := w.Books.Archives(ctx, from, to, func(blob []byte) bool {
		began()
		if broken = matcher.Unpack(blob, each); broken == nil {
			broken = w.renew(ctx)
		}
		return broken == nil
	})
	if err == nil {
		err = broken
	}
	return err
}

// renew prolongs the lease while archives are read, which may take minutes.
func (w *run) renew(ctx context.Context) error {
	now := w.Clock.Now()
	if now.Sub(w.renewed) < lease/4 {
		return nil
	}
	w.renewed = now
	return w.Books.AdvanceRejudge(ctx, w.job.ID, w.Owner, 0, w.until())
}

// namedAtOnce bounds the vehicles of which passes are looked for when reads are
// no longer kept.
const namedAtOnce = 20_000

// reportPruned notes the passes that the change may touch and whose reads are no
// longer kept: those of vehicles that the changed rows name, as far back.
func (w *run) reportPruned(ctx context.Context) error {
	names := map[string]bool{}
	for i := range w.rows {
		row := &w.rows[i]
		if row.Plate != "" {
			names[row.Plate], names[tolling.PlateVehicle(row.Plate)] = true, true
		}
		if row.Tag != "" {
			names[tolling.TagVehicle(row.Tag)] = true
		}
		if len(names) > namedAtOnce {
			w.Logger.WarnContext(ctx, "too many rows of the registry changed to name the passes whose reads are no longer kept", "job", w.job.ID)
			return nil
		}
	}
	for name := range names {
		f := billing.Filter{Vehicle: name, FromMicros: w.job.FromMicros, ToMicros: min(w.job.ToMicros, w.pruned) + 1, Limit: 1000}
		for {
			passes, err := w.Books.List(ctx, f)
			if err != nil {
				return fmt.Errorf("looking for passes whose reads are no longer kept: %w", err)
			}
			var ids []string
			for i := range passes {
				if w.about(&passes[i]) {
					ids = append(ids, passes[i].ID)
				}
			}
			if len(ids) > 0 {
				if err := w.Books.SkipRejudge(ctx, w.job.ID, w.Owner, ids); err != nil {
					return err
				}
			}
			if len(passes) < f.Limit {
				break
			}
			last := passes[len(passes)-1]
			f.After = billing.Cursor{FirstMicros: last.FirstMicros, TollPoint: last.TollPoint, Vehicle: last.Vehicle, ID: last.ID}
		}
	}
	return nil
}

// about reports whether a changed row that names the pass's vehicle means
// something else at its time.
func (w *run) about(p *billing.Pass) bool {
	for i := range w.rows {
		row := &w.rows[i]
		named := row.Plate != "" && (p.Vehicle == row.Plate || p.Vehicle == tolling.PlateVehicle(row.Plate)) ||
			row.Tag != "" && p.Vehicle == tolling.TagVehicle(row.Tag)
		if named && (w.touched.Touches(row.Tag, row.Plate, p.FirstMicros) || w.touched.Touches(row.Tag, row.Plate, p.LastMicros)) {
			return true
		}
	}
	return false
}
