package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"freeflow/internal/clock"
	"freeflow/tolling/rejudge"
)

// rejudgeEvery is how often a changed registry is looked for: what it touches
// of the past is soon judged anew, too.
const rejudgeEvery = 500 * time.Millisecond

// newRejudge puts together what judges kept reads anew.
func newRejudge(p *parts, keep *keeper, owner string, clk clock.Clock, log *slog.Logger) *rejudge.Runner {
	return rejudge.New(rejudge.Config{
		Network: matching(p.network), Books: p.books, Current: keep.current, Follow: keep.follow,
		Clock: clk, Logger: log, Owner: owner,
	})
}

// rejudge judges kept reads anew beside the matcher, until ctx ends.
func (s *system) rejudge(ctx context.Context) error {
	return newRejudge(s.parts, s.keeper, rand.Text(), s.env.Clock, s.log).Watch(ctx, rejudgeEvery)
}
