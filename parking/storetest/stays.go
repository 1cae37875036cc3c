package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"freeflow/parking"
)

// laneEvent is an arrival at car park P.
func laneEvent(n int, plate string, at time.Time) parking.LaneEvent {
	return parking.LaneEvent{
		ID: id(n), CarPark: "P", Lane: "P-IN-1", Direction: parking.In, At: at, Plate: plate,
		ConfidencePermille: 998, Class: "private_car", Source: "reads",
	}
}

// stay is an open one of the vehicle.
func stay(n int, vehicle string, entry time.Time) parking.Stay {
	return parking.Stay{ID: id(n), CarPark: "P", State: parking.Open, Revision: 1, Vehicle: vehicle, Plate: vehicle, Class: "private_car", Entry: entry, Currency: "HKD"}
}

var stayTests = []test{
	{"lane events are known again", func(t *testing.T, s Store, open func() Store) {
		ctx := context.Background()
		put := func(at Store, e parking.LaneEvent) (known bool, err error) {
			err = try(at, func(tx parking.Tx) error {
				var err error
				known, err = tx.PutLaneEvent(ctx, e)
				return err
			})
			return known, err
		}
		e := laneEvent(1, "AB1", Now.Add(1500*time.Nanosecond))
		e.Tag, e.Ticket = "T1", "K1"
		if known, err := put(s, e); known || err != nil {
			t.Fatalf("%v, %v", known, err)
		}
		for _, at := range []Store{s, open()} {
			if known, err := put(at, e); !known || err != nil {
				t.Fatalf("again: %v, %v", known, err)
			}
		}
		other := e
		other.At = later(1)
		_, err := put(s, other)
		wantError(t, err, parking.ErrConflict)
		tag, ticket, late := laneEvent(2, "", later(2)), laneEvent(3, "", later(3)), laneEvent(4, "AB1", later(-5))
		tag.Tag, ticket.Ticket = "T1", "K1"
		elsewhere := laneEvent(5, "AB1", Now)
		elsewhere.CarPark = "Q"
		for _, one := range []parking.LaneEvent{tag, ticket, late, elsewhere} {
			if _, err := put(s, one); err != nil {
				t.Fatal(err)
			}
		}
		e.At = e.At.Truncate(time.Microsecond)
		for vehicle, want := range map[string][]parking.LaneEvent{"AB1": {late, e}, "tag:T1": {e, tag}, "ticket:K1": {e, ticket}, "XX": nil, "": nil} {
			view(t, s, func(tx parking.Tx) error {
				got, err := tx.LaneEvents(ctx, "P", vehicle, later(-5), later(4))
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("of %s: %+v", vehicle, got)
				}
				return err
			})
		}
		view(t, s, func(tx parking.Tx) error {
			got, err := tx.LaneEvents(ctx, "P", "AB1", later(-4), e.At)
			if len(got) != 0 {
				t.Errorf("%+v", got)
			}
			return err
		})
	}},
	{"stays", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		take(t, s, 1, "B1")
		full := parking.Stay{
			ID: id(1), CarPark: "P", State: parking.Closed, Revision: 1, Vehicle: "AB1", Tag: "T1", Plate: "AB1", Ticket: "K1", Class: "taxi",
			Account: "acc-1", Means: parking.PaysAccount, EntryEvent: "e1", ExitEvent: "e2", Entry: Now, Exit: later(60), ClockFrom: later(5), ClockTo: later(55),
			Allocation: id(1), TariffVersion: "2026-01", Quote: "q", AmountCents: 1900, PaidCents: 100, Currency: "HKD", Receipt: []byte("{}"),
			Flags: []string{"a", "b\x00"}, ChargeRevision: 2, By: "desk", Reason: "why", Details: []byte("[]"),
		}
		put := func(st parking.Stay) error {
			return try(s, func(tx parking.Tx) error { return tx.PutStay(ctx, st) })
		}
		do(t, s, func(tx parking.Tx) error {
			other := stay(2, "AB2", Now) // settled by the order of the first
			other.State, other.AmountCents = parking.Closed, 500
			return errors.Join(tx.PutStay(ctx, other),
				tx.Order(ctx, parking.LedgerOrder{ID: id(1) + "-1-charge", Kind: "charge", At: Now, Stays: []string{id(1), id(2)}}))
		})
		if err := put(full); err != nil {
			t.Fatal(err)
		}
		wantError(t, put(full), parking.ErrStale)
		read := func(call func(tx parking.Tx) (parking.Stay, error)) {
			t.Helper()
			view(t, s, func(tx parking.Tx) error {
				got, err := call(tx)
				if !reflect.DeepEqual(got, full) {
					t.Errorf("%+v, want %+v", got, full)
				}
				return err
			})
		}
		read(func(tx parking.Tx) (parking.Stay, error) { return tx.Stay(ctx, id(1)) })
		full.Revision, full.Flags, full.Receipt, full.PaidCents = 2, nil, nil, 1900
		if err := put(full); err != nil {
			t.Fatal(err)
		}
		read(func(tx parking.Tx) (parking.Stay, error) { return tx.StayOf(ctx, id(1)) })
		for _, call := range []func(tx parking.Tx) error{
			func(tx parking.Tx) error { _, err := tx.Stay(ctx, id(3)); return err },
			func(tx parking.Tx) error { _, err := tx.StayOf(ctx, id(2)); return err },
			func(tx parking.Tx) error { _, err := tx.StayOf(ctx, ""); return err },
		} {
			wantError(t, s.View(ctx, call), parking.ErrNotFound)
		}
	}},
	{"lists go page by page in order of time", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		do(t, s, func(tx parking.Tx) error {
			for n := range 20 {
				st := stay(n+1, []string{"AB1", "AB2"}[n%2], later(n/4))
				if n == 19 { // known from its exit alone
					st.Entry, st.Exit = time.Time{}, later(-1)
				}
				if n >= 16 && n < 19 {
					st.CarPark = "Q"
				}
				if err := tx.PutStay(ctx, st); err != nil {
					return err
				}
			}
			return nil
		})
		var claims []parking.Claim
		for n := range 20 {
			c := claim(n+1, fmt.Sprint("B", n))
			c.Allocation.AssignedAt = later(n / 4)
			c.Allocation.Vehicle.Plate, c.Allocation.Vehicle.Tag = []string{"AB1", ""}[n%2], []string{"", "AB1"}[n%2]
			c.Allocation.Beside = n >= 2 // one vehicle, given so many bays by staff
			if n == 19 {
				c.Allocation.AssignedAt = later(-1)
			}
			if n >= 16 && n < 19 {
				c.Allocation.CarPark = "Q"
			}
			claims = append(claims, c)
		}
		mustClaim(t, s, Now, claims...)
		mustDepart(t, s, later(100), departure(1), departure(2))
		list := func(carPark, vehicle string, limit int, from time.Time, stays bool) (numbers []int) {
			t.Helper()
			after := ""
			for {
				var ids []string
				view(t, s, func(tx parking.Tx) error {
					p := parking.Page{After: after, Limit: limit, From: from}
					if stays {
						list, err := tx.Stays(ctx, carPark, vehicle, p)
						for _, s := range list {
							ids = append(ids, s.ID)
						}
						return err
					}
					list, err := tx.Allocations(ctx, carPark, vehicle, p)
					for _, a := range list {
						ids = append(ids, a.ID)
					}
					return err
				})
				if len(ids) > limit {
					t.Fatalf("%d on a page of %d", len(ids), limit)
				}
				for _, one := range ids {
					var n int
					if _, err := fmt.Sscanf(one, "%x", &n); err != nil {
						t.Fatal(err)
					}
					numbers = append(numbers, n)
				}
				if len(ids) < limit {
					return numbers
				}
				after = ids[limit-1]
			}
		}
		for _, q := range []struct {
			carPark, vehicle string
			from             time.Time
			stays            bool
			want             []int
		}{
			{"P", "", time.Time{}, true, []int{20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
			{"", "AB2", time.Time{}, true, []int{20, 2, 4, 6, 8, 10, 12, 14, 16, 18}},
			{"Q", "AB1", time.Time{}, true, []int{17, 19}},
			{"P", "AB1", later(3), true, []int{13, 15}},
			{"", "", later(-1), true, []int{20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}},
			{"P", "", time.Time{}, false, []int{20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
			{"P", "tag:AB1", time.Time{}, false, []int{20, 2, 4, 6, 8, 10, 12, 14, 16}},
			{"Q", "AB1", later(4), false, []int{17, 18, 19}},
			{"", "tag:AB1", later(2), false, []int{10, 12, 14, 16, 18}},
			{"P", "tag:", time.Time{}, false, nil},
		} {
			for _, limit := range []int{1, 3, 100} {
				if got := list(q.carPark, q.vehicle, limit, q.from, q.stays); fmt.Sprint(got) != fmt.Sprint(q.want) {
					t.Errorf("%+v by %d: %v", q, limit, got)
				}
			}
		}
		for _, p := range []parking.Page{{}, {Limit: -1}, {Limit: 1 << 30}} {
			wantError(t, s.View(ctx, func(tx parking.Tx) error { _, err := tx.Stays(ctx, "P", "", p); return err }), parking.ErrInvalid)
		}
		wantError(t, s.View(ctx, func(tx parking.Tx) error {
			_, err := tx.Allocations(ctx, "P", "", parking.Page{After: "gone", Limit: 5})
			return err
		}), parking.ErrNotFound)
	}},
	{"quotes bind", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		put := func(expires time.Time, document string) error {
			return try(s, func(tx parking.Tx) error { return tx.PutQuote(ctx, "q", expires, []byte(document)) })
		}
		if err := put(later(60), "one"); err != nil {
			t.Fatal(err)
		}
		if err := put(later(60), "one"); err != nil {
			t.Errorf("the same again: %v", err)
		}
		wantError(t, put(later(60), "two"), parking.ErrConflict)
		wantError(t, put(later(61), "one"), parking.ErrConflict)
		view(t, s, func(tx parking.Tx) error {
			expires, document, err := tx.Quote(ctx, "q")
			if !expires.Equal(later(60)) || string(document) != "one" {
				t.Errorf("%v, %s", expires, document)
			}
			return err
		})
		wantError(t, s.View(ctx, func(tx parking.Tx) error { _, _, err := tx.Quote(ctx, "r"); return err }), parking.ErrNotFound)
	}},
}
