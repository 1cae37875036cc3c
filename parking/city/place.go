package city

import (
	"fmt"
	"math"
)

// maxCoordinate bounds a grid coordinate, in metres.
const maxCoordinate = 500_000

// Point is a position on a local grid, in whole metres: X east and Y north of
// the grid's origin.
type Point struct{ X, Y int64 }

func (p Point) ok() bool {
	return p.X >= -maxCoordinate && p.X <= maxCoordinate && p.Y >= -maxCoordinate && p.Y <= maxCoordinate
}

// Grid turns degrees into metres around an origin: a plane with a fixed length
// of a degree each way, which is right within 1 in 1000 up to some 20 km from
// the origin at Hong Kong's latitude.
type Grid struct {
	latE7, lonE7 int64
	// millimetres in a degree, each way, at the origin.
	mmNorth, mmEast int64
}

// metresOfDegree is a degree of a great circle of the mean radius 6,371,008.8 m
// (IUGG).
const metresOfDegree = 6_371_008.8 * math.Pi / 180

// NewGrid returns the grid around an origin in degrees × 10⁷, WGS 84.
func NewGrid(latE7, lonE7 int64) (Grid, error) {
	if latE7 < -80e7 || latE7 > 80e7 || lonE7 < -180e7 || lonE7 > 180e7 {
		return Grid{}, fmt.Errorf("a grid around %d, %d (degrees × 10⁷): want a latitude within ±80 and a longitude within ±180 degrees", latE7, lonE7)
	}
	north := metresOfDegree * 1000
	return Grid{
		latE7: latE7, lonE7: lonE7,
		mmNorth: int64(math.Round(north)),
		mmEast:  int64(math.Round(north * math.Cos(float64(latE7)/1e7*math.Pi/180))),
	}, nil
}

// Point returns the position of a latitude and longitude in degrees × 10⁷,
// rounded to the metre. It refuses what lies more than 500 km away.
func (g Grid) Point(latE7, lonE7 int64) (Point, error) {
	if abs(latE7) > 90e7 || abs(lonE7) > 180e7 {
		return Point{}, fmt.Errorf("placing %d, %d on the grid: not degrees × 10⁷", latE7, lonE7)
	}
	p := Point{X: metres(lonE7-g.lonE7, g.mmEast), Y: metres(latE7-g.latE7, g.mmNorth)}
	if !p.ok() {
		return Point{}, fmt.Errorf("placing %d, %d on the grid: more than %d km from its origin", latE7, lonE7, maxCoordinate/1000)
	}
	return p, nil
}

func metres(deltaE7, mmDegree int64) int64 {
	return roundHalfUp(deltaE7*mmDegree, 1e10)
}

// roundHalfUp divides a by b > 0 and rounds to the nearest, halves upwards.
func roundHalfUp(a, b int64) int64 {
	q, r := a/b, a%b
	if r < 0 {
		q, r = q-1, r+b
	}
	if r >= b-r {
		q++
	}
	return q
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// Distance returns the straight distance in metres, rounded up, so that a
// limit is never passed by rounding.
func Distance(a, b Point) int64 {
	dx, dy := a.X-b.X, a.Y-b.Y
	square := dx*dx + dy*dy
	root := int64(math.Sqrt(float64(square)))
	for root*root > square {
		root--
	}
	for root*root < square {
		root++
	}
	return root
}

// Straight measures walks as the straight line times a factor for the streets
// in between, rounded up.
type Straight struct{ DetourPerMille int64 }

// Metres returns the walk in metres.
func (s Straight) Metres(from, to Point) int64 {
	return (Distance(from, to)*s.DetourPerMille + 999) / 1000
}

// Cost returns what a place costs driver d, in millionths:
//
//	J = λ·price/M + (1−λ)·walk/D
//
// with M and D his limits, computed as one fraction of whole numbers and
// rounded once, to the nearest, halves upwards. A limit of zero allows only a
// zero and adds nothing. A place beyond a limit costs OutsideCost.
func Cost(d Driver, priceCents, walkMetres int64) int64 {
	if priceCents > d.MaxPriceCents || walkMetres > d.MaxWalkMetres {
		return OutsideCost
	}
	m, w := max(d.MaxPriceCents, 1), max(d.MaxWalkMetres, 1)
	lambda := int64(d.LambdaPerMille)
	return roundHalfUp(1000*(lambda*priceCents*w+(1000-lambda)*walkMetres*m), m*w)
}
