package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"freeflow/parking"
)

// answer is what the suite's transactions answer.
var answer = parking.Answer{Status: 200, Body: []byte("done"), Location: "/here"}

// block puts a block on a bay.
func block(ctx context.Context, tx parking.Tx, n int, bay string) error {
	a := claim(n, bay).Allocation
	a.State, a.Vehicle, a.By, a.Reason = parking.Blocked, parking.Vehicle{}, "desk", "oil"
	return tx.PutAllocation(ctx, a)
}

var doTests = []test{
	{"an answer is kept with its effect", func(t *testing.T, s Store, open func() Store) {
		ctx := context.Background()
		runs := 0
		fn := func(tx parking.Tx) (parking.Answer, error) {
			runs++
			return answer, block(ctx, tx, runs, fmt.Sprint("B", runs))
		}
		first, err := s.Do(ctx, once("k", "x"), fn)
		if err != nil || first.Replayed || string(first.Body) != "done" {
			t.Fatalf("%+v, %v", first, err)
		}
		for _, at := range []Store{s, open()} {
			again, err := at.Do(ctx, once("k", "x"), fn)
			if err != nil || !again.Replayed || again.Status != 200 || string(again.Body) != "done" || again.Location != "/here" {
				t.Errorf("%+v, %v", again, err)
			}
			_, err = at.Do(ctx, once("k", "y"), fn)
			wantError(t, err, parking.ErrKeyReused)
		}
		if runs != 1 || len(active(t, s)) != 1 {
			t.Errorf("ran %d times, held %v", runs, active(t, s))
		}
		c := claim(9, "B9")
		c.Once = once("k", "x")
		if o := mustClaim(t, s, Now, c)[0]; !o.Answer.Replayed || string(o.Answer.Body) != "done" {
			t.Errorf("%+v", o)
		}
		if _, err := s.Do(ctx, nil, fn); err != nil || runs != 2 {
			t.Errorf("without a key: %d runs, %v", runs, err)
		}
	}},
	{"an error undoes everything and keeps nothing", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		fault := errors.New("a fault")
		_, err := s.Do(ctx, once("k", "x"), func(tx parking.Tx) (parking.Answer, error) {
			return answer, errors.Join(block(ctx, tx, 1, "B1"), fault)
		})
		wantError(t, err, fault)
		if len(active(t, s)) != 0 {
			t.Errorf("held %v", active(t, s))
		}
		got, err := s.Do(ctx, once("k", "y"), func(tx parking.Tx) (parking.Answer, error) { return answer, block(ctx, tx, 1, "B1") })
		if err != nil || got.Replayed {
			t.Errorf("%+v, %v", got, err)
		}
		_, err = s.Do(ctx, once("big", "x"), func(parking.Tx) (parking.Answer, error) {
			return parking.Answer{Body: make([]byte, 2<<20)}, nil
		})
		wantError(t, err, parking.ErrInvalid)
		_, err = s.Do(ctx, once("", "x"), func(parking.Tx) (parking.Answer, error) { return answer, nil })
		wantError(t, err, parking.ErrInvalid)
	}},
	{"what is stale runs again, not for ever", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		runs := 0
		_, err := s.Do(ctx, once("k", "x"), func(tx parking.Tx) (parking.Answer, error) {
			if runs++; runs < 3 {
				return answer, errors.Join(block(ctx, tx, runs, "B1"), parking.ErrStale)
			}
			return answer, block(ctx, tx, 3, "B1")
		})
		if err != nil || runs != 3 || active(t, s)["B1"] != id(3) {
			t.Errorf("%d runs, %v, held %v", runs, err, active(t, s))
		}
		runs = 0
		_, err = s.Do(ctx, nil, func(parking.Tx) (parking.Answer, error) {
			runs++
			return answer, parking.ErrStale
		})
		wantError(t, err, parking.ErrStale)
		if runs < 2 || runs > 20 {
			t.Errorf("ran %d times", runs)
		}
	}},
	{"a view cannot write", func(t *testing.T, s Store, _ func() Store) {
		err := s.View(context.Background(), func(tx parking.Tx) error { return block(context.Background(), tx, 1, "B1") })
		if err == nil || len(active(t, s)) != 0 {
			t.Errorf("%v, held %v", err, active(t, s))
		}
	}},
	{"a key under way is busy", func(t *testing.T, s Store, _ func() Store) {
		ctx := context.Background()
		take(t, s, 1, "B1")
		_, err := s.Do(ctx, once("k", "x"), func(parking.Tx) (parking.Answer, error) {
			for _, content := range []string{"x", "y"} {
				_, err := s.Do(ctx, once("k", content), func(parking.Tx) (parking.Answer, error) { return answer, nil })
				if !errors.Is(err, parking.ErrKeyBusy) {
					t.Errorf("Do: %v", err)
				}
				c, d := claim(2, "B2"), departure(1)
				c.Once, d.Once = once("k", content), once("k", content)
				if o, err := s.Claim(ctx, Now, []parking.Claim{c}); err != nil || !errors.Is(o[0].Err, parking.ErrKeyBusy) {
					t.Errorf("Claim: %+v, %v", o, err)
				}
				if o, err := s.Depart(ctx, Now, []parking.Departure{d}); err != nil || !errors.Is(o[0].Err, parking.ErrKeyBusy) {
					t.Errorf("Depart: %+v, %v", o, err)
				}
			}
			return answer, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Do(ctx, once("k", "x"), nil); err != nil || !got.Replayed {
			t.Errorf("%+v, %v", got, err)
		}
		// Free again after a failure, too.
		for range 2 {
			_, err = s.Do(ctx, once("f", "x"), func(parking.Tx) (parking.Answer, error) { return answer, parking.ErrConflict })
			wantError(t, err, parking.ErrConflict)
		}
	}},
	{"a context that has ended does nothing", func(t *testing.T, s Store, _ func() Store) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c := claim(1, "B1")
		c.Once = once("k", "x")
		if _, err := s.Claim(ctx, Now, []parking.Claim{c}); !errors.Is(err, context.Canceled) {
			t.Errorf("claim: %v", err)
		}
		if _, err := s.Do(ctx, once("k", "x"), func(tx parking.Tx) (parking.Answer, error) { return answer, block(ctx, tx, 1, "B1") }); !errors.Is(err, context.Canceled) {
			t.Errorf("do: %v", err)
		}
		if len(active(t, s)) != 0 {
			t.Errorf("held %v", active(t, s))
		}
		if o := mustClaim(t, s, Now, c)[0]; o.Err != nil || o.Answer.Replayed {
			t.Errorf("%+v", o)
		}
	}},
}

// processTests need a database that takes several writers at once.
var processTests = []test{
	{"a key under way in another process is busy", func(t *testing.T, s Store, open func() Store) {
		ctx := context.Background()
		other := open()
		claimed := make(chan parking.ClaimOutcome, 1)
		_, err := s.Do(ctx, once("k", "x"), func(tx parking.Tx) (parking.Answer, error) {
			_, err := other.Do(ctx, once("k", "x"), func(parking.Tx) (parking.Answer, error) { return answer, nil })
			if !errors.Is(err, parking.ErrKeyBusy) {
				t.Errorf("Do: %v", err)
			}
			// A claim waits, here or where it looks for the answer.
			go func() {
				c := claim(1, "B1")
				c.Once = once("k", "x")
				o, err := other.Claim(ctx, Now, []parking.Claim{c, claim(2, "B2")})
				if err != nil {
					t.Error(err)
					o = make([]parking.ClaimOutcome, 1)
				}
				claimed <- o[0]
			}()
			return answer, block(ctx, tx, 3, "B3")
		})
		if err != nil {
			t.Fatal(err)
		}
		if o := <-claimed; o.Err != nil || !o.Answer.Replayed && active(t, s)["B1"] != id(1) {
			t.Errorf("%+v", o)
		}
	}},
	{"a batch that meets a change looks again", func(t *testing.T, s Store, open func() Store) {
		ctx := context.Background()
		other := open()
		for round := range 12 {
			n := 10 * round
			take(t, s, n+1, "B1")
			take(t, s, n+2, "B2")
			done := make(chan []parking.DepartureOutcome, 1)
			go func() {
				o, err := other.Depart(ctx, Now, []parking.Departure{departure(n + 1), departure(n + 2)})
				if err != nil {
					t.Error(err)
				}
				done <- o
			}()
			err := tryPut(t, s, n+1, func(a *parking.Allocation) { a.State, a.EndedAt = parking.Stored, time.Time{} })
			if err != nil && !errors.Is(err, parking.ErrStale) && !errors.Is(err, parking.ErrConflict) {
				t.Fatal(err)
			}
			for _, o := range <-done {
				if o.Err != nil || o.After.State != parking.Gone {
					t.Errorf("round %d: %+v", round, o)
				}
			}
		}
	}},
}
