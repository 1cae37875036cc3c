package books

// heldRows is what the registry has to say by the standing holdings: vehicles,
// class tags, and tags for as long as their plate is a vehicle of somebody's.
const heldRows = `SELECT account, plate, class, tag, exempt, from_micros, to_micros FROM holding WHERE replaced_at = 0 AND account <> ''
	UNION SELECT v.account, v.plate, v.class, b.tag, v.exempt,
		CASE WHEN b.from_micros > v.from_micros THEN b.from_micros ELSE v.from_micros END,
		CASE WHEN v.to_micros = 0 OR (b.to_micros <> 0 AND b.to_micros < v.to_micros) THEN b.to_micros ELSE v.to_micros END
	FROM holding b JOIN holding v ON v.plate = b.plate AND v.plate <> '' AND v.tag = '' AND v.replaced_at = 0
		AND (b.to_micros = 0 OR v.from_micros < b.to_micros) AND (v.to_micros = 0 OR b.from_micros < v.to_micros)
	WHERE b.replaced_at = 0 AND b.tag <> '' AND b.account = ''`

// registryRows is what it says.
const registryRows = `SELECT account, plate, class, tag, exempt, from_micros, to_micros FROM assignment WHERE until_version = 0 AND source = 'accounts'`

// accountProofs are the invariants of accounts, vehicles and tags, and of the
// ladder of unpaid tolls.
var accountProofs = []proof{
	{
		invariant: "holdings-never-overlap",
		rows:      `SELECT count(*) FROM holding WHERE replaced_at = 0`,
		broken: []string{
			overlapping(`plate`, `tag = '' AND plate <> ''`),
			overlapping(`tag`, `tag <> ''`),
		},
	},
	{
		invariant: "registry-follows-holdings",
		rows:      `SELECT count(*) FROM assignment WHERE until_version = 0 AND source = 'accounts'`,
		broken: []string{
			`SELECT 'account "' || account || '" holds from ' || ` + text("from_micros") + ` || ' what the registry does not say' FROM (` + heldRows + ` EXCEPT ` + registryRows + `) AS missing`,
			`SELECT 'the registry says of account "' || account || '" from ' || ` + text("from_micros") + ` || ' what it does not hold' FROM (` + registryRows + ` EXCEPT SELECT * FROM (` + heldRows + `) AS held) AS beyond`,
		},
	},
	{
		invariant: "rungs-follow-proof",
		rows:      `SELECT count(*) FROM recovery_event WHERE what IN ('surcharge 1', 'surcharge 2', 'licence hold')`,
		broken: []string{
			`SELECT '"' || e.what || '" of ' || e.receivable || ' came though no notice had arrived' FROM recovery_event e LEFT JOIN notice n ON n.id = e.notice
			WHERE e.what IN ('surcharge 1', 'surcharge 2', 'licence hold') AND (n.id IS NULL OR n.served_at = 0 OR n.served_at > e.at_micros)`,
			`SELECT 'surcharge ' || c.id || ' stands and no step imposed it' FROM charge c WHERE c.kind = 'surcharge' AND c.amount_cents <> 0
				AND NOT EXISTS (SELECT 1 FROM recovery_event e WHERE e.receivable = substr(c.id, 13) AND e.what = 'surcharge ' || substr(c.id, 11, 1))`,
		},
	},
	{
		invariant: "accounts-and-tags-keep-their-history",
		rows:      `SELECT (SELECT count(*) FROM account) + (SELECT count(*) FROM tag_event)`,
		broken: []string{
			`SELECT 'account ' || id || ' has ' || ` + text("count(*)") + ` || ' revisions, the last is number ' || ` + text("max(revision)") + ` FROM account
			GROUP BY id HAVING count(*) <> max(revision) OR min(revision) <> 1`,
			`SELECT 'a tag at revision ' || ` + text("t.revision") + ` || ' has ' || ` + text("count(e.tag)") + ` || ' events' FROM tag t LEFT JOIN tag_event e ON e.tag = t.tag
			GROUP BY t.tag, t.revision HAVING count(e.tag) <> t.revision OR coalesce(max(e.revision), 0) <> t.revision`,
		},
	},
}

// overlapping finds standing holdings of one mark that have an instant in
// common with the one before.
func overlapping(mark, where string) string {
	return `SELECT 'holdings ' || coalesce(before, 'none') || ' and ' || id || ' of one ` + mark + ` overlap' FROM (
			SELECT id, from_micros, lag(id) OVER w AS before, lag(to_micros) OVER w AS end_before FROM holding
			WHERE replaced_at = 0 AND ` + where + ` WINDOW w AS (PARTITION BY ` + mark + ` ORDER BY from_micros, id)) AS neighbours
		WHERE before IS NOT NULL AND (end_before = 0 OR end_before > from_micros)`
}
