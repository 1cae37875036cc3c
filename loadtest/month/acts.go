package month

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/bankemu"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/billing/payment"
	"freeflow/billing/recovery"
	"freeflow/loadtest/month/reckon"
)

// rungs are the kinds of the ladder's notices, in order.
var rungs = []string{notice.Payment, notice.FirstSurcharge, notice.SecondSurcharge, notice.LicenceHold}

// people lets people do what they do at an hour.
func (w *world) people(ctx context.Context, at time.Duration) error {
	var run func(context.Context, *person) error
	switch at {
	case morning:
		if err := w.climb(ctx); err != nil {
			return err
		}
		return w.keepBooks(ctx)
	case noon:
		run = w.atNoon
	case evening:
		run = w.atEvening
	default:
		return nil
	}
	return w.timed("people with notices", func() error {
		for _, list := range [][]*person{w.cast.people, w.cast.strangers} {
			for _, p := range list {
				if p.habit.Pays || p.last().IsZero() {
					continue
				}
				if err := run(ctx, p); err != nil {
					return fmt.Errorf("%s: %w", p.id, err)
				}
			}
		}
		return nil
	})
}

// last is when somebody drove last.
func (p *person) last() time.Time {
	var last time.Time
	for _, v := range p.cars {
		if v.last.After(last) {
			last = v.last
		}
	}
	return last
}

// notices are the ladder's to somebody.
func (w *world) notices(ctx context.Context, p *person) (list []notice.Notice, err error) {
	err = w.sets[0].books.View(ctx, func(tx *books.Tx) error {
		if p.account() != "" {
			list, err = tx.NoticesOf(ctx, p.id, "", time.Time{}, 1000)
			return err
		}
		list, err = tx.NoticesOf(ctx, "", vehicleName(p.cars[0]), time.Time{}, 1000)
		return err
	})
	return slices.DeleteFunc(list, func(n notice.Notice) bool { return !slices.Contains(rungs, n.Kind) }), err
}

// vehicleName is a vehicle's name as passes have it: the plate of one that is
// registered, with its kind in front of one that is not.
func vehicleName(v *car) string {
	if v.story == stranger {
		return "plate:" + v.plate
	}
	return v.plate
}

// since is how many days ago an instant was, by the days of the zone.
func (w *world) since(at time.Time) int {
	day := func(t time.Time) int { return int((t.Unix() + 8*3600) / 86400) }
	return day(w.clock.Now()) - day(at)
}

// atNoon brings proofs that notices arrived, and staff waive surcharges.
func (w *world) atNoon(ctx context.Context, p *person) error {
	if p.habit.ProofAfter == 0 {
		return nil
	}
	list, err := w.notices(ctx, p)
	if err != nil {
		return err
	}
	for _, n := range list {
		if n.ServedAt.IsZero() && w.since(n.IssuedAt) >= p.habit.ProofAfter {
			channel := notice.Post
			if n.Account != "" {
				channel = notice.Email
			}
			err := w.sets[0].books.Do(ctx, func(tx *books.Tx) error {
				return notice.Prove(ctx, tx, n.ID, channel, w.clock.Now(), "receipt "+n.Number, "postman")
			})
			if err != nil {
				return err
			}
			w.counts["proofs of service"]++
		}
		if n.Kind == notice.FirstSurcharge && p.habit.Waived && w.since(n.IssuedAt) == 2 {
			if err := w.waive(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// waive waives the first surcharges of somebody whose notice is two days old.
func (w *world) waive(ctx context.Context, p *person) error {
	for _, v := range p.cars {
		err := w.sets[0].books.Do(ctx, func(tx *books.Tx) error {
			cases, err := tx.Cases(ctx, vehicleName(v), recovery.First, "", "", 1000)
			if err != nil {
				return err
			}
			for _, c := range cases {
				n, err := tx.Notice(ctx, c.Notice)
				if err != nil {
					return err
				}
				if c.Waived != "" || w.since(n.IssuedAt) != 2 {
					continue
				}
				_, err = w.sets[0].ladder.Waive(ctx, tx, c.Receivable, 1, recovery.Deed{By: "supervisor", Role: "operator", Reason: "was in hospital", Now: w.clock.Now()})
				if err != nil {
					return err
				}
				w.counts["surcharges waived"]++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// atEvening lets people pay by the number of a notice.
func (w *world) atEvening(ctx context.Context, p *person) error {
	if p.habit.OnRung < 0 || p.habit.ProofAfter == 0 {
		return nil
	}
	list, err := w.notices(ctx, p)
	if err != nil {
		return err
	}
	for _, n := range list {
		if n.Kind != rungs[p.habit.OnRung] || n.ServedAt.IsZero() || w.since(n.ServedAt) < p.habit.PayAfter {
			continue
		}
		if err := w.payNotice(ctx, p, n); err != nil {
			return fmt.Errorf("paying notice %s: %w", n.ID, err)
		}
	}
	return nil
}

func (w *world) payNotice(ctx context.Context, p *person, n notice.Notice) error {
	s := w.sets[0]
	plate := strings.TrimPrefix(n.Vehicle, "plate:")
	quote, err := s.pay.QuoteNotice(ctx, plate, n.Number)
	if err != nil || quote.TotalCents == 0 {
		return err
	}
	if _, err := s.pay.QuoteNotice(ctx, plate+"X", n.Number); !errors.Is(err, billing.ErrNotFound) {
		w.report.wrong("a notice of another plate is shown: %v", err)
	}
	r := payment.NoticeRequest{Vehicle: plate, Number: n.Number, Token: p.other}
	if p.fps {
		r.Token = ""
	}
	var a payment.Attempt
	err = s.books.Do(ctx, func(tx *books.Tx) (err error) {
		a, err = s.pay.PayNotice(ctx, tx, r)
		return err
	})
	if errors.Is(err, billing.ErrConflict) {
		return nil // yesterday's try is under way
	}
	if err != nil {
		return err
	}
	w.counts["payments by notice"]++
	if p.fps {
		_ = w.bank.emulator.Send(ctx, a.Bill, p.other, a.AmountCents, currency) // what is not taken is sent again
	}
	return nil
}

// planPeople plans the outage and the charge-backs.
func (w *world) planPeople() {
	w.on(w.day(14).Add(noon), w.outage)
	w.planTolls()
	w.planDisputes()
	for i, p := range w.cast.people {
		if p.way == daily && !p.broke && p.kind == "individual" && p.closes.IsZero() && i%50 == 7 {
			w.on(w.day(w.days-3).Add(noon), func(ctx context.Context) error { return w.takeBack(ctx, p) })
		}
	}
}

// outage records that nobody could pay for two days.
func (w *world) outage(ctx context.Context) error {
	from, to := w.day(12).Add(10*time.Hour), w.day(13).Add(15*time.Hour)
	w.ladder.Pauses = append(w.ladder.Pauses, reckon.Pause{From: w.day(12), To: w.day(14), Recorded: w.clock.Now()})
	return w.sets[0].books.Do(ctx, func(tx *books.Tx) error {
		return w.sets[0].ladder.Outage(ctx, tx, "outage-1", from, to, recovery.Deed{By: "supervisor", Role: "operator", Reason: "the web site was down", Now: w.clock.Now()})
	})
}

// takeBack lets somebody's bank take the latest debit back. Every other one
// pays it by hand three days later.
func (w *world) takeBack(ctx context.Context, p *person) error {
	list, err := w.sets[0].pay.History(ctx, p.id, time.Time{}, "", 100)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(a payment.Attempt) bool {
		return a.Kind == payment.Charge && a.State == payment.Succeeded && a.RefundedCents == 0 && w.bank.emulator.Taken(a.ID) == a.MovedCents
	})
	if i < 0 {
		return nil
	}
	// Only its notice says it, so that one is not lost.
	w.bank.emulator.Behave()
	w.bank.emulator.Tell(bankemu.Rule{On: bankemu.OnNotice, Do: bankemu.Duplicate, Times: 1})
	_ = w.bank.emulator.TakeBack(ctx, list[i].ID) // its notice is sent again until it is taken
	w.counts["charge-backs"]++
	p.uneven = true
	if w.rng.IntN(2) == 0 {
		return nil
	}
	w.on(w.day(w.days).Add(noon), func(ctx context.Context) error { return w.payByHand(ctx, p) })
	return nil
}

// payByHand lets an owner pay all that is open.
func (w *world) payByHand(ctx context.Context, p *person) error {
	s := w.sets[0]
	err := s.books.Do(ctx, func(tx *books.Tx) error {
		open, err := tx.Receivables(ctx, billing.ReceivableFilter{Account: p.id, Open: true, Limit: 100})
		if err != nil || len(open) == 0 {
			return err
		}
		var ids []string
		for _, r := range open {
			ids = append(ids, r.ID)
		}
		_, err = s.pay.Pay(ctx, tx, payment.PayRequest{Account: p.id, Receivables: ids, Provider: "bank", Token: p.other})
		return err
	})
	if err == nil {
		p.uneven = false
		w.counts["payments by hand"]++
	}
	return err
}
