package attendant

import (
	"context"
	"fmt"
	"time"

	"freeflow/parking"
)

// Retrieve asks for a car. A car in a machine is queued, with a promised time
// that is kept with it and measured against later; asking again changes nothing
// but the time it is wanted at, and never makes the promise later. Where drivers
// fetch their cars themselves it is theirs at once. Errors: parking.ErrNotFound,
// parking.ErrConflict (it has ended, or nobody knows where it is),
// parking.ErrKeyReused, parking.ErrKeyBusy.
func (a *Attendant) Retrieve(ctx context.Context, r RetrieveRequest, keep Keep[Retrieval]) (Result[Retrieval], error) {
	x, s, err := a.at(ctx, r.Allocation)
	if err != nil {
		return Result[Retrieval]{}, err
	}
	return run(ctx, a, s, keep, func(w *work) (Retrieval, error) {
		if x.Machine == "" {
			return w.walk(r)
		}
		t, err := a.open(w, x.Machine)
		if err != nil {
			return Retrieval{}, err
		}
		return t.retrieve(r)
	})
}

// walk is a request for a car that its driver walks to.
func (w *work) walk(r RetrieveRequest) (Retrieval, error) {
	x, err := w.tx.Allocation(w.ctx, r.Allocation)
	if err != nil {
		return Retrieval{}, unread("allocation", r.Allocation, err)
	}
	if x.State == parking.Retrieving {
		return Retrieval{Allocation: x, PromisedAt: x.PromisedAt}, nil
	}
	x, err = w.change(x, parking.Retrieving, func(x *parking.Allocation) {
		x.RequestedAt, x.PromisedAt = w.now, w.now
	})
	return Retrieval{Allocation: x, PromisedAt: x.PromisedAt}, err
}

func (t *turn) retrieve(r RetrieveRequest) (Retrieval, error) {
	x, err := t.tx.Allocation(t.ctx, r.Allocation)
	if err != nil {
		return Retrieval{}, unread("allocation", r.Allocation, err)
	}
	notBefore := r.NotBefore.UTC().Truncate(time.Microsecond)
	if !notBefore.After(t.now) {
		notBefore = time.Time{}
	}
	switch x.State {
	case parking.Staged:
		return Retrieval{Allocation: x, PromisedAt: x.StagedAt}, nil
	case parking.Retrieving:
		if x.NotBefore.Equal(notBefore) || x.NotBefore.IsZero() && !notBefore.IsZero() && t.sentFor(x.ID) {
			return t.standing(x), nil
		}
		return t.again(x, notBefore)
	case parking.Stored, parking.Moving:
	default:
		if x.State == parking.Assigned && t.status.Boot == "" {
			// Nobody tells that cars are stored: by now it is. What was ordered
			// would be a controller's that comes later, for a car long gone.
			if err := t.drop(x.ID); err != nil {
				return Retrieval{}, err
			}
			break
		}
		return Retrieval{}, fmt.Errorf("allocation %s is %s and cannot be fetched now: %w", x.ID, x.State, parking.ErrConflict)
	}
	order := parking.Command{ID: newID(), CarPark: x.CarPark, Machine: x.Machine, Kind: parking.Fetch, Allocation: x.ID, Bay: x.Bay,
		State: parking.Queued, Revision: 1, Attempt: 1, CreatedAt: t.now}
	if x, err = t.change(x, parking.Retrieving, func(x *parking.Allocation) { x.RequestedAt, x.NotBefore = t.now, notBefore }); err != nil {
		return Retrieval{}, err
	}
	t.set(x)
	if err := t.promise(&x, &order); err != nil {
		return Retrieval{}, err
	}
	if err := t.order(order); err != nil {
		return Retrieval{}, err
	}
	t.queue = append(t.queue, order)
	return t.standing(x), nil
}

// again changes the time at which a car is wanted that is queued already.
func (t *turn) again(x parking.Allocation, notBefore time.Time) (Retrieval, error) {
	for i, c := range t.queue {
		if c.Allocation != x.ID || c.Kind != parking.Fetch || c.State != parking.Queued {
			continue
		}
		before := x.PromisedAt
		x, err := t.change(x, x.State, func(x *parking.Allocation) { x.NotBefore = notBefore })
		if err != nil {
			return Retrieval{}, err
		}
		t.set(x)
		t.queue = append(t.queue[:i:i], t.queue[i+1:]...)
		if err := t.promise(&x, &c); err != nil {
			return Retrieval{}, err
		}
		// What was promised stands unless the driver wants the car later.
		if !before.IsZero() && !x.PromisedAt.IsZero() && x.PromisedAt.After(before) && !notBefore.After(before) {
			if x, err = t.change(x, x.State, func(x *parking.Allocation) { x.PromisedAt = before }); err != nil {
				return Retrieval{}, err
			}
			t.set(x)
			c.DueAt = before
		}
		if c, err = t.to(c, parking.Queued, ""); err != nil {
			return Retrieval{}, err
		}
		t.queue = append(t.queue, c)
		return t.standing(x), nil
	}
	return t.standing(x), nil
}

// Margin of a promise over the plan: a tenth of the wait and five seconds.
const (
	marginShare = 10
	marginLeast = 5 * time.Second
)

// promise works out when the ordered car will be at the gate, and stores it with
// the allocation. order is not in the queue yet; its DueAt becomes the promise.
// Where nobody can say, DueAt is what it would be with the machine at work, so
// that the order keeps its place, and there is no promise.
func (t *turn) promise(x *parking.Allocation, order *parking.Command) error {
	// Behind all that wait now: a promise is not made at the cost of another's.
	order.DueAt = t.now
	for _, c := range t.queue {
		if w, known := t.active[c.Allocation]; known && !w.NotBefore.After(t.now) {
			order.DueAt = later(order.DueAt, c.DueAt.Add(time.Microsecond))
		}
	}
	p := t.foresee(append(t.queue[:len(t.queue):len(t.queue)], *order))
	ready, ok := p.ready[order.ID]
	if !ok {
		ready = later(p.idle, t.now.Add(t.s.def.Promise()))
	}
	ready = later(ready, x.NotBefore)
	ready = ready.Add(max(ready.Sub(t.now)/marginShare, marginLeast)).Truncate(time.Second)
	order.DueAt = ready
	promised := ready
	if !ok || t.note() != "" {
		promised = time.Time{}
	}
	if promised.Equal(x.PromisedAt) {
		return nil
	}
	y, err := t.change(*x, x.State, func(x *parking.Allocation) { x.PromisedAt = promised })
	if err != nil {
		return err
	}
	*x = y
	t.set(y)
	return nil
}

// note says why no promise can be given now; empty if one can.
func (t *turn) note() string {
	switch {
	case t.status.Out:
		return "the machine is out of service; the car keeps its place in the queue"
	case t.status.Boot != "" && !t.status.Reconciled:
		return "the machine is starting; the car keeps its place in the queue"
	default:
		return ""
	}
}

// foresee is the plan of the machine with that queue.
func (t *turn) foresee(queue []parking.Command) plan {
	running, waiting := t.s.jobs(queue, t.machine.ID, t.allocation)
	gate := gateUntil(t.machine, t.each, t.now)
	return foresee(t.model, running, waiting, gate, t.now, t.machine.Lifts-t.status.LiftsOut, t.s.gap)
}

func (t *turn) sentFor(allocation string) bool {
	for _, c := range t.queue {
		if c.Allocation == allocation && c.State != parking.Queued && !c.State.Final() {
			return true
		}
	}
	return false
}

// standing says where the car stands in the queue: how many fetches are planned
// before it.
func (t *turn) standing(x parking.Allocation) Retrieval {
	r := Retrieval{Allocation: x, PromisedAt: x.PromisedAt, Note: t.note()}
	if x.State == parking.Staged {
		r.PromisedAt, r.Note = x.StagedAt, ""
		return r
	}
	if x.State != parking.Retrieving {
		return r
	}
	if r.PromisedAt.IsZero() && r.Note == "" {
		r.Note = "a lift or a place for cars to make way is missing; the car keeps its place in the queue"
	}
	r.Position = 1
	p := t.foresee(t.queue)
	var own int
	for _, c := range t.queue {
		if c.Allocation == x.ID && c.Kind == parking.Fetch {
			if c.State != parking.Queued {
				return r
			}
			own = p.position[c.ID]
		}
	}
	for _, c := range t.queue {
		if c.Kind != parking.Fetch || c.Allocation == x.ID {
			continue
		}
		if at, waits := p.position[c.ID]; c.State != parking.Queued || waits && at < own {
			r.Position++
		}
	}
	return r
}

// CancelRetrieval takes back the request for a car that no machine has been told
// to fetch yet; parking.ErrConflict otherwise.
func (a *Attendant) CancelRetrieval(ctx context.Context, r EndRequest, keep Keep[Retrieval]) (Result[Retrieval], error) {
	x, s, err := a.at(ctx, r.Allocation)
	if err != nil {
		return Result[Retrieval]{}, err
	}
	return run(ctx, a, s, keep, func(w *work) (Retrieval, error) {
		if x.Machine != "" {
			if err := w.lock(x.Machine); err != nil {
				return Retrieval{}, err
			}
		}
		x, err := w.tx.Allocation(w.ctx, r.Allocation)
		if err != nil {
			return Retrieval{}, unread("allocation", r.Allocation, err)
		}
		if x.State != parking.Retrieving {
			return Retrieval{}, fmt.Errorf("allocation %s is %s and not asked for: %w", x.ID, x.State, parking.ErrConflict)
		}
		sent, err := w.withdraw(x.ID, x.CarPark)
		if err != nil {
			return Retrieval{}, err
		}
		if sent {
			return Retrieval{}, fmt.Errorf("allocation %s is being fetched: %w", x.ID, parking.ErrConflict)
		}
		x, err = w.change(x, parking.Stored, func(x *parking.Allocation) {
			x.RequestedAt, x.PromisedAt, x.NotBefore = time.Time{}, time.Time{}, time.Time{}
			x.By, x.Reason = r.By, r.Reason
		})
		return Retrieval{Allocation: x}, err
	})
}

// Standing returns an allocation and where it stands in the queue.
// parking.ErrNotFound.
func (a *Attendant) Standing(ctx context.Context, allocation string) (Retrieval, error) {
	var r Retrieval
	err := a.keeping.View(ctx, func(tx parking.Tx) error {
		x, err := tx.Allocation(ctx, allocation)
		if err != nil {
			return err
		}
		r = Retrieval{Allocation: x, PromisedAt: x.PromisedAt}
		s, err := a.site(x.CarPark)
		if err != nil || x.Machine == "" || x.State != parking.Retrieving && x.State != parking.Staged {
			return nil //nolint:nilerr // a car park that is no more defined has no queue
		}
		t, err := a.load(&work{ctx: ctx, tx: tx, s: s, now: a.now()}, x.Machine)
		if err != nil {
			return nil //nolint:nilerr // nor has a machine that is no more defined
		}
		r = t.standing(x)
		return nil
	})
	if err != nil {
		return r, unread("allocation", allocation, err)
	}
	return r, nil
}
