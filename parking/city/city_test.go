package city_test

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/parking/city"
)

var (
	noon = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)
	car  = city.Kind{Class: "car"}
	ev   = city.Kind{Class: "car", EV: true}
)

// hourly charges so many cents for each begun hour, and nothing that is longer
// than most.
type hourly struct {
	cents int64
	most  time.Duration
}

var errTooLong = errors.New("no stay of that length")

func (h hourly) PriceFor(s city.Stay) (int64, error) {
	if h.most > 0 && s.Length > h.most {
		return 0, errTooLong
	}
	return h.cents * int64((s.Length+time.Hour-1)/time.Hour), nil
}

func park(id string, x, y, cents int64, free int) city.CarPark {
	return city.CarPark{ID: id, Position: city.Point{X: x, Y: y}, Free: map[city.Kind]int{car: free}, Tariff: hourly{cents: cents}}
}

func driver(id string, second int, x, y int64) city.Driver {
	return city.Driver{ID: id, Requested: noon.Add(time.Duration(second) * time.Second), Destination: city.Point{X: x, Y: y},
		MaxPriceCents: 4000, MaxWalkMetres: 1000, LambdaPerMille: 500, Kind: car, StayMinutes: 60}
}

// randomBatch makes a batch in which much is equal, full, or out of reach.
func randomBatch(r *rand.Rand, drivers, parks int) city.Batch {
	kinds := []city.Kind{car, car, car, ev, {Class: "car", Accessible: true}, {Class: "lgv"}}
	b := city.Batch{At: noon.Add(time.Minute), Walk: city.Straight{DetourPerMille: 1000 + r.Int64N(500)}}
	b.WaitingCost = []int64{0, city.OutsideCost, 3 * city.OutsideCost, city.MaxWaitingCost}[r.IntN(4)]
	b.WaitingGrowth = []int64{0, 0, 100_000, city.MaxWaitingCost}[r.IntN(4)]
	b.MovingCost = []int64{0, 0, 100_000, city.OutsideCost}[r.IntN(4)]
	for j := range parks {
		p := park(fmt.Sprintf("p%02d", j), 100*r.Int64N(20), 100*r.Int64N(20), 500*r.Int64N(8), r.IntN(4))
		if r.IntN(3) == 0 {
			p.Free[ev] = r.IntN(2)
		}
		if r.IntN(4) == 0 {
			p.Free[kinds[4]] = r.IntN(2)
		}
		if r.IntN(4) == 0 {
			p.MaxHeightMM = 1800 + 100*r.IntN(4)
		}
		if r.IntN(6) == 0 {
			p.Tariff = hourly{cents: 1000, most: time.Hour}
		}
		b.CarParks = append(b.CarParks, p)
	}
	for i := range drivers {
		d := city.Driver{ID: fmt.Sprintf("d%03d", i), Requested: noon.Add(-time.Duration(r.IntN(30)) * time.Second),
			Destination:   city.Point{X: 100 * r.Int64N(20), Y: 100 * r.Int64N(20)},
			MaxPriceCents: 1500 * r.Int64N(12), MaxWalkMetres: 400 * r.Int64N(8), LambdaPerMille: 250 * r.IntN(5),
			Kind: kinds[r.IntN(len(kinds))], HeightMM: 1500 + 100*r.IntN(6), StayMinutes: 30 + 30*r.IntN(5)}
		if r.IntN(3) == 0 && parks > 0 {
			p := b.CarParks[r.IntN(parks)]
			d.Current = &city.Reservation{CarPark: p.ID, PriceCents: 500 * r.Int64N(12)}
			// As a rule a place within the limits and at today's price, often
			// the best: whoever wants it then has to leave it to him.
			if places, _, err := city.Places(b, d); err == nil && len(places) > 0 && r.IntN(4) > 0 {
				at := places[r.IntN(len(places))]
				if r.IntN(2) == 0 {
					at = places[0]
				}
				d.Current = &city.Reservation{CarPark: at.CarPark, PriceCents: at.PriceCents}
			}
			d.Fixed = r.IntN(6) == 0
			if r.IntN(10) == 0 {
				d.Current.CarPark = "closed"
			}
		}
		b.Drivers = append(b.Drivers, d)
	}
	return b
}

func drawBatch(t *rapid.T, drivers, parks int) city.Batch {
	n := rapid.IntRange(0, drivers).Draw(t, "drivers")
	m := rapid.IntRange(0, parks).Draw(t, "car parks")
	return randomBatch(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3)), n, m)
}

type lists struct {
	driver map[string]city.Driver
	park   map[string]city.CarPark
	plan   map[string]city.Assignment
}

func index(b city.Batch, p city.Plan) lists {
	l := lists{map[string]city.Driver{}, map[string]city.CarPark{}, map[string]city.Assignment{}}
	for _, d := range b.Drivers {
		l.driver[d.ID] = d
	}
	for _, c := range b.CarParks {
		l.park[c.ID] = c
	}
	for _, a := range p.Assignments {
		l.plan[a.Driver] = a
	}
	return l
}

// costOf is J in exact fractions, rounded half up: the oracle of Cost.
func costOf(d city.Driver, cents, metres int64) int64 {
	term := func(weight, value, limit int64) *big.Rat {
		if limit == 0 {
			return new(big.Rat)
		}
		return new(big.Rat).Mul(big.NewRat(weight, 1000), big.NewRat(value, limit))
	}
	j := term(int64(d.LambdaPerMille), cents, d.MaxPriceCents)
	j.Add(j, term(1000-int64(d.LambdaPerMille), metres, d.MaxWalkMetres))
	j.Mul(j, big.NewRat(city.OutsideCost, 1)).Add(j, big.NewRat(1, 2))
	return new(big.Int).Div(j.Num(), j.Denom()).Int64()
}

func TestCostIsTheExactFractionRoundedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := city.Driver{LambdaPerMille: rapid.IntRange(0, 1000).Draw(t, "lambda"),
			MaxPriceCents: rapid.Int64Range(0, city.MaxCents).Draw(t, "M"), MaxWalkMetres: rapid.Int64Range(0, city.MaxMetres).Draw(t, "D")}
		cents := rapid.Int64Range(0, d.MaxPriceCents).Draw(t, "price")
		metres := rapid.Int64Range(0, d.MaxWalkMetres).Draw(t, "walk")
		got := city.Cost(d, cents, metres)
		if want := costOf(d, cents, metres); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
		if got < 0 || got > city.OutsideCost {
			t.Fatalf("%d is not within 0 and 1", got)
		}
	})
}

func TestNobodyIsMovedToWorse(t *testing.T) {
	moved := 0
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 80, 8)
		plan, err := city.Assign(b)
		if err != nil {
			t.Fatal(err)
		}
		l := index(b, plan)
		for id, d := range l.driver {
			a := l.plan[id]
			if d.Current == nil {
				if a.Outcome != city.Assigned && a.Outcome != city.Waiting {
					t.Fatalf("%s waits and is %s", id, a.Outcome)
				}
				continue
			}
			if a.Outcome == city.Waiting || a.Outcome == city.Assigned {
				t.Fatalf("%s holds a reservation and is %s", id, a.Outcome)
			}
			if a.Outcome == city.Kept {
				if a.Place.CarPark != d.Current.CarPark || a.Place.PriceCents != d.Current.PriceCents {
					t.Fatalf("%s keeps %+v and holds %+v", id, a.Place, d.Current)
				}
				continue
			}
			moved++
			now, held := l.park[a.Place.CarPark], l.park[d.Current.CarPark]
			if d.Fixed || held.ID == "" {
				t.Fatalf("%s is fixed or cannot be judged, and is moved", id)
			}
			before := city.OutsideCost
			if metres := b.Walk.Metres(held.Position, d.Destination); d.Current.PriceCents <= d.MaxPriceCents && metres <= d.MaxWalkMetres {
				before = costOf(d, d.Current.PriceCents, metres)
			}
			if after := costOf(d, a.Place.PriceCents, b.Walk.Metres(now.Position, d.Destination)); after > before {
				t.Fatalf("%s is moved from %d to %d", id, before, after)
			}
		}
	})
	if moved == 0 {
		t.Error("nobody was moved in any batch: the test shows nothing")
	}
}

func TestCapacityIsNeverExceededNorALimitBroken(t *testing.T) {
	methods := map[string]func(city.Batch) (city.Plan, error){"exact": city.Assign, "greedy": city.GreedyByCost, "nearest": city.NearestFree}
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				b := drawBatch(t, 40, 12)
				plan, err := method(b)
				if err != nil {
					t.Fatal(err)
				}
				if len(plan.Assignments) != len(b.Drivers) {
					t.Fatalf("%d assignments for %d drivers", len(plan.Assignments), len(b.Drivers))
				}
				l := index(b, plan)
				type bays struct {
					park string
					kind city.Kind
				}
				taken := map[bays]int{}
				for id, a := range l.plan {
					d := l.driver[id]
					if d.Current != nil && !d.Fixed {
						taken[bays{d.Current.CarPark, d.Kind}]-- // his own, which Free does not hold
					}
					if a.Outcome == city.Waiting || d.Fixed {
						continue
					}
					taken[bays{a.Place.CarPark, d.Kind}]++
					if a.Outcome == city.Kept {
						continue
					}
					p := l.park[a.Place.CarPark]
					_, has := p.Free[d.Kind]
					price, err := p.Tariff.PriceFor(city.Stay{Kind: d.Kind, From: b.At, Length: time.Duration(d.StayMinutes) * time.Minute})
					metres := b.Walk.Metres(p.Position, d.Destination)
					if !has || err != nil || price != a.Place.PriceCents || price > d.MaxPriceCents || metres != a.Place.WalkMetres ||
						metres > d.MaxWalkMetres || p.MaxHeightMM > 0 && d.HeightMM > p.MaxHeightMM {
						t.Fatalf("%s (%+v) is sent to %s against a limit: %s", id, d, p.ID, a.Why())
					}
				}
				for at, n := range taken {
					if n > l.park[at.park].Free[at.kind] {
						t.Fatalf("%d more bays of %+v are used at %s than are free", n, at.kind, at.park)
					}
				}
			})
		})
	}
}

func TestExactIsNeverDearerThanGreedyOnAnyBatch(t *testing.T) {
	gains := 0
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 60, 15)
		exact, err := city.Assign(b)
		if err != nil {
			t.Fatal(err)
		}
		for name, method := range map[string]func(city.Batch) (city.Plan, error){"greedy": city.GreedyByCost, "nearest": city.NearestFree} {
			other, err := method(b)
			if err != nil {
				t.Fatal(err)
			}
			if exact.Total > other.Total {
				t.Fatalf("exact costs %d, %s %d", exact.Total, name, other.Total)
			}
			if exact.Total < other.Total {
				gains++
			}
		}
	})
	if gains == 0 {
		t.Error("exact was never cheaper: the test shows nothing")
	}
}

func TestAPlanDoesNotDependOnTheOrderOfItsBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 30, 10)
		first, err := city.Assign(b)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "shuffle"), 5))
		r.Shuffle(len(b.Drivers), func(i, j int) { b.Drivers[i], b.Drivers[j] = b.Drivers[j], b.Drivers[i] })
		r.Shuffle(len(b.CarParks), func(i, j int) { b.CarParks[i], b.CarParks[j] = b.CarParks[j], b.CarParks[i] })
		second, err := city.Assign(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("another order gives another plan:\n%+v\n%+v", first, second)
		}
	})
}

// TestTheEarlierRequestGoesFirst tries every exchange of two drivers of a plan:
// none that leaves the total as it is may make the earlier one better off.
func TestTheEarlierRequestGoesFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 14, 5)
		for i := range b.Drivers {
			b.Drivers[i].Current, b.Drivers[i].Fixed = nil, false
			if i%2 == 1 { // twins, so that exchanges of equal total exist
				twin := b.Drivers[i-1]
				twin.ID, twin.Requested = b.Drivers[i].ID, b.Drivers[i].Requested
				b.Drivers[i] = twin
			}
		}
		plan, err := city.Assign(b)
		if err != nil {
			t.Fatal(err)
		}
		l := index(b, plan)
		price := func(d city.Driver, at string) (int64, bool) {
			if at == "" {
				return city.OutsideCost, true
			}
			places, _, err := city.Places(b, d)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range places {
				if p.CarPark == at {
					return p.Cost, true
				}
			}
			return 0, false
		}
		for i, a := range plan.Assignments {
			for _, z := range plan.Assignments[i+1:] {
				da, dz := l.driver[a.Driver], l.driver[z.Driver]
				if da.Kind != dz.Kind {
					continue
				}
				toA, ok := price(da, z.Place.CarPark)
				toZ, fits := price(dz, a.Place.CarPark)
				if ok && fits && toA+toZ == a.Place.Cost+z.Place.Cost && toA < a.Place.Cost {
					t.Fatalf("%s asked first and pays %d; in %s's place he would pay %d, the total being equal", a.Driver, a.Place.Cost, z.Driver, toA)
				}
			}
		}
	})
}

func TestAssignExplains(t *testing.T) {
	b := city.Batch{At: noon, Walk: city.Straight{DetourPerMille: 1000},
		CarParks: []city.CarPark{park("a", 0, 0, 1000, 1), park("b", 0, 400, 1000, 1), park("c", 0, 800, 1000, 1), park("dear", 0, 0, 9000, 9)},
		Drivers:  []city.Driver{driver("late", 2, 0, 0), driver("early", 1, 0, 0), driver("far", 0, 5000, 5000)}}
	plan, err := city.Assign(b)
	if err != nil {
		t.Fatal(err)
	}
	far, early, late := plan.Assignments[0], plan.Assignments[1], plan.Assignments[2]
	if early.Driver != "early" || early.Place.CarPark != "a" || early.Place.Cost != 125_000 || early.Wanted != nil ||
		early.Next == nil || early.Next.CarPark != "c" || early.Turned != (city.Turned{TooDear: 1}) {
		t.Errorf("%+v", early)
	}
	if late.Place.CarPark != "b" || late.Place.Cost != 325_000 || late.Wanted == nil || late.Wanted.CarPark != "a" {
		t.Errorf("%+v", late)
	}
	if want := "assigned b: cost 0.325000 of 1, 1000 cents, 400 m to walk; a at 0.125000 went to others; next would be c at 0.525000"; late.Why() != want {
		t.Errorf("%q, want %q", late.Why(), want)
	}
	if far.Outcome != city.Waiting || far.Turned.TooFar != 4 || !strings.Contains(far.Why(), "4 too far") {
		t.Errorf("%+v %s", far, far.Why())
	}
	if plan.Total != 125_000+325_000+1_000_000 {
		t.Errorf("total %d", plan.Total)
	}
}

// TestAReservedDriverMakesRoom is the gain of deciding anew: the one who holds
// the only bay that the newcomer can use has an equal one elsewhere.
func TestAReservedDriverMakesRoom(t *testing.T) {
	holder, newcomer := driver("holder", 0, 0, 200), driver("newcomer", 9, 0, 0)
	holder.Current = &city.Reservation{CarPark: "a", PriceCents: 1000}
	newcomer.MaxWalkMetres = 100
	b := city.Batch{At: noon, Walk: city.Straight{DetourPerMille: 1000}, Drivers: []city.Driver{holder, newcomer},
		CarParks: []city.CarPark{park("a", 0, 0, 1000, 0), park("b", 0, 400, 1000, 1)}}
	plan, err := city.Assign(b)
	if err != nil {
		t.Fatal(err)
	}
	if a := plan.Assignments; a[0].Outcome != city.Moved || a[0].Place.CarPark != "b" || a[1].Place.CarPark != "a" {
		t.Errorf("%+v", a)
	}
	b.Drivers[0].Fixed = true
	if plan, err = city.Assign(b); err != nil || plan.Assignments[0].Outcome != city.Kept || plan.Assignments[1].Outcome != city.Waiting {
		t.Errorf("%+v %v", plan, err)
	}
}

func TestBadBatchesAreRefused(t *testing.T) {
	good := city.Batch{At: noon, Drivers: []city.Driver{driver("d", 0, 0, 0)}, CarParks: []city.CarPark{park("p", 0, 0, 1, 1)}}
	if _, err := city.Assign(good); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		spoil func(*city.Batch)
		want  error
	}{
		"twice the driver":     {func(b *city.Batch) { b.Drivers = append(b.Drivers, b.Drivers[0]) }, city.ErrBatch},
		"twice the car park":   {func(b *city.Batch) { b.CarParks = append(b.CarParks, b.CarParks[0]) }, city.ErrBatch},
		"no id":                {func(b *city.Batch) { b.Drivers[0].ID = "" }, city.ErrBatch},
		"no class":             {func(b *city.Batch) { b.Drivers[0].Kind.Class = "" }, city.ErrBatch},
		"weight above 1":       {func(b *city.Batch) { b.Drivers[0].LambdaPerMille = 1001 }, city.ErrBatch},
		"price below 0":        {func(b *city.Batch) { b.Drivers[0].MaxPriceCents = -1 }, city.ErrBatch},
		"walk round the world": {func(b *city.Batch) { b.Drivers[0].MaxWalkMetres = 40_000_000 }, city.ErrBatch},
		"no stay":              {func(b *city.Batch) { b.Drivers[0].StayMinutes = 0 }, city.ErrBatch},
		"negative bays":        {func(b *city.Batch) { b.CarParks[0].Free[car] = -1 }, city.ErrBatch},
		"waiting gets cheaper": {func(b *city.Batch) { b.WaitingGrowth = -1 }, city.ErrBatch},
		"moving is a gain":     {func(b *city.Batch) { b.MovingCost = -1 }, city.ErrBatch},
		"waiting is too cheap": {func(b *city.Batch) { b.WaitingCost = 999_999 }, city.ErrBatch},
		"waiting is too dear":  {func(b *city.Batch) { b.WaitingCost = city.MaxWaitingCost + 1 }, city.ErrBatch},
		"no tariff":            {func(b *city.Batch) { b.CarParks[0].Tariff = nil }, city.ErrBatch},
		"off the grid":         {func(b *city.Batch) { b.CarParks[0].Position.X = 1 << 40 }, city.ErrBatch},
		"too many drivers":     {func(b *city.Batch) { b.Drivers = make([]city.Driver, city.MaxDrivers+1) }, city.ErrTooLarge},
		"too many car parks":   {func(b *city.Batch) { b.CarParks = make([]city.CarPark, city.MaxCarParks+1) }, city.ErrTooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := city.Batch{At: noon, Drivers: []city.Driver{driver("d", 0, 0, 0)}, CarParks: []city.CarPark{park("p", 0, 0, 1, 1)}}
			test.spoil(&b)
			if _, err := city.Assign(b); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

// TestTheGreatestBatchFits guards the solver's bound on sums, which the weights
// of fairness come close to.
func TestTheGreatestBatchFits(t *testing.T) {
	b := randomBatch(rand.New(rand.NewPCG(11, 11)), city.MaxDrivers, 40)
	for i := range b.CarParks {
		b.CarParks[i].Free[car] = 10
	}
	if _, err := city.Assign(b); err != nil {
		t.Fatal(err)
	}
}

func TestGrid(t *testing.T) {
	g, err := city.NewGrid(223171000, 1142275000)
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Point(223261000, 1142375000)
	// 0.009° north is 1000.76 m; 0.01° east is 1111.95 m × cos 22.3171° = 1028.66 m.
	if err != nil || p != (city.Point{X: 1029, Y: 1001}) {
		t.Errorf("%+v %v", p, err)
	}
	if got := city.Distance(city.Point{}, p); got != 1436 {
		t.Errorf("distance %d, want 1436 (1435.5 rounded up)", got)
	}
	if _, err := g.Point(513000000, 0); err == nil {
		t.Error("London is on the grid of Kwun Tong")
	}
	if _, err := city.NewGrid(900000001, 0); err == nil {
		t.Error("a grid beyond the pole")
	}
}

func BenchmarkAssign500x60(b *testing.B) {
	batch := randomBatch(rand.New(rand.NewPCG(1, 1)), 500, 60)
	for i := range batch.CarParks {
		batch.CarParks[i].Free[car] = 6
	}
	for b.Loop() {
		if _, err := city.Assign(batch); err != nil {
			b.Fatal(err)
		}
	}
}

// A barred car park is no choice, but the one where he holds a reservation stays
// his, and he may leave it.
func TestBarred(t *testing.T) {
	d := driver("d", 0, 0, 0)
	d.Barred = map[string]bool{"near": true}
	b := city.Batch{At: noon, Drivers: []city.Driver{d}, CarParks: []city.CarPark{park("near", 0, 100, 500, 1), park("far", 0, 500, 500, 1)}}
	plan, err := city.Assign(b)
	if err != nil || plan.Assignments[0].Place.CarPark != "far" || plan.Assignments[0].Turned.Barred != 1 {
		t.Errorf("%+v, %v", plan, err)
	}
	b.Drivers[0].Current = &city.Reservation{CarPark: "near", PriceCents: 500}
	plan, err = city.Assign(b)
	if err != nil || plan.Assignments[0].Outcome != city.Kept || plan.Assignments[0].Place.CarPark != "near" {
		t.Errorf("%+v, %v", plan, err)
	}
}
