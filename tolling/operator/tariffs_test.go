package operator

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/internal/web/webtest"
	"freeflow/tolling/governance"
	govstore "freeflow/tolling/governance/store"
	"freeflow/tolling/tariff"
)

// passList gives passes to dry runs.
type passList []governance.Pass

func (l passList) Each(_ context.Context, from, to time.Time, fn func(*governance.Pass) error) error {
	for i := range l {
		if at := time.UnixMicro(l[i].FirstMicros); at.Before(from) || !at.Before(to) {
			continue
		}
		if err := fn(&l[i]); err != nil {
			return err
		}
	}
	return nil
}

// tollServer is the API of tolls, with people's keys: each is the name and
// "-key-0123456789".
type tollServer struct {
	*echo.Echo
	t      *testing.T
	clock  *clock.Fixed
	files  tariff.Files
	signer *governance.Signer
}

func newTollServer(t *testing.T, passes passList) *tollServer {
	t.Helper()
	clk := clock.At(now)
	store, err := govstore.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "t.db"), govstore.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	files, err := tariff.ReadFiles("hongkong")
	if err != nil {
		t.Fatal(err)
	}
	signer := governance.NewSigner(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	keys := governance.Keys{}
	keys.Add(signer.Public())
	if err := governance.Plant(t.Context(), store, signer, files, now); err != nil {
		t.Fatal(err)
	}
	var live *governance.Live
	look := func(ctx context.Context) error {
		rows, err := store.Rows(ctx, "hongkong", 0)
		if err != nil {
			return err
		}
		chain, err := (&governance.Chain{}).Extend(rows, keys, true)
		if err != nil {
			return err
		}
		if live == nil {
			live, err = governance.NewLive(chain, clk)
			return err
		}
		live.Set(chain)
		return nil
	}
	if err := look(t.Context()); err != nil {
		t.Fatal(err)
	}
	trusted := func() governance.Keys { return keys }
	desk, err := governance.NewDesk(governance.Parts{Store: store, Live: live, Passes: passes, Clock: clk, Signer: signer, Keys: trusted, Changed: look})
	if err != nil {
		t.Fatal(err)
	}
	api, err := NewTariffs(TariffParts{Desk: desk, Displays: &governance.Displays{Store: store, Live: live, Passes: passes, Clock: clk}, Clock: clk, Keys: trusted})
	if err != nil {
		t.Fatal(err)
	}
	e := web.NewEcho(slog.New(slog.DiscardHandler), clk)
	holders := []web.Holder{web.HolderOf(web.Key{Name: "operator", Secret: "operator-key-0123456789"})}
	for _, name := range []string{"ada", "bo", "cy"} {
		holders = append(holders, web.Holder{Name: name, Sum: sha256.Sum256([]byte(name + "-key-0123456789")), Person: true})
	}
	api.Routes(e, web.BearerOf(func() []web.Holder { return holders }))
	return &tollServer{e, t, clk, files, signer}
}

// ask sends a request of a person, expects a status and returns the answer.
func (s *tollServer) ask(who, method, path string, body any, status int) map[string]any {
	s.t.Helper()
	text := ""
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		text = string(encoded)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(text))
	r.Header.Set("Authorization", "Bearer "+who+"-key-0123456789")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != status {
		s.t.Fatalf("%s %s by %s: %d, want %d: %s", method, path, who, w.Code, status, w.Body)
	}
	if !strings.Contains(w.Header().Get("Content-Type"), "json") {
		return map[string]any{"text": w.Body.String()}
	}
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		s.t.Fatal(err)
	}
	return answer
}

// wish is the body of a draft that makes LRT dearer for private cars, an hour
// from now.
func (s *tollServer) wish(version, toll string) map[string]any {
	return map[string]any{"reason": "a test", "effective_from": nextHour, "files": map[string]string{
		"versions.csv": string(s.files["versions.csv"]) + version + "," + nextHour + ",a test\n",
		"tolls.csv":    string(s.files["tolls.csv"]) + version + ",LRT,private_car,all,00:00,24:00," + toll + ",,\n",
	}}
}

const nextHour = "2026-11-24T11:00:00+08:00" // now is 10:00 there

func TestTariffsOpenAPIDescribesTheRoutes(t *testing.T) {
	differences, err := webtest.Differences(TariffsOpenAPI(), newTollServer(t, nil).Routes())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
	if _, err := web.MergeOpenAPI(OpenAPI(), TariffsOpenAPI()); err != nil {
		t.Error(err)
	}
}

func TestTollsChangeByTwoPersons(t *testing.T) {
	pass := governance.Pass{ID: id(1), Vehicle: "AB1", TollPoint: "LRT-N", Facility: "LRT", Class: "private_car", Owing: true,
		FirstMicros: now.Add(-48 * time.Hour).UnixMicro(), AmountCents: 800}
	s := newTollServer(t, passList{pass})
	wish := s.wish("2026-11-lrt", "9.50")
	if got := s.ask("operator", "POST", "/v1/tariff/drafts", wish, 403); got["type"] != "/problems/person-needed" {
		t.Errorf("%v", got)
	}
	d := s.ask("ada", "POST", "/v1/tariff/drafts", wish, 201)
	path := "/v1/tariff/drafts/" + d["id"].(string)
	digest := d["digest"].(string)
	if d["state"] != "checked" || d["by"] != "ada" || d["effective_from"] != nextHour || len(d["problems"].([]any)) != 0 {
		t.Errorf("%v", d)
	}
	if diff := s.ask("bo", "GET", path+"/difference", nil, 200); len(diff["tolls"].([]any)) != 1 {
		t.Errorf("%v", diff)
	}
	s.ask("ada", "POST", path+"/publication", map[string]any{"digest": digest}, 409)
	run := s.ask("bo", "POST", path+"/dry-runs", map[string]any{"digest": digest}, 201)
	if run["passes"] != 1.0 || run["differ"] != 1.0 || run["vehicles"] != 1.0 || run["difference"] != "1.50" || run["before"] != "8.00" || run["weeks"] != 2.0 {
		t.Errorf("%v", run)
	}
	approval := map[string]any{"digest": digest, "dry_run": run["id"], "note": "as gazetted"}
	if got := s.ask("ada", "POST", path+"/approval", approval, 403); got["type"] != "/problems/second-person-needed" {
		t.Errorf("%v", got)
	}
	if got := s.ask("bo", "POST", path+"/approval", approval, 200); got["state"] != "approved" {
		t.Errorf("%v", got)
	}
	statement := s.ask("cy", "GET", path+"/statement", nil, 200)["text"].(string)
	published := s.ask("cy", "POST", path+"/publication", map[string]any{"digest": digest}, 200)
	if published["state"] != "published" || published["sequence"] != 1.0 {
		t.Errorf("%v", published)
	}
	s.ask("cy", "POST", path+"/publication", map[string]any{"digest": digest}, 200)
	s.ask("ada", "POST", path+"/revisions", map[string]any{"revision": 1, "reason": "late", "effective_from": nextHour}, 409)
	one := s.ask("cy", "GET", "/v1/tariff/statements/1", nil, 200)
	if one["state"] != "scheduled" || one["checker"] != "bo" || one["bytes"] != statement || one["rerate"] != nil {
		t.Errorf("%v", one)
	}
	signature, err := base64.StdEncoding.DecodeString(one["signature"].(string))
	if err != nil || !ed25519.Verify(s.signer.Public(), []byte(statement), signature) {
		t.Errorf("the signature is not that of the bytes: %v", err)
	}
	if keys := s.ask("cy", "GET", "/v1/tariff/keys", nil, 200)["items"].([]any); len(keys) != 1 || keys[0].(map[string]any)["key"] != one["key"] {
		t.Errorf("%v", keys)
	}
	s.clock.Set(now.Add(time.Hour))
	all := s.ask("operator", "GET", "/v1/tariff", nil, 200)
	if all["in_force"] != 1.0 || len(all["items"].([]any)) != 2 || all["items"].([]any)[1].(map[string]any)["state"] != "superseded" {
		t.Errorf("%v", all)
	}
	files := s.ask("operator", "GET", "/v1/tariff/statements/1/files", nil, 200)
	if files["content"] != all["content"] || !strings.Contains(files["files"].(map[string]any)["tolls.csv"].(string), "9.50") {
		t.Errorf("%v", files["content"])
	}
	s.ask("cy", "POST", "/v1/tariff/statements/1/withdrawal", map[string]any{"reason": "too late"}, 409)
}

func TestDraftsOfTolls(t *testing.T) {
	s := newTollServer(t, nil)
	wish := s.wish("2026-11-lrt", "9")
	wish["files"].(map[string]string)["tolls.csv"] += "nonsense\n"
	d := s.ask("ada", "POST", "/v1/tariff/drafts", wish, 201)
	problem := d["problems"].([]any)[0].(map[string]any)
	if d["state"] != "mistaken" || problem["file"] != "tolls.csv" || problem["line"] == nil {
		t.Errorf("%v", d)
	}
	path := "/v1/tariff/drafts/" + d["id"].(string)
	for name, c := range map[string]struct {
		path   string
		body   any
		status int
	}{
		"a dry run of mistakes":       {path + "/dry-runs", map[string]any{"digest": d["digest"]}, 409},
		"no digest":                   {path + "/dry-runs", map[string]any{}, 409},
		"weeks back":                  {path + "/dry-runs", map[string]any{"digest": d["digest"], "weeks": -1}, 422},
		"no time":                     {path + "/dry-runs", map[string]any{"digest": d["digest"], "from": "yesterday"}, 422},
		"an unknown field":            {path + "/dry-runs", map[string]any{"day": 1}, 422},
		"an unknown draft":            {"/v1/tariff/drafts/none/approval", map[string]any{"digest": d["digest"], "dry_run": "x"}, 404},
		"no revision":                 {path + "/revisions", map[string]any{"reason": "r", "effective_from": nextHour}, 422},
		"another revision":            {path + "/revisions", map[string]any{"reason": "r", "effective_from": nextHour, "revision": 2}, 409},
		"no signature":                {path + "/publication", map[string]any{"digest": d["digest"], "signature": "x"}, 422},
		"a past instant":              {"/v1/tariff/drafts", map[string]any{"reason": "r", "effective_from": "2020-01-01T00:00:00Z"}, 422},
		"no instant":                  {"/v1/tariff/drafts", map[string]any{"reason": "r"}, 422},
		"an unknown file":             {"/v1/tariff/drafts", map[string]any{"reason": "r", "effective_from": nextHour, "files": map[string]string{"fares.csv": ""}}, 422},
		"a revision of nothing":       {"/v1/tariff/drafts", map[string]any{"reason": "r", "effective_from": nextHour, "revision": 1}, 422},
		"a withdrawal of what is not": {"/v1/tariff/statements/x/withdrawal", map[string]any{"reason": "r"}, 404},
		"a withdrawal without reason": {"/v1/tariff/statements/0/withdrawal", map[string]any{"reason": ""}, 422},
	} {
		t.Run(name, func(t *testing.T) { s.t = t; s.ask("bo", "POST", c.path, c.body, c.status) })
	}
	s.t = t
	again := s.ask("bo", "POST", path+"/revisions", map[string]any{"revision": 1, "reason": "mended", "effective_from": nextHour,
		"files": s.wish("2026-11-lrt", "9")["files"]}, 201)
	if again["state"] != "checked" || again["revision"] != 2.0 || len(again["revisions"].([]any)) != 2 {
		t.Errorf("%v", again)
	}
	s.ask("ada", "POST", "/v1/tariff/drafts", s.wish("2026-11-b", "9"), 201)
	page := s.ask("ada", "GET", "/v1/tariff/drafts?limit=1", nil, 200)
	if len(page["items"].([]any)) != 1 || page["next"] == nil {
		t.Fatalf("%v", page)
	}
	page = s.ask("ada", "GET", "/v1/tariff/drafts?limit=1&after="+page["next"].(string), nil, 200)
	if len(page["items"].([]any)) != 1 || page["next"] != nil {
		t.Errorf("%v", page)
	}
	if got := s.ask("ada", "POST", path+"/discard", map[string]any{"reason": "no"}, 200); got["state"] != "discarded" {
		t.Errorf("%v", got)
	}
	s.ask("ada", "GET", "/v1/tariff/statements/7", nil, 404)
	s.ask("ada", "GET", "/v1/tariff/drafts/none/files", nil, 404)
	s.ask("ada", "GET", "/v1/tariff/drafts?speed=9", nil, 400)
	s.ask("eve", "GET", "/v1/tariff", nil, 401)
}

func TestDisplayedTollsOverHTTP(t *testing.T) {
	at := now.Add(-30 * time.Minute).Truncate(time.Minute)
	s := newTollServer(t, passList{{ID: id(1), Vehicle: "AB1", TollPoint: "WHC-N", Facility: "WHC", Class: "taxi", Owing: true, FirstMicros: at.Add(time.Minute).UnixMicro(), AmountCents: 2500}})
	item := func(sign, amount string) map[string]any {
		one := map[string]any{"sign": sign, "toll_point": "WHC-N", "class": "taxi", "from": at.Format(time.RFC3339)}
		if amount != "" {
			one["amount"] = amount
		}
		return one
	}
	told := s.ask("operator", "POST", "/v1/displayed-tolls", map[string]any{"items": []any{item("a", "25.00"), item("b", "30"), item("c", "")}}, 200)
	if got := fmt.Sprint(told["items"]); !strings.Contains(got, "agrees:false amount:30") || strings.Count(got, "agrees:true") != 2 || !strings.Contains(got, "tariff:25.00") {
		t.Errorf("%s", got)
	}
	s.ask("operator", "POST", "/v1/displayed-tolls", map[string]any{"items": []any{item("a", "25.00")}}, 200)
	s.ask("operator", "POST", "/v1/displayed-tolls", map[string]any{"items": []any{item("a", "26.00")}}, 409)
	s.ask("operator", "POST", "/v1/displayed-tolls", map[string]any{"items": []any{item("a", "-1")}}, 422)
	s.ask("operator", "POST", "/v1/displayed-tolls", map[string]any{"items": []any{}}, 422)
	s.ask("operator", "POST", "/v1/displayed-tolls", map[string]any{"items": []any{map[string]any{"sign": "a", "toll_point": "XXX-N", "class": "taxi", "amount": "1", "from": at.Format(time.RFC3339)}}}, 422)
	report := s.ask("operator", "GET", "/v1/displayed-tolls/report", nil, 200)["items"].([]any)
	if len(report) != 1 || report[0].(map[string]any)["differ"] != 1.0 || report[0].(map[string]any)["difference"] != "-5.00" {
		t.Errorf("%v", report)
	}
	findings := s.ask("operator", "GET", "/v1/displayed-tolls/findings", nil, 200)["items"].([]any)
	if len(findings) != 1 {
		t.Fatalf("%v", findings)
	}
	f := findings[0].(map[string]any)
	if f["rated"] != "25.00" || f["displayed"] != "30.00" || f["sign"] != "b" || f["closed_at"] != nil {
		t.Errorf("%v", f)
	}
	path := "/v1/displayed-tolls/findings/" + f["id"].(string) + "/close"
	s.ask("operator", "POST", path, map[string]any{"reason": "sign b was wrong"}, http.StatusForbidden)
	s.ask("ada", "POST", path, map[string]any{"reason": ""}, 422)
	if got := s.ask("ada", "POST", path, map[string]any{"reason": "sign b was wrong"}, 200); got["closed_by"] != "ada" {
		t.Errorf("%v", got)
	}
	if got := s.ask("ada", "GET", "/v1/displayed-tolls/findings", nil, 200)["items"].([]any); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if got := s.ask("ada", "GET", "/v1/displayed-tolls/findings?closed=true", nil, 200)["items"].([]any); len(got) != 1 {
		t.Errorf("%v", got)
	}
	s.ask("ada", "POST", "/v1/displayed-tolls/findings/none/close", map[string]any{"reason": "r"}, 404)
}
