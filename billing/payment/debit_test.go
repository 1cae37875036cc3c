package payment_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/bankemu"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/billing/payment"
)

// atHongKong sets the clock to an hour of a day of November 2026 there.
func (w *world) atHongKong(day, hour, minute int) {
	w.clock.Set(time.Date(2026, 11, day, hour, minute, 0, 0, hongKong))
}

func TestOneDebitADay(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.Daily, payment.Card, 1000_00)
	w.must(w.work()) // closes the 23rd, of which there is nothing
	first, second := w.toll("A1", 8_00), w.toll("A1", 60_00)
	w.atHongKong(24, 23, 59)
	third := w.toll("A1", 20_00)
	w.must(w.work())
	if len(w.attempts()) != 0 {
		t.Fatal("something was debited on the day itself")
	}
	// After midnight and before the day is closed.
	w.atHongKong(25, 0, 10)
	w.must(w.work())
	next := w.toll("A1", 5_00) // posted on the 25th
	if len(w.attempts()) != 0 {
		t.Fatal("the day was closed before its postings were followed")
	}
	w.atHongKong(25, 0, 31)
	w.must(w.work())
	a := w.only()
	if a.AmountCents != 88_00 || a.State != payment.Succeeded || len(a.Items) != 3 || a.Purpose != payment.ForDaily {
		t.Errorf("%+v", a)
	}
	for _, paid := range []string{first, second, third} {
		if w.rest(paid) != 0 {
			t.Errorf("%s is not paid", paid)
		}
	}
	if w.rest(next) != 5_00 {
		t.Error("what was posted after midnight was debited with the day before")
	}
	if got := w.events("A1"); got != "debit-processing debit-paid" && got != "debit-paid debit-processing" {
		t.Errorf("events: %s", got)
	}
	// Nothing more, however often it is run.
	w.later(3*time.Hour, time.Hour)
	if len(w.attempts()) != 1 {
		t.Error("the day was debited again")
	}
	w.atHongKong(26, 1, 0)
	w.must(w.work())
	if w.rest(next) != 0 || len(w.attempts()) != 2 {
		t.Errorf("the next day: rest %d, %d attempts", w.rest(next), len(w.attempts()))
	}
	w.audit()
}

// TestLatePostingGoesToTheNextDay: a posting of the day that was not followed
// when the day was closed is in the next one's debit, and in one only.
func TestLatePostingGoesToTheNextDay(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.Daily, payment.Card, 1000_00)
	w.must(w.work())
	w.toll("A1", 8_00)
	w.atHongKong(24, 23, 0)
	_, err := w.books.PostCharge(w.ctx, billing.Charge{
		ID: "slow", Kind: "toll", Revision: 1, Account: "A1", Creditor: "CHT", AmountCents: 30_00, Currency: "HKD", OccurredMicros: noon.UnixMicro(),
	}, w.clock.Now())
	w.must(err)
	w.atHongKong(25, 1, 0)
	w.must(w.work())
	if a := w.only(); a.AmountCents != 8_00 {
		t.Fatalf("%+v", a)
	}
	w.follow()
	w.must(w.work())
	if len(w.attempts()) != 1 {
		t.Fatal("a late posting opened the closed day")
	}
	w.atHongKong(26, 1, 0)
	w.must(w.work())
	if list := w.attempts(); len(list) != 2 || list[1].AmountCents != 30_00 || w.rest("charge:slow") != 0 {
		t.Errorf("%+v", list)
	}
	w.audit()
}

// TestFailedDebitIsRetriedAndGivenUp: after each failure the tolls are owed, so
// that the ladder of unpaid tolls goes on, and nothing is taken in between.
func TestFailedDebitIsRetriedAndGivenUp(t *testing.T) {
	w := newWorld(t, "")
	token := w.pays("A1", payment.Daily, payment.Card, 1000_00)
	w.bank.DeclineToken(token, "insufficient-funds")
	w.must(w.work())
	toll, other := w.toll("A1", 8_00), w.toll("A1", 60_00)
	w.atHongKong(25, 1, 0)
	w.must(w.work())
	if a := w.only(); a.State != payment.Failed || a.Reason != "insufficient-funds" || w.rest(toll) != 8_00 {
		t.Fatalf("%+v", a)
	}
	// One of the tolls is paid by hand meanwhile: the next try is for the rest.
	cash := w.bank.AddToken("", "card", 100_00, "HKD")
	var a payment.Attempt
	w.must(w.do(func(tx payment.Tx) (err error) {
		a, err = w.service.Pay(w.ctx, tx, payment.PayRequest{Account: "A1", Receivables: []string{toll}, Token: cash})
		return err
	}))
	w.must(w.service.Step(w.ctx, a.ID))
	w.later(25*time.Hour, time.Hour)
	list := w.attempts()
	if len(list) != 3 || list[2].AmountCents != 60_00 || list[2].State != payment.Failed {
		t.Fatalf("%+v", list)
	}
	w.later(10*24*time.Hour, 6*time.Hour)
	if list = w.attempts(); len(list) != 4 || w.rest(other) != 60_00 || strings.Count(w.events("A1"), "debit-given-up") != 1 {
		t.Errorf("%d attempts, rest %d, %s", len(list), w.rest(other), w.events("A1"))
	}
	// Whoever changes the amount of a toll makes another debt of it.
	w.bank.DeclineToken(token, "")
	w.post(billing.Charge{ID: "t002", Revision: 2, Account: "A1", AmountCents: 52_00})
	w.later(25*time.Hour, time.Hour)
	if w.rest(other) != 0 {
		t.Errorf("the corrected toll is not debited: rest %d", w.rest(other))
	}
	w.audit()
}

// TestHeldTollIsLeftToALaterDebit: what is in dispute when its debit is tried is
// debited once it is let go.
func TestHeldTollIsLeftToALaterDebit(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.PerTrip, payment.Bank, 1000_00)
	w.bank.Tell(bankemu.Rule{On: "charge", Do: bankemu.Decline, Reason: "limit", Times: 1})
	toll := w.toll("A1", 8_00)
	w.must(w.work())
	hold := func(was, reason string) {
		w.must(w.do(func(tx payment.Tx) error { return tx.Hold(w.ctx, toll, was, reason) }))
	}
	hold("", "dispute:1")
	w.later(30*time.Hour, time.Hour)
	if w.rest(toll) != 8_00 || len(w.attempts()) != 1 {
		t.Fatal("a held toll was debited")
	}
	hold("dispute:1", "")
	w.later(2*time.Hour, time.Hour)
	if w.rest(toll) != 0 {
		t.Error("the toll was let go and is not debited")
	}
	w.audit()
}

func TestTopUp(t *testing.T) {
	w := newWorld(t, "")
	token := w.bank.AddToken("", "stored-value", 1000_00, "HKD")
	w.means(payment.Means{Account: "A1", Mode: payment.Prepaid, Kind: payment.StoredValue, Provider: "bank", Token: token, ThresholdCents: 50_00, TopUpCents: 200_00})
	w.must(w.work())
	if w.wallet("A1") != 200_00 || w.events("A1") != "low-balance top-up" {
		t.Fatalf("wallet %d, %s", w.wallet("A1"), w.events("A1"))
	}
	toll := w.toll("A1", 60_00)
	w.must(w.work())
	if w.rest(toll) != 0 || w.wallet("A1") != 140_00 {
		t.Errorf("rest %d, wallet %d", w.rest(toll), w.wallet("A1"))
	}
	// One at a time, also while nobody knows what became of it.
	w.bank.Tell(bankemu.Rule{On: "charge", Do: bankemu.CutAfter, Times: 1}, bankemu.Rule{On: "query", Do: bankemu.Outage, Times: 3}, bankemu.Rule{On: "notice", Do: bankemu.Lost, Times: 1})
	w.toll("A1", 100_00)
	for range 5 {
		w.clock.Advance(10 * time.Second)
		w.must(w.work())
	}
	err := w.do(func(tx payment.Tx) error {
		_, err := w.service.TopUp(w.ctx, tx, payment.TopUpRequest{Account: "A1", AmountCents: 10_00, Currency: "HKD"})
		return err
	})
	if err == nil || len(w.attempts()) != 2 {
		t.Errorf("%d attempts, %v", len(w.attempts()), err)
	}
	w.later(time.Hour, 5*time.Minute)
	if w.wallet("A1") != 240_00 || len(w.attempts()) != 2 {
		t.Errorf("wallet %d, %d attempts", w.wallet("A1"), len(w.attempts()))
	}
	w.audit()
}

func TestTopUpIsGivenUp(t *testing.T) {
	w := newWorld(t, "")
	token := w.bank.AddToken("", "card", 1000_00, "HKD")
	w.bank.DeclineToken(token, "limit")
	means := payment.Means{Account: "A1", Mode: payment.Prepaid, Kind: payment.Card, Provider: "bank", Token: token, ThresholdCents: 50_00, TopUpCents: 100_00}
	w.means(means)
	w.later(15*24*time.Hour, 12*time.Hour)
	if n := len(w.attempts()); n != 4 {
		t.Errorf("%d tries in a fortnight, want 4", n)
	}
	toll := w.toll("A1", 20_00)
	w.bank.DeclineToken(token, "")
	w.must(w.work())
	if len(w.attempts()) != 4 || w.rest(toll) != 20_00 {
		t.Error("a top-up that was given up was tried again by itself")
	}
	// Setting the means anew begins anew, and what is open is paid.
	w.means(means)
	w.must(w.work())
	if w.wallet("A1") != 80_00 || w.rest(toll) != 0 {
		t.Errorf("wallet %d, rest %d", w.wallet("A1"), w.rest(toll))
	}
	w.audit()
}

// TestLowBalanceIsToldOnce: who tops up by hand is told each time that the
// balance falls below the threshold, and once each time.
func TestLowBalanceIsToldOnce(t *testing.T) {
	w := newWorld(t, "")
	w.means(payment.Means{Account: "A1", Mode: payment.Prepaid, ThresholdCents: 50_00})
	w.later(3*time.Hour, time.Hour)
	if got := w.events("A1"); got != "low-balance" {
		t.Errorf("events: %s", got)
	}
	var a payment.Attempt
	w.must(w.do(func(tx payment.Tx) (err error) {
		a, err = w.service.AwaitTopUp(w.ctx, tx, payment.TopUpRequest{Account: "A1", AmountCents: 100_00, Currency: "HKD"})
		return err
	}))
	w.must(w.bank.Send(w.ctx, a.Bill, "fps_payer1", 100_00, "HKD"))
	w.later(3*time.Minute, time.Minute)
	if w.wallet("A1") != 100_00 {
		t.Fatalf("wallet %d", w.wallet("A1"))
	}
	w.toll("A1", 60_00)
	w.later(2*time.Hour, time.Hour)
	if got := w.events("A1"); got != "low-balance top-up low-balance" {
		t.Errorf("events: %s", got)
	}
	w.audit()
}

// TestMeansAreEffectiveDated: what was in force stays so until the later instant,
// and the day's debit goes by what is in force as the day ends.
func TestMeansAreEffectiveDated(t *testing.T) {
	w := newWorld(t, "")
	w.must(w.work())
	first := w.pays("A1", payment.Daily, payment.Card, 100_00)
	second := w.bank.AddToken("", "bank", 100_00, "HKD")
	w.means(payment.Means{
		Account: "A1", From: time.Date(2026, 11, 25, 0, 0, 0, 0, hongKong), Mode: payment.PerTrip, Kind: payment.Bank, Provider: "bank", Token: second,
	})
	toll := w.toll("A1", 10_00)
	w.must(w.work())
	if w.rest(toll) != 10_00 {
		t.Error("debited per trip before it is in force")
	}
	w.atHongKong(25, 0, 1)
	other := w.toll("A1", 7_00)
	w.must(w.work())
	// Per trip is in force: both are debited now, each by itself, once.
	w.later(24*time.Hour, time.Hour)
	if w.rest(toll) != 0 || w.rest(other) != 0 || w.bank.Balance(first) != 100_00 || w.bank.Balance(second) != 83_00 {
		t.Errorf("rests %d and %d, balances %d and %d", w.rest(toll), w.rest(other), w.bank.Balance(first), w.bank.Balance(second))
	}
	past := payment.Means{Account: "A1", From: noon.Add(-time.Hour), Mode: payment.Prepaid, Currency: "HKD", By: "x"}
	if err := w.do(func(tx payment.Tx) error { _, err := w.service.SetMeans(w.ctx, tx, past); return err }); err == nil {
		t.Error("how an account paid was changed afterwards")
	}
	now, ok, all, err := w.service.MeansOf(w.ctx, "A1", w.clock.Now())
	if err != nil || !ok || now.Token != second || len(all) != 2 || all[0].Token != first {
		t.Errorf("%+v %v %+v %v", now, ok, all, err)
	}
	w.audit()
}

// TestTwoProcessesDebitOnce runs everything in two processes at once on one
// database.
func TestTwoProcessesDebitOnce(t *testing.T) { testTwoProcesses(t, "") }

func testTwoProcesses(t *testing.T, url string) {
	w := newWorld(t, url)
	if url == "" {
		url = w.fresh()
		w.books = w.open(url)
		w.fault.Store = books.Keep[payment.Tx]{Store: w.books, As: func(tx *books.Tx) payment.Tx { return tx }}
	}
	other := w.newService(books.Keep[payment.Tx]{Store: w.open(url), As: func(tx *books.Tx) payment.Tx { return tx }})
	var tolls []string
	want := int64(0)
	for i := range 12 {
		account := fmt.Sprintf("A%02d", i)
		switch i % 3 {
		case 0:
			w.pays(account, payment.Daily, payment.Card, 1000_00)
		case 1:
			w.pays(account, payment.PerTrip, payment.Bank, 1000_00)
		default:
			token := w.bank.AddToken("", "card", 1000_00, "HKD")
			w.means(payment.Means{Account: account, Mode: payment.Prepaid, Kind: payment.Card, Provider: "bank", Token: token, ThresholdCents: 1_00, TopUpCents: 30_00})
			want += 30_00
		}
		tolls = append(tolls, w.toll(account, 10_00), w.toll(account, 7_00))
		if i%3 != 2 {
			want += 17_00
		}
	}
	for range 6 {
		var wg sync.WaitGroup
		for _, s := range []*payment.Service{w.service, other, w.service, other} {
			wg.Go(func() {
				if _, err := s.Work(w.ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() { _, _ = w.bank.Deliver(w.ctx) })
		wg.Wait()
		w.clock.Advance(5 * time.Hour)
	}
	for _, toll := range tolls {
		if w.rest(toll) != 0 {
			t.Errorf("%s is not paid", toll)
		}
	}
	if got := w.bank.Totals("HKD").TakenCents; got != want {
		t.Errorf("taken %d, want %d", got, want)
	}
	w.audit()
}

// TestDailyDebitsAddUp: whatever is posted when, over some days with declines and
// lost answers, each day's debit is the sum of its items, each toll is in one
// debit that succeeded, and there is one debit an account and day.
func TestDailyDebitsAddUp(t *testing.T) {
	seeds(t, 8, func(t *testing.T, r *rand.Rand) {
		w := newWorld(t, "")
		accounts := []string{"A1", "A2"}
		for _, a := range accounts {
			w.pays(a, payment.Daily, payment.Card, 100_000_00)
		}
		faults := []string{bankemu.CutAfter, bankemu.ErrorBefore, bankemu.Decline, bankemu.CutBefore, bankemu.Outage}
		owed := map[string]int64{}
		for range 5 + r.IntN(20) {
			switch r.IntN(6) {
			case 0, 1, 2:
				cents := 1 + r.Int64N(60_00)
				owed[w.toll(accounts[r.IntN(2)], cents)] = cents
			case 3:
				w.bank.Tell(bankemu.Rule{On: "charge", Do: faults[r.IntN(len(faults))], Times: 1})
			default:
				hours := time.Duration(1+r.IntN(30)) * time.Hour
				w.later(hours, hours)
			}
		}
		w.bank.Behave()
		w.later(8*24*time.Hour, 24*time.Hour)
		inDebit := map[string]int{}
		days := map[string]bool{}
		for _, a := range w.attempts() {
			full, err := w.service.Attempt(w.ctx, a.ID)
			w.must(err)
			sum := int64(0)
			for _, one := range full.Items {
				sum += one.AmountCents
				if full.State == payment.Succeeded {
					inDebit[one.Receivable]++
				}
			}
			if sum != full.AmountCents {
				t.Errorf("the items of %+v add up to %d", full, sum)
			}
			if full.State == payment.Succeeded && days[full.Debit] {
				t.Errorf("two debits of %s succeeded", full.Debit)
			}
			days[full.Debit] = days[full.Debit] || full.State == payment.Succeeded
		}
		for id := range owed {
			if w.rest(id) != 0 || inDebit[id] != 1 {
				t.Errorf("%s: rest %d, in %d debits that succeeded", id, w.rest(id), inDebit[id])
			}
		}
		w.audit()
	})
}

// TestOwnersAreTold: a daily debit has its two notices, in the transactions of
// what they tell.
func TestOwnersAreTold(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.Daily, payment.Card, 1000_00)
	w.must(w.work())
	w.toll("A1", 8_00)
	w.toll("A1", 12_00)
	w.atHongKong(25, 1, 0)
	w.must(w.work())
	told := map[string]notice.Notice{}
	w.must(w.do(func(tx payment.Tx) error {
		list, err := tx.NoticesOf(w.ctx, "A1", "", time.Time{}, 10)
		for _, n := range list {
			told[n.Kind] = n
		}
		return err
	}))
	for _, kind := range []string{notice.Processing, notice.Debited} {
		if n := told[kind]; n.AmountCents != 20_00 || n.Facts["trips"] != "2" || n.Facts["day"] != "2026-11-24" {
			t.Errorf("%s: %+v", kind, n)
		}
	}
	if text := notice.Write(told[notice.Debited], "en"); !strings.Contains(text.Body, "HK$20.00 for 2 charges of 2026-11-24 was paid") {
		t.Errorf("%q", text.Body)
	}
}
