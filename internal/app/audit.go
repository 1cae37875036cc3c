package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/observe"
)

const (
	// auditEvery is how often events get their places in the chain.
	auditEvery = 2 * time.Second
	// auditPause is how long the chain rests after a failure, so that a broken
	// trail does not fill the log.
	auditPause = time.Minute
	// auditDays is how often days of the ledger are looked for that are over.
	auditDays = 10 * time.Minute
	// auditDelay is how long after its end a day is digested: far longer than
	// any posting takes from reading the clock to its commit.
	auditDelay = time.Hour
	// auditCheckpoints is how often a checkpoint is written, if the chain grew.
	auditCheckpoints = time.Hour
	// auditLast bounds what is still chained and signed while the process ends.
	auditLast = 10 * time.Second
)

// checkpointFolder is where checkpoints go unless told otherwise.
func checkpointFolder(data, flag string) string {
	if flag != "" {
		return flag
	}
	return filepath.Join(data, "audit-checkpoints")
}

// auditor extends the chain of the audit trail in the background. Several
// processes may do so at once.
type auditor struct {
	trail  *audit.Log
	ledger audit.Ledger
	zone   *time.Location
	signer note.Signer
	// folder is where checkpoints go.
	folder string
	clock  clock.Clock
	log    *slog.Logger
	// failed is what went wrong last; nil if nothing.
	failed atomic.Pointer[error]
	// signed is the size of the last checkpoint.
	signed int64
}

// openAuditor opens the trail beside the books.
func (s *system) openAuditor(ctx context.Context) (*auditor, error) {
	signer, err := audit.LoadSigner(s.flags.parts.data)
	if err != nil {
		return nil, err
	}
	trail, err := audit.Open(ctx, s.flags.parts.booksURL(), audit.Options{Migrate: true, Logger: s.log})
	if err != nil {
		return nil, err
	}
	return &auditor{
		trail: trail, ledger: s.parts.books, zone: s.parts.network.Zone(), signer: signer,
		folder: checkpointFolder(s.flags.parts.data, s.flags.auditCheckpoints), clock: s.env.Clock, log: s.log,
	}, nil
}

// startAudit tells the trail that this program runs, and keeps its chain going.
// The trail is closed when that ends.
func (s *system) startAudit(ctx context.Context) error {
	a, err := s.openAuditor(ctx)
	if err != nil {
		return fmt.Errorf("opening the audit trail: %w", err)
	}
	err = a.trail.Append(ctx, audit.Event{
		At: s.env.Clock.Now(), Actor: audit.Actor{Name: "system", Role: "system"}, Action: "software.started",
		Subject: audit.Subject{Kind: "software", ID: version()}, Detail: map[string]string{"targets": strings.Join(s.flags.target, ",")},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("telling the audit trail of the start: %w", err), a.trail.Close())
	}
	s.health.Add("audit trail", observe.Helpful, func(context.Context) error {
		if failed := a.failed.Load(); failed != nil {
			return *failed
		}
		return nil
	})
	s.group.Go(func() error { return errors.Join(a.run(ctx), a.trail.Close()) })
	return nil
}

// run works until ctx ends, and then signs what there is.
func (a *auditor) run(ctx context.Context) error {
	jobs := []struct {
		name  string
		every time.Duration
		do    func(context.Context) error
		due   time.Time
	}{
		{name: "chain", every: auditEvery, do: a.chain},
		{name: "days", every: auditDays, do: a.days},
		{name: "checkpoint", every: auditCheckpoints, do: a.checkpoint},
	}
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	for {
		for i := range jobs {
			job := &jobs[i]
			now := a.clock.Now()
			if now.Before(job.due) {
				continue
			}
			err := job.do(ctx)
			job.due = now.Add(job.every)
			if err != nil && ctx.Err() == nil {
				a.log.ErrorContext(ctx, "audit trail not kept up", "job", job.name, "err", err)
				a.failed.Store(&err)
				job.due = now.Add(max(job.every, auditPause))
			} else if job.name == "chain" {
				a.failed.Store(nil)
			}
		}
		select {
		case <-ctx.Done():
			return a.end(ctx)
		case <-tick.C:
		}
	}
}

// end chains and signs what there is when the process ends. That it does not
// is no failure of the process: the next one goes on where this one ended.
func (a *auditor) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditLast)
	defer cancel()
	if err := errors.Join(a.chain(ctx), a.checkpoint(ctx)); err != nil {
		a.log.WarnContext(ctx, "last checkpoint of the audit trail not written", "err", err)
	}
	return nil
}

// chain gives all waiting events their places.
func (a *auditor) chain(ctx context.Context) error { return extendAll(ctx, a.trail) }

func extendAll(ctx context.Context, trail *audit.Log) error {
	for {
		n, err := trail.Extend(ctx)
		if err != nil || n == 0 {
			return err
		}
	}
}

// days puts the digests of the ledger's days into the chain.
func (a *auditor) days(ctx context.Context) error {
	_, err := a.trail.CloseDays(ctx, a.ledger, a.zone, a.clock.Now(), auditDelay)
	return err
}

// checkpoint writes a signed checkpoint, if the chain grew since the last.
func (a *auditor) checkpoint(ctx context.Context) error {
	head, err := a.trail.Head(ctx)
	if err != nil || head.Size == a.signed {
		return err
	}
	if _, _, err := writeCheckpoint(head, a.signer, a.folder, a.clock.Now()); err != nil {
		return err
	}
	a.signed = head.Size
	return nil
}

// writeCheckpoint signs the chain's end and writes it into a folder.
func writeCheckpoint(head audit.Head, signer note.Signer, folder string, now time.Time) (signed []byte, path string, err error) {
	signed, err = audit.Checkpoint{Head: head, At: now}.Sign(signer)
	if err != nil {
		return nil, "", err
	}
	path, err = audit.WriteCheckpoint(folder, head.Size, signed)
	return signed, path, err
}
