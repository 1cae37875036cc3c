package tariff

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// monthsOf gives how many months a type of permit runs.
func monthsOf(kind string) int {
	term, _, _ := strings.Cut(kind, "-")
	return map[string]int{"monthly": 1, "bimonthly": 2, "quarterly": 3, "yearly": 12}[term]
}

// PermitRequest asks for the price of a permit.
type PermitRequest struct {
	Class string
	// ID is that of the tariff's monthly rule.
	ID string
	// From is the first day, Until the day after the last; a zero Until is one
	// whole term (PermitEnd).
	From, Until Date
}

// PermitEnd gives the day after a term of months that begins on from: the same
// day of a later month, or that month's last day if it has no such day (a
// month from 31 January ends before 28 or 29 February).
func PermitEnd(from Date, months int) Date {
	first := time.Date(from.Year, from.Month+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return Date{first.Year(), first.Month(), min(from.Day, last)}
}

// maxPermitMonths bounds a request.
const maxPermitMonths = 60

// Permit prices a permit by the version in force on its first day. Whole terms
// cost their price; the days after the last whole term cost its monthly share
// pro rata, each day by the length of its own month, rounded once, half up.
func (b *Book) Permit(q PermitRequest) (Receipt, error) {
	r, err := b.permit(q)
	if err != nil {
		return Receipt{}, fmt.Errorf("pricing permit %.64q: %w", q.ID, err)
	}
	return r, nil
}

func (b *Book) permit(q PermitRequest) (Receipt, error) {
	zone := b.versions[0].zone
	midnight := func(d Date) time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, zone) }
	v, err := b.find("", midnight(q.From))
	if err != nil {
		return Receipt{}, err
	}
	c, err := v.class(q.Class)
	if err != nil {
		return Receipt{}, err
	}
	m, err := c.monthly(q.ID)
	if err != nil {
		return Receipt{}, err
	}
	term := monthsOf(m.Type)
	if q.Until == (Date{}) {
		q.Until = PermitEnd(q.From, term)
	}
	days := q.Until.number() - q.From.number()
	if days <= 0 || days > maxPermitMonths*31 {
		return Receipt{}, fmt.Errorf("from %s until %s is not between 1 day and %d months; Until is the day after the last", q.From, q.Until, maxPermitMonths)
	}
	r := Receipt{Currency: v.tariff.Currency, TariffID: v.tariff.ID, TariffVersion: v.tariff.Version, Hash: v.hash, Zone: v.tariff.Zone}
	line := func(text string, from, to Date, units int64, price, amount Cents) {
		r.Lines = append(r.Lines, Line{Kind: LinePermit, Text: text, From: midnight(from), To: midnight(to), Units: units, UnitCents: price, AmountCents: amount, Rule: "monthly/" + m.ID})
	}
	terms := 0
	for PermitEnd(q.From, term*(terms+1)).number() <= q.Until.number() {
		terms++
	}
	at := PermitEnd(q.From, term*terms)
	if terms > 0 {
		line(m.Type, q.From, at, int64(terms), m.Price, Cents(terms)*m.Price)
	}
	if left := q.Until.number() - at.number(); left > 0 {
		line(fmt.Sprintf("%s, %d days pro rata by days of the month", m.Type, left), at, q.Until, left, m.Price, Cents(shareOf(int64(m.Price), term, at, q.Until)))
	}
	r.settle(0)
	return r, nil
}

// shareOf gives the pro rata price of some days of a term. Months have 28 to
// 31 days, so that all sums are whole in parts of their common multiple.
func shareOf(price int64, term int, from, until Date) int64 {
	const parts = 4 * 3 * 5 * 7 * 29 * 31 // divisible by 28, 29, 30 and 31
	var sum int64
	for at := from; at.number() < until.number(); {
		first := Date{at.Year, at.Month, 1}
		next := PermitEnd(first, 1)
		end := next
		if until.number() < next.number() {
			end = until
		}
		sum += (end.number() - at.number()) * (parts / (next.number() - first.number()))
		at = end
	}
	return divide(price, sum, parts*int64(term), "half_up")
}

func (c *class) monthly(id string) (*Monthly, error) {
	known := []string{}
	for i := range c.rules.Monthly {
		if c.rules.Monthly[i].ID == id {
			return &c.rules.Monthly[i], nil
		}
		known = append(known, c.rules.Monthly[i].ID)
	}
	return nil, &UnknownNameError{Kind: "permit", Name: id, Tariff: c.version.tariff.ID, Known: known}
}

// coverPermit takes out the time within the permit's ranges, as far as it lies
// within the time that the permit is held for.
func (j *job) coverPermit(g *segment, id string, within span) error {
	m, err := j.class.monthly(id)
	if err != nil {
		return err
	}
	if within.from > within.to || within.from == within.to && j.entry < j.end {
		return nil
	}
	held := []span{within}
	if len(m.Ranges) > 0 {
		held = held[:0]
		first := dayOf(g.local(j.entry)) - 1
		last := dayOf(g.local(j.end))
		for day := first; day <= last; day++ {
			for _, w := range m.Ranges {
				from, to, holds, err := g.period(w, day)
				if err != nil {
					return err
				}
				if from, to = max(from, within.from), min(to, within.to); holds && from < to {
					held = append(held, span{from: from, to: to})
				}
			}
		}
	}
	slices.SortFunc(held, func(a, b span) int { return int(a.from - b.from) })
	for i := 0; i < len(held); {
		x := held[i]
		for i++; i < len(held) && held[i].from <= x.to; i++ {
			x.to = max(x.to, held[i].to)
		}
		j.cover(x.from, x.to)
		j.fixed = append(j.fixed, Line{Kind: LinePermit, Text: "Covered by permit, " + m.Type, From: g.zoned(x.from), To: g.zoned(x.to), Units: 1, Rule: "monthly/" + m.ID})
	}
	return nil
}
