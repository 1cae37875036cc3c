package booktest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/billing"
)

var readingTests = []test{
	{"lists filter and page as a search through all would", listFilters},
	{"a list needs a limit", func(t *testing.T, b Books) {
		_, err := b.List(context.Background(), billing.Filter{})
		wantError(t, err, billing.ErrInvalid)
	}},
	{"an unknown pass is not found", func(t *testing.T, b Books) {
		_, err := b.History(context.Background(), id(1))
		wantError(t, err, billing.ErrNotFound)
	}},
	{"empty books sum to nothing", func(t *testing.T, b Books) {
		if got, err := b.Totals(context.Background()); err != nil || got != (billing.Totals{}) {
			t.Errorf("totals %+v, %v", got, err)
		}
		if got := balances(t, b, "account:acc-1"); len(got) != 0 {
			t.Errorf("balances %v", got)
		}
		sound(t, b)
	}},
	{"many balances at once", func(t *testing.T, b Books) {
		var (
			passes   []billing.Pass
			accounts []string
		)
		for i := range 1300 {
			p := charged(i+1, int64(i)*100)
			p.Account = fmt.Sprintf("acc-%d", i)
			p.AmountCents = int64(i + 1)
			passes = append(passes, p)
			accounts = append(accounts, "account:"+p.Account)
		}
		(&log{b: b}).post(t, passes...)
		got := balances(t, b, append(accounts, "account:nobody", "operator:CHT")...)
		if len(got) != 1301 || got["account:acc-7"] != 8 || got["operator:CHT"] != -1300*1301/2 {
			t.Errorf("%d balances, acc-7 owes %d, the operator %d", len(got), got["account:acc-7"], got["operator:CHT"])
		}
		if got, err := b.Balances(context.Background(), nil); err != nil || len(got) != 0 {
			t.Errorf("no accounts have %v, %v", got, err)
		}
	}},
	{"archives are found by time", archivesFound},
	{"archives are pruned by posting date", func(t *testing.T, b Books) {
		archive(t, b, 0, 10, 20, "first")
		archive(t, b, 1, 10, 40, "second")
		if n, err := b.PruneArchives(context.Background(), postedAt); err != nil || n != 0 {
			t.Fatalf("pruned %d that were posted at that instant, %v", n, err)
		}
		if got := archives(t, b, 0, 100); !slices.Equal(got, []string{"first", "second"}) {
			t.Errorf("left %q", got)
		}
		if n, err := b.PruneArchives(context.Background(), postedAt.Add(time.Microsecond)); err != nil || n != 2 {
			t.Fatalf("pruned %d, %v", n, err)
		}
		if got := archives(t, b, 0, 100); len(got) != 0 {
			t.Errorf("left %q", got)
		}
	}},
}

// archive posts a batch that is nothing but an archive, as its own partition.
func archive(t *testing.T, b Books, partition int, from, to int64, blob string) {
	t.Helper()
	batch := (&log{b: b, partition: partition}).batch()
	batch.Reads = &billing.ReadArchive{Count: 1, MinMicros: from, MaxMicros: to, Blob: []byte(blob)}
	if err := b.Post(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
}

// archives returns what is found between two instants, sorted.
func archives(t *testing.T, b Books, from, to int64) (found []string) {
	t.Helper()
	err := b.Archives(context.Background(), from, to, func(blob []byte) bool {
		found = append(found, string(blob))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func archivesFound(t *testing.T, b Books) {
	type span struct{ from, to int64 }
	var spans []span
	for i := range int64(150) {
		s := span{i * 10 % 370, i*10%370 + i%7*30}
		spans = append(spans, s)
		archive(t, b, int(i), s.from, s.to, fmt.Sprintf("%03d", i))
	}
	for _, w := range []span{{0, 1000}, {100, 100}, {200, 250}, {999, 1000}, {-5, -1}, {0, 0}} {
		var want []string
		for i, s := range spans {
			if s.from <= w.to && s.to >= w.from {
				want = append(want, fmt.Sprintf("%03d", i))
			}
		}
		if got := archives(t, b, w.from, w.to); !slices.Equal(got, want) {
			t.Errorf("%+v finds %d archives, want %d", w, len(got), len(want))
		}
	}
	calls := 0
	if err := b.Archives(context.Background(), 0, 1000, func([]byte) bool { calls++; return calls < 40 }); err != nil || calls != 40 {
		t.Errorf("%d calls after a stop at 40, %v", calls, err)
	}
}

// listFilters compares List with a search through all passes, page by page.
func listFilters(t *testing.T, b Books) {
	l := &log{b: b}
	statuses := []string{billing.StatusCharged, billing.StatusUnpaid, billing.StatusExempt, billing.StatusReview}
	vehicles := []string{"AB1", "ab1", "plate:Ä", "tag:0", "Z"}
	var all []billing.Pass
	for i := range 240 {
		p := charged(1000-i, int64(i/4)*70)
		p.Vehicle = vehicles[i%5]
		p.TollPoint = []string{"CHT-N", "CHT-S", "CHT-n"}[i%3]
		p.Registered = i%2 == 0
		p.Status = statuses[i%4]
		p.Account = []string{"acc-1", "acc-2", "Acc-1"}[i%7%3]
		if p.Status == billing.StatusExempt || p.Status == billing.StatusReview {
			p.AmountCents = 0
		}
		all = append(all, p)
	}
	for i := range 8 {
		l.post(t, all[i*30:(i+1)*30]...)
	}
	swallowed := with(all[17], func(p *billing.Pass) { p.MergedInto = all[16].ID })
	l.post(t, swallowed)
	all = slices.Delete(all, 17, 18)
	slices.SortFunc(all, byCursor)
	rapid.Check(t, func(rt *rapid.T) {
		f := billing.Filter{Limit: rapid.IntRange(1, 50).Draw(rt, "limit")}
		if rapid.Bool().Draw(rt, "bounded below") {
			f.FromMicros = base + rapid.Int64Range(0, 60).Draw(rt, "from")*70*second
		}
		if rapid.Bool().Draw(rt, "bounded above") {
			f.ToMicros = base + rapid.Int64Range(0, 60).Draw(rt, "to")*70*second
		}
		f.Vehicle = rapid.SampledFrom(append([]string{"", "", "nobody"}, vehicles...)).Draw(rt, "vehicle")
		f.Account = rapid.SampledFrom([]string{"", "", "acc-1", "Acc-1", "acc-9"}).Draw(rt, "account")
		f.Status = rapid.SampledFrom(append([]string{"", ""}, statuses...)).Draw(rt, "status")
		var want []billing.Pass
		for _, p := range all {
			if p.FirstMicros >= f.FromMicros && (f.ToMicros == 0 || p.FirstMicros < f.ToMicros) && (f.Vehicle == "" || p.Vehicle == f.Vehicle) &&
				(f.Account == "" || p.Account == f.Account) && (f.Status == "" || p.Status == f.Status) {
				want = append(want, p)
			}
		}
		for {
			page, err := b.List(context.Background(), f)
			if err != nil {
				rt.Fatal(err)
			}
			if len(page) != min(f.Limit, len(want)) {
				rt.Fatalf("%+v gives %d passes of %d", f, len(page), len(want))
			}
			for i, p := range page {
				if !same(p, want[i]) {
					rt.Fatalf("%+v gives %+v as item %d, want %+v", f, p, i, want[i])
				}
			}
			want = want[len(page):]
			if len(page) == 0 {
				return
			}
			last := page[len(page)-1]
			f.After = billing.Cursor{FirstMicros: last.FirstMicros, TollPoint: last.TollPoint, Vehicle: last.Vehicle, ID: last.ID}
		}
	})
}

// byCursor is the order of billing.Cursor, by bytes.
func byCursor(a, b billing.Pass) int {
	if a.FirstMicros != b.FirstMicros {
		if a.FirstMicros < b.FirstMicros {
			return -1
		}
		return 1
	}
	for _, pair := range [][2]string{{a.TollPoint, b.TollPoint}, {a.Vehicle, b.Vehicle}, {a.ID, b.ID}} {
		if c := strings.Compare(pair[0], pair[1]); c != 0 {
			return c
		}
	}
	return 0
}
