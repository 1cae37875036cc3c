package statement_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/statement"
	"freeflow/billing/statement/pdf"
	"freeflow/billing/statement/pdf/pdftest"
	"freeflow/internal/clock"
)

var hongKong = time.FixedZone("Asia/Hong_Kong", 8*3600)

// side is what the test's own reckoning knows of one account, line by line.
type told struct {
	at         time.Time
	owed, held int64
}

// world is books, an issuer, and what a plain list says that was posted.
type world struct {
	t      testing.TB
	books  *books.Store
	clock  *clock.Fixed
	issuer *statement.Issuer
	offset int64
	ids    int
	passes []*billing.Pass
	told   map[string][]told
	moves  []string
}

func newWorld(t testing.TB, url string) *world {
	clk := clock.At(time.Date(2026, 9, 28, 0, 0, 0, 0, hongKong))
	store, err := books.Open(context.Background(), url, books.Options{Migrate: true, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &world{t: t, books: store, clock: clk, issuer: newIssuer(store, clk), told: map[string][]told{}}
}

func newIssuer(store *books.Store, clk *clock.Fixed) *statement.Issuer {
	return &statement.Issuer{
		Ledger: store, Keeping: books.Keep[statement.Tx]{Store: store, As: func(tx *books.Tx) statement.Tx { return tx }},
		Zone: hongKong, Clock: clk, Log: slog.New(slog.DiscardHandler),
	}
}

func sqliteURL(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "books.db") }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tell(account string, owed, held int64) {
	if account != "" && (owed != 0 || held != 0) {
		w.told[account] = append(w.told[account], told{w.clock.Now(), owed, held})
	}
}

// owes is what a pass makes its account owe.
func owes(p *billing.Pass) (string, int64) {
	if p.Status != billing.StatusCharged || p.MergedInto != "" {
		return "", 0
	}
	return p.Account, p.AmountCents
}

// post posts a pass as it now is, and reckons what that does.
func (w *world) post(p *billing.Pass, was billing.Pass) {
	w.t.Helper()
	w.offset++
	w.must(w.books.Post(context.Background(), billing.Batch{From: w.offset - 1, To: w.offset, MaxMicros: p.LastMicros, PostedAt: w.clock.Now(), Passes: []billing.Pass{*p}, Gap: 1}))
	a, before := owes(&was)
	b, after := owes(p)
	if a != b || before != after {
		w.tell(a, -before, 0)
		w.tell(b, after, 0)
	}
}

func (w *world) pass(account string, cents int64, occurred time.Time) *billing.Pass {
	w.ids++
	p := &billing.Pass{
		ID: fmt.Sprintf("%032x", w.ids), Facility: "CHT", TollPoint: "CHT-N", Vehicle: fmt.Sprintf("plate:XY%d", w.ids), Registered: true, FirstMicros: occurred.UnixMicro(),
		LastMicros: occurred.UnixMicro(), Revision: 1, Status: billing.StatusCharged, Class: "private_car", Account: account, AmountCents: cents, Currency: "HKD",
		Rule: "r", TariffVersion: "v", Evidence: []byte{0},
	}
	w.passes = append(w.passes, p)
	w.post(p, billing.Pass{})
	return p
}

// follow lets wallets pay, and reckons from what the books say was collected.
func (w *world) follow() {
	w.t.Helper()
	before := w.balances()
	for {
		f, err := w.books.FollowPostings(context.Background(), 100, w.clock.Now())
		w.must(err)
		if f.Postings == 0 {
			break
		}
	}
	after := w.balances()
	for a, was := range before {
		w.tell(a, after[a][0]-was[0], after[a][1]-was[1])
	}
}

var accounts = []string{"A1", "A2", "=A3"}

// balances are the ledger's running sums by account: owed, held.
func (w *world) balances() map[string][2]int64 {
	w.t.Helper()
	all := map[string][2]int64{}
	var codes []string
	for _, a := range accounts {
		all[a] = [2]int64{}
		codes = append(codes, "account:"+a, "wallet:"+a)
	}
	list, err := w.books.Balances(context.Background(), codes)
	w.must(err)
	for _, b := range list {
		kind, a, _ := strings.Cut(b.Account, ":")
		one := all[a]
		if kind == "account" {
			one[0] = b.AmountCents
		} else {
			one[1] = -b.AmountCents
		}
		all[a] = one
	}
	return all
}

func (w *world) topUp(account string, cents int64) {
	w.t.Helper()
	w.ids++
	m := billing.Movement{ID: fmt.Sprintf("m%d", w.ids), Kind: billing.Receipt, Holder: account, Means: "fps", AmountCents: cents, Currency: "HKD", At: w.clock.Now(), Note: "=cmd()"}
	w.must(w.books.Do(context.Background(), func(tx *books.Tx) error {
		_, err := tx.Move(context.Background(), m, w.clock.Now())
		return err
	}))
	w.moves = append(w.moves, m.ID)
	w.tell(account, 0, cents)
}

func (w *world) charge(account, kind string, cents int64) {
	w.t.Helper()
	w.ids++
	_, err := w.books.PostCharge(context.Background(), billing.Charge{
		ID: fmt.Sprintf("c%d", w.ids), Kind: kind, Revision: 1, Account: account, Creditor: "lot", AmountCents: cents, Currency: "HKD", OccurredMicros: w.clock.Now().UnixMicro(),
		Description: "@three hours", Vehicle: "plate:XY1",
	}, w.clock.Now())
	w.must(err)
	w.tell(account, cents, 0)
}

// during sums up what the list says of [from, to).
func (w *world) during(account string, from, to time.Time) (owed, held int64) {
	for _, one := range w.told[account] {
		if !one.at.Before(from) && one.at.Before(to) {
			owed, held = owed+one.owed, held+one.held
		}
	}
	return owed, held
}

func (w *world) run() statement.Done {
	w.t.Helper()
	done, err := w.issuer.Run(context.Background())
	w.must(err)
	return done
}

// shown reads a statement, its lines, and its CSV.
func (w *world) shown(number string) (s statement.Statement, lines []statement.Line, table []byte) {
	w.t.Helper()
	ctx := context.Background()
	w.must(w.books.View(ctx, func(tx *books.Tx) error {
		var err error
		if s, err = tx.Statement(ctx, number); err != nil {
			return err
		}
		var b bytes.Buffer
		c := statement.NewCSV(&b, s.Currency, s.Opening, s.From, hongKong)
		err = statement.Replay(ctx, tx, s, func(l statement.Line) error {
			lines = append(lines, l)
			return c.Line(l)
		})
		if err != nil {
			return err
		}
		if end, err := c.End(s.To); err != nil || end != s.Closing {
			return fmt.Errorf("the table ends with %v, the statement with %v: %w", end, s.Closing, err)
		}
		table = b.Bytes()
		return nil
	}))
	return s, lines, table
}

func (w *world) verify() {
	w.t.Helper()
	checks, err := w.books.Verify(context.Background())
	w.must(err)
	for _, c := range checks {
		if c.Invariant == "rungs-follow-proof" {
			continue // surcharges are posted here without the ladder that would impose them
		}
		for _, v := range c.Violations {
			w.t.Errorf("%s: %s", v.Invariant, v.Detail)
		}
	}
}

// all returns every statement of an account, oldest first.
func (w *world) all(account string) (list []statement.Statement) {
	w.t.Helper()
	ctx := context.Background()
	w.must(w.books.View(ctx, func(tx *books.Tx) error {
		found, err := tx.Statements(ctx, account, 0, 100)
		for _, s := range found {
			list = append([]statement.Statement{s}, list...)
		}
		return err
	}))
	return list
}

// fewer makes a property that opens books for every check try 12 times; whoever
// asks for more with -rapid.checks gets them.
func fewer(t *testing.T) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	if err := f.Value.Set("12"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(f.DefValue); err != nil {
			t.Error(err)
		}
	})
}

// property runs random months and compares statement, CSV, PDF and the list.
func property(t *testing.T, url func(testing.TB) string, checks bool) {
	fewer(t)
	maker := pdf.New()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, url(t))
		days := rapid.IntRange(35, 70).Draw(rt, "days")
		for range days {
			w.clock.Set(w.clock.Now().Add(24 * time.Hour))
			for range rapid.IntRange(0, 3).Draw(rt, "acts") {
				w.clock.Set(w.clock.Now().Add(time.Duration(rapid.IntRange(1, 3600_000).Draw(rt, "later")) * time.Millisecond))
				account := rapid.SampledFrom(accounts).Draw(rt, "account")
				cents := int64(rapid.IntRange(1, 100_00).Draw(rt, "cents"))
				switch rapid.IntRange(0, 6).Draw(rt, "act") {
				case 0, 1:
					w.pass(account, cents, w.clock.Now().Add(-time.Duration(rapid.IntRange(0, 20*24).Draw(rt, "ago"))*time.Hour-time.Duration(w.ids)*time.Microsecond))
				case 2:
					w.topUp(account, cents*3)
				case 3:
					w.charge(account, rapid.SampledFrom([]string{"parking", "surcharge", "fee"}).Draw(rt, "kind"), cents)
				case 4, 5:
					if len(w.passes) == 0 {
						continue
					}
					p := rapid.SampledFrom(w.passes).Draw(rt, "pass")
					was := *p
					p.Revision++
					p.AmountCents, p.Account = cents, account
					w.post(p, was)
				case 6:
					if len(w.moves) == 0 {
						continue
					}
					before := w.balances()
					id := rapid.SampledFrom(w.moves).Draw(rt, "move")
					w.must(w.books.Do(context.Background(), func(tx *books.Tx) error {
						return tx.ReverseMovement(context.Background(), id, "bounced", w.clock.Now())
					}))
					after := w.balances()
					for a, was := range before {
						w.tell(a, after[a][0]-was[0], after[a][1]-was[1])
					}
				}
				w.follow()
			}
			if rapid.IntRange(0, 9).Draw(rt, "job") == 0 {
				w.run()
			}
		}
		w.clock.Set(w.clock.Now().AddDate(0, 1, 0))
		w.run()
		if again := w.run(); again != (statement.Done{}) {
			rt.Fatalf("the second run did %+v", again)
		}
		w.verify()
		for _, account := range accounts {
			sum := statement.Sides{}
			for i, s := range w.all(account) {
				owed, held := w.during(account, s.From, s.To)
				if s.Opening != sum || s.Closing.OwedCents != sum.OwedCents+owed || s.Closing.HeldCents != sum.HeldCents+held {
					rt.Fatalf("%s: it goes from %v to %v; the list says %v, %d and %d more", s.Number, s.Opening, s.Closing, sum, owed, held)
				}
				sum = s.Closing
				again, lines, table := w.shown(s.Number)
				checkTable(rt, again, lines, table)
				if i == 0 && checks {
					checkPDF(rt, maker, again, lines)
				}
			}
			if b := w.balances()[account]; (statement.Sides{OwedCents: b[0], HeldCents: b[1]}) != sum {
				rt.Fatalf("%s: statements end at %v, the ledger at %v", account, sum, b)
			}
		}
	})
}

// checkTable reads the CSV as a spreadsheet would.
func checkTable(t *rapid.T, s statement.Statement, lines []statement.Line, table []byte) {
	if !bytes.HasPrefix(table, []byte("\xef\xbb\xbf")) {
		t.Fatal("the table has no byte order mark")
	}
	rows, err := csv.NewReader(bytes.NewReader(table[3:])).ReadAll()
	if err != nil || len(rows) != len(lines)+3 {
		t.Fatalf("%d rows for %d lines: %v", len(rows), len(lines), err)
	}
	owed, held := s.Opening.OwedCents, s.Opening.HeldCents
	for i, row := range rows[2 : len(rows)-1] {
		a, err1 := billing.ParseCents(row[7])
		b, err2 := billing.ParseCents(row[8])
		if err := errors.Join(err1, err2); err != nil || a != lines[i].OwedCents || b != lines[i].HeldCents {
			t.Fatalf("row %v is not line %+v: %v", row, lines[i], err)
		}
		owed, held = owed+a, held+b
		if row[9] != billing.FormatCents(owed) || row[10] != billing.FormatCents(held) {
			t.Fatalf("row %v runs to %d and %d", row, owed, held)
		}
		for n, cell := range row {
			if n < 7 || n > 10 {
				if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
					t.Fatalf("the cell %q is a formula", cell)
				}
			}
		}
	}
	if last := rows[len(rows)-1]; last[9] != billing.FormatCents(s.Closing.OwedCents) || last[10] != billing.FormatCents(s.Closing.HeldCents) {
		t.Fatalf("the table closes with %v, the statement with %v", last, s.Closing)
	}
}

type plain struct{}

func (plain) Place(code, _ string) string { return code }
func (plain) Class(code, _ string) string { return code }

// checkPDF finds every amount of the statement in what is drawn, line by line.
func checkPDF(t *rapid.T, maker *pdf.Maker, s statement.Statement, lines []statement.Line) {
	b, err := maker.Make(pdf.Document{Statement: s, Lines: lines, Language: statement.English, Words: plain{}, Zone: hongKong})
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pdftest.Pages(b)
	if err != nil {
		t.Fatal(err)
	}
	var drawn []string
	for _, page := range texts {
		drawn = append(drawn, page...)
	}
	next := 0
	find := func(text string) {
		for next < len(drawn) && drawn[next] != text {
			next++
		}
		if next == len(drawn) {
			t.Fatalf("%q is not where it should be in the PDF of %s", text, s.Number)
		}
		next++
	}
	for next < len(drawn) && drawn[next] != "Posted" {
		next++
	}
	find(billing.FormatCents(s.Opening.OwedCents))
	find(billing.FormatCents(s.Opening.HeldCents))
	for _, l := range lines {
		find(l.PostedAt.In(hongKong).Format("2006-01-02 15:04"))
		find(billing.FormatCents(l.OwedCents))
		find(billing.FormatCents(l.HeldCents))
	}
	find("Closing balance")
	find(billing.FormatCents(s.Closing.OwedCents))
	find(billing.FormatCents(s.Closing.HeldCents))
}

func TestStatementsAreWhatWasPosted(t *testing.T) { property(t, sqliteURL, true) }

// TestClosedMonthNeverChanges corrects a pass of September in October.
func TestClosedMonthNeverChanges(t *testing.T) {
	w := newWorld(t, sqliteURL(t))
	p := w.pass("A1", 3000, w.clock.Now().Add(-time.Hour))
	w.clock.Set(time.Date(2026, 10, 1, 1, 0, 0, 0, hongKong))
	w.run()
	september := statement.Numbered(2026*12+8, "A1", "HKD")
	_, _, first := w.shown(september)
	w.clock.Set(time.Date(2026, 10, 20, 9, 0, 0, 0, hongKong))
	was := *p
	p.Revision, p.AmountCents = 2, 800
	w.post(p, was)
	w.clock.Set(time.Date(2026, 11, 1, 0, 59, 0, 0, hongKong))
	if done := w.run(); done.Statements != 0 {
		t.Errorf("October was issued before the hour of grace: %+v", done)
	}
	w.clock.Set(time.Date(2026, 11, 1, 1, 0, 0, 0, hongKong))
	w.run()
	if _, _, again := w.shown(september); !bytes.Equal(first, again) {
		t.Errorf("September became\n%s\nafter\n%s", again, first)
	}
	s, lines, _ := w.shown(statement.Numbered(2026*12+9, "A1", "HKD"))
	if s.Opening.OwedCents != 3000 || s.Closing.OwedCents != 800 || s.Previous != september || len(lines) != 2 || lines[0].Undoes != "toll" || lines[0].OwedCents != -3000 ||
		lines[1].OwedCents != 800 || lines[1].OccurredMicros != p.FirstMicros || lines[1].Place != "CHT-N" {
		t.Errorf("October is %+v %+v", s, lines)
	}
	w.verify()
}

// testTwoIssuers lets two processes close and issue at once.
func testTwoIssuers(t *testing.T, url string) {
	w := newWorld(t, url)
	for range 120 {
		w.clock.Set(w.clock.Now().Add(6*time.Hour + time.Second))
		w.pass(accounts[w.ids%3], 1234, w.clock.Now())
	}
	w.clock.Set(w.clock.Now().AddDate(0, 1, 0))
	other, err := books.Open(context.Background(), url, books.Options{Clock: w.clock})
	w.must(err)
	defer other.Close()
	var wait sync.WaitGroup
	for _, store := range []*books.Store{w.books, other, w.books} {
		wait.Go(func() {
			if _, err := newIssuer(store, w.clock).Run(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	w.run()
	w.follow()
	w.verify()
	for _, account := range accounts {
		if list := w.all(account); len(list) != 2 {
			t.Errorf("%s has %d statements", account, len(list))
		}
	}
}

func TestTwoIssuers(t *testing.T) { testTwoIssuers(t, sqliteURL(t)) }

func TestRange(t *testing.T) {
	closed := time.Date(2026, 11, 25, 0, 0, 0, 0, hongKong)
	for _, tc := range []struct {
		from, to string
		good     error
	}{
		{"2026-11-01", "2026-11-24", nil}, {"2026-11-01", "", nil}, {"2024-11-25", "", nil}, {"2024-11-24", "", billing.ErrInvalid},
		{"2026-11-01", "2026-11-25", billing.ErrConflict}, {"2026-11-25", "", billing.ErrInvalid}, {"2026-13-01", "", billing.ErrInvalid}, {"2026-11-02", "2026-11-01", billing.ErrInvalid},
	} {
		if _, _, err := statement.Range(tc.from, tc.to, closed, hongKong); !errors.Is(err, tc.good) {
			t.Errorf("%s to %s: %v", tc.from, tc.to, err)
		}
	}
	if _, _, err := statement.Range("2026-11-01", "", time.Time{}, hongKong); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("before anything is closed: %v", err)
	}
}

func TestDefused(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain": "plain", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "＝1": "'＝1", "'=1": "''=1", "陳": "陳", "a=b": "a=b",
	} {
		if got := statement.Defused(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}
