package books

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/booktest"
	"freeflow/internal/clock"
	"freeflow/internal/database"
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

func TestSQLiteEngine(t *testing.T) {
	testEngine(t, sqliteURL, []string{
		`DROP TRIGGER transactions_no_update`, `DROP TRIGGER transactions_no_delete`, `DROP TRIGGER entries_no_update`, `DROP TRIGGER entries_no_delete`,
	})
}

// TestSQLitePaths: any path names a file, and that file alone.
func TestSQLitePaths(t *testing.T) {
	for _, name := range []string{"a b", "a?mode=memory", "a#b", "100%", "%41", "é粵", "it's", `back\slash`, ":memory:", "a&b=c;d+e", "..."} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		mustPost(t, openTest(t, "sqlite:"+path, testOptions()), batchAt(0, 0, passAt(1, 0)))
		again := openTest(t, "sqlite:"+path, Options{Clock: clock.System{}})
		if p, err := again.Progress(context.Background(), 0); err != nil || p.NextOffset != 1 {
			t.Errorf("%q: progress %+v, %v", name, p, err)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(f.Name(), name) || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%q: made %q with mode %v", name, f.Name(), info.Mode())
			}
		}
	}
	t.Chdir(t.TempDir())
	mustPost(t, openTest(t, "sqlite:books.db", testOptions()), batchAt(0, 0, passAt(1, 0)))
	if _, err := os.Stat("books.db"); err != nil {
		t.Error(err)
	}
}

// TestSQLiteDiskFull: a batch for which there is no room leaves nothing, says
// so in words, and can be posted once there is room.
func TestSQLiteDiskFull(t *testing.T) {
	s := openTest(t, sqliteURL(t), testOptions())
	pages := func(limit string) {
		err := s.db.Write(context.Background(), func(db database.Session) error {
			return database.Each(context.Background(), db, "PRAGMA max_page_count = "+limit, nil, func(database.Rows) error { return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	pages("400")
	var (
		next int64
		full error
	)
	batch := func() billing.Batch {
		p := passAt(int(next)+1, next*1000)
		p.Evidence = make([]byte, 20_000)
		return batchAt(0, next, p)
	}
	for full == nil && next < 1000 {
		if full = s.Post(context.Background(), batch()); full == nil {
			next++
		}
	}
	if full == nil || next == 0 || !strings.Contains(full.Error(), "no room left") || !strings.Contains(full.Error(), "free space") {
		t.Fatalf("after %d batches: %v", next, full)
	}
	if p, err := s.Progress(context.Background(), 0); err != nil || p.NextOffset != next {
		t.Errorf("progress %+v, %v, want %d", p, err, next)
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
	pages("1000000")
	mustPost(t, s, batch())
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}
