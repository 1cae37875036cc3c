package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteEngine is one SQLite file: one connection writes,
// a few read snapshots beside it.
type sqliteEngine struct {
	path             string
	logger           *slog.Logger
	writing, reading *sql.DB
	// writer holds the one connection that writes; readers those that read,
	// nil for one not opened yet. Whoever takes one puts it back.
	writer  chan *sqliteConn
	readers chan *sqliteConn
}

const (
	// sqliteReaders bounds the connections that read.
	sqliteReaders = 8
	// maxPrepared bounds the statements kept prepared on a connection; texts
	// beyond that are compiled for each use.
	maxPrepared = 256
	// sqliteAttempts bounds how often a busy database is asked again, each
	// time after busy_timeout.
	sqliteAttempts = 4
)

// sqlitePragmas are set on every connection. FULL makes every commit durable
// before it is acknowledged; the checkpoint is spaced out since each costs two
// more syncs.
const sqlitePragmas = "_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)" +
	"&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)&_pragma=cache_size(-32000)"

// sqliteDSN returns the driver's name for a file, whatever characters its path
// holds. The path is made absolute, so that none means a database in memory.
func sqliteDSN(path, name, pragmas string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("the address of the %s lacks the path of the file: write it like sqlite:/var/lib/freeflow/books.db", name)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return "file:" + (&url.URL{Path: abs}).EscapedPath() + "?" + pragmas, nil
}

// createSQLite makes an empty file, readable by its owner alone, if there is
// none; SQLite gives its side files the same mode. The file is closed before it
// gets its name: to close any descriptor of a database in use would drop the
// locks that this process holds on it.
func createSQLite(path, name string) (dsn string, err error) {
	dsn, err = sqliteDSN(path, name, "_txlock=immediate&"+sqlitePragmas)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return dsn, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".freeflow-*")
	if err != nil {
		return "", err
	}
	err = f.Close()
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, os.ErrExist) {
		// Another process was faster.
		err = nil
	}
	return dsn, errors.Join(err, os.Remove(f.Name()))
}

func openSQLite(path string, opts Options) (*sqliteEngine, error) {
	dsn, err := sqliteDSN(path, opts.Schema.Name, sqlitePragmas)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there are no %s at %s yet; run `freeflow migrate` to create them", opts.Schema.Name, path)
	} else if err != nil {
		return nil, err
	}
	e := &sqliteEngine{path: path, logger: opts.Logger, writer: make(chan *sqliteConn, 1), readers: make(chan *sqliteConn, sqliteReaders)}
	if e.writing, err = sql.Open("sqlite", dsn); err != nil {
		return nil, err
	}
	if e.reading, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(err, e.writing.Close())
	}
	e.writer <- nil
	for range sqliteReaders {
		e.readers <- nil
	}
	return e, nil
}

// close waits for every connection to come back.
func (e *sqliteEngine) close() error {
	var err error
	for range sqliteReaders {
		err = errors.Join(err, (<-e.readers).close())
	}
	err = errors.Join(err, (<-e.writer).close())
	return errors.Join(err, e.reading.Close(), e.writing.Close())
}

func (e *sqliteEngine) kind() Kind { return SQLite }

func (e *sqliteEngine) version(ctx context.Context, table string) (version int64, err error) {
	err = e.direct(ctx, func(db Session) error {
		found, err := One(ctx, db, `SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1`, []any{table}, &version)
		if err != nil || !found {
			return err
		}
		_, err = One(ctx, db, `SELECT coalesce(max(version_id), 0) FROM `+table+` WHERE is_applied`, nil, &version)
		return err
	})
	return version, err
}

func (e *sqliteEngine) direct(ctx context.Context, fn func(Session) error) error {
	return e.read(ctx, fn)
}

func (e *sqliteEngine) read(ctx context.Context, fn func(Session) error) error {
	return e.transact(ctx, e.reading, e.readers, "BEGIN", fn)
}

func (e *sqliteEngine) write(ctx context.Context, fn func(Session) error) error {
	return retry(ctx, e.logger, sqliteAttempts, func() error {
		return e.transact(ctx, e.writing, e.writer, "BEGIN IMMEDIATE", fn)
	})
}

// transact takes a connection from the pool for one transaction. A
// cancellation is heard before it begins, between statements, and within those
// that read, but never within one that writes: what is undone is always the
// whole transaction.
func (e *sqliteEngine) transact(ctx context.Context, db *sql.DB, pool chan *sqliteConn, begin string, fn func(Session) error) error {
	var c *sqliteConn
	select {
	case c = <-pool:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { pool <- c }()
	if c == nil {
		conn, err := db.Conn(ctx)
		if err != nil {
			return sqliteError(e.path, err)
		}
		c = &sqliteConn{conn: conn, stmts: map[string]*sql.Stmt{}}
	}
	if _, err := c.Exec(ctx, begin); err != nil {
		return sqliteError(e.path, err)
	}
	err := fn(c)
	if err == nil {
		_, err = c.Exec(ctx, "COMMIT")
	}
	if err != nil {
		// After some errors (a full disk) SQLite has rolled back by itself.
		_, end := c.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		if end != nil && !strings.Contains(end.Error(), "no transaction is active") {
			err = errors.Join(err, end, c.close())
			c = nil
		}
	}
	return sqliteError(e.path, err)
}

// sqliteConn is one connection with its compiled statements.
type sqliteConn struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

// close closes the connection, if it was ever opened.
func (c *sqliteConn) close() error {
	if c == nil {
		return nil
	}
	var err error
	for _, st := range c.stmts {
		err = errors.Join(err, st.Close())
	}
	return errors.Join(err, c.conn.Close())
}

// statement returns the compiled text. Texts beyond the bound are compiled for
// one use: the second result closes them.
func (c *sqliteConn) statement(ctx context.Context, query string) (*sql.Stmt, func() error, error) {
	if st, ok := c.stmts[query]; ok {
		return st, func() error { return nil }, nil
	}
	st, err := c.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	if len(c.stmts) < maxPrepared {
		c.stmts[query] = st
		return st, func() error { return nil }, nil
	}
	return st, st.Close, nil
}

func (c *sqliteConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	calm := context.WithoutCancel(ctx)
	st, done, err := c.statement(calm, query) //nolint:sqlclosecheck // done closes what is not kept
	if err != nil {
		return 0, err
	}
	result, err := st.ExecContext(calm, args...)
	if err := errors.Join(err, done()); err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (c *sqliteConn) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	st, done, err := c.statement(ctx, query) //nolint:sqlclosecheck // done closes what is not kept
	if err != nil {
		return nil, err
	}
	r, err := st.QueryContext(ctx, args...) //nolint:rowserrcheck // whoever reads the rows asks for their error
	if err != nil {
		return nil, errors.Join(err, done())
	}
	return sqliteRows{r, done}, nil
}

// Bulk inserts by statements of many rows, within SQLite's bound on parameters,
// and of few different sizes, so that they stay compiled.
func (c *sqliteConn) Bulk(ctx context.Context, table string, columns []string, next func() ([]any, bool)) error {
	const perStatement = 50
	// Parameters without names: the driver looks every name up.
	tuple := "(" + strings.Repeat("?, ", len(columns)-1) + "?)"
	head := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES "
	var (
		args []any
		n    int
	)
	flush := func() error {
		for rest := args; n > 0; {
			size := 1
			for _, fits := range []int{perStatement, 10} {
				if n >= fits {
					size = fits
					break
				}
			}
			if _, err := c.Exec(ctx, head+strings.Repeat(tuple+", ", size-1)+tuple, rest[:size*len(columns)]...); err != nil {
				return err
			}
			rest, n = rest[size*len(columns):], n-size
		}
		args = args[:0]
		return nil
	}
	for {
		row, more := next()
		if !more {
			break
		}
		args = append(args, row...)
		if n++; n == perStatement {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// sqliteRows gives sql.Rows the common shape.
type sqliteRows struct {
	*sql.Rows
	done func() error
}

// Close ends the rows; what could fail has been said by Err.
func (r sqliteRows) Close() {
	_ = r.Rows.Close()
	_ = r.done()
}

// sqliteError says in words what the operator can do about an error of
// SQLite, and marks those after which the transaction may be run again.
func sqliteError(path string, err error) error {
	var e *sqlite.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("no room left for %s: free space on its disk, nothing of this was written: %w", path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: another process holds %s: %w", ErrRetry, path, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%s cannot be written: check that this user owns the file and its folder: %w", path, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is damaged or not a SQLite file: restore it from the last backup: %w", path, err)
	}
	return err
}

func sqliteDuplicate(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}
