package books

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"freeflow/billing"
	"freeflow/billing/dispute"
	"freeflow/billing/recovery"
	"freeflow/internal/audit"
	"freeflow/internal/database"
)

var _ dispute.Tx = (*Tx)(nil)

// PassStands returns a pass as it stands. See dispute.Tx.
func (t *Tx) PassStands(ctx context.Context, id string) (billing.Pass, error) {
	r, err := passByID(ctx, t.db, id)
	return r.Pass, err
}

// DecidePass posts a person's decision on a standing pass. See dispute.Tx.
func (t *Tx) DecidePass(ctx context.Context, id string, revision int64, d billing.Decision) (billing.Pass, error) {
	p, err := t.decidePass(ctx, id, revision, d)
	if errors.Is(err, billing.ErrStale) {
		err = fmt.Errorf("%w: it changed meanwhile", billing.ErrConflict)
	}
	if err != nil {
		return billing.Pass{}, fmt.Errorf("deciding on pass %s: %w", id, err)
	}
	return p, nil
}

func (t *Tx) decidePass(ctx context.Context, id string, revision int64, d billing.Decision) (billing.Pass, error) {
	r, err := passByID(ctx, t.db, id)
	if err != nil {
		return billing.Pass{}, err
	}
	// In the order of all who post: the facility's row, then the pass's. Nobody
	// changes the pass between here and the end.
	for _, lock := range [][2]string{{`UPDATE facility SET epoch = epoch WHERE facility = $1`, r.Facility}, {`UPDATE pass SET revision = revision WHERE id = $1`, id}} {
		if _, err := t.db.Exec(ctx, lock[0], lock[1]); err != nil {
			return billing.Pass{}, err
		}
	}
	if r, err = passByID(ctx, t.db, id); err != nil {
		return billing.Pass{}, err
	}
	switch {
	case r.Revision != revision:
		return billing.Pass{}, fmt.Errorf("%w: it stands at revision %d, not %d", billing.ErrConflict, r.Revision, revision)
	case r.MergedInto != "":
		return billing.Pass{}, fmt.Errorf("%w: it has become part of pass %s", billing.ErrConflict, r.MergedInto)
	}
	d.At = d.At.UTC().Truncate(microsecond)
	if err := checkDecision(&r.Pass, &d); err != nil {
		return billing.Pass{}, err
	}
	if r.Status != billing.StatusReview {
		// A decision always follows a review, as in Decide: the pass is reopened
		// first, in the same transaction.
		again := r.Pass
		again.Revision++
		again.Status, again.AmountCents, again.Rule, again.Reasons = billing.StatusReview, 0, "", reasonReopened
		gap := int64(0)
		if _, err := database.One(ctx, t.db, `SELECT gap_micros FROM facility WHERE facility = $1`, []any{r.Facility}, &gap); err != nil {
			return billing.Pass{}, err
		}
		if err := (&litePosting{t.db, &change{passes: []billing.Pass{again}, gap: gap, postedAt: d.At}}).run(ctx); err != nil {
			return billing.Pass{}, err
		}
		r.Pass = again
	}
	p := r.Pass
	p.Revision++
	p.Status, p.Class, p.Account, p.AmountCents, p.Rule, p.Reasons = d.Status, d.Class, d.Account, d.AmountCents, d.Rule, ""
	p.Decision = &d
	return p, (&litePosting{t.db, &change{decision: &d, passes: []billing.Pass{p}, postedAt: d.At}}).run(ctx)
}

// reasonReopened is why a decided or disputed pass is under review again; the
// matcher's word for it, which its digest of a pass leaves out.
const reasonReopened = "reopened"

// KnowsAccount reports whether there is such an account. See dispute.Tx.
func (t *Tx) KnowsAccount(ctx context.Context, id string) (bool, error) {
	n := int64(0)
	found, err := database.One(ctx, t.db, `SELECT 1 FROM account WHERE id = $1 UNION ALL SELECT 1 FROM assignment WHERE account = $1 AND until_version = 0 LIMIT 1`, []any{id}, &n)
	if err != nil {
		return false, fmt.Errorf("looking for account %s: %w", id, err)
	}
	return found, nil
}

// NoticeNames returns what a notice names and is still its debtor's. See
// dispute.Tx.
func (t *Tx) NoticeNames(ctx context.Context, plate, number string) ([]string, error) {
	return t.texts(ctx, `SELECT i.receivable FROM payment_reference n JOIN payment_reference_item i ON i.number = n.number
		LEFT JOIN receivable r ON r.id = i.receivable WHERE n.number = $1 AND n.vehicle = $2 AND (r.id IS NULL OR `+stillNamed+`) ORDER BY i.receivable`, number, plate)
}

const disputeColumns = `d.reference, d.receivable, d.origin, d.account, d.vehicle, d.amount_cents, d.currency, d.reason, d.words, d.state, d.assignee, d.barred,
	d.previous, d.due_day, d.opened_at, d.closed_at, d.ruling, d.refund, d.paid, d.flag, d.pass_revision, d.overdue, d.revision`

func scanDispute(r database.Rows) (d dispute.Dispute, err error) {
	var (
		due, opened, closed  int64
		barred, ruling, paid string
	)
	err = r.Scan(&d.Reference, &d.Receivable, &d.Origin, &d.Account, &d.Vehicle, &d.AmountCents, &d.Currency, &d.Reason, &d.Text, &d.State, &d.Assignee, &barred,
		&d.Previous, &due, &opened, &closed, &ruling, &d.Refund, &paid, &d.Flag, &d.PassRevision, &d.Overdue, &d.Revision)
	d.DueDay, d.OpenedAt, d.ClosedAt = recovery.Day(due), instantOf(opened), instantOf(closed)
	if err == nil && barred != "" {
		err = json.Unmarshal([]byte(barred), &d.Barred)
	}
	if err == nil && paid != "" {
		err = json.Unmarshal([]byte(paid), &d.Paid)
	}
	if err == nil && ruling != "" {
		d.Ruling = new(dispute.Ruling)
		err = json.Unmarshal([]byte(ruling), d.Ruling)
	}
	return d, err
}

func (t *Tx) disputes(ctx context.Context, rest string, args ...any) ([]dispute.Dispute, error) {
	var list []dispute.Dispute
	err := database.Each(ctx, t.db, `SELECT `+disputeColumns+` FROM dispute d `+rest, args, func(r database.Rows) error {
		d, err := scanDispute(r)
		list = append(list, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading disputes: %w", err)
	}
	return list, nil
}

// PutDispute adds or changes a dispute. See dispute.Tx.
func (t *Tx) PutDispute(ctx context.Context, d dispute.Dispute, e dispute.Event) error {
	err := t.putDispute(ctx, d)
	if err == nil {
		_, err = t.db.Exec(ctx, `INSERT INTO dispute_event (reference, revision, at_micros, state, what, done_by, role, reason) VALUES (`+database.Placeholders(1, 8)+`)`,
			e.Reference, e.Revision, microsOf(e.At), e.State, e.What, e.By, e.Role, e.Reason)
	}
	if err != nil {
		return fmt.Errorf("storing dispute %s: %w", d.Reference, err)
	}
	return nil
}

func (t *Tx) putDispute(ctx context.Context, d dispute.Dispute) error {
	texts := make([]string, 3)
	for i, v := range []any{d.Barred, d.Paid, d.Ruling} {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if texts[i] = string(b); texts[i] == "null" {
			texts[i] = ""
		}
	}
	less, act, by := int64(0), "", ""
	if d.Ruling != nil {
		less, act, by = d.Ruling.LessCents, d.Ruling.Act, d.Ruling.By
	}
	changing := []any{d.Reference, d.Revision, d.Origin, d.Reason, d.Text, d.State, d.Assignee, int64(d.DueDay), microsOf(d.ClosedAt), texts[2], d.Refund, texts[1],
		d.PassRevision, d.Overdue, less, act, by}
	if d.Revision > 1 {
		n, err := t.db.Exec(ctx, `UPDATE dispute SET revision = $2, origin = $3, reason = $4, words = $5, state = $6, assignee = $7, due_day = $8, closed_at = $9,
			ruling = $10, refund = $11, paid = $12, pass_revision = $13, overdue = $14, less_cents = $15, act = $16, decided_by = $17
			WHERE reference = $1 AND revision = $2 - 1`, changing...)
		if err == nil && n != 1 {
			err = fmt.Errorf("%w: it stands at another revision than %d", database.ErrRetry, d.Revision-1)
		}
		return err
	}
	n, err := t.db.Exec(ctx, `INSERT INTO dispute (reference, revision, origin, reason, words, state, assignee, due_day, closed_at, ruling, refund, paid,
			pass_revision, overdue, less_cents, act, decided_by, receivable, account, vehicle, amount_cents, currency, barred, previous, opened_at, flag)
		VALUES (`+database.Placeholders(1, 26)+`) ON CONFLICT DO NOTHING`,
		append(changing, d.Receivable, d.Account, d.Vehicle, d.AmountCents, d.Currency, texts[0], d.Previous, microsOf(d.OpenedAt), d.Flag)...)
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: a dispute of it is open", billing.ErrConflict)
	}
	return err
}

// LockDispute locks a dispute. See dispute.Tx.
func (t *Tx) LockDispute(ctx context.Context, reference string) (dispute.Dispute, error) {
	if _, err := t.db.Exec(ctx, `UPDATE dispute SET revision = revision WHERE reference = $1`, reference); err != nil {
		return dispute.Dispute{}, fmt.Errorf("locking dispute %s: %w", reference, err)
	}
	return t.Dispute(ctx, reference)
}

// Dispute returns a dispute. See dispute.Tx.
func (t *Tx) Dispute(ctx context.Context, reference string) (dispute.Dispute, error) {
	list, err := t.disputes(ctx, `WHERE d.reference = $1`, reference)
	if err == nil && len(list) == 0 {
		err = billing.ErrNotFound
	}
	if err != nil {
		return dispute.Dispute{}, fmt.Errorf("dispute %s: %w", reference, err)
	}
	return list[0], nil
}

// Disputes lists the queue. See dispute.Tx.
func (t *Tx) Disputes(ctx context.Context, f dispute.Filter) ([]dispute.Dispute, error) {
	if f.Limit <= 0 {
		return nil, fmt.Errorf("listing disputes: %w", invalid("limit %d", f.Limit))
	}
	var where []string
	var args []any
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, condition)
	}
	for column, value := range map[string]string{"state": f.State, "assignee": f.Assignee, "reason": f.Reason, "origin": f.Origin, "account": f.Account, "receivable": f.Receivable} {
		if value != "" {
			add(`d.`+column+` = ?`, value)
		}
	}
	if f.Open || f.OverdueOn != 0 {
		add(`d.closed_at = 0`)
	}
	if f.OverdueOn != 0 {
		add(`d.due_day > 0 AND d.due_day < ?`, int64(f.OverdueOn))
	}
	if p := f.After; p.Reference != "" {
		add(`(d.due_day > ? OR (d.due_day = ? AND (d.amount_cents < ? OR (d.amount_cents = ? AND d.reference > ?))))`,
			int64(p.DueDay), int64(p.DueDay), p.AmountCents, p.AmountCents, p.Reference)
	}
	rest := ``
	if len(where) > 0 {
		rest = `WHERE ` + strings.Join(where, ` AND `)
	}
	args = append(args, int64(f.Limit))
	return t.disputes(ctx, rest+fmt.Sprintf(` ORDER BY d.due_day, d.amount_cents DESC, d.reference LIMIT $%d`, len(args)), args...)
}

// DisputesOf returns all disputes of a charge. See dispute.Tx.
func (t *Tx) DisputesOf(ctx context.Context, receivable string) ([]dispute.Dispute, error) {
	return t.disputes(ctx, `WHERE d.receivable = $1 ORDER BY CASE WHEN d.closed_at = 0 THEN 1 ELSE 0 END, d.closed_at, d.reference`, receivable)
}

// DisputeEvents returns all steps. See dispute.Tx.
func (t *Tx) DisputeEvents(ctx context.Context, reference string) ([]dispute.Event, error) {
	var list []dispute.Event
	err := database.Each(ctx, t.db, `SELECT reference, revision, at_micros, state, what, done_by, role, reason FROM dispute_event WHERE reference = $1 ORDER BY revision`,
		[]any{reference}, func(r database.Rows) error {
			var (
				e  dispute.Event
				at int64
			)
			err := r.Scan(&e.Reference, &e.Revision, &at, &e.State, &e.What, &e.By, &e.Role, &e.Reason)
			e.At = instantOf(at)
			list = append(list, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading the steps of dispute %s: %w", reference, err)
	}
	return list, nil
}

// CountDisputes counts open disputes. See dispute.Tx.
func (t *Tx) CountDisputes(ctx context.Context, day recovery.Day) (open, overdue int64, err error) {
	_, err = database.One(ctx, t.db, `SELECT count(*), CAST(coalesce(sum(CASE WHEN due_day > 0 AND due_day < $1 THEN 1 ELSE 0 END), 0) AS bigint) FROM dispute WHERE closed_at = 0`,
		[]any{int64(day)}, &open, &overdue)
	if err != nil {
		err = fmt.Errorf("counting disputes: %w", err)
	}
	return open, overdue, err
}

// RecordDispute adds to the audit trail. See dispute.Tx.
func (t *Tx) RecordDispute(ctx context.Context, action string, d dispute.Dispute, deed dispute.Deed, detail any) error {
	return audit.Append(ctx, t.db, audit.Event{
		At: deed.Now, Actor: audit.Actor{Name: deed.By, Role: deed.Role}, Action: action, Subject: audit.Subject{Kind: "dispute", ID: d.Reference},
		Account: d.Account, Reason: deed.Reason, Detail: detail,
	})
}
