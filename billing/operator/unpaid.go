package operator

import (
	"context"
	_ "embed"
	"encoding/csv"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/billing/recovery"
	"freeflow/billing/statement"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

//go:embed openapi_unpaid.json
var openAPIUnpaid []byte

// Unpaid is the topic of unpaid tolls: the ladder, its notices, waivers,
// outages, and the licences that are held.
type Unpaid struct {
	Books  AccountBooks
	Ladder *recovery.Ladder
	Clock  clock.Clock
}

// OpenAPI is the topic's part of the document.
func (u *Unpaid) OpenAPI() []byte { return append([]byte(nil), openAPIUnpaid...) }

// Routes adds the topic's routes.
func (u *Unpaid) Routes(g *echo.Group) {
	timed := web.Deadline(usualTime)
	g.GET("/v1/unpaid", u.list, timed)
	g.GET("/v1/unpaid/:id", u.get, timed)
	g.POST("/v1/unpaid/:id/waivers", u.waive, timed)
	g.POST("/v1/outages", u.outage, timed)
	g.POST("/v1/outages/:id/end", u.outageEnds, timed)
	g.POST("/v1/outages/:id/withdrawal", u.outageWithdrawn, timed)
	g.GET("/v1/licence-holds", u.holds, timed)
	g.GET("/v1/notices/:id", u.getNotice, timed)
	g.POST("/v1/notices/:id/deliveries", u.delivered, timed)
}

type caseForm struct {
	Receivable string      `json:"receivable"`
	Account    string      `json:"account,omitempty"`
	Vehicle    string      `json:"vehicle"`
	Stage      string      `json:"stage"`
	PassDay    string      `json:"pass_day"`
	DueDay     *string     `json:"due_day"`
	Waived     string      `json:"waived,omitempty"`
	StuckSince *string     `json:"stuck_since,omitempty"`
	Notice     string      `json:"notice"`
	ToPay      *string     `json:"to_pay,omitempty"`
	Events     []eventForm `json:"events,omitempty"`
}

type eventForm struct {
	At     *string `json:"at"`
	Stage  string  `json:"stage"`
	What   string  `json:"what"`
	By     string  `json:"by"`
	Reason string  `json:"reason,omitempty"`
}

func caseOf(c recovery.Case) caseForm {
	f := caseForm{
		Receivable: c.Receivable, Account: c.Account, Vehicle: c.Vehicle, Stage: c.Stage, PassDay: c.PassDay.String(), Waived: c.Waived, Notice: c.Notice,
		StuckSince: shown(c.StuckAt),
	}
	if c.DueDay != 0 {
		due := c.DueDay.String()
		f.DueDay = &due
	}
	return f
}

// list shows cases, a page at a time: whose movements they are is noted.
func (u *Unpaid) list(c echo.Context) error {
	q := web.QueryOf(c, "vehicle", "stage", "stuck", "after", "limit", "reason")
	vehicle, stage := q.Text("vehicle"), q.Text("stage")
	limit, reason := q.Limit(50, 500), q.Text("reason")
	stuck := q.Text("stuck") == "true"
	if text := q.Text("stuck"); text != "" && !stuck || stuck && (vehicle != "" || stage != "") {
		q.Refuse("stuck", "must be true, and stands alone")
	}
	var afterVehicle, afterReceivable string
	if place := q.Place(2); place != nil {
		afterVehicle, afterReceivable = place[0], place[1]
	}
	if err := q.Err(); err != nil {
		return err
	}
	var answer web.Page[caseForm]
	ctx := c.Request().Context()
	err := u.Books.Do(ctx, func(tx *books.Tx) error {
		var (
			list []recovery.Case
			err  error
		)
		if stuck {
			list, err = tx.StuckCases(ctx, afterVehicle, afterReceivable, limit+1)
		} else {
			list, err = tx.Cases(ctx, vehicle, stage, afterVehicle, afterReceivable, limit+1)
		}
		if err != nil {
			return err
		}
		answer.Next, answer.Items = nil, []caseForm{}
		if len(list) > limit {
			list = list[:limit]
			last := list[len(list)-1]
			answer.Next = web.Cursor(last.Vehicle, last.Receivable)
		}
		var accounts []string
		for _, one := range list {
			answer.Items = append(answer.Items, caseOf(one))
			if one.Account != "" {
				accounts = append(accounts, one.Account)
			}
		}
		return audit.Note(ctx, tx.Session(), audit.Access{
			At: u.Clock.Now(), By: by(c), Act: audit.Listed, Page: "GET /v1/unpaid", Subject: audit.Subject{Kind: "unpaid-tolls", ID: stage},
			Accounts: accounts, Records: len(list), Reason: reason, Personal: map[string]any{"vehicle": vehicle},
		})
	})
	if err != nil {
		return problem(err)
	}
	web.LinkNext(c, answer.Next)
	return c.JSON(http.StatusOK, answer)
}

// get shows one case with its steps and what is to be paid.
func (u *Unpaid) get(c echo.Context) error {
	q := web.QueryOf(c, "reason")
	reason := q.Text("reason")
	if err := q.Err(); err != nil {
		return err
	}
	var f caseForm
	ctx := c.Request().Context()
	err := u.Books.Do(ctx, func(tx *books.Tx) error {
		s, err := u.Ladder.Show(ctx, tx, c.Param("id"))
		if err != nil {
			return err
		}
		f = caseOf(s.Case)
		rest := billing.FormatCents(s.RestCents)
		f.ToPay, f.Events = &rest, []eventForm{}
		for _, e := range s.Events {
			f.Events = append(f.Events, eventForm{shown(e.At), e.Stage, e.What, e.By, e.Reason})
		}
		return audit.Note(ctx, tx.Session(), audit.Access{
			At: u.Clock.Now(), By: by(c), Act: audit.Viewed, Page: "GET /v1/unpaid/{id}", Subject: audit.Subject{Kind: "receivable", ID: s.Receivable},
			Accounts: named(s.Account), Records: 1, Reason: reason,
		})
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, f)
}

func (u *Unpaid) deed(c echo.Context, reason string) recovery.Deed {
	return recovery.Deed{By: web.Caller(c), Role: "operator", Reason: reason, Now: u.Clock.Now()}
}

func (u *Unpaid) waive(c echo.Context) error {
	var body struct {
		Surcharge int    `json:"surcharge"`
		Reason    string `json:"reason"`
	}
	return repeatable(c, u.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		stands, err := u.Ladder.Waive(ctx, tx, c.Param("id"), body.Surcharge, u.deed(c, body.Reason))
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, caseOf(stands), "")
	})
}

func (u *Unpaid) outage(c echo.Context) error {
	var body struct {
		From   string  `json:"from"`
		To     *string `json:"to"`
		Reason string  `json:"reason"`
	}
	return repeatable(c, u.Books, &body, func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error) {
		from, err := instant("from", body.From)
		if err != nil {
			return once.Answer{}, err
		}
		id := "outage:" + asked.ID()
		if body.To == nil {
			// It goes on: no deadline passes until it is ended.
			now := u.Clock.Now()
			if from.Before(now.AddDate(0, 0, -1)) || from.After(now.Add(graceAhead)) {
				return once.Answer{}, web.BadField("/from", "an outage that goes on begins now; for one that is over, say until when")
			}
			if from.After(now) {
				from = now // the other's clock is ahead
			}
			if err := u.Ladder.Down(ctx, tx, id, from, u.deed(c, body.Reason)); err != nil {
				return once.Answer{}, err
			}
			return once.Made(http.StatusCreated, map[string]any{"id": id, "from": shown(from), "to": nil}, "")
		}
		to, err := instant("to", *body.To)
		if err != nil {
			return once.Answer{}, err
		}
		if err := u.Ladder.Outage(ctx, tx, id, from, to, u.deed(c, body.Reason)); err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusCreated, map[string]any{"id": id, "from": shown(from), "to": shown(to)}, "")
	})
}

// outageEnds ends an outage that goes on: from tomorrow days count again.
func (u *Unpaid) outageEnds(c echo.Context) error {
	var body struct {
		Reason string `json:"reason"`
	}
	return repeatable(c, u.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		d := u.deed(c, body.Reason)
		if err := u.Ladder.Resume(ctx, tx, c.Param("id"), "", d); err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, map[string]any{"id": c.Param("id"), "ended_at": shown(d.Now)}, "")
	})
}

// outageWithdrawn takes an outage back that was wrong: its days count again.
func (u *Unpaid) outageWithdrawn(c echo.Context) error {
	var body struct {
		Reason string `json:"reason"`
	}
	return repeatable(c, u.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		d := u.deed(c, body.Reason)
		if err := u.Ladder.Withdraw(ctx, tx, c.Param("id"), d); err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, map[string]any{"id": c.Param("id"), "withdrawn_at": shown(d.Now)}, "")
	})
}

// holds lists vehicles whose licence is not to be renewed, as JSON or CSV, whole:
// it is for the licensing authority.
func (u *Unpaid) holds(c echo.Context) error {
	q := web.QueryOf(c)
	if err := q.Err(); err != nil {
		return err
	}
	type hold struct {
		Vehicle    string `json:"vehicle"`
		Receivable string `json:"receivable"`
		PassDay    string `json:"pass_day"`
		ToPay      string `json:"to_pay"`
	}
	list := []hold{}
	ctx := c.Request().Context()
	err := u.Books.Do(ctx, func(tx *books.Tx) error {
		list = list[:0]
		vehicle, receivable := "", ""
		for {
			page, err := tx.Cases(ctx, "", recovery.Held, vehicle, receivable, 500)
			if err != nil {
				return err
			}
			for _, one := range page {
				vehicle, receivable = one.Vehicle, one.Receivable
				s, err := u.Ladder.Show(ctx, tx, receivable)
				if err != nil {
					return err
				}
				if s.RestCents > 0 {
					list = append(list, hold{strings.TrimPrefix(vehicle, "plate:"), receivable, s.PassDay.String(), billing.FormatCents(s.RestCents)})
				}
			}
			if len(page) < 500 {
				return audit.Note(ctx, tx.Session(), audit.Access{
					At: u.Clock.Now(), By: by(c), Act: audit.Exported, Page: "GET /v1/licence-holds", Subject: audit.Subject{Kind: "licence-holds", ID: "all"},
					Accounts: []string{audit.Everybody}, Records: len(list),
				})
			}
		}
	})
	if err != nil {
		return problem(err)
	}
	if !strings.Contains(c.Request().Header.Get(echo.HeaderAccept), "text/csv") {
		return c.JSON(http.StatusOK, map[string]any{"items": list})
	}
	c.Response().Header().Set(echo.HeaderContentType, "text/csv; charset=utf-8")
	w := csv.NewWriter(c.Response())
	w.UseCRLF = true // RFC 4180
	rows := [][]string{{"vehicle", "receivable", "pass_day", "to_pay"}}
	for _, h := range list {
		rows = append(rows, []string{statement.Defused(h.Vehicle), statement.Defused(h.Receivable), h.PassDay, h.ToPay})
	}
	return w.WriteAll(rows)
}

// named is an account as accesses name it: none where it is nobody's.
func named(account string) []string {
	if account == "" {
		return nil
	}
	return []string{account}
}

type noticeForm struct {
	ID         string         `json:"id"`
	Kind       string         `json:"kind"`
	Account    string         `json:"account,omitempty"`
	Vehicle    string         `json:"vehicle,omitempty"`
	Number     string         `json:"number,omitempty"`
	Amount     *string        `json:"amount"`
	Currency   string         `json:"currency,omitempty"`
	DueOn      *string        `json:"due_on"`
	IssuedAt   *string        `json:"issued_at"`
	ServedAt   *string        `json:"served_at"`
	Subject    string         `json:"subject"`
	Body       string         `json:"body"`
	Deliveries []deliveryForm `json:"deliveries"`
}

type deliveryForm struct {
	Channel  string  `json:"channel"`
	State    string  `json:"state"`
	At       *string `json:"at"`
	Evidence string  `json:"evidence,omitempty"`
	By       string  `json:"by,omitempty"`
	Attempts int     `json:"attempts"`
}

// noticeOf reads a notice as it is shown.
func noticeOf(ctx context.Context, tx *books.Tx, id string) (noticeForm, error) {
	n, err := tx.Notice(ctx, id)
	if err != nil {
		return noticeForm{}, err
	}
	ways, err := tx.Deliveries(ctx, id)
	if err != nil {
		return noticeForm{}, err
	}
	text := notice.Write(n, "")
	f := noticeForm{
		ID: n.ID, Kind: n.Kind, Account: n.Account, Vehicle: n.Vehicle, Number: n.Number, Currency: n.Currency,
		IssuedAt: shown(n.IssuedAt), ServedAt: shown(n.ServedAt), Subject: text.Subject, Body: text.Body, Deliveries: []deliveryForm{},
	}
	if n.Currency != "" {
		amount := billing.FormatCents(n.AmountCents)
		f.Amount = &amount
	}
	if !n.DueOn.IsZero() {
		due := n.DueOn.Format(time.DateOnly)
		f.DueOn = &due
	}
	for _, d := range ways {
		f.Deliveries = append(f.Deliveries, deliveryForm{d.Channel, d.State, shown(d.At), d.Evidence, d.By, d.Attempts})
	}
	return f, nil
}

func (u *Unpaid) getNotice(c echo.Context) error {
	q := web.QueryOf(c, "reason")
	reason := q.Text("reason")
	if err := q.Err(); err != nil {
		return err
	}
	var f noticeForm
	ctx := c.Request().Context()
	err := u.Books.Do(ctx, func(tx *books.Tx) error {
		var err error
		if f, err = noticeOf(ctx, tx, c.Param("id")); err != nil {
			return err
		}
		return audit.Note(ctx, tx.Session(), audit.Access{
			At: u.Clock.Now(), By: by(c), Act: audit.Viewed, Page: "GET /v1/notices/{id}", Subject: audit.Subject{Kind: "notice", ID: f.ID},
			Accounts: named(f.Account), Records: 1, Reason: reason,
		})
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, f)
}

// delivered takes what a channel reports of a notice: that it arrived, with
// proof, or that it cannot be delivered.
func (u *Unpaid) delivered(c echo.Context) error {
	var body struct {
		Channel  string  `json:"channel"`
		State    string  `json:"state"`
		At       *string `json:"at"`
		Evidence string  `json:"evidence"`
	}
	return repeatable(c, u.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		if body.Channel != notice.Email && body.Channel != notice.SMS && body.Channel != notice.Post {
			return once.Answer{}, web.BadField("/channel", "must be email, sms or post")
		}
		at, err := effect("at", body.At, u.Clock.Now())
		if err != nil {
			return once.Answer{}, err
		}
		if at.After(u.Clock.Now().Add(graceAhead)) {
			return once.Answer{}, web.BadField("/at", "is in the future")
		}
		switch body.State {
		case notice.Served:
			err = notice.Prove(ctx, tx, c.Param("id"), body.Channel, at, body.Evidence, web.Caller(c))
		case notice.Undeliverable:
			err = notice.GiveUp(ctx, tx, c.Param("id"), body.Channel, at, body.Evidence, web.Caller(c))
		default:
			err = web.BadField("/state", "must be served or undeliverable")
		}
		if err == nil {
			// The ladder may go on by it, or needs a person.
			err = tx.WakeNotice(ctx, c.Param("id"), u.Clock.Now())
		}
		if err != nil {
			return once.Answer{}, err
		}
		f, err := noticeOf(ctx, tx, c.Param("id"))
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, f, "")
	})
}

// graceAhead is how far another's clock may be ahead of ours.
const graceAhead = 5 * time.Minute
