package books

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Charge returns a charge and its transactions. See billing.Charging.
func (s *Store) Charge(ctx context.Context, id string) (billing.Charge, []billing.Transaction, error) {
	var (
		c    chargeRecord
		list []billing.Transaction
	)
	err := s.db.Read(ctx, func(db database.Session) error {
		var err error
		if c, err = chargeBy(ctx, db, `SELECT `+chargeColumns+` FROM charge c WHERE c.id = $1`, id); err != nil {
			return err
		}
		// Postings of one charge wait for each other, so that the outbox's
		// numbers are in their order; a reversal stands before what replaces it.
		// The condition is said twice for the partial index.
		list, err = readTransactions(ctx, db, `t.charge_id <> '' AND t.charge_id = $1 ORDER BY t.posting, t.kind DESC, e.leg`, id)
		return err
	})
	if err != nil {
		return billing.Charge{}, nil, fmt.Errorf("reading charge %s: %w", id, err)
	}
	return c.Charge, list, nil
}

// ChargeRevisions returns what a charge was before. See billing.Charging.
func (s *Store) ChargeRevisions(ctx context.Context, id string) ([]billing.ChargeRevision, error) {
	var list []billing.ChargeRevision
	err := s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, `SELECT charge_id, kind, revision, account, creditor, amount_cents, currency, occurred_micros,
			description, vehicle, detail, replaced_at FROM charge_revision WHERE charge_id = $1 ORDER BY revision`, []any{id}, func(r database.Rows) error {
			var (
				v  billing.ChargeRevision
				at int64
			)
			err := r.Scan(&v.ID, &v.Kind, &v.Revision, &v.Account, &v.Creditor, &v.AmountCents, &v.Currency, &v.OccurredMicros,
				&v.Description, &v.Vehicle, &v.Detail, &at)
			v.ReplacedAt = time.UnixMicro(at).UTC()
			list = append(list, v)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the revisions of charge %s: %w", id, err)
	}
	return list, nil
}

// Charges lists charges. See billing.Charging.
func (s *Store) Charges(ctx context.Context, f billing.ChargeFilter) ([]billing.Charge, string, error) {
	query, args, err := chargesQuery(&f)
	if err != nil {
		return nil, "", fmt.Errorf("listing charges: %w", err)
	}
	var list []billing.Charge
	err = s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, query, args, func(r database.Rows) error {
			c, err := scanCharge(r)
			list = append(list, c.Charge)
			return err
		})
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing charges: %w", err)
	}
	if len(list) <= f.Limit {
		return list, "", nil
	}
	list = list[:f.Limit]
	return list, billing.ChargeCursor(list[f.Limit-1]), nil
}

// maxChargeLimit bounds one list, so that one more can be asked for.
const maxChargeLimit = 100_000

// chargesQuery writes the statement for a filter: one row more than asked for,
// by which the end is known.
func chargesQuery(f *billing.ChargeFilter) (string, []any, error) {
	if f.Limit <= 0 || f.Limit > maxChargeLimit {
		return "", nil, invalid("limit %d", f.Limit)
	}
	var (
		where strings.Builder
		args  []any
	)
	bind := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	from := f.FromMicros
	if f.After != "" {
		at, id, err := billing.ParseChargeCursor(f.After)
		if err != nil {
			return "", nil, invalid("%v", err)
		}
		from = max(from, at)
		where.WriteString(" AND (c.occurred_micros, c.id) > (" + bind(at) + ", " + bind(id) + ")")
	}
	if from != 0 {
		where.WriteString(" AND c.occurred_micros >= " + bind(from))
	}
	if f.ToMicros != 0 {
		where.WriteString(" AND c.occurred_micros < " + bind(f.ToMicros))
	}
	for _, equal := range []struct{ column, value string }{
		{"account", f.Account}, {"vehicle", f.Vehicle}, {"creditor", f.Creditor}, {"kind", f.Kind},
	} {
		if equal.value != "" {
			// Said twice for the partial indexes.
			where.WriteString(" AND c." + equal.column + " <> '' AND c." + equal.column + " = " + bind(equal.value))
		}
	}
	return `SELECT ` + chargeColumns + ` FROM charge c WHERE c.id <> ''` + where.String() +
		` ORDER BY c.occurred_micros, c.id LIMIT ` + bind(int64(f.Limit)+1), args, nil
}

// Bounds of what a charge holds, in bytes; names stand in indexes.
const (
	maxChargeName   = 256
	maxChargeLine   = 1000
	maxChargeDetail = 64 << 10
)

// checkCharge refuses what no books could hold.
func checkCharge(c *billing.Charge, postedAt time.Time) error {
	for _, text := range []struct {
		what, text string
		least      int
	}{
		{"id of the charge", c.ID, 1}, {"kind", c.Kind, 1}, {"creditor", c.Creditor, 1}, {"currency", c.Currency, 1},
		{"account", c.Account, 0}, {"vehicle", c.Vehicle, 0},
	} {
		if err := checkName(text.what, text.text, text.least); err != nil {
			return err
		}
	}
	switch {
	case c.Revision < 1:
		return invalid("revision %d", c.Revision)
	case c.AmountCents < 0:
		return invalid("%s is owed; take back a charge by the amount 0", billing.FormatCents(c.AmountCents))
	case len(c.Description) > maxChargeLine || !utf8.ValidString(c.Description):
		return invalid("the description is longer than %d bytes or not UTF-8", maxChargeLine)
	case len(c.Detail) > maxChargeDetail:
		return invalid("the detail has %d bytes, more than %d", len(c.Detail), maxChargeDetail)
	case len(c.Detail) > 0 && !json.Valid(c.Detail):
		return invalid("the detail is not JSON")
	case postedAt.IsZero():
		return invalid("the charge has no posting date")
	}
	return nil
}

// checkName refuses a name that is too short, too long or not UTF-8.
func checkName(what, text string, least int) error {
	if len(text) < least || len(text) > maxChargeName || !utf8.ValidString(text) {
		return invalid("the %s has %d bytes, of %d to %d, or is not UTF-8", what, len(text), least, maxChargeName)
	}
	return nil
}
