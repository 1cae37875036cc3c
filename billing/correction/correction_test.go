package correction_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/correction"
	"freeflow/internal/clock"
	"freeflow/internal/database"
)

var now = time.Date(2023, 12, 20, 1, 0, 0, 0, time.UTC)

// Every customer of a re-rate that is done is told once, however often and by
// however many tellers, and whatever breaks off on the way.
func TestEachCustomerIsToldOnce(t *testing.T) {
	ctx := t.Context()
	store, err := books.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "books.db"), books.Options{Migrate: true, Clock: clock.At(now)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	const customers = 450
	var rows []billing.RerateRow
	for n := range 2 * customers { // two passes each
		row := billing.RerateRow{PassID: fmt.Sprintf("%032x", n+1), Revision: 1, Customer: fmt.Sprint("account:A", n%customers), Vehicle: "V",
			WasCents: 6000, NowCents: 5200, State: billing.RerateDoneRow}
		if n%customers == 7 {
			row.Customer = "vehicle:V7"
		}
		rows = append(rows, row)
	}
	r, err := store.AddRerate(ctx, billing.Rerate{Facility: "WHC", Currency: "HKD", Digest: "d", By: "wong", At: now, Reason: strings.Repeat("隧", 300)}, rows)
	if err != nil {
		t.Fatal(err)
	}
	failing := true
	var teller correction.Teller
	teller.Keeping = books.Keep[correction.Tx]{Store: store, As: func(tx *books.Tx) correction.Tx { return tx }}
	teller.Clock, teller.Logger = clock.At(now), slog.New(slog.DiscardHandler)
	if n, err := teller.Once(ctx); err != nil || n != 0 {
		t.Fatalf("a dry run was told: %d, %v", n, err)
	}
	if _, err := store.OrderRerate(ctx, r.ID, "d", "lee", now); err != nil {
		t.Fatal(err)
	}
	if _, err := store.FinishRerate(ctx, r.ID, now); err != nil {
		t.Fatal(err)
	}
	// One that breaks off after its first transaction.
	broken := errors.New("broke off")
	first := teller
	first.Keeping = keeping(func(do func() error) error {
		if !failing {
			return broken
		}
		failing = false
		return do()
	}, teller.Keeping)
	if n, err := first.Once(ctx); !errors.Is(err, broken) || n != 200 {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := teller.Once(ctx); err != nil || n != customers-200 {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := teller.Once(ctx); err != nil || n != 0 {
		t.Errorf("told again: %d, %v", n, err)
	}
	err = store.View(ctx, func(tx *books.Tx) error {
		var notices, cents, toVehicle int64
		_, err := database.One(ctx, tx.Session(), `SELECT count(*), sum(amount_cents), sum(CASE WHEN account = '' THEN 1 ELSE 0 END) FROM notice`, nil, &notices, &cents, &toVehicle)
		if notices != customers || cents != customers*1600 || toVehicle != 1 {
			t.Errorf("%d notices over %d, %d to vehicles", notices, cents, toVehicle)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// keeping wraps transactions.
func keeping(wrap func(do func() error) error, inner correction.Keeping) correction.Keeping {
	return wrapped{wrap, inner}
}

type wrapped struct {
	wrap  func(do func() error) error
	inner correction.Keeping
}

func (w wrapped) Do(ctx context.Context, fn func(correction.Tx) error) error {
	return w.wrap(func() error { return w.inner.Do(ctx, fn) })
}
