// Package governance owns how a network's tolls change: the draft that one
// person makes, its check, its dry run against passes that were made, the
// approval by a second person, the signed statement that brings it in force at
// an instant, and the comparison of what was rated with what the signs over the
// road displayed.
//
// Invariants. Nothing is edited: a change of a draft is a further revision, a
// change of what is published a further statement. An approval is of one
// proposal's digest, which covers the files, the instant, what they build on
// and the revision, so that any change voids it; whoever wrote any revision of
// a draft never approves it. A network rates passes only by a statement that
// verifies: signed by a trusted key over its canonical bytes, chained to the
// statement before it, with files of the digest that it names. A pass is rated
// by the network published for its own time, not for the time at which it is
// worked on, so that every process and every repetition comes to the same toll.
//
// Not owned here: whether tolls are lawful, who a person is (the operators' API
// says who asks), storage (Store), what becomes of passes that were rated
// before a back-dated publication (a bulk re-rate). It cannot keep apart two
// names that one person was given, nor stand against whoever holds the signing
// key.
package governance

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"freeflow/tolling/tariff"
)

// Errors that callers tell apart. What they wrap says in words what to do.
var (
	// ErrNotFound: there is no such draft, revision or publication.
	ErrNotFound = errors.New("not found")
	// ErrStale: something changed since it was looked at.
	ErrStale = errors.New("changed meanwhile")
	// ErrForbidden: this person may not do it.
	ErrForbidden = errors.New("not for this person")
	// ErrConflict: it cannot be done in the present state.
	ErrConflict = errors.New("not now")
	// ErrInvalid: what was given can never be done.
	ErrInvalid = errors.New("invalid")
	// ErrSignature: a signature or key is not good.
	ErrSignature = errors.New("signature refused")
)

// Lead is how far ahead of its instant a network is published, and withdrawn,
// at least: long enough for every process to have seen it (they look several
// times a second), so that all change over at the same pass.
const Lead = 5 * time.Second

// Bounds of texts, in bytes, and of what is kept.
const (
	MaxReason    = 2000
	MaxPerson    = 200
	maxProblems  = 200
	maxRevisions = 200
	maxDryRuns   = 100
)

// Revision is one state of a draft; never changed.
type Revision struct {
	// Draft is the draft's id, Number counts its revisions from 1.
	Draft  string
	Number int64
	// Network is the network's name.
	Network string
	// Content is the digest of the files (tariff.Files.Digest).
	Content string
	// Base is the hash of the statement that was the network's last one: what
	// the revision builds on.
	Base string
	// Effective is the instant from which the network shall rate passes.
	Effective time.Time
	// Backdated says that Effective is past on purpose.
	Backdated bool
	// Reason says why the tolls change.
	Reason string
	// By and At say who wrote the revision, and when.
	By string
	At time.Time
	// Problems are all mistakes that the check found, More those left off.
	Problems []tariff.Problem
	More     int
	// Warnings are what a reader should know and may want.
	Warnings []string
	// Digest names the proposal; see Proposal.
	Digest string
}

// Good reports whether the check found nothing.
func (r *Revision) Good() bool { return len(r.Problems) == 0 && r.More == 0 }

// Approval is a second person's word on one proposal.
type Approval struct {
	Draft    string
	Revision int64
	// Digest is the proposal's, DryRun the run that was looked at.
	Digest string
	DryRun string
	By     string
	At     time.Time
	Note   string
}

// End closes a draft that shall not be published.
type End struct {
	Draft  string
	By     string
	At     time.Time
	Reason string
}

// Draft is a draft with all that became of it.
type Draft struct {
	ID      string
	Network string
	// Revisions in their order, DryRuns and Approvals by time.
	Revisions []Revision
	DryRuns   []DryRun
	Approvals []Approval
	// Discarded is nil unless the draft was closed.
	Discarded *End
	// Published is the statement made of the draft, nil if there is none.
	Published *Signed
}

// Last returns the last revision.
func (d *Draft) Last() *Revision { return &d.Revisions[len(d.Revisions)-1] }

// Authors returns who wrote revisions, each once, in order of the first.
func (d *Draft) Authors() []string {
	var names []string
	seen := map[string]bool{}
	for _, r := range d.Revisions {
		if !seen[r.By] {
			seen[r.By] = true
			names = append(names, r.By)
		}
	}
	return names
}

// Event is what the audit trail is told, in the transaction of what happened.
type Event struct {
	At     time.Time
	By     string
	Action string
	// Kind is what Subject is; empty means "tariff": a draft, network or finding.
	Kind    string
	Subject string
	Reason  string
	// Detail holds digests and instants, as text.
	Detail map[string]string
}

// Store keeps drafts and statements. Do runs fn in one transaction, which is
// committed if fn returns nil and may run more than once; View on a snapshot.
type Store interface {
	Do(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is one transaction of a Store. What is not there is ErrNotFound; what is
// there already, ErrStale.
type Tx interface {
	// PutContent keeps files by their digest; again is no error.
	PutContent(ctx context.Context, digest string, canonical []byte) error
	// Content returns the canonical bytes that were put under the digest.
	Content(ctx context.Context, digest string) ([]byte, error)

	AddRevision(ctx context.Context, r Revision) error
	AddDryRun(ctx context.Context, r DryRun) error
	AddApproval(ctx context.Context, a Approval) error
	AddEnd(ctx context.Context, e End) error
	// Draft returns a draft with all of it but Published, which is filled by
	// the id that statements carry.
	Draft(ctx context.Context, id string) (Draft, error)
	// Drafts returns ids of the network's drafts, the newest first, those
	// before the id given (empty: from the newest), at most limit.
	Drafts(ctx context.Context, network, before string, limit int) ([]string, error)

	// Statements returns the network's statements with a number of from or
	// more, in order, just as they stand.
	Statements(ctx context.Context, network string, from int64) ([]Signed, error)
	// AddStatement adds the statement after the last one; ErrStale if there is
	// one of its number.
	AddStatement(ctx context.Context, s Signed) error

	// PutKey keeps a public key by its fingerprint; again is no error.
	PutKey(ctx context.Context, key ed25519.PublicKey) error
	// Record tells the audit trail.
	Record(ctx context.Context, e Event) error
}
