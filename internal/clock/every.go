package clock

import (
	"context"
	"time"
)

// Every calls do in the interval, the first time after it, until ctx ends. The
// interval is the machine's time; calls never overlap, and what falls due while
// one runs is left out.
func Every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do(ctx)
		}
	}
}
