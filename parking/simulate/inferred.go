package simulate

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"freeflow/parking"
)

// Inferred is a demand worked out from how many bays a site had free: the
// arrivals by hour that, with a law of how long vehicles stay, give the
// occupancy that was seen. How long single vehicles stayed is in no such series:
// the law is assumed to be a mixture of short stays (2 hours on average) and
// long ones (about 9 or 12 hours); of the mixtures that fit, the one with the
// fewest arrivals is taken. What came
// and went between two numbers is not seen, so that the net flow is a lower
// bound of the gross one.
type Inferred struct {
	// Site is the car park's id.
	Site string
	// Rates are arrivals an hour at the site by the hour of the day, of working
	// days and of weekends.
	Rates [2][24]float64
	// LongPercent of those who arrive stay about LongHours, by the fit.
	LongPercent, LongHours int
	// Swing is the highest number of vehicles that turn over on working days:
	// those that never leave cannot be seen.
	Swing float64
	// level is the most free bays by kind of day; zone the site's.
	level [2]float64
	zone  *time.Location
}

// The kinds of days.
const (
	working = 0
	weekend = 1
)

func dayKind(day time.Time) int {
	if d := day.Weekday(); d == time.Saturday || d == time.Sunday {
		return weekend
	}
	return working
}

// profile is the mean number of free bays by kind of day and hour.
type profile [2][24]float64

// hourly averages the samples of days that are used; hours of which there is
// none lie between their neighbours.
func hourly(samples []Sample, zone *time.Location, use func(day time.Time) bool) (profile, error) {
	var sum, n profile
	for _, s := range samples {
		local := s.At.In(zone)
		if !use(local) {
			continue
		}
		sum[dayKind(local)][local.Hour()] += float64(s.Free)
		n[dayKind(local)][local.Hour()]++
	}
	var p profile
	for kind := range p {
		seen := 0
		for h := range 24 {
			if n[kind][h] > 0 {
				p[kind][h] = sum[kind][h] / n[kind][h]
				seen++
			}
		}
		if seen < 12 {
			return p, fmt.Errorf("inferring a demand: of 24 hours %d are in the series (days of kind %d); 12 are needed", seen, kind)
		}
		for h := range 24 {
			if n[kind][h] > 0 {
				continue
			}
			before, after := 1, 1
			for n[kind][(h+24-before)%24] == 0 {
				before++
			}
			for n[kind][(h+after)%24] == 0 {
				after++
			}
			a, b := p[kind][(h+24-before)%24], p[kind][(h+after)%24]
			p[kind][h] = a + (b-a)*float64(before)/float64(before+after)
		}
	}
	return p, nil
}

// stays is the share of vehicles that are still there after so many hours.
func stays(hours float64, longShare float64, longHours int) float64 {
	if hours <= 0 {
		return 1
	}
	normal := func(z float64) float64 { return 0.5 * math.Erfc(z/math.Sqrt2) }
	const sigma = shortSigma
	short := normal((math.Log(hours) - (math.Log(shortHours) - sigma*sigma/2)) / sigma)
	long := normal((hours - float64(longHours)) / longDeviation)
	return longShare*long + (1-longShare)*short
}

// kernel[h][u] is how many of one arrival an hour in hour u are there in hour h,
// the days being alike.
func kernel(longShare float64, longHours int) (k [24][24]float64) {
	for h := range 24 {
		for u := range 24 {
			for day := range 3 {
				if gap := h - u + 24*day; gap == 0 {
					// Within the hour itself the mean vehicle has been there for
					// some part of it.
					k[h][u] += (stays(0, longShare, longHours) + stays(1, longShare, longHours)) / 4
				} else if gap > 0 {
					k[h][u] += (stays(float64(gap)-0.5, longShare, longHours) + stays(float64(gap)+0.5, longShare, longHours)) / 2
				}
			}
		}
	}
	return k
}

// solve finds rates that are not negative and give the occupancy best, by the
// multiplicative steps of Richardson and Lucy.
func solve(k [24][24]float64, occupied [24]float64) (rates [24]float64, wrong float64) {
	for h := range rates {
		rates[h] = 1
	}
	var made [24]float64
	apply := func() {
		for h := range 24 {
			made[h] = 1e-9
			for u := range 24 {
				made[h] += k[h][u] * rates[u]
			}
		}
	}
	for range 100 {
		apply()
		for u := range 24 {
			up, down := 0.0, 1e-9
			for h := range 24 {
				up += k[h][u] * occupied[h] / made[h]
				down += k[h][u]
			}
			rates[u] *= up / down
		}
	}
	apply()
	for h := range 24 {
		wrong += math.Abs(made[h] - occupied[h])
	}
	return rates, wrong / 24
}

// Infer works a demand out of the samples of the days that use admits (the day
// is any instant of it in the zone): leave public holidays out, and the days
// that it is to be tested on.
func Infer(site string, samples []Sample, zone *time.Location, use func(day time.Time) bool) (*Inferred, error) {
	p, err := hourly(samples, zone, use)
	if err != nil {
		return nil, err
	}
	type fit struct {
		*Inferred
		wrong, arrivals float64
	}
	var fits []fit
	least := math.Inf(1)
	for _, hours := range []int{9, 12} {
		for percent := 0; percent <= 100; percent += 20 {
			k := kernel(float64(percent)/100, hours)
			try := fit{Inferred: &Inferred{Site: site, zone: zone, LongPercent: percent, LongHours: hours}}
			for kind := range p {
				var occupied [24]float64
				try.level[kind] = slices.Max(p[kind][:])
				for h := range 24 {
					occupied[h] = try.level[kind] - p[kind][h]
				}
				var wrong float64
				try.Rates[kind], wrong = solve(k, occupied)
				try.wrong += wrong / 2
				for _, r := range try.Rates[kind] {
					try.arrivals += r
				}
			}
			fits, least = append(fits, try), min(least, try.wrong)
		}
	}
	// Many laws explain the same occupancy: quick turnover with many arrivals as
	// well as long stays with few. Of those that fit about as well the one with
	// the fewest arrivals is taken, which claims least. As well is to within a
	// thirtieth of the swing, less than by which half of the days differ from the
	// other half.
	swing := slices.Max(p[working][:]) - slices.Min(p[working][:])
	if swing < 1 {
		return nil, fmt.Errorf("inferring a demand: the free bays of %q do not change over the day", site)
	}
	asWell := swing / 30
	best := fit{arrivals: math.Inf(1)}
	for _, f := range fits {
		if f.wrong <= least+asWell && f.arrivals < best.arrivals {
			best = f
		}
	}
	best.Swing = swing
	return best.Inferred, nil
}

// Free is how many bays the inferred demand expects to be free by the hour of a
// working day (0) or weekend (1).
func (d *Inferred) Free(kind int) (free [24]float64) {
	k := kernel(float64(d.LongPercent)/100, d.LongHours)
	for h := range 24 {
		free[h] = d.level[kind]
		for u := range 24 {
			free[h] -= k[h][u] * d.Rates[kind][u]
		}
	}
	return free
}

// MeanError is the mean absolute difference, in bays, of the hourly means of the
// samples of the days that use admits from what Free expects, over all hours of
// both kinds of days; flat the same for their mean, as a measure of nothing
// learnt.
func (d *Inferred) MeanError(samples []Sample, use func(day time.Time) bool) (inferred, flat float64, err error) {
	p, err := hourly(samples, d.zone, use)
	if err != nil {
		return 0, 0, err
	}
	for kind := range p {
		free := d.Free(kind)
		mean := 0.0
		for _, f := range free {
			mean += f / 24
		}
		for h := range 24 {
			inferred += math.Abs(p[kind][h]-free[h]) / 48
			flat += math.Abs(p[kind][h]-mean) / 48
		}
	}
	return inferred, flat, nil
}

// At scales the demand to a car park of that many bays, so that on a working day
// peakPercent of them are expected to be taken at the highest by vehicles that
// turn over.
func (d *Inferred) At(bays, peakPercent, errorPercent int, vehicle parking.Vehicle) Demand {
	return scaled{d, float64(bays) * float64(peakPercent) / 100 / d.Swing, peakPercent, errorPercent, vehicle}
}

type scaled struct {
	*Inferred
	scale                     float64
	peakPercent, errorPercent int
	vehicle                   parking.Vehicle
}

func (s scaled) Name() string {
	return fmt.Sprintf("inferred from %s, peak at %d %%", s.Site, s.peakPercent)
}

func (s scaled) Note() string {
	return fmt.Sprintf("The demand is inferred, not observed: arrivals that, with an assumed law of stays (%d %% about %d hours, "+
		"the rest 2 hours on average), give the free bays of %s as published (data.gov.hk, 2026-01-29 to 03-04, by github "+
		"Bryantsui/wilson-parking-data), scaled so that %d %% of the bays are taken at the peak. What came and went between two "+
		"numbers is not seen: the net flow is a lower bound.", s.LongPercent, s.LongHours, s.Site, s.peakPercent)
}

func (s scaled) Day(start time.Time, r *rand.Rand) []Arrival {
	var all []Arrival
	kind := dayKind(start)
	for h := range 24 {
		for range poisson(s.Rates[kind][h]*s.scale, r) {
			at := start.Add(time.Duration((float64(h) + r.Float64()) * float64(time.Hour))).Truncate(time.Millisecond)
			hours := shortStay(r)
			if r.IntN(100) < s.LongPercent {
				hours = max(1, float64(s.LongHours)+longDeviation*r.NormFloat64())
			}
			all = append(all, arrival(at, hours, s.errorPercent, s.vehicle, r))
		}
	}
	slices.SortStableFunc(all, func(a, b Arrival) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	return all
}

// poisson draws a number with that mean, by Knuth's product of uniform numbers,
// in parts of at most 20 so that the product does not vanish.
func poisson(mean float64, r *rand.Rand) int {
	n := 0
	for mean > 0 {
		part := min(mean, 20)
		mean -= part
		for p := r.Float64(); p > math.Exp(-part); p *= r.Float64() {
			n++
		}
	}
	return n
}
