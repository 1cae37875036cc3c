package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/parking"
)

// day is an instant a number of days after Now.
func day(n int) time.Time { return Now.AddDate(0, 0, n) }

// sold is a pass of a vehicle over days.
func sold(n int, vehicle string, from, to int) parking.Pass {
	return parking.Pass{
		ID: id(n), CarPark: "P", Vehicle: vehicle, Permit: "monthly", Class: "private_car", From: day(from), To: day(to), PutAt: Now, By: "desk", Reason: "月票",
	}
}

func passIDs(list []parking.Pass) (ids []string) {
	for _, p := range list {
		ids = append(ids, p.ID)
	}
	return ids
}

var passTests = []test{
	{"passes are kept, listed and ended", func(t *testing.T, s Store, open func() Store) {
		ctx := context.Background()
		add := func(p parking.Pass) (known bool, err error) {
			err = try(s, func(tx parking.Tx) error {
				var err error
				known, err = tx.AddPass(ctx, p)
				return err
			})
			return known, err
		}
		for _, p := range []parking.Pass{sold(1, "AB1", 0, 30), sold(2, "AB1", 30, 60), sold(3, "AB2", 10, 40), sold(4, "tag:E2", 0, 1)} {
			if known, err := add(p); known || err != nil {
				t.Fatalf("%s: %v, %v", p.ID, known, err)
			}
		}
		elsewhere := sold(5, "AB1", 0, 30)
		elsewhere.CarPark = "Q"
		if _, err := add(elsewhere); err != nil {
			t.Errorf("at another car park: %v", err)
		}
		again := sold(1, "AB1", 0, 30)
		again.By, again.PutAt = "another", later(60)
		if known, err := add(again); !known || err != nil {
			t.Errorf("the same again: %v, %v", known, err)
		}
		// Never edited, and never two at once.
		for name, p := range map[string]parking.Pass{
			"another end": sold(1, "AB1", 0, 31), "another vehicle": sold(1, "AB9", 0, 30), "within": sold(6, "AB1", 10, 11),
			"around": sold(6, "AB1", -10, 90), "over the end": sold(6, "AB1", 59, 90), "over the beginning": sold(6, "AB2", 0, 11),
		} {
			_, err := add(p)
			if !errors.Is(err, parking.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, damage := range map[string]func(*parking.Pass){
			"no id": func(p *parking.Pass) { p.ID = "" }, "no vehicle": func(p *parking.Pass) { p.Vehicle = "" }, "no permit": func(p *parking.Pass) { p.Permit = "" },
			"no time": func(p *parking.Pass) { p.To = p.From }, "ended": func(p *parking.Pass) { p.EndedAt = p.To }, "no text": func(p *parking.Pass) { p.Reason = "\xff" },
		} {
			p := sold(7, "AB7", 0, 30)
			damage(&p)
			if _, err := add(p); !errors.Is(err, parking.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		list := func(vehicle string, from, to time.Time, after string, limit int) (list []parking.Pass) {
			view(t, open(), func(tx parking.Tx) (err error) {
				list, err = tx.Passes(ctx, "P", vehicle, from, to, after, limit)
				return err
			})
			return list
		}
		for name, c := range map[string]struct {
			got  []parking.Pass
			want []string
		}{
			"all":                {list("", day(-1), day(90), "", 10), []string{id(1), id(4), id(3), id(2)}},
			"a page":             {list("", day(-1), day(90), id(1), 2), []string{id(4), id(3)}},
			"of a vehicle":       {list("AB1", day(-1), day(90), "", 10), []string{id(1), id(2)}},
			"at an instant":      {list("AB1", day(30), day(30).Add(1000), "", 10), []string{id(2)}},
			"just before":        {list("AB1", day(30).Add(-time.Microsecond), day(30), "", 10), []string{id(1)}},
			"before everything":  {list("AB1", day(-9), day(0), "", 10), nil},
			"after everything":   {list("AB1", day(60), day(99), "", 10), nil},
			"of nobody's":        {list("AB", day(-9), day(99), "", 10), nil},
			"of a tag":           {list("tag:E2", day(0), day(1), "", 10), []string{id(4)}},
			"of a tag, as plate": {list("E2", day(0), day(1), "", 10), nil},
		} {
			if got := passIDs(c.got); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
		end := func(n int, at time.Time) error {
			return try(s, func(tx parking.Tx) error { return tx.EndPass(ctx, id(n), at, "desk", "moved away") })
		}
		if err := errors.Join(end(2, day(45)), end(2, day(50)), end(3, day(5))); err != nil {
			t.Fatal(err)
		}
		wantError(t, end(99, day(1)), parking.ErrNotFound)
		want := sold(2, "AB1", 30, 60)
		want.EndedAt, want.EndedBy, want.EndReason = day(45), "desk", "moved away"
		view(t, open(), func(tx parking.Tx) error {
			got, err := tx.Pass(ctx, id(2))
			if err != nil || !reflect.DeepEqual(got, want) || !got.Until().Equal(day(45)) {
				t.Errorf("%+v, want %+v, %v", got, want, err)
			}
			_, err = tx.Pass(ctx, id(98))
			wantError(t, err, parking.ErrNotFound)
			return nil
		})
		if got := passIDs(list("AB1", day(45), day(60), "", 10)); got != nil {
			t.Errorf("after its end: %v", got)
		}
		if got := passIDs(list("AB2", day(0), day(60), "", 10)); got != nil {
			t.Errorf("one that never began: %v", got)
		}
		// The rest of a time that was given back can be sold anew.
		for _, p := range []parking.Pass{sold(8, "AB1", 45, 75), sold(9, "AB2", 10, 40)} {
			if _, err := add(p); err != nil {
				t.Errorf("%s: %v", p.ID, err)
			}
		}
	}},
	{"one of several passes at once", func(t *testing.T, s Store, open func() Store) {
		ctx := context.Background()
		var won atomic.Int64
		var wg sync.WaitGroup
		stores := []Store{s, open()}
		for n := range 8 {
			wg.Go(func() {
				err := try(stores[n%2], func(tx parking.Tx) error {
					_, err := tx.AddPass(ctx, sold(n+1, "AB1", n, n+30))
					return err
				})
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, parking.ErrConflict):
					t.Errorf("pass %d: %v", n, err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d passes of one vehicle at once", won.Load())
		}
	}},
	{"outages follow from machines", func(t *testing.T, s Store, open func() Store) {
		ctx := context.Background()
		put := func(revision int64, out bool, lifts int, reason string) {
			do(t, s, func(tx parking.Tx) error {
				return tx.PutMachine(ctx, parking.MachineStatus{CarPark: "P", ID: "R1", Revision: revision, Out: out, LiftsOut: lifts, Reason: reason})
			})
		}
		seen := func(from, to time.Time) (list []parking.Outage) {
			view(t, open(), func(tx parking.Tx) (err error) {
				list, err = tx.Outages(ctx, "P", "R1", from, to)
				return err
			})
			return list
		}
		put(1, false, 0, "")
		if got := seen(day(-9), day(9)); got != nil {
			t.Errorf("a machine that serves: %+v", got)
		}
		put(2, true, 0, "chain")
		put(3, true, 0, "chain, still")
		lasts := parking.Outage{CarPark: "P", Machine: "R1", From: Now, Out: true, Reason: "chain"}
		if got := seen(Now, Now.Add(time.Microsecond)); len(got) != 1 || !reflect.DeepEqual(got[0], lasts) {
			t.Errorf("%+v", got)
		}
		if got := seen(day(-9), Now); got != nil {
			t.Errorf("before it: %+v", got)
		}
		put(4, false, 1, "lift 2")
		put(5, false, 0, "")
		put(6, false, 0, "")
		// The suite's clock stands still, so that what has ended has no length.
		if got := seen(day(-9), day(9)); len(got) != 2 || got[0].To.IsZero() || got[1].To.IsZero() {
			t.Errorf("%+v", got)
		}
		put(7, true, 0, "door")
		if got := seen(day(5), day(9)); len(got) != 1 || got[0].Reason != "door" {
			t.Errorf("%+v", got)
		}
	}},
	{"no-shows are settled once", func(t *testing.T, s Store, open func() Store) {
		ctx := context.Background()
		for n, state := range []parking.ReservationState{parking.Confirmed, parking.NoShow, parking.ReservationCancelled, parking.NoShow} {
			r := parking.Reservation{
				ID: id(n), CarPark: "P", Pool: "std", State: parking.Confirmed, Revision: 1, Start: later(60), End: later(600), NoShowAfter: later(120), CreatedAt: Now,
			}
			do(t, s, func(tx parking.Tx) error { return tx.PutReservation(ctx, r) })
			if state != parking.Confirmed {
				r.State, r.Revision, r.EndedAt = state, 2, later(120)
				do(t, s, func(tx parking.Tx) error { return tx.PutReservation(ctx, r) })
			}
		}
		waiting := func() (ids []string) {
			view(t, open(), func(tx parking.Tx) error {
				list, err := tx.UnsettledNoShows(ctx, 10)
				for _, n := range list {
					ids = append(ids, n.Reservation)
				}
				return err
			})
			return ids
		}
		if got := waiting(); !reflect.DeepEqual(got, []string{id(1), id(3)}) {
			t.Fatalf("waiting: %v", got)
		}
		fee := parking.NoShowFee{
			Reservation: id(1), CarPark: "P", SettledAt: later(180), AmountCents: 4000, Currency: "HKD", Account: "acc", Receipt: []byte(`{"lines":[]}`), Problem: "none",
		}
		settle := func(f parking.NoShowFee) error {
			return try(s, func(tx parking.Tx) error {
				order := parking.LedgerOrder{ID: "no-show/" + f.Reservation + "/1", Kind: "charge", At: Now}
				return errors.Join(tx.Order(ctx, order), tx.SettleNoShow(ctx, f))
			})
		}
		if err := settle(fee); err != nil {
			t.Fatal(err)
		}
		other := fee
		other.AmountCents = 1
		wantError(t, settle(other), parking.ErrStale)
		other.Reservation = id(0)
		wantError(t, settle(other), parking.ErrStale)
		other.Reservation, other.AmountCents = id(3), -1
		wantError(t, settle(other), parking.ErrInvalid)
		view(t, open(), func(tx parking.Tx) error {
			got, err := tx.NoShowFee(ctx, id(1))
			if err != nil || !reflect.DeepEqual(got, fee) {
				t.Errorf("%+v, want %+v, %v", got, fee, err)
			}
			_, err = tx.NoShowFee(ctx, id(2))
			wantError(t, err, parking.ErrNotFound)
			return nil
		})
		if got := waiting(); !reflect.DeepEqual(got, []string{id(3)}) {
			t.Errorf("waiting: %v", got)
		}
	}},
	{"open stays by lane", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		for n, state := range []parking.StayState{parking.Open, parking.Open, parking.Closed, parking.Open} {
			lane, event := "P-IN-1", fmt.Sprint("e", n)
			if n == 1 {
				lane = "P-IN-2"
			}
			do(t, s, func(tx parking.Tx) error {
				_, err := tx.PutLaneEvent(ctx, parking.LaneEvent{ID: event, CarPark: "P", Lane: lane, Direction: parking.In, At: Now, Plate: "AB1"})
				if n == 3 {
					event = "" // seen at no lane
				}
				return errors.Join(err, tx.PutStay(ctx, parking.Stay{ID: id(n), CarPark: "P", State: state, Revision: 1, Vehicle: "AB1", EntryEvent: event, Entry: Now}))
			})
		}
		for lane, want := range map[string]int64{"P-IN-1": 1, "P-IN-2": 1, "P-OUT-1": 0, "": 3} {
			view(t, s, func(tx parking.Tx) error {
				n, err := tx.OpenStays(ctx, "P", lane)
				if n != want {
					t.Errorf("%q: %d open stays, want %d", lane, n, want)
				}
				return err
			})
		}
	}},
}
