package allocator

import (
	"math"
	"time"

	"freeflow/parking/mechanism"
)

// Outlook is what a forecast says of the next hours of one car park: how much a
// later vehicle would lose by a bay being taken, for each grade of bays and
// quarter of an hour. It is made by Look, never changed, and safe for concurrent
// use; one that is some minutes old is good enough.
type Outlook struct {
	// price[g][n] is what holding a bay of grade g costs others from now until
	// n quarters from now, in milliseconds, for the time before.
	price [][quarters + 1]float64
	// peakPermille is the highest expected occupancy, in thousandths of all
	// bays; peakAt when.
	peakPermille int
	peakAt       time.Time
	// ratePermille is the expected arrivals in the next half hour, thousandths.
	ratePermille int
	stay         time.Duration
	// electric is how many electric vehicles come in the next two hours.
	electric int
}

// Standing is a vehicle that stands in a bay: when it came and when it is
// expected to leave; zero if nobody has said.
type Standing struct {
	Bay             int
	Arrived, Leaves time.Time
}

// Asked is the chance, 0 to 1, that a vehicle that stands is asked for within
// that span from an instant: what is expected of its stay is wrong by 30 % of it
// (standard deviation of a normal distribution, at least five minutes). Who is
// long overdue may come at any time: a half.
func (f *Forecast) Asked(s Standing, at time.Time, within time.Duration) float64 {
	leaves := s.Leaves
	if leaves.IsZero() {
		stay := f.Stay(s.Arrived)
		if stay == 0 {
			stay = 2 * time.Hour
		}
		leaves = s.Arrived.Add(stay)
	}
	deviation := max(0.3*leaves.Sub(s.Arrived).Seconds(), 300)
	by := func(t time.Time) float64 { return chance(t.Sub(leaves).Seconds() / deviation) }
	before := by(at)
	if before > 0.999 {
		return 0.5
	}
	return (by(at.Add(within)) - before) / (1 - before)
}

// Look works out an outlook: vehicles that stand leave as they are expected to,
// new ones come and stay as the forecast says and take the cheapest bays. The
// bays of a grade are then short with some probability; while they are, one that
// is held costs the next vehicle the way to a dearer grade, once per stay.
//
// Below about 55 % of the bays no grade is ever short but the best ones, whose
// turnover the price then protects; where all grades are plentiful it is 0.
func Look(v *View, f *Forecast, standing []Standing) *Outlook {
	l := v.layout
	o := &Outlook{price: make([][quarters + 1]float64, len(l.grades)), stay: f.Stay(v.At)}
	o.ratePermille = int(f.Rate(v.At)*500 + 0.5)
	const step = 15 * time.Minute
	// leaves[g][n] is how many of the standing leave within quarter n.
	leaves := make([][quarters + 1]float64, len(l.grades))
	free := make([]float64, len(l.grades))
	v.each(func(b int) { free[l.bays[b].grade]++ })
	inside := float64(v.occupied)
	for _, s := range standing {
		g := l.bays[s.Bay].grade
		leave := s.Leaves
		if leave.IsZero() {
			stay := f.Stay(s.Arrived)
			if stay == 0 {
				stay = 2 * time.Hour
			}
			leave = s.Arrived.Add(stay)
		}
		// Who is overdue leaves in the next half hour or so.
		n := max(int(leave.Sub(v.At)/step), 1)
		if n <= quarters {
			leaves[g][n]++
		}
	}
	// coming[n] are the new ones of quarter n that are still inside is made up
	// as it goes: day hours and rates of the quarters to come.
	var rates [quarters]float64
	var days [quarters]int
	for n := range quarters {
		at := v.At.Add(time.Duration(n) * step)
		rates[n] = f.Rate(at) / 4
		_, days[n] = f.slot(at)
	}
	next := 0.0
	for n := range 8 {
		next += rates[n]
	}
	o.electric = int(math.Ceil(next*f.Electric() - 0.25))
	gone := 0.0
	for n := range quarters {
		newcomers := 0.0
		for k := 0; k <= n; k++ {
			newcomers += rates[k] * f.survive(days[k], n-k)
		}
		for g := range free {
			free[g] += leaves[g][n]
			gone += leaves[g][n]
		}
		if now := int((inside + newcomers - gone) * 1000 / float64(max(len(l.bays), 1))); now > o.peakPermille {
			o.peakPermille, o.peakAt = now, v.At.Add(time.Duration(n)*step)
		}
		// turnover is how many later vehicles one bay would serve in this
		// quarter: by their stay, at most as many as come.
		mean := f.Stay(v.At.Add(time.Duration(n)*step)).Hours() * 4
		turnover := 0.0
		if mean > 0 {
			turnover = min(1/mean, rates[n])
		}
		// short[g] is the chance that grades up to g are all taken.
		cheaper := 0.0
		deviation := math.Sqrt(newcomers + 1)
		expected := make([]float64, len(free)+1)
		for g := range free {
			cheaper += free[g]
			expected[g] = chance((newcomers - cheaper) / deviation)
		}
		for g := range free {
			loss := 0.0
			for h := g; h+1 < len(free); h++ {
				// With grades up to h gone the next one costs that much more.
				loss += expected[h] * float64(l.grades[h+1].cost-l.grades[h].cost)
			}
			o.price[g][n+1] = o.price[g][n] + turnover*loss
		}
	}
	return o
}

// chance is the standard normal distribution.
func chance(z float64) float64 {
	if z < -6 {
		return 0
	}
	return 0.5 * math.Erfc(-z/math.Sqrt2)
}

// hold is what keeping a bay of the grade for that long costs others.
func (o *Outlook) hold(grade int, stay time.Duration) mechanism.Millis {
	if o == nil {
		return 0
	}
	n := min(max(int(stay/(15*time.Minute)), 0), quarters)
	return mechanism.Millis(o.price[grade][n])
}

// Peak is the highest occupancy expected within the hours looked ahead, in
// thousandths of all bays, and when.
func (o *Outlook) Peak() (permille int, at time.Time) { return o.peakPermille, o.peakAt }
