package store

import (
	"context"
	"fmt"
	"time"

	"freeflow/internal/database"
	"freeflow/parking"
)

var outageTable = table{what: "outage", name: "parking_outage", list: "car_park, machine, from_micros, to_micros, is_out, lifts_out, reason"}

// Outages lists when the machine was out of service. See parking.Outages.
func (t *tx) Outages(ctx context.Context, carPark, machine string, from, to time.Time) ([]parking.Outage, error) {
	return all(ctx, t.db, &outageTable, func(row database.Rows) (o parking.Outage, err error) {
		var began, ended int64
		err = row.Scan(&o.CarPark, &o.Machine, &began, &ended, &o.Out, &o.LiftsOut, &o.Reason)
		o.From, o.To = instant(began), instant(ended)
		return o, err
	}, `WHERE car_park = $1 AND machine = $2 AND from_micros < $3 AND (to_micros = 0 OR to_micros > $4) ORDER BY from_micros, to_micros`,
		carPark, machine, micros(to), micros(from))
}

// noteOutage keeps the outages in step with a machine's status. Called after it
// was put, so that the row of the machine is locked.
func (t *tx) noteOutage(ctx context.Context, m *parking.MachineStatus) error {
	var out bool
	var lifts int64
	stands, err := database.One(ctx, t.db, `SELECT is_out, lifts_out FROM parking_outage WHERE car_park = $1 AND machine = $2 AND to_micros = 0`,
		[]any{m.CarPark, m.ID}, &out, &lifts)
	if err != nil {
		return fmt.Errorf("reading the outage of machine %s: %w", m.ID, err)
	}
	if stands && out == m.Out && lifts == int64(m.LiftsOut) || !stands && !m.Out && m.LiftsOut == 0 {
		return nil
	}
	now := t.now()
	if stands {
		_, err := t.db.Exec(ctx, `UPDATE parking_outage SET to_micros = $1 WHERE car_park = $2 AND machine = $3 AND to_micros = 0`, now, m.CarPark, m.ID)
		if err != nil {
			return fmt.Errorf("ending the outage of machine %s: %w", m.ID, err)
		}
	}
	if !m.Out && m.LiftsOut == 0 {
		return nil
	}
	_, err = t.db.Exec(ctx, `INSERT INTO parking_outage (car_park, machine, from_micros, to_micros, is_out, lifts_out, reason) VALUES ($1, $2, $3, 0, $4, $5, $6)`,
		m.CarPark, m.ID, now, m.Out, int64(m.LiftsOut), m.Reason)
	if err != nil {
		return fmt.Errorf("beginning the outage of machine %s: %w", m.ID, err)
	}
	return nil
}

var noShowTable = table{
	what: "no-show", name: "parking_no_show", list: "reservation, car_park, settled_micros, amount_cents, currency, account, receipt, problem",
}

func scanNoShow(row database.Rows) (n parking.NoShowFee, err error) {
	var settled int64
	err = row.Scan(&n.Reservation, &n.CarPark, &settled, &n.AmountCents, &n.Currency, &n.Account, &n.Receipt, &n.Problem)
	n.SettledAt, n.Receipt = instant(settled), orNil(n.Receipt)
	return n, err
}

// NoShowFee returns that of a reservation; ErrNotFound.
func (t *tx) NoShowFee(ctx context.Context, reservation string) (parking.NoShowFee, error) {
	return one(ctx, t.db, &noShowTable, scanNoShow, reservation, `WHERE reservation = $1`, reservation)
}

// UnsettledNoShows returns the oldest that nobody has looked at.
func (t *tx) UnsettledNoShows(ctx context.Context, limit int) ([]parking.NoShowFee, error) {
	return all(ctx, t.db, &noShowTable, scanNoShow, `WHERE settled_micros = 0 ORDER BY put_micros, reservation LIMIT $1`, int64(limit))
}

// SettleNoShow says what one came to, once; ErrStale.
func (t *tx) SettleNoShow(ctx context.Context, n parking.NoShowFee) error {
	for _, one := range []struct{ name, text string }{{"currency", n.Currency}, {"account", n.Account}, {"problem", n.Problem}} {
		if err := checkText(one.name, one.text, maxText); err != nil {
			return fmt.Errorf("no-show %s: %w", n.Reservation, err)
		}
	}
	if n.SettledAt.IsZero() || n.AmountCents < 0 {
		return fmt.Errorf("no-show %s: %w: its time is missing, or the amount negative", n.Reservation, parking.ErrInvalid)
	}
	rows, err := t.db.Exec(ctx, `UPDATE parking_no_show SET settled_micros = $1, amount_cents = $2, currency = $3, account = $4, receipt = $5, problem = $6
		WHERE reservation = $7 AND settled_micros = 0`,
		micros(n.SettledAt), n.AmountCents, n.Currency, n.Account, notNil(n.Receipt), n.Problem, n.Reservation)
	if err != nil {
		return fmt.Errorf("settling no-show %s: %w", n.Reservation, err)
	}
	if rows == 0 {
		return fmt.Errorf("no-show %s: %w: it is not there, or settled", n.Reservation, parking.ErrStale)
	}
	return nil
}

// noteNoShow adds the row of a reservation that became a no-show.
func (t *tx) noteNoShow(ctx context.Context, r *parking.Reservation) error {
	if r.State != parking.NoShow {
		return nil
	}
	_, err := t.db.Exec(ctx, `INSERT INTO parking_no_show (reservation, car_park, put_micros, settled_micros, amount_cents, currency, account, problem, receipt)
		VALUES ($1, $2, $3, 0, 0, '', '', '', $4) ON CONFLICT DO NOTHING`, r.ID, r.CarPark, t.now(), notNil(nil))
	if err != nil {
		return fmt.Errorf("noting that reservation %s is a no-show: %w", r.ID, err)
	}
	return nil
}

// OpenStays counts stays that are open at a car park, of those that came in by
// the lane (empty: by any). See parking.Tx.
func (t *tx) OpenStays(ctx context.Context, carPark, lane string) (n int64, err error) {
	query, args := `SELECT count(*) FROM parking_stay WHERE car_park = $1 AND state = 'open'`, []any{carPark}
	if lane != "" {
		query = `SELECT count(*) FROM parking_stay s JOIN parking_lane_event e ON e.id = s.entry_event WHERE s.car_park = $1 AND s.state = 'open' AND e.lane = $2`
		args = append(args, lane)
	}
	if _, err := database.One(ctx, t.db, query, args, &n); err != nil {
		return 0, fmt.Errorf("counting the open stays of %s: %w", carPark, err)
	}
	return n, nil
}
