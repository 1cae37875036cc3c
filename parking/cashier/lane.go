package cashier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"freeflow/parking"
	"freeflow/parking/stay"
)

// Bounds on what a lane says.
const (
	// MaxEvents bounds one call of Lane.
	MaxEvents = 1000
	maxID     = 128
	maxMark   = 124
	// ahead is how far a lane's clock may be ahead (contract section 3).
	ahead = 5 * time.Minute
	// late is how old an event is whose vehicle no longer waits.
	late = 10 * time.Minute
)

// earliestEvent is contract section 3's.
var earliestEvent = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// Lane takes what lanes saw, in any order and any number of times, each event
// alone: a bad one costs its neighbours nothing. An id that is known changes
// nothing; with other content it is ErrConflict in its result. The answer to a
// late journal is as if it had come in time, but that no barrier waits any
// more. At most MaxEvents. The error is a fault of the store, of which nothing
// is known but that the same call again finds out; or ErrInvalid for too many.
func (c *Cashier) Lane(ctx context.Context, events []parking.LaneEvent) ([]LaneResult, error) {
	if len(events) > MaxEvents {
		return nil, fmt.Errorf("%d lane events in one call are more than %d: %w", len(events), MaxEvents, parking.ErrInvalid)
	}
	results := make([]LaneResult, len(events))
	for i := range events {
		e := events[i]
		e.At = e.At.UTC().Truncate(time.Microsecond)
		r, err := c.event(ctx, e)
		if errors.Is(err, errTooManyNames) {
			r, err = c.keepOnly(ctx, &e, err)
		}
		switch {
		case err == nil:
			results[i] = r
		case errors.Is(err, parking.ErrInvalid), errors.Is(err, parking.ErrNotFound), errors.Is(err, parking.ErrConflict):
			results[i] = LaneResult{Event: e.ID, Err: err, Why: WhyRefused, Display: displays[WhyRefused]}
		default:
			return nil, fmt.Errorf("taking a lane's event: %w", err)
		}
	}
	if err := c.watchClocks(ctx, events, results); err != nil {
		// What the lanes saw is kept: they have their answer all the same.
		c.p.Log.WarnContext(ctx, "a lane's clock is not watched", "error", err)
	}
	return results, nil
}

// event takes one event.
func (c *Cashier) event(ctx context.Context, e parking.LaneEvent) (LaneResult, error) {
	if err := c.checkEvent(&e); err != nil {
		return LaneResult{}, err
	}
	id, err := c.identify(ctx, e.Tag, e.Plate, e.At)
	if err != nil {
		return LaneResult{}, err
	}
	names := stay.Names(e.Tag, e.Plate, e.Ticket, id)
	r, err := do(ctx, c, Keep[LaneResult]{}, func(tx parking.Tx) (LaneResult, error) {
		s, err := c.newScope(tx, e.CarPark, true)
		if err != nil {
			return LaneResult{}, err
		}
		if err := s.lockNames(ctx, names); err != nil {
			return LaneResult{}, err
		}
		known, err := tx.PutLaneEvent(ctx, e)
		if err != nil {
			return LaneResult{}, fmt.Errorf("keeping lane event %s: %w", e.ID, err)
		}
		if err := s.gather(ctx, names, e.At, e.At); err != nil {
			return LaneResult{}, err
		}
		if err := s.conclude(ctx); err != nil {
			return LaneResult{}, err
		}
		return s.result(ctx, &e, known)
	})
	return r.Value, err
}

// keepOnly keeps an event of which no stay can be derived, for people: it was
// seen, and must not be lost with the reader's mistake.
func (c *Cashier) keepOnly(ctx context.Context, e *parking.LaneEvent, why error) (LaneResult, error) {
	c.p.Log.Warn("a lane event has no stay", "car_park", e.CarPark, "lane", e.Lane, "event", e.ID, "error", why)
	r, err := do(ctx, c, Keep[LaneResult]{}, func(tx parking.Tx) (LaneResult, error) {
		known, err := tx.PutLaneEvent(ctx, *e)
		if err != nil {
			return LaneResult{}, fmt.Errorf("keeping lane event %s: %w", e.ID, err)
		}
		alarm := parking.Alarm{
			ID: "too-many-names/" + e.Lane, CarPark: e.CarPark, Kind: "too-many-names", Subject: e.Lane, Raised: c.p.Clock.Now(),
			Detail: "Reads of this lane go by more names than one vehicle can have, and no stay was derived. Last event: " + e.ID,
		}
		if err := tx.Raise(ctx, alarm); err != nil {
			return LaneResult{}, fmt.Errorf("raising an alarm: %w", err)
		}
		return LaneResult{
			Event: e.ID, Known: known, Open: e.Direction == parking.In, Why: WhyStaff, Display: displays[WhyStaff], Flags: []string{NotDerived},
		}, nil
	})
	return r.Value, err
}

// checkEvent refuses what no lane of the car park can have meant.
func (c *Cashier) checkEvent(e *parking.LaneEvent) error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("lane event %.64q: %s: %w", e.ID, fmt.Sprintf(format, args...), parking.ErrInvalid)
	}
	site, ok := c.p.Sites.CarPark(e.CarPark)
	if !ok {
		return fmt.Errorf("lane event %.64q: car park %.64q: %w", e.ID, e.CarPark, parking.ErrNotFound)
	}
	i := slices.IndexFunc(site.Lanes, func(l parking.Lane) bool { return l.Unit == e.Lane })
	if i < 0 {
		return fmt.Errorf("lane event %.64q: car park %s has no lane %.64q: %w", e.ID, site.ID, e.Lane, parking.ErrNotFound)
	}
	now := c.p.Clock.Now()
	switch {
	case e.ID == "" || len(e.ID) > maxID:
		return fault("its id has 1 to %d bytes; the lane makes it before it first sends the event", maxID)
	case e.Direction != site.Lanes[i].Direction:
		return fault("lane %s is for direction %q, not %q", e.Lane, site.Lanes[i].Direction, e.Direction)
	case e.Tag == "" && e.Plate == "" && e.Ticket == "":
		return fault("it has no tag, plate or ticket; issue a ticket")
	case !text(e.ID, maxID) || !text(e.Tag, maxMark) || !text(e.Plate, maxMark) || !text(e.Ticket, maxMark) || !text(e.Class, maxMark) || !text(e.Source, maxText):
		return fault("a text is too long or no UTF-8 without control characters")
	case strings.Contains(e.Plate, ":"):
		return fault("a plate has no colon")
	case e.ConfidencePermille < 0 || e.ConfidencePermille > 1000:
		return fault("confidence %d is not between 0 and 1000 thousandths", e.ConfidencePermille)
	case e.At.Before(earliestEvent) || e.At.After(now.Add(ahead)):
		return fault("its time %s is before 2020 or more than 5 minutes ahead; is the lane's clock right?", e.At.Format(time.RFC3339))
	}
	return nil
}

// text reports whether s is at most n bytes of text.
func text(s string, n int) bool {
	return len(s) <= n && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// result says what the lane is to do about the event.
func (s *scope) result(ctx context.Context, e *parking.LaneEvent, known bool) (LaneResult, error) {
	i := slices.IndexFunc(s.derived, func(d stay.Stay) bool { return d.Belongs(e.ID) })
	if i < 0 {
		// A machine's own gate saw a car that no lane saw enter.
		return LaneResult{Event: e.ID, Known: known, Open: true, Why: WhyEnter, Display: displays[WhyEnter]}, nil
	}
	b, err := s.bill(ctx, i)
	if err != nil {
		return LaneResult{}, err
	}
	r, d := &s.settled[i], &s.derived[i]
	out := LaneResult{
		Event: e.ID, Known: known, Stay: r.ID, State: r.State, Flags: r.Flags, AmountCents: b.TotalCents, PaidCents: b.PaidCents,
		DueCents: b.DueCents, Currency: r.Currency, PaysBy: b.PaysBy,
	}
	switch {
	case s.now.Sub(e.At) > late:
		out.Why = WhyLate
	case e.Direction == parking.In:
		out.Open, out.Why = true, WhyEnter
		if r.Means == parking.PaysTicket && e.Ticket == "" && (e.Plate == "" || d.Has(stay.WeakPlate)) {
			out.Why = WhyTakeTicket
		}
	case r.State == parking.Review && (d.Holder.Account != "" || d.Has(stay.TagAndPlateDiffer)):
		out.Open, out.Why = true, WhyReview
	case r.State == parking.Review:
		out.Why = WhyStaff
	case b.DueCents > 0:
		out.Why = WhyDue
	default:
		out.Open, out.Why = true, WhyPaid
	}
	out.Display = display(out.Why, b.DueCents, b.TotalCents, r)
	return out, nil
}
