//go:build services

package carparks

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestPostgreSQL(t *testing.T) {
	address := freshSchema(t)
	run(t, books{url: address, pairs: func(ctx context.Context, query string) ([][2]string, error) {
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			return nil, err
		}
		defer conn.Close(ctx)
		rows, err := conn.Query(ctx, query)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (pair [2]string, err error) {
			return pair, row.Scan(&pair[0], &pair[1])
		})
	}}, effort{rushKills: 4, roundKills: 5, leavesABay: 8})
}

// freshSchema makes a schema of its own for the test and drops it afterwards.
func freshSchema(t *testing.T) string {
	t.Helper()
	address := os.Getenv("FREEFLOW_TEST_POSTGRES")
	if address == "" {
		t.Fatal("FREEFLOW_TEST_POSTGRES is not set; run 'make test-services'")
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("FREEFLOW_TEST_POSTGRES is no URL")
	}
	name := fmt.Sprintf("freeflow_proof_%d", os.Getpid())
	admin := func(ctx context.Context, statement string) {
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			t.Fatal("connecting to FREEFLOW_TEST_POSTGRES failed")
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Error(err)
		}
	}
	admin(t.Context(), "CREATE SCHEMA "+name)
	// The test's own context has ended by the time of the cleanup.
	t.Cleanup(func() { admin(context.WithoutCancel(t.Context()), "DROP SCHEMA "+name+" CASCADE") })
	query := u.Query()
	query.Set("search_path", name)
	u.RawQuery = query.Encode()
	return u.String()
}
