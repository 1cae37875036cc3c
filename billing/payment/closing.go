package payment

import (
	"context"
	"errors"
	"fmt"

	"freeflow/billing"
	"freeflow/billing/account"
)

// CloseRequest asks to pay out what a closed account's wallet holds.
type CloseRequest struct {
	Staff
	Account, Currency string
	// Provider and Token are where that part goes which cannot go back to where
	// it came from; empty for the account's means.
	Provider, Token string
}

// Left is what keeps an account from being paid out.
type Left struct {
	// Open counts receivables of the account, its class tags' among them, that
	// are not paid or are held; Disputes those that are not closed.
	Open, Disputes int64
	// TagCents is what stands in the wallets of its class tags.
	TagCents int64
	// Unfollowed says that postings about it were not followed yet.
	Unfollowed bool
}

func (l Left) err() error {
	switch {
	case l.Unfollowed:
		return conflict("postings about it are being followed; try again in a moment")
	case l.Disputes > 0:
		return conflict("%d disputes about it are open", l.Disputes)
	case l.Open > 0:
		return conflict("%d tolls or charges of it are not paid, or are held: what is owed is paid first", l.Open)
	case l.TagCents > 0:
		return conflict("%s of its class tags' stored value is not moved to it yet; try again in a moment", billing.FormatCents(l.TagCents))
	}
	return nil
}

// restOf is the wallet of an account that may be paid out now, after it has paid
// what the account owes. ErrConflict where it may not.
func (s *Service) restOf(ctx context.Context, tx Tx, r CloseRequest) (billing.Wallet, error) {
	fail := func(err error) (billing.Wallet, error) { return billing.Wallet{}, err }
	if err := tx.LockMarks(ctx, []string{"account:" + r.Account}); err != nil {
		return fail(err)
	}
	a, err := tx.Account(ctx, r.Account)
	if err != nil {
		return fail(err)
	}
	if a.State == account.Open || s.now().Before(a.ClosesAt) {
		return fail(conflict("the account is open: only what a closed one holds is paid out"))
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
	left, err := tx.LeftOf(ctx, r.Account)
	if err == nil {
		err = left.err()
	}
	if err != nil {
		return fail(err)
	}
	return tx.Wallet(ctx, r.Account, r.Currency)
}

// settleAccount ends a closing account for good if nothing is owed either way
// and nothing is under way; else it leaves it as it is.
func (s *Service) settleAccount(ctx context.Context, tx Tx, r CloseRequest) error {
	w, err := s.restOf(ctx, tx, r)
	switch {
	case errors.Is(err, billing.ErrConflict), errors.Is(err, billing.ErrNotFound):
		return nil
	case err != nil || w.BalanceCents != 0:
		return err
	}
	role := r.Role
	if role == "" {
		role = "operator"
	}
	_, err = account.Settled(ctx, tx, r.Account, account.Deed{By: r.By, Role: role, Reason: r.Reason, Now: s.now()})
	return err
}

// PayOutRest pays out all that a closing account's wallet holds after it has
// paid what the account owes, in the caller's transaction: first back to where
// it came from, newest first, the rest to a token. Once all has arrived, and
// nothing is owed, the account is closed for good. It is idempotent: what was
// paid out is in the wallet no more. ErrConflict for an open account; while
// anything of it or of its ended class tags is open, held, in dispute, under way
// or not followed yet; or where a rest has nowhere to go. Who may do so alone is
// Perform's.
func (s *Service) PayOutRest(ctx context.Context, tx Tx, r CloseRequest) ([]Attempt, error) {
	fail := func(err error) ([]Attempt, error) {
		return nil, fmt.Errorf("paying out the rest of account %s: %w", r.Account, err)
	}
	if err := errors.Join(r.check(), checkName("account", r.Account), checkName("currency", r.Currency)); err != nil {
		return fail(err)
	}
	w, err := s.restOf(ctx, tx, r)
	if err != nil {
		return fail(err)
	}
	if w.BalanceCents == 0 {
		if err := errors.Join(s.endMeans(ctx, tx, r), s.settleAccount(ctx, tx, r)); err != nil {
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
