package payment_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/bankemu"
	"freeflow/billing/books"
	"freeflow/billing/payment"
	"freeflow/billing/payment/bank"
	"freeflow/internal/clock"
	"freeflow/internal/web"
)

// noon is midday of a Tuesday in Hong Kong.
var noon = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)

var hongKong = time.FixedZone("HKT", 8*3600)

const (
	bankKey, adminKey = "bank-key-0123456789", "bank-admin-0123456789"
	noticeSecret      = "notice-secret-0123456789"
)

// world is books, a provider and the service between them, on one clock.
type world struct {
	testing.TB
	ctx     context.Context
	clock   *clock.Fixed
	books   *books.Store
	bank    *bankemu.Emulator
	client  *bank.Client
	service *payment.Service
	// fault may refuse what the service asks of the store.
	fault  *faultyStore
	serial int
}

// newWorld opens everything; url is the books', empty for SQLite in a folder of
// the test's own.
func newWorld(t testing.TB, url string) *world {
	t.Helper()
	w := &world{TB: t, ctx: context.Background(), clock: clock.At(noon)}
	if url == "" {
		url = w.fresh()
	}
	w.books = w.open(url)
	w.fault = &faultyStore{Store: books.Keep[payment.Tx]{Store: w.books, As: func(tx *books.Tx) payment.Tx { return tx }}}
	quiet := slog.New(slog.DiscardHandler)
	var service atomic.Pointer[payment.Service]
	notices := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = service.Load().Receive(r.Context(), "bank", r.Header.Get(payment.HeaderSignature), body)
		}
		switch {
		case errors.Is(err, payment.ErrForged):
			answer.WriteHeader(http.StatusUnauthorized)
		case err != nil:
			answer.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(notices.Close)
	var err error
	w.bank, err = bankemu.New(bankemu.Config{
		Clock: w.clock, Log: quiet, Key: bankKey, AdminKey: adminKey, NoticeURL: notices.URL, Epoch: "e1", Secret: noticeSecret,
	})
	w.must(err)
	server := web.NewEcho(quiet, w.clock)
	w.must(w.bank.Routes(server))
	provider := httptest.NewServer(server)
	t.Cleanup(provider.Close)
	w.client, err = bank.New(bank.Config{
		Name: "bank", URL: provider.URL, Key: bankKey, Notices: payment.Keys{ByEpoch: map[string]string{"e1": noticeSecret}},
	})
	w.must(err)
	w.service = w.newService(w.fault)
	service.Store(w.service)
	return w
}

// empty are the bytes of books without anything in them: to migrate takes longer
// than most tests.
var empty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "payment")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "books.db")
	s, err := books.Open(context.Background(), "sqlite:"+name, books.Options{Migrate: true, Clock: clock.At(noon)})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(name)
})

// fresh is the address of new books on SQLite.
func (w *world) fresh() string {
	w.Helper()
	bytes, err := empty()
	w.must(err)
	name := filepath.Join(w.TempDir(), "books.db")
	w.must(os.WriteFile(name, bytes, 0o600))
	return "sqlite:" + name
}

func (w *world) open(url string) *books.Store {
	w.Helper()
	s, err := books.Open(w.ctx, url, books.Options{Migrate: true, Clock: w.clock})
	w.must(err)
	w.Cleanup(func() { s.Close() })
	return s
}

func (w *world) newService(store payment.Store) *payment.Service {
	w.Helper()
	s, err := payment.New(payment.Config{
		Store: store, Providers: []payment.Provider{w.client}, Clock: w.clock, Zone: hongKong, Log: slog.New(slog.DiscardHandler), Parallel: 1, ApproveAboveCents: 1_000_000_00,
	})
	w.must(err)
	return s
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// do runs fn in a transaction of the books.
func (w *world) do(fn func(tx payment.Tx) error) error {
	return w.fault.Store.Do(w.ctx, fn)
}

// toll charges an account, empty for nobody's, and returns the receivable's id.
func (w *world) toll(account string, cents int64) string {
	w.Helper()
	w.serial++
	id := fmt.Sprintf("t%03d", w.serial)
	w.post(billing.Charge{ID: id, Revision: 1, Account: account, AmountCents: cents})
	return "charge:" + id
}

// post posts a charge and lets the receivables follow.
func (w *world) post(c billing.Charge) {
	w.Helper()
	c.Kind, c.Creditor, c.Currency, c.Vehicle, c.OccurredMicros = "toll", "CHT", "HKD", "AB1234", noon.UnixMicro()
	_, err := w.books.PostCharge(w.ctx, c, w.clock.Now())
	w.must(err)
	w.follow()
}

func (w *world) follow() {
	w.Helper()
	for {
		followed, err := w.books.FollowPostings(w.ctx, 100, w.clock.Now())
		w.must(err)
		if followed.Postings == 0 {
			return
		}
	}
}

// pays makes an account pay in a mode by a new token with money behind it.
func (w *world) pays(account, mode, kind string, cents int64) (token string) {
	w.Helper()
	token = w.bank.AddToken("", kind, cents, "HKD")
	w.means(payment.Means{Account: account, Mode: mode, Kind: kind, Provider: "bank", Token: token})
	return token
}

func (w *world) means(m payment.Means) {
	w.Helper()
	m.Currency, m.By = "HKD", "tester"
	w.must(w.do(func(tx payment.Tx) error {
		_, err := w.service.SetMeans(w.ctx, tx, m)
		return err
	}))
}

// work runs rounds until nothing is done any more; errors are the caller's.
func (w *world) work() error {
	w.Helper()
	for range 20 {
		n, err := w.service.Work(w.ctx)
		if err != nil || n == 0 {
			return err
		}
	}
	w.Fatal("the work does not end")
	return nil
}

// later moves the clock on in steps, working and delivering notices at each.
func (w *world) later(d, step time.Duration) {
	w.Helper()
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.clock.Advance(step)
		w.must(w.work())
		_, _ = w.bank.Deliver(w.ctx) // refused notices are what some tests are about
		w.must(w.work())
	}
}

func (w *world) rest(receivable string) int64 {
	w.Helper()
	var r billing.Receivable
	w.must(w.do(func(tx payment.Tx) (err error) {
		r, err = tx.Receivable(w.ctx, receivable)
		return err
	}))
	return r.RestCents()
}

func (w *world) wallet(holder string) int64 {
	w.Helper()
	var one billing.Wallet
	w.must(w.do(func(tx payment.Tx) (err error) {
		one, err = tx.Wallet(w.ctx, holder, "HKD")
		return err
	}))
	return one.BalanceCents
}

// attempts returns all attempts, oldest first.
func (w *world) attempts() []payment.Attempt {
	w.Helper()
	list, err := w.service.List(w.ctx, payment.Filter{Limit: 1000})
	w.must(err)
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// only returns the one attempt that there is.
func (w *world) only() payment.Attempt {
	w.Helper()
	list := w.attempts()
	if len(list) != 1 {
		w.Fatalf("%d attempts: %+v", len(list), list)
	}
	one, err := w.service.Attempt(w.ctx, list[0].ID)
	w.must(err)
	return one
}

// events returns the kinds of an account's events, oldest first.
func (w *world) events(account string) string {
	w.Helper()
	list, err := w.service.Events(w.ctx, account, w.clock.Now().Add(time.Hour), 1000)
	w.must(err)
	var kinds []string
	for _, e := range list {
		kinds = append([]string{e.Kind}, kinds...)
	}
	return strings.Join(kinds, " ")
}

// audit checks that the ledger holds what the provider says it moved, and that
// the books' invariants hold.
func (w *world) audit() {
	w.Helper()
	totals, cash := w.bank.Totals("HKD"), int64(0)
	balances, err := w.books.Balances(w.ctx, []string{"cash:card", "cash:bank", "cash:stored-value", "cash:fps"})
	w.must(err)
	for _, b := range balances {
		cash += b.AmountCents
	}
	if cash != totals.TakenCents-totals.GivenCents {
		w.Errorf("the ledger has %s, the provider took %s and gave %s", billing.FormatCents(cash), billing.FormatCents(totals.TakenCents), billing.FormatCents(totals.GivenCents))
	}
	checks, err := w.books.Verify(w.ctx)
	w.must(err)
	for _, c := range checks {
		for _, v := range c.Violations {
			w.Errorf("%s: %s", v.Invariant, v.Detail)
		}
	}
}

// seeds runs a test with that many random sources, whose seeds are in the names
// of the subtests. FREEFLOW_SEED=n runs one again, FREEFLOW_SEEDS=n runs more.
func seeds(t *testing.T, n int, test func(t *testing.T, r *rand.Rand)) {
	t.Helper()
	first := 1
	for name, value := range map[string]*int{"FREEFLOW_SEED": &first, "FREEFLOW_SEEDS": &n} {
		if text := os.Getenv(name); text != "" {
			number, err := strconv.Atoi(text)
			if err != nil {
				t.Fatalf("%s is %q, not a number", name, text)
			}
			if *value = number; name == "FREEFLOW_SEED" {
				n = 1
			}
		}
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { test(t, rand.New(rand.NewPCG(uint64(seed), 852))) })
	}
}

// errCrash is what a call of a crashing store gives.
var errCrash = errors.New("the process died")

// faultyStore dies at the n-th transaction: before it began, or after it was
// committed and before anybody knew. Everything after that fails too.
type faultyStore struct {
	payment.Store
	mu       sync.Mutex
	n, dieAt int
	after    bool
	dead     bool
}

// next counts a transaction and says whether the process dies before or after
// it.
func (f *faultyStore) next() (before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return true, false
	}
	f.n++
	f.dead = f.n == f.dieAt
	return f.dead && !f.after, f.dead && f.after
}

func (f *faultyStore) Do(ctx context.Context, fn func(payment.Tx) error) error {
	before, after := f.next()
	switch {
	case before:
		return errCrash
	case after:
		return errors.Join(f.Store.Do(ctx, fn), errCrash)
	}
	return f.Store.Do(ctx, fn)
}

func (f *faultyStore) View(ctx context.Context, fn func(payment.Tx) error) error {
	f.mu.Lock()
	dead := f.dead
	f.mu.Unlock()
	if dead {
		return errCrash
	}
	return f.Store.View(ctx, fn)
}

// reset brings the process back.
func (f *faultyStore) reset(dieAt int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n, f.dieAt, f.after, f.dead = 0, dieAt, after, false
}
