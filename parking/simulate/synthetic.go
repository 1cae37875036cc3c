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
	return fmt.Sprintf("The demand is synthetic, not observed: commuters for %d %% of the bays, about 9 hours from about 8:30, "+
		"and short stays for %d %%, 2 hours on average between 8 and 21; the stay is known on arrival with an error of %d %%.",
		s.LoadPercent*60/100, s.LoadPercent, s.ErrorPercent)
}

// Day draws one day.
func (s Synthetic) Day(start time.Time, r *rand.Rand) []Arrival {
	commuters, short := s.Bays*s.LoadPercent*60/10_000, s.Bays*s.LoadPercent/100
	// What makes a day differ from the next: a tenth more or less.
	count := func(n int) int { return max(0, n+int(math.Round(r.NormFloat64()*float64(n)/20))) }
	all := make([]Arrival, 0, commuters+short+8)
	add := func(hours, stay float64) {
		hours = min(max(hours, 0), 23.99)
		a := Arrival{At: start.Add(time.Duration(hours * float64(time.Hour))), Vehicle: s.Vehicle,
			Stay: time.Duration(stay * float64(time.Hour))}
		known := stay * max(0.2, 1+r.NormFloat64()*float64(s.ErrorPercent)/100)
		a.Expected = time.Duration(known * float64(time.Hour)).Truncate(time.Second)
		a.At, a.Stay = a.At.Truncate(time.Millisecond), a.Stay.Truncate(time.Millisecond)
		a.Vehicle.EV = r.IntN(100) < s.ElectricPercent
		all = append(all, a)
	}
	for range count(commuters) {
		add(8.5+0.75*r.NormFloat64(), max(4, 9+0.75*r.NormFloat64()))
	}
	for range count(short) {
		// A day with a broad top: the sum of three dice.
		hours := 8 + 13*(r.Float64()+r.Float64()+r.Float64())/3
		// Log-normal with a mean of 2 hours.
		const sigma = 0.6
		add(hours, min(max(0.25, math.Exp(math.Log(2)-sigma*sigma/2+sigma*r.NormFloat64())), 10))
	}
	slices.SortStableFunc(all, func(a, b Arrival) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	return all
}
