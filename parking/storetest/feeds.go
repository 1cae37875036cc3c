package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"freeflow/parking"
)

// order is a charge of a stay.
func order(n int) parking.LedgerOrder {
	return parking.LedgerOrder{ID: id(n) + "-1-charge", Kind: "charge", Document: []byte(`{"cents":1900}`), At: Now}
}

// unposted are the ids of the orders not yet marked.
func unposted(t *testing.T, s Store, limit int) (ids []string) {
	t.Helper()
	list, err := s.Unposted(context.Background(), limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		ids = append(ids, o.ID)
	}
	return ids
}

// late runs early in a transaction that commits only when after has run.
func late(t *testing.T, s Store, early func(tx parking.Tx) error, after func() error) {
	t.Helper()
	entered, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		enter := sync.OnceFunc(func() { close(entered) })
		done <- try(s, func(tx parking.Tx) error {
			err := early(tx)
			enter()
			<-release
			return err
		})
	}()
	<-entered
	err := after()
	close(release)
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
}

var feedTests = []test{
	{"orders are posted in the order in which they were made", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		for _, n := range []int{3, 1, 2} {
			do(t, s, func(tx parking.Tx) error { return tx.Order(ctx, order(n)) })
		}
		do(t, s, func(tx parking.Tx) error { return tx.Order(ctx, order(1)) })
		other := order(1)
		other.Kind = "refund"
		wantError(t, try(s, func(tx parking.Tx) error { return tx.Order(ctx, other) }), parking.ErrConflict)
		other.Kind, other.Document = "charge", []byte("{}")
		wantError(t, try(s, func(tx parking.Tx) error { return tx.Order(ctx, other) }), parking.ErrConflict)
		other.Kind = "gift"
		wantError(t, try(s, func(tx parking.Tx) error { return tx.Order(ctx, other) }), parking.ErrInvalid)
		if got := unposted(t, s, 10); fmt.Sprint(got) != fmt.Sprint([]string{order(3).ID, order(1).ID, order(2).ID}) {
			t.Errorf("%v", got)
		}
		if got := unposted(t, s, 2); len(got) != 2 {
			t.Errorf("%v", got)
		}
		list, err := s.Unposted(ctx, 1)
		if err != nil || len(list) != 1 || list[0].Kind != "charge" || string(list[0].Document) != string(order(3).Document) || !list[0].At.Equal(Now) {
			t.Errorf("%+v, %v", list, err)
		}
		for range 2 {
			if err := s.MarkPosted(ctx, []string{order(3).ID, order(2).ID, "unheard of"}, later(1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.MarkPosted(ctx, nil, later(1)); err != nil {
			t.Fatal(err)
		}
		if got := unposted(t, s, 10); fmt.Sprint(got) != fmt.Sprint([]string{order(1).ID}) {
			t.Errorf("%v", got)
		}
		if _, err := s.Unposted(ctx, 0); err == nil {
			t.Error("a limit of 0")
		}
		// More than one statement's worth.
		do(t, s, func(tx parking.Tx) error {
			for n := range 250 {
				if err := tx.Order(ctx, order(1000+n)); err != nil {
					return err
				}
			}
			return nil
		})
		if err := s.MarkPosted(ctx, unposted(t, s, 240), later(1)); err != nil {
			t.Fatal(err)
		}
		if got := unposted(t, s, 1000); len(got) != 11 || got[0] != order(1239).ID {
			t.Errorf("%d left, first %v", len(got), got[0])
		}
	}},
	{"an undone order was never made", func(t *testing.T, s Store, _ func() Store) {
		err := try(s, func(tx parking.Tx) error {
			if err := tx.Order(context.Background(), order(1)); err != nil {
				return err
			}
			return parking.ErrConflict
		})
		wantError(t, err, parking.ErrConflict)
		if got := unposted(t, s, 10); len(got) != 0 {
			t.Errorf("%v", got)
		}
	}},
	{"every change of a vehicle's allocation is told", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		take(t, s, 1, "B1")
		take(t, s, 2, "B2")
		put(t, s, 1, func(a *parking.Allocation) { a.State, a.Vehicle.Tag = parking.Stored, "T1" })
		mustDepart(t, s, later(1), departure(2), departure(9))
		mustClaim(t, s, Now, claim(3, "B1"))
		changes, err := s.Unseen(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		told := ""
		for i, c := range changes {
			told += c.Allocation[31:]
			if i > 0 && c.ID <= changes[i-1].ID || c.CarPark != "P" || c.Vehicle != get(t, s, int(c.Allocation[31]-'0')).Vehicle {
				t.Errorf("%+v", c)
			}
		}
		if told != "1212" {
			t.Errorf("told %s", told)
		}
		if some, err := s.Unseen(ctx, 3); err != nil || len(some) != 3 || some[0] != changes[0] {
			t.Errorf("%+v, %v", some, err)
		}
		for range 2 {
			if err := s.MarkSeen(ctx, []int64{changes[0].ID, changes[2].ID, 1 << 40}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.MarkSeen(ctx, nil); err != nil {
			t.Fatal(err)
		}
		rest, err := s.Unseen(ctx, 10)
		if err != nil || len(rest) != 2 || rest[0] != changes[1] || rest[1] != changes[3] {
			t.Errorf("%+v, %v", rest, err)
		}
	}},
}

// lateTests need a database that takes several writers at once.
var lateTests = []test{
	{"orders that commit late are not passed over", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		late(t, s, func(tx parking.Tx) error { return tx.Order(ctx, order(1)) }, func() error {
			if err := try(s, func(tx parking.Tx) error { return tx.Order(ctx, order(2)) }); err != nil {
				return err
			}
			// A clerk that looks now sees the second alone, and posts it.
			return s.MarkPosted(ctx, []string{order(2).ID}, Now)
		})
		if got := unposted(t, s, 10); fmt.Sprint(got) != fmt.Sprint([]string{order(1).ID}) {
			t.Errorf("%v", got)
		}
	}},
	{"changes that commit late are not passed over", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		late(t, s, func(tx parking.Tx) error { return tx.PutAllocation(ctx, claim(1, "B1").Allocation) }, func() error {
			if _, err := s.Claim(ctx, Now, []parking.Claim{claim(2, "B2")}); err != nil {
				return err
			}
			changes, err := s.Unseen(ctx, 10)
			if err != nil {
				return err
			}
			for _, c := range changes {
				if c.Allocation == id(2) {
					err = s.MarkSeen(ctx, []int64{c.ID})
				}
			}
			return err
		})
		changes, err := s.Unseen(ctx, 10)
		if err != nil || len(changes) != 1 || changes[0].Allocation != id(1) {
			t.Errorf("%+v, %v", changes, err)
		}
	}},
}
