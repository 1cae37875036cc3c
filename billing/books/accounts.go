package books

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/internal/audit"
	"freeflow/internal/database"
)

// LockMarks writes to the marks' rows, in their order. See account.Tx.
func (t *Tx) LockMarks(ctx context.Context, marks []string) error {
	for _, mark := range slices.Compact(slices.Sorted(slices.Values(marks))) {
		_, err := t.db.Exec(ctx, `INSERT INTO mark_fence AS f (mark, times) VALUES ($1, 1) ON CONFLICT (mark) DO UPDATE SET times = f.times + 1`, mark)
		if err != nil {
			return fmt.Errorf("locking a mark: %w", err)
		}
	}
	return nil
}

const accountColumns = `id, revision, kind, name, email, mobile, language, state, opened_at, closes_at, at_micros, changed_by, reason`

func scanAccount(r database.Rows) (a account.Revision, err error) {
	var opened, closes, at int64
	err = r.Scan(&a.ID, &a.Account.Revision, &a.Kind, &a.Name, &a.Email, &a.Mobile, &a.Language, &a.State, &opened, &closes, &at, &a.By, &a.Reason)
	a.OpenedAt, a.ClosesAt, a.At = instantOf(opened), instantOf(closes), instantOf(at)
	return a, err
}

// instantOf and microsOf keep the zero value of a time as 0.
func instantOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func microsOf(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMicro()
}

// Account returns an account as it stands. See account.Tx.
func (t *Tx) Account(ctx context.Context, id string) (account.Account, error) {
	var a account.Account
	found := false
	err := database.Each(ctx, t.db, `SELECT `+accountColumns+` FROM account WHERE id = $1 ORDER BY revision DESC LIMIT 1`, []any{id}, func(r database.Rows) error {
		stands, err := scanAccount(r)
		a, found = stands.Account, true
		return err
	})
	if err == nil && !found {
		err = billing.ErrNotFound
	}
	if err != nil {
		return account.Account{}, fmt.Errorf("account %s: %w", id, err)
	}
	return a, nil
}

// AccountRevisions returns all revisions. See account.Tx.
func (t *Tx) AccountRevisions(ctx context.Context, id string) ([]account.Revision, error) {
	var list []account.Revision
	err := database.Each(ctx, t.db, `SELECT `+accountColumns+` FROM account WHERE id = $1 ORDER BY revision`, []any{id}, func(r database.Rows) error {
		a, err := scanAccount(r)
		list = append(list, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the revisions of account %s: %w", id, err)
	}
	return list, nil
}

// PutAccount adds a revision. See account.Tx.
func (t *Tx) PutAccount(ctx context.Context, a account.Account, d account.Deed) error {
	_, err := t.db.Exec(ctx, `INSERT INTO account (`+accountColumns+`) VALUES (`+database.Placeholders(1, 13)+`)`,
		a.ID, a.Revision, a.Kind, a.Name, a.Email, a.Mobile, a.Language, a.State, microsOf(a.OpenedAt), microsOf(a.ClosesAt), microsOf(d.Now), d.By, d.Reason)
	if database.IsDuplicate(err) {
		return fmt.Errorf("account %s: %w: it has a revision %d already", a.ID, billing.ErrStale, a.Revision)
	}
	if err == nil {
		err = audit.Append(ctx, t.db, audit.Event{
			At: d.Now, Actor: actor(d), Action: "account." + a.State, Subject: audit.Subject{Kind: "account", ID: a.ID},
			Account: a.ID, Reason: d.Reason, Detail: map[string]any{"revision": a.Revision},
			Personal: map[string]any{"name": a.Name, "email": a.Email, "mobile": a.Mobile},
		})
	}
	if err != nil {
		return fmt.Errorf("storing account %s: %w", a.ID, err)
	}
	return nil
}

func actor(d account.Deed) audit.Actor { return audit.Actor{Name: d.By, Role: d.Role} }

const holdingColumns = `id, account, plate, tag, class, exempt, from_micros, to_micros, recorded_at, replaced_at, recorded_by, reason`

func scanHolding(r database.Rows) (h account.Holding, err error) {
	var from, to, recorded, replaced int64
	err = r.Scan(&h.ID, &h.Account, &h.Plate, &h.Tag, &h.Class, &h.Exempt, &from, &to, &recorded, &replaced, &h.By, &h.Reason)
	h.From, h.To, h.RecordedAt, h.ReplacedAt = instantOf(from), instantOf(to), instantOf(recorded), instantOf(replaced)
	return h, err
}

// Holding returns one. See account.Tx.
func (t *Tx) Holding(ctx context.Context, id string) (account.Holding, error) {
	list, err := t.holdings(ctx, `id = $1`, id)
	if err == nil && len(list) == 0 {
		err = billing.ErrNotFound
	}
	if err != nil {
		return account.Holding{}, fmt.Errorf("holding %s: %w", id, err)
	}
	return list[0], nil
}

// HoldingsOf returns holdings of a mark or an account. See account.Tx.
func (t *Tx) HoldingsOf(ctx context.Context, mark string, all bool) ([]account.Holding, error) {
	kind, text, _ := strings.Cut(mark, ":")
	if kind != "plate" && kind != "tag" && kind != "account" {
		return nil, fmt.Errorf("reading holdings: %w", invalid("mark of kind %q", kind))
	}
	// The empty text stands in none of the indexes, nor for anything.
	where := kind + ` = $1 AND ` + kind + ` <> ''`
	if !all {
		where += ` AND replaced_at = 0`
	}
	list, err := t.holdings(ctx, where+` ORDER BY from_micros, id`, text)
	if err != nil {
		return nil, fmt.Errorf("reading holdings: %w", err)
	}
	return list, nil
}

func (t *Tx) holdings(ctx context.Context, where string, args ...any) ([]account.Holding, error) {
	var list []account.Holding
	err := database.Each(ctx, t.db, `SELECT `+holdingColumns+` FROM holding WHERE `+where, args, func(r database.Rows) error {
		h, err := scanHolding(r)
		list = append(list, h)
		return err
	})
	return list, err
}

// AddHolding adds one. See account.Tx.
func (t *Tx) AddHolding(ctx context.Context, h account.Holding, d account.Deed) error {
	_, err := t.db.Exec(ctx, `INSERT INTO holding (`+holdingColumns+`) VALUES (`+database.Placeholders(1, 12)+`)`,
		h.ID, h.Account, h.Plate, h.Tag, h.Class, h.Exempt, microsOf(h.From), microsOf(h.To), microsOf(h.RecordedAt), microsOf(h.ReplacedAt), h.By, h.Reason)
	if database.IsDuplicate(err) {
		return fmt.Errorf("adding holding %s: %w: it is there, or its mark is held from that instant", h.ID, billing.ErrConflict)
	}
	if err == nil {
		err = t.auditHolding(ctx, h, "holding.recorded", d)
	}
	if err != nil {
		return fmt.Errorf("adding holding %s: %w", h.ID, err)
	}
	return nil
}

func (t *Tx) auditHolding(ctx context.Context, h account.Holding, action string, d account.Deed) error {
	return audit.Append(ctx, t.db, audit.Event{
		At: d.Now, Actor: actor(d), Action: action, Subject: audit.Subject{Kind: "holding", ID: h.ID}, Account: h.Account, Reason: d.Reason,
		Detail:   map[string]any{"from": microsOf(h.From), "to": microsOf(h.To), "class": h.Class, "exempt": h.Exempt},
		Personal: map[string]any{"plate": h.Plate, "tag": h.Tag},
	})
}

// ReplaceHolding ends the standing of one. See account.Tx.
func (t *Tx) ReplaceHolding(ctx context.Context, id string, d account.Deed) error {
	n, err := t.db.Exec(ctx, `UPDATE holding SET replaced_at = $2 WHERE id = $1 AND replaced_at = 0`, id, microsOf(d.Now))
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: it does not stand", billing.ErrStale)
	}
	var h account.Holding
	if err == nil {
		h, err = t.Holding(ctx, id)
	}
	if err == nil {
		err = t.auditHolding(ctx, h, "holding.replaced", d)
	}
	if err != nil {
		return fmt.Errorf("replacing holding %s: %w", id, err)
	}
	return nil
}

const tagColumns = `tag, revision, kind, class, currency, account, state, plate, replaces, replaced_by`

func scanTag(r database.Rows) (t account.Tag, err error) {
	err = r.Scan(&t.Tag, &t.Revision, &t.Kind, &t.Class, &t.Currency, &t.Account, &t.State, &t.Plate, &t.Replaces, &t.ReplacedBy)
	return t, err
}

// Tag returns a tag as it stands. See account.Tx.
func (t *Tx) Tag(ctx context.Context, tag string) (account.Tag, error) {
	list, err := t.tags(ctx, `tag = $1`, tag)
	if err == nil && len(list) == 0 {
		err = billing.ErrNotFound
	}
	if err != nil {
		return account.Tag{}, fmt.Errorf("reading a tag: %w", err)
	}
	return list[0], nil
}

// TagsOf returns the tags of an account. See account.Tx.
func (t *Tx) TagsOf(ctx context.Context, id string) ([]account.Tag, error) {
	list, err := t.tags(ctx, `account = $1 AND account <> '' ORDER BY tag`, id)
	if err != nil {
		return nil, fmt.Errorf("reading the tags of account %s: %w", id, err)
	}
	return list, nil
}

func (t *Tx) tags(ctx context.Context, where string, args ...any) ([]account.Tag, error) {
	var list []account.Tag
	err := database.Each(ctx, t.db, `SELECT `+tagColumns+` FROM tag WHERE `+where, args, func(r database.Rows) error {
		tag, err := scanTag(r)
		list = append(list, tag)
		return err
	})
	return list, err
}

// PutTag writes a tag and its event. See account.Tx.
func (t *Tx) PutTag(ctx context.Context, tag account.Tag, e account.TagEvent, d account.Deed) error {
	args := []any{tag.Tag, tag.Revision, tag.Kind, tag.Class, tag.Currency, tag.Account, tag.State, tag.Plate, tag.Replaces, tag.ReplacedBy}
	var (
		n   int64
		err error
	)
	if tag.Revision == 1 {
		n, err = t.db.Exec(ctx, `INSERT INTO tag (`+tagColumns+`) VALUES (`+database.Placeholders(1, 10)+`) ON CONFLICT DO NOTHING`, args...)
	} else {
		n, err = t.db.Exec(ctx, `UPDATE tag SET revision = $2, kind = $3, class = $4, currency = $5, account = $6, state = $7, plate = $8, replaces = $9, replaced_by = $10
			WHERE tag = $1 AND revision = $2 - 1`, args...)
	}
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: it stands at another revision than %d", billing.ErrStale, tag.Revision-1)
	}
	if err == nil {
		_, err = t.db.Exec(ctx, `INSERT INTO tag_event (tag, revision, state, at_micros, recorded_at, account, plate, recorded_by, reason)
			VALUES (`+database.Placeholders(1, 9)+`)`, e.Tag, e.Revision, e.State, microsOf(e.At), microsOf(e.RecordedAt), e.Account, e.Plate, e.By, e.Reason)
	}
	if err == nil {
		err = audit.Append(ctx, t.db, audit.Event{
			At: d.Now, Actor: actor(d), Action: "tag." + e.State, Subject: audit.Subject{Kind: "tag", ID: fmt.Sprintf("event %d", e.Revision)},
			Account: e.Account, Reason: d.Reason, Detail: map[string]any{"at": microsOf(e.At)}, Personal: map[string]any{"tag": e.Tag, "plate": e.Plate},
		})
	}
	if err != nil {
		return fmt.Errorf("storing a tag: %w", err)
	}
	return nil
}

// TagEvents returns a tag's life. See account.Tx.
func (t *Tx) TagEvents(ctx context.Context, tag string) ([]account.TagEvent, error) {
	var list []account.TagEvent
	err := database.Each(ctx, t.db, `SELECT tag, revision, state, at_micros, recorded_at, account, plate, recorded_by, reason FROM tag_event
		WHERE tag = $1 ORDER BY revision`, []any{tag}, func(r database.Rows) error {
		var (
			e            account.TagEvent
			at, recorded int64
		)
		err := r.Scan(&e.Tag, &e.Revision, &e.State, &at, &recorded, &e.Account, &e.Plate, &e.By, &e.Reason)
		e.At, e.RecordedAt = instantOf(at), instantOf(recorded)
		list = append(list, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the life of a tag: %w", err)
	}
	return list, nil
}
