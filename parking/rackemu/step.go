package rackemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// The points of a movement, in order. Store: Received, Begun (it waits for the
// car), Boarded, Lifted, Carried, Placed, Told. Fetch: Received, Begun, Lifted,
// Carried, Placed (at the gate), Told, Departed (the driver has left).
// Relocate: as Fetch, up to Told. Prepare: Received, Begun.
const (
	Received = "received"
	Begun    = "begun"
	Boarded  = "boarded"
	Lifted   = "lifted"
	Carried  = "carried"
	Placed   = "placed"
	Told     = "told"
	Departed = "departed"
)

// mostTold bounds the ended orders that the controller remembers, mostOutbox the
// reports that it still has to send.
const (
	mostTold   = 100
	mostOutbox = 100
	// retry is how soon a call that failed is made again.
	retry = time.Second
)

// Step does what is due at the clock's present instant and returns when there is
// something to do next. An error is of the way to the centre; the rack has
// taken note of it and goes on with the next Step.
func (r *Rack) Step(ctx context.Context) (next time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	r.drive(now)
	if !r.reconciled {
		if err := r.call(func() error { return r.api.Inventory(ctx, r.boot, r.see()) }); err != nil {
			return now.Add(retry), err
		}
		r.reconciled = true
	}
	r.advance(now)
	if !r.reconciled {
		return now, nil // it has just started anew
	}
	if err := r.deliver(ctx); err != nil {
		return now.Add(retry), err
	}
	if r.order == nil && !now.Before(r.nextAsk) {
		if err := r.ask(ctx, now); err != nil {
			r.nextAsk = now.Add(retry)
			return r.nextAsk, err
		}
		r.advance(now)
		if err := r.deliver(ctx); err != nil {
			return now.Add(retry), err
		}
	}
	return r.wakes(now), nil
}

// wakes is when there is something to do next.
func (r *Rack) wakes(now time.Time) time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if t.Before(now) {
			t = now
		}
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	switch {
	case !r.reconciled || len(r.outbox) > 0:
		sooner(now)
	case r.order == nil:
		sooner(r.nextAsk)
	case r.point == Begun && r.order.Kind == parking.Store:
		sooner(now.Add(retry)) // looks whether the car has come
	default:
		sooner(r.until)
	}
	if r.gate != "" && r.fetched {
		sooner(r.leaves)
	}
	return at
}

// call makes a call to the centre, whose answer may be lost.
func (r *Rack) call(fn func() error) error {
	err := fn()
	if err == nil && r.chance(r.s.Faults.LoseReply) {
		r.counts.Lost++
		return fmt.Errorf("machine %s: the answer was lost", r.s.Machine)
	}
	if err != nil {
		return fmt.Errorf("machine %s: asking the centre: %w", r.s.Machine, err)
	}
	return nil
}

// see is the inventory. What is on its way is in no bay for sure.
func (r *Rack) see() []Seen {
	bays := make([]string, 0, len(r.own))
	for bay := range r.own {
		bays = append(bays, bay)
	}
	slices.Sort(bays)
	out := make([]Seen, 0, len(bays)+1)
	for _, bay := range bays {
		out = append(out, Seen{Bay: bay, Presence: r.sense(bay)})
	}
	gate := parking.Empty
	if r.gate != "" {
		gate = parking.Occupied
	}
	return append(out, Seen{Bay: GateItem, Presence: gate})
}

// sense is what the sensor of a bay says.
func (r *Rack) sense(bay string) parking.Presence {
	switch {
	case r.lift != "" && r.involved(bay), r.chance(r.s.Faults.Unsure):
		return parking.Unsure
	case r.in[bay] != "":
		return parking.Occupied
	default:
		return parking.Empty
	}
}

// involved reports whether a car on the lift may be of that bay, or be going
// there: both pallets are away from their sensors then.
func (r *Rack) involved(bay string) bool { return bay == r.aim || bay == r.source }

// drive is what drivers do at the gate.
func (r *Rack) drive(now time.Time) {
	if r.gate == "" || !r.fetched || now.Before(r.leaves) {
		return
	}
	car, command := r.gate, r.staged
	r.gate, r.fetched, r.staged = "", false, ""
	r.gone[car] = true
	if !r.crash(parking.Fetch, Departed) {
		r.say(Report{Command: command, State: "gone", Presence: parking.Empty})
	}
}

// deliver sends what is to be said, in order.
func (r *Rack) deliver(ctx context.Context) error {
	for len(r.outbox) > 0 {
		report := r.outbox[0]
		err := r.call(func() error { return r.api.Report(ctx, report) })
		if errors.Is(err, ErrRefused) {
			r.counts.Dropped++
			r.s.Log.WarnContext(ctx, "the centre refused a report", slog.String("machine", r.s.Machine), slog.String("state", report.State), slog.Any("error", err))
			err = nil
		}
		if err != nil {
			return err
		}
		r.outbox = r.outbox[1:]
		if r.chance(r.s.Faults.Repeat) {
			r.counts.Repeats++
			r.outbox = append(r.outbox, report)
		}
	}
	return nil
}

// say queues a report.
func (r *Rack) say(report Report) {
	report.Boot = r.boot
	if len(r.outbox) < mostOutbox {
		r.outbox = append(r.outbox, report)
	}
}

// ask polls for an order.
func (r *Rack) ask(ctx context.Context, now time.Time) error {
	var turn Turn
	err := r.call(func() (err error) { turn, err = r.api.Next(ctx, r.boot); return err })
	if err != nil {
		return err
	}
	if turn.InventoryWanted {
		r.reconciled = false
		return nil
	}
	r.nextAsk = now.Add(max(turn.RetryAfter, 100*time.Millisecond))
	if turn.Order == nil {
		return nil
	}
	if said, known := r.told[turn.Order.ID]; known {
		r.say(said) // the centre has not heard it
		return nil
	}
	order := *turn.Order
	r.order, r.point, r.until = &order, Received, now
	return nil
}

// crash decides whether the controller starts anew at this point.
func (r *Rack) crash(kind parking.CommandKind, point string) bool {
	if r.s.Crash != nil && r.s.Crash(kind, point) || r.chance(r.s.Faults.Restart) {
		r.counts.Restarts++
		r.switchOn()
		return true
	}
	return false
}

// end ends the order with a last report.
func (r *Rack) end(report Report) {
	report.Command, report.Boot = r.order.ID, r.boot
	r.told[report.Command] = report
	if r.ids = append(r.ids, report.Command); len(r.ids) > mostTold {
		delete(r.told, r.ids[0])
		r.ids = r.ids[1:]
	}
	r.say(report)
	r.order, r.point, r.nextAsk = nil, "", time.Time{}
}

// refuse ends the order without having moved anything.
func (r *Rack) refuse(detail string) {
	r.counts.Refused++
	r.end(Report{State: "failed", Presence: r.sense(r.order.Bay), Detail: detail})
}

// advance carries the order on as far as the time allows.
func (r *Rack) advance(now time.Time) {
	for r.order != nil && !now.Before(r.until) {
		before := r.point
		switch r.point {
		case Received:
			r.begin(now)
		case Begun:
			r.start(now)
		case Boarded:
			r.raise(now)
		case Lifted:
			r.place(now)
		case Placed:
			r.tell()
		}
		if r.order == nil || r.point == before {
			return
		}
	}
}

// reach moves to the next point, which lasts for d; a crash may come there.
func (r *Rack) reach(point string, now time.Time, d time.Duration) {
	if r.crash(r.order.Kind, point) {
		return
	}
	if r.chance(r.s.Faults.Stall) {
		d *= 5
	}
	r.point, r.until = point, now.Add(d)
}

// begin judges the order.
func (r *Rack) begin(now time.Time) {
	o := r.order
	if r.crash(o.Kind, Received) {
		return
	}
	_, mine := r.own[o.Bay]
	switch {
	case !mine:
		r.refuse("no such bay")
	case r.lift != "":
		r.refuse("a car is on the lift")
	case r.chance(r.s.Faults.Refuse):
		r.refuse("fault " + strconv.Itoa(r.rng.IntN(900)+100))
	case o.Kind == parking.Store && r.in[o.Bay] != "":
		r.refuse("a car stands there")
	case o.Kind == parking.Fetch && r.in[o.Bay] == "":
		r.refuse("no car stands there")
	case o.Kind == parking.Relocate && (r.in[o.From] == "" || r.in[o.Bay] != ""):
		r.refuse("there is no car to move, or no place for it")
	case o.Kind != parking.Prepare && o.Kind != parking.Relocate && r.gate != "" && r.fetched:
		r.refuse("a car stands at the gate")
	default:
		if r.gate != "" && (o.Kind == parking.Fetch || r.gate != o.Allocation) {
			// Its driver has to back out for the other one.
			r.s.Forecourt.Arrive(r.gate)
			r.gate = ""
		}
		if o.Kind == parking.Store {
			// It begins when the car has come.
			r.patience = now.Add(r.s.Patience)
			r.reach(Begun, now, 0)
			return
		}
		r.say(Report{Command: o.ID, State: "running"})
		r.reach(Begun, now, r.travel(o, true))
	}
}

// travel is half of what the model says of the machine's own part of the order,
// the second half where first is false.
func (r *Rack) travel(o *Order, first bool) time.Duration {
	op := mechanism.Operation{Kind: o.Kind, Bay: r.own[o.Bay], From: r.own[o.From]}
	e, err := r.model.Estimate(op)
	if err != nil {
		return time.Minute
	}
	machine := e.Ready.Duration()
	if o.Kind == parking.Store {
		machine = e.Cycle.Duration() - r.user()
	}
	if first {
		return machine / 2
	}
	return machine - machine/2
}

// start takes the car, or waits for it.
func (r *Rack) start(now time.Time) {
	o := r.order
	switch o.Kind {
	case parking.Store:
		switch {
		case r.gate == o.Allocation:
		case r.gate == "" && r.s.Forecourt.take(o.Allocation):
			r.gate, r.fetched = o.Allocation, false
		case now.Before(r.patience):
			return
		default:
			r.end(Report{State: "gone", Presence: parking.Empty, Detail: "no car came"})
			return
		}
		r.reach(Boarded, now, r.user())
	case parking.Fetch:
		r.lift, r.source, r.aim = r.in[o.Bay], o.Bay, ""
		delete(r.in, o.Bay)
		r.reach(Lifted, now, r.travel(o, false))
	case parking.Relocate:
		r.lift, r.source, r.aim = r.in[o.From], o.From, o.Bay
		delete(r.in, o.From)
		r.reach(Lifted, now, r.travel(o, false))
	default:
		r.apply()
		r.end(Report{State: "done"})
	}
}

// raise takes the car from the gate.
func (r *Rack) raise(now time.Time) {
	r.say(Report{Command: r.order.ID, State: "running"})
	r.lift, r.source, r.aim = r.gate, r.order.Bay, r.order.Bay
	r.gate = ""
	r.reach(Lifted, now, r.travel(r.order, false))
}

// place puts the car where it goes.
func (r *Rack) place(now time.Time) {
	o := r.order
	if r.crash(o.Kind, Carried) {
		return
	}
	if o.Kind == parking.Fetch {
		r.apply()
		r.gate, r.fetched, r.leaves = r.lift, true, now.Add(r.user())
		r.lift, r.source = "", ""
		r.staged = o.ID
		r.counts.Fetched++
	} else {
		r.apply()
		r.in[o.Bay] = r.lift
		r.lift, r.source, r.aim = "", "", ""
		if o.Kind == parking.Store {
			r.counts.Stored++
		} else {
			r.counts.Moved++
		}
	}
	r.reach(Placed, now, 0)
}

// apply puts the order into the model of the mechanics, which only times it; a
// model that disagrees is corrected by where the cars are.
func (r *Rack) apply() {
	o := r.order
	op := mechanism.Operation{Kind: o.Kind, Bay: r.own[o.Bay], From: r.own[o.From]}
	if _, err := r.model.Apply(op); err == nil {
		return
	}
	for bay, own := range r.own {
		// The bay is one of the model's: own is in range.
		_ = r.model.SetOccupied(own, r.in[bay] != "")
	}
}

// tell reports the end.
func (r *Rack) tell() {
	o := r.order
	r.end(Report{State: "done", Presence: r.sense(o.Bay)})
	r.crash(o.Kind, Told)
}
