package attendant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"freeflow/parking"
)

// byMachine is who decided where a machine's own word did.
const byMachine = "machine"

// work is one transaction of the attendant, with what it has written so far: if
// it commits, this process's picture takes that over at once.
type work struct {
	ctx context.Context
	tx  parking.Tx
	s   *site
	now time.Time

	changes []change
	alarms  []parking.Alarm
	// after runs once the transaction has committed.
	after []func()
}

// do runs fn in one transaction and keeps its answer under once. fn may run more
// than once.
func (a *Attendant) do(ctx context.Context, s *site, once *parking.Once, fn func(*work) (parking.Answer, error)) (parking.Answer, error) {
	var last *work
	answer, err := a.keeping.Do(ctx, once, func(tx parking.Tx) (parking.Answer, error) {
		last = &work{ctx: ctx, tx: tx, s: s, now: a.now()}
		return fn(last)
	})
	if err != nil || answer.Replayed || last == nil {
		return answer, err
	}
	if s != nil {
		s.note(last.changes...)
	}
	for _, c := range last.changes {
		if c.command != nil {
			a.metrics.Commands.WithLabelValues(string(c.command.Kind), string(c.command.State)).Inc()
		}
	}
	for _, alarm := range last.alarms {
		a.metrics.Alarms.WithLabelValues(alarm.Kind).Inc()
		a.log.WarnContext(ctx, "alarm", slog.String("car_park", alarm.CarPark), slog.String("kind", alarm.Kind),
			slog.String("subject", alarm.Subject), slog.String("detail", alarm.Detail))
	}
	for _, f := range last.after {
		f()
	}
	return answer, nil
}

// run is do for an operation with a value and an answer to keep.
func run[T any](ctx context.Context, a *Attendant, s *site, keep Keep[T], fn func(*work) (T, error)) (Result[T], error) {
	var value T
	answer, err := a.do(ctx, s, keep.Once, func(w *work) (parking.Answer, error) {
		v, err := fn(w)
		if err != nil {
			return parking.Answer{}, err
		}
		value = v
		return keep.Answer(v), nil
	})
	if err != nil {
		return Result[T]{}, err
	}
	if answer.Replayed {
		return Result[T]{Answer: answer}, nil
	}
	return Result[T]{Value: value, Answer: answer}, nil
}

// add stores a new allocation.
func (w *work) add(x parking.Allocation) error {
	if err := w.tx.PutAllocation(w.ctx, x); err != nil {
		return fmt.Errorf("adding allocation %s: %w", x.ID, err)
	}
	w.changes = append(w.changes, change{allocation: &x})
	return nil
}

// change stores the allocation in the state to, one revision on, with what edit
// changes beside. to may be the state it is in. parking.ErrConflict where it may
// not go there.
func (w *work) change(x parking.Allocation, to parking.State, edit func(*parking.Allocation)) (parking.Allocation, error) {
	if to != x.State && !x.State.May(to) {
		return x, fmt.Errorf("allocation %s is %s and cannot become %s: %w", x.ID, x.State, to, parking.ErrConflict)
	}
	x.State = to
	x.Revision++
	if to.Final() {
		x.EndedAt = w.now
	}
	if edit != nil {
		edit(&x)
	}
	if err := w.tx.PutAllocation(w.ctx, x); err != nil {
		return x, fmt.Errorf("changing allocation %s to %s: %w", x.ID, to, err)
	}
	w.changes = append(w.changes, change{allocation: &x})
	return x, nil
}

// unknown makes the allocation Unknown, and raises an alarm.
func (w *work) unknown(x parking.Allocation, detail string) (parking.Allocation, error) {
	if x.State != parking.Unknown {
		var err error
		x, err = w.change(x, parking.Unknown, func(x *parking.Allocation) {
			x.By, x.Reason = byMachine, detail
			x.PromisedAt, x.ComeBy = time.Time{}, time.Time{} // people decide
		})
		if err != nil {
			return x, err
		}
	}
	return x, w.alarm("bay-disagrees", x.ID, "bay "+x.Bay+": "+detail)
}

// order stores a new command.
func (w *work) order(c parking.Command) error {
	if err := w.tx.PutCommand(w.ctx, c); err != nil {
		return fmt.Errorf("adding command %s: %w", c.ID, err)
	}
	w.changes = append(w.changes, change{command: &c})
	return nil
}

// end stores the command in another state, one revision on.
func (w *work) to(c parking.Command, state parking.CommandState, detail string) (parking.Command, error) {
	c.State = state
	c.Revision++
	if state.Final() {
		c.EndedAt = w.now
	}
	if state == parking.Sent {
		c.SentAt = w.now
	}
	if detail != "" {
		c.Detail = cut(detail)
	}
	if err := w.tx.PutCommand(w.ctx, c); err != nil {
		return c, fmt.Errorf("changing command %s to %s: %w", c.ID, state, err)
	}
	w.changes = append(w.changes, change{command: &c})
	return c, nil
}

// withdraw takes back all orders for the allocation that were not yet given to a
// machine. sent reports that one was, and has not ended.
func (w *work) withdraw(allocation, carPark string) (sent bool, err error) {
	queue, err := w.tx.Queue(w.ctx, carPark, "")
	if err != nil {
		return false, fmt.Errorf("reading the queue of %s: %w", carPark, err)
	}
	for _, c := range queue {
		if c.Allocation != allocation {
			continue
		}
		if c.State != parking.Queued {
			sent = true
			continue
		}
		if _, err := w.to(c, parking.Withdrawn, ""); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func (w *work) putMachine(m parking.MachineStatus) (parking.MachineStatus, error) {
	m.Revision++
	if err := w.tx.PutMachine(w.ctx, m); err != nil {
		return m, fmt.Errorf("changing machine %s: %w", m.ID, err)
	}
	w.changes = append(w.changes, change{machine: &m})
	return m, nil
}

// alarm raises an alarm, or leaves the one of the same kind and subject.
func (w *work) alarm(kind, subject, detail string) error {
	x := parking.Alarm{ID: w.s.def.ID + "/" + kind + "/" + subject, CarPark: w.s.def.ID, Kind: kind, Subject: subject,
		Detail: cut(detail), Raised: w.now}
	if err := w.tx.Raise(w.ctx, x); err != nil {
		return fmt.Errorf("raising alarm %s: %w", x.ID, err)
	}
	w.alarms = append(w.alarms, x)
	return nil
}

// clear ends an alarm if it stands.
func (w *work) clear(kind, subject, by, note string) error {
	return w.clearAt(w.s.def.ID, kind, subject, by, note)
}

// clearAt is clear for an alarm of any car park.
func (w *work) clearAt(carPark, kind, subject, by, note string) error {
	err := w.tx.Clear(w.ctx, carPark+"/"+kind+"/"+subject, by, note, w.now)
	if err != nil && !errors.Is(err, parking.ErrNotFound) {
		return fmt.Errorf("clearing alarm %s of %s: %w", kind, subject, err)
	}
	return nil
}

// lock keeps other transactions about the machine waiting.
func (w *work) lock(machine string) error {
	if err := w.tx.Lock(w.ctx, "machine/"+w.s.def.ID+"/"+machine); err != nil {
		return fmt.Errorf("locking machine %s of %s: %w", machine, w.s.def.ID, err)
	}
	return nil
}

// unread says what could not be read. That it is not there is a sentence of its
// own, fit to be shown to whoever asked.
func unread(kind, id string, err error) error {
	var none *parking.NotFoundError
	if errors.As(err, &none) {
		return none
	}
	return fmt.Errorf("reading %s %s: %w", kind, id, err)
}

// at reads an allocation and finds the site it belongs to.
func (a *Attendant) at(ctx context.Context, allocation string) (parking.Allocation, *site, error) {
	var x parking.Allocation
	err := a.keeping.View(ctx, func(tx parking.Tx) error {
		var err error
		x, err = tx.Allocation(ctx, allocation)
		return err
	})
	if err != nil {
		return x, nil, unread("allocation", allocation, err)
	}
	s, err := a.site(x.CarPark)
	return x, s, err
}

// mostDetail is how much of a controller's words is kept, in bytes.
const mostDetail = 500

func cut(s string) string {
	if len(s) <= mostDetail {
		return s
	}
	s = s[:mostDetail]
	for len(s) > 0 && s[len(s)-1]&0xC0 == 0x80 {
		s = s[:len(s)-1]
	}
	// The byte left may be the first of a rune that was cut in two.
	if len(s) > 0 && s[len(s)-1] >= 0xC0 {
		s = s[:len(s)-1]
	}
	return s
}

// signed refuses what staff do without a name or a reason.
func signed(by, reason string) error {
	if by == "" || reason == "" {
		return fmt.Errorf("a name and a reason are needed: %w", parking.ErrInvalid)
	}
	return nil
}
