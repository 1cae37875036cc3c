package operator

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/statement"
	"freeflow/billing/statement/pdf"
	"freeflow/billing/statement/pdf/pdftest"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
)

// codes are their own names.
type codes struct{}

func (codes) Place(code, _ string) string { return code }
func (codes) Class(code, _ string) string { return code }

func statementsTopic(store *books.Store, clk *clock.Fixed) Topic {
	return &Statements{
		Books: store, Clock: clk, Zone: time.FixedZone("HKT", 8*3600), Currency: "HKD", PDF: pdf.New(), Words: codes{}, Issuer: "freeflow", Printers: make(chan struct{}, 1),
	}
}

// raw asks for a type of content.
func (s *server) raw(path, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Authorization", "Bearer "+testKey)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestStatementsAgree compares JSON, CSV, PDF and the ledger to the cent.
func TestStatementsAgree(t *testing.T) {
	s := newServer(t, statementsTopic)
	ctx := t.Context()
	zone := time.FixedZone("HKT", 8*3600)
	for i := range 30 {
		s.clock.Set(time.Date(2026, 10, 1+i%28, 9, i, 0, 0, zone))
		p := billing.Pass{
			ID: fmt.Sprintf("%032x", i), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "plate:AB1", Registered: true, FirstMicros: s.clock.Now().UnixMicro(), LastMicros: s.clock.Now().UnixMicro(),
			Revision: 1, Status: billing.StatusCharged, Class: "taxi", Account: "A1", AmountCents: 2501 + int64(i), Currency: "HKD", Rule: "r", TariffVersion: "v", Evidence: []byte{0},
		}
		if err := s.books.Post(ctx, billing.Batch{From: int64(i), To: int64(i) + 1, MaxMicros: 1, PostedAt: s.clock.Now(), Passes: []billing.Pass{p}, Gap: 1}); err != nil {
			t.Fatal(err)
		}
	}
	s.clock.Set(time.Date(2026, 11, 1, 2, 0, 0, 0, zone))
	issuer := statement.Issuer{
		Ledger: s.books, Keeping: books.Keep[statement.Tx]{Store: s.books, As: func(tx *books.Tx) statement.Tx { return tx }}, Zone: zone, Clock: s.clock,
	}
	if _, err := issuer.Run(ctx); err != nil {
		t.Fatal(err)
	}
	list := s.must(t, 200, "GET", "/v1/accounts/A1/statements", "", "")["items"].([]any)
	number := list[0].(map[string]any)["number"].(string)
	total := list[0].(map[string]any)["closing"].(map[string]any)["owed"].(string)

	// The API, a page at a time.
	sum, next := int64(0), ""
	for {
		page := s.must(t, 200, "GET", "/v1/statements/"+number+"?limit=7&reason=call"+next, "", "")
		for _, one := range page["items"].([]any) {
			cents, err := billing.ParseCents(one.(map[string]any)["owed"].(string))
			if err != nil {
				t.Fatal(err)
			}
			sum += cents
		}
		if page["next"] == nil {
			break
		}
		next = "&after=" + page["next"].(string)
	}
	balances, err := s.books.Balances(ctx, []string{"account:A1"})
	if err != nil || len(balances) != 1 || balances[0].AmountCents != sum || billing.FormatCents(sum) != total {
		t.Errorf("the lines sum to %d, the statement says %s, the ledger %v %v", sum, total, balances, err)
	}
	table := s.raw("/v1/statements/"+number, "text/csv")
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(table.Body.String(), "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 33 || rows[32][9] != total {
		t.Errorf("the table has %d rows: %v %v", len(rows), rows[len(rows)-1], err)
	}
	if again := s.raw("/v1/accounts/A1/lines?from=2026-10-01&to=2026-10-31", "text/csv"); again.Body.String() != table.Body.String() {
		t.Errorf("the range gave another table")
	}
	for _, language := range []string{"en", "zh-HK"} {
		first := s.raw("/v1/statements/"+number+"?language="+language, "application/pdf")
		text, err := pdftest.Text(first.Body.Bytes())
		if err != nil || strings.Count(text, "\n"+total+"\n") < 2 || !strings.Contains(text, number) {
			t.Errorf("the PDF in %s does not close with %s: %v", language, total, err)
		}
		if again := s.raw("/v1/statements/"+number+"?language="+language, "application/pdf"); !bytes.Equal(first.Body.Bytes(), again.Body.Bytes()) {
			t.Errorf("the PDF in %s is another the second time", language)
		}
	}
	err = s.books.View(ctx, func(tx *books.Tx) error {
		seen, err := audit.Views(ctx, tx.Session(), "A1", "", 100)
		if err == nil && len(seen) < 9 {
			err = fmt.Errorf("the holder sees %d views", len(seen))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStatementsRefuse(t *testing.T) {
	s := newServer(t, statementsTopic)
	for path, status := range map[string]int{
		"/v1/statements/S1": 404, "/v1/statements/S1?language=fr": 400, "/v1/accounts/A1/lines": 400, "/v1/accounts/A1/lines?from=2026-10-01": 409,
		"/v1/accounts/A1/lines?from=x": 422, "/v1/accounts/A1/statements?before=x": 400, "/v1/accounts/A1/statements?colour=red": 400, "/v1/accounts/A1/lines?from=2026-10-01&after=!": 400,
	} {
		if code, answer := s.ask(t, "GET", path, "", ""); code != status {
			t.Errorf("%s answered %d, want %d: %v", path, code, status, answer)
		}
	}
}
