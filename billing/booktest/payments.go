package booktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/billing"
)

var paymentTests = []test{
	{"payments pay what is owed, and no more", func(t *testing.T, b Books) {
		ctx := context.Background()
		postCharge(t, b, nobodys("s1"), 0)
		pay(t, b, payment("p1", "s1", 1500), 1500)
		for _, p := range []billing.Payment{payment("p2", "s1", 501), payment("p2", "s1", 0), payment("p2", "s1", -1), payment("", "s1", 1), payment("p2", "", 1),
			{ID: "p2", ChargeID: "s1", AmountCents: 1, Currency: "TWD", Means: "machine", PaidAt: postedAt},
			{ID: "p2", ChargeID: "s1", AmountCents: 1, Currency: "HKD", PaidAt: postedAt}, {ID: "p2", ChargeID: "s1", AmountCents: 1, Currency: "HKD", Means: "machine"},
		} {
			_, err := b.PostPayment(ctx, p, postedAt)
			wantError(t, err, billing.ErrInvalid)
		}
		card := payment("p2", "s1", 500)
		card.Means = "card"
		pay(t, b, card, 2000)
		ledger(t, b, "s1", "charge 1 unpaid:tko 20.00", "payment 1 cash:machine 15.00", "payment 1 cash:card 5.00")
		owe(t, b, map[string]int64{"unpaid:tko": 0, "operator:tko": -2000, "cash:machine": 1500, "cash:card": 500})
		paid := nobodys("s1")
		paid.PaidCents = 2000
		stands(t, b, paid)
		_, err := b.PostPayment(ctx, payment("p9", "none", 1), postedAt)
		wantError(t, err, billing.ErrNotFound)
		sound(t, b)
	}},
	{"a payment's id is one payment's", func(t *testing.T, b Books) {
		ctx := context.Background()
		postCharge(t, b, nobodys("s1"), 0)
		postCharge(t, b, nobodys("s2"), 0)
		p := payment("p1", "s1", 500)
		pay(t, b, p, 500)
		for name, change := range map[string]func(*billing.Payment){
			"charge":  func(p *billing.Payment) { p.ChargeID = "s2" },
			"amount":  func(p *billing.Payment) { p.AmountCents = 400 },
			"means":   func(p *billing.Payment) { p.Means = "card" },
			"instant": func(p *billing.Payment) { p.PaidAt = p.PaidAt.Add(time.Second) },
		} {
			other := p
			change(&other)
			if _, err := b.PostPayment(ctx, other, postedAt); !errors.Is(err, billing.ErrConflict) {
				t.Errorf("another %s: %v", name, err)
			}
		}
		sound(t, b)
	}},
	{"a charge of an account takes no payment", func(t *testing.T, b Books) {
		postCharge(t, b, stay("s1"), 0)
		_, err := b.PostPayment(context.Background(), payment("p1", "s1", 1), postedAt)
		wantError(t, err, billing.ErrConflict)
		sound(t, b)
	}},
	{"a refund undoes a payment once", func(t *testing.T, b Books) {
		ctx := context.Background()
		postCharge(t, b, nobodys("s1"), 0)
		p := payment("p1", "s1", 2000)
		pay(t, b, p, 2000)
		for range 3 {
			c, err := b.RefundPayment(ctx, "p1", postedAt)
			if err != nil || c.ID != "s1" || c.PaidCents != 0 {
				t.Fatalf("%+v, %v", c, err)
			}
		}
		// The same payment again is the one that was refunded.
		pay(t, b, p, 0)
		pay(t, b, payment("p2", "s1", 2000), 2000)
		ledger(t, b, "s1", "charge 1 unpaid:tko 20.00", "payment 1 cash:machine 20.00", "reversal 2 cash:machine -20.00", "payment 1 cash:machine 20.00")
		owe(t, b, map[string]int64{"unpaid:tko": 0, "operator:tko": -2000, "cash:machine": 2000})
		_, err := b.RefundPayment(ctx, "none", postedAt)
		wantError(t, err, billing.ErrNotFound)
		_, err = b.RefundPayment(ctx, "p2", time.Time{})
		wantError(t, err, billing.ErrInvalid)
		sound(t, b)
	}},
	{"what is paid must stay owed", func(t *testing.T, b Books) {
		ctx := context.Background()
		c := nobodys("s1")
		postCharge(t, b, c, 0)
		pay(t, b, payment("p1", "s1", 1500), 1500)
		for name, change := range map[string]func(*billing.Charge){
			"less than paid":   func(c *billing.Charge) { c.AmountCents = 1499 },
			"nothing":          func(c *billing.Charge) { c.AmountCents = 0 },
			"by an account":    func(c *billing.Charge) { c.Account = "acc-1" },
			"to another":       func(c *billing.Charge) { c.Creditor = "hsr" },
			"another currency": func(c *billing.Charge) { c.Currency = "TWD" },
		} {
			if _, err := b.PostCharge(ctx, revised(c, change), postedAt); !errors.Is(err, billing.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// More may be owed, and as much as is paid.
		c = revised(c, func(c *billing.Charge) { c.AmountCents = 5000 })
		postCharge(t, b, c, 1500)
		c = revised(c, func(c *billing.Charge) { c.AmountCents = 1500 })
		postCharge(t, b, c, 1500)
		owe(t, b, map[string]int64{"unpaid:tko": 0, "operator:tko": -1500, "cash:machine": 1500})
		if _, err := b.RefundPayment(ctx, "p1", postedAt); err != nil {
			t.Fatal(err)
		}
		postCharge(t, b, revised(c, func(c *billing.Charge) { c.Account = "acc-1" }), 0)
		owe(t, b, map[string]int64{"unpaid:tko": 0, "operator:tko": -1500, "cash:machine": 0, "account:acc-1": 1500})
		sound(t, b)
	}},
}

// posters is how many post the same at once.
const posters = 32

// together runs fn for all posters at once and reports the errors that are not
// among those allowed.
func together(t *testing.T, fn func(i int) error, allowed ...error) {
	t.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range posters {
		wg.Go(func() {
			<-start
			err := fn(i)
			for _, a := range allowed {
				if errors.Is(err, a) {
					return
				}
			}
			if err != nil {
				t.Errorf("poster %d: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
}

var chargingConcurrencyTests = []test{
	{"many post the same charge", func(t *testing.T, b Books) {
		c := stay("s1")
		together(t, func(int) error { _, err := b.PostCharge(context.Background(), c, postedAt); return err })
		ledger(t, b, "s1", "charge 1 account:acc-1 20.00")
		next := revised(c, func(c *billing.Charge) { c.AmountCents = 3000 })
		together(t, func(int) error { _, err := b.PostCharge(context.Background(), next, postedAt); return err })
		ledger(t, b, "s1", "charge 1 account:acc-1 20.00", "reversal 2 account:acc-1 -20.00", "charge 2 account:acc-1 30.00")
		if n := len(events(t, b)); n != 2 {
			t.Errorf("%d events", n)
		}
		sound(t, b)
	}},
	{"many post revisions in any order", func(t *testing.T, b Books) {
		together(t, func(i int) error {
			c := stay("s1")
			c.Revision = int64(i%8 + 1)
			c.AmountCents = c.Revision * 100
			c.Account = fmt.Sprint("acc-", c.Revision%3)
			_, err := b.PostCharge(context.Background(), c, postedAt)
			return err
		}, billing.ErrStale)
		c, _, err := b.Charge(context.Background(), "s1")
		if err != nil || c.Revision != 8 || c.AmountCents != 800 {
			t.Errorf("%+v, %v", c, err)
		}
		owe(t, b, map[string]int64{"account:acc-0": 0, "account:acc-1": 0, "account:acc-2": 800, "operator:tko": -800})
		sound(t, b)
	}},
	{"many pay the same charge", func(t *testing.T, b Books) {
		postCharge(t, b, nobodys("s1"), 0)
		// Each payment comes from two; 300 cents fit six times into 2000.
		var paid atomic.Int64
		together(t, func(i int) error {
			c, err := b.PostPayment(context.Background(), payment(fmt.Sprint("p", i/2), "s1", 300), postedAt)
			if err == nil && c.PaidCents > 2000 {
				return fmt.Errorf("%d cents were paid", c.PaidCents)
			}
			if err == nil && i%2 == 0 {
				paid.Add(1)
			}
			return err
		}, billing.ErrInvalid)
		want := nobodys("s1")
		want.PaidCents = 1800
		stands(t, b, want)
		owe(t, b, map[string]int64{"unpaid:tko": 200, "cash:machine": 1800})
		if paid.Load() != 6 {
			t.Errorf("%d payments went through", paid.Load())
		}
		together(t, func(i int) error {
			_, err := b.RefundPayment(context.Background(), fmt.Sprint("p", i/2), postedAt)
			return err
		}, billing.ErrNotFound)
		stands(t, b, nobodys("s1"))
		sound(t, b)
	}},
	{"charges, payments and passes do not wait for each other in a circle", func(t *testing.T, b Books) {
		var posting sync.WaitGroup
		for p := range 2 {
			posting.Go(func() { drive(t, b, p, 8, 10) })
		}
		for i := range 4 {
			posting.Go(func() {
				random := rand.New(rand.NewPCG(7, uint64(i)))
				for n := range 25 {
					c := nobodys(fmt.Sprintf("s%d", n))
					c.Revision, c.AmountCents = int64(i+1), int64(i+1)*1000
					if random.IntN(2) == 0 {
						c.Account = fmt.Sprint("acc-", random.IntN(7))
					}
					if _, err := b.PostCharge(context.Background(), c, postedAt); err != nil && !errors.Is(err, billing.ErrStale) && !errors.Is(err, billing.ErrConflict) {
						t.Error(err)
					}
					_, err := b.PostPayment(context.Background(), payment(fmt.Sprint("p", i, "-", n), c.ID, 500), postedAt)
					if err != nil && !errors.Is(err, billing.ErrInvalid) && !errors.Is(err, billing.ErrConflict) {
						t.Error(err)
					}
				}
			})
		}
		posting.Wait()
		sound(t, b)
	}},
	// The poster's connection breaks at any moment: whatever it was told, the
	// same again makes it right, and nothing is charged twice.
	{"a lost answer costs nothing", func(t *testing.T, b Books) {
		ctx := context.Background()
		cut, posted := 0, 0
		for i := range 60 {
			c := nobodys(fmt.Sprint("s", i))
			p := payment(fmt.Sprint("p", i), c.ID, 700)
			short, cancel := context.WithTimeout(ctx, time.Duration(i)*100*time.Microsecond)
			if _, err := b.PostCharge(short, c, postedAt); err != nil {
				cut++
			} else {
				posted++
			}
			_, _ = b.PostPayment(short, p, postedAt) // the outcome is what nobody knows
			cancel()
			again, err := b.PostCharge(ctx, c, postedAt)
			if err != nil || (again.PaidCents != 0 && again.PaidCents != 700) {
				t.Fatalf("%+v, %v", again, err)
			}
			pay(t, b, p, 700)
			ledger(t, b, c.ID, "charge 1 unpaid:tko 20.00", "payment 1 cash:machine 7.00")
		}
		if cut == 0 {
			t.Errorf("of 60 posts none was cut off, %d posted", posted)
		}
		sound(t, b)
	}},
}
