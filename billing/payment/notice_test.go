package payment_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/bankemu"
	"freeflow/billing/payment"
)

// unpaid makes a toll of nobody's account with a notice about it.
func (w *world) unpaid(number string, cents ...int64) (tolls []string) {
	w.Helper()
	for _, one := range cents {
		tolls = append(tolls, w.toll("", one))
	}
	w.must(w.do(func(tx payment.Tx) error {
		return tx.PutPayReference(w.ctx, payment.Reference{Number: number, Vehicle: "AB1234", Receivables: tolls})
	}))
	return tolls
}

// payNotice begins to pay a notice by a token, empty for FPS.
func (w *world) payNotice(number, token string) (a payment.Attempt, err error) {
	err = w.do(func(tx payment.Tx) (err error) {
		a, err = w.service.PayNotice(w.ctx, tx, payment.NoticeRequest{Vehicle: "AB1234", Number: number, Token: token})
		return err
	})
	return a, err
}

func TestPayByNotice(t *testing.T) {
	w := newWorld(t, "")
	tolls := w.unpaid("N-0000001", 20_00, 175_00)
	q, err := w.service.QuoteNotice(w.ctx, "AB1234", "N-0000001")
	if err != nil || q.TotalCents != 195_00 || len(q.AmountsCents) != 2 || q.Currency != "HKD" {
		t.Fatalf("%+v, %v", q, err)
	}
	card := w.bank.AddToken("", "card", 500_00, "HKD")
	a, err := w.payNotice("N-0000001", card)
	w.must(err)
	// Somebody else who has the notice is refused before anything is taken.
	if _, err := w.payNotice("N-0000001", card); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("a second payer: %v", err)
	}
	a, err = w.service.Drive(w.ctx, a.ID)
	if err != nil || a.State != payment.Succeeded || w.rest(tolls[0])+w.rest(tolls[1]) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := w.payNotice("N-0000001", card); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("paying what is paid: %v", err)
	}
	if q, err := w.service.QuoteNotice(w.ctx, "AB1234", "N-0000001"); err != nil || q.TotalCents != 0 {
		t.Errorf("%+v, %v", q, err)
	}
	w.audit()
}

// TestWrongCombinationsAreAlike: neither the plate nor the number alone tells
// anything.
func TestWrongCombinationsAreAlike(t *testing.T) {
	w := newWorld(t, "")
	w.unpaid("N-0000001", 20_00)
	var first error
	for _, one := range [][2]string{{"AB1234", "N-0000002"}, {"XY9999", "N-0000001"}, {"XY9999", "N-0000002"}, {"", ""}} {
		_, err := w.service.QuoteNotice(w.ctx, one[0], one[1])
		if !errors.Is(err, billing.ErrNotFound) {
			t.Fatalf("%v: %v", one, err)
		}
		if first == nil {
			first = err
		}
		if err.Error() != first.Error() {
			t.Errorf("%v is answered otherwise: %v", one, err)
		}
		err = w.do(func(tx payment.Tx) error {
			_, err := w.service.PayNotice(w.ctx, tx, payment.NoticeRequest{Vehicle: one[0], Number: one[1]})
			return err
		})
		if err == nil || err.Error() != first.Error() {
			t.Errorf("paying %v is answered otherwise: %v", one, err)
		}
	}
}

// TestFPS: money sent by the number in a QR code pays the notice; who comes
// second, sends too much or sends late gets back what is over.
func TestFPS(t *testing.T) {
	w := newWorld(t, "")
	toll := w.unpaid("N-0000001", 20_00)[0]
	one, err := w.payNotice("N-0000001", "")
	w.must(err)
	two, err := w.payNotice("N-0000001", "")
	w.must(err)
	w.must(w.bank.Send(w.ctx, one.Bill, "fps_anna1", 20_00, "HKD"))
	w.must(w.bank.Send(w.ctx, two.Bill, "fps_bert1", 20_00, "HKD"))
	w.later(time.Hour, 10*time.Minute)
	if w.rest(toll) != 0 || w.bank.Balance("fps_anna1") != 0 || w.bank.Balance("fps_bert1") != 20_00 {
		t.Errorf("rest %d, balances %d and %d", w.rest(toll), w.bank.Balance("fps_anna1"), w.bank.Balance("fps_bert1"))
	}
	// Twice by the same code, and too much.
	w.must(w.bank.Send(w.ctx, one.Bill, "fps_anna2", 25_00, "HKD"))
	w.later(time.Hour, 10*time.Minute)
	if w.bank.Balance("fps_anna2") != 25_00 {
		t.Errorf("balance %d", w.bank.Balance("fps_anna2"))
	}
	// After the code has run out, for what is still owed.
	late := w.unpaid("N-0000002", 30_00)[0]
	three, err := w.payNotice("N-0000002", "")
	w.must(err)
	w.later(48*time.Hour, 12*time.Hour)
	if a, err := w.service.Attempt(w.ctx, three.ID); err != nil || a.State != payment.Failed || a.How != payment.ByExpiry {
		t.Fatalf("%+v, %v", a, err)
	}
	w.must(w.bank.Send(w.ctx, three.Bill, "fps_carl1", 31_00, "HKD"))
	w.later(time.Hour, 10*time.Minute)
	if w.rest(late) != 0 || w.bank.Balance("fps_carl1") != 1_00 {
		t.Errorf("rest %d, balance %d", w.rest(late), w.bank.Balance("fps_carl1"))
	}
	// Nobody's number: it is held until a person has seen to it.
	w.must(w.bank.Send(w.ctx, "FFNOSUCHNUMBER000", "fps_dora1", 5_00, "HKD"))
	w.later(time.Hour, 10*time.Minute)
	if !strings.Contains(w.events(""), payment.EventUnmatched) {
		t.Errorf("events: %s", w.events(""))
	}
	var credit payment.Attempt
	for _, a := range w.attempts() {
		if a.Purpose == payment.ForCredit {
			credit = a
		}
	}
	w.must(w.do(func(tx payment.Tx) error {
		_, err := w.service.Refund(w.ctx, tx, payment.RefundRequest{
			Staff: payment.Staff{By: "clerk", Reason: "nobody's bill"}, Attempt: credit.ID, AmountCents: 5_00,
		})
		return err
	}))
	w.later(time.Minute, time.Minute)
	if w.bank.Balance("fps_dora1") != 5_00 {
		t.Errorf("balance %d", w.bank.Balance("fps_dora1"))
	}
	w.audit()
}

// TestManyPayOneNotice: however many pay at once, in two processes, the notice
// is paid once and nobody loses anything.
func TestManyPayOneNotice(t *testing.T) {
	w := newWorld(t, "")
	toll := w.unpaid("N-0000001", 20_00)[0]
	var wg sync.WaitGroup
	for i := range 8 {
		token := w.bank.AddToken("", "card", 50_00, "HKD")
		wg.Go(func() {
			if i%2 == 0 {
				a, err := w.payNotice("N-0000001", "")
				if err != nil {
					return // paid already
				}
				if err := w.bank.Send(w.ctx, a.Bill, fmt.Sprintf("fps_many%d", i), 20_00, "HKD"); err != nil {
					t.Error(err)
				}
				return
			}
			a, err := w.payNotice("N-0000001", token)
			if err != nil && !errors.Is(err, billing.ErrConflict) {
				t.Error(err)
			}
			if err == nil {
				err = w.service.Step(w.ctx, a.ID)
			}
			if err != nil && !errors.Is(err, billing.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.later(2*time.Hour, 30*time.Minute)
	if got := w.bank.Totals("HKD"); w.rest(toll) != 0 || got.TakenCents-got.GivenCents != 20_00 {
		t.Errorf("rest %d, %+v", w.rest(toll), got)
	}
	w.audit()
}

// TestCorrectedAfterPayment: a toll that was paid without an account and is
// lowered afterwards stays paid, and the difference goes back by itself.
func TestCorrectedAfterPayment(t *testing.T) {
	w := newWorld(t, "")
	toll := w.unpaid("N-0000001", 60_00)[0]
	card := w.bank.AddToken("", "card", 60_00, "HKD")
	a, err := w.payNotice("N-0000001", card)
	w.must(err)
	w.must(w.service.Step(w.ctx, a.ID))
	w.post(billing.Charge{ID: strings.TrimPrefix(toll, "charge:"), Revision: 2, AmountCents: 52_00})
	w.later(time.Hour, 10*time.Minute)
	if w.rest(toll) != 0 || w.bank.Balance(card) != 8_00 {
		t.Errorf("rest %d, balance %d", w.rest(toll), w.bank.Balance(card))
	}
	w.audit()
}

// TestTakenTwice: a provider that takes twice under one reference has brought
// money twice; what is too much stands to the payer's credit or goes back.
func TestTakenTwice(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.PerTrip, payment.Card, 100_00)
	w.bank.Tell(bankemu.Rule{On: "charge", Do: bankemu.Twice, Times: 1})
	w.toll("A1", 20_00)
	w.later(time.Hour, 10*time.Minute)
	if w.wallet("A1") != 20_00 {
		t.Errorf("wallet %d", w.wallet("A1"))
	}
	w.bank.Tell(bankemu.Rule{On: "charge", Do: bankemu.Twice, Times: 1})
	w.unpaid("N-0000001", 30_00)
	card := w.bank.AddToken("", "card", 60_00, "HKD")
	a, err := w.payNotice("N-0000001", card)
	w.must(err)
	w.must(w.service.Step(w.ctx, a.ID))
	w.later(time.Hour, 10*time.Minute)
	if w.bank.Balance(card) != 30_00 {
		t.Errorf("balance %d", w.bank.Balance(card))
	}
	w.audit()
}

// TestBothTakenBack: what was taken twice under one reference is taken back
// twice, each by the provider's own name for it, and nothing is left that the
// bank has.
func TestBothTakenBack(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.PerTrip, payment.Card, 100_00)
	w.bank.Tell(bankemu.Rule{On: "charge", Do: bankemu.Twice, Times: 1})
	w.toll("A1", 20_00)
	w.later(time.Hour, 10*time.Minute)
	list := w.attempts()
	if len(list) != 2 || w.wallet("A1") != 20_00 {
		t.Fatalf("%+v, wallet %d", list, w.wallet("A1"))
	}
	// The second one first; each notice comes again under another id.
	for n, a := range []payment.Attempt{list[1], list[0], list[1], list[0]} {
		body := fmt.Sprintf(`{"id":"back-%d","transfer":{"id":%q,"reference":%q,"status":"reversed","amount":"20.00","currency":"HKD","at":"2026-11-24T06:00:00Z"}}`,
			n, a.ProviderRef, list[0].ID)
		if err := w.service.Receive(w.ctx, "bank", w.signed(body, w.clock.Now()), []byte(body)); err != nil {
			t.Errorf("notice %d: %v", n, err)
		}
	}
	for _, a := range w.attempts() {
		if a.State != payment.Reversed {
			t.Errorf("%+v", a)
		}
	}
	if w.wallet("A1") != 0 {
		t.Errorf("wallet %d", w.wallet("A1"))
	}
}

// signed is the header of a body as the provider signs it.
func (w *world) signed(body string, at time.Time) string {
	return payment.Sign("e1", noticeSecret, at, []byte(body))
}

func TestNoticesOfTheProvider(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.PerTrip, payment.Card, 100_00)
	w.bank.Tell(bankemu.Rule{On: "any", Do: bankemu.Outage})
	toll := w.toll("A1", 20_00)
	w.must(w.work())
	a := w.only()
	now := w.clock.Now()
	body := func(id, status string) string {
		return fmt.Sprintf(`{"id":%q,"transfer":{"id":"trf-9","reference":%q,"status":%q,"amount":"20.00","currency":"HKD"}}`, id, a.ID, status)
	}
	receive := func(body, signature string) error {
		return w.service.Receive(w.ctx, "bank", signature, []byte(body))
	}
	success := body("n1", "succeeded")
	for name, signature := range map[string]string{
		"no signature":    "",
		"another secret":  payment.Sign("e1", "another-secret-0123456789", now, []byte(success)),
		"unknown epoch":   payment.Sign("e0", noticeSecret, now, []byte(success)),
		"of another body": w.signed(body("n1", "declined"), now),
		"too old":         w.signed(success, now.Add(-payment.DefaultTolerance-time.Second)),
		"from the future": w.signed(success, now.Add(payment.DefaultTolerance+time.Second)),
		"cut":             strings.TrimSuffix(w.signed(success, now), "0"),
		"time changed":    strings.Replace(w.signed(success, now), "t=", "t=1", 1),
		"twice a part":    w.signed(success, now) + ",k=e1",
	} {
		if name == "cut" && strings.HasSuffix(w.signed(success, now), "0") == false {
			signature = signature[:len(signature)-1]
		}
		if err := receive(success, signature); !errors.Is(err, payment.ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.only().State != payment.Unknown || w.rest(toll) != 20_00 {
		t.Fatal("a forged notice had an effect")
	}
	for name, bad := range map[string]string{
		"no JSON": "x", "no id": body("", "succeeded"), "amount": strings.Replace(success, "20.00", "2e1", 1),
		"status": body("n7", "maybe"), "no currency": strings.Replace(success, `,"currency":"HKD"`, "", 1),
	} {
		if err := receive(bad, w.signed(bad, now)); !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.service.Receive(w.ctx, "nobody", w.signed(success, now), []byte(success)); !errors.Is(err, billing.ErrInvalid) {
		t.Errorf("another provider's: %v", err)
	}
	// Out of order: that it was taken back overtakes that it succeeded.
	back := body("n2", "reversed")
	w.must(receive(back, w.signed(back, now)))
	w.must(receive(success, w.signed(success, now)))
	w.must(receive(success, w.signed(success, now)))
	if a := w.only(); a.State != payment.Reversed || w.rest(toll) != 20_00 || w.wallet("A1") != 0 {
		t.Errorf("%+v, rest %d, wallet %d", a, w.rest(toll), w.wallet("A1"))
	}
	// About nothing of ours: a decline is nobody's business.
	other := strings.ReplaceAll(body("n3", "declined"), a.ID, "pay_other")
	w.must(receive(other, w.signed(other, now)))
}

func TestTakenBack(t *testing.T) {
	w := newWorld(t, "")
	w.pays("A1", payment.PerTrip, payment.Card, 100_00)
	toll := w.toll("A1", 20_00)
	w.later(time.Minute, time.Minute)
	w.must(w.bank.TakeBack(w.ctx, w.only().ID))
	w.later(48*time.Hour, 12*time.Hour)
	if a := w.only(); a.State != payment.Reversed || w.rest(toll) != 20_00 {
		t.Errorf("%+v, rest %d", a, w.rest(toll))
	}
	if !strings.Contains(w.events("A1"), payment.EventReversed) {
		t.Errorf("events: %s", w.events("A1"))
	}
	w.audit()
}

func TestKeysOfNotices(t *testing.T) {
	at, body := time.Unix(1_795_000_000, 0), []byte("body")
	keys := payment.Keys{ByEpoch: map[string]string{"old": "old-secret-0123456789", "new": "new-secret-0123456789"}}
	for epoch, secret := range keys.ByEpoch {
		if err := keys.Verify(payment.Sign(epoch, secret, at, body), body, at); err != nil {
			t.Errorf("%s: %v", epoch, err)
		}
	}
	delete(keys.ByEpoch, "old")
	if err := keys.Verify(payment.Sign("old", "old-secret-0123456789", at, body), body, at); !errors.Is(err, payment.ErrForged) {
		t.Errorf("an epoch that was taken out: %v", err)
	}
	for name, bad := range map[string]payment.Keys{"none": {}, "short": {ByEpoch: map[string]string{"a": "short"}}, "name": {ByEpoch: map[string]string{"a,b": "0123456789abcdef"}}} {
		if bad.Check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestNoCardNumbers(t *testing.T) {
	for text, card := range map[string]bool{
		"4111111111111111": true, "4111 1111 1111 1111": true, "tok_4111-1111-1111-1111": true, "378282246310005": true,
		"see 5555.5555.5555.4444 please": true, "4111111111111112": false, "tok_7Jw2Xq": false, "1234": false,
		"0000000000000000": false, "pass 2026-11-24 20:03": false,
	} {
		if payment.LooksLikeCard(text) != card {
			t.Errorf("%q: %v", text, !card)
		}
	}
	for _, bad := range []string{"", "4111111111111111", "tok 1", "TOK_1234", "tok_4111111111111111", "x"} {
		if err := payment.CheckToken(bad); !errors.Is(err, billing.ErrInvalid) || bad != "" && len(bad) > 4 && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestNothingHoldsACardNumber looks at the fields of what is kept: there is none
// where one could stand.
func TestNothingHoldsACardNumber(t *testing.T) {
	for _, one := range []any{payment.Attempt{}, payment.Means{}, payment.Debit{}, payment.Event{}} {
		kind := reflect.TypeOf(one)
		for i := range kind.NumField() {
			name := strings.ToLower(kind.Field(i).Name)
			if strings.Contains(name, "pan") || strings.Contains(name, "cardnumber") || strings.Contains(name, "cvv") {
				t.Errorf("%s.%s", kind, name)
			}
		}
	}
}
