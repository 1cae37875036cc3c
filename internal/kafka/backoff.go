package kafka

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff doubles its waits between two bounds, with jitter so that many
// clients of a broker that comes back do not arrive as one.
type backoff struct{ next, least, most time.Duration }

func newBackoff(least, most time.Duration) *backoff {
	return &backoff{next: least, least: least, most: most}
}

// reset begins again at the least wait; for use after a success.
func (b *backoff) reset() { b.next = b.least }

// sleep waits, and reports whether ctx is still alive.
func (b *backoff) sleep(ctx context.Context) bool {
	d := b.next/2 + rand.N(b.next/2+1)
	b.next = min(2*b.next, b.most)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
