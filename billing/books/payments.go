package books

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// paymentRecord is a payment as the books hold it; refundedAt is in
// microseconds, 0 while it stands.
type paymentRecord struct {
	billing.Payment
	refundedAt int64
}

const (
	insertPayment = `INSERT INTO payment (id, charge_id, amount_cents, currency, means, paid_at, refunded_at)
		VALUES ($1, $2, $3, $4, $5, $6, 0) ON CONFLICT DO NOTHING`
	selectPayment = `SELECT id, charge_id, amount_cents, currency, means, paid_at, refunded_at FROM payment WHERE id = $1`
	refundPayment = `UPDATE payment SET refunded_at = $2 WHERE id = $1`
	movePaid      = `UPDATE charge SET paid_cents = paid_cents + $2 WHERE id = $1`
)

// PostPayment posts a payment. See billing.Charging.
func (s *Store) PostPayment(ctx context.Context, p billing.Payment, postedAt time.Time) (billing.Charge, error) {
	p.PaidAt = p.PaidAt.UTC().Truncate(microsecond)
	err := checkPayment(&p, postedAt)
	var c billing.Charge
	if err == nil {
		err = s.Do(ctx, func(t *Tx) error {
			var err error
			c, err = t.postPayment(ctx, &p, postedAt)
			return err
		})
	}
	if err != nil {
		return billing.Charge{}, fmt.Errorf("posting payment %s for charge %s: %w", p.ID, p.ChargeID, err)
	}
	return c, nil
}

func (t *Tx) postPayment(ctx context.Context, p *billing.Payment, postedAt time.Time) (billing.Charge, error) {
	// The charge's row is locked first by all who post payments, so that no two
	// pay the same rest.
	charge, err := t.s.lockCharge(ctx, t.db, p.ChargeID)
	if err != nil {
		return billing.Charge{}, err
	}
	added, err := t.db.Exec(ctx, insertPayment, p.ID, p.ChargeID, p.AmountCents, p.Currency, p.Means, p.PaidAt.UnixMicro())
	if err != nil {
		return billing.Charge{}, err
	}
	if added == 0 {
		was, err := paymentByID(ctx, t.db, p.ID)
		if err != nil {
			return billing.Charge{}, err
		}
		if was.Payment != *p {
			return billing.Charge{}, fmt.Errorf("%w: the id is that of another payment, or the payment was posted with another content", billing.ErrConflict)
		}
		return charge.Charge, nil
	}
	if err := checkPaid(&charge.Charge, p); err != nil {
		return billing.Charge{}, err
	}
	return t.movePayment(ctx, charge.Charge, p, postedAt, kindPayment)
}

// checkPaid refuses a payment that the charge cannot take.
func checkPaid(c *billing.Charge, p *billing.Payment) error {
	rest := c.AmountCents - c.PaidCents
	switch {
	case c.Account != "":
		return fmt.Errorf("%w: the charge stands at account %s, which owes it", billing.ErrConflict, c.Account)
	case p.Currency != c.Currency:
		return invalid("the payment is in %s, the charge in %s", p.Currency, c.Currency)
	case p.AmountCents > rest:
		return invalid("%s %s is more than the %s still to be paid", p.Currency, billing.FormatCents(p.AmountCents), billing.FormatCents(rest))
	}
	return nil
}

// RefundPayment reverses a payment. See billing.Charging.
func (s *Store) RefundPayment(ctx context.Context, paymentID string, postedAt time.Time) (billing.Charge, error) {
	var (
		c   billing.Charge
		err error
	)
	if postedAt.IsZero() {
		err = invalid("the refund has no posting date")
	} else {
		err = s.Do(ctx, func(t *Tx) error {
			var err error
			c, err = t.refund(ctx, paymentID, postedAt)
			return err
		})
	}
	if err != nil {
		return billing.Charge{}, fmt.Errorf("refunding payment %s: %w", paymentID, err)
	}
	return c, nil
}

func (t *Tx) refund(ctx context.Context, id string, postedAt time.Time) (billing.Charge, error) {
	// A payment never becomes another charge's: its charge can be locked by what
	// is read here, and whether it was refunded is read again under that lock.
	p, err := paymentByID(ctx, t.db, id)
	if err != nil {
		return billing.Charge{}, err
	}
	charge, err := t.s.lockCharge(ctx, t.db, p.ChargeID)
	if err != nil {
		return billing.Charge{}, err
	}
	if p, err = paymentByID(ctx, t.db, id); err != nil || p.refundedAt != 0 {
		return charge.Charge, err
	}
	if _, err := t.db.Exec(ctx, refundPayment, id, postedAt.UnixMicro()); err != nil {
		return billing.Charge{}, err
	}
	return t.movePayment(ctx, charge.Charge, &p.Payment, postedAt, kindReversal)
}

// movePayment writes what a payment, or its reversal, moves, and returns the
// charge as it then stands.
func (t *Tx) movePayment(ctx context.Context, c billing.Charge, p *billing.Payment, postedAt time.Time, kind string) (billing.Charge, error) {
	d := debt{debtor: billing.CashPrefix + p.Means, creditor: billing.UnpaidPrefix + c.Creditor, cents: p.AmountCents, currency: p.Currency}
	revision, reverses := int64(1), ""
	if kind == kindReversal {
		revision, d.cents = 2, -d.cents
		reverses = paymentTransactionID(p.ID, 1, kindPayment)
	}
	if _, err := t.db.Exec(ctx, movePaid, c.ID, d.cents); err != nil {
		return billing.Charge{}, err
	}
	c.PaidCents += d.cents
	posting := chargePosting{charge: c, postedAt: postedAt}
	posting.add(paymentTransactionID(p.ID, revision, kind), kind, revision, reverses, d)
	return c, posting.write(ctx, t)
}

func paymentByID(ctx context.Context, db database.Session, id string) (p paymentRecord, err error) {
	var paidAt int64
	found, err := database.One(ctx, db, selectPayment, []any{id}, &p.ID, &p.ChargeID, &p.AmountCents, &p.Currency, &p.Means, &paidAt, &p.refundedAt)
	if err == nil && !found {
		err = fmt.Errorf("payment %s: %w", id, billing.ErrNotFound)
	}
	p.PaidAt = time.UnixMicro(paidAt).UTC()
	return p, err
}

// checkPayment refuses what no books could hold.
func checkPayment(p *billing.Payment, postedAt time.Time) error {
	switch {
	case p.ChargeID == "" || p.Means == "" || p.Currency == "":
		return invalid("the payment lacks charge, means or currency")
	case p.AmountCents <= 0:
		return invalid("the payment is of %s; to give money back, refund a payment", billing.FormatCents(p.AmountCents))
	case p.PaidAt.IsZero() || postedAt.IsZero():
		return invalid("the payment lacks its instant or its posting date")
	}
	return errors.Join(checkName("id of the payment", p.ID, 1), checkName("id of the charge", p.ChargeID, 1),
		checkName("means", p.Means, 1), checkName("currency", p.Currency, 1))
}
