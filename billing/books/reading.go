package books

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// List returns standing passes in the order of Cursor. See billing.Reading.
func (s *Store) List(ctx context.Context, f billing.Filter) ([]billing.Pass, error) {
	if f.Limit <= 0 {
		return nil, fmt.Errorf("listing passes: %w", invalid("limit %d", f.Limit))
	}
	var passes []billing.Pass
	err := s.db.Direct(ctx, func(db database.Session) (err error) {
		passes, err = listPasses(ctx, db, &f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing passes: %w", err)
	}
	return passes, nil
}

// listQuery writes the statement for a filter.
func listQuery(f *billing.Filter) (string, []any) {
	var (
		where strings.Builder
		args  []any
	)
	bind := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	from := f.FromMicros
	if f.After != (billing.Cursor{}) {
		// The first column again, alone: that is what the index begins with.
		from = max(from, f.After.FirstMicros)
		where.WriteString(" AND (p.first_micros, p.toll_point, p.vehicle, p.id) > (" + bind(f.After.FirstMicros) + ", " +
			bind(f.After.TollPoint) + ", " + bind(f.After.Vehicle) + ", " + bind(f.After.ID) + ")")
	}
	if from != 0 {
		where.WriteString(" AND p.first_micros >= " + bind(from))
	}
	if f.ToMicros != 0 {
		where.WriteString(" AND p.first_micros < " + bind(f.ToMicros))
	}
	if f.Vehicle != "" {
		where.WriteString(" AND p.vehicle = " + bind(f.Vehicle))
	}
	if f.Account != "" {
		// Said twice for the partial index.
		where.WriteString(" AND p.account <> '' AND p.account = " + bind(f.Account))
	}
	if f.Status == billing.StatusReview {
		where.WriteString(" AND p.status = 'review'")
	} else if f.Status != "" {
		where.WriteString(" AND p.status = " + bind(f.Status))
	}
	return `SELECT ` + passColumns + ` FROM pass p WHERE p.merged_into = '' AND p.facility <> ''` + where.String() +
		` ORDER BY p.first_micros, p.toll_point, p.vehicle, p.id LIMIT ` + bind(int64(f.Limit)), args
}

// History returns all that the books know of one pass. See billing.Reading.
func (s *Store) History(ctx context.Context, passID string) (billing.History, error) {
	var h billing.History
	err := s.db.Read(ctx, func(db database.Session) (err error) {
		h, err = historyOf(ctx, db, passID)
		return err
	})
	if err != nil {
		return billing.History{}, fmt.Errorf("reading the history of pass %s: %w", passID, err)
	}
	return h, nil
}

func revisions(ctx context.Context, db database.Session, passID string) (list []billing.Revision, err error) {
	err = database.Each(ctx, db, `SELECT revision, replaced_at, toll_point, vehicle, first_micros, last_micros, status, class, account,
		amount_cents, rule, reasons FROM pass_revision WHERE pass_id = $1 ORDER BY revision`, []any{passID}, func(r database.Rows) error {
		var (
			v  billing.Revision
			at int64
		)
		err := r.Scan(&v.Revision, &at, &v.TollPoint, &v.Vehicle, &v.FirstMicros, &v.LastMicros, &v.Status, &v.Class, &v.Account,
			&v.AmountCents, &v.Rule, &v.Reasons)
		v.ReplacedAt = time.UnixMicro(at).UTC()
		list = append(list, v)
		return err
	})
	return list, err
}

// transactions reads those of one pass in the order of posting. Their ids
// begin with the pass's, and a hyphen; the full stop is the next character.
func transactions(ctx context.Context, db database.Session, passID string) ([]billing.Transaction, error) {
	return readTransactions(ctx, db, `t.id > $1 AND t.id < $2 ORDER BY t.revision, t.kind, e.leg`, passID+"-", passID+".")
}

// readTransactions reads the transactions t, with their entries e, that a
// condition selects; its order keeps the entries of each together.
func readTransactions(ctx context.Context, db database.Session, where string, args ...any) (list []billing.Transaction, err error) {
	err = database.Each(ctx, db, `SELECT t.id, t.kind, t.pass_id, t.charge_id, t.money_id, t.revision, t.currency, t.reverses, t.posted_at, e.account, e.amount_cents
		FROM transactions t JOIN entries e ON e.transaction_id = t.id WHERE `+where, args, func(r database.Rows) error {
		var (
			t  billing.Transaction
			e  billing.Entry
			at int64
		)
		if err := r.Scan(&t.ID, &t.Kind, &t.PassID, &t.ChargeID, &t.MoneyID, &t.Revision, &t.Currency, &t.Reverses, &at, &e.Account, &e.AmountCents); err != nil {
			return err
		}
		if n := len(list); n == 0 || list[n-1].ID != t.ID {
			t.PostedAt = time.UnixMicro(at).UTC()
			list = append(list, t)
		}
		last := &list[len(list)-1]
		last.Entries = append(last.Entries, e)
		return nil
	})
	return list, err
}

// Totals sums up all standing passes. See billing.Reading.
func (s *Store) Totals(ctx context.Context) (billing.Totals, error) {
	var t billing.Totals
	err := s.db.Direct(ctx, func(db database.Session) error {
		_, err := database.One(ctx, db, `SELECT count(*),
			coalesce(sum(CASE WHEN status = 'charged' THEN 1 ELSE 0 END), 0),
			coalesce(sum(CASE WHEN status = 'exempt' THEN 1 ELSE 0 END), 0),
			coalesce(sum(CASE WHEN status = 'unpaid' THEN 1 ELSE 0 END), 0),
			coalesce(sum(CASE WHEN status = 'review' THEN 1 ELSE 0 END), 0),
			CAST(coalesce(sum(CASE WHEN status = 'charged' THEN amount_cents ELSE 0 END), 0) AS bigint),
			CAST(coalesce(sum(CASE WHEN status = 'unpaid' THEN amount_cents ELSE 0 END), 0) AS bigint),
			coalesce(max(currency), '')
			FROM pass WHERE merged_into = ''`, nil,
			&t.Passes, &t.Charged, &t.Exempt, &t.Unpaid, &t.Review, &t.ChargedCents, &t.UnpaidCents, &t.Currency)
		return err
	})
	if err != nil {
		return billing.Totals{}, fmt.Errorf("summing up passes: %w", err)
	}
	return t, nil
}

// balanceChunk is how many accounts one statement asks for.
const balanceChunk = 400

// Balances returns the balances of the accounts, by account and currency
// within each run of a few hundred; all of one instant. See billing.Reading.
func (s *Store) Balances(ctx context.Context, accounts []string) ([]billing.Balance, error) {
	var list []billing.Balance
	err := s.db.Read(ctx, func(db database.Session) error {
		for len(accounts) > 0 {
			n := min(len(accounts), balanceChunk)
			args := make([]any, balanceChunk)
			for i := range args {
				// The last one repeats, so that there is one statement.
				args[i] = accounts[min(i, n-1)]
			}
			accounts = accounts[n:]
			err := database.Each(ctx, db, `SELECT account, currency, amount_cents FROM balance WHERE account IN (`+database.Placeholders(1, balanceChunk)+`)
				ORDER BY account, currency`, args, func(r database.Rows) error {
				var b billing.Balance
				err := r.Scan(&b.Account, &b.Currency, &b.AmountCents)
				list = append(list, b)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading balances: %w", err)
	}
	return list, nil
}

// archivePage is how many archived batches are held in memory at a time.
const archivePage = 32

// Archives calls each with the archived read batches that may have reads in
// the window. It reads them page by page, so that a slow caller holds no
// snapshot open. See billing.Reading.
func (s *Store) Archives(ctx context.Context, fromMicros, toMicros int64, call func(blob []byte) bool) error {
	at := struct{ max, min, partition, offset int64 }{max: fromMicros, min: math.MinInt64}
	for {
		var blobs [][]byte
		err := s.db.Direct(ctx, func(db database.Session) error {
			return database.Each(ctx, db, `SELECT max_micros, min_micros, log_partition, from_offset, reads FROM read_archive
				WHERE (max_micros, min_micros, log_partition, from_offset) > ($1, $2, $3, $4) AND max_micros >= $1 AND min_micros <= $5
				ORDER BY max_micros, min_micros, log_partition, from_offset LIMIT $6`,
				[]any{at.max, at.min, at.partition, at.offset, toMicros, int64(archivePage)}, func(r database.Rows) error {
					var blob []byte
					err := r.Scan(&at.max, &at.min, &at.partition, &at.offset, &blob)
					blobs = append(blobs, blob)
					return err
				})
		})
		if err != nil {
			return fmt.Errorf("reading archived reads: %w", err)
		}
		for _, blob := range blobs {
			if !call(blob) {
				return nil
			}
		}
		if len(blobs) < archivePage {
			return nil
		}
	}
}

// PruneArchives forgets old reads. See billing.Retention.
func (s *Store) PruneArchives(ctx context.Context, before time.Time) (int64, error) {
	var n int64
	err := s.db.Write(ctx, func(db database.Session) error {
		var err error
		n, err = pruneArchives(ctx, db, before)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("pruning archived reads: %w", err)
	}
	return n, nil
}
