package booktest

import (
	"context"
	"errors"
	"testing"

	"freeflow/billing"
)

var postingTests = []test{
	{"never posted", func(t *testing.T, b Books) {
		p, err := b.Progress(context.Background(), 3)
		if err != nil || p != (billing.Progress{}) {
			t.Fatalf("progress %+v, %v", p, err)
		}
		latest, err := b.MaxMicros(context.Background())
		if err != nil || latest != 0 {
			t.Fatalf("latest read time %d, %v", latest, err)
		}
		if len(b.ID()) < 16 {
			t.Errorf("the books' identity is %q", b.ID())
		}
	}},
	{"progress moves with the batch", func(t *testing.T, b Books) {
		// The log's oldest offset need not be 0.
		l := &log{b: b, partition: 2, next: 700}
		l.post(t, charged(1, 0))
		batch := l.batch()
		batch.MaxMicros = base - 5
		if err := b.Post(context.Background(), batch); err != nil {
			t.Fatal(err)
		}
		p, err := b.Progress(context.Background(), 2)
		if err != nil || p.NextOffset != 702 || p.MaxMicros != base {
			t.Fatalf("progress %+v, %v; the latest read time must not go back", p, err)
		}
		if latest, err := b.MaxMicros(context.Background()); err != nil || latest != base {
			t.Fatalf("latest read time %d, %v", latest, err)
		}
	}},
	{"what is posted is kept", func(t *testing.T, b Books) {
		p := charged(1, 0)
		p.Marks = []string{"plate:X1", "tag:AB"}
		p.Reasons = ""
		q := charged(2, 500)
		q.Status, q.AmountCents, q.Reasons, q.Class, q.Evidence = billing.StatusReview, 0, "class-unknown,weak-plate", "", nil
		(&log{b: b}).post(t, p, q)
		for _, want := range []billing.Pass{p, q} {
			if got := history(t, b, want.ID).Pass; !same(got, want) || got.Decision != nil {
				t.Errorf("kept %+v, want %+v", got, want)
			}
		}
		sound(t, b)
	}},
	{"the same batch again is fenced and changes nothing", func(t *testing.T, b Books) {
		l := &log{b: b}
		batch := l.batch(charged(1, 0))
		batch.Reads = &billing.ReadArchive{Count: 1, MinMicros: base, MaxMicros: base, Blob: []byte("r")}
		for i, want := range []error{nil, billing.ErrFenced, billing.ErrFenced} {
			if err := b.Post(context.Background(), batch); !errors.Is(err, want) {
				t.Fatalf("post %d: %v", i, err)
			}
		}
		owe(t, b, map[string]int64{"account:acc-1": 800, "operator:CHT": -800})
		if n := len(events(t, b)); n != 1 {
			t.Errorf("%d events", n)
		}
		sound(t, b)
	}},
	{"a zombie is fenced", func(t *testing.T, b Books) {
		l := &log{b: b}
		l.post(t, charged(1, 0))
		zombie := l.batch(charged(2, 500))
		zombie.From--
		wantError(t, b.Post(context.Background(), zombie), billing.ErrFenced)
		ahead := l.batch(charged(2, 500))
		ahead.From++
		ahead.To++
		wantError(t, b.Post(context.Background(), ahead), billing.ErrFenced)
		if n := len(list(t, b)); n != 1 {
			t.Errorf("%d passes", n)
		}
		// Other partitions have their own fences.
		(&log{b: b, partition: 1}).post(t, charged(3, 900))
	}},
	{"a stale batch leaves nothing", func(t *testing.T, b Books) {
		l := &log{b: b}
		old := charged(1, 0)
		l.post(t, old)
		longer := with(old, func(p *billing.Pass) { p.LastMicros += second })
		l.post(t, longer)
		// One good new pass beside each of what is stale.
		good := charged(9, 5000)
		good.Account = "acc-9"
		skipped := longer
		skipped.Revision += 2
		unknown := charged(8, 9000)
		unknown.Revision = 2
		for name, stale := range map[string]billing.Pass{
			"same revision": longer, "revision skipped": skipped, "unknown pass": unknown, "known as new": charged(1, 7000),
		} {
			if err := l.try(good, stale); !errors.Is(err, billing.ErrStale) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := len(list(t, b)); n != 1 {
			t.Errorf("%d passes", n)
		}
		owe(t, b, map[string]int64{"account:acc-9": 0, "account:acc-1": 800})
		if p, _ := b.Progress(context.Background(), 0); p.NextOffset != l.next {
			t.Errorf("progress moved to %d, want %d", p.NextOffset, l.next)
		}
		sound(t, b)
	}},
	{"nonsense is refused", func(t *testing.T, b Books) {
		l := &log{b: b}
		for name, spoil := range map[string]func(*billing.Pass){
			"id":                   func(p *billing.Pass) { p.ID = "x" },
			"negative":             func(p *billing.Pass) { p.AmountCents = -1 },
			"review that owes":     func(p *billing.Pass) { p.Status = billing.StatusReview },
			"exempt that owes":     func(p *billing.Pass) { p.Status = billing.StatusExempt },
			"charged to nobody":    func(p *billing.Pass) { p.Account = "" },
			"no currency":          func(p *billing.Pass) { p.Currency = "" },
			"status":               func(p *billing.Pass) { p.Status = "paid" },
			"ends first":           func(p *billing.Pass) { p.LastMicros = p.FirstMicros - 1 },
			"no vehicle":           func(p *billing.Pass) { p.Vehicle = "" },
			"revision 0":           func(p *billing.Pass) { p.Revision = 0 },
			"new and merged":       func(p *billing.Pass) { p.MergedInto = id(7) },
			"unsorted marks":       func(p *billing.Pass) { p.Marks = []string{"tag:B", "tag:A"} },
			"text that is no text": func(p *billing.Pass) { p.Vehicle = "\xff" },
		} {
			p := charged(1, 0)
			spoil(&p)
			if err := l.try(p); !errors.Is(err, billing.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		wantError(t, l.try(charged(1, 0), charged(1, 900)), billing.ErrInvalid)
		backwards := l.batch(charged(1, 0))
		backwards.From, backwards.To = 5, 4
		wantError(t, b.Post(context.Background(), backwards), billing.ErrInvalid)
	}},
	{"any text is kept as it is", func(t *testing.T, b Books) {
		l := &log{b: b}
		texts := []string{"A\x00B", "A\x01B", "A\x01\x01B", "\x00", "\x01\x02", "粵港1", "a'b\"c\\", "%_$1?{},NULL", "\u00e9", "e\u0301", "A", "a"}
		for i, text := range texts {
			p := charged(i+1, int64(i)*1000)
			p.Vehicle, p.Account, p.Class, p.Marks = "plate:"+text, text, text, []string{"plate:" + text + "?"}
			l.post(t, p)
			got, err := b.Passes(context.Background(), []billing.Window{{Facility: "CHT", Vehicle: p.Vehicle, Registered: true, FromMicros: p.FirstMicros, ToMicros: p.LastMicros}})
			if err != nil || len(got) != 1 || !same(got[0], p) {
				t.Errorf("%q: found %+v, %v", text, got, err)
			}
			owe(t, b, map[string]int64{"account:" + text: 800})
		}
		sound(t, b)
	}},
	{"a cancelled post leaves nothing", func(t *testing.T, b Books) {
		l := &log{b: b}
		l.post(t, charged(1, 0))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := b.Post(ctx, l.batch(charged(2, 500))); err == nil {
			t.Fatal("posted though cancelled")
		}
		l.post(t, charged(3, 900))
		if n := len(list(t, b)); n != 2 {
			t.Errorf("%d passes", n)
		}
		sound(t, b)
	}},
	{"an empty batch moves progress alone", func(t *testing.T, b Books) {
		l := &log{b: b}
		l.post(t)
		l.post(t)
		if p, err := b.Progress(context.Background(), 0); err != nil || p.NextOffset != 2 {
			t.Errorf("progress %+v, %v", p, err)
		}
		if n := len(events(t, b)); n != 0 {
			t.Errorf("%d events", n)
		}
	}},
}
