//go:build services

package database

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// schemas counts the schemas made by this process.
var schemas atomic.Int64

// postgresURL makes a schema of its own for a test and drops it afterwards.
func postgresURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv("FREEFLOW_TEST_POSTGRES")
	if server == "" {
		t.Fatal("FREEFLOW_TEST_POSTGRES is not set: give the postgres:// address of a database where schemas may be created")
	}
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal("connecting to FREEFLOW_TEST_POSTGRES failed")
	}
	name := fmt.Sprintf("freeflow_database_%d_%d", os.Getpid(), schemas.Add(1))
	if _, err := admin.Exec(ctx, "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(ctx, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			t.Error(err)
		}
		if err := admin.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("FREEFLOW_TEST_POSTGRES is no URL")
	}
	query := u.Query()
	query.Set("search_path", name)
	u.RawQuery = query.Encode()
	return u.String()
}

func TestPostgres(t *testing.T) { testEngine(t, postgresURL, PostgreSQL) }

// TestPostgresRaw: a raw connection is in no transaction, and none that failed
// is left behind on it.
func TestPostgresRaw(t *testing.T) {
	db := openTest(t, postgresURL(t), shelf("books"))
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
