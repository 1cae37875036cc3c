package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

// FollowConfig says which topic to read without being a member of a group.
// Brokers and Topic are required.
type FollowConfig struct {
	Brokers []string
	Topic   string
	// Dial opens connections; nil means plain TCP.
	Dial DialFunc
	// Log receives what goes wrong; nil discards it.
	Log *slog.Logger
}

// Follow calls handle with every record that arrives in any partition from now
// on, until ctx ends or handle fails. handle is called by one goroutine at a
// time, within a partition in order. The records are valid during the call.
// It returns handle's error, or nil once ctx has ended. Nothing is remembered:
// records that arrive while nobody follows are not delivered.
func Follow(ctx context.Context, cfg FollowConfig, handle func(partition int, records []Record) error) error {
	err := eachPartition(ctx, cfg, func(ctx context.Context, t *tail, deliver func([]Record) error) error {
		t.offset = kafkago.LastOffset
		for {
			records, _, err := t.fetch(ctx, 1000)
			if err != nil {
				return err
			}
			if err := deliver(records); err != nil {
				return err
			}
		}
	}, handle)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Scan calls handle with every record that the topic keeps when Scan begins,
// from the oldest on, and returns nil when it has delivered them all. handle
// is called as by Follow. It returns handle's error, or ctx's.
func Scan(ctx context.Context, cfg FollowConfig, handle func(partition int, records []Record) error) error {
	return eachPartition(ctx, cfg, func(ctx context.Context, t *tail, deliver func([]Record) error) error {
		oldest, end, err := t.bounds(ctx)
		if err != nil {
			return err
		}
		t.offset = oldest
		for t.position() < end {
			limit := min(end-t.position(), 1000)
			records, _, err := t.fetch(ctx, int(limit))
			if err != nil {
				return err
			}
			// Holes in the offsets make the limit too generous.
			for len(records) > 0 && records[len(records)-1].Offset >= end {
				records = records[:len(records)-1]
			}
			if err := deliver(records); err != nil {
				return err
			}
		}
		return nil
	}, handle)
}

func eachPartition(ctx context.Context, cfg FollowConfig, read func(context.Context, *tail, func([]Record) error) error, handle func(int, []Record) error) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	partitions, err := firstPartitions(ctx, cfg)
	if err != nil {
		return fmt.Errorf("reading %s: %w", cfg.Topic, err)
	}
	var handling sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range partitions {
		t := newTail(cfg.Brokers, cfg.Dial, cfg.Topic, p.ID, 512<<10, cfg.Log)
		group.Go(func() error {
			defer t.close()
			return read(ctx, t, func(records []Record) error {
				handling.Lock()
				defer handling.Unlock()
				if len(records) == 0 || ctx.Err() != nil {
					return ctx.Err()
				}
				return handle(p.ID, records)
			})
		})
	}
	return group.Wait()
}

func firstPartitions(ctx context.Context, cfg FollowConfig) ([]kafkago.Partition, error) {
	var last error
	for _, broker := range cfg.Brokers {
		partitions, err := readPartitions(ctx, newDialer(cfg.Dial), broker, []string{cfg.Topic})
		if err == nil {
			return partitions, nil
		}
		last = err
	}
	return nil, last
}
