package database

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Session runs statements within one database transaction. Parameters are $1,
// $2 and so on, on both engines; values are string, int64, int, bool or
// []byte. Arguments may be encoded in place: they are not to be used again.
type Session interface {
	// Exec returns how many rows were changed.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	Query(ctx context.Context, query string, args ...any) (Rows, error)
	// Bulk inserts many rows into the columns; next returns the values of a
	// row, false at the end.
	Bulk(ctx context.Context, table string, columns []string, next func() ([]any, bool)) error
}

// Rows is what a query gives. Close it, and ask Err at the end.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// One scans the first row of a query; false if there is none.
func One(ctx context.Context, db Session, query string, args []any, dest ...any) (bool, error) {
	found := false
	err := Each(ctx, db, query, args, func(r Rows) error {
		if found {
			return nil
		}
		found = true
		return r.Scan(dest...)
	})
	return found, err
}

// Each calls fn for every row of a query, and ends with its first error.
func Each(ctx context.Context, db Session, query string, args []any, fn func(Rows) error) error {
	r, err := db.Query(ctx, query, args...)
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

// Placeholders returns "$from, $from+1, ..." for n parameters.
func Placeholders(from, n int) string {
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

// IsDuplicate reports whether a primary key or unique index refused a row.
// PostgreSQL takes no further statement in that transaction.
func IsDuplicate(err error) bool { return sqliteDuplicate(err) || postgresDuplicate(err) }

// ErrRetry marks errors after which the whole transaction may be run again:
// the database refused it, nothing of it stands.
var ErrRetry = errors.New("the database asks to try again")

// retry runs try until it does not ask for another attempt, at most so many
// times, waiting a little longer each time.
func retry(ctx context.Context, logger *slog.Logger, attempts int, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if err == nil || !errors.Is(err, ErrRetry) || n == attempts {
			return err
		}
		logger.WarnContext(ctx, "database: trying the transaction again", "attempt", n+1, "of", attempts, "error", err)
		wait := time.NewTimer(time.Duration(n*n) * 5 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}
