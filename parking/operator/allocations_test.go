package operator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/internal/web"
	"freeflow/parking"
)

// TestAllocationsAsTheContractSays is section 8 of the contract, word by word,
// with a client that knows nothing but it and no controller at the racks.
func TestAllocationsAsTheContractSays(t *testing.T) {
	s := newTester(t)
	w := s.post("/v1/carparks/"+hoiShing+"/allocations", `{"vehicle":{"plate":"ab 12-34","class":"private_car","length_mm":4800,"width_mm":1850,
		"height_mm":1500,"weight_kg":1700,"ev":false,"accessible":false},"expected_stay_minutes":120}`)
	var given map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &given); err != nil || w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	id, _ := given["id"].(string)
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) || w.Header().Get("Location") != "/v1/allocations/"+id {
		t.Errorf("id %q at %q", id, w.Header().Get("Location"))
	}
	if bay, _ := given["bay"].(string); !regexp.MustCompile(`^R[1-6]-`).MatchString(bay) || given["level"] != "G" {
		t.Errorf("%s", w.Body)
	}
	if ready, ok := given["ready_in_seconds"].(float64); !ok || ready < 0 || ready > 600 {
		t.Errorf("%s", w.Body)
	}
	if why, _ := given["why"].(string); len(why) < 10 {
		t.Errorf("%s", w.Body)
	}
	if v := members(given["vehicle"]); v["plate"] != "AB1234" {
		t.Errorf("the plate is %v", v["plate"])
	}
	w = s.post("/v1/allocations/"+id+"/retrieval", "", "Content-Type", "")
	wanted := decode[allocationForm](s, w, 202)
	if wanted.State != "retrieving" && wanted.State != "assigned" {
		t.Errorf("state %s", wanted.State)
	}
	gone := decode[allocationForm](s, s.post("/v1/allocations/"+id+"/release", ""), 200)
	if gone.State != "gone" || gone.EndedAt == nil {
		t.Errorf("%+v", gone)
	}
	if again := decode[allocationForm](s, s.get("/v1/allocations/"+id), 200); again.State != "gone" {
		t.Errorf("%+v", again)
	}
	s.refused(s.post("/v1/allocations/"+id+"/release", "{}"), 409, "state", "")
	s.refused(s.post("/v1/allocations/"+id+"/retrieval", "{}"), 409, "state", "")
	// Released as soon as given.
	decode[allocationForm](s, s.post("/v1/allocations/"+s.given(hoiShing, 2).ID+"/release", "{}"), 200)
}

// TestTheLastBay: 78 bays of 78 are given, one each; the 79th car hears /no-bay,
// and gets the first bay that is free again.
func TestTheLastBay(t *testing.T) {
	s := newTester(t)
	taken := map[string]string{}
	for n := range 78 {
		g := s.given(hoiShing, n)
		if other, twice := taken[g.Bay]; twice {
			t.Fatalf("bay %s is given to %s and %s", g.Bay, other, g.ID)
		}
		taken[g.Bay] = g.ID
	}
	full := s.post("/v1/carparks/"+hoiShing+"/allocations", car(78), "Idempotency-Key", `"the-79th"`)
	s.refused(full, 409, "no-bay", "")
	var p map[string]any
	if err := json.Unmarshal(full.Body.Bytes(), &p); err != nil || !strings.HasSuffix(p["type"].(string), "/no-bay") {
		t.Errorf("%s", full.Body)
	}
	live := decode[carParkForm](s, s.get("/v1/carparks/"+hoiShing), 200).Live
	if live.Total != 78 || live.Free != 0 {
		t.Errorf("%+v", live)
	}
	var bay string
	for b, id := range taken {
		decode[allocationForm](s, s.post("/v1/allocations/"+id+"/release", "{}"), 200)
		bay = b
		break
	}
	s.replayed(full, s.post("/v1/carparks/"+hoiShing+"/allocations", car(78), "Idempotency-Key", `"the-79th"`))
	if next := s.given(hoiShing, 78); next.Bay != bay {
		t.Errorf("bay %s, want %s", next.Bay, bay)
	}
}

// replayed wants the repetition's answer to be the first one's, to the byte.
func (s *tester) replayed(first, again *httptest.ResponseRecorder) {
	s.Helper()
	if again.Code != first.Code || again.Body.String() != first.Body.String() || again.Header().Get("Location") != first.Header().Get("Location") ||
		again.Header().Get("Content-Type") != first.Header().Get("Content-Type") {
		s.Errorf("repeated: %d %s\nat first: %d %s", again.Code, again.Body, first.Code, first.Body)
	}
	if first.Header().Get("Idempotent-Replayed") != "" || again.Header().Get("Idempotent-Replayed") != "true" {
		s.Errorf("Idempotent-Replayed %q at first, then %q", first.Header().Get("Idempotent-Replayed"), again.Header().Get("Idempotent-Replayed"))
	}
}

// TestLimits: each limit of Hoi Shing Road is told by name, and at the limit
// itself a car may enter.
func TestLimits(t *testing.T) {
	s := newTester(t)
	vehicle := func(change, to string) string {
		v := map[string]any{"plate": "AB1", "class": "private_car", "length_mm": 5200, "width_mm": 2200, "height_mm": 2000, "weight_kg": 2500}
		if change != "" {
			v[change] = json.RawMessage(to)
		}
		text, _ := json.Marshal(map[string]any{"vehicle": v})
		return string(text)
	}
	path := "/v1/carparks/" + hoiShing + "/allocations"
	if w := s.post(path, vehicle("", "")); w.Code != 201 {
		t.Fatalf("at the limit: %d %s", w.Code, w.Body)
	}
	for _, one := range []struct {
		limit, to      string
		allowed, given float64
	}{
		{"length_mm", "5201", 5200, 5201}, {"width_mm", "2201", 2200, 2201}, {"height_mm", "2001", 2000, 2001}, {"weight_kg", "2501", 2500, 2501},
		{"height_mm", "0", 2000, 0}, {"class", `"lgv"`, 0, 0}, {"class", `"hovercraft"`, 0, 0},
	} {
		key := fmt.Sprintf(`"limit-%s-%s"`, one.limit, strings.Trim(one.to, `"`))
		w := s.post(path, vehicle(one.limit, one.to), "Idempotency-Key", key)
		s.refused(w, 422, "limit", "")
		var p map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if p["limit"] != one.limit || one.allowed > 0 && (p["allowed"] != one.allowed || p["given"] != one.given) {
			t.Errorf("%s %s: %s", one.limit, one.to, w.Body)
		}
		if strings.Contains(w.Body.String(), "AB1") {
			t.Errorf("the answer names the car: %s", w.Body)
		}
		s.replayed(w, s.post(path, vehicle(one.limit, one.to), "Idempotency-Key", key))
	}
	// Of several limits all are told.
	w := s.post(path, `{"vehicle":{"class":"private_car","length_mm":6000,"width_mm":2000,"height_mm":3000,"weight_kg":2000}}`)
	if w.Code != 422 || !strings.Contains(w.Body.String(), `"limits":[{"limit":"length_mm","allowed":5200,"given":6000},{"limit":"height_mm","allowed":2000,"given":3000}]`) {
		t.Errorf("%s", w.Body)
	}
}

func TestAllocationsRefuseWhatTheyDoNotUnderstand(t *testing.T) {
	s := newTester(t)
	path := "/v1/carparks/" + hoiShing + "/allocations"
	with := func(field string) string {
		return `{"vehicle":{"class":"private_car","length_mm":4800,"width_mm":1850,"height_mm":1500,"weight_kg":1700` + field + `}}`
	}
	beside := func(field string) string { return strings.TrimSuffix(car(1), "}") + field + "}" }
	for _, one := range []struct {
		body   string
		status int
		slug   string
		at     string
	}{
		{"", 400, "bad-json", ""}, {"{", 400, "bad-json", ""}, {"[]", 422, "bad-field", ""}, {`"x"`, 422, "bad-field", ""},
		{"null", 422, "bad-field", "/vehicle/class"}, {"{}", 422, "bad-field", "/vehicle/class"}, {`{"vehicle":null}`, 422, "bad-field", "/vehicle/class"},
		{with("") + "x", 400, "bad-json", ""}, {`{"vehicle":{"class":"a","class":"b"}}`, 400, "bad-json", ""}, {"{\"vehicle\":{\"plate\":\"\xff\"}}", 400, "bad-json", ""},
		{beside(`,"vehicles":1`), 422, "bad-field", "/vehicles"}, {with(`,"Plate":"A"`), 422, "bad-field", "/vehicle/Plate"},
		{with(`,"plate":1`), 422, "bad-field", "/vehicle/plate"}, {with(`,"plate":"` + strings.Repeat("A", 65) + `"`), 422, "bad-field", "/vehicle/plate"},
		{with(`,"plate":"` + strings.Repeat("- ", 200) + `"`), 422, "bad-field", "/vehicle/plate"},
		{with(`,"plate":"A\u0000B"`), 422, "bad-field", "/vehicle/plate"}, {with(`,"plate":"tag:AB"`), 422, "bad-field", "/vehicle/plate"},
		{with(`,"tag":"xyz"`), 422, "bad-field", "/vehicle/tag"}, {with(`,"tag":"ABC"`), 422, "bad-field", "/vehicle/tag"},
		{with(`,"tag":"` + strings.Repeat("AB", 63) + `"`), 422, "bad-field", "/vehicle/tag"},
		{with(`,"ev":"yes"`), 422, "bad-field", "/vehicle/ev"},
		{`{"vehicle":{"class":"` + strings.Repeat("c", 65) + `"}}`, 422, "bad-field", "/vehicle/class"}, {`{"vehicle":{"class":"a\nb"}}`, 422, "bad-field", "/vehicle/class"},
		{`{"vehicle":{"class":"private_car","length_mm":-1,"weight_kg":-1}}`, 422, "bad-field", "/vehicle/length_mm"},
		{`{"vehicle":{"class":"private_car","width_mm":1000001}}`, 422, "bad-field", "/vehicle/width_mm"},
		{`{"vehicle":{"class":"private_car","height_mm":1.5}}`, 422, "bad-field", "/vehicle/height_mm"},
		{`{"vehicle":{"class":"private_car","weight_kg":9223372036854775808}}`, 422, "bad-field", "/vehicle/weight_kg"},
		{beside(`,"expected_stay_minutes":-1`), 422, "bad-field", "/expected_stay_minutes"},
		{beside(`,"expected_stay_minutes":527041`), 422, "bad-field", "/expected_stay_minutes"},
		{beside(`,"pool":"none"`), 422, "bad-field", "/pool"}, {beside(`,"reservation":"none"`), 422, "bad-field", "/reservation"},
		{beside(`,"reservation":"` + strings.Repeat("r", 200) + `"`), 422, "bad-field", "/reservation"},
		{beside(`,"bay":"none","reason":"x"`), 422, "bad-field", "/bay"}, {beside(`,"bay":"R1-1-1"`), 422, "bad-field", "/reason"},
		{beside(`,"bay":"R1-1-1","reason":" "`), 422, "bad-field", "/reason"},
		{beside(`,"bay":"R1-1-1","reason":"x","reservation":"r"`), 422, "bad-field", "/reservation"},
		{beside(`,"by":"machine"`), 422, "bad-field", "/by"}, {beside(`,"by":"` + strings.Repeat("b", 129) + `"`), 422, "bad-field", "/by"},
		{beside(`,"reason":"` + strings.Repeat("b", 1001) + `"`), 422, "bad-field", "/reason"},
	} {
		w := s.post(path, one.body)
		s.refused(w, one.status, one.slug, one.at)
		if t.Failed() {
			t.Fatalf("body %.200s", one.body)
		}
	}
	s.refused(s.post(path, car(1), "Content-Type", "text/plain"), 415, "unsupported-media-type", "")
	s.refused(s.post(path+"?dry=1", car(1)), 400, "bad-parameter", "dry")
	s.refused(s.post(path, with(`,"plate":"`+strings.Repeat("A", web.DefaultBodyLimit)+`"`)), 413, "too-large", "")
	if free := decode[carParkForm](s, s.get("/v1/carparks/"+hoiShing), 200).Live.Free; free != 78 {
		t.Errorf("%d bays are free: something was done", free)
	}
	// null is missing, where it may be missing.
	w := s.post(path, `{"vehicle":{"plate":null,"tag":"e28f","class":"private_car","length_mm":4800,"width_mm":1850,"height_mm":1500,"weight_kg":1700,"ev":null},"expected_stay_minutes":null}`)
	if g := decode[allocationForm](s, w, 201); g.Vehicle.Tag != "E28F" {
		t.Errorf("%+v", g.Vehicle)
	}
}

func TestUnknownThingsAreNotFound(t *testing.T) {
	s := newTester(t)
	fills := []string{strings.Repeat("0", 32), "x", "%00", "%FF%FE", "..%2F..", strings.Repeat("y", 700), "%20", "a%2Fb", "'%20OR%20'1'='1"}
	body := map[string]string{
		"block": `{"reason":"x"}`, "unblock": `{"reason":"x"}`, "move": `{"bay":"R1-1-1","reason":"x"}`, "resolve": `{"state":"gone","reason":"x"}`,
		"allocations": car(1), "quotes": `{"class":"private_car","from":"2026-11-24T10:00:00Z","to":"2026-11-24T12:00:00Z"}`,
		"inventory": `{"boot":"b","bays":[]}`, "next": `{"boot":"b"}`, "reports": `{"boot":"b","command":"c","state":"done"}`, "out": `{"reason":"x"}`, "in": `{"reason":"x"}`,
		"lane-events": `{"events":[{}]}`, "payments": `{"amount":"1.00","means":"cash","payment_id":"p"}`, "refunds": `{"reason":"x"}`,
		"validations": `{"code":"c","reference":"r"}`, "charging": `{"session":"s","plug_in":"2026-11-24T01:00:00Z"}`, "decision": `{"kind":"waive","reason":"x"}`, "clear": `{"note":"n"}`,
		"reservations": `{"pool":"bookable","vehicle":{"class":"private_car"},"start":"2026-11-24T10:00:00Z","end":"2026-11-24T12:00:00Z"}`,
	}
	query := map[string]string{
		"quote": "?class=private_car&from=2026-11-24T10:00:00Z&to=2026-11-24T12:00:00Z", "due": "?plate=A", "takings": "?day=2026-11-24",
		"availability": "?pool=bookable&from=2026-11-24T10:00:00Z&to=2026-11-24T12:00:00Z",
	}
	asked := 0
	for _, r := range s.staff.Routes() {
		if !strings.Contains(r.Path, ":") || r.Method == http.MethodPut || strings.HasPrefix(r.Path, "/v1/parking-preferences") {
			continue
		}
		last := r.Path[strings.LastIndex(r.Path, "/")+1:]
		for _, fill := range fills {
			target := strings.ReplaceAll(r.Path, ":id", fill) + query[last]
			if r.Method == http.MethodPost {
				text := body[last]
				if text == "" {
					text = "{}"
				}
				s.refused(s.post(target, text), 404, "not-found", "")
			} else {
				s.refused(s.get(target), 404, "not-found", "")
			}
			asked++
		}
		for _, name := range []string{":bay", ":machine"} {
			if strings.Contains(r.Path, name) {
				target := strings.ReplaceAll(strings.ReplaceAll(r.Path, ":id", hoiShing), name, "none")
				s.refused(s.post(target, body[last]), 404, "not-found", "")
			}
		}
	}
	if asked < 200 {
		t.Errorf("only %d were asked", asked)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	s := newTester(t)
	path := "/v1/carparks/" + hoiShing + "/allocations"
	// Every POST that does something wants a key, before it looks at anything else.
	g := s.given(hoiShing, 99)
	own := map[string]bool{"/inventory": true, "/next": true, "/reports": true, "/lane-events": true} // these have ids of their own
	fill := strings.NewReplacer("/carparks/:id", "/carparks/"+hoiShing, ":machine", "R1", ":bay", "R1-1-1", ":id", g.ID)
	for _, r := range s.staff.Routes() {
		if r.Method != http.MethodPost || own[r.Path[strings.LastIndex(r.Path, "/"):]] {
			continue
		}
		s.refused(s.post(fill.Replace(r.Path), "{}", "Idempotency-Key", ""), 400, "idempotency-key-missing", "")
		s.refused(s.post(fill.Replace(r.Path), "{}", "Idempotency-Key", `"open`), 400, "idempotency-key-malformed", "")
	}
	first := s.post(path, car(1), "Idempotency-Key", `"k"`)
	given := decode[allocationForm](s, first, 201)
	s.clock.Advance(time.Minute)
	s.replayed(first, s.post(path, car(1), "Idempotency-Key", `"k"`))
	s.replayed(first, s.post(path, car(1), "Idempotency-Key", `k`))
	s.refused(s.post(path, car(2), "Idempotency-Key", `"k"`), 422, "idempotency-key-reused", "")
	// The same key for another car park, or another operation, is another request.
	decode[allocationForm](s, s.post("/v1/carparks/tdstt90/allocations", car(3), "Idempotency-Key", `"k"`), 201)
	wanted := s.post("/v1/allocations/"+given.ID+"/retrieval", "{}", "Idempotency-Key", `"k"`)
	decode[allocationForm](s, wanted, 202)
	gone := s.post("/v1/allocations/"+given.ID+"/release", `{"by":"Chan","reason":"left"}`, "Idempotency-Key", `"k"`)
	decode[allocationForm](s, gone, 200)
	s.replayed(wanted, s.post("/v1/allocations/"+given.ID+"/retrieval", "{}", "Idempotency-Key", `"k"`))
	s.replayed(gone, s.post("/v1/allocations/"+given.ID+"/release", `{"by":"Chan","reason":"left"}`, "Idempotency-Key", `"k"`))
	s.refused(s.post("/v1/allocations/"+given.ID+"/release", `{"by":"Wong","reason":"left"}`, "Idempotency-Key", `"k"`), 422, "idempotency-key-reused", "")
	// What was decided stays decided under the key, whatever became of the thing.
	ended := s.post("/v1/allocations/"+given.ID+"/cancel", "{}", "Idempotency-Key", `"late"`)
	s.refused(ended, 409, "state", "")
	s.replayed(ended, s.post("/v1/allocations/"+given.ID+"/cancel", "{}", "Idempotency-Key", `"late"`))
	s.refused(s.post("/v1/allocations/"+given.ID+"/cancel", `{"by":"Chan"}`, "Idempotency-Key", `"late"`), 422, "idempotency-key-reused", "")
	// A request that was not understood was not done: its key is free.
	s.refused(s.post(path, `{"vehicle":{}}`, "Idempotency-Key", `"mended"`), 422, "bad-field", "/vehicle/class")
	decode[allocationForm](s, s.post(path, car(3), "Idempotency-Key", `"mended"`), 201)
}

// TestOneKeyAtOnce: many send the same request at the same time; one bay is
// given, and everybody hears of it or is asked to wait.
func TestOneKeyAtOnce(t *testing.T) {
	s := newTester(t)
	path := "/v1/carparks/" + hoiShing + "/allocations"
	answers := make([]*httptest.ResponseRecorder, 16)
	var all sync.WaitGroup
	for i := range answers {
		all.Add(1)
		go func() {
			defer all.Done()
			answers[i] = s.post(path, car(1), "Idempotency-Key", `"same"`)
		}()
	}
	all.Wait()
	first, fresh := "", 0
	for _, w := range answers {
		switch w.Code {
		case 201:
			if first == "" {
				first = w.Body.String()
			}
			if w.Body.String() != first {
				t.Errorf("two answers: %s and %s", first, w.Body)
			}
			if w.Header().Get("Idempotent-Replayed") == "" {
				fresh++
			}
		case 409:
			s.refused(w, 409, "idempotency-key-busy", "")
			if w.Header().Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		default:
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if fresh != 1 {
		t.Errorf("%d were answered as the first", fresh)
	}
	if free := decode[carParkForm](s, s.get("/v1/carparks/"+hoiShing), 200).Live.Free; free != 77 {
		t.Errorf("%d bays are free, want 77", free)
	}
}

// TestManyAtOnce: more cars than bays, all at once, with keys of their own.
func TestManyAtOnce(t *testing.T) {
	s := newTester(t)
	codes := make([]int, 90)
	var all sync.WaitGroup
	for i := range codes {
		all.Add(1)
		go func() {
			defer all.Done()
			codes[i] = s.post("/v1/carparks/"+hoiShing+"/allocations", car(i)).Code
		}()
	}
	all.Wait()
	count := map[int]int{}
	for _, code := range codes {
		count[code]++
	}
	if count[201] != 78 || count[409] != 12 {
		t.Errorf("%v, want 78 bays given and 12 refusals", count)
	}
}

// TestPagesJoinToTheWhole walks whole lists while cars go on coming: what was
// there at the start comes once, nothing comes twice.
func TestPagesJoinToTheWhole(t *testing.T) {
	s := newTester(t)
	var want []string
	n := 0
	come := func() {
		s.clock.Advance(time.Second)
		g := s.given(hoiShing, n)
		n++
		want = append(want, g.ID)
	}
	for range 12 {
		come()
	}
	for limit := 1; limit <= 4; limit++ {
		before := len(want)
		var seen []string
		pages, target := 0, fmt.Sprintf("/v1/carparks/%s/allocations?limit=%d", hoiShing, limit)
		for target != "" && pages < 100 {
			w := s.get(target)
			page := decode[web.Page[allocationForm]](s, w, 200)
			for _, item := range page.Items {
				seen = append(seen, item.ID)
			}
			if pages < 3 {
				come()
			}
			pages++
			next := ""
			if page.Next != nil {
				next = fmt.Sprintf("/v1/carparks/%s/allocations?after=%s&limit=%d", hoiShing, *page.Next, limit)
				if w.Header().Get("Link") != "<"+next+`>; rel="next"` {
					t.Errorf("Link %s, want %s", w.Header().Get("Link"), next)
				}
			}
			target = next
		}
		if pages < 4 || len(seen) < before || strings.Join(seen, " ") != strings.Join(want[:len(seen)], " ") {
			t.Errorf("limit %d: %d pages, %d of %d allocations", limit, pages, len(seen), before)
		}
	}
	for _, bad := range []string{"after=none", "after=" + strings.Repeat("a", 500), "after=%FF", "limit=0", "limit=1001", "vehicle=--", "vehicle=tag:", "vehicle=%00", "what=1"} {
		name, _, _ := strings.Cut(bad, "=")
		s.refused(s.get("/v1/carparks/"+hoiShing+"/allocations?"+bad), 400, "bad-parameter", name)
	}
	found := decode[web.Page[allocationForm]](s, s.get("/v1/carparks/"+hoiShing+"/allocations?vehicle=h%20k-3"), 200)
	if len(found.Items) != 1 || found.Items[0].ID != want[3] {
		t.Errorf("%+v", found)
	}
	decode[allocationForm](s, s.post("/v1/carparks/"+hoiShing+"/allocations",
		`{"vehicle":{"tag":"e28f","class":"private_car","length_mm":4800,"width_mm":1850,"height_mm":1500,"weight_kg":1700}}`), 201)
	if found := decode[web.Page[allocationForm]](s, s.get("/v1/carparks/"+hoiShing+"/allocations?vehicle=tag:E28f"), 200); len(found.Items) != 1 {
		t.Errorf("%+v", found)
	}
}

func TestStaffDecide(t *testing.T) {
	s := newTester(t)
	// A particular bay, with a reason; the driver is not told the reason.
	body := strings.TrimSuffix(car(1), "}") + `,"bay":"R1-1-1","by":"Chan","reason":"known to Ms Lee"}`
	g := decode[allocationForm](s, s.post("/v1/carparks/"+hoiShing+"/allocations", body), 201)
	if g.Bay != "R1-1-1" || g.By != "Chan" || g.Reason != "known to Ms Lee" {
		t.Errorf("%+v", g)
	}
	if w := s.ask(s.public, "GET", "/v1/allocations/"+g.ID, ""); strings.Contains(w.Body.String(), "Lee") || strings.Contains(w.Body.String(), "Chan") {
		t.Errorf("a motorist reads %s", w.Body)
	}
	other := strings.Replace(body, "HK 1", "HK 2", 1)
	taken := s.post("/v1/carparks/"+hoiShing+"/allocations", other, "Idempotency-Key", `"taken"`)
	s.refused(taken, 409, "bay-taken", "")
	s.replayed(taken, s.post("/v1/carparks/"+hoiShing+"/allocations", other, "Idempotency-Key", `"taken"`))
	for _, one := range []struct{ body, at string }{{`{"bay":"R1-1-2"}`, "/reason"}, {`{"bay":"none","reason":"x"}`, "/bay"}, {`{"bay":"R1-1-2","reason":"x","by":"machine"}`, "/by"}} {
		s.refused(s.post("/v1/allocations/"+g.ID+"/move", one.body), 422, "bad-field", one.at)
	}
	moved := decode[allocationForm](s, s.post("/v1/allocations/"+g.ID+"/move", `{"bay":"R1-1-2","reason":"x"}`), 200)
	if moved.Bay != "R1-1-2" || moved.By != "operator" {
		t.Errorf("%+v", moved)
	}
	s.refused(s.post("/v1/allocations/"+g.ID+"/resolve", `{"state":"nowhere","reason":"x"}`), 422, "bad-field", "/state")
	s.refused(s.post("/v1/allocations/"+g.ID+"/resolve", `{"state":"gone"}`), 422, "bad-field", "/reason")
	s.refused(s.post("/v1/allocations/"+g.ID+"/resolve", `{"state":"gone","reason":"x"}`), 409, "state", "")
	ended := decode[allocationForm](s, s.post("/v1/allocations/"+g.ID+"/cancel", `{"reason":"turned away"}`), 200)
	if ended.State != string(parking.Cancelled) {
		t.Errorf("%+v", ended)
	}
	// A closed bay is given to nobody, and opened again it is.
	s.refused(s.post("/v1/carparks/"+hoiShing+"/bays/R1-1-1/block", "{}"), 422, "bad-field", "/reason")
	block := decode[allocationForm](s, s.post("/v1/carparks/"+hoiShing+"/bays/R1-1-1/block", `{"by":"Chan","reason":"oil"}`), 200)
	s.refused(s.post("/v1/carparks/"+hoiShing+"/bays/R1-1-1/block", `{"reason":"oil"}`), 409, "bay-taken", "")
	s.refused(s.post("/v1/allocations/"+block.ID+"/release", `{}`), 409, "state", "")
	bays := decode[struct{ Items []bayForm }](s, s.get("/v1/carparks/"+hoiShing+"/bays"), 200)
	for _, b := range bays.Items {
		if want := map[bool]string{true: "blocked", false: "free"}[b.ID == "R1-1-1"]; b.State != want {
			t.Errorf("bay %s is %s, want %s", b.ID, b.State, want)
		}
	}
	decode[allocationForm](s, s.post("/v1/carparks/"+hoiShing+"/bays/R1-1-1/unblock", `{"reason":"clean"}`), 200)
	s.refused(s.post("/v1/carparks/"+hoiShing+"/bays/R1-1-1/unblock", `{"reason":"clean"}`), 409, "state", "")
}

func TestRetrievals(t *testing.T) {
	s := newTester(t)
	g := s.given(rumsey, 1) // a plain bay: the driver walks to the car
	for _, one := range []struct{ body, at string }{
		{`{"not_before":"soon"}`, "/not_before"}, {`{"not_before":"2026-11-24T10:00:00"}`, "/not_before"}, {`{"not_before":"9999-12-31T23:59:59Z"}`, "/not_before"},
		{`{"not_before":"0001-01-01T00:00:00Z"}`, "/not_before"}, {`{"not_before":"2027-11-24T10:00:00Z"}`, "/not_before"}, {`{"when":1}`, "/when"},
	} {
		s.refused(s.post("/v1/allocations/"+g.ID+"/retrieval", one.body), 422, "bad-field", one.at)
	}
	if r := decode[allocationForm](s, s.post("/v1/allocations/"+g.ID+"/retrieval", `{}`), 202); r.State != "retrieving" {
		t.Errorf("%+v", r)
	}
	s.refused(s.post("/v1/allocations/"+g.ID+"/retrieval/cancel", `{"x":1}`), 422, "bad-field", "/x")
	decode[allocationForm](s, s.post("/v1/allocations/"+g.ID+"/retrieval/cancel", ``), 200)
	s.refused(s.post("/v1/allocations/"+g.ID+"/retrieval/cancel", ``), 409, "state", "")
	decode[allocationForm](s, s.post("/v1/allocations/"+g.ID+"/release", ``), 200)
	decode[map[string]any](s, s.get("/v1/carparks/"+rumsey+"/retrievals"), 200)
	decode[map[string]any](s, s.get("/v1/carparks/"+rumsey+"/promises"), 200)
}
