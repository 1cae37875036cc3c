// Package books is the store of billing's books: passes, other charges and
// their payments, the double-entry ledger, balances, the outbox, the registry, archived reads and sign-ins, on
// SQLite or PostgreSQL behind one type.
//
// Invariants: those of package billing, each recomputed from the rows by
// Verify. A batch is one database transaction. Every writer takes its locks in
// one order: the partition's progress, the facilities in order of name, the
// passes, or one charge; then the balances in order of account; so that no two
// wait for each other. Entries and transactions refuse change by triggers.
//
// How an engine is opened and spoken to is internal/database's. The SQL is
// written once for both engines; what is not, stands in the files named after
// the engine: posting a batch and looking up passes, which need sets of rows at
// once.
//
// Not promised: more than one process on a SQLite file is safe but not fast;
// the answer to a COMMIT can be lost (whoever posts reads Progress again);
// nothing here is secret or tamper-proof against the owner of the database.
package books

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/internal/database"
	"freeflow/internal/once"
)

// The store keeps every contract of the books.
var (
	_ billing.Posting     = (*Store)(nil)
	_ billing.Reading     = (*Store)(nil)
	_ billing.Deciding    = (*Store)(nil)
	_ billing.Registering = (*Store)(nil)
	_ billing.Outbox      = (*Store)(nil)
	_ billing.Credentials = (*Store)(nil)
	_ billing.Retention   = (*Store)(nil)
	_ billing.Charging    = (*Store)(nil)
)

// Options are what Open needs beside the address.
type Options struct {
	// Migrate brings the schema up to date first. Without it an old schema is
	// refused.
	Migrate bool
	// Clock dates the marks on published events; nil is the machine's.
	Clock clock.Clock
	// Logger is told when a transaction is tried again; nil tells nobody.
	Logger *slog.Logger
	// MaxPosters bounds the connections that write, and as many again read;
	// at least as many as partitions are posted at a time. 0 means 8. SQLite
	// has one writer always.
	MaxPosters int
}

// Store is one set of books. Safe for concurrent use.
type Store struct {
	db      *database.DB
	clock   clock.Clock
	answers *once.Keeper
	id      string
}

// Open opens the books at url: "sqlite:PATH" (any path, as it is) or
// "postgres://...". It fails if there are none, if their schema is older than
// this program (unless told to migrate) or newer.
func Open(ctx context.Context, url string, opts Options) (*Store, error) {
	if opts.Clock == nil {
		opts.Clock = clock.System{}
	}
	if opts.Migrate {
		if err := Migrate(ctx, url); err != nil {
			return nil, err
		}
	}
	db, err := database.Open(ctx, url, database.Options{
		Schema: schema(), Logger: opts.Logger, MaxWriters: opts.MaxPosters, WriterSettings: plannerSettings(),
	})
	if err != nil {
		return nil, fmt.Errorf("opening books: %w", err)
	}
	s := &Store{db: db, clock: opts.Clock, answers: once.NewKeeper(db, "once", opts.Clock)}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening books: %w", err), db.Close())
	}
	return s, nil
}

// Close ends all connections; it waits for calls under way.
func (s *Store) Close() error { return s.db.Close() }

// ID is the identity of these books, made when they were created.
func (s *Store) ID() string { return s.id }

// start reads the identity.
func (s *Store) start(ctx context.Context) error {
	return s.db.Direct(ctx, func(db database.Session) error {
		found, err := database.One(ctx, db, `SELECT value FROM meta WHERE name = 'books_id'`, nil, &s.id)
		if err == nil && !found {
			return errors.New("the books have no identity; run `freeflow migrate`")
		}
		return err
	})
}
