package attendant

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"freeflow/parking"
)

// A committer takes what has arrived while the transaction before was under way
// and commits it together: the busier it is, the larger its batches, and nobody
// waits for a batch to fill.

// item is one claim or departure on its way through a committer.
type item[In, Out any] struct {
	in   In
	once *parking.Once
	done chan answered[Out]
	// left says that whoever asked has gone before it was committed.
	left atomic.Bool
}

type answered[Out any] struct {
	out Out
	err error
}

type (
	claim     = item[parking.Claim, parking.ClaimOutcome]
	departure = item[parking.Departure, parking.DepartureOutcome]
)

// submit hands in over and waits for what became of it. ErrBusy: nothing was
// done. Another error: the outcome is unknown.
func submit[In, Out any](ctx context.Context, a *Attendant, to chan *item[In, Out], in In, once *parking.Once) (Out, error) {
	it := &item[In, Out]{in: in, once: once, done: make(chan answered[Out], 1)}
	var none Out
	select {
	case to <- it:
	default:
		return none, ErrBusy
	}
	select {
	case r := <-it.done:
		return r.out, r.err
	case <-ctx.Done():
		it.left.Store(true)
		return none, fmt.Errorf("waiting for the store: %w", ctx.Err())
	case <-a.stopped:
		select {
		case r := <-it.done:
			return r.out, r.err
		default:
			return none, ErrBusy
		}
	}
}

// commitAll runs until the context ends and then refuses what waits.
func commitAll[In, Out any](ctx context.Context, from chan *item[In, Out], most int, commit func([]In) ([]Out, error)) {
	var held *item[In, Out]
	for {
		first := held
		if first == nil {
			select {
			case <-ctx.Done():
				refuse(from)
				return
			case first = <-from:
			}
		}
		var batch []*item[In, Out]
		batch, held = collect(first, from, most)
		if len(batch) == 0 {
			continue
		}
		in := make([]In, len(batch))
		for i := range batch {
			in[i] = batch[i].in
		}
		out, err := commit(in)
		if err == nil && len(out) != len(batch) {
			err = fmt.Errorf("the store answered %d of %d", len(out), len(batch))
		}
		for i, it := range batch {
			r := answered[Out]{err: err}
			if err == nil {
				r.out = out[i]
			}
			it.done <- r
		}
	}
}

// collect takes what is there, up to most. Two items with one idempotency key
// do not go into one batch: the second is held for the next, where it finds the
// answer of the first.
func collect[In, Out any](first *item[In, Out], from chan *item[In, Out], most int) (batch []*item[In, Out], held *item[In, Out]) {
	type key struct{ scope, key string }
	var keys map[key]struct{}
	for it := first; ; {
		if !it.left.Load() {
			if it.once != nil {
				k := key{it.once.Scope, it.once.Key}
				if _, twice := keys[k]; twice {
					return batch, it
				}
				if keys == nil {
					keys = map[key]struct{}{}
				}
				keys[k] = struct{}{}
			}
			batch = append(batch, it)
		}
		if len(batch) >= most {
			return batch, nil
		}
		select {
		case it = <-from:
		default:
			return batch, nil
		}
	}
}

func refuse[In, Out any](from chan *item[In, Out]) {
	for {
		select {
		case it := <-from:
			it.done <- answered[Out]{err: ErrBusy}
		default:
			return
		}
	}
}

func (a *Attendant) commitClaims(ctx context.Context) {
	commitAll(ctx, a.claims, a.settings.Batch, func(claims []parking.Claim) ([]parking.ClaimOutcome, error) {
		// A transaction that has begun is not cut off by the service stopping.
		tctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.settings.CommitTimeout)
		defer cancel()
		began := a.clock.Now()
		out, err := a.bays.Claim(tctx, a.now(), claims)
		a.metrics.Batch.Observe(float64(len(claims)))
		a.metrics.BatchSeconds.Observe(a.clock.Now().Sub(began).Seconds())
		if err != nil {
			err = fmt.Errorf("claiming bays: %w", err)
		}
		return out, err
	})
}

func (a *Attendant) commitDepartures(ctx context.Context) {
	commitAll(ctx, a.departures, a.settings.Batch, func(departures []parking.Departure) ([]parking.DepartureOutcome, error) {
		tctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.settings.CommitTimeout)
		defer cancel()
		out, err := a.bays.Depart(tctx, a.now(), departures)
		if err != nil {
			err = fmt.Errorf("ending allocations: %w", err)
		}
		return out, err
	})
}

// now is the present instant as the store keeps it.
func (a *Attendant) now() time.Time { return a.clock.Now().UTC().Truncate(time.Microsecond) }
