package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/cashier"
)

// stayForm is a stay as it is shown to staff.
type stayForm struct {
	ID            string          `json:"id"`
	CarPark       string          `json:"carpark"`
	State         string          `json:"state"`
	Revision      int64           `json:"revision"`
	Vehicle       string          `json:"vehicle"`
	Class         string          `json:"class"`
	Ticket        string          `json:"ticket,omitempty"`
	Account       string          `json:"account,omitempty"`
	Means         string          `json:"means,omitempty"`
	Entry         *string         `json:"entry"`
	Exit          *string         `json:"exit"`
	ClockFrom     *string         `json:"clock_from"`
	ClockTo       *string         `json:"clock_to"`
	Allocation    string          `json:"allocation,omitempty"`
	TariffVersion string          `json:"tariff_version,omitempty"`
	Quote         string          `json:"quote,omitempty"`
	Amount        string          `json:"amount"`
	Paid          string          `json:"paid"`
	Currency      string          `json:"currency"`
	Flags         []string        `json:"flags"`
	By            string          `json:"by,omitempty"`
	Reason        string          `json:"reason,omitempty"`
	Receipt       json.RawMessage `json:"receipt,omitempty"`
}

func stayOf(s parking.Stay) stayForm {
	return stayForm{
		ID: s.ID, CarPark: s.CarPark, State: string(s.State), Revision: s.Revision, Vehicle: s.Vehicle, Class: s.Class, Ticket: s.Ticket,
		Account: s.Account, Means: s.Means, Entry: instant(s.Entry), Exit: instant(s.Exit), ClockFrom: instant(s.ClockFrom), ClockTo: instant(s.ClockTo),
		Allocation: s.Allocation, TariffVersion: s.TariffVersion, Quote: s.Quote,
		Amount: billing.FormatCents(s.AmountCents), Paid: billing.FormatCents(s.PaidCents), Currency: s.Currency,
		Flags: notNil(s.Flags), By: s.By, Reason: s.Reason, Receipt: s.Receipt,
	}
}

// paymentForm is one payment of a stay.
type paymentForm struct {
	ID       string  `json:"id"`
	At       *string `json:"at"`
	Amount   string  `json:"amount"`
	Means    string  `json:"means"`
	Refunded string  `json:"refunded,omitempty"`
}

// billForm is a stay and what is to be paid for it.
type billForm struct {
	Stay     stayForm      `json:"stay"`
	AsOf     *string       `json:"as_of"`
	Total    string        `json:"total"`
	Paid     string        `json:"paid"`
	Due      string        `json:"due"`
	Credit   string        `json:"credit"`
	Currency string        `json:"currency"`
	PaysBy   []string      `json:"pays_by"`
	LeaveBy  *string       `json:"leave_by,omitempty"`
	Problem  string        `json:"problem,omitempty"`
	Payments []paymentForm `json:"payments"`
	// Receipt explains every cent; absent where there is no price.
	Receipt any `json:"receipt,omitempty"`
}

func billOf(b cashier.Bill) any {
	f := billForm{
		Stay: stayOf(b.Stay), AsOf: instant(b.AsOf), Total: billing.FormatCents(b.TotalCents), Paid: billing.FormatCents(b.PaidCents),
		Due: billing.FormatCents(b.DueCents), Credit: billing.FormatCents(b.CreditCents), Currency: b.Currency, PaysBy: notNil(b.PaysBy),
		LeaveBy: instant(b.LeaveBy), Problem: b.Problem, Payments: make([]paymentForm, len(b.Payments)),
	}
	f.Stay.Receipt = nil // the same as Receipt, or older
	for i, p := range b.Payments {
		f.Payments[i] = paymentForm{ID: p.ID, At: instant(p.At), Amount: billing.FormatCents(p.AmountCents), Means: p.Means}
		if p.RefundedCents > 0 {
			f.Payments[i].Refunded = billing.FormatCents(p.RefundedCents)
		}
	}
	if b.Receipt != nil {
		f.Receipt = b.Receipt
	}
	return f
}

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
	if f.ID == "" || len(f.ID) > 128 {
		return e, fmt.Errorf("%w: id is 1 to 128 bytes, made by the lane", parking.ErrInvalid)
	}
	for _, lane := range site.Lanes {
		if lane.Unit == f.Lane {
			e.Direction = lane.Direction
		}
	}
	if e.Direction == "" {
		return e, fmt.Errorf("%w: there is no lane of that name here", parking.ErrInvalid)
	}
	at, err := time.Parse(time.RFC3339Nano, f.Time)
	if err != nil {
		return e, fmt.Errorf("%w: time is not written as 2026-11-23T08:00:00+08:00", parking.ErrInvalid)
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
		e.ConfidencePermille = int(*f.PlateConfidence * 1000)
	}
	return e, nil
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
	f.Display = &r.Display
	if r.Currency != "" {
		f.Amount, f.Due, f.Currency = billing.FormatCents(r.AmountCents), billing.FormatCents(r.DueCents), r.Currency
	}
	return f
}

// postLaneEvents takes events, one or the journal of a lane that was offline.
// Each carries its own id, so that it may come any number of times; one bad
// event never costs its neighbours.
func (a *API) postLaneEvents(c echo.Context) error {
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

func (a *API) getStays(c echo.Context) error {
	q := web.QueryOf(c, "vehicle", "from", "after", "limit")
	limit := q.Limit(usualRows, mostRows)
	from, _ := q.Instant("from")
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	stays, err := a.Cashier.Stays(c.Request().Context(), site.ID, stayName(q.Text("vehicle")), parking.Page{After: q.Text("after"), Limit: limit + 1, From: from})
	if err != nil {
		return problem(err)
	}
	stays, next := nextCursor(stays, limit, func(s parking.Stay) string { return s.ID })
	items := make([]stayForm, len(stays))
	for i, s := range stays {
		items[i] = stayOf(s)
		items[i].Receipt = nil // asked for one by one
	}
	web.LinkNext(c, next)
	return c.JSON(http.StatusOK, web.Page[stayForm]{Items: items, Next: next})
}

// stayName is a stay's vehicle as it may be typed.
func stayName(text string) string {
	if len(text) > 7 && text[:7] == "ticket:" {
		return text
	}
	if len(text) > 4 && text[:4] == "tag:" {
		return "tag:" + mark(text)
	}
	return mark(text)
}

// getStay gives a stay with its bill and the evidence behind it.
func (a *API) getStay(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	found, err := a.Cashier.Evidence(c.Request().Context(), c.Param("id"))
	if err != nil {
		return problem(err)
	}
	type eventForm struct {
		ID         string `json:"id"`
		Lane       string `json:"lane"`
		Direction  string `json:"direction"`
		At         any    `json:"at"`
		Tag        string `json:"tag,omitempty"`
		Plate      string `json:"plate,omitempty"`
		Permille   int    `json:"plate_confidence_permille"`
		Ticket     string `json:"ticket,omitempty"`
		ReportedBy string `json:"source"`
	}
	events := make([]eventForm, len(found.Events))
	for i, e := range found.Events {
		events[i] = eventForm{e.ID, e.Lane, string(e.Direction), instant(e.At), e.Tag, e.Plate, e.ConfidencePermille, e.Ticket, e.Source}
	}
	allocations := make([]allocationForm, len(found.Allocations))
	for i, al := range found.Allocations {
		allocations[i] = a.allocationOf(al, true)
	}
	return tagged(c, map[string]any{
		"bill": billOf(found.Bill), "events": events, "allocations": allocations, "decisions": found.Decisions,
	})
}

// billing answers a POST that changes what is to be paid for a stay.
func billed[B any](c echo.Context, body *B, do func(cashier.Keep[cashier.Bill]) (cashier.Result[cashier.Bill], error)) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	if err := web.DecodeJSON(c, body); err != nil {
		return err
	}
	keep := cashier.Keep[cashier.Bill]{Once: key, Encode: func(b cashier.Bill) parking.Answer { return answerOf(http.StatusOK, billOf(b), "") }}
	result, err := do(keep)
	if err != nil {
		return problem(err)
	}
	if result.Answer.Replayed {
		return write(c, result.Answer)
	}
	return write(c, keep.Encode(result.Value))
}

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
	return billed(c, &body, func(keep cashier.Keep[cashier.Bill]) (r cashier.Result[cashier.Bill], err error) {
		amount, err := cents("/amount", body.Amount)
		if err != nil {
			return r, err
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
	return billed(c, &body, func(keep cashier.Keep[cashier.Bill]) (cashier.Result[cashier.Bill], error) {
		return a.Cashier.Refund(c.Request().Context(), cashier.RefundRequest{Stay: c.Param("id"), By: named(c, body.By), Reason: body.Reason}, keep)
	})
}

func (a *API) postValidation(c echo.Context) error {
	var body struct {
		Code      string `json:"code"`
		Reference string `json:"reference"`
		By        string `json:"by,omitempty"`
	}
	return billed(c, &body, func(keep cashier.Keep[cashier.Bill]) (cashier.Result[cashier.Bill], error) {
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
	return billed(c, &body, func(keep cashier.Keep[cashier.Bill]) (r cashier.Result[cashier.Bill], err error) {
		request := cashier.ChargingRequest{Stay: c.Param("id"), Session: body.Session, WattHours: body.WattHours}
		for _, one := range []struct {
			pointer, text string
			into          *time.Time
		}{{"/plug_in", body.PlugIn, &request.PlugIn}, {"/charge_end", body.ChargeEnd, &request.ChargeEnd}, {"/unplug", body.Unplug, &request.Unplug}} {
			if one.text == "" {
				continue
			}
			if *one.into, err = time.Parse(time.RFC3339Nano, one.text); err != nil {
				return r, web.BadField(one.pointer, "is not a time; write it as 2026-11-23T08:00:00+08:00")
			}
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
	return billed(c, &body, func(keep cashier.Keep[cashier.Bill]) (r cashier.Result[cashier.Bill], err error) {
		request := cashier.DecideRequest{Stay: c.Param("id"), Kind: body.Kind, Account: body.Account, By: named(c, body.By), Reason: body.Reason}
		if body.Amount != "" {
			if request.AmountCents, err = cents("/amount", body.Amount); err != nil {
				return r, err
			}
		}
		for _, one := range []struct {
			pointer, text string
			into          *time.Time
		}{{"/entry", body.Entry, &request.Entry}, {"/exit", body.Exit, &request.Exit}} {
			if one.text == "" {
				continue
			}
			if *one.into, err = time.Parse(time.RFC3339Nano, one.text); err != nil {
				return r, web.BadField(one.pointer, "is not a time; write it as 2026-11-23T08:00:00+08:00")
			}
		}
		return a.Cashier.Decide(c.Request().Context(), request, keep)
	})
}

// getDue says what is to be paid for a plate or ticket, and nothing else.
func (a *API) getDue(c echo.Context) error {
	q := web.QueryOf(c, "plate", "ticket")
	by := plate(q.Text("plate"))
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
	if err != nil {
		return web.BadParameter("day", "is not a day; write it as 2026-11-23")
	}
	figures, err := a.Cashier.Reconcile(c.Request().Context(), site.ID, day)
	if err != nil {
		return problem(err)
	}
	type line struct {
		Means  string `json:"means"`
		Stays  int    `json:"stays"`
		Amount string `json:"amount"`
		Paid   string `json:"paid"`
	}
	lines := make([]line, len(figures.Closed))
	for i, m := range figures.Closed {
		lines[i] = line{m.Means, m.Stays, billing.FormatCents(m.AmountCents), billing.FormatCents(m.PaidCents)}
	}
	return c.JSON(http.StatusOK, map[string]any{
		"carpark": figures.CarPark, "from": instant(figures.From), "to": instant(figures.To), "currency": figures.Currency, "closed": lines,
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
	var body struct {
		Business bool   `json:"business"`
		Pays     bool   `json:"pays"`
		By       string `json:"by,omitempty"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	result, err := a.Cashier.SetPreference(c.Request().Context(), parking.Preference{
		Account: c.Param("account"), Business: body.Business, Said: true, Pays: body.Pays, At: a.Clock.Now(), By: named(c, body.By),
	}, cashier.Keep[parking.Preference]{})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, preferenceOf(result.Value))
}

// followed brings the vehicle's stays up to date after its allocation changed.
// It is a head start only: what is missed here the follower of changes does.
func (a *API) followed(ctx context.Context, al parking.Allocation) {
	if al.State == parking.Blocked {
		return
	}
	if _, err := a.Cashier.Refresh(ctx, al.CarPark, al.Vehicle); err != nil && ctx.Err() == nil {
		a.Log.WarnContext(ctx, "stays not refreshed at once; the follower will", "carpark", al.CarPark, "error", err)
	}
}
