package motorist

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/fps"
	"freeflow/billing/payment"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

type itemForm struct {
	Charge string `json:"charge"`
	Amount string `json:"amount"`
}

// paymentForm is a payment as its account's holder sees it.
type paymentForm struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Purpose string `json:"purpose"`
	// State is paid, failed, expired, reversed, waiting or processing.
	State    string `json:"state"`
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
	Refunded string `json:"refunded,omitempty"`
	By       string `json:"by"`
	Tag      string `json:"tag,omitempty"`
	// Original is the payment that a refund gives back.
	Original  string     `json:"original,omitempty"`
	CreatedAt *string    `json:"created_at"`
	SettledAt *string    `json:"settled_at"`
	Items     []itemForm `json:"items,omitempty"`
	// Bill, QR and ValidUntil are of money that is waited for.
	Bill       string  `json:"bill,omitempty"`
	QR         string  `json:"qr,omitempty"`
	ValidUntil *string `json:"valid_until,omitempty"`
}

// waits reports whether a payment waits for the payer's money.
func waits(one *payment.Attempt) bool {
	return one.Kind == payment.Await && one.State == payment.Created
}

func (a *API) paymentOf(one *payment.Attempt) (paymentForm, error) {
	f := paymentForm{
		ID: one.ID, Kind: one.Kind, Purpose: one.Purpose, Amount: billing.FormatCents(one.AmountCents), Currency: one.Currency, By: one.Means, Original: one.Original,
		CreatedAt: a.shown(one.CreatedAt), SettledAt: a.shown(one.SettledAt), Bill: one.Bill,
	}
	switch {
	case one.State == payment.Succeeded:
		f.State = "paid"
	case one.State == payment.Reversed:
		f.State = "reversed"
	case one.State == payment.Failed && one.Kind == payment.Await:
		f.State = "expired"
	case one.State == payment.Failed:
		f.State = "failed"
	case waits(one):
		f.State = "waiting"
	default:
		f.State = "processing"
	}
	if one.RefundedCents > 0 {
		f.Refunded = billing.FormatCents(one.RefundedCents)
	}
	if tag, ok := strings.CutPrefix(one.Holder, billing.HolderTag); ok {
		f.Tag = tag
	}
	for _, i := range one.Items {
		f.Items = append(f.Items, itemForm{i.Receivable, billing.FormatCents(i.AmountCents)})
	}
	if !waits(one) {
		return f, nil
	}
	f.ValidUntil = a.shown(one.ValidUntil)
	var err error
	f.QR, err = a.Code(one)
	return f, err
}

// payments shows the account's payments, latest first.
func (a *API) payments(c echo.Context, account string) error {
	q := web.QueryOf(c, "after", "limit")
	place, limit := page(q, 2, 50, 200)
	var (
		afterAt time.Time
		afterID string
	)
	if place != nil {
		afterAt, afterID = time.UnixMicro(q.Whole(place[0])), place[1]
	}
	if err := q.Err(); err != nil {
		return err
	}
	found, err := a.Payments.History(c.Request().Context(), account, afterAt, afterID, limit+1)
	if err != nil {
		return err
	}
	type item struct {
		paymentForm
		place *string
	}
	var list []item
	for i := range found {
		f, err := a.paymentOf(&found[i])
		if err != nil {
			return err
		}
		list = append(list, item{f, web.Cursor(digits(found[i].CreatedAt.UnixMicro()), found[i].ID)})
	}
	return paged(c, list, limit, func(i item) *string { return i.place })
}

// found returns a payment of the account.
func (a *API) found(c echo.Context, account string) (payment.Attempt, error) {
	if err := web.QueryOf(c).Err(); err != nil {
		return payment.Attempt{}, err
	}
	one, err := a.Payments.Attempt(c.Request().Context(), param(c, "id"))
	if err == nil && one.Account != account {
		err = billing.ErrNotFound
	}
	return one, err
}

func (a *API) payment(c echo.Context, account string) error {
	one, err := a.found(c, account)
	if err != nil {
		return err
	}
	f, err := a.paymentOf(&one)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, f)
}

func (a *API) svg(c echo.Context, account string) error {
	return a.code(c, account, "image/svg+xml", fps.SVG)
}

func (a *API) png(c echo.Context, account string) error {
	return a.code(c, account, "image/png", fps.PNG)
}

func (a *API) code(c echo.Context, account, kind string, draw func(string) ([]byte, error)) error {
	one, err := a.found(c, account)
	if err == nil && !waits(&one) {
		err = billing.ErrNotFound
	}
	if err != nil {
		return err
	}
	text, err := a.Code(&one)
	if err != nil {
		return err
	}
	picture, err := draw(text)
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, kind, picture)
}

// made keeps a new payment's id; how it stands is told anew each time.
func made(one payment.Attempt, err error) (once.Answer, error) {
	if err != nil {
		return once.Answer{}, err
	}
	return once.Made(http.StatusCreated, one.ID, "/v1/me/payments/"+one.ID)
}

// drive gives the order of a payment that was kept, outside of the transaction,
// and answers how it stands by then.
func (a *API) drive(c echo.Context, kept once.Answer, err error) error {
	if err != nil {
		return err
	}
	var id string
	if err := json.Unmarshal(kept.Body, &id); err != nil {
		return fmt.Errorf("reading a kept answer: %w", err)
	}
	one, err := a.Payments.Drive(c.Request().Context(), id)
	if err != nil {
		return err
	}
	f, err := a.paymentOf(&one)
	if err != nil {
		return err
	}
	return send(c, kept, f)
}

// note keeps in the audit trail that the account's holder did it.
func (a *API) note(ctx context.Context, tx *books.Tx, account, action string) error {
	return a.Payments.Note(ctx, tx, payment.Staff{By: by(account), Role: role, Reason: "by the account's holder"}, action, account)
}

// pay pays charges of the account, of a closed one too.
func (a *API) pay(c echo.Context, account string) error {
	var body struct {
		Charges  []string `json:"charges"`
		Provider string   `json:"provider,omitempty"`
		Token    string   `json:"token,omitempty"`
	}
	kept, err := a.repeatable(c, account, &body, func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error) {
		if body.Provider != "" && body.Token == "" {
			return once.Answer{}, web.BadField("/provider", "goes with a token")
		}
		if err := a.note(ctx, tx, account, "payment.ordered"); err != nil {
			return once.Answer{}, err
		}
		return made(a.Payments.Pay(ctx, tx, payment.PayRequest{
			ID: asked.ID(), Account: account, Receivables: body.Charges, Provider: body.Provider, Token: body.Token,
		}))
	})
	return a.drive(c, kept, err)
}

// amount reads an amount that may be left out; 0 then.
func amount(field string, text *string) (int64, error) {
	if text == nil {
		return 0, nil
	}
	cents, err := billing.ParseCents(*text)
	if err != nil || cents < 0 {
		return 0, web.BadField("/"+field, `is not an amount; write it as text, such as "24.00"`)
	}
	return cents, nil
}

// topUp brings money into the wallet of an open account, or of a class tag of it.
func (a *API) topUp(c echo.Context, account string) error {
	var body struct {
		Amount   string `json:"amount"`
		Tag      string `json:"tag,omitempty"`
		By       string `json:"by,omitempty"`
		Provider string `json:"provider,omitempty"`
		Token    string `json:"token,omitempty"`
	}
	kept, err := a.repeatable(c, account, &body, func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error) {
		cents, err := amount("amount", &body.Amount)
		if err != nil {
			return once.Answer{}, err
		}
		tag := ""
		if body.Tag != "" {
			if tag, err = a.Tag(body.Tag); err != nil {
				return once.Answer{}, web.BadField("/tag", "is not a tag")
			}
		}
		if err := open(ctx, tx, account); err != nil {
			return once.Answer{}, err
		}
		if err := a.note(ctx, tx, account, "payment.topup.ordered"); err != nil {
			return once.Answer{}, err
		}
		r := payment.TopUpRequest{ID: asked.ID(), Account: account, Tag: tag, AmountCents: cents, Currency: a.Currency, Provider: body.Provider, Token: body.Token}
		switch body.By {
		case "", "means":
			if body.Provider != "" && body.Token == "" {
				return once.Answer{}, web.BadField("/provider", "goes with a token")
			}
			return made(a.Payments.TopUp(ctx, tx, r))
		case payment.FPS:
			if body.Token != "" || body.Provider != "" {
				return once.Answer{}, web.BadField("/token", "is for cards")
			}
			return made(a.Payments.AwaitTopUp(ctx, tx, r))
		}
		return once.Answer{}, web.BadField("/by", "is neither means nor fps")
	})
	return a.drive(c, kept, err)
}

type meansForm struct {
	From      *string `json:"from"`
	Mode      string  `json:"mode"`
	Kind      string  `json:"kind,omitempty"`
	Provider  string  `json:"provider,omitempty"`
	Token     string  `json:"token,omitempty"`
	Threshold string  `json:"threshold"`
	TopUp     string  `json:"top_up"`
	Currency  string  `json:"currency"`
	// SetBy is motorist or staff.
	SetBy string  `json:"set_by"`
	SetAt *string `json:"set_at"`
}

func (a *API) meansOf(m payment.Means) meansForm {
	f := meansForm{
		a.shown(m.From), m.Mode, m.Kind, m.Provider, m.ShownToken(), billing.FormatCents(m.ThresholdCents), billing.FormatCents(m.TopUpCents), m.Currency, "staff", a.shown(m.At),
	}
	if m.By == by(m.Account) {
		f.SetBy = role
	}
	return f
}

// meansShown bounds how many earlier means are shown.
const meansShown = 50

// means shows how the account pays, and how it did, latest first.
func (a *API) means(c echo.Context, account string) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	now, ok, all, err := a.Payments.MeansOf(c.Request().Context(), account, a.Clock.Now())
	if err != nil {
		return err
	}
	view := struct {
		Now     *meansForm  `json:"now"`
		History []meansForm `json:"history"`
	}{nil, []meansForm{}}
	if ok {
		f := a.meansOf(now)
		view.Now = &f
	}
	for i := len(all) - 1; i >= max(0, len(all)-meansShown); i-- {
		view.History = append(view.History, a.meansOf(all[i]))
	}
	return c.JSON(http.StatusOK, view)
}

// setMeans says how an open account pays from now, or from an instant, on.
func (a *API) setMeans(c echo.Context, account string) error {
	var body struct {
		Mode      string  `json:"mode"`
		Kind      string  `json:"kind,omitempty"`
		Provider  string  `json:"provider,omitempty"`
		Token     string  `json:"token,omitempty"`
		Threshold *string `json:"threshold,omitempty"`
		TopUp     *string `json:"top_up,omitempty"`
		From      *string `json:"from,omitempty"`
	}
	kept, err := a.repeatable(c, account, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		m := payment.Means{Account: account, Mode: body.Mode, Kind: body.Kind, Provider: body.Provider, Token: body.Token, Currency: a.Currency, By: by(account)}
		threshold, err := amount("threshold", body.Threshold)
		topUp, errTopUp := amount("top_up", body.TopUp)
		if err = errors.Join(err, errTopUp); err != nil {
			return once.Answer{}, err
		}
		m.ThresholdCents, m.TopUpCents = threshold, topUp
		if body.From != nil {
			at, err := time.Parse(time.RFC3339, *body.From)
			if err != nil || at.Year() < 2000 || at.Year() > 2200 {
				return once.Answer{}, web.BadField("/from", "must be a time such as 2026-11-25T08:00:00+08:00")
			}
			m.From = at.UTC().Truncate(time.Microsecond)
		}
		if err := open(ctx, tx, account); err != nil {
			return once.Answer{}, err
		}
		if m, err = a.Payments.SetMeans(ctx, tx, m); err != nil {
			return once.Answer{}, err
		}
		if err := a.note(ctx, tx, account, "payment.means.set"); err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusCreated, a.meansOf(m), "")
	})
	if err != nil {
		return err
	}
	return send(c, kept, nil)
}
