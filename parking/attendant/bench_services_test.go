//go:build services

package attendant

import (
	"fmt"
	"log/slog"
	"testing"

	"freeflow/internal/clock"
	"freeflow/internal/database/databasetest"
	"freeflow/parking/store"
)

// newPostgres opens a store in a schema of its own, which goes with the test.
func newPostgres(b *testing.B) *store.Store {
	b.Helper()
	st, err := store.Open(b.Context(), databasetest.URL(b), store.Options{Migrate: true, Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
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
