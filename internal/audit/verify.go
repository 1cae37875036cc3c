package audit

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"freeflow/internal/database"
)

// shownFindings bounds the findings that a report names; the rest are counted.
const shownFindings = 20

// verifyPage is how many entries are in memory at a time.
const verifyPage = 500

// Finding is one thing that is not as it was written.
type Finding struct {
	// Entry is the number of the entry in the chain; 0 where it has none.
	Entry int64
	// Day is the day whose ledger it is about; empty where none.
	Day string
	// Detail says in words what was found.
	Detail string
}

// Report is what Verify found.
type Report struct {
	// Entries, Pending, Days and Checkpoints are how many were looked at.
	Entries, Pending, Days, Checkpoints int64
	// Findings are in the order of the chain, then of what stands beside it,
	// then of the days; the first is the first broken entry. At most twenty.
	Findings []Finding
	// More counts those beyond.
	More int
}

func (r *Report) add(f Finding) {
	if len(r.Findings) == shownFindings {
		r.More++
		return
	}
	r.Findings = append(r.Findings, f)
}

// Holds reports whether nothing was found.
func (r *Report) Holds() bool { return len(r.Findings) == 0 }

// Verify recomputes the whole trail from its rows, on one snapshot, writing
// nothing: every event, its private part, its place, its hash and its nodes of
// the tree; that the chain is what the checkpoints say, whose signatures were
// checked already (ParseCheckpoint); and, with a ledger, what was posted on
// every closed day. An entry that was changed is named by its number and by
// what it says now. Memory is bounded, but for the closed days, of which each
// takes a few hundred bytes.
func (l *Log) Verify(ctx context.Context, ledger Ledger, checkpoints []Checkpoint) (Report, error) {
	v := verifier{checkpoints: checkpoints}
	err := l.db.Read(ctx, func(db database.Session) error {
		if err := v.chain(ctx, db); err != nil {
			return err
		}
		return v.beside(ctx, db)
	})
	if err == nil && ledger != nil {
		err = v.ledger(ctx, ledger)
	}
	if err != nil {
		return Report{}, fmt.Errorf("verifying the audit trail: %w", err)
	}
	return v.report, nil
}

// verifier goes along the chain.
type verifier struct {
	report      Report
	checkpoints []Checkpoint
	// before is the hash of the entry before; nil where it is not known.
	before []byte
	tree   frontier
	// whole is true as long as no entry was found changed: only then are the
	// nodes of the tree, and the checkpoints, what they must be.
	whole bool
	// agreed is the largest checkpoint that agrees.
	agreed int64
	days   []closedDay
}

// closedDay is a day in the chain.
type closedDay struct {
	entry  int64
	name   string
	detail dayDetail
}

// linkRow is one row of the chain with what belongs to it.
type linkRow struct {
	seq        int64
	eventID    string
	hash       []byte
	found      bool
	event      row
	hasPrivate bool
	private    privatePart
}

// chain goes along the chain, a page at a time.
func (v *verifier) chain(ctx context.Context, db database.Session) error {
	v.before, v.whole = first, true
	v.compare() // checkpoints of nothing
	for after, next := int64(0), int64(1); ; {
		page, err := chainPage(ctx, db, after)
		if err != nil {
			return err
		}
		nodes, err := treePage(ctx, db, next, page)
		if err != nil {
			return err
		}
		for i := range page {
			if err := v.entry(ctx, db, &page[i], next, nodes); err != nil {
				return err
			}
			next = page[i].seq + 1
		}
		if len(page) < verifyPage {
			return v.end(ctx, db)
		}
		after = page[len(page)-1].seq
	}
}

func chainPage(ctx context.Context, db database.Session, after int64) ([]linkRow, error) {
	var page []linkRow
	err := database.Each(ctx, db, `SELECT c.seq, c.event_id, c.hash,
			CASE WHEN e.id IS NULL THEN 0 ELSE 1 END, coalesce(e.at_micros, 0), coalesce(e.id, ''), coalesce(e.actor, ''), coalesce(e.role, ''),
			coalesce(e.action, ''), coalesce(e.subject_kind, ''), coalesce(e.subject, ''), coalesce(e.account, ''), coalesce(e.detail, ''),
			e.commitment, e.digest, CASE WHEN p.event_id IS NULL THEN 0 ELSE 1 END, p.salt, coalesce(p.body, '')
		FROM audit_chain c LEFT JOIN audit_event e ON e.id = c.event_id LEFT JOIN audit_private p ON p.event_id = c.event_id
		WHERE c.seq > $1 ORDER BY c.seq LIMIT $2`, []any{after, int64(verifyPage)}, func(rows database.Rows) error {
		var (
			l              linkRow
			found, private int
		)
		err := rows.Scan(append(append([]any{&l.seq, &l.eventID, &l.hash, &found}, l.event.fields()...), &private, &l.private.salt, &l.private.body)...)
		l.found, l.hasPrivate = found == 1, private == 1
		page = append(page, l)
		return err
	})
	return page, err
}

// treePage reads the stored nodes that the entries of a page make known.
func treePage(ctx context.Context, db database.Session, next int64, page []linkRow) (map[int64][]byte, error) {
	nodes := map[int64][]byte{}
	if len(page) == 0 {
		return nodes, nil
	}
	from, to := tlog.StoredHashCount(next-1), tlog.StoredHashCount(next-1+int64(len(page)))
	err := database.Each(ctx, db, `SELECT place, hash FROM audit_tree WHERE place >= $1 AND place < $2`, []any{from, to}, func(r database.Rows) error {
		var (
			place int64
			hash  []byte
		)
		err := r.Scan(&place, &hash)
		nodes[place] = bytes.Clone(hash)
		return err
	})
	return nodes, err
}

// entry checks one row of the chain, which should have the number next.
func (v *verifier) entry(ctx context.Context, db database.Session, l *linkRow, next int64, nodes map[int64][]byte) error {
	v.report.Entries++
	switch {
	case l.seq == next+1:
		v.broken(next, "is missing")
		v.before = nil
	case l.seq > next:
		v.broken(next, fmt.Sprintf("is missing, and so are all up to entry %d", l.seq-1))
		v.before = nil
	case l.seq < next:
		// Below 1, or stored twice: what the primary key should have refused.
		v.broken(l.seq, "stands where none can be")
	}
	if !l.found {
		v.broken(l.seq, "belongs to the event "+l.eventID+", which is missing")
	} else if err := v.content(ctx, db, l, nodes); err != nil {
		return err
	}
	v.before = l.hash
	if v.whole {
		v.compare()
	}
	return nil
}

// broken notes that an entry was changed. What later ones make of the tree
// cannot be told any more.
func (v *verifier) broken(entry int64, detail string) {
	v.whole = false
	v.report.add(Finding{Entry: entry, Detail: fmt.Sprintf("entry %d %s", entry, detail)})
}

// content checks an entry whose event is there.
func (v *verifier) content(ctx context.Context, db database.Session, l *linkRow, nodes map[int64][]byte) error {
	e := &l.event
	encoding, err := e.encode(l.seq)
	if err != nil {
		v.broken(l.seq, fmt.Sprintf("(%s) was rewritten: it cannot be encoded: %v", e.words(), err))
		return nil
	}
	digest := e.checkDigest()
	linked := v.before == nil || bytes.Equal(link(v.before, encoding), l.hash)
	switch {
	case !linked && digest != nil:
		v.broken(l.seq, fmt.Sprintf("(%s) was rewritten: this is what it says now", e.words()))
	case !linked:
		v.broken(l.seq, fmt.Sprintf("(%s) was rewritten: its hash is not that of the entry before and its content", e.words()))
	case digest != nil:
		v.broken(l.seq, fmt.Sprintf("(%s) was rewritten: %v", e.words(), digest))
	}
	if err := v.forgettable(ctx, db, l); err != nil {
		return err
	}
	if !v.whole {
		return nil
	}
	place := tlog.StoredHashCount(v.tree.size)
	for _, h := range v.tree.add(tlog.RecordHash(encoding)) {
		if !bytes.Equal(nodes[place], h[:]) {
			v.report.add(Finding{Entry: l.seq, Detail: fmt.Sprintf("entry %d (%s): node %d of the tree over the chain is missing or was rewritten", l.seq, e.words(), place)})
		}
		place++
	}
	if e.action == dayClosed && e.subjectKind == daySubject {
		detail, err := dayOf(e)
		if err != nil {
			v.broken(l.seq, fmt.Sprintf("(%s) cannot be read: %v", e.words(), err))
			return nil
		}
		v.days = append(v.days, closedDay{l.seq, e.subject, detail})
	}
	return nil
}

// forgettable checks what of an event may have been erased.
func (v *verifier) forgettable(ctx context.Context, db database.Session, l *linkRow) error {
	detail, err := checkPrivate(ctx, db, &l.event, l.hasPrivate, &l.private)
	if err == nil && detail != "" {
		v.report.add(Finding{Entry: l.seq, Detail: fmt.Sprintf("entry %d (%s): %s", l.seq, l.event.words(), detail)})
	}
	return err
}

// checkPrivate says what is wrong with an event's private part; empty if
// nothing.
func checkPrivate(ctx context.Context, db database.Session, e *row, there bool, p *privatePart) (string, error) {
	switch {
	case there && !bytes.Equal(commitment(p.salt, p.body), e.commitment):
		return "its private part (reason and personal data) was rewritten", nil
	case there || len(e.commitment) == 0:
		return "", nil
	}
	var n int64
	_, err := database.One(ctx, db, `SELECT count(*) FROM audit_event WHERE subject_kind = $1 AND subject = $2 AND action = $3`,
		[]any{eventSubject, e.id, erased}, &n)
	if err == nil && n == 0 {
		return "its private part (reason and personal data) is missing, and no erasure is on record", nil
	}
	return "", err
}

// compare compares the chain up to here with the checkpoints of its size.
func (v *verifier) compare() {
	for _, c := range v.checkpoints {
		if c.Size != v.tree.size {
			continue
		}
		v.report.Checkpoints++
		if c.Root == v.tree.root() && bytes.Equal(c.Chain[:], v.before) {
			v.agreed = max(v.agreed, c.Size)
			continue
		}
		v.report.add(Finding{Entry: v.agreed + 1, Detail: fmt.Sprintf(
			"entries %d to %d were rewritten, at least one of them: the checkpoint of %s says otherwise", v.agreed+1, c.Size, c.At.Format(time.RFC3339))})
	}
}

// end checks what lies beyond the last entry.
func (v *verifier) end(ctx context.Context, db database.Session) error {
	for _, c := range v.checkpoints {
		if c.Size > v.report.Entries && v.whole {
			v.report.Checkpoints++
			v.report.add(Finding{Entry: v.report.Entries + 1, Detail: fmt.Sprintf(
				"entries %d to %d are missing: the checkpoint of %s counts %d", v.report.Entries+1, c.Size, c.At.Format(time.RFC3339), c.Size)})
		}
	}
	if !v.whole {
		return nil
	}
	return database.Each(ctx, db, `SELECT place FROM audit_tree WHERE place < 0 OR place >= $1 ORDER BY place`,
		[]any{tlog.StoredHashCount(v.report.Entries)}, func(r database.Rows) error {
			var place int64
			err := r.Scan(&place)
			v.report.add(Finding{Detail: fmt.Sprintf("node %d of the tree over the chain belongs to no entry", place)})
			return err
		})
}

// beside checks what stands beside the chain: that every event has a place or
// waits for one, that nothing else does, and the rows of days.
func (v *verifier) beside(ctx context.Context, db database.Session) error {
	if _, err := database.One(ctx, db, `SELECT count(*) FROM audit_pending`, nil, &v.report.Pending); err != nil {
		return err
	}
	for _, query := range []string{
		`SELECT 'event ' || e.id || ' (' || e.action || ') stands in no chain and does not wait for a place' FROM audit_event e
			LEFT JOIN audit_chain c ON c.event_id = e.id LEFT JOIN audit_pending p ON p.event_id = e.id
			WHERE c.event_id IS NULL AND p.event_id IS NULL ORDER BY e.id`,
		`SELECT 'event ' || p.event_id || ' waits for a place in the chain and is missing' FROM audit_pending p
			LEFT JOIN audit_event e ON e.id = p.event_id WHERE e.id IS NULL ORDER BY p.event_id`,
		`SELECT 'event ' || p.event_id || ' waits for a place in the chain and has one' FROM audit_pending p
			JOIN audit_chain c ON c.event_id = p.event_id ORDER BY p.event_id`,
		`SELECT 'a private part is kept for the event ' || p.event_id || ', which is missing' FROM audit_private p
			LEFT JOIN audit_event e ON e.id = p.event_id WHERE e.id IS NULL ORDER BY p.event_id`,
		`SELECT 'the day ' || d.day || ' is said to be closed by the event ' || d.event_id || ', which does not do so' FROM audit_day d
			LEFT JOIN audit_event e ON e.id = d.event_id AND e.action = '` + dayClosed + `' AND e.subject = d.day WHERE e.id IS NULL ORDER BY d.day`,
		`SELECT 'the event ' || e.id || ' closes the day ' || e.subject || ', which is not among the closed ones' FROM audit_event e
			LEFT JOIN audit_day d ON d.event_id = e.id WHERE e.action = '` + dayClosed + `' AND d.day IS NULL ORDER BY e.id`,
		`SELECT 'the row that lets one extend the chain at a time is missing or was changed' FROM (SELECT count(*) AS n, sum(one) AS s FROM audit_turn) AS t
			WHERE n <> 1 OR s <> 1`,
	} {
		err := database.Each(ctx, db, query, nil, func(r database.Rows) error {
			var detail string
			err := r.Scan(&detail)
			v.report.add(Finding{Detail: detail})
			return err
		})
		if err != nil {
			return err
		}
	}
	return v.waiting(ctx, db)
}

// waiting checks the events that have no place yet.
func (v *verifier) waiting(ctx context.Context, db database.Session) error {
	after := ""
	for {
		var page []linkRow
		err := database.Each(ctx, db, `SELECT `+eventColumns+`, CASE WHEN q.event_id IS NULL THEN 0 ELSE 1 END, q.salt, coalesce(q.body, '')
			FROM audit_pending p JOIN audit_event e ON e.id = p.event_id LEFT JOIN audit_private q ON q.event_id = e.id
			WHERE p.event_id > $1 ORDER BY p.event_id LIMIT $2`, []any{after, int64(verifyPage)}, func(r database.Rows) error {
			var (
				l       linkRow
				private int
			)
			err := r.Scan(append(l.event.fields(), &private, &l.private.salt, &l.private.body)...)
			l.hasPrivate = private == 1
			page = append(page, l)
			return err
		})
		if err != nil {
			return err
		}
		for i := range page {
			e := &page[i].event
			if err := e.checkDigest(); err != nil {
				v.report.add(Finding{Detail: fmt.Sprintf("event %s (%s), which waits for its place, was rewritten: %v", e.id, e.words(), err)})
			}
			detail, err := checkPrivate(ctx, db, e, page[i].hasPrivate, &page[i].private)
			if err != nil {
				return err
			}
			if detail != "" {
				v.report.add(Finding{Detail: fmt.Sprintf("event %s (%s): %s", e.id, e.words(), detail)})
			}
		}
		if len(page) < verifyPage {
			return nil
		}
		after = page[len(page)-1].event.id
	}
}

// words says what an event says, for a person.
func (r *row) words() string {
	return fmt.Sprintf("%s on %s %s by %s, %s", r.action, r.subjectKind, r.subject, r.actor, time.UnixMicro(r.micros).UTC().Format(time.RFC3339))
}
