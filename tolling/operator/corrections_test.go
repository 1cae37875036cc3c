package operator

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/internal/web/webtest"
	"freeflow/tolling/rerate"
)

// corrections is the API over real books with three passes charged 60.00, of
// which the tolls say 25.00.
func newCorrections(t *testing.T) (*tollServer, *books.Store, *rerate.Rerater) {
	t.Helper()
	clk := clock.At(now)
	store, err := books.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "books.db"), books.Options{Migrate: true, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	var passes []billing.Pass
	for n := range 3 {
		p := pass(n + 1)
		p.AmountCents, p.Vehicle, p.Account = 6000, fmt.Sprint("V", n), fmt.Sprint("A", n%2)
		passes = append(passes, p)
	}
	if err := store.Post(t.Context(), billing.Batch{To: 1, PostedAt: now, Passes: passes}); err != nil {
		t.Fatal(err)
	}
	rates := &rerate.Rerater{Network: ratedNetwork{}, Books: store, Clock: clk, Logger: slog.New(slog.DiscardHandler)}
	api, err := NewCorrections(CorrectionParts{Books: store, Rerater: rates, Zone: hk, Clock: clk,
		KnowsFacility: func(name string) bool { return name == "CHT" }})
	if err != nil {
		t.Fatal(err)
	}
	e := web.NewEcho(slog.New(slog.DiscardHandler), clk)
	holders := []web.Holder{web.HolderOf(web.Key{Name: "operator", Secret: "operator-key-0123456789"})}
	for _, name := range []string{"ada", "bo"} {
		holders = append(holders, web.Holder{Name: name, Sum: sha256.Sum256([]byte(name + "-key-0123456789")), Person: true})
	}
	api.Routes(e, web.BearerOf(func() []web.Holder { return holders }))
	return &tollServer{Echo: e, t: t, clock: clk}, store, rates
}

type ratedNetwork struct{ fakeNetwork }

func (ratedNetwork) Currency() string { return "HKD" }

func TestReratesAreTriedByOneAndOrderedByAnother(t *testing.T) {
	s, store, rates := newCorrections(t)
	period := map[string]any{"facility": "CHT", "from": "2026-11-23T08:00:00+08:00", "to": "2026-11-23T09:00:00+08:00", "reason": "former toll charged"}
	wrong := func(name string, value any) map[string]any {
		body := map[string]any{}
		for k, v := range period {
			body[k] = v
		}
		body[name] = value
		return body
	}
	s.ask("operator", "POST", "/v1/rerates", period, http.StatusForbidden)
	for _, body := range []map[string]any{wrong("facility", "XXX"), wrong("from", "yesterday"), wrong("to", "2026-11-23T07:00:00+08:00"), wrong("reason", " ")} {
		s.ask("ada", "POST", "/v1/rerates", body, http.StatusUnprocessableEntity)
	}
	s.ask("ada", "POST", "/v1/rerates", wrong("amount", "1.00"), http.StatusUnprocessableEntity)
	tried := s.ask("ada", "POST", "/v1/rerates", period, http.StatusCreated)
	for name, want := range map[string]any{"state": "dry-run", "passes": 3.0, "vehicles": 3.0, "accounts": 2.0, "charged": "180.00", "right": "75.00",
		"difference": "-105.00", "currency": "HKD", "by": "ada", "ordered_by": nil, "looked_at": 3.0, "paid": 0.0, "left_alone": 0.0} {
		if tried[name] != want {
			t.Errorf("%s is %v, want %v", name, tried[name], want)
		}
	}
	digest := map[string]any{"digest": tried["digest"]}
	s.ask("operator", "POST", "/v1/rerates/1/execution", digest, http.StatusForbidden)
	s.ask("ada", "POST", "/v1/rerates/1/execution", digest, http.StatusConflict)
	s.ask("bo", "POST", "/v1/rerates/1/execution", map[string]any{}, http.StatusUnprocessableEntity)
	stale := s.ask("bo", "POST", "/v1/rerates/1/execution", map[string]any{"digest": "x"}, http.StatusConflict)
	if kind, _ := stale["type"].(string); !strings.HasSuffix(kind, "/changed") {
		t.Errorf("another digest: %v", stale)
	}
	s.ask("bo", "POST", "/v1/rerates/2/execution", digest, http.StatusNotFound)
	for range 2 {
		if ordered := s.ask("bo", "POST", "/v1/rerates/1/execution", digest, http.StatusAccepted); ordered["state"] != "running" || ordered["ordered_by"] != "bo" {
			t.Errorf("%v", ordered)
		}
	}
	if err := rates.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done := s.ask("bo", "GET", "/v1/rerates/1", nil, http.StatusOK); done["state"] != "done" || done["done"] != 3.0 {
		t.Errorf("%v", done)
	}
	list := func(path string) []any {
		items, _ := s.ask("bo", "GET", path, nil, http.StatusOK)["items"].([]any)
		return items
	}
	if n := len(list("/v1/rerates?state=done")); n != 1 {
		t.Errorf("%d are done", n)
	}
	if n := len(list("/v1/rerates?state=running")); n != 0 {
		t.Errorf("%d are running", n)
	}
	customers := list("/v1/rerates/1/customers")
	if len(customers) != 2 {
		t.Fatalf("%v", customers)
	}
	first, _ := customers[0].(map[string]any)
	if first["customer"] != "account:A0" || first["passes"] != 2.0 || first["difference"] != "-70.00" {
		t.Errorf("%v", first)
	}
	page := s.ask("bo", "GET", "/v1/rerates/1/passes?limit=2", nil, http.StatusOK)
	after, _ := page["next"].(string)
	if rest := list("/v1/rerates/1/passes?limit=2&after=" + after); after == "" || len(rest) != 1 {
		t.Errorf("%v, then %v", page, rest)
	}
	// Both motorists can see that it was looked at.
	for _, account := range []string{"A0", "A1"} {
		err := store.View(t.Context(), func(tx *books.Tx) error {
			views, err := audit.Views(t.Context(), tx.Session(), account, "", 10)
			if len(views) == 0 {
				t.Errorf("%s cannot see who looked", account)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/v1/rerates/x", "/v1/rerates?state=odd", "/v1/rerates?after=x", "/v1/rejudges?after=-1"} {
		s.ask("bo", "GET", path, nil, http.StatusBadRequest)
	}
	s.ask("bo", "GET", "/v1/rerates/9/passes", nil, http.StatusNotFound)
	s.ask("bo", "GET", "/v1/rerates/9/customers", nil, http.StatusNotFound)
}

func TestRejudgesAreListed(t *testing.T) {
	s, store, _ := newCorrections(t)
	if _, err := store.PutRegistry(t.Context(), []billing.Assignment{{Plate: "V1", Account: "B", FromMicros: 1}}, now); err != nil {
		t.Fatal(err)
	}
	job, err := store.StartRejudge(t.Context(), billing.RejudgeJob{FromVersion: 0, ToVersion: 1, FromMicros: 1, ToMicros: 2, DoneMicros: 1,
		StartedAt: now, Owner: "o", LeaseUntil: now.Add(time.Minute)})
	if err == nil {
		err = store.SkipRejudge(t.Context(), job.ID, "o", []string{id(1), id(2)})
	}
	if err != nil {
		t.Fatal(err)
	}
	items, _ := s.ask("operator", "GET", "/v1/rejudges", nil, http.StatusOK)["items"].([]any)
	if len(items) != 1 {
		t.Fatalf("%v", items)
	}
	one, _ := items[0].(map[string]any)
	if one["to_version"] != 1.0 || one["skipped"] != 2.0 || one["finished_at"] != nil {
		t.Errorf("%v", one)
	}
	skipped, _ := s.ask("operator", "GET", "/v1/rejudges/1/skipped?limit=1", nil, http.StatusOK)["items"].([]any)
	if len(skipped) != 1 || skipped[0] != id(1) {
		t.Errorf("%v", skipped)
	}
}

func TestOpenAPIDescribesCorrections(t *testing.T) {
	s, _, _ := newCorrections(t)
	differences, err := webtest.Differences(CorrectionsOpenAPI(), s.Routes())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
	if _, err := web.MergeOpenAPI(OpenAPI(), TariffsOpenAPI(), CorrectionsOpenAPI()); err != nil {
		t.Error(err)
	}
}
