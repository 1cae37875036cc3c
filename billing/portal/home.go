package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
)

// How much a page shows and reads.
const (
	pageRows = 50
	// fetchRows is how many passes are asked of the books at a time.
	fetchRows = 1000
	// maxMonth bounds the passes of one month that are read for its sums; a
	// fleet with more is told that the page does not show all.
	maxMonth = 50_000
	// monthLayout is a month in a page's address.
	monthLayout = "2006-01"
	// firstYear is before any read that is accepted (contract section 3).
	firstYear = 2020
)

// passView is one pass in the list and on its own page.
type passView struct {
	ID, Reference string
	Status        string // the code, for the style sheet
	Word, Note    string
	Clock, Stamp  string // "08:00", RFC 3339
	First, Last   string
	// Point is the toll point in words, Towards its direction, if the words
	// give one in brackets; PointRef its name.
	Point, Towards string
	PointRef       string
	Vehicle, Class string
	Amount         string // empty under review
	Rule, Tariff   string
}

// dayView is the passes of one local day, newest first.
type dayView struct {
	Heading string
	Passes  []passView
}

// balanceView is what is owed in one currency.
type balanceView struct{ State, Label, Amount, Note string }

// homeView is the page of what I owe and my passes.
type homeView struct {
	frame
	Balances []balanceView
	Month    string
	Summary  []string
	Days     []dayView
	TooMany  bool
	// Charges is nil where there are none in the month.
	Charges *chargesView

	EarlierURL, LaterURL, NewerURL, OlderURL string
	EarlierName, LaterName                   string
	PageNote                                 string
}

func (p *Portal) home(c echo.Context) error {
	s := p.who(c)
	if s == nil {
		// The language goes along: the toggle must work before sign-in too.
		target := "/sign-in"
		if w, ok := wordsFor(c.QueryParam("lang")); ok {
			target += "?lang=" + w.Code
		}
		return c.Redirect(http.StatusSeeOther, target)
	}
	now := p.Clock.Now().In(p.Zone)
	month, err := monthOf(c.QueryParam("month"), now)
	if err != nil {
		return err
	}
	pageNumber, err := pageOf(c.QueryParam("page"))
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	v := homeView{frame: p.frame(c, s)}
	w := v.W
	v.Title, v.Live = w.HomeTitle, month.Equal(startOfMonth(now)) && pageNumber == 1
	if v.Balances, err = p.balances(ctx, s.account, w); err != nil {
		return err
	}
	passes, tooMany, err := p.monthPasses(ctx, s.account, month)
	if err != nil {
		return err
	}
	v.TooMany = tooMany
	if v.Charges, err = p.monthCharges(ctx, s.account, month, w); err != nil {
		return err
	}
	pages := max(1, (len(passes)+pageRows-1)/pageRows)
	if pageNumber > pages {
		return web.NotFound("there is no such page of the list")
	}
	v.Month = w.month(month)
	v.Summary = summary(w, passes)
	v.Days = p.days(w, passes, pageNumber)
	p.links(&v, month, startOfMonth(now), pageNumber, pages)
	return p.render(c, http.StatusOK, "home", v)
}

// monthPasses returns the account's passes of a month, oldest first, and
// whether there are more than can be read at once.
func (p *Portal) monthPasses(ctx context.Context, account string, month time.Time) ([]billing.Pass, bool, error) {
	f := billing.Filter{
		Account: account, Limit: fetchRows,
		FromMicros: month.UnixMicro(), ToMicros: month.AddDate(0, 1, 0).UnixMicro(),
	}
	var all []billing.Pass
	for {
		some, err := p.Books.List(ctx, f)
		if err != nil {
			return nil, false, fmt.Errorf("listing passes: %w", err)
		}
		all = append(all, some...)
		if len(some) < fetchRows {
			return all, false, nil
		}
		if len(all) >= maxMonth {
			return all, true, nil
		}
		f.After = billing.CursorOf(some[len(some)-1])
	}
}

// balances says what the account owes. An account without entries owes
// nothing, in no currency.
func (p *Portal) balances(ctx context.Context, account string, w *words) ([]balanceView, error) {
	balances, err := p.Books.Balances(ctx, []string{billing.MotoristPrefix + account})
	if err != nil {
		return nil, fmt.Errorf("reading the balance: %w", err)
	}
	var views []balanceView
	for _, b := range balances {
		switch {
		case b.AmountCents > 0:
			views = append(views, balanceView{"owed", w.YouOwe, money(b.AmountCents, b.Currency), w.OweNote})
		case b.AmountCents < 0:
			views = append(views, balanceView{"credit", w.InCredit, money(-b.AmountCents, b.Currency), w.CreditNote})
		}
	}
	if len(views) == 0 {
		views = []balanceView{{"clear", w.NothingToPay, "", w.ClearNote}}
	}
	return views, nil
}

// summary is a month in a few words: how many, how much, how many in question.
func summary(w *words, passes []billing.Pass) []string {
	if len(passes) == 0 {
		return nil
	}
	charged := map[string]int64{}
	currencies := []string{} // in order of appearance, so that the page is stable
	checking := 0
	for _, p := range passes {
		switch p.Status {
		case billing.StatusReview:
			checking++
		case billing.StatusCharged:
			if _, ok := charged[p.Currency]; !ok {
				currencies = append(currencies, p.Currency)
			}
			charged[p.Currency] += p.AmountCents
		}
	}
	parts := []string{counted(len(passes), w.OnePass, w.ManyPasses)}
	for _, currency := range currencies {
		parts = append(parts, money(charged[currency], currency)+w.ChargedSum)
	}
	if checking > 0 {
		parts = append(parts, counted(checking, w.OneChecking, w.ManyChecking))
	}
	return parts
}

// days groups one page of the passes, newest first, by local day.
func (p *Portal) days(w *words, passes []billing.Pass, pageNumber int) []dayView {
	var days []dayView
	last := ""
	newest := len(passes) - 1 - (pageNumber-1)*pageRows
	for i := newest; i >= 0 && i > newest-pageRows; i-- {
		heading := w.day(time.UnixMicro(passes[i].FirstMicros).In(p.Zone))
		if heading != last {
			days = append(days, dayView{Heading: heading})
			last = heading
		}
		d := &days[len(days)-1]
		d.Passes = append(d.Passes, p.view(w, passes[i]))
	}
	return days
}

func (p *Portal) view(w *words, x billing.Pass) passView {
	first := time.UnixMicro(x.FirstMicros).In(p.Zone)
	v := passView{
		ID: x.ID, Status: x.Status,
		Clock: first.Format("15:04"), Stamp: first.Format(time.RFC3339),
		First:    w.exact(first),
		PointRef: x.TollPoint,
		Vehicle:  w.vehicle(x.Vehicle), Rule: x.Rule, Tariff: x.TariffVersion,
	}
	v.Point, v.Towards = bracketed(inWords(w, x.TollPoint, p.Names.TollPoint))
	if x.Class != "" {
		v.Class = inWords(w, x.Class, p.Names.Class)
	}
	v.Word, v.Note = w.status(x.Status)
	if x.Status != billing.StatusReview {
		v.Amount = money(x.AmountCents, x.Currency)
	}
	return v
}

// inWords is a name for people, the name itself if nobody knows a better one.
func inWords(w *words, name string, lookUp func(string) (en, zh string)) string {
	en, zh := lookUp(name)
	if w.Code == chinese.Code && zh != "" {
		return zh
	}
	if en != "" {
		return en
	}
	return name
}

// bracketed takes "Tunnel (to Kowloon)" apart; in Chinese the brackets are
// full-width.
func bracketed(name string) (before, inside string) {
	for _, pair := range [][2]string{{" (", ")"}, {"（", "）"}} {
		if before, rest, ok := strings.Cut(name, pair[0]); ok && strings.HasSuffix(rest, pair[1]) && before != "" {
			return before, strings.TrimSuffix(rest, pair[1])
		}
	}
	return name, ""
}

// links sets where the page leads to.
func (p *Portal) links(v *homeView, month, thisMonth time.Time, pageNumber, pages int) {
	to := func(month time.Time, pageNumber int) string {
		q := url.Values{}
		if !month.Equal(thisMonth) {
			q.Set("month", month.Format(monthLayout))
		}
		if pageNumber > 1 {
			q.Set("page", strconv.Itoa(pageNumber))
		}
		if len(q) == 0 {
			return "/"
		}
		return "/?" + q.Encode()
	}
	if earlier := month.AddDate(0, -1, 0); earlier.Year() >= firstYear {
		v.EarlierURL, v.EarlierName = to(earlier, 1), v.W.month(earlier)
	}
	if later := month.AddDate(0, 1, 0); !later.After(thisMonth) {
		v.LaterURL, v.LaterName = to(later, 1), v.W.month(later)
	}
	if pageNumber > 1 {
		v.NewerURL = to(month, pageNumber-1)
	}
	if pageNumber < pages {
		v.OlderURL = to(month, pageNumber+1)
	}
	if pages > 1 {
		v.PageNote = fmt.Sprintf("%s %d / %d", v.W.PageOf, pageNumber, pages)
	}
}

func startOfMonth(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, t.Location())
}

// monthOf reads the month in a page's address; absent is the present one.
func monthOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return startOfMonth(now), nil
	}
	month, err := time.ParseInLocation(monthLayout, text, now.Location())
	if err != nil || month.Year() < firstYear || month.After(now) {
		return time.Time{}, web.NotFound("there is no such month")
	}
	return month, nil
}

func pageOf(text string) (int, error) {
	if text == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxMonth/pageRows {
		return 0, web.NotFound("there is no such page of the list")
	}
	return n, nil
}

// postingView is one transaction, changeView one earlier state of a pass.
type postingView struct{ What, On, Amount string }

type changeView struct{ On, Word, Amount string }

// recordView is the page of one pass.
type recordView struct {
	frame
	Pass       passView
	MergedInto string
	Postings   []postingView
	Changes    []changeView
}

func (p *Portal) record(c echo.Context) error {
	s := p.who(c)
	if s == nil {
		return c.Redirect(http.StatusSeeOther, "/sign-in")
	}
	h, err := p.Books.History(c.Request().Context(), c.Param("id"))
	if err != nil && !errors.Is(err, billing.ErrNotFound) {
		return fmt.Errorf("reading the pass: %w", err)
	}
	// A stranger's pass is answered like one that does not exist.
	if err != nil || h.Pass.Account != s.account {
		return web.NotFound("there is no such pass")
	}
	v := recordView{frame: p.frame(c, s), MergedInto: h.Pass.MergedInto}
	w := v.W
	v.Title, v.Pass = w.RecordTitle, p.view(w, h.Pass)
	v.Postings = p.postings(w, h.Transactions, s.account, w.PostingToll)
	for _, r := range h.Revisions {
		if r.Account != s.account {
			continue
		}
		change := changeView{On: w.exact(r.ReplacedAt.In(p.Zone))}
		change.Word, _ = w.status(r.Status)
		if r.Status != billing.StatusReview {
			change.Amount = money(r.AmountCents, h.Pass.Currency)
		}
		v.Changes = append(v.Changes, change)
	}
	return p.render(c, http.StatusOK, "record", v)
}
