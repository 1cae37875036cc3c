package books

import (
	"context"
	"fmt"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/database"
)

// ViewHistory is History for a member of staff: what note makes of it is left in
// the audit trail in the same transaction, and where that fails nothing is
// shown. billing.ErrNotFound, where nothing is seen, leaves nothing.
func (s *Store) ViewHistory(ctx context.Context, passID string, note func(billing.History) []audit.Access) (billing.History, error) {
	var h billing.History
	err := s.db.Write(ctx, func(db database.Session) (err error) {
		if h, err = historyOf(ctx, db, passID); err != nil {
			return err
		}
		return noteAll(ctx, db, note(h))
	})
	if err != nil {
		return billing.History{}, fmt.Errorf("viewing the history of pass %s: %w", passID, err)
	}
	return h, nil
}

// ViewPasses is List for a member of staff, as ViewHistory is History.
func (s *Store) ViewPasses(ctx context.Context, f billing.Filter, note func([]billing.Pass) []audit.Access) ([]billing.Pass, error) {
	if f.Limit <= 0 {
		return nil, fmt.Errorf("viewing passes: %w", invalid("limit %d", f.Limit))
	}
	var passes []billing.Pass
	err := s.db.Write(ctx, func(db database.Session) (err error) {
		if passes, err = listPasses(ctx, db, &f); err != nil {
			return err
		}
		return noteAll(ctx, db, note(passes))
	})
	if err != nil {
		return nil, fmt.Errorf("viewing passes: %w", err)
	}
	return passes, nil
}

// NoteView leaves the rows of a view that is about to begin, for lists too long
// to be read in the transaction that writes: nothing may be shown before it
// returns.
func (s *Store) NoteView(ctx context.Context, a audit.Access) error {
	return s.db.Write(ctx, func(db database.Session) error { return audit.Note(ctx, db, a) })
}

// noteAll leaves the rows of views.
func noteAll(ctx context.Context, db database.Session, list []audit.Access) error {
	for _, a := range list {
		if err := audit.Note(ctx, db, a); err != nil {
			return err
		}
	}
	return nil
}

// historyOf reads all that the books know of one pass.
func historyOf(ctx context.Context, db database.Session, passID string) (h billing.History, err error) {
	r, err := passByID(ctx, db, passID)
	if err != nil {
		return billing.History{}, err
	}
	h.Pass = r.Pass
	if h.Revisions, err = revisions(ctx, db, passID); err != nil {
		return billing.History{}, err
	}
	h.Transactions, err = transactions(ctx, db, passID)
	return h, err
}

// listPasses reads standing passes in the order of Cursor.
func listPasses(ctx context.Context, db database.Session, f *billing.Filter) (passes []billing.Pass, err error) {
	query, args := listQuery(f)
	err = database.Each(ctx, db, query, args, func(r database.Rows) error {
		p, err := scanPass(r)
		passes = append(passes, p.Pass)
		return err
	})
	return passes, err
}
