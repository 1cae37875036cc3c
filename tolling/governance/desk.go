package governance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"freeflow/internal/clock"
	"freeflow/tolling/tariff"
)

// Passes gives passes that were made.
type Passes interface {
	// Each calls fn for the standing passes whose time is in [from, to), in
	// the order of time, until fn returns an error, which it returns.
	Each(ctx context.Context, from, to time.Time, fn func(*Pass) error) error
}

// Parts are what a Desk is made of; all but Signer and Changed are needed.
type Parts struct {
	Store Store
	// Live is the network in force in this process.
	Live   *Live
	Passes Passes
	Clock  clock.Clock
	// Signer signs what is published here; nil where no key is held, and
	// signatures have to be brought.
	Signer *Signer
	// Keys returns the keys that are trusted.
	Keys func() Keys
	// Changed is called after a statement was added, so that this process need
	// not wait for its next look.
	Changed func(context.Context) error
}

// Desk is where tolls are changed. Safe for concurrent use.
type Desk struct{ Parts }

// NewDesk returns a desk made of the parts.
func NewDesk(p Parts) (*Desk, error) {
	if p.Store == nil || p.Live == nil || p.Passes == nil || p.Clock == nil || p.Keys == nil {
		return nil, errors.New("tariff governance: a part is missing")
	}
	if p.Changed == nil {
		p.Changed = func(context.Context) error { return nil }
	}
	return &Desk{p}, nil
}

// Wish is what somebody wants of the tolls.
type Wish struct {
	// Files are those that change; the others stay as they are.
	Files     tariff.Files
	Effective time.Time
	Backdated bool
	Reason    string
}

// Draft begins a draft: the network in force last, with the wish's files in
// place of their namesakes. A draft with mistakes is kept with them. Errors:
// ErrInvalid, ErrStale, or a fault.
func (d *Desk) Draft(ctx context.Context, by string, w Wish) (Draft, error) {
	id, err := newID(d.Clock.Now())
	if err != nil {
		return Draft{}, err
	}
	var made Draft
	err = d.Store.Do(ctx, func(tx Tx) error {
		base, err := d.base(ctx, tx)
		if err != nil {
			return err
		}
		r, err := d.revise(ctx, tx, base, base.Standing().Files, by, w, Revision{Draft: id, Number: 1, Network: d.Live.Name()})
		made = Draft{ID: id, Network: r.Network, Revisions: []Revision{r}}
		return err
	})
	if err != nil {
		return Draft{}, fmt.Errorf("drafting tolls: %w", err)
	}
	return made, nil
}

// newID makes a draft's or a dry run's id: ids made later sort later.
func newID(now time.Time) (string, error) {
	tail := make([]byte, 5)
	if _, err := rand.Read(tail); err != nil {
		return "", err
	}
	return fmt.Sprintf("%013x-%s", now.UnixMicro(), hex.EncodeToString(tail)), nil
}

// Revise adds a revision to a draft: the files of the one before it with those
// of the wish in place of their namesakes, on top of what is published now.
// after is the number of the revision that the author saw. Approvals of earlier
// revisions are void. Errors: ErrNotFound, ErrInvalid, ErrStale, ErrConflict.
func (d *Desk) Revise(ctx context.Context, by, draft string, after int64, w Wish) (Draft, error) {
	var made Draft
	err := d.Store.Do(ctx, func(tx Tx) error {
		var err error
		if made, err = d.open(ctx, tx, draft); err != nil {
			return err
		}
		last := made.Last()
		switch {
		case last.Number != after:
			return fmt.Errorf("%w: the draft stands at revision %d; look at it again", ErrStale, last.Number)
		case after >= maxRevisions:
			return fmt.Errorf("%w: the draft has %d revisions; begin another one", ErrConflict, after)
		}
		base, err := d.base(ctx, tx)
		if err != nil {
			return err
		}
		files, err := contentOf(ctx, tx, last.Content)
		if err != nil {
			return err
		}
		r, err := d.revise(ctx, tx, base, files, by, w, Revision{Draft: draft, Number: after + 1, Network: last.Network})
		made.Revisions = append(made.Revisions, r)
		return err
	})
	if err != nil {
		return Draft{}, fmt.Errorf("changing a draft: %w", err)
	}
	return made, nil
}

// base returns what is published, as the transaction sees it, so that nobody
// drafts on what this process has not heard of yet.
func (d *Desk) base(ctx context.Context, tx Tx) (*Chain, error) {
	chain := d.Live.Chain()
	head := chain.Head()
	later, err := tx.Statements(ctx, head.Network, head.Sequence)
	switch {
	case err != nil:
		return nil, err
	case len(later) == 0 || later[0].Hash() != head.Hash:
		return nil, fmt.Errorf("%w: the database does not hold the last statement, %d, as this process believes it (the alarms tell more); put it back first", ErrConflict, head.Sequence)
	case len(later) > 1:
		return nil, fmt.Errorf("%w: statement %d of the network is not in force here: it was made just now, so try again, or it is refused, which the alarms tell", ErrStale, later[len(later)-1].Sequence)
	}
	return chain, nil
}

// revise checks and keeps a revision.
func (d *Desk) revise(ctx context.Context, tx Tx, base *Chain, before tariff.Files, by string, w Wish, r Revision) (Revision, error) {
	if err := checkText("the reason", w.Reason, MaxReason); err != nil {
		return r, err
	}
	files, err := before.With(w.Files)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	now := d.Clock.Now()
	if err := checkInstant(w.Effective, w.Backdated, now); err != nil {
		return r, err
	}
	r.Content, r.Base = files.Digest(), base.Head().Hash
	r.Effective, r.Backdated, r.Reason, r.By, r.At = w.Effective.UTC(), w.Backdated, w.Reason, by, Instant(now.UnixMicro())
	r.Problems, r.More, r.Warnings = check(base, files, r.Effective)
	r.Digest = r.Proposal()
	if err := tx.PutContent(ctx, r.Content, files.Canonical()); err != nil {
		return r, err
	}
	if err := tx.AddRevision(ctx, r); err != nil {
		return r, err
	}
	return r, tx.Record(ctx, Event{At: r.At, By: by, Action: "tariff.drafted", Subject: r.Draft, Reason: r.Reason,
		Detail: map[string]string{"revision": fmt.Sprint(r.Number), "content": r.Content, "proposal": r.Digest, "effective": r.Effective.Format(time.RFC3339)}})
}

// checkInstant checks when a network shall come in force, as of now.
func checkInstant(at time.Time, backdated bool, now time.Time) error {
	switch {
	case at.IsZero() || at.Unix() < 0 || at.Year() > 9999:
		return fmt.Errorf("%w: say from which instant on the network shall rate passes", ErrInvalid)
	case at.Unix()%60 != 0 || at.Nanosecond() != 0:
		return fmt.Errorf("%w: the instant %s lies within a minute, and a toll is that of a whole minute; take :00", ErrInvalid, at.Format(time.RFC3339Nano))
	case backdated && at.After(now):
		return fmt.Errorf("%w: %s is yet to come; leave out that it is back-dated", ErrInvalid, at.Format(time.RFC3339))
	case !backdated && at.Before(now.Add(Lead)):
		return fmt.Errorf("%w: %s is past, or less than %s ahead; take a later instant, or say that it is back-dated (passes made since then must be rated again)",
			ErrInvalid, at.Format(time.RFC3339), Lead)
	}
	return nil
}

// check returns every mistake in the files as successor of what is published.
func check(base *Chain, files tariff.Files, effective time.Time) (bad []tariff.Problem, more int, warnings []string) {
	bad, warnings = []tariff.Problem{}, []string{}
	standing := base.Standing().Loaded
	network, err := files.Load(standing.Name())
	var broken *tariff.BadNetworkError
	switch {
	case errors.As(err, &broken):
		return broken.Problems, broken.More, warnings
	case err != nil:
		return append(bad, tariff.Problem{Text: err.Error()}), 0, warnings
	}
	seen := map[tariff.Problem]bool{}
	for _, before := range base.Networks() {
		for _, p := range tariff.Succession(before, network, files) {
			if !seen[p] {
				seen[p] = true
				bad = append(bad, p)
			}
		}
	}
	if len(bad) > maxProblems {
		bad, more = bad[:maxProblems], len(bad)-maxProblems
	}
	at, changes := tariff.FirstChange(standing, network, time.Unix(0, 0))
	switch {
	case files.Digest() == base.Standing().Content:
		warnings = append(warnings, "the files are those that are published already")
	case changes && at.Before(effective):
		warnings = append(warnings, fmt.Sprintf("the tolls differ from %s on, but the network rates only passes from %s on",
			at.In(network.Zone()).Format(time.RFC3339), effective.In(network.Zone()).Format(time.RFC3339)))
	case !changes:
		warnings = append(warnings, "no toll differs, of any class at any time (but for what the calendars do)")
	}
	for _, v := range standing.Versions() {
		if !slices.ContainsFunc(network.Versions(), func(w tariff.Version) bool { return w.Name == v.Name }) {
			warnings = append(warnings, fmt.Sprintf("version %s, which is published, is gone from the files; were they made from older ones?", v.Name))
		}
	}
	if coming := base.Standing(); coming.Kind == Publication && effective.Before(coming.Effective) {
		warnings = append(warnings, fmt.Sprintf("publication %d, in force from %s on, would never be: this one takes its place from %s on",
			coming.Sequence, coming.Effective.Format(time.RFC3339), effective.Format(time.RFC3339)))
	}
	return bad, more, warnings
}

// open returns a draft that can still be worked on.
func (d *Desk) open(ctx context.Context, tx Tx, id string) (Draft, error) {
	draft, err := d.whole(ctx, tx, id)
	switch {
	case err != nil:
		return Draft{}, err
	case draft.Discarded != nil:
		return Draft{}, fmt.Errorf("%w: the draft was discarded by %s", ErrConflict, draft.Discarded.By)
	case draft.Published != nil:
		return Draft{}, fmt.Errorf("%w: the draft is published as statement %d, and what is published is never edited; begin another draft", ErrConflict, draft.Published.Sequence)
	}
	return draft, nil
}

// whole returns a draft with what was published of it.
func (d *Desk) whole(ctx context.Context, tx Tx, id string) (Draft, error) {
	draft, err := tx.Draft(ctx, id)
	if err != nil {
		return Draft{}, err
	}
	if draft.Network != d.Live.Name() {
		return Draft{}, fmt.Errorf("draft %.64q: %w: it is of the network %s", id, ErrNotFound, draft.Network)
	}
	statements, err := tx.Statements(ctx, draft.Network, 0)
	if err != nil {
		return Draft{}, err
	}
	for i := range statements {
		if statements[i].Kind == Publication && statements[i].Draft == id {
			draft.Published = &statements[i]
		}
	}
	return draft, nil
}

// Get returns a draft. Errors: ErrNotFound.
func (d *Desk) Get(ctx context.Context, id string) (draft Draft, err error) {
	err = d.Store.View(ctx, func(tx Tx) error {
		draft, err = d.whole(ctx, tx, id)
		return err
	})
	if err != nil {
		return Draft{}, fmt.Errorf("reading a draft: %w", err)
	}
	return draft, nil
}

// List returns drafts, the newest first, from the one before the id given.
func (d *Desk) List(ctx context.Context, before string, limit int) (drafts []Draft, err error) {
	err = d.Store.View(ctx, func(tx Tx) error {
		drafts = nil
		ids, err := tx.Drafts(ctx, d.Live.Name(), before, limit)
		if err != nil {
			return err
		}
		for _, id := range ids {
			draft, err := d.whole(ctx, tx, id)
			if err != nil {
				return err
			}
			drafts = append(drafts, draft)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing drafts: %w", err)
	}
	return drafts, nil
}

// Files returns the files of a draft's last revision.
func (d *Desk) Files(ctx context.Context, id string) (files tariff.Files, err error) {
	err = d.Store.View(ctx, func(tx Tx) error {
		draft, err := d.whole(ctx, tx, id)
		if err != nil {
			return err
		}
		files, err = contentOf(ctx, tx, draft.Last().Content)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading a draft's files: %w", err)
	}
	return files, nil
}

func contentOf(ctx context.Context, tx Tx, digest string) (tariff.Files, error) {
	canonical, err := tx.Content(ctx, digest)
	if err != nil {
		return nil, err
	}
	files, err := tariff.ParseFiles(canonical)
	if err != nil {
		return nil, err
	}
	if files.Digest() != digest {
		return nil, fmt.Errorf("%w: the files kept under the digest %s are others", ErrSignature, digest)
	}
	return files, nil
}

// Diff says what changes if the draft takes the place of the network published
// last. Errors: ErrNotFound, ErrConflict for a draft with mistakes.
func (d *Desk) Diff(ctx context.Context, id string) (tariff.Difference, error) {
	_, network, err := d.loaded(ctx, id, "")
	if err != nil {
		return tariff.Difference{}, fmt.Errorf("comparing a draft: %w", err)
	}
	return tariff.Diff(d.Live.ahead(), network), nil
}

// loaded returns a draft that the check found good, and its network. The digest
// must be the draft's, unless it is empty.
func (d *Desk) loaded(ctx context.Context, id, digest string) (draft Draft, network *tariff.Network, err error) {
	err = d.Store.View(ctx, func(tx Tx) error {
		if draft, err = d.whole(ctx, tx, id); err != nil {
			return err
		}
		last := draft.Last()
		if digest != "" && digest != last.Digest {
			return fmt.Errorf("%w: the draft's proposal has the digest %s", ErrStale, last.Digest)
		}
		if !last.Good() {
			return fmt.Errorf("%w: the check found %d mistakes; mend them in a further revision", ErrConflict, len(last.Problems)+last.More)
		}
		files, err := contentOf(ctx, tx, last.Content)
		if err == nil {
			network, err = files.Load(last.Network)
		}
		return err
	})
	return draft, network, err
}

// Discard closes a draft. Errors: ErrNotFound, ErrConflict, ErrInvalid.
func (d *Desk) Discard(ctx context.Context, by, id, reason string) (Draft, error) {
	if err := checkText("the reason", reason, MaxReason); err != nil {
		return Draft{}, fmt.Errorf("discarding a draft: %w", err)
	}
	var draft Draft
	err := d.Store.Do(ctx, func(tx Tx) error {
		var err error
		if draft, err = d.open(ctx, tx, id); err != nil {
			return err
		}
		end := End{Draft: id, By: by, At: Instant(d.Clock.Now().UnixMicro()), Reason: reason}
		draft.Discarded = &end
		if err := tx.AddEnd(ctx, end); err != nil {
			return err
		}
		return tx.Record(ctx, Event{At: end.At, By: by, Action: "tariff.discarded", Subject: id, Reason: reason})
	})
	if err != nil {
		return Draft{}, fmt.Errorf("discarding a draft: %w", err)
	}
	return draft, nil
}

// checkText refuses what a person wrote if it is empty, too long or no text.
func checkText(what, text string, limit int) error {
	switch {
	case strings.TrimSpace(text) == "":
		return fmt.Errorf("%w: %s is missing", ErrInvalid, what)
	case len(text) > limit:
		return fmt.Errorf("%w: %s has %d bytes, at most %d are kept", ErrInvalid, what, len(text), limit)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		return fmt.Errorf("%w: %s is not plain text", ErrInvalid, what)
	}
	return nil
}

// isAuthor reports whether the person wrote any revision.
func (d *Draft) isAuthor(person string) bool { return slices.Contains(d.Authors(), person) }
