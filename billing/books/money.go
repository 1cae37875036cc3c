package books

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"freeflow/billing"
	"freeflow/internal/database"
)

var (
	_ billing.Money      = (*Tx)(nil)
	_ billing.Collecting = (*Store)(nil)
)

// followLock is the row of meta that those who follow postings lock, and those
// who make a wallet: a follower that found none could otherwise leave a
// receivable open beside it.
const followLock = `INSERT INTO meta AS m (name, value) VALUES ('follow_lock', '') ON CONFLICT (name) DO UPDATE SET value = m.value`

const movementColumns = `id, kind, holder, means, amount_cents, currency, moved_at, note, reversed_at`

func scanMovement(r database.Rows) (m billing.Movement, err error) {
	var at, reversed int64
	err = r.Scan(&m.ID, &m.Kind, &m.Holder, &m.Means, &m.AmountCents, &m.Currency, &at, &m.Note, &reversed)
	m.At, m.ReversedAt = time.UnixMicro(at).UTC(), instantOrZero(reversed)
	return m, err
}

// Move posts a movement. See billing.Money.
func (t *Tx) Move(ctx context.Context, m billing.Movement, postedAt time.Time) (bool, error) {
	m.At, m.ReversedAt = m.At.UTC().Truncate(microsecond), time.Time{}
	err := checkMovement(&m, postedAt)
	known := false
	if err == nil {
		known, err = t.moveMoney(ctx, &m, postedAt)
	}
	if err != nil {
		return false, fmt.Errorf("posting %s %s of %s: %w", m.Kind, m.ID, m.Holder, err)
	}
	return known, nil
}

func (t *Tx) moveMoney(ctx context.Context, m *billing.Movement, postedAt time.Time) (bool, error) {
	// Of several who post the same at once, one inserts the row; the others wait
	// for it here.
	added, err := t.db.Exec(ctx, `INSERT INTO movement (id, kind, holder, means, amount_cents, currency, moved_at, note, posted_at, reversed_at, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '') ON CONFLICT DO NOTHING`,
		m.ID, m.Kind, m.Holder, m.Means, m.AmountCents, m.Currency, m.At.UnixMicro(), m.Note, postedAt.UnixMicro())
	if err != nil {
		return false, err
	}
	if added == 0 {
		was, err := t.Movement(ctx, m.ID)
		if err != nil {
			return false, err
		}
		if was.ReversedAt = (time.Time{}); was != *m {
			return false, fmt.Errorf("%w: the id is that of another movement, or it was posted with another content", billing.ErrConflict)
		}
		return true, nil
	}
	c := t.clear(postedAt)
	w, err := c.wallet(ctx, walletKey{m.Holder, m.Currency}, m.Kind == kindReceipt)
	if err != nil {
		return false, err
	}
	d := debt{billing.CashPrefix + m.Means, billing.WalletPrefix + m.Holder, m.AmountCents, m.Currency}
	if m.Kind == kindPayout {
		d.cents = -d.cents
	}
	if err := c.shift(w, d.cents); err != nil {
		return false, err
	}
	t.transact(c.at, eventMoney{Kind: m.Kind, Holder: m.Holder, Movement: m.ID}, movementMoney(m.ID), 1, "", d)
	return false, c.save(ctx)
}

// maxHeld bounds what one wallet holds, far below where sums could overflow.
const maxHeld = int64(1) << 50

// shift changes what a wallet, nil if there is none, holds.
func (c *clearing) shift(w *walletRow, cents int64) error {
	held := int64(0)
	if w != nil {
		held = w.BalanceCents
	}
	switch {
	case held+cents < 0:
		return fmt.Errorf("%w: the wallet holds %s, less than %s", billing.ErrConflict, billing.FormatCents(held), billing.FormatCents(-cents))
	case held+cents > maxHeld:
		return invalid("the wallet would hold %s", billing.FormatCents(held+cents))
	}
	w.BalanceCents += cents
	w.changed = true
	return nil
}

// wallet locks one wallet and returns it; where there is none it makes one, or
// returns nil.
func (c *clearing) wallet(ctx context.Context, key walletKey, create bool) (*walletRow, error) {
	if err := c.lockWallets(ctx, []string{key.holder}); err != nil {
		return nil, err
	}
	if w := c.wallets[key]; w != nil || !create {
		return w, nil
	}
	if _, err := c.tx.db.Exec(ctx, followLock); err != nil {
		return nil, err
	}
	_, err := c.tx.db.Exec(ctx, `INSERT INTO wallet (holder, currency, balance_cents, manual, collections) VALUES ($1, $2, 0, false, 0) ON CONFLICT DO NOTHING`,
		key.holder, key.currency)
	if err != nil {
		return nil, err
	}
	if err := c.lockWallets(ctx, []string{key.holder}); err != nil {
		return nil, err
	}
	w := c.wallets[key]
	if w == nil {
		return nil, fmt.Errorf("the wallet of %s, just made, is not there", key.holder)
	}
	return w, nil
}

// ReverseMovement undoes a movement. See billing.Money.
func (t *Tx) ReverseMovement(ctx context.Context, id, reason string, postedAt time.Time) error {
	err := checkReason(reason, postedAt)
	if err == nil {
		err = t.reverseMovement(ctx, id, reason, postedAt)
	}
	if err != nil {
		return fmt.Errorf("reversing movement %s: %w", id, err)
	}
	return nil
}

func (t *Tx) reverseMovement(ctx context.Context, id, reason string, postedAt time.Time) error {
	m, err := t.movement(ctx, id, t.locking())
	if err != nil || !m.ReversedAt.IsZero() {
		return err
	}
	c := t.clear(postedAt)
	w, err := c.wallet(ctx, walletKey{m.Holder, m.Currency}, false)
	if err != nil {
		return err
	}
	cents := m.AmountCents
	if m.Kind == kindReceipt {
		cents = -cents
		if err := c.free(ctx, w, m.AmountCents, reason); err != nil {
			return err
		}
	}
	if err := c.shift(w, cents); err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `UPDATE movement SET reversed_at = $2, reason = $3 WHERE id = $1`, id, collectedMark(c.at), reason)
	if err != nil {
		return err
	}
	t.transact(c.at, eventMoney{Kind: kindReversal, Holder: m.Holder, Movement: m.ID}, movementMoney(m.ID), 2,
		moneyTransactionID(movementMoney(m.ID), 1, m.Kind), debt{billing.CashPrefix + m.Means, billing.WalletPrefix + m.Holder, cents, m.Currency})
	return c.save(ctx)
}

// free undoes the latest collections out of the wallet until it holds the
// amount, or none are left.
func (c *clearing) free(ctx context.Context, w *walletRow, cents int64, reason string) error {
	if w == nil || w.BalanceCents >= cents {
		return nil
	}
	var chosen []collectionRow
	for held, before := w.BalanceCents, w.collections+1; held < cents; {
		n := 0
		// The wallet is locked: nothing is collected from it, or given back,
		// meanwhile.
		err := database.Each(ctx, c.tx.db, `SELECT `+collectionColumns+` FROM collection
			WHERE holder = $1 AND currency = $2 AND place < $3 ORDER BY place DESC LIMIT 100`, []any{w.Holder, w.Currency, before}, func(r database.Rows) error {
			v, err := scanCollection(r)
			n++
			before = v.place
			if err == nil && held < cents && v.ReversedAt.IsZero() {
				held += v.AmountCents
				chosen = append(chosen, v)
			}
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	var ids []string
	for _, one := range chosen {
		ids = append(ids, one.Receivable)
	}
	if err := c.lockReceivables(ctx, ids); err != nil {
		return err
	}
	if err := c.loadCollections(ctx); err != nil {
		return err
	}
	for _, one := range chosen {
		r := c.receivables[one.Receivable]
		i := slices.IndexFunc(r.collections, func(v *collectionRow) bool { return v.number == one.number })
		c.undo(r, r.collections[i], reason, false)
	}
	return nil
}

// PutWallet makes a wallet, or changes how it is used. See billing.Money.
func (t *Tx) PutWallet(ctx context.Context, holder, currency string, manual bool) error {
	err := errors.Join(checkName("holder", holder, 1), checkName("currency", currency, 1))
	if err == nil {
		c := t.clear(time.Time{})
		var w *walletRow
		if w, err = c.wallet(ctx, walletKey{holder, currency}, true); err == nil {
			w.changed = w.changed || w.Manual != manual
			w.Manual = manual
			err = c.save(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("putting the wallet of %s: %w", holder, err)
	}
	return nil
}

// Hold keeps a receivable from being collected, or lets it go. See
// billing.Money.
func (t *Tx) Hold(ctx context.Context, receivable, was, reason string) error {
	err := t.hold(ctx, receivable, was, reason)
	if err != nil {
		return fmt.Errorf("holding receivable %s: %w", receivable, err)
	}
	return nil
}

func (t *Tx) hold(ctx context.Context, receivable, was, reason string) error {
	if err := checkName("reason", reason, 0); err != nil {
		return err
	}
	n, err := t.db.Exec(ctx, `UPDATE receivable SET hold = $3 WHERE id = $1 AND (hold = $2 OR hold = $3)`, receivable, was, reason)
	if err != nil || n > 0 {
		return err
	}
	v, err := t.Receivable(ctx, receivable)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: it is held by %q, not by %q", billing.ErrConflict, v.Hold, was)
}

// PostCharge posts a charge within the transaction. See billing.Charging.
func (t *Tx) PostCharge(ctx context.Context, c billing.Charge, postedAt time.Time) (billing.Charge, error) {
	err := checkCharge(&c, postedAt)
	var stands billing.Charge
	if err == nil {
		stands, err = t.postCharge(ctx, c, postedAt)
	}
	if err != nil {
		return billing.Charge{}, fmt.Errorf("posting revision %d of charge %s: %w", c.Revision, c.ID, err)
	}
	return stands, nil
}

// checkMovement refuses what no books could hold.
func checkMovement(m *billing.Movement, postedAt time.Time) error {
	switch {
	case m.Kind != kindReceipt && m.Kind != kindPayout:
		return invalid("the movement has the kind %q", m.Kind)
	case m.AmountCents <= 0 || m.AmountCents > maxHeld:
		return invalid("the movement is of %s; to undo one, reverse it", billing.FormatCents(m.AmountCents))
	case m.At.IsZero() || postedAt.IsZero():
		return invalid("the movement lacks its instant or its posting date")
	case len(m.Note) > maxChargeLine || !utf8.ValidString(m.Note):
		return invalid("the note is longer than %d bytes or not UTF-8", maxChargeLine)
	}
	return errors.Join(checkName("id of the movement", m.ID, 1), checkName("holder", m.Holder, 1),
		checkName("means", m.Means, 1), checkName("currency", m.Currency, 1))
}

// checkReason refuses an undoing that says not why or when.
func checkReason(reason string, postedAt time.Time) error {
	switch {
	case reason == "" || len(reason) > maxChargeLine || !utf8.ValidString(reason):
		return invalid("the reason has %d bytes, of 1 to %d, or is not UTF-8", len(reason), maxChargeLine)
	case postedAt.IsZero():
		return invalid("there is no posting date")
	}
	return nil
}
