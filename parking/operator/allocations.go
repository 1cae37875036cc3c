package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/attendant"
)

// vehicleForm is a vehicle as it is sent and shown.
type vehicleForm struct {
	Plate      string `json:"plate,omitempty"`
	Tag        string `json:"tag,omitempty"`
	Class      string `json:"class"`
	LengthMM   int    `json:"length_mm,omitempty"`
	WidthMM    int    `json:"width_mm,omitempty"`
	HeightMM   int    `json:"height_mm,omitempty"`
	WeightKG   int    `json:"weight_kg,omitempty"`
	EV         bool   `json:"ev,omitempty"`
	Accessible bool   `json:"accessible,omitempty"`
}

// maxMeasure bounds a measure.
const maxMeasure = 1_000_000

var tagForm = regexp.MustCompile(`^([0-9A-F]{2}){1,62}$`)

// vehicle checks and normalises what was sent; at is the JSON pointer of it.
func (f vehicleForm) vehicle(at string) (parking.Vehicle, error) {
	v := parking.Vehicle{
		Tag: strings.ToUpper(f.Tag), Class: f.Class,
		LengthMM: f.LengthMM, WidthMM: f.WidthMM, HeightMM: f.HeightMM, WeightKG: f.WeightKG, EV: f.EV, Accessible: f.Accessible,
	}
	if v.Class == "" {
		return v, web.BadField(at+"/class", "is missing; write a class such as private_car")
	}
	if err := short(at+"/class", v.Class, maxMark); err != nil {
		return v, err
	}
	if len(f.Plate) <= 4*maxMark {
		v.Plate = plate(f.Plate)
	}
	switch {
	case len(f.Plate) > 4*maxMark || !plain(v.Plate, maxMark) || strings.Contains(v.Plate, ":"):
		return v, web.BadField(at+"/plate", fmt.Sprintf("is not a plate: at most %d bytes, without control characters and colons", maxMark))
	case v.Tag != "" && !tagForm.MatchString(v.Tag):
		return v, web.BadField(at+"/tag", "is not hex of 1 to 62 whole bytes")
	}
	for _, one := range []struct {
		name    string
		measure int
	}{{"length_mm", v.LengthMM}, {"width_mm", v.WidthMM}, {"height_mm", v.HeightMM}, {"weight_kg", v.WeightKG}} {
		if one.measure < 0 || one.measure > maxMeasure {
			return v, web.BadField(at+"/"+one.name, "is not a measure from 0 (not measured) to 1000000")
		}
	}
	return v, nil
}

func vehicleOf(v parking.Vehicle) vehicleForm { return vehicleForm(v) }

// allocationForm is an allocation as it is shown. The first five members are
// the contract's.
type allocationForm struct {
	ID             string  `json:"id"`
	Bay            string  `json:"bay"`
	Level          string  `json:"level"`
	ReadyInSeconds int     `json:"ready_in_seconds"`
	Why            string  `json:"why"`
	Next           string  `json:"next,omitempty"`
	CarPark        string  `json:"carpark"`
	Machine        string  `json:"machine,omitempty"`
	State          string  `json:"state"`
	Revision       int64   `json:"revision"`
	AssignedAt     *string `json:"assigned_at"`
	StoredAt       *string `json:"stored_at,omitempty"`
	RequestedAt    *string `json:"requested_at,omitempty"`
	NotBefore      *string `json:"not_before,omitempty"`
	PromisedAt     *string `json:"promised_at,omitempty"`
	StagedAt       *string `json:"staged_at,omitempty"`
	EndedAt        *string `json:"ended_at,omitempty"`
	Reservation    string  `json:"reservation,omitempty"`
	AlreadyInside  bool    `json:"already_inside,omitempty"`
	// Hint is for the driver who waits at the gate.
	Hint string `json:"hint,omitempty"`
	// Position is the place in the queue of cars wanted, from 1.
	Position int    `json:"position,omitempty"`
	Note     string `json:"note,omitempty"`
	// Staff's part; never shown to motorists.
	Vehicle *vehicleForm `json:"vehicle,omitempty"`
	Stay    string       `json:"stay,omitempty"`
	By      string       `json:"by,omitempty"`
	Reason  string       `json:"reason,omitempty"`
}

// allocationOf shows an allocation; staff sees the vehicle and who decided.
func (a *API) allocationOf(al parking.Allocation, staff bool) allocationForm {
	f := allocationForm{
		ID: al.ID, Bay: al.Bay, ReadyInSeconds: al.ReadySeconds, Why: al.Why, Next: al.Next,
		CarPark: al.CarPark, Machine: al.Machine, State: string(al.State), Revision: al.Revision,
		AssignedAt: instant(al.AssignedAt), StoredAt: instant(al.StoredAt), RequestedAt: instant(al.RequestedAt),
		NotBefore: instant(al.NotBefore), PromisedAt: instant(al.PromisedAt), StagedAt: instant(al.StagedAt), EndedAt: instant(al.EndedAt),
		Reservation: al.Reservation,
	}
	if site, ok := a.Sites.CarPark(al.CarPark); ok {
		if bay, ok := site.Bay(al.Bay); ok {
			f.Level = bay.Level
		}
	}
	if staff {
		v := vehicleOf(al.Vehicle)
		f.Vehicle, f.Stay, f.By, f.Reason = &v, al.Stay, al.By, al.Reason
	} else if strings.HasPrefix(f.Why, byStaff) {
		f.Why, f.Next = byStaff, "" // the reason is for colleagues
	}
	return f
}

// byStaff begins the words for a bay that the allocator did not choose.
const byStaff = "chosen by staff"

type allocationBody struct {
	Vehicle             vehicleForm `json:"vehicle"`
	ExpectedStayMinutes int         `json:"expected_stay_minutes,omitempty"`
	Reservation         string      `json:"reservation,omitempty"`
	Pool                string      `json:"pool,omitempty"`
	// Stay is the stay that the lane began, for a driver without plate and tag.
	Stay string `json:"stay,omitempty"`
	// Bay is staff's choice of a particular bay; it needs by and reason.
	Bay    string `json:"bay,omitempty"`
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// maxStay bounds an expected stay, in minutes: a year.
const maxStay = 366 * 24 * 60

func (a *API) postAllocation(c echo.Context) error {
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	key, err := once(c)
	if err != nil {
		return err
	}
	var body allocationBody
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	vehicle, err := body.Vehicle.vehicle("/vehicle")
	if err != nil {
		return err
	}
	if err := body.check(site); err != nil {
		return err
	}
	if err := a.stayHere(c, body.Stay, site.ID); err != nil {
		return err
	}
	seesAll := staff(c)
	keep := keeping(key, http.StatusCreated, func(g attendant.Given) any {
		f := a.allocationOf(g.Allocation, seesAll)
		f.AlreadyInside, f.Hint = g.AlreadyInside, g.Hint
		return f
	}, func(g attendant.Given) string { return "/v1/allocations/" + g.ID })
	then := func(g attendant.Given) { a.followed(c.Request().Context(), g.Allocation) }
	if body.Bay != "" {
		result, err := a.Attendant.Assign(c.Request().Context(), attendant.AssignRequest{
			CarPark: site.ID, Bay: body.Bay, Vehicle: vehicle, ExpectedStayMinutes: body.ExpectedStayMinutes,
			Stay: body.Stay, By: named(c, body.By), Reason: body.Reason,
		}, keep)
		return respond(c, a, key, result, err, then)
	}
	wanted := attendant.AllocateRequest{
		CarPark: site.ID, Vehicle: vehicle, ExpectedStayMinutes: body.ExpectedStayMinutes,
		Reservation: body.Reservation, Pool: body.Pool, Stay: body.Stay, By: named(c, body.By), Refuse: refusal,
	}
	if body.Reservation == "" && body.Pool == "" {
		// The place that is held for a driver under way is his by his plate.
		if wanted.Reservation, err = a.Finder.ReservationOf(c.Request().Context(), site.ID, vehicle.Plate); err != nil {
			return problem(err)
		}
	}
	result, err := a.Attendant.Allocate(c.Request().Context(), wanted, keep)
	if wanted.Reservation != body.Reservation && errors.Is(err, parking.ErrConflict) {
		wanted.Reservation = "" // it ended meanwhile
		result, err = a.Attendant.Allocate(c.Request().Context(), wanted, keep)
	}
	if body.Reservation != "" && isNotFound(err) {
		return web.BadField("/reservation", "there is no such reservation")
	}
	return respond(c, a, key, result, err, then)
}

// stayHere refuses a stay that the car park does not have.
func (a *API) stayHere(c echo.Context, id, carPark string) error {
	if id == "" {
		return nil
	}
	if err := short("/stay", id, maxID); err != nil {
		return err
	}
	var there bool
	err := a.Keeping.View(c.Request().Context(), func(tx parking.Tx) error {
		stay, err := tx.Stay(c.Request().Context(), id)
		there = err == nil && stay.CarPark == carPark
		return err
	})
	switch {
	case err != nil && !isNotFound(err):
		return err
	case !there:
		return web.BadField("/stay", "there is no such stay here")
	}
	return nil
}

// check refuses what the car park cannot mean.
func (b *allocationBody) check(site *parking.CarPark) error {
	if b.ExpectedStayMinutes < 0 || b.ExpectedStayMinutes > maxStay {
		return web.BadField("/expected_stay_minutes", "is not a number of minutes from 0 to a year")
	}
	if _, ok := site.Pool(b.Pool); b.Pool != "" && !ok {
		return web.BadField("/pool", "there is no such pool here")
	}
	if err := short("/reservation", b.Reservation, maxID); err != nil {
		return err
	}
	if b.Bay == "" {
		return signature(b.By, b.Reason, false)
	}
	if _, ok := site.Bay(b.Bay); !ok {
		return web.BadField("/bay", "there is no such bay here")
	}
	switch {
	case b.Reservation != "":
		return web.BadField("/reservation", "is not answered where staff choose the bay; leave one of them out")
	case b.Pool != "":
		return web.BadField("/pool", "does not bind staff, who choose the bay; leave one of them out")
	}
	return signature(b.By, b.Reason, true)
}

func (a *API) getAllocations(c echo.Context) error {
	q := web.QueryOf(c, "vehicle", "after", "limit", "reason")
	look := a.lookOf(c, q, "GET /v1/carparks/{id}/allocations")
	limit := q.Limit(usualRows, mostRows)
	vehicle := mark(q, "vehicle")
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	found, err := a.Cashier.SeeAllocations(c.Request().Context(), site.ID, vehicle,
		parking.Page{After: q.Text("after"), Limit: limit + 1}, lookAtAllocations(look, site.ID, vehicle, limit))
	if err != nil {
		return ofList(err)
	}
	found, next := nextCursor(found, limit, func(al parking.Allocation) string { return al.ID })
	items := make([]allocationForm, len(found))
	for i, al := range found {
		items[i] = a.allocationOf(al, true)
	}
	web.LinkNext(c, next)
	return tagged(c, web.Page[allocationForm]{Items: items, Next: next})
}

func (a *API) retrievalOf(r attendant.Retrieval, seesAll bool) allocationForm {
	f := a.allocationOf(r.Allocation, seesAll)
	f.Position, f.Note, f.PromisedAt = r.Position, r.Note, instant(r.PromisedAt)
	return f
}

func (a *API) getAllocation(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	r, err := a.Attendant.Standing(c.Request().Context(), c.Param("id"))
	if err != nil {
		return problem(err)
	}
	return tagged(c, a.retrievalOf(r, staff(c)))
}

type retrievalBody struct {
	// NotBefore is when the car is wanted; absent: now.
	NotBefore string `json:"not_before,omitempty"`
}

func (a *API) postRetrieval(c echo.Context) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	var body retrievalBody
	if err := decodeOptional(c, &body); err != nil {
		return err
	}
	var notBefore time.Time
	if err := moments(timeField{"/not_before", body.NotBefore, &notBefore}); err != nil {
		return err
	}
	if notBefore.Sub(a.Clock.Now()) > mostAhead {
		return web.BadField("/not_before", "is more than 31 days ahead")
	}
	seesAll := staff(c)
	keep := keeping(key, http.StatusAccepted, func(r attendant.Retrieval) any { return a.retrievalOf(r, seesAll) }, nil)
	result, err := a.Attendant.Retrieve(c.Request().Context(), attendant.RetrieveRequest{
		Allocation: c.Param("id"), NotBefore: notBefore, By: named(c, ""),
	}, keep)
	return respond(c, a, key, result, err, func(r attendant.Retrieval) { a.followed(c.Request().Context(), r.Allocation) })
}

// personBody is what staff adds to what they decide.
type personBody struct {
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// decodeOptional reads a body that may be absent.
func decodeOptional(c echo.Context, v any) error {
	req := c.Request()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return web.ReadingBody(err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	return web.DecodeJSON(c, v)
}

// ending answers a request that ends or changes one allocation.
func (a *API) ending(c echo.Context, do func(context.Context, attendant.EndRequest, attendant.Keep[parking.Allocation]) (attendant.Result[parking.Allocation], error)) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	var body personBody
	if err := decodeOptional(c, &body); err != nil {
		return err
	}
	if err := signature(body.By, body.Reason, false); err != nil {
		return err
	}
	keep := keeping(key, http.StatusOK, func(al parking.Allocation) any { return a.allocationOf(al, true) }, nil)
	result, err := do(c.Request().Context(), attendant.EndRequest{Allocation: c.Param("id"), By: named(c, body.By), Reason: body.Reason}, keep)
	return respond(c, a, key, result, err, func(al parking.Allocation) { a.followed(c.Request().Context(), al) })
}

func (a *API) postRelease(c echo.Context) error { return a.ending(c, a.Attendant.Release) }
func (a *API) postCancel(c echo.Context) error  { return a.ending(c, a.Attendant.Cancel) }

func (a *API) postRetrievalCancel(c echo.Context) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	if err := decodeOptional(c, &struct{}{}); err != nil {
		return err
	}
	seesAll := staff(c)
	keep := keeping(key, http.StatusOK, func(r attendant.Retrieval) any { return a.retrievalOf(r, seesAll) }, nil)
	result, err := a.Attendant.CancelRetrieval(c.Request().Context(), attendant.EndRequest{Allocation: c.Param("id"), By: named(c, "")}, keep)
	return respond(c, a, key, result, err, func(r attendant.Retrieval) { a.followed(c.Request().Context(), r.Allocation) })
}

// bayOf refuses a bay that the car park of the path's allocation does not have.
func (a *API) bayOf(c echo.Context, bay string) error {
	r, err := a.Attendant.Standing(c.Request().Context(), c.Param("id"))
	if err != nil {
		return problem(err)
	}
	if site, ok := a.Sites.CarPark(r.Allocation.CarPark); ok {
		if _, ok := site.Bay(bay); ok {
			return nil
		}
	}
	return web.BadField("/bay", "there is no such bay here")
}

func (a *API) postMove(c echo.Context) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	var body struct {
		Bay    string `json:"bay"`
		By     string `json:"by,omitempty"`
		Reason string `json:"reason"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if err := signature(body.By, body.Reason, true); err != nil {
		return err
	}
	if err := a.bayOf(c, body.Bay); err != nil {
		return err
	}
	keep := keeping(key, http.StatusOK, func(g attendant.Given) any { return a.allocationOf(g.Allocation, true) }, nil)
	result, err := a.Attendant.Move(c.Request().Context(), attendant.MoveRequest{
		Allocation: c.Param("id"), Bay: body.Bay, By: named(c, body.By), Reason: body.Reason,
	}, keep)
	return respond(c, a, key, result, err, func(g attendant.Given) { a.followed(c.Request().Context(), g.Allocation) })
}

func (a *API) postResolve(c echo.Context) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	var body struct {
		State string `json:"state"`
		// Bay is where the car stands, if that is another bay of the machine.
		Bay    string `json:"bay,omitempty"`
		By     string `json:"by,omitempty"`
		Reason string `json:"reason"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if !parking.Unknown.May(parking.State(body.State)) {
		return web.BadField("/state", "is none of assigned, stored, retrieving, staged, gone, cancelled")
	}
	if err := signature(body.By, body.Reason, true); err != nil {
		return err
	}
	if body.Bay != "" {
		if err := a.bayOf(c, body.Bay); err != nil {
			return err
		}
	}
	keep := keeping(key, http.StatusOK, func(al parking.Allocation) any { return a.allocationOf(al, true) }, nil)
	result, err := a.Attendant.Resolve(c.Request().Context(), attendant.ResolveRequest{
		Allocation: c.Param("id"), To: parking.State(body.State), Bay: body.Bay, By: named(c, body.By), Reason: body.Reason,
	}, keep)
	return respond(c, a, key, result, err, func(al parking.Allocation) { a.followed(c.Request().Context(), al) })
}
