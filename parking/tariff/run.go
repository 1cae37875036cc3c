package tariff

import "time"

// state is what pricing carries from one unit to the next.
type state struct {
	// counters are the charged seconds that thresholds look at.
	counters []int64
	lastBand int16
	lastDay  int64
	caps     []capState
	// entries are the per-entry bands that were charged.
	entries uint64
	// pro is the run of pro rata steps under way.
	pro proRata
}

// capState is a cap's window and what has been charged within it.
type capState struct {
	key  int64
	used int64
}

// noWindow is the key of a cap that has charged nothing.
const noWindow = -1 << 62

// proRata sums the steps of one price, so that a run of them is rounded once.
type proRata struct {
	band         int16
	price        int64
	steps, given int64
}

func (c *class) newState() state {
	s := state{lastBand: -1, pro: proRata{band: -1}}
	if c.counters > 0 {
		s.counters = make([]int64, c.counters)
	}
	if len(c.caps) > 0 {
		s.caps = make([]capState, len(c.caps))
		for i := range s.caps {
			s.caps[i].key = noWindow
		}
	}
	return s
}

func (s *state) clone() state {
	t := *s
	t.counters = append([]int64(nil), s.counters...)
	t.caps = append([]capState(nil), s.caps...)
	return t
}

// charge is what a run gives for its lines: units of one price.
type charge struct {
	band      int16
	tier      int
	from, to  int64 // charged seconds
	units     int64
	unitPrice int64
	amount    int64
	// exact says that units times unitPrice is amount.
	exact bool
	// proRata says that amount is a part of unitPrice.
	proRata bool
}

// cut is what a cap took off within one window.
type cut struct {
	cap       int
	key       int64
	from, to  int64 // charged seconds of the units concerned
	reduction int64
}

// sink takes the details of a run; a nil sink is for prices alone.
type sink struct {
	charges []charge
	cuts    []cut
}

// pricer prices stretches of one stay by one class's rules.
type pricer struct {
	walker
	clock *chargeClock
}

// tierOf gives the tier for a unit that begins now, after the resets that the
// band or day calls for.
func (p *pricer) tierOf(s *state, at *place) (tier int, left int64) {
	b := &p.class.bands[at.band]
	if p.class.counters == 0 {
		return len(b.tiers) - 1, -1
	}
	o := p.class.options
	if s.lastBand >= 0 {
		byBand := o.ThresholdReset == "band" || o.ThresholdReset == "band_or_day"
		byDay := o.ThresholdReset == "day" || o.ThresholdReset == "band_or_day"
		if byBand && s.lastBand != at.band || byDay && s.lastDay != at.day {
			clear(s.counters)
		}
	}
	s.lastBand, s.lastDay = at.band, at.day
	counted := s.counters[p.counter(at.band)]
	for i, t := range b.tiers {
		if t.until < 0 {
			return i, -1
		}
		if counted < t.until {
			return i, t.until - counted
		}
	}
	return len(b.tiers) - 1, -1
}

func (p *pricer) counter(band int16) int {
	if p.class.counters == 1 {
		return 0
	}
	return int(band)
}

func (p *pricer) count(s *state, band int16, seconds int64) {
	if p.class.counters > 0 {
		s.counters[p.counter(band)] += seconds
	}
}

// run prices the charged seconds [from, to) and gives their price and where
// the last unit ends, which may be beyond to.
func (p *pricer) run(from, to int64, s *state, out *sink) (price, next int64, err error) {
	s.pro.band = -1
	return p.goOn(from, to, s, out)
}

// goOn continues a run where its last unit ended.
func (p *pricer) goOn(from, to int64, s *state, out *sink) (price, next int64, err error) {
	c := from
	for c < to {
		at, err := p.at(p.clock.wall(c))
		if err != nil {
			return 0, 0, err
		}
		if at.band < 0 {
			return 0, 0, &NoPriceError{Tariff: p.class.version.tariff.ID, Class: p.class.name, At: time.Unix(at.wall, 0).In(p.class.zone)}
		}
		var amount, end int64
		b := &p.class.bands[at.band]
		switch {
		case b.perEntry:
			amount, end = p.perEntry(c, to, &at, s, out)
		case p.class.options.UnitStart == "clock":
			amount, end, err = p.clockUnit(c, to, &at, s, out)
		default:
			amount, end, err = p.units(c, to, &at, s, out)
		}
		if err != nil {
			return 0, 0, err
		}
		price += amount
		c = end
	}
	return price, c, nil
}

// perEntry charges a band once a stay and goes to the end of its slot.
func (p *pricer) perEntry(c, to int64, at *place, s *state, out *sink) (amount, end int64) {
	b := &p.class.bands[at.band]
	s.pro.band = -1
	_, _ = p.tierOf(s, at)
	slotEnd := min(p.clock.charged(at.end), to)
	p.count(s, at.band, slotEnd-c)
	bit := uint64(1) << b.entryBit
	if s.entries&bit != 0 {
		return 0, slotEnd
	}
	s.entries |= bit
	x := charge{band: at.band, from: c, to: slotEnd, units: 1, unitPrice: b.tiers[0].price, amount: b.tiers[0].price, exact: true}
	return p.add(x, at, s, out), slotEnd
}

// units charges units counted from the entry: as many at once as have one
// price and one set of cap windows.
func (p *pricer) units(c, to int64, at *place, s *state, out *sink) (amount, end int64, err error) {
	b := &p.class.bands[at.band]
	slotEnd := p.clock.charged(at.end)
	tier, left := p.tierOf(s, at)
	unit := b.unit
	if b.step > 0 {
		unit = b.step
	}
	limit := min(to, slotEnd)
	if left >= 0 {
		limit = min(limit, c+left)
	}
	for _, i := range b.caps {
		if end := p.windowEnd(i, at); end < at.end {
			limit = min(limit, p.clock.charged(end))
		}
	}
	n := (limit - c + unit - 1) / unit
	if p.class.options.Straddle != "start" && c+n*unit > slotEnd {
		// The last unit reaches beyond the slot; what lies there decides.
		n--
		if n == 0 {
			return p.straddle(c, to, c+unit, tier, at, s, out)
		}
	}
	return p.whole(n, c, c+n*unit, tier, at, s, out), c + n*unit, nil
}

// whole charges n units or steps of one price.
func (p *pricer) whole(n, c, end int64, tier int, at *place, s *state, out *sink) int64 {
	b := &p.class.bands[at.band]
	x := charge{band: at.band, tier: tier, from: c, to: end, units: n, unitPrice: b.tiers[tier].price}
	p.count(s, at.band, end-c)
	if b.step == 0 {
		s.pro.band = -1
		x.amount, x.exact = n*x.unitPrice, true
		return p.add(x, at, s, out)
	}
	if s.pro.band != at.band || s.pro.price != x.unitPrice {
		s.pro = proRata{band: at.band, price: x.unitPrice}
	}
	s.pro.steps += n
	sum := divide(x.unitPrice, s.pro.steps*b.step, b.unit, p.class.options.Rounding)
	x.amount, x.proRata = sum-s.pro.given, true
	s.pro.given = sum
	return p.add(x, at, s, out)
}

// clockUnit charges one unit that ends at the next whole multiple of the unit
// since local midnight.
func (p *pricer) clockUnit(c, to int64, at *place, s *state, out *sink) (amount, end int64, err error) {
	b := &p.class.bands[at.band]
	tier, _ := p.tierOf(s, at)
	unit := b.unit
	if b.step > 0 {
		unit = b.step
	}
	second := at.local - at.day*secondsPerDay
	length := min(unit-second%unit, secondsPerDay-second)
	end = p.clock.charged(at.wall + length)
	if at.wall+length > at.end && p.class.options.Straddle != "start" {
		return p.straddle(c, to, end, tier, at, s, out)
	}
	return p.whole(1, c, end, tier, at, s, out), end, nil
}

// straddle charges one unit or step [c, end) that reaches beyond its slot.
func (p *pricer) straddle(c, to, end int64, tier int, at *place, s *state, out *sink) (amount, next int64, err error) {
	b := &p.class.bands[at.band]
	// Find the bands that the unit meets.
	type part struct {
		at       place
		from, to int64
	}
	var parts [8]part
	list := append(parts[:0], part{*at, c, min(end, p.clock.charged(at.end))})
	for list[len(list)-1].to < end {
		from := list[len(list)-1].to
		here, err := p.at(p.clock.wall(from))
		if err != nil {
			return 0, 0, err
		}
		if here.band < 0 || p.class.bands[here.band].perEntry {
			break // nothing to be priced by; the unit stays as it is
		}
		until := min(end, p.clock.charged(here.end))
		if x := &list[len(list)-1]; x.at.band == here.band && x.at.day == here.day && x.at.began == here.began {
			x.to = until // a change of the zone's offset alone is no new part
			continue
		}
		list = append(list, part{here, from, until})
	}
	last := &list[len(list)-1]
	last.to = end
	if sameBand(list, func(x part) int16 { return x.at.band }) {
		return p.whole(1, c, end, tier, at, s, out), end, nil
	}
	switch p.class.options.Straddle {
	case "cut":
		cutAt := end
		for _, x := range list {
			if x.at.band != at.band {
				cutAt = x.from
				break
			}
		}
		return p.whole(1, c, cutAt, tier, at, s, out), cutAt, nil
	case "split":
		s.pro.band = -1
		for i := range list {
			x := &list[i]
			xb := &p.class.bands[x.at.band]
			if i > 0 {
				tier, _ = p.tierOf(s, &x.at)
			}
			p.count(s, x.at.band, x.to-x.from)
			unitPrice := xb.tiers[tier].price
			amount += p.add(charge{band: x.at.band, tier: tier, from: x.from, to: x.to, units: 1, unitPrice: unitPrice,
				amount: divide(unitPrice, x.to-x.from, xb.unit, p.class.options.Rounding), proRata: true}, &x.at, s, out)
		}
		return amount, end, nil
	}
	// The dearer of the bands that the stay reached within the unit, by price
	// for an equal time.
	best, bestTier, bestUnit := at.band, tier, b.unit
	for i := range list[1:] {
		x := &list[i+1]
		if x.from >= to {
			break
		}
		look := s.clone()
		xt, _ := p.tierOf(&look, &x.at)
		xb := &p.class.bands[x.at.band]
		if xb.tiers[xt].price*bestUnit > p.class.bands[best].tiers[bestTier].price*xb.unit {
			best, bestTier, bestUnit = x.at.band, xt, xb.unit
		}
	}
	if best == at.band {
		return p.whole(1, c, end, tier, at, s, out), end, nil
	}
	s.pro.band = -1
	p.count(s, at.band, end-c)
	length := b.unit
	if b.step > 0 {
		length = b.step
	}
	x := charge{band: best, tier: bestTier, from: c, to: end, units: 1, unitPrice: p.class.bands[best].tiers[bestTier].price}
	x.amount = divide(x.unitPrice, length, bestUnit, p.class.options.Rounding)
	x.exact, x.proRata = x.amount == x.unitPrice, x.amount != x.unitPrice
	return p.add(x, at, s, out), end, nil
}

func sameBand[T any](list []T, band func(T) int16) bool {
	for _, x := range list[1:] {
		if band(x) != band(list[0]) {
			return false
		}
	}
	return true
}

// add passes a charge through the caps of the band in which it began and
// records it. It gives what is left.
func (p *pricer) add(x charge, at *place, s *state, out *sink) int64 {
	if out != nil {
		out.charges = append(out.charges, x)
	}
	amount := x.amount
	for _, i := range p.class.bands[at.band].caps {
		key := p.windowKey(i, at)
		used := &s.caps[i]
		if used.key != key {
			*used = capState{key: key}
		}
		left := min(amount, max(0, p.class.caps[i].amount-used.used))
		if out != nil && left < amount {
			out.cut(cut{i, key, x.from, x.to, amount - left})
		}
		used.used += left
		amount = left
	}
	return amount
}

// cut adds to the reduction of a window.
func (o *sink) cut(x cut) {
	for i := len(o.cuts) - 1; i >= 0; i-- {
		if y := &o.cuts[i]; y.cap == x.cap && y.key == x.key {
			y.to = x.to
			y.reduction += x.reduction
			return
		}
	}
	o.cuts = append(o.cuts, x)
}

// windowKey tells a cap's windows apart.
func (p *pricer) windowKey(i int, at *place) int64 {
	switch w := &p.class.caps[i]; w.per {
	case "occurrence":
		return at.began
	case "calendar_day":
		return at.day
	case "24h_from_entry":
		return dayOf(at.wall - p.clock.entry)
	case "reset_time":
		return dayOf(at.local - w.reset)
	}
	return 0
}

// windowEnd gives when the window at a place ends, if that can be within a
// slot; otherwise the slot's end.
func (p *pricer) windowEnd(i int, at *place) int64 {
	switch w := &p.class.caps[i]; w.per {
	case "24h_from_entry":
		return p.clock.entry + (p.windowKey(i, at)+1)*secondsPerDay
	case "reset_time":
		return at.wall + (p.windowKey(i, at)+1)*secondsPerDay + w.reset - at.local
	}
	return at.end
}
