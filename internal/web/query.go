package web

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
)

// maxParameter bounds a query parameter, in bytes.
const maxParameter = 2048

// Query reads query parameters and keeps the first fault, so that a handler
// asks for all and looks once, with Err.
type Query struct {
	values url.Values
	fault  *Problem
}

// QueryOf returns the parameters of a request; only known ones are allowed,
// each once.
func QueryOf(c echo.Context, known ...string) *Query {
	q := &Query{}
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		q.Refuse("query", "is not properly encoded")
		return q
	}
	q.values = values
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names) // so that the same request gets the same answer
	for _, name := range names {
		switch {
		case !slices.Contains(known, name):
			if len(known) == 0 {
				q.Refuse(name, "is not known here; there are no parameters")
				continue
			}
			q.Refuse(name, "is not known here; there are "+strings.Join(known, ", "))
		case len(values[name]) > 1:
			q.Refuse(name, "is given more than once")
		case len(values[name][0]) > maxParameter:
			q.Refuse(name, "is too long")
		case !storable(values[name][0]):
			q.Refuse(name, "is not text in UTF-8")
		}
	}
	return q
}

// storable tells whether a store takes a text: UTF-8 without U+0000.
func storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// Refuse notes what is wrong with a parameter, unless something else was wrong
// before.
func (q *Query) Refuse(name, detail string) {
	if q.fault == nil {
		q.fault = BadParameter(name, detail)
	}
}

// Err returns the fault as an error, a 400; nil if there is none.
func (q *Query) Err() error {
	if q.fault == nil {
		return nil
	}
	return q.fault
}

// Text returns the parameter as it came; empty if it is absent.
func (q *Query) Text(name string) string { return q.values.Get(name) }

// Needed returns the parameter, which may not be empty.
func (q *Query) Needed(name string) string {
	text := q.values.Get(name)
	if text == "" {
		q.Refuse(name, "is missing")
	}
	return text
}

// Bool reads "true" or "false"; absent is false.
func (q *Query) Bool(name string) bool {
	switch q.values.Get(name) {
	case "", "false", "0":
		return false
	case "true", "1":
		return true
	}
	q.Refuse(name, "is neither true nor false")
	return false
}

// Instant reads a time with offset; absent is ok = false.
func (q *Query) Instant(name string) (at time.Time, ok bool) {
	// A "+" that was not encoded arrives as a space; there is no other way
	// for one to get into such a time.
	text := strings.ReplaceAll(q.values.Get(name), " ", "+")
	if text == "" {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || strings.Contains(text, ",") {
		q.Refuse(name, "is not a time; write it as 2026-11-23T08:00:00+08:00 or 2026-11-23T00:00:00Z")
		return time.Time{}, false
	}
	return t, true
}

// Limit reads how many rows are asked for.
func (q *Query) Limit(usual, most int) int {
	text := q.values.Get("limit")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		q.Refuse("limit", fmt.Sprintf("is not a whole number from 1 to %d", most))
		return usual
	}
	return n
}

// Page is one page of a list; Next, null at the end, is the parameter "after"
// of the page that follows.
type Page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

// LinkNext says in a header where the next page is; nil for none.
func LinkNext(c echo.Context, next *string) {
	if next == nil {
		return
	}
	values := c.Request().URL.Query()
	values.Set("after", *next)
	c.Response().Header().Set("Link", "<"+c.Request().URL.Path+"?"+values.Encode()+`>; rel="next"`)
}
