package rerate

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"freeflow/billing"
)

var errPoison = errors.New("poisoned")

// poisoned are books that refuse some passes, and a facility.
type poisoned struct {
	lossy
	passes   []string
	facility string
}

func (p *poisoned) Restate(ctx context.Context, step billing.Restatement) error {
	if step.Facility == p.facility {
		return errPoison
	}
	decide := step.Decide
	step.Decide = func(ctx context.Context, v billing.View) (billing.Restated, error) {
		out, err := decide(ctx, v)
		for _, one := range out.Passes {
			if slices.Contains(p.passes, one.ID) {
				return out, errPoison
			}
		}
		return out, err
	}
	return p.lossy.Restate(ctx, step)
}

func (r *rig) poison(facility string, passes ...string) *poisoned {
	p := &poisoned{lossy{r.books, r}, passes, facility}
	r.rates.Books = p
	return p
}

func (r *rig) ordered(facility string) billing.Rerate {
	r.Helper()
	v, err := r.rates.Try(r.Context(), Request{Facility: facility, From: begun, To: begun.Add(62 * time.Minute), Reason: "former toll charged", By: "wong"})
	if err == nil {
		v, err = r.rates.Order(r.Context(), v.ID, v.Digest, "lee")
	}
	if err != nil {
		r.Fatal(err)
	}
	return v
}

func (r *rig) states(id int64) map[string]string {
	r.Helper()
	rows, err := r.books.RerateRows(r.Context(), id, "", 1000)
	if err != nil {
		r.Fatal(err)
	}
	states := map[string]string{}
	for _, row := range rows {
		states[row.PassID] = row.State
	}
	return states
}

// A re-rate that fails stops no other; it is left for a while and done then.
func TestAFailingRerateStopsNoOther(t *testing.T) {
	r := newRig(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
	r.post(pass(0, nil), pass(1, func(p *billing.Pass) { p.Facility, p.TollPoint = "CHT", "CHT-N" }), pass(2, func(p *billing.Pass) { p.Facility, p.TollPoint = "EHC", "EHC-N" }))
	var ids []int64
	for _, facility := range []string{"WHC", "CHT", "EHC"} {
		ids = append(ids, r.ordered(facility).ID)
	}
	bad := r.poison("CHT")
	if err := r.rates.Once(t.Context()); !errors.Is(err, errPoison) {
		t.Errorf("it says %v", err)
	}
	for i, want := range []string{billing.RerateDone, billing.RerateRunning, billing.RerateDone} {
		if v, err := r.books.Rerate(t.Context(), ids[i]); err != nil || v.State != want {
			t.Errorf("re-rate %d is %s, %v, want %s", ids[i], v.State, err, want)
		}
	}
	if err := r.rates.Once(t.Context()); err != nil {
		t.Errorf("it was tried again at once: %v", err)
	}
	bad.facility = ""
	r.clock.Advance(billing.PutOffPause(1))
	if err := r.rates.Once(t.Context()); err != nil || r.balance("account:A1") != 5200 {
		t.Errorf("mended, A1 owes %d, %v", r.balance("account:A1"), err)
	}
	r.sound()
}

// A pass that cannot be posted stops no other of its re-rate; after some
// attempts it is given up by name, and the re-rate is done.
func TestAFailingPassStopsNoOther(t *testing.T) {
	for _, mended := range []bool{true, false} {
		r := newRig(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
		const passes = batch + 20
		var all []billing.Pass
		for n := range passes {
			all = append(all, pass(n, nil))
		}
		r.post(all...)
		id := r.ordered("WHC").ID
		bad := all[7].ID
		poison := r.poison("", bad)
		for n := range int64(rounds - 1) {
			if err := r.rates.Once(t.Context()); !errors.Is(err, errPoison) {
				t.Fatalf("attempt %d: %v", n, err)
			}
			v, err := r.books.Rerate(t.Context(), id)
			if err != nil || v.State != billing.RerateRunning || v.Done != passes-1 || r.states(id)[bad] != billing.ReratePending {
				t.Fatalf("attempt %d: %+v, %v", n, v, err)
			}
			r.clock.Advance(billing.PutOffPause(n + 1))
		}
		want, owes := billing.RerateFailed, int64(6000)
		if mended {
			poison.passes = nil
			want, owes = billing.RerateDoneRow, 5200
		}
		if err := r.rates.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		v, err := r.books.Rerate(t.Context(), id)
		if err != nil || v.State != billing.RerateDone || r.states(id)[bad] != want || r.balance("account:A7") != owes {
			t.Errorf("mended %v: %+v, %v; the pass is %s, and %d is owed", mended, v, err, r.states(id)[bad], r.balance("account:A7"))
		}
		r.sound()
	}
}

// What changes of a pass after the order, so that its toll or its payer may be
// another, takes it out of the plan, even if it owes what it owed.
func TestAStalePlanIsNotCarriedOut(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(p *billing.Pass)
		stays  bool
	}{
		"it is longer":       {func(p *billing.Pass) { p.LastMicros += 5 }, true},
		"more marks":         {func(p *billing.Pass) { p.Marks = []string{"plate:XY9"} }, true},
		"another class":      {func(p *billing.Pass) { p.Class = "taxi" }, false},
		"another toll point": {func(p *billing.Pass) { p.TollPoint = "WHC-S" }, false},
		"another vehicle":    {func(p *billing.Pass) { p.Vehicle = "V9" }, false},
		"no registered one":  {func(p *billing.Pass) { p.Registered = false }, false},
		"another time":       {func(p *billing.Pass) { p.FirstMicros -= 7 }, false},
		"another account":    {func(p *billing.Pass) { p.Account = "B" }, false},
		"nobody's":           {func(p *billing.Pass) { p.Status, p.Account = billing.StatusUnpaid, "" }, false},
		"another amount":     {func(p *billing.Pass) { p.AmountCents = 5900 }, false},
		"another rule":       {func(p *billing.Pass) { p.Rule = "WHC private_car, by plan, 60.00" }, false},
		"another tariff":     {func(p *billing.Pass) { p.TariffVersion = "2023-12-18" }, false},
		"part of another":    {func(p *billing.Pass) { p.MergedInto = pass(1, nil).ID }, false},
		"to be decided":      {func(p *billing.Pass) { p.Status, p.AmountCents, p.Reasons = billing.StatusReview, 0, "turn-round" }, false},
		"exempt":             {func(p *billing.Pass) { p.Status, p.AmountCents = billing.StatusExempt, 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
			p := pass(0, nil)
			r.post(p, pass(1, nil))
			id := r.ordered("WHC").ID
			p.Revision++
			tc.change(&p)
			r.post(p)
			if err := r.rates.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			h, err := r.books.History(t.Context(), p.ID)
			if err != nil {
				t.Fatal(err)
			}
			state, amount := billing.RerateChanged, p.AmountCents
			if tc.stays {
				state, amount = billing.RerateDoneRow, 5200
			}
			if r.states(id)[p.ID] != state || h.Pass.AmountCents != amount {
				t.Errorf("it is %s and owes %d, want %s and %d", r.states(id)[p.ID], h.Pass.AmountCents, state, amount)
			}
			r.sound()
		})
	}
}
