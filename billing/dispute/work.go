package dispute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"freeflow/billing"
	"freeflow/billing/recovery"
)

// chunk bounds what one call of Work does of each kind.
const chunk = 200

// byJob is the job's own deed.
func (s *Service) byJob() Deed { return Deed{By: "job:disputes", Role: "system", Now: s.Clock.Now()} }

// Work does what is due by itself: it gathers evidence, holds what could not be
// held yet, finds deadlines, raises the alarm on overdue disputes once, ends
// cases of ours that have gone away, and orders refunds. It returns how much it
// did; call it again until that is nothing. It can be run by several at once.
func (s *Service) Work(ctx context.Context) (int, error) {
	done := 0
	var failed error
	for _, part := range []struct {
		what string
		do   func(context.Context) (int, error)
	}{
		{"gathering evidence", s.gatherAll}, {"holding disputed charges", s.holdAll}, {"finding deadlines", s.dueAll},
		{"ending cases that have gone away", s.endGone}, {"alarming", s.alarmAll}, {"ordering refunds", s.refundAll},
	} {
		n, err := part.do(ctx)
		done += n
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", part.what, err))
		}
	}
	return done, failed
}

// list reads on one snapshot.
func list[T any](ctx context.Context, s *Service, read func(Tx) ([]T, error)) (all []T, err error) {
	err = s.Keeping.View(ctx, func(tx Tx) error {
		all, err = read(tx)
		return err
	})
	return all, err
}

func (s *Service) gatherAll(ctx context.Context) (int, error) {
	if s.Gatherer == nil {
		return 0, nil
	}
	lack, err := list(ctx, s, func(tx Tx) ([]Dispute, error) { return tx.LackEvidence(ctx, chunk) })
	n := 0
	for _, d := range lack {
		if one := s.gather(ctx, d); one != nil {
			err = errors.Join(err, one)
			continue
		}
		n++
	}
	return n, err
}

func (s *Service) holdAll(ctx context.Context) (int, error) {
	lack, err := list(ctx, s, func(tx Tx) ([]Hold, error) { return tx.UnheldDisputes(ctx, chunk) })
	if err != nil {
		return 0, err
	}
	n := 0
	for _, h := range lack {
		err := s.Keeping.Do(ctx, func(tx Tx) error {
			d, err := tx.LockDispute(ctx, h.Reference)
			if err != nil || !Open(d.State) {
				return err
			}
			if err := s.hold(ctx, tx, h); err != nil {
				return err
			}
			r, err := tx.Receivable(ctx, h.Receivable)
			if err == nil && r.Hold == holdName(h.Reference) {
				n++
			}
			if errors.Is(err, billing.ErrNotFound) {
				return nil // its posting is not followed yet
			}
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (s *Service) dueAll(ctx context.Context) (int, error) {
	lack, err := list(ctx, s, func(tx Tx) ([]Dispute, error) { return tx.LackDueDay(ctx, chunk) })
	n := 0
	for _, d := range lack {
		due, one := s.Ladder.Calendar.BusinessDays(recovery.DayOf(d.OpenedAt, s.Ladder.Zone), s.Rules.AnswerDays, nil)
		if one == nil {
			one = s.Keeping.Do(ctx, func(tx Tx) error {
				d, err := tx.LockDispute(ctx, d.Reference)
				if err != nil || d.DueDay != 0 || !Open(d.State) {
					return err
				}
				d.DueDay = due
				d.Revision++
				return tx.PutDispute(ctx, d, d.event("to be answered by "+due.String(), s.byJob()))
			})
		}
		if one != nil {
			err = errors.Join(err, fmt.Errorf("dispute %s: %w", d.Reference, one))
			continue
		}
		n++
	}
	return n, err
}

// endGone ends cases that a flag opened of passes that owe nothing any more.
func (s *Service) endGone(ctx context.Context) (int, error) {
	gone, err := list(ctx, s, func(tx Tx) ([]Dispute, error) { return tx.FlaggedGone(ctx, chunk) })
	if err != nil {
		return 0, err
	}
	for _, d := range gone {
		err := s.Keeping.Do(ctx, func(tx Tx) error {
			deed := s.byJob()
			deed.Reason = "nothing is owed any more"
			_, err := s.step(ctx, tx, d.Reference, d.Revision, deed, func(d *Dispute) (string, error) {
				d.State = Withdrawn
				return "gone away", nil
			})
			if errors.Is(err, billing.ErrConflict) {
				return nil // a person was first
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return len(gone), nil
}

// alarmAll tells, once, of disputes that were not answered in time.
func (s *Service) alarmAll(ctx context.Context) (int, error) {
	today := recovery.DayOf(s.Clock.Now(), s.Ladder.Zone)
	late, err := list(ctx, s, func(tx Tx) ([]Dispute, error) { return tx.NotAlarmed(ctx, today, chunk) })
	if err != nil {
		return 0, err
	}
	for _, d := range late {
		err := s.Keeping.Do(ctx, func(tx Tx) error {
			d, err := tx.LockDispute(ctx, d.Reference)
			if err != nil || d.Overdue || !Open(d.State) {
				return err
			}
			d.Overdue = true
			d.Revision++
			return tx.PutDispute(ctx, d, d.event("not answered in time", s.byJob()))
		})
		if err != nil {
			return 0, err
		}
		s.Log.ErrorContext(ctx, "a dispute was not answered in time", "dispute", d.Reference, "due", d.DueDay.String(), "assignee", d.Assignee)
	}
	return len(late), nil
}

// refundAll orders refunds of what has come back to wallets.
func (s *Service) refundAll(ctx context.Context) (int, error) {
	if s.Refunder == nil {
		return 0, nil
	}
	wanted, err := list(ctx, s, func(tx Tx) ([]Dispute, error) { return tx.RefundsWanted(ctx, chunk) })
	n := 0
	for _, d := range wanted {
		done := false
		one := s.Keeping.Do(ctx, func(tx Tx) (err error) {
			done, err = s.refund(ctx, tx, d.Reference)
			return err
		})
		if one != nil {
			err = errors.Join(err, fmt.Errorf("dispute %s: %w", d.Reference, one))
		} else if done {
			n++
		}
	}
	return n, err
}

// refund orders one refund, once its posting was followed.
func (s *Service) refund(ctx context.Context, tx Tx, reference string) (bool, error) {
	d, err := tx.LockDispute(ctx, reference)
	if err != nil || d.Refund != RefundWanted || Open(d.State) {
		return false, err
	}
	back := map[string]int64{}
	if d.State == Upheld || d.State == Partly {
		for _, share := range d.Paid {
			back[share.Holder] += share.Cents
		}
		for _, id := range append([]string{d.Receivable}, surcharges(d.Receivable)...) {
			r, err := tx.Receivable(ctx, id)
			if errors.Is(err, billing.ErrNotFound) {
				continue
			}
			if err != nil || id == d.Receivable && r.Revision < d.PassRevision {
				return false, err // not followed yet
			}
		}
		now, err := s.shares(ctx, tx, d.Receivable)
		if err != nil {
			return false, err
		}
		for _, share := range now {
			back[share.Holder] -= share.Cents
		}
	}
	sent := int64(0)
	for _, holder := range sorted(back) {
		w, err := tx.Wallet(ctx, holder, d.Currency)
		if err != nil {
			return false, err
		}
		// What has paid for something else meanwhile is not there to be sent.
		if cents := min(back[holder], w.BalanceCents); cents > 0 {
			n, err := s.Refunder.GiveBack(ctx, tx, "dispute:"+d.Reference+":"+holder, holder, cents, d.Currency, "dispute "+d.Reference)
			if err != nil {
				return false, err
			}
			sent += n
		}
	}
	d.Refund = RefundNone
	what := "nothing to refund"
	if sent > 0 {
		d.Refund, what = RefundOrdered, "refund of "+billing.FormatCents(sent)+" ordered"
	}
	d.Revision++
	deed := s.byJob()
	if err := tx.PutDispute(ctx, d, d.event(what, deed)); err != nil {
		return false, err
	}
	return true, tx.RecordDispute(ctx, "dispute.refunded", d, deed, map[string]any{"amount_cents": sent})
}

func sorted(m map[string]int64) []string { return slices.Sorted(maps.Keys(m)) }
