package payment_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/bankemu"
	"freeflow/billing/books"
	"freeflow/billing/payment"
)

var clerk = payment.Staff{By: "clerk", Reason: "the account is closed"}

// topUp brings money into the wallet of A1 by a token.
func (w *world) topUp(token string, cents int64) payment.Attempt {
	w.Helper()
	var a payment.Attempt
	w.must(w.do(func(tx payment.Tx) (err error) {
		a, err = w.service.TopUp(w.ctx, tx, payment.TopUpRequest{Account: "A1", AmountCents: cents, Currency: "HKD", Token: token})
		return err
	}))
	a, err := w.service.Drive(w.ctx, a.ID)
	w.must(err)
	w.clock.Advance(time.Second)
	return a
}

// opened opens an account, closed closes it as of now; both may be done again.
func (w *world) opened(id string) {
	w.Helper()
	w.must(w.books.Do(w.ctx, func(tx *books.Tx) error {
		_, err := account.OpenAccount(w.ctx, tx, account.Account{
			ID: id, Kind: account.Individual, Name: "Chan", Email: "chan@example.hk", Language: "en", OpenedAt: noon,
		}, account.Deed{By: "clerk", Role: "operator", Now: w.clock.Now()})
		return err
	}))
}

func (w *world) closed(id string) {
	w.Helper()
	w.opened(id)
	w.must(w.books.Do(w.ctx, func(tx *books.Tx) error {
		if a, err := tx.Account(w.ctx, id); err != nil || a.State != account.Open {
			return err
		}
		_, err := account.Close(w.ctx, tx, id, w.clock.Now(), account.Deed{By: "clerk", Role: "operator", Now: w.clock.Now()})
		return err
	}))
}

// state is that of account A1.
func (w *world) state() (state string) {
	w.Helper()
	w.must(w.books.Do(w.ctx, func(tx *books.Tx) error {
		a, err := tx.Account(w.ctx, "A1")
		state = a.State
		return err
	}))
	return state
}

// payOut closes an account, and pays out what its wallet holds.
func (w *world) payOut(account, token string) (out []payment.Attempt, err error) {
	w.Helper()
	w.closed(account)
	err = w.do(func(tx payment.Tx) (err error) {
		out, err = w.service.PayOutRest(w.ctx, tx, payment.CloseRequest{Staff: clerk, Account: account, Currency: "HKD", Token: token})
		return err
	})
	return out, err
}

// TestClosedAccountGetsItsBalance: the balance goes back to where it came from,
// newest first, the rest to a token; all of it and once.
func TestClosedAccountGetsItsBalance(t *testing.T) {
	w := newWorld(t, "")
	first, second := w.bank.AddToken("", "card", 500_00, "HKD"), w.bank.AddToken("", "bank", 500_00, "HKD")
	w.topUp(first, 100_00)
	w.topUp(second, 30_00)
	// Money that came by other ways than a provider.
	w.must(w.do(func(tx payment.Tx) error {
		_, err := tx.Move(w.ctx, billing.Movement{ID: "cash-1", Kind: billing.Receipt, Holder: "A1", Means: "card", AmountCents: 7_00, Currency: "HKD", At: w.clock.Now()}, w.clock.Now())
		return err
	}))
	w.toll("A1", 20_00)
	if w.wallet("A1") != 117_00 {
		t.Fatalf("wallet %d", w.wallet("A1"))
	}
	out, err := w.payOut("A1", second)
	w.must(err)
	if len(out) != 2 || out[0].AmountCents != 30_00 || out[1].AmountCents != 87_00 || w.wallet("A1") != 0 {
		t.Errorf("%+v, wallet %d", out, w.wallet("A1"))
	}
	if again, err := w.payOut("A1", second); err == nil && len(again) != 0 {
		t.Errorf("paid out again: %+v, %v", again, err)
	}
	w.later(time.Hour, 10*time.Minute)
	if w.bank.Balance(first) != 487_00 || w.bank.Balance(second) != 500_00 {
		t.Errorf("balances %d and %d", w.bank.Balance(first), w.bank.Balance(second))
	}
	again, err := w.payOut("A1", second)
	if err != nil || len(again) != 0 {
		t.Errorf("paid out again: %+v, %v", again, err)
	}
}

// TestPayOutWithoutAnAnswer: nobody knows whether it arrived, then it is found
// out; until then the money is not spent a second time.
func TestPayOutWithoutAnAnswer(t *testing.T) {
	for name, one := range map[string]struct {
		rules []bankemu.Rule
		state string
	}{
		"sent":      {[]bankemu.Rule{{On: "refund", Do: bankemu.CutAfter, Times: 1}, {On: "notice", Do: bankemu.Lost}}, payment.Succeeded},
		"not sent":  {[]bankemu.Rule{{On: "refund", Do: bankemu.CutBefore, Times: 1}}, payment.Succeeded},
		"undecided": {[]bankemu.Rule{{On: "refund", Do: bankemu.Pending, Seconds: 7200, Times: 1}}, payment.Succeeded},
		"declined":  {[]bankemu.Rule{{On: "refund", Do: bankemu.Decline, Reason: "card-closed", Final: true, Times: 1}}, payment.Failed},
		"outage":    {[]bankemu.Rule{{On: "refund", Do: bankemu.Outage}}, payment.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			card := w.bank.AddToken("", "card", 500_00, "HKD")
			w.topUp(card, 100_00)
			w.bank.Tell(one.rules...)
			out, err := w.payOut("A1", "")
			if err != nil || len(out) != 1 {
				t.Fatalf("%+v, %v", out, err)
			}
			w.must(w.work())
			// A toll that comes meanwhile finds nothing to be paid of.
			toll := w.toll("A1", 20_00)
			if name != "declined" && w.rest(toll) != 20_00 {
				t.Error("the money on its way out was spent")
			}
			w.later(2*time.Hour, 10*time.Minute)
			w.later(24*time.Hour, 6*time.Hour)
			a, err := w.service.Attempt(w.ctx, out[0].ID)
			if err != nil || a.State != one.state {
				t.Errorf("%+v, %v", a, err)
			}
			if one.state == payment.Failed && (w.wallet("A1") != 80_00 || w.rest(toll) != 0 || !strings.Contains(w.events(""), payment.EventRefundFailed)) {
				t.Errorf("wallet %d, %s", w.wallet("A1"), w.events(""))
			}
			if one.state == payment.Succeeded && (w.wallet("A1") != 0 || w.bank.Balance(card) != 500_00) {
				t.Errorf("wallet %d, balance %d", w.wallet("A1"), w.bank.Balance(card))
			}
			w.audit()
		})
	}
}

// TestRefundThatFailedAndYetWentOut: the money has left the wallet after all, if
// it is still there; else a person is told.
func TestRefundThatFailedAndYetWentOut(t *testing.T) {
	for _, spent := range []bool{false, true} {
		w := newWorld(t, "")
		card := w.bank.AddToken("", "card", 500_00, "HKD")
		w.topUp(card, 100_00)
		w.bank.Tell(bankemu.Rule{On: "refund", Do: bankemu.Pending, Seconds: 36000, Times: 1})
		out, err := w.payOut("A1", "")
		w.must(err)
		w.must(w.work())
		said := w.says(out[0].ID)
		w.must(w.do(func(tx payment.Tx) error {
			_, err := w.service.Resolve(w.ctx, tx, payment.Decision{Staff: clerk, Attempt: out[0].ID, Evidence: "telephone call 5", Said: said})
			return err
		}))
		if w.wallet("A1") != 100_00 {
			t.Fatalf("wallet %d", w.wallet("A1"))
		}
		if spent {
			w.toll("A1", 60_00)
		}
		w.later(11*time.Hour, time.Hour)
		a, err := w.service.Attempt(w.ctx, out[0].ID)
		w.must(err)
		told := strings.Contains(w.events(""), payment.EventUncovered)
		if a.State != payment.Succeeded || told != spent || !spent && w.wallet("A1") != 0 {
			t.Errorf("spent %v: %s, wallet %d, %s", spent, a.State, w.wallet("A1"), w.events(""))
		}
		if !spent {
			w.audit()
		}
	}
}

func TestCloseWaitsForWhatIsUnknown(t *testing.T) {
	w := newWorld(t, "")
	card := w.bank.AddToken("", "card", 500_00, "HKD")
	w.topUp(card, 10_00)
	w.bank.Tell(bankemu.Rule{On: "charge", Do: bankemu.CutAfter, Times: 1}, bankemu.Rule{On: "notice", Do: bankemu.Lost})
	if a := w.topUp(card, 20_00); a.State != payment.Unknown {
		t.Fatalf("%+v", a)
	}
	if _, err := w.payOut("A1", ""); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("paid out while a payment is unknown: %v", err)
	}
	w.later(time.Hour, 10*time.Minute)
	out, err := w.payOut("A1", "")
	if err != nil || len(out) != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	w.later(time.Hour, 10*time.Minute)
	if w.bank.Balance(card) != 500_00 {
		t.Errorf("balance %d", w.bank.Balance(card))
	}
	w.audit()
}

func TestResolveByHand(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.PerTrip, payment.Card, 100_00)
	w.bank.Tell(bankemu.Rule{On: "any", Do: bankemu.Outage})
	toll := w.toll("A1", 20_00)
	w.must(w.work())
	a := w.only()
	resolve := func(d payment.Decision) error {
		d.Attempt, d.Said = a.ID, w.says(a.ID)
		return w.do(func(tx payment.Tx) error { _, err := w.service.Resolve(w.ctx, tx, d); return err })
	}
	for name, bad := range map[string]payment.Decision{
		"no evidence": {Staff: clerk, Succeeded: true}, "no reason": {Staff: payment.Staff{By: "clerk"}, Evidence: "x", Succeeded: true},
		"nobody": {Staff: payment.Staff{Reason: "x"}, Evidence: "x"}, "a card's number": {Staff: clerk, Evidence: "card 4111 1111 1111 1111"},
	} {
		if err := resolve(bad); !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Asking again while the provider is out changes nothing.
	w.must(w.do(func(tx payment.Tx) error { _, err := w.service.AskAgain(w.ctx, tx, clerk, a.ID); return err }))
	w.must(w.service.Step(w.ctx, a.ID))
	if w.only().State != payment.Unknown {
		t.Fatalf("%+v", w.only())
	}
	// For a week nobody knows: then it waits for a person, and goes on asking no
	// more.
	w.later(14*24*time.Hour, 6*time.Hour)
	if a := w.only(); a.State != payment.Unknown || !a.NextAt.IsZero() || !strings.Contains(w.events(""), payment.EventUnresolved) {
		t.Fatalf("%+v, %s", a, w.events(""))
	}
	w.must(resolve(payment.Decision{Staff: clerk, Evidence: "statement 7, line 3", Succeeded: true, ProviderRef: "trf-000777"}))
	if a := w.only(); a.State != payment.Succeeded || a.How != payment.ByHand || w.rest(toll) != 0 {
		t.Errorf("%+v, rest %d", a, w.rest(toll))
	}
	if err := resolve(payment.Decision{Staff: clerk, Evidence: "x"}); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("resolved twice: %v", err)
	}
}

func TestBadMeansAreRefused(t *testing.T) {
	w := newWorld(t, "")
	good := payment.Means{Account: "A1", Mode: payment.Daily, Kind: payment.Card, Provider: "bank", Token: "tok_abcd", Currency: "HKD", By: "x"}
	for name, change := range map[string]func(*payment.Means){
		"no account": func(m *payment.Means) { m.Account = "" }, "mode": func(m *payment.Means) { m.Mode = "weekly" },
		"no token": func(m *payment.Means) { m.Token, m.Kind, m.Provider = "", "", "" }, "card number": func(m *payment.Means) { m.Token = "4111111111111111" },
		"kind": func(m *payment.Means) { m.Kind = "cheque" }, "daily by bank": func(m *payment.Means) { m.Kind = payment.Bank },
		"threshold": func(m *payment.Means) { m.ThresholdCents = 1 }, "provider": func(m *payment.Means) { m.Provider = "elsewhere" },
		"nobody": func(m *payment.Means) { m.By = "" }, "currency": func(m *payment.Means) { m.Currency = "" },
		"top-up without threshold":   func(m *payment.Means) { m.Mode, m.TopUpCents = payment.Prepaid, 1_00 },
		"top-up below the threshold": func(m *payment.Means) { m.Mode, m.ThresholdCents, m.TopUpCents = payment.Prepaid, 20_00, 1 },
		"top-up without token": func(m *payment.Means) {
			m.Mode, m.TopUpCents, m.ThresholdCents = payment.Prepaid, 1_00, 1_00
			m.Token, m.Kind, m.Provider = "", "", ""
		},
		"negative": func(m *payment.Means) { m.Mode, m.ThresholdCents = payment.Prepaid, -1 },
	} {
		m := good
		change(&m)
		err := w.do(func(tx payment.Tx) error { _, err := w.service.SetMeans(w.ctx, tx, m); return err })
		if !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.must(w.do(func(tx payment.Tx) error { _, err := w.service.SetMeans(w.ctx, tx, good); return err }))
}

// TestClosingAccountsAreClosed: who closes an account and has nothing to be paid
// out is closed by the job; who owes, holds, or closes later only, is not.
func TestClosingAccountsAreClosed(t *testing.T) {
	w := newWorld(t, "")
	settle := func(looked int) {
		t.Helper()
		n, err := w.service.SettleClosing(w.ctx, "HKD")
		w.must(err)
		if n != looked {
			t.Errorf("the job looked at %d accounts, want %d", n, looked)
		}
	}
	settle(0) // open
	id := w.toll("A1", 20_00)
	w.closed("A1")
	settle(0) // it owes
	w.must(w.do(func(tx payment.Tx) error {
		_, err := tx.Move(w.ctx, billing.Movement{ID: "cash-1", Kind: billing.Receipt, Holder: "A1", Means: "cash", AmountCents: 27_00, Currency: "HKD", At: w.clock.Now()}, w.clock.Now())
		if err == nil {
			_, err = tx.Collect(w.ctx, "A1", []string{id}, w.clock.Now())
		}
		return err
	}))
	settle(0) // it holds
	if got := w.state(); got != account.Closing {
		t.Fatalf("it is %s", got)
	}
	w.must(w.do(func(tx payment.Tx) error {
		return tx.ReverseMovement(w.ctx, "cash-1", "counted twice", w.clock.Now())
	}))
	w.must(w.do(func(tx payment.Tx) error {
		_, err := tx.Move(w.ctx, billing.Movement{ID: "cash-2", Kind: billing.Receipt, Holder: "A1", Means: "cash", AmountCents: 20_00, Currency: "HKD", At: w.clock.Now()}, w.clock.Now())
		if err == nil {
			_, err = tx.CollectOpen(w.ctx, "A1", "HKD", 10, w.clock.Now())
		}
		return err
	}))
	w.follow()
	settle(1)
	if got := w.state(); got != account.Closed {
		t.Fatalf("it is %s", got)
	}
	settle(0)
	w.audit()
}
