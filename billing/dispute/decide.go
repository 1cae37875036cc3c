package dispute

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"freeflow/billing"
	"freeflow/billing/notice"
	"freeflow/billing/recovery"
)

// Decide rules on a dispute. Where more than the limit is no longer owed by it,
// it only proposes, and Approve puts it into force. billing.ErrConflict: the
// dispute or its charge has changed, or the person decided an earlier one.
func (s *Service) Decide(ctx context.Context, tx Tx, reference string, revision int64, r Ruling, deed Deed) (Dispute, error) {
	proposed := false
	d, err := s.step(ctx, tx, reference, revision, deed, func(d *Dispute) (string, error) {
		if err := r.check(); err != nil {
			return "", err
		}
		switch {
		case !Open(d.State):
			return "", conflict("it is %s", d.State)
		case d.State == Approval:
			return "", conflict("a ruling waits for approval")
		case slices.Contains(d.Barred, deed.By):
			return "", conflict("%s decided an earlier dispute of the charge; another person must", deed.By)
		}
		r.By, r.ApprovedBy = deed.By, ""
		after, sub, err := s.weigh(ctx, tx, d, &r)
		if err != nil {
			return "", err
		}
		d.Ruling = &r
		if r.LessCents > s.Rules.ApproveAboveCents {
			proposed = true
			d.State = Approval
			return "ruling " + r.Outcome + " proposed", nil
		}
		return "ruled " + r.Outcome, s.apply(ctx, tx, d, sub, after, deed)
	})
	if err == nil {
		err = s.settled(ctx, tx, d, proposed, deed)
	}
	if err != nil {
		return Dispute{}, fmt.Errorf("deciding dispute %s: %w", reference, err)
	}
	return d, nil
}

// Approve puts a proposed ruling into force, or gives it back; by another person
// than the one who proposed it.
func (s *Service) Approve(ctx context.Context, tx Tx, reference string, revision int64, yes bool, deed Deed) (Dispute, error) {
	d, err := s.step(ctx, tx, reference, revision, deed, func(d *Dispute) (string, error) {
		switch {
		case d.State != Approval || d.Ruling == nil:
			return "", conflict("it is %s; no ruling waits", d.State)
		case d.Ruling.By == deed.By:
			return "", conflict("%s proposed it; another person must approve", deed.By)
		case slices.Contains(d.Barred, deed.By):
			return "", conflict("%s decided an earlier dispute of the charge; another person must", deed.By)
		}
		if !yes {
			d.State, d.Ruling = UnderReview, nil
			return "ruling refused", nil
		}
		r := *d.Ruling
		r.ApprovedBy = deed.By
		after, sub, err := s.weigh(ctx, tx, d, &r)
		if err != nil {
			return "", err
		}
		if r.LessCents != d.Ruling.LessCents {
			return "", conflict("by the tariff it is another amount now than was proposed; refuse it, and decide anew")
		}
		d.Ruling = &r
		return "ruling approved: " + r.Outcome, s.apply(ctx, tx, d, sub, after, deed)
	})
	if err == nil && !yes {
		err = tx.RecordDispute(ctx, "dispute.refused", d, deed, map[string]any{"revision": d.Revision})
	} else if err == nil {
		err = s.settled(ctx, tx, d, false, deed)
	}
	if err != nil {
		return Dispute{}, fmt.Errorf("approving dispute %s: %w", reference, err)
	}
	return d, nil
}

// outcome is what a charge is to become.
type outcome struct {
	status, class, account, rule string
	cents                        int64
	// another says that somebody else owes it.
	another bool
}

// weigh works out what a ruling makes of the charge, and how much less the
// disputant then owes.
func (s *Service) weigh(ctx context.Context, tx Tx, d *Dispute, r *Ruling) (outcome, subject, error) {
	sub, err := s.subject(ctx, tx, d.Receivable)
	if err != nil {
		return outcome{}, sub, err
	}
	if r.PassRevision != 0 && r.PassRevision != sub.revision {
		return outcome{}, sub, conflict("the charge has changed since revision %d was looked at; look at it again", r.PassRevision)
	}
	r.PassRevision = sub.revision
	if r.Account != "" {
		known, err := tx.KnowsAccount(ctx, r.Account)
		if err == nil && !known {
			err = invalid("there is no account %s", r.Account)
		}
		if err != nil {
			return outcome{}, sub, err
		}
	}
	var after outcome
	switch {
	case r.Act == None:
		after.cents = sub.cents
	case sub.cents == 0:
		return after, sub, conflict("nothing is owed for it any more; rule with the act %s", None)
	case sub.pass != nil:
		after, err = s.ofPass(sub.pass, d, r)
	default:
		after, err = s.ofCharge(sub.charge, r)
	}
	if err != nil {
		return after, sub, err
	}
	r.LessCents = sub.cents - after.cents
	switch {
	case after.another:
		r.LessCents = sub.cents
	case r.Act != None && r.LessCents < 0:
		return after, sub, invalid("by that ruling %s would be owed, more than the %s that is; a dispute does not make a charge dearer",
			billing.FormatCents(after.cents), billing.FormatCents(sub.cents))
	case r.Act != None && r.LessCents == 0 && after.class == sub.class():
		return after, sub, invalid("that ruling changes nothing; reject the dispute, or say what is wrong")
	case r.Act == None && r.Outcome == Rejected:
		r.LessCents = 0
	}
	if r.Outcome == Upheld && r.Act == Reduce {
		return after, sub, invalid("a part of the amount is %s, not %s", Partly, Upheld)
	}
	return after, sub, nil
}

func (s *subject) class() string {
	if s.pass != nil {
		return s.pass.Class
	}
	return ""
}

func (s *Service) ofPass(p *billing.Pass, d *Dispute, r *Ruling) (outcome, error) {
	after := outcome{status: p.Status, class: p.Class, account: p.Account, cents: p.AmountCents}
	if r.Class != "" {
		after.class = r.Class
	}
	by := " (dispute " + d.Reference + ")"
	switch r.Act {
	case Exempt:
		after.status, after.cents, after.rule = billing.StatusExempt, 0, "exempt by decision"+by
		return after, nil
	case Reduce:
		after.cents, after.rule = r.AmountCents, "amount given by decision"+by
		return after, nil
	case Reassign:
		if r.Account == p.Account {
			return after, invalid("that account owes it already")
		}
		after.another = true
		after.account, after.status = r.Account, billing.StatusCharged
		if r.Account == "" {
			after.status = billing.StatusUnpaid
		}
		if r.Class == "" {
			after.rule = p.Rule + by
			return after, nil
		}
	}
	if after.class == "" {
		return after, invalid("say the class")
	}
	cents, rule, err := s.Tolls.Rate(p.TollPoint, after.class, time.UnixMicro(p.FirstMicros))
	after.cents, after.rule = cents, rule+by
	return after, err
}

func (s *Service) ofCharge(c *billing.Charge, r *Ruling) (outcome, error) {
	after := outcome{account: c.Account, cents: 0}
	switch {
	case !slices.Contains(s.Rules.Revisable, c.Kind):
		return after, conflict("a charge of the kind %s is corrected where it is kept; do that first, then rule with the act %s", c.Kind, None)
	case r.Act == Exempt:
	case r.Act == Reduce:
		after.cents = r.AmountCents
	default:
		return after, invalid("a charge that is no toll can be made %s or %s", Exempt, Reduce)
	}
	return after, nil
}

// apply puts a ruling into force and closes the dispute.
func (s *Service) apply(ctx context.Context, tx Tx, d *Dispute, sub subject, after outcome, deed Deed) error {
	d.State, d.PassRevision = d.Ruling.Outcome, sub.revision
	if d.Ruling.Act == None {
		return nil
	}
	paid, err := s.shares(ctx, tx, d.Receivable)
	if err != nil {
		return err
	}
	d.Paid = paid
	if sub.pass != nil {
		if err := s.onlyTwin(ctx, tx, d, sub.pass.ID, deed.Now); err != nil {
			return err
		}
		p, err := tx.DecidePass(ctx, sub.pass.ID, sub.revision, billing.Decision{
			Status: after.status, Class: after.class, Account: after.account, AmountCents: after.cents, Rule: after.rule,
			By: d.Ruling.By, Note: "dispute " + d.Reference + ": " + d.Ruling.Code, At: deed.Now, Basis: s.basisOf(sub.pass),
		})
		d.PassRevision = p.Revision
		if err != nil || after.cents != 0 && !after.another {
			return err
		}
		return s.strike(ctx, tx, d.Receivable, deed.Now)
	}
	c := *sub.charge
	c.Revision++
	c.AmountCents = after.cents
	stands, err := tx.PostCharge(ctx, c, deed.Now)
	d.PassRevision = stands.Revision
	return err
}

// CountedTwice is the code of a toll that is taken back because another of the
// same trip stays.
const CountedTwice = "counted-twice"

// onlyTwin refuses to give a toll back as counted twice where the other one of
// the trip was given back already, so that a trip that was made is not free. It
// binds no other grounds.
func (s *Service) onlyTwin(ctx context.Context, tx Tx, d *Dispute, pass string, now time.Time) error {
	if d.Ruling.Code != CountedTwice || d.Ruling.Act != Exempt {
		return nil
	}
	others, err := tx.FlagPasses(ctx, d.Flag)
	if err != nil {
		return err
	}
	ok, err := tx.PutTwins(ctx, pass, others, d.Reference, now)
	if err == nil && !ok {
		err = conflict("the other toll of this trip was given back already; if this one is wrong too, rule with another code")
	}
	return err
}

// basisOf is what later reads must leave for the decision to stand. A pass that
// a person decided before says in its row what they decided, not what the rules
// say of it: what that decision was made on is what still holds.
func (s *Service) basisOf(p *billing.Pass) string {
	if p.Decision != nil && p.Decision.Basis != "" {
		return p.Decision.Basis
	}
	return s.Tolls.Basis(*p)
}

// strike takes the surcharges of a toll back that is not owed, or not by who
// was told.
func (s *Service) strike(ctx context.Context, tx Tx, receivable string, now time.Time) error {
	for rung := range surcharges(receivable) {
		c, err := tx.ChargeStands(ctx, recovery.SurchargeID(rung+1, receivable))
		if errors.Is(err, billing.ErrNotFound) || err == nil && c.AmountCents == 0 {
			continue
		}
		if err == nil {
			c.AmountCents = 0
			c.Revision++
			_, err = tx.PostCharge(ctx, c, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// shares are what wallets paid of a charge and the surcharges on it.
func (s *Service) shares(ctx context.Context, tx Tx, receivable string) ([]Share, error) {
	var list []Share
	for _, id := range append([]string{receivable}, surcharges(receivable)...) {
		made, err := tx.Collections(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, one := range made {
			if one.ReversedAt.IsZero() {
				list = append(list, Share{Receivable: id, Holder: one.Holder, Cents: one.AmountCents})
			}
		}
	}
	return list, nil
}

// settled does what follows a ruling: the audit trail, and what is still owed is
// collected again.
func (s *Service) settled(ctx context.Context, tx Tx, d Dispute, proposed bool, deed Deed) error {
	action := "dispute.decided"
	if proposed {
		action = "dispute.proposed"
	}
	r := d.Ruling
	err := tx.RecordDispute(ctx, action, d, deed, map[string]any{
		"outcome": r.Outcome, "code": r.Code, "act": r.Act, "less_cents": r.LessCents, "proposed_by": r.By, "pass_revision": d.PassRevision, "revision": d.Revision,
	})
	if err != nil || proposed {
		return err
	}
	if r.Act == None {
		// Nothing was posted that the collector would follow.
		return s.collect(ctx, tx, d.Account, d.Currency, deed.Now)
	}
	if d.Origin == System {
		return s.tellCorrection(ctx, tx, d)
	}
	return nil
}

// tellCorrection is the one notice of what we found ourselves.
func (s *Service) tellCorrection(ctx context.Context, tx Tx, d Dispute) error {
	n := notice.Notice{
		ID: "dispute:" + d.Reference, Kind: notice.Corrected, Account: d.Account, Vehicle: d.Vehicle, AmountCents: d.Ruling.LessCents, Currency: d.Currency,
		IssuedAt: s.Clock.Now(), Facts: map[string]string{"trips": strconv.Itoa(1), "reason": d.Ruling.Words},
	}
	if n.AmountCents == 0 {
		n.Currency = ""
	}
	if len(d.Paid) > 0 {
		n.Kind = notice.Refunded
	}
	return notice.Issue(ctx, tx, n)
}
