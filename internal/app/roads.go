package app

import (
	"time"

	"freeflow/rsu"
	"freeflow/tolling"
	"freeflow/tolling/governance"
	"freeflow/tolling/matcher"
	"freeflow/tolling/tariff"
)

// roads is the road network as the assembly uses it: a *tariff.Network where
// files are all there is, and a *governance.Live where tolls are published and
// change while the system runs.
type roads interface {
	rsu.Roadside
	Name() string
	Currency() string
	Zone() *time.Location
	GapMicros() int64
	TurnRoundMicros() int64
	Rate(place, class string, at time.Time) (tariff.Toll, error)
	KnowsClass(class string) bool
	Classes() []string
	ClassLabel(class string) (tariff.Label, bool)
	Facilities() []tariff.Facility
	Points() []tolling.TollPoint
	Point(name string) (tolling.TollPoint, bool)
	PointLabel(name string) (tariff.Label, bool)
	Units() []string
	Holiday(date string) (holiday, known bool)
}

var (
	_ roads = (*tariff.Network)(nil)
	_ roads = (*governance.Live)(nil)
)

// matching is the network for those who work on accepted reads: where tolls are
// published it knows the units to come too, so that what one process accepted by
// its clock another does not set aside by its own.
func matching(r roads) matcher.Network {
	if live, ok := r.(*governance.Live); ok {
		return governance.Matching{Live: live}
	}
	return r
}
