package motorist

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/internal/web"
)

// States of charges.
const (
	stateOpen     = "open"
	statePaid     = "paid"
	stateNothing  = "nothing-owed"
	stateDisputed = "in-dispute"
	stateOnHold   = "on-hold"
	stateChecking = "being-checked"
	stateExempt   = "exempt"
)

// chargeForm is a toll, a surcharge, a stay or another charge.
type chargeForm struct {
	ID  string `json:"id"`
	URL string `json:"url"`
	// Kind is toll, surcharge, parking or another charge's.
	Kind       string  `json:"kind"`
	State      string  `json:"state"`
	Creditor   string  `json:"creditor"`
	Vehicle    string  `json:"vehicle,omitempty"`
	OccurredAt *string `json:"occurred_at"`
	PostedAt   *string `json:"posted_at"`
	Amount     string  `json:"amount"`
	Paid       string  `json:"paid"`
	Open       string  `json:"open"`
	Currency   string  `json:"currency"`
	// Dispute is the reference of the open dispute of it.
	Dispute string `json:"dispute,omitempty"`
}

func chargeURL(id string) string { return "/v1/me/charges/" + url.PathEscape(id) }

// mine reports whether a dispute is the account's to see: not another's, and not
// one of our own suspicions that nobody has decided.
func mine(d dispute.Dispute, account string) bool {
	return d.Account == account && (d.Origin != dispute.System || !dispute.Open(d.State))
}

// heldBy is the prefix of the hold of a receivable in dispute.
const heldBy = "dispute:"

// formOf is a receivable as its debtor sees it.
func (a *API) formOf(ctx context.Context, tx *books.Tx, r billing.Receivable) (chargeForm, error) {
	rest := max(r.RestCents(), 0)
	f := chargeForm{
		ID: r.ID, URL: chargeURL(r.ID), Kind: r.Kind, State: stateOpen, Creditor: r.Creditor, Vehicle: r.Vehicle, OccurredAt: a.shown(time.UnixMicro(r.OccurredMicros)),
		PostedAt: a.shown(r.PostedAt), Amount: billing.FormatCents(r.AmountCents), Paid: billing.FormatCents(r.PaidCents), Open: billing.FormatCents(rest), Currency: r.Currency,
	}
	switch {
	case r.AmountCents == 0:
		f.State = stateNothing
	case rest == 0:
		f.State = statePaid
	}
	if r.Hold == "" {
		return f, nil
	}
	if rest > 0 {
		f.State = stateOnHold
	}
	reference, disputed := strings.CutPrefix(r.Hold, heldBy)
	if !disputed {
		return f, nil
	}
	d, err := tx.Dispute(ctx, reference)
	switch {
	case errors.Is(err, billing.ErrNotFound):
		return f, nil
	case err == nil && mine(d, r.Account):
		f.State, f.Dispute = stateDisputed, reference
	}
	return f, err
}

// charges shows what the account was given to pay, in the order of its own time.
func (a *API) charges(c echo.Context, id string) error {
	q := web.QueryOf(c, "from", "to", "kind", "open", "after", "limit")
	place, limit := page(q, 2, 50, 200)
	f := billing.ReceivableFilter{Account: id, Kind: q.Text("kind"), Open: q.Bool("open"), Limit: limit + 1}
	if at, ok := q.Instant("from"); ok {
		f.FromMicros = at.UnixMicro()
	}
	if at, ok := q.Instant("to"); ok {
		f.ToMicros = at.UnixMicro()
	}
	if place != nil {
		f.AfterMicros, f.AfterID = q.Whole(place[0]), place[1]
	}
	if err := q.Err(); err != nil {
		return err
	}
	type item struct {
		chargeForm
		place *string
	}
	var list []item
	ctx := c.Request().Context()
	err := a.Books.View(ctx, func(tx *books.Tx) error {
		found, err := tx.Receivables(ctx, f)
		if err != nil {
			return err
		}
		for _, r := range found {
			form, err := a.formOf(ctx, tx, r)
			if err != nil {
				return err
			}
			list = append(list, item{form, web.Cursor(digits(r.OccurredMicros), r.ID)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return paged(c, list, limit, func(i item) *string { return i.place })
}

type postingForm struct {
	Transaction string  `json:"transaction"`
	Kind        string  `json:"kind"`
	PostedAt    *string `json:"posted_at"`
	Amount      string  `json:"amount"`
}

type beforeForm struct {
	Revision   int64   `json:"revision"`
	ReplacedAt *string `json:"replaced_at"`
	Status     string  `json:"status,omitempty"`
	Class      string  `json:"class,omitempty"`
	Amount     string  `json:"amount"`
	Rule       string  `json:"rule,omitempty"`
}

type collectedForm struct {
	Amount   string  `json:"amount"`
	PostedAt *string `json:"posted_at"`
	UndoneAt *string `json:"undone_at"`
	Tag      string  `json:"tag,omitempty"`
}

type receiptForm struct {
	Text   string `json:"text"`
	Amount string `json:"amount,omitempty"`
}

// explained is a charge with all that says why.
type explained struct {
	chargeForm
	// Of a toll.
	Status        string    `json:"status,omitempty"`
	TollPoint     *nameForm `json:"toll_point,omitempty"`
	Facility      string    `json:"facility,omitempty"`
	Class         *nameForm `json:"class,omitempty"`
	FirstSeenAt   *string   `json:"first_seen_at,omitempty"`
	LastSeenAt    *string   `json:"last_seen_at,omitempty"`
	Rule          string    `json:"rule,omitempty"`
	TariffVersion string    `json:"tariff_version,omitempty"`
	MergedInto    string    `json:"merged_into,omitempty"`
	// Of another charge.
	Description string        `json:"description,omitempty"`
	Receipt     []receiptForm `json:"receipt,omitempty"`

	BeingPaid bool               `json:"being_paid"`
	Postings  []postingForm      `json:"postings"`
	Before    []beforeForm       `json:"before"`
	Payments  []collectedForm    `json:"payments"`
	Disputes  []dispute.Standing `json:"disputes"`
}

// charge explains one charge of the account.
func (a *API) charge(c echo.Context, account string) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	ctx, id := c.Request().Context(), param(c, "id")
	var (
		v   explained
		err error
	)
	if pass, ok := strings.CutPrefix(id, billing.ReceivablePass); ok {
		v, err = a.explainPass(ctx, account, pass)
	} else if charge, ok := strings.CutPrefix(id, billing.ReceivableCharge); ok {
		v, err = a.explainCharge(ctx, account, charge)
	} else {
		return notFound()
	}
	if err != nil {
		return err
	}
	v.ID, v.URL, v.Payments, v.Disputes = id, chargeURL(id), []collectedForm{}, []dispute.Standing{}
	err = a.Books.View(ctx, func(tx *books.Tx) error {
		v.Payments, v.Disputes = v.Payments[:0], v.Disputes[:0]
		return a.money(ctx, tx, account, &v)
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, v)
}

// money adds what is paid of a charge, and what was said against it.
func (a *API) money(ctx context.Context, tx *books.Tx, account string, v *explained) error {
	r, err := tx.Receivable(ctx, v.ID)
	switch {
	case errors.Is(err, billing.ErrNotFound) || err == nil && r.Account != account:
		return nil // nothing was owed, or the posting is not followed yet
	case err != nil:
		return err
	}
	if v.chargeForm, err = a.formOf(ctx, tx, r); err != nil {
		return err
	}
	if v.BeingPaid, err = tx.BeingPaid(ctx, v.ID); err != nil {
		return err
	}
	collections, err := tx.Collections(ctx, v.ID)
	if err != nil {
		return err
	}
	for _, one := range collections {
		tag, byTag := strings.CutPrefix(one.Holder, billing.HolderTag)
		if !byTag && one.Holder != account {
			continue // who paid before it was this account's
		}
		v.Payments = append(v.Payments, collectedForm{billing.FormatCents(one.AmountCents), a.shown(one.PostedAt), a.shown(one.ReversedAt), tag})
	}
	said, err := tx.DisputesOf(ctx, v.ID)
	for _, d := range said {
		if mine(d, account) {
			v.Disputes = append(v.Disputes, dispute.StandingOf(d))
		}
	}
	return err
}

// owes is how a charge stands that has no receivable.
func owes(status string, cents int64) string {
	switch {
	case status == billing.StatusReview:
		return stateChecking
	case status == billing.StatusExempt:
		return stateExempt
	case cents == 0:
		return stateNothing
	}
	return stateOpen
}

func (a *API) explainPass(ctx context.Context, account, id string) (v explained, err error) {
	h, err := a.Books.History(ctx, id)
	if err == nil && h.Pass.Account != account {
		err = billing.ErrNotFound
	}
	if err != nil {
		return v, fmt.Errorf("reading the pass: %w", err)
	}
	p := h.Pass
	amount := billing.FormatCents(p.AmountCents)
	v = explained{
		chargeForm: chargeForm{
			Kind: billing.ReceivableToll, State: owes(p.Status, p.AmountCents), Creditor: p.Facility, Vehicle: p.Vehicle, OccurredAt: a.shown(time.UnixMicro(p.FirstMicros)),
			Amount: amount, Paid: billing.FormatCents(0), Open: amount, Currency: p.Currency,
		},
		Status: p.Status, TollPoint: named(p.TollPoint, a.Names.TollPoint), Facility: p.Facility, Class: named(p.Class, a.Names.Class),
		FirstSeenAt: a.shown(time.UnixMicro(p.FirstMicros)), LastSeenAt: a.shown(time.UnixMicro(p.LastMicros)), Rule: p.Rule, TariffVersion: p.TariffVersion,
		Postings: a.postings(h.Transactions, account), Before: []beforeForm{},
	}
	if p.MergedInto != "" {
		v.MergedInto, v.State = billing.ReceivablePass+p.MergedInto, stateNothing
	}
	for _, r := range h.Revisions {
		if r.Account == account {
			v.Before = append(v.Before, beforeForm{r.Revision, a.shown(r.ReplacedAt), r.Status, r.Class, billing.FormatCents(r.AmountCents), r.Rule})
		}
	}
	return v, nil
}

func (a *API) explainCharge(ctx context.Context, account, id string) (v explained, err error) {
	charge, transactions, err := a.Books.Charge(ctx, id)
	if err == nil && charge.Account != account {
		err = billing.ErrNotFound
	}
	if err != nil {
		return v, fmt.Errorf("reading the charge: %w", err)
	}
	amount := billing.FormatCents(charge.AmountCents)
	v = explained{
		chargeForm: chargeForm{
			Kind: charge.Kind, State: owes("", charge.AmountCents), Creditor: charge.Creditor, Vehicle: charge.Vehicle, OccurredAt: a.shown(time.UnixMicro(charge.OccurredMicros)),
			Amount: amount, Paid: billing.FormatCents(0), Open: amount, Currency: charge.Currency,
		},
		Description: charge.Description, Postings: a.postings(transactions, account), Before: []beforeForm{},
	}
	lines, err := Receipt(charge.Detail)
	if err != nil {
		// What is owed is shown all the same.
		a.Log.WarnContext(ctx, "the receipt of a charge cannot be shown", "charge", charge.ID, "error", err)
	}
	for _, l := range lines {
		f := receiptForm{Text: l.Text}
		if l.Priced {
			f.Amount = billing.FormatCents(l.Cents)
		}
		v.Receipt = append(v.Receipt, f)
	}
	revisions, err := a.Books.ChargeRevisions(ctx, id)
	for _, r := range revisions {
		if r.Account == account {
			v.Before = append(v.Before, beforeForm{Revision: r.Revision, ReplacedAt: a.shown(r.ReplacedAt), Amount: billing.FormatCents(r.AmountCents)})
		}
	}
	return v, err
}

// postings are the account's own legs of transactions.
func (a *API) postings(transactions []billing.Transaction, account string) []postingForm {
	list := []postingForm{}
	for _, t := range transactions {
		for _, e := range t.Entries {
			if e.Account == billing.MotoristPrefix+account {
				list = append(list, postingForm{t.ID, t.Kind, a.shown(t.PostedAt), billing.FormatCents(e.AmountCents)})
			}
		}
	}
	return list
}
