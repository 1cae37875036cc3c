// Package public owns what anybody may do about money over HTTP without an
// account: to pay what a notice names, by plate and the notice's number, with a
// card's token or an FPS QR code; and the address to which payment providers
// send their notices.
//
// Invariants: whoever does not hold a notice learns nothing of a vehicle: wrong
// combinations of plate and number get one answer, after one time, whether or
// not either exists; what a notice's holder is told is amounts, neither where
// nor when; a plate is never part of an address. Payments are made once for each
// Idempotency-Key. A provider's notice has an effect only if it is signed.
//
// Not promised: bounds by address across processes, or behind a proxy, whose
// address all its clients have.
package public

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/fps"
	"freeflow/billing/payment"
	"freeflow/internal/clock"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

// Repeater keeps answers for repetitions; *books.Store is one.
type Repeater interface {
	DoOnce(ctx context.Context, r once.Request, fn func(*books.Tx) (once.Answer, error)) (once.Answer, error)
}

// Parts are what the API is made of; all but Floor are needed.
type Parts struct {
	Payments *payment.Service
	Once     Repeater
	// Plate gives a plate's compared form.
	Plate func(string) string
	// Payee, Name, City and Category stand on FPS QR codes.
	Payee                fps.Payee
	Name, City, Category string
	// Floor is how long an answer about a notice takes at least: longer than it
	// takes to look; 0 is 150 ms.
	Floor time.Duration
	Clock clock.Clock
	Log   *slog.Logger
}

// What strangers may do: each network, and for each plate.
const (
	asksAtOnce  = 10
	askEvery    = 20 * time.Second
	plateAtOnce = 10
	plateEvery  = time.Minute
	// statesAtOnce is for those who wait for their payment's end.
	statesAtOnce = 60
	stateEvery   = time.Second
	// forgedEvery bounds what forged notices leave in the audit trail.
	forgedEvery = time.Minute
	usualTime   = 40 * time.Second
	usualFloor  = 150 * time.Millisecond
	maxBody     = 64 << 10
)

// API answers strangers and providers. Safe for concurrent use.
type API struct {
	Parts
	asks, plates, states, forged *web.Throttle
}

// New returns an API made of the parts.
func New(p Parts) (*API, error) {
	if p.Payments == nil || p.Once == nil || p.Plate == nil || p.Clock == nil || p.Log == nil {
		return nil, errors.New("public payments: every part is needed")
	}
	// A payee that no code can name is found now, not by the first payer.
	if _, err := (fps.Request{Payee: p.Payee, Currency: "HKD", Name: p.Name, City: p.City, Category: p.Category}).Payload(); err != nil {
		return nil, fmt.Errorf("public payments: %w", err)
	}
	if p.Floor <= 0 {
		p.Floor = usualFloor
	}
	return &API{
		Parts: p, asks: web.NewThrottle(p.Clock, asksAtOnce, askEvery), plates: web.NewThrottle(p.Clock, plateAtOnce, plateEvery),
		states: web.NewThrottle(p.Clock, statesAtOnce, stateEvery), forged: web.NewThrottle(p.Clock, 1, forgedEvery),
	}, nil
}

//go:embed openapi.json
var openAPI []byte

// OpenAPI is the description of the routes.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }

// Routes adds the routes, none behind a key.
func (a *API) Routes(e *echo.Echo) {
	g := e.Group("/v1", web.LimitBody(maxBody), web.Deadline(usualTime))
	g.POST("/notice-quotes", a.postQuote)
	g.POST("/notice-payments", a.postPayment)
	g.GET("/notice-payments/:id", a.getPayment, a.states.Middleware)
	g.GET("/notice-payments/:id/qr.svg", a.getQR("image/svg+xml", fps.SVG), a.states.Middleware)
	g.GET("/notice-payments/:id/qr.png", a.getQR("image/png", fps.PNG), a.states.Middleware)
	g.POST("/payment-providers/:provider/notices", a.postNotice)
}

// named is what somebody who holds a notice knows.
type named struct {
	Plate  string `json:"plate"`
	Number string `json:"number"`
}

const maxPlate = 64

// read checks and bounds what was asked, and returns the compared forms.
func (a *API) read(c echo.Context, n named) (vehicle, number string, err error) {
	if n.Plate == "" || len(n.Plate) > maxPlate {
		return "", "", web.BadField("/plate", "is missing, or longer than any plate")
	}
	if n.Number == "" || len(n.Number) > maxPlate {
		return "", "", web.BadField("/number", "is the number printed on the notice")
	}
	if wait := a.asks.Enter(c.RealIP()); wait > 0 {
		return "", "", web.TooMany("too many questions from this address", wait)
	}
	vehicle, number = a.Plate(n.Plate), strings.ToUpper(strings.TrimSpace(n.Number))
	sum := sha256.Sum256([]byte(vehicle))
	if wait := a.plates.Enter(hex.EncodeToString(sum[:])); wait > 0 {
		return "", "", web.TooMany("too many questions about this plate", wait)
	}
	return vehicle, number, nil
}

// floor waits until an answer has taken its least time, so that the time says
// nothing.
func (a *API) floor(ctx context.Context) (wait func()) {
	least := time.NewTimer(a.Floor)
	return func() {
		defer least.Stop()
		select {
		case <-least.C:
		case <-ctx.Done():
		}
	}
}

type quoteForm struct {
	Currency string   `json:"currency"`
	Total    string   `json:"total"`
	Amounts  []string `json:"amounts"`
}

func (a *API) postQuote(c echo.Context) error {
	ctx := c.Request().Context()
	defer a.floor(ctx)()
	var body named
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	vehicle, number, err := a.read(c, body)
	if err != nil {
		return err
	}
	q, err := a.Payments.QuoteNotice(ctx, vehicle, number)
	if err != nil {
		return problem(err)
	}
	form := quoteForm{Currency: q.Currency, Total: billing.FormatCents(q.TotalCents), Amounts: []string{}}
	for _, cents := range q.AmountsCents {
		form.Amounts = append(form.Amounts, billing.FormatCents(cents))
	}
	return c.JSON(http.StatusOK, form)
}

// paymentForm is a payment as its payer sees it.
type paymentForm struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
	// Refunded is what goes back, if anything does.
	Refunded string `json:"refunded,omitempty"`
	Message  string `json:"message"`
	// Bill and QR are of an FPS payment.
	Bill       string  `json:"bill,omitempty"`
	QR         string  `json:"qr,omitempty"`
	ValidUntil *string `json:"valid_until,omitempty"`
}

func (a *API) formOf(one *payment.Attempt) (paymentForm, error) {
	f := paymentForm{ID: one.ID, Amount: billing.FormatCents(one.AmountCents), Currency: one.Currency}
	switch {
	case one.State == payment.Succeeded:
		f.State, f.Message = "paid", "The payment has been received."
	case one.State == payment.Reversed:
		f.State, f.Message = "reversed", "The payer's bank has taken the payment back; the amount is owed again."
	case one.State == payment.Failed && one.Kind == payment.Await:
		f.State, f.Message = "expired", "Nothing was received in time. Ask for a new code."
	case one.State == payment.Failed:
		f.State, f.Message = "failed", "Nothing was taken. Try again, or another way."
	case one.Kind == payment.Await:
		f.State, f.Message = "waiting", "Scan the code with a bank's or wallet's app that knows FPS."
	default:
		f.State, f.Message = "processing", "The outcome is not known yet. Do not pay again: it will be found out, and shown here."
	}
	if one.RefundedCents > 0 {
		f.Refunded = billing.FormatCents(one.RefundedCents)
	}
	if one.Kind != payment.Await {
		return f, nil
	}
	f.Bill = one.Bill
	until := one.ValidUntil.UTC().Format(time.RFC3339)
	f.ValidUntil = &until
	var err error
	f.QR, err = a.payload(one)
	return f, err
}

// payload is the text of a payment's QR code.
func (a *API) payload(one *payment.Attempt) (string, error) {
	return fps.Request{
		Payee: a.Payee, AmountCents: one.AmountCents, Currency: one.Currency, Name: a.Name, City: a.City, Category: a.Category, Bill: one.Bill, Once: true,
	}.Payload()
}

func (a *API) postPayment(c echo.Context) error {
	ctx := c.Request().Context()
	defer a.floor(ctx)()
	read, err := web.RepeatableRequest(c)
	if err != nil {
		return err
	}
	var body struct {
		Plate  string `json:"plate"`
		Number string `json:"number"`
		By     string `json:"by"`
		Token  string `json:"token,omitempty"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	switch body.By {
	case "card":
		if err := payment.CheckToken(body.Token); err != nil {
			return web.BadField("/token", strings.TrimPrefix(err.Error(), billing.ErrInvalid.Error()+": "))
		}
	case "fps":
		if body.Token != "" {
			return web.BadField("/token", "is for cards")
		}
	default:
		return web.BadField("/by", "is neither card nor fps")
	}
	vehicle, number, err := a.read(c, named{body.Plate, body.Number})
	if err != nil {
		return err
	}
	asked := once.Request{Scope: read.Scope, Key: read.Key, Fingerprint: read.Fingerprint}
	kept, err := a.Once.DoOnce(ctx, asked, func(tx *books.Tx) (once.Answer, error) {
		one, err := a.Payments.PayNotice(ctx, tx, payment.NoticeRequest{Vehicle: vehicle, Number: number, Token: body.Token})
		if err != nil {
			return once.Answer{}, err
		}
		id, err := json.Marshal(one.ID)
		return once.Answer{Status: http.StatusCreated, Body: id, Location: "/v1/notice-payments/" + one.ID}, err
	})
	switch {
	case errors.Is(err, once.ErrReused):
		return web.KeyReused()
	case errors.Is(err, once.ErrBusy):
		return web.KeyBusy()
	case err != nil:
		return problem(err)
	}
	// The order is given outside of the transaction; who repeats the request is
	// told how it stands by then.
	var id string
	if err := json.Unmarshal(kept.Body, &id); err != nil {
		return fmt.Errorf("reading a kept answer: %w", err)
	}
	one, err := a.Payments.Drive(ctx, id)
	if err != nil {
		return problem(err)
	}
	form, err := a.formOf(&one)
	if err != nil {
		return err
	}
	web.Repeated(c, kept.Location, kept.Replayed)
	return c.JSON(kept.Status, form)
}

// find returns a payment of somebody without an account, by its id, which only
// its payer knows.
func (a *API) find(c echo.Context) (payment.Attempt, error) {
	if err := web.QueryOf(c).Err(); err != nil {
		return payment.Attempt{}, err
	}
	one, err := a.Payments.Attempt(c.Request().Context(), c.Param("id"))
	if err == nil && (one.Purpose != payment.ForNotice || one.Source != "") {
		err = billing.ErrNotFound
	}
	if err != nil {
		return one, problem(err)
	}
	return one, nil
}

func (a *API) getPayment(c echo.Context) error {
	one, err := a.find(c)
	if err != nil {
		return err
	}
	form, err := a.formOf(&one)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, form)
}

func (a *API) getQR(kind string, draw func(string) ([]byte, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		one, err := a.find(c)
		if err != nil {
			return err
		}
		if one.Kind != payment.Await || one.State != payment.Created {
			return web.NotFound("there is no code for this payment, or not any more")
		}
		text, err := a.payload(&one)
		if err != nil {
			return err
		}
		picture, err := draw(text)
		if err != nil {
			return err
		}
		return c.Blob(http.StatusOK, kind, picture)
	}
}

// problem makes an answer of a service's errors; others stay as they are, and
// tell nobody what they are.
func problem(err error) error {
	switch {
	case errors.Is(err, billing.ErrNotFound):
		return web.NotFound("there is no such notice or payment; check the plate and the number as they are printed")
	case errors.Is(err, billing.ErrConflict), errors.Is(err, billing.ErrStale):
		return web.NewProblem(http.StatusConflict, "nothing-to-pay-now", "Nothing can be paid now",
			"it is paid, in dispute, or somebody is paying it at this moment; ask for what is due a little later")
	case errors.Is(err, billing.ErrInvalid):
		return web.NewProblem(http.StatusUnprocessableEntity, "invalid", "Not possible", "this cannot be paid so")
	}
	return err
}

// postNotice takes a provider's notice. What has no effect because it came
// before is taken like the first; what could not be taken is to be sent again.
func (a *API) postNotice(c echo.Context) error {
	body, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return web.ReadingBody(err)
	}
	ctx, provider := c.Request().Context(), c.Param("provider")
	err = a.Payments.Receive(ctx, provider, c.Request().Header.Get(payment.HeaderSignature), body)
	switch {
	case errors.Is(err, payment.ErrForged):
		a.Log.WarnContext(ctx, "a notice that no payment provider signed", "request_id", web.RequestID(c))
		if a.forged.Enter(c.RealIP()) == 0 {
			if err := a.Payments.NoteForged(ctx, provider); err != nil {
				return err
			}
		}
		return web.NewProblem(http.StatusUnauthorized, "bad-signature", "The signature is not valid", "sign the body as it is sent, with the present time")
	case errors.Is(err, billing.ErrInvalid):
		return web.NewProblem(http.StatusUnprocessableEntity, "bad-notice", "The notice cannot be understood", "it is not of the protocol, or of no provider known here")
	case err != nil:
		a.Log.ErrorContext(ctx, "a payment provider's notice was not taken", "provider", provider, "err", err)
		return web.Busy("the notice could not be taken")
	}
	return c.NoContent(http.StatusNoContent)
}
