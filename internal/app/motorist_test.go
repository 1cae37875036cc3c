package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
)

// TestRunMotorist: over a whole process a motorist who signs in reads the own
// account as JSON, and sees that staff looked at a charge, by API and by page.
func TestRunMotorist(t *testing.T) {
	r := startSystem(t, filepath.Join(t.TempDir(), "data"))
	registry := someRegistry + "M00001,HK1234,taxi,,2025-01-01T00:00:00+08:00,,\n"
	if status, answer := r.call(http.MethodPut, r.operator+"/v1/registry", r.operatorKey, "text/csv", registry); status != http.StatusOK {
		t.Fatalf("registry: %d %s", status, answer)
	}
	at := clock.System{}.Now().Add(-time.Minute).Format("2006-01-02T15:04:05Z")
	if status, answer := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/x-ndjson", fmt.Sprintf(`{"unit":"CHT-N-1","seq":1,"time":%q,"plate":"HK1234"}`, at)); status != http.StatusAccepted {
		t.Fatalf("read: %d %s", status, answer)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	ask := func(method, path, body string, header ...string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.portal+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	if status, text := ask("GET", "/v1/me", "", "Accept", "text/html"); status != http.StatusUnauthorized || !strings.Contains(text, "/problems/signed-out") {
		t.Errorf("signed out: %d %s", status, text)
	}
	_, page := ask("GET", "/sign-in", "")
	token := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(page)
	if token == nil {
		t.Fatalf("no form in %s", page)
	}
	fields := url.Values{"token": {token[1]}, "email": {r.email}, "password": {r.password}}.Encode()
	if status, text := ask("POST", "/sign-in", fields, "Content-Type", "application/x-www-form-urlencoded"); status != http.StatusOK {
		t.Fatalf("signing in: %d %s", status, text)
	}
	var list string
	for range 200 {
		if _, list = ask("GET", "/v1/me/charges", ""); strings.Contains(list, "HK1234") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	charge := regexp.MustCompile(`"id":"pass:([0-9a-f]{32})"`).FindStringSubmatch(list)
	if charge == nil {
		t.Fatalf("the charge is not listed: %s", list)
	}
	if status, text := ask("GET", "/v1/me/charges/pass:"+charge[1], ""); status != http.StatusOK || !strings.Contains(text, `"code":"CHT-N"`) {
		t.Errorf("the charge: %d %s", status, text)
	}
	if status, text := ask("GET", "/v1/me/views", ""); status != http.StatusOK || !strings.Contains(text, `"items":[]`) {
		t.Errorf("before staff looked: %d %s", status, text)
	}
	if status, answer := r.call(http.MethodGet, r.operator+"/v1/passes/"+charge[1]+"?reason=asked-by-phone", r.operatorKey, "", ""); status != http.StatusOK {
		t.Fatalf("staff looks: %d %s", status, answer)
	}
	for _, path := range []string{"/v1/me/views", "/views"} {
		if status, text := ask("GET", path, ""); status != http.StatusOK || !strings.Contains(text, "asked-by-phone") {
			t.Errorf("%s after staff looked: %d %s", path, status, text)
		}
	}
	if status, text := ask("GET", "/openapi.json", ""); status != http.StatusOK || !strings.Contains(text, `"/v1/me/charges/{id}"`) {
		t.Errorf("the description: %d %.200s", status, text)
	}
}
