package books

import (
	"context"
	"fmt"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// maxWhy bounds the text of an error that is kept, in bytes.
const maxWhy = 500

// PutOff notes that an item of a job failed, and leaves it until an instant; it
// returns how often it has failed in a row.
func (t *Tx) PutOff(ctx context.Context, job, item, why string, now time.Time) (failures int64, err error) {
	_, err = t.db.Exec(ctx, `INSERT INTO put_off AS p (job, item, why, failures, until_micros) VALUES ($1, $2, $3, 1, 0)
		ON CONFLICT (job, item) DO UPDATE SET why = excluded.why, failures = p.failures + 1`, job, item, clipped(why))
	if err == nil {
		_, err = database.One(ctx, t.db, `SELECT failures FROM put_off WHERE job = $1 AND item = $2`, []any{job, item}, &failures)
	}
	if err == nil {
		_, err = t.db.Exec(ctx, `UPDATE put_off SET until_micros = $3 WHERE job = $1 AND item = $2`, job, item, microsOf(now.Add(billing.PutOffPause(failures))))
	}
	if err != nil {
		return 0, fmt.Errorf("putting off %s of job %s: %w", item, job, err)
	}
	return failures, nil
}

// clipped bounds a text; what PostgreSQL refuses (no UTF-8, U+0000) is left out.
func clipped(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text[:min(len(text), maxWhy)], ""), "\x00", "")
}

// PutOffDue returns items of a job that are to be tried again, those that wait
// longest first.
func (t *Tx) PutOffDue(ctx context.Context, job string, now time.Time, limit int) ([]string, error) {
	return t.texts(ctx, `SELECT item FROM put_off WHERE job = $1 AND until_micros <= $2 ORDER BY until_micros, item LIMIT $3`, job, microsOf(now), int64(limit))
}

// DropPutOff forgets that an item failed.
func (t *Tx) DropPutOff(ctx context.Context, job, item string) error {
	if _, err := t.db.Exec(ctx, `DELETE FROM put_off WHERE job = $1 AND item = $2`, job, item); err != nil {
		return fmt.Errorf("taking up %s of job %s: %w", item, job, err)
	}
	return nil
}

// DropPutOffBefore forgets items of a job that were due before an instant and
// have not failed again.
func (t *Tx) DropPutOffBefore(ctx context.Context, job string, before time.Time) error {
	if _, err := t.db.Exec(ctx, `DELETE FROM put_off WHERE job = $1 AND until_micros < $2`, job, microsOf(before)); err != nil {
		return fmt.Errorf("forgetting what failed of job %s: %w", job, err)
	}
	return nil
}

// CountPutOff counts the items of a job.
func (t *Tx) CountPutOff(ctx context.Context, job string) (n int64, err error) {
	if _, err = database.One(ctx, t.db, `SELECT count(*) FROM put_off WHERE job = $1`, []any{job}, &n); err != nil {
		err = fmt.Errorf("counting what failed of job %s: %w", job, err)
	}
	return n, err
}

// notPutOff leaves out items of a job that wait; of is the item's expression,
// and the parameter at which the present instant stands.
func notPutOff(job, of string, parameter int) string {
	return fmt.Sprintf(` AND NOT EXISTS (SELECT 1 FROM put_off o WHERE o.job = '%s' AND o.item = %s AND o.until_micros > $%d)`, job, of, parameter)
}
