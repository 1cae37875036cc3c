package books

import (
	"context"
	"strconv"
	"time"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/database"
)

// tellDecision leaves a person's decision in the audit trail, in the
// transaction that posts it; nil leaves nothing. The actor's name is the
// decision's own, the role the context's.
func tellDecision(ctx context.Context, db database.Session, passID string, revision int64, d *billing.Decision) error {
	if d == nil {
		return nil
	}
	return audit.Append(ctx, db, audit.Event{
		At: d.At, Actor: audit.Actor{Name: d.By, Role: audit.ActorOf(ctx).Role}, Action: "pass.decided",
		Subject: audit.Subject{Kind: "pass", ID: passID}, Account: d.Account, Reason: d.Note,
		Detail: struct {
			Revision    int64  `json:"revision"`
			Status      string `json:"status"`
			Class       string `json:"class"`
			AmountCents int64  `json:"amount_cents"`
			Rule        string `json:"rule"`
		}{revision, d.Status, d.Class, d.AmountCents, d.Rule},
	})
}

// tellRegistry leaves a change of the registry in the audit trail, in the
// transaction that makes it. What the rows say stands in the books, by version.
func tellRegistry(ctx context.Context, db database.Session, action string, version int64, removed int, added int64, at time.Time) error {
	return audit.Append(ctx, db, audit.Event{
		At: at, Actor: audit.ActorOf(ctx), Action: action, Subject: audit.Subject{Kind: "registry", ID: strconv.FormatInt(version, 10)},
		Detail: struct {
			Removed int   `json:"removed"`
			Added   int64 `json:"added"`
		}{removed, added},
	})
}
