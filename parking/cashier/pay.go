package cashier

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/parking"
	"freeflow/parking/stay"
)

// priceHold is how long an amount that was shown is still taken in full.
const priceHold = 5 * time.Minute

var means = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// markNames are the names that a plate or ticket, typed in by somebody, can be.
func markNames(mark string) []string {
	if mark == "" || len(mark) > maxMark || strings.Contains(mark, ":") {
		return nil
	}
	return []string{mark, stay.TicketName(mark)}
}

// errNothingDue says nothing about whether the car is there.
func errNothingDue(carPark string) error {
	return fmt.Errorf("nothing is to be paid for that plate or ticket at %.64q: %w", carPark, parking.ErrNotFound)
}

// dueStay finds what the holder of the mark can pay, and how much: the stay
// inside, else the oldest that was left unpaid. Stays that an account pays, that
// a person decides about, or that cost nothing are as if they were not there.
func (c *Cashier) dueStay(ctx context.Context, tx parking.Tx, carPark, mark string) (parking.Stay, int64, error) {
	none := parking.Stay{}
	names := markNames(mark)
	if len(names) == 0 {
		return none, 0, errNothingDue(carPark)
	}
	s, err := c.newScope(tx, carPark, false)
	if err != nil {
		return none, 0, err
	}
	if err := s.gather(ctx, names, s.now, s.now); err != nil {
		if errors.Is(err, errTooManyNames) {
			err = errNothingDue(carPark)
		}
		return none, 0, err
	}
	taken, err := s.assign(ctx)
	if err != nil {
		return none, 0, err
	}
	s.share(taken)
	best, due := -1, int64(0)
	for i := range s.derived {
		d, r := &s.derived[i], &s.settled[i]
		if r.Revision == 0 || r.Means != parking.PaysTicket || r.State == parking.Review || d.Plate != mark && d.Ticket != mark {
			continue
		}
		b, err := s.bill(ctx, i)
		if err != nil {
			return none, 0, err
		}
		if b.DueCents > 0 && (best < 0 || d.Open) {
			best, due = i, b.DueCents
		}
	}
	if best >= 0 {
		return s.settled[best].Stay, due, nil
	}
	return c.olderDue(ctx, tx, s, mark)
}

// olderDue looks for stays that were left unpaid before the window.
func (c *Cashier) olderDue(ctx context.Context, tx parking.Tx, s *scope, mark string) (parking.Stay, int64, error) {
	for st, err := range c.staysOf(ctx, tx, s.site.ID, mark, lookFar) {
		if err != nil {
			return st, 0, err
		}
		if st.State == parking.Closed && st.Means == parking.PaysTicket && st.AmountCents > st.PaidCents {
			return st, st.AmountCents - st.PaidCents, nil
		}
	}
	return parking.Stay{}, 0, errNothingDue(s.site.ID)
}

// staysOf goes over the stays of a plate or ticket that began at most back ago,
// oldest first.
func (c *Cashier) staysOf(ctx context.Context, tx parking.Tx, carPark, mark string, back time.Duration) iter.Seq2[parking.Stay, error] {
	return func(yield func(parking.Stay, error) bool) {
		for _, n := range markNames(mark) {
			p := parking.Page{Limit: pageSize, From: c.p.Clock.Now().Add(-back)}
			for range maxPages {
				list, err := tx.Stays(ctx, carPark, n, p)
				if err != nil {
					yield(parking.Stay{}, fmt.Errorf("listing a vehicle's stays: %w", err))
					return
				}
				for _, st := range list {
					if slices.Contains(st.Flags, Superseded) || st.Plate != mark && st.Ticket != mark {
						continue
					}
					if !yield(st, nil) {
						return
					}
				}
				if len(list) < p.Limit {
					break
				}
				p.After = list[len(list)-1].ID
			}
		}
	}
}

// Due says what is to be paid for a plate or ticket. ErrNotFound where nothing
// is, whether the car was ever there or not: who only knows a plate learns
// nothing of a car that owes nothing.
func (c *Cashier) Due(ctx context.Context, carPark, mark string) (due Due, err error) {
	err = c.p.Keeping.View(ctx, func(tx parking.Tx) error {
		due = Due{}
		stay, amount, err := c.dueStay(ctx, tx, carPark, mark)
		if err != nil {
			return err
		}
		s, err := c.newScope(tx, carPark, false)
		if err != nil {
			return err
		}
		due = Due{CarPark: carPark, AmountCents: amount, Currency: stay.Currency, GraceMinutes: int(s.grace(&record{Stay: stay}) / time.Minute)}
		return nil
	})
	return due, err
}

// Pay takes money for a stay: at a machine by its id, or by plate or ticket.
// The same PaymentID with the same content again changes nothing, with other
// content is ErrConflict. ErrInvalid: more than is due, or what cannot be.
// ErrConflict: an account, a pass or a person pays. ErrNotFound. Who paid by
// plate may be told the amounts of the bill, and not its times.
func (c *Cashier) Pay(ctx context.Context, r PayRequest, keep Keep[Bill]) (Result[Bill], error) {
	switch {
	case r.AmountCents <= 0:
		return Result[Bill]{}, fmt.Errorf("paying: the amount must be positive: %w", parking.ErrInvalid)
	case !means.MatchString(r.Means):
		return Result[Bill]{}, fmt.Errorf("paying: means %.64q is not 1 to 32 lower-case letters, digits or hyphens: %w", r.Means, parking.ErrInvalid)
	case r.PaymentID == "" || !text(r.PaymentID, maxID):
		return Result[Bill]{}, fmt.Errorf("paying: the payment's id has 1 to %d bytes of text: %w", maxID, parking.ErrInvalid)
	}
	return do(ctx, c, keep, func(tx parking.Tx) (Bill, error) {
		id := r.Stay
		if id == "" {
			if known, err := c.paidBefore(ctx, tx, &r); known != "" || err != nil {
				return c.repaid(ctx, tx, known, err)
			}
			st, _, err := c.dueStay(ctx, tx, r.CarPark, r.Mark)
			if err != nil {
				return Bill{}, err
			}
			id = st.ID
		}
		return c.change(ctx, tx, id, func(s *scope, rec *record) error { return s.takePayment(ctx, rec, &r) })
	})
}

// paidBefore looks for the payment among the stays of the mark, where the
// repetition of a payment finds nothing due any more.
func (c *Cashier) paidBefore(ctx context.Context, tx parking.Tx, r *PayRequest) (stayID string, err error) {
	for st, err := range c.staysOf(ctx, tx, r.CarPark, r.Mark, lookFar) {
		if err != nil {
			return "", err
		}
		rec, err := read(st)
		if err != nil {
			return "", err
		}
		if p := rec.payment(r.PaymentID); p != nil {
			return st.ID, p.equals(r)
		}
	}
	return "", nil
}

func (c *Cashier) repaid(ctx context.Context, tx parking.Tx, id string, err error) (Bill, error) {
	if err != nil {
		return Bill{}, err
	}
	s, _, err := c.at(ctx, tx, id, false)
	if err != nil {
		return Bill{}, err
	}
	return s.billOf(ctx, id)
}

// payment returns the payment of that id, nil if there is none.
func (r *record) payment(id string) *paymentNote {
	for i := range r.details.Notes {
		if p := r.details.Notes[i].Payment; p != nil && p.ID == id {
			return p
		}
	}
	return nil
}

func (p *paymentNote) equals(r *PayRequest) error {
	if p.AmountCents != r.AmountCents || p.Means != r.Means {
		return fmt.Errorf("paying: payment %.64q was of %s by %s: %w", p.ID, billing.FormatCents(p.AmountCents), p.Means, parking.ErrConflict)
	}
	return nil
}

// takePayment puts the payment on the stay.
func (s *scope) takePayment(ctx context.Context, r *record, p *PayRequest) error {
	if old := r.payment(p.PaymentID); old != nil {
		return old.equals(p)
	}
	i := slices.IndexFunc(s.derived, func(d stay.Stay) bool { return d.Belongs(r.anchor()) })
	if i < 0 {
		return fmt.Errorf("paying: stay %s has changed: %w", r.ID, parking.ErrStale)
	}
	d := &s.derived[i]
	if r.State == parking.Review || r.Means != parking.PaysTicket {
		return fmt.Errorf("paying: stay %s is paid by %s, state %s: %w", r.ID, r.Means, r.State, parking.ErrConflict)
	}
	at := s.now
	var due int64
	var full bool
	if d.Open {
		price, err := s.rate(ctx, d, r, s.now)
		if err != nil {
			return fmt.Errorf("paying: %w: %w", err, parking.ErrConflict)
		}
		s.applyDecision(d, &price)
		due = price.receipt.TotalCents - r.PaidCents
		full = p.AmountCents == due
		if !full {
			if at, full = s.wasDue(ctx, d, r, p.AmountCents); full {
				due = p.AmountCents
			}
		}
	} else {
		due, at = r.AmountCents-r.PaidCents, d.Exit
		full = p.AmountCents == due
	}
	if p.AmountCents > due {
		return fmt.Errorf("paying: %s is more than the %s that is due: %w", billing.FormatCents(p.AmountCents), billing.FormatCents(max(0, due)), parking.ErrInvalid)
	}
	n := note{Kind: notePayment, At: s.now, Payment: &paymentNote{
		ID: p.PaymentID, AmountCents: p.AmountCents, Means: p.Means, KeptCents: p.AmountCents,
	}}
	if full {
		n.Payment.For = at
	}
	return s.put(r, n)
}

// wasDue reports whether the amount was what was due some minutes ago, when it
// was shown, and when that was.
func (s *scope) wasDue(ctx context.Context, d *stay.Stay, r *record, amount int64) (time.Time, bool) {
	for back := time.Minute; back <= priceHold; back += time.Minute {
		at := s.now.Add(-back)
		if !at.After(d.Visits[len(d.Visits)-1].Entry) {
			break
		}
		price, err := s.rate(ctx, d, r, at)
		if err == nil && price.receipt.TotalCents-r.PaidCents == amount {
			return at, true
		}
	}
	return s.now, false
}

// Refund gives back what was paid too much for a closed stay. ErrConflict where
// nothing was. Bill.Payments shows what to give back by which means.
func (c *Cashier) Refund(ctx context.Context, q RefundRequest, keep Keep[Bill]) (Result[Bill], error) {
	if err := said(q.By, q.Reason); err != nil {
		return Result[Bill]{}, fmt.Errorf("refunding: %w", err)
	}
	return do(ctx, c, keep, func(tx parking.Tx) (Bill, error) {
		st, err := tx.Stay(ctx, q.Stay)
		if err != nil {
			return Bill{}, fmt.Errorf("refunding stay %.64q: %w", q.Stay, err)
		}
		if slices.Contains(st.Flags, Superseded) {
			return c.refundGone(ctx, tx, st, q)
		}
		return c.change(ctx, tx, q.Stay, func(s *scope, r *record) error {
			credit := r.PaidCents - r.AmountCents
			if r.State != parking.Closed || credit <= 0 {
				return fmt.Errorf("refunding stay %s: nothing was paid too much: %w", r.ID, parking.ErrConflict)
			}
			s.giveBack(r.ID, credit, q)
			return nil
		})
	})
}

// giveBack takes an amount off the stay's payments, the latest first.
func (s *scope) giveBack(id string, credit int64, q RefundRequest) {
	for i := len(s.notes) - 1; i >= 0 && credit > 0; i-- {
		n := &s.notes[i]
		if n.stay != id || n.Payment == nil {
			continue
		}
		back := min(credit, n.Payment.KeptCents)
		n.Payment.KeptCents -= back
		n.By, n.Reason = q.By, q.Reason
		credit -= back
	}
}

// refundGone gives back everything that was paid for a stay of which nothing is
// left.
func (c *Cashier) refundGone(ctx context.Context, tx parking.Tx, st parking.Stay, q RefundRequest) (Bill, error) {
	s, _, err := c.at(ctx, tx, st.ID, true)
	if err != nil {
		return Bill{}, err
	}
	if st.PaidCents <= 0 {
		return Bill{}, fmt.Errorf("refunding stay %s: nothing was paid too much: %w", st.ID, parking.ErrConflict)
	}
	s.giveBack(st.ID, st.PaidCents, q)
	if err := s.conclude(ctx); err != nil {
		return Bill{}, err
	}
	return s.billOf(ctx, st.ID)
}

// said requires a name and a reason of whoever decides.
func said(by, reason string) error {
	if by == "" || reason == "" || !text(by, maxText) || len(reason) > 1000 {
		return fmt.Errorf("who decides, and why, must be said, in at most %d and 1000 bytes: %w", maxText, parking.ErrInvalid)
	}
	return nil
}
