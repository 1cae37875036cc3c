package parking

import (
	"context"
	"time"
)

// Pass is a vehicle's right to a car park over a time, such as a monthly ticket
// that was sold. What was put is never changed: a pass may only be ended before
// its time, and the terms of another one are another pass.
type Pass struct {
	ID      string
	CarPark string
	// Vehicle is a Stay's Vehicle: the plate, or "tag:" + tag.
	Vehicle string
	// Permit is the id of a monthly rule of the tariff, Class the vehicle class
	// that it was sold for.
	Permit, Class string
	// From and To bound it, [From, To).
	From, To time.Time
	PutAt    time.Time
	// By and Reason say who put it and why.
	By, Reason string
	// EndedAt is from when it was taken back; zero if it was not.
	EndedAt            time.Time
	EndedBy, EndReason string
}

// Until is the instant from which the pass no longer holds.
func (p *Pass) Until() time.Time {
	if !p.EndedAt.IsZero() && p.EndedAt.Before(p.To) {
		return p.EndedAt
	}
	return p.To
}

// Same reports whether two passes were put with the same content: everything
// but when, by whom and why, and what became of them.
func (p *Pass) Same(o *Pass) bool {
	return p.ID == o.ID && p.CarPark == o.CarPark && p.Vehicle == o.Vehicle && p.Permit == o.Permit && p.Class == o.Class &&
		p.From.Equal(o.From) && p.To.Equal(o.To)
}

// Passes is the part of a transaction about the register of passes.
type Passes interface {
	// Pass returns one. ErrNotFound.
	Pass(ctx context.Context, id string) (Pass, error)
	// Passes lists those that hold at some instant of [from, to), at a car park,
	// of a vehicle (empty: of all), in order of From, id, after the id after, at
	// most limit. ErrNotFound where after is none.
	Passes(ctx context.Context, carPark, vehicle string, from, to time.Time, after string, limit int) ([]Pass, error)
	// AddPass adds a pass, without EndedAt; known: the same is there already.
	// ErrConflict: the id stands for another one, or the vehicle holds a pass of
	// the car park within its time.
	AddPass(ctx context.Context, p Pass) (known bool, err error)
	// EndPass takes a pass back from the instant on: one that has not begun
	// never holds. A second end changes nothing. ErrNotFound.
	EndPass(ctx context.Context, id string, at time.Time, by, reason string) error
}

// Outage is a time during which a machine, or some of its lifts, were out of
// service. It is written by PutMachine whenever that changes.
type Outage struct {
	CarPark, Machine string
	// From and To bound it, [From, To); To is zero while it lasts.
	From, To time.Time
	// Out says that the whole machine was out; else LiftsOut of its lifts were.
	Out      bool
	LiftsOut int
	Reason   string
}

// Outages is the part of a transaction about machines that were out of service.
type Outages interface {
	// Outages lists those of the machine that touch [from, to), in order of
	// time.
	Outages(ctx context.Context, carPark, machine string, from, to time.Time) ([]Outage, error)
}

// NoShowFee is what became of a reservation whose driver never came: what it costs
// by the tariff, and why. It is settled once.
type NoShowFee struct {
	Reservation string
	CarPark     string
	// SettledAt is zero while nobody has looked at it.
	SettledAt   time.Time
	AmountCents int64
	Currency    string
	// Account is charged; empty where nobody's account is.
	Account string
	// Receipt is the itemised receipt, JSON; nil where nothing is due.
	Receipt []byte
	// Problem says why there is no fee where the tariff could not say it.
	Problem string
}

// NoShows is the part of a transaction about the fees of reservations that
// lapsed. A row is added by every PutReservation that makes one a no-show.
type NoShows interface {
	// NoShowFee returns that of a reservation. ErrNotFound.
	NoShowFee(ctx context.Context, reservation string) (NoShowFee, error)
	// UnsettledNoShows returns the oldest that nobody has looked at, at most
	// limit.
	UnsettledNoShows(ctx context.Context, limit int) ([]NoShowFee, error)
	// SettleNoShow says what one came to; ErrStale where that was said already.
	SettleNoShow(ctx context.Context, n NoShowFee) error
}
