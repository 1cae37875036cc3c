package tariff

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// QuoteRequest asks what a stay would cost.
type QuoteRequest struct {
	Class string
	// From and To bound the stay.
	From, To time.Time
	// At is the present instant, from which the quote runs; it must be given.
	At time.Time
	// EVMinutes and EVWattHours are what charging, from From on, would take;
	// both 0 is none.
	EVMinutes   int
	EVWattHours int64
	Flags       []string
	Validations []Validation
	Passes      []BoughtPass
	Permit      string
	Reserved    bool
}

// Quote is a price for a stay within [From, To). Its receipt's total binds:
// see Stay.Quote. In JSON it is written and read without loss.
type Quote struct {
	// ID is made of all the rest, so that two equal quotes have one.
	ID    string    `json:"id"`
	Class string    `json:"class"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	// Made and Expires: the quote can be accepted within [Made, Expires).
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	// TotalCents is Receipt.TotalCents.
	TotalCents int64   `json:"-"`
	Receipt    Receipt `json:"receipt"`
	// What the price supposes, as it was asked for: it binds only a stay that
	// has as much.
	Flags       []string `json:"flags,omitempty"`
	Validations []string `json:"validations,omitempty"` // codes
	Passes      []string `json:"passes,omitempty"`      // ids
	Permit      string   `json:"permit,omitempty"`
	EVMinutes   int      `json:"ev_minutes,omitzero"`
	EVWattHours int64    `json:"ev_watt_hours,omitzero"`
}

// defaultQuoteMinutes holds where a tariff says nothing.
const defaultQuoteMinutes = 15

// Quote prices a stay to come by the version that will be in force at From.
// The errors are those of Rate.
func (b *Book) Quote(q QuoteRequest) (Quote, error) {
	out, err := b.quote(q)
	if err != nil {
		return Quote{}, fmt.Errorf("quoting a stay: %w", err)
	}
	return out, nil
}

func (b *Book) quote(q QuoteRequest) (Quote, error) {
	switch {
	case q.At.IsZero():
		return Quote{}, errors.New("the instant of the request is missing; a quote runs from it")
	case !q.From.Before(q.To):
		return Quote{}, fmt.Errorf("from %s is not before to %s", q.From.Format(time.RFC3339), q.To.Format(time.RFC3339))
	case q.EVMinutes < 0 || q.EVMinutes > maxStaySeconds/60:
		return Quote{}, fmt.Errorf("%d minutes of charging are not between 0 and %d", q.EVMinutes, maxStaySeconds/60)
	}
	s := Stay{Class: q.Class, Entry: q.From, Exit: q.To, Flags: q.Flags, Validations: q.Validations, Passes: q.Passes, Permit: q.Permit, Reserved: q.Reserved}
	if q.EVMinutes > 0 || q.EVWattHours > 0 {
		end := q.From.Add(time.Duration(q.EVMinutes) * time.Minute)
		s.EV = &EVSession{PlugIn: q.From, ChargeEnd: end, Unplug: end, WattHours: q.EVWattHours}
	}
	r, err := b.rate(&s)
	if err != nil {
		return Quote{}, err
	}
	v, err := b.find(r.TariffVersion, q.From)
	if err != nil {
		return Quote{}, err
	}
	minutes := v.tariff.Options.QuoteMinutes
	if minutes == 0 {
		minutes = defaultQuoteMinutes
	}
	second := func(t time.Time) time.Time { return time.Unix(t.Unix(), 0).In(v.zone) }
	out := Quote{Class: q.Class, From: second(q.From), To: second(q.To), Made: second(q.At), TotalCents: r.TotalCents, Receipt: r,
		Flags: slices.Clone(q.Flags), Permit: q.Permit, EVMinutes: q.EVMinutes, EVWattHours: q.EVWattHours}
	for _, v := range q.Validations {
		out.Validations = append(out.Validations, v.Code)
	}
	for _, p := range q.Passes {
		out.Passes = append(out.Passes, p.ID)
	}
	out.Expires = out.Made.Add(time.Duration(minutes) * time.Minute)
	data, err := json.Marshal(quoteMembers(out), json.Deterministic(true))
	if err != nil {
		return Quote{}, fmt.Errorf("naming the quote: %w", err)
	}
	sum := sha256.Sum256(data)
	out.ID = "q-" + hex.EncodeToString(sum[:12])
	return out, nil
}

type quoteMembers Quote

// UnmarshalJSON reads what the standard and the experimental encoder write of
// a Quote.
func (q *Quote) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, (*quoteMembers)(q)); err != nil {
		return fmt.Errorf("reading a quote: %w", err)
	}
	q.TotalCents = q.Receipt.TotalCents
	return nil
}

// suits tells whether a stay is what the quote supposed: of its class and
// within reach of its interval, with the flags, validations, passes and permit
// that made the price.
func (q *Quote) suits(s *Stay) bool {
	for _, flag := range q.Flags {
		if !slices.Contains(s.Flags, flag) {
			return false
		}
	}
	for _, code := range q.Validations {
		if !slices.ContainsFunc(s.Validations, func(v Validation) bool { return v.Code == code }) {
			return false
		}
	}
	for _, id := range q.Passes {
		if !slices.ContainsFunc(s.Passes, func(p BoughtPass) bool { return p.ID == id }) {
			return false
		}
	}
	return q.Class == s.Class && (q.Permit == "" || q.Permit == s.Permit) && s.Entry.Before(q.To) && s.Exit.After(q.From)
}

// rateQuoted prices a stay that came with a quote. If it binds, the part of
// the stay within the quoted interval costs no more than was quoted, by the
// version that was quoted, and what lies outside is rated on: the difference
// between the whole stay and that part. Parking and charging are compared each
// for itself, charging only if there was no more of it than quoted. That the
// quote is one which was given is for the caller to know, who stored it.
func (b *Book) rateQuoted(s *Stay) (Receipt, error) {
	q := s.Quote
	accepted := s.QuoteAccepted
	if accepted.IsZero() {
		accepted = s.Entry
	}
	var quoted *version
	for _, v := range b.versions {
		if v.hash == q.Receipt.Hash {
			quoted = v
		}
	}
	flag := FlagQuoteBinds
	switch {
	case quoted == nil:
		return Receipt{}, fmt.Errorf("quote %s is of tariff version %.64q with hash %.64q, which is not in this book; load it", q.ID, q.Receipt.TariffVersion, q.Receipt.Hash)
	case !accepted.Before(q.Expires) || accepted.Unix() < q.Made.Unix():
		flag = FlagQuoteExpired
	case !q.suits(s):
		flag = FlagQuoteOther
	}
	if flag != FlagQuoteBinds {
		r, err := b.rateAlone(s)
		r.QuoteID = q.ID
		r.flag(flag)
		return r, err
	}
	alone := *s
	alone.Version = quoted.tariff.Version
	r, err := b.rateAlone(&alone)
	if err != nil {
		return Receipt{}, err
	}
	inside, err := b.insideQuote(alone)
	if err != nil {
		return Receipt{}, err
	}
	r.QuoteID = q.ID
	r.flag(FlagQuoteBinds)
	parking, charging, _ := byPurpose(inside.Lines)
	_, quotedCharging, quotedFees := byPurpose(q.Receipt.Lines)
	over := max(0, parking-(q.TotalCents-quotedCharging-quotedFees))
	if ev := s.EV; ev != nil && ev.WattHours <= q.EVWattHours && chargedMinutes(&inside) <= int64(q.EVMinutes) {
		over += max(0, charging-quotedCharging)
	}
	if over = min(over, r.TotalCents); over > 0 {
		at := slices.MaxFunc([]time.Time{q.From, s.Entry}, time.Time.Compare)
		r.Lines = append(r.Lines, Line{Kind: LineQuote, Text: "Quoted " + Cents(q.TotalCents).String() + " until " + q.To.Format(time.RFC3339),
			From: at.In(quoted.zone), To: q.To.In(quoted.zone), Units: 1, UnitCents: Cents(-over), AmountCents: Cents(-over), Rule: "quote/" + q.ID})
		r.settle(r.PaidCents)
	}
	return r, nil
}

// byPurpose sums lines for parking, for charging, and for the booking.
func byPurpose(lines []Line) (parking, charging, fees int64) {
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l.Rule, "ev/"):
			charging += int64(l.AmountCents)
		case l.Kind == LineReservation || l.Kind == LineNoShow || l.Kind == LineLostTicket:
			fees += int64(l.AmountCents)
		default:
			parking += int64(l.AmountCents)
		}
	}
	return parking, charging, fees
}

// chargedMinutes gives how long the car was charged, begun minutes whole.
func chargedMinutes(r *Receipt) int64 {
	var most int64
	for _, l := range r.Lines {
		if l.Kind == LineEVCharge {
			most = max(most, unitsOf(l.To.Unix()-l.From.Unix(), 1))
		}
	}
	return most
}

// insideQuote prices the part of a stay within its quote's interval.
func (b *Book) insideQuote(s Stay) (Receipt, error) {
	from, to := s.Quote.From, s.Quote.To
	clip := func(i Interval) Interval {
		if i.Start.Before(from) {
			i.Start = from
		}
		if i.End.After(to) {
			i.End = to
		}
		return i
	}
	visit := clip(Interval{s.Entry, s.Exit})
	s.Entry, s.Exit = visit.Start, visit.End
	var earlier []Interval
	for _, i := range s.Earlier {
		if i = clip(i); i.Start.Before(i.End) {
			earlier = append(earlier, i)
		}
	}
	s.Earlier, s.Payments = earlier, nil
	return b.rateAlone(&s)
}
