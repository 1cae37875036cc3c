package rerate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/internal/clock"
)

// putOff is a re-rate that failed.
type putOff struct {
	failures int64
	until    time.Time
}

// rounds is how often passes that cannot be posted are tried before they are
// given up, so that the others' re-rate is finished and its customers are told.
const rounds = 5

// Once executes what is ordered, each to its end. One that fails is put off, and
// the others go on; errors come joined. What is put off is left out.
func (r *Rerater) Once(ctx context.Context) error {
	running, err := r.Books.Rerates(ctx, billing.RerateRunning, 0, page)
	if err != nil {
		return err
	}
	var failed error
	for _, v := range running {
		failures, due := r.due(v.ID)
		if !due {
			continue
		}
		err := r.execute(ctx, v, failures+1 >= rounds)
		if ctx.Err() != nil {
			return errors.Join(failed, err)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("executing re-rate %d: %w", v.ID, err))
		}
		r.note(v.ID, err)
	}
	return failed
}

// due returns how often a re-rate failed in a row, and whether it is to be
// executed now.
func (r *Rerater) due(id int64) (failures int64, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.waiting[id]
	return w.failures, !r.Clock.Now().Before(w.until)
}

// note puts a re-rate off that failed, or forgets that it did.
func (r *Rerater) note(id int64, failed error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if failed == nil {
		delete(r.waiting, id)
		return
	}
	if r.waiting == nil {
		r.waiting = map[int64]putOff{}
	}
	n := r.waiting[id].failures + 1
	r.waiting[id] = putOff{n, r.Clock.Now().Add(billing.PutOffPause(n))}
}

// Watch executes what is ordered again and again until ctx ends. What fails is
// logged and tried again.
func (r *Rerater) Watch(ctx context.Context, every time.Duration) error {
	clock.Every(ctx, every, func(ctx context.Context) {
		if err := r.Once(ctx); err != nil && ctx.Err() == nil {
			r.Logger.ErrorContext(ctx, "passes not rated anew; trying again", "err", err)
		}
	})
	return nil
}

// maxStale bounds how often one batch is tried again, maxFailing the passes of a
// re-rate that cannot be posted: with more, something is wrong with all.
const (
	maxStale   = 16
	maxFailing = 1000
)

// execution is one attempt to execute a re-rate.
type execution struct {
	*Rerater
	v billing.Rerate
	// failing are the passes that cannot be posted, with why.
	failing map[string]error
	stale   int
}

// execute posts batch by batch until none is pending. A pass that cannot be
// posted is left for another attempt, or given up at the last one.
func (r *Rerater) execute(ctx context.Context, v billing.Rerate, last bool) error {
	e := &execution{Rerater: r, v: v, failing: map[string]error{}}
	for {
		tried, err := e.some(ctx, "", nil)
		switch {
		case errors.Is(err, billing.ErrNotFound) && v.Passes == 0:
			tried = nil // no pass was ever posted at the facility
		case err != nil && ctx.Err() == nil && len(tried) > 0:
			if err := e.oneByOne(ctx, tried); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if len(tried) == 0 {
			break
		}
	}
	var failed error
	for pass, err := range e.failing {
		r.Logger.ErrorContext(ctx, "a pass cannot be rated anew", "rerate", v.ID, "pass", pass, "given_up", last, "err", err)
		failed = errors.Join(failed, fmt.Errorf("pass %s: %w", pass, err))
		if last {
			if _, err := e.some(ctx, pass, []string{pass}); err != nil {
				return errors.Join(failed, err)
			}
		}
	}
	if failed != nil && !last {
		return failed
	}
	done, err := r.Books.FinishRerate(ctx, v.ID, r.Clock.Now())
	if err != nil {
		return err
	}
	r.Logger.InfoContext(ctx, "passes rated anew", "rerate", done.ID, "facility", done.Facility, "done", done.Done, "changed", done.Changed, "failed", len(e.failing))
	return nil
}

// oneByOne posts each pass of a batch that failed by itself, and notes which
// fail.
func (e *execution) oneByOne(ctx context.Context, passes []string) error {
	var failed error
	n := 0
	for _, pass := range passes {
		_, err := e.some(ctx, pass, nil)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			failed = errors.Join(failed, err)
			e.failing[pass] = err
			n++
		}
	}
	if n > 1 && n == len(passes) || len(e.failing) > maxFailing {
		return fmt.Errorf("none of %d passes could be posted, or too many could not: %w", n, failed)
	}
	return nil
}

// some posts pending passes in one transaction, only one where it is named, and
// returns which it tried. What is given up is only marked.
func (e *execution) some(ctx context.Context, only string, givenUp []string) (tried []string, err error) {
	for {
		err = e.Books.Restate(ctx, billing.Restatement{
			Facility: e.v.Facility, PostedAt: e.Clock.Now(), Rerate: e.v.ID, OnlyMoney: true, DoneMicros: -1,
			Decide: func(ctx context.Context, view billing.View) (billing.Restated, error) {
				tried = nil
				pending, err := view.PendingRerate(ctx, batch+len(e.failing))
				var rows []billing.RerateRow
				for _, row := range pending {
					if _, failing := e.failing[row.PassID]; row.PassID == only || only == "" && !failing && len(rows) < batch {
						rows = append(rows, row)
						tried = append(tried, row.PassID)
					}
				}
				switch {
				case err != nil || len(rows) == 0:
					return billing.Restated{}, err
				case givenUp != nil:
					return billing.Restated{Failed: givenUp}, nil
				}
				return restate(ctx, view, rows)
			},
		})
		if !errors.Is(err, billing.ErrStale) || e.stale == maxStale {
			return tried, err
		}
		e.stale++
	}
}

// restate gives the passes of pending rows their new amounts; those that no
// longer stand as they did are left.
func restate(ctx context.Context, view billing.View, rows []billing.RerateRow) (billing.Restated, error) {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].PassID
	}
	passes, err := view.ByID(ctx, ids)
	if err != nil {
		return billing.Restated{}, err
	}
	byID := make(map[string]billing.Pass, len(passes))
	for _, p := range passes {
		byID[p.ID] = p
	}
	var out billing.Restated
	for i := range rows {
		row := &rows[i]
		p := byID[row.PassID]
		// One that only became longer since owes what it owed.
		if p.MergedInto != "" || p.Decision != nil || !asPlanned(&p, row) {
			out.Changed = append(out.Changed, row.PassID)
			continue
		}
		p.Revision++
		p.AmountCents, p.TariffVersion, p.Rule = row.NowCents, row.Version, row.Rule
		out.Passes = append(out.Passes, p)
	}
	return out, nil
}
