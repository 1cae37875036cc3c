package payment

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
)

// Cash is the means of money paid in notes and coins.
const Cash = "cash"

// CashRequest says that somebody paid cash at a counter: a service centre, or a
// shop that takes it for us.
type CashRequest struct {
	Staff
	// Account is whose wallet, or whose class tag's (Tag) it is for.
	Account, Tag string
	AmountCents  int64
	Currency     string
	// Place is where, as a word such as "centre-1" or "7-eleven"; Receipt is the
	// number of the receipt given there, by which it is taken once.
	Place, Receipt string
}

var (
	places   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	receipts = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{3,63}$`)
)

// reference is the id of the attempt without its prefix, and of the movement.
func (r *CashRequest) reference() string { return "cash-" + r.Place + ":" + r.Receipt }

func (r *CashRequest) check() error {
	if err := errors.Join(r.Staff.check(), checkName("account", r.Account), checkName("currency", r.Currency), checkAmount("cash", r.AmountCents)); err != nil {
		return err
	}
	if len(r.Place) > 32 || !places.MatchString(r.Place) {
		return invalid("the place is not 1 to 32 lower-case letters, digits and hyphens, such as centre-1 or 7-eleven")
	}
	// Receipts' numbers may be digits alone, and one in ten of them would pass for
	// a card's.
	if !receipts.MatchString(r.Receipt) {
		return invalid("the receipt's number is not 4 to 64 letters, digits, points, hyphens and underscores")
	}
	return nil
}

// cashKnown returns the attempt by which a receipt was entered before; nil if it
// was not. ErrConflict if it was for something else.
func (s *Service) cashKnown(ctx context.Context, tx Tx, r CashRequest) (*Attempt, error) {
	a, err := tx.PaymentAttempt(ctx, "pay_"+r.reference(), true)
	switch {
	case errors.Is(err, billing.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case a.Account != r.Account || a.Holder != holder(r.Account, r.Tag) || a.AmountCents != r.AmountCents || a.Currency != r.Currency:
		return nil, conflict("receipt %s of %s was entered for something else, as payment %s", r.Receipt, r.Place, a.ID)
	}
	return &a, nil
}

// TakeCash keeps that cash was taken, once for each receipt, in the caller's
// transaction: it stands in the wallet, and pays what is open. ErrConflict where
// the receipt was entered for something else, or the tag is not in use;
// ErrInvalid, ErrNotFound.
func (s *Service) TakeCash(ctx context.Context, tx Tx, r CashRequest) (Attempt, error) {
	if err := r.check(); err != nil {
		return Attempt{}, fmt.Errorf("taking cash: %w", err)
	}
	known, err := s.cashKnown(ctx, tx, r)
	if err != nil || known != nil {
		if known != nil {
			return *known, nil
		}
		return Attempt{}, fmt.Errorf("taking cash: %w", err)
	}
	to, err := s.holderOf(ctx, tx, r.Account, r.Tag, r.Currency)
	if err != nil {
		return Attempt{}, fmt.Errorf("taking cash: %w", err)
	}
	a := s.newAttempt(r.reference(), Attempt{
		Kind: Await, Purpose: ForTopUp, Provider: "counter:" + r.Place, Account: r.Account, Holder: to, Means: Cash, AmountCents: r.AmountCents, Currency: r.Currency,
	})
	a.NextAt = time.Time{}
	if err := tx.PutPaymentAttempt(ctx, &a); err != nil {
		return a, err
	}
	o := Outcome{Result: ResultSucceeded, ProviderRef: r.Receipt, AmountCents: r.AmountCents, Currency: r.Currency}
	if err := s.succeed(ctx, tx, &a, o, ByHand); err != nil {
		return a, err
	}
	record := r.record("payment.cash.taken", &a, s.now())
	record.Evidence, record.AmountCents = r.Place+" "+r.Receipt, a.AmountCents
	return a, tx.RecordPayment(ctx, record)
}

// holder is whose wallet money for an account, or for a class tag of it, is for.
func holder(account, tag string) string {
	if tag == "" {
		return account
	}
	return billing.HolderTag + tag
}

// holderOf is the wallet into which money for an account, or for a class tag of
// it, may be brought now. ErrConflict for a closed account and for a tag that is
// not in use; ErrNotFound for a tag that is not the account's.
func (s *Service) holderOf(ctx context.Context, tx Tx, id, tag, currency string) (string, error) {
	if tag == "" {
		a, err := tx.Account(ctx, id)
		if err == nil && a.State == account.Closed {
			err = conflict("account %s is closed", id)
		}
		return id, err
	}
	// Whoever ends the tag waits, or we see that it has ended.
	if err := tx.LockMarks(ctx, []string{"tag:" + tag}); err != nil {
		return "", err
	}
	t, err := tx.Tag(ctx, tag)
	switch {
	case err != nil:
		return "", err
	case t.Account != id:
		return "", fmt.Errorf("the account has no such tag: %w", billing.ErrNotFound)
	case t.Kind != account.ClassTag:
		return "", conflict("the tag has no stored value: what its vehicle does is paid by the account")
	case t.State != account.TagActive:
		return "", conflict("the tag is %s: only one that is in use is topped up", t.State)
	case t.Currency != currency:
		return "", invalid("the tag's stored value is in %s, not in %s", t.Currency, currency)
	}
	return holder(id, tag), nil
}
