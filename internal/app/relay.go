package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"freeflow/billing"
	"freeflow/billing/portal"
	"freeflow/internal/clock"
	"freeflow/internal/kafka"
)

const (
	// relayIdle is how long the relay waits when the outbox is empty; a charge
	// is on an open page within that and the way through the log.
	relayIdle = 100 * time.Millisecond
	// relayBatch bounds what the relay takes at a time.
	relayBatch = 200
	// relayKeep is how long published events stay in the outbox.
	relayKeep = 24 * time.Hour
	// pruneEvery is how often old events and reads are deleted.
	pruneEvery = 10 * time.Minute
)

// relay brings committed postings from the outbox to the log, each at least
// once, until ctx ends. Several relays may run; an event is then published
// more than once.
func relay(ctx context.Context, outbox billing.Outbox, publisher *kafka.Publisher, log *slog.Logger) error {
	for {
		n, err := relayOnce(ctx, outbox, publisher)
		if err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "events not relayed", "err", err)
		}
		if n == relayBatch && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(relayIdle):
		}
	}
}

// retained is what the books keep for a time only.
type retained interface {
	billing.Outbox
	billing.Retention
}

// prune deletes published events and archived reads that are old enough, until
// ctx ends.
func prune(ctx context.Context, books retained, keepReads time.Duration, clk clock.Clock, log *slog.Logger) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		now := clk.Now()
		if err := books.PrunePublished(ctx, now.Add(-relayKeep)); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "published events not pruned", "err", err)
		}
		n, err := books.PruneArchives(ctx, now.Add(-keepReads))
		if err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "archived reads not pruned", "err", err)
		} else if n > 0 {
			log.InfoContext(ctx, "archived reads pruned", "batches", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func relayOnce(ctx context.Context, outbox billing.Outbox, publisher *kafka.Publisher) (int, error) {
	events, err := outbox.Unpublished(ctx, relayBatch)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	messages := make([]kafka.Message, len(events))
	ids := make([]int64, len(events))
	for i, e := range events {
		messages[i] = kafka.Message{Key: []byte("charges"), Value: e.Payload}
		ids[i] = e.ID
	}
	if err := publisher.Publish(ctx, topicCharges, messages); err != nil {
		return 0, fmt.Errorf("publishing events: %w", err)
	}
	if err := outbox.MarkPublished(ctx, ids); err != nil {
		return 0, fmt.Errorf("marking events as published: %w", err)
	}
	return len(events), nil
}

// followCharges tells open pages of the accounts that events speak of, until
// ctx ends. What happens while it is not connected is not told; pages reload.
func followCharges(ctx context.Context, brokers []string, feed *portal.Feed, log *slog.Logger) error {
	for ctx.Err() == nil {
		err := kafka.Follow(ctx, kafka.FollowConfig{Brokers: brokers, Topic: topicCharges, Log: log},
			func(_ int, records []kafka.Record) error {
				var accounts []string
				for _, r := range records {
					touched, err := touchedAccounts(r.Value)
					if err != nil {
						log.WarnContext(ctx, "event not understood", "offset", r.Offset, "err", err)
						continue
					}
					accounts = append(accounts, touched...)
				}
				feed.Notify(accounts)
				return nil
			})
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "events not followed; trying again", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// touchedAccounts returns the accounts that an event of the books speaks of,
// those of passes, of other charges and of money; among them may be holders of
// wallets that are no accounts, whose pages nobody has open.
func touchedAccounts(payload []byte) ([]string, error) {
	var event struct {
		Passes []struct {
			Account string `json:"account"`
		} `json:"passes"`
		Charges []struct {
			Account         string `json:"account"`
			PreviousAccount string `json:"previous_account"`
		} `json:"charges"`
		Money []struct {
			Holder string `json:"holder"`
		} `json:"money"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	var accounts []string
	add := func(account string) {
		if account != "" {
			accounts = append(accounts, account)
		}
	}
	for _, p := range event.Passes {
		add(p.Account)
	}
	for _, c := range event.Charges {
		add(c.Account)
		add(c.PreviousAccount)
	}
	for _, m := range event.Money {
		add(m.Holder)
	}
	return accounts, nil
}
