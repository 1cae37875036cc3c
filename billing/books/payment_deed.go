package books

import (
	"context"
	"fmt"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/payment"
	"freeflow/internal/database"
)

const deedColumns = `id, kind, about, attempt, account, tag, succeeded, provider_ref, provider, token, place, receipt, evidence, amount_cents, currency,
	done_by, role, reason, state, at_micros, decided_by, decided_reason, decided_at, version`

func scanDeed(r database.Rows) (d payment.Deed, err error) {
	var at, decided int64
	err = r.Scan(&d.ID, &d.Kind, &d.About, &d.Attempt, &d.Account, &d.Tag, &d.Succeeded, &d.ProviderRef, &d.Provider, &d.Token, &d.Place, &d.Receipt,
		&d.Evidence, &d.AmountCents, &d.Currency, &d.By, &d.Role, &d.Reason, &d.State, &at, &d.DecidedBy, &d.DecidedReason, &decided, &d.Version)
	d.At, d.DecidedAt = instantOrZero(at), instantOrZero(decided)
	return d, err
}

// PutPaymentDeed keeps a deed, or a decision on one. See payment.Tx.
func (t *Tx) PutPaymentDeed(ctx context.Context, d *payment.Deed) error {
	var err error
	if d.Version == 0 {
		_, err = t.db.Exec(ctx, `INSERT INTO payment_deed (`+deedColumns+`) VALUES (`+database.Placeholders(1, 24)+`)`,
			d.ID, d.Kind, d.About, d.Attempt, d.Account, d.Tag, d.Succeeded, d.ProviderRef, d.Provider, d.Token, d.Place, d.Receipt,
			d.Evidence, d.AmountCents, d.Currency, d.By, d.Role, d.Reason, d.State, d.At.UnixMicro(), d.DecidedBy, d.DecidedReason, microsOrZero(d.DecidedAt), int64(1))
	} else {
		var changed int64
		changed, err = t.db.Exec(ctx, `UPDATE payment_deed SET state = $3, decided_by = $4, decided_reason = $5, decided_at = $6, version = version + 1
			WHERE id = $1 AND version = $2`, d.ID, d.Version, d.State, d.DecidedBy, d.DecidedReason, microsOrZero(d.DecidedAt))
		if err == nil && changed == 0 {
			err = fmt.Errorf("%w: somebody else has decided on it", billing.ErrStale)
		}
	}
	if database.IsDuplicate(err) {
		err = fmt.Errorf("%w: one about the same waits for a second person already", billing.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("keeping payment deed %s: %w", d.ID, err)
	}
	d.Version++
	return nil
}

// PaymentDeed returns a deed, locked. See payment.Tx.
func (t *Tx) PaymentDeed(ctx context.Context, id string) (payment.Deed, error) {
	list, err := t.deeds(ctx, `WHERE id = $1`+t.locking(), id)
	if err == nil && len(list) == 0 {
		err = billing.ErrNotFound
	}
	if err != nil {
		return payment.Deed{}, fmt.Errorf("reading payment deed %s: %w", id, err)
	}
	return list[0], nil
}

// PaymentDeeds lists deeds. See payment.Tx.
func (t *Tx) PaymentDeeds(ctx context.Context, state string, afterAt time.Time, afterID string, limit int) ([]payment.Deed, error) {
	where, args := []string{"true"}, []any{int64(limit)}
	if state != "" {
		args = append(args, state)
		where = append(where, fmt.Sprintf("state = $%d", len(args)))
	}
	if afterID != "" {
		args = append(args, afterAt.UnixMicro(), afterID)
		where = append(where, fmt.Sprintf("(at_micros, id) < ($%d, $%d)", len(args)-1, len(args)))
	}
	list, err := t.deeds(ctx, `WHERE `+strings.Join(where, " AND ")+` ORDER BY at_micros DESC, id DESC LIMIT $1`, args...)
	if err != nil {
		return nil, fmt.Errorf("listing payment deeds: %w", err)
	}
	return list, nil
}

func (t *Tx) deeds(ctx context.Context, rest string, args ...any) (list []payment.Deed, err error) {
	err = database.Each(ctx, t.db, `SELECT `+deedColumns+` FROM payment_deed `+rest, args, func(r database.Rows) error {
		d, err := scanDeed(r)
		list = append(list, d)
		return err
	})
	return list, err
}

// DoneAlone adds up what a person did without a second one. See payment.Tx.
func (t *Tx) DoneAlone(ctx context.Context, by, kind, currency string, since time.Time) (cents int64, err error) {
	_, err = database.One(ctx, t.db, `SELECT CAST(coalesce(sum(amount_cents), 0) AS bigint) FROM payment_deed
		WHERE state = 'done' AND done_by = $1 AND kind = $2 AND currency = $3 AND at_micros > $4`, []any{by, kind, currency, since.UnixMicro()}, &cents)
	if err != nil {
		return 0, fmt.Errorf("adding up what %s did alone: %w", by, err)
	}
	return cents, nil
}

// mostUnfollowed bounds how many postings that wait are looked through for one
// account's.
const mostUnfollowed = 1000

// LeftOf says what keeps an account from being paid out. See payment.Tx.
func (t *Tx) LeftOf(ctx context.Context, account string) (l payment.Left, err error) {
	for _, one := range []struct {
		to    *int64
		query string
	}{
		{&l.Open, `SELECT count(*) FROM receivable WHERE account <> '' AND account = $1 AND (paid_cents < amount_cents OR hold <> '')`},
		{&l.Disputes, `SELECT count(*) FROM dispute WHERE account = $1 AND closed_at = 0`},
		{&l.TagCents, `SELECT CAST(coalesce(sum(w.balance_cents), 0) AS bigint) FROM tag g JOIN wallet w ON w.holder = 'tag:' || g.tag WHERE g.account <> '' AND g.account = $1`},
	} {
		if _, err = database.One(ctx, t.db, one.query, []any{account}, one.to); err != nil {
			return l, fmt.Errorf("looking for what is left of account %s: %w", account, err)
		}
	}
	if l.Unfollowed, err = t.unfollowedOf(ctx, account); err != nil {
		return l, fmt.Errorf("looking for postings of account %s that wait: %w", account, err)
	}
	return l, nil
}

// unfollowedOf reports whether a posting that was not followed yet may be about
// the account: what it owes by it, or owed before it.
func (t *Tx) unfollowedOf(ctx context.Context, account string) (bool, error) {
	list, err := t.unfollowed(ctx, mostUnfollowed)
	if err != nil || len(list) == 0 {
		return false, err
	}
	var waiting int64
	if _, err := database.One(ctx, t.db, `SELECT count(*) FROM outbox WHERE collected_at = 0`, nil, &waiting); err != nil {
		return false, err
	}
	if waiting > int64(len(list)) {
		return true, nil // not all of them were looked at
	}
	var ids []string
	for _, p := range list {
		for _, o := range p.owings {
			if o.Account == account {
				return true, nil
			}
			ids = append(ids, o.ID)
		}
	}
	found := false
	err = t.eachIn(ctx, `SELECT account FROM receivable WHERE id`, ids, "", func(r database.Rows) error {
		var whose string
		err := r.Scan(&whose)
		found = found || whose == account
		return err
	})
	return found, err
}
