package trial

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"freeflow/parking/city"
)

// What is assumed of the demand. None of it is measured.
const (
	// Streets make a walk and a drive longer than the straight line.
	detourPerMille      = 1300
	driveDetourPerMille = 1400
	// metresPerSecond is the speed in traffic, 18 km/h.
	metresPerSecond = 5.0
	// Stays are log-normal, median 75 min, cut to 15 min to 8 h.
	stayMedian, staySigma  = 75.0, 0.6
	stayShortest, stayMost = 15, 480
	// patience is how long a driver goes on looking after he would have
	// reached his destination.
	patience = 15 * 60
	// nearMetres is how close to his bay a driver is no longer moved.
	nearMetres = 200
	// firstHour of the day, local time.
	firstHour = 7
)

// profile is the demand of each hour from 07:00 as a percentage of the busy
// hours'.
var profile = [...]int{40, 60, 80, 90, 100, 100, 100, 100, 100, 100, 100, 100, 100, 80, 50, 30}

// midnight of the simulated day in Hong Kong (UTC+8, no daylight saving time).
var midnight = time.Date(2026, 11, 24, 0, 0, 0, 0, time.FixedZone("HKT", 8*3600))

// hotspots are the share of the demand that goes to a few places: the business
// area at the station, the waterfront, and a housing estate's centre, as metres
// on the grid. Positions and shares are assumed.
var hotspots = []city.Point{{X: -200, Y: -350}, {X: -900, Y: 0}, {X: 700, Y: 300}}

// demand makes the drivers of a day: Poisson arrivals that follow the profile,
// destinations within 450 m of a car park (60 %, chosen by its bays) or of a
// hotspot (40 %), starts 1 to 3 km away, limits of HK$22 to 40 an hour and 300
// to 900 m, weights of money of 0.2 to 0.8. A driver for whom no car park is
// within his limits even when all are empty is drawn again, as no policy could
// serve him.
func (t *town) demand(loadPercent int, seed uint64, hours int) ([]*driver, error) {
	r := rand.New(rand.NewPCG(seed, 0x5061726b))
	meanStay := t.meanStay()
	busy := float64(loadPercent) / 100 * float64(t.bays()) / (meanStay * 60) // arrivals a second
	parks := t.carParks(func(s int, kind city.Kind) int { return t.sites[s].bays[kind] })
	var drivers []*driver
	for at := r.ExpFloat64() / busy; at < float64(hours*3600); at += r.ExpFloat64() / busy {
		if r.IntN(100) >= profile[int(at)/3600] {
			continue
		}
		d, err := t.driver(r, parks, fmt.Sprintf("d%06d", len(drivers)), int64(at))
		if err != nil {
			return nil, err
		}
		drivers = append(drivers, d)
	}
	return drivers, nil
}

// meanStay is the mean of drawn stays in minutes, by the same law, so that the
// load is what it is said to be in spite of the cuts.
func (t *town) meanStay() float64 {
	r := rand.New(rand.NewPCG(1, 0x53746179))
	const draws = 20_000
	sum := 0
	for range draws {
		sum += drawStay(r)
	}
	return float64(sum) / draws
}

func drawStay(r *rand.Rand) int {
	return min(max(int(stayMedian*math.Exp(staySigma*r.NormFloat64())), stayShortest), stayMost)
}

func (t *town) driver(r *rand.Rand, parks []city.CarPark, id string, at int64) (*driver, error) {
	for range 1000 {
		kind := plain
		switch n := r.IntN(100); {
		case n < 7:
			kind = charger
		case n < 9:
			kind = accessible
		}
		stay := drawStay(r)
		hours := int64(stay+59) / 60
		asked := midnight.Add(firstHour*time.Hour + time.Duration(at)*time.Second)
		destination := t.destination(r)
		ask := city.Driver{
			ID: id, Requested: asked, Destination: destination, Position: around(r, destination, 1000, 3000),
			MaxPriceCents: 100 * (22 + r.Int64N(19)) * hours, MaxWalkMetres: 300 + 50*r.Int64N(13),
			LambdaPerMille: 200 + r.IntN(601), Kind: kind, HeightMM: 1450 + 10*r.IntN(51), StayMinutes: stay,
		}
		places, _, err := city.Places(city.Batch{At: asked, CarParks: parks, Walk: t.walk}, ask)
		if err != nil {
			return nil, fmt.Errorf("drawing a driver: %w", err)
		}
		if len(places) > 0 {
			return &driver{ask: ask, places: places, asked: at}, nil
		}
	}
	return nil, fmt.Errorf("drawing a driver: none of 1000 has a car park within his limits")
}

func (t *town) destination(r *rand.Rand) city.Point {
	if r.IntN(100) < 40 {
		return around(r, hotspots[r.IntN(len(hotspots))], 0, 450)
	}
	n := r.IntN(t.bays())
	for _, s := range t.sites {
		if n -= s.total(); n < 0 {
			return around(r, s.position, 0, 450)
		}
	}
	return t.sites[0].position
}

// around is a point between two distances from a middle, uniform by area.
func around(r *rand.Rand, middle city.Point, least, most float64) city.Point {
	radius := math.Sqrt(least*least + r.Float64()*(most*most-least*least))
	sin, cos := math.Sincos(2 * math.Pi * r.Float64())
	return city.Point{X: middle.X + int64(math.Round(radius*cos)), Y: middle.Y + int64(math.Round(radius*sin))}
}
