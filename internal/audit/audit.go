// Package audit owns the audit trail: who did what to what, when and why, and
// who looked at a person's movements; the hash chain over it; and the proof
// that none of it was changed afterwards.
//
// An Event is appended in the very transaction of what it tells (Append, and
// Note for views), so that neither stands without the other. Off that path a
// chainer gives each event its place and its hash, SHA-256(0x00 || the hash
// before || the event's canonical encoding), and a day's ledger its digest.
// Signed checkpoints, kept elsewhere, make it impossible to rewrite the whole
// unseen. Verify recomputes everything from the rows.
//
// Invariants: events, chain, tree and days are only ever added to (triggers);
// the chain has no gap and one order, whoever extends it; whatever may have to
// be forgotten (Reason, Personal) stands in a row of its own and is held in the
// chain by a salted hash only, so that Erase can destroy it, with its salt, and
// the chain stays valid.
//
// Not promised: that an event not yet chained cannot be replaced unseen by the
// database's owner; that rows cut off the end are missed without a checkpoint.
package audit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"freeflow/internal/database"
)

// Actor is who did something.
type Actor struct {
	// Name is a person's, or a job's such as "job:surcharges"; at most 200
	// bytes.
	Name string
	// Role is what the actor was then, such as "operator", "finance",
	// "system", "motorist".
	Role string
}

// Subject is what something was done to.
type Subject struct {
	// Kind is a short word: "pass", "charge", "account", "tariff".
	Kind string
	// ID names it. No plate and no tag: a vehicle is named by its pseudonym.
	ID string
}

// Event is one thing that happened.
type Event struct {
	// At is when, by the caller's clock; kept in microseconds.
	At    time.Time
	Actor Actor
	// Action is what, in lower-case words with full stops from the general to
	// the special: "refund.ordered", "tariff.published".
	Action  string
	Subject Subject
	// Account is whose data it concerns; may be empty, and Everybody.
	Account string
	// Reason is why, in words; may be empty, at most 2000 bytes. People write
	// plates and names into it, so it is erasable as Personal is.
	Reason string
	// Detail is what else has to be known for ever: any value that marshals to
	// JSON, at most 16 KiB. No plates, tags, names, addresses. Numbers are
	// whole and below 2^53 in size (money in cents or as text). nil is nothing.
	Detail any
	// Personal is what has to be known but may have to be forgotten: plates,
	// tags, names. As Detail in form; nil is nothing. See Erase.
	Personal any
}

// Everybody stands for all accounts, in events that concern them all.
const Everybody = "*"

// Bounds of an event's parts, in bytes.
const (
	maxName   = 200
	maxID     = 2500
	maxAction = 64
	maxReason = 2000
	maxDetail = 16 << 10
)

// ErrInvalid is what errors.Is finds in the error of an event that cannot be
// kept; the caller's mistake.
var ErrInvalid = errors.New("not an event that can be kept")

// actionForm is what an Action looks like.
var actionForm = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9-]+)+$`)

// Append adds an event to the trail within the caller's transaction: it stands
// if that is committed. The database must have the trail's schema (Migrate).
// Errors: ErrInvalid; else the database's. What fails must fail the caller's
// transaction too.
func Append(ctx context.Context, db database.Session, e Event) error {
	_, err := add(ctx, db, e)
	return err
}

// add appends an event and returns its id.
func add(ctx context.Context, db database.Session, e Event) (string, error) {
	r, private, err := rowOf(e)
	if err != nil {
		return "", fmt.Errorf("appending to the audit trail: %w", err)
	}
	if err := insert(ctx, db, &r, private); err != nil {
		return "", fmt.Errorf("appending to the audit trail: %w", err)
	}
	return r.id, nil
}

// privatePart is what of an event may be forgotten.
type privatePart struct {
	salt []byte
	body string
}

// rowOf checks an event and brings it into the form in which it is stored.
func rowOf(e Event) (row, *privatePart, error) {
	r := row{
		micros: e.At.UnixMicro(), actor: e.Actor.Name, role: e.Actor.Role, action: e.Action,
		subjectKind: e.Subject.Kind, subject: e.Subject.ID, account: e.Account,
	}
	switch {
	case e.At.IsZero():
		return r, nil, fmt.Errorf("%w: it has no time", ErrInvalid)
	case e.Actor.Name == "" || e.Actor.Role == "":
		return r, nil, fmt.Errorf("%w: it does not say who did it, by name and role", ErrInvalid)
	case len(e.Action) > maxAction || !actionForm.MatchString(e.Action):
		return r, nil, fmt.Errorf("%w: the action %q is not like refund.ordered", ErrInvalid, e.Action)
	case e.Subject.Kind == "":
		return r, nil, fmt.Errorf("%w: it does not say what it was done to", ErrInvalid)
	}
	for _, one := range []struct {
		what, text string
		most       int
	}{
		{"actor", e.Actor.Name, maxName}, {"role", e.Actor.Role, maxName}, {"subject's kind", e.Subject.Kind, maxName},
		{"subject", e.Subject.ID, maxID}, {"account", e.Account, maxID}, {"reason", e.Reason, maxReason},
	} {
		if len(one.text) > one.most || !utf8.ValidString(one.text) {
			return r, nil, fmt.Errorf("%w: the %s has over %d bytes or is not UTF-8", ErrInvalid, one.what, one.most)
		}
	}
	var err error
	if r.detail, err = canonicalJSON(e.Detail); err != nil {
		return r, nil, fmt.Errorf("%w: the detail %w", ErrInvalid, err)
	}
	private, err := privateOf(e)
	if err != nil {
		return r, nil, err
	}
	if private != nil {
		r.commitment = commitment(private.salt, private.body)
	}
	// Sorted by time, and never twice.
	tail := make([]byte, 9)
	if _, err := rand.Read(tail); err != nil {
		return r, nil, err
	}
	r.id = fmt.Sprintf("%014x", max(r.micros, 0)) + hex.EncodeToString(tail)
	encoded, err := r.encode(0)
	if err != nil {
		return r, nil, err
	}
	r.digest = sum(prefixEntry, encoded)
	return r, private, nil
}

// privateOf returns what of an event may be forgotten; nil if nothing.
func privateOf(e Event) (*privatePart, error) {
	if e.Reason == "" && e.Personal == nil {
		return nil, nil
	}
	personal, err := canonicalJSON(e.Personal)
	if err != nil {
		return nil, fmt.Errorf("%w: the personal part %w", ErrInvalid, err)
	}
	body, err := encodePrivate(personal, e.Reason)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, sha256.Size)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	return &privatePart{salt, body}, nil
}

func insert(ctx context.Context, db database.Session, r *row, private *privatePart) error {
	if r.commitment == nil {
		r.commitment = []byte{}
	}
	_, err := db.Exec(ctx, `INSERT INTO audit_event (at_micros, id, actor, role, action, subject_kind, subject, account, detail, commitment, digest)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, r.micros, r.id, r.actor, r.role, r.action, r.subjectKind, r.subject,
		r.account, r.detail, r.commitment, r.digest)
	if err != nil {
		return err
	}
	if private != nil {
		if _, err := db.Exec(ctx, `INSERT INTO audit_private (event_id, salt, body) VALUES ($1, $2, $3)`, r.id, private.salt, private.body); err != nil {
			return err
		}
	}
	_, err = db.Exec(ctx, `INSERT INTO audit_pending (event_id) VALUES ($1)`, r.id)
	return err
}
