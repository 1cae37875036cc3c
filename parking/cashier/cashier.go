// Package cashier owns what a stay costs and who pays: it keeps what lanes saw,
// derives the stays from it (parking/stay), prices them (parking/tariff), tells
// lanes what to do, takes payments, and orders of the ledger what follows.
//
// Invariants:
//   - stays and sums follow from the set of lane events, bays, payments and
//     decisions, in whatever order, how often and by however many processes they
//     came: every change derives all stays of the vehicle anew under its locks;
//   - each change of what a stay costs or who pays is ordered of the ledger in
//     the same transaction, with a revision; the Clerk posts orders at least
//     once, and the ledger knows them again;
//   - what an account is charged plus what stands for payments to pay is what
//     the stay costs, plus what was paid too much and not yet given back;
//   - nothing is charged to anybody while a person has to decide; what was paid
//     already stays paid;
//   - a stay's receipt has a line for every cent, also for what a person decided.
//
// Who pays: the account of the tag or plate, if the site takes tags, the account
// is an individual's that has not said no or a business's that has said yes, and
// nothing but the tag's own vehicle was read; below the site's limit from the
// account's balance, at it or above by the means that fills the account up
// (as E-ZPass Plus does with its 20 dollars; the limit is the site's). Else whoever holds the
// ticket or knows the plate. What an account says counts for stays that are
// settled afterwards.
//
// Not promised: an entry more than 400 days before its exit is not found, and
// the stay is one without an entry; what a person who knows a plate can learn
// from the amount that is due; that money given back reached anybody.
package cashier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"freeflow/internal/clock"
	"freeflow/parking"
	"freeflow/parking/stay"
)

// Parts are what a Cashier is made of.
type Parts struct {
	Keeping parking.Keeping
	Sites   Sites
	Payers  Payers
	// Rights may be nil: then nobody holds a pass but by Claim.
	Rights Rights
	// Ledger may be nil: then Reconcile counts no orders.
	Ledger parking.Ledger
	Clock  clock.Clock
	Log    *slog.Logger
}

// Cashier is the service. Safe for concurrent use, by several processes too.
type Cashier struct {
	p      Parts
	clocks laneClocks
}

// New returns a cashier.
func New(p Parts) (*Cashier, error) {
	if p.Keeping == nil || p.Sites == nil || p.Payers == nil || p.Clock == nil || p.Log == nil {
		return nil, errors.New("making the cashier: Keeping, Sites, Payers, Clock and Log are needed")
	}
	return &Cashier{p: p}, nil
}

// do runs fn in one transaction and keeps its answer.
func do[T any](ctx context.Context, c *Cashier, keep Keep[T], fn func(tx parking.Tx) (T, error)) (Result[T], error) {
	var v T
	answer, err := c.p.Keeping.Do(ctx, keep.Once, func(tx parking.Tx) (parking.Answer, error) {
		var err error
		if v, err = fn(tx); err != nil || keep.Encode == nil {
			return parking.Answer{}, err
		}
		return keep.Encode(v), nil
	})
	switch {
	case err != nil:
		return Result[T]{}, err
	case answer.Replayed:
		return Result[T]{Answer: answer}, nil
	default:
		return Result[T]{Value: v, Answer: answer}, nil
	}
}

// Refresh derives and prices the vehicle's stays around the present anew, and
// returns them; to be called after an allocation of it changed. Doing it once
// too often changes nothing.
func (c *Cashier) Refresh(ctx context.Context, carPark string, v parking.Vehicle) ([]parking.Stay, error) {
	now := c.p.Clock.Now()
	id, err := c.identify(ctx, v.Tag, v.Plate, now)
	if err != nil {
		return nil, err
	}
	names := stay.Names(v.Tag, v.Plate, "", id)
	if len(names) == 0 {
		return nil, nil
	}
	r, err := do(ctx, c, Keep[[]parking.Stay]{}, func(tx parking.Tx) ([]parking.Stay, error) {
		s, err := c.newScope(tx, carPark, true)
		if err != nil {
			return nil, err
		}
		if err := s.gather(ctx, names, now, now); err != nil {
			return nil, err
		}
		if err := s.conclude(ctx); err != nil {
			return nil, err
		}
		var list []parking.Stay
		for i := range s.settled {
			list = append(list, s.settled[i].Stay)
		}
		return list, nil
	})
	if err != nil {
		return nil, fmt.Errorf("deriving the stays of a vehicle: %w", err)
	}
	return r.Value, nil
}

// Follow derives the stays of the allocation's vehicle anew, as Refresh does. An
// allocation that names its stay belongs to it, also where its driver has a
// ticket and nothing else. ErrNotFound: no such allocation.
func (c *Cashier) Follow(ctx context.Context, allocation string) error {
	var a parking.Allocation
	err := c.p.Keeping.View(ctx, func(tx parking.Tx) (err error) {
		a, err = tx.Allocation(ctx, allocation)
		return err
	})
	if err != nil {
		return fmt.Errorf("following allocation %.64q: %w", allocation, err)
	}
	if a.Stay == "" {
		_, err := c.Refresh(ctx, a.CarPark, a.Vehicle)
		return err
	}
	_, err = do(ctx, c, Keep[Bill]{}, func(tx parking.Tx) (Bill, error) {
		return c.change(ctx, tx, a.Stay, func(s *scope, r *record) error {
			if r.CarPark != a.CarPark {
				return fmt.Errorf("stay %s is of car park %s: %w", r.ID, r.CarPark, parking.ErrInvalid)
			}
			for i := range r.details.Notes {
				if n := &r.details.Notes[i]; n.Kind == noteBay && n.Name == a.ID {
					return nil
				}
			}
			if err := s.readBerth(ctx, r, a.ID); err != nil {
				return err
			}
			return s.put(r, note{Kind: noteBay, At: a.AssignedAt, Name: a.ID})
		})
	})
	if a.Vehicle.Plate+a.Vehicle.Tag != "" && (errors.Is(err, parking.ErrNotFound) || errors.Is(err, parking.ErrConflict)) {
		// The stay that it names is no more; its marks say whose it is.
		_, err = c.Refresh(ctx, a.CarPark, a.Vehicle)
	}
	if err != nil {
		return fmt.Errorf("following allocation %s: %w", a.ID, err)
	}
	return nil
}

// Stays lists; vehicle is a plate, "tag:" + tag or "ticket:" + ticket, or empty.
func (c *Cashier) Stays(ctx context.Context, carPark, vehicle string, p parking.Page) (list []parking.Stay, err error) {
	err = c.p.Keeping.View(ctx, func(tx parking.Tx) error {
		list, err = tx.Stays(ctx, carPark, vehicle, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing stays: %w", err)
	}
	return list, nil
}

// Preference returns the account's word on paying for parking.
func (c *Cashier) Preference(ctx context.Context, account string) (p parking.Preference, err error) {
	err = c.p.Keeping.View(ctx, func(tx parking.Tx) error {
		p, err = tx.Preference(ctx, account)
		return err
	})
	if err != nil {
		return p, fmt.Errorf("reading an account's preference: %w", err)
	}
	return p, nil
}

// SetPreference keeps the account's word; At is set here. It counts for stays
// that are settled from now on. ErrInvalid without an account.
func (c *Cashier) SetPreference(ctx context.Context, p parking.Preference, keep Keep[parking.Preference]) (Result[parking.Preference], error) {
	if p.Account == "" || len(p.Account) > maxText {
		return Result[parking.Preference]{}, fmt.Errorf("an account's preference needs its account: %w", parking.ErrInvalid)
	}
	p.At = c.p.Clock.Now()
	return do(ctx, c, keep, func(tx parking.Tx) (parking.Preference, error) {
		return p, tx.PutPreference(ctx, p)
	})
}

// maxText bounds names and words of requests.
const maxText = 256

// at begins a scope around a stay and returns it as stored. ErrNotFound.
func (c *Cashier) at(ctx context.Context, tx parking.Tx, id string, write bool) (*scope, *record, error) {
	st, err := tx.Stay(ctx, id)
	if err != nil {
		return nil, nil, fmt.Errorf("finding stay %.64q: %w", id, err)
	}
	r, err := read(st)
	if err != nil {
		return nil, nil, err
	}
	s, err := c.newScope(tx, st.CarPark, write)
	if err != nil {
		return nil, nil, err
	}
	names := append([]string{st.Vehicle}, r.details.Names...)
	from := r.began()
	to := r.Exit
	if to.IsZero() {
		to = s.now
	}
	if to.Before(from) {
		to = from
	}
	if err := s.gather(ctx, names, from, to); err != nil {
		return nil, nil, err
	}
	for i := range s.stored {
		if s.stored[i].ID == id {
			return s, &s.stored[i], nil
		}
	}
	return nil, nil, fmt.Errorf("stay %s is not among those of its own vehicle: %w", id, parking.ErrConflict)
}

// change puts something on a stay and settles it anew.
func (c *Cashier) change(ctx context.Context, tx parking.Tx, id string, fn func(s *scope, r *record) error) (Bill, error) {
	s, r, err := c.at(ctx, tx, id, true)
	if err != nil {
		return Bill{}, err
	}
	if r.details.Superseded {
		return Bill{}, fmt.Errorf("stay %s belongs to another one now; look its vehicle up: %w", id, parking.ErrConflict)
	}
	anchor := r.anchor()
	if err := fn(s, r); err != nil {
		return Bill{}, err
	}
	// Decisions and times may have changed what follows.
	s.derive()
	if err := s.conclude(ctx); err != nil {
		return Bill{}, err
	}
	for i := range s.derived {
		if s.derived[i].Belongs(anchor) || s.settled[i].ID == id {
			return s.bill(ctx, i)
		}
	}
	return Bill{}, fmt.Errorf("stay %s is gone: %w", id, parking.ErrConflict)
}
