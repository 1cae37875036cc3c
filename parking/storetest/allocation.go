package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"freeflow/parking"
)

// put changes an allocation to its next revision.
func put(t *testing.T, s Store, n int, change func(a *parking.Allocation)) {
	t.Helper()
	if err := tryPut(t, s, n, change); err != nil {
		t.Fatal(err)
	}
}

func tryPut(t *testing.T, s Store, n int, change func(a *parking.Allocation)) error {
	t.Helper()
	a := get(t, s, n)
	a.Revision++
	change(&a)
	return try(s, func(tx parking.Tx) error { return tx.PutAllocation(context.Background(), a) })
}

var allocationTests = []test{
	{"an allocation goes through its life", func(t *testing.T, s Store, _ func() Store) {
		take(t, s, 1, "B1")
		steps := []parking.State{parking.Moving, parking.Stored, parking.Retrieving, parking.Staged, parking.Gone}
		for i, state := range steps {
			put(t, s, 1, func(a *parking.Allocation) {
				a.State, a.By, a.Reason = state, fmt.Sprint("by ", i), fmt.Sprint("reason ", i)
				switch state {
				case parking.Stored:
					a.StoredAt = later(1)
				case parking.Retrieving:
					a.RequestedAt, a.PromisedAt, a.NotBefore = later(2), later(3), later(4)
				case parking.Staged:
					a.StagedAt, a.Stay, a.Vehicle.Tag = later(5), "s1", "T1"
				}
			})
		}
		a := get(t, s, 1)
		if a.Revision != 6 || !a.StoredAt.Equal(later(1)) || !a.NotBefore.Equal(later(4)) || a.Stay != "s1" || a.Vehicle.Tag != "T1" ||
			!a.AssignedAt.Equal(Now) || !a.EndedAt.Equal(Now) || a.By != "by 4" {
			t.Errorf("%+v", a)
		}
		history, err := s.History(context.Background(), id(1))
		if err != nil || len(history) != 6 {
			t.Fatalf("%+v, %v", history, err)
		}
		from := parking.Assigned
		for i, h := range history[1:] {
			if h.From != from || h.To != steps[i] || h.Revision != int64(i+2) || h.By != fmt.Sprint("by ", i) || h.Reason != fmt.Sprint("reason ", i) || !h.At.Equal(Now) {
				t.Errorf("entry %d: %+v", i+2, h)
			}
			from = h.To
		}
		_, err = s.History(context.Background(), id(2))
		wantError(t, err, parking.ErrNotFound)
		if len(active(t, s)) != 0 {
			t.Error("the bay is still taken")
		}
	}},
	{"only along the transitions", func(t *testing.T, s Store, _ func() Store) {
		states := []parking.State{parking.Assigned, parking.Moving, parking.Stored, parking.Retrieving, parking.Staged, parking.Unknown, parking.Gone, parking.Cancelled, parking.Blocked}
		n := 0
		for _, from := range states {
			for _, to := range states {
				n++
				a := claim(n, fmt.Sprint("B", n)).Allocation
				a.State, a.By, a.Reason = from, "", ""
				do(t, s, func(tx parking.Tx) error { return tx.PutAllocation(context.Background(), a) })
				err := tryPut(t, s, n, func(a *parking.Allocation) {
					a.State = to
					if !to.Final() {
						a.EndedAt = time.Time{}
					}
				})
				if may := from == to || from.May(to); may != (err == nil) {
					t.Errorf("from %s to %s: %v", from, to, err)
				}
			}
		}
		take(t, s, 1000, "C1")
		put(t, s, 1000, func(a *parking.Allocation) { a.State = parking.Moving })
		wantError(t, tryPut(t, s, 1000, func(a *parking.Allocation) { a.State, a.By = parking.Gone, "desk" }), parking.ErrConflict)
		put(t, s, 1000, func(a *parking.Allocation) { a.State, a.By, a.Reason = parking.Gone, "desk", "towed" })
		wantError(t, tryPut(t, s, 1000, func(a *parking.Allocation) {
			a.State, a.EndedAt, a.By, a.Reason = parking.Stored, time.Time{}, "desk", "back"
		}), parking.ErrConflict)
		wantError(t, tryPut(t, s, 1000, func(a *parking.Allocation) { a.State = "odd" }), parking.ErrInvalid)
	}},
	{"revisions guard", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		a := claim(1, "B1").Allocation
		putNow := func(a parking.Allocation) error {
			return try(s, func(tx parking.Tx) error { return tx.PutAllocation(ctx, a) })
		}
		a.Revision = 2
		wantError(t, putNow(a), parking.ErrStale)
		a.Revision = 1
		if err := putNow(a); err != nil {
			t.Fatal(err)
		}
		wantError(t, putNow(a), parking.ErrStale)
		other := claim(2, "B1").Allocation
		wantError(t, putNow(other), parking.ErrBayTaken)
		for _, revision := range []int64{3, 1, 0, -1} {
			a.Revision = revision
			if putNow(a) == nil {
				t.Errorf("revision %d was put", revision)
			}
		}
		a.Revision, a.CarPark = 2, "Q"
		wantError(t, putNow(a), parking.ErrInvalid)
		a.CarPark, a.EndedAt = "P", Now
		wantError(t, putNow(a), parking.ErrInvalid)
		if len(active(t, s)) != 1 {
			t.Error(active(t, s))
		}
	}},
	{"a car is moved to another bay", func(t *testing.T, s Store, _ func() Store) {
		for n := 1; n <= 3; n++ {
			take(t, s, n, fmt.Sprint("B", n))
		}
		wantError(t, tryPut(t, s, 1, func(a *parking.Allocation) { a.Bay = "B2" }), parking.ErrBayTaken)
		mustDepart(t, s, later(-5), departure(2))
		put(t, s, 1, func(a *parking.Allocation) { a.Bay = "B2" })
		take(t, s, 4, "B1")
		if held := active(t, s); len(held) != 3 || held["B2"] != id(1) || held["B1"] != id(4) {
			t.Errorf("held %v", held)
		}
		history, err := s.History(context.Background(), id(1))
		if err != nil || len(history) != 2 || history[0].Bay != "B1" || history[1].Bay != "B2" || history[1].From != history[1].To {
			t.Errorf("%+v, %v", history, err)
		}
		// It leaves its second bay by a clock that is far behind.
		o := mustDepart(t, s, later(-1000), departure(1))[0]
		if o.Err != nil || o.After.EndedAt.Before(Now) {
			t.Errorf("%+v", o)
		}
		// To a bay that was given up by a clock ahead.
		mustDepart(t, s, later(500), departure(4))
		put(t, s, 3, func(a *parking.Allocation) { a.Bay = "B1" })
		if o := mustDepart(t, s, later(10), departure(3))[0]; o.Err != nil || !o.After.EndedAt.Equal(later(500)) {
			t.Errorf("%+v", o)
		}
		put(t, s, 3, func(a *parking.Allocation) { a.Stay = "late" })
		if a := get(t, s, 3); a.Stay != "late" || !a.EndedAt.Equal(later(500)) {
			t.Errorf("%+v", a)
		}
		wantError(t, tryPut(t, s, 3, func(a *parking.Allocation) { a.Bay = "B7" }), parking.ErrConflict)
	}},
	{"a taken bay leaves the transaction whole", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		take(t, s, 1, "B1")
		take(t, s, 2, "B2")
		a := get(t, s, 2)
		a.Revision++
		do(t, s, func(tx parking.Tx) error {
			next := claim(3, "B1").Allocation
			if err := tx.PutAllocation(ctx, next); err == nil {
				t.Error("a taken bay was given")
			}
			next.Bay = "B3"
			if err := tx.PutAllocation(ctx, next); err != nil {
				return err
			}
			a.Bay = "B3"
			if err := tx.PutAllocation(ctx, a); err == nil {
				t.Error("a taken bay was moved to")
			}
			a.Bay = "B4"
			return tx.PutAllocation(ctx, a)
		})
		if held := active(t, s); len(held) != 3 || held["B3"] != id(3) || held["B4"] != id(2) {
			t.Errorf("held %v", held)
		}
	}},
}
