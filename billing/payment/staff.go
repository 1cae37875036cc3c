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
	// Succeeded says that the money moved: as much as the attempt was for, never
	// another amount.
	Succeeded bool
	// ProviderRef is the provider's name for it, where it is known.
	ProviderRef string
	// Evidence is where it can be read again: a statement's line, a message of
	// the provider. Without it nothing is decided.
	Evidence string
	// Said is what the provider says of it at this moment (Says).
	Said Said
}

// Said is what a provider says of an attempt at an instant.
type Said struct {
	Attempt string
	Outcome Outcome
	// Err is ErrAbsent, or why there was no answer.
	Err error
	At  time.Time
}

// saidFor is how long a provider's word on an attempt is taken as its present
// one: that of one request.
const saidFor = time.Minute

// Says asks the provider what became of an attempt, outside of any transaction.
// An error is the store's; that the provider gives no answer stands in Said.
func (s *Service) Says(ctx context.Context, id string) (Said, error) {
	a, err := s.Attempt(ctx, id)
	if err != nil {
		return Said{}, err
	}
	said := Said{Attempt: a.ID, At: s.now()}
	if s.providers[a.Provider] == nil || a.Bill == "" && a.Kind == Await {
		said.Err = errNobodyToAsk
		return said, nil
	}
	said.Outcome, _, said.Err = s.ask(ctx, &a, whatBecame)
	return said, nil
}

var errNobodyToAsk = errors.New("there is no provider to ask")

// contradicts refuses a decision that the provider's word is against.
func (d *Decision) contradicts(a *Attempt, now time.Time) error {
	said := d.Said
	if said.Attempt != a.ID || said.At.IsZero() || now.Sub(said.At) > saidFor {
		return conflict("the provider was not asked about payment %s at this moment; try again", a.ID)
	}
	o := said.Outcome
	switch {
	case errors.Is(said.Err, ErrAbsent):
		if d.Succeeded {
			return conflict("the provider knows of no payment %s: what it does not know did not succeed", a.ID)
		}
	case said.Err != nil:
		// Nobody answers: a person's evidence is all there is.
	case o.Result == ResultSucceeded && !d.Succeeded:
		return conflict("the provider says that payment %s succeeded; let it be asked (query)", a.ID)
	case o.Result == ResultSucceeded && (o.AmountCents != a.AmountCents || o.Currency != a.Currency):
		return conflict("the provider says that another amount moved by payment %s; let it be asked (query)", a.ID)
	case o.Result != ResultSucceeded && d.Succeeded:
		return conflict("the provider says of payment %s: %s", a.ID, o.Result)
	}
	return nil
}

// decided is the outcome that a decision on an attempt stands for. ErrConflict,
// ErrInvalid.
func (s *Service) decided(a *Attempt, d Decision) (Outcome, error) {
	if a.State != Unknown && !(a.State == Failed && d.Succeeded) {
		return Outcome{}, conflict("payment %s is %s: only what is unknown is resolved, or failed and turns out to have succeeded", a.ID, a.State)
	}
	if err := d.contradicts(a, s.now()); err != nil {
		return Outcome{}, err
	}
	o := Outcome{Result: ResultDeclined, ProviderRef: d.ProviderRef, Reason: "by-hand"}
	if d.Succeeded {
		o.Result, o.AmountCents, o.Currency = ResultSucceeded, a.AmountCents, a.Currency
		if d.Said.Err == nil {
			// Its own name for it: the same money cannot come a second time.
			o.ProviderRef, o.Means, o.Payer = d.Said.Outcome.ProviderRef, d.Said.Outcome.Means, d.Said.Outcome.Payer
		}
	}
	return o, nil
}

// Resolve keeps a person's word on an attempt whose outcome is unknown, or that
// failed by the provider's word and did not, in the caller's transaction.
// ErrConflict in any other state, and where the provider says the contrary;
// ErrInvalid without reason or evidence. Who may do so alone is Perform's.
func (s *Service) Resolve(ctx context.Context, tx Tx, d Decision) (Attempt, error) {
	if err := errors.Join(d.check(), checkText("evidence", d.Evidence)); err != nil {
		return Attempt{}, fmt.Errorf("resolving payment %s: %w", d.Attempt, err)
	}
	a, err := tx.PaymentAttempt(ctx, d.Attempt, true)
	if err != nil {
		return a, err
	}
	o, err := s.decided(&a, d)
	if err != nil {
		return a, fmt.Errorf("resolving payment %s: %w", a.ID, err)
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
