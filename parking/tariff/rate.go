package tariff

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rate prices a stay. The receipt is of the whole stay, with what was paid set
// off. Errors, beside those of a stay that contradicts itself:
// *NotInForceError, *UnknownNameError, *UndefinedFeeError, *NoHolidaysError
// and *NoPriceError; one stay's error says nothing about another's.
func (b *Book) Rate(s Stay) (Receipt, error) {
	r, err := b.rate(&s)
	if err != nil {
		return Receipt{}, fmt.Errorf("rating stay %q: %w", s.ID, err)
	}
	return r, nil
}

func (b *Book) rate(s *Stay) (Receipt, error) {
	if err := s.check(); err != nil {
		return Receipt{}, err
	}
	if s.Quote != nil && !s.NoShow && !s.EntryUnknown {
		return b.rateQuoted(s)
	}
	return b.rateAlone(s)
}

// check refuses what no lane and no clock can have meant.
func (s *Stay) check() error {
	instants := []time.Time{s.Entry, s.Exit, s.QuoteAccepted}
	lists := max(len(s.Flags), len(s.Validations), len(s.Passes), len(s.Payments), len(s.Permits))
	if lists > maxStayList || len(s.Earlier) > maxIntervals || len(s.Paused) > maxIntervals {
		return fmt.Errorf("a list of the stay is longer than %d, or its intervals are more than %d", maxStayList, maxIntervals)
	}
	for _, list := range [][]Interval{s.Earlier, s.Paused} {
		for _, i := range list {
			if i.Start.IsZero() || i.End.IsZero() {
				return errors.New("an interval has no start or no end; leave it out until both are known")
			}
			instants = append(instants, i.Start, i.End)
		}
	}
	for _, p := range s.Payments {
		if p.At.IsZero() || p.Cents < 0 || p.Cents > 1<<50 {
			return fmt.Errorf("payment %.64q needs an instant and an amount that is not negative", p.Reference)
		}
		instants = append(instants, p.At)
	}
	for _, p := range s.Permits {
		if p.From.IsZero() || p.To.IsZero() {
			return fmt.Errorf("permit %.64q is held for a time that has no beginning or no end", p.ID)
		}
		instants = append(instants, p.From, p.To)
	}
	for _, p := range s.Passes {
		instants = append(instants, p.At)
	}
	if s.Machine != nil {
		instants = append(instants, s.Machine.Accepted, s.Machine.Requested, s.Machine.Promised, s.Machine.Ready)
	}
	if s.EV != nil {
		instants = append(instants, s.EV.PlugIn, s.EV.ChargeEnd, s.EV.Unplug)
		if s.EV.PlugIn.IsZero() || s.EV.WattHours < 0 || s.EV.WattHours > 1_000_000_000 {
			return errors.New("the EV session needs the instant of plug-in and watt-hours from 0 to 1000000000")
		}
	}
	for _, t := range instants {
		if !t.IsZero() && (t.Unix() < earliest || t.Unix() > latest) {
			return fmt.Errorf("the instant %s is not between 1980 and 2200; is a clock or a unit wrong?", t.Format(time.RFC3339))
		}
	}
	switch {
	case s.Entry.IsZero() && !s.EntryUnknown:
		return errors.New("the entry is missing; give it, or say that it is not known")
	case s.Exit.IsZero() && !s.NoShow:
		return errors.New("the exit is missing; to price a running stay, give the present instant")
	}
	return nil
}

// rateAlone prices a stay without regard to its quote.
func (b *Book) rateAlone(s *Stay) (Receipt, error) {
	start := s.Entry
	if s.EntryUnknown {
		start = s.Exit
	}
	visits, joined := []span{{from: s.Entry.Unix(), to: s.Exit.Unix()}}, false
	v, err := b.find(s.Version, start)
	if err != nil {
		return Receipt{}, err
	}
	if !s.EntryUnknown && !s.NoShow && len(s.Earlier) > 0 {
		visits, joined = joinVisits(s, &v.tariff.Options)
		// The stay began with its first visit, and so did its tariff.
		if v, err = b.find(s.Version, time.Unix(visits[0].from, 0)); err != nil {
			return Receipt{}, err
		}
	}
	c, err := v.class(s.Class)
	if err != nil {
		return Receipt{}, err
	}
	r := Receipt{Currency: v.tariff.Currency, TariffID: v.tariff.ID, TariffVersion: v.tariff.Version, Hash: v.hash, Zone: v.tariff.Zone}
	if joined {
		r.flag(FlagReentry)
	}
	j := &job{book: b, stay: s, class: c, receipt: &r}
	switch {
	case s.NoShow:
		j.noShow()
	case s.EntryUnknown:
		err = j.lostTicket()
	default:
		err = j.stayed(visits)
	}
	if err != nil {
		return Receipt{}, err
	}
	var paid int64
	for _, p := range s.Payments {
		paid += p.Cents
	}
	r.settle(paid)
	return r, nil
}

// joinVisits puts the earlier visits that the stay continues before it.
func joinVisits(s *Stay, o *Options) (visits []span, joined bool) {
	visits = []span{{from: s.Entry.Unix(), to: s.Exit.Unix()}}
	earlier := slices.Clone(s.Earlier)
	slices.SortFunc(earlier, func(a, b Interval) int { return cmp.Compare(b.End.Unix(), a.End.Unix()) })
	for _, e := range earlier {
		from, to := e.Start.Unix(), e.End.Unix()
		first := &visits[0]
		if from >= first.from || from > to || first.from-to > int64(o.ReentryMinutes)*60 || o.ReentryMinutes == 0 {
			continue
		}
		joined = true
		if o.ReentryGap == "charged" || to >= first.from {
			first.from = from
		} else {
			visits = slices.Insert(visits, 0, span{from: from, to: to})
		}
	}
	return visits, joined
}

// noShow makes the lines of a booking whose vehicle never came. Without a
// declared fee it costs nothing.
func (j *job) noShow() {
	r, at := j.class.rules, j.stay.Entry.In(j.class.zone)
	if r.NoShow != nil {
		j.receipt.Lines = append(j.receipt.Lines, feeLine(LineNoShow, "Booked and not come", at, r.NoShow.Price, "no_show"))
	}
	if j.stay.Reserved && r.Reservation != nil {
		j.receipt.Lines = append(j.receipt.Lines, feeLine(LineReservation, "Reservation", at, r.Reservation.Price, "reservation"))
	}
}

func feeLine(kind, text string, at time.Time, price Cents, rule string) Line {
	return Line{Kind: kind, Text: text, From: at, To: at, Units: 1, UnitCents: price, AmountCents: price, Rule: rule}
}

func (j *job) lostTicket() error {
	r, at := j.class.rules, j.stay.Exit.Truncate(time.Second).In(j.class.zone)
	if r.LostTicket == nil {
		return &UndefinedFeeError{"lost_ticket", j.class.version.tariff.ID, j.class.name}
	}
	j.receipt.Lines = append(j.receipt.Lines, feeLine(LineLostTicket, "Entry not known", at, r.LostTicket.Price, "lost_ticket"))
	j.end = at.Unix()
	j.entry = j.end
	if j.stay.EV != nil {
		j.entry = min(j.end, j.stay.EV.PlugIn.Unix())
	}
	return j.extras()
}

// stayed prices a stay with a known entry.
func (j *job) stayed(visits []span) error {
	s := j.stay
	last := &visits[len(visits)-1]
	if last.to < last.from {
		last.to = last.from
		j.receipt.flag(FlagExitBeforeEntry)
	}
	j.entry, j.end = visits[0].from, last.to
	if j.end-j.entry > maxStaySeconds {
		return fmt.Errorf("the stay is longer than %d days; is its entry right?", maxStaySeconds/secondsPerDay)
	}
	j.graceAfterPayment(visits)
	j.pauses = j.findPauses(last.from, last.to)
	j.clock = newClock(visits, slices.Clone(j.pauses))
	var stayed int64
	for _, v := range visits {
		stayed += v.to - v.from
	}
	if j.clock.total < stayed {
		j.receipt.flag(FlagClockStopped)
	}
	if slices.Contains(s.Flags, "unloading") {
		if j.class.unloading == nil {
			known := []string{}
			for _, u := range j.class.rules.Unloadings {
				known = append(known, u.ID)
			}
			return &UnknownNameError{Kind: "single unloading", Name: "unloading", Tariff: j.class.version.tariff.ID, Known: known}
		}
		j.class = j.class.unloading
	}
	if err := j.price(); err != nil {
		return err
	}
	return j.finish()
}

// graceAfterPayment ends the stay at its last payment if the car left within
// the grace after it.
func (j *job) graceAfterPayment(visits []span) {
	last := &visits[len(visits)-1]
	var at int64
	for _, p := range j.stay.Payments {
		if t := p.At.Unix(); t >= last.from && t <= last.to {
			at = max(at, t)
		}
	}
	if at > 0 && last.to > at && last.to <= at+int64(j.class.options.PaymentGraceMinutes)*60 {
		last.to, j.end = at, at
		j.receipt.flag(FlagGraceAfterPayment)
	}
}

// findPauses lists when the clock stood still: as the stay says, and while the
// machine had the car. from and to bound the visit.
func (j *job) findPauses(from, to int64) []span {
	var pauses []span
	for _, p := range j.stay.Paused {
		pauses = append(pauses, span{from: p.Start.Unix(), to: p.End.Unix()})
	}
	m, o := j.stay.Machine, j.class.options
	if m == nil {
		return pauses
	}
	if o.MachineStarts == "acceptance" && !m.Accepted.IsZero() {
		pauses = append(pauses, span{from: from, to: min(m.Accepted.Unix(), to)})
	}
	stop := m.Requested
	switch o.MachineStops {
	case "exit":
		return pauses
	case "promise":
		stop = m.Promised
	}
	if stop.IsZero() {
		return pauses
	}
	until := to
	if !m.Ready.IsZero() {
		until = min(to, m.Ready.Unix()+int64(o.CollectMinutes)*60)
		if o.MachineStops == "promise" && m.Ready.Unix() <= stop.Unix() {
			return pauses // the promise was kept
		}
	}
	return append(pauses, span{from: max(from, stop.Unix()), to: until})
}

// price makes the lines of the parking fee, its discounts included.
func (j *job) price() error {
	total := j.clock.total
	j.receipt.ChargedSeconds = total
	if err := j.segment(); err != nil {
		return err
	}
	if err := j.coverPasses(); err != nil {
		return err
	}
	start, free := j.free(total)
	j.receipt.Lines = append(j.receipt.Lines, j.fixed...)
	if free {
		return j.discount(total, total, nil)
	}
	lines, err := j.parking(start, total)
	if err != nil {
		return err
	}
	if start > 0 {
		j.receipt.Lines = append(j.receipt.Lines, j.freeLine(start, "Free minutes", "free_minutes"))
	}
	nights, err := j.overnight()
	if err != nil {
		return err
	}
	j.receipt.Lines = append(append(j.receipt.Lines, lines...), nights...)
	return j.discount(start, total, lines)
}

// free tells where charging starts, in charged seconds, and whether the whole
// stay is free; a line says so.
func (j *job) free(total int64) (start int64, free bool) {
	r := j.class.rules
	grace := 0
	for _, g := range r.GracePeriods {
		if g.If != "" && slices.Contains(j.stay.Flags, g.If) || g.If == "" && g.Remark == (Words{}) {
			grace = max(grace, g.Minutes)
		}
	}
	minutes := int64(r.FreeMinutes) * 60
	switch {
	case total == 0:
		return 0, true
	case total <= int64(grace)*60:
		j.receipt.Lines = append(j.receipt.Lines, j.freeLine(total, "Left within the grace period", "grace_periods"))
		return 0, true
	case total <= minutes:
		j.receipt.Lines = append(j.receipt.Lines, j.freeLine(total, "Within the free minutes", "free_minutes"))
		return 0, true
	case r.FreeFromStart != nil && *r.FreeFromStart:
		return minutes, false
	}
	return 0, false
}

func (j *job) freeLine(until int64, text, rule string) Line {
	g := &j.segments[0]
	return Line{Kind: LineFree, Text: text, From: g.zoned(j.clock.wall(0)), To: g.zoned(j.clock.wallEnd(until)), Units: 1, Rule: rule}
}

// segment cuts the stay where versions begin, if the tariff says so.
func (j *job) segment() error {
	j.segments = append(j.segments, segment{pricer{walker{class: j.class, calendar: j.book.calendar}, j.clock}, 0, j.clock.total})
	v := j.class.version
	for _, next := range j.book.versions {
		if next.begins <= v.begins || next.begins <= j.entry || next.begins >= j.end || j.stay.Version != "" && j.class.options.OnChange == "entry" {
			continue
		}
		j.receipt.flag(FlagTariffChanged)
		if j.class.options.OnChange == "entry" {
			return nil
		}
		c, err := next.class(j.class.name)
		if err != nil {
			return err
		}
		at := j.clock.charged(next.begins)
		j.segments[len(j.segments)-1].to = at
		j.segments = append(j.segments, segment{pricer{walker{class: c, calendar: j.book.calendar}, j.clock}, at, j.clock.total})
	}
	return nil
}

// coverPasses takes out what the permit and the bought passes cover.
func (j *job) coverPasses() error {
	g := &j.segments[0]
	if j.stay.Permit != "" {
		if err := j.coverPermit(g, j.stay.Permit, span{from: j.entry, to: j.end}); err != nil {
			return err
		}
	}
	for _, held := range j.stay.Permits {
		within := span{from: max(j.entry, held.From.Unix()), to: min(j.end, held.To.Unix())}
		if err := j.coverPermit(g, held.ID, within); err != nil {
			return err
		}
	}
	for _, bought := range j.stay.Passes {
		s, err := j.class.pass(bought.ID)
		if err != nil {
			return err
		}
		at := j.entry
		if !bought.At.IsZero() {
			at = max(at, bought.At.Unix())
		}
		from, to, err := g.bought(s, at)
		if err != nil {
			return err
		}
		j.cover(from, to)
		j.fixed = append(j.fixed, j.passLine(g, s, from, to))
	}
	return nil
}

func (j *job) cover(from, to int64) {
	a, b := j.clock.charged(from), min(j.clock.charged(to), j.clock.total)
	if a < b {
		j.covered = append(j.covered, covered{a, b})
	}
}

func (c *class) pass(id string) (*Pass, error) {
	known := []string{}
	for i := range c.rules.Passes {
		if c.rules.Passes[i].ID == id {
			return &c.rules.Passes[i], nil
		}
		known = append(known, c.rules.Passes[i].ID)
	}
	return nil, &UnknownNameError{Kind: "pass", Name: id, Tariff: c.version.tariff.ID, Known: known}
}
