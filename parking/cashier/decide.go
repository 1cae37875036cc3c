package cashier

import (
	"context"
	"fmt"
	"slices"

	"freeflow/parking"
	"freeflow/parking/stay"
)

// Decide keeps a person's word on a stay, whatever its state: who pays, how
// much, or when it came and left. It stands until what the person saw changes.
// ErrInvalid: the word is not complete. ErrNotFound.
func (c *Cashier) Decide(ctx context.Context, q DecideRequest, keep Keep[Bill]) (Result[Bill], error) {
	if err := said(q.By, q.Reason); err != nil {
		return Result[Bill]{}, fmt.Errorf("deciding: %w", err)
	}
	fault := ""
	switch q.Kind {
	case stay.ByAccount:
		if q.Account == "" {
			fault = "an account is needed"
		}
	case stay.Amount:
		if q.AmountCents < 0 || q.AmountCents > 1<<40 {
			fault = "the amount is negative or too large"
		}
	case stay.Waived:
	case stay.Correct:
		if q.Entry.IsZero() && q.Exit.IsZero() {
			fault = "an entry or exit is needed"
		}
	default:
		fault = "kind is account, waive, amount or correct"
	}
	if !q.Entry.IsZero() && !q.Exit.IsZero() && q.Exit.Before(q.Entry) {
		fault = "the exit is before the entry"
	}
	if limit := c.p.Clock.Now().Add(ahead); q.Entry.After(limit) || q.Exit.After(limit) {
		fault = "the time is in the future"
	}
	if fault != "" || !text(q.Account, maxText) {
		return Result[Bill]{}, fmt.Errorf("deciding: %s: %w", fault, parking.ErrInvalid)
	}
	return do(ctx, c, keep, func(tx parking.Tx) (Bill, error) {
		return c.change(ctx, tx, q.Stay, func(s *scope, r *record) error {
			i := slices.IndexFunc(s.derived, func(d stay.Stay) bool { return d.Belongs(r.anchor()) })
			if i < 0 {
				return fmt.Errorf("deciding: stay %s has changed: %w", r.ID, parking.ErrStale)
			}
			d := &stay.Decision{
				Kind: q.Kind, Account: q.Account, AmountCents: q.AmountCents, Entry: q.Entry.UTC(), Exit: q.Exit.UTC(),
				By: q.By, Reason: q.Reason, At: s.now, Basis: s.derived[i].Basis, Anchor: r.anchor(),
			}
			if old := s.derived[i].Decision; old != nil && s.derived[i].Has(stay.Decided) {
				// Times that were put right stay so.
				if d.Entry.IsZero() {
					d.Entry = old.Entry
				}
				if d.Exit.IsZero() {
					d.Exit = old.Exit
				}
			}
			return s.put(r, note{Kind: noteDecision, At: s.now, By: q.By, Reason: q.Reason, Decision: d})
		})
	})
}

// Evidence is what a person sees who decides. ErrNotFound.
func (c *Cashier) Evidence(ctx context.Context, id string) (e Evidence, err error) {
	err = c.p.Keeping.View(ctx, func(tx parking.Tx) error {
		e, err = c.evidence(ctx, tx, id)
		return err
	})
	return e, err
}

func (c *Cashier) evidence(ctx context.Context, tx parking.Tx, id string) (Evidence, error) {
	s, r, err := c.at(ctx, tx, id, false)
	if err != nil {
		return Evidence{}, err
	}
	var e Evidence
	for _, n := range r.details.Notes {
		if n.Decision != nil {
			e.Decisions = append(e.Decisions, *n.Decision)
		}
	}
	for _, ev := range r.details.Events {
		if g, ok := s.sightings[ev]; ok {
			e.Events = append(e.Events, g.Event)
		}
	}
	slices.SortFunc(e.Events, func(a, b parking.LaneEvent) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return compareText(a.ID, b.ID)
	})
	for _, a := range r.details.Allocations {
		if b, ok := s.berths[a]; ok {
			e.Allocations = append(e.Allocations, b.Allocation)
		}
	}
	e.Bill, err = s.billOf(ctx, id)
	return e, err
}
