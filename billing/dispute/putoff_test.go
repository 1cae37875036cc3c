package dispute_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/internal/database"
)

var errPoison = errors.New("poisoned")

// poison is a transaction in which one dispute cannot be locked, and one
// vehicle's passes cannot be read; empty names poison nothing.
type poison struct {
	*books.Tx
	dispute, vehicle string
}

func (p poison) LockDispute(ctx context.Context, reference string) (dispute.Dispute, error) {
	if reference == p.dispute {
		return dispute.Dispute{}, errPoison
	}
	return p.Tx.LockDispute(ctx, reference)
}

func (p poison) PassesNear(ctx context.Context, vehicle string, from, to int64, limit int) ([]dispute.Seen, error) {
	if vehicle == p.vehicle {
		return nil, errPoison
	}
	return p.Tx.PassesNear(ctx, vehicle, from, to, limit)
}

// poisoned makes the service meet a poisoned item until it is mended.
func (r *road) poisoned(reference, vehicle string) (mend func(), failures *atomic.Int64) {
	was := r.service.Keeping
	r.service.Keeping = books.Keep[dispute.Tx]{Store: r.books, As: func(tx *books.Tx) dispute.Tx { return poison{tx, reference, vehicle} }}
	failures = new(atomic.Int64)
	r.service.Failed = func(string) { failures.Add(1) }
	return func() { r.service.Keeping = was }, failures
}

// TestOneFailingItemStopsNoOther: of every kind of work, what cannot be done is
// put off and told, and its neighbours are done; when it can be done, it is.
func TestOneFailingItemStopsNoOther(t *testing.T) {
	// Each makes three disputes of which something is due, and tells what is done.
	open := func(r *road) (refs []string) {
		for n := 1; n <= 3; n++ {
			refs = append(refs, r.mustOpen(r.pass(n, "CHT-N", at(11, 25, n, 0).AddDate(0, 0, -2*n), nil), dispute.Other, "wrong").Reference)
		}
		return refs
	}
	for name, tc := range map[string]struct {
		job  string
		make func(r *road) []string
		done func(r *road, reference string) bool
	}{
		"evidence": {dispute.JobGather, open, func(r *road, reference string) bool { return r.evidence(reference) == 1 }},
		"holds": {dispute.JobHold, func(r *road) (refs []string) {
			r.service.Gatherer = nil
			for _, id := range []string{"1", "2", "3"} {
				r.do(func(ctx context.Context, tx *books.Tx) error {
					_, err := tx.PostCharge(ctx, billing.Charge{ID: id, Kind: "fee", Revision: 1, Account: "A", Creditor: "X", AmountCents: 500, Currency: "HKD", OccurredMicros: 1}, r.clock.Now())
					return err
				})
				refs = append(refs, r.mustOpen("charge:"+id, dispute.Other, "wrong").Reference)
			}
			r.follow()
			return refs
		}, func(r *road, reference string) bool {
			return r.receivable(r.get(reference).Receivable).Hold == "dispute:"+reference
		}},
		"last days": {dispute.JobDue, func(r *road) []string {
			r.service.Gatherer = nil
			was := r.service.Ladder.Calendar.Holidays
			r.service.Ladder.Calendar.Holidays = nowhere{}
			defer func() { r.service.Ladder.Calendar.Holidays = was }()
			return open(r)
		}, func(r *road, reference string) bool { return r.get(reference).DueDay != 0 }},
		"cases gone away": {dispute.JobGone, func(r *road) (refs []string) {
			r.service.Gatherer = nil
			for n := range 3 {
				vehicle := func(p *billing.Pass) { p.Vehicle = "plate:G" + string(rune('1'+n)) }
				r.pass(2*n+1, "TSCA-N", seconds(9, 0, 0), vehicle)
				r.pass(2*n+2, "TSCA-S", seconds(9, 1, 0), vehicle)
			}
			for _, f := range r.scan() {
				refs = append(refs, f.Reference)
			}
			for n := range 3 {
				p := r.passOf(2*n + 2)
				p.Revision, p.Status, p.AmountCents, p.Reasons = 2, billing.StatusReview, 0, "turn-round"
				r.post(p)
			}
			return refs
		}, func(r *road, reference string) bool { return r.get(reference).State == dispute.Withdrawn }},
		"alarms": {dispute.JobAlarm, func(r *road) []string {
			r.service.Gatherer = nil
			refs := open(r)
			r.clock.Set(at(12, 4, 0, 1))
			return refs
		}, func(r *road, reference string) bool { return r.get(reference).Overdue }},
		"refunds": {dispute.JobRefund, func(r *road) (refs []string) {
			r.service.Gatherer = nil
			r.put(10_000)
			for n := 1; n <= 3; n++ {
				id := r.pass(n, "CHT-N", at(11, 25, n, 0).AddDate(0, 0, -2*n), nil)
				r.do(func(ctx context.Context, tx *books.Tx) error {
					d, err := r.service.Open(ctx, tx, dispute.Opening{Receivable: id, Reason: dispute.NotMine, Origin: dispute.Motorist, Account: "A", Refund: true}, r.deed("A"))
					refs = append(refs, d.Reference)
					return err
				})
				r.mustDecide(refs[n-1], "amy", exempt("another-vehicle"))
			}
			return refs
		}, func(r *road, reference string) bool { return r.get(reference).Refund == dispute.RefundOrdered }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoad(t, sqliteURL(t))
			refs := tc.make(r)
			if len(refs) != 3 {
				t.Fatalf("there are %d items", len(refs))
			}
			// The first in every list is the one that fails.
			bad := refs[0]
			mend, failures := r.poisoned(bad, "")
			if _, err := r.service.Work(context.Background()); !errors.Is(err, errPoison) || !strings.Contains(err.Error(), bad) {
				t.Errorf("work says %v", err)
			}
			for _, reference := range refs {
				if got, want := tc.done(r, reference), reference != bad; got != want {
					t.Errorf("done is %v for %s, want %v (%s is poisoned)", got, reference, want, bad)
				}
			}
			if failures.Load() != 1 || r.waiting(tc.job) != 1 {
				t.Errorf("%d failed, %d wait", failures.Load(), r.waiting(tc.job))
			}
			// It is left alone until its time comes, and tried again then.
			if _, err := r.service.Work(context.Background()); err != nil {
				t.Errorf("it was tried again at once: %v", err)
			}
			r.clock.Advance(billing.PutOffPause(1))
			if _, err := r.service.Work(context.Background()); !errors.Is(err, errPoison) || failures.Load() != 2 {
				t.Errorf("it was not tried again: %v", err)
			}
			mend()
			r.clock.Advance(billing.PutOffPause(2))
			r.work()
			if !tc.done(r, bad) {
				t.Error("mended, it is not done")
			}
			r.verify()
		})
	}
}

// nowhere is a calendar that reaches nowhere.
type nowhere struct{}

func (nowhere) Holiday(time.Time) (bool, error) { return false, errors.New("no calendar") }

func (r *road) evidence(reference string) (n int) {
	r.t.Helper()
	r.do(func(ctx context.Context, tx *books.Tx) error {
		list, err := tx.EvidenceOf(ctx, reference)
		n = len(list)
		return err
	})
	return n
}

func (r *road) waiting(job string) (n int64) {
	r.t.Helper()
	r.do(func(ctx context.Context, tx *books.Tx) (err error) {
		n, err = tx.CountPutOff(ctx, job)
		return err
	})
	return n
}

// TestFlagsGoOn: a pass that cannot be looked at, and a posting that cannot be
// read, stop no other; they are looked at when they can be.
func TestFlagsGoOn(t *testing.T) { testFlagsGoOn(t, sqliteURL(t)) }

func testFlagsGoOn(t *testing.T, url string) {
	r := newRoad(t, url)
	var damaged int64
	for n, vehicle := range []string{"plate:G1", "plate:G2", "plate:G3"} {
		change := func(p *billing.Pass) { p.Vehicle = vehicle }
		r.pass(2*n+1, "TSCA-N", seconds(9, 0, 0), change)
		r.pass(2*n+2, "TSCA-S", seconds(9, 1, 0), change)
	}
	payload := []byte(nil)
	r.do(func(ctx context.Context, tx *books.Tx) error {
		// Both postings of the last vehicle.
		if _, err := database.One(ctx, tx.Session(), `SELECT max(id) FROM outbox`, nil, &damaged); err != nil {
			return err
		}
		if _, err := database.One(ctx, tx.Session(), `SELECT payload FROM outbox WHERE id = $1`, []any{damaged}, &payload); err != nil {
			return err
		}
		_, err := tx.Session().Exec(ctx, `UPDATE outbox SET payload = $1 WHERE id >= $2`, []byte("{"), damaged-1)
		return err
	})
	mend, failures := r.poisoned("", "plate:G1")
	r.clock.Advance(time.Hour)
	postings, raised, err := r.flags.Scan(context.Background(), 100)
	if postings != 6 || raised != 1 || !errors.Is(err, errPoison) || failures.Load() != 4 || r.waiting(dispute.JobFlags) != 4 {
		t.Fatalf("it looked at %d, raised %d, %d failed, %d wait, %v", postings, raised, failures.Load(), r.waiting(dispute.JobFlags), err)
	}
	// Nothing is new, and nothing is due.
	if postings, raised, err := r.flags.Scan(context.Background(), 100); postings != 0 || raised != 0 || err != nil {
		t.Errorf("then it looked at %d, raised %d, %v", postings, raised, err)
	}
	mend()
	r.do(func(ctx context.Context, tx *books.Tx) error {
		_, err := tx.Session().Exec(ctx, `UPDATE outbox SET payload = $1 WHERE id = $2`, payload, damaged)
		return err
	})
	r.clock.Advance(billing.PutOffPause(1))
	// The last posting but one is damaged for good.
	if _, raised, err := r.flags.Scan(context.Background(), 100); raised != 2 || err == nil || r.waiting(dispute.JobFlags) != 1 {
		t.Errorf("mended, it raised %d, %d wait, %v", raised, r.waiting(dispute.JobFlags), err)
	}
	if open := r.queue(); len(open) != 3 {
		t.Errorf("%d cases are open", len(open))
	}
}

// TestOneOfAPairIsGivenBack: two rules that doubt different passes of one pair,
// in two processes at once, take back one toll at most: what was driven is paid.
func TestOneOfAPairIsGivenBack(t *testing.T) { testPair(t, sqliteURL(t), 6) }

func testPair(t *testing.T, url string, pairs int) {
	r := newRoad(t, url)
	store, err := books.Open(context.Background(), url, books.Options{Clock: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	_, second := r.process(store)
	for n := range pairs {
		when := seconds(8, 0, 0).AddDate(0, 0, -n)
		one, two := 2*n+1, 2*n+2
		r.pass(one, "F1-N-1", when, nil)
		r.pass(two, "F1-N-2", when.Add(time.Second), nil)
		seen := []dispute.Seen{{ID: passID(one)}, {ID: passID(two)}}
		flags := []dispute.Flag{dispute.NewFlag(dispute.Twice, "plate:XY1", seen...), dispute.NewFlag(dispute.TwoMarks, "plate:XY1", seen...)}
		flags[0].Suspects, flags[1].Suspects = []string{passID(one)}, []string{passID(two)}
		start, done := make(chan struct{}), make(chan error, 2)
		for i, f := range []*dispute.Flags{r.flags, second} {
			go func() {
				<-start
				_, err := f.Raise(context.Background(), flags[i])
				done <- err
			}()
		}
		close(start)
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		r.follow()
		if owed := r.passOf(one).AmountCents + r.passOf(two).AmountCents; owed != 3000 {
			t.Fatalf("%d is owed for trip %d", owed, n)
		}
	}
	r.verify()
}

// TestTheKeptOneStays: of a trip of which one toll was given back as counted
// twice, the other is not given back as counted twice, by the job or a person;
// on other grounds a person may.
func TestTheKeptOneStays(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.pass(1, "F1-N-1", seconds(8, 0, 0), nil)
	r.pass(2, "F1-N-2", seconds(8, 0, 1), nil)
	one(t, r.scan(), dispute.Twice)
	if r.passOf(2).Status != billing.StatusExempt {
		t.Fatal("the second was not given back")
	}
	// Late reads make it owe again: then both do, and another rule doubts the first.
	p := r.passOf(2)
	p.Revision, p.Status, p.Account, p.AmountCents, p.Decision = p.Revision+1, billing.StatusCharged, "A", 3000, nil
	r.post(p)
	f := dispute.NewFlag(dispute.TwoMarks, "plate:XY1", dispute.Seen{ID: passID(1)}, dispute.Seen{ID: passID(2)})
	f.Suspects = []string{passID(1)}
	if fresh, err := r.flags.Raise(context.Background(), f); !fresh || err != nil {
		t.Fatalf("%v, %v", fresh, err)
	}
	open := r.queue()
	if len(open) != 1 || r.passOf(1).AmountCents != 3000 {
		t.Fatalf("the cases are %+v", open)
	}
	if _, err := r.decide(open[0].Reference, "amy", exempt(dispute.CountedTwice)); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("the other of the pair was given back: %v", err)
	}
	r.mustDecide(open[0].Reference, "amy", exempt("another-vehicle"))
	r.verify()
}
