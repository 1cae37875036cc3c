package booktest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"freeflow/billing"
)

// underReview is a new pass that waits for a person.
func underReview(n int, at int64) billing.Pass {
	p := charged(n, at)
	p.Status, p.AmountCents, p.Reasons, p.Class, p.Account = billing.StatusReview, 0, "class-unknown", "", ""
	return p
}

// decision charges 20.00 to acc-5.
func decision() billing.Decision {
	return billing.Decision{
		Status: billing.StatusCharged, Class: "taxi", Account: "acc-5", AmountCents: 2000, Rule: "by hand", By: "ops@example",
		Note: "seen on the image", At: postedAt, Basis: "digest-1",
	}
}

var decidingTests = []test{
	{"a decision charges and is kept", func(t *testing.T, b Books) {
		l := &log{b: b}
		p := underReview(1, 0)
		p.Marks = []string{"plate:X"}
		l.post(t, p)
		d := decision()
		got, err := b.Decide(context.Background(), p.ID, 1, d)
		if err != nil {
			t.Fatal(err)
		}
		h := history(t, b, p.ID)
		if got.Decision == nil || *got.Decision != d || h.Pass.Decision == nil || *h.Pass.Decision != d {
			t.Fatalf("the decision reads %+v and %+v", got.Decision, h.Pass.Decision)
		}
		if !same(got, h.Pass) || got.Status != billing.StatusCharged || got.AmountCents != 2000 || got.Class != "taxi" || got.Account != "acc-5" ||
			got.Rule != "by hand" || got.Reasons != "" || got.Revision != 2 || !slices.Equal(got.Marks, p.Marks) || string(got.Evidence) != string(p.Evidence) {
			t.Errorf("the pass is %+v", got)
		}
		if len(h.Revisions) != 1 || h.Revisions[0].Status != billing.StatusReview || h.Revisions[0].Reasons != "class-unknown" {
			t.Errorf("kept %+v", h.Revisions)
		}
		wantKinds(t, b, p.ID, "toll account:acc-5 20.00")
		owe(t, b, map[string]int64{"account:acc-5": 2000, "operator:CHT": -2000})
		if n := len(events(t, b)); n != 2 {
			t.Errorf("%d events", n)
		}
		found, err := b.List(context.Background(), billing.Filter{Account: "acc-5", Limit: 5})
		if err != nil || len(found) != 1 || found[0].Decision == nil || *found[0].Decision != d {
			t.Errorf("listed %+v, %v", found, err)
		}
		sound(t, b)
	}},
	{"only at its revision and under review", func(t *testing.T, b Books) {
		l := &log{b: b}
		l.post(t, underReview(1, 0), charged(2, 500))
		l.post(t, with(underReview(1, 0), func(p *billing.Pass) { p.LastMicros += second }))
		for name, c := range map[string]struct {
			id       string
			revision int64
			want     error
		}{
			"older":     {id(1), 1, billing.ErrConflict},
			"newer":     {id(1), 3, billing.ErrConflict},
			"charged":   {id(2), 1, billing.ErrConflict},
			"not there": {id(3), 1, billing.ErrNotFound},
		} {
			if _, err := b.Decide(context.Background(), c.id, c.revision, decision()); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := b.Decide(context.Background(), id(1), 2, decision()); err != nil {
			t.Fatal(err)
		}
		_, err := b.Decide(context.Background(), id(1), 2, decision())
		wantError(t, err, billing.ErrConflict)
		_, err = b.Decide(context.Background(), id(1), 3, decision())
		wantError(t, err, billing.ErrConflict)
		owe(t, b, map[string]int64{"account:acc-5": 2000})
		sound(t, b)
	}},
	{"only what can be decided", func(t *testing.T, b Books) {
		(&log{b: b}).post(t, underReview(1, 0))
		for name, spoil := range map[string]func(*billing.Decision){
			"to review":      func(d *billing.Decision) { d.Status = billing.StatusReview },
			"unknown status": func(d *billing.Decision) { d.Status = "" },
			"negative":       func(d *billing.Decision) { d.AmountCents = -1 },
			"exempt, owing":  func(d *billing.Decision) { d.Status = billing.StatusExempt },
			"to nobody":      func(d *billing.Decision) { d.Account = "" },
			"by nobody":      func(d *billing.Decision) { d.By = "" },
		} {
			d := decision()
			spoil(&d)
			if _, err := b.Decide(context.Background(), id(1), 1, d); !errors.Is(err, billing.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		d := decision()
		d.Status, d.AmountCents, d.Account = billing.StatusExempt, 0, ""
		if _, err := b.Decide(context.Background(), id(1), 1, d); err != nil {
			t.Error(err)
		}
		wantKinds(t, b, id(1))
		sound(t, b)
	}},
	{"a later read reopens it and keeps what was decided", func(t *testing.T, b Books) {
		l := &log{b: b}
		l.post(t, underReview(1, 0))
		p, err := b.Decide(context.Background(), id(1), 1, decision())
		if err != nil {
			t.Fatal(err)
		}
		// The matcher believed the revision before the decision.
		wantError(t, l.try(with(underReview(1, 0), func(p *billing.Pass) { p.LastMicros += second })), billing.ErrStale)
		longer := with(p, func(p *billing.Pass) { p.LastMicros += second; p.Decision = nil })
		l.post(t, longer)
		if got := history(t, b, id(1)).Pass; got.Decision == nil || got.Decision.Basis != "digest-1" || got.Status != billing.StatusCharged {
			t.Errorf("after a longer pass: %+v", got)
		}
		l.post(t, with(longer, func(p *billing.Pass) {
			p.Status, p.AmountCents, p.Account, p.Reasons = billing.StatusReview, 0, "", "reopened"
		}))
		got := history(t, b, id(1))
		if got.Pass.Decision == nil || got.Pass.Decision.Basis != "digest-1" || got.Pass.Status != billing.StatusReview {
			t.Errorf("reopened: %+v", got.Pass)
		}
		wantKinds(t, b, id(1), "toll account:acc-5 20.00", "reversal account:acc-5 -20.00")
		again := decision()
		again.AmountCents, again.Basis = 500, "digest-2"
		if p, err = b.Decide(context.Background(), id(1), 4, again); err != nil || p.Decision.Basis != "digest-2" {
			t.Fatalf("decided again: %+v, %v", p, err)
		}
		owe(t, b, map[string]int64{"account:acc-5": 500})
		sound(t, b)
	}},
}
