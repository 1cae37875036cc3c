package operator

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"freeflow/internal/audit"
	"freeflow/internal/database"
	"freeflow/internal/web"
)

// looks are the looks that an account may see, the newest first.
func (s *tester) looks(account string) []string {
	s.Helper()
	trail, err := audit.Open(context.Background(), s.url, audit.Options{})
	if err != nil {
		s.Fatal(err)
	}
	defer trail.Close()
	list, err := trail.Views(context.Background(), account, "", 100)
	if err != nil {
		s.Fatal(err)
	}
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = fmt.Sprint(v.Act, "|", v.Page, "|", v.Subject.Kind, "|", v.Records, "|", v.Everybody, "|", v.By.Name, "|", v.By.Role, "|", v.Reason)
	}
	return texts
}

func TestLooksAtStaysAreNoted(t *testing.T) {
	s := newTester(t)
	body := fmt.Sprintf(`{"events":[{"id":"e1","lane":"HSR-IN-1","time":%q,"plate":"AB1"}]}`, s.clock.Now().Format("2006-01-02T15:04:05Z"))
	if w := s.post("/v1/carparks/"+hoiShing+"/lane-events", body, "Idempotency-Key", ""); w.Code != 200 {
		t.Fatal(w.Body)
	}
	stays := decode[web.Page[stayForm]](s, s.get("/v1/carparks/"+hoiShing+"/stays?vehicle=AB1", "Access-Reason", "lost ticket"), 200)
	if len(stays.Items) != 1 || stays.Items[0].Account != "one" {
		t.Fatalf("%+v", stays)
	}
	want := []string{}
	expect := func(look string) {
		t.Helper()
		want = append([]string{look}, want...)
		if got := s.looks("one"); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("seen\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	expect("movements.listed|GET /v1/carparks/{id}/stays|stays of a vehicle|1|false|operator|operator|lost ticket")
	s.clock.Advance(1e9)
	if w := s.get("/v1/stays/" + stays.Items[0].ID + "?reason=x"); w.Code != 200 {
		t.Fatal(w.Body)
	}
	expect("movements.viewed|GET /v1/stays/{id}|stay|1|false|operator|operator|x")
	s.clock.Advance(1e9)
	if w := s.get("/v1/carparks/" + hoiShing + "/stays"); w.Code != 200 {
		t.Fatal(w.Body)
	}
	expect("movements.listed|GET /v1/carparks/{id}/stays|stays|1|true|operator|operator|")
	s.clock.Advance(1e9)
	if w := s.get("/v1/carparks/" + hoiShing + "/allocations?vehicle=AB1"); w.Code != 200 {
		t.Fatal(w.Body)
	}
	expect("movements.listed|GET /v1/carparks/{id}/allocations|allocations of a vehicle|0|false|operator|operator|")
	if w := s.get("/v1/stays/none"); w.Code != 404 || len(s.looks("one")) != len(want) {
		t.Errorf("what is not there: %d", w.Code)
	}
	s.refused(s.get("/v1/stays/"+stays.Items[0].ID+"?reason="+strings.Repeat("x", 501)), 400, "bad-parameter", "reason")

	// Without its row nothing is shown.
	db, err := database.Open(t.Context(), s.url, database.Options{Schema: database.Schema{Name: "audit trail", Table: "audit_schema", Want: 3}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(statement string) {
		t.Helper()
		err := db.Write(t.Context(), func(d database.Session) error { _, err := d.Exec(t.Context(), statement); return err })
		if err != nil {
			t.Fatal(err)
		}
	}
	// The document does not describe the status 500.
	broken := func(path string) {
		t.Helper()
		r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+secret)
		if s.staff.ServeHTTP(w, r); w.Code != 500 || strings.Contains(w.Body.String(), "AB1") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	exec(`ALTER TABLE audit_pending RENAME TO audit_gone`)
	for _, path := range []string{"/stays", "/stays?vehicle=AB1", "/allocations?vehicle=AB1"} {
		broken("/v1/carparks/" + hoiShing + path)
	}
	broken("/v1/stays/" + stays.Items[0].ID)
	exec(`ALTER TABLE audit_gone RENAME TO audit_pending`)
	s.api.NeedReason = true
	s.refused(s.get("/v1/carparks/"+hoiShing+"/stays"), 400, "bad-parameter", "reason")
}
