package booktest

import (
	"context"
	"testing"

	"freeflow/billing"
)

// kinds returns the kinds of a pass's transactions with their amounts.
func kinds(h billing.History) (list []string) {
	for _, t := range h.Transactions {
		list = append(list, t.Kind+" "+t.Entries[0].Account+" "+billing.FormatCents(t.Entries[0].AmountCents))
	}
	return list
}

// wantKinds checks the transactions of a pass.
func wantKinds(t *testing.T, b Books, passID string, want ...string) {
	t.Helper()
	h := history(t, b, passID)
	got := kinds(h)
	if len(got) != len(want) {
		t.Fatalf("transactions %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("transactions %q, want %q", got, want)
		}
	}
	for _, one := range h.Transactions {
		sum := int64(0)
		for _, e := range one.Entries {
			sum += e.AmountCents
		}
		if sum != 0 || len(one.Entries) < 2 || !one.PostedAt.Equal(postedAt) || one.Currency != "HKD" {
			t.Errorf("transaction %+v", one)
		}
		if (one.Kind == "reversal") != (one.Reverses != "") {
			t.Errorf("transaction %s of kind %s reverses %q", one.ID, one.Kind, one.Reverses)
		}
	}
}

var moneyTests = []test{
	{"each status owes what it says", func(t *testing.T, b Books) {
		unpaid, exempt, review, free := charged(2, 500), charged(3, 1000), charged(4, 1500), charged(5, 2000)
		unpaid.Status, unpaid.Account = billing.StatusUnpaid, ""
		exempt.Status, exempt.AmountCents = billing.StatusExempt, 0
		review.Status, review.AmountCents = billing.StatusReview, 0
		free.AmountCents = 0
		(&log{b: b}).post(t, charged(1, 0), unpaid, exempt, review, free)
		owe(t, b, map[string]int64{"account:acc-1": 800, "unpaid:CHT": 800, "operator:CHT": -1600, "account:": 0})
		wantKinds(t, b, id(1), "toll account:acc-1 8.00")
		wantKinds(t, b, id(2), "toll unpaid:CHT 8.00")
		for _, n := range []int{3, 4, 5} {
			wantKinds(t, b, id(n))
		}
		got, err := b.Totals(context.Background())
		want := billing.Totals{Passes: 5, Charged: 2, Exempt: 1, Unpaid: 1, Review: 1, ChargedCents: 800, UnpaidCents: 800, Currency: "HKD"}
		if err != nil || got != want {
			t.Errorf("totals %+v, %v, want %+v", got, err, want)
		}
		sound(t, b)
	}},
	{"a longer pass moves no money and tells nobody", func(t *testing.T, b Books) {
		l := &log{b: b}
		p := charged(1, 0)
		l.post(t, p)
		p = with(p, func(p *billing.Pass) { p.LastMicros += 30 * second; p.Evidence = []byte("more") })
		l.post(t, p)
		h := history(t, b, p.ID)
		if !same(h.Pass, p) || len(h.Revisions) != 0 || len(h.Transactions) != 1 {
			t.Errorf("history %+v", h)
		}
		if n := len(events(t, b)); n != 1 {
			t.Errorf("%d events", n)
		}
		sound(t, b)
	}},
	{"another amount is a reversal and a new charge", func(t *testing.T, b Books) {
		l := &log{b: b}
		p := charged(1, 0)
		l.post(t, p)
		dearer := with(p, func(p *billing.Pass) { p.AmountCents, p.Rule, p.FirstMicros = 4000, "peak", p.FirstMicros-second })
		l.post(t, dearer)
		wantKinds(t, b, p.ID, "toll account:acc-1 8.00", "reversal account:acc-1 -8.00", "toll account:acc-1 40.00")
		owe(t, b, map[string]int64{"account:acc-1": 4000, "operator:CHT": -4000})
		h := history(t, b, p.ID)
		if h.Transactions[1].Reverses != h.Transactions[0].ID {
			t.Errorf("the reversal reverses %q", h.Transactions[1].Reverses)
		}
		if len(h.Revisions) != 1 {
			t.Fatalf("%d revisions kept", len(h.Revisions))
		}
		r := h.Revisions[0]
		if r.Revision != 1 || r.AmountCents != 800 || r.Rule != p.Rule || r.FirstMicros != p.FirstMicros || !r.ReplacedAt.Equal(postedAt) ||
			r.Vehicle != p.Vehicle || r.TollPoint != p.TollPoint || r.Status != p.Status || r.Account != p.Account || r.Class != p.Class {
			t.Errorf("kept %+v", r)
		}
		sound(t, b)
	}},
	{"another payer, then nobody, then review, then again", func(t *testing.T, b Books) {
		l := &log{b: b}
		p := charged(1, 0)
		l.post(t, p)
		p = with(p, func(p *billing.Pass) { p.Account = "acc-2" })
		l.post(t, p)
		p = with(p, func(p *billing.Pass) { p.LastMicros += second })
		l.post(t, p)
		p = with(p, func(p *billing.Pass) { p.Status, p.Account = billing.StatusUnpaid, "" })
		l.post(t, p)
		p = with(p, func(p *billing.Pass) { p.Status, p.AmountCents, p.Reasons = billing.StatusReview, 0, "weak-plate" })
		l.post(t, p)
		p = with(p, func(p *billing.Pass) { p.Status, p.AmountCents, p.Account = billing.StatusCharged, 800, "acc-1" })
		l.post(t, p)
		wantKinds(t, b, p.ID, "toll account:acc-1 8.00",
			"reversal account:acc-1 -8.00", "toll account:acc-2 8.00",
			"reversal account:acc-2 -8.00", "toll unpaid:CHT 8.00",
			"reversal unpaid:CHT -8.00", "toll account:acc-1 8.00")
		owe(t, b, map[string]int64{"account:acc-1": 800, "account:acc-2": 0, "unpaid:CHT": 0, "operator:CHT": -800})
		if h := history(t, b, p.ID); len(h.Revisions) != 4 || h.Pass.Revision != 6 {
			t.Errorf("kept %+v at revision %d", h.Revisions, h.Pass.Revision)
		}
		sound(t, b)
	}},
	{"an amendment that moves no money is kept without a charge", func(t *testing.T, b Books) {
		l := &log{b: b}
		p := charged(1, 0)
		l.post(t, p)
		l.post(t, with(p, func(p *billing.Pass) { p.FirstMicros -= 5 * second; p.Rule = "same toll, earlier read" }))
		wantKinds(t, b, p.ID, "toll account:acc-1 8.00")
		if h := history(t, b, p.ID); len(h.Revisions) != 1 {
			t.Errorf("kept %+v", h.Revisions)
		}
		sound(t, b)
	}},
	{"a swallowed pass owes nothing and is not listed", func(t *testing.T, b Books) {
		l := &log{b: b}
		early, late := charged(1, 0), charged(2, 100)
		late.Marks = []string{"plate:X"}
		l.post(t, early, late)
		// A read between the two joins them.
		joined := with(early, func(p *billing.Pass) { p.LastMicros = late.LastMicros; p.Marks = []string{"plate:X"} })
		swallowed := with(late, func(p *billing.Pass) { p.MergedInto = early.ID })
		l.post(t, joined, swallowed)
		owe(t, b, map[string]int64{"account:acc-1": 800, "operator:CHT": -800})
		wantKinds(t, b, late.ID, "toll account:acc-1 8.00", "reversal account:acc-1 -8.00")
		if got := list(t, b); len(got) != 1 || !same(got[0], joined) {
			t.Errorf("listed %+v", got)
		}
		if h := history(t, b, late.ID); h.Pass.MergedInto != early.ID {
			t.Errorf("the swallowed pass is %+v", h.Pass)
		}
		for _, vehicle := range []billing.Window{{Vehicle: "AB1234", Registered: true}, {Vehicle: "plate:X"}} {
			vehicle.Facility, vehicle.FromMicros, vehicle.ToMicros = "CHT", base, base+200*second
			got, err := b.Passes(context.Background(), []billing.Window{vehicle})
			if err != nil || len(got) != 1 || got[0].ID != early.ID {
				t.Errorf("%s finds %+v, %v", vehicle.Vehicle, got, err)
			}
		}
		sound(t, b)
	}},
	{"the later pass may swallow the earlier and take its place", func(t *testing.T, b Books) {
		l := &log{b: b}
		early, late := charged(1, 0), charged(2, 100)
		l.post(t, early, late)
		l.post(t, with(late, func(p *billing.Pass) { p.FirstMicros = early.FirstMicros }),
			with(early, func(p *billing.Pass) { p.MergedInto = late.ID }))
		if got := list(t, b); len(got) != 1 || got[0].ID != late.ID {
			t.Errorf("listed %+v", got)
		}
		owe(t, b, map[string]int64{"account:acc-1": 800})
		sound(t, b)
	}},
	{"a pass that becomes another vehicle's", func(t *testing.T, b Books) {
		l := &log{b: b}
		p := charged(1, 0)
		l.post(t, p)
		p = with(p, func(p *billing.Pass) {
			p.Vehicle, p.Registered, p.Status, p.Account = "plate:AB1234", false, billing.StatusUnpaid, ""
		})
		l.post(t, p)
		owe(t, b, map[string]int64{"account:acc-1": 0, "unpaid:CHT": 800, "operator:CHT": -800})
		// The old vehicle's place is free again.
		l.post(t, charged(2, 0))
		sound(t, b)
	}},
}
