package books

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/internal/audit"
	"freeflow/internal/database"
)

// The audit trail digests the ledger's days.
var _ audit.Ledger = (*Store)(nil)

// ledgerLine is the ledger's canonical encoding of one transaction: its
// columns, members in this order, those of empty text left out. A column that
// comes later is left out where it is empty, so that old lines stay what they
// were; put it at the end.
type ledgerLine struct {
	ID       string        `json:"id"`
	Kind     string        `json:"kind"`
	PassID   string        `json:"pass_id,omitempty"`
	ChargeID string        `json:"charge_id,omitempty"`
	MoneyID  string        `json:"money_id,omitempty"`
	Revision int64         `json:"revision,string"`
	Reverses string        `json:"reverses,omitempty"`
	Currency string        `json:"currency"`
	PostedAt int64         `json:"posted_at,string"`
	Posting  int64         `json:"posting,string"`
	Entries  []ledgerEntry `json:"entries"`
}

type ledgerEntry struct {
	Leg     int64  `json:"leg,string"`
	Account string `json:"account"`
	Amount  int64  `json:"amount_cents,string"`
}

// FirstPosted returns when the first transaction was posted. See audit.Ledger.
func (s *Store) FirstPosted(ctx context.Context) (at time.Time, found bool, err error) {
	err = s.db.Direct(ctx, func(db database.Session) error {
		var n, micros int64
		_, err := database.One(ctx, db, `SELECT count(*), coalesce(min(posted_at), 0) FROM transactions`, nil, &n, &micros)
		at, found = time.UnixMicro(micros).UTC(), n > 0
		return err
	})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("finding the ledger's beginning: %w", err)
	}
	return at, found, nil
}

// Posted calls each with what was posted in [from, to). There is no index by
// time, which every posting would have to pay for: the database reads the whole
// ledger and sorts what fits, on its own disk where that is much. See
// audit.Ledger.
func (s *Store) Posted(ctx context.Context, from, to time.Time, each func(*audit.Posted) error) error {
	var (
		line    ledgerLine
		encoded []byte
		failed  error
	)
	tell := func() error {
		if line.ID == "" {
			return nil
		}
		var err error
		if encoded, err = json.Marshal(line); err != nil {
			return fmt.Errorf("transaction %s: %w", line.ID, err)
		}
		failed = each(&audit.Posted{
			At: time.UnixMicro(line.PostedAt).UTC(), Posting: line.Posting, ID: line.ID, Entries: int64(len(line.Entries)), Encoding: encoded,
		})
		return failed
	}
	err := s.db.Read(ctx, func(db database.Session) error {
		err := database.Each(ctx, db, `SELECT t.id, t.kind, t.pass_id, t.charge_id, t.money_id, t.revision, t.reverses, t.currency, t.posted_at, t.posting,
				coalesce(e.leg, -1), coalesce(e.account, ''), coalesce(e.amount_cents, 0)
			FROM transactions t LEFT JOIN entries e ON e.transaction_id = t.id
			WHERE t.posted_at >= $1 AND t.posted_at < $2 ORDER BY t.posted_at, t.id, e.leg`,
			[]any{from.UnixMicro(), to.UnixMicro()}, func(r database.Rows) error {
				var (
					next ledgerLine
					e    ledgerEntry
				)
				err := r.Scan(&next.ID, &next.Kind, &next.PassID, &next.ChargeID, &next.MoneyID, &next.Revision, &next.Reverses, &next.Currency,
					&next.PostedAt, &next.Posting, &e.Leg, &e.Account, &e.Amount)
				if err != nil {
					return err
				}
				if next.ID != line.ID {
					if err := tell(); err != nil {
						return err
					}
					next.Entries = line.Entries[:0]
					line = next
				}
				if e.Leg >= 0 {
					line.Entries = append(line.Entries, e)
				}
				return nil
			})
		if err != nil {
			return err
		}
		return tell()
	})
	if err != nil && failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("reading the ledger of %s to %s: %w", from.Format(time.RFC3339), to.Format(time.RFC3339), err)
	}
	return nil
}
