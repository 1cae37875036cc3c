package attendant

import (
	"context"

	"freeflow/parking"
)

type site struct{ def *parking.CarPark }

func newSite(cp *parking.CarPark) (*site, error) { return &site{def: cp}, nil }

type claim struct{}
type departure struct{}

func (a *Attendant) commitClaims(ctx context.Context)     {}
func (a *Attendant) commitDepartures(ctx context.Context) {}
func (a *Attendant) refreshAll(ctx context.Context)       {}
func (a *Attendant) sweepOnce(ctx context.Context)        {}
