package dispute

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/notice"
	"freeflow/billing/recovery"
	"freeflow/internal/clock"
)

// Rules are the numbers of this package's work.
type Rules struct {
	// AnswerDays are the business days in which a dispute is answered.
	AnswerDays int
	// ApproveAboveCents: a ruling by which more than this is no longer owed needs
	// a second person.
	ApproveAboveCents int64
	// AutoCents is the most that one exact duplicate gives back by itself,
	// AutoDayCents the most of all within 24 hours, against mistakes of our own;
	// beyond either a person decides.
	AutoCents, AutoDayCents int64
	// Revisable are the kinds of charges that are corrected here; others are
	// where they are kept.
	Revisable []string
	Currency  string
}

// HongKong are the rules of the network hongkong: 5 working days are the
// portal's own promise; the limits are assumed.
func HongKong() Rules {
	return Rules{
		AnswerDays: 5, ApproveAboveCents: 50_000, AutoCents: 20_000, AutoDayCents: 2_000_000,
		Revisable: []string{recovery.KindSurcharge, "fee"}, Currency: "HKD",
	}
}

// Tolls is what rulings need of the tolls.
type Tolls interface {
	// Rate returns the toll of a class at a toll point by the tariff in force at
	// an instant, and the rule and version that gave it. billing.ErrInvalid where
	// there is none.
	Rate(point, class string, at time.Time) (cents int64, rule string, err error)
	// Basis is the digest of what a person sees of a pass: while later reads leave
	// it, the decision stands.
	Basis(p billing.Pass) string
}

// Refunder sends money back to where it came from.
type Refunder interface {
	// GiveBack orders it out of a wallet, in the transaction that *books.Tx is
	// part of; the same id again changes nothing. It returns how much could be
	// sent; what could not stays in the wallet.
	GiveBack(ctx context.Context, tx Tx, id, holder string, cents int64, currency, reason string) (sent int64, err error)
}

// Service takes disputes and decides them. Safe for concurrent use and by
// several processes.
type Service struct {
	Keeping  Keeping
	Ladder   *recovery.Ladder
	Gatherer Gatherer
	Tolls    Tolls
	// Refunder is nil where payments are not run: refunds then wait.
	Refunder Refunder
	Rules    Rules
	Clock    clock.Clock
	Log      *slog.Logger
	// Failed counts items of a job that failed; nil counts nothing.
	Failed func(job string)
}

// Opening is what somebody says against a charge.
type Opening struct {
	Receivable, Reason, Text string
	Origin                   string
	// Account must owe the charge, where it is not empty; Vehicle likewise.
	Account, Vehicle string
	// Refund asks that what comes back goes to where it came from.
	Refund bool
	// Flag is the key of the flag that opens it.
	Flag string
	// Previous must be the latest dispute of the charge, where it is not empty.
	Previous string
}

// Open opens a dispute, and returns the one there is where the same was said
// before. A dispute that a flag opened becomes the motorist's who says the same
// charge is wrong. billing.ErrNotFound: no such charge, or another's;
// billing.ErrConflict: nothing is owed, or another dispute is open, or the
// grounds are not new.
func (s *Service) Open(ctx context.Context, tx Tx, o Opening, deed Deed) (Dispute, error) {
	d, err := s.open(ctx, tx, o, deed)
	if err != nil {
		return Dispute{}, fmt.Errorf("opening a dispute: %w", err)
	}
	return d, nil
}

func (s *Service) open(ctx context.Context, tx Tx, o Opening, deed Deed) (Dispute, error) {
	if err := errors.Join(o.check(), checkDeed(deed)); err != nil {
		return Dispute{}, err
	}
	sub, err := s.subject(ctx, tx, o.Receivable)
	if err != nil {
		return Dispute{}, err
	}
	if o.Account != "" && sub.account != o.Account || o.Vehicle != "" && sub.vehicle != o.Vehicle {
		return Dispute{}, billing.ErrNotFound
	}
	earlier, err := tx.DisputesOf(ctx, o.Receivable)
	if err != nil {
		return Dispute{}, err
	}
	if n := len(earlier); n > 0 && Open(earlier[n-1].State) {
		return s.join(ctx, tx, earlier[n-1].Reference, o, deed)
	}
	if sub.cents == 0 {
		return Dispute{}, conflict("nothing is owed for it")
	}
	d := Dispute{
		Reference: rand.Text()[:16], Receivable: o.Receivable, Origin: o.Origin, Account: sub.account, Vehicle: sub.vehicle,
		AmountCents: sub.cents, Currency: sub.currency, Reason: o.Reason, Text: strings.TrimSpace(o.Text), State: Opened,
		OpenedAt: deed.Now.UTC().Truncate(time.Microsecond), Flag: o.Flag, Revision: 1,
	}
	if o.Refund {
		d.Refund = RefundWanted
	}
	if err := d.after(earlier, o); err != nil {
		return Dispute{}, err
	}
	// Where the calendar does not reach so far the deadline is not guessed, and
	// the dispute is not refused: Work asks again, loudly.
	if due, err := s.Ladder.Calendar.BusinessDays(recovery.DayOf(deed.Now, s.Ladder.Zone), s.Rules.AnswerDays, nil); err == nil {
		d.DueDay = due
	} else {
		s.Log.ErrorContext(ctx, "a dispute has no last day to answer", "dispute", d.Reference, "err", err)
	}
	if err := tx.PutDispute(ctx, d, d.event(o.Origin+" opened it", deed)); err != nil {
		return Dispute{}, err
	}
	if err := s.freeze(ctx, tx, d, deed); err != nil {
		return Dispute{}, err
	}
	if err := tx.RecordDispute(ctx, "dispute.opened", d, deed, map[string]any{"receivable": d.Receivable, "reason": d.Reason, "amount_cents": d.AmountCents}); err != nil {
		return Dispute{}, err
	}
	return d, s.tell(ctx, tx, d)
}

func (o *Opening) check() error {
	if !slices.Contains(Reasons(), o.Reason) {
		return invalid("a reason is one of %s", strings.Join(Reasons(), ", "))
	}
	if o.Origin != Motorist && o.Origin != Staff && o.Origin != System {
		return invalid("an origin is %s, %s or %s", Motorist, Staff, System)
	}
	// What can be read from a code needs no words; other grounds do.
	return checkText("the text", o.Text, maxText, o.Reason == Other)
}

// after compares with earlier disputes of the charge: where one was answered,
// the grounds must be new, and who answered may not answer again.
func (d *Dispute) after(earlier []Dispute, o Opening) error {
	if n := len(earlier); o.Previous != "" && (n == 0 || earlier[n-1].Reference != o.Previous) {
		return conflict("%s is not the latest dispute of the charge", o.Previous)
	}
	for _, e := range earlier {
		if e.Ruling == nil || e.State == Withdrawn {
			continue
		}
		d.Previous = e.Reference
		if d.Origin == System {
			return conflict("a person has decided a dispute of it")
		}
		if d.Text == "" || e.Reason == d.Reason && e.Text == d.Text {
			return conflict("dispute %s of it was decided; say in other words what is new", e.Reference)
		}
		for _, name := range []string{e.Ruling.By, e.Ruling.ApprovedBy} {
			if name != "" && !slices.Contains(d.Barred, name) {
				d.Barred = append(d.Barred, name)
			}
		}
	}
	return nil
}

// join is Open where a dispute is open.
func (s *Service) join(ctx context.Context, tx Tx, reference string, o Opening, deed Deed) (Dispute, error) {
	d, err := tx.LockDispute(ctx, reference)
	if err != nil {
		return Dispute{}, err
	}
	text := strings.TrimSpace(o.Text)
	switch {
	case !Open(d.State):
		return Dispute{}, conflict("a dispute of it was just closed; look again")
	case d.Origin == o.Origin && d.Reason == o.Reason && d.Text == text:
		return d, nil // the same again
	case d.Origin != System || o.Origin == System:
		return Dispute{}, conflict("a dispute of it is open")
	}
	d.Origin, d.Reason, d.Text = o.Origin, o.Reason, text
	if o.Refund {
		d.Refund = RefundWanted
	}
	d.Revision++
	if err := tx.PutDispute(ctx, d, d.event(o.Origin+" says so too", deed)); err != nil {
		return Dispute{}, err
	}
	if err := tx.RecordDispute(ctx, "dispute.joined", d, deed, map[string]any{"reason": d.Reason}); err != nil {
		return Dispute{}, err
	}
	return d, s.tell(ctx, tx, d)
}

// OpenByNotice opens a dispute for somebody without an account, who holds a
// notice: its number and the plate on it go together, or there is nothing to be
// found. The receivable must be one that the notice names.
func (s *Service) OpenByNotice(ctx context.Context, tx Tx, plate, number string, o Opening, now time.Time) (Dispute, error) {
	named, err := tx.NoticeNames(ctx, plate, number)
	if err == nil && (number == "" || !slices.Contains(named, o.Receivable)) {
		err = billing.ErrNotFound
	}
	if err != nil {
		return Dispute{}, fmt.Errorf("opening a dispute by a notice: %w", err)
	}
	o.Origin, o.Account, o.Vehicle = Motorist, "", ""
	return s.Open(ctx, tx, o, Deed{By: "motorist", Role: "notice", Now: now})
}

// subject is what a dispute is about, as it stands.
type subject struct {
	pass                       *billing.Pass
	charge                     *billing.Charge
	account, vehicle, currency string
	cents, revision            int64
}

func (s *Service) subject(ctx context.Context, tx Tx, receivable string) (subject, error) {
	if id, ok := strings.CutPrefix(receivable, billing.ReceivablePass); ok {
		p, err := tx.PassStands(ctx, id)
		if err != nil {
			return subject{}, err
		}
		sub := subject{pass: &p, account: p.Account, vehicle: p.Vehicle, currency: p.Currency, revision: p.Revision}
		if p.MergedInto == "" && (p.Status == billing.StatusCharged || p.Status == billing.StatusUnpaid) {
			sub.cents = p.AmountCents
		}
		if p.Status == billing.StatusUnpaid {
			sub.account = ""
		}
		return sub, nil
	}
	if id, ok := strings.CutPrefix(receivable, billing.ReceivableCharge); ok {
		c, err := tx.ChargeStands(ctx, id)
		if err != nil {
			return subject{}, err
		}
		return subject{charge: &c, account: c.Account, vehicle: c.Vehicle, currency: c.Currency, cents: c.AmountCents, revision: c.Revision}, nil
	}
	return subject{}, invalid("a charge is named as %sID or %sID", billing.ReceivablePass, billing.ReceivableCharge)
}

// surchargeOf is the toll of which a receivable is a surcharge, or itself.
func surchargeOf(receivable string) string {
	for _, rung := range []int{1, 2} {
		if toll, ok := strings.CutPrefix(receivable, billing.ReceivableCharge+recovery.SurchargeID(rung, "")); ok {
			return toll
		}
	}
	return receivable
}

// surcharges are the receivables of a toll's surcharges; none of another
// charge.
func surcharges(receivable string) []string {
	if !strings.HasPrefix(receivable, billing.ReceivablePass) {
		return nil
	}
	return []string{billing.ReceivableCharge + recovery.SurchargeID(1, receivable), billing.ReceivableCharge + recovery.SurchargeID(2, receivable)}
}

// holdName is why a receivable is held, and the id of the ladder's pause.
func holdName(reference string) string { return "dispute:" + reference }

// freeze keeps the charge from being collected and its deadlines from running.
func (s *Service) freeze(ctx context.Context, tx Tx, d Dispute, deed Deed) error {
	deed.Reason = "dispute " + d.Reference + " is open"
	if err := s.Ladder.Stop(ctx, tx, holdName(d.Reference), surchargeOf(d.Receivable), deed); err != nil {
		return err
	}
	for i, id := range append([]string{d.Receivable}, surcharges(d.Receivable)...) {
		h := Hold{Reference: d.Reference, Receivable: id}
		if i > 0 {
			// A surcharge is held if there is one.
			if _, err := tx.ChargeStands(ctx, strings.TrimPrefix(id, billing.ReceivableCharge)); errors.Is(err, billing.ErrNotFound) {
				continue
			} else if err != nil {
				return err
			}
		}
		if err := s.hold(ctx, tx, h); err != nil {
			return err
		}
	}
	return nil
}

// hold holds a receivable; where its posting is not followed yet, or something
// else holds it, Work tries again.
func (s *Service) hold(ctx context.Context, tx Tx, h Hold) error {
	err := tx.Hold(ctx, h.Receivable, "", holdName(h.Reference))
	h.Held = err == nil
	if err != nil && !errors.Is(err, billing.ErrNotFound) && !errors.Is(err, billing.ErrConflict) {
		return err
	}
	return tx.PutDisputeHold(ctx, h)
}

// thaw is the opposite of freeze: the rest of the charge is collected again.
func (s *Service) thaw(ctx context.Context, tx Tx, d Dispute, deed Deed) error {
	holds, err := tx.DisputeHolds(ctx, d.Reference)
	if err != nil {
		return err
	}
	for _, h := range holds {
		if h.Held {
			err := tx.Hold(ctx, h.Receivable, holdName(h.Reference), "")
			if err != nil && !errors.Is(err, billing.ErrNotFound) && !errors.Is(err, billing.ErrConflict) {
				return err
			}
		}
		if err := tx.DropDisputeHold(ctx, h); err != nil {
			return err
		}
	}
	deed.Reason = "dispute " + d.Reference + " is closed"
	return s.Ladder.Resume(ctx, tx, holdName(d.Reference), surchargeOf(d.Receivable), deed)
}

// maxOpen bounds what is collected of a wallet when a dispute ends.
const maxOpen = 200

// collect pays what is open out of a wallet that pays by itself.
func (s *Service) collect(ctx context.Context, tx Tx, account, currency string, now time.Time) error {
	if account == "" {
		return nil
	}
	w, err := tx.Wallet(ctx, account, currency)
	if err != nil || w.Manual || w.BalanceCents == 0 {
		return err
	}
	_, err = tx.CollectOpen(ctx, account, currency, maxOpen, now)
	return err
}

func (d *Dispute) event(what string, deed Deed) Event {
	return Event{Reference: d.Reference, Revision: d.Revision, At: deed.Now, State: d.State, What: what, By: deed.By, Role: deed.Role, Reason: deed.Reason}
}

// stateWords are what the motorist reads of a state.
var stateWords = map[string][2]string{
	Opened:      {"received", "已收到"},
	UnderReview: {"being looked into", "處理中"},
	Upheld:      {"you are right; the charge is corrected", "爭議成立，收費已更正"},
	Partly:      {"partly right; the charge is corrected", "爭議部分成立，收費已更正"},
	Rejected:    {"the charge stands", "爭議不成立，維持原有收費"},
	Withdrawn:   {"withdrawn", "已撤回"},
}

// tell sends the motorist a notice of how the dispute stands. Of what we raised
// ourselves nobody is told before it is decided.
func (s *Service) tell(ctx context.Context, tx Tx, d Dispute) error {
	words, told := stateWords[d.State]
	if !told || d.Origin == System {
		return nil
	}
	n := notice.Notice{
		ID: fmt.Sprintf("dispute:%s:%d", d.Reference, d.Revision), Kind: notice.Dispute, Account: d.Account, Vehicle: d.Vehicle, IssuedAt: s.Clock.Now(),
		Facts: map[string]string{"reference": d.Reference, "state": words[0], "state@zh-HK": words[1]},
	}
	if Open(d.State) {
		if d.DueDay != 0 {
			n.Facts["answer_by"] = d.DueDay.String()
		}
	} else if d.Ruling != nil && d.State != Withdrawn {
		n.Facts["reason"] = d.Ruling.Words
	}
	return notice.Issue(ctx, tx, n)
}
