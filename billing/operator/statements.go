package operator

import (
	"context"
	_ "embed"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing/books"
	"freeflow/billing/statement/desk"
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

// desk answers; whoever asks is noted.
func (s *Statements) desk() *desk.Desk {
	return &desk.Desk{Books: s.Books, Zone: s.Zone, Currency: s.Currency, PDF: s.PDF, Words: s.Words, Issuer: s.Issuer, Printers: s.Printers}
}

// seen notes that somebody looked, or took away, in the transaction given.
func (s *Statements) seen(ctx context.Context, tx *books.Tx, c echo.Context, act audit.Act, page, account, id string, records int) error {
	return audit.Note(ctx, tx.Session(), audit.Access{
		At: s.Clock.Now(), By: by(c), Act: act, Page: page, Subject: audit.Subject{Kind: "statement", ID: id}, Accounts: []string{account}, Records: records,
		Reason: c.QueryParam("reason"),
	})
}

// note is that somebody looks at a page of lines, or takes them away.
func (s *Statements) note(c echo.Context, page string) desk.Note {
	return func(ctx context.Context, tx *books.Tx, act audit.Act, what desk.Span, records int) error {
		return s.seen(ctx, tx, c, act, page, what.Account, what.ID, records)
	}
}

// list shows an account's statements, latest first.
func (s *Statements) list(c echo.Context) error {
	q := web.QueryOf(c, "before", "limit", "reason")
	limit, before := q.Limit(24, 120), desk.Month(q)
	if err := q.Err(); err != nil {
		return err
	}
	var list []desk.Form
	ctx, account := c.Request().Context(), c.Param("id")
	err := s.Books.Do(ctx, func(tx *books.Tx) error {
		list = []desk.Form{}
		found, err := tx.Statements(ctx, account, before, limit)
		if err != nil {
			return err
		}
		for _, one := range found {
			list = append(list, desk.FormOf(one))
		}
		return s.seen(ctx, tx, c, audit.Listed, "GET /v1/accounts/{id}/statements", account, account, len(list))
	})
	if err != nil {
		return problem(err)
	}
	return c.JSON(http.StatusOK, map[string]any{"items": list})
}

// get shows a statement as JSON with its lines, as CSV or as PDF.
func (s *Statements) get(c echo.Context) error {
	q := web.QueryOf(c, "language", "after", "limit", "reason")
	page := desk.PageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	on := s.desk()
	what, err := on.Issued(c.Request().Context(), c.Param("number"))
	if err == nil {
		err = on.Answer(c, what, page, s.note(c, "GET /v1/statements/{number}"))
	}
	return problem(err)
}

// lines shows what was posted for an account from one day to another.
func (s *Statements) lines(c echo.Context) error {
	q := web.QueryOf(c, "from", "to", "currency", "after", "limit", "reason")
	from, to, currency := q.Needed("from"), q.Text("to"), q.Text("currency")
	page := desk.PageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	on := s.desk()
	what, err := on.Range(c.Request().Context(), c.Param("id"), currency, from, to)
	if err == nil {
		err = on.Answer(c, what, page, s.note(c, "GET /v1/accounts/{id}/lines"))
	}
	return problem(err)
}
