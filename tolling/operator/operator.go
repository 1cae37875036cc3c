// Package operator owns the operators' tolling API (contract section 7): the
// registry, the list of charges, one pass explained, the review queue, alarms.
//
// Invariants: nothing here decides on its own what is owed; a decision is
// rated by the network and posted by the books, and the same decision sent
// twice has one effect and one answer. Whoever looks at a person's movements
// leaves a row that this person can see, in the transaction of the read. Query parameters and JSON fields that
// are not known are refused by name, so that a misspelt filter never looks
// like an answer.
//
// Not owned here: who may enter (web.Bearer), the rows of charges.csv
// (billing.ChargeRow), what makes a pass go to review (tolling).
package operator

import (
	"context"
	_ "embed"
	"errors"
	"io"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/rsu"
	"freeflow/tolling/tariff"
)

//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the OpenAPI 3.1 document of this API.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }

// Bounds of requests.
const (
	usualTime = 15 * time.Second
	// uploadTime bounds a registry on its way in or out, a million rows on a
	// slow line; exportTime a whole list of charges.
	uploadTime = 5 * time.Minute
	exportTime = 15 * time.Minute
	// maxRegistry bounds registry.csv, in bytes, as sent and as unpacked.
	maxRegistry = 256 << 20
	// maxExports bounds the lists written at the same time.
	maxExports = 4
)

// Books is what is needed of the books.
type Books interface {
	billing.Reading
	billing.Deciding
	billing.Registering
	Viewing
}

// Registry takes a new registry and puts it in force.
type Registry interface {
	// Put reads a registry.csv, checks it whole, stores it and puts it in
	// force. Errors: *registry.ParseError with every mistake; else a fault.
	Put(ctx context.Context, csv io.Reader) (version int64, rows int, err error)
}

// Explanation is what the archives hold of one pass.
type Explanation struct {
	// Reads are the pass's reads in the order of contract section 4.
	Reads []rsu.Read
	// Complete is false if some of its reads are no longer kept.
	Complete bool
}

// Explainer finds the reads of a pass.
type Explainer interface {
	// Explain returns the kept reads of a standing pass. Errors:
	// billing.ErrNotFound; else a fault.
	Explain(ctx context.Context, passID string) (Explanation, error)
}

// Basis makes the digest of what a person sees of a pass, kept with the
// decision, so that later reads which change it reopen the pass.
type Basis interface {
	Basis(p billing.Pass) string
}

// Network is what is needed of the tariff; *tariff.Network is one.
type Network interface {
	// Rate returns the toll at a toll point. Errors: *tariff.UnknownError,
	// *tariff.NoTariffError.
	Rate(point, class string, at time.Time) (tariff.Toll, error)
	KnowsClass(class string) bool
	Classes() []string
	Zone() *time.Location
}

// Alarm is something at the roadside that a person should look at.
type Alarm struct {
	// Kind is its short name, for instance "sequence-gap".
	Kind string
	// Unit is the roadside unit it concerns; may be empty.
	Unit string
	// First and Last say when it was raised first and last; Count how often.
	First, Last time.Time
	Count       int64
	// Detail says in words what happened; no plates, no tags.
	Detail string
}

// Alarms gives the present alarms, newest first, a bounded number.
type Alarms interface {
	Alarms(ctx context.Context) ([]Alarm, error)
}

// Parts are what an API is made of; all are needed.
type Parts struct {
	Books     Books
	Registry  Registry
	Explainer Explainer
	Basis     Basis
	Network   Network
	Alarms    Alarms
	Clock     clock.Clock
	// NeedReason refuses to show people's movements to whoever does not say
	// why.
	NeedReason bool
}

// API answers the operators. Safe for concurrent use.
type API struct {
	Parts
	// registryBusy holds a token while a registry is on its way in or out:
	// one of a million rows takes hundreds of megabytes, two might not fit.
	registryBusy chan struct{}
	exportsBusy  chan struct{}
}

// New returns an API made of the parts.
func New(p Parts) (*API, error) {
	if p.Books == nil || p.Registry == nil || p.Explainer == nil || p.Basis == nil ||
		p.Network == nil || p.Alarms == nil || p.Clock == nil {
		return nil, errors.New("operators' API: every part is needed")
	}
	return &API{Parts: p, registryBusy: make(chan struct{}, 1), exportsBusy: make(chan struct{}, maxExports)}, nil
}

// Routes adds the API's routes, each behind the key.
func (a *API) Routes(e *echo.Echo, key echo.MiddlewareFunc) {
	usual := web.Deadline(usualTime)
	g := e.Group("/v1", key, onBehalf)
	g.PUT("/registry", a.putRegistry, web.LimitBody(maxRegistry), web.Deadline(uploadTime))
	g.GET("/registry", a.getRegistry, web.Deadline(uploadTime))
	g.GET("/charges", a.getCharges, web.Deadline(exportTime))
	g.GET("/passes/:id", a.getPass, usual)
	g.GET("/reviews", a.getReviews, usual)
	g.POST("/reviews/:id", a.postReview, usual)
	g.GET("/alarms", a.getAlarms, usual)
}
