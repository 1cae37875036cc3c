package books

import (
	"context"
	"fmt"
	"slices"

	"freeflow/billing"
	"freeflow/internal/database"
)

// shownViolations bounds how many violations one check names; the rest are
// counted.
const shownViolations = 20

// proof recomputes one invariant from the rows.
type proof struct {
	invariant string
	// rows counts what is looked at.
	rows string
	// broken gives one line of text for each violation. The database sorts
	// and sums; rows come one by one.
	broken []string
}

// Verify proves the invariants on one snapshot, writing nothing. Memory is
// bounded: the database spills what it sorts to its own disk. See
// billing.Reading.
func (s *Store) Verify(ctx context.Context) ([]billing.Check, error) {
	var checks []billing.Check
	err := s.db.Read(ctx, func(db database.Session) error {
		for _, p := range slices.Concat(proofs, chargeProofs, moneyProofs, accountProofs, paymentProofs, disputeProofs, statementProofs, settlementProofs) {
			check, err := p.run(ctx, db)
			if err != nil {
				return fmt.Errorf("%s: %w", p.invariant, err)
			}
			checks = append(checks, check)
		}
		check, err := verifyMarks(ctx, db)
		checks = append(checks, check)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("verifying the books: %w", err)
	}
	return checks, nil
}

func (p *proof) run(ctx context.Context, db database.Session) (billing.Check, error) {
	check := billing.Check{Invariant: p.invariant}
	if _, err := database.One(ctx, db, p.rows, nil, &check.Rows); err != nil {
		return check, err
	}
	found := findings{check: &check}
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
			return check, err
		}
	}
	found.end()
	return check, nil
}

// findings collects violations up to the bound.
type findings struct {
	check *billing.Check
	more  int
}

func (f *findings) add(detail string) {
	if len(f.check.Violations) == shownViolations {
		f.more++
		return
	}
	f.check.Violations = append(f.check.Violations, billing.Violation{Invariant: f.check.Invariant, Detail: detail})
}

func (f *findings) end() {
	if f.more > 0 {
		f.check.Violations = append(f.check.Violations, billing.Violation{
			Invariant: f.check.Invariant, Detail: fmt.Sprintf("and %d more", f.more),
		})
	}
}

// owingPasses are the passes that owe something, with the debtor.
const owingPasses = `(SELECT p.id, p.facility, p.currency, p.amount_cents, p.toll_revision,
		CASE WHEN p.status = 'charged' THEN 'account:' || p.account ELSE 'unpaid:' || p.facility END AS debtor
	FROM pass p WHERE p.merged_into = '' AND p.status IN ('charged', 'unpaid') AND p.amount_cents > 0)`

// text writes a number into a line.
func text(column string) string { return "CAST(" + column + " AS text)" }

// proofs are the invariants of package billing, and what they rest on.
var proofs = []proof{
	{
		invariant: "transaction-sums-to-zero",
		rows:      `SELECT count(*) FROM transactions`,
		broken: []string{`SELECT 'transaction ' || t.id || ' has ' || ` + text("coalesce(e.n, 0)") + ` || ' entries that sum to ' || ` + text("coalesce(e.total, 0)") + `
			FROM transactions t LEFT JOIN (SELECT transaction_id, count(*) AS n, sum(amount_cents) AS total FROM entries GROUP BY transaction_id) e
			ON e.transaction_id = t.id WHERE coalesce(e.n, 0) < 2 OR e.total <> 0`},
	},
	{
		invariant: "ledger-sums-to-zero",
		rows:      `SELECT count(*) FROM entries`,
		broken: []string{`SELECT 'the ledger in ' || t.currency || ' sums to ' || ` + text("sum(e.amount_cents)") + `
			FROM entries e JOIN transactions t ON t.id = e.transaction_id GROUP BY t.currency HAVING sum(e.amount_cents) <> 0`},
	},
	{
		invariant: "balance-equals-entries",
		rows:      `SELECT count(*) FROM balance`,
		broken: []string{`SELECT 'account ' || account || ' in ' || currency || ': the balance less the entries is ' || ` + text("sum(cents)") + `
			FROM (SELECT account, currency, amount_cents AS cents FROM balance
				UNION ALL SELECT e.account, t.currency, -e.amount_cents FROM entries e JOIN transactions t ON t.id = e.transaction_id) AS legs
			GROUP BY account, currency HAVING sum(cents) <> 0`},
	},
	{
		invariant: "pass-owes-live-transaction",
		rows:      `SELECT count(*) FROM pass`,
		broken: []string{
			// What the ledger says about a pass and what the pass says itself.
			`SELECT 'pass ' || pass_id || ': account ' || account || ' stands ' || ` + text("sum(cents)") + ` || ' ' || currency || ' cents off what the pass owes'
			FROM (SELECT t.pass_id, e.account, t.currency, e.amount_cents AS cents FROM entries e JOIN transactions t ON t.id = e.transaction_id WHERE t.charge_id = '' AND t.money_id = ''
				UNION ALL SELECT o.id, o.debtor, o.currency, -o.amount_cents FROM ` + owingPasses + ` o
				UNION ALL SELECT o.id, 'operator:' || o.facility, o.currency, o.amount_cents FROM ` + owingPasses + ` o) AS legs
			GROUP BY pass_id, account, currency HAVING sum(cents) <> 0`,
			`SELECT 'pass ' || o.id || ' owes but its live transaction is missing' FROM ` + owingPasses + ` o
			LEFT JOIN transactions t ON t.id = o.id || '-' || ` + text("o.toll_revision") + ` || '-toll'
			WHERE t.id IS NULL`,
			`SELECT 'pass ' || p.id || ' owes nothing but has a live transaction at revision ' || ` + text("p.toll_revision") + ` FROM pass p
			WHERE p.toll_revision <> 0 AND (p.merged_into <> '' OR p.status NOT IN ('charged', 'unpaid') OR p.amount_cents = 0)`,
			`SELECT 'pass ' || pass_id || ' has ' || ` + text("sum(n)") + ` || ' live transactions too many' FROM (
				SELECT pass_id, CASE WHEN kind = 'toll' THEN 1 ELSE -1 END AS n FROM transactions WHERE charge_id = '' AND money_id = ''
				UNION ALL SELECT o.id, -1 FROM ` + owingPasses + ` o) AS live
			GROUP BY pass_id HAVING sum(n) <> 0`,
		},
	},
	{
		invariant: "reversal-undoes-its-toll",
		rows:      `SELECT count(*) FROM transactions WHERE kind = 'reversal'`,
		broken: []string{
			`SELECT 'reversal ' || r.id || ' reverses ' || r.reverses || ', which is no earlier transaction of the same pass, charge or money' FROM transactions r
			LEFT JOIN transactions t ON t.id = r.reverses
			WHERE r.kind = 'reversal' AND (t.id IS NULL OR t.kind = 'reversal' OR t.pass_id <> r.pass_id OR t.charge_id <> r.charge_id OR t.money_id <> r.money_id
				OR t.currency <> r.currency OR t.revision >= r.revision)`,
			`SELECT 'transaction ' || reverses || ' is reversed ' || ` + text("count(*)") + ` || ' times' FROM transactions
			WHERE kind = 'reversal' GROUP BY reverses HAVING count(*) > 1`,
			`SELECT 'transaction ' || id || ' has the kind ' || kind || ' and reverses "' || reverses || '"' FROM transactions
			WHERE (kind <> 'reversal' AND reverses <> '') OR kind NOT IN ('toll', 'charge', 'payment', 'receipt', 'payout', 'collection', 'remittance', 'reversal')`,
			`SELECT 'reversal ' || r.id || ', entry ' || ` + text("a.leg") + ` || ', is not the opposite of the entry that it reverses' FROM transactions r
			JOIN entries a ON a.transaction_id = r.id
			LEFT JOIN entries b ON b.transaction_id = r.reverses AND b.leg = a.leg AND b.account = a.account AND b.amount_cents = -a.amount_cents
			WHERE r.kind = 'reversal' AND b.leg IS NULL`,
		},
	},
	{
		invariant: "no-overlapping-passes",
		rows:      `SELECT count(*) FROM pass WHERE merged_into = ''`,
		broken: []string{`SELECT 'passes ' || before || ' and ' || id || ' of ' || vehicle || ' at ' || toll_point || ' are within the gap' FROM (
				SELECT p.id, p.vehicle, p.toll_point, p.first_micros - f.gap_micros AS earliest,
					lag(p.id) OVER w AS before, lag(p.last_micros) OVER w AS last_before
				FROM pass p JOIN facility f ON f.facility = p.facility WHERE p.merged_into = ''
				WINDOW w AS (PARTITION BY p.vehicle, p.registered, p.toll_point ORDER BY p.first_micros, p.id)) AS neighbours
			WHERE last_before >= earliest`},
	},
	{
		invariant: "facility-bounds-its-passes",
		rows:      `SELECT count(*) FROM facility`,
		broken: []string{`SELECT 'pass ' || p.id || ' lasts longer than any pass of ' || p.facility || ' is said to' FROM pass p
			LEFT JOIN facility f ON f.facility = p.facility
			WHERE p.merged_into = '' AND (f.facility IS NULL OR p.last_micros - p.first_micros > f.longest_micros)`},
	},
	{
		invariant: "revisions-continuous",
		rows:      `SELECT count(*) FROM pass_revision`,
		broken: []string{
			`SELECT 'pass ' || r.pass_id || ' keeps revision ' || ` + text("r.revision") + ` || ' but stands at ' || coalesce(` + text("p.revision") + `, 'none')
			FROM pass_revision r LEFT JOIN pass p ON p.id = r.pass_id WHERE p.id IS NULL OR p.revision <= r.revision OR r.revision < 1`,
			// Money moves only with a change of what the pass was before.
			`SELECT 'transaction ' || t.id || ' belongs to no revision that the pass went through' FROM transactions t
			LEFT JOIN pass p ON p.id = t.pass_id
			LEFT JOIN pass_revision r ON r.pass_id = t.pass_id AND r.revision = t.revision - 1
			WHERE t.charge_id = '' AND t.money_id = '' AND (t.revision > p.revision OR t.revision < 1 OR (t.revision > 1 AND r.pass_id IS NULL))`,
			`SELECT 'decision on pass ' || d.pass_id || ' at revision ' || ` + text("d.revision") + ` || ' did not follow a review' FROM decision d
			LEFT JOIN pass p ON p.id = d.pass_id
			LEFT JOIN pass_revision r ON r.pass_id = d.pass_id AND r.revision = d.revision - 1
			WHERE p.id IS NULL OR p.decision = '' OR d.revision > p.revision OR r.pass_id IS NULL OR r.status <> 'review'`,
			`SELECT 'pass ' || p.id || ' carries a decision that is not on record' FROM pass p
			LEFT JOIN (SELECT DISTINCT pass_id FROM decision) d ON d.pass_id = p.id WHERE p.decision <> '' AND d.pass_id IS NULL`,
		},
	},
	{
		invariant: "outbox-equals-postings",
		rows:      `SELECT count(*) FROM outbox`,
		broken: []string{
			`SELECT 'event ' || ` + text("o.id") + ` || ' announces ' || ` + text("o.transactions") + ` || ' transactions, posted were ' || ` + text("coalesce(t.n, 0)") + `
			FROM outbox o LEFT JOIN (SELECT posting, count(*) AS n FROM transactions GROUP BY posting) t ON t.posting = o.id
			WHERE o.transactions <> coalesce(t.n, 0)`,
			// Those of pruned events are known by number only.
			`SELECT 'of all transactions, the outbox accounts for ' || ` + text("sum(n)") + ` || ' too many' FROM (
				SELECT transactions AS n FROM outbox
				UNION ALL SELECT CAST(value AS bigint) FROM meta WHERE name = '` + prunedName + `'
				UNION ALL SELECT -count(*) FROM transactions) AS accounted
			HAVING sum(n) <> 0`,
		},
	},
	{
		invariant: "merged-passes-owe-nothing",
		rows:      `SELECT count(*) FROM pass WHERE merged_into <> ''`,
		broken: []string{`SELECT 'pass ' || p.id || ' is merged into ' || p.merged_into || ', which is not in the books, or still owes' FROM pass p
			LEFT JOIN pass q ON q.id = p.merged_into
			WHERE p.merged_into <> '' AND (q.id IS NULL OR q.id = p.id OR p.toll_revision <> 0)`},
	},
	{
		invariant: "no-orphans",
		rows:      `SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM transactions)`,
		broken: []string{
			`SELECT 'entry ' || ` + text("e.leg") + ` || ' of ' || e.transaction_id || ' has no transaction' FROM entries e
			LEFT JOIN transactions t ON t.id = e.transaction_id WHERE t.id IS NULL`,
			`SELECT 'transaction ' || t.id || ' has no pass' FROM transactions t LEFT JOIN pass p ON p.id = t.pass_id
			WHERE t.charge_id = '' AND t.money_id = '' AND (p.id IS NULL OR t.kind NOT IN ('toll', 'reversal'))`,
			`SELECT 'transaction ' || t.id || ' has no charge' FROM transactions t LEFT JOIN charge c ON c.id = t.charge_id
			WHERE t.charge_id <> '' AND (c.id IS NULL OR t.pass_id <> '' OR t.money_id <> '' OR t.kind NOT IN ('charge', 'payment', 'reversal'))`,
			`SELECT 'transaction ' || t.id || ' has no movement or receivable' FROM transactions t LEFT JOIN movement m
			ON substr(t.money_id, 1, 5) = 'move:' AND m.id = substr(t.money_id, 6)
			LEFT JOIN receivable r ON r.id = t.money_id
			WHERE t.money_id <> '' AND substr(t.money_id, 1, 6) <> 'remit:' AND (t.pass_id <> '' OR t.kind NOT IN ('receipt', 'payout', 'collection', 'reversal') OR (m.id IS NULL AND r.id IS NULL))`,
		},
	},
}

// verifyMarks compares the marks in the passes with the rows by which passes
// are found by mark.
func verifyMarks(ctx context.Context, db database.Session) (billing.Check, error) {
	check := billing.Check{Invariant: "marks-are-found"}
	found := findings{check: &check}
	if _, err := database.One(ctx, db, `SELECT count(*) FROM pass_mark`, nil, &check.Rows); err != nil {
		return check, err
	}
	var (
		id           string
		wanted, have []string
	)
	compare := func() {
		slices.Sort(have)
		if !slices.Equal(wanted, have) {
			found.add(fmt.Sprintf("pass %s carries the marks %q and is found by %q", id, wanted, have))
		}
	}
	err := database.Each(ctx, db, `SELECT p.id, p.marks, coalesce(m.mark, ''), CASE WHEN m.mark IS NULL THEN 0 ELSE 1 END
		FROM pass p LEFT JOIN pass_mark m ON m.pass_id = p.id AND m.facility = p.facility AND m.first_micros = p.first_micros
		WHERE p.merged_into = '' AND p.marks <> '' ORDER BY p.id`, nil, func(r database.Rows) error {
		var (
			next, marks, mark string
			present           int
		)
		if err := r.Scan(&next, &marks, &mark, &present); err != nil {
			return err
		}
		if next != id {
			compare()
			var err error
			if wanted, err = decodeMarks(marks); err != nil {
				return err
			}
			id, have = next, nil
		}
		if present == 1 {
			have = append(have, mark)
		}
		return nil
	})
	if err != nil {
		return check, err
	}
	compare()
	err = database.Each(ctx, db, `SELECT m.pass_id, m.mark FROM pass_mark m LEFT JOIN pass p ON p.id = m.pass_id AND p.merged_into = '' AND p.marks <> ''
		AND p.facility = m.facility AND p.first_micros = m.first_micros WHERE p.id IS NULL`, nil, func(r database.Rows) error {
		var mark string
		if err := r.Scan(&id, &mark); err != nil {
			return err
		}
		found.add(fmt.Sprintf("the mark %q leads to pass %s, which does not stand there", mark, id))
		return nil
	})
	found.end()
	return check, err
}
