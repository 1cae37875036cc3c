package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
)

// Kinds of tags (Cap. 374Z).
const (
	// VehicleTag is bound to one registered vehicle, and destroyed when it is
	// taken off.
	VehicleTag = "vehicle"
	// ClassTag is bound to a class of vehicles and has a stored value of its own:
	// the wallet "tag:" + tag. It pays a toll wholly or nothing of it.
	ClassTag = "class"
)

// States of tags.
const (
	TagIssued = "issued"
	// TagActive: a class tag in use, or a vehicle tag that waits for its vehicle.
	TagActive = "activated"
	TagBound  = "bound"
	TagLost   = "lost"
	TagClosed = "closed"
	// TagReplaced: another tag has taken its place.
	TagReplaced = "replaced"
)

// Tag is a tag as it stands. Whether a class tag's value is low is not a state
// of the tag: its wallet says it (Low).
type Tag struct {
	// Tag is the compared form.
	Tag string
	// Kind is VehicleTag or ClassTag; Class what a class tag stands for.
	Kind, Class string
	// Currency is that of a class tag's stored value; empty for a vehicle tag.
	Currency string
	// Account is who has it; empty while it is in stock.
	Account string
	State   string
	// Plate is the vehicle that it is bound to.
	Plate string
	// Replaces and ReplacedBy are other tags.
	Replaces, ReplacedBy string
	// Revision counts the events, from 1.
	Revision int64
}

// TagEvent is one event of a tag's life.
type TagEvent struct {
	Tag      string
	Revision int64
	State    string
	// At is when it took effect, RecordedAt when it was written down.
	At, RecordedAt time.Time
	Account, Plate string
	By, Reason     string
}

// next says which states may follow on which.
var next = map[string][]string{
	TagIssued: {TagActive, TagClosed},
	TagActive: {TagBound, TagLost, TagClosed, TagReplaced},
	TagBound:  {TagLost, TagClosed, TagReplaced},
	TagLost:   {TagActive, TagBound, TagClosed, TagReplaced},
}

// Low reports whether a class tag's stored value is low: below the dearest toll
// of its class, which the caller knows.
func Low(w billing.Wallet, dearestCents int64) bool { return w.BalanceCents < dearestCents }

// Issue takes a tag into stock.
func Issue(ctx context.Context, tx Tx, t Tag, at time.Time, d Deed) (Tag, error) {
	t.State, t.Revision, t.Account, t.Plate, t.Replaces, t.ReplacedBy = TagIssued, 1, "", "", "", ""
	err := d.check()
	switch {
	case t.Tag == "" || len(t.Tag) > maxID:
		err = errors.Join(err, invalid("the tag must be 1 to %d bytes", maxID))
	case t.Kind != VehicleTag && t.Kind != ClassTag:
		err = errors.Join(err, invalid("kind %q; there are %s, %s", t.Kind, VehicleTag, ClassTag))
	case (t.Class == "") == (t.Kind == ClassTag) || (t.Currency == "") == (t.Kind == ClassTag):
		err = errors.Join(err, invalid("a class tag has a class and a currency, a vehicle tag has neither"))
	}
	if err == nil {
		err = tx.LockMarks(ctx, []string{"tag:" + t.Tag})
	}
	if err == nil {
		var was Tag
		was, err = tx.Tag(ctx, t.Tag)
		switch {
		case errors.Is(err, billing.ErrNotFound):
			err = tx.PutTag(ctx, t, event(t, at, d), d)
		case err == nil && was != t:
			err = conflict("the tag was issued before; it is %s", was.State)
		}
	}
	if err != nil {
		return Tag{}, fmt.Errorf("issuing a tag: %w", err)
	}
	return t, nil
}

func event(t Tag, at time.Time, d Deed) TagEvent {
	return TagEvent{
		Tag: t.Tag, Revision: t.Revision, State: t.State, At: at, RecordedAt: d.Now,
		Account: t.Account, Plate: t.Plate, By: d.By, Reason: d.Reason,
	}
}

// Activate gives a tag to an account from an instant on. A class tag names the
// account from then.
func Activate(ctx context.Context, tx Tx, tag, account string, at time.Time, d Deed) (Tag, error) {
	// The account too: a closing would not see the tag, and leave it in use.
	err := tx.LockMarks(ctx, []string{"account:" + account, "tag:" + tag})
	var a Account
	if err == nil {
		a, err = tx.Account(ctx, account)
	}
	if err == nil {
		err = open(a, at, at)
	}
	var t Tag
	if err == nil {
		t, err = step(ctx, tx, tag, TagActive, at, account, d)
	}
	if err != nil {
		return Tag{}, fmt.Errorf("activating a tag: %w", err)
	}
	return t, nil
}

// Bind binds a vehicle tag to a vehicle of its account from an instant on.
func Bind(ctx context.Context, tx Tx, tag, plate string, at time.Time, d Deed) (Tag, error) {
	t, err := step(ctx, tx, tag, TagBound, at, plate, d)
	if err != nil {
		return Tag{}, fmt.Errorf("binding a tag: %w", err)
	}
	return t, nil
}

// Lose reports a tag lost from an instant on: it names nobody from then.
func Lose(ctx context.Context, tx Tx, tag string, at time.Time, d Deed) (Tag, error) {
	t, err := step(ctx, tx, tag, TagLost, at, "", d)
	if err != nil {
		return Tag{}, fmt.Errorf("reporting a tag lost: %w", err)
	}
	return t, nil
}

// Find puts a lost tag back where it was, from an instant on.
func Find(ctx context.Context, tx Tx, tag string, at time.Time, d Deed) (Tag, error) {
	t, err := tx.Tag(ctx, tag)
	if err == nil && t.State != TagLost {
		err = conflict("the tag is %s, not lost", t.State)
	}
	if err == nil && t.Plate != "" {
		t, err = step(ctx, tx, tag, TagBound, at, t.Plate, d)
	} else if err == nil {
		t, err = step(ctx, tx, tag, TagActive, at, t.Account, d)
	}
	if err != nil {
		return Tag{}, fmt.Errorf("finding a tag: %w", err)
	}
	return t, nil
}

// CloseTag ends a tag's life at an instant.
func CloseTag(ctx context.Context, tx Tx, tag string, at time.Time, d Deed) (Tag, error) {
	t, err := step(ctx, tx, tag, TagClosed, at, "", d)
	if err != nil {
		return Tag{}, fmt.Errorf("closing a tag: %w", err)
	}
	return t, nil
}

// Replace puts another tag, issued before, in a tag's place at an instant: same
// account, same vehicle, and a class tag's stored value.
func Replace(ctx context.Context, tx Tx, tag, by string, at time.Time, d Deed) (Tag, error) {
	t, err := replace(ctx, tx, tag, by, at, d)
	if err != nil {
		return Tag{}, fmt.Errorf("replacing a tag: %w", err)
	}
	return t, nil
}

func replace(ctx context.Context, tx Tx, tag, by string, at time.Time, d Deed) (Tag, error) {
	// Both at once, in order: two replacements of each other would wait for ever.
	marks := []string{"tag:" + tag, "tag:" + by}
	slices.Sort(marks)
	if tag == by {
		return Tag{}, invalid("a tag cannot replace itself")
	}
	if err := tx.LockMarks(ctx, marks); err != nil {
		return Tag{}, err
	}
	old, err := tx.Tag(ctx, tag)
	if err != nil {
		return Tag{}, err
	}
	fresh, err := tx.Tag(ctx, by)
	if err != nil {
		return Tag{}, err
	}
	if old.ReplacedBy == by {
		return fresh, nil
	}
	if fresh.State != TagIssued || fresh.Kind != old.Kind || fresh.Class != old.Class || fresh.Currency != old.Currency {
		return Tag{}, conflict("the new tag must be issued, of kind %s %s; it is %s, of kind %s %s", old.Kind, old.Class, fresh.State, fresh.Kind, fresh.Class)
	}
	plate := old.Plate
	if old, err = step(ctx, tx, tag, TagReplaced, at, by, d); err != nil {
		return Tag{}, err
	}
	if fresh, err = step(ctx, tx, by, TagActive, at, old.Account, d); err != nil {
		return Tag{}, err
	}
	if err := leave(ctx, tx, old, billing.HolderTag+by, at); err != nil {
		return Tag{}, err
	}
	fresh.Replaces = tag
	if plate == "" {
		fresh.Revision++
		return fresh, tx.PutTag(ctx, fresh, event(fresh, at, d), d)
	}
	return step(ctx, tx, by, TagBound, at, plate, d)
}

// step takes a tag to its next state at an instant. what is the account of an
// activation, the plate of a binding, the tag of a replacement.
func step(ctx context.Context, tx Tx, tag, to string, at time.Time, what string, d Deed) (Tag, error) {
	if err := errors.Join(d.check(), d.backdated(at)); err != nil {
		return Tag{}, err
	}
	t, err := tx.Tag(ctx, tag)
	if err != nil {
		return Tag{}, err
	}
	marks := []string{"tag:" + tag}
	for _, plate := range []string{t.Plate, what} {
		if plate != "" && (to == TagBound || plate == t.Plate) {
			marks = append(marks, "plate:"+plate)
		}
	}
	err = amend(ctx, tx, marks, d.Now, func() error {
		plate := t.Plate
		if t, err = tx.Tag(ctx, tag); err != nil {
			return err
		}
		if t.Plate != plate {
			return fmt.Errorf("%w: the tag was bound to another vehicle meanwhile", billing.ErrStale)
		}
		if t.State == to && (to != TagBound || t.Plate == what) && (to != TagActive || t.Account == what) {
			return nil // done before
		}
		if !slices.Contains(next[t.State], to) {
			return conflict("the tag is %s; after that it can be %s", t.State, words(next[t.State]))
		}
		if err := t.release(ctx, tx, at, d); err != nil {
			return err
		}
		t.State, t.Revision = to, t.Revision+1
		if err := t.enter(ctx, tx, what, at, d); err != nil {
			return err
		}
		return tx.PutTag(ctx, t, event(t, at, d), d)
	})
	return t, err
}

// release ends what the tag holds at an instant. What it held only after that is
// taken back.
func (t *Tag) release(ctx context.Context, tx Tx, at time.Time, d Deed) error {
	held, err := tx.HoldingsOf(ctx, "tag:"+t.Tag, false)
	if err != nil {
		return err
	}
	for _, h := range held {
		if h.To.IsZero() || h.To.After(at) {
			if err := carve(ctx, tx, h, at, h.To, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// enter begins what the tag's new state holds.
func (t *Tag) enter(ctx context.Context, tx Tx, what string, at time.Time, d Deed) error {
	h := Holding{
		// At random, since ids stand where tags may not.
		ID: rand.Text(), Tag: t.Tag, From: at, RecordedAt: d.Now, By: d.By, Reason: d.Reason,
	}
	switch {
	case t.State == TagActive && t.Kind == ClassTag:
		t.Account = what
		h.Account, h.Class = t.Account, t.Class
		if err := tx.PutWallet(ctx, billing.HolderTag+t.Tag, t.Currency, false); err != nil {
			return err
		}
		return tx.AddHolding(ctx, h, d)
	case t.State == TagActive:
		t.Account = what
	case t.State == TagBound:
		if t.Kind == ClassTag {
			return invalid("a class tag is bound to no vehicle")
		}
		if err := t.mayBind(ctx, tx, what, at); err != nil {
			return err
		}
		t.Plate, h.Plate = what, what
		return tx.AddHolding(ctx, h, d)
	case t.State == TagReplaced:
		t.ReplacedBy = what
	case t.State == TagClosed:
		return leave(ctx, tx, *t, t.Account, at)
	}
	return nil
}

// leave names who takes over a class tag's stored value from the instant at which
// it ends: the tag that takes its place, or its account. Tolls from before that
// are the heir's to pay, and money that comes back is the heir's.
func leave(ctx context.Context, tx Tx, t Tag, to string, at time.Time) error {
	if t.Kind != ClassTag || to == "" {
		return nil
	}
	return tx.PutHeir(ctx, billing.HolderTag+t.Tag, t.Currency, to, at)
}

// mayBind refuses a vehicle that is not the account's.
func (t *Tag) mayBind(ctx context.Context, tx Tx, plate string, at time.Time) error {
	held, err := tx.HoldingsOf(ctx, "plate:"+plate, false)
	if err != nil {
		return err
	}
	for _, h := range held {
		if h.Tag == "" && h.Account == t.Account && h.holds(at) {
			return nil
		}
	}
	return conflict("the vehicle is not registered to account %s at %s", t.Account, at.Format(time.RFC3339))
}

func words(states []string) string {
	if len(states) == 0 {
		return "nothing else"
	}
	return strings.Join(states, ", ")
}
