package month

import (
	"bytes"
	"os"
	"strconv"
	"testing"

	"freeflow/internal/clock"
)

// play plays a small month and fails for what is not as it must be.
func play(t *testing.T, c Config) {
	t.Helper()
	if text := os.Getenv("FREEFLOW_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("FREEFLOW_SEED is %q, not a number", text)
		}
		c.Seed = seed
	}
	var progress, report bytes.Buffer
	r, err := Run(t.Context(), clock.System{}, c, &progress)
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
	play(t, Config{Accounts: 200, Days: 24, Seed: 1, Database: "sqlite", Crashes: 40})
}
