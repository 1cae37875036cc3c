// Package desk owns how statements, and the lines of any range of days, are
// answered over HTTP: as JSON a page at a time, as CSV, and as PDF, by the type
// of content asked for. Staff and motorists are answered alike.
//
// Invariants: what is shown, the table and the document are of the same lines
// and agree to the cent; a table without its closing row is not whole; where a
// view is to be noted and cannot be, nothing is shown; at most so many PDFs are
// made at a time as Printers has room for.
//
// Not owned here: who may ask for what, and the routes. Not promised: that a
// table whose making failed under way is told otherwise than by being cut off.
package desk

import (
	"bytes"
	"context"
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
	"freeflow/internal/web"
)

// Books is what is needed of the books.
type Books interface {
	Do(ctx context.Context, fn func(*books.Tx) error) error
	View(ctx context.Context, fn func(*books.Tx) error) error
}

// Desk answers. Safe for concurrent use.
type Desk struct {
	Books Books
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

// Span is what an answer is of: a statement's month, or a range.
type Span struct {
	statement.Holder
	// From and To bound it: [From, To).
	From, To time.Time
	Opening  statement.Sides
	// Issued is the statement; nil for a range.
	Issued *statement.Statement
	// ID is the statement's number, or the account and the days.
	ID string
}

// Note notes in the transaction given that somebody looked at a span, or took it
// away; records is how many lines were shown, 0 where that is not known yet. An
// account's own holder is noted nowhere: nil.
type Note func(ctx context.Context, tx *books.Tx, act audit.Act, what Span, records int) error

// run runs fn in a transaction that can note a view, or on a snapshot where there
// is nothing to note.
func (d *Desk) run(ctx context.Context, note Note, fn func(*books.Tx) error) error {
	if note == nil {
		return d.Books.View(ctx, fn)
	}
	return d.Books.Do(ctx, fn)
}

func (n Note) seen(ctx context.Context, tx *books.Tx, act audit.Act, what Span, records int) error {
	if n == nil {
		return nil
	}
	return n(ctx, tx, act, what, records)
}

// shown is an instant as it is answered; nil for none.
func shown(at time.Time) *string { return web.Shown(at) }

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

// Form is a statement without its lines.
type Form struct {
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

// FormOf is a statement as it is answered.
func FormOf(s statement.Statement) Form {
	return Form{
		s.Number, s.Account, s.Currency, s.Month.String(), shown(s.From), shown(s.To), sidesOf(s.Opening), sidesOf(s.Closing), s.Lines, s.Digest, s.Previous, shown(s.IssuedAt),
	}
}

// Issued is the span of a statement. billing.ErrNotFound.
func (d *Desk) Issued(ctx context.Context, number string) (Span, error) {
	var issued statement.Statement
	err := d.Books.View(ctx, func(tx *books.Tx) (err error) {
		issued, err = tx.Statement(ctx, number)
		return err
	})
	return Span{
		Holder: statement.Holder{Account: issued.Account, Currency: issued.Currency}, From: issued.From, To: issued.To, Opening: issued.Opening,
		Issued: &issued, ID: issued.Number,
	}, err
}

// Range is the span of an account from one day to another, as statement.Range
// has it; an empty currency is the network's.
func (d *Desk) Range(ctx context.Context, account, currency, from, to string) (Span, error) {
	if currency == "" {
		currency = d.Currency
	}
	what := Span{Holder: statement.Holder{Account: account, Currency: currency}}
	err := d.Books.View(ctx, func(tx *books.Tx) error {
		closed, err := tx.Closed(ctx)
		if err != nil {
			return err
		}
		if what.From, what.To, err = statement.Range(from, to, closed, d.Zone); err != nil {
			return err
		}
		what.Opening, err = tx.SidesAt(ctx, what.Holder, what.From)
		return err
	})
	what.ID = account + " " + what.From.In(d.Zone).Format(time.DateOnly) + " " + what.To.In(d.Zone).AddDate(0, 0, -1).Format(time.DateOnly)
	return what, err
}

// Month reads the month before which a list goes on; 0 from the latest.
func Month(q *web.Query) statement.Month {
	text := q.Text("before")
	if text == "" {
		return 0
	}
	before, err := statement.ParseMonth(text)
	if err != nil {
		q.Refuse("before", "is no month such as 2026-11")
	}
	return before
}

// Page says which lines are asked for, and the language of a PDF; empty is the
// account's.
type Page struct {
	After    statement.Place
	Limit    int
	Language string
}

// PageOf reads after, limit and language.
func PageOf(q *web.Query) (p Page) {
	p.Limit, p.Language = q.Limit(500, 5000), q.Text("language")
	if p.Language != "" && p.Language != statement.English && p.Language != statement.Chinese {
		q.Refuse("language", "is en or zh-HK")
	}
	if place := q.Place(2); place != nil {
		p.After = statement.Place{PostedMicros: q.Whole(place[0]), Transaction: place[1]}
	}
	return p
}

// wants tells whether a type of content was asked for.
func wants(c echo.Context, kind string) bool {
	return strings.Contains(c.Request().Header.Get(echo.HeaderAccept), kind)
}

// Document tells whether a request asks for a whole table or document.
func Document(c echo.Context) bool { return wants(c, "application/pdf") || wants(c, "text/csv") }

// Answer answers as the request accepts it: application/pdf, of a statement only,
// text/csv, else a page of JSON.
func (d *Desk) Answer(c echo.Context, what Span, p Page, note Note) error {
	switch {
	case what.Issued != nil && wants(c, "application/pdf"):
		return d.print(c, what, p.Language, note)
	case wants(c, "text/csv"):
		return d.table(c, what, note)
	}
	return d.show(c, what, p.After, p.Limit, note)
}

// attach names the file that an answer is.
func attach(c echo.Context, kind, name string) {
	c.Response().Header().Set(echo.HeaderContentType, kind)
	c.Response().Header().Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": name}))
}

// show answers one page of lines as JSON; of a statement with what was told.
func (d *Desk) show(c echo.Context, what Span, after statement.Place, limit int, note Note) error {
	var f struct {
		Statement *Form      `json:"statement,omitempty"`
		Account   string     `json:"account"`
		Currency  string     `json:"currency"`
		From      *string    `json:"from"`
		To        *string    `json:"to"`
		Opening   sidesForm  `json:"opening"`
		Closing   sidesForm  `json:"closing"`
		Items     []lineForm `json:"items"`
		Next      *string    `json:"next"`
	}
	f.Account, f.Currency, f.From, f.To, f.Opening = what.Account, what.Currency, shown(what.From), shown(what.To), sidesOf(what.Opening)
	ctx := c.Request().Context()
	err := d.run(ctx, note, func(tx *books.Tx) error {
		f.Items, f.Next = []lineForm{}, nil
		closing, err := tx.SidesAt(ctx, what.Holder, what.To)
		if what.Issued != nil {
			one := FormOf(*what.Issued)
			f.Statement, closing = &one, what.Issued.Closing
		}
		f.Closing = sidesOf(closing)
		if err != nil {
			return err
		}
		list, err := tx.Lines(ctx, what.Holder, what.From, what.To, after, limit+1)
		if err != nil {
			return err
		}
		if len(list) > limit {
			list = list[:limit]
			last := list[limit-1]
			f.Next = web.Cursor(strconv.FormatInt(last.PostedAt.UnixMicro(), 10), last.Transaction)
		}
		for _, l := range list {
			f.Items = append(f.Items, lineOf(l))
		}
		return note.seen(ctx, tx, audit.Viewed, what, len(list))
	})
	if err != nil {
		return err
	}
	web.LinkNext(c, f.Next)
	return c.JSON(http.StatusOK, f)
}

// each calls fn with all lines; of a statement it proves at the end that they
// are those that were issued.
func (d *Desk) each(ctx context.Context, what Span, fn func(statement.Line) error) error {
	return d.Books.View(ctx, func(tx *books.Tx) error {
		if what.Issued != nil {
			return statement.Replay(ctx, tx, *what.Issued, fn)
		}
		return tx.EachLine(ctx, what.Holder, what.From, what.To, fn)
	})
}

// table answers all lines as CSV, as they are read. That it was taken away is
// noted first. A failure under way cuts the answer short: a table without its
// closing row is not whole.
func (d *Desk) table(c echo.Context, what Span, note Note) error {
	ctx := c.Request().Context()
	if err := d.exported(ctx, what, note); err != nil {
		return err
	}
	name := what.ID
	if what.Issued == nil {
		name = strings.ReplaceAll(what.ID, " ", "_")
	}
	attach(c, "text/csv; charset=utf-8; header=present", name+".csv")
	c.Response().WriteHeader(http.StatusOK)
	w := statement.NewCSV(c.Response(), what.Currency, what.Opening, what.From, d.Zone)
	if err := d.each(ctx, what, w.Line); err != nil {
		return err
	}
	_, err := w.End(what.To)
	return err
}

// exported notes that a span was taken away.
func (d *Desk) exported(ctx context.Context, what Span, note Note) error {
	if note == nil {
		return nil
	}
	records := 0
	if what.Issued != nil {
		records = int(what.Issued.Lines)
	}
	return d.Books.Do(ctx, func(tx *books.Tx) error { return note(ctx, tx, audit.Exported, what, records) })
}

// print answers a statement as PDF. At most so many are made at a time; who
// comes then is told to come again.
func (d *Desk) print(c echo.Context, what Span, language string, note Note) error {
	select {
	case d.Printers <- struct{}{}:
		defer func() { <-d.Printers }()
	case <-c.Request().Context().Done():
		return c.Request().Context().Err()
	}
	if what.Issued.Lines > pdf.MaxLines {
		return tooLong(what.Issued.Lines)
	}
	ctx := c.Request().Context()
	doc := pdf.Document{Statement: *what.Issued, Language: language, Words: d.Words, Zone: d.Zone, Issuer: d.Issuer}
	err := d.Books.View(ctx, func(tx *books.Tx) error {
		var own string
		var err error
		doc.Name, own, err = statement.NameOn(ctx, tx, *what.Issued)
		if doc.Language == "" {
			doc.Language = own
		}
		return err
	})
	if err == nil {
		err = d.each(ctx, what, func(l statement.Line) error {
			doc.Lines = append(doc.Lines, l)
			return nil
		})
	}
	if err != nil {
		return err
	}
	if doc.Language == "" {
		doc.Language = statement.English
	}
	file, err := d.PDF.Make(doc)
	if errors.Is(err, pdf.ErrTooLong) {
		return tooLong(what.Issued.Lines)
	}
	if err != nil {
		return err
	}
	if err := d.exported(ctx, what, note); err != nil {
		return err
	}
	attach(c, "application/pdf", what.ID+".pdf")
	return c.Stream(http.StatusOK, "application/pdf", bytes.NewReader(file))
}

func tooLong(lines int64) error {
	return web.NewProblem(http.StatusUnprocessableEntity, "too-long", "Too long for a PDF",
		fmt.Sprintf("the statement has %d lines, a PDF at most %d; ask for text/csv", lines, pdf.MaxLines))
}
