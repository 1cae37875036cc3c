package books

import (
	"context"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Tx is one transaction on the books: each domain of billing sees of it the
// small interface that it needs, and all that they do in it stands together or
// not at all. Not safe for concurrent use, nor after the transaction.
//
// What moves money is written to the ledger at the end of the transaction, in
// one posting, with the balances last and in the order that all writers keep
// to: they are shared by everybody, and held for little more than the commit.
type Tx struct {
	s  *Store
	db database.Session
	// postings are what the ledger gets at the end, by posting date in the order
	// of their first use; moves what balances do.
	postings []*moneyPosting
	moves    map[billing.Balance]int64
}

// Do runs fn in one transaction. Where the database asks to try again, fn is
// run again, a bounded number of times: it must bear that. fn's own error
// undoes everything and is returned as it is.
func (s *Store) Do(ctx context.Context, fn func(*Tx) error) error {
	return s.db.Write(ctx, func(db database.Session) error {
		t := s.transaction(db)
		if err := fn(t); err != nil {
			return err
		}
		return t.flush(ctx)
	})
}

// View runs fn on one snapshot; fn must not write.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	return s.db.Read(ctx, func(db database.Session) error { return fn(s.transaction(db)) })
}

func (s *Store) transaction(db database.Session) *Tx {
	return &Tx{s: s, db: db, moves: map[billing.Balance]int64{}}
}

// Keep is a store of books as one domain sees it: T is the domain's own
// interface of a transaction, which *Tx has.
type Keep[T any] struct {
	Store *Store
	// As narrows the transaction; func(tx *books.Tx) T { return tx }.
	As func(*Tx) T
}

// Do is Store.Do.
func (k Keep[T]) Do(ctx context.Context, fn func(T) error) error {
	return k.Store.Do(ctx, func(tx *Tx) error { return fn(k.As(tx)) })
}

// View is Store.View.
func (k Keep[T]) View(ctx context.Context, fn func(T) error) error {
	return k.Store.View(ctx, func(tx *Tx) error { return fn(k.As(tx)) })
}

// Session is the transaction's session, for the audit trail, whose tables are
// its own.
func (t *Tx) Session() database.Session { return t.db }
