package payment_test

import (
	"testing"
	"time"

	"freeflow/billing/bankemu"
	"freeflow/billing/payment"
)

func TestTripIsDebited(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.PerTrip, payment.Card, 100_00)
	toll := w.toll("A1", 20_00)
	w.must(w.work())
	a := w.only()
	if a.State != payment.Succeeded || a.How != payment.ByAnswer || a.MovedCents != 20_00 || w.rest(toll) != 0 || w.wallet("A1") != 0 {
		t.Errorf("%+v, rest %d, wallet %d", a, w.rest(toll), w.wallet("A1"))
	}
	// The notice comes after it, again and again: nothing more happens.
	w.later(time.Minute, time.Minute)
	if again := w.only(); again.Version != a.Version || w.bank.Waiting() != 0 {
		t.Errorf("the notice changed it: %+v", again)
	}
	if got := w.events("A1"); got != "debit-paid" {
		t.Errorf("events: %s", got)
	}
	w.audit()
}

// TestMisbehaviour makes one debit of 20.00 under each kind of fault: in the end
// the toll is paid once and the provider took 20.00, or nothing was taken and
// the toll is owed; in between nothing is guessed.
func TestMisbehaviour(t *testing.T) {
	for name, one := range map[string]struct {
		rules []bankemu.Rule
		// first is the state right after the order, how what ended it.
		first, how string
		unpaid     bool
	}{
		"time out after taking":     {[]bankemu.Rule{{On: "charge", Do: bankemu.CutAfter, Times: 1}, {On: "notice", Do: bankemu.Lost}}, payment.Unknown, payment.ByQuery, false},
		"500 after taking":          {[]bankemu.Rule{{On: "charge", Do: bankemu.ErrorAfter, Times: 1}, {On: "notice", Do: bankemu.Lost}}, payment.Unknown, payment.ByQuery, false},
		"500 before taking":         {[]bankemu.Rule{{On: "charge", Do: bankemu.ErrorBefore, Times: 1}}, payment.Unknown, payment.ByAnswer, false},
		"cut before taking":         {[]bankemu.Rule{{On: "charge", Do: bankemu.CutBefore, Times: 1}}, payment.Unknown, payment.ByAnswer, false},
		"out of order once":         {[]bankemu.Rule{{On: "any", Do: bankemu.Outage, Times: 3}}, payment.Unknown, "", false},
		"known by notice":           {[]bankemu.Rule{{On: "charge", Do: bankemu.CutAfter, Times: 1}, {On: "query", Do: bankemu.Outage}}, payment.Unknown, payment.ByNotice, false},
		"notice before the answer":  {[]bankemu.Rule{{On: "notice", Do: bankemu.Early}}, payment.Succeeded, payment.ByNotice, false},
		"notice twice":              {[]bankemu.Rule{{On: "notice", Do: bankemu.Duplicate}}, payment.Succeeded, payment.ByAnswer, false},
		"notice replayed, in time":  {[]bankemu.Rule{{On: "notice", Do: bankemu.Replay, Seconds: 60}}, payment.Succeeded, payment.ByAnswer, false},
		"notice replayed, too late": {[]bankemu.Rule{{On: "notice", Do: bankemu.Replay, Seconds: 3600}}, payment.Succeeded, payment.ByAnswer, false},
		"notice after the query": {[]bankemu.Rule{{On: "charge", Do: bankemu.CutAfter, Times: 1}, {On: "notice", Do: bankemu.Late, Seconds: 7200}},
			payment.Unknown, payment.ByQuery, false},
		"query does not know it yet": {[]bankemu.Rule{{On: "charge", Do: bankemu.CutAfter, Times: 1}, {On: "query", Do: bankemu.AbsentFor, Times: 1}, {On: "notice", Do: bankemu.Lost}},
			payment.Unknown, payment.ByAnswer, false},
		"undecided, then paid": {[]bankemu.Rule{{On: "charge", Do: bankemu.Pending, Seconds: 3600, Times: 1}}, payment.Unknown, payment.ByNotice, false},
		"undecided, then declined, then retried": {[]bankemu.Rule{{On: "charge", Do: bankemu.Pending, Seconds: 3600, Reason: "no-funds", Times: 1}},
			payment.Unknown, "", false},
		"declined for good": {[]bankemu.Rule{{On: "charge", Do: bankemu.Decline, Reason: "stolen", Final: true}, {On: "notice", Do: bankemu.Forged}},
			payment.Failed, payment.ByAnswer, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			w.pays("A1", payment.PerTrip, payment.Card, 100_00)
			w.bank.Tell(one.rules...)
			toll := w.toll("A1", 20_00)
			w.must(w.work())
			if a := w.only(); a.State != one.first {
				t.Fatalf("after the order it is %s (%s), want %s", a.State, a.Reason, one.first)
			}
			if one.first == payment.Unknown {
				// Somebody who pays at once because it looks unpaid is refused.
				err := w.do(func(tx payment.Tx) error {
					_, err := w.service.Pay(w.ctx, tx, payment.PayRequest{Account: "A1", Receivables: []string{toll}})
					return err
				})
				if err == nil {
					t.Error("a second attempt was made while the first is unknown")
				}
			}
			w.later(2*time.Hour, 10*time.Minute)
			w.later(72*time.Hour, 6*time.Hour)
			want := int64(20_00)
			if one.unpaid {
				want = 0
			}
			if got := w.bank.Totals("HKD").TakenCents; got != want || w.rest(toll) != 20_00-want || w.wallet("A1") != 0 {
				t.Errorf("taken %d, rest %d, wallet %d", got, w.rest(toll), w.wallet("A1"))
			}
			if a := w.attempts()[0]; one.how != "" && a.How != one.how {
				t.Errorf("it ended by %q (%s), want %q", a.How, a.State, one.how)
			}
			w.audit()
		})
	}
}

// TestFailedAndYetTaken is what happened to drivers in Hong Kong in 2018 (30
// payments by Octopus shown as failed though they were taken, then paid again;
// news.gov.hk, 4 February 2019): the money is received all the same, and what
// was paid twice stands to their credit.
func TestFailedAndYetTaken(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.PerTrip, payment.StoredValue, 100_00)
	// The provider answers that it declined, takes the money, and says so much
	// later.
	w.bank.Tell(bankemu.Rule{On: "charge", Do: bankemu.Pending, Seconds: 4 * 3600, Times: 1})
	toll := w.toll("A1", 20_00)
	w.must(w.work())
	first := w.only()
	declined := payment.Outcome{Result: payment.ResultDeclined, Reason: "display-failure"}
	said := w.says(first.ID)
	w.must(w.do(func(tx payment.Tx) error {
		_, err := w.service.Resolve(w.ctx, tx, payment.Decision{
			Staff: payment.Staff{By: "clerk", Reason: "the terminal says " + declined.Reason}, Attempt: first.ID, Evidence: "terminal log 17", Said: said,
		})
		return err
	}))
	if a := w.only(); a.State != payment.Failed || a.How != payment.ByHand || w.rest(toll) != 20_00 {
		t.Fatalf("%+v", a)
	}
	// The driver pays again, by other means.
	other := w.bank.AddToken("", "card", 100_00, "HKD")
	var second payment.Attempt
	w.must(w.do(func(tx payment.Tx) (err error) {
		second, err = w.service.Pay(w.ctx, tx, payment.PayRequest{Account: "A1", Receivables: []string{toll}, Token: other})
		return err
	}))
	second, err := w.service.Drive(w.ctx, second.ID)
	w.must(err)
	if second.State != payment.Succeeded || w.rest(toll) != 0 {
		t.Fatalf("%+v", second)
	}
	w.later(5*time.Hour, time.Hour)
	late, err := w.service.Attempt(w.ctx, first.ID)
	w.must(err)
	if late.State != payment.Succeeded || w.wallet("A1") != 20_00 {
		t.Errorf("late %+v, wallet %d", late, w.wallet("A1"))
	}
	// The next toll is paid of it.
	next := w.toll("A1", 15_00)
	w.must(w.work())
	if w.rest(next) != 0 || w.wallet("A1") != 5_00 {
		t.Errorf("rest %d, wallet %d", w.rest(next), w.wallet("A1"))
	}
	w.audit()
}
