package dispute_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/recovery"
)

func exempt(code string) dispute.Ruling {
	return dispute.Ruling{Outcome: dispute.Upheld, Code: code, Act: dispute.Exempt}
}

func rejected() dispute.Ruling {
	return dispute.Ruling{Outcome: dispute.Rejected, Code: "toll-is-right", Act: dispute.None}
}

// TestUpheldComesBack: what was paid for a toll that is not owed is in the
// payer's wallet again, the decision stands in the books, and everybody was told.
func TestUpheldComesBack(t *testing.T) { testUpheld(t, sqliteURL(t)) }

func testUpheld(t *testing.T, url string) {
	r := newRoad(t, url)
	r.put(10_000)
	id := r.pass(1, "CHT-N", at(11, 25, 9, 0), nil)
	if got := r.wallet("A"); got != 7000 {
		t.Fatalf("the wallet holds %d after the pass", got)
	}
	d := r.mustOpen(id, dispute.WasNotThere, "I was at home")
	if d.DueDay.String() != "2026-12-02" || d.State != dispute.Opened || len(d.Reference) != 16 {
		t.Errorf("it is %+v", d)
	}
	if again := r.mustOpen(id, dispute.WasNotThere, "I was at home"); again.Reference != d.Reference {
		t.Errorf("the same again opened %s", again.Reference)
	}
	if _, err := r.open(id, dispute.NotMine, "another reason"); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("a second open dispute: %v", err)
	}
	if v := r.receivable(id); v.Hold != "dispute:"+d.Reference {
		t.Errorf("it is held by %q", v.Hold)
	}
	r.work()
	r.verify()
	done := r.mustDecide(d.Reference, "amy", exempt("vehicle-was-elsewhere"))
	if done.State != dispute.Upheld || done.Ruling.LessCents != 3000 {
		t.Errorf("it ended as %+v", done)
	}
	if got := r.wallet("A"); got != 10_000 {
		t.Errorf("the wallet holds %d after the decision", got)
	}
	p := r.passOf(1)
	if p.Status != billing.StatusExempt || p.Decision == nil || p.Decision.By != "amy" || p.Decision.Basis != "basis of private_carA" {
		t.Errorf("the pass is %+v", p)
	}
	if _, err := r.open(id, dispute.Other, "once more"); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("a dispute of what owes nothing: %v", err)
	}
	r.do(func(ctx context.Context, tx *books.Tx) error {
		notices, err := tx.NoticesOf(ctx, "A", "", time.Time{}, 10)
		if len(notices) != 2 || notices[0].Facts["reference"] != d.Reference {
			t.Errorf("the notices are %+v", notices)
		}
		return err
	})
	r.work()
	r.verify()
}

// TestHeldMeanwhile: nothing is collected for a disputed toll; after a rejection
// it is.
func TestHeldMeanwhile(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	id := r.pass(1, "CHT-N", at(11, 25, 9, 0), nil)
	d := r.mustOpen(id, dispute.WrongAmount, "")
	r.put(10_000)
	if v := r.receivable(id); v.PaidCents != 0 {
		t.Fatalf("%d was paid meanwhile", v.PaidCents)
	}
	r.verify()
	r.mustDecide(d.Reference, "amy", rejected())
	if v := r.receivable(id); v.PaidCents != 3000 || v.Hold != "" {
		t.Errorf("after the rejection it is %+v", v)
	}
	r.verify()
}

// TestHeldBeforeFollowed: a charge disputed before its posting was followed is
// held as soon as it is.
func TestHeldBeforeFollowed(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.do(func(ctx context.Context, tx *books.Tx) error {
		_, err := tx.PostCharge(ctx, billing.Charge{ID: "fee-1", Kind: "fee", Revision: 1, Account: "A", Creditor: "X", AmountCents: 500, Currency: "HKD", OccurredMicros: 1}, r.clock.Now())
		return err
	})
	d := r.mustOpen("charge:fee-1", dispute.Other, "never ordered")
	r.follow()
	r.work()
	if v := r.receivable("charge:fee-1"); v.Hold != "dispute:"+d.Reference {
		t.Fatalf("it is held by %q", v.Hold)
	}
	r.mustDecide(d.Reference, "amy", dispute.Ruling{Outcome: dispute.Partly, Code: "goodwill", Act: dispute.Reduce, AmountCents: 200, Note: "half of it"})
	if v := r.receivable("charge:fee-1"); v.AmountCents != 200 || v.Hold != "" {
		t.Errorf("it is %+v", v)
	}
	r.verify()
}

// TestRulings is what rulings do to a pass.
func TestRulings(t *testing.T) {
	for name, tc := range map[string]struct {
		ruling          dispute.Ruling
		status, account string
		class           string
		cents, less     int64
		fails           error
	}{
		"another class":    {dispute.Ruling{Outcome: dispute.Upheld, Code: "class-corrected", Act: dispute.Rate, Class: "taxi"}, "charged", "A", "taxi", 2000, 1000, nil},
		"a dearer class":   {dispute.Ruling{Outcome: dispute.Upheld, Code: "class-corrected", Act: dispute.Rate, Class: "bus"}, "", "", "", 0, 0, billing.ErrInvalid},
		"the same class":   {dispute.Ruling{Outcome: dispute.Upheld, Code: "class-corrected", Act: dispute.Rate, Class: "private_car"}, "", "", "", 0, 0, billing.ErrInvalid},
		"no tariff":        {dispute.Ruling{Outcome: dispute.Upheld, Code: "class-corrected", Act: dispute.Rate, Class: "none"}, "", "", "", 0, 0, billing.ErrInvalid},
		"another account":  {dispute.Ruling{Outcome: dispute.Upheld, Code: "vehicle-was-sold", Act: dispute.Reassign, Account: "B"}, "charged", "B", "private_car", 3000, 3000, nil},
		"nobody's":         {dispute.Ruling{Outcome: dispute.Upheld, Code: "another-vehicle", Act: dispute.Reassign}, "unpaid", "", "private_car", 3000, 3000, nil},
		"no account":       {dispute.Ruling{Outcome: dispute.Upheld, Code: "vehicle-was-sold", Act: dispute.Reassign, Account: "Z"}, "", "", "", 0, 0, billing.ErrInvalid},
		"its own account":  {dispute.Ruling{Outcome: dispute.Upheld, Code: "vehicle-was-sold", Act: dispute.Reassign, Account: "A"}, "", "", "", 0, 0, billing.ErrInvalid},
		"a part":           {dispute.Ruling{Outcome: dispute.Partly, Code: "goodwill", Act: dispute.Reduce, AmountCents: 1000, Note: "queue"}, "charged", "A", "private_car", 1000, 2000, nil},
		"a part, upheld":   {dispute.Ruling{Outcome: dispute.Upheld, Code: "goodwill", Act: dispute.Reduce, AmountCents: 1000, Note: "queue"}, "", "", "", 0, 0, billing.ErrInvalid},
		"more":             {dispute.Ruling{Outcome: dispute.Partly, Code: "goodwill", Act: dispute.Reduce, AmountCents: 4000, Note: "queue"}, "", "", "", 0, 0, billing.ErrInvalid},
		"a part, no note":  {dispute.Ruling{Outcome: dispute.Partly, Code: "goodwill", Act: dispute.Reduce, AmountCents: 1000}, "", "", "", 0, 0, billing.ErrInvalid},
		"rejected, exempt": {dispute.Ruling{Outcome: dispute.Rejected, Code: "no-grounds", Act: dispute.Exempt}, "", "", "", 0, 0, billing.ErrInvalid},
		"a wrong code":     {dispute.Ruling{Outcome: dispute.Upheld, Code: "no-grounds", Act: dispute.Exempt}, "", "", "", 0, 0, billing.ErrInvalid},
		"elsewhere":        {dispute.Ruling{Outcome: dispute.Upheld, Code: "paid-before", Act: dispute.None, Note: "payment 7 was refunded"}, "charged", "A", "private_car", 3000, 0, nil},
		"elsewhere, where": {dispute.Ruling{Outcome: dispute.Upheld, Code: "paid-before", Act: dispute.None}, "", "", "", 0, 0, billing.ErrInvalid},
		"an old revision":  {dispute.Ruling{Outcome: dispute.Upheld, Code: "goodwill", Act: dispute.Exempt, PassRevision: 9}, "", "", "", 0, 0, billing.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoad(t, sqliteURL(t))
			id := r.pass(1, "CHT-N", at(11, 25, 9, 0), nil)
			d := r.mustOpen(id, dispute.Other, "wrong")
			rows := []billing.Assignment{{Account: "A", Plate: "XY1", Class: "private_car"}, {Account: "B", Plate: "B1", Class: "private_car"}}
			if _, err := r.books.PutRegistry(context.Background(), rows, r.clock.Now()); err != nil {
				t.Fatal(err)
			}
			got, err := r.decide(d.Reference, "amy", tc.ruling)
			if tc.fails != nil {
				if !errors.Is(err, tc.fails) {
					t.Fatalf("it gave %v, want %v", err, tc.fails)
				}
				if stands := r.get(d.Reference); stands.State != dispute.Opened || stands.Revision != 1 {
					t.Errorf("it left %+v", stands)
				}
				r.verify()
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := r.passOf(1)
			if p.Status != tc.status || p.Account != tc.account || p.Class != tc.class || p.AmountCents != tc.cents || got.Ruling.LessCents != tc.less {
				t.Errorf("the pass is %+v, the ruling %+v", p, got.Ruling)
			}
			r.verify()
		})
	}
}

// TestStates is the table of steps: from each state, what may follow.
func TestStates(t *testing.T) {
	steps := map[string]func(r *road, ref string) error{
		"assign": func(r *road, ref string) error {
			return r.try(func(ctx context.Context, tx *books.Tx) error {
				_, err := r.service.Assign(ctx, tx, ref, 0, "bob", r.deed("amy"))
				return err
			})
		},
		"reject":  func(r *road, ref string) error { _, err := r.decide(ref, "amy", rejected()); return err },
		"propose": func(r *road, ref string) error { _, err := r.decide(ref, "amy", exempt("goodwill")); return err },
		"approve": func(r *road, ref string) error { return r.approve(ref, "bob", true) },
		"refuse":  func(r *road, ref string) error { return r.approve(ref, "bob", false) },
		"withdraw": func(r *road, ref string) error {
			return r.try(func(ctx context.Context, tx *books.Tx) error {
				_, err := r.service.Withdraw(ctx, tx, ref, "A", r.deed("A"))
				return err
			})
		},
	}
	for _, tc := range []struct {
		path, state string
		refused     []string
	}{
		{"", dispute.Opened, []string{"approve", "refuse"}},
		{"assign", dispute.UnderReview, []string{"approve", "refuse"}},
		{"propose", dispute.Approval, []string{"assign", "reject", "propose"}},
		{"propose refuse", dispute.UnderReview, []string{"approve", "refuse"}},
		{"propose approve", dispute.Upheld, []string{"assign", "reject", "propose", "approve", "refuse", "withdraw"}},
		{"reject", dispute.Rejected, []string{"assign", "reject", "propose", "approve", "refuse", "withdraw"}},
		{"assign reject", dispute.Rejected, []string{"assign"}},
		{"withdraw", dispute.Withdrawn, []string{"assign", "reject", "propose", "approve", "refuse"}},
		{"propose withdraw", dispute.Withdrawn, []string{"approve"}},
	} {
		t.Run(tc.path, func(t *testing.T) {
			r := newRoad(t, sqliteURL(t))
			r.service.Rules.ApproveAboveCents = 2999
			id := r.pass(1, "CHT-N", at(11, 25, 9, 0), nil)
			d := r.mustOpen(id, dispute.WrongAmount, "")
			for _, name := range strings.Fields(tc.path) {
				if err := steps[name](r, d.Reference); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			before := r.get(d.Reference)
			if before.State != tc.state {
				t.Fatalf("it is %s, want %s", before.State, tc.state)
			}
			for _, name := range tc.refused {
				if err := steps[name](r, d.Reference); !errors.Is(err, billing.ErrConflict) {
					t.Errorf("%s was answered %v", name, err)
				}
			}
			if after := r.get(d.Reference); after.Revision != before.Revision {
				t.Errorf("what was refused left revision %d after %d", after.Revision, before.Revision)
			}
			r.follow()
			r.work()
			r.verify()
		})
	}
}

func (r *road) approve(reference, by string, yes bool) error {
	err := r.try(func(ctx context.Context, tx *books.Tx) error {
		_, err := r.service.Approve(ctx, tx, reference, 0, yes, r.deed(by))
		return err
	})
	r.follow()
	return err
}

// TestFourEyes: above the limit a second person, after a rejection another
// person and new grounds.
func TestFourEyes(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.service.Rules.ApproveAboveCents = 2999
	id := r.pass(1, "CHT-N", at(11, 25, 9, 0), nil)
	d := r.mustOpen(id, dispute.WrongAmount, "too dear")
	r.mustDecide(d.Reference, "amy", rejected())
	if _, err := r.open(id, dispute.WrongAmount, "too dear"); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("the same grounds again: %v", err)
	}
	again := r.mustOpen(id, dispute.WrongAmount, "the display showed less")
	if again.Previous != d.Reference {
		t.Errorf("the one before is %q", again.Previous)
	}
	if _, err := r.decide(again.Reference, "amy", exempt("goodwill")); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("the same person again: %v", err)
	}
	err := r.try(func(ctx context.Context, tx *books.Tx) error {
		_, err := r.service.Assign(ctx, tx, again.Reference, 0, "amy", r.deed("bob"))
		return err
	})
	if !errors.Is(err, billing.ErrConflict) {
		t.Errorf("assigning to the same person: %v", err)
	}
	r.mustDecide(again.Reference, "bob", exempt("goodwill"))
	if p := r.passOf(1); p.Status != billing.StatusCharged {
		t.Fatalf("a proposal made the pass %s", p.Status)
	}
	for _, by := range []string{"bob", "amy"} {
		if err := r.approve(again.Reference, by, true); !errors.Is(err, billing.ErrConflict) {
			t.Errorf("approved by %s: %v", by, err)
		}
	}
	if err := r.approve(again.Reference, "cho", true); err != nil {
		t.Fatal(err)
	}
	if p := r.passOf(1); p.Status != billing.StatusExempt || r.get(again.Reference).Ruling.ApprovedBy != "cho" {
		t.Errorf("approved, the pass is %s", p.Status)
	}
	r.verify()
}

// TestEvidence: kept as it was, with its digest, and again when late reads
// change the pass.
func TestEvidence(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	id := r.pass(1, "CHT-N", at(11, 25, 9, 0), nil)
	d := r.mustOpen(id, dispute.NotMine, "")
	r.gather.fails = errors.New("the archive is away")
	if _, err := r.service.Work(context.Background()); err == nil {
		t.Error("work without the archive says nothing")
	}
	r.gather.fails = nil
	r.clock.Advance(billing.PutOffPause(1))
	r.work()
	r.work()
	p := r.passOf(1)
	p.Revision, p.Class, p.AmountCents = 2, "taxi", 2000
	r.post(p)
	r.work()
	r.do(func(ctx context.Context, tx *books.Tx) error {
		list, err := tx.EvidenceOf(ctx, d.Reference)
		if len(list) != 2 || list[0].PassRevision != 1 || list[1].PassRevision != 2 {
			t.Fatalf("the evidence is %+v", list)
		}
		for _, e := range list {
			if !e.Intact() {
				t.Errorf("number %d is not what its digest says", e.Number)
			}
			e.Body[10] ^= 1
			if e.Intact() {
				t.Errorf("a change of number %d is not seen", e.Number)
			}
		}
		var b dispute.Bundle
		list, _ = tx.EvidenceOf(ctx, d.Reference)
		if err := json.Unmarshal(list[0].Body, &b); err != nil || b.Pass.Amount != "30.00" || b.Reads[0].Image != "s3://x" {
			t.Errorf("the first says %+v, %v", b, err)
		}
		return err
	})
}

// TestOverdue: five working days, then the alarm, once, and first in the queue.
func TestOverdue(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	first := r.mustOpen(r.pass(1, "CHT-N", at(11, 25, 9, 0), nil), dispute.NotMine, "")
	r.clock.Set(at(11, 27, 12, 0))
	dear := r.mustOpen(r.pass(2, "CHT-N", at(11, 27, 9, 0), func(p *billing.Pass) { p.AmountCents = 9000 }), dispute.NotMine, "")
	cheap := r.mustOpen(r.pass(3, "CHT-N", at(11, 27, 10, 0), nil), dispute.NotMine, "")
	r.work()
	if d := r.get(first.Reference); d.Overdue {
		t.Error("the alarm came too early")
	}
	r.clock.Set(at(12, 3, 0, 1))
	r.work()
	if d := r.get(first.Reference); !d.Overdue || d.Revision != 2 {
		t.Errorf("it is %+v", d)
	}
	r.work()
	if d := r.get(first.Reference); d.Revision != 2 {
		t.Error("the alarm came twice")
	}
	r.do(func(ctx context.Context, tx *books.Tx) error {
		var order []string
		after := dispute.Place{}
		for {
			list, err := tx.Disputes(ctx, dispute.Filter{Open: true, After: after, Limit: 1})
			if err != nil || len(list) == 0 {
				if want := []string{first.Reference, dear.Reference, cheap.Reference}; strings.Join(order, " ") != strings.Join(want, " ") {
					t.Errorf("the queue is %v, want %v", order, want)
				}
				open, overdue, err := tx.CountDisputes(ctx, recovery.DayOf(r.clock.Now(), hongKong))
				if open != 3 || overdue != 1 {
					t.Errorf("%d are open, %d overdue", open, overdue)
				}
				return err
			}
			order = append(order, list[0].Reference)
			after = dispute.Place{DueDay: list[0].DueDay, AmountCents: list[0].AmountCents, Reference: list[0].Reference}
		}
	})
}

// TestBeyondTheCalendar: a dispute is taken also where its deadline is not
// known; it is never guessed.
func TestBeyondTheCalendar(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.clock.Set(at(12, 31, 12, 0))
	d := r.mustOpen(r.pass(1, "CHT-N", at(12, 31, 9, 0), nil), dispute.NotMine, "")
	if d.DueDay != 0 {
		t.Errorf("its deadline is %s", d.DueDay)
	}
	if _, err := r.service.Work(context.Background()); err == nil {
		t.Error("nobody is told that the calendar has ended")
	}
}

// TestLadderStandsStill: no surcharge while a dispute is open; one that was there
// goes with the toll.
func TestLadderStandsStill(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.clock.Set(at(6, 1, 12, 0))
	id := r.pass(1, "CHT-N", at(6, 1, 9, 0), func(p *billing.Pass) { p.Status, p.Account = billing.StatusUnpaid, "" })
	run := func(when time.Time) recovery.Case {
		r.clock.Set(when)
		if _, err := r.service.Ladder.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.follow()
		var c recovery.Case
		r.do(func(ctx context.Context, tx *books.Tx) (err error) {
			if c, err = tx.Case(ctx, id); err == nil {
				var n []string
				n, err = tx.NoticeNames(ctx, "XY1", c.Number)
				if err == nil && len(n) == 0 {
					t.Error("the notice names nothing")
				}
			}
			return err
		})
		return c
	}
	serve := func(c recovery.Case) {
		r.do(func(ctx context.Context, tx *books.Tx) error { return proveNotice(ctx, tx, c.Notice, r.clock.Now()) })
	}
	serve(run(at(6, 3, 12, 0)))
	if c := run(at(7, 10, 12, 0)); c.Stage != recovery.First {
		t.Fatalf("it is %s", c.Stage)
	} else {
		serve(c)
		// Without an account, by the notice; a wrong plate finds nothing.
		r.do(func(ctx context.Context, tx *books.Tx) error {
			o := dispute.Opening{Receivable: id, Reason: dispute.Sold, Text: "sold in May"}
			if _, err := r.service.OpenByNotice(ctx, tx, "XY2", c.Number, o, r.clock.Now()); !errors.Is(err, billing.ErrNotFound) {
				t.Errorf("by another plate: %v", err)
			}
			_, err := r.service.OpenByNotice(ctx, tx, "XY1", c.Number, o, r.clock.Now())
			return err
		})
	}
	surcharge := "charge:" + recovery.SurchargeID(1, id)
	if v := r.receivable(surcharge); !strings.HasPrefix(v.Hold, "dispute:") {
		t.Errorf("the surcharge is held by %q", v.Hold)
	}
	if c := run(at(9, 10, 12, 0)); c.Stage != recovery.First {
		t.Fatalf("in dispute it went on to %s", c.Stage)
	}
	r.verify()
	var d dispute.Dispute
	r.do(func(ctx context.Context, tx *books.Tx) error {
		list, err := tx.DisputesOf(ctx, id)
		d = list[0]
		return err
	})
	r.mustDecide(d.Reference, "amy", dispute.Ruling{Outcome: dispute.Upheld, Code: "vehicle-was-sold", Act: dispute.Exempt})
	if v := r.receivable(surcharge); v.AmountCents != 0 || v.Hold != "" {
		t.Errorf("the surcharge is %+v", v)
	}
	if c := run(at(9, 12, 12, 0)); c.Stage != recovery.Ended {
		t.Errorf("at the end it is %s", c.Stage)
	}
	r.verify()
}

// TestRefundToTheSource: ordered once, when the money is there.
func TestRefundToTheSource(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.put(10_000)
	id := r.pass(1, "CHT-N", at(11, 25, 9, 0), nil)
	var d dispute.Dispute
	r.do(func(ctx context.Context, tx *books.Tx) (err error) {
		d, err = r.service.Open(ctx, tx, dispute.Opening{Receivable: id, Reason: dispute.NotMine, Origin: dispute.Motorist, Account: "A", Refund: true}, r.deed("A"))
		return err
	})
	r.do(func(ctx context.Context, tx *books.Tx) error {
		_, err := r.service.Decide(ctx, tx, d.Reference, 0, dispute.Ruling{Outcome: dispute.Partly, Code: "goodwill", Act: dispute.Reduce, AmountCents: 1000, Note: "x", Words: "x"}, r.deed("amy"))
		return err
	})
	r.work() // not followed yet
	if got := r.get(d.Reference).Refund; got != dispute.RefundWanted {
		t.Errorf("before it was followed the refund is %s", got)
	}
	r.follow()
	r.work()
	r.work()
	if got := r.get(d.Reference).Refund; got != dispute.RefundOrdered || r.refunds.given["A"] != 2000 || r.wallet("A") != 7000 {
		t.Errorf("the refund is %s, given %v, the wallet holds %d", got, r.refunds.given, r.wallet("A"))
	}
	r.verify()
}

// TestMine: a motorist sees their own, and nobody of the staff.
func TestMine(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	d := r.mustOpen(r.pass(1, "CHT-N", at(11, 25, 9, 0), nil), dispute.NotMine, "mine is red")
	r.do(func(ctx context.Context, tx *books.Tx) error {
		if _, err := r.service.Open(ctx, tx, dispute.Opening{Receivable: "pass:" + passID(1), Reason: dispute.NotMine, Origin: dispute.Motorist, Account: "B"}, r.deed("B")); !errors.Is(err, billing.ErrNotFound) {
			t.Errorf("another's charge: %v", err)
		}
		return nil
	})
	r.mustDecide(d.Reference, "amy", dispute.Ruling{Outcome: dispute.Rejected, Code: "evidence-shows-the-pass", Act: dispute.None, Words: "the picture shows your plate", Note: "rude on the phone"})
	r.do(func(ctx context.Context, tx *books.Tx) error {
		list, err := r.service.Mine(ctx, tx, "A", dispute.Place{}, 10)
		text, _ := json.Marshal(list)
		if len(list) != 1 || list[0].Words != "the picture shows your plate" || strings.Contains(string(text), "amy") || strings.Contains(string(text), "rude") {
			t.Errorf("they see %s", text)
		}
		others, err2 := r.service.Mine(ctx, tx, "B", dispute.Place{}, 10)
		if len(others) != 0 {
			t.Errorf("another sees %v", others)
		}
		return errors.Join(err, err2)
	})
}
