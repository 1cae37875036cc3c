package parking

import (
	"context"
	"time"
)

// View is one look of a member of staff at people's stays. It is kept in the
// audit trail, where those concerned can see it.
type View struct {
	At time.Time
	// By is who looked, Role as what.
	By, Role string
	// Page is what was asked, without its values: "GET /v1/stays/{id}".
	Page string
	// Kind and ID are the record looked at, or the list; no plate and no tag.
	Kind, ID string
	// List says that a list was looked at, not one record.
	List bool
	// Accounts are those whose stays were shown; none where they are nobody's.
	// Everybody stands for all accounts instead.
	Accounts  []string
	Everybody bool
	// Records is how many were shown.
	Records int
	// Reason is why, as given; may be empty.
	Reason string
	// Vehicle is the one asked for, in clear; kept so that it can be erased.
	Vehicle string
}

// Views keeps who looked at what.
type Views interface {
	// NoteView keeps a look in the transaction of the read: one that cannot be
	// kept must fail what it tells of.
	NoteView(ctx context.Context, v View) error
}
