package tariff

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// Kinds of lines.
const (
	LineParking     = "parking"
	LinePass        = "pass"
	LinePermit      = "permit"
	LineCap         = "cap"
	LineFree        = "free"
	LineOvernight   = "overnight"
	LineDiscount    = "discount"
	LineEVCharge    = "ev_charge"
	LineEVIdle      = "ev_idle"
	LineLostTicket  = "lost_ticket"
	LineReservation = "reservation"
	LineNoShow      = "no_show"
	LineQuote       = "quote"
)

// Flags of receipts: what somebody may want to look into.
const (
	// FlagExitBeforeEntry: the exit lay before the entry, by the lanes' clocks,
	// and was taken to be the entry.
	FlagExitBeforeEntry = "exit_before_entry"
	// FlagReentry: an earlier visit was continued.
	FlagReentry = "reentry_continued"
	// FlagGraceAfterPayment: the exit was within the grace after a payment.
	FlagGraceAfterPayment = "within_payment_grace"
	// FlagTariffChanged: a later version began during the stay.
	FlagTariffChanged = "tariff_changed_during_stay"
	// FlagClockStopped: time was left out because the clock stood still.
	FlagClockStopped = "clock_stopped"
	// FlagEVTimesClamped: an EV instant lay outside the stay, or was out of
	// order, and was moved.
	FlagEVTimesClamped = "ev_times_clamped"
	// FlagQuoteBinds, FlagQuoteExpired, FlagQuoteOther: what became of the
	// stay's quote; the last was for another class or
	// interval, or supposed what the stay does not have.
	FlagQuoteBinds   = "quote_binds"
	FlagQuoteExpired = "quote_expired"
	FlagQuoteOther   = "quote_for_another_stay"
	// FlagBestPriceBounded: so many combinations were possible that not all
	// were tried; the price is that of the cheapest found.
	FlagBestPriceBounded = "best_price_bounded"
	// FlagOverpaid: more was paid than is due now.
	FlagOverpaid = "overpaid"
	// FlagValidationUnused: of validations that do not stack one was left out.
	FlagValidationUnused = "validation_unused"
)

// Line is one line of a receipt. Amounts are cents of the receipt's currency.
type Line struct {
	Kind string `json:"kind"`
	// Text says what is charged, in English.
	Text string `json:"text"`
	// From and To are in the tariff's zone, [From, To); equal where the line is
	// about no stretch of time.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Units times UnitCents is AmountCents, unless Text says pro rata.
	Units       int64 `json:"units"`
	UnitCents   Cents `json:"unit_price"`
	AmountCents Cents `json:"amount"`
	// Rule names the rule of the tariff, such as "bands/day".
	Rule string `json:"rule"`
}

// Receipt is the price of a stay and why. Its lines sum to TotalCents. In
// JSON amounts have two places and instants are RFC 3339 in the tariff's zone.
type Receipt struct {
	Currency string `json:"currency"`
	// TotalCents is the price of the whole stay; PaidCents what was paid before,
	// DueCents what is left to pay, and CreditCents what was paid too much.
	TotalCents  int64 `json:"-"`
	PaidCents   int64 `json:"-"`
	DueCents    int64 `json:"-"`
	CreditCents int64 `json:"-"`
	// ChargedSeconds is the time that was charged, pauses left out.
	ChargedSeconds int64  `json:"charged_seconds"`
	Lines          []Line `json:"lines"`
	TariffID       string `json:"tariff"`
	TariffVersion  string `json:"tariff_version"`
	// Hash is that of the version, as Tariff.Hash gives it.
	Hash string `json:"tariff_hash"`
	// QuoteID is that of the quote that the stay came with.
	QuoteID string   `json:"quote,omitempty"`
	Flags   []string `json:"flags,omitempty"`
	Zone    string   `json:"zone"`
}

func (r *Receipt) flag(name string) {
	if !slices.Contains(r.Flags, name) {
		r.Flags = append(r.Flags, name)
	}
}

// Has tells whether the receipt has a flag.
func (r *Receipt) Has(flag string) bool { return slices.Contains(r.Flags, flag) }

// settle makes the totals of the lines and of what was paid.
func (r *Receipt) settle(paid int64) {
	r.TotalCents = sumOf(r.Lines)
	r.PaidCents = paid
	r.DueCents = max(0, r.TotalCents-paid)
	r.CreditCents = max(0, paid-r.TotalCents)
	if r.CreditCents > 0 {
		r.flag(FlagOverpaid)
	}
}

func sumOf(lines []Line) int64 {
	var sum int64
	for _, line := range lines {
		sum += int64(line.AmountCents)
	}
	return sum
}

type receiptMembers Receipt

// receiptJSON is a receipt with its amounts as JSON has them.
type receiptJSON struct {
	receiptMembers
	Total  Cents `json:"total"`
	Paid   Cents `json:"paid"`
	Due    Cents `json:"due"`
	Credit Cents `json:"credit"`
}

// MarshalJSON gives the receipt with amounts of two places.
func (r Receipt) MarshalJSON() ([]byte, error) {
	return json.Marshal(receiptJSON{receiptMembers(r), Cents(r.TotalCents), Cents(r.PaidCents), Cents(r.DueCents), Cents(r.CreditCents)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Receipt) UnmarshalJSON(data []byte) error {
	var in receiptJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("reading a receipt: %w", err)
	}
	*r = Receipt(in.receiptMembers)
	r.TotalCents, r.PaidCents, r.DueCents, r.CreditCents = int64(in.Total), int64(in.Paid), int64(in.Due), int64(in.Credit)
	return nil
}
