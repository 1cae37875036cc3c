package notice_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/internal/clock"
)

// TestWhatIsNoNotice: what is at a bound is issued, what is beyond it is not.
func TestWhatIsNoNotice(t *testing.T) {
	store := openBooks(t, clock.At(noon))
	for name, tc := range map[string]struct {
		change func(*notice.Notice)
		fails  bool
	}{
		"no id":             {func(n *notice.Notice) { n.ID = "" }, true},
		"an id of 256":      {func(n *notice.Notice) { n.ID = strings.Repeat("x", 256) }, false},
		"an id of 257":      {func(n *notice.Notice) { n.ID = strings.Repeat("x", 257) }, true},
		"no kind":           {func(n *notice.Notice) { n.Kind = "" }, true},
		"no instant":        {func(n *notice.Notice) { n.IssuedAt = time.Time{} }, true},
		"nobody":            {func(n *notice.Notice) { n.Account, n.Vehicle = "", "" }, true},
		"an account alone":  {func(n *notice.Notice) { n.Account, n.Vehicle = "A1", "" }, false},
		"a vehicle alone":   {func(n *notice.Notice) { n.Account = "" }, false},
		"below nothing":     {func(n *notice.Notice) { n.AmountCents = -1 }, true},
		"nothing":           {func(n *notice.Notice) { n.AmountCents = 0 }, false},
		"no money at all":   {func(n *notice.Notice) { n.AmountCents, n.Currency = 0, "" }, false},
		"money of no kind":  {func(n *notice.Notice) { n.Currency = "" }, true},
		"a name of 64":      {func(n *notice.Notice) { n.Facts = map[string]string{strings.Repeat("n", 64): "x"} }, false},
		"a name of 65":      {func(n *notice.Notice) { n.Facts = map[string]string{strings.Repeat("n", 65): "x"} }, true},
		"a fact of 500":     {func(n *notice.Notice) { n.Facts = map[string]string{"reason": strings.Repeat("x", 500)} }, false},
		"a fact of 501":     {func(n *notice.Notice) { n.Facts = map[string]string{"reason": strings.Repeat("x", 501)} }, true},
		"nobody's account":  {func(n *notice.Notice) { n.Account = "not there" }, false},
		"an ordinary one":   {func(*notice.Notice) {}, false},
		"of another amount": {func(n *notice.Notice) { n.AmountCents = 1 }, false},
	} {
		n := toll(name, "A1")
		tc.change(&n)
		err := try(store, func(ctx context.Context, tx *books.Tx) error { return notice.Issue(ctx, tx, n) })
		if tc.fails != (err != nil) || err != nil && !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCourierWaits: a channel that fails is tried again after 1, 2, 4 minutes and
// so on, 6 hours at most, and given up after 12 tries.
func TestCourierWaits(t *testing.T) {
	clk := clock.At(noon)
	store, out := openBooks(t, clk), &sender{refuse: map[string]bool{notice.Post: true}}
	issue(t, store, toll("n1", ""))
	for _, minutes := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360} {
		wait := time.Duration(minutes) * time.Minute
		if n, err := courier(store, out, clk).Deliver(t.Context(), 10); n != 1 || err != nil {
			t.Fatalf("before a wait of %s: %d, %v", wait, n, err)
		}
		clk.Advance(wait - time.Second)
		if n, _ := courier(store, out, clk).Deliver(t.Context(), 10); n != 0 {
			t.Fatalf("it was tried before %s were over", wait)
		}
		clk.Advance(time.Second)
	}
	if got := deliveries(t, store)[notice.Post]; got.State != notice.Waiting || got.Attempts != 11 {
		t.Fatalf("before the last try it is %+v", got)
	}
	if n, err := courier(store, out, clk).Deliver(t.Context(), 10); n != 1 || err != nil {
		t.Fatalf("the last try: %d, %v", n, err)
	}
	if got := deliveries(t, store)[notice.Post]; got.State != notice.Undeliverable || got.By != "courier" || !got.NextAt.IsZero() {
		t.Errorf("in the end it is %+v", got)
	}
}

// TestClaimIsLeftAlone: what one courier took is another's after two minutes, not
// before.
func TestClaimIsLeftAlone(t *testing.T) {
	clk := clock.At(noon)
	store, out := openBooks(t, clk), &sender{}
	issue(t, store, toll("n1", ""))
	ctx, end := context.WithCancel(t.Context())
	_, _ = courier(store, &dyingSender{end}, clk).Deliver(ctx, 10)
	clk.Advance(2*time.Minute - time.Second)
	if n, _ := courier(store, out, clk).Deliver(t.Context(), 10); n != 0 {
		t.Error("it was taken too early")
	}
	clk.Advance(time.Second)
	if n, _ := courier(store, out, clk).Deliver(t.Context(), 10); n != 1 {
		t.Error("it was not taken")
	}
}

// TestOneUndelivered: what cannot be read holds up no other, and is said.
func TestOneUndelivered(t *testing.T) {
	clk := clock.At(noon)
	store, out := openBooks(t, clk), &sender{}
	issue(t, store, toll("n1", ""))
	issue(t, store, toll("n2", ""))
	c := courier(store, out, clk)
	c.Keeping = blind{books.Keep[notice.Tx]{Store: store, As: func(tx *books.Tx) notice.Tx { return tx }}}
	n, err := c.Deliver(t.Context(), 10)
	if n != 2 || err == nil || !strings.Contains(err.Error(), "n1") || len(out.sent) != 1 || out.sent[0].Reference != "n2/post" {
		t.Errorf("taken %d, %v, sent %+v", n, err, out.sent)
	}
}

// blind is a store that cannot read the notice n1.
type blind struct{ books.Keep[notice.Tx] }

func (b blind) View(ctx context.Context, fn func(notice.Tx) error) error {
	return b.Keep.View(ctx, func(tx notice.Tx) error { return fn(blindTx{tx}) })
}

type blindTx struct{ notice.Tx }

func (b blindTx) Notice(ctx context.Context, id string) (notice.Notice, error) {
	if id == "n1" {
		return notice.Notice{}, errors.New("the row is damaged")
	}
	return b.Tx.Notice(ctx, id)
}

// logged keeps what is logged as errors.
type logged struct {
	slog.Handler
	seen chan string
}

func (l logged) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		select {
		case l.seen <- r.Message:
		default:
		}
	}
	return nil
}

func (l logged) Enabled(context.Context, slog.Level) bool { return true }

// TestCourierRuns: it delivers until it is told to end, says what fails, and ends
// without an error.
func TestCourierRuns(t *testing.T) {
	clk := clock.At(noon)
	store, out := openBooks(t, clk), &sender{}
	issue(t, store, toll("n1", ""))
	log := logged{slog.DiscardHandler, make(chan string, 1)}
	c := courier(store, out, clk)
	c.Log = slog.New(log)
	c.Keeping = blind{books.Keep[notice.Tx]{Store: store, As: func(tx *books.Tx) notice.Tx { return tx }}}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	if said := <-log.seen; said != "notices not delivered" {
		t.Errorf("it said %q", said)
	}
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// Ended before it begins, it says nothing.
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
	select {
	case said := <-log.seen:
		t.Errorf("at its end it said %q", said)
	default:
	}
}

// TestProofNeedsAll: who brings it and when it arrived.
func TestProofNeedsAll(t *testing.T) {
	store := openBooks(t, clock.At(noon))
	issue(t, store, toll("n1", ""))
	for name, tc := range map[string]struct {
		id    string
		at    time.Time
		by    string
		wants error
	}{
		"by nobody":               {"n1", noon, "", billing.ErrInvalid},
		"at no time":              {"n1", time.Time{}, "amy", billing.ErrInvalid},
		"a minute before":         {"n1", noon.Add(-time.Minute), "amy", nil},
		"more than that":          {"n1", noon.Add(-time.Minute - time.Second), "amy", billing.ErrInvalid},
		"of what was not issued ": {"n2", noon, "amy", billing.ErrNotFound},
	} {
		err := try(store, func(ctx context.Context, tx *books.Tx) error {
			return notice.Prove(ctx, tx, tc.id, notice.Post, tc.at, "RD1", tc.by)
		})
		if !errors.Is(err, tc.wants) || tc.wants == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOtherMoney: an amount that is not Hong Kong's says which it is.
func TestOtherMoney(t *testing.T) {
	n := toll("n1", "")
	n.Currency = "TWD"
	if s := notice.Write(n, "en").Subject; s != "Toll to pay: TWD 30.00" {
		t.Errorf("the subject is %q", s)
	}
}
