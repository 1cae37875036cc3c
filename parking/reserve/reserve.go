// Package reserve owns the arithmetic of reservations: how many rights to a
// pool may be promised at once, how many of them overlap at the busiest
// instant, and which state of a reservation may follow which.
//
// Invariants: a limit is exact (whole numbers, no rounding anywhere) and never
// below the capacity; spans are half-open, so that one that ends when another
// begins does not meet it; a state changes only along the table, and only on
// the right side of its stored deadline.
//
// Not promised: that drivers are independent of each other, which the limit
// takes for granted. A pool whose users come or stay away together (one coach
// party, one flight) should not be overbooked at all.
package reserve

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"freeflow/parking"
)

// growth bounds the search: no limit is above growth times the capacity,
// whatever the share of no-shows.
const growth = 2

// Limit returns how many reservations of a pool of that capacity may overlap:
// the largest B with P(Binomial(B, 1-q) > capacity) <= a, with q and a given in
// thousandths, and at most twice the capacity. overbookPermille 0 means never
// more than the capacity. Shares outside [0, 1000] count as the nearest end; a
// negative capacity as 0.
//
// With A(B) arrivals of B reservations, A(B+1) > C if and only if A(B) > C, or
// A(B) = C and one more comes. So, times 1000^B, the chance T(B) follows from
// N(B) = 1000^B * P(A(B) = C) by
//
//	T(B+1) = 1000*T(B) + (1000-q)*N(B)
//	N(B+1) = N(B) * q*(B+1)/(B+1-C)
//
// in whole numbers: N(B) is choose(B,C) * (1000-q)^C * q^(B-C).
func Limit(capacity, noShowPermille, overbookPermille int) int {
	capacity = max(capacity, 0)
	q, alpha := min(max(noShowPermille, 0), 1000), min(max(overbookPermille, 0), 1000)
	if capacity == 0 || q == 0 || alpha == 0 {
		return capacity
	}
	var (
		thousand = big.NewInt(1000)
		arrive   = big.NewInt(int64(1000 - q))
		exact    = new(big.Int).Exp(arrive, big.NewInt(int64(capacity)), nil) // N(C)
		more     = new(big.Int)                                               // T(C) = 0
		all      = new(big.Int).Exp(thousand, big.NewInt(int64(capacity)), nil)
		a, b     big.Int
	)
	limit := capacity
	for limit < growth*capacity {
		more.Add(more.Mul(more, thousand), a.Mul(exact, arrive))
		all.Mul(all, thousand)
		// more/all <= alpha/1000 ?
		if a.Mul(more, thousand).Cmp(b.Mul(all, big.NewInt(int64(alpha)))) > 0 {
			return limit
		}
		limit++
		exact.Mul(exact, a.SetInt64(int64(q)*int64(limit)))
		exact.Quo(exact, a.SetInt64(int64(limit-capacity))) // exact: binomial coefficients are whole
	}
	return limit
}

// Span is [Start, End) of something that takes one place. A zero End is open.
type Span struct{ Start, End time.Time }

// Peak returns how many of the spans overlap at the busiest instant within
// [from, to). Spans that are empty or end before they begin count nothing.
func Peak(spans []Span, from, to time.Time) int {
	if !from.Before(to) {
		return 0
	}
	type edge struct {
		at   time.Time
		step int
	}
	edges := make([]edge, 0, 2*len(spans))
	for _, s := range spans {
		start, end := s.Start, s.End
		if start.Before(from) {
			start = from
		}
		if end.IsZero() || end.After(to) {
			end = to
		}
		if start.Before(end) {
			edges = append(edges, edge{start, 1}, edge{end, -1})
		}
	}
	// At one instant ends come before beginnings: spans are half-open.
	slices.SortFunc(edges, func(a, b edge) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.step - b.step
	})
	peak, now := 0, 0
	for _, e := range edges {
		now += e.step
		peak = max(peak, now)
	}
	return peak
}

var follows = map[parking.ReservationState][]parking.ReservationState{
	parking.Held:      {parking.Confirmed, parking.Expired, parking.ReservationCancelled},
	parking.Confirmed: {parking.CheckedIn, parking.NoShow, parking.ReservationCancelled},
}

// Step returns the reservation in its next state, one revision on, as of at.
// Beside the table it holds the deadlines: a hold is confirmed only before
// ExpiresAt and a confirmed reservation answered only before NoShowAfter; they
// lapse only from then on. parking.ErrConflict otherwise.
func Step(r parking.Reservation, to parking.ReservationState, at time.Time) (parking.Reservation, error) {
	refuse := func(why string) (parking.Reservation, error) {
		return parking.Reservation{}, fmt.Errorf("reservation %s from %s to %s: %s: %w", r.ID, r.State, to, why, parking.ErrConflict)
	}
	if !slices.Contains(follows[r.State], to) {
		return refuse("the one may not follow the other")
	}
	switch {
	case to == parking.Confirmed && !at.Before(r.ExpiresAt):
		return refuse("the hold ended at " + r.ExpiresAt.UTC().Format(time.RFC3339))
	case to == parking.CheckedIn && !at.Before(r.NoShowAfter):
		return refuse("it lapsed at " + r.NoShowAfter.UTC().Format(time.RFC3339))
	case to == parking.Expired && at.Before(r.ExpiresAt):
		return refuse("the hold has not ended yet")
	case to == parking.NoShow && at.Before(r.NoShowAfter):
		return refuse("it has not lapsed yet")
	}
	r.State = to
	r.Revision++
	if to != parking.Confirmed {
		r.EndedAt = at
	}
	return r, nil
}

// Lapse returns the state into which the reservation falls by its stored
// deadline at the instant; ok is false if it does not.
func Lapse(r parking.Reservation, at time.Time) (to parking.ReservationState, ok bool) {
	switch {
	case r.State == parking.Held && !at.Before(r.ExpiresAt):
		return parking.Expired, true
	case r.State == parking.Confirmed && !at.Before(r.NoShowAfter):
		return parking.NoShow, true
	default:
		return "", false
	}
}
