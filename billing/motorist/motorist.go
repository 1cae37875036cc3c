// Package motorist owns what a signed-in motorist may ask and do about the own
// account over HTTP, as JSON under /v1/me: money, vehicles and tags, charges
// with what each was for, statements, payments and means of payment, disputes,
// messages, and who looked at the account's movements.
//
// Invariants: an answer is of the signed-in account alone; what belongs to
// another is answered like what does not exist. Without a session nothing but
// 401 is told. Nothing changes by GET; what other sites make a browser send is
// refused, and a change takes a JSON body and an Idempotency-Key, which is the
// account's: nobody gets another's answers by it. Staff are not named: what they
// did is told, and in which role. The holder's own views leave no row among
// those of staff. Every failure is a problem document.
//
// Not owned here: sessions and signing in (billing/portal); what the answers
// mean, which is the domains'. Not promised: bounds on how often an account asks
// across processes.
package motorist

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/payment"
	"freeflow/billing/statement/desk"
	"freeflow/internal/clock"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

//go:embed openapi.json
var openAPI []byte

// OpenAPI is the description of the routes, for web.MergeOpenAPI.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }

// Sessions tells who is signed in.
type Sessions interface {
	// Account returns the account of the request's session; ok is false where
	// nobody is signed in, or not any more.
	Account(c echo.Context) (id string, ok bool)
}

// Books is what is needed of the books.
type Books interface {
	Do(ctx context.Context, fn func(*books.Tx) error) error
	View(ctx context.Context, fn func(*books.Tx) error) error
	DoOnce(ctx context.Context, r once.Request, fn func(*books.Tx) (once.Answer, error)) (once.Answer, error)
	Balances(ctx context.Context, accounts []string) ([]billing.Balance, error)
	History(ctx context.Context, passID string) (billing.History, error)
	Charge(ctx context.Context, id string) (billing.Charge, []billing.Transaction, error)
	ChargeRevisions(ctx context.Context, id string) ([]billing.ChargeRevision, error)
}

// Names says what people call things; an unknown one may be answered with empty
// texts.
type Names interface {
	TollPoint(name string) (en, zh string)
	Class(name string) (en, zh string)
}

// Parts are what the API is made of; all are needed.
type Parts struct {
	Sessions Sessions
	Books    Books
	Payments *payment.Service
	Disputes *dispute.Service
	Desk     *desk.Desk
	Names    Names
	// Code is the text of the FPS QR code of a payment that waits for money.
	Code func(*payment.Attempt) (string, error)
	// Tag gives the compared form of a tag.
	Tag func(string) (string, error)
	// Currency is the network's, Zone where its days end.
	Currency string
	Zone     *time.Location
	Clock    clock.Clock
	Log      *slog.Logger
}

// What one account may ask: at once, and then one more each time.
const (
	readsAtOnce   = 240
	readEvery     = 250 * time.Millisecond
	changesAtOnce = 30
	changeEvery   = 4 * time.Second
	papersAtOnce  = 12
	paperEvery    = 10 * time.Second
	// usualTime bounds an answer, with a provider's within it; paperTime a whole
	// table or document.
	usualTime = 40 * time.Second
	paperTime = 2 * time.Minute
	maxBody   = 64 << 10
	// maxParam bounds a name in an address, in bytes.
	maxParam = 300
)

// API answers motorists. Safe for concurrent use.
type API struct {
	Parts
	reads, changes, papers *web.Throttle
	foreign                *http.CrossOriginProtection
}

// New returns an API made of the parts.
func New(p Parts) (*API, error) {
	if p.Sessions == nil || p.Books == nil || p.Payments == nil || p.Disputes == nil || p.Desk == nil || p.Names == nil ||
		p.Code == nil || p.Tag == nil || p.Currency == "" || p.Zone == nil || p.Clock == nil || p.Log == nil {
		return nil, errors.New("motorists' API: every part is needed")
	}
	return &API{
		Parts: p, reads: web.NewThrottle(p.Clock, readsAtOnce, readEvery), changes: web.NewThrottle(p.Clock, changesAtOnce, changeEvery),
		papers: web.NewThrottle(p.Clock, papersAtOnce, paperEvery), foreign: http.NewCrossOriginProtection(),
	}, nil
}

// handler answers a request of the account of that id.
type handler func(c echo.Context, account string) error

// Routes adds the routes, all behind a session.
func (a *API) Routes(e *echo.Echo) {
	g := e.Group("/v1/me", a.refusing, web.LimitBody(maxBody))
	usual, long := web.Deadline(usualTime), web.Deadline(paperTime)
	get := func(path string, h handler) { g.GET(path, a.own(h), usual) }
	post := func(path string, h handler) { g.POST(path, a.own(h), usual) }
	get("", a.me)
	get("/vehicles", a.vehicles)
	get("/tags", a.tags)
	get("/charges", a.charges)
	get("/charges/:id", a.charge)
	get("/statements", a.statements)
	g.GET("/statements/:number", a.own(a.statement), long)
	g.GET("/lines", a.own(a.lines), long)
	get("/payments", a.payments)
	post("/payments", a.pay)
	get("/payments/:id", a.payment)
	get("/payments/:id/qr.svg", a.svg)
	get("/payments/:id/qr.png", a.png)
	post("/top-ups", a.topUp)
	get("/payment-means", a.means)
	post("/payment-means", a.setMeans)
	get("/disputes", a.disputes)
	post("/disputes", a.openDispute)
	get("/disputes/:id", a.dispute)
	post("/disputes/:id/withdrawal", a.withdraw)
	get("/messages", a.messages)
	get("/views", a.views)
}

// refusing answers every failure with a problem document: what serves the pages
// beside it would answer a browser with a page.
func (a *API) refusing(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Add("Vary", "Cookie, Accept")
		if err := next(c); err != nil {
			web.Refuse(c, a.Log, err)
		}
		return nil
	}
}

// own lets requests of a session pass: not those that another site sends, not
// more than an account may.
func (a *API) own(h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := a.foreign.Check(c.Request()); err != nil {
			return web.NewProblem(http.StatusForbidden, "cross-origin", "", "the request came from another site")
		}
		account, ok := a.Sessions.Account(c)
		if !ok || account == "" {
			return web.NewProblem(http.StatusUnauthorized, "signed-out", "Nobody is signed in", "sign in at /sign-in; the session may have ended")
		}
		limit := a.reads
		switch {
		case c.Request().Method != http.MethodGet:
			limit = a.changes
		case desk.Document(c):
			limit = a.papers
		}
		if wait := limit.Enter("account " + account); wait > 0 {
			return web.TooMany("too many requests of this account", wait)
		}
		// A store takes neither more nor what is no text.
		if path := c.Request().URL.Path; !utf8.ValidString(path) || strings.ContainsRune(path, 0) {
			return notFound()
		}
		for _, value := range c.ParamValues() {
			if len(value) > maxParam {
				return notFound()
			}
		}
		return problem(h(c, account))
	}
}

// param is a name in the address, as it was before it was encoded.
func param(c echo.Context, name string) string {
	value := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return value
	}
	plain, err := url.PathUnescape(value)
	if err != nil {
		return "" // is nobody's name
	}
	return plain
}

// notFound is the one answer to what is not there and what is another's.
func notFound() error { return web.NotFound("there is no such thing in this account") }

// problem makes an answer of a domain's errors; others stay as they are, and tell
// nobody what they are.
func problem(err error) error {
	var p *web.Problem
	switch {
	case errors.As(err, &p):
		return err
	case errors.Is(err, billing.ErrNotFound):
		return notFound()
	case errors.Is(err, billing.ErrConflict), errors.Is(err, billing.ErrStale):
		return web.NewProblem(http.StatusConflict, "conflict", "Not possible as things stand", reason(err, billing.ErrConflict, billing.ErrStale))
	case errors.Is(err, billing.ErrInvalid):
		return web.NewProblem(http.StatusUnprocessableEntity, "invalid", "Not possible", reason(err, billing.ErrInvalid))
	}
	return err
}

// reason is what an error says of the request itself, after the words that
// classify it: what stands before them is of the inside.
func reason(err error, kinds ...error) string {
	text := err.Error()
	for _, kind := range kinds {
		if _, after, found := strings.Cut(text, kind.Error()+": "); found {
			return after
		}
	}
	return "look at how it stands now"
}

// repeatable reads the Idempotency-Key and the body, and runs fn at most once in
// a transaction: a key is the account's, not the browser's nor the address's.
func (a *API) repeatable(c echo.Context, account string, body any, fn func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error)) (once.Answer, error) {
	read, err := web.RepeatableRequest(c)
	if err != nil {
		return once.Answer{}, err
	}
	if err := web.DecodeJSON(c, body); err != nil {
		return once.Answer{}, err
	}
	ctx := c.Request().Context()
	asked := once.Request{Scope: "motorist " + account + " " + c.Request().Method + " " + c.Request().URL.Path, Key: read.Key, Fingerprint: read.Fingerprint}
	kept, err := a.Books.DoOnce(ctx, asked, func(tx *books.Tx) (once.Answer, error) { return fn(ctx, tx, asked) })
	switch {
	case errors.Is(err, once.ErrReused):
		return kept, web.KeyReused()
	case errors.Is(err, once.ErrBusy):
		return kept, web.KeyBusy()
	}
	return kept, err
}

// send answers with what was kept.
func send(c echo.Context, kept once.Answer, v any) error {
	web.Repeated(c, kept.Location, kept.Replayed)
	if v != nil {
		return c.JSON(kept.Status, v)
	}
	return c.Blob(kept.Status, echo.MIMEApplicationJSON, kept.Body)
}

// by is who does it, as the audit trail and the domains have it.
func by(account string) string { return "account:" + account }

// role is what the holder of an account acts as.
const role = "motorist"

// shown is an instant as it is answered, in the network's zone; nil for none.
func (a *API) shown(at time.Time) *string {
	return web.ShownIn(at, a.Zone)
}

// page reads a place of so many parts, and the limit.
func page(q *web.Query, parts, usual, most int) (place []string, limit int) {
	return q.Place(parts), q.Limit(usual, most)
}

func digits(n int64) string { return strconv.FormatInt(n, 10) }

// paged answers one page of at most limit of a list that has one more where there
// are more; place is the place of an item.
func paged[T any](c echo.Context, list []T, limit int, place func(T) *string) error {
	p := web.Page[T]{Items: []T{}}
	if len(list) > limit {
		list = list[:limit]
		p.Next = place(list[limit-1])
	}
	p.Items = append(p.Items, list...)
	web.LinkNext(c, p.Next)
	return c.JSON(http.StatusOK, p)
}
