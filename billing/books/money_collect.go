package books

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Collect pays receivables out of a wallet. See billing.Money.
func (t *Tx) Collect(ctx context.Context, holder string, receivables []string, postedAt time.Time) ([]billing.Collection, error) {
	list, err := t.collect(ctx, holder, receivables, postedAt)
	if err != nil {
		return nil, fmt.Errorf("collecting from the wallet of %s: %w", holder, err)
	}
	return list, nil
}

func (t *Tx) collect(ctx context.Context, holder string, receivables []string, postedAt time.Time) ([]billing.Collection, error) {
	if postedAt.IsZero() {
		return nil, invalid("there is no posting date")
	}
	c := t.clear(postedAt)
	if err := c.lockWallets(ctx, []string{holder}); err != nil {
		return nil, err
	}
	return c.collect(ctx, holder, receivables)
}

// collect pays the receivables in the order given out of the holder's wallets,
// which are locked.
func (c *clearing) collect(ctx context.Context, holder string, receivables []string) ([]billing.Collection, error) {
	if err := c.lockReceivables(ctx, slices.Clone(receivables)); err != nil {
		return nil, err
	}
	if strings.HasPrefix(holder, billing.HolderTag) {
		// The wallets that the holder may have taken over, to see who did.
		var tags []string
		for _, r := range c.receivables {
			tags = append(tags, r.Vehicle)
		}
		if err := c.lockWallets(ctx, tags); err != nil {
			return nil, err
		}
	}
	for _, id := range receivables {
		if r := c.receivables[id]; r != nil && r.payable() && c.mayPay(holder, r) {
			c.pay(r, c.wallets[walletKey{holder, r.Currency}])
		}
	}
	var list []billing.Collection
	for _, one := range c.made {
		list = append(list, one.Collection)
	}
	return list, c.save(ctx)
}

// mayPay reports whether the holder's wallet may pay the receivable: an
// account's only what the account owes, so that money which comes late never
// pays what has become another's; a class tag's what its own vehicle owes, or
// that of a wallet which it took over. Who pays without an account pays what
// they named.
func (c *clearing) mayPay(holder string, r *receivableRow) bool {
	switch {
	case strings.HasPrefix(holder, billing.HolderOnce):
		return true
	case !strings.HasPrefix(holder, billing.HolderTag):
		return r.Account == holder
	case r.Vehicle == holder:
		return true
	}
	old := c.wallets[walletKey{r.Vehicle, r.Currency}]
	return old != nil && old.inherited(c.at) && c.heirOf(old) == c.wallets[walletKey{holder, r.Currency}]
}

// CollectOpen pays all open receivables of the holder. See billing.Money.
func (t *Tx) CollectOpen(ctx context.Context, holder, currency string, limit int, postedAt time.Time) ([]billing.Collection, error) {
	list, err := t.collectOpen(ctx, holder, currency, limit, postedAt)
	if err != nil {
		return nil, fmt.Errorf("collecting what %s owes: %w", holder, err)
	}
	return list, nil
}

func (t *Tx) collectOpen(ctx context.Context, holder, currency string, limit int, postedAt time.Time) ([]billing.Collection, error) {
	switch {
	case limit <= 0:
		return nil, invalid("limit %d", limit)
	case postedAt.IsZero():
		return nil, invalid("there is no posting date")
	}
	c := t.clear(postedAt)
	if err := c.lockWallets(ctx, []string{holder}); err != nil {
		return nil, err
	}
	ids, err := t.openOf(ctx, holder, currency, limit, c.at)
	if err != nil {
		return nil, err
	}
	return c.collect(ctx, holder, ids)
}

// openOf returns the receivables that the holder's wallet is to pay, in the
// order of postings: of a class tag, those of its own vehicle; of an account,
// all but those of class tags that have wallets of their own; of an heir also
// those of the wallets taken over, and of those that these had taken over.
func (t *Tx) openOf(ctx context.Context, holder, currency string, limit int, at time.Time) ([]string, error) {
	const open = `WITH RECURSIVE mine (holder) AS (
			SELECT CAST($1 AS bytetext)
			UNION SELECT w.holder FROM wallet w JOIN mine m ON w.heir = m.holder WHERE w.heir <> '' AND w.currency = $2 AND w.heir_from <= $4)
		SELECT r.id FROM receivable r WHERE r.paid_cents < r.amount_cents AND r.hold = '' AND r.currency = $2`
	query := open + ` AND r.account <> '' AND r.account = $1
		AND NOT (substr(r.vehicle, 1, 4) = 'tag:' AND r.vehicle NOT IN (SELECT holder FROM mine)
			AND EXISTS (SELECT 1 FROM wallet w WHERE w.holder = r.vehicle AND w.currency = r.currency))`
	if strings.HasPrefix(holder, billing.HolderTag) {
		query = open + ` AND r.vehicle IN (SELECT holder FROM mine)`
	}
	var ids []string
	err := database.Each(ctx, t.db, query+` ORDER BY r.posting, r.id LIMIT $3`, []any{holder, currency, int64(limit), at.UnixMicro()}, func(r database.Rows) error {
		var id string
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// Uncollect undoes what was collected for a receivable. See billing.Money.
func (t *Tx) Uncollect(ctx context.Context, receivable, reason string, postedAt time.Time) ([]billing.Collection, error) {
	err := checkReason(reason, postedAt)
	var list []billing.Collection
	if err == nil {
		list, err = t.uncollect(ctx, receivable, reason, postedAt)
	}
	if err != nil {
		return nil, fmt.Errorf("undoing what was collected for %s: %w", receivable, err)
	}
	return list, nil
}

func (t *Tx) uncollect(ctx context.Context, receivable, reason string, postedAt time.Time) ([]billing.Collection, error) {
	c := t.clear(postedAt)
	holders, err := t.payersOf(ctx, []string{receivable})
	if err != nil {
		return nil, err
	}
	if err := c.lockWallets(ctx, holders); err != nil {
		return nil, err
	}
	if err := c.lockReceivables(ctx, []string{receivable}); err != nil {
		return nil, err
	}
	r := c.receivables[receivable]
	if r == nil {
		return nil, fmt.Errorf("receivable %s: %w", receivable, billing.ErrNotFound)
	}
	if err := c.loadCollections(ctx); err != nil {
		return nil, err
	}
	var list []billing.Collection
	for _, one := range r.standing() {
		c.undo(r, one, reason, false)
		list = append(list, one.Collection)
	}
	slices.Reverse(list)
	return list, c.save(ctx)
}

// payersOf returns whose wallets ever paid for the receivables, without
// locking anything.
func (t *Tx) payersOf(ctx context.Context, receivables []string) ([]string, error) {
	var holders []string
	err := t.eachIn(ctx, `SELECT DISTINCT holder FROM collection WHERE receivable`, receivables, "", func(r database.Rows) error {
		var holder string
		err := r.Scan(&holder)
		holders = append(holders, holder)
		return err
	})
	return holders, err
}
