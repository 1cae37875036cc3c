package store

import (
	"context"
	"fmt"

	"freeflow/internal/database"
	"freeflow/parking"
)

// shownViolations bounds how many violations one check names; the rest are
// counted.
const shownViolations = 20

// proof recomputes one invariant from the rows.
type proof struct {
	invariant string
	// rows counts what is looked at.
	rows string
	// broken gives one line of text for each violation.
	broken []string
}

// Verify proves the invariants on one snapshot, writing nothing. Memory is
// bounded: the database spills what it sorts to its own disk. A Check without
// violations holds.
func (s *Store) Verify(ctx context.Context) ([]parking.Check, error) {
	var checks []parking.Check
	err := s.db.Read(ctx, func(db database.Session) error {
		for _, p := range proofs {
			check, err := p.run(ctx, db)
			if err != nil {
				return fmt.Errorf("%s: %w", p.invariant, err)
			}
			checks = append(checks, check)
		}
		check, err := s.verifyLifts(ctx, db)
		checks = append(checks, check)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("verifying the car parks: %w", err)
	}
	return checks, nil
}

func (p *proof) run(ctx context.Context, db database.Session) (parking.Check, error) {
	found := findings{check: parking.Check{Invariant: p.invariant}}
	if _, err := database.One(ctx, db, p.rows, nil, &found.check.Rows); err != nil {
		return found.check, err
	}
	for _, query := range p.broken {
		err := database.Each(ctx, db, query, nil, func(r database.Rows) error {
			var detail string
			if err := r.Scan(&detail); err != nil {
				return err
			}
			found.add(detail)
			return nil
		})
		if err != nil {
			return found.check, err
		}
	}
	return found.end(), nil
}

// findings collects violations up to the bound.
type findings struct {
	check parking.Check
	more  int
}

func (f *findings) add(detail string) {
	if len(f.check.Violations) == shownViolations {
		f.more++
		return
	}
	f.check.Violations = append(f.check.Violations, detail)
}

func (f *findings) end() parking.Check {
	if f.more > 0 {
		f.check.Violations = append(f.check.Violations, fmt.Sprintf("and %d more", f.more))
	}
	return f.check
}

// verifyLifts holds the commands under way against what each machine can do at
// once, where the store was told; a car is moved by one command at a time in
// any case.
func (s *Store) verifyLifts(ctx context.Context, db database.Session) (parking.Check, error) {
	found := findings{check: parking.Check{Invariant: "one-command-a-lift"}}
	if _, err := database.One(ctx, db, `SELECT count(*) FROM parking_command`, nil, &found.check.Rows); err != nil {
		return found.check, err
	}
	err := database.Each(ctx, db, `SELECT allocation, count(*) FROM parking_command WHERE state IN ('sent', 'running') AND allocation <> ''
		GROUP BY allocation HAVING count(*) > 1 ORDER BY allocation`, nil, func(r database.Rows) error {
		var (
			allocation string
			n          int
		)
		err := r.Scan(&allocation, &n)
		found.add(fmt.Sprintf("allocation %s is moved by %d commands at once", allocation, n))
		return err
	})
	if err != nil || s.lifts == nil {
		return found.end(), err
	}
	err = database.Each(ctx, db, `SELECT car_park, machine, count(*) FROM parking_command WHERE state IN ('sent', 'running')
		GROUP BY car_park, machine ORDER BY car_park, machine`, nil, func(r database.Rows) error {
		var (
			carPark, machine string
			n                int
		)
		err := r.Scan(&carPark, &machine, &n)
		if lifts := s.lifts(carPark, machine); n > lifts {
			found.add(fmt.Sprintf("machine %s of %s has %d commands under way and %d lifts", machine, carPark, n, lifts))
		}
		return err
	})
	return found.end(), err
}

// text writes a number into a line.
func text(column string) string { return "CAST(" + column + " AS text)" }

const (
	// forever is later than any end.
	forever = `9223372036854775807`
	// holds are the intervals in which allocations held bays.
	holds = `(SELECT id AS allocation, car_park, bay, since_micros AS from_micros,
			CASE WHEN ended_micros = 0 THEN ` + forever + ` ELSE ended_micros END AS to_micros FROM parking_allocation
		UNION ALL SELECT allocation, car_park, bay, from_micros, to_micros FROM parking_hold)`
	finalStates = `('gone', 'cancelled')`
)

// proofs are the invariants of package parking as the store keeps them.
var proofs = []proof{
	{
		invariant: "vehicles-have-one",
		rows:      `SELECT count(*) FROM parking_allocation`,
		broken: []string{
			// The marks themselves are for staff alone.
			`SELECT 'a vehicle has the allocations ' || min(id) || ' and ' || max(id) FROM parking_allocation
			WHERE ended_micros = 0 AND mark <> '' GROUP BY mark HAVING count(*) > 1`,
			`SELECT 'allocation ' || id || ' counts under a mark that is not its vehicle''s' FROM parking_allocation
			WHERE mark <> '' AND mark <> plate AND mark <> 'tag:' || tag`,
		},
	},
	{
		invariant: "passes-hold-one",
		rows:      `SELECT (SELECT count(*) FROM parking_pass) + (SELECT count(*) FROM parking_pass_end)`,
		broken: []string{
			`SELECT 'pass ' || id || ' holds while another of its vehicle does' FROM (
				SELECT id, from_micros, max(until) OVER (PARTITION BY car_park, vehicle ORDER BY from_micros, until, id
					ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS held_until
				FROM (SELECT id, car_park, vehicle, from_micros, CASE WHEN at_micros < to_micros THEN at_micros ELSE to_micros END AS until
					FROM parking_pass LEFT JOIN parking_pass_end e ON e.pass = id) AS p WHERE until > from_micros) AS o
			WHERE held_until > from_micros`,
			`SELECT 'pass ' || pass || ' ended and was never sold' FROM parking_pass_end WHERE NOT EXISTS (SELECT 1 FROM parking_pass WHERE id = pass)`,
		},
	},
	{
		invariant: "no-shows-are-ordered",
		rows:      `SELECT count(*) FROM parking_no_show`,
		broken: []string{
			`SELECT 'the fee of reservation ' || reservation || ' was not ordered of the ledger' FROM parking_no_show WHERE amount_cents > 0
			AND NOT EXISTS (SELECT 1 FROM parking_ledger_order o WHERE o.id = 'no-show/' || reservation || '/1')`,
			`SELECT 'reservation ' || id || ' lapsed and its fee is another car park''s' FROM parking_reservation r JOIN parking_no_show n ON n.reservation = r.id
			WHERE r.state <> 'no_show' OR r.car_park <> n.car_park`,
		},
	},
	{
		invariant: "bays-hold-one",
		rows:      `SELECT (SELECT count(*) FROM parking_allocation) + (SELECT count(*) FROM parking_hold)`,
		broken: []string{
			`SELECT 'bay ' || bay || ' of ' || car_park || ' is held by ' || ` + text("count(*)") + ` || ' allocations' FROM parking_allocation
			WHERE ended_micros = 0 GROUP BY car_park, bay HAVING count(*) > 1`,
			// The same as joining the holds with themselves on overlapping
			// intervals, in the time of one sort.
			`SELECT 'allocation ' || allocation || ' held bay ' || bay || ' of ' || car_park || ' while another did' FROM (
				SELECT h.allocation, h.car_park, h.bay, h.from_micros, max(h.to_micros) OVER (PARTITION BY h.car_park, h.bay
					ORDER BY h.from_micros, h.to_micros, h.allocation ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS taken_until
				FROM ` + holds + ` AS h) AS o
			WHERE taken_until > from_micros`,
		},
	},
	{
		invariant: "ended-means-final",
		rows:      `SELECT (SELECT count(*) FROM parking_allocation) + (SELECT count(*) FROM parking_command)`,
		broken: []string{
			`SELECT 'allocation ' || id || ' is ' || state || CASE WHEN ended_micros = 0 THEN ' and has not ended' ELSE ' and has ended' END FROM parking_allocation
			WHERE (ended_micros <> 0) <> (state IN ` + finalStates + `)
				OR state NOT IN ('assigned', 'moving', 'stored', 'retrieving', 'staged', 'unknown', 'gone', 'cancelled', 'blocked')`,
			`SELECT 'command ' || id || ' is ' || state || CASE WHEN ended_micros = 0 THEN ' and has not ended' ELSE ' and has ended' END FROM parking_command
			WHERE (ended_micros <> 0) <> (state IN ('done', 'failed', 'lost', 'withdrawn'))
				OR state NOT IN ('queued', 'sent', 'running', 'done', 'failed', 'lost', 'withdrawn')`,
		},
	},
	{
		invariant: "intervals-run-forward",
		rows:      `SELECT count(*) FROM parking_allocation`,
		broken: []string{
			`SELECT 'allocation ' || id || ' ended before it held its bay, or held it before it was assigned' FROM parking_allocation
			WHERE since_micros < assigned_micros OR (ended_micros <> 0 AND ended_micros < since_micros)`,
			`SELECT 'allocation ' || h.allocation || ' left bay ' || h.bay || ' before it had it, or is not in the books' FROM parking_hold h
			LEFT JOIN parking_allocation a ON a.id = h.allocation
			WHERE a.id IS NULL OR h.to_micros < h.from_micros OR h.to_micros > a.since_micros OR h.from_micros < a.assigned_micros`,
		},
	},
	{
		invariant: "history-complete",
		rows:      `SELECT count(*) FROM parking_allocation_event`,
		broken: []string{
			`SELECT 'allocation ' || a.id || ' stands at revision ' || ` + text("a.revision") + ` || ' and has ' || ` + text("coalesce(e.n, 0)") + ` || ' entries in its history'
			FROM parking_allocation a LEFT JOIN (SELECT allocation, count(*) AS n, max(revision) AS last, min(revision) AS first FROM parking_allocation_event GROUP BY allocation) e
			ON e.allocation = a.id WHERE coalesce(e.n, 0) <> a.revision OR e.last <> a.revision OR e.first <> 1`,
			`SELECT 'allocation ' || a.id || ' is ' || a.state || ' in bay ' || a.bay || ', its history says ' || e.to_state || ' in ' || e.bay
			FROM parking_allocation a JOIN parking_allocation_event e ON e.allocation = a.id AND e.revision = a.revision
			WHERE e.to_state <> a.state OR e.bay <> a.bay`,
			`SELECT 'the history of allocation ' || e.allocation || ' has a gap before revision ' || ` + text("e.revision") + ` FROM parking_allocation_event e
			LEFT JOIN parking_allocation_event b ON b.allocation = e.allocation AND b.revision = e.revision - 1
			WHERE e.revision > 1 AND (b.allocation IS NULL OR b.to_state <> e.from_state) OR e.revision = 1 AND e.from_state <> ''`,
			`SELECT 'allocation ' || e.allocation || ' has a history and is not in the books' FROM parking_allocation_event e
			LEFT JOIN parking_allocation a ON a.id = e.allocation WHERE a.id IS NULL AND e.revision = 1`,
		},
	},
	{
		invariant: "moves-on-record",
		rows:      `SELECT count(*) FROM parking_hold`,
		broken: []string{
			`SELECT 'allocation ' || e.allocation || ' was in bay ' || b.bay || ' before revision ' || ` + text("e.revision") + ` || ', which is not among the bays it held'
			FROM parking_allocation_event e JOIN parking_allocation_event b ON b.allocation = e.allocation AND b.revision = e.revision - 1
			LEFT JOIN parking_hold h ON h.allocation = e.allocation AND h.revision = e.revision
			WHERE e.bay <> b.bay AND (h.bay IS NULL OR h.bay <> b.bay)`,
			`SELECT 'allocation ' || h.allocation || ' left bay ' || h.bay || ' at revision ' || ` + text("h.revision") + ` || ', which its history does not say' FROM parking_hold h
			LEFT JOIN parking_allocation_event e ON e.allocation = h.allocation AND e.revision = h.revision
			LEFT JOIN parking_allocation_event b ON b.allocation = h.allocation AND b.revision = h.revision - 1
			WHERE e.bay IS NULL OR b.bay IS NULL OR b.bay <> h.bay OR e.bay = h.bay`,
		},
	},
	{
		invariant: "commands-have-allocations",
		rows:      `SELECT count(*) FROM parking_command`,
		broken: []string{`SELECT 'command ' || c.id || ' is for allocation ' || c.allocation || ', which is not in the books of ' || c.car_park FROM parking_command c
			LEFT JOIN parking_allocation a ON a.id = c.allocation AND a.car_park = c.car_park WHERE c.allocation <> '' AND a.id IS NULL`},
	},
	{
		invariant: "closed-stays-are-ordered",
		rows:      `SELECT count(*) FROM parking_stay`,
		broken: []string{`SELECT 'stay ' || s.id || ' is closed and the ledger has no order for its ' || ` + text("s.amount_cents") + ` || ' cents' FROM parking_stay s
			WHERE s.state = 'closed' AND s.amount_cents <> 0
				AND NOT EXISTS (SELECT 1 FROM parking_ledger_order o WHERE o.id >= s.id AND substr(o.id, 1, length(s.id)) = s.id)
				AND NOT EXISTS (SELECT 1 FROM parking_ordered_stay x JOIN parking_ledger_order o ON o.id = x.ledger_order WHERE x.stay = s.id)`},
	},
	{
		invariant: "answers-have-effects",
		rows:      `SELECT count(*) FROM parking_once`,
		broken: []string{`SELECT 'the answer kept under ' || o.scope || ' is about allocation ' || o.allocation || ', which is not in the books' FROM parking_once o
			LEFT JOIN parking_allocation a ON a.id = o.allocation WHERE o.allocation <> '' AND a.id IS NULL`},
	},
	{
		invariant: "changes-have-allocations",
		rows:      `SELECT count(*) FROM parking_change`,
		broken: []string{`SELECT 'change ' || ` + text("c.seq") + ` || ' is of allocation ' || c.allocation || ', which is not in the books' FROM parking_change c
			LEFT JOIN parking_allocation a ON a.id = c.allocation WHERE a.id IS NULL`},
	},
	{
		invariant: "reservations-are-bound",
		rows:      `SELECT count(*) FROM parking_reservation`,
		broken: []string{
			`SELECT 'reservation ' || r.id || ' is checked in and its allocation is not in the books of ' || r.car_park FROM parking_reservation r
			LEFT JOIN parking_allocation a ON a.id = r.allocation AND a.car_park = r.car_park WHERE r.state = 'checked_in' AND a.id IS NULL`,
			`SELECT 'reservation ' || id || ' is ' || state || ' and lapses at another time than it says' FROM parking_reservation
			WHERE deadline_micros <> CASE state WHEN 'held' THEN expires_micros WHEN 'confirmed' THEN no_show_micros ELSE 0 END`,
		},
	},
	{
		invariant: "stays-have-allocations",
		rows:      `SELECT count(*) FROM parking_stay WHERE allocation <> ''`,
		broken: []string{`SELECT 'stay ' || s.id || ' belongs to allocation ' || s.allocation || ', which is not in the books of ' || s.car_park FROM parking_stay s
			LEFT JOIN parking_allocation a ON a.id = s.allocation AND a.car_park = s.car_park WHERE s.allocation <> '' AND a.id IS NULL`},
	},
	{
		invariant: "definitions-continuous",
		rows:      `SELECT count(*) FROM parking_definition`,
		broken: []string{`SELECT 'the definition of ' || car_park || ' has ' || ` + text("count(*)") + ` || ' versions up to ' || ` + text("max(version)") + ` FROM parking_definition
			GROUP BY car_park HAVING count(*) <> max(version) OR min(version) <> 1`},
	},
}
