// Package correction owns telling customers of a bulk re-rate: one notice each,
// whatever the number of their passes.
//
// Invariants: a notice and the mark that it was issued stand in one transaction;
// its id is made of the re-rate and the customer, so that running again, or by
// two processes, tells nobody twice. Not promised: that the notice arrives.
package correction

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/notice"
	"freeflow/internal/clock"
)

// Tx is what is needed of one transaction.
type Tx interface {
	notice.Tx
	// UntoldRerate returns the oldest bulk re-rate that is done and whose
	// customers are not all told, and the last one told; billing.ErrNotFound.
	UntoldRerate(ctx context.Context) (r billing.Rerate, after string, err error)
	// RerateCustomers is billing.Rerating's.
	RerateCustomers(ctx context.Context, id int64, after string, limit int) ([]billing.RerateCustomer, error)
	// RerateTold notes up to which customer; an instant says that all are told.
	RerateTold(ctx context.Context, id int64, after string, all time.Time) error
}

// Keeping gives transactions.
type Keeping interface {
	Do(ctx context.Context, fn func(Tx) error) error
}

// Teller tells customers. Safe for concurrent use.
type Teller struct {
	Keeping Keeping
	Clock   clock.Clock
	Logger  *slog.Logger
}

const (
	// atOnce is how many customers are told in one transaction.
	atOnce = 200
	// maxReason bounds the reason in a notice, in bytes.
	maxReason = 500
)

// Once tells all customers who are to be told, and returns how many notices it
// issued.
func (t *Teller) Once(ctx context.Context) (issued int, err error) {
	for {
		n, more, err := t.some(ctx)
		if err != nil {
			return issued, fmt.Errorf("telling customers of a correction: %w", err)
		}
		if issued += n; !more {
			return issued, nil
		}
	}
}

// some tells a number of customers; more is false if there was nobody left.
func (t *Teller) some(ctx context.Context) (issued int, more bool, err error) {
	err = t.Keeping.Do(ctx, func(tx Tx) error {
		issued, more = 0, false
		r, after, err := tx.UntoldRerate(ctx)
		if errors.Is(err, billing.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		customers, err := tx.RerateCustomers(ctx, r.ID, after, atOnce)
		if err != nil {
			return err
		}
		more = true
		for _, c := range customers {
			if err := notice.Issue(ctx, tx, noticeOf(r, c, t.Clock.Now())); err != nil {
				return err
			}
			issued, after = issued+1, c.Customer
		}
		all := time.Time{}
		if len(customers) < atOnce {
			all = t.Clock.Now()
		}
		return tx.RerateTold(ctx, r.ID, after, all)
	})
	return issued, more, err
}

// noticeOf writes the notice to one customer.
func noticeOf(r billing.Rerate, c billing.RerateCustomer, at time.Time) notice.Notice {
	n := notice.Notice{
		ID: "rerate:" + strconv.FormatInt(r.ID, 10) + ":" + c.Customer, Kind: notice.Corrected, IssuedAt: at,
		Facts: map[string]string{"trips": strconv.FormatInt(c.Passes, 10), "reason": cut(r.Reason)},
	}
	if account, ok := strings.CutPrefix(c.Customer, billing.MotoristPrefix); ok {
		n.Account = account
	} else {
		n.Vehicle = strings.TrimPrefix(c.Customer, "vehicle:")
	}
	if n.AmountCents = max(c.DifferenceCents, -c.DifferenceCents); n.AmountCents > 0 {
		n.Currency = c.Currency
	} else {
		n.Facts["amount"] = billing.FormatCents(0) + " " + c.Currency
	}
	return n
}

// cut bounds a text without breaking a character.
func cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// Watch tells customers again and again until ctx ends. What fails is logged
// and tried again.
func (t *Teller) Watch(ctx context.Context, every time.Duration) error {
	clock.Every(ctx, every, func(ctx context.Context) {
		if _, err := t.Once(ctx); err != nil && ctx.Err() == nil {
			t.Logger.ErrorContext(ctx, "customers not told of a correction; trying again", "err", err)
		}
	})
	return nil
}
