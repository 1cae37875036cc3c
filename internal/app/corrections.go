package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/correction"
	"freeflow/tolling/operator"
	"freeflow/tolling/rerate"
	"freeflow/tolling/tariff"
)

// rerater rates passes anew by the tolls in force.
func (s *system) rerater() *rerate.Rerater {
	return &rerate.Rerater{
		Network: s.parts.network, Books: s.parts.books, Paid: paidPasses(s.parts.books), Clock: s.env.Clock, Logger: s.log,
	}
}

// paidPasses asks which passes have been paid wholly.
func paidPasses(b *books.Store) rerate.Paid {
	return func(ctx context.Context, passIDs []string) (map[string]bool, error) {
		paid := make(map[string]bool, len(passIDs))
		// A snapshot is not held for long.
		for chunk := range slices.Chunk(passIDs, 1000) {
			err := b.View(ctx, func(tx *books.Tx) error {
				for _, id := range chunk {
					r, err := tx.Receivable(ctx, billing.ReceivablePass+id)
					switch {
					case errors.Is(err, billing.ErrNotFound):
					case err != nil:
						return err
					case r.AmountCents > 0 && r.PaidCents >= r.AmountCents:
						paid[id] = true
					}
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		return paid, nil
	}
}

// corrections adds the API of corrections, and returns its document.
func (s *system) corrections(e *echo.Echo, keys echo.MiddlewareFunc) ([]byte, error) {
	api, err := operator.NewCorrections(operator.CorrectionParts{
		Books: s.parts.books, Rerater: s.rerater(), Zone: s.parts.network.Zone(), Clock: s.env.Clock,
		KnowsFacility: func(name string) bool {
			return slices.ContainsFunc(s.parts.network.Facilities(), func(f tariff.Facility) bool { return f.Code == name })
		},
	})
	if err != nil {
		return nil, err
	}
	api.Routes(e, keys)
	return operator.CorrectionsOpenAPI(), nil
}

// rerate executes what was ordered, until ctx ends.
func (s *system) rerate(ctx context.Context) error { return s.rerater().Watch(ctx, rejudgeEvery) }

// tellCorrections tells the customers of what was executed, until ctx ends.
func (s *system) tellCorrections(ctx context.Context) error {
	teller := correction.Teller{
		Keeping: books.Keep[correction.Tx]{Store: s.parts.books, As: func(tx *books.Tx) correction.Tx { return tx }},
		Clock:   s.env.Clock, Logger: s.log,
	}
	return teller.Watch(ctx, time.Second)
}
