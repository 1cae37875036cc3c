//go:build services

package attendant

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"freeflow/internal/clock"
	"freeflow/parking/store"
)

// schemas counts the schemas made by this process.
var schemas atomic.Int64

// newPostgres opens a store in a schema of its own, which goes with the test.
func newPostgres(b *testing.B) *store.Store {
	b.Helper()
	server := os.Getenv("FREEFLOW_TEST_POSTGRES")
	u, err := url.Parse(server)
	if server == "" || err != nil {
		b.Fatal("FREEFLOW_TEST_POSTGRES is not set; run it within deploy/local/services run")
	}
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, server)
	if err != nil {
		b.Fatal("connecting to FREEFLOW_TEST_POSTGRES failed")
	}
	name := fmt.Sprintf("freeflow_attendant_%d_%d", os.Getpid(), schemas.Add(1))
	if _, err := admin.Exec(ctx, "CREATE SCHEMA "+name); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if _, err := admin.Exec(ctx, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			b.Error(err)
		}
		if err := admin.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	query := u.Query()
	query.Set("search_path", name)
	u.RawQuery = query.Encode()
	st, err := store.Open(ctx, u.String(), store.Options{Migrate: true, Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	})
	return st
}

func BenchmarkAllocationsPostgreSQL(b *testing.B) {
	for _, callers := range []int{16, 64, 96} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) { benchAllocations(b, newPostgres(b), callers) })
	}
}
