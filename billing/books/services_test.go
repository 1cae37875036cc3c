//go:build services

package books

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/booktest"
	"freeflow/internal/database"
	"freeflow/internal/database/databasetest"
)

func TestPostgres(t *testing.T) {
	booktest.Run(t, func(t *testing.T) booktest.Books { return openTest(t, databasetest.URL(t), testOptions()) })
}

func TestPostgresEngine(t *testing.T) {
	testEngine(t, databasetest.URL, []string{`DROP TRIGGER transactions_append_only ON transactions`, `DROP TRIGGER entries_append_only ON entries`})
}

func TestPostgresRefusesTruncate(t *testing.T) {
	s := openTest(t, databasetest.URL(t), testOptions())
	err := s.db.Write(context.Background(), func(db database.Session) error {
		_, err := db.Exec(context.Background(), "TRUNCATE entries")
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "only ever added to") {
		t.Errorf("truncated with %v", err)
	}
}

// TestPostgresKilledBackends: connections killed at any moment leave batches
// posted or not, never in part, and the store goes on by itself.
func TestPostgresKilledBackends(t *testing.T) {
	url := databasetest.URL(t)
	s, killer := openTest(t, url, testOptions()), openTest(t, url, testOptions())
	ctx := context.Background()
	done := make(chan struct{})
	kills := 0
	var wg sync.WaitGroup
	stop := sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
	t.Cleanup(stop)
	wg.Go(func() {
		for kills < 20 {
			select {
			case <-done:
				return
			default:
			}
			// Whoever holds the lock of a poster on this schema's progress.
			err := killer.db.Write(ctx, func(db database.Session) error {
				return database.Each(ctx, db, `SELECT pg_terminate_backend(l.pid) FROM pg_locks l
					JOIN pg_class c ON c.oid = l.relation AND c.relname = 'progress' AND c.relnamespace = current_schema()::regnamespace
					WHERE l.mode = 'RowExclusiveLock'`, nil, func(database.Rows) error { kills++; return nil })
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	var next int64
	failed := 0
	for attempt := 0; attempt < 3000 && (next < 40 || failed < 5); attempt++ {
		if err := s.Post(ctx, batchAt(0, next, passAt(int(next)+1, next*1000))); err != nil {
			failed++
		}
		progress, err := s.Progress(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if progress.NextOffset != next && progress.NextOffset != next+1 {
			t.Fatalf("progress went from %d to %d", next, progress.NextOffset)
		}
		next = progress.NextOffset
	}
	stop()
	if kills == 0 || failed == 0 || next == 0 {
		t.Errorf("%d kills, %d posts failed, %d posted: nothing was tried", kills, failed, next)
	}
	totals, err := s.Totals(ctx)
	if err != nil || totals.Passes != next {
		t.Errorf("totals %+v, %v, want %d passes", totals, err, next)
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}

// TestPostgresLostCommitAnswer: the server commits, the answer never comes.
// The poster gets a fault, reads Progress, and finds its batch posted.
func TestPostgresLostCommitAnswer(t *testing.T) {
	direct := databasetest.URL(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	proxy := databasetest.NewCommitThief(t, u.Host)
	u.Host = proxy.Addr()
	if err := Migrate(context.Background(), direct); err != nil {
		t.Fatal(err)
	}
	opts := testOptions()
	opts.Migrate = false
	s := openTest(t, u.String(), opts)
	ctx := context.Background()
	mustPost(t, s, batchAt(0, 0, passAt(1, 0)))
	proxy.Arm()
	err = s.Post(ctx, batchAt(0, 1, passAt(2, 500)))
	if err == nil || errors.Is(err, billing.ErrFenced) || errors.Is(err, billing.ErrStale) {
		t.Fatalf("posting with a lost answer: %v", err)
	}
	if proxy.Armed() {
		t.Fatal("no commit was seen")
	}
	p, err := s.Progress(ctx, 0)
	if err != nil || p.NextOffset != 2 {
		t.Fatalf("progress %+v, %v", p, err)
	}
	if err := s.Post(ctx, batchAt(0, 1, passAt(2, 500))); !errors.Is(err, billing.ErrFenced) {
		t.Fatalf("posting again: %v", err)
	}
	mustPost(t, s, batchAt(0, 2, passAt(3, 1000)))
	if totals, err := s.Totals(ctx); err != nil || totals.ChargedCents != 2400 {
		t.Errorf("totals %+v, %v", totals, err)
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}

// TestPostgresLostCommitAnswerOfACharge: whoever charges does not learn that
// the charge was posted, posts it again, and has charged once.
func TestPostgresLostCommitAnswerOfACharge(t *testing.T) {
	direct := databasetest.URL(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	proxy := databasetest.NewCommitThief(t, u.Host)
	u.Host = proxy.Addr()
	if err := Migrate(context.Background(), direct); err != nil {
		t.Fatal(err)
	}
	opts := testOptions()
	opts.Migrate = false
	s := openTest(t, u.String(), opts)
	ctx, at := context.Background(), time.UnixMicro(1)
	for name, post := range map[string]func() error{
		"charge":  func() error { _, err := s.PostCharge(ctx, chargeAt("a"), at); return err },
		"payment": func() error { _, err := s.PostPayment(ctx, paymentAt("p", "b", 500), at); return err },
	} {
		if _, err := s.PostCharge(ctx, chargeAt("b"), at); err != nil {
			t.Fatal(err)
		}
		proxy.Arm()
		if err := post(); err == nil || proxy.Armed() {
			t.Fatalf("%s: posted with a lost answer: %v", name, err)
		}
		if err := post(); err != nil {
			t.Fatalf("%s again: %v", name, err)
		}
	}
	list, err := s.Balances(ctx, []string{"unpaid:tko", "cash:machine"})
	if err != nil || len(list) != 2 || list[0].AmountCents != 500 || list[1].AmountCents != 3500 {
		t.Errorf("balances %+v, %v", list, err)
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}

func BenchmarkPostgres(b *testing.B) {
	b.Run("Post", func(b *testing.B) { benchPost(b, openTest(b, databasetest.URL(b), testOptions())) })
	b.Run("Passes", func(b *testing.B) { benchPasses(b, openTest(b, databasetest.URL(b), testOptions())) })
	b.Run("Registry", func(b *testing.B) { benchRegistry(b, openTest(b, databasetest.URL(b), testOptions())) })
	b.Run("Charges", func(b *testing.B) { benchCharges(b, openTest(b, databasetest.URL(b), testOptions())) })
}
