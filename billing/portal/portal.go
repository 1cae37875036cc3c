// Package portal owns the motorists' pages: signing in, what I owe, my passes
// and other charges as they happen, what each was for, and who of the
// staff looked at them.
//
// Invariants: a page shows the signed-in account's data and no other's; what
// belongs to another account is answered like what does not exist. Sign-in
// does not tell, by text or time, whether an e-mail is known. Nothing changes
// by GET; what changes by POST needs a token that only this site's pages have.
// Every page works without JavaScript; with it, changes appear as they happen.
// All is served from here: no script, style, font or picture of third parties.
//
// Not promised: sessions do not survive a restart (they are in memory, and so
// belong to one process: put a sticky balancer before several), and passwords
// cannot be changed here yet.
package portal

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/web"
)

// Books is what is needed of the books.
type Books interface {
	List(ctx context.Context, f billing.Filter) ([]billing.Pass, error)
	History(ctx context.Context, passID string) (billing.History, error)
	Balances(ctx context.Context, accounts []string) ([]billing.Balance, error)
	Charge(ctx context.Context, id string) (billing.Charge, []billing.Transaction, error)
	ChargeRevisions(ctx context.Context, id string) ([]billing.ChargeRevision, error)
	Charges(ctx context.Context, f billing.ChargeFilter) (list []billing.Charge, next string, err error)
}

// Views tells who of the staff looked at people's movements.
type Views interface {
	// Views returns who looked at an account's, the newest first, at most limit
	// before the one of an id (empty: from the newest).
	Views(ctx context.Context, account, before string, limit int) ([]audit.Seen, error)
}

// Logins finds sign-ins; billing.Credentials is one.
type Logins interface {
	// Login finds a login by e-mail, lower case. billing.ErrNotFound.
	Login(ctx context.Context, email string) (billing.Login, error)
}

// Names says what people call things; an unknown one may be answered with
// empty texts.
type Names interface {
	TollPoint(name string) (en, zh string)
	Class(name string) (en, zh string)
}

// Parts are what a portal is made of.
type Parts struct {
	Books  Books
	Views  Views
	Logins Logins
	Names  Names
	Feed   *Feed
	// Zone is the network's.
	Zone  *time.Location
	Clock clock.Clock
	Log   *slog.Logger
	// Secure says that browsers reach the portal by https, here or at a
	// proxy: cookies are then bound to https.
	Secure bool
	// KeepAlive is the time between signs of life on a stream; 15 s if zero.
	KeepAlive time.Duration
}

// Portal answers motorists. Safe for concurrent use.
type Portal struct {
	Parts
	sessions  *sessions
	throttle  *throttle
	passwords *passwords
	seal      seal
	pages     *pages
	assets    assets
}

// New returns a portal made of the parts.
func New(parts Parts) (*Portal, error) {
	if parts.Books == nil || parts.Views == nil || parts.Logins == nil || parts.Names == nil || parts.Feed == nil ||
		parts.Zone == nil || parts.Clock == nil || parts.Log == nil {
		return nil, errors.New("motorists' portal: every part is needed")
	}
	if parts.KeepAlive == 0 {
		parts.KeepAlive = 15 * time.Second
	}
	checks, err := newPasswords()
	if err != nil {
		return nil, err
	}
	files := newAssets()
	templates, err := newPages()
	if err != nil {
		return nil, err
	}
	return &Portal{
		Parts:     parts,
		sessions:  newSessions(parts.Clock),
		throttle:  newThrottle(parts.Clock),
		passwords: checks,
		seal:      newSeal(),
		pages:     templates,
		assets:    files,
	}, nil
}

// pageTime bounds the making of a page.
const pageTime = 10 * time.Second

// Routes adds the portal's pages, and makes errors pages for those who accept
// HTML; whatever else is served by e keeps its own errors.
func (p *Portal) Routes(e *echo.Echo) {
	api := e.HTTPErrorHandler
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if !wantsHTML(c.Request()) {
			api(err, c)
			return
		}
		p.errorPage(c, err)
	}
	g := e.Group("", p.dressed)
	timed := web.Deadline(pageTime)
	g.GET("/", p.home, timed)
	g.HEAD("/", p.home, timed)
	g.GET("/sign-in", p.signInPage, timed)
	g.HEAD("/sign-in", p.signInPage, timed)
	g.POST("/sign-in", p.signIn, web.LimitBody(8<<10), timed)
	g.POST("/sign-out", p.signOut, web.LimitBody(8<<10), timed)
	g.GET("/passes/:id", p.record, timed)
	g.GET("/charge", p.charge, timed)
	g.GET("/views", p.whoLooked, timed)
	g.GET("/events", p.events)
	g.GET("/assets/:name", p.asset)
}

// contentPolicy allows what the pages use: their own style sheet, script and
// stream, and the icon that stands in the page itself.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"

// dressed sets what all pages have in common and refuses requests that other
// sites make browsers send.
func (p *Portal) dressed(next echo.HandlerFunc) echo.HandlerFunc {
	foreign := http.NewCrossOriginProtection()
	return func(c echo.Context) error {
		dress(c)
		if err := foreign.Check(c.Request()); err != nil {
			return web.NewProblem(http.StatusForbidden, "cross-origin", "", "the request came from another site")
		}
		return next(c)
	}
}

func dress(c echo.Context) {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", contentPolicy)
	// With no-referrer browsers send forms with "Origin: null", which is
	// refused below where they send no Sec-Fetch-Site (plain http).
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Add("Vary", "Cookie, Accept-Language")
}

func wantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get(echo.HeaderAccept), "text/html")
}

// language finds the page's language: the query's, which is then remembered,
// else the remembered one, else the browser's.
func (p *Portal) language(c echo.Context) *words {
	if w, ok := wordsFor(c.QueryParam("lang")); ok {
		p.setCookie(c.Response(), cookieLanguage, w.Code, 365*24*time.Hour)
		return w
	}
	if w, ok := wordsFor(p.cookie(c.Request(), cookieLanguage)); ok {
		return w
	}
	return preferred(c.Request().Header.Get("Accept-Language"))
}

// who returns the request's session, nil if nobody is signed in.
func (p *Portal) who(c echo.Context) *session {
	id := p.cookie(c.Request(), cookieSession)
	if id == "" {
		return nil
	}
	return p.sessions.find(id)
}

// errorPage answers an error with a page.
func (p *Portal) errorPage(c echo.Context, err error) {
	problem := web.Diagnose(c, p.Log, err)
	if problem == nil {
		return
	}
	dress(c)
	f := p.frame(c, nil)
	v := errorView{frame: f, RequestID: problem.RequestID, Heading: f.W.ErrorTitle, Note: f.W.ErrorNote}
	switch {
	case problem.Status == http.StatusNotFound || problem.Status == http.StatusMethodNotAllowed:
		v.Heading, v.Note, v.RequestID = f.W.NotFoundTitle, f.W.NotFoundNote, ""
	case problem.Status == http.StatusForbidden:
		v.Note = f.W.ForbiddenNote
	case problem.Status == http.StatusServiceUnavailable || problem.Status == http.StatusTooManyRequests:
		v.Note = f.W.TryLater
	}
	v.Title = v.Heading
	if err := p.render(c, problem.Status, "error", v); err != nil {
		p.Log.Error("rendering error page", "request_id", problem.RequestID, "error", err)
		c.Response().WriteHeader(http.StatusInternalServerError)
	}
}
