package database

import (
	"context"
	"database/sql"
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

// ErrAbsent is what errors.Is finds in the error of a database that does not
// have the schema at all.
var ErrAbsent = errors.New("the schema is not there")

// absentError says it in words.
type absentError struct{ name string }

func (e absentError) Error() string {
	return fmt.Sprintf("there are no %s in this database yet; run `freeflow migrate` to create them", e.name)
}

func (e absentError) Is(target error) bool { return target == ErrAbsent }

// check compares the database's schema with the program's.
func (s *Schema) check(version int64) error {
	switch {
	case version == 0:
		return absentError{s.Name}
	case version < s.Want:
		return fmt.Errorf("the %s have schema %d and this program needs %d; make a backup and run `freeflow migrate`", s.Name, version, s.Want)
	case version > s.Want:
		return fmt.Errorf("the %s have schema %d, newer than the %d that this program knows; "+
			"use the newer freeflow that wrote them, or restore the backup made before it (see `freeflow version`)", s.Name, version, s.Want)
	}
	return nil
}

// Migrate creates the schema at url or brings it up to date. It is safe to run
// again, by several processes at once and beside other schemas of the same
// database; a schema of a newer program is refused.
func Migrate(ctx context.Context, url string, s Schema) error {
	if path, ok := strings.CutPrefix(url, sqlitePrefix); ok {
		return s.migrateSQLite(ctx, path)
	}
	if isPostgres(url) {
		return s.migratePostgres(ctx, url)
	}
	return badAddress(url, s.Name)
}

// migrateAttempts bounds how often a migration of a SQLite file is tried while
// another process is at it.
const migrateAttempts = 8

func (s *Schema) migrateSQLite(ctx context.Context, path string) error {
	dsn, err := createSQLite(path, s.Name)
	if err != nil {
		return err
	}
	return retry(ctx, slog.New(slog.DiscardHandler), migrateAttempts, func() error {
		db, err := sql.Open("sqlite", dsn)
		if err != nil {
			return err
		}
		db.SetMaxOpenConns(1)
		from, err := s.migrate(ctx, db, goose.DialectSQLite3, ".postgres.sql")
		if err = sqliteError(path, err); err != nil && !errors.Is(err, ErrRetry) {
			// Each step is a transaction with its version. Where the version has
			// moved on, another process took a step between our look and our
			// turn, or we took some ourselves: what is left is tried again.
			if now, asking := s.versionOf(ctx, db); asking == nil && now > from {
				err = fmt.Errorf("%w: %w", ErrRetry, err)
			}
		}
		return errors.Join(err, db.Close())
	})
}

// versionOf reads the version that stands on a SQLite file.
func (s *Schema) versionOf(ctx context.Context, db *sql.DB) (version int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+s.Table).Scan(&version)
	return version, err
}

func (s *Schema) migratePostgres(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return postgresAddressError(err, s.Name)
	}
	// Others who migrate at once wait for this one, asking every second.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	_, err = s.migrate(ctx, db, goose.DialectPostgres, ".sqlite.sql", goose.WithSessionLocker(locker))
	return errors.Join(err, db.Close())
}

// migrate runs the steps that are not for another engine, and returns the
// version from which it began: below 0 where that could not be read, as while
// another makes the version's table, and what is wanted where the steps
// themselves are at fault.
func (s *Schema) migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, otherEngine string, opts ...goose.ProviderOption) (from int64, err error) {
	others, err := fs.Glob(s.Migrations, "*"+otherEngine)
	if err != nil {
		return s.Want, err
	}
	opts = append(opts, goose.WithTableName(s.Table), goose.WithExcludeNames(others),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	provider, err := goose.NewProvider(dialect, db, s.Migrations, opts...)
	if err != nil {
		return s.Want, err
	}
	from, err = provider.GetDBVersion(ctx)
	if err != nil {
		return -1, err
	}
	if from > s.Want {
		return from, s.check(from)
	}
	_, err = provider.Up(ctx)
	return from, err
}
