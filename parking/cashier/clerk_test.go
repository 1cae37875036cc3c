package cashier

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/parking"

	"pgregory.net/rapid"
)

func (w *world) clerk(l billing.Charging) *Clerk {
	w.Helper()
	k, err := NewClerk(ClerkParts{Ledger: w.store, Keeping: w.store, Charging: l, Clock: w.clock, Log: quiet()})
	if err != nil {
		w.Fatal(err)
	}
	return k
}

// until posts until nothing is left, bearing faults, and fails if that takes
// more than some tries.
func (w *world) until(k *Clerk) {
	w.Helper()
	for range 200 {
		n, err := k.Once(w.Context())
		if err == nil && n == 0 {
			if left, err := w.store.Unposted(w.Context(), 1); err != nil {
				w.Fatal(err)
			} else if len(left) == 0 {
				return
			}
		}
	}
	w.Fatal("orders are left")
}

func (w *world) alarms(kind string) (list []parking.Alarm) {
	w.Helper()
	err := w.store.View(w.Context(), func(tx parking.Tx) error {
		for _, park := range []string{"P", "M", "L", "N", ""} {
			all, err := tx.Alarms(w.Context(), park, 100)
			if err != nil {
				return err
			}
			for _, a := range all {
				if a.Kind == kind && (park != "" || a.CarPark == "") {
					list = append(list, a)
				}
			}
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return list
}

// busy makes a day with everything that orders can be of.
func (w *world) busy() {
	w.Helper()
	w.pass("02:00:00", "IN-1", "AB1")
	id := w.pass("02:00:00", "IN-2", "ZZ9").Stay
	w.at("02:30:00")
	w.mustPay(id, 20_00, "p1")
	w.pass("04:00:00", "OUT-1", "AB1")
	w.pass("04:00:00", "OUT-2", "ZZ9")
	w.mustPay(id, 20_00, "p2")
	if _, err := w.cashier.Validate(w.Context(), ValidationRequest{Stay: id, Code: "shop", By: "shop"}, Keep[Bill]{}); err != nil {
		w.Fatal(err)
	}
	if _, err := w.cashier.Refund(w.Context(), RefundRequest{Stay: id, By: "staff", Reason: "validated"}, Keep[Bill]{}); err != nil {
		w.Fatal(err)
	}
	w.pass("05:00:00", "OUT-1", "CD3")
	late := w.event("IN-1", "CD3")
	late.At = monday.Add(3 * time.Hour)
	w.lane(late)
}

// The clerk is killed at any point between two calls, and every reply may be
// lost: each order is posted once all the same.
func TestAKilledClerkPostsOnce(t *testing.T) {
	w := newWorld(t)
	w.busy()
	calm := newFakeLedger()
	orders, err := w.store.Unposted(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range orders {
		one := &Clerk{p: ClerkParts{Charging: calm, Clock: w.clock, Log: quiet()}}
		var doc document
		if err := json.Unmarshal(o.Document, &doc); err != nil {
			t.Fatal(err)
		}
		if err := one.post(t.Context(), &doc); err != nil {
			t.Fatal(err)
		}
	}
	calls := calm.calls
	if calls < 9 {
		t.Fatalf("only %d calls", calls)
	}
	killed := errors.New("killed")
	for _, lost := range []bool{false, true} {
		for at := 1; at <= calls; at++ {
			l := newFakeLedger()
			die := func(string) error {
				if l.calls == at {
					return killed
				}
				return nil
			}
			if lost {
				l.after = die
			} else {
				l.before = die
			}
			// The clerk's marks are lost with it: nothing at all is marked.
			k := &Clerk{p: ClerkParts{Ledger: forgetful{w.store}, Keeping: w.store, Charging: l, Clock: w.clock, Log: quiet()}, tried: map[string]int{}}
			if _, err := k.Once(t.Context()); !errors.Is(err, killed) {
				t.Fatalf("call %d, reply lost %v: %v", at, lost, err)
			}
			if _, err := k.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := k.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(l.charges) != fmt.Sprint(calm.charges) || l.cash() != calm.cash() || l.postings != calm.postings {
				t.Fatalf("killed at call %d, reply lost %v:\ngot  %+v\nwant %+v", at, lost, l.charges, calm.charges)
			}
		}
	}
	w.until(w.clerk(w.ledger))
	w.wantConserved(w.ledger)
	if len(w.alarms("ledger-refused")) != 0 {
		t.Errorf("alarms %+v", w.alarms("ledger-refused"))
	}
}

// forgetful marks nothing.
type forgetful struct{ parking.Ledger }

func (forgetful) MarkPosted(context.Context, []string, time.Time) error { return nil }

func TestARefusedOrderDoesNotBlockTheRest(t *testing.T) {
	w := newWorld(t)
	w.pass("02:00:00", "IN-1", "AB1")
	w.pass("02:00:00", "IN-2", "CD3")
	w.pass("03:00:00", "OUT-1", "AB1")
	w.pass("03:00:00", "OUT-2", "CD3")
	l := w.ledger
	bad := w.stays("P")[0]
	l.before = func(what string) error {
		if strings.Contains(what, bad.ID) {
			return fmt.Errorf("no such account: %w", billing.ErrInvalid)
		}
		return nil
	}
	w.until(w.clerk(l))
	if a := w.alarms("ledger-refused"); len(a) != 1 || !strings.Contains(a[0].Detail, "no such account") || a[0].CarPark != "P" {
		t.Errorf("alarms %+v", a)
	}
	if len(l.charges) != 1 {
		t.Errorf("charges %+v", l.charges)
	}
	// Put right, it is ordered anew.
	l.before = func(string) error { return nil }
	if _, err := w.cashier.Reorder(t.Context(), bad.ID, Keep[Bill]{}); err != nil {
		t.Fatal(err)
	}
	w.until(w.clerk(l))
	w.wantConserved(l)
}

func TestADisturbedClerkTriesAgain(t *testing.T) {
	few(t, "30")
	w := newWorld(t)
	w.busy()
	rapid.Check(t, func(rt *rapid.T) {
		l := newFakeLedger()
		fault := errors.New("the network")
		budget := rapid.IntRange(0, 20).Draw(rt, "faults")
		flaky := func(string) error {
			if budget > 0 && rapid.Bool().Draw(rt, "fails") {
				budget--
				return fault
			}
			return nil
		}
		l.before, l.after = flaky, flaky
		memory := &marks{Ledger: w.store, posted: map[string]bool{}}
		k := &Clerk{p: ClerkParts{Ledger: memory, Keeping: w.store, Charging: l, Clock: w.clock, Log: quiet()}, tried: map[string]int{}}
		for range 100 {
			if n, err := k.Once(t.Context()); err == nil && n == 0 {
				break
			}
		}
		l.before, l.after = func(string) error { return nil }, func(string) error { return nil }
		w.wantConserved(l)
	})
}

// marks keeps the marks in memory, so that one store serves many runs.
type marks struct {
	parking.Ledger
	mu     sync.Mutex
	posted map[string]bool
}

func (m *marks) Unposted(ctx context.Context, limit int) ([]parking.LedgerOrder, error) {
	all, err := m.Ledger.Unposted(ctx, 1000)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []parking.LedgerOrder
	for _, o := range all {
		if !m.posted[o.ID] && len(list) < limit {
			list = append(list, o)
		}
	}
	return list, nil
}

func (m *marks) MarkPosted(_ context.Context, ids []string, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		m.posted[id] = true
	}
	return nil
}

func TestTwoClerksOnTheRealBooks(t *testing.T) {
	w := newWorld(t)
	w.busy()
	b := realBooks(t, w)
	orders, err := w.store.Unposted(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			k := &Clerk{p: ClerkParts{Ledger: w.store, Keeping: w.store, Charging: b, Clock: w.clock, Log: quiet()}, tried: map[string]int{}}
			for range 50 {
				if n, err := k.Once(t.Context()); err == nil && n == 0 {
					return
				}
			}
		})
	}
	group.Wait()
	w.until(w.clerk(b))
	w.wantBooks(b)
	// Everything once more: nothing changes.
	before := transactions(t, b)
	k := &Clerk{p: ClerkParts{Ledger: sameAgain{forgetful{w.store}, orders}, Keeping: w.store, Charging: b, Clock: w.clock, Log: quiet()}, tried: map[string]int{}}
	if _, err := k.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := transactions(t, b); after != before {
		t.Errorf("%d transactions, were %d", after, before)
	}
	w.wantBooks(b)
	if a := w.alarms("ledger-refused"); len(a) != 0 {
		t.Errorf("alarms %+v", a)
	}
}

// sameAgain gives the same orders whatever was marked.
type sameAgain struct {
	forgetful
	orders []parking.LedgerOrder
}

func (a sameAgain) Unposted(context.Context, int) ([]parking.LedgerOrder, error) {
	return a.orders, nil
}

func realBooks(t *testing.T, w *world) *books.Store {
	t.Helper()
	b, err := books.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "books.db"), books.Options{Migrate: true, Clock: w.clock, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func charges(t testing.TB, b billing.Charging) []billing.Charge {
	t.Helper()
	list, next, err := b.Charges(t.Context(), billing.ChargeFilter{Limit: 1000})
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	return list
}

func transactions(t testing.TB, b billing.Charging) (n int) {
	t.Helper()
	for _, c := range charges(t, b) {
		_, list, err := b.Charge(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		n += len(list)
	}
	return n
}

// wantBooks: the real books' charges and payments are the stays', to the cent,
// and the books agree with themselves.
func (w *world) wantBooks(b *books.Store) {
	w.Helper()
	var cost, credit, paid, charged, paidThere int64
	for _, park := range []string{"P", "M", "L", "N"} {
		for _, s := range w.stays(park) {
			cost += s.AmountCents
			paid += s.PaidCents
			if s.State == parking.Closed {
				credit += max(0, s.PaidCents-s.AmountCents)
			} else {
				credit += s.PaidCents
			}
		}
	}
	for _, c := range charges(w, b) {
		charged += c.AmountCents
		paidThere += c.PaidCents
	}
	if charged != cost+credit || paidThere != paid {
		w.Errorf("stays cost %d and were paid %d, %d of it too much; the books have %d and %d", cost, paid, credit, charged, paidThere)
	}
	checks, err := b.Verify(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range checks {
		if len(c.Violations) > 0 {
			w.Errorf("%s: %v", c.Invariant, c.Violations)
		}
	}
	own, err := w.store.Verify(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range own {
		if len(c.Violations) > 0 {
			w.Errorf("%s: %v", c.Invariant, c.Violations)
		}
	}
}
