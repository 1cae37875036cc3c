package app

import (
	"context"

	"github.com/labstack/echo/v4"

	"freeflow/billing/books"
	"freeflow/billing/fps"
	"freeflow/billing/motorist"
	"freeflow/billing/payment"
	"freeflow/billing/portal"
	"freeflow/billing/statement/desk"
	"freeflow/billing/statement/pdf"
	"freeflow/internal/audit"
	"freeflow/rsu"
)

// views are who looked at whose movements, in the books' database.
type views struct{ books *books.Store }

// Views implements portal.Views.
func (v views) Views(ctx context.Context, account, before string, limit int) (list []audit.Seen, err error) {
	err = v.books.View(ctx, func(tx *books.Tx) error {
		list, err = audit.Views(ctx, tx.Session(), account, before, limit)
		return err
	})
	return list, err
}

// motorists adds what signed-in motorists may ask and do about their accounts, and
// returns its description.
func (s *system) motorists(e *echo.Echo, sessions *portal.Portal) ([]byte, error) {
	f := s.flags.payments
	api, err := motorist.New(motorist.Parts{
		Sessions: sessions, Books: s.parts.books, Payments: s.payments.service, Disputes: s.disputes(), Names: names{s.parts.network},
		Desk: &desk.Desk{
			Books: s.parts.books, Zone: s.parts.network.Zone(), Currency: s.parts.network.Currency(), PDF: pdf.New(), Words: printedNames{s.parts.network},
			Issuer: "freeflow", Printers: make(chan struct{}, printers),
		},
		Code: func(one *payment.Attempt) (string, error) {
			return fps.Request{
				Payee: f.payee(), AmountCents: one.AmountCents, Currency: one.Currency, Name: f.merchant, City: "HONG KONG", Category: tollCategory, Bill: one.Bill, Once: true,
			}.Payload()
		},
		Tag: rsu.NormalizeTag, Currency: s.parts.network.Currency(), Zone: s.parts.network.Zone(), Clock: s.env.Clock, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	api.Routes(e)
	return motorist.OpenAPI(), nil
}
