// Package rejudge owns judging anew: when the registry changes as of the past,
// the kept reads that it touches are resolved again as of their own time, and
// passes, charges and sums end as contract section 4 has them for the same
// reads under the new registry from the start.
//
// Invariants: the set of kept reads and the registry decide, never what was
// done before, so that a step done again, by another process or after a crash,
// changes nothing; a step holds the facility's row in the books, so that no
// batch is posted between what it sees and what it writes; passes whose reads
// are no longer kept are left alone and named; what a person decided of a pass
// stands, or the pass is reopened.
//
// Not promised: that a pass keeps its id when it is split or joined; that
// followers never see a state between two registries while a run goes on.
//
// Like the matcher, this is a place where tolling meets billing.
package rejudge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/rsu"
	"freeflow/tolling"
	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

// Network is what is asked of the road network. Safe for concurrent use.
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

// Books is what is needed of the books.
type Books interface {
	billing.Rejudging
	Source
	List(ctx context.Context, f billing.Filter) ([]billing.Pass, error)
}

// Bounds of the work; variables of a Runner so that tests can make them small.
const (
	// usualSlice is how much time is searched for touched reads at once, in
	// microseconds: 6 h.
	usualSlice = 6 * 3600 * 1_000_000
	// usualChunk is how much time one step works on: 10 min.
	usualChunk = 10 * 60 * 1_000_000
	// usualReads is how many touched reads are held at once.
	usualReads = 5000
	// readsAtOnce bounds the touched reads of one step, during which nobody
	// posts at the facility.
	readsAtOnce = 400
	// lease is how long a process may fall silent before another takes over.
	lease = time.Minute
	// maxChanges bounds the changed rows of one run.
	maxChanges = 4_000_000
	// maxRounds bounds how often a step is tried again with more reads, or
	// because passes changed.
	maxRounds = 16
)

// Config is what a Runner is made of; all fields are required.
type Config struct {
	Network Network
	Books   Books
	// Current is the registry that Follow keeps; the matcher's.
	Current *registry.Current
	Follow  *Follower
	Clock   clock.Clock
	Logger  *slog.Logger
	// Owner names this process among those that share the books; it must
	// differ from process to process and from start to start.
	Owner string
}

// Runner judges anew whenever the registry has changed. One Runner works at a
// time; several processes may each have one.
type Runner struct {
	Config
	slice, chunk int64
	reads        int
	// hook is called between steps; tests fail there.
	hook func(point string) error
}

// New returns a runner.
func New(c Config) *Runner {
	return &Runner{Config: c, slice: usualSlice, chunk: usualChunk, reads: usualReads, hook: func(string) error { return nil }}
}

// Watch looks for changes of the registry again and again until ctx ends. What
// fails is logged and tried again.
func (r *Runner) Watch(ctx context.Context, every time.Duration) error {
	clock.Every(ctx, every, func(ctx context.Context) {
		err := r.Once(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, billing.ErrConflict) && !errors.Is(err, billing.ErrFenced) {
			r.Logger.ErrorContext(ctx, "kept reads not judged anew; trying again", "err", err)
		}
	})
	return nil
}

// Once works off what there is to do: an unfinished run, or a new one if the
// registry has changed. billing.ErrConflict or ErrFenced if another process is
// at it.
func (r *Runner) Once(ctx context.Context) error {
	for {
		job, err := r.Books.ClaimRejudge(ctx, r.Owner, r.Clock.Now(), r.until())
		switch {
		case err == nil:
			if err := r.work(ctx, job); err != nil {
				return err
			}
			continue
		case !errors.Is(err, billing.ErrNotFound):
			return err
		}
		more, err := r.start(ctx)
		if err != nil || !more {
			return err
		}
	}
}

func (r *Runner) until() time.Time { return r.Clock.Now().Add(lease) }

// start looks for a change of the registry, and adds a run if posted reads may
// be touched; more is false if there is nothing to do.
func (r *Runner) start(ctx context.Context) (more bool, err error) {
	judged, err := r.Books.JudgedVersion(ctx)
	if err != nil {
		return false, err
	}
	latest, err := r.Books.RegistryVersion(ctx)
	if err != nil || latest == judged {
		return false, err
	}
	t, err := r.target(ctx, judged, 0)
	if err != nil {
		return false, err
	}
	// From here on every batch is resolved by the new registry; what was posted
	// before is in the archives.
	posted, err := r.Books.RequireRegistry(ctx, t.after.Version())
	if err != nil {
		return false, err
	}
	from, to, ok := t.touched.Bounds(posted)
	if !ok || posted == 0 {
		return true, r.Books.SetJudgedVersion(ctx, judged, t.after.Version())
	}
	_, err = r.Books.StartRejudge(ctx, billing.RejudgeJob{
		FromVersion: judged, ToVersion: t.after.Version(), FromMicros: from, ToMicros: to, DoneMicros: from,
		StartedAt: r.Clock.Now(), Owner: r.Owner, LeaseUntil: r.until(),
	})
	return true, err
}

// change is what one run judges by: the registry before and after, and what
// differs between them.
type change struct {
	before, after *registry.Registry
	touched       registry.Touched
	// marks are the rows that differ, for naming vehicles.
	rows []registry.Change
}

// target works out the registries of a run from version from to version to; 0
// is the latest.
func (r *Runner) target(ctx context.Context, from, to int64) (*change, error) {
	for range maxRounds {
		if err := r.Follow.Load(ctx); err != nil {
			return nil, err
		}
		latest := r.Current.Get()
		list, version, more, err := r.Books.RegistryChanges(ctx, from, maxChanges)
		switch {
		case err != nil:
			return nil, err
		case more:
			return nil, fmt.Errorf("judging anew from version %d of the registry: more than %d rows changed at once", from, maxChanges)
		case version != latest.Version():
			continue // it moved on meanwhile
		}
		if to == 0 {
			to = version
		}
		all := changesOf(list)
		c := &change{before: latest.Undo(all, from), after: latest.Undo(all, to)}
		for _, one := range all {
			if one.Until > to {
				one.Until = 0
			}
			if one.Since <= to && (one.Since > from || one.Until != 0) {
				c.rows = append(c.rows, one)
			}
		}
		c.touched = c.before.TouchedBy(c.rows)
		return c, nil
	}
	return nil, errors.New("the registry changes faster than it can be read")
}

// work takes a run from where it stands to its end.
func (r *Runner) work(ctx context.Context, job billing.RejudgeJob) error {
	t, err := r.target(ctx, job.FromVersion, job.ToVersion)
	if err != nil {
		return err
	}
	pruned, err := r.Books.PrunedMicros(ctx)
	if err != nil {
		return err
	}
	w := &run{Runner: r, change: t, job: job, pruned: pruned, renewed: r.Clock.Now()}
	if job.DoneMicros == job.FromMicros && job.FromMicros <= pruned {
		if err := w.reportPruned(ctx); err != nil {
			return err
		}
	}
	slice := r.slice
	for at := job.DoneMicros; at <= job.ToMicros; {
		end := min(job.ToMicros, at+slice-1)
		found, err := w.search(ctx, at, end)
		if err != nil {
			return err
		}
		if found.archives == 0 {
			// Nothing at all was posted of that time; look further at once.
			slice *= 2
		} else {
			slice = r.slice
		}
		if err := w.chunks(ctx, found); err != nil {
			return err
		}
		at = found.until + 1
		if err := r.Books.AdvanceRejudge(ctx, job.ID, r.Owner, at, r.until()); err != nil {
			return err
		}
		if err := r.hook("advanced"); err != nil {
			return err
		}
	}
	done, err := r.Books.FinishRejudge(ctx, job.ID, r.Owner, r.Clock.Now())
	if err != nil {
		return err
	}
	r.Logger.InfoContext(ctx, "kept reads judged anew by a changed registry", "job", done.ID, "from_version", done.FromVersion,
		"to_version", done.ToVersion, "reads", done.Reads, "passes", done.Passes, "skipped", done.Skipped)
	return nil
}

// chunks works off touched reads, in order of time, a few minutes and all their
// facilities at a time.
func (w *run) chunks(ctx context.Context, found *searched) error {
	for rest := found.reads; len(rest) > 0; {
		end := rest[0].micros + w.chunk
		n := 0
		facilities := map[string]int64{}
		for n < len(rest) && rest[n].micros < end && (n < readsAtOnce || rest[n].micros == rest[n-1].micros) {
			facilities[rest[n].facility]++
			n++
		}
		c := chunk{from: rest[0].micros, to: rest[n-1].micros, facilities: facilities, done: found.until + 1}
		if rest = rest[n:]; len(rest) > 0 {
			c.done = rest[0].micros
		}
		if err := w.step(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
