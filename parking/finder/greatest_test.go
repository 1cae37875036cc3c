package finder

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"freeflow/internal/clock"
	"freeflow/parking"
)

// TestTheGreatestRound: as many drivers as are decided on together, at sixty
// car parks, a third of the places held in pools. All are sent somewhere or told
// why not, and no car park gets more than it has.
func TestTheGreatestRound(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	cents := map[string]int64{}
	var parks []*parking.CarPark
	for n := range 60 {
		id := fmt.Sprintf("p%02d", n)
		p := site(id, int64(rng.IntN(3000)), 10, 5)
		p.Published.Longitude += float64(rng.IntN(300)) / 1e4
		cents[id] = 1000 + 100*int64(rng.IntN(30))
		parks = append(parks, p)
	}
	w := newTown(t, sqliteURL(t), cents, parks...)
	for n := range 1000 {
		r := wish(fmt.Sprint("AB", n))
		r.LatE7, r.LonE7 = originLat+int64(rng.IntN(300_000)), originLon+int64(rng.IntN(300_000))
		r.LambdaPerMille, r.MaxWalkMetres = rng.IntN(1001), 300+rng.Int64N(1500)
		w.ask(r)
	}
	began := clock.System{}.Now()
	round := w.round()
	t.Logf("a round of %d drivers took %s: %+v", round.Drivers, clock.System{}.Now().Sub(began), round)
	if round.Drivers != 1000 || round.Assigned < 500 {
		t.Errorf("%+v", round)
	}
	for id, c := range round.CarParks {
		if c.UnderWay > 15 || c.Held > 5 {
			t.Errorf("%s: %+v", id, c)
		}
	}
}
