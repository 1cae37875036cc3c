package operator

import (
	"context"
	"encoding/json"

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

func (a *API) getStays(c echo.Context) error {
	q := web.QueryOf(c, "vehicle", "from", "after", "limit", "reason")
	look := a.lookOf(c, q, "GET /v1/carparks/{id}/stays")
	limit := q.Limit(usualRows, mostRows)
	from, _ := parameterTime(q, "from")
	vehicle := mark(q, "vehicle")
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	stays, err := a.Cashier.SeeStays(c.Request().Context(), site.ID, vehicle,
		parking.Page{After: q.Text("after"), Limit: limit + 1, From: from}, lookAtStays(look, site.ID, vehicle, limit))
	if err != nil {
		return ofList(err)
	}
	stays, next := nextCursor(stays, limit, func(s parking.Stay) string { return s.ID })
	items := make([]stayForm, len(stays))
	for i, s := range stays {
		items[i] = stayOf(s)
		items[i].Receipt = nil // asked for one by one
	}
	web.LinkNext(c, next)
	return tagged(c, web.Page[stayForm]{Items: items, Next: next})
}

// getStay gives a stay with its bill and the evidence behind it.
func (a *API) getStay(c echo.Context) error {
	q := web.QueryOf(c, "reason")
	look := a.lookOf(c, q, "GET /v1/stays/{id}")
	if err := q.Err(); err != nil {
		return err
	}
	found, err := a.Cashier.SeeEvidence(c.Request().Context(), c.Param("id"), lookAtStay(look))
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
		"bill": billOf(found.Bill), "events": events, "allocations": allocations, "decisions": notNil(found.Decisions),
	})
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
