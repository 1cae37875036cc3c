package operator

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/web"
)

// How many rows an answer has.
const (
	usualRows   = 100
	mostRows    = 1000
	mostRowsCSV = 10000
	// exportPage is how many rows of a whole list are in memory at a time.
	exportPage = 1000
	// pageWrite is how long a client may take to read a page of a whole list.
	pageWrite = time.Minute
)

// charge is one row of charges.csv and what the API adds to it. The first
// eight members have the cells of charges.csv to the letter.
type charge struct {
	PassTime  string `json:"pass_time"`
	TollPoint string `json:"toll_point"`
	Vehicle   string `json:"vehicle"`
	Account   string `json:"account"`
	Class     string `json:"class"`
	Amount    string `json:"amount"`
	Currency  string `json:"currency"`
	Status    string `json:"status"`

	ID            string   `json:"id"`
	Facility      string   `json:"facility"`
	Revision      int64    `json:"revision"`
	Rule          string   `json:"rule"`
	TariffVersion string   `json:"tariff_version"`
	Reasons       []string `json:"reasons"`
}

func chargeOf(p billing.Pass, zone *time.Location) charge {
	row := billing.ChargeRow(p, zone)
	return charge{
		PassTime: row[0], TollPoint: row[1], Vehicle: row[2], Account: row[3],
		Class: row[4], Amount: row[5], Currency: row[6], Status: row[7],
		ID: p.ID, Facility: p.Facility, Revision: p.Revision,
		Rule: p.Rule, TariffVersion: p.TariffVersion, Reasons: reasonCodes(p.Reasons),
	}
}

func reasonCodes(codes string) []string {
	if codes == "" {
		return []string{}
	}
	return strings.Split(codes, ",")
}

func (a *API) getCharges(c echo.Context) error {
	q := queryOf(c, "from", "to", "vehicle", "account", "status", "after", "limit", "reason")
	asCSV := prefersCSV(c.Request().Header.Values(echo.HeaderAccept))
	most := mostRows
	if asCSV {
		most = mostRowsCSV
	}
	f := q.chargeFilter()
	f.Limit = q.Limit(usualRows, most)
	act := audit.Listed
	if asCSV {
		act = audit.Exported
	}
	seen := a.viewOf(c, q.Query, act, "GET /v1/charges")
	if err := q.Err(); err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderVary, echo.HeaderAccept)
	if asCSV && q.Text("limit") == "" {
		return a.exportCharges(c, f, seen)
	}
	read, err := a.lister(c.Request().Context(), f, seen)
	if err != nil {
		return err
	}
	passes, next, err := read(c.Request().Context(), f)
	if err != nil {
		return err
	}
	web.LinkNext(c, next)
	if asCSV {
		setCSV(c, "charges.csv")
		w := csv.NewWriter(c.Response())
		return writeCharges(w, true, passes, a.Network.Zone())
	}
	items := make([]charge, len(passes))
	for i, p := range passes {
		items[i] = chargeOf(p, a.Network.Zone())
	}
	return c.JSON(http.StatusOK, web.Page[charge]{Items: items, Next: next})
}

// reader reads at most f.Limit passes and the cursor of the page after them, nil
// if there is none.
type reader func(ctx context.Context, f billing.Filter) ([]billing.Pass, *string, error)

// lister returns how a list of passes is read. Where it is about one vehicle or
// account, each page is read in the transaction that notes whose passes it
// shows. One about everybody may be long, so that it is noted before it is read.
func (a *API) lister(ctx context.Context, f billing.Filter, seen *view) (reader, error) {
	if f.Vehicle != "" || f.Account != "" {
		return page(a.viewPasses(seen)), nil
	}
	if err := a.Books.NoteView(ctx, seen.everybody(f)); err != nil {
		return nil, fmt.Errorf("noting the view: %w", err)
	}
	return page(func(ctx context.Context, f billing.Filter, _ int) ([]billing.Pass, error) {
		return a.Books.List(ctx, f)
	}), nil
}

// page makes a reader of a way to read passes, of which the first so many are
// shown.
func page(read func(ctx context.Context, f billing.Filter, shown int) ([]billing.Pass, error)) reader {
	return func(ctx context.Context, f billing.Filter) ([]billing.Pass, *string, error) {
		limit := f.Limit
		f.Limit++ // one more tells whether there is another page
		passes, err := read(ctx, f, limit)
		if err != nil {
			return nil, nil, fmt.Errorf("listing passes: %w", err)
		}
		if len(passes) <= limit {
			return passes, nil, nil
		}
		passes = passes[:limit]
		next := billing.CursorOf(passes[limit-1]).String()
		return passes, &next, nil
	}
}

// exportCharges writes the whole list as CSV, page by page: a script that asks
// for CSV without a limit wants the file, not its beginning. If it fails on
// the way the connection is broken off, so that half a file never looks whole.
func (a *API) exportCharges(c echo.Context, f billing.Filter, seen *view) error {
	select {
	case a.exportsBusy <- struct{}{}:
		defer func() { <-a.exportsBusy }()
	default:
		return web.Busy("other exports are being written")
	}
	read, err := a.lister(c.Request().Context(), f, seen)
	if err != nil {
		return err
	}
	f.Limit = exportPage
	w := csv.NewWriter(c.Response())
	for first := true; ; first = false {
		passes, next, err := read(c.Request().Context(), f)
		if err == nil && first {
			setCSV(c, "charges.csv")
		}
		if err == nil {
			// A recorder in a test has no deadlines; a real connection does.
			_ = web.WriteWithin(c.Response(), pageWrite)
			err = writeCharges(w, first, passes, a.Network.Zone())
		}
		if err != nil && !first {
			panic(http.ErrAbortHandler)
		}
		if err != nil || next == nil {
			return err
		}
		f.After = billing.CursorOf(passes[len(passes)-1])
	}
}

func writeCharges(w *csv.Writer, header bool, passes []billing.Pass, zone *time.Location) error {
	if header {
		if err := w.Write(billing.ChargeColumns()); err != nil {
			return fmt.Errorf("writing charges: %w", err)
		}
	}
	for _, p := range passes {
		if err := w.Write(billing.ChargeRow(p, zone)); err != nil {
			return fmt.Errorf("writing charges: %w", err)
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return fmt.Errorf("writing charges: %w", err)
	}
	return nil
}

func setCSV(c echo.Context, name string) {
	c.Response().Header().Set(echo.HeaderContentType, "text/csv; charset=utf-8; header=present")
	c.Response().Header().Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`"`)
}

// prefersCSV reports whether the Accept headers want text/csv rather than
// JSON, which is what is given where nothing else is asked for.
func prefersCSV(accept []string) bool {
	var forCSV, forJSON float64
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		media, parameters, _ := strings.Cut(part, ";")
		weight := 1.0
		for _, parameter := range strings.Split(parameters, ";") {
			if value, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
				weight, _ = strconv.ParseFloat(value, 64) // nonsense counts as not wanted
			}
		}
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "text/csv", "text/*":
			forCSV = max(forCSV, weight)
		case "application/json":
			forJSON = max(forJSON, weight)
		}
	}
	return forCSV > 0 && forCSV >= forJSON
}
