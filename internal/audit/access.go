package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"freeflow/internal/database"
)

// Act is a way of looking at people's movements.
type Act string

// The acts.
const (
	// Viewed: one record, explained.
	Viewed Act = "movements.viewed"
	// Listed: a page of records.
	Listed Act = "movements.listed"
	// Exported: records in a form that is carried away.
	Exported Act = "movements.exported"
)

// Access is a member of staff's view of somebody's movements.
type Access struct {
	At time.Time
	By Actor
	// Act is how it was looked at.
	Act Act
	// Page is what was asked, without its values: "GET /v1/passes/{id}".
	Page string
	// Subject is the record or the range looked at.
	Subject Subject
	// Accounts are those whose movements were shown; none where they are
	// nobody's account. Everybody alone stands for all.
	Accounts []string
	// Records is how many records were shown; 0 where that was not known yet.
	Records int
	// Reason is why, as given; may be empty.
	Reason string
	// Personal is what was asked in clear, such as a plate; erasable.
	Personal any
}

// maxAccounts bounds the accounts of one access.
const maxAccounts = 20_000

// Note leaves the rows of a view within the transaction that reads what is
// viewed, one an account; a view whose rows cannot be written must fail. An
// account named twice counts once.
func Note(ctx context.Context, db database.Session, a Access) error {
	switch a.Act {
	case Viewed, Listed, Exported:
	default:
		return fmt.Errorf("noting a view: %w: there is no act %q", ErrInvalid, a.Act)
	}
	if len(a.Accounts) > maxAccounts {
		return fmt.Errorf("noting a view: %w: it shows %d accounts at once; show everybody's or a smaller page", ErrInvalid, len(a.Accounts))
	}
	accounts := slices.Compact(slices.Sorted(slices.Values(a.Accounts)))
	if len(accounts) == 0 {
		accounts = []string{""}
	}
	for _, account := range accounts {
		err := Append(ctx, db, Event{
			At: a.At, Actor: a.By, Action: string(a.Act), Subject: a.Subject, Account: account, Reason: a.Reason,
			Detail: accessDetail{a.Page, a.Records}, Personal: a.Personal,
		})
		if err != nil {
			return fmt.Errorf("noting a view: %w", err)
		}
	}
	return nil
}

type accessDetail struct {
	Page    string `json:"page"`
	Records int    `json:"records"`
}

// Seen is one view as its motorist may know of it.
type Seen struct {
	// ID names the row; pass it on as before to read on.
	ID string
	At time.Time
	// By is who looked; motorists are shown the role.
	By  Actor
	Act Act
	// Page and Subject are what was looked at.
	Page    string
	Subject Subject
	Records int
	// Reason is why; empty where none was given or it has been erased.
	Reason string
	// Everybody tells that all accounts were looked at, not this one alone.
	Everybody bool
}

// Views returns who looked at the movements of an account, the newest first, at
// most limit rows, those before the row of an id (empty: from the newest).
func Views(ctx context.Context, db database.Session, account, before string, limit int) ([]Seen, error) {
	if account == "" || account == Everybody {
		return nil, nil
	}
	if before == "" {
		before = "~" // after every id, which are hexadecimal
	}
	var list []Seen
	// Each branch reads its own part of the index, from its end.
	const branch = `SELECT * FROM (SELECT id, at_micros, actor, role, action, subject_kind, subject, account, detail
		FROM audit_event WHERE account <> '' AND account = $1 AND id < $3
			AND action IN ('movements.viewed', 'movements.listed', 'movements.exported') ORDER BY id DESC LIMIT $4) AS own
		UNION ALL SELECT * FROM (SELECT id, at_micros, actor, role, action, subject_kind, subject, account, detail
		FROM audit_event WHERE account <> '' AND account = $2 AND id < $3
			AND action IN ('movements.viewed', 'movements.listed', 'movements.exported') ORDER BY id DESC LIMIT $4) AS everybodys`
	err := database.Each(ctx, db, `SELECT e.id, e.at_micros, e.actor, e.role, e.action, e.subject_kind, e.subject, e.account, e.detail, coalesce(p.body, '')
		FROM (`+branch+`) AS e LEFT JOIN audit_private p ON p.event_id = e.id ORDER BY e.id DESC LIMIT $4`,
		[]any{account, Everybody, before, int64(limit)}, func(r database.Rows) error {
			var (
				s                      Seen
				micros                 int64
				act, whose, text, body string
			)
			if err := r.Scan(&s.ID, &micros, &s.By.Name, &s.By.Role, &act, &s.Subject.Kind, &s.Subject.ID, &whose, &text, &body); err != nil {
				return err
			}
			var detail accessDetail
			if err := json.Unmarshal([]byte(text), &detail); err != nil {
				return fmt.Errorf("row %s: %w", s.ID, err)
			}
			reason, err := reasonIn(body)
			if err != nil {
				return fmt.Errorf("row %s: %w", s.ID, err)
			}
			s.At, s.Act, s.Everybody = time.UnixMicro(micros).UTC(), Act(act), whose == Everybody
			s.Page, s.Records, s.Reason = detail.Page, detail.Records, reason
			list = append(list, s)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("listing views: %w", err)
	}
	return list, nil
}

// private is the body of what may be forgotten.
type private struct {
	Personal jsontext.Value `json:"personal"`
	Reason   string         `json:"reason"`
}

// reasonIn returns the reason in a private body; none where it is erased.
func reasonIn(body string) (string, error) {
	if body == "" {
		return "", nil
	}
	var p private
	err := json.Unmarshal([]byte(body), &p)
	return p.Reason, err
}
