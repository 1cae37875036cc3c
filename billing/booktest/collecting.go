package booktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"freeflow/billing"
)

// Moneys are books with wallets and receivables.
type Moneys interface {
	Books
	billing.Collecting
	// Do runs fn in one transaction, View on one snapshot.
	Do(ctx context.Context, fn func(billing.Money) error) error
	View(ctx context.Context, fn func(billing.Money) error) error
}

// RunCollecting runs the suite of wallets, receivables and collecting, a
// subtest a behaviour.
func RunCollecting(t *testing.T, fresh func(t *testing.T) Moneys) {
	for _, topic := range []struct {
		name  string
		tests []moneyTest
	}{
		{"Wallets", walletTests}, {"Receivables", receivableTests}, {"Collecting", collectingTests},
		{"CollectingModel", collectingModelTests}, {"CollectingConcurrency", collectingConcurrencyTests},
	} {
		t.Run(topic.name, func(t *testing.T) {
			for _, test := range topic.tests {
				t.Run(test.name, func(t *testing.T) {
					b := fresh(t)
					test.run(t, &purse{Moneys: b, log: log{b: b}})
					sound(t, b)
				})
			}
		})
	}
}

// moneyTest is one behaviour, shown on fresh books, which are sound in the end.
type moneyTest struct {
	name string
	run  func(t *testing.T, b *purse)
}

// reporter is what shorthands need of a test, or of a run of a property.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// purse are books, and shorthands for what is done to them.
type purse struct {
	Moneys
	log log
}

// do runs fn in one transaction.
func (b *purse) do(t reporter, fn func(m billing.Money) error) {
	t.Helper()
	if err := b.Do(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// fails runs fn in one transaction, which must fail with want and change
// nothing.
func (b *purse) fails(t reporter, want error, fn func(m billing.Money) error) {
	t.Helper()
	if err := b.Do(context.Background(), fn); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// receipt is money for a holder's wallet.
func receipt(id, holder string, cents int64) billing.Movement {
	return billing.Movement{ID: id, Kind: billing.Receipt, Holder: holder, Means: "card", AmountCents: cents, Currency: "HKD", At: postedAt.Add(-time.Minute)}
}

// payout is money paid out of acc-1's wallet.
func payout(id string, cents int64) billing.Movement {
	m := receipt(id, "acc-1", cents)
	m.Kind, m.Means = billing.Payout, "fps"
	return m
}

// move posts a movement that must be new.
func (b *purse) move(t reporter, m billing.Movement) {
	t.Helper()
	b.do(t, func(tx billing.Money) error {
		known, err := tx.Move(context.Background(), m, postedAt)
		if known {
			t.Errorf("movement %s was known", m.ID)
		}
		return err
	})
}

// collect pays what is open out of the holder's wallet, and returns which.
func (b *purse) collect(t reporter, holder string) (paid []string) {
	t.Helper()
	b.do(t, func(tx billing.Money) error {
		list, err := tx.CollectOpen(context.Background(), holder, "HKD", 100, postedAt)
		paid = receivablesOf(list)
		return err
	})
	return paid
}

func receivablesOf(list []billing.Collection) []string {
	var ids []string
	for _, c := range list {
		ids = append(ids, c.Receivable)
	}
	return ids
}

// follow follows everything, a few postings at a time.
func (b *purse) follow(t reporter) {
	t.Helper()
	for {
		done, err := b.FollowPostings(context.Background(), 3, postedAt)
		if err != nil {
			t.Fatal(err)
		}
		if done.Postings == 0 {
			return
		}
	}
}

// holds checks what wallets hold.
func (b *purse) holds(t reporter, want map[string]int64) {
	t.Helper()
	err := b.View(context.Background(), func(tx billing.Money) error {
		for holder, cents := range want {
			w, err := tx.Wallet(context.Background(), holder, "HKD")
			if err != nil {
				return err
			}
			if w.BalanceCents != cents || w.Holder != holder || w.Currency != "HKD" {
				t.Errorf("wallet of %s: %+v, want %d cents", holder, w, cents)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// receivable returns one.
func (b *purse) receivable(t reporter, id string) (r billing.Receivable) {
	t.Helper()
	err := b.View(context.Background(), func(tx billing.Money) error {
		var err error
		r, err = tx.Receivable(context.Background(), id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// paid checks amounts and what is paid of them, by receivable.
func (b *purse) paid(t reporter, want map[string][2]int64) {
	t.Helper()
	for id, cents := range want {
		if r := b.receivable(t, id); r.AmountCents != cents[0] || r.PaidCents != cents[1] {
			t.Errorf("receivable %s: %d of %d paid, want %d of %d", id, r.PaidCents, r.AmountCents, cents[1], cents[0])
		}
	}
}

// passOf is the receivable of a pass, stayReceivable that of the charge "stay".
func passOf(n int) string         { return billing.ReceivablePass + id(n) }
func vehicleOf(tag string) string { return billing.HolderTag + tag }

const stayReceivable = billing.ReceivableCharge + "stay"

// toll is a new pass charged to an account, of a vehicle of its own.
func toll(n int, account string, cents int64) billing.Pass {
	p := charged(n, int64(n)*100)
	p.Vehicle, p.Account, p.AmountCents = fmt.Sprint("V", n), account, cents
	return p
}

var walletTests = []moneyTest{
	{"a receipt stands in the wallet, once", func(t *testing.T, b *purse) {
		m := receipt("m1", "acc-1", 5000)
		b.move(t, m)
		b.do(t, func(tx billing.Money) error {
			known, err := tx.Move(context.Background(), m, postedAt.Add(time.Hour))
			if !known {
				t.Error("the same movement was taken for a new one")
			}
			return err
		})
		b.holds(t, map[string]int64{"acc-1": 5000, "acc-2": 0})
		owe(t, b, map[string]int64{"wallet:acc-1": -5000, "cash:card": 5000})
		for _, other := range []billing.Movement{receipt("m1", "acc-1", 5001), receipt("m1", "acc-2", 5000), payout("m1", 5000)} {
			b.fails(t, billing.ErrConflict, func(tx billing.Money) error {
				_, err := tx.Move(context.Background(), other, postedAt)
				return err
			})
		}
	}},
	{"a payout takes no more than the wallet holds", func(t *testing.T, b *purse) {
		move := func(m billing.Movement) func(billing.Money) error {
			return func(tx billing.Money) error {
				_, err := tx.Move(context.Background(), m, postedAt)
				return err
			}
		}
		b.fails(t, billing.ErrConflict, move(payout("p0", 1)))
		b.move(t, receipt("m1", "acc-1", 5000))
		b.fails(t, billing.ErrConflict, move(payout("p1", 5001)))
		b.move(t, payout("p1", 5000))
		b.holds(t, map[string]int64{"acc-1": 0})
		owe(t, b, map[string]int64{"wallet:acc-1": 0, "cash:card": 5000, "cash:fps": -5000})
		b.fails(t, billing.ErrConflict, func(tx billing.Money) error {
			return tx.ReverseMovement(context.Background(), "m1", "bounced", postedAt)
		})
		for range 2 {
			b.do(t, func(tx billing.Money) error {
				return tx.ReverseMovement(context.Background(), "p1", "came back", postedAt)
			})
			b.holds(t, map[string]int64{"acc-1": 5000})
		}
		owe(t, b, map[string]int64{"wallet:acc-1": -5000, "cash:card": 5000, "cash:fps": 0})
		b.fails(t, billing.ErrNotFound, func(tx billing.Money) error {
			return tx.ReverseMovement(context.Background(), "none", "x", postedAt)
		})
	}},
	{"what cannot be is refused", func(t *testing.T, b *purse) {
		for name, change := range map[string]func(*billing.Movement){
			"no id":       func(m *billing.Movement) { m.ID = "" },
			"a long id":   func(m *billing.Movement) { m.ID = string(make([]byte, 257)) },
			"no kind":     func(m *billing.Movement) { m.Kind = "" },
			"no holder":   func(m *billing.Movement) { m.Holder = "" },
			"no means":    func(m *billing.Movement) { m.Means = "" },
			"no currency": func(m *billing.Movement) { m.Currency = "" },
			"nothing":     func(m *billing.Movement) { m.AmountCents = 0 },
			"less":        func(m *billing.Movement) { m.AmountCents = -1 },
			"too much":    func(m *billing.Movement) { m.AmountCents = 1 << 62 },
			"no instant":  func(m *billing.Movement) { m.At = time.Time{} },
			"a long note": func(m *billing.Movement) { m.Note = string(make([]byte, 1001)) },
			"no text":     func(m *billing.Movement) { m.Note = "\xff" },
		} {
			m := receipt("m1", "acc-1", 100)
			change(&m)
			err := b.Do(context.Background(), func(tx billing.Money) error {
				_, err := tx.Move(context.Background(), m, postedAt)
				return err
			})
			if !errors.Is(err, billing.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		b.fails(t, billing.ErrInvalid, func(tx billing.Money) error {
			_, err := tx.Move(context.Background(), receipt("m1", "acc-1", 1), time.Time{})
			return err
		})
		b.fails(t, billing.ErrInvalid, func(tx billing.Money) error {
			return tx.ReverseMovement(context.Background(), "m1", "", postedAt)
		})
		if _, err := b.FollowPostings(context.Background(), 0, postedAt); !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("followed nothing with %v", err)
		}
		if _, err := b.FollowPostings(context.Background(), 1, time.Time{}); !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("followed at no instant with %v", err)
		}
		b.holds(t, map[string]int64{"acc-1": 0})
	}},
	{"movements are listed in order, page by page", func(t *testing.T, b *purse) {
		at := postedAt
		for i, minute := range []int{3, 1, 2, 2} {
			m := receipt(fmt.Sprint("m", i), "acc-1", int64(100+i))
			m.At, m.Note = at.Add(time.Duration(minute)*time.Minute), "a note"
			b.move(t, m)
		}
		b.move(t, receipt("other", "acc-2", 1))
		var got []string
		err := b.View(context.Background(), func(tx billing.Money) error {
			for after := ""; ; {
				list, err := tx.Movements(context.Background(), "acc-1", at, at.Add(3*time.Minute), after, 2)
				if err != nil || len(list) == 0 {
					return err
				}
				for _, m := range list {
					got = append(got, m.ID)
				}
				after = got[len(got)-1]
			}
		})
		if err != nil || !slices.Equal(got, []string{"m1", "m2", "m3"}) {
			t.Errorf("listed %v, %v", got, err)
		}
		err = b.View(context.Background(), func(tx billing.Money) error {
			m, err := tx.Movement(context.Background(), "m2")
			if err == nil && (m.AmountCents != 102 || m.Note != "a note" || !m.ReversedAt.IsZero() || !m.At.Equal(at.Add(2*time.Minute))) {
				t.Errorf("read %+v", m)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}},
	{"what one transaction does stands together or not at all", func(t *testing.T, b *purse) {
		b.log.post(t, toll(1, "acc-1", 800))
		b.follow(t)
		broken := errors.New("broken off")
		charge := nobodys("fee")
		charge.Account = "acc-1"
		all := func(tx billing.Money) error {
			ctx := context.Background()
			if _, err := tx.Move(ctx, receipt("m1", "acc-1", 5000), postedAt); err != nil {
				return err
			}
			if _, err := tx.CollectOpen(ctx, "acc-1", "HKD", 10, postedAt); err != nil {
				return err
			}
			_, err := tx.PostCharge(ctx, charge, postedAt)
			return err
		}
		b.fails(t, broken, func(tx billing.Money) error {
			if err := all(tx); err != nil {
				return err
			}
			return broken
		})
		b.holds(t, map[string]int64{"acc-1": 0})
		owe(t, b, map[string]int64{"account:acc-1": 800, "wallet:acc-1": 0, "cash:card": 0})
		b.do(t, all)
		owe(t, b, map[string]int64{"account:acc-1": charge.AmountCents, "wallet:acc-1": -4200, "cash:card": 5000})
		b.follow(t)
		owe(t, b, map[string]int64{"account:acc-1": 0, "wallet:acc-1": charge.AmountCents - 4200, "cash:card": 5000})
	}},
}
