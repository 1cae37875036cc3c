package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"freeflow/parking"
)

// reservation is a confirmed one of pool "std" at car park P.
func reservation(n int, start, end time.Time) parking.Reservation {
	return parking.Reservation{
		ID: id(n), CarPark: "P", Pool: "std", State: parking.Confirmed, Revision: 1, Account: "acc-1",
		Vehicle: parking.Vehicle{Plate: "AB1", Tag: "T1", Class: "taxi", LengthMM: 1, WidthMM: 2, HeightMM: 3, WeightKG: 4, EV: true, Accessible: true},
		Start:   start, End: end, ExpiresAt: Now.Add(time.Minute), NoShowAfter: start.Add(30 * time.Minute), CreatedAt: Now, Quote: "q1",
	}
}

// command fetches the car of the first allocation at machine R1.
func command(n int, due time.Time) parking.Command {
	return parking.Command{
		ID: id(n), CarPark: "P", Machine: "R1", Kind: parking.Fetch, Allocation: id(1), Bay: "B1", From: "B9",
		State: parking.Queued, Revision: 1, DueAt: due, CreatedAt: Now, Attempt: 1, Detail: "d",
	}
}

var recordTests = []test{
	{"definitions have versions", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		d := parking.Definition{CarPark: "P", Version: 1, Document: []byte("{}"), PutAt: Now, By: "desk"}
		two := d
		two.Version, two.Document = 2, []byte(`{"id":"P"}`)
		for _, one := range []parking.Definition{d, {CarPark: "A", Version: 1, PutAt: Now}, two} {
			do(t, s, func(tx parking.Tx) error { return tx.PutDefinition(ctx, one) })
		}
		for _, version := range []int64{0, 1, 2, 4} {
			d.Version = version
			wantError(t, try(s, func(tx parking.Tx) error { return tx.PutDefinition(ctx, d) }), parking.ErrStale)
		}
		view(t, s, func(tx parking.Tx) error {
			got, err := tx.Definitions(ctx)
			if len(got) != 2 || got[0].CarPark != "A" || got[1].Version != 2 || string(got[1].Document) != `{"id":"P"}` || got[1].By != "desk" || !got[1].PutAt.Equal(Now) {
				t.Errorf("%+v", got)
			}
			return err
		})
	}},
	{"machines", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		m := parking.MachineStatus{CarPark: "P", ID: "R2", Revision: 1, Boot: "b", Reconciled: true, Out: true, Reason: "chain", By: "machine", ReportedAt: Now, LiftsOut: 1, Memory: []byte{0, 1}}
		put := func(m parking.MachineStatus) error {
			return try(s, func(tx parking.Tx) error { return tx.PutMachine(ctx, m) })
		}
		if err := errors.Join(put(m), put(parking.MachineStatus{CarPark: "P", ID: "R1", Revision: 1}), put(parking.MachineStatus{CarPark: "Q", ID: "R2", Revision: 1})); err != nil {
			t.Fatal(err)
		}
		wantError(t, put(m), parking.ErrStale)
		m.Revision, m.Boot, m.Out = 2, "c", false
		if err := put(m); err != nil {
			t.Fatal(err)
		}
		wantError(t, put(m), parking.ErrStale)
		m.Revision = 4
		wantError(t, put(m), parking.ErrStale)
		view(t, s, func(tx parking.Tx) error {
			got, err := tx.Machines(ctx, "P")
			if len(got) != 2 || got[0].ID != "R1" || got[1].Boot != "c" || got[1].Out || string(got[1].Memory) != "\x00\x01" || got[1].Revision != 2 || !got[1].ReportedAt.Equal(Now) {
				t.Errorf("%+v", got)
			}
			return err
		})
	}},
	{"commands queue by when they are due", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		take(t, s, 1, "B1")
		put := func(c parking.Command) error {
			return try(s, func(tx parking.Tx) error { return tx.PutCommand(ctx, c) })
		}
		a, b, c := command(1, later(9)), command(2, later(5)), command(3, later(9))
		b.Machine = "R2"
		if err := errors.Join(put(c), put(b), put(a)); err != nil {
			t.Fatal(err)
		}
		queue := func(machine string) (ids []string) {
			view(t, s, func(tx parking.Tx) error {
				list, err := tx.Queue(ctx, "P", machine)
				for _, c := range list {
					ids = append(ids, c.ID)
				}
				return err
			})
			return ids
		}
		if got := queue(""); fmt.Sprint(got) != fmt.Sprint([]string{id(2), id(1), id(3)}) {
			t.Errorf("queue %v", got)
		}
		if got := queue("R1"); fmt.Sprint(got) != fmt.Sprint([]string{id(1), id(3)}) {
			t.Errorf("queue of R1 %v", got)
		}
		a.State, a.Revision, a.SentAt = parking.Sent, 2, later(1)
		if err := put(a); err != nil {
			t.Fatal(err)
		}
		wantError(t, put(a), parking.ErrStale)
		a.State, a.Revision = parking.Done, 3
		if err := put(a); err != nil {
			t.Fatal(err)
		}
		if got := queue("R1"); fmt.Sprint(got) != fmt.Sprint([]string{id(3)}) {
			t.Errorf("queue of R1 %v", got)
		}
		view(t, s, func(tx parking.Tx) error {
			got, err := tx.Command(ctx, id(1))
			a.EndedAt = Now // by the store's clock, as nobody said
			if got != a {
				t.Errorf("%+v, want %+v", got, a)
			}
			return err
		})
		c.Revision, c.EndedAt = 2, Now
		wantError(t, put(c), parking.ErrInvalid)
		wantError(t, s.View(ctx, func(tx parking.Tx) error { _, err := tx.Command(ctx, id(7)); return err }), parking.ErrNotFound)
	}},
	{"reservations", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		put := func(r parking.Reservation) error {
			return try(s, func(tx parking.Tx) error { return tx.PutReservation(ctx, r) })
		}
		a, b, c := reservation(1, later(100), later(200)), reservation(2, later(200), later(300)), reservation(3, later(50), later(150))
		b.State, b.Pool, c.CarPark = parking.Held, "ev", "Q"
		if err := errors.Join(put(b), put(a), put(c)); err != nil {
			t.Fatal(err)
		}
		wantError(t, put(a), parking.ErrStale)
		list := func(carPark, pool string, from, to int) (ids string) {
			view(t, s, func(tx parking.Tx) error {
				list, err := tx.Reservations(ctx, carPark, pool, later(from), later(to))
				for _, r := range list {
					ids += r.ID[31:]
				}
				return err
			})
			return ids
		}
		for _, q := range []struct {
			carPark, pool string
			from, to      int
			want          string
		}{
			{"P", "", 0, 1000, "12"}, {"P", "std", 0, 1000, "1"}, {"", "", 0, 1000, "312"}, {"P", "", 200, 201, "2"}, {"P", "", 199, 200, "1"},
			{"P", "", 0, 100, ""}, {"P", "", 300, 400, ""}, {"P", "", 120, 130, "1"}, {"Q", "", 149, 500, "3"},
		} {
			if got := list(q.carPark, q.pool, q.from, q.to); got != q.want {
				t.Errorf("%+v: %q", q, got)
			}
		}
		a.Revision, a.State, a.EndedAt, a.Allocation = 2, parking.CheckedIn, later(3), id(1)
		take(t, s, 1, "B1")
		if err := put(a); err != nil {
			t.Fatal(err)
		}
		view(t, s, func(tx parking.Tx) error {
			got, err := tx.Reservation(ctx, a.ID)
			if got != a {
				t.Errorf("%+v, want %+v", got, a)
			}
			return err
		})
		wantError(t, s.View(ctx, func(tx parking.Tx) error { _, err := tx.Reservation(ctx, id(7)); return err }), parking.ErrNotFound)
	}},
	{"deadlines lapse by the instant given", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		do(t, s, func(tx parking.Tx) error {
			for n, state := range []parking.ReservationState{parking.Held, parking.Confirmed, parking.CheckedIn, parking.Expired, parking.Held} {
				r := reservation(n+1, later(0), later(9000))
				r.State = state
				switch n {
				case 2:
					r.State = parking.NoShow
				case 4:
					r.ExpiresAt = time.Time{}
				}
				if err := tx.PutReservation(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
		for at, want := range map[int]string{59: "5", 60: "51", 1799: "51", 1800: "512"} {
			view(t, s, func(tx parking.Tx) error {
				list, err := tx.Lapsed(ctx, later(at), 10)
				got := ""
				for _, r := range list {
					got += r.ID[31:]
					if r.Counts(later(at)) {
						t.Errorf("at %d: %s still counts", at, r.ID)
					}
				}
				if got != want {
					t.Errorf("at %d: %q, want %q", at, got, want)
				}
				if list, err := tx.Lapsed(ctx, later(at), 1); len(list) != 1 || err != nil {
					t.Errorf("limit 1: %d, %v", len(list), err)
				}
				return err
			})
		}
	}},
	{"alarms stand until they are cleared, and may stand again", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		a := parking.Alarm{ID: "P machine R1", CarPark: "P", Kind: "machine-out", Subject: "R1", Detail: "chain", Raised: Now}
		b := parking.Alarm{ID: "Q bay B1", CarPark: "Q", Kind: "bay-disagrees", Subject: "B1", Raised: later(5)}
		raise := func(a parking.Alarm) { do(t, s, func(tx parking.Tx) error { return tx.Raise(ctx, a) }) }
		raise(a)
		raise(b)
		again := a
		again.Detail, again.Raised = "other words", later(9)
		raise(again)
		alarms := func(carPark string, limit int) (list []parking.Alarm) {
			view(t, s, func(tx parking.Tx) (err error) {
				list, err = tx.Alarms(ctx, carPark, limit)
				return err
			})
			return list
		}
		if got := alarms("", 10); len(got) != 2 || got[0] != b || got[1] != a {
			t.Errorf("%+v", got)
		}
		if got := alarms("P", 10); len(got) != 1 || got[0] != a {
			t.Errorf("%+v", got)
		}
		if got := alarms("", 1); len(got) != 1 || got[0] != b {
			t.Errorf("%+v", got)
		}
		do(t, s, func(tx parking.Tx) error { return tx.Clear(ctx, a.ID, "desk", "mended", later(10)) })
		wantError(t, try(s, func(tx parking.Tx) error { return tx.Clear(ctx, a.ID, "desk", "mended", later(10)) }), parking.ErrNotFound)
		if got := alarms("P", 10); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		raise(a)
		if got := alarms("P", 10); len(got) != 1 || got[0] != a {
			t.Errorf("raised again: %+v", got)
		}
	}},
	{"preferences", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		p := parking.Preference{Account: "acc-1", Business: true, Said: true, Pays: true, At: Now, By: "owner"}
		read := func(account string) (got parking.Preference) {
			view(t, s, func(tx parking.Tx) (err error) {
				got, err = tx.Preference(ctx, account)
				return err
			})
			return got
		}
		if got := read("acc-1"); got != (parking.Preference{}) {
			t.Errorf("%+v", got)
		}
		for _, pays := range []bool{true, false} {
			p.Pays = pays
			do(t, s, func(tx parking.Tx) error { return tx.PutPreference(ctx, p) })
			if got := read("acc-1"); got != p {
				t.Errorf("%+v", got)
			}
		}
		wantError(t, try(s, func(tx parking.Tx) error { return tx.PutPreference(ctx, parking.Preference{}) }), parking.ErrInvalid)
	}},
	{"texts that a database cannot hold are refused", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		for _, bad := range []string{"\xff", string(make([]byte, 10_000))} {
			r, c, e, a := reservation(1, Now, later(1)), command(1, Now), laneEvent(1, "AB1", Now), parking.Alarm{ID: "a", Detail: bad}
			r.Vehicle.Plate, c.Detail, e.Source, e.Plate = bad, bad, bad, bad
			m := parking.MachineStatus{CarPark: "P", ID: "R1", Revision: 1, Reason: bad}
			for i, fn := range []func(tx parking.Tx) error{
				func(tx parking.Tx) error { return tx.PutReservation(ctx, r) },
				func(tx parking.Tx) error { return tx.PutCommand(ctx, c) },
				func(tx parking.Tx) error { _, err := tx.PutLaneEvent(ctx, e); return err },
				func(tx parking.Tx) error { return tx.Raise(ctx, a) },
				func(tx parking.Tx) error { return tx.PutMachine(ctx, m) },
				func(tx parking.Tx) error { return tx.PutStay(ctx, parking.Stay{ID: id(1), Revision: 1, Reason: bad}) },
				func(tx parking.Tx) error { return tx.Order(ctx, parking.LedgerOrder{ID: bad, Kind: "charge"}) },
				func(tx parking.Tx) error { return tx.PutQuote(ctx, bad, Now, nil) },
				func(tx parking.Tx) error { return tx.PutDefinition(ctx, parking.Definition{CarPark: bad, Version: 1}) },
				func(tx parking.Tx) error { return tx.PutPreference(ctx, parking.Preference{Account: bad}) },
				func(tx parking.Tx) error { return tx.Lock(ctx, bad) },
			} {
				if err := try(s, fn); !errors.Is(err, parking.ErrInvalid) {
					t.Errorf("call %d with %.8q: %v", i, bad, err)
				}
			}
		}
	}},
}
