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

// space is the n-th request for a space, assigned where carPark is not empty.
func space(n int, carPark string) parking.SpaceRequest {
	r := parking.SpaceRequest{
		ID: id(n), State: parking.SpaceWaiting, Revision: 1, Vehicle: parking.Vehicle{Plate: fmt.Sprint("AB", n), Class: "taxi", HeightMM: 1900, EV: true},
		Charger: true, Accessible: true, LatE7: 223_000_000, LonE7: -1_141_000_000, StayMinutes: 90, Arrives: later(600), MaxPriceCents: 6000,
		MaxWalkMetres: 700, LambdaPerMille: 500, RequestedAt: later(n), ExpiresAt: later(7200), Why: "停車場 <full>",
	}
	if carPark != "" {
		r.State, r.AssignedAt, r.HeldUntil, r.Moves, r.Short = parking.SpaceAssigned, later(5), later(1800), 2, true
		r.Place = &parking.SpacePlace{CarPark: carPark, PriceCents: 2000, WalkMetres: 300, Cost: 400_000}
		r.Next = &parking.SpacePlace{CarPark: "Z", Cost: 1}
		r.Pool, r.Reservation = "std", id(1000+n)
	}
	return r
}

func spaceIDs(list []parking.SpaceRequest) (ids []string) {
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	return ids
}

var spaceTests = []test{
	{"space requests", func(t *testing.T, s Store, open func() Store) {
		ctx := context.Background()
		put := func(r parking.SpaceRequest) error {
			return try(s, func(tx parking.Tx) error { return tx.PutSpaceRequest(ctx, r) })
		}
		one, two, other, waits := space(1, "P"), space(2, "P"), space(3, "Q"), space(4, "")
		if err := errors.Join(put(waits), put(two), put(other), put(one)); err != nil {
			t.Fatal(err)
		}
		wantError(t, put(one), parking.ErrStale)
		view(t, open(), func(tx parking.Tx) error {
			got, err := tx.SpaceRequest(ctx, one.ID)
			if err != nil || !reflect.DeepEqual(got, one) {
				t.Errorf("%+v, want %+v, %v", got, one, err)
			}
			all, err := tx.LiveSpaceRequests(ctx, "", 10)
			if err != nil || !reflect.DeepEqual(spaceIDs(all), []string{id(1), id(2), id(3), id(4)}) {
				t.Errorf("%v, %v", spaceIDs(all), err)
			}
			there, err := tx.LiveSpaceRequests(ctx, "P", 1)
			if err != nil || !reflect.DeepEqual(spaceIDs(there), []string{id(1)}) {
				t.Errorf("%v, %v", spaceIDs(there), err)
			}
			found, err := tx.SpaceRequestOf(ctx, "P", "AB2")
			if err != nil || found.ID != two.ID {
				t.Errorf("%+v, %v", found, err)
			}
			if live, first, err := tx.SpaceLoad(ctx); err != nil || live != 4 || !first.Equal(later(1)) {
				t.Errorf("%d since %s, %v", live, first, err)
			}
			for _, absent := range [][2]string{{"P", "AB3"}, {"", "AB4"}, {"P", ""}} {
				if _, err := tx.SpaceRequestOf(ctx, absent[0], absent[1]); !errors.Is(err, parking.ErrNotFound) {
					t.Errorf("%v: %v", absent, err)
				}
			}
			_, err = tx.SpaceRequest(ctx, "none")
			wantError(t, err, parking.ErrNotFound)
			return nil
		})
		ended := one
		ended.Revision, ended.State = 2, parking.SpaceWithdrawn
		wantError(t, put(ended), parking.ErrInvalid)
		ended.EndedAt = later(60)
		late := two
		late.Revision, late.State, late.EndedAt = 2, parking.SpaceArrived, later(70)
		lives := other
		lives.Revision, lives.EndedAt = 2, later(60)
		wantError(t, put(lives), parking.ErrInvalid)
		if err := errors.Join(put(ended), put(late)); err != nil {
			t.Fatal(err)
		}
		wantError(t, put(ended), parking.ErrStale)
		forget := func(before time.Time, limit int) (n int64) {
			do(t, s, func(tx parking.Tx) (err error) {
				n, err = tx.ForgetSpaceRequests(ctx, before, limit)
				return err
			})
			return n
		}
		if a, b, c, d := forget(later(60), 10), forget(later(80), 1), forget(later(80), 10), forget(later(9999), 10); a != 0 || b != 1 || c != 1 || d != 0 {
			t.Errorf("forgot %d, %d, %d, %d", a, b, c, d)
		}
		view(t, s, func(tx parking.Tx) error {
			_, err := tx.SpaceRequest(ctx, one.ID)
			wantError(t, err, parking.ErrNotFound)
			all, err := tx.LiveSpaceRequests(ctx, "", 10)
			if len(all) != 2 {
				t.Errorf("%v", spaceIDs(all))
			}
			return err
		})
	}},
	{"space requests that make no sense", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		for _, damage := range []func(*parking.SpaceRequest){
			func(r *parking.SpaceRequest) { r.ID = "" },
			func(r *parking.SpaceRequest) { r.Vehicle.Plate = "\xff" },
			func(r *parking.SpaceRequest) { r.Why = "\xff" },
			func(r *parking.SpaceRequest) { r.Revision = 0 },
		} {
			r := space(1, "P")
			damage(&r)
			wantError(t, try(s, func(tx parking.Tx) error { return tx.PutSpaceRequest(ctx, r) }), parking.ErrInvalid)
		}
		view(t, s, func(tx parking.Tx) error {
			_, err := tx.LiveSpaceRequests(ctx, "", 0)
			wantError(t, err, parking.ErrInvalid)
			return nil
		})
	}},
	{"space rounds", func(t *testing.T, s Store, open func() Store) {
		ctx := context.Background()
		put := func(s Store, n int64, keep int) error {
			return try(s, func(tx parking.Tx) error {
				return tx.PutSpaceRound(ctx, parking.SpaceRound{Number: n, At: later(int(n)), Drivers: 3, CarParks: map[string]parking.SpaceCount{"P": {UnderWay: 2}}}, keep)
			})
		}
		wantError(t, put(s, 2, 9), parking.ErrConflict)
		for n := range int64(4) {
			if err := put(s, n+1, 2); err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, put(open(), 4, 2), parking.ErrConflict)
		view(t, s, func(tx parking.Tx) error {
			got, err := tx.LastSpaceRounds(ctx, 10)
			if len(got) != 2 || got[0].Number != 4 || got[1].Number != 3 || !got[0].At.Equal(later(4)) || got[0].CarParks["P"].UnderWay != 2 {
				t.Errorf("%+v", got)
			}
			return err
		})
		// Of several that hold the same round one does.
		var wg sync.WaitGroup
		var held atomic.Int64
		for range 4 {
			other := open()
			wg.Go(func() {
				switch err := put(other, 5, 2); {
				case err == nil:
					held.Add(1)
				case !errors.Is(err, parking.ErrConflict):
					t.Errorf("%v", err)
				}
			})
		}
		if wg.Wait(); held.Load() != 1 {
			t.Errorf("%d processes held the round", held.Load())
		}
	}},
}
