package booktest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"freeflow/billing"
)

// uncollect undoes what was collected for a receivable, and returns how much.
func (b *purse) uncollect(t reporter, receivable string) (cents int64) {
	t.Helper()
	b.do(t, func(tx billing.Money) error {
		list, err := tx.Uncollect(context.Background(), receivable, "undone by a test", postedAt)
		for _, c := range list {
			cents += c.AmountCents
		}
		return err
	})
	return cents
}

// hold holds a receivable, or lets it go.
func (b *purse) hold(t reporter, receivable, was, reason string) {
	t.Helper()
	b.do(t, func(tx billing.Money) error { return tx.Hold(context.Background(), receivable, was, reason) })
}

// put makes a wallet.
func (b *purse) put(t reporter, holder string, manual bool) {
	t.Helper()
	b.do(t, func(tx billing.Money) error { return tx.PutWallet(context.Background(), holder, "HKD", manual) })
}

// tagged is a new pass of a class tag's own vehicle, charged to acc-1.
func tagged(n int, tag string, cents int64) billing.Pass {
	p := toll(n, "acc-1", cents)
	p.Vehicle = vehicleOf(tag)
	return p
}

var collectingTests = []moneyTest{
	{"a wallet pays in the order of postings, each wholly or not at all", func(t *testing.T, b *purse) {
		b.log.post(t, toll(5, "acc-1", 800))
		b.log.post(t, toll(2, "acc-1", 3000), toll(1, "acc-1", 700))
		b.log.post(t, toll(3, "acc-1", 500))
		b.follow(t)
		b.move(t, receipt("m", "acc-1", 2400))
		if paid := b.collect(t, "acc-1"); !slices.Equal(paid, []string{passOf(5), passOf(1), passOf(3)}) {
			t.Errorf("paid %v", paid)
		}
		b.holds(t, map[string]int64{"acc-1": 400})
		for n, short := range map[int]bool{1: false, 2: true, 3: false, 5: false} {
			if r := b.receivable(t, passOf(n)); r.Short != short {
				t.Errorf("receivable %+v, want short %v", r, short)
			}
		}
		owe(t, b, map[string]int64{"account:acc-1": 3000, "wallet:acc-1": -400, "operator:CHT": -5000})
		if paid := b.collect(t, "acc-1"); len(paid) != 0 {
			t.Errorf("paid %v again", paid)
		}
		b.move(t, receipt("m2", "acc-1", 2600))
		if paid := b.collect(t, "acc-1"); !slices.Equal(paid, []string{passOf(2)}) || b.receivable(t, passOf(2)).Short {
			t.Errorf("paid %v", paid)
		}
		owe(t, b, map[string]int64{"account:acc-1": 0, "wallet:acc-1": 0})
	}},
	{"following pays by itself what wallets cover", func(t *testing.T, b *purse) {
		b.move(t, receipt("m", "acc-1", 2000))
		b.put(t, "acc-2", false)
		b.log.post(t, toll(1, "acc-1", 800), toll(2, "acc-2", 800), toll(3, "acc-3", 800), unpaid(4, 800))
		b.log.post(t, toll(5, "acc-1", 1300), toll(6, "acc-1", 1200))
		done, err := b.FollowPostings(context.Background(), 100, postedAt)
		if err != nil || done.Postings != 2 || done.Collected != 2 || done.GivenBack != 0 || !done.Oldest.Equal(postedAt) {
			t.Errorf("done %+v, %v", done, err)
		}
		b.holds(t, map[string]int64{"acc-1": 0, "acc-2": 0})
		b.paid(t, map[string][2]int64{passOf(1): {800, 800}, passOf(2): {800, 0}, passOf(3): {800, 0}, passOf(4): {800, 0}, passOf(5): {1300, 0}, passOf(6): {1200, 1200}})
		// Without a wallet nothing was tried.
		for n, short := range map[int]bool{2: true, 3: false, 4: false, 5: true} {
			if r := b.receivable(t, passOf(n)); r.Short != short {
				t.Errorf("receivable %+v, want short %v", r, short)
			}
		}
	}},
	{"a class tag pays for its own vehicle alone, wholly or nothing", func(t *testing.T, b *purse) {
		b.move(t, receipt("m", "acc-1", 10000))
		b.move(t, receipt("tag", vehicleOf("C0"), 2000))
		b.log.post(t, tagged(1, "C0", 1500))
		b.log.post(t, tagged(2, "C0", 800), tagged(3, "C0", 400))
		b.log.post(t, toll(4, "acc-1", 700), tagged(5, "FF", 600))
		b.follow(t)
		b.paid(t, map[string][2]int64{passOf(1): {1500, 1500}, passOf(2): {800, 0}, passOf(3): {400, 400}, passOf(4): {700, 700}, passOf(5): {600, 600}})
		b.holds(t, map[string]int64{"acc-1": 8700, vehicleOf("C0"): 100})
		// The account does not stand in for its tag, however rich it is.
		if paid := b.collect(t, "acc-1"); len(paid) != 0 {
			t.Errorf("the account paid %v", paid)
		}
		b.move(t, receipt("tag2", vehicleOf("C0"), 700))
		if paid := b.collect(t, vehicleOf("C0")); !slices.Equal(paid, []string{passOf(2)}) {
			t.Errorf("the tag paid %v", paid)
		}
		b.holds(t, map[string]int64{"acc-1": 8700, vehicleOf("C0"): 0})
	}},
	{"nothing is taken by itself from a manual wallet", func(t *testing.T, b *purse) {
		b.put(t, "acc-1", true)
		b.move(t, receipt("m", "acc-1", 2000))
		b.log.post(t, toll(1, "acc-1", 800), toll(2, "acc-1", 900))
		b.follow(t)
		b.holds(t, map[string]int64{"acc-1": 2000})
		b.do(t, func(tx billing.Money) error {
			list, err := tx.Collect(context.Background(), "acc-1", []string{passOf(2), "pass:none", passOf(2)}, postedAt)
			if got := receivablesOf(list); !slices.Equal(got, []string{passOf(2)}) {
				t.Errorf("paid %v", got)
			}
			return err
		})
		b.holds(t, map[string]int64{"acc-1": 1100})
		b.put(t, "acc-1", false)
		if paid := b.collect(t, "acc-1"); !slices.Equal(paid, []string{passOf(1)}) {
			t.Errorf("paid %v", paid)
		}
	}},
	{"what is held is not collected", func(t *testing.T, b *purse) {
		ctx := context.Background()
		b.log.post(t, toll(1, "acc-1", 800))
		b.follow(t)
		b.fails(t, billing.ErrNotFound, func(tx billing.Money) error { return tx.Hold(ctx, "pass:none", "", "audit:1") })
		for range 2 {
			b.hold(t, passOf(1), "", "audit:1")
		}
		b.fails(t, billing.ErrConflict, func(tx billing.Money) error { return tx.Hold(ctx, passOf(1), "", "audit:2") })
		b.fails(t, billing.ErrConflict, func(tx billing.Money) error { return tx.Hold(ctx, passOf(1), "audit:2", "") })
		b.move(t, receipt("m", "acc-1", 2000))
		if paid := b.collect(t, "acc-1"); len(paid) != 0 {
			t.Errorf("paid %v", paid)
		}
		for range 2 {
			b.hold(t, passOf(1), "audit:1", "")
		}
		if paid := b.collect(t, "acc-1"); !slices.Equal(paid, []string{passOf(1)}) {
			t.Errorf("paid %v", paid)
		}
		// What was paid before stays paid, and follows the amount down.
		b.hold(t, passOf(1), "", "audit:2")
		p := toll(1, "acc-1", 800)
		for _, step := range [][2]int64{{300, 300}, {0, 0}, {400, 0}} {
			// Given back entirely, it is not collected anew while it is held.
			p = with(p, func(p *billing.Pass) { p.AmountCents = step[0] })
			b.log.post(t, p)
			b.follow(t)
			b.paid(t, map[string][2]int64{passOf(1): step})
			b.holds(t, map[string]int64{"acc-1": 2000 - step[1]})
		}
	}},
	{"an undone collection leaves everything as it was", func(t *testing.T, b *purse) {
		b.log.post(t, toll(1, "acc-1", 800), unpaid(2, 900))
		b.follow(t)
		b.move(t, receipt("m", "acc-1", 2000))
		b.move(t, receipt("o", "once:1", 900))
		accounts := []string{"account:acc-1", "unpaid:CHT", "operator:CHT", "wallet:acc-1", "wallet:once:1", "cash:card"}
		before := balances(t, b, accounts...)
		for n := range 3 {
			b.collect(t, "acc-1")
			b.do(t, func(tx billing.Money) error {
				_, err := tx.Collect(context.Background(), "once:1", []string{passOf(2)}, postedAt)
				return err
			})
			b.paid(t, map[string][2]int64{passOf(1): {800, 800}, passOf(2): {900, 900}})
			if got := b.uncollect(t, passOf(1)) + b.uncollect(t, passOf(2)); got != 1700 {
				t.Errorf("undid %d", got)
			}
			if got := b.uncollect(t, passOf(1)); got != 0 {
				t.Errorf("undid %d twice", got)
			}
			if after := balances(t, b, accounts...); !maps.Equal(before, after) {
				t.Errorf("balances went from %v to %v", before, after)
			}
			err := b.View(context.Background(), func(tx billing.Money) error {
				list, err := tx.Collections(context.Background(), passOf(1))
				if len(list) != n+1 {
					t.Errorf("%d collections", len(list))
				}
				for _, c := range list {
					if c.ReversedAt.IsZero() || c.Reason != "undone by a test" || c.AmountCents != 800 {
						t.Errorf("collection %+v", c)
					}
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		b.fails(t, billing.ErrNotFound, func(tx billing.Money) error {
			_, err := tx.Uncollect(context.Background(), "pass:none", "x", postedAt)
			return err
		})
	}},
	{"a receipt undone takes back the latest that it paid", func(t *testing.T, b *purse) {
		b.move(t, receipt("m1", "acc-1", 1000))
		b.move(t, receipt("m2", "acc-1", 1000))
		b.log.post(t, toll(1, "acc-1", 800), toll(2, "acc-1", 300), toll(3, "acc-1", 700))
		b.follow(t)
		b.holds(t, map[string]int64{"acc-1": 200})
		for range 2 {
			b.do(t, func(tx billing.Money) error {
				return tx.ReverseMovement(context.Background(), "m1", "bounced", postedAt)
			})
			b.paid(t, map[string][2]int64{passOf(1): {800, 800}, passOf(2): {300, 0}, passOf(3): {700, 0}})
			b.holds(t, map[string]int64{"acc-1": 200})
		}
		owe(t, b, map[string]int64{"account:acc-1": 1000, "wallet:acc-1": -200, "cash:card": 1000})
		err := b.View(context.Background(), func(tx billing.Money) error {
			m, err := tx.Movement(context.Background(), "m1")
			if m.ReversedAt.IsZero() {
				t.Errorf("movement %+v", m)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		// The same receipt again is known, and stays undone.
		b.do(t, func(tx billing.Money) error {
			known, err := tx.Move(context.Background(), receipt("m1", "acc-1", 1000), postedAt)
			if !known {
				t.Error("a movement that was undone came back")
			}
			return err
		})
		b.holds(t, map[string]int64{"acc-1": 200})
	}},
	{"less owed is given back, more is collected", func(t *testing.T, b *purse) {
		p := toll(1, "acc-1", 3000)
		b.move(t, receipt("m", "acc-1", 3500))
		b.log.post(t, p)
		b.follow(t)
		for _, step := range []struct{ amount, paid, wallet int64 }{{2000, 2000, 1500}, {2500, 2500, 1000}, {0, 0, 3500}, {3600, 0, 3500}, {3500, 3500, 0}} {
			p = with(p, func(p *billing.Pass) { p.AmountCents = step.amount })
			b.log.post(t, p)
			b.follow(t)
			b.paid(t, map[string][2]int64{passOf(1): {step.amount, step.paid}})
			b.holds(t, map[string]int64{"acc-1": step.wallet})
		}
	}},
	{"of several who paid, the latest gets back first", func(t *testing.T, b *purse) {
		p := unpaid(1, 2000)
		b.log.post(t, p)
		b.follow(t)
		pay := func(holder string, cents int64) {
			b.move(t, receipt(holder, holder, cents))
			b.do(t, func(tx billing.Money) error {
				_, err := tx.Collect(context.Background(), holder, []string{passOf(1)}, postedAt)
				return err
			})
		}
		pay("once:1", 2000)
		p = with(p, func(p *billing.Pass) { p.AmountCents = 3000 })
		b.log.post(t, p)
		b.follow(t)
		pay("once:2", 1000)
		// 25.00: the second of them pays 5.00 less; 15.00: the first pays it all.
		for _, step := range []struct{ cents, one, two int64 }{{3000, 0, 0}, {2500, 0, 500}, {1500, 500, 1000}} {
			if step.cents != p.AmountCents {
				p = with(p, func(p *billing.Pass) { p.AmountCents = step.cents })
				b.log.post(t, p)
				b.follow(t)
			}
			b.paid(t, map[string][2]int64{passOf(1): {step.cents, step.cents}})
			b.holds(t, map[string]int64{"once:1": step.one, "once:2": step.two})
		}
	}},
	{"money that comes back pays what is open, oldest first", func(t *testing.T, b *purse) {
		b.move(t, receipt("m", "acc-1", 1000))
		b.log.post(t, toll(1, "acc-1", 900))
		b.log.post(t, toll(2, "acc-1", 600))
		b.log.post(t, toll(3, "acc-1", 500))
		b.follow(t)
		b.log.post(t, with(toll(1, "acc-1", 900), func(p *billing.Pass) { p.Status, p.AmountCents = billing.StatusExempt, 0 }), toll(4, "acc-1", 100))
		b.follow(t)
		b.paid(t, map[string][2]int64{passOf(1): {0, 0}, passOf(2): {600, 600}, passOf(3): {500, 0}, passOf(4): {100, 100}})
		b.holds(t, map[string]int64{"acc-1": 300})
	}},
	{"what another owes is given back, and the other pays", func(t *testing.T, b *purse) {
		b.move(t, receipt("m1", "acc-1", 1000))
		b.move(t, receipt("m2", "acc-2", 1000))
		p := toll(1, "acc-1", 800)
		b.log.post(t, p)
		b.follow(t)
		p = with(p, func(p *billing.Pass) { p.Account = "acc-2" })
		b.log.post(t, p)
		b.follow(t)
		b.holds(t, map[string]int64{"acc-1": 1000, "acc-2": 200})
		p = with(p, func(p *billing.Pass) { p.Account, p.Status = "", billing.StatusUnpaid })
		b.log.post(t, p)
		b.follow(t)
		b.holds(t, map[string]int64{"acc-1": 1000, "acc-2": 1000})
		b.paid(t, map[string][2]int64{passOf(1): {800, 0}})
		p = with(p, func(p *billing.Pass) { p.Account, p.Status = "acc-1", billing.StatusCharged })
		b.log.post(t, p)
		b.follow(t)
		b.holds(t, map[string]int64{"acc-1": 200, "acc-2": 1000})
		owe(t, b, map[string]int64{"account:acc-1": 0, "account:acc-2": 0, "unpaid:CHT": 0, "wallet:acc-1": -200, "wallet:acc-2": -1000})
	}},
	{"who paid once pays again after a review", func(t *testing.T, b *purse) {
		p := unpaid(1, 800)
		b.log.post(t, p)
		b.follow(t)
		b.move(t, receipt("o", "once:1", 800))
		b.do(t, func(tx billing.Money) error {
			_, err := tx.Collect(context.Background(), "once:1", []string{passOf(1)}, postedAt)
			return err
		})
		for _, cents := range []int64{0, 800, 500} {
			p = with(p, func(p *billing.Pass) {
				p.Status, p.AmountCents = billing.StatusUnpaid, cents
				if cents == 0 {
					p.Status = billing.StatusReview
				}
			})
			b.log.post(t, p)
			b.follow(t)
			b.paid(t, map[string][2]int64{passOf(1): {cents, cents}})
			b.holds(t, map[string]int64{"once:1": 800 - cents})
		}
		// What was undone for another reason is not paid again by itself.
		b.uncollect(t, passOf(1))
		p = with(p, func(p *billing.Pass) { p.FirstMicros-- })
		b.log.post(t, p)
		b.follow(t)
		b.paid(t, map[string][2]int64{passOf(1): {500, 0}})
		b.holds(t, map[string]int64{"once:1": 800})
	}},
	{"what is owed in another currency is given back, and paid in that", func(t *testing.T, b *purse) {
		charge := nobodys("stay")
		charge.Account, charge.AmountCents = "acc-1", 700
		b.move(t, receipt("m", "acc-1", 1000))
		yuan := receipt("n", "acc-1", 700)
		yuan.Currency = "CNY"
		b.move(t, yuan)
		for n, c := range []struct {
			currency      string
			dollars, yuan int64
		}{{"HKD", 300, 700}, {"CNY", 1000, 0}, {"HKD", 300, 700}} {
			charge.Revision, charge.Currency = int64(n+1), c.currency
			if _, err := b.PostCharge(context.Background(), charge, postedAt); err != nil {
				t.Fatal(err)
			}
			b.follow(t)
			b.holds(t, map[string]int64{"acc-1": c.dollars})
			b.paid(t, map[string][2]int64{stayReceivable: {700, 700}})
			err := b.View(context.Background(), func(tx billing.Money) error {
				w, err := tx.Wallet(context.Background(), "acc-1", "CNY")
				if w.BalanceCents != c.yuan || w.Currency != "CNY" {
					t.Errorf("wallet %+v, want %d", w, c.yuan)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			sound(t, b)
		}
	}},
	{"money in another currency pays nothing", func(t *testing.T, b *purse) {
		m := receipt("m", "acc-1", 5000)
		m.Currency = "USD"
		b.move(t, m)
		b.log.post(t, toll(1, "acc-1", 800))
		b.follow(t)
		b.do(t, func(tx billing.Money) error {
			list, err := tx.Collect(context.Background(), "acc-1", []string{passOf(1)}, postedAt)
			if len(list) != 0 {
				t.Errorf("paid %+v", list)
			}
			return err
		})
		if err := b.Do(context.Background(), func(tx billing.Money) error {
			_, err := tx.CollectOpen(context.Background(), "acc-1", "HKD", 0, postedAt)
			return err
		}); !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("tried none with %v", err)
		}
		b.holds(t, map[string]int64{"acc-1": 0})
		b.paid(t, map[string][2]int64{passOf(1): {800, 0}})
	}},
}
