// Package database owns how this program's stores talk to their database,
// SQLite or PostgreSQL behind one type: opening and closing, transactions,
// trying again, migrations, the wording of errors. What stands in the tables
// belongs to the stores.
//
// A store gives a Schema (its name, its migrations, its own version table),
// calls Migrate and Open, and works in DB.Read, DB.Direct and DB.Write on a
// Session. SQL is written once, with $1, $2 and so on, in what both engines
// understand; where they differ, DB.Kind tells which it is. One, Each and
// Placeholders shorten the common cases. DB.Postgres gives the raw connection
// to those who need several statements in one round trip.
//
// Invariants:
//   - Write commits all of what its function did, or nothing; a commit that
//     was acknowledged is durable on both engines.
//   - Reads never wait for writers, and see one snapshot.
//   - Several stores may live in one database, also in one SQLite file and in
//     one process: their writers wait for each other.
//   - Text is compared byte by byte, provided that columns are of a type with
//     COLLATE "C" on PostgreSQL, and holds any UTF-8 on both engines.
//
// Not promised: that the answer to a COMMIT arrives (after an error of Write
// that is not ErrRetry nobody knows until the database is read); that several
// processes on one SQLite file are fast.
package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
)

// Kind is an engine.
type Kind int

// The engines.
const (
	SQLite Kind = iota + 1
	PostgreSQL
)

// Schema is what one store keeps in a database.
type Schema struct {
	// Name is what the store keeps, in the plural, as errors shall say it:
	// "books".
	Name string
	// Migrations holds the steps at its root: 00001_NAME.sql for both engines,
	// 00002_NAME.postgres.sql and 00002_NAME.sqlite.sql for one. They only go
	// forward.
	Migrations fs.FS
	// Table is where the schema's version stands; each store in a database has
	// one of its own.
	Table string
	// Want is the version that this program works with: the last step.
	Want int64
}

// Options are what Open needs beside the address.
type Options struct {
	Schema Schema
	// Logger is told when a transaction is tried again; nil tells nobody.
	Logger *slog.Logger
	// MaxWriters bounds PostgreSQL's connections that write, and as many again
	// read; 0 means 8. SQLite has one writer and eight readers always.
	MaxWriters int
	// WriterSettings are set on PostgreSQL's connections that write, by name.
	WriterSettings map[string]string
}

// DB is one open database. Safe for concurrent use.
type DB struct{ engine engine }

// engine is one kind of database.
type engine interface {
	kind() Kind
	read(ctx context.Context, fn func(Session) error) error
	direct(ctx context.Context, fn func(Session) error) error
	write(ctx context.Context, fn func(Session) error) error
	// version returns the version of a schema, 0 if there is none.
	version(ctx context.Context, table string) (int64, error)
	close() error
}

// Open opens the database at url: "sqlite:PATH" (any path, as it is) or
// "postgres://...". It fails if the schema is not there, or is older or newer
// than wanted; the error says what to do. No error holds the address, in which
// a password may stand.
func Open(ctx context.Context, url string, opts Options) (*DB, error) {
	if opts.MaxWriters <= 0 {
		opts.MaxWriters = 8
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := openEngine(ctx, url, opts)
	if err != nil {
		return nil, err
	}
	version, err := e.version(ctx, opts.Schema.Table)
	if err == nil {
		err = opts.Schema.check(version)
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return &DB{e}, nil
}

// Kind tells which engine it is.
func (d *DB) Kind() Kind { return d.engine.kind() }

// Close ends all connections; it waits for calls under way.
func (d *DB) Close() error { return d.engine.close() }

// Read runs fn in a read-only transaction that sees one snapshot.
func (d *DB) Read(ctx context.Context, fn func(Session) error) error { return d.engine.read(ctx, fn) }

// Direct is Read for a single statement, which is its own snapshot; it saves
// PostgreSQL two round trips.
func (d *DB) Direct(ctx context.Context, fn func(Session) error) error {
	return d.engine.direct(ctx, fn)
}

// Write runs fn in one transaction, which is committed if fn returns nil. Where
// the database asks to try again, or fn returns ErrRetry, it does, a bounded
// number of times; fn must bear that.
func (d *DB) Write(ctx context.Context, fn func(Session) error) error { return d.engine.write(ctx, fn) }

// openEngine picks the engine by the address.
func openEngine(ctx context.Context, url string, opts Options) (engine, error) {
	if path, ok := strings.CutPrefix(url, sqlitePrefix); ok {
		return openSQLite(path, opts)
	}
	if isPostgres(url) {
		return openPostgres(ctx, url, opts)
	}
	return nil, badAddress(url, opts.Schema.Name)
}

const sqlitePrefix = "sqlite:"

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// badAddress names the scheme only: the rest may hold a password.
func badAddress(url, name string) error {
	scheme, _, found := strings.Cut(url, ":")
	if !found {
		return fmt.Errorf("the address of the %s must begin with sqlite: or postgres://", name)
	}
	return fmt.Errorf("the address of the %s begins with %q; it must begin with sqlite: or postgres://", name, scheme+":")
}
