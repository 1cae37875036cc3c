// Package store owns the database of tariff governance: drafts and what became
// of them, the signed statements, what signs displayed and what the comparison
// found, on SQLite or PostgreSQL behind one type. It keeps the contracts Store
// and DisplayStore of package governance.
//
// Invariants: rows are only ever added (triggers refuse the rest), but for the
// closing of findings and the progress of sweeps; a network has one statement
// of a number, and a draft at most one statement: keys decide, whoever comes at
// the same time; every step stands together with its event in the audit trail.
//
// The database may be that of the books too: tables begin with tariff_, the
// schema's version stands in tariff_schema.
//
// Not promised: that a row is what was written. Whoever owns the database can
// change it; that is what the signatures are for, which nobody here checks.
package store

import (
	"context"
	"crypto/ed25519"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"freeflow/internal/audit"
	"freeflow/internal/database"
	"freeflow/tolling/governance"
)

// The store keeps both contracts.
var (
	_ governance.Store        = (*Store)(nil)
	_ governance.DisplayStore = (*Store)(nil)
	_ governance.Tx           = (*tx)(nil)
)

//go:embed migrations/*.sql
var migrations embed.FS

// wantVersion is the schema that this program works with: the last step of
// migrations.
const wantVersion = 3

func schema() database.Schema {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		steps = migrations // cannot happen: the folder's name is well formed
	}
	return database.Schema{Name: "tariffs", Migrations: steps, Table: "tariff_schema", Want: wantVersion}
}

// Migrate creates the tables at url or brings them up to date, those of the
// audit trail too. It is safe to run again, by several processes at once and
// beside the books.
func Migrate(ctx context.Context, url string) error {
	if err := database.Migrate(ctx, url, schema()); err != nil {
		return fmt.Errorf("migrating tariffs: %w", err)
	}
	return audit.Migrate(ctx, url)
}

// Options are what Open needs beside the address.
type Options struct {
	// Migrate brings the schema up to date first. Without it an old schema is
	// refused.
	Migrate bool
	// Logger is told when a transaction is tried again; nil tells nobody.
	Logger *slog.Logger
}

// Store is one database of tariffs. Safe for concurrent use.
type Store struct{ db *database.DB }

// Open opens the tariffs at url: "sqlite:PATH" or "postgres://...". It fails if
// there are none (database.ErrAbsent), if their schema is older than this
// program (unless told to migrate) or newer.
func Open(ctx context.Context, url string, opts Options) (*Store, error) {
	if opts.Migrate {
		if err := Migrate(ctx, url); err != nil {
			return nil, err
		}
	}
	db, err := database.Open(ctx, url, database.Options{Schema: schema(), Logger: opts.Logger, MaxWriters: 2})
	if err != nil {
		return nil, fmt.Errorf("opening tariffs: %w", err)
	}
	return &Store{db}, nil
}

// Close ends all connections; it waits for calls under way.
func (s *Store) Close() error { return s.db.Close() }

// Do runs fn in one transaction. See governance.Store.
func (s *Store) Do(ctx context.Context, fn func(governance.Tx) error) error {
	return s.db.Write(ctx, func(db database.Session) error { return fn(&tx{db}) })
}

// View runs fn on one snapshot. See governance.Store.
func (s *Store) View(ctx context.Context, fn func(governance.Tx) error) error {
	return s.db.Read(ctx, func(db database.Session) error { return fn(&tx{db}) })
}

// Head returns the number and hash of a network's last statement, as they
// stand, and false if there is none: the cheap question whether anything is
// new.
func (s *Store) Head(ctx context.Context, network string) (sequence int64, hash string, found bool, err error) {
	err = s.db.Direct(ctx, func(db database.Session) error {
		found, err = database.One(ctx, db, `SELECT sequence, hash FROM tariff_statement WHERE network = $1 ORDER BY sequence DESC LIMIT 1`,
			[]any{network}, &sequence, &hash)
		return err
	})
	if err != nil {
		return 0, "", false, fmt.Errorf("looking for new tariffs: %w", err)
	}
	return sequence, hash, found, nil
}

// Rows returns the network's statements with a number of from or more, with
// their files, as they stand.
func (s *Store) Rows(ctx context.Context, network string, from int64) ([]governance.Row, error) {
	var rows []governance.Row
	err := s.db.Read(ctx, func(db database.Session) error {
		rows = nil
		t := &tx{db}
		statements, err := t.Statements(ctx, network, from)
		if err != nil {
			return err
		}
		for _, signed := range statements {
			row := governance.Row{Signed: signed}
			if signed.Content != "" {
				row.Canonical, err = t.Content(ctx, signed.Content)
				if err != nil && !errors.Is(err, governance.ErrNotFound) {
					return err
				}
			}
			rows = append(rows, row)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading tariffs: %w", err)
	}
	return rows, nil
}

// Networks returns the names of all networks that have statements, sorted.
func (s *Store) Networks(ctx context.Context) ([]string, error) {
	var names []string
	err := s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, `SELECT DISTINCT network FROM tariff_statement ORDER BY network`, nil, func(r database.Rows) error {
			var name string
			err := r.Scan(&name)
			names = append(names, name)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing networks: %w", err)
	}
	return names, nil
}

// SeedKeys returns the key that signed the network's seed, as it stands here:
// for a process that trusts nothing yet. None if there is no seed.
func (s *Store) SeedKeys(ctx context.Context, network string) (governance.Keys, error) {
	keys := governance.Keys{}
	err := s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, `SELECT k.public_key FROM tariff_statement s JOIN tariff_key k ON k.fingerprint = s.signing_key WHERE s.network = $1 AND s.sequence = 0`,
			[]any{network}, func(r database.Rows) error {
				var key []byte
				if err := r.Scan(&key); err != nil {
					return err
				}
				if len(key) == ed25519.PublicKeySize {
					keys.Add(key)
				}
				return nil
			})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the key of a network: %w", err)
	}
	return keys, nil
}
