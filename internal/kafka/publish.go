package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"
)

// maxBatchBytes keeps a batch of records under the brokers' usual limit of
// 1 MiB (message.max.bytes), headers of the wire form included.
const maxBatchBytes = 900 << 10

// recordOverhead is what a record costs in memory and on the wire beside its
// key, value and headers; it makes the bound on memory hold for empty records.
const recordOverhead = 64

// ErrClosed is returned by Publish after Close.
var ErrClosed = errors.New("publisher is closed")

// Config says how to publish. Only Brokers is required.
type Config struct {
	// Brokers are host:port addresses to begin with; the others are learnt.
	Brokers []string
	// Linger is how long an idle partition waits for company before it sends.
	// While a batch is under way the next one fills by itself, so that a
	// small value costs little under load. Default 1 ms; negative for none.
	Linger time.Duration
	// MaxInFlight bounds the bytes taken and not yet answered, over all
	// topics; callers wait for room. Default 32 MiB.
	MaxInFlight int64
	// Timeout bounds how long one batch is tried. Default 10 s.
	Timeout time.Duration
	// Plain sends batches uncompressed; by default they are snappy, which
	// costs no measurable time and a third of the disk.
	Plain bool
	// Dial opens connections; nil means plain TCP.
	Dial DialFunc
	// Log receives what goes wrong; nil discards it.
	Log *slog.Logger
}

// DialFunc opens a connection to a broker.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Publisher writes messages to the log with acks from all in-sync replicas.
// Many callers may publish at once; what they bring for one partition within a
// short time shares a batch. One batch a partition is under way at a time, so
// that messages of one key stand in the log in the order of the calls.
type Publisher struct {
	cfg       Config
	log       *slog.Logger
	client    *kafkago.Client
	transport *kafkago.Transport
	balancer  kafkago.Balancer
	room      *semaphore.Weighted

	// ctx ends when Close gives up waiting.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.RWMutex
	topics map[string]*destination
	closed bool
}

// destination is a topic's partitions.
type destination struct {
	lanes []*lane
	// numbers are 0 to len(lanes)-1, as the balancer wants them.
	numbers []int
}

// NewPublisher makes a publisher. It connects on first use.
func NewPublisher(cfg Config) *Publisher {
	if cfg.Linger == 0 {
		cfg.Linger = time.Millisecond
	}
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = 32 << 20
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	// An own transport: the library's default one is shared by the whole
	// process and keeps connections to dead brokers.
	transport := &kafkago.Transport{
		Dial:        cfg.Dial,
		DialTimeout: 3 * time.Second,
		ClientID:    clientID,
		// How soon a new leader is noticed.
		MetadataTTL: 2 * time.Second,
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Publisher{
		cfg:       cfg,
		log:       cfg.Log,
		transport: transport,
		client:    &kafkago.Client{Addr: kafkago.TCP(cfg.Brokers...), Transport: transport},
		// The partitioner of Apache Kafka's own clients, so that a tool that
		// produces by key agrees with us on the partition.
		balancer: kafkago.Murmur2Balancer{Consistent: true},
		room:     semaphore.NewWeighted(cfg.MaxInFlight),
		ctx:      ctx,
		cancel:   cancel,
		topics:   make(map[string]*destination),
	}
}

// call is one Publish on its way: it is answered when all of its parts are.
type call struct {
	parts  atomic.Int32
	weight int64
	done   chan struct{}

	mu  sync.Mutex
	err error
}

func (c *call) finish(p *Publisher, err error) {
	if err != nil {
		c.mu.Lock()
		if c.err == nil {
			c.err = err
		}
		c.mu.Unlock()
	}
	if c.parts.Add(-1) == 0 {
		p.room.Release(c.weight)
		close(c.done)
	}
}

func (c *call) result() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Publish writes msgs to topic and returns nil once every one of them is
// durable at the broker. On an error the outcome is unknown, for each message
// by itself, and the caller may publish them again. It waits while too many
// bytes are in flight. The bytes of msgs must not be changed afterwards, also
// when ctx ended first. Safe for concurrent use.
func (p *Publisher) Publish(ctx context.Context, topic string, msgs []Message) error {
	if len(msgs) == 0 {
		return nil
	}
	var total int64
	for i := range msgs {
		n := msgs[i].size()
		if n > maxBatchBytes {
			return fmt.Errorf("publishing to %s: message %d has %d bytes, more than the %d that a broker takes", topic, i, n, maxBatchBytes)
		}
		total += int64(n)
	}
	to, err := p.destination(ctx, topic)
	if err != nil {
		return fmt.Errorf("publishing to %s: %w", topic, err)
	}
	c := &call{weight: min(total, p.cfg.MaxInFlight), done: make(chan struct{})}
	if err := p.room.Acquire(ctx, c.weight); err != nil {
		return fmt.Errorf("publishing to %s: waiting for room: %w", topic, err)
	}
	// The call counts as a part of itself until all is handed over.
	c.parts.Store(1)
	c.finish(p, p.handOver(to, msgs, c))
	select {
	case <-c.done:
		err = c.result()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("publishing to %s: %w", topic, err)
	}
	return nil
}

// handOver gives each run of messages to its partition.
func (p *Publisher) handOver(to *destination, msgs []Message, c *call) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return ErrClosed
	}
	partition := func(m *Message) int {
		return p.balancer.Balance(kafkago.Message{Key: m.Key}, to.numbers...)
	}
	at := partition(&msgs[0])
	for start := 0; start < len(msgs); {
		end, next := start+1, at
		for ; end < len(msgs); end++ {
			if string(msgs[end].Key) == string(msgs[end-1].Key) {
				continue
			}
			if next = partition(&msgs[end]); next != at {
				break
			}
		}
		to.lanes[at].add(msgs[start:end], c)
		start, at = end, next
	}
	return nil
}

// destination returns the lanes of topic, asking the brokers at first use. The
// number of partitions is taken once: were it to change under way, a key would
// move and its order break; a restart picks up the change.
func (p *Publisher) destination(ctx context.Context, topic string) (*destination, error) {
	p.mu.RLock()
	to, closed := p.topics[topic], p.closed
	p.mu.RUnlock()
	if closed {
		return nil, ErrClosed
	}
	if to != nil {
		return to, nil
	}
	n, err := p.countPartitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if to := p.topics[topic]; to != nil {
		return to, nil
	}
	to = &destination{lanes: make([]*lane, n), numbers: make([]int, n)}
	for i := range n {
		to.numbers[i] = i
		to.lanes[i] = &lane{p: p, topic: topic, partition: i, wake: make(chan struct{}, 1)}
		p.wg.Go(to.lanes[i].run)
	}
	p.topics[topic] = to
	return to, nil
}

func (p *Publisher) countPartitions(ctx context.Context, topic string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	wait := newBackoff(20*time.Millisecond, 500*time.Millisecond)
	for {
		n, err := p.askPartitions(ctx, topic)
		if err == nil {
			return n, nil
		}
		if !retryable(err) {
			return 0, fmt.Errorf("asking for its partitions: %w", err)
		}
		if !wait.sleep(ctx) {
			return 0, fmt.Errorf("asking for its partitions: %w", errors.Join(ctx.Err(), err))
		}
	}
}

func (p *Publisher) askPartitions(ctx context.Context, topic string) (int, error) {
	res, err := p.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	for _, t := range res.Topics {
		if t.Name != topic {
			continue
		}
		if t.Error != nil {
			return 0, t.Error
		}
		if len(t.Partitions) > 0 {
			return len(t.Partitions), nil
		}
	}
	return 0, kafkago.UnknownTopicOrPartition
}

// Close takes no more messages, waits until those under way are answered, at
// most for the time a batch is tried, and closes the connections.
func (p *Publisher) Close() error {
	p.mu.Lock()
	already := p.closed
	p.closed = true
	topics := p.topics
	p.mu.Unlock()
	if already {
		return nil
	}
	for _, to := range topics {
		for _, l := range to.lanes {
			l.close()
		}
	}
	p.wg.Wait()
	p.cancel()
	p.transport.CloseIdleConnections()
	return nil
}

func (m *Message) size() int {
	n := len(m.Key) + len(m.Value) + recordOverhead
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value) + recordOverhead
	}
	return n
}

// retryable tells whether trying again may help: all but the broker's own
// final words.
func retryable(err error) bool {
	if kerr, ok := errors.AsType[kafkago.Error](err); ok {
		return kerr.Temporary()
	}
	return true
}
