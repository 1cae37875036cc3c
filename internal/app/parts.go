package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/spf13/pflag"

	"freeflow/billing/books"
	"freeflow/internal/embedded"
	"freeflow/internal/kafka"
	"freeflow/internal/redis"
	"freeflow/tolling/tariff"
)

// topicCharges carries the events of committed postings.
const topicCharges = "charges.v1"

// groupMatcher is the consumer group of the matchers.
const groupMatcher = "freeflow-matcher"

// partsFlags say which parts to use: the embedded ones, or real servers.
type partsFlags struct {
	network    string
	data       string
	kafka      string
	redis      string
	books      string
	partitions int
	replicas   int
	syncWrites bool
	// startTimeout bounds how long a start waits for parts that are not there
	// yet.
	startTimeout time.Duration
}

func (f *partsFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.network, "network", "hongkong", "road network: a name (see 'freeflow tariff check') or a folder of network files")
	flags.StringVar(&f.kafka, "kafka", "", "Apache Kafka brokers, host:port[,host:port...]; empty runs the embedded log in the data folder")
	flags.StringVar(&f.redis, "redis", "", "Redis address, host:port; empty runs the embedded one")
	flags.IntVar(&f.partitions, "partitions", 4, "partitions of the reads' topic when it is first made")
	flags.IntVar(&f.replicas, "replicas", 1, "replicas of each topic when it is first made")
	flags.DurationVar(&f.startTimeout, "start-timeout", defaultStartTimeout, "how long to wait at the start for a log that is not there yet")
	flags.BoolVar(&f.syncWrites, "sync-writes", false, "embedded log: write every record to the disk before answering (survives loss of power, slower)")
}

// defaultStartTimeout is long enough for a Kafka that starts at the same time.
const defaultStartTimeout = 30 * time.Second

// addBooks adds the flags that say where the books are.
func (f *partsFlags) addBooks(flags *pflag.FlagSet) {
	flags.StringVar(&f.data, "data", "./data", "data folder")
	flags.StringVar(&f.books, "books", "", "database of the books, postgres://... or sqlite:PATH; empty is books.db in the data folder")
}

func (f *partsFlags) check() error {
	if f.partitions < 1 || f.partitions > 1024 {
		return usagef("--partitions is %d; it must be 1 to 1024", f.partitions)
	}
	if f.replicas < 1 || f.replicas > 32 {
		return usagef("--replicas is %d; it must be 1 to 32", f.replicas)
	}
	return nil
}

// booksURL is where the books are.
func (f *partsFlags) booksURL() string {
	if f.books != "" {
		return f.books
	}
	return "sqlite:" + filepath.Join(f.data, "books.db")
}

// parts are the log, the open passes' server and the books, opened.
type parts struct {
	network   roads
	books     *books.Store
	redis     goredis.UniversalClient
	brokers   []string
	publisher *kafka.Publisher
	embedded  *embedded.Parts // nil if all parts are external
	// partitions is how many the reads' topic has.
	partitions int
}

// openParts starts or connects all parts. What it returns must be closed.
func openParts(ctx context.Context, env Env, f partsFlags, log *slog.Logger) (_ *parts, err error) {
	p := &parts{}
	defer func() {
		if err != nil {
			p.close(log)
		}
	}()
	if p.network, err = tariff.Open(f.network); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(f.data, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	redisAddr := f.redis
	if f.kafka == "" || f.redis == "" {
		p.embedded, err = embedded.Start(ctx, embedded.Config{
			Dir: filepath.Join(f.data, "log"), SyncWrites: f.syncWrites, Log: log,
			Retention: map[string]embedded.Retention{
				kafka.TopicReads: {Bytes: 64 << 20, Age: embedded.DefaultRetentionAge, Group: groupMatcher},
				topicLanes:       {Bytes: 32 << 20, Age: embedded.DefaultRetentionAge, Group: groupLanes},
			},
		})
		if err != nil {
			return nil, err
		}
		p.brokers = p.embedded.KafkaBrokers
		if redisAddr == "" {
			redisAddr = p.embedded.RedisAddr
		}
	}
	if f.kafka != "" {
		p.brokers = strings.Split(f.kafka, ",")
	}
	if err := p.ensureTopics(ctx, f); err != nil {
		return nil, err
	}
	if p.redis, err = redis.New(redisAddr); err != nil {
		return nil, err
	}
	if f.redis != "" {
		if err := redis.Check(ctx, p.redis, log); err != nil {
			return nil, fmt.Errorf("connecting to Redis at %s: %w; start it, or leave out --redis to run the embedded one", redisAddr, err)
		}
	}
	p.books, err = books.Open(ctx, f.booksURL(), books.Options{Migrate: true, Clock: env.Clock, Logger: log, MaxPosters: p.partitions})
	if err != nil {
		return nil, fmt.Errorf("opening the books: %w", err)
	}
	p.publisher = kafka.NewPublisher(kafka.Config{Brokers: p.brokers, Log: log})
	return p, nil
}

func (p *parts) ensureTopics(ctx context.Context, f partsFlags) error {
	ctx, cancel := context.WithTimeout(ctx, f.startTimeout)
	defer cancel()
	// Old reads must outlive retention, so records are dated on arrival.
	keep := func(age time.Duration) map[string]string {
		return map[string]string{
			"message.timestamp.type": "LogAppendTime",
			"retention.ms":           fmt.Sprint(age.Milliseconds()),
		}
	}
	const days = 24 * time.Hour
	p.partitions = f.partitions
	err := kafka.EnsureTopics(ctx, p.brokers, []kafka.TopicSpec{
		{Name: kafka.TopicReads, Partitions: f.partitions, Replicas: f.replicas, Config: keep(35 * days)},
		{Name: kafka.TopicRejected, Partitions: 1, Replicas: f.replicas, Config: keep(35 * days)},
		{Name: topicLanes, Partitions: 1, Replicas: f.replicas, Config: keep(35 * days)},
		{Name: topicCharges, Partitions: 1, Replicas: f.replicas, Config: keep(days)},
	})
	var differs *kafka.PartitionsError
	if errors.As(err, &differs) && differs.Topic == kafka.TopicReads {
		// The topic was made with another number; that number is the truth.
		p.partitions = differs.Have
		return nil
	}
	if err != nil {
		return fmt.Errorf("preparing the topics at %s: %w; is Kafka running there? Leave out --kafka to run the embedded log", strings.Join(p.brokers, ","), err)
	}
	return nil
}

// close stops what openParts started, the last first.
func (p *parts) close(log *slog.Logger) {
	closing := func(what string, err error) {
		if err != nil {
			log.Error("a part did not close", "part", what, "err", err)
		}
	}
	if p.publisher != nil {
		closing("the publisher", p.publisher.Close())
	}
	if p.books != nil {
		closing("the books", p.books.Close())
	}
	if p.redis != nil {
		closing("the Redis client", p.redis.Close())
	}
	if p.embedded != nil {
		closing("the embedded parts", p.embedded.Close())
	}
}
