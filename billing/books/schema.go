package books

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrations holds the schema's steps. NAME.sql is for both engines,
// NAME.postgres.sql and NAME.sqlite.sql for one. They only go forward: an
// older program is served by a backup, not by a way back.
//
//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is where the schema's version stands; named after the books, so
// that other stores can live in the same database.
const versionTable = "books_schema"

// wantVersion is the schema that this program works with: the last step of
// migrations.
const wantVersion = 3

// checkVersion compares the database's schema with the program's.
func checkVersion(version int64) error {
	switch {
	case version == 0:
		return errors.New("there are no books in this database yet; run `freeflow migrate` to create them")
	case version < wantVersion:
		return fmt.Errorf("the books have schema %d and this program needs %d; make a backup and run `freeflow migrate`", version, wantVersion)
	case version > wantVersion:
		return fmt.Errorf("the books have schema %d, newer than the %d that this program knows; "+
			"use the newer freeflow that wrote them, or restore the backup made before it (see `freeflow version`)", version, wantVersion)
	}
	return nil
}

// Migrate creates the books at url or brings their schema up to date. It is
// safe to run again and by several processes at once; books of a newer
// program are refused.
func Migrate(ctx context.Context, url string) error {
	var err error
	if path, ok := strings.CutPrefix(url, sqlitePrefix); ok {
		err = migrateSQLite(ctx, path)
	} else if isPostgres(url) {
		err = migratePostgres(ctx, url)
	} else {
		err = badAddress(url)
	}
	if err != nil {
		return fmt.Errorf("migrating books: %w", err)
	}
	return nil
}

// migrateAttempts bounds how often a migration of a SQLite file is tried while
// another process is at it.
const migrateAttempts = 8

func migrateSQLite(ctx context.Context, path string) error {
	dsn, err := createSQLite(path)
	if err != nil {
		return err
	}
	return retry(ctx, slog.New(slog.DiscardHandler), migrateAttempts, func() error {
		db, err := sql.Open("sqlite", dsn)
		if err != nil {
			return err
		}
		db.SetMaxOpenConns(1)
		err = sqliteError(path, migrate(ctx, db, goose.DialectSQLite3, ".postgres.sql"))
		if err != nil && strings.Contains(err.Error(), "already exists") {
			// Each step is a transaction; another process took this one
			// between our look and our turn.
			err = fmt.Errorf("%w: %w", errRetry, err)
		}
		return errors.Join(err, db.Close())
	})
}

func migratePostgres(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return postgresAddressError(err)
	}
	// Others who migrate at once wait for this one, asking every second.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	return errors.Join(migrate(ctx, db, goose.DialectPostgres, ".sqlite.sql", goose.WithSessionLocker(locker)), db.Close())
}

// migrate runs the steps that are not for another engine, and gives new books
// their identity.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, otherEngine string, opts ...goose.ProviderOption) error {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	others, err := fs.Glob(steps, "*"+otherEngine)
	if err != nil {
		return err
	}
	opts = append(opts, goose.WithTableName(versionTable), goose.WithExcludeNames(others),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	provider, err := goose.NewProvider(dialect, db, steps, opts...)
	if err != nil {
		return err
	}
	version, err := provider.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	if version > wantVersion {
		return checkVersion(version)
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	return identify(ctx, db)
}

// identify gives the books an identity if they have none.
func identify(ctx context.Context, db *sql.DB) error {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('books_id', $1) ON CONFLICT DO NOTHING`, hex.EncodeToString(id))
	return err
}
