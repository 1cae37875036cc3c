package operator

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/cashier"
	"freeflow/parking/tariff"
)

// getQuote prices a stay and itemises it, and keeps nothing.
func (a *API) getQuote(c echo.Context) error {
	q := web.QueryOf(c, "class", "from", "to", "ev")
	class := q.Needed("class")
	if !plain(class, maxMark) {
		q.Refuse("class", "is no class; write one such as private_car")
	}
	from, to := span(q)
	ev := q.Bool("ev")
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	quote, err := a.Cashier.Price(c.Request().Context(), cashier.QuoteRequest{CarPark: site.ID, Class: class, From: from, To: to, EV: ev})
	if isNotFound(err) {
		return noTariff()
	}
	if err != nil {
		return problem(err)
	}
	return tagged(c, quoteOf(quote))
}

// postQuote makes a price that binds.
func (a *API) postQuote(c echo.Context) error {
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	key, err := once(c)
	if err != nil {
		return err
	}
	var body struct {
		Class string `json:"class"`
		From  string `json:"from"`
		To    string `json:"to"`
		EV    bool   `json:"ev,omitempty"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	from, err := moment("/from", body.From)
	if err != nil {
		return err
	}
	to, err := moment("/to", body.To)
	if err != nil {
		return err
	}
	switch {
	case !to.After(from):
		return web.BadField("/to", "is not after from")
	case to.Sub(from) > mostStay:
		return web.BadField("/to", "is more than 366 days after from")
	case body.Class == "":
		return web.BadField("/class", "is missing; write a class such as private_car")
	}
	if err := short("/class", body.Class, maxMark); err != nil {
		return err
	}
	keep := cashier.Keep[cashier.Quote]{Once: key, Encode: func(q cashier.Quote) parking.Answer {
		return answerOf(http.StatusCreated, quoteOf(q), "")
	}}
	result, err := a.Cashier.Quote(c.Request().Context(), cashier.QuoteRequest{CarPark: site.ID, Class: body.Class, From: from, To: to, EV: body.EV}, keep)
	if isNotFound(err) {
		return noTariff()
	}
	return respond(c, a, key, result, err, nil)
}

// noTariff is the 422 for a car park that is there and has no tariff.
func noTariff() *web.Problem {
	return web.NewProblem(http.StatusUnprocessableEntity, "no-price", "The car park has no tariff",
		"no tariff is in force for this car park here, so that nothing can be quoted")
}

// quoteForm is a price, and why.
type quoteForm struct {
	// ID is empty for a price that was only looked at.
	ID       string  `json:"id,omitempty"`
	CarPark  string  `json:"carpark"`
	Class    string  `json:"class"`
	From     *string `json:"from"`
	To       *string `json:"to"`
	Amount   string  `json:"amount"`
	Currency string  `json:"currency"`
	// Expires is when a binding quote can no longer be taken up.
	Expires       *string `json:"expires,omitempty"`
	Tariff        string  `json:"tariff"`
	TariffVersion string  `json:"tariff_version"`
	TariffHash    string  `json:"tariff_hash"`
	// Lines sum to amount.
	Lines []tariff.Line `json:"lines"`
	Flags []string      `json:"flags"`
}

func quoteOf(q cashier.Quote) quoteForm {
	f := quoteForm{
		ID: q.ID, CarPark: q.CarPark, Class: q.Class, From: instant(q.From), To: instant(q.To), Amount: billing.FormatCents(q.TotalCents),
		Currency: q.Receipt.Currency, Tariff: q.Receipt.TariffID, TariffVersion: q.Receipt.TariffVersion, TariffHash: q.Receipt.Hash,
		Lines: notNil(q.Receipt.Lines), Flags: notNil(q.Receipt.Flags),
	}
	if q.ID != "" {
		f.Expires = instant(q.Expires)
	}
	return f
}

// noPrice is the 422 for a stay that the tariff cannot price, and says why.
func noPrice(err error) (*web.Problem, bool) {
	var (
		inForce   *tariff.NotInForceError
		unknown   *tariff.UnknownNameError
		undefined *tariff.UndefinedFeeError
		holidays  *tariff.NoHolidaysError
		price     *tariff.NoPriceError
	)
	if errors.As(err, &holidays) {
		// The error's own words are for whoever keeps the calendar.
		return web.NewProblem(http.StatusUnprocessableEntity, "no-price", "The tariff has no price for this",
			fmt.Sprintf("the price depends on the public holidays of %d, which are not published yet; ask again when they are", holidays.Year)), true
	}
	for _, target := range []any{&inForce, &unknown, &undefined, &price} {
		if errors.As(err, target) {
			return web.NewProblem(http.StatusUnprocessableEntity, "no-price", "The tariff has no price for this", clean(err)), true
		}
	}
	return nil, false
}
