package books

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Kinds of transactions that belong to charges.
const (
	kindCharge  = "charge"
	kindPayment = "payment"
)

// chargeRecord is a charge as the books hold it.
type chargeRecord struct {
	billing.Charge
	// chargeRevision is the revision at which the live transaction was posted;
	// 0 if the charge owes nothing.
	chargeRevision int64
}

// chargeColumns are what scanCharge reads, of a charge called c.
const chargeColumns = `c.id, c.kind, c.revision, c.account, c.creditor, c.amount_cents, c.currency, c.occurred_micros,
	c.description, c.vehicle, c.detail, c.paid_cents, c.charge_revision`

// scanCharge reads chargeColumns.
func scanCharge(r database.Rows) (c chargeRecord, err error) {
	err = r.Scan(&c.ID, &c.Kind, &c.Revision, &c.Account, &c.Creditor, &c.AmountCents, &c.Currency, &c.OccurredMicros,
		&c.Description, &c.Vehicle, &c.Detail, &c.PaidCents, &c.chargeRevision)
	return c, err
}

const (
	insertCharge = `INSERT INTO charge (id, kind, revision, account, creditor, amount_cents, currency, occurred_micros,
		description, vehicle, detail, paid_cents, charge_revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12) ON CONFLICT DO NOTHING`
	updateCharge = `UPDATE charge SET kind = $2, revision = $3, account = $4, creditor = $5, amount_cents = $6, currency = $7,
		occurred_micros = $8, description = $9, vehicle = $10, detail = $11, charge_revision = $12 WHERE id = $1`
	insertChargeRevision = `INSERT INTO charge_revision (charge_id, kind, revision, account, creditor, amount_cents, currency, occurred_micros,
		description, vehicle, detail, replaced_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`
)

// chargeArgs are the first eleven parameters of these statements.
func chargeArgs(c *billing.Charge) []any {
	return []any{c.ID, c.Kind, c.Revision, c.Account, c.Creditor, c.AmountCents, c.Currency, c.OccurredMicros,
		c.Description, c.Vehicle, notNil(c.Detail)}
}

// chargeOwed returns what the charge owes; the zero debt if nothing.
func chargeOwed(c *billing.Charge) debt {
	if c.AmountCents == 0 {
		return debt{}
	}
	d := debt{debtor: billing.UnpaidPrefix + c.Creditor, creditor: billing.OperatorPrefix + c.Creditor, cents: c.AmountCents, currency: c.Currency}
	if c.Account != "" {
		d.debtor = billing.MotoristPrefix + c.Account
	}
	return d
}

// chargeTransactionID and paymentTransactionID name transactions apart from
// those of passes, whose ids are hex digits.
func chargeTransactionID(id string, revision int64, kind string) string {
	return transactionID("charge:"+id, revision, kind)
}

func paymentTransactionID(id string, revision int64, kind string) string {
	return transactionID("payment:"+id, revision, kind)
}

// PostCharge posts a charge. See billing.Charging.
func (s *Store) PostCharge(ctx context.Context, c billing.Charge, postedAt time.Time) (billing.Charge, error) {
	var stands billing.Charge
	err := s.Do(ctx, func(t *Tx) error {
		var err error
		stands, err = t.PostCharge(ctx, c, postedAt)
		return err
	})
	if err != nil {
		return billing.Charge{}, err
	}
	return stands, nil
}

func (t *Tx) postCharge(ctx context.Context, c billing.Charge, postedAt time.Time) (billing.Charge, error) {
	db := t.db
	c.PaidCents = 0
	owes := chargeOwed(&c)
	live := int64(0)
	if owes != (debt{}) {
		live = c.Revision
	}
	// Of several who post a new charge at once, one inserts the row; the others
	// wait for it here, and then find what it posted.
	added, err := db.Exec(ctx, insertCharge, append(chargeArgs(&c), live)...)
	if err != nil {
		return billing.Charge{}, err
	}
	posting := chargePosting{charge: c, postedAt: postedAt}
	if added == 0 {
		was, err := t.s.lockCharge(ctx, db, c.ID)
		if err != nil {
			return billing.Charge{}, err
		}
		if was.Revision == c.Revision && sameCharge(&was.Charge, &c) {
			return was.Charge, nil
		}
		if err := checkNextCharge(&was.Charge, &c); err != nil {
			return billing.Charge{}, err
		}
		posting.charge.PaidCents = was.PaidCents
		if was.Account != c.Account {
			posting.previousAccount = was.Account
		}
		old := chargeOwed(&was.Charge)
		if old == owes {
			live = was.chargeRevision
			owes = debt{}
		} else if old != (debt{}) {
			posting.add(chargeTransactionID(c.ID, c.Revision, kindReversal), kindReversal, c.Revision,
				chargeTransactionID(c.ID, was.chargeRevision, kindCharge), debt{old.debtor, old.creditor, -old.cents, old.currency})
		}
		if _, err := db.Exec(ctx, insertChargeRevision, append(chargeArgs(&was.Charge), postedAt.UnixMicro())...); err != nil {
			return billing.Charge{}, err
		}
		if _, err := db.Exec(ctx, updateCharge, append(chargeArgs(&c), live)...); err != nil {
			return billing.Charge{}, err
		}
	}
	if owes != (debt{}) {
		posting.add(chargeTransactionID(c.ID, c.Revision, kindCharge), kindCharge, c.Revision, "", owes)
	}
	return posting.charge, posting.write(ctx, t)
}

// lockCharge reads a charge and keeps others from changing it until the end of
// the transaction; billing.ErrNotFound.
func (s *Store) lockCharge(ctx context.Context, db database.Session, id string) (chargeRecord, error) {
	query := `SELECT ` + chargeColumns + ` FROM charge c WHERE c.id = $1`
	if s.db.Kind() == database.PostgreSQL {
		// On SQLite nobody else writes meanwhile.
		query += ` FOR NO KEY UPDATE`
	}
	return chargeBy(ctx, db, query, id)
}

// chargeBy reads the charge that a query with one parameter finds.
func chargeBy(ctx context.Context, db database.Session, query, id string) (c chargeRecord, err error) {
	found := false
	err = database.Each(ctx, db, query, []any{id}, func(r database.Rows) error {
		var err error
		found = true
		c, err = scanCharge(r)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("charge %s: %w", id, billing.ErrNotFound)
	}
	return c, err
}

// sameCharge compares two revisions in all that their poster gave.
func sameCharge(a, b *billing.Charge) bool {
	return a.Kind == b.Kind && a.Account == b.Account && a.Creditor == b.Creditor && a.AmountCents == b.AmountCents &&
		a.Currency == b.Currency && a.OccurredMicros == b.OccurredMicros && a.Description == b.Description &&
		a.Vehicle == b.Vehicle && bytes.Equal(a.Detail, b.Detail)
}

// checkNextCharge refuses a revision that cannot follow the one that stands.
func checkNextCharge(was, next *billing.Charge) error {
	switch {
	case next.Revision < was.Revision:
		return fmt.Errorf("%w: the charge stands at revision %d", billing.ErrStale, was.Revision)
	case next.Revision == was.Revision:
		return fmt.Errorf("%w: the revision was posted with another content", billing.ErrConflict)
	case was.PaidCents == 0:
		return nil
	case next.Account != "" || next.Creditor != was.Creditor || next.Currency != was.Currency || next.AmountCents < was.PaidCents:
		// Otherwise the money taken would stand against nothing.
		return fmt.Errorf("%w: %s %s is paid of it; refund that before less is owed, or by or to another",
			billing.ErrConflict, was.Currency, billing.FormatCents(was.PaidCents))
	}
	return nil
}

// chargePosting is what one database transaction adds to the ledger for a
// charge.
type chargePosting struct {
	charge          billing.Charge
	previousAccount string
	postedAt        time.Time
	transactions    []billing.Transaction
}

// add adds a transaction of two legs.
func (p *chargePosting) add(id, kind string, revision int64, reverses string, d debt) {
	p.transactions = append(p.transactions, billing.Transaction{
		ID: id, Kind: kind, ChargeID: p.charge.ID, Revision: revision, Currency: d.currency, Reverses: reverses,
		Entries: []billing.Entry{{Account: d.debtor, AmountCents: d.cents}, {Account: d.creditor, AmountCents: -d.cents}},
	})
}

// chargeEvent is the payload of an outbox row of a charge.
type chargeEvent struct {
	PostedAt string        `json:"posted_at"`
	Charges  []eventCharge `json:"charges"`
}

type eventCharge struct {
	ID              string `json:"id"`
	Kind            string `json:"kind"`
	Account         string `json:"account"`
	PreviousAccount string `json:"previous_account,omitempty"`
	AmountCents     int64  `json:"amount_cents"`
	PaidCents       int64  `json:"paid_cents"`
	Currency        string `json:"currency"`
	Description     string `json:"description"`
	Creditor        string `json:"creditor"`
	Vehicle         string `json:"vehicle"`
	OccurredMicros  int64  `json:"occurred_micros"`
	Revision        int64  `json:"revision"`
}

const (
	insertOutbox      = `INSERT INTO outbox (posted_at, transactions, payload) VALUES ($1, $2, $3) RETURNING id`
	insertTransaction = `INSERT INTO transactions (id, kind, pass_id, charge_id, revision, currency, reverses, posted_at, posting)
		VALUES ($1, $2, '', $3, $4, $5, $6, $7, $8)`
	insertEntry = `INSERT INTO entries (transaction_id, leg, account, amount_cents) VALUES ($1, $2, $3, $4)`
)

// write writes outbox, transactions and entries; balances follow at the end of
// the transaction.
func (p *chargePosting) write(ctx context.Context, t *Tx) error {
	db := t.db
	c := &p.charge
	payload, err := json.Marshal(chargeEvent{PostedAt: p.postedAt.UTC().Format(time.RFC3339Nano), Charges: []eventCharge{{
		ID: c.ID, Kind: c.Kind, Account: c.Account, PreviousAccount: p.previousAccount, AmountCents: c.AmountCents, PaidCents: c.PaidCents,
		Currency: c.Currency, Description: c.Description, Creditor: c.Creditor, Vehicle: c.Vehicle, OccurredMicros: c.OccurredMicros, Revision: c.Revision,
	}}})
	if err != nil {
		return err
	}
	at := p.postedAt.UnixMicro()
	var posting int64
	if _, err := database.One(ctx, db, insertOutbox, []any{at, int64(len(p.transactions)), payload}, &posting); err != nil {
		return err
	}
	for i := range p.transactions {
		one := &p.transactions[i]
		if _, err := db.Exec(ctx, insertTransaction, one.ID, one.Kind, one.ChargeID, one.Revision, one.Currency, one.Reverses, at, posting); err != nil {
			return err
		}
		for leg, e := range one.Entries {
			if _, err := db.Exec(ctx, insertEntry, one.ID, int64(leg+1), e.Account, e.AmountCents); err != nil {
				return err
			}
			t.moves[billing.Balance{Account: e.Account, Currency: one.Currency}] += e.AmountCents
		}
	}
	return nil
}

// sortedBalances returns the moves in the order of account and currency.
func sortedBalances(moves map[billing.Balance]int64) []billing.Balance {
	list := make([]billing.Balance, 0, len(moves))
	for key, cents := range moves {
		key.AmountCents = cents
		list = append(list, key)
	}
	slices.SortFunc(list, func(a, b billing.Balance) int {
		if c := strings.Compare(a.Account, b.Account); c != 0 {
			return c
		}
		return strings.Compare(a.Currency, b.Currency)
	})
	return list
}
