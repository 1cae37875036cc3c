package operator

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"freeflow/internal/web"
)

// TestPasses: a pass is sold, pays its holder's stay, is taken back, and never
// changed; strangers see nothing of it.
func TestPasses(t *testing.T) {
	s := newTester(t)
	base := "/v1/carparks/" + rumsey + "/passes"
	now := s.clock.Now()
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	body := func(vehicle, permit, class string, from, to time.Duration) string {
		return fmt.Sprintf(`{%s,"permit":%q,"class":%q,"from":%q,"to":%q,"by":"desk","reason":"sold"}`, vehicle, permit, class, at(from), at(to))
	}
	const month = 30 * 24 * time.Hour
	good := body(`"plate":"ab 1"`, "monthly", "private_car", 0, month)
	w := s.ask(s.staff, http.MethodPut, base+"/p1", good)
	p := decode[passForm](s, w, 201)
	if p.Plate != "AB1" || p.Permit != "monthly" || *p.Until != *p.To || p.EndedAt != nil || w.Header().Get("Location") != base+"/p1" {
		t.Errorf("%+v, %v", p, w.Header())
	}
	if again := decode[passForm](s, s.ask(s.staff, http.MethodPut, base+"/p1", good), 200); again.ID != "p1" || *again.From != *p.From {
		t.Errorf("again: %+v", again)
	}
	for name, c := range map[string]struct {
		id, body string
		status   int
		slug     string
	}{
		"other terms":    {"p1", body(`"plate":"AB1"`, "monthly", "private_car", 0, month+time.Hour), 409, "state"},
		"overlapping":    {"p2", body(`"plate":"AB-1"`, "monthly", "private_car", month-time.Hour, 2*month), 409, "state"},
		"no such permit": {"p2", body(`"plate":"AB2"`, "yearly", "private_car", 0, month), 422, "invalid"},
		"another class":  {"p2", body(`"plate":"AB2"`, "monthly", "motorcycle", 0, month), 422, "invalid"},
		"in the past":    {"p2", body(`"plate":"AB2"`, "monthly", "private_car", -48*time.Hour, month), 422, "invalid"},
		"no vehicle":     {"p2", body(`"plate":""`, "monthly", "private_car", 0, month), 422, "bad-field"},
		"two vehicles":   {"p2", body(`"plate":"AB2","tag":"E2"`, "monthly", "private_car", 0, month), 422, "bad-field"},
		"no time":        {"p2", strings.Replace(good, at(month), "tomorrow", 1), 422, "bad-field"},
		"unknown field":  {"p2", strings.Replace(good, `"by"`, `"buy"`, 1), 422, ""},
	} {
		w := s.ask(s.staff, http.MethodPut, base+"/"+c.id, c.body)
		if c.slug != "" {
			s.refused(w, c.status, c.slug, "")
		}
		if w.Code != c.status || strings.Contains(w.Body.String(), "AB1") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if code := s.ask(s.staff, http.MethodPut, "/v1/carparks/none/passes/p1", good).Code; code != 404 {
		t.Errorf("no such car park: %d", code)
	}
	if code := s.ask(s.staff, http.MethodPut, base+"/p3", body(`"tag":"e280aa"`, "monthly", "private_car", time.Hour, month)).Code; code != 201 {
		t.Errorf("to a tag: %d", code)
	}
	list := func(query string) (ids []string) {
		for _, p := range decode[web.Page[passForm]](s, s.get(base+query), 200).Items {
			ids = append(ids, p.ID)
		}
		return ids
	}
	for query, want := range map[string]string{"": "[p1 p3]", "?limit=1": "[p1]", "?after=p1": "[p3]", "?vehicle=ab-1": "[p1]", "?vehicle=tag:e280AA": "[p3]", "?vehicle=ZZ9": "[]"} {
		if got := fmt.Sprint(list(query)); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
	if decode[web.Page[passForm]](s, s.get(base+"?limit=1"), 200).Next == nil {
		t.Error("no next page")
	}
	for query, at := range map[string]string{"?after=none": "after", "?limit=0": "limit", "?vehicle=-": "vehicle", "?x=1": "x", "?from=2026-01-01T00:00:00Z&to=2025-01-01T00:00:00Z": "to"} {
		s.refused(s.get(base+query), 400, "bad-parameter", at)
	}

	// The holder drives in and out for nothing.
	lane := func(id, unit string) map[string]any {
		in := fmt.Sprintf(`{"events":[{"id":%q,"lane":%q,"time":%q,"plate":"AB1","class":"private_car"}]}`, id, unit, s.clock.Now().Format(time.RFC3339))
		answer := decode[map[string]any](s, s.post("/v1/carparks/"+rumsey+"/lane-events", in), 200)
		return answer["results"].([]any)[0].(map[string]any)
	}
	lane("e1", "RST-IN-1")
	s.clock.Advance(3 * time.Hour)
	if r := lane("e2", "RST-OUT-1"); r["open"] != true || r["amount"] != "0.00" || fmt.Sprint(r["pays_by"]) != "[pass]" {
		t.Errorf("%+v", r)
	}

	remove := func(id, query string) int { return s.ask(s.staff, http.MethodDelete, base+"/"+id+query, "").Code }
	for query, want := range map[string]int{"": 400, "?reason=moved&x=1": 400, "?reason=moved&by=machine": 400} {
		if got := remove("p1", query); got != want {
			t.Errorf("%q: %d", query, got)
		}
	}
	if got := remove("none", "?reason=moved"); got != 404 {
		t.Errorf("no such pass: %d", got)
	}
	ended := decode[passForm](s, s.ask(s.staff, http.MethodDelete, base+"/p1?reason=moved+away&by=desk", ""), 200)
	s.clock.Advance(time.Hour)
	again := decode[passForm](s, s.ask(s.staff, http.MethodDelete, base+"/p1?reason=other", ""), 200)
	if ended.EndedAt == nil || *ended.Until != *ended.EndedAt || ended.EndReason != "moved away" || *again.EndedAt != *ended.EndedAt || again.EndReason != "moved away" {
		t.Errorf("%+v, %+v", ended, again)
	}
	if got := decode[passForm](s, s.get(base+"/p1"), 200); *got.To != *p.To || got.EndedBy != "desk" {
		t.Errorf("%+v", got)
	}
	if got := fmt.Sprint(list("?vehicle=AB1")); got != "[]" {
		t.Errorf("it still holds: %s", got)
	}
	s.refused(s.get(base+"/none"), 404, "not-found", "")
	for _, target := range []string{base, base + "/p1"} {
		if w := s.ask(s.public, http.MethodGet, target, ""); w.Code != 404 {
			t.Errorf("a stranger at %s: %d", target, w.Code)
		}
	}
	s.verify()
}
