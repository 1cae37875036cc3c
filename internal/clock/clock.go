// Package clock owns the reading of the time of day. Everything else is given
// a Clock, so that a test decides what time it is; a lint rule forbids
// time.Now elsewhere.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time. Implementations are safe for concurrent use.
type Clock interface {
	// Now returns the present instant, in UTC.
	Now() time.Time
}

// System is the machine's clock.
type System struct{}

// Now returns the machine's time, in UTC. The reading keeps Go's monotonic
// part, so that differences of two readings survive a step of the wall clock.
func (System) Now() time.Time { return time.Now().UTC() }

// Fixed is a clock that stands still until it is moved; for tests and for
// replays at a stated instant. The zero value stands at the zero time.
type Fixed struct {
	mu sync.Mutex
	at time.Time
}

// At returns a clock that stands at t.
func At(t time.Time) *Fixed { return &Fixed{at: t.UTC()} }

// Now returns the instant at which the clock stands, in UTC.
func (f *Fixed) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// Set moves the clock to t, forwards or backwards.
func (f *Fixed) Set(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = t.UTC()
}

// Advance moves the clock by d.
func (f *Fixed) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}
