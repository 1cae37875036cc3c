package parking

import (
	"math"
	"testing"
	"time"
)

// An end is an end, a block only opens, and every other state can reach an end.
func TestTransitions(t *testing.T) {
	all := []State{Assigned, Moving, Stored, Retrieving, Staged, Unknown, Gone, Cancelled, Blocked}
	for _, s := range all {
		reached := map[State]bool{}
		for next := []State{s}; len(next) > 0; next = next[1:] {
			for _, to := range all {
				if next[0].May(to) && !reached[to] {
					reached[to] = true
					next = append(next, to)
				}
			}
		}
		if s.Final() != (len(reached) == 0) {
			t.Errorf("from %s there is %v", s, reached)
		}
		if !s.Final() && !reached[Gone] {
			t.Errorf("from %s nobody can leave", s)
		}
		if s == Blocked && len(reached) != 1 || s != Blocked && reached[Blocked] {
			t.Errorf("a vehicle's allocation becomes a block, or a block a vehicle's: %s to %v", s, reached)
		}
	}
	if Moving.May(Gone) || Stored.May(Staged) || Gone.May(Assigned) {
		t.Error("a car leaves from the lift, comes without being asked for, or comes back from the dead")
	}
}

// A place of a pool counts until its stored deadline, to the instant.
func TestReservationsCountUntilTheirDeadline(t *testing.T) {
	at := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	for _, one := range []struct {
		state  ReservationState
		counts bool
	}{{Held, true}, {Confirmed, true}, {CheckedIn, false}, {Expired, false}, {ReservationCancelled, false}, {NoShow, false}} {
		r := Reservation{State: one.state, ExpiresAt: at, NoShowAfter: at}
		if r.Counts(at.Add(-time.Microsecond)) != one.counts || r.Counts(at) {
			t.Errorf("%s: %v before, %v at its deadline", one.state, r.Counts(at.Add(-time.Microsecond)), r.Counts(at))
		}
	}
}

// Individuals pay until they say no, businesses only after they said yes.
func TestWhoPaysForParking(t *testing.T) {
	for _, one := range []struct {
		p    Preference
		pays bool
	}{
		{Preference{}, true}, {Preference{Said: true}, false}, {Preference{Said: true, Pays: true}, true},
		{Preference{Business: true}, false}, {Preference{Business: true, Said: true, Pays: true}, true}, {Preference{Business: true, Said: true}, false},
	} {
		if one.p.PaysParking() != one.pays {
			t.Errorf("%+v pays: %v", one.p, one.p.PaysParking())
		}
	}
}

func TestPermille(t *testing.T) {
	for n := range 1001 {
		f := float64(n) / 1000
		if got := Permille(f); got != n {
			t.Errorf("%v is %d thousandths, want %d", f, got, n)
		}
		if below := math.Nextafter(f, -1); n > 0 && Permille(below) != n-1 {
			t.Errorf("%v is %d thousandths, want %d", below, Permille(below), n-1)
		}
	}
}
