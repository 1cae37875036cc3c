package operator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/attendant"
	"freeflow/parking/finder"
)

// once reads the request's Idempotency-Key. It comes before the body is
// decoded, so that the fingerprint is of what was sent. No POST has parameters.
func once(c echo.Context) (*parking.Once, error) {
	if err := noQuery(c); err != nil {
		return nil, err
	}
	r, err := web.RepeatableRequest(c)
	if err != nil {
		return nil, err
	}
	return &parking.Once{Scope: r.Scope, Key: r.Key, Fingerprint: r.Fingerprint}, nil
}

// answerOf is a value as it is answered and kept for repetitions.
func answerOf(status int, v any, location string) parking.Answer {
	body, err := json.Marshal(v)
	if err != nil {
		// What is encoded here are this package's own structs.
		body = []byte(`{}`)
	}
	return parking.Answer{Status: status, Body: append(body, '\n'), Location: location}
}

// write answers with what is kept.
func write(c echo.Context, answer parking.Answer) error {
	media := echo.MIMEApplicationJSON
	if answer.Status >= 400 {
		media = web.ContentTypeProblem
	}
	web.Repeated(c, answer.Location, answer.Replayed)
	return c.Blob(answer.Status, media, answer.Body)
}

// keeping makes what an attendant needs in order to keep its answer.
func keeping[T any](key *parking.Once, status int, form func(T) any, location func(T) string) attendant.Keep[T] {
	return attendant.Keep[T]{Once: key, Encode: func(v T) parking.Answer {
		at := ""
		if location != nil {
			at = location(v)
		}
		return answerOf(status, form(v), at)
	}}
}

// respond answers with the result of a request, or its error: with the very
// bytes that were kept for its repetitions. What was done, and not only
// repeated, is followed by then, nil for nothing.
func respond[T any](c echo.Context, a *API, key *parking.Once, result attendant.Result[T], err error, then func(T)) error {
	switch {
	case result.Answer.Status == 0 && err == nil:
		return errors.New("a request with an idempotency key was done and its answer not kept")
	case result.Answer.Status == 0:
		return a.refused(c, key, err)
	case err == nil && !result.Answer.Replayed && then != nil:
		then(result.Value)
	}
	return write(c, result.Answer)
}

// refused answers with an error. One that says what was decided is kept under
// the key, so that a repetition gets the same answer even where it would be
// another by then; whatever else was kept under the key meanwhile is the answer.
func (a *API) refused(c echo.Context, key *parking.Once, err error) error {
	said := problem(err)
	answer, ok := decided(err)
	if !ok {
		return said
	}
	kept, err := a.Keeping.Do(c.Request().Context(), key, func(parking.Tx) (parking.Answer, error) { return answer, nil })
	switch {
	case errors.Is(err, parking.ErrKeyReused):
		return problem(err)
	case err != nil:
		return said // it was not done, and a repetition finds out anew
	}
	return write(c, kept)
}

// decided is the answer to be kept for an error that says what was decided;
// false for one of the request's form, or that another try may mend.
func decided(err error) (parking.Answer, bool) {
	var limit *attendant.LimitError
	var noBay *attendant.NoBayError
	var full *attendant.FullError
	var inside *attendant.InsideError
	switch {
	case errors.Is(err, attendant.ErrBusy), errors.Is(err, parking.ErrKeyReused), errors.Is(err, parking.ErrKeyBusy), errors.Is(err, parking.ErrStale):
		return parking.Answer{}, false
	case errors.As(err, &limit), errors.As(err, &noBay), errors.As(err, &full), errors.As(err, &inside), errors.Is(err, parking.ErrBayTaken), errors.Is(err, parking.ErrConflict):
	default:
		return parking.Answer{}, false
	}
	var p *web.Problem
	if !errors.As(problem(err), &p) {
		return parking.Answer{}, false
	}
	return answerOf(p.Status, p, ""), true
}

// problem says what an error of the domain looks like from outside; others
// stay as they are and tell no internals.
func problem(err error) error {
	var limit *attendant.LimitError
	var noBay *attendant.NoBayError
	var full *attendant.FullError
	var inside *attendant.InsideError
	if p, ok := noPrice(err); ok {
		return p
	}
	switch {
	case errors.As(err, &limit):
		return limitProblem(limit)
	case errors.As(err, &noBay):
		p := web.NewProblem(http.StatusConflict, "no-bay", "No fitting bay is left",
			"every bay that fits this vehicle is taken; try again when one has left")
		return p.With("as_of", instant(noBay.At))
	case errors.As(err, &inside):
		p := web.NewProblem(http.StatusConflict, "already-inside", "The vehicle has a bay already",
			"its plate or tag stands in a bay, or may; staff can give it another all the same, by naming the bay")
		return p.With("carpark", inside.CarPark).With("allocation", inside.Allocation)
	case errors.As(err, &full):
		p := web.NewProblem(http.StatusConflict, "pool-exhausted", "The pool has no place left over this time",
			"choose another time or car park")
		return p.With("promised", full.Peak).With("limit", full.Limit)
	case errors.Is(err, finder.ErrFull):
		return web.Busy("too many drivers are looking for a space")
	case errors.Is(err, attendant.ErrBusy):
		return web.Busy("too many requests are waiting")
	case errors.Is(err, attendant.ErrInventoryFirst):
		return web.NewProblem(http.StatusConflict, "inventory-first", "The machine's inventory is wanted first",
			"send the inventory of this boot; no command is given before")
	case errors.Is(err, parking.ErrKeyReused):
		return web.KeyReused()
	case errors.Is(err, parking.ErrKeyBusy):
		return web.KeyBusy()
	case errors.Is(err, parking.ErrBayTaken):
		return web.NewProblem(http.StatusConflict, "bay-taken", "The bay is taken", "choose another bay, or end what holds this one first")
	case errors.Is(err, parking.ErrNotFound):
		return web.NotFound(missing(err))
	case errors.Is(err, parking.ErrStale):
		// No POST has a precondition: 412 would speak of one.
		return web.NewProblem(http.StatusConflict, "changed", "Changed since it was read", "others changed it at the same time; try again")
	case errors.Is(err, parking.ErrConflict):
		return web.NewProblem(http.StatusConflict, "state", "Not in this state", clean(err))
	case errors.Is(err, parking.ErrInvalid):
		return web.NewProblem(http.StatusUnprocessableEntity, "invalid", "This can never be done", clean(err))
	}
	return err
}

// isNotFound reports whether what was asked for does not exist.
func isNotFound(err error) bool { return errors.Is(err, parking.ErrNotFound) }

// mostDetail bounds what is told of an error, in bytes.
const mostDetail = 1000

// clean is the text of an error of the domain, whose texts name no marks and no
// internals, bounded; without the word that its status says anyway.
func clean(err error) string {
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	for _, kind := range []error{parking.ErrNotFound, parking.ErrConflict, parking.ErrInvalid} {
		text = strings.TrimPrefix(text, kind.Error()+": ")
		if rest, ok := strings.CutSuffix(text, ": "+kind.Error()); ok {
			text = rest
		}
	}
	if len(text) > mostDetail {
		text = strings.ToValidUTF8(text[:mostDetail], "")
	}
	return text
}

// missing says what there is not, in a sentence.
func missing(err error) string {
	var known *parking.NotFoundError
	if errors.As(err, &known) {
		return known.Error()
	}
	// What was being done when it was missed is nobody's affair outside: of
	// "reading allocation x: allocation x: not found" the last part names it.
	text := clean(err)
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	if strings.HasPrefix(text, "there is no ") {
		return text
	}
	return "there is no " + doing.ReplaceAllString(text, "")
}

// doing is the word for what was being done, as in "clearing alarm x".
var doing = regexp.MustCompile(`^[a-z]+ing (the )?`)

// ofList is the problem of a list whose car park is there: what was not found
// is the place to go on from.
func ofList(err error) error {
	if isNotFound(err) {
		return web.BadParameter("after", "is not the next of an answer before")
	}
	return problem(err)
}

func limitProblem(e *attendant.LimitError) *web.Problem {
	p := web.NewProblem(http.StatusUnprocessableEntity, "limit", "The vehicle may not enter", clean(e))
	type broken struct {
		Limit   string `json:"limit"`
		Allowed int    `json:"allowed,omitempty"`
		Given   int    `json:"given,omitempty"`
	}
	all := make([]broken, len(e.Obstacles))
	for i, o := range e.Obstacles {
		all[i] = broken{o.Limit, o.Allowed, o.Given}
	}
	if len(all) > 0 {
		p = p.With("limit", all[0].Limit)
		if all[0].Allowed > 0 {
			p = p.With("allowed", all[0].Allowed).With("given", all[0].Given)
		}
	}
	return p.With("limits", all)
}

// refusal keeps what was decided about a vehicle, so that a repetition of the
// request gets the same answer; other errors are tried anew.
func refusal(err error) (parking.Answer, bool) {
	var limit *attendant.LimitError
	var noBay *attendant.NoBayError
	var inside *attendant.InsideError
	if !errors.As(err, &limit) && !errors.As(err, &noBay) && !errors.As(err, &inside) {
		return parking.Answer{}, false
	}
	return decided(err)
}

// instant is a time as the API writes it; nil where there is none.
func instant(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format("2006-01-02T15:04:05.000000Z")
	return &text
}

// tagged answers a GET with a strong ETag of its body, or 304 if the asker has
// it already.
func tagged(c echo.Context, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding an answer: %w", err)
	}
	sum := sha256.Sum256(body)
	return taggedAs(c, `"`+hex.EncodeToString(sum[:12])+`"`, append(body, '\n'))
}

func taggedAs(c echo.Context, etag string, body []byte) error {
	c.Response().Header().Set("ETag", etag)
	// Nobody's cache but the asker's own: much of it is about one driver.
	c.Response().Header().Set("Cache-Control", "private, no-cache")
	for _, known := range tagsOf(c, "If-None-Match") {
		if known == "*" || strings.TrimPrefix(known, "W/") == etag {
			return c.NoContent(http.StatusNotModified)
		}
	}
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, body)
}

// named says who asks: the name of the key, or of the person that it speaks for.
func named(c echo.Context, by string) string {
	if by != "" {
		return by
	}
	if caller := web.Caller(c); caller != "" {
		return caller
	}
	return "motorist"
}

// nextCursor cuts a list that was asked for with one item more than the limit.
func nextCursor[T any](items []T, limit int, id func(T) string) ([]T, *string) {
	if len(items) <= limit {
		return items, nil
	}
	items = items[:limit]
	last := id(items[limit-1])
	return items, &last
}
