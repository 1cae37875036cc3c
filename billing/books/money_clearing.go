package books

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// walletKey names a wallet.
type walletKey struct{ holder, currency string }

// walletRow is a wallet, locked.
type walletRow struct {
	billing.Wallet
	collections int64
	// heir takes the wallet over at heirFrom, in microseconds.
	heir     string
	heirFrom int64
	changed  bool
}

// receivableRow is a receivable, locked.
type receivableRow struct {
	billing.Receivable
	made        int64 // collections ever made
	fresh       bool  // not in the database yet
	changed     bool
	collections []*collectionRow // in order of number, once loaded
}

// debtor is the account of the ledger that owes.
func (r *receivableRow) debtor() string {
	if r.Account != "" {
		return billing.MotoristPrefix + r.Account
	}
	return billing.UnpaidPrefix + r.Creditor
}

// collectionRow is a payment of a receivable.
type collectionRow struct {
	billing.Collection
	number, place int64
	debtor        string
	// givenBack says that it was undone since less was owed, or by another.
	givenBack      bool
	fresh, changed bool
}

func collectionID(receivable string, number int64) string {
	return receivable + "-" + strconv.FormatInt(number, 10)
}

// clearing moves money between wallets and receivables. What it needs is
// loaded and locked first, wallets before receivables, each in the order of
// their names; what it changed is written by save, in sets.
type clearing struct {
	tx          *Tx
	at          time.Time
	wallets     map[walletKey]*walletRow
	receivables map[string]*receivableRow
	// made are the new collections, in order; undone those that stood before.
	made, undone []*collectionRow
	// reversals counts all that were undone, new ones too.
	reversals int
}

func (t *Tx) clear(at time.Time) *clearing {
	return &clearing{tx: t, at: at.UTC().Truncate(microsecond), wallets: map[walletKey]*walletRow{}, receivables: map[string]*receivableRow{}}
}

const walletColumns = `holder, currency, balance_cents, manual, collections, heir, heir_from`

func scanWallet(r database.Rows) (w walletRow, err error) {
	err = r.Scan(&w.Holder, &w.Currency, &w.BalanceCents, &w.Manual, &w.collections, &w.heir, &w.heirFrom)
	return w, err
}

// lockWallets loads the wallets of the holders, of every currency, and those of
// their heirs; those that are not there are left out.
func (c *clearing) lockWallets(ctx context.Context, holders []string) error {
	for range maxHeirs {
		if err := c.lockOwn(ctx, holders); err != nil {
			return err
		}
		var heirs []string
		for _, holder := range holders {
			for key, w := range c.wallets {
				if key.holder == holder && w.heir != "" && c.wallets[walletKey{w.heir, w.Currency}] == nil {
					heirs = append(heirs, w.heir)
				}
			}
		}
		if len(heirs) == 0 {
			return nil
		}
		holders = heirs
	}
	return nil
}

func (c *clearing) lockOwn(ctx context.Context, holders []string) error {
	slices.Sort(holders)
	return c.tx.eachIn(ctx, `SELECT `+walletColumns+` FROM wallet WHERE holder`, slices.Compact(holders), ` ORDER BY holder, currency`+c.tx.locking(),
		func(r database.Rows) error {
			w, err := scanWallet(r)
			if key := (walletKey{w.Holder, w.Currency}); err == nil && c.wallets[key] == nil {
				c.wallets[key] = &w
			}
			return err
		})
}

const receivableColumns = `r.id, r.kind, r.account, r.creditor, r.vehicle, r.amount_cents, r.paid_cents, r.currency, r.occurred_micros,
	r.posted_at, r.posting, r.revision, r.hold, r.short, r.collections`

func scanReceivable(r database.Rows) (v receivableRow, err error) {
	var at int64
	err = r.Scan(&v.ID, &v.Kind, &v.Account, &v.Creditor, &v.Vehicle, &v.AmountCents, &v.PaidCents, &v.Currency, &v.OccurredMicros,
		&at, &v.Posting, &v.Revision, &v.Hold, &v.Short, &v.made)
	v.PostedAt = time.UnixMicro(at).UTC()
	return v, err
}

// lockReceivables loads receivables; those that are not there are left out.
func (c *clearing) lockReceivables(ctx context.Context, ids []string) error {
	ids = slices.DeleteFunc(ids, func(id string) bool { return c.receivables[id] != nil })
	slices.Sort(ids)
	return c.tx.eachIn(ctx, `SELECT `+receivableColumns+` FROM receivable r WHERE r.id`, slices.Compact(ids), ` ORDER BY r.id`+c.tx.locking(),
		func(r database.Rows) error {
			v, err := scanReceivable(r)
			c.receivables[v.ID] = &v
			return err
		})
}

const collectionColumns = `receivable, number, place, holder, amount_cents, currency, debtor, posted_at, reversed_at, given_back, reason`

func scanCollection(r database.Rows) (v collectionRow, err error) {
	var posted, reversed int64
	err = r.Scan(&v.Receivable, &v.number, &v.place, &v.Holder, &v.AmountCents, &v.Currency, &v.debtor, &posted, &reversed, &v.givenBack, &v.Reason)
	v.ID, v.PostedAt, v.ReversedAt = collectionID(v.Receivable, v.number), time.UnixMicro(posted).UTC(), instantOrZero(reversed)
	return v, err
}

// instantOrZero is the instant of a column in which 0 means never.
func instantOrZero(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// loadCollections loads what was ever collected for the locked receivables that
// have something, and locks the wallets that it came from. Those of receivables
// locked can change no more, but may come from wallets that were not foreseen:
// these are locked out of order, which the database may answer by asking to try
// again.
func (c *clearing) loadCollections(ctx context.Context) error {
	var ids []string
	for id, r := range c.receivables {
		if r.made > 0 && r.collections == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var missing []string
	err := c.tx.eachIn(ctx, `SELECT `+collectionColumns+` FROM collection WHERE receivable`, ids, ` ORDER BY receivable, number`, func(r database.Rows) error {
		v, err := scanCollection(r)
		if err != nil {
			return err
		}
		owner := c.receivables[v.Receivable]
		owner.collections = append(owner.collections, &v)
		if c.wallets[walletKey{v.Holder, v.Currency}] == nil {
			missing = append(missing, v.Holder)
		}
		return nil
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	return c.lockWallets(ctx, missing)
}

// payable reports whether something can be collected for the receivable now.
func (r *receivableRow) payable() bool { return r.RestCents() > 0 && r.Hold == "" }

// pay pays the whole rest out of the wallet, which is of the receivable's
// currency, or marks the receivable short. There must be a rest.
func (c *clearing) pay(r *receivableRow, w *walletRow) {
	rest := r.RestCents()
	if w == nil || w.BalanceCents < rest {
		r.changed = r.changed || !r.Short
		r.Short = true
		return
	}
	w.BalanceCents -= rest
	w.collections++
	w.changed = true
	r.PaidCents += rest
	r.made++
	r.Short = false
	r.changed = true
	one := &collectionRow{
		Collection: billing.Collection{
			ID: collectionID(r.ID, r.made), Receivable: r.ID, Holder: w.Holder, AmountCents: rest, Currency: r.Currency, PostedAt: c.at,
		},
		number: r.made, place: w.collections, debtor: r.debtor(), fresh: true,
	}
	r.collections = append(r.collections, one)
	c.made = append(c.made, one)
	c.tx.transact(c.at, eventMoney{Kind: kindCollection, Holder: w.Holder, Receivable: r.ID}, r.ID, 2*one.number-1, "",
		debt{billing.WalletPrefix + w.Holder, one.debtor, rest, r.Currency})
}

// undo gives a standing collection of the receivable back to its wallet.
func (c *clearing) undo(r *receivableRow, one *collectionRow, reason string, givenBack bool) *walletRow {
	w := c.wallets[walletKey{one.Holder, one.Currency}]
	w.BalanceCents += one.AmountCents
	w.changed = true
	r.PaidCents -= one.AmountCents
	r.changed = true
	one.ReversedAt, one.Reason, one.givenBack = c.at, reason, givenBack
	if !one.fresh && !one.changed {
		c.undone = append(c.undone, one)
	}
	one.changed = true
	c.reversals++
	c.tx.transact(c.at, eventMoney{Kind: kindReversal, Holder: w.Holder, Receivable: r.ID}, r.ID, 2*one.number,
		moneyTransactionID(r.ID, 2*one.number-1, kindCollection), debt{billing.WalletPrefix + w.Holder, one.debtor, -one.AmountCents, one.Currency})
	return w
}

// standing are the collections of a receivable that were not undone, latest
// first.
func (r *receivableRow) standing() []*collectionRow {
	var list []*collectionRow
	for _, one := range slices.Backward(r.collections) {
		if one.ReversedAt.IsZero() {
			list = append(list, one)
		}
	}
	return list
}

// save writes everything that changed.
func (c *clearing) save(ctx context.Context) error {
	if err := c.saveReceivables(ctx); err != nil {
		return err
	}
	i := 0
	err := c.tx.db.Bulk(ctx, "collection", strings.Split(collectionColumns, ", "), func() ([]any, bool) {
		if i == len(c.made) {
			return nil, false
		}
		one := c.made[i]
		i++
		return one.args(), true
	})
	if err != nil {
		return err
	}
	rows := make([][]any, 0, len(c.undone))
	for _, one := range c.undone {
		rows = append(rows, one.args())
	}
	err = insertRows(ctx, c.tx.db, `INSERT INTO collection (`+collectionColumns+`) VALUES `, rows,
		` ON CONFLICT (receivable, number) DO UPDATE SET reversed_at = excluded.reversed_at, given_back = excluded.given_back, reason = excluded.reason`)
	if err != nil {
		return err
	}
	rows = rows[:0]
	for _, w := range c.wallets {
		if w.changed {
			rows = append(rows, []any{w.Holder, w.Currency, w.BalanceCents, w.Manual, w.collections, w.heir, w.heirFrom})
		}
	}
	return insertRows(ctx, c.tx.db, `INSERT INTO wallet (`+walletColumns+`) VALUES `, rows,
		` ON CONFLICT (holder, currency) DO UPDATE SET balance_cents = excluded.balance_cents, manual = excluded.manual, collections = excluded.collections`)
}

func (one *collectionRow) args() []any {
	reversed := int64(0)
	if !one.ReversedAt.IsZero() {
		reversed = collectedMark(one.ReversedAt)
	}
	return []any{one.Receivable, one.number, one.place, one.Holder, one.AmountCents, one.Currency, one.debtor, one.PostedAt.UnixMicro(), reversed, one.givenBack, one.Reason}
}

func (c *clearing) saveReceivables(ctx context.Context) error {
	var fresh []*receivableRow
	var changed [][]any
	for _, r := range c.receivables {
		if r.fresh {
			fresh = append(fresh, r)
		} else if r.changed {
			changed = append(changed, r.args())
		}
	}
	// Neighbours in the index one after the other.
	slices.SortFunc(fresh, func(a, b *receivableRow) int { return strings.Compare(a.ID, b.ID) })
	i := 0
	names := receivableNames()
	err := c.tx.db.Bulk(ctx, "receivable", names, func() ([]any, bool) {
		if i == len(fresh) {
			return nil, false
		}
		r := fresh[i]
		i++
		return r.args(), true
	})
	if err != nil {
		return err
	}
	return insertRows(ctx, c.tx.db, `INSERT INTO receivable (`+strings.Join(names, ", ")+`) VALUES `, changed,
		` ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, account = excluded.account, creditor = excluded.creditor, vehicle = excluded.vehicle,
			amount_cents = excluded.amount_cents, paid_cents = excluded.paid_cents, currency = excluded.currency, occurred_micros = excluded.occurred_micros,
			posted_at = excluded.posted_at, posting = excluded.posting, revision = excluded.revision, hold = excluded.hold, short = excluded.short,
			collections = excluded.collections`)
}

// receivableNames are the columns of receivableColumns.
func receivableNames() []string {
	names := strings.Split(receivableColumns, ",")
	for i, name := range names {
		names[i] = strings.TrimPrefix(strings.TrimSpace(name), "r.")
	}
	return names
}

func (r *receivableRow) args() []any {
	return []any{r.ID, r.Kind, r.Account, r.Creditor, r.Vehicle, r.AmountCents, r.PaidCents, r.Currency, r.OccurredMicros,
		r.PostedAt.UnixMicro(), r.Posting, r.Revision, r.Hold, r.Short, r.made}
}
