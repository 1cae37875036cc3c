package app_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/clock"
)

// A running system follows its postings: receivables stand by themselves soon
// after the charges, and the metrics say so.
func TestRunCollects(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := startSystem(t, dir)
	if status, answer := r.call(http.MethodPut, r.operator+"/v1/registry", r.operatorKey, "text/csv", someRegistry); status != http.StatusOK {
		t.Fatalf("registry: %d %s", status, answer)
	}
	if status, answer := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/json", "["+someRead+","+otherRead+"]"); status != http.StatusAccepted {
		t.Fatalf("reads: %d %s", status, answer)
	}
	r.charges(chargesOf)
	var metrics string
	for range 100 {
		if _, metrics = r.call(http.MethodGet, r.admin+"/metrics", "", "", ""); strings.Contains(metrics, "\nfreeflow_collect_lag_seconds 0\n") &&
			!strings.Contains(metrics, "\nfreeflow_collect_postings_total 0\n") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if r.stop() != 0 {
		t.Error("the system did not end well")
	}
	ctx := context.Background()
	store, err := books.Open(ctx, "sqlite:"+filepath.Join(dir, "books.db"), books.Options{Clock: clock.System{}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	waiting, err := store.Unfollowed(ctx)
	if err != nil || !waiting.IsZero() {
		t.Errorf("postings wait since %v, %v; the metrics were\n%s", waiting, err, metrics)
	}
	open := int64(0)
	err = store.View(ctx, func(tx *books.Tx) error {
		list, err := tx.Receivables(ctx, billing.ReceivableFilter{Open: true, Limit: 100})
		for _, one := range list {
			open += one.RestCents()
		}
		return err
	})
	totals, totalsErr := store.Totals(ctx)
	if err != nil || totalsErr != nil || open == 0 || open != totals.ChargedCents+totals.UnpaidCents {
		t.Errorf("%d cents are open, %v; the passes owe %+v, %v", open, err, totals, totalsErr)
	}
}
