package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"freeflow/internal/kafka"
	"freeflow/tolling/matcher"
)

// matcherRun is a matcher at work, watched for failures that do not go away.
type matcherRun struct {
	parts  *parts
	cancel context.CancelFunc
	done   chan error

	mu   sync.Mutex
	last error // why a session ended last
}

// sessionTimeout is how long a silent matcher keeps its partitions unless told
// otherwise.
const sessionTimeout = 10 * time.Second

// startRun starts the matcher on the partitions that fall to it.
func startRun(ctx context.Context, p *parts, m *matcher.Matcher, session time.Duration, log *slog.Logger) *matcherRun {
	ctx, cancel := context.WithCancel(ctx)
	r := &matcherRun{parts: p, cancel: cancel, done: make(chan error, 1)}
	group := kafka.NewGroup(kafka.GroupConfig{
		Brokers: p.brokers, GroupID: groupMatcher, Topic: kafka.TopicReads, SessionTimeout: session,
		Heartbeat: min(session/5, time.Second), Log: log,
	})
	go func() {
		r.done <- group.Run(ctx, func(ctx context.Context, s kafka.Session) error {
			err := m.Serve(ctx, s)
			if ctx.Err() == nil {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.last = err
			}
			return err
		})
	}()
	return r
}

// stuckAfter is how long a drain waits without progress before it gives up
// with what went wrong last.
const stuckAfter = 30 * time.Second

// drain waits until all that stands in the log is posted.
func (r *matcherRun) drain(ctx context.Context) error {
	ends, err := r.parts.ends(ctx)
	if err != nil {
		return fmt.Errorf("asking the log for its ends: %w", err)
	}
	const pause = 20 * time.Millisecond
	var before int64 = -1
	for waited := time.Duration(0); ; waited += pause {
		var left, posted int64
		for partition, end := range ends {
			progress, err := r.parts.books.Progress(ctx, partition)
			if err != nil {
				return fmt.Errorf("reading the progress of partition %d: %w", partition, err)
			}
			left += max(end-progress.NextOffset, 0)
			posted += progress.NextOffset
		}
		if left == 0 {
			return nil
		}
		if posted != before {
			before, waited = posted, 0
		}
		if waited >= stuckAfter {
			r.mu.Lock()
			defer r.mu.Unlock()
			return fmt.Errorf("%d reads are in the log but not posted: %w", left, errors.Join(r.last))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-r.done:
			r.done <- err
			return errors.Join(errors.New("the matcher ended before all was posted"), err)
		case <-time.After(pause):
		}
	}
}

// stop ends the matcher and waits for it.
func (r *matcherRun) stop() error {
	r.cancel()
	return <-r.done
}
