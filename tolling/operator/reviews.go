package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"github.com/shopspring/decimal"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/web"
	"freeflow/tolling/tariff"
)

// Bounds of a decision's texts, in bytes.
const (
	maxNote    = 2000
	maxAccount = 128
)

// amountForm is the only form in which an amount is taken: no sign, no
// exponent (cheap to send, dear to expand), at most two decimals.
var amountForm = regexp.MustCompile(`^[0-9]{1,7}(\.[0-9]{1,2})?$`)

// review is one pass that waits for a person.
type review struct {
	charge
	LastTime  string   `json:"last_time"`
	ReviewFor []reason `json:"review_for"`
}

func (a *API) getReviews(c echo.Context) error {
	q := queryOf(c, "after", "limit", "reason")
	f := billing.Filter{Status: billing.StatusReview, After: q.cursor(), Limit: q.Limit(usualRows, mostRows)}
	seen := a.viewOf(c, q.Query, audit.Listed, "GET /v1/reviews")
	if err := q.Err(); err != nil {
		return err
	}
	passes, next, err := page(a.viewPasses(seen))(c.Request().Context(), f)
	if err != nil {
		return err
	}
	zone := a.Network.Zone()
	items := make([]review, len(passes))
	for i, p := range passes {
		items[i] = review{chargeOf(p, zone), billing.FormatPassTime(p.LastMicros, zone), reasonsOf(p.Reasons)}
	}
	web.LinkNext(c, next)
	return c.JSON(http.StatusOK, web.Page[review]{Items: items, Next: next})
}

// ruling is the body of a decision.
type ruling struct {
	// Decision is charged, unpaid or exempt.
	Decision string  `json:"decision"`
	Class    *string `json:"class"`
	Account  *string `json:"account"`
	// Amount is for passes that the tariff cannot rate; it needs a note.
	Amount *string `json:"amount"`
	Note   string  `json:"note"`
	// Revision is the one that the person saw; absent means the present one.
	Revision *int64 `json:"revision"`
}

func (a *API) postReview(c echo.Context) error {
	q := web.QueryOf(c, "reason")
	seen := a.viewOf(c, q, audit.Viewed, "POST /v1/reviews/{id}")
	if err := q.Err(); err != nil {
		return err
	}
	id, err := passID(c)
	if err != nil {
		return err
	}
	var r ruling
	if err := web.DecodeJSON(c, &r); err != nil {
		return err
	}
	ctx := c.Request().Context()
	p, err := a.standing(ctx, id, seen)
	if err != nil {
		return err
	}
	if p.Status != billing.StatusReview {
		return a.alreadyDecided(c, p, r)
	}
	if r.Revision != nil && *r.Revision != p.Revision {
		return conflict("the pass has changed since revision "+fmt.Sprint(*r.Revision)+"; look at it again and decide anew").
			With("revision", p.Revision)
	}
	d, err := a.decisionFor(p, r)
	if err != nil {
		return err
	}
	d.By, d.At, d.Basis = web.Caller(c), a.Clock.Now(), a.Basis.Basis(p)
	decided, err := a.Books.Decide(ctx, id, p.Revision, d)
	switch {
	case errors.Is(err, billing.ErrNotFound):
		return noPass()
	case errors.Is(err, billing.ErrConflict), errors.Is(err, billing.ErrStale):
		// Somebody was faster: a colleague, a late read, or this very
		// request, whose first answer was lost.
		if p, err = a.standing(ctx, id, seen); err != nil {
			return err
		}
		if p.Status == billing.StatusReview {
			return conflict("the pass changed while it was being decided; look at it again").With("revision", p.Revision)
		}
		return a.alreadyDecided(c, p, r)
	case err != nil:
		return fmt.Errorf("deciding on the pass: %w", err)
	}
	return a.answerDecided(c, decided)
}

// standing returns a pass that has not been swallowed by another.
func (a *API) standing(ctx context.Context, id string, seen *view) (billing.Pass, error) {
	h, err := a.Books.ViewHistory(ctx, id, seen.pass)
	if errors.Is(err, billing.ErrNotFound) {
		return billing.Pass{}, noPass()
	}
	if err != nil {
		return billing.Pass{}, fmt.Errorf("reading the pass: %w", err)
	}
	if h.Pass.MergedInto != "" {
		return billing.Pass{}, conflict("late reads made this pass part of another; decide on that one").
			With("merged_into", h.Pass.MergedInto)
	}
	return h.Pass, nil
}

// alreadyDecided answers a decision on a pass that no longer waits: the same
// decision again gets the same answer.
func (a *API) alreadyDecided(c echo.Context, p billing.Pass, r ruling) error {
	if p.Decision == nil {
		return conflict("the pass is not under review").With("status", p.Status)
	}
	if !sameRuling(*p.Decision, r) {
		return conflict("the pass has been decided otherwise").With("status", p.Status)
	}
	return a.answerDecided(c, p)
}

func sameRuling(d billing.Decision, r ruling) bool {
	if r.Amount != nil {
		cents, ok := centsOf(*r.Amount)
		if !ok || cents != d.AmountCents {
			return false
		}
	}
	return d.Status == r.Decision && d.Note == r.Note &&
		(r.Class == nil || *r.Class == d.Class) && (r.Account == nil || *r.Account == d.Account)
}

func (a *API) answerDecided(c echo.Context, p billing.Pass) error {
	zone := a.Network.Zone()
	return c.JSON(http.StatusOK, struct {
		charge
		Decision *decisionJSON `json:"decision"`
	}{chargeOf(p, zone), decisionOf(p.Decision, zone)})
}

// decisionFor checks a ruling and rates it. What it does not say is taken from
// the pass.
func (a *API) decisionFor(p billing.Pass, r ruling) (billing.Decision, error) {
	d := billing.Decision{Status: r.Decision, Class: p.Class, Account: p.Account, Note: r.Note}
	if r.Class != nil {
		d.Class = *r.Class
	}
	if r.Account != nil {
		d.Account = *r.Account
	}
	if err := a.checkTexts(d, r); err != nil {
		return d, err
	}
	switch r.Decision {
	case billing.StatusExempt:
		if r.Amount != nil {
			return d, web.BadField("/amount", "an exempt pass costs nothing; leave it out")
		}
		d.Rule = "exempt by decision"
		return d, nil
	case billing.StatusCharged:
		if d.Account == "" {
			return d, web.BadField("/account", "say whose account is charged, or decide unpaid; the pass names none")
		}
	case billing.StatusUnpaid:
		if r.Account != nil && *r.Account != "" {
			return d, web.BadField("/account", "an unpaid pass is nobody's; leave it out, or decide charged")
		}
		d.Account = ""
	}
	if d.Class == "" {
		return d, web.BadField("/class", "the pass has no class, so say which: "+strings.Join(a.Network.Classes(), ", "))
	}
	err := a.price(&d, p, r)
	return d, err
}

// checkTexts refuses what does not fit whatever the decision.
func (a *API) checkTexts(d billing.Decision, r ruling) error {
	switch r.Decision {
	case billing.StatusExempt, billing.StatusCharged, billing.StatusUnpaid:
	case "":
		return web.BadField("/decision", "is missing; use charged, unpaid or exempt")
	default:
		return web.BadField("/decision", "is none of charged, unpaid, exempt")
	}
	switch {
	case d.Class != "" && !a.Network.KnowsClass(d.Class):
		return web.BadField("/class", "is not a class of the network; there are "+strings.Join(a.Network.Classes(), ", "))
	case len(r.Note) > maxNote || !printable(r.Note, "\n\t"):
		return web.BadField("/note", fmt.Sprintf("may have at most %d bytes and no control characters", maxNote))
	case len(d.Account) > maxAccount || !printable(d.Account, "") || strings.TrimSpace(d.Account) != d.Account:
		return web.BadField("/account", fmt.Sprintf("may have at most %d bytes, no control characters and no space around it", maxAccount))
	}
	return nil
}

// price sets what is owed: the tariff's toll, or where there is no tariff the
// amount that the person gives, with a note that says why.
func (a *API) price(d *billing.Decision, p billing.Pass, r ruling) error {
	toll, err := a.Network.Rate(p.TollPoint, d.Class, time.UnixMicro(p.FirstMicros))
	var none *tariff.NoTariffError
	// The network may have lost the toll point since the pass.
	var unknown *tariff.UnknownError
	switch {
	case err == nil && r.Amount == nil:
		d.AmountCents, d.Rule = toll.Cents, ruleOf(toll)
		return nil
	case err == nil:
		cents, ok := centsOf(*r.Amount)
		if !ok || cents != toll.Cents {
			return web.BadField("/amount", "the tariff has "+billing.FormatCents(toll.Cents)+" ("+toll.Rule+"); leave the amount out")
		}
		d.AmountCents, d.Rule = toll.Cents, ruleOf(toll)
		return nil
	case !errors.As(err, &none) && !errors.As(err, &unknown):
		return fmt.Errorf("rating the pass: %w", err)
	case r.Amount == nil:
		return web.BadField("/amount", "the pass cannot be rated: "+err.Error()+"; give the amount, and a note that says why")
	case strings.TrimSpace(r.Note) == "":
		return web.BadField("/note", "an amount without a tariff needs a note that says where it comes from")
	}
	cents, ok := centsOf(*r.Amount)
	if !ok {
		return web.BadField("/amount", "is not an amount; write it as 8.00, at most 9999999.99")
	}
	d.AmountCents, d.Rule = cents, "amount given by decision: no tariff"
	return nil
}

// ruleOf names the tariff version too: a decision has no other place for it.
func ruleOf(toll tariff.Toll) string { return toll.Rule + "; tariff " + toll.Version }

// centsOf reads an amount such as "8", "8.5" or "8.00".
func centsOf(text string) (cents int64, ok bool) {
	if !amountForm.MatchString(text) {
		return 0, false
	}
	amount, err := decimal.NewFromString(text)
	if err != nil {
		return 0, false
	}
	return amount.Shift(2).IntPart(), true
}

// printable reports whether the text is valid and has no control characters
// but those allowed.
func printable(text, allowed string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && !strings.ContainsRune(allowed, r)
	})
}

// conflict is the 409 for what cannot be done in the pass's present state.
func conflict(detail string) *web.Problem {
	return web.NewProblem(http.StatusConflict, "conflict", "", detail)
}
