package booktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
)

// stay is a new charge of 20.00 for a car park, owed by the account acc-1.
func stay(id string) billing.Charge {
	return billing.Charge{
		ID: id, Kind: "parking", Revision: 1, Account: "acc-1", Creditor: "tko", AmountCents: 2000, Currency: "HKD",
		OccurredMicros: base, Description: "Tseung Kwan O, 08:00 to 09:40", Vehicle: "AB1234",
		Detail: []byte(`{"lines":[{"text":"2 hours at 10.00","amount":"20.00"}]}`),
	}
}

// nobodys is a stay that stands at nobody's account.
func nobodys(id string) billing.Charge {
	c := stay(id)
	c.Account = ""
	return c
}

// payment is a new payment at the machine.
func payment(id, chargeID string, cents int64) billing.Payment {
	return billing.Payment{ID: id, ChargeID: chargeID, AmountCents: cents, Currency: "HKD", Means: "machine", PaidAt: postedAt.Add(-time.Minute)}
}

// revised returns the charge changed, as its next revision.
func revised(c billing.Charge, change func(*billing.Charge)) billing.Charge {
	c.Revision++
	change(&c)
	return c
}

// postCharge posts a charge and wants it to stand as given, with so much paid.
func postCharge(t *testing.T, b Books, c billing.Charge, paid int64) {
	t.Helper()
	got, err := b.PostCharge(context.Background(), c, postedAt)
	if err != nil {
		t.Fatalf("posting charge %s: %v", c.ID, err)
	}
	c.PaidCents = paid
	if !sameCharge(got, c) {
		t.Fatalf("posted %+v, the books have %+v", c, got)
	}
	stands(t, b, c)
}

// pay posts a payment and wants so much to be paid then.
func pay(t *testing.T, b Books, p billing.Payment, paid int64) {
	t.Helper()
	c, err := b.PostPayment(context.Background(), p, postedAt)
	if err != nil || c.ID != p.ChargeID || c.PaidCents != paid {
		t.Fatalf("posting payment %s: %+v, %v, want %d paid", p.ID, c, err, paid)
	}
}

// stands wants the books to have the charge.
func stands(t *testing.T, b Books, want billing.Charge) {
	t.Helper()
	got, _, err := b.Charge(context.Background(), want.ID)
	if err != nil || !sameCharge(got, want) {
		t.Fatalf("the books have %+v, %v, want %+v", got, err, want)
	}
}

func sameCharge(a, b billing.Charge) bool {
	details := bytes.Equal(a.Detail, b.Detail)
	a.Detail, b.Detail = nil, nil
	return details && reflect.DeepEqual(a, b)
}

// ledger wants the transactions of a charge: kind, first account and amount.
func ledger(t *testing.T, b Books, id string, want ...string) {
	t.Helper()
	_, list, err := b.Charge(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range list {
		sum := int64(0)
		for _, e := range one.Entries {
			sum += e.AmountCents
		}
		if sum != 0 || len(one.Entries) != 2 || one.ChargeID != id || one.PassID != "" || !one.PostedAt.Equal(postedAt) ||
			(one.Kind == "reversal") != (one.Reverses != "") {
			t.Errorf("transaction %+v", one)
		}
		got = append(got, fmt.Sprintf("%s %d %s %s", one.Kind, one.Revision, one.Entries[0].Account, billing.FormatCents(one.Entries[0].AmountCents)))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("charge %s has the transactions %q, want %q", id, got, want)
	}
}

// toldCharges is an event of charges as a follower reads it.
type toldCharges struct {
	PostedAt time.Time `json:"posted_at"`
	Passes   []any     `json:"passes"`
	Charges  []struct {
		ID              string `json:"id"`
		Kind            string `json:"kind"`
		Account         string `json:"account"`
		PreviousAccount string `json:"previous_account"`
		AmountCents     int64  `json:"amount_cents"`
		PaidCents       int64  `json:"paid_cents"`
		Currency        string `json:"currency"`
		Description     string `json:"description"`
		OccurredMicros  int64  `json:"occurred_micros"`
		Revision        int64  `json:"revision"`
	} `json:"charges"`
}

var chargingTests = []test{
	{"a charge owes what it says", func(t *testing.T, b Books) {
		postCharge(t, b, stay("s1"), 0)
		postCharge(t, b, nobodys("s2"), 0)
		free := stay("s3")
		free.AmountCents = 0
		postCharge(t, b, free, 0)
		(&log{b: b}).post(t, charged(1, 0))
		// The account owes for the pass and for the stay.
		owe(t, b, map[string]int64{"account:acc-1": 2800, "unpaid:tko": 2000, "operator:tko": -4000, "operator:CHT": -800, "account:": 0})
		ledger(t, b, "s1", "charge 1 account:acc-1 20.00")
		ledger(t, b, "s2", "charge 1 unpaid:tko 20.00")
		ledger(t, b, "s3")
		if h := history(t, b, id(1)); len(h.Transactions) != 1 || h.Transactions[0].ChargeID != "" {
			t.Errorf("the pass has %+v", h.Transactions)
		}
		sound(t, b)
	}},
	{"the same again changes nothing", func(t *testing.T, b Books) {
		c := nobodys("s1")
		for range 3 {
			postCharge(t, b, c, 0)
		}
		for range 3 {
			pay(t, b, payment("p1", "s1", 500), 500)
		}
		// Also once the charge is paid, and by another posting date.
		if got, err := b.PostCharge(context.Background(), c, postedAt.Add(time.Hour)); err != nil || got.PaidCents != 500 {
			t.Errorf("%+v, %v", got, err)
		}
		ledger(t, b, "s1", "charge 1 unpaid:tko 20.00", "payment 1 cash:machine 5.00")
		if n := len(events(t, b)); n != 2 {
			t.Errorf("%d events", n)
		}
		owe(t, b, map[string]int64{"unpaid:tko": 1500, "operator:tko": -2000, "cash:machine": 500})
		sound(t, b)
	}},
	{"the same revision with another content is a conflict", func(t *testing.T, b Books) {
		c := stay("s1")
		postCharge(t, b, c, 0)
		for name, change := range map[string]func(*billing.Charge){
			"kind":        func(c *billing.Charge) { c.Kind = "fee" },
			"account":     func(c *billing.Charge) { c.Account = "acc-2" },
			"creditor":    func(c *billing.Charge) { c.Creditor = "hsr" },
			"amount":      func(c *billing.Charge) { c.AmountCents = 1 },
			"currency":    func(c *billing.Charge) { c.Currency = "TWD" },
			"instant":     func(c *billing.Charge) { c.OccurredMicros++ },
			"description": func(c *billing.Charge) { c.Description += "." },
			"vehicle":     func(c *billing.Charge) { c.Vehicle = "" },
			"detail":      func(c *billing.Charge) { c.Detail = []byte(`{}`) },
		} {
			other := c
			change(&other)
			if _, err := b.PostCharge(context.Background(), other, postedAt); !errors.Is(err, billing.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
		stands(t, b, c)
		sound(t, b)
	}},
	{"a higher revision replaces a lower one", func(t *testing.T, b Books) {
		first := stay("s1")
		postCharge(t, b, first, 0)
		dearer := revised(first, func(c *billing.Charge) { c.AmountCents = 3000; c.Detail = nil })
		postCharge(t, b, dearer, 0)
		// Nothing owed differs: no money moves, the revision is kept all the same.
		told := revised(dearer, func(c *billing.Charge) { c.Description = "longer" })
		postCharge(t, b, told, 0)
		// Revisions may skip, and the payer and the creditor may change.
		other := revised(told, func(c *billing.Charge) { c.Revision = 9; c.Account = ""; c.Creditor = "hsr" })
		postCharge(t, b, other, 0)
		nothing := revised(other, func(c *billing.Charge) { c.AmountCents = 0 })
		postCharge(t, b, nothing, 0)
		again := revised(nothing, func(c *billing.Charge) { c.AmountCents = 100; c.Account = "acc-2" })
		postCharge(t, b, again, 0)
		ledger(t, b, "s1", "charge 1 account:acc-1 20.00", "reversal 2 account:acc-1 -20.00", "charge 2 account:acc-1 30.00",
			"reversal 9 account:acc-1 -30.00", "charge 9 unpaid:hsr 30.00", "reversal 10 unpaid:hsr -30.00", "charge 11 account:acc-2 1.00")
		owe(t, b, map[string]int64{"account:acc-1": 0, "account:acc-2": 100, "unpaid:hsr": 0, "operator:tko": 0, "operator:hsr": -100})
		for _, old := range []billing.Charge{first, dearer, told, other, nothing, stay("s1")} {
			_, err := b.PostCharge(context.Background(), old, postedAt)
			wantError(t, err, billing.ErrStale)
		}
		stands(t, b, again)
		kept, err := b.ChargeRevisions(context.Background(), "s1")
		if err != nil || len(kept) != 5 {
			t.Fatalf("%+v, %v", kept, err)
		}
		for i, want := range []billing.Charge{first, dearer, told, other, nothing} {
			if !sameCharge(kept[i].Charge, want) || !kept[i].ReplacedAt.Equal(postedAt) {
				t.Errorf("kept %+v, want %+v", kept[i], want)
			}
		}
		sound(t, b)
	}},
	{"the first revision posted may be a later one", func(t *testing.T, b Books) {
		c := stay("s1")
		c.Revision = 4
		postCharge(t, b, c, 0)
		_, err := b.PostCharge(context.Background(), stay("s1"), postedAt)
		wantError(t, err, billing.ErrStale)
		ledger(t, b, "s1", "charge 4 account:acc-1 20.00")
		sound(t, b)
	}},
	{"names that resemble others are kept apart", func(t *testing.T, b Books) {
		for i, name := range []string{"s", "s-1", "s-1-charge", "S", "s\x00", "s\x01", "payment:s", id(1), strings.Repeat("粵", 85)} {
			c := stay(name)
			c.AmountCents = int64(i + 1)
			postCharge(t, b, c, 0)
			postCharge(t, b, revised(c, func(c *billing.Charge) { c.AmountCents += 100 }), 0)
		}
		(&log{b: b}).post(t, charged(1, 0))
		if h := history(t, b, id(1)); len(h.Transactions) != 1 {
			t.Errorf("the pass has %+v", h.Transactions)
		}
		_, list, err := b.Charge(context.Background(), "s")
		if err != nil || len(list) != 3 {
			t.Errorf("%+v, %v", list, err)
		}
		sound(t, b)
	}},
	{"what can never be is refused", func(t *testing.T, b Books) {
		for name, change := range map[string]func(*billing.Charge){
			"no id":          func(c *billing.Charge) { c.ID = "" },
			"a long id":      func(c *billing.Charge) { c.ID = strings.Repeat("x", 257) },
			"no kind":        func(c *billing.Charge) { c.Kind = "" },
			"no creditor":    func(c *billing.Charge) { c.Creditor = "" },
			"no currency":    func(c *billing.Charge) { c.Currency = "" },
			"revision 0":     func(c *billing.Charge) { c.Revision = 0 },
			"less than 0":    func(c *billing.Charge) { c.AmountCents = -1 },
			"no UTF-8":       func(c *billing.Charge) { c.Account = "\xff" },
			"no UTF-8 line":  func(c *billing.Charge) { c.Description = "\xff" },
			"a long line":    func(c *billing.Charge) { c.Description = strings.Repeat("x", 1001) },
			"no JSON":        func(c *billing.Charge) { c.Detail = []byte(`{"lines":`) },
			"a long receipt": func(c *billing.Charge) { c.Detail = []byte(`"` + strings.Repeat("x", 64<<10) + `"`) },
		} {
			c := stay("s1")
			change(&c)
			if _, err := b.PostCharge(context.Background(), c, postedAt); !errors.Is(err, billing.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := b.PostCharge(context.Background(), stay("s1"), time.Time{})
		wantError(t, err, billing.ErrInvalid)
		_, _, err = b.Charge(context.Background(), "s1")
		wantError(t, err, billing.ErrNotFound)
		sound(t, b)
	}},
	{"events tell of charges and of their payment", func(t *testing.T, b Books) {
		c := stay("s1")
		postCharge(t, b, c, 0)
		c = revised(c, func(c *billing.Charge) { c.Account = "" })
		postCharge(t, b, c, 0)
		pay(t, b, payment("p1", "s1", 2000), 2000)
		list := events(t, b)
		if len(list) != 3 {
			t.Fatalf("%d events", len(list))
		}
		for i, want := range []struct {
			account, previous string
			revision, paid    int64
		}{{"acc-1", "", 1, 0}, {"", "acc-1", 2, 0}, {"", "", 2, 2000}} {
			var e toldCharges
			if err := json.Unmarshal(list[i].Payload, &e); err != nil || len(e.Charges) != 1 || len(e.Passes) != 0 || !e.PostedAt.Equal(postedAt) {
				t.Fatalf("event %s, %v", list[i].Payload, err)
			}
			one := e.Charges[0]
			if one.ID != "s1" || one.Kind != "parking" || one.Account != want.account || one.PreviousAccount != want.previous || one.AmountCents != 2000 ||
				one.PaidCents != want.paid || one.Currency != "HKD" || one.Description != c.Description || one.OccurredMicros != base || one.Revision != want.revision {
				t.Errorf("told %+v", one)
			}
		}
	}},
	{"lists are complete, in order and by what is asked for", func(t *testing.T, b Books) {
		var want []string
		for i := range 9 {
			c := stay(fmt.Sprintf("s%d", i))
			c.OccurredMicros = base + int64(i/2)*second
			c.Creditor = []string{"tko", "hsr"}[i%2]
			c.Account = []string{"acc-1", "acc-2", ""}[i%3]
			c.Vehicle = []string{"V1", ""}[i/5]
			postCharge(t, b, c, 0)
			want = append(want, c.ID)
		}
		for limit := 1; limit <= 10; limit++ {
			var got []string
			f := billing.ChargeFilter{Limit: limit}
			for {
				list, next, err := b.Charges(context.Background(), f)
				if err != nil || len(list) == 0 || len(list) > limit {
					t.Fatalf("%d charges, %v", len(list), err)
				}
				for _, c := range list {
					got = append(got, c.ID)
				}
				if f.After = next; next == "" {
					break
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("in pages of %d: %q", limit, got)
			}
		}
		for _, one := range []struct {
			f    billing.ChargeFilter
			want string
		}{
			{billing.ChargeFilter{Account: "acc-1"}, "s0 s3 s6"},
			{billing.ChargeFilter{Creditor: "hsr"}, "s1 s3 s5 s7"},
			{billing.ChargeFilter{Vehicle: "V1", Account: "acc-2"}, "s1 s4"},
			{billing.ChargeFilter{Kind: "fee"}, ""},
			{billing.ChargeFilter{Kind: "parking", FromMicros: base + second, ToMicros: base + 3*second}, "s2 s3 s4 s5"},
		} {
			one.f.Limit = 100
			list, next, err := b.Charges(context.Background(), one.f)
			var got []string
			for _, c := range list {
				got = append(got, c.ID)
			}
			if err != nil || next != "" || strings.Join(got, " ") != one.want {
				t.Errorf("%+v: %q, %q, %v", one.f, got, next, err)
			}
		}
		for _, f := range []billing.ChargeFilter{{}, {Limit: 1, After: "!"}, {Limit: 1, After: billing.Cursor{FirstMicros: 1, ID: "x"}.String()}} {
			_, _, err := b.Charges(context.Background(), f)
			wantError(t, err, billing.ErrInvalid)
		}
	}},
}
