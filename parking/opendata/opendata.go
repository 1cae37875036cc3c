// Package opendata owns what the public may read about car parks: the
// Transport Department of Hong Kong's carpark-info-vacancy (One-stop Parking
// Vacancy, specification 1.2 of 2020-01-14), the two raw files of the same
// data, a GeoJSON layer, and a list in the form of ParkAPI's parking sites.
//
// Invariants: a figure is never told after its limit of age (then it is -1,
// null or absent, and has_realtime_data false), nor one that cannot be true;
// the time told is that of the figure, not of the request; a car park that
// said that it is closed is told as closed, with 0; places that a driver who
// just turns up cannot have (pools, places for permit holders) are not counted
// as vacancies. The sources are asked at most once a refresh interval, however
// many requests there are. Parameters that are not known are refused, so that
// a misspelt filter never looks like an answer; a language that is not known is
// answered in zh_TW, as the specification has it.
//
// Not promised: that the figures are right (they are the source's), vacancies
// of classes for which the Transport Department has no vehicle type (minibuses
// and, beside cars, taxis), and structured addresses where the site gives none.
package opendata

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/parking"
)

//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the OpenAPI 3.1 document of these routes.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }

// usualTime bounds a request, refreshTime one reading of the sources, which
// serves all requests that wait for it.
const (
	usualTime   = 5 * time.Second
	refreshTime = 4 * time.Second
)

// maxAhead is how far a figure's time may lie in the future: clocks differ a
// little, but a clock that is far ahead would keep its figures fresh for ever.
const maxAhead = time.Minute

// hongKong is the zone in which the specification's times are written.
const hongKong = "Asia/Hong_Kong"

// Site is a car park with what is published of it.
type Site struct {
	CarPark *parking.CarPark
	// Prices may be nil: then no prices are published.
	Prices Prices
	// Changed is when the definition was last changed; may be zero.
	Changed time.Time
}

// Sites gives the car parks. Implementations are safe for concurrent use.
type Sites interface {
	// Sites returns the car parks to be published, each id once, in any order.
	// What is returned is not changed afterwards by either side.
	Sites(ctx context.Context) ([]Site, error)
}

// Figure is what is known of one car park at an instant.
type Figure struct {
	// At is when the figure was true: when its source read the bays, not when
	// it was asked for.
	At time.Time
	// Closed says that no vehicle is let in at present.
	Closed bool
	// Free are the free places by class of the toll table. A class that is
	// missing is not known.
	Free map[string]Free
}

// Free counts the places that the next vehicle of a class could have. A bay
// that admits several classes counts in each; bays of pools, blocked bays and
// bays in machines that are out of service count in none.
type Free struct {
	// General are those open to every driver, with and without charger; EV
	// those of them that have a charger.
	General, EV int
	// Accessible are those for holders of a disabled person's permit alone.
	Accessible int
}

// Figures gives the latest figures. Implementations are safe for concurrent
// use.
type Figures interface {
	// Figures returns the latest figure of each car park that has one, by id.
	// What is returned is not changed afterwards by either side.
	Figures(ctx context.Context) (map[string]Figure, error)
}

// Settings are the bounds. Zero means the default in brackets.
type Settings struct {
	// Limit is the age at which a figure is withdrawn [10 min].
	Limit time.Duration
	// MaxAge is how long an answer may be kept by caches [15 s]; shorter where
	// a figure in it comes to its limit before.
	MaxAge time.Duration
	// Refresh is how often the sources are asked at most [1 s].
	Refresh time.Duration
}

func (s Settings) withDefaults() Settings {
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&s.Limit, 10 * time.Minute}, {&s.MaxAge, 15 * time.Second}, {&s.Refresh, time.Second}} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	return s
}

// Parts are what a feed is made of. Sites, Figures, Clock and Log are needed.
type Parts struct {
	Sites    Sites
	Figures  Figures
	Clock    clock.Clock
	Log      *slog.Logger
	Settings Settings
}

// Feed answers the public. Safe for concurrent use.
type Feed struct {
	sites    Sites
	figures  Figures
	clock    clock.Clock
	log      *slog.Logger
	settings Settings
	zone     *time.Location
	cache    cache
}

// New returns a feed of the parts.
func New(p Parts) (*Feed, error) {
	if p.Sites == nil || p.Figures == nil || p.Clock == nil || p.Log == nil {
		return nil, errors.New("making the open data feed: Sites, Figures, Clock and Log are needed")
	}
	zone, err := time.LoadLocation(hongKong)
	if err != nil {
		return nil, fmt.Errorf("making the open data feed: %w", err)
	}
	return &Feed{
		sites: p.Sites, figures: p.Figures, clock: p.Clock, log: p.Log,
		settings: p.Settings.withDefaults(), zone: zone,
		cache: cache{busy: make(chan struct{}, 1)},
	}, nil
}

// Routes adds the feed's routes, which need no key and may be read by pages of
// any origin.
func (f *Feed) Routes(e *echo.Echo) {
	for path, handler := range map[string]echo.HandlerFunc{
		"/v1/carpark-info-vacancy":     f.getInfoVacancy,
		"/v1/open/basic_info_all.json": f.getRawInfo,
		"/v1/open/vacancy_all.json":    f.getRawVacancy,
		"/v1/carparks.geojson":         f.getGeoJSON,
		"/v1/open/parking-sites.json":  f.getParkingSites,
	} {
		e.GET(path, handler, public, web.Deadline(usualTime))
	}
}

// public lets pages of any origin read the answer, refusals included: there is
// no key and no cookie that such a page could abuse.
func public(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set(echo.HeaderAccessControlAllowOrigin, "*")
		h.Set(echo.HeaderAccessControlExposeHeaders, "ETag")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		return next(c)
	}
}

// unavailable is the 503 for sources that do not answer; cause is for the log.
func unavailable(cause error) error {
	p := web.NewProblem(http.StatusServiceUnavailable, "no-figures", "No figures at present",
		"the source of the figures does not answer; try again in a few seconds")
	p.Header = http.Header{"Retry-After": {"5"}}
	return fmt.Errorf("gathering open data: %w: %w", cause, p)
}
