package bankemu

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/payment/bank"
	"freeflow/internal/web"
)

// Routes adds the provider's API and, under /admin, what tells it to misbehave.
func (e *Emulator) Routes(server *echo.Echo) error {
	key, err := web.Bearer(web.Key{Name: "client", Secret: e.Key})
	if err != nil {
		return err
	}
	admin, err := web.Bearer(web.Key{Name: "admin", Secret: e.AdminKey})
	if err != nil {
		return err
	}
	g := server.Group("/v1", key)
	g.POST("/charges", func(c echo.Context) error { return e.order(c, OnCharge) })
	g.POST("/refunds", func(c echo.Context) error { return e.order(c, OnRefund) })
	g.POST("/payouts", func(c echo.Context) error { return e.order(c, OnPayout) })
	g.GET("/transfers/:reference", e.query)
	a := server.Group("/admin", admin)
	a.POST("/rules", e.postRule)
	a.DELETE("/rules", func(c echo.Context) error { e.Behave(); return c.NoContent(http.StatusNoContent) })
	a.POST("/tokens", e.postToken)
	a.POST("/credits", e.postCredit)
	a.POST("/transfers/:reference/take-back", func(c echo.Context) error {
		if err := e.TakeBack(c.Request().Context(), c.Param("reference")); err != nil {
			return web.NewProblem(http.StatusConflict, "conflict", "", err.Error())
		}
		return c.NoContent(http.StatusNoContent)
	})
	a.GET("/totals", e.getTotals)
	return nil
}

func (e *Emulator) order(c echo.Context, kind string) error {
	asked, err := web.RepeatableRequest(c)
	if err != nil {
		return err
	}
	var o bank.Order
	if err := web.DecodeJSON(c, &o); err != nil {
		return err
	}
	if o.Reference == "" || asked.Key != o.Reference {
		return web.BadField("/reference", "must be the same as the Idempotency-Key")
	}
	e.mu.Lock()
	e.calls[kind]++
	r := e.rule(kind)
	if done, err := before(c, r); done {
		e.mu.Unlock()
		return err
	}
	t, early, err := e.accept(kind, o, r)
	var answer bank.Transfer
	if err == nil {
		answer = t.Transfer
	}
	e.mu.Unlock()
	switch {
	case errors.Is(err, errReused):
		return web.NewProblem(http.StatusUnprocessableEntity, "idempotency-key-reused", "", err.Error())
	case errors.Is(err, errBadOrder):
		return web.NewProblem(http.StatusUnprocessableEntity, "bad-order", "", err.Error())
	case err != nil:
		return err
	}
	if err := e.send(c.Request().Context(), early); err != nil {
		e.Log.Debug("an early notice was not taken", "err", err)
	}
	if done, err := after(c, r); done {
		return err
	}
	return c.JSON(http.StatusOK, answer)
}

// before plays rules under which nothing is done.
func before(c echo.Context, r *Rule) (done bool, err error) {
	if r == nil {
		return false, nil
	}
	switch r.Do {
	case ErrorBefore:
		return true, web.NewProblem(http.StatusInternalServerError, "internal", "", "the provider was told to fail")
	case Outage:
		return true, web.Busy("the provider was told to be out of order")
	case CutBefore:
		return true, cut(c)
	}
	return false, nil
}

// after plays rules that spoil the answer.
func after(c echo.Context, r *Rule) (done bool, err error) {
	if r == nil {
		return false, nil
	}
	switch r.Do {
	case ErrorAfter:
		return true, web.NewProblem(http.StatusInternalServerError, "internal", "", "the provider was told to fail")
	case CutAfter:
		return true, cut(c)
	case HangAfter:
		<-c.Request().Context().Done()
		return true, cut(c)
	case Slow:
		wait := time.NewTimer(time.Duration(r.Seconds) * time.Second)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-c.Request().Context().Done():
		}
	}
	return false, nil
}

// cut breaks the connection without an answer.
func cut(c echo.Context) error {
	connection, _, err := c.Response().Hijack()
	if err != nil {
		return fmt.Errorf("cutting a connection: %w", err)
	}
	return connection.Close()
}

func (e *Emulator) query(c echo.Context) error {
	reference := c.Param("reference")
	e.mu.Lock()
	e.calls[OnQuery]++
	r := e.rule(OnQuery)
	if done, err := before(c, r); done {
		e.mu.Unlock()
		return err
	}
	t := e.transfers[reference]
	if t != nil {
		e.decide(t)
	}
	absent := r != nil && r.Do == AbsentFor
	var answer bank.Transfer
	if t != nil {
		answer = t.Transfer
	} else if i := slices.IndexFunc(e.credits, func(c credit) bool { return c.bill == reference }); i >= 0 {
		answer = e.credits[i].transfer()
	} else {
		absent = true
	}
	e.mu.Unlock()
	if absent {
		return c.JSON(http.StatusNotFound, bank.Absent{Absent: reference})
	}
	if done, err := after(c, r); done {
		return err
	}
	return c.JSON(http.StatusOK, answer)
}

func (e *Emulator) postRule(c echo.Context) error {
	var r Rule
	if err := web.DecodeJSON(c, &r); err != nil {
		return err
	}
	e.Tell(r)
	return c.NoContent(http.StatusNoContent)
}

func (e *Emulator) postToken(c echo.Context) error {
	var body struct {
		Token    string `json:"token,omitempty"`
		Kind     string `json:"kind"`
		Amount   string `json:"amount"`
		Currency string `json:"currency"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	cents, err := billing.ParseCents(body.Amount)
	if err != nil || cents < 0 {
		return web.BadField("/amount", "is not an amount of 0 or more")
	}
	return c.JSON(http.StatusCreated, map[string]string{"token": e.AddToken(body.Token, body.Kind, cents, body.Currency)})
}

func (e *Emulator) postCredit(c echo.Context) error {
	var body struct {
		Bill     string `json:"bill"`
		Payer    string `json:"payer"`
		Amount   string `json:"amount"`
		Currency string `json:"currency"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	cents, err := billing.ParseCents(body.Amount)
	if err != nil {
		return web.BadField("/amount", "is not an amount")
	}
	if err := e.Send(c.Request().Context(), body.Bill, body.Payer, cents, body.Currency); err != nil {
		return web.BadField("", err.Error())
	}
	return c.NoContent(http.StatusNoContent)
}

func (e *Emulator) getTotals(c echo.Context) error {
	q := web.QueryOf(c, "currency")
	currency := q.Needed("currency")
	if err := q.Err(); err != nil {
		return err
	}
	t := e.Totals(currency)
	return c.JSON(http.StatusOK, map[string]any{
		"taken": billing.FormatCents(t.TakenCents), "given": billing.FormatCents(t.GivenCents), "charges": t.Charges,
	})
}
