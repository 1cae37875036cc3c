package books

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

// pgEngine keeps the books in PostgreSQL: a pool of connections that post, and
// one that reads.
type pgEngine struct {
	posters *pgxpool.Pool
	readers *pgxpool.Pool
	logger  *slog.Logger
}

// pgAttempts bounds how often a transaction that PostgreSQL broke off
// (deadlock, serialisation) is run again.
const pgAttempts = 6

// rollbackTime bounds the clearing up after a transaction that failed.
const rollbackTime = 5 * time.Second

// postgresAddressError is said without the address, which may hold a password.
func postgresAddressError(err error) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		return errors.New("the address of the books is not a PostgreSQL one; write postgres://USER:PASSWORD@HOST:PORT/DATABASE")
	}
	return err
}

func openPostgres(ctx context.Context, url string, opts Options) (*pgEngine, error) {
	posters, err := pgPool(ctx, url, opts.MaxPosters, map[string]string{
		// The statements of a posting find a few rows each by an index. While
		// tables are young the planner knows nothing of them and may settle on
		// reading all of every one, and keep to it as they grow.
		"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
		"enable_material": "off", "enable_memoize": "off", "jit": "off",
	})
	if err != nil {
		return nil, err
	}
	readers, err := pgPool(ctx, url, opts.MaxPosters, map[string]string{"jit": "off", "default_transaction_read_only": "on"})
	if err != nil {
		posters.Close()
		return nil, err
	}
	return &pgEngine{posters: posters, readers: readers, logger: opts.Logger}, nil
}

// pgPool opens a pool whose connections have the settings.
func pgPool(ctx context.Context, url string, size int, settings map[string]string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, postgresAddressError(err)
	}
	config.MaxConns = int32(min(size, 1000))
	config.ConnConfig.RuntimeParams["application_name"] = "freeflow"
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
	e.posters.Close()
	e.readers.Close()
	return nil
}

func (e *pgEngine) schemaVersion(ctx context.Context) (version int64, err error) {
	err = e.direct(ctx, func(db session) error {
		var exists bool
		if _, err := one(ctx, db, `SELECT to_regclass($1) IS NOT NULL`, []any{versionTable}, &exists); err != nil || !exists {
			return err
		}
		_, err = one(ctx, db, `SELECT coalesce(max(version_id), 0) FROM `+versionTable+` WHERE is_applied`, nil, &version)
		return err
	})
	return version, err
}

func (e *pgEngine) direct(ctx context.Context, fn func(session) error) error {
	conn, err := e.readers.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return fn(&pgSession{conn.Conn()})
}

func (e *pgEngine) read(ctx context.Context, fn func(session) error) error {
	return pgTransact(ctx, e.readers, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

func (e *pgEngine) write(ctx context.Context, fn func(session) error) error {
	return retry(ctx, e.logger, pgAttempts, func() error {
		return pgError(pgTransact(ctx, e.posters, pgx.TxOptions{}, fn))
	})
}

// pgTransact runs fn in one transaction.
func pgTransact(ctx context.Context, pool *pgxpool.Pool, opts pgx.TxOptions, fn func(session) error) error {
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

func (s *pgSession) exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := s.conn.Exec(ctx, query, encodeArgs(args)...)
	return tag.RowsAffected(), err
}

func (s *pgSession) query(ctx context.Context, query string, args ...any) (rows, error) {
	r, err := s.conn.Query(ctx, query, encodeArgs(args)...)
	if err != nil {
		return nil, err
	}
	return pgRows{r}, nil
}

// bulk copies the rows in.
func (s *pgSession) bulk(ctx context.Context, table string, columns []string, next func() ([]any, bool)) error {
	_, err := s.conn.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		row, more := next()
		if !more {
			return nil, nil
		}
		return encodeArgs(row), nil
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

// pgError says in words what the operator can do about an error of
// PostgreSQL, and marks those after which the transaction may be run again.
func pgError(err error) error {
	var e *pgconn.PgError
	if err == nil || !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case "40001", "40P01":
		return fmt.Errorf("%w: %w", errRetry, err)
	case "53100":
		return fmt.Errorf("no room left for the books: free space on the disk of the PostgreSQL server, nothing of this was posted: %w", err)
	case "54000":
		return fmt.Errorf("a name is too long for PostgreSQL to index (2,700 bytes): %w", err)
	}
	return err
}
