// Package operator owns what operators' staff do about accounts and money over
// HTTP: one file a topic (accounts, payments, unpaid tolls, disputes,
// statements, settlement), each with its part of the OpenAPI document.
//
// Invariants: every POST, PUT and DELETE that has an effect takes an
// Idempotency-Key and has it once; members and parameters that are not known
// are refused by name; who did it is the person whose key was shown, and
// nobody that a body names.
//
// Not owned here: who may enter (web.Bearer); what the answers mean, which is
// the domains'.
package operator

import (
	"context"
	_ "embed"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/audit"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

//go:embed openapi.json
var openAPI []byte

// Topic is one part of the API.
type Topic interface {
	// Routes adds the topic's routes to a group whose callers are known.
	Routes(g *echo.Group)
	// OpenAPI is the topic's part of the OpenAPI 3.1 document.
	OpenAPI() []byte
}

// Repeater keeps answers for repetitions; *books.Store is one.
type Repeater interface {
	DoOnce(ctx context.Context, r once.Request, fn func(*books.Tx) (once.Answer, error)) (once.Answer, error)
}

// maxBody bounds a request's body, in bytes.
const maxBody = 256 << 10

// Mount adds the topics' routes, which keys guard.
func Mount(e *echo.Echo, keys echo.MiddlewareFunc, topics ...Topic) {
	g := e.Group("", keys, web.LimitBody(maxBody))
	for _, t := range topics {
		t.Routes(g)
	}
}

// OpenAPI returns the topics' OpenAPI documents, for web.MergeOpenAPI; before
// them what all have in common: the key, the problems, the Idempotency-Key.
func OpenAPI(topics ...Topic) [][]byte {
	docs := [][]byte{append([]byte(nil), openAPI...)}
	for _, t := range topics {
		docs = append(docs, t.OpenAPI())
	}
	return docs
}

// repeatable reads the request's Idempotency-Key and its body, runs fn at most
// once in a transaction of the books, and answers.
func repeatable(c echo.Context, r Repeater, body any, fn func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error)) error {
	read, err := web.RepeatableRequest(c)
	if err != nil {
		return err
	}
	if err := web.DecodeJSON(c, body); err != nil {
		return err
	}
	ctx, asked := c.Request().Context(), once.Request{Scope: read.Scope, Key: read.Key, Fingerprint: read.Fingerprint}
	a, err := r.DoOnce(ctx, asked, func(tx *books.Tx) (once.Answer, error) { return fn(ctx, tx, asked) })
	switch {
	case errors.Is(err, once.ErrReused):
		return web.KeyReused()
	case errors.Is(err, once.ErrBusy):
		return web.KeyBusy()
	case err != nil:
		return problem(err)
	}
	web.Repeated(c, a.Location, a.Replayed)
	return c.Blob(a.Status, echo.MIMEApplicationJSON, a.Body)
}

// person refuses a key that is nobody's own where a named person is needed.
// what says what is a person's.
func person(c echo.Context, needed bool, what string) error {
	if _, ok := web.Person(c); needed && !ok {
		return web.NewProblem(http.StatusForbidden, "person-needed", "Only under a key of one's own",
			what+"; use a key made for one person (freeflow staff add NAME)")
	}
	return nil
}

// by is who asks, for the audit trail.
func by(c echo.Context) audit.Actor { return audit.Actor{Name: web.Caller(c), Role: "operator"} }

// problem makes an answer of the books' errors; others stay as they are, and
// tell nobody what they are.
func problem(err error) error {
	switch {
	case errors.Is(err, billing.ErrNotFound):
		return web.NotFound("there is no such thing here")
	case errors.Is(err, billing.ErrConflict), errors.Is(err, billing.ErrStale):
		return web.NewProblem(http.StatusConflict, "conflict", "Not possible as things stand", err.Error())
	case errors.Is(err, billing.ErrInvalid):
		return web.NewProblem(http.StatusUnprocessableEntity, "invalid", "Not possible", err.Error())
	}
	return err
}
