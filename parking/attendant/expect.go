package attendant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"freeflow/parking"
)

// A bay that was given to a vehicle is kept for it until a stored deadline. Then
// it is free again, if those who would have told of the vehicle are known to
// listen: the entry lanes, and in a machine its controller. Whoever cannot tell
// asks a person.

const (
	// notCome is the alarm of a vehicle that does not come to its bay.
	notCome = "assigned-not-come"
	// byDeadline is who decided where a deadline did.
	byDeadline = "deadline"
	// heardWithin is how recently an entry lane was heard of that counts: one
	// that is silent for longer is closed.
	heardWithin = 24 * time.Hour
	// mostAwaited bounds the allocations looked at in one sweep of a car park.
	mostAwaited = 200
)

// comeBy is until when a vehicle is waited for whose bay is ready after ready;
// zero where a lane has seen it already.
func (s *site) comeBy(x parking.Allocation, now time.Time) time.Time {
	if x.Stay != "" {
		return time.Time{}
	}
	return now.Add(time.Duration(x.ReadySeconds)*time.Second + s.def.ComeWithin())
}

// fate is what becomes of a bay whose vehicle is waited for.
type fate struct {
	// came: nobody waits any more. free: its time is up, and it has not come.
	came, free bool
	// detail is what people are told; empty: nothing.
	detail string
}

// awaited are the allocations whose vehicles are missed soon.
func (s *site) awaited(now time.Time) []parking.Allocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []parking.Allocation
	for _, x := range s.active {
		if missed(x, now, s.def.ComeWithin()) {
			if found = append(found, x); len(found) == mostAwaited {
				break
			}
		}
	}
	return found
}

// missed reports whether the vehicle is waited for and two thirds of its time are
// over.
func missed(x parking.Allocation, now time.Time, within time.Duration) bool {
	coming := x.State == parking.Assigned || x.State == parking.Moving && x.StoredAt.IsZero()
	return coming && !x.ComeBy.IsZero() && !now.Before(x.ComeBy.Add(-within/3))
}

// expect looks after the vehicles that have not come, and says how many bays it
// freed. Any number of processes may do so at once: what is done is judged by
// the row as it stands then.
func (a *Attendant) expect(ctx context.Context, s *site) (freed int, err error) {
	for _, seen := range s.awaited(a.now()) {
		var f fate
		err := a.keeping.View(ctx, func(tx parking.Tx) error {
			var err error
			f, err = (&work{ctx: ctx, tx: tx, s: s, now: a.now()}).fate(seen.ID)
			return err
		})
		if err != nil {
			return freed, fmt.Errorf("looking for the vehicle of allocation %s: %w", seen.ID, err)
		}
		tell := f.detail != "" && !s.told(notCome+"/"+seen.ID, a.now())
		if !f.came && !f.free && !tell {
			continue
		}
		done := false
		_, err = a.do(ctx, s, nil, func(w *work) (parking.Answer, error) {
			var err error
			done, err = a.fulfil(w, seen.ID)
			return parking.Answer{}, err
		})
		if errors.Is(err, parking.ErrStale) || errors.Is(err, parking.ErrNotFound) || errors.Is(err, parking.ErrHasBay) {
			continue // another process, or the driver, was quicker
		}
		if err != nil {
			return freed, fmt.Errorf("waiting for the vehicle of allocation %s: %w", seen.ID, err)
		}
		if done {
			freed++
			a.metrics.NotCome.Inc()
			a.log.InfoContext(ctx, "a bay was freed whose vehicle did not come", slog.String("car_park", s.def.ID), slog.String("allocation", seen.ID))
		}
	}
	return freed, nil
}

// fulfil does what the fate of the allocation is, and reports whether its bay
// was freed.
func (a *Attendant) fulfil(w *work, id string) (freed bool, err error) {
	f, err := w.fate(id)
	if err != nil {
		return false, err
	}
	x, err := w.tx.Allocation(w.ctx, id)
	if err != nil {
		return false, err
	}
	switch {
	case f.came:
		if err := w.clear(notCome, id, byDeadline, "the vehicle has come"); err != nil {
			return false, err
		}
		_, err := w.change(x, x.State, func(x *parking.Allocation) { x.ComeBy = time.Time{} })
		return false, err
	case f.free:
		return true, a.yield(w, x, "the vehicle did not come by "+x.ComeBy.UTC().Format(time.RFC3339)+"; the bay was freed")
	case f.detail != "":
		return false, w.alarm(notCome, id, f.detail)
	default:
		return false, nil
	}
}

// fate judges an allocation as it stands.
func (w *work) fate(id string) (fate, error) {
	x, err := w.tx.Allocation(w.ctx, id)
	if err != nil {
		return fate{}, err
	}
	if !missed(x, w.now, w.s.def.ComeWithin()) {
		return fate{}, nil
	}
	if x.Machine != "" {
		return w.fateAtMachine(x)
	}
	came, err := w.came(x)
	if err != nil || came {
		return fate{came: came}, err
	}
	eyes, err := w.eyes(x.ComeBy)
	if err != nil {
		return fate{}, err
	}
	return w.fateBy(x, eyes), nil
}

// fateBy is the fate of a bay whose vehicle nobody has seen.
func (w *work) fateBy(x parking.Allocation, e eyes) fate {
	until := x.ComeBy.UTC().Format(time.RFC3339)
	given := "bay " + x.Bay + " was given at " + x.AssignedAt.UTC().Format(time.RFC3339) + " and its vehicle has not come"
	switch {
	case e.none && w.s.def.ComeWithinMinutes <= 0:
		// Nobody would have told: it may stand in its bay.
		return fate{}
	case e.silent != "":
		return fate{detail: given + "; lane " + e.silent + " has said nothing since " + until + ", so that the bay is not freed before it does, or staff cancel the allocation"}
	case w.now.Before(x.ComeBy):
		return fate{detail: given + "; the bay is freed at " + until}
	default:
		return fate{free: true}
	}
}

// fateAtMachine is the fate of a bay in a machine. The machine is right: only
// where its controller is heard of, what it said agreed with the books, and it
// was never told to take the vehicle in, there is certainly no car.
func (w *work) fateAtMachine(x parking.Allocation) (fate, error) {
	staff := func(why string) (fate, error) {
		return fate{detail: "bay " + x.Bay + " was given at " + x.AssignedAt.UTC().Format(time.RFC3339) +
			" and its vehicle has not been taken in: " + why + "; staff have to look"}, nil
	}
	all, err := w.tx.Machines(w.ctx, x.CarPark)
	if err != nil {
		return fate{}, fmt.Errorf("reading the machines of %s: %w", x.CarPark, err)
	}
	var status parking.MachineStatus
	for _, m := range all {
		if m.ID == x.Machine {
			status = m
		}
	}
	if status.Boot == "" {
		if w.s.def.ComeWithinMinutes > 0 {
			return staff("no controller of machine " + x.Machine + " was ever heard of")
		}
		return fate{}, nil // the operator's word is all there is
	}
	begun, err := w.begun(x)
	switch {
	case err != nil:
		return fate{}, err
	case begun || x.State != parking.Assigned:
		return staff("machine " + x.Machine + " was told to take it, and has not said that it did")
	case status.Out:
		return fate{}, nil // it is given another bay, or waits for staff, who know
	case !status.Reconciled || w.now.Sub(status.ReportedAt) > silentAfter:
		return staff("machine " + x.Machine + " has not said what stands in it since " + status.ReportedAt.UTC().Format(time.RFC3339))
	}
	came, err := w.came(x)
	if err != nil {
		return fate{}, err
	}
	if came {
		// Its driver waits at the gate, behind others; the machine comes to it.
		return fate{came: true}, nil
	}
	eyes, err := w.eyes(x.ComeBy)
	switch {
	case err != nil:
		return fate{}, err
	case eyes.none && w.s.def.ComeWithinMinutes <= 0:
		return staff("no entry lane tells whether it waits at the gate of machine " + x.Machine)
	default:
		return w.fateBy(x, eyes), nil
	}
}

// eyes says who would have seen a vehicle.
type eyes struct {
	// none: no entry lane was heard of for a day. silent is one that was, and
	// not since the instant asked about: it may send later what it saw.
	none   bool
	silent string
}

// eyes says which entry lanes vouch for a vehicle's not having come by then.
func (w *work) eyes(by time.Time) (eyes, error) {
	e := eyes{none: true}
	for _, lane := range w.s.def.Lanes {
		if lane.Direction != parking.In {
			continue
		}
		heard, err := w.tx.LastLaneEvent(w.ctx, w.s.def.ID, lane.Unit)
		if err != nil {
			return e, err
		}
		if heard.IsZero() || w.now.Sub(heard) > heardWithin {
			continue
		}
		e.none = false
		if heard.Before(by) && !w.now.Before(by) {
			e.silent = lane.Unit
		}
	}
	return e, nil
}
