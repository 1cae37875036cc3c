// Package kafkatest is the conformance suite of internal/kafka: what the rest
// of freeflow relies on from the log, as tests that run over any broker, the
// embedded one and Apache Kafka alike.
//
// Invariant: every test makes its own topics and groups under random names, so
// that the suite can run again on the same broker. It does not remove them.
//
// Not promised: that a broker which passes is durable against loss of power.
package kafkatest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"freeflow/internal/kafka"
)

// patience bounds every wait of the suite; a broker that needs longer fails.
const patience = 60 * time.Second

// Run runs the suite against brokers.
func Run(t *testing.T, brokers []string) {
	s := suite{brokers: brokers}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"OrderPerKey", s.orderPerKey},
		{"ResumeInsideABatch", s.resumeInsideABatch},
		{"RebalanceLosesNothing", s.rebalanceLosesNothing},
		{"ServeFailsOthersGoOn", s.serveFailsOthersGoOn},
		{"BrokenConnections", s.brokenConnections},
		{"PublishWhileUnreachable", s.publishWhileUnreachable},
		{"BoundedMemory", s.boundedMemory},
		{"TooLargeIsRefused", s.tooLargeIsRefused},
		{"CommitAfterTheEnd", s.commitAfterTheEnd},
		{"LeavesAtOnce", s.leavesAtOnce},
		{"FetchEndsWithItsContext", s.fetchEndsWithItsContext},
		{"OffsetsNotKept", s.offsetsNotKept},
		{"EnsureTopics", s.ensureTopics},
		{"FollowAndScan", s.followAndScan},
	} {
		t.Run(test.name, test.run)
	}
}

type suite struct{ brokers []string }

// logTo sends a part's log to the test's.
func logTo(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (s suite) topic(t *testing.T, partitions int) string {
	t.Helper()
	name := "test." + rand.Text()
	if err := kafka.EnsureTopics(within(t), s.brokers, []kafka.TopicSpec{{Name: name, Partitions: partitions}}); err != nil {
		t.Fatal(err)
	}
	return name
}

func (s suite) publisher(t *testing.T, cfg kafka.Config) *kafka.Publisher {
	t.Helper()
	cfg.Brokers = s.brokers
	cfg.Log = logTo(t)
	p := kafka.NewPublisher(cfg)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("closing the publisher: %v", err)
		}
	})
	return p
}

func (s suite) group(t *testing.T, topic, id string, dial kafka.DialFunc) *kafka.Group {
	t.Helper()
	return kafka.NewGroup(kafka.GroupConfig{
		Brokers: s.brokers, GroupID: id, Topic: topic, Dial: dial, Log: logTo(t),
		SessionTimeout: 6 * time.Second, Heartbeat: 200 * time.Millisecond,
		RetryMin: time.Millisecond, RetryMax: 50 * time.Millisecond, CommitEvery: 10 * time.Millisecond,
	})
}

// start runs a member until the returned function is called, which waits.
func start(t *testing.T, g *kafka.Group, serve func(context.Context, kafka.Session) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, serve) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("running the group: %v", err)
		}
	})
}

// numbered makes n messages of one key whose values count up from first.
func numbered(key string, first, n int) []kafka.Message {
	msgs := make([]kafka.Message, n)
	for i := range msgs {
		msgs[i] = kafka.Message{Key: []byte(key), Value: []byte(strconv.Itoa(first + i))}
	}
	return msgs
}

func (s suite) publish(t *testing.T, topic string, msgs []kafka.Message) {
	t.Helper()
	if err := s.publisher(t, kafka.Config{}).Publish(within(t), topic, msgs); err != nil {
		t.Fatal(err)
	}
}

// tally counts how often each value was seen.
type tally struct {
	mu   sync.Mutex
	seen map[string]int
	want int
	all  chan struct{}
}

func newTally(want int) *tally {
	return &tally{seen: map[string]int{}, want: want, all: make(chan struct{})}
}

func (c *tally) add(key, value []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := string(key) + "/" + string(value)
	c.seen[id]++
	if c.seen[id] == 1 && len(c.seen) == c.want {
		close(c.all)
	}
}

func (c *tally) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

func (c *tally) wait(t *testing.T) {
	t.Helper()
	select {
	case <-c.all:
	case <-within(t).Done():
		t.Fatalf("%d of %d messages came", c.count(), c.want)
	}
}

// network is the way to the brokers, which a test can break.
type network struct {
	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}
	dials int
}

func newNetwork() *network { return &network{conns: map[net.Conn]struct{}{}} }

var errDown = errors.New("the network is down")

func (n *network) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	if down {
		return nil, fmt.Errorf("dialling %s: %w", address, errDown)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials++
	n.conns[conn] = struct{}{}
	return conn, nil
}

// cut breaks every connection.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for conn := range n.conns {
		conn.Close()
		delete(n.conns, conn)
	}
}

// set makes the network fail, cutting what there is, or work again.
func (n *network) set(down bool) {
	n.mu.Lock()
	n.down = down
	n.mu.Unlock()
	if down {
		n.cut()
	}
}
