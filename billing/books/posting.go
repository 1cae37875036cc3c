package books

import (
	"context"
	"errors"
	"fmt"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Statements of a posting that both engines run as they are.
const (
	// fenceSQL moves the partition's progress if it stands at $2, or if the
	// partition was never posted: no row changed means fenced. It also locks
	// the row until the end of the transaction.
	fenceSQL = `INSERT INTO progress AS p (log_partition, next_offset, max_micros) VALUES ($1, $3, $4)
		ON CONFLICT (log_partition) DO UPDATE SET next_offset = excluded.next_offset,
			max_micros = CASE WHEN excluded.max_micros > p.max_micros THEN excluded.max_micros ELSE p.max_micros END
		WHERE p.next_offset = $2`
	archiveSQL = `INSERT INTO read_archive (log_partition, from_offset, to_offset, posted_at, read_count, min_micros, max_micros, reads)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	placeSQL    = `UPDATE facility SET longest_micros = $2, gap_micros = $3 WHERE facility = $1`
	decisionSQL = `INSERT INTO decision (pass_id, revision, decided_at, amount_cents, status, class, account, rule, decided_by, note, basis)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
)

func fenceArgs(b *billing.Batch) []any {
	return []any{int64(b.Partition), b.From, b.To, b.MaxMicros}
}

func archiveArgs(b *billing.Batch) []any {
	return []any{int64(b.Partition), b.From, b.To, b.PostedAt.UnixMicro(), int64(b.Reads.Count), b.Reads.MinMicros, b.Reads.MaxMicros, notNil(b.Reads.Blob)}
}

func decisionArgs(p *billing.Pass, d *billing.Decision) []any {
	return []any{p.ID, p.Revision, d.At.UnixMicro(), d.AmountCents, d.Status, d.Class, d.Account, d.Rule, d.By, d.Note, d.Basis}
}

// notNil gives an empty value its place in a column that is never null.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Progress returns how far the partition has been posted.
func (s *Store) Progress(ctx context.Context, partition int) (billing.Progress, error) {
	var p billing.Progress
	err := s.db.Direct(ctx, func(db database.Session) error {
		_, err := database.One(ctx, db, `SELECT next_offset, max_micros FROM progress WHERE log_partition = $1`,
			[]any{int64(partition)}, &p.NextOffset, &p.MaxMicros)
		return err
	})
	if err != nil {
		return billing.Progress{}, fmt.Errorf("reading the progress of partition %d: %w", partition, err)
	}
	return p, nil
}

// MaxMicros returns the latest read time of any partition; 0 if none.
func (s *Store) MaxMicros(ctx context.Context) (int64, error) {
	var latest int64
	err := s.db.Direct(ctx, func(db database.Session) error {
		_, err := database.One(ctx, db, `SELECT coalesce(max(max_micros), 0) FROM progress`, nil, &latest)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reading the latest read time: %w", err)
	}
	return latest, nil
}

// Post posts the batch in one transaction. See billing.Posting.
func (s *Store) Post(ctx context.Context, b billing.Batch) error {
	if err := checkBatch(&b); err != nil {
		return fmt.Errorf("posting a batch: %w", err)
	}
	c := &change{batch: &b, passes: b.Passes, gap: b.Gap, postedAt: b.PostedAt}
	if err := s.post(ctx, c); err != nil {
		return fmt.Errorf("posting offsets %d to %d of partition %d: %w", b.From, b.To, b.Partition, err)
	}
	return nil
}

// post applies the change in one transaction.
func (s *Store) post(ctx context.Context, c *change) error {
	if s.db.Kind() == database.PostgreSQL {
		return s.postPostgres(ctx, c)
	}
	return s.postSQLite(ctx, c)
}

// Decide records a person's decision. See billing.Deciding.
func (s *Store) Decide(ctx context.Context, passID string, revision int64, d billing.Decision) (billing.Pass, error) {
	p, err := s.decide(ctx, passID, revision, &d)
	if err != nil {
		return billing.Pass{}, fmt.Errorf("deciding on pass %s: %w", passID, err)
	}
	return p, nil
}

func (s *Store) decide(ctx context.Context, passID string, revision int64, d *billing.Decision) (billing.Pass, error) {
	var r record
	err := s.db.Direct(ctx, func(db database.Session) error {
		var err error
		r, err = passByID(ctx, db, passID)
		return err
	})
	if err != nil {
		return billing.Pass{}, err
	}
	switch {
	case r.Revision != revision:
		return billing.Pass{}, fmt.Errorf("%w: it stands at revision %d, not %d", billing.ErrConflict, r.Revision, revision)
	case r.MergedInto != "":
		return billing.Pass{}, fmt.Errorf("%w: it has become part of pass %s", billing.ErrConflict, r.MergedInto)
	case r.Status != billing.StatusReview:
		return billing.Pass{}, fmt.Errorf("%w: it is %s, not under review", billing.ErrConflict, r.Status)
	}
	if err := checkDecision(&r.Pass, d); err != nil {
		return billing.Pass{}, err
	}
	p := r.Pass
	p.Revision++
	p.Status, p.Class, p.Account, p.AmountCents, p.Rule = d.Status, d.Class, d.Account, d.AmountCents, d.Rule
	p.Reasons = ""
	kept := *d
	kept.At = kept.At.UTC().Truncate(microsecond)
	p.Decision = &kept
	// The guard is the revision: a pass that changes between here and there is
	// found stale, and nothing is posted.
	err = s.post(ctx, &change{decision: &kept, passes: []billing.Pass{p}, postedAt: d.At})
	if errors.Is(err, billing.ErrStale) {
		return billing.Pass{}, fmt.Errorf("%w: it changed meanwhile", billing.ErrConflict)
	}
	if err != nil {
		return billing.Pass{}, err
	}
	return p, nil
}
