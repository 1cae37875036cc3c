package attendant

import (
	"context"
	"fmt"

	"freeflow/parking"
)

// Inventory compares what a controller sees with the books, before the first
// movement of its run and whenever it sends one. What the machine says about a
// bay wins: a bay that should be free and is not is blocked, a car that should
// stand there and does not is Unknown, and an order that was under way when the
// controller stopped is ended by what the inventory proves, or lost. The rest
// goes on. It returns what did not agree. Errors: parking.ErrNotFound,
// parking.ErrInvalid.
func (a *Attendant) Inventory(ctx context.Context, r InventoryReport) ([]parking.Discrepancy, error) {
	s, err := a.site(r.CarPark)
	if err != nil {
		return nil, err
	}
	seen, err := s.seen(r)
	if err != nil {
		return nil, err
	}
	var found []parking.Discrepancy
	_, err = a.do(ctx, s, nil, func(w *work) (parking.Answer, error) {
		t, err := a.open(w, r.Machine)
		if err != nil {
			return parking.Answer{}, err
		}
		found, err = a.reconcile(t, r.Boot, seen)
		return parking.Answer{}, err
	})
	if err != nil {
		return nil, fmt.Errorf("comparing the inventory of machine %s of %s: %w", r.Machine, r.CarPark, err)
	}
	return found, nil
}

// seen checks an inventory and returns it by bay.
func (s *site) seen(r InventoryReport) (map[string]parking.Presence, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("the inventory of machine %s: %s: %w", r.Machine, fmt.Sprintf(format, args...), parking.ErrInvalid)
	}
	if r.Boot == "" {
		return nil, bad("its boot is missing")
	}
	if _, err := s.machine(r.Machine); err != nil {
		return nil, err
	}
	seen := make(map[string]parking.Presence, len(r.Items))
	for _, item := range r.Items {
		if bay, _, err := s.bay(item.Bay); item.Bay != GateItem && (err != nil || bay.Machine != r.Machine) {
			return nil, bad("bay %q is none of its bays", item.Bay)
		}
		if _, twice := seen[item.Bay]; twice {
			return nil, bad("bay %q stands twice", item.Bay)
		}
		switch item.Presence {
		case parking.Occupied, parking.Empty, parking.Unsure:
			seen[item.Bay] = item.Presence
		default:
			return nil, bad("bay %q is %q and must be occupied, empty or unknown", item.Bay, item.Presence)
		}
	}
	for i := range s.def.Bays {
		b := &s.def.Bays[i]
		if _, said := seen[b.ID]; b.Machine == r.Machine && !said {
			seen[b.ID] = parking.Unsure
		}
	}
	return seen, nil
}

// reconcile compares, in the order of the bays.
func (a *Attendant) reconcile(t *turn, boot string, seen map[string]parking.Presence) ([]parking.Discrepancy, error) {
	fresh := t.status.Boot != boot || !t.status.Reconciled
	var found []parking.Discrepancy
	// Bays about which an order was under way are judged with the order.
	judged := map[string]bool{}
	for _, c := range append([]parking.Command(nil), t.queue...) {
		if c.State == parking.Queued {
			continue
		}
		judged[c.Bay] = true
		if c.Kind == parking.Relocate {
			judged[c.From] = true
		}
		if !fresh {
			continue // of this run: its controller will report about it
		}
		d, err := a.interrupted(t, c, seen)
		if err != nil {
			return nil, err
		}
		found = append(found, d...)
	}
	for i := range t.s.def.Bays {
		b := &t.s.def.Bays[i]
		if b.Machine != t.machine.ID || judged[b.ID] {
			continue
		}
		d, err := a.compare(t, b.ID, seen)
		if err != nil {
			return nil, err
		}
		found = append(found, d...)
	}
	t.status.Boot, t.status.Reconciled = boot, true
	return found, t.save()
}

// compare judges one bay about which no order was under way.
func (a *Attendant) compare(t *turn, bay string, seen map[string]parking.Presence) ([]parking.Discrepancy, error) {
	says := seen[bay]
	x, held := t.active[t.byBay[bay]]
	d := parking.Discrepancy{Bay: bay, Machine: says, Books: parking.Empty, Allocation: x.ID}
	switch {
	case !held:
		if says == parking.Empty {
			return nil, nil
		}
		if err := t.quarantine(bay, "the books say empty and the machine says "+string(says)); err != nil {
			return nil, err
		}
		d.Allocation, d.Action = t.byBay[bay], "blocked"
	case x.State == parking.Assigned:
		// Its car has not been taken in: whatever stands there is another's.
		if says == parking.Empty {
			return nil, nil
		}
		y, err := t.doubt(x, "the bay was to be free and the machine says "+string(says))
		if err != nil {
			return nil, err
		}
		d.Action = "unknown"
		ctx, s := t.ctx, t.s
		t.after = append(t.after, func() { a.elsewhere(ctx, s, y) })
	case x.State == parking.Stored, x.State == parking.Retrieving:
		if says == parking.Occupied {
			return nil, nil
		}
		if _, err := t.doubt(x, "a car should stand there and the machine says "+string(says)); err != nil {
			return nil, err
		}
		if err := t.drop(x.ID); err != nil {
			return nil, err
		}
		d.Books, d.Action = parking.Occupied, "unknown"
	case x.State == parking.Staged:
		return t.compareStaged(x, d, seen)
	case x.State == parking.Moving:
		// No order moves it any more: that was lost before.
		if _, err := t.doubt(x, "it was being moved, and no order for it is left"); err != nil {
			return nil, err
		}
		d.Books, d.Action = parking.Unsure, "unknown"
	default:
		return nil, nil // blocked or unknown already: people decide
	}
	return []parking.Discrepancy{d}, nil
}

// compareStaged judges a car that should stand at the gate. Its bay has to be
// empty; where the gate is too, the driver left while nobody listened.
func (t *turn) compareStaged(x parking.Allocation, d parking.Discrepancy, seen map[string]parking.Presence) ([]parking.Discrepancy, error) {
	gate, said := seen[GateItem]
	switch {
	case d.Machine == parking.Empty && gate == parking.Empty:
		d.Action = "ended"
		_, err := t.becomes(x, parking.Gone, func(x *parking.Allocation) {
			x.By, x.Reason = byMachine, "the gate and the bay were found empty"
		})
		return []parking.Discrepancy{d}, err
	case d.Machine == parking.Empty && (!said || gate == parking.Occupied):
		return nil, nil
	default:
		d.Action = "unknown"
		_, err := t.doubt(x, "it should stand at the gate; the bay is "+string(d.Machine)+" and the gate "+string(gate))
		return []parking.Discrepancy{d}, err
	}
}

// drop withdraws what was ordered for an allocation and not yet sent.
func (t *turn) drop(allocation string) error {
	for _, c := range append([]parking.Command(nil), t.queue...) {
		if c.Allocation == allocation && c.State == parking.Queued {
			if _, err := t.settled(c, parking.Withdrawn, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// elsewhere gives a car that still stands at the gate another bay, and leaves
// its old one blocked. The allocation is Unknown until then, so that a process
// that ends here leaves nothing believed wrongly.
func (a *Attendant) elsewhere(ctx context.Context, s *site, x parking.Allocation) {
	err := a.replace(context.WithoutCancel(ctx), s, x)
	if err != nil {
		a.log.ErrorContext(ctx, "a car at the gate has no other bay yet", "car_park", s.def.ID, "allocation", x.ID, "error", err)
	}
}

// interrupted ends an order that an earlier run of the controller had been given,
// by what the inventory proves.
func (a *Attendant) interrupted(t *turn, c parking.Command, seen map[string]parking.Presence) ([]parking.Discrepancy, error) {
	bay, gate := seen[c.Bay], seen[GateItem]
	x, known := t.active[c.Allocation]
	d := parking.Discrepancy{Bay: c.Bay, Machine: bay, Books: parking.Unsure, Allocation: x.ID}
	lost := func(why string) ([]parking.Discrepancy, error) {
		d.Action = "unknown"
		return []parking.Discrepancy{d}, t.lose(a, c, why)
	}
	const again = "the controller started anew before it had begun"
	switch {
	case c.Kind == parking.Prepare:
		_, err := t.settled(c, parking.Lost, "the controller started anew")
		if err != nil {
			return nil, err
		}
		return a.compare(t, c.Bay, seen)
	case !known:
		if _, err := t.settled(c, parking.Lost, "its allocation has ended"); err != nil {
			return nil, err
		}
		return a.compare(t, c.Bay, seen)
	case c.Kind == parking.Store && bay == parking.Occupied:
		return nil, t.complete(a, c, "found in its bay after the controller had started anew")
	case c.Kind == parking.Store && bay == parking.Empty && (c.State == parking.Sent || gate != parking.Empty && gate != parking.Unsure):
		// The car stands at the gate, or has not come to it yet.
		return nil, t.retry(a, c, again)
	case c.Kind == parking.Fetch && bay == parking.Occupied:
		return nil, t.retry(a, c, again)
	case c.Kind == parking.Fetch && bay == parking.Empty && gate == parking.Occupied && t.alone(c):
		return nil, t.complete(a, c, "found at the gate after the controller had started anew")
	case c.Kind == parking.Relocate && bay == parking.Occupied && seen[c.From] == parking.Empty:
		return nil, t.complete(a, c, "found moved after the controller had started anew")
	case c.Kind == parking.Relocate && bay == parking.Empty && seen[c.From] == parking.Occupied:
		return nil, t.withdrawMove(c, again)
	default:
		return lost(fmt.Sprintf("the controller started anew during %s; the bay is %s and the gate %s", c.Kind, bay, orUnsaid(gate)))
	}
}

// withdrawMove ends a relocation that had not begun; it is planned anew if it is
// still of use.
func (t *turn) withdrawMove(c parking.Command, detail string) error {
	if _, err := t.settled(c, parking.Failed, detail); err != nil {
		return err
	}
	return t.unkeep(c)
}

// alone reports whether the order is the only one that may have put a car to the
// gate.
func (t *turn) alone(c parking.Command) bool {
	for _, q := range t.queue {
		if q.ID != c.ID && q.State != parking.Queued && (q.Kind == parking.Fetch || q.Kind == parking.Store) {
			return false
		}
	}
	for _, x := range t.active {
		if x.State == parking.Staged {
			return false
		}
	}
	return true
}

func orUnsaid(p parking.Presence) string {
	if p == "" {
		return "not said"
	}
	return string(p)
}
