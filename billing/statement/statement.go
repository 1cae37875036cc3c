// Package statement owns what an account is told about its money: the monthly
// statement, the export of any range, and the words of both.
//
// A statement says what was owed and what was held at its beginning, every
// posting of the ledger since, and what is owed and held at its end. It goes by
// posting date, never by the pass's own time: a month that is over never
// changes, and a pass that was found or corrected later stands in the month in
// which that was posted, with its own time beside it. A correction is two lines,
// what is taken back and what takes its place.
//
// Invariants: opening plus lines is closing, of both sides; a statement opens
// with what the one before it closed with; its lines are those of the ledger,
// taken once when a day is over; what was issued is never changed, and its
// digest, over every line, is checked whenever it is shown again.
//
// Not promised: that a statement is paid, or that the words of a place or class
// stay what they are; amounts, times and codes do.
package statement

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/notice"
)

// ErrElsewhere: another process does it; nothing is wrong.
var ErrElsewhere = errors.New("another process is doing it")

// ErrAltered: what is in the books is not what was issued.
var ErrAltered = errors.New("the lines are not those that were issued")

// Line is one posting as its holder sees it.
type Line struct {
	PostedAt time.Time
	// Transaction is the ledger's, which it shows.
	Transaction string
	// Kind is the transaction's; Undoes the kind of what a reversal undoes.
	Kind, Undoes string
	// Item is what it was for: "pass:", "charge:" or "move:" and an id.
	Item string
	// What is "toll", a charge's kind, or the means by which money moved.
	What string
	// OccurredMicros is the pass's, charge's or movement's own time:
	// microseconds since the Unix epoch, UTC.
	OccurredMicros int64
	// Place is the toll point, or who is owed a charge; Vehicle and Class are as
	// they stood when it was posted. Text is a charge's or movement's own.
	Place, Vehicle, Class, Text string
	// OwedCents is what the holder owes more by it, HeldCents what is held more
	// for the holder; either may be negative or 0.
	OwedCents, HeldCents int64
}

// Sides are what an account owes and what is held for it, hundredths.
type Sides struct{ OwedCents, HeldCents int64 }

// Plus adds a line.
func (s Sides) Plus(l Line) Sides { return Sides{s.OwedCents + l.OwedCents, s.HeldCents + l.HeldCents} }

// Statement is what was told about one month of an account in one currency.
type Statement struct {
	Number, Account, Currency string
	Month                     Month
	// From and To bound it: [From, To), the month in the network's zone.
	From, To         time.Time
	Opening, Closing Sides
	// Lines counts them.
	Lines int64
	// Digest is the SHA-256, in hex, of the statement and all its lines.
	Digest string
	// Previous is the number of the one before; empty for the first.
	Previous string
	IssuedAt time.Time
	// AccountRevision is the revision of the account whose name it bears; 0 where
	// the books know no name.
	AccountRevision int64
}

// Numbered returns the number of an account's statement.
func Numbered(m Month, account, currency string) string {
	return "S" + strings.ReplaceAll(m.String(), "-", "") + "-" + account + "-" + currency
}

// Place is where a list of lines goes on: after this one. The zero value is its
// beginning.
type Place struct {
	PostedMicros int64
	Transaction  string
}

// Holder is whose lines they are, in one currency: an account's id, or as
// billing.HolderTag says.
type Holder struct{ Account, Currency string }

// Reading reads lines and statements; one snapshot.
type Reading interface {
	// EachLine calls fn with the lines of a holder posted in [from, to), in the
	// order of posting and transaction.
	EachLine(ctx context.Context, h Holder, from, to time.Time, fn func(Line) error) error
	// Lines returns at most limit of them after a place.
	Lines(ctx context.Context, h Holder, from, to time.Time, after Place, limit int) ([]Line, error)
	// SidesAt sums up all lines posted before the instant.
	SidesAt(ctx context.Context, h Holder, at time.Time) (Sides, error)
	// Closed returns the end of the last day whose postings have been taken; the
	// zero value if there is none.
	Closed(ctx context.Context) (time.Time, error)
	// Statement returns one; billing.ErrNotFound.
	Statement(ctx context.Context, number string) (Statement, error)
	// Statements returns an account's, latest first, at most limit before the
	// month (0: from the latest).
	Statements(ctx context.Context, account string, before Month, limit int) ([]Statement, error)
	// AccountRevisions returns how an account stood, oldest first.
	AccountRevisions(ctx context.Context, id string) ([]account.Revision, error)
}

// Tx is what this package needs of one transaction.
type Tx interface {
	Reading
	notice.Tx
	// Account returns an account as it stands; billing.ErrNotFound.
	Account(ctx context.Context, id string) (account.Account, error)
	// PutStatement adds a statement; known reports that its account has one for
	// the month.
	PutStatement(ctx context.Context, s Statement) (known bool, err error)
	// ToIssue returns the accounts that have no statement of the month yet and
	// need one: with lines in [from, to), or with something owed or held at the
	// end of the month before.
	ToIssue(ctx context.Context, m Month, from, to time.Time) ([]Holder, error)
	// LastMonth returns the latest month that is issued wholly; found is false if
	// there is none. PutMonth adds one, and changes nothing if it is there.
	LastMonth(ctx context.Context) (m Month, found bool, err error)
	PutMonth(ctx context.Context, m Month, at time.Time) error
}

// Keeping runs fn in one transaction, or on one snapshot.
type Keeping interface {
	Do(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Day is one day of the ledger in the network's zone: [From, To).
type Day struct {
	// Number is days since 1970-01-01.
	Number   int64
	From, To time.Time
}

// Ledger is what closing days needs of the books.
type Ledger interface {
	// FirstPosted returns when the first transaction was posted.
	FirstPosted(ctx context.Context) (at time.Time, found bool, err error)
	// LastClosed returns the number of the last day that CloseDay has finished;
	// found is false if there is none.
	LastClosed(ctx context.Context) (day int64, found bool, err error)
	// CloseDay takes what was posted on a day, once: lines by holder, and sums by
	// creditor. It can be run again, after a crash too, and by several processes
	// (ErrElsewhere). Days are closed in order.
	CloseDay(ctx context.Context, d Day) error
}

// Digest builds the digest of a statement.
type Digest struct{ sum hash.Hash }

// NewDigest begins with the statement's own facts; IssuedAt, Closing, Lines and
// Digest are no part of it: they follow from the lines, or are about it.
func NewDigest(s Statement) *Digest {
	d := &Digest{sha256.New()}
	d.add([]any{"freeflow statement 1", s.Number, s.Account, s.Currency, s.Month.String(), s.From.UnixMicro(), s.To.UnixMicro(), s.Opening.OwedCents, s.Opening.HeldCents, s.Previous})
	return d
}

// Line adds a line.
func (d *Digest) Line(l Line) {
	d.add([]any{l.PostedAt.UnixMicro(), l.Transaction, l.Kind, l.Undoes, l.Item, l.What, l.OccurredMicros, l.Place, l.Vehicle, l.Class, l.Text, l.OwedCents, l.HeldCents})
}

// add writes one JSON array and a line feed. Texts and whole numbers marshal.
func (d *Digest) add(v []any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(err.Error()) // cannot happen: texts and whole numbers
	}
	_, _ = d.sum.Write(append(b, '\n')) // a hash takes everything
}

// Sum returns the digest in hex.
func (d *Digest) Sum() string { return hex.EncodeToString(d.sum.Sum(nil)) }

// Replay calls fn with every line of a statement and proves at the end that
// they are those that were issued: ErrAltered otherwise, when fn has seen them.
// fn may be nil.
func Replay(ctx context.Context, r Reading, s Statement, fn func(Line) error) error {
	d, sides, n := NewDigest(s), s.Opening, int64(0)
	err := r.EachLine(ctx, Holder{s.Account, s.Currency}, s.From, s.To, func(l Line) error {
		d.Line(l)
		sides, n = sides.Plus(l), n+1
		if fn == nil {
			return nil
		}
		return fn(l)
	})
	if err != nil {
		return fmt.Errorf("reading statement %s: %w", s.Number, err)
	}
	if d.Sum() != s.Digest || sides != s.Closing || n != s.Lines {
		return fmt.Errorf("statement %s: %w; run 'freeflow verify'", s.Number, ErrAltered)
	}
	return nil
}

// NameOn returns the name that a statement bears; empty where there is none.
func NameOn(ctx context.Context, r Reading, s Statement) (name, language string, err error) {
	if s.AccountRevision == 0 {
		return "", "", nil
	}
	revisions, err := r.AccountRevisions(ctx, s.Account)
	if err != nil {
		return "", "", fmt.Errorf("reading the name on statement %s: %w", s.Number, err)
	}
	for _, one := range revisions {
		if one.Account.Revision == s.AccountRevision {
			return one.Name, one.Language, nil
		}
	}
	return "", "", fmt.Errorf("statement %s bears the name of revision %d of its account: %w", s.Number, s.AccountRevision, billing.ErrNotFound)
}
