package books

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

var _ billing.Rejudging = (*Store)(nil)

// Rows of meta.
const (
	// judgedName holds the version under which all kept reads were judged.
	judgedName = "judged_version"
	// prunedReadsName holds the latest time that a pruned read had.
	prunedReadsName = "reads_pruned_until"
)

// metaInt reads a number that stands in meta; 0 if it is not there.
func metaInt(ctx context.Context, db database.Session, name string) (int64, error) {
	var text string
	found, err := database.One(ctx, db, `SELECT value FROM meta WHERE name = $1`, []any{name}, &text)
	if err != nil || !found {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s in the books is damaged: %w", name, err)
	}
	return n, nil
}

func putMeta(ctx context.Context, db database.Session, name string, n int64) error {
	_, err := db.Exec(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		name, strconv.FormatInt(n, 10))
	return err
}

// JudgedVersion implements billing.Rejudging.
func (s *Store) JudgedVersion(ctx context.Context) (version int64, err error) {
	err = s.db.Direct(ctx, func(db database.Session) error {
		version, err = metaInt(ctx, db, judgedName)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reading the registry's version that reads are judged by: %w", err)
	}
	return version, nil
}

// PrunedMicros implements billing.Rejudging.
func (s *Store) PrunedMicros(ctx context.Context) (micros int64, err error) {
	err = s.db.Direct(ctx, func(db database.Session) error {
		micros, err = metaInt(ctx, db, prunedReadsName)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reading until when reads were pruned: %w", err)
	}
	return micros, nil
}

// pruneArchives deletes old archives and notes what they held at the latest.
func pruneArchives(ctx context.Context, db database.Session, before time.Time) (int64, error) {
	var latest int64
	if _, err := database.One(ctx, db, `SELECT coalesce(max(max_micros), 0) FROM read_archive WHERE posted_at < $1`, []any{before.UnixMicro()}, &latest); err != nil {
		return 0, err
	}
	n, err := db.Exec(ctx, `DELETE FROM read_archive WHERE posted_at < $1`, before.UnixMicro())
	if err != nil || n == 0 {
		return 0, err
	}
	noted, err := metaInt(ctx, db, prunedReadsName)
	if err != nil || noted >= latest {
		return n, err
	}
	return n, putMeta(ctx, db, prunedReadsName, latest)
}

// RequireRegistry takes every facility's lock in order of name, so that whoever
// posts under an older registry has committed before or is refused after. See
// billing.Rejudging.
func (s *Store) RequireRegistry(ctx context.Context, version int64) (maxMicros int64, err error) {
	err = s.db.Write(ctx, func(db database.Session) error {
		// A facility that is being made has its row before or after this, never
		// with an older version meanwhile.
		if err := lockRegistry(ctx, db); err != nil {
			return err
		}
		var names []string
		err := database.Each(ctx, db, `SELECT facility FROM facility ORDER BY facility`, nil, func(r database.Rows) error {
			var name string
			err := r.Scan(&name)
			names = append(names, name)
			return err
		})
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, err := db.Exec(ctx, `UPDATE facility SET registry_version = $2 WHERE facility = $1 AND registry_version < $2`, name, version); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		maxMicros, err = s.MaxMicros(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("asking for version %d of the registry: %w", version, err)
	}
	return maxMicros, nil
}

const jobColumns = `id, from_version, to_version, from_micros, to_micros, done_micros, started_at, finished_at, lease_until,
	touched, changed, skipped, owner`

func scanJob(r database.Rows) (j billing.RejudgeJob, err error) {
	var started, finished, lease int64
	err = r.Scan(&j.ID, &j.FromVersion, &j.ToVersion, &j.FromMicros, &j.ToMicros, &j.DoneMicros, &started, &finished, &lease,
		&j.Reads, &j.Passes, &j.Skipped, &j.Owner)
	j.StartedAt, j.LeaseUntil = time.UnixMicro(started).UTC(), time.UnixMicro(lease).UTC()
	if finished != 0 {
		j.FinishedAt = time.UnixMicro(finished).UTC()
	}
	return j, err
}

// oneJob reads the job that a condition selects; ErrNotFound.
func oneJob(ctx context.Context, db database.Session, where string, args ...any) (j billing.RejudgeJob, err error) {
	found := false
	err = database.Each(ctx, db, `SELECT `+jobColumns+` FROM rejudge_job WHERE `+where, args, func(r database.Rows) error {
		found = true
		j, err = scanJob(r)
		return err
	})
	if err == nil && !found {
		err = billing.ErrNotFound
	}
	return j, err
}

// ClaimRejudge implements billing.Rejudging.
func (s *Store) ClaimRejudge(ctx context.Context, owner string, now, leaseUntil time.Time) (j billing.RejudgeJob, err error) {
	err = s.db.Write(ctx, func(db database.Session) error {
		taken, err := db.Exec(ctx, `UPDATE rejudge_job SET owner = $1, lease_until = $2 WHERE finished_at = 0 AND (owner = $1 OR lease_until <= $3)`,
			owner, leaseUntil.UnixMicro(), now.UnixMicro())
		if err != nil {
			return err
		}
		j, err = oneJob(ctx, db, `finished_at = 0`)
		if err == nil && taken == 0 {
			err = fmt.Errorf("%w: another process works on job %d until %s", billing.ErrConflict, j.ID, j.LeaseUntil.Format(time.RFC3339))
		}
		return err
	})
	if errors.Is(err, billing.ErrNotFound) {
		return billing.RejudgeJob{}, err
	}
	if err != nil {
		return billing.RejudgeJob{}, fmt.Errorf("claiming the unfinished judging: %w", err)
	}
	return j, nil
}

// judgedAt locks the row of the judged version and compares it.
func judgedAt(ctx context.Context, db database.Session, version int64) error {
	moved, err := db.Exec(ctx, `UPDATE meta SET value = value WHERE name = $1 AND value = $2`, judgedName, strconv.FormatInt(version, 10))
	if err == nil && moved == 0 {
		err = fmt.Errorf("%w: reads are judged under another version than %d", billing.ErrConflict, version)
	}
	return err
}

// StartRejudge implements billing.Rejudging.
func (s *Store) StartRejudge(ctx context.Context, j billing.RejudgeJob) (billing.RejudgeJob, error) {
	err := s.db.Write(ctx, func(db database.Session) error {
		if err := judgedAt(ctx, db, j.FromVersion); err != nil {
			return err
		}
		if _, err := oneJob(ctx, db, `finished_at = 0`); !errors.Is(err, billing.ErrNotFound) {
			return errors.Join(err, fmt.Errorf("%w: another job is unfinished", billing.ErrConflict))
		}
		if _, err := database.One(ctx, db, `SELECT coalesce(max(id), 0) + 1 FROM rejudge_job`, nil, &j.ID); err != nil {
			return err
		}
		_, err := db.Exec(ctx, `INSERT INTO rejudge_job (`+jobColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, 0, 0, 0, $9)`,
			j.ID, j.FromVersion, j.ToVersion, j.FromMicros, j.ToMicros, j.DoneMicros, j.StartedAt.UnixMicro(), j.LeaseUntil.UnixMicro(), j.Owner)
		return err
	})
	if err != nil {
		return billing.RejudgeJob{}, fmt.Errorf("starting to judge anew from version %d to %d: %w", j.FromVersion, j.ToVersion, err)
	}
	return j, nil
}

// holdJob moves an owned job on and locks it until the end of the transaction.
func holdJob(ctx context.Context, db database.Session, id int64, owner string, done, lease int64) error {
	held, err := db.Exec(ctx, `UPDATE rejudge_job SET lease_until = $3, done_micros = CASE WHEN done_micros < $4 THEN $4 ELSE done_micros END
		WHERE id = $1 AND owner = $2 AND finished_at = 0`, id, owner, lease, done)
	if err == nil && held == 0 {
		err = fmt.Errorf("%w: another process works on job %d, or it is finished", billing.ErrFenced, id)
	}
	return err
}

// AdvanceRejudge implements billing.Rejudging.
func (s *Store) AdvanceRejudge(ctx context.Context, id int64, owner string, done int64, lease time.Time) error {
	err := s.db.Write(ctx, func(db database.Session) error { return holdJob(ctx, db, id, owner, done, lease.UnixMicro()) })
	if err != nil {
		return fmt.Errorf("moving job %d on: %w", id, err)
	}
	return nil
}

// FinishRejudge implements billing.Rejudging.
func (s *Store) FinishRejudge(ctx context.Context, id int64, owner string, at time.Time) (j billing.RejudgeJob, err error) {
	err = s.db.Write(ctx, func(db database.Session) error {
		if err := holdJob(ctx, db, id, owner, 0, at.UnixMicro()); err != nil {
			return err
		}
		if _, err := db.Exec(ctx, `UPDATE rejudge_job SET finished_at = $2, done_micros = to_micros + 1 WHERE id = $1`, id, at.UnixMicro()); err != nil {
			return err
		}
		if j, err = oneJob(ctx, db, `id = $1`, id); err != nil {
			return err
		}
		return putMeta(ctx, db, judgedName, j.ToVersion)
	})
	if err != nil {
		return billing.RejudgeJob{}, fmt.Errorf("finishing job %d: %w", id, err)
	}
	return j, nil
}

// SetJudgedVersion implements billing.Rejudging.
func (s *Store) SetJudgedVersion(ctx context.Context, from, to int64) error {
	err := s.db.Write(ctx, func(db database.Session) error {
		if err := judgedAt(ctx, db, from); err != nil {
			return err
		}
		if _, err := oneJob(ctx, db, `finished_at = 0`); !errors.Is(err, billing.ErrNotFound) {
			return errors.Join(err, fmt.Errorf("%w: a job is unfinished", billing.ErrConflict))
		}
		return putMeta(ctx, db, judgedName, to)
	})
	if err != nil {
		return fmt.Errorf("moving the judged version from %d to %d: %w", from, to, err)
	}
	return nil
}

// skip notes passes that a job leaves alone, each once.
func skip(ctx context.Context, db database.Session, id int64, passIDs []string) error {
	added := int64(0)
	for _, pass := range passIDs {
		n, err := db.Exec(ctx, `INSERT INTO rejudge_skipped (job_id, pass_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, pass)
		if err != nil {
			return err
		}
		added += n
	}
	if added == 0 {
		return nil
	}
	_, err := db.Exec(ctx, `UPDATE rejudge_job SET skipped = skipped + $2 WHERE id = $1`, id, added)
	return err
}

// SkipRejudge implements billing.Rejudging.
func (s *Store) SkipRejudge(ctx context.Context, id int64, owner string, passIDs []string) error {
	err := s.db.Write(ctx, func(db database.Session) error {
		held, err := db.Exec(ctx, `UPDATE rejudge_job SET owner = owner WHERE id = $1 AND owner = $2 AND finished_at = 0`, id, owner)
		if err == nil && held == 0 {
			err = billing.ErrFenced
		}
		if err != nil {
			return err
		}
		return skip(ctx, db, id, passIDs)
	})
	if err != nil {
		return fmt.Errorf("noting passes that job %d leaves alone: %w", id, err)
	}
	return nil
}

// RejudgeSkipped implements billing.Rejudging.
func (s *Store) RejudgeSkipped(ctx context.Context, id int64, after string, limit int) (list []string, err error) {
	err = s.db.Direct(ctx, func(db database.Session) error {
		list = nil
		return database.Each(ctx, db, `SELECT pass_id FROM rejudge_skipped WHERE job_id = $1 AND pass_id > $2 ORDER BY pass_id LIMIT $3`,
			[]any{id, after, int64(limit)}, func(r database.Rows) error {
				var one string
				err := r.Scan(&one)
				list = append(list, one)
				return err
			})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the passes that job %d left alone: %w", id, err)
	}
	return list, nil
}

// RejudgeJobs implements billing.Rejudging.
func (s *Store) RejudgeJobs(ctx context.Context, before int64, limit int) (list []billing.RejudgeJob, err error) {
	if limit <= 0 {
		return nil, fmt.Errorf("listing jobs: %w", invalid("limit %d", limit))
	}
	err = s.db.Direct(ctx, func(db database.Session) error {
		list = nil
		return database.Each(ctx, db, `SELECT `+jobColumns+` FROM rejudge_job WHERE CAST($1 AS bigint) = 0 OR id < CAST($1 AS bigint) ORDER BY id DESC LIMIT $2`,
			[]any{before, int64(limit)}, func(r database.Rows) error {
				j, err := scanJob(r)
				list = append(list, j)
				return err
			})
	})
	if err != nil {
		return nil, fmt.Errorf("listing jobs: %w", err)
	}
	return list, nil
}
