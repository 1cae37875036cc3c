package web

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
	"freeflow/internal/recent"
)

// maxThrottled bounds the addresses that a Throttle remembers.
const maxThrottled = 20_000

// Throttle slows callers down, each address on its own: so many times at once,
// then one more whenever some time has passed. Whoever has not been seen for
// long may have been forgotten and starts anew. It counts in this process
// alone. Safe for concurrent use.
type Throttle struct {
	clock  clock.Clock
	atOnce int
	every  time.Duration
	mu     sync.Mutex
	// whole is when an address will have everything again: each time moves that
	// every further away.
	whole *recent.Map[string, time.Time]
}

// NewThrottle returns a throttle that lets each address pass atOnce times at
// once, and then once every so long.
func NewThrottle(clk clock.Clock, atOnce int, every time.Duration) *Throttle {
	return &Throttle{clock: clk, atOnce: atOnce, every: every, whole: recent.New[string, time.Time](maxThrottled, nil)}
}

// Enter asks to pass now. If wait is positive the address may not, and may after
// that time.
func (t *Throttle) Enter(address string) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, network := t.clock.Now(), Network(address)
	whole, ok := t.whole.Get(network)
	if !ok || whole.Before(now) {
		whole = now
	}
	if wait := whole.Sub(now) - time.Duration(t.atOnce-1)*t.every; wait > 0 {
		return wait
	}
	t.whole.Put(network, whole.Add(t.every))
	return 0
}

// Middleware answers 429 to addresses that have to wait.
func (t *Throttle) Middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if wait := t.Enter(c.RealIP()); wait > 0 {
			return TooMany("too many requests from this address", wait)
		}
		return next(c)
	}
}

// TooMany is the 429 for a caller who has to wait, with Retry-After in whole
// seconds.
func TooMany(detail string, wait time.Duration) *Problem {
	seconds := int64(math.Ceil(wait.Seconds()))
	p := NewProblem(http.StatusTooManyRequests, "too-many-requests", "", fmt.Sprintf("%s; try again in %d seconds", detail, seconds))
	p.Header = http.Header{"Retry-After": {strconv.FormatInt(seconds, 10)}}
	return p
}

// Network returns what counts as one address: of IPv6 the /64, which a single
// customer has; an IPv4 address in IPv6's form is that of IPv4. What is no
// address comes back as it is.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}
