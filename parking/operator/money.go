package operator

import (
	"fmt"
	"net/http"
	"regexp"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/cashier"
	"freeflow/parking/stay"
)

// billed answers a POST that changes what is to be paid for a stay.
func billed[B any](c echo.Context, a *API, body *B, do func(cashier.Keep[cashier.Bill]) (cashier.Result[cashier.Bill], error)) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	if err := web.DecodeJSON(c, body); err != nil {
		return err
	}
	result, err := do(cashier.Keep[cashier.Bill]{
		Once: key, Encode: func(b cashier.Bill) parking.Answer { return answerOf(http.StatusOK, billOf(b), "") },
	})
	return respond(c, a, key, result, err, nil)
}

// mostWattHours bounds one charging session: a megawatt hour.
const mostWattHours = 1_000_000

var means = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// cents reads an amount of a body.
func cents(pointer, text string) (int64, error) {
	n, err := billing.ParseCents(text)
	if err != nil {
		return 0, web.BadField(pointer, `is not an amount; write it as text, such as "24.00"`)
	}
	return n, nil
}

func (a *API) postPayment(c echo.Context) error {
	var body struct {
		Amount    string `json:"amount"`
		Means     string `json:"means"`
		PaymentID string `json:"payment_id"`
	}
	return billed(c, a, &body, func(keep cashier.Keep[cashier.Bill]) (r cashier.Result[cashier.Bill], err error) {
		amount, err := cents("/amount", body.Amount)
		if err != nil {
			return r, err
		}
		switch {
		case amount <= 0:
			return r, web.BadField("/amount", "is not above 0")
		case body.PaymentID == "" || !plain(body.PaymentID, maxID):
			return r, web.BadField("/payment_id", fmt.Sprintf("is made by whoever takes the money, 1 to %d bytes", maxID))
		case !means.MatchString(body.Means):
			return r, web.BadField("/means", "is not 1 to 32 lower-case letters, digits or hyphens, such as octopus")
		}
		return a.Cashier.Pay(c.Request().Context(), cashier.PayRequest{
			Stay: c.Param("id"), AmountCents: amount, Means: body.Means, PaymentID: body.PaymentID,
		}, keep)
	})
}

func (a *API) postRefund(c echo.Context) error {
	var body struct {
		By     string `json:"by,omitempty"`
		Reason string `json:"reason"`
	}
	return billed(c, a, &body, func(keep cashier.Keep[cashier.Bill]) (r cashier.Result[cashier.Bill], err error) {
		if err := signature(body.By, body.Reason, true); err != nil {
			return r, err
		}
		return a.Cashier.Refund(c.Request().Context(), cashier.RefundRequest{Stay: c.Param("id"), By: named(c, body.By), Reason: body.Reason}, keep)
	})
}

func (a *API) postValidation(c echo.Context) error {
	var body struct {
		Code      string `json:"code"`
		Reference string `json:"reference"`
		By        string `json:"by,omitempty"`
	}
	return billed(c, a, &body, func(keep cashier.Keep[cashier.Bill]) (r cashier.Result[cashier.Bill], err error) {
		for _, one := range [][2]string{{"/code", body.Code}, {"/reference", body.Reference}} {
			if one[1] == "" || !plain(one[1], maxID) {
				return r, web.BadField(one[0], fmt.Sprintf("is not a text of 1 to %d bytes", maxID))
			}
		}
		if err := signature(body.By, "", false); err != nil {
			return r, err
		}
		return a.Cashier.Validate(c.Request().Context(), cashier.ValidationRequest{
			Stay: c.Param("id"), Code: body.Code, Reference: body.Reference, By: named(c, body.By),
		}, keep)
	})
}

func (a *API) postCharging(c echo.Context) error {
	var body struct {
		Session   string `json:"session"`
		PlugIn    string `json:"plug_in,omitempty"`
		ChargeEnd string `json:"charge_end,omitempty"`
		Unplug    string `json:"unplug,omitempty"`
		WattHours int64  `json:"watt_hours,omitempty"`
	}
	return billed(c, a, &body, func(keep cashier.Keep[cashier.Bill]) (r cashier.Result[cashier.Bill], err error) {
		request := cashier.ChargingRequest{Stay: c.Param("id"), Session: body.Session, WattHours: body.WattHours}
		if body.Session == "" || !plain(body.Session, maxID) {
			return r, web.BadField("/session", fmt.Sprintf("is not a text of 1 to %d bytes", maxID))
		}
		if body.WattHours < 0 || body.WattHours > mostWattHours {
			return r, web.BadField("/watt_hours", fmt.Sprintf("is not a number from 0 to %d", int64(mostWattHours)))
		}
		if err := moments(timeField{"/plug_in", body.PlugIn, &request.PlugIn}, timeField{"/charge_end", body.ChargeEnd, &request.ChargeEnd},
			timeField{"/unplug", body.Unplug, &request.Unplug}); err != nil {
			return r, err
		}
		return a.Cashier.Charging(c.Request().Context(), request, keep)
	})
}

func (a *API) postDecision(c echo.Context) error {
	var body struct {
		Kind    string `json:"kind"`
		Account string `json:"account,omitempty"`
		Amount  string `json:"amount,omitempty"`
		Entry   string `json:"entry,omitempty"`
		Exit    string `json:"exit,omitempty"`
		By      string `json:"by,omitempty"`
		Reason  string `json:"reason"`
	}
	return billed(c, a, &body, func(keep cashier.Keep[cashier.Bill]) (r cashier.Result[cashier.Bill], err error) {
		request := cashier.DecideRequest{Stay: c.Param("id"), Kind: body.Kind, Account: body.Account, By: named(c, body.By), Reason: body.Reason}
		switch body.Kind {
		case stay.ByAccount, stay.Waived, stay.Amount, stay.Correct:
		default:
			return r, web.BadField("/kind", fmt.Sprintf("is none of %s, %s, %s, %s", stay.ByAccount, stay.Waived, stay.Amount, stay.Correct))
		}
		if err := signature(body.By, body.Reason, true); err != nil {
			return r, err
		}
		if err := short("/account", body.Account, maxID); err != nil {
			return r, err
		}
		// A missing amount is not 0.
		if body.Amount != "" || body.Kind == stay.Amount {
			if request.AmountCents, err = cents("/amount", body.Amount); err != nil {
				return r, err
			}
		}
		if err := moments(timeField{"/entry", body.Entry, &request.Entry}, timeField{"/exit", body.Exit, &request.Exit}); err != nil {
			return r, err
		}
		return a.Cashier.Decide(c.Request().Context(), request, keep)
	})
}
