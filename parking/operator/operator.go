// Package operator owns the HTTP API by which car park operators and their
// equipment work: car parks and bays, allocations and retrievals, machines and
// their controllers, reservations, stays, quotes and payments, alarms. What
// motorists may use of it stands on their address too, by Public.
//
// Invariants: every POST that does something takes an Idempotency-Key, and the
// answer to a repetition is the first one's, errors included where they say
// what was decided; a GET changes nothing; errors are problem documents; lists
// are paged by cursor and bounded; amounts are text with two decimals.
//
// What anybody may ask is bounded by address: questions for what is due, what
// has to be kept, and reservations that have not ended.
//
// Not promised: who may do what beyond holding the key (roles come with the
// console); bounds by address across processes, or behind a proxy, whose
// address all its clients have; and the open data, which parking/opendata
// serves.
package operator

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/attendant"
	"freeflow/parking/cashier"
	"freeflow/parking/finder"
)

// Bounds of what an answer has and of what it may cost.
const (
	usualRows = 100
	mostRows  = 1000
	// mostSessions is less, since an answer reads an allocation for each.
	mostSessions = 200
	// mostAlarms is how many alarms are looked through for one page.
	mostAlarms = 10_000
	usualTime  = 10 * time.Second
	maxSite    = 1 << 20
	maxEvents  = 500
)

// Sites keeps the car parks' definitions.
type Sites interface {
	// All returns the car parks in force, by id.
	All() []*parking.CarPark
	// CarPark returns one; false if there is none of that id.
	CarPark(id string) (*parking.CarPark, bool)
	// Definition returns the site file in force and its version.
	Definition(ctx context.Context, id string) (parking.Definition, error)
	// Put checks the site file of the car park, stores it and puts it in force;
	// version is the one that the writer believes in force, 0 for none, -1 for
	// any. Errors: parking.ErrInvalid, parking.ErrStale, parking.ErrConflict
	// where a bay that goes away is taken.
	Put(ctx context.Context, id string, document []byte, version int64, by string) (parking.Definition, error)
}

// Parts are what an API is made of; all are needed.
type Parts struct {
	Attendant *attendant.Attendant
	Cashier   *cashier.Cashier
	Keeping   parking.Keeping
	Sites     Sites
	Finder    *finder.Finder
	Clock     clock.Clock
	Log       *slog.Logger
	// NeedReason refuses to show people's stays to staff who do not say why.
	NeedReason bool
}

// API answers operators and motorists. Safe for concurrent use.
type API struct {
	Parts
	asks, writes *web.Throttle
	// holders have reservations, seekers requests for a space.
	holders, seekers *holders
}

// New returns an API made of the parts.
func New(p Parts) (*API, error) {
	if p.Attendant == nil || p.Cashier == nil || p.Keeping == nil || p.Sites == nil || p.Finder == nil || p.Clock == nil || p.Log == nil {
		return nil, errors.New("car park operators' API: every part is needed")
	}
	return &API{
		Parts: p, holders: newHolders(), seekers: newHolders(),
		asks: web.NewThrottle(p.Clock, asksAtOnce, askEvery), writes: web.NewThrottle(p.Clock, writesAtOnce, writeEvery),
	}, nil
}

//go:embed openapi.json
var openAPI []byte

// OpenAPI is the description of the operators' routes.
func OpenAPI() []byte { return openAPI }

//go:embed openapi_public.json
var openAPIPublic []byte

// OpenAPIPublic is the description of the routes that motorists may use.
func OpenAPIPublic() []byte { return openAPIPublic }

// routes is a group whose GET answers HEAD too (RFC 9110, 9.3.2): the server
// leaves the body out.
type routes struct{ *echo.Group }

// GET adds the route for GET and HEAD.
func (g routes) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	g.HEAD(path, h, m...)
	return g.Group.GET(path, h, m...)
}

// Routes adds the operators' routes, each behind the key.
func (a *API) Routes(e *echo.Echo, key echo.MiddlewareFunc) {
	g := routes{e.Group("/v1", key, asStaff, parameters, web.Deadline(usualTime))}
	g.GET("/carparks", a.getCarParks)
	g.GET("/carparks/:id", a.getCarPark)
	g.PUT("/carparks/:id", a.putCarPark, web.LimitBody(maxSite))
	g.GET("/carparks/:id/site", a.getSite)
	g.GET("/carparks/:id/bays", a.getBays)
	g.POST("/carparks/:id/bays/:bay/block", a.postBlock)
	g.POST("/carparks/:id/bays/:bay/unblock", a.postUnblock)

	g.POST("/carparks/:id/allocations", a.postAllocation)
	g.GET("/carparks/:id/allocations", a.getAllocations)
	g.GET("/allocations/:id", a.getAllocation)
	g.POST("/allocations/:id/retrieval", a.postRetrieval)
	g.POST("/allocations/:id/retrieval/cancel", a.postRetrievalCancel)
	g.POST("/allocations/:id/release", a.postRelease)
	g.POST("/allocations/:id/cancel", a.postCancel)
	g.POST("/allocations/:id/move", a.postMove)
	g.POST("/allocations/:id/resolve", a.postResolve)
	g.GET("/carparks/:id/retrievals", a.getRetrievals)
	g.GET("/carparks/:id/promises", a.getPromises)

	g.GET("/carparks/:id/machines", a.getMachines)
	g.POST("/carparks/:id/machines/:machine/inventory", a.postInventory)
	g.POST("/carparks/:id/machines/:machine/next", a.postNext)
	g.POST("/carparks/:id/machines/:machine/reports", a.postReport)
	g.POST("/carparks/:id/machines/:machine/out", a.postOut)
	g.POST("/carparks/:id/machines/:machine/in", a.postIn)

	a.reservationRoutes(g)
	g.GET("/carparks/:id/reservations", a.getReservations)
	a.quoteRoutes(g)
	g.GET("/carparks/:id/due", a.getDue)
	a.spaceRoutes(g)
	g.GET("/carparks/:id/space-requests", a.getSpaceRequests)
	g.GET("/space-rounds", a.getSpaceRounds)

	g.POST("/carparks/:id/lane-events", a.postLaneEvents)
	g.GET("/carparks/:id/stays", a.getStays)
	g.GET("/stays/:id", a.getStay)
	g.POST("/stays/:id/payments", a.postPayment)
	g.POST("/stays/:id/refunds", a.postRefund)
	g.POST("/stays/:id/validations", a.postValidation)
	g.POST("/stays/:id/charging", a.postCharging)
	g.POST("/stays/:id/decision", a.postDecision)
	a.passRoutes(g)
	g.GET("/carparks/:id/takings", a.getTakings)
	g.GET("/parking-preferences/:account", a.getPreference)
	g.PUT("/parking-preferences/:account", a.putPreference)

	g.GET("/carparks/:id/alarms", a.getAlarms)
	g.POST("/parking-alarms/:id/clear", a.postClearAlarm)

	g.GET("/places", a.getPlaces)
	g.GET("/places/:id", a.getPlace)
	g.GET("/sessions", a.getSessions)
}

// Public adds what motorists may use, without a key. What concerns one driver
// is found by an id that cannot be guessed and was given to that driver.
func (a *API) Public(e *echo.Echo) {
	g := routes{e.Group("/v1", parameters, web.Deadline(usualTime), web.LimitBody(maxPublicBody))}
	g.GET("/carparks", a.getCarParks)
	g.GET("/carparks/:id", a.getCarPark)
	a.quoteRoutes(g, a.writes.Middleware)
	a.reservationRoutes(g, a.writes.Middleware)
	a.spaceRoutes(g, a.writes.Middleware)
	g.GET("/allocations/:id", a.getAllocation)
	g.POST("/allocations/:id/retrieval", a.postRetrieval)
	g.POST("/allocations/:id/retrieval/cancel", a.postRetrievalCancel)
	g.GET("/carparks/:id/due", a.getDue, a.asks.Middleware)
}

// maxPublicBody bounds what anybody may send.
const maxPublicBody = 16 << 10

// keyStaff marks requests that came by Routes.
const keyStaff = "parking.staff"

// asStaff says that whoever asks has shown the operators' key. It is said by the
// route, so that no middleware around the public routes can make a motorist one
// of the staff.
func asStaff(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Set(keyStaff, true)
		return next(c)
	}
}

func staff(c echo.Context) bool { return c.Get(keyStaff) == true }

func (a *API) quoteRoutes(g routes, write ...echo.MiddlewareFunc) {
	g.GET("/carparks/:id/quote", a.getQuote)
	g.POST("/carparks/:id/quotes", a.postQuote, write...)
}

func (a *API) reservationRoutes(g routes, write ...echo.MiddlewareFunc) {
	g.GET("/carparks/:id/availability", a.getAvailability)
	g.POST("/carparks/:id/reservations", a.postReservation, write...)
	g.GET("/reservations/:id", a.getReservation)
	g.POST("/reservations/:id/confirm", a.postReservationConfirm)
	g.POST("/reservations/:id/cancel", a.postReservationCancel)
}

// carPark finds the car park of the path.
func (a *API) carPark(c echo.Context) (*parking.CarPark, error) {
	site, ok := a.Sites.CarPark(c.Param("id"))
	if !ok {
		return nil, web.NotFound("there is no such car park")
	}
	return site, nil
}
