package store

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/go-json-experiment/json"

	"freeflow/internal/audit"
	"freeflow/internal/database"
	"freeflow/tolling/governance"
	"freeflow/tolling/tariff"
)

// tx is one transaction, for the calls of governance.Tx.
type tx struct{ db database.Session }

// PutContent keeps files by their digest.
func (t *tx) PutContent(ctx context.Context, digest string, canonical []byte) error {
	_, err := t.db.Exec(ctx, `INSERT INTO tariff_content (digest, canonical) VALUES ($1, $2) ON CONFLICT DO NOTHING`, digest, canonical)
	if err != nil {
		return fmt.Errorf("keeping files: %w", err)
	}
	return nil
}

// Content returns what was kept under the digest; governance.ErrNotFound.
func (t *tx) Content(ctx context.Context, digest string) ([]byte, error) {
	var canonical []byte
	found, err := database.One(ctx, t.db, `SELECT canonical FROM tariff_content WHERE digest = $1`, []any{digest}, &canonical)
	if err != nil {
		return nil, fmt.Errorf("reading files: %w", err)
	}
	if !found {
		return nil, fmt.Errorf("files %.64q: %w", digest, governance.ErrNotFound)
	}
	return canonical, nil
}

// insert adds one row; governance.ErrStale where its key is taken.
func (t *tx) insert(ctx context.Context, what, table, columns string, values ...any) error {
	n, err := t.db.Exec(ctx, `INSERT INTO `+table+` (`+columns+`) VALUES (`+database.Placeholders(1, len(values))+`) ON CONFLICT DO NOTHING`, values...)
	if err != nil {
		return fmt.Errorf("keeping %s: %w", what, err)
	}
	if n == 0 {
		return fmt.Errorf("keeping %s: %w: somebody was faster", what, governance.ErrStale)
	}
	return nil
}

const revisionColumns = `revision, effective_micros, at_micros, more_problems, backdated, draft, network, content, base, written_by, proposal, reason, problems, warnings`

// AddRevision adds a revision. See governance.Tx.
func (t *tx) AddRevision(ctx context.Context, r governance.Revision) error {
	problems, err := json.Marshal(r.Problems)
	if err != nil {
		return err
	}
	warnings, err := json.Marshal(r.Warnings)
	if err != nil {
		return err
	}
	return t.insert(ctx, "a revision", "tariff_revision", revisionColumns, r.Number, governance.Micros(r.Effective), governance.Micros(r.At), int64(r.More),
		r.Backdated, r.Draft, r.Network, r.Content, r.Base, r.By, r.Digest, r.Reason, string(problems), string(warnings))
}

func (t *tx) revisions(ctx context.Context, draft string) (list []governance.Revision, err error) {
	err = database.Each(ctx, t.db, `SELECT `+revisionColumns+` FROM tariff_revision WHERE draft = $1 ORDER BY revision`, []any{draft}, func(rows database.Rows) error {
		var (
			r                   governance.Revision
			effective, at, more int64
			problems, warnings  string
		)
		err := rows.Scan(&r.Number, &effective, &at, &more, &r.Backdated, &r.Draft, &r.Network, &r.Content, &r.Base, &r.By, &r.Digest, &r.Reason, &problems, &warnings)
		if err != nil {
			return err
		}
		r.Effective, r.At, r.More = governance.Instant(effective), governance.Instant(at), int(more)
		r.Problems, r.Warnings = []tariff.Problem{}, []string{}
		if err := json.Unmarshal([]byte(problems), &r.Problems); err != nil {
			return fmt.Errorf("revision %d: %w", r.Number, err)
		}
		if err := json.Unmarshal([]byte(warnings), &r.Warnings); err != nil {
			return fmt.Errorf("revision %d: %w", r.Number, err)
		}
		list = append(list, r)
		return nil
	})
	return list, err
}

// AddDryRun adds a dry run. See governance.Tx.
func (t *tx) AddDryRun(ctx context.Context, r governance.DryRun) error {
	result, err := json.Marshal(r.Result)
	if err != nil {
		return err
	}
	return t.insert(ctx, "a dry run", "tariff_dry_run", `revision, at_micros, from_micros, to_micros, weeks, id, draft, proposal, run_by, result`,
		r.Revision, governance.Micros(r.At), governance.Micros(r.From), governance.Micros(r.To), int64(r.Weeks), r.ID, r.Draft, r.Digest, r.By, string(result))
}

func (t *tx) dryRuns(ctx context.Context, draft string) (list []governance.DryRun, err error) {
	err = database.Each(ctx, t.db, `SELECT revision, at_micros, from_micros, to_micros, weeks, id, draft, proposal, run_by, result FROM tariff_dry_run WHERE draft = $1 ORDER BY id`,
		[]any{draft}, func(rows database.Rows) error {
			var (
				r                   governance.DryRun
				at, from, to, weeks int64
				result              string
			)
			if err := rows.Scan(&r.Revision, &at, &from, &to, &weeks, &r.ID, &r.Draft, &r.Digest, &r.By, &result); err != nil {
				return err
			}
			r.At, r.From, r.To, r.Weeks = governance.Instant(at), governance.Instant(from), governance.Instant(to), int(weeks)
			if err := json.Unmarshal([]byte(result), &r.Result); err != nil {
				return fmt.Errorf("dry run %s: %w", r.ID, err)
			}
			list = append(list, r)
			return nil
		})
	return list, err
}

// AddApproval adds an approval. See governance.Tx.
func (t *tx) AddApproval(ctx context.Context, a governance.Approval) error {
	return t.insert(ctx, "an approval", "tariff_approval", `revision, at_micros, draft, proposal, dry_run, approved_by, note`,
		a.Revision, governance.Micros(a.At), a.Draft, a.Digest, a.DryRun, a.By, a.Note)
}

func (t *tx) approvals(ctx context.Context, draft string) (list []governance.Approval, err error) {
	err = database.Each(ctx, t.db, `SELECT revision, at_micros, draft, proposal, dry_run, approved_by, note FROM tariff_approval WHERE draft = $1 ORDER BY at_micros, approved_by`,
		[]any{draft}, func(rows database.Rows) error {
			var (
				a  governance.Approval
				at int64
			)
			err := rows.Scan(&a.Revision, &at, &a.Draft, &a.Digest, &a.DryRun, &a.By, &a.Note)
			a.At = governance.Instant(at)
			list = append(list, a)
			return err
		})
	return list, err
}

// AddEnd closes a draft. See governance.Tx.
func (t *tx) AddEnd(ctx context.Context, e governance.End) error {
	return t.insert(ctx, "that a draft is discarded", "tariff_discard", `at_micros, draft, discarded_by, reason`, governance.Micros(e.At), e.Draft, e.By, e.Reason)
}

// Draft returns a draft. See governance.Tx.
func (t *tx) Draft(ctx context.Context, id string) (governance.Draft, error) {
	d := governance.Draft{ID: id}
	var err error
	if d.Revisions, err = t.revisions(ctx, id); err != nil {
		return d, fmt.Errorf("reading a draft's revisions: %w", err)
	}
	if len(d.Revisions) == 0 {
		return d, fmt.Errorf("draft %.64q: %w", id, governance.ErrNotFound)
	}
	d.Network = d.Revisions[0].Network
	if d.DryRuns, err = t.dryRuns(ctx, id); err != nil {
		return d, fmt.Errorf("reading a draft's dry runs: %w", err)
	}
	if d.Approvals, err = t.approvals(ctx, id); err != nil {
		return d, fmt.Errorf("reading a draft's approvals: %w", err)
	}
	end := governance.End{Draft: id}
	var at int64
	found, err := database.One(ctx, t.db, `SELECT at_micros, discarded_by, reason FROM tariff_discard WHERE draft = $1`, []any{id}, &at, &end.By, &end.Reason)
	if err != nil {
		return d, fmt.Errorf("reading a draft's end: %w", err)
	}
	if end.At = governance.Instant(at); found {
		d.Discarded = &end
	}
	return d, nil
}

// Drafts lists ids of drafts. See governance.Tx.
func (t *tx) Drafts(ctx context.Context, network, before string, limit int) ([]string, error) {
	if before == "" {
		before = "~" // after every id
	}
	var ids []string
	err := database.Each(ctx, t.db, `SELECT draft FROM tariff_revision WHERE revision = 1 AND network = $1 AND draft < $2 ORDER BY draft DESC LIMIT $3`,
		[]any{network, before, int64(limit)}, func(rows database.Rows) error {
			var id string
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("listing drafts: %w", err)
	}
	return ids, nil
}

const statementColumns = `sequence, effective_micros, revision, checked_micros, withdraws, at_micros, backdated, network, kind, previous, content, draft, proposal, makers, checker, made_by, reason, signing_key, signature`

// Statements returns statements as they stand. See governance.Tx.
func (t *tx) Statements(ctx context.Context, network string, from int64) ([]governance.Signed, error) {
	var list []governance.Signed
	err := database.Each(ctx, t.db, `SELECT `+statementColumns+` FROM tariff_statement WHERE network = $1 AND sequence >= $2 ORDER BY sequence`,
		[]any{network, from}, func(rows database.Rows) error {
			var (
				s                      governance.Signed
				effective, checked, at int64
				makers                 string
			)
			err := rows.Scan(&s.Sequence, &effective, &s.Revision, &checked, &s.Withdraws, &at, &s.Backdated, &s.Network, &s.Kind, &s.Previous, &s.Content,
				&s.Draft, &s.Proposal, &makers, &s.Checker, &s.By, &s.Reason, &s.Key, &s.Signature)
			if err != nil {
				return err
			}
			s.Effective, s.Checked, s.At = governance.Instant(effective), governance.Instant(checked), governance.Instant(at)
			// What is no list of names any more does not verify either.
			if json.Unmarshal([]byte(makers), &s.Makers) != nil {
				s.Makers = []string{makers}
			}
			list = append(list, s)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("reading statements: %w", err)
	}
	return list, nil
}

// AddStatement adds a statement. See governance.Tx.
func (t *tx) AddStatement(ctx context.Context, s governance.Signed) error {
	makers, err := json.Marshal(s.Makers)
	if err != nil {
		return err
	}
	return t.insert(ctx, "a statement", "tariff_statement", statementColumns+`, hash`,
		s.Sequence, governance.Micros(s.Effective), s.Revision, governance.Micros(s.Checked), s.Withdraws, governance.Micros(s.At), s.Backdated,
		s.Network, s.Kind, s.Previous, s.Content, s.Draft, s.Proposal, string(makers), s.Checker, s.By, s.Reason, s.Key, s.Signature, s.Hash())
}

// PutKey keeps a public key. See governance.Tx.
func (t *tx) PutKey(ctx context.Context, key ed25519.PublicKey) error {
	_, err := t.db.Exec(ctx, `INSERT INTO tariff_key (fingerprint, public_key) VALUES ($1, $2) ON CONFLICT DO NOTHING`, governance.Fingerprint(key), []byte(key))
	if err != nil {
		return fmt.Errorf("keeping a public key: %w", err)
	}
	return nil
}

// Record appends to the audit trail. See governance.Tx.
func (t *tx) Record(ctx context.Context, e governance.Event) error {
	role := "operator"
	if e.By == "system" {
		role = "system"
	}
	return audit.Append(ctx, t.db, audit.Event{
		At: e.At, Actor: audit.Actor{Name: e.By, Role: role}, Action: e.Action,
		Subject: audit.Subject{Kind: cmp.Or(e.Kind, "tariff"), ID: e.Subject}, Reason: e.Reason, Detail: e.Detail,
	})
}
