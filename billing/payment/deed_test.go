package payment_test

import (
	"errors"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/bankemu"
	"freeflow/billing/books"
	"freeflow/billing/payment"
)

var (
	amy = payment.Staff{By: "amy", Reason: "asked at the counter"}
	ben = payment.Staff{By: "ben", Reason: "looked at it"}
)

// says is what the provider says of an attempt.
func (w *world) says(id string) payment.Said {
	w.Helper()
	said, err := w.service.Says(w.ctx, id)
	w.must(err)
	return said
}

func (w *world) perform(d payment.Deed) (payment.Deed, []payment.Attempt, error) {
	w.Helper()
	var said payment.Said
	if d.Kind == payment.DeedResolution {
		said = w.says(d.Attempt)
	}
	if d.Currency == "" {
		d.Currency = "HKD"
	}
	var list []payment.Attempt
	err := w.do(func(tx payment.Tx) (err error) {
		d, list, err = w.service.Perform(w.ctx, tx, d, said)
		return err
	})
	return d, list, err
}

func (w *world) decide(d payment.Deed, approve bool, second payment.Staff) (payment.Deed, error) {
	w.Helper()
	var said payment.Said
	if d.Kind == payment.DeedResolution {
		said = w.says(d.Attempt)
	}
	err := w.do(func(tx payment.Tx) (err error) {
		d, _, err = w.service.Decide(w.ctx, tx, d.ID, approve, second, said)
		return err
	})
	return d, err
}

// classTag gives an account a class tag that is in use.
func (w *world) classTag(id, tag string) {
	w.Helper()
	w.opened(id)
	deed := account.Deed{By: "clerk", Role: "operator", Now: w.clock.Now()}
	w.must(w.books.Do(w.ctx, func(tx *books.Tx) error {
		if _, err := account.Issue(w.ctx, tx, account.Tag{Tag: tag, Kind: account.ClassTag, Class: "taxi", Currency: "HKD"}, w.clock.Now(), deed); err != nil {
			return err
		}
		_, err := account.Activate(w.ctx, tx, tag, id, w.clock.Now(), deed)
		return err
	}))
}

// tagToll charges a class tag.
func (w *world) tagToll(account, tag, id string, cents int64) string {
	w.Helper()
	_, err := w.books.PostCharge(w.ctx, billing.Charge{
		ID: id, Kind: "toll", Revision: 1, Account: account, Creditor: "CHT", Currency: "HKD", Vehicle: "tag:" + tag, AmountCents: cents, OccurredMicros: noon.UnixMicro(),
	}, w.clock.Now())
	w.must(err)
	w.follow()
	return "charge:" + id
}

// TestClassTagIsToppedUp: its stored value is filled by card, by FPS and by
// cash, and pays what was open.
func TestClassTagIsToppedUp(t *testing.T) { testClassTagIsToppedUp(t, "") }

func testClassTagIsToppedUp(t *testing.T, url string) {
	t.Helper()
	w := newWorld(t, url)
	w.classTag("A1", "C1")
	toll := w.tagToll("A1", "C1", "k1", 25_00)
	if w.rest(toll) != 25_00 {
		t.Fatal("paid by nothing")
	}
	card := w.bank.AddToken("", "card", 500_00, "HKD")
	top := payment.TopUpRequest{Account: "A1", Tag: "C1", AmountCents: 20_00, Currency: "HKD", Token: card}
	var a payment.Attempt
	w.must(w.do(func(tx payment.Tx) (err error) { a, err = w.service.TopUp(w.ctx, tx, top); return err }))
	a, err := w.service.Drive(w.ctx, a.ID)
	w.must(err)
	if a.State != payment.Succeeded || w.wallet("tag:C1") != 20_00 || w.wallet("A1") != 0 {
		t.Fatalf("%s, the tag holds %d", a.State, w.wallet("tag:C1"))
	}
	cash := payment.Deed{Kind: payment.DeedCash, Staff: amy, Account: "A1", Tag: "C1", AmountCents: 50_00, Place: "7-eleven", Receipt: "4111111111111111"}
	for range 2 { // the receipt counts once
		if _, _, err := w.perform(cash); err != nil {
			t.Fatal(err)
		}
	}
	if w.rest(toll) != 0 || w.wallet("tag:C1") != 45_00 {
		t.Errorf("rest %d, the tag holds %d", w.rest(toll), w.wallet("tag:C1"))
	}
	other := cash
	other.Tag = ""
	if _, _, err := w.perform(other); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("the receipt was taken for the account as well: %v", err)
	}
	other.Place = "centre-1"
	if _, _, err := w.perform(other); err != nil || w.wallet("A1") != 50_00 {
		t.Errorf("cash for an account: %v, %d", err, w.wallet("A1"))
	}
	w.must(w.do(func(tx payment.Tx) (err error) { a, err = w.service.AwaitTopUp(w.ctx, tx, top); return err }))
	if a.Holder != "tag:C1" || a.Bill == "" {
		t.Errorf("%+v", a)
	}
	w.opened("A2")
	refused := func(what string, change func(*payment.TopUpRequest), want error) {
		t.Helper()
		r := top
		change(&r)
		if err := w.do(func(tx payment.Tx) error { _, err := w.service.TopUp(w.ctx, tx, r); return err }); !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("another account's", func(r *payment.TopUpRequest) { r.Account = "A2" }, billing.ErrNotFound)
	refused("no tag", func(r *payment.TopUpRequest) { r.Tag = "C9" }, billing.ErrNotFound)
	refused("another currency", func(r *payment.TopUpRequest) { r.Currency = "TWD" }, billing.ErrInvalid)
	w.must(w.books.Do(w.ctx, func(tx *books.Tx) error {
		_, err := account.CloseTag(w.ctx, tx, "C1", w.clock.Now(), account.Deed{By: "clerk", Role: "operator", Now: w.clock.Now()})
		return err
	}))
	refused("ended", func(*payment.TopUpRequest) {}, billing.ErrConflict)
	cash.Receipt = "another"
	if _, _, err := w.perform(cash); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("cash for a tag that has ended: %v", err)
	}
	checks, err := w.books.Verify(w.ctx)
	w.must(err)
	for _, c := range checks {
		for _, v := range c.Violations {
			t.Errorf("%s: %s", v.Invariant, v.Detail)
		}
	}
}

// TestNobodyMakesMoneyAlone: what the provider declined, or does not know, is
// not made good by a person; another amount cannot be said; above the limit
// somebody else has to approve.
func TestNobodyMakesMoneyAlone(t *testing.T) { testNobodyMakesMoneyAlone(t, "") }

func testNobodyMakesMoneyAlone(t *testing.T, url string) {
	t.Helper()
	w := newWorld(t, url)
	w.service.ApproveAboveCents = 100_00
	card := w.bank.AddToken("", "card", 500_000_00, "HKD")
	w.bank.Tell(bankemu.Rule{On: "charge", Do: bankemu.Decline, Reason: "insufficient-funds", Final: true, Times: 1})
	declined := w.topUp(card, 9_000_00)
	if declined.State != payment.Failed {
		t.Fatalf("%+v", declined)
	}
	word := payment.Deed{Kind: payment.DeedResolution, Staff: amy, Attempt: declined.ID, Succeeded: true, Evidence: "statement 1"}
	if d, _, err := w.perform(word); !errors.Is(err, billing.ErrConflict) || w.wallet("A1") != 0 {
		t.Errorf("a decline was made good: %+v, %v", d, err)
	}
	// An order that nobody knows the outcome of, and a provider that is away.
	w.bank.Tell(bankemu.Rule{On: "any", Do: bankemu.Outage, Seconds: 60})
	unknown := w.topUp(card, 400_00)
	if unknown.State != payment.Unknown {
		t.Fatalf("%+v", unknown)
	}
	word.Attempt = unknown.ID
	w.bank.Tell(bankemu.Rule{On: "query", Do: bankemu.Outage, Seconds: 60})
	waiting, list, err := w.perform(word)
	if err != nil || waiting.State != payment.DeedWaiting || len(list) != 0 || w.wallet("A1") != 0 {
		t.Fatalf("done alone: %+v, %v", waiting, err)
	}
	if _, _, err := w.perform(word); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("asked for twice: %v", err)
	}
	if _, err := w.decide(waiting, true, amy); !errors.Is(err, billing.ErrConflict) || w.wallet("A1") != 0 {
		t.Errorf("approved by the same person: %v", err)
	}
	done, err := w.decide(waiting, true, ben)
	if err != nil || done.State != payment.DeedApproved || w.wallet("A1") != 400_00 {
		t.Errorf("%+v, %v, wallet %d", done, err, w.wallet("A1"))
	}
	if _, err := w.decide(waiting, true, ben); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("decided twice: %v", err)
	}
	// Many small ones are one large one.
	w.clock.Advance(2 * time.Minute)
	w.bank.Behave()
	of := w.topUp(card, 300_00)
	small := payment.Deed{Kind: payment.DeedRefund, Staff: amy, Attempt: of.ID, AmountCents: 60_00}
	if d, list, err := w.perform(small); err != nil || d.State != payment.DeedDone || len(list) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	small.ID = ""
	second, _, err := w.perform(small)
	if err != nil || second.State != payment.DeedWaiting {
		t.Errorf("%+v, %v", second, err)
	}
	if d, err := w.decide(second, false, ben); err != nil || d.State != payment.DeedRefused || w.wallet("A1") != 640_00 {
		t.Errorf("%+v, %v, wallet %d", d, err, w.wallet("A1"))
	}
	// What is not a person's own word is refused by the database as well.
	self := second
	self.DecidedBy, self.State = "amy", payment.DeedApproved
	if err := w.do(func(tx payment.Tx) error { self.Version = 2; return tx.PutPaymentDeed(w.ctx, &self) }); err == nil {
		t.Error("the database took an approval of one's own")
	}
}

// TestPayOutOnlyOfWhatIsNotOwed: an open account, an unpaid toll of a class tag
// that has ended, one that is held and one that was not followed keep the money
// here; afterwards the account is closed for good.
func TestPayOutOnlyOfWhatIsNotOwed(t *testing.T) { testPayOutOnlyOfWhatIsNotOwed(t, "") }

func testPayOutOnlyOfWhatIsNotOwed(t *testing.T, url string) {
	t.Helper()
	w := newWorld(t, url)
	card := w.bank.AddToken("", "card", 500_00, "HKD")
	w.classTag("A1", "C1")
	w.topUp(card, 120_00)
	payOut := func() ([]payment.Attempt, error) {
		var out []payment.Attempt
		err := w.do(func(tx payment.Tx) (err error) {
			out, err = w.service.PayOutRest(w.ctx, tx, payment.CloseRequest{Staff: clerk, Account: "A1", Currency: "HKD", Token: card})
			return err
		})
		return out, err
	}
	stays := func(why string) {
		t.Helper()
		if out, err := payOut(); !errors.Is(err, billing.ErrConflict) || len(out) != 0 {
			t.Errorf("%s: %+v, %v", why, out, err)
		}
	}
	stays("the account is open")
	toll := w.tagToll("A1", "C1", "k1", 25_00) // the tag holds nothing
	held := w.toll("A1", 10_00)
	w.must(w.do(func(tx payment.Tx) error {
		if _, err := tx.Uncollect(w.ctx, held, "disputed", w.clock.Now()); err != nil {
			return err
		}
		return tx.Hold(w.ctx, held, "", "dispute:D1")
	}))
	w.closed("A1")
	stays("a toll is held")
	w.must(w.do(func(tx payment.Tx) error { return tx.Hold(w.ctx, held, "dispute:D1", "") }))
	_, err := w.books.PostCharge(w.ctx, billing.Charge{
		ID: "late", Kind: "toll", Revision: 1, Account: "A1", Creditor: "CHT", Currency: "HKD", Vehicle: "AB1234", AmountCents: 5_00, OccurredMicros: noon.UnixMicro(),
	}, w.clock.Now())
	w.must(err)
	stays("a posting was not followed")
	w.follow()
	// The toll of the ended tag is paid by its heir, the account.
	out, err := payOut()
	w.must(err)
	if w.rest(toll) != 0 || w.rest(held) != 0 || len(out) != 1 || out[0].AmountCents != 80_00 || w.state() != account.Closing {
		t.Errorf("%+v, %s, rests %d and %d", out, w.state(), w.rest(toll), w.rest(held))
	}
	w.later(time.Hour, 10*time.Minute)
	if w.state() != account.Closed || w.bank.Balance(card) != 460_00 {
		t.Errorf("the account is %s, the card has %d", w.state(), w.bank.Balance(card))
	}
	w.audit()
}

// TestLateMoneyPaysNoOthersDebt: the toll became another account's while the
// outcome was unknown; its first payer has the money in the wallet, and who paid
// without an account gets it back.
func TestLateMoneyPaysNoOthersDebt(t *testing.T) {
	w := newWorld(t, "")
	card := w.bank.AddToken("", "card", 500_00, "HKD")
	w.bank.Tell(bankemu.Rule{On: "charge", Do: bankemu.Pending, Seconds: 600, Times: 2})
	mine := w.toll("A1", 30_00)
	var a payment.Attempt
	w.must(w.do(func(tx payment.Tx) (err error) {
		a, err = w.service.Pay(w.ctx, tx, payment.PayRequest{Account: "A1", Receivables: []string{mine}, Token: card})
		return err
	}))
	w.must(w.service.Step(w.ctx, a.ID))
	nobodys := w.unpaid("N-0000001", 20_00)[0]
	stranger := w.bank.AddToken("", "card", 50_00, "HKD")
	a, err := w.payNotice("N-0000001", stranger)
	w.must(err)
	w.must(w.service.Step(w.ctx, a.ID))
	w.post(billing.Charge{ID: mine[len("charge:"):], Revision: 2, Account: "A2", AmountCents: 30_00})
	w.post(billing.Charge{ID: nobodys[len("charge:"):], Revision: 2, Account: "A2", AmountCents: 20_00})
	w.later(time.Hour, 5*time.Minute)
	if w.rest(mine) != 30_00 || w.wallet("A1") != 30_00 || w.rest(nobodys) != 20_00 || w.bank.Balance(stranger) != 50_00 {
		t.Errorf("rests %d and %d, wallet %d, the stranger has %d", w.rest(mine), w.rest(nobodys), w.wallet("A1"), w.bank.Balance(stranger))
	}
	w.audit()
}

// TestClosingAccountIsNotToppedUp by itself, however low it is.
func TestClosingAccountIsNotToppedUp(t *testing.T) {
	w := newWorld(t, "")
	w.opened("A1")
	token := w.bank.AddToken("", "card", 500_00, "HKD")
	w.means(payment.Means{Account: "A1", Mode: payment.Prepaid, Kind: payment.Card, Provider: "bank", Token: token, ThresholdCents: 20_00, TopUpCents: 20_00})
	w.closed("A1")
	w.later(time.Hour, 10*time.Minute)
	if got := w.bank.Totals("HKD").TakenCents; got != 0 {
		t.Errorf("%d were taken for an account that closes", got)
	}
}
