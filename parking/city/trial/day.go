package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking/city"
)

type state int

const (
	coming state = iota // has not asked yet
	underWay
	parked
	gone // without a space
)

// driver is one driver of a day under one policy.
type driver struct {
	ask    city.Driver
	places []city.Place // within the limits, by cost
	asked  int64        // second of the day

	state    state
	x, y     float64 // metres on the grid
	goal     int     // site, or -1: drives to the destination and looks from there
	place    city.Place
	tried    map[string]bool // found full since the last time something was free
	giveUp   int64
	parkedAt int64

	foundFull, moves, worse int
}

// street is a day under way.
type street struct {
	town     *town
	policy   Policy
	clock    *clock.Fixed
	window   *city.Window // nil without reservations
	occupied []map[city.Kind]int
	// leaving cars, by the second at which they leave.
	leaving map[int64][]*driver
	active  []*driver
	byID    map[string]*driver
	step    int64
	now     int64
}

// CarParks gives the window the bays that are not occupied.
func (s *street) CarParks(time.Time) ([]city.CarPark, error) {
	return s.town.carParks(s.free), nil
}

func (s *street) free(site int, kind city.Kind) int {
	return s.town.sites[site].bays[kind] - s.occupied[site][kind]
}

// day runs the drivers of a load and seed under a policy. Drivers who ask in
// the last minutes of the day are followed until they have parked or given up.
func (t *town) day(ctx context.Context, config Config, load int, seed uint64, policy Policy) (Measures, error) {
	drivers, err := t.demand(load, seed, config.Hours)
	if err != nil {
		return Measures{}, err
	}
	s := &street{town: t, policy: policy, clock: clock.At(midnight), leaving: map[int64][]*driver{},
		byID: map[string]*driver{}, step: int64(config.Window / time.Second)}
	for range t.sites {
		s.occupied = append(s.occupied, map[city.Kind]int{})
	}
	if policy != Nearest {
		window := city.WindowConfig{Length: config.Window, WaitLimit: 2 * time.Hour, HoldLimit: 2 * time.Hour,
			MaxDrivers: city.MaxDrivers, Walk: t.walk, Method: city.Assign}
		switch policy {
		case Greedy:
			window.Method = city.GreedyByCost
		case Ageing:
			window.WaitingGrowth = city.OutsideCost
		}
		if s.window, err = city.NewWindow(window, s.clock, s); err != nil {
			return Measures{}, err
		}
	}
	next := 0
	for next < len(drivers) || len(s.active) > 0 {
		if err := ctx.Err(); err != nil {
			return Measures{}, err
		}
		s.now += s.step
		s.clock.Set(midnight.Add(firstHour*time.Hour + time.Duration(s.now)*time.Second))
		s.depart()
		for ; next < len(drivers) && drivers[next].asked <= s.now; next++ {
			if err := s.start(drivers[next]); err != nil {
				return Measures{}, err
			}
		}
		if err := s.decide(); err != nil {
			return Measures{}, err
		}
		if err := s.drive(); err != nil {
			return Measures{}, err
		}
	}
	m := measure(drivers)
	if m.Worse > 0 {
		return m, fmt.Errorf("%d drivers were moved to a worse place", m.Worse)
	}
	return m, nil
}

func (s *street) depart() {
	for at := s.now - s.step + 1; at <= s.now; at++ {
		for _, d := range s.leaving[at] {
			s.occupied[d.goal][d.ask.Kind]--
		}
		delete(s.leaving, at)
	}
}

func (s *street) start(d *driver) error {
	d.state, d.goal, d.tried = underWay, -1, map[string]bool{}
	d.x, d.y = float64(d.ask.Position.X), float64(d.ask.Position.Y)
	direct := float64(city.Distance(d.ask.Position, d.ask.Destination)) * driveDetourPerMille / 1000 / metresPerSecond
	d.giveUp = d.asked + int64(direct) + patience
	s.active = append(s.active, d)
	s.byID[d.ask.ID] = d
	if s.window == nil {
		slices.SortStableFunc(d.places, func(a, b city.Place) int { return cmp.Compare(a.WalkMetres, b.WalkMetres) })
		return nil
	}
	return s.window.Submit(d.ask)
}

// decide sends drivers: by a round, or each to the nearest car park that shows
// a free bay and was not found full by him.
func (s *street) decide() error {
	if s.window == nil {
		for _, d := range s.active {
			if d.goal < 0 {
				s.guide(d)
			}
		}
		return nil
	}
	round, err := s.window.Round()
	if errors.Is(err, city.ErrNotDue) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(round.Overdrawn) > 0 || len(round.Expired) > 0 {
		return fmt.Errorf("a round found overdrawn car parks %+v and expired drivers %v: the simulation is at fault", round.Overdrawn, round.Expired)
	}
	for _, a := range round.Plan.Assignments {
		if a.Outcome != city.Assigned && a.Outcome != city.Moved {
			continue
		}
		d := s.byID[a.Driver]
		place, ok := d.priced(a.Place.CarPark)
		if !ok {
			return fmt.Errorf("%s is sent to %s, which his limits forbid", a.Driver, a.Place.CarPark)
		}
		if d.goal >= 0 {
			d.moves++
			if place.Cost > d.place.Cost {
				d.worse++
			}
		}
		d.place, d.goal = place, s.town.index[a.Place.CarPark]
	}
	return nil
}

// priced is a place by the driver's own list, made before the day began.
func (d *driver) priced(id string) (city.Place, bool) {
	i := slices.IndexFunc(d.places, func(p city.Place) bool { return p.CarPark == id })
	if i < 0 {
		return city.Place{}, false
	}
	return d.places[i], true
}

func (s *street) guide(d *driver) {
	for pass := range 2 {
		for _, p := range d.places {
			site := s.town.index[p.CarPark]
			if !d.tried[p.CarPark] && s.free(site, d.ask.Kind) > 0 {
				d.place, d.goal = p, site
				return
			}
		}
		// All that show a bay were tried: begin again.
		if pass == 0 {
			clear(d.tried)
		}
	}
}

// drive moves everybody by a step, and parks those who arrive.
func (s *street) drive() error {
	still := s.active[:0]
	for _, d := range s.active {
		if err := s.move(d); err != nil {
			return err
		}
		if d.state == underWay {
			still = append(still, d)
		} else {
			delete(s.byID, d.ask.ID)
		}
	}
	s.active = still
	return nil
}

func (s *street) move(d *driver) error {
	to := d.ask.Destination
	if d.goal >= 0 {
		to = s.town.sites[d.goal].position
	}
	reach := metresPerSecond * float64(s.step) * 1000 / driveDetourPerMille
	dx, dy := float64(to.X)-d.x, float64(to.Y)-d.y
	left := math.Hypot(dx, dy)
	if left > reach {
		d.x += dx / left * reach
		d.y += dy / left * reach
	} else {
		d.x, d.y = float64(to.X), float64(to.Y)
		if d.goal >= 0 {
			return s.arrive(d)
		}
	}
	switch {
	case d.goal < 0 && s.now >= d.giveUp:
		d.state = gone
		if s.window != nil {
			s.window.Withdraw(d.ask.ID)
		}
	case d.goal >= 0 && s.window != nil && left < nearMetres:
		return s.window.Fix(d.ask.ID)
	}
	return nil
}

// arrive parks a driver at his goal, or finds it full.
func (s *street) arrive(d *driver) error {
	if s.free(d.goal, d.ask.Kind) < 1 {
		if s.window != nil {
			return fmt.Errorf("%s holds a reservation at %s, which is full", d.ask.ID, d.place.CarPark)
		}
		d.foundFull++
		d.tried[d.place.CarPark] = true
		d.goal = -1
		if s.now >= d.giveUp {
			d.state = gone
		}
		return nil
	}
	s.occupied[d.goal][d.ask.Kind]++
	d.state, d.parkedAt = parked, s.now
	end := s.now + int64(d.ask.StayMinutes)*60
	s.leaving[end] = append(s.leaving[end], d)
	if s.window != nil {
		s.window.Withdraw(d.ask.ID)
	}
	return nil
}
