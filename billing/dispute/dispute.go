// Package dispute owns what is said against a charge: disputes of motorists,
// the evidence as it was, who decided what and why, and the flags that we raise
// ourselves before anybody complains.
//
// Invariants:
//   - a charge has at most one open dispute; after one that was not upheld
//     another needs new grounds and goes to a person who did not decide before;
//   - while a dispute is open nothing is collected for its charge or for the
//     surcharges on it, and no deadline of it runs;
//   - every step is an event that is only added: who, when, why; so is evidence,
//     with a digest of it;
//   - what is decided changes the books by a person's decision on the pass, or by
//     a revision of the charge, never by an edited entry; above a limit only
//     after a second person has approved;
//   - an exact duplicate is given back by the same path without being asked for,
//     within limits; a flag is raised once for its rule and its passes.
//
// Not owned here: giving collected money back to its wallet (billing/collect),
// sending it on to where it came from (billing/payment), what a toll is
// (tolling), charges that car parks keep. Not promised: that the motorist is
// right or wrong.
package dispute

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"freeflow/billing"
	"freeflow/billing/recovery"
)

// States of disputes.
const (
	Opened      = "opened"
	UnderReview = "under-review"
	// Approval: decided, and waiting for a second person.
	Approval = "approval"
	Upheld   = "upheld"
	Partly   = "partly"
	Rejected = "rejected"
	// Withdrawn: by who opened it, or since nothing is owed any more.
	Withdrawn = "withdrawn"
)

// follows says which states may follow which; closed ones have none.
var follows = map[string][]string{
	"":          {Opened},
	Opened:      {UnderReview, Approval, Upheld, Partly, Rejected, Withdrawn},
	UnderReview: {UnderReview, Approval, Upheld, Partly, Rejected, Withdrawn},
	Approval:    {UnderReview, Upheld, Partly, Withdrawn},
}

// Open reports whether a state is one of an open dispute.
func Open(state string) bool { return state == Opened || state == UnderReview || state == Approval }

// Origins: who began it.
const (
	Motorist = "motorist"
	// Staff did for the motorist.
	Staff = "staff"
	// System: a flag did.
	System = "system"
)

// Reasons of disputes.
const (
	Duplicate   = "duplicate"
	NotMine     = "not-my-vehicle"
	WrongClass  = "wrong-class"
	WrongAmount = "wrong-amount"
	WasNotThere = "was-not-there"
	PaidAlready = "paid-already"
	Sold        = "sold-vehicle"
	TagFault    = "tag-fault"
	Other       = "other"
)

// Reasons returns the reasons that a dispute may be opened for.
func Reasons() []string {
	return []string{Duplicate, NotMine, WrongClass, WrongAmount, WasNotThere, PaidAlready, Sold, TagFault, Other}
}

// Codes returns the reason codes of an outcome.
func Codes(outcome string) []string {
	switch outcome {
	case Rejected:
		return []string{"evidence-shows-the-pass", "toll-is-right", "not-paid-yet", "no-grounds"}
	case Upheld, Partly:
		return []string{CountedTwice, "another-vehicle", "class-corrected", "amount-corrected", "vehicle-was-elsewhere",
			"paid-before", "vehicle-was-sold", "tag-fault", "goodwill"}
	}
	return nil
}

// Acts: what a ruling does to the charge.
const (
	// None leaves it: always for a rejection, else where it was corrected
	// elsewhere already, which the note says.
	None = "none"
	// Exempt: nothing is owed.
	Exempt = "exempt"
	// Rate: by the tariff, as the class given.
	Rate = "rate"
	// Reassign: another account owes it, or nobody's where Account is empty.
	Reassign = "reassign"
	// Reduce: the amount given, below what is owed.
	Reduce = "reduce"
)

// Ruling is what a person decides.
type Ruling struct {
	// Outcome is Upheld, Partly or Rejected; Code one of its Codes.
	Outcome string `json:"outcome"`
	Code    string `json:"code"`
	// Words are for the motorist, Note for colleagues.
	Words string `json:"words"`
	Note  string `json:"note,omitempty"`
	// Act is what is done to the charge, by Class, Account and AmountCents where
	// it needs them.
	Act         string `json:"act"`
	Class       string `json:"class,omitempty"`
	Account     string `json:"account,omitempty"`
	AmountCents int64  `json:"amount_cents,omitempty"`
	// PassRevision is the revision of the pass or charge that was seen.
	PassRevision int64 `json:"pass_revision"`
	// LessCents is how much less the disputant owes by it.
	LessCents int64 `json:"less_cents"`
	// By is who ruled, ApprovedBy who approved it where that was needed.
	By         string `json:"by"`
	ApprovedBy string `json:"approved_by,omitempty"`
}

// Refunds to where the money came from.
const (
	// RefundWanted: the motorist wants it there, not in the wallet.
	RefundWanted = "wanted"
	// RefundOrdered: handed to the payments.
	RefundOrdered = "ordered"
	// RefundNone: asked for, and there was nothing to send.
	RefundNone = "none"
)

// Dispute is one dispute of one charge.
type Dispute struct {
	// Reference is what the motorist quotes; it cannot be guessed.
	Reference string
	// Receivable is "pass:" or "charge:" and the id.
	Receivable string
	Origin     string
	// Account and Vehicle are whose charge it was when it was opened.
	Account, Vehicle string
	// AmountCents is what was owed then: what is at stake.
	AmountCents  int64
	Currency     string
	Reason, Text string
	State        string
	// Assignee is who looks into it; empty while nobody does.
	Assignee string
	// Barred may not decide it: they decided an earlier one of the charge.
	Barred []string
	// Previous is the reference of that one.
	Previous string
	// DueDay is the last day to answer; 0 while the calendar does not reach so far.
	DueDay             recovery.Day
	OpenedAt, ClosedAt time.Time
	// Ruling is what was decided, or is proposed while in Approval.
	Ruling *Ruling
	// Refund is empty, or one of the words above.
	Refund string
	// Paid is what wallets had paid when it was decided.
	Paid []Share
	// Flag is the key of the flag that opened it.
	Flag string
	// PassRevision is the pass's or charge's at which Ruling took effect.
	PassRevision int64
	// Overdue says that the alarm was raised.
	Overdue bool
	// Revision counts the steps, from 1.
	Revision int64
}

// Share is what one wallet paid of one receivable.
type Share struct {
	Receivable string `json:"receivable"`
	Holder     string `json:"holder"`
	Cents      int64  `json:"cents"`
}

// Event is one step of a dispute.
type Event struct {
	Reference string
	Revision  int64
	At        time.Time
	// State is the one that it led to; What is in words.
	State, What      string
	By, Role, Reason string
}

// Deed is who does something, when and why.
type Deed = recovery.Deed

// Bounds of texts, in bytes.
const (
	maxText  = 4000
	maxWords = 500
	maxNote  = 2000
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{billing.ErrInvalid}, args...)...)
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{billing.ErrConflict}, args...)...)
}

func checkText(what, text string, most int, needed bool) error {
	switch {
	case needed && strings.TrimSpace(text) == "":
		return invalid("%s is missing", what)
	case len(text) > most || !utf8.ValidString(text):
		return invalid("%s may have at most %d bytes of UTF-8", what, most)
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		return invalid("%s has control characters", what)
	}
	return nil
}

func checkDeed(d Deed) error {
	if d.By == "" || d.Role == "" || d.Now.IsZero() {
		return invalid("it must be said who does it, as what and when")
	}
	return checkText("the reason", d.Reason, 1000, false)
}

// check refuses a ruling that contradicts itself, whatever it is about.
func (r *Ruling) check() error {
	codes := Codes(r.Outcome)
	switch {
	case codes == nil:
		return invalid("an outcome is %s, %s or %s", Upheld, Partly, Rejected)
	case !slices.Contains(codes, r.Code):
		return invalid("the code of %s is one of %s", r.Outcome, strings.Join(codes, ", "))
	case r.Outcome == Rejected && r.Act != None:
		return invalid("a rejection does nothing to the charge; its act is %s", None)
	case r.Act == None && r.Outcome != Rejected && strings.TrimSpace(r.Note) == "":
		return invalid("say in the note where the charge was corrected, if nothing is done here")
	case r.Act != Reduce && r.AmountCents != 0:
		return invalid("an amount goes with %s only", Reduce)
	case r.Act == Reduce && (r.AmountCents <= 0 || strings.TrimSpace(r.Note) == ""):
		return invalid("an amount must be above zero, and the note must say where it comes from")
	case r.Act != Reassign && r.Account != "":
		return invalid("an account goes with %s only", Reassign)
	case r.Act != Rate && r.Act != Reassign && r.Class != "":
		return invalid("a class goes with %s and %s only", Rate, Reassign)
	}
	if !slices.Contains([]string{None, Exempt, Rate, Reassign, Reduce}, r.Act) {
		return invalid("an act is %s, %s, %s, %s or %s", None, Exempt, Rate, Reassign, Reduce)
	}
	return errors.Join(checkText("the words for the motorist", r.Words, maxWords, true), checkText("the note", r.Note, maxNote, false))
}
