package governance

import (
	"errors"
	"sync/atomic"
	"time"

	"freeflow/internal/clock"
	"freeflow/tolling"
	"freeflow/tolling/tariff"
)

// Live is the network in force, as the publications have it, for all that asked
// a *tariff.Network before: it rates a pass by the network published for the
// pass's own time, and tells everything else by the network in force now. Safe
// for concurrent use; what is published meanwhile is seen by the next call.
type Live struct {
	clock clock.Clock
	chain atomic.Pointer[Chain]
}

// NewLive returns the networks of the chain, which must have a seed.
func NewLive(chain *Chain, clk clock.Clock) (*Live, error) {
	if chain.At(clk.Now()) == nil {
		return nil, errors.New("the network in force: there is none that verifies")
	}
	l := &Live{clock: clk}
	l.chain.Store(chain)
	return l, nil
}

// Set puts another chain in the place of the present one.
func (l *Live) Set(chain *Chain) {
	if chain.At(l.clock.Now()) != nil {
		l.chain.Store(chain)
	}
}

// Chain returns the present chain.
func (l *Live) Chain() *Chain { return l.chain.Load() }

// Network returns the network in force now. Who keeps it does not see later
// ones.
func (l *Live) Network() *tariff.Network { return l.chain.Load().At(l.clock.Now()).Loaded }

// NetworkAt returns the network that rates passes of the instant.
func (l *Live) NetworkAt(at time.Time) *tariff.Network { return l.chain.Load().At(at).Loaded }

// ahead returns the last publication's network, which may not be in force yet:
// it has all that those before it have.
func (l *Live) ahead() *tariff.Network { return l.chain.Load().Standing().Loaded }

// Rate returns the toll of a class at a place at an instant, by the network
// published for that instant. See tariff.Network.Rate.
func (l *Live) Rate(place, class string, at time.Time) (tariff.Toll, error) {
	return l.NetworkAt(at).Rate(place, class, at)
}

// Name, Currency, Zone, GapMicros, TurnRoundMicros and EarliestMicros are the
// same in all publications of a network (tariff.Succession), and are asked for
// every read: they need no clock.

// Name returns the network's name.
func (l *Live) Name() string { return l.ahead().Name() }

// Title returns one line that says what the network is.
func (l *Live) Title() string { return l.Network().Title() }

// Currency returns the ISO 4217 code.
func (l *Live) Currency() string { return l.ahead().Currency() }

// Zone returns the zone in which tolls are read.
func (l *Live) Zone() *time.Location { return l.ahead().Zone() }

// GapMicros returns how far apart two reads of one pass may be, microseconds.
func (l *Live) GapMicros() int64 { return l.ahead().GapMicros() }

// TurnRoundMicros returns the least time to a pass in the opposite direction.
func (l *Live) TurnRoundMicros() int64 { return l.ahead().TurnRoundMicros() }

// EarliestMicros returns the first read time that is taken.
func (l *Live) EarliestMicros() int64 { return l.ahead().EarliestMicros() }

// Classes returns the vehicle classes.
func (l *Live) Classes() []string { return l.Network().Classes() }

// KnowsClass reports whether there is such a class now.
func (l *Live) KnowsClass(class string) bool { return l.Network().KnowsClass(class) }

// ClassLabel returns what people call the class, also of one to come.
func (l *Live) ClassLabel(class string) (tariff.Label, bool) { return l.ahead().ClassLabel(class) }

// Facilities returns the facilities.
func (l *Live) Facilities() []tariff.Facility { return l.Network().Facilities() }

// Points returns the toll points.
func (l *Live) Points() []tolling.TollPoint { return l.Network().Points() }

// Point returns a toll point, also one to come: a pass at it may be in the
// books already, by the clock of a process that was ahead.
func (l *Live) Point(name string) (tolling.TollPoint, bool) { return l.ahead().Point(name) }

// PointLabel returns what people call the toll point, also one to come.
func (l *Live) PointLabel(name string) (tariff.Label, bool) { return l.ahead().PointLabel(name) }

// TollPoint returns where a unit stands, if it is in force now. The gateway
// asks it; see Matching.
func (l *Live) TollPoint(unit string) (tollPoint, facility string, ok bool) {
	return l.Network().TollPoint(unit)
}

// Units returns the roadside units.
func (l *Live) Units() []string { return l.Network().Units() }

// Versions returns the tariff versions of the network in force now.
func (l *Live) Versions() []tariff.Version { return l.Network().Versions() }

// Holidays returns the general holidays.
func (l *Live) Holidays() []tariff.Holiday { return l.Network().Holidays() }

// HolidaysKnown returns the first and last date of which holidays are known.
func (l *Live) HolidaysKnown() (from, until string) { return l.Network().HolidaysKnown() }

// Holiday reports whether the local date is a general holiday, and whether
// that is known.
func (l *Live) Holiday(date string) (holiday, known bool) { return l.Network().Holiday(date) }

// Matching is Live for those who work on what was accepted already.
type Matching struct{ *Live }

// TollPoint returns where a unit stands, also one to come: what one process
// accepted by its clock, another must not refuse by its own.
func (m Matching) TollPoint(unit string) (tollPoint, facility string, ok bool) {
	return m.ahead().TollPoint(unit)
}
