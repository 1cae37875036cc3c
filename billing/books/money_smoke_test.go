package books

import (
	"context"
	"testing"
	"time"

	"freeflow/billing"
)

func TestMoneySmoke(t *testing.T) {
	s := openTest(t, sqliteURL(t), testOptions())
	ctx, at := context.Background(), time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	fillBooks(t, s)
	do := func(fn func(tx *Tx) error) {
		t.Helper()
		if err := s.Do(ctx, fn); err != nil {
			t.Fatal(err)
		}
		if broken := violated(t, s); len(broken) != 0 {
			t.Fatalf("broken: %v", broken)
		}
	}
	follow := func() {
		t.Helper()
		for {
			n, err := s.FollowPostings(ctx, 1, at)
			if err != nil {
				t.Fatal(err)
			}
			if broken := violated(t, s); len(broken) != 0 {
				t.Fatalf("broken: %v", broken)
			}
			if n.Postings == 0 {
				return
			}
		}
	}
	do(func(tx *Tx) error {
		_, err := tx.Move(ctx, billing.Movement{ID: "m1", Kind: billing.Receipt, Holder: "acc-1", Means: "card", AmountCents: 3000, Currency: "HKD", At: at}, at)
		return err
	})
	follow()
	do(func(tx *Tx) error {
		if _, err := tx.CollectOpen(ctx, "acc-1", "HKD", 100, at); err != nil {
			return err
		}
		list, err := tx.Receivables(ctx, billing.ReceivableFilter{Limit: 100})
		for _, r := range list {
			t.Logf("%+v", r)
		}
		return err
	})
	do(func(tx *Tx) error { return tx.ReverseMovement(ctx, "m1", "bounced", at) })
	do(func(tx *Tx) error {
		w, err := tx.Wallet(ctx, "acc-1", "HKD")
		t.Logf("%+v", w)
		return err
	})
}
