package books

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"freeflow/billing/dispute"
	"freeflow/billing/recovery"
	"freeflow/internal/database"
)

// PutDisputeHold adds or changes a hold. See dispute.Tx.
func (t *Tx) PutDisputeHold(ctx context.Context, h dispute.Hold) error {
	_, err := t.db.Exec(ctx, `INSERT INTO dispute_hold (reference, receivable, held) VALUES ($1, $2, $3)
		ON CONFLICT (reference, receivable) DO UPDATE SET held = excluded.held`, h.Reference, h.Receivable, h.Held)
	if err != nil {
		return fmt.Errorf("storing a hold of dispute %s: %w", h.Reference, err)
	}
	return nil
}

// DropDisputeHold takes a hold away. See dispute.Tx.
func (t *Tx) DropDisputeHold(ctx context.Context, h dispute.Hold) error {
	if _, err := t.db.Exec(ctx, `DELETE FROM dispute_hold WHERE reference = $1 AND receivable = $2`, h.Reference, h.Receivable); err != nil {
		return fmt.Errorf("dropping a hold of dispute %s: %w", h.Reference, err)
	}
	return nil
}

func (t *Tx) disputeHolds(ctx context.Context, rest string, args ...any) ([]dispute.Hold, error) {
	var list []dispute.Hold
	err := database.Each(ctx, t.db, `SELECT reference, receivable, held FROM dispute_hold `+rest, args, func(r database.Rows) error {
		var h dispute.Hold
		err := r.Scan(&h.Reference, &h.Receivable, &h.Held)
		list = append(list, h)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading holds of disputes: %w", err)
	}
	return list, nil
}

// DisputeHolds returns the holds of a dispute. See dispute.Tx.
func (t *Tx) DisputeHolds(ctx context.Context, reference string) ([]dispute.Hold, error) {
	return t.disputeHolds(ctx, `WHERE reference = $1 ORDER BY receivable`, reference)
}

// UnheldDisputes returns holds that the books lack. See dispute.Tx.
func (t *Tx) UnheldDisputes(ctx context.Context, now time.Time, limit int) ([]dispute.Hold, error) {
	return t.disputeHolds(ctx, `WHERE NOT held AND EXISTS (SELECT 1 FROM receivable r WHERE r.id = dispute_hold.receivable AND r.hold = '')`+
		notPutOff(dispute.JobHold, `dispute_hold.reference || ' ' || dispute_hold.receivable`, 2)+` ORDER BY reference, receivable LIMIT $1`, int64(limit), microsOf(now))
}

// AddEvidence adds evidence. See dispute.Tx.
func (t *Tx) AddEvidence(ctx context.Context, e dispute.Evidence) error {
	_, err := t.db.Exec(ctx, `INSERT INTO dispute_evidence (reference, number, at_micros, pass_revision, digest, body) VALUES ($1, $2, $3, $4, $5, $6)`,
		e.Reference, e.Number, microsOf(e.At), e.PassRevision, e.Digest, notNil(e.Body))
	if err != nil {
		return fmt.Errorf("storing evidence of dispute %s: %w", e.Reference, err)
	}
	return nil
}

// EvidenceOf returns all evidence of a dispute. See dispute.Tx.
func (t *Tx) EvidenceOf(ctx context.Context, reference string) ([]dispute.Evidence, error) {
	var list []dispute.Evidence
	err := database.Each(ctx, t.db, `SELECT reference, number, at_micros, pass_revision, digest, body FROM dispute_evidence WHERE reference = $1 ORDER BY number`,
		[]any{reference}, func(r database.Rows) error {
			var (
				e  dispute.Evidence
				at int64
			)
			err := r.Scan(&e.Reference, &e.Number, &at, &e.PassRevision, &e.Digest, &e.Body)
			e.At = instantOf(at)
			list = append(list, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading the evidence of dispute %s: %w", reference, err)
	}
	return list, nil
}

// subjectOf joins a dispute to its pass or charge, of which one is there.
const subjectOf = `LEFT JOIN pass p ON d.receivable LIKE 'pass:%' AND p.id = substr(d.receivable, 6)
	LEFT JOIN charge c ON d.receivable LIKE 'charge:%' AND c.id = substr(d.receivable, 8)`

// LackEvidence returns disputes without up-to-date evidence. See dispute.Tx.
func (t *Tx) LackEvidence(ctx context.Context, now time.Time, limit int) ([]dispute.Dispute, error) {
	open, err := t.disputes(ctx, subjectOf+` WHERE d.closed_at = 0
		AND coalesce((SELECT max(e.pass_revision) FROM dispute_evidence e WHERE e.reference = d.reference), 0) < coalesce(p.revision, c.revision, 1)`+
		notPutOff(dispute.JobGather, `d.reference`, 2)+` ORDER BY d.opened_at, d.reference LIMIT $1`, int64(limit), microsOf(now))
	if err != nil || len(open) == limit {
		return open, err
	}
	// What is decided at once has its evidence afterwards; of our own only.
	decided, err := t.disputes(ctx, `WHERE d.origin = 'system' AND d.closed_at <> 0
		AND NOT EXISTS (SELECT 1 FROM dispute_evidence e WHERE e.reference = d.reference)`+
		notPutOff(dispute.JobGather, `d.reference`, 2)+` ORDER BY d.closed_at, d.reference LIMIT $1`, int64(limit-len(open)), microsOf(now))
	return append(open, decided...), err
}

// RefundsWanted returns refunds to be ordered. See dispute.Tx.
func (t *Tx) RefundsWanted(ctx context.Context, now time.Time, limit int) ([]dispute.Dispute, error) {
	return t.disputes(ctx, `WHERE d.refund = 'wanted' AND d.closed_at <> 0`+notPutOff(dispute.JobRefund, `d.reference`, 2)+
		` ORDER BY d.closed_at, d.reference LIMIT $1`, int64(limit), microsOf(now))
}

// LackDueDay returns open disputes without a deadline. See dispute.Tx.
func (t *Tx) LackDueDay(ctx context.Context, now time.Time, limit int) ([]dispute.Dispute, error) {
	return t.disputes(ctx, `WHERE d.due_day = 0 AND d.closed_at = 0`+notPutOff(dispute.JobDue, `d.reference`, 2)+` ORDER BY d.reference LIMIT $1`, int64(limit), microsOf(now))
}

// NotAlarmed returns overdue disputes of which nobody was told. See dispute.Tx.
func (t *Tx) NotAlarmed(ctx context.Context, day recovery.Day, now time.Time, limit int) ([]dispute.Dispute, error) {
	return t.disputes(ctx, `WHERE d.due_day > 0 AND d.due_day < $1 AND d.closed_at = 0 AND NOT d.overdue`+notPutOff(dispute.JobAlarm, `d.reference`, 3)+
		` ORDER BY d.due_day, d.reference LIMIT $2`, int64(day), int64(limit), microsOf(now))
}

// FlaggedGone returns our own cases of what owes nothing. See dispute.Tx.
func (t *Tx) FlaggedGone(ctx context.Context, now time.Time, limit int) ([]dispute.Dispute, error) {
	return t.disputes(ctx, subjectOf+` WHERE d.origin = 'system' AND d.closed_at = 0
		AND (p.merged_into <> '' OR p.status IN ('exempt', 'review') OR p.amount_cents = 0)`+
		notPutOff(dispute.JobGone, `d.reference`, 2)+` ORDER BY d.reference LIMIT $1`, int64(limit), microsOf(now))
}

// GivenBackSince sums what the system decided by itself. See dispute.Tx.
func (t *Tx) GivenBackSince(ctx context.Context, since time.Time, currency string) (int64, error) {
	var cents int64
	_, err := database.One(ctx, t.db, `SELECT CAST(coalesce(sum(less_cents), 0) AS bigint) FROM dispute WHERE origin = 'system' AND closed_at <> 0 AND closed_at >= $1
		AND currency = $2 AND decided_by = 'job:flags'`, []any{microsOf(since), currency}, &cents)
	if err != nil {
		return 0, fmt.Errorf("summing what was given back by itself: %w", err)
	}
	return cents, nil
}

// maxPosted bounds the passes of one call of PostedAfter, beyond the first
// posting.
const maxPosted = 2000

// PostedAfter returns postings. See dispute.Tx.
func (t *Tx) PostedAfter(ctx context.Context, after int64, before time.Time, limit int) ([]dispute.Posted, error) {
	var list []dispute.Posted
	passes := 0
	err := database.Each(ctx, t.db, `SELECT id, posted_at, payload FROM outbox WHERE id > $1 ORDER BY id LIMIT $2`, []any{after, int64(limit)}, func(r database.Rows) error {
		var (
			one     dispute.Posted
			at      int64
			payload []byte
			e       event
		)
		if passes < 0 {
			return nil
		}
		if err := r.Scan(&one.ID, &at, &payload); err != nil {
			return err
		}
		if one.PostedAt = instantOf(at); one.PostedAt.After(before) || passes > maxPosted {
			passes = -1 // it and all after it come another time
			return nil
		}
		if err := json.Unmarshal(payload, &e); err != nil {
			one.Damaged, e = fmt.Errorf("reading posting %d: %w", one.ID, err), event{}
		}
		for _, p := range e.Passes {
			if p.OwedChanged && p.MergedInto == "" && p.AmountCents > 0 {
				one.Passes = append(one.Passes, dispute.Seen{
					ID: p.ID, Facility: p.Facility, Point: p.TollPoint, Vehicle: p.Vehicle, Account: p.Account, Status: p.Status,
					FirstMicros: p.PassTime, AmountCents: p.AmountCents, Currency: p.Currency,
				})
			}
		}
		passes += len(one.Passes)
		list = append(list, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading postings after %d: %w", after, err)
	}
	return list, nil
}

func (t *Tx) seen(ctx context.Context, rest string, args ...any) ([]dispute.Seen, error) {
	var list []dispute.Seen
	err := database.Each(ctx, t.db, `SELECT `+passColumns+` FROM `+rest, args, func(r database.Rows) error {
		p, err := scanPass(r)
		list = append(list, dispute.Seen{
			ID: p.ID, Facility: p.Facility, Point: p.TollPoint, Vehicle: p.Vehicle, Account: p.Account, Status: p.Status, FirstMicros: p.FirstMicros,
			LastMicros: p.LastMicros, AmountCents: p.AmountCents, Currency: p.Currency, Marks: p.Marks, Decided: p.Decision != nil,
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for passes near another: %w", err)
	}
	return list, nil
}

// PassesNear returns passes of a vehicle. See dispute.Tx.
func (t *Tx) PassesNear(ctx context.Context, vehicle string, from, to int64, limit int) ([]dispute.Seen, error) {
	return t.seen(ctx, `facility f JOIN pass p ON p.vehicle = $1 AND p.registered IN (true, false) AND p.facility = f.facility AND p.first_micros BETWEEN $2 AND $3
		AND p.merged_into = '' ORDER BY p.first_micros, p.toll_point, p.id LIMIT $4`, vehicle, from, to, int64(limit))
}

// CarriersNear returns passes that carried a mark. See dispute.Tx.
func (t *Tx) CarriersNear(ctx context.Context, mark, facility string, from, to int64, limit int) ([]dispute.Seen, error) {
	return t.seen(ctx, `pass_mark m JOIN pass p ON p.id = m.pass_id AND p.merged_into = '' WHERE m.mark = $1 AND m.facility = $2 AND m.first_micros BETWEEN $3 AND $4
		ORDER BY p.first_micros, p.id LIMIT $5`, mark, facility, from, to, int64(limit))
}

// PassesAt returns passes at a toll point. See dispute.Tx.
func (t *Tx) PassesAt(ctx context.Context, point string, from, to int64, limit int) ([]dispute.Seen, error) {
	return t.seen(ctx, `pass p WHERE p.first_micros BETWEEN $2 AND $3 AND p.merged_into = '' AND p.facility <> '' AND p.toll_point = $1
		ORDER BY p.first_micros, p.id LIMIT $4`, point, from, to, int64(limit))
}

// flagsFrom is the name under which meta keeps how far the flags are.
const flagsFrom = "flags_from"

// FlagsFrom returns how far the flags are. See dispute.Tx.
func (t *Tx) FlagsFrom(ctx context.Context) (int64, error) {
	text := ""
	found, err := database.One(ctx, t.db, `SELECT value FROM meta WHERE name = $1`, []any{flagsFrom}, &text)
	n := int64(0)
	if err == nil && found {
		n, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil {
		return 0, fmt.Errorf("reading how far the flags are: %w", err)
	}
	return n, nil
}

// PutFlagsFrom moves how far the flags are. See dispute.Tx.
func (t *Tx) PutFlagsFrom(ctx context.Context, was, now int64) (bool, error) {
	n, err := t.db.Exec(ctx, `INSERT INTO meta AS m (name, value) VALUES ($1, $3) ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE m.value = $2`,
		flagsFrom, strconv.FormatInt(was, 10), strconv.FormatInt(now, 10))
	if err != nil {
		return false, fmt.Errorf("keeping how far the flags are: %w", err)
	}
	return n == 1, nil
}

// PutFlag adds a flag. See dispute.Tx.
func (t *Tx) PutFlag(ctx context.Context, f dispute.Flag) (bool, error) {
	passes, err := json.Marshal(f.Passes)
	if err != nil {
		return false, fmt.Errorf("storing flag %s: %w", f.Key, err)
	}
	suspects, err := json.Marshal(f.Suspects)
	if err != nil {
		return false, fmt.Errorf("storing flag %s: %w", f.Key, err)
	}
	n, err := t.db.Exec(ctx, `INSERT INTO dispute_flag (flag_key, rule, vehicle, passes, suspects, metres, least_micros, took_micros, passes_count, reference, at_micros)
		VALUES (`+database.Placeholders(1, 11)+`) ON CONFLICT DO NOTHING`,
		f.Key, f.Rule, f.Vehicle, string(passes), string(suspects), f.Metres, f.Least.Microseconds(), f.Took.Microseconds(), f.Count, f.Reference, microsOf(f.At))
	if err != nil {
		return false, fmt.Errorf("storing flag %s: %w", f.Key, err)
	}
	return n == 0, nil
}

// PutFlagCase says which case a flag opened. See dispute.Tx.
func (t *Tx) PutFlagCase(ctx context.Context, key, reference string) error {
	if _, err := t.db.Exec(ctx, `UPDATE dispute_flag SET reference = $2 WHERE flag_key = $1 AND reference = ''`, key, reference); err != nil {
		return fmt.Errorf("storing the case of flag %s: %w", key, err)
	}
	return nil
}

// Flags lists flags. See dispute.Tx.
func (t *Tx) Flags(ctx context.Context, rule string, before time.Time, beforeKey string, limit int) ([]dispute.Flag, error) {
	where, args := `($1 = '' OR rule = $1)`, []any{rule, int64(limit)}
	if !before.IsZero() {
		where += ` AND (at_micros < $3 OR (at_micros = $3 AND flag_key < $4))`
		args = append(args, microsOf(before), beforeKey)
	}
	var list []dispute.Flag
	err := database.Each(ctx, t.db, `SELECT flag_key, rule, vehicle, passes, suspects, metres, least_micros, took_micros, passes_count, reference, at_micros
		FROM dispute_flag WHERE `+where+` ORDER BY at_micros DESC, flag_key DESC LIMIT $2`, args, func(r database.Rows) error {
		var (
			f                dispute.Flag
			least, took, at  int64
			passes, suspects string
		)
		err := r.Scan(&f.Key, &f.Rule, &f.Vehicle, &passes, &suspects, &f.Metres, &least, &took, &f.Count, &f.Reference, &at)
		f.Least, f.Took, f.At = time.Duration(least)*time.Microsecond, time.Duration(took)*time.Microsecond, instantOf(at)
		if err == nil {
			err = json.Unmarshal([]byte(passes), &f.Passes)
		}
		if err == nil {
			err = json.Unmarshal([]byte(suspects), &f.Suspects)
		}
		list = append(list, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing flags: %w", err)
	}
	return list, nil
}
