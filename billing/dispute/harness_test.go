package dispute_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/notice"
	"freeflow/billing/recovery"
	"freeflow/internal/clock"
)

var hongKong = time.FixedZone("HKT", 8*3600)

// holidays2026 are some of Hong Kong's general holidays on weekdays.
type holidays2026 struct{}

func (holidays2026) Holiday(date time.Time) (bool, error) {
	if date.Year() != 2026 {
		return false, fmt.Errorf("no calendar for %d", date.Year())
	}
	return date.Format("01-02") == "12-25", nil
}

// tolls are 20.00 for a taxi and 30.00 for everybody else.
type tolls struct{}

func (tolls) Rate(_, class string, _ time.Time) (int64, string, error) {
	switch class {
	case "taxi":
		return 2000, "test taxi", nil
	case "bus":
		return 9000, "test bus", nil
	case "none":
		return 0, "", fmt.Errorf("%w: no tariff", billing.ErrInvalid)
	}
	return 3000, "test", nil
}

func (tolls) Basis(p billing.Pass) string { return "basis of " + p.Class + p.Account }

// places are toll points named FACILITY-DIRECTION or FACILITY-DIRECTION-n.
type places struct{}

func (places) Place(point string) (string, string, bool) {
	var facility, direction string
	for i := range point {
		if point[i] == '-' && facility == "" {
			facility, direction = point[:i], point[i+1:i+2]
		}
	}
	return facility, direction, facility != ""
}

// gatherer gives evidence out of the books, and reads that it makes up.
type gatherer struct {
	books *books.Store
	mu    sync.Mutex
	fails error
}

func (g *gatherer) Gather(ctx context.Context, receivable string) (dispute.Bundle, int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fails != nil {
		return dispute.Bundle{}, 0, g.fails
	}
	b := dispute.Bundle{Receivable: receivable, ReadsComplete: true}
	var revision int64 = 1
	if id := receivable[len("pass:"):]; receivable[:5] == "pass:" {
		h, err := g.books.History(ctx, id)
		if err != nil {
			return b, 0, err
		}
		facts := dispute.FactsOf(&h.Pass)
		b.Pass, revision = &facts, h.Pass.Revision
		b.Reads = []dispute.ReadFacts{{Unit: "CHT-N-1", Seq: 1, Time: facts.First, Plate: "XY1", Image: "s3://x"}}
	}
	return b, revision, nil
}

// refunds takes what is given back, out of the wallet.
type refunds struct {
	mu    sync.Mutex
	given map[string]int64
}

func (r *refunds) GiveBack(ctx context.Context, tx dispute.Tx, id, holder string, cents int64, currency, reason string) (int64, error) {
	known, err := tx.Move(ctx, billing.Movement{
		ID: id, Kind: billing.Payout, Holder: holder, Means: "card", AmountCents: cents, Currency: currency, At: time.UnixMicro(1), Note: reason,
	}, time.Date(2026, 11, 25, 4, 0, 0, 0, time.UTC))
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && !known {
		r.given[holder] += cents
	}
	return cents, err
}

// road is books with passes, and disputes of them.
type road struct {
	t       testing.TB
	books   *books.Store
	clock   *clock.Fixed
	service *dispute.Service
	flags   *dispute.Flags
	gather  *gatherer
	refunds *refunds
	offset  int64
}

func newRoad(t testing.TB, url string) *road {
	clk := clock.At(at(11, 25, 12, 0)) // a Wednesday
	store, err := books.Open(context.Background(), url, books.Options{Migrate: true, Clock: clk, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	r := &road{t: t, books: store, clock: clk, gather: &gatherer{books: store}, refunds: &refunds{given: map[string]int64{}}}
	r.service, r.flags = r.process(store)
	return r
}

// process is the service as one process has it.
func (r *road) process(store *books.Store) (*dispute.Service, *dispute.Flags) {
	log := slog.New(slog.DiscardHandler)
	s := &dispute.Service{
		Keeping: books.Keep[dispute.Tx]{Store: store, As: func(tx *books.Tx) dispute.Tx { return tx }},
		Ladder: &recovery.Ladder{
			Keeping:  books.Keep[recovery.Tx]{Store: store, As: func(tx *books.Tx) recovery.Tx { return tx }},
			Calendar: recovery.Calendar{Holidays: holidays2026{}}, Rules: recovery.HongKong(), Zone: hongKong, Clock: r.clock, Log: log,
		},
		Gatherer: r.gather, Tolls: tolls{}, Refunder: r.refunds, Rules: dispute.HongKong(), Clock: r.clock, Log: log,
	}
	journeys, err := dispute.HongKongJourneys()
	if err != nil {
		r.t.Fatal(err)
	}
	return s, &dispute.Flags{Service: s, Limits: dispute.AssumedLimits(places{}, journeys)}
}

func sqliteURL(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "books.db") }

func at(m time.Month, d, hour, minute int) time.Time {
	return time.Date(2026, m, d, hour, minute, 0, 0, hongKong)
}

func passID(n int) string { return fmt.Sprintf("%032x", n) }

// pass posts a pass of plate:XY1 at an instant, charged to account A with 30.00,
// or changed.
func (r *road) pass(n int, point string, when time.Time, change func(*billing.Pass)) string {
	r.t.Helper()
	facility, _, _ := places{}.Place(point)
	p := billing.Pass{
		ID: passID(n), Facility: facility, TollPoint: point, Vehicle: "plate:XY1", Registered: true,
		FirstMicros: when.UnixMicro(), LastMicros: when.UnixMicro(), Revision: 1, Status: billing.StatusCharged, Class: "private_car", Account: "A",
		AmountCents: 3000, Currency: "HKD", Rule: "test", TariffVersion: "1", Evidence: []byte{0},
	}
	if change != nil {
		change(&p)
	}
	r.post(p)
	return "pass:" + p.ID
}

func (r *road) post(p billing.Pass) {
	r.t.Helper()
	err := r.books.Post(context.Background(), billing.Batch{
		From: r.offset, To: r.offset + 1, MaxMicros: p.LastMicros, PostedAt: r.clock.Now(), Passes: []billing.Pass{p}, Gap: 0,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.offset++
	r.follow()
}

func (r *road) follow() {
	r.t.Helper()
	for {
		f, err := r.books.FollowPostings(context.Background(), 100, r.clock.Now())
		if err != nil {
			r.t.Fatal(err)
		}
		if f.Postings == 0 {
			return
		}
	}
}

// put brings money for account A.
func (r *road) put(cents int64) {
	const holder = "A"
	r.t.Helper()
	r.do(func(ctx context.Context, tx *books.Tx) error {
		_, err := tx.Move(ctx, billing.Movement{
			ID: fmt.Sprintf("in:%s:%d", holder, cents), Kind: billing.Receipt, Holder: holder, Means: "card", AmountCents: cents, Currency: "HKD", At: r.clock.Now(),
		}, r.clock.Now())
		if err == nil {
			_, err = tx.CollectOpen(ctx, holder, "HKD", 100, r.clock.Now())
		}
		return err
	})
}

func (r *road) do(fn func(context.Context, *books.Tx) error) {
	r.t.Helper()
	if err := r.try(fn); err != nil {
		r.t.Fatal(err)
	}
}

func (r *road) try(fn func(context.Context, *books.Tx) error) error {
	return r.books.Do(context.Background(), func(tx *books.Tx) error { return fn(context.Background(), tx) })
}

func (r *road) deed(by string) dispute.Deed {
	return dispute.Deed{By: by, Role: "clerk", Reason: "", Now: r.clock.Now()}
}

// open opens a dispute as the motorist.
func (r *road) open(receivable, reason, text string) (d dispute.Dispute, err error) {
	err = r.try(func(ctx context.Context, tx *books.Tx) (err error) {
		d, err = r.service.Open(ctx, tx, dispute.Opening{Receivable: receivable, Reason: reason, Text: text, Origin: dispute.Motorist}, r.deed("A"))
		return err
	})
	return d, err
}

func (r *road) mustOpen(receivable, reason, text string) dispute.Dispute {
	r.t.Helper()
	d, err := r.open(receivable, reason, text)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

func (r *road) decide(reference, by string, ruling dispute.Ruling) (d dispute.Dispute, err error) {
	if ruling.Words == "" {
		ruling.Words = "as it is"
	}
	err = r.try(func(ctx context.Context, tx *books.Tx) (err error) {
		d, err = r.service.Decide(ctx, tx, reference, 0, ruling, r.deed(by))
		return err
	})
	r.follow()
	return d, err
}

func (r *road) mustDecide(reference, by string, ruling dispute.Ruling) dispute.Dispute {
	r.t.Helper()
	d, err := r.decide(reference, by, ruling)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

func (r *road) work() {
	r.t.Helper()
	for range 10 {
		n, err := r.service.Work(context.Background())
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	r.t.Fatal("there is always something to do")
}

// scan lets the flags look at everything and returns those that there are.
func (r *road) scan() []dispute.Flag {
	r.t.Helper()
	r.clock.Set(r.clock.Now().Add(time.Hour))
	for {
		n, _, err := r.flags.Scan(context.Background(), 100)
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	r.follow()
	var list []dispute.Flag
	r.do(func(ctx context.Context, tx *books.Tx) (err error) {
		list, err = tx.Flags(ctx, "", time.Time{}, "", 100)
		return err
	})
	return list
}

func (r *road) get(reference string) (d dispute.Dispute) {
	r.t.Helper()
	r.do(func(ctx context.Context, tx *books.Tx) (err error) {
		d, err = tx.Dispute(ctx, reference)
		return err
	})
	return d
}

func (r *road) receivable(id string) (v billing.Receivable) {
	r.t.Helper()
	r.do(func(ctx context.Context, tx *books.Tx) (err error) {
		v, err = tx.Receivable(ctx, id)
		return err
	})
	return v
}

func (r *road) wallet(holder string) int64 {
	r.t.Helper()
	var w billing.Wallet
	r.do(func(ctx context.Context, tx *books.Tx) (err error) {
		w, err = tx.Wallet(ctx, holder, "HKD")
		return err
	})
	return w.BalanceCents
}

func (r *road) passOf(n int) billing.Pass {
	r.t.Helper()
	h, err := r.books.History(context.Background(), passID(n))
	if err != nil {
		r.t.Fatal(err)
	}
	return h.Pass
}

// verify proves the books.
func (r *road) verify() {
	r.t.Helper()
	checks, err := r.books.Verify(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			r.t.Errorf("%s: %s", v.Invariant, v.Detail)
		}
	}
}

func proveNotice(ctx context.Context, tx *books.Tx, id string, when time.Time) error {
	return notice.Prove(ctx, tx, id, notice.Post, when, "RD1", "test")
}
