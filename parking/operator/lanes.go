package operator

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/cashier"
)

// laneEventForm is a vehicle as a lane saw it.
type laneEventForm struct {
	ID              string   `json:"id"`
	Lane            string   `json:"lane"`
	Time            string   `json:"time"`
	Tag             string   `json:"tag,omitempty"`
	Plate           string   `json:"plate,omitempty"`
	PlateConfidence *float64 `json:"plate_confidence,omitempty"`
	Class           string   `json:"class,omitempty"`
	Ticket          string   `json:"ticket,omitempty"`
}

// event checks and normalises what a lane sent.
func (f laneEventForm) event(site *parking.CarPark, source string) (parking.LaneEvent, error) {
	e := parking.LaneEvent{ID: f.ID, CarPark: site.ID, Lane: f.Lane, Class: f.Class, Ticket: f.Ticket, ConfidencePermille: 1000, Source: source}
	if f.ID == "" || !plain(f.ID, maxID) {
		return e, fmt.Errorf("%w: id is 1 to 128 bytes, made by the lane", parking.ErrInvalid)
	}
	lane, ok := laneOf(site, f.Lane)
	if !ok {
		return e, fmt.Errorf("%w: there is no lane of that name here", parking.ErrInvalid)
	}
	e.Direction = lane.Direction
	// While it can still turn round; at the exit nobody is kept for a class.
	if f.Class != "" && e.Direction == parking.In && !admits(site, f.Class) {
		return e, fmt.Errorf("%w: no bay here is for that class; leave it out where it was not measured", parking.ErrInvalid)
	}
	at, err := moment("/time", f.Time)
	if err != nil {
		return e, fmt.Errorf("%w: %w", parking.ErrInvalid, err)
	}
	e.At = at.UTC().Truncate(time.Microsecond)
	v, err := vehicleForm{Plate: f.Plate, Tag: f.Tag, Class: "any"}.vehicle("")
	if err != nil {
		return e, fmt.Errorf("%w: %w", parking.ErrInvalid, err)
	}
	e.Tag, e.Plate = v.Tag, v.Plate
	if f.PlateConfidence != nil {
		if !(*f.PlateConfidence >= 0 && *f.PlateConfidence <= 1) {
			return e, fmt.Errorf("%w: plate_confidence is not a number from 0 to 1", parking.ErrInvalid)
		}
		e.ConfidencePermille = parking.Permille(*f.PlateConfidence)
	}
	return e, nil
}

// admits reports whether the site has a bay for the class.
func admits(site *parking.CarPark, class string) bool {
	return slices.ContainsFunc(site.Bays, func(b parking.Bay) bool { return slices.Contains(b.Classes, class) })
}

// laneResultForm tells a lane what became of an event and what to do.
type laneResultForm struct {
	ID      string        `json:"id"`
	Known   bool          `json:"known,omitempty"`
	Error   string        `json:"error,omitempty"`
	Open    bool          `json:"open"`
	Why     string        `json:"why"`
	Display *parking.Text `json:"display,omitempty"`
	Stay    string        `json:"stay,omitempty"`
	State   string        `json:"state,omitempty"`
	Flags   []string      `json:"flags,omitempty"`
	Amount  string        `json:"amount,omitempty"`
	Due     string        `json:"due,omitempty"`
	// Currency is set where there are amounts.
	Currency string   `json:"currency,omitempty"`
	PaysBy   []string `json:"pays_by,omitempty"`
}

func laneResultOf(r cashier.LaneResult) laneResultForm {
	f := laneResultForm{
		ID: r.Event, Known: r.Known, Open: r.Open, Why: r.Why, Stay: r.Stay, State: string(r.State), Flags: r.Flags, PaysBy: r.PaysBy,
	}
	if r.Err != nil {
		f.Error = clean(r.Err)
		return f
	}
	if r.Display != (parking.Text{}) {
		f.Display = &r.Display
	}
	if r.Currency != "" {
		f.Amount, f.Due, f.Currency = billing.FormatCents(r.AmountCents), billing.FormatCents(r.DueCents), r.Currency
	}
	return f
}

// postLaneEvents takes events, one or the journal of a lane that was offline.
// Each carries its own id, so that it may come any number of times; one bad
// event never costs its neighbours.
func (a *API) postLaneEvents(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	var body struct {
		Events []laneEventForm `json:"events"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if len(body.Events) == 0 || len(body.Events) > maxEvents {
		return web.BadField("/events", fmt.Sprintf("has %d events; send 1 to %d at a time", len(body.Events), maxEvents))
	}
	results := make([]laneResultForm, len(body.Events))
	var good []parking.LaneEvent
	var places []int
	for i, form := range body.Events {
		event, err := form.event(site, named(c, ""))
		if err != nil {
			results[i] = laneResultForm{ID: form.ID, Why: cashier.WhyRefused, Error: clean(err)}
			continue
		}
		good, places = append(good, event), append(places, i)
	}
	if len(good) > 0 {
		done, err := a.Cashier.Lane(c.Request().Context(), good)
		if err != nil {
			return problem(err)
		}
		for i, r := range done {
			results[places[i]] = laneResultOf(r)
		}
	}
	return c.JSON(http.StatusOK, map[string]any{"results": results})
}
