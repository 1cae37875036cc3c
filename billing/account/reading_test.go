package account_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
)

// testReading asks for accounts and balances as staff do.
func testReading(t *testing.T, store *books.Store) {
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		_, err := account.Register(ctx, tx, account.Vehicle{ID: "h1", Account: "A1", Plate: "QQ1", Class: "taxi", From: day(0)}, deed("x"))
		if err == nil {
			_, err = account.Close(ctx, tx, "A2", day(5), deed("x"))
		}
		if err == nil {
			_, err = tx.Move(ctx, billing.Movement{ID: "m1", Kind: billing.Receipt, Holder: "A1", Means: "cash", AmountCents: 700, Currency: "HKD", At: day(1)}, day(1))
		}
		if err == nil {
			_, err = tx.PostCharge(ctx, billing.Charge{ID: "c1", Kind: "parking", Revision: 1, Account: "A1", Creditor: "lot", AmountCents: 900, Currency: "HKD", OccurredMicros: day(1).UnixMicro()}, day(1))
		}
		return err
	})
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		for _, tc := range []struct {
			f    books.AccountFilter
			want []string
		}{
			{books.AccountFilter{Query: "qq1", Plate: "QQ1", Limit: 5}, []string{"A1"}},
			{books.AccountFilter{Query: "A2", Limit: 5}, []string{"A2"}},
			{books.AccountFilter{State: account.Closing, Limit: 5}, []string{"A2"}},
			{books.AccountFilter{After: "A1", State: account.Closing, Limit: 1}, []string{"A2"}},
			{books.AccountFilter{After: "A2", State: account.Closing, Limit: 1}, nil},
		} {
			list, err := tx.Accounts(ctx, tc.f)
			var got []string
			for _, a := range list {
				got = append(got, a.ID)
			}
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%+v: %v, %v, want %v", tc.f, got, err, tc.want)
			}
		}
		b, err := tx.AccountBalance(ctx, "A1", "HKD", 0, "", 10)
		if err != nil || b.HeldCents != 700 || b.OwedCents != 0 || len(b.Open) != 0 { // the charge is not followed yet
			t.Errorf("the balance is %+v, %v", b, err)
		}
		for at, want := range map[int]int{4: 0, 5: 1} {
			list, err := tx.ClosingAccounts(ctx, day(at), "", 10)
			if err != nil || len(list) != want {
				t.Errorf("on day %d may be closed %v, %v", at, list, err)
			}
		}
		return nil
	})
	if _, err := store.FollowPostings(t.Context(), 100, day(2)); err != nil {
		t.Fatal(err)
	}
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		b, err := tx.AccountBalance(ctx, "A1", "HKD", 0, "", 10)
		if err != nil || b.OwedCents-b.HeldCents != 900-700 || len(b.Open) != 1 || b.Open[0].ID != "charge:c1" || b.Open[0].RestCents() != b.OwedCents {
			t.Errorf("the balance is %+v, %v", b, err)
		}
		b, err = tx.AccountBalance(ctx, "A1", "HKD", day(1).UnixMicro(), "charge:c1", 10)
		if err != nil || b.OwedCents-b.HeldCents != 900-700 || len(b.Open) != 0 {
			t.Errorf("after the last it is %+v, %v", b, err)
		}
		return err
	})
}

func TestReading(t *testing.T) {
	store := openBooks(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
	t.Cleanup(func() { store.Close() })
	testReading(t, store)
}
