package booktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"freeflow/billing"
)

// chargeModel keeps charges and payments as a plain program would: in maps,
// with every sum made anew. Each run has names of its own, so that all can
// share one set of books.
type chargeModel struct {
	b        Books
	run      int
	charges  map[string]billing.Charge
	payments map[string]billing.Payment
	refunded map[string]bool
	posted   map[string]int // transactions by charge
}

func (m *chargeModel) name(kind string, n int) string { return fmt.Sprintf("m%d-%s%d", m.run, kind, n) }

// paid sums up the standing payments of a charge.
func (m *chargeModel) paid(chargeID string) int64 {
	sum := int64(0)
	for id, p := range m.payments {
		if p.ChargeID == chargeID && !m.refunded[id] {
			sum += p.AmountCents
		}
	}
	return sum
}

// debtor says who owes a charge; empty if nothing is owed.
func (m *chargeModel) debtor(c billing.Charge) string {
	switch {
	case c.AmountCents == 0:
		return ""
	case c.Account == "":
		return "unpaid:" + c.Creditor
	}
	return "account:" + c.Account
}

// draw makes a charge, most often the next revision of a known one.
func (m *chargeModel) draw(t *rapid.T) billing.Charge {
	c := nobodys(m.name("s", rapid.IntRange(1, 3).Draw(t, "charge")))
	c.Creditor = m.name("park", rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "creditor"))
	was, known := m.charges[c.ID]
	if known && rapid.IntRange(0, 3).Draw(t, "again") == 0 {
		return was
	}
	c.Revision = max(1, was.Revision+rapid.SampledFrom([]int64{1, 1, 1, 2, 0, -1}).Draw(t, "revision"))
	c.AmountCents = rapid.SampledFrom([]int64{2000, 2000, 3000, 500, 0}).Draw(t, "amount")
	if rapid.IntRange(0, 3).Draw(t, "of an account") == 0 {
		c.Account = m.name("acc", rapid.IntRange(1, 2).Draw(t, "account"))
	}
	return c
}

// charge does a drawn charge to both.
func (m *chargeModel) charge(t *rapid.T) error {
	c := m.draw(t)
	was, known := m.charges[c.ID]
	paid := m.paid(c.ID)
	var want error
	switch {
	case known && c.Revision < was.Revision:
		want = billing.ErrStale
	case known && c.Revision == was.Revision && !sameCharge(c, was):
		want = billing.ErrConflict
	case paid > c.AmountCents, paid > 0 && c.Account != "", paid > 0 && c.Creditor != was.Creditor:
		want = billing.ErrConflict
	}
	got, err := m.b.PostCharge(context.Background(), c, postedAt)
	if !errors.Is(err, want) {
		t.Fatalf("posting %+v onto %+v with %d paid: %v, the model says %v", c, was, paid, err, want)
	}
	if want != nil {
		return want
	}
	if m.debtor(was) != m.debtor(c) || was.AmountCents != c.AmountCents || was.Creditor != c.Creditor {
		for _, side := range []billing.Charge{was, c} {
			if side.AmountCents > 0 {
				m.posted[c.ID]++
			}
		}
	}
	m.charges[c.ID] = c
	c.PaidCents = paid
	if !sameCharge(got, c) {
		t.Fatalf("posted %+v, got %+v", c, got)
	}
	return nil
}

// pay does a drawn payment to both.
func (m *chargeModel) pay(t *rapid.T) error {
	p := payment(m.name("p", rapid.IntRange(1, 6).Draw(t, "payment")), m.name("s", rapid.IntRange(1, 3).Draw(t, "charge")), 0)
	p.AmountCents = rapid.SampledFrom([]int64{500, 500, 1500, 2000}).Draw(t, "cents")
	was, known := m.payments[p.ID]
	if known && rapid.Bool().Draw(t, "again") {
		p = was
	}
	c, charged := m.charges[p.ChargeID]
	var want error
	switch {
	case !charged:
		want = billing.ErrNotFound
	case known && was != p, !known && c.Account != "":
		want = billing.ErrConflict
	case !known && m.paid(c.ID)+p.AmountCents > c.AmountCents:
		want = billing.ErrInvalid
	}
	got, err := m.b.PostPayment(context.Background(), p, postedAt)
	if !errors.Is(err, want) {
		t.Fatalf("paying %+v for %+v: %v, the model says %v", p, c, err, want)
	}
	if want != nil {
		return want
	}
	if !known {
		m.payments[p.ID] = p
		m.posted[c.ID]++
	}
	if got.PaidCents != m.paid(c.ID) {
		t.Fatalf("%d paid, in the model %d", got.PaidCents, m.paid(c.ID))
	}
	return nil
}

// refund does a drawn refund to both.
func (m *chargeModel) refund(t *rapid.T) error {
	id := m.name("p", rapid.IntRange(1, 6).Draw(t, "refunded"))
	p, known := m.payments[id]
	_, err := m.b.RefundPayment(context.Background(), id, postedAt)
	if !known {
		if !errors.Is(err, billing.ErrNotFound) {
			t.Fatalf("refunding nothing: %v", err)
		}
		return billing.ErrNotFound
	}
	if err != nil {
		t.Fatal(err)
	}
	if !m.refunded[id] {
		m.posted[p.ChargeID]++
	}
	m.refunded[id] = true
	return nil
}

// compare holds the books against the model.
func (m *chargeModel) compare(t *rapid.T) {
	ctx := context.Background()
	sums := map[string]int64{}
	for id, c := range m.charges {
		if c.AmountCents > 0 {
			sums[m.debtor(c)] += c.AmountCents
			sums["operator:"+c.Creditor] -= c.AmountCents
		}
		// The machine is shared by all runs, and summed up by Verify alone.
		sums["unpaid:"+c.Creditor] -= m.paid(id)
		want := c
		want.PaidCents = m.paid(id)
		got, list, err := m.b.Charge(ctx, id)
		if err != nil || !sameCharge(got, want) || len(list) != m.posted[id] {
			t.Fatalf("the books have %+v with %d transactions, %v; the model %+v with %d", got, len(list), err, want, m.posted[id])
		}
	}
	list, err := m.b.Balances(ctx, slices.Collect(maps.Keys(sums)))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		if sums[b.Account] != b.AmountCents {
			t.Fatalf("account %s stands at %d, in the model at %d", b.Account, b.AmountCents, sums[b.Account])
		}
		delete(sums, b.Account)
	}
	for account, cents := range sums {
		if cents != 0 {
			t.Fatalf("account %s has no balance, in the model %d", account, cents)
		}
	}
}

var chargeModelTests = []test{
	{"any charges and payments end as in a plain model", func(t *testing.T, b Books) {
		run := 0
		outcomes := map[error]int{}
		rapid.Check(t, func(rt *rapid.T) {
			run++
			m := &chargeModel{b: b, run: run, charges: map[string]billing.Charge{}, payments: map[string]billing.Payment{},
				refunded: map[string]bool{}, posted: map[string]int{}}
			for range rapid.IntRange(1, 15).Draw(rt, "steps") {
				step := rapid.SampledFrom([]func(*rapid.T) error{m.charge, m.charge, m.charge, m.pay, m.pay, m.refund}).Draw(rt, "step")
				outcomes[step(rt)]++
			}
			m.compare(rt)
		})
		for _, want := range []error{nil, billing.ErrStale, billing.ErrConflict, billing.ErrInvalid, billing.ErrNotFound} {
			if outcomes[want] == 0 {
				t.Errorf("%v never happened: %v", want, outcomes)
			}
		}
		sound(t, b)
	}},
}
