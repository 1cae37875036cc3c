package store

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"freeflow/internal/database"
	"freeflow/parking"
)

// A batch on PostgreSQL is one transaction of two round trips, each of a few
// statements over sets of rows: the first finds out who has won, the second
// writes what follows and commits.

var (
	// pgClaim gives bays in the order of its rows, which are sorted by bay, so
	// that no two batches wait for each other in a ring. Requests that had
	// their effect are left out. A bay that another transaction is about to
	// take or to give back is waited for.
	pgClaim = `INSERT INTO parking_allocation (` + allocationTable.list + `) SELECT ` + allocationTable.list + `
		FROM unnest(` + pgArrays(1, allocationArgs(&parking.Allocation{})) + `, ` + pgArrays(len(allocationTable.columns)+1, []any{"", ""}) + `)
			WITH ORDINALITY AS u (` + allocationTable.list + `, scope, request_key, n)
		WHERE NOT EXISTS (SELECT 1 FROM parking_once o WHERE o.scope = u.scope AND o.request_key = u.request_key)
		ORDER BY n ON CONFLICT DO NOTHING RETURNING id`
	pgCommands = `INSERT INTO parking_command (` + commandTable.list + `) SELECT * FROM unnest(` + pgArrays(1, commandArgs(&parking.Command{})) + `)`
)

const (
	pgKept = `SELECT ` + onceColumns + ` FROM unnest($1::text[], $2::text[]) AS u (scope, request_key)
		CROSS JOIN LATERAL (SELECT * FROM parking_once p WHERE p.scope = u.scope AND p.request_key = u.request_key OFFSET 0) AS o`
	pgKeep = `INSERT INTO parking_once (scope, request_key, fingerprint, status, body, location, allocation, at_micros)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::bytea[], $6::text[], $7::text[], $8::bigint[])`
	// pgClaimed moves the beginnings of intervals behind the ends of those
	// before, which are all committed by now since the bays are ours, and
	// writes the history.
	pgClaimed = `WITH u AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[])
			AS u (id, assigned, car_park, bay, decided_by, reason)),
		late AS (UPDATE parking_allocation a SET since_micros = l.m, assigned_micros = l.m
			FROM (SELECT u.id, greatest(
					(SELECT max(e.ended_micros) FROM parking_allocation e WHERE e.car_park = u.car_park AND e.bay = u.bay AND e.ended_micros <> 0),
					(SELECT max(h.to_micros) FROM parking_hold h WHERE h.car_park = u.car_park AND h.bay = u.bay)) AS m, u.assigned FROM u OFFSET 0) AS l
			WHERE l.m > l.assigned AND a.id = l.id RETURNING a.id, a.since_micros),
		told AS (INSERT INTO parking_change (allocation) SELECT id FROM u)
		INSERT INTO parking_allocation_event (` + eventColumns + `)
		SELECT u.id, 1, coalesce(late.since_micros, u.assigned), '', 'assigned', u.bay, u.decided_by, u.reason FROM u LEFT JOIN late ON late.id = u.id`
	pgKnown = `SELECT id FROM parking_allocation WHERE id = ANY($1::text[])`
	// pgHolding finds the allocations of vehicles that have one already.
	pgHolding = `SELECT mark, id FROM parking_allocation WHERE mark = ANY($1::text[]) AND mark <> '' AND ended_micros = 0`
	// pgEnded ends allocations that stand as they were read, or fails. The rows
	// are changed, and so locked, in the order given; the history comes behind,
	// as wherever an allocation changes.
	pgEnded = `WITH u AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
			AS u (id, revision, ended, from_state, state, bay, decided_by, reason)),
		gone AS (UPDATE parking_allocation a SET state = u.state, revision = u.revision, ended_micros = u.ended, decided_by = u.decided_by, reason = u.reason
			FROM u WHERE a.id = u.id AND a.revision + 1 = u.revision
			RETURNING a.id, a.revision, a.ended_micros, u.from_state, a.state, a.bay, a.decided_by, a.reason),
		told AS (INSERT INTO parking_change (allocation) SELECT id FROM gone WHERE from_state <> 'blocked'),
		noted AS (INSERT INTO parking_allocation_event (` + eventColumns + `)
			SELECT id, revision, ended_micros, from_state, state, bay, decided_by, reason FROM gone RETURNING 1)
		SELECT parking_expect($9, (SELECT count(*) FROM noted))`
)

var pgStanding = `SELECT ` + allocationTable.list + ` FROM parking_allocation WHERE id = ANY($1::text[])`

func (s *Store) claimPostgres(ctx context.Context, r *claimRun) error {
	order := slices.Clone(r.through)
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := &r.claims[i].Allocation, &r.claims[j].Allocation
		if c := strings.Compare(a.CarPark, b.CarPark); c != 0 {
			return c
		}
		return strings.Compare(a.Bay, b.Bay)
	})
	return s.db.Postgres(ctx, func(conn *pgx.Conn) error {
		won, found, err := r.contend(ctx, conn, order)
		if err != nil {
			return err
		}
		return r.settle(ctx, conn, won, found)
	})
}

// contend is the first round trip: it gives bays to those who can have them,
// and finds the answers kept for those who were here before.
func (r *claimRun) contend(ctx context.Context, conn *pgx.Conn, order []int) (won map[string]bool, found map[onceKey]*kept, err error) {
	won, found = make(map[string]bool, len(order)), map[onceKey]*kept{}
	rows := make([][]any, len(order))
	for n, i := range order {
		c := &r.claims[i]
		scope, key := "", ""
		if c.Once != nil {
			scope, key = c.Once.Scope, c.Once.Key
		}
		rows[n] = append(allocationArgs(&c.Allocation), scope, key)
	}
	var p pipeline
	p.add(nil, "BEGIN")
	p.add(func(row database.Rows) error {
		var id string
		err := row.Scan(&id)
		won[id] = true
		return err
	}, pgClaim, transpose(rows)...)
	// Looked for after the bays were given: an answer that was not there
	// before, of another process, is seen now.
	scopes, names := keys(r.claims, order, func(c *parking.Claim) *parking.Once { return c.Once })
	p.find(scopes, names, found)
	return won, found, p.run(ctx, conn)
}

// settle is the second round trip: it writes what follows and commits.
func (r *claimRun) settle(ctx context.Context, conn *pgx.Conn, won map[string]bool, found map[onceKey]*kept) error {
	var (
		p                          pipeline
		claimed, commands, answers [][]any
		lost                       []int
	)
	known, holding := map[string]bool{}, map[string]string{}
	for _, i := range r.through {
		c := &r.claims[i]
		a := &c.Allocation
		var k *kept
		if c.Once != nil {
			k = found[keyOf(c.Once)]
		}
		switch {
		case k != nil && won[a.ID]:
			return errSameKey(nil)
		case k != nil:
			r.replay(i, k)
			continue
		case !won[a.ID]:
			lost = append(lost, i)
			continue
		}
		r.won(i)
		claimed = append(claimed, []any{a.ID, micros(a.AssignedAt), a.CarPark, a.Bay, a.By, a.Reason})
		if c.Command != nil {
			commands = append(commands, commandArgs(c.Command))
		}
		if c.Once != nil {
			answers = append(answers, onceArgs(c.Once, &c.Answer, a.ID, r.at))
		}
	}
	p.rows(pgClaimed, claimed)
	p.rows(pgCommands, commands)
	p.answers(answers)
	if len(lost) > 0 {
		p.add(func(row database.Rows) error {
			var id string
			err := row.Scan(&id)
			known[id] = true
			return err
		}, pgKnown, r.ids(lost))
		p.add(func(row database.Rows) error {
			var mark, id string
			err := row.Scan(&mark, &id)
			holding[mark] = id
			return err
		}, pgHolding, r.marks(lost))
	}
	p.commit()
	if err := p.run(ctx, conn); err != nil {
		return againIfMet(err)
	}
	for _, i := range lost {
		a := &r.claims[i].Allocation
		r.lost(i, &refusal{known: known[a.ID], holding: holding[a.Mark()]})
	}
	return nil
}

// marks are those that some of the claims count under.
func (r *claimRun) marks(positions []int) []string {
	marks := make([]string, len(positions))
	for n, i := range positions {
		marks[n] = r.claims[i].Allocation.Mark()
	}
	return marks
}

// ids are the allocations of some of the claims.
func (r *claimRun) ids(positions []int) []string {
	ids := make([]string, len(positions))
	for n, i := range positions {
		ids[n] = r.claims[i].Allocation.ID
	}
	return ids
}

func (s *Store) departPostgres(ctx context.Context, r *departRun) error {
	return s.db.Postgres(ctx, func(conn *pgx.Conn) error {
		standing, found, err := r.look(ctx, conn)
		if err != nil {
			return err
		}
		return r.settle(ctx, conn, standing, found)
	})
}

// look is the first round trip: it reads the allocations, and finds the answers
// kept for those who were here before.
func (r *departRun) look(ctx context.Context, conn *pgx.Conn) (standing map[string]*allocationRow, found map[onceKey]*kept, err error) {
	standing, found = make(map[string]*allocationRow, len(r.through)), map[onceKey]*kept{}
	ids := make([]string, len(r.through))
	for n, i := range r.through {
		ids[n] = r.departures[i].Allocation
	}
	var p pipeline
	p.add(nil, "BEGIN")
	p.add(func(row database.Rows) error {
		a, err := scanAllocation(row)
		standing[a.ID] = &a
		return err
	}, pgStanding, ids)
	// Looked for after the allocations: where one was ended under the same key
	// by another process, its answer is seen.
	scopes, names := keys(r.departures, r.through, func(d *parking.Departure) *parking.Once { return d.Once })
	p.find(scopes, names, found)
	return standing, found, p.run(ctx, conn)
}

// settle is the second round trip: it ends what may end, and commits.
func (r *departRun) settle(ctx context.Context, conn *pgx.Conn, standing map[string]*allocationRow, found map[onceKey]*kept) error {
	var (
		p              pipeline
		ended, answers [][]any
	)
	for _, i := range r.through {
		d := &r.departures[i]
		now := standing[d.Allocation]
		if d.Once != nil {
			if k := found[keyOf(d.Once)]; k != nil {
				if now != nil && !now.State.Final() && !r.lookedAgain {
					// Most likely ended between the two statements that
					// looked; if not, it was another kind of request.
					r.lookedAgain = true
					return errSameKey(nil)
				}
				r.replay(i, k, now)
				continue
			}
		}
		from, done := r.judge(i, now)
		if !done {
			continue
		}
		a := &now.Allocation
		ended = append(ended, []any{a.ID, a.Revision, micros(a.EndedAt), string(from), string(a.State), a.Bay, a.By, a.Reason})
		if d.Once != nil {
			answers = append(answers, onceArgs(d.Once, &d.Answer, a.ID, r.at))
		}
	}
	if len(ended) > 0 {
		slices.SortFunc(ended, func(a, b []any) int { return strings.Compare(a[0].(string), b[0].(string)) })
		p.add(func(database.Rows) error { return nil }, pgEnded, append(transpose(ended), int64(len(ended)))...)
	}
	p.answers(answers)
	p.commit()
	return againIfMet(p.run(ctx, conn))
}
