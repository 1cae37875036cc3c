package payment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"freeflow/billing"
)

// workAtOnce bounds what one round of Work takes on of each kind.
const workAtOnce = 500

// Work does one round of all that goes on by itself: makes the debits of trips
// and of days that have ended and the top-ups of wallets that are low, tries
// debits and attempts whose time has come, and gives back what payers without an
// account have over. It returns how much it took on. What fails is looked at
// again in a later round and keeps nobody else waiting; the errors come back
// joined. It can be run twice, and by several processes at once.
func (s *Service) Work(ctx context.Context) (int, error) {
	var problems []error
	total := 0
	note := func(n int, err error) {
		total += n
		if err != nil {
			problems = append(problems, err)
		}
	}
	note(s.makeTrips(ctx))
	note(s.makeTopUps(ctx))
	note(s.CloseDays(ctx))
	note(s.each(ctx, "giving back what is over", func(tx Tx) ([]string, error) { return tx.IdleMoney(ctx, workAtOnce) }, s.giveIdle))
	note(s.each(ctx, "trying debits", func(tx Tx) ([]string, error) { return tx.DueDebits(ctx, s.now(), workAtOnce) }, s.tryDebit))
	note(s.each(ctx, "taking payments on", func(tx Tx) ([]string, error) {
		due, err := tx.PaymentAttempts(ctx, Filter{Due: s.now(), Limit: workAtOnce})
		ids := make([]string, len(due))
		for i := range due {
			ids[i] = due[i].ID
		}
		return ids, err
	}, s.Step))
	return total, errors.Join(problems...)
}

// Run works in rounds until ctx ends, one every so often, and logs what fails.
func (s *Service) Run(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := s.Work(ctx); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "payments: a round of work failed in part", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// each does one thing for each of a list, so many at a time.
func (s *Service) each(ctx context.Context, what string, list func(Tx) ([]string, error), do func(context.Context, string) error) (int, error) {
	var ids []string
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		ids, err = list(tx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	failed := make([]error, len(ids))
	var g errgroup.Group
	g.SetLimit(s.Parallel)
	for i, id := range ids {
		g.Go(func() error {
			if failed[i] = ctx.Err(); failed[i] == nil {
				failed[i] = do(ctx, id)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in failed
	if err := errors.Join(failed...); err != nil {
		return len(ids), fmt.Errorf("%s: %w", what, err)
	}
	return len(ids), nil
}

// errNothing ends a look that found nothing.
var errNothing = errors.New("nothing to do")

// forgetEvery is how often wallets that are no longer low are looked for.
const forgetEvery = time.Minute

// forgetLow forgets, now and then, who is no longer low.
func (s *Service) forgetLow(ctx context.Context) error {
	now := s.now()
	if last := s.forgot.Load(); last != nil && now.Sub(*last) < forgetEvery {
		return nil
	}
	if err := s.Store.Do(ctx, func(tx Tx) error { return tx.ForgetLow(ctx, now) }); err != nil {
		return err
	}
	s.forgot.Store(&now)
	return nil
}

// makeTrips makes a debit of each new receivable of those who pay per trip.
func (s *Service) makeTrips(ctx context.Context) (int, error) {
	// A look first: where there is nothing, nobody waits for the writer.
	made, err := 0, s.Store.View(ctx, func(tx Tx) error {
		list, err := tx.TripsToDebit(ctx, s.now(), 1)
		if err == nil && len(list) == 0 {
			err = errNothing
		}
		return err
	})
	if errors.Is(err, errNothing) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking for trips to debit: %w", err)
	}
	err = s.Store.Do(ctx, func(tx Tx) error {
		made = 0
		list, err := tx.TripsToDebit(ctx, s.now(), workAtOnce)
		if err != nil {
			return err
		}
		for _, r := range list {
			d := Debit{
				ID: fmt.Sprintf("%s:%s:%d", ForTrip, r.ID, r.Posting), Purpose: ForTrip, Account: r.Account, Currency: r.Currency,
				Items: []Item{{r.ID, r.Posting, r.RestCents()}}, State: DebitOpen, NextAt: s.now(), CreatedAt: s.now(),
			}
			known, err := tx.PutPaymentDebit(ctx, &d)
			if err != nil {
				return err
			}
			if !known {
				made++
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("making debits of trips: %w", err)
	}
	return made, nil
}

// makeTopUps tells owners of low wallets, and begins to top them up.
func (s *Service) makeTopUps(ctx context.Context) (int, error) {
	var list []Low
	err := s.forgetLow(ctx)
	if err == nil {
		err = s.Store.View(ctx, func(tx Tx) (err error) {
			list, err = tx.LowWallets(ctx, s.now(), workAtOnce)
			return err
		})
	}
	for _, low := range list {
		if err == nil {
			err = s.Store.Do(ctx, func(tx Tx) error { return s.topUpLow(ctx, tx, low.Means) })
		}
	}
	if err != nil {
		return 0, fmt.Errorf("topping wallets up: %w", err)
	}
	return len(list), nil
}

func (s *Service) topUpLow(ctx context.Context, tx Tx, m Means) error {
	// The count comes before the balance: whoever made one since then is met by
	// its id, and what it brought is in the balance.
	n, err := tx.TopUpsOf(ctx, m.Account)
	if err != nil {
		return err
	}
	w, err := tx.Wallet(ctx, m.Account, m.Currency)
	if err != nil || w.BalanceCents >= m.ThresholdCents {
		return err
	}
	first, err := tx.TellLow(ctx, m.Account, s.now())
	if err != nil {
		return err
	}
	if first {
		err := s.tell(ctx, tx, Event{
			ID: fmt.Sprintf("%s:%s:%d", EventLowBalance, m.Account, s.now().UnixMicro()), Kind: EventLowBalance, Account: m.Account, About: m.Account,
			AmountCents: w.BalanceCents, Currency: m.Currency,
		})
		if err != nil {
			return err
		}
	}
	if m.TopUpCents == 0 {
		return nil
	}
	_, err = tx.PutPaymentDebit(ctx, &Debit{
		ID: fmt.Sprintf("%s:%s:%d", ForTopUp, m.Account, n+1), Purpose: ForTopUp, Account: m.Account, Currency: m.Currency,
		AmountCents: m.TopUpCents, State: DebitOpen, MeansRevision: m.Revision, NextAt: s.now(), CreatedAt: s.now(),
	})
	return err
}

const dayForm = "2006-01-02"

// CloseDays makes the daily debits of each day of the zone that has ended and
// was not closed yet: of each account that pays so as the day ends, what was
// posted until then. What is posted for the day later goes to the next. Days
// before the first that was ever closed are left alone.
func (s *Service) CloseDays(ctx context.Context) (int, error) {
	made := 0
	for {
		day, err := s.dayToClose(ctx)
		if err != nil || day == "" {
			return made, err
		}
		n, err := s.closeDay(ctx, day)
		made += n
		if err != nil {
			return made, fmt.Errorf("closing day %s: %w", day, err)
		}
	}
}

// dayToClose is the first day that has ended and is not closed; empty if all
// are.
func (s *Service) dayToClose(ctx context.Context) (string, error) {
	ended := s.now().In(s.Zone).Add(-s.Times.CloseAfter)
	yesterday := time.Date(ended.Year(), ended.Month(), ended.Day()-1, 12, 0, 0, 0, s.Zone).Format(dayForm)
	var last string
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		last, err = tx.LastClosedDay(ctx)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("looking for days to close: %w", err)
	}
	if last == "" {
		return yesterday, nil
	}
	if last >= yesterday {
		return "", nil
	}
	noon, err := time.ParseInLocation(dayForm+" 15", last+" 12", s.Zone)
	if err != nil {
		return "", fmt.Errorf("looking for days to close: %w", err)
	}
	return noon.AddDate(0, 0, 1).Format(dayForm), nil
}

// accountsAtOnce bounds one transaction of closing a day.
const accountsAtOnce = 50

func (s *Service) closeDay(ctx context.Context, day string) (int, error) {
	noon, err := time.ParseInLocation(dayForm+" 15", day+" 12", s.Zone)
	if err != nil {
		return 0, err
	}
	end := time.Date(noon.Year(), noon.Month(), noon.Day()+1, 0, 0, 0, 0, s.Zone)
	total := 0
	for {
		made, done := 0, false
		err := s.Store.Do(ctx, func(tx Tx) error {
			made, done = 0, false
			at, err := tx.ClosingDay(ctx, day)
			if err != nil || at.Done {
				done = at.Done
				return err
			}
			accounts, err := tx.AccountsPaying(ctx, Daily, end.Add(-time.Microsecond), at.After, accountsAtOnce)
			if err != nil {
				return err
			}
			for i := range accounts {
				n, err := s.makeDaily(ctx, tx, &accounts[i], day, end)
				if err != nil {
					return err
				}
				made += n
				at.After = accounts[i].Account
			}
			at.Done = len(accounts) < accountsAtOnce
			done = at.Done
			return tx.PutClosingDay(ctx, at)
		})
		if err != nil {
			return total, err
		}
		total += made
		if done {
			return total, nil
		}
	}
}

// makeDaily makes the one debit of an account and day, if there is anything.
func (s *Service) makeDaily(ctx context.Context, tx Tx, m *Means, day string, end time.Time) (int, error) {
	list, err := tx.NotDebited(ctx, m.Account, m.Currency, end, mostItems)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	d := Debit{
		ID: strings.Join([]string{ForDaily, day, m.Currency, m.Account}, ":"), Purpose: ForDaily, Account: m.Account, Day: day, Currency: m.Currency,
		State: DebitOpen, MeansRevision: m.Revision, NextAt: s.now(), CreatedAt: s.now(),
	}
	for _, r := range list {
		d.Items = append(d.Items, Item{r.ID, r.Posting, r.RestCents()})
	}
	if _, err := tx.PutPaymentDebit(ctx, &d); err != nil {
		return 0, err
	}
	return 1, nil
}

// tryDebit begins the next try of a debit whose time has come, and gives the
// order.
func (s *Service) tryDebit(ctx context.Context, id string) error {
	attempt := ""
	err := s.Store.Do(ctx, func(tx Tx) (err error) {
		attempt, err = s.beginDebit(ctx, tx, id)
		return err
	})
	if errors.Is(err, billing.ErrConflict) || errors.Is(err, billing.ErrStale) {
		// Somebody else's try, or a payment by hand, is under way.
		err = s.Store.Do(ctx, func(tx Tx) error { return s.postpone(ctx, tx, id) })
		attempt = ""
	}
	if err != nil {
		return fmt.Errorf("trying debit %s: %w", id, err)
	}
	if attempt == "" {
		return nil
	}
	return s.Step(ctx, attempt)
}

// due reads an open debit whose time has come.
func (s *Service) due(ctx context.Context, tx Tx, id string) (d Debit, ok bool, err error) {
	d, err = tx.PaymentDebit(ctx, id)
	return d, err == nil && d.State == DebitOpen && !d.NextAt.IsZero() && !d.NextAt.After(s.now()), err
}

func (s *Service) postpone(ctx context.Context, tx Tx, id string) error {
	d, ok, err := s.due(ctx, tx, id)
	if err != nil || !ok {
		return err
	}
	d.NextAt = s.now().Add(busyWait)
	_, err = tx.PutPaymentDebit(ctx, &d)
	return err
}

// beginDebit keeps an attempt for all that is still owed of a debit.
func (s *Service) beginDebit(ctx context.Context, tx Tx, id string) (attempt string, err error) {
	d, ok, err := s.due(ctx, tx, id)
	if err != nil || !ok {
		return "", err
	}
	m, err := tx.MeansAt(ctx, d.Account, s.now())
	if err != nil && !errors.Is(err, billing.ErrNotFound) {
		return "", err
	}
	if err != nil || m.Token == "" || s.providers[m.Provider] == nil {
		d.State, d.NextAt = DebitFailed, time.Time{}
		if _, err := tx.PutPaymentDebit(ctx, &d); err != nil {
			return "", err
		}
		return "", s.tell(ctx, tx, Event{Kind: EventGivenUp, About: d.ID, Account: d.Account, Currency: d.Currency, Text: "no-means"})
	}
	a := s.newAttempt("", Attempt{
		Kind: Charge, Purpose: d.Purpose, Provider: m.Provider, Debit: d.ID, Account: d.Account, Holder: d.Account, Means: m.Kind, Token: m.Token,
		AmountCents: d.AmountCents, Currency: d.Currency,
	})
	// What is owed is looked at under the claim: who paid it a moment ago has let
	// go, and is seen.
	debts, _ := debtsOf(d.Items)
	if d.Purpose == ForTopUp {
		debts = []string{topUpDebt(d.Account)}
	}
	if err := tx.ClaimDebts(ctx, a.ID, debts); err != nil {
		return "", err
	}
	if d.Purpose == ForTopUp {
		w, err := tx.Wallet(ctx, d.Account, d.Currency)
		if err != nil {
			return "", err
		}
		if w.BalanceCents >= m.ThresholdCents {
			d.State, d.NextAt = DebitOver, time.Time{}
			return "", s.giveUpClaim(ctx, tx, &a, &d)
		}
	} else {
		owed, held, err := s.stillOwed(ctx, tx, &d)
		if err != nil {
			return "", err
		}
		a.Items = owed
		if _, a.AmountCents = debtsOf(a.Items); len(a.Items) == 0 {
			d.State, d.NextAt = DebitPaid, time.Time{}
			if held {
				d.State, d.NextAt = DebitOpen, s.now().Add(heldWait)
			}
			return "", s.giveUpClaim(ctx, tx, &a, &d)
		}
	}
	if err := checkAmount("a debit", a.AmountCents); err != nil {
		return "", err
	}
	d.Tries++
	d.MeansRevision, d.NextAt = m.Revision, time.Time{}
	if _, err := tx.PutPaymentDebit(ctx, &d); err != nil {
		return "", err
	}
	if err := tx.PutPaymentAttempt(ctx, &a); err != nil {
		return "", err
	}
	if d.Purpose != ForDaily {
		return a.ID, nil
	}
	return a.ID, s.tell(ctx, tx, Event{
		Kind: EventProcessing, About: a.ID, Account: a.Account, AmountCents: a.AmountCents, Currency: a.Currency, Count: int64(len(a.Items)), Day: d.Day,
	})
}

// giveUpClaim keeps a debit that needs no try now, and lets go of what was
// claimed for one.
func (s *Service) giveUpClaim(ctx context.Context, tx Tx, a *Attempt, d *Debit) error {
	if err := tx.ReleaseDebts(ctx, a.ID); err != nil {
		return err
	}
	_, err := tx.PutPaymentDebit(ctx, d)
	return err
}

// topUpDebt is what top-ups of an account claim.
func topUpDebt(account string) string { return ForTopUp + ":" + account }

// stillOwed are those of a debit's items that its account still owes as they
// were taken up. What is held meanwhile is left to a later day's debit, or, of a
// trip, makes the debit wait: held.
func (s *Service) stillOwed(ctx context.Context, tx Tx, d *Debit) (owed []Item, held bool, err error) {
	for _, one := range d.Items {
		r, err := tx.Receivable(ctx, one.Receivable)
		switch {
		case errors.Is(err, billing.ErrNotFound):
			continue
		case err != nil:
			return nil, false, err
		case r.Account != d.Account || r.Posting != one.Posting || r.RestCents() <= 0 || r.Currency != d.Currency:
			continue
		case r.Hold != "" && d.Purpose == ForTrip:
			held = true
			continue
		case r.Hold != "":
			if err := tx.DropDebitItem(ctx, one); err != nil {
				return nil, false, err
			}
			continue
		}
		owed = append(owed, Item{one.Receivable, one.Posting, r.RestCents()})
	}
	return owed, held, nil
}

// debtsOf returns what items are for and their sum.
func debtsOf(items []Item) (debts []string, cents int64) {
	for _, one := range items {
		debts = append(debts, one.Receivable)
		cents += one.AmountCents
	}
	return debts, cents
}

// giveIdle pays with what a payer without an account has over what the payment
// was for, if that is owed anew, and gives the rest back.
func (s *Service) giveIdle(ctx context.Context, id string) error {
	return s.Store.Do(ctx, func(tx Tx) error {
		a, err := tx.PaymentAttempt(ctx, id, true)
		if err != nil || a.State != Succeeded {
			return err
		}
		return s.spend(ctx, tx, &a)
	})
}
