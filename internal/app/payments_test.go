package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"freeflow/internal/app"
	"freeflow/internal/clock"
)

// order sends a POST with an Idempotency-Key and returns status and answer.
func (r *running) order(address, bearer, key, body string) (int, map[string]any) {
	r.t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+address, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", `"`+key+`"`)
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	answer := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			r.t.Fatalf("%s: %v in %s", address, err, text)
		}
	}
	return response.StatusCode, answer
}

// becomes waits until a GET answers with a part.
func (r *running) becomes(address, key, part string) {
	r.t.Helper()
	var answer string
	for range 200 {
		if _, answer = r.call(http.MethodGet, address, key, "", ""); strings.Contains(answer, part) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.t.Fatalf("%s does not become %s: %s", address, part, answer)
}

var bankLine = regexp.MustCompile(`bank +http://(\S+)`)

// TestRunTakesPayments: with the local provider that a run starts, an account is
// topped up, also where the provider takes the money and does not answer.
func TestRunTakesPayments(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := startSystem(t, dir)
	line := bankLine.FindStringSubmatch(r.said.String())
	if line == nil {
		t.Fatalf("no local provider: %s", r.said.String())
	}
	text, err := os.ReadFile(filepath.Join(dir, "payment-keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	var keys struct {
		AdminKey string `json:"admin_key"`
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	status, opened := r.order(r.operator+"/v1/accounts", r.operatorKey, "a", `{"kind":"individual","name":"Chan","email":"chan@example.hk","language":"en"}`)
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, opened)
	}
	account := r.operator + "/v1/accounts/" + opened["id"].(string)
	status, _ = r.order(account+"/payment-means", r.operatorKey, "m",
		`{"mode":"prepaid","kind":"card","provider":"local","token":"tok_demo_card","threshold":"50.00","top_up":"100.00","reason":"form 1"}`)
	if status != http.StatusCreated {
		t.Fatal(status)
	}
	r.becomes(r.operator+"/v1/payments?account="+opened["id"].(string), r.operatorKey, `"state":"succeeded"`)
	if status, answer := r.order(line[1]+"/admin/rules", keys.AdminKey, "x", `{"on":"charge","do":"cut-after","times":1}`); status != http.StatusNoContent {
		t.Fatal(status, answer)
	}
	status, made := r.order(account+"/top-ups", r.operatorKey, "t", `{"amount":"25.00","token":"tok_demo_bank","reason":"at the counter"}`)
	if status != http.StatusCreated {
		t.Fatal(status, made)
	}
	r.becomes(r.operator+"/v1/payments/"+made["id"].(string), r.operatorKey, `"state":"succeeded"`)
	r.becomes(line[1]+"/admin/totals?currency=HKD", keys.AdminKey, `"taken":"125.00"`)

	// The public address describes itself and answers strangers alike.
	if status, answer := r.call(http.MethodGet, r.portal+"/openapi.json", "", "", ""); status != http.StatusOK || !strings.Contains(answer, "/v1/notice-payments") {
		t.Errorf("%d %.200s", status, answer)
	}
	if status, _ := r.order(r.portal+"/v1/notice-quotes", "", "q", `{"plate":"AB1234","number":"N-0000001"}`); status != http.StatusNotFound {
		t.Errorf("a notice that is not there: %d", status)
	}
	if status := r.stop(); status != 0 {
		t.Errorf("ended with %d", status)
	}
}

// TestBankEmulate runs the local provider as a program of its own, and a run
// against it.
func TestBankEmulate(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys.json")
	ctx, cancel := context.WithCancel(context.Background())
	var said lockedBuffer
	done := make(chan int, 1)
	go func() {
		done <- app.Main(ctx, app.Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &said, Clock: clock.System{}},
			[]string{"bank", "emulate", "--addr", "127.0.0.1:0", "--keys", keys, "--log-level", "warn"})
	}()
	defer func() {
		cancel()
		if status := <-done; status != 0 {
			t.Errorf("ended with %d: %s", status, said.String())
		}
	}()
	at := regexp.MustCompile(`runs at http://(\S+)\. `)
	var line []string
	for range 200 {
		if line = at.FindStringSubmatch(said.String()); line != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if line == nil {
		t.Fatalf("did not start: %s", said.String())
	}
	r := startSystem(t, filepath.Join(t.TempDir(), "data"), "--payment-provider", "http://"+line[1], "--payment-keys", keys)
	if strings.Contains(r.said.String(), "bank  ") {
		t.Error("a local provider runs beside another")
	}
	status, opened := r.order(r.operator+"/v1/accounts", r.operatorKey, "a", `{"kind":"individual","name":"Chan","email":"chan@example.hk","language":"en"}`)
	if status != http.StatusCreated {
		t.Fatal(status, opened)
	}
	status, made := r.order(fmt.Sprintf("%s/v1/accounts/%s/top-ups", r.operator, opened["id"]), r.operatorKey, "t",
		`{"amount":"25.00","token":"tok_demo_declined","reason":"at the counter"}`)
	if status != http.StatusCreated {
		t.Fatal(status, made)
	}
	r.becomes(r.operator+"/v1/payments/"+made["id"].(string), r.operatorKey, `"reason":"insufficient-funds"`)
}

func TestPaymentFlags(t *testing.T) {
	for _, one := range []struct {
		args []string
		says string
	}{
		{[]string{"run", "--payment-provider", "http://x"}, "--payment-keys"},
		{[]string{"run", "--fps-id", "12"}, "--fps-id"},
		{[]string{"bank", "emulate"}, "--keys"},
		{[]string{"bank", "x"}, "unexpected"},
	} {
		var said bytes.Buffer
		status := app.Main(t.Context(), app.Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &said, Clock: clock.System{}}, one.args)
		if status != 2 || !strings.Contains(said.String(), one.says) {
			t.Errorf("%v: %d %s", one.args, status, said.String())
		}
	}
}
