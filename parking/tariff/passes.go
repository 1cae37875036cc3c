package tariff

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// period gives when a pass can begin on a local day, if it holds on that day.
func (w *walker) period(when When, day int64) (from, to int64, holds bool, err error) {
	holds, err = w.matches(when.Days, when.ExcludePublicHoliday, day)
	if err != nil || !holds {
		return 0, 0, false, err
	}
	until := int(when.To)
	if when.To <= when.From {
		until += minutesPerDay
	}
	return w.instant(day, int(when.From)), w.instant(day, until), true, nil
}

// expiry gives when a pass begun at start, in the period of a day, ends.
func (w *walker) expiry(s *Pass, day, start int64) int64 {
	hours := passHours[s.Type]
	last := day
	if s.ValidUntil == "following-day" {
		last++
	}
	// The end of the day named, by the clock time given or the usual one.
	named := func(usual TimeOfDay) int64 {
		if s.ValidUntilEnd != nil {
			usual = *s.ValidUntilEnd
		}
		return w.instant(last, int(usual))
	}
	if hours > 0 {
		end := start + hours*3600
		if s.ValidUntil != "no-restrictions" {
			end = min(end, named(minutesPerDay))
		}
		return end
	}
	if s.ValidUntil == "no-restrictions" || s.ValidUntilEnd == nil && s.ValidUntil == "same-day" {
		until := int(s.To)
		if s.To <= s.From {
			until += minutesPerDay
		}
		if s.ValidUntil == "same-day" {
			until = min(until, minutesPerDay)
		}
		return w.instant(day, until)
	}
	return named(s.To)
}

// containing gives the day in whose period a pass can begin at an instant.
func (w *walker) containing(s *Pass, wall int64) (day int64, found bool, err error) {
	today := dayOf(w.local(wall))
	for _, day := range [2]int64{today, today - 1} {
		if day != today && s.To > s.From {
			break // a period that does not pass midnight
		}
		from, to, holds, err := w.period(s.When, day)
		if err != nil {
			return 0, false, err
		}
		if holds && from <= wall && wall < to {
			return day, true, nil
		}
	}
	return 0, false, nil
}

// daysAhead is how long before its period a pass can be bought.
const daysAhead = 8

// bought gives when a pass bought at an instant begins and ends.
func (w *walker) bought(s *Pass, at int64) (from, to int64, err error) {
	day, found, err := w.containing(s, at)
	if err != nil {
		return 0, 0, err
	}
	if found {
		return at, w.expiry(s, day, at), nil
	}
	today := dayOf(w.local(at))
	for day := today; day <= today+daysAhead; day++ {
		from, _, holds, err := w.period(s.When, day)
		if err != nil {
			return 0, 0, err
		}
		if holds && from >= at {
			return from, w.expiry(s, day, from), nil
		}
	}
	return 0, 0, fmt.Errorf("pass %s cannot begin within %d days of its purchase; check its days and period", s.ID, daysAhead)
}

func passText(s *Pass) string {
	return strings.ReplaceAll(strings.ToUpper(s.Type[:1])+s.Type[1:], "-", " ") + " " + s.From.String() + "-" + s.To.String()
}

// automatic finds the cheapest pass for which the charged seconds [from, to)
// qualify as a whole: begun in its period, ended by its end and not before
// LeaveFrom.
func (p *pricer) automatic(from, to int64) (*Pass, error) {
	var best *Pass
	start, end := p.clock.wall(from), p.clock.wallEnd(to)
	for i := range p.class.rules.Passes {
		s := &p.class.rules.Passes[i]
		day, found, err := p.containing(s, start)
		if err != nil {
			return nil, err
		}
		if !found || end > p.expiry(s, day, start) {
			continue
		}
		if s.LeaveFrom != nil {
			leave := int(*s.LeaveFrom)
			if *s.LeaveFrom <= s.From {
				leave += minutesPerDay
			}
			if end < p.instant(day, leave) {
				continue
			}
		}
		if best == nil || s.Price < best.Price || s.Price == best.Price && s.ID < best.ID {
			best = s
		}
	}
	return best, nil
}

// Bounds on the search for the best price. A stay of a month with two passes a
// day stays within them.
const (
	maxLabels  = 16  // ways to be at one instant
	maxTargets = 40  // instants at which hourly parking may end in a pass
	maxNodes   = 600 // instants at which something may begin
)

// label is one way to have paid up to an instant.
type label struct {
	at, cost int64
	passes   int
	before   state
	state    state
	prev     int
	pass     *Pass // nil for hourly parking
	// hourly says that hourly parking ends here, so that a pass must follow.
	hourly bool
}

// bestPrice finds the cheapest way to pay for the charged seconds [from, to).
// A pass can begin at from, where another pass ends, and where the period of
// any pass begins; hourly parking fills the rest, its units beginning anew
// after each pass. Among ways of one price it takes the one with the fewest
// passes. bounded says that not all ways were tried.
func (p *pricer) bestPrice(from, to int64, start *state) (path []label, bounded bool, err error) {
	passes := make([]*Pass, len(p.class.rules.Passes))
	for i := range passes {
		passes[i] = &p.class.rules.Passes[i]
	}
	slices.SortFunc(passes, func(a, b *Pass) int { return strings.Compare(a.ID, b.ID) })
	targets, err := p.passStarts(passes, from, to)
	if err != nil {
		return nil, false, err
	}
	labels := []label{{at: from, state: start.clone(), prev: -1}}
	at := map[int64][]int{from: {0}}
	pending := []int64{from}
	put := func(l label) {
		same := at[l.at]
		if same == nil {
			i, _ := slices.BinarySearch(pending, l.at)
			pending = slices.Insert(pending, i, l.at)
		}
		for _, j := range same {
			if labels[j].asGood(&l) {
				return
			}
		}
		same = slices.DeleteFunc(same, func(j int) bool { return l.asGood(&labels[j]) })
		labels = append(labels, l)
		at[l.at] = append(same, len(labels)-1)
	}
	for nodes := 0; pending[0] < to; nodes++ {
		here := pending[0]
		pending = pending[1:]
		ways := at[here]
		slices.SortStableFunc(ways, func(a, b int) int { return compareLabels(&labels[a], &labels[b]) })
		if len(ways) > maxLabels {
			ways, bounded = ways[:maxLabels], true
		}
		wall := p.clock.wall(here)
		for _, i := range ways {
			l := labels[i]
			if nodes < maxNodes {
				for _, s := range passes {
					day, found, err := p.containing(s, wall)
					if err != nil {
						return nil, false, err
					}
					if !found {
						continue
					}
					if until := min(to, p.clock.charged(p.expiry(s, day, wall))); until > here {
						after := l.state
						if err := p.forget(&after, until, to); err != nil {
							return nil, false, err
						}
						put(label{at: until, cost: l.cost + int64(s.Price), passes: l.passes + 1, before: l.state, state: after, prev: i, pass: s})
					}
				}
			} else {
				bounded = true
			}
			if l.hourly && nodes < maxNodes {
				continue
			}
			cut, err := p.hourlyWays(&l, i, here, to, targets, put)
			if err != nil {
				return nil, false, err
			}
			bounded = bounded || cut
		}
		if len(pending) == 0 {
			// No way leads to the end; hourly parking says where it fails.
			s := start.clone()
			_, _, err := p.run(from, to, &s, nil)
			return nil, bounded, err
		}
	}
	best := -1
	for _, i := range at[to] {
		if best < 0 || compareLabels(&labels[i], &labels[best]) < 0 {
			best = i
		}
	}
	for i := best; labels[i].prev >= 0; i = labels[i].prev {
		path = append(path, labels[i])
	}
	slices.Reverse(path)
	return path, bounded, nil
}

// hourlyWays adds the ways that go on from a label with hourly parking: to the
// end, or to one of the instants at which a pass may begin.
func (p *pricer) hourlyWays(l *label, index int, here, to int64, targets []int64, put func(label)) (bounded bool, err error) {
	first, _ := slices.BinarySearch(targets, here+1)
	ends := targets[first:]
	if len(ends) > maxTargets {
		ends, bounded = ends[:maxTargets], true
	}
	s := l.state.clone()
	price, next := int64(0), here
	for i := range len(ends) + 1 {
		end := to
		if i < len(ends) {
			end = ends[i]
		}
		var more int64
		if i == 0 || p.class.options.Straddle == "dearer" {
			// What is dearer depends on where the stretch ends.
			s, price = l.state.clone(), 0
			more, next, err = p.run(here, end, &s, nil)
		} else {
			more, next, err = p.goOn(next, end, &s, nil)
		}
		var none *NoPriceError
		if errors.As(err, &none) {
			return bounded, nil // nor is there a price for what lies further on
		}
		if err != nil {
			return bounded, err
		}
		price += more
		after := s.clone()
		after.pro = proRata{band: -1}
		if err := p.forget(&after, end, to); err != nil {
			return bounded, err
		}
		put(label{at: end, cost: l.cost + price, passes: l.passes, before: l.state, state: after, prev: index, hourly: end < to})
	}
	return bounded, nil
}

// forget clears the caps whose windows have ended, so that states which differ
// in the past alone are equal.
func (p *pricer) forget(s *state, c, to int64) error {
	if len(s.caps) == 0 || c >= to {
		return nil
	}
	at, err := p.at(p.clock.wall(c))
	if err != nil {
		return err
	}
	cloned := false
	for i := range s.caps {
		if key := &s.caps[i].key; *key == noWindow || p.class.caps[i].per == "occurrence" && *key >= at.day-1 || p.class.caps[i].per != "occurrence" && *key >= p.windowKey(i, &at) {
			continue
		}
		if !cloned {
			s.caps, cloned = slices.Clone(s.caps), true
		}
		s.caps[i] = capState{key: noWindow}
	}
	return nil
}

// asGood tells whether nothing that can follow b is cheaper than it is after
// a: a cost no more and, within each cap, has charged no less.
func (a *label) asGood(b *label) bool {
	x, y := &a.state, &b.state
	if compareLabels(a, b) > 0 || a.cost > b.cost || a.hourly && !b.hourly || x.lastBand != y.lastBand || x.lastDay != y.lastDay || x.entries != y.entries || !slices.Equal(x.counters, y.counters) {
		return false
	}
	for i := range x.caps {
		if y.caps[i].used > 0 && (x.caps[i].key != y.caps[i].key || x.caps[i].used < y.caps[i].used) {
			return false
		}
	}
	return true
}

func compareLabels(a, b *label) int {
	switch {
	case a.cost != b.cost && a.cost < b.cost, a.cost == b.cost && a.passes < b.passes:
		return -1
	case a.cost != b.cost || a.passes != b.passes:
		return 1
	}
	return 0
}

// passStarts gives the charged seconds within (from, to) at which the period
// of a pass begins.
func (p *pricer) passStarts(passes []*Pass, from, to int64) ([]int64, error) {
	var starts []int64
	first := dayOf(p.local(p.clock.wall(from)))
	last := dayOf(p.local(p.clock.wallEnd(to)))
	for day := first; day <= last; day++ {
		for _, s := range passes {
			begin, _, holds, err := p.period(s.When, day)
			if err != nil {
				return nil, err
			}
			if c := p.clock.charged(begin); holds && from < c && c < to {
				starts = append(starts, c)
			}
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts), nil
}
