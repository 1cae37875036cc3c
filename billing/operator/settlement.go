package operator

import (
	"context"
	_ "embed"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/settlement"
	"freeflow/billing/statement"
	"freeflow/internal/clock"
	"freeflow/internal/once"
	"freeflow/internal/web"
)

//go:embed openapi_settlement.json
var openAPISettlement []byte

// Settlement is the topic of what operators are remitted, of what banks report,
// and of the audit of traffic.
type Settlement struct {
	Books StatementBooks
	Clock clock.Clock
	Zone  *time.Location
	// Named: preparing and approving need a key that is one person's own.
	Named bool
	// Direction returns a toll point's direction; false for one that the network
	// does not have.
	Direction func(tollPoint string) (string, bool)
}

// OpenAPI is the topic's part of the document.
func (s *Settlement) OpenAPI() []byte { return append([]byte(nil), openAPISettlement...) }

// Routes adds the topic's routes.
func (s *Settlement) Routes(g *echo.Group) {
	timed := web.Deadline(usualTime)
	g.GET("/v1/settlements", s.list, timed)
	g.GET("/v1/settlements/:number", s.get, timed)
	g.POST("/v1/settlements/:number/steps", s.step, timed)
	g.POST("/v1/cash-reports", s.report, web.Deadline(exportTime))
	g.GET("/v1/reconciliations/:day", s.reconciliation, web.Deadline(exportTime))
	g.POST("/v1/reconciliations/:day", s.reconcile, web.Deadline(exportTime))
	g.GET("/v1/breaks", s.breaks, timed)
	g.POST("/v1/breaks/:id/resolution", s.resolve, timed)
	g.GET("/v1/traffic-balance", s.traffic, web.Deadline(exportTime))
}

func (s *Settlement) deed(c echo.Context, reason string) settlement.Deed {
	return settlement.Deed{By: web.Caller(c), Role: "operator", Reason: reason, Now: s.Clock.Now().UTC().Truncate(time.Microsecond)}
}

type sumForm struct {
	What      string `json:"what"`
	Kind      string `json:"kind"`
	Earlier   bool   `json:"earlier"`
	Movements int64  `json:"movements"`
	Amount    string `json:"amount"`
}

type batchForm struct {
	Number    string          `json:"number"`
	Creditor  string          `json:"creditor"`
	Day       string          `json:"day"`
	Currency  string          `json:"currency"`
	Collected string          `json:"collected"`
	Refunded  string          `json:"refunded"`
	Carried   string          `json:"carried"`
	Remit     string          `json:"remit"`
	Carry     string          `json:"carry"`
	State     string          `json:"state"`
	MadeAt    *string         `json:"made_at"`
	Passes    *passCountsForm `json:"passes,omitempty"`
	Sums      []sumForm       `json:"sums,omitempty"`
	Steps     []stepForm      `json:"steps,omitempty"`
}

type passCountsForm struct {
	Passes  int64 `json:"passes"`
	Charged int64 `json:"charged"`
	Exempt  int64 `json:"exempt"`
	Unpaid  int64 `json:"unpaid"`
	Review  int64 `json:"review"`
}

type stepForm struct {
	State     string  `json:"state"`
	At        *string `json:"at"`
	By        string  `json:"by"`
	Means     string  `json:"means,omitempty"`
	Reference string  `json:"reference,omitempty"`
	Reason    string  `json:"reason,omitempty"`
}

func (s *Settlement) batchOf(b settlement.Batch) batchForm {
	return batchForm{
		Number: b.Number, Creditor: b.Creditor, Day: statement.DayAt(b.Day, s.Zone).String(), Currency: b.Currency, Collected: billing.FormatCents(b.CollectedCents),
		Refunded: billing.FormatCents(b.RefundedCents), Carried: billing.FormatCents(b.CarriedCents), Remit: billing.FormatCents(b.RemitCents), Carry: billing.FormatCents(b.CarryCents),
		State: b.State, MadeAt: shown(b.MadeAt),
	}
}

// dayParam reads a day from the query; 0 if it is not given.
func (s *Settlement) dayParam(q *web.Query, name string) int64 {
	text := q.Text(name)
	if text == "" {
		return 0
	}
	d, err := statement.ParseDay(text, s.Zone)
	if err != nil {
		q.Refuse(name, "is no day such as 2026-11-25")
	}
	return d.Number
}

// dayAfter reads a cursor of a day and an id.
func dayAfter(q *web.Query) (day int64, id string) {
	if place := q.Place(2); place != nil {
		day, id = q.Whole(place[0]), place[1]
	}
	return day, id
}

func dayCursor(day int64, id string) *string { return web.Cursor(strconv.FormatInt(day, 10), id) }

func (s *Settlement) list(c echo.Context) error {
	q := web.QueryOf(c, "creditor", "state", "from", "to", "after", "limit")
	f := settlement.Filter{Creditor: q.Text("creditor"), State: q.Text("state"), FromDay: s.dayParam(q, "from"), ToDay: s.dayParam(q, "to")}
	if f.ToDay != 0 {
		f.ToDay++
	}
	f.AfterDay, f.After = dayAfter(q)
	limit := q.Limit(100, 1000)
	f.Limit = limit + 1
	if err := q.Err(); err != nil {
		return err
	}
	var page web.Page[batchForm]
	ctx := c.Request().Context()
	err := s.Books.View(ctx, func(tx *books.Tx) error {
		list, err := tx.Batches(ctx, f)
		page.Items, page.Next = []batchForm{}, nil
		if len(list) > limit {
			list = list[:limit]
			page.Next = dayCursor(list[limit-1].Day, list[limit-1].Number)
		}
		for _, b := range list {
			page.Items = append(page.Items, s.batchOf(b))
		}
		return err
	})
	if err != nil {
		return problem(err)
	}
	web.LinkNext(c, page.Next)
	return c.JSON(http.StatusOK, page)
}

// whole is a batch with its figures and steps.
func (s *Settlement) whole(ctx context.Context, tx *books.Tx, number string) (batchForm, error) {
	b, err := tx.Batch(ctx, number)
	if err != nil {
		return batchForm{}, err
	}
	f := s.batchOf(b)
	p := passCountsForm(b.Figures.Passes)
	f.Passes = &p
	for _, one := range b.Figures.Sums {
		f.Sums = append(f.Sums, sumForm{one.What, one.Kind, one.Earlier, one.Movements, billing.FormatCents(one.AmountCents)})
	}
	steps, err := tx.Steps(ctx, number)
	for _, one := range steps {
		f.Steps = append(f.Steps, stepForm{one.State, shown(one.At), one.By, one.Means, one.Reference, one.Reason})
	}
	return f, err
}

func (s *Settlement) get(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	var f batchForm
	ctx := c.Request().Context()
	// In a transaction that may write: reading a batch locks it.
	err := s.Books.Do(ctx, func(tx *books.Tx) (err error) {
		f, err = s.whole(ctx, tx, c.Param("number"))
		return err
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, f)
}

func (s *Settlement) step(c echo.Context) error {
	var body struct {
		State     string `json:"state"`
		Means     string `json:"means"`
		Reference string `json:"reference"`
		Reason    string `json:"reason"`
	}
	if err := person(c, s.Named, "settlement is prepared and approved by persons"); err != nil {
		return err
	}
	return repeatable(c, s.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		want := settlement.Wanted{State: body.State, Means: body.Means, Reference: body.Reference}
		if _, err := settlement.Take(ctx, tx, c.Param("number"), want, s.deed(c, body.Reason)); err != nil {
			return once.Answer{}, err
		}
		f, err := s.whole(ctx, tx, c.Param("number"))
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, f, "")
	})
}

func (s *Settlement) report(c echo.Context) error {
	var body struct {
		Means string `json:"means"`
		From  string `json:"from"`
		To    string `json:"to"`
		More  bool   `json:"more"`
		CSV   string `json:"csv"`
	}
	return repeatable(c, s.Books, &body, func(ctx context.Context, tx *books.Tx, asked once.Request) (once.Answer, error) {
		from, err := statement.ParseDay(body.From, s.Zone)
		if err != nil {
			return once.Answer{}, err
		}
		to, err := statement.ParseDay(body.To, s.Zone)
		if err != nil {
			return once.Answer{}, err
		}
		r := settlement.Report{ID: "report:" + asked.ID(), Means: body.Means, From: from.From, To: to.To, More: body.More}
		if r.Rows, err = settlement.ParseRows(body.CSV); err != nil {
			return once.Answer{}, err
		}
		d := s.deed(c, "")
		m, err := settlement.TakeReport(ctx, tx, r, to.Number, d)
		if err != nil {
			return once.Answer{}, err
		}
		ended, err := settlement.Recheck(ctx, tx, r.Means, d)
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusCreated, map[string]any{"id": r.ID, "rows": m.Rows, "agree": m.Agree, "breaks": m.Breaks, "ended": m.Ended + ended}, "")
	})
}

type unitForm struct {
	Facility         string `json:"facility"`
	Owing            int64  `json:"owing"`
	OwingAmount      string `json:"owing_amount"`
	Exempt           int64  `json:"exempt"`
	Review           int64  `json:"review"`
	Charges          int64  `json:"charges"`
	ChargesAmount    string `json:"charges_amount"`
	Receivables      int64  `json:"receivables"`
	ReceivableAmount string `json:"receivables_amount"`
	Paid             string `json:"paid"`
}

type dayForm struct {
	Day string `json:"day"`
	// Reads are those archived by batches posted on the day.
	Reads int64      `json:"reads"`
	Units []unitForm `json:"units"`
	Found *int       `json:"found,omitempty"`
}

func (s *Settlement) units(ctx context.Context, tx *books.Tx, d statement.Day) (dayForm, error) {
	f := dayForm{Day: d.String(), Units: []unitForm{}}
	list, err := tx.UnitsOf(ctx, d.From, d.To)
	if err != nil {
		return f, err
	}
	for _, u := range list {
		f.Units = append(f.Units, unitForm{
			u.Facility, u.Passes, billing.FormatCents(u.PassCents), u.Exempt, u.Review, u.Charges, billing.FormatCents(u.ChargeCents), u.Receivables,
			billing.FormatCents(u.ReceivableCents), billing.FormatCents(u.PaidCents),
		})
	}
	f.Reads, err = tx.ReadsOf(ctx, d.From, d.To)
	return f, err
}

// reconciliation shows how far a day's passes came.
func (s *Settlement) reconciliation(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	var f dayForm
	ctx := c.Request().Context()
	err := s.Books.View(ctx, func(tx *books.Tx) error {
		d, err := statement.ParseDay(c.Param("day"), s.Zone)
		if err == nil {
			f, err = s.units(ctx, tx, d)
		}
		return err
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, f)
}

// reconcile compares a day from pass to receivable, and keeps every break.
func (s *Settlement) reconcile(c echo.Context) error {
	var body struct{}
	return repeatable(c, s.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		d, err := statement.ParseDay(c.Param("day"), s.Zone)
		if err != nil {
			return once.Answer{}, err
		}
		found, err := settlement.Chain(ctx, tx, d, s.deed(c, ""))
		if err != nil {
			return once.Answer{}, err
		}
		f, err := s.units(ctx, tx, d)
		if err != nil {
			return once.Answer{}, err
		}
		f.Found = &found
		return once.Made(http.StatusOK, f, "")
	})
}

type breakForm struct {
	ID       string  `json:"id"`
	Kind     string  `json:"kind"`
	Subject  string  `json:"subject"`
	Unit     string  `json:"unit"`
	Day      string  `json:"day"`
	Currency string  `json:"currency,omitempty"`
	Ours     string  `json:"ours"`
	Theirs   string  `json:"theirs"`
	FoundAt  *string `json:"found_at"`
	AgeDays  int64   `json:"age_days"`
	EndedAt  *string `json:"ended_at"`
	EndedBy  string  `json:"ended_by,omitempty"`
	Reason   string  `json:"reason,omitempty"`
}

func (s *Settlement) breakOf(b settlement.Break) breakForm {
	until := b.EndedAt
	if until.IsZero() {
		until = s.Clock.Now()
	}
	return breakForm{
		b.ID, b.Kind, b.Subject, b.Unit, statement.DayAt(b.Day, s.Zone).String(), b.Currency, billing.FormatCents(b.OursCents), billing.FormatCents(b.TheirCents),
		shown(b.FoundAt), int64(until.Sub(b.FoundAt) / (24 * time.Hour)), shown(b.EndedAt), b.EndedBy, b.Reason,
	}
}

func (s *Settlement) breaks(c echo.Context) error {
	q := web.QueryOf(c, "unit", "all", "after", "limit")
	unit, all := q.Text("unit"), q.Bool("all")
	day, id := dayAfter(q)
	limit := q.Limit(100, 1000)
	if err := q.Err(); err != nil {
		return err
	}
	var page web.Page[breakForm]
	ctx := c.Request().Context()
	err := s.Books.View(ctx, func(tx *books.Tx) error {
		list, err := tx.Breaks(ctx, unit, all, day, id, limit+1)
		page.Items, page.Next = []breakForm{}, nil
		if len(list) > limit {
			list = list[:limit]
			page.Next = dayCursor(list[limit-1].Day, list[limit-1].ID)
		}
		for _, b := range list {
			page.Items = append(page.Items, s.breakOf(b))
		}
		return err
	})
	if err != nil {
		return problem(err)
	}
	web.LinkNext(c, page.Next)
	return c.JSON(http.StatusOK, page)
}

func (s *Settlement) resolve(c echo.Context) error {
	var body struct {
		Reason string `json:"reason"`
	}
	return repeatable(c, s.Books, &body, func(ctx context.Context, tx *books.Tx, _ once.Request) (once.Answer, error) {
		b, err := settlement.Resolve(ctx, tx, c.Param("id"), s.deed(c, body.Reason))
		if err != nil {
			return once.Answer{}, err
		}
		return once.Made(http.StatusOK, s.breakOf(b), "")
	})
}

// maxTrafficDays bounds the audit of traffic.
const maxTrafficDays = 366 * 12

// traffic audits what went across facilities one way and the other.
func (s *Settlement) traffic(c echo.Context) error {
	q := web.QueryOf(c, "facilities", "fleet", "from", "to")
	cordon := settlement.Cordon{Name: q.Needed("facilities"), Facilities: strings.Split(q.Text("facilities"), ","), Fleet: map[string]int64{}}
	if text := q.Text("fleet"); text != "" {
		for _, one := range strings.Split(text, ",") {
			class, number, _ := strings.Cut(one, ":")
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil || n < 0 || class == "" {
				q.Refuse("fleet", "is not like private_car:575000,taxi:18000")
				break
			}
			cordon.Fleet[class] = n
		}
	}
	q.Needed("from")
	from, to := s.dayParam(q, "from"), s.dayParam(q, "to")
	if to == 0 {
		to = statement.DayOf(s.Clock.Now(), s.Zone).Number
	}
	if to < from || to-from > maxTrafficDays {
		q.Refuse("to", "must not be before from, nor over twelve years after it")
	}
	if err := q.Err(); err != nil {
		return err
	}
	type form struct {
		Class   string  `json:"class"`
		One     string  `json:"one"`
		Other   string  `json:"other"`
		OneWay  int64   `json:"one_way"`
		Back    int64   `json:"other_way"`
		Net     int64   `json:"net"`
		Most    int64   `json:"most"`
		Fleet   int64   `json:"fleet"`
		Judged  bool    `json:"judged"`
		Flagged bool    `json:"flagged"`
		Since   *string `json:"since"`
	}
	items, unknown := []form{}, []string{}
	ctx := c.Request().Context()
	err := s.Books.View(ctx, func(tx *books.Tx) error {
		list, err := tx.Traffic(ctx, from, to+1)
		if err != nil {
			return err
		}
		known := list[:0]
		for _, one := range list {
			var ok bool
			if one.Direction, ok = s.Direction(one.TollPoint); ok {
				known = append(known, one)
			} else if !slices.Contains(unknown, one.TollPoint) {
				unknown = append(unknown, one.TollPoint)
			}
		}
		found, err := settlement.Balance(known, []settlement.Cordon{cordon})
		for _, i := range found {
			f := form{i.Class, i.One, i.Other, i.OnePasses, i.OtherPasses, i.Net(), i.Most, i.Fleet, i.Judged, i.Flagged, nil}
			if i.Flagged {
				since := statement.DayAt(i.Since, s.Zone).String()
				f.Since = &since
			}
			items = append(items, f)
		}
		return err
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, map[string]any{"items": items, "unknown_toll_points": unknown})
}
