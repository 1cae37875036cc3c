package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"freeflow/parking"
)

var claimTests = []test{
	{"a claim gives what was asked for, once", func(t *testing.T, s Store, _ func() Store) {
		c := claim(1, "B1")
		c.Allocation.Machine, c.Allocation.NotBefore, c.Allocation.PromisedAt = "R1", later(60), later(120)
		c.Allocation.ComeBy = later(900)
		c.Allocation.ExpectedStayMinutes, c.Allocation.Reservation, c.Allocation.Stay = 75, "r1", "s1"
		c.Allocation.Next, c.Allocation.By, c.Allocation.Reason = "B2", "desk", "asked"
		c.Allocation.Vehicle = parking.Vehicle{Plate: "A\x00粵\x01", Tag: "T1", Class: "taxi", LengthMM: 1, WidthMM: 2, HeightMM: 3, WeightKG: 4, EV: true, Accessible: true}
		c.Command = &parking.Command{ID: id(901), CarPark: "P", Machine: "R1", Kind: parking.Store, Allocation: id(1), Bay: "B1",
			State: parking.Queued, Revision: 1, DueAt: later(5), CreatedAt: Now, Attempt: 1, Detail: "new"}
		o := mustClaim(t, s, Now, c)[0]
		if o.Err != nil || o.Answer.Replayed || string(o.Answer.Body) != string(c.Answer.Body) {
			t.Fatalf("%+v", o)
		}
		if got := get(t, s, 1); got != c.Allocation {
			t.Errorf("stands as %+v, want %+v", got, c.Allocation)
		}
		view(t, s, func(tx parking.Tx) error {
			got, err := tx.Command(context.Background(), id(901))
			if got != *c.Command {
				t.Errorf("command %+v, want %+v", got, *c.Command)
			}
			return err
		})
		history, err := s.History(context.Background(), id(1))
		want := parking.HistoryEntry{Allocation: id(1), Revision: 1, At: Now, To: parking.Assigned, Bay: "B1", By: "desk", Reason: "asked"}
		if err != nil || len(history) != 1 || history[0] != want {
			t.Errorf("history %+v, %v", history, err)
		}
	}},
	{"a taken bay costs the neighbours nothing", func(t *testing.T, s Store, _ func() Store) {
		take(t, s, 1, "B2")
		o := mustClaim(t, s, Now, claim(2, "B3"), claim(3, "B2"), claim(4, "B1"), claim(5, "B3"))
		wantError(t, o[1].Err, parking.ErrBayTaken)
		wantError(t, o[3].Err, parking.ErrBayTaken)
		if o[0].Err != nil || o[2].Err != nil {
			t.Errorf("%v, %v", o[0].Err, o[2].Err)
		}
		held := active(t, s)
		if len(held) != 3 || held["B1"] != id(4) || held["B2"] != id(1) || held["B3"] != id(2) {
			t.Errorf("held: %v", held)
		}
	}},
	{"of one batch the first in order wins, wherever it stands", func(t *testing.T, s Store, _ func() Store) {
		var claims []parking.Claim
		for i := range 90 {
			claims = append(claims, claim(100-i, fmt.Sprint("B", i%9)))
		}
		for i, o := range mustClaim(t, s, Now, claims...) {
			if (o.Err == nil) != (i < 9) {
				t.Errorf("claim %d: %v", i, o.Err)
			}
		}
	}},
	{"the same bay of another car park is another bay", func(t *testing.T, s Store, _ func() Store) {
		take(t, s, 1, "B1")
		c := claim(2, "B1")
		c.Allocation.CarPark = "Q"
		if o := mustClaim(t, s, Now, c)[0]; o.Err != nil {
			t.Error(o.Err)
		}
	}},
	{"a block holds its bay", func(t *testing.T, s Store, _ func() Store) {
		block := claim(1, "B1").Allocation
		block.State, block.Vehicle, block.By, block.Reason = parking.Blocked, parking.Vehicle{}, "desk", "oil"
		do(t, s, func(tx parking.Tx) error { return tx.PutAllocation(context.Background(), block) })
		wantError(t, mustClaim(t, s, Now, claim(2, "B1"))[0].Err, parking.ErrBayTaken)
		cancelled := departure(1)
		cancelled.To = parking.Cancelled
		wantError(t, mustDepart(t, s, Now, cancelled)[0].Err, parking.ErrConflict)
		if o := mustDepart(t, s, Now, departure(1))[0]; o.Err != nil {
			t.Fatal(o.Err)
		}
		take(t, s, 3, "B1")
		changes, err := s.Unseen(context.Background(), 10)
		if err != nil || len(changes) != 1 || changes[0].Allocation != id(3) {
			t.Errorf("the feed tells of %+v, %v", changes, err)
		}
	}},
	{"what can never be is refused alone", func(t *testing.T, s Store, _ func() Store) {
		bad := []func(c *parking.Claim){
			func(c *parking.Claim) { c.Allocation.ID = "" },
			func(c *parking.Claim) { c.Allocation.Bay = "" },
			func(c *parking.Claim) { c.Allocation.CarPark = "" },
			func(c *parking.Claim) { c.Allocation.State = parking.Stored },
			func(c *parking.Claim) { c.Allocation.State = "odd" },
			func(c *parking.Claim) { c.Allocation.Revision = 2 },
			func(c *parking.Claim) { c.Allocation.EndedAt = Now },
			func(c *parking.Claim) { c.Allocation.Vehicle.Plate = "\xff" },
			func(c *parking.Claim) { c.Allocation.Vehicle.Plate = string(make([]byte, 3000)) },
			func(c *parking.Claim) { c.Allocation.Why = string(make([]byte, 30_000)) },
			func(c *parking.Claim) { c.Once = once("", "x") },
			func(c *parking.Claim) { c.Once = once("\xff", "x") },
			func(c *parking.Claim) { c.Once = once("k", "x"); c.Answer.Body = make([]byte, 2<<20) },
			func(c *parking.Claim) {
				c.Command = &parking.Command{ID: id(1), Allocation: id(7), CarPark: "P", Revision: 1}
			},
			func(c *parking.Claim) { c.Allocation.ID = id(1000) },
		}
		claims := []parking.Claim{claim(1000, "B0")}
		for i, spoil := range bad {
			c := claim(i+1, fmt.Sprint("B", i+1))
			spoil(&c)
			claims = append(claims, c)
		}
		o := mustClaim(t, s, Now, append(claims, claim(2000, "B100"))...)
		if o[0].Err != nil || o[len(o)-1].Err != nil {
			t.Errorf("the good ones: %v, %v", o[0].Err, o[len(o)-1].Err)
		}
		for i := range bad {
			if o[i+1].Err == nil {
				t.Errorf("bad claim %d was taken", i)
			} else {
				wantError(t, o[i+1].Err, parking.ErrInvalid)
			}
		}
		if len(active(t, s)) != 2 {
			t.Errorf("held: %v", active(t, s))
		}
		if _, err := s.Claim(context.Background(), Now, make([]parking.Claim, 100_000)); err == nil {
			t.Error("a batch without bound was taken")
		}
		if o, err := s.Claim(context.Background(), Now, nil); err != nil || len(o) != 0 {
			t.Errorf("an empty batch: %v, %v", o, err)
		}
	}},
	{"a used id is a conflict, and no second car", func(t *testing.T, s Store, _ func() Store) {
		take(t, s, 1, "B1")
		again := claim(1, "B2")
		wantError(t, mustClaim(t, s, Now, again, claim(2, "B3"))[0].Err, parking.ErrConflict)
		mustDepart(t, s, later(1), departure(1))
		wantError(t, mustClaim(t, s, Now, again)[0].Err, parking.ErrConflict)
		if held := active(t, s); len(held) != 1 || held["B3"] != id(2) {
			t.Errorf("held: %v", held)
		}
	}},
	{"clocks that disagree make no overlap", func(t *testing.T, s Store, _ func() Store) {
		take(t, s, 1, "B1")
		// It leaves by a clock that is ahead, and by one that is behind.
		if o := mustDepart(t, s, later(50), departure(1))[0]; o.Err != nil || !o.After.EndedAt.Equal(later(50)) {
			t.Fatalf("%+v", o)
		}
		take(t, s, 2, "B1")
		if a := get(t, s, 2); !a.AssignedAt.Equal(later(50)) {
			t.Errorf("assigned at %v, while the bay was another's", a.AssignedAt)
		}
		o := mustDepart(t, s, later(-100), departure(2))[0]
		if o.Err != nil || !o.After.EndedAt.Equal(later(50)) || !get(t, s, 2).EndedAt.Equal(later(50)) {
			t.Errorf("ended at %v", o.After.EndedAt)
		}
		c := claim(3, "B1")
		c.Allocation.AssignedAt = time.Time{}
		mustClaim(t, s, later(70), c)
		if a := get(t, s, 3); !a.AssignedAt.Equal(later(70)) {
			t.Errorf("assigned at %v", a.AssignedAt)
		}
		history, err := s.History(context.Background(), id(2))
		if err != nil || len(history) != 2 || !history[0].At.Equal(later(50)) || !history[1].At.Equal(later(50)) {
			t.Errorf("history %+v, %v", history, err)
		}
	}},
	{"the live picture", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		take(t, s, 1, "B2")
		take(t, s, 2, "B1")
		take(t, s, 3, "B3")
		mustDepart(t, s, Now, departure(3))
		do(t, s, func(tx parking.Tx) error {
			for i, start := range []int{30, 10, 100, 20, 40} {
				r := reservation(i+1, later(start), later(start+1000))
				switch i {
				case 3:
					r.State = parking.ReservationCancelled
				case 4: // its hold is over
					r.State, r.ExpiresAt = parking.Held, Now
				}
				if err := tx.PutReservation(ctx, r); err != nil {
					return err
				}
			}
			for i, due := range []int{5, 3, 4} {
				c := command(i+1, later(due))
				if i == 2 {
					c.State, c.EndedAt = parking.Done, Now
				}
				if err := tx.PutCommand(ctx, c); err != nil {
					return err
				}
			}
			return tx.PutMachine(ctx, parking.MachineStatus{CarPark: "P", ID: "R1", Revision: 1})
		})
		o, err := s.Occupancy(ctx, "P", later(100))
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Active) != 2 || o.Active[0].ID != id(2) || o.Active[1].ID != id(1) || len(o.Machines) != 1 {
			t.Errorf("active %+v, machines %+v", o.Active, o.Machines)
		}
		if len(o.Queue) != 2 || o.Queue[0].ID != id(2) || o.Queue[1].ID != id(1) {
			t.Errorf("queue %+v", o.Queue)
		}
		if len(o.Due) != 2 || o.Due[0].ID != id(2) || o.Due[1].ID != id(1) {
			t.Errorf("due %+v", o.Due)
		}
		if o, err := s.Occupancy(ctx, "elsewhere", later(100)); err != nil || len(o.Active)+len(o.Machines)+len(o.Queue)+len(o.Due) != 0 {
			t.Errorf("elsewhere %+v, %v", o, err)
		}
	}},
}

var departTests = []test{
	{"each departure is judged alone", func(t *testing.T, s Store, _ func() Store) {
		for n := 1; n <= 4; n++ {
			take(t, s, n, fmt.Sprint("B", n))
		}
		put(t, s, 3, func(a *parking.Allocation) { a.State = parking.Moving })
		put(t, s, 4, func(a *parking.Allocation) { a.State = parking.Moving })
		cancel, byMachine, odd := departure(2), departure(3), departure(1)
		cancel.To, cancel.By, cancel.Reason = parking.Cancelled, "", ""
		byMachine.By, byMachine.Reason = "", ""
		odd.To = parking.Stored
		o := mustDepart(t, s, later(9), departure(9), departure(1), departure(1), cancel, byMachine, departure(4), odd)
		wantError(t, o[0].Err, parking.ErrNotFound)
		wantError(t, o[2].Err, parking.ErrConflict)
		wantError(t, o[4].Err, parking.ErrConflict) // a car in motion is not gone, unless a person says so
		wantError(t, o[6].Err, parking.ErrInvalid)
		for i, want := range map[int]parking.State{1: parking.Gone, 2: parking.Gone, 3: parking.Cancelled, 4: parking.Moving, 5: parking.Gone} {
			if o[i].After.State != want || (o[i].Err == nil) != (i != 2 && i != 4) {
				t.Errorf("departure %d: %+v", i, o[i])
			}
			if o[i].Err == nil && (!o[i].After.EndedAt.Equal(later(9)) || o[i].Answer.Replayed) {
				t.Errorf("departure %d: %+v", i, o[i])
			}
		}
		if string(o[1].Answer.Body) != "bye 1" || o[1].After != get(t, s, 1) || o[1].After.Revision != 2 {
			t.Errorf("%+v", o[1])
		}
		if a := get(t, s, 4); a.By != "desk" || a.Reason != "left" || a.Revision != 3 {
			t.Errorf("%+v", a)
		}
		if held := active(t, s); len(held) != 1 || held["B3"] != id(3) {
			t.Errorf("held %v", held)
		}
		wantError(t, mustDepart(t, s, later(10), departure(1))[0].Err, parking.ErrConflict)
	}},
	{"a bay is free for the next at once, and again", func(t *testing.T, s Store, _ func() Store) {
		for n := 1; n <= 20; n++ {
			if o := mustClaim(t, s, later(n), claim(n, "B1"))[0]; o.Err != nil {
				t.Fatal(o.Err)
			}
			wantError(t, mustClaim(t, s, later(n), claim(100+n, "B1"))[0].Err, parking.ErrBayTaken)
			if o := mustDepart(t, s, later(n), departure(n))[0]; o.Err != nil {
				t.Fatal(o.Err)
			}
		}
	}},
	{"bounds", func(t *testing.T, s Store, _ func() Store) {
		if _, err := s.Depart(context.Background(), Now, make([]parking.Departure, 100_000)); err == nil {
			t.Error("a batch without bound was taken")
		}
		if o, err := s.Depart(context.Background(), Now, nil); err != nil || len(o) != 0 {
			t.Errorf("an empty batch: %v, %v", o, err)
		}
	}},
}

var onceTests = []test{
	{"a repetition gets the answer of the first, and no bay", func(t *testing.T, s Store, open func() Store) {
		c := claim(1, "B1")
		c.Once = once("k", "x")
		mustClaim(t, s, Now, c)
		// The caller made another id and chose another bay meanwhile; at
		// another process, too.
		again := claim(2, "B2")
		again.Once = once("k", "x")
		for n, at := range []Store{s, open()} {
			before, after := 3+2*n, 4+2*n // a neighbour on each side
			o := mustClaim(t, at, later(1), claim(before, "B3"), again, claim(after, "B4"))
			if o[1].Err != nil || !o[1].Answer.Replayed || string(o[1].Answer.Body) != string(c.Answer.Body) ||
				o[1].Answer.Status != 201 || o[1].Answer.Location != c.Answer.Location {
				t.Fatalf("%+v", o[1])
			}
			mustDepart(t, at, later(1), departure(before), departure(after))
		}
		if held := active(t, s); len(held) != 1 || held["B1"] != id(1) {
			t.Errorf("held %v", held)
		}
		// It goes on being so after the car has left.
		mustDepart(t, s, later(2), departure(1))
		if o := mustClaim(t, s, later(3), again)[0]; o.Err != nil || !o.Answer.Replayed {
			t.Errorf("%+v", o)
		}
	}},
	{"another request under the key", func(t *testing.T, s Store, _ func() Store) {
		c, other, departing := claim(1, "B1"), claim(2, "B2"), departure(1)
		c.Once, other.Once, departing.Once = once("k", "x"), once("k", "y"), once("k", "z")
		mustClaim(t, s, Now, c)
		o := mustClaim(t, s, Now, other, claim(3, "B3"))
		wantError(t, o[0].Err, parking.ErrKeyReused)
		if o[1].Err != nil {
			t.Error(o[1].Err)
		}
		wantError(t, mustDepart(t, s, Now, departing)[0].Err, parking.ErrKeyReused)
		departing.Once.Scope = "another"
		if o := mustDepart(t, s, Now, departing)[0]; o.Err != nil || o.Answer.Replayed {
			t.Errorf("the same key in another scope: %+v", o)
		}
	}},
	{"a claim that fails keeps nothing", func(t *testing.T, s Store, _ func() Store) {
		take(t, s, 1, "B1")
		c := claim(2, "B1")
		c.Once = once("k", "x")
		wantError(t, mustClaim(t, s, Now, c)[0].Err, parking.ErrBayTaken)
		c.Allocation.Bay = "B2"
		if o := mustClaim(t, s, Now, c)[0]; o.Err != nil || o.Answer.Replayed {
			t.Errorf("%+v", o)
		}
	}},
	{"twice in one batch", func(t *testing.T, s Store, _ func() Store) {
		a, b, other := claim(1, "B1"), claim(2, "B2"), claim(3, "B3")
		a.Once, b.Once, other.Once = once("k", "x"), once("k", "x"), once("k", "y")
		o := mustClaim(t, s, Now, a, b, other)
		if o[0].Err != nil || o[0].Answer.Replayed || o[1].Err != nil || !o[1].Answer.Replayed || string(o[1].Answer.Body) != string(a.Answer.Body) {
			t.Errorf("%+v", o)
		}
		wantError(t, o[2].Err, parking.ErrKeyBusy)
		wantError(t, mustClaim(t, s, Now, other)[0].Err, parking.ErrKeyReused)
		first, second := departure(1), departure(1)
		first.Once, second.Once = once("d", "x"), once("d", "x")
		left := mustDepart(t, s, Now, first, second)
		if left[0].Err != nil || left[1].Err != nil || left[0].Answer.Replayed || !left[1].Answer.Replayed || left[1].After != left[0].After {
			t.Errorf("%+v", left)
		}
		if held := active(t, s); len(held) != 0 {
			t.Errorf("held %v", held)
		}
	}},
	{"a departure is repeated", func(t *testing.T, s Store, open func() Store) {
		take(t, s, 1, "B1")
		d := departure(1)
		d.Once = once("d", "x")
		first := mustDepart(t, s, Now, d)[0]
		take(t, s, 2, "B1")
		again := mustDepart(t, open(), later(5), d)[0]
		if again.Err != nil || !again.Answer.Replayed || string(again.Answer.Body) != "bye 1" || again.After != first.After {
			t.Errorf("%+v", again)
		}
		if held := active(t, s); held["B1"] != id(2) {
			t.Errorf("held %v", held)
		}
	}},
	{"what was pruned is forgotten", func(t *testing.T, s Store, _ func() Store) {
		for n, at := range []time.Time{Now, later(100)} {
			c := claim(n+1, fmt.Sprint("B", n))
			c.Once = once(fmt.Sprint("k", n), "x")
			mustClaim(t, s, at, c)
		}
		if n, err := s.Prune(context.Background(), later(100)); err != nil || n != 1 {
			t.Fatalf("pruned %d, %v", n, err)
		}
		for n, replayed := range []bool{false, true} {
			c := claim(n+10, fmt.Sprint("C", n))
			c.Once = once(fmt.Sprint("k", n), "x")
			if o := mustClaim(t, s, later(200), c)[0]; o.Err != nil || o.Answer.Replayed != replayed {
				t.Errorf("key %d: %+v", n, o)
			}
		}
	}},
}
