package portal

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
)

// maxEmail bounds an e-mail address, in bytes (RFC 5321 allows 254).
const maxEmail = 254

// deviceLife is how long a browser is remembered as one that has signed in.
const deviceLife = 180 * 24 * time.Hour

// signInView is the sign-in page.
type signInView struct {
	frame
	// Typed is the e-mail address of the attempt before. It must not be called
	// Email, which says who is signed in.
	Typed string
	// Fault is what was wrong with the attempt before; empty at first.
	Fault string
}

func (p *Portal) signInPage(c echo.Context) error {
	if p.who(c) != nil {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	return p.showSignIn(c, http.StatusOK, "", "")
}

func (p *Portal) showSignIn(c echo.Context, status int, email, fault string) error {
	v := signInView{frame: p.frame(c, nil), Typed: email, Fault: fault}
	v.Title = v.W.SignInTitle
	if fault != "" {
		v.Title = v.W.ErrorPrefix + v.Title
	}
	v.OtherURL = "/sign-in?lang=" + v.W.other().Code
	// The form is bound to this browser by a cookie; without both halves an
	// attempt is refused.
	nonce := p.cookie(c.Request(), cookieForm)
	if nonce == "" {
		nonce = randomText()
		p.setCookie(c.Response(), cookieForm, nonce, 0)
	}
	v.FormToken = p.seal.of("form", nonce)
	return p.render(c, status, "sign-in", v)
}

func (p *Portal) signIn(c echo.Context) error {
	w := p.language(c)
	if err := c.Request().ParseForm(); err != nil {
		return web.ReadingBody(err)
	}
	form := c.Request().PostForm
	email := strings.ToLower(strings.TrimSpace(form.Get("email")))
	nonce := p.cookie(c.Request(), cookieForm)
	if nonce == "" || !p.seal.holds("form", nonce, form.Get("token")) {
		return p.showSignIn(c, http.StatusForbidden, shown(email), w.FormExpired)
	}
	// A browser that has signed in before has its own count of failures.
	who := "email " + email
	if p.seal.holds("device", email, p.cookie(c.Request(), cookieDevice)) {
		who = "device " + email
	}
	if len(email) > maxEmail {
		who = "email too long"
	}
	if wait := p.throttle.enter(c.RealIP(), who); wait > 0 {
		seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
		c.Response().Header().Set("Retry-After", seconds)
		return p.showSignIn(c, http.StatusTooManyRequests, shown(email), w.WaitBefore+seconds+w.WaitAfter)
	}
	login, err := p.Logins.Login(c.Request().Context(), email)
	if err != nil && !errors.Is(err, billing.ErrNotFound) {
		return fmt.Errorf("looking for a login: %w", err)
	}
	ok, err := p.passwords.check(c.Request().Context(), login.PasswordHash, form.Get("password"))
	if err != nil {
		return fmt.Errorf("checking a password: %w", err)
	}
	if !ok || login.Account == "" {
		p.Log.Info("sign-in refused", "request_id", web.RequestID(c))
		return p.showSignIn(c, http.StatusUnprocessableEntity, shown(email), w.WrongLogin)
	}
	p.throttle.succeeded(who)
	if old := p.who(c); old != nil {
		p.sessions.end(old)
	}
	s := p.sessions.begin(login.Account, email)
	p.setCookie(c.Response(), cookieSession, s.id, 0)
	p.setCookie(c.Response(), cookieForm, "", -time.Second)
	p.setCookie(c.Response(), cookieDevice, p.seal.of("device", email), deviceLife)
	p.Log.Info("signed in", "request_id", web.RequestID(c))
	return c.Redirect(http.StatusSeeOther, "/")
}

// shown is a typed e-mail fit to be shown again.
func shown(email string) string {
	if len(email) > maxEmail {
		return ""
	}
	return email
}

func (p *Portal) signOut(c echo.Context) error {
	s := p.who(c)
	if s != nil {
		if err := c.Request().ParseForm(); err != nil {
			return web.ReadingBody(err)
		}
		if !p.seal.holds("session", s.id, c.Request().PostForm.Get("token")) {
			return web.NewProblem(http.StatusForbidden, "form", "", "the form's token is missing or not this session's")
		}
		p.sessions.end(s)
	}
	p.setCookie(c.Response(), cookieSession, "", -time.Second)
	c.Response().Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return c.Redirect(http.StatusSeeOther, "/sign-in")
}
