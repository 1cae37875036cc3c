//go:build services

package store

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"freeflow/parking/storetest"
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
	name := fmt.Sprintf("freeflow_parking_%d_%d", os.Getpid(), schemas.Add(1))
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

func freshPostgres(t *testing.T) func() storetest.Store {
	url := postgresURL(t)
	return func() storetest.Store { return openTest(t, url, testOptions()) }
}

func TestPostgres(t *testing.T) { storetest.Run(t, freshPostgres) }

func TestPostgresWriters(t *testing.T) { storetest.RunSeveralWriters(t, freshPostgres) }

func BenchmarkAllocatePostgres(b *testing.B) {
	for _, clients := range []int{64, 128} {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("clients=%d/workers=%d", clients, workers), func(b *testing.B) {
				benchAllocate(b, openTest(b, postgresURL(b), testOptions()), clients, workers, false)
			})
		}
	}
	b.Run("with commands", func(b *testing.B) {
		benchAllocate(b, openTest(b, postgresURL(b), testOptions()), 96, 2, true)
	})
}
