// Package matcher is the pipeline from the log to the books: it follows the
// partitions of accepted reads, resolves each read to a vehicle, finds the pass
// it belongs to, judges the pass and posts the outcome.
//
// Invariants: a batch is posted in one database transaction together with the
// partition's next offset, or not at all; the open passes held beside the books
// (tolling/passage) change only after the books have, so a crash, a lost reply
// or a lost Redis at any point leads back to the books and to the same passes;
// a record that cannot be read goes to the rejected topic and never blocks its
// partition.
//
// Not promised: that two matchers share a partition usefully. They may, for a
// while, around a rebalance; the books let only one of them advance.
//
// This is the one place where tolling meets billing.
package matcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/tolling"
	"freeflow/tolling/passage"
	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

// Network is what the matcher asks of the road network. Safe for concurrent use.
type Network interface {
	rsu.Roadside
	// Point returns a toll point by name.
	Point(name string) (tolling.TollPoint, bool)
	// Rate returns the toll at a toll point, or an error where there is no
	// tariff.
	Rate(point, class string, at time.Time) (tariff.Toll, error)
	// GapMicros and TurnRoundMicros are the limits of rules 2 and 6.
	GapMicros() int64
	TurnRoundMicros() int64
	// Currency is the ISO 4217 code.
	Currency() string
}

// Rejects keeps what the matcher could not read. It returns once that is
// durable.
type Rejects interface {
	Reject(ctx context.Context, rejected []rsu.Rejected) error
}

// Bounds of a session.
const (
	// batchReads is the most reads of one batch: enough to make a database
	// transaction cheap per pass, few enough to keep it short.
	batchReads = 1000
	// slack is how late a read may come and still be matched without asking
	// the books.
	slack = 30 * time.Second
	// storeTimeout bounds a call to the store of open passes; past it the
	// matcher goes on with the books alone.
	storeTimeout = 2 * time.Second
	// storeRetry is how long the matcher leaves a failed store alone.
	storeRetry = time.Second
	// maxAttempts bounds how often a batch is built anew because passes
	// changed under it.
	maxAttempts = 8
)

// Config is what a Matcher is made of; all fields but Refresh and Hook are required.
type Config struct {
	Network  Network
	Registry *registry.Current
	Books    billing.Posting
	Open     passage.Store
	Rejects  Rejects
	Clock    clock.Clock
	Logger   *slog.Logger
	Metrics  *Metrics
	// Owner names this process among those that share the open passes; it
	// must differ from process to process and from start to start.
	Owner string
	// Refresh loads the registry in force into Registry; it is called when the
	// books ask for a newer one. Nil waits for others to do it.
	Refresh func(ctx context.Context) error
	// Hook is called at named points between the steps of a batch; fault
	// tests kill the process there. Nil calls nothing.
	Hook func(point string)
}

// Named points, in the order in which a batch passes them.
const (
	PointFetched   = "fetched"
	PointExchanged = "exchanged"
	PointJudged    = "judged"
	PointPosted    = "posted"
	PointCommitted = "committed"
)

// Matcher serves partitions. Serve may run for different partitions at once.
type Matcher struct{ Config }

// New returns a matcher.
func New(c Config) *Matcher {
	if c.Hook == nil {
		c.Hook = func(string) {}
	}
	return &Matcher{c}
}

// Serve follows one partition until ctx ends or something fails for which the
// session must begin again. Beginning again is always safe.
func (m *Matcher) Serve(ctx context.Context, log kafka.Session) error {
	s, err := m.begin(ctx, log)
	if err != nil {
		return err
	}
	defer s.end(ctx)
	for {
		records, next, err := log.Fetch(ctx, batchReads)
		if err != nil {
			return fmt.Errorf("fetching from partition %d: %w", s.partition, err)
		}
		m.Hook(PointFetched)
		if err := s.turn(ctx, records, next); err != nil {
			return err
		}
		if err := log.Commit(next); err != nil {
			return fmt.Errorf("committing offset %d of partition %d: %w", next, s.partition, err)
		}
		m.Hook(PointCommitted)
	}
}

// session is one partition in the hands of one matcher.
type session struct {
	*Matcher
	partition int
	stamp     passage.Stamp // what the held state is stamped with
	progress  billing.Progress
	// fences are the facilities as they stood before any pass now known was
	// read: what was judged anew since is refused by the books.
	fences map[string]billing.Facility
	// horizon: all passes whose last read is at or after it are held.
	horizon int64
	// holding is false while the books are all there is: the held state was
	// lost, distrusted, or cannot be reached (until retryAt).
	holding bool
	retryAt time.Time
	// pending is the last batch's change, applied with the next exchange.
	pending *passage.Change
	expiry  expiry
	archive archiver
}

// begin starts where the books stand, with the open passes that were held if
// they stand there too.
func (m *Matcher) begin(ctx context.Context, log kafka.Session) (*session, error) {
	s := &session{Matcher: m, partition: log.Partition()}
	var err error
	if s.progress, err = m.Books.Progress(ctx, s.partition); err != nil {
		return nil, fmt.Errorf("reading the progress of partition %d: %w", s.partition, err)
	}
	oldest, next, err := log.Bounds(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the bounds of partition %d: %w", s.partition, err)
	}
	switch {
	case s.progress.NextOffset > next:
		return nil, fmt.Errorf("partition %d of the log ends at offset %d, but the books have followed it to %d: this is another log, or it has lost records; "+
			"connect the log that belongs to these books, or restore it", s.partition, next, s.progress.NextOffset)
	case s.progress.NextOffset < oldest:
		m.Logger.ErrorContext(ctx, "reads expired from the log before they were matched; raise the topic's retention",
			"partition", s.partition, "from", s.progress.NextOffset, "to", oldest)
		m.Metrics.Expired.Add(float64(oldest - s.progress.NextOffset))
		if err := log.SeekTo(oldest); err != nil {
			return nil, fmt.Errorf("seeking offset %d of partition %d: %w", oldest, s.partition, err)
		}
	default:
		if err := log.SeekTo(s.progress.NextOffset); err != nil {
			return nil, fmt.Errorf("seeking offset %d of partition %d: %w", s.progress.NextOffset, s.partition, err)
		}
	}
	if err := s.readFences(ctx); err != nil {
		return nil, err
	}
	s.stamp = passage.Stamp{Books: s.generation(), Offset: s.progress.NextOffset, Owner: m.Owner}
	s.adopt(ctx)
	return s, nil
}

// readFences reads how the facilities stand.
func (s *session) readFences(ctx context.Context) error {
	list, err := s.Books.Facilities(ctx)
	if err != nil {
		return fmt.Errorf("reading the facilities: %w", err)
	}
	s.fences = make(map[string]billing.Facility, len(list))
	for _, f := range list {
		s.fences[f.Name] = f
	}
	return nil
}

// generation names the books as the open passes held know them: what was held
// before passes were judged anew is of another generation.
func (s *session) generation() string {
	var epochs int64
	for _, f := range s.fences {
		epochs += f.Epoch
	}
	if epochs == 0 {
		return s.Books.ID()
	}
	return s.Books.ID() + "+" + strconv.FormatInt(epochs, 10)
}

// catchUp reads again what the books say is outdated. What is held is let go
// only if passes as late as those were judged anew.
func (s *session) catchUp(ctx context.Context, cause error) error {
	if s.Refresh != nil {
		if err := s.Refresh(ctx); err != nil {
			return fmt.Errorf("loading the registry that the books ask for: %w", err)
		}
	}
	before := s.fences
	if err := s.readFences(ctx); err != nil {
		return err
	}
	for name, f := range s.fences {
		if f.Epoch != before[name].Epoch && f.EpochMicros >= s.horizon {
			s.distrust(ctx, cause)
			break
		}
	}
	return nil
}

// adopt takes over the open passes held for the partition, where they stand
// exactly where the books do.
func (s *session) adopt(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	horizon, err := s.Open.Adopt(ctx, s.partition, s.stamp)
	if err == nil {
		s.expiry = expiry{}
		err = s.Open.Keys(ctx, s.partition, s.stamp, func(item passage.Item) { s.expiry.add(item.Key, item.LastMicros) })
	}
	if err != nil {
		s.distrust(ctx, err)
		s.retryAt = time.Time{}
		return
	}
	s.holding, s.horizon = true, horizon
}

// distrust goes on with the books alone until the store can be reset.
func (s *session) distrust(ctx context.Context, cause error) {
	if s.holding || !errors.Is(cause, passage.ErrLost) { // at a start there is nothing to lose
		s.Logger.WarnContext(ctx, "open passes lost; matching by the books", "partition", s.partition, "cause", cause)
		s.Metrics.Lost.Inc()
	}
	s.holding, s.pending = false, nil
	s.horizon = never
	s.expiry = expiry{}
	s.retryAt = s.Clock.Now().Add(storeRetry)
	if errors.Is(cause, passage.ErrLost) || errors.Is(cause, billing.ErrStale) || errors.Is(cause, billing.ErrOutdated) {
		s.retryAt = time.Time{} // the store answers: begin anew at once
	}
}

// renew begins to hold open passes anew: nothing is held yet, so the horizon
// lies after every read that the books know, of any partition: a facility may
// have moved here from another one.
func (s *session) renew(ctx context.Context) error {
	if s.holding || s.Clock.Now().Before(s.retryAt) {
		return nil
	}
	latest, err := s.Books.MaxMicros(ctx)
	if err != nil {
		return fmt.Errorf("reading the latest read time: %w", err)
	}
	s.stamp.Offset, s.stamp.Books = s.progress.NextOffset, s.generation()
	call, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.Open.Reset(call, s.partition, s.stamp, latest+1); err != nil {
		s.distrust(ctx, err)
		return nil
	}
	s.holding, s.horizon, s.pending, s.expiry = true, latest+1, nil, expiry{}
	return nil
}

// end hands the held state over to the next session in good order, so that it
// need not begin anew. It is only a courtesy: failing costs speed.
func (s *session) end(ctx context.Context) {
	if !s.holding || s.pending == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if _, err := s.Open.Exchange(ctx, s.partition, s.stamp, s.pending, nil); err != nil {
		s.Logger.DebugContext(ctx, "open passes not handed over", "partition", s.partition, "cause", err)
	}
}

// turn matches and posts one batch of records.
func (s *session) turn(ctx context.Context, records []kafka.Record, next int64) error {
	begun := s.Clock.Now()
	reads, rejected := s.decode(records)
	if len(rejected) > 0 {
		if err := s.Rejects.Reject(ctx, rejected); err != nil {
			return fmt.Errorf("setting aside %d records of partition %d: %w", len(rejected), s.partition, err)
		}
	}
	for attempt := 1; ; attempt++ {
		if err := s.renew(ctx); err != nil {
			return err
		}
		t := newTable(s, reads)
		if err := t.match(ctx); err != nil {
			return err
		}
		s.Hook(PointJudged)
		if attempt > 1 {
			if err := t.remint(ctx); err != nil {
				return err
			}
		}
		batch, err := t.batch(next)
		if err != nil {
			return err
		}
		err = s.Books.Post(ctx, batch)
		if errors.Is(err, billing.ErrStale) && attempt < maxAttempts {
			s.distrust(ctx, err)
			s.Metrics.Stale.Inc()
			continue
		}
		if errors.Is(err, billing.ErrOutdated) && attempt < maxAttempts {
			if err := s.catchUp(ctx, err); err != nil {
				return err
			}
			s.Metrics.Stale.Inc()
			continue
		}
		if err != nil {
			return fmt.Errorf("matching %d reads: %w", len(reads), err) // the books name the offsets
		}
		s.Hook(PointPosted)
		if err := s.posted(t, batch); err != nil {
			return err
		}
		now := s.Clock.Now()
		s.Metrics.observe(len(reads), len(batch.Passes), len(rejected), now.Sub(begun))
		for i := range records {
			s.Metrics.Latency.Observe(now.Sub(records[i].Time).Seconds())
		}
		return nil
	}
}

// posted moves the session on after the books have committed.
func (s *session) posted(t *table, b billing.Batch) error {
	s.progress = billing.Progress{NextOffset: b.To, MaxMicros: b.MaxMicros}
	if !s.holding {
		return nil
	}
	reach := max(s.Network.GapMicros(), s.Network.TurnRoundMicros()) + slack.Microseconds()
	s.horizon = max(s.horizon, b.MaxMicros-reach)
	put, err := t.puts(s.horizon)
	if err != nil {
		return err
	}
	s.pending = &passage.Change{
		To:      passage.Stamp{Books: s.stamp.Books, Offset: b.To, Owner: s.stamp.Owner},
		Horizon: s.horizon,
		Put:     put,
	}
	for i := range s.pending.Put {
		s.expiry.add(s.pending.Put[i].Key, s.pending.Put[i].LastMicros)
	}
	s.pending.Drop = s.expiry.before(s.horizon)
	return nil
}

// exchange applies what is pending and fetches held records. On any doubt the
// session goes on without the store, and ok is false.
func (s *session) exchange(ctx context.Context, keys []passage.Key) (items []passage.Item, ok bool) {
	if !s.holding {
		return nil, false
	}
	call, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	items, err := s.Open.Exchange(call, s.partition, s.stamp, s.pending, keys)
	if err != nil {
		s.distrust(ctx, err)
		return nil, false
	}
	if s.pending != nil {
		s.stamp, s.pending = s.pending.To, nil
	}
	s.Hook(PointExchanged)
	return items, true
}
