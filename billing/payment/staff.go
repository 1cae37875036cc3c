package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freeflow/billing"
)

// Staff is a person of the operator who does something, and why.
type Staff struct {
	By string
	// Role is what they are; empty is operator.
	Role   string
	Reason string
}

// record is what stands in the audit trail of what they did.
func (p *Staff) record(action string, a *Attempt, at time.Time) Record {
	r := Record{By: p.By, Role: p.Role, Action: action, Attempt: a.ID, Account: a.Account, Reason: p.Reason, At: at}
	if r.Role == "" {
		r.Role = "operator"
	}
	return r
}

func (p *Staff) check() error {
	return errors.Join(checkName("name of the person", p.By), checkText("reason", p.Reason))
}

// Decision is a person's word on what became of an attempt.
type Decision struct {
	Staff
	Attempt string
	// Succeeded says that the money moved, MovedCents how much; 0 is all of it.
	Succeeded  bool
	MovedCents int64
	// ProviderRef is the provider's name for it, where it is known.
	ProviderRef string
	// Evidence is where it can be read again: a statement's line, a message of
	// the provider. Without it nothing is decided.
	Evidence string
}

// Resolve keeps a person's word on an attempt whose outcome is unknown, or that
// failed by the provider's word and did not, in the caller's transaction.
// ErrConflict in any other state; ErrInvalid without reason or evidence.
func (s *Service) Resolve(ctx context.Context, tx Tx, d Decision) (Attempt, error) {
	if err := errors.Join(d.check(), checkText("evidence", d.Evidence)); err != nil {
		return Attempt{}, fmt.Errorf("resolving payment %s: %w", d.Attempt, err)
	}
	a, err := tx.PaymentAttempt(ctx, d.Attempt, true)
	if err != nil {
		return a, err
	}
	if a.State != Unknown && !(a.State == Failed && d.Succeeded) {
		return a, conflict("payment %s is %s: only what is unknown is resolved, or failed and turns out to have succeeded", a.ID, a.State)
	}
	o := Outcome{Result: ResultDeclined, ProviderRef: d.ProviderRef, Reason: "by-hand"}
	if d.Succeeded {
		o.Result, o.AmountCents, o.Currency = ResultSucceeded, d.MovedCents, a.Currency
		if o.AmountCents == 0 {
			o.AmountCents = a.AmountCents
		}
		if err := checkAmount("what moved", o.AmountCents); err != nil {
			return a, err
		}
	}
	if err := s.apply(ctx, tx, &a, o, ByHand); err != nil {
		return a, err
	}
	r := d.record("payment.resolved", &a, s.now())
	r.Evidence, r.AmountCents = d.Evidence, a.MovedCents
	return a, tx.RecordPayment(ctx, r)
}

// AskAgain makes Work, or Drive, ask the provider now what became of an attempt
// that is unknown. ErrConflict in any other state.
func (s *Service) AskAgain(ctx context.Context, tx Tx, p Staff, id string) (Attempt, error) {
	if err := p.check(); err != nil {
		return Attempt{}, fmt.Errorf("asking about payment %s: %w", id, err)
	}
	a, err := tx.PaymentAttempt(ctx, id, true)
	if err != nil {
		return a, err
	}
	if a.State != Unknown {
		return a, conflict("payment %s is %s: only what became of an unknown one is asked", a.ID, a.State)
	}
	a.NextAt, a.Queries = s.now(), min(a.Queries, maxQueries-1)
	if err := tx.PutPaymentAttempt(ctx, &a); err != nil {
		return a, err
	}
	return a, tx.RecordPayment(ctx, p.record("payment.asked", &a, s.now()))
}

// RefundRequest asks to give money of an attempt back.
type RefundRequest struct {
	Staff
	ID      string
	Attempt string
	// AmountCents is how much; the wallet must hold it.
	AmountCents int64
}

// Refund gives money of an attempt back to where it came from, out of its
// wallet: what pays for something is not given back before that is undone. The
// money leaves the wallet in the caller's transaction; Drive, or Work, gives the
// order. ErrConflict where the wallet does not hold it or that much did not come.
func (s *Service) Refund(ctx context.Context, tx Tx, r RefundRequest) (Attempt, error) {
	if err := errors.Join(r.check(), checkAmount("a refund", r.AmountCents)); err != nil {
		return Attempt{}, fmt.Errorf("refunding of payment %s: %w", r.Attempt, err)
	}
	of, err := tx.PaymentAttempt(ctx, r.Attempt, true)
	if err != nil {
		return of, err
	}
	if of.Kind != Charge && of.Kind != Await {
		return of, conflict("payment %s brought no money", of.ID)
	}
	a, err := s.giveBack(ctx, tx, &of, r.ID, r.AmountCents, ForRefund)
	if err != nil {
		return a, err
	}
	record := r.record("refund.ordered", &a, s.now())
	record.Evidence, record.AmountCents = of.ID, a.AmountCents
	return a, tx.RecordPayment(ctx, record)
}

// CloseRequest asks to pay out what a closed account's wallet holds.
type CloseRequest struct {
	Staff
	Account, Currency string
	// Provider and Token are where that part goes which cannot go back to where
	// it came from; empty for the account's means.
	Provider, Token string
}

// PayOutRest pays out all that an account's wallet holds after it has paid what
// the account owes, in the caller's transaction: first back to where it came
// from, newest first, the rest to a token. It is idempotent: what was paid out
// is in the wallet no more. ErrConflict while a payment of the account is under
// way or unknown, or where a rest has nowhere to go.
func (s *Service) PayOutRest(ctx context.Context, tx Tx, r CloseRequest) ([]Attempt, error) {
	fail := func(err error) ([]Attempt, error) {
		return nil, fmt.Errorf("paying out the rest of account %s: %w", r.Account, err)
	}
	if err := errors.Join(r.check(), checkName("account", r.Account), checkName("currency", r.Currency)); err != nil {
		return fail(err)
	}
	live, err := tx.LivePayments(ctx, r.Account)
	if err != nil {
		return fail(err)
	}
	if live > 0 {
		return fail(conflict("%d payments of the account are under way or unknown; wait, or resolve them", live))
	}
	if _, err := tx.CollectOpen(ctx, r.Account, r.Currency, openAtOnce, s.now()); err != nil {
		return fail(err)
	}
	w, err := tx.Wallet(ctx, r.Account, r.Currency)
	if err != nil {
		return fail(err)
	}
	if w.BalanceCents == 0 {
		if err := s.endMeans(ctx, tx, r); err != nil {
			return fail(err)
		}
		return nil, nil
	}
	sources, err := tx.RefundableOf(ctx, r.Account, r.Currency, mostItems)
	if err != nil {
		return fail(err)
	}
	rest := w.BalanceCents
	var out []Attempt
	for _, source := range sources {
		cents := min(rest, source.RefundableCents)
		if cents == 0 {
			break
		}
		of, err := tx.PaymentAttempt(ctx, source.Attempt, true)
		if err != nil {
			return fail(err)
		}
		if s.providers[of.Provider] == nil {
			continue
		}
		a, err := s.giveBack(ctx, tx, &of, "", cents, ForClosing)
		if err != nil {
			return fail(err)
		}
		rest -= cents
		out = append(out, a)
	}
	if rest > 0 {
		a, err := s.payOut(ctx, tx, r, rest)
		if err != nil {
			return fail(err)
		}
		out = append(out, a)
	}
	if err := s.endMeans(ctx, tx, r); err != nil {
		return fail(err)
	}
	record := r.record("account.paid-out", &Attempt{Account: r.Account}, s.now())
	record.AmountCents = w.BalanceCents
	return out, tx.RecordPayment(ctx, record)
}

// endMeans ends all debits and top-ups by itself: a wallet that was paid out
// would be topped up again.
func (s *Service) endMeans(ctx context.Context, tx Tx, r CloseRequest) error {
	m, err := tx.MeansAt(ctx, r.Account, s.now())
	if errors.Is(err, billing.ErrNotFound) || err == nil && m.Token == "" && m.ThresholdCents == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = tx.AddMeans(ctx, Means{Account: r.Account, Mode: Prepaid, Currency: m.Currency, From: s.now(), At: s.now(), By: r.By})
	return err
}

// payOut sends money of a wallet to a token.
func (s *Service) payOut(ctx context.Context, tx Tx, r CloseRequest, cents int64) (Attempt, error) {
	to, err := s.chargeOf(ctx, tx, r.Account, r.Currency, r.Provider, r.Token)
	if err != nil {
		return to, err
	}
	to.Kind, to.Purpose, to.AmountCents = Payout, ForClosing, cents
	a := s.newAttempt("", to)
	return a, s.sendOut(ctx, tx, &a)
}

// List returns attempts for operators, newest first.
func (s *Service) List(ctx context.Context, f Filter) (list []Attempt, err error) {
	f.Due = time.Time{}
	err = s.Store.View(ctx, func(tx Tx) error {
		list, err = tx.PaymentAttempts(ctx, f)
		return err
	})
	return list, err
}

// Events returns an account's events, newest first; of an empty account those
// for a person of the operator.
func (s *Service) Events(ctx context.Context, account string, before time.Time, limit int) (list []Event, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		list, err = tx.PaymentEvents(ctx, account, before, limit)
		return err
	})
	return list, err
}

// MeansOf returns the account's means in force at the instant and all that it
// ever had; billing.ErrNotFound in force is no error: ok is false.
func (s *Service) MeansOf(ctx context.Context, account string, at time.Time) (now Means, ok bool, all []Means, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		ok = true
		now, err = tx.MeansAt(ctx, account, at)
		if errors.Is(err, billing.ErrNotFound) {
			ok, err = false, nil
		}
		if err != nil {
			return err
		}
		all, err = tx.MeansHistory(ctx, account)
		return err
	})
	return now, ok, all, err
}

// NoteForged keeps in the audit trail that notices came which the provider of
// that name did not sign. Whoever calls bounds how often.
func (s *Service) NoteForged(ctx context.Context, provider string) error {
	if s.providers[provider] == nil {
		provider = "unknown"
	}
	return s.Store.Do(ctx, func(tx Tx) error {
		return tx.RecordPayment(ctx, Record{By: "job:payment-notices", Role: "system", Action: "payment.notice.forged", Attempt: provider, At: s.now()})
	})
}

// Note keeps in the audit trail what a person did to how an account pays, in the
// caller's transaction. ErrInvalid without a reason.
func (s *Service) Note(ctx context.Context, tx Tx, p Staff, action, account string) error {
	if err := p.check(); err != nil {
		return err
	}
	return tx.RecordPayment(ctx, p.record(action, &Attempt{Account: account}, s.now()))
}
