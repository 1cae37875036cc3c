package cashier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/parking"
)

// Bounds of clerk and follower.
const (
	batch = 100
	// tries is how often one order or vehicle is tried that others do not fail
	// with, before it is set aside with an alarm.
	tries     = 5
	idle      = time.Second
	backoff   = time.Second
	backoffTo = time.Minute
	// maxTried bounds what is remembered of tries; beyond it counting begins
	// anew, so that something is tried more often, not less.
	maxTried = 10_000
)

// ClerkParts are what a Clerk is made of. Ledger and Keeping are usually one
// store.
type ClerkParts struct {
	Ledger   parking.Ledger
	Keeping  parking.Keeping
	Charging billing.Charging
	Clock    clock.Clock
	Log      *slog.Logger
}

// Clerk posts what the cashier has ordered of the ledger, each order at least
// once and in the order in which its stay made them. Several may run at once:
// the ledger knows what it has. An order that the ledger refuses is set aside
// with an alarm "ledger-refused" and does not keep others waiting.
type Clerk struct {
	p     ClerkParts
	tried map[string]int
}

// NewClerk returns a clerk.
func NewClerk(p ClerkParts) (*Clerk, error) {
	if p.Ledger == nil || p.Keeping == nil || p.Charging == nil || p.Clock == nil || p.Log == nil {
		return nil, errors.New("making the clerk: Ledger, Keeping, Charging, Clock and Log are needed")
	}
	return &Clerk{p: p, tried: map[string]int{}}, nil
}

// Run posts until the context ends, and returns the context's error. A fault of
// the ledger or the store is tried again, at growing intervals.
func (k *Clerk) Run(ctx context.Context) error {
	return repeat(ctx, k.p.Log, "posting charges of car parks", k.Once)
}

// repeat runs once until the context ends: at once again after a full batch,
// after a pause otherwise, after a growing one where it failed.
func repeat(ctx context.Context, log *slog.Logger, what string, once func(context.Context) (int, error)) error {
	pause := backoff
	for {
		n, err := once(ctx)
		wait := idle
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			log.Warn("a batch failed and is tried again", "what", what, "error", err, "in", pause)
			wait, pause = pause, min(2*pause, backoffTo)
		default:
			pause = backoff
			if n >= batch {
				wait = 0
			}
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Once posts one batch of the oldest orders and says how many are done with. Not
// safe for concurrent use of one Clerk. The error is a fault of the ledger or
// the store; what was done before it is marked.
func (k *Clerk) Once(ctx context.Context) (int, error) {
	orders, err := k.p.Ledger.Unposted(ctx, batch)
	if err != nil {
		return 0, fmt.Errorf("reading orders of the ledger: %w", err)
	}
	var done []string
	waiting := map[string]bool{}
	var fault error
	for i := range orders {
		o := &orders[i]
		var doc document
		if err := json.Unmarshal(o.Document, &doc); err != nil {
			if fault = k.refuse(ctx, o, "", fmt.Errorf("it cannot be read: %w", err)); fault != nil {
				break
			}
			done = append(done, o.ID)
			continue
		}
		if waiting[doc.Stay] {
			continue
		}
		err := k.post(ctx, &doc)
		switch {
		case err == nil:
		case errors.Is(err, billing.ErrInvalid):
			fault = k.refuse(ctx, o, doc.CarPark, err)
		case errors.Is(err, billing.ErrConflict), errors.Is(err, billing.ErrNotFound):
			// Another clerk may be halfway through an earlier order of the stay.
			if again(k.tried, o.ID) {
				waiting[doc.Stay] = true
				k.p.Log.Info("an order is tried again later", "order", o.ID, "error", err)
				continue
			}
			fault = k.refuse(ctx, o, doc.CarPark, err)
		default:
			fault = err
		}
		if fault != nil {
			break
		}
		delete(k.tried, o.ID)
		done = append(done, o.ID)
	}
	if len(done) > 0 {
		if err := k.p.Ledger.MarkPosted(ctx, done, k.p.Clock.Now()); err != nil {
			return 0, fmt.Errorf("marking orders as posted: %w", errors.Join(err, fault))
		}
	}
	if fault != nil {
		return len(done), fmt.Errorf("posting an order: %w", fault)
	}
	return len(done), nil
}

// again counts a try and reports whether another one is left.
func again(tried map[string]int, id string) bool {
	if len(tried) > maxTried {
		clear(tried)
	}
	tried[id]++
	if tried[id] < tries {
		return true
	}
	delete(tried, id)
	return false
}

// post makes the steps of an order, one after the other; each can be made again.
func (k *Clerk) post(ctx context.Context, doc *document) error {
	at := k.p.Clock.Now()
	for i := range doc.Steps {
		s := &doc.Steps[i]
		switch {
		case s.Refund != "":
			if _, err := k.p.Charging.RefundPayment(ctx, s.Refund, at); err != nil {
				return fmt.Errorf("refunding payment %s: %w", s.Refund, err)
			}
		case s.Charge != nil:
			_, err := k.p.Charging.PostCharge(ctx, s.Charge.billing(), at)
			if errors.Is(err, billing.ErrStale) {
				// The ledger has a later revision: this one has been overtaken.
				k.p.Log.Info("a charge was overtaken by a later revision", "charge", s.Charge.ID, "revision", s.Charge.Revision)
				continue
			}
			if err != nil {
				return fmt.Errorf("posting charge %s: %w", s.Charge.ID, err)
			}
		case s.Payment != nil:
			_, err := k.p.Charging.PostPayment(ctx, billing.Payment{
				ID: s.Payment.ID, ChargeID: s.Payment.Charge, AmountCents: s.Payment.AmountCents, Currency: s.Payment.Currency,
				Means: s.Payment.Means, PaidAt: s.Payment.PaidAt,
			}, at)
			if err != nil {
				return fmt.Errorf("posting payment %s: %w", s.Payment.ID, err)
			}
		}
	}
	return nil
}

// refuse raises the alarm for an order that the ledger will never take.
func (k *Clerk) refuse(ctx context.Context, o *parking.LedgerOrder, carPark string, why error) error {
	k.p.Log.Error("the ledger refuses an order", "order", o.ID, "error", why)
	_, err := k.p.Keeping.Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
		return parking.Answer{}, tx.Raise(ctx, parking.Alarm{
			ID: "ledger-refused/" + o.ID, CarPark: carPark, Kind: "ledger-refused", Subject: o.ID, Raised: k.p.Clock.Now(),
			Detail: cut("The ledger refuses this order; mend the cause, then order anew: "+why.Error(), 1000),
		})
	})
	if err != nil {
		return fmt.Errorf("raising an alarm: %w", err)
	}
	return nil
}
