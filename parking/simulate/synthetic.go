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

// The law of stays: short ones are log-normal, long ones normal, in hours.
const (
	shortHours, shortSigma = 2.0, 0.6
	longHours              = 9.0
	longDeviation          = 0.75
)

// Synthetic is a made-up demand: commuters who fill a share of the bays for the
// working day, and short stays over the day.
type Synthetic struct {
	// Bays is the size of the car park; LoadPercent scales the demand: 60 % of it
	// times the bays are commuters, 100 % short stays, a day.
	Bays, LoadPercent int
	// ErrorPercent is the standard deviation of what is known of a stay on
	// arrival, in hundredths of the stay.
	ErrorPercent int
	// Vehicle is what comes, plates aside.
	Vehicle parking.Vehicle
	// ElectricPercent of the vehicles can charge.
	ElectricPercent int
}

// Name says which.
func (s Synthetic) Name() string { return fmt.Sprintf("synthetic, %d %% load", s.LoadPercent) }

// Note says what it is not.
func (s Synthetic) Note() string {
	return fmt.Sprintf("The demand is synthetic, not observed: each day commuters for %d %% of the bays, about 9 hours from about 8:30, "+
		"and short stays for %d %%, 2 hours on average, coming between 8 and 22; the stay is known on arrival with an error of %d %%.",
		s.LoadPercent*60/100, s.LoadPercent, s.ErrorPercent)
}

// Day draws one day.
func (s Synthetic) Day(start time.Time, r *rand.Rand) []Arrival {
	commuters, short := s.Bays*s.LoadPercent*60/10_000, s.Bays*s.LoadPercent/100
	// What makes a day differ from the next: a twentieth more or less.
	count := func(n int) int { return max(0, n+int(math.Round(r.NormFloat64()*float64(n)/20))) }
	all := make([]Arrival, 0, commuters+short+8)
	add := func(hour, stay float64) {
		hour = min(max(hour, 0), 23.99)
		a := arrival(start.Add(time.Duration(hour*float64(time.Hour))).Truncate(time.Millisecond), stay, s.ErrorPercent, s.Vehicle, r)
		a.Vehicle.EV = r.IntN(100) < s.ElectricPercent
		all = append(all, a)
	}
	for range count(commuters) {
		add(8.5+0.75*r.NormFloat64(), max(4, longHours+longDeviation*r.NormFloat64()))
	}
	for range count(short) {
		// Most in the middle of the day: the sum of two dice.
		add(8+14*(r.Float64()+r.Float64())/2, shortStay(r))
	}
	slices.SortStableFunc(all, func(a, b Arrival) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	return all
}

func shortStay(r *rand.Rand) float64 {
	return min(max(0.25, math.Exp(math.Log(shortHours)-shortSigma*shortSigma/2+shortSigma*r.NormFloat64())), 10)
}

// arrival is a vehicle that stays for so many hours, of which the forecast is
// wrong by errorPercent.
func arrival(at time.Time, hours float64, errorPercent int, v parking.Vehicle, r *rand.Rand) Arrival {
	known := hours * max(0.2, 1+r.NormFloat64()*float64(errorPercent)/100)
	return Arrival{At: at, Vehicle: v, Stay: time.Duration(hours * float64(time.Hour)).Truncate(time.Millisecond),
		Expected: time.Duration(known * float64(time.Hour)).Truncate(time.Second)}
}
