package cashier

import (
	"context"
	"fmt"
	"time"

	"freeflow/parking"
	"freeflow/parking/stay"
	"freeflow/parking/tariff"
)

// LineOutage is the kind of the line that says what waiting is not charged since
// a machine was out of service. Its amount is 0.
const LineOutage = "outage"

// sayOutages stops the clock for the time during which a driver waited for a car
// whose machine was out of service, or all its lifts: from when the car was
// wanted until it stood at the gate or left. It returns a line for each. Time
// before the car was wanted is charged: nobody waited.
func (s *scope) sayOutages(ctx context.Context, t *tariff.Stay, d *stay.Stay, now time.Time) ([]tariff.Line, error) {
	var lines []tariff.Line
	for i := range d.Visits {
		v := &d.Visits[i]
		a := v.Berth
		wanted := stay.Wanted(a)
		if wanted.IsZero() || v.Entry.IsZero() {
			continue
		}
		until := v.Exit
		if until.IsZero() {
			until = now
		}
		if !a.StagedAt.IsZero() && a.StagedAt.Before(until) {
			until = a.StagedAt
		}
		if wanted.Before(v.Entry) {
			wanted = v.Entry
		}
		if !wanted.Before(until) {
			continue
		}
		lifts := 1
		if m, ok := s.site.Machine(a.Machine); ok {
			lifts = max(m.Lifts, 1)
		}
		list, err := s.tx.Outages(ctx, s.site.ID, a.Machine, wanted, until)
		if err != nil {
			return nil, fmt.Errorf("reading when machine %s was out of service: %w", a.Machine, err)
		}
		for j := range list {
			if line, ok := s.pauseFor(t, &list[j], lifts, wanted, until); ok {
				lines = append(lines, line)
			}
		}
	}
	return lines, nil
}

// pauseFor takes one outage off the stay, as far as it lies in [from, until).
func (s *scope) pauseFor(t *tariff.Stay, o *parking.Outage, lifts int, from, until time.Time) (tariff.Line, bool) {
	if !o.Out && o.LiftsOut < lifts {
		return tariff.Line{}, false // the rest of the machine brings cars
	}
	if o.From.After(from) {
		from = o.From
	}
	if !o.To.IsZero() && o.To.Before(until) {
		until = o.To
	}
	// The tariff counts whole seconds: what began in one is the driver's.
	end := until.Truncate(time.Second)
	if end.Before(until) {
		end = end.Add(time.Second)
	}
	from = from.Truncate(time.Second)
	if !from.Before(end) {
		return tariff.Line{}, false
	}
	t.Paused = append(t.Paused, tariff.Interval{Start: from, End: end})
	zone := s.zone()
	return tariff.Line{
		Kind: LineOutage, From: from.In(zone), To: end.In(zone), Units: 1, Rule: "outage/" + o.Machine,
		Text: fmt.Sprintf("Machine %s out of service, waiting not charged: %s", o.Machine, end.Sub(from)),
	}, true
}
