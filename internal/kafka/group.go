package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// ErrEnded is returned by Commit once the generation has ended: the partition
// may be another member's already.
var ErrEnded = errors.New("the group's generation has ended")

// GroupConfig says how to be a member of a group. Brokers, GroupID and Topic
// are required.
type GroupConfig struct {
	// Brokers are host:port addresses to begin with; the others are learnt.
	Brokers []string
	// GroupID names the group whose members share the partitions of Topic.
	GroupID string
	Topic   string
	// SessionTimeout is how long a silent member keeps its partitions: the
	// delay of the take-over after a crash. Brokers take 6 s to 30 min unless
	// told otherwise. Default 10 s.
	SessionTimeout time.Duration
	// Heartbeat is how often a member shows itself, and how soon it notices
	// that the group is dividing the partitions anew. Default 1 s.
	Heartbeat time.Duration
	// RetryMin and RetryMax bound the wait before serve is called again after
	// an error; it doubles from the one to the other. Default 100 ms and 5 s.
	RetryMin, RetryMax time.Duration
	// CommitEvery is how often the offsets given to Commit are sent; the last
	// are also sent when the generation ends. Default 200 ms.
	CommitEvery time.Duration
	// FetchBytes bounds one fetch of a partition, and so the memory of each
	// partition. Default 512 KiB.
	FetchBytes int
	// Dial opens connections; nil means plain TCP.
	Dial DialFunc
	// Log receives what happens in the group; nil discards it.
	Log *slog.Logger
}

// Group is a member of a consumer group.
type Group struct {
	cfg GroupConfig
	log *slog.Logger
}

// NewGroup makes a member. It joins the group in Run.
func NewGroup(cfg GroupConfig) *Group {
	if cfg.SessionTimeout <= 0 {
		cfg.SessionTimeout = 10 * time.Second
	}
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = time.Second
	}
	if cfg.RetryMin <= 0 {
		cfg.RetryMin = 100 * time.Millisecond
	}
	if cfg.RetryMax < cfg.RetryMin {
		cfg.RetryMax = max(5*time.Second, cfg.RetryMin)
	}
	if cfg.CommitEvery <= 0 {
		cfg.CommitEvery = 200 * time.Millisecond
	}
	if cfg.FetchBytes <= 0 {
		cfg.FetchBytes = 512 << 10
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Group{cfg: cfg, log: cfg.Log.With("group", cfg.GroupID, "topic", cfg.Topic)}
}

// Run joins the group and calls serve for each partition that falls to this
// member, each in its own goroutine, until ctx ends; then it waits for serve,
// leaves the group and returns nil. The ctx given to serve ends with the
// generation, and serve must return soon after. If serve returns before, with
// an error or without, it is called again after a wait, with a new session
// that stands at the last committed offset; the other partitions go on.
func (g *Group) Run(ctx context.Context, serve func(ctx context.Context, s Session) error) error {
	group, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID:                g.cfg.GroupID,
		Brokers:           g.cfg.Brokers,
		Topics:            []string{g.cfg.Topic},
		Dialer:            newDialer(g.cfg.Dial),
		SessionTimeout:    g.cfg.SessionTimeout,
		HeartbeatInterval: g.cfg.Heartbeat,
		RebalanceTimeout:  max(30*time.Second, g.cfg.SessionTimeout),
		JoinGroupBackoff:  500 * time.Millisecond,
		StartOffset:       kafkago.FirstOffset,
		Timeout:           requestTimeout,
	})
	if err != nil {
		return fmt.Errorf("joining group %s: %w", g.cfg.GroupID, err)
	}
	// Close waits for the serving goroutines and leaves the group, so that
	// the others need not wait for the session to time out.
	defer group.Close()
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, kafkago.ErrGroupClosed):
			return fmt.Errorf("running group %s: %w", g.cfg.GroupID, err)
		case err != nil:
			g.log.Warn("joining the group failed; trying again", "err", err)
		default:
			gen.Start(func(ended context.Context) { g.serveGeneration(ctx, ended, gen, serve) })
		}
	}
}

// serveGeneration serves the partitions of one generation until it ends.
func (g *Group) serveGeneration(run, ended context.Context, gen *kafkago.Generation, serve func(context.Context, Session) error) {
	// A context of its own, whose error is context.Canceled as everywhere
	// else; the library's is a private one.
	ctx, cancel := context.WithCancel(run)
	defer cancel()
	defer context.AfterFunc(ended, cancel)()

	assigned := gen.Assignments[g.cfg.Topic]
	g.log.Info("partitions assigned", "generation", gen.ID, "partitions", partitionIDs(assigned))
	commits := &commits{topic: g.cfg.Topic, gen: gen, log: g.log, due: map[int]int64{}, sent: map[int]int64{}}
	var serving sync.WaitGroup
	for _, a := range assigned {
		serving.Go(func() { g.servePartition(ctx, a, commits, serve) })
	}
	stopped := make(chan struct{})
	var committing sync.WaitGroup
	committing.Go(func() { commits.run(g.cfg.CommitEvery, stopped) })
	// A member without partitions keeps its place in the group.
	<-ctx.Done()
	serving.Wait()
	close(stopped)
	committing.Wait()
	// The library takes this function's return for the end of the generation,
	// which on a clean stop must not be before the last commit.
}

func partitionIDs(assigned []kafkago.PartitionAssignment) []int {
	ids := make([]int, len(assigned))
	for i, a := range assigned {
		ids[i] = a.ID
	}
	return ids
}

// servePartition calls serve until the generation ends.
func (g *Group) servePartition(ctx context.Context, a kafkago.PartitionAssignment, commits *commits, serve func(context.Context, Session) error) {
	wait := newBackoff(g.cfg.RetryMin, g.cfg.RetryMax)
	start := a.Offset
	for ctx.Err() == nil {
		s := &session{
			ctx:     ctx,
			tail:    newTail(g.cfg.Brokers, g.cfg.Dial, g.cfg.Topic, a.ID, g.cfg.FetchBytes, g.log),
			commits: commits,
		}
		s.tail.offset = start
		err := serve(ctx, s)
		s.tail.close()
		if ctx.Err() != nil {
			return
		}
		if s.committed {
			// It got somewhere: the next failure is a new one.
			wait.reset()
		}
		if offset, ok := commits.last(a.ID); ok {
			start = offset
		}
		g.log.Error("serving a partition stopped; it is begun again", "partition", a.ID, "offset", start, "err", err)
		wait.sleep(ctx)
	}
}

// session implements Session.
type session struct {
	ctx       context.Context
	tail      *tail
	commits   *commits
	committed bool
}

var _ Session = (*session)(nil)

// Partition is the partition's number.
func (s *session) Partition() int { return s.tail.partition }

// SeekTo sets the offset of the next record to deliver.
func (s *session) SeekTo(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("seeking in %s/%d: there is no offset %d", s.tail.topic, s.tail.partition, offset)
	}
	s.tail.seek(offset)
	return nil
}

// Fetch waits for at least one and returns at most limit records, and the
// offset after them.
func (s *session) Fetch(ctx context.Context, limit int) ([]Record, int64, error) {
	return s.tail.fetch(ctx, limit)
}

// Bounds returns the oldest offset still kept and the one after the newest.
func (s *session) Bounds(ctx context.Context) (oldest, next int64, err error) {
	return s.tail.bounds(ctx)
}

// Commit notes how far the partition has been worked. It is sent within
// CommitEvery, by a goroutine of its own, so that a batch does not wait for
// it; a crash before that costs nothing, since the truth is in the books.
func (s *session) Commit(offset int64) error {
	if s.ctx.Err() != nil {
		return fmt.Errorf("committing offset %d of %s/%d: %w", offset, s.tail.topic, s.tail.partition, ErrEnded)
	}
	s.committed = true
	s.commits.note(s.tail.partition, offset)
	return nil
}

// commits gathers the offsets of a generation and sends the newest of each
// partition together.
type commits struct {
	topic string
	gen   *kafkago.Generation
	log   *slog.Logger

	mu   sync.Mutex
	due  map[int]int64
	sent map[int]int64
}

func (c *commits) note(partition int, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due[partition] = offset
}

// last returns the newest offset noted for partition.
func (c *commits) last(partition int) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if offset, ok := c.due[partition]; ok {
		return offset, true
	}
	offset, ok := c.sent[partition]
	return offset, ok
}

func (c *commits) run(every time.Duration, stopped <-chan struct{}) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.flush()
		case <-stopped:
			c.flush()
			return
		}
	}
}

// flush sends what is due. What fails stays due: the offsets are only hints,
// and newer ones follow.
func (c *commits) flush() {
	c.mu.Lock()
	due := maps.Clone(c.due)
	c.mu.Unlock()
	if len(due) == 0 {
		return
	}
	if err := c.gen.CommitOffsets(map[string]map[int]int64{c.topic: due}); err != nil {
		c.log.Warn("committing offsets failed", "offsets", due, "err", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for partition, offset := range due {
		c.sent[partition] = offset
		if c.due[partition] == offset {
			delete(c.due, partition)
		}
	}
}
