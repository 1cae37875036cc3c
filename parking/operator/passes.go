package operator

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/cashier"
)

// passForm is a pass of the register as it is shown.
type passForm struct {
	ID      string  `json:"id"`
	CarPark string  `json:"carpark"`
	Plate   string  `json:"plate,omitempty"`
	Tag     string  `json:"tag,omitempty"`
	Permit  string  `json:"permit"`
	Class   string  `json:"class"`
	From    *string `json:"from"`
	To      *string `json:"to"`
	// Until is To, or when the pass was taken back.
	Until     *string `json:"until"`
	PutAt     *string `json:"put_at"`
	By        string  `json:"by"`
	Reason    string  `json:"reason,omitempty"`
	EndedAt   *string `json:"ended_at,omitempty"`
	EndedBy   string  `json:"ended_by,omitempty"`
	EndReason string  `json:"end_reason,omitempty"`
}

func passOf(p parking.Pass) passForm {
	f := passForm{
		ID: p.ID, CarPark: p.CarPark, Plate: p.Vehicle, Permit: p.Permit, Class: p.Class, From: instant(p.From), To: instant(p.To), Until: instant(p.Until()),
		PutAt: instant(p.PutAt), By: p.By, Reason: p.Reason, EndedAt: instant(p.EndedAt), EndedBy: p.EndedBy, EndReason: p.EndReason,
	}
	if tag, ok := strings.CutPrefix(p.Vehicle, "tag:"); ok {
		f.Plate, f.Tag = "", tag
	}
	return f
}

// passRoutes are for staff alone: they name vehicles.
func (a *API) passRoutes(g routes) {
	g.GET("/carparks/:id/passes", a.getPasses)
	g.GET("/carparks/:id/passes/:pass", a.getPass)
	g.PUT("/carparks/:id/passes/:pass", a.putPass)
	g.DELETE("/carparks/:id/passes/:pass", a.deletePass)
}

// getPasses lists those that hold within [from, to), by default from now on for
// a year.
func (a *API) getPasses(c echo.Context) error {
	q := web.QueryOf(c, "vehicle", "from", "to", "after", "limit")
	limit := q.Limit(usualRows, mostRows)
	vehicle, after := mark(q, "vehicle"), q.Text("after")
	from, ok := parameterTime(q, "from")
	if !ok {
		from = a.Clock.Now()
	}
	to, ok := parameterTime(q, "to")
	if !ok {
		to = from.Add(mostStay)
	}
	if !to.After(from) {
		q.Refuse("to", "is not after from")
	}
	if !plain(after, maxID) {
		q.Refuse("after", "is not the next of an answer before")
	}
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	found, err := a.Cashier.Passes(c.Request().Context(), site.ID, vehicle, from, to, after, limit+1)
	if isNotFound(err) {
		return web.BadParameter("after", "is not the next of an answer before")
	}
	if err != nil {
		return problem(err)
	}
	found, next := nextCursor(found, limit, func(p parking.Pass) string { return p.ID })
	items := make([]passForm, len(found))
	for i := range found {
		items[i] = passOf(found[i])
	}
	web.LinkNext(c, next)
	return tagged(c, web.Page[passForm]{Items: items, Next: next})
}

func (a *API) getPass(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	p, err := a.Cashier.Pass(c.Request().Context(), site.ID, c.Param("pass"))
	if isNotFound(err) {
		return web.NotFound("there is no such pass here")
	}
	if err != nil {
		return problem(err)
	}
	return tagged(c, passOf(p))
}

// putPass sells a pass under the id that the caller made. The same again changes
// nothing, and other terms are another pass.
func (a *API) putPass(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	var body struct {
		Plate  string `json:"plate,omitempty"`
		Tag    string `json:"tag,omitempty"`
		Permit string `json:"permit"`
		Class  string `json:"class"`
		From   string `json:"from"`
		To     string `json:"to"`
		By     string `json:"by,omitempty"`
		Reason string `json:"reason,omitempty"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	vehicle, err := holder(body.Plate, body.Tag)
	if err != nil {
		return err
	}
	p := parking.Pass{ID: c.Param("pass"), CarPark: site.ID, Vehicle: vehicle, Permit: body.Permit, Class: body.Class, By: named(c, body.By), Reason: body.Reason}
	if p.From, err = moment("/from", body.From); err != nil {
		return err
	}
	if p.To, err = moment("/to", body.To); err != nil {
		return err
	}
	if err := errors.Join(short("/permit", body.Permit, maxID), short("/class", body.Class, maxID)); err != nil {
		return err
	}
	if err := signature(body.By, body.Reason, false); err != nil {
		return err
	}
	if err := short("/reason", body.Reason, maxPath); err != nil {
		return err
	}
	done, err := a.Cashier.PutPass(c.Request().Context(), p, cashier.Keep[cashier.PassOutcome]{})
	if err != nil {
		return problem(err)
	}
	status := http.StatusCreated
	if done.Value.Known {
		status = http.StatusOK
	} else {
		c.Response().Header().Set(echo.HeaderLocation, fmt.Sprintf("/v1/carparks/%s/passes/%s", site.ID, c.Param("pass")))
	}
	return c.JSON(status, passOf(done.Value.Pass))
}

// holder is a pass's vehicle of a plate or a tag.
func holder(plateText, tag string) (string, error) {
	switch {
	case (plateText == "") == (tag == ""):
		return "", web.BadField("/plate", "give a plate, or a tag, and not both")
	case tag != "":
		return "tag:" + strings.ToUpper(tag), short("/tag", tag, maxMark)
	case !plain(plateText, 4*maxMark) || plate(plateText) == "":
		return "", web.BadField("/plate", "is no plate")
	}
	return plate(plateText), nil
}

// deletePass takes a pass back from now on; it stays in the register, with its
// end.
func (a *API) deletePass(c echo.Context) error {
	q := web.QueryOf(c, "reason", "by")
	reason, by := q.Needed("reason"), q.Text("by")
	if !plain(reason, maxPath) {
		q.Refuse("reason", "is too long, or no text")
	}
	if !plain(by, maxID) || by == byMachine {
		q.Refuse("by", "is no person's name")
	}
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	done, err := a.Cashier.EndPass(c.Request().Context(), site.ID, c.Param("pass"), named(c, by), reason, cashier.Keep[parking.Pass]{})
	if isNotFound(err) {
		return web.NotFound("there is no such pass here")
	}
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, passOf(done.Value))
}
