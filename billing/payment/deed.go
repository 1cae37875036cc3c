package payment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"freeflow/billing"
)

// Kinds of deeds.
const (
	// DeedResolution is a person's word on what became of an attempt.
	DeedResolution = "resolution"
	DeedRefund     = "refund"
	// DeedPayOut pays out the rest of a closed account.
	DeedPayOut = "pay-out"
	// DeedCash is cash that a person took.
	DeedCash = "cash"
)

// States of deeds.
const (
	// DeedWaiting waits for a second person; nothing has happened.
	DeedWaiting = "waiting"
	// DeedDone was done by one person alone, DeedApproved with a second one's
	// word.
	DeedDone     = "done"
	DeedApproved = "approved"
	DeedRefused  = "refused"
)

// DeedStates lists all of them.
var DeedStates = []string{DeedWaiting, DeedDone, DeedApproved, DeedRefused}

// Deed is something by which money comes or goes on a person's word. Above a
// limit it is done when a second person has approved it.
type Deed struct {
	// ID makes it the same for each repetition.
	ID   string
	Kind string
	// Staff is the person who does it; Reason why.
	Staff
	// About is what it concerns: of one thing one deed waits at a time. The
	// service sets it.
	About string
	// Attempt is what is resolved or refunded. Account is whose it is; Tag the
	// class tag that cash is for.
	Attempt, Account, Tag string
	// Succeeded, ProviderRef and Evidence are those of a Decision.
	Succeeded             bool
	ProviderRef, Evidence string
	// Provider and Token are those of a CloseRequest, Place and Receipt those of
	// a CashRequest.
	Provider, Token, Place, Receipt string
	// AmountCents is a refund's or the cash's; of others the service sets it.
	AmountCents int64
	Currency    string
	State       string
	At          time.Time
	// DecidedBy, DecidedReason and DecidedAt are the second person's; empty
	// before, and where none was needed.
	DecidedBy, DecidedReason string
	DecidedAt                time.Time
	Version                  int64
}

// aloneFor is over how long it is added up what one person does alone, so that
// many small deeds are not one large one.
const aloneFor = 24 * time.Hour

// Perform does a deed, or keeps it waiting for a second person where it, with
// what its person did alone in the last 24 hours, is above
// Config.ApproveAboveCents; cash counts by itself, since a counter takes it all
// day. It returns the attempts that were made or changed; none while it waits.
// said is what the provider says of an attempt that is resolved (Says). It runs
// in the caller's transaction. ErrInvalid, ErrConflict and ErrNotFound as what it
// does.
func (s *Service) Perform(ctx context.Context, tx Tx, d Deed, said Said) (Deed, []Attempt, error) {
	d.At, d.State, d.Version = s.now(), DeedDone, 0
	d.DecidedBy, d.DecidedReason, d.DecidedAt = "", "", time.Time{}
	if d.ID == "" {
		d.ID = s.NewID()
	}
	if d.Role == "" {
		d.Role = "operator"
	}
	if err := d.check(); err != nil {
		return d, nil, err
	}
	// One deed of a person at a time: two would each find the other not done.
	if err := tx.LockMarks(ctx, []string{"person:" + d.By}); err != nil {
		return d, nil, err
	}
	if err := s.weigh(ctx, tx, &d); err != nil {
		return d, nil, err
	}
	alone := int64(0)
	if d.Kind != DeedCash {
		for _, kind := range []string{DeedResolution, DeedRefund, DeedPayOut} {
			cents, err := tx.DoneAlone(ctx, d.By, kind, d.Currency, d.At.Add(-aloneFor))
			if err != nil {
				return d, nil, err
			}
			alone += cents
		}
	}
	if d.AmountCents > 0 && alone+d.AmountCents > s.ApproveAboveCents {
		// What cannot be done is refused now, not after a second person has
		// looked at it.
		if err := s.possible(ctx, tx, &d, said); err != nil {
			return d, nil, err
		}
		d.State = DeedWaiting
		if err := tx.PutPaymentDeed(ctx, &d); err != nil {
			return d, nil, err
		}
		return d, nil, tx.RecordPayment(ctx, d.about("payment.deed.proposed", d.Staff, d.At))
	}
	list, err := s.carryOut(ctx, tx, &d, said)
	if err != nil {
		return d, nil, err
	}
	return d, list, tx.PutPaymentDeed(ctx, &d)
}

// Decide is the second person's word on a deed that waits, in the caller's
// transaction: it is done, or refused. ErrConflict if it does not wait, if the
// person is the same, or if it cannot be done any more (it then goes on
// waiting); ErrNotFound.
func (s *Service) Decide(ctx context.Context, tx Tx, id string, approve bool, second Staff, said Said) (Deed, []Attempt, error) {
	if err := second.check(); err != nil {
		return Deed{}, nil, err
	}
	d, err := tx.PaymentDeed(ctx, id)
	if err != nil {
		return d, nil, err
	}
	switch {
	case d.State != DeedWaiting:
		return d, nil, conflict("payment deed %s is %s", d.ID, d.State)
	case strings.EqualFold(d.By, second.By):
		return d, nil, conflict("a second person decides: %s asked for it", d.By)
	}
	d.DecidedBy, d.DecidedReason, d.DecidedAt, d.State = second.By, second.Reason, s.now(), DeedRefused
	var list []Attempt
	if approve {
		d.State = DeedApproved
		was := d.AmountCents
		if err := s.weigh(ctx, tx, &d); err != nil {
			return d, nil, err
		}
		if d.AmountCents != was {
			return d, nil, conflict("it was %s when it was asked for and is %s now: refuse it, and ask anew", billing.FormatCents(was), billing.FormatCents(d.AmountCents))
		}
		if list, err = s.carryOut(ctx, tx, &d, said); err != nil {
			return d, nil, err
		}
	}
	if err := tx.PutPaymentDeed(ctx, &d); err != nil {
		return d, nil, err
	}
	return d, list, tx.RecordPayment(ctx, d.about("payment.deed."+d.State, second, d.DecidedAt))
}

// Deeds returns deeds in a state, or all, newest first, at most limit after the
// place of the last one seen.
func (s *Service) Deeds(ctx context.Context, state string, afterAt time.Time, afterID string, limit int) (list []Deed, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		list, err = tx.PaymentDeeds(ctx, state, afterAt, afterID, limit)
		return err
	})
	return list, err
}

// Deed returns one. ErrNotFound.
func (s *Service) Deed(ctx context.Context, id string) (d Deed, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		d, err = tx.PaymentDeed(ctx, id)
		return err
	})
	return d, err
}

func (d *Deed) about(action string, p Staff, at time.Time) Record {
	r := p.record(action, &Attempt{ID: d.Attempt, Account: d.Account}, at)
	r.Evidence, r.AmountCents = "deed "+d.ID+" ("+d.Kind+") "+d.Evidence, d.AmountCents
	return r
}

func (d *Deed) check() error {
	if err := d.Staff.check(); err != nil {
		return err
	}
	switch d.Kind {
	case DeedResolution:
		return checkText("evidence", d.Evidence)
	case DeedRefund, DeedCash:
		return checkAmount("a "+d.Kind, d.AmountCents)
	case DeedPayOut:
		return errors.Join(checkName("account", d.Account), checkName("currency", d.Currency))
	}
	return invalid("a deed of kind %q", d.Kind)
}

// weigh sets what a deed is about and how much.
func (s *Service) weigh(ctx context.Context, tx Tx, d *Deed) error {
	switch d.Kind {
	case DeedResolution, DeedRefund:
		a, err := tx.PaymentAttempt(ctx, d.Attempt, true)
		if err != nil {
			return err
		}
		d.About, d.Account, d.Currency = a.ID, a.Account, a.Currency
		if d.Kind == DeedResolution {
			d.AmountCents = a.AmountCents
		}
	case DeedPayOut:
		d.About = d.Account
		w, err := s.restOf(ctx, tx, d.closing())
		if err != nil {
			return err
		}
		d.AmountCents = w.BalanceCents
	case DeedCash:
		r := d.cash()
		if err := r.check(); err != nil {
			return err
		}
		d.About = r.reference()
	}
	return nil
}

// possible refuses what could not be done after an approval either.
func (s *Service) possible(ctx context.Context, tx Tx, d *Deed, said Said) error {
	switch d.Kind {
	case DeedResolution:
		a, err := tx.PaymentAttempt(ctx, d.Attempt, true)
		if err != nil {
			return err
		}
		_, err = s.decided(&a, d.decision(said))
		return err
	case DeedRefund:
		of, err := tx.PaymentAttempt(ctx, d.Attempt, true)
		if err != nil {
			return err
		}
		if (of.Kind != Charge && of.Kind != Await) || of.State != Succeeded || d.AmountCents > of.MovedCents-of.RefundedCents {
			return conflict("%s cannot be given back of payment %s", billing.FormatCents(d.AmountCents), of.ID)
		}
	case DeedCash:
		known, err := s.cashKnown(ctx, tx, d.cash())
		if err == nil && known != nil {
			err = conflict("the receipt was entered before, as payment %s", known.ID)
		}
		if err != nil {
			return err
		}
		_, err = s.holderOf(ctx, tx, d.Account, d.Tag, d.Currency)
		return err
	}
	return nil
}

func (d *Deed) decision(said Said) Decision {
	return Decision{Staff: d.Staff, Attempt: d.Attempt, Succeeded: d.Succeeded, ProviderRef: d.ProviderRef, Evidence: d.Evidence, Said: said}
}

func (d *Deed) closing() CloseRequest {
	return CloseRequest{Staff: d.Staff, Account: d.Account, Currency: d.Currency, Provider: d.Provider, Token: d.Token}
}

func (d *Deed) cash() CashRequest {
	return CashRequest{
		Staff: d.Staff, Account: d.Account, Tag: d.Tag, AmountCents: d.AmountCents, Currency: d.Currency, Place: d.Place, Receipt: d.Receipt,
	}
}

// carryOut does what a deed says.
func (s *Service) carryOut(ctx context.Context, tx Tx, d *Deed, said Said) ([]Attempt, error) {
	var (
		a   Attempt
		err error
	)
	switch d.Kind {
	case DeedResolution:
		a, err = s.Resolve(ctx, tx, d.decision(said))
	case DeedRefund:
		a, err = s.Refund(ctx, tx, RefundRequest{Staff: d.Staff, ID: d.ID, Attempt: d.Attempt, AmountCents: d.AmountCents})
	case DeedPayOut:
		return s.PayOutRest(ctx, tx, d.closing())
	case DeedCash:
		a, err = s.TakeCash(ctx, tx, d.cash())
	default:
		err = fmt.Errorf("payment deed %s is of kind %q", d.ID, d.Kind)
	}
	return []Attempt{a}, err
}
