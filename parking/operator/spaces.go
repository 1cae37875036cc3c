package operator

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/city"
	"freeflow/parking/finder"
)

// Bounds of a request for a space.
const (
	// mostSpaceStay is a week, in minutes.
	mostSpaceStay = 7 * 24 * 60
	// usualWalk and usualWeight are taken where the driver says nothing.
	usualWalk   = 800
	usualWeight = 500
	mostRounds  = 200
	mostThere   = 1000
)

// spaceRoutes are the routes of drivers who look for a space in the city.
func (a *API) spaceRoutes(g routes, write ...echo.MiddlewareFunc) {
	g.POST("/space-requests", a.postSpaceRequest, write...)
	g.GET("/space-requests/:id", a.getSpaceRequest)
	g.POST("/space-requests/:id/withdraw", a.postSpaceWithdraw)
}

// placeForm is a car park as it looks to one driver.
type spacePlaceForm struct {
	CarPark       string   `json:"carpark"`
	Name          any      `json:"name,omitempty"`
	Address       any      `json:"address,omitempty"`
	Latitude      *float64 `json:"latitude,omitempty"`
	Longitude     *float64 `json:"longitude,omitempty"`
	ExpectedPrice string   `json:"expected_price"`
	Currency      string   `json:"currency,omitempty"`
	WalkMetres    int64    `json:"walk_metres"`
	// Cost is the share of the driver's own limits, 0 to 1.
	Cost string `json:"cost"`
}

// What is promised of a place.
const (
	promiseHeld    = "held"
	promiseCounted = "counted"
)

// spaceForm is a request as its driver sees it. Destination and plate, which
// the driver knows, are in no answer: answers are kept for repetitions.
type spaceForm struct {
	ID          string  `json:"id"`
	State       string  `json:"state"`
	Revision    int64   `json:"revision"`
	RequestedAt *string `json:"requested_at"`
	ArrivesAt   *string `json:"arrives_at"`
	// NextRoundAt is when it is decided on again; absent after the end.
	NextRoundAt *string `json:"next_round_at,omitempty"`
	// WaitsUntil is when a request that waits is given up.
	WaitsUntil *string         `json:"waits_until,omitempty"`
	Why        string          `json:"why"`
	Place      *spacePlaceForm `json:"place,omitempty"`
	Next       *spacePlaceForm `json:"next,omitempty"`
	// Promise is "held" or "counted".
	Promise     string  `json:"promise,omitempty"`
	Reservation string  `json:"reservation,omitempty"`
	AssignedAt  *string `json:"assigned_at,omitempty"`
	HeldUntil   *string `json:"held_until,omitempty"`
	Moves       int     `json:"moves,omitempty"`
	// Short says that there are fewer free bays now than drivers on their way.
	Short       bool    `json:"short,omitempty"`
	EndedAt     *string `json:"ended_at,omitempty"`
	ForgottenAt *string `json:"forgotten_at,omitempty"`
}

func (a *API) spacePlace(p *parking.SpacePlace, full bool) *spacePlaceForm {
	if p == nil {
		return nil
	}
	f := &spacePlaceForm{CarPark: p.CarPark, ExpectedPrice: billing.FormatCents(p.PriceCents), Currency: p.Currency,
		WalkMetres: p.WalkMetres, Cost: city.FormatCost(p.Cost)}
	if site, ok := a.Sites.CarPark(p.CarPark); ok {
		f.Name = site.Name
		if full {
			f.Address, f.Latitude, f.Longitude = site.Published.Address, &site.Published.Latitude, &site.Published.Longitude
		}
	}
	return f
}

func (a *API) spaceOf(s finder.Seen) spaceForm {
	f := spaceForm{
		ID: s.ID, State: string(s.State), Revision: s.Revision, RequestedAt: instant(s.RequestedAt), ArrivesAt: instant(s.Arrives),
		NextRoundAt: instant(s.NextRound), Why: s.Why, Place: a.spacePlace(s.Place, true), Moves: s.Moves,
		AssignedAt: instant(s.AssignedAt), EndedAt: instant(s.EndedAt), ForgottenAt: instant(s.ForgottenAt),
	}
	switch s.State {
	case parking.SpaceWaiting:
		f.WaitsUntil = instant(s.ExpiresAt)
	case parking.SpaceAssigned:
		f.Next, f.HeldUntil, f.Short = a.spacePlace(s.Next, false), instant(s.HeldUntil), s.Short
		f.Promise, f.Reservation = promiseCounted, s.Reservation
		if s.Reservation != "" {
			f.Promise = promiseHeld
		}
	}
	return f
}

// spaceBody is what a driver asks for.
type spaceBody struct {
	Destination struct {
		Latitude  *float64 `json:"latitude"`
		Longitude *float64 `json:"longitude"`
	} `json:"destination"`
	Vehicle vehicleForm `json:"vehicle"`
	// Charger and AccessibleBay ask for such a bay and no other.
	Charger       bool   `json:"charger,omitempty"`
	AccessibleBay bool   `json:"accessible_bay,omitempty"`
	StayMinutes   int    `json:"stay_minutes"`
	ArrivesAt     string `json:"arrives_at,omitempty"`
	MostPrice     string `json:"most_price"`
	// MostWalkMetres and PriceWeight, in thousandths, have defaults.
	MostWalkMetres *int64 `json:"most_walk_metres,omitempty"`
	PriceWeight    *int   `json:"price_weight,omitempty"`
}

// degree is a coordinate in degrees × 10⁷.
func degree(pointer string, value *float64, most float64) (int64, error) {
	switch {
	case value == nil:
		return 0, web.BadField(pointer, "is missing; write degrees, WGS 84")
	case math.IsNaN(*value) || math.Abs(*value) > most:
		return 0, web.BadField(pointer, fmt.Sprintf("is not within %.0f and %.0f degrees", -most, most))
	}
	return int64(math.Round(*value * 1e7)), nil
}

// request checks what was sent.
func (b *spaceBody) request(now time.Time) (r parking.SpaceRequest, err error) {
	if r.LatE7, err = degree("/destination/latitude", b.Destination.Latitude, 90); err != nil {
		return r, err
	}
	if r.LonE7, err = degree("/destination/longitude", b.Destination.Longitude, 180); err != nil {
		return r, err
	}
	if r.Vehicle, err = b.Vehicle.vehicle("/vehicle"); err != nil {
		return r, err
	}
	if b.Vehicle.Tag != "" {
		return r, web.BadField("/vehicle/tag", "is not needed to find a space; leave it out")
	}
	if b.StayMinutes < 1 || b.StayMinutes > mostSpaceStay {
		return r, web.BadField("/stay_minutes", fmt.Sprintf("is not a number of minutes from 1 to %d", mostSpaceStay))
	}
	if err = moments(timeField{"/arrives_at", b.ArrivesAt, &r.Arrives}); err != nil {
		return r, err
	}
	if !r.Arrives.IsZero() && r.Arrives.Before(now.Add(-time.Minute)) {
		return r, web.BadField("/arrives_at", "is past")
	}
	if b.MostPrice == "" {
		return r, web.BadField("/most_price", `is missing; write the most that the stay may cost, such as "60.00"`)
	}
	if r.MaxPriceCents, err = cents("/most_price", b.MostPrice); err != nil {
		return r, err
	}
	if r.MaxPriceCents < 0 || r.MaxPriceCents > city.MaxCents {
		return r, web.BadField("/most_price", "is not from 0.00 to "+billing.FormatCents(city.MaxCents))
	}
	r.MaxWalkMetres, r.LambdaPerMille = usualWalk, usualWeight
	if b.MostWalkMetres != nil {
		r.MaxWalkMetres = *b.MostWalkMetres
	}
	if r.MaxWalkMetres < 0 || r.MaxWalkMetres > city.MaxMetres {
		return r, web.BadField("/most_walk_metres", fmt.Sprintf("is not a number of metres from 0 to %d", city.MaxMetres))
	}
	if b.PriceWeight != nil {
		r.LambdaPerMille = *b.PriceWeight
	}
	if r.LambdaPerMille < 0 || r.LambdaPerMille > 1000 {
		return r, web.BadField("/price_weight", "is not from 0 (walking alone counts) to 1000 (money alone counts)")
	}
	r.StayMinutes, r.Charger, r.Accessible = b.StayMinutes, b.Charger, b.AccessibleBay
	r.Vehicle.EV = r.Vehicle.EV || b.Charger
	r.Vehicle.Accessible = r.Vehicle.Accessible || b.AccessibleBay
	return r, nil
}

func (a *API) postSpaceRequest(c echo.Context) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	var body spaceBody
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	wanted, err := body.request(a.Clock.Now())
	if err != nil {
		return err
	}
	keep := parking.Keep[finder.Seen]{Once: key, Encode: func(s finder.Seen) parking.Answer {
		return answerOf(http.StatusCreated, a.spaceOf(s), "/v1/space-requests/"+s.ID)
	}}
	made := func(string) {}
	if !staff(c) {
		if made, err = a.seeking(c); errors.Is(err, errTooMany) {
			return a.refusedHolder(c, key, "requests for a space")
		}
		if err != nil {
			return problem(err)
		}
	}
	result, err := a.Finder.Ask(c.Request().Context(), wanted, keep)
	made(result.Value.ID)
	if errors.Is(err, parking.ErrInvalid) {
		return web.BadField("/arrives_at", clean(err))
	}
	return respond(c, a, key, result, err, nil)
}

// seeking makes room for one more request for a space of the network that asks,
// as holding does for reservations.
func (a *API) seeking(c echo.Context) (done func(id string), err error) {
	network := web.Network(c.RealIP())
	known, ok := a.seekers.enter(network)
	if !ok {
		var over []string
		for _, id := range known {
			seen, err := a.Finder.Find(c.Request().Context(), id)
			if err != nil && !isNotFound(err) {
				return nil, err
			}
			if err != nil || seen.State.Final() {
				over = append(over, id)
			}
		}
		a.seekers.ended(network, over)
		if _, ok = a.seekers.enter(network); !ok {
			return nil, errTooMany
		}
	}
	return func(id string) { a.seekers.leave(network, id) }, nil
}

// noSpaceRequest is the 404 of a request that never was or was deleted.
func noSpaceRequest() *web.Problem {
	return web.NotFound("there is no such request for a space; those that ended are deleted after a while")
}

func (a *API) getSpaceRequest(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	seen, err := a.Finder.Find(c.Request().Context(), c.Param("id"))
	switch {
	case isNotFound(err):
		return noSpaceRequest()
	case err != nil:
		return problem(err)
	}
	return tagged(c, a.spaceOf(seen))
}

func (a *API) postSpaceWithdraw(c echo.Context) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	if err := decodeOptional(c, &struct{}{}); err != nil {
		return err
	}
	keep := parking.Keep[finder.Seen]{Once: key, Encode: func(s finder.Seen) parking.Answer {
		return answerOf(http.StatusOK, a.spaceOf(s), "")
	}}
	result, err := a.Finder.Withdraw(c.Request().Context(), c.Param("id"), keep)
	if isNotFound(err) {
		return noSpaceRequest()
	}
	return respond(c, a, key, result, err, nil)
}

// spaceThereForm is a driver on the way, as staff see it.
type spaceThereForm struct {
	ID          string       `json:"id"`
	Promise     string       `json:"promise"`
	Reservation string       `json:"reservation,omitempty"`
	Pool        string       `json:"pool,omitempty"`
	Vehicle     *vehicleForm `json:"vehicle"`
	Charger     bool         `json:"charger,omitempty"`
	Accessible  bool         `json:"accessible_bay,omitempty"`
	StayMinutes int          `json:"stay_minutes"`
	AssignedAt  *string      `json:"assigned_at"`
	ArrivesAt   *string      `json:"arrives_at"`
	HeldUntil   *string      `json:"held_until"`
	Short       bool         `json:"short,omitempty"`
}

// getSpaceRequests lists the drivers on their way to a car park.
func (a *API) getSpaceRequests(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	there, err := a.Finder.At(c.Request().Context(), site.ID, mostThere)
	if err != nil {
		return problem(err)
	}
	held, short := 0, 0
	items := make([]spaceThereForm, len(there))
	for i, r := range there {
		v := vehicleOf(r.Vehicle)
		items[i] = spaceThereForm{ID: r.ID, Promise: promiseCounted, Reservation: r.Reservation, Pool: r.Pool, Vehicle: &v, Charger: r.Charger,
			Accessible: r.Accessible, StayMinutes: r.StayMinutes, AssignedAt: instant(r.AssignedAt), ArrivesAt: instant(r.Arrives),
			HeldUntil: instant(r.HeldUntil), Short: r.Short}
		if r.Reservation != "" {
			items[i].Promise = promiseHeld
			held++
		}
		if r.Short {
			short++
		}
	}
	return tagged(c, map[string]any{"carpark": site.ID, "under_way": len(items), "held": held, "counted": len(items) - held, "short": short, "items": items})
}

// spaceRoundForm is what one round decided.
type spaceRoundForm struct {
	Number   int64                         `json:"number"`
	At       *string                       `json:"at"`
	Drivers  int                           `json:"drivers"`
	Waiting  int                           `json:"waiting"`
	Assigned int                           `json:"assigned"`
	Kept     int                           `json:"kept"`
	Moved    int                           `json:"moved"`
	Ended    int                           `json:"ended"`
	Short    int                           `json:"short"`
	Plans    int                           `json:"plans"`
	CarParks map[string]parking.SpaceCount `json:"carparks"`
}

// getSpaceRounds lists the latest rounds, the last first.
func (a *API) getSpaceRounds(c echo.Context) error {
	q := web.QueryOf(c, "limit")
	limit := q.Limit(20, mostRounds)
	if err := q.Err(); err != nil {
		return err
	}
	rounds, err := a.Finder.Rounds(c.Request().Context(), limit)
	if err != nil {
		return problem(err)
	}
	items := make([]spaceRoundForm, len(rounds))
	for i, r := range rounds {
		items[i] = spaceRoundForm{Number: r.Number, At: instant(r.At), Drivers: r.Drivers, Waiting: r.Waiting, Assigned: r.Assigned, Kept: r.Kept,
			Moved: r.Moved, Ended: r.Ended, Short: r.Short, Plans: r.Plans, CarParks: r.CarParks}
		if r.CarParks == nil {
			items[i].CarParks = map[string]parking.SpaceCount{}
		}
	}
	return tagged(c, map[string]any{"items": items})
}
