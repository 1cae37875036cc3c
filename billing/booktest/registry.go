package booktest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"freeflow/billing"
)

// sortRows puts assignments in some fixed order.
func sortRows(rows []billing.Assignment) []billing.Assignment {
	slices.SortFunc(rows, func(a, b billing.Assignment) int {
		return cmp.Or(strings.Compare(a.Plate, b.Plate), strings.Compare(a.Tag, b.Tag), strings.Compare(a.Account, b.Account),
			strings.Compare(a.Class, b.Class), cmp.Compare(a.FromMicros, b.FromMicros), cmp.Compare(a.ToMicros, b.ToMicros))
	})
	return rows
}

// holds checks the registry's rows and version.
func holds(t *testing.T, b Books, version int64, want []billing.Assignment) {
	t.Helper()
	got, v, err := b.Registry(context.Background())
	if err != nil || v != version {
		t.Fatalf("version %d, %v, want %d", v, err, version)
	}
	if !slices.Equal(sortRows(got), sortRows(slices.Clone(want))) {
		t.Fatalf("registry %+v, want %+v", got, want)
	}
	if v, err := b.RegistryVersion(context.Background()); err != nil || v != version {
		t.Fatalf("version %d, %v, want %d", v, err, version)
	}
}

var registryTests = []test{
	{"each put replaces all", func(t *testing.T, b Books) {
		ctx := context.Background()
		holds(t, b, 0, nil)
		one := billing.Assignment{Account: "acc-1", Plate: "AB1234", Class: "taxi", Tag: "E280", FromMicros: base, ToMicros: base + 5}
		two := billing.Assignment{Account: "acc-2", Tag: "E281", FromMicros: base, Exempt: true}
		odd := billing.Assignment{Plate: "A\x00粵'", FromMicros: base}
		for i, rows := range [][]billing.Assignment{{one, two}, {two, odd}, {}, {one, two, odd}, {one, two, odd}} {
			v, err := b.PutRegistry(ctx, rows, postedAt)
			if err != nil || v != int64(i+1) {
				t.Fatalf("put %d: version %d, %v", i, v, err)
			}
			holds(t, b, v, rows)
		}
		// A row that differs in one field is another row.
		changed := one
		changed.ToMicros = 0
		if _, err := b.PutRegistry(ctx, []billing.Assignment{changed, changed}, postedAt); err != nil {
			t.Fatal(err)
		}
		holds(t, b, 6, []billing.Assignment{changed})
	}},
	{"text that is no text is refused", func(t *testing.T, b Books) {
		_, err := b.PutRegistry(context.Background(), []billing.Assignment{{Account: "a\xff", Plate: "X", FromMicros: base}}, postedAt)
		wantError(t, err, billing.ErrInvalid)
		holds(t, b, 0, nil)
	}},
	{"a large registry, then a small change", func(t *testing.T, b Books) {
		const n = 20_000
		rows := make([]billing.Assignment, n)
		for i := range rows {
			rows[i] = billing.Assignment{Account: fmt.Sprintf("acc-%d", i), Plate: fmt.Sprintf("PL%d", i), Class: "private_car", Tag: fmt.Sprintf("E2%06X", i), FromMicros: base}
		}
		for range 2 {
			if _, err := b.PutRegistry(context.Background(), rows, postedAt); err != nil {
				t.Fatal(err)
			}
			rows[7].Class = "taxi"
			rows[n-1].ToMicros = base + 1
		}
		got, version, err := b.Registry(context.Background())
		if err != nil || version != 2 || len(got) != n {
			t.Fatalf("%d rows, version %d, %v", len(got), version, err)
		}
		holds(t, b, 2, rows)
	}},
	{"who puts at once waits", func(t *testing.T, b Books) {
		const n = 6
		var wg sync.WaitGroup
		versions := make([]int64, n)
		for i := range n {
			wg.Go(func() {
				var err error
				versions[i], err = b.PutRegistry(context.Background(), []billing.Assignment{{Plate: fmt.Sprint("P", i), FromMicros: base}}, postedAt)
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		last := slices.Index(versions, n)
		slices.Sort(versions)
		if !slices.Equal(versions, []int64{1, 2, 3, 4, 5, 6}) {
			t.Fatalf("versions %v", versions)
		}
		holds(t, b, n, []billing.Assignment{{Plate: fmt.Sprint("P", last), FromMicros: base}})
	}},
	{"logins", func(t *testing.T, b Books) {
		ctx := context.Background()
		_, err := b.Login(ctx, "a@example.hk")
		wantError(t, err, billing.ErrNotFound)
		for _, l := range []billing.Login{
			{Email: "a@example.hk", Account: "acc-1", PasswordHash: "$argon2id$1"}, {Email: "b@example.hk", Account: "acc-2", PasswordHash: "$argon2id$2"},
			{Email: "a@example.hk", Account: "acc-3", PasswordHash: "$argon2id$3"},
		} {
			if err := b.PutLogin(ctx, l); err != nil {
				t.Fatal(err)
			}
			if got, err := b.Login(ctx, l.Email); err != nil || got != l {
				t.Errorf("got %+v, %v", got, err)
			}
		}
		if got, err := b.Login(ctx, "b@example.hk"); err != nil || got.Account != "acc-2" {
			t.Errorf("got %+v, %v", got, err)
		}
	}},
}
