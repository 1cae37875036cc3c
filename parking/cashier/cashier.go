// Package cashier owns what a stay costs and who pays: it keeps what lanes saw,
// derives the stays (parking/stay), prices them (parking/tariff), tells lanes
// what to do, takes payments, and orders of the ledger what follows.
package cashier

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
	"freeflow/parking/tariff"
)

// Parts are what a Cashier is made of.
type Parts struct {
	Keeping parking.Keeping
	Sites   Sites
	Payers  Payers
	// Rights may be nil: then nobody holds a pass but by Claim.
	Rights Rights
	Clock  clock.Clock
	Log    *slog.Logger
}

// Cashier is the service. Safe for concurrent use, by several processes too.
type Cashier struct {
	p Parts
}

// New returns a cashier.
func New(p Parts) (*Cashier, error) {
	if p.Keeping == nil || p.Sites == nil || p.Payers == nil || p.Clock == nil || p.Log == nil {
		return nil, errors.New("making the cashier: Keeping, Sites, Payers, Clock and Log are needed")
	}
	return &Cashier{p: p}, nil
}

func (c *Cashier) Lane(ctx context.Context, events []parking.LaneEvent) ([]LaneResult, error) {
	return nil, errSoon
}

// Refresh derives and prices the vehicle's stays anew; to be called after an
// allocation of it changed (given, retrieved, released).
func (c *Cashier) Refresh(ctx context.Context, carPark string, v parking.Vehicle) ([]parking.Stay, error) {
	return nil, errSoon
}

// Bill prices the stay; an open one as of now. ErrNotFound.
func (c *Cashier) Bill(ctx context.Context, stay string) (Bill, error) { return Bill{}, errSoon }

// Due: mark is a plate or ticket. ErrNotFound where nothing is to be paid, be
// the car there or not.
func (c *Cashier) Due(ctx context.Context, carPark, mark string) (Due, error) { return Due{}, errSoon }

func (c *Cashier) Pay(ctx context.Context, r PayRequest, keep Keep[Bill]) (Result[Bill], error) {
	return Result[Bill]{}, errSoon
}

func (c *Cashier) Refund(ctx context.Context, r RefundRequest, keep Keep[Bill]) (Result[Bill], error) {
	return Result[Bill]{}, errSoon
}

func (c *Cashier) Quote(ctx context.Context, r QuoteRequest, keep Keep[Quote]) (Result[Quote], error) {
	return Result[Quote]{}, errSoon
}

// FindQuote returns a quote; ErrNotFound. Expired ones too.
func (c *Cashier) FindQuote(ctx context.Context, id string) (Quote, error) { return Quote{}, errSoon }

func (c *Cashier) Validate(ctx context.Context, r ValidationRequest, keep Keep[Bill]) (Result[Bill], error) {
	return Result[Bill]{}, errSoon
}

func (c *Cashier) Charging(ctx context.Context, r ChargingRequest, keep Keep[Bill]) (Result[Bill], error) {
	return Result[Bill]{}, errSoon
}

func (c *Cashier) LostTicket(ctx context.Context, r LostTicketRequest, keep Keep[Bill]) (Result[Bill], error) {
	return Result[Bill]{}, errSoon
}

func (c *Cashier) Claim(ctx context.Context, r ClaimRequest, keep Keep[Bill]) (Result[Bill], error) {
	return Result[Bill]{}, errSoon
}

func (c *Cashier) Decide(ctx context.Context, r DecideRequest, keep Keep[Bill]) (Result[Bill], error) {
	return Result[Bill]{}, errSoon
}

// StopClock takes the outage off every stay with a car in the machine, and says
// how many those are.
func (c *Cashier) StopClock(ctx context.Context, o Outage, keep Keep[int]) (Result[int], error) {
	return Result[int]{}, errSoon
}

// Evidence is what a person sees who decides. ErrNotFound.
func (c *Cashier) Evidence(ctx context.Context, stay string) (Evidence, error) {
	return Evidence{}, errSoon
}

// Stays lists; vehicle is a plate, "tag:" + tag or "ticket:" + ticket, or empty.
func (c *Cashier) Stays(ctx context.Context, carPark, vehicle string, p parking.Page) ([]parking.Stay, error) {
	return nil, errSoon
}

func (c *Cashier) Preference(ctx context.Context, account string) (parking.Preference, error) {
	return parking.Preference{}, errSoon
}

func (c *Cashier) SetPreference(ctx context.Context, p parking.Preference, keep Keep[parking.Preference]) (Result[parking.Preference], error) {
	return Result[parking.Preference]{}, errSoon
}

// DryRun rates the stays that ended in [from, to) by another book of tariffs.
func (c *Cashier) DryRun(ctx context.Context, carPark string, other *tariff.Book, from, to time.Time) (DryRun, error) {
	return DryRun{}, errSoon
}

// Reconcile gives the figures of the local day that begins at or before the
// instant.
func (c *Cashier) Reconcile(ctx context.Context, carPark string, at time.Time) (Day, error) {
	return Day{}, errSoon
}

// DryRun is what past stays would have cost.
type DryRun struct {
	Stays int
	// BeforeCents is by the tariffs as they are, AfterCents by the other.
	BeforeCents, AfterCents int64
	Dearer, Cheaper, Same   int
	// Failed could not be rated by one of the two.
	Failed int
	// Largest are the stays with the largest differences, at most 20.
	Largest []Difference
}

// Difference is one stay of a dry run.
type Difference struct {
	Stay                    string
	BeforeCents, AfterCents int64
}
