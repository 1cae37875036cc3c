package motorist

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/billing/statement"
	"freeflow/billing/statement/desk"
	"freeflow/internal/audit"
	"freeflow/internal/web"
)

// statements shows the account's statements, latest first.
func (a *API) statements(c echo.Context, account string) error {
	q := web.QueryOf(c, "before", "limit")
	limit, before := q.Limit(24, 120), desk.Month(q)
	if err := q.Err(); err != nil {
		return err
	}
	list := []desk.Form{}
	ctx := c.Request().Context()
	err := a.Books.View(ctx, func(tx *books.Tx) error {
		found, err := tx.Statements(ctx, account, before, limit)
		for _, one := range found {
			list = append(list, desk.FormOf(one))
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"items": list})
}

// statement shows a statement of the account as JSON with its lines, as CSV or
// as PDF.
func (a *API) statement(c echo.Context, account string) error {
	q := web.QueryOf(c, "language", "after", "limit")
	page := desk.PageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	what, err := a.Desk.Issued(c.Request().Context(), param(c, "number"))
	if err == nil && what.Account != account {
		err = billing.ErrNotFound
	}
	if err != nil {
		return err
	}
	return a.Desk.Answer(c, what, page, nil)
}

// lines shows what was posted from one day to another.
func (a *API) lines(c echo.Context, account string) error {
	q := web.QueryOf(c, "from", "to", "currency", "after", "limit")
	from, to, currency := q.Needed("from"), q.Text("to"), q.Text("currency")
	page := desk.PageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	what, err := a.Desk.Range(c.Request().Context(), account, currency, from, to)
	if err != nil {
		return err
	}
	return a.Desk.Answer(c, what, page, nil)
}

// mostAtOnce bounds the messages of one instant.
const mostAtOnce = 4000

type textForm struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

type messageForm struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"`
	IssuedAt *string  `json:"issued_at"`
	ServedAt *string  `json:"served_at"`
	Number   string   `json:"number,omitempty"`
	Amount   string   `json:"amount,omitempty"`
	Currency string   `json:"currency,omitempty"`
	DueOn    string   `json:"due_on,omitempty"`
	En       textForm `json:"en"`
	Zh       textForm `json:"zh-HK"`
}

func (a *API) messageOf(n notice.Notice) messageForm {
	en, zh := notice.Write(n, statement.English), notice.Write(n, statement.Chinese)
	f := messageForm{
		ID: n.ID, Kind: n.Kind, IssuedAt: a.shown(n.IssuedAt), ServedAt: a.shown(n.ServedAt), Number: n.Number, Currency: n.Currency, En: textForm(en), Zh: textForm(zh),
	}
	if n.Currency != "" {
		f.Amount = billing.FormatCents(n.AmountCents)
	}
	if !n.DueOn.IsZero() {
		f.DueOn = n.DueOn.In(a.Zone).Format(time.DateOnly)
	}
	return f
}

// messages shows what the account was told, latest first.
func (a *API) messages(c echo.Context, account string) error {
	q := web.QueryOf(c, "after", "limit")
	place, limit := page(q, 2, 50, 200)
	var (
		before time.Time
		at     int64
	)
	if place != nil {
		at = q.Whole(place[0])
		before = time.UnixMicro(at + 1) // those of the same instant too
	}
	if err := q.Err(); err != nil {
		return err
	}
	var list []notice.Notice
	ctx := c.Request().Context()
	err := a.Books.View(ctx, func(tx *books.Tx) error {
		// As many more are asked for as were of that instant and shown before.
		for n := limit + 1; ; n *= 2 {
			found, err := tx.NoticesOf(ctx, account, "", before, n)
			if err != nil {
				return err
			}
			list = slices.DeleteFunc(slices.Clone(found), func(one notice.Notice) bool {
				return place != nil && one.IssuedAt.UnixMicro() == at && one.ID <= place[1]
			})
			if len(list) > limit || len(found) < n || n > mostAtOnce {
				return nil
			}
		}
	})
	if err != nil {
		return err
	}
	type item struct {
		messageForm
		place *string
	}
	var items []item
	for _, one := range list {
		items = append(items, item{a.messageOf(one), web.Cursor(digits(one.IssuedAt.UnixMicro()), one.ID)})
	}
	return paged(c, items, limit, func(i item) *string { return i.place })
}

type viewForm struct {
	ID string  `json:"id"`
	At *string `json:"at"`
	// Role is what who looked acts as; nobody is named.
	Role    string `json:"role"`
	Act     string `json:"act"`
	Page    string `json:"page"`
	About   string `json:"about"`
	Record  string `json:"record,omitempty"`
	Records int    `json:"records"`
	Reason  string `json:"reason,omitempty"`
	// Everybody tells that all accounts were looked at, not this one alone.
	Everybody bool `json:"everybody"`
}

// records are the kinds of subjects whose ids name one record of the account and
// nothing else.
var records = []string{"pass", "charge", "stay", "statement", "payment", "dispute"}

func (a *API) viewOf(s audit.Seen) viewForm {
	f := viewForm{
		ID: s.ID, At: a.shown(s.At), Role: s.By.Role, Act: string(s.Act), Page: s.Page, About: s.Subject.Kind, Records: s.Records, Reason: s.Reason, Everybody: s.Everybody,
	}
	if !s.Everybody && slices.Contains(records, s.Subject.Kind) {
		f.Record = s.Subject.ID
	}
	return f
}

// views shows who looked at the account's movements, latest first.
func (a *API) views(c echo.Context, account string) error {
	q := web.QueryOf(c, "after", "limit")
	place, limit := page(q, 1, 50, 200)
	if err := q.Err(); err != nil {
		return err
	}
	before := ""
	if place != nil {
		before = place[0]
	}
	var list []viewForm
	ctx := c.Request().Context()
	err := a.Books.View(ctx, func(tx *books.Tx) error {
		found, err := audit.Views(ctx, tx.Session(), account, before, limit+1)
		for _, one := range found {
			list = append(list, a.viewOf(one))
		}
		return err
	})
	if err != nil {
		return err
	}
	return paged(c, list, limit, func(v viewForm) *string { return web.Cursor(v.ID) })
}
