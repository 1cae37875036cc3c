package app

import (
	"context"
	"time"

	billingoperator "freeflow/billing/operator"
	"freeflow/rsu"
)

// billingTopics are what operators' staff may do about accounts and money.
func (s *system) billingTopics() []billingoperator.Topic {
	topics := []billingoperator.Topic{
		&billingoperator.Accounts{
			Books: s.parts.books, Clock: s.env.Clock, Plate: rsu.NormalizePlate, Tag: rsu.NormalizeTag,
			KnowsClass: s.parts.network.KnowsClass, Currency: s.parts.network.Currency(),
		},
		&billingoperator.Unpaid{Books: s.parts.books, Ladder: s.ladder(), Clock: s.env.Clock},
		s.statementsTopic(),
		s.settlementTopic(),
		s.disputesTopic(),
	}
	if s.payments != nil {
		topics = append(topics, s.payments.topic(s))
	}
	return topics
}

// pruneBillingOnce forgets old answers to repeatable requests, until ctx ends.
func (s *system) pruneBillingOnce(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if _, err := s.parts.books.PruneOnce(ctx, s.env.Clock.Now().Add(-keepOnce)); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "old answers not pruned", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
