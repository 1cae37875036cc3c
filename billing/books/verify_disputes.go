package books

// disputeProofs are the invariants of disputes.
var disputeProofs = []proof{
	{
		invariant: "disputes-keep-their-history",
		rows:      `SELECT count(*) FROM dispute`,
		broken: []string{
			`SELECT 'dispute ' || d.reference || ' at revision ' || ` + text("d.revision") + ` || ' has ' || ` + text("count(e.reference)") + ` || ' events' FROM dispute d
			LEFT JOIN dispute_event e ON e.reference = d.reference GROUP BY d.reference, d.revision
			HAVING count(e.reference) <> d.revision OR coalesce(max(e.revision), 0) <> d.revision`,
			`SELECT 'dispute ' || reference || ' is ' || state || ' and closed at ' || ` + text("closed_at") + ` FROM dispute
			WHERE (state IN ('opened', 'under-review', 'approval')) <> (closed_at = 0)`,
		},
	},
	{
		invariant: "rulings-stand-in-the-books",
		rows:      `SELECT count(*) FROM dispute WHERE state IN ('upheld', 'partly') AND act <> 'none'`,
		broken: []string{
			`SELECT 'dispute ' || d.reference || ' is ' || d.state || ', and no decision stands at revision ' || ` + text("d.pass_revision") + ` FROM dispute d
			LEFT JOIN decision x ON x.pass_id = substr(d.receivable, 6) AND x.revision = d.pass_revision
			WHERE d.state IN ('upheld', 'partly') AND d.act <> 'none' AND d.receivable LIKE 'pass:%' AND x.pass_id IS NULL`,
			`SELECT 'dispute ' || d.reference || ' is ' || d.state || ', and its charge never had revision ' || ` + text("d.pass_revision") + ` FROM dispute d
			LEFT JOIN charge c ON c.id = substr(d.receivable, 8) AND c.revision >= d.pass_revision
			WHERE d.state IN ('upheld', 'partly') AND d.act <> 'none' AND d.receivable LIKE 'charge:%' AND c.id IS NULL`,
		},
	},
	{
		invariant: "disputed-charges-are-held",
		rows:      `SELECT count(*) FROM dispute_hold`,
		broken: []string{
			`SELECT 'receivable ' || h.receivable || ' of dispute ' || h.reference || ' is not held' FROM dispute_hold h
			LEFT JOIN receivable r ON r.id = h.receivable AND r.hold = 'dispute:' || h.reference WHERE h.held AND r.id IS NULL`,
			`SELECT 'receivable ' || r.id || ' is held by ' || r.hold || ', which holds nothing' FROM receivable r
			LEFT JOIN dispute_hold h ON h.receivable = r.id AND 'dispute:' || h.reference = r.hold AND h.held WHERE r.hold LIKE 'dispute:%' AND h.reference IS NULL`,
			`SELECT 'dispute ' || d.reference || ' is closed and holds ' || h.receivable FROM dispute d JOIN dispute_hold h ON h.reference = d.reference WHERE d.closed_at <> 0`,
		},
	},
	{
		invariant: "of-one-trip-one-toll-stays",
		rows:      `SELECT count(*) FROM dispute_twin`,
		broken: []string{
			`SELECT 'pass ' || t.pass_id || ' is the one of a trip that is kept, and dispute ' || d.reference || ' gave it back as counted twice' FROM dispute_twin t
			JOIN dispute d ON d.receivable = 'pass:' || t.pass_id AND d.state = 'upheld' AND d.act = 'exempt' AND d.decided_by = 'job:flags' WHERE t.role = 'kept'`,
		},
	},
}
