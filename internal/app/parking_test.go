package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking/sites"
	"freeflow/parking/tariff"
)

// post sends a request with an idempotency key of its own.
func (r *running) post(path, body string) (int, string) {
	r.t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+r.operator+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.operatorKey)
	request.Header.Set("Idempotency-Key", fmt.Sprintf("%q", r.t.Name()+path+body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode, mustRead(r.t, response.Body)
}

func mustRead(t *testing.T, from io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// until waits for what the system does by itself.
func (r *running) until(what string, done func() bool) {
	r.t.Helper()
	for range 200 {
		if done() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.t.Fatalf("waited in vain until %s", what)
}

// The whole way: a tag read at the lanes of a car park goes through gateway,
// log and cashier to the account's ledger; a bay in a rack is given, asked for
// and given back; open data counts it; a second start finds all of it.
func TestRunCarParks(t *testing.T) {
	dir := t.TempDir()
	r := startSystem(t, dir)
	if status, body := r.call(http.MethodPut, r.operator+"/v1/registry", r.operatorKey, "text/csv",
		"account,plate,class,tag,from,to,exempt\nacc-1,PARK01,private_car,E280AA01,2026-01-01T00:00:00+08:00,,\n"); status != http.StatusOK {
		t.Fatalf("registry: %d %s", status, body)
	}
	now := clock.System{}.Now()
	reads := func(unit string, ago time.Duration) string {
		return fmt.Sprintf(`[{"unit":%q,"seq":1,"time":%q,"tag":"e280aa01"}]`, unit, now.Add(-ago).Format(time.RFC3339))
	}
	for unit, ago := range map[string]time.Duration{"RST-IN-1": 50 * time.Minute, "RST-OUT-1": 10 * time.Minute} {
		if status, body := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/json", reads(unit, ago)); status != http.StatusAccepted || !strings.Contains(body, `"accepted":1`) {
			t.Fatalf("%s: %d %s", unit, status, body)
		}
	}
	var stays struct {
		Items []struct{ State, Account, Means, Amount string }
	}
	r.until("the stay is closed", func() bool {
		_, body := r.call(http.MethodGet, r.operator+"/v1/carparks/tdcp2/stays?vehicle=PARK01", r.operatorKey, "", "")
		return json.Unmarshal([]byte(body), &stays) == nil && len(stays.Items) == 1 && stays.Items[0].State == "closed"
	})
	if s := stays.Items[0]; s.Account != "acc-1" || s.Means != "account" || s.Amount == "0.00" {
		t.Errorf("%+v", s)
	}

	car := `{"vehicle":{"plate":"RACK 01","class":"private_car","length_mm":4500,"width_mm":1800,"height_mm":1500,"weight_kg":1500}}`
	status, body := r.post("/v1/carparks/tdstt46/allocations", car)
	var given struct{ ID, Bay string }
	if err := json.Unmarshal([]byte(body), &given); err != nil || status != http.StatusCreated {
		t.Fatalf("allocation: %d %s", status, body)
	}
	if again, same := r.post("/v1/carparks/tdstt46/allocations", car); again != http.StatusCreated || same != body {
		t.Errorf("repeated: %d %s", again, same)
	}
	r.until("open data counts the bay", func() bool {
		_, body := r.call(http.MethodGet, r.portal+"/v1/carpark-info-vacancy?data=vacancy&carparkIds=tdstt46", "", "", "")
		return strings.Contains(body, `"vacancy":77`)
	})
	if status, body := r.call(http.MethodGet, r.portal+"/v1/carparks/tdstt46/quote?class=private_car&from=2026-11-23T08:00:00%2B08:00&to=2026-11-23T10:10:00%2B08:00", "", "", ""); status != http.StatusOK || !strings.Contains(body, `"amount":"72.00"`) {
		t.Errorf("quote: %d %s", status, body)
	}
	if status := r.stop(); status != 0 {
		t.Errorf("stopped with %d", status)
	}

	r = startSystem(t, dir)
	if status, body := r.call(http.MethodGet, r.operator+"/v1/allocations/"+given.ID, r.operatorKey, "", ""); status != http.StatusOK || !strings.Contains(body, given.Bay) {
		t.Errorf("after a second start: %d %s", status, body)
	}
	for _, step := range []struct {
		path string
		want int
	}{{"/retrieval", http.StatusAccepted}, {"/release", http.StatusOK}} {
		if status, body := r.post("/v1/allocations/"+given.ID+step.path, ""); status != step.want {
			t.Errorf("%s: %d %s", step.path, status, body)
		}
	}
	r.site()
	if status := r.stop(); status != 0 {
		t.Errorf("stopped with %d", status)
	}
	if got := run(t, "", "verify", "--data", dir); got.status != 0 || !strings.Contains(got.stdout, "parking-bays-hold-one") {
		t.Errorf("verify: %+v", got)
	}
	if got := run(t, "", "parking", "dry-run", "--data", dir, "--carpark", "tdcp2", "--tariff", "rumsey-street",
		"--from", now.Add(-24*time.Hour).Format(time.RFC3339), "--to", now.Add(time.Hour).Format(time.RFC3339)); got.status != 0 || !strings.Contains(got.stdout, "the same  1") {
		t.Errorf("dry run: %+v", got)
	}
}

// site puts a car park, changes it, and meets the refusals.
func (r *running) site() {
	r.t.Helper()
	_, text, err := sites.Sample("tung-chau-street")
	if err != nil {
		r.t.Fatal(err)
	}
	mine := strings.NewReplacer(`"tdstt90"`, `"mine"`, `"TCS"`, `"MIN"`, "TCS-", "MIN-").Replace(string(text))
	put := func(id, body, match string) (int, string) {
		request, err := http.NewRequest(http.MethodPut, "http://"+r.operator+"/v1/carparks/"+id, strings.NewReader(body))
		if err != nil {
			r.t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+r.operatorKey)
		request.Header.Set("Content-Type", "application/json")
		if match != "" {
			request.Header.Set("If-Match", match)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			r.t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode, mustRead(r.t, response.Body)
	}
	for _, one := range []struct {
		name, id, body, match string
		want                  int
	}{
		{"a new one", "mine", mine, "", http.StatusCreated},
		{"another version than believed", "mine", mine, `"7"`, http.StatusPreconditionFailed},
		{"a change", "mine", mine, `"1"`, http.StatusOK},
		{"the id of another", "theirs", mine, "", http.StatusUnprocessableEntity},
		{"the code of another", "tdstt90", strings.ReplaceAll(string(text), "TCS", "HSR"), "", http.StatusUnprocessableEntity},
		{"the code of a toll facility", "tolls", strings.NewReplacer(`"mine"`, `"tolls"`, `"MIN"`, `"CHT"`, "MIN-", "CHT-").Replace(mine), "", http.StatusUnprocessableEntity},
		{"a tariff that is not", "mine", strings.Replace(mine, `"tariff": "tung-chau-street"`, `"tariff": "none"`, 1), "", http.StatusUnprocessableEntity},
	} {
		if status, body := put(one.id, one.body, one.match); status != one.want {
			r.t.Errorf("%s: %d %s", one.name, status, body)
		}
	}
	// Its lanes are units of the roadside at once.
	status, body := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/json",
		`[{"unit":"MIN-IN-1","seq":1,"time":"2026-11-20T08:00:00+08:00","tag":"AA"},{"unit":"NOT-IN-1","seq":1,"time":"2026-11-20T08:00:00+08:00","tag":"AA"}]`)
	if status != http.StatusAccepted || !strings.Contains(body, `"accepted":1`) || !strings.Contains(body, `"index":1`) {
		r.t.Errorf("lanes of the new site: %d %s", status, body)
	}
}

// A car park whose tariff this process was not given is out of force and said
// to be; the others go on, and so does the start.
func TestRunWithoutATariff(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	text := mustTariff(t, "tung-chau-street")
	if err := os.WriteFile(filepath.Join(folder, "own.json"), []byte(strings.Replace(text, `"id": "tung-chau-street"`, `"id": "own"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := startSystem(t, dir, "--parking-tariffs", folder)
	_, site, err := sites.Sample("tung-chau-street")
	if err != nil {
		t.Fatal(err)
	}
	mine := strings.NewReplacer(`"tdstt90"`, `"mine"`, `"TCS"`, `"MIN"`, "TCS-", "MIN-", `"tariff": "tung-chau-street"`, `"tariff": "own"`).Replace(string(site))
	request, err := http.NewRequest(http.MethodPut, "http://"+r.operator+"/v1/carparks/mine", strings.NewReader(mine))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.operatorKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", response.StatusCode, mustRead(t, response.Body))
	}
	r.stop()
	if got := run(t, "", "parking", "dry-run", "--data", dir, "--parking-tariffs", folder, "--carpark", "mine", "--tariff", "hoi-shing-road"); got.status != 0 {
		t.Errorf("dry run with the folder: %+v", got)
	}
	r = startSystem(t, dir)
	if status, _ := r.call(http.MethodGet, r.operator+"/v1/carparks/mine", r.operatorKey, "", ""); status != http.StatusNotFound {
		t.Errorf("without its tariff the car park answers %d", status)
	}
	if status, _ := r.call(http.MethodGet, r.operator+"/v1/carparks/tdstt46", r.operatorKey, "", ""); status != http.StatusOK {
		t.Errorf("another car park answers %d", status)
	}
	if _, body := r.call(http.MethodGet, r.admin+"/readyz", "", "", ""); !strings.Contains(body, "car parks' definitions") {
		t.Errorf("health does not say so: %s", body)
	}
}

// mustTariff is the text of a sample tariff.
func mustTariff(t *testing.T, name string) string {
	t.Helper()
	sample, err := tariff.Sample(name)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := sample.Write(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestParkingCommands(t *testing.T) {
	for _, one := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"nothing", []string{"parking"}, 2, "name what to do"},
		{"unknown", []string{"parking", "fly"}, 2, "there is no command"},
		{"no site", []string{"parking", "simulate"}, 2, "--site is missing"},
		{"unknown site", []string{"parking", "simulate", "--site", "nowhere"}, 1, "hoi-shing-road"},
		{"unknown policy", []string{"parking", "simulate", "--site", "hoi-shing-road", "--policy", "best"}, 2, "nearest"},
		{"bad seeds", []string{"parking", "simulate", "--site", "hoi-shing-road", "--seeds", "5-1"}, 2, "range"},
		{"too much load", []string{"parking", "simulate", "--site", "hoi-shing-road", "--load", "900"}, 2, "--load"},
		{"a day", []string{"parking", "simulate", "--site", "hoi-shing-road", "--warmup", "1"}, 0, "synthetic"},
		{"inferred says so", []string{"parking", "simulate", "--site", "tung-chau-street", "--demand", "inferred", "--warmup", "1"}, 0, "inferred, not observed"},
		{"two policies", []string{"parking", "simulate", "--site", "hoi-shing-road", "--warmup", "1", "--policy", "freeflow,random"}, 0, "random"},
		{"as JSON", []string{"parking", "simulate", "--site", "hoi-shing-road", "--warmup", "1", "--json"}, 0, `"p95"`},
		{"city, bad load", []string{"parking", "city", "--loads", "0"}, 2, "--loads"},
		{"site", []string{"parking", "site", "hoi-shing-road"}, 0, "78"},
		{"site file that is not", []string{"parking", "site", "./none.json"}, 1, "none.json"},
		{"tariff", []string{"parking", "tariff", "check", "rumsey-street"}, 0, "rumsey-street"},
		{"tariff of what", []string{"parking", "tariff"}, 2, "tariff check"},
		{"quote", []string{"parking", "quote", "--tariff", "hoi-shing-road", "--class", "private_car", "--from", "2026-03-06T09:00:00+08:00", "--to", "2026-03-06T11:00:01+08:00"}, 0, "72.00"},
		{"quote, bad time", []string{"parking", "quote", "--tariff", "hoi-shing-road", "--class", "private_car", "--from", "now", "--to", "later"}, 2, "--from"},
		{"quote, unknown class", []string{"parking", "quote", "--tariff", "hoi-shing-road", "--class", "tank", "--from", "2026-03-06T09:00:00+08:00", "--to", "2026-03-06T11:00:00+08:00"}, 1, "private_car"},
		{"dry run of nothing", []string{"parking", "dry-run"}, 2, "--carpark"},
		{"dry run without books", []string{"parking", "dry-run", "--data", t.TempDir(), "--carpark", "x", "--tariff", "rumsey-street"}, 1, "migrate"},
	} {
		got := run(t, "", one.args...)
		if got.status != one.status || !strings.Contains(got.stdout+got.stderr, one.says) {
			t.Errorf("%s: status %d, want %d saying %q:\n%s%s", one.name, got.status, one.status, one.says, got.stdout, got.stderr)
		}
		if one.status != 0 && got.stdout != "" {
			t.Errorf("%s: a failure wrote data: %s", one.name, got.stdout)
		}
	}
}
