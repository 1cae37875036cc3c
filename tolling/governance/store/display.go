package store

import (
	"context"
	"fmt"
	"time"

	"freeflow/internal/database"
	"freeflow/tolling/governance"
)

// AddShown keeps displays. See governance.DisplayStore.
func (s *Store) AddShown(ctx context.Context, network, by string, at time.Time, shown []governance.Shown, gaps []governance.Gap) ([]governance.Finding, error) {
	var raised []governance.Finding
	err := s.db.Write(ctx, func(db database.Session) error {
		for i := range shown {
			if err := addShown(ctx, db, network, by, at, &shown[i]); err != nil {
				return fmt.Errorf("displayed toll %d: %w", i+1, err)
			}
		}
		var err error
		raised, err = addGaps(ctx, db, network, gaps)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keeping displayed tolls: %w", err)
	}
	return raised, nil
}

func addShown(ctx context.Context, db database.Session, network, by string, at time.Time, s *governance.Shown) error {
	n, err := db.Exec(ctx, `INSERT INTO tariff_shown (from_micros, cents, at_micros, dark, network, toll_point, class, sign, told_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		governance.Micros(s.From), s.Cents, governance.Micros(at), s.Dark, network, s.TollPoint, s.Class, s.Sign, by)
	if err != nil {
		return err
	}
	if n == 1 {
		_, err := db.Exec(ctx, `INSERT INTO tariff_sign (network, toll_point, class, sign) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			network, s.TollPoint, s.Class, s.Sign)
		return err
	}
	var (
		cents int64
		dark  bool
	)
	_, err = database.One(ctx, db, `SELECT cents, dark FROM tariff_shown WHERE network = $1 AND toll_point = $2 AND class = $3 AND sign = $4 AND from_micros = $5`,
		[]any{network, s.TollPoint, s.Class, s.Sign, governance.Micros(s.From)}, &cents, &dark)
	if err == nil && (cents != s.Cents || dark != s.Dark) {
		return fmt.Errorf("%w: the sign told another toll from the same instant on", governance.ErrConflict)
	}
	return err
}

// Shown returns what signs showed. See governance.DisplayStore.
func (s *Store) Shown(ctx context.Context, network string, from, to time.Time) ([]governance.Shown, error) {
	var list []governance.Shown
	err := s.db.Direct(ctx, func(db database.Session) error {
		// What each sign showed when the stretch began, then what it showed in it.
		return database.Each(ctx, db, `SELECT d.from_micros, d.cents, d.dark, d.toll_point, d.class, d.sign
			FROM tariff_sign g JOIN tariff_shown d ON d.network = g.network AND d.toll_point = g.toll_point AND d.class = g.class AND d.sign = g.sign
			WHERE g.network = $1 AND d.from_micros <= $3 AND d.from_micros >= coalesce((SELECT max(e.from_micros) FROM tariff_shown e
				WHERE e.network = g.network AND e.toll_point = g.toll_point AND e.class = g.class AND e.sign = g.sign AND e.from_micros <= $2), $2)`,
			[]any{network, from.UnixMicro(), to.UnixMicro()}, func(r database.Rows) error {
				var (
					one governance.Shown
					at  int64
				)
				err := r.Scan(&at, &one.Cents, &one.Dark, &one.TollPoint, &one.Class, &one.Sign)
				one.From = governance.Instant(at)
				list = append(list, one)
				return err
			})
	})
	if err != nil {
		return nil, fmt.Errorf("reading displayed tolls: %w", err)
	}
	return list, nil
}

// HasSigns reports whether any sign showed anything. See
// governance.DisplayStore.
func (s *Store) HasSigns(ctx context.Context, network string) (found bool, err error) {
	err = s.db.Direct(ctx, func(db database.Session) error {
		var sign string
		found, err = database.One(ctx, db, `SELECT sign FROM tariff_sign WHERE network = $1 LIMIT 1`, []any{network}, &sign)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("looking for signs: %w", err)
	}
	return found, nil
}

// Progress returns until when a sweep has compared. See
// governance.DisplayStore.
func (s *Store) Progress(ctx context.Context, network, sweep string) (time.Time, error) {
	var until int64
	err := s.db.Direct(ctx, func(db database.Session) error {
		_, err := database.One(ctx, db, `SELECT until_micros FROM tariff_sweep WHERE network = $1 AND sweep = $2`, []any{network, sweep}, &until)
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading a sweep's progress: %w", err)
	}
	return governance.Instant(until), nil
}

// Found moves a sweep on and keeps its gaps. See governance.DisplayStore.
func (s *Store) Found(ctx context.Context, network, sweep string, from, to time.Time, gaps []governance.Gap) ([]governance.Finding, error) {
	var raised []governance.Finding
	err := s.db.Write(ctx, func(db database.Session) error {
		query, args := `UPDATE tariff_sweep SET until_micros = $1 WHERE network = $2 AND sweep = $3 AND until_micros = $4`,
			[]any{governance.Micros(to), network, sweep, governance.Micros(from)}
		if from.IsZero() {
			query, args = `INSERT INTO tariff_sweep (until_micros, network, sweep) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, args[:3]
		}
		n, err := db.Exec(ctx, query, args...)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("the sweep %s: %w", sweep, governance.ErrStale)
		}
		raised, err = addGaps(ctx, db, network, gaps)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keeping what a sweep found: %w", err)
	}
	return raised, nil
}

// addGaps keeps gaps that are new, and raises a finding where none is open.
func addGaps(ctx context.Context, db database.Session, network string, gaps []governance.Gap) ([]governance.Finding, error) {
	var raised []governance.Finding
	open := map[[2]string]bool{}
	for i := range gaps {
		g := &gaps[i]
		n, err := db.Exec(ctx, `INSERT INTO tariff_gap (pass_micros, rated_cents, shown_cents, found_at, network, pass_id, toll_point, class, sign)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
			governance.Micros(g.At), g.RatedCents, g.ShownCents, governance.Micros(g.Found), network, g.Pass, g.TollPoint, g.Class, g.Sign)
		if err != nil {
			return nil, err
		}
		place := [2]string{g.TollPoint, g.Class}
		if n == 0 || open[place] {
			continue
		}
		open[place] = true
		f := governance.Finding{ID: fmt.Sprintf("%s.%s.%d", g.TollPoint, g.Class, g.Found.UnixMicro()), TollPoint: g.TollPoint, Class: g.Class,
			First: *g, Raised: g.Found, Last: g.At, Count: 1}
		n, err = db.Exec(ctx, `INSERT INTO tariff_finding (raised_at, closed_at, id, network, toll_point, class, first_pass, closed_by, reason)
			VALUES ($1, 0, $2, $3, $4, $5, $6, '', '') ON CONFLICT DO NOTHING`, governance.Micros(f.Raised), f.ID, network, f.TollPoint, f.Class, g.Pass)
		if err != nil {
			return nil, err
		}
		if n == 1 {
			raised = append(raised, f)
		}
	}
	return raised, nil
}

// Findings lists findings. See governance.DisplayStore.
func (s *Store) Findings(ctx context.Context, network string, closed bool, limit int) ([]governance.Finding, error) {
	var list []governance.Finding
	err := s.db.Read(ctx, func(db database.Session) (err error) {
		list, err = findings(ctx, db, `f.network = $1 AND (f.closed_at = 0 OR $2) ORDER BY f.raised_at DESC, f.id LIMIT $3`, network, closed, int64(limit))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing findings: %w", err)
	}
	return list, nil
}

// findings reads findings with their gaps; where is on tariff_finding f.
func findings(ctx context.Context, db database.Session, where string, args ...any) ([]governance.Finding, error) {
	var list []governance.Finding
	err := database.Each(ctx, db, `SELECT f.raised_at, f.closed_at, f.id, f.toll_point, f.class, f.closed_by, f.reason,
			g.pass_micros, g.rated_cents, g.shown_cents, g.found_at, g.pass_id, g.sign,
			(SELECT count(*) FROM tariff_gap c WHERE c.network = f.network AND c.toll_point = f.toll_point AND c.class = f.class
				AND c.found_at >= f.raised_at AND (f.closed_at = 0 OR c.found_at <= f.closed_at)),
			(SELECT max(c.pass_micros) FROM tariff_gap c WHERE c.network = f.network AND c.toll_point = f.toll_point AND c.class = f.class
				AND c.found_at >= f.raised_at AND (f.closed_at = 0 OR c.found_at <= f.closed_at))
		FROM tariff_finding f JOIN tariff_gap g ON g.network = f.network AND g.pass_id = f.first_pass AND g.toll_point = f.toll_point AND g.class = f.class
		WHERE `+where, args, func(r database.Rows) error {
		var (
			f                                 governance.Finding
			raised, closed, at, found, latest int64
		)
		err := r.Scan(&raised, &closed, &f.ID, &f.TollPoint, &f.Class, &f.ClosedBy, &f.Reason,
			&at, &f.First.RatedCents, &f.First.ShownCents, &found, &f.First.Pass, &f.First.Sign, &f.Count, &latest)
		f.Raised, f.Closed, f.Last = governance.Instant(raised), governance.Instant(closed), governance.Instant(latest)
		f.First.TollPoint, f.First.Class, f.First.At, f.First.Found = f.TollPoint, f.Class, governance.Instant(at), governance.Instant(found)
		list = append(list, f)
		return err
	})
	return list, err
}

// CloseFinding closes a finding, with its event. See governance.DisplayStore.
func (s *Store) CloseFinding(ctx context.Context, network, id, by, reason string, at time.Time) (governance.Finding, error) {
	var closed governance.Finding
	err := s.db.Write(ctx, func(db database.Session) error {
		n, err := db.Exec(ctx, `UPDATE tariff_finding SET closed_at = $1, closed_by = $2, reason = $3 WHERE network = $4 AND id = $5 AND closed_at = 0`,
			governance.Micros(at), by, reason, network, id)
		if err != nil {
			return err
		}
		list, err := findings(ctx, db, `f.network = $1 AND f.id = $2`, network, id)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("finding %.64q: %w", id, governance.ErrNotFound)
		}
		if closed = list[0]; n == 0 {
			return nil
		}
		return (&tx{db}).Record(ctx, governance.Event{At: at, By: by, Action: "tariff.finding-closed", Subject: id, Reason: reason})
	})
	if err != nil {
		return governance.Finding{}, fmt.Errorf("closing a finding: %w", err)
	}
	return closed, nil
}
