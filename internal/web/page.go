package web

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// Cursor is a place in a list, as a page gives it for "after": parts without a
// line feed.
func Cursor(parts ...string) *string {
	next := base64.RawURLEncoding.EncodeToString([]byte(strings.Join(parts, "\n")))
	return &next
}

// Place reads the parameter "after" as Cursor wrote it; nil if it is absent.
func (q *Query) Place(parts int) []string {
	text := q.Text("after")
	if text == "" {
		return nil
	}
	plain, err := base64.RawURLEncoding.DecodeString(text)
	place := strings.Split(string(plain), "\n")
	if err != nil || len(place) != parts || !storable(string(plain)) {
		q.Refuse("after", "is not what a page gave as next")
		return nil
	}
	return place
}

// Whole reads a whole number that is a part of a place.
func (q *Query) Whole(part string) int64 {
	n, err := strconv.ParseInt(part, 10, 64)
	if err != nil {
		q.Refuse("after", "is not what a page gave as next")
	}
	return n
}

// Shown is an instant as it is answered, in UTC; nil for none.
func Shown(at time.Time) *string { return ShownIn(at, time.UTC) }

// ShownIn is Shown in a zone.
func ShownIn(at time.Time, zone *time.Location) *string {
	if at.IsZero() {
		return nil
	}
	text := at.In(zone).Format(time.RFC3339Nano)
	return &text
}

// Repeated sets the headers of an answer that is kept for repetitions: where
// what it made is (may be empty), and whether it was given before.
func Repeated(c echo.Context, location string, before bool) {
	if location != "" {
		c.Response().Header().Set(echo.HeaderLocation, location)
	}
	if before {
		c.Response().Header().Set("Idempotent-Replayed", "true")
	}
}
