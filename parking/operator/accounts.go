package operator

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/cashier"
)

// getDue says what is to be paid for a plate or ticket, and nothing else.
func (a *API) getDue(c echo.Context) error {
	q := web.QueryOf(c, "plate", "ticket")
	by := ""
	if text := q.Text("plate"); plain(text, 4*maxMark) {
		by = plate(text)
	} else {
		q.Refuse("plate", "is no plate")
	}
	if ticket := q.Text("ticket"); ticket != "" {
		if by != "" {
			q.Refuse("ticket", "is given together with plate; give one of them")
		}
		by = ticket
	}
	if by == "" {
		q.Refuse("plate", "is missing; give plate or ticket")
	}
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	due, err := a.Cashier.Due(c.Request().Context(), site.ID, by)
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, map[string]any{
		"carpark": due.CarPark, "amount": billing.FormatCents(due.AmountCents), "currency": due.Currency, "grace_minutes": due.GraceMinutes,
	})
}

// getTakings gives the figures of one day of the site.
func (a *API) getTakings(c echo.Context) error {
	q := web.QueryOf(c, "day")
	text := q.Needed("day")
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(site.Zone)
	if err != nil {
		return fmt.Errorf("loading the zone of %s: %w", site.ID, err)
	}
	day, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err != nil || day.Before(earliest) || !day.Before(latest) {
		return web.BadParameter("day", "is not a day of the years 2000 to 2199; write it as 2026-11-23")
	}
	figures, err := a.Cashier.Reconcile(c.Request().Context(), site.ID, day)
	if err != nil {
		return problem(err)
	}
	type line struct {
		Means   string `json:"means"`
		Stays   int    `json:"stays"`
		Amount  string `json:"amount"`
		Account string `json:"account"`
		Paid    string `json:"paid"`
	}
	lines := make([]line, len(figures.Closed))
	for i, m := range figures.Closed {
		lines[i] = line{m.Means, m.Stays, billing.FormatCents(m.AmountCents), billing.FormatCents(m.AccountCents), billing.FormatCents(m.PaidCents)}
	}
	type taken struct {
		Means    string `json:"means"`
		Payments int    `json:"payments"`
		Amount   string `json:"amount"`
		Refunded string `json:"refunded"`
	}
	till := make([]taken, len(figures.Taken))
	for i, m := range figures.Taken {
		till[i] = taken{m.Means, m.Payments, billing.FormatCents(m.Cents), billing.FormatCents(m.RefundedCents)}
	}
	return tagged(c, map[string]any{
		"carpark": figures.CarPark, "from": instant(figures.From), "to": instant(figures.To), "currency": figures.Currency, "closed": lines,
		"taken": till, "account": billing.FormatCents(figures.AccountCents),
		"amount": billing.FormatCents(figures.AmountCents), "paid": billing.FormatCents(figures.PaidCents), "due": billing.FormatCents(figures.DueCents),
		"credit": billing.FormatCents(figures.CreditCents), "open": figures.Open, "review": figures.Review, "unposted": figures.Unposted,
	})
}

// preferenceForm is an account's word on paying for parking.
type preferenceForm struct {
	Account  string  `json:"account"`
	Business bool    `json:"business"`
	Pays     bool    `json:"pays"`
	Said     bool    `json:"said"`
	At       *string `json:"at,omitempty"`
	By       string  `json:"by,omitempty"`
}

func preferenceOf(p parking.Preference) any {
	return preferenceForm{p.Account, p.Business, p.PaysParking(), p.Said, instant(p.At), p.By}
}

func (a *API) getPreference(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	p, err := a.Cashier.Preference(c.Request().Context(), c.Param("account"))
	if err != nil {
		return problem(err)
	}
	p.Account = c.Param("account")
	return tagged(c, preferenceOf(p))
}

func (a *API) putPreference(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	var body struct {
		Business *bool  `json:"business"`
		Pays     *bool  `json:"pays"`
		By       string `json:"by,omitempty"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	// A word that is missing is not a no.
	switch {
	case body.Business == nil:
		return web.BadField("/business", "is missing: true or false")
	case body.Pays == nil:
		return web.BadField("/pays", "is missing: true or false")
	}
	if err := signature(body.By, "", false); err != nil {
		return err
	}
	result, err := a.Cashier.SetPreference(c.Request().Context(), parking.Preference{
		Account: c.Param("account"), Business: *body.Business, Said: true, Pays: *body.Pays, At: a.Clock.Now(), By: named(c, body.By),
	}, cashier.Keep[parking.Preference]{})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, preferenceOf(result.Value))
}
