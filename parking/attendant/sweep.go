package attendant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"freeflow/parking"
	"freeflow/parking/reserve"
)

const (
	// sweepBatch is how many lapsed reservations are written down at a time.
	sweepBatch = 100
	// silentAfter is how long a controller may be silent, gateAfter how long a
	// car may stand at the gate, before somebody is told.
	silentAfter = 2 * time.Minute
	gateAfter   = 10 * time.Minute
)

// refreshAll reads the pictures of all car parks anew.
func (a *Attendant) refreshAll(ctx context.Context) {
	for _, s := range a.all() {
		if err := s.refresh(ctx, a); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "the picture of a car park is getting old", slog.String("car_park", s.def.ID), slog.Any("error", err))
		}
	}
}

// refreshNudged reads those anew that a request found a little old.
func (a *Attendant) refreshNudged(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-a.nudges:
			s.nudged.Store(false)
			if err := s.refresh(ctx, a); err != nil && ctx.Err() == nil {
				a.log.ErrorContext(ctx, "the picture of a car park is getting old", slog.String("car_park", s.def.ID), slog.Any("error", err))
			}
		}
	}
}

// nudge asks for a reading beside the request. One that is asked for already is
// enough.
func (a *Attendant) nudge(s *site) {
	if s.nudged.Swap(true) {
		return
	}
	select {
	case a.nudges <- s:
	default:
		s.nudged.Store(false) // the next reading in the background comes anyway
	}
}

// sweepOnce writes down what has lapsed, frees bays whose vehicles did not come,
// and tells people what waits for them. A reservation that has lapsed does not
// count whether that is written down or not; a bay is free only once its row
// says so.
func (a *Attendant) sweepOnce(ctx context.Context) {
	if err := a.sweepReservations(ctx); err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "writing down lapsed reservations", slog.Any("error", err))
	}
	for _, s := range a.all() {
		if _, err := a.expect(ctx, s); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "waiting for vehicles", slog.String("car_park", s.def.ID), slog.Any("error", err))
		}
		if err := a.watch(ctx, s); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "watching a car park", slog.String("car_park", s.def.ID), slog.Any("error", err))
		}
	}
}

func (a *Attendant) sweepReservations(ctx context.Context) error {
	var lapsed []parking.Reservation
	err := a.keeping.View(ctx, func(tx parking.Tx) error {
		var err error
		lapsed, err = tx.Lapsed(ctx, a.now(), sweepBatch)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading lapsed reservations: %w", err)
	}
	for _, seen := range lapsed {
		swept := false
		_, err := a.do(ctx, nil, nil, func(w *work) (parking.Answer, error) {
			swept = false
			x, err := w.tx.Reservation(ctx, seen.ID)
			if err != nil {
				return parking.Answer{}, err
			}
			to, ok := reserve.Lapse(x, w.now)
			if !ok {
				return parking.Answer{}, nil // another process, or the driver, was quicker
			}
			next, err := reserve.Step(x, to, w.now)
			if err != nil {
				return parking.Answer{}, err
			}
			swept = true
			return parking.Answer{}, w.tx.PutReservation(ctx, next)
		})
		if errors.Is(err, parking.ErrStale) {
			continue
		}
		if err != nil {
			return fmt.Errorf("writing down that reservation %s lapsed: %w", seen.ID, err)
		}
		if swept {
			a.metrics.Swept.Inc()
		}
	}
	return nil
}

// watch raises the alarms of what has taken too long, and finds bays for cars
// that still wait at a machine out of service (a process may have ended between
// taking it out and doing so).
func (a *Attendant) watch(ctx context.Context, s *site) error {
	now := a.now()
	type trouble struct{ kind, subject, detail string }
	var troubles []trouble
	var waiting []parking.Allocation
	s.mu.Lock()
	for _, m := range s.status {
		if m.Boot != "" && !m.Out && !m.ReportedAt.IsZero() && now.Sub(m.ReportedAt) > silentAfter {
			troubles = append(troubles, trouble{"machine-silent", m.ID, "its controller has said nothing since " + m.ReportedAt.UTC().Format(time.RFC3339)})
		}
	}
	for _, x := range s.active {
		switch {
		case x.State == parking.Staged && now.Sub(x.StagedAt) > gateAfter:
			troubles = append(troubles, trouble{"gate-occupied", x.ID, "a car has stood at the gate of machine " + x.Machine + " since " + x.StagedAt.UTC().Format(time.RFC3339)})
		case x.State == parking.Assigned && x.Machine != "" && s.status[x.Machine].Out:
			waiting = append(waiting, x)
		}
	}
	s.mu.Unlock()
	for _, t := range troubles {
		if s.told(t.kind+"/"+t.subject, now) {
			continue
		}
		_, err := a.do(ctx, s, nil, func(w *work) (parking.Answer, error) {
			return parking.Answer{}, w.alarm(t.kind, t.subject, t.detail)
		})
		if err != nil {
			return err
		}
	}
	for _, x := range waiting {
		if err := a.rehome(ctx, s, x, x.Machine, "machine "+x.Machine+" is out of service"); err != nil {
			return err
		}
	}
	return nil
}

// told reports whether the trouble was told in the last minutes by this process,
// and notes it. An alarm that stands is not raised twice; one that was cleared
// and whose trouble lasts is raised again.
func (s *site) told(what string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	const most = 1000
	if len(s.tellings) > most {
		clear(s.tellings)
	}
	if last, ok := s.tellings[what]; ok && now.Sub(last) < gateAfter {
		return true
	}
	s.tellings[what] = now
	return false
}
