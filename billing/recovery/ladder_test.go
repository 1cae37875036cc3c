package recovery_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/billing/recovery"
)

func TestBusinessDays(t *testing.T) {
	c := recovery.Calendar{Holidays: holidays2023{}}
	for _, tc := range []struct{ pass, last string }{
		// The last days that the government published.
		{"2023-05-21", "2023-06-09"}, {"2023-05-07", "2023-05-25"},
		// On a working day, a Saturday, the eve of a holiday.
		{"2023-06-05", "2023-06-26"}, {"2023-06-03", "2023-06-23"}, {"2023-06-21", "2023-07-12"},
	} {
		day, err := time.Parse(time.DateOnly, tc.pass)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.BusinessDays(recovery.DayOf(day, time.UTC), 14, nil)
		if err != nil || got.String() != tc.last {
			t.Errorf("a pass on %s is to be paid by %s, %v; want %s", tc.pass, got, err, tc.last)
		}
	}
	if _, err := c.BusinessDays(recovery.DayOf(time.Date(2023, 12, 29, 0, 0, 0, 0, time.UTC), time.UTC), 14, nil); err == nil {
		t.Error("past its end the calendar was guessed")
	}
}

// TestDaysAgainstEnumeration compares the count with a list of all days that
// count.
func TestDaysAgainstEnumeration(t *testing.T) {
	c := recovery.Calendar{Holidays: holidays2023{}}
	rapid.Check(t, func(r *rapid.T) {
		first := recovery.DayOf(time.Date(2023, 4, 15, 0, 0, 0, 0, time.UTC), time.UTC)
		var pauses recovery.Pauses
		paused := map[recovery.Day]bool{}
		for range rapid.IntRange(0, 4).Draw(r, "pauses") {
			from := first + recovery.Day(rapid.IntRange(-5, 100).Draw(r, "from"))
			to := from + recovery.Day(rapid.IntRange(1, 20).Draw(r, "days"))
			pauses = append(pauses, recovery.Pause{From: from, To: to})
			for d := from; d < to; d++ {
				paused[d] = true
			}
		}
		var business, calendar []recovery.Day
		for d := first + 1; d < first+250; d++ {
			date := d.Date(time.UTC)
			holiday, err := holidays2023{}.Holiday(date)
			if err != nil {
				break
			}
			if paused[d] {
				continue
			}
			calendar = append(calendar, d)
			if !holiday && date.Weekday() != time.Saturday && date.Weekday() != time.Sunday {
				business = append(business, d)
			}
		}
		n := rapid.IntRange(1, 21).Draw(r, "n")
		if got, err := c.BusinessDays(first, n, pauses); err != nil || got != business[n-1] {
			r.Fatalf("business day %d is %s, %v; want %s", n, got, err, business[n-1])
		}
		if got, err := c.CalendarDays(first, n, pauses); err != nil || got != calendar[n-1] {
			r.Fatalf("day %d is %s, %v; want %s", n, got, err, calendar[n-1])
		}
	})
}

// TestWholeLadder climbs every rung on its exact day.
func TestWholeLadder(t *testing.T) {
	r := sqliteRoad(t)
	id := r.pass(1, at(5, 21, 10), nil)
	first, second := "charge:"+recovery.SurchargeID(1, id), "charge:"+recovery.SurchargeID(2, id)
	r.run(at(5, 21, 20)) // too early for a notice
	r.run(at(5, 22, 1))
	r.want(id, recovery.Opened, 3000)
	r.serve(id, at(5, 23, 9))
	for day := 23; day <= 31; day++ {
		r.run(at(5, day, 10))
	}
	for day := 1; day <= 9; day++ {
		r.run(at(6, day, 23))
		r.want(id, recovery.Opened, 3000)
	}
	if got := r.stands(id).DueDay.String(); got != "2023-06-09" {
		t.Errorf("due on %s", got)
	}
	r.run(at(6, 10, 0))
	r.want(id, recovery.First, 3000+17500)
	r.run(at(7, 10, 0)) // not served: nothing follows
	r.want(id, recovery.First, 3000+17500)
	r.serve(id, at(7, 10, 9))
	for day := 10; day <= 31; day++ {
		r.run(at(7, day, 23))
		r.want(id, recovery.First, 3000+17500)
	}
	r.run(at(8, 1, 0))
	r.want(id, recovery.Second, 3000+17500+35000)
	r.serve(id, at(8, 1, 9))
	r.run(at(8, 22, 23))
	r.want(id, recovery.Second, 3000+17500+35000)
	r.run(at(8, 23, 0))
	r.want(id, recovery.Held, 3000+17500+35000)
	r.pay(55500, id, first, second)
	r.run(at(8, 23, 2))
	r.want(id, recovery.Ended, 0)
	r.sound()
	kinds := map[string]int{}
	r.do(func(ctx context.Context, tx *books.Tx) error {
		list, err := tx.NoticesOf(ctx, "", "plate:XY1", time.Time{}, 10)
		for _, n := range list {
			kinds[n.Kind]++
		}
		return err
	})
	if kinds[notice.Payment] != 1 || kinds[notice.FirstSurcharge] != 1 || kinds[notice.SecondSurcharge] != 1 || kinds[notice.LicenceHold] != 1 {
		t.Errorf("the owner was told %v", kinds)
	}
}

// TestNoProofNoSurcharge: New Jersey, 2020. 79,000 drivers got late fees since
// their first notices had never been sent.
func TestNoProofNoSurcharge(t *testing.T) {
	r := sqliteRoad(t)
	id := r.pass(1, at(5, 21, 10), nil)
	for day := range 80 {
		r.run(at(5, 22+day, 3))
	}
	r.want(id, recovery.Opened, 3000)
	// Told late, the owner has 14 business days from then.
	r.serve(id, at(8, 9, 9))
	r.run(at(8, 29, 23))
	r.want(id, recovery.Opened, 3000)
	r.run(at(8, 30, 0))
	r.want(id, recovery.First, 20500)
}

func TestPausesExtendDeadlines(t *testing.T) {
	deed := func(now time.Time) recovery.Deed {
		return recovery.Deed{By: "amy", Role: "operator", Reason: "test", Now: now}
	}
	for name, tc := range map[string]struct {
		pause func(r *road, id string)
		last  time.Time // the last day without surcharge
	}{
		"none": {func(*road, string) {}, at(6, 9, 0)},
		// Wed 24 May to Mon 29 May: 24, 25 and 29 do not count, nor the rest.
		"dispute": {func(r *road, id string) {
			r.run(at(5, 24, 3))
			r.do(func(ctx context.Context, tx *books.Tx) error {
				return r.ladder.Stop(ctx, tx, "dispute:1", id, deed(at(5, 24, 9)))
			})
			r.run(at(5, 29, 3))
			r.do(func(ctx context.Context, tx *books.Tx) error {
				return r.ladder.Resume(ctx, tx, "dispute:1", id, deed(at(5, 29, 9)))
			})
		}, at(6, 14, 0)},
		"another's dispute": {func(r *road, id string) {
			r.run(at(5, 24, 3))
			r.do(func(ctx context.Context, tx *books.Tx) error {
				return r.ladder.Stop(ctx, tx, "dispute:1", "pass:another", deed(at(5, 24, 9)))
			})
		}, at(6, 9, 0)},
		// Over the last two days people could not pay.
		"outage": {func(r *road, id string) {
			r.run(at(6, 9, 20))
			r.do(func(ctx context.Context, tx *books.Tx) error {
				return r.ladder.Outage(ctx, tx, "outage:1", at(6, 8, 22), at(6, 9, 3), deed(at(6, 9, 20)))
			})
		}, at(6, 13, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			r := sqliteRoad(t)
			id := r.pass(1, at(5, 21, 10), nil)
			r.run(at(5, 22, 1))
			r.serve(id, at(5, 22, 9))
			tc.pause(r, id)
			r.run(tc.last.Add(23 * time.Hour))
			r.want(id, recovery.Opened, 3000)
			r.run(tc.last.Add(24 * time.Hour))
			r.want(id, recovery.First, 20500)
		})
	}
}

// surcharged is a road with one toll that has its first surcharge.
func surcharged(t *testing.T) (*road, string) {
	r := sqliteRoad(t)
	id := r.pass(1, at(5, 21, 10), nil)
	r.run(at(5, 22, 1))
	r.serve(id, at(5, 22, 9))
	r.run(at(6, 10, 0))
	r.want(id, recovery.First, 20500)
	return r, id
}

func TestWaiver(t *testing.T) {
	r, id := surcharged(t)
	r.pay(17500, "charge:"+recovery.SurchargeID(1, id))
	for _, reason := range []string{"", "card had expired unnoticed", "card had expired unnoticed"} {
		err := r.books.Do(t.Context(), func(tx *books.Tx) error {
			_, err := r.ladder.Waive(t.Context(), tx, id, 1, recovery.Deed{By: "amy", Role: "operator", Reason: reason, Now: r.clock.Now()})
			return err
		})
		if (reason == "") != errors.Is(err, billing.ErrInvalid) || reason != "" && err != nil {
			t.Fatalf("waived for the reason %q: %v", reason, err)
		}
	}
	r.follow()
	r.want(id, recovery.First, 3000)
	r.do(func(ctx context.Context, tx *books.Tx) error {
		w, err := tx.Wallet(ctx, "once:p1", "HKD")
		if w.BalanceCents != 17500 {
			t.Errorf("the payer has %d back", w.BalanceCents)
		}
		return err
	})
	r.serve(id, at(6, 11, 9))
	r.run(at(8, 20, 0)) // the ladder has stopped
	r.want(id, recovery.First, 3000)
	r.sound()
}

// TestTollThatGoesTakesItsSurcharge: the pass turns out to be exempt.
func TestTollThatGoesTakesItsSurcharge(t *testing.T) {
	r, id := surcharged(t)
	r.pass(1, at(5, 21, 10), func(p *billing.Pass) {
		p.Revision, p.Status, p.AmountCents, p.Rule = 2, billing.StatusExempt, 0, ""
	})
	r.run(at(6, 12, 0))
	r.want(id, recovery.Ended, 0)
	r.sound()
}

// TestAnotherOwesIt: a correction makes the pass an account's; it was told
// nothing, and pays no surcharge that another earned.
func TestAnotherOwesIt(t *testing.T) {
	r, id := surcharged(t)
	r.pass(1, at(5, 21, 10), func(p *billing.Pass) {
		p.Revision, p.Status, p.Account, p.Vehicle, p.Registered = 2, billing.StatusCharged, "A1", "XY1", true
	})
	r.run(at(6, 12, 0))
	r.want(id, recovery.Opened, 3000)
	r.serve(id, at(6, 12, 9))
	r.run(at(7, 3, 23)) // 14 business days after 12 June, over a holiday
	r.want(id, recovery.Opened, 3000)
	r.run(at(7, 4, 0))
	r.want(id, recovery.First, 20500)
	r.sound()
}

// TestAnotherHasPaidIt: when the ladder looks, the account that the pass turned
// out to be of has paid already: there is nothing to tell it. A notice of nothing
// was refused, and stopped the ladder for everybody.
func TestAnotherHasPaidIt(t *testing.T) {
	r, id := surcharged(t)
	r.pass(1, at(5, 21, 10), func(p *billing.Pass) {
		p.Revision, p.Status, p.Account, p.Vehicle, p.Registered = 2, billing.StatusCharged, "A1", "XY1", true
	})
	r.follow()
	r.pay(3000, id)
	r.run(at(6, 12, 0))
	r.want(id, recovery.Ended, 0)
	r.sound()
}

// TestPaidBackReopens: a payment that bounces puts the toll back on the ladder,
// with a notice of its own.
func TestPaidBackReopens(t *testing.T) {
	r := sqliteRoad(t)
	id := r.pass(1, at(5, 21, 10), nil)
	r.run(at(5, 22, 1))
	r.pay(3000, id)
	r.run(at(5, 23, 1))
	r.want(id, recovery.Ended, 0)
	r.do(func(ctx context.Context, tx *books.Tx) error {
		return tx.ReverseMovement(ctx, "p1", "charged back", r.clock.Now())
	})
	r.run(at(5, 24, 1))
	r.want(id, recovery.Opened, 3000)
	if events := r.stands(id).Events; len(events) != 3 {
		t.Errorf("its steps are %+v", events)
	}
	r.sound()
}

// TestOneNoticeForManyTrips: 68 trips in a month (a case of 2025) are one
// letter, not 68.
func TestOneNoticeForManyTrips(t *testing.T) {
	r := sqliteRoad(t)
	for n := range 30 {
		r.pass(n+1, at(5, 21, 10).Add(time.Duration(n)*10*time.Minute), func(p *billing.Pass) { p.Vehicle = "plate:XY1" })
	}
	r.run(at(5, 22, 6))
	r.do(func(ctx context.Context, tx *books.Tx) error {
		list, err := tx.NoticesOf(ctx, "", "plate:XY1", time.Time{}, 100)
		if err == nil && (len(list) != 1 || list[0].AmountCents != 30*3000) {
			t.Errorf("the owner got %d notices: %+v", len(list), list)
		}
		if err != nil {
			return err
		}
		open, named, err := tx.PayReference(ctx, "XY1", list[0].Number)
		if len(open) != 30 || named != 30 {
			t.Errorf("by its number %d of %d can be paid", len(open), named)
		}
		return err
	})
}

// stumbling is a store whose reading of one receivable fails.
type stumbling struct {
	books.Keep[recovery.Tx]
	receivable *string
}

func (s stumbling) Do(ctx context.Context, fn func(recovery.Tx) error) error {
	return s.Keep.Do(ctx, func(tx recovery.Tx) error { return fn(stumblingTx{tx, s.receivable}) })
}

type stumblingTx struct {
	recovery.Tx
	receivable *string
}

func (s stumblingTx) Receivable(ctx context.Context, id string) (billing.Receivable, error) {
	if id == *s.receivable {
		return billing.Receivable{}, errors.New("the row is damaged")
	}
	return s.Tx.Receivable(ctx, id)
}

// TestOneBadCaseHoldsUpNoOther: a case that cannot be looked at is named, and
// all others are looked at all the same; so it is when the ladder begins.
func TestOneBadCaseHoldsUpNoOther(t *testing.T) {
	r := sqliteRoad(t)
	bad := ""
	l := newLadder(r.books, r.clock)
	l.Keeping = stumbling{books.Keep[recovery.Tx]{Store: r.books, As: func(tx *books.Tx) recovery.Tx { return tx }}, &bad}
	var ids []string
	for n := range 5 {
		ids = append(ids, r.pass(n+1, at(5, 21, 10), nil))
	}
	bad = ids[2]
	r.clock.Set(at(5, 22, 1))
	if _, err := l.Run(t.Context()); err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "1 case") {
		t.Fatalf("beginning: %v", err)
	}
	for _, id := range []string{ids[0], ids[1], ids[3], ids[4]} {
		r.want(id, recovery.Opened, 3000)
		r.serve(id, at(5, 22, 9))
	}
	bad = ""
	r.run(at(5, 22, 10))
	r.serve(ids[2], at(5, 22, 11))
	bad = ids[2]
	r.clock.Set(at(6, 10, 0))
	if _, err := l.Run(t.Context()); err == nil || !strings.Contains(err.Error(), bad) {
		t.Fatalf("climbing: %v", err)
	}
	r.follow()
	for _, id := range []string{ids[0], ids[1], ids[3], ids[4]} {
		r.want(id, recovery.First, 20500)
	}
	bad = ""
	r.run(at(6, 10, 2)) // an hour later it is looked at again
	r.want(ids[2], recovery.First, 20500)
}

// TestNoRungWhilePaying: who has paid, with an outcome that is not known yet, is
// not surcharged meanwhile.
func TestNoRungWhilePaying(t *testing.T) {
	r := sqliteRoad(t)
	id := r.pass(1, at(5, 21, 10), nil)
	r.run(at(5, 22, 1))
	r.serve(id, at(5, 22, 9))
	r.do(func(ctx context.Context, tx *books.Tx) error { return tx.ClaimDebts(ctx, "pay_1", []string{id}) })
	r.run(at(6, 12, 0))
	r.want(id, recovery.Opened, 3000)
	r.do(func(ctx context.Context, tx *books.Tx) error { return tx.ReleaseDebts(ctx, "pay_1") })
	r.run(at(6, 12, 2))
	r.want(id, recovery.First, 20500)
}

// TestCalendarEnds: past the end of the calendar no deadline is guessed; the
// job says so and nothing is surcharged.
func TestCalendarEnds(t *testing.T) {
	r := sqliteRoad(t)
	r.clock.Set(at(12, 27, 12))
	id := r.pass(1, at(12, 27, 10), nil)
	r.clock.Set(at(12, 28, 12))
	if _, err := r.ladder.Run(t.Context()); !errors.Is(err, recovery.ErrCalendar) {
		t.Fatalf("it says %v", err)
	}
	r.do(func(ctx context.Context, tx *books.Tx) error {
		if _, err := tx.Case(ctx, id); !errors.Is(err, billing.ErrNotFound) {
			t.Errorf("the case: %v", err)
		}
		return nil
	})
}

// TestDisputedFromTheStart: nobody is asked to pay what is in dispute; when that
// is over, the ladder begins.
func TestDisputedFromTheStart(t *testing.T) {
	r := sqliteRoad(t)
	id := r.pass(1, at(5, 21, 10), nil)
	hold := func(was, reason string) {
		r.do(func(ctx context.Context, tx *books.Tx) error { return tx.Hold(ctx, id, was, reason) })
	}
	hold("", "dispute:1")
	r.run(at(5, 25, 1))
	if text := r.digest(); strings.Contains(text, "notice") {
		t.Fatalf("on the ladder is %s", text)
	}
	hold("dispute:1", "")
	r.run(at(5, 25, 2))
	r.want(id, recovery.Opened, 3000)
}

// testTwoLadders runs the job in two processes at once, day by day.
func testTwoLadders(t *testing.T, url string) {
	r := newRoad(t, url)
	var ids []string
	for n := range 20 {
		ids = append(ids, r.pass(n+1, at(5, 21, 10), nil))
	}
	r.run(at(5, 22, 1))
	for _, id := range ids {
		r.serve(id, at(5, 22, 9))
	}
	other := newLadder(r.books, r.clock)
	for _, day := range []int{9, 10, 11} {
		r.clock.Set(at(6, day, 1))
		var wg sync.WaitGroup
		for _, l := range []*recovery.Ladder{r.ladder, other, r.ladder, other} {
			wg.Go(func() {
				if _, err := l.Run(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		r.follow()
	}
	for _, id := range ids {
		r.want(id, recovery.First, 20500)
	}
	r.sound()
}

func TestTwoLadders(t *testing.T) {
	testTwoLadders(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
}
