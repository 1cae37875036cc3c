package books

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/database"
)

// ledgerColumns are those that a line of the ledger holds; entries' transaction
// is the line itself.
var ledgerColumns = map[string]bool{
	"transactions.id": true, "transactions.kind": true, "transactions.pass_id": true, "transactions.charge_id": true, "transactions.money_id": true,
	"transactions.revision": true, "transactions.reverses": true, "transactions.currency": true, "transactions.posted_at": true, "transactions.posting": true,
	"entries.leg": true, "entries.account": true, "entries.amount_cents": true, "entries.transaction_id": true,
}

// A column that no line holds could be changed without anybody noticing.
func TestLedgerLinesHoldEveryColumn(t *testing.T) {
	s := openBooks(t, sqliteBooks(t))
	n := 0
	err := s.db.Direct(t.Context(), func(db database.Session) error {
		return database.Each(t.Context(), db, `SELECT m.name || '.' || p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p
			WHERE m.name IN ('transactions', 'entries')`, nil, func(r database.Rows) error {
			var name string
			err := r.Scan(&name)
			if !ledgerColumns[name] {
				t.Errorf("add %s to the end of ledgerLine, with omitempty, and to this test", name)
			}
			n++
			return err
		})
	})
	if err != nil || n != len(ledgerColumns) {
		t.Errorf("%d columns, %v", n, err)
	}
}

func sqliteBooks(t testing.TB) string { return "sqlite:" + t.TempDir() + "/books.db" }

func openBooks(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(context.Background(), url, Options{Migrate: true, Clock: clock.System{}})
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

// postCharge posts a charge of an account at an instant.
func postCharge(t testing.TB, s *Store, id string, cents int64, at time.Time) {
	t.Helper()
	_, err := s.PostCharge(context.Background(), billing.Charge{ID: id, Revision: 1, Kind: "parking", Account: "A1", Creditor: "TKO", Currency: "HKD",
		AmountCents: cents, OccurredMicros: at.UnixMicro(), Description: "stay"}, at)
	if err != nil {
		t.Fatal(err)
	}
}

func TestLedgerDaysAreProved(t *testing.T) { testLedgerDays(t, sqliteBooks(t)) }

func testLedgerDays(t *testing.T, url string) {
	ctx := context.Background()
	s := openBooks(t, url)
	trail, err := audit.Open(ctx, url, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer trail.Close()
	zone := time.FixedZone("HKT", 8*3600)
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, zone) }
	if _, found, err := s.FirstPosted(ctx); found || err != nil {
		t.Fatalf("an empty ledger begins: %v", err)
	}
	postCharge(t, s, "c2", 300, at(20, 9))
	postCharge(t, s, "c1", 250, at(20, 9)) // at one instant: in the order of ids
	postCharge(t, s, "c3", 100, at(21, 23))
	if first, found, err := s.FirstPosted(ctx); !found || err != nil || !first.Equal(at(20, 9)) {
		t.Errorf("the ledger begins %v: %v", first, err)
	}
	h := sha256.New()
	var ids []string
	err = s.Posted(ctx, at(20, 0), at(21, 0), func(p *audit.Posted) error {
		ids = append(ids, p.ID)
		h.Write(append(p.Encoding, '\n'))
		if len(ids) == 1 && !strings.Contains(string(p.Encoding), `"entries":[{"leg":"1","account":"account:A1","amount_cents":"250"},{"leg":"2","account":"operator:TKO","amount_cents":"-250"}]`) {
			t.Errorf("encoding %s", p.Encoding)
		}
		return nil
	})
	if err != nil || strings.Join(ids, " ") != "charge:c1-1-charge charge:c2-1-charge" {
		t.Errorf("order %v, %v", ids, err)
	}
	t.Log(ids, hex.EncodeToString(h.Sum(nil)))
	if n, err := trail.CloseDays(ctx, s, zone, at(22, 2), time.Hour); n != 2 || err != nil {
		t.Fatalf("closed %d days: %v", n, err)
	}
	for n := 1; n > 0; {
		if n, err = trail.Extend(ctx); err != nil {
			t.Fatal(err)
		}
	}
	postCharge(t, s, "c4", 100, at(22, 9)) // a day that is not over
	verify := func() []audit.Finding {
		t.Helper()
		r, err := trail.Verify(ctx, s, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.Findings
	}
	if f := verify(); len(f) != 0 {
		t.Fatalf("found %+v", f)
	}

	// The database's owner takes the triggers away and moves money, in a way
	// that every sum still holds.
	change := func(statements ...string) {
		t.Helper()
		err := s.db.Write(ctx, func(db database.Session) error {
			drops := []string{`DROP TRIGGER IF EXISTS entries_no_update`, `DROP TRIGGER IF EXISTS transactions_no_update`}
			if s.db.Kind() == database.PostgreSQL {
				drops = []string{`ALTER TABLE entries DISABLE TRIGGER USER`, `ALTER TABLE transactions DISABLE TRIGGER USER`}
			}
			for _, statement := range append(drops, statements...) {
				if _, err := db.Exec(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := func(what, day string) {
		t.Helper()
		f := verify()
		if len(f) != 1 || f[0].Day != day {
			t.Errorf("%s: found %+v, want the day %s", what, f, day)
		}
	}
	change(`UPDATE entries SET account = 'account:A2' WHERE account = 'account:A1' AND amount_cents = 100 AND transaction_id = 'charge:c3-1-charge'`)
	named("an entry of another account", "2026-11-21")
	change(`UPDATE entries SET account = 'account:A1' WHERE account = 'account:A2'`)
	change(`UPDATE transactions SET kind = 'toll' WHERE id = 'charge:c1-1-charge'`)
	named("a transaction of another kind", "2026-11-20")
	change(`UPDATE transactions SET kind = 'charge' WHERE id = 'charge:c1-1-charge'`)
	if f := verify(); len(f) != 0 {
		t.Fatalf("put right, found %+v", f)
	}
	postCharge(t, s, "late", 100, at(21, 12))
	f := verify()
	if len(f) != 1 || f[0].Day != "2026-11-21" || !strings.Contains(f[0].Detail, "charge:late-1-charge bears that day and was posted afterwards") {
		t.Errorf("a late posting: %+v", f)
	}
}
