package store

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"freeflow/internal/clock"
	"freeflow/parking/storetest"
)

// testOptions are those of every store in these tests.
func testOptions() Options {
	return Options{Migrate: true, Clock: clock.At(storetest.Now), Logger: slog.New(slog.DiscardHandler)}
}

// openTest opens car parks and closes them at the end of the test.
func openTest(t testing.TB, url string, opts Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), url, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func sqliteURL(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "parking.db") }

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		url := sqliteURL(t)
		return func() storetest.Store { return openTest(t, url, testOptions()) }
	})
}
