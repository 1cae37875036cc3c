// Package account owns motorists' accounts, their vehicles and their tags: who
// answers for a plate or a tag at an instant, and the life of every tag.
//
// Invariants:
//   - at one instant a plate is one account's vehicle, and a tag is bound to
//     one vehicle, or as a class tag to one account: changes of one mark wait
//     for each other, and what would overlap is refused;
//   - nothing is ever edited: a holding that was wrong is replaced by another
//     and kept, accounts keep their revisions, a tag its events;
//   - what is held and what the registry says move in one transaction, so that
//     the matcher judges by it within a second, as of each read's own time; a
//     backdated change is judged again from kept reads (tolling/rejudge).
//
// Not owned here: money (billing.Money, billing/payment), what makes a pass
// (tolling). Not promised: that a name or address is true.
package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"freeflow/billing"
)

// Kinds of accounts.
const (
	// Individual is an owner of vehicles; Company one with many; Driver somebody
	// who drives others' vehicles and pays while on shift.
	Individual = "individual"
	Company    = "company"
	Driver     = "driver"
)

// States of accounts.
const (
	Open = "open"
	// Closing: closed from ClosesAt on for new passes; money may still be owed
	// either way.
	Closing = "closing"
	// Closed: nothing is owed, nothing held.
	Closed = "closed"
)

// Account is one account as it stands.
type Account struct {
	// ID is made by who opens the account and never changes.
	ID   string
	Kind string
	Name string
	// Email and Mobile are where notices go; at least one is set.
	Email, Mobile string
	// Language is "en" or "zh-HK".
	Language string
	State    string
	// OpenedAt and ClosesAt bound the account's life; ClosesAt is the zero value
	// while it is open.
	OpenedAt, ClosesAt time.Time
	// Revision counts the changes, from 1.
	Revision int64
}

// Revision is one revision of an account, and who made it.
type Revision struct {
	Account
	At         time.Time
	By, Reason string
}

// Holding says that over [From, To) a plate is a vehicle of an account, that a
// tag is bound to a plate, or that a class tag is an account's.
type Holding struct {
	ID      string
	Account string
	// Plate is the compared form; empty for a class tag.
	Plate string
	// Tag is the compared form; empty for the vehicle itself.
	Tag string
	// Class is the vehicle's registered class, or the class tag's; empty where a
	// tag is bound to a plate, whose holding says it.
	Class  string
	Exempt bool
	// From is inclusive; To exclusive, the zero value meaning without end.
	From, To time.Time
	// RecordedAt is when it was written down, By and Reason by whom and why.
	RecordedAt time.Time
	By, Reason string
	// ReplacedAt is when another took its place, or it was taken back; the zero
	// value while it stands.
	ReplacedAt time.Time
}

// Touches reports whether the holdings have an instant in common.
func (h Holding) Touches(o Holding) bool {
	return (o.To.IsZero() || h.From.Before(o.To)) && (h.To.IsZero() || o.From.Before(h.To))
}

// holds reports whether the holding is in force at the instant.
func (h Holding) holds(at time.Time) bool {
	return !at.Before(h.From) && (h.To.IsZero() || at.Before(h.To))
}

// Deed is who does something, when and why.
type Deed struct {
	// By names the person or job, Role what they act as ("operator", "motorist",
	// "system"), Reason why; a reason is needed where the past is changed.
	By, Role, Reason string
	// Now is when it is done.
	Now time.Time
}

// Tx is what this package needs of one transaction. Each Put with a revision
// of 1 adds, and with a higher one changes what has the revision before:
// billing.ErrStale otherwise.
type Tx interface {
	// LockMarks keeps other changes of the marks waiting until the transaction
	// ends. A mark is "plate:" or "tag:" and its text, "account:" and an id.
	LockMarks(ctx context.Context, marks []string) error
	// Account returns one; billing.ErrNotFound.
	Account(ctx context.Context, id string) (Account, error)
	// PutAccount adds a revision.
	PutAccount(ctx context.Context, a Account, d Deed) error
	// AccountRevisions returns all revisions, oldest first.
	AccountRevisions(ctx context.Context, id string) ([]Revision, error)
	// Holding returns one, also one that was replaced; billing.ErrNotFound.
	Holding(ctx context.Context, id string) (Holding, error)
	// HoldingsOf returns the standing holdings of a mark, or of an account, as
	// LockMarks names it, in the order of From and ID; with all also those that
	// were replaced.
	HoldingsOf(ctx context.Context, mark string, all bool) ([]Holding, error)
	// AddHolding adds one; billing.ErrConflict if the id is there.
	AddHolding(ctx context.Context, h Holding, d Deed) error
	// ReplaceHolding ends the standing of one.
	ReplaceHolding(ctx context.Context, id string, d Deed) error
	// Tag returns a tag as it stands; billing.ErrNotFound.
	Tag(ctx context.Context, tag string) (Tag, error)
	// PutTag writes a tag as it stands after the event, and the event.
	PutTag(ctx context.Context, t Tag, e TagEvent, d Deed) error
	// TagEvents returns all events of a tag, oldest first.
	TagEvents(ctx context.Context, tag string) ([]TagEvent, error)
	// TagsOf returns the tags of an account in the order of their text.
	TagsOf(ctx context.Context, account string) ([]Tag, error)
	// AmendRegistry takes rows out of the registry and puts others in, as of one
	// new version. billing.ErrConflict where a row of another source says
	// otherwise of the same mark.
	AmendRegistry(ctx context.Context, remove, add []billing.Assignment, at time.Time) error
	// PutWallet and PutHeir are billing.Money's.
	PutWallet(ctx context.Context, holder, currency string, manual bool) error
	PutHeir(ctx context.Context, holder, currency, heir string, from time.Time) error
}

// Bounds of what is kept, in bytes.
const (
	maxID     = 128
	maxName   = 200
	maxReason = 1000
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{billing.ErrInvalid}, args...)...)
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{billing.ErrConflict}, args...)...)
}

func (d Deed) check() error {
	switch {
	case d.By == "" || d.Role == "":
		return invalid("it is not said who does it, and as what")
	case len(d.Reason) > maxReason:
		return invalid("the reason has %d bytes, at most %d", len(d.Reason), maxReason)
	case d.Now.IsZero():
		return invalid("it is not said when it is done")
	}
	return nil
}

// backdated refuses a change of the past without a reason.
func (d Deed) backdated(at time.Time) error {
	if at.Before(d.Now.Add(-graceForPast)) && strings.TrimSpace(d.Reason) == "" {
		return invalid("a change as of %s is in the past; say why", at.Format(time.RFC3339))
	}
	return nil
}

// graceForPast is what counts as now: forms take a while to fill in.
const graceForPast = 15 * time.Minute

// check refuses what can be no account.
func (a Account) check() error {
	switch {
	case a.ID == "" || len(a.ID) > maxID || strings.ContainsAny(a.ID, " :/\x00"):
		return invalid("the account's id must be 1 to %d bytes without spaces, colons and slashes", maxID)
	case a.Kind != Individual && a.Kind != Company && a.Kind != Driver:
		return invalid("kind %q; there are %s, %s, %s", a.Kind, Individual, Company, Driver)
	case strings.TrimSpace(a.Name) == "" || len(a.Name) > maxName || !utf8.ValidString(a.Name):
		return invalid("the name must be 1 to %d bytes of text", maxName)
	case a.Email == "" && a.Mobile == "":
		return invalid("an e-mail address or a mobile number is needed, for notices")
	case a.Language != "en" && a.Language != "zh-HK":
		return invalid("language %q; there are en, zh-HK", a.Language)
	case a.OpenedAt.IsZero():
		return invalid("the account lacks the instant from which it is open")
	}
	return errors.Join(checkEmail(a.Email), checkMobile(a.Mobile))
}

func checkEmail(text string) error {
	if text == "" {
		return nil
	}
	parsed, err := mail.ParseAddress(text)
	if err != nil || parsed.Address != text || len(text) > maxName || strings.ToLower(text) != text {
		return invalid("%q is not an e-mail address in lower case, such as chan@example.hk", text)
	}
	return nil
}

func checkMobile(text string) error {
	digits, ok := strings.CutPrefix(text, "+")
	if text == "" {
		return nil
	}
	if !ok || len(digits) < 7 || len(digits) > 15 || strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) {
		return invalid("%q is not a mobile number with its country code, such as +85291234567", text)
	}
	return nil
}

// OpenAccount opens an account. Doing it again with the same content changes
// nothing; billing.ErrConflict if the id is another's.
func OpenAccount(ctx context.Context, tx Tx, a Account, d Deed) (Account, error) {
	a.State, a.Revision, a.ClosesAt = Open, 1, time.Time{}
	if err := errors.Join(a.check(), d.check()); err != nil {
		return Account{}, fmt.Errorf("opening an account: %w", err)
	}
	if err := tx.LockMarks(ctx, []string{"account:" + a.ID}); err != nil {
		return Account{}, fmt.Errorf("opening an account: %w", err)
	}
	was, err := tx.Account(ctx, a.ID)
	if err == nil {
		first := was
		first.Revision, first.State, first.ClosesAt = 1, Open, time.Time{}
		if first == a {
			return was, nil
		}
		return Account{}, fmt.Errorf("opening an account: %w", conflict("the id %s is another account's", a.ID))
	}
	if !errors.Is(err, billing.ErrNotFound) {
		return Account{}, fmt.Errorf("opening an account: %w", err)
	}
	if err := tx.PutAccount(ctx, a, d); err != nil {
		return Account{}, fmt.Errorf("opening an account: %w", err)
	}
	return a, nil
}

// Details are what the holder may change.
type Details struct{ Name, Email, Mobile, Language string }

// Amend changes an account's details; the account must stand at the revision.
func Amend(ctx context.Context, tx Tx, id string, revision int64, to Details, d Deed) (Account, error) {
	a, err := change(ctx, tx, id, d, func(a *Account) error {
		if a.Revision != revision {
			return fmt.Errorf("%w: the account stands at revision %d", billing.ErrStale, a.Revision)
		}
		a.Name, a.Email, a.Mobile, a.Language = to.Name, to.Email, to.Mobile, to.Language
		return nil
	})
	if err != nil {
		return Account{}, fmt.Errorf("amending account %s: %w", id, err)
	}
	return a, nil
}

// change makes the next revision of an account.
func change(ctx context.Context, tx Tx, id string, d Deed, edit func(*Account) error) (Account, error) {
	if err := d.check(); err != nil {
		return Account{}, err
	}
	if err := tx.LockMarks(ctx, []string{"account:" + id}); err != nil {
		return Account{}, err
	}
	a, err := tx.Account(ctx, id)
	if err != nil {
		return Account{}, err
	}
	was := a
	if err := edit(&a); err != nil {
		return Account{}, err
	}
	if a == was {
		return a, nil
	}
	a.Revision++
	if err := a.check(); err != nil {
		return Account{}, err
	}
	return a, tx.PutAccount(ctx, a, d)
}

// Close closes an account from an instant on: its holdings end there, its tags
// are closed. What is owed, either way, is settled afterwards (Settled). Doing
// it again with the same instant changes nothing.
func Close(ctx context.Context, tx Tx, id string, at time.Time, d Deed) (Account, error) {
	a, err := closeAccount(ctx, tx, id, at, d)
	if err != nil {
		return Account{}, fmt.Errorf("closing account %s: %w", id, err)
	}
	return a, nil
}

func closeAccount(ctx context.Context, tx Tx, id string, at time.Time, d Deed) (Account, error) {
	if err := d.backdated(at); err != nil {
		return Account{}, err
	}
	a, err := change(ctx, tx, id, d, func(a *Account) error {
		switch {
		case a.State != Open && !a.ClosesAt.Equal(at):
			return conflict("the account closes at %s already", a.ClosesAt.Format(time.RFC3339))
		case a.State != Open:
			return nil
		case at.Before(a.OpenedAt):
			return invalid("the account was opened at %s, after that", a.OpenedAt.Format(time.RFC3339))
		}
		a.State, a.ClosesAt = Closing, at
		return nil
	})
	if err != nil {
		return Account{}, err
	}
	held, err := tx.HoldingsOf(ctx, "account:"+id, false)
	if err != nil {
		return Account{}, err
	}
	// Tags first: where a plate ends, its tags would end by themselves.
	slices.SortStableFunc(held, func(x, y Holding) int { return cmp.Compare(y.Tag, x.Tag) })
	for _, h := range held {
		if !h.To.IsZero() && !h.To.After(at) {
			continue
		}
		if err := cut(ctx, tx, h, at, d); err != nil {
			return Account{}, err
		}
	}
	tags, err := tx.TagsOf(ctx, id)
	if err != nil {
		return Account{}, err
	}
	for _, t := range tags {
		if t.State == TagClosed || t.State == TagReplaced {
			continue
		}
		if _, err := step(ctx, tx, t.Tag, TagClosed, at, "", d); err != nil {
			return Account{}, err
		}
	}
	return a, nil
}

// Settled ends a closing account for good, once nothing is owed and nothing
// held: that is the caller's to see, in the same transaction.
func Settled(ctx context.Context, tx Tx, id string, d Deed) (Account, error) {
	a, err := change(ctx, tx, id, d, func(a *Account) error {
		if a.State == Open || d.Now.Before(a.ClosesAt) {
			return conflict("the account is open")
		}
		a.State = Closed
		return nil
	})
	if err != nil {
		return Account{}, fmt.Errorf("settling account %s: %w", id, err)
	}
	return a, nil
}
