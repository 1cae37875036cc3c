package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pgEngine is PostgreSQL: a pool of connections that write, and one that reads.
type pgEngine struct {
	writers *pgxpool.Pool
	readers *pgxpool.Pool
	logger  *slog.Logger
	// name is what the schema keeps, for errors.
	name string
}

// pgAttempts bounds how often a transaction that PostgreSQL broke off
// (deadlock, serialisation) is run again.
const pgAttempts = 6

// rollbackTime bounds the clearing up after a transaction that failed.
const rollbackTime = 5 * time.Second

// postgresAddressError is said without the address, which may hold a password.
func postgresAddressError(err error, name string) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		return fmt.Errorf("the address of the %s is not a PostgreSQL one; write postgres://USER:PASSWORD@HOST:PORT/DATABASE", name)
	}
	return err
}

func openPostgres(ctx context.Context, url string, opts Options) (*pgEngine, error) {
	writers, err := pgPool(ctx, url, opts, opts.WriterSettings)
	if err != nil {
		return nil, err
	}
	readers, err := pgPool(ctx, url, opts, map[string]string{"default_transaction_read_only": "on"})
	if err != nil {
		writers.Close()
		return nil, err
	}
	return &pgEngine{writers: writers, readers: readers, logger: opts.Logger, name: opts.Schema.Name}, nil
}

// pgPool opens a pool whose connections have the settings.
func pgPool(ctx context.Context, url string, opts Options, settings map[string]string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, postgresAddressError(err, opts.Schema.Name)
	}
	config.MaxConns = int32(min(opts.MaxWriters, 1000))
	config.ConnConfig.RuntimeParams["application_name"] = "freeflow"
	// To compile a plan takes longer than any statement here.
	config.ConnConfig.RuntimeParams["jit"] = "off"
	for name, value := range settings {
		config.ConnConfig.RuntimeParams[name] = value
	}
	// A COMMIT that was acknowledged must be durable, whatever the server's
	// default is.
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("PostgreSQL does not answer: %w", err)
	}
	return pool, nil
}

func (e *pgEngine) close() error {
	e.writers.Close()
	e.readers.Close()
	return nil
}

func (e *pgEngine) kind() Kind { return PostgreSQL }

func (e *pgEngine) version(ctx context.Context, table string) (version int64, err error) {
	err = e.direct(ctx, func(db Session) error {
		var exists bool
		if _, err := One(ctx, db, `SELECT to_regclass($1) IS NOT NULL`, []any{table}, &exists); err != nil || !exists {
			return err
		}
		_, err = One(ctx, db, `SELECT coalesce(max(version_id), 0) FROM `+table+` WHERE is_applied`, nil, &version)
		return err
	})
	return version, err
}

func (e *pgEngine) direct(ctx context.Context, fn func(Session) error) error {
	conn, err := e.readers.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return fn(&pgSession{conn.Conn()})
}

func (e *pgEngine) read(ctx context.Context, fn func(Session) error) error {
	return pgTransact(ctx, e.readers, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

func (e *pgEngine) write(ctx context.Context, fn func(Session) error) error {
	return retry(ctx, e.logger, pgAttempts, func() error {
		return e.explain(pgTransact(ctx, e.writers, pgx.TxOptions{}, fn))
	})
}

// Postgres runs fn on a connection of PostgreSQL's that writes, for those who
// need what a Session has not: several statements in one round trip. fn begins
// and commits its transaction itself, encodes its texts by EncodeArgs, reads
// rows through PostgresRows, and returns the database's errors wrapped or as
// they are. Where fn fails, its transaction is rolled back and, where the
// database asks for it, fn runs again, a bounded number of times. It is an
// error to ask this of another engine.
func (d *DB) Postgres(ctx context.Context, fn func(*pgx.Conn) error) error {
	e, ok := d.engine.(*pgEngine)
	if !ok {
		return errors.New("the database is not PostgreSQL")
	}
	return retry(ctx, e.logger, pgAttempts, func() error {
		conn, err := e.writers.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		if err := fn(conn.Conn()); err != nil {
			return e.explain(errors.Join(err, pgRollback(ctx, conn.Conn())))
		}
		return nil
	})
}

// PostgresSession returns a session on a raw connection.
func PostgresSession(conn *pgx.Conn) Session { return &pgSession{conn} }

// PostgresRows returns the rows of a raw connection, whose texts are decoded as
// they are scanned.
func PostgresRows(r pgx.Rows) Rows { return pgRows{r} }

// pgTransact runs fn in one transaction.
func pgTransact(ctx context.Context, pool *pgxpool.Pool, opts pgx.TxOptions, fn func(Session) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	tx, err := conn.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	if err := fn(&pgSession{conn.Conn()}); err != nil {
		return errors.Join(err, pgRollback(ctx, conn.Conn()))
	}
	return tx.Commit(ctx)
}

// pgRollback ends a transaction that failed, also where ctx has ended. A
// connection that cannot even do that is closed, and the server rolls back.
func pgRollback(ctx context.Context, conn *pgx.Conn) error {
	if conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		return conn.Close(ctx)
	}
	return nil
}

// pgSession is a session on a connection.
type pgSession struct{ conn *pgx.Conn }

func (s *pgSession) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := s.conn.Exec(ctx, query, EncodeArgs(args)...)
	return tag.RowsAffected(), err
}

func (s *pgSession) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	r, err := s.conn.Query(ctx, query, EncodeArgs(args)...)
	if err != nil {
		return nil, err
	}
	return pgRows{r}, nil
}

// Bulk copies the rows in.
func (s *pgSession) Bulk(ctx context.Context, table string, columns []string, next func() ([]any, bool)) error {
	_, err := s.conn.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		row, more := next()
		if !more {
			return nil, nil
		}
		return EncodeArgs(row), nil
	}))
	return err
}

// pgRows decodes the texts that it scans.
type pgRows struct{ pgx.Rows }

func (r pgRows) Scan(dest ...any) error {
	if err := r.Rows.Scan(dest...); err != nil {
		return err
	}
	for _, d := range dest {
		if text, ok := d.(*string); ok {
			*text = decodeText(*text)
		}
	}
	return nil
}

// explain says in words what the operator can do about an error of
// PostgreSQL, and marks those after which the transaction may be run again.
func (e *pgEngine) explain(err error) error {
	var refused *pgconn.PgError
	if err == nil || !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case "40001", "40P01":
		return fmt.Errorf("%w: %w", ErrRetry, err)
	case "53100":
		return fmt.Errorf("no room left for the %s: free space on the disk of the PostgreSQL server, nothing of this was written: %w", e.name, err)
	case "54000":
		return fmt.Errorf("a name is too long for PostgreSQL to index (2,700 bytes): %w", err)
	}
	return err
}

func postgresDuplicate(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "23505"
}
