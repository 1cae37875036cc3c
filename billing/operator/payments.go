package operator

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
	"freeflow/billing/payment"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

//go:embed openapi_payments.json
var openAPIPayments []byte

// Payments is the topic of attempts at payment providers, means of payment and
// refunds. Orders are given by the service's own work, which the answer does not
// wait for.
type Payments struct {
	Books    AccountBooks
	Payments *payment.Service
	Clock    clock.Clock
	// Currency is the network's.
	Currency string
	// Tag gives the compared form of a tag.
	Tag func(string) (string, error)
	// Named refuses resolutions, refunds, pay-outs, cash and approvals under a key
	// that is nobody's own.
	Named bool
}

// OpenAPI is the topic's part of the document.
func (p *Payments) OpenAPI() []byte { return append([]byte(nil), openAPIPayments...) }

// Routes adds the topic's routes.
func (p *Payments) Routes(g *echo.Group) {
	timed := web.Deadline(usualTime)
	g.GET("/v1/payments", p.list, timed)
	g.GET("/v1/payments/:id", p.get, timed)
	g.POST("/v1/payments/:id/query", p.query, timed)
	g.POST("/v1/payments/:id/resolution", p.resolve, timed)
	g.POST("/v1/payments/:id/refunds", p.refund, timed)
	g.GET("/v1/payment-events", p.events, timed)
	g.GET("/v1/payment-approvals", p.approvals, timed)
	g.POST("/v1/payment-approvals/:id/decision", p.approve, timed)
	g.GET("/v1/accounts/:id/payment-means", p.getMeans, timed)
	g.POST("/v1/accounts/:id/payment-means", p.setMeans, timed)
	g.POST("/v1/accounts/:id/top-ups", p.topUp, timed)
	g.POST("/v1/accounts/:id/payments", p.pay, timed)
	g.POST("/v1/accounts/:id/pay-out", p.payOut, timed)
}

type paymentForm struct {
	ID          string            `json:"id"`
	Kind        string            `json:"kind"`
	Purpose     string            `json:"purpose"`
	Provider    string            `json:"provider"`
	Debit       string            `json:"debit,omitempty"`
	Account     string            `json:"account,omitempty"`
	Tag         string            `json:"tag,omitempty"`
	Means       string            `json:"means"`
	Bill        string            `json:"bill,omitempty"`
	Original    string            `json:"original,omitempty"`
	State       string            `json:"state"`
	Amount      string            `json:"amount"`
	Moved       string            `json:"moved"`
	Refunded    string            `json:"refunded"`
	Currency    string            `json:"currency"`
	How         string            `json:"how,omitempty"`
	ProviderRef string            `json:"provider_ref,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	Calls       int64             `json:"calls"`
	Queries     int64             `json:"queries"`
	NextAt      *string           `json:"next_at"`
	CreatedAt   *string           `json:"created_at"`
	SettledAt   *string           `json:"settled_at"`
	Items       []paymentItemForm `json:"items,omitempty"`
}

type paymentItemForm struct {
	Receivable string `json:"receivable"`
	Amount     string `json:"amount"`
}

func paymentOf(a payment.Attempt) paymentForm {
	f := paymentForm{
		ID: a.ID, Kind: a.Kind, Purpose: a.Purpose, Provider: a.Provider, Debit: a.Debit, Account: a.Account, Means: a.Means, Bill: a.Bill,
		Original: a.Original, State: a.State, Amount: billing.FormatCents(a.AmountCents), Moved: billing.FormatCents(a.MovedCents),
		Refunded: billing.FormatCents(a.RefundedCents), Currency: a.Currency, How: a.How, ProviderRef: a.ProviderRef, Reason: a.Reason,
		Calls: a.Calls, Queries: a.Queries, NextAt: shown(a.NextAt), CreatedAt: shown(a.CreatedAt), SettledAt: shown(a.SettledAt),
	}
	if tag, ok := strings.CutPrefix(a.Holder, billing.HolderTag); ok {
		f.Tag = tag
	}
	for _, one := range a.Items {
		f.Items = append(f.Items, paymentItemForm{one.Receivable, billing.FormatCents(one.AmountCents)})
	}
	return f
}

// list is a page of payments. What they are for is not in it, so that it shows
// nobody's movements.
func (p *Payments) list(c echo.Context) error {
	q := web.QueryOf(c, "state", "account", "purpose", "after", "limit")
	f := payment.Filter{State: q.Text("state"), Account: q.Text("account"), Purpose: q.Text("purpose"), Limit: q.Limit(50, 500)}
	if f.State != "" && !slices.Contains(payment.States, f.State) {
		q.Refuse("state", "is no state of a payment")
	}
	if text := q.Text("after"); text != "" {
		micros, id, _ := strings.Cut(text, ".")
		n, err := strconv.ParseInt(micros, 10, 64)
		if err != nil || id == "" {
			q.Refuse("after", "is not what a page gave as next")
		}
		f.AfterAt, f.AfterID = time.UnixMicro(n), id
	}
	if err := q.Err(); err != nil {
		return err
	}
	asked := f.Limit
	f.Limit++
	list, err := p.Payments.List(c.Request().Context(), f)
	if err != nil {
		return problem(err)
	}
	page := web.Page[paymentForm]{Items: []paymentForm{}}
	if len(list) > asked {
		list = list[:asked]
		last := list[asked-1]
		next := strconv.FormatInt(last.CreatedAt.UnixMicro(), 10) + "." + last.ID
		page.Next = &next
	}
	for _, a := range list {
		page.Items = append(page.Items, paymentOf(a))
	}
	web.LinkNext(c, page.Next)
	return c.JSON(http.StatusOK, page)
}

// get shows a payment with what it pays: that is a view of the account's trips,
// which its owner can see.
func (p *Payments) get(c echo.Context) error {
	q := web.QueryOf(c, "reason")
	reason := q.Text("reason")
	if err := q.Err(); err != nil {
		return err
	}
	var a payment.Attempt
	ctx := c.Request().Context()
	err := p.Books.Do(ctx, func(tx *books.Tx) (err error) {
		if a, err = tx.PaymentAttempt(ctx, c.Param("id"), false); err != nil {
			return err
		}
		var accounts []string
		if a.Account != "" {
			accounts = []string{a.Account}
		}
		return audit.Note(ctx, tx.Session(), audit.Access{
			At: p.Clock.Now(), By: by(c), Act: audit.Viewed, Page: "GET /v1/payments/{id}", Subject: audit.Subject{Kind: "payment", ID: a.ID},
			Accounts: accounts, Records: len(a.Items), Reason: reason,
		})
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, paymentOf(a))
}

// staff is the person who asks, and why.
func staff(c echo.Context, reason string) payment.Staff {
	return payment.Staff{By: web.Caller(c), Role: "operator", Reason: reason}
}

func (p *Payments) query(c echo.Context) error {
	var body struct {
		Reason string `json:"reason"`
	}
	return repeatable(c, p.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		a, err := p.Payments.AskAgain(ctx, tx, staff(c, body.Reason), c.Param("id"))
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, paymentOf(a), "")
	})
}

// amountOf reads an amount that may be left out; 0 then.
func amountOf(field string, text *string) (int64, error) {
	if text == nil {
		return 0, nil
	}
	cents, err := billing.ParseCents(*text)
	if err != nil || cents < 0 {
		return 0, web.BadField("/"+field, `is not an amount; write it as text, such as "24.00"`)
	}
	return cents, nil
}

// made is the answer of a new payment.
func (p *Payments) made(a payment.Attempt, err error) (once.Answer, error) {
	if err != nil {
		return once.Answer{}, err
	}
	return once.Made(http.StatusCreated, paymentOf(a), "/v1/payments/"+a.ID)
}

type paymentEventForm struct {
	ID       string  `json:"id"`
	Kind     string  `json:"kind"`
	Account  string  `json:"account,omitempty"`
	About    string  `json:"about"`
	Day      string  `json:"day,omitempty"`
	Amount   string  `json:"amount"`
	Currency string  `json:"currency,omitempty"`
	Count    int64   `json:"count"`
	Text     string  `json:"text,omitempty"`
	At       *string `json:"at"`
}

func (p *Payments) events(c echo.Context) error {
	q := web.QueryOf(c, "account", "before", "limit")
	before, ok := q.Instant("before")
	if !ok {
		before = p.Clock.Now().Add(time.Minute)
	}
	limit := q.Limit(50, 500)
	if err := q.Err(); err != nil {
		return err
	}
	list, err := p.Payments.Events(c.Request().Context(), q.Text("account"), before, limit)
	if err != nil {
		return problem(err)
	}
	forms := []paymentEventForm{}
	for _, e := range list {
		forms = append(forms, paymentEventForm{e.ID, e.Kind, e.Account, e.About, e.Day, billing.FormatCents(e.AmountCents), e.Currency, e.Count, e.Text, shown(e.At)})
	}
	return c.JSON(http.StatusOK, map[string]any{"items": forms})
}

type meansForm struct {
	Revision  int64   `json:"revision"`
	From      *string `json:"from"`
	Mode      string  `json:"mode"`
	Kind      string  `json:"kind,omitempty"`
	Provider  string  `json:"provider,omitempty"`
	Token     string  `json:"token,omitempty"`
	Threshold string  `json:"threshold"`
	TopUp     string  `json:"top_up"`
	Currency  string  `json:"currency"`
	By        string  `json:"by"`
	At        *string `json:"at"`
}

func meansOf(m payment.Means) meansForm {
	return meansForm{
		m.Revision, shown(m.From), m.Mode, m.Kind, m.Provider, m.ShownToken(), billing.FormatCents(m.ThresholdCents), billing.FormatCents(m.TopUpCents),
		m.Currency, m.By, shown(m.At),
	}
}

func (p *Payments) getMeans(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	now, ok, all, err := p.Payments.MeansOf(c.Request().Context(), c.Param("id"), p.Clock.Now())
	if err != nil {
		return problem(err)
	}
	form := struct {
		Now     *meansForm  `json:"now"`
		History []meansForm `json:"history"`
	}{nil, []meansForm{}}
	if ok {
		m := meansOf(now)
		form.Now = &m
	}
	for _, m := range all {
		form.History = append(form.History, meansOf(m))
	}
	return c.JSON(http.StatusOK, form)
}

func (p *Payments) setMeans(c echo.Context) error {
	var body struct {
		Mode      string  `json:"mode"`
		Kind      string  `json:"kind,omitempty"`
		Provider  string  `json:"provider,omitempty"`
		Token     string  `json:"token,omitempty"`
		Threshold *string `json:"threshold,omitempty"`
		TopUp     *string `json:"top_up,omitempty"`
		From      *string `json:"from,omitempty"`
		Reason    string  `json:"reason"`
	}
	return repeatable(c, p.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		m := payment.Means{Account: c.Param("id"), Mode: body.Mode, Kind: body.Kind, Provider: body.Provider, Token: body.Token, Currency: p.Currency, By: web.Caller(c)}
		threshold, err := amountOf("threshold", body.Threshold)
		topUp, errTopUp := amountOf("top_up", body.TopUp)
		if err = errors.Join(err, errTopUp); err != nil {
			return once.Answer{}, err
		}
		m.ThresholdCents, m.TopUpCents = threshold, topUp
		if body.From != nil {
			if m.From, err = instant("from", *body.From); err != nil {
				return once.Answer{}, err
			}
		}
		if err := p.open(ctx, tx, m.Account, ""); err != nil {
			return once.Answer{}, err
		}
		if m, err = p.Payments.SetMeans(ctx, tx, m); err != nil {
			return once.Answer{}, err
		}
		if err := p.Payments.Note(ctx, tx, staff(c, body.Reason), "payment.means.set", m.Account); err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusCreated, meansOf(m), "")
	})
}

// open refuses accounts that are not there, or are not open: what a closing one
// owes is paid item by item, or in cash.
func (p *Payments) open(ctx context.Context, tx *books.Tx, id string, by string) error {
	a, err := tx.Account(ctx, id)
	if err == nil && a.State != account.Open && !(a.State == account.Closing && by == payment.Cash) {
		err = fmt.Errorf("account %s is %s: %w", id, a.State, billing.ErrConflict)
	}
	return err
}

func (p *Payments) topUp(c echo.Context) error {
	var body struct {
		Amount   string `json:"amount"`
		Tag      string `json:"tag,omitempty"`
		By       string `json:"by,omitempty"`
		Provider string `json:"provider,omitempty"`
		Token    string `json:"token,omitempty"`
		Place    string `json:"place,omitempty"`
		Receipt  string `json:"receipt,omitempty"`
		Reason   string `json:"reason"`
	}
	return repeatable(c, p.Books, &body, func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error) {
		cents, err := amountOf("amount", &body.Amount)
		if err != nil {
			return once.Answer{}, err
		}
		id := c.Param("id")
		tag := ""
		if body.Tag != "" {
			if tag, err = p.Tag(body.Tag); err != nil {
				return once.Answer{}, web.BadField("/tag", "is not a tag")
			}
		}
		if err := p.open(ctx, tx, id, body.By); err != nil {
			return once.Answer{}, err
		}
		if body.By == payment.Cash {
			if err := p.named(c); err != nil {
				return once.Answer{}, err
			}
			return p.perform(ctx, tx, http.StatusCreated, payment.Said{}, payment.Deed{
				ID: asked.ID(), Kind: payment.DeedCash, Staff: staff(c, body.Reason), Account: id, Tag: tag, AmountCents: cents, Currency: p.Currency,
				Place: body.Place, Receipt: body.Receipt,
			})
		}
		if body.Place != "" || body.Receipt != "" {
			return once.Answer{}, web.BadField("/receipt", "is for cash alone")
		}
		if err := p.Payments.Note(ctx, tx, staff(c, body.Reason), "payment.topup.ordered", id); err != nil {
			return once.Answer{}, err
		}
		r := payment.TopUpRequest{ID: asked.ID(), Account: id, Tag: tag, AmountCents: cents, Currency: p.Currency, Provider: body.Provider, Token: body.Token}
		switch body.By {
		case "", "means":
			return p.made(p.Payments.TopUp(ctx, tx, r))
		case "fps":
			return p.made(p.Payments.AwaitTopUp(ctx, tx, r))
		}
		return once.Answer{}, web.BadField("/by", "is neither means, fps nor cash")
	})
}

func (p *Payments) pay(c echo.Context) error {
	var body struct {
		Receivables []string `json:"receivables"`
		Provider    string   `json:"provider,omitempty"`
		Token       string   `json:"token,omitempty"`
		Reason      string   `json:"reason"`
	}
	return repeatable(c, p.Books, &body, func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error) {
		id := c.Param("id")
		if err := p.Payments.Note(ctx, tx, staff(c, body.Reason), "payment.ordered", id); err != nil {
			return once.Answer{}, err
		}
		return p.made(p.Payments.Pay(ctx, tx, payment.PayRequest{
			ID: asked.ID(), Account: id, Receivables: body.Receivables, Provider: body.Provider, Token: body.Token,
		}))
	})
}
