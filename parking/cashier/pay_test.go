package cashier

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/stay"
)

func (w *world) pay(r PayRequest) (Bill, error) {
	w.Helper()
	if r.Means == "" {
		r.Means = "octopus"
	}
	b, err := w.cashier.Pay(w.Context(), r, Keep[Bill]{})
	return b.Value, err
}

func (w *world) mustPay(id string, cents int64, payment string) Bill {
	w.Helper()
	b, err := w.pay(PayRequest{Stay: id, AmountCents: cents, PaymentID: payment})
	if err != nil {
		w.Fatal(err)
	}
	return b
}

func TestPayAtTheMachineAndLeave(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "ZZ9 - K1").Stay
	w.at("03:30:00")
	due, err := w.cashier.Due(t.Context(), "P", "K1")
	if want := (Due{CarPark: "P", AmountCents: 40_00, Currency: "HKD", GraceMinutes: 15}); err != nil || due != want {
		t.Fatalf("%+v, %v", due, err)
	}
	b := w.mustPay(id, 40_00, "p1")
	if b.DueCents != 0 || b.PaidCents != 40_00 || !b.LeaveBy.Equal(monday.Add(3*time.Hour+45*time.Minute)) {
		t.Errorf("%+v", b)
	}
	if _, err := w.cashier.Due(t.Context(), "P", "K1"); !errors.Is(err, parking.ErrNotFound) {
		t.Errorf("due after paying: %v", err)
	}
	w.wantConserved(w.fake())
	r := w.pass("03:44:00", "OUT-1", "- - K1")
	if !r.Open || r.DueCents != 0 || r.Why != WhyPaid {
		t.Errorf("%+v", r)
	}
	w.wantStays("P", "ZZ9 closed ticket - 40.00 paid=40.00")
	w.wantConserved(w.fake())
}

func TestExceedingTheGraceCostsTheBalanceOnly(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "ZZ9").Stay
	w.at("02:50:00")
	w.mustPay(id, 20_00, "p1")
	r := w.pass("03:10:00", "OUT-1", "ZZ9")
	if r.Open || r.Why != WhyDue || r.DueCents != 20_00 || r.PaidCents != 20_00 {
		t.Errorf("%+v", r)
	}
	// Paid at the exit; the barrier's second read opens.
	w.at("03:11:00")
	w.mustPay(id, 20_00, "p2")
	r = w.pass("03:12:00", "OUT-1", "ZZ9")
	if !r.Open || r.Stay != id {
		t.Errorf("%+v", r)
	}
	w.wantStays("P", "ZZ9 closed ticket - 40.00 paid=40.00 held-at-exit")
	w.wantConserved(w.fake())
}

func TestHeldAtTheExitWhilePayingCrossesNoUnit(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "ZZ9").Stay
	if r := w.pass("02:59:50", "OUT-1", "ZZ9"); r.DueCents != 20_00 {
		t.Fatalf("%+v", r)
	}
	w.at("03:00:30")
	w.mustPay(id, 20_00, "p1")
	if r := w.pass("03:02:00", "OUT-1", "ZZ9"); !r.Open || r.AmountCents != 20_00 {
		t.Errorf("%+v", r)
	}
}

func TestAnAmountThatWasShownIsTakenInFull(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "ZZ9").Stay
	w.at("03:02:00") // 20.00 was shown at 02:59, it is 40.00 now
	if b := w.mustPay(id, 20_00, "p1"); b.DueCents != 0 {
		t.Errorf("%+v", b)
	}
	if r := w.pass("03:10:00", "OUT-1", "ZZ9"); !r.Open {
		t.Errorf("%+v", r)
	}
	w.wantStays("P", "ZZ9 closed ticket - 20.00 paid=20.00")
}

func TestPaymentsAreRefused(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "ZZ9").Stay
	own := w.pass("02:00:00", "IN-2", "AB1").Stay
	w.at("02:30:00")
	w.mustPay(id, 5_00, "part")
	for name, c := range map[string]struct {
		r    PayRequest
		want error
	}{
		"too much":                {PayRequest{Stay: id, AmountCents: 15_01, PaymentID: "x"}, parking.ErrInvalid},
		"nothing":                 {PayRequest{Stay: id, AmountCents: 0, PaymentID: "x"}, parking.ErrInvalid},
		"negative":                {PayRequest{Stay: id, AmountCents: -1, PaymentID: "x"}, parking.ErrInvalid},
		"no id":                   {PayRequest{Stay: id, AmountCents: 1}, parking.ErrInvalid},
		"means":                   {PayRequest{Stay: id, AmountCents: 1, PaymentID: "x", Means: "Cash!"}, parking.ErrInvalid},
		"no such stay":            {PayRequest{Stay: "nothing", AmountCents: 1, PaymentID: "x"}, parking.ErrNotFound},
		"an account pays":         {PayRequest{Stay: own, AmountCents: 1, PaymentID: "x"}, parking.ErrConflict},
		"the same id, other sum":  {PayRequest{Stay: id, AmountCents: 6_00, PaymentID: "part"}, parking.ErrConflict},
		"by plate, account pays":  {PayRequest{CarPark: "P", Mark: "AB1", AmountCents: 1, PaymentID: "x"}, parking.ErrNotFound},
		"by plate, never there":   {PayRequest{CarPark: "P", Mark: "QQ1", AmountCents: 1, PaymentID: "x"}, parking.ErrNotFound},
		"by tag, which is secret": {PayRequest{CarPark: "P", Mark: "tag:T1", AmountCents: 1, PaymentID: "x"}, parking.ErrNotFound},
	} {
		if _, err := w.pay(c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	w.mustPay(id, 5_00, "part")
	if s := w.stay(id); s.PaidCents != 5_00 {
		t.Errorf("paid %d after the same payment again", s.PaidCents)
	}
	w.wantConserved(w.fake())
}

func TestPayByPlateAfterwards(t *testing.T) {
	w := newWorld(t)
	w.pass("02:00:00", "IN-1", "ZZ9")
	w.pass("03:30:00", "OUT-1", "ZZ9")
	w.clock.Set(monday.Add(60 * 24 * time.Hour))
	due, err := w.cashier.Due(t.Context(), "P", "ZZ9")
	if err != nil || due.AmountCents != 40_00 {
		t.Fatalf("%+v, %v", due, err)
	}
	r := PayRequest{CarPark: "P", Mark: "ZZ9", AmountCents: 40_00, PaymentID: "p1"}
	for range 2 { // the reply to the first is lost
		if b, err := w.pay(r); err != nil || b.DueCents != 0 || b.PaidCents != 40_00 {
			t.Fatalf("%+v, %v", b, err)
		}
	}
	w.wantStays("P", "ZZ9 closed ticket - 40.00 paid=40.00")
	if l := w.fake(); l.cash() != 40_00 {
		t.Errorf("cash %d", l.cash())
	}
}

// Who only knows a plate learns nothing of a car that owes nothing.
func TestDueRevealsNoMovements(t *testing.T) {
	w := newWorld(t)
	w.pass("02:00:00", "IN-1", "AB1")
	w.pass("02:00:00", "IN-2", "EX0")
	id := w.pass("02:00:00", "IN-2", "YY8").Stay
	w.at("02:30:00")
	w.mustPay(id, 20_00, "p1")
	texts := map[string]bool{}
	for _, plate := range []string{"AB1", "EX0", "YY8", "NEVER", "T1", "tag:T1", "ticket:K1", "", strings.Repeat("X", 500)} {
		due, err := w.cashier.Due(t.Context(), "P", plate)
		if !errors.Is(err, parking.ErrNotFound) || due != (Due{}) {
			t.Fatalf("%q: %+v, %v", plate, due, err)
		}
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("the answers differ: %v", texts)
	}
}

func TestOnceKeepsTheAnswer(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "ZZ9").Stay
	w.at("02:30:00")
	keep := Keep[Bill]{
		Once: &parking.Once{Scope: "pay", Key: "k", Fingerprint: sha256.Sum256([]byte("r"))},
		Encode: func(b Bill) parking.Answer {
			return parking.Answer{Status: 200, Body: fmt.Append(nil, b.PaidCents)}
		},
	}
	for i := range 2 {
		r, err := w.cashier.Pay(t.Context(), PayRequest{Stay: id, AmountCents: 20_00, PaymentID: "p1", Means: "cash"}, keep)
		if err != nil || r.Answer.Replayed != (i == 1) || string(r.Answer.Body) != "2000" {
			t.Errorf("%d: %+v, %v", i, r, err)
		}
	}
}

func TestRefunds(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "ZZ9").Stay
	w.at("03:30:00")
	w.mustPay(id, 15_00, "p1")
	w.mustPay(id, 25_00, "p2")
	w.pass("03:31:00", "OUT-1", "ZZ9")
	ask := RefundRequest{Stay: id, By: "staff", Reason: "validated late"}
	if _, err := w.cashier.Refund(t.Context(), ask, Keep[Bill]{}); !errors.Is(err, parking.ErrConflict) {
		t.Errorf("nothing to give back: %v", err)
	}
	w.fake()
	// A validation after paying: 20.00 were too much.
	v, err := w.cashier.Validate(t.Context(), ValidationRequest{CarPark: "P", Mark: "ZZ9", Code: "shop", Reference: "r1", By: "shop"}, Keep[Bill]{})
	if err != nil || v.Value.CreditCents != 20_00 {
		t.Fatalf("%+v, %v", v.Value, err)
	}
	w.wantStays("P", "ZZ9 closed ticket - 20.00 paid=40.00 overpaid")
	w.wantConserved(w.fake())
	back, err := w.cashier.Refund(t.Context(), ask, Keep[Bill]{})
	if err != nil || back.Value.CreditCents != 0 || back.Value.PaidCents != 20_00 {
		t.Fatalf("%+v, %v", back.Value, err)
	}
	if p := back.Value.Payments; len(p) != 2 || p[0].RefundedCents+p[1].RefundedCents != 20_00 {
		t.Errorf("payments %+v", p)
	}
	w.wantStays("P", "ZZ9 closed ticket - 20.00 paid=20.00")
	w.wantConserved(w.fake())
	if l := w.fake(); l.cash() != 20_00 {
		t.Errorf("cash %d", l.cash())
	}
}

func TestPaymentsFollowTheirStay(t *testing.T) {
	w := newWorld(t)
	// Without its entry the stay costs the fee, which is paid; then it turns
	// out that two reads by different lanes were stays of one car.
	id := w.pass("04:00:00", "OUT-1", "ZZ9").Stay
	w.mustPay(id, 150_00, "p1")
	w.wantConserved(w.fake())
	late := w.event("IN-1", "ZZ9")
	late.At = monday.Add(2 * time.Hour)
	w.lane(late)
	w.wantStays("P", "ZZ9 closed ticket - 40.00 paid=150.00 overpaid")
	w.wantConserved(w.fake())
	if _, err := w.cashier.Refund(t.Context(), RefundRequest{Stay: id, By: "staff", Reason: "entry found"}, Keep[Bill]{}); err != nil {
		t.Fatal(err)
	}
	w.wantStays("P", "ZZ9 closed ticket - 40.00 paid=40.00")
	w.wantConserved(w.fake())
}

func TestStaysThatTurnOutToBeOne(t *testing.T) {
	w := newWorld(t)
	// By tag and by plate, and nobody knows yet that they are one car.
	a := w.pass("02:00:00", "IN-1", "- F0").Stay
	b := w.pass("02:00:30", "IN-1", "ZZ9").Stay
	w.at("02:30:00")
	w.mustPay(b, 20_00, "p1")
	w.fake()
	out := w.pass("02:40:00", "OUT-1", "ZZ9 F0")
	if a == b || !out.Open || out.PaidCents != 20_00 {
		t.Errorf("stays %s and %s became %+v", a, b, out)
	}
	w.wantStays("P", "tag:F0 closed ticket - 20.00 paid=20.00 same-car-twice")
	w.wantConserved(w.fake())
	gone := slices.DeleteFunc([]string{a, b}, func(id string) bool { return id == out.Stay })
	if s := w.stay(gone[0]); !slices.Contains(s.Flags, Superseded) || s.AmountCents != 0 || s.PaidCents != 0 {
		t.Errorf("the other stay is %+v", s)
	}
}

func TestDecisions(t *testing.T) {
	for _, c := range []struct {
		name string
		d    DecideRequest
		want string
		owed int64
	}{
		{"an account pays", DecideRequest{Kind: stay.ByAccount, Account: "three"}, "AB1 closed account three 40.00 decided,tag-and-plate-differ", 40_00},
		{"nobody pays", DecideRequest{Kind: stay.Waived}, "AB1 closed ticket - 0.00 decided,tag-and-plate-differ", 0},
		{"an amount, of an account", DecideRequest{Kind: stay.Amount, AmountCents: 12_34, Account: "three"},
			"AB1 closed account three 12.34 decided,tag-and-plate-differ", 12_34},
		{"an amount, at a machine", DecideRequest{Kind: stay.Amount, AmountCents: 12_34}, "AB1 closed ticket - 12.34 decided,tag-and-plate-differ", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.pass("02:00:00", "IN-1", "AB1 T3").Stay
			w.pass("04:00:00", "OUT-1", "AB1 T3")
			if l := w.fake(); len(l.charges) != 0 {
				t.Errorf("charged under review: %+v", l.charges)
			}
			e, err := w.cashier.Evidence(t.Context(), id)
			if err != nil || len(e.Events) != 2 || e.Events[0].Tag != "T3" || e.Events[0].Plate != "AB1" || e.Bill.Receipt == nil {
				t.Errorf("evidence %+v, %v", e, err)
			}
			c.d.Stay, c.d.By, c.d.Reason = id, "staff", "the photo shows it"
			if _, err := w.cashier.Decide(t.Context(), c.d, Keep[Bill]{}); err != nil {
				t.Fatal(err)
			}
			w.wantStays("P", c.want)
			if l := w.fake(); l.owed("three") != c.owed || l.owed("one") != 0 {
				t.Errorf("owed %d", l.owed("three"))
			}
			w.wantConserved(w.fake())
			// A repetition does not reopen it.
			again := w.event("IN-1", "AB1 T3")
			again.At = monday.Add(2*time.Hour + 20*time.Second)
			w.lane(again)
			w.wantStays("P", c.want)
			if e, err := w.cashier.Evidence(t.Context(), id); err != nil || len(e.Decisions) != 1 || e.Decisions[0].By != "staff" {
				t.Errorf("evidence %+v, %v", e, err)
			}
		})
	}
}

func TestALateReadReopensADecision(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "AB1 T3").Stay
	w.pass("04:00:00", "OUT-1", "AB1")
	d := DecideRequest{Stay: id, Kind: stay.ByAccount, Account: "one", By: "staff", Reason: "photo"}
	if _, err := w.cashier.Decide(t.Context(), d, Keep[Bill]{}); err != nil {
		t.Fatal(err)
	}
	w.fake()
	late := w.event("OUT-2", "AB1")
	late.At = monday.Add(4*time.Hour + 20*time.Minute)
	w.at("05:00:00")
	w.lane(late)
	w.wantStays("P", "AB1 review account one 0.00 held-at-exit,reopened,tag-and-plate-differ")
	if l := w.fake(); l.owed("one") != 0 {
		t.Errorf("owed %d while a person decides", l.owed("one"))
	}
	if _, err := w.cashier.Decide(t.Context(), d, Keep[Bill]{}); err != nil {
		t.Fatal(err)
	}
	w.wantStays("P", "AB1 closed account one 60.00 decided,held-at-exit,tag-and-plate-differ")
	w.wantConserved(w.fake())
	for name, bad := range map[string]DecideRequest{
		"no account": {Stay: id, Kind: stay.ByAccount, By: "s", Reason: "r"}, "nobody says so": {Stay: id, Kind: stay.Waived},
		"negative": {Stay: id, Kind: stay.Amount, AmountCents: -1, By: "s", Reason: "r"}, "no kind": {Stay: id, By: "s", Reason: "r"},
		"no times": {Stay: id, Kind: stay.Correct, By: "s", Reason: "r"},
	} {
		if _, err := w.cashier.Decide(t.Context(), bad, Keep[Bill]{}); !errors.Is(err, parking.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStaffPutAMissingExitRight(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "AB1").Stay
	w.pass("08:00:00", "IN-1", "AB1")
	d := DecideRequest{Stay: id, Kind: stay.Correct, Exit: monday.Add(3*time.Hour + 30*time.Minute), By: "staff", Reason: "video"}
	if _, err := w.cashier.Decide(t.Context(), d, Keep[Bill]{}); err != nil {
		t.Fatal(err)
	}
	w.wantStays("P", "AB1 closed account one 40.00 decided,missing-exit", "AB1 open account one 0.00")
	w.wantConserved(w.fake())
}
