package operator

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing/books"
	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/internal/web/webtest"
)

const testKey = "operator-key-0123456789"

// server is a topic's routes on fresh books.
type server struct {
	*echo.Echo
	books *books.Store
	clock *clock.Fixed
}

func newServer(t *testing.T, topic func(*books.Store, *clock.Fixed) Topic) *server {
	t.Helper()
	clk := clock.At(time.Date(2026, 11, 25, 4, 0, 0, 0, time.UTC))
	store, err := books.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "books.db"), books.Options{Migrate: true, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	keys, err := web.Bearer(web.Key{Name: "amy", Secret: testKey})
	if err != nil {
		t.Fatal(err)
	}
	e := web.NewEcho(slog.New(slog.DiscardHandler), clk)
	Mount(e, keys, topic(store, clk))
	return &server{e, store, clk}
}

// ask sends a request and decodes the answer.
func (s *server) ask(t *testing.T, method, path, key, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+testKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", `"`+key+`"`)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var answer map[string]any
	text, err := io.ReadAll(w.Body)
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil {
		t.Fatalf("%s %s answered %d %s: %v", method, path, w.Code, text, err)
	}
	return w.Code, answer
}

// must is ask for what has to succeed with a status.
func (s *server) must(t *testing.T, status int, method, path, key, body string) map[string]any {
	t.Helper()
	code, answer := s.ask(t, method, path, key, body)
	if code != status {
		t.Fatalf("%s %s answered %d, want %d: %v", method, path, code, status, answer)
	}
	return answer
}

func accountsTopic(store *books.Store, clk *clock.Fixed) Topic {
	return &Accounts{
		Books: store, Clock: clk, Plate: strings.ToUpper, Tag: func(s string) (string, error) { return strings.ToUpper(s), nil },
		KnowsClass: func(c string) bool { return c == "taxi" }, Currency: "HKD",
	}
}

func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	for name, topic := range map[string]func(*books.Store, *clock.Fixed) Topic{"accounts": accountsTopic, "unpaid": unpaidTopic, "disputes": disputesTopic, "payments": paymentsTopic, "statements": statementsTopic, "settlement": settlementTopic} {
		s := newServer(t, topic)
		doc, err := web.MergeOpenAPI(OpenAPI(topic(s.books, s.clock))...)
		if err != nil {
			t.Fatal(err)
		}
		differences, err := webtest.Differences(doc, s.Routes())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range differences {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestAccountsJourney goes through an account's life as staff do.
func TestAccountsJourney(t *testing.T) {
	s := newServer(t, accountsTopic)
	opening := `{"kind":"individual","name":"陳大文","email":"chan@example.hk","language":"zh-HK"}`
	opened := s.must(t, 201, "POST", "/v1/accounts", "k1", opening)
	id := opened["id"].(string)
	if again := s.must(t, 201, "POST", "/v1/accounts", "k1", opening); again["id"] != id {
		t.Errorf("the repetition opened %v", again["id"])
	}
	if code, answer := s.ask(t, "POST", "/v1/accounts", "k1", strings.Replace(opening, "chan@", "wong@", 1)); code != 422 {
		t.Errorf("the key for another request: %d %v", code, answer)
	}
	s.must(t, 200, "PUT", "/v1/accounts/"+id, "k2", `{"revision":1,"name":"陳大文","mobile":"+85291234567","language":"en"}`)
	if code, answer := s.ask(t, "PUT", "/v1/accounts/"+id, "k3", `{"revision":1,"name":"X","mobile":"+85291234567","language":"en"}`); code != 409 {
		t.Errorf("an old revision: %d %v", code, answer)
	}
	h := s.must(t, 201, "POST", "/v1/accounts/"+id+"/vehicles", "k4", `{"plate":"ab1234","class":"taxi"}`)
	if h["plate"] != "AB1234" || h["by"] != "amy" {
		t.Errorf("the holding is %v", h)
	}
	s.must(t, 201, "POST", "/v1/tags", "k5", `{"tag":"e200","kind":"vehicle"}`)
	s.must(t, 200, "POST", "/v1/tags/e200/events", "k6", `{"state":"activated","account":"`+id+`"}`)
	s.must(t, 200, "POST", "/v1/tags/e200/events", "k7", `{"state":"bound","plate":"AB1234"}`)
	rows, _, err := s.books.Registry(t.Context())
	if err != nil || len(rows) != 2 {
		t.Errorf("the registry has %v, %v", rows, err)
	}
	tag := s.must(t, 200, "GET", "/v1/tags/e200", "", "")
	if len(tag["events"].([]any)) != 3 || tag["state"] != "bound" {
		t.Errorf("the tag is %v", tag)
	}
	s.must(t, 200, "POST", "/v1/holdings/"+h["id"].(string)+"/end", "k8", `{"at":"2026-11-25T06:00:00Z"}`)
	s.must(t, 200, "POST", "/v1/accounts/"+id+"/closure", "k9", `{"at":"2026-11-26T00:00:00+08:00","reason":"moved away"}`)
	view := s.must(t, 200, "GET", "/v1/accounts/"+id+"?reason=call", "", "")
	if view["state"] != "closing" || len(view["revisions"].([]any)) != 3 || len(view["holdings"].([]any)) < 2 {
		t.Errorf("the account is %v", view)
	}
}

func TestAccountsRefuse(t *testing.T) {
	s := newServer(t, accountsTopic)
	id := s.must(t, 201, "POST", "/v1/accounts", "k1", `{"kind":"company","name":"Bus Ltd","email":"b@example.hk","language":"en"}`)["id"].(string)
	s.must(t, 201, "POST", "/v1/accounts/"+id+"/vehicles", "k2", `{"plate":"XY1"}`)
	for i, tc := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/v1/accounts", `{"kind":"bank","name":"B","email":"b@example.hk","language":"en"}`, 422, "individual"},
		{"POST", "/v1/accounts", `{"kind":"company"`, 400, "byte 17"},
		{"POST", "/v1/accounts", `{"colour":"red"}`, 422, "colour"},
		{"GET", "/v1/accounts/nobody", "", 404, ""},
		{"GET", "/v1/accounts/" + id + "?resaon=x", "", 400, "resaon"},
		{"GET", "/v1/tags/E9", "", 404, ""},
		{"POST", "/v1/accounts/nobody/vehicles", `{"plate":"AB1"}`, 404, ""},
		{"POST", "/v1/accounts/" + id + "/vehicles", `{"plate":"XY1"}`, 409, "transfer"},
		{"POST", "/v1/accounts/" + id + "/vehicles", `{"plate":"AB1","class":"spaceship"}`, 422, "class"},
		{"POST", "/v1/accounts/" + id + "/vehicles", `{"plate":"AB1","from":"yesterday"}`, 422, "from"},
		{"POST", "/v1/accounts/" + id + "/vehicles", `{"plate":"AB1","from":"2026-11-01T00:00:00Z"}`, 422, "say why"},
		{"POST", "/v1/accounts/" + id + "/vehicles", `{"plate":"AB1","from":"2026-11-01T00:00:00Z","reason":"x"}`, 422, "opened"},
		{"POST", "/v1/tags/E9/events", `{"state":"eaten"}`, 422, "activated"},
		{"POST", "/v1/tags/E9/events", `{"state":"lost"}`, 404, ""},
	} {
		code, answer := s.ask(t, tc.method, tc.path, "r"+string(rune('a'+i)), tc.body)
		text, _ := answer["detail"].(string)
		if code != tc.status || !strings.Contains(text, tc.says) {
			t.Errorf("%s %s %s answered %d %v", tc.method, tc.path, tc.body, code, answer)
		}
	}
	if code, answer := s.ask(t, "POST", "/v1/accounts", "", `{}`); code != 400 || !strings.Contains(answer["type"].(string), "idempotency-key-missing") {
		t.Errorf("without a key: %d %v", code, answer)
	}
}
