package payment

import (
	"context"
	"errors"
	"fmt"

	"freeflow/billing/account"
)

// JobSettle is the job of SettleClosing, as what failed is put off; its items
// are accounts.
const JobSettle = "closing-accounts"

// settlePage bounds what SettleClosing reads at once, in accounts.
const settlePage = 200

// SettleClosing closes for good the closing accounts that owe nothing and hold
// nothing, and returns how many it looked at. It can be run at any time, again,
// and by several at once. One that fails is logged, put off, and stops no other;
// what has something left stays as it is.
func (s *Service) SettleClosing(ctx context.Context, currency string) (int, error) {
	n, after := 0, ""
	for {
		var list []string
		err := s.Store.View(ctx, func(tx Tx) error {
			var err error
			list, err = tx.ClosingAccounts(ctx, s.now(), after, settlePage)
			return err
		})
		if err != nil {
			return n, fmt.Errorf("looking for closing accounts: %w", err)
		}
		for _, id := range list {
			if err := s.settleOne(ctx, id, currency); err != nil {
				return n, err
			}
			n++
			after = id
		}
		if len(list) < settlePage {
			return n, nil
		}
	}
}

func (s *Service) settleOne(ctx context.Context, id, currency string) error {
	r := CloseRequest{
		Staff:   Staff{By: "job:" + JobSettle, Role: "system", Reason: "nothing is owed and nothing held"},
		Account: id, Currency: currency,
	}
	err := s.Store.Do(ctx, func(tx Tx) error {
		if err := s.settleAccount(ctx, tx, r); err != nil {
			return err
		}
		a, err := tx.Account(ctx, id)
		if err == nil && a.State == account.Closed {
			err = s.endMeans(ctx, tx, r)
		}
		if err == nil {
			err = tx.DropPutOff(ctx, JobSettle, id)
		}
		return err
	})
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	failures := int64(0)
	also := s.Store.Do(ctx, func(tx Tx) error {
		var failed error
		failures, failed = tx.PutOff(ctx, JobSettle, id, err.Error(), s.now())
		return failed
	})
	s.Log.ErrorContext(ctx, "a closing account was not closed", "account", id, "failures", failures, "err", errors.Join(err, also))
	return nil
}
