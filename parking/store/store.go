// Package store owns the database of car parks: definitions, allocations and
// their history, machines and their commands, reservations, lane events, stays,
// the ledger's orders, and the answers kept for repeated requests, on SQLite or
// PostgreSQL behind one type. It keeps the contract of package parking.
//
// Invariants, each recomputed from the rows by Verify:
//   - a bay has at most one allocation that has not ended: a partial unique
//     index, no lock. A claim that meets it loses alone, its batch goes on;
//   - the intervals in which allocations held a bay never overlap, also where
//     the clocks of two processes disagree: who comes later begins when the one
//     before ended;
//   - every change of an allocation is in its history, which is only added to;
//   - the answer to a request is kept in the transaction of its effect, so that
//     there is one effect whatever is repeated.
//
// Every writer takes its rows in one order: bays in order of car park and name,
// allocations in order of id, kept answers in order of scope and key; so that
// batches do not wait for each other in a ring. Where a transaction of Do and a
// batch do, the database breaks one off and it runs again.
//
// The database may be that of the books too: tables begin with parking_, the
// schema's version stands in parking_schema.
//
// Not promised: more than one process on a SQLite file is safe but not fast;
// the answer to a COMMIT can be lost (the same request with its Once finds
// out); which bay fits or what a stay costs is not judged here; nothing is
// tamper-proof against the owner of the database.
package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/database"
	"freeflow/parking"
)

// The store keeps every contract of parking.
var (
	_ parking.Bays      = (*Store)(nil)
	_ parking.Keeping   = (*Store)(nil)
	_ parking.Ledger    = (*Store)(nil)
	_ parking.Histories = (*Store)(nil)
	_ parking.Changes   = (*Store)(nil)
	_ parking.Tx        = (*tx)(nil)
)

// Options are what Open needs beside the address.
type Options struct {
	// Migrate brings the schema up to date first. Without it an old schema is
	// refused.
	Migrate bool
	// Clock dates what the contract's calls do not date themselves: changes by
	// PutAllocation, answers kept by Do, which reservations count in an
	// Occupancy. nil is the machine's.
	Clock clock.Clock
	// Logger is told when a transaction is tried again; nil tells nobody.
	Logger *slog.Logger
	// MaxWriters bounds PostgreSQL's connections that write, and as many again
	// read; 0 means 8. SQLite has one writer always.
	MaxWriters int
	// Lifts says how many cycles a machine runs at once, for Verify; nil: the
	// check of commands under way looks at each allocation only.
	Lifts func(carPark, machine string) int
}

// Store is one set of car parks. Safe for concurrent use.
type Store struct {
	db    *database.DB
	clock clock.Clock
	lifts func(carPark, machine string) int
	keys  underWay
}

// Open opens the car parks at url: "sqlite:PATH" (any path, as it is) or
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
		Schema: schema(), Logger: opts.Logger, MaxWriters: opts.MaxWriters, WriterSettings: plannerSettings(),
	})
	if err != nil {
		return nil, fmt.Errorf("opening car parks: %w", err)
	}
	return &Store{db: db, clock: opts.Clock, lifts: opts.Lifts}, nil
}

// Close ends all connections; it waits for calls under way.
func (s *Store) Close() error { return s.db.Close() }

// View runs fn on one snapshot; what it writes is refused. See parking.Keeping.
func (s *Store) View(ctx context.Context, fn func(parking.Tx) error) error {
	return s.db.Read(ctx, func(db database.Session) error { return fn(&tx{db: db, store: s}) })
}

// tx is one transaction, for the calls of parking.Tx.
type tx struct {
	db    database.Session
	store *Store
}

func (t *tx) now() int64 { return t.store.clock.Now().UnixMicro() }

// isPostgres reports whether an error within the transaction would break it.
func (t *tx) isPostgres() bool { return t.store.db.Kind() == database.PostgreSQL }

// micros is how an instant stands in the database; 0 is the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant undoes micros.
func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// notNil gives an empty value its place in a column that is never null.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// orNil undoes notNil.
func orNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
