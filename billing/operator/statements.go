package operator

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/statement"
	"freeflow/billing/statement/pdf"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/web"
)

//go:embed openapi_statements.json
var openAPIStatements []byte

// StatementBooks is what the topic needs of the books.
type StatementBooks interface {
	AccountBooks
	View(ctx context.Context, fn func(*books.Tx) error) error
}

// Statements is the topic of what accounts are told about their money.
type Statements struct {
	Books StatementBooks
	Clock clock.Clock
	Zone  *time.Location
	// Currency is the network's, for ranges that name none.
	Currency string
	PDF      *pdf.Maker
	Words    pdf.Words
	// Issuer is printed on documents.
	Issuer string
	// Printers bounds how many PDFs are made at a time: its capacity.
	Printers chan struct{}
}

// exportTime bounds a whole export.
const exportTime = 2 * time.Minute

// OpenAPI is the topic's part of the document.
func (s *Statements) OpenAPI() []byte { return append([]byte(nil), openAPIStatements...) }

// Routes adds the topic's routes.
func (s *Statements) Routes(g *echo.Group) {
	g.GET("/v1/accounts/:id/statements", s.list, web.Deadline(usualTime))
	g.GET("/v1/accounts/:id/lines", s.lines, web.Deadline(exportTime))
	g.GET("/v1/statements/:number", s.get, web.Deadline(exportTime))
}

type sidesForm struct {
	Owed string `json:"owed"`
	Held string `json:"held"`
}

func sidesOf(s statement.Sides) sidesForm {
	return sidesForm{billing.FormatCents(s.OwedCents), billing.FormatCents(s.HeldCents)}
}

type lineForm struct {
	PostedAt    *string `json:"posted_at"`
	Group       string  `json:"group"`
	Kind        string  `json:"kind"`
	Undoes      string  `json:"undoes,omitempty"`
	What        string  `json:"what"`
	Item        string  `json:"item"`
	OccurredAt  *string `json:"occurred_at"`
	Place       string  `json:"place,omitempty"`
	Vehicle     string  `json:"vehicle,omitempty"`
	Class       string  `json:"class,omitempty"`
	Text        string  `json:"text,omitempty"`
	Owed        string  `json:"owed"`
	Held        string  `json:"held"`
	Transaction string  `json:"transaction"`
}

func lineOf(l statement.Line) lineForm {
	f := lineForm{
		PostedAt: shown(l.PostedAt), Group: l.Group(), Kind: l.Kind, Undoes: l.Undoes, What: l.What, Item: l.Item, Place: l.Place, Vehicle: l.Vehicle, Class: l.Class,
		Text: l.Text, Owed: billing.FormatCents(l.OwedCents), Held: billing.FormatCents(l.HeldCents), Transaction: l.Transaction,
	}
	if l.OccurredMicros != 0 {
		f.OccurredAt = shown(time.UnixMicro(l.OccurredMicros))
	}
	return f
}

type statementForm struct {
	Number   string    `json:"number"`
	Account  string    `json:"account"`
	Currency string    `json:"currency"`
	Month    string    `json:"month"`
	From     *string   `json:"from"`
	To       *string   `json:"to"`
	Opening  sidesForm `json:"opening"`
	Closing  sidesForm `json:"closing"`
	Lines    int64     `json:"lines"`
	Digest   string    `json:"digest"`
	Previous string    `json:"previous,omitempty"`
	IssuedAt *string   `json:"issued_at"`
}

func statementOf(s statement.Statement) statementForm {
	return statementForm{
		s.Number, s.Account, s.Currency, s.Month.String(), shown(s.From), shown(s.To), sidesOf(s.Opening), sidesOf(s.Closing), s.Lines, s.Digest, s.Previous, shown(s.IssuedAt),
	}
}

// seen notes that somebody looked, or took away, in the transaction given.
func (s *Statements) seen(ctx context.Context, tx *books.Tx, c echo.Context, act audit.Act, page, account, id string, records int) error {
	return audit.Note(ctx, tx.Session(), audit.Access{
		At: s.Clock.Now(), By: by(c), Act: act, Page: page, Subject: audit.Subject{Kind: "statement", ID: id}, Accounts: []string{account}, Records: records,
		Reason: c.QueryParam("reason"),
	})
}

// list shows an account's statements, latest first.
func (s *Statements) list(c echo.Context) error {
	q := web.QueryOf(c, "before", "limit", "reason")
	limit := q.Limit(24, 120)
	before := statement.Month(0)
	if text := q.Text("before"); text != "" {
		var err error
		if before, err = statement.ParseMonth(text); err != nil {
			q.Refuse("before", "is no month such as 2026-11")
		}
	}
	if err := q.Err(); err != nil {
		return err
	}
	var list []statementForm
	ctx, account := c.Request().Context(), c.Param("id")
	err := s.Books.Do(ctx, func(tx *books.Tx) error {
		list = []statementForm{}
		found, err := tx.Statements(ctx, account, before, limit)
		if err != nil {
			return err
		}
		for _, one := range found {
			list = append(list, statementOf(one))
		}
		return s.seen(ctx, tx, c, audit.Listed, "GET /v1/accounts/{id}/statements", account, account, len(list))
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, map[string]any{"items": list})
}

// wants tells whether a type of content was asked for.
func wants(c echo.Context, kind string) bool {
	return strings.Contains(c.Request().Header.Get(echo.HeaderAccept), kind)
}

// attach names the file that an answer is.
func attach(c echo.Context, kind, name string) {
	c.Response().Header().Set(echo.HeaderContentType, kind)
	c.Response().Header().Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": name}))
}

// span is what an answer is of: a statement's month, or a range.
type span struct {
	statement.Holder
	from, to time.Time
	opening  statement.Sides
	// issued is the statement; nil for a range.
	issued   *statement.Statement
	id, page string
}

// get shows a statement as JSON with its lines, as CSV or as PDF.
func (s *Statements) get(c echo.Context) error {
	q := web.QueryOf(c, "language", "after", "limit", "reason")
	language := q.Text("language")
	if language != "" && language != statement.English && language != statement.Chinese {
		q.Refuse("language", "is en or zh-HK")
	}
	place, limit := lineFrom(q)
	if err := q.Err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	var issued statement.Statement
	err := s.Books.View(ctx, func(tx *books.Tx) (err error) {
		issued, err = tx.Statement(ctx, c.Param("number"))
		return err
	})
	if err != nil {
		return problem(err)
	}
	what := span{statement.Holder{Account: issued.Account, Currency: issued.Currency}, issued.From, issued.To, issued.Opening, &issued, issued.Number, "GET /v1/statements/{number}"}
	switch {
	case wants(c, "application/pdf"):
		return s.print(c, what, language)
	case wants(c, "text/csv"):
		return s.table(c, what)
	}
	return s.show(c, what, place, limit)
}

// lines shows what was posted for an account from one day to another.
func (s *Statements) lines(c echo.Context) error {
	q := web.QueryOf(c, "from", "to", "currency", "after", "limit", "reason")
	from, to, currency := q.Needed("from"), q.Text("to"), q.Text("currency")
	place, limit := lineFrom(q)
	if err := q.Err(); err != nil {
		return err
	}
	if currency == "" {
		currency = s.Currency
	}
	what := span{Holder: statement.Holder{Account: c.Param("id"), Currency: currency}, page: "GET /v1/accounts/{id}/lines"}
	ctx := c.Request().Context()
	err := s.Books.View(ctx, func(tx *books.Tx) error {
		closed, err := tx.Closed(ctx)
		if err != nil {
			return err
		}
		if what.from, what.to, err = statement.Range(from, to, closed, s.Zone); err != nil {
			return err
		}
		what.opening, err = tx.SidesAt(ctx, what.Holder, what.from)
		return err
	})
	if err != nil {
		return problem(err)
	}
	what.id = what.Account + " " + what.from.In(s.Zone).Format(time.DateOnly) + " " + what.to.In(s.Zone).AddDate(0, 0, -1).Format(time.DateOnly)
	if wants(c, "text/csv") {
		return s.table(c, what)
	}
	return s.show(c, what, place, limit)
}

func lineFrom(q *web.Query) (p statement.Place, limit int) {
	limit = q.Limit(500, 5000)
	text, err := base64.RawURLEncoding.DecodeString(q.Text("after"))
	if err == nil && len(text) > 0 {
		micros, id, _ := strings.Cut(string(text), "\n")
		p.Transaction = id
		p.PostedMicros, err = strconv.ParseInt(micros, 10, 64)
	}
	if err != nil {
		q.Refuse("after", "is not what a page gave as next")
	}
	return p, limit
}

// show answers one page of lines as JSON; of a statement with what was told.
func (s *Statements) show(c echo.Context, what span, after statement.Place, limit int) error {
	var f struct {
		Statement *statementForm `json:"statement,omitempty"`
		Account   string         `json:"account"`
		Currency  string         `json:"currency"`
		From      *string        `json:"from"`
		To        *string        `json:"to"`
		Opening   sidesForm      `json:"opening"`
		Closing   sidesForm      `json:"closing"`
		Items     []lineForm     `json:"items"`
		Next      *string        `json:"next"`
	}
	f.Account, f.Currency, f.From, f.To, f.Opening = what.Account, what.Currency, shown(what.from), shown(what.to), sidesOf(what.opening)
	ctx := c.Request().Context()
	err := s.Books.Do(ctx, func(tx *books.Tx) error {
		f.Items, f.Next = []lineForm{}, nil
		closing, err := tx.SidesAt(ctx, what.Holder, what.to)
		if what.issued != nil {
			one := statementOf(*what.issued)
			f.Statement, closing = &one, what.issued.Closing
		}
		f.Closing = sidesOf(closing)
		if err != nil {
			return err
		}
		list, err := tx.Lines(ctx, what.Holder, what.from, what.to, after, limit+1)
		if err != nil {
			return err
		}
		if len(list) > limit {
			list = list[:limit]
			last := list[limit-1]
			next := base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last.PostedAt.UnixMicro(), 10) + "\n" + last.Transaction))
			f.Next = &next
		}
		for _, l := range list {
			f.Items = append(f.Items, lineOf(l))
		}
		return s.seen(ctx, tx, c, audit.Viewed, what.page, what.Account, what.id, len(list))
	})
	if err != nil {
		return problem(err)
	}
	web.LinkNext(c, f.Next)
	return c.JSON(http.StatusOK, f)
}

// each calls fn with all lines; of a statement it proves at the end that they
// are those that were issued.
func (s *Statements) each(ctx context.Context, what span, fn func(statement.Line) error) error {
	return s.Books.View(ctx, func(tx *books.Tx) error {
		if what.issued != nil {
			return statement.Replay(ctx, tx, *what.issued, fn)
		}
		return tx.EachLine(ctx, what.Holder, what.from, what.to, fn)
	})
}

// table answers all lines as CSV, as they are read. That it was taken away is
// noted first. A failure under way cuts the answer short: a table without its
// closing row is not whole.
func (s *Statements) table(c echo.Context, what span) error {
	ctx := c.Request().Context()
	if err := s.exported(c, what); err != nil {
		return problem(err)
	}
	name := what.id
	if what.issued == nil {
		name = strings.ReplaceAll(what.id, " ", "_")
	}
	attach(c, "text/csv; charset=utf-8; header=present", name+".csv")
	c.Response().WriteHeader(http.StatusOK)
	w := statement.NewCSV(c.Response(), what.Currency, what.opening, what.from, s.Zone)
	if err := s.each(ctx, what, w.Line); err != nil {
		return err
	}
	_, err := w.End(what.to)
	return err
}

func (s *Statements) exported(c echo.Context, what span) error {
	ctx := c.Request().Context()
	records := 0
	if what.issued != nil {
		records = int(what.issued.Lines)
	}
	return s.Books.Do(ctx, func(tx *books.Tx) error {
		return s.seen(ctx, tx, c, audit.Exported, what.page, what.Account, what.id, records)
	})
}

// print answers a statement as PDF. At most so many are made at a time; who
// comes then is told to come again.
func (s *Statements) print(c echo.Context, what span, language string) error {
	select {
	case s.Printers <- struct{}{}:
		defer func() { <-s.Printers }()
	case <-c.Request().Context().Done():
		return c.Request().Context().Err()
	}
	if what.issued.Lines > pdf.MaxLines {
		return tooLong(what.issued.Lines)
	}
	ctx := c.Request().Context()
	d := pdf.Document{Statement: *what.issued, Language: language, Words: s.Words, Zone: s.Zone, Issuer: s.Issuer}
	err := s.Books.View(ctx, func(tx *books.Tx) error {
		var own string
		var err error
		d.Name, own, err = statement.NameOn(ctx, tx, *what.issued)
		if d.Language == "" {
			d.Language = own
		}
		return err
	})
	if err == nil {
		err = s.each(ctx, what, func(l statement.Line) error {
			d.Lines = append(d.Lines, l)
			return nil
		})
	}
	if err != nil {
		return problem(err)
	}
	if d.Language == "" {
		d.Language = statement.English
	}
	file, err := s.PDF.Make(d)
	if errors.Is(err, pdf.ErrTooLong) {
		return tooLong(what.issued.Lines)
	}
	if err != nil {
		return err
	}
	if err := s.exported(c, what); err != nil {
		return problem(err)
	}
	attach(c, "application/pdf", what.id+".pdf")
	return c.Stream(http.StatusOK, "application/pdf", bytes.NewReader(file))
}

func tooLong(lines int64) error {
	return web.NewProblem(http.StatusUnprocessableEntity, "too-long", "Too long for a PDF",
		fmt.Sprintf("the statement has %d lines, a PDF at most %d; ask for text/csv", lines, pdf.MaxLines))
}
