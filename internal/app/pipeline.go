package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/tolling/matcher"
	"freeflow/tolling/operator"
	"freeflow/tolling/passage/redispassage"
	"freeflow/tolling/registry"
	"freeflow/tolling/rejudge"
)

// newMatcher puts the matcher together.
func newMatcher(p *parts, keep *keeper, clk clock.Clock, reg prometheus.Registerer, log *slog.Logger) *matcher.Matcher {
	return matcher.New(matcher.Config{
		Network:  matching(p.network),
		Registry: keep.current,
		Refresh:  keep.load,
		Books:    p.books,
		Open:     redispassage.New(p.redis),
		Rejects:  rejects{p.publisher},
		Clock:    clk,
		Logger:   log,
		Metrics:  matcher.NewMetrics(reg),
		Owner:    rand.Text(),
		Hook:     faultHook(),
	})
}

// rejects writes what the matcher set aside to its topic.
type rejects struct{ publisher *kafka.Publisher }

func (r rejects) Reject(ctx context.Context, rejected []rsu.Rejected) error {
	messages := make([]kafka.Message, len(rejected))
	for i, one := range rejected {
		value, err := one.MarshalBinary()
		if err != nil {
			return fmt.Errorf("encoding a rejected record: %w", err)
		}
		messages[i].Value = value
		messages[i].Headers = []kafka.Header{{Key: rsu.HeaderContentType, Value: []byte(rsu.ContentTypeRejected)}}
	}
	return r.publisher.Publish(ctx, kafka.TopicRejected, messages)
}

// keeper keeps the registry: in the books for good, in memory for the matcher.
type keeper struct {
	books   billing.Registering
	network roads
	current *registry.Current
	follow  *rejudge.Follower // sets current
	clock   clock.Clock
}

func newKeeper(b *books.Store, network roads, clk clock.Clock) *keeper {
	current := registry.NewCurrent()
	return &keeper{books: b, network: network, current: current, follow: rejudge.NewFollower(b, current), clock: clk}
}

// Put takes a registry.csv, stores it and puts it in force in this process.
func (k *keeper) Put(ctx context.Context, csv io.Reader) (version int64, rows int, err error) {
	parsed, err := registry.Parse(csv, k.network.KnowsClass)
	if err != nil {
		return 0, 0, err
	}
	stored := make([]billing.Assignment, len(parsed))
	for i := range parsed {
		a := &parsed[i]
		stored[i] = billing.Assignment{
			Account: a.Account, Plate: a.Plate, Class: a.Class, Tag: a.Tag,
			FromMicros: a.FromMicros, ToMicros: a.ToMicros, Exempt: a.Exempt,
		}
	}
	if version, err = k.books.PutRegistry(ctx, stored, k.clock.Now()); err != nil {
		return 0, 0, fmt.Errorf("storing the registry: %w", err)
	}
	rows = len(parsed)
	// What is read back is as large again.
	clear(parsed)
	clear(stored)
	return version, rows, k.load(ctx)
}

// load puts the stored registry in force if it is another than before.
func (k *keeper) load(ctx context.Context) error { return k.follow.Load(ctx) }

// watchEvery is how often other processes' registries are looked for; one put
// anywhere is in force everywhere within a second.
const watchEvery = 300 * time.Millisecond

// watch follows the stored registry until ctx ends.
func (k *keeper) watch(ctx context.Context, log *slog.Logger) error {
	clock.Every(ctx, watchEvery, func(ctx context.Context) {
		if err := k.load(ctx); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "registry not refreshed", "err", err)
		}
	})
	return nil
}

// explainer finds the reads of a pass in the archive.
type explainer struct {
	books    billing.Reading
	network  roads
	registry *registry.Current
}

func (e explainer) Explain(ctx context.Context, passID string) (operator.Explanation, error) {
	history, err := e.books.History(ctx, passID)
	if err != nil {
		return operator.Explanation{}, err
	}
	reads, err := matcher.ReadsOf(ctx, e.books, matching(e.network), e.registry.Get(), history.Pass)
	if err != nil {
		return operator.Explanation{}, err
	}
	// The first and the last read bound the pass; without them some are gone.
	complete := len(reads) > 0 && reads[0].TimeMicros == history.Pass.FirstMicros &&
		reads[len(reads)-1].TimeMicros == history.Pass.LastMicros
	return operator.Explanation{Reads: reads, Complete: complete}, nil
}

// basis is the matcher's digest of what a person decides on.
type basis struct{}

func (basis) Basis(p billing.Pass) string { return matcher.Basis(p) }
