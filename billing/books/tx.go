package books

import (
	"context"
	"time"

	"freeflow/internal/database"
	"freeflow/internal/once"
)

// Tx is one transaction on the books: each domain of billing sees of it the
// small interface that it needs, and all that they do in it stands together or
// not at all. Not safe for concurrent use, nor after the transaction.
type Tx struct {
	s  *Store
	db database.Session
}

// Do runs fn in one transaction. Where the database asks to try again, fn is
// run again, a bounded number of times: it must bear that. fn's own error
// undoes everything and is returned as it is.
func (s *Store) Do(ctx context.Context, fn func(*Tx) error) error {
	return s.db.Write(ctx, func(db database.Session) error { return fn(&Tx{s, db}) })
}

// View runs fn on one snapshot; fn must not write.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	return s.db.Read(ctx, func(db database.Session) error { return fn(&Tx{s, db}) })
}

// DoOnce is Do for a request that may come again: its answer is kept in the
// same transaction. See once.Keeper.
func (s *Store) DoOnce(ctx context.Context, r once.Request, fn func(*Tx) (once.Answer, error)) (once.Answer, error) {
	return s.answers.Do(ctx, r, func(db database.Session) (once.Answer, error) { return fn(&Tx{s, db}) })
}

// PruneOnce forgets answers kept before the instant, and says how many.
func (s *Store) PruneOnce(ctx context.Context, before time.Time) (int64, error) {
	return s.answers.Prune(ctx, before)
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
