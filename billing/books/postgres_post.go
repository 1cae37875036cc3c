package books

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Statements of a posting, each over all its rows at once.
const (
	pgFacility = `INSERT INTO facility (facility, longest_micros, gap_micros, registry_version)
		SELECT n, 0, $2::bigint, (SELECT coalesce(max(version), 0) FROM registry) FROM unnest($1::text[]) AS n ON CONFLICT DO NOTHING`
	pgPlaces = `SELECT facility, longest_micros, gap_micros, epoch, registry_version FROM facility WHERE facility = ANY($1::text[])
		ORDER BY facility FOR NO KEY UPDATE`
	// pgUpdate changes passes that stand one revision before and gives what
	// they were: o is the row as the statement found it, and if it changed
	// between, p no longer has that revision and nothing is updated.
	pgUpdate = `UPDATE pass p SET facility = u.facility, toll_point = u.toll_point, vehicle = u.vehicle, registered = u.registered,
			first_micros = u.first_micros, last_micros = u.last_micros, revision = u.revision, status = u.status, class = u.class,
			account = u.account, amount_cents = u.amount_cents, currency = u.currency, rule = u.rule, tariff_version = u.tariff_version,
			reasons = u.reasons, marks = u.marks, merged_into = u.merged_into, evidence = u.evidence,
			decision = CASE WHEN u.decision = '' THEN p.decision ELSE u.decision END
		FROM ` + pgPassArrays + ` u ` + pgPassNames + ` JOIN pass o ON o.id = u.id
		WHERE p.id = u.id AND p.revision = u.revision - 1 AND o.revision = p.revision
		RETURNING ` + factColumns
	pgInsert = `INSERT INTO pass (id, facility, toll_point, vehicle, registered, first_micros, last_micros, revision, status, class,
		account, amount_cents, currency, rule, tariff_version, reasons, marks, merged_into, evidence, decision, toll_revision)
		SELECT u.*, CASE WHEN u.amount_cents > 0 AND u.status IN ('charged', 'unpaid') THEN u.revision ELSE 0 END FROM ` + pgPassArrays + ` u` + pgPassNames
	pgPassArrays = `unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::bigint[], $7::bigint[], $8::bigint[],
		$9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[],
		$19::bytea[], $20::text[]) AS`
	pgPassNames = ` (id, facility, toll_point, vehicle, registered, first_micros, last_micros, revision, status, class,
		account, amount_cents, currency, rule, tariff_version, reasons, marks, merged_into, evidence, decision)`
	pgRevision = `INSERT INTO pass_revision (pass_id, revision, replaced_at, first_micros, last_micros, amount_cents, registered, facility,
		toll_point, vehicle, status, class, account, currency, rule, tariff_version, reasons, marks, merged_into)
		SELECT u.* FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[], $8::text[],
		$9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[]) u`
	pgTollRevision = `UPDATE pass p SET toll_revision = u.toll_revision
		FROM unnest($1::text[], $2::bigint[]) AS u (id, toll_revision) WHERE p.id = u.id`
	pgMarkDrop = `DELETE FROM pass_mark m USING unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS u (facility, mark, first_micros, pass_id)
		WHERE m.facility = u.facility AND m.mark = u.mark AND m.first_micros = u.first_micros AND m.pass_id = u.pass_id`
	pgMarkPut = `INSERT INTO pass_mark (facility, mark, first_micros, pass_id)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])`
	pgOutbox      = `INSERT INTO outbox (id, posted_at, transactions, payload) VALUES ($1, $2, $3, $4)`
	pgTransaction = `INSERT INTO transactions (id, kind, pass_id, revision, currency, reverses, posted_at, posting)
		SELECT u.*, $7::bigint, $8::bigint FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[]) u`
	pgEntry = `INSERT INTO entries (transaction_id, leg, account, amount_cents)
		SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])`
	// pgBalance takes its row locks in the order of the arrays, which is that
	// of the accounts.
	pgBalance = `INSERT INTO balance AS b (account, currency, amount_cents)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
		ON CONFLICT (account, currency) DO UPDATE SET amount_cents = b.amount_cents + excluded.amount_cents`
	// pgOverlap asks for each touched pass alone, by LATERAL and the inner
	// LIMIT, whatever the planner thinks of the table. It fails by itself if it
	// finds anything, so that the COMMIT can be sent behind it without waiting
	// for its answer.
	pgOverlap = `SELECT refuse_overlap(u.id, near.id) FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[])
			AS u (id, vehicle, registered, facility, toll_point, first_from, first_to, last_from)
		CROSS JOIN LATERAL (SELECT q.id FROM pass q WHERE q.vehicle = u.vehicle AND q.registered = u.registered AND q.facility = u.facility
			AND q.first_micros BETWEEN u.first_from AND u.first_to AND q.toll_point = u.toll_point
			AND q.merged_into = '' AND q.id <> u.id AND q.last_micros >= u.last_from LIMIT 1) AS near
		LIMIT 1`
)

// lookupPostgres asks once for all windows, on a connection that plans for few rows.
// LATERAL and OFFSET 0 make it ask for each window alone, whatever the planner
// thinks of the tables.
func (s *Store) lookupPostgres(ctx context.Context, ws []window, fn func(database.Rows) error) error {
	const query = `WITH w AS (SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[])
		AS w (facility, vehicle, registered, lo, hi))
		SELECT ` + passColumns + ` FROM w JOIN facility f ON f.facility = w.facility
			CROSS JOIN LATERAL (SELECT * FROM pass p WHERE ` + ownPass + ` OFFSET 0) AS p
		UNION ALL
		SELECT ` + passColumns + ` FROM w JOIN facility f ON f.facility = w.facility
			CROSS JOIN LATERAL (SELECT * FROM pass_mark m WHERE ` + passMark + ` OFFSET 0) AS m
			CROSS JOIN LATERAL (SELECT * FROM pass p WHERE ` + markedPass + ` OFFSET 0) AS p`
	n := len(ws)
	facilities, vehicles := make([]string, n), make([]string, n)
	registered, from, to := make([]bool, n), make([]int64, n), make([]int64, n)
	for i, w := range ws {
		facilities[i], vehicles[i], registered[i], from[i], to[i] = w.facility, w.vehicle, w.registered, w.from, w.to
	}
	return s.db.Postgres(ctx, func(conn *pgx.Conn) error {
		return database.Each(ctx, database.PostgresSession(conn), query, []any{facilities, vehicles, registered, from, to}, fn)
	})
}

// plannerSettings are those of the connections that post. The statements of a
// posting find a few rows each by an index. While tables are young the planner
// knows nothing of them and may settle on reading all of every one, and keep to
// it as they grow.
func plannerSettings() map[string]string {
	return map[string]string{
		"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
		"enable_material": "off", "enable_memoize": "off",
	}
}

// postPostgres applies the change in one transaction of two round trips: the
// first takes the locks and changes the passes, the second posts what follows
// from what they were and commits. Balances come last: accounts are shared by
// all partitions, and a row's lock is then held for little more than the
// commit.
func (s *Store) postPostgres(ctx context.Context, c *change) error {
	names := c.facilities()
	once := func(conn *pgx.Conn) error { return postOn(ctx, conn, c, names) }
	err := s.db.Postgres(ctx, once)
	if !errors.Is(err, errNoPlace) {
		return err
	}
	// A new facility's row is made in a transaction of its own: made in that of
	// the posting, it would be waited for out of order. The registry's lock makes
	// its version the one in force: whoever asks for a newer one after that
	// finds the row there.
	err = s.db.Write(ctx, func(db database.Session) error {
		if err := lockRegistry(ctx, db); err != nil {
			return err
		}
		_, err := db.Exec(ctx, pgFacility, slices.Clone(names), c.gap)
		return err
	})
	if err != nil {
		return err
	}
	return s.db.Postgres(ctx, once)
}

// errNoPlace says that a facility's row is not there yet.
var errNoPlace = errors.New("facility is new")

func postOn(ctx context.Context, conn *pgx.Conn, c *change, names []string) error {
	p := &pgPosting{conn: conn, c: c, names: names, before: map[string]record{}}
	if err := p.passes(ctx); err != nil {
		return err
	}
	follows, err := planChange(c, p.before)
	if err != nil {
		return err
	}
	return p.follow(ctx, follows)
}

// pgPosting is one run of a change.
type pgPosting struct {
	conn     *pgx.Conn
	c        *change
	names    []string
	standing []place
	posting  int64
	before   map[string]record
}

// passes is the first round trip.
func (p *pgPosting) passes(ctx context.Context) error {
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	if p.c.batch != nil {
		b.Queue(fenceSQL, database.EncodeArgs(fenceArgs(p.c.batch))...)
	}
	var swallowed, amended, added []*billing.Pass
	if len(p.names) > 0 {
		b.Queue(pgPlaces, database.EncodeArgs([]any{slices.Clone(p.names)})...)
		swallowed, amended, added = sortOut(p.c.passes)
		// Swallowed passes make room before others take their place.
		for _, group := range [][]*billing.Pass{swallowed, amended} {
			if err := queuePasses(b, pgUpdate, group, p.c.decision); err != nil {
				return err
			}
		}
		if err := queuePasses(b, pgInsert, added, nil); err != nil {
			return err
		}
		b.Queue(`SELECT nextval(pg_get_serial_sequence('outbox', 'id'))`)
	}
	results := p.conn.SendBatch(ctx, b)
	err := p.readPasses(results, swallowed, amended, added)
	// After a failure Close only repeats it.
	if end := results.Close(); err == nil {
		err = end
	}
	return err
}

// readPasses reads the results of the first round trip, in its order.
func (p *pgPosting) readPasses(results pgx.BatchResults, swallowed, amended, added []*billing.Pass) error {
	if _, err := results.Exec(); err != nil {
		return err
	}
	if p.c.batch != nil {
		tag, err := results.Exec()
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return billing.ErrFenced
		}
	}
	if len(p.names) == 0 {
		return nil
	}
	if err := p.readPlaces(results); err != nil {
		return err
	}
	for _, group := range [][]*billing.Pass{swallowed, amended} {
		if err := p.readBefore(results, group); err != nil {
			return err
		}
	}
	if len(added) > 0 {
		if _, err := results.Exec(); err != nil {
			return pgStaleIfDuplicate(err)
		}
	}
	return results.QueryRow().Scan(&p.posting)
}

func (p *pgPosting) readPlaces(results pgx.BatchResults) error {
	found, err := results.Query()
	if err != nil {
		return err
	}
	r := database.PostgresRows(found)
	defer r.Close()
	p.standing = nil
	for r.Next() {
		var (
			s               place
			epoch, registry int64
		)
		if err := r.Scan(&s.facility, &s.longest, &s.smallestGap, &epoch, &registry); err != nil {
			return err
		}
		if err := p.c.outdated(s.facility, epoch, registry); err != nil {
			return err
		}
		p.standing = append(p.standing, s)
	}
	if err := r.Err(); err != nil {
		return err
	}
	if len(p.standing) < len(p.names) {
		return errNoPlace
	}
	return nil
}

// readBefore reads what the amended passes were.
func (p *pgPosting) readBefore(results pgx.BatchResults, group []*billing.Pass) error {
	if len(group) == 0 {
		return nil
	}
	found, err := results.Query()
	if err != nil {
		return err
	}
	r := database.PostgresRows(found)
	defer r.Close()
	n := 0
	for ; r.Next(); n++ {
		was, err := scanFacts(r)
		if err != nil {
			return err
		}
		p.before[was.ID] = was
	}
	if err := r.Err(); err != nil {
		return pgStaleIfDuplicate(err)
	}
	if n < len(group) {
		for _, pass := range group {
			if _, done := p.before[pass.ID]; !done {
				return fmt.Errorf("%w: pass %s does not stand at revision %d", billing.ErrStale, pass.ID, pass.Revision-1)
			}
		}
	}
	return nil
}

// follow is the second round trip.
func (p *pgPosting) follow(ctx context.Context, f *plan) error {
	if p.c.decision != nil {
		// A person waits for this one, not the pipeline: a few round trips more
		// do not matter.
		first := &p.c.passes[0]
		if err := tellDecision(ctx, database.PostgresSession(p.conn), first.ID, first.Revision, p.c.decision); err != nil {
			return err
		}
	}
	b := &pgx.Batch{}
	moved := places(p.c, p.standing)
	for _, m := range moved {
		b.Queue(placeSQL, database.EncodeText(m.facility), m.longest, m.smallestGap)
	}
	if f.payload != nil {
		b.Queue(pgOutbox, p.posting, f.postedAt, int64(len(f.transactions)), f.payload)
	}
	queueLedger(b, f, p.posting)
	queueRest(b, f)
	if p.c.decision != nil {
		b.Queue(decisionSQL, database.EncodeArgs(decisionArgs(&p.c.passes[0], p.c.decision))...)
	}
	if p.c.batch != nil && p.c.batch.Reads != nil {
		b.Queue(archiveSQL, archiveArgs(p.c.batch)...)
	}
	if p.c.moves() {
		queueGuard(b, p.c, longestOf(p.standing, moved))
	}
	queueBalances(b, f)
	b.Queue("COMMIT")
	results := p.conn.SendBatch(ctx, b)
	err := readFollow(results, b.Len())
	if end := results.Close(); err == nil {
		err = end
	}
	return err
}

// readFollow reads the results of the second round trip, the last being that of
// the COMMIT.
func readFollow(results pgx.BatchResults, n int) error {
	for i := range n {
		tag, err := results.Exec()
		if err != nil {
			return pgStaleIfOverlap(err)
		}
		if i == n-1 && tag.String() != "COMMIT" {
			return fmt.Errorf("the commit was answered with %s: nothing was posted", tag)
		}
	}
	return nil
}

// sortOut tells apart the passes that another has swallowed, those amended and
// those that are new.
func sortOut(passes []billing.Pass) (swallowed, amended, added []*billing.Pass) {
	for i := range passes {
		p := &passes[i]
		switch {
		case p.Revision == 1:
			added = append(added, p)
		case p.MergedInto != "":
			swallowed = append(swallowed, p)
		default:
			amended = append(amended, p)
		}
	}
	return swallowed, amended, added
}

// queuePasses queues pgUpdate or pgInsert for the passes, if there are any.
func queuePasses(b *pgx.Batch, query string, passes []*billing.Pass, d *billing.Decision) error {
	if len(passes) == 0 {
		return nil
	}
	// Rows are locked in the order of their ids.
	slices.SortFunc(passes, func(a, b *billing.Pass) int { return strings.Compare(a.ID, b.ID) })
	decision, err := encodeDecision(d)
	if err != nil {
		return err
	}
	n := len(passes)
	var texts [14][]string
	for i := range texts {
		texts[i] = make([]string, n)
	}
	registered, evidence := make([]bool, n), make([][]byte, n)
	first, last, revision, amount := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i, p := range passes {
		marks, err := encodeMarks(p.Marks)
		if err != nil {
			return err
		}
		for j, text := range [14]string{p.ID, p.Facility, p.TollPoint, p.Vehicle, p.Status, p.Class, p.Account, p.Currency,
			p.Rule, p.TariffVersion, p.Reasons, marks, p.MergedInto, decision} {
			texts[j][i] = text
		}
		registered[i], evidence[i] = p.Registered, notNil(p.Evidence)
		first[i], last[i], revision[i], amount[i] = p.FirstMicros, p.LastMicros, p.Revision, p.AmountCents
	}
	b.Queue(query, database.EncodeArgs([]any{texts[0], texts[1], texts[2], texts[3], registered, first, last, revision, texts[4], texts[5],
		texts[6], amount, texts[7], texts[8], texts[9], texts[10], texts[11], texts[12], evidence, texts[13]})...)
	return nil
}

// queueLedger queues transactions and entries.
func queueLedger(b *pgx.Batch, f *plan, posting int64) {
	if len(f.transactions) == 0 {
		return
	}
	n := len(f.transactions)
	ids, kinds, passIDs, currencies, reverses := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	revisions := make([]int64, n)
	var (
		entryOf, accounts []string
		legs, cents       []int64
	)
	for i := range f.transactions {
		t := &f.transactions[i]
		ids[i], kinds[i], passIDs[i], currencies[i], reverses[i], revisions[i] = t.ID, t.Kind, t.PassID, t.Currency, t.Reverses, t.Revision
		for leg, e := range t.Entries {
			entryOf, legs = append(entryOf, t.ID), append(legs, int64(leg+1))
			accounts, cents = append(accounts, e.Account), append(cents, e.AmountCents)
		}
	}
	b.Queue(pgTransaction, database.EncodeArgs([]any{ids, kinds, passIDs, revisions, currencies, reverses, f.postedAt, posting})...)
	b.Queue(pgEntry, database.EncodeArgs([]any{entryOf, legs, accounts, cents})...)
}

// queueBalances queues what the entries add up to, by account.
func queueBalances(b *pgx.Batch, f *plan) {
	n := len(f.balances)
	if n == 0 {
		return
	}
	holders, units, sums := make([]string, n), make([]string, n), make([]int64, n)
	for i, m := range f.balances {
		holders[i], units[i], sums[i] = m.Account, m.Currency, m.AmountCents
	}
	b.Queue(pgBalance, database.EncodeArgs([]any{holders, units, sums})...)
}

// queueRest queues what follows from the change beside money.
func queueRest(b *pgx.Batch, f *plan) {
	if n := len(f.superseded); n > 0 {
		columns := make([][]any, 0, n)
		for i := range f.superseded {
			columns = append(columns, revisionArgs(&f.superseded[i], f.postedAt))
		}
		b.Queue(pgRevision, database.EncodeArgs(transpose(columns))...)
	}
	if n := len(f.tollRevisions); n > 0 {
		ids, revisions := make([]string, n), make([]int64, n)
		for i := range f.tollRevisions {
			ids[i], revisions[i] = f.tollRevisions[i].ID, f.tollRevisions[i].tollRevision
		}
		b.Queue(pgTollRevision, ids, revisions)
	}
	queueMarks(b, pgMarkDrop, f.marksDrop)
	queueMarks(b, pgMarkPut, f.marksPut)
}

func queueMarks(b *pgx.Batch, query string, marks []mark) {
	if len(marks) == 0 {
		return
	}
	n := len(marks)
	facilities, names, first, ids := make([]string, n), make([]string, n), make([]int64, n), make([]string, n)
	for i, m := range marks {
		facilities[i], names[i], first[i], ids[i] = m.facility, m.name, m.firstMicros, m.passID
	}
	b.Queue(query, database.EncodeArgs([]any{facilities, names, first, ids})...)
}

// transpose turns rows into one array a column, typed by the first row.
func transpose(rows [][]any) []any {
	columns := make([]any, len(rows[0]))
	for j := range columns {
		switch rows[0][j].(type) {
		case string:
			columns[j] = column[string](rows, j)
		case int64:
			columns[j] = column[int64](rows, j)
		case bool:
			columns[j] = column[bool](rows, j)
		}
	}
	return columns
}

func column[T any](rows [][]any, j int) []T {
	values := make([]T, len(rows))
	for i := range rows {
		values[i], _ = rows[i][j].(T)
	}
	return values
}

// queueGuard queues the search for passes within the gap of a touched one.
func queueGuard(b *pgx.Batch, c *change, longest map[string]int64) {
	var (
		ids, vehicles, names, points []string
		registered                   []bool
		firstFrom, firstTo, lastFrom []int64
	)
	for i := range c.passes {
		p := &c.passes[i]
		if p.MergedInto != "" {
			continue
		}
		ids, vehicles, names, points = append(ids, p.ID), append(vehicles, p.Vehicle), append(names, p.Facility), append(points, p.TollPoint)
		registered = append(registered, p.Registered)
		firstFrom = append(firstFrom, p.FirstMicros-c.gap-longest[p.Facility])
		firstTo, lastFrom = append(firstTo, p.LastMicros+c.gap), append(lastFrom, p.FirstMicros-c.gap)
	}
	if len(ids) > 0 {
		b.Queue(pgOverlap, database.EncodeArgs([]any{ids, vehicles, registered, names, points, firstFrom, firstTo, lastFrom})...)
	}
}

// pgStaleIfOverlap turns refuse_overlap's refusal into the poster's word for it.
func pgStaleIfOverlap(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "FF001" {
		return fmt.Errorf("%w: %s", billing.ErrStale, e.Message)
	}
	return err
}

// pgStaleIfDuplicate turns the refusal of a second pass in the same place into
// the poster's word for it.
func pgStaleIfDuplicate(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "23505" && (e.ConstraintName == "pass_pkey" || e.ConstraintName == "pass_standing") {
		return fmt.Errorf("%w: %s", billing.ErrStale, e.Detail)
	}
	return err
}
