package account_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
)

func sqlite(t testing.TB) *books.Store {
	store := openBooks(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
	t.Cleanup(func() { store.Close() })
	return store
}

func TestTagLife(t *testing.T) {
	steps := map[string]func(ctx context.Context, tx *books.Tx) error{
		"activate": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Activate(ctx, tx, "E1", "A1", day(1), deed("x"))
			return err
		},
		"bind": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Bind(ctx, tx, "E1", "AB1", day(1), deed("x"))
			return err
		},
		"lose": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Lose(ctx, tx, "E1", day(2), deed("x"))
			return err
		},
		"find": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Find(ctx, tx, "E1", day(3), deed("x"))
			return err
		},
		"close": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.CloseTag(ctx, tx, "E1", day(4), deed("x"))
			return err
		},
		"replace": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Replace(ctx, tx, "E1", "E2", day(4), deed("x"))
			return err
		},
	}
	for _, tc := range []struct {
		path  []string
		then  string
		fails bool
	}{
		{nil, "bind", true}, {nil, "lose", true}, {nil, "find", true}, {nil, "replace", true}, {nil, "close", false},
		{[]string{"activate"}, "bind", false}, {[]string{"activate"}, "lose", false}, {[]string{"activate"}, "find", true},
		{[]string{"activate", "bind"}, "lose", false}, {[]string{"activate", "bind"}, "replace", false}, {[]string{"activate", "bind"}, "find", true},
		{[]string{"activate", "bind", "lose"}, "find", false}, {[]string{"activate", "bind", "lose"}, "replace", false},
		{[]string{"activate", "close"}, "bind", true}, {[]string{"activate", "close"}, "replace", true}, {[]string{"activate", "replace"}, "find", true},
		{[]string{"activate", "replace"}, "close", true},
	} {
		store := sqlite(t)
		do(t, store, func(ctx context.Context, tx *books.Tx) error {
			for _, tag := range []string{"E1", "E2"} {
				if _, err := account.Issue(ctx, tx, account.Tag{Tag: tag, Kind: account.VehicleTag}, day(0), deed("")); err != nil {
					return err
				}
			}
			_, err := account.Register(ctx, tx, account.Vehicle{ID: "h1", Account: "A1", Plate: "AB1", Class: "taxi", From: day(0)}, deed("x"))
			return err
		})
		for _, name := range tc.path {
			do(t, store, steps[name])
		}
		err := try(store, steps[tc.then])
		if tc.fails != (err != nil) || err != nil && !errors.Is(err, billing.ErrConflict) {
			t.Errorf("%v, then %s: %v", tc.path, tc.then, err)
		}
		if err == nil {
			// The same again changes nothing.
			if err := try(store, steps[tc.then]); err != nil && tc.then != "find" {
				t.Errorf("%v, then %s twice: %v", tc.path, tc.then, err)
			}
		}
	}
}

// TestReplacedTagHandsOver: the new tag names the vehicle from the instant at
// which the old one stops, and the life of both is on record.
func TestReplacedTagHandsOver(t *testing.T) {
	store := sqlite(t)
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		for _, tag := range []string{"E1", "E2"} {
			if _, err := account.Issue(ctx, tx, account.Tag{Tag: tag, Kind: account.VehicleTag}, day(0), deed("")); err != nil {
				return err
			}
		}
		if _, err := account.Register(ctx, tx, account.Vehicle{ID: "h1", Account: "A1", Plate: "AB1", Class: "taxi", From: day(0)}, deed("x")); err != nil {
			return err
		}
		if _, err := account.Activate(ctx, tx, "E1", "A1", day(1), deed("x")); err != nil {
			return err
		}
		if _, err := account.Bind(ctx, tx, "E1", "AB1", day(1), deed("x")); err != nil {
			return err
		}
		_, err := account.Replace(ctx, tx, "E1", "E2", day(5), deed("x"))
		return err
	})
	rows, _, err := store.Registry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]int64{}
	for _, r := range rows {
		got[r.Tag] = [2]int64{r.FromMicros, r.ToMicros}
	}
	if got["E1"] != [2]int64{day(1).UnixMicro(), day(5).UnixMicro()} || got["E2"] != [2]int64{day(5).UnixMicro(), 0} || got[""] != [2]int64{day(0).UnixMicro(), 0} {
		t.Errorf("the registry says %v", got)
	}
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		old, err := tx.TagEvents(ctx, "E1")
		if err != nil {
			return err
		}
		fresh, err := tx.Tag(ctx, "E2")
		if len(old) != 4 || old[3].State != account.TagReplaced || fresh.State != account.TagBound || fresh.Plate != "AB1" {
			t.Errorf("old %+v, new %+v", old, fresh)
		}
		return err
	})
}

// TestClassTagMoney: the stored value goes with the tag that takes its place,
// and to the account when the tag is closed.
func TestClassTagMoney(t *testing.T) {
	store := sqlite(t)
	value := func(holder string) (cents int64) {
		do(t, store, func(ctx context.Context, tx *books.Tx) error {
			w, err := tx.Wallet(ctx, holder, "HKD")
			cents = w.BalanceCents
			return err
		})
		return cents
	}
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		for _, tag := range []string{"C1", "C2"} {
			if _, err := account.Issue(ctx, tx, account.Tag{Tag: tag, Kind: account.ClassTag, Class: "taxi", Currency: "HKD"}, day(0), deed("")); err != nil {
				return err
			}
		}
		if _, err := account.Activate(ctx, tx, "C1", "A1", day(1), deed("x")); err != nil {
			return err
		}
		if _, err := tx.Move(ctx, billing.Movement{ID: "m1", Kind: billing.Receipt, Holder: "tag:C1", Means: "cash", AmountCents: 6200, Currency: "HKD", At: day(1)}, day(1)); err != nil {
			return err
		}
		_, err := account.Replace(ctx, tx, "C1", "C2", day(2), deed("x"))
		return err
	})
	if value("tag:C1") != 0 || value("tag:C2") != 6200 {
		t.Fatalf("after the replacement C1 holds %d, C2 %d", value("tag:C1"), value("tag:C2"))
	}
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		_, err := account.CloseTag(ctx, tx, "C2", day(3), deed("x"))
		return err
	})
	if value("tag:C2") != 0 || value("A1") != 6200 {
		t.Fatalf("after its end C2 holds %d, the account %d", value("tag:C2"), value("A1"))
	}
}

func TestAccountCloses(t *testing.T) {
	store := sqlite(t)
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		_, err := account.Register(ctx, tx, account.Vehicle{ID: "h1", Account: "A1", Plate: "AB1", From: day(0)}, deed("x"))
		if err == nil {
			_, err = account.Issue(ctx, tx, account.Tag{Tag: "E1", Kind: account.VehicleTag}, day(0), deed(""))
		}
		if err == nil {
			_, err = account.Activate(ctx, tx, "E1", "A1", day(0), deed("x"))
		}
		if err == nil {
			_, err = account.Bind(ctx, tx, "E1", "AB1", day(1), deed("x"))
		}
		return err
	})
	for range 2 { // the second time changes nothing
		do(t, store, func(ctx context.Context, tx *books.Tx) error {
			a, err := account.Close(ctx, tx, "A1", day(6), deed("sold the car"))
			if err == nil && (a.State != account.Closing || a.Revision != 2) {
				t.Errorf("closed, it stands as %+v", a)
			}
			return err
		})
	}
	rows, _, err := store.Registry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Account == "A1" && r.ToMicros != day(6).UnixMicro() {
			t.Errorf("after the closure the registry has %+v", r)
		}
	}
	for name, fn := range map[string]func(ctx context.Context, tx *books.Tx) error{
		"a vehicle after its end": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Register(ctx, tx, account.Vehicle{ID: "h2", Account: "A1", Plate: "CD2", From: day(7)}, deed("x"))
			return err
		},
		"another end": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Close(ctx, tx, "A1", day(8), deed("x"))
			return err
		},
	} {
		if err := try(store, fn); !errors.Is(err, billing.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		a, err := account.Settled(ctx, tx, "A1", deed("settled"))
		if err == nil && a.State != account.Closed {
			t.Errorf("settled, it stands as %+v", a)
		}
		return err
	})
}

func TestRefusals(t *testing.T) {
	store := sqlite(t)
	good := account.Account{ID: "N1", Kind: account.Individual, Name: "Chan", Email: "a@example.hk", Language: "en", OpenedAt: day(0)}
	for name, change := range map[string]func(*account.Account, *account.Deed){
		"kind":                func(a *account.Account, _ *account.Deed) { a.Kind = "bank" },
		"name":                func(a *account.Account, _ *account.Deed) { a.Name = " " },
		"no way to reach":     func(a *account.Account, _ *account.Deed) { a.Email = "" },
		"e-mail":              func(a *account.Account, _ *account.Deed) { a.Email = "Chan <a@example.hk>" },
		"e-mail in capitals":  func(a *account.Account, _ *account.Deed) { a.Email = "A@example.hk" },
		"mobile":              func(a *account.Account, _ *account.Deed) { a.Mobile = "9123 4567" },
		"language":            func(a *account.Account, _ *account.Deed) { a.Language = "zh" },
		"id":                  func(a *account.Account, _ *account.Deed) { a.ID = "a b" },
		"nobody does it":      func(_ *account.Account, d *account.Deed) { d.By = "" },
		"at no time":          func(_ *account.Account, d *account.Deed) { d.Now = time.Time{} },
		"no instant to begin": func(a *account.Account, _ *account.Deed) { a.OpenedAt = time.Time{} },
	} {
		a, d := good, deed("")
		change(&a, &d)
		err := try(store, func(ctx context.Context, tx *books.Tx) error {
			_, err := account.OpenAccount(ctx, tx, a, d)
			return err
		})
		if !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, fn := range map[string]func(ctx context.Context, tx *books.Tx) error{
		"the past without a reason": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Register(ctx, tx, account.Vehicle{ID: "h", Account: "A1", Plate: "AB1", From: day(1)}, deed(""))
			return err
		},
		"backwards": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Register(ctx, tx, account.Vehicle{ID: "h", Account: "A1", Plate: "AB1", From: day(2), To: day(2)}, deed("x"))
			return err
		},
		"no plate": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Register(ctx, tx, account.Vehicle{ID: "h", Account: "A1", From: day(2)}, deed("x"))
			return err
		},
		"before the account": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Register(ctx, tx, account.Vehicle{ID: "h", Account: "A1", Plate: "AB1", From: day(-1)}, deed("x"))
			return err
		},
		"a class tag without a class": func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Issue(ctx, tx, account.Tag{Tag: "E9", Kind: account.ClassTag, Currency: "HKD"}, day(0), deed(""))
			return err
		},
	} {
		if err := try(store, fn); !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := try(store, func(ctx context.Context, tx *books.Tx) error {
		_, err := account.Register(ctx, tx, account.Vehicle{ID: "h", Account: "nobody", Plate: "AB1", From: day(1)}, deed("x"))
		return err
	}); !errors.Is(err, billing.ErrNotFound) {
		t.Errorf("an account that is not there: %v", err)
	}
}

// TestFileAndAccountsDisagree: the registry's file says that a plate is
// somebody's; an account cannot have it too.
func TestFileAndAccountsDisagree(t *testing.T) {
	store := sqlite(t)
	if _, err := store.PutRegistry(t.Context(), []billing.Assignment{{Account: "M1", Plate: "AB1", Class: "taxi", FromMicros: day(0).UnixMicro()}}, day(0)); err != nil {
		t.Fatal(err)
	}
	err := try(store, func(ctx context.Context, tx *books.Tx) error {
		_, err := account.Register(ctx, tx, account.Vehicle{ID: "h1", Account: "A1", Plate: "AB1", Class: "taxi", From: day(1)}, deed("x"))
		return err
	})
	if !errors.Is(err, billing.ErrConflict) {
		t.Errorf("registering a plate of the file's: %v", err)
	}
	held := 0
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		list, err := tx.HoldingsOf(ctx, "plate:AB1", true)
		held = len(list)
		return err
	})
	if held != 0 {
		t.Error("the refused holding was kept")
	}
}

// TestHistoryStays: what a holding was before a correction can still be read,
// with who, when and why.
func TestHistoryStays(t *testing.T) {
	store := sqlite(t)
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		_, err := account.Register(ctx, tx, account.Vehicle{ID: "h1", Account: "A1", Plate: "AB1", Class: "taxi", From: day(0)}, deed("typed in"))
		return err
	})
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		_, err := account.Transfer(ctx, tx, account.Vehicle{ID: "h2", Account: "A2", Plate: "AB1", Class: "taxi", From: day(3), To: day(5)}, deed("driver's shift"))
		return err
	})
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		all, err := tx.HoldingsOf(ctx, "plate:AB1", true)
		if err != nil {
			return err
		}
		standing, replaced := 0, 0
		for _, h := range all {
			if h.ReplacedAt.IsZero() {
				standing++
			} else if replaced++; h.ID != "h1" || h.Reason != "typed in" || !h.To.IsZero() {
				t.Errorf("replaced: %+v", h)
			}
		}
		if standing != 3 || replaced != 1 {
			t.Errorf("%d stand and %d are replaced: %+v", standing, replaced, all)
		}
		return account.End(ctx, tx, "h2", day(4), deed("went home early"))
	})
}
