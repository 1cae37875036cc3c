package settlement_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/settlement"
	"freeflow/billing/statement"
	"freeflow/internal/clock"
)

var hongKong = time.FixedZone("Asia/Hong_Kong", 8*3600)

// flow is what the test's own list knows of one posting: whose, when, how much.
type flow struct {
	creditor        string
	at              time.Time
	claim, received int64
}

type world struct {
	t      testing.TB
	books  *books.Store
	clock  *clock.Fixed
	offset int64
	ids    int
	passes []*billing.Pass
	lots   []string
	flows  []flow
}

func newWorld(t testing.TB, url string) *world {
	clk := clock.At(time.Date(2026, 11, 1, 0, 0, 0, 0, hongKong))
	store, err := books.Open(context.Background(), url, books.Options{Migrate: true, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &world{t: t, books: store, clock: clk}
}

func sqliteURL(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "books.db") }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func keep(store *books.Store) books.Keep[settlement.Tx] {
	return books.Keep[settlement.Tx]{Store: store, As: func(tx *books.Tx) settlement.Tx { return tx }}
}

func settler(store *books.Store, clk *clock.Fixed) *settlement.Settler {
	return &settlement.Settler{Keeping: keep(store), Zone: hongKong, Clock: clk}
}

// run closes what is over and settles it.
func (w *world) run() int {
	w.t.Helper()
	_, err := (&statement.Issuer{
		Ledger: w.books, Keeping: books.Keep[statement.Tx]{Store: w.books, As: func(tx *books.Tx) statement.Tx { return tx }}, Zone: hongKong, Clock: w.clock,
	}).Run(context.Background())
	w.must(err)
	n, err := settler(w.books, w.clock).Run(context.Background())
	w.must(err)
	return n
}

func (w *world) flow(creditor string, claim, received int64) {
	w.flows = append(w.flows, flow{creditor, w.clock.Now(), claim, received})
}

func (w *world) post(p *billing.Pass) {
	w.t.Helper()
	w.offset++
	w.must(w.books.Post(context.Background(), billing.Batch{From: w.offset - 1, To: w.offset, MaxMicros: 1, PostedAt: w.clock.Now(), Passes: []billing.Pass{*p}, Gap: 1}))
}

func (w *world) pass(facility string, cents int64) {
	w.ids++
	p := &billing.Pass{
		ID: fmt.Sprintf("%032x", w.ids), Facility: facility, TollPoint: facility + "-N", Vehicle: fmt.Sprintf("plate:XY%d", w.ids), Registered: true, FirstMicros: w.clock.Now().UnixMicro(),
		LastMicros: w.clock.Now().UnixMicro(), Revision: 1, Status: billing.StatusCharged, Class: "private_car", Account: "A1", AmountCents: cents, Currency: "HKD",
		Rule: "r", TariffVersion: "v", Evidence: []byte{0},
	}
	w.passes = append(w.passes, p)
	w.post(p)
	w.flow(facility, cents, 0)
}

// received is what receivables say was paid for each creditor.
func (w *world) received() map[string]int64 {
	w.t.Helper()
	sums := map[string]int64{}
	w.must(w.books.View(context.Background(), func(tx *books.Tx) error {
		list, err := tx.Receivables(context.Background(), billing.ReceivableFilter{Limit: 10000})
		for _, r := range list {
			sums[r.Creditor] += r.PaidCents
		}
		return err
	}))
	return sums
}

// follow lets the wallet pay; what is paid more or less since is a flow.
func (w *world) follow(before map[string]int64) {
	w.t.Helper()
	for {
		f, err := w.books.FollowPostings(context.Background(), 100, w.clock.Now())
		w.must(err)
		if f.Postings == 0 {
			break
		}
	}
	for creditor, now := range w.received() {
		if d := now - before[creditor]; d != 0 {
			w.flow(creditor, 0, d)
		}
	}
}

func (w *world) topUp(cents int64) {
	w.t.Helper()
	w.ids++
	m := billing.Movement{ID: fmt.Sprintf("m%d", w.ids), Kind: billing.Receipt, Holder: "A1", Means: "fps", AmountCents: cents, Currency: "HKD", At: w.clock.Now()}
	w.must(w.books.Do(context.Background(), func(tx *books.Tx) error {
		if _, err := tx.Move(context.Background(), m, w.clock.Now()); err != nil {
			return err
		}
		_, err := tx.CollectOpen(context.Background(), "A1", "HKD", 1000, w.clock.Now())
		return err
	}))
}

// till charges a stay that is nobody's, and takes the money at a machine; or
// gives back what the last one paid.
func (w *world) till(cents int64, refund bool) {
	w.t.Helper()
	ctx := context.Background()
	if refund {
		if len(w.lots) == 0 {
			return
		}
		id := w.lots[len(w.lots)-1]
		w.lots = w.lots[:len(w.lots)-1]
		c, err := w.books.RefundPayment(ctx, "till-"+id, w.clock.Now())
		w.must(err)
		w.flow("lot", 0, -c.AmountCents)
		return
	}
	w.ids++
	id := fmt.Sprintf("c%d", w.ids)
	_, err := w.books.PostCharge(ctx, billing.Charge{ID: id, Kind: "parking", Revision: 1, Creditor: "lot", AmountCents: cents, Currency: "HKD", OccurredMicros: w.clock.Now().UnixMicro()}, w.clock.Now())
	w.must(err)
	_, err = w.books.PostPayment(ctx, billing.Payment{ID: "till-" + id, ChargeID: id, AmountCents: cents, Currency: "HKD", Means: "machine", PaidAt: w.clock.Now()}, w.clock.Now())
	w.must(err)
	w.lots = append(w.lots, id)
	w.flow("lot", cents, cents)
}

func (w *world) batches() (list []settlement.Batch) {
	w.t.Helper()
	w.must(w.books.View(context.Background(), func(tx *books.Tx) (err error) {
		list, err = tx.Batches(context.Background(), settlement.Filter{Limit: 10000})
		return err
	}))
	return list
}

func (w *world) take(number string, want settlement.Wanted, by, reason string) error {
	return keep(w.books).Do(context.Background(), func(tx settlement.Tx) error {
		_, err := settlement.Take(context.Background(), tx, number, want, settlement.Deed{By: by, Role: "finance", Reason: reason, Now: w.clock.Now()})
		return err
	})
}

func (w *world) verify() {
	w.t.Helper()
	checks, err := w.books.Verify(context.Background())
	w.must(err)
	for _, c := range checks {
		for _, v := range c.Violations {
			w.t.Errorf("%s: %s", v.Invariant, v.Detail)
		}
	}
}

// fewer makes a property that opens books for every check try 20 times; whoever
// asks for more with -rapid.checks gets them.
func fewer(t *testing.T) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	if err := f.Value.Set("20"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(f.DefValue); err != nil {
			t.Error(err)
		}
	})
}

// property settles random days and compares each batch with the test's own list.
func property(t *testing.T, url func(testing.TB) string) {
	fewer(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, url(t))
		for range rapid.IntRange(3, 10).Draw(rt, "days") {
			w.clock.Advance(24 * time.Hour)
			for range rapid.IntRange(0, 8).Draw(rt, "acts") {
				w.clock.Advance(time.Duration(rapid.IntRange(1, 3600).Draw(rt, "later")) * time.Second)
				before := w.received()
				cents := int64(rapid.IntRange(1, 10000).Draw(rt, "cents"))
				switch rapid.IntRange(0, 5).Draw(rt, "act") {
				case 0, 1:
					w.pass(rapid.SampledFrom([]string{"CHT", "EHC"}).Draw(rt, "facility"), cents)
				case 2:
					w.topUp(cents * 3)
				case 3:
					w.till(cents, rapid.Bool().Draw(rt, "refund"))
				default:
					if len(w.passes) == 0 {
						continue
					}
					p := rapid.SampledFrom(w.passes).Draw(rt, "pass")
					was := p.AmountCents
					p.Revision, p.AmountCents = p.Revision+1, cents
					w.post(p)
					w.flow(p.Facility, cents-was, 0)
				}
				w.follow(before)
			}
			w.run()
			for _, b := range w.batches() {
				// Money goes out as soon as it may, so that remittances are in the days too.
				if b.State == settlement.Made && rapid.Bool().Draw(rt, "remit") {
					w.must(w.take(b.Number, settlement.Wanted{State: settlement.Prepared}, "amy", ""))
					w.must(w.take(b.Number, settlement.Wanted{State: settlement.Approved}, "ben", ""))
					w.must(w.take(b.Number, settlement.Wanted{State: settlement.Sent, Means: "bank", Reference: "T1"}, "amy", ""))
					if rapid.IntRange(0, 3).Draw(rt, "back") == 0 {
						w.must(w.take(b.Number, settlement.Wanted{State: settlement.BackAgain, Reference: "T2"}, "amy", "account closed"))
					}
				}
			}
		}
		w.clock.Advance(50 * time.Hour)
		w.run()
		if n := w.run(); n != 0 {
			rt.Fatalf("the second run made %d batches", n)
		}
		w.verify()
		remitted := map[string]int64{}
		for _, b := range w.batches() {
			d := statement.DayAt(b.Day, hongKong)
			claim, received := int64(0), int64(0)
			for _, f := range w.flows {
				if f.creditor == b.Creditor && !f.at.Before(d.From) && f.at.Before(d.To) {
					claim, received = claim+f.claim, received+f.received
				}
			}
			if got := b.Figures.Of(settlement.Posted) - b.Figures.Of(settlement.Withdrawn); got != claim {
				rt.Fatalf("%s: the claim rose by %d, the list says %d", b.Number, got, claim)
			}
			if got := b.CollectedCents - b.RefundedCents; got != received {
				rt.Fatalf("%s: collected less refunded is %d, the list says %d", b.Number, got, received)
			}
			remitted[b.Creditor] += b.RemitCents
			if b.RemitCents > 0 && b.CarryCents < 0 {
				rt.Fatalf("%s remits %d and carries %d", b.Number, b.RemitCents, b.CarryCents)
			}
		}
		// Nothing is lost on the way: what all batches remit, and what is carried at
		// the end, is what was received.
		for creditor, cents := range w.totals() {
			last, _ := w.last(creditor)
			if remitted[creditor]+last.CarryCents != cents {
				rt.Fatalf("%s: %d is remitted and %d carried of %d", creditor, remitted[creditor], last.CarryCents, cents)
			}
		}
	})
}

func (w *world) totals() map[string]int64 {
	sums := map[string]int64{}
	for _, f := range w.flows {
		sums[f.creditor] += f.received
	}
	return sums
}

func (w *world) last(creditor string) (b settlement.Batch, found bool) {
	for _, one := range w.batches() {
		if one.Creditor == creditor {
			b, found = one, true
		}
	}
	return b, found
}

func TestBatchesAreWhatWasPosted(t *testing.T) { property(t, sqliteURL) }

// TestSteps goes through a batch's life, and refuses what must not be.
func TestSteps(t *testing.T) {
	w := newWorld(t, sqliteURL(t))
	w.till(5000, false)
	w.clock.Advance(26 * time.Hour)
	w.run()
	number := w.batches()[0].Number
	for i, tc := range []struct {
		want       settlement.Wanted
		by, reason string
		is         error
	}{
		{settlement.Wanted{State: settlement.Approved}, "ben", "", billing.ErrConflict},
		{settlement.Wanted{State: settlement.Prepared}, "amy", "", nil},
		{settlement.Wanted{State: settlement.Prepared}, "amy", "", nil},
		{settlement.Wanted{State: settlement.Approved}, "amy", "", billing.ErrConflict},
		{settlement.Wanted{State: settlement.Approved}, "ben", "", nil},
		{settlement.Wanted{State: settlement.Sent}, "amy", "", billing.ErrInvalid},
		{settlement.Wanted{State: settlement.Sent, Means: "bank", Reference: "T1"}, "amy", "", nil},
		{settlement.Wanted{State: settlement.Sent, Means: "bank", Reference: "T1"}, "amy", "", nil},
		{settlement.Wanted{State: settlement.Sent, Means: "bank", Reference: "T2"}, "amy", "", billing.ErrConflict},
		{settlement.Wanted{State: settlement.BackAgain}, "amy", "", billing.ErrInvalid},
		{settlement.Wanted{State: settlement.BackAgain}, "amy", "wrong account", nil},
		{settlement.Wanted{State: settlement.Approved}, "amy", "", billing.ErrConflict},
		{settlement.Wanted{State: settlement.Approved}, "ben", "", nil},
		{settlement.Wanted{State: settlement.Sent, Means: "bank", Reference: "T3"}, "amy", "", nil},
		{settlement.Wanted{State: settlement.Confirmed, Reference: "OK"}, "ben", "", nil},
		{settlement.Wanted{State: settlement.BackAgain}, "amy", "late", billing.ErrConflict},
	} {
		if err := w.take(number, tc.want, tc.by, tc.reason); !errors.Is(err, tc.is) {
			t.Fatalf("step %d, %s by %s: %v", i, tc.want.State, tc.by, err)
		}
	}
	balances, err := w.books.Balances(context.Background(), []string{"operator:lot", "cash:bank"})
	w.must(err)
	for _, b := range balances {
		if want := map[string]int64{"operator:lot": 0, "cash:bank": -5000}[b.Account]; b.AmountCents != want {
			t.Errorf("%s stands at %d", b.Account, b.AmountCents)
		}
	}
	w.verify()
	w.clock.Advance(72 * time.Hour)
	w.run()
	w.verify()
}

// TestLateCorrectionIsInItsOwnBatch corrects a toll after its day was settled.
func TestLateCorrectionIsInItsOwnBatch(t *testing.T) {
	w := newWorld(t, sqliteURL(t))
	w.topUp(100_00)
	before := w.received()
	w.pass("CHT", 3000)
	w.follow(before)
	w.clock.Advance(26 * time.Hour)
	w.run()
	first := w.batches()[0]
	p := w.passes[0]
	p.Revision, p.AmountCents = 2, 800
	w.post(p)
	w.follow(w.received())
	w.clock.Advance(24 * time.Hour)
	w.run()
	list := w.batches()
	if len(list) != 2 || list[0].RemitCents != 3000 || fmt.Sprint(list[0]) != fmt.Sprint(first) {
		t.Fatalf("the first batch became %+v", list[0])
	}
	second := list[1]
	if second.RemitCents != 0 || second.CarryCents != -2200 || second.State != settlement.NothingDue || second.CollectedCents != 800 || second.RefundedCents != 3000 {
		t.Errorf("the second batch is %+v", second)
	}
	for _, s := range second.Figures.Sums {
		if !s.Earlier {
			t.Errorf("%+v is of a day before", s)
		}
	}
	w.verify()
}

// testTwoSettlers makes batches by two at once.
func testTwoSettlers(t *testing.T, url string) {
	w := newWorld(t, url)
	for range 20 {
		w.clock.Advance(11 * time.Hour)
		w.till(100, false)
	}
	w.clock.Advance(26 * time.Hour)
	_, err := (&statement.Issuer{
		Ledger: w.books, Keeping: books.Keep[statement.Tx]{Store: w.books, As: func(tx *books.Tx) statement.Tx { return tx }}, Zone: hongKong, Clock: w.clock,
	}).Run(context.Background())
	w.must(err)
	other, err := books.Open(context.Background(), url, books.Options{Clock: w.clock})
	w.must(err)
	defer other.Close()
	var wait sync.WaitGroup
	for _, store := range []*books.Store{w.books, other} {
		wait.Go(func() {
			if _, err := settler(store, w.clock).Run(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	seen := map[string]bool{}
	for _, b := range w.batches() {
		if seen[b.Number] || !strings.HasPrefix(b.Number, "R202611") {
			t.Errorf("batch %s", b.Number)
		}
		seen[b.Number] = true
	}
	if len(seen) != 10 {
		t.Errorf("%d batches for 10 days", len(seen))
	}
	w.follow(w.received())
	w.verify()
}

func TestTwoSettlers(t *testing.T) { testTwoSettlers(t, sqliteURL(t)) }
