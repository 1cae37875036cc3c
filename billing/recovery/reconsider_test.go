package recovery_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/billing/recovery"
)

func (r *road) deed(reason string) recovery.Deed {
	return recovery.Deed{By: "amy", Role: "operator", Reason: reason, Now: r.clock.Now()}
}

// outage records outage:1 afterwards.
func (r *road) outage(from, to time.Time) {
	r.t.Helper()
	r.do(func(ctx context.Context, tx *books.Tx) error {
		return r.ladder.Outage(ctx, tx, "outage:1", from, to, r.deed("the bank was down"))
	})
}

// told counts how often the owner of the first vehicle was told that a surcharge
// was taken back.
func (r *road) told() (n int) {
	r.do(func(ctx context.Context, tx *books.Tx) error {
		n = 0
		list, err := tx.NoticesOf(ctx, "", "plate:XY1", time.Time{}, 50)
		for _, one := range list {
			if one.Kind == notice.SurchargeStruck {
				n++
			}
		}
		return err
	})
	return n
}

// TestOutageRecordedAfterwards: the toll was due on 9 June, the surcharge came on
// the 10th. Which outage, recorded on the 12th, takes it back, and when it comes
// again then.
func TestOutageRecordedAfterwards(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to time.Time
		again    time.Time // the day on which it is imposed again; zero: it stands
	}{
		// Thursday 8 June does not count: the last day is Monday 12 June.
		"one of the days":       {at(6, 8, 9), at(6, 8, 20), at(6, 13, 0)},
		"the last day":          {at(6, 9, 23), at(6, 9, 24), at(6, 13, 0)},
		"the whole last week":   {at(6, 5, 9), at(6, 9, 20), at(6, 17, 0)},
		"a weekend":             {at(6, 3, 9), at(6, 4, 20), time.Time{}},
		"after the last day":    {at(6, 10, 9), at(6, 11, 20), time.Time{}},
		"the day of the pass":   {at(5, 21, 9), at(5, 21, 20), time.Time{}},
		"long before the pass":  {at(5, 1, 9), at(5, 4, 20), time.Time{}},
		"the first working day": {at(5, 22, 0), at(5, 22, 1), at(6, 13, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			r, id := surcharged(t)
			r.clock.Set(at(6, 12, 9))
			r.outage(tc.from, tc.to)
			r.outage(tc.from, tc.to) // again: nothing changes
			r.run(at(6, 12, 9))
			if tc.again.IsZero() {
				r.want(id, recovery.First, 20500)
				if r.told() != 0 {
					t.Error("it was told that it was taken back")
				}
				r.sound()
				return
			}
			r.want(id, recovery.Opened, 3000)
			if r.told() != 1 {
				t.Error("nobody was told")
			}
			r.run(tc.again.Add(-time.Hour))
			r.want(id, recovery.Opened, 3000)
			r.run(tc.again)
			r.want(id, recovery.First, 20500)
			r.run(tc.again.Add(time.Hour))
			r.want(id, recovery.First, 20500)
			r.sound()
		})
	}
}

// TestOutageAfterwardsTakesAllBack: with the first surcharge goes the second,
// which followed on its notice, and the hold.
func TestOutageAfterwardsTakesAllBack(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to time.Time
		stage    string
		rest     int64
	}{
		"first":  {at(6, 8, 9), at(6, 8, 20), recovery.Opened, 3000},
		"second": {at(7, 20, 9), at(7, 20, 20), recovery.First, 20500},
		"hold":   {at(8, 10, 9), at(8, 10, 20), recovery.Second, 55500},
		"none":   {at(8, 24, 9), at(8, 25, 20), recovery.Held, 55500},
	} {
		t.Run(name, func(t *testing.T) {
			r, id := surcharged(t)
			r.serve(id, at(7, 10, 9))
			r.run(at(8, 1, 0))
			r.serve(id, at(8, 1, 9))
			r.run(at(8, 23, 0))
			r.want(id, recovery.Held, 55500)
			r.clock.Set(at(8, 26, 9))
			r.outage(tc.from, tc.to)
			r.run(at(8, 26, 9))
			r.want(id, tc.stage, tc.rest)
			r.sound()
		})
	}
}

// TestPaidSurchargeIsGivenBack: who paid toll and surcharge has the surcharge
// again, though the case has ended.
func TestPaidSurchargeIsGivenBack(t *testing.T) {
	r, id := surcharged(t)
	r.pay(20500, id, "charge:"+recovery.SurchargeID(1, id))
	r.run(at(6, 11, 0))
	r.want(id, recovery.Ended, 0)
	r.clock.Set(at(6, 20, 9))
	r.outage(at(6, 8, 9), at(6, 8, 20))
	r.run(at(6, 20, 10))
	r.want(id, recovery.Ended, 0)
	r.do(func(ctx context.Context, tx *books.Tx) error {
		w, err := tx.Wallet(ctx, "once:p1", "HKD")
		if w.BalanceCents != 17500 {
			t.Errorf("the payer has %d back", w.BalanceCents)
		}
		return err
	})
	if r.told() != 1 {
		t.Error("nobody was told")
	}
	r.run(at(7, 20, 10))
	r.want(id, recovery.Ended, 0)
	r.sound()
}

// TestPaidTollEndsWithTheSurcharge: who paid the toll owes nothing any more.
func TestPaidTollEndsWithTheSurcharge(t *testing.T) {
	r, id := surcharged(t)
	r.pay(3000, id)
	r.run(at(6, 11, 0))
	r.want(id, recovery.First, 17500)
	r.outage(at(6, 8, 9), at(6, 8, 20))
	r.run(at(6, 11, 1))
	r.want(id, recovery.Ended, 0)
	r.run(at(8, 11, 1))
	r.want(id, recovery.Ended, 0)
	r.sound()
}

// TestOutageThatGoesOn: one that is told on the morning after counts from its
// beginning; while it goes on no deadline passes, and no longer than 31 days.
func TestOutageThatGoesOn(t *testing.T) {
	down := func(r *road, from time.Time) error {
		return r.books.Do(t.Context(), func(tx *books.Tx) error {
			return r.ladder.Down(t.Context(), tx, "outage:1", from, r.deed("the bank is down"))
		})
	}
	r, id := surcharged(t) // on 10 June at 0:00
	r.clock.Set(at(6, 10, 8))
	if err := down(r, at(6, 9, 7)); !errors.Is(err, billing.ErrInvalid) {
		t.Errorf("begun more than a day ago: %v", err)
	}
	if err := down(r, at(6, 10, 9)); !errors.Is(err, billing.ErrInvalid) {
		t.Errorf("begun in the future: %v", err)
	}
	if err := down(r, at(6, 9, 20)); err != nil {
		t.Fatal(err)
	}
	r.run(at(6, 10, 9))
	r.want(id, recovery.Opened, 3000)
	r.run(at(6, 20, 9))
	r.want(id, recovery.Opened, 3000)
	resume := func() error {
		return r.books.Do(t.Context(), func(tx *books.Tx) error {
			return r.ladder.Resume(t.Context(), tx, "outage:1", "", r.deed("it is back"))
		})
	}
	for range 2 {
		if err := resume(); err != nil {
			t.Fatal(err)
		}
	}
	r.run(at(6, 21, 23)) // the first day that counts is the last
	r.want(id, recovery.Opened, 3000)
	r.run(at(6, 22, 0))
	r.want(id, recovery.First, 20500)
	r.sound()
}

func TestOutageThatNobodyEnded(t *testing.T) {
	for _, end := range []bool{false, true} {
		r := sqliteRoad(t)
		id := r.pass(1, at(5, 21, 10), nil)
		r.run(at(5, 22, 1))
		r.serve(id, at(5, 22, 9))
		r.clock.Set(at(6, 9, 8))
		r.do(func(ctx context.Context, tx *books.Tx) error {
			return r.ladder.Down(ctx, tx, "outage:1", at(6, 9, 8), r.deed("the bank is down"))
		})
		if end {
			r.clock.Set(at(8, 1, 8))
			r.do(func(ctx context.Context, tx *books.Tx) error {
				return r.ladder.Resume(ctx, tx, "outage:1", "", r.deed("forgotten"))
			})
		} else {
			r.run(at(7, 10, 23)) // 9 June and 30 more days do not count, so 10 July is the last
			r.want(id, recovery.Opened, 3000)
			r.run(at(7, 11, 0))
		}
		r.run(at(8, 1, 9))
		r.want(id, recovery.First, 20500)
	}
}

// TestWrongOutage: taken back, its days count again.
func TestWrongOutage(t *testing.T) {
	r, id := surcharged(t)
	r.outage(at(6, 1, 9), at(6, 9, 20))
	r.run(at(6, 10, 2))
	r.want(id, recovery.Opened, 3000)
	withdraw := func(pause, reason string) error {
		return r.books.Do(t.Context(), func(tx *books.Tx) error {
			return r.ladder.Withdraw(t.Context(), tx, pause, r.deed(reason))
		})
	}
	if err := withdraw("outage:1", ""); !errors.Is(err, billing.ErrInvalid) {
		t.Errorf("without a reason: %v", err)
	}
	if err := withdraw("outage:2", "x"); !errors.Is(err, billing.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	for range 2 {
		if err := withdraw("outage:1", "the wrong bank"); err != nil {
			t.Fatal(err)
		}
	}
	r.run(at(6, 10, 5))
	r.want(id, recovery.First, 20500)
	r.outage(at(6, 1, 9), at(6, 9, 20)) // its id again changes nothing
	r.run(at(6, 10, 8))
	r.want(id, recovery.First, 20500)
	r.sound()
}

// testOutages is the whole of it on one engine: surcharged, paid, taken back,
// stuck, and what the books then say.
func testOutages(t *testing.T, r *road) {
	id := r.pass(1, at(5, 21, 10), nil)
	lost := r.pass(2, at(5, 21, 11), nil)
	r.run(at(5, 22, 1))
	r.serve(id, at(5, 22, 9))
	r.run(at(6, 10, 0))
	r.pay(20500, id, "charge:"+recovery.SurchargeID(1, id))
	r.run(at(6, 11, 0))
	r.outage(at(6, 8, 9), at(6, 8, 20))
	r.run(at(6, 11, 1))
	r.want(id, recovery.Ended, 0)
	if r.told() != 1 {
		t.Error("nobody was told")
	}
	r.do(func(ctx context.Context, tx *books.Tx) error {
		c, err := tx.Case(ctx, lost)
		if err == nil {
			err = tx.WakeNotice(ctx, c.Notice, at(6, 11, 2))
		}
		if err == nil {
			err = r.ladder.Withdraw(ctx, tx, "outage:1", r.deed("the wrong bank"))
		}
		return err
	})
	r.run(at(7, 21, 1))
	if got := r.stuck(); len(got) != 1 || got[0] != lost {
		t.Errorf("%v waits for a person", got)
	}
	r.sound()
}

func TestOutages(t *testing.T) { testOutages(t, sqliteRoad(t)) }
