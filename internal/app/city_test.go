package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
)

// A driver asks on the motorists' address, a round in the background sends him
// to the cheapest fitting car park of the samples, a place is held there, and
// after a second start everything stands as it was; then the car comes.
func TestRunCity(t *testing.T) {
	dir := t.TempDir()
	r := startSystem(t, dir, "--city-round", "200ms")
	body := fmt.Sprintf(`{"destination":{"latitude":22.2865,"longitude":114.1535},"vehicle":{"plate":"CITY 1","class":"private_car"},"stay_minutes":60,"arrives_at":%q,"most_price":"100.00"}`,
		clock.System{}.Now().Add(10*time.Minute).Format(time.RFC3339))
	ask := func(method, path, body, key string) (int, string) {
		request, err := http.NewRequest(method, "http://"+r.portal+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if method == http.MethodPost {
			request.Header.Set("Idempotency-Key", `"`+key+`"`)
			request.Header.Set("Content-Type", "application/json")
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode, mustRead(t, response.Body)
	}
	type space struct {
		ID, State, Promise, Reservation, Why string
		Place                                struct {
			CarPark string
			Price   string `json:"expected_price"`
		}
	}
	var asked, seen space
	status, text := ask(http.MethodPost, "/v1/space-requests", body, "a")
	if err := json.Unmarshal([]byte(text), &asked); err != nil || status != http.StatusCreated || asked.State != "waiting" {
		t.Fatalf("%d %s", status, text)
	}
	path := "/v1/space-requests/" + asked.ID
	r.until("a round has sent the driver somewhere", func() bool {
		status, text = ask(http.MethodGet, path, "", "")
		return status == http.StatusOK && json.Unmarshal([]byte(text), &seen) == nil && seen.State == "assigned"
	})
	if seen.Place.CarPark != "tdcp2" || seen.Promise != "held" || seen.Reservation == "" || seen.Place.Price == "0.00" {
		t.Errorf("%s", text)
	}
	if status, text := ask(http.MethodHead, path, "", ""); status != http.StatusOK || text != "" {
		t.Errorf("HEAD: %d %q", status, text)
	}
	if status := r.stop(); status != 0 {
		t.Errorf("stopped with %d", status)
	}

	r = startSystem(t, dir, "--city-round", "200ms")
	again := space{}
	if status, text := ask(http.MethodGet, path, "", ""); status != http.StatusOK || json.Unmarshal([]byte(text), &again) != nil || again.Reservation != seen.Reservation {
		t.Errorf("after a second start: %d %s", status, text)
	}
	if status, text := r.call(http.MethodGet, r.operator+"/v1/carparks/tdcp2/space-requests", r.operatorKey, "", ""); status != http.StatusOK || !strings.Contains(text, `"held":1`) {
		t.Errorf("%d %s", status, text)
	}
	if status, text := r.post("/v1/carparks/tdcp2/allocations", `{"vehicle":{"plate":"CITY-1","class":"private_car"}}`); status != http.StatusCreated || !strings.Contains(text, seen.Reservation) {
		t.Errorf("at the gate: %d %s", status, text)
	}
	r.until("the request has arrived", func() bool {
		_, text = ask(http.MethodGet, path, "", "")
		return strings.Contains(text, `"state":"arrived"`)
	})
	if status, text := r.call(http.MethodGet, r.operator+"/v1/space-rounds?limit=5", r.operatorKey, "", ""); status != http.StatusOK || !strings.Contains(text, `"kept":1`) && !strings.Contains(text, `"ended":1`) {
		t.Errorf("%d %s", status, text)
	}
	if status := r.stop(); status != 0 {
		t.Errorf("stopped with %d", status)
	}
	if got := run(t, "", "run", "--data", dir, "--city-round", "2h"); got.status != 2 || !strings.Contains(got.stderr, "--city-round") {
		t.Errorf("%+v", got)
	}
}
