package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	billingoperator "freeflow/billing/operator"
	"freeflow/billing/payment"
	"freeflow/billing/recovery"
	"freeflow/tolling/matcher"
	"freeflow/tolling/tariff"
)

// disputeFlags are the limits of disputes.
type disputeFlags struct {
	approveAbove, auto, autoDay string
	// rules are what they say; check sets them.
	rules dispute.Rules
}

func (f *disputeFlags) add(flags *pflag.FlagSet) {
	usual := dispute.HongKong()
	flags.StringVar(&f.approveAbove, "dispute-approve-above", billing.FormatCents(usual.ApproveAboveCents), "a ruling on a dispute by which more than this is no longer owed needs a second person")
	flags.StringVar(&f.auto, "duplicate-refund", billing.FormatCents(usual.AutoCents), "the most that one exact duplicate gives back without being asked for; 0.00 for never")
	flags.StringVar(&f.autoDay, "duplicate-refund-day", billing.FormatCents(usual.AutoDayCents), "the most that all exact duplicates give back so within 24 hours")
}

func (f *disputeFlags) check() error {
	f.rules = dispute.HongKong()
	for _, one := range []struct {
		flag, text string
		cents      *int64
	}{
		{"dispute-approve-above", f.approveAbove, &f.rules.ApproveAboveCents}, {"duplicate-refund", f.auto, &f.rules.AutoCents},
		{"duplicate-refund-day", f.autoDay, &f.rules.AutoDayCents},
	} {
		cents, err := billing.ParseCents(one.text)
		if err != nil || cents < 0 {
			return usagef("--%s is %q; write an amount such as 200.00", one.flag, one.text)
		}
		*one.cents = cents
	}
	return nil
}

// disputeTolls is the network as rulings need it.
type disputeTolls struct{ network roads }

// Rate rates by the tariff that was in force.
func (d disputeTolls) Rate(point, class string, at time.Time) (int64, string, error) {
	if !d.network.KnowsClass(class) {
		return 0, "", fmt.Errorf("%w: %q is not a class of the network; there are %s", billing.ErrInvalid, class, strings.Join(d.network.Classes(), ", "))
	}
	toll, err := d.network.Rate(point, class, at)
	var (
		none    *tariff.NoTariffError
		unknown *tariff.UnknownError
	)
	if errors.As(err, &none) || errors.As(err, &unknown) {
		return 0, "", fmt.Errorf("%w: %w; give the amount instead", billing.ErrInvalid, err)
	}
	return toll.Cents, toll.Rule + "; tariff " + toll.Version, err
}

// Basis is the matcher's.
func (disputeTolls) Basis(p billing.Pass) string { return matcher.Basis(p) }

// Place is where a toll point is.
func (d disputeTolls) Place(point string) (facility, direction string, ok bool) {
	p, ok := d.network.Point(point)
	return p.Facility, p.Direction, ok
}

// gatherer finds the evidence of a charge in the books and the archive of
// reads.
type gatherer struct {
	explainer
	books *books.Store
}

// Bounds of the evidence of one charge.
const (
	nearPasses = 100
	mostReads  = 2000
	nearby     = 12 * time.Hour
)

// Gather implements dispute.Gatherer.
func (g gatherer) Gather(ctx context.Context, receivable string) (dispute.Bundle, int64, error) {
	b := dispute.Bundle{Receivable: receivable, Revisions: []dispute.RevisionFacts{}, Entries: []dispute.EntryFacts{}, Collections: []dispute.CollectedFacts{}}
	var (
		revision int64
		err      error
	)
	if id, ok := strings.CutPrefix(receivable, billing.ReceivablePass); ok {
		revision, err = g.pass(ctx, id, &b)
	} else {
		revision, err = g.charge(ctx, strings.TrimPrefix(receivable, billing.ReceivableCharge), &b)
	}
	if err != nil {
		return b, 0, err
	}
	err = g.books.View(ctx, func(tx *books.Tx) error {
		list, err := tx.Collections(ctx, receivable)
		for _, one := range list {
			f := dispute.CollectedFacts{ID: one.ID, Holder: one.Holder, Amount: billing.FormatCents(one.AmountCents), PostedAt: dispute.FormatInstant(one.PostedAt)}
			if !one.ReversedAt.IsZero() {
				f.ReversedAt = dispute.FormatInstant(one.ReversedAt)
			}
			b.Collections = append(b.Collections, f)
		}
		return err
	})
	return b, revision, err
}

func (g gatherer) pass(ctx context.Context, id string, b *dispute.Bundle) (int64, error) {
	history, err := g.books.History(ctx, id)
	if err != nil {
		return 0, err
	}
	p := history.Pass
	facts := dispute.FactsOf(&p)
	b.Pass = &facts
	for _, r := range history.Revisions {
		b.Revisions = append(b.Revisions, dispute.RevisionFacts{
			Revision: r.Revision, ReplacedAt: dispute.FormatInstant(r.ReplacedAt), Status: r.Status, Class: r.Class, Account: r.Account,
			Amount: billing.FormatCents(r.AmountCents), Rule: r.Rule, Reasons: r.Reasons,
		})
	}
	b.Entries = entriesOf(history.Transactions)
	explained, err := g.Explain(ctx, id)
	if err != nil {
		return 0, err
	}
	b.ReadsComplete = explained.Complete && len(explained.Reads) <= mostReads
	for _, r := range explained.Reads[:min(len(explained.Reads), mostReads)] {
		f := dispute.ReadFacts{Time: dispute.FormatInstant(r.Time()), Unit: r.Unit, Boot: r.Boot, Seq: r.Seq, Tag: r.Tag, Plate: r.Plate, Class: r.Class, Image: r.Image}
		if r.Confidence.Present {
			f.Confidence = &r.Confidence.Value
		}
		if r.Antenna.Present {
			f.Antenna = &r.Antenna.Value
		}
		if r.RSSI.Present {
			f.RSSI = &r.RSSI.Value
		}
		b.Reads = append(b.Reads, f)
	}
	near, err := g.books.List(ctx, billing.Filter{
		FromMicros: p.FirstMicros - nearby.Microseconds(), ToMicros: p.FirstMicros + nearby.Microseconds(), Vehicle: p.Vehicle, Limit: nearPasses,
	})
	for i := range near {
		if near[i].ID != id {
			b.Near = append(b.Near, dispute.FactsOf(&near[i]))
		}
	}
	return p.Revision, err
}

func (g gatherer) charge(ctx context.Context, id string, b *dispute.Bundle) (int64, error) {
	c, transactions, err := g.books.Charge(ctx, id)
	if err != nil {
		return 0, err
	}
	b.ReadsComplete = true
	b.Charge = &dispute.ChargeFacts{
		ID: c.ID, Kind: c.Kind, Revision: c.Revision, Account: c.Account, Creditor: c.Creditor, Amount: billing.FormatCents(c.AmountCents),
		Paid: billing.FormatCents(c.PaidCents), Currency: c.Currency, Occurred: dispute.FormatInstant(time.UnixMicro(c.OccurredMicros)),
		Description: c.Description, Vehicle: c.Vehicle,
	}
	b.Entries = entriesOf(transactions)
	revisions, err := g.books.ChargeRevisions(ctx, id)
	for _, r := range revisions {
		b.Revisions = append(b.Revisions, dispute.RevisionFacts{
			Revision: r.Revision, ReplacedAt: dispute.FormatInstant(r.ReplacedAt), Account: r.Account, Amount: billing.FormatCents(r.AmountCents),
		})
	}
	return c.Revision, err
}

func entriesOf(transactions []billing.Transaction) []dispute.EntryFacts {
	list := []dispute.EntryFacts{}
	for _, t := range transactions {
		for _, e := range t.Entries {
			list = append(list, dispute.EntryFacts{
				Transaction: t.ID, Kind: t.Kind, PostedAt: dispute.FormatInstant(t.PostedAt), Account: e.Account, Amount: billing.FormatCents(e.AmountCents),
			})
		}
	}
	return list
}

// disputeRefunds sends what came back to where it came from.
type disputeRefunds struct{ service *payment.Service }

// refundSources bounds the payments that one refund is made of.
const refundSources = 50

// GiveBack implements dispute.Refunder: newest payments first; what none of them
// brought stays in the wallet.
func (d disputeRefunds) GiveBack(ctx context.Context, tx dispute.Tx, id, holder string, cents int64, currency, reason string) (int64, error) {
	if strings.HasPrefix(holder, billing.HolderOnce) {
		return cents, nil // payments give that back by themselves
	}
	books, ok := tx.(payment.Tx)
	if !ok {
		return 0, errors.New("refunds need the books' own transaction")
	}
	sources, err := books.RefundableOf(ctx, holder, currency, refundSources)
	if err != nil {
		return 0, err
	}
	sent := int64(0)
	for n, source := range sources {
		part := min(cents-sent, source.RefundableCents)
		if part <= 0 {
			break
		}
		_, err := d.service.Refund(ctx, books, payment.RefundRequest{
			Staff: payment.Staff{By: "job:disputes", Role: "system", Reason: reason}, ID: refundID(id, n), Attempt: source.Attempt, AmountCents: part,
		})
		if errors.Is(err, billing.ErrConflict) {
			continue // it cannot be given back there; another may take it
		}
		if err != nil {
			return sent, err
		}
		sent += part
	}
	return sent, nil
}

// refundID is the id of one part of a refund, in the letters that payments take.
func refundID(id string, n int) string {
	return fmt.Sprintf("r%s-%d", hex.EncodeToString([]byte(id)), n)
}

// disputes puts the service of disputes together.
func (s *system) disputes() *dispute.Service {
	rules := s.flags.disputes.rules
	rules.Currency = s.parts.network.Currency()
	d := &dispute.Service{
		Keeping:  books.Keep[dispute.Tx]{Store: s.parts.books, As: func(tx *books.Tx) dispute.Tx { return tx }},
		Ladder:   s.ladder(),
		Gatherer: gatherer{explainer{s.parts.books, s.parts.network, s.keeper.current}, s.parts.books},
		Tolls:    disputeTolls{s.parts.network}, Rules: rules, Clock: s.env.Clock, Log: s.log,
	}
	if s.payments != nil {
		d.Refunder = disputeRefunds{s.payments.service}
	}
	return d
}

// disputesTopic is what staff may do about disputes.
func (s *system) disputesTopic() billingoperator.Topic {
	return &billingoperator.Disputes{Books: s.parts.books, Service: s.disputes(), Clock: s.env.Clock, Zone: s.parts.network.Zone(), Named: true}
}

// How often disputes are worked on, and how many postings are looked at at a
// time.
const (
	disputesEvery = 2 * time.Second
	flagPostings  = 200
)

// startDisputes works on disputes and looks for what cannot be right, until ctx
// ends.
func (s *system) startDisputes(ctx context.Context) error {
	service := s.disputes()
	var journeys dispute.Journeys
	if s.parts.network.Name() == "hongkong" {
		var err error
		if journeys, err = dispute.HongKongJourneys(); err != nil {
			return err
		}
	}
	flags := &dispute.Flags{Service: service, Limits: dispute.AssumedLimits(disputeTolls{s.parts.network}, journeys)}
	var open, overdue, waiting atomic.Int64
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "freeflow", Subsystem: "disputes", Name: "failed_total", Help: "Items of the work on disputes and flags that failed and were put off."}, []string{"job"})
	service.Failed = func(job string) { failed.WithLabelValues(job).Inc() }
	raised := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "freeflow", Subsystem: "disputes", Name: "flags_total", Help: "Flags raised on postings that cannot be right."})
	for _, m := range []prometheus.Collector{
		raised, failed,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "freeflow", Subsystem: "disputes", Name: "put_off", Help: "Items that failed and are tried again later, or were lately; should be 0."},
			func() float64 { return float64(waiting.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "freeflow", Subsystem: "disputes", Name: "open", Help: "Open disputes."}, func() float64 { return float64(open.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "freeflow", Subsystem: "disputes", Name: "overdue", Help: "Open disputes that were not answered in time; should be 0."},
			func() float64 { return float64(overdue.Load()) }),
	} {
		if err := s.metrics.Register(m); err != nil {
			return fmt.Errorf("registering the figures of disputes: %w", err)
		}
	}
	once := func() error {
		_, err := service.Work(ctx)
		for {
			postings, n, scanErr := flags.Scan(ctx, flagPostings)
			raised.Add(float64(n))
			err = errors.Join(err, scanErr)
			if postings < flagPostings {
				break
			}
		}
		return errors.Join(err, service.Keeping.View(ctx, func(tx dispute.Tx) error {
			o, late, err := tx.CountDisputes(ctx, recovery.DayOf(s.env.Clock.Now(), s.parts.network.Zone()))
			open.Store(o)
			overdue.Store(late)
			all := int64(0)
			for _, job := range dispute.Jobs() {
				if err != nil {
					return err
				}
				var n int64
				n, err = tx.CountPutOff(ctx, job)
				all += n
			}
			waiting.Store(all)
			return err
		}))
	}
	s.group.Go(func() error {
		tick := time.NewTicker(disputesEvery)
		defer tick.Stop()
		for {
			if err := once(); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "disputes were not worked on", "err", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
	return nil
}
