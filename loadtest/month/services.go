package month

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
	"freeflow/billing/collect"
	"freeflow/billing/correction"
	"freeflow/billing/dispute"
	"freeflow/billing/notice"
	"freeflow/billing/payment"
	"freeflow/billing/recovery"
	"freeflow/billing/settlement"
	"freeflow/billing/statement"
	"freeflow/internal/audit"
	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/tolling/matcher"
	"freeflow/tolling/passage"
	"freeflow/tolling/registry"
	"freeflow/tolling/rejudge"
)

// errDied is what everything gives once a set of services is dead.
var errDied = errors.New("the process died")

// mortal lets a set of services die at a call of the store: before it began, or
// after it was committed and before anybody knew.
type mortal struct {
	// left counts calls until it dies; 0 lives for ever.
	left  int
	after bool
	dead  bool
}

// call makes one call of the store.
func (m *mortal) call(run func() error) error {
	if m.dead {
		return errDied
	}
	if m.left == 0 {
		return run()
	}
	if m.left--; m.left > 0 {
		return run()
	}
	m.dead = true
	if !m.after {
		return errDied
	}
	return errors.Join(run(), errDied)
}

// keep is a store as one domain sees it, that can die.
type keep[T any] struct {
	books.Keep[T]
	life *mortal
}

func (k keep[T]) Do(ctx context.Context, fn func(T) error) error {
	return k.life.call(func() error { return k.Keep.Do(ctx, fn) })
}

func (k keep[T]) View(ctx context.Context, fn func(T) error) error {
	if k.life.dead {
		return errDied
	}
	return k.Keep.View(ctx, fn)
}

func keepOf[T any](s *books.Store, life *mortal, as func(*books.Tx) T) keep[T] {
	return keep[T]{books.Keep[T]{Store: s, As: as}, life}
}

// dyingBooks are the books of those who post and follow, that can die.
type dyingBooks struct {
	*books.Store
	life *mortal
}

// Post is the store's.
func (b dyingBooks) Post(ctx context.Context, batch billing.Batch) error {
	return b.life.call(func() error { return b.Store.Post(ctx, batch) })
}

// AdvanceRejudge is the store's.
func (b dyingBooks) AdvanceRejudge(ctx context.Context, id int64, owner string, done int64, lease time.Time) error {
	return b.life.call(func() error { return b.Store.AdvanceRejudge(ctx, id, owner, done, lease) })
}

// following is what the collector needs, that can die.
type following struct {
	*books.Store
	life *mortal
}

// FollowPostings is the store's.
func (b following) FollowPostings(ctx context.Context, limit int, at time.Time) (done billing.Followed, err error) {
	err = b.life.call(func() (err error) {
		done, err = b.Store.FollowPostings(ctx, limit, at)
		return err
	})
	return done, err
}

// services are one process's.
type services struct {
	books    *books.Store
	life     *mortal
	current  *registry.Current
	follow   *rejudge.Follower
	matcher  *matcher.Matcher
	rejudger *rejudge.Runner
	collect  *collect.Collector
	pay      *payment.Service
	ladder   *recovery.Ladder
	courier  *notice.Courier
	disputes *dispute.Service
	flags    *dispute.Flags
	trail    *audit.Log
	issuer   *statement.Issuer
	settler  *settlement.Settler
	teller   *correction.Teller
	accounts keep[account.Tx]
	paying   keep[payment.Tx]
	people   keep[recovery.Tx]
}

// build makes a set of services over the database.
func (w *world) build(ctx context.Context) (_ *services, err error) {
	w.builds++
	s := &services{life: &mortal{}, current: registry.NewCurrent()}
	if s.books, err = books.Open(ctx, w.Database, books.Options{Clock: w.clock, Logger: quiet(), MaxPosters: 8}); err != nil {
		return nil, err
	}
	owner := fmt.Sprintf("process-%d", w.builds)
	s.follow = rejudge.NewFollower(s.books, s.current)
	if err := s.follow.Load(ctx); err != nil {
		return nil, errors.Join(err, s.books.Close())
	}
	mortalBooks := dyingBooks{s.books, s.life}
	s.matcher = matcher.New(matcher.Config{
		Network: w.network, Registry: s.current, Refresh: s.follow.Load, Books: mortalBooks, Open: w.open, Rejects: nothingRejected{}, Clock: w.clock,
		Logger: quiet(), Metrics: matcher.NewMetrics(prometheus.NewRegistry()), Owner: owner,
	})
	s.rejudger = rejudge.New(rejudge.Config{
		Network: w.network, Books: mortalBooks, Current: s.current, Follow: s.follow, Clock: w.clock, Logger: quiet(), Owner: owner,
	})
	if s.collect, err = collect.New(collect.Parts{Books: following{s.books, s.life}, Clock: w.clock, Log: quiet(), Metrics: prometheus.NewRegistry()}); err != nil {
		return nil, errors.Join(err, s.books.Close())
	}
	s.paying = keepOf(s.books, s.life, func(tx *books.Tx) payment.Tx { return tx })
	s.accounts = keepOf(s.books, &mortal{}, func(tx *books.Tx) account.Tx { return tx })
	s.people = keepOf(s.books, s.life, func(tx *books.Tx) recovery.Tx { return tx })
	s.pay, err = payment.New(payment.Config{
		Store: s.paying, Providers: []payment.Provider{w.bank.client}, Clock: w.clock, Zone: w.zone, Log: quiet(), Parallel: 4,
		Times: payment.Times{Call: callTime},
	})
	if err != nil {
		return nil, errors.Join(err, s.books.Close())
	}
	s.ladder = &recovery.Ladder{
		Keeping: s.people, Calendar: recovery.Calendar{Holidays: holidays{w.network}}, Rules: recovery.HongKong(), Zone: w.zone, Clock: w.clock, Log: quiet(),
	}
	s.courier = &notice.Courier{
		Keeping: keepOf(s.books, s.life, func(tx *books.Tx) notice.Tx { return tx }), Sender: &w.post, Clock: w.clock, Log: quiet(),
	}
	s.issuer = &statement.Issuer{
		Ledger: s.books, Keeping: keepOf(s.books, s.life, func(tx *books.Tx) statement.Tx { return tx }), Zone: w.zone, Clock: w.clock, Log: quiet(),
	}
	s.settler = &settlement.Settler{
		Keeping: keepOf(s.books, s.life, func(tx *books.Tx) settlement.Tx { return tx }), Zone: w.zone, Clock: w.clock, Log: quiet(),
	}
	s.teller = &correction.Teller{
		Keeping: keepOf(s.books, s.life, func(tx *books.Tx) correction.Tx { return tx }), Clock: w.clock, Logger: quiet(),
	}
	if s.disputes, s.flags, err = w.court(s); err == nil {
		s.trail, err = audit.Open(ctx, w.Database, audit.Options{})
	}
	if err != nil {
		return nil, errors.Join(err, s.books.Close())
	}
	return s, nil
}

func (s *services) close() error { return errors.Join(s.trail.Close(), s.books.Close()) }

// nothingRejected fails where the matcher cannot read what the script wrote.
type nothingRejected struct{}

// Reject is matcher.Rejects.
func (nothingRejected) Reject(_ context.Context, list []rsu.Rejected) error {
	return fmt.Errorf("%d reads of the script were rejected", len(list))
}

// letters counts what is handed to channels.
type letters struct{ sent counter }

// Send is notice.Sender.
func (l *letters) Send(context.Context, notice.Message) error {
	l.sent.add(1)
	return nil
}

// partitions of the log.
const partitions = 4

// log is one partition in memory; a session of it ends with io.EOF.
type log struct{ records []kafka.Record }

// session is one matcher's way through a partition. Its batches are of random
// size.
type session struct {
	log       *log
	partition int
	until     int
	rng       *rand.Rand
	at        int64
}

func (l *session) Partition() int            { return l.partition }
func (l *session) SeekTo(offset int64) error { l.at = offset; return nil }
func (l *session) Commit(int64) error        { return nil }
func (l *session) Bounds(context.Context) (int64, int64, error) {
	return 0, int64(l.until), nil
}

func (l *session) Fetch(ctx context.Context, most int) ([]kafka.Record, int64, error) {
	rest := l.log.records[l.at:l.until]
	if len(rest) == 0 {
		return nil, 0, io.EOF
	}
	n := min(len(rest), most, 200+l.rng.IntN(most))
	l.at += int64(n)
	return slices.Clone(rest[:n]), l.at, ctx.Err()
}

// match posts all reads that are in the log.
func (w *world) match(ctx context.Context, s *services) error {
	for p := range w.logs {
		for {
			err := s.matcher.Serve(ctx, &session{log: &w.logs[p], partition: p, until: len(w.logs[p].records), rng: rand.New(rand.NewPCG(w.Seed, uint64(len(w.logs[p].records))))})
			if errors.Is(err, io.EOF) {
				break
			}
			if !errors.Is(err, billing.ErrFenced) {
				return err
			}
			w.fenced.add(1) // the other process was first: begin again where the books stand
		}
	}
	return nil
}

// newOpen is the store of open passes, which all processes share.
func newOpen() passage.Store { return passage.NewMemory() }
