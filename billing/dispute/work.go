package dispute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

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
// did; call it again until that is nothing. What fails is put off and stops
// nothing else; the errors come joined. It can be run by several at once.
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

// forgetAfter is how long after it was due again an item counts as mended that
// did not fail once more.
const forgetAfter = 24 * time.Hour

// each does one thing for every item by itself; what fails is put off. It
// returns for how many something was done.
func each[T any](ctx context.Context, s *Service, job string, items []T, name func(T) string, do func(T) (bool, error)) (n int, failed error) {
	for _, item := range items {
		did, err := do(item)
		switch {
		case err == nil && did:
			n++
		case err != nil && ctx.Err() != nil:
			return n, errors.Join(failed, err)
		case err != nil:
			failed = errors.Join(failed, s.putOff(ctx, job, name(item), err))
		}
	}
	if len(items) == 0 {
		return 0, nil
	}
	err := s.Keeping.Do(ctx, func(tx Tx) error { return tx.DropPutOffBefore(ctx, job, s.Clock.Now().Add(-forgetAfter)) })
	return n, errors.Join(failed, err)
}

// putOff logs and counts an item that failed, leaves it for a while, and returns
// its error.
func (s *Service) putOff(ctx context.Context, job, item string, failed error) error {
	var failures int64
	err := s.Keeping.Do(ctx, func(tx Tx) (err error) {
		failures, err = tx.PutOff(ctx, job, item, failed.Error(), s.Clock.Now())
		return err
	})
	s.Log.ErrorContext(ctx, "an item of a job failed and is put off", "job", job, "item", item, "failures", failures,
		"pause", billing.PutOffPause(failures).String(), "err", failed)
	if s.Failed != nil {
		s.Failed(job)
	}
	return errors.Join(fmt.Errorf("%s: %w", item, failed), err)
}

func referenceOf(d Dispute) string { return d.Reference }

func (s *Service) gatherAll(ctx context.Context) (int, error) {
	if s.Gatherer == nil {
		return 0, nil
	}
	lack, err := list(ctx, s, func(tx Tx) ([]Dispute, error) { return tx.LackEvidence(ctx, s.Clock.Now(), chunk) })
	if err != nil {
		return 0, err
	}
	return each(ctx, s, JobGather, lack, referenceOf, func(d Dispute) (bool, error) { return true, s.gather(ctx, d) })
}

func (s *Service) holdAll(ctx context.Context) (int, error) {
	lack, err := list(ctx, s, func(tx Tx) ([]Hold, error) { return tx.UnheldDisputes(ctx, s.Clock.Now(), chunk) })
	if err != nil {
		return 0, err
	}
	return each(ctx, s, JobHold, lack, func(h Hold) string { return h.Reference + " " + h.Receivable }, func(h Hold) (did bool, err error) {
		err = s.Keeping.Do(ctx, func(tx Tx) error {
			did = false
			d, err := tx.LockDispute(ctx, h.Reference)
			if err != nil || !Open(d.State) {
				return err
			}
			if err := s.hold(ctx, tx, h); err != nil {
				return err
			}
			r, err := tx.Receivable(ctx, h.Receivable)
			if errors.Is(err, billing.ErrNotFound) {
				return nil // its posting is not followed yet
			}
			did = err == nil && r.Hold == holdName(h.Reference)
			return err
		})
		return did, err
	})
}

func (s *Service) dueAll(ctx context.Context) (int, error) {
	lack, err := list(ctx, s, func(tx Tx) ([]Dispute, error) { return tx.LackDueDay(ctx, s.Clock.Now(), chunk) })
	if err != nil {
		return 0, err
	}
	return each(ctx, s, JobDue, lack, referenceOf, func(d Dispute) (bool, error) {
		due, err := s.Ladder.Calendar.BusinessDays(recovery.DayOf(d.OpenedAt, s.Ladder.Zone), s.Rules.AnswerDays, nil)
		if err != nil {
			return false, err
		}
		return true, s.Keeping.Do(ctx, func(tx Tx) error {
			d, err := tx.LockDispute(ctx, d.Reference)
			if err != nil || d.DueDay != 0 || !Open(d.State) {
				return err
			}
			d.DueDay = due
			d.Revision++
			return tx.PutDispute(ctx, d, d.event("to be answered by "+due.String(), s.byJob()))
		})
	})
}

// endGone ends cases that a flag opened of passes that owe nothing any more.
func (s *Service) endGone(ctx context.Context) (int, error) {
	gone, err := list(ctx, s, func(tx Tx) ([]Dispute, error) { return tx.FlaggedGone(ctx, s.Clock.Now(), chunk) })
	if err != nil {
		return 0, err
	}
	return each(ctx, s, JobGone, gone, referenceOf, func(d Dispute) (bool, error) {
		return true, s.Keeping.Do(ctx, func(tx Tx) error {
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
	})
}

// alarmAll tells, once, of disputes that were not answered in time.
func (s *Service) alarmAll(ctx context.Context) (int, error) {
	now := s.Clock.Now()
	late, err := list(ctx, s, func(tx Tx) ([]Dispute, error) {
		return tx.NotAlarmed(ctx, recovery.DayOf(now, s.Ladder.Zone), now, chunk)
	})
	if err != nil {
		return 0, err
	}
	return each(ctx, s, JobAlarm, late, referenceOf, func(d Dispute) (bool, error) {
		alarmed := false
		err := s.Keeping.Do(ctx, func(tx Tx) error {
			alarmed = false
			d, err := tx.LockDispute(ctx, d.Reference)
			if err != nil || d.Overdue || !Open(d.State) {
				return err
			}
			d.Overdue, alarmed = true, true
			d.Revision++
			return tx.PutDispute(ctx, d, d.event("not answered in time", s.byJob()))
		})
		if err == nil && alarmed {
			s.Log.ErrorContext(ctx, "a dispute was not answered in time", "dispute", d.Reference, "due", d.DueDay.String(), "assignee", d.Assignee)
		}
		return alarmed, err
	})
}

// refundAll orders refunds of what has come back to wallets.
func (s *Service) refundAll(ctx context.Context) (int, error) {
	if s.Refunder == nil {
		return 0, nil
	}
	wanted, err := list(ctx, s, func(tx Tx) ([]Dispute, error) { return tx.RefundsWanted(ctx, s.Clock.Now(), chunk) })
	if err != nil {
		return 0, err
	}
	return each(ctx, s, JobRefund, wanted, referenceOf, func(d Dispute) (done bool, err error) {
		err = s.Keeping.Do(ctx, func(tx Tx) (err error) {
			done, err = s.refund(ctx, tx, d.Reference)
			return err
		})
		return done, err
	})
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
