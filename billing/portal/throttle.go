package portal

import (
	"net/netip"
	"sync"
	"time"

	"freeflow/internal/clock"
)

// Bounds of attempts to sign in.
const (
	attemptsAtOnce = 20               // per address
	attemptEvery   = 10 * time.Second // afterwards, per address
	freeFailures   = 3                // per account, before it has to wait
	longestDelay   = time.Minute      // per account
	maxThrottled   = 20_000           // addresses, and accounts, remembered
)

// throttle slows down guessing. An address may try twenty times at once, then
// every ten seconds; after three failures an account has to wait a second,
// then two, then four, up to a minute. Whoever has signed in on a device
// before waits only for failures of that device, so that a stranger's guesses
// do not lock the owner out. Unknown accounts are treated like known ones.
// Safe for concurrent use.
type throttle struct {
	clock     clock.Clock
	mu        sync.Mutex
	addresses *recent[string, allowance]
	accounts  *recent[string, failures]
}

// allowance is when an address will have all its attempts again: each attempt
// moves that attemptEvery further away.
type allowance struct{ whole time.Time }

type failures struct {
	count int
	until time.Time
}

func newThrottle(clk clock.Clock) *throttle {
	return &throttle{
		clock:     clk,
		addresses: newRecent[string, allowance](maxThrottled, nil),
		accounts:  newRecent[string, failures](maxThrottled, nil),
	}
}

// enter asks to try now. If wait is positive the attempt must not be made and
// may be after that time.
func (t *throttle) enter(address, who string) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	network := networkOf(address)
	a, ok := t.addresses.get(network)
	if !ok || a.whole.Before(now) {
		a.whole = now
	}
	if wait := a.whole.Sub(now) - (attemptsAtOnce-1)*attemptEvery; wait > 0 {
		return wait
	}
	a.whole = a.whole.Add(attemptEvery)
	t.addresses.put(network, a)
	f, ok := t.accounts.get(who)
	if ok && now.Before(f.until) {
		return f.until.Sub(now)
	}
	// Until it is known how the attempt ends it counts as failed: many at
	// once must not all slip through.
	f.count++
	if over := f.count - freeFailures; over > 0 {
		f.until = now.Add(min(longestDelay, time.Second<<min(over-1, 10)))
	}
	t.accounts.put(who, f)
	return 0
}

// succeeded forgets the failures of an account.
func (t *throttle) succeeded(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accounts.remove(who)
}

// networkOf returns what counts as one address: of IPv6 the /64, which a
// single customer has.
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}
