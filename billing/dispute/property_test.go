package dispute_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/internal/clock"
)

// TestTwoProcesses: two decide, open, scan and work at once; one wins each time,
// and nothing is given back twice.
func TestTwoProcesses(t *testing.T) { testTwoProcesses(t, sqliteURL(t)) }

func testTwoProcesses(t *testing.T, url string) {
	r := newRoad(t, url)
	store, err := books.Open(context.Background(), url, books.Options{Clock: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	second, secondFlags := r.process(store)
	r.put(100_000)
	ids := make([]string, 8)
	for n := range ids {
		ids[n] = r.pass(n+1, "CHT-N", seconds(1+2*n, 0, 0).AddDate(0, 0, -2*n), nil)
	}
	for _, id := range ids {
		opened := r.both(store, func(s *dispute.Service, tx *books.Tx, by string) error {
			_, err := s.Open(context.Background(), tx, dispute.Opening{Receivable: id, Reason: dispute.Other, Text: by, Origin: dispute.Staff}, r.deed(by))
			return err
		}, r.service, second)
		if opened != 1 {
			t.Fatalf("%d opened a dispute of one charge", opened)
		}
	}
	for _, d := range r.queue() {
		decided := r.both(store, func(s *dispute.Service, tx *books.Tx, by string) error {
			ruling := exempt("goodwill")
			if by == "second" {
				ruling = dispute.Ruling{Outcome: dispute.Partly, Code: "goodwill", Act: dispute.Reduce, AmountCents: 1000, Note: "x"}
			}
			ruling.Words = "x"
			_, err := s.Decide(context.Background(), tx, d.Reference, d.Revision, ruling, r.deed(by))
			return err
		}, r.service, second)
		if decided != 1 {
			t.Fatalf("%d decided one dispute", decided)
		}
	}
	r.follow()
	owed := int64(0)
	for n := range ids {
		owed += r.passOf(n + 1).AmountCents
	}
	if got := r.wallet("A"); got != 100_000-owed {
		t.Errorf("%d is owed, the wallet holds %d", owed, got)
	}
	// Both scan the same postings.
	r.pass(21, "F1-N", seconds(8, 0, 0), nil)
	r.pass(22, "F1-N", seconds(8, 1, 0), nil)
	r.clock.Set(r.clock.Now().Add(time.Hour))
	var group sync.WaitGroup
	raised := make([]int, 2)
	for i, flags := range []*dispute.Flags{r.flags, secondFlags} {
		group.Go(func() {
			_, n, err := flags.Scan(context.Background(), 100)
			if err != nil {
				t.Error(err)
			}
			raised[i] = n
		})
	}
	group.Wait()
	if raised[0]+raised[1] != 1 {
		t.Errorf("the flag was raised %v times", raised)
	}
	r.follow()
	for _, s := range []*dispute.Service{r.service, second} {
		group.Go(func() {
			for range 3 {
				if _, err := s.Work(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	r.verify()
}

// both does something in two processes at once, and counts how many did not
// meet a conflict.
func (r *road) both(store *books.Store, fn func(s *dispute.Service, tx *books.Tx, by string) error, first, second *dispute.Service) int {
	r.t.Helper()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		done  int
	)
	for i, s := range []*dispute.Service{first, second} {
		group.Go(func() {
			b, by := r.books, "first"
			if i == 1 {
				b, by = store, "second"
			}
			err := b.Do(context.Background(), func(tx *books.Tx) error { return fn(s, tx, by) })
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
			} else if !errors.Is(err, billing.ErrConflict) {
				r.t.Error(err)
			}
		})
	}
	group.Wait()
	return done
}

// TestQueries asks every list with every filter, on both engines.
func TestQueries(t *testing.T) { testQueries(t, sqliteURL(t)) }

func testQueries(t *testing.T, url string) {
	r := newRoad(t, url)
	id := r.pass(1, "CHT-N", at(11, 25, 9, 0), func(p *billing.Pass) { p.Marks = []string{"plate:XY9"} })
	d := r.mustOpen(id, dispute.NotMine, "")
	full := dispute.Filter{
		State: dispute.Opened, Reason: dispute.NotMine, Origin: dispute.Motorist, Account: "A", Receivable: id, Open: true, OverdueOn: d.DueDay + 1,
		After: dispute.Place{DueDay: d.DueDay, AmountCents: d.AmountCents + 1, Reference: "0"}, Limit: 10,
	}
	r.do(func(ctx context.Context, tx *books.Tx) error {
		list, err := tx.Disputes(ctx, full)
		if len(list) != 1 {
			t.Errorf("the filter finds %v, %v", list, err)
		}
		carriers, err2 := tx.CarriersNear(ctx, "plate:XY9", "CHT", 0, 1<<60, 10)
		at, err3 := tx.PassesAt(ctx, "CHT-N", 0, 1<<60, 10)
		near, err4 := tx.PassesNear(ctx, "plate:XY1", 0, 1<<60, 10)
		if len(carriers) != 1 || len(at) != 1 || len(near) != 1 || near[0].Marks[0] != "plate:XY9" {
			t.Errorf("near are %v, %v, %v", carriers, at, near)
		}
		_, err5 := tx.Flags(ctx, dispute.Twice, r.clock.Now(), "x", 1)
		known, err6 := tx.KnowsAccount(ctx, "A")
		if known {
			t.Error("an account is known that is nowhere")
		}
		gone, err7 := tx.FlaggedGone(ctx, r.clock.Now(), 10)
		if len(gone) != 0 {
			t.Errorf("gone are %v", gone)
		}
		return errors.Join(err, err2, err3, err4, err5, err6, err7)
	})
	r.work()
}

// TestRandom: disputes, payments, late reads, re-rates, flags and rulings in any
// order. At the end the books hold, what a person decided stands, and no wallet
// got back what it did not pay.
func TestRandom(t *testing.T) {
	seed := uint64(clock.System{}.Now().UnixNano())
	for n := range uint64(3) {
		t.Run(fmt.Sprint(seed+n), func(t *testing.T) { random(t, sqliteURL(t), seed+n, 150) })
	}
}

// world is what the property test remembers beside the books.
type world struct {
	*road
	rnd *rand.Rand
	// passes counts the passes; decided is what rulings made of them, by number.
	passes  int
	decided map[int]int64
	// in is what was brought into each wallet.
	in map[string]int64
}

var points = []string{"CHT-N", "CHT-S", "EHC-N", "TLT-S"}

func random(t *testing.T, url string, seed uint64, steps int) {
	w := &world{road: newRoad(t, url), rnd: rand.New(rand.NewPCG(seed, 1)), decided: map[int]int64{}, in: map[string]int64{}}
	t.Logf("seed %d", seed)
	w.service.Rules.ApproveAboveCents = 2500
	if _, err := w.books.PutRegistry(context.Background(), []billing.Assignment{{Account: "A", Plate: "A1", Class: "taxi"}, {Account: "B", Plate: "B1", Class: "taxi"}}, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	acts := []func(){
		w.drive, w.drive, w.drive, w.drive, w.pay, w.pay, w.say, w.say, w.say, w.say, w.rule, w.rule, w.rule, w.rule, w.rule, w.rule, w.rule,
		w.late, w.rerate, w.rerate, w.job, w.withdraw,
	}
	for range steps {
		w.clock.Set(w.clock.Now().Add(time.Duration(w.rnd.IntN(5)) * time.Minute))
		acts[w.rnd.IntN(len(acts))]()
	}
	for _, d := range w.queue() {
		if d.State == dispute.Approval {
			w.may(w.approve(d.Reference, "zoe", w.rnd.IntN(2) == 0))
			w.note(d)
		}
	}
	w.job()
	w.follow()
	w.job()
	w.verify()
	w.check()
	t.Logf("%d passes, %d decided, %d open, %v given back", w.passes, len(w.decided), len(w.queue()), w.refunds.given)
}

// may fails for what is no refusal.
func (w *world) may(err error) {
	w.t.Helper()
	if err != nil && !errors.Is(err, billing.ErrConflict) && !errors.Is(err, billing.ErrInvalid) {
		w.t.Fatal(err)
	}
}

func (w *world) some() int {
	if w.passes == 0 {
		w.drive()
	}
	return 1 + w.rnd.IntN(w.passes)
}

func (w *world) drive() {
	w.passes++
	at := w.clock.Now().Add(-time.Duration(w.passes) * time.Second)
	w.pass(w.passes, points[w.rnd.IntN(len(points))], at, func(p *billing.Pass) {
		p.Vehicle, p.Account = fmt.Sprintf("plate:V%d", w.rnd.IntN(3)), []string{"A", "B"}[w.rnd.IntN(2)]
		if w.rnd.IntN(5) == 0 {
			p.Account, p.Status = "", billing.StatusUnpaid
		}
	})
}

func (w *world) pay() {
	holder, cents := []string{"A", "B"}[w.rnd.IntN(2)], int64(1+w.rnd.IntN(9))*1000+int64(len(w.in))+int64(w.passes)*7
	if w.in[holder]%cents == 0 && w.in[holder] > 0 {
		return
	}
	err := w.try(func(ctx context.Context, tx *books.Tx) error {
		_, err := tx.Move(ctx, billing.Movement{
			ID: fmt.Sprintf("in:%s:%d", holder, w.in[holder]), Kind: billing.Receipt, Holder: holder, Means: "card", AmountCents: cents, Currency: "HKD", At: w.clock.Now(),
		}, w.clock.Now())
		if err == nil {
			_, err = tx.CollectOpen(ctx, holder, "HKD", 100, w.clock.Now())
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.in[holder] += cents
}

func (w *world) say() {
	reasons := dispute.Reasons()
	n := w.some()
	w.may(w.try(func(ctx context.Context, tx *books.Tx) error {
		_, err := w.service.Open(ctx, tx, dispute.Opening{
			Receivable: "pass:" + passID(n), Reason: reasons[w.rnd.IntN(len(reasons))], Text: fmt.Sprint("said ", w.rnd.IntN(100)), Origin: dispute.Motorist, Refund: w.rnd.IntN(2) == 0,
		}, w.deed("motorist"))
		return err
	}))
}

// rule decides or approves a dispute, as one of three people.
func (w *world) rule() {
	open := w.queue()
	if len(open) == 0 {
		return
	}
	d := open[w.rnd.IntN(len(open))]
	by := []string{"amy", "bob", "cho"}[w.rnd.IntN(3)]
	if d.State == dispute.Approval {
		w.may(w.approve(d.Reference, by, w.rnd.IntN(3) > 0))
		w.note(d)
		return
	}
	_, err := w.decide(d.Reference, by, []dispute.Ruling{
		exempt("goodwill"), rejected(),
		{Outcome: dispute.Upheld, Code: "class-corrected", Act: dispute.Rate, Class: "taxi"},
		{Outcome: dispute.Upheld, Code: "another-vehicle", Act: dispute.Reassign, Account: []string{"", "A", "B"}[w.rnd.IntN(3)]},
		{Outcome: dispute.Partly, Code: "goodwill", Act: dispute.Reduce, AmountCents: int64(1 + w.rnd.IntN(3500)), Note: "x"},
		{Outcome: dispute.Upheld, Code: "paid-before", Act: dispute.None, Note: "elsewhere"},
	}[w.rnd.IntN(6)])
	w.may(err)
	w.note(d)
}

// note remembers what a ruling that took effect made of a pass.
func (w *world) note(d dispute.Dispute) {
	d = w.get(d.Reference)
	if d.State != dispute.Upheld && d.State != dispute.Partly || d.Ruling.Act == dispute.None {
		return
	}
	var n int
	if _, err := fmt.Sscanf(d.Receivable, "pass:%x", &n); err != nil {
		w.t.Fatal(err)
	}
	w.decided[n] = w.passOf(n).AmountCents
}

// late is a late read that only lengthens a pass, or changes one that nobody
// decided.
func (w *world) late() {
	n := w.some()
	p := w.passOf(n)
	p.Revision++
	p.LastMicros++
	if p.Decision == nil && w.rnd.IntN(2) == 0 {
		p.Class, p.AmountCents = "taxi", 2000
	}
	p.Decision = nil
	w.post(p)
}

// rerate rates passes anew that nobody decided, as after a mistake in the tariff.
func (w *world) rerate() {
	n := w.some()
	cents := int64(1000 + w.rnd.IntN(3000))
	p := w.passOf(n)
	if p.Decision != nil || p.AmountCents == 0 {
		return
	}
	err := w.books.Restate(context.Background(), billing.Restatement{
		Facility: p.Facility, PostedAt: w.clock.Now(), DoneMicros: -1, OnlyMoney: true,
		Decide: func(ctx context.Context, v billing.View) (billing.Restated, error) {
			list, err := v.ByID(ctx, []string{p.ID})
			if err != nil || list[0].Decision != nil {
				return billing.Restated{}, err
			}
			list[0].Revision++
			list[0].AmountCents, list[0].Rule = cents, "again"
			return billing.Restated{Passes: list}, nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.rnd.IntN(2) == 0 {
		w.follow()
	}
}

func (w *world) job() {
	w.work()
	w.clock.Set(w.clock.Now().Add(3 * time.Minute))
	for {
		n, _, err := w.flags.Scan(context.Background(), 10)
		if err != nil {
			w.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func (w *world) withdraw() {
	if open := w.queue(); len(open) > 0 {
		w.may(w.try(func(ctx context.Context, tx *books.Tx) error {
			_, err := w.service.Withdraw(ctx, tx, open[w.rnd.IntN(len(open))].Reference, "", w.deed("amy"))
			return err
		}))
	}
}

// check compares the books with what is remembered.
func (w *world) check() {
	for n, cents := range w.decided {
		if p := w.passOf(n); p.AmountCents != cents || p.Decision == nil {
			w.t.Errorf("pass %d was decided to owe %d, and owes %d", n, cents, p.AmountCents)
		}
	}
	// What came in is in the wallet, pays what stands, or was sent back: no more.
	paid := map[string]int64{}
	w.do(func(ctx context.Context, tx *books.Tx) error {
		for n := 1; n <= w.passes; n++ {
			made, err := tx.Collections(ctx, "pass:"+passID(n))
			if err != nil {
				return err
			}
			standing := int64(0)
			for _, c := range made {
				if c.ReversedAt.IsZero() {
					standing += c.AmountCents
					paid[c.Holder] += c.AmountCents
				}
			}
			if owed := w.passOf(n).AmountCents; standing > owed {
				w.t.Errorf("%d is paid for pass %d, which owes %d", standing, n, owed)
			}
		}
		return nil
	})
	for _, holder := range []string{"A", "B"} {
		if got := w.wallet(holder) + paid[holder] + w.refunds.given[holder]; got != w.in[holder] {
			w.t.Errorf("%s brought %d; %d is accounted for", holder, w.in[holder], got)
		}
	}
}
