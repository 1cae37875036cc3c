package tariff

import (
	"cmp"
	"fmt"
	"slices"
)

// overnight makes a line for each overnight fee that falls within a visit.
func (j *job) overnight() ([]Line, error) {
	var lines []Line
	g := &j.segments[0]
	for _, n := range j.class.rules.Overnight {
		first := dayOf(g.local(j.entry))
		last := dayOf(g.local(j.end))
		for day := first; day <= last; day++ {
			at := g.instant(day, int(n.At))
			if !j.clock.charges(at) {
				continue
			}
			holds, err := g.matches(n.Days, n.ExcludePublicHoliday, day)
			if err != nil {
				return nil, err
			}
			if holds {
				lines = append(lines, feeLine(LineOvernight, "Overnight, in the car park at "+n.At.String(), g.zoned(at), n.Price, "overnight/"+n.ID))
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b Line) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Rule, b.Rule))
	})
	return lines, nil
}

// charges tells whether the clock ran at an instant.
func (k *chargeClock) charges(wall int64) bool {
	return slices.ContainsFunc(k.spans, func(s span) bool { return s.from <= wall && wall < s.to })
}

// finish adds what is no parking fee: charging, and the booking.
func (j *job) finish() error {
	if fee := j.class.rules.Reservation; j.stay.Reserved && fee != nil {
		at := j.stay.Entry.In(j.class.zone)
		j.receipt.Lines = append(j.receipt.Lines, feeLine(LineReservation, "Reservation", at, fee.Price, "reservation"))
	}
	return j.extras()
}

// extras adds the lines of the EV session.
func (j *job) extras() error {
	session, fee := j.stay.EV, j.class.rules.EV
	if session == nil {
		return nil
	}
	if fee == nil {
		return &UndefinedFeeError{"ev", j.class.version.tariff.ID, j.class.name}
	}
	w := walker{class: j.class}
	plug, unplug := session.PlugIn.Unix(), j.end
	if !session.Unplug.IsZero() {
		unplug = session.Unplug.Unix()
	}
	end := unplug
	if !session.ChargeEnd.IsZero() {
		end = session.ChargeEnd.Unix()
	}
	given := [3]int64{plug, end, unplug}
	plug = min(max(plug, j.entry), j.end)
	unplug = min(max(unplug, plug), j.end)
	end = min(max(end, plug), unplug)
	if given != [3]int64{plug, end, unplug} {
		j.receipt.flag(FlagEVTimesClamped)
	}
	add := func(l Line) {
		if l.AmountCents != 0 {
			j.receipt.Lines = append(j.receipt.Lines, l)
		}
	}
	if fee.Price > 0 {
		n := unitsOf(end-plug, fee.UnitMinutes)
		add(Line{Kind: LineEVCharge, Text: fmt.Sprintf("EV charging per %d min", fee.UnitMinutes), From: w.zoned(plug), To: w.zoned(end),
			Units: n, UnitCents: fee.Price, AmountCents: Cents(n) * fee.Price, Rule: "ev/price"})
	}
	if fee.PerKWh > 0 {
		add(Line{Kind: LineEVCharge, Text: fmt.Sprintf("EV charging, %d Wh pro rata per kWh", session.WattHours), From: w.zoned(plug), To: w.zoned(end),
			Units: session.WattHours, UnitCents: fee.PerKWh,
			AmountCents: Cents(divide(int64(fee.PerKWh), session.WattHours, 1000, j.class.options.Rounding)), Rule: "ev/per_kwh"})
	}
	from := end + int64(fee.IdleGraceMinutes)*60
	if fee.IdlePrice > 0 && from < unplug {
		clock := newClock([]span{{from: from, to: unplug}}, slices.Clone(j.pauses))
		n := unitsOf(clock.total, fee.IdleUnitMinutes)
		amount := Cents(n) * fee.IdlePrice
		add(Line{Kind: LineEVIdle, Text: fmt.Sprintf("EV idle after charging, per %d min from %d min after the charge's end", fee.IdleUnitMinutes, fee.IdleGraceMinutes),
			From: w.zoned(from), To: w.zoned(unplug), Units: n, UnitCents: fee.IdlePrice, AmountCents: amount, Rule: "ev/idle_price"})
		if fee.IdleMost > 0 && amount > fee.IdleMost {
			cut := fee.IdleMost - amount
			add(Line{Kind: LineCap, Text: "At most " + fee.IdleMost.String() + " for EV idle", From: w.zoned(from), To: w.zoned(unplug),
				Units: 1, UnitCents: cut, AmountCents: cut, Rule: "ev/idle_most"})
		}
	}
	return nil
}

// unitsOf counts units of which a part counts as a whole one.
func unitsOf(seconds int64, minutes int) int64 {
	unit := int64(minutes) * 60
	return (seconds + unit - 1) / unit
}
