package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"
)

// ContentTypeProblem is the media type of a problem document (RFC 9457).
const ContentTypeProblem = "application/problem+json"

// statusClientGone is what the log says of a request whose client went away
// before the answer; nobody receives it.
const statusClientGone = 499

// Problem is an RFC 9457 problem document, and the error that a handler
// returns in order to answer with it. What it says is read by strangers: no
// internals, no plates or tags that the asker did not send.
type Problem struct {
	// Type is a URI reference that names the kind of problem, "/problems/"
	// followed by a slug.
	Type string `json:"type"`
	// Title is the same for every problem of the type.
	Title string `json:"title"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Detail says what was wrong this time and how to mend it.
	Detail string `json:"detail,omitempty"`
	// RequestID is what to quote when asking the operators.
	RequestID string `json:"request_id,omitempty"`
	// Errors lists every single fault where there can be several.
	Errors []Fault `json:"errors,omitempty"`
	// Extra are members that the type of problem adds, for instance the limit
	// that a vehicle breaks. They cannot replace the members above.
	Extra map[string]any `json:"-"`
	// Header is added to the answer, for instance Retry-After.
	Header http.Header `json:"-"`
}

// Fault is one of several faults of one request.
type Fault struct {
	// Detail says what is wrong.
	Detail string `json:"detail"`
	// Pointer is the JSON pointer of the member at fault, Parameter the query
	// parameter, Line the line of a CSV body, from 1. At most one is set.
	Pointer   string `json:"pointer,omitempty"`
	Parameter string `json:"parameter,omitempty"`
	Line      int    `json:"line,omitempty"`
}

// NewProblem makes a problem of the type "/problems/<slug>". An empty title
// becomes the status' own text.
func NewProblem(status int, slug, title, detail string) *Problem {
	if title == "" {
		title = http.StatusText(status)
	}
	return &Problem{Type: "/problems/" + slug, Title: title, Status: status, Detail: detail}
}

// With adds a member to the document and returns the problem.
func (p *Problem) With(name string, value any) *Problem {
	if p.Extra == nil {
		p.Extra = make(map[string]any)
	}
	p.Extra[name] = value
	return p
}

// Error returns title and detail.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// MarshalJSON writes the document with its extension members beside the
// standard ones, as RFC 9457 section 3.2 has them.
func (p *Problem) MarshalJSON() ([]byte, error) {
	type plain Problem
	standard, err := json.Marshal((*plain)(p))
	if err != nil || len(p.Extra) == 0 {
		return standard, err
	}
	members := make(map[string]any, len(p.Extra)+6)
	for name, value := range p.Extra {
		members[name] = value
	}
	var own map[string]json.RawMessage
	if err := json.Unmarshal(standard, &own); err != nil {
		return nil, err
	}
	for name, value := range own {
		members[name] = value
	}
	return json.Marshal(members)
}

// BadParameter is the 400 for a query parameter that cannot be understood.
func BadParameter(name, detail string) *Problem {
	p := NewProblem(http.StatusBadRequest, "bad-parameter", "A query parameter is not valid", name+": "+detail)
	p.Errors = []Fault{{Detail: detail, Parameter: name}}
	return p
}

// NotFound is the 404 for a thing that does not exist, or not for the asker.
func NotFound(detail string) *Problem {
	return NewProblem(http.StatusNotFound, "not-found", "", detail)
}

// Busy is the 503 for work of which only so much is done at a time.
func Busy(detail string) *Problem {
	p := NewProblem(http.StatusServiceUnavailable, "busy", "Busy", detail+"; try again in a few seconds")
	p.Header = http.Header{"Retry-After": {"5"}}
	return p
}

// problemOf says what an error looks like from outside. The second result is
// false if the error is none of the asker's business and has to be logged.
func problemOf(err error) (*Problem, bool) {
	var p *Problem
	if errors.As(err, &p) {
		cp := *p
		return &cp, p.Status < http.StatusInternalServerError
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return NewProblem(http.StatusRequestEntityTooLarge, "too-large", "",
			fmt.Sprintf("the body may have at most %d bytes", tooLarge.Limit)), true
	}
	var he *echo.HTTPError
	if errors.As(err, &he) && he.Code >= 400 && he.Code < 500 {
		detail := ""
		if text, ok := he.Message.(string); ok && text != http.StatusText(he.Code) {
			detail = text
		}
		return NewProblem(he.Code, slugOf(he.Code), "", detail), true
	}
	if errors.Is(err, context.DeadlineExceeded) {
		p := NewProblem(http.StatusServiceUnavailable, "too-slow", "",
			"the answer took too long; ask again later or for less")
		p.Header = http.Header{"Retry-After": {"5"}}
		return p, false
	}
	return NewProblem(http.StatusInternalServerError, "internal", "Internal error",
		"the fault is ours and has been recorded under the request id"), false
}

func slugOf(status int) string {
	switch status {
	case http.StatusNotFound:
		return "not-found"
	case http.StatusMethodNotAllowed:
		return "method-not-allowed"
	case http.StatusUnauthorized:
		return "unauthorized"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusUnsupportedMediaType:
		return "unsupported-media-type"
	case http.StatusRequestEntityTooLarge:
		return "too-large"
	case http.StatusTooManyRequests:
		return "too-many-requests"
	default:
		return "bad-request"
	}
}

// Diagnose says what err looks like from outside, logs it if it is ours, and
// sets the answer's headers. It returns nil where nothing can be answered any
// more: the answer has begun, or the client has gone. Those who answer with
// something else than a problem document, a page for instance, begin with it.
func Diagnose(c echo.Context, log *slog.Logger, err error) *Problem {
	if c.Response().Committed {
		// Half an answer is out: nothing can be said any more but to the log.
		if c.Request().Context().Err() == nil {
			log.Error("answer broken off", "request_id", RequestID(c), "route", c.Path(), "error", err)
		}
		return nil
	}
	p, expected := problemOf(err)
	p.RequestID = RequestID(c)
	if !expected {
		if c.Request().Context().Err() == context.Canceled {
			c.Response().Status = statusClientGone
			return nil
		}
		log.Error("request failed", "request_id", p.RequestID, "method", methodOf(c), "route", c.Path(),
			"status", p.Status, "error", err)
	}
	for name, values := range p.Header {
		c.Response().Header()[name] = values
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return p
}

// Refuse answers with the problem document that belongs to err, without a body
// to HEAD. It does nothing where Diagnose returns nil.
func Refuse(c echo.Context, log *slog.Logger, err error) {
	p := Diagnose(c, log, err)
	if p == nil {
		return
	}
	if c.Request().Method == http.MethodHead {
		c.Response().WriteHeader(p.Status)
		return
	}
	body, mErr := json.Marshal(p)
	if mErr != nil {
		log.Error("encoding problem", "request_id", p.RequestID, "error", mErr)
		c.Response().WriteHeader(http.StatusInternalServerError)
		return
	}
	if wErr := c.Blob(p.Status, ContentTypeProblem, append(body, '\n')); wErr != nil {
		log.Debug("writing problem", "request_id", p.RequestID, "error", wErr)
	}
}
