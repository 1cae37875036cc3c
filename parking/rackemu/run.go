package rackemu

import (
	"context"
	"log/slog"
	"time"

	"freeflow/internal/clock"
)

// Accelerated is a clock that runs faster than another by a whole factor, from
// an instant of its own on. Safe for concurrent use.
type Accelerated struct {
	base   clock.Clock
	began  time.Time
	from   time.Time
	factor int64
}

// Accelerate returns a clock that stands at from now and runs factor times as
// fast as base; a factor below 1 counts as 1.
func Accelerate(base clock.Clock, from time.Time, factor int) *Accelerated {
	return &Accelerated{base: base, began: base.Now(), from: from.UTC(), factor: int64(max(factor, 1))}
}

// Now returns the instant of the faster clock, in UTC.
func (a *Accelerated) Now() time.Time {
	return a.from.Add(a.base.Now().Sub(a.began) * time.Duration(a.factor))
}

// Factor is how much faster it runs.
func (a *Accelerated) Factor() int { return int(a.factor) }

// Run steps the rack until the context ends; factor is how much faster the
// rack's clock runs than the machine's, which is what is waited by.
func (r *Rack) Run(ctx context.Context, factor int) {
	const most = time.Second
	for ctx.Err() == nil {
		next, err := r.Step(ctx)
		if err != nil && ctx.Err() == nil {
			r.s.Log.DebugContext(ctx, "a call to the centre failed", slog.String("machine", r.s.Machine), slog.Any("error", err))
		}
		wait := next.Sub(r.clock.Now()) / time.Duration(max(factor, 1))
		t := time.NewTimer(min(max(wait, time.Millisecond), most))
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
	}
}
