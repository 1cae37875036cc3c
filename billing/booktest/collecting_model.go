package booktest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"freeflow/billing"
)

// collectingModel keeps wallets and receivables as a plain program would: one
// posting after the other, in maps, with every sum made anew from the list of
// what was ever paid. Each run has names of its own, so that all can share one
// set of books.
type collectingModel struct {
	b   *purse
	run int
	// What was posted: passes, charges and what was paid of these at tills, as
	// they stand, and the postings that were not followed yet.
	passes  map[int]billing.Pass
	charges map[string]billing.Charge
	tills   map[string]billing.Payment
	refunds map[string]bool
	queue   []modelPosting
	posted  int
	// What follows from it.
	owed      map[string]*modelOwed
	moved     map[string]billing.Movement
	undone    map[string]bool
	manual    map[string]bool // by wallet that there is
	spendings []*modelSpending
}

// modelPosting is what one posting says is owed.
type modelPosting struct {
	number int
	items  []modelOwed
}

// modelOwed is one receivable.
type modelOwed struct {
	id, account, creditor, vehicle string
	cents                          int64
	hold                           string
	short                          bool
	posting                        int
}

// modelSpending is one collection.
type modelSpending struct {
	id, holder, debtor string
	cents              int64
	undone, givenBack  bool
}

func (m *collectingModel) name(kind string, n int) string {
	return fmt.Sprintf("c%d-%s%d", m.run, kind, n)
}

func (o *modelOwed) debtor() string {
	if o.account == "" {
		return "unpaid:" + o.creditor
	}
	return "account:" + o.account
}

// held sums up a wallet.
func (m *collectingModel) held(holder string) int64 {
	sum := int64(0)
	for id, move := range m.moved {
		if move.Holder != holder || m.undone[id] {
			continue
		}
		if move.Kind == billing.Receipt {
			sum += move.AmountCents
		} else {
			sum -= move.AmountCents
		}
	}
	for _, s := range m.spendings {
		if s.holder == holder && !s.undone {
			sum -= s.cents
		}
	}
	return sum
}

// paid sums up what is paid of a receivable.
func (m *collectingModel) paid(id string) int64 {
	sum := int64(0)
	for _, s := range m.spendings {
		if s.id == id && !s.undone {
			sum += s.cents
		}
	}
	return sum
}

func (m *collectingModel) rest(o *modelOwed) int64 { return o.cents - m.paid(o.id) }

// spend pays the rest of a receivable, or finds it short.
func (m *collectingModel) spend(o *modelOwed, holder string) bool {
	rest := m.rest(o)
	o.short = m.held(holder) < rest
	if !o.short {
		m.spendings = append(m.spendings, &modelSpending{id: o.id, holder: holder, debtor: o.debtor(), cents: rest})
	}
	return !o.short
}

// payer says whose wallet pays by itself; empty if none does.
func (m *collectingModel) payer(o *modelOwed) string {
	for _, holder := range []string{o.vehicle, o.account} {
		if manual, there := m.manual[holder]; there && (holder == o.account || strings.HasPrefix(holder, "tag:")) {
			if manual {
				return ""
			}
			return holder
		}
	}
	return ""
}

// inOrder returns the receivables that the condition selects, by posting and id.
func (m *collectingModel) inOrder(want func(*modelOwed) bool) []*modelOwed {
	var list []*modelOwed
	for _, o := range m.owed {
		if o.hold == "" && m.rest(o) > 0 && want(o) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *modelOwed) int {
		return cmp.Or(cmp.Compare(a.posting, b.posting), strings.Compare(a.id, b.id))
	})
	return list
}

// follow does the oldest posting.
func (m *collectingModel) follow() {
	p := m.queue[0]
	m.queue = m.queue[1:]
	retry, gained := map[string]bool{}, map[string]bool{}
	for _, item := range p.items {
		o := m.owed[item.id]
		if o == nil {
			if item.cents == 0 {
				continue
			}
			o = &modelOwed{id: item.id}
			m.owed[item.id] = o
		}
		was := *o
		o.vehicle, o.cents = item.vehicle, item.cents
		if item.cents > 0 {
			o.account, o.creditor = item.account, item.creditor
		}
		if o.debtor() != was.debtor() || o.creditor != was.creditor || o.cents != was.cents {
			o.posting, o.short = p.number, false
		}
		retry[o.id] = true
		back := false
		for _, s := range slices.Backward(m.spendings) {
			if s.id == o.id && !s.undone && (o.debtor() != was.debtor() || m.paid(o.id) > o.cents) {
				s.undone, s.givenBack, back = true, true, true
				gained[s.holder] = true
			}
		}
		if m.rest(o) > 0 && (o.hold == "" || back) {
			m.again(o)
		}
	}
	for _, o := range m.inOrder(func(o *modelOwed) bool { return retry[o.id] || gained[m.payer(o)] }) {
		if holder := m.payer(o); holder != "" {
			m.spend(o, holder)
		}
	}
}

// again lets those pay who had paid and got it back.
func (m *collectingModel) again(o *modelOwed) {
	var mine []*modelSpending
	for _, s := range m.spendings {
		if s.id == o.id {
			mine = append(mine, s)
		}
	}
	for i, s := range mine {
		later := slices.ContainsFunc(mine[i+1:], func(l *modelSpending) bool { return l.holder == s.holder })
		same := s.debtor == o.debtor() || strings.HasPrefix(s.debtor, "unpaid:") && o.account == ""
		if !later && s.givenBack && same && m.held(s.holder) >= m.rest(o) {
			m.spend(o, s.holder)
			return
		}
	}
}

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
		m.manual[move.Holder] = m.manual[move.Holder]
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

// collectSome pays chosen receivables, whoever owes them.
func (m *collectingModel) collectSome(t *rapid.T) error {
	ids := slices.Sorted(maps.Keys(m.owed))
	if len(ids) == 0 {
		return nil
	}
	holder := m.holder(t)
	ids = rapid.SliceOfN(rapid.SampledFrom(ids), 1, 3).Draw(t, "receivables")
	var want []string
	for _, id := range ids {
		if o := m.owed[id]; o.hold == "" && m.rest(o) > 0 && m.spend(o, holder) {
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
	next := "dispute:1"
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

// compare holds the books against the model.
func (m *collectingModel) compare(t *rapid.T) {
	ctx := context.Background()
	sums := map[string]int64{}
	err := m.b.View(ctx, func(tx billing.Money) error {
		for id, o := range m.owed {
			r, err := tx.Receivable(ctx, id)
			if err != nil {
				return err
			}
			got := modelOwed{id: r.ID, account: r.Account, creditor: r.Creditor, vehicle: r.Vehicle, cents: r.AmountCents, hold: r.Hold, short: r.Short, posting: o.posting}
			if got != *o || r.PaidCents != m.paid(id) {
				t.Fatalf("the books have  %+v with %d paid\nthe model has %+v with %d", got, r.PaidCents, *o, m.paid(id))
			}
			sums[o.debtor()] += m.rest(o)
			list, err := tx.Collections(ctx, id)
			if err != nil {
				return err
			}
			var spent []modelSpending
			for _, c := range list {
				spent = append(spent, modelSpending{id: c.Receivable, holder: c.Holder, cents: c.AmountCents, undone: !c.ReversedAt.IsZero()})
			}
			var want []modelSpending
			for _, s := range m.spendings {
				if s.id == id {
					want = append(want, modelSpending{id: s.id, holder: s.holder, cents: s.cents, undone: s.undone})
				}
			}
			if !slices.Equal(spent, want) {
				t.Fatalf("the books have collected  %+v\nthe model has %+v", spent, want)
			}
		}
		for holder, manual := range m.manual {
			w, err := tx.Wallet(ctx, holder, "HKD")
			if err != nil {
				return err
			}
			if w.BalanceCents != m.held(holder) || w.Manual != manual || w.BalanceCents < 0 {
				t.Fatalf("the books have %+v, the model %d, %v", w, m.held(holder), manual)
			}
			sums["wallet:"+holder] -= m.held(holder)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.queue) > 0 {
		return
	}
	list, err := m.b.Balances(ctx, slices.Collect(maps.Keys(sums)))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		if sums[b.Account] != b.AmountCents {
			t.Fatalf("%s stands at %d, in the model at %d", b.Account, b.AmountCents, sums[b.Account])
		}
		delete(sums, b.Account)
	}
	for account, cents := range sums {
		if cents != 0 {
			t.Fatalf("%s has no balance, in the model %d", account, cents)
		}
	}
}

// collectingModelTests hold the books against a plain model. The model follows
// one posting at a time; that the books agree with it however postings fall
// into calls is the property that their cut makes no difference.
var collectingModelTests = []moneyTest{
	{"any postings, money and decisions end as in a plain model", func(t *testing.T, b *purse) {
		run := 0
		outcomes := map[error]int{}
		given, short, again := 0, 0, 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			b.follow(rt) // what a run before left, if it failed
			m := &collectingModel{
				b: b, run: run, passes: map[int]billing.Pass{}, charges: map[string]billing.Charge{}, tills: map[string]billing.Payment{},
				refunds: map[string]bool{}, owed: map[string]*modelOwed{}, moved: map[string]billing.Movement{}, undone: map[string]bool{},
				manual: map[string]bool{},
			}
			steps := []func(*rapid.T) error{
				m.post, m.post, m.post, m.post, m.charge, m.payTill, m.refundTill, m.money, m.money, m.money, m.reverse,
				m.collectOpen, m.collectSome, m.undo, m.hold, m.putWallet, m.followSome, m.followSome, m.followSome,
			}
			for range rapid.IntRange(4, 24).Draw(rt, "steps") {
				outcomes[rapid.SampledFrom(steps).Draw(rt, "step")(rt)]++
			}
			m.compare(rt)
			for len(m.queue) > 0 {
				if err := m.followSome(rt); err != nil {
					rt.Fatal(err)
				}
			}
			m.compare(rt)
			for _, s := range m.spendings {
				if s.givenBack {
					given++
				}
			}
			for _, o := range m.owed {
				if o.short {
					short++
				}
				if o.cents > 0 && m.rest(o) == 0 {
					again++
				}
			}
			if run%25 == 0 {
				sound(t, b)
			}
		})
		for _, want := range []error{nil, billing.ErrConflict, billing.ErrNotFound} {
			if outcomes[want] == 0 {
				t.Errorf("%v never happened: %v", want, outcomes)
			}
		}
		if given == 0 || short == 0 || again == 0 {
			t.Errorf("%d given back, %d short, %d paid: the runs show too little", given, short, again)
		}
	}},
}
