package cashier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"freeflow/parking"
	"freeflow/parking/stay"
	"freeflow/parking/tariff"
)

// Lines that the cashier adds to a tariff's receipt.
const (
	LineDecision = "decision"
	LineExempt   = "exempt"
	LinePermit   = "permit"
)

// errNoPrice: a person has to decide; it wraps why.
var errNoPrice = errors.New("no price")

// rated is the price of a stay.
type rated struct {
	receipt tariff.Receipt
	permit  bool
	told    *tariff.Stay
}

// tariffStay says to the tariff what a stay was, up to now if it is open.
func (s *scope) tariffStay(d *stay.Stay, r *record, now time.Time) tariff.Stay {
	last := &d.Visits[len(d.Visits)-1]
	exit := last.Exit
	if d.Open {
		exit = now
	}
	t := tariff.Stay{ID: r.ID, Class: d.Class, Entry: last.Entry, Exit: exit, Version: r.TariffVersion}
	if last.Entry.IsZero() {
		t.EntryUnknown = true
	} else if exit.Before(last.Entry) {
		t.Exit = last.Entry
	}
	o := tariff.Options{}
	if v := versionAt(s.book, r.TariffVersion, d.Began()); v != nil {
		o = v.Options
	}
	for i := range d.Visits {
		v := &d.Visits[i]
		final := i == len(d.Visits)-1
		if !final {
			t.Earlier = append(t.Earlier, tariff.Interval{Start: v.Entry, End: v.Exit})
		}
		s.machineTimes(&t, v, final, exit, o)
	}
	for i := range r.details.Notes {
		sayNote(&t, &r.details.Notes[i], exit)
	}
	return t
}

// machineTimes says when the machine had the car, by the site's rule of the
// clock: the tariff's own way of saying it where both agree, as a pause where
// only the site stops the clock.
func (s *scope) machineTimes(t *tariff.Stay, v *stay.Visit, final bool, now time.Time, o tariff.Options) {
	a := v.Berth
	if a == nil || a.Machine == "" || v.Entry.IsZero() {
		return
	}
	exit := v.Exit
	if exit.IsZero() {
		exit = now
	}
	pause := func(from, to time.Time) {
		if to.After(exit) {
			to = exit
		}
		if from.Before(to) {
			t.Paused = append(t.Paused, tariff.Interval{Start: from, End: to})
		}
	}
	m := &tariff.Machine{}
	if s.site.ClockStart == parking.AtAcceptance {
		accepted := a.StoredAt
		if accepted.IsZero() && v.Exit.IsZero() && a.RequestedAt.IsZero() {
			accepted = exit // not taken in yet
		}
		switch {
		case accepted.IsZero():
		case final && o.MachineStarts == parking.AtAcceptance:
			m.Accepted = accepted
		default:
			pause(v.Entry, accepted)
		}
	}
	if wanted := stay.Wanted(a); s.site.ClockStop == parking.AtRequest && !wanted.IsZero() {
		if final && o.MachineStops != parking.AtExit && o.MachineStops != "" {
			m.Requested, m.Promised, m.Ready = wanted, a.PromisedAt, a.StagedAt
		} else {
			until := exit
			if !a.StagedAt.IsZero() {
				until = a.StagedAt.Add(time.Duration(o.CollectMinutes) * time.Minute)
			}
			pause(wanted, until)
		}
	}
	if *m != (tariff.Machine{}) {
		t.Machine = m
	}
}

// sayNote tells the tariff what was put on the stay.
func sayNote(t *tariff.Stay, n *note, exit time.Time) {
	switch n.Kind {
	case notePayment:
		at := n.Payment.For
		if at.IsZero() {
			// A part gives no grace: it is dated before the stay.
			at = n.At.Add(-maxStay)
		}
		if n.Payment.KeptCents > 0 {
			t.Payments = append(t.Payments, tariff.Payment{At: at, Cents: n.Payment.KeptCents, Reference: n.Payment.ID})
		}
	case noteValidation:
		t.Validations = append(t.Validations, *n.Validation)
	case noteFlag:
		t.Flags = slices.DeleteFunc(t.Flags, func(f string) bool { return f == n.Name })
		if !n.Off {
			t.Flags = append(t.Flags, n.Name)
		}
	case notePermit:
		t.Permit = n.Name
		if n.Off {
			t.Permit = ""
		}
	case notePass:
		t.Passes = append(t.Passes, tariff.BoughtPass{ID: n.Name, At: n.At})
	case notePause:
		to := n.To
		if to.After(exit) {
			to = exit
		}
		if n.From.Before(to) {
			t.Paused = append(t.Paused, tariff.Interval{Start: n.From, End: to})
		}
	}
}

// maxStay is longer than any stay that the tariffs rate.
const maxStay = 1200 * 24 * time.Hour

// rate prices a stay, up to now if it is open. The error wraps errNoPrice where
// a person has to decide; others are faults.
func (s *scope) rate(ctx context.Context, d *stay.Stay, r *record, now time.Time) (rated, error) {
	if s.book == nil {
		return rated{}, fmt.Errorf("%w: car park %s has no tariff %.64q; load it", errNoPrice, s.site.ID, s.site.Tariff)
	}
	t := s.tariffStay(d, r, now)
	if err := s.sayRight(ctx, &t, d); err != nil {
		return rated{}, err
	}
	if err := s.sayQuote(ctx, &t, d, r); err != nil {
		return rated{}, err
	}
	var err error
	if t.Permits, err = s.held(ctx, d, r.TariffVersion); err != nil {
		return rated{}, err
	}
	waited, err := s.sayOutages(ctx, &t, d, now)
	if err != nil {
		return rated{}, err
	}
	var sessions []chargingNote
	for i := range r.details.Notes {
		if c := r.details.Notes[i].Charging; c != nil {
			sessions = append(sessions, *c)
		}
	}
	out := rated{permit: t.Permit != "" || len(t.Permits) > 0}
	if t.EntryUnknown && (t.Permit != "" || heldAt(t.Permits, t.Exit)) {
		// Whoever holds a permit needs no ticket to have lost.
		t.EntryUnknown, t.Entry = false, t.Exit
	}
	if len(sessions) > 0 {
		t.EV = sessions[0].tariff()
	}
	if out.receipt, err = s.book.Rate(t); err != nil {
		return rated{}, fmt.Errorf("%w: %w", errNoPrice, err)
	}
	out.receipt.Lines = append(out.receipt.Lines, waited...)
	told := t
	told.Quote = nil
	out.told = &told
	for i := 1; i < len(sessions); i++ {
		if err := s.addSession(&out.receipt, t, sessions[i].tariff()); err != nil {
			return rated{}, err
		}
	}
	return out, nil
}

// sayQuote adds the quote that the stay came with: one that its driver took up,
// or that of its reservation, whose fee is due too where the tariff has one.
func (s *scope) sayQuote(ctx context.Context, t *tariff.Stay, d *stay.Stay, r *record) error {
	id, accepted := "", time.Time{}
	if d.Berth != nil && d.Berth.Reservation != "" {
		booked, err := s.tx.Reservation(ctx, d.Berth.Reservation)
		if err != nil && !errors.Is(err, parking.ErrNotFound) {
			return fmt.Errorf("reading a stay's reservation: %w", err)
		}
		if err == nil {
			id, accepted = booked.Quote, booked.CreatedAt
			if v := versionAt(s.book, r.TariffVersion, d.Began()); v != nil && v.Classes[d.Class] != nil {
				t.Reserved = v.Classes[d.Class].Reservation != nil
			}
		}
	}
	for i := range r.details.Notes {
		if n := &r.details.Notes[i]; n.Kind == noteQuote {
			id, accepted = n.Name, n.At
		}
	}
	if id == "" {
		return nil
	}
	q, err := s.c.findQuote(ctx, s.tx, id)
	if errors.Is(err, parking.ErrNotFound) {
		return fmt.Errorf("%w: the stay came with quote %s, which is not kept here", errNoPrice, id)
	}
	if err != nil {
		return fmt.Errorf("taking up a quote: %w", err)
	}
	t.Quote, t.QuoteAccepted = &q.Quote, accepted
	r.Quote = id
	return nil
}

// addSession puts a further charging session's lines on the receipt.
func (s *scope) addSession(receipt *tariff.Receipt, t tariff.Stay, ev *tariff.EVSession) error {
	t.EV = ev
	other, err := s.book.Rate(t)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoPrice, err)
	}
	for _, l := range other.Lines {
		if l.Kind == tariff.LineEVCharge || l.Kind == tariff.LineEVIdle {
			receipt.Lines = append(receipt.Lines, l)
		}
	}
	total(receipt)
	return nil
}

func (c *chargingNote) tariff() *tariff.EVSession {
	return &tariff.EVSession{PlugIn: c.PlugIn, ChargeEnd: c.ChargeEnd, Unplug: c.Unplug, WattHours: c.WattHours}
}

// sayRight adds what passes the vehicle holds.
func (s *scope) sayRight(ctx context.Context, t *tariff.Stay, d *stay.Stay) error {
	if s.c.p.Rights == nil {
		return nil
	}
	right, err := s.c.p.Rights.Right(ctx, s.site.ID, d.Vehicle, d.Began())
	if err != nil {
		return fmt.Errorf("asking for a vehicle's passes: %w", err)
	}
	if t.Permit == "" {
		t.Permit = right.Permit
	}
	for _, f := range right.Flags {
		if !slices.Contains(t.Flags, f) {
			t.Flags = append(t.Flags, f)
		}
	}
	return nil
}

// heldAt reports whether one of the permits holds at the instant.
func heldAt(list []tariff.HeldPermit, at time.Time) bool {
	return slices.ContainsFunc(list, func(p tariff.HeldPermit) bool { return !at.Before(p.From) && at.Before(p.To) })
}

// total makes a receipt's sums anew after lines were added.
func total(r *tariff.Receipt) {
	r.TotalCents = 0
	for i := range r.Lines {
		r.TotalCents += int64(r.Lines[i].AmountCents)
	}
	r.DueCents = max(0, r.TotalCents-r.PaidCents)
	r.CreditCents = max(0, r.PaidCents-r.TotalCents)
}

// setTotal makes the receipt come to an amount, by one more line.
func setTotal(r *tariff.Receipt, amount int64, kind, text, rule string, at time.Time) {
	if difference := amount - r.TotalCents; difference != 0 {
		r.Lines = append(r.Lines, tariff.Line{
			Kind: kind, Text: text, From: at, To: at, Units: 1,
			UnitCents: tariff.Cents(difference), AmountCents: tariff.Cents(difference), Rule: rule,
		})
	}
	total(r)
}
