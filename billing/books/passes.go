package books

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

const microsecond = time.Microsecond

// passColumns are what scanPass reads, of a pass called p.
const passColumns = `p.id, p.facility, p.toll_point, p.vehicle, p.registered, p.first_micros, p.last_micros, p.revision,
	p.status, p.class, p.account, p.amount_cents, p.currency, p.rule, p.tariff_version, p.reasons,
	p.marks, p.merged_into, p.toll_revision, p.decision, p.evidence`

// scanPass reads passColumns.
func scanPass(r database.Rows) (record, error) {
	var (
		p               record
		marks, decision string
	)
	err := r.Scan(&p.ID, &p.Facility, &p.TollPoint, &p.Vehicle, &p.Registered, &p.FirstMicros, &p.LastMicros, &p.Revision,
		&p.Status, &p.Class, &p.Account, &p.AmountCents, &p.Currency, &p.Rule, &p.TariffVersion, &p.Reasons,
		&marks, &p.MergedInto, &p.tollRevision, &decision, &p.Evidence)
	if err != nil {
		return record{}, err
	}
	if p.Marks, err = decodeMarks(marks); err != nil {
		return record{}, fmt.Errorf("reading the marks of pass %s: %w", p.ID, err)
	}
	if p.Decision, err = decodeDecision(decision); err != nil {
		return record{}, fmt.Errorf("reading the decision on pass %s: %w", p.ID, err)
	}
	return p, nil
}

// factColumns are what scanFacts reads of a pass called o: what a revision
// keeps, and the live toll.
const factColumns = `o.id, o.facility, o.toll_point, o.vehicle, o.registered, o.first_micros, o.last_micros, o.revision,
	o.status, o.class, o.account, o.amount_cents, o.currency, o.rule, o.tariff_version, o.reasons,
	o.marks, o.merged_into, o.toll_revision`

// scanFacts reads factColumns.
func scanFacts(r database.Rows) (record, error) {
	var (
		p     record
		marks string
	)
	err := r.Scan(&p.ID, &p.Facility, &p.TollPoint, &p.Vehicle, &p.Registered, &p.FirstMicros, &p.LastMicros, &p.Revision,
		&p.Status, &p.Class, &p.Account, &p.AmountCents, &p.Currency, &p.Rule, &p.TariffVersion, &p.Reasons,
		&marks, &p.MergedInto, &p.tollRevision)
	if err != nil {
		return record{}, err
	}
	p.Marks, err = decodeMarks(marks)
	return p, err
}

// encodeMarks writes marks as a JSON array; no marks are the empty text.
func encodeMarks(marks []string) (string, error) {
	if len(marks) == 0 {
		return "", nil
	}
	b, err := json.Marshal(marks)
	return string(b), err
}

func decodeMarks(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var marks []string
	return marks, json.Unmarshal([]byte(text), &marks)
}

// decisionText is how a decision stands in the row of its pass.
type decisionText struct {
	Status      string `json:"status"`
	Class       string `json:"class"`
	Account     string `json:"account"`
	AmountCents int64  `json:"amount_cents"`
	Rule        string `json:"rule"`
	By          string `json:"by"`
	Note        string `json:"note"`
	AtMicros    int64  `json:"at_micros"`
	Basis       string `json:"basis"`
}

func encodeDecision(d *billing.Decision) (string, error) {
	if d == nil {
		return "", nil
	}
	b, err := json.Marshal(decisionText{d.Status, d.Class, d.Account, d.AmountCents, d.Rule, d.By, d.Note, d.At.UnixMicro(), d.Basis})
	return string(b), err
}

func decodeDecision(text string) (*billing.Decision, error) {
	if text == "" {
		return nil, nil
	}
	var t decisionText
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return nil, err
	}
	return &billing.Decision{
		Status: t.Status, Class: t.Class, Account: t.Account, AmountCents: t.AmountCents, Rule: t.Rule,
		By: t.By, Note: t.Note, At: time.UnixMicro(t.AtMicros).UTC(), Basis: t.Basis,
	}, nil
}

// passByID reads one pass; ErrNotFound.
func passByID(ctx context.Context, db database.Session, id string) (record, error) {
	var p record
	found := false
	err := database.Each(ctx, db, `SELECT `+passColumns+` FROM pass p WHERE p.id = $1`, []any{id}, func(r database.Rows) error {
		var err error
		found = true
		p, err = scanPass(r)
		return err
	})
	if err != nil {
		return record{}, err
	}
	if !found {
		return record{}, fmt.Errorf("pass %s: %w", id, billing.ErrNotFound)
	}
	return p, nil
}

// window is a billing.Window with bounds that leave room for arithmetic.
type window struct {
	facility, vehicle string
	registered        bool
	from, to          int64
}

// farMicros is further from 1970 than any read, and far enough from the ends
// of int64 to be added to.
const farMicros = int64(1) << 61

// A window w finds the vehicle's own passes, and those that carried its name
// as a mark. A pass that touches the window began no earlier than the longest
// pass of the facility f before it, so that one range of an index holds all,
// however long a pass lasted.
const (
	ownPass = `p.vehicle = w.vehicle AND p.registered = w.registered AND p.facility = w.facility
		AND p.first_micros >= w.lo - f.longest_micros AND p.first_micros <= w.hi AND p.last_micros >= w.lo AND p.merged_into = ''`
	passMark = `m.facility = w.facility AND m.mark = w.vehicle AND m.first_micros >= w.lo - f.longest_micros AND m.first_micros <= w.hi`
	// markedPass is never the vehicle's own: that is found already.
	markedPass = `p.id = m.pass_id AND p.last_micros >= w.lo AND p.merged_into = '' AND NOT (p.vehicle = w.vehicle AND p.registered = w.registered)`
)

// lookup calls fn with the passColumns of every pass in the windows; a pass in
// several of them may come several times.
func (s *Store) lookup(ctx context.Context, ws []window, fn func(database.Rows) error) error {
	if s.db.Kind() == database.PostgreSQL {
		return s.lookupPostgres(ctx, ws, fn)
	}
	return s.lookupSQLite(ctx, ws, fn)
}

// Passes answers all windows at once. See billing.Posting.
func (s *Store) Passes(ctx context.Context, windows []billing.Window) ([]billing.Pass, error) {
	if len(windows) == 0 {
		return nil, nil
	}
	ws := make([]window, len(windows))
	for i, w := range windows {
		ws[i] = window{w.Facility, w.Vehicle, w.Registered, max(w.FromMicros, -farMicros), min(w.ToMicros, farMicros)}
	}
	seen := make(map[string]struct{})
	var passes []billing.Pass
	err := s.lookup(ctx, ws, func(r database.Rows) error {
		p, err := scanPass(r)
		if err != nil {
			return err
		}
		if _, known := seen[p.ID]; !known {
			seen[p.ID] = struct{}{}
			passes = append(passes, p.Pass)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("finding passes in %d windows: %w", len(windows), err)
	}
	return passes, nil
}
