// Package collect owns the collector: the background work that follows the
// books' postings, so that receivables stand shortly after each, and what
// wallets cover is paid. What a receivable and a collection are is package
// billing's; the books do the work, in one transaction a batch.
//
// Invariants: nothing is kept here between batches, so that a collector may
// die at any moment, and several may run (the books let one follow at a time);
// batches are bounded; after an error it waits longer each time, and never
// gives up.
//
// Not promised: that anything is collected within a given time of its posting,
// beyond the metrics that say how far behind it is.
package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeflow/billing"
	"freeflow/internal/clock"
)

const (
	// batch bounds the postings that are followed at a time. The books bound
	// what is in them.
	batch = 200
	// idle is how long the collector waits when there is nothing to follow.
	idle = 100 * time.Millisecond
	// backoff is the wait after the first error; it doubles up to backoffTo.
	backoff   = 200 * time.Millisecond
	backoffTo = 10 * time.Second
)

// Parts are what a Collector is made of; Books, Clock, Log and Metrics are
// needed.
type Parts struct {
	Books   billing.Collecting
	Clock   clock.Clock
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Yield is for books with one writer at a time: after each batch the
	// collector leaves the writer to those who post for three times as long as
	// the batch took, so that they never get less than three quarters of it.
	Yield bool
}

// Collector follows postings. Make it with New; Run is to be called once.
type Collector struct {
	p       Parts
	figures *figures
	// behind is the posting date, in microseconds, of the oldest posting that is
	// known to wait; 0 if none is.
	behind atomic.Int64
}

// New returns a collector, and registers its figures.
func New(p Parts) (*Collector, error) {
	if p.Books == nil || p.Clock == nil || p.Log == nil || p.Metrics == nil {
		return nil, errors.New("making the collector: Books, Clock, Log and Metrics are needed")
	}
	c := &Collector{p: p}
	var err error
	if c.figures, err = newFigures(p.Metrics, c.Lag); err != nil {
		return nil, fmt.Errorf("making the collector: %w", err)
	}
	return c, nil
}

// Lag is the age of the oldest posting that is known to wait; 0 if none is.
func (c *Collector) Lag() time.Duration {
	at := c.behind.Load()
	if at == 0 {
		return 0
	}
	return max(0, c.p.Clock.Now().Sub(time.UnixMicro(at)))
}

// Run follows until the context ends, and returns nil then.
func (c *Collector) Run(ctx context.Context) error {
	pause := backoff
	for {
		wait := idle
		began := c.p.Clock.Now()
		done, err := c.Once(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.p.Log.ErrorContext(ctx, "postings not followed; trying again", "err", err, "in", pause)
			wait, pause = pause, min(2*pause, backoffTo)
		default:
			pause = backoff
			if done.Postings > 0 {
				wait = 0 // there may be more
				if c.p.Yield {
					wait = min(idle, 3*c.p.Clock.Now().Sub(began))
				}
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// CatchUp follows until nothing is left, or fails with the first error.
func (c *Collector) CatchUp(ctx context.Context) error {
	for {
		done, err := c.Once(ctx)
		if err != nil || done.Postings == 0 {
			return err
		}
	}
}

// Once follows one batch of postings. Safe for concurrent use.
func (c *Collector) Once(ctx context.Context) (billing.Followed, error) {
	done, err := c.p.Books.FollowPostings(ctx, batch, c.p.Clock.Now())
	if err != nil {
		return billing.Followed{}, c.failed(ctx, fmt.Errorf("following postings: %w", err))
	}
	c.figures.followed(done)
	// Those behind the ones taken are hardly younger.
	c.waits(done.Oldest)
	if _, err := c.p.Books.MoveOn(ctx, batch, c.p.Clock.Now()); err != nil {
		return done, c.failed(ctx, err)
	}
	return done, nil
}

// failed counts a failure, and looks at what waits; one that comes of the
// context's end is none.
func (c *Collector) failed(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		c.figures.failures.Inc()
		c.look(ctx)
	}
	return err
}

// look asks what waits, after a failure, so that the lag grows while nothing
// goes on. What cannot be asked stays as it was.
func (c *Collector) look(ctx context.Context) {
	if oldest, err := c.p.Books.Unfollowed(ctx); err == nil {
		c.waits(oldest)
	}
}

func (c *Collector) waits(since time.Time) {
	if since.IsZero() {
		c.behind.Store(0)
		return
	}
	c.behind.Store(since.UnixMicro())
}
