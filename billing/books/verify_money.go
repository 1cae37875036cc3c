package books

// receivableDebtor is who owes the receivable r, as an account of the ledger.
const receivableDebtor = `CASE WHEN r.account <> '' THEN 'account:' || r.account ELSE 'unpaid:' || r.creditor END`

// standingCollections are the collections that were not undone.
const standingCollections = `(SELECT c.receivable, c.number, c.holder, c.currency, c.amount_cents, c.debtor FROM collection c WHERE c.reversed_at = 0)`

// unfollowedPostings are the postings that receivables are not in line with
// yet.
const unfollowedPostings = `(SELECT id FROM outbox WHERE collected_at = 0)`

// debtorEntry says that the entry e is what somebody owes.
const debtorEntry = `(substr(e.account, 1, 8) = 'account:' OR substr(e.account, 1, 7) = 'unpaid:')`

// moneyProofs are the invariants of wallets, movements, receivables and
// collections.
var moneyProofs = []proof{
	{
		invariant: "wallet-equals-entries",
		rows:      `SELECT count(*) FROM wallet`,
		broken: []string{`SELECT 'wallet of ' || holder || ': balance and entries are ' || ` + text("sum(cents)") + ` || ' ' || currency || ' cents apart' FROM (
				SELECT holder, currency, balance_cents AS cents FROM wallet
				UNION ALL SELECT substr(e.account, 8), t.currency, e.amount_cents FROM entries e JOIN transactions t ON t.id = e.transaction_id
					WHERE substr(e.account, 1, 7) = 'wallet:') AS w
			GROUP BY holder, currency HAVING sum(cents) <> 0`},
	},
	{
		invariant: "wallet-never-overdrawn",
		rows:      `SELECT count(*) FROM wallet`,
		broken: []string{`SELECT 'wallet of ' || holder || ' holds ' || ` + text("balance_cents") + ` || ' ' || currency || ' cents' FROM wallet
			WHERE balance_cents < 0`},
	},
	{
		invariant: "movement-has-its-transaction",
		rows:      `SELECT count(*) FROM movement`,
		broken: []string{
			// What the ledger says about a movement, and what it says itself.
			`SELECT 'movement ' || money_id || ': account ' || account || ' stands ' || ` + text("sum(cents)") + ` || ' ' || currency || ' cents off' FROM (
				SELECT t.money_id, e.account, t.currency, e.amount_cents AS cents FROM entries e JOIN transactions t ON t.id = e.transaction_id
					WHERE t.money_id <> '' AND substr(t.money_id, 1, 5) = 'move:'
				UNION ALL SELECT 'move:' || m.id, 'cash:' || m.means, m.currency, CASE WHEN m.kind = 'receipt' THEN -m.amount_cents ELSE m.amount_cents END
					FROM movement m WHERE m.reversed_at = 0
				UNION ALL SELECT 'move:' || m.id, 'wallet:' || m.holder, m.currency, CASE WHEN m.kind = 'receipt' THEN m.amount_cents ELSE -m.amount_cents END
					FROM movement m WHERE m.reversed_at = 0) AS legs
			GROUP BY money_id, account, currency HAVING sum(cents) <> 0`,
			`SELECT 'movement ' || m.id || ' has no transaction' FROM movement m
			LEFT JOIN transactions t ON t.id = 'money:move:' || m.id || '-1-' || m.kind AND t.kind = m.kind WHERE t.id IS NULL`,
			`SELECT 'movement ' || m.id || ' is ' || CASE WHEN m.reversed_at = 0 THEN 'not ' ELSE '' END || 'undone, its transaction is otherwise' FROM movement m
			LEFT JOIN transactions r ON r.id = 'money:move:' || m.id || '-2-reversal' WHERE (m.reversed_at = 0) <> (r.id IS NULL)`,
		},
	},
	{
		invariant: "collection-has-its-transaction",
		rows:      `SELECT count(*) FROM collection`,
		broken: []string{
			`SELECT 'what was collected for ' || money_id || ': account ' || account || ' stands ' || ` + text("sum(cents)") + ` || ' ' || currency || ' cents off' FROM (
				SELECT t.money_id, e.account, t.currency, e.amount_cents AS cents FROM entries e JOIN transactions t ON t.id = e.transaction_id
					WHERE t.money_id <> '' AND substr(t.money_id, 1, 5) <> 'move:' AND substr(t.money_id, 1, 6) <> 'remit:'
				UNION ALL SELECT s.receivable, 'wallet:' || s.holder, s.currency, -s.amount_cents FROM ` + standingCollections + ` s
				UNION ALL SELECT s.receivable, s.debtor, s.currency, s.amount_cents FROM ` + standingCollections + ` s) AS legs
			GROUP BY money_id, account, currency HAVING sum(cents) <> 0`,
			`SELECT 'collection ' || c.receivable || '-' || ` + text("c.number") + ` || ' has no transaction of its amount' FROM collection c
			LEFT JOIN transactions t ON t.id = 'money:' || c.receivable || '-' || ` + text("2 * c.number - 1") + ` || '-collection'
			LEFT JOIN entries e ON e.transaction_id = t.id AND e.account = 'wallet:' || c.holder AND e.amount_cents = c.amount_cents
			WHERE e.transaction_id IS NULL`,
			`SELECT 'collection ' || c.receivable || '-' || ` + text("c.number") + ` || ' is ' || CASE WHEN c.reversed_at = 0 THEN 'not ' ELSE '' END || 'undone, its transaction is otherwise'
			FROM collection c LEFT JOIN transactions r ON r.id = 'money:' || c.receivable || '-' || ` + text("2 * c.number") + ` || '-reversal'
			WHERE (c.reversed_at = 0) <> (r.id IS NULL)`,
			`SELECT 'of all collections, ' || ` + text("sum(n)") + ` || ' transactions have none' FROM (
				SELECT count(*) AS n FROM transactions WHERE kind = 'collection' UNION ALL SELECT -count(*) FROM collection) AS counted
			HAVING sum(n) <> 0`,
		},
	},
	{
		invariant: "receivable-paid-equals-collections",
		rows:      `SELECT count(*) FROM receivable`,
		broken: []string{
			`SELECT 'receivable ' || id || ': what is paid, less its collections, is ' || ` + text("sum(cents)") + ` || ' ' || currency || ' cents' FROM (
				SELECT r.id, r.currency, r.paid_cents AS cents FROM receivable r
				UNION ALL SELECT s.receivable, s.currency, -s.amount_cents FROM ` + standingCollections + ` s) AS paid
			GROUP BY id, currency HAVING sum(cents) <> 0`,
			`SELECT 'receivable ' || id || ' of ' || ` + text("amount_cents") + ` || ' cents has ' || ` + text("paid_cents") + ` || ' paid' FROM receivable
			WHERE paid_cents > amount_cents OR paid_cents < 0`,
			`SELECT 'a collection for ' || s.receivable || ' was paid to ' || s.debtor || ', not to who owes it' FROM ` + standingCollections + ` s
			JOIN receivable r ON r.id = s.receivable WHERE s.debtor <> ` + receivableDebtor,
			`SELECT 'receivable ' || r.id || ' counts ' || ` + text("r.collections") + ` || ' collections, there are ' || ` + text("coalesce(c.n, 0)") + ` FROM receivable r
			LEFT JOIN (SELECT receivable, count(*) AS n FROM collection GROUP BY receivable) c ON c.receivable = r.id WHERE r.collections <> coalesce(c.n, 0)`,
		},
	},
	{
		invariant: "receivable-equals-what-is-owed",
		rows:      `SELECT count(*) FROM receivable`,
		broken: []string{
			// By the ledger, as far as its postings were followed.
			`SELECT 'receivable ' || id || ': who owes it, ' || debtor || ', is ' || ` + text("sum(cents)") + ` || ' ' || currency || ' cents off what the ledger says' FROM (
				SELECT CASE WHEN t.charge_id <> '' THEN 'charge:' || t.charge_id ELSE 'pass:' || t.pass_id END AS id, e.account AS debtor, t.currency, -e.amount_cents AS cents
					FROM entries e JOIN transactions t ON t.id = e.transaction_id LEFT JOIN ` + unfollowedPostings + ` u ON u.id = t.posting
					WHERE t.money_id = '' AND u.id IS NULL AND ` + debtorEntry + `
				UNION ALL SELECT r.id, ` + receivableDebtor + `, r.currency, r.amount_cents FROM receivable r) AS owed
			GROUP BY id, debtor, currency HAVING sum(cents) <> 0`,
			// By the passes and charges themselves, if all postings were.
			`SELECT 'receivable ' || r.id || ' is not what its pass says' FROM receivable r JOIN pass p ON 'pass:' || p.id = r.id
			WHERE NOT EXISTS ` + unfollowedPostings + ` AND (r.vehicle <> p.vehicle OR r.occurred_micros <> p.first_micros OR r.revision > p.revision
				OR r.amount_cents <> CASE WHEN p.merged_into = '' AND p.status IN ('charged', 'unpaid') THEN p.amount_cents ELSE 0 END)`,
			`SELECT 'receivable ' || r.id || ' is not what its charge says' FROM receivable r JOIN charge c ON 'charge:' || c.id = r.id
			WHERE NOT EXISTS ` + unfollowedPostings + ` AND (r.vehicle <> c.vehicle OR r.occurred_micros <> c.occurred_micros OR r.revision <> c.revision
				OR r.kind <> c.kind OR r.amount_cents <> c.amount_cents - c.paid_cents)`,
		},
	},
	{
		invariant: "debtor-owes-open-receivables",
		rows:      `SELECT count(*) FROM balance e WHERE ` + debtorEntry,
		broken: []string{`SELECT debtor || ' owes ' || ` + text("sum(cents)") + ` || ' ' || currency || ' cents more than its open receivables' FROM (
				SELECT e.account AS debtor, e.currency, e.amount_cents AS cents FROM balance e WHERE ` + debtorEntry + `
				UNION ALL SELECT e.account, t.currency, -e.amount_cents FROM entries e JOIN transactions t ON t.id = e.transaction_id
					JOIN ` + unfollowedPostings + ` u ON u.id = t.posting WHERE ` + debtorEntry + `
				UNION ALL SELECT ` + receivableDebtor + `, r.currency, r.paid_cents - r.amount_cents FROM receivable r) AS owed
			GROUP BY debtor, currency HAVING sum(cents) <> 0`},
	},
}
