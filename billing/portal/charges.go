package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/motorist"
	"freeflow/internal/web"
)

// shownCharges is how many charges of a month the home page shows; older ones
// are counted.
const shownCharges = 100

// parking is the kind of charge that has a heading of its own.
const parking = "parking"

// chargeView is one charge that is no pass.
type chargeView struct {
	URL, ID     string
	When, Stamp string // in words, RFC 3339
	What        string
	Vehicle     string
	Amount      string
}

// chargesView is the charges of a month, newest first.
type chargesView struct {
	Heading string
	Summary []string
	Charges []chargeView
	// More is a note that not all are shown; empty if they are.
	More string
}

// monthCharges returns what the home page shows of the account's charges of a
// month; nil if there are none.
func (p *Portal) monthCharges(ctx context.Context, account string, month time.Time, w *words) (*chargesView, error) {
	f := billing.ChargeFilter{
		Account: account, Limit: fetchRows,
		FromMicros: month.UnixMicro(), ToMicros: month.AddDate(0, 1, 0).UnixMicro(),
	}
	var all []billing.Charge
	for {
		some, next, err := p.Books.Charges(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("listing charges: %w", err)
		}
		all = append(all, some...)
		if f.After = next; next == "" || len(all) >= maxMonth {
			break
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	v := &chargesView{Heading: w.Parking}
	sums := map[string]int64{}
	var currencies []string // in order of appearance, so that the page is stable
	for _, c := range all {
		if c.Kind != parking {
			v.Heading = w.OtherCharges
		}
		if _, ok := sums[c.Currency]; !ok {
			currencies = append(currencies, c.Currency)
		}
		sums[c.Currency] += c.AmountCents
	}
	v.Summary = []string{counted(len(all), w.OneCharge, w.ManyCharges)}
	for _, currency := range currencies {
		v.Summary = append(v.Summary, money(sums[currency], currency)+w.ChargedSum)
	}
	if f.After != "" || len(all) > shownCharges {
		v.More = w.NotAllCharges
	}
	for i := len(all) - 1; i >= max(0, len(all)-shownCharges); i-- {
		v.Charges = append(v.Charges, p.chargeView(w, &all[i]))
	}
	return v, nil
}

func (p *Portal) chargeView(w *words, c *billing.Charge) chargeView {
	at := time.UnixMicro(c.OccurredMicros).In(p.Zone)
	v := chargeView{
		// The id is another's text; as a parameter it can be anything.
		URL: "/charge?" + url.Values{"id": {c.ID}}.Encode(), ID: c.ID,
		When: w.exact(at), Stamp: at.Format(time.RFC3339),
		What: c.Description, Amount: money(c.AmountCents, c.Currency),
	}
	if c.Vehicle != "" {
		v.Vehicle = w.vehicle(c.Vehicle)
	}
	if v.What == "" {
		v.What = w.kind(c.Kind)
	}
	return v
}

// lineView is one line of an itemised receipt.
type lineView struct{ Text, Amount string }

// chargePage is the page of one charge.
type chargePage struct {
	frame
	Charge   chargeView
	Creditor string
	Lines    []lineView
	Postings []postingView
	Changes  []changeView
}

func (p *Portal) charge(c echo.Context) error {
	s := p.who(c)
	if s == nil {
		return c.Redirect(http.StatusSeeOther, "/sign-in")
	}
	ctx := c.Request().Context()
	charge, transactions, err := p.Books.Charge(ctx, c.QueryParam("id"))
	if err != nil && !errors.Is(err, billing.ErrNotFound) {
		return fmt.Errorf("reading the charge: %w", err)
	}
	// A stranger's charge is answered like one that does not exist.
	if err != nil || charge.Account != s.account {
		return web.NotFound("there is no such charge")
	}
	revisions, err := p.Books.ChargeRevisions(ctx, charge.ID)
	if err != nil {
		return fmt.Errorf("reading the charge's revisions: %w", err)
	}
	v := chargePage{frame: p.frame(c, s), Creditor: charge.Creditor}
	w := v.W
	v.Title, v.Charge = w.kind(charge.Kind), p.chargeView(w, &charge)
	if v.Lines, err = receipt(charge.Detail, charge.Currency); err != nil {
		// What is owed is shown all the same.
		p.Log.WarnContext(ctx, "the receipt of a charge cannot be shown", "charge", charge.ID, "error", err)
	}
	v.Postings = p.postings(w, transactions, s.account, w.PostingCharge)
	for _, r := range revisions {
		if r.Account == s.account {
			v.Changes = append(v.Changes, changeView{On: w.exact(r.ReplacedAt.In(p.Zone)), Word: r.Description, Amount: money(r.AmountCents, r.Currency)})
		}
	}
	return p.render(c, http.StatusOK, "charge", v)
}

// postings are the account's own legs of the transactions; made is the word for
// what is no reversal.
func (p *Portal) postings(w *words, transactions []billing.Transaction, account, made string) []postingView {
	var views []postingView
	for _, t := range transactions {
		for _, e := range t.Entries {
			if e.Account != billing.MotoristPrefix+account {
				continue // others' legs, and charges to accounts before mine
			}
			what := made
			if t.Kind == "reversal" {
				what = w.PostingReversal
			}
			views = append(views, postingView{what, w.exact(t.PostedAt.In(p.Zone)), money(e.AmountCents, t.Currency)})
		}
	}
	return views
}

// receipt is a charge's lines as they are shown: all of them or none.
func receipt(detail []byte, currency string) ([]lineView, error) {
	read, err := motorist.Receipt(detail)
	if err != nil {
		return nil, err
	}
	var lines []lineView
	for _, l := range read {
		line := lineView{Text: l.Text}
		if l.Priced {
			line.Amount = money(l.Cents, currency)
		}
		lines = append(lines, line)
	}
	return lines, nil
}
