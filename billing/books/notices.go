package books

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/billing/notice"
	"freeflow/internal/database"
)

const noticeColumns = `id, kind, account, vehicle, number, amount_cents, currency, due_day, facts, issued_at, served_at`

// stillNamed holds for a receivable r that a payment reference n names for as
// long as it is of that vehicle, and of the account that was told, if one was: a
// toll that turned out to be another's is nothing to who holds the old notice.
const stillNamed = `(r.vehicle = n.vehicle OR r.vehicle = 'plate:' || n.vehicle)
	AND NOT EXISTS (SELECT 1 FROM notice told WHERE told.number = n.number AND told.number <> '' AND told.account <> '' AND told.account <> r.account)`

// daySeconds is a day of a calendar, as the columns of days count them.
const daySeconds = 86400

func dayOf(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	y, m, d := at.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / daySeconds
}

// dateOf is the day's beginning in UTC: its year, month and day are what counts.
func dateOf(day int64) time.Time {
	if day == 0 {
		return time.Time{}
	}
	return time.Unix(day*daySeconds, 0).UTC()
}

func scanNotice(r database.Rows) (n notice.Notice, err error) {
	var (
		due, issued, served int64
		facts               string
	)
	err = r.Scan(&n.ID, &n.Kind, &n.Account, &n.Vehicle, &n.Number, &n.AmountCents, &n.Currency, &due, &facts, &issued, &served)
	n.DueOn, n.IssuedAt, n.ServedAt = dateOf(due), instantOf(issued), instantOf(served)
	if err == nil && facts != "" {
		err = json.Unmarshal([]byte(facts), &n.Facts)
	}
	return n, err
}

// PutNotice adds a notice. See notice.Tx.
func (t *Tx) PutNotice(ctx context.Context, n notice.Notice, ways []notice.Delivery) (bool, error) {
	facts := ""
	if len(n.Facts) > 0 {
		b, err := json.Marshal(n.Facts)
		if err != nil {
			return false, fmt.Errorf("storing notice %s: %w", n.ID, err)
		}
		facts = string(b)
	}
	added, err := t.db.Exec(ctx, `INSERT INTO notice (`+noticeColumns+`) VALUES (`+database.Placeholders(1, 11)+`) ON CONFLICT DO NOTHING`,
		n.ID, n.Kind, n.Account, n.Vehicle, n.Number, n.AmountCents, n.Currency, dayOf(n.DueOn), facts, microsOf(n.IssuedAt), int64(0))
	if err == nil && added == 0 {
		var was notice.Notice
		if was, err = t.Notice(ctx, n.ID); err == nil {
			n.DueOn = dateOf(dayOf(n.DueOn))
			if !notice.SameContent(was, n) {
				err = fmt.Errorf("%w: it was issued with another content", billing.ErrConflict)
			}
		}
		if err == nil {
			return true, nil
		}
	}
	for _, d := range ways {
		if err == nil {
			err = t.putDelivery(ctx, d)
		}
	}
	if err != nil {
		return false, fmt.Errorf("storing notice %s: %w", n.ID, err)
	}
	return false, nil
}

// Notice returns one. See notice.Tx.
func (t *Tx) Notice(ctx context.Context, id string) (notice.Notice, error) {
	list, err := t.notices(ctx, `id = $1`, id)
	if err == nil && len(list) == 0 {
		err = billing.ErrNotFound
	}
	if err != nil {
		return notice.Notice{}, fmt.Errorf("notice %s: %w", id, err)
	}
	return list[0], nil
}

// NoticesOf lists notices. See notice.Tx.
func (t *Tx) NoticesOf(ctx context.Context, account, vehicle string, before time.Time, limit int) ([]notice.Notice, error) {
	where, who := `account = $1 AND account <> ''`, account
	if account == "" {
		where, who = `vehicle = $1 AND account = ''`, vehicle
	}
	args := []any{who, int64(limit)}
	if !before.IsZero() {
		where += ` AND issued_at < $3`
		args = append(args, before.UnixMicro())
	}
	list, err := t.notices(ctx, where+` ORDER BY issued_at DESC, id LIMIT $2`, args...)
	if err != nil {
		return nil, fmt.Errorf("listing notices: %w", err)
	}
	return list, nil
}

func (t *Tx) notices(ctx context.Context, where string, args ...any) ([]notice.Notice, error) {
	var list []notice.Notice
	err := database.Each(ctx, t.db, `SELECT `+noticeColumns+` FROM notice WHERE `+where, args, func(r database.Rows) error {
		n, err := scanNotice(r)
		list = append(list, n)
		return err
	})
	return list, err
}

const deliveryColumns = `notice, channel, state, address, evidence, proved_by, at_micros, next_at, attempts`

func (t *Tx) deliveries(ctx context.Context, where string, args ...any) ([]notice.Delivery, error) {
	var list []notice.Delivery
	err := database.Each(ctx, t.db, `SELECT `+deliveryColumns+` FROM notice_delivery WHERE `+where, args, func(r database.Rows) error {
		var (
			d                  notice.Delivery
			at, next, attempts int64
		)
		err := r.Scan(&d.Notice, &d.Channel, &d.State, &d.To, &d.Evidence, &d.By, &at, &next, &attempts)
		d.At, d.NextAt, d.Attempts = instantOf(at), instantOf(next), int(attempts)
		list = append(list, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	return list, nil
}

// Deliveries returns all of a notice. See notice.Tx.
func (t *Tx) Deliveries(ctx context.Context, id string) ([]notice.Delivery, error) {
	return t.deliveries(ctx, `notice = $1 ORDER BY channel`, id)
}

// Undelivered returns what waits. See notice.Tx.
func (t *Tx) Undelivered(ctx context.Context, at time.Time, limit int) ([]notice.Delivery, error) {
	return t.deliveries(ctx, `state = 'waiting' AND next_at <= $1 ORDER BY next_at, notice, channel LIMIT $2`, at.UnixMicro(), int64(limit))
}

// PutDelivery changes a delivery. See notice.Tx.
func (t *Tx) PutDelivery(ctx context.Context, d notice.Delivery) error {
	err := t.putDelivery(ctx, d)
	if err == nil && d.State == notice.Served {
		// The first proof counts.
		_, err = t.db.Exec(ctx, `UPDATE notice SET served_at = $2 WHERE id = $1 AND served_at = 0`, d.Notice, microsOf(d.At))
	}
	if err != nil {
		return fmt.Errorf("storing a delivery of notice %s: %w", d.Notice, err)
	}
	return nil
}

func (t *Tx) putDelivery(ctx context.Context, d notice.Delivery) error {
	_, err := t.db.Exec(ctx, `INSERT INTO notice_delivery AS n (`+deliveryColumns+`) VALUES (`+database.Placeholders(1, 9)+`)
		ON CONFLICT (notice, channel) DO UPDATE SET state = excluded.state, address = excluded.address, evidence = excluded.evidence,
			proved_by = excluded.proved_by, at_micros = excluded.at_micros, next_at = excluded.next_at, attempts = excluded.attempts
		WHERE n.state <> 'served'`,
		d.Notice, d.Channel, d.State, d.To, d.Evidence, d.By, microsOf(d.At), microsOf(d.NextAt), int64(d.Attempts))
	return err
}

// Recipient returns how an account is reached. See notice.Tx.
func (t *Tx) Recipient(ctx context.Context, account string) (notice.Recipient, error) {
	a, err := t.Account(ctx, account)
	if err != nil {
		return notice.Recipient{}, err
	}
	return notice.Recipient{Email: a.Email, Mobile: a.Mobile, Language: a.Language}, nil
}
