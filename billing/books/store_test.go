package books

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// passAt is a new pass of one vehicle, charged 8.00 to acc-1.
func passAt(n int, at int64) billing.Pass {
	const base = 1_795_392_000_000_000
	return billing.Pass{
		ID: fmt.Sprintf("%032x", n), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "AB1234", Registered: true,
		FirstMicros: base + at*1_000_000, LastMicros: base + at*1_000_000, Revision: 1, Status: billing.StatusCharged,
		Class: "private_car", Account: "acc-1", AmountCents: 800, Currency: "HKD", Rule: "r", TariffVersion: "v",
	}
}

// batchAt makes a batch of one read a pass from an offset.
func batchAt(partition int, from int64, passes ...billing.Pass) billing.Batch {
	return billing.Batch{
		Partition: partition, From: from, To: from + 1, MaxMicros: 1, Gap: 60_000_000, Passes: passes,
		PostedAt: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
	}
}

func mustPost(t testing.TB, s *Store, b billing.Batch) {
	t.Helper()
	if err := s.Post(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

// violated returns the invariants that do not hold.
func violated(t testing.TB, s *Store) map[string]string {
	t.Helper()
	checks, err := s.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	broken := map[string]string{}
	for _, c := range checks {
		for _, v := range c.Violations {
			broken[v.Invariant] += v.Detail + "\n"
		}
	}
	return broken
}

// tamper runs statements behind the store's back.
func tamper(t testing.TB, s *Store, statements ...string) {
	t.Helper()
	err := s.db.Write(context.Background(), func(db database.Session) error {
		for _, statement := range statements {
			if _, err := db.Exec(context.Background(), statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testEngine runs what every engine must do and the contract does not show.
// address makes a place for books that are not there yet; unlock gives the
// statements that take the append-only triggers away.
func testEngine(t *testing.T, address func(t testing.TB) string, unlock []string) {
	t.Run("schema", func(t *testing.T) { testSchema(t, address(t)) })
	t.Run("append only", func(t *testing.T) { testAppendOnly(t, openTest(t, address(t), testOptions())) })
	t.Run("books of schema 3", func(t *testing.T) { testUpgrade(t, address(t)) })
	t.Run("books from before receivables", func(t *testing.T) { testMoneyUpgrade(t, openTest(t, address(t), testOptions())) })
	t.Run("refusals", func(t *testing.T) { testRefusals(t, openTest(t, address(t), testOptions())) })
	t.Run("cancelled on the way", func(t *testing.T) { testCancelled(t, openTest(t, address(t), testOptions())) })
	t.Run("two stores on one database", func(t *testing.T) { testTwoStores(t, address(t)) })
	for _, damage := range slices.Concat(damages, chargeDamages, moneyDamages) {
		t.Run("verify finds "+damage.name, func(t *testing.T) {
			s := openTest(t, address(t), testOptions())
			fillBooks(t, s)
			if broken := violated(t, s); len(broken) != 0 {
				t.Fatalf("broken before the damage: %v", broken)
			}
			tamper(t, s, append(append([]string(nil), unlock...), damage.statements...)...)
			broken := violated(t, s)
			if !strings.Contains(broken[damage.invariant], damage.names) || broken[damage.invariant] == "" {
				t.Errorf("found %v, want %s naming %q", broken, damage.invariant, damage.names)
			}
		})
	}
}

func testSchema(t *testing.T, url string) {
	ctx := context.Background()
	opts := testOptions()
	opts.Migrate = false
	refused := func(want string) {
		t.Helper()
		s, err := Open(ctx, url, opts)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("opened with %v, want %q", err, want)
		}
	}
	refused("run `freeflow migrate`")
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := Migrate(ctx, url); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := openTest(t, url, opts)
	mustPost(t, s, batchAt(0, 0, passAt(1, 0)))
	id := s.ID()
	if err := Migrate(ctx, url); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, url, testOptions())
	if again.ID() != id || id == "" {
		t.Errorf("the identity went from %q to %q", id, again.ID())
	}
	if p, err := again.Progress(ctx, 0); err != nil || p.NextOffset != 1 {
		t.Errorf("progress %+v, %v", p, err)
	}
	tamper(t, s, fmt.Sprintf(`DELETE FROM %s WHERE version_id = %d`, versionTable, schema().Want))
	refused("make a backup and run `freeflow migrate`")
	tamper(t, s, fmt.Sprintf(`INSERT INTO %s (version_id, is_applied) VALUES (%d, true)`, versionTable, schema().Want+1))
	refused("use the newer freeflow")
	if err := Migrate(ctx, url); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("migrating newer books: %v", err)
	}
}

func testAppendOnly(t *testing.T, s *Store) {
	mustPost(t, s, batchAt(0, 0, passAt(1, 0)))
	for _, statement := range []string{
		`UPDATE entries SET amount_cents = 0`, `DELETE FROM entries`, `UPDATE transactions SET kind = 'x'`, `DELETE FROM transactions`,
	} {
		err := s.db.Write(context.Background(), func(db database.Session) error {
			_, err := db.Exec(context.Background(), statement)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "only ever added to") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}

// testCancelled breaks posts off at every moment: each is posted or not, never
// in part, and whoever posts learns which from Progress.
func testCancelled(t *testing.T, s *Store) {
	ctx := context.Background()
	posted, broken := 0, 0
	var next int64
	for i := range 60 {
		var passes []billing.Pass
		for j := range 30 {
			p := passAt(i*30+j+1, int64(i)*1000)
			p.Vehicle = fmt.Sprint("V", j)
			passes = append(passes, p)
		}
		cut, cancel := context.WithTimeout(ctx, time.Duration(i)*200*time.Microsecond)
		err := s.Post(cut, batchAt(0, next, passes...))
		cancel()
		progress, readErr := s.Progress(ctx, 0)
		if readErr != nil {
			t.Fatal(readErr)
		}
		switch {
		case progress.NextOffset == next+1:
			posted++
		case progress.NextOffset == next && err != nil:
			broken++
		default:
			t.Fatalf("attempt %d: %v, and progress went from %d to %d", i, err, next, progress.NextOffset)
		}
		next = progress.NextOffset
	}
	if broken == 0 {
		t.Error("nothing was broken off")
	}
	totals, err := s.Totals(ctx)
	if err != nil || totals.Passes != int64(posted*30) {
		t.Errorf("%d batches posted, totals %+v, %v", posted, totals, err)
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}

// testTwoStores posts from two stores, as from two processes.
func testTwoStores(t *testing.T, url string) {
	stores := []*Store{openTest(t, url, testOptions()), openTest(t, url, testOptions())}
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			for n := range 25 {
				p := passAt(i*1000+n+1, int64(n)*1000)
				p.Vehicle = fmt.Sprint("V", i)
				if err := s.Post(context.Background(), batchAt(i, int64(n), p)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	list, err := stores[0].Balances(context.Background(), []string{"account:acc-1"})
	if err != nil || len(list) != 1 || list[0].AmountCents != 50*800 {
		t.Errorf("balances %+v, %v", list, err)
	}
	if broken := violated(t, stores[1]); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}

// fillBooks posts a little of everything: pass 1 charged, 2 charged anew, 3
// swallowed by 4, 5 decided, 6 under review.
func fillBooks(t *testing.T, s *Store) {
	one, two, three, four, five, six := passAt(1, 0), passAt(2, 500), passAt(3, 1000), passAt(4, 1500), passAt(5, 2000), passAt(6, 2500)
	for _, p := range []*billing.Pass{&five, &six} {
		p.Status, p.AmountCents, p.Account = billing.StatusReview, 0, ""
	}
	one.Marks = []string{"plate:X", "tag:Y"}
	mustPost(t, s, batchAt(0, 0, one, two, three, four, five, six))
	two.Revision, two.AmountCents = 2, 2000
	three.Revision, three.MergedInto = 2, four.ID
	mustPost(t, s, batchAt(0, 1, two, three))
	d := billing.Decision{Status: billing.StatusCharged, Account: "acc-2", AmountCents: 500, By: "ops", At: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)}
	if _, err := s.Decide(context.Background(), five.ID, 1, d); err != nil {
		t.Fatal(err)
	}
	fillCharges(t, s)
	fillMoney(t, s)
}

// firstToll is the first transaction of fillBooks' first pass.
var firstToll = fmt.Sprintf("%032x-1-toll", 1)

// damage is one way to break the books; the invariant must name what is broken.
type damage struct {
	name, invariant, names string
	statements             []string
}

// damages are ways to break the books, with the invariant that must name what
// is broken.
var damages = []damage{
	{"an entry changed", "transaction-sums-to-zero", firstToll,
		[]string{`UPDATE entries SET amount_cents = 900 WHERE leg = 1 AND transaction_id = '` + firstToll + `'`}},
	{"an entry changed in sum", "ledger-sums-to-zero", "HKD",
		[]string{`UPDATE entries SET amount_cents = 900 WHERE leg = 1 AND transaction_id = '` + firstToll + `'`}},
	{"an entry moved to another account", "balance-equals-entries", "account:acc-1",
		[]string{`UPDATE entries SET account = 'account:thief' WHERE leg = 1 AND transaction_id = '` + firstToll + `'`}},
	{"a balance changed", "balance-equals-entries", "account:acc-2", []string{`UPDATE balance SET amount_cents = 77 WHERE account = 'account:acc-2'`}},
	{"a balance lost", "balance-equals-entries", "operator:CHT", []string{`DELETE FROM balance WHERE account = 'operator:CHT'`}},
	{"a pass made cheaper", "pass-owes-live-transaction", passAt(1, 0).ID, []string{`UPDATE pass SET amount_cents = 1 WHERE id = '` + passAt(1, 0).ID + `'`}},
	{"a pass made another's", "pass-owes-live-transaction", "account:acc-9", []string{`UPDATE pass SET account = 'acc-9' WHERE id = '` + passAt(1, 0).ID + `'`}},
	{"a pass made exempt", "pass-owes-live-transaction", passAt(2, 0).ID, []string{`UPDATE pass SET status = 'exempt' WHERE id = '` + passAt(2, 0).ID + `'`}},
	{"a live transaction forgotten", "pass-owes-live-transaction", passAt(2, 0).ID, []string{`UPDATE pass SET toll_revision = 9 WHERE id = '` + passAt(2, 0).ID + `'`}},
	{"a charge without a pass", "no-orphans", firstToll, []string{`DELETE FROM pass WHERE id = '` + passAt(1, 0).ID + `'`}},
	{"an entry without a transaction", "no-orphans", firstToll, []string{`DELETE FROM transactions WHERE id = '` + firstToll + `'`}},
	{"a transaction without entries", "transaction-sums-to-zero", firstToll, []string{`DELETE FROM entries WHERE transaction_id = '` + firstToll + `'`}},
	{"a second toll", "pass-owes-live-transaction", passAt(1, 0).ID, []string{
		`INSERT INTO transactions (id, kind, pass_id, revision, currency, reverses, posted_at, posting) VALUES ('x', 'toll', '` + passAt(1, 0).ID + `', 1, 'HKD', '', 0, 1)`,
		`INSERT INTO entries (transaction_id, leg, account, amount_cents) VALUES ('x', 1, 'account:acc-1', 5), ('x', 2, 'operator:CHT', -5)`}},
	{"a reversal of nothing", "reversal-undoes-its-toll", passAt(2, 0).ID, []string{`UPDATE transactions SET reverses = 'gone' WHERE kind = 'reversal' AND pass_id = '` + passAt(2, 0).ID + `'`}},
	{"a reversal of half", "reversal-undoes-its-toll", passAt(2, 0).ID, []string{
		`UPDATE entries SET amount_cents = amount_cents / 2 WHERE transaction_id = '` + passAt(2, 0).ID + `-2-reversal'`}},
	{"passes that overlap", "no-overlapping-passes", passAt(2, 0).ID, []string{`UPDATE pass SET last_micros = last_micros + 470000000 WHERE id = '` + passAt(1, 0).ID + `'`}},
	{"a pass longer than said", "facility-bounds-its-passes", passAt(1, 0).ID, []string{`UPDATE pass SET last_micros = last_micros + 1 WHERE id = '` + passAt(1, 0).ID + `'`}},
	{"a revision lost", "revisions-continuous", passAt(2, 0).ID, []string{`DELETE FROM pass_revision WHERE pass_id = '` + passAt(2, 0).ID + `'`}},
	{"a pass set back", "revisions-continuous", passAt(2, 0).ID, []string{`UPDATE pass SET revision = 1 WHERE id = '` + passAt(2, 0).ID + `'`}},
	{"a decision lost", "revisions-continuous", passAt(5, 0).ID, []string{`DELETE FROM decision`}},
	{"a decision invented", "revisions-continuous", passAt(6, 0).ID, []string{`UPDATE decision SET pass_id = '` + passAt(6, 0).ID + `'`}},
	{"an event lost", "outbox-equals-postings", "", []string{`DELETE FROM outbox WHERE id = (SELECT min(id) FROM outbox)`}},
	{"an event of nothing", "outbox-equals-postings", "announces", []string{`UPDATE outbox SET transactions = 7 WHERE id = (SELECT min(id) FROM outbox)`}},
	{"a swallowed pass without its swallower", "merged-passes-owe-nothing", passAt(3, 0).ID, []string{`UPDATE pass SET merged_into = 'gone' WHERE merged_into <> ''`}},
	{"a swallowed pass that came back", "pass-owes-live-transaction", passAt(3, 0).ID, []string{`UPDATE pass SET merged_into = '' WHERE merged_into <> ''`}},
	{"a mark lost", "marks-are-found", passAt(1, 0).ID, []string{`DELETE FROM pass_mark WHERE mark = 'plate:X'`}},
	{"a mark that leads astray", "marks-are-found", passAt(2, 0).ID, []string{
		`INSERT INTO pass_mark (facility, mark, first_micros, pass_id) VALUES ('CHT', 'plate:Q', 1, '` + passAt(2, 0).ID + `')`}},
}

func TestVerifyBoundsWhatItNames(t *testing.T) {
	s := openTest(t, sqliteURL(t), testOptions())
	var passes []billing.Pass
	for i := range 60 {
		passes = append(passes, passAt(i+1, int64(i)*100))
	}
	mustPost(t, s, batchAt(0, 0, passes...))
	tamper(t, s, `UPDATE pass SET toll_revision = 5`)
	checks, err := s.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if c.Invariant == "pass-owes-live-transaction" {
			if len(c.Violations) != shownViolations+1 || c.Violations[shownViolations].Detail != "and 40 more" || c.Rows != 60 {
				t.Errorf("%d violations of %d rows, the last %q", len(c.Violations), c.Rows, c.Violations[len(c.Violations)-1].Detail)
			}
		}
	}
}

func TestBadAddresses(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte(strings.Repeat("no books here\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"":                                "must begin with sqlite: or postgres://",
		"mysql://root:secret@h/db":        `begins with "mysql:"`,
		"sqlite:":                         "lacks the path",
		"sqlite:" + dir + "/none":         "run `freeflow migrate`",
		"sqlite:" + dir + "/text":         "not a SQLite file",
		"postgres://u:secret@h:notaport/": "is not a PostgreSQL one",
		"postgres://u:secret@127.0.0.1:1/db?connect_timeout=1": "does not answer",
	} {
		opts := testOptions()
		opts.Migrate = false
		s, err := Open(context.Background(), address, opts)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
	if err := Migrate(context.Background(), "sqlite:"+dir+"/no/such/folder/books.db"); err == nil {
		t.Error("migrated in a folder that is not there")
	}
}
