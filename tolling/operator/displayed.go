package operator

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
	"freeflow/tolling/governance"
	"freeflow/tolling/tariff"
)

// mostDisplayed bounds the displays of one request.
const mostDisplayed = 1000

// displayedJSON is one display: what a sign shows from an instant on.
type displayedJSON struct {
	Sign      string `json:"sign"`
	TollPoint string `json:"toll_point"`
	Class     string `json:"class"`
	// Amount is null while the sign shows nothing.
	Amount *string `json:"amount"`
	From   string  `json:"from"`
}

// toldJSON is what is answered on one display.
type toldJSON struct {
	displayedJSON
	// Tariff is what the tolls in force give; null if nothing.
	Tariff *string `json:"tariff"`
	Agrees bool    `json:"agrees"`
}

// postDisplayed takes what signs show. The sender may be a machine; repeating a
// request changes nothing.
func (a *Tariffs) postDisplayed(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	var body struct {
		Items []displayedJSON `json:"items"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if len(body.Items) == 0 || len(body.Items) > mostDisplayed {
		return web.BadField("/items", fmt.Sprintf("has %d displays; send 1 to %d", len(body.Items), mostDisplayed))
	}
	shown := make([]governance.Shown, len(body.Items))
	for i, item := range body.Items {
		at, err := tariff.ParseInstant(item.From)
		if err != nil {
			return web.BadField(fmt.Sprintf("/items/%d/from", i), err.Error())
		}
		shown[i] = governance.Shown{Sign: item.Sign, TollPoint: item.TollPoint, Class: item.Class, From: at, Dark: item.Amount == nil}
		if item.Amount == nil {
			continue
		}
		cents, ok := centsOf(*item.Amount)
		if !ok {
			return web.BadField(fmt.Sprintf("/items/%d/amount", i), "is not an amount; write it as 8.00, or null if the sign shows nothing")
		}
		shown[i].Cents = cents
	}
	told, err := a.Displays.Show(c.Request().Context(), web.Caller(c), shown)
	if err != nil {
		return tariffProblem(err)
	}
	items := make([]toldJSON, len(told))
	for i, one := range told {
		items[i] = toldJSON{displayedJSON: body.Items[i], Agrees: one.Agrees}
		if one.Rated {
			amount := billing.FormatCents(one.TariffCents)
			items[i].Tariff = &amount
		}
	}
	return c.JSON(http.StatusOK, struct {
		Items []toldJSON `json:"items"`
	}{items})
}

func (a *Tariffs) getFindings(c echo.Context) error {
	q := web.QueryOf(c, "closed", "limit")
	closed, limit := q.Bool("closed"), q.Limit(usualRows, mostRows)
	if err := q.Err(); err != nil {
		return err
	}
	findings, err := a.Displays.Store.Findings(c.Request().Context(), a.Desk.Live.Name(), closed, limit)
	if err != nil {
		return err
	}
	items := make([]findingJSON, len(findings))
	for i := range findings {
		items[i] = a.finding(&findings[i])
	}
	return c.JSON(http.StatusOK, struct {
		Items []findingJSON `json:"items"`
	}{items})
}

func (a *Tariffs) postClose(c echo.Context) error {
	var body struct {
		Reason string `json:"reason"`
	}
	by, err := a.act(c, &body)
	if err != nil {
		return err
	}
	if body.Reason == "" || len(body.Reason) > governance.MaxReason || !printable(body.Reason, "\n\t") {
		return web.BadField("/reason", fmt.Sprintf("say why, in at most %d bytes", governance.MaxReason))
	}
	f, err := a.Displays.Store.CloseFinding(c.Request().Context(), a.Desk.Live.Name(), c.Param("id"), by, body.Reason, a.Clock.Now())
	if err != nil {
		return tariffProblem(err)
	}
	return c.JSON(http.StatusOK, a.finding(&f))
}

// comparisonJSON is how passes compare with signs.
type comparisonJSON struct {
	TollPoint  string  `json:"toll_point"`
	Class      string  `json:"class"`
	Compared   int64   `json:"compared"`
	NoSign     int64   `json:"no_sign"`
	Differ     int64   `json:"differ"`
	Rated      string  `json:"rated"`
	Displayed  string  `json:"displayed"`
	Difference string  `json:"difference"`
	First      *string `json:"first"`
	Last       *string `json:"last"`
}

func (a *Tariffs) getReport(c echo.Context) error {
	q := web.QueryOf(c, "from", "to")
	from, to := weekBefore(a.Clock.Now())
	if at, ok := q.Instant("from"); ok {
		from = at
	}
	if at, ok := q.Instant("to"); ok {
		to = at
	}
	if err := q.Err(); err != nil {
		return err
	}
	if err := a.enter(); err != nil {
		return err
	}
	defer a.leave()
	rows, err := a.Displays.Report(c.Request().Context(), from, to)
	if err != nil {
		return tariffProblem(err)
	}
	items := make([]comparisonJSON, len(rows))
	for i, r := range rows {
		items[i] = comparisonJSON{r.TollPoint, r.Class, r.Compared, r.NoSign, r.Differ, billing.FormatCents(r.RatedCents), billing.FormatCents(r.ShownCents),
			billing.FormatCents(r.RatedCents - r.ShownCents), a.at(r.First), a.at(r.Last)}
	}
	return c.JSON(http.StatusOK, struct {
		From  *string          `json:"from"`
		To    *string          `json:"to"`
		Items []comparisonJSON `json:"items"`
	}{a.at(from.Truncate(time.Microsecond)), a.at(to.Truncate(time.Microsecond)), items})
}
