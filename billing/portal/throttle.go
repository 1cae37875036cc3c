package portal

import (
	"sync"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/recent"
	"freeflow/internal/web"
)

// Bounds of attempts to sign in.
const (
	attemptsAtOnce = 20               // per address
	attemptEvery   = 10 * time.Second // afterwards, per address
	freeFailures   = 3                // per account, before it has to wait
	longestDelay   = time.Minute      // per account
	maxThrottled   = 20_000           // accounts remembered
)

// throttle slows down guessing. An address may try twenty times at once, then
// every ten seconds; after three failures an account has to wait a second,
// then two, then four, up to a minute. Whoever has signed in on a device
// before waits only for failures of that device, so that a stranger's guesses
// do not lock the owner out. Unknown accounts are treated like known ones.
// Safe for concurrent use.
type throttle struct {
	clock     clock.Clock
	addresses *web.Throttle
	mu        sync.Mutex
	accounts  *recent.Map[string, failures]
}

type failures struct {
	count int
	until time.Time
}

func newThrottle(clk clock.Clock) *throttle {
	return &throttle{
		clock:     clk,
		addresses: web.NewThrottle(clk, attemptsAtOnce, attemptEvery),
		accounts:  recent.New[string, failures](maxThrottled, nil),
	}
}

// enter asks to try now. If wait is positive the attempt must not be made and
// may be after that time.
func (t *throttle) enter(address, who string) (wait time.Duration) {
	if wait := t.addresses.Enter(address); wait > 0 {
		return wait
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	f, ok := t.accounts.Get(who)
	if ok && now.Before(f.until) {
		return f.until.Sub(now)
	}
	// Until it is known how the attempt ends it counts as failed: many at
	// once must not all slip through.
	f.count++
	if over := f.count - freeFailures; over > 0 {
		f.until = now.Add(min(longestDelay, time.Second<<min(over-1, 10)))
	}
	t.accounts.Put(who, f)
	return 0
}

// succeeded forgets the failures of an account.
func (t *throttle) succeeded(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accounts.Remove(who)
}
