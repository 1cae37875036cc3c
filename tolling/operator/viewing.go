package operator

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/web"
)

// Viewing reads for members of staff: what is noted is left in the transaction
// of the read, and where that fails nothing is shown.
type Viewing interface {
	// ViewHistory is Reading.History; note makes the rows of what was read.
	ViewHistory(ctx context.Context, passID string, note func(billing.History) []audit.Access) (billing.History, error)
	// ViewPasses is Reading.List.
	ViewPasses(ctx context.Context, f billing.Filter, note func([]billing.Pass) []audit.Access) ([]billing.Pass, error)
	// NoteView leaves the row of a view that is about to begin.
	NoteView(ctx context.Context, a audit.Access) error
}

// headerReason is where a member of staff says why; "reason" in the query is
// the same.
const headerReason = "Access-Reason"

// maxViewReason bounds the reason of a view, in bytes.
const maxViewReason = 500

// actorOf is who asks.
func actorOf(c echo.Context) audit.Actor {
	role := strings.Join(web.Roles(c), ",")
	if role == "" {
		role = "operator"
	}
	return audit.Actor{Name: web.Caller(c), Role: role}
}

// onBehalf tells the stores who asks.
func onBehalf(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		c.SetRequest(r.WithContext(audit.WithActor(r.Context(), actorOf(c))))
		return next(c)
	}
}

// view is one request that shows people's movements.
type view struct {
	access audit.Access
	zone   *time.Location
	// noted are the accounts that have their row already: a list of many pages
	// leaves one an account.
	noted map[string]bool
	// next are those that get theirs with the read under way; "" stands for
	// passes of nobody's account.
	next []string
}

// viewOf begins to note a view. A bad reason is refused by the query, a missing
// one where the deployment wants one.
func (a *API) viewOf(c echo.Context, q *web.Query, act audit.Act, page string) *view {
	reason := q.Text("reason")
	if reason == "" {
		reason = c.Request().Header.Get(headerReason)
	}
	reason = strings.TrimSpace(reason)
	switch {
	case len(reason) > maxViewReason || !printable(reason, ""):
		q.Refuse("reason", "may have at most 500 bytes of UTF-8 and no control characters")
	case reason == "" && a.NeedReason:
		q.Refuse("reason", "is missing: say why you look at this, as the parameter or in the header "+headerReason)
	}
	return &view{
		access: audit.Access{At: a.Clock.Now(), By: actorOf(c), Act: act, Page: page, Reason: reason},
		zone:   a.Network.Zone(), noted: map[string]bool{},
	}
}

// pass notes one pass, explained.
func (v *view) pass(h billing.History) []audit.Access {
	a := v.access
	a.Subject, a.Records = audit.Subject{Kind: "pass", ID: h.Pass.ID}, 1
	a.Accounts = accountsOf([]billing.Pass{h.Pass})
	// Whoever it was before may see that it was looked at, too: the revisions
	// are shown.
	for _, r := range h.Revisions {
		if r.Account != "" {
			a.Accounts = append(a.Accounts, r.Account)
		}
	}
	return []audit.Access{a}
}

// passes notes a page of a list, of which the first so many are shown. Accounts
// that have their row already get no second one. The read may be tried again,
// so that nothing counts as noted before done says so.
func (v *view) passes(f billing.Filter, shown int) func([]billing.Pass) []audit.Access {
	return func(passes []billing.Pass) []audit.Access {
		passes = passes[:min(len(passes), shown)]
		// How many, for each account by itself: nobody learns how often
		// another drove the same car.
		count := map[string]int{}
		for i := range passes {
			count[passes[i].Account]++
		}
		accounts := accountsOf(passes)
		if f.Account != "" {
			accounts = append(accounts, f.Account)
		}
		if count[""] > 0 || len(accounts) == 0 {
			accounts = append(accounts, "")
		}
		slices.Sort(accounts)
		v.next = v.next[:0]
		var rows []audit.Access
		for _, account := range slices.Compact(accounts) {
			if v.noted[account] || account == "" && len(passes) == 0 && len(v.noted) > 0 {
				continue
			}
			a := v.access
			a.Subject, a.Records = v.subject(f), count[account]
			if account != "" {
				a.Accounts = []string{account}
			}
			if f.Vehicle != "" {
				a.Personal = map[string]string{"vehicle": f.Vehicle}
			}
			v.next = append(v.next, account)
			rows = append(rows, a)
		}
		return rows
	}
}

// done says that the read under way stands, with its rows.
func (v *view) done() {
	for _, account := range v.next {
		v.noted[account] = true
	}
}

// everybody notes a list that is about nobody in particular; how many records
// it will show is not known yet.
func (v *view) everybody(f billing.Filter) audit.Access {
	a := v.access
	a.Subject, a.Accounts = v.subject(f), []string{audit.Everybody}
	return a
}

// registry notes that the registry was taken away.
func (v *view) registry(version int64) audit.Access {
	a := v.access
	a.Subject, a.Accounts = audit.Subject{Kind: "registry", ID: strconv.FormatInt(version, 10)}, []string{audit.Everybody}
	return a
}

// subject says what a list is about, without plates and tags.
func (v *view) subject(f billing.Filter) audit.Subject {
	kind := "passes"
	switch {
	case f.Vehicle != "":
		kind = "passes of a vehicle"
	case f.Account != "":
		kind = "passes of an account"
	case f.Status != "":
		kind = "passes in " + f.Status
	}
	span := ""
	if f.FromMicros != 0 || f.ToMicros != 0 {
		end := func(micros int64) string {
			if micros == 0 {
				return ""
			}
			return time.UnixMicro(micros).In(v.zone).Format(time.RFC3339)
		}
		span = end(f.FromMicros) + "/" + end(f.ToMicros)
	}
	return audit.Subject{Kind: kind, ID: span}
}

// viewPasses reads and notes a page of which the first so many are shown.
func (a *API) viewPasses(seen *view) func(ctx context.Context, f billing.Filter, shown int) ([]billing.Pass, error) {
	return func(ctx context.Context, f billing.Filter, shown int) ([]billing.Pass, error) {
		passes, err := a.Books.ViewPasses(ctx, f, seen.passes(f, shown))
		if err == nil {
			seen.done()
		}
		return passes, err
	}
}

func accountsOf(passes []billing.Pass) []string {
	var accounts []string
	for i := range passes {
		if passes[i].Account != "" {
			accounts = append(accounts, passes[i].Account)
		}
	}
	return accounts
}
