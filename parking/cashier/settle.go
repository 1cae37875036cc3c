package cashier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/parking"
	"freeflow/parking/stay"
	"freeflow/parking/tariff"
)

// Flags that the cashier adds to those of the rules.
const (
	// NoPrice: the tariff has no price; Bill.Problem says why.
	NoPrice = "no-price"
	// Superseded: what the stay was seen by belongs to another one now.
	Superseded = "superseded"
	// Overpaid: more was paid than the stay costs; to be given back.
	Overpaid = "overpaid"
	// LostTicket: the driver said so.
	LostTicket = "lost-ticket"
	// Exempt vehicles owe nothing.
	Exempt = "exempt"
	// NotDerived, of a LaneResult: the event was kept and made no stay.
	NotDerived = "not-derived"
)

// settle makes of what the rules say the stay as it is to be stored: its price
// if it is closed, and who pays. r has the id, the notes and what was stored.
func (s *scope) settle(ctx context.Context, d *stay.Stay, r *record) error {
	r.CarPark = s.site.ID
	if r.TariffVersion == "" || !r.began().Equal(d.Began()) {
		r.TariffVersion = ""
		if v := versionAt(s.book, "", d.Began()); v != nil {
			r.TariffVersion = v.Version
		}
	}
	r.Vehicle, r.Tag, r.Plate, r.Ticket, r.Class = d.Vehicle, d.Tag, d.Plate, d.Ticket, d.Class
	first, last := &d.Visits[0], &d.Visits[len(d.Visits)-1]
	r.EntryEvent, r.ExitEvent = first.EntryEvent, last.ExitEvent
	r.Entry, r.Exit, r.ClockFrom, r.ClockTo = d.Entry, d.Exit, d.ClockFrom, d.ClockTo
	r.Allocation = ""
	if d.Berth != nil {
		r.Allocation = d.Berth.ID
	}
	r.details.Names, r.details.Events, r.details.Allocations = d.Names, d.Events, d.Allocations
	r.details.Basis, r.details.Problem, r.details.Superseded = d.Basis, "", false
	r.details.Open, r.details.Rated = d.Open, nil
	r.PaidCents = paid(r.details.Notes)
	r.By, r.Reason = "", ""
	if d.Decision != nil {
		r.By, r.Reason = d.Decision.By, d.Decision.Reason
	}
	r.Flags = slices.Clone(d.Flags)
	r.Quote = ""
	for i := range r.details.Notes {
		switch n := &r.details.Notes[i]; n.Kind {
		case noteQuote:
			r.Quote = n.Name
		case noteLost:
			r.flag(LostTicket)
		}
	}
	if r.Currency == "" && s.book != nil {
		r.Currency = s.book.Versions()[0].Currency
	}
	return s.settlePrice(ctx, d, r)
}

func (r *record) flag(f string) {
	if i, found := slices.BinarySearch(r.Flags, f); !found {
		r.Flags = slices.Insert(r.Flags, i, f)
	}
}

// settlePrice prices the stay as far as it has come: all of it if it is closed,
// up to the last exit if a re-entry continues it, not at all if it never left.
func (s *scope) settlePrice(ctx context.Context, d *stay.Stay, r *record) error {
	r.State, r.Receipt, r.AmountCents = parking.Closed, nil, 0
	priced := d
	switch {
	case d.Open && len(d.Visits) == 1:
		r.State = parking.Open
		return s.payer(ctx, d, r, rated{}, false)
	case d.Open:
		r.State = parking.Open
		priced = untilLastExit(d)
	case d.Review:
		r.State = parking.Review
	}
	var price rated
	var err error
	if d.Has(stay.MissingExit) && priced.Exit.IsZero() {
		err = fmt.Errorf("%w: when it left is not known", errNoPrice)
	} else {
		price, err = s.rate(ctx, priced, r, s.now)
	}
	decided := d.Decision != nil && d.Has(stay.Decided)
	if err != nil {
		if !errors.Is(err, errNoPrice) {
			return err
		}
		r.flag(NoPrice)
		r.details.Problem = err.Error()
		if decided && (d.Decision.Kind == stay.Waived || d.Decision.Kind == stay.Amount) && s.book != nil {
			price.receipt = s.bare(r)
		} else {
			if r.State == parking.Closed {
				r.State = parking.Review
			}
			return s.payer(ctx, d, r, price, false)
		}
	}
	r.details.Rated = price.told
	s.applyDecision(d, &price)
	if err := s.payer(ctx, d, r, price, r.State != parking.Review); err != nil {
		return err
	}
	if d.Holder.Exempt && !decided {
		setTotal(&price.receipt, 0, LineExempt, "The vehicle is exempt", "exempt", priced.Exit)
	}
	b, err := json.Marshal(price.receipt, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("writing the receipt of stay %s: %w", r.ID, err)
	}
	r.Receipt = b
	if r.State != parking.Review {
		r.AmountCents = price.receipt.TotalCents
		if r.PaidCents > r.AmountCents && r.State == parking.Closed {
			r.flag(Overpaid)
		}
	}
	return nil
}

// untilLastExit is the stay without its last visit, which has not ended.
func untilLastExit(d *stay.Stay) *stay.Stay {
	c := *d
	c.Visits = d.Visits[:len(d.Visits)-1]
	c.Open = false
	c.Exit = c.Visits[len(c.Visits)-1].Exit
	return &c
}

// bare is a receipt without lines.
func (s *scope) bare(r *record) tariff.Receipt {
	t := versionAt(s.book, r.TariffVersion, s.now)
	if t == nil {
		t = s.book.Versions()[0]
	}
	return tariff.Receipt{
		Currency: t.Currency, TariffID: t.ID, TariffVersion: t.Version, Zone: t.Zone, PaidCents: r.PaidCents, Lines: []tariff.Line{},
	}
}

// applyDecision makes the receipt come to what a person decided.
func (s *scope) applyDecision(d *stay.Stay, price *rated) {
	if d.Decision == nil || !d.Has(stay.Decided) {
		return
	}
	text := fmt.Sprintf("Decided by %s: %s", d.Decision.By, d.Decision.Reason)
	at := d.Decision.At
	switch d.Decision.Kind {
	case stay.Waived:
		setTotal(&price.receipt, 0, LineDecision, text, "decision/waive", at)
	case stay.Amount:
		setTotal(&price.receipt, d.Decision.AmountCents, LineDecision, text, "decision/amount", at)
	}
}

// payer says who pays, and what is to be ordered of the ledger for it. settled:
// the price is known and final for now; otherwise nothing but what was paid
// already stands in the ledger.
func (s *scope) payer(ctx context.Context, d *stay.Stay, r *record, price rated, settled bool) error {
	want := order{Ticketed: r.details.Ordered.Ticketed, Accounted: r.details.Ordered.Accounted, TicketCents: r.PaidCents}
	r.Account, r.Means = "", parking.PaysTicket
	account, limit, err := s.account(ctx, d, r, settled)
	if err != nil {
		return err
	}
	decided := d.Decision != nil && d.Has(stay.Decided)
	cost := price.receipt.TotalCents
	rest := max(0, cost-r.PaidCents)
	switch {
	case d.Holder.Exempt && !decided:
		r.Means = parking.PaysPass
		r.flag(Exempt)
	case settled && price.permit && cost == 0 && r.PaidCents == 0:
		r.Means = parking.PaysPass
	case account != "" && (!settled || rest > 0 || r.PaidCents == 0):
		r.Account, r.Means = account, parking.PaysAccount
		if settled && limit > 0 && rest >= limit {
			r.Means = parking.PaysCard
		}
		if settled && rest > 0 {
			want.AccountCents, want.Account, want.Means = rest, account, r.Means
		}
	case settled:
		want.TicketCents = max(cost, r.PaidCents)
	}
	want.Ticketed = want.Ticketed || want.TicketCents > 0
	want.Accounted = want.Accounted || want.AccountCents > 0
	r.details.Ordered = want
	return nil
}

// account is whose account pays, empty for nobody's, and the limit above which
// it does so by card; 0 is no limit.
func (s *scope) account(ctx context.Context, d *stay.Stay, r *record, settled bool) (account string, limit int64, err error) {
	if d.Decision != nil && d.Has(stay.Decided) {
		switch d.Decision.Kind {
		case stay.ByAccount, stay.Amount:
			return d.Decision.Account, 0, nil
		case stay.Waived:
			return "", 0, nil
		}
	}
	account = d.Holder.Account
	if account == "" || s.site.TagLimitCents <= 0 {
		return "", 0, nil
	}
	for i := range r.details.Notes {
		if n := &r.details.Notes[i]; n.Kind == notePreference && n.Account == account {
			if !n.Pays {
				account = ""
			}
			return account, s.site.TagLimitCents, nil
		}
	}
	p, err := s.tx.Preference(ctx, account)
	if err != nil {
		return "", 0, fmt.Errorf("reading an account's preference: %w", err)
	}
	p.Business = p.Business || d.Holder.Business
	if settled {
		n := note{Kind: notePreference, Anchor: d.Anchor, At: d.Exit, Account: account, Pays: p.PaysParking()}
		if err := r.add(n); err != nil {
			return "", 0, err
		}
	}
	if !p.PaysParking() {
		return "", 0, nil
	}
	return account, s.site.TagLimitCents, nil
}

// inputs is a digest of everything that a closed stay is settled by, so that a
// settled stay is not priced again for nothing.
func (s *scope) inputs(ctx context.Context, d *stay.Stay, r *record) (string, error) {
	held, err := s.held(ctx, d, r.TariffVersion)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(struct {
		Stay   *stay.Stay
		Notes  []note
		Passes []tariff.HeldPermit `json:",omitempty"`
	}{d, r.details.Notes, held}, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("digesting a stay: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// stayID makes an id of what a stay is first known by.
func stayID(carPark, anchor string, turn int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "stay\x00%s\x00%s\x00%d", carPark, anchor, turn))
	return hex.EncodeToString(sum[:16])
}

// ledgerTime is the instant to which a charge belongs.
func (r *record) ledgerTime() time.Time {
	if !r.Exit.IsZero() {
		return r.Exit
	}
	return r.Entry
}
