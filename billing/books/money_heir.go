package books

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// PutHeir says who takes over a wallet, and from when. See billing.Money.
func (t *Tx) PutHeir(ctx context.Context, holder, currency, heir string, from time.Time) error {
	if holder == "" || heir == "" || currency == "" || holder == heir || from.IsZero() {
		return fmt.Errorf("naming the heir of a wallet: %w", invalid("holder, another heir, currency and instant are needed"))
	}
	// The followers' lock before any wallet, as they take them: who follows must
	// not leave open what the heir is to pay.
	if _, err := t.db.Exec(ctx, followLock); err != nil {
		return fmt.Errorf("naming the heir of a wallet: %w", err)
	}
	for _, one := range []string{holder, heir} {
		if _, err := t.clear(from).wallet(ctx, walletKey{one, currency}, true); err != nil {
			return fmt.Errorf("naming the heir of a wallet: %w", err)
		}
	}
	_, err := t.db.Exec(ctx, `UPDATE wallet SET heir = $3, heir_from = $4 WHERE holder = $1 AND currency = $2`, holder, currency, heir, from.UnixMicro())
	if err != nil {
		return fmt.Errorf("naming the heir of a wallet: %w", err)
	}
	return nil
}

// inherited reports whether another has taken the wallet over at the instant.
func (w *walletRow) inherited(at time.Time) bool {
	return w.heir != "" && w.heirFrom <= at.UnixMicro()
}

// maxHeirs bounds how far an inheritance is followed: tags that replaced each
// other.
const maxHeirs = 16

// heirOf returns the wallet that stands in a wallet's place now; nil if it was
// not loaded.
func (c *clearing) heirOf(w *walletRow) *walletRow {
	for range maxHeirs {
		if w == nil || !w.inherited(c.at) {
			return w
		}
		w = c.wallets[walletKey{w.heir, w.Currency}]
	}
	return nil
}

// MoveOn moves what is in wallets that were taken over to those who took them
// over, and pays what is open for these. It returns how many wallets it emptied,
// at most limit. See billing.Collecting.
func (s *Store) MoveOn(ctx context.Context, limit int, postedAt time.Time) (int, error) {
	var keys []walletKey
	err := s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, `SELECT holder, currency FROM wallet WHERE heir <> '' AND balance_cents > 0 AND heir_from <= $1
			ORDER BY heir_from, holder, currency LIMIT $2`, []any{postedAt.UnixMicro(), int64(limit)}, func(r database.Rows) error {
			var key walletKey
			err := r.Scan(&key.holder, &key.currency)
			keys = append(keys, key)
			return err
		})
	})
	for _, key := range keys {
		if err == nil {
			err = s.Do(ctx, func(t *Tx) error { return t.moveOn(ctx, key, postedAt) })
		}
	}
	if err != nil {
		return 0, fmt.Errorf("moving on what is in wallets that were taken over: %w", err)
	}
	return len(keys), nil
}

func (t *Tx) moveOn(ctx context.Context, key walletKey, at time.Time) error {
	c := t.clear(at)
	if err := c.lockWallets(ctx, []string{key.holder}); err != nil {
		return err
	}
	w := c.wallets[key]
	to := c.heirOf(w)
	if w == nil || to == nil || to == w || w.BalanceCents == 0 {
		return nil // somebody was first
	}
	// The money stays with us: cash:transfer is at nothing afterwards. The ids
	// are at random, since a tag must not stand in them.
	id := rand.Text()
	m := billing.Movement{
		ID: "transfer-out:" + id, Kind: billing.Payout, Holder: w.Holder, Means: "transfer", AmountCents: w.BalanceCents, Currency: w.Currency,
		At: at, Note: "moved on as its holder ended",
	}
	if _, err := t.Move(ctx, m, at); err != nil {
		return err
	}
	m.ID, m.Kind, m.Holder = "transfer-in:"+id, billing.Receipt, to.Holder
	if _, err := t.Move(ctx, m, at); err != nil {
		return err
	}
	_, err := t.CollectOpen(ctx, to.Holder, to.Currency, maxOpenTried, at)
	return err
}
