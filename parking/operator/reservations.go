package operator

import (
	"context"
	"net/http"
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

// span reads the parameters from and to.
func span(q *web.Query) (from, to time.Time) {
	from, hasFrom := q.Instant("from")
	to, hasTo := q.Instant("to")
	if !hasFrom {
		q.Refuse("from", "is missing")
	}
	if !hasTo {
		q.Refuse("to", "is missing")
	}
	if hasFrom && hasTo && !to.After(from) {
		q.Refuse("to", "is not after from")
	}
	return from, to
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
	left, limit, err := a.Attendant.Availability(c.Request().Context(), site.ID, pool, from, to)
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, map[string]any{"pool": pool, "from": instant(from), "to": instant(to), "left": left, "limit": limit})
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
	start, err := time.Parse(time.RFC3339Nano, body.Start)
	if err != nil {
		return web.BadField("/start", "is not a time; write it as 2026-11-23T08:00:00+08:00")
	}
	end, err := time.Parse(time.RFC3339Nano, body.End)
	if err != nil {
		return web.BadField("/end", "is not a time; write it as 2026-11-23T10:00:00+08:00")
	}
	seesAll := staff(c)
	if body.Account != "" && !seesAll {
		return web.BadField("/account", "is named by staff only")
	}
	keep := keeping(key, http.StatusCreated, func(r parking.Reservation) any { return reservationOf(r, seesAll) },
		func(r parking.Reservation) string { return "/v1/reservations/" + r.ID })
	result, err := a.Attendant.Reserve(c.Request().Context(), attendant.ReserveRequest{
		CarPark: site.ID, Pool: body.Pool, Vehicle: vehicle, Account: body.Account, Start: start, End: end, Quote: body.Quote,
	}, keep)
	return respond(c, keep, result, err, nil)
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

// getReservations lists those that touch [from, to), by default the next day.
func (a *API) getReservations(c echo.Context) error {
	q := web.QueryOf(c, "pool", "from", "to")
	from, ok := q.Instant("from")
	if !ok {
		from = a.Clock.Now()
	}
	to, ok := q.Instant("to")
	if !ok {
		to = from.Add(24 * time.Hour)
	}
	if to.Sub(from) > 31*24*time.Hour {
		q.Refuse("to", "is more than 31 days after from")
	}
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	var found []parking.Reservation
	err = a.Keeping.View(c.Request().Context(), func(tx parking.Tx) error {
		found, err = tx.Reservations(c.Request().Context(), site.ID, q.Text("pool"), from, to)
		return err
	})
	if err != nil {
		return problem(err)
	}
	items := make([]reservationForm, len(found))
	for i, r := range found {
		items[i] = reservationOf(r, true)
	}
	return c.JSON(http.StatusOK, web.Page[reservationForm]{Items: items})
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
	seesAll := staff(c)
	keep := keeping(key, http.StatusOK, func(r parking.Reservation) any { return reservationOf(r, seesAll) }, nil)
	result, err := do(c.Request().Context(), c.Param("id"), keep)
	return respond(c, keep, result, err, nil)
}
