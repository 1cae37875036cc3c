package month

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/payment"
	"freeflow/loadtest/month/reckon"
	"freeflow/loadtest/oracle"
	"freeflow/tolling/governance"
)

// sums are what somebody owes and has paid.
type sums struct {
	tolls, surcharges, fees, paid int64
	// least is the smallest rest that is still open, of what is not held.
	least int64
}

func (s *sums) owed() int64 { return s.tolls + s.surcharges + s.fees }

// check compares everything, once the script is over.
func (w *world) check(ctx context.Context) error {
	if len(w.acts) > 0 {
		w.report.wrong("%d things of the script were not done: their instants are not in it", len(w.acts))
	}
	// The last day of the ledger is closed too.
	w.clock.Set(w.day(w.days + w.settles).Add(endAfter))
	if err := w.everyJob(ctx); err != nil {
		return err
	}
	w.ladder.End = w.clock.Now()
	for _, one := range []struct {
		part string
		run  func(context.Context) error
	}{
		{"comparing with the oracle", w.compare}, {"comparing with the bank", w.compareBank}, {"comparing statements", w.papers}, {"comparing settlements", w.settlements},
		{"verifying", w.verify}, {"verifying the audit trail", w.verifyTrail},
		{"running every job again", w.again},
	} {
		fmt.Fprintln(w.progress, one.part)
		if err := w.timed(one.part, func() error { return one.run(ctx) }); err != nil {
			return err
		}
	}
	for what, n := range w.counts {
		w.report.count(what, n)
	}
	w.report.count("processes that died and were built anew", w.died.n.Load())
	w.report.count("batches refused since another process was first", w.fenced.n.Load())
	w.report.count("flags raised by ourselves", w.flagged.n.Load())
	w.report.count("forged or outdated notices of the bank refused", w.bank.refused.Load())
	for _, part := range w.parts {
		w.report.Took = append(w.report.Took, Part{part, w.took[part]})
	}
	return nil
}

// judged are the passes as the oracle has them.
func (w *world) judged(net oracle.Network) ([]oracle.Row, error) {
	var rows []oracle.Assignment
	for _, v := range w.cast.cars {
		if v.plate != "" && v.story != stranger {
			rows = append(rows, v.rows()...)
		}
	}
	for _, p := range w.cast.people {
		if p.tag != "" {
			rows = append(rows, oracle.Assignment{Account: p.id, Tag: p.tag, Class: "lgv", FromMicros: p.openedAt().UnixMicro()})
		}
	}
	return oracle.New(net, rows).Rows(w.reads)
}

// expect says what everybody must owe, and have paid if the oracle can say it,
// by account or, without one, by vehicle.
func (w *world) expect() (map[string]*sums, error) {
	net, err := oracle.HongKong()
	if err != nil {
		return nil, err
	}
	passes, err := w.judged(net)
	if err != nil {
		return nil, fmt.Errorf("the oracle: %w", err)
	}
	w.report.checked("passes", int64(len(passes)))
	want := map[string]*sums{}
	of := func(who string) *sums {
		if want[who] == nil {
			want[who] = &sums{}
		}
		return want[who]
	}
	habits := map[string]reckon.Habit{}
	for _, p := range w.cast.strangers {
		habits[vehicleName(p.cars[0])] = p.habit
	}
	for _, row := range passes {
		if row.Status != oracle.Charged && row.Status != oracle.Unpaid {
			w.counts["passes that owe nothing"]++
			continue
		}
		who, habit := row.Account, habits[row.Vehicle]
		if who == "" {
			who = row.Vehicle
		} else {
			habit = w.cast.byID[who].habit
		}
		s := of(who)
		key := passKey(row.TollPoint, row.FirstMicros)
		if r, ruled := w.rulings[key]; ruled {
			if r.exempt {
				w.counts["tolls taken back"]++
				continue
			}
			if row.Cents, ruled = net.Toll(row.TollPoint[:strings.LastIndexByte(row.TollPoint, '-')], r.class, time.UnixMicro(row.FirstMicros)); !ruled {
				return nil, fmt.Errorf("the oracle has no toll for class %s", r.class)
			}
		}
		t := reckon.Toll{
			Account: row.Account, Vehicle: row.Vehicle, Cents: row.Cents, Occurred: time.UnixMicro(row.FirstMicros),
			Posted: w.posted[key],
		}
		if row.Account != "" && w.isMistaken(t.Occurred, row.TollPoint) {
			t.Posted = w.rerated // another amount is another debt
		}
		c := w.ladder.Climb(t, habit, nil)
		s.tolls += row.Cents
		s.surcharges += c.SurchargeCents
		if c.Paid {
			s.paid += row.Cents + c.SurchargeCents
		}
		w.lines[who] = append(w.lines[who], fmt.Sprintf("%s %s %s: %d, posted %s, %+v", w.local(t.Occurred), row.TollPoint, row.Class, row.Cents, w.local(t.Posted), c))
		if !habit.Pays {
			w.counts[fmt.Sprintf("unpaid tolls that reached rung %d", c.Rung)]++
		}
	}
	for _, b := range w.bills {
		s := of(b.account)
		s.fees += b.cents
		s.paid += b.cents
	}
	return want, nil
}

// found reads what everybody owes and has paid from the product's receivables.
func (w *world) found(ctx context.Context) (map[string]*sums, error) {
	got := map[string]*sums{}
	f := billing.ReceivableFilter{Limit: 5000}
	for {
		var list []billing.Receivable
		err := w.sets[0].books.View(ctx, func(tx *books.Tx) (err error) {
			list, err = tx.Receivables(ctx, f)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			who := r.Account
			if who == "" {
				who = r.Vehicle
			}
			s := got[who]
			if s == nil {
				s = &sums{}
				got[who] = s
			}
			switch r.Kind {
			case billing.ReceivableToll:
				s.tolls += r.AmountCents
			case "surcharge":
				s.surcharges += r.AmountCents
			default:
				s.fees += r.AmountCents
			}
			s.paid += r.PaidCents
			w.paidOf[r.Creditor] += r.PaidCents
			if rest := r.RestCents(); rest > 0 && r.Hold == "" && (s.least == 0 || rest < s.least) {
				s.least = rest
			}
		}
		w.counts["receivables"] += int64(len(list))
		if len(list) < f.Limit {
			return got, nil
		}
		last := list[len(list)-1]
		f.AfterMicros, f.AfterID = last.OccurredMicros, last.ID
	}
}

// compare holds every account, and every vehicle that is nobody's, against the
// oracle.
func (w *world) compare(ctx context.Context) error {
	want, err := w.expect()
	if err != nil {
		return err
	}
	got, err := w.found(ctx)
	if err != nil {
		return err
	}
	none := &sums{}
	for who := range got {
		if want[who] == nil {
			want[who] = none
		}
	}
	for _, p := range w.cast.people {
		if want[p.id] == nil {
			want[p.id] = none
		}
	}
	for who, must := range want {
		is := got[who]
		if is == nil {
			is = none
		}
		if must.tolls != is.tolls || must.surcharges != is.surcharges || must.fees != is.fees {
			w.report.wrong("%s: owes tolls %d, surcharges %d, fees %d; must be %d, %d, %d", who, is.tolls, is.surcharges, is.fees, must.tolls, must.surcharges, must.fees)
			if err := w.explain(ctx, who); err != nil {
				return err
			}
			continue
		}
		p := w.cast.byID[who]
		if p == nil {
			if must.paid != is.paid {
				w.report.wrong("%s: of %d owed %d is paid; must be %d", who, must.owed(), is.paid, must.paid)
				if err := w.explain(ctx, who); err != nil {
					return err
				}
			}
			continue
		}
		if err := w.compareAccount(ctx, p, must, is); err != nil {
			return err
		}
	}
	w.report.checked("accounts and vehicles, to the cent", int64(len(want)))
	return nil
}

// compareAccount compares what an account has paid and holds.
func (w *world) compareAccount(ctx context.Context, p *person, must, is *sums) error {
	holders := []string{p.id}
	if p.tag != "" {
		holders = append(holders, billing.HolderTag+p.tag)
	}
	var held, open int64
	err := w.sets[0].books.View(ctx, func(tx *books.Tx) error {
		held, open = 0, 0
		for _, holder := range holders {
			wallet, err := tx.Wallet(ctx, holder, currency)
			if err != nil {
				return err
			}
			held += wallet.BalanceCents
			if holder == p.id {
				w.endHeld[p.id] = wallet.BalanceCents
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	balances, err := w.sets[0].books.Balances(ctx, []string{billing.MotoristPrefix + p.id})
	if err != nil {
		return err
	}
	for _, b := range balances {
		open += b.AmountCents
	}
	if open != is.owed()-is.paid {
		w.report.wrong("%s: the ledger has %d open, receivables %d", p.id, open, is.owed()-is.paid)
	}
	w.endOwed[p.id] = open
	short := p.way == ownMoney || p.way == classTag || p.uneven
	switch {
	case !short && is.paid != must.paid:
		w.report.wrong("%s (way %d, %s): of %d owed %d is paid; must be %d", p.id, p.way, p.kind, is.owed(), is.paid, must.paid)
		return w.explain(ctx, p.id)
	case short && is.least > 0 && held >= is.least:
		w.report.wrong("%s: holds %d, and %d is open", p.id, held, is.least)
	}
	// What is paid by number comes from wallets of its own, wholly spent.
	if in := w.bank.took(p) + p.counterOf(); in != is.paid+held {
		w.report.wrong("%s (way %d): brought %d; paid %d and holds %d", p.id, p.way, in, is.paid, held)
		if err := w.explainPayments(ctx, p); err != nil {
			return err
		}
	}
	if !p.closes.IsZero() && held != 0 {
		w.report.wrong("%s: is closed and holds %d", p.id, held)
	}
	return nil
}

// compareBank holds the ledger's cash against the bank's own books, and looks
// that nothing is unknown any more.
func (w *world) compareBank(ctx context.Context) error {
	cash := func(means ...string) (sum int64, err error) {
		codes := make([]string, len(means))
		for i, m := range means {
			codes[i] = billing.CashPrefix + m
		}
		balances, err := w.sets[0].books.Balances(ctx, codes)
		for _, b := range balances {
			sum += b.AmountCents
		}
		return sum, err
	}
	ours, err := cash("card", "bank", "fps", "stored-value")
	if err != nil {
		return err
	}
	totals := w.bank.emulator.Totals(currency)
	if theirs := totals.TakenCents - totals.GivenCents; ours != theirs {
		w.report.wrong("the ledger has %d of the bank, which took %d and gave %d, so %d", ours, totals.TakenCents, totals.GivenCents, theirs)
	}
	var counter int64
	for _, p := range w.cast.people {
		counter += p.counterOf()
	}
	at, err := cash("counter")
	if err == nil && at != counter {
		w.report.wrong("the ledger has %d over the counter, which took %d", at, counter)
	}
	if err != nil {
		return err
	}
	w.report.checked("charges of the bank", int64(totals.Charges))
	return w.settled(ctx)
}

// settled looks at every attempt: its outcome is known, and is the bank's.
func (w *world) settled(ctx context.Context) error {
	f := payment.Filter{Limit: 1000}
	known := map[string]bool{}
	// moved is what came under each reference of the bank, a second time too.
	moved, told := map[string]int64{}, map[string]string{}
	for {
		list, err := w.sets[0].pay.List(ctx, f)
		if err != nil {
			return err
		}
		for _, a := range list {
			f.AfterAt, f.AfterID = a.CreatedAt, a.ID
			known[a.ID] = true
			if a.Kind == payment.Charge && a.State == payment.Succeeded {
				moved[cmp.Or(a.Source, a.ID)] += a.MovedCents
				told[a.ID] = fmt.Sprintf("for %s of %s, account %q, settled %s by %s", a.Purpose, w.local(a.CreatedAt), a.Account, w.local(a.SettledAt), a.How)
			}
			taken := w.bank.emulator.Taken(a.ID)
			switch {
			case a.Live():
				w.report.wrong("payment %s for %s is %s still, asked %d times", a.ID, a.Purpose, a.State, a.Queries)
			case a.Kind == payment.Charge && a.Source == "" && a.State == payment.Failed && taken != 0,
				a.Kind == payment.Charge && a.Source == "" && a.State == payment.Succeeded && taken == 0:
				w.report.wrong("payment %s for %s of %s is %s by %s (%s), and the bank took %d", a.ID, a.Purpose, w.local(a.CreatedAt), a.State, a.How, a.Reason, taken)
			case a.Kind == payment.Await && a.State == payment.Failed:
				if o, err := w.bank.client.Query(ctx, a.Bill); err == nil && o.Result == payment.ResultSucceeded {
					w.report.wrong("payment %s for %s of %s is failed by %s (%s), and its payer sent %d", a.ID, a.Purpose, w.local(a.CreatedAt), a.How, a.Reason, o.AmountCents)
				}
			case (a.Kind == payment.Refund || a.Kind == payment.Payout) && a.State == payment.Succeeded != (taken != 0):
				w.report.wrong("%s %s for %s of %s is %s by %s (%s), and the bank gave %d", a.Kind, a.ID, a.Purpose, w.local(a.CreatedAt), a.State, a.How, a.Reason, taken)
			case a.Source != "" && a.Kind == payment.Charge:
				w.counts["payments that the bank took twice"]++
			}
		}
		if len(list) < f.Limit {
			break
		}
	}
	for _, reference := range w.bank.emulator.References() {
		if !known[reference] {
			w.report.wrong("the bank was asked for %s, which nobody here knows", reference)
		}
	}
	for reference, cents := range moved {
		if taken := w.bank.emulator.Taken(reference); taken != cents {
			w.report.wrong("payment %s (%s) brought %d, and the bank took %d", reference, told[reference], cents, taken)
		}
	}
	w.report.checked("payments, with the bank", int64(len(known)))
	return nil
}

// verify proves the invariants as freeflow verify does.
func (w *world) verify(ctx context.Context) error {
	checks, err := w.sets[0].books.Verify(ctx)
	if err != nil {
		return err
	}
	var rows int64
	for _, c := range checks {
		rows += c.Rows
		for _, v := range c.Violations {
			w.report.wrong("%s: %s", v.Invariant, v.Detail)
		}
	}
	if chain, err := w.office.chain(ctx, &governance.Chain{}); err != nil || chain.Len() != w.office.live.Chain().Len() {
		w.report.wrong("the published tolls do not verify: %v", err)
	}
	w.report.checked("invariants of the books", int64(len(checks)))
	w.report.checked("rows under them", rows)
	return nil
}

// endAfter is when, after the last midnight, the script ends.
const endAfter = 3 * time.Hour

// everyJob runs every job of the product, in every process.
func (w *world) everyJob(ctx context.Context) error {
	for _, run := range []func(context.Context) error{
		w.judge,
		func(ctx context.Context) error { return w.job(ctx, "matching", w.match) },
		func(ctx context.Context) error {
			return w.job(ctx, "rating anew", func(ctx context.Context, s *services) error {
				_, err := s.teller.Once(ctx)
				return errors.Join(err, w.rerater(s).Once(ctx))
			})
		},
		w.follow, w.judgeDisputes, w.climb, w.follow,
		func(ctx context.Context) error { return w.pays(ctx, 12) },
		w.keepBooks,
	} {
		if err := run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// follow collects.
func (w *world) follow(ctx context.Context) error {
	return w.job(ctx, "collecting", func(ctx context.Context, s *services) error { return s.collect.CatchUp(ctx) })
}

// again runs every job once more, and looks that nothing changed.
func (w *world) again(ctx context.Context) error {
	w.Crashes = 0
	// Who looked at statements is to be chained first.
	if err := w.everyJob(ctx); err != nil {
		return err
	}
	before, err := digest(ctx, w.Database)
	if err != nil {
		return err
	}
	for range 2 {
		if err := w.everyJob(ctx); err != nil {
			return err
		}
	}
	after, err := digest(ctx, w.Database)
	if err != nil {
		return err
	}
	tables := make([]string, 0, len(before))
	var rows int64
	for table := range before {
		tables = append(tables, table)
		rows += before[table].rows
	}
	slices.Sort(tables)
	for _, table := range tables {
		if before[table] != after[table] {
			w.report.wrong("running every job again changed %s: %d rows before, %d after", table, before[table].rows, after[table].rows)
		}
	}
	w.report.checked("tables that running every job again left as they were: "+strings.Join(tables[:min(3, len(tables))], ", ")+", ...", int64(len(tables)))
	w.report.checked("rows in them", rows)
	return nil
}
