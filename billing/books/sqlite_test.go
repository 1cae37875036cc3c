package books

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"freeflow/billing/booktest"
	"freeflow/internal/clock"
)

// testOptions are those of every store in these tests.
func testOptions() Options {
	return Options{Migrate: true, Clock: clock.At(time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)), Logger: slog.New(slog.DiscardHandler)}
}

// openTest opens books and closes them at the end of the test.
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

func sqliteURL(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "books.db") }

func TestSQLite(t *testing.T) {
	booktest.Run(t, func(t *testing.T) booktest.Books { return openTest(t, sqliteURL(t), testOptions()) })
}
