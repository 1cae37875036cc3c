package attendant

import (
	"context"
	"fmt"

	"freeflow/parking"
)

// Report takes over what a controller says of an order. The same report again
// changes nothing, and one that comes late, or from an older run of the
// controller, undoes nothing: both are no errors. Errors: parking.ErrNotFound
// (no such order of this machine), parking.ErrInvalid, parking.ErrConflict (a
// car left from the gate and nobody knows which).
func (a *Attendant) Report(ctx context.Context, r Report) error {
	s, err := a.site(r.CarPark)
	if err != nil {
		return err
	}
	if err := sound(r); err != nil {
		return err
	}
	outcome := ""
	_, err = a.do(ctx, s, nil, func(w *work) (parking.Answer, error) {
		t, err := a.open(w, r.Machine)
		if err != nil {
			return parking.Answer{}, err
		}
		outcome, err = a.report(t, r)
		return parking.Answer{}, err
	})
	if err != nil {
		a.metrics.Reports.WithLabelValues("refused").Inc()
		return fmt.Errorf("taking over a report of machine %s of %s: %w", r.Machine, r.CarPark, err)
	}
	a.metrics.Reports.WithLabelValues(outcome).Inc()
	return nil
}

func sound(r Report) error {
	bad := func(what string) error {
		return fmt.Errorf("a report of machine %s: %s: %w", r.Machine, what, parking.ErrInvalid)
	}
	switch r.Presence {
	case "", parking.Occupied, parking.Empty, parking.Unsure:
	default:
		return bad("presence is occupied, empty or unknown")
	}
	switch {
	case r.Boot == "":
		return bad("its boot is missing")
	case r.Command == "" && r.State != ReportGone:
		return bad("its command is missing")
	}
	switch r.State {
	case ReportRunning, ReportDone, ReportFailed, ReportGone:
		return nil
	default:
		return bad("state is running, done, failed or gone")
	}
}

// What became of a report.
const (
	applied  = "applied"
	repeated = "repeated"
	late     = "late"
	doubted  = "unknown"
)

func (a *Attendant) report(t *turn, r Report) (string, error) {
	if t.status.Boot != r.Boot || !t.status.Reconciled {
		// Another run of the controller has said since what stands where.
		return late, nil
	}
	if r.Command == "" {
		return a.goneFrom(t, r)
	}
	c, err := t.tx.Command(t.ctx, r.Command)
	if err != nil {
		return "", unread("command", r.Command, err)
	}
	if c.CarPark != r.CarPark || c.Machine != r.Machine {
		return "", &parking.NotFoundError{Kind: "command of machine " + r.Machine, ID: r.Command, At: r.CarPark}
	}
	if c.State == parking.Queued {
		return "", fmt.Errorf("command %s was never sent: %w", r.Command, parking.ErrConflict)
	}
	if r.State == ReportGone {
		return a.gone(t, c, r)
	}
	if c.State.Final() {
		if string(c.State) == r.State {
			return repeated, nil
		}
		return late, nil
	}
	switch r.State {
	case ReportRunning:
		if c.State == parking.Running {
			return repeated, nil
		}
		_, err = t.settled(c, parking.Running, r.Detail)
		return applied, err
	case ReportDone:
		return a.done(t, c, r)
	default:
		return a.failed(t, c, r)
	}
}

// expects is what the sensor of the command's bay says after the order was
// carried out, or was not.
func expects(kind parking.CommandKind, carried bool) parking.Presence {
	if (kind == parking.Store || kind == parking.Relocate) == carried {
		return parking.Occupied
	}
	return parking.Empty
}

// done takes over that an order was carried out, if its sensor agrees.
func (a *Attendant) done(t *turn, c parking.Command, r Report) (string, error) {
	if c.Kind == parking.Prepare {
		if err := t.carried(c); err != nil {
			return "", err
		}
		if _, err := t.settled(c, parking.Done, r.Detail); err != nil {
			return "", err
		}
		return applied, t.save()
	}
	if r.Presence != "" && r.Presence != expects(c.Kind, true) {
		return doubted, t.lose(a, c, fmt.Sprintf("%s was reported done and the sensor of bay %s says %s", c.Kind, c.Bay, r.Presence))
	}
	return applied, t.complete(a, c, r.Detail)
}

// complete is what an order that was carried out has changed.
func (t *turn) complete(a *Attendant, c parking.Command, detail string) error {
	if err := t.carried(c); err != nil {
		return err
	}
	if _, err := t.settled(c, parking.Done, detail); err != nil {
		return err
	}
	if err := t.save(); err != nil {
		return err
	}
	x, known := t.active[c.Allocation]
	if !known {
		return t.stranger(c)
	}
	var err error
	switch c.Kind {
	case parking.Store:
		switch x.State {
		case parking.Moving:
			_, err = t.becomes(x, parking.Stored, func(x *parking.Allocation) { x.StoredAt = t.now })
		case parking.Retrieving: // asked for while it was being stored
			_, err = t.becomes(x, x.State, func(x *parking.Allocation) { x.StoredAt = t.now })
		}
	case parking.Fetch:
		if x.State == parking.Retrieving {
			x, err = t.becomes(x, parking.Staged, func(x *parking.Allocation) { x.StagedAt = t.now })
			s := t.s
			t.after = append(t.after, func() { a.arrived(s, x) })
		}
	case parking.Relocate:
		err = t.moved(x, c)
	}
	return err
}

// moved gives a car that was relocated its new bay.
func (t *turn) moved(x parking.Allocation, c parking.Command) error {
	if err := t.unkeep(c); err != nil {
		return err
	}
	x, err := t.becomes(x, x.State, func(x *parking.Allocation) { x.Bay = c.Bay })
	if err != nil {
		return err
	}
	for _, q := range t.queue {
		if q.Allocation == x.ID && q.Kind == parking.Fetch && q.State == parking.Queued {
			q.Bay = c.Bay
			if _, err := t.settled(q, parking.Queued, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// unkeep ends the block of the place where a car was to be moved.
func (t *turn) unkeep(c parking.Command) error {
	x, held := t.active[t.byBay[c.Bay]]
	if is, id := relocation(x); held && is && id == c.ID {
		_, err := t.becomes(x, parking.Gone, nil)
		return err
	}
	return nil
}

// stranger blocks a bay into which a car was stored of which the books say that
// it is not here: the allocation was ended by staff meanwhile.
func (t *turn) stranger(c parking.Command) error {
	if c.Kind != parking.Store || t.byBay[c.Bay] != "" {
		return nil
	}
	return t.quarantine(c.Bay, "a car was stored whose allocation had ended")
}

// quarantine blocks a bay in the machine's name.
func (t *turn) quarantine(id, reason string) error {
	bay, _, err := t.s.bay(id)
	if err != nil {
		return err
	}
	x := block(t.s, bay, byMachine, reason, t.now)
	if err := t.add(x); err != nil {
		return err
	}
	t.set(x)
	return t.alarm("bay-blocked", id, reason)
}

// lose ends an order of which nobody knows how it ended. Its car may be on the
// lift: the machine stands still until a person has looked.
func (t *turn) lose(a *Attendant, c parking.Command, detail string) error {
	if _, err := t.settled(c, parking.Lost, detail); err != nil {
		return err
	}
	if err := t.suspect(c); err != nil {
		return err
	}
	if x, known := t.active[c.Allocation]; known {
		if _, err := t.doubt(x, detail); err != nil {
			return err
		}
	}
	if !t.status.Out {
		if err := t.takeOut(a, byMachine, heldReason+detail); err != nil {
			return err
		}
	}
	return t.save()
}

// suspect keeps the place where a car was to be moved blocked, now for people to
// decide about: the car may stand there.
func (t *turn) suspect(c parking.Command) error {
	x, held := t.active[t.byBay[c.Bay]]
	if is, id := relocation(x); !held || !is || id != c.ID {
		return nil
	}
	_, err := t.becomes(x, x.State, func(x *parking.Allocation) {
		x.By, x.Reason = byMachine, "the car of allocation "+c.Allocation+" may stand here"
	})
	return err
}

// heldReason begins the reason for which a machine stands still until somebody
// has said where a car is; then it goes on by itself.
const heldReason = "a car may stand on the lift: "

// failed takes over that an order moved nothing: it is given again, a bounded
// number of times; then the machine is out of service.
func (a *Attendant) failed(t *turn, c parking.Command, r Report) (string, error) {
	bay := c.Bay
	if c.Kind != parking.Prepare && r.Presence != "" && r.Presence != expects(c.Kind, false) {
		return doubted, t.lose(a, c, fmt.Sprintf("%s was reported as not begun and the sensor of bay %s says %s", c.Kind, bay, r.Presence))
	}
	return applied, t.retry(a, c, r.Detail)
}

// retry ends an order that moved nothing and gives it again under a new id.
func (t *turn) retry(a *Attendant, c parking.Command, detail string) error {
	if _, err := t.settled(c, parking.Failed, detail); err != nil {
		return err
	}
	x, known := t.active[c.Allocation]
	switch c.Kind {
	case parking.Prepare:
		return t.save()
	case parking.Relocate:
		if err := t.unkeep(c); err != nil {
			return err
		}
	case parking.Store:
		if known && x.State == parking.Moving {
			var err error
			if x, err = t.becomes(x, parking.Assigned, nil); err != nil {
				return err
			}
		}
	}
	wanted := known && (c.Kind == parking.Store && x.State == parking.Assigned || c.Kind == parking.Fetch && x.State == parking.Retrieving)
	if wanted {
		again := parking.Command{ID: newID(), CarPark: c.CarPark, Machine: c.Machine, Kind: c.Kind, Allocation: c.Allocation, Bay: x.Bay,
			State: parking.Queued, Revision: 1, Attempt: c.Attempt + 1, CreatedAt: t.now, DueAt: c.DueAt, Detail: cut(detail)}
		if err := t.order(again); err != nil {
			return err
		}
		t.queue = append(t.queue, again)
	}
	if c.Attempt >= a.settings.Attempts || c.Kind == parking.Relocate {
		reason := fmt.Sprintf("%s of bay %s failed %d times", c.Kind, c.Bay, c.Attempt)
		if detail != "" {
			reason += ": " + detail
		}
		if err := t.takeOut(a, byMachine, reason); err != nil {
			return err
		}
	}
	return t.save()
}

// gone takes over that the driver left from the gate: with the car that was
// fetched, or instead of storing it.
func (a *Attendant) gone(t *turn, c parking.Command, r Report) (string, error) {
	x, known := t.active[c.Allocation]
	if !known {
		return repeated, nil
	}
	switch c.Kind {
	case parking.Fetch:
		// "gone" may overtake "done".
		if !c.State.Final() {
			if r.Presence == parking.Unsure {
				return doubted, t.lose(a, c, "a car was reported gone and the sensor of the gate says unknown")
			}
			if r.Presence == parking.Occupied {
				return late, t.alarm("gate-disagrees", t.machine.ID, "a car was reported gone and the gate says occupied")
			}
			if err := t.complete(a, c, r.Detail); err != nil {
				return "", err
			}
			x = t.active[c.Allocation]
		}
		if c.State == parking.Failed || c.State == parking.Lost || x.State != parking.Staged {
			return late, nil
		}
		return t.leave(x, r)
	case parking.Store:
		if c.State.Final() {
			return late, nil
		}
		if r.Presence == parking.Unsure || r.Presence == parking.Occupied {
			return doubted, t.lose(a, c, "a driver was reported to have left and the sensor of the gate says "+string(r.Presence))
		}
		if _, err := t.settled(c, parking.Failed, "the driver left"); err != nil {
			return "", err
		}
		if x.State == parking.Moving {
			var err error
			if x, err = t.becomes(x, parking.Assigned, nil); err != nil {
				return "", err
			}
		}
		if x.State != parking.Assigned {
			return doubted, t.lost(x)
		}
		_, err := t.becomes(x, parking.Gone, nil)
		return applied, err
	default:
		return late, nil
	}
}

// lost is a car that was wanted while it was to be stored, whose driver left.
func (t *turn) lost(x parking.Allocation) error {
	if _, err := t.withdraw(x.ID, x.CarPark); err != nil {
		return err
	}
	_, err := t.doubt(x, "its driver left from the gate while the car was asked for")
	return err
}

// leave ends the allocation of a car that stood at the gate.
func (t *turn) leave(x parking.Allocation, r Report) (string, error) {
	switch r.Presence {
	case parking.Unsure:
		_, err := t.doubt(x, "it was reported gone and the sensor of the gate says unknown")
		return doubted, err
	case parking.Occupied:
		return late, t.alarm("gate-disagrees", t.machine.ID, "a car was reported gone and the gate says occupied")
	default:
		x, err := t.becomes(x, parking.Gone, nil)
		s := t.s
		t.after = append(t.after, func() { s.drove(x) })
		return applied, err
	}
}

// goneFrom is gone from a controller that does not remember which car stood at
// its gate: the books know, if there is one.
func (a *Attendant) goneFrom(t *turn, r Report) (string, error) {
	var staged []parking.Allocation
	for _, x := range t.sorted() {
		if x.State == parking.Staged {
			staged = append(staged, x)
		}
	}
	switch len(staged) {
	case 0:
		return repeated, nil
	case 1:
		return t.leave(staged[0], r)
	default:
		return "", fmt.Errorf("machine %s has %d cars at its gates and the report does not say which left: %w", t.machine.ID, len(staged), parking.ErrConflict)
	}
}

// arrived measures a retrieval that came to its end.
func (a *Attendant) arrived(s *site, x parking.Allocation) {
	wanted := later(x.RequestedAt, x.NotBefore)
	a.metrics.WaitSeconds.WithLabelValues(s.def.ID).Observe(max(x.StagedAt.Sub(wanted), 0).Seconds())
	if !x.PromisedAt.IsZero() {
		a.metrics.LateSeconds.WithLabelValues(s.def.ID).Observe(max(x.StagedAt.Sub(x.PromisedAt), 0).Seconds())
	}
	one := sample{wait: max(x.StagedAt.Sub(wanted), 0), promised: !x.PromisedAt.IsZero()}
	if one.promised {
		one.late = x.StagedAt.Sub(x.PromisedAt)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals.add(one)
}

// drove measures a retrieval up to the driver's leaving the gate.
func (s *site) drove(x parking.Allocation) {
	if x.RequestedAt.IsZero() || x.EndedAt.IsZero() {
		return
	}
	one := sample{wait: max(x.EndedAt.Sub(later(x.RequestedAt, x.NotBefore)), 0)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.departed.add(one)
}
