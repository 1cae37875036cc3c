package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"freeflow/internal/database"
)

// column is one that a byte is flipped in.
type column struct {
	table, name string
	kind        byte // t text, n number, b bytes
}

var columns = []column{
	{"event", "at_micros", 'n'}, {"event", "id", 't'}, {"event", "actor", 't'}, {"event", "role", 't'}, {"event", "action", 't'},
	{"event", "subject_kind", 't'}, {"event", "subject", 't'}, {"event", "account", 't'}, {"event", "detail", 't'},
	{"event", "commitment", 'b'}, {"event", "digest", 'b'},
	{"private", "event_id", 't'}, {"private", "salt", 'b'}, {"private", "body", 't'},
	{"pending", "event_id", 't'},
	{"chain", "seq", 'n'}, {"chain", "event_id", 't'}, {"chain", "hash", 'b'},
	{"tree", "place", 'n'}, {"tree", "hash", 'b'},
	{"day", "day", 't'}, {"day", "event_id", 't'},
	{"turn", "one", 'n'},
}

// Every column of the schema is among them.
func TestColumnsAreAll(t *testing.T) {
	l := openLog(t, sqliteURL(t))
	known := map[string]bool{}
	for _, c := range columns {
		known["audit_"+c.table+"."+c.name] = true
	}
	n := 0
	err := l.db.Direct(t.Context(), func(s database.Session) error {
		return database.Each(t.Context(), s, `SELECT m.name || '.' || p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p
			WHERE m.type = 'table' AND m.name LIKE 'audit\_%' ESCAPE '\' AND m.name <> 'audit_schema'`, nil, func(r database.Rows) error {
			var name string
			err := r.Scan(&name)
			if !known[name] {
				t.Errorf("no test flips %s", name)
			}
			n++
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if n != len(columns) {
		t.Errorf("the schema has %d columns, the test %d", n, len(columns))
	}
}

// tampered is a trail that tests change, with some of everything in it.
func tampered(t testing.TB, url string) (*Log, *fakeLedger) {
	l := openLog(t, url)
	write(t, l.db, refunds(0, 5)...)
	plain := refund(9)
	plain.Reason, plain.Personal, plain.Account = "", nil, ""
	write(t, l.db, plain)
	f := threeDays(t, l)
	if _, err := l.Erase(context.Background(), "A1", noon.Add(2e9), noon, clerk); err != nil {
		t.Fatal(err)
	}
	extendAll(t, l)
	write(t, l.db, refunds(20, 3)...) // these wait
	holds(t, verify(t, l, f))
	return l, f
}

// Whatever byte of whatever column of whatever row is
// flipped, it is found.
func TestAFlippedByteIsFound(t *testing.T) { testFlips(t, sqliteURL(t)) }

func testFlips(t *testing.T, url string) {
	l, f := tampered(t, url)
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(columns).Draw(t, "column")
		undo, what, entry := flip(t, l, c)
		if undo == nil {
			return // there is nothing to flip
		}
		r, err := l.Verify(context.Background(), f, nil)
		undoErr := undo()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if undoErr != nil {
			t.Fatalf("%s: undoing: %v", what, undoErr)
		}
		if r.Holds() {
			t.Fatalf("%s: nothing was found", what)
		}
		if entry > 0 && !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Entry == entry }) {
			t.Fatalf("%s: entry %d is not named: %+v", what, entry, r.Findings)
		}
		seen[c.table+"."+c.name]++
	})
	t.Log(seen)
	holds(t, verify(t, l, f))
}

// flip changes one byte of one value and returns how to undo it, nil if the
// database refuses the change, and the number of the entry that it belongs to,
// 0 if to none.
func flip(t *rapid.T, l *Log, c column) (undo func() error, what string, entry int64) {
	ctx := context.Background()
	table := "audit_" + c.table
	var n int64
	key := map[string]string{"event": "id", "private": "event_id", "pending": "event_id", "chain": "seq", "tree": "place", "day": "day", "turn": "one"}[c.table]
	isText := key == "id" || key == "event_id" || key == "day"
	read := func(query string, args []any, dest any) {
		err := l.db.Direct(ctx, func(s database.Session) error {
			_, err := database.One(ctx, s, query, args, dest)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	read(`SELECT count(*) FROM `+table, nil, &n)
	at := rapid.Int64Range(0, n-1).Draw(t, "row")
	var (
		keyText string
		keyNum  int64
		keyArg  = func() any {
			if isText {
				return keyText
			}
			return keyNum
		}
	)
	if isText {
		read(fmt.Sprintf(`SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %d`, key, table, key, at), nil, &keyText)
	} else {
		read(fmt.Sprintf(`SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %d`, key, table, key, at), nil, &keyNum)
	}
	switch c.table {
	case "event", "private":
		read(`SELECT seq FROM audit_chain WHERE event_id = $1`, []any{keyText}, &entry)
	case "chain":
		entry = keyNum
	}
	var was, now any
	query := fmt.Sprintf(`SELECT %s FROM %s WHERE %s = $1`, c.name, table, key)
	bit := byte(1) << rapid.IntRange(0, 7).Draw(t, "bit")
	switch c.kind {
	case 'n':
		var v int64
		read(query, []any{keyArg()}, &v)
		was, now = v, v^(int64(bit)<<(8*rapid.IntRange(0, 6).Draw(t, "byte")))
	case 'b':
		var v []byte
		read(query, []any{keyArg()}, &v)
		if len(v) == 0 {
			was, now = []byte{}, []byte{bit}
			break
		}
		changed := append([]byte{}, v...)
		changed[rapid.IntRange(0, len(v)-1).Draw(t, "byte")] ^= bit
		was, now = v, changed
	default:
		var v string
		read(query, []any{keyArg()}, &v)
		if v == "" {
			was, now = v, string(rune('a'+bit%26))
			break
		}
		changed := []byte(v)
		changed[rapid.IntRange(0, len(v)-1).Draw(t, "byte")] ^= bit
		if l.db.Kind() == database.PostgreSQL && !utf8.Valid(changed) {
			return nil, "", 0
		}
		was, now = v, string(changed)
	}
	set := func(from, to any, where any) error {
		tamperT := fmt.Sprintf(`UPDATE %s SET %s = $1 WHERE %s = $2`, table, c.name, key)
		return l.db.Write(ctx, func(s database.Session) error {
			if err := unguard(ctx, l, s); err != nil {
				return err
			}
			changed, err := s.Exec(ctx, tamperT, to, where)
			if err == nil && changed != 1 {
				err = fmt.Errorf("%d rows changed from %v", changed, from)
			}
			return err
		})
	}
	if err := set(was, now, keyArg()); err != nil {
		if database.IsDuplicate(err) || strings.Contains(err.Error(), "out of range") {
			return nil, "", 0
		}
		t.Fatal(err)
	}
	what = fmt.Sprintf("%s.%s of row %v from %v to %v", table, c.name, keyArg(), was, now)
	back := keyArg()
	if c.name == key {
		back = now
	}
	return func() error { return set(now, was, back) }, what, entry
}

// unguard takes the triggers away, as the database's owner could.
func unguard(ctx context.Context, l *Log, s database.Session) error {
	for _, table := range tables {
		drops := []string{"DROP TRIGGER IF EXISTS audit_" + table + "_no_update", "DROP TRIGGER IF EXISTS audit_" + table + "_no_delete"}
		if l.db.Kind() == database.PostgreSQL {
			drops = []string{"ALTER TABLE audit_" + table + " DISABLE TRIGGER USER"}
		}
		for _, drop := range drops {
			if _, err := s.Exec(ctx, drop); err != nil {
				return err
			}
		}
	}
	return nil
}
