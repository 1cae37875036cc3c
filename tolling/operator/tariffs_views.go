package operator

import (
	"encoding/base64"
	"time"

	"freeflow/billing"
	"freeflow/tolling/governance"
	"freeflow/tolling/tariff"
)

// States of a draft.
const (
	draftMistaken  = "mistaken"
	draftChecked   = "checked"
	draftTried     = "tried"
	draftApproved  = "approved"
	draftPublished = "published"
	draftDiscarded = "discarded"
)

type draftRevisionJSON struct {
	Revision      int64   `json:"revision"`
	By            string  `json:"by"`
	At            *string `json:"at"`
	Reason        string  `json:"reason"`
	EffectiveFrom *string `json:"effective_from"`
	Backdated     bool    `json:"backdated"`
	Content       string  `json:"content"`
	Base          string  `json:"base"`
	Digest        string  `json:"digest"`
	Mistakes      int     `json:"mistakes"`
}

type approvalJSON struct {
	Revision int64   `json:"revision"`
	Digest   string  `json:"digest"`
	DryRun   string  `json:"dry_run"`
	By       string  `json:"by"`
	At       *string `json:"at"`
	Note     string  `json:"note"`
	// Void says that the draft was changed since.
	Void bool `json:"void"`
}

type endJSON struct {
	By     string  `json:"by"`
	At     *string `json:"at"`
	Reason string  `json:"reason"`
}

// draftJSON is a draft as it stands, its last revision first.
type draftJSON struct {
	ID      string `json:"id"`
	Network string `json:"network"`
	State   string `json:"state"`
	draftRevisionJSON
	Problems  []tariff.Problem    `json:"problems"`
	More      int                 `json:"more_problems,omitempty"`
	Warnings  []string            `json:"warnings"`
	Revisions []draftRevisionJSON `json:"revisions"`
	DryRuns   []dryRunJSON        `json:"dry_runs"`
	Approvals []approvalJSON      `json:"approvals"`
	Discarded *endJSON            `json:"discarded"`
	// Sequence is the number of the statement that published it.
	Sequence *int64 `json:"sequence"`
}

func (a *Tariffs) draft(d *governance.Draft) draftJSON {
	last := d.Last()
	j := draftJSON{ID: d.ID, Network: d.Network, State: stateOf(d), draftRevisionJSON: a.revision(last),
		Problems: last.Problems, More: last.More, Warnings: last.Warnings,
		Revisions: []draftRevisionJSON{}, DryRuns: []dryRunJSON{}, Approvals: []approvalJSON{}}
	for i := range d.Revisions {
		j.Revisions = append(j.Revisions, a.revision(&d.Revisions[i]))
	}
	for i := range d.DryRuns {
		j.DryRuns = append(j.DryRuns, a.dryRun(&d.DryRuns[i]))
	}
	for _, p := range d.Approvals {
		j.Approvals = append(j.Approvals, approvalJSON{p.Revision, p.Digest, p.DryRun, p.By, a.at(p.At), p.Note, p.Digest != last.Digest})
	}
	if d.Discarded != nil {
		j.Discarded = &endJSON{d.Discarded.By, a.at(d.Discarded.At), d.Discarded.Reason}
	}
	if d.Published != nil {
		j.Sequence = &d.Published.Sequence
	}
	return j
}

func stateOf(d *governance.Draft) string {
	last := d.Last()
	switch {
	case d.Published != nil:
		return draftPublished
	case d.Discarded != nil:
		return draftDiscarded
	case !last.Good():
		return draftMistaken
	}
	for _, p := range d.Approvals {
		if p.Digest == last.Digest {
			return draftApproved
		}
	}
	for _, r := range d.DryRuns {
		if r.Digest == last.Digest {
			return draftTried
		}
	}
	return draftChecked
}

func (a *Tariffs) revision(r *governance.Revision) draftRevisionJSON {
	return draftRevisionJSON{r.Number, r.By, a.at(r.At), r.Reason, a.at(r.Effective), r.Backdated, r.Content, r.Base, r.Digest, len(r.Problems) + r.More}
}

type groupJSON struct {
	Facility   string `json:"facility"`
	Class      string `json:"class"`
	DayType    string `json:"day_type"`
	Passes     int64  `json:"passes"`
	Differ     int64  `json:"differ"`
	Before     string `json:"before"`
	After      string `json:"after"`
	Difference string `json:"difference"`
}

type changeJSON struct {
	Pass       string  `json:"pass"`
	TollPoint  string  `json:"toll_point"`
	Class      string  `json:"class"`
	RatedAt    *string `json:"rated_at"`
	Before     string  `json:"before"`
	After      string  `json:"after"`
	Difference string  `json:"difference"`
	BeforeRule string  `json:"before_rule"`
	AfterRule  string  `json:"after_rule"`
}

// dryRunJSON is a dry run with its result.
type dryRunJSON struct {
	ID              string       `json:"id"`
	Revision        int64        `json:"revision"`
	Digest          string       `json:"digest"`
	By              string       `json:"by"`
	At              *string      `json:"at"`
	From            *string      `json:"from"`
	To              *string      `json:"to"`
	Weeks           int          `json:"weeks"`
	Passes          int64        `json:"passes"`
	Differ          int64        `json:"differ"`
	Vehicles        int64        `json:"vehicles"`
	VehiclesMore    bool         `json:"vehicles_more"`
	Higher          int64        `json:"higher"`
	Lower           int64        `json:"lower"`
	Before          string       `json:"before"`
	After           string       `json:"after"`
	Difference      string       `json:"difference"`
	Lost            int64        `json:"lost"`
	Gained          int64        `json:"gained"`
	Unrated         int64        `json:"unrated"`
	NotOwing        int64        `json:"not_owing"`
	BookedOtherwise int64        `json:"booked_otherwise"`
	Groups          []groupJSON  `json:"groups"`
	Largest         []changeJSON `json:"largest"`
}

func (a *Tariffs) dryRun(d *governance.DryRun) dryRunJSON {
	r := &d.Result
	j := dryRunJSON{ID: d.ID, Revision: d.Revision, Digest: d.Digest, By: d.By, At: a.at(d.At), From: a.at(d.From), To: a.at(d.To), Weeks: d.Weeks,
		Passes: r.Passes, Differ: r.Differ, Vehicles: r.Vehicles, VehiclesMore: r.VehiclesMore, Higher: r.Higher, Lower: r.Lower,
		Before: billing.FormatCents(r.BeforeCents), After: billing.FormatCents(r.AfterCents), Difference: billing.FormatCents(r.AfterCents - r.BeforeCents),
		Lost: r.Lost, Gained: r.Gained, Unrated: r.Unrated, NotOwing: r.NotOwing, BookedOtherwise: r.BookedOtherwise,
		Groups: []groupJSON{}, Largest: []changeJSON{}}
	for _, g := range r.Groups {
		j.Groups = append(j.Groups, groupJSON{g.Facility, g.Class, g.DayType, g.Passes, g.Differ,
			billing.FormatCents(g.BeforeCents), billing.FormatCents(g.AfterCents), billing.FormatCents(g.AfterCents - g.BeforeCents)})
	}
	for _, c := range r.Largest {
		j.Largest = append(j.Largest, changeJSON{c.Pass, c.TollPoint, c.Class, a.at(governance.Instant(c.Micros)),
			billing.FormatCents(c.BeforeCents), billing.FormatCents(c.AfterCents), billing.FormatCents(c.AfterCents - c.BeforeCents), c.BeforeRule, c.AfterRule})
	}
	return j
}

// windowJSON is a stretch of time, half-open.
type windowJSON struct {
	From *string `json:"from"`
	To   *string `json:"to"`
}

// States of a statement.
const (
	statementInForce    = "in-force"
	statementScheduled  = "scheduled"
	statementSuperseded = "superseded"
	statementWithdrawn  = "withdrawn"
	statementDone       = "done"
)

// statementJSON is a signed statement as the process believes it.
type statementJSON struct {
	Sequence      int64       `json:"sequence"`
	Kind          string      `json:"kind"`
	State         string      `json:"state"`
	EffectiveFrom *string     `json:"effective_from"`
	Backdated     bool        `json:"backdated"`
	Content       string      `json:"content"`
	Draft         string      `json:"draft"`
	Revision      int64       `json:"revision"`
	Digest        string      `json:"digest"`
	Makers        []string    `json:"makers"`
	Checker       string      `json:"checker"`
	CheckedAt     *string     `json:"checked_at"`
	Withdraws     *int64      `json:"withdraws"`
	By            string      `json:"by"`
	Reason        string      `json:"reason"`
	StoredAt      *string     `json:"stored_at"`
	Hash          string      `json:"hash"`
	Previous      string      `json:"previous"`
	Key           string      `json:"key"`
	Signature     string      `json:"signature"`
	Bytes         string      `json:"bytes"`
	Rerate        *windowJSON `json:"rerate"`
}

func (a *Tariffs) statement(e *governance.Entry, chain *governance.Chain) statementJSON {
	j := statementJSON{Sequence: e.Sequence, Kind: e.Kind, State: a.statementState(e, chain), EffectiveFrom: a.at(e.Effective), Backdated: e.Backdated,
		Content: e.Content, Draft: e.Draft, Revision: e.Revision, Digest: e.Proposal, Makers: append([]string{}, e.Makers...), Checker: e.Checker,
		CheckedAt: a.at(e.Checked), By: e.By, Reason: e.Reason, StoredAt: a.at(e.At), Hash: e.Hash, Previous: e.Previous,
		Key: e.Key, Signature: base64.StdEncoding.EncodeToString(e.Signature), Bytes: string(e.Bytes())}
	if e.Kind == governance.Withdrawal {
		j.Withdraws = &e.Withdraws
	}
	if e.Backdated {
		j.Rerate = &windowJSON{a.at(e.Effective), a.at(e.At)}
	}
	return j
}

func (a *Tariffs) statementState(e *governance.Entry, chain *governance.Chain) string {
	now := a.Clock.Now()
	at := chain.At(now)
	switch {
	case e.Kind == governance.Withdrawal:
		return statementDone
	case chain.Withdrawn(e.Sequence):
		return statementWithdrawn
	case at != nil && at.Sequence == e.Sequence:
		return statementInForce
	case e.Effective.After(now):
		return statementScheduled
	}
	return statementSuperseded
}

// tariffJSON is what is published of a network.
type tariffJSON struct {
	Network string `json:"network"`
	// InForce is the number of the statement that rates passes made now.
	InForce int64 `json:"in_force"`
	// Content is the digest of its files, Head the hash of the last statement.
	Content  string          `json:"content"`
	Head     string          `json:"head"`
	Versions []versionJSON   `json:"versions"`
	Items    []statementJSON `json:"items"`
}

type versionJSON struct {
	Version string  `json:"version"`
	Begins  *string `json:"begins"`
	Source  string  `json:"source"`
}

func (a *Tariffs) tariff(limit int) tariffJSON {
	chain := a.Desk.Live.Chain()
	now := chain.At(a.Clock.Now())
	j := tariffJSON{Network: now.Network, InForce: now.Sequence, Content: now.Content, Head: chain.Head().Hash, Versions: []versionJSON{}, Items: []statementJSON{}}
	for _, v := range now.Loaded.Versions() {
		j.Versions = append(j.Versions, versionJSON{v.Name, a.at(v.Begins), v.Source})
	}
	entries := chain.Entries()
	for i := len(entries) - 1; i >= 0 && len(j.Items) < limit; i-- {
		j.Items = append(j.Items, a.statement(&entries[i], chain))
	}
	return j
}

// findingJSON is an alarm on displayed tolls.
type findingJSON struct {
	ID        string  `json:"id"`
	TollPoint string  `json:"toll_point"`
	Class     string  `json:"class"`
	Pass      string  `json:"pass"`
	Sign      string  `json:"sign"`
	Rated     string  `json:"rated"`
	Displayed string  `json:"displayed"`
	First     *string `json:"first"`
	Last      *string `json:"last"`
	Count     int64   `json:"count"`
	RaisedAt  *string `json:"raised_at"`
	ClosedAt  *string `json:"closed_at"`
	ClosedBy  string  `json:"closed_by"`
	Reason    string  `json:"reason"`
}

func (a *Tariffs) finding(f *governance.Finding) findingJSON {
	return findingJSON{f.ID, f.TollPoint, f.Class, f.First.Pass, f.First.Sign, billing.FormatCents(f.First.RatedCents), billing.FormatCents(f.First.ShownCents),
		a.at(f.First.At), a.at(f.Last), f.Count, a.at(f.Raised), a.at(f.Closed), f.ClosedBy, f.Reason}
}

// weekBefore is the usual period of a report.
func weekBefore(now time.Time) (from, to time.Time) { return now.AddDate(0, 0, -7), now }
