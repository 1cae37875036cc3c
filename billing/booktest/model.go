package booktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"freeflow/billing"
)

// model is the books as a plain program would keep them: passes in a map, and
// every sum made anew. Each run has names of its own, so that all can share
// one set of books.
type model struct {
	b        Books
	run      int
	facility string
	next     int64
	passes   map[string]billing.Pass
	posted   map[string]int // transactions by pass
	minted   int
}

// owed says who owes what for a pass, as the contract has it.
func (m *model) owed(p billing.Pass) (string, int64) {
	switch {
	case p.MergedInto != "" || p.AmountCents == 0:
		return "", 0
	case p.Status == billing.StatusCharged:
		return "account:" + p.Account, p.AmountCents
	case p.Status == billing.StatusUnpaid:
		return "unpaid:" + p.Facility, p.AmountCents
	}
	return "", 0
}

// apply does a batch to the model, or says why it must be refused.
func (m *model) apply(batch billing.Batch) error {
	if batch.From != m.next && m.next >= 0 {
		return billing.ErrFenced
	}
	after := maps.Clone(m.passes)
	for _, p := range batch.Passes {
		was, known := m.passes[p.ID]
		if known != (p.Revision > 1) || (known && was.Revision != p.Revision-1) {
			return billing.ErrStale
		}
		p.Decision = was.Decision
		after[p.ID] = p
	}
	for _, p := range batch.Passes {
		for _, q := range after {
			if p.ID != q.ID && p.MergedInto == "" && q.MergedInto == "" && p.Vehicle == q.Vehicle && p.Registered == q.Registered &&
				p.TollPoint == q.TollPoint && p.FirstMicros <= q.LastMicros+batch.Gap && q.FirstMicros <= p.LastMicros+batch.Gap {
				return billing.ErrStale
			}
		}
	}
	for _, p := range batch.Passes {
		m.settle(m.passes[p.ID], p)
	}
	m.passes = after
	m.next = batch.To
	return nil
}

// settle counts the transactions that a change makes.
func (m *model) settle(was, now billing.Pass) {
	oldDebtor, oldCents := m.owed(was)
	debtor, cents := m.owed(now)
	if oldDebtor == debtor && oldCents == cents {
		return
	}
	if oldCents > 0 {
		m.posted[now.ID]++
	}
	if cents > 0 {
		m.posted[now.ID]++
	}
}

// judge draws a status and what goes with it.
func (m *model) judge(t *rapid.T, p *billing.Pass) {
	p.Status = rapid.SampledFrom([]string{billing.StatusCharged, billing.StatusCharged, billing.StatusUnpaid, billing.StatusExempt, billing.StatusReview}).Draw(t, "status")
	p.Account, p.AmountCents, p.Reasons = "", 0, ""
	switch p.Status {
	case billing.StatusCharged:
		p.Account = fmt.Sprintf("r%d-%d", m.run, rapid.IntRange(1, 3).Draw(t, "account"))
		p.AmountCents = rapid.SampledFrom([]int64{800, 800, 2000, 0}).Draw(t, "amount")
	case billing.StatusUnpaid:
		p.AmountCents = rapid.SampledFrom([]int64{800, 2000}).Draw(t, "amount")
	case billing.StatusReview:
		p.Reasons = "drawn"
	}
}

// fresh draws a new pass.
func (m *model) fresh(t *rapid.T) billing.Pass {
	m.minted++
	p := charged(m.run*1_000_000+m.minted, rapid.Int64Range(0, 1500).Draw(t, "at"))
	p.Facility = m.facility
	p.TollPoint = m.facility + rapid.SampledFrom([]string{"-N", "-S"}).Draw(t, "direction")
	p.Vehicle = rapid.SampledFrom([]string{"V1", "V2", "tag:T"}).Draw(t, "vehicle")
	p.Registered = rapid.Bool().Draw(t, "registered")
	p.LastMicros = p.FirstMicros + rapid.SampledFrom([]int64{0, 1, 20, 400}).Draw(t, "length")*second
	p.Marks = m.marks(t)
	m.judge(t, &p)
	return p
}

func (m *model) marks(t *rapid.T) []string {
	return rapid.SampledFrom([][]string{nil, nil, {"V2"}, {"V1", "tag:T"}}).Draw(t, "marks")
}

// amend draws a change of a known pass. At most one pass of a batch changes
// place: two that trade places pass through a state that is refused.
func (m *model) amend(t *rapid.T, p billing.Pass, mayMove bool, others []string) billing.Pass {
	kind := rapid.SampledFrom([]string{"longer", "longer", "judged", "moved", "merged", "marked"}).Draw(t, "change")
	return with(p, func(p *billing.Pass) {
		switch {
		case kind == "judged":
			m.judge(t, p)
		case kind == "moved" && mayMove:
			p.FirstMicros -= rapid.Int64Range(0, 90).Draw(t, "earlier") * second
			p.Vehicle = rapid.SampledFrom([]string{p.Vehicle, "V1"}).Draw(t, "vehicle")
		case kind == "merged" && p.MergedInto == "" && len(others) > 0:
			p.MergedInto = rapid.SampledFrom(others).Draw(t, "into")
		case kind == "marked":
			p.Marks = m.marks(t)
		default:
			p.LastMicros += rapid.Int64Range(0, 70).Draw(t, "longer") * second
			p.Evidence = append(slices.Clone(p.Evidence), 1)
		}
		if rapid.IntRange(0, 19).Draw(t, "stale") == 0 {
			p.Revision += rapid.SampledFrom([]int64{-1, 1}).Draw(t, "off")
			p.Revision = max(p.Revision, 2)
		}
	})
}

// batch draws a batch.
func (m *model) batch(t *rapid.T) billing.Batch {
	b := (&log{b: m.b, partition: m.run, next: max(m.next, 0)}).batch()
	known := slices.Sorted(maps.Keys(m.passes))
	touched := map[string]bool{}
	for range rapid.IntRange(0, 4).Draw(t, "passes") {
		if len(known) == 0 || rapid.IntRange(0, 2).Draw(t, "new") == 0 {
			b.Passes = append(b.Passes, m.fresh(t))
			continue
		}
		id := rapid.SampledFrom(known).Draw(t, "pass")
		if touched[id] {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(known), func(o string) bool { return o == id })
		b.Passes = append(b.Passes, m.amend(t, m.passes[id], len(touched) == 0, others))
		touched[id] = true
	}
	if rapid.IntRange(0, 14).Draw(t, "fenced") == 0 {
		b.From += rapid.SampledFrom([]int64{-1, 1, 7}).Draw(t, "off")
		b.From = max(b.From, 0)
		b.To = b.From + 1
	}
	return b
}

// decide draws a decision and does it to both.
func (m *model) decide(t *rapid.T) {
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.passes))).Draw(t, "decided")
	p := m.passes[id]
	revision := p.Revision + rapid.SampledFrom([]int64{0, 0, 0, 1, -1}).Draw(t, "off")
	d := decision()
	d.Account = fmt.Sprintf("r%d-%d", m.run, rapid.IntRange(1, 3).Draw(t, "account"))
	if rapid.Bool().Draw(t, "exempt") {
		d.Status, d.AmountCents, d.Account = billing.StatusExempt, 0, ""
	}
	got, err := m.b.Decide(context.Background(), id, revision, d)
	if p.Status != billing.StatusReview || p.MergedInto != "" || revision != p.Revision {
		if !errors.Is(err, billing.ErrConflict) {
			t.Fatalf("deciding on %+v at revision %d: %v", p, revision, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("deciding on %+v: %v", p, err)
	}
	was := p
	p.Revision++
	p.Status, p.Class, p.Account, p.AmountCents, p.Rule, p.Reasons, p.Decision = d.Status, d.Class, d.Account, d.AmountCents, d.Rule, "", &d
	if !same(got, p) {
		t.Fatalf("decided %+v, want %+v", got, p)
	}
	m.settle(was, p)
	m.passes[id] = p
}

// compare holds the books against the model.
func (m *model) compare(t *rapid.T) {
	ctx := context.Background()
	sums := map[string]int64{"operator:" + m.facility: 0, "unpaid:" + m.facility: 0}
	for i := 1; i <= 3; i++ {
		sums[fmt.Sprintf("account:r%d-%d", m.run, i)] = 0
	}
	for id, p := range m.passes {
		debtor, cents := m.owed(p)
		if cents > 0 {
			sums[debtor] += cents
			sums["operator:"+m.facility] -= cents
		}
		h, err := m.b.History(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if !same(h.Pass, p) || (h.Pass.Decision == nil) != (p.Decision == nil) || (p.Decision != nil && *h.Pass.Decision != *p.Decision) {
			t.Fatalf("the books hold %+v, the model %+v", h.Pass, p)
		}
		if len(h.Transactions) != m.posted[id] {
			t.Fatalf("pass %+v has %d transactions, the model %d", p, len(h.Transactions), m.posted[id])
		}
	}
	list, err := m.b.Balances(ctx, slices.Collect(maps.Keys(sums)))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		if sums[b.Account] != b.AmountCents {
			t.Fatalf("account %s owes %d, in the model %d", b.Account, b.AmountCents, sums[b.Account])
		}
		delete(sums, b.Account)
	}
	for account, cents := range sums {
		if cents != 0 {
			t.Fatalf("account %s has no balance, in the model %d", account, cents)
		}
	}
	m.compareWindows(t)
}

// compareWindows looks for every vehicle at a drawn time.
func (m *model) compareWindows(t *rapid.T) {
	from := base + rapid.Int64Range(-100, 2000).Draw(t, "window")*second
	for _, vehicle := range []string{"V1", "V2", "tag:T"} {
		w := billing.Window{Facility: m.facility, Vehicle: vehicle, Registered: rapid.Bool().Draw(t, "registered"), FromMicros: from, ToMicros: from + 100*second}
		got, err := m.b.Passes(context.Background(), []billing.Window{w})
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, p := range m.passes {
			if finds(w, p) {
				want++
			}
		}
		for _, p := range got {
			if !same(p, m.passes[p.ID]) {
				t.Fatalf("window %+v gives %+v, the model has %+v", w, p, m.passes[p.ID])
			}
		}
		if len(got) != want {
			t.Fatalf("window %+v finds %d passes, in the model %d", w, len(got), want)
		}
	}
}

var modelTests = []test{
	{"any batches end as in a plain model", func(t *testing.T, b Books) {
		run := 0
		outcomes := map[error]int{}
		rapid.Check(t, func(rt *rapid.T) {
			run++
			m := &model{b: b, run: run, facility: fmt.Sprint("F", run), next: -1, passes: map[string]billing.Pass{}, posted: map[string]int{}}
			for range rapid.IntRange(1, 12).Draw(rt, "steps") {
				if len(m.passes) > 0 && rapid.IntRange(0, 4).Draw(rt, "decide") == 0 {
					m.decide(rt)
					continue
				}
				batch := m.batch(rt)
				want := m.apply(batch)
				if err := b.Post(context.Background(), batch); !errors.Is(err, want) {
					rt.Fatalf("posting %+v: %v, the model says %v", batch, err, want)
				}
				outcomes[want]++
				progress, err := b.Progress(context.Background(), run)
				if err != nil || progress.NextOffset != max(m.next, 0) {
					rt.Fatalf("progress %+v, %v, in the model %d", progress, err, m.next)
				}
			}
			m.compare(rt)
		})
		if outcomes[nil] == 0 || outcomes[billing.ErrStale] == 0 || outcomes[billing.ErrFenced] == 0 {
			t.Errorf("not everything happened: %v", outcomes)
		}
		sound(t, b)
	}},
}
