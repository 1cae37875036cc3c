package operator

import (
	"strings"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
	"freeflow/rsu"
	"freeflow/tolling"
)

// query reads the parameters that lists of charges have.
type query struct{ *web.Query }

func queryOf(c echo.Context, known ...string) query { return query{web.QueryOf(c, known...)} }

func (q query) cursor() billing.Cursor {
	cursor, err := billing.ParseCursor(q.Text("after"))
	if err != nil {
		q.Refuse("after", "is "+err.Error()+"; pass on the 'next' of an answer unchanged")
	}
	return cursor
}

// chargeFilter reads what restricts a list of charges.
func (q query) chargeFilter() billing.Filter {
	f := billing.Filter{
		Vehicle: vehicleName(q.Text("vehicle")),
		Account: q.Text("account"),
		Status:  q.Text("status"),
		After:   q.cursor(),
	}
	switch f.Status {
	case "", billing.StatusCharged, billing.StatusExempt, billing.StatusReview, billing.StatusUnpaid:
	default:
		q.Refuse("status", "is none of charged, exempt, review, unpaid")
	}
	if from, ok := q.Instant("from"); ok {
		f.FromMicros = from.UnixMicro()
	}
	if to, ok := q.Instant("to"); ok {
		// To the books 0 means without end; nothing passed before 1970.
		f.ToMicros = max(to.UnixMicro(), 1)
		if f.ToMicros < f.FromMicros {
			q.Refuse("to", "is before from")
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
