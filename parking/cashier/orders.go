package cashier

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/billing"
	"freeflow/parking"
	"freeflow/parking/tariff"
)

// Kinds of charges in the ledger.
const (
	// ChargeParking is charged to an account's balance, or to nobody's account
	// where payments pay it.
	ChargeParking = "parking"
	// ChargeParkingCard is charged to an account and to be collected from the
	// means of payment that fills it up.
	ChargeParkingCard = "parking-card"
)

// ChargeID and AccountChargeID name a stay's two charges in the ledger: what
// payments pay, and what an account owes.
func ChargeID(stay string) string { return "parking/" + stay }

// AccountChargeID is the charge of what an account owes for the stay.
func AccountChargeID(stay string) string { return "parking/" + stay + "/account" }

// step is one call of the ledger; exactly one field is set.
type step struct {
	// Refund is the id of a payment.
	Refund  string       `json:"refund,omitempty"`
	Charge  *chargeStep  `json:"charge,omitempty"`
	Payment *paymentStep `json:"payment,omitempty"`
}

type chargeStep struct {
	ID             string `json:"id"`
	Kind           string `json:"kind"`
	Revision       int64  `json:"revision"`
	Account        string `json:"account,omitempty"`
	Creditor       string `json:"creditor"`
	AmountCents    int64  `json:"amount_cents"`
	Currency       string `json:"currency"`
	OccurredMicros int64  `json:"occurred_micros"`
	Description    string `json:"description"`
	Vehicle        string `json:"vehicle,omitempty"`
	// Detail is the ledger's, JSON in a string so that its bytes stay.
	Detail string `json:"detail"`
}

type paymentStep struct {
	ID          string    `json:"id"`
	Charge      string    `json:"charge"`
	AmountCents int64     `json:"amount_cents"`
	Currency    string    `json:"currency"`
	Means       string    `json:"means"`
	PaidAt      time.Time `json:"paid_at"`
}

// document is a LedgerOrder's: its steps are made in order, each at least once.
type document struct {
	Stay    string `json:"stay"`
	CarPark string `json:"car_park"`
	Steps   []step `json:"steps"`
}

// ledgerOrder collects the steps of one transaction: payments that stand at
// another charge now are taken back first, then charges change, then payments
// are made.
type ledgerOrder struct {
	stay, carPark              string
	revision                   int64
	stays                      []string
	refunds, charges, payments []step
}

// orderOf adds what has to change in the ledger for the stay. old is what was
// ordered before.
func (s *scope) orderOf(o *ledgerOrder, r *record, old order) error {
	n := len(o.refunds) + len(o.charges) + len(o.payments)
	for i := range r.details.Notes {
		s.orderPayment(o, r, &r.details.Notes[i])
	}
	want, again := r.details.Ordered, s.reorder == r.ID
	ticket := want.TicketCents != old.TicketCents || again && want.TicketCents > 0
	account := want.AccountCents != old.AccountCents ||
		want.AccountCents > 0 && (again || want.Account != old.Account || want.Means != old.Means)
	if n == len(o.refunds)+len(o.charges)+len(o.payments) && !ticket && !account {
		return nil
	}
	r.ChargeRevision++
	if ticket {
		c, err := s.charge(r, ChargeID(r.ID), ChargeParking, "", want.TicketCents)
		if err != nil {
			return err
		}
		o.charges = append(o.charges, step{Charge: c})
	}
	if account {
		kind := ChargeParking
		if want.Means == parking.PaysCard {
			kind = ChargeParkingCard
		}
		holder := want.Account
		if holder == "" {
			// What is taken back is taken back from whom it was charged to.
			holder, kind = old.Account, ChargeParking
		}
		c, err := s.charge(r, AccountChargeID(r.ID), kind, holder, want.AccountCents)
		if err != nil {
			return err
		}
		o.charges = append(o.charges, step{Charge: c})
	}
	o.stays = append(o.stays, r.ID)
	if o.stay == "" {
		o.stay, o.carPark, o.revision = r.ID, r.CarPark, r.ChargeRevision
	}
	return nil
}

// orderPayment brings the ledger's payment to what is kept of the note's, at
// the stay's charge.
func (s *scope) orderPayment(o *ledgerOrder, r *record, n *note) {
	p := n.Payment
	if p == nil {
		return
	}
	wanted := ""
	if p.KeptCents > 0 {
		wanted = paymentID(r.ID, p)
	}
	again := s.reorder == r.ID && wanted != ""
	if p.LedgerID == wanted && !again {
		return
	}
	if p.LedgerID != "" && !again {
		o.refunds = append(o.refunds, step{Refund: p.LedgerID})
		p.Turn++
		if p.KeptCents > 0 {
			wanted = paymentID(r.ID, p)
		}
	}
	p.LedgerID, p.Charge = wanted, r.ID
	if wanted != "" {
		o.payments = append(o.payments, step{Payment: &paymentStep{
			ID: wanted, Charge: ChargeID(r.ID), AmountCents: p.KeptCents, Currency: r.Currency, Means: p.Means, PaidAt: n.At.UTC(),
		}})
	}
}

// paymentID names the ledger's payment: the stay, what is kept, and how often
// that changed are part of it, so that each is posted once.
func paymentID(stay string, p *paymentNote) string {
	return strings.Join([]string{"parking", stay, p.ID, strconv.FormatInt(p.KeptCents, 10), strconv.Itoa(p.Turn)}, "/")
}

// charge makes the charge of a share of the stay.
func (s *scope) charge(r *record, id, kind, account string, amount int64) (*chargeStep, error) {
	detail, err := s.detail(r, amount)
	if err != nil {
		return nil, err
	}
	description := cut(s.site.Name.En, 200) + ": parking"
	if !r.Entry.IsZero() && !r.Exit.IsZero() {
		zone := s.zone()
		description += " " + r.Entry.In(zone).Format("2006-01-02 15:04") + " to " + r.Exit.In(zone).Format("2006-01-02 15:04")
	}
	if kind == ChargeParkingCard {
		description += ", collected from the means of payment that fills the account up"
	}
	return &chargeStep{
		ID: id, Kind: kind, Revision: r.ChargeRevision, Account: account, Creditor: r.CarPark, AmountCents: amount, Currency: r.Currency,
		OccurredMicros: r.ledgerTime().UnixMicro(), Description: description, Vehicle: cut(r.Vehicle, 256), Detail: detail,
	}, nil
}

// zone is the site's; UTC where its name is not known here.
func (s *scope) zone() *time.Location {
	zone, err := time.LoadLocation(s.site.Zone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// maxLines bounds the lines that a charge shows.
const maxLines = 200

type detailLine struct {
	Text   string       `json:"text"`
	Amount tariff.Cents `json:"amount"`
}

// detail is the receipt as a motorist's charge shows it: its lines sum to the
// charge's amount.
func (s *scope) detail(r *record, amount int64) (string, error) {
	d := struct {
		Stay    string       `json:"stay"`
		CarPark string       `json:"car_park"`
		Means   string       `json:"means"`
		Flags   []string     `json:"flags,omitempty"`
		Tariff  string       `json:"tariff_version,omitempty"`
		Quote   string       `json:"quote,omitempty"`
		Lines   []detailLine `json:"lines"`
	}{Stay: r.ID, CarPark: r.CarPark, Means: r.Means, Flags: r.Flags, Tariff: r.TariffVersion, Quote: r.Quote, Lines: []detailLine{}}
	var sum int64
	if amount > 0 && len(r.Receipt) > 0 && r.State != parking.Review {
		var receipt tariff.Receipt
		if err := json.Unmarshal(r.Receipt, &receipt); err != nil {
			return "", fmt.Errorf("reading the receipt of stay %s: %w", r.ID, err)
		}
		for i := range receipt.Lines {
			l := &receipt.Lines[i]
			sum += int64(l.AmountCents)
			if len(d.Lines) < maxLines {
				d.Lines = append(d.Lines, detailLine{cut(l.Text, 200), l.AmountCents})
			} else {
				d.Lines[maxLines-1].Text = "Further lines of the receipt"
				d.Lines[maxLines-1].Amount += l.AmountCents
			}
		}
	}
	switch {
	case amount == sum:
	case sum == 0:
		d.Lines = append(d.Lines, detailLine{"Paid so far", tariff.Cents(amount)})
	case amount > sum:
		d.Lines = append(d.Lines, detailLine{"Paid too much, to be given back", tariff.Cents(amount - sum)})
	case r.Means == parking.PaysTicket || amount == r.PaidCents:
		d.Lines = append(d.Lines, detailLine{"Charged to an account", tariff.Cents(amount - sum)})
	default:
		d.Lines = append(d.Lines, detailLine{"Paid at a machine, by plate or ticket", tariff.Cents(amount - sum)})
	}
	b, err := json.Marshal(d, json.Deterministic(true))
	return string(b), err
}

// place orders the steps, if there are any, as one.
func (s *scope) place(ctx context.Context, o *ledgerOrder) error {
	steps := slices.Concat(o.refunds, o.charges, o.payments)
	if len(steps) == 0 {
		return nil
	}
	b, err := json.Marshal(document{o.stay, o.carPark, steps}, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("writing an order of the ledger: %w", err)
	}
	kind := "charge"
	switch {
	case len(o.refunds) > 0:
		kind = "refund"
	case len(o.payments) > 0:
		kind = "payment"
	}
	err = s.tx.Order(ctx, parking.LedgerOrder{
		ID: o.stay + "/" + strconv.FormatInt(o.revision, 10), Kind: kind, Document: b, At: s.now, Stays: o.stays,
	})
	if err != nil {
		return fmt.Errorf("ordering a charge: %w", err)
	}
	return nil
}

// billing returns the charge as the ledger takes it.
func (c *chargeStep) billing() billing.Charge {
	return billing.Charge{
		ID: c.ID, Kind: c.Kind, Revision: c.Revision, Account: c.Account, Creditor: c.Creditor, AmountCents: c.AmountCents,
		Currency: c.Currency, OccurredMicros: c.OccurredMicros, Description: c.Description, Vehicle: c.Vehicle, Detail: []byte(c.Detail),
	}
}
