package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"
)

// shelf is the schema of a small store; each name has its own tables, so that
// several live in one database.
func shelf(name string) Schema {
	return Schema{
		Name: name, Table: name + "_schema", Want: 2,
		Migrations: fstest.MapFS{
			"00001_shelf.sql":        {Data: []byte("-- +goose Up\nCREATE TABLE " + name + " (id bigint NOT NULL PRIMARY KEY, n bigint NOT NULL, label text NOT NULL);\n")},
			"00002_shelf.sqlite.sql": {Data: []byte("-- +goose Up\nCREATE TABLE " + name + "_only_here (id bigint);\n")},
			"00002_shelf.postgres.sql": {Data: []byte("-- +goose Up\nCREATE TABLE " + name + "_only_here (id bigint);\n" +
				"ALTER TABLE " + name + " SET (fillfactor = 50);\n")},
		},
	}
}

func options(s Schema) Options { return Options{Schema: s, Logger: slog.New(slog.DiscardHandler)} }

// openTest migrates and opens a database and closes it at the end of the test.
func openTest(t testing.TB, url string, s Schema) *DB {
	t.Helper()
	ctx := context.Background()
	if err := Migrate(ctx, url, s); err != nil {
		t.Fatal(err)
	}
	db, err := Open(ctx, url, options(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func sqliteURL(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "one.db") }

func TestSQLite(t *testing.T) { testEngine(t, sqliteURL, SQLite) }

// testEngine runs what every engine must do; address makes an empty place.
func testEngine(t *testing.T, address func(t testing.TB) string, kind Kind) {
	t.Run("sessions", func(t *testing.T) {
		db := openTest(t, address(t), shelf("books"))
		if db.Kind() != kind {
			t.Errorf("kind %d, want %d", db.Kind(), kind)
		}
		testSessions(t, db)
	})
	t.Run("all or nothing", func(t *testing.T) { testAllOrNothing(t, openTest(t, address(t), shelf("books"))) })
	t.Run("versions", func(t *testing.T) { testVersions(t, address(t)) })
	t.Run("two stores write to one database", func(t *testing.T) { testTwoStores(t, address(t)) })
	t.Run("two stores migrate at once", func(t *testing.T) {
		url := address(t)
		var wg sync.WaitGroup
		for _, name := range []string{"books", "garages", "books", "garages"} {
			wg.Go(func() {
				if err := Migrate(t.Context(), url, shelf(name)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func testSessions(t *testing.T, db *DB) {
	ctx := t.Context()
	labels := []string{"plain", "", "zero \x00 and one \x01", "粵"}
	err := db.Write(ctx, func(s Session) error {
		i := 0
		return s.Bulk(ctx, "books", []string{"id", "n", "label"}, func() ([]any, bool) {
			if i == 120 {
				return nil, false
			}
			i++
			return []any{int64(i), int64(0), labels[i%len(labels)]}, true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Read(ctx, func(s Session) error {
		n := 0
		err := Each(ctx, s, `SELECT id, label FROM books WHERE id IN (`+Placeholders(1, 120)+`) ORDER BY id`, numbers(120), func(r Rows) error {
			var (
				id    int64
				label string
			)
			err := r.Scan(&id, &label)
			if n++; id != int64(n) || label != labels[n%len(labels)] {
				t.Errorf("row %d is %d, %q", n, id, label)
			}
			return err
		})
		if n != 120 {
			t.Errorf("%d rows", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Direct(ctx, func(s Session) error {
		var label string
		if found, err := One(ctx, s, `SELECT label FROM books WHERE label = $1`, []any{labels[2]}, &label); err != nil || !found || label != labels[2] {
			t.Errorf("found %v %q, %v", found, label, err)
		}
		found, err := One(ctx, s, `SELECT label FROM books WHERE id = $1`, []any{int64(-1)}, &label)
		if found {
			t.Error("found what is not there")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, read := range []func(context.Context, func(Session) error) error{db.Read, db.Direct} {
		err := read(ctx, func(s Session) error {
			_, err := s.Exec(ctx, `DELETE FROM books`)
			return err
		})
		if err == nil {
			t.Error("a reader wrote")
		}
	}
	err = db.Write(ctx, func(s Session) error {
		_, err := s.Exec(ctx, `INSERT INTO books (id, n, label) VALUES (1, 0, '')`)
		return err
	})
	if !IsDuplicate(err) || IsDuplicate(errors.New("other")) {
		t.Errorf("a second row of one key: %v", err)
	}
}

func numbers(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = int64(i + 1)
	}
	return list
}

// testAllOrNothing: what a function did before it failed is undone, also where
// its context ended; where it asks to be run again it is, and once only counts.
func testAllOrNothing(t *testing.T, db *DB) {
	put := func(ctx context.Context, s Session, id int) error {
		_, err := s.Exec(ctx, `INSERT INTO books (id, n, label) VALUES ($1, 0, '')`, int64(id))
		return err
	}
	broken := errors.New("broken")
	if err := db.Write(t.Context(), func(s Session) error { return errors.Join(put(t.Context(), s, 1), broken) }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Write(ctx, func(s Session) error {
		err := put(ctx, s, 2)
		cancel()
		return err
	})
	if err == nil {
		t.Error("committed after its context had ended")
	}
	tries := 0
	err = db.Write(t.Context(), func(s Session) error {
		if tries++; tries < 3 {
			return errors.Join(put(t.Context(), s, 10+tries), ErrRetry)
		}
		return put(t.Context(), s, 3)
	})
	if err != nil || tries != 3 {
		t.Errorf("%d tries, %v", tries, err)
	}
	var n, sum int64
	err = db.Direct(t.Context(), func(s Session) error {
		_, err := One(t.Context(), s, `SELECT count(*), CAST(sum(id) AS bigint) FROM books`, nil, &n, &sum)
		return err
	})
	if err != nil || n != 1 || sum != 3 {
		t.Errorf("%d rows that sum to %d, %v", n, sum, err)
	}
}

func testVersions(t *testing.T, url string) {
	ctx := t.Context()
	refused := func(s Schema, want string) {
		t.Helper()
		db, err := Open(ctx, url, options(s))
		if err == nil {
			db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("opened with %v, want %q", err, want)
		}
	}
	s := shelf("garages")
	refused(s, "there are no garages")
	openTest(t, url, s)
	refused(shelf("books"), "there are no books")
	older := s
	older.Want = 1
	refused(older, "the garages have schema 2, newer than the 1")
	if err := Migrate(ctx, url, older); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("an older program migrated: %v", err)
	}
	newer := s
	newer.Want = 3
	refused(newer, "run `freeflow migrate`")
}

// testTwoStores: the writers of two stores of one process, on one database,
// wait for each other, whatever one does in its transaction.
func testTwoStores(t *testing.T, url string) {
	const each = 60
	names := []string{"books", "garages"}
	stores := []*DB{openTest(t, url, shelf(names[0])), openTest(t, url, shelf(names[1]))}
	ctx := t.Context()
	var wg sync.WaitGroup
	for i, db := range stores {
		err := db.Write(ctx, func(s Session) error {
			_, err := s.Exec(ctx, `INSERT INTO `+names[i]+` (id, n, label) VALUES (1, 0, '')`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			wg.Go(func() {
				for range each {
					// A read before the write: without BEGIN IMMEDIATE, SQLite
					// would refuse at once what it should wait for.
					err := db.Write(ctx, func(s Session) error {
						var n int64
						if _, err := One(ctx, s, `SELECT n FROM `+names[i]+` WHERE id = 1`, nil, &n); err != nil {
							return err
						}
						_, err := s.Exec(ctx, `UPDATE `+names[i]+` SET n = n + 1 WHERE id = 1`)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for i, db := range stores {
		var n int64
		err := db.Direct(ctx, func(s Session) error {
			_, err := One(ctx, s, `SELECT n FROM `+names[i]+` WHERE id = 1`, nil, &n)
			return err
		})
		if err != nil || n != 2*each {
			t.Errorf("%s counted %d, %v, want %d", names[i], n, err, 2*each)
		}
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"":                                "the address of the garages must begin with sqlite: or postgres://",
		"mysql://root:secret@h/db":        `the address of the garages begins with "mysql:"`,
		"sqlite:":                         "the address of the garages lacks the path",
		"postgres://u:secret@h:notaport/": "the address of the garages is not a PostgreSQL one",
	} {
		for name, err := range map[string]error{
			"open":    func() error { _, err := Open(t.Context(), address, options(shelf("garages"))); return err }(),
			"migrate": Migrate(t.Context(), address, shelf("garages")),
		} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s %q: %v, want %q", name, address, err, want)
			}
		}
	}
}

func TestPostgresOfAnotherEngine(t *testing.T) {
	db := openTest(t, sqliteURL(t), shelf("books"))
	if err := db.Postgres(t.Context(), nil); err == nil {
		t.Error("gave a PostgreSQL connection to SQLite")
	}
}

func TestPlaceholders(t *testing.T) {
	for _, c := range []struct {
		from, n int
		want    string
	}{{1, 0, ""}, {1, 1, "$1"}, {9, 3, "$9, $10, $11"}} {
		if got := Placeholders(c.from, c.n); got != c.want {
			t.Errorf("%d from %d: %q, want %q", c.n, c.from, got, c.want)
		}
	}
}

func TestRetryIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		tries int
	}{"asked to": {fmt.Errorf("busy: %w", ErrRetry), 3}, "not asked to": {errors.New("broken"), 1}, "good": {nil, 1}} {
		tries := 0
		err := retry(context.Background(), slog.New(slog.DiscardHandler), 3, func() error { tries++; return c.err })
		if tries != c.tries || !errors.Is(err, c.err) {
			t.Errorf("%s: %d tries, %v", name, tries, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	tries := 0
	err := retry(ctx, slog.New(slog.DiscardHandler), 1000, func() error { tries++; cancel(); return ErrRetry })
	if tries != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %d tries, %v", tries, err)
	}
}

// TestPostgresTextKeepsEverything: the writing of text is one-to-one, free of
// zeros, and keeps the order of bytes.
func TestPostgresTextKeepsEverything(t *testing.T) {
	draw := rapid.SliceOf(rapid.SampledFrom([]rune{0, 1, 2, 'A', 'é', '粵'}))
	rapid.Check(t, func(t *rapid.T) {
		a, b := string(draw.Draw(t, "a")), string(draw.Draw(t, "b"))
		x, y := EncodeText(a), EncodeText(b)
		if strings.Contains(x, "\x00") || decodeText(x) != a {
			t.Fatalf("%q is written %q and read %q", a, x, decodeText(x))
		}
		if strings.Compare(a, b) != strings.Compare(x, y) {
			t.Fatalf("%q and %q are written %q and %q", a, b, x, y)
		}
	})
}
