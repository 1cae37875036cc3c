package settlement_test

import (
	"context"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/settlement"
	"freeflow/billing/statement"
)

// testCash takes reports, and breaks and mends what they say.
func testCash(t *testing.T, url string) {
	ctx := context.Background()
	w := newWorld(t, url)
	w.topUp(100_00)
	w.pass("CHT", 3000)
	w.follow(w.received())
	w.till(5000, false)
	at := w.clock.Now()
	day := statement.DayOf(at, hongKong)
	deed := settlement.Deed{By: "amy", Role: "finance", Now: at}
	take := func(id, means string, more bool, rows ...settlement.Row) (m settlement.Matched) {
		t.Helper()
		w.must(w.books.Do(ctx, func(tx *books.Tx) (err error) {
			m, err = settlement.TakeReport(ctx, tx, settlement.Report{ID: id, Means: means, From: day.From, To: day.To, More: more, Rows: rows}, day.Number, deed)
			return err
		}))
		return m
	}
	row := func(reference string, cents int64) settlement.Row {
		return settlement.Row{Line: 2, Reference: reference, AmountCents: cents, Currency: "HKD", At: at}
	}
	if m := take("r1", "fps", false); m.Breaks != 1 {
		t.Errorf("an empty report: %+v", m)
	}
	if m := take("r2", "fps", true, row("m1", 100_00)); m.Agree != 1 || m.Ended != 1 {
		t.Errorf("reported after all: %+v", m)
	}
	if m := take("r2", "fps", true, row("m1", 100_00)); m != (settlement.Matched{}) {
		t.Errorf("the same report again: %+v", m)
	}
	// What the bank has and we do not, until we do.
	if m := take("r3", "fps", true, row("m99", 7_00)); m.Breaks != 1 {
		t.Errorf("a stranger's: %+v", m)
	}
	w.must(w.books.Do(ctx, func(tx *books.Tx) error {
		if _, err := tx.Move(ctx, billing.Movement{ID: "m99", Kind: billing.Receipt, Holder: "A2", Means: "fps", AmountCents: 7_00, Currency: "HKD", At: at}, at); err != nil {
			return err
		}
		n, err := settlement.Recheck(ctx, tx, "fps", deed)
		if n != 1 {
			t.Errorf("%d breaks agree since", n)
		}
		return err
	}))
	// By another means it is not ours.
	if m := take("r4", "machine", false, row("m1", 100_00)); m.Breaks != 2 {
		t.Errorf("another means, and the till's missing: %+v", m)
	}
	w.must(w.books.Do(ctx, func(tx *books.Tx) error {
		open, err := tx.Breaks(ctx, "", false, 0, "", 100)
		if len(open) != 2 || open[0].Kind != settlement.MissingAtBank || open[1].Kind != settlement.MissingWithUs {
			t.Errorf("open are %+v", open)
		}
		if err != nil {
			return err
		}
		found, err := settlement.Chain(ctx, tx, day, deed)
		if found != 0 {
			t.Errorf("the chain has %d breaks", found)
		}
		return err
	}))
	w.clock.Set(at.Add(26 * time.Hour))
	w.run()
	w.must(w.books.View(ctx, func(tx *books.Tx) error {
		units, err := tx.UnitsOf(ctx, day.From, day.To)
		if err != nil {
			return err
		}
		if len(units) != 1 || units[0].Passes != 1 || units[0].ReceivableCents != 3000 || units[0].PaidCents != 3000 {
			t.Errorf("the units are %+v", units)
		}
		counts, err := tx.Traffic(ctx, day.Number, day.Number+1)
		if len(counts) != 1 || counts[0].Passes != 1 || counts[0].TollPoint != "CHT-N" {
			t.Errorf("the traffic was %+v", counts)
		}
		return err
	}))
	w.verify()
}

func TestCash(t *testing.T) { testCash(t, sqliteURL(t)) }

// FuzzParseRows: whatever is sent, rows are whole or there is an error.
func FuzzParseRows(f *testing.F) {
	f.Add("reference,amount,currency,time\np1,1.00,HKD,2026-11-24T09:00:00Z\n")
	f.Add("\ufefftime,currency,amount,reference,more\n2026-11-24T09:00:00Z,HKD,-5,\"a,b\",x\n")
	f.Add("reference")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := settlement.ParseRows(text)
		for _, r := range rows {
			if err != nil || r.Reference == "" || r.Currency == "" || r.At.IsZero() && r.At.Year() != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		}
	})
}
