package motorist

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/recovery"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

// disputeForm is a dispute as its motorist sees it, with the charge by this API's
// name.
type disputeForm struct {
	dispute.Standing
	Charge    string `json:"charge"`
	ChargeURL string `json:"charge_url"`
}

func disputeOf(d dispute.Dispute) disputeForm {
	f := disputeForm{dispute.StandingOf(d), d.Receivable, chargeURL(d.Receivable)}
	f.Receivable = "" // the charge is named once
	return f
}

// deed is what the account's holder does, now.
func (a *API) deed(account string) dispute.Deed {
	return dispute.Deed{By: by(account), Role: role, Now: a.Clock.Now()}
}

// disputes shows what the account said against its charges, by the last day to
// answer.
func (a *API) disputes(c echo.Context, account string) error {
	q := web.QueryOf(c, "charge", "after", "limit")
	place, limit := page(q, 3, 50, 200)
	f := dispute.Filter{Account: account, Receivable: q.Text("charge"), Limit: limit + 1}
	if place != nil {
		f.After = dispute.Place{DueDay: recovery.Day(q.Whole(place[0])), AmountCents: q.Whole(place[1]), Reference: place[2]}
	}
	if err := q.Err(); err != nil {
		return err
	}
	type item struct {
		disputeForm
		place *string
	}
	var list []item
	ctx := c.Request().Context()
	err := a.Books.View(ctx, func(tx *books.Tx) error {
		// Those that are not to be seen take no places of a page.
		for len(list) <= limit {
			found, err := tx.Disputes(ctx, f)
			if err != nil {
				return err
			}
			for _, d := range found {
				f.After = dispute.Place{DueDay: d.DueDay, AmountCents: d.AmountCents, Reference: d.Reference}
				if mine(d, account) {
					list = append(list, item{disputeOf(d), web.Cursor(digits(int64(d.DueDay)), digits(d.AmountCents), d.Reference)})
				}
			}
			if len(found) < f.Limit {
				break
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return paged(c, list, limit, func(i item) *string { return i.place })
}

func (a *API) dispute(c echo.Context, account string) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	var f disputeForm
	ctx := c.Request().Context()
	err := a.Books.View(ctx, func(tx *books.Tx) error {
		d, err := tx.Dispute(ctx, param(c, "id"))
		if err == nil && !mine(d, account) {
			err = billing.ErrNotFound
		}
		f = disputeOf(d)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, f)
}

// openDispute says that a charge of the account is wrong.
func (a *API) openDispute(c echo.Context, account string) error {
	var body struct {
		Charge string `json:"charge"`
		Reason string `json:"reason"`
		Text   string `json:"text,omitempty"`
		Refund bool   `json:"refund,omitempty"`
	}
	kept, err := a.repeatable(c, account, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		if len(body.Charge) > maxParam {
			return once.Answer{}, billing.ErrNotFound
		}
		d, err := a.Disputes.Open(ctx, tx, dispute.Opening{
			Receivable: body.Charge, Reason: body.Reason, Text: body.Text, Origin: dispute.Motorist, Account: account, Refund: body.Refund,
		}, a.deed(account))
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusCreated, disputeOf(d), "/v1/me/disputes/"+d.Reference)
	})
	if err != nil {
		return err
	}
	return send(c, kept, nil)
}

// withdraw ends a dispute as its motorist wishes.
func (a *API) withdraw(c echo.Context, account string) error {
	var body struct{}
	kept, err := a.repeatable(c, account, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		d, err := a.Disputes.Withdraw(ctx, tx, param(c, "id"), account, a.deed(account))
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, disputeOf(d), "")
	})
	if err != nil {
		return err
	}
	return send(c, kept, nil)
}
