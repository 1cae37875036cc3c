// Package kafka is the log: publishing with acks from all replicas, and
// following partitions within a consumer group's generations, both by
// segmentio/kafka-go. It speaks to the embedded broker and to Apache Kafka
// alike; only the address differs.
//
// Invariants: Publish returns nil only once the broker has every message; a
// session never delivers a record below the offset it stands at; nothing is
// committed after the generation has ended.
//
// Not promised: exactly-once. A publish whose answer was lost is repeated, so
// records can stand in the log twice; the books make that harmless.
package kafka

import (
	"context"
	"time"
)

// Topics of freeflow.
const (
	// TopicReads carries accepted reads, keyed by facility.
	TopicReads = "reads.v1"
	// TopicRejected carries what could not be taken, with the reason.
	TopicRejected = "reads.rejected.v1"
)

// Message is what is published; the record's time is that of its arrival.
type Message struct {
	Key, Value []byte
	Headers    []Header
}

// Header is a record's header.
type Header struct {
	Key   string
	Value []byte
}

// Record is what a partition delivers.
type Record struct {
	Offset     int64
	Key, Value []byte
	Headers    []Header
	// Time is the time of arrival at the log.
	Time time.Time
}

// Session is one partition within one generation of the group. It is used by
// one goroutine.
type Session interface {
	// Partition is the partition's number.
	Partition() int
	// SeekTo sets the offset of the next record to deliver.
	SeekTo(offset int64) error
	// Fetch waits for records and returns at least one and at most max, in
	// order, or the ctx's error once it has ended. The records are valid
	// until the next Fetch. The second result is the offset after the last
	// record, also where offsets have holes (compaction, transactions).
	Fetch(ctx context.Context, max int) ([]Record, int64, error)
	// Bounds returns the oldest offset still kept and the one after the newest.
	Bounds(ctx context.Context) (oldest, next int64, err error)
	// Commit tells the group how far the partition has been worked; it is
	// for lag tools, the truth is in the books.
	Commit(offset int64) error
}
