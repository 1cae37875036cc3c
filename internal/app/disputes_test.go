package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/internal/app"
	"freeflow/internal/clock"
)

// TestRunDisputes: a charged pass is disputed, its reads are the evidence, a
// person rules, and the ruling stands when late reads come that leave what the
// person saw.
func TestRunDisputes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := startSystem(t, dir)
	key, err := os.ReadFile(people(t, dir, "ada")["ada"])
	if err != nil {
		t.Fatal(err)
	}
	person := strings.TrimSpace(string(key))
	if status, answer := r.call(http.MethodPut, r.operator+"/v1/registry", r.operatorKey, "text/csv", someRegistry); status != http.StatusOK {
		t.Fatalf("registry: %d %s", status, answer)
	}
	read := func(seq, time string) {
		t.Helper()
		text := `{"unit":"ABT-N-1","seq":` + seq + `,"time":"` + time + `","plate":"AB1234","plate_confidence":0.97,"antenna":3,"rssi":-51.5,"image":"img/` + seq + `"}`
		if status, answer := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/x-ndjson", text); status != http.StatusAccepted {
			t.Fatalf("read: %d %s", status, answer)
		}
	}
	read("7", "2026-03-07T10:00:00.1+08:00")
	charged := "2026-03-07T10:00:00.100000+08:00,ABT-N,AB1234,A1,private_car,8.00,HKD,charged\n"
	r.charges(header + "\n" + charged)
	var passes struct{ Items []struct{ ID string } }
	_, answer := r.call(http.MethodGet, r.operator+"/v1/charges", r.operatorKey, "application/json", "")
	if err := json.Unmarshal([]byte(answer), &passes); err != nil || len(passes.Items) != 1 {
		t.Fatalf("%v %s", err, answer)
	}
	pass := passes.Items[0].ID
	status, opened := r.order(r.operator+"/v1/disputes", r.operatorKey, "d1", `{"charge":"pass:`+pass+`","reason":"was-not-there","note":"by telephone"}`)
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, opened)
	}
	dispute := r.operator + "/v1/disputes/" + opened["reference"].(string)
	for _, part := range []string{`"seq":7`, `"antenna":3`, `"rssi":-51.5`, `"image":"img/7"`, `"confidence":0.97`, `"tariff_version"`, `"intact":true`, `"account":"operator:ABT"`} {
		r.becomes(dispute, r.operatorKey, part)
	}
	const ruling = `{"outcome":"upheld","code":"vehicle-was-elsewhere","words":"you were not there","act":"exempt"}`
	if status, answer := r.order(dispute+"/ruling", r.operatorKey, "r1", ruling); status != http.StatusForbidden {
		t.Errorf("under a shared key: %d %v", status, answer)
	}
	if status, answer := r.order(dispute+"/ruling", person, "r2", ruling); status != http.StatusOK || answer["state"] != "upheld" {
		t.Fatalf("%d %v", status, answer)
	}
	exempt := strings.Replace(charged, "8.00,HKD,charged", "0.00,HKD,exempt", 1)
	r.charges(header + "\n" + exempt)
	// A late read that leaves the minute changes nothing that a person saw; one
	// that moves the pass into another minute reopens it.
	read("8", "2026-03-07T10:00:05+08:00")
	r.becomes(r.operator+"/v1/passes/"+pass, r.operatorKey, `"seq":8`)
	r.charges(header + "\n" + exempt)
	read("6", "2026-03-07T09:59:50+08:00")
	r.charges(header + "\n" + "2026-03-07T09:59:50.000000+08:00,ABT-N,AB1234,A1,private_car,,HKD,review\n")
	if status := r.stop(); status != 0 {
		t.Errorf("ended with %d", status)
	}
	if v := run(t, "", "verify", "--data", dir, "--json"); v.status != 0 || !strings.Contains(v.stdout, `"rulings-stand-in-the-books"`) {
		t.Errorf("verify: %d %s %s", v.status, v.stdout, v.stderr)
	}
}

// header is the first line of charges.csv.
var header, _, _ = strings.Cut(chargesOf, "\n")

func TestDisputeFlags(t *testing.T) {
	for _, flag := range []string{"--dispute-approve-above", "--duplicate-refund", "--duplicate-refund-day"} {
		for _, value := range []string{"x", "-1.00", "1.234"} {
			var said bytes.Buffer
			status := app.Main(t.Context(), app.Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &said, Clock: clock.System{}}, []string{"run", flag + "=" + value})
			if status != 2 || !strings.Contains(said.String(), flag) {
				t.Errorf("%s %s: %d %s", flag, value, status, said.String())
			}
		}
	}
}

// TestRunDisputeRefund: what came back goes on to the card that it came from.
func TestRunDisputeRefund(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := startSystem(t, dir)
	key, err := os.ReadFile(people(t, dir, "ada")["ada"])
	if err != nil {
		t.Fatal(err)
	}
	status, opened := r.order(r.operator+"/v1/accounts", r.operatorKey, "a", `{"kind":"individual","name":"Chan","email":"chan@example.hk","language":"en"}`)
	if status != http.StatusCreated {
		t.Fatal(status, opened)
	}
	account := opened["id"].(string)
	began := clock.System{}.Now()
	for path, body := range map[string]string{
		"vehicles": `{"plate":"RF1234","class":"private_car"}`, "top-ups": `{"amount":"25.00","token":"tok_demo_bank","reason":"at the counter"}`,
	} {
		if status, answer := r.order(r.operator+"/v1/accounts/"+account+"/"+path, r.operatorKey, path, body); status != http.StatusCreated {
			t.Fatal(status, answer)
		}
	}
	r.becomes(r.operator+"/v1/payments?account="+account, r.operatorKey, `"state":"succeeded"`)
	when := began.Add(2 * time.Second).UTC().Format(time.RFC3339Nano)
	// The vehicle is the account's for those reads that come a second later.
	r.becomes(r.operator+"/v1/registry?source=accounts", r.operatorKey, "RF1234")
	text := `{"unit":"ABT-N-1","seq":7,"time":"` + when + `","plate":"RF1234","plate_confidence":0.97}`
	if status, answer := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/x-ndjson", text); status != http.StatusAccepted {
		t.Fatalf("read: %d %s", status, answer)
	}
	r.becomes(r.operator+"/v1/charges", r.operatorKey, account)
	var passes struct{ Items []struct{ ID string } }
	_, answer := r.call(http.MethodGet, r.operator+"/v1/charges", r.operatorKey, "application/json", "")
	if err := json.Unmarshal([]byte(answer), &passes); err != nil || len(passes.Items) != 1 {
		t.Fatalf("%v %s", err, answer)
	}
	// Opened before the wallet has paid, it is withdrawn and opened again.
	dispute := ""
	for n := 0; n < 20 && dispute == ""; n++ {
		status, opened := r.order(r.operator+"/v1/disputes", r.operatorKey, fmt.Sprint("d", n), `{"charge":"pass:`+passes.Items[0].ID+`","reason":"was-not-there","refund":true}`)
		if status != http.StatusCreated {
			t.Fatal(status, opened)
		}
		address := r.operator + "/v1/disputes/" + opened["reference"].(string)
		r.becomes(address, r.operatorKey, `"collections":[`)
		if _, seen := r.call(http.MethodGet, address, r.operatorKey, "", ""); strings.Contains(seen, `"holder":"`+account) {
			dispute = address
		} else if status, answer := r.order(address+"/withdrawal", r.operatorKey, fmt.Sprint("w", n), `{"reason":"too early"}`); status != http.StatusOK {
			t.Fatal(status, answer)
		}
	}
	if status, answer := r.order(dispute+"/ruling", strings.TrimSpace(string(key)), "r", `{"outcome":"upheld","code":"vehicle-was-elsewhere","words":"you were not there","act":"exempt"}`); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	r.becomes(dispute, r.operatorKey, `"refund":"ordered"`)
	r.becomes(r.operator+"/v1/payments?account="+account, r.operatorKey, `"kind":"refund"`)
	if status := r.stop(); status != 0 {
		t.Errorf("ended with %d", status)
	}
	if v := run(t, "", "verify", "--data", dir); v.status != 0 {
		t.Errorf("verify: %d %s %s", v.status, v.stdout, v.stderr)
	}
}
