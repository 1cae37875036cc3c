package books

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// session runs statements within one database transaction. Parameters are $1,
// $2 and so on, on both engines; values are string, int64, int, bool or
// []byte.
type session interface {
	// exec returns how many rows were changed.
	exec(ctx context.Context, query string, args ...any) (int64, error)
	query(ctx context.Context, query string, args ...any) (rows, error)
	// bulk inserts many rows into the columns; next returns the values of a
	// row, false at the end.
	bulk(ctx context.Context, table string, columns []string, next func() ([]any, bool)) error
}

// rows is what a query gives. Close it, and ask Err at the end.
type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// engine is one kind of database.
type engine interface {
	// read runs fn in a read-only transaction that sees one snapshot.
	read(ctx context.Context, fn func(session) error) error
	// direct is read for a single statement, which is its own snapshot.
	direct(ctx context.Context, fn func(session) error) error
	// write runs fn in one transaction, which is committed if fn returns nil.
	// Where the database asks to try again, it does, a bounded number of
	// times; fn must bear that.
	write(ctx context.Context, fn func(session) error) error
	// post applies the change in one transaction. See posting.go.
	post(ctx context.Context, c *change) error
	// lookup calls fn with the passColumns of every pass in the windows; a
	// pass in several of them may come several times.
	lookup(ctx context.Context, ws []window, fn func(rows) error) error
	// schemaVersion returns the version of the schema, 0 if there is none.
	schemaVersion(ctx context.Context) (int64, error)
	close() error
}

// one scans the first row of a query; false if there is none.
func one(ctx context.Context, db session, query string, args []any, dest ...any) (bool, error) {
	found := false
	err := each(ctx, db, query, args, func(r rows) error {
		if found {
			return nil
		}
		found = true
		return r.Scan(dest...)
	})
	return found, err
}

// each calls fn for every row of a query.
func each(ctx context.Context, db session, query string, args []any, fn func(rows) error) error {
	r, err := db.query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer r.Close()
	for r.Next() {
		if err := fn(r); err != nil {
			return err
		}
	}
	return r.Err()
}

// placeholders returns "$from, $from+1, ..." for n parameters.
func placeholders(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(from + i))
	}
	return b.String()
}

// errRetry marks errors after which the whole transaction may be run again:
// the database refused it, nothing of it stands.
var errRetry = errors.New("the database asks to try again")

// retry runs try until it does not ask for another attempt, at most so many
// times, waiting a little longer each time.
func retry(ctx context.Context, logger *slog.Logger, attempts int, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if err == nil || !errors.Is(err, errRetry) || n == attempts {
			return err
		}
		logger.WarnContext(ctx, "books: trying the transaction again", "attempt", n+1, "of", attempts, "error", err)
		wait := time.NewTimer(time.Duration(n*n) * 5 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}
