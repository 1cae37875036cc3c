package operator

import (
	"context"
	_ "embed"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/recovery"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

//go:embed openapi_disputes.json
var openAPIDisputes []byte

// Disputes is the topic of disputes: the queue, the evidence, rulings and their
// approval, and what we flag ourselves.
type Disputes struct {
	Books   AccountBooks
	Service *dispute.Service
	Clock   clock.Clock
	// Zone is the network's: in it a dispute is overdue.
	Zone *time.Location
	// Named refuses rulings and approvals under a key that is nobody's own.
	Named bool
}

// OpenAPI is the topic's part of the document.
func (d *Disputes) OpenAPI() []byte { return append([]byte(nil), openAPIDisputes...) }

// Routes adds the topic's routes.
func (d *Disputes) Routes(g *echo.Group) {
	timed := web.Deadline(usualTime)
	g.GET("/v1/disputes", d.list, timed)
	g.POST("/v1/disputes", d.open, timed)
	g.GET("/v1/disputes/:id", d.get, timed)
	g.POST("/v1/disputes/:id/assignment", d.assign, timed)
	g.POST("/v1/disputes/:id/ruling", d.rule, timed)
	g.POST("/v1/disputes/:id/approval", d.approve, timed)
	g.POST("/v1/disputes/:id/withdrawal", d.withdraw, timed)
	g.POST("/v1/disputes/:id/reopening", d.reopen, timed)
	g.GET("/v1/flags", d.flags, timed)
}

type disputeForm struct {
	Reference string      `json:"reference"`
	Charge    string      `json:"charge"`
	Origin    string      `json:"origin"`
	Account   string      `json:"account,omitempty"`
	Vehicle   string      `json:"vehicle,omitempty"`
	Amount    string      `json:"amount"`
	Currency  string      `json:"currency"`
	Reason    string      `json:"reason"`
	Text      string      `json:"text,omitempty"`
	State     string      `json:"state"`
	Assignee  string      `json:"assignee,omitempty"`
	NotFor    []string    `json:"not_for,omitempty"`
	Previous  string      `json:"previous,omitempty"`
	AnswerBy  *string     `json:"answer_by"`
	Overdue   bool        `json:"overdue"`
	OpenedAt  *string     `json:"opened_at"`
	ClosedAt  *string     `json:"closed_at"`
	Refund    string      `json:"refund,omitempty"`
	Flag      string      `json:"flag,omitempty"`
	Ruling    *rulingForm `json:"ruling,omitempty"`
	Revision  int64       `json:"revision"`
}

type rulingForm struct {
	Outcome      string `json:"outcome"`
	Code         string `json:"code"`
	Words        string `json:"words"`
	Note         string `json:"note,omitempty"`
	Act          string `json:"act"`
	Class        string `json:"class,omitempty"`
	Account      string `json:"account,omitempty"`
	Amount       string `json:"amount,omitempty"`
	Less         string `json:"less"`
	PassRevision int64  `json:"charge_revision"`
	By           string `json:"by"`
	ApprovedBy   string `json:"approved_by,omitempty"`
}

func (d *Disputes) form(v dispute.Dispute) disputeForm {
	f := disputeForm{
		Reference: v.Reference, Charge: v.Receivable, Origin: v.Origin, Account: v.Account, Vehicle: v.Vehicle, Amount: billing.FormatCents(v.AmountCents),
		Currency: v.Currency, Reason: v.Reason, Text: v.Text, State: v.State, Assignee: v.Assignee, NotFor: v.Barred, Previous: v.Previous,
		OpenedAt: shown(v.OpenedAt), ClosedAt: shown(v.ClosedAt), Refund: v.Refund, Flag: v.Flag, Revision: v.Revision,
	}
	if v.DueDay != 0 {
		day := v.DueDay.String()
		f.AnswerBy = &day
		f.Overdue = dispute.Open(v.State) && v.DueDay < d.today()
	}
	if r := v.Ruling; r != nil {
		f.Ruling = &rulingForm{
			Outcome: r.Outcome, Code: r.Code, Words: r.Words, Note: r.Note, Act: r.Act, Class: r.Class, Account: r.Account,
			Less: billing.FormatCents(r.LessCents), PassRevision: r.PassRevision, By: r.By, ApprovedBy: r.ApprovedBy,
		}
		if r.Act == dispute.Reduce {
			f.Ruling.Amount = billing.FormatCents(r.AmountCents)
		}
	}
	return f
}

func (d *Disputes) today() recovery.Day { return recovery.DayOf(d.Clock.Now(), d.Zone) }

func (d *Disputes) deed(c echo.Context, reason string) dispute.Deed {
	return dispute.Deed{By: web.Caller(c), Role: "operator", Reason: reason, Now: d.Clock.Now()}
}

// accountsOf are those whose movements a list shows.
func accountsOf[T any](list []T, account func(T) string) []string {
	var names []string
	for _, one := range list {
		if name := account(one); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// list shows the queue, what is due first at its head.
func (d *Disputes) list(c echo.Context) error {
	q := web.QueryOf(c, "state", "assignee", "about", "origin", "account", "charge", "show", "after", "limit", "reason")
	f := dispute.Filter{
		State: q.Text("state"), Assignee: q.Text("assignee"), Reason: q.Text("about"), Origin: q.Text("origin"), Account: q.Text("account"), Receivable: q.Text("charge"),
	}
	switch q.Text("show") {
	case "", "open":
		f.Open = f.State == "" || dispute.Open(f.State)
	case "overdue":
		f.OverdueOn = d.today()
	case "all":
	default:
		q.Refuse("show", "must be open, overdue or all")
	}
	limit, reason := q.Limit(50, 500), q.Text("reason")
	if p := q.Place(3); p != nil {
		f.After = dispute.Place{DueDay: recovery.Day(q.Whole(p[0])), AmountCents: q.Whole(p[1]), Reference: p[2]}
	}
	if err := q.Err(); err != nil {
		return err
	}
	f.Limit = limit + 1
	var answer web.Page[disputeForm]
	ctx := c.Request().Context()
	err := d.Books.Do(ctx, func(tx *books.Tx) error {
		list, err := tx.Disputes(ctx, f)
		if err != nil {
			return err
		}
		answer.Next, answer.Items = nil, []disputeForm{}
		if len(list) > limit {
			list = list[:limit]
			last := list[limit-1]
			answer.Next = web.Cursor(strconv.FormatInt(int64(last.DueDay), 10), strconv.FormatInt(last.AmountCents, 10), last.Reference)
		}
		for _, one := range list {
			answer.Items = append(answer.Items, d.form(one))
		}
		return audit.Note(ctx, tx.Session(), audit.Access{
			At: d.Clock.Now(), By: by(c), Act: audit.Listed, Page: "GET /v1/disputes", Subject: audit.Subject{Kind: "disputes", ID: "queue"},
			Accounts: accountsOf(list, func(v dispute.Dispute) string { return v.Account }), Records: len(list), Reason: reason,
		})
	})
	if err != nil {
		return problem(err)
	}
	web.LinkNext(c, answer.Next)
	return c.JSON(http.StatusOK, answer)
}

type evidenceForm struct {
	Number         int64           `json:"number"`
	At             *string         `json:"at"`
	ChargeRevision int64           `json:"charge_revision"`
	Digest         string          `json:"digest"`
	Intact         bool            `json:"intact"`
	Evidence       json.RawMessage `json:"evidence"`
}

type disputeEventForm struct {
	Revision int64   `json:"revision"`
	At       *string `json:"at"`
	State    string  `json:"state"`
	What     string  `json:"what"`
	By       string  `json:"by"`
	Role     string  `json:"role"`
	Reason   string  `json:"reason,omitempty"`
}

// get shows a dispute with its steps and all evidence.
func (d *Disputes) get(c echo.Context) error {
	q := web.QueryOf(c, "reason")
	reason := q.Text("reason")
	if err := q.Err(); err != nil {
		return err
	}
	var view struct {
		disputeForm
		Events   []disputeEventForm `json:"events"`
		Evidence []evidenceForm     `json:"evidence"`
	}
	ctx := c.Request().Context()
	err := d.Books.Do(ctx, func(tx *books.Tx) error {
		v, err := tx.Dispute(ctx, c.Param("id"))
		if err != nil {
			return err
		}
		events, err := tx.DisputeEvents(ctx, v.Reference)
		if err != nil {
			return err
		}
		evidence, err := tx.EvidenceOf(ctx, v.Reference)
		if err != nil {
			return err
		}
		view.disputeForm, view.Events, view.Evidence = d.form(v), []disputeEventForm{}, []evidenceForm{}
		for _, e := range events {
			view.Events = append(view.Events, disputeEventForm{e.Revision, shown(e.At), e.State, e.What, e.By, e.Role, e.Reason})
		}
		for _, e := range evidence {
			view.Evidence = append(view.Evidence, evidenceForm{e.Number, shown(e.At), e.PassRevision, e.Digest, e.Intact(), e.Body})
		}
		return audit.Note(ctx, tx.Session(), audit.Access{
			At: d.Clock.Now(), By: by(c), Act: audit.Viewed, Page: "GET /v1/disputes/{id}", Subject: audit.Subject{Kind: "dispute", ID: v.Reference},
			Accounts: accountsOf([]dispute.Dispute{v}, func(v dispute.Dispute) string { return v.Account }), Records: 1, Reason: reason,
		})
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, view)
}

// open opens a dispute for a motorist.
func (d *Disputes) open(c echo.Context) error {
	var body struct {
		Charge string `json:"charge"`
		Reason string `json:"reason"`
		Text   string `json:"text"`
		Refund bool   `json:"refund"`
		Why    string `json:"note"`
	}
	return repeatable(c, d.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		v, err := d.Service.Open(ctx, tx, dispute.Opening{
			Receivable: body.Charge, Reason: body.Reason, Text: body.Text, Origin: dispute.Staff, Refund: body.Refund,
		}, d.deed(c, body.Why))
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusCreated, d.form(v), "/v1/disputes/"+v.Reference)
	})
}

// changed answers with a dispute as it then stands.
func (d *Disputes) changed(v dispute.Dispute, err error) (once.Answer, error) {
	if err != nil {
		return once.Answer{}, err
	}
	return once.Made(http.StatusOK, d.form(v), "")
}

func (d *Disputes) assign(c echo.Context) error {
	var body struct {
		To       string `json:"to"`
		Revision int64  `json:"revision"`
		Reason   string `json:"reason"`
	}
	return repeatable(c, d.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		to := body.To
		if to == "" {
			to = web.Caller(c)
		}
		return d.changed(d.Service.Assign(ctx, tx, c.Param("id"), body.Revision, to, d.deed(c, body.Reason)))
	})
}

// named refuses a key that is nobody's own where a person has to stand for what
// is done.
func (d *Disputes) named(c echo.Context) error {
	return person(c, d.Named, "rulings and approvals are a person's")
}

func (d *Disputes) rule(c echo.Context) error {
	var body struct {
		Outcome        string  `json:"outcome"`
		Code           string  `json:"code"`
		Words          string  `json:"words"`
		Note           string  `json:"note"`
		Act            string  `json:"act"`
		Class          string  `json:"class"`
		Account        string  `json:"account"`
		Amount         *string `json:"amount"`
		ChargeRevision int64   `json:"charge_revision"`
		Revision       int64   `json:"revision"`
	}
	if err := d.named(c); err != nil {
		return err
	}
	return repeatable(c, d.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		r := dispute.Ruling{
			Outcome: body.Outcome, Code: body.Code, Words: body.Words, Note: body.Note, Act: body.Act, Class: body.Class, Account: body.Account, PassRevision: body.ChargeRevision,
		}
		if r.Act == "" && r.Outcome == dispute.Rejected {
			r.Act = dispute.None
		}
		if body.Amount != nil {
			cents, err := billing.ParseCents(*body.Amount)
			if err != nil {
				return once.Answer{}, web.BadField("/amount", err.Error())
			}
			r.AmountCents = cents
		}
		return d.changed(d.Service.Decide(ctx, tx, c.Param("id"), body.Revision, r, d.deed(c, "")))
	})
}

func (d *Disputes) approve(c echo.Context) error {
	var body struct {
		Approve  *bool  `json:"approve"`
		Revision int64  `json:"revision"`
		Reason   string `json:"reason"`
	}
	if err := d.named(c); err != nil {
		return err
	}
	return repeatable(c, d.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		if body.Approve == nil {
			return once.Answer{}, web.BadField("/approve", "must be true or false")
		}
		return d.changed(d.Service.Approve(ctx, tx, c.Param("id"), body.Revision, *body.Approve, d.deed(c, body.Reason)))
	})
}

func (d *Disputes) withdraw(c echo.Context) error {
	var body struct {
		Reason string `json:"reason"`
	}
	return repeatable(c, d.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		if strings.TrimSpace(body.Reason) == "" {
			return once.Answer{}, web.BadField("/reason", "must say who asked for it, and how")
		}
		return d.changed(d.Service.Withdraw(ctx, tx, c.Param("id"), "", d.deed(c, body.Reason)))
	})
}

func (d *Disputes) reopen(c echo.Context) error {
	var body struct {
		Reason string `json:"reason"`
		Text   string `json:"text"`
	}
	return repeatable(c, d.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		v, err := d.Service.Reopen(ctx, tx, c.Param("id"), body.Reason, body.Text, d.deed(c, ""))
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusCreated, d.form(v), "/v1/disputes/"+v.Reference)
	})
}

type flagForm struct {
	Key          string   `json:"key"`
	Rule         string   `json:"rule"`
	Passes       []string `json:"passes"`
	Suspects     []string `json:"suspects"`
	Vehicle      string   `json:"vehicle"`
	Metres       int64    `json:"metres,omitempty"`
	TookSeconds  int64    `json:"took_seconds"`
	LeastSeconds int64    `json:"least_seconds,omitempty"`
	Count        int64    `json:"count,omitempty"`
	Dispute      string   `json:"dispute,omitempty"`
	At           *string  `json:"at"`
}

// flags lists what we found ourselves, newest first.
func (d *Disputes) flags(c echo.Context) error {
	q := web.QueryOf(c, "rule", "after", "limit", "reason")
	rule, limit, reason := q.Text("rule"), q.Limit(50, 500), q.Text("reason")
	if rule != "" && !slices.Contains(dispute.FlagRules(), rule) {
		q.Refuse("rule", "must be one of "+strings.Join(dispute.FlagRules(), ", "))
	}
	var (
		before time.Time
		key    string
	)
	if p := q.Place(2); p != nil {
		before, key = time.UnixMicro(q.Whole(p[0])), p[1]
	}
	if err := q.Err(); err != nil {
		return err
	}
	var answer web.Page[flagForm]
	ctx := c.Request().Context()
	err := d.Books.Do(ctx, func(tx *books.Tx) error {
		list, err := tx.Flags(ctx, rule, before, key, limit+1)
		if err != nil {
			return err
		}
		answer.Next, answer.Items = nil, []flagForm{}
		if len(list) > limit {
			list = list[:limit]
			last := list[limit-1]
			answer.Next = web.Cursor(strconv.FormatInt(last.At.UnixMicro(), 10), last.Key)
		}
		var accounts []string
		for _, f := range list {
			answer.Items = append(answer.Items, flagForm{
				f.Key, f.Rule, f.Passes, f.Suspects, f.Vehicle, f.Metres, int64(f.Took / time.Second), int64(f.Least / time.Second), f.Count, f.Reference, shown(f.At),
			})
			for _, id := range f.Passes {
				p, err := tx.PassStands(ctx, id)
				if err != nil {
					return err
				}
				if p.Account != "" && !slices.Contains(accounts, p.Account) {
					accounts = append(accounts, p.Account)
				}
			}
		}
		return audit.Note(ctx, tx.Session(), audit.Access{
			At: d.Clock.Now(), By: by(c), Act: audit.Listed, Page: "GET /v1/flags", Subject: audit.Subject{Kind: "flags", ID: "list"},
			Accounts: accounts, Records: len(list), Reason: reason,
		})
	})
	if err != nil {
		return problem(err)
	}
	web.LinkNext(c, answer.Next)
	return c.JSON(http.StatusOK, answer)
}
