package reserve

import (
	"errors"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/parking"
)

// The published vectors (shared facts of the project, section 3.4), for an
// accepted chance of 0.1 % and of 1 %.
func TestLimitOfTheFacts(t *testing.T) {
	for _, c := range []struct{ capacity, q, strict, loose int }{
		{225, 50, 228, 230}, {225, 100, 236, 239}, {225, 150, 246, 250},
		{50, 50, 50, 50}, {50, 100, 50, 51}, {50, 150, 51, 53},
		{20, 50, 20, 20}, {20, 100, 20, 20}, {20, 150, 20, 20},
	} {
		if got := Limit(c.capacity, c.q, 1); got != c.strict {
			t.Errorf("Limit(%d, %d, 1) = %d, want %d", c.capacity, c.q, got, c.strict)
		}
		if got := Limit(c.capacity, c.q, 10); got != c.loose {
			t.Errorf("Limit(%d, %d, 10) = %d, want %d", c.capacity, c.q, got, c.loose)
		}
	}
}

func TestLimitAtTheEdges(t *testing.T) {
	for _, c := range []struct{ capacity, q, alpha, want int }{
		{0, 100, 10, 0}, {-3, 100, 10, 0}, {50, 0, 10, 50}, {50, -5, 10, 50}, {50, 100, 0, 50},
		{50, 1000, 10, 100}, {50, 2000, 2000, 100}, {50, 100, 1000, 100}, {1, 500, 250, 2}, {1, 500, 249, 1},
	} {
		if got := Limit(c.capacity, c.q, c.alpha); got != c.want {
			t.Errorf("Limit(%d, %d, %d) = %d, want %d", c.capacity, c.q, c.alpha, got, c.want)
		}
	}
}

// tail is P(Binomial(b, 1-q) > c) straight from the definition.
func tail(b, c, q int) *big.Rat {
	arrive, stay := big.NewRat(int64(1000-q), 1000), big.NewRat(int64(q), 1000)
	sum := new(big.Rat)
	for k := c + 1; k <= b; k++ {
		term := new(big.Rat).SetInt(new(big.Int).Binomial(int64(b), int64(k)))
		for range k {
			term.Mul(term, arrive)
		}
		for range b - k {
			term.Mul(term, stay)
		}
		sum.Add(sum, term)
	}
	return sum
}

func TestLimitIsTheLargest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, q, a := rapid.IntRange(1, 40).Draw(t, "c"), rapid.IntRange(1, 400).Draw(t, "q"), rapid.IntRange(1, 100).Draw(t, "a")
		alpha := big.NewRat(int64(a), 1000)
		b := Limit(c, q, a)
		if tail(b, c, q).Cmp(alpha) > 0 {
			t.Fatalf("at %d the chance is above %d/1000", b, a)
		}
		if b < growth*c && tail(b+1, c, q).Cmp(alpha) <= 0 {
			t.Fatalf("%d would be allowed too", b+1)
		}
	})
}

func TestPeakAgainstCountingEachMinute(t *testing.T) {
	origin := time.Date(2026, 2, 17, 0, 0, 0, 0, time.UTC)
	at := func(m int) time.Time { return origin.Add(time.Duration(m) * time.Minute) }
	rapid.Check(t, func(t *rapid.T) {
		var spans []Span
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			s := Span{Start: at(rapid.IntRange(0, 60).Draw(t, "start"))}
			if !rapid.Bool().Draw(t, "open") {
				s.End = at(rapid.IntRange(0, 60).Draw(t, "end"))
			}
			spans = append(spans, s)
		}
		from, to := rapid.IntRange(0, 60).Draw(t, "from"), rapid.IntRange(0, 60).Draw(t, "to")
		want := 0
		for m := from; m < to; m++ {
			n := 0
			for _, s := range spans {
				if !at(m).Before(s.Start) && (s.End.IsZero() || at(m).Before(s.End)) {
					n++
				}
			}
			want = max(want, n)
		}
		if got := Peak(spans, at(from), at(to)); got != want {
			t.Fatalf("Peak = %d, counted %d", got, want)
		}
	})
}

func TestSteps(t *testing.T) {
	at := time.Date(2026, 2, 17, 8, 0, 0, 0, time.UTC)
	before, after := at.Add(-time.Second), at.Add(time.Second)
	all := []parking.ReservationState{parking.Held, parking.Confirmed, parking.CheckedIn, parking.Expired, parking.ReservationCancelled, parking.NoShow}
	legal := map[[2]parking.ReservationState]time.Time{
		{parking.Held, parking.Confirmed}:                 before,
		{parking.Held, parking.Expired}:                   at,
		{parking.Held, parking.ReservationCancelled}:      before,
		{parking.Confirmed, parking.CheckedIn}:            before,
		{parking.Confirmed, parking.NoShow}:               at,
		{parking.Confirmed, parking.ReservationCancelled}: before,
	}
	wrongSide := map[parking.ReservationState]time.Time{
		parking.Confirmed: at, parking.CheckedIn: at, parking.Expired: before, parking.NoShow: before,
	}
	for _, from := range all {
		for _, to := range all {
			r := parking.Reservation{ID: "r", State: from, Revision: 4, ExpiresAt: at, NoShowAfter: at}
			when, ok := legal[[2]parking.ReservationState{from, to}]
			if !ok {
				when = after
			}
			next, err := Step(r, to, when)
			switch {
			case !ok && !errors.Is(err, parking.ErrConflict):
				t.Errorf("%s to %s: %v, want a conflict", from, to, err)
			case ok && (err != nil || next.State != to || next.Revision != 5):
				t.Errorf("%s to %s: %+v, %v", from, to, next, err)
			case ok && (next.EndedAt.IsZero() != (to == parking.Confirmed)):
				t.Errorf("%s to %s: ended at %v", from, to, next.EndedAt)
			}
			if late, has := wrongSide[to]; ok && has {
				if _, err := Step(r, to, late); !errors.Is(err, parking.ErrConflict) {
					t.Errorf("%s to %s on the wrong side of the deadline: %v", from, to, err)
				}
			}
		}
	}
	if to, ok := Lapse(parking.Reservation{State: parking.Held, ExpiresAt: at}, at); !ok || to != parking.Expired {
		t.Errorf("a hold at its deadline: %s, %v", to, ok)
	}
	if _, ok := Lapse(parking.Reservation{State: parking.Confirmed, NoShowAfter: at}, before); ok {
		t.Error("a confirmed reservation lapsed early")
	}
}
