package books

import (
	"context"
	"fmt"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/payment"
	"freeflow/internal/audit"
	"freeflow/internal/database"
)

const meansColumns = `m.account, m.revision, m.from_micros, m.mode, m.kind, m.provider, m.token, m.threshold_cents, m.topup_cents, m.currency, m.set_by, m.at_micros`

func scanMeans(r database.Rows, more ...any) (m payment.Means, err error) {
	var from, at int64
	err = r.Scan(append([]any{&m.Account, &m.Revision, &from, &m.Mode, &m.Kind, &m.Provider, &m.Token, &m.ThresholdCents, &m.TopUpCents, &m.Currency, &m.By, &at}, more...)...)
	m.From, m.At = time.UnixMicro(from).UTC(), time.UnixMicro(at).UTC()
	return m, err
}

// inForce selects the means m in force at the instant of a parameter.
func inForce(at string) string {
	return ` m.from_micros <= ` + at + ` AND NOT EXISTS (SELECT 1 FROM payment_means n WHERE n.account = m.account AND n.from_micros <= ` + at + `
		AND (n.from_micros > m.from_micros OR n.from_micros = m.from_micros AND n.revision > m.revision))`
}

// AddMeans keeps means of payment. See payment.Tx.
func (t *Tx) AddMeans(ctx context.Context, m payment.Means) (payment.Means, error) {
	_, err := database.One(ctx, t.db, `SELECT coalesce(max(revision), 0) + 1 FROM payment_means WHERE account = $1`, []any{m.Account}, &m.Revision)
	if err == nil {
		_, err = t.db.Exec(ctx, `INSERT INTO payment_means (`+strings.ReplaceAll(meansColumns, "m.", "")+`) VALUES (`+database.Placeholders(1, 12)+`)`,
			m.Account, m.Revision, m.From.UnixMicro(), m.Mode, m.Kind, m.Provider, m.Token, m.ThresholdCents, m.TopUpCents, m.Currency, m.By, m.At.UnixMicro())
	}
	if database.IsDuplicate(err) {
		err = fmt.Errorf("%w: somebody else sets them at this moment; try again", billing.ErrStale)
	}
	if err != nil {
		return m, fmt.Errorf("keeping how account %s pays: %w", m.Account, err)
	}
	m.From, m.At = m.From.UTC().Truncate(microsecond), m.At.UTC().Truncate(microsecond)
	return m, nil
}

// MeansAt returns the means in force. See payment.Tx.
func (t *Tx) MeansAt(ctx context.Context, account string, at time.Time) (payment.Means, error) {
	list, err := t.meansBy(ctx, `WHERE m.account = $1 AND m.from_micros <= $2 ORDER BY m.from_micros DESC, m.revision DESC LIMIT 1`, account, at.UnixMicro())
	if err == nil && len(list) == 0 {
		err = billing.ErrNotFound
	}
	if err != nil {
		return payment.Means{}, fmt.Errorf("reading how account %s pays: %w", account, err)
	}
	return list[0], nil
}

// MeansHistory returns all means of an account. See payment.Tx.
func (t *Tx) MeansHistory(ctx context.Context, account string) ([]payment.Means, error) {
	list, err := t.meansBy(ctx, `WHERE m.account = $1 ORDER BY m.revision`, account)
	if err != nil {
		return nil, fmt.Errorf("reading how account %s paid: %w", account, err)
	}
	return list, nil
}

// AccountsPaying lists accounts by mode. See payment.Tx.
func (t *Tx) AccountsPaying(ctx context.Context, mode string, at time.Time, after string, limit int) ([]payment.Means, error) {
	list, err := t.meansBy(ctx, `WHERE m.mode = $1 AND m.account > $2 AND`+inForce("$3")+` ORDER BY m.account LIMIT $4`, mode, after, at.UnixMicro(), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("listing accounts that pay %s: %w", mode, err)
	}
	return list, nil
}

func (t *Tx) meansBy(ctx context.Context, rest string, args ...any) (list []payment.Means, err error) {
	err = database.Each(ctx, t.db, `SELECT `+meansColumns+` FROM payment_means m `+rest, args, func(r database.Rows) error {
		m, err := scanMeans(r)
		list = append(list, m)
		return err
	})
	return list, err
}

// LowWallets lists prepaid accounts that are low. See payment.Tx.
func (t *Tx) LowWallets(ctx context.Context, at time.Time, limit int) (list []payment.Low, err error) {
	err = database.Each(ctx, t.db, `SELECT `+meansColumns+`, coalesce(w.balance_cents, 0) FROM payment_means m
		LEFT JOIN wallet w ON w.holder = m.account AND w.currency = m.currency
		WHERE m.mode = 'prepaid' AND m.threshold_cents > 0 AND`+inForce("$1")+` AND coalesce(w.balance_cents, 0) < m.threshold_cents
			AND coalesce((SELECT a.state FROM account a WHERE a.id = m.account ORDER BY a.revision DESC LIMIT 1), 'open') = 'open'
			AND (m.topup_cents > 0 AND NOT EXISTS (SELECT 1 FROM payment_debit d WHERE d.account = m.account AND d.purpose = 'topup'
					AND (d.state = 'open' OR d.state = 'failed' AND d.means_revision = m.revision))
				OR NOT EXISTS (SELECT 1 FROM payment_low l WHERE l.account = m.account))
		ORDER BY m.account LIMIT $2`, []any{at.UnixMicro(), int64(limit)}, func(r database.Rows) error {
		var low payment.Low
		low.Means, err = scanMeans(r, &low.BalanceCents)
		list = append(list, low)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing accounts that are low: %w", err)
	}
	return list, nil
}

// TellLow marks an account as told. See payment.Tx.
func (t *Tx) TellLow(ctx context.Context, account string, at time.Time) (bool, error) {
	added, err := t.db.Exec(ctx, `INSERT INTO payment_low (account, told_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, account, at.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("marking account %s as told: %w", account, err)
	}
	return added > 0, nil
}

// ForgetLow forgets who is no longer low. See payment.Tx.
func (t *Tx) ForgetLow(ctx context.Context, at time.Time) error {
	_, err := t.db.Exec(ctx, `DELETE FROM payment_low WHERE NOT EXISTS (SELECT 1 FROM payment_means m
		LEFT JOIN wallet w ON w.holder = m.account AND w.currency = m.currency
		WHERE m.account = payment_low.account AND m.mode = 'prepaid' AND`+inForce("$1")+` AND coalesce(w.balance_cents, 0) < m.threshold_cents)`, at.UnixMicro())
	if err != nil {
		return fmt.Errorf("forgetting accounts that are no longer low: %w", err)
	}
	return nil
}

// NoteNotice keeps that a notice was taken. See payment.Tx.
func (t *Tx) NoteNotice(ctx context.Context, provider, id, attempt string, at time.Time) (bool, error) {
	added, err := t.db.Exec(ctx, `INSERT INTO payment_notice (provider, id, attempt, at_micros) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		provider, id, attempt, at.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("keeping notice %s of %s: %w", id, provider, err)
	}
	return added == 0, nil
}

// TellPayment keeps an event. See payment.Tx.
func (t *Tx) TellPayment(ctx context.Context, e payment.Event) error {
	_, err := t.db.Exec(ctx, `INSERT INTO payment_event (id, kind, account, about, amount_cents, currency, count, text, at_micros, day, told_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0) ON CONFLICT DO NOTHING`,
		e.ID, e.Kind, e.Account, e.About, e.AmountCents, e.Currency, e.Count, e.Text, e.At.UnixMicro(), e.Day)
	if err != nil {
		return fmt.Errorf("keeping payment event %s: %w", e.ID, err)
	}
	return nil
}

// PaymentEvents lists an account's events. See payment.Tx.
func (t *Tx) PaymentEvents(ctx context.Context, account string, before time.Time, limit int) ([]payment.Event, error) {
	return t.eventsBy(ctx, `WHERE account = $1 AND at_micros < $2 ORDER BY at_micros DESC, id DESC LIMIT $3`, account, before.UnixMicro(), int64(limit))
}

// UntoldPayments lists events that nobody took. See payment.Tx.
func (t *Tx) UntoldPayments(ctx context.Context, limit int) ([]payment.Event, error) {
	return t.eventsBy(ctx, `WHERE told_at = 0 ORDER BY at_micros, id LIMIT $1`, int64(limit))
}

func (t *Tx) eventsBy(ctx context.Context, rest string, args ...any) (list []payment.Event, err error) {
	err = database.Each(ctx, t.db, `SELECT id, kind, account, about, amount_cents, currency, count, text, at_micros, day FROM payment_event `+rest, args, func(r database.Rows) error {
		var e payment.Event
		var at int64
		err := r.Scan(&e.ID, &e.Kind, &e.Account, &e.About, &e.AmountCents, &e.Currency, &e.Count, &e.Text, &at, &e.Day)
		e.At = time.UnixMicro(at).UTC()
		list = append(list, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing payment events: %w", err)
	}
	return list, nil
}

// TookPayments marks events as taken. See payment.Tx.
func (t *Tx) TookPayments(ctx context.Context, ids []string, at time.Time) error {
	for _, id := range ids {
		if _, err := t.db.Exec(ctx, `UPDATE payment_event SET told_at = $2 WHERE id = $1 AND told_at = 0`, id, at.UnixMicro()); err != nil {
			return fmt.Errorf("marking payment event %s as taken: %w", id, err)
		}
	}
	return nil
}

// PutPayReference keeps a notice's number. See payment.Tx.
func (t *Tx) PutPayReference(ctx context.Context, r payment.Reference) error {
	if err := payment.CheckReference(&r); err != nil {
		return fmt.Errorf("keeping a notice's number: %w", err)
	}
	var vehicle string
	_, err := t.db.Exec(ctx, `INSERT INTO payment_reference (number, vehicle) VALUES ($1, $2) ON CONFLICT DO NOTHING`, r.Number, r.Vehicle)
	if err == nil {
		_, err = database.One(ctx, t.db, `SELECT vehicle FROM payment_reference WHERE number = $1`, []any{r.Number}, &vehicle)
	}
	if err == nil && vehicle != r.Vehicle {
		err = fmt.Errorf("%w: the number is another vehicle's", billing.ErrConflict)
	}
	for _, id := range r.Receivables {
		if err == nil {
			_, err = t.db.Exec(ctx, `INSERT INTO payment_reference_item (number, receivable) VALUES ($1, $2) ON CONFLICT DO NOTHING`, r.Number, id)
		}
	}
	if err != nil {
		return fmt.Errorf("keeping a notice's number: %w", err)
	}
	return nil
}

// PayReference finds what a notice names. See payment.Tx.
func (t *Tx) PayReference(ctx context.Context, vehicle, number string) (open []billing.Receivable, named int64, err error) {
	err = database.Each(ctx, t.db, `SELECT `+receivableColumns+` FROM payment_reference n JOIN payment_reference_item i ON i.number = n.number
		JOIN receivable r ON r.id = i.receivable WHERE n.number = $1 AND n.vehicle = $2 AND `+stillNamed+` ORDER BY r.posting, r.id`, []any{number, vehicle}, func(r database.Rows) error {
		v, err := scanReceivable(r)
		named++
		if v.RestCents() > 0 && v.Hold == "" {
			open = append(open, v.Receivable)
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("finding what a notice names: %w", err)
	}
	return open, named, nil
}

// RecordPayment adds to the audit trail. See payment.Tx.
func (t *Tx) RecordPayment(ctx context.Context, r payment.Record) error {
	subject := audit.Subject{Kind: "payment", ID: r.Attempt}
	if r.Attempt == "" {
		subject = audit.Subject{Kind: "account", ID: r.Account}
	}
	detail := map[string]any{}
	if r.Evidence != "" {
		detail["evidence"] = r.Evidence
	}
	if r.AmountCents != 0 {
		detail["amount_cents"] = r.AmountCents
	}
	return audit.Append(ctx, t.db, audit.Event{
		At: r.At, Actor: audit.Actor{Name: r.By, Role: r.Role}, Action: r.Action, Subject: subject,
		Account: r.Account, Reason: r.Reason, Detail: detail,
	})
}
