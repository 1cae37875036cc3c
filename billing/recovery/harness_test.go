package recovery_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/billing/recovery"
	"freeflow/internal/clock"
)

var hongKong = time.FixedZone("HKT", 8*3600)

// holidays2023 are Hong Kong's general holidays on weekdays, May to August
// 2023.
type holidays2023 struct{}

func (holidays2023) Holiday(date time.Time) (bool, error) {
	if date.Year() != 2023 {
		return false, fmt.Errorf("no calendar for %d", date.Year())
	}
	switch date.Format("01-02") {
	case "05-01", "05-26", "06-22", "07-01":
		return true, nil
	}
	return false, nil
}

// road is books with unpaid tolls, and the ladder over them.
type road struct {
	t      testing.TB
	books  *books.Store
	clock  *clock.Fixed
	ladder *recovery.Ladder
	offset int64
}

func newRoad(t testing.TB, url string) *road {
	clk := clock.At(at(5, 21, 12))
	store, err := books.Open(context.Background(), url, books.Options{Migrate: true, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &road{t: t, books: store, clock: clk, ladder: newLadder(store, clk)}
}

func newLadder(store *books.Store, clk *clock.Fixed) *recovery.Ladder {
	return &recovery.Ladder{
		Keeping:  books.Keep[recovery.Tx]{Store: store, As: func(tx *books.Tx) recovery.Tx { return tx }},
		Calendar: recovery.Calendar{Holidays: holidays2023{}}, Rules: recovery.HongKong(), Zone: hongKong, Clock: clk, Log: slog.New(slog.DiscardHandler),
	}
}

func sqliteRoad(t testing.TB) *road {
	return newRoad(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
}

// at is an hour of a day of 2023.
func at(m time.Month, d, hour int) time.Time { return time.Date(2023, m, d, hour, 0, 0, 0, hongKong) }

// pass makes an unpaid pass of 30.00, or another amount or status.
func (r *road) pass(n int, when time.Time, change func(*billing.Pass)) string {
	p := billing.Pass{
		ID: fmt.Sprintf("%032x", n), Facility: "CHT", TollPoint: "CHT-N", Vehicle: fmt.Sprintf("plate:XY%d", n),
		FirstMicros: when.UnixMicro(), LastMicros: when.UnixMicro(), Revision: 1, Status: billing.StatusUnpaid, Class: "private_car",
		AmountCents: 3000, Currency: "HKD", Rule: "test", TariffVersion: "1", Evidence: []byte{0},
	}
	if change != nil {
		change(&p)
	}
	err := r.books.Post(context.Background(), billing.Batch{
		From: r.offset, To: r.offset + 1, MaxMicros: when.UnixMicro(), PostedAt: r.clock.Now(), Passes: []billing.Pass{p}, Gap: 60_000_000,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.offset++
	r.follow()
	return "pass:" + p.ID
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

// run runs the job at an instant, twice: the second time nothing may happen.
func (r *road) run(when time.Time) {
	r.t.Helper()
	r.clock.Set(when)
	if _, err := r.ladder.Run(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.follow()
	before := r.digest()
	if _, err := r.ladder.Run(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.follow()
	if after := r.digest(); after != before {
		r.t.Fatalf("running again at %s changed\n%s\ninto\n%s", when, before, after)
	}
}

// digest is all that the ladder could have changed.
func (r *road) digest() string {
	text := ""
	r.do(func(ctx context.Context, tx *books.Tx) error {
		cases, err := tx.Cases(ctx, "", "", "", "", 1000)
		if err != nil {
			return err
		}
		for _, c := range cases {
			text += fmt.Sprintf("%s %s rev %d notice %s\n", c.Receivable, c.Stage, c.Revision, c.Notice)
		}
		list, err := tx.Receivables(ctx, billing.ReceivableFilter{Limit: 1000})
		for _, one := range list {
			text += fmt.Sprintf("%s %d of %d\n", one.ID, one.PaidCents, one.AmountCents)
		}
		return err
	})
	return text
}

func (r *road) do(fn func(context.Context, *books.Tx) error) {
	r.t.Helper()
	ctx := context.Background()
	if err := r.books.Do(ctx, func(tx *books.Tx) error { return fn(ctx, tx) }); err != nil {
		r.t.Fatal(err)
	}
}

// serve proves that the case's latest notice arrived.
func (r *road) serve(receivable string, when time.Time) {
	r.t.Helper()
	r.do(func(ctx context.Context, tx *books.Tx) error {
		c, err := tx.Case(ctx, receivable)
		if err != nil {
			return err
		}
		if err := notice.Prove(ctx, tx, c.Notice, notice.Post, when, "recorded delivery 1", "hongkong post"); err != nil {
			return err
		}
		return tx.Wake(ctx, receivable, when)
	})
}

func (r *road) stands(receivable string) recovery.Standing {
	r.t.Helper()
	var s recovery.Standing
	r.do(func(ctx context.Context, tx *books.Tx) error {
		var err error
		s, err = r.ladder.Show(ctx, tx, receivable)
		return err
	})
	return s
}

func (r *road) want(receivable, stage string, rest int64) {
	r.t.Helper()
	if s := r.stands(receivable); s.Stage != stage || s.RestCents != rest {
		r.t.Fatalf("%s: stands at %s with %d to pay, want %s with %d", r.clock.Now().In(hongKong).Format(time.DateTime), s.Stage, s.RestCents, stage, rest)
	}
}

func (r *road) sound() {
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

// pay collects the whole rest of the receivables with money that comes as p1.
func (r *road) pay(cents int64, receivables ...string) {
	r.t.Helper()
	r.do(func(ctx context.Context, tx *books.Tx) error {
		now := r.clock.Now()
		m := billing.Movement{ID: "p1", Kind: billing.Receipt, Holder: "once:p1", Means: "fps", AmountCents: cents, Currency: "HKD", At: now}
		if _, err := tx.Move(ctx, m, now); err != nil {
			return err
		}
		done, err := tx.Collect(ctx, m.Holder, receivables, now)
		if err == nil && len(done) != len(receivables) {
			err = fmt.Errorf("%d of %d were paid", len(done), len(receivables))
		}
		return err
	})
}
