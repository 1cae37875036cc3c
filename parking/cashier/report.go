package cashier

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/parking"
	"freeflow/parking/tariff"
)

// eachStay goes over the stays of a car park that began in [from, to), in pages.
func (c *Cashier) eachStay(ctx context.Context, carPark string, from, to time.Time) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		p := parking.Page{Limit: pageSize, From: from}
		for {
			list, err := c.Stays(ctx, carPark, "", p)
			if err != nil {
				yield(record{}, err)
				return
			}
			for _, st := range list {
				r, err := read(st)
				if err == nil && !r.began().Before(to) {
					return
				}
				if !yield(r, err) {
					return
				}
			}
			if len(list) < p.Limit {
				return
			}
			p.After = list[len(list)-1].ID
		}
	}
}

// DryRun rates the stays that ended in [from, to), and began no more than 45
// days before, by the car park's tariffs and by another book, and compares.
// Stays without a price are left out. ErrNotFound.
func (c *Cashier) DryRun(ctx context.Context, carPark string, other *tariff.Book, from, to time.Time) (*tariff.Comparison, error) {
	site, book, err := c.site(carPark)
	if err != nil {
		return nil, fmt.Errorf("comparing tariffs: %w", err)
	}
	if book == nil || other == nil {
		return nil, fmt.Errorf("comparing tariffs: car park %s has no tariff to compare with: %w", site.ID, parking.ErrNotFound)
	}
	stays := func(yield func(tariff.Stay, error) bool) {
		for r, err := range c.eachStay(ctx, carPark, from.Add(-lookBack), to) {
			switch {
			case err != nil:
				yield(tariff.Stay{}, err)
				return
			case r.State != parking.Closed || r.details.Rated == nil || r.Exit.Before(from) || !r.Exit.Before(to):
				continue
			}
			if !yield(*r.details.Rated, nil) {
				return
			}
		}
	}
	return tariff.DryRun(ctx, book, other, stays)
}

// maxUnposted bounds the count of orders in a Day.
const maxUnposted = 10_000

// Reconcile gives the figures of the local day in which the instant lies, of
// stays that began no more than 45 days before it. ErrNotFound.
func (c *Cashier) Reconcile(ctx context.Context, carPark string, at time.Time) (Day, error) {
	site, book, err := c.site(carPark)
	if err != nil {
		return Day{}, fmt.Errorf("reconciling: %w", err)
	}
	zone := (&scope{site: site}).zone()
	y, m, d := at.In(zone).Date()
	day := Day{CarPark: carPark, From: time.Date(y, m, d, 0, 0, 0, 0, zone), To: time.Date(y, m, d+1, 0, 0, 0, 0, zone), Unposted: -1}
	if book != nil {
		day.Currency = book.Versions()[0].Currency
	}
	for r, err := range c.eachStay(ctx, carPark, day.From.Add(-lookBack), day.To) {
		if err != nil {
			return day, fmt.Errorf("reconciling: %w", err)
		}
		day.add(&r)
	}
	slices.SortFunc(day.Closed, func(a, b DayMeans) int { return compareText(a.Means, b.Means) })
	slices.SortFunc(day.Taken, func(a, b Taken) int { return compareText(a.Means, b.Means) })
	if c.p.Ledger != nil {
		if day.Unposted, err = c.unposted(ctx, carPark); err != nil {
			return day, fmt.Errorf("reconciling: %w", err)
		}
	}
	return day, nil
}

func (d *Day) within(t time.Time) bool { return !t.Before(d.From) && t.Before(d.To) }

// add counts a stay.
func (d *Day) add(r *record) {
	for i := range r.details.Notes {
		n := &r.details.Notes[i]
		if n.Payment == nil || !d.within(n.At) {
			continue
		}
		j := slices.IndexFunc(d.Taken, func(t Taken) bool { return t.Means == n.Payment.Means })
		if j < 0 {
			d.Taken, j = append(d.Taken, Taken{Means: n.Payment.Means}), len(d.Taken)
		}
		d.Taken[j].Payments++
		d.Taken[j].Cents += n.Payment.AmountCents
		d.Taken[j].RefundedCents += n.Payment.AmountCents - n.Payment.KeptCents
	}
	switch {
	case r.details.Superseded:
		return
	case r.State == parking.Open && r.Entry.Before(d.To):
		d.Open++
		return
	case r.State == parking.Review && r.began().Before(d.To):
		d.Review++
		return
	case !d.within(r.Exit):
		return
	}
	j := slices.IndexFunc(d.Closed, func(m DayMeans) bool { return m.Means == r.Means })
	if j < 0 {
		d.Closed, j = append(d.Closed, DayMeans{Means: r.Means}), len(d.Closed)
	}
	m := &d.Closed[j]
	m.Stays++
	m.AmountCents += r.AmountCents
	m.PaidCents += r.PaidCents
	m.AccountCents += r.details.Ordered.AccountCents
	d.AmountCents += r.AmountCents
	d.PaidCents += r.PaidCents
	d.AccountCents += r.details.Ordered.AccountCents
	d.CreditCents += max(0, r.PaidCents-r.AmountCents)
	if r.Means == parking.PaysTicket {
		d.DueCents += max(0, r.AmountCents-r.PaidCents)
	}
}

// unposted counts the car park's orders that the ledger does not have yet.
func (c *Cashier) unposted(ctx context.Context, carPark string) (n int, err error) {
	orders, err := c.p.Ledger.Unposted(ctx, maxUnposted)
	if err != nil {
		return 0, fmt.Errorf("reading orders of the ledger: %w", err)
	}
	for i := range orders {
		var doc document
		if err := json.Unmarshal(orders[i].Document, &doc); err == nil && doc.CarPark == carPark {
			n++
		}
	}
	return n, nil
}
