package account_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
)

// testActivationAgainstClosure gives a tag to an account that is closed at the
// same moment, many times: whoever is first, no tag is in use at an account that
// is closed.
func testActivationAgainstClosure(t *testing.T, store *books.Store, times int) {
	const tags = 4
	refused := 0
	for n := range times {
		id := fmt.Sprintf("R%d", n)
		tag := func(i int) string { return fmt.Sprintf("F%d-%d", n, i) }
		do(t, store, func(ctx context.Context, tx *books.Tx) error {
			_, err := account.OpenAccount(ctx, tx, account.Account{
				ID: id, Kind: account.Individual, Name: "Chan", Email: "chan@example.hk", Language: "en", OpenedAt: day(0),
			}, deed("x"))
			for i := range tags {
				if err == nil {
					_, err = account.Issue(ctx, tx, account.Tag{Tag: tag(i), Kind: account.ClassTag, Class: "taxi", Currency: "HKD"}, day(0), deed(""))
				}
			}
			return err
		})
		var wg sync.WaitGroup
		activated := make([]error, tags)
		for i := range tags {
			wg.Go(func() {
				activated[i] = try(store, func(ctx context.Context, tx *books.Tx) error {
					_, err := account.Activate(ctx, tx, tag(i), id, day(9), deed("x"))
					return err
				})
			})
		}
		wg.Go(func() {
			if err := try(store, func(ctx context.Context, tx *books.Tx) error {
				_, err := account.Close(ctx, tx, id, day(5), deed("x"))
				return err
			}); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		for i, err := range activated {
			if err != nil && !errors.Is(err, billing.ErrConflict) {
				t.Fatalf("activating %d: %v", i, err)
			}
			if err != nil {
				refused++
			}
		}
		do(t, store, func(ctx context.Context, tx *books.Tx) error {
			list, err := tx.TagsOf(ctx, id)
			for _, one := range list {
				if one.State != account.TagClosed {
					t.Errorf("round %d: the account is closed, and its tag %s is %s", n, one.Tag, one.State)
				}
			}
			return err
		})
	}
	t.Logf("%d of %d activations came too late", refused, tags*times)
}

func TestActivationAgainstClosure(t *testing.T) {
	store := openBooks(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
	t.Cleanup(func() { store.Close() })
	testActivationAgainstClosure(t, store, 5)
}
