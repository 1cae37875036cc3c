//go:build services

package database

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"freeflow/internal/database/databasetest"
)

func TestPostgres(t *testing.T) { testEngine(t, databasetest.URL, PostgreSQL) }

// TestPostgresRaw: a raw connection is in no transaction, and none that failed
// is left behind on it.
func TestPostgresRaw(t *testing.T) {
	db := openTest(t, databasetest.URL(t), shelf("books"))
	ctx := t.Context()
	tries := 0
	err := db.Postgres(ctx, func(conn *pgx.Conn) error {
		if status := conn.PgConn().TxStatus(); status != 'I' {
			t.Errorf("got a connection in state %c", status)
		}
		b := &pgx.Batch{}
		b.Queue("BEGIN")
		b.Queue(`INSERT INTO books (id, n, label) VALUES ($1, 0, $2)`, EncodeArgs([]any{int64(tries), "\x00"})...)
		if tries++; tries == 1 {
			return errors.Join(conn.SendBatch(ctx, b).Close(), ErrRetry)
		}
		b.Queue("COMMIT")
		return conn.SendBatch(ctx, b).Close()
	})
	if err != nil || tries != 2 {
		t.Fatalf("%d tries, %v", tries, err)
	}
	err = db.Postgres(ctx, func(conn *pgx.Conn) error {
		return Each(ctx, PostgresSession(conn), `SELECT id, label FROM books`, nil, func(r Rows) error {
			var (
				id    int64
				label string
			)
			err := r.Scan(&id, &label)
			if id != 1 || label != "\x00" {
				t.Errorf("row %d, %q", id, label)
			}
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
