// Package embedded runs the parts that a small installation does not want to
// install, in this process: a Kafka broker on disk (franz-go's kfake) and a
// Redis server in memory (miniredis), both on loopback, spoken to over TCP by
// the same clients as the real ones. Only the addresses differ.
//
// Invariants: one process at a time on a folder; a record is deleted only
// after the group that works its topic has committed past it, however large
// the log grows meanwhile.
//
// What survives. The death of the process (kill -9, a panic, the OOM killer):
// every acknowledged record and every committed offset, since they were handed
// to the operating system before the answer. The loss of power or a kernel
// crash: what the system had written back, usually all but the last 30 s;
// Config.SyncWrites writes back before each answer instead and loses nothing
// on a disk that keeps its word, at the cost of latency (p99 of some 60 ms
// where it is 10 ms otherwise). A torn end of a file is cut at the next start.
// Apache Kafka by default is no different on one machine; it is replication
// that makes it so. Redis keeps nothing: it is filled again from the books.
//
// Not promised: replication, several nodes, transactions across restarts, the
// throughput of the real parts. After a kill -9 the broker reads the kept log
// into memory once (after a clean stop it does not), hence the small default
// of Retention.Bytes.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"

	"freeflow/internal/clock"
)

const (
	loopback = "127.0.0.1:0"
	// segmentBytes is small because whole segments are deleted and read.
	segmentBytes = 8 << 20
	// neverMs keeps the broker from deleting by itself, where it would not
	// look at what has been worked: some 290 years.
	neverMs = "9000000000000"
)

// Config says what to start. Only Dir is required.
type Config struct {
	// Dir is the folder for the log; it is made if it is missing. A second
	// process is refused.
	Dir string
	// KafkaListen and RedisListen are host:port; by default a free port of
	// loopback. Neither part checks who connects: leave them on loopback.
	KafkaListen, RedisListen string
	// SyncWrites makes every record durable against loss of power too.
	SyncWrites bool
	// Retention says per topic what to keep; topics not named keep
	// DefaultRetentionBytes a partition for at most DefaultRetentionAge.
	Retention map[string]Retention
	// Log receives what happens; nil discards it.
	Log *slog.Logger
}

// Parts are the running parts.
type Parts struct {
	// KafkaBrokers and RedisAddr are where to connect.
	KafkaBrokers []string
	RedisAddr    string

	log       *slog.Logger
	retention map[string]Retention
	unlock    func() error
	broker    *kfake.Cluster
	redis     *miniredis.Miniredis
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	once      sync.Once
	err       error
}

// Start starts the parts; they run until Close or until ctx ends, whichever is
// first, but Close must be called in any case, and before the process exits:
// it saves the broker's state. The error of a folder in use is a *LockedError.
func Start(ctx context.Context, cfg Config) (*Parts, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dir == "" {
		return nil, errors.New("starting the embedded parts: no data folder given")
	}
	dir := filepath.Join(cfg.Dir, "kafka")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("starting the embedded parts: %w", err)
	}
	unlock, err := lock(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded parts: %w", err)
	}
	p := &Parts{log: cfg.Log, retention: cfg.Retention, unlock: unlock}
	if err := p.start(ctx, cfg, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded parts: %w", err), p.Close())
	}
	return p, nil
}

func (p *Parts) start(ctx context.Context, cfg Config, dir string) error {
	p.redis = miniredis.NewMiniRedis()
	if err := p.redis.StartAddr(orLoopback(cfg.RedisListen)); err != nil {
		p.redis = nil
		return fmt.Errorf("starting Redis: %w", err)
	}
	p.RedisAddr = p.redis.Addr()

	began := clock.System{}.Now()
	broker, err := startBroker(cfg, dir)
	if err != nil {
		return fmt.Errorf("starting the broker on %s: %w", dir, err)
	}
	p.broker = broker
	p.KafkaBrokers = broker.ListenAddrs()
	// Loading the log leaves garbage as large as the log.
	debug.FreeOSMemory()
	p.log.Info("embedded parts started", "kafka", p.KafkaBrokers, "redis", p.RedisAddr,
		"dir", cfg.Dir, "sync_writes", cfg.SyncWrites, "took", clock.System{}.Now().Sub(began))

	ctx, p.cancel = context.WithCancel(ctx)
	p.wg.Go(func() { p.moveRedisTime(ctx) })
	p.wg.Go(func() { p.keepTidy(ctx) })
	return nil
}

func orLoopback(address string) string {
	if address == "" {
		return loopback
	}
	return address
}

func startBroker(cfg Config, dir string) (*kfake.Cluster, error) {
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("freeflow"),
		kfake.DataDir(dir),
		kfake.DefaultNumPartitions(1),
		// Tests want a dead member's partitions sooner than Kafka's 6 s.
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":      strconv.Itoa(segmentBytes),
			"log.cleaner.backoff.ms": neverMs,
		}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return net.Listen(network, orLoopback(cfg.KafkaListen))
		}),
		kfake.WithLogger(brokerLog{cfg.Log}),
	}
	if cfg.SyncWrites {
		options = append(options, kfake.SyncWrites())
	}
	return kfake.NewCluster(options...)
}

// moveRedisTime makes keys expire. miniredis' own way of following the clock
// looks at every key with a time to live on every command.
func (p *Parts) moveRedisTime(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last := clock.System{}.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := clock.System{}.Now()
			p.redis.FastForward(now.Sub(last))
			last = now
		}
	}
}

// Close stops the parts, saves the broker's state and frees the folder. It may
// be called more than once.
func (p *Parts) Close() error {
	p.once.Do(func() {
		if p.cancel != nil {
			p.cancel()
		}
		p.wg.Wait()
		if p.broker != nil {
			p.broker.Close()
		}
		if p.redis != nil {
			p.redis.Close()
		}
		if p.unlock != nil {
			p.err = p.unlock()
		}
	})
	return p.err
}

// brokerLog hands the broker's warnings on; what it says below that is about
// each request.
type brokerLog struct{ log *slog.Logger }

// Logf logs a message of the broker.
func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("the broker reports an error", "message", fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Debug("the broker warns", "message", fmt.Sprintf(format, args...))
	}
}
