package operator

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freeflow/internal/web"
	"freeflow/parking/tariff"
)

// central is near Rumsey Street's car park.
const central = `"destination":{"latitude":22.2865,"longitude":114.1535}`

// seeking is a driver's request with more members.
func seekingBody(plate, more string) string {
	return fmt.Sprintf(`{%s,"vehicle":{"plate":%q,"class":"private_car","height_mm":1500},"stay_minutes":90,"most_price":"80.00"%s}`, central, plate, more)
}

// round holds the round that is due.
func (s *tester) round() {
	s.Helper()
	s.clock.Advance(5 * time.Second)
	if _, held, err := s.finder.Round(s.Context()); err != nil || !held {
		s.Fatalf("no round: %t, %v", held, err)
	}
}

func TestSpaceJourney(t *testing.T) {
	s := newTester(t)
	made := s.stranger("POST", "/v1/space-requests", seekingBody("SP 1", ""), "Idempotency-Key", `"one"`)
	asked := decode[spaceForm](s, made, 201)
	if asked.State != "waiting" || asked.NextRoundAt == nil || len(asked.ID) != 32 || made.Header().Get("Location") != "/v1/space-requests/"+asked.ID {
		t.Fatalf("%s", made.Body)
	}
	again := s.stranger("POST", "/v1/space-requests", seekingBody("SP 1", ""), "Idempotency-Key", `"one"`)
	if again.Body.String() != made.Body.String() || again.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("repeated: %d %s", again.Code, again.Body)
	}
	s.refused(s.stranger("POST", "/v1/space-requests", seekingBody("SP2", ""), "Idempotency-Key", `"one"`), 422, "idempotency-key-reused", "")
	s.round()
	w := s.stranger("GET", "/v1/space-requests/"+asked.ID, "")
	there := decode[spaceForm](s, w, 200)
	if there.State != "assigned" || there.Place.CarPark != rumsey || there.Promise != promiseHeld || there.Reservation == "" || there.HeldUntil == nil || there.Place.Currency != "HKD" {
		t.Fatalf("%s", w.Body)
	}
	for _, word := range []string{"SP1", "22.2865", "114.1535", "plate"} {
		if strings.Contains(w.Body.String()+made.Body.String(), word) {
			t.Errorf("%s is told: %s", word, w.Body)
		}
	}
	// The price is the tariff's own.
	from := s.clock.Now().Truncate(time.Second)
	quote := decode[quoteForm](s, s.stranger("GET", fmt.Sprintf("/v1/carparks/%s/quote?class=private_car&from=%s&to=%s", rumsey, now.Format(time.RFC3339), now.Add(90*time.Minute).Format(time.RFC3339)), ""), 200)
	if quote.Amount != there.Place.ExpectedPrice {
		t.Errorf("expected %s, quoted %s from %s", there.Place.ExpectedPrice, quote.Amount, from)
	}
	if w := s.stranger("GET", "/v1/space-requests/"+asked.ID, "", "If-None-Match", w.Header().Get("ETag")); w.Code != 304 {
		t.Errorf("%d", w.Code)
	}
	if w := s.stranger("HEAD", "/v1/space-requests/"+asked.ID, ""); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
	list := s.get("/v1/carparks/" + rumsey + "/space-requests")
	var shown struct {
		UnderWay int `json:"under_way"`
		Held     int
		Items    []spaceThereForm
	}
	if err := json.Unmarshal(list.Body.Bytes(), &shown); err != nil || shown.UnderWay != 1 || shown.Held != 1 || shown.Items[0].Vehicle.Plate != "SP1" {
		t.Errorf("%v %s", err, list.Body)
	}
	if w := s.get("/v1/space-rounds?limit=1"); w.Code != 200 || !strings.Contains(w.Body.String(), `"assigned":1`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// At the gate the plate is enough for the place that is held.
	car := decode[allocationForm](s, s.post("/v1/carparks/"+rumsey+"/allocations", `{"vehicle":{"plate":"SP-1","class":"private_car"}}`), 201)
	if !strings.HasPrefix(car.Bay, "1B-") || car.Reservation != there.Reservation {
		t.Errorf("%+v", car)
	}
	s.round()
	if end := decode[spaceForm](s, s.stranger("GET", "/v1/space-requests/"+asked.ID, ""), 200); end.State != "arrived" || end.ForgottenAt == nil || end.NextRoundAt != nil {
		t.Errorf("%+v", end)
	}
	s.refused(s.stranger("POST", "/v1/space-requests/"+asked.ID+"/withdraw", ""), 409, "state", "")
	if text := s.logs.String(); strings.Contains(text, "SP1") || strings.Contains(text, "SP 1") || strings.Contains(text, "22.28") {
		t.Errorf("the log tells of the driver: %s", text)
	}
}

func TestSpaceWithdrawal(t *testing.T) {
	s := newTester(t)
	asked := decode[spaceForm](s, s.stranger("POST", "/v1/space-requests", seekingBody("SP1", "")), 201)
	s.round()
	held := decode[spaceForm](s, s.stranger("GET", "/v1/space-requests/"+asked.ID, ""), 200)
	for range 2 {
		if end := decode[spaceForm](s, s.stranger("POST", "/v1/space-requests/"+asked.ID+"/withdraw", ""), 200); end.State != "withdrawn" {
			t.Errorf("%+v", end)
		}
	}
	if r := decode[reservationForm](s, s.get("/v1/reservations/"+held.Reservation), 200); r.State != "cancelled" {
		t.Errorf("%+v", r)
	}
	s.refused(s.stranger("GET", "/v1/space-requests/none", ""), 404, "not-found", "")
	s.refused(s.stranger("POST", "/v1/space-requests/none/withdraw", ""), 404, "not-found", "")
}

func TestSpaceRefusals(t *testing.T) {
	s := newTester(t)
	body := seekingBody("SP1", "")
	for _, one := range []struct{ body, slug, at string }{
		{`{"vehicle":{"class":"private_car"},"stay_minutes":1,"most_price":"1.00"}`, "bad-field", "/destination/latitude"},
		{strings.Replace(body, "22.2865", "91", 1), "bad-field", "/destination/latitude"},
		{strings.Replace(body, "114.1535", "-181", 1), "bad-field", "/destination/longitude"},
		{strings.Replace(body, "private_car", "", 1), "bad-field", "/vehicle/class"},
		{strings.Replace(body, `"stay_minutes":90`, `"stay_minutes":0`, 1), "bad-field", "/stay_minutes"},
		{strings.Replace(body, `"80.00"`, `"eighty"`, 1), "bad-field", "/most_price"},
		{strings.Replace(body, `"80.00"`, `"-1.00"`, 1), "bad-field", "/most_price"},
		{strings.Replace(body, `,"most_price":"80.00"`, "", 1), "bad-field", "/most_price"},
		{seekingBody("SP1", `,"most_walk_metres":-1`), "bad-field", "/most_walk_metres"},
		{seekingBody("SP1", `,"price_weight":1001`), "bad-field", "/price_weight"},
		{seekingBody("SP1", `,"arrives_at":"soon"`), "bad-field", "/arrives_at"},
		{seekingBody("SP1", `,"arrives_at":"2026-11-24T09:00:00+08:00"`), "bad-field", "/arrives_at"},
		{seekingBody("SP1", `,"arrives_at":"2026-11-24T23:00:00+08:00"`), "bad-field", "/arrives_at"},
		{seekingBody("SP1", `,"state":"assigned"`), "bad-field", "/state"},
		{strings.Replace(body, `"plate":"SP1"`, `"tag":"AB"`, 1), "bad-field", "/vehicle/tag"},
	} {
		s.refused(s.stranger("POST", "/v1/space-requests", one.body), 422, one.slug, one.at)
	}
	s.refused(s.stranger("POST", "/v1/space-requests", "{"), 400, "bad-json", "")
	s.refused(s.stranger("POST", "/v1/space-requests", body, "Idempotency-Key", ""), 400, "idempotency-key-missing", "")
	// One address has only so many under way.
	var last *httptest.ResponseRecorder
	for n := range mostHeld + 1 {
		last = s.stranger("POST", "/v1/space-requests", seekingBody(fmt.Sprint("MA", n), ""), "From-Address", "192.0.2.9:1")
	}
	s.refused(last, 429, "too-many-requests", "")
	if p := decode[web.Problem](s, last, 429); !strings.Contains(p.Detail, "requests for a space") {
		t.Errorf("%s", last.Body)
	}
	if w := s.stranger("POST", "/v1/space-requests", seekingBody("OT1", ""), "From-Address", "192.0.2.10:1"); w.Code != 201 {
		t.Errorf("another address: %d %s", w.Code, w.Body)
	}
}

// What is told of errors is a sentence for the asker, not for the maker.
func TestWordsOfErrors(t *testing.T) {
	s := newTester(t)
	for _, one := range []struct{ target, says string }{
		{"/v1/allocations/nope", "there is no allocation"},
		{"/v1/reservations/nope", "there is no reservation"},
		{"/v1/stays/nope", "there is no stay"},
	} {
		w := s.get(one.target)
		p := decode[web.Problem](s, w, 404)
		if !strings.HasPrefix(p.Detail, one.says) || strings.Contains(p.Detail, "reading") || strings.Contains(p.Detail, ": ") {
			t.Errorf("%s: %q", one.target, p.Detail)
		}
	}
	alarm := decode[web.Problem](s, s.post("/v1/parking-alarms/nope/clear", `{"by":"x","note":"y"}`), 404)
	if alarm.Detail != "there is no alarm nope" {
		t.Errorf("%q", alarm.Detail)
	}
	said, ok := noPrice(fmt.Errorf("pricing: %w", &tariff.NoHolidaysError{Year: 2031}))
	if !ok || said.Status != 422 || strings.Contains(said.Detail, "calendar") || !strings.Contains(said.Detail, "2031") {
		t.Errorf("%+v", said)
	}
	delete(s.sites.books, s.sites.parks[rumsey].Tariff)
	w := s.stranger("GET", "/v1/carparks/"+rumsey+"/quote?class=private_car&from=2026-11-24T08:00:00%2B08:00&to=2026-11-24T10:00:00%2B08:00", "")
	s.refused(w, 422, "no-price", "")
	s.refused(s.stranger("POST", "/v1/carparks/"+rumsey+"/quotes", `{"class":"private_car","from":"2026-11-24T08:00:00+08:00","to":"2026-11-24T10:00:00+08:00"}`), 422, "no-price", "")
}

// Whatever is wrong with a site file is told in its own words.
func TestWordsOfSiteFiles(t *testing.T) {
	s := newTester(t)
	d := s.sites.files[rumsey]
	for _, change := range [][2]string{
		{`"zone": "Asia/Hong_Kong"`, `"zone": 7`},
		{`"zone": "Asia/Hong_Kong"`, `"zone": "Asia/Hong_Kong", "zone": "x"`},
		{`"count": 148`, `"count": "many"`},
		{`"count": 148`, `"count": 1e99`},
		{`"count": 148`, `"count": 1.5`},
		{`"count": 148`, `"number": 148`},
		{`"hold_seconds": 300`, `"hold_seconds": []`},
	} {
		text := strings.Replace(string(d.Document), change[0], change[1], 1)
		if text == string(d.Document) {
			t.Fatalf("%s is not in the sample", change[0])
		}
		s.wordsOfSite(text, change[1])
	}
	for _, text := range []string{"", "null", "[]", "7", `"x"`, "{", "{}", `{"bays":{}}`, `{"published":{"latitude":"north"}}`, "\xff"} {
		s.wordsOfSite(text, text)
	}
}

func (s *tester) wordsOfSite(text, what string) {
	s.Helper()
	w := s.ask(s.staff, "PUT", "/v1/carparks/"+rumsey, text)
	if w.Code != 422 && w.Code != 400 {
		s.Errorf("%s: %d", what, w.Code)
	}
	for _, word := range []string{"Go ", "int64", "json:", "jsontext", "struct", "strconv", "unmarshal", "parking."} {
		if strings.Contains(w.Body.String(), word) {
			s.Errorf("%s: tells %q: %s", what, word, w.Body)
		}
	}
}
