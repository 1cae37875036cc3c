package tariff

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sort"
	"time"
)

// The oracle prices a stay the slow way: it lists every charged second, asks
// for each the band from the rules as they are written, and tries every plan
// of passes. It shares no code with the engine beyond the types of a tariff.

var errNoPrice = errors.New("no price")

type oracle struct {
	t        *Tariff
	r        *Rules
	zone     *time.Location
	holiday  func(y int, m time.Month, d int) bool
	seconds  []int64 // the wall second of each charged second
	entry    int64
	minutes  map[int64]oraclePlace
	counter  map[int]int64
	lastBand int
	lastDay  string
	entered  map[int]bool
	used     map[string]int64
	price    int64
	// the run of pro rata steps under way
	proBand              int
	proPrice, proN, done int64
}

type oraclePlace struct {
	band  int
	day   string // local date
	began string // local date on which the band's stretch began
}

// wall gives the second at which charged second c begins; after the stay the
// clock runs on.
func (o *oracle) wall(c int64) int64 {
	if n := int64(len(o.seconds)); c >= n {
		if n == 0 {
			return o.entry + c
		}
		return o.seconds[n-1] + 1 + c - n
	}
	return o.seconds[c]
}

func (o *oracle) names(days []Day, exclude bool, date time.Time) int {
	isHoliday := func(x time.Time) bool { return o.holiday(x.Date()) }
	best := 0
	for _, d := range days {
		switch string(d) {
		case "PH":
			if isHoliday(date) {
				best = max(best, 3)
			}
		case "PH_EVE":
			if isHoliday(date.AddDate(0, 0, 1)) && !(exclude && isHoliday(date)) {
				best = max(best, 2)
			}
		default:
			if string(d) == map[time.Weekday]string{0: "SUN", 1: "MON", 2: "TUE", 3: "WED", 4: "THU", 5: "FRI", 6: "SAT"}[date.Weekday()] && !(exclude && isHoliday(date)) {
				best = max(best, 1)
			}
		}
	}
	return best
}

func (o *oracle) at(wall int64) oraclePlace {
	key := wall / 60
	if p, ok := o.minutes[key]; ok {
		return p
	}
	local := time.Unix(wall, 0).In(o.zone)
	minute := local.Hour()*60 + local.Minute()
	today := time.Date(local.Year(), local.Month(), local.Day(), 12, 0, 0, 0, time.UTC)
	yesterday := today.AddDate(0, 0, -1)
	p := oraclePlace{band: -1, day: today.Format(time.DateOnly)}
	bestPriority, bestRank := 0, 0
	for i, b := range o.r.Bands {
		from, to := int(b.From), int(b.To)
		rank, began := 0, today
		switch {
		case from < to:
			if from <= minute && minute < to {
				rank = o.names(b.Days, b.ExcludePublicHoliday, today)
			}
		case minute >= from:
			rank = o.names(b.Days, b.ExcludePublicHoliday, today)
		case minute < to:
			began = yesterday
			judged := yesterday
			if o.t.Options.Midnight == "split" {
				judged = today
			}
			rank = o.names(b.Days, b.ExcludePublicHoliday, judged)
		}
		if rank > 0 && (p.band < 0 || b.Priority > bestPriority || b.Priority == bestPriority && rank > bestRank) {
			p.band, p.began, bestPriority, bestRank = i, began.Format(time.DateOnly), b.Priority, rank
		}
	}
	o.minutes[key] = p
	return p
}

// round divides as the tariff says.
func (o *oracle) round(numerator, denominator int64) int64 {
	r := big.NewRat(numerator, denominator)
	if o.t.Options.Rounding == "half_up" {
		r.Add(r, big.NewRat(1, 2))
	}
	q := new(big.Int).Div(r.Num(), r.Denom())
	if o.t.Options.Rounding == "up" && !r.IsInt() {
		q.Add(q, big.NewInt(1))
	}
	return q.Int64()
}

// unitPrice is the price of a unit that begins now in a band.
func (o *oracle) unitPrice(p oraclePlace, keep bool) int64 {
	counter, lastBand, lastDay := o.counter, o.lastBand, o.lastDay
	if !keep {
		o.counter = map[int]int64{}
		for k, v := range counter {
			o.counter[k] = v
		}
		defer func() { o.counter, o.lastBand, o.lastDay = counter, lastBand, lastDay }()
	}
	reset := o.t.Options.ThresholdReset
	if o.lastBand >= 0 && ((reset == "band" || reset == "band_or_day") && o.lastBand != p.band || (reset == "day" || reset == "band_or_day") && o.lastDay != p.day) {
		o.counter = map[int]int64{}
	}
	o.lastBand, o.lastDay = p.band, p.day
	b := o.r.Bands[p.band]
	for _, th := range b.Thresholds {
		if o.counter[o.counterOf(p.band)] < int64(th.UntilMinutes)*60 {
			return int64(th.Price)
		}
	}
	return int64(b.Price)
}

func (o *oracle) counterOf(band int) int {
	if o.t.Options.ThresholdCounts == "stay" {
		return 0
	}
	return band
}

// charge takes an amount through the caps of the band in which it began.
func (o *oracle) charge(amount int64, p oraclePlace, wall int64) {
	caps := slices.Clone(o.r.Caps)
	order := map[string]int{"occurrence": 0, "reset_time": 1, "calendar_day": 2, "24h_from_entry": 3, "stay": 4}
	sort.Slice(caps, func(i, j int) bool {
		inner := func(c Cap) bool { return len(c.Bands) > 0 || c.Per == "occurrence" }
		if inner(caps[i]) != inner(caps[j]) {
			return inner(caps[i])
		}
		if order[caps[i].Per] != order[caps[j].Per] {
			return order[caps[i].Per] < order[caps[j].Per]
		}
		return caps[i].ID < caps[j].ID
	})
	for _, c := range caps {
		if len(c.Bands) > 0 && !slices.Contains(c.Bands, o.r.Bands[p.band].ID) {
			continue
		}
		window := c.ID
		switch c.Per {
		case "occurrence":
			window += fmt.Sprint(p.band, p.began)
		case "calendar_day":
			window += p.day
		case "24h_from_entry":
			window += fmt.Sprint((wall - o.entry) / 86400)
		case "reset_time":
			local := time.Unix(wall, 0).In(o.zone)
			date := time.Date(local.Year(), local.Month(), local.Day(), 12, 0, 0, 0, time.UTC)
			if local.Hour()*60+local.Minute() < int(*c.ResetTime) {
				date = date.AddDate(0, 0, -1)
			}
			window += date.Format(time.DateOnly)
		}
		amount = min(amount, int64(c.Amount)-o.used[window])
		o.used[window] += amount
	}
	o.price += amount
}

// hourly prices charged seconds [from, to), unit by unit.
func (o *oracle) hourly(from, to int64) error {
	o.proBand = -1
	for c := from; c < to; {
		wall := o.wall(c)
		p := o.at(wall)
		if p.band < 0 {
			return errNoPrice
		}
		b := o.r.Bands[p.band]
		if b.PerEntry {
			o.unitPrice(p, true)
			o.proBand = -1
			if !o.entered[p.band] {
				o.entered[p.band] = true
				o.charge(int64(b.Price), p, wall)
			}
			for c < to && o.at(o.wall(c)) == p {
				o.counter[o.counterOf(p.band)]++
				c++
			}
			continue
		}
		length := int64(b.UnitMinutes) * 60
		if b.StepMinutes > 0 {
			length = int64(b.StepMinutes) * 60
		}
		end := c + length
		if o.t.Options.UnitStart == "clock" {
			local := time.Unix(wall, 0).In(o.zone)
			second := int64(local.Hour()*3600 + local.Minute()*60 + local.Second())
			stop := wall + min(length-second%length, 86400-second)
			for end = c; o.wall(end) < stop; end++ {
			}
		}
		c = o.unit(c, end, to, length, p)
	}
	return nil
}

// unit prices one unit [c, end) and gives where the next begins.
func (o *oracle) unit(c, end, to, length int64, p oraclePlace) int64 {
	b := o.r.Bands[p.band]
	price := o.unitPrice(p, true)
	// The stretches of the unit: one for each band, day and beginning.
	type part struct {
		p        oraclePlace
		from, to int64
	}
	parts := []part{{p, c, c + 1}}
	foreign := false
	for s := c + 1; s < end; s++ {
		q := o.at(o.wall(s))
		last := &parts[len(parts)-1]
		if q == last.p {
			last.to = s + 1
			continue
		}
		if q.band < 0 || o.r.Bands[q.band].PerEntry {
			break
		}
		foreign = foreign || q.band != p.band
		parts = append(parts, part{q, s, s + 1})
	}
	parts[len(parts)-1].to = end
	straddle := o.t.Options.Straddle
	if foreign && straddle == "split" {
		o.proBand = -1
		for i, x := range parts {
			if i > 0 {
				price = o.unitPrice(x.p, true)
			}
			o.counter[o.counterOf(x.p.band)] += x.to - x.from
			o.charge(o.round(price*(x.to-x.from), int64(o.r.Bands[x.p.band].UnitMinutes)*60), x.p, o.wall(x.from))
		}
		return end
	}
	if foreign && straddle == "dearer" {
		best, bestPrice := p.band, price
		for _, x := range parts[1:] {
			if x.from >= to {
				break
			}
			other := o.unitPrice(x.p, false)
			if big.NewRat(other, int64(o.r.Bands[x.p.band].UnitMinutes)).Cmp(big.NewRat(bestPrice, int64(o.r.Bands[best].UnitMinutes))) > 0 {
				best, bestPrice = x.p.band, other
			}
		}
		if best != p.band {
			o.proBand = -1
			o.counter[o.counterOf(p.band)] += end - c
			o.charge(o.round(bestPrice*length, int64(o.r.Bands[best].UnitMinutes)*60), p, o.wall(c))
			return end
		}
	}
	if foreign && straddle == "cut" {
		for _, x := range parts {
			if x.p.band != p.band {
				end = x.from
				break
			}
		}
	}
	o.counter[o.counterOf(p.band)] += end - c
	if b.StepMinutes == 0 {
		o.proBand = -1
		o.charge(price, p, o.wall(c))
		return end
	}
	if o.proBand != p.band || o.proPrice != price {
		o.proBand, o.proPrice, o.proN, o.done = p.band, price, 0, 0
	}
	o.proN++
	sum := o.round(price*o.proN*int64(b.StepMinutes), int64(b.UnitMinutes))
	o.charge(sum-o.done, p, o.wall(c))
	o.done = sum
	return end
}

// stretch is a part of a plan: hourly, or a pass.
type stretch struct {
	from, to int64
	pass     *Pass
}

// evaluate prices a plan from scratch.
func (o *oracle) evaluate(plan []stretch) (int64, error) {
	o.counter, o.lastBand, o.lastDay, o.entered, o.used, o.price = map[int]int64{}, -1, "", map[int]bool{}, map[string]int64{}, 0
	for _, s := range plan {
		if s.pass != nil {
			o.price += int64(s.pass.Price)
		} else if err := o.hourly(s.from, s.to); err != nil {
			return 0, err
		}
	}
	return o.price, nil
}

// until gives the instant at which a pass begun at a wall second ends, and
// whether it can begin then.
func (o *oracle) until(s *Pass, wall int64) (end int64, ok bool) {
	local := time.Unix(wall, 0).In(o.zone)
	for back := range 2 {
		day := time.Date(local.Year(), local.Month(), local.Day()-back, 0, 0, 0, 0, o.zone)
		clock := func(days int, t TimeOfDay) int64 {
			return time.Date(day.Year(), day.Month(), day.Day()+days, 0, int(t), 0, 0, o.zone).Unix()
		}
		wraps := 0
		if s.To <= s.From {
			wraps = 1
		}
		noon := time.Date(day.Year(), day.Month(), day.Day(), 12, 0, 0, 0, time.UTC)
		if wall < clock(0, s.From) || wall >= clock(wraps, s.To) || o.names(s.Days, s.ExcludePublicHoliday, noon) == 0 {
			continue
		}
		following := map[string]int{"same-day": 0, "following-day": 1}[s.ValidUntil]
		hours := map[string]int64{"6-hours-park": 6, "12-hours-park": 12, "24-hours-park": 24}[s.Type]
		switch {
		case hours > 0 && s.ValidUntil == "no-restrictions":
			return wall + hours*3600, true
		case hours > 0 && s.ValidUntilEnd == nil:
			return min(wall+hours*3600, clock(following, 1440)), true
		case hours > 0:
			return min(wall+hours*3600, clock(following, *s.ValidUntilEnd)), true
		case s.ValidUntil == "no-restrictions":
			return clock(wraps, s.To), true
		case s.ValidUntilEnd != nil:
			return clock(following, *s.ValidUntilEnd), true
		case s.ValidUntil == "same-day":
			return min(clock(wraps, s.To), clock(1, 0)), true
		default:
			return clock(1, s.To), true
		}
	}
	return 0, false
}

// index gives the first charged second at or after an instant.
func (o *oracle) index(wall int64) int64 {
	return int64(sort.Search(len(o.seconds), func(i int) bool { return o.seconds[i] >= wall }))
}

// best tries every plan for [from, to).
func (o *oracle) best(from, to int64) (int64, error) {
	// Where the period of a pass begins.
	var begins []int64
	for c := from + 1; c < to; c++ {
		for i := range o.r.Passes {
			s := &o.r.Passes[i]
			for wall := o.wall(c-1) + 1; wall <= o.wall(c); wall++ {
				if wall%60 != 0 {
					continue
				}
				local := time.Unix(wall, 0).In(o.zone)
				if local.Hour()*60+local.Minute() != int(s.From) {
					continue
				}
				if o.names(s.Days, s.ExcludePublicHoliday, time.Date(local.Year(), local.Month(), local.Day(), 12, 0, 0, 0, time.UTC)) > 0 {
					begins = append(begins, c)
				}
			}
		}
	}
	begins = slices.Compact(begins)
	best, found := int64(0), false
	var try func(plan []stretch, at int64, mustPass bool)
	try = func(plan []stretch, at int64, mustPass bool) {
		if at >= to {
			if price, err := o.evaluate(plan); err == nil && (!found || price < best) {
				best, found = price, true
			}
			return
		}
		for i := range o.r.Passes {
			s := &o.r.Passes[i]
			if end, ok := o.until(s, o.wall(at)); ok {
				if next := min(to, o.index(end)); next > at {
					try(append(slices.Clone(plan), stretch{at, next, s}), next, false)
				}
			}
		}
		if mustPass {
			return
		}
		for _, b := range begins {
			if b > at {
				try(append(slices.Clone(plan), stretch{from: at, to: b}), b, true)
			}
		}
		try(append(slices.Clone(plan), stretch{from: at, to: to}), to, false)
	}
	try(nil, from, false)
	if !found {
		return 0, errNoPrice
	}
	return best, nil
}

// oraclePrice prices a stay with pauses by a tariff; it knows no discounts.
func oraclePrice(t *Tariff, class string, holiday func(y int, m time.Month, d int) bool, s Stay) (int64, error) {
	zone, err := time.LoadLocation(t.Zone)
	if err != nil {
		return 0, err
	}
	o := &oracle{t: t, r: t.Classes[class], zone: zone, holiday: holiday, entry: s.Entry.Unix(), minutes: map[int64]oraclePlace{}}
	for wall := s.Entry.Unix(); wall < s.Exit.Unix(); wall++ {
		paused := false
		for _, p := range s.Paused {
			paused = paused || p.Start.Unix() <= wall && wall < p.End.Unix()
		}
		if !paused {
			o.seconds = append(o.seconds, wall)
		}
	}
	total, start := int64(len(o.seconds)), int64(0)
	if total <= int64(o.r.FreeMinutes)*60 {
		return 0, nil
	}
	for _, g := range o.r.GracePeriods {
		if total <= int64(g.Minutes)*60 {
			return 0, nil
		}
	}
	if o.r.FreeFromStart != nil && *o.r.FreeFromStart {
		start = int64(o.r.FreeMinutes) * 60
	}
	if t.Options.Passes == "best_price" && len(o.r.Passes) > 0 {
		return o.best(start, total)
	}
	return o.evaluate([]stretch{{from: start, to: total}})
}
