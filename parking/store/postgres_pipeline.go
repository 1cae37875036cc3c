package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"freeflow/internal/database"
	"freeflow/parking"
)

// pgArrays are the parameters of an unnest, typed by a row of them.
func pgArrays(from int, row []any) string {
	var b strings.Builder
	for i, value := range row {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d::", from+i)
		switch value.(type) {
		case string:
			b.WriteString("text[]")
		case int64:
			b.WriteString("bigint[]")
		case bool:
			b.WriteString("boolean[]")
		default:
			b.WriteString("bytea[]")
		}
	}
	return b.String()
}

// transpose turns rows into one array a column, typed by the first row.
func transpose(rows [][]any) []any {
	columns := make([]any, len(rows[0]))
	for j := range columns {
		switch rows[0][j].(type) {
		case string:
			columns[j] = column[string](rows, j)
		case int64:
			columns[j] = column[int64](rows, j)
		case bool:
			columns[j] = column[bool](rows, j)
		default:
			columns[j] = column[[]byte](rows, j)
		}
	}
	return columns
}

func column[T any](rows [][]any, j int) []T {
	values := make([]T, len(rows))
	for i := range rows {
		values[i], _ = rows[i][j].(T)
	}
	return values
}

// pipeline is one round trip: statements, and what reads their results.
type pipeline struct {
	batch pgx.Batch
	reads []func(database.Rows) error
	// commits says that the last statement is COMMIT.
	commits bool
}

// commit queues the end of the transaction.
func (p *pipeline) commit() {
	p.add(nil, "COMMIT")
	p.commits = true
}

// add queues a statement; read is called for each row, nil where there are
// none.
func (p *pipeline) add(read func(database.Rows) error, query string, args ...any) {
	p.batch.Queue(query, database.EncodeArgs(args)...)
	p.reads = append(p.reads, read)
}

// rows queues a statement over rows; none if there are none.
func (p *pipeline) rows(query string, rows [][]any) {
	if len(rows) > 0 {
		p.add(nil, query, transpose(rows)...)
	}
}

// run sends the statements and reads all results. Where the last is COMMIT, it
// has committed if there is no error.
func (p *pipeline) run(ctx context.Context, conn *pgx.Conn) error {
	results := conn.SendBatch(ctx, &p.batch)
	err := p.read(results)
	// After a failure Close only repeats it.
	if end := results.Close(); err == nil {
		err = end
	}
	return err
}

func (p *pipeline) read(results pgx.BatchResults) error {
	for i, read := range p.reads {
		if read == nil {
			tag, err := results.Exec()
			if err != nil {
				return err
			}
			if p.commits && i == len(p.reads)-1 && tag.String() != "COMMIT" {
				return fmt.Errorf("the commit was answered with %s: nothing was written", tag)
			}
			continue
		}
		found, err := results.Query()
		if err != nil {
			return err
		}
		if err := readRows(database.PostgresRows(found), read); err != nil {
			return err
		}
	}
	return nil
}

func readRows(r database.Rows, read func(database.Rows) error) error {
	defer r.Close()
	for r.Next() {
		if err := read(r); err != nil {
			return err
		}
	}
	return r.Err()
}

// keys are the Onces of a batch, for pgKept.
func keys[T any](items []T, through []int, once func(*T) *parking.Once) (scopes, names []string) {
	for _, i := range through {
		if o := once(&items[i]); o != nil {
			scopes, names = append(scopes, o.Scope), append(names, o.Key)
		}
	}
	return scopes, names
}

// find queues the search for answers kept.
func (p *pipeline) find(scopes, names []string, found map[onceKey]*kept) {
	if len(names) == 0 {
		return
	}
	p.add(func(r database.Rows) error {
		k, err := scanKept(r)
		found[k.key] = &k
		return err
	}, pgKept, scopes, names)
}

// answers queues the keeping of answers, in order of key.
func (p *pipeline) answers(rows [][]any) {
	slices.SortFunc(rows, func(a, b []any) int {
		if c := strings.Compare(a[0].(string), b[0].(string)); c != 0 {
			return c
		}
		return strings.Compare(a[1].(string), b[1].(string))
	})
	p.rows(pgKeep, rows)
}

// againIfMet has a batch run again that met another: one with the same key,
// whose answer is there now, or one that changed an allocation since it was
// read.
func againIfMet(err error) error {
	var refused *pgconn.PgError
	switch {
	case !errors.As(err, &refused):
		return err
	case refused.Code == "23505" && refused.ConstraintName == "parking_once_pkey":
		return errSameKey(err)
	case refused.Code == "FF002":
		return errors.Join(database.ErrRetry, err)
	default:
		return err
	}
}
