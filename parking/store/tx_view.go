package store

import (
	"context"

	"freeflow/internal/audit"
	"freeflow/parking"
)

// NoteView keeps a look in the audit trail. See parking.Views.
func (t *tx) NoteView(ctx context.Context, v parking.View) error {
	a := audit.Access{
		At: v.At, By: audit.Actor{Name: v.By, Role: v.Role}, Act: audit.Viewed, Page: v.Page,
		Subject: audit.Subject{Kind: v.Kind, ID: v.ID}, Accounts: v.Accounts, Records: v.Records, Reason: v.Reason,
	}
	if v.List {
		a.Act = audit.Listed
	}
	if v.Everybody {
		a.Accounts = []string{audit.Everybody}
	}
	if v.Vehicle != "" {
		a.Personal = map[string]string{"vehicle": v.Vehicle}
	}
	return audit.Note(ctx, t.db, a)
}
