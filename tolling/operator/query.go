package operator

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
	"freeflow/rsu"
	"freeflow/tolling"
)

// maxParameter bounds a query parameter, in bytes.
const maxParameter = 2048

// query reads query parameters and keeps the first fault.
type query struct {
	values url.Values
	fault  *web.Problem
}

// queryOf reads the parameters of a request; only known ones are allowed, each
// once.
func queryOf(c echo.Context, known ...string) *query {
	q := &query{}
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		q.refuse("query", "is not properly encoded")
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
			q.refuse(name, "is not known here; there are "+strings.Join(known, ", "))
		case len(values[name]) > 1:
			q.refuse(name, "is given more than once")
		case len(values[name][0]) > maxParameter:
			q.refuse(name, "is too long")
		}
	}
	return q
}

func (q *query) refuse(name, detail string) {
	if q.fault == nil {
		q.fault = web.BadParameter(name, detail)
	}
}

// err returns the fault as an error, nil if there is none.
func (q *query) err() error {
	if q.fault == nil {
		return nil
	}
	return q.fault
}

func (q *query) text(name string) string { return q.values.Get(name) }

// instant reads a time, in microseconds since the Unix epoch; absent is ok =
// false.
func (q *query) instant(name string) (micros int64, ok bool) {
	// A "+" that was not encoded arrives as a space; there is no other way
	// for one to get into such a time.
	text := strings.ReplaceAll(q.values.Get(name), " ", "+")
	if text == "" {
		return 0, false
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || strings.Contains(text, ",") {
		q.refuse(name, "is not a time; write it as 2026-11-23T08:00:00+08:00 or 2026-11-23T00:00:00Z")
		return 0, false
	}
	return t.UnixMicro(), true
}

// limit reads how many rows are asked for.
func (q *query) limit(usual, most int) int {
	text := q.values.Get("limit")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		q.refuse("limit", fmt.Sprintf("is not a whole number from 1 to %d", most))
		return usual
	}
	return n
}

func (q *query) cursor() billing.Cursor {
	cursor, err := billing.ParseCursor(q.values.Get("after"))
	if err != nil {
		q.refuse("after", "is "+err.Error()+"; pass on the 'next' of an answer unchanged")
	}
	return cursor
}

// chargeFilter reads what restricts a list of charges.
func (q *query) chargeFilter() billing.Filter {
	f := billing.Filter{
		Vehicle: vehicleName(q.text("vehicle")),
		Account: q.text("account"),
		Status:  q.text("status"),
		After:   q.cursor(),
	}
	switch f.Status {
	case "", billing.StatusCharged, billing.StatusExempt, billing.StatusReview, billing.StatusUnpaid:
	default:
		q.refuse("status", "is none of charged, exempt, review, unpaid")
	}
	if micros, ok := q.instant("from"); ok {
		f.FromMicros = micros
	}
	if micros, ok := q.instant("to"); ok {
		// To the books 0 means without end; nothing passed before 1970.
		f.ToMicros = max(micros, 1)
		if f.ToMicros < f.FromMicros {
			q.refuse("to", "is before from")
		}
	}
	return f
}

// vehicleName brings a vehicle's name into the form in which the books have
// it, however it was typed: "ab 12-34" is "AB1234", "tag:e28f" is "tag:E28F".
func vehicleName(name string) string {
	if tag, ok := strings.CutPrefix(name, tolling.TagVehicle("")); ok {
		return tolling.TagVehicle(strings.ToUpper(tag))
	}
	if plate, ok := strings.CutPrefix(name, tolling.PlateVehicle("")); ok {
		return tolling.PlateVehicle(rsu.NormalizePlate(plate))
	}
	return rsu.NormalizePlate(name)
}
