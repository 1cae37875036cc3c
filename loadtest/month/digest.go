package month

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL for database/sql
	_ "modernc.org/sqlite"             // SQLite for database/sql
)

// content is what a table holds: how many rows, and the sum of their hashes,
// which knows no order.
type content struct {
	rows int64
	sum  [4]uint64
}

// restless are columns that say when a job looks again, and no more.
var restless = map[string]bool{"recovery_case.next_at": true, "recovery_case.due_day": true}

// digest reads every table of a database. It looks at the database itself and
// knows nothing of what is in it.
func digest(ctx context.Context, url string) (_ map[string]content, err error) {
	driver, address, tables := "pgx", url, `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, address = "sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)"
		tables = `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		return nil, fmt.Errorf("opening the database to read it whole: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	names, err := texts(ctx, db, tables)
	if err != nil {
		return nil, err
	}
	all := map[string]content{}
	for _, name := range names {
		if all[name], err = digestTable(ctx, db, name); err != nil {
			return nil, fmt.Errorf("reading table %s: %w", name, err)
		}
	}
	return all, nil
}

func texts(ctx context.Context, db *sql.DB, query string) (list []string, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

func digestTable(ctx context.Context, db *sql.DB, name string) (c content, err error) {
	rows, err := db.QueryContext(ctx, `SELECT * FROM "`+name+`"`)
	if err != nil {
		return c, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return c, err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return c, err
		}
		h := sha256.New()
		for i, column := range columns {
			if !restless[name+"."+column] {
				fmt.Fprintf(h, "%T %v\x00", values[i], values[i])
			}
		}
		c.rows++
		digest := h.Sum(nil)
		for i := range c.sum {
			for k := range 8 {
				c.sum[i] += uint64(digest[8*i+k]) << (8 * k)
			}
		}
	}
	return c, rows.Err()
}
