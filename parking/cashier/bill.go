package cashier

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/parking"
	"freeflow/parking/tariff"
)

// Means of paying, as LaneResult and Bill name them.
const (
	ByAccount = "account"
	ByCard    = "card"
	ByPass    = "pass"
	ByMachine = "machine"
	ByPlate   = "plate"
	ByTicket  = "ticket"
)

// Bill prices the stay; an open one as of now. ErrNotFound.
func (c *Cashier) Bill(ctx context.Context, id string) (b Bill, err error) {
	err = c.p.Keeping.View(ctx, func(tx parking.Tx) error {
		s, _, err := c.at(ctx, tx, id, false)
		if err != nil {
			return err
		}
		b, err = s.billOf(ctx, id)
		return err
	})
	return b, err
}

// billOf makes the bill of a stored stay, of a reader's scope.
func (s *scope) billOf(ctx context.Context, id string) (Bill, error) {
	taken, err := s.assign(ctx)
	if err != nil {
		return Bill{}, err
	}
	s.share(taken)
	if i, ok := taken[id]; ok {
		return s.bill(ctx, i)
	}
	r := s.find(id)
	return Bill{Stay: r.Stay, AsOf: s.now, PaidCents: r.PaidCents, CreditCents: r.PaidCents, Currency: r.Currency, Payments: payments(r)}, nil
}

// bill makes the bill of the i-th settled stay, as of now.
func (s *scope) bill(ctx context.Context, i int) (Bill, error) {
	r, d := &s.settled[i], &s.derived[i]
	b := Bill{
		Stay: r.Stay, AsOf: s.now, PaidCents: paid(r.details.Notes), Currency: r.Currency, Problem: r.details.Problem, Payments: payments(r),
	}
	switch {
	case d.Open:
		price, err := s.rate(ctx, d, r, s.now)
		switch {
		case errors.Is(err, errNoPrice):
			b.Problem = cut(err.Error(), 500)
		case err != nil:
			return b, err
		default:
			s.applyDecision(d, &price)
			if d.Holder.Exempt {
				setTotal(&price.receipt, 0, LineExempt, "The vehicle is exempt", "exempt", s.now)
			}
			b.Receipt = &price.receipt
			b.TotalCents = price.receipt.TotalCents
		}
	case len(r.Receipt) > 0:
		b.Receipt = new(tariff.Receipt)
		if err := json.Unmarshal(r.Receipt, b.Receipt); err != nil {
			return b, err
		}
		b.TotalCents = b.Receipt.TotalCents
	}
	b.CreditCents = 0
	if !d.Open && r.State != parking.Review {
		b.CreditCents = max(0, b.PaidCents-b.TotalCents)
	}
	b.PaysBy = s.paysBy(r)
	if r.Means == parking.PaysTicket && r.State != parking.Review {
		b.DueCents = max(0, b.TotalCents-b.PaidCents)
	}
	b.LeaveBy = s.leaveBy(r, b.DueCents)
	return b, nil
}

// paysBy are the means that can pay the stay.
func (s *scope) paysBy(r *record) []string {
	switch r.Means {
	case parking.PaysAccount:
		return []string{ByAccount}
	case parking.PaysCard:
		return []string{ByCard}
	case parking.PaysPass:
		return []string{ByPass}
	}
	list := []string{ByMachine}
	if r.Plate != "" {
		list = append(list, ByPlate)
	}
	if r.Ticket != "" {
		list = append(list, ByTicket)
	}
	return list
}

// leaveBy is when the grace after the last full payment ends.
func (s *scope) leaveBy(r *record, due int64) time.Time {
	var last time.Time
	for i := range r.details.Notes {
		if p := r.details.Notes[i].Payment; p != nil && p.KeptCents > 0 && p.For.After(last) {
			last = p.For
		}
	}
	if last.IsZero() || due > 0 {
		return time.Time{}
	}
	return last.Add(s.grace(r))
}

// grace is how long one may take to leave after paying.
func (s *scope) grace(r *record) time.Duration {
	t := versionAt(s.book, r.TariffVersion, s.now)
	if t == nil {
		return 0
	}
	return time.Duration(t.Options.PaymentGraceMinutes) * time.Minute
}

func payments(r *record) []Payment {
	var list []Payment
	for i := range r.details.Notes {
		n := &r.details.Notes[i]
		if p := n.Payment; p != nil {
			list = append(list, Payment{
				ID: p.ID, At: n.At, AmountCents: p.AmountCents, Means: p.Means, RefundedCents: p.AmountCents - p.KeptCents,
			})
		}
	}
	slices.SortFunc(list, func(a, b Payment) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return compareText(a.ID, b.ID)
	})
	return list
}
