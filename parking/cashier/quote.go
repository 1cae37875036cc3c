package cashier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/parking"
	"freeflow/parking/tariff"
)

// storedQuote is a Quote as it is kept.
type storedQuote struct {
	CarPark string       `json:"car_park"`
	Quote   tariff.Quote `json:"quote"`
}

// Price says what a stay would cost, and keeps nothing: it does not bind, and
// its ID is empty. Errors as of Quote.
func (c *Cashier) Price(_ context.Context, r QuoteRequest) (Quote, error) {
	site, book, err := c.site(r.CarPark)
	if err != nil {
		return Quote{}, fmt.Errorf("quoting: %w", err)
	}
	if book == nil {
		return Quote{}, fmt.Errorf("quoting: car park %s has no tariff: %w", site.ID, parking.ErrNotFound)
	}
	q := tariff.QuoteRequest{Class: r.Class, From: r.From, To: r.To, At: c.p.Clock.Now(), Flags: r.Flags}
	if r.EV {
		q.EVMinutes = int(r.To.Sub(r.From) / time.Minute)
	}
	quote, err := book.Quote(q)
	if err != nil {
		return Quote{}, fmt.Errorf("%w: %w", parking.ErrInvalid, err)
	}
	quote.ID = ""
	return Quote{CarPark: site.ID, Quote: quote}, nil
}

// Quote prices a stay to come and keeps the price until it expires; who takes
// it up (Claim) before then and stays as asked pays no more. ErrNotFound: no
// such car park or tariff. ErrInvalid: the tariff cannot price it.
func (c *Cashier) Quote(ctx context.Context, r QuoteRequest, keep Keep[Quote]) (Result[Quote], error) {
	q, err := c.Price(ctx, r)
	if err != nil {
		return Result[Quote]{}, err
	}
	return do(ctx, c, keep, func(tx parking.Tx) (Quote, error) {
		doc, err := json.Marshal(storedQuote{q.CarPark, q.Quote}, json.Deterministic(true))
		if err != nil {
			return Quote{}, fmt.Errorf("writing a quote: %w", err)
		}
		id := "q-" + stayID(q.CarPark, string(doc), 0)
		if err := tx.PutQuote(ctx, id, q.Expires, doc); err != nil {
			return Quote{}, fmt.Errorf("keeping a quote: %w", err)
		}
		q.ID, q.Quote.ID = id, id
		return q, nil
	})
}

// FindQuote returns a quote, also one that has expired. ErrNotFound.
func (c *Cashier) FindQuote(ctx context.Context, id string) (q Quote, err error) {
	err = c.p.Keeping.View(ctx, func(tx parking.Tx) error {
		q, err = c.findQuote(ctx, tx, id)
		return err
	})
	return q, err
}

func (c *Cashier) findQuote(ctx context.Context, tx parking.Tx, id string) (Quote, error) {
	_, doc, err := tx.Quote(ctx, id)
	if err != nil {
		return Quote{}, fmt.Errorf("finding quote %.64q: %w", id, err)
	}
	var stored storedQuote
	if err := json.Unmarshal(doc, &stored); err != nil {
		return Quote{}, fmt.Errorf("reading quote %s: %w", id, err)
	}
	stored.Quote.ID = id
	return Quote{ID: id, CarPark: stored.CarPark, Quote: stored.Quote}, nil
}

// takeQuote checks a quote that a driver accepted for the stay.
func (s *scope) takeQuote(ctx context.Context, r *record, id string) error {
	q, err := s.c.findQuote(ctx, s.tx, id)
	switch {
	case errors.Is(err, parking.ErrNotFound):
		return err
	case err != nil:
		return err
	case q.CarPark != s.site.ID:
		return fmt.Errorf("quote %s is for car park %s, not %s: %w", id, q.CarPark, s.site.ID, parking.ErrConflict)
	case r.Quote != "" && r.Quote != id:
		return fmt.Errorf("stay %s has quote %s already: %w", r.ID, r.Quote, parking.ErrConflict)
	case !s.now.Before(q.Expires):
		return fmt.Errorf("quote %s expired at %s: %w", id, q.Expires.Format(time.RFC3339), parking.ErrConflict)
	}
	return nil
}
