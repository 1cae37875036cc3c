package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"freeflow/internal/clock"
)

// tidyEvery is how often old records are deleted.
const tidyEvery = time.Minute

// Retention says what a topic keeps, at most, of the records that are no
// longer needed.
type Retention struct {
	// Bytes bounds each partition. A log that was not closed properly is read
	// into memory at the next start, so that this is also what a partition
	// then costs for a moment.
	Bytes int64
	// Age bounds the time since a record's arrival; zero means any age.
	Age time.Duration
	// Group names the consumer group without which a record is not deleted:
	// what it has not committed is kept whatever Bytes and Age say. Empty for
	// a topic that nobody works.
	Group string
}

// What a topic keeps that Config.Retention does not name.
const (
	DefaultRetentionBytes = 32 << 20
	DefaultRetentionAge   = 35 * 24 * time.Hour
)

func (p *Parts) keepTidy(ctx context.Context) {
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := p.Tidy(ctx, clock.System{}.Now()); err != nil && ctx.Err() == nil {
				p.log.Warn("deleting old records failed; trying again in a minute", "err", err)
			}
		}
	}
}

// Tidy deletes what need not be kept at the instant now. It runs every minute
// by itself.
func (p *Parts) Tidy(ctx context.Context, now time.Time) error {
	conn, err := kafka.DialContext(ctx, "tcp", p.KafkaBrokers[0])
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(clock.System{}.Now().Add(tidyEvery)); err != nil {
		return err
	}
	partitions, err := conn.ReadPartitions()
	if err != nil {
		return fmt.Errorf("listing partitions: %w", err)
	}
	for _, partition := range partitions {
		if err := p.tidyPartition(ctx, partition.Topic, partition.ID, now); err != nil {
			return fmt.Errorf("tidying %s/%d: %w", partition.Topic, partition.ID, err)
		}
	}
	return nil
}

func (p *Parts) tidyPartition(ctx context.Context, topic string, partition int, now time.Time) error {
	keep, named := p.retention[topic]
	if !named {
		keep = Retention{Bytes: DefaultRetentionBytes, Age: DefaultRetentionAge}
	}
	info := p.broker.PartitionInfo(topic, int32(partition))
	if info == nil || info.HighWatermark == info.LogStartOffset {
		return nil
	}
	upTo := tooMany(info, keep.Bytes)
	if keep.Age > 0 {
		old, err := p.firstSince(ctx, topic, partition, now.Add(-keep.Age))
		if err != nil {
			return err
		}
		if old < 0 {
			old = info.HighWatermark
		}
		upTo = max(upTo, old)
	}
	if keep.Group != "" {
		worked := p.worked(keep.Group, topic, partition, info)
		if worked < upTo {
			p.log.Warn("records are kept beyond their time because they have not been worked",
				"topic", topic, "partition", partition, "group", keep.Group,
				"worked_up_to", worked, "next", info.HighWatermark, "bytes", info.NumBytes)
			upTo = worked
		}
	}
	if upTo <= info.LogStartOffset {
		return nil
	}
	return p.broker.DeleteRecords(topic, int32(partition), upTo)
}

// tooMany returns the offset up to which a partition has more than limit
// bytes, as if all its records were of one size.
func tooMany(info *kfake.PartitionInfo, limit int64) int64 {
	if limit <= 0 || info.NumBytes <= limit {
		return info.LogStartOffset
	}
	records := float64(info.HighWatermark - info.LogStartOffset)
	return info.LogStartOffset + int64(records*float64(info.NumBytes-limit)/float64(info.NumBytes))
}

// worked returns how far group has committed.
func (p *Parts) worked(group, topic string, partition int, info *kfake.PartitionInfo) int64 {
	if g := p.broker.GroupInfo(group); g != nil {
		if commit, ok := g.Commits[topic][int32(partition)]; ok {
			return commit.Offset
		}
	}
	return info.LogStartOffset
}

// firstSince returns the offset of the first record that arrived at or after
// t, -1 if there is none.
func (p *Parts) firstSince(ctx context.Context, topic string, partition int, t time.Time) (int64, error) {
	conn, err := kafka.DialLeader(ctx, "tcp", p.KafkaBrokers[0], topic, partition)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(clock.System{}.Now().Add(tidyEvery)); err != nil {
		return 0, err
	}
	return conn.ReadOffset(t)
}
