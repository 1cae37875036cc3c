package public

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

//go:embed openapi_disputes.json
var openAPIDisputes []byte

// DisputesOpenAPI is the description of the routes of DisputeRoutes.
func DisputesOpenAPI() []byte { return append([]byte(nil), openAPIDisputes...) }

// Disputing is what disputes by a notice need beside the API's own parts.
type Disputing struct {
	Service *dispute.Service
	// View runs fn on one snapshot.
	View func(ctx context.Context, fn func(*books.Tx) error) error
}

// DisputeRoutes adds the routes by which somebody without an account says that
// what a notice names is wrong: bounded, and as silent about vehicles, as those
// by which it is paid.
func (a *API) DisputeRoutes(e *echo.Echo, d Disputing) {
	g := e.Group("/v1", web.LimitBody(maxBody), web.Deadline(usualTime))
	g.POST("/notice-disputes", a.postDispute(d))
	g.GET("/notice-disputes/:reference", a.getDispute(d), a.states.Middleware)
}

// disputeForm tells neither where nor when, and not what was written.
func disputeForm(d dispute.Dispute) dispute.Standing {
	v := dispute.StandingOf(d)
	v.Receivable, v.Text = "", ""
	return v
}

func (a *API) postDispute(d Disputing) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx := c.Request().Context()
		defer a.floor(ctx)()
		read, err := web.RepeatableRequest(c)
		if err != nil {
			return err
		}
		var body struct {
			Plate  string `json:"plate"`
			Number string `json:"number"`
			Reason string `json:"reason"`
			Text   string `json:"text"`
		}
		if err := web.DecodeJSON(c, &body); err != nil {
			return err
		}
		plate, number, err := a.read(c, named{body.Plate, body.Number})
		if err != nil {
			return err
		}
		asked := once.Request{Scope: read.Scope, Key: read.Key, Fingerprint: read.Fingerprint}
		kept, err := a.Once.DoOnce(ctx, asked, func(tx *books.Tx) (once.Answer, error) {
			list, err := d.Service.OpenAllByNotice(ctx, tx, plate, number, dispute.Opening{Reason: body.Reason, Text: body.Text}, a.Clock.Now())
			if err != nil {
				return once.Answer{}, err
			}
			var form struct {
				Disputes []dispute.Standing `json:"disputes"`
			}
			for _, one := range list {
				form.Disputes = append(form.Disputes, disputeForm(one))
			}
			text, err := json.Marshal(form)
			return once.Answer{Status: http.StatusCreated, Body: append(text, '\n')}, err
		})
		switch {
		case errors.Is(err, once.ErrReused):
			return web.KeyReused()
		case errors.Is(err, once.ErrBusy):
			return web.KeyBusy()
		case errors.Is(err, billing.ErrConflict):
			return web.NewProblem(http.StatusConflict, "conflict", "Not possible as things stand", "what the notice names is in dispute already, was decided, or is not owed any more")
		case err != nil:
			return problem(err)
		}
		web.Repeated(c, "", kept.Replayed)
		return c.Blob(kept.Status, echo.MIMEApplicationJSON, kept.Body)
	}
}

// getDispute shows how a dispute stands to whoever knows its reference; one of
// an account is seen by its holder only, after signing in.
func (a *API) getDispute(d Disputing) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := web.QueryOf(c).Err(); err != nil {
			return err
		}
		ctx := c.Request().Context()
		var form dispute.Standing
		err := d.View(ctx, func(tx *books.Tx) error {
			one, err := tx.Dispute(ctx, c.Param("reference"))
			if err == nil && (one.Account != "" || one.Origin == dispute.System) {
				err = billing.ErrNotFound
			}
			form = disputeForm(one)
			return err
		})
		if err != nil {
			return problem(err)
		}
		return c.JSON(http.StatusOK, form)
	}
}
