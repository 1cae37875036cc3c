package motorist

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
	"freeflow/internal/web"
)

// Bounds of the open charges that are summed up.
const (
	openPage  = 1000
	openPages = 20
)

type accountForm struct {
	ID       string  `json:"id"`
	Kind     string  `json:"kind,omitempty"`
	Name     string  `json:"name,omitempty"`
	Email    string  `json:"email,omitempty"`
	Mobile   string  `json:"mobile,omitempty"`
	Language string  `json:"language,omitempty"`
	State    string  `json:"state"`
	OpenedAt *string `json:"opened_at"`
	ClosesAt *string `json:"closes_at"`
}

// moneyForm is an account's money in one currency.
type moneyForm struct {
	Currency string `json:"currency"`
	// Owed is the ledger's word, Held what is in the wallet.
	Owed string `json:"owed"`
	Held string `json:"held"`
	// Open sums up what is still to be paid of OpenCharges, OnHold the part of it
	// that is not collected meanwhile.
	Open        string `json:"open"`
	OpenCharges int64  `json:"open_charges"`
	OnHold      string `json:"on_hold"`
	// Whole is false where there are more open charges than are summed up.
	Whole bool `json:"whole"`
}

// stands returns an account as it stands; one of the registry's file, of which
// the books know no more than the id, is open.
func stands(ctx context.Context, tx *books.Tx, id string) (account.Account, error) {
	one, err := tx.Account(ctx, id)
	if errors.Is(err, billing.ErrNotFound) {
		return account.Account{ID: id, State: account.Open}, nil
	}
	return one, err
}

// open refuses what only an open account may do.
func open(ctx context.Context, tx *books.Tx, id string) error {
	one, err := stands(ctx, tx, id)
	if err == nil && one.State != account.Open {
		err = fmt.Errorf("%w: the account is %s", billing.ErrConflict, one.State)
	}
	return err
}

type sums struct {
	open, onHold, charges int64
	cut                   bool
}

// openSums sums up what is still to be paid, by currency.
func openSums(ctx context.Context, tx *books.Tx, id string) (map[string]*sums, error) {
	byCurrency := map[string]*sums{}
	f := billing.ReceivableFilter{Account: id, Open: true, Limit: openPage}
	for n := range openPages {
		list, err := tx.Receivables(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			s := byCurrency[r.Currency]
			if s == nil {
				s = &sums{}
				byCurrency[r.Currency] = s
			}
			s.charges++
			s.open += r.RestCents()
			if r.Hold != "" {
				s.onHold += r.RestCents()
			}
		}
		if len(list) < openPage {
			break
		}
		if n == openPages-1 {
			for _, s := range byCurrency {
				s.cut = true
			}
		}
		last := list[len(list)-1]
		f.AfterMicros, f.AfterID = last.OccurredMicros, last.ID
	}
	return byCurrency, nil
}

// me shows the account and its money.
func (a *API) me(c echo.Context, id string) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	var (
		one   account.Account
		debts map[string]*sums
	)
	ctx := c.Request().Context()
	err := a.Books.View(ctx, func(tx *books.Tx) (err error) {
		if one, err = stands(ctx, tx, id); err == nil {
			debts, err = openSums(ctx, tx, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	balances, err := a.Books.Balances(ctx, []string{billing.MotoristPrefix + id, billing.WalletPrefix + id})
	if err != nil {
		return fmt.Errorf("reading the balance: %w", err)
	}
	view := struct {
		Account accountForm `json:"account"`
		Money   []moneyForm `json:"money"`
	}{Account: accountForm{one.ID, one.Kind, one.Name, one.Email, one.Mobile, one.Language, one.State, a.shown(one.OpenedAt), a.shown(one.ClosesAt)}}
	currencies := []string{a.Currency}
	note := func(currency string) {
		if !slices.Contains(currencies, currency) {
			currencies = append(currencies, currency)
		}
	}
	for _, b := range balances {
		note(b.Currency)
	}
	for currency := range debts {
		note(currency)
	}
	slices.Sort(currencies[1:])
	for _, currency := range currencies {
		var owed, held int64
		for _, b := range balances {
			switch {
			case b.Currency != currency:
			case strings.HasPrefix(b.Account, billing.WalletPrefix):
				held = -b.AmountCents
			default:
				owed = b.AmountCents
			}
		}
		s := debts[currency]
		if s == nil {
			s = &sums{}
		}
		view.Money = append(view.Money, moneyForm{
			currency, billing.FormatCents(owed), billing.FormatCents(held), billing.FormatCents(s.open), s.charges, billing.FormatCents(s.onHold), !s.cut,
		})
	}
	return c.JSON(http.StatusOK, view)
}

type vehicleForm struct {
	ID string `json:"id"`
	// Plate is empty for a class tag, Tag for the vehicle itself.
	Plate  string    `json:"plate,omitempty"`
	Tag    string    `json:"tag,omitempty"`
	Class  *nameForm `json:"class"`
	Exempt bool      `json:"exempt"`
	From   *string   `json:"from"`
	To     *string   `json:"to"`
}

// nameForm is a code, and what people call it.
type nameForm struct {
	Code string `json:"code"`
	En   string `json:"en,omitempty"`
	Zh   string `json:"zh-HK,omitempty"`
}

func named(code string, look func(string) (en, zh string)) *nameForm {
	if code == "" {
		return nil
	}
	en, zh := look(code)
	return &nameForm{code, en, zh}
}

// vehicles shows which plates and tags were the account's, and when.
func (a *API) vehicles(c echo.Context, id string) error {
	q := web.QueryOf(c, "after", "limit")
	place, limit := page(q, 2, 100, 500)
	from, after := int64(0), ""
	if place != nil {
		from, after = q.Whole(place[0]), place[1]
	}
	if err := q.Err(); err != nil {
		return err
	}
	type item struct {
		vehicleForm
		place *string
	}
	var list []item
	ctx := c.Request().Context()
	err := a.Books.View(ctx, func(tx *books.Tx) error {
		held, err := tx.HoldingsOf(ctx, "account:"+id, false)
		if err != nil {
			return err
		}
		for _, h := range held {
			at := h.From.UnixMicro()
			if place != nil && (at < from || at == from && h.ID <= after) || len(list) > limit {
				continue
			}
			list = append(list, item{
				vehicleForm{h.ID, h.Plate, h.Tag, named(h.Class, a.Names.Class), h.Exempt, a.shown(h.From), a.shown(h.To)}, web.Cursor(digits(at), h.ID),
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return paged(c, list, limit, func(i item) *string { return i.place })
}

type tagForm struct {
	Tag        string    `json:"tag"`
	Kind       string    `json:"kind"`
	Class      *nameForm `json:"class"`
	State      string    `json:"state"`
	Plate      string    `json:"plate,omitempty"`
	Replaces   string    `json:"replaces,omitempty"`
	ReplacedBy string    `json:"replaced_by,omitempty"`
	// StoredValue is a class tag's.
	StoredValue *string `json:"stored_value,omitempty"`
	Currency    string  `json:"currency,omitempty"`
}

// tags shows the account's tags as they stand.
func (a *API) tags(c echo.Context, id string) error {
	q := web.QueryOf(c, "after", "limit")
	place, limit := page(q, 1, 100, 500)
	if err := q.Err(); err != nil {
		return err
	}
	var list []tagForm
	ctx := c.Request().Context()
	err := a.Books.View(ctx, func(tx *books.Tx) error {
		all, err := tx.TagsOf(ctx, id)
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(x, y account.Tag) int { return strings.Compare(x.Tag, y.Tag) })
		for _, t := range all {
			if place != nil && t.Tag <= place[0] || len(list) > limit {
				continue
			}
			f := tagForm{
				Tag: t.Tag, Kind: t.Kind, Class: named(t.Class, a.Names.Class), State: t.State, Plate: t.Plate, Replaces: t.Replaces, ReplacedBy: t.ReplacedBy, Currency: t.Currency,
			}
			if t.Kind == account.ClassTag {
				w, err := tx.Wallet(ctx, billing.HolderTag+t.Tag, t.Currency)
				if err != nil {
					return err
				}
				value := billing.FormatCents(w.BalanceCents)
				f.StoredValue = &value
			}
			list = append(list, f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return paged(c, list, limit, func(t tagForm) *string { return web.Cursor(t.Tag) })
}
