package payment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"freeflow/billing"
)

// Reasons that are ours.
const (
	reasonNeverArrived   = "never-arrived"
	reasonNeverSubmitted = "never-submitted"
	reasonLate           = "late"
	reasonExpired        = "expired"
)

// openAtOnce bounds how many receivables one payment pays beyond those that it
// was made for.
const openAtOnce = 1000

// apply keeps an outcome of an attempt, which is locked.
func (s *Service) apply(ctx context.Context, tx Tx, a *Attempt, o Outcome, how string) error {
	switch o.Result {
	case ResultSucceeded:
		if a.State == Succeeded || a.State == Reversed {
			if o.ProviderRef == "" || a.ProviderRef == "" || o.ProviderRef == a.ProviderRef {
				return nil
			}
			return s.takenTwice(ctx, tx, a, o)
		}
		if o.Currency != a.Currency || o.AmountCents <= 0 {
			return s.contradiction(ctx, tx, a, "it says that another currency, or nothing, moved")
		}
		return s.succeed(ctx, tx, a, o, how)
	case ResultDeclined:
		if a.State == Succeeded {
			return s.contradiction(ctx, tx, a, "it declines what it had said succeeded")
		}
		if a.Final() {
			return nil
		}
		return s.fail(ctx, tx, a, o, how)
	case ResultPending:
		if a.Final() {
			return nil
		}
		return s.leaveUnknown(ctx, tx, a)
	case ResultReversed:
		return s.takeBack(ctx, tx, a, o, how)
	}
	return s.contradiction(ctx, tx, a, fmt.Sprintf("its result is %q", o.Result))
}

// contradiction leaves the attempt as it is, to a person.
func (s *Service) contradiction(ctx context.Context, tx Tx, a *Attempt, text string) error {
	s.Log.ErrorContext(ctx, "a payment provider contradicts itself", "provider", a.Provider, "payment", a.ID, "what", text)
	if !a.Final() {
		if err := s.leaveUnknown(ctx, tx, a); err != nil {
			return err
		}
	}
	return s.tell(ctx, tx, Event{Kind: EventContradiction, About: a.ID, AmountCents: a.AmountCents, Currency: a.Currency, Text: text})
}

// settle writes the end of an attempt and lets go of its debts.
func (s *Service) settle(ctx context.Context, tx Tx, a *Attempt, state, how string, o Outcome) error {
	a.State, a.How, a.SettledAt, a.NextAt = state, how, s.now(), time.Time{}
	if o.ProviderRef != "" {
		a.ProviderRef = o.ProviderRef
	}
	if o.Reason != "" {
		a.Reason = o.Reason
	}
	if err := tx.PutPaymentAttempt(ctx, a); err != nil {
		return err
	}
	return tx.ReleaseDebts(ctx, a.ID)
}

// instant is when the provider says it was, or now.
func (s *Service) instant(o Outcome) time.Time {
	if o.At.IsZero() {
		return s.now()
	}
	return o.At.UTC().Truncate(time.Microsecond)
}

// succeed brings the money in, or keeps that it went out.
func (s *Service) succeed(ctx context.Context, tx Tx, a *Attempt, o Outcome, how string) error {
	late := a.State == Failed
	a.MovedCents = o.AmountCents
	if a.Kind == Refund || a.Kind == Payout {
		return s.wentOut(ctx, tx, a, o, how, late)
	}
	a.Movement = a.ID
	if a.Kind == Await {
		// Who paid is known only now; the money goes back there if it must.
		a.Token = o.Payer
		if o.Means != "" {
			a.Means = o.Means
		}
	}
	if late {
		a.Reason = reasonLate
	}
	if err := s.settle(ctx, tx, a, Succeeded, how, o); err != nil {
		return err
	}
	m := billing.Movement{
		ID: a.ID, Kind: billing.Receipt, Holder: a.Holder, Means: a.Means, AmountCents: o.AmountCents, Currency: a.Currency, At: s.instant(o), Note: a.Purpose,
	}
	if _, err := tx.Move(ctx, m, s.now()); err != nil {
		return err
	}
	if err := s.spend(ctx, tx, a); err != nil {
		return err
	}
	kind := EventReceived
	switch {
	case late:
		kind = EventLate
	case a.Purpose == ForDaily || a.Purpose == ForTrip:
		kind = EventPaid
	case a.Purpose == ForTopUp:
		kind = EventTopUp
	}
	err := s.tell(ctx, tx, Event{
		Kind: kind, About: a.ID, Account: a.Account, AmountCents: a.MovedCents, Currency: a.Currency, Count: int64(len(a.Items)), Day: dayOf(a),
	})
	if err != nil {
		return err
	}
	if a.Purpose == ForTopUp && a.Holder == a.Account {
		if err := tx.ForgiveTopUps(ctx, a.Account); err != nil {
			return err
		}
	}
	return s.endDebit(ctx, tx, a)
}

// spend pays out of the wallet what the attempt was made for, then what else
// its account owes, and gives back what a payer without an account has over.
func (s *Service) spend(ctx context.Context, tx Tx, a *Attempt) error {
	var ids []string
	for _, one := range a.Items {
		r, err := tx.Receivable(ctx, one.Receivable)
		switch {
		case errors.Is(err, billing.ErrNotFound):
			continue
		case err != nil:
			return err
		case r.Posting != one.Posting && r.Account != a.Account:
			continue // another owes it meanwhile
		}
		ids = append(ids, one.Receivable)
	}
	if len(ids) > 0 {
		if _, err := tx.Collect(ctx, a.Holder, ids, s.now()); err != nil {
			return err
		}
	}
	if a.Account != "" {
		_, err := tx.CollectOpen(ctx, a.Holder, a.Currency, openAtOnce, s.now())
		return err
	}
	if a.Purpose != ForNotice {
		return nil
	}
	w, err := tx.Wallet(ctx, a.Holder, a.Currency)
	if err != nil || w.BalanceCents == 0 {
		return err
	}
	back := min(w.BalanceCents, a.MovedCents-a.RefundedCents)
	if back <= 0 {
		return nil
	}
	if a.Kind == Await && a.Token == "" {
		return s.tell(ctx, tx, Event{Kind: EventRefundFailed, About: a.ID, AmountCents: back, Currency: a.Currency, Text: "its payer is not known"})
	}
	_, err = s.giveBack(ctx, tx, a, "", back, ForRefund)
	return err
}

// endDebit marks the attempt's debit as paid.
func (s *Service) endDebit(ctx context.Context, tx Tx, a *Attempt) error {
	if a.Debit == "" {
		return nil
	}
	d, err := tx.PaymentDebit(ctx, a.Debit)
	if err != nil || d.State == DebitPaid {
		return err
	}
	if d.State == DebitOpen && d.NextAt.IsZero() && a.Reason == reasonLate {
		return nil // a later try is under way, and ends it
	}
	d.State, d.NextAt = DebitPaid, time.Time{}
	_, err = tx.PutPaymentDebit(ctx, &d)
	return err
}

// fail keeps that nothing moved and will not.
func (s *Service) fail(ctx context.Context, tx Tx, a *Attempt, o Outcome, how string) error {
	if a.Kind == Refund || a.Kind == Payout {
		if err := s.cameBack(ctx, tx, a, o.Reason); err != nil {
			return err
		}
	}
	if err := s.settle(ctx, tx, a, Failed, how, o); err != nil {
		return err
	}
	switch {
	case a.Debit != "":
		return s.tryLater(ctx, tx, a, o.Final)
	case a.Kind == Refund || a.Kind == Payout:
		return s.tell(ctx, tx, Event{Kind: EventRefundFailed, About: a.ID, AmountCents: a.AmountCents, Currency: a.Currency, Text: a.Reason})
	case a.Kind == Await:
		return nil
	}
	return s.tell(ctx, tx, Event{Kind: EventFailed, About: a.ID, Account: a.Account, AmountCents: a.AmountCents, Currency: a.Currency, Text: a.Reason})
}

// tryLater puts the next try of a debit on its date, or gives it up. What it was
// for stays owed.
func (s *Service) tryLater(ctx context.Context, tx Tx, a *Attempt, final bool) error {
	d, err := tx.PaymentDebit(ctx, a.Debit)
	if err != nil || d.State != DebitOpen {
		return err
	}
	kind := EventFailed
	waits := s.Times.Retry[d.Purpose]
	if a.Reason == reasonNeverArrived || a.Reason == reasonNeverSubmitted {
		// The payer's means were not tried: this was no try.
		d.Tries--
		d.NextAt = s.now().Add(busyWait)
	} else if final || d.Tries > int64(len(waits)) {
		d.State, d.NextAt = DebitFailed, time.Time{}
		kind = EventGivenUp
	} else {
		d.NextAt = s.now().Add(waits[d.Tries-1])
	}
	if _, err := tx.PutPaymentDebit(ctx, &d); err != nil {
		return err
	}
	return s.tell(ctx, tx, Event{
		Kind: kind, About: a.ID, Account: a.Account, AmountCents: a.AmountCents, Currency: a.Currency, Count: int64(len(a.Items)), Text: a.Reason, Day: dayOf(a),
	})
}

// dayOf is the day of a daily debit, which its id names; else empty.
func dayOf(a *Attempt) string {
	if rest, ok := strings.CutPrefix(a.Debit, ForDaily+":"); ok && len(rest) >= len(dayForm) {
		return rest[:len(dayForm)]
	}
	return ""
}

// takeBack keeps that the payer's bank has taken the money back.
func (s *Service) takeBack(ctx context.Context, tx Tx, a *Attempt, o Outcome, how string) error {
	switch {
	case a.State == Reversed:
		return nil
	case a.State == Succeeded && o.ProviderRef != "" && a.ProviderRef != "" && o.ProviderRef != a.ProviderRef:
		return s.contradiction(ctx, tx, a, "it takes back something else than what it had done")
	case a.Kind == Refund || a.Kind == Payout || a.RefundedCents > 0:
		// Money would leave twice: a person sees to it.
		return s.contradiction(ctx, tx, a, "it takes back what was given back, or went out")
	case a.State == Succeeded && a.Movement != "":
		if err := tx.ReverseMovement(ctx, a.Movement, "taken back by the payer's bank", s.now()); err != nil {
			return err
		}
		a.Movement = ""
	}
	// A reversal that overtook the success leaves nothing for it to do.
	if o.Reason == "" {
		o.Reason = "taken-back"
	}
	if err := s.settle(ctx, tx, a, Reversed, how, o); err != nil {
		return err
	}
	if a.Debit != "" {
		d, err := tx.PaymentDebit(ctx, a.Debit)
		if err != nil {
			return err
		}
		if d.State == DebitOpen || d.State == DebitPaid {
			d.State, d.NextAt = DebitFailed, time.Time{}
			if _, err := tx.PutPaymentDebit(ctx, &d); err != nil {
				return err
			}
		}
	}
	return s.tell(ctx, tx, Event{Kind: EventReversed, About: a.ID, Account: a.Account, AmountCents: a.MovedCents, Currency: a.Currency, Text: a.Reason})
}

// takenTwice takes money that came a second time under one reference.
func (s *Service) takenTwice(ctx context.Context, tx Tx, first *Attempt, o Outcome) error {
	if o.Currency != first.Currency || o.AmountCents <= 0 {
		return s.contradiction(ctx, tx, first, "it took another currency, or nothing, a second time")
	}
	a := s.newAttempt("", Attempt{
		Kind: first.Kind, Purpose: ForCredit, Provider: first.Provider, Account: first.Account, Holder: first.Holder, Means: first.Means,
		Token: first.Token, AmountCents: o.AmountCents, Currency: o.Currency, Source: first.ID,
	})
	if first.Account == "" {
		// A wallet of its own: it is not the first payer's change.
		a.Purpose, a.Holder = ForNotice, billing.HolderOnce+a.ID
		if err := tx.PutWallet(ctx, a.Holder, a.Currency, true); err != nil {
			return err
		}
	}
	return s.credit(ctx, tx, a, o)
}

// unmatched takes money that nobody here asked for: it is held for its payer
// until a person has seen to it.
func (s *Service) unmatched(ctx context.Context, tx Tx, provider string, n *Notice) error {
	o := n.Outcome
	if o.Currency == "" || o.AmountCents <= 0 || o.ProviderRef == "" {
		return invalid("the notice says of money that came neither how much nor by what name")
	}
	means := o.Means
	if means == "" {
		means = FPS
	}
	a := s.newAttempt("", Attempt{
		Kind: Await, Purpose: ForCredit, Provider: provider, Means: means, Token: o.Payer, AmountCents: o.AmountCents, Currency: o.Currency,
	})
	a.Holder = billing.HolderOnce + a.ID
	if err := tx.PutWallet(ctx, a.Holder, a.Currency, true); err != nil {
		return err
	}
	if err := s.credit(ctx, tx, a, o); err != nil {
		return err
	}
	return s.tell(ctx, tx, Event{Kind: EventUnmatched, About: a.ID, AmountCents: a.AmountCents, Currency: a.Currency, Text: n.Bill})
}

// credit keeps a new attempt and its success at once.
func (s *Service) credit(ctx context.Context, tx Tx, a Attempt, o Outcome) error {
	a.NextAt = time.Time{}
	if err := tx.PutPaymentAttempt(ctx, &a); err != nil {
		return err
	}
	return s.succeed(ctx, tx, &a, o, ByNotice)
}

// giveBack makes a refund of what an attempt brought, which is locked: the money
// leaves the wallet now, and the provider is asked by Work. id may be empty.
func (s *Service) giveBack(ctx context.Context, tx Tx, of *Attempt, id string, cents int64, purpose string) (Attempt, error) {
	if cents <= 0 || cents > of.MovedCents-of.RefundedCents || of.State != Succeeded {
		return Attempt{}, conflict("%s cannot be given back of payment %s", billing.FormatCents(cents), of.ID)
	}
	a := s.newAttempt(id, Attempt{
		Kind: Refund, Purpose: purpose, Provider: of.Provider, Account: of.Account, Holder: of.Holder, Means: of.Means,
		AmountCents: cents, Currency: of.Currency, Original: of.ID, Source: of.ID,
	})
	if of.Source != "" {
		a.Source = of.Source
	}
	if of.Kind == Await {
		// What the payer sent is sent back.
		a.Kind, a.Token = Payout, of.Token
		if of.Token == "" {
			return a, conflict("payment %s does not say where its money came from", of.ID)
		}
	}
	of.RefundedCents += cents
	if err := tx.PutPaymentAttempt(ctx, of); err != nil {
		return a, err
	}
	return a, s.sendOut(ctx, tx, &a)
}

// sendOut takes the money of a refund or pay-out from the wallet and keeps the
// attempt.
func (s *Service) sendOut(ctx context.Context, tx Tx, a *Attempt) error {
	a.Movement = a.ID
	m := billing.Movement{
		ID: a.ID, Kind: billing.Payout, Holder: a.Holder, Means: a.Means, AmountCents: a.AmountCents, Currency: a.Currency, At: a.CreatedAt, Note: a.Purpose,
	}
	if _, err := tx.Move(ctx, m, s.now()); err != nil {
		return err
	}
	return tx.PutPaymentAttempt(ctx, a)
}

// wentOut keeps that a refund or pay-out succeeded. After a recorded failure the
// money is in the wallet again, and leaves it once more if it still can.
func (s *Service) wentOut(ctx context.Context, tx Tx, a *Attempt, o Outcome, how string, late bool) error {
	uncovered := false
	if late {
		if err := s.backAgain(ctx, tx, a, a.AmountCents); err != nil {
			return err
		}
		w, err := tx.Wallet(ctx, a.Holder, a.Currency)
		if err != nil {
			return err
		}
		if uncovered = w.BalanceCents < a.AmountCents; !uncovered {
			a.Movement = a.ID + ":late"
			_, err := tx.Move(ctx, billing.Movement{
				ID: a.Movement, Kind: billing.Payout, Holder: a.Holder, Means: a.Means, AmountCents: a.AmountCents, Currency: a.Currency,
				At: s.instant(o), Note: a.Purpose,
			}, s.now())
			if err != nil {
				return err
			}
		}
	}
	if err := s.settle(ctx, tx, a, Succeeded, how, o); err != nil {
		return err
	}
	if uncovered || o.AmountCents != a.AmountCents {
		err := s.tell(ctx, tx, Event{Kind: EventUncovered, About: a.ID, AmountCents: o.AmountCents, Currency: a.Currency})
		if err != nil {
			return err
		}
	}
	err := s.tell(ctx, tx, Event{
		Kind: EventRefunded, About: a.ID, Account: a.Account, AmountCents: a.MovedCents, Currency: a.Currency, Text: a.Purpose,
	})
	if err != nil || a.Purpose != ForClosing || a.Account == "" {
		return err
	}
	return s.settleAccount(ctx, tx, CloseRequest{
		Staff: Staff{By: "job:payments", Role: "system", Reason: "what it held has been paid out"}, Account: a.Account, Currency: a.Currency,
	})
}

// cameBack puts the money of a refund that failed into its wallet again.
func (s *Service) cameBack(ctx context.Context, tx Tx, a *Attempt, reason string) error {
	if a.Movement == "" {
		return nil
	}
	if err := tx.ReverseMovement(ctx, a.Movement, "the refund failed: "+reason, s.now()); err != nil {
		return err
	}
	a.Movement = ""
	if a.Account != "" {
		// What came up meanwhile is paid of it.
		if _, err := tx.CollectOpen(ctx, a.Holder, a.Currency, openAtOnce, s.now()); err != nil {
			return err
		}
	}
	return s.backAgain(ctx, tx, a, -a.AmountCents)
}

// backAgain changes how much refunds gave back of their original.
func (s *Service) backAgain(ctx context.Context, tx Tx, a *Attempt, cents int64) error {
	if a.Original == "" {
		return nil
	}
	of, err := tx.PaymentAttempt(ctx, a.Original, true)
	if errors.Is(err, billing.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	// More than it brought cannot be given back of it; a person is told of what
	// was not covered.
	of.RefundedCents = min(of.RefundedCents+cents, of.MovedCents)
	return tx.PutPaymentAttempt(ctx, &of)
}
