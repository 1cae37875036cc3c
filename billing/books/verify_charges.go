package books

// standingPayments are the payments that are not refunded, with the creditor of
// their charge.
const standingPayments = `(SELECT p.id, p.charge_id, p.amount_cents, p.currency, p.means, coalesce(c.creditor, '') AS creditor
	FROM payment p LEFT JOIN charge c ON c.id = p.charge_id WHERE p.refunded_at = 0)`

// chargeDebtor is who owes the charge c.
const chargeDebtor = `CASE WHEN c.account <> '' THEN 'account:' || c.account ELSE 'unpaid:' || c.creditor END`

// liveTransactions counts, by charge and kind, the transactions of a kind that
// no reversal undoes.
const liveTransactions = `SELECT charge_id, kind, 1 AS n FROM transactions WHERE charge_id <> '' AND kind <> 'reversal'
	UNION ALL SELECT r.charge_id, t.kind, -1 FROM transactions r JOIN transactions t ON t.id = r.reverses WHERE r.charge_id <> '' AND r.kind = 'reversal'`

// chargeProofs are the invariants of charges other than tolls.
var chargeProofs = []proof{
	{
		invariant: "charge-owes-live-transaction",
		rows:      `SELECT count(*) FROM charge`,
		broken: []string{
			// What the ledger says about a charge, and what it and its payments
			// say themselves.
			`SELECT 'charge ' || charge_id || ': account ' || account || ' stands ' || ` + text("sum(cents)") + ` || ' ' || currency || ' cents off what the charge and its payments say'
			FROM (SELECT t.charge_id, e.account, t.currency, e.amount_cents AS cents FROM entries e JOIN transactions t ON t.id = e.transaction_id WHERE t.charge_id <> ''
				UNION ALL SELECT c.id, ` + chargeDebtor + `, c.currency, -c.amount_cents FROM charge c
				UNION ALL SELECT c.id, 'operator:' || c.creditor, c.currency, c.amount_cents FROM charge c
				UNION ALL SELECT s.charge_id, 'cash:' || s.means, s.currency, -s.amount_cents FROM ` + standingPayments + ` s
				UNION ALL SELECT s.charge_id, 'unpaid:' || s.creditor, s.currency, s.amount_cents FROM ` + standingPayments + ` s) AS legs
			GROUP BY charge_id, account, currency HAVING sum(cents) <> 0`,
			`SELECT 'charge ' || c.id || ' owes but its live transaction is missing or reversed' FROM charge c
			LEFT JOIN transactions t ON t.id = 'charge:' || c.id || '-' || ` + text("c.charge_revision") + ` || '-charge' AND t.charge_id = c.id
			LEFT JOIN transactions r ON r.charge_id = c.id AND r.charge_id <> '' AND r.kind = 'reversal' AND r.reverses = t.id
			WHERE c.amount_cents > 0 AND (t.id IS NULL OR r.id IS NOT NULL)`,
			`SELECT 'charge ' || id || ' owes ' || ` + text("amount_cents") + ` || ' cents but names the live transaction of revision ' || ` + text("charge_revision") + ` FROM charge
			WHERE (amount_cents = 0 AND charge_revision <> 0) OR amount_cents < 0 OR charge_revision > revision`,
			`SELECT 'charge ' || charge_id || ' has ' || ` + text("sum(n)") + ` || ' live transactions too many' FROM (
				SELECT charge_id, n FROM (` + liveTransactions + `) AS l WHERE l.kind = 'charge'
				UNION ALL SELECT id, -1 FROM charge WHERE amount_cents > 0) AS live
			GROUP BY charge_id HAVING sum(n) <> 0`,
		},
	},
	{
		invariant: "payments-never-exceed",
		rows:      `SELECT count(*) FROM payment`,
		broken: []string{
			`SELECT 'charge ' || id || ' of ' || ` + text("amount_cents") + ` || ' cents has ' || ` + text("paid_cents") + ` || ' paid' FROM charge
			WHERE paid_cents > amount_cents OR paid_cents < 0 OR (paid_cents > 0 AND account <> '')`,
			`SELECT 'charge ' || charge_id || ': what is paid, less its payments, is ' || ` + text("sum(cents)") + ` FROM (
				SELECT id AS charge_id, paid_cents AS cents FROM charge
				UNION ALL SELECT s.charge_id, -s.amount_cents FROM ` + standingPayments + ` s) AS paid
			GROUP BY charge_id HAVING sum(cents) <> 0`,
			`SELECT 'payment ' || p.id || ' is of nothing, or of no charge in its currency' FROM payment p LEFT JOIN charge c ON c.id = p.charge_id
			WHERE p.amount_cents <= 0 OR c.id IS NULL OR (p.refunded_at = 0 AND c.currency <> p.currency)`,
		},
	},
	{
		invariant: "payment-has-its-transaction",
		rows:      `SELECT count(*) FROM transactions WHERE kind = 'payment'`,
		broken: []string{
			`SELECT 'payment ' || p.id || ' has no transaction' FROM payment p
			LEFT JOIN transactions t ON t.id = 'payment:' || p.id || '-1-payment' AND t.charge_id = p.charge_id WHERE t.id IS NULL`,
			`SELECT 'payment ' || p.id || ' is ' || CASE WHEN p.refunded_at = 0 THEN 'not ' ELSE '' END || 'refunded, its transaction is otherwise' FROM payment p
			LEFT JOIN transactions r ON r.id = 'payment:' || p.id || '-2-reversal' WHERE (p.refunded_at = 0) <> (r.id IS NULL)`,
			`SELECT 'charge ' || charge_id || ' has ' || ` + text("sum(n)") + ` || ' live payments too many' FROM (
				SELECT charge_id, n FROM (` + liveTransactions + `) AS l WHERE l.kind = 'payment'
				UNION ALL SELECT s.charge_id, -1 FROM ` + standingPayments + ` s) AS live
			GROUP BY charge_id HAVING sum(n) <> 0`,
		},
	},
	{
		invariant: "charge-revisions-continuous",
		rows:      `SELECT count(*) FROM charge_revision`,
		broken: []string{
			`SELECT 'charge ' || v.charge_id || ' keeps revision ' || ` + text("v.revision") + ` || ' but stands at ' || coalesce(` + text("c.revision") + `, 'none')
			FROM charge_revision v LEFT JOIN charge c ON c.id = v.charge_id WHERE c.id IS NULL OR c.revision <= v.revision OR v.revision < 1`,
			// Money moves only with a revision of the charge, but for payments.
			`SELECT 'transaction ' || t.id || ' belongs to no revision that the charge went through' FROM transactions t
			LEFT JOIN transactions o ON o.id = t.reverses
			LEFT JOIN charge c ON c.id = t.charge_id AND c.revision = t.revision
			LEFT JOIN charge_revision v ON v.charge_id = t.charge_id AND v.revision = t.revision
			WHERE t.charge_id <> '' AND (t.kind = 'charge' OR (t.kind = 'reversal' AND o.kind = 'charge')) AND c.id IS NULL AND v.charge_id IS NULL`,
		},
	},
}
