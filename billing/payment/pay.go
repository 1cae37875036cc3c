package payment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"freeflow/billing"
)

// SetMeans keeps how an account pays from an instant on, in the caller's
// transaction. What was in force before stays so until then. billing.ErrInvalid;
// ErrConflict for an instant before the present: what was paid is not changed
// afterwards.
func (s *Service) SetMeans(ctx context.Context, tx Tx, m Means) (Means, error) {
	now := s.now()
	if m.From.IsZero() {
		m.From = now
	}
	m.At, m.Revision = now, 0
	if err := CheckMeans(&m); err != nil {
		return m, fmt.Errorf("setting how account %s pays: %w", m.Account, err)
	}
	if m.Token != "" && s.providers[m.Provider] == nil {
		return m, fmt.Errorf("setting how account %s pays: %w", m.Account, invalid("there is no payment provider called %q here", m.Provider))
	}
	if err := checkName("name of who sets it", m.By); err != nil {
		return m, err
	}
	if m.From.Before(now) {
		return m, fmt.Errorf("setting how account %s pays: %w", m.Account, conflict("it cannot begin before now; leave the instant out for now"))
	}
	return tx.AddMeans(ctx, m)
}

// TopUpRequest asks for money into an account's wallet.
type TopUpRequest struct {
	// ID makes the attempt's id the same for each repetition; empty for a new
	// one.
	ID      string
	Account string
	// Tag is the class tag of the account whose stored value it is for; empty
	// for the account's own wallet.
	Tag         string
	AmountCents int64
	Currency    string
	// Provider and Token are those of other means than the account's; both empty
	// for those.
	Provider, Token string
}

// TopUp keeps an attempt to bring money into an account's wallet, in the
// caller's transaction; Drive, or Work, gives the order. ErrConflict while
// another top-up is under way; ErrInvalid.
func (s *Service) TopUp(ctx context.Context, tx Tx, r TopUpRequest) (Attempt, error) {
	a, err := s.chargeOf(ctx, tx, r.Account, r.Currency, r.Provider, r.Token)
	if err == nil {
		err = checkAmount("a top-up", r.AmountCents)
	}
	if err == nil && r.Tag != "" {
		a.Holder, err = s.holderOf(ctx, tx, r.Account, r.Tag, r.Currency)
	}
	if err != nil {
		return a, fmt.Errorf("topping up account %s: %w", r.Account, err)
	}
	a.Purpose, a.AmountCents = ForTopUp, r.AmountCents
	a = s.newAttempt(r.ID, a)
	return a, s.begin(ctx, tx, &a, []string{topUpDebt(a.Holder)})
}

// PayRequest asks to pay receivables of an account now.
type PayRequest struct {
	ID          string
	Account     string
	Receivables []string
	// Provider and Token as in TopUpRequest.
	Provider, Token string
}

// Pay keeps an attempt to pay receivables of an account, chosen by its owner, in
// the caller's transaction. ErrConflict if a payment for one of them is under way
// or unknown, or nothing is owed; ErrNotFound; ErrInvalid.
func (s *Service) Pay(ctx context.Context, tx Tx, r PayRequest) (Attempt, error) {
	fail := func(err error) (Attempt, error) {
		return Attempt{}, fmt.Errorf("paying for account %s: %w", r.Account, err)
	}
	if len(r.Receivables) == 0 || len(r.Receivables) > mostItems {
		return fail(invalid("%d receivables; there must be 1 to %d", len(r.Receivables), mostItems))
	}
	var open []billing.Receivable
	for _, id := range slices.Compact(slices.Sorted(slices.Values(r.Receivables))) {
		one, err := tx.Receivable(ctx, id)
		if err != nil {
			return fail(err)
		}
		if one.Account != r.Account {
			return fail(fmt.Errorf("receivable %s: %w", id, billing.ErrNotFound))
		}
		if one.Hold != "" {
			return fail(conflict("%s is held: %s", id, one.Hold))
		}
		if one.RestCents() > 0 {
			open = append(open, one)
		}
	}
	items, currency, err := itemsOf(open)
	if err != nil {
		return fail(err)
	}
	a, err := s.chargeOf(ctx, tx, r.Account, currency, r.Provider, r.Token)
	if err != nil {
		return fail(err)
	}
	a.Purpose, a.Items = ForPicked, items
	debts, cents := debtsOf(items)
	a.AmountCents = cents
	a = s.newAttempt(r.ID, a)
	return a, s.begin(ctx, tx, &a, debts)
}

// itemsOf makes items of open receivables in the order of postings; all are of
// one currency.
func itemsOf(open []billing.Receivable) (items []Item, currency string, err error) {
	if len(open) == 0 {
		return nil, "", conflict("there is nothing to pay")
	}
	slices.SortFunc(open, func(a, b billing.Receivable) int { return int(a.Posting - b.Posting) })
	for _, one := range open {
		if one.Currency != open[0].Currency {
			return nil, "", invalid("receivables of one payment are of one currency; these are in %s and %s", open[0].Currency, one.Currency)
		}
		items = append(items, Item{one.ID, one.Posting, one.RestCents()})
	}
	return items, open[0].Currency, nil
}

// chargeOf is a charge of an account's own means, or of others.
func (s *Service) chargeOf(ctx context.Context, tx Tx, account, currency, provider, token string) (Attempt, error) {
	a := Attempt{Kind: Charge, Provider: provider, Account: account, Holder: account, Means: Card, Token: token, Currency: currency}
	if err := checkName("account", account); err != nil {
		return a, err
	}
	if token == "" {
		m, err := tx.MeansAt(ctx, account, s.now())
		if errors.Is(err, billing.ErrNotFound) || err == nil && m.Token == "" {
			return a, conflict("the account has no means of payment; give a token")
		}
		if err != nil {
			return a, err
		}
		a.Provider, a.Token, a.Means = m.Provider, m.Token, m.Kind
	} else if err := CheckToken(token); err != nil {
		return a, err
	}
	if a.Provider == "" {
		a.Provider = s.Providers[0].Name()
	}
	_, err := s.provider(a.Provider)
	return a, err
}

// begin keeps a new attempt and what it is for.
func (s *Service) begin(ctx context.Context, tx Tx, a *Attempt, debts []string) error {
	if err := checkAmount("a payment", a.AmountCents); err != nil {
		return err
	}
	if err := tx.ClaimDebts(ctx, a.ID, debts); err != nil {
		return err
	}
	// Somebody may have paid and let go between our look and our claim: what
	// counts is what is owed under the claim.
	for _, one := range a.Items {
		r, err := tx.Receivable(ctx, one.Receivable)
		if err != nil {
			return err
		}
		if r.RestCents() != one.AmountCents || r.Posting != one.Posting || r.Hold != "" {
			return conflict("what is owed changed at this moment; look again")
		}
	}
	return tx.PutPaymentAttempt(ctx, a)
}

// Quote is what somebody without an account is told of a notice: amounts, and
// neither where nor when.
type Quote struct {
	Currency string
	// TotalCents is what is still to be paid, AmountsCents its parts.
	TotalCents   int64
	AmountsCents []int64
}

// errNoNotice is the one answer to every wrong combination.
func errNoNotice() error {
	return fmt.Errorf("there is no notice of that number for that vehicle: %w", billing.ErrNotFound)
}

// QuoteNotice says what is still to be paid of a notice. Every wrong combination
// of vehicle and number gives the same ErrNotFound, after the same work.
func (s *Service) QuoteNotice(ctx context.Context, vehicle, number string) (q Quote, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		open, named, err := tx.PayReference(ctx, vehicle, number)
		if err != nil {
			return err
		}
		if named == 0 {
			return errNoNotice()
		}
		q = Quote{}
		for _, one := range open {
			q.Currency = one.Currency
			q.TotalCents += one.RestCents()
			q.AmountsCents = append(q.AmountsCents, one.RestCents())
		}
		return nil
	})
	return q, err
}

// NoticeRequest asks to pay a notice without an account.
type NoticeRequest struct {
	ID string
	// Vehicle and Number as the notice has them.
	Vehicle, Number string
	// Token is the payer's at the first provider; empty to wait for money that
	// the payer sends by Bill.
	Token string
}

// PayNotice keeps an attempt to pay all that is owed of a notice, in the
// caller's transaction. With a token nobody else can pay the same meanwhile:
// ErrConflict for whoever comes second, and where nothing is owed. Without one
// it waits for the payer's money: who comes second gets it back. ErrNotFound as
// QuoteNotice.
func (s *Service) PayNotice(ctx context.Context, tx Tx, r NoticeRequest) (Attempt, error) {
	open, named, err := tx.PayReference(ctx, r.Vehicle, r.Number)
	if err != nil {
		return Attempt{}, err
	}
	if named == 0 {
		return Attempt{}, errNoNotice()
	}
	items, currency, err := itemsOf(open)
	if err != nil {
		return Attempt{}, fmt.Errorf("paying a notice: %w", err)
	}
	debts, cents := debtsOf(items)
	a := s.newAttempt(r.ID, Attempt{
		Kind: Charge, Purpose: ForNotice, Provider: s.Providers[0].Name(), Means: Card, Token: r.Token, AmountCents: cents, Currency: currency, Items: items,
	})
	a.Holder = billing.HolderOnce + a.ID
	if r.Token == "" {
		s.await(&a)
		debts = nil
	} else if err := CheckToken(r.Token); err != nil {
		return Attempt{}, fmt.Errorf("paying a notice: %w", err)
	}
	if err := tx.PutWallet(ctx, a.Holder, currency, true); err != nil {
		return a, err
	}
	return a, s.begin(ctx, tx, &a, debts)
}

// AwaitTopUp keeps a number by which the owner of an account sends money to its
// wallet.
func (s *Service) AwaitTopUp(ctx context.Context, tx Tx, r TopUpRequest) (Attempt, error) {
	if err := errors.Join(checkName("account", r.Account), checkName("currency", r.Currency), checkAmount("a top-up", r.AmountCents)); err != nil {
		return Attempt{}, err
	}
	to := r.Account
	if r.Tag != "" {
		var err error
		if to, err = s.holderOf(ctx, tx, r.Account, r.Tag, r.Currency); err != nil {
			return Attempt{}, fmt.Errorf("topping up account %s: %w", r.Account, err)
		}
	}
	a := s.newAttempt(r.ID, Attempt{
		Purpose: ForTopUp, Provider: s.Providers[0].Name(), Account: r.Account, Holder: to, AmountCents: r.AmountCents, Currency: r.Currency,
	})
	s.await(&a)
	return a, s.begin(ctx, tx, &a, nil)
}

// await makes an attempt one that waits for the payer's money.
func (s *Service) await(a *Attempt) {
	a.Kind, a.Means, a.Token = Await, FPS, ""
	// Sixteen characters of an alphabet of 32 after a prefix: at most 25 fit a
	// QR code.
	a.Bill = "FF" + s.NewID()[:16]
	a.ValidUntil = s.now().Add(s.Times.AwaitFor)
	a.NextAt = a.ValidUntil
}

// History returns an account's attempts, newest first, at most limit after the
// place of the last one seen.
func (s *Service) History(ctx context.Context, account string, afterAt time.Time, afterID string, limit int) (list []Attempt, err error) {
	if err := checkName("account", account); err != nil {
		return nil, err
	}
	err = s.Store.View(ctx, func(tx Tx) error {
		list, err = tx.PaymentAttempts(ctx, Filter{Account: account, AfterAt: afterAt, AfterID: afterID, Limit: limit})
		return err
	})
	return list, err
}
