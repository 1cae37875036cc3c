package dispute

import (
	"context"
	"fmt"
	"slices"
	"time"

	"freeflow/billing"
)

// step locks a dispute and lets fn change it; what fn says is what happened. An
// empty word changes nothing.
func (s *Service) step(ctx context.Context, tx Tx, reference string, revision int64, deed Deed, fn func(d *Dispute) (what string, err error)) (Dispute, error) {
	if err := checkDeed(deed); err != nil {
		return Dispute{}, err
	}
	d, err := tx.LockDispute(ctx, reference)
	if err != nil {
		return Dispute{}, err
	}
	if revision != 0 && d.Revision != revision {
		return Dispute{}, conflict("it stands at revision %d, not %d; look at it again", d.Revision, revision)
	}
	was := d
	what, err := fn(&d)
	if err != nil || what == "" {
		return d, err
	}
	if d.State != was.State || !Open(was.State) {
		if !slices.Contains(follows[was.State], d.State) {
			return Dispute{}, conflict("it is %s", was.State)
		}
	}
	if !Open(d.State) {
		d.ClosedAt = deed.Now.UTC().Truncate(time.Microsecond)
		if err := s.thaw(ctx, tx, d, deed); err != nil {
			return Dispute{}, err
		}
	}
	d.Revision = was.Revision + 1
	if err := tx.PutDispute(ctx, d, d.event(what, deed)); err != nil {
		return Dispute{}, err
	}
	if d.State != was.State {
		err = s.tell(ctx, tx, d)
	}
	return d, err
}

// Assign gives a dispute to a person, who then looks into it. Whoever decided an
// earlier one of the charge is refused: billing.ErrConflict.
func (s *Service) Assign(ctx context.Context, tx Tx, reference string, revision int64, to string, deed Deed) (Dispute, error) {
	d, err := s.step(ctx, tx, reference, revision, deed, func(d *Dispute) (string, error) {
		switch {
		case to == "":
			return "", invalid("say to whom")
		case !Open(d.State) || d.State == Approval:
			return "", conflict("it is %s", d.State)
		case slices.Contains(d.Barred, to):
			return "", conflict("%s decided an earlier dispute of the charge; give it to another person", to)
		case d.Assignee == to && d.State == UnderReview:
			return "", nil
		}
		d.Assignee, d.State = to, UnderReview
		return "assigned to " + to, nil
	})
	if err == nil {
		err = tx.RecordDispute(ctx, "dispute.assigned", d, deed, map[string]any{"revision": d.Revision})
	}
	if err != nil {
		return Dispute{}, fmt.Errorf("assigning dispute %s: %w", reference, err)
	}
	return d, nil
}

// Withdraw ends a dispute as its motorist wishes; the charge stands. Account is
// who asks, empty for staff who do it for them. billing.ErrNotFound where the
// dispute is another's.
func (s *Service) Withdraw(ctx context.Context, tx Tx, reference, account string, deed Deed) (Dispute, error) {
	d, err := s.step(ctx, tx, reference, 0, deed, func(d *Dispute) (string, error) {
		switch {
		case account != "" && (d.Account != account || d.Origin == System):
			return "", billing.ErrNotFound
		case d.State == Withdrawn:
			return "", nil
		}
		d.State = Withdrawn
		return "withdrawn", nil
	})
	if err == nil {
		err = s.collect(ctx, tx, d.Account, d.Currency, deed.Now)
	}
	if err == nil {
		err = tx.RecordDispute(ctx, "dispute.withdrawn", d, deed, map[string]any{"revision": d.Revision})
	}
	if err != nil {
		return Dispute{}, fmt.Errorf("withdrawing dispute %s: %w", reference, err)
	}
	return d, nil
}

// Reopen opens another dispute of the charge of one that was decided: with new
// grounds, and for a person who did not decide before.
func (s *Service) Reopen(ctx context.Context, tx Tx, reference, reason, text string, deed Deed) (Dispute, error) {
	was, err := tx.Dispute(ctx, reference)
	if err == nil && Open(was.State) {
		err = conflict("it is %s", was.State)
	}
	if err != nil {
		return Dispute{}, fmt.Errorf("reopening dispute %s: %w", reference, err)
	}
	return s.Open(ctx, tx, Opening{Receivable: was.Receivable, Reason: reason, Text: text, Origin: Staff, Previous: reference}, deed)
}

// Standing is a dispute as its motorist may see it: nobody of the staff is
// named, and nothing that they say among themselves is told.
type Standing struct {
	Reference  string `json:"reference"`
	Receivable string `json:"receivable,omitempty"`
	State      string `json:"state"`
	Reason     string `json:"reason"`
	Text       string `json:"text,omitempty"`
	Amount     string `json:"amount"`
	Currency   string `json:"currency"`
	OpenedAt   string `json:"opened_at"`
	// AnswerBy is the last day to answer, while it is open.
	AnswerBy string `json:"answer_by,omitempty"`
	ClosedAt string `json:"closed_at,omitempty"`
	// Code and Words are the outcome's, Less how much less is owed by it.
	Code  string `json:"code,omitempty"`
	Words string `json:"words,omitempty"`
	Less  string `json:"less,omitempty"`
}

// StandingOf is a dispute as its motorist may see it.
func StandingOf(d Dispute) Standing {
	v := Standing{
		Reference: d.Reference, Receivable: d.Receivable, State: d.State, Reason: d.Reason, Text: d.Text,
		Amount: billing.FormatCents(d.AmountCents), Currency: d.Currency, OpenedAt: d.OpenedAt.UTC().Format(time.RFC3339),
	}
	if v.State == Approval {
		v.State = UnderReview
	}
	if Open(d.State) {
		if d.DueDay != 0 {
			v.AnswerBy = d.DueDay.String()
		}
		return v
	}
	v.ClosedAt = d.ClosedAt.UTC().Format(time.RFC3339)
	if d.Ruling != nil && d.State != Withdrawn {
		v.Code, v.Words, v.Less = d.Ruling.Code, d.Ruling.Words, billing.FormatCents(d.Ruling.LessCents)
	}
	return v
}

// Mine returns what an account said against its charges, at most limit after a
// place in the queue; not what we raised ourselves and have not decided.
func (s *Service) Mine(ctx context.Context, tx Tx, account string, after Place, limit int) ([]Standing, error) {
	if account == "" {
		return nil, fmt.Errorf("listing disputes: %w", invalid("there is no account"))
	}
	list, err := tx.Disputes(ctx, Filter{Account: account, After: after, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("listing disputes: %w", err)
	}
	standing := make([]Standing, 0, len(list))
	for _, d := range list {
		if d.Origin != System || !Open(d.State) {
			standing = append(standing, StandingOf(d))
		}
	}
	return standing, nil
}
