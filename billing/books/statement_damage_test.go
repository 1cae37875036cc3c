package books

import (
	"context"
	"strings"
	"testing"
	"time"

	"freeflow/billing/settlement"
	"freeflow/billing/statement"
	"freeflow/internal/clock"
)

// fillStatements closes, issues, settles, and remits one batch.
func fillStatements(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.Background()
	// Everything that fillBooks posted is over by then.
	december := clock.At(time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC))
	issuer := statement.Issuer{Ledger: s, Keeping: Keep[statement.Tx]{s, func(tx *Tx) statement.Tx { return tx }}, Zone: time.UTC, Clock: december}
	if done, err := issuer.Run(ctx); err != nil || done.Statements == 0 {
		t.Fatal(done, err)
	}
	settler := settlement.Settler{Keeping: Keep[settlement.Tx]{s, func(tx *Tx) settlement.Tx { return tx }}, Zone: time.UTC, Clock: december}
	if n, err := settler.Run(ctx); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	err := s.Do(ctx, func(tx *Tx) error {
		list, err := tx.Batches(ctx, settlement.Filter{State: settlement.Made, Limit: 1})
		if err != nil || len(list) != 1 {
			t.Fatal("nothing to remit", err)
		}
		for _, one := range []struct{ state, by string }{{settlement.Prepared, "amy"}, {settlement.Approved, "ben"}, {settlement.Sent, "amy"}} {
			want := settlement.Wanted{State: one.state, Means: "bank", Reference: "T1"}
			if _, err := settlement.Take(ctx, tx, list[0].Number, want, settlement.Deed{By: one.by, Role: "finance", Now: december.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var statementDamages = []struct{ invariant, statement string }{
	{"holder-lines-equal-ledger", `UPDATE holder_entry SET owed_cents = owed_cents + 1 WHERE kind = 'toll'`},
	{"holder-lines-equal-ledger", `DELETE FROM holder_entry WHERE kind = 'receipt'`},
	{"holder-lines-equal-ledger", `UPDATE holder_entry SET holder = 'acc-9' WHERE kind = 'collection'`},
	{"statement-closes", `UPDATE statement SET closing_owed = closing_owed + 1, opening_owed = opening_owed + 2`},
	{"statement-closes", `UPDATE statement SET line_count = line_count + 1`},
	{"statements-chain", `UPDATE statement SET opening_held = opening_held + 1, closing_held = closing_held + 1`},
	{"statements-chain", `UPDATE statement SET previous = 'S1'`},
	{"statements-chain", `DELETE FROM statement WHERE account = 'acc-2'`},
	{"creditor-days-equal-ledger", `UPDATE creditor_day SET amount_cents = amount_cents + 1 WHERE what = 'posted'`},
	{"creditor-days-equal-ledger", `DELETE FROM creditor_day WHERE what = 'collected'`},
	{"settlement-closes", `UPDATE settlement SET collected_cents = collected_cents + 1, remit_cents = remit_cents + 1`},
	{"settlement-closes", `UPDATE settlement SET carried_cents = carried_cents - 1, carry_cents = carry_cents - 1 WHERE carry_cents < 0 OR remit_cents = 0`},
	{"settlement-closes", `UPDATE settlement SET state = 'confirmed' WHERE state = 'remitted'`},
	{"settlement-closes", `UPDATE settlement_step SET done_by = 'ben' WHERE state = 'prepared'`},
	{"remittance-has-its-transaction", `UPDATE settlement SET state = 'remitted' WHERE state = 'made'`},
	{"remittance-has-its-transaction", `UPDATE settlement SET state = 'approved' WHERE state = 'remitted'`},
}

// TestVerifyFindsDamagedStatements breaks each invariant behind the store's back.
func TestVerifyFindsDamagedStatements(t *testing.T) {
	for _, damage := range statementDamages {
		t.Run(damage.statement, func(t *testing.T) {
			s := openTest(t, sqliteURL(t), testOptions())
			fillBooks(t, s)
			fillStatements(t, s)
			if broken := violated(t, s); len(broken) != 0 {
				t.Fatalf("broken before the damage: %v", broken)
			}
			tamper(t, s, damage.statement)
			if broken := violated(t, s); strings.TrimSpace(broken[damage.invariant]) == "" {
				t.Errorf("found %v, want %s", broken, damage.invariant)
			}
		})
	}
}
