package store

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"freeflow/internal/database"
	"freeflow/parking"
)

// PutLaneEvent adds an event. See parking.Tx.
func (t *tx) PutLaneEvent(ctx context.Context, e parking.LaneEvent) (known bool, err error) {
	e.At = instant(micros(e.At))
	args := laneEventArgs(&e)
	if err := laneEventTable.check(e.ID, args); err != nil {
		return false, err
	}
	n, err := t.db.Exec(ctx, laneEventTable.insert, args...)
	if err != nil {
		return false, fmt.Errorf("writing lane event %s: %w", e.ID, err)
	}
	if n == 1 {
		return false, nil
	}
	there, err := one(ctx, t.db, &laneEventTable, scanLaneEvent, e.ID, `WHERE id = $1`, e.ID)
	if err != nil {
		return false, err
	}
	if there != e {
		return false, fmt.Errorf("lane event %s: %w: the id stands for other content", e.ID, parking.ErrConflict)
	}
	return true, nil
}

// LaneEvents returns the vehicle's events in order of time, id: those that carry
// the mark that its name is of. See parking.Tx.
func (t *tx) LaneEvents(ctx context.Context, carPark, vehicle string, from, to time.Time) ([]parking.LaneEvent, error) {
	column, mark := markColumn(vehicle)
	return all(ctx, t.db, &laneEventTable, scanLaneEvent,
		`WHERE car_park = $1 AND `+column+` = $2 AND `+column+` <> '' AND at_micros >= $3 AND at_micros < $4 ORDER BY at_micros, id`,
		carPark, mark, micros(from), micros(to))
}

// LastLaneEvent returns when the lane was last heard of. See parking.Tx.
func (t *tx) LastLaneEvent(ctx context.Context, carPark, lane string) (time.Time, error) {
	var at int64
	_, err := database.One(ctx, t.db, `SELECT coalesce(max(at_micros), 0) FROM parking_lane_event WHERE car_park = $1 AND lane = $2`,
		[]any{carPark, lane}, &at)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading when lane %s of %s was last heard of: %w", lane, carPark, err)
	}
	return instant(at), nil
}

// markColumn is the column that a vehicle's name is of, and what stands there.
func markColumn(vehicle string) (column, mark string) {
	if tag, ok := strings.CutPrefix(vehicle, "tag:"); ok {
		return "tag", tag
	}
	if ticket, ok := strings.CutPrefix(vehicle, "ticket:"); ok {
		return "ticket", ticket
	}
	return "plate", vehicle
}

// Stay returns one stay; ErrNotFound.
func (t *tx) Stay(ctx context.Context, id string) (parking.Stay, error) {
	return one(ctx, t.db, &stayTable, scanStay, id, `WHERE id = $1`, id)
}

// Stays lists stays in order of entry (exit where that is not known), id; a
// vehicle's by its name and by each mark. See parking.Tx.
func (t *tx) Stays(ctx context.Context, carPark, vehicle string, p parking.Page) ([]parking.Stay, error) {
	var f filter
	f.equal("car_park", carPark)
	if vehicle != "" {
		column, mark := markColumn(vehicle)
		from := micros(p.From)
		// A union and not an or: each half has an index of its own.
		f.add(`id IN (SELECT id FROM parking_stay WHERE vehicle = $? AND time_micros >= $? UNION
			SELECT id FROM parking_stay WHERE `+column+` = $? AND `+column+` <> '' AND time_micros >= $?)`, vehicle, from, mark, from)
	}
	rest, args, err := f.page(ctx, t.db, &stayTable, "time_micros", p)
	if err != nil {
		return nil, err
	}
	return all(ctx, t.db, &stayTable, scanStay, rest, args...)
}

// StayOf returns the allocation's stay, the last one if there are several;
// ErrNotFound.
func (t *tx) StayOf(ctx context.Context, allocation string) (parking.Stay, error) {
	return one(ctx, t.db, &stayTable, scanStay, "of allocation "+allocation,
		`WHERE allocation = $1 AND allocation <> '' ORDER BY time_micros DESC, id DESC LIMIT 1`, allocation)
}

// PutStay adds or changes a stay; ErrStale.
func (t *tx) PutStay(ctx context.Context, s parking.Stay) error {
	args, err := stayArgs(&s)
	if err != nil {
		return err
	}
	return stayTable.put(ctx, t.db, s.ID, s.Revision, args)
}

// Order asks the ledger for a posting. The same order again changes nothing;
// another one under its id is ErrConflict. See parking.Tx.
func (t *tx) Order(ctx context.Context, o parking.LedgerOrder) error {
	switch o.Kind {
	case "charge", "payment", "refund":
	default:
		return fmt.Errorf("order %s: %w: %q is no kind of order", o.ID, parking.ErrInvalid, o.Kind)
	}
	if err := checkText("the order's id", o.ID, maxName); err != nil {
		return err
	}
	if o.ID == "" {
		return fmt.Errorf("%w: an order without an id", parking.ErrInvalid)
	}
	n, err := t.db.Exec(ctx, `INSERT INTO parking_ledger_order (id, kind, document, at_micros, posted_micros) VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING`,
		o.ID, o.Kind, notNil(o.Document), micros(o.At))
	if err != nil {
		return fmt.Errorf("ordering %s: %w", o.ID, err)
	}
	for _, stay := range o.Stays {
		if err := checkText("the stay's id", stay, maxName); err != nil {
			return err
		}
		if _, err := t.db.Exec(ctx, `INSERT INTO parking_ordered_stay (stay, ledger_order) VALUES ($1, $2) ON CONFLICT DO NOTHING`, stay, o.ID); err != nil {
			return fmt.Errorf("ordering %s: %w", o.ID, err)
		}
	}
	if n == 1 {
		return nil
	}
	var (
		kind     string
		document []byte
	)
	if _, err := database.One(ctx, t.db, `SELECT kind, document FROM parking_ledger_order WHERE id = $1`, []any{o.ID}, &kind, &document); err != nil {
		return err
	}
	if kind != o.Kind || !bytes.Equal(document, o.Document) {
		return fmt.Errorf("order %s: %w: the id stands for another order", o.ID, parking.ErrConflict)
	}
	return nil
}

// PutQuote keeps a quote, which is never changed: another one under its id is
// ErrConflict.
func (t *tx) PutQuote(ctx context.Context, id string, expires time.Time, document []byte) error {
	if err := checkText("the quote's id", id, maxName); err != nil {
		return err
	}
	n, err := t.db.Exec(ctx, `INSERT INTO parking_quote (id, expires_micros, document) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, id, micros(expires), notNil(document))
	if err != nil {
		return fmt.Errorf("keeping quote %s: %w", id, err)
	}
	if n == 1 {
		return nil
	}
	until, there, err := t.Quote(ctx, id)
	if err == nil && (micros(until) != micros(expires) || !bytes.Equal(there, document)) {
		err = fmt.Errorf("quote %s: %w: the id stands for another quote", id, parking.ErrConflict)
	}
	return err
}

// Quote returns a quote; ErrNotFound.
func (t *tx) Quote(ctx context.Context, id string) (expires time.Time, document []byte, err error) {
	var until int64
	found, err := database.One(ctx, t.db, `SELECT expires_micros, document FROM parking_quote WHERE id = $1`, []any{id}, &until, &document)
	if err == nil && !found {
		err = fmt.Errorf("quote %s: %w", id, parking.ErrNotFound)
	}
	if err != nil {
		return time.Time{}, nil, err
	}
	return instant(until), orNil(document), nil
}

var alarmTable = table{what: "alarm", name: "parking_alarm", keys: 1,
	columns: []string{"id", "car_park", "kind", "subject", "detail", "raised_micros"},
	list:    "id, car_park, kind, subject, detail, raised_micros, cleared_micros, cleared_by, note"}

// Raise adds an alarm or leaves one that stands. See parking.Tx.
func (t *tx) Raise(ctx context.Context, a parking.Alarm) error {
	args := []any{a.ID, a.CarPark, a.Kind, a.Subject, a.Detail, micros(a.Raised)}
	if err := alarmTable.check(a.ID, args); err != nil {
		return err
	}
	_, err := t.db.Exec(ctx, `INSERT INTO parking_alarm (id, car_park, kind, subject, detail, raised_micros, cleared_micros, cleared_by, note)
		VALUES ($1, $2, $3, $4, $5, $6, 0, '', '') ON CONFLICT DO NOTHING`, args...)
	if err != nil {
		return fmt.Errorf("raising alarm %s: %w", a.ID, err)
	}
	return nil
}

// Clear ends an alarm that stands; ErrNotFound.
func (t *tx) Clear(ctx context.Context, id, by, note string, at time.Time) error {
	if at.IsZero() {
		at = instant(t.now())
	}
	for what, text := range map[string]string{"by": by, "the note": note} {
		if err := checkText(what, text, maxText); err != nil {
			return err
		}
	}
	n, err := t.db.Exec(ctx, `UPDATE parking_alarm SET cleared_micros = $2, cleared_by = $3, note = $4 WHERE id = $1 AND cleared_micros = 0`, id, at.UnixMicro(), by, note)
	if err == nil && n == 0 {
		err = parking.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("clearing alarm %s: %w", id, err)
	}
	return nil
}

// Alarms returns those that stand, newest first; of all car parks if carPark is
// empty.
func (t *tx) Alarms(ctx context.Context, carPark string, limit int) ([]parking.Alarm, error) {
	f := filter{conditions: []string{"cleared_micros = 0"}}
	f.equal("car_park", carPark)
	f.args = append(f.args, int64(limit))
	rest := f.rest("raised_micros DESC, seq DESC") + fmt.Sprintf(" LIMIT $%d", len(f.args))
	return all(ctx, t.db, &alarmTable, func(r database.Rows) (a parking.Alarm, err error) {
		var raised, cleared int64
		err = r.Scan(&a.ID, &a.CarPark, &a.Kind, &a.Subject, &a.Detail, &raised, &cleared, &a.By, &a.Note)
		a.Raised, a.Cleared = instant(raised), instant(cleared)
		return a, err
	}, rest, f.args...)
}

// Preference returns the account's word on paying for parking.
func (t *tx) Preference(ctx context.Context, account string) (parking.Preference, error) {
	var (
		p  parking.Preference
		at int64
	)
	found, err := database.One(ctx, t.db, `SELECT account, business, said, pays, at_micros, said_by FROM parking_preference WHERE account = $1`, []any{account},
		&p.Account, &p.Business, &p.Said, &p.Pays, &at, &p.By)
	if err != nil {
		return parking.Preference{}, fmt.Errorf("reading the preference of an account: %w", err)
	}
	if !found {
		return parking.Preference{}, nil
	}
	p.At = instant(at)
	return p, nil
}

// PutPreference notes the account's word; the last one counts.
func (t *tx) PutPreference(ctx context.Context, p parking.Preference) error {
	if p.Account == "" {
		return fmt.Errorf("%w: a preference without an account", parking.ErrInvalid)
	}
	if err := checkText("the account", p.Account, maxName); err != nil {
		return err
	}
	if err := checkText("by", p.By, maxText); err != nil {
		return err
	}
	_, err := t.db.Exec(ctx, `INSERT INTO parking_preference (account, business, said, pays, at_micros, said_by) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (account) DO UPDATE SET business = excluded.business, said = excluded.said, pays = excluded.pays,
			at_micros = excluded.at_micros, said_by = excluded.said_by`, p.Account, p.Business, p.Said, p.Pays, micros(p.At), p.By)
	if err != nil {
		return fmt.Errorf("noting the preference of an account: %w", err)
	}
	return nil
}
