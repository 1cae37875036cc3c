package booktest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"freeflow/billing"
)

// The steps: each does the same to the books and the model, and returns the
// kind of error that both say.

func (m *collectingModel) passID(n int) int { return 1_000_000 + m.run*100 + n }

// post posts new and changed passes in one batch.
func (m *collectingModel) post(t *rapid.T) error {
	var batch []billing.Pass
	p := modelPosting{}
	for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 5), 1, 3, rapid.ID).Draw(t, "passes") {
		pass, known := m.passes[n]
		if pass.MergedInto != "" {
			continue
		}
		if !known {
			pass = toll(m.passID(n), "", 0)
			pass.Facility, pass.TollPoint = m.name("F", 1), m.name("F", 1)+"-N"
			if n <= 2 {
				pass.Vehicle = vehicleOf(m.name("T", 1))
			}
		} else {
			pass.Revision++
		}
		pass.AmountCents = rapid.SampledFrom([]int64{500, 800, 1200, 3000}).Draw(t, "cents")
		switch rapid.IntRange(0, 5).Draw(t, "status") {
		case 0:
			pass.Status, pass.Account, pass.AmountCents = billing.StatusReview, "", 0
		case 1:
			pass.Status, pass.Account = billing.StatusUnpaid, ""
		default:
			pass.Status, pass.Account = billing.StatusCharged, m.name("acc", rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "account"))
		}
		if other, there := m.passes[n%5+1]; known && there && other.MergedInto == "" && rapid.IntRange(0, 7).Draw(t, "merged") == 0 &&
			!slices.ContainsFunc(batch, func(b billing.Pass) bool { return b.ID == other.ID }) {
			pass.MergedInto = other.ID
		}
		was := m.passes[n]
		m.passes[n] = pass
		batch = append(batch, pass)
		if was.Revision++; known && same(was, pass) {
			continue // nobody is told
		}
		o := modelOwed{id: billing.ReceivablePass + pass.ID, account: pass.Account, creditor: pass.Facility, vehicle: pass.Vehicle}
		if pass.MergedInto == "" {
			o.cents = pass.AmountCents
		}
		p.items = append(p.items, o)
	}
	if len(batch) == 0 {
		return nil
	}
	if err := m.b.log.try(batch...); err != nil {
		t.Fatalf("posting %+v: %v", batch, err)
	}
	if len(p.items) > 0 {
		m.announce(p)
	}
	return nil
}

func (m *collectingModel) announce(p modelPosting) {
	m.posted++
	p.number = m.posted
	m.queue = append(m.queue, p)
}

// till sums up what stands paid of a charge at tills.
func (m *collectingModel) till(chargeID string) int64 {
	sum := int64(0)
	for id, p := range m.tills {
		if p.ChargeID == chargeID && !m.refunds[id] {
			sum += p.AmountCents
		}
	}
	return sum
}

func (m *collectingModel) announceCharge(c billing.Charge) {
	m.announce(modelPosting{items: []modelOwed{{
		id: billing.ReceivableCharge + c.ID, account: c.Account, creditor: c.Creditor, vehicle: c.Vehicle, cents: c.AmountCents - m.till(c.ID),
	}}})
}

func (m *collectingModel) charge(t *rapid.T) error {
	c := nobodys(m.name("s", rapid.IntRange(1, 2).Draw(t, "charge")))
	c.Creditor, c.Vehicle = m.name("park", rapid.IntRange(1, 2).Draw(t, "creditor")), ""
	c.Revision = m.charges[c.ID].Revision + 1
	c.AmountCents = rapid.SampledFrom([]int64{0, 400, 2000}).Draw(t, "amount")
	if rapid.Bool().Draw(t, "of an account") {
		c.Account = m.name("acc", 1)
	}
	var err error
	if m.till(c.ID) > 0 && (c.Account != "" || c.Creditor != m.charges[c.ID].Creditor || c.AmountCents < m.till(c.ID)) {
		err = billing.ErrConflict
	}
	if _, got := m.b.PostCharge(context.Background(), c, postedAt); !errors.Is(got, err) {
		t.Fatalf("posting %+v: %v, the model says %v", c, got, err)
	}
	if err == nil {
		m.charges[c.ID] = c
		m.announceCharge(c)
	}
	return err
}

func (m *collectingModel) payTill(t *rapid.T) error {
	c, known := m.charges[m.name("s", rapid.IntRange(1, 2).Draw(t, "charge"))]
	if !known || c.Account != "" || c.AmountCents-m.till(c.ID) < 400 {
		return nil
	}
	p := payment(m.name("p", len(m.tills)), c.ID, 400)
	if _, err := m.b.PostPayment(context.Background(), p, postedAt); err != nil {
		t.Fatal(err)
	}
	m.tills[p.ID] = p
	m.announceCharge(c)
	return nil
}

func (m *collectingModel) refundTill(t *rapid.T) error {
	for _, id := range slices.Sorted(maps.Keys(m.tills)) {
		if m.refunds[id] || rapid.Bool().Draw(t, "not this one") {
			continue
		}
		if _, err := m.b.RefundPayment(context.Background(), id, postedAt); err != nil {
			t.Fatal(err)
		}
		m.refunds[id] = true
		m.announceCharge(m.charges[m.tills[id].ChargeID])
		return nil
	}
	return nil
}

// holder draws whose wallet.
func (m *collectingModel) holder(t *rapid.T) string {
	return rapid.SampledFrom([]string{m.name("acc", 1), m.name("acc", 1), m.name("acc", 2), vehicleOf(m.name("T", 1)), "once:" + m.name("o", 1)}).Draw(t, "holder")
}

func (m *collectingModel) money(t *rapid.T) error {
	move := receipt(m.name("m", rapid.IntRange(1, 8).Draw(t, "movement")), m.holder(t), rapid.SampledFrom([]int64{300, 1000, 5000}).Draw(t, "cents"))
	if rapid.IntRange(0, 4).Draw(t, "out") == 0 {
		move.Kind, move.Means = billing.Payout, "fps"
	}
	was, known := m.moved[move.ID]
	var want error
	switch {
	case known && was != move, !known && move.Kind == billing.Payout && m.held(move.Holder) < move.AmountCents:
		want = billing.ErrConflict
	}
	var again bool
	err := m.b.Do(context.Background(), func(tx billing.Money) error {
		var err error
		again, err = tx.Move(context.Background(), move, postedAt)
		return err
	})
	if !errors.Is(err, want) || err == nil && again != known {
		t.Fatalf("moving %+v: known %v, %v; the model says %v, %v", move, again, err, known, want)
	}
	if want == nil {
		m.moved[move.ID] = move
		if _, there := m.manual[move.Holder]; !there {
			m.manual[move.Holder] = false
		}
	}
	return want
}

// reverse undoes a movement, and the latest spendings from its wallet if need
// be.
func (m *collectingModel) reverse(t *rapid.T) error {
	id := m.name("m", rapid.IntRange(1, 8).Draw(t, "movement"))
	move, known := m.moved[id]
	var want error
	var freed []*modelSpending
	switch {
	case !known:
		want = billing.ErrNotFound
	case move.Kind == billing.Receipt && !m.undone[id]:
		held := m.held(move.Holder)
		for _, s := range slices.Backward(m.spendings) {
			if held < move.AmountCents && s.holder == move.Holder && !s.undone {
				freed = append(freed, s)
				held += s.cents
			}
		}
		if held < move.AmountCents {
			want = billing.ErrConflict
		}
	}
	err := m.b.Do(context.Background(), func(tx billing.Money) error {
		return tx.ReverseMovement(context.Background(), id, "bounced", postedAt)
	})
	if !errors.Is(err, want) {
		t.Fatalf("reversing %+v: %v, the model says %v", move, err, want)
	}
	if want == nil {
		m.undone[id] = true
		for _, s := range freed {
			s.undone = true
		}
	}
	return want
}

func (m *collectingModel) collectOpen(t *rapid.T) error {
	holder := m.holder(t)
	var want []string
	for _, o := range m.inOrder(func(o *modelOwed) bool {
		_, own := m.manual[o.vehicle]
		return o.vehicle == holder && strings.HasPrefix(holder, "tag:") || o.account == holder && !(own && strings.HasPrefix(o.vehicle, "tag:"))
	}) {
		if m.spend(o, holder) {
			want = append(want, o.id)
		}
	}
	if got := m.b.collect(t, holder); !slices.Equal(got, want) {
		t.Fatalf("%s paid %v, the model says %v", holder, got, want)
	}
	return nil
}

// mine reports whether a holder may be made to pay a receivable: an account what
// it owes, a class tag what its own vehicle does, who has no account anything.
func mine(holder string, o *modelOwed) bool {
	switch {
	case strings.HasPrefix(holder, "once:"):
		return true
	case strings.HasPrefix(holder, "tag:"):
		return o.vehicle == holder
	}
	return o.account == holder
}

// collectSome pays chosen receivables; those that are another's are passed over.
func (m *collectingModel) collectSome(t *rapid.T) error {
	ids := slices.Sorted(maps.Keys(m.owed))
	if len(ids) == 0 {
		return nil
	}
	holder := m.holder(t)
	ids = rapid.SliceOfN(rapid.SampledFrom(ids), 1, 3).Draw(t, "receivables")
	var want []string
	for _, id := range ids {
		if o := m.owed[id]; o.hold == "" && m.rest(o) > 0 && mine(holder, o) && m.spend(o, holder) {
			want = append(want, id)
		}
	}
	m.b.do(t, func(tx billing.Money) error {
		list, err := tx.Collect(context.Background(), holder, ids, postedAt)
		if got := receivablesOf(list); !slices.Equal(got, want) {
			t.Fatalf("%s paid %v of %v, the model says %v", holder, got, ids, want)
		}
		return err
	})
	return nil
}

func (m *collectingModel) some(t *rapid.T) *modelOwed {
	ids := slices.Sorted(maps.Keys(m.owed))
	if len(ids) == 0 {
		return nil
	}
	return m.owed[rapid.SampledFrom(ids).Draw(t, "receivable")]
}

func (m *collectingModel) undo(t *rapid.T) error {
	o := m.some(t)
	if o == nil {
		return nil
	}
	want := m.paid(o.id)
	for _, s := range m.spendings {
		if s.id == o.id {
			s.undone = true
		}
	}
	if got := m.b.uncollect(t, o.id); got != want {
		t.Fatalf("undid %d of %s, the model says %d", got, o.id, want)
	}
	return nil
}

func (m *collectingModel) hold(t *rapid.T) error {
	o := m.some(t)
	if o == nil {
		return nil
	}
	next := "audit:1"
	if o.hold != "" {
		next = ""
	}
	m.b.hold(t, o.id, o.hold, next)
	o.hold = next
	return nil
}

func (m *collectingModel) putWallet(t *rapid.T) error {
	holder, manual := m.holder(t), rapid.Bool().Draw(t, "manual")
	m.b.do(t, func(tx billing.Money) error { return tx.PutWallet(context.Background(), holder, "HKD", manual) })
	m.manual[holder] = manual
	return nil
}

func (m *collectingModel) followSome(t *rapid.T) error {
	limit := rapid.IntRange(1, 4).Draw(t, "limit")
	n := min(limit, len(m.queue))
	for range n {
		m.follow()
	}
	done, err := m.b.FollowPostings(context.Background(), limit, postedAt)
	if err != nil || done.Postings != n {
		t.Fatalf("followed %+v, %v, the model %d", done, err, n)
	}
	return nil
}
