package finder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/parking"
	"freeflow/parking/cashier"
	"freeflow/parking/city"
)

// lot is a car park as one round sees it.
type lot struct {
	site *parking.CarPark
	at   city.Point
	// groups are the bays that anybody may have, those that take the same
	// vehicles together; pools those that can be reserved.
	groups []group
	pools  []pool
	// plain says for which classes, of accessible bays or not, there are bays
	// without a charger: then those with one are kept for who asks for it.
	plain map[kindOfBay]bool
	// plates are the cars inside, and when each got its bay.
	plates   map[string]time.Time
	prices   map[city.Stay]price
	currency string
}

type kindOfBay struct {
	class      string
	accessible bool
}

// group are bays that take the same vehicles; bay stands for all of them.
type group struct {
	bay  *parking.Bay
	free int
}

// pool is a bookable pool and how many of its places are left.
type pool struct {
	id   string
	bays []*parking.Bay
	left int
}

type price struct {
	cents int64
	err   error
}

// suits reports whether the driver may be sent to such a bay. A measure that was
// not given is no obstacle: it is taken at the gate.
func (l *lot) suits(r *parking.SpaceRequest, b *parking.Bay) bool {
	switch {
	case b.Accessible != r.Accessible, r.Charger && !b.EV:
		return false
	case !r.Charger && b.EV && l.plain[kindOfBay{r.Vehicle.Class, b.Accessible}]:
		return false
	}
	v := r.Vehicle
	v.Accessible = r.Accessible
	for _, o := range b.Obstacles(v, b.Pool) {
		if o.Allowed == 0 || o.Given > 0 {
			return false
		}
	}
	return true
}

// suitsPool reports whether the pool has a bay for the driver.
func (l *lot) suitsPool(r *parking.SpaceRequest, p *pool) bool {
	return slices.ContainsFunc(p.bays, func(b *parking.Bay) bool { return l.suits(r, b) })
}

// has reports whether there is any such bay, free or not.
func (l *lot) has(r *parking.SpaceRequest) bool {
	return slices.ContainsFunc(l.groups, func(g group) bool { return l.suits(r, g.bay) }) ||
		slices.ContainsFunc(l.pools, func(p pool) bool { return l.suitsPool(r, &p) })
}

// signature is the same for bays that take the same vehicles.
func signature(b *parking.Bay) string {
	return fmt.Sprint(b.Limits, b.EV, b.Accessible, strings.Join(b.Classes, " "))
}

// lots reads the car parks. One that cannot be read is left out: whoever is
// sent there already keeps the place. Pools are asked for [now, until).
func (f *Finder) lots(ctx context.Context, now, until time.Time) (map[string]*lot, city.Grid, error) {
	sites := f.Sites.All()
	if len(sites) > city.MaxCarParks {
		return nil, city.Grid{}, fmt.Errorf("%w: %d car parks, at most %d are decided on together", city.ErrTooLarge, len(sites), city.MaxCarParks)
	}
	grid, err := gridOf(sites)
	if err != nil {
		return nil, city.Grid{}, err
	}
	lots := make(map[string]*lot, len(sites))
	for _, site := range sites {
		l, err := f.lot(ctx, site, grid, now, until)
		if err != nil {
			if ctx.Err() != nil {
				return nil, city.Grid{}, ctx.Err()
			}
			f.Log.WarnContext(ctx, "a car park is left out of a round", "car_park", site.ID, "err", err)
			continue
		}
		lots[site.ID] = l
	}
	return lots, grid, nil
}

func (f *Finder) lot(ctx context.Context, site *parking.CarPark, grid city.Grid, now, until time.Time) (*lot, error) {
	at, err := grid.Point(degrees(site.Published.Latitude), degrees(site.Published.Longitude))
	if err != nil {
		return nil, err
	}
	live, _, err := f.Attendant.Live(ctx, site.ID)
	if err != nil {
		return nil, fmt.Errorf("reading the bays: %w", err)
	}
	l := &lot{site: site, at: at, plain: map[kindOfBay]bool{}, plates: map[string]time.Time{}, prices: map[city.Stay]price{}}
	taken := make(map[string]bool, len(live.Active))
	for _, x := range live.Active {
		taken[x.Bay] = true
		if x.Vehicle.Plate != "" {
			l.plates[x.Vehicle.Plate] = x.AssignedAt
		}
	}
	out := map[string]bool{}
	for _, m := range live.Machines {
		out[m.ID] = m.Out
	}
	number := map[string]int{}
	for i := range site.Bays {
		b := &site.Bays[i]
		if b.Pool != "" {
			continue
		}
		key := signature(b)
		n, ok := number[key]
		if !ok {
			n = len(l.groups)
			number[key] = n
			l.groups = append(l.groups, group{bay: b})
			if !b.EV {
				for _, class := range b.Classes {
					l.plain[kindOfBay{class, b.Accessible}] = true
				}
			}
		}
		if !taken[b.ID] && !out[b.Machine] {
			l.groups[n].free++
		}
	}
	for i := range site.Pools {
		if !site.Pools[i].Bookable {
			continue
		}
		p := pool{id: site.Pools[i].ID}
		for b := range site.Bays {
			if site.Bays[b].Pool == p.id {
				p.bays = append(p.bays, &site.Bays[b])
			}
		}
		if p.left, _, err = f.Attendant.Availability(ctx, site.ID, p.id, now, until); err != nil && !errors.Is(err, parking.ErrInvalid) {
			return nil, fmt.Errorf("counting the places of pool %s: %w", p.id, err)
		}
		l.pools = append(l.pools, p)
	}
	return l, nil
}

// pricer prices stays at a lot, each once a round.
type pricer struct {
	ctx    context.Context
	prices Prices
	lot    *lot
}

// PriceFor is city.Pricer's.
func (p pricer) PriceFor(s city.Stay) (int64, error) {
	if known, ok := p.lot.prices[s]; ok {
		return known.cents, known.err
	}
	quote, err := p.prices.Price(p.ctx, cashier.QuoteRequest{CarPark: p.lot.site.ID, Class: s.Kind.Class, From: s.From, To: s.From.Add(s.Length), EV: s.Kind.EV})
	one := price{quote.TotalCents, err}
	if err == nil {
		p.lot.currency = quote.Receipt.Currency
	}
	p.lot.prices[s] = one
	return one.cents, one.err
}

// gridOf is a grid around the middle of the car parks.
func gridOf(sites []*parking.CarPark) (city.Grid, error) {
	if len(sites) == 0 {
		return city.NewGrid(0, 0)
	}
	lats, lons := make([]int64, len(sites)), make([]int64, len(sites))
	for i, site := range sites {
		lats[i], lons[i] = degrees(site.Published.Latitude), degrees(site.Published.Longitude)
	}
	slices.Sort(lats)
	slices.Sort(lons)
	return city.NewGrid(lats[len(lats)/2], lons[len(lons)/2])
}

// degrees are degrees × 10⁷.
func degrees(d float64) int64 {
	if d < 0 {
		return -int64(-d*1e7 + 0.5)
	}
	return int64(d*1e7 + 0.5)
}

// bench says who is sent to which free bays of one lot. It is a matching: a
// driver with few choices makes one with more move to another bay.
type bench struct {
	lot   *lot
	seats [][]*parking.SpaceRequest // by group
	left  []int                     // places left, by pool
}

func newBench(l *lot) *bench {
	b := &bench{lot: l, seats: make([][]*parking.SpaceRequest, len(l.groups)), left: make([]int, len(l.pools))}
	for i := range l.pools {
		b.left[i] = l.pools[i].left
	}
	return b
}

// seat finds the driver a free bay; false if none is left for him.
func (b *bench) seat(r *parking.SpaceRequest) bool { return b.try(r, make([]bool, len(b.seats))) }

func (b *bench) try(r *parking.SpaceRequest, seen []bool) bool {
	for g := range b.seats {
		if seen[g] || !b.lot.suits(r, b.lot.groups[g].bay) {
			continue
		}
		seen[g] = true
		if len(b.seats[g]) < b.lot.groups[g].free {
			b.seats[g] = append(b.seats[g], r)
			return true
		}
		for i, other := range b.seats[g] {
			if b.try(other, seen) {
				b.seats[g][i] = r
				return true
			}
		}
	}
	return false
}

// stand gives the driver's bay back.
func (b *bench) stand(r *parking.SpaceRequest) {
	for g := range b.seats {
		b.seats[g] = slices.DeleteFunc(b.seats[g], func(other *parking.SpaceRequest) bool { return other == r })
	}
}

// free is how many more drivers of the kind of r find a bay or a place, and
// whether there are such bays at all.
func (b *bench) free(r *parking.SpaceRequest) (n int, has bool) {
	for g := range b.seats {
		if b.lot.suits(r, b.lot.groups[g].bay) {
			n, has = n+b.lot.groups[g].free-len(b.seats[g]), true
		}
	}
	for i := range b.lot.pools {
		if b.lot.suitsPool(r, &b.lot.pools[i]) {
			n, has = n+max(b.left[i], 0), true
		}
	}
	return n, has
}
