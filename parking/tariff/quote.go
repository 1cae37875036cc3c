package tariff

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
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
	out := Quote{Class: q.Class, From: second(q.From), To: second(q.To), Made: second(q.At), TotalCents: r.TotalCents, Receipt: r}
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

// rateQuoted prices a stay that came with a quote. If it binds, the part of
// the stay within the quoted interval costs no more than was quoted, by the
// version that was quoted, and what lies outside is rated on: the difference
// between the whole stay and that part. That the quote is one which was given
// is for the caller to know, who stored it.
func (b *Book) rateQuoted(s *Stay) (Receipt, error) {
	q := s.Quote
	accepted := s.QuoteAccepted
	if accepted.IsZero() {
		accepted = s.Entry
	}
	alone := *s
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
	case q.Class != s.Class || !s.Entry.Before(q.To) || !s.Exit.After(q.From):
		flag = FlagQuoteOther
	}
	if flag != FlagQuoteBinds {
		r, err := b.rateAlone(&alone)
		r.QuoteID = q.ID
		r.flag(flag)
		return r, err
	}
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
	if over := min(inside.TotalCents-q.TotalCents, r.TotalCents); over > 0 {
		at := slices.MaxFunc([]time.Time{q.From, s.Entry}, time.Time.Compare)
		r.Lines = append(r.Lines, Line{Kind: LineQuote, Text: "Quoted " + Cents(q.TotalCents).String() + " until " + q.To.Format(time.RFC3339),
			From: at.In(quoted.zone), To: q.To.In(quoted.zone), Units: 1, UnitCents: Cents(-over), AmountCents: Cents(-over), Rule: "quote/" + q.ID})
		r.settle(r.PaidCents)
	}
	return r, nil
}

// insideQuote prices the part of a stay within its quote's interval.
func (b *Book) insideQuote(s Stay) (Receipt, error) {
	q := s.Quote
	if s.Entry.Before(q.From) {
		s.Entry = q.From
	}
	if s.Exit.After(q.To) {
		s.Exit = q.To
	}
	s.Payments = nil
	return b.rateAlone(&s)
}
