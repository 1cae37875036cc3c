package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/attendant"
)

// reservationForm is a reservation as it is shown.
type reservationForm struct {
	ID          string  `json:"id"`
	CarPark     string  `json:"carpark"`
	Pool        string  `json:"pool"`
	State       string  `json:"state"`
	Revision    int64   `json:"revision"`
	Start       *string `json:"start"`
	End         *string `json:"end"`
	ExpiresAt   *string `json:"expires_at,omitempty"`
	NoShowAfter *string `json:"no_show_after,omitempty"`
	Allocation  string  `json:"allocation,omitempty"`
	Quote       string  `json:"quote,omitempty"`
	// Staff's part; never shown to motorists.
	Vehicle *vehicleForm `json:"vehicle,omitempty"`
	Account string       `json:"account,omitempty"`
}

func reservationOf(r parking.Reservation, seesAll bool) reservationForm {
	f := reservationForm{
		ID: r.ID, CarPark: r.CarPark, Pool: r.Pool, State: string(r.State), Revision: r.Revision, Start: instant(r.Start), End: instant(r.End),
		NoShowAfter: instant(r.NoShowAfter), Allocation: r.Allocation, Quote: r.Quote,
	}
	if r.State == parking.Held {
		f.ExpiresAt = instant(r.ExpiresAt)
	}
	if seesAll {
		v := vehicleOf(r.Vehicle)
		f.Vehicle, f.Account = &v, r.Account
	}
	return f
}

func (a *API) getAvailability(c echo.Context) error {
	q := web.QueryOf(c, "pool", "from", "to")
	pool := q.Needed("pool")
	from, to := span(q)
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	if _, ok := site.Pool(pool); !ok {
		return web.BadParameter("pool", "there is no such pool here")
	}
	left, limit, err := a.Attendant.Availability(c.Request().Context(), site.ID, pool, from, to)
	if errors.Is(err, parking.ErrInvalid) {
		return web.BadParameter("from", "with to: "+clean(err))
	}
	if err != nil {
		return problem(err)
	}
	return tagged(c, map[string]any{"pool": pool, "from": instant(from), "to": instant(to), "left": left, "limit": limit})
}

func (a *API) postReservation(c echo.Context) error {
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	key, err := once(c)
	if err != nil {
		return err
	}
	var body struct {
		Pool    string      `json:"pool"`
		Vehicle vehicleForm `json:"vehicle"`
		Account string      `json:"account,omitempty"`
		Start   string      `json:"start"`
		End     string      `json:"end"`
		Quote   string      `json:"quote,omitempty"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	vehicle, err := body.Vehicle.vehicle("/vehicle")
	if err != nil {
		return err
	}
	start, err := moment("/start", body.Start)
	if err != nil {
		return err
	}
	end, err := moment("/end", body.End)
	if err != nil {
		return err
	}
	seesAll := staff(c)
	if body.Account != "" && !seesAll {
		return web.BadField("/account", "is named by staff only")
	}
	if err := short("/account", body.Account, maxID); err != nil {
		return err
	}
	if pool, ok := site.Pool(body.Pool); !ok || !pool.Bookable {
		return web.BadField("/pool", "there is no pool of this name that can be reserved here")
	}
	if err := a.quoted(c, body.Quote, site.ID); err != nil {
		return err
	}
	keep := keeping(key, http.StatusCreated, func(r parking.Reservation) any { return reservationOf(r, seesAll) },
		func(r parking.Reservation) string { return "/v1/reservations/" + r.ID })
	made := func(string) {}
	if !seesAll {
		if made, err = a.holding(c); errors.Is(err, errTooMany) {
			return a.refusedHolder(c, key, "reservations")
		}
		if err != nil {
			return problem(err)
		}
	}
	result, err := a.Attendant.Reserve(c.Request().Context(), attendant.ReserveRequest{
		CarPark: site.ID, Pool: body.Pool, Vehicle: vehicle, Account: body.Account, Start: start, End: end, Quote: body.Quote,
	}, keep)
	made(result.Value.ID)
	return respond(c, a, key, result, err, nil)
}

// refusedHolder answers a stranger who has too many of something already, unless
// the request is the repetition of one that was answered.
func (a *API) refusedHolder(c echo.Context, key *parking.Once, what string) error {
	answer, err := a.Keeping.Do(c.Request().Context(), key, func(parking.Tx) (parking.Answer, error) { return parking.Answer{}, errTooMany })
	switch {
	case errors.Is(err, errTooMany):
		return web.TooMany(fmt.Sprintf("there are %d %s from this address that have not ended; cancel one, or come and use it", mostHeld, what), retryHolding)
	case err != nil:
		return problem(err)
	}
	return write(c, answer)
}

// quoted refuses a quote that would not bind here and now.
func (a *API) quoted(c echo.Context, id, carPark string) error {
	if id == "" {
		return nil
	}
	if err := short("/quote", id, maxID); err != nil {
		return err
	}
	quote, err := a.Cashier.FindQuote(c.Request().Context(), id)
	switch {
	case isNotFound(err), err == nil && quote.CarPark != carPark:
		return web.BadField("/quote", "there is no such quote of this car park")
	case err != nil:
		return problem(err)
	case !a.Clock.Now().Before(quote.Expires):
		return web.BadField("/quote", "has expired; ask for another")
	}
	return nil
}

func (a *API) getReservation(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	var r parking.Reservation
	err := a.Keeping.View(c.Request().Context(), func(tx parking.Tx) (err error) {
		r, err = tx.Reservation(c.Request().Context(), c.Param("id"))
		return err
	})
	if err != nil {
		return problem(err)
	}
	return tagged(c, reservationOf(r, staff(c)))
}

// getReservations lists those that touch [from, to), by default the next day, in
// order of their beginning.
func (a *API) getReservations(c echo.Context) error {
	q := web.QueryOf(c, "pool", "from", "to", "after", "limit")
	limit := q.Limit(usualRows, mostRows)
	after, begun := cursorOf(q)
	from, ok := parameterTime(q, "from")
	if !ok {
		from = a.Clock.Now()
	}
	to, ok := parameterTime(q, "to")
	if !ok {
		to = from.Add(24 * time.Hour)
	}
	switch {
	case !to.After(from):
		q.Refuse("to", "is not after from")
	case to.Sub(from) > 31*24*time.Hour:
		q.Refuse("to", "is more than 31 days after from")
	}
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	if _, ok := site.Pool(q.Text("pool")); q.Text("pool") != "" && !ok {
		return web.BadParameter("pool", "there is no such pool here")
	}
	var found []parking.Reservation
	err = a.Keeping.View(c.Request().Context(), func(tx parking.Tx) error {
		found, err = tx.Reservations(c.Request().Context(), site.ID, q.Text("pool"), from, to)
		return err
	})
	if err != nil {
		return problem(err)
	}
	place := func(r parking.Reservation) cursor { return cursorAt(r.Start, r.ID) }
	slices.SortFunc(found, func(x, y parking.Reservation) int { return place(x).compare(place(y)) })
	found = slices.DeleteFunc(found, func(r parking.Reservation) bool { return begun && place(r).compare(after) <= 0 })
	found, next := nextCursor(found, limit, func(r parking.Reservation) string { return place(r).String() })
	items := make([]reservationForm, len(found))
	for i, r := range found {
		items[i] = reservationOf(r, true)
	}
	web.LinkNext(c, next)
	return tagged(c, web.Page[reservationForm]{Items: items, Next: next})
}

func (a *API) postReservationConfirm(c echo.Context) error {
	return a.reserved(c, a.Attendant.Confirm)
}

func (a *API) postReservationCancel(c echo.Context) error {
	return a.reserved(c, a.Attendant.CancelReservation)
}

func (a *API) reserved(c echo.Context, do func(context.Context, string, attendant.Keep[parking.Reservation]) (attendant.Result[parking.Reservation], error)) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	if err := decodeOptional(c, &struct{}{}); err != nil {
		return err
	}
	seesAll := staff(c)
	keep := keeping(key, http.StatusOK, func(r parking.Reservation) any { return reservationOf(r, seesAll) }, nil)
	result, err := do(c.Request().Context(), c.Param("id"), keep)
	return respond(c, a, key, result, err, nil)
}
