package notice_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/internal/clock"
)

var noon = time.Date(2026, 11, 25, 4, 0, 0, 0, time.UTC)

func openBooks(t *testing.T, clk *clock.Fixed) *books.Store {
	t.Helper()
	store, err := books.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "books.db"), books.Options{Migrate: true, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		_, err := account.OpenAccount(ctx, tx, account.Account{
			ID: "A1", Kind: account.Individual, Name: "陳大文", Email: "chan@example.hk", Mobile: "+85291234567", Language: "zh-HK", OpenedAt: noon,
		}, account.Deed{By: "amy", Role: "operator", Now: noon})
		return err
	})
	return store
}

func do(t *testing.T, store *books.Store, fn func(context.Context, *books.Tx) error) {
	t.Helper()
	if err := try(store, fn); err != nil {
		t.Fatal(err)
	}
}

func try(store *books.Store, fn func(context.Context, *books.Tx) error) error {
	ctx := context.Background()
	return store.Do(ctx, func(tx *books.Tx) error { return fn(ctx, tx) })
}

func toll(id, account string) notice.Notice {
	return notice.Notice{
		ID: id, Kind: notice.Payment, Account: account, Vehicle: "plate:AB1", Number: "N0000001", AmountCents: 3000, Currency: "HKD",
		DueOn: time.Date(2026, 12, 15, 0, 0, 0, 0, time.FixedZone("HKT", 8*3600)), IssuedAt: noon,
	}
}

func issue(t *testing.T, store *books.Store, n notice.Notice) {
	t.Helper()
	do(t, store, func(ctx context.Context, tx *books.Tx) error { return notice.Issue(ctx, tx, n) })
}

// deliveries are those of the notice n1.
func deliveries(t *testing.T, store *books.Store) map[string]notice.Delivery {
	t.Helper()
	ways := map[string]notice.Delivery{}
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		list, err := tx.Deliveries(ctx, "n1")
		for _, d := range list {
			ways[d.Channel] = d
		}
		return err
	})
	return ways
}

// sender records what it is given, and refuses what it is told to.
type sender struct {
	mu     sync.Mutex
	sent   []notice.Message
	refuse map[string]bool
}

func (s *sender) Send(_ context.Context, m notice.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse[m.Channel] {
		return errors.New("the gateway is down")
	}
	s.sent = append(s.sent, m)
	return nil
}

func courier(store *books.Store, s notice.Sender, clk *clock.Fixed) *notice.Courier {
	return &notice.Courier{
		Keeping: books.Keep[notice.Tx]{Store: store, As: func(tx *books.Tx) notice.Tx { return tx }},
		Sender:  s, Clock: clk, Log: slog.New(slog.DiscardHandler),
	}
}

// TestTwoChannels: an account is told by e-mail and by text message, in its
// language; the owner of an unknown vehicle by letter, in both.
func TestTwoChannels(t *testing.T) {
	clk := clock.At(noon)
	store, out := openBooks(t, clk), &sender{}
	issue(t, store, toll("n1", "A1"))
	issue(t, store, toll("n2", ""))
	issue(t, store, toll("n2", "")) // again: nothing happens
	if _, err := courier(store, out, clk).Deliver(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	if n, err := courier(store, out, clk).Deliver(t.Context(), 10); n != 0 || err != nil {
		t.Fatalf("delivered %d again, %v", n, err)
	}
	by := map[string]notice.Message{}
	for _, m := range out.sent {
		by[m.Reference] = m
	}
	if len(out.sent) != 3 || by["n1/email"].To != "chan@example.hk" || by["n1/sms"].To != "+85291234567" || by["n2/post"].Vehicle != "plate:AB1" {
		t.Fatalf("sent were %+v", out.sent)
	}
	if s := by["n1/email"].Subject; s != "待繳隧道費：HK$30.00" {
		t.Errorf("the subject is %q", s)
	}
	if b := by["n2/post"].Body; !strings.Contains(b, "2026年12月15日") || !strings.Contains(b, "15 December 2026") || !strings.Contains(b, "N0000001") {
		t.Errorf("the letter says %q", b)
	}
}

// TestCourierComesAgain: what a channel refuses is tried later and later, and in
// the end goes by letter.
func TestCourierComesAgain(t *testing.T) {
	clk := clock.At(noon)
	store, out := openBooks(t, clk), &sender{refuse: map[string]bool{notice.Email: true, notice.SMS: true}}
	issue(t, store, toll("n1", "A1"))
	tries := 0
	for range 200 {
		n, err := courier(store, out, clk).Deliver(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		tries += n
		clk.Advance(30 * time.Minute)
	}
	ways := deliveries(t, store)
	if ways[notice.Email].State != notice.Undeliverable || ways[notice.SMS].State != notice.Undeliverable || ways[notice.Post].State != notice.Sent {
		t.Errorf("it went %+v", ways)
	}
	if tries < 10 || tries > 40 {
		t.Errorf("it was tried %d times", tries)
	}
}

// TestCourierThatDied: a delivery that was taken and not ended is taken again,
// but not at once, by another.
func TestCourierThatDied(t *testing.T) {
	clk := clock.At(noon)
	store, out := openBooks(t, clk), &sender{}
	issue(t, store, toll("n1", ""))
	ctx, end := context.WithCancel(context.Background())
	dying := &dyingSender{end}
	if _, err := courier(store, dying, clk).Deliver(ctx, 10); err == nil {
		t.Fatal("it did not die")
	}
	if n, _ := courier(store, out, clk).Deliver(t.Context(), 10); n != 0 {
		t.Error("another took it at once")
	}
	clk.Advance(5 * time.Minute)
	if n, err := courier(store, out, clk).Deliver(t.Context(), 10); n != 1 || err != nil || len(out.sent) != 1 {
		t.Errorf("taken %d, %v, sent %d", n, err, len(out.sent))
	}
}

// dyingSender takes the message and then nothing more is written.
type dyingSender struct{ end context.CancelFunc }

func (d *dyingSender) Send(context.Context, notice.Message) error {
	d.end()
	return nil
}

func TestProof(t *testing.T) {
	clk := clock.At(noon)
	store := openBooks(t, clk)
	issue(t, store, toll("n1", ""))
	prove := func(at time.Time, evidence string) error {
		return try(store, func(ctx context.Context, tx *books.Tx) error {
			return notice.Prove(ctx, tx, "n1", notice.Post, at, evidence, "amy")
		})
	}
	for name, err := range map[string]error{
		"without evidence": prove(noon, " "), "before it was issued": prove(noon.Add(-time.Hour), "RD1"),
	} {
		if !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := prove(noon.Add(time.Hour), "RD1"); err != nil {
		t.Fatal(err)
	}
	// The first proof stands, and nothing takes it back.
	if err := prove(noon.Add(9*time.Hour), "RD2"); err != nil {
		t.Fatal(err)
	}
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		return notice.GiveUp(ctx, tx, "n1", notice.Post, noon.Add(10*time.Hour), "came back", "amy")
	})
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		n, err := tx.Notice(ctx, "n1")
		if !n.ServedAt.Equal(noon.Add(time.Hour)) {
			t.Errorf("served at %s", n.ServedAt)
		}
		return err
	})
	if d := deliveries(t, store)[notice.Post]; d.State != notice.Served || d.Evidence != "RD1" {
		t.Errorf("the proof is %+v", d)
	}
}

func TestContentNeverChanges(t *testing.T) {
	clk := clock.At(noon)
	store := openBooks(t, clk)
	issue(t, store, toll("n1", ""))
	other := toll("n1", "")
	other.AmountCents++
	if err := try(store, func(ctx context.Context, tx *books.Tx) error { return notice.Issue(ctx, tx, other) }); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("another content under the id: %v", err)
	}
}

// TestTexts: every kind has a text in both languages, and with all that a text
// asks for no line is lost and nothing stands open.
func TestTexts(t *testing.T) {
	facts := map[string]string{}
	for _, name := range []string{"surcharge", "next", "trips", "day", "reason", "reference", "state", "answer_by", "month"} {
		facts[name] = "«" + name + "»"
	}
	for _, kind := range []string{
		notice.Payment, notice.FirstSurcharge, notice.SecondSurcharge, notice.LicenceHold, notice.Processing, notice.Debited, notice.Failed,
		notice.LowBalance, notice.ToppedUp, notice.SurchargeStruck, notice.Corrected, notice.Refunded, notice.Dispute, notice.Statement,
	} {
		lines := map[string]int{}
		for _, language := range []string{"en", "zh-HK"} {
			n := toll("n1", "A1")
			n.Kind, n.Facts = kind, facts
			text := notice.Write(n, language)
			if text.Subject == "" || text.Body == "" || strings.ContainsAny(text.Subject+text.Body, "{}") {
				t.Errorf("%s in %s: %q %q", kind, language, text.Subject, text.Body)
			}
			lines[language] = strings.Count(text.Body, "\n")
			if n.Facts = nil; strings.Contains(notice.Write(n, language).Body, "«") {
				t.Errorf("%s in %s has facts that nobody gave", kind, language)
			}
		}
		if lines["en"] != lines["zh-HK"] && kind != notice.LicenceHold && kind != notice.SecondSurcharge {
			t.Errorf("%s has %d lines in English, %d in Chinese", kind, lines["en"], lines["zh-HK"])
		}
	}
}
