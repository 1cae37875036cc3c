package recovery_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/billing/recovery"
)

func (r *road) stuck() (ids []string) {
	r.t.Helper()
	r.do(func(ctx context.Context, tx *books.Tx) error {
		ids = nil
		after := recovery.Case{}
		for {
			list, err := tx.StuckCases(ctx, after.Vehicle, after.Receivable, 1)
			if err != nil || len(list) == 0 {
				return err
			}
			after = list[0]
			ids = append(ids, after.Receivable)
		}
	})
	return ids
}

// TestNoticeThatNeverArrives: 60 days after it was issued a person has to see to
// it; a proof takes it up again.
func TestNoticeThatNeverArrives(t *testing.T) {
	r := sqliteRoad(t)
	id := r.pass(1, at(5, 21, 10), nil)
	r.run(at(5, 22, 1))
	r.run(at(7, 20, 1))
	if got := r.stuck(); len(got) != 0 {
		t.Fatalf("after 59 days %v waits for a person", got)
	}
	r.run(at(7, 21, 1))
	if got := r.stuck(); len(got) != 1 || got[0] != id {
		t.Fatalf("after 60 days %v waits for a person", got)
	}
	if s := r.stands(id); !s.NextAt.Equal(at(7, 28, 1)) || s.Events[len(s.Events)-1].What != "notice did not arrive" {
		t.Errorf("it is looked at again at %s, its steps are %+v", s.NextAt, s.Events)
	}
	r.run(at(7, 28, 2))
	if s := r.stands(id); len(s.Events) != 2 {
		t.Errorf("it was told again: %+v", s.Events)
	}
	r.serve(id, at(7, 29, 9))
	r.run(at(7, 29, 10))
	if got := r.stuck(); len(got) != 0 {
		t.Errorf("served, %v waits for a person", got)
	}
	r.want(id, recovery.Opened, 3000)
	r.run(at(8, 19, 0))
	r.want(id, recovery.First, 20500)
	r.sound()
}

// TestNoticeThatCannotBeDelivered: where every way is given up, a person is
// called the next day; who pays is nobody's case any more.
func TestNoticeThatCannotBeDelivered(t *testing.T) {
	r := sqliteRoad(t)
	id := r.pass(1, at(5, 21, 10), nil)
	r.run(at(5, 22, 1))
	r.do(func(ctx context.Context, tx *books.Tx) error {
		c, err := tx.Case(ctx, id)
		if err != nil {
			return err
		}
		if err := notice.GiveUp(ctx, tx, c.Notice, notice.Post, at(5, 22, 9), "moved away", "hongkong post"); err != nil {
			return err
		}
		return tx.WakeNotice(ctx, c.Notice, at(5, 22, 9))
	})
	r.run(at(5, 22, 10))
	if got := r.stuck(); len(got) != 1 {
		t.Fatalf("%v waits for a person", got)
	}
	r.pay(3000, id)
	r.run(at(5, 30, 1))
	r.want(id, recovery.Ended, 0)
	if got := r.stuck(); len(got) != 0 {
		t.Errorf("paid, %v waits for a person", got)
	}
}

// TestCalendarEndsForSome: a deadline past the end of the calendar holds up no
// other, and is tried again.
func TestCalendarEndsForSome(t *testing.T) {
	r := sqliteRoad(t)
	good := r.pass(1, at(11, 20, 10), nil)
	bad := r.pass(2, at(12, 20, 10), nil)
	last := r.pass(3, at(11, 20, 11), nil)
	r.clock.Set(at(12, 1, 1)) // the bad pass is said to be of the future
	for range 2 {
		r.clock.Advance(recoveryPause)
		_, _ = r.ladder.Run(t.Context())
	}
	for _, id := range []string{good, last} {
		r.want(id, recovery.Opened, 3000)
	}
	r.do(func(ctx context.Context, tx *books.Tx) error {
		if _, err := tx.Case(ctx, bad); !errors.Is(err, billing.ErrNotFound) {
			t.Errorf("the case past the calendar: %v", err)
		}
		n, err := tx.CountPutOff(ctx, recovery.JobOpen)
		if n != 1 {
			t.Errorf("%d are put off", n)
		}
		return err
	})
	r.clock.Advance(recoveryPause)
	if _, err := r.ladder.Run(t.Context()); !errors.Is(err, recovery.ErrCalendar) || !strings.Contains(err.Error(), bad) {
		t.Errorf("the run says %v", err)
	}
}

// recoveryPause is longer than anything is put off.
const recoveryPause = 61 * 60 * 1e9
