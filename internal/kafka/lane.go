package kafka

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// lane sends the batches of one partition, one after the other. What waits in
// it is bounded by the publisher's room.
type lane struct {
	p         *Publisher
	topic     string
	partition int
	// wake holds a token while there is something to look at.
	wake chan struct{}

	mu     sync.Mutex
	queue  []*batch
	closed bool
}

// batch is what one produce request carries.
type batch struct {
	msgs  []Message
	bytes int
	calls []*call
}

// add appends msgs, opening batches as they fill.
func (l *lane) add(msgs []Message, c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range msgs {
		n := msgs[i].size()
		var b *batch
		if len(l.queue) > 0 {
			b = l.queue[len(l.queue)-1]
		}
		if b == nil || b.bytes+n > maxBatchBytes {
			b = &batch{msgs: make([]Message, 0, len(msgs)-i)}
			l.queue = append(l.queue, b)
		}
		if len(b.calls) == 0 || b.calls[len(b.calls)-1] != c {
			c.parts.Add(1)
			b.calls = append(b.calls, c)
		}
		b.msgs = append(b.msgs, msgs[i])
		b.bytes += n
	}
	l.nudge()
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.nudge()
}

// take removes the first batch, nil if there is none.
func (l *lane) take() (b *batch, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue = nil
		return nil, l.closed
	}
	b = l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	return b, l.closed
}

func (l *lane) run() {
	for range l.wake {
		if l.p.cfg.Linger > 0 {
			// Only the first batch after a rest waits for company; while one
			// is under way the next one gathers by itself.
			time.Sleep(l.p.cfg.Linger)
		}
		for {
			b, closed := l.take()
			if b == nil {
				if closed {
					return
				}
				break
			}
			err := l.send(b)
			for _, c := range b.calls {
				c.finish(l.p, err)
			}
		}
	}
}

// send produces the batch, trying again while that may help.
func (l *lane) send(b *batch) error {
	ctx, cancel := context.WithTimeout(l.p.ctx, l.p.cfg.Timeout)
	defer cancel()
	wait := newBackoff(20*time.Millisecond, 500*time.Millisecond)
	for {
		err := l.produce(ctx, b)
		if err == nil {
			return nil
		}
		l.p.log.Warn("publishing failed", "topic", l.topic, "partition", l.partition,
			"messages", len(b.msgs), "err", err)
		if !retryable(err) {
			return err
		}
		if !wait.sleep(ctx) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (l *lane) produce(ctx context.Context, b *batch) error {
	// A connection that swallows the request must not eat all of the time.
	ctx, cancel := context.WithTimeout(ctx, l.p.cfg.Timeout/2)
	defer cancel()
	compression := kafkago.Snappy
	if l.p.cfg.Plain {
		compression = 0
	}
	res, err := l.p.client.Produce(ctx, &kafkago.ProduceRequest{
		Topic:        l.topic,
		Partition:    l.partition,
		RequiredAcks: kafkago.RequireAll,
		Compression:  compression,
		Records:      &batchReader{msgs: b.msgs},
	})
	if err != nil {
		return err
	}
	return res.Error
}

// batchReader gives the library the records of a batch one by one, without an
// allocation each. Record.Time stays zero: it becomes the time of arrival, so
// that retention never counts from the (perhaps old) time of a read.
type batchReader struct {
	msgs       []Message
	record     kafkago.Record
	key, value readCloser
}

type readCloser struct{ bytes.Reader }

func (*readCloser) Close() error { return nil }

// ReadRecord returns the next record, valid until the next call.
func (r *batchReader) ReadRecord() (*kafkago.Record, error) {
	if len(r.msgs) == 0 {
		return nil, io.EOF
	}
	m := &r.msgs[0]
	r.msgs = r.msgs[1:]
	r.record = kafkago.Record{}
	if m.Key != nil {
		r.key.Reset(m.Key)
		r.record.Key = &r.key
	}
	if m.Value != nil {
		r.value.Reset(m.Value)
		r.record.Value = &r.value
	}
	if len(m.Headers) > 0 {
		r.record.Headers = make([]kafkago.Header, len(m.Headers))
		for i, h := range m.Headers {
			r.record.Headers[i] = kafkago.Header{Key: h.Key, Value: h.Value}
		}
	}
	return &r.record, nil
}
