package cashier

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"freeflow/parking"
	"freeflow/parking/stay"
	"freeflow/parking/tariff"
)

// named returns the id of the stay that a request is about: its own, or that of
// the vehicle's present stay (the latest, if none is open) by plate or ticket.
func (c *Cashier) named(ctx context.Context, tx parking.Tx, id, carPark, mark string) (string, error) {
	if id != "" {
		return id, nil
	}
	best := parking.Stay{}
	for st, err := range c.staysOf(ctx, tx, carPark, mark, lookBack) {
		if err != nil {
			return "", err
		}
		if best.ID == "" || best.State != parking.Open || st.State == parking.Open {
			best = st
		}
	}
	if best.ID == "" {
		return "", fmt.Errorf("no stay of that plate or ticket at %.64q: %w", carPark, parking.ErrNotFound)
	}
	return best.ID, nil
}

// refuse turns a tariff that cannot price into ErrInvalid, for what was just put
// on the stay made it so.
func (s *scope) tryPrice(ctx context.Context, r *record, n note) error {
	i := slices.IndexFunc(s.derived, func(d stay.Stay) bool { return d.Belongs(r.anchor()) })
	if i < 0 {
		return fmt.Errorf("stay %s has changed: %w", r.ID, parking.ErrStale)
	}
	with := *r
	if _, err := s.rate(ctx, &s.derived[i], &with, s.now); err != nil {
		return nil // It had no price before: what is put on it is kept all the same.
	}
	with.details.Notes = append(slices.Clone(r.details.Notes), n)
	if _, err := s.rate(ctx, &s.derived[i], &with, s.now); err != nil {
		if errors.Is(err, errNoPrice) {
			return fmt.Errorf("%w: %w", parking.ErrInvalid, err)
		}
		return err
	}
	return nil
}

// putPriced puts a note on the stay if the tariff knows it.
func (s *scope) putPriced(ctx context.Context, r *record, n note) error {
	if err := s.tryPrice(ctx, r, n); err != nil {
		return err
	}
	return s.put(r, n)
}

// Validate puts a merchant's validation on a stay, open or closed. The same
// code and reference again changes nothing. ErrInvalid: the tariff has no such
// code. What it takes off after the stay was paid is to be given back (Refund).
func (c *Cashier) Validate(ctx context.Context, r ValidationRequest, keep Keep[Bill]) (Result[Bill], error) {
	if r.Code == "" || r.By == "" || !text(r.Code, maxText) || !text(r.Reference, maxText) || !text(r.By, maxText) {
		return Result[Bill]{}, fmt.Errorf("validating: a code, and by whom, of at most %d bytes: %w", maxText, parking.ErrInvalid)
	}
	return do(ctx, c, keep, func(tx parking.Tx) (Bill, error) {
		id, err := c.named(ctx, tx, r.Stay, r.CarPark, r.Mark)
		if err != nil {
			return Bill{}, fmt.Errorf("validating: %w", err)
		}
		return c.change(ctx, tx, id, func(s *scope, rec *record) error {
			v := tariff.Validation{Code: r.Code, Reference: r.Reference}
			for i := range rec.details.Notes {
				if old := rec.details.Notes[i].Validation; old != nil && *old == v {
					return nil
				}
			}
			return s.putPriced(ctx, rec, note{Kind: noteValidation, At: s.now, By: r.By, Validation: &v})
		})
	})
}

// Charging puts the times of an EV's charging session on a stay.
func (c *Cashier) Charging(ctx context.Context, r ChargingRequest, keep Keep[Bill]) (Result[Bill], error) {
	switch {
	case r.Session == "" || !text(r.Session, maxID):
		return Result[Bill]{}, fmt.Errorf("charging: the session's id has 1 to %d bytes: %w", maxID, parking.ErrInvalid)
	case r.PlugIn.IsZero() || !r.ChargeEnd.IsZero() && r.ChargeEnd.Before(r.PlugIn) || !r.Unplug.IsZero() && r.Unplug.Before(r.PlugIn) || r.WattHours < 0:
		return Result[Bill]{}, fmt.Errorf("charging: plug-in, then the end, then unplugging, and energy that is not negative: %w", parking.ErrInvalid)
	}
	session := chargingNote{
		Session: r.Session, PlugIn: r.PlugIn.UTC(), ChargeEnd: r.ChargeEnd.UTC(), Unplug: r.Unplug.UTC(), WattHours: r.WattHours,
	}
	return do(ctx, c, keep, func(tx parking.Tx) (Bill, error) {
		id, err := c.named(ctx, tx, r.Stay, r.CarPark, r.Mark)
		if err != nil {
			return Bill{}, fmt.Errorf("charging: %w", err)
		}
		return c.change(ctx, tx, id, func(s *scope, rec *record) error {
			for i := range s.notes {
				if n := &s.notes[i]; n.Charging != nil && n.Charging.Session == r.Session && n.stay == rec.ID {
					n.Charging = &session
					return nil
				}
			}
			return s.putPriced(ctx, rec, note{Kind: noteCharging, At: r.PlugIn.UTC(), Charging: &session})
		})
	})
}

// Claim puts rights and flags on a stay: a disabled person's permit, a monthly
// permit, a pass bought, a quote accepted. ErrInvalid: the tariff knows no such
// pass. ErrConflict: the quote has expired or is another car park's.
func (c *Cashier) Claim(ctx context.Context, q ClaimRequest, keep Keep[Bill]) (Result[Bill], error) {
	for _, list := range [][]string{q.Set, q.Clear, {q.Permit, q.Pass, q.Quote}} {
		for _, w := range list {
			if !text(w, maxText) || len(list) > 20 {
				return Result[Bill]{}, fmt.Errorf("claiming: at most 20 names of at most %d bytes: %w", maxText, parking.ErrInvalid)
			}
		}
	}
	if q.By == "" {
		return Result[Bill]{}, fmt.Errorf("claiming: who claims must be said: %w", parking.ErrInvalid)
	}
	return do(ctx, c, keep, func(tx parking.Tx) (Bill, error) {
		return c.change(ctx, tx, q.Stay, func(s *scope, r *record) error {
			base := note{At: s.now, By: q.By, Reason: q.Reason}
			var notes []note
			add := func(kind, name string, off bool) {
				if name != "" {
					n := base
					n.Kind, n.Name, n.Off = kind, name, off
					notes = append(notes, n)
				}
			}
			for _, f := range q.Clear {
				add(noteFlag, f, true)
			}
			for _, f := range q.Set {
				add(noteFlag, f, false)
			}
			add(notePermit, q.Permit, false)
			add(notePass, q.Pass, false)
			if q.Quote != "" {
				if err := s.takeQuote(ctx, r, q.Quote); err != nil {
					return fmt.Errorf("claiming: %w", err)
				}
				if r.Quote == "" {
					add(noteQuote, q.Quote, false)
				}
			}
			for _, n := range notes {
				if err := s.putPriced(ctx, r, n); err != nil {
					return fmt.Errorf("claiming: %w", err)
				}
			}
			return nil
		})
	})
}

// LostTicket helps a driver without a ticket: the stay of the plate if there is
// one, which costs what it costs; else a new one that ends now and whose entry
// nobody knows, by the tariff's fee. An entry that turns up later takes its
// place, and what was paid too much is to be given back.
func (c *Cashier) LostTicket(ctx context.Context, q LostTicketRequest, keep Keep[Bill]) (Result[Bill], error) {
	if err := said(q.By, q.Reason); err != nil {
		return Result[Bill]{}, fmt.Errorf("lost ticket: %w", err)
	}
	mark := q.Plate
	if mark == "" {
		mark = q.Ticket
	}
	return do(ctx, c, keep, func(tx parking.Tx) (Bill, error) {
		id, err := c.named(ctx, tx, q.Stay, q.CarPark, mark)
		open := err == nil
		if open && q.Stay == "" {
			st, err := tx.Stay(ctx, id)
			if err != nil {
				return Bill{}, fmt.Errorf("lost ticket: %w", err)
			}
			open = st.State == parking.Open || slices.Contains(st.Flags, stay.MissingEntry) && st.ExitEvent != ""
		}
		switch {
		case err != nil && !errors.Is(err, parking.ErrNotFound):
			return Bill{}, err
		case !open:
			if id, err = c.withoutEntry(ctx, tx, &q); err != nil {
				return Bill{}, fmt.Errorf("lost ticket: %w", err)
			}
		}
		return c.change(ctx, tx, id, func(s *scope, r *record) error {
			if slices.Contains(r.Flags, LostTicket) {
				return nil
			}
			return s.put(r, note{Kind: noteLost, At: s.now, By: q.By, Reason: q.Reason})
		})
	})
}

// withoutEntry makes a stay of a vehicle that only the staff at the exit saw.
func (c *Cashier) withoutEntry(ctx context.Context, tx parking.Tx, q *LostTicketRequest) (string, error) {
	s, err := c.newScope(tx, q.CarPark, true)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(s.site.Lanes, func(l parking.Lane) bool { return l.Direction == parking.Out })
	if i < 0 {
		return "", fmt.Errorf("car park %s has no exit lane: %w", q.CarPark, parking.ErrConflict)
	}
	e := parking.LaneEvent{
		CarPark: q.CarPark, Lane: s.site.Lanes[i].Unit, Direction: parking.Out, At: s.now, Plate: q.Plate, Ticket: q.Ticket,
		ConfidencePermille: 1000, Class: q.Class, Source: cut("staff: "+q.By, maxText),
	}
	e.ID = "lost-ticket/" + stayID(q.CarPark, e.Plate+"\x00"+e.Ticket+"\x00"+e.At.String(), 0)
	if err := c.checkEvent(&e); err != nil {
		return "", err
	}
	id, err := c.identify(ctx, "", e.Plate, e.At)
	if err != nil {
		return "", err
	}
	names := stay.Names("", e.Plate, e.Ticket, id)
	if err := s.lockNames(ctx, names); err != nil {
		return "", err
	}
	if _, err := tx.PutLaneEvent(ctx, e); err != nil {
		return "", fmt.Errorf("keeping the staff's word: %w", err)
	}
	if err := s.gather(ctx, names, e.At, e.At); err != nil {
		return "", err
	}
	if err := s.conclude(ctx); err != nil {
		return "", err
	}
	for i := range s.derived {
		if s.derived[i].Belongs(e.ID) {
			return s.settled[i].ID, nil
		}
	}
	return "", fmt.Errorf("the staff's word made no stay: %w", parking.ErrConflict)
}

// StopClock takes the outage off every stay whose car was in the machine
// meanwhile, and says how many those are. The same outage again changes nothing.
func (c *Cashier) StopClock(ctx context.Context, o Outage, keep Keep[int]) (Result[int], error) {
	if err := said(o.By, o.Reason); err != nil {
		return Result[int]{}, fmt.Errorf("stopping the clock: %w", err)
	}
	if !o.From.Before(o.To) || o.To.Sub(o.From) > lookFar {
		return Result[int]{}, fmt.Errorf("stopping the clock: from is not before to, or the time is too long: %w", parking.ErrInvalid)
	}
	return do(ctx, c, keep, func(tx parking.Tx) (int, error) {
		ids, err := c.inMachine(ctx, tx, &o)
		if err != nil {
			return 0, fmt.Errorf("stopping the clock: %w", err)
		}
		for _, id := range ids {
			_, err := c.change(ctx, tx, id, func(s *scope, r *record) error {
				n := note{Kind: notePause, At: o.From.UTC(), By: o.By, Reason: o.Reason, From: o.From.UTC(), To: o.To.UTC()}
				for i := range r.details.Notes {
					if old := &r.details.Notes[i]; old.Kind == notePause && old.From.Equal(n.From) && old.To.Equal(n.To) {
						return nil
					}
				}
				return s.put(r, n)
			})
			if err != nil {
				return 0, fmt.Errorf("stopping the clock of stay %s: %w", id, err)
			}
		}
		return len(ids), nil
	})
}

// inMachine lists the stays of allocations in the machine that touch the outage.
func (c *Cashier) inMachine(ctx context.Context, tx parking.Tx, o *Outage) ([]string, error) {
	site, _, err := c.site(o.CarPark)
	if err != nil {
		return nil, err
	}
	if _, ok := site.Machine(o.Machine); !ok {
		return nil, fmt.Errorf("car park %s has no machine %.64q: %w", o.CarPark, o.Machine, parking.ErrNotFound)
	}
	var ids []string
	p := parking.Page{Limit: pageSize, From: o.From.Add(-lookBack)}
	for range maxPages * maxPages {
		list, err := tx.Allocations(ctx, o.CarPark, "", p)
		if err != nil {
			return nil, fmt.Errorf("listing allocations: %w", err)
		}
		for _, a := range list {
			if a.Machine != o.Machine || a.State == parking.Blocked || a.State == parking.Cancelled ||
				!a.AssignedAt.Before(o.To) || !a.EndedAt.IsZero() && !a.EndedAt.After(o.From) {
				continue
			}
			st, err := tx.StayOf(ctx, a.ID)
			if errors.Is(err, parking.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("finding an allocation's stay: %w", err)
			}
			if !slices.Contains(ids, st.ID) {
				ids = append(ids, st.ID)
			}
		}
		if len(list) < p.Limit {
			break
		}
		p.After = list[len(list)-1].ID
	}
	return ids, nil
}

// Reorder orders everything of a stay's money once more, with a new revision:
// for when the ledger has refused it and the cause is mended. What the ledger
// has already it knows again. The alarm is for whoever mended it to clear.
func (c *Cashier) Reorder(ctx context.Context, id string, keep Keep[Bill]) (Result[Bill], error) {
	return do(ctx, c, keep, func(tx parking.Tx) (Bill, error) {
		return c.change(ctx, tx, id, func(s *scope, r *record) error {
			s.reorder = r.ID
			return nil
		})
	})
}
