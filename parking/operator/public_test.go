package operator

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
	"freeflow/parking"
)

func (s *tester) stranger(method, target, body string, header ...string) *httptest.ResponseRecorder {
	s.Helper()
	return s.ask(s.public, method, target, body, header...)
}

// booking is the body of a reservation of the n-th car, from so many hours from
// now on, for two hours.
func booking(n, hours int) string {
	start := now.Add(time.Duration(hours) * time.Hour)
	return fmt.Sprintf(`{"pool":"bookable","vehicle":{"plate":"MT%d","class":"private_car"},"start":%q,"end":%q}`,
		n, start.Format(time.RFC3339), start.Add(2*time.Hour).Format(time.RFC3339))
}

// staffOnly are the members that no motorist may see.
var staffOnly = []string{`"vehicle"`, `"plate"`, `"by"`, `"reason"`, `"stay"`, `"account"`, "HK1", "MT1"}

func TestMotoristsSeeNoMoreThanTheirs(t *testing.T) {
	s := newTester(t)
	g := s.given(rumsey, 1)
	var answers []*httptest.ResponseRecorder
	say := func(w *httptest.ResponseRecorder, status int) *httptest.ResponseRecorder {
		t.Helper()
		if w.Code != status {
			t.Fatalf("%d, want %d: %s", w.Code, status, w.Body)
		}
		answers = append(answers, w)
		return w
	}
	say(s.stranger("GET", "/v1/carparks", ""), 200)
	say(s.stranger("GET", "/v1/carparks/"+rumsey, ""), 200)
	mine := say(s.stranger("GET", "/v1/allocations/"+g.ID, ""), 200)
	if c := mine.Header().Get("Cache-Control"); c != "private, no-cache" {
		t.Errorf("Cache-Control %q", c)
	}
	say(s.stranger("POST", "/v1/allocations/"+g.ID+"/retrieval", "{}"), 202)
	say(s.stranger("POST", "/v1/allocations/"+g.ID+"/retrieval/cancel", "{}"), 200)
	made := say(s.stranger("POST", "/v1/carparks/"+rumsey+"/reservations", booking(1, 1)), 201)
	r := decode[reservationForm](s, made, 201)
	if r.State != "held" || r.ExpiresAt == nil || made.Header().Get("Location") != "/v1/reservations/"+r.ID {
		t.Errorf("%+v", r)
	}
	say(s.stranger("GET", "/v1/reservations/"+r.ID, ""), 200)
	say(s.stranger("POST", "/v1/reservations/"+r.ID+"/confirm", ""), 200)
	say(s.stranger("POST", "/v1/reservations/"+r.ID+"/cancel", "{}"), 200)
	for _, w := range answers {
		for _, word := range staffOnly {
			if strings.Contains(w.Body.String(), word) {
				t.Errorf("%s is told: %s", word, w.Body)
			}
		}
	}
	// Staff sees it all.
	if full := decode[reservationForm](s, s.get("/v1/reservations/"+r.ID), 200); full.Vehicle == nil || full.Vehicle.Plate != "MT1" {
		t.Errorf("%+v", full)
	}
	if full := decode[allocationForm](s, s.get("/v1/allocations/"+g.ID), 200); full.Vehicle == nil || full.Vehicle.Plate != "HK1" {
		t.Errorf("%+v", full)
	}
}

// TestWhatMotoristsCannotDo: the staff's routes are not on the public address,
// nor does the operators' key, or a middleware that names a caller, open them.
func TestWhatMotoristsCannotDo(t *testing.T) {
	s := newTester(t)
	g := s.given(rumsey, 1)
	served := map[string]bool{}
	for _, r := range s.public.Routes() {
		served[r.Method+r.Path] = true
	}
	fill := strings.NewReplacer("/carparks/:id", "/carparks/"+rumsey, ":bay", "1B-001", ":machine", "R1", ":id", g.ID)
	closed := 0
	for _, r := range s.staff.Routes() {
		if served[r.Method+r.Path] || r.Method == echo.RouteNotFound {
			continue
		}
		closed++
		w := s.stranger(r.Method, fill.Replace(r.Path), "{}", "Authorization", "Bearer "+secret)
		if w.Code != 404 && w.Code != 405 {
			t.Errorf("%s %s: %d", r.Method, r.Path, w.Code)
		}
	}
	if closed < 30 {
		t.Errorf("only %d routes are the staff's", closed)
	}
	s.refused(s.stranger("POST", "/v1/carparks/"+rumsey+"/reservations", strings.Replace(booking(1, 1), "{", `{"account":"one",`, 1)), 422, "bad-field", "/account")
	big := `{"not_before":"` + strings.Repeat("x", maxPublicBody) + `"}`
	s.refused(s.stranger("POST", "/v1/allocations/"+g.ID+"/retrieval", big), 413, "too-large", "")

	around := web.NewEcho(s.api.Log, s.clock)
	key, err := web.Bearer(web.Key{Name: "somebody", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	around.Use(key)
	s.api.Public(around)
	r := httptest.NewRequest("GET", "/v1/allocations/"+g.ID, nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	w := httptest.NewRecorder()
	around.ServeHTTP(w, r)
	if w.Code != 200 || strings.Contains(w.Body.String(), "HK1") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestEveryStaffRouteNeedsTheKey(t *testing.T) {
	s := newTester(t)
	for _, r := range s.staff.Routes() {
		if r.Method == echo.RouteNotFound {
			continue
		}
		for _, authorization := range []string{"", "Bearer wrong-key-0123456789", "Basic " + secret} {
			w := s.ask(s.staff, r.Method, strings.NewReplacer(":id", hoiShing, ":bay", "R1-1-1", ":machine", "R1", ":account", "one").Replace(r.Path), "{}", "Authorization", authorization)
			if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s with %q: %d", r.Method, r.Path, authorization, w.Code)
			}
		}
	}
}

// TestDueIsNoOracle: a plate that owes nothing is answered like one that was
// never there, and nobody can go through many.
func TestDueIsNoOracle(t *testing.T) {
	s := newTester(t)
	lane := func(id, unit, plate string) {
		w := s.post("/v1/carparks/"+rumsey+"/lane-events", fmt.Sprintf(`{"events":[{"id":%q,"lane":%q,"time":%q,"plate":%q,"class":"private_car"}]}`,
			id, unit, s.clock.Now().Format(time.RFC3339Nano), plate))
		if w.Code != 200 || strings.Contains(w.Body.String(), `"error"`) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	in := s.sites.parks[rumsey].Lanes[0].Unit
	lane("e1", in, "AB1") // an account pays
	lane("e2", in, "CD2") // nobody's: it owes
	s.clock.Advance(90 * time.Minute)
	ask := func(query, address string) *httptest.ResponseRecorder {
		t.Helper()
		return s.stranger("GET", "/v1/carparks/"+rumsey+"/due?"+query, "", "From-Address", address)
	}
	owes := ask("plate=cd-2", "203.0.113.1:1")
	if due := decode[map[string]any](s, owes, 200); due["amount"] == "0.00" || due["currency"] != "HKD" || len(due) != 4 {
		t.Errorf("%s", owes.Body)
	}
	inside, never := ask("plate=AB1", "203.0.113.1:1"), ask("plate=ZZ9", "203.0.113.1:1")
	strip := func(w *httptest.ResponseRecorder) string {
		return strings.ReplaceAll(w.Body.String(), w.Header().Get("X-Request-Id"), "")
	}
	if inside.Code != 404 || strip(inside) != strip(never) {
		t.Errorf("a car that is inside: %s\none that never was: %s", inside.Body, never.Body)
	}
	for _, bad := range []string{"", "plate=", "plate=--", "plate=A&ticket=B", "plate=%00", "plate=" + strings.Repeat("A", 300), "tag=AB", "plate=A&plate=B"} {
		s.refused(ask(bad, "203.0.113.2:1"), 400, "bad-parameter", "")
	}
	passed, waits := 0, ""
	for n := range 100 {
		w := ask(fmt.Sprintf("plate=AA%d", n), fmt.Sprintf("[2001:db8::%x]:1", n+1))
		switch w.Code {
		case 404:
			passed++
		case 429:
			waits = w.Header().Get("Retry-After")
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if passed != asksAtOnce || waits == "" {
		t.Errorf("%d plates were tried from one network, then Retry-After %q", passed, waits)
	}
	if w := ask("plate=CD2", "203.0.113.3:1"); w.Code != 200 {
		t.Errorf("another address has to wait too: %d", w.Code)
	}
	if w := s.get("/v1/carparks/" + rumsey + "/due?plate=CD2"); w.Code != 200 {
		t.Errorf("staff: %d", w.Code)
	}
	if logs := s.logs.String(); strings.Contains(logs, "CD2") || strings.Contains(logs, "AB1") {
		t.Errorf("a plate is logged: %s", logs)
	}
}

// TestHoldsDoNotEmptyAPool: one address holds so many places and no more; what
// ends makes room, a repetition is still answered, and others are served.
func TestHoldsDoNotEmptyAPool(t *testing.T) {
	s := newTester(t)
	book := func(n int, address, key string) *httptest.ResponseRecorder {
		t.Helper()
		return s.stranger("POST", "/v1/carparks/"+rumsey+"/reservations", booking(n, 1), "From-Address", address, "Idempotency-Key", key)
	}
	var ids []string
	var last *httptest.ResponseRecorder
	for n := range mostHeld {
		last = book(n, "203.0.113.1:1", fmt.Sprintf(`"b%d"`, n))
		ids = append(ids, decode[reservationForm](s, last, 201).ID)
	}
	full := book(9, "203.0.113.1:2", `"b9"`)
	s.refused(full, 429, "too-many-requests", "")
	if full.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.replayed(last, book(mostHeld-1, "203.0.113.1:1", fmt.Sprintf(`"b%d"`, mostHeld-1)))
	s.refused(book(8, "203.0.113.1:1", `"b0"`), 422, "idempotency-key-reused", "")
	decode[reservationForm](s, book(10, "203.0.113.2:1", `"b0"`), 201) // a stranger with the same key
	decode[reservationForm](s, s.stranger("POST", "/v1/reservations/"+ids[0]+"/cancel", ""), 200)
	decode[reservationForm](s, book(9, "203.0.113.1:1", `"b9"`), 201)
	decode[reservationForm](s, s.stranger("POST", "/v1/reservations/"+ids[1]+"/confirm", ""), 200)
	s.clock.Advance(301 * time.Second) // the holds have ended; what was confirmed counts
	for n := range mostHeld - 1 {
		decode[reservationForm](s, book(20+n, "203.0.113.1:1", fmt.Sprintf(`"c%d"`, n)), 201)
	}
	s.refused(book(30, "203.0.113.1:1", `"c9"`), 429, "too-many-requests", "")
	if w := s.post("/v1/carparks/"+rumsey+"/reservations", booking(31, 1)); w.Code != 201 {
		t.Errorf("staff: %d", w.Code)
	}
}

func TestStrangersWriteSoMuch(t *testing.T) {
	s := newTester(t)
	good := 0
	for n := range writesAtOnce + 10 {
		body := fmt.Sprintf(`{"class":"private_car","from":"2026-11-24T10:%02d:%02dZ","to":"2026-11-24T12:00:00Z"}`, n/60, n%60)
		switch w := s.stranger("POST", "/v1/carparks/"+rumsey+"/quotes", body); w.Code {
		case 201:
			good++
		case 429:
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if good != writesAtOnce {
		t.Errorf("%d quotes were made", good)
	}
}

func TestReservations(t *testing.T) {
	s := newTester(t)
	path := "/v1/carparks/" + rumsey + "/reservations"
	with := func(old, text string) string { return strings.Replace(booking(1, 1), old, text, 1) }
	for _, one := range []struct{ body, at string }{
		{"{}", "/vehicle/class"}, {with(`"bookable"`, `"monthly"`), "/pool"}, {with(`"bookable"`, `""`), "/pool"}, {with(`"2026-11-24T03:00:00Z"`, `"soon"`), "/start"},
		{with(`"2026-11-24T05:00:00Z"`, `"1999-01-01T00:00:00Z"`), "/end"}, {with(`{"pool"`, `{"quote":"none","pool"`), "/quote"}, {with("{", `{"x":1,`), "/x"},
		{with(`{"pool"`, `{"account":"`+strings.Repeat("a", 200)+`","pool"`), "/account"},
	} {
		s.refused(s.post(path, one.body), 422, "bad-field", one.at)
	}
	s.refused(s.post(path, with(`"2026-11-24T05:00:00Z"`, `"2026-11-24T02:00:00Z"`)), 422, "invalid", "")
	s.refused(s.post("/v1/carparks/"+rumsey+"/reservations", with(`"private_car"`, `"hgv"`)), 422, "limit", "")
	quote := decode[quoteForm](s, s.post("/v1/carparks/"+rumsey+"/quotes", `{"class":"private_car","from":"2026-11-24T03:00:00Z","to":"2026-11-24T05:00:00Z"}`), 201)
	if quote.ID == "" || quote.Expires == nil {
		t.Errorf("%+v", quote)
	}
	quoted := with(`{"pool"`, `{"quote":"`+quote.ID+`","pool"`)
	if r := decode[reservationForm](s, s.post(path, quoted), 201); r.Quote != quote.ID {
		t.Errorf("%+v", r)
	}
	s.clock.Advance(time.Hour)
	s.refused(s.post(path, quoted), 422, "bad-field", "/quote")

	// All 20 places, and the list of them page by page while more are cancelled.
	var last *httptest.ResponseRecorder
	made := 0
	for n := range 30 {
		last = s.post(path, booking(n, 3), "Idempotency-Key", fmt.Sprintf(`"r%d"`, n))
		if last.Code != 201 {
			s.refused(last, 409, "pool-exhausted", "")
			s.replayed(last, s.post(path, booking(n, 3), "Idempotency-Key", fmt.Sprintf(`"r%d"`, n)))
			break
		}
		made++
	}
	if made < 20 || made > 22 {
		t.Errorf("%d of 20 places were promised", made)
	}
	free := decode[map[string]any](s, s.get("/v1/carparks/"+rumsey+"/availability?pool=bookable&from=2026-11-24T05:00:00Z&to=2026-11-24T06:00:00Z"), 200)
	if free["left"] != float64(0) {
		t.Errorf("%v", free)
	}
	for _, limit := range []int{1, 4, 7} {
		seen := map[string]bool{}
		target, pages := fmt.Sprintf("%s?from=2026-11-24T00:00:00Z&to=2026-11-25T00:00:00Z&limit=%d", path, limit), 0
		for target != "" && pages < 100 {
			w := s.get(target)
			page := decode[web.Page[reservationForm]](s, w, 200)
			for _, r := range page.Items {
				if seen[r.ID] {
					t.Errorf("%s comes twice", r.ID)
				}
				seen[r.ID] = true
			}
			pages++
			link := w.Header().Get("Link")
			target = strings.TrimPrefix(strings.TrimSuffix(link, `>; rel="next"`), "<")
		}
		if len(seen) != made+1 || pages < 3 {
			t.Errorf("limit %d: %d of %d reservations on %d pages", limit, len(seen), made+1, pages)
		}
	}
	for _, bad := range []string{"pool=none", "from=x", "from=2026-11-24T00:00:00Z&to=2026-11-23T00:00:00Z", "from=2026-11-24T00:00:00Z&to=2026-12-30T00:00:00Z",
		"after=x", "after=1.", "after=x.y", "limit=0", "from=1900-01-01T00:00:00Z"} {
		s.refused(s.get(path+"?"+bad), 400, "bad-parameter", "")
	}
	for _, bad := range []string{"", "pool=none&from=2026-11-24T05:00:00Z&to=2026-11-24T06:00:00Z", "pool=bookable&from=2026-11-24T05:00:00Z",
		"pool=bookable&from=2025-11-24T05:00:00Z&to=2025-11-24T06:00:00Z", "pool=bookable&from=2026-11-24T05:00:00Z&to=2027-11-24T06:00:00Z"} {
		s.refused(s.get("/v1/carparks/"+rumsey+"/availability?"+bad), 400, "bad-parameter", "")
	}
	// A reservation is answered on arrival, with a bay of its pool.
	r := decode[reservationForm](s, s.post(path, booking(77, 30)), 201)
	arrive := fmt.Sprintf(`{"vehicle":{"plate":"MT77","class":"private_car","length_mm":4500,"width_mm":1800,"height_mm":1500,"weight_kg":1500},"reservation":%q}`, r.ID)
	s.refused(s.post("/v1/carparks/"+rumsey+"/allocations", arrive), 409, "state", "")
	decode[reservationForm](s, s.post("/v1/reservations/"+r.ID+"/confirm", ""), 200)
	s.clock.Set(now.Add(30 * time.Hour))
	given := s.post("/v1/carparks/"+rumsey+"/allocations", arrive, "Idempotency-Key", `"arrive"`)
	g := decode[allocationForm](s, given, 201)
	if bay, _ := s.sites.parks[rumsey].Bay(g.Bay); bay.Pool != "bookable" || g.Reservation != r.ID {
		t.Errorf("%+v", g)
	}
	s.replayed(given, s.post("/v1/carparks/"+rumsey+"/allocations", arrive, "Idempotency-Key", `"arrive"`))
	if r := decode[reservationForm](s, s.get("/v1/reservations/"+r.ID), 200); r.State != string(parking.CheckedIn) || r.Allocation != g.ID {
		t.Errorf("%+v", r)
	}
	s.refused(s.post("/v1/reservations/"+r.ID+"/cancel", ""), 409, "state", "")
}
