// Package web owns the plumbing that every HTTP surface of freeflow shares: an
// echo with safe defaults, problem documents (RFC 9457), bearer keys, strict
// JSON bodies, and a server that ends gracefully.
//
// Invariants: an error that is not meant for the asker is answered with
// "Internal error" and a request id, never with its text; every answer, errors
// included, carries the security headers; every body is bounded; the client's
// address is that of the connection, whatever X-Forwarded-For says; logs name
// the route, never the URL, because URLs carry plates.
//
// Not promised: TLS (the listener brings it) and who may do what (Bearer only
// says which key was shown).
package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
)

// DefaultBodyLimit bounds request bodies, in bytes, unless the route has a
// LimitBody of its own.
const DefaultBodyLimit = 1 << 20

// Keys of what the middleware keeps in an echo.Context.
const (
	keyRequestID = "web.request-id"
	keyBody      = "web.body"
	keyCaller    = "web.caller"
)

// NewEcho returns an echo with recovery from panics, request ids, security
// headers, bounded bodies and problem documents for errors. The clock measures
// how long requests take. Routes and more middleware are the caller's.
func NewEcho(log *slog.Logger, clk clock.Clock) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard) // everything worth saying goes to log
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = func(err error, c echo.Context) { Refuse(c, log, err) }
	e.Use(identify, logged(log, clk), secured, recovered(log), LimitBody(DefaultBodyLimit))
	return e
}

// RequestID returns the id of the request, which is also in the answer's
// X-Request-Id.
func RequestID(c echo.Context) string {
	id, _ := c.Get(keyRequestID).(string)
	return id
}

// identify gives the request an id: the asker's own if it is harmless, so that
// a proxy's trace stays whole, else a new one.
func identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !harmlessID(id) {
			var b [16]byte
			_, _ = rand.Read(b[:]) // never fails (crypto/rand)
			id = hex.EncodeToString(b[:])
		}
		c.Set(keyRequestID, id)
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		return next(c)
	}
}

// harmlessID keeps line breaks and essays out of the logs.
func harmlessID(id string) bool {
	if len(id) < 8 || len(id) > 64 {
		return false
	}
	for _, r := range id {
		ok := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_'
		if !ok {
			return false
		}
	}
	return true
}

// logged turns errors into answers, here rather than in echo so that the
// status is known, and notes every request at debug level.
func logged(log *slog.Logger, clk clock.Clock) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := clk.Now()
			if err := next(c); err != nil {
				c.Error(err)
			}
			log.LogAttrs(c.Request().Context(), slog.LevelDebug, "request",
				slog.String("request_id", RequestID(c)),
				slog.String("method", methodOf(c)),
				slog.String("route", c.Path()),
				slog.Int("status", c.Response().Status),
				slog.Int64("bytes", c.Response().Size),
				slog.Duration("took", clk.Now().Sub(start)))
			return nil
		}
	}
}

// secured sets headers that suit an API; pages replace the content policy and
// what they want cached.
func secured(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if c.Request().TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		}
		return next(c)
	}
}

// recovered turns a panic into an internal error, so that one broken request
// does not take the process along.
func recovered(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				r := recover()
				if r == nil {
					return
				}
				if err, ok := r.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(r) // net/http's own way to break off an answer
				}
				log.Error("panic", "request_id", RequestID(c), "route", c.Path(),
					"panic", fmt.Sprint(r), "stack", string(debug.Stack()))
				err = fmt.Errorf("panic: %v", r)
			}()
			return next(c)
		}
	}
}

// LimitBody bounds the body of a route, in bytes; it replaces the default, up
// or down. Reading past the limit fails with an error that is answered 413.
func LimitBody(limit int64) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			req := c.Request()
			body, ok := c.Get(keyBody).(io.ReadCloser)
			if !ok {
				body = req.Body
				c.Set(keyBody, body)
			}
			req.Body = http.MaxBytesReader(c.Response().Writer, body, limit)
			return next(c)
		}
	}
}

// Deadline gives a route's context an end after d. The handler must pass its
// context on; when it runs out the answer is 503. It replaces echo's Timeout
// middleware, which writes from two goroutines.
func Deadline(d time.Duration) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			ctx, cancel := context.WithTimeout(c.Request().Context(), d)
			defer cancel()
			req := c.Request()
			c.SetRequest(req.WithContext(ctx))
			err := next(c)
			// The error is answered under the connection's own context: this
			// one is cancelled by then, which would look like a lost client.
			c.SetRequest(req)
			return err
		}
	}
}

// methodOf returns a request's method for the log. A client may send any word
// as its method, a plate too.
func methodOf(c echo.Context) string {
	switch method := c.Request().Method; method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
