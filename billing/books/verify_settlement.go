package books

// settlementProofs are the invariants of creditors' days and batches.
var settlementProofs = []proof{
	{
		invariant: "creditor-days-equal-ledger",
		rows:      `SELECT count(*) FROM creditor_day`,
		broken: []string{
			// What each creditor's claim rose by, and what was remitted of it.
			`SELECT 'the days of ' || creditor || ' are ' || ` + text("sum(cents)") + ` || ' ' || currency || ' cents off its claim in the ledger' FROM (
				SELECT creditor, currency, CASE WHEN what IN ('posted', 'called-off') THEN amount_cents ELSE -amount_cents END AS cents FROM creditor_day
					WHERE what IN ('posted', 'withdrawn', 'remitted', 'called-off') AND day IN (SELECT day FROM ledger_day WHERE done)
				UNION ALL SELECT substr(e.account, 10), t.currency, e.amount_cents FROM entries e JOIN transactions t ON t.id = e.transaction_id
					WHERE substr(e.account, 1, 9) = 'operator:' AND t.posted_at < ` + closedEnd + `) AS claims
			GROUP BY creditor, currency HAVING sum(cents) <> 0`,
			// What was collected of it, of all creditors: by wallets, and at tills.
			`SELECT 'what all creditors'' days collected in ' || currency || ' is ' || ` + text("sum(cents)") + ` || ' cents off the ledger' FROM (
				SELECT currency, CASE WHEN what IN ('collected', 'paid') THEN amount_cents ELSE -amount_cents END AS cents FROM creditor_day
					WHERE what IN ('collected', 'returned', 'paid', 'refunded') AND day IN (SELECT day FROM ledger_day WHERE done)
				UNION ALL SELECT t.currency, -e.amount_cents FROM entries e JOIN transactions t ON t.id = e.transaction_id LEFT JOIN transactions o ON o.id = t.reverses AND t.reverses <> ''
					WHERE t.posted_at < ` + closedEnd + ` AND ((coalesce(o.kind, t.kind) = 'collection' AND substr(e.account, 1, 7) = 'wallet:')
						OR (coalesce(o.kind, t.kind) = 'payment' AND substr(e.account, 1, 5) = 'cash:'))) AS money
			GROUP BY currency HAVING sum(cents) <> 0`,
		},
	},
	{
		invariant: "settlement-closes",
		rows:      `SELECT count(*) FROM settlement`,
		broken: []string{
			`SELECT 'batch ' || s.number || ' is not what its day was' FROM settlement s LEFT JOIN creditor_day d ON d.creditor = s.creditor AND d.currency = s.currency AND d.day = s.day
			GROUP BY s.number, s.collected_cents, s.refunded_cents
			HAVING s.collected_cents <> coalesce(sum(CASE WHEN d.what IN ('collected', 'paid') THEN d.amount_cents ELSE 0 END), 0)
				OR s.refunded_cents <> coalesce(sum(CASE WHEN d.what IN ('returned', 'refunded') THEN d.amount_cents ELSE 0 END), 0)`,
			`SELECT 'batch ' || number || ' carries ' || ` + text("carried_cents") + ` || ' cents, the one before it left ' || ` + text("coalesce(left_over, 0)") + ` FROM (
				SELECT number, carried_cents, lag(carry_cents) OVER (PARTITION BY creditor, currency ORDER BY day) AS left_over FROM settlement) AS chain
			WHERE carried_cents <> coalesce(left_over, 0)`,
			`SELECT 'batch ' || s.number || ' is ' || s.state || ', its last step is another' FROM settlement s
			LEFT JOIN settlement_step p ON p.number = s.number AND p.revision = s.revision WHERE p.number IS NULL OR p.state <> s.state`,
			`SELECT 'batch ' || a.number || ' was approved by who prepared it' FROM settlement_step a JOIN settlement_step b ON b.number = a.number AND b.state = 'prepared'
			WHERE a.state = 'approved' AND a.done_by = b.done_by`,
		},
	},
	{
		invariant: "remittance-has-its-transaction",
		rows:      `SELECT count(*) FROM settlement WHERE state IN ('remitted', 'confirmed')`,
		broken: []string{`SELECT 'batch ' || number || ': its remittance is ' || ` + text("sum(cents)") + ` || ' cents off the ledger at ' || account FROM (
				SELECT substr(t.money_id, 7) AS number, e.account, e.amount_cents AS cents FROM entries e JOIN transactions t ON t.id = e.transaction_id
					WHERE t.money_id <> '' AND substr(t.money_id, 1, 6) = 'remit:' AND substr(e.account, 1, 9) = 'operator:'
				UNION ALL SELECT number, 'operator:' || creditor, -remit_cents FROM settlement WHERE state IN ('remitted', 'confirmed')) AS remitted
			GROUP BY number, account HAVING sum(cents) <> 0`},
	},
}
