package books

// paymentProofs are the invariants of payments: what providers moved is in the
// ledger once, and nothing else is.
var paymentProofs = []proof{
	{
		invariant: "payment-is-money-once",
		rows:      `SELECT count(*) FROM payment_attempt`,
		broken: []string{
			`SELECT 'payment ' || a.id || ' succeeded and has no standing movement of its amount' FROM payment_attempt a
			LEFT JOIN movement m ON m.id = a.movement AND m.reversed_at = 0 AND m.holder = a.holder AND m.currency = a.currency AND m.means = a.means
				AND m.amount_cents = CASE WHEN a.kind IN ('charge', 'await') THEN a.moved_cents ELSE a.amount_cents END
				AND m.kind = CASE WHEN a.kind IN ('charge', 'await') THEN 'receipt' ELSE 'payout' END
			WHERE a.state = 'succeeded' AND m.id IS NULL
				AND NOT EXISTS (SELECT 1 FROM payment_event e WHERE e.id = 'refund-uncovered:' || a.id)`,
			`SELECT 'payment ' || a.id || ' is ' || a.state || ' and its movement stands' FROM payment_attempt a
			JOIN movement m ON m.id = a.movement AND m.reversed_at = 0 WHERE a.movement <> '' AND (a.state IN ('failed', 'reversed')
				OR a.kind IN ('charge', 'await') AND a.state <> 'succeeded')`,
			// Money of refunds leaves the wallet when they are made.
			`SELECT 'refund ' || a.id || ' is under way and its money is in the wallet' FROM payment_attempt a
			LEFT JOIN movement m ON m.id = a.movement AND m.reversed_at = 0 WHERE a.kind IN ('refund', 'payout')
				AND a.state IN ('created', 'submitted', 'unknown') AND m.id IS NULL`,
		},
	},
	{
		invariant: "one-payment-a-debt",
		rows:      `SELECT count(*) FROM payment_claim`,
		broken: []string{
			`SELECT 'debt ' || c.debt || ' is claimed by payment ' || c.attempt || ', which is settled or not there' FROM payment_claim c
			LEFT JOIN payment_attempt a ON a.id = c.attempt AND a.state IN ('created', 'submitted', 'unknown') WHERE a.id IS NULL`,
			`SELECT 'payment ' || a.id || ' is under way and has not claimed ' || i.receivable FROM payment_attempt a
			JOIN payment_attempt_item i ON i.attempt = a.id LEFT JOIN payment_claim c ON c.debt = i.receivable AND c.attempt = a.id
			WHERE a.kind = 'charge' AND a.state IN ('created', 'submitted', 'unknown') AND c.debt IS NULL`,
		},
	},
	{
		invariant: "payment-items-add-up",
		rows:      `SELECT count(*) FROM payment_attempt_item`,
		broken: []string{`SELECT 'payment ' || a.id || ' of ' || ` + text("a.amount_cents") + ` || ' cents is for items of ' || ` + text("sum(i.amount_cents)") + `
			FROM payment_attempt a JOIN payment_attempt_item i ON i.attempt = a.id GROUP BY a.id, a.amount_cents HAVING sum(i.amount_cents) <> a.amount_cents`},
	},
	{
		invariant: "refunds-never-exceed",
		rows:      `SELECT count(*) FROM payment_attempt WHERE refunded_cents > 0`,
		broken: []string{`SELECT 'payment ' || a.id || ' is said to have given back ' || ` + text("a.refunded_cents") + ` || ' cents, its refunds ' || ` + text("coalesce(f.cents, 0)") + `
			FROM payment_attempt a LEFT JOIN (SELECT original, sum(amount_cents) AS cents FROM payment_attempt
				WHERE original <> '' AND state <> 'failed' GROUP BY original) AS f ON f.original = a.id
			WHERE a.kind IN ('charge', 'await') AND a.refunded_cents <> CASE WHEN coalesce(f.cents, 0) > a.moved_cents THEN a.moved_cents ELSE coalesce(f.cents, 0) END`},
	},
	{
		invariant: "debit-has-one-success",
		rows:      `SELECT count(*) FROM payment_debit`,
		broken: []string{
			`SELECT 'debit ' || d.id || ' is open, and neither is a try of it due nor one under way' FROM payment_debit d
			WHERE d.state = 'open' AND d.next_at = 0 AND NOT EXISTS (SELECT 1 FROM payment_attempt a
				WHERE a.debit <> '' AND a.debit = d.id AND a.state IN ('created', 'submitted', 'unknown'))`,
		},
	},
}
