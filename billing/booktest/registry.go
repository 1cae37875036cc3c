package booktest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

// told is an event as a follower reads it.
type told struct {
	PostedAt time.Time `json:"posted_at"`
	Passes   []struct {
		ID          string `json:"id"`
		Vehicle     string `json:"vehicle"`
		Account     string `json:"account"`
		TollPoint   string `json:"toll_point"`
		PassTime    int64  `json:"pass_time"`
		Status      string `json:"status"`
		Class       string `json:"class"`
		AmountCents int64  `json:"amount_cents"`
		Currency    string `json:"currency"`
		Revision    int64  `json:"revision"`
		OwedChanged bool   `json:"owed_changed"`
		MergedInto  string `json:"merged_into"`
	} `json:"passes"`
}

// read decodes an event.
func read(t *testing.T, e billing.Event) (v told) {
	t.Helper()
	if err := json.Unmarshal(e.Payload, &v); err != nil {
		t.Fatalf("event %d: %v", e.ID, err)
	}
	return v
}

var outboxTests = []test{
	{"an event says what was posted", func(t *testing.T, b Books) {
		l := &log{b: b}
		p, q := charged(1, 0), underReview(2, 500)
		l.post(t, p, q)
		l.post(t, with(q, func(p *billing.Pass) { p.LastMicros += second }),
			with(p, func(p *billing.Pass) { p.FirstMicros -= second }))
		list := events(t, b)
		if len(list) != 2 || list[0].ID >= list[1].ID {
			t.Fatalf("events %+v", list)
		}
		first, then := read(t, list[0]), read(t, list[1])
		if !first.PostedAt.Equal(postedAt) || len(first.Passes) != 2 {
			t.Fatalf("first %+v", first)
		}
		one := first.Passes[0]
		if one.ID != p.ID || one.Vehicle != p.Vehicle || one.Account != p.Account || one.TollPoint != p.TollPoint || one.PassTime != p.FirstMicros ||
			one.Status != p.Status || one.Class != p.Class || one.AmountCents != 800 || one.Currency != "HKD" || one.Revision != 1 || !one.OwedChanged {
			t.Errorf("told %+v", one)
		}
		if first.Passes[1].OwedChanged {
			t.Errorf("a review is told as owed: %+v", first.Passes[1])
		}
		// The longer one is not told; the earlier one is, without money.
		if len(then.Passes) != 1 || then.Passes[0].ID != p.ID || then.Passes[0].OwedChanged || then.Passes[0].Revision != 2 {
			t.Errorf("then %+v", then)
		}
	}},
	{"marks, limits and pruning", func(t *testing.T, b Books) {
		ctx := context.Background()
		l := &log{b: b}
		for i := range 5 {
			l.post(t, charged(i+1, int64(i)*500))
		}
		list, err := b.Unpublished(ctx, 2)
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v, %v", list, err)
		}
		all := events(t, b)
		// Marked out of order: the oldest unmarked one still comes first.
		for range 2 {
			if err := b.MarkPublished(ctx, []int64{all[3].ID, all[1].ID, all[1].ID, 999_999}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.MarkPublished(ctx, nil); err != nil {
			t.Fatal(err)
		}
		left := events(t, b)
		if len(left) != 3 || left[0].ID != all[0].ID || left[1].ID != all[2].ID || left[2].ID != all[4].ID {
			t.Fatalf("left %+v", left)
		}
		sound(t, b)
		// The marks were made now; nothing is older than long ago.
		if err := b.PrunePublished(ctx, time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
		sound(t, b)
		for range 2 {
			if err := b.PrunePublished(ctx, time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
				t.Fatal(err)
			}
			sound(t, b)
		}
		if got := events(t, b); len(got) != 3 {
			t.Errorf("pruning left %d unpublished events", len(got))
		}
		l.post(t, charged(9, 9000))
		sound(t, b)
		_, err = b.Unpublished(ctx, 0)
		wantError(t, err, billing.ErrInvalid)
	}},
}
