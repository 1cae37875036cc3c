package books

// closedEnd is the end of the last closed day; 0 if there is none.
const closedEnd = `(SELECT coalesce(max(to_micros), 0) FROM ledger_day WHERE done)`

// statementProofs are the invariants of lines and statements.
var statementProofs = []proof{
	{
		invariant: "holder-lines-equal-ledger",
		rows:      `SELECT count(*) FROM holder_entry`,
		broken: []string{`SELECT 'transaction ' || transaction_id || ': the line of ' || holder || ' is ' || ` + text("sum(owed)") + ` || ' cents owed and ' || ` + text("sum(held)") + ` || ' cents held off the ledger' FROM (
				SELECT h.transaction_id, h.holder, h.currency, h.posted_at, h.owed_cents AS owed, h.held_cents AS held FROM holder_entry h
				UNION ALL SELECT t.id, substr(e.account, 9), t.currency, t.posted_at, -e.amount_cents, 0 FROM entries e JOIN transactions t ON t.id = e.transaction_id
					WHERE substr(e.account, 1, 8) = 'account:' AND t.posted_at < ` + closedEnd + `
				UNION ALL SELECT t.id, substr(e.account, 8), t.currency, t.posted_at, 0, e.amount_cents FROM entries e JOIN transactions t ON t.id = e.transaction_id
					WHERE substr(e.account, 1, 7) = 'wallet:' AND substr(e.account, 8, 5) <> 'once:' AND t.posted_at < ` + closedEnd + `) AS sides
			WHERE posted_at < ` + closedEnd + `
			GROUP BY transaction_id, holder, currency, posted_at HAVING sum(owed) <> 0 OR sum(held) <> 0`,
		},
	},
	{
		invariant: "statement-closes",
		rows:      `SELECT count(*) FROM statement`,
		broken: []string{`SELECT 'statement ' || s.number || ' does not close: its opening and lines come to ' || ` + text("s.opening_owed + coalesce(sum(h.owed_cents), 0)") + ` || ' cents owed, ' ||
				` + text("s.opening_held + coalesce(sum(h.held_cents), 0)") + ` || ' held, in ' || ` + text("count(h.holder)") + ` || ' lines'
			FROM statement s LEFT JOIN holder_entry h ON h.holder = s.account AND h.currency = s.currency AND h.posted_at >= s.from_micros AND h.posted_at < s.to_micros
			GROUP BY s.number, s.opening_owed, s.opening_held, s.closing_owed, s.closing_held, s.line_count
			HAVING s.opening_owed + coalesce(sum(h.owed_cents), 0) <> s.closing_owed OR s.opening_held + coalesce(sum(h.held_cents), 0) <> s.closing_held
				OR count(h.holder) <> s.line_count`},
	},
	{
		invariant: "statements-chain",
		rows:      `SELECT count(*) FROM statement`,
		broken: []string{
			`SELECT 'statement ' || number || ' opens otherwise than the one before it closed' FROM (
				SELECT number, previous, opening_owed, opening_held, lag(number) OVER w AS before, lag(closing_owed) OVER w AS owed, lag(closing_held) OVER w AS held
				FROM statement WINDOW w AS (PARTITION BY account, currency ORDER BY month)) AS chain
			WHERE previous <> coalesce(before, '') OR opening_owed <> coalesce(owed, 0) OR opening_held <> coalesce(held, 0)`,
			`SELECT 'an account has lines of ' || h.holder || ' posted in a month of statements, and no statement' FROM (
				SELECT DISTINCT holder, currency, from_micros, to_micros FROM holder_entry
				JOIN (SELECT DISTINCT from_micros, to_micros FROM statement) AS m ON posted_at >= from_micros AND posted_at < to_micros
				WHERE substr(holder, 1, 4) <> 'tag:') AS h
			LEFT JOIN statement s ON s.account = h.holder AND s.currency = h.currency AND s.from_micros = h.from_micros
			WHERE s.number IS NULL AND h.to_micros <= (SELECT coalesce(max(to_micros), 0) FROM statement s JOIN statement_month m ON m.month = s.month)`,
		},
	},
}
