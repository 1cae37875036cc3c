package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/rackemu"
	"freeflow/parking/sites"
)

func TestNewWantsEveryPart(t *testing.T) {
	if _, err := New(Parts{}); err == nil {
		t.Error("an API of nothing")
	}
}

func TestCarParks(t *testing.T) {
	s := newTester(t)
	page := decode[web.Page[carParkForm]](s, s.get("/v1/carparks"), 200)
	if len(page.Items) != 4 || page.Next != nil {
		t.Fatalf("%d car parks, next %v", len(page.Items), page.Next)
	}
	var ids []string
	for target := "/v1/carparks?limit=1"; target != ""; {
		w := s.get(target)
		one := decode[web.Page[carParkForm]](s, w, 200)
		ids = append(ids, one.Items[0].ID)
		target = strings.TrimPrefix(strings.TrimSuffix(w.Header().Get("Link"), `>; rel="next"`), "<")
	}
	for i, item := range page.Items {
		if ids[i] != item.ID || item.Live == nil || item.Live.Total == 0 || item.Live.Free != item.Live.Total {
			t.Errorf("%s, %s, %+v", ids[i], item.ID, item.Live)
		}
	}
	one := decode[carParkForm](s, s.get("/v1/carparks/"+hoiShing), 200)
	if one.Limits != (parking.Limits{LengthMM: 5200, WidthMM: 2200, HeightMM: 2000, WeightKG: 2500}) || one.TagLimit != "200.00" || !one.Robotic || one.Live.Total != 78 {
		t.Errorf("%+v", one)
	}
	for _, bad := range []string{"limit=0", "limit=x", "x=1", "limit=1&limit=2"} {
		s.refused(s.get("/v1/carparks?"+bad), 400, "bad-parameter", "")
	}
	for _, target := range []string{"/v1/places", "/v1/places?limit=2", "/v1/places/" + hoiShing, "/v1/sessions?place=" + hoiShing} {
		decode[map[string]any](s, s.get(target), 200)
	}
	s.refused(s.get("/v1/sessions"), 400, "bad-parameter", "place")
	s.refused(s.get("/v1/sessions?place=none"), 404, "not-found", "")
	s.refused(s.get("/v1/sessions?place="+hoiShing+"&limit=201"), 400, "bad-parameter", "limit")
}

// TestETags: every GET that has a tag answers 304 to who has it, and nobody
// else's cache keeps it.
func TestETags(t *testing.T) {
	s := newTester(t)
	g := s.given(hoiShing, 1)
	fill := strings.NewReplacer("/carparks/:id", "/carparks/"+hoiShing, "/places/:id", "/places/"+hoiShing, "/stays/:id", "/stays/none", "/reservations/:id", "/reservations/none",
		":id", g.ID, ":account", "one")
	query := map[string]string{
		"quote": "?class=private_car&from=2026-11-24T10:00:00Z&to=2026-11-24T12:00:00Z", "due": "?plate=A", "takings": "?day=2026-11-24", "sessions": "?place=" + hoiShing,
	}
	checked := 0
	for _, r := range s.staff.Routes() {
		if r.Method != http.MethodGet {
			continue
		}
		target := fill.Replace(r.Path) + query[r.Path[strings.LastIndex(r.Path, "/")+1:]]
		w := s.get(target)
		if w.Code != 200 {
			continue
		}
		checked++
		tag := w.Header().Get("ETag")
		if !strings.HasPrefix(tag, `"`) || w.Header().Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%s: ETag %s, Cache-Control %s", target, tag, w.Header().Get("Cache-Control"))
		}
		for _, known := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			if again := s.get(target, "If-None-Match", known); again.Code != 304 || again.Body.Len() != 0 || again.Header().Get("ETag") != tag {
				t.Errorf("%s with %s: %d", target, known, again.Code)
			}
		}
		if again := s.get(target, "If-None-Match", `"x"`); again.Code != 200 {
			t.Errorf("%s with another tag: %d", target, again.Code)
		}
	}
	if checked < 15 {
		t.Errorf("only %d were checked", checked)
	}
}

func (s *tester) put(id, document string, header ...string) *httptest.ResponseRecorder {
	s.Helper()
	return s.ask(s.staff, http.MethodPut, "/v1/carparks/"+id, document, header...)
}

func TestPutSite(t *testing.T) {
	s := newTester(t)
	_, text, err := sites.Sample("tung-chau-street")
	if err != nil {
		t.Fatal(err)
	}
	file := string(text)
	other := strings.NewReplacer(`"tdstt90"`, `"new"`, `"TCS"`, `"NEW"`, `TCS-`, `NEW-`, s.sites.parks["tdstt90"].Code+"-", "NEW-").Replace(file)
	w := s.get("/v1/carparks/tdstt90/site")
	if w.Code != 200 || w.Header().Get("ETag") != `"1"` || w.Body.String() != file {
		t.Fatalf("%d %s", w.Code, w.Header().Get("ETag"))
	}
	for _, one := range []struct {
		id     string
		header []string
		status int
		tag    string
	}{
		{"tdstt90", []string{"If-Match", `"2"`}, 412, ""}, {"tdstt90", []string{"If-Match", `"-1"`}, 412, ""}, {"tdstt90", []string{"If-Match", `"0"`}, 412, ""},
		{"tdstt90", []string{"If-Match", `W/"1"`}, 412, ""}, {"tdstt90", []string{"If-Match", `1`}, 412, ""}, {"tdstt90", []string{"If-None-Match", "*"}, 412, ""},
		{"tdstt90", []string{"If-None-Match", `W/"1"`}, 412, ""}, {"new", []string{"If-Match", "*"}, 412, ""}, {"new", []string{"If-Match", `"0"`}, 412, ""},
		{"tdstt90", []string{"If-Match", `"1"`}, 200, `"2"`}, {"tdstt90", []string{"If-Match", `"1"`}, 412, ""}, {"tdstt90", []string{"If-Match", `"7", "2"`}, 200, `"3"`},
		{"tdstt90", []string{"If-Match", "*"}, 200, `"4"`}, {"tdstt90", nil, 200, `"5"`}, {"tdstt90", []string{"If-None-Match", `"4"`}, 200, `"6"`},
		{"new", []string{"If-None-Match", "*"}, 201, `"1"`}, {"new", []string{"If-None-Match", "*"}, 412, ""},
	} {
		document := file
		if one.id == "new" {
			document = other
		}
		w := s.put(one.id, document, one.header...)
		if w.Code != one.status || w.Header().Get("ETag") != one.tag {
			t.Fatalf("%s %v: %d, ETag %s: %s", one.id, one.header, w.Code, w.Header().Get("ETag"), w.Body)
		}
		if w.Code == 412 {
			s.refused(w, 412, "changed", "")
		}
		if w.Code == 201 && w.Header().Get("Location") != "/v1/carparks/new" {
			t.Errorf("Location %q", w.Header().Get("Location"))
		}
	}
	decode[carParkForm](s, s.get("/v1/carparks/new"), 200)
	s.given("new", 1)
	for _, one := range []struct {
		document string
		status   int
		slug, at string
	}{
		{"", 400, "bad-json", ""}, {"{", 400, "bad-json", ""}, {file + "x", 400, "bad-json", ""},
		{"[]", 422, "bad-site", ""}, {strings.Replace(file, `"tiers": 4`, `"tiers": "four"`, 1), 422, "bad-site", "/machines/0/tiers"},
		{strings.Replace(file, "{", `{"colour": "red",`, 1), 422, "bad-site", "/colour"}, {strings.Replace(file, `"tdstt90"`, `"other"`, 1), 422, "bad-site", "/id"},
		{`{"id": "tdstt90"}`, 422, "bad-site", "/zone"}, {`{"id": "tdstt90"}`, 422, "bad-site", "/groups"},
	} {
		s.refused(s.put("tdstt90", one.document), one.status, one.slug, one.at)
	}
	s.refused(s.put("tdstt90", strings.Repeat(" ", maxSite+1)), 413, "too-large", "")
	s.refused(s.ask(s.staff, http.MethodPut, "/v1/carparks/tdstt90?x=1", file), 400, "bad-parameter", "x")
}

// TestFaultsOfOurs: what breaks here is told to nobody, and logged.
func TestFaultsOfOurs(t *testing.T) {
	s := newTester(t)
	s.sites.fail = errors.New("disk on fire at sector 0x1234567")
	s.docs[s.staff]["paths"].(map[string]any)["/v1/carparks/{id}/site"].(map[string]any)["get"].(map[string]any)["responses"].(map[string]any)["500"] =
		map[string]any{"content": map[string]any{web.ContentTypeProblem: map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/ParkingProblem"}}}}
	s.refused(s.get("/v1/carparks/"+hoiShing+"/site"), 500, "internal", "")
	if !strings.Contains(s.logs.String(), "disk on fire") {
		t.Error("nothing is logged")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/v1/carparks/"+hoiShing+"/allocations", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	w := httptest.NewRecorder()
	s.staff.ServeHTTP(w, r)
	if strings.Contains(w.Body.String(), "context") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestPlates(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "ab 1234": "AB1234", " A-B\t1\n2\v3\f4\r": "AB1234", "ＡＢ　１２３４": "AB1234", "ａｂ－１２３４": "AB1234", "AB\u20101\u201123\u00a04": "AB1234",
		"AB\u0085\u1680\u2003\u2028\u2029\u202f\u205f12": "AB12", "AB\u200b12": "AB\u200b12", "AB\u2013\u2014\u221212": "AB–—\u221212", "粵ａ·12x34港": "粵A·12X34港",
		"①②Ⅳ": "12IV", "ﬁ": "FI", "straße": "STRASSE", "e\u0301": "É", "A \u0301": "Á", "\u0131\u0307": "\u0130", "ŉ": "ʼN", "--- ": "",
	} {
		if got := plate(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 40, 120).Draw(t, "plate")
		if once := plate(text); plate(once) != once {
			t.Fatalf("%q is %q, then %q", text, once, plate(once))
		}
	})
}

func TestMachines(t *testing.T) {
	s := newTester(t)
	base := "/v1/carparks/" + hoiShing + "/machines/R1"
	for _, one := range []struct{ path, body, at string }{
		{"/next", `{}`, "/boot"}, {"/next", `{"boot":"` + strings.Repeat("b", 129) + `"}`, "/boot"}, {"/next", `{"boot":"a\u0000"}`, "/boot"}, {"/next", `{"boot":"b","x":1}`, "/x"},
		{"/inventory", `{"boot":"b","bays":[{"bay":"R2-1-1","presence":"empty"}]}`, "/bays/0/bay"},
		{"/inventory", `{"boot":"b","bays":[{"bay":"R1-1-1","presence":"full"}]}`, "/bays/0/presence"},
		{"/inventory", `{"boot":"b","bays":[{"bay":"R1-1-1","presence":"empty"},{"bay":"R1-1-1","presence":"occupied"}]}`, "/bays/1/bay"},
		{"/reports", `{"boot":"b","state":"flying"}`, "/state"}, {"/reports", `{"boot":"b","state":"done","presence":"x"}`, "/presence"},
		{"/reports", `{"boot":"b","state":"done","command":"` + strings.Repeat("c", 200) + `"}`, "/command"}, {"/reports", `{"boot":"b","state":"done","detail":"\u0007"}`, "/detail"},
		{"/out", `{}`, "/reason"}, {"/out", `{"reason":"x","lifts_out":2}`, "/lifts_out"}, {"/out", `{"reason":"x","by":"machine"}`, "/by"}, {"/in", `{"reason":"\u0001"}`, "/reason"},
	} {
		s.refused(s.post(base+one.path, one.body), 422, "bad-field", one.at)
	}
	out := s.post(base+"/out", `{"by":"Chan","reason":"belt"}`, "Idempotency-Key", `"out"`)
	if m := decode[machineForm](s, out, 200); !m.Out || m.By != "Chan" || m.Reason != "belt" {
		t.Errorf("%+v", m)
	}
	s.replayed(out, s.post(base+"/out", `{"by":"Chan","reason":"belt"}`, "Idempotency-Key", `"out"`))
	alarms := decode[web.Page[alarmForm]](s, s.get("/v1/carparks/"+hoiShing+"/alarms"), 200)
	if len(alarms.Items) != 1 || alarms.Items[0].Kind != "machine-out" {
		t.Fatalf("%+v", alarms)
	}
	live := decode[carParkForm](s, s.get("/v1/carparks/"+hoiShing), 200).Live
	if live.OutOfService != 13 || live.Free != 65 {
		t.Errorf("%+v", live)
	}
	// An alarm's id has slashes; in a path they are written %2F.
	escaped := strings.ReplaceAll(alarms.Items[0].ID, "/", "%2F")
	s.refused(s.post("/v1/parking-alarms/"+escaped+"/clear", `{}`), 422, "bad-field", "/note")
	cleared := s.post("/v1/parking-alarms/"+escaped+"/clear", `{"note":"seen"}`, "Idempotency-Key", `"c"`)
	decode[map[string]any](s, cleared, 200)
	s.replayed(cleared, s.post("/v1/parking-alarms/"+escaped+"/clear", `{"note":"seen"}`, "Idempotency-Key", `"c"`))
	s.refused(s.post("/v1/parking-alarms/"+escaped+"/clear", `{"note":"seen"}`), 404, "not-found", "")
	decode[machineForm](s, s.post(base+"/in", `{"reason":"mended"}`), 200)
	// Alarms page by page, newest first, while one more is raised.
	for i := range 6 {
		s.clock.Advance(time.Second)
		decode[machineForm](s, s.post(fmt.Sprintf("/v1/carparks/%s/machines/R%d/out", hoiShing, i+1), `{"reason":"test"}`), 200)
	}
	var subjects []string
	pages := 0
	for target := "/v1/carparks/" + hoiShing + "/alarms?limit=1"; target != "" && pages < 20; pages++ {
		w := s.get(target)
		page := decode[web.Page[alarmForm]](s, w, 200)
		for _, one := range page.Items {
			subjects = append(subjects, one.Subject)
		}
		if len(subjects) == 2 { // what comes now is newer than the place in the list
			s.clock.Advance(time.Second)
			decode[machineForm](s, s.post("/v1/carparks/"+hoiShing+"/machines/R6/in", `{"reason":"x"}`), 200)
			decode[machineForm](s, s.post("/v1/carparks/"+hoiShing+"/machines/R6/out", `{"reason":"x"}`), 200)
		}
		target = strings.TrimPrefix(strings.TrimSuffix(w.Header().Get("Link"), `>; rel="next"`), "<")
	}
	if strings.Join(subjects, " ") != "R6 R5 R4 R3 R2 R1" {
		t.Errorf("%v", subjects)
	}
	s.refused(s.get("/v1/carparks/"+hoiShing+"/alarms?after=x"), 400, "bad-parameter", "after")
}

// TestAControllerAtTheRack: an emulated controller stores and fetches a car over
// HTTP.
func TestAControllerAtTheRack(t *testing.T) {
	s := newTester(t)
	server := httptest.NewServer(s.staff)
	defer server.Close()
	client := rackemu.NewClient(server.URL, secret, hoiShing, "R1", "run", server.Client())
	turn, err := client.Next(t.Context(), "boot-1")
	if err != nil || !turn.InventoryWanted || turn.Order != nil {
		t.Fatalf("%+v, %v", turn, err)
	}
	seen := []rackemu.Seen{{Bay: rackemu.GateItem, Presence: parking.Empty}}
	for _, b := range s.sites.parks[hoiShing].Bays {
		if b.Machine == "R1" {
			seen = append(seen, rackemu.Seen{Bay: b.ID, Presence: parking.Empty})
		}
	}
	if err := client.Inventory(t.Context(), "boot-1", seen); err != nil {
		t.Fatal(err)
	}
	body := strings.TrimSuffix(car(1), "}") + `,"bay":"R1-1-1","reason":"test"}`
	g := decode[allocationForm](s, s.post("/v1/carparks/"+hoiShing+"/allocations", body), 201)
	do := func(kind parking.CommandKind) {
		t.Helper()
		for range 10 {
			turn, err := client.Next(t.Context(), "boot-1")
			if err != nil {
				t.Fatal(err)
			}
			if turn.Order == nil {
				s.clock.Advance(max(turn.RetryAfter, time.Second))
				continue
			}
			for _, state := range []string{"running", "done"} {
				s.clock.Advance(10 * time.Second)
				report := rackemu.Report{Boot: "boot-1", Command: turn.Order.ID, State: state}
				if err := client.Report(t.Context(), report); err != nil {
					t.Fatal(err)
				}
			}
			if turn.Order.Kind == kind {
				if turn.Order.Allocation != g.ID {
					t.Errorf("the order is for %q, want %q", turn.Order.Allocation, g.ID)
				}
				return
			}
		}
		t.Fatalf("no order to %s came", kind)
	}
	do(parking.Store)
	if now := decode[allocationForm](s, s.get("/v1/allocations/"+g.ID), 200); now.State != "stored" {
		t.Fatalf("%+v", now)
	}
	s.refused(s.post("/v1/allocations/"+g.ID+"/release", "{}"), 409, "state", "")
	wanted := decode[allocationForm](s, s.stranger("POST", "/v1/allocations/"+g.ID+"/retrieval", "{}"), 202)
	if wanted.Position != 1 || wanted.PromisedAt == nil {
		t.Errorf("%+v", wanted)
	}
	queue := decode[struct{ Items []queuedForm }](s, s.get("/v1/carparks/"+hoiShing+"/retrievals"), 200)
	if len(queue.Items) != 1 || queue.Items[0].Allocation != g.ID {
		t.Errorf("%+v", queue)
	}
	decode[map[string]any](s, s.get("/v1/carparks/"+hoiShing+"/machines"), 200)
	do(parking.Fetch)
	if now := decode[allocationForm](s, s.get("/v1/allocations/"+g.ID), 200); now.State != "staged" {
		t.Fatalf("%+v", now)
	}
	decode[allocationForm](s, s.post("/v1/allocations/"+g.ID+"/release", "{}"), 200)
	decode[map[string]any](s, s.get("/v1/carparks/"+hoiShing+"/promises"), 200)
}
