package books

import (
	"context"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/billing/recovery"
	"freeflow/internal/audit"
	"freeflow/internal/database"
)

var _ recovery.Tx = (*Tx)(nil)

// ChargeStands returns a charge as it stands. See recovery.Tx.
func (t *Tx) ChargeStands(ctx context.Context, id string) (billing.Charge, error) {
	c, err := chargeBy(ctx, t.db, `SELECT `+chargeColumns+` FROM charge c WHERE c.id = $1`, id)
	return c.Charge, err
}

// Overdue returns open tolls that are on no ladder. See recovery.Tx.
func (t *Tx) Overdue(ctx context.Context, now, before time.Time, nobodys bool, last billing.Receivable, limit int) ([]billing.Receivable, error) {
	whose := `r.account <> ''`
	if nobodys {
		whose = `r.account = ''`
	}
	list, err := t.receivables(ctx, `LEFT JOIN recovery_case c ON c.receivable = r.id WHERE r.kind = 'toll' AND r.paid_cents < r.amount_cents
		AND r.posted_at < $1 AND r.hold = '' AND `+whose+` AND (c.receivable IS NULL OR c.stage = 'ended')
		AND (r.posted_at > $3 OR (r.posted_at = $3 AND r.id > $4))`+notPutOff(recovery.JobOpen, "r.id", 5)+` ORDER BY r.posted_at, r.id LIMIT $2`,
		before.UnixMicro(), int64(limit), microsOf(last.PostedAt), last.ID, microsOf(now))
	if err != nil {
		return nil, fmt.Errorf("reading unpaid tolls: %w", err)
	}
	return list, nil
}

const caseColumns = `receivable, account, vehicle, stage, pass_day, due_day, number, notice, waived, opened_at, next_at, stuck_at, revision`

func (t *Tx) cases(ctx context.Context, where string, args ...any) ([]recovery.Case, error) {
	var list []recovery.Case
	err := database.Each(ctx, t.db, `SELECT `+caseColumns+` FROM recovery_case WHERE `+where, args, func(r database.Rows) error {
		var (
			c                              recovery.Case
			pass, due, opened, next, stuck int64
		)
		err := r.Scan(&c.Receivable, &c.Account, &c.Vehicle, &c.Stage, &pass, &due, &c.Number, &c.Notice, &c.Waived, &opened, &next, &stuck, &c.Revision)
		c.PassDay, c.DueDay, c.OpenedAt, c.NextAt = recovery.Day(pass), recovery.Day(due), instantOf(opened), instantOf(next)
		c.StuckAt = instantOf(stuck)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading cases of unpaid tolls: %w", err)
	}
	return list, nil
}

// DueCases returns cases to be looked at. See recovery.Tx.
func (t *Tx) DueCases(ctx context.Context, at time.Time, limit int) ([]recovery.Case, error) {
	return t.cases(ctx, `next_at <> 0 AND next_at <= $1`+notPutOff(recovery.JobClimb, "receivable", 1)+` ORDER BY next_at, account, vehicle, receivable LIMIT $2`, at.UnixMicro(), int64(limit))
}

// LockCase locks a case. See recovery.Tx.
func (t *Tx) LockCase(ctx context.Context, receivable string) (recovery.Case, error) {
	// A write to the row keeps others waiting on both engines.
	if _, err := t.db.Exec(ctx, `UPDATE recovery_case SET revision = revision WHERE receivable = $1`, receivable); err != nil {
		return recovery.Case{}, fmt.Errorf("locking the case of %s: %w", receivable, err)
	}
	return t.Case(ctx, receivable)
}

// Case returns a case. See recovery.Tx.
func (t *Tx) Case(ctx context.Context, receivable string) (recovery.Case, error) {
	list, err := t.cases(ctx, `receivable = $1`, receivable)
	if err == nil && len(list) == 0 {
		err = billing.ErrNotFound
	}
	if err != nil {
		return recovery.Case{}, fmt.Errorf("the case of %s: %w", receivable, err)
	}
	return list[0], nil
}

// PutCase adds or changes a case. See recovery.Tx.
func (t *Tx) PutCase(ctx context.Context, c recovery.Case, e recovery.Event) error {
	args := []any{c.Receivable, c.Account, c.Vehicle, c.Stage, int64(c.PassDay), int64(c.DueDay), c.Number, c.Notice, c.Waived, microsOf(c.OpenedAt), microsOf(c.NextAt), microsOf(c.StuckAt), c.Revision}
	var (
		n   int64
		err error
	)
	if c.Revision == 1 {
		n, err = t.db.Exec(ctx, `INSERT INTO recovery_case (`+caseColumns+`) VALUES (`+database.Placeholders(1, 13)+`) ON CONFLICT DO NOTHING`, args...)
	} else {
		n, err = t.db.Exec(ctx, `UPDATE recovery_case SET account = $2, vehicle = $3, stage = $4, pass_day = $5, due_day = $6, number = $7, notice = $8,
			waived = $9, opened_at = $10, next_at = $11, stuck_at = $12, revision = $13 WHERE receivable = $1 AND revision = $13 - 1`, args...)
	}
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: it stands at another revision than %d", database.ErrRetry, c.Revision-1)
	}
	if err == nil {
		_, err = t.db.Exec(ctx, `INSERT INTO recovery_event (receivable, revision, at_micros, stage, what, done_by, reason, notice) VALUES (`+database.Placeholders(1, 8)+`)`,
			e.Receivable, e.Revision, microsOf(e.At), e.Stage, e.What, e.By, e.Reason, e.Notice)
	}
	if err != nil {
		return fmt.Errorf("storing the case of %s: %w", c.Receivable, err)
	}
	return nil
}

// Reschedule sets when a case is looked at again. See recovery.Tx.
func (t *Tx) Reschedule(ctx context.Context, c recovery.Case) error {
	n, err := t.db.Exec(ctx, `UPDATE recovery_case SET next_at = $2, due_day = $3, stuck_at = $4 WHERE receivable = $1 AND revision = $5`,
		c.Receivable, microsOf(c.NextAt), int64(c.DueDay), microsOf(c.StuckAt), c.Revision)
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: it stands at another revision than %d", database.ErrRetry, c.Revision)
	}
	if err != nil {
		return fmt.Errorf("rescheduling the case of %s: %w", c.Receivable, err)
	}
	return nil
}

// Cases lists cases. See recovery.Tx.
func (t *Tx) Cases(ctx context.Context, vehicle, stage, afterVehicle, afterReceivable string, limit int) ([]recovery.Case, error) {
	return t.cases(ctx, `($1 = '' OR vehicle = $1) AND ($2 = '' OR stage = $2) AND (vehicle > $3 OR (vehicle = $3 AND receivable > $4))
		ORDER BY vehicle, receivable LIMIT $5`, vehicle, stage, afterVehicle, afterReceivable, int64(limit))
}

// StuckCases lists those that wait for a person. See recovery.Tx.
func (t *Tx) StuckCases(ctx context.Context, afterVehicle, afterReceivable string, limit int) ([]recovery.Case, error) {
	return t.cases(ctx, `stuck_at <> 0 AND (vehicle > $1 OR (vehicle = $1 AND receivable > $2)) ORDER BY vehicle, receivable LIMIT $3`,
		afterVehicle, afterReceivable, int64(limit))
}

// CaseEvents returns all steps of a case. See recovery.Tx.
func (t *Tx) CaseEvents(ctx context.Context, receivable string) ([]recovery.Event, error) {
	var list []recovery.Event
	err := database.Each(ctx, t.db, `SELECT receivable, revision, at_micros, stage, what, done_by, reason, notice FROM recovery_event
		WHERE receivable = $1 ORDER BY revision`, []any{receivable}, func(r database.Rows) error {
		var (
			e  recovery.Event
			at int64
		)
		err := r.Scan(&e.Receivable, &e.Revision, &at, &e.Stage, &e.What, &e.By, &e.Reason, &e.Notice)
		e.At = instantOf(at)
		list = append(list, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the steps of %s: %w", receivable, err)
	}
	return list, nil
}

// Pauses returns those that concern a receivable. See recovery.Tx.
func (t *Tx) Pauses(ctx context.Context, receivable string) (recovery.Pauses, error) {
	var list recovery.Pauses
	err := database.Each(ctx, t.db, `SELECT id, scope, from_day, to_day, recorded_by, reason, recorded_at FROM recovery_pause
		WHERE (scope = '' OR scope = $1) AND withdrawn_at = 0 ORDER BY from_day, id`, []any{receivable}, func(r database.Rows) error {
		var (
			p            recovery.Pause
			from, to, at int64
		)
		err := r.Scan(&p.ID, &p.Scope, &from, &to, &p.By, &p.Reason, &at)
		p.From, p.To, p.RecordedAt = recovery.Day(from), recovery.Day(to), instantOf(at)
		list = append(list, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading pauses: %w", err)
	}
	return list, nil
}

// PutPause adds a pause or ends it. See recovery.Tx.
func (t *Tx) PutPause(ctx context.Context, p recovery.Pause) error {
	_, err := t.db.Exec(ctx, `INSERT INTO recovery_pause AS p (id, scope, from_day, to_day, recorded_by, reason, recorded_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET to_day = excluded.to_day WHERE p.to_day = 0 AND p.scope = excluded.scope`,
		p.ID, p.Scope, int64(p.From), int64(p.To), p.By, p.Reason, microsOf(p.RecordedAt))
	if err != nil {
		return fmt.Errorf("storing pause %s: %w", p.ID, err)
	}
	return nil
}

// Wake makes cases due. See recovery.Tx.
func (t *Tx) Wake(ctx context.Context, scope string, at time.Time) error {
	_, err := t.db.Exec(ctx, `UPDATE recovery_case SET next_at = $2 WHERE ($1 = '' OR receivable = $1) AND next_at > $2`, scope, microsOf(at))
	if err != nil {
		return fmt.Errorf("waking cases: %w", err)
	}
	return nil
}

// WakeNotice makes the cases due whose latest notice it is.
func (t *Tx) WakeNotice(ctx context.Context, id string, at time.Time) error {
	_, err := t.db.Exec(ctx, `UPDATE recovery_case SET next_at = $2 WHERE notice = $1 AND next_at > $2 AND receivable IN
		(SELECT i.receivable FROM payment_reference_item i JOIN notice n ON n.number = i.number WHERE n.id = $1)`, id, microsOf(at))
	if err != nil {
		return fmt.Errorf("waking the cases of a notice: %w", err)
	}
	return nil
}

// WakeClimbed makes ended cases due. See recovery.Tx.
func (t *Tx) WakeClimbed(ctx context.Context, scope string, since, at time.Time) error {
	_, err := t.db.Exec(ctx, `UPDATE recovery_case SET next_at = $2 WHERE ($1 = '' OR receivable = $1) AND stage = 'ended' AND next_at = 0 AND receivable IN
		(SELECT e.receivable FROM recovery_event e WHERE e.at_micros >= $3 AND e.what IN ('surcharge 1', 'surcharge 2', 'licence hold'))`,
		scope, microsOf(at), microsOf(since))
	if err != nil {
		return fmt.Errorf("waking cases that ended: %w", err)
	}
	return nil
}

// WithdrawPause takes a pause back. See recovery.Tx.
func (t *Tx) WithdrawPause(ctx context.Context, id, scope string, d recovery.Deed) (bool, error) {
	n, err := t.db.Exec(ctx, `UPDATE recovery_pause SET withdrawn_at = $3, withdrawn_by = $4, withdrawn_why = $5 WHERE id = $1 AND scope = $2 AND withdrawn_at = 0`,
		id, scope, microsOf(d.Now), d.By, d.Reason)
	if err == nil && n == 0 {
		known := int64(0)
		if _, err = database.One(ctx, t.db, `SELECT count(*) FROM recovery_pause WHERE id = $1 AND scope = $2`, []any{id, scope}, &known); err == nil && known == 0 {
			err = billing.ErrNotFound
		}
	}
	if err != nil {
		return false, fmt.Errorf("taking pause %s back: %w", id, err)
	}
	return n > 0, nil
}

// RecordRecovery adds to the audit trail. See recovery.Tx.
func (t *Tx) RecordRecovery(ctx context.Context, action, receivable, account string, d recovery.Deed) error {
	subject := audit.Subject{Kind: "receivable", ID: receivable}
	if receivable == "" {
		subject, account = audit.Subject{Kind: "deadlines", ID: "all"}, audit.Everybody
	}
	return audit.Append(ctx, t.db, audit.Event{
		At: d.Now, Actor: audit.Actor{Name: d.By, Role: d.Role}, Action: action, Subject: subject, Account: account, Reason: d.Reason,
	})
}

// BeingPaid looks for a payment's claim. See recovery.Tx.
func (t *Tx) BeingPaid(ctx context.Context, receivable string) (bool, error) {
	var n int64
	_, err := database.One(ctx, t.db, `SELECT count(*) FROM payment_claim WHERE debt = $1`, []any{receivable}, &n)
	if err != nil {
		return false, fmt.Errorf("looking for a payment of %s: %w", receivable, err)
	}
	return n > 0, nil
}
