package books

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// chargeAt is a new charge of 20.00, owed by nobody's account.
func chargeAt(id string) billing.Charge {
	return billing.Charge{ID: id, Kind: "parking", Revision: 1, Creditor: "tko", AmountCents: 2000, Currency: "HKD", OccurredMicros: 1}
}

func paymentAt(id, chargeID string, cents int64) billing.Payment {
	return billing.Payment{ID: id, ChargeID: chargeID, AmountCents: cents, Currency: "HKD", Means: "machine", PaidAt: time.UnixMicro(1)}
}

// fillCharges posts a little of everything: charge a of an account, b revised
// and then paid in part, c paid, refunded and paid again, d taken back.
func fillCharges(t *testing.T, s *Store) {
	ctx, at := context.Background(), time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	a, b, c, d := chargeAt("a"), chargeAt("b"), chargeAt("c"), chargeAt("d")
	a.Account = "acc-3"
	for _, charge := range []*billing.Charge{&a, &b, &c, &d} {
		if _, err := s.PostCharge(ctx, *charge, at); err != nil {
			t.Fatal(err)
		}
	}
	b.Revision, b.AmountCents = 2, 3000
	d.Revision, d.AmountCents = 2, 0
	for _, charge := range []*billing.Charge{&b, &d} {
		if _, err := s.PostCharge(ctx, *charge, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []billing.Payment{paymentAt("b1", "b", 500), paymentAt("c1", "c", 2000)} {
		if _, err := s.PostPayment(ctx, p, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.RefundPayment(ctx, "c1", at); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PostPayment(ctx, paymentAt("c2", "c", 2000), at); err != nil {
		t.Fatal(err)
	}
}

// chargeDamages are ways to break charges and payments; see damages.
var chargeDamages = []damage{
	{"a charge made cheaper", "charge-owes-live-transaction", "charge a", []string{`UPDATE charge SET amount_cents = 1 WHERE id = 'a'`}},
	{"a charge made another's", "charge-owes-live-transaction", "account:acc-9", []string{`UPDATE charge SET account = 'acc-9' WHERE id = 'a'`}},
	{"a charge made nobody's", "charge-owes-live-transaction", "unpaid:tko", []string{`UPDATE charge SET account = '' WHERE id = 'a'`}},
	{"a charge taken back without a reversal", "charge-owes-live-transaction", "charge a", []string{`UPDATE charge SET amount_cents = 0 WHERE id = 'a'`}},
	{"a charge that came back", "charge-owes-live-transaction", "charge d", []string{`UPDATE charge SET amount_cents = 2000 WHERE id = 'd'`}},
	{"a live charge forgotten", "charge-owes-live-transaction", "charge b", []string{`UPDATE charge SET charge_revision = 7 WHERE id = 'b'`}},
	{"a charge that names one reversed", "charge-owes-live-transaction", "charge b", []string{`UPDATE charge SET charge_revision = 1 WHERE id = 'b'`}},
	{"a second transaction of a charge", "charge-owes-live-transaction", "charge a", []string{
		`INSERT INTO transactions (id, kind, pass_id, charge_id, revision, currency, reverses, posted_at, posting) VALUES ('x', 'charge', '', 'a', 1, 'HKD', '', 0, 1)`,
		`INSERT INTO entries (transaction_id, leg, account, amount_cents) VALUES ('x', 1, 'account:acc-3', 5), ('x', 2, 'operator:tko', -5)`}},
	{"a charge lost", "no-orphans", "charge:a-1-charge", []string{`DELETE FROM charge WHERE id = 'a'`}},
	{"a transaction of both a pass and a charge", "no-orphans", firstToll, []string{`UPDATE transactions SET charge_id = 'a' WHERE id = '` + firstToll + `'`}},
	{"a transaction of neither", "no-orphans", "charge:a-1-charge", []string{`UPDATE transactions SET charge_id = '' WHERE id = 'charge:a-1-charge'`}},
	{"a charge's reversal of another's", "reversal-undoes-its-toll", "charge:b-2-reversal", []string{
		`UPDATE transactions SET reverses = 'charge:a-1-charge' WHERE id = 'charge:b-2-reversal'`}},
	{"a refund of half", "reversal-undoes-its-toll", "payment:c1-2-reversal", []string{
		`UPDATE entries SET amount_cents = amount_cents / 2 WHERE transaction_id = 'payment:c1-2-reversal'`}},
	{"a kind nobody knows", "reversal-undoes-its-toll", "charge:a-1-charge", []string{`UPDATE transactions SET kind = 'gift' WHERE id = 'charge:a-1-charge'`}},
	{"more paid than owed", "payments-never-exceed", "charge b", []string{`UPDATE charge SET paid_cents = 3001 WHERE id = 'b'`}},
	{"a payment of a charge not counted", "payments-never-exceed", "charge b", []string{`UPDATE charge SET paid_cents = 0 WHERE id = 'b'`}},
	{"a payment lost", "payments-never-exceed", "charge b", []string{`DELETE FROM payment WHERE id = 'b1'`}},
	{"a payment of nothing", "payments-never-exceed", "payment z", []string{
		`INSERT INTO payment (id, charge_id, amount_cents, currency, means, paid_at, refunded_at) VALUES ('z', 'gone', 1, 'HKD', 'x', 0, 0)`}},
	{"a payment without its transaction", "payment-has-its-transaction", "payment b1", []string{`DELETE FROM transactions WHERE id = 'payment:b1-1-payment'`}},
	{"a payment marked refunded", "payment-has-its-transaction", "payment b1 is refunded", []string{`UPDATE payment SET refunded_at = 1 WHERE id = 'b1'`}},
	{"a refund forgotten", "payment-has-its-transaction", "payment c1 is not refunded", []string{`UPDATE payment SET refunded_at = 0 WHERE id = 'c1'`}},
	{"a payment's transaction twice", "payment-has-its-transaction", "charge b", []string{
		`INSERT INTO transactions (id, kind, pass_id, charge_id, revision, currency, reverses, posted_at, posting) VALUES ('x', 'payment', '', 'b', 1, 'HKD', '', 0, 1)`}},
	{"a charge's revision lost", "charge-revisions-continuous", "charge:b-1-charge", []string{`DELETE FROM charge_revision WHERE charge_id = 'b'`}},
	{"a charge set back", "charge-revisions-continuous", "charge b", []string{`UPDATE charge SET revision = 1 WHERE id = 'b'`}},
	{"money taken aside", "balance-equals-entries", "cash:machine", []string{`UPDATE balance SET amount_cents = amount_cents - 100 WHERE account = 'cash:machine'`}},
	{"a charge's event lost", "outbox-equals-postings", "", []string{`DELETE FROM outbox WHERE id = (SELECT max(id) FROM outbox)`}},
}

// schema3 is the books' schema before charges.
func schema3(t *testing.T) database.Schema {
	t.Helper()
	old := schema()
	steps := fstest.MapFS{}
	for _, name := range []string{"00001_types.postgres.sql", "00002_books.sql", "00003_books.postgres.sql", "00003_books.sqlite.sql"} {
		text, err := fs.ReadFile(old.Migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		steps[name] = &fstest.MapFile{Data: text}
	}
	old.Migrations, old.Want = steps, 3
	return old
}

// postedBefore posts a pass as a program did that knew schema 3.
func postedBefore(p billing.Pass) func(database.Session) error {
	toll := transactionID(p.ID, 1, kindToll)
	debtor, creditor := billing.MotoristPrefix+p.Account, billing.OperatorPrefix+p.Facility
	return func(db database.Session) error {
		for _, one := range []struct {
			query string
			args  []any
		}{
			{`INSERT INTO facility (facility, longest_micros, gap_micros) VALUES ($1, $2, 0)`, []any{p.Facility, p.LastMicros - p.FirstMicros}},
			{`INSERT INTO pass (first_micros, last_micros, revision, amount_cents, toll_revision, registered, id, facility, toll_point, vehicle,
				status, class, account, currency, rule, tariff_version, reasons, marks, merged_into, decision, evidence)
				VALUES ($1, $2, 1, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, '', '', '', '', '', '', $13)`,
				[]any{p.FirstMicros, p.LastMicros, p.AmountCents, p.Registered, p.ID, p.Facility, p.TollPoint, p.Vehicle, p.Status, p.Class, p.Account, p.Currency, []byte{}}},
			{`INSERT INTO outbox (posted_at, transactions, payload) VALUES (1, 1, $1)`, []any{[]byte(`{"posted_at":"1970-01-01T00:00:00Z","passes":[{"id":"` + p.ID + `","owed_changed":true}]}`)}},
			{`INSERT INTO transactions (posted_at, posting, revision, id, kind, pass_id, currency, reverses) VALUES (1, 1, 1, $1, 'toll', $2, $3, '')`, []any{toll, p.ID, p.Currency}},
			{`INSERT INTO entries (amount_cents, leg, transaction_id, account) VALUES ($1, 1, $2, $3)`, []any{p.AmountCents, toll, debtor}},
			{`INSERT INTO entries (amount_cents, leg, transaction_id, account) VALUES ($1, 2, $2, $3)`, []any{-p.AmountCents, toll, creditor}},
			{`INSERT INTO balance (amount_cents, account, currency) VALUES ($1, $2, $3)`, []any{p.AmountCents, debtor, p.Currency}},
			{`INSERT INTO balance (amount_cents, account, currency) VALUES ($1, $2, $3)`, []any{-p.AmountCents, creditor, p.Currency}},
			{`INSERT INTO progress (log_partition, next_offset, max_micros) VALUES (0, 1, 0)`, nil},
		} {
			if _, err := db.Exec(context.Background(), one.query, one.args...); err != nil {
				return fmt.Errorf("%s: %w", one.query, err)
			}
		}
		return nil
	}
}

// testUpgrade: books with passes, made before there were charges, take them.
func testUpgrade(t *testing.T, url string) {
	ctx := t.Context()
	old := schema3(t)
	if err := database.Migrate(ctx, url, old); err != nil {
		t.Fatal(err)
	}
	db, err := database.Open(ctx, url, database.Options{Schema: old})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Write(ctx, postedBefore(passAt(1, 0))); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	opts := testOptions()
	opts.Migrate = false
	if s, err := Open(ctx, url, opts); err == nil || !strings.Contains(err.Error(), "run `freeflow migrate`") {
		t.Fatalf("opened %v, %v", s, err)
	}
	s := openTest(t, url, testOptions())
	fillCharges(t, s)
	h, err := s.History(ctx, passAt(1, 0).ID)
	if err != nil || len(h.Transactions) != 1 || h.Transactions[0].ChargeID != "" {
		t.Errorf("%+v, %v", h, err)
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}
