package month

import (
	"context"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
	"freeflow/billing/payment"
)

// deed is a clerk's.
func (w *world) deed(reason string) account.Deed {
	return account.Deed{By: "clerk", Role: "operator", Reason: reason, Now: w.clock.Now()}
}

// openAccounts opens all accounts with their cars and tags, and says how each
// pays.
func (w *world) openAccounts(ctx context.Context) error {
	for _, p := range w.cast.people {
		if err := w.sets[0].books.Do(ctx, func(tx *books.Tx) error { return w.openAccount(ctx, tx, p) }); err != nil {
			return fmt.Errorf("account %s: %w", p.id, err)
		}
	}
	w.counts["accounts"] = int64(len(w.cast.people))
	for _, s := range w.sets {
		if err := s.follow.Load(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) openAccount(ctx context.Context, tx *books.Tx, p *person) error {
	d := w.deed("opened at the counter")
	_, err := account.OpenAccount(ctx, tx, account.Account{
		ID: p.id, Kind: p.kind, Name: p.name, Email: "a" + p.id[1:] + "@example.hk", Language: p.language, OpenedAt: p.openedAt(),
	}, d)
	if err != nil {
		return err
	}
	for _, v := range p.cars {
		if err := w.openCar(ctx, tx, v, d); err != nil {
			return err
		}
	}
	if p.tag != "" {
		if err := w.openClassTag(ctx, tx, p, d); err != nil {
			return err
		}
	}
	m := payment.Means{Account: p.id, Mode: payment.Prepaid, Currency: currency, By: "clerk"}
	switch p.way {
	case daily:
		m.Mode, m.Kind = payment.Daily, payment.Card
	case perTrip:
		m.Mode, m.Kind = payment.PerTrip, payment.Card
	case topUp:
		m.Kind, m.ThresholdCents, m.TopUpCents = payment.Card, 80_00, 200_00
	}
	if m.Kind != "" {
		m.Provider, m.Token = "bank", p.token
	}
	_, err = w.sets[0].pay.SetMeans(ctx, tx, m)
	if err == nil && p.way == ownMoney {
		err = w.counterMoney(ctx, tx, p.id, "opening:"+p.id, 150_00)
	}
	return err
}

func (w *world) openCar(ctx context.Context, tx *books.Tx, v *car, d account.Deed) error {
	if v.story == late {
		return nil // nobody has told us yet
	}
	_, err := account.Register(ctx, tx, account.Vehicle{ID: "v:" + v.plate, Account: v.owner.id, Plate: v.plate, Class: v.class, From: v.owner.openedAt()}, d)
	if err != nil || v.story == untagged {
		return err
	}
	return w.giveTag(ctx, tx, v, v.tag, v.owner.openedAt(), d)
}

// giveTag issues a tag and binds it to a car.
func (w *world) giveTag(ctx context.Context, tx *books.Tx, v *car, tag string, from time.Time, d account.Deed) error {
	if _, err := account.Issue(ctx, tx, account.Tag{Tag: tag, Kind: account.VehicleTag}, from, d); err != nil {
		return err
	}
	if _, err := account.Activate(ctx, tx, tag, v.owner.id, from, d); err != nil {
		return err
	}
	_, err := account.Bind(ctx, tx, tag, v.plate, from, d)
	return err
}

// openClassTag issues a class tag with a stored value.
func (w *world) openClassTag(ctx context.Context, tx *books.Tx, p *person, d account.Deed) error {
	t := account.Tag{Tag: p.tag, Kind: account.ClassTag, Class: "lgv", Currency: currency}
	if _, err := account.Issue(ctx, tx, t, p.openedAt(), d); err != nil {
		return err
	}
	if _, err := account.Activate(ctx, tx, p.tag, p.id, p.openedAt(), d); err != nil {
		return err
	}
	return w.counterMoney(ctx, tx, billing.HolderTag+p.tag, "load:"+p.id, p.loaded)
}

// counterMoney is money paid in over a counter. Whoever calls it counts what
// was kept.
func (w *world) counterMoney(ctx context.Context, tx *books.Tx, holder, id string, cents int64) error {
	_, err := tx.Move(ctx, billing.Movement{
		ID: id, Kind: billing.Receipt, Holder: holder, Means: "counter", AmountCents: cents, Currency: currency, At: w.clock.Now(), Note: "counter",
	}, w.clock.Now())
	return err
}

// counterOf is what somebody paid over the counter.
func (p *person) counterOf() int64 {
	if p.way == ownMoney {
		return 150_00
	}
	return p.loaded
}

// plan puts what happens to cars and accounts on its dates.
func (w *world) plan() {
	for _, v := range w.cast.cars {
		if v.plate == "" || v.story == plain || v.story == untagged || v.story == stranger {
			continue
		}
		w.on(v.told, func(ctx context.Context) error {
			err := w.sets[0].books.Do(ctx, func(tx *books.Tx) error { return w.tellStory(ctx, tx, v) })
			if err != nil {
				return fmt.Errorf("car %s, story %d: %w", v.plate, v.story, err)
			}
			w.counts["changes of cars and tags"]++
			return nil
		})
	}
	for _, p := range w.cast.people {
		if !p.closes.IsZero() {
			w.on(p.closes, func(ctx context.Context) error { return w.closeAccount(ctx, p) })
		}
	}
	w.planPeople()
}

// on puts something on an instant, which must be one of the script's.
func (w *world) on(at time.Time, act func(context.Context) error) {
	w.acts[at.Unix()] = append(w.acts[at.Unix()], act)
}

// tellStory tells the system what happened to a car.
func (w *world) tellStory(ctx context.Context, tx *books.Tx, v *car) error {
	d := w.deed("told by its owner")
	give := func(to *person, from, until time.Time) error {
		_, err := account.Transfer(ctx, tx, account.Vehicle{
			ID: fmt.Sprintf("v:%s:%s:%d", v.plate, to.id, from.Unix()), Account: to.id, Plate: v.plate, Class: v.class, From: from, To: until,
		}, d)
		return err
	}
	switch v.story {
	case replaced:
		if _, err := account.Issue(ctx, tx, account.Tag{Tag: v.tag2, Kind: account.VehicleTag}, v.at, d); err != nil {
			return err
		}
		if _, err := account.Lose(ctx, tx, v.tag, v.at, d); err != nil {
			return err
		}
		_, err := account.Replace(ctx, tx, v.tag, v.tag2, v.at, d)
		return err
	case lost:
		_, err := account.Lose(ctx, tx, v.tag, v.at, d)
		return err
	case sold, wrong:
		return give(v.other, v.at, time.Time{})
	case shifts:
		return give(v.other, v.at, v.at.Add(10*time.Hour))
	case late:
		_, err := account.Register(ctx, tx, account.Vehicle{ID: "v:" + v.plate, Account: v.owner.id, Plate: v.plate, Class: v.class, From: v.at}, d)
		if err != nil {
			return err
		}
		return w.giveTag(ctx, tx, v, v.tag, v.told, d)
	}
	return nil
}

// closeAccount closes an account; what it holds goes back two days later.
func (w *world) closeAccount(ctx context.Context, p *person) error {
	err := w.sets[0].books.Do(ctx, func(tx *books.Tx) error {
		_, err := account.Close(ctx, tx, p.id, w.clock.Now(), w.deed("the holder moves away"))
		return err
	})
	w.on(p.closes.AddDate(0, 0, 4), func(ctx context.Context) error {
		return w.sets[0].books.Do(ctx, func(tx *books.Tx) error {
			_, err := w.sets[0].pay.PayOutRest(ctx, tx, payment.CloseRequest{
				Staff: payment.Staff{By: "clerk", Reason: "account closed"}, Account: p.id, Currency: currency, Provider: "bank", Token: p.token,
			})
			return err
		})
	})
	w.on(p.closes.AddDate(0, 0, 8), func(ctx context.Context) error {
		w.counts["accounts closed"]++
		return w.sets[0].books.Do(ctx, func(tx *books.Tx) error {
			_, err := account.Settled(ctx, tx, p.id, w.deed("nothing is owed"))
			return err
		})
	})
	return err
}
