package cashier

import (
	"context"
	"fmt"
	"sync"
	"time"

	"freeflow/billing"
)

// fakeLedger behaves as billing.Charging is documented.
type fakeLedger struct {
	billing.Charging // what is not overridden is not called

	mu       sync.Mutex
	charges  map[string]billing.Charge
	payments map[string]billing.Payment
	refunded map[string]bool
	// postings counts changes of money; calls all calls.
	postings, calls int
	// fail is asked before and after every call; lost replies are an error
	// after.
	before, after func(what string) error
}

func newFakeLedger() *fakeLedger {
	ok := func(string) error { return nil }
	return &fakeLedger{
		charges: map[string]billing.Charge{}, payments: map[string]billing.Payment{}, refunded: map[string]bool{}, before: ok, after: ok,
	}
}

func (l *fakeLedger) call(what string, fn func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if err := l.before(what); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	return l.after(what)
}

func (l *fakeLedger) paidOf(charge string) (sum int64) {
	for id, p := range l.payments {
		if p.ChargeID == charge && !l.refunded[id] {
			sum += p.AmountCents
		}
	}
	return sum
}

func (l *fakeLedger) PostCharge(_ context.Context, c billing.Charge, _ time.Time) (billing.Charge, error) {
	err := l.call("charge "+c.ID, func() error {
		old, there := l.charges[c.ID]
		switch {
		case c.AmountCents < 0 || c.Creditor == "" || c.Currency != "HKD" || c.Revision < 1 || len(c.Description) > 1000 || len(c.Detail) > 64<<10:
			return fmt.Errorf("%+v: %w", c, billing.ErrInvalid)
		case there && c.Revision < old.Revision:
			return billing.ErrStale
		case there && c.Revision == old.Revision:
			if fmt.Sprint(c) != fmt.Sprint(old) {
				return fmt.Errorf("%+v is not %+v: %w", c, old, billing.ErrConflict)
			}
			return nil
		}
		if p := l.paidOf(c.ID); p > 0 && (c.Account != "" || c.AmountCents < p) {
			return fmt.Errorf("payments stand: %w", billing.ErrConflict)
		}
		if old.AmountCents != c.AmountCents || old.Account != c.Account {
			l.postings++
		}
		l.charges[c.ID] = c
		return nil
	})
	return c, err
}

func (l *fakeLedger) PostPayment(_ context.Context, p billing.Payment, _ time.Time) (billing.Charge, error) {
	err := l.call("payment "+p.ID, func() error {
		if old, there := l.payments[p.ID]; there {
			if fmt.Sprint(old) != fmt.Sprint(p) {
				return billing.ErrConflict
			}
			return nil
		}
		c, there := l.charges[p.ChargeID]
		switch {
		case !there:
			return billing.ErrNotFound
		case c.Account != "":
			return billing.ErrConflict
		case p.AmountCents <= 0 || p.Currency != c.Currency || l.paidOf(c.ID)+p.AmountCents > c.AmountCents:
			return fmt.Errorf("paying %d of %d: %w", p.AmountCents, c.AmountCents, billing.ErrInvalid)
		}
		l.payments[p.ID] = p
		l.postings++
		return nil
	})
	return l.charges[p.ChargeID], err
}

func (l *fakeLedger) RefundPayment(_ context.Context, id string, _ time.Time) (billing.Charge, error) {
	err := l.call("refund "+id, func() error {
		if _, there := l.payments[id]; !there {
			return billing.ErrNotFound
		}
		if !l.refunded[id] {
			l.refunded[id] = true
			l.postings++
		}
		return nil
	})
	return billing.Charge{}, err
}

// cash is the money taken and kept.
func (l *fakeLedger) cash() (sum int64) {
	for id, p := range l.payments {
		if !l.refunded[id] {
			sum += p.AmountCents
		}
	}
	return sum
}

// owed is what the account owes.
func (l *fakeLedger) owed(account string) (sum int64) {
	for _, c := range l.charges {
		if c.Account == account {
			sum += c.AmountCents
		}
	}
	return sum
}

// cashAt is the part of cash taken for a car park.
func (l *fakeLedger) cashAt(park string) (sum int64) {
	for id, p := range l.payments {
		if !l.refunded[id] && l.charges[p.ChargeID].Creditor == park {
			sum += p.AmountCents
		}
	}
	return sum
}
