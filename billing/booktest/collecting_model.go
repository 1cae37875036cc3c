package booktest

import (
	"cmp"
	"context"
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
