package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"freeflow/internal/database"
)

// ErrBroken is what errors.Is finds in the errors that tell of a trail that
// was changed.
var ErrBroken = errors.New("the audit trail has been changed")

// chainBatch bounds the events that get their places in one transaction.
const chainBatch = 500

// first is the hash before the first entry.
var first = make([]byte, sha256.Size)

// eventColumns are a row's, of the event e.
const eventColumns = `e.at_micros, e.id, e.actor, e.role, e.action, e.subject_kind, e.subject, e.account, e.detail, e.commitment, e.digest`

// fields are where eventColumns are scanned to.
func (r *row) fields() []any {
	return []any{&r.micros, &r.id, &r.actor, &r.role, &r.action, &r.subjectKind, &r.subject, &r.account, &r.detail, &r.commitment, &r.digest}
}

// Extend gives the waiting events their places in the chain, at most a few
// hundred, and says how many; call it again until it says none. Several
// processes may do so at once: the database lets one at a time, and each
// begins where the one before ended. Events are found by their mark of
// waiting, whenever their transactions were committed. An event that was
// changed while it waited gets no place: the others do, and the error, in which
// ErrBroken is found, names it.
func (l *Log) Extend(ctx context.Context) (int, error) {
	var waiting int64
	err := l.db.Direct(ctx, func(db database.Session) error {
		_, err := database.One(ctx, db, `SELECT count(*) FROM (SELECT event_id FROM audit_pending LIMIT 1) AS w`, nil, &waiting)
		return err
	})
	if err != nil || waiting == 0 {
		return 0, err
	}
	var (
		n       int
		changed []error
	)
	err = l.db.Write(ctx, func(db database.Session) (err error) {
		n, changed, err = extend(ctx, db)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("extending the audit chain: %w", err)
	}
	return n, errors.Join(changed...)
}

func extend(ctx context.Context, db database.Session) (n int, changed []error, err error) {
	// Whoever holds this row reads what the one before has committed.
	if _, err := db.Exec(ctx, `UPDATE audit_turn SET one = 1`); err != nil {
		return 0, nil, err
	}
	size, before, err := chainEnd(ctx, db)
	if err != nil {
		return 0, nil, err
	}
	tree, err := loadFrontier(ctx, db, size)
	if err != nil {
		return 0, nil, err
	}
	var chained, nodes [][]any
	place := tlog.StoredHashCount(size)
	err = database.Each(ctx, db, `SELECT `+eventColumns+` FROM audit_pending p JOIN audit_event e ON e.id = p.event_id
		ORDER BY p.event_id LIMIT $1`, []any{int64(chainBatch)}, func(rows database.Rows) error {
		var r row
		if err := rows.Scan(r.fields()...); err != nil {
			return err
		}
		if err := r.checkDigest(); err != nil {
			changed = append(changed, fmt.Errorf("%w: event %s (%s), which waits for its place: %w", ErrBroken, r.id, r.words(), err))
			return nil
		}
		size++
		encoding, err := r.encode(size)
		if err != nil {
			return err
		}
		before = link(before, encoding)
		chained = append(chained, []any{size, r.id, before})
		for _, h := range tree.add(tlog.RecordHash(encoding)) {
			nodes = append(nodes, []any{place, bytes.Clone(h[:])})
			place++
		}
		return nil
	})
	if err != nil || len(chained) == 0 {
		return 0, changed, err
	}
	ids := make([]string, len(chained))
	for i, c := range chained {
		ids[i], _ = c[1].(string)
	}
	if err := db.Bulk(ctx, "audit_chain", []string{"seq", "event_id", "hash"}, each(chained)); err != nil {
		return 0, nil, err
	}
	if err := db.Bulk(ctx, "audit_tree", []string{"place", "hash"}, each(nodes)); err != nil {
		return 0, nil, err
	}
	return len(ids), changed, settle(ctx, db, ids)
}

// each gives rows one by one.
func each(rows [][]any) func() ([]any, bool) {
	return func() ([]any, bool) {
		if len(rows) == 0 {
			return nil, false
		}
		row := rows[0]
		rows = rows[1:]
		return row, true
	}
}

// settle takes the mark of waiting from events.
func settle(ctx context.Context, db database.Session, ids []string) error {
	const chunk = 100
	for len(ids) > 0 {
		n := min(len(ids), chunk)
		args := make([]any, chunk)
		for i := range args {
			args[i] = ids[min(i, n-1)] // the last one repeats, so that there is one statement
		}
		ids = ids[n:]
		if _, err := db.Exec(ctx, `DELETE FROM audit_pending WHERE event_id IN (`+database.Placeholders(1, chunk)+`)`, args...); err != nil {
			return err
		}
	}
	return nil
}

// checkDigest compares an event with its own digest.
func (r *row) checkDigest() error {
	encoding, err := r.encode(0)
	if err != nil {
		return fmt.Errorf("it cannot be encoded: %w", err)
	}
	if !bytes.Equal(sum(prefixEntry, encoding), r.digest) {
		return errors.New("its digest is not that of its content")
	}
	return nil
}

// chainEnd returns the number and the hash of the last entry.
func chainEnd(ctx context.Context, db database.Session) (size int64, hash []byte, err error) {
	found, err := database.One(ctx, db, `SELECT seq, hash FROM audit_chain ORDER BY seq DESC LIMIT 1`, nil, &size, &hash)
	if err == nil && !found {
		hash = first
	}
	return size, bytes.Clone(hash), err
}

// Head is the chain's end.
type Head struct {
	// Size is how many entries there are.
	Size int64
	// Chain is the hash of the last entry; zeros if there is none.
	Chain [sha256.Size]byte
	// Root is the root of the Merkle tree over all entries.
	Root tlog.Hash
}

// Head returns the chain's end.
func (l *Log) Head(ctx context.Context) (h Head, err error) {
	err = l.db.Read(ctx, func(db database.Session) error {
		var hash []byte
		if h.Size, hash, err = chainEnd(ctx, db); err != nil {
			return err
		}
		copy(h.Chain[:], hash)
		tree, err := loadFrontier(ctx, db, h.Size)
		h.Root = tree.root()
		return err
	})
	if err != nil {
		return Head{}, fmt.Errorf("reading the end of the audit chain: %w", err)
	}
	return h, nil
}
