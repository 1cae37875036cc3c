package governance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"freeflow/tolling/tariff"
)

// usualDays is the length of a dry run's period where nobody says another.
const usualDays = 7

// Period is the passes of a dry run: those in [From, To), moved by Weeks. Where
// From and To are zero, it is the seven last whole days, or for a back-dated
// draft the time since its instant. Weeks below 0 means as many as are needed
// for the passes to lie after the draft's first change of a toll.
type Period struct {
	From, To time.Time
	Weeks    int
}

// mostDays bounds a dry run.
const mostDays = 400

// DryRun tries a draft on passes that were made and keeps the result under the
// proposal's digest, which the asker gives. Errors: ErrNotFound, ErrStale,
// ErrConflict, ErrInvalid, or a fault.
func (d *Desk) DryRun(ctx context.Context, by, id, digest string, p Period) (DryRun, error) {
	draft, network, err := d.loaded(ctx, id, digest)
	if err != nil {
		return DryRun{}, fmt.Errorf("trying a draft: %w", err)
	}
	last := draft.Last()
	run := DryRun{Draft: id, Revision: last.Number, Digest: last.Digest, By: by, At: Instant(d.Clock.Now().UnixMicro())}
	if err := d.period(&run, last, network, p); err != nil {
		return DryRun{}, fmt.Errorf("trying a draft: %w", err)
	}
	trial := NewTrial(d.Live, network, run.Weeks)
	if err := d.Passes.Each(ctx, run.From, run.To, trial.Add); err != nil {
		return DryRun{}, fmt.Errorf("trying a draft: %w", err)
	}
	run.Result = trial.Result()
	if run.ID, err = newID(run.At); err != nil {
		return DryRun{}, err
	}
	err = d.Store.Do(ctx, func(tx Tx) error {
		// What was tried must still be what stands.
		now, err := d.open(ctx, tx, id)
		if err != nil {
			return err
		}
		if now.Last().Digest != run.Digest {
			return fmt.Errorf("%w: the draft was changed while it was tried", ErrStale)
		}
		if len(now.DryRuns) >= maxDryRuns {
			return fmt.Errorf("%w: the draft has %d dry runs; begin another draft", ErrConflict, maxDryRuns)
		}
		if err := tx.AddDryRun(ctx, run); err != nil {
			return err
		}
		r := &run.Result
		return tx.Record(ctx, Event{At: run.At, By: by, Action: "tariff.tried", Subject: id, Detail: map[string]string{
			"proposal": run.Digest, "dry_run": run.ID, "passes": fmt.Sprint(r.Passes), "differ": fmt.Sprint(r.Differ),
			"difference": tariff.FormatAmount(r.AfterCents - r.BeforeCents)}})
	})
	if err != nil {
		return DryRun{}, fmt.Errorf("keeping a dry run: %w", err)
	}
	return run, nil
}

// period settles which passes are tried, and by how many weeks they are moved.
func (d *Desk) period(run *DryRun, last *Revision, network *tariff.Network, p Period) error {
	local := run.At.In(network.Zone())
	today := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, network.Zone())
	run.From, run.To = p.From.In(network.Zone()), p.To.In(network.Zone())
	switch {
	case p.From.IsZero() != p.To.IsZero():
		return fmt.Errorf("%w: from and to go together", ErrInvalid)
	case p.From.IsZero() && last.Backdated:
		run.From, run.To = last.Effective.In(network.Zone()), local
	case p.From.IsZero():
		run.From, run.To = today.AddDate(0, 0, -usualDays), today
	}
	switch {
	case !run.From.Before(run.To):
		return fmt.Errorf("%w: from is not before to", ErrInvalid)
	case run.To.Sub(run.From) > mostDays*24*time.Hour:
		return fmt.Errorf("%w: at most %d days are tried at once", ErrInvalid, mostDays)
	case p.Weeks > 520:
		return fmt.Errorf("%w: passes are moved by at most 520 weeks", ErrInvalid)
	}
	if run.Weeks = p.Weeks; p.Weeks < 0 {
		run.Weeks = 0
		if at, changes := tariff.FirstChange(d.Live.ahead(), network, last.Effective); changes && !last.Backdated {
			run.Weeks = weeksAhead(run.From, at)
		}
	}
	return nil
}

// Approve is a second person's word: that the proposal of this digest shall be
// published, after a look at the dry run named. Whoever wrote a revision of the
// draft is refused with ErrForbidden. The same again is the same answer. Errors:
// ErrNotFound, ErrStale, ErrConflict, ErrInvalid too.
func (d *Desk) Approve(ctx context.Context, by, id, digest, dryRun, note string) (Draft, error) {
	var draft Draft
	err := d.Store.Do(ctx, func(tx Tx) error {
		var err error
		if draft, err = d.open(ctx, tx, id); err != nil {
			return err
		}
		last := draft.Last()
		if err := d.ready(last, digest); err != nil {
			return err
		}
		if draft.isAuthor(by) {
			return fmt.Errorf("%w: %s wrote a revision of this draft; a second person approves it", ErrForbidden, by)
		}
		if err := tried(&draft, dryRun); err != nil {
			return err
		}
		if note != "" {
			if err := checkText("the note", note, MaxReason); err != nil {
				return err
			}
		}
		if draft.approvedBy(by) {
			return nil
		}
		a := Approval{Draft: id, Revision: last.Number, Digest: digest, DryRun: dryRun, By: by, At: Instant(d.Clock.Now().UnixMicro()), Note: note}
		draft.Approvals = append(draft.Approvals, a)
		if err := tx.AddApproval(ctx, a); err != nil {
			return err
		}
		return tx.Record(ctx, Event{At: a.At, By: by, Action: "tariff.approved", Subject: id, Reason: note,
			Detail: map[string]string{"proposal": digest, "dry_run": dryRun}})
	})
	if err != nil {
		return Draft{}, fmt.Errorf("approving a draft: %w", err)
	}
	return draft, nil
}

// ready reports why the last revision cannot go on to be approved or published.
func (d *Desk) ready(last *Revision, digest string) error {
	switch {
	case digest != last.Digest:
		return fmt.Errorf("%w: the draft's proposal has the digest %s, not %.64q: what was looked at is no longer what stands", ErrStale, last.Digest, digest)
	case !last.Good():
		return fmt.Errorf("%w: the check found %d mistakes; mend them in a further revision", ErrConflict, len(last.Problems)+last.More)
	case last.Base != d.Live.Chain().Head().Hash:
		return fmt.Errorf("%w: the draft builds on what is no longer published last; make a further revision of it", ErrStale)
	}
	if err := checkInstant(last.Effective, last.Backdated, d.Clock.Now()); err != nil {
		return fmt.Errorf("%w: its instant has come; make a further revision with a later one: %w", ErrConflict, err)
	}
	return nil
}

// tried checks that the dry run is of what stands, and of a back-dated draft
// that it covers the passes that would have to be rated again.
func tried(draft *Draft, dryRun string) error {
	last := draft.Last()
	i := slices.IndexFunc(draft.DryRuns, func(r DryRun) bool { return r.ID == dryRun })
	switch {
	case i < 0:
		return fmt.Errorf("%w: there is no dry run %.64q of this draft; try it first", ErrConflict, dryRun)
	case draft.DryRuns[i].Digest != last.Digest:
		return fmt.Errorf("%w: the dry run is of an earlier revision; try this one", ErrStale)
	case last.Backdated && (draft.DryRuns[i].From.After(last.Effective) || draft.DryRuns[i].Weeks != 0):
		return fmt.Errorf("%w: a back-dated draft needs a dry run of the passes since its instant, %s, as they were made", ErrConflict, last.Effective.Format(time.RFC3339))
	}
	return nil
}

func (d *Draft) approvedBy(person string) bool {
	return slices.ContainsFunc(d.Approvals, func(a Approval) bool { return a.Digest == d.Last().Digest && a.By == person })
}

// approval returns the first approval of what stands, by somebody who wrote
// none of it.
func (d *Draft) approval() *Approval {
	for i := range d.Approvals {
		if a := &d.Approvals[i]; a.Digest == d.Last().Digest && !d.isAuthor(a.By) {
			return a
		}
	}
	return nil
}

// Statement returns the statement by which an approved draft would be published
// now, for those who sign it elsewhere. Errors as of Publish.
func (d *Desk) Statement(ctx context.Context, id string) (s Statement, err error) {
	err = d.Store.View(ctx, func(tx Tx) error {
		draft, err := d.open(ctx, tx, id)
		if err == nil {
			s, err = d.statement(&draft, draft.Last().Digest)
		}
		return err
	})
	if err != nil {
		return Statement{}, fmt.Errorf("making a draft's statement: %w", err)
	}
	return s, nil
}

// statement makes the statement of an approved draft.
func (d *Desk) statement(draft *Draft, digest string) (Statement, error) {
	last := draft.Last()
	if err := d.ready(last, digest); err != nil {
		return Statement{}, err
	}
	a := draft.approval()
	if a == nil {
		return Statement{}, fmt.Errorf("%w: no second person has approved the proposal %s", ErrConflict, last.Digest)
	}
	head := d.Live.Chain().Head()
	return Statement{
		Network: last.Network, Sequence: head.Sequence + 1, Kind: Publication, Previous: head.Hash,
		Content: last.Content, Effective: last.Effective, Backdated: last.Backdated,
		Draft: draft.ID, Revision: last.Number, Proposal: last.Digest,
		Makers: draft.Authors(), Checker: a.By, Checked: a.At,
	}, nil
}

// Publish publishes an approved draft: signed here, or with a signature of the
// bytes of Statement made elsewhere (nil: here). The same again is the same
// answer. Errors: ErrNotFound, ErrStale, ErrConflict, ErrSignature, or a fault.
func (d *Desk) Publish(ctx context.Context, by, id, digest string, signature []byte) (Draft, error) {
	var draft Draft
	err := d.Store.Do(ctx, func(tx Tx) error {
		var err error
		if draft, err = d.whole(ctx, tx, id); err != nil {
			return err
		}
		if draft.Published != nil && draft.Published.Proposal == digest {
			return nil
		}
		if draft, err = d.open(ctx, tx, id); err != nil {
			return err
		}
		if _, err := d.base(ctx, tx); err != nil {
			return err
		}
		s, err := d.statement(&draft, digest)
		if err != nil {
			return err
		}
		signed, err := d.sign(s, signature)
		if err != nil {
			return err
		}
		if err := d.add(ctx, tx, signed); err != nil {
			return err
		}
		draft.Published = &signed
		return tx.Record(ctx, Event{At: signed.At, By: by, Action: "tariff.published", Subject: id, Detail: map[string]string{
			"network": s.Network, "sequence": fmt.Sprint(s.Sequence), "statement": s.Hash(), "proposal": digest, "content": s.Content,
			"effective": s.Effective.Format(time.RFC3339), "checker": s.Checker, "key": signed.Key}})
	})
	if err != nil {
		return Draft{}, fmt.Errorf("publishing a draft: %w", err)
	}
	return draft, d.Changed(ctx)
}

// add adds a statement once this process itself would believe it.
func (d *Desk) add(ctx context.Context, tx Tx, signed Signed) error {
	row := Row{Signed: signed}
	if signed.Content != "" {
		var err error
		if row.Canonical, err = tx.Content(ctx, signed.Content); err != nil {
			return err
		}
	}
	if _, err := d.Live.Chain().Extend([]Row{row}, d.Keys(), false); err != nil {
		return err
	}
	if err := tx.PutKey(ctx, d.Keys()[signed.Key]); err != nil {
		return err
	}
	return tx.AddStatement(ctx, signed)
}

// sign signs a statement, or takes the signature brought for it.
func (d *Desk) sign(s Statement, signature []byte) (Signed, error) {
	now := Instant(d.Clock.Now().UnixMicro())
	if signature != nil {
		for name := range d.Keys() {
			signed := Signed{Statement: s, Key: name, Signature: signature, At: now}
			if d.Keys().verify(&signed) == nil {
				return signed, nil
			}
		}
		return Signed{}, fmt.Errorf("%w: no trusted key made it over the statement as it would be now; ask for the statement again and sign that", ErrSignature)
	}
	if d.Signer == nil {
		return Signed{}, fmt.Errorf("%w: this process holds no signing key; bring a signature", ErrSignature)
	}
	signed := d.Signer.Sign(s, now)
	if err := d.Keys().verify(&signed); err != nil {
		return Signed{}, fmt.Errorf("this process's own key is not the one that the network's statements are signed with; give it that key: %w", err)
	}
	return signed, nil
}

// Withdraw takes back the last publication, before its instant; what stood
// before it goes on. One person may: it leaves the tolls as they are. Errors:
// ErrNotFound, ErrConflict, ErrInvalid, ErrStale, ErrSignature.
func (d *Desk) Withdraw(ctx context.Context, by string, sequence int64, reason string) (Signed, error) {
	if err := checkText("the reason", reason, MaxReason); err != nil {
		return Signed{}, fmt.Errorf("withdrawing a publication: %w", err)
	}
	var signed Signed
	err := d.Store.Do(ctx, func(tx Tx) error {
		chain, err := d.base(ctx, tx)
		if err != nil {
			return err
		}
		standing, head := chain.Standing(), chain.Head()
		switch {
		case sequence < 0 || sequence >= int64(chain.Len()):
			return fmt.Errorf("publication %d: %w", sequence, ErrNotFound)
		case chain.Withdrawn(sequence):
			return fmt.Errorf("%w: publication %d is withdrawn already", ErrConflict, sequence)
		case standing.Sequence != sequence || standing.Kind != Publication:
			return fmt.Errorf("%w: only the last publication, %d, can be withdrawn", ErrConflict, standing.Sequence)
		case standing.Effective.Before(d.Clock.Now().Add(Lead)):
			return fmt.Errorf("%w: publication %d rates passes since %s, or will in less than %s; supersede it by another one", ErrConflict, sequence, standing.Effective.Format(time.RFC3339), Lead)
		}
		signed, err = d.sign(Statement{Network: standing.Network, Sequence: head.Sequence + 1, Kind: Withdrawal, Previous: head.Hash,
			Withdraws: sequence, By: by, Reason: reason}, nil)
		if err != nil {
			return err
		}
		if err := d.add(ctx, tx, signed); err != nil {
			return err
		}
		return tx.Record(ctx, Event{At: signed.At, By: by, Action: "tariff.withdrawn", Subject: standing.Draft, Reason: reason, Detail: map[string]string{
			"network": standing.Network, "sequence": fmt.Sprint(signed.Sequence), "withdraws": fmt.Sprint(sequence)}})
	})
	if err != nil {
		return Signed{}, fmt.Errorf("withdrawing a publication: %w", err)
	}
	return signed, d.Changed(ctx)
}

// Plant puts the seed of a network that has no statement yet: the network that
// the system was started with. It is no error if somebody else was faster.
func Plant(ctx context.Context, store Store, signer *Signer, files tariff.Files, now time.Time) error {
	network, err := files.Load("the network to begin with")
	if err != nil {
		return fmt.Errorf("planting a network: %w", err)
	}
	nonce, err := newID(now)
	if err != nil {
		return err
	}
	err = store.Do(ctx, func(tx Tx) error {
		have, err := tx.Statements(ctx, network.Name(), 0)
		if err != nil || len(have) > 0 {
			return err
		}
		signed := signer.Sign(Statement{Network: network.Name(), Kind: Seed, Previous: nonce, Content: files.Digest(), By: "system",
			Reason: "the network with which the system was started"}, Instant(now.UnixMicro()))
		if err := tx.PutContent(ctx, signed.Content, files.Canonical()); err != nil {
			return err
		}
		if err := tx.PutKey(ctx, signer.Public()); err != nil {
			return err
		}
		if err := tx.AddStatement(ctx, signed); err != nil {
			return err
		}
		return tx.Record(ctx, Event{At: signed.At, By: "system", Action: "tariff.seeded", Subject: network.Name(), Reason: signed.Reason,
			Detail: map[string]string{"content": signed.Content, "statement": signed.Hash(), "key": signed.Key}})
	})
	if errors.Is(err, ErrStale) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("planting a network: %w", err)
	}
	return nil
}
