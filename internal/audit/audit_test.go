package audit

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/internal/database"
)

// noon is when most things happen here.
var noon = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)

var clerk = Actor{Name: "Chan", Role: "finance"}

// openDB makes a database with the trail alone at the address.
func openDB(t testing.TB, url string) *database.DB {
	t.Helper()
	ctx := context.Background()
	if err := Migrate(ctx, url); err != nil {
		t.Fatal(err)
	}
	db, err := database.Open(ctx, url, database.Options{Schema: schema()})
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

func sqliteURL(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "trail.db") }

// write appends events in one transaction.
func write(t testing.TB, db *database.DB, events ...Event) {
	t.Helper()
	err := db.Write(context.Background(), func(s database.Session) error {
		for _, e := range events {
			if err := Append(context.Background(), s, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func refund(n int) Event {
	return Event{At: noon.Add(time.Duration(n) * time.Second), Actor: clerk, Action: "refund.ordered",
		Subject: Subject{Kind: "charge", ID: "c1"}, Account: "A1", Reason: "charged twice, plate AB1234",
		Detail: map[string]any{"cents": 2500 + n}, Personal: map[string]string{"plate": "AB1234"}}
}

func count(t testing.TB, db *database.DB, table string) (n int64) {
	t.Helper()
	err := db.Direct(context.Background(), func(s database.Session) error {
		_, err := database.One(context.Background(), s, `SELECT count(*) FROM `+table, nil, &n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAppendStandsOrFallsWithItsTransaction(t *testing.T) {
	db := openDB(t, sqliteURL(t))
	undone := errors.New("undone")
	err := db.Write(t.Context(), func(s database.Session) error {
		if err := Append(t.Context(), s, refund(0)); err != nil {
			return err
		}
		return undone
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	if n := count(t, db, "audit_event"); n != 0 {
		t.Errorf("%d events of a transaction that was undone", n)
	}
	write(t, db, refund(0), refund(1))
	for table, want := range map[string]int64{"audit_event": 2, "audit_private": 2, "audit_pending": 2, "audit_chain": 0} {
		if n := count(t, db, table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	db := openDB(t, sqliteURL(t))
	for name, change := range map[string]func(*Event){
		"no time":          func(e *Event) { e.At = time.Time{} },
		"no actor":         func(e *Event) { e.Actor.Name = "" },
		"no role":          func(e *Event) { e.Actor.Role = "" },
		"no subject":       func(e *Event) { e.Subject.Kind = "" },
		"action":           func(e *Event) { e.Action = "Refund" },
		"no UTF-8":         func(e *Event) { e.Account = "\xff" },
		"long reason":      func(e *Event) { e.Reason = strings.Repeat("x", maxReason+1) },
		"fraction":         func(e *Event) { e.Detail = map[string]any{"amount": 1.5} },
		"large number":     func(e *Event) { e.Detail = int64(1) << 53 },
		"large detail":     func(e *Event) { e.Detail = strings.Repeat("x", maxDetail) },
		"fraction, hidden": func(e *Event) { e.Personal = []any{map[string]any{"x": 0.1}} },
	} {
		t.Run(name, func(t *testing.T) {
			e := refund(0)
			change(&e)
			err := db.Write(t.Context(), func(s database.Session) error { return Append(t.Context(), s, e) })
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
	if n := count(t, db, "audit_event"); n != 0 {
		t.Errorf("%d events stand", n)
	}
}

func TestViewsShowAnAccountItsOwnAndEverybodys(t *testing.T) { testViews(t, sqliteURL(t)) }

func testViews(t *testing.T, url string) {
	db := openDB(t, url)
	ctx := context.Background()
	note := func(n int, accounts ...string) {
		err := db.Write(ctx, func(s database.Session) error {
			return Note(ctx, s, Access{At: noon.Add(time.Duration(n) * time.Minute), By: Actor{"operator", "operator"}, Act: Viewed,
				Page: "GET /v1/passes/{id}", Subject: Subject{"pass", "p1"}, Accounts: accounts, Records: 1, Reason: "complaint"})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	note(1, "A1", "A2", "A1")
	note(2, "A2")
	note(3, Everybody)
	note(4)
	write(t, db, refund(0))
	views := func(account, before string, limit int) (list []Seen) {
		err := db.Direct(ctx, func(s database.Session) (err error) {
			list, err = Views(ctx, s, account, before, limit)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	got := views("A1", "", 10)
	if len(got) != 2 || !got[0].Everybody || got[1].Everybody || got[1].Reason != "complaint" || got[1].Records != 1 ||
		got[1].Page != "GET /v1/passes/{id}" || !got[1].At.Equal(noon.Add(time.Minute)) || got[1].By.Role != "operator" {
		t.Errorf("A1 sees %+v", got)
	}
	if got := views("A2", "", 2); len(got) != 2 || len(views("A2", got[1].ID, 10)) != 1 {
		t.Errorf("pages: %+v", got)
	}
	for _, nobody := range []string{"", Everybody} {
		if got := views(nobody, "", 10); len(got) != 0 {
			t.Errorf("%q sees %+v", nobody, got)
		}
	}
	err := db.Write(ctx, func(s database.Session) error { return Note(ctx, s, Access{At: noon, By: clerk, Act: "peeked"}) })
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown act: %v", err)
	}
}

func TestTheTrailRefusesChange(t *testing.T) { testRefusals(t, sqliteURL(t)) }

func testRefusals(t *testing.T, url string) {
	db := openDB(t, url)
	write(t, db, refund(0))
	for _, statement := range []string{
		`UPDATE audit_event SET actor = 'x'`, `DELETE FROM audit_event`, `UPDATE audit_private SET body = ''`,
		`UPDATE audit_pending SET event_id = 'x'`,
	} {
		err := db.Write(context.Background(), func(s database.Session) error {
			_, err := s.Exec(context.Background(), statement)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
