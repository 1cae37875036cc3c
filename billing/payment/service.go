package payment

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"freeflow/billing"
	"freeflow/internal/clock"
)

// Config is what a service is made of.
type Config struct {
	Store Store
	// Providers are those of which tokens and attempts are; the first takes
	// payments of those without an account.
	Providers []Provider
	Clock     clock.Clock
	// Zone is where days end.
	Zone *time.Location
	Log  *slog.Logger
	// NewID makes texts that nobody can guess; nil is crypto/rand's.
	NewID func() string
	// ApproveAboveCents is above what a deed of a person needs a second one; 0 is
	// each deed. See Perform.
	ApproveAboveCents int64
	// Parallel bounds how many calls of providers are made at once; 0 is 8.
	Parallel int
	// Times, the zero value of each being its default, stand in Times.
	Times Times
}

// Times are how long things take and how often they are tried.
type Times struct {
	// Call bounds one call of a provider: 10 seconds.
	Call time.Duration
	// GoodFor is how long an order may be begun: 15 minutes. Longer than that,
	// and Margin more, after which a provider that does not know a reference says
	// that it never will: 5 minutes.
	GoodFor, Margin time.Duration
	// CloseAfter is how long after midnight a day is closed: 30 minutes, in
	// which nearly all of its postings have been followed.
	CloseAfter time.Duration
	// AwaitFor is how long a payer's money is waited for: 24 hours. Later it is
	// taken all the same.
	AwaitFor time.Duration
	// Retry says after which times a failed debit is tried again, by purpose: a
	// trip or a day after 24 and 48 hours, a top-up after 1, 24 and 72 hours.
	Retry map[string][]time.Duration
}

// Bounds of asking what became of an attempt: first after firstQuery, each time
// three times as long, at most maxWait, so that some 40 queries last a week.
const (
	firstQuery = 5 * time.Second
	maxWait    = 6 * time.Hour
	maxQueries = 40
	// maxCalls bounds how often one order is given under its reference.
	maxCalls = 3
	// busyWait is how long a debit waits whose debts another attempt has.
	busyWait = 5 * time.Minute
	// heldWait is how long the debit of a trip waits that is held.
	heldWait = time.Hour
)

// Service makes payments. Safe for concurrent use, also by several processes on
// one store.
type Service struct {
	Config
	providers map[string]Provider
	// forgot is when wallets that are no longer low were last looked for.
	forgot atomic.Pointer[time.Time]
}

// New returns a service.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Clock == nil || c.Zone == nil || c.Log == nil || len(c.Providers) == 0 {
		return nil, errors.New("payments: store, providers, clock, zone and log are needed")
	}
	s := &Service{Config: c, providers: map[string]Provider{}}
	for _, p := range c.Providers {
		if s.providers[p.Name()] != nil {
			return nil, fmt.Errorf("payments: there are two providers called %q", p.Name())
		}
		s.providers[p.Name()] = p
	}
	if s.NewID == nil {
		s.NewID = rand.Text
	}
	if s.Parallel <= 0 {
		s.Parallel = 8
	}
	t := &s.Times
	for _, one := range []struct {
		at    *time.Duration
		usual time.Duration
	}{
		{&t.Call, 10 * time.Second}, {&t.GoodFor, 15 * time.Minute}, {&t.Margin, 5 * time.Minute},
		{&t.CloseAfter, 30 * time.Minute}, {&t.AwaitFor, 24 * time.Hour},
	} {
		if *one.at <= 0 {
			*one.at = one.usual
		}
	}
	if t.Retry == nil {
		const day = 24 * time.Hour
		t.Retry = map[string][]time.Duration{
			ForDaily: {day, 2 * day}, ForTrip: {day, 2 * day}, ForTopUp: {time.Hour, day, 3 * day},
		}
	}
	return s, nil
}

// now is the clock's time as the store keeps it.
func (s *Service) now() time.Time { return s.Clock.Now().UTC().Truncate(time.Microsecond) }

// lease is how long an attempt is left to whoever asks its provider.
func (s *Service) lease() time.Duration { return 2*s.Times.Call + 5*time.Second }

func (s *Service) provider(name string) (Provider, error) {
	p := s.providers[name]
	if p == nil {
		return nil, invalid("there is no payment provider called %q here", name)
	}
	return p, nil
}

// newAttempt fills in what all new attempts have.
func (s *Service) newAttempt(id string, a Attempt) Attempt {
	if id == "" {
		id = s.NewID()
	}
	now := s.now()
	a.ID, a.State, a.CreatedAt, a.NextAt = "pay_"+id, Created, now, now
	a.ValidUntil = now.Add(s.Times.GoodFor)
	return a
}

// asked is what the provider of an attempt is to be asked.
type asked int

const (
	nothing asked = iota
	toDoIt
	whatBecame
)

// Step takes an attempt on if its time has come: gives the order, or asks what
// became of it. Nobody else asks at the same time. An error means that the
// store failed; the attempt is looked at again.
func (s *Service) Step(ctx context.Context, id string) error {
	var a Attempt
	var ask asked
	err := s.Store.Do(ctx, func(tx Tx) (err error) {
		if a, err = tx.PaymentAttempt(ctx, id, true); err != nil {
			return err
		}
		ask, err = s.take(ctx, tx, &a)
		return err
	})
	if err != nil {
		return fmt.Errorf("taking on payment %s: %w", id, err)
	}
	// Who asked may be gone; what was learned is kept all the same.
	keep := context.WithoutCancel(ctx)
	for ask != nothing {
		outcome, how, asking := s.ask(ctx, &a, ask)
		err := s.Store.Do(keep, func(tx Tx) (err error) {
			if a, err = tx.PaymentAttempt(keep, id, true); err != nil {
				return err
			}
			ask, err = s.learn(keep, tx, &a, outcome, how, asking)
			return err
		})
		if err != nil {
			return fmt.Errorf("keeping what became of payment %s: %w", id, err)
		}
	}
	return nil
}

// Drive is Step, and returns the attempt as it then stands.
func (s *Service) Drive(ctx context.Context, id string) (Attempt, error) {
	err := s.Step(ctx, id)
	if err != nil {
		return Attempt{}, err
	}
	return s.Attempt(ctx, id)
}

// Attempt returns one. billing.ErrNotFound.
func (s *Service) Attempt(ctx context.Context, id string) (a Attempt, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		a, err = tx.PaymentAttempt(ctx, id, false)
		return err
	})
	return a, err
}

// take moves an attempt whose time has come to the state in which its provider
// is asked, so that a crash meanwhile leaves it to be asked what became of it.
func (s *Service) take(ctx context.Context, tx Tx, a *Attempt) (asked, error) {
	now := s.now()
	if a.NextAt.IsZero() || a.NextAt.After(now) {
		return nothing, nil
	}
	switch {
	case a.State == Created && a.Kind == Await:
		// Its notice may have been lost: the provider is asked before it runs out.
		a.Queries++
		a.NextAt = now.Add(s.lease())
		return whatBecame, tx.PutPaymentAttempt(ctx, a)
	case a.State == Created && now.After(a.ValidUntil) && a.Kind == Charge:
		// Nobody was asked: that is known, not guessed.
		return nothing, s.fail(ctx, tx, a, Outcome{Reason: reasonNeverSubmitted}, ByExpiry)
	case a.State == Created:
		return toDoIt, s.submit(ctx, tx, a)
	case a.State == Submitted, a.State == Unknown:
		a.State = Unknown
		a.Queries++
		if a.Queries > maxQueries {
			a.NextAt = time.Time{}
			if err := s.tell(ctx, tx, Event{Kind: EventUnresolved, About: a.ID, AmountCents: a.AmountCents, Currency: a.Currency}); err != nil {
				return nothing, err
			}
			return nothing, tx.PutPaymentAttempt(ctx, a)
		}
		a.NextAt = now.Add(s.lease())
		return whatBecame, tx.PutPaymentAttempt(ctx, a)
	}
	a.NextAt = time.Time{}
	return nothing, tx.PutPaymentAttempt(ctx, a)
}

// submit moves an attempt to the state in which its order is given. Money on its
// way out waits for a provider that was long not there; a payer does not.
func (s *Service) submit(ctx context.Context, tx Tx, a *Attempt) error {
	now := s.now()
	if now.After(a.ValidUntil) {
		a.ValidUntil = now.Add(s.Times.GoodFor)
	}
	a.State, a.NextAt = Submitted, now.Add(s.lease())
	a.Calls++
	return tx.PutPaymentAttempt(ctx, a)
}

// ask asks the provider, within the time of one call.
func (s *Service) ask(ctx context.Context, a *Attempt, ask asked) (o Outcome, how string, err error) {
	p, err := s.provider(a.Provider)
	if err != nil {
		return o, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Times.Call)
	defer cancel()
	if ask == whatBecame {
		reference := a.ID
		if a.Kind == Await {
			reference = a.Bill
		}
		o, err = p.Query(ctx, reference)
		return o, ByQuery, err
	}
	order := Order{Reference: a.ID, Token: a.Token, AmountCents: a.AmountCents, Currency: a.Currency, ValidUntil: a.ValidUntil, Text: a.Purpose}
	switch a.Kind {
	case Charge:
		o, err = p.Charge(ctx, order)
	case Refund:
		order.Token, order.Original = "", a.Source
		o, err = p.Refund(ctx, order)
	case Payout:
		o, err = p.Payout(ctx, order)
	default:
		err = fmt.Errorf("payment %s is of kind %q, which no provider is asked for", a.ID, a.Kind)
	}
	return o, ByAnswer, err
}

// learn keeps what was answered, and says what is to be asked next.
func (s *Service) learn(ctx context.Context, tx Tx, a *Attempt, o Outcome, how string, asking error) (asked, error) {
	if asking == nil {
		return nothing, s.apply(ctx, tx, a, o, how)
	}
	if a.Final() {
		return nothing, nil // a notice was quicker
	}
	now := s.now()
	if errors.Is(asking, ErrAbsent) {
		never := now.After(a.ValidUntil.Add(s.Times.Margin))
		switch {
		case a.Kind == Await:
			return nothing, s.fail(ctx, tx, a, Outcome{Reason: reasonExpired, Final: true}, ByExpiry)
		case a.Calls < maxCalls && (now.Before(a.ValidUntil) || never && a.Kind != Charge):
			// The order did not arrive, or is on its way: under the same
			// reference it has one effect either way.
			return toDoIt, s.submit(ctx, tx, a)
		case never:
			return nothing, s.fail(ctx, tx, a, Outcome{Reason: reasonNeverArrived}, ByQuery)
		}
	} else {
		s.Log.WarnContext(ctx, "a payment provider gave no answer", "provider", a.Provider, "payment", a.ID, "err", asking)
	}
	return nothing, s.leaveUnknown(ctx, tx, a)
}

// leaveUnknown keeps an attempt unknown, to be asked about later.
func (s *Service) leaveUnknown(ctx context.Context, tx Tx, a *Attempt) error {
	wait := firstQuery
	for i := int64(0); i < a.Queries && wait < maxWait; i++ {
		wait *= 3
	}
	a.State, a.NextAt = Unknown, s.now().Add(min(wait, maxWait))
	return tx.PutPaymentAttempt(ctx, a)
}

// Receive takes a notice of the provider of that name, as it came with its
// signature. A notice that was taken before has no effect. ErrForged;
// billing.ErrInvalid for a provider that is not here. Any other error means that
// it was not taken and is to be sent again.
func (s *Service) Receive(ctx context.Context, provider, signature string, body []byte) error {
	p, err := s.provider(provider)
	if err != nil {
		return err
	}
	n, err := p.Verify(signature, body, s.now())
	if err != nil {
		return fmt.Errorf("reading a notice of %s: %w", provider, err)
	}
	if err := checkNotice(&n); err != nil {
		return fmt.Errorf("reading a notice of %s: %w", provider, err)
	}
	err = s.Store.Do(ctx, func(tx Tx) error {
		known, err := tx.NoteNotice(ctx, provider, n.ID, n.Reference, s.now())
		if err != nil || known {
			return err
		}
		return s.notice(ctx, tx, provider, &n)
	})
	if err != nil {
		return fmt.Errorf("taking notice %s of %s: %w", n.ID, provider, err)
	}
	return nil
}

func checkNotice(n *Notice) error {
	if n.ID == "" || len(n.ID) > maxName || len(n.Reference) > maxName || len(n.Bill) > maxName || len(n.Outcome.Payer) > maxName || len(n.Outcome.Means) > maxName {
		return invalid("the notice lacks its id, or a text is longer than %d bytes", maxName)
	}
	if n.Reference == "" && n.Outcome.ProviderRef == "" {
		return invalid("the notice names neither our reference nor the provider's")
	}
	return nil
}

// notice finds the attempt that a notice is about.
func (s *Service) notice(ctx context.Context, tx Tx, provider string, n *Notice) error {
	var a Attempt
	err := billing.ErrNotFound
	if n.Outcome.ProviderRef != "" {
		// Under one reference money may have been taken twice: each is what the
		// provider calls it.
		a, err = tx.PaymentAttemptDone(ctx, provider, n.Outcome.ProviderRef)
	}
	switch {
	case !errors.Is(err, billing.ErrNotFound):
	case n.Reference != "":
		a, err = tx.PaymentAttempt(ctx, n.Reference, true)
	case n.Bill != "":
		a, err = tx.PaymentAttemptOfBill(ctx, n.Bill)
	}
	if err == nil && a.Provider != provider {
		err = billing.ErrNotFound // one provider does not speak for another
	}
	if errors.Is(err, billing.ErrNotFound) {
		if n.Outcome.Result != ResultSucceeded {
			s.Log.WarnContext(ctx, "a notice about a payment that is not ours", "provider", provider, "notice", n.ID)
			return nil
		}
		return s.unmatched(ctx, tx, provider, n)
	}
	if err != nil {
		return err
	}
	return s.apply(ctx, tx, &a, n.Outcome, ByNotice)
}
