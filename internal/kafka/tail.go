package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"freeflow/internal/clock"
)

const (
	clientID = "freeflow"
	// requestTimeout bounds one exchange with a broker beside the time that
	// it was asked to wait.
	requestTimeout = 5 * time.Second
	// maxWait is how long a broker holds a fetch that finds nothing. An
	// arriving record ends the wait at once, so that the value costs no
	// latency; it only sets how often an idle partition asks.
	maxWait = 500 * time.Millisecond
)

// OffsetError says that a partition does not keep the offset that was asked
// for: records were deleted before they were read, or the log was replaced.
type OffsetError struct {
	Topic        string
	Partition    int
	Offset       int64
	Oldest, Next int64
}

// Error says what is missing.
func (e *OffsetError) Error() string {
	return fmt.Sprintf("offset %d of %s/%d is not kept: the partition has %d up to %d; records were deleted before they were worked, or the log was replaced",
		e.Offset, e.Topic, e.Partition, e.Oldest, e.Next)
}

// tail reads one partition from an offset onwards and survives lost
// connections and new leaders. It is used by one goroutine.
type tail struct {
	brokers    []string
	dialer     *kafkago.Dialer
	topic      string
	partition  int
	fetchBytes int
	log        *slog.Logger

	conn *kafkago.Conn
	// offset is that of the next record to ask the broker for.
	offset int64
	// kept are fetched records not yet delivered; a fetch is never thrown
	// away, since asking for it again costs the broker as much as new data.
	kept  []Record
	first int
	tries int
	wait  *backoff
}

func newTail(brokers []string, dial DialFunc, topic string, partition, fetchBytes int, log *slog.Logger) *tail {
	return &tail{
		brokers:    brokers,
		dialer:     newDialer(dial),
		topic:      topic,
		partition:  partition,
		fetchBytes: fetchBytes,
		log:        log,
		wait:       newBackoff(20*time.Millisecond, 2*time.Second),
	}
}

func newDialer(dial DialFunc) *kafkago.Dialer {
	return &kafkago.Dialer{ClientID: clientID, Timeout: requestTimeout, DialFunc: dial}
}

// position is the offset of the next record to deliver.
func (t *tail) position() int64 {
	if t.first < len(t.kept) {
		return t.kept[t.first].Offset
	}
	return t.offset
}

// seek makes offset the next one to deliver; what was fetched from there on is
// kept.
func (t *tail) seek(offset int64) {
	for t.first < len(t.kept) && t.kept[t.first].Offset < offset {
		t.first++
	}
	if t.first < len(t.kept) && t.kept[t.first].Offset == offset {
		return
	}
	t.kept, t.first, t.offset = t.kept[:0], 0, offset
}

// fetch returns between one and limit records and the offset after them.
func (t *tail) fetch(ctx context.Context, limit int) ([]Record, int64, error) {
	if limit < 1 {
		return nil, 0, fmt.Errorf("fetching from %s/%d: at most %d records were asked for; ask for one or more", t.topic, t.partition, limit)
	}
	for t.first == len(t.kept) {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if err := t.fill(ctx); err != nil {
			return nil, 0, err
		}
	}
	last := min(t.first+limit, len(t.kept))
	records := t.kept[t.first:last:last]
	t.first = last
	return records, t.position(), nil
}

// fill asks the broker once. It returns an error only if going on is no use.
func (t *tail) fill(ctx context.Context) error {
	err := t.connect(ctx)
	if err == nil {
		err = t.read(ctx)
	}
	if err == nil {
		t.tries = 0
		t.wait.reset()
		return nil
	}
	t.close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, kafkago.OffsetOutOfRange) {
		return t.outOfRange(ctx)
	}
	if !retryable(err) {
		return fmt.Errorf("fetching from %s/%d: %w", t.topic, t.partition, err)
	}
	// One failure is everyday life: a broker closes idle connections.
	if t.tries++; t.tries > 1 {
		t.log.Warn("reading the log failed; trying again", "topic", t.topic,
			"partition", t.partition, "tries", t.tries, "err", err)
	}
	if !t.wait.sleep(ctx) {
		return ctx.Err()
	}
	return nil
}

func (t *tail) outOfRange(ctx context.Context) error {
	oldest, next, err := t.bounds(ctx)
	if err != nil {
		return err
	}
	if t.offset >= oldest && t.offset <= next {
		// The log grew or a new leader caught up meanwhile.
		return nil
	}
	return &OffsetError{Topic: t.topic, Partition: t.partition, Offset: t.offset, Oldest: oldest, Next: next}
}

func (t *tail) connect(ctx context.Context) error {
	if t.conn != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	broker := t.brokers[t.tries%len(t.brokers)]
	conn, err := t.dialer.DialLeader(ctx, "tcp", broker, t.topic, t.partition)
	if err != nil {
		return fmt.Errorf("connecting to the leader of %s/%d: %w", t.topic, t.partition, err)
	}
	t.conn = conn
	return nil
}

// guard closes the connection when ctx ends, which is the only way to
// interrupt a read under way.
func (t *tail) guard(ctx context.Context, wait time.Duration) (stop func() bool, err error) {
	conn := t.conn
	// A network deadline needs the machine's clock, whatever time it is in
	// the caller's world.
	if err := conn.SetDeadline(clock.System{}.Now().Add(wait + requestTimeout)); err != nil {
		return nil, err
	}
	return context.AfterFunc(ctx, func() { conn.Close() }), nil
}

// read fetches one response of the broker into kept.
func (t *tail) read(ctx context.Context) error {
	stop, err := t.guard(ctx, maxWait)
	if err != nil {
		return err
	}
	defer stop()
	if t.offset < 0 {
		// The group never committed: begin at the oldest or after the newest.
		oldest, next, err := t.conn.ReadOffsets()
		if err != nil {
			return err
		}
		if t.offset == kafkago.LastOffset {
			t.offset = next
		} else {
			t.offset = oldest
		}
	}
	if _, err := t.conn.Seek(t.offset, kafkago.SeekAbsolute|kafkago.SeekDontCheck); err != nil {
		return err
	}
	b := t.conn.ReadBatchWith(kafkago.ReadBatchConfig{MinBytes: 1, MaxBytes: t.fetchBytes, MaxWait: maxWait})
	// Records handed out stay valid until now; their memory is used again.
	t.kept, t.first = t.kept[:0], 0
	for {
		// ReadMessage, never Read: Read delivers again what lies before the
		// offset in the same record batch.
		m, err := b.ReadMessage()
		if err != nil {
			break
		}
		if m.Offset < t.offset {
			continue
		}
		t.kept = append(t.kept, record(&m))
		t.offset = m.Offset + 1
	}
	end := b.Offset()
	err = b.Close()
	if err == nil || errors.Is(err, io.EOF) {
		// The batch may end in records that compaction took away.
		t.offset = max(t.offset, end)
		return nil
	}
	if errors.Is(err, kafkago.RequestTimedOut) {
		return nil // nothing new
	}
	if len(t.kept) > 0 {
		// What came before the connection broke is good; the error, if it
		// lasts, comes again.
		t.close()
		return nil
	}
	return err
}

func record(m *kafkago.Message) Record {
	r := Record{Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time}
	if len(m.Headers) > 0 {
		r.Headers = make([]Header, len(m.Headers))
		for i, h := range m.Headers {
			r.Headers[i] = Header{Key: h.Key, Value: h.Value}
		}
	}
	return r
}

// bounds returns the oldest offset still kept and the one after the newest.
func (t *tail) bounds(ctx context.Context) (oldest, next int64, err error) {
	for {
		err = t.connect(ctx)
		if err == nil {
			oldest, next, err = t.readBounds(ctx)
		}
		if err == nil {
			t.tries = 0
			t.wait.reset()
			return oldest, next, nil
		}
		t.close()
		if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		t.tries++
		if !retryable(err) {
			return 0, 0, fmt.Errorf("asking for the bounds of %s/%d: %w", t.topic, t.partition, err)
		}
		if !t.wait.sleep(ctx) {
			return 0, 0, errors.Join(ctx.Err(), err)
		}
	}
}

func (t *tail) readBounds(ctx context.Context) (oldest, next int64, err error) {
	stop, err := t.guard(ctx, 0)
	if err != nil {
		return 0, 0, err
	}
	defer stop()
	return t.conn.ReadOffsets()
}

func (t *tail) close() {
	if t.conn != nil {
		t.conn.Close()
		t.conn = nil
	}
}
