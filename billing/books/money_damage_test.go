package books

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// followAll follows every posting.
func followAll(t testing.TB, s *Store, at time.Time) {
	t.Helper()
	for {
		done, err := s.FollowPostings(context.Background(), 100, at)
		if err != nil {
			t.Fatal(err)
		}
		if done.Postings == 0 {
			return
		}
	}
}

// fillMoney follows what fillBooks posted, and moves a little of every kind:
// pass 1 is paid by acc-1, pass 4 was, pass 5 is by acc-2; m1 and m2 stand, m3
// is undone, p1 went out.
func fillMoney(t *testing.T, s *Store) {
	ctx, at := context.Background(), time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	followAll(t, s, at)
	move := func(id, kind, holder string, cents int64) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := tx.Move(ctx, billing.Movement{ID: id, Kind: kind, Holder: holder, Means: "card", AmountCents: cents, Currency: "HKD", At: at}, at)
			return err
		}
	}
	for _, fn := range []func(*Tx) error{
		move("m1", billing.Receipt, "acc-1", 1700), move("m2", billing.Receipt, "acc-2", 900), move("m3", billing.Receipt, "acc-1", 5),
		move("p1", billing.Payout, "acc-2", 300),
		func(tx *Tx) error { return tx.ReverseMovement(ctx, "m3", "bounced", at) },
		func(tx *Tx) error {
			_, err := tx.Collect(ctx, "acc-1", []string{"pass:" + passAt(1, 0).ID, "pass:" + passAt(4, 0).ID}, at)
			return err
		},
		func(tx *Tx) error {
			_, err := tx.Uncollect(ctx, "pass:"+passAt(4, 0).ID, "by a test", at)
			return err
		},
		func(tx *Tx) error {
			_, err := tx.CollectOpen(ctx, "acc-2", "HKD", 10, at)
			return err
		},
	} {
		if err := s.Do(ctx, fn); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	paidID   = "pass:" + passAt(1, 0).ID
	undoneID = "pass:" + passAt(4, 0).ID
)

// moneyDamages are ways to break wallets, movements, receivables and
// collections; see damages.
var moneyDamages = []damage{
	{"a wallet made richer", "wallet-equals-entries", "acc-1", []string{`UPDATE wallet SET balance_cents = balance_cents + 1 WHERE holder = 'acc-1'`}},
	{"a wallet lost", "wallet-equals-entries", "acc-1", []string{`DELETE FROM wallet WHERE holder = 'acc-1'`}},
	{"a movement made bigger", "movement-has-its-transaction", "move:m1", []string{`UPDATE movement SET amount_cents = 9999 WHERE id = 'm1'`}},
	{"a movement made another's", "movement-has-its-transaction", "wallet:acc-9", []string{`UPDATE movement SET holder = 'acc-9' WHERE id = 'm1'`}},
	{"a movement lost", "movement-has-its-transaction", "move:m1", []string{`DELETE FROM movement WHERE id = 'm1'`}},
	{"a payout made a receipt", "movement-has-its-transaction", "p1", []string{`UPDATE movement SET kind = 'receipt' WHERE id = 'p1'`}},
	{"a movement marked undone", "movement-has-its-transaction", "movement m1 is undone", []string{`UPDATE movement SET reversed_at = 1 WHERE id = 'm1'`}},
	{"an undoing forgotten", "movement-has-its-transaction", "movement m3 is not undone", []string{`UPDATE movement SET reversed_at = 0 WHERE id = 'm3'`}},
	{"a movement without its transaction", "movement-has-its-transaction", "movement m1 has no transaction", []string{`DELETE FROM transactions WHERE id = 'money:move:m1-1-receipt'`}},
	{"a collection made smaller", "collection-has-its-transaction", paidID, []string{`UPDATE collection SET amount_cents = 1 WHERE receivable = '` + paidID + `'`}},
	{"a collection lost", "receivable-paid-equals-collections", paidID, []string{`DELETE FROM collection WHERE receivable = '` + paidID + `'`}},
	{"a collection without its transaction", "collection-has-its-transaction", paidID, []string{`DELETE FROM transactions WHERE id = 'money:` + paidID + `-1-collection'`}},
	{"a collection marked undone", "collection-has-its-transaction", paidID + "-1 is undone", []string{`UPDATE collection SET reversed_at = 1 WHERE receivable = '` + paidID + `'`}},
	{"an undone collection that came back", "collection-has-its-transaction", undoneID + "-1 is not undone", []string{`UPDATE collection SET reversed_at = 0 WHERE receivable = '` + undoneID + `'`}},
	{"a transaction of no collection", "collection-has-its-transaction", "of all collections, 1", []string{
		`INSERT INTO transactions (id, kind, pass_id, charge_id, money_id, revision, currency, reverses, posted_at, posting)
			VALUES ('x', 'collection', '', '', '` + paidID + `', 9, 'HKD', '', 0, 1)`}},
	{"a collection paid to another", "receivable-paid-equals-collections", "account:acc-9", []string{`UPDATE collection SET debtor = 'account:acc-9' WHERE receivable = '` + paidID + `'`}},
	{"a receivable said to be open", "receivable-paid-equals-collections", paidID, []string{`UPDATE receivable SET paid_cents = 0 WHERE id = '` + paidID + `'`}},
	{"collections miscounted", "receivable-paid-equals-collections", paidID, []string{`UPDATE receivable SET collections = 5 WHERE id = '` + paidID + `'`}},
	{"a receivable made cheaper", "receivable-equals-what-is-owed", undoneID, []string{`UPDATE receivable SET amount_cents = 1 WHERE id = '` + undoneID + `'`}},
	{"a receivable made another's", "receivable-equals-what-is-owed", "account:acc-9", []string{`UPDATE receivable SET account = 'acc-9' WHERE id = '` + undoneID + `'`}},
	{"a receivable lost", "receivable-equals-what-is-owed", undoneID, []string{`DELETE FROM receivable WHERE id = '` + undoneID + `'`}},
	{"a receivable of another vehicle", "receivable-equals-what-is-owed", undoneID, []string{`UPDATE receivable SET vehicle = 'X' WHERE id = '` + undoneID + `'`}},
	{"a charge's receivable of another kind", "receivable-equals-what-is-owed", "charge:a", []string{`UPDATE receivable SET kind = 'gift' WHERE id = 'charge:a'`}},
	{"a receivable that nobody counts", "debtor-owes-open-receivables", "account:acc-1", []string{`UPDATE receivable SET amount_cents = amount_cents + 1 WHERE id = '` + undoneID + `'`}},
	{"a posting said to be not followed", "debtor-owes-open-receivables", "account:acc-1", []string{`UPDATE outbox SET collected_at = 0 WHERE id = (SELECT min(id) FROM outbox)`}},
	{"a money transaction of nothing", "no-orphans", "money:move:m1-1-receipt", []string{`DELETE FROM movement WHERE id = 'm1'`}},
	{"a receipt's transaction made a pass's", "no-orphans", "money:move:m1-1-receipt", []string{`UPDATE transactions SET money_id = '' WHERE id = 'money:move:m1-1-receipt'`}},
	{"an undoing of another's movement", "reversal-undoes-its-toll", "money:move:m3-2-reversal", []string{
		`UPDATE transactions SET reverses = 'money:move:m1-1-receipt' WHERE id = 'money:move:m3-2-reversal'`}},
}

// testRefusals: what the database itself refuses, whoever writes.
func testRefusals(t *testing.T, s *Store) {
	fillBooks(t, s)
	for _, statement := range []string{
		`UPDATE wallet SET balance_cents = -1`,
		`UPDATE receivable SET paid_cents = amount_cents + 1`,
		`UPDATE receivable SET paid_cents = -1`,
		`UPDATE movement SET amount_cents = 0`,
		`UPDATE collection SET amount_cents = -1`,
	} {
		err := s.db.Write(context.Background(), func(db database.Session) error {
			_, err := db.Exec(context.Background(), statement)
			return err
		})
		if err == nil {
			t.Errorf("not refused: %s", statement)
		}
	}
}

// testMoneyUpgrade: the migration gives books from before there were
// receivables those that following from the beginning would have given.
func testMoneyUpgrade(t *testing.T, s *Store) {
	ctx, at := context.Background(), time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	unpaid, review := passAt(2, 500), passAt(3, 1000)
	unpaid.Status, unpaid.Account = billing.StatusUnpaid, ""
	review.Status, review.AmountCents = billing.StatusReview, 0
	mustPost(t, s, batchAt(0, 0, passAt(1, 0), unpaid, review))
	dearer := passAt(1, 0)
	dearer.Revision, dearer.AmountCents = 2, 900
	mustPost(t, s, batchAt(0, 1, dearer))
	fillCharges(t, s)
	followAll(t, s, at)
	read := func() (list []billing.Receivable) {
		err := s.View(ctx, func(tx *Tx) error {
			var err error
			list, err = tx.Receivables(ctx, billing.ReceivableFilter{Limit: 100})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		// What owes nothing any more is known to who followed it alone; and a
		// payment at a till is a posting too.
		list = slices.DeleteFunc(list, func(r billing.Receivable) bool { return r.AmountCents == 0 })
		for i := range list {
			if list[i].Posting == 0 {
				t.Errorf("no posting: %+v", list[i])
			}
			list[i].Posting = 0
		}
		return list
	}
	followed := read()
	text, err := migrations.ReadFile("migrations/00005_money.sql")
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{`DELETE FROM receivable`, `UPDATE outbox SET collected_at = 0`}
	for _, statement := range strings.Split(string(text), ";\n") {
		if strings.Contains(statement, "\nINSERT INTO receivable") || strings.HasPrefix(statement, "INSERT INTO receivable") || strings.Contains(statement, "UPDATE outbox SET") {
			statements = append(statements, statement)
		}
	}
	if len(statements) != 5 {
		t.Fatalf("the migration has other statements than this test knows: %q", statements)
	}
	tamper(t, s, statements...)
	if migrated := read(); len(migrated) != 4 || !slices.Equal(migrated, followed) {
		t.Errorf("after the migration %+v\nfollowed %+v", migrated, followed)
	}
	if waiting, err := s.Unfollowed(ctx); err != nil || !waiting.IsZero() {
		t.Errorf("old postings wait since %v, %v", waiting, err)
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}
