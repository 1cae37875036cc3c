package operator

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"freeflow/billing"
	"freeflow/internal/web/webtest"
)

func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	differences, err := webtest.Differences(OpenAPI(), newServer(t).Routes())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
}

func TestEveryRouteNeedsTheKey(t *testing.T) {
	s := newServer(t)
	for _, r := range s.Routes() {
		if r.Method == "echo_route_not_found" {
			continue
		}
		w := s.do(r.Method, strings.ReplaceAll(r.Path, ":id", id(1)), "", "Authorization", "Bearer wrong-key-0123456789")
		if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s: %d", r.Method, r.Path, w.Code)
		}
	}
}

func TestNewWantsEveryPart(t *testing.T) {
	if _, err := New(Parts{}); err == nil {
		t.Error("an API of nothing")
	}
}

func TestCharges(t *testing.T) {
	s := newServer(t)
	other := pass(3)
	other.Vehicle, other.Account = "tag:E28F", "A2"
	swallowed := pass(4)
	swallowed.Revision, swallowed.MergedInto = 2, id(1)
	s.put(t, pass(1), reviewPass(2), other, swallowed)
	for _, tc := range []struct {
		query string
		want  []int
	}{
		{"", []int{1, 2, 3}},
		{"?vehicle=ab%2012-34", []int{1, 2}},
		{"?vehicle=tag:e28f", []int{3}},
		{"?vehicle=plate:AB1234", nil},
		{"?account=A2", []int{3}},
		{"?status=review", []int{2}},
		{"?from=2026-11-23T08:00:02%2B08:00", []int{2, 3}},
		{"?from=2026-11-23T08:00:02+08:00", []int{2, 3}},
		{"?from=2026-11-23T00:00:01.123456Z&to=2026-11-23T00:00:02.123456Z", []int{1}},
		{"?to=1969-01-01T00:00:00Z", nil},
		{"?limit=2", []int{1, 2}},
	} {
		w := s.do("GET", "/v1/charges"+tc.query, "")
		var got struct {
			Items []charge
			Next  *string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", tc.query, w.Code, w.Body)
		}
		var ids []int
		for _, item := range got.Items {
			var n int
			_, _ = fmt.Sscanf(item.ID, "%x", &n)
			ids = append(ids, n)
		}
		if fmt.Sprint(ids) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %v, want %v", tc.query, ids, tc.want)
		}
		if !strings.Contains(w.Body.String(), `"items":[`) {
			t.Errorf("%s: items are not an array: %s", tc.query, w.Body)
		}
	}
	w := s.do("GET", "/v1/charges?limit=1", "")
	want := `{"items":[{"pass_time":"2026-11-23T08:00:01.123456+08:00","toll_point":"CHT-N","vehicle":"AB1234","account":"A1",` +
		`"class":"taxi","amount":"25.00","currency":"HKD","status":"charged","id":"` + id(1) + `","facility":"CHT","revision":1,` +
		`"rule":"CHT taxi","tariff_version":"v1","reasons":[]}],"next":"`
	if !strings.HasPrefix(w.Body.String(), want) {
		t.Errorf("got  %s\nwant %s", w.Body, want)
	}
}

func TestChargesRefuseWhatTheyDoNotUnderstand(t *testing.T) {
	s := newServer(t)
	for query, name := range map[string]string{
		"limit=0": "limit", "limit=1001": "limit", "limit=ten": "limit", "limit=1&limit=2": "limit",
		"from=yesterday": "from", "from=2026-11-23T00:00:00,5Z": "from", "to=2026-11-23": "to",
		"from=2026-11-23T00:00:00Z&to=2026-11-22T00:00:00Z": "to",
		"status=open": "status", "after=xyz": "after", "vehical=AB1": "vehical",
		"vehicle=" + strings.Repeat("A", 3000): "vehicle", "account=%zz": "query",
	} {
		w := s.do("GET", "/v1/charges?"+query, "")
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"parameter":"`+name+`"`) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	if w := s.do("GET", "/v1/charges?limit=10000", "", "Accept", "text/csv"); w.Code != 200 {
		t.Errorf("10000 rows of CSV: %d", w.Code)
	}
	s.books.fail = errors.New("dial /var/lib/books: refused")
	if w := s.do("GET", "/v1/charges", ""); w.Code != 500 || strings.Contains(w.Body.String(), "/var/lib") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestPagesJoinToTheWhole follows next, and the Link header, to the end.
func TestPagesJoinToTheWhole(t *testing.T) {
	s := newServer(t)
	for n := range 23 {
		p := pass(n / 2) // two passes share each instant
		p.ID, p.Vehicle = id(n), fmt.Sprint("V", n%3)
		s.put(t, p)
	}
	for limit := 1; limit <= 24; limit++ {
		seen := map[string]bool{}
		target, pages := fmt.Sprintf("/v1/charges?account=A1&limit=%d", limit), 0
		for target != "" {
			w := s.do("GET", target, "")
			var got struct {
				Items []charge
				Next  *string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
				t.Fatalf("%s: %d %s", target, w.Code, w.Body)
			}
			for _, item := range got.Items {
				if seen[item.ID] {
					t.Errorf("limit %d: %s twice", limit, item.ID)
				}
				seen[item.ID] = true
			}
			link := w.Header().Get("Link")
			if (got.Next == nil) != (link == "") {
				t.Errorf("limit %d: next %v, Link %q", limit, got.Next, link)
			}
			target = ""
			if got.Next != nil {
				target = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
				if u, err := url.Parse(target); err != nil || u.Query().Get("after") != *got.Next {
					t.Fatalf("Link %q does not carry next %q", link, *got.Next)
				}
			}
			pages++
		}
		if len(seen) != 23 || pages != (23+limit-1)/limit {
			t.Errorf("limit %d: %d passes on %d pages", limit, len(seen), pages)
		}
	}
}

func TestChargesAsCSV(t *testing.T) {
	s := newServer(t)
	var want bytes.Buffer
	w := csv.NewWriter(&want)
	_ = w.Write(billing.ChargeColumns())
	var passes []billing.Pass
	for n := range 2*exportPage + 1 {
		p := pass(n)
		if n == 1 {
			p = reviewPass(1)
			p.Vehicle = `plate:=1+1,"x"` // cells are quoted, never altered
		}
		passes = append(passes, p)
		_ = w.Write(billing.ChargeRow(p, hk))
	}
	w.Flush()
	s.put(t, passes...)
	got := s.do("GET", "/v1/charges", "", "Accept", "text/csv")
	if got.Body.String() != want.String() {
		t.Errorf("CSV without a limit is not the whole file: %d bytes, want %d", got.Body.Len(), want.Len())
	}
	if ct := got.Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/csv") {
		t.Errorf("content type %q", ct)
	}
	got = s.do("GET", "/v1/charges?limit=2", "", "Accept", "text/csv")
	if lines := strings.Count(got.Body.String(), "\n"); lines != 3 || got.Header().Get("Link") == "" {
		t.Errorf("%d lines, Link %q", lines, got.Header().Get("Link"))
	}
}

// TestBrokenExportIsBrokenOff: half a file must not look whole.
func TestBrokenExportIsBrokenOff(t *testing.T) {
	s := newServer(t)
	var passes []billing.Pass
	for n := range exportPage + 1 {
		passes = append(passes, pass(n))
	}
	s.put(t, passes...)
	s.books.failAfter = 1
	srv := httptest.NewServer(s)
	defer srv.Close()
	r, _ := http.NewRequest("GET", srv.URL+"/v1/charges", nil)
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Accept", "text/csv")
	resp, err := srv.Client().Do(r)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("the client saw a complete file")
	}
	s.books.lists, s.books.failAfter, s.books.fail = 0, 0, errors.New("gone")
	if w := s.do("GET", "/v1/charges", "", "Accept", "text/csv"); w.Code != 500 {
		t.Errorf("a failure before the first row: %d", w.Code)
	}
}

func TestPrefersCSV(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "text/csv": true, "TEXT/CSV; header=present": true,
		"text/html,application/json;q=0.9,*/*;q=0.8": false, "application/json;q=0.5, text/csv": true,
		"application/json, text/csv;q=0.5": false, "text/csv;q=0": false, "text/csv, */*": true,
	} {
		if got := prefersCSV([]string{accept}); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

func TestPass(t *testing.T) {
	s := newServer(t)
	p := pass(1)
	p.Revision = 2
	merged := pass(2)
	merged.Revision, merged.MergedInto = 2, id(1)
	s.put(t, p, merged, reviewPass(3))
	w := s.do("GET", "/v1/passes/"+id(1), "")
	for _, want := range []string{
		`"rule":"CHT taxi"`, `"tariff_version":"v1"`, `"merged_into":null`, `"decision":null`,
		`"reads":[{"unit":"CHT-N-1","seq":9,"time":"2026-11-24T10:00:00.000000+08:00","plate":"AB1234","plate_confidence":0.5}]`,
		`"revisions":[{"revision":1,`, `"entries":[{"account":"account:A1","amount":"25.00"},{"account":"operator:CHT","amount":"-25.00"}]`,
		`"posted_at":"2026-11-24T10:00:00.000000+08:00"`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in %s", want, w.Body)
		}
	}
	if w := s.do("GET", "/v1/passes/"+id(2), ""); !strings.Contains(w.Body.String(), `"merged_into":"`+id(1)+`"`) {
		t.Errorf("a swallowed pass: %s", w.Body)
	}
	if w := s.do("GET", "/v1/passes/"+id(3), ""); !strings.Contains(w.Body.String(), `"code":"weak-plate","text":"No tag`) ||
		!strings.Contains(w.Body.String(), `"amount":""`) {
		t.Errorf("a pass under review: %s", w.Body)
	}
	for _, bad := range []string{id(99), "1", strings.ToUpper(fmt.Sprintf("%032x", 0xabc)), "..%2f..%2fetc"} {
		if w := s.do("GET", "/v1/passes/"+bad, ""); w.Code != 404 {
			t.Errorf("%s: %d", bad, w.Code)
		}
	}
	s = newServer(t, func(p *Parts) { p.Explainer = fakeExplainer{billing.ErrNotFound} })
	s.put(t, pass(1))
	if w := s.do("GET", "/v1/passes/"+id(1), ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"reads_missing":true`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestReviewsSpellOutTheReasons(t *testing.T) {
	s := newServer(t)
	s.put(t, reviewPass(5), pass(1), reviewPass(2))
	w := s.do("GET", "/v1/reviews?limit=1", "")
	var got struct {
		Items []review
		Next  *string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Items) != 1 || got.Items[0].ID != id(2) || len(got.Items[0].ReviewFor) != 2 || got.Next == nil {
		t.Errorf("%s", w.Body)
	}
	if w := s.do("GET", "/v1/reviews?after="+*got.Next, ""); !strings.Contains(w.Body.String(), id(5)) ||
		!strings.Contains(w.Body.String(), `"next":null`) {
		t.Errorf("%s", w.Body)
	}
}

func TestDecide(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		change     func(*billing.Pass)
		status     int
		says       string
	}{
		{"as it stands", `{"decision":"charged","revision":1}`, nil, 200, `"amount":"25.00","currency":"HKD","status":"charged"`},
		{"without a revision", `{"decision":"charged"}`, nil, 200, `"by":"operator"`},
		{"another class", `{"decision":"charged","class":"lgv"}`, nil, 200, `"rule":"CHT-N lgv; tariff v1"`},
		{"the other direction's toll", `{"decision":"charged"}`, func(p *billing.Pass) { p.TollPoint = "CHT-S" }, 200, `"amount":"26.00"`},
		{"exempt", `{"decision":"exempt","note":"ambulance"}`, nil, 200, `"amount":"0.00"`},
		{"exempt without a class", `{"decision":"exempt"}`, func(p *billing.Pass) { p.Class = "" }, 200, `"status":"exempt"`},
		{"unpaid", `{"decision":"unpaid"}`, nil, 200, `"account":"","class":"taxi","amount":"25.00"`},
		{"no tariff, with amount", `{"decision":"charged","amount":"8.5","note":"per ordinance"}`, func(p *billing.Pass) { p.TollPoint = "XXX-N" }, 200, `"amount":"8.50"`},
		{"a toll point that is gone", `{"decision":"charged","amount":"8.50","note":"per ordinance"}`, func(p *billing.Pass) { p.TollPoint = "OLD-N" }, 200, `"amount":"8.50"`},
		{"the tariff's own amount", `{"decision":"charged","amount":"25"}`, nil, 200, `"amount":"25.00"`},

		{"another amount than the tariff's", `{"decision":"charged","amount":"1.00","note":"x"}`, nil, 422, `"pointer":"/amount"`},
		{"a toll point that is gone, no amount", `{"decision":"charged"}`, func(p *billing.Pass) { p.TollPoint = "OLD-N" }, 422, `"pointer":"/amount"`},
		{"no tariff, no amount", `{"decision":"charged"}`, func(p *billing.Pass) { p.TollPoint = "XXX-N" }, 422, `"pointer":"/amount"`},
		{"no tariff, no note", `{"decision":"charged","amount":"8.00"}`, func(p *billing.Pass) { p.TollPoint = "XXX-N" }, 422, `"pointer":"/note"`},
		{"no tariff, bad amount", `{"decision":"charged","amount":"1e9","note":"x"}`, func(p *billing.Pass) { p.TollPoint = "XXX-N" }, 422, `"pointer":"/amount"`},
		{"no tariff, negative", `{"decision":"charged","amount":"-8.00","note":"x"}`, func(p *billing.Pass) { p.TollPoint = "XXX-N" }, 422, `"pointer":"/amount"`},
		{"exempt with amount", `{"decision":"exempt","amount":"1.00"}`, nil, 422, `"pointer":"/amount"`},
		{"nobody to charge", `{"decision":"charged"}`, func(p *billing.Pass) { p.Account = "" }, 422, `"pointer":"/account"`},
		{"unpaid with account", `{"decision":"unpaid","account":"A1"}`, nil, 422, `"pointer":"/account"`},
		{"no class", `{"decision":"charged"}`, func(p *billing.Pass) { p.Class = "" }, 422, `"pointer":"/class"`},
		{"unknown class", `{"decision":"charged","class":"boat"}`, nil, 422, `"pointer":"/class"`},
		{"unknown decision", `{"decision":"dismiss"}`, nil, 422, `"pointer":"/decision"`},
		{"no decision", `{}`, nil, 422, `"pointer":"/decision"`},
		{"unknown field", `{"decision":"charged","exempt":true}`, nil, 422, "exempt: unknown field"},
		{"control characters", "{\"decision\":\"charged\",\"account\":\"A\\u0000\"}", nil, 422, `"pointer":"/account"`},
		{"a long note", `{"decision":"charged","note":"` + strings.Repeat("x", maxNote+1) + `"}`, nil, 422, `"pointer":"/note"`},
		{"not JSON", `decision=charged`, nil, 400, "bad-json"},
		{"an old revision", `{"decision":"charged","revision":3}`, nil, 409, `"revision":1`},
		{"not under review", `{"decision":"charged"}`, func(p *billing.Pass) { *p = pass(1) }, 409, "not under review"},
		{"swallowed", `{"decision":"charged"}`, func(p *billing.Pass) { p.Revision, p.MergedInto = 2, id(9) }, 409, `"merged_into":"` + id(9) + `"`},
	} {
		s := newServer(t)
		p := reviewPass(1)
		if tc.change != nil {
			tc.change(&p)
		}
		s.put(t, p, pass(9))
		w := s.do("POST", "/v1/reviews/"+id(1), tc.body)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s: %d %s", tc.name, w.Code, w.Body)
		}
		d := s.history(t).Pass.Decision
		if (d != nil) != (tc.status == 200) {
			t.Errorf("%s: answered %d, decided %+v", tc.name, w.Code, d)
		}
		s.verify(t)
		if tc.status != 200 {
			continue
		}
		if d.Basis != fmt.Sprint("basis of ", id(1), 1) || !d.At.Equal(now) || d.By != "operator" {
			t.Errorf("%s: decision %+v", tc.name, d)
		}
		again := s.do("POST", "/v1/reviews/"+id(1), tc.body)
		if again.Code != 200 || again.Body.String() != w.Body.String() {
			t.Errorf("%s: again %s, at first %s", tc.name, again.Body, w.Body)
		}
		if h := s.history(t); h.Pass.Revision != 2 || len(h.Transactions) > 1 {
			t.Errorf("%s: again changed the pass: %+v", tc.name, h)
		}
	}
	s := newServer(t)
	if w := s.do("POST", "/v1/reviews/"+id(1), `{"decision":"exempt"}`); w.Code != 404 {
		t.Errorf("no such pass: %d", w.Code)
	}
}

func TestDecideOtherwiseIsRefused(t *testing.T) {
	s := newServer(t)
	s.put(t, reviewPass(1))
	if w := s.do("POST", "/v1/reviews/"+id(1), `{"decision":"charged"}`); w.Code != 200 {
		t.Fatal(w.Body)
	}
	for _, body := range []string{
		`{"decision":"exempt"}`, `{"decision":"charged","class":"lgv"}`, `{"decision":"charged","account":"A2"}`,
		`{"decision":"charged","amount":"1.00"}`, `{"decision":"charged","note":"other"}`,
	} {
		if w := s.do("POST", "/v1/reviews/"+id(1), body); w.Code != 409 {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestDecideSurvivesALostReply(t *testing.T) {
	s := newServer(t)
	s.put(t, reviewPass(1))
	s.books.loseReply = true
	if w := s.do("POST", "/v1/reviews/"+id(1), `{"decision":"charged"}`); w.Code != 200 || s.history(t).Pass.Revision != 2 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestDecideByManyAtOnce(t *testing.T) {
	s := newServer(t)
	s.put(t, reviewPass(1))
	bodies := []string{`{"decision":"charged"}`, `{"decision":"exempt"}`}
	codes := make([]int, 16)
	var wg sync.WaitGroup
	for i := range codes {
		wg.Go(func() { codes[i] = s.do("POST", "/v1/reviews/"+id(1), bodies[i%2]).Code })
	}
	wg.Wait()
	p := s.history(t).Pass
	if p.Revision != 2 {
		t.Fatalf("the pass stands at revision %d", p.Revision)
	}
	winner := 0
	if p.Status == billing.StatusExempt {
		winner = 1
	}
	for i, code := range codes {
		if want := map[bool]int{true: 200, false: 409}[i%2 == winner]; code != want {
			t.Errorf("request %d: %d, want %d", i, code, want)
		}
	}
}

func packed(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

func TestPutRegistry(t *testing.T) {
	good := "account,plate,class,tag,from,to,exempt\nA1,AB 1234,taxi,,2026-01-01T00:00:00+08:00,,\n"
	bad := "account,plate,class,tag,from,to,exempt\nA1,AB1234,boat,,2026-01-01T00:00:00+08:00,,\nA1,CD1,taxi,,soon,,\n"
	for _, tc := range []struct {
		name, body, contentType, encoding string
		status                            int
		says                              string
	}{
		{"plain", good, "text/csv", "", 200, `{"version":7,"rows":1}`},
		{"as curl sends it", good, "application/x-www-form-urlencoded", "", 200, `"rows":1`},
		{"no type", good, "", "", 200, `"rows":1`},
		{"gzip", packed(good), "text/csv; charset=utf-8", "gzip", 200, `"rows":1`},
		{"two mistakes", bad, "text/csv", "", 422, `"line":2`},
		{"two mistakes, the second", bad, "text/csv", "", 422, `"line":3`},
		{"JSON", `{}`, "application/json", "", 415, "text/csv"},
		{"another charset", good, "text/csv; charset=big5", "", 415, "UTF-8"},
		{"unknown packing", good, "text/csv", "br", 415, "gzip"},
		{"not gzip", good, "text/csv", "gzip", 400, "gzip"},
		{"torn gzip", packed(good)[:40], "text/csv", "gzip", 400, "gzip"},
		{"empty", "", "text/csv", "", 422, "header"},
	} {
		s := newServer(t)
		w := s.do("PUT", "/v1/registry", tc.body, "Content-Type", tc.contentType, "Content-Encoding", tc.encoding)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s: %d %s", tc.name, w.Code, w.Body)
		}
	}
}

// TestRegistryBombIsStopped sends a gzip body that unpacks beyond the bound.
func TestRegistryBombIsStopped(t *testing.T) {
	in := &bounded{r: strings.NewReader(strings.Repeat("x", 100)), left: 99}
	if _, err := io.Copy(io.Discard, in); !errors.Is(err, errUnpackedTooLarge) {
		t.Errorf("reading past the bound: %v", err)
	}
	if err := registryProblem(fmt.Errorf("parsing: %w", errUnpackedTooLarge), &watched{}); !strings.Contains(err.Error(), "unpacked") {
		t.Errorf("%v", err)
	}
}

func TestOneRegistryAtATime(t *testing.T) {
	slow := &fakeRegistry{enter: make(chan struct{}), leave: make(chan struct{})}
	s := newServer(t, func(p *Parts) { p.Registry = slow })
	done := make(chan int)
	go func() { done <- s.do("PUT", "/v1/registry", "plate,from\nA,2026-01-01T00:00:00Z\n").Code }()
	<-slow.enter
	if w := s.do("PUT", "/v1/registry", ""); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a second registry: %d", w.Code)
	}
	if w := s.do("GET", "/v1/registry", ""); w.Code != 503 {
		t.Errorf("reading meanwhile: %d", w.Code)
	}
	close(slow.leave)
	<-done
	if w := s.do("GET", "/v1/registry", ""); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

func TestGetRegistry(t *testing.T) {
	s := newServer(t)
	if _, err := s.books.PutRegistry(t.Context(), []billing.Assignment{{Account: "A1", Plate: "AB1234", Class: "taxi",
		Tag: "E2", FromMicros: now.UnixMicro(), Exempt: true}}, now); err != nil {
		t.Fatal(err)
	}
	w := s.do("GET", "/v1/registry", "")
	want := "account,plate,class,tag,from,to,exempt\nA1,AB1234,taxi,E2,2026-11-24T10:00:00+08:00,,true\n"
	if w.Body.String() != want || w.Header().Get("ETag") != `"registry-1"` {
		t.Errorf("%q %q", w.Body, w.Header().Get("ETag"))
	}
	if w := s.do("GET", "/v1/registry", "", "If-None-Match", `"registry-1"`); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("%d", w.Code)
	}
}

func TestAlarms(t *testing.T) {
	w := newServer(t).do("GET", "/v1/alarms", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `{"kind":"sequence-gap","unit":"CHT-N-1"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
