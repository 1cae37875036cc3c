package store

import (
	"context"
	"fmt"
	"time"

	"freeflow/internal/database"
	"freeflow/parking"
)

// Lock writes to the row of that name, which makes others that do so wait until
// this transaction ends. What is read after it is as the one before left it.
// See parking.Tx.
func (t *tx) Lock(ctx context.Context, name string) error {
	if err := checkText("the lock's name", name, maxName); err != nil {
		return err
	}
	_, err := t.db.Exec(ctx, `INSERT INTO parking_fence AS f (name, times) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET times = f.times + 1`, name)
	if err != nil {
		return fmt.Errorf("locking %s: %w", name, err)
	}
	return nil
}

var definitionTable = table{what: "definition", name: "parking_definition", list: "car_park, version, put_at, put_by, document"}

// Definitions returns the last version of every car park's definition, in
// order of id.
func (t *tx) Definitions(ctx context.Context) ([]parking.Definition, error) {
	return all(ctx, t.db, &definitionTable, func(r database.Rows) (d parking.Definition, err error) {
		var at int64
		err = r.Scan(&d.CarPark, &d.Version, &at, &d.By, &d.Document)
		d.PutAt, d.Document = instant(at), orNil(d.Document)
		return d, err
	}, `WHERE version = (SELECT max(m.version) FROM parking_definition m WHERE m.car_park = parking_definition.car_park) ORDER BY car_park`)
}

// maxDocument bounds a definition.
const maxDocument = 16 << 20

// PutDefinition stores the version after the present one; ErrStale.
func (t *tx) PutDefinition(ctx context.Context, d parking.Definition) error {
	if d.CarPark == "" || len(d.Document) > maxDocument {
		return fmt.Errorf("definition of %q: %w: it names no car park, or has more than %d bytes", d.CarPark, parking.ErrInvalid, maxDocument)
	}
	if err := checkText("the car park", d.CarPark, maxName); err != nil {
		return err
	}
	if err := checkText("by", d.By, maxText); err != nil {
		return err
	}
	var last int64
	if _, err := database.One(ctx, t.db, `SELECT coalesce(max(version), 0) FROM parking_definition WHERE car_park = $1`, []any{d.CarPark}, &last); err != nil {
		return err
	}
	n := int64(0)
	if d.Version == last+1 {
		var err error
		n, err = t.db.Exec(ctx, `INSERT INTO parking_definition (car_park, version, put_at, put_by, document) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			d.CarPark, d.Version, micros(d.PutAt), d.By, notNil(d.Document))
		if err != nil {
			return fmt.Errorf("storing the definition of %s: %w", d.CarPark, err)
		}
	}
	if n == 0 {
		return fmt.Errorf("definition of %s: %w: version %d does not follow the present one", d.CarPark, parking.ErrStale, d.Version)
	}
	return nil
}

// Machines returns what is known of the car park's machines, in order of id.
func (t *tx) Machines(ctx context.Context, carPark string) ([]parking.MachineStatus, error) {
	return all(ctx, t.db, &machineTable, scanMachine, `WHERE car_park = $1 ORDER BY id`, carPark)
}

// PutMachine adds or changes a machine's status; ErrStale.
func (t *tx) PutMachine(ctx context.Context, m parking.MachineStatus) error {
	if err := machineTable.put(ctx, t.db, m.ID, m.Revision, machineArgs(&m)); err != nil {
		return err
	}
	return t.noteOutage(ctx, &m)
}

// Command returns one command; ErrNotFound.
func (t *tx) Command(ctx context.Context, id string) (parking.Command, error) {
	return one(ctx, t.db, &commandTable, scanCommand, id, `WHERE id = $1`, id)
}

// Queue returns commands that have not ended. See parking.Tx.
func (t *tx) Queue(ctx context.Context, carPark, machine string) ([]parking.Command, error) {
	var f filter
	f.add("car_park = $? AND ended_micros = 0", carPark)
	f.equal("machine", machine)
	return all(ctx, t.db, &commandTable, scanCommand, f.rest("due_micros, id"), f.args...)
}

// PutCommand adds or changes a command; ErrStale. Whatever is final has ended:
// now, if EndedAt does not say when.
func (t *tx) PutCommand(ctx context.Context, c parking.Command) error {
	if c.State.Final() && c.EndedAt.IsZero() {
		c.EndedAt = instant(t.now())
	}
	if !c.State.Final() && !c.EndedAt.IsZero() {
		return fmt.Errorf("command %s: %w: it has ended and is %s", c.ID, parking.ErrInvalid, c.State)
	}
	return commandTable.put(ctx, t.db, c.ID, c.Revision, commandArgs(&c))
}

// Reservation returns one reservation; ErrNotFound.
func (t *tx) Reservation(ctx context.Context, id string) (parking.Reservation, error) {
	return one(ctx, t.db, &reservationTable, scanReservation, id, `WHERE id = $1`, id)
}

// Reservations lists those that touch [from, to), in order of start, id. See
// parking.Tx.
func (t *tx) Reservations(ctx context.Context, carPark, pool string, from, to time.Time) ([]parking.Reservation, error) {
	var f filter
	f.equal("car_park", carPark)
	f.equal("pool", pool)
	f.add("start_micros < $? AND end_micros > $?", micros(to), micros(from))
	return all(ctx, t.db, &reservationTable, scanReservation, f.rest("start_micros, id"), f.args...)
}

// Lapsed returns reservations whose stored deadline has come. See parking.Tx.
func (t *tx) Lapsed(ctx context.Context, at time.Time, limit int) ([]parking.Reservation, error) {
	return all(ctx, t.db, &reservationTable, scanReservation, `WHERE state IN ('held', 'confirmed') AND deadline_micros <= $1 ORDER BY deadline_micros, id LIMIT $2`,
		at.UnixMicro(), int64(limit))
}

// PutReservation adds or changes a reservation; ErrStale.
func (t *tx) PutReservation(ctx context.Context, r parking.Reservation) error {
	if err := reservationTable.put(ctx, t.db, r.ID, r.Revision, reservationArgs(&r)); err != nil {
		return err
	}
	return t.noteNoShow(ctx, &r)
}
