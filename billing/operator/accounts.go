package operator

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

//go:embed openapi_accounts.json
var openAPIAccounts []byte

// Accounts is the topic of accounts, vehicles and tags.
type Accounts struct {
	Books AccountBooks
	Clock clock.Clock
	// Plate and Tag give the compared forms (contract section 3).
	Plate func(string) string
	Tag   func(string) (string, error)
	// KnowsClass tells the network's classes.
	KnowsClass func(string) bool
	// Currency is the network's.
	Currency string
}

// AccountBooks is what the topic needs of the books.
type AccountBooks interface {
	Repeater
	Do(ctx context.Context, fn func(*books.Tx) error) error
}

// OpenAPI is the topic's part of the document.
func (a *Accounts) OpenAPI() []byte { return append([]byte(nil), openAPIAccounts...) }

// Routes adds the topic's routes.
func (a *Accounts) Routes(g *echo.Group) {
	timed := web.Deadline(usualTime)
	g.POST("/v1/accounts", a.open, timed)
	g.GET("/v1/accounts", a.list, timed)
	g.GET("/v1/accounts/:id", a.get, timed)
	g.GET("/v1/accounts/:id/balance", a.balance, timed)
	g.PUT("/v1/accounts/:id", a.amend, timed)
	g.POST("/v1/accounts/:id/closure", a.close, timed)
	g.POST("/v1/accounts/:id/vehicles", a.register, timed)
	g.POST("/v1/holdings/:id/end", a.end, timed)
	g.POST("/v1/tags", a.issue, timed)
	g.GET("/v1/tags/:tag", a.getTag, timed)
	g.POST("/v1/tags/:tag/events", a.step, timed)
}

// usualTime bounds the making of an answer.
const usualTime = 15 * time.Second

// deed is what the caller does, now.
func deed(c echo.Context, clk clock.Clock, reason string) account.Deed {
	return account.Deed{By: web.Caller(c), Role: "operator", Reason: reason, Now: clk.Now()}
}

// effect is when something takes effect: the time given in the field, else now.
func effect(field string, text *string, now time.Time) (time.Time, error) {
	if text == nil {
		return now.UTC().Truncate(time.Microsecond), nil
	}
	return instant(field, *text)
}

// whenAndWhy is the body of a request that only says that.
type whenAndWhy struct {
	At     *string `json:"at"`
	Reason string  `json:"reason"`
}

// instant reads an RFC 3339 time between 2000 and 2200.
func instant(field, text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 2000 || at.Year() > 2200 {
		return time.Time{}, web.BadField("/"+field, "must be a time such as 2026-11-25T08:00:00+08:00")
	}
	return at.UTC().Truncate(time.Microsecond), nil
}

// shown is an instant as it is answered; nil for none.
func shown(at time.Time) *string { return web.Shown(at) }

type accountForm struct {
	ID       string  `json:"id"`
	Kind     string  `json:"kind"`
	Name     string  `json:"name"`
	Email    string  `json:"email,omitempty"`
	Mobile   string  `json:"mobile,omitempty"`
	Language string  `json:"language"`
	State    string  `json:"state"`
	OpenedAt *string `json:"opened_at"`
	ClosesAt *string `json:"closes_at"`
	Revision int64   `json:"revision"`
}

func accountOf(a account.Account) accountForm {
	return accountForm{a.ID, a.Kind, a.Name, a.Email, a.Mobile, a.Language, a.State, shown(a.OpenedAt), shown(a.ClosesAt), a.Revision}
}

type holdingForm struct {
	ID         string  `json:"id"`
	Account    string  `json:"account,omitempty"`
	Plate      string  `json:"plate,omitempty"`
	Tag        string  `json:"tag,omitempty"`
	Class      string  `json:"class,omitempty"`
	Exempt     bool    `json:"exempt"`
	From       *string `json:"from"`
	To         *string `json:"to"`
	RecordedAt *string `json:"recorded_at"`
	ReplacedAt *string `json:"replaced_at"`
	By         string  `json:"by"`
	Reason     string  `json:"reason,omitempty"`
}

func holdingOf(h account.Holding) holdingForm {
	return holdingForm{h.ID, h.Account, h.Plate, h.Tag, h.Class, h.Exempt, shown(h.From), shown(h.To), shown(h.RecordedAt), shown(h.ReplacedAt), h.By, h.Reason}
}

func holdingsOf(list []account.Holding) []holdingForm {
	forms := make([]holdingForm, len(list))
	for i, h := range list {
		forms[i] = holdingOf(h)
	}
	return forms
}

type tagForm struct {
	Tag        string `json:"tag"`
	Kind       string `json:"kind"`
	Class      string `json:"class,omitempty"`
	Account    string `json:"account,omitempty"`
	State      string `json:"state"`
	Plate      string `json:"plate,omitempty"`
	Replaces   string `json:"replaces,omitempty"`
	ReplacedBy string `json:"replaced_by,omitempty"`
	Revision   int64  `json:"revision"`
}

func tagOf(t account.Tag) tagForm {
	return tagForm{t.Tag, t.Kind, t.Class, t.Account, t.State, t.Plate, t.Replaces, t.ReplacedBy, t.Revision}
}

func (a *Accounts) open(c echo.Context) error {
	var body struct {
		Kind     string  `json:"kind"`
		Name     string  `json:"name"`
		Email    string  `json:"email"`
		Mobile   string  `json:"mobile"`
		Language string  `json:"language"`
		OpenedAt *string `json:"opened_at"`
		Reason   string  `json:"reason"`
	}
	return repeatable(c, a.Books, &body, func(ctx context.Context, tx *books.Tx, r once.Request) (once.Answer, error) {
		d := deed(c, a.Clock, body.Reason)
		opened, err := effect("opened_at", body.OpenedAt, d.Now)
		if err != nil {
			return once.Answer{}, err
		}
		stands, err := account.OpenAccount(ctx, tx, account.Account{
			ID: "A" + r.ID()[:16], Kind: body.Kind, Name: body.Name, Email: body.Email, Mobile: body.Mobile, Language: body.Language, OpenedAt: opened,
		}, d)
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusCreated, accountOf(stands), "/v1/accounts/"+stands.ID)
	})
}

// get shows an account with all that it holds and was: a view of a person's
// data, which leaves its row.
func (a *Accounts) get(c echo.Context) error {
	q := web.QueryOf(c, "reason")
	reason := q.Text("reason")
	if err := q.Err(); err != nil {
		return err
	}
	var view struct {
		accountForm
		Holdings  []holdingForm `json:"holdings"`
		Tags      []tagForm     `json:"tags"`
		Revisions []struct {
			accountForm
			At     *string `json:"at"`
			By     string  `json:"by"`
			Reason string  `json:"reason,omitempty"`
		} `json:"revisions"`
	}
	ctx, id := c.Request().Context(), c.Param("id")
	err := a.Books.Do(ctx, func(tx *books.Tx) error {
		stands, err := tx.Account(ctx, id)
		if err != nil {
			return err
		}
		held, err := tx.HoldingsOf(ctx, "account:"+id, true)
		if err != nil {
			return err
		}
		tags, err := tx.TagsOf(ctx, id)
		if err != nil {
			return err
		}
		revisions, err := tx.AccountRevisions(ctx, id)
		if err != nil {
			return err
		}
		view.accountForm, view.Holdings, view.Tags = accountOf(stands), holdingsOf(held), make([]tagForm, len(tags))
		view.Revisions = view.Revisions[:0]
		for i, t := range tags {
			view.Tags[i] = tagOf(t)
		}
		for _, r := range revisions {
			view.Revisions = append(view.Revisions, struct {
				accountForm
				At     *string `json:"at"`
				By     string  `json:"by"`
				Reason string  `json:"reason,omitempty"`
			}{accountOf(r.Account), shown(r.At), r.By, r.Reason})
		}
		return audit.Note(ctx, tx.Session(), audit.Access{
			At: a.Clock.Now(), By: by(c), Act: audit.Viewed, Page: "GET /v1/accounts/{id}",
			Subject: audit.Subject{Kind: "account", ID: id}, Accounts: []string{id}, Records: 1, Reason: reason,
		})
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, view)
}

func (a *Accounts) amend(c echo.Context) error {
	var body struct {
		Revision int64  `json:"revision"`
		Name     string `json:"name"`
		Email    string `json:"email"`
		Mobile   string `json:"mobile"`
		Language string `json:"language"`
		Reason   string `json:"reason"`
	}
	return repeatable(c, a.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		stands, err := account.Amend(ctx, tx, c.Param("id"), body.Revision,
			account.Details{Name: body.Name, Email: body.Email, Mobile: body.Mobile, Language: body.Language}, deed(c, a.Clock, body.Reason))
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, accountOf(stands), "")
	})
}

func (a *Accounts) close(c echo.Context) error {
	var body whenAndWhy
	return repeatable(c, a.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		d := deed(c, a.Clock, body.Reason)
		at, err := effect("at", body.At, d.Now)
		if err != nil {
			return once.Answer{}, err
		}
		stands, err := account.Close(ctx, tx, c.Param("id"), at, d)
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, accountOf(stands), "")
	})
}

func (a *Accounts) register(c echo.Context) error {
	var body struct {
		Plate    string  `json:"plate"`
		Class    string  `json:"class"`
		Exempt   bool    `json:"exempt"`
		From     *string `json:"from"`
		To       *string `json:"to"`
		Transfer bool    `json:"transfer"`
		Reason   string  `json:"reason"`
	}
	return repeatable(c, a.Books, &body, func(ctx context.Context, tx *books.Tx, r once.Request) (once.Answer, error) {
		d := deed(c, a.Clock, body.Reason)
		v := account.Vehicle{ID: r.ID(), Account: c.Param("id"), Plate: a.Plate(body.Plate), Class: body.Class, Exempt: body.Exempt}
		if body.Class != "" && !a.KnowsClass(body.Class) {
			return once.Answer{}, web.BadField("/class", "is not a class of the network; leave it out for the class as measured")
		}
		var err error
		if v.From, err = effect("from", body.From, d.Now); err != nil {
			return once.Answer{}, err
		}
		if body.To != nil {
			if v.To, err = instant("to", *body.To); err != nil {
				return once.Answer{}, err
			}
		}
		do := account.Register
		if body.Transfer {
			do = account.Transfer
		}
		h, err := do(ctx, tx, v, d)
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusCreated, holdingOf(h), "")
	})
}

func (a *Accounts) end(c echo.Context) error {
	var body whenAndWhy
	return repeatable(c, a.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		d := deed(c, a.Clock, body.Reason)
		at, err := effect("at", body.At, d.Now)
		if err != nil {
			return once.Answer{}, err
		}
		if err := account.End(ctx, tx, c.Param("id"), at, d); err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, map[string]any{"id": c.Param("id"), "ended_at": shown(at)}, "")
	})
}

func (a *Accounts) issue(c echo.Context) error {
	var body struct {
		Tag    string  `json:"tag"`
		Kind   string  `json:"kind"`
		Class  string  `json:"class"`
		At     *string `json:"at"`
		Reason string  `json:"reason"`
	}
	return repeatable(c, a.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		tag, err := a.Tag(body.Tag)
		if err != nil || tag == "" {
			return once.Answer{}, web.BadField("/tag", "must be whole bytes in hex, at most 62")
		}
		t := account.Tag{Tag: tag, Kind: body.Kind, Class: body.Class}
		if t.Kind == account.ClassTag {
			t.Currency = a.Currency
			if !a.KnowsClass(body.Class) {
				return once.Answer{}, web.BadField("/class", "is not a class of the network")
			}
		}
		d := deed(c, a.Clock, body.Reason)
		at, err := effect("at", body.At, d.Now)
		if err != nil {
			return once.Answer{}, err
		}
		if t, err = account.Issue(ctx, tx, t, at, d); err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusCreated, tagOf(t), "/v1/tags/"+t.Tag)
	})
}

func (a *Accounts) getTag(c echo.Context) error {
	tag, err := a.Tag(c.Param("tag"))
	if err != nil {
		return web.NotFound("there is no such tag")
	}
	type eventForm struct {
		State      string  `json:"state"`
		At         *string `json:"at"`
		RecordedAt *string `json:"recorded_at"`
		Account    string  `json:"account,omitempty"`
		Plate      string  `json:"plate,omitempty"`
		By         string  `json:"by"`
		Reason     string  `json:"reason,omitempty"`
	}
	var view struct {
		tagForm
		StoredValue *string     `json:"stored_value,omitempty"`
		Events      []eventForm `json:"events"`
	}
	q := web.QueryOf(c, "reason")
	reason := q.Text("reason")
	if err := q.Err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	err = a.Books.Do(ctx, func(tx *books.Tx) error {
		t, err := tx.Tag(ctx, tag)
		if err != nil {
			return err
		}
		events, err := tx.TagEvents(ctx, tag)
		if err != nil {
			return err
		}
		view.tagForm, view.Events = tagOf(t), view.Events[:0]
		for _, e := range events {
			view.Events = append(view.Events, eventForm{e.State, shown(e.At), shown(e.RecordedAt), e.Account, e.Plate, e.By, e.Reason})
		}
		// A tag names vehicles: whoever has or had it sees that it was looked at.
		accounts := named(t.Account)
		for _, e := range events {
			accounts = append(accounts, named(e.Account)...)
		}
		err = audit.Note(ctx, tx.Session(), audit.Access{
			At: a.Clock.Now(), By: by(c), Act: audit.Viewed, Page: "GET /v1/tags/{tag}", Subject: audit.Subject{Kind: "tag", ID: fmt.Sprintf("revision %d", t.Revision)},
			Accounts: accounts, Records: 1, Reason: reason, Personal: map[string]any{"tag": tag},
		})
		if err != nil || t.Kind != account.ClassTag {
			return err
		}
		w, err := tx.Wallet(ctx, billing.HolderTag+tag, t.Currency)
		value := billing.FormatCents(w.BalanceCents)
		view.StoredValue = &value
		return err
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, view)
}

func (a *Accounts) step(c echo.Context) error {
	var body struct {
		State      string  `json:"state"`
		Account    string  `json:"account"`
		Plate      string  `json:"plate"`
		ReplacedBy string  `json:"replaced_by"`
		At         *string `json:"at"`
		Reason     string  `json:"reason"`
	}
	tag, err := a.Tag(c.Param("tag"))
	if err != nil {
		return web.NotFound("there is no such tag")
	}
	return repeatable(c, a.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		d := deed(c, a.Clock, body.Reason)
		at, err := effect("at", body.At, d.Now)
		if err != nil {
			return once.Answer{}, err
		}
		var t account.Tag
		switch body.State {
		case account.TagActive:
			t, err = account.Activate(ctx, tx, tag, body.Account, at, d)
		case account.TagBound:
			t, err = account.Bind(ctx, tx, tag, a.Plate(body.Plate), at, d)
		case account.TagLost:
			t, err = account.Lose(ctx, tx, tag, at, d)
		case "found":
			t, err = account.Find(ctx, tx, tag, at, d)
		case account.TagClosed:
			t, err = account.CloseTag(ctx, tx, tag, at, d)
		case account.TagReplaced:
			var by string
			if by, err = a.Tag(body.ReplacedBy); err == nil {
				t, err = account.Replace(ctx, tx, tag, by, at, d)
			} else {
				err = web.BadField("/replaced_by", "must be a tag, whole bytes in hex")
			}
		default:
			err = web.BadField("/state", "must be activated, bound, lost, found, closed or replaced")
		}
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, tagOf(t), "")
	})
}
