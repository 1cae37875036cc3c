package audit

import (
	"context"
	"fmt"
	"time"

	"freeflow/internal/database"
)

// Action and subject of an erasure.
const (
	erased       = "personal-data.erased"
	eventSubject = "audit-event"
)

// eraseBatch bounds the events whose private parts one call erases.
const eraseBatch = 500

// Erase destroys the private parts (Reason and Personal, with the salt) of the
// events that concern an account and happened before an instant, at most a few
// hundred, and says how many; call it again until it says none. Each leaves an
// event that it was erased, so that Verify can tell it from one that was taken
// away. The events themselves, and the chain, stay. Copies in backups have to
// be dealt with where they are.
func Erase(ctx context.Context, db database.Session, account string, before, now time.Time, by Actor) (int, error) {
	var ids []string
	err := database.Each(ctx, db, `SELECT e.id FROM audit_event e JOIN audit_private p ON p.event_id = e.id
		WHERE e.account = $1 AND e.account <> '' AND e.at_micros < $2 ORDER BY e.id LIMIT $3`,
		[]any{account, before.UnixMicro(), int64(eraseBatch)}, func(r database.Rows) error {
			var id string
			err := r.Scan(&id)
			ids = append(ids, id)
			return err
		})
	if err != nil {
		return 0, fmt.Errorf("erasing personal data: %w", err)
	}
	for _, id := range ids {
		if _, err := db.Exec(ctx, `DELETE FROM audit_private WHERE event_id = $1`, id); err != nil {
			return 0, fmt.Errorf("erasing personal data: %w", err)
		}
		err := Append(ctx, db, Event{At: now, Actor: by, Action: erased, Subject: Subject{eventSubject, id}, Account: account})
		if err != nil {
			return 0, fmt.Errorf("erasing personal data: %w", err)
		}
	}
	return len(ids), nil
}

// Erase is Erase, in transactions of its own, until nothing is left.
func (l *Log) Erase(ctx context.Context, account string, before, now time.Time, by Actor) (int, error) {
	total := 0
	for {
		var n int
		err := l.db.Write(ctx, func(db database.Session) (err error) {
			n, err = Erase(ctx, db, account, before, now, by)
			return err
		})
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
}
