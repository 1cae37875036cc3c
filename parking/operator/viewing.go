package operator

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/cashier"
)

// headerReason is where a member of staff says why; "reason" in the query is
// the same.
const headerReason = "Access-Reason"

// maxViewReason bounds the reason of a look, in bytes.
const maxViewReason = 500

// lookOf begins to note a look of a member of staff at people's stays. A bad
// reason is refused by the query, a missing one where the deployment wants one.
func (a *API) lookOf(c echo.Context, q *web.Query, page string) parking.View {
	reason := strings.TrimSpace(cmp.Or(q.Text("reason"), c.Request().Header.Get(headerReason)))
	switch {
	case len(reason) > maxViewReason || !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl):
		q.Refuse("reason", "may have at most 500 bytes of UTF-8 and no control characters")
	case reason == "" && a.NeedReason:
		q.Refuse("reason", "is missing: say why you look at this, as the parameter or in the header "+headerReason)
	}
	return parking.View{
		At: a.Clock.Now(), By: named(c, ""), Role: cmp.Or(strings.Join(web.Roles(c), ","), "operator"), Page: page, Reason: reason,
	}
}

// lookAtStays notes a list of stays, of which the first so many are shown: for
// each account by itself, with its own number, where a vehicle is asked for.
func lookAtStays(look parking.View, carPark, vehicle string, shown int) func([]parking.Stay) []parking.View {
	return func(list []parking.Stay) []parking.View {
		count := map[string]int{}
		for _, s := range list[:min(len(list), shown)] {
			count[s.Account]++
		}
		return looksAt(look, "stays", carPark, vehicle, count, min(len(list), shown))
	}
}

// lookAtAllocations notes a list of allocations, which bear no account: those
// of the vehicle's stays may see it.
func lookAtAllocations(look parking.View, carPark, vehicle string, shown int) func([]parking.Allocation, []string) []parking.View {
	return func(list []parking.Allocation, accounts []string) []parking.View {
		count := map[string]int{}
		for _, account := range accounts {
			count[account] = min(len(list), shown)
		}
		return looksAt(look, "allocations", carPark, vehicle, count, min(len(list), shown))
	}
}

func looksAt(look parking.View, what, carPark, vehicle string, count map[string]int, shown int) []parking.View {
	look.List, look.Kind, look.ID, look.Records = true, what, carPark, shown
	if vehicle == "" {
		look.Everybody = true
		return []parking.View{look}
	}
	look.Kind, look.Vehicle = what+" of a vehicle", vehicle
	var views []parking.View
	for account, n := range count {
		one := look
		one.Records = n
		if account != "" {
			one.Accounts = []string{account}
		}
		views = append(views, one)
	}
	if len(views) == 0 {
		views = append(views, look) // of nobody's account, or nothing was found
	}
	return views
}

// lookAtStay notes one stay with its evidence.
func lookAtStay(look parking.View) func(cashier.Evidence) []parking.View {
	return func(e cashier.Evidence) []parking.View {
		look := look
		look.Kind, look.ID, look.Records = "stay", e.Bill.Stay.ID, 1
		if e.Bill.Stay.Account != "" {
			look.Accounts = []string{e.Bill.Stay.Account}
		}
		return []parking.View{look}
	}
}
