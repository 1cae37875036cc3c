package month

import (
	"bytes"
	"context"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"

	"freeflow/billing/bankemu"
	"freeflow/internal/clock"
	"freeflow/loadtest/oracle"
)

// play plays a small month and fails for what is not as it must be.
func play(t *testing.T, c Config, look func(context.Context, *world) error) {
	t.Helper()
	if text := os.Getenv("FREEFLOW_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("FREEFLOW_SEED is %q, not a number", text)
		}
		c.Seed = seed
	}
	var progress, report bytes.Buffer
	r, err := run(t.Context(), clock.System{}, c, &progress, look)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	r.write(&report)
	t.Log(report.String())
	if !r.Good() {
		t.Fatalf("%d things are not as they must be; run again with FREEFLOW_SEED=%d\n%s", len(r.Wrong), r.Seed, progress.String())
	}
	for _, what := range []string{
		"trips", "proofs of service", "surcharges waived", "payments by notice", "charge-backs", "changes of cars and tags", "accounts closed",
		"parking charges", "reads that came late", "passes rated anew", "customers told of the re-rate", "disputes", "trips counted twice",
		"rulings approved by a second person", "flags raised by ourselves", "processes that died and were built anew",
	} {
		if !r.has(what) {
			t.Errorf("the script had no %s: it proves nothing of them", what)
		}
	}
}

func (r *Report) has(what string) bool {
	for _, c := range r.Counts {
		if c.What == what && c.N > 0 {
			return true
		}
	}
	return false
}

func TestSQLite(t *testing.T) {
	play(t, Config{Accounts: 200, Days: 24, Seed: 1, Database: "sqlite", Crashes: 40}, func(ctx context.Context, w *world) error {
		return sees(ctx, t, w)
	})
}

// sees spoils what the oracle is told, one thing at a time: a comparison that
// cannot fail would prove nothing.
func sees(ctx context.Context, t *testing.T, w *world) error {
	good := w.report
	defer func() { w.report = good }()
	reads, bills, p := w.reads, w.bills, w.cast.people[0]
	for name, one := range map[string]struct {
		spoil, mend func()
		compare     func(context.Context) error
	}{
		"a pass that never was posted": {func() {
			w.reads = slices.DeleteFunc(slices.Clone(reads), func(r oracle.Read) bool { return r.Boot == reads[len(reads)/2].Boot })
		}, func() { w.reads = reads }, w.compare},
		"a charge of another amount": {func() { w.bills = slices.Clone(bills); w.bills[0].cents++ }, func() { w.bills = bills }, w.compare},
		"a payment that nobody made": {func() { w.bank.emulator.AddToken(p.other, "card", means-1, currency) },
			func() { w.bank.emulator.AddToken(p.other, "card", means, currency) }, w.compare},
		"a bank that has other sums":    {func() { w.bank.emulator.AddToken("t", "card", means, currency); w.send(ctx) }, func() {}, w.compareBank},
		"a creditor that was paid more": {func() { w.paidOf["CHT"]++ }, func() { w.paidOf["CHT"]-- }, w.settlements},
	} {
		w.report = &Report{}
		w.paidOf = maps.Clone(w.paidOf)
		one.spoil()
		paid := maps.Clone(w.paidOf)
		err := one.compare(ctx)
		w.paidOf = paid
		one.mend()
		if err != nil {
			return err
		}
		if w.report.Good() {
			t.Errorf("%s was not seen", name)
		}
	}
	return nil
}

// send lets somebody send money that nobody here hears of.
func (w *world) send(ctx context.Context) {
	w.bank.emulator.Behave()
	w.bank.emulator.Tell(bankemu.Rule{On: bankemu.OnNotice, Do: bankemu.Lost})
	_ = w.bank.emulator.Send(ctx, "", "t", 100, currency)
}
