package books

import (
	"context"
	"fmt"
	"slices"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Statements of a posting, row by row; all are compiled once.
const (
	liteFacility = `INSERT INTO facility (facility, longest_micros, gap_micros, registry_version)
		SELECT CAST($1 AS text), 0, CAST($2 AS bigint), coalesce(max(version), 0) FROM registry WHERE true ON CONFLICT DO NOTHING`
	litePlace  = `SELECT facility, longest_micros, gap_micros, epoch, registry_version FROM facility WHERE facility = $1`
	liteFacts  = `SELECT ` + factColumns + ` FROM pass o WHERE o.id = $1`
	liteUpdate = `UPDATE pass SET facility = $2, toll_point = $3, vehicle = $4, registered = $5, first_micros = $6, last_micros = $7,
		revision = $8, status = $9, class = $10, account = $11, amount_cents = $12, currency = $13, rule = $14, tariff_version = $15,
		reasons = $16, marks = $17, merged_into = $18, evidence = $19, decision = CASE WHEN $20 = '' THEN decision ELSE $20 END
		WHERE id = $1`
	// liteExtend is liteUpdate for a pass that only became longer: it leaves
	// the indexed columns alone, and with them the indexes.
	liteExtend = `UPDATE pass SET last_micros = $2, revision = $3, evidence = $4 WHERE id = $1`
	liteInsert = `INSERT INTO pass (id, facility, toll_point, vehicle, registered, first_micros, last_micros, revision, status, class,
		account, amount_cents, currency, rule, tariff_version, reasons, marks, merged_into, evidence, decision, toll_revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`
	liteRevision = `INSERT INTO pass_revision (pass_id, revision, replaced_at, first_micros, last_micros, amount_cents, registered, facility,
		toll_point, vehicle, status, class, account, currency, rule, tariff_version, reasons, marks, merged_into)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`
	liteTollRevision = `UPDATE pass SET toll_revision = $2 WHERE id = $1`
	liteMarkDrop     = `DELETE FROM pass_mark WHERE facility = $1 AND mark = $2 AND first_micros = $3 AND pass_id = $4`
	liteMarkPut      = `INSERT INTO pass_mark (facility, mark, first_micros, pass_id) VALUES ($1, $2, $3, $4)`
	liteOutbox       = `INSERT INTO outbox (posted_at, transactions, payload) VALUES ($1, $2, $3) RETURNING id`
	liteTransaction  = `INSERT INTO transactions (id, kind, pass_id, revision, currency, reverses, posted_at, posting)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	liteEntry   = `INSERT INTO entries (transaction_id, leg, account, amount_cents) VALUES ($1, $2, $3, $4)`
	liteBalance = `INSERT INTO balance AS b (account, currency, amount_cents) VALUES ($1, $2, $3)
		ON CONFLICT (account, currency) DO UPDATE SET amount_cents = b.amount_cents + excluded.amount_cents`
	liteOverlap = `SELECT q.id FROM pass q WHERE q.vehicle = $1 AND q.registered = $2 AND q.facility = $3 AND q.first_micros BETWEEN $4 AND $5
		AND q.toll_point = $6 AND q.merged_into = '' AND q.id <> $7 AND q.last_micros >= $8 LIMIT 1`
)

// lookupSQLite asks once for every window; the statement stays compiled.
func (s *Store) lookupSQLite(ctx context.Context, ws []window, fn func(database.Rows) error) error {
	const query = `WITH w(facility, vehicle, registered, lo, hi) AS (VALUES ($1, $2, $3, $4, $5))
		SELECT ` + passColumns + ` FROM w JOIN facility f ON f.facility = w.facility JOIN pass p ON ` + ownPass + `
		UNION ALL
		SELECT ` + passColumns + ` FROM w JOIN facility f ON f.facility = w.facility JOIN pass_mark m ON ` + passMark + ` JOIN pass p ON ` + markedPass
	return s.db.Read(ctx, func(db database.Session) error {
		for _, w := range ws {
			if err := database.Each(ctx, db, query, []any{w.facility, w.vehicle, w.registered, w.from, w.to}, fn); err != nil {
				return err
			}
		}
		return nil
	})
}

// postSQLite applies the change in the writer's one transaction; nobody else writes
// meanwhile, so that nothing needs a lock.
func (s *Store) postSQLite(ctx context.Context, c *change) error {
	return s.db.Write(ctx, func(db database.Session) error {
		return (&litePosting{db, c}).run(ctx)
	})
}

// litePosting is one run of a change.
type litePosting struct {
	db database.Session
	c  *change
}

func (l *litePosting) exec(ctx context.Context, query string, args ...any) error {
	_, err := l.db.Exec(ctx, query, args...)
	return err
}

func (l *litePosting) run(ctx context.Context) error {
	if l.c.batch != nil {
		moved, err := l.db.Exec(ctx, fenceSQL, fenceArgs(l.c.batch)...)
		if err != nil {
			return err
		}
		if moved == 0 {
			return billing.ErrFenced
		}
	}
	standing, err := l.places(ctx)
	if err != nil {
		return err
	}
	before, err := l.amend(ctx)
	if err != nil {
		return err
	}
	if err := l.insert(ctx, before); err != nil {
		return err
	}
	p, err := planChange(l.c, before)
	if err != nil {
		return err
	}
	moved := places(l.c, standing)
	for _, m := range moved {
		if err := l.exec(ctx, placeSQL, m.facility, m.longest, m.smallestGap); err != nil {
			return err
		}
	}
	if err := l.money(ctx, p); err != nil {
		return err
	}
	if err := l.rest(ctx, p); err != nil {
		return err
	}
	return l.guard(ctx, longestOf(standing, moved))
}

// places reads the rows of the facilities touched, making those that are new.
func (l *litePosting) places(ctx context.Context) ([]place, error) {
	var standing []place
	for _, name := range l.c.facilities() {
		var (
			p               place
			epoch, registry int64
		)
		found, err := database.One(ctx, l.db, litePlace, []any{name}, &p.facility, &p.longest, &p.smallestGap, &epoch, &registry)
		if err == nil && !found {
			if err = l.exec(ctx, liteFacility, name, l.c.gap); err == nil {
				_, err = database.One(ctx, l.db, litePlace, []any{name}, &p.facility, &p.longest, &p.smallestGap, &epoch, &registry)
			}
		}
		if err != nil {
			return nil, err
		}
		if err := l.c.outdated(name, epoch, registry); err != nil {
			return nil, err
		}
		standing = append(standing, p)
	}
	return standing, nil
}

// amend changes the passes that the books know, and returns what they were.
// Swallowed passes make room before others take their place.
func (l *litePosting) amend(ctx context.Context) (map[string]record, error) {
	before := map[string]record{}
	for _, swallowed := range []bool{true, false} {
		for i := range l.c.passes {
			p := &l.c.passes[i]
			if p.Revision == 1 || (p.MergedInto != "") != swallowed {
				continue
			}
			was, err := l.facts(ctx, p.ID)
			if err != nil {
				return nil, err
			}
			if was.Revision != p.Revision-1 {
				return nil, fmt.Errorf("%w: pass %s stands at revision %d, the change is for %d", billing.ErrStale, p.ID, was.Revision, p.Revision)
			}
			before[p.ID] = was
			if sameFacts(&was.Pass, p) && l.c.decision == nil {
				err = l.exec(ctx, liteExtend, p.ID, p.LastMicros, p.Revision, notNil(p.Evidence))
			} else {
				var args []any
				if args, err = passArgs(p, l.c.decision); err == nil {
					err = l.exec(ctx, liteUpdate, args...)
				}
			}
			if err != nil {
				return nil, staleIfDuplicate(p, err)
			}
		}
	}
	return before, nil
}

// facts reads what the books know of a pass; the zero record if nothing.
func (l *litePosting) facts(ctx context.Context, id string) (was record, err error) {
	err = database.Each(ctx, l.db, liteFacts, []any{id}, func(r database.Rows) error {
		was, err = scanFacts(r)
		return err
	})
	return was, err
}

func (l *litePosting) insert(ctx context.Context, before map[string]record) error {
	for i := range l.c.passes {
		p := &l.c.passes[i]
		if _, amended := before[p.ID]; amended {
			continue
		}
		args, err := passArgs(p, nil)
		if err != nil {
			return err
		}
		tollRevision := int64(0)
		if owed(p) != (debt{}) {
			tollRevision = p.Revision
		}
		if err := l.exec(ctx, liteInsert, append(args, tollRevision)...); err != nil {
			return staleIfDuplicate(p, err)
		}
	}
	return nil
}

// passArgs are the first twenty parameters of liteInsert and liteUpdate.
func passArgs(p *billing.Pass, d *billing.Decision) ([]any, error) {
	marks, err := encodeMarks(p.Marks)
	if err != nil {
		return nil, err
	}
	decision, err := encodeDecision(d)
	if err != nil {
		return nil, err
	}
	return []any{p.ID, p.Facility, p.TollPoint, p.Vehicle, p.Registered, p.FirstMicros, p.LastMicros, p.Revision, p.Status, p.Class,
		p.Account, p.AmountCents, p.Currency, p.Rule, p.TariffVersion, p.Reasons, marks, p.MergedInto, notNil(p.Evidence), decision}, nil
}

// staleIfDuplicate turns the refusal of a second pass in the same place into
// the poster's word for it.
func staleIfDuplicate(p *billing.Pass, err error) error {
	if database.IsDuplicate(err) {
		return fmt.Errorf("%w: pass %s, or another of its vehicle at %s at that instant, stands already", billing.ErrStale, p.ID, p.TollPoint)
	}
	return err
}

// money writes outbox, transactions, entries and balances.
func (l *litePosting) money(ctx context.Context, p *plan) error {
	if p.payload == nil {
		return nil
	}
	var posting int64
	if _, err := database.One(ctx, l.db, liteOutbox, []any{p.postedAt, int64(len(p.transactions)), p.payload}, &posting); err != nil {
		return err
	}
	for i := range p.transactions {
		t := &p.transactions[i]
		if err := l.exec(ctx, liteTransaction, t.ID, t.Kind, t.PassID, t.Revision, t.Currency, t.Reverses, p.postedAt, posting); err != nil {
			return err
		}
		for leg, e := range t.Entries {
			if err := l.exec(ctx, liteEntry, t.ID, int64(leg+1), e.Account, e.AmountCents); err != nil {
				return err
			}
		}
	}
	for _, b := range p.balances {
		if err := l.exec(ctx, liteBalance, b.Account, b.Currency, b.AmountCents); err != nil {
			return err
		}
	}
	return nil
}

// rest writes what follows from the change beside money.
func (l *litePosting) rest(ctx context.Context, p *plan) error {
	for i := range p.superseded {
		if err := l.exec(ctx, liteRevision, revisionArgs(&p.superseded[i], p.postedAt)...); err != nil {
			return err
		}
	}
	for i := range p.tollRevisions {
		if err := l.exec(ctx, liteTollRevision, p.tollRevisions[i].ID, p.tollRevisions[i].tollRevision); err != nil {
			return err
		}
	}
	for _, m := range p.marksDrop {
		if err := l.exec(ctx, liteMarkDrop, m.facility, m.name, m.firstMicros, m.passID); err != nil {
			return err
		}
	}
	for _, m := range p.marksPut {
		if err := l.exec(ctx, liteMarkPut, m.facility, m.name, m.firstMicros, m.passID); err != nil {
			return err
		}
	}
	if l.c.decision != nil {
		first := &l.c.passes[0]
		if err := tellDecision(ctx, l.db, first.ID, first.Revision, l.c.decision); err != nil {
			return err
		}
		return l.exec(ctx, decisionSQL, decisionArgs(first, l.c.decision)...)
	}
	if l.c.batch != nil && l.c.batch.Reads != nil {
		return l.exec(ctx, archiveSQL, archiveArgs(l.c.batch)...)
	}
	return nil
}

func revisionArgs(was *record, replacedAt int64) []any {
	marks, _ := encodeMarks(was.Marks) // strings always encode
	return []any{was.ID, was.Revision, replacedAt, was.FirstMicros, was.LastMicros, was.AmountCents, was.Registered, was.Facility,
		was.TollPoint, was.Vehicle, was.Status, was.Class, was.Account, was.Currency, was.Rule, was.TariffVersion, was.Reasons, marks, was.MergedInto}
}

// guard refuses a posting after which two passes of one vehicle at one toll
// point would overlap or be within the gap of each other.
func (l *litePosting) guard(ctx context.Context, longest map[string]int64) error {
	if !l.c.moves() {
		return nil
	}
	for i := range l.c.passes {
		p := &l.c.passes[i]
		if p.MergedInto != "" {
			continue
		}
		var other string
		found, err := database.One(ctx, l.db, liteOverlap, []any{p.Vehicle, p.Registered, p.Facility,
			p.FirstMicros - l.c.gap - longest[p.Facility], p.LastMicros + l.c.gap, p.TollPoint, p.ID, p.FirstMicros - l.c.gap}, &other)
		if err != nil {
			return err
		}
		if found {
			return overlapError(p.ID, other)
		}
	}
	return nil
}

func overlapError(id, other string) error {
	return fmt.Errorf("%w: passes %s and %s would be within the gap of each other", billing.ErrStale, id, other)
}

// longestOf returns the longest pass of each facility after the change.
func longestOf(standing, moved []place) map[string]int64 {
	longest := make(map[string]int64, len(standing))
	for _, p := range slices.Concat(standing, moved) {
		longest[p.facility] = p.longest
	}
	return longest
}
