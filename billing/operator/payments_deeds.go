package operator

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/payment"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

// named refuses a key that is nobody's own where money comes or goes on a
// person's word.
func (p *Payments) named(c echo.Context) error {
	return person(c, p.Named, "resolutions, refunds, pay-outs, cash and approvals are a person's")
}

type deedForm struct {
	ID            string  `json:"id"`
	Kind          string  `json:"kind"`
	Payment       string  `json:"payment,omitempty"`
	Account       string  `json:"account,omitempty"`
	Tag           string  `json:"tag,omitempty"`
	Succeeded     *bool   `json:"succeeded,omitempty"`
	Evidence      string  `json:"evidence,omitempty"`
	Place         string  `json:"place,omitempty"`
	Receipt       string  `json:"receipt,omitempty"`
	Amount        string  `json:"amount"`
	Currency      string  `json:"currency"`
	State         string  `json:"state"`
	By            string  `json:"by"`
	Reason        string  `json:"reason"`
	At            *string `json:"at"`
	DecidedBy     string  `json:"decided_by,omitempty"`
	DecidedReason string  `json:"decided_reason,omitempty"`
	DecidedAt     *string `json:"decided_at"`
}

func deedOf(d payment.Deed) deedForm {
	f := deedForm{
		ID: d.ID, Kind: d.Kind, Payment: d.Attempt, Account: d.Account, Tag: d.Tag, Evidence: d.Evidence, Place: d.Place, Receipt: d.Receipt,
		Amount: billing.FormatCents(d.AmountCents), Currency: d.Currency, State: d.State, By: d.By, Reason: d.Reason, At: shown(d.At),
		DecidedBy: d.DecidedBy, DecidedReason: d.DecidedReason, DecidedAt: shown(d.DecidedAt),
	}
	if d.Kind == payment.DeedResolution {
		f.Succeeded = &d.Succeeded
	}
	return f
}

// perform does a deed and answers with what came of it: 202 and the deed where a
// second person has to approve it.
func (p *Payments) perform(ctx context.Context, tx *books.Tx, status int, said payment.Said, d payment.Deed) (once.Answer, error) {
	d, list, err := p.Payments.Perform(ctx, tx, d, said)
	switch {
	case err != nil:
		return once.Answer{}, err
	case d.State == payment.DeedWaiting:
		return once.Made(http.StatusAccepted, deedOf(d), "/v1/payment-approvals")
	case d.Kind == payment.DeedPayOut:
		return once.Made(status, map[string]any{"items": paymentsOf(list)}, "")
	case status == http.StatusCreated:
		return once.Made(status, paymentOf(list[0]), "/v1/payments/"+list[0].ID)
	}
	return once.Made(status, paymentOf(list[0]), "")
}

func paymentsOf(list []payment.Attempt) []paymentForm {
	forms := []paymentForm{}
	for _, a := range list {
		forms = append(forms, paymentOf(a))
	}
	return forms
}

func (p *Payments) resolve(c echo.Context) error {
	var body struct {
		Succeeded   *bool   `json:"succeeded"`
		Amount      *string `json:"amount,omitempty"`
		ProviderRef string  `json:"provider_ref,omitempty"`
		Reason      string  `json:"reason"`
		Evidence    string  `json:"evidence"`
	}
	if err := p.named(c); err != nil {
		return err
	}
	// Before the transaction, which must not wait for a provider.
	said, err := p.Payments.Says(c.Request().Context(), c.Param("id"))
	if err != nil {
		return problem(err)
	}
	return repeatable(c, p.Books, &body, func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error) {
		// Whether it succeeded is said, not left out.
		if body.Succeeded == nil {
			return once.Answer{}, web.BadField("/succeeded", "is missing")
		}
		cents, err := amountOf("amount", body.Amount)
		if err != nil {
			return once.Answer{}, err
		}
		if body.Amount != nil {
			a, err := tx.PaymentAttempt(ctx, c.Param("id"), false)
			if err != nil {
				return once.Answer{}, err
			}
			if cents != a.AmountCents {
				return once.Answer{}, web.BadField("/amount", "is not that of the payment: another amount cannot be decided on")
			}
		}
		return p.perform(ctx, tx, http.StatusOK, said, payment.Deed{
			ID: asked.ID(), Kind: payment.DeedResolution, Staff: staff(c, body.Reason), Attempt: c.Param("id"), Succeeded: *body.Succeeded,
			ProviderRef: body.ProviderRef, Evidence: body.Evidence,
		})
	})
}

func (p *Payments) refund(c echo.Context) error {
	var body struct {
		Amount string `json:"amount"`
		Reason string `json:"reason"`
	}
	if err := p.named(c); err != nil {
		return err
	}
	return repeatable(c, p.Books, &body, func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error) {
		cents, err := amountOf("amount", &body.Amount)
		if err != nil {
			return once.Answer{}, err
		}
		return p.perform(ctx, tx, http.StatusCreated, payment.Said{}, payment.Deed{
			ID: asked.ID(), Kind: payment.DeedRefund, Staff: staff(c, body.Reason), Attempt: c.Param("id"), AmountCents: cents,
		})
	})
}

func (p *Payments) payOut(c echo.Context) error {
	var body struct {
		Provider string `json:"provider,omitempty"`
		Token    string `json:"token,omitempty"`
		Reason   string `json:"reason"`
	}
	if err := p.named(c); err != nil {
		return err
	}
	return repeatable(c, p.Books, &body, func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error) {
		return p.perform(ctx, tx, http.StatusOK, payment.Said{}, payment.Deed{
			ID: asked.ID(), Kind: payment.DeedPayOut, Staff: staff(c, body.Reason), Account: c.Param("id"), Currency: p.Currency,
			Provider: body.Provider, Token: body.Token,
		})
	})
}

// approvals is a page of what people did by which money came or went, and of
// what waits for a second one.
func (p *Payments) approvals(c echo.Context) error {
	q := web.QueryOf(c, "state", "after", "limit")
	state, limit := q.Text("state"), q.Limit(50, 500)
	if state != "" && !slices.Contains(payment.DeedStates, state) {
		q.Refuse("state", "must be one of "+strings.Join(payment.DeedStates, ", "))
	}
	var (
		afterAt time.Time
		afterID string
	)
	if place := q.Place(2); place != nil {
		afterAt, afterID = time.UnixMicro(q.Whole(place[0])), place[1]
	}
	if err := q.Err(); err != nil {
		return err
	}
	list, err := p.Payments.Deeds(c.Request().Context(), state, afterAt, afterID, limit+1)
	if err != nil {
		return problem(err)
	}
	page := web.Page[deedForm]{Items: []deedForm{}}
	if len(list) > limit {
		list = list[:limit]
		last := list[limit-1]
		page.Next = web.Cursor(strconv.FormatInt(last.At.UnixMicro(), 10), last.ID)
	}
	for _, d := range list {
		page.Items = append(page.Items, deedOf(d))
	}
	web.LinkNext(c, page.Next)
	return c.JSON(http.StatusOK, page)
}

// approve is the second person's word.
func (p *Payments) approve(c echo.Context) error {
	var body struct {
		Approve *bool  `json:"approve"`
		Reason  string `json:"reason"`
	}
	if err := p.named(c); err != nil {
		return err
	}
	d, err := p.Payments.Deed(c.Request().Context(), c.Param("id"))
	if err != nil {
		return problem(err)
	}
	var said payment.Said
	if d.Kind == payment.DeedResolution && d.State == payment.DeedWaiting {
		if said, err = p.Payments.Says(c.Request().Context(), d.Attempt); err != nil {
			return problem(err)
		}
	}
	return repeatable(c, p.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		if body.Approve == nil {
			return once.Answer{}, web.BadField("/approve", "must be true or false")
		}
		d, list, err := p.Payments.Decide(ctx, tx, c.Param("id"), *body.Approve, staff(c, body.Reason), said)
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, struct {
			deedForm
			Payments []paymentForm `json:"payments"`
		}{deedOf(d), paymentsOf(list)}, "")
	})
}
