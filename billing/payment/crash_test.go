package payment_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/bankemu"
	"freeflow/billing/payment"
)

// TestDyingBetweenAnyTwoSteps lets the process die before and after each
// transaction of a debit, a top-up and a payment by notice with change, starts
// it anew, and looks at the end: everything is paid once, the provider took what
// the ledger has.
func TestDyingBetweenAnyTwoSteps(t *testing.T) {
	died := 0
	for _, after := range []bool{false, true} {
		for dieAt := 1; ; dieAt++ {
			w := newWorld(t, "")
			w.pays("A1", payment.PerTrip, payment.Card, 100_00)
			token := w.bank.AddToken("", "card", 100_00, "HKD")
			w.means(payment.Means{Account: "A2", Mode: payment.Prepaid, Kind: payment.Card, Provider: "bank", Token: token, ThresholdCents: 1_00, TopUpCents: 30_00})
			tolls := []string{w.toll("A1", 20_00), w.toll("A2", 8_00)}
			w.fault.reset(dieAt, after)
			_, err := w.service.Work(w.ctx)
			for range 3 {
				if err == nil {
					_, err = w.service.Work(w.ctx)
				}
			}
			alive := !w.fault.dead
			if alive && err != nil {
				t.Fatal(err)
			}
			w.fault.reset(0, false)
			w.later(time.Hour, 20*time.Minute)
			w.later(26*time.Hour, 13*time.Hour)
			for _, toll := range tolls {
				if w.rest(toll) != 0 {
					t.Errorf("died at %d, %v: %s is not paid", dieAt, after, toll)
				}
			}
			if got := w.bank.Totals("HKD"); got.TakenCents != 50_00 || got.Charges != 2 || w.wallet("A2") != 22_00 {
				t.Errorf("died at %d, %v: taken %+v, wallet %d", dieAt, after, got, w.wallet("A2"))
			}
			w.audit()
			if alive {
				break
			}
			died++
		}
	}
	if died < 20 {
		t.Errorf("it died %d times only: the faults are not where they should be", died)
	}
	t.Logf("died and started anew %d times", died)
}

// TestChaos is everything at once: accounts of every kind, payers without
// accounts, a provider that does all it can be told to, a process that dies, and
// a clock that goes on for a week. At the end the ledger has what the provider
// moved, no toll was paid twice, nothing is unknown.
func TestChaos(t *testing.T) {
	seeds(t, 4, func(t *testing.T, r *rand.Rand) {
		w := newWorld(t, "")
		w.pays("A1", payment.Daily, payment.Card, 10_000_00)
		w.pays("A2", payment.PerTrip, payment.Bank, 10_000_00)
		prepaid := w.bank.AddToken("", "card", 10_000_00, "HKD")
		w.means(payment.Means{Account: "A3", Mode: payment.Prepaid, Kind: payment.Card, Provider: "bank", Token: prepaid, ThresholdCents: 20_00, TopUpCents: 100_00})
		stranger := w.bank.AddToken("", "card", 10_000_00, "HKD")
		calls := []string{bankemu.Decline, bankemu.ErrorBefore, bankemu.ErrorAfter, bankemu.CutBefore, bankemu.CutAfter, bankemu.Pending, bankemu.Outage}
		notices := []string{bankemu.Lost, bankemu.Late, bankemu.Early, bankemu.Duplicate, bankemu.Forged, bankemu.Replay}
		ons := []string{"charge", "charge", "refund", "any"}
		var tolls []string
		amounts := map[string]int64{}
		for step := range 60 {
			switch r.IntN(9) {
			case 0, 1, 2:
				account := []string{"A1", "A2", "A3", ""}[r.IntN(4)]
				cents := 1_00 + r.Int64N(50_00)
				id := w.toll(account, cents)
				tolls = append(tolls, id)
				amounts[id] = cents
				if account != "" {
					break
				}
				number := fmt.Sprintf("NOTICE-%04d", step)
				w.must(w.do(func(tx payment.Tx) error {
					return tx.PutPayReference(w.ctx, payment.Reference{Number: number, Vehicle: "AB1234", Receivables: []string{id}})
				}))
				for range 1 + r.IntN(2) {
					token := []string{stranger, ""}[r.IntN(2)]
					var a payment.Attempt
					err := w.do(func(tx payment.Tx) (err error) {
						a, err = w.service.PayNotice(w.ctx, tx, payment.NoticeRequest{Vehicle: "AB1234", Number: number, Token: token})
						return err
					})
					if err == nil && token == "" {
						_ = w.bank.Send(w.ctx, a.Bill, fmt.Sprintf("fps_payer%d", step), a.AmountCents, "HKD") // what is not taken is sent again
					}
				}
			case 3:
				w.bank.Tell(bankemu.Rule{On: ons[r.IntN(len(ons))], Do: calls[r.IntN(len(calls))], Times: 1 + r.IntN(2), Seconds: r.Int64N(7200)})
			case 4:
				w.bank.Tell(bankemu.Rule{On: "notice", Do: notices[r.IntN(len(notices))], Times: 1 + r.IntN(2), Seconds: r.Int64N(7200)})
			case 5:
				w.fault.reset(1+r.IntN(12), r.IntN(2) == 0)
				_, _ = w.service.Work(w.ctx) // it dies
				w.fault.reset(0, false)
			case 6:
				if len(tolls) > 0 {
					id := tolls[r.IntN(len(tolls))]
					w.lower(id, amounts)
				}
			default:
				w.clock.Advance(time.Duration(1+r.IntN(300)) * time.Minute)
				_, _ = w.service.Work(w.ctx)
				_, _ = w.bank.Deliver(w.ctx)
			}
		}
		w.bank.Behave()
		w.later(9*24*time.Hour, 9*time.Hour)
		for _, a := range w.attempts() {
			if a.Live() {
				t.Errorf("not settled: %+v", a)
			}
			if taken := w.bank.Taken(a.ID); a.Kind == payment.Charge && taken != a.MovedCents {
				t.Errorf("payment %s moved %d here and %d there", a.ID, a.MovedCents, taken)
			}
		}
		owed := int64(0)
		for _, toll := range tolls {
			owed += amounts[toll] - w.rest(toll)
		}
		// What was taken and not given back pays tolls or stands in a wallet.
		totals, held := w.bank.Totals("HKD"), w.wallet("A1")+w.wallet("A2")+w.wallet("A3")
		for _, a := range w.attempts() {
			if a.Account == "" {
				held += w.wallet(billing.HolderOnce + a.ID)
			}
		}
		if totals.TakenCents-totals.GivenCents != owed+held {
			t.Errorf("taken %d, given %d; tolls paid %d, held %d", totals.TakenCents, totals.GivenCents, owed, held)
		}
		w.audit()
	})
}

// lower corrects a toll to half of what it was.
func (w *world) lower(id string, amounts map[string]int64) {
	w.Helper()
	c, _, err := w.books.Charge(w.ctx, id[len("charge:"):])
	w.must(err)
	c.Revision++
	c.AmountCents = max(c.AmountCents/2, 1)
	c.PaidCents = 0
	amounts[id] = c.AmountCents
	w.post(c)
}
