package app_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freeflow/internal/app"
	"freeflow/internal/clock"
)

// TestStatementCommand asks an API that has one statement.
func TestStatementCommand(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer key-of-amy" {
			t.Errorf("%s came with the key %q", r.URL, r.Header.Get("Authorization"))
		}
		switch r.URL.Path + " " + r.Header.Get("Accept") {
		case "/v1/accounts/A1/statements application/json":
			_, _ = w.Write([]byte(`{"items":[{"number":"S202611-A1-HKD","month":"2026-11"}]}`)) // a closed connection fails the test below
		case "/v1/statements/S202611-A1-HKD text/csv", "/v1/statements/S202611-A1-HKD application/pdf", "/v1/accounts/A1/lines text/csv":
			_, _ = w.Write([]byte(r.Header.Get("Accept") + " " + r.URL.RawQuery)) // as above
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"title":"Not found","detail":"there is no such thing here"}`)) // as above
		}
	}))
	defer api.Close()
	t.Setenv("FREEFLOW_KEY", "key-of-amy")
	file := filepath.Join(t.TempDir(), "a.pdf")
	for _, tc := range []struct {
		args   string
		status int
		says   string
	}{
		{"statement A1 2026-11 --reason call", 0, "text/csv reason=call"},
		{"statement A1 2026-11 --pdf --language zh-HK --out " + file, 0, ""},
		{"statement A1 2026-10", 1, "no statement of 2026-10"},
		{"statement A1 November", 2, "is no month"},
		{"statement A1", 2, "an account and a month"},
		{"statement A1 2026-11 --pdf --csv", 2, "choose one"},
		{"statement A1 2026-11-01 --to 2026-11-20", 0, "text/csv from=2026-11-01&to=2026-11-20"},
		{"statement A2 2026-11", 1, "no such thing"},
	} {
		var out, said bytes.Buffer
		status := app.Main(t.Context(), app.Env{Stdout: &out, Stderr: &said, Clock: clock.System{}}, append(strings.Fields(tc.args), "--url", api.URL))
		if status != tc.status || !strings.Contains(out.String()+said.String(), tc.says) {
			t.Errorf("%s: status %d, %s%s", tc.args, status, out.String(), said.String())
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "application/pdf language=zh-HK" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}
