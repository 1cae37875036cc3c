// Package bankemu owns a payment provider for development and tests: an HTTP
// server with cards, bank accounts and stored value behind tokens, that takes
// charges, refunds and pay-outs by the protocol of billing/payment/bank, sends
// signed notices, and can be told to misbehave as real providers do.
//
// Invariants: whatever it is told to answer, its own books are right: what
// Totals says was taken and given is what the tokens lost and won; one
// reference has one effect, unless it is told to take twice.
//
// Not promised: anything that real money needs. It forgets everything when its
// process ends; its time is the clock's that it was given.
package bankemu

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"freeflow/billing"
	"freeflow/billing/payment/bank"
	"freeflow/internal/clock"
)

// What rules can be about.
const (
	OnCharge = "charge"
	OnRefund = "refund"
	OnPayout = "payout"
	OnQuery  = "query"
	OnNotice = "notice"
	OnAny    = "any" // any call, not notices
)

// What rules can do to calls.
const (
	// Decline declines with the rule's reason.
	Decline = "decline"
	// ErrorBefore answers 500 and does nothing, ErrorAfter does it first.
	ErrorBefore = "error-before"
	ErrorAfter  = "error-after"
	// CutBefore breaks the connection and does nothing, CutAfter does it first.
	CutBefore = "cut-before"
	CutAfter  = "cut-after"
	// HangAfter does it and never answers: the caller's time runs out.
	HangAfter = "hang-after"
	// Slow does it and answers after the rule's time.
	Slow = "slow"
	// Pending keeps it undecided; after the rule's time it succeeds, or is
	// declined if there is a reason.
	Pending = "pending"
	// AbsentFor makes queries say that the reference is not known.
	AbsentFor = "absent"
	// Outage answers 503 and does nothing.
	Outage = "outage"
	// Twice takes the money twice; the second time is told by a notice alone.
	Twice = "twice"
)

// What rules can do to notices.
const (
	// Lost sends none, Late sends it after the rule's time, Early before the
	// answer to the call, Duplicate twice, Forged another before it that is not
	// signed by us, Replay the very same bytes once more after the rule's time.
	Lost      = "lost"
	Late      = "late"
	Early     = "early"
	Duplicate = "duplicate"
	Forged    = "forged"
	Replay    = "replay"
)

// Rule makes the provider misbehave.
type Rule struct {
	// On is what it is about, Do what it does: the constants of this package.
	On string `json:"on"`
	Do string `json:"do"`
	// Times is how often, then the rule is over; 0 is for ever.
	Times int `json:"times,omitempty"`
	// Every lets only each so many-th call be met; 0 and 1 are all.
	Every int `json:"every,omitempty"`
	// Seconds is the rule's time.
	Seconds int64 `json:"seconds,omitempty"`
	// Reason of a decline; Final says that the means are of no use any more.
	Reason string `json:"reason,omitempty"`
	Final  bool   `json:"final,omitempty"`
	met    int
}

// Config is what an emulator is made of.
type Config struct {
	Clock clock.Clock
	Log   *slog.Logger
	// Key opens the provider's API, AdminKey what tells it to misbehave; each of
	// at least 16 bytes.
	Key, AdminKey string
	// NoticeURL is where notices go; empty sends none. Epoch and Secret sign
	// them.
	NoticeURL, Epoch, Secret string
	// HTTP sends the notices; nil is a client with a time limit of 10 seconds.
	HTTP *http.Client
}

// account is what stands behind a token.
type account struct {
	kind     string
	cents    int64
	currency string
	decline  string
}

// transfer is one effect.
type transfer struct {
	bank.Transfer
	kind  string
	order bank.Order
	cents int64
	// given is how much refunds gave back of it.
	given int64
	// decideAt is when a pending one is decided.
	decideAt time.Time
	then     string
	// extra are what was taken beyond it, under the same reference.
	extra []bank.Transfer
}

// Emulator is a provider. Safe for concurrent use.
type Emulator struct {
	Config
	mu        sync.Mutex
	rules     []*Rule
	accounts  map[string]*account
	transfers map[string]*transfer
	credits   []credit
	outbox    []notice
	calls     map[string]int
	serial    int
}

// credit is money sent by a payer.
type credit struct {
	id, bill, payer, at string
	cents               int64
	currency            string
}

// transfer is the credit as it is told.
func (c *credit) transfer() bank.Transfer {
	return bank.Transfer{
		ID: c.id, Status: succeeded, Amount: billing.FormatCents(c.cents), Currency: c.currency, At: c.at, Bill: c.bill, Means: "fps", Payer: c.payer,
	}
}

// Bounds of what is kept: it is for tests and demonstrations.
const (
	maxTransfers = 1_000_000
	maxOutbox    = 100_000
)

// New returns an emulator without any money.
func New(c Config) (*Emulator, error) {
	if c.Clock == nil || c.Log == nil || len(c.Key) < 16 || len(c.AdminKey) < 16 {
		return nil, errors.New("local payment provider: clock, log and two keys of at least 16 bytes are needed")
	}
	if c.NoticeURL != "" && (c.Epoch == "" || len(c.Secret) < 16) {
		return nil, errors.New("local payment provider: notices need an epoch and a secret of at least 16 bytes")
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	return &Emulator{Config: c, accounts: map[string]*account{}, transfers: map[string]*transfer{}, calls: map[string]int{}}, nil
}

// Tell adds rules; the first that fits a call is met.
func (e *Emulator) Tell(rules ...Rule) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range rules {
		e.rules = append(e.rules, &r)
	}
}

// Behave forgets all rules.
func (e *Emulator) Behave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rules = nil
}

// rule finds the first rule for a call, and counts it. The lock is held.
func (e *Emulator) rule(on string, kinds ...string) *Rule {
	for i, r := range e.rules {
		if r.On != on && (r.On != OnAny || on == OnNotice) || len(kinds) > 0 && !slices.Contains(kinds, r.Do) {
			continue
		}
		r.met++
		if r.Every > 1 && r.met%r.Every != 0 {
			continue
		}
		hit := r.met
		if r.Every > 1 {
			hit /= r.Every
		}
		if r.Times > 0 && hit >= r.Times {
			e.rules = slices.Delete(e.rules, i, i+1)
		}
		return r
	}
	return nil
}

// AddToken makes a token of a kind (card, bank, stored-value) with money behind
// it, in cents. A name makes it that one; empty makes a new one.
func (e *Emulator) AddToken(name, kind string, cents int64, currency string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if name == "" {
		name = "tok_" + rand.Text()
	}
	e.accounts[name] = &account{kind: kind, cents: cents, currency: currency}
	return name
}

// DeclineToken makes a token decline with a reason from now on; empty stops it.
func (e *Emulator) DeclineToken(token, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a := e.accounts[token]; a != nil {
		a.decline = reason
	}
}

// Balance is what stands behind a token, in cents.
func (e *Emulator) Balance(token string) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a := e.accounts[token]; a != nil {
		return a.cents
	}
	return 0
}

// Totals are what was taken from payers and given to them, in cents of a
// currency, and how many charges succeeded.
type Totals struct {
	TakenCents, GivenCents int64
	Charges                int
}

// Totals adds up the provider's own books.
func (e *Emulator) Totals(currency string) Totals {
	e.mu.Lock()
	defer e.mu.Unlock()
	var t Totals
	for _, one := range e.transfers {
		if one.Status != succeeded || one.order.Currency != currency {
			continue
		}
		if one.kind == OnCharge {
			t.TakenCents += one.cents * int64(1+len(one.extra))
			t.Charges += 1 + len(one.extra)
		} else {
			t.GivenCents += one.cents
		}
	}
	for _, one := range e.credits {
		if one.currency == currency {
			t.TakenCents += one.cents
		}
	}
	return t
}

// Calls counts how often a kind of call was made.
func (e *Emulator) Calls(on string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[on]
}

// Taken is how much a reference took, in cents: more than once its amount only
// where the provider was told so.
func (e *Emulator) Taken(reference string) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.transfers[reference]
	if t == nil || t.Status != succeeded {
		return 0
	}
	return t.cents * int64(1+len(t.extra))
}

// References lists what was ever asked for, in order.
func (e *Emulator) References() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]string, 0, len(e.transfers))
	for reference := range e.transfers {
		all = append(all, reference)
	}
	slices.Sort(all)
	return all
}

// Send is money that a payer sends by a bill number, as by scanning an FPS QR
// code; it is told by a notice.
func (e *Emulator) Send(ctx context.Context, bill, payer string, cents int64, currency string) error {
	if cents <= 0 {
		return fmt.Errorf("local payment provider: %s cannot be sent", billing.FormatCents(cents))
	}
	e.mu.Lock()
	if e.accounts[payer] == nil {
		e.accounts[payer] = &account{kind: "bank", cents: cents, currency: currency}
	}
	e.accounts[payer].cents -= cents
	e.serial++
	one := credit{id: fmt.Sprintf("fps-%06d", e.serial), bill: bill, payer: payer, cents: cents, currency: currency}
	one.at = e.instant()
	e.credits = append(e.credits, one)
	early := e.enqueue(bank.Notice{Transfer: one.transfer()})
	e.mu.Unlock()
	return e.send(ctx, early)
}

// TakeBack makes the payer's bank take a charge back.
func (e *Emulator) TakeBack(ctx context.Context, reference string) error {
	e.mu.Lock()
	t := e.transfers[reference]
	if t == nil || t.kind != OnCharge || t.Status != succeeded {
		e.mu.Unlock()
		return errors.New("local payment provider: there is no charge of that reference that succeeded")
	}
	t.Status, t.Reason = "reversed", "chargeback"
	if a := e.accounts[t.order.Token]; a != nil {
		a.cents += t.cents
	}
	early := e.enqueue(bank.Notice{Transfer: t.Transfer})
	e.mu.Unlock()
	return e.send(ctx, early)
}

// instant is the clock's time as it is written.
func (e *Emulator) instant() string { return e.Clock.Now().UTC().Format(time.RFC3339Nano) }

const (
	succeeded = "succeeded"
	declined  = "declined"
	pending   = "pending"
)

// accept gives an order its effect. The lock is held; early are notices to be
// sent before the answer.
func (e *Emulator) accept(kind string, o bank.Order, r *Rule) (t *transfer, early []notice, err error) {
	if was := e.transfers[o.Reference]; was != nil {
		if was.kind != kind || was.order != o {
			return nil, nil, errReused
		}
		e.decide(was)
		return was, nil, nil
	}
	cents, err := billing.ParseCents(o.Amount)
	if err != nil || cents <= 0 {
		return nil, nil, fmt.Errorf("%w: amount %q", errBadOrder, o.Amount)
	}
	until, err := time.Parse(time.RFC3339, o.ValidUntil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: valid_until %q", errBadOrder, o.ValidUntil)
	}
	if len(e.transfers) >= maxTransfers {
		return nil, nil, errors.New("local payment provider: it is full; start it anew")
	}
	e.serial++
	t = &transfer{kind: kind, order: o, cents: cents, Transfer: bank.Transfer{
		ID: fmt.Sprintf("trf-%06d", e.serial), Reference: o.Reference, Amount: billing.FormatCents(cents), Currency: o.Currency, At: e.instant(),
	}}
	e.transfers[o.Reference] = t
	switch {
	case e.Clock.Now().After(until):
		t.Status, t.Reason = declined, "no-longer-valid"
	case r != nil && r.Do == Decline:
		t.Status, t.Reason, t.Final = declined, cmp.Or(r.Reason, "declined"), r.Final
	case r != nil && r.Do == Pending:
		t.Status, t.decideAt, t.then = pending, e.Clock.Now().Add(time.Duration(r.Seconds)*time.Second), r.Reason
		return t, nil, nil
	default:
		e.move(t)
	}
	early = e.enqueue(bank.Notice{Transfer: t.Transfer})
	if r != nil && r.Do == Twice && t.Status == succeeded {
		again := t.Transfer
		e.serial++
		again.ID = fmt.Sprintf("trf-%06d", e.serial)
		t.extra = append(t.extra, again)
		if a := e.accounts[o.Token]; a != nil {
			a.cents -= cents
		}
		early = append(early, e.enqueue(bank.Notice{Transfer: again})...)
	}
	return t, early, nil
}

// Errors of orders that have no effect.
var (
	errReused   = errors.New("the reference stands for another order")
	errBadOrder = errors.New("the order is not valid")
)

// move moves a transfer's money, or declines it.
func (e *Emulator) move(t *transfer) {
	refuse := func(reason string, final bool) { t.Status, t.Reason, t.Final = declined, reason, final }
	if t.kind == OnRefund {
		of := e.transfers[t.order.Original]
		if of == nil || of.kind != OnCharge || of.Status != succeeded || of.given+t.cents > of.cents*int64(1+len(of.extra)) || of.order.Currency != t.order.Currency {
			refuse("not-refundable", true)
			return
		}
		of.given += t.cents
		if a := e.accounts[of.order.Token]; a != nil {
			a.cents += t.cents
		}
		t.Status = succeeded
		return
	}
	a := e.accounts[t.order.Token]
	switch {
	case a == nil:
		refuse("unknown-token", true)
	case a.currency != t.order.Currency:
		refuse("other-currency", true)
	case t.kind == OnPayout:
		a.cents += t.cents
		t.Status = succeeded
	case a.decline != "":
		refuse(a.decline, a.decline == "stolen" || a.decline == "closed")
	case a.cents < t.cents:
		refuse("insufficient-funds", false)
	default:
		a.cents -= t.cents
		t.Status = succeeded
	}
}

// decide ends what is pending and whose time has come, and makes its notice.
func (e *Emulator) decide(t *transfer) {
	if t.Status != pending || e.Clock.Now().Before(t.decideAt) {
		return
	}
	if t.then != "" {
		t.Status, t.Reason = declined, t.then
	} else {
		e.move(t)
	}
	t.At = e.instant()
	// What would be early is merely due: the answer to the order is long out.
	early := e.enqueue(bank.Notice{Transfer: t.Transfer})
	e.outbox = append(e.outbox, early...)
}
