package operator

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
	"freeflow/internal/audit"
	"freeflow/internal/web"
)

// maxQuery bounds what accounts are looked for by, in bytes.
const maxQuery = 200

// list finds accounts by id, part of a name, or plate, a page at a time: whose
// data it showed is noted.
func (a *Accounts) list(c echo.Context) error {
	q := web.QueryOf(c, "query", "state", "after", "limit", "reason")
	f := books.AccountFilter{Query: strings.TrimSpace(q.Text("query")), State: q.Text("state"), After: q.Text("after")}
	limit, reason := q.Limit(50, 200), q.Text("reason")
	if len(f.Query) > maxQuery || !utf8.ValidString(f.Query) || strings.ContainsRune(f.Query, 0) {
		q.Refuse("query", "must be text of at most 200 bytes")
	}
	switch f.State {
	case "", account.Open, account.Closing, account.Closed:
	default:
		q.Refuse("state", "must be open, closing or closed")
	}
	if len(f.After) > maxQuery || !utf8.ValidString(f.After) || strings.ContainsRune(f.After, 0) {
		q.Refuse("after", "is not what a page gave as next")
	}
	if err := q.Err(); err != nil {
		return err
	}
	f.Plate, f.Limit = a.Plate(f.Query), limit+1
	var page web.Page[accountForm]
	ctx := c.Request().Context()
	err := a.Books.Do(ctx, func(tx *books.Tx) error {
		list, err := tx.Accounts(ctx, f)
		if err != nil {
			return err
		}
		page = web.Page[accountForm]{Items: []accountForm{}}
		if len(list) > limit {
			list = list[:limit]
			page.Next = &list[limit-1].ID
		}
		var shown []string
		for _, one := range list {
			page.Items = append(page.Items, accountOf(one))
			shown = append(shown, one.ID)
		}
		return audit.Note(ctx, tx.Session(), audit.Access{
			At: a.Clock.Now(), By: by(c), Act: audit.Listed, Page: "GET /v1/accounts", Subject: audit.Subject{Kind: "accounts", ID: f.State},
			Accounts: shown, Records: len(list), Reason: reason, Personal: map[string]any{"query": f.Query},
		})
	})
	if err != nil {
		return problem(err)
	}
	web.LinkNext(c, page.Next)
	return c.JSON(http.StatusOK, page)
}

type openForm struct {
	Receivable string  `json:"receivable"`
	Kind       string  `json:"kind"`
	Vehicle    string  `json:"vehicle,omitempty"`
	OccurredAt *string `json:"occurred_at"`
	Amount     string  `json:"amount"`
	ToPay      string  `json:"to_pay"`
	Hold       string  `json:"hold,omitempty"`
}

// balance shows what an account owes and holds now, and what it has not paid, a
// page at a time; all of one instant.
func (a *Accounts) balance(c echo.Context) error {
	q := web.QueryOf(c, "after", "limit", "reason")
	limit, reason := q.Limit(50, 500), q.Text("reason")
	var (
		afterMicros int64
		afterID     string
	)
	if place := q.Place(2); place != nil {
		afterMicros, afterID = q.Whole(place[0]), place[1]
	}
	if err := q.Err(); err != nil {
		return err
	}
	var view struct {
		Account  string     `json:"account"`
		State    string     `json:"state"`
		Currency string     `json:"currency"`
		Owed     string     `json:"owed"`
		Held     string     `json:"held"`
		Open     []openForm `json:"open"`
		Next     *string    `json:"next"`
	}
	ctx, id := c.Request().Context(), c.Param("id")
	err := a.Books.Do(ctx, func(tx *books.Tx) error {
		stands, err := tx.Account(ctx, id)
		if err != nil {
			return err
		}
		b, err := tx.AccountBalance(ctx, id, a.Currency, afterMicros, afterID, limit+1)
		if err != nil {
			return err
		}
		view.Account, view.State, view.Currency = id, stands.State, a.Currency
		view.Owed, view.Held = billing.FormatCents(b.OwedCents), billing.FormatCents(b.HeldCents)
		view.Open, view.Next = []openForm{}, nil
		if len(b.Open) > limit {
			b.Open = b.Open[:limit]
			last := b.Open[limit-1]
			view.Next = web.Cursor(strconv.FormatInt(last.OccurredMicros, 10), last.ID)
		}
		for _, r := range b.Open {
			view.Open = append(view.Open, openForm{
				r.ID, r.Kind, r.Vehicle, shown(time.UnixMicro(r.OccurredMicros)), billing.FormatCents(r.AmountCents), billing.FormatCents(r.RestCents()), r.Hold,
			})
		}
		return audit.Note(ctx, tx.Session(), audit.Access{
			At: a.Clock.Now(), By: by(c), Act: audit.Viewed, Page: "GET /v1/accounts/{id}/balance",
			Subject: audit.Subject{Kind: "account", ID: id}, Accounts: []string{id}, Records: len(b.Open), Reason: reason,
		})
	})
	if err != nil {
		return problem(err)
	}
	web.LinkNext(c, view.Next)
	return c.JSON(http.StatusOK, view)
}
