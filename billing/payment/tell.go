package payment

import (
	"context"
	"strconv"
	"strings"

	"freeflow/billing/notice"
)

// kindsOfNotices are what owners of accounts are told of events.
var kindsOfNotices = map[string]string{
	EventProcessing: notice.Processing,
	EventPaid:       notice.Debited,
	EventReceived:   notice.Debited,
	EventLate:       notice.Debited,
	EventFailed:     notice.Failed,
	EventGivenUp:    notice.Failed,
	EventReversed:   notice.Failed,
	EventLowBalance: notice.LowBalance,
	EventTopUp:      notice.ToppedUp,
	EventRefunded:   notice.Refunded,
}

// tell keeps an event under its kind and what it is about, and issues the notice
// to the account's owner, in the transaction of what it tells.
func (s *Service) tell(ctx context.Context, tx Tx, e Event) error {
	if e.ID == "" {
		e.ID = e.Kind + ":" + e.About
	}
	e.At = s.now()
	if e.Day == "" {
		e.Day = e.At.In(s.Zone).Format(dayForm)
	}
	if err := tx.TellPayment(ctx, e); err != nil {
		return err
	}
	kind := kindsOfNotices[e.Kind]
	if e.Account == "" || kind == "" {
		return nil
	}
	n := notice.Notice{
		ID: "payment:" + e.ID, Kind: kind, Account: e.Account, AmountCents: e.AmountCents, Currency: e.Currency,
		Facts: map[string]string{"day": e.Day}, IssuedAt: e.At,
	}
	if n.AmountCents == 0 {
		n.Currency = ""
	}
	if e.Count > 0 {
		n.Facts["trips"] = strconv.FormatInt(e.Count, 10)
	}
	if e.Text != "" {
		n.Facts["reason"] = strings.ToValidUTF8(e.Text[:min(len(e.Text), 200)], "")
	}
	return notice.Issue(ctx, tx, n)
}
