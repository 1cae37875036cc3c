package operator

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/tolling/rerate"
)

//go:embed openapi_corrections.json
var correctionsOpenAPI []byte

// CorrectionsOpenAPI returns the OpenAPI 3.1 document of the API of corrections.
func CorrectionsOpenAPI() []byte { return append([]byte(nil), correctionsOpenAPI...) }

// rerateTime bounds a dry run and the comparison before it is executed.
const rerateTime = 10 * time.Minute

// Rerater works out bulk re-rates and has them executed; *rerate.Rerater is one.
type Rerater interface {
	Try(ctx context.Context, q rerate.Request) (billing.Rerate, error)
	Order(ctx context.Context, id int64, digest, by string) (billing.Rerate, error)
}

// CorrectionBooks is what is read of the books.
type CorrectionBooks interface {
	Rerate(ctx context.Context, id int64) (billing.Rerate, error)
	Rerates(ctx context.Context, state string, before int64, limit int) ([]billing.Rerate, error)
	// ViewRerateRows leaves the rows of the audit trail that note makes.
	ViewRerateRows(ctx context.Context, id int64, after string, limit int, note func([]billing.RerateRow) []audit.Access) ([]billing.RerateRow, error)
	RerateCustomers(ctx context.Context, id int64, after string, limit int) ([]billing.RerateCustomer, error)
	RejudgeJobs(ctx context.Context, before int64, limit int) ([]billing.RejudgeJob, error)
	RejudgeSkipped(ctx context.Context, id int64, after string, limit int) ([]string, error)
}

// CorrectionParts are what the API of corrections is made of; all are needed.
type CorrectionParts struct {
	Books   CorrectionBooks
	Rerater Rerater
	// KnowsFacility tells the network's facilities.
	KnowsFacility func(name string) bool
	Zone          *time.Location
	Clock         clock.Clock
}

// Corrections answers those who rate passes anew after a tariff mistake, and
// shows what a changed registry did to passes. Safe for concurrent use.
type Corrections struct {
	CorrectionParts
	// busy holds a token while passes of a long time are read.
	busy chan struct{}
}

// NewCorrections returns an API made of the parts.
func NewCorrections(p CorrectionParts) (*Corrections, error) {
	if p.Books == nil || p.Rerater == nil || p.KnowsFacility == nil || p.Zone == nil || p.Clock == nil {
		return nil, errors.New("API of corrections: every part is needed")
	}
	return &Corrections{CorrectionParts: p, busy: make(chan struct{}, 1)}, nil
}

// Routes adds the API's routes, each behind the key. A re-rate is worked out and
// executed by people with keys of their own.
func (a *Corrections) Routes(e *echo.Echo, key echo.MiddlewareFunc) {
	usual := web.Deadline(usualTime)
	g := e.Group("/v1", key)
	g.GET("/rejudges", a.getRejudges, usual)
	g.GET("/rejudges/:id/skipped", a.getSkipped, usual)
	g.GET("/rerates", a.getRerates, usual)
	g.POST("/rerates", a.postRerate, web.Deadline(rerateTime))
	g.GET("/rerates/:id", a.getRerate, usual)
	g.GET("/rerates/:id/passes", a.getReratePasses, usual)
	g.GET("/rerates/:id/customers", a.getRerateCustomers, usual)
	g.POST("/rerates/:id/execution", a.postExecution, web.Deadline(rerateTime))
}

// rejudgeJSON is one run over kept reads.
type rejudgeJSON struct {
	ID          int64   `json:"id"`
	FromVersion int64   `json:"from_version"`
	ToVersion   int64   `json:"to_version"`
	From        string  `json:"from"`
	To          string  `json:"to"`
	DoneUntil   string  `json:"done_until"`
	StartedAt   string  `json:"started_at"`
	FinishedAt  *string `json:"finished_at"`
	Reads       int64   `json:"reads"`
	Passes      int64   `json:"passes"`
	Skipped     int64   `json:"skipped"`
}

func (a *Corrections) getRejudges(c echo.Context) error {
	q := web.QueryOf(c, "after", "limit")
	limit, after := q.Limit(usualRows, mostRows), numberOf(q, "after")
	if err := q.Err(); err != nil {
		return err
	}
	jobs, err := a.Books.RejudgeJobs(c.Request().Context(), after, limit)
	if err != nil {
		return err
	}
	items := make([]rejudgeJSON, len(jobs))
	for i, j := range jobs {
		items[i] = rejudgeJSON{
			ID: j.ID, FromVersion: j.FromVersion, ToVersion: j.ToVersion, From: a.micros(j.FromMicros), To: a.micros(j.ToMicros),
			DoneUntil: a.micros(j.DoneMicros), StartedAt: a.at(j.StartedAt), FinishedAt: a.maybe(j.FinishedAt),
			Reads: j.Reads, Passes: j.Passes, Skipped: j.Skipped,
		}
	}
	return answerPage(c, items, limit, func(j rejudgeJSON) string { return strconv.FormatInt(j.ID, 10) })
}

func (a *Corrections) getSkipped(c echo.Context) error {
	q := web.QueryOf(c, "after", "limit")
	limit, after := q.Limit(usualRows, mostRows), q.Text("after")
	id := idOf(c, q)
	if err := q.Err(); err != nil {
		return err
	}
	ids, err := a.Books.RejudgeSkipped(c.Request().Context(), id, after, limit)
	if err != nil {
		return err
	}
	return answerPage(c, ids, limit, func(id string) string { return id })
}

// rerateJSON is one bulk re-rate.
type rerateJSON struct {
	ID         int64   `json:"id"`
	Facility   string  `json:"facility"`
	From       string  `json:"from"`
	To         string  `json:"to"`
	Reason     string  `json:"reason"`
	State      string  `json:"state"`
	Digest     string  `json:"digest"`
	By         string  `json:"by"`
	At         string  `json:"at"`
	OrderedBy  *string `json:"ordered_by"`
	OrderedAt  *string `json:"ordered_at"`
	FinishedAt *string `json:"finished_at"`
	// Looked counts the passes of the period; Passes and what follows are about
	// those that owe another amount.
	Looked     int64  `json:"looked_at"`
	Passes     int64  `json:"passes"`
	Vehicles   int64  `json:"vehicles"`
	Accounts   int64  `json:"accounts"`
	Charged    string `json:"charged"`
	Right      string `json:"right"`
	Difference string `json:"difference"`
	Currency   string `json:"currency"`
	Paid       int64  `json:"paid"`
	LeftAlone  int64  `json:"left_alone"`
	Done       int64  `json:"done"`
	Changed    int64  `json:"changed"`
}

func (a *Corrections) rerateOf(v billing.Rerate) rerateJSON {
	j := rerateJSON{
		ID: v.ID, Facility: v.Facility, From: a.micros(v.FromMicros), To: a.micros(v.ToMicros), Reason: v.Reason, State: v.State,
		Digest: v.Digest, By: v.By, At: a.at(v.At), OrderedAt: a.maybe(v.OrderedAt), FinishedAt: a.maybe(v.FinishedAt),
		Looked: v.Looked, Passes: v.Passes, Vehicles: v.Vehicles, Accounts: v.Accounts,
		Charged: billing.FormatCents(v.WasCents), Right: billing.FormatCents(v.NowCents),
		Difference: billing.FormatCents(v.NowCents - v.WasCents), Currency: v.Currency,
		Paid: v.PaidPasses, LeftAlone: v.Left, Done: v.Done, Changed: v.Changed,
	}
	if v.OrderedBy != "" {
		j.OrderedBy = &v.OrderedBy
	}
	return j
}

func (a *Corrections) getRerates(c echo.Context) error {
	q := web.QueryOf(c, "state", "after", "limit")
	limit, after, state := q.Limit(usualRows, mostRows), numberOf(q, "after"), q.Text("state")
	switch state {
	case "", billing.RerateDry, billing.RerateRunning, billing.RerateDone:
	default:
		q.Refuse("state", "is none of dry-run, running, done")
	}
	if err := q.Err(); err != nil {
		return err
	}
	list, err := a.Books.Rerates(c.Request().Context(), state, after, limit)
	if err != nil {
		return err
	}
	items := make([]rerateJSON, len(list))
	for i, v := range list {
		items[i] = a.rerateOf(v)
	}
	return answerPage(c, items, limit, func(j rerateJSON) string { return strconv.FormatInt(j.ID, 10) })
}

// rerateRequest is the body of a dry run.
type rerateRequest struct {
	Facility string `json:"facility"`
	From     string `json:"from"`
	To       string `json:"to"`
	Reason   string `json:"reason"`
}

func (a *Corrections) postRerate(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	var body rerateRequest
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	by, ok := web.Person(c)
	if !ok {
		return ownKey()
	}
	if !a.KnowsFacility(body.Facility) {
		return web.BadField("/facility", "is no facility of the network")
	}
	q := rerate.Request{Facility: body.Facility, Reason: body.Reason, By: by}
	for _, f := range []struct {
		name, text string
		to         *time.Time
	}{{"/from", body.From, &q.From}, {"/to", body.To, &q.To}} {
		at, err := time.Parse(time.RFC3339Nano, f.text)
		if err != nil {
			return web.BadField(f.name, "is not a time; write it as 2023-12-18T10:02:00+08:00")
		}
		*f.to = at
	}
	if !a.begin() {
		return web.Busy("another re-rate is being worked out")
	}
	defer a.end()
	_ = web.WriteWithin(c.Response(), rerateTime) // a recorder in a test has no deadlines
	v, err := a.Rerater.Try(c.Request().Context(), q)
	if errors.Is(err, billing.ErrInvalid) {
		return web.NewProblem(http.StatusUnprocessableEntity, "rerate", "This cannot be rated anew", err.Error())
	}
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/v1/rerates/"+strconv.FormatInt(v.ID, 10))
	return c.JSON(http.StatusCreated, a.rerateOf(v))
}

func (a *Corrections) getRerate(c echo.Context) error {
	q := web.QueryOf(c)
	id := idOf(c, q)
	if err := q.Err(); err != nil {
		return err
	}
	v, err := a.Books.Rerate(c.Request().Context(), id)
	if err != nil {
		return rerateProblem(err)
	}
	return c.JSON(http.StatusOK, a.rerateOf(v))
}

// rerateRowJSON is one pass of a bulk re-rate.
type rerateRowJSON struct {
	Pass       string `json:"pass"`
	PassTime   string `json:"pass_time"`
	Vehicle    string `json:"vehicle"`
	Customer   string `json:"customer"`
	Charged    string `json:"charged"`
	Right      string `json:"right"`
	Difference string `json:"difference"`
	Version    string `json:"tariff_version"`
	Rule       string `json:"rule"`
	Paid       bool   `json:"paid"`
	State      string `json:"state"`
}

func (a *Corrections) getReratePasses(c echo.Context) error {
	q := web.QueryOf(c, "after", "limit")
	limit, after, id := q.Limit(usualRows, mostRows), q.Text("after"), idOf(c, q)
	if err := q.Err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := a.Books.Rerate(ctx, id); err != nil {
		return rerateProblem(err)
	}
	rows, err := a.Books.ViewRerateRows(ctx, id, after, limit, func(rows []billing.RerateRow) []audit.Access { return a.viewed(c, id, rows) })
	if err != nil {
		return err
	}
	items := make([]rerateRowJSON, len(rows))
	for i, r := range rows {
		items[i] = rerateRowJSON{
			Pass: r.PassID, PassTime: billing.FormatPassTime(r.FirstMicros, a.Zone), Vehicle: r.Vehicle, Customer: r.Customer,
			Charged: billing.FormatCents(r.WasCents), Right: billing.FormatCents(r.NowCents), Difference: billing.FormatCents(r.NowCents - r.WasCents),
			Version: r.Version, Rule: r.Rule, Paid: r.Paid, State: r.State,
		}
	}
	return answerPage(c, items, limit, func(r rerateRowJSON) string { return r.Pass })
}

// viewed is what a motorist can see of the view of a page of passes.
func (a *Corrections) viewed(c echo.Context, id int64, rows []billing.RerateRow) []audit.Access {
	if len(rows) == 0 {
		return nil
	}
	seen := audit.Access{
		At: a.Clock.Now(), By: actorOf(c), Act: audit.Listed, Page: "GET /v1/rerates/{id}/passes",
		Subject: audit.Subject{Kind: "rerate", ID: strconv.FormatInt(id, 10)}, Records: len(rows), Reason: "rating passes anew",
	}
	for i := range rows {
		account, ok := strings.CutPrefix(rows[i].Customer, billing.MotoristPrefix)
		if ok && !slices.Contains(seen.Accounts, account) {
			seen.Accounts = append(seen.Accounts, account)
		}
	}
	return []audit.Access{seen}
}

// rerateCustomerJSON is what a bulk re-rate came to for one customer.
type rerateCustomerJSON struct {
	Customer   string `json:"customer"`
	Passes     int64  `json:"passes"`
	Charged    string `json:"charged"`
	Right      string `json:"right"`
	Difference string `json:"difference"`
	Currency   string `json:"currency"`
	Paid       int64  `json:"paid"`
}

func (a *Corrections) getRerateCustomers(c echo.Context) error {
	q := web.QueryOf(c, "after", "limit")
	limit, after, id := q.Limit(usualRows, mostRows), q.Text("after"), idOf(c, q)
	if err := q.Err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := a.Books.Rerate(ctx, id); err != nil {
		return rerateProblem(err)
	}
	list, err := a.Books.RerateCustomers(ctx, id, after, limit)
	if err != nil {
		return err
	}
	items := make([]rerateCustomerJSON, len(list))
	for i, r := range list {
		items[i] = rerateCustomerJSON{
			Customer: r.Customer, Passes: r.Passes, Charged: billing.FormatCents(r.WasCents), Right: billing.FormatCents(r.NowCents),
			Difference: billing.FormatCents(r.DifferenceCents), Currency: r.Currency, Paid: r.PaidPasses,
		}
	}
	return answerPage(c, items, limit, func(r rerateCustomerJSON) string { return r.Customer })
}

func (a *Corrections) postExecution(c echo.Context) error {
	q := web.QueryOf(c)
	id := idOf(c, q)
	if err := q.Err(); err != nil {
		return err
	}
	var body struct {
		Digest string `json:"digest"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if body.Digest == "" {
		return web.BadField("/digest", "is missing; give the digest of the dry run that you looked at")
	}
	by, ok := web.Person(c)
	if !ok {
		return ownKey()
	}
	if !a.begin() {
		return web.Busy("another re-rate is being worked out")
	}
	defer a.end()
	_ = web.WriteWithin(c.Response(), rerateTime) // as in postRerate
	v, err := a.Rerater.Order(c.Request().Context(), id, body.Digest, by)
	if err != nil {
		return rerateProblem(err)
	}
	return c.JSON(http.StatusAccepted, a.rerateOf(v))
}

// rerateProblem tells apart what is wrong with an order, and with us.
func rerateProblem(err error) error {
	switch {
	case errors.Is(err, billing.ErrNotFound):
		return web.NewProblem(http.StatusNotFound, "not-found", "", "there is no such re-rate")
	case errors.Is(err, billing.ErrStale):
		return web.NewProblem(http.StatusConflict, "changed", "The dry run no longer holds",
			"the passes, the tolls or the digest are not those of the dry run; make another and look at it")
	case errors.Is(err, billing.ErrConflict):
		return web.NewProblem(http.StatusConflict, "conflict", "",
			"another person than the one who worked the re-rate out has to order it, and once")
	}
	return fmt.Errorf("ordering a re-rate: %w", err)
}

// ownKey refuses the key that several people share.
func ownKey() error {
	return web.NewProblem(http.StatusForbidden, "own-key", "A key of your own is needed",
		"one person works a re-rate out and another has it executed: use your own key, not the shared one")
}

func (a *Corrections) begin() bool {
	select {
	case a.busy <- struct{}{}:
		return true
	default:
		return false
	}
}

func (a *Corrections) end() { <-a.busy }

func (a *Corrections) at(t time.Time) string { return t.In(a.Zone).Format(time.RFC3339Nano) }

func (a *Corrections) micros(micros int64) string { return a.at(time.UnixMicro(micros)) }

func (a *Corrections) maybe(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := a.at(t)
	return &text
}

// answerPage answers with one page; a full one has a next.
func answerPage[T any](c echo.Context, items []T, limit int, cursor func(T) string) error {
	page := web.Page[T]{Items: items}
	if page.Items == nil {
		page.Items = []T{}
	}
	if len(items) == limit {
		next := cursor(items[limit-1])
		page.Next = &next
	}
	web.LinkNext(c, page.Next)
	return c.JSON(http.StatusOK, page)
}

// numberOf reads a whole number that counts up from 1; 0 if it is absent.
func numberOf(q *web.Query, name string) int64 {
	text := q.Text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		q.Refuse(name, "is not the next of an earlier page")
	}
	return n
}

// idOf reads the id in the path.
func idOf(c echo.Context, q *web.Query) int64 {
	n, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || n < 1 {
		q.Refuse("id", "is not a whole number")
	}
	return n
}
