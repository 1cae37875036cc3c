package booktest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
)

// unpaid is a new pass that nobody's account owes.
func unpaid(n int, cents int64) billing.Pass {
	p := toll(n, "", cents)
	p.Status = billing.StatusUnpaid
	return p
}

var receivableTests = []moneyTest{
	{"a receivable says what its pass or charge owes", func(t *testing.T, b *purse) {
		exempt := toll(3, "acc-1", 0)
		exempt.Status = billing.StatusExempt
		b.log.post(t, toll(1, "acc-1", 800), unpaid(2, 900), exempt)
		charge := nobodys("stay")
		charge.Vehicle = "V1"
		if _, err := b.PostCharge(context.Background(), charge, postedAt.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if at, err := b.Unfollowed(context.Background()); err != nil || !at.Equal(postedAt) {
			t.Errorf("unfollowed since %v, %v", at, err)
		}
		sound(t, b)
		b.follow(t)
		if at, err := b.Unfollowed(context.Background()); err != nil || !at.IsZero() {
			t.Errorf("unfollowed since %v, %v", at, err)
		}
		want := []billing.Receivable{
			{ID: passOf(1), Kind: billing.ReceivableToll, Account: "acc-1", Creditor: "CHT", Vehicle: "V1", AmountCents: 800, Currency: "HKD",
				OccurredMicros: base + 100*second, PostedAt: postedAt, Revision: 1},
			{ID: passOf(2), Kind: billing.ReceivableToll, Creditor: "CHT", Vehicle: "V2", AmountCents: 900, Currency: "HKD",
				OccurredMicros: base + 200*second, PostedAt: postedAt, Revision: 1},
			{ID: stayReceivable, Kind: charge.Kind, Creditor: charge.Creditor, Vehicle: "V1", AmountCents: charge.AmountCents, Currency: "HKD",
				OccurredMicros: charge.OccurredMicros, PostedAt: postedAt.Add(time.Hour), Revision: 1},
		}
		for _, w := range want {
			got := b.receivable(t, w.ID)
			if got.Posting == 0 {
				t.Errorf("%s has no posting", w.ID)
			}
			if got.Posting = 0; got != w {
				t.Errorf("got  %+v\nwant %+v", got, w)
			}
		}
		err := b.View(context.Background(), func(tx billing.Money) error {
			_, err := tx.Receivable(context.Background(), passOf(3))
			return err
		})
		if !errors.Is(err, billing.ErrNotFound) {
			t.Errorf("what never owed: %v", err)
		}
	}},
	{"lists select and go on where they stopped", func(t *testing.T, b *purse) {
		b.log.post(t, toll(1, "acc-1", 800), toll(2, "acc-2", 800), unpaid(3, 800), toll(4, "acc-1", 900))
		charge := nobodys("stay")
		charge.Account, charge.Vehicle, charge.OccurredMicros = "acc-1", "V1", base+100*second
		if _, err := b.PostCharge(context.Background(), charge, postedAt.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		b.follow(t)
		b.move(t, receipt("m", "acc-1", 800))
		b.collect(t, "acc-1")
		for _, c := range []struct {
			name string
			f    billing.ReceivableFilter
			want []string
		}{
			{"all", billing.ReceivableFilter{}, []string{stayReceivable, passOf(1), passOf(2), passOf(3), passOf(4)}},
			{"an account's", billing.ReceivableFilter{Account: "acc-1"}, []string{stayReceivable, passOf(1), passOf(4)}},
			{"a vehicle's", billing.ReceivableFilter{Vehicle: "V1"}, []string{stayReceivable, passOf(1)}},
			{"a creditor's", billing.ReceivableFilter{Creditor: charge.Creditor}, []string{stayReceivable}},
			{"tolls", billing.ReceivableFilter{Kind: billing.ReceivableToll}, []string{passOf(1), passOf(2), passOf(3), passOf(4)}},
			{"nobody's", billing.ReceivableFilter{Nobodys: true, Open: true}, []string{passOf(3)}},
			{"open", billing.ReceivableFilter{Open: true}, []string{stayReceivable, passOf(2), passOf(3), passOf(4)}},
			{"from", billing.ReceivableFilter{FromMicros: base + 300*second}, []string{passOf(3), passOf(4)}},
			{"to", billing.ReceivableFilter{ToMicros: base + 200*second}, []string{stayReceivable, passOf(1)}},
			{"posted later", billing.ReceivableFilter{PostedFrom: postedAt.Add(time.Hour)}, []string{stayReceivable}},
			{"posted before", billing.ReceivableFilter{PostedTo: postedAt.Add(time.Hour)}, []string{passOf(1), passOf(2), passOf(3), passOf(4)}},
			{"open tolls of a vehicle", billing.ReceivableFilter{Vehicle: "V4", Kind: billing.ReceivableToll, Open: true}, []string{passOf(4)}},
		} {
			var got []string
			err := b.View(context.Background(), func(tx billing.Money) error {
				for f := c.f; ; {
					f.Limit = 2
					list, err := tx.Receivables(context.Background(), f)
					if err != nil || len(list) == 0 {
						return err
					}
					for _, r := range list {
						got = append(got, r.ID)
						f.AfterMicros, f.AfterID = r.OccurredMicros, r.ID
					}
				}
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
			}
		}
	}},
	{"what is paid at a till is no longer to be collected", func(t *testing.T, b *purse) {
		ctx := context.Background()
		if _, err := b.PostCharge(ctx, nobodys("stay"), postedAt); err != nil {
			t.Fatal(err)
		}
		b.follow(t)
		b.move(t, receipt("once", "once:1", 2000))
		b.do(t, func(tx billing.Money) error {
			list, err := tx.Collect(ctx, "once:1", []string{stayReceivable}, postedAt)
			if len(list) != 1 || list[0].AmountCents != 2000 || list[0].Holder != "once:1" {
				t.Errorf("collected %+v", list)
			}
			return err
		})
		// The books let a charge be paid at a machine too; then the first money
		// stands against nothing, and is given back.
		if _, err := b.PostPayment(ctx, payment("p1", "stay", 2000), postedAt); err != nil {
			t.Fatal(err)
		}
		b.holds(t, map[string]int64{"once:1": 0})
		b.follow(t)
		b.holds(t, map[string]int64{"once:1": 2000})
		b.paid(t, map[string][2]int64{stayReceivable: {0, 0}})
		// The machine gives its money back: who had paid before pays again.
		if _, err := b.RefundPayment(ctx, "p1", postedAt); err != nil {
			t.Fatal(err)
		}
		b.follow(t)
		b.holds(t, map[string]int64{"once:1": 0})
		b.paid(t, map[string][2]int64{stayReceivable: {2000, 2000}})
	}},
	{"a merged pass owes nothing any more", func(t *testing.T, b *purse) {
		b.move(t, receipt("m", "acc-1", 2000))
		one, two := toll(1, "acc-1", 800), toll(2, "acc-1", 900)
		b.log.post(t, one, two)
		b.follow(t)
		b.holds(t, map[string]int64{"acc-1": 300})
		b.log.post(t, with(one, func(p *billing.Pass) { p.MergedInto = two.ID }))
		b.follow(t)
		b.holds(t, map[string]int64{"acc-1": 1100})
		b.paid(t, map[string][2]int64{passOf(1): {0, 0}, passOf(2): {900, 900}})
	}},
	{"pruning leaves events that were not followed", func(t *testing.T, b *purse) {
		ctx := context.Background()
		b.log.post(t, toll(1, "acc-1", 800))
		var ids []int64
		for _, e := range events(t, b) {
			ids = append(ids, e.ID)
		}
		if err := b.MarkPublished(ctx, ids); err != nil {
			t.Fatal(err)
		}
		later := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := b.PrunePublished(ctx, later); err != nil {
			t.Fatal(err)
		}
		b.follow(t)
		b.paid(t, map[string][2]int64{passOf(1): {800, 0}})
		if err := b.PrunePublished(ctx, later); err != nil {
			t.Fatal(err)
		}
	}},
	{"followers are told of money in events that need not be followed", func(t *testing.T, b *purse) {
		b.move(t, receipt("m1", "acc-1", 700))
		list := events(t, b)
		if len(list) != 1 {
			t.Fatalf("%d events", len(list))
		}
		want := `"money":[{"id":"money:move:m1-1-receipt","kind":"receipt","holder":"acc-1","movement":"m1","amount_cents":700,"currency":"HKD"}]`
		if got := string(list[0].Payload); !strings.Contains(got, want) {
			t.Errorf("told %s, want %s", got, want)
		}
		if at, err := b.Unfollowed(context.Background()); err != nil || !at.IsZero() {
			t.Errorf("unfollowed since %v, %v", at, err)
		}
	}},
}
