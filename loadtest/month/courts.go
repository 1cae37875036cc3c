package month

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/payment"
	"freeflow/tolling/matcher"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// ruling is what people decided of a pass, for the oracle.
type ruling struct {
	exempt bool
	class  string
}

// ruledTolls is the network as rulings need it.
type ruledTolls struct{ network network }

// Rate is dispute.Tolls.
func (r ruledTolls) Rate(point, class string, at time.Time) (int64, string, error) {
	toll, err := r.network.Rate(point, class, at)
	return toll.Cents, toll.Rule + "; tariff " + toll.Version, err
}

// Basis is the matcher's.
func (ruledTolls) Basis(p billing.Pass) string { return matcher.Basis(p) }

// Place is dispute.Places.
func (r ruledTolls) Place(point string) (facility, direction string, ok bool) {
	p, ok := r.network.Point(point)
	return p.Facility, p.Direction, ok
}

// gatherer brings the pass and its kept reads as evidence.
type gatherer struct {
	w     *world
	books *books.Store
	s     *services
}

// Gather is dispute.Gatherer.
func (g gatherer) Gather(ctx context.Context, receivable string) (dispute.Bundle, int64, error) {
	b := dispute.Bundle{Receivable: receivable, Revisions: []dispute.RevisionFacts{}, Entries: []dispute.EntryFacts{}, Collections: []dispute.CollectedFacts{}}
	h, err := g.books.History(ctx, strings.TrimPrefix(receivable, billing.ReceivablePass))
	if err != nil {
		return b, 0, err
	}
	facts := dispute.FactsOf(&h.Pass)
	b.Pass = &facts
	reads, err := matcher.ReadsOf(ctx, g.books, g.w.network, g.s.current.Get(), h.Pass)
	if err != nil {
		return b, 0, err
	}
	for _, r := range reads {
		b.Reads = append(b.Reads, dispute.ReadFacts{Time: dispute.FormatInstant(r.Time()), Unit: r.Unit, Tag: r.Tag, Plate: r.Plate, Class: r.Class})
	}
	if len(reads) == 0 {
		return b, 0, fmt.Errorf("of %s no read is kept", receivable)
	}
	b.ReadsComplete = true
	return b, h.Pass.Revision, nil
}

// refunds sends what came back to where it came from: of payments, newest first.
type refunds struct{ service *payment.Service }

// GiveBack is dispute.Refunder.
func (r refunds) GiveBack(ctx context.Context, tx dispute.Tx, id, holder string, cents int64, cur, reason string) (sent int64, err error) {
	money, ok := tx.(payment.Tx)
	if !ok {
		return 0, errors.New("refunds need the books' own transaction")
	}
	sources, err := money.RefundableOf(ctx, holder, cur, 50)
	for n, source := range sources {
		part := min(cents-sent, source.RefundableCents)
		if err != nil || part <= 0 {
			break
		}
		_, err = r.service.Refund(ctx, money, payment.RefundRequest{
			Staff: payment.Staff{By: "job:disputes", Role: "system", Reason: reason}, ID: fmt.Sprintf("r%x-%d", id, n), Attempt: source.Attempt, AmountCents: part,
		})
		if err == nil {
			sent += part
		} else if errors.Is(err, billing.ErrConflict) {
			err = nil
		}
	}
	return sent, err
}

// court puts the service of disputes together.
func (w *world) court(s *services) (*dispute.Service, *dispute.Flags, error) {
	tolls := ruledTolls{w.network}
	d := &dispute.Service{
		Keeping: keepOf(s.books, s.life, func(tx *books.Tx) dispute.Tx { return tx }), Ladder: s.ladder, Gatherer: gatherer{w, s.books, s}, Tolls: tolls,
		Refunder: refunds{s.pay}, Rules: dispute.HongKong(), Clock: w.clock, Log: quiet(),
	}
	d.Rules.ApproveAboveCents = 30_00 // so that some need a second person
	journeys, err := dispute.HongKongJourneys()
	return d, &dispute.Flags{Service: d, Limits: dispute.AssumedLimits(tolls, journeys)}, err
}

// judgeDisputes lets the jobs of disputes go on.
func (w *world) judgeDisputes(ctx context.Context) error {
	return w.job(ctx, "disputes", func(ctx context.Context, s *services) error {
		for {
			postings, raised, err := s.flags.Scan(ctx, 200)
			if err != nil {
				return err
			}
			w.flagged.add(int64(raised))
			if postings < 200 {
				break
			}
		}
		_, err := s.disputes.Work(ctx)
		if len(w.sets) > 1 && (errors.Is(err, billing.ErrConflict) || errors.Is(err, billing.ErrStale)) {
			return nil // the other process was first
		}
		return err
	})
}

// approve lets a second person approve the rulings that wait, those of our own
// flags too. Where the charge has changed meanwhile the ruling is refused, and
// made anew by a person who looks at it as it is now.
func (w *world) approve(ctx context.Context) error {
	s := w.sets[0]
	deed := func(by string) dispute.Deed {
		return dispute.Deed{By: by, Role: "operator", Reason: "looked at it", Now: w.clock.Now()}
	}
	var list []dispute.Dispute
	err := s.books.View(ctx, func(tx *books.Tx) (err error) {
		list, err = tx.Disputes(ctx, dispute.Filter{State: dispute.Approval, Limit: 1000})
		return err
	})
	for _, d := range list {
		if err != nil {
			return err
		}
		w.counts["rulings approved by a second person"]++
		err = s.books.Do(ctx, func(tx *books.Tx) error {
			_, err := s.disputes.Approve(ctx, tx, d.Reference, d.Revision, true, deed("dave"))
			return err
		})
		if !errors.Is(err, billing.ErrConflict) {
			continue
		}
		w.counts["rulings made anew since the charge had changed"]++
		err = s.books.Do(ctx, func(tx *books.Tx) error {
			d, err := s.disputes.Approve(ctx, tx, d.Reference, d.Revision, false, deed("dave"))
			if err != nil {
				return err
			}
			r := *list[slices.IndexFunc(list, func(one dispute.Dispute) bool { return one.Reference == d.Reference })].Ruling
			r.PassRevision, r.LessCents, r.By, r.ApprovedBy = 0, 0, "", ""
			if d, err = s.disputes.Decide(ctx, tx, d.Reference, d.Revision, r, deed("carol")); err != nil || d.State != dispute.Approval {
				return err
			}
			_, err = s.disputes.Approve(ctx, tx, d.Reference, d.Revision, true, deed("dave"))
			return err
		})
	}
	return err
}

// planDisputes plans who disputes a toll when.
func (w *world) planDisputes() {
	for i, p := range w.cast.people {
		if i%12 != 3 || !p.habit.Pays || p.kind != "individual" || len(p.cars) == 0 || p.way == ownMoney || !p.closes.IsZero() || p.cars[0].story != plain {
			continue
		}
		d := 6 + i/12%(w.days-12)
		w.on(w.day(d).Add(noon), func(ctx context.Context) error { return w.dispute(ctx, p, i/12%4) })
	}
}

// dispute lets somebody dispute the latest toll; it is ruled on two days later.
// how is 0 rejected, 1 nothing is owed, 2 another class, 3 withdrawn.
func (w *world) dispute(ctx context.Context, p *person, how int) error {
	s := w.sets[0]
	var pass billing.Pass
	since := w.clock.Now().AddDate(0, 0, -7)
	list, err := s.books.List(ctx, billing.Filter{Account: p.id, FromMicros: since.UnixMicro(), ToMicros: w.clock.Now().UnixMicro(), Limit: 100})
	if err != nil {
		return err
	}
	for _, one := range list {
		_, ruled := w.rulings[passKey(one.TollPoint, one.FirstMicros)]
		at := time.UnixMicro(one.FirstMicros)
		if one.Status == billing.StatusCharged && one.AmountCents > 0 && one.Decision == nil && !ruled && !w.isMistaken(at, one.TollPoint) {
			pass = one
		}
	}
	if pass.ID == "" {
		return nil
	}
	if how == 2 && pass.Class == "motorcycle" {
		how = 1
	}
	var d dispute.Dispute
	err = s.books.Do(ctx, func(tx *books.Tx) (err error) {
		d, err = s.disputes.Open(ctx, tx, dispute.Opening{
			Receivable: billing.ReceivablePass + pass.ID, Reason: []string{dispute.WasNotThere, dispute.NotMine, dispute.WrongClass, dispute.Other}[how],
			Text: "I say it is wrong.", Origin: dispute.Motorist, Account: p.id, Refund: how == 1 && w.rng.IntN(2) == 0,
		}, dispute.Deed{By: p.id, Role: "motorist", Now: w.clock.Now()})
		return err
	})
	if err != nil {
		return err
	}
	w.counts["disputes"]++
	w.on(w.clock.Now().Truncate(time.Hour).AddDate(0, 0, 2), func(ctx context.Context) error { return w.rule(ctx, p, d.Reference, how) })
	key := passKey(pass.TollPoint, pass.FirstMicros)
	switch how {
	case 1:
		w.rulings[key] = ruling{exempt: true}
	case 2:
		w.rulings[key] = ruling{class: "motorcycle"}
	}
	return nil
}

func (w *world) rule(ctx context.Context, p *person, reference string, how int) error {
	s := w.sets[0]
	deed := func(by string) dispute.Deed {
		return dispute.Deed{By: by, Role: "operator", Reason: "looked at the reads", Now: w.clock.Now()}
	}
	return s.books.Do(ctx, func(tx *books.Tx) error {
		if how == 3 {
			_, err := s.disputes.Withdraw(ctx, tx, reference, p.id, dispute.Deed{By: p.id, Role: "motorist", Now: w.clock.Now()})
			return err
		}
		d, err := tx.Dispute(ctx, reference)
		if err != nil {
			return err
		}
		r := dispute.Ruling{Words: "We looked at it.", Outcome: dispute.Rejected, Code: "evidence-shows-the-pass", Act: dispute.None}
		switch how {
		case 1:
			r.Outcome, r.Code, r.Act = dispute.Upheld, "another-vehicle", dispute.Exempt
		case 2:
			r.Outcome, r.Code, r.Act, r.Class = dispute.Upheld, "class-corrected", dispute.Rate, "motorcycle"
		}
		if d, err = s.disputes.Decide(ctx, tx, reference, d.Revision, r, deed("carol")); err != nil {
			return err
		}
		if d.State != dispute.Approval {
			return nil
		}
		// A second person looks at it at noon.
		if _, err := s.disputes.Approve(ctx, tx, reference, d.Revision, true, deed("carol")); !errors.Is(err, billing.ErrConflict) {
			return fmt.Errorf("who proposed a ruling may approve it: %w", err)
		}
		return nil
	})
}
