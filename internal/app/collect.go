package app

import (
	"context"
	"fmt"

	"freeflow/billing/collect"
)

// startCollecting starts following the postings, beside the matcher, until ctx
// ends: receivables, and what wallets pay of them.
func (s *system) startCollecting(ctx context.Context) error {
	c, err := collect.New(collect.Parts{
		Books: s.parts.books, Clock: s.env.Clock, Log: s.log, Metrics: s.metrics,
		Yield: s.parts.books.OneWriter(),
	})
	if err != nil {
		return fmt.Errorf("building the collector: %w", err)
	}
	s.group.Go(func() error { return c.Run(ctx) })
	return nil
}
