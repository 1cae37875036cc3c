package app

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/kafka"
	"freeflow/internal/observe"
	"freeflow/parking"
	"freeflow/parking/attendant"
	"freeflow/parking/cashier"
	"freeflow/parking/finder"
	"freeflow/parking/opendata"
	parkoperator "freeflow/parking/operator"
)

// keepOnce is how long the answers to repeatable requests are kept.
const keepOnce = 48 * time.Hour

// parkingParts are what a process with the target parking is made of.
type parkingParts struct {
	attendant *attendant.Attendant
	cashier   *cashier.Cashier
	clerk     *cashier.Clerk
	follower  *cashier.Follower
	finder    *finder.Finder
	api       *parkoperator.API
	feed      *opendata.Feed
}

// newParking puts the parts together.
func (s *system) newParking() (*parkingParts, error) {
	p := &parkingParts{}
	store, sites := s.carParks, s.sites
	var err error
	p.attendant, err = attendant.New(attendant.Parts{
		Bays: store, Keeping: store, CarParks: sites.All(), Clock: s.env.Clock, Log: s.log, Metrics: attendant.NewMetrics(s.metrics),
	})
	if err != nil {
		return nil, err
	}
	sites.changed = p.attendant.SetCarPark
	p.cashier, err = cashier.New(cashier.Parts{
		Keeping: store, Sites: sites, Payers: payers{s.keeper.current}, Ledger: store, Clock: s.env.Clock, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	p.clerk, err = cashier.NewClerk(cashier.ClerkParts{
		Ledger: store, Keeping: store, Charging: s.parts.books, Clock: s.env.Clock, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	p.follower, err = cashier.NewFollower(cashier.FollowerParts{Changes: store, Cashier: p.cashier, Clock: s.env.Clock, Log: s.log})
	if err != nil {
		return nil, err
	}
	p.finder, err = finder.New(finder.Parts{
		Keeping: store, Attendant: p.attendant, Prices: p.cashier, Sites: sites, Clock: s.env.Clock, Log: s.log,
		Settings: finder.Settings{Round: s.flags.cityRound},
	})
	if err != nil {
		return nil, err
	}
	p.api, err = parkoperator.New(parkoperator.Parts{
		Attendant: p.attendant, Cashier: p.cashier, Keeping: store, Sites: sites, Finder: p.finder, Clock: s.env.Clock, Log: s.log,
		NeedReason: s.flags.needReason,
	})
	if err != nil {
		return nil, err
	}
	figures, err := opendata.NewLiveFigures(sites, p.attendant, calendar{s.parts.network})
	if err != nil {
		return nil, err
	}
	p.feed, err = opendata.New(opendata.Parts{Sites: sites, Figures: figures, Clock: s.env.Clock, Log: s.log})
	return p, err
}

// startParking starts what goes on in the background.
func (s *system) startParking(ctx context.Context) {
	p := s.parking
	for _, run := range []func(context.Context) error{p.attendant.Run, p.clerk.Run, p.follower.Run, p.finder.Run} {
		s.group.Go(func() error {
			if err := run(ctx); ctx.Err() == nil {
				return err
			}
			return nil // it was told to end
		})
	}
	s.group.Go(func() error { return s.pruneOnce(ctx) })
	lanes := laneReads{
		roadside: s.roadside, cashier: p.cashier, rejects: rejects{s.parts.publisher}, clock: s.env.Clock, log: s.log,
	}
	group := kafka.NewGroup(kafka.GroupConfig{
		Brokers: s.parts.brokers, GroupID: groupLanes, Topic: topicLanes, SessionTimeout: s.flags.session,
		Heartbeat: min(s.flags.session/5, time.Second), Log: s.log,
	})
	s.group.Go(func() error { return group.Run(ctx, lanes.serve) })
	s.health.Add("car parks", observe.Needed, func(ctx context.Context) error {
		return s.carParks.View(ctx, func(parking.Tx) error { return nil })
	})
}

// pruneOnce forgets old answers to repeatable requests, until ctx ends.
func (s *system) pruneOnce(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if _, err := s.carParks.Prune(ctx, s.env.Clock.Now().Add(-keepOnce)); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "old answers not pruned", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// public adds what motorists and the public may ask of the car parks, and
// returns what describes it.
func (p *parkingParts) public(e *echo.Echo) [][]byte {
	p.api.Public(e)
	p.feed.Routes(e)
	return [][]byte{parkoperator.OpenAPIPublic(), opendata.OpenAPI()}
}
