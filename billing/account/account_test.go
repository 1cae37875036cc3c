package account_test

import (
	"context"
	"errors"
	"fmt"
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

// classTag issues a class tag; if it is to have money it is active, with it, from
// day 1.
func classTag(ctx context.Context, tx *books.Tx, tag string, cents int64) error {
	if _, err := account.Issue(ctx, tx, account.Tag{Tag: tag, Kind: account.ClassTag, Class: "taxi", Currency: "HKD"}, day(0), deed("")); err != nil || cents == 0 {
		return err
	}
	if _, err := account.Activate(ctx, tx, tag, "A1", day(1), deed("x")); err != nil {
		return err
	}
	_, err := tx.Move(ctx, billing.Movement{ID: "m-" + tag, Kind: billing.Receipt, Holder: "tag:" + tag, Means: "cash", AmountCents: cents, Currency: "HKD", At: day(1)}, day(1))
	return err
}

// tolled posts a toll of a class tag on a day, as revision r, and follows it a
// day later.
func tolled(t *testing.T, store *books.Store, tag string, n int, r, cents int64) {
	t.Helper()
	progress, err := store.Progress(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	at := day(n).Add(time.Hour).UnixMicro()
	p := billing.Pass{
		ID: fmt.Sprintf("%032x", n), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "tag:" + tag, Registered: true, FirstMicros: at, LastMicros: at,
		Revision: r, Status: billing.StatusCharged, Class: "taxi", Account: "A1", AmountCents: cents, Currency: "HKD", Rule: "r", TariffVersion: "1", Evidence: []byte{0},
	}
	if cents == 0 {
		p.Status, p.Rule = billing.StatusExempt, ""
	}
	if err := store.Post(t.Context(), billing.Batch{From: progress.NextOffset, To: progress.NextOffset + 1, MaxMicros: at, PostedAt: day(n + 1), Passes: []billing.Pass{p}, Gap: 60_000_000}); err != nil {
		t.Fatal(err)
	}
	followTo(t, store, day(n+1))
}

func followTo(t *testing.T, store *books.Store, at time.Time) {
	t.Helper()
	if _, err := store.FollowPostings(t.Context(), 100, at); err != nil {
		t.Fatal(err)
	}
	if _, err := store.MoveOn(t.Context(), 100, at); err != nil {
		t.Fatal(err)
	}
}

// holds wants what wallets hold: pairs of holder and cents.
func holds(t *testing.T, store *books.Store, want map[string]int64) {
	t.Helper()
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		for holder, cents := range want {
			w, err := tx.Wallet(ctx, holder, "HKD")
			if err != nil {
				return err
			}
			if w.BalanceCents != cents {
				t.Errorf("%s holds %d, want %d", holder, w.BalanceCents, cents)
			}
		}
		return nil
	})
}

func paid(t *testing.T, store *books.Store, n int, want int64) {
	t.Helper()
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		r, err := tx.Receivable(ctx, fmt.Sprintf("pass:%032x", n))
		if r.PaidCents != want {
			t.Errorf("of the toll of day %d %d are paid, want %d", n, r.PaidCents, want)
		}
		return err
	})
}

// TestClassTagMoney: the stored value goes to the tag that takes its place, and
// to the account when the tag is closed; tolls that come late are paid there, and
// what comes back late is there too.
func TestClassTagMoney(t *testing.T) {
	store := sqlite(t)
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		if err := classTag(ctx, tx, "C1", 10000); err != nil {
			return err
		}
		return classTag(ctx, tx, "C2", 0)
	})
	tolled(t, store, "C1", 1, 1, 2500)
	holds(t, store, map[string]int64{"tag:C1": 7500})
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		_, err := account.Replace(ctx, tx, "C1", "C2", day(3), deed("x"))
		return err
	})
	// Until then it pays for itself; afterwards the other has its money.
	tolled(t, store, "C1", 2, 1, 1000)
	followTo(t, store, day(3).Add(-time.Second))
	paid(t, store, 2, 1000)
	followTo(t, store, day(3))
	holds(t, store, map[string]int64{"tag:C1": 0, "tag:C2": 6500})
	// A toll of the old tag that comes late is paid by the new one.
	tolled(t, store, "C1", 4, 1, 1500)
	paid(t, store, 4, 1500)
	holds(t, store, map[string]int64{"tag:C1": 0, "tag:C2": 5000})
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		_, err := account.CloseTag(ctx, tx, "C2", day(6), deed("x"))
		return err
	})
	followTo(t, store, day(6))
	holds(t, store, map[string]int64{"tag:C2": 0, "A1": 5000})
	tolled(t, store, "C2", 7, 1, 1000)
	paid(t, store, 7, 1000)
	// So is one of the tag that the closed one had replaced, also where the
	// account has to be topped up for it first.
	tolled(t, store, "C1", 8, 1, 9000)
	paid(t, store, 8, 0)
	do(t, store, func(ctx context.Context, tx *books.Tx) error {
		_, err := tx.Move(ctx, billing.Movement{ID: "m-A1", Kind: billing.Receipt, Holder: "A1", Means: "card", AmountCents: 5000, Currency: "HKD", At: day(9)}, day(9))
		if err == nil {
			_, err = tx.CollectOpen(ctx, "A1", "HKD", 10, day(9))
		}
		return err
	})
	paid(t, store, 8, 9000)
	holds(t, store, map[string]int64{"A1": 0})
	// The first toll turns out to be exempt: its money is the account's now.
	tolled(t, store, "C1", 1, 2, 0)
	followTo(t, store, day(9))
	holds(t, store, map[string]int64{"tag:C1": 0, "tag:C2": 0, "A1": 2500})
	checks, err := store.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			t.Errorf("%s: %s", v.Invariant, v.Detail)
		}
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
