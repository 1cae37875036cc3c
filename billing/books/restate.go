package books

import (
	"context"
	"fmt"
	"slices"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Restate runs one step of judging or rating anew in one transaction, on both
// engines row by row: the facility's row is locked first, so that no poster
// moves between what the step sees and what it writes. See billing.Rejudging.
func (s *Store) Restate(ctx context.Context, r billing.Restatement) error {
	err := s.db.Write(ctx, func(db database.Session) error { return restate(ctx, db, &r) })
	if err != nil {
		return fmt.Errorf("restating passes at %s: %w", r.Facility, err)
	}
	return nil
}

func restate(ctx context.Context, db database.Session, r *billing.Restatement) error {
	if r.PostedAt.IsZero() || r.Gap < 0 {
		return invalid("a step needs a posting date and a gap that is not negative")
	}
	if r.Job != 0 {
		if err := holdJob(ctx, db, r.Job, r.Owner, r.DoneMicros, r.LeaseUntil.UnixMicro()); err != nil {
			return err
		}
	}
	locked, err := db.Exec(ctx, `UPDATE facility SET epoch = epoch + 0 WHERE facility = $1`, r.Facility)
	if err != nil {
		return err
	}
	if locked == 0 {
		return fmt.Errorf("facility %s: %w", r.Facility, billing.ErrNotFound)
	}
	v := &view{db: db, rerate: r.Rerate}
	restated, err := r.Decide(ctx, v)
	if err != nil {
		return err
	}
	if r.Job != 0 {
		if _, err := db.Exec(ctx, `UPDATE rejudge_job SET touched = touched + $2, changed = changed + $3 WHERE id = $1`,
			r.Job, r.Reads, int64(len(restated.Passes))); err != nil {
			return err
		}
		if err := skip(ctx, db, r.Job, restated.Skipped); err != nil {
			return err
		}
	}
	if r.Rerate != 0 {
		if err := markRerated(ctx, db, r.Rerate, &restated); err != nil {
			return err
		}
	}
	if len(restated.Passes) == 0 {
		return nil
	}
	if err := checkRestated(r, restated.Passes); err != nil {
		return err
	}
	c := &change{passes: restated.Passes, gap: r.Gap, postedAt: r.PostedAt, money: r.OnlyMoney}
	if r.OnlyMoney {
		return (&litePosting{db, c}).run(ctx)
	}
	latest := int64(0)
	for i := range restated.Passes {
		latest = max(latest, restated.Passes[i].LastMicros)
	}
	// What was before the change counts too: whoever holds it must let go.
	for _, p := range v.seen {
		latest = max(latest, p.LastMicros)
	}
	if _, err := db.Exec(ctx, `UPDATE facility SET epoch = epoch + 1, epoch_micros = CASE WHEN epoch_micros > $2 THEN epoch_micros ELSE $2 END WHERE facility = $1`,
		r.Facility, latest); err != nil {
		return err
	}
	return (&litePosting{db, c}).run(ctx)
}

func checkRestated(r *billing.Restatement, passes []billing.Pass) error {
	seen := make(map[string]bool, len(passes))
	for i := range passes {
		p := &passes[i]
		if p.Facility != r.Facility || seen[p.ID] {
			return invalid("pass %s stands at another facility than %s, or twice in the step", p.ID, r.Facility)
		}
		seen[p.ID] = true
		if err := checkPass(p); err != nil {
			return err
		}
	}
	return nil
}

// view is billing.View on a transaction.
type view struct {
	db     database.Session
	rerate int64
	seen   []billing.Pass
}

// viewWindow asks for one window, on both engines.
const viewWindow = `WITH w(facility, vehicle, registered, lo, hi) AS
		(SELECT CAST($1 AS text), CAST($2 AS text), CAST($3 AS boolean), CAST($4 AS bigint), CAST($5 AS bigint))
	SELECT ` + passColumns + ` FROM w JOIN facility f ON f.facility = w.facility JOIN pass p ON ` + ownPass + `
	UNION ALL
	SELECT ` + passColumns + ` FROM w JOIN facility f ON f.facility = w.facility JOIN pass_mark m ON ` + passMark + ` JOIN pass p ON ` + markedPass

// Passes implements billing.View.
func (v *view) Passes(ctx context.Context, windows []billing.Window) ([]billing.Pass, error) {
	known := map[string]bool{}
	var passes []billing.Pass
	for _, w := range windows {
		args := []any{w.Facility, w.Vehicle, w.Registered, max(w.FromMicros, -farMicros), min(w.ToMicros, farMicros)}
		err := database.Each(ctx, v.db, viewWindow, args, func(r database.Rows) error {
			p, err := scanPass(r)
			if err == nil && !known[p.ID] {
				known[p.ID] = true
				passes = append(passes, p.Pass)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("finding passes: %w", err)
		}
	}
	v.seen = append(v.seen, passes...)
	return passes, nil
}

// idChunk is how many ids one statement asks for.
const idChunk = 200

// ByID implements billing.View.
func (v *view) ByID(ctx context.Context, ids []string) ([]billing.Pass, error) {
	var passes []billing.Pass
	for chunk := range slices.Chunk(ids, idChunk) {
		err := database.Each(ctx, v.db, `SELECT `+passColumns+` FROM pass p WHERE p.id IN (`+database.Placeholders(1, idChunk)+`) ORDER BY p.id`,
			padded(chunk), func(r database.Rows) error {
				p, err := scanPass(r)
				passes = append(passes, p.Pass)
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("reading passes: %w", err)
		}
	}
	v.seen = append(v.seen, passes...)
	return passes, nil
}

// padded gives ids as the parameters of a statement that asks for idChunk: the
// last one repeats, so that there is one statement.
func padded(ids []string) []any {
	args := make([]any, idChunk)
	for i := range args {
		args[i] = ids[min(i, len(ids)-1)]
	}
	return args
}

// ArchivedSince implements billing.View.
func (v *view) ArchivedSince(ctx context.Context, offsets map[int]int64, from, to int64, each func(blob []byte) error) error {
	var partitions []int64
	err := database.Each(ctx, v.db, `SELECT log_partition FROM progress ORDER BY log_partition`, nil, func(r database.Rows) error {
		var p int64
		err := r.Scan(&p)
		partitions = append(partitions, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the partitions: %w", err)
	}
	for _, p := range partitions {
		err := database.Each(ctx, v.db, `SELECT reads FROM read_archive WHERE log_partition = $1 AND from_offset >= $2
			AND max_micros >= $3 AND min_micros <= $4 ORDER BY from_offset`, []any{p, offsets[int(p)], from, to}, func(r database.Rows) error {
			var blob []byte
			if err := r.Scan(&blob); err != nil {
				return err
			}
			return each(blob)
		})
		if err != nil {
			return fmt.Errorf("reading archived reads: %w", err)
		}
	}
	return nil
}

// KnownPasses returns those of the ids that passes have. See billing.Posting.
func (s *Store) KnownPasses(ctx context.Context, ids []string) ([]string, error) {
	var known []string
	for chunk := range slices.Chunk(ids, idChunk) {
		err := s.db.Direct(ctx, func(db database.Session) error {
			return database.Each(ctx, db, `SELECT p.id FROM pass p WHERE p.id IN (`+database.Placeholders(1, idChunk)+`) ORDER BY p.id`,
				padded(chunk), func(r database.Rows) error {
					var id string
					err := r.Scan(&id)
					known = append(known, id)
					return err
				})
		})
		if err != nil {
			return nil, fmt.Errorf("looking for passes by id: %w", err)
		}
	}
	return known, nil
}

// Facilities returns all facilities. See billing.Posting.
func (s *Store) Facilities(ctx context.Context) ([]billing.Facility, error) {
	var list []billing.Facility
	err := s.db.Direct(ctx, func(db database.Session) error {
		list = nil
		return database.Each(ctx, db, `SELECT facility, epoch, epoch_micros, registry_version FROM facility ORDER BY facility`, nil, func(r database.Rows) error {
			var f billing.Facility
			err := r.Scan(&f.Name, &f.Epoch, &f.EpochMicros, &f.Registry)
			list = append(list, f)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the facilities: %w", err)
	}
	return list, nil
}

// Offsets returns how far each partition has been posted. See
// billing.Rejudging.
func (s *Store) Offsets(ctx context.Context) (map[int]int64, error) {
	offsets := map[int]int64{}
	err := s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, `SELECT log_partition, next_offset FROM progress`, nil, func(r database.Rows) error {
			var partition, next int64
			err := r.Scan(&partition, &next)
			offsets[int(partition)] = next
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading how far the partitions are: %w", err)
	}
	return offsets, nil
}
